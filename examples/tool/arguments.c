#include "arguments.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum kind { KIND_FLAG, KIND_COUNT, KIND_CHOICE, KIND_TEXT, KIND_LIST, KIND_PAIRS, KIND_NUMBER, KIND_SIZE, KIND_TIME, KIND_REAL };

struct option {
    const char *name;
    char letter;           /* 0: none */
    enum kind kind;
    bool common;           /* every command takes it */
    size_t place;          /* in struct arguments */
    int32_t choice;        /* value of a choice */
    const char *value;     /* as help shows it */
    const char *help;
};

#define PLACE(field) offsetof(struct arguments, field)

static const struct option options[] = {
    { "hub", 0, KIND_TEXT, true, PLACE(hub), 0, "URL", "the hub: https://..., or file:///folder" },
    { "setting", 0, KIND_PAIRS, true, PLACE(settings), 0, "KEY=VALUE", "change a setting; `tenon settings` lists them" },
    { "json", 0, KIND_FLAG, true, PLACE(json), 0, NULL, "JSON on standard output, a line each where it streams" },
    { "quiet", 'q', KIND_FLAG, true, PLACE(quiet), 0, NULL, "no progress and no remarks" },
    { "verbose", 'v', KIND_COUNT, true, PLACE(verbose), 0, NULL, "the library's log on standard error; -vv has every request" },
    { "help", 'h', KIND_FLAG, true, PLACE(help), 0, NULL, "what a command does" },
    { "version", 0, KIND_FLAG, true, PLACE(version), 0, NULL, "version of the library" },

    { "revision", 'r', KIND_TEXT, false, PLACE(revision), 0, "REVISION", "branch, tag, pull request or commit" },
    { "include", 0, KIND_LIST, false, PLACE(include), 0, "PATTERN", "only files that match; may be repeated" },
    { "exclude", 0, KIND_LIST, false, PLACE(exclude), 0, "PATTERN", "leave out files that match; may be repeated" },
    { "local-dir", 0, KIND_TEXT, false, PLACE(local_dir), 0, "FOLDER", "plain files in this folder instead of the cache" },
    { "force", 0, KIND_FLAG, false, PLACE(force), 0, NULL, "fetch again what is there" },
    { "offline", 0, KIND_CHOICE, false, PLACE(policy), TENON_CACHE_OFFLINE, NULL, "ask nobody; use the cache" },
    { "fresh", 0, KIND_CHOICE, false, PLACE(policy), TENON_CACHE_FRESH, NULL, "always ask the hub" },
    { "cached", 0, KIND_CHOICE, false, PLACE(policy), TENON_CACHE_FIRST, NULL, "ask only for what the cache has not" },

    { "train", 0, KIND_CHOICE, false, PLACE(purpose), TENON_PURPOSE_TRAIN, NULL, "to train all of it; else it is sized for serving" },
    { "lora", 0, KIND_CHOICE, false, PLACE(purpose), TENON_PURPOSE_LORA, NULL, "to train adapters over it" },
    { "context", 0, KIND_NUMBER, false, PLACE(context), 0, "TOKENS", "tokens of a sequence" },
    { "sequences", 0, KIND_NUMBER, false, PLACE(sequences), 0, "N", "sequences at once" },
    { "file", 0, KIND_TEXT, false, PLACE(file), 0, "FILE", "which GGUF file, where there are several" },

    { "on", 0, KIND_TEXT, false, PLACE(on), 0, "ACCELERATOR", "where: local, local:cpu, local:cuda:0 ..." },
    { "model", 0, KIND_TEXT, false, PLACE(model), 0, "MODEL", "repository, folder or file of the model" },
    { "recipe", 0, KIND_TEXT, false, PLACE(recipe), 0, "FILE", "how to serve it, where no engine knows it" },
    { "data", 0, KIND_TEXT, false, PLACE(data), 0, "DATA", "a path, or hf://datasets/owner/name" },
    { "output", 'o', KIND_TEXT, false, PLACE(output), 0, "FOLDER", "folder for what the job keeps" },
    { "name", 0, KIND_TEXT, false, PLACE(name), 0, "NAME", "a name for people" },
    { "key", 0, KIND_TEXT, false, PLACE(key), 0, "KEY", "the same key again finds the job that was made with it" },
    { "env", 'e', KIND_PAIRS, false, PLACE(environment), 0, "NAME=VALUE", "environment of the job; may be repeated" },
    { "label", 0, KIND_PAIRS, false, PLACE(labels), 0, "NAME=VALUE", "mark the job; may be repeated" },
    { "time-limit", 0, KIND_TIME, false, PLACE(time_limit), 0, "TIME", "how long it may run: 90s, 10m, 2h" },
    { "memory-limit", 0, KIND_SIZE, false, PLACE(memory_limit), 0, "SIZE", "how much memory it may use: 512M, 2G" },
    { "threads", 0, KIND_NUMBER, false, PLACE(threads), 0, "N", "threads to compute with" },
    { "port", 'p', KIND_NUMBER, false, PLACE(port), 0, "PORT", "port to serve at; else a free one" },
    { "detach", 'd', KIND_FLAG, false, PLACE(detach), 0, NULL, "do not stay with the job" },

    { "all", 'a', KIND_FLAG, false, PLACE(all), 0, NULL, "those that have ended too" },
    { "follow", 'f', KIND_FLAG, false, PLACE(follow), 0, NULL, "go on until the job ends" },
    { "lines", 'n', KIND_NUMBER, false, PLACE(lines), 0, "N", "begin with the last N" },
    { "now", 0, KIND_FLAG, false, PLACE(now), 0, NULL, "at once, without grace" },

    { "system", 0, KIND_TEXT, false, PLACE(system), 0, "TEXT", "what the model is told first" },
    { "max-tokens", 0, KIND_NUMBER, false, PLACE(max_tokens), 0, "N", "tokens of an answer at most" },
    { "temperature", 0, KIND_REAL, false, PLACE(temperature), 0, "T", "0 for the likeliest answer, more for variety" },

    { "message", 'm', KIND_TEXT, false, PLACE(message), 0, "TEXT", "summary of the commit" },
    { "branch", 0, KIND_TEXT, false, PLACE(branch), 0, "BRANCH", "branch to publish to; else main" },
    { "parent", 0, KIND_TEXT, false, PLACE(parent), 0, "COMMIT", "only if the branch still stands there" },
    { "markdown", 0, KIND_FLAG, false, PLACE(markdown), 0, NULL, "as a table for a README" },
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

/* ---- names ---- */

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);

    while (*words != '\0') {
        size_t size = strcspn(words, " ");

        if (size == length && strncmp(words, word, size) == 0)
            return true;
        words += size + strspn(words + size, " ");
    }
    return false;
}

static bool is_taken(const struct command *command, const struct option *option)
{
    return option->common || (command != NULL && has_word(command->options, option->name));
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many letters must be changed, added or left out to make one word of the other; words longer than the row are far. */
static int distance(const char *word, const char *other)
{
    enum { LONGEST = 31 };
    int length = (int)strlen(other), row[LONGEST + 1], diagonal, above;

    if (length > LONGEST || strlen(word) > LONGEST)
        return LONGEST;
    for (int i = 0; i <= length; i++)
        row[i] = i;
    for (int i = 0; word[i] != '\0'; i++) {
        diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < length; j++) {
            above = row[j + 1];
            row[j + 1] = least(diagonal + (word[i] != other[j]), least(above, row[j]) + 1);
            diagonal = above;
        }
    }
    return row[length];
}

const char *nearest_name(const char *word, const char *const *names)
{
    int nearest = (int)strlen(word) / 3 + 1;
    const char *found = NULL;

    for (; *names != NULL; names++) {
        int far = strncmp(*names, word, strlen(word)) == 0 ? 0 : distance(word, *names);

        if (far <= nearest && (found == NULL || far < nearest)) {
            nearest = far;
            found = *names;
        }
    }
    return found;
}

const struct command *command_find(const char *name)
{
    const struct command *command = commands;

    while (command->name != NULL && strcmp(command->name, name) != 0)
        command++;
    return command->name != NULL ? command : NULL;
}

static int fail_command(struct tool *tool, const char *word)
{
    const char *names[64];
    const char *near;
    char hint[128];
    size_t count = 0;

    for (const struct command *command = commands; command->name != NULL && count < 63; command++)
        names[count++] = command->name;
    names[count] = NULL;
    near = nearest_name(word, names);
    snprintf(hint, sizeof hint, "%s%s%s`tenon --help` lists the commands.", near != NULL ? "Did you mean `tenon " : "",
             near != NULL ? near : "", near != NULL ? "`? " : "");
    return fail_usage(tool, hint, "there is no command \"%s\"", word);
}

static int fail_option(struct tool *tool, const char *word)
{
    const char *names[OPTION_COUNT + 1];
    const char *near, *command = tool->command != NULL ? tool->command->name : "";
    const char *blank = *command != '\0' ? " " : "";
    char hint[192];
    size_t count = 0;

    for (int i = 0; i < OPTION_COUNT; i++)
        if (is_taken(tool->command, &options[i]))
            names[count++] = options[i].name;
    names[count] = NULL;
    near = word[1] == '-' ? nearest_name(word + 2, names) : NULL;
    if (near != NULL)
        snprintf(hint, sizeof hint, "Did you mean --%s? `tenon%s%s --help` lists the options.", near, blank, command);
    else
        snprintf(hint, sizeof hint, "`tenon%s%s --help` lists the options.", blank, command);
    return fail_usage(tool, hint, "tenon%s%s has no option %.*s", blank, command, (int)strcspn(word, "="), word);
}

/* ---- values ---- */

static bool read_integer(const char *text, int64_t *number, const char **rest)
{
    char *end;

    errno = 0;
    *number = strtoll(text, &end, 10);
    *rest = end;
    return end > text && isdigit((unsigned char)text[0]) && errno == 0;
}

/* A number and perhaps a unit: units[i] stands for factors[i]. */
static bool read_amount(const char *text, const char *units, const int64_t *factors, int64_t *number)
{
    const char *rest, *unit;
    int64_t factor = factors[0];

    if (!read_integer(text, number, &rest))
        return false;
    unit = *rest != '\0' ? strchr(units, tolower((unsigned char)*rest)) : NULL;
    if (unit != NULL) {
        factor = factors[unit - units];
        rest++;
    }
    if (*rest != '\0' || *number > INT64_MAX / factor)
        return false;
    *number *= factor;
    return true;
}

static bool read_size(const char *text, int64_t *bytes)
{
    static const int64_t factors[] = { 1, INT64_C(1) << 10, INT64_C(1) << 20, INT64_C(1) << 30, INT64_C(1) << 40 };

    return read_amount(text, "bkmgt", factors, bytes);
}

static bool read_time(const char *text, int64_t *ms)
{
    static const int64_t factors[] = { 1000, 60000, 3600000, 86400000 };

    return read_amount(text, "smhd", factors, ms);
}

static bool read_number(const char *text, int64_t *number)
{
    const char *rest;

    return read_integer(text, number, &rest) && *rest == '\0';
}

static bool read_real(const char *text, double *number)
{
    char *end;

    *number = strtod(text, &end);
    return end > text && *end == '\0' && isfinite(*number);
}

/* Lists have room for every word of the command line. */
static void add_to_list(const char **list, const char *value)
{
    while (*list != NULL)
        list++;
    *list = value;
}

static bool set_choice(int32_t *place, int32_t choice)
{
    bool free = *place == 0 || *place == choice;

    *place = choice;
    return free;
}

/* Puts a value where it belongs; false when it makes no sense. */
static bool set_option(struct arguments *arguments, const struct option *option, const char *value)
{
    char *place = (char *)arguments + option->place;
    bool good = true;

    switch (option->kind) {
    case KIND_FLAG:
        *(bool *)place = true;
        break;
    case KIND_COUNT:
        ++*(int32_t *)place;
        break;
    case KIND_CHOICE:
        good = set_choice((int32_t *)place, option->choice);
        break;
    case KIND_TEXT:
        *(const char **)place = value;
        break;
    case KIND_PAIRS:
        good = value[0] != '=' && strchr(value, '=') != NULL;
        add_to_list(*(const char ***)place, value);
        break;
    case KIND_LIST:
        add_to_list(*(const char ***)place, value);
        break;
    case KIND_NUMBER:
        good = read_number(value, (int64_t *)place);
        break;
    case KIND_SIZE:
        good = read_size(value, (int64_t *)place);
        break;
    case KIND_TIME:
        good = read_time(value, (int64_t *)place);
        break;
    case KIND_REAL:
        good = read_real(value, (double *)place);
        break;
    }
    return good;
}

/* ---- the command line ---- */

struct reading {
    struct tool *tool;
    char **words;  /* those still to be read */
    bool operands; /* "--" was read: nothing is an option any more */
};

static int fail_value(struct tool *tool, const struct option *option, const char *value)
{
    char hint[128];
    int status;

    if (option->kind == KIND_CHOICE)
        return fail_usage(tool, "Give one of them.", "--%s contradicts an option before it", option->name);
    snprintf(hint, sizeof hint, "--%s %s: %s.", option->name, option->value, option->help);
    if (value == NULL)
        status = fail_usage(tool, hint, "--%s needs a value", option->name);
    else
        status = fail_usage(tool, hint, "--%s cannot be \"%s\"", option->name, value);
    return status;
}

static bool needs_value(const struct option *option)
{
    return option->value != NULL;
}

/* value: what stood behind it in the same word, else NULL. */
static int take_option(struct reading *reading, const struct option *option, const char *value)
{
    if (value == NULL && needs_value(option)) {
        value = *reading->words;
        if (value == NULL)
            return fail_value(reading->tool, option, NULL);
        reading->words++;
    }
    if (!set_option(&reading->tool->arguments, option, value))
        return fail_value(reading->tool, option, value);
    return EXIT_OK;
}

static const struct option *find_long(const struct command *command, const char *name, size_t length)
{
    const struct option *found = NULL;

    for (int i = 0; i < OPTION_COUNT && found == NULL; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0 && is_taken(command, &options[i]))
            found = &options[i];
    return found;
}

static const struct option *find_letter(const struct command *command, char letter)
{
    const struct option *found = NULL;

    for (int i = 0; i < OPTION_COUNT && found == NULL; i++)
        if (options[i].letter == letter && is_taken(command, &options[i]))
            found = &options[i];
    return found;
}

static int take_long(struct reading *reading, const char *word)
{
    size_t length = strcspn(word + 2, "=");
    const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
    const struct option *option = find_long(reading->tool->command, word + 2, length);

    if (option == NULL)
        return fail_option(reading->tool, word);
    if (value != NULL && !needs_value(option))
        return fail_usage(reading->tool, "Leave out what stands behind the equals sign.", "--%s takes no value", option->name);
    return take_option(reading, option, value);
}

/* One letter or several: -f, -fn5, -n 5. */
static int take_letters(struct reading *reading, const char *word)
{
    int status = EXIT_OK;

    for (const char *letter = word + 1; *letter != '\0' && status == EXIT_OK; letter++) {
        const struct option *option = find_letter(reading->tool->command, *letter);
        bool rest_is_value = option != NULL && needs_value(option) && letter[1] != '\0';

        if (option == NULL)
            return fail_option(reading->tool, word);
        status = take_option(reading, option, rest_is_value ? letter + 1 : NULL);
        if (rest_is_value)
            break;
    }
    return status;
}

static int take_operand(struct tool *tool, const char *word)
{
    struct arguments *arguments = &tool->arguments;
    int status = EXIT_OK;

    if (tool->command == NULL && strcmp(word, "help") == 0)
        arguments->help = true;
    else if (tool->command == NULL) {
        tool->command = command_find(word);
        if (tool->command == NULL)
            status = fail_command(tool, word);
    } else
        arguments->operands[arguments->operand_count++] = word;
    return status;
}

static int take_word(struct reading *reading)
{
    const char *word = *reading->words++;
    int status = EXIT_OK;

    if (reading->operands || word[0] != '-' || word[1] == '\0')
        status = take_operand(reading->tool, word);
    else if (strcmp(word, "--") == 0)
        reading->operands = true;
    else if (word[1] == '-')
        status = take_long(reading, word);
    else
        status = take_letters(reading, word);
    return status;
}

static int check_operands(struct tool *tool)
{
    const struct command *command = tool->command;
    int count = tool->arguments.operand_count;
    char hint[256];

    if (command == NULL)
        return fail_usage(tool, "`tenon --help` lists the commands.", "no command was given");
    snprintf(hint, sizeof hint, "tenon %s %s", command->name, command->operands);
    if (count < command->least)
        return fail_usage(tool, hint, "tenon %s needs to be told more", command->name);
    if (count > command->most)
        return fail_usage(tool, hint, "tenon %s does not understand \"%s\"", command->name, tool->arguments.operands[command->most]);
    return EXIT_OK;
}

static bool make_lists(struct arguments *arguments, int count)
{
    const char ***lists[] = { &arguments->operands, &arguments->settings, &arguments->include, &arguments->exclude,
                              &arguments->environment, &arguments->labels };
    bool made = true;

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        *lists[i] = calloc((size_t)count + 1, sizeof **lists[i]);
        made = made && *lists[i] != NULL;
    }
    return made;
}

int arguments_read(struct tool *tool, int count, char **words)
{
    struct reading reading = { tool, words + 1, false };
    int status = EXIT_OK;

    tool->arguments.temperature = NAN;
    if (!make_lists(&tool->arguments, count))
        status = fail_memory(tool);
    while (status == EXIT_OK && *reading.words != NULL)
        status = take_word(&reading);
    if (status == EXIT_OK && !tool->arguments.help && !tool->arguments.version)
        status = check_operands(tool);
    return status;
}

void arguments_clear(struct arguments *arguments)
{
    free(arguments->operands);
    free(arguments->settings);
    free(arguments->include);
    free(arguments->exclude);
    free(arguments->environment);
    free(arguments->labels);
}

/* ---- help ---- */

static void print_option(const struct option *option)
{
    char name[64];

    snprintf(name, sizeof name, "%c%c%s--%s%s%s", option->letter != 0 ? '-' : ' ', option->letter != 0 ? option->letter : ' ',
             option->letter != 0 ? ", " : "  ", option->name, option->value != NULL ? " " : "", option->value != NULL ? option->value : "");
    printf("  %-26s %s\n", name, option->help);
}

static void print_command(const struct command *command)
{
    printf("tenon %s %s\n\n%s\n", command->name, command->operands, command->about);
    if (*command->options != '\0')
        printf("\nOptions\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (!options[i].common && is_taken(command, &options[i]))
            print_option(&options[i]);
    printf("\nExamples\n%s\n`tenon --help` has the options that every command takes.\n", command->examples);
}

static void print_tool(void)
{
    printf("tenon COMMAND ...\n\nBrings open models from a hub, says which hardware they fit, trains and serves them, and talks to them.\n\nCommands\n");
    for (const struct command *command = commands; command->name != NULL; command++)
        printf("  %-10s %s\n", command->name, command->summary);
    printf("\nEvery command takes\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options[i].common)
            print_option(&options[i]);
    printf("\nExit status\n"
           "  0 done          1 failed         2 wrong usage, or an argument that is not valid\n"
           "  3 not found     4 not allowed: token, licence      5 not reachable: network, offline, overloaded\n"
           "  6 does not fit  7 damaged: content is not what it should be      130 interrupted\n"
           "\nHF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH and HF_HUB_OFFLINE mean what they mean to the official\n"
           "tools; NO_COLOR turns colors off. A result goes to standard output, everything else to standard error.\n");
}

void help_print(const struct command *command)
{
    if (command != NULL)
        print_command(command);
    else
        print_tool();
}
