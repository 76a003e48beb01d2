/* The command line: one table of options for all commands. */
#ifndef TOOL_ARGUMENTS_H
#define TOOL_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

/* What was asked for. Texts are those of argv; lists end with NULL; what was not given is NULL, 0 or false. */
struct arguments {
    const char **operands;
    int operand_count;

    const char *hub;
    const char **settings;
    int32_t verbose;
    bool json;
    bool quiet;
    bool help;
    bool version;

    const char *revision;
    const char **include;
    const char **exclude;
    const char *local_dir;
    bool force;
    int32_t policy;

    int32_t purpose;
    int64_t context;
    int64_t sequences;
    const char *file;

    const char *on;
    const char *model;
    const char *recipe;
    const char *data;
    const char *output;
    const char *name;
    const char *key;
    const char **environment;
    const char **labels;
    int64_t time_limit;
    int64_t memory_limit;
    int64_t threads;
    int64_t port;
    bool detach;

    bool all;
    bool follow;
    int64_t lines;
    bool now;

    const char *system;
    int64_t max_tokens;
    double temperature; /* not a number: the server's own */

    const char *message;
    const char *branch;
    const char *parent;
    bool markdown;
};

struct tool;

struct command {
    const char *name;
    int (*run)(struct tool *tool); /* gives the exit status */
    int least;                     /* operands */
    int most;
    const char *operands;          /* as the usage line shows them */
    const char *summary;           /* for the list of commands */
    const char *about;
    const char *options;           /* names of those it takes, separated by blanks */
    const char *examples;
};

extern const struct command commands[]; /* ends with a row without a name */

/* Reads the command line into tool->command and tool->arguments. EXIT_OK, or EXIT_USAGE after saying what is wrong. */
int arguments_read(struct tool *tool, int count, char **words);
void arguments_clear(struct arguments *arguments);

void help_print(const struct command *command); /* NULL: that of the tool itself */

/* The name nearest to a misspelt one of the NULL-terminated names; NULL when none is near. */
const char *nearest_name(const char *word, const char *const *names);
const struct command *command_find(const char *name);

#endif
