// SPDX-License-Identifier: MIT
// A directory of its own for a test.
#include "tests/bus/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_make(char path[SCRATCH_PATH_MAX])
{
    const char *parent = getenv("TMPDIR");

    // Short, since a socket's path has 107 characters at most.
    snprintf(path, SCRATCH_PATH_MAX, "%s/talus-XXXXXX", parent ? parent : P_tmpdir);
    assert_non_null(mkdtemp(path));
}

void scratch_join(char out[SCRATCH_PATH_MAX], const char *path, const char *name)
{
    assert_true(snprintf(out, SCRATCH_PATH_MAX, "%s/%s", path, name) < SCRATCH_PATH_MAX);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

void scratch_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        char child[SCRATCH_PATH_MAX];
        if (is_dots(entry->d_name))
            continue;
        scratch_join(child, path, entry->d_name);
        if (entry->d_type == DT_DIR)
            scratch_remove(child);
        else
            unlink(child);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

size_t scratch_count(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)))
        count += !is_dots(entry->d_name);
    closedir(directory);
    return count;
}

bool scratch_has(const char *path, const char *suffix)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    bool has = false;

    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        has |= length >= end && strcmp(entry->d_name + length - end, suffix) == 0;
    }
    closedir(directory);
    return has;
}
