#include "contract.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EXPANDED_LIMIT = 1 << 20 };

void tn_environment_init(struct environment *environment, struct arena *arena)
{
    memset(environment, 0, sizeof *environment);
    environment->arena = arena;
}

/* Where the variable is; count where it is not set. */
static size_t find(const struct environment *environment, const char *name, size_t length)
{
    size_t at = 0;

    while (at < environment->count &&
           !(strncmp(environment->pairs[at], name, length) == 0 && environment->pairs[at][length] == '='))
        at++;
    return at;
}

/* Room for one more pair and the NULL. The arena keeps the old list too; lists are short. */
static bool make_room(struct environment *environment)
{
    size_t room = environment->room == 0 ? 64 : 2 * environment->room;
    const char **pairs;

    if (environment->count + 1 < environment->room)
        return true;
    pairs = tn_arena_alloc(environment->arena, room * sizeof *pairs);
    if (pairs == NULL)
        return false;
    if (environment->count > 0)
        memcpy(pairs, environment->pairs, environment->count * sizeof *pairs);
    pairs[environment->count] = NULL;
    environment->pairs = pairs;
    environment->room = room;
    return true;
}

/* Takes a pair that lives in the arena. */
static void place_pair(struct environment *environment, const char *pair)
{
    size_t at;

    if (pair == NULL || !make_room(environment)) {
        environment->failed = true;
        return;
    }
    at = find(environment, pair, strcspn(pair, "="));
    environment->pairs[at] = pair;
    if (at == environment->count)
        environment->pairs[++environment->count] = NULL;
}

void tn_environment_set(struct environment *environment, const char *name, const char *value)
{
    size_t length;
    char *pair;

    if (value == NULL)
        return;
    length = strlen(name) + strlen(value) + 2;
    pair = tn_arena_alloc(environment->arena, length);
    if (pair != NULL)
        snprintf(pair, length, "%s=%s", name, value);
    place_pair(environment, pair);
}

void tn_environment_put(struct environment *environment, const char *pair)
{
    place_pair(environment, tn_arena_copy(environment->arena, pair));
}

const char *tn_environment_get(const struct environment *environment, const char *name, size_t length)
{
    size_t at = find(environment, name, length);

    return at < environment->count ? environment->pairs[at] + length + 1 : NULL;
}

tenon_status tn_environment_status(const struct environment *environment)
{
    return environment->failed ? TENON_ERROR_MEMORY : TENON_OK;
}

/* Adds what $(NAME) at text stands for, and moves text behind it. */
static tenon_status expand_name(const char **text, const struct environment *environment, struct text *out, struct failure *failure)
{
    const char *name = *text + 2;
    size_t length = strcspn(name, ")");
    const char *value;

    if (name[length] == '\0') {
        tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%.200s\" has no closing bracket", *text);
        return tn_hint(failure, "Write $(NAME) for a variable, $$ for a dollar sign.");
    }
    value = tn_environment_get(environment, name, length);
    if (value == NULL) {
        tn_fail(failure, TENON_ERROR_ARGUMENT, "$(%.*s) is no variable of this job", (int)(length < 200 ? length : 200), name);
        return tn_hint(failure, "Variables are those of the contract that the job has, and those of its environment that stand "
                                "before; write $$ for a dollar sign.");
    }
    tn_text_add(out, value);
    *text = name + length + 1;
    return TENON_OK;
}

tenon_status tn_expand(const char *text, const struct environment *environment, struct text *out, struct failure *failure)
{
    tenon_status status = TENON_OK;

    while (*text != '\0' && status == TENON_OK) {
        size_t plain = strcspn(text, "$");

        tn_text_add_n(out, text, plain);
        text += plain;
        if (text[0] == '$' && text[1] == '(')
            status = expand_name(&text, environment, out, failure);
        else if (*text == '$') {
            tn_text_add_char(out, '$');
            text += text[1] == '$' ? 2 : 1;
        }
    }
    if (status == TENON_OK && out->length > EXPANDED_LIMIT)
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "a text of the command or the environment becomes longer than 1 MiB");
    if (status == TENON_OK && tn_text_status(out) != TENON_OK)
        status = tn_fail_memory(failure);
    return status;
}

static void set_count(struct environment *environment, const char *name, int64_t count)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, count);
    tn_environment_set(environment, name, count > 0 ? text : NULL);
}

void tn_contract_fill(const struct contract *contract, struct environment *environment)
{
    static const char *const thread_variables[] = { "TENON_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS" };

    tn_environment_set(environment, "TENON_JOB_ID", contract->id);
    tn_environment_set(environment, "TENON_MODE", contract->mode);
    tn_environment_set(environment, "TENON_MODEL", contract->model);
    tn_environment_set(environment, "TENON_MODEL_ID", contract->model_id);
    tn_environment_set(environment, "TENON_DATA", contract->data);
    tn_environment_set(environment, "TENON_OUTPUT", contract->output);
    tn_environment_set(environment, "TENON_HOST", contract->host);
    tn_environment_set(environment, "TENON_API_KEY", contract->key);
    for (size_t i = 0; i < sizeof thread_variables / sizeof thread_variables[0]; i++)
        set_count(environment, thread_variables[i], contract->threads);
    set_count(environment, "TENON_CONTEXT_TOKENS", contract->context_tokens);
    set_count(environment, "TENON_SEQUENCES", contract->sequences);
    tn_environment_set(environment, "PYTHONUNBUFFERED", "1");
}

