// SPDX-License-Identifier: MIT
// The command line of a command: one table of options, from which it is parsed (getopt_long) and
// its help is printed.
//
// Only a flag and an OPTION_LIST may be given more than once.
//
// Invariant: what options_parse refuses has been reported in exactly one line.
#ifndef TALUS_CLI_OPTIONS_H
#define TALUS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// How an option's argument is read, and into what at `offset` of the command's values.
typedef enum option_kind {
    OPTION_FLAG,    // none; bool
    OPTION_TEXT,    // as it is; const char *
    OPTION_LIST,    // as it is, and the option may be repeated; option_list_t
    OPTION_CHOICE,  // one of `choices`; int, its index
    OPTION_INTEGER, // decimal, from `min` to `max`; uint64_t
    OPTION_MODE,    // octal permissions, 0700 to 0777; unsigned
    OPTION_DECIMAL, // decimal with fraction, from `min` to `max`; double
    OPTION_TIME,    // in seconds, or with a unit, from `min` to `max`; double
    OPTION_SIZE,    // in bytes, or with a unit, from `min` to `max`; uint64_t
} option_kind_t;

typedef struct option_spec {
    const char *name; // without the dashes
    option_kind_t kind;
    size_t offset;
    const char *argument;       // its name in the help; NULL for a flag
    const char *const *choices; // OPTION_CHOICE: up to NULL
    const char *unit;           // OPTION_INTEGER, OPTION_DECIMAL: what is counted; NULL: nothing
    double min, max;            // of numbers, below 2^53
    const char *help;
} option_spec_t;

enum { OPTION_LIST_MAX = 256 };

typedef struct option_list {
    size_t count;
    const char *items[OPTION_LIST_MAX]; // borrowed from argv
} option_list_t;

typedef struct command {
    const char *name;
    const char *usage;   // what follows the name on the command line
    const char *summary; // one line
    const char *details; // paragraphs, each one line of text, after the options
    const option_spec_t *options;
    size_t option_count;
    int min_operands, max_operands;
    const char *operands; // what they are, in errors: "SESSION TYPE [JSON | -]"
    int (*run)(int argc, char **argv);
} command_t;

typedef enum options_result {
    OPTIONS_PARSED,
    OPTIONS_HELP,    // the help was asked for and printed
    OPTIONS_REFUSED, // and reported
} options_result_t;

// Parses argv (argv[0] is the command's name) into `values`, which holds the defaults.
// `operands`: receives the index in argv of the first operand: they are moved to the end.
options_result_t options_parse(const command_t *command, int argc, char **argv, void *values,
                               int *operands);

// Prints a command's help, at most 80 columns wide.
void options_help(const command_t *command, FILE *out);

// Prints `text`, wrapped at 80 columns, each line after the first indented by `indent`; the first
// starts in column `column`.
void options_wrap(FILE *out, const char *text, size_t column, size_t indent);

#endif
