// SPDX-License-Identifier: MIT
// The program `talus`: finds the command and hands it the rest of the command line.
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <talus/version.h>

#include "clients/cli/commands.h"
#include "clients/cli/options.h"
#include "clients/cli/report.h"

static const command_t *const commands[] = {&tap_command, &emit_command, &demo_command,
                                            &bench_command};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static const command_t *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static const char *known_commands(void)
{
    static char names[128];
    size_t size = 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const char *link = i == 0 ? "" : i + 1 < COMMAND_COUNT ? ", " : " and ";
        size +=
            (size_t)snprintf(names + size, sizeof(names) - size, "%s%s", link, commands[i]->name);
    }
    return names;
}

static void print_help(void)
{
    puts("Usage: talus COMMAND [OPTION]…\n"
         "Watch, send and play the events of live sessions on a Talus bus.\n\n"
         "Commands:");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int width = printf("  %s", commands[i]->name);
        printf("%*s%s\n", 10 - width, "", commands[i]->summary);
    }
    puts("\nOptions:\n"
         "  --help     Print this text.\n"
         "  --version  Print the version.\n\n"
         "talus COMMAND --help describes a command.");
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_help();
        return EXIT_DONE;
    }
    const command_t *command = find_command(argv[1]);
    if (command && argc == 2) {
        options_help(command, stdout);
        return EXIT_DONE;
    }
    report_command("help");
    if (command)
        report("unexpected argument \"%s\"", argv[2]);
    else
        report("no command \"%s\": there are %s", argv[1], known_commands());
    return EXIT_USAGE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        report("no command given: there are %s (see talus --help)", known_commands());
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        puts("talus " TALUS_VERSION);
        return EXIT_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(1, argv);
    if (strcmp(name, "help") == 0)
        return help(argc - 1, argv + 1);
    const command_t *command = find_command(name);
    if (!command) {
        if (name[0] == '-')
            report("unknown option \"%s\" (see talus --help)", name);
        else
            report("no command \"%s\": there are %s (see talus --help)", name, known_commands());
        return EXIT_USAGE;
    }
    report_command(command->name);
    return command->run(argc - 1, argv + 1);
}

// A standard descriptor that was closed would otherwise become a socket that we then print into.
static void open_standard_descriptors(void)
{
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor > STDERR_FILENO)
        close(descriptor);
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    // For the width of characters alone: numbers stay as JSON writes them.
    setlocale(LC_CTYPE, "C.UTF-8");
    // A reader that went away is an error of write, which each command treats as it should.
    signal(SIGPIPE, SIG_IGN);
    report_command(NULL);
    int status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE && status == EXIT_DONE) {
        report("cannot write to standard output: %s", strerror(errno));
        status = EXIT_FAILED;
    }
    return status;
}
