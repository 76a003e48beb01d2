#include "spec.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "local_state.h"

static tenon_status fail_spec(struct failure *failure, const char *folder, const char *what)
{
    return tn_fail(failure, TENON_ERROR_PROTOCOL, "%s/%s: %s", folder, LOCAL_SPEC, what);
}

static bool is_list_of_texts(const json_t *list)
{
    bool good = json_is_array(list);

    for (size_t i = 0; i < json_array_size(list) && good; i++)
        good = json_is_string(json_array_get(list, i));
    return good;
}

static bool is_list_of_pairs(const json_t *list)
{
    bool good = json_is_array(list);

    for (size_t i = 0; i < json_array_size(list) && good; i++)
        good = is_list_of_texts(json_array_get(list, i)) && json_array_size(json_array_get(list, i)) == 2;
    return good;
}

static tenon_status take_apart(struct spec *spec, const char *folder, struct failure *failure)
{
    const json_t *json = spec->json;
    tenon_status status = TENON_OK;

    spec->id = tn_json_text(json, "id");
    spec->home = tn_json_text(json, "home");
    spec->output = tn_json_text(json, "output");
    spec->command = tn_json_member(json, "command");
    spec->variables = tn_json_member(json, "variables");
    spec->recipe = tn_json_member(json, "recipe_environment");
    spec->environment = tn_json_member(json, "environment");
    spec->outputs = tn_json_member(json, "outputs");
    spec->time_ms = tn_json_integer(json, "time_ms", 0);
    spec->memory_bytes = tn_json_integer(json, "memory_bytes", 0);
    spec->grace_ms = tn_json_integer(json, "grace_ms", 0);
    spec->port = (int32_t)tn_json_integer(json, "port", -1);
    if (tn_json_integer(json, "format", 0) != LOCAL_FORMAT)
        status = fail_spec(failure, folder, "it is of another version of tenon");
    else if (spec->id == NULL || spec->home == NULL || spec->output == NULL || !is_list_of_texts(spec->command) ||
             json_array_size(spec->command) == 0 || !is_list_of_texts(spec->variables) || !is_list_of_pairs(spec->recipe) ||
             !is_list_of_texts(spec->environment) || !is_list_of_texts(spec->outputs) || spec->port < -1 || spec->port > 65535 ||
             spec->time_ms < 0 || spec->memory_bytes < 0 || spec->grace_ms < 0)
        status = fail_spec(failure, folder, "it is not whole");
    return status;
}

tenon_status spec_read(struct spec *spec, const char *folder, struct failure *failure)
{
    tenon_status status;

    memset(spec, 0, sizeof *spec);
    status = tn_job_read_file(folder, LOCAL_SPEC, &spec->json, failure);
    if (status == TENON_OK)
        status = take_apart(spec, folder, failure);
    if (status != TENON_OK)
        spec_clear(spec);
    return status;
}

void spec_clear(struct spec *spec)
{
    json_decref(spec->json);
    spec->json = NULL;
}

static const char *text_at(const json_t *list, size_t index)
{
    return json_string_value(json_array_get(list, index));
}

/* The text with variables filled in, in the arena; NULL with the failure. */
static const char *expand(const char *text, const struct environment *environment, struct arena *arena, struct failure *failure)
{
    struct text expanded;
    const char *kept = NULL;

    tn_text_init(&expanded, arena->memory, LOCAL_FILE_LIMIT);
    if (tn_expand(text, environment, &expanded, failure) == TENON_OK) {
        kept = tn_arena_copy(arena, tn_text(&expanded));
        if (kept == NULL)
            tn_fail_memory(failure);
    }
    tn_text_clear(&expanded);
    return kept;
}

static void put_all(struct environment *environment, const json_t *pairs)
{
    for (size_t i = 0; i < json_array_size(pairs); i++)
        tn_environment_put(environment, text_at(pairs, i));
}

static tenon_status fill_environment(const struct spec *spec, int32_t port, struct arena *arena, struct environment *environment,
                                     struct failure *failure)
{
    char digits[16];

    put_all(environment, spec->variables);
    snprintf(digits, sizeof digits, "%d", (int)port);
    tn_environment_set(environment, "TENON_PORT", port > 0 ? digits : NULL);
    for (size_t i = 0; i < json_array_size(spec->recipe); i++) {
        const json_t *pair = json_array_get(spec->recipe, i);
        const char *value = expand(text_at(pair, 1), environment, arena, failure);

        if (value == NULL)
            return failure->status;
        tn_environment_set(environment, text_at(pair, 0), value);
    }
    put_all(environment, spec->environment);
    return tn_environment_status(environment) == TENON_OK ? TENON_OK : tn_fail_memory(failure);
}

tenon_status spec_expand(const struct spec *spec, int32_t port, struct arena *arena, const char *const **command,
                         struct environment *environment, struct failure *failure)
{
    size_t count = json_array_size(spec->command);
    const char **list = tn_arena_alloc(arena, (count + 1) * sizeof *list);
    tenon_status status;

    tn_environment_init(environment, arena);
    if (list == NULL)
        return tn_fail_memory(failure);
    status = fill_environment(spec, port, arena, environment, failure);
    for (size_t i = 0; i < count && status == TENON_OK; i++) {
        list[i] = expand(text_at(spec->command, i), environment, arena, failure);
        status = list[i] != NULL ? TENON_OK : failure->status;
    }
    if (status == TENON_OK) {
        list[count] = NULL;
        *command = list;
    }
    return status;
}
