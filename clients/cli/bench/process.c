// SPDX-License-Identifier: MIT
#include "clients/cli/bench/process.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TCP_LISTENS = 0x0a };

// The inode of the socket that listens on `port`, from one of /proc/net's tables; 0: none.
static unsigned long listener_in(const char *table, unsigned port)
{
    char line[512];
    unsigned long found = 0;
    FILE *file = fopen(table, "re");
    if (!file)
        return 0;
    while (!found && fgets(line, sizeof(line), file)) {
        unsigned local, state;
        unsigned long inode;
        // sl, address:port, address:port, state, queues, timer, retransmissions, uid, timeout,
        // inode
        if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", &local,
                   &state, &inode) == 3 &&
            state == TCP_LISTENS && local == port)
            found = inode;
    }
    fclose(file);
    return found;
}

static bool holds_socket(const char *process, const char *socket)
{
    char folder[300], path[600], target[64];
    struct dirent *entry;
    bool holds = false;
    snprintf(folder, sizeof(folder), "/proc/%s/fd", process);
    DIR *descriptors = opendir(folder);
    if (!descriptors)
        return false;
    while (!holds && (entry = readdir(descriptors))) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        ssize_t size = readlink(path, target, sizeof(target) - 1);
        target[size < 0 ? 0 : size] = '\0';
        holds = strcmp(target, socket) == 0;
    }
    closedir(descriptors);
    return holds;
}

pid_t process_of_port(unsigned port)
{
    char socket[64];
    struct dirent *entry;
    pid_t found = 0;
    unsigned long inode = listener_in("/proc/net/tcp", port);
    if (!inode)
        inode = listener_in("/proc/net/tcp6", port);
    DIR *processes = inode ? opendir("/proc") : NULL;
    if (!processes)
        return 0;
    snprintf(socket, sizeof(socket), "socket:[%lu]", inode);
    while (!found && (entry = readdir(processes)))
        if (isdigit((unsigned char)entry->d_name[0]) && holds_socket(entry->d_name, socket))
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    closedir(processes);
    return found;
}

double process_cpu(pid_t process)
{
    clockid_t clock;
    struct timespec time;
    // What utime and stime of /proc/PID/stat are together, not in ticks but in nanoseconds.
    if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return -1;
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

bool process_memory(pid_t process, process_memory_t *memory)
{
    char path[64], line[256];
    unsigned long long kibibytes;
    int found = 0;
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)process);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmRSS: %llu kB", &kibibytes) == 1) {
            memory->resident = kibibytes * 1024;
            found++;
        } else if (sscanf(line, "RssAnon: %llu kB", &kibibytes) == 1) {
            memory->anonymous = kibibytes * 1024;
            found++;
        }
    }
    fclose(file);
    return found == 2;
}
