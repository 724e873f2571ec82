// SPDX-License-Identifier: MIT
// getopt_long does the finding; it is told to keep quiet, since its own lines would not name the
// command.
#include "clients/cli/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/report.h"
#include "common/option.h"

enum {
    OPTIONS_MAX = 24,
    HELP_ID = 'h',
    FIRST_ID = 256, // above every character, so that ids of long options mean only them
    HELP_COLUMN = 28,
    HELP_WIDTH = 79,
};

static void *target(const option_spec_t *option, void *values)
{
    return (char *)values + option->offset;
}

static struct tl_option taken_by(const option_spec_t *option)
{
    struct tl_option taken = {.min = option->min, .max = option->max, .unit = option->unit};
    switch (option->kind) {
    case OPTION_MODE:
        taken = (struct tl_option){.kind = TL_OPTION_MODE, .min = 0700, .max = 0777};
        break;
    case OPTION_DECIMAL:
        taken.kind = TL_OPTION_DECIMAL;
        break;
    case OPTION_TIME:
        taken.kind = TL_OPTION_SECONDS;
        break;
    case OPTION_SIZE:
        taken.kind = TL_OPTION_BYTES;
        break;
    default:
        taken.kind = TL_OPTION_INTEGER;
    }
    return taken;
}

static bool parse_taken(const option_spec_t *option, const char *text, void *values)
{
    const struct tl_option taken = taken_by(option);
    struct tl_option_value value;
    if (!tl_option_parse(&taken, text, &value)) {
        char why[512];
        tl_option_explain(&taken, text, why, sizeof(why));
        report("--%s %s", option->name, why);
        return false;
    }
    void *at = target(option, values);
    if (option->kind == OPTION_MODE)
        *(unsigned *)at = (unsigned)value.integer;
    else if (option->kind == OPTION_DECIMAL || option->kind == OPTION_TIME)
        *(double *)at = value.decimal;
    else
        *(uint64_t *)at = value.integer;
    return true;
}

static bool parse_choice(const option_spec_t *option, const char *text, void *values)
{
    char known[128] = "";
    size_t size = 0;
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *(int *)target(option, values) = i;
            return true;
        }
        const char *link = i == 0 ? "" : option->choices[i + 1] ? ", " : " or ";
        size +=
            (size_t)snprintf(known + size, sizeof(known) - size, "%s%s", link, option->choices[i]);
        assert(size < sizeof(known));
    }
    report("--%s takes %s, not \"%s\"", option->name, known, text);
    return false;
}

static bool parse_list(const option_spec_t *option, const char *text, void *values)
{
    option_list_t *list = target(option, values);
    if (list->count == OPTION_LIST_MAX) {
        report("--%s can be given %d times at most", option->name, OPTION_LIST_MAX);
        return false;
    }
    list->items[list->count++] = text;
    return true;
}

static bool parse_value(const option_spec_t *option, const char *text, void *values)
{
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)target(option, values) = true;
        return true;
    case OPTION_TEXT:
        *(const char **)target(option, values) = text;
        return true;
    case OPTION_LIST:
        return parse_list(option, text, values);
    case OPTION_CHOICE:
        return parse_choice(option, text, values);
    case OPTION_MODE:
    case OPTION_INTEGER:
    case OPTION_DECIMAL:
    case OPTION_TIME:
    case OPTION_SIZE:
        return parse_taken(option, text, values);
    }
    return false;
}

static const option_spec_t *option_of(const command_t *command, int id)
{
    return id >= FIRST_ID ? &command->options[id - FIRST_ID] : NULL;
}

// What getopt_long could not take: `argument` is the word it stumbled over.
static void report_unknown(const command_t *command, const char *argument)
{
    const option_spec_t *option = option_of(command, optopt);
    if (option || (optopt == HELP_ID && strncmp(argument, "--", 2) == 0))
        report("--%s takes no argument", option ? option->name : "help");
    else if (strncmp(argument, "--", 2) == 0)
        report("unknown or ambiguous option \"%s\" (see talus %s --help)", argument, command->name);
    else
        report("unknown option \"-%c\" (see talus %s --help)", optopt, command->name);
}

static void fill_getopt(const command_t *command, struct option *table)
{
    assert(command->option_count + 2 <= OPTIONS_MAX);
    size_t count = command->option_count;
    for (size_t i = 0; i < count; i++) {
        const option_spec_t *option = &command->options[i];
        table[i] = (struct option){option->name,
                                   option->kind == OPTION_FLAG ? no_argument : required_argument,
                                   NULL, FIRST_ID + (int)i};
    }
    table[count] = (struct option){"help", no_argument, NULL, HELP_ID};
    table[count + 1] = (struct option){0};
}

static bool check_operands(const command_t *command, int count, char **operands)
{
    if (count > command->max_operands && command->max_operands == 0)
        report("unexpected argument \"%s\" (see talus %s --help)", operands[0], command->name);
    else if (count > command->max_operands)
        report("unexpected argument \"%s\" after %s (see talus %s --help)",
               operands[command->max_operands], command->operands, command->name);
    else if (count < command->min_operands)
        report("takes %s (see talus %s --help)", command->operands, command->name);
    return count >= command->min_operands && count <= command->max_operands;
}

options_result_t options_parse(const command_t *command, int argc, char **argv, void *values,
                               int *operands)
{
    struct option table[OPTIONS_MAX];
    fill_getopt(command, table);
    opterr = 0;
    optind = 0; // glibc: start afresh, also after another command line was parsed
    bool is_given[OPTIONS_MAX] = {false};
    int id;
    while ((id = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        const option_spec_t *option = option_of(command, id);
        if (id == HELP_ID) {
            options_help(command, stdout);
            return OPTIONS_HELP;
        }
        if (option) {
            bool is_single = option->kind != OPTION_FLAG && option->kind != OPTION_LIST;
            if (is_single && is_given[id - FIRST_ID]) {
                report("--%s takes one value, and was given twice", option->name);
                return OPTIONS_REFUSED;
            }
            is_given[id - FIRST_ID] = true;
            if (!parse_value(option, optarg, values))
                return OPTIONS_REFUSED;
            continue;
        }
        if (id == ':')
            report("--%s needs an argument: %s", option_of(command, optopt)->name,
                   option_of(command, optopt)->argument);
        else
            report_unknown(command, argv[optind - 1]);
        return OPTIONS_REFUSED;
    }
    *operands = optind;
    return check_operands(command, argc - optind, argv + optind) ? OPTIONS_PARSED : OPTIONS_REFUSED;
}

// The columns of UTF-8 text of ours, which has no wide or combining characters.
static size_t width_of(const char *text, size_t size)
{
    size_t width = 0;
    for (size_t i = 0; i < size; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

void options_wrap(FILE *out, const char *text, size_t column, size_t indent)
{
    bool is_start = true;
    while (*text) {
        size_t size = strcspn(text, " ");
        size_t width = width_of(text, size);
        if (!is_start && column + 1 + width > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!is_start) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, size, out);
        column += width;
        is_start = false;
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const char *name, const char *argument, const char *help)
{
    int width = fprintf(out, "  --%s%s%s", name, argument ? " " : "", argument ? argument : "");
    if (width + 2 > HELP_COLUMN) {
        fputc('\n', out);
        width = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - width, "");
    options_wrap(out, help, HELP_COLUMN, HELP_COLUMN);
}

static void print_details(FILE *out, const char *details)
{
    char paragraph[1024];
    while (*details) {
        size_t size = strcspn(details, "\n");
        assert(size < sizeof(paragraph));
        memcpy(paragraph, details, size);
        paragraph[size] = '\0';
        // A paragraph that starts with a space is an example: printed as it stands.
        if (paragraph[0] == ' ')
            fprintf(out, "%s\n", paragraph);
        else
            options_wrap(out, paragraph, 0, 0);
        details += size;
        details += *details == '\n';
    }
}

static bool has_kind(const command_t *command, option_kind_t kind)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].kind == kind)
            return true;
    return false;
}

void options_help(const command_t *command, FILE *out)
{
    char usage[512];
    int indent = snprintf(usage, sizeof(usage), "Usage: talus %s ", command->name);
    fputs(usage, out);
    options_wrap(out, command->usage, (size_t)indent, (size_t)indent);
    fprintf(out, "%s\n\nOptions:\n", command->summary);
    for (size_t i = 0; i < command->option_count; i++)
        print_option(out, command->options[i].name, command->options[i].argument,
                     command->options[i].help);
    print_option(out, "help", NULL, "Print this text.");
    fputc('\n', out);
    if (has_kind(command, OPTION_TIME))
        options_wrap(out, "SECONDS may have a unit: 500ms, 5s, 2m, 1h.", 0, 0);
    if (has_kind(command, OPTION_SIZE))
        options_wrap(out, "BYTES may have a unit: 64k is 64,000, 16MiB is 16,777,216.", 0, 0);
    print_details(out, command->details);
}
