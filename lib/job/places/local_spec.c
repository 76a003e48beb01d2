/* spec.json: everything that the supervisor must know to run a job. */
#include <stdio.h>
#include <string.h>

#include "contract.h"
#include "engine.h"
#include "json.h"
#include "local_job.h"

/* ---- lists as JSON ---- */

static json_t *list_of(const char *const *list)
{
    json_t *array = json_array();

    for (; array != NULL && list != NULL && *list != NULL; list++)
        if (json_array_append_new(array, json_string(*list)) != 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

static json_t *pairs_of(const struct pair *pairs, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; i < count && array != NULL; i++)
        if (json_array_append_new(array, json_pack("[s, s]", pairs[i].name, pairs[i].value)) != 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

/* ---- the environment ---- */

static bool is_utf8(const char *text)
{
    json_t *json = json_string(text);
    bool good = json != NULL;

    json_decref(json);
    return good;
}

static void set_path(const struct settings *settings, enum setting_id id, const char *name, struct environment *environment)
{
    struct text path;

    tn_text_init(&path, environment->arena->memory, LOCAL_FILE_LIMIT);
    if (id == SETTING_JOB_PATH)
        tn_text_add(&path, tn_setting_text(settings, id) != NULL ? tn_setting_text(settings, id) : "");
    else
        tn_setting_path(settings, id, &path);
    if (path.length > 0)
        tn_environment_set(environment, name, tn_text(&path));
    environment->failed = environment->failed || path.failed;
    tn_text_clear(&path);
}

/* What the process gets besides the recipe's and the caller's own: the machine's, the accelerator's, the contract's. */
static void fill_variables(const struct ready_order *ready, struct environment *environment)
{
    const struct order *order = ready->order;
    const struct settings *settings = &order->context->settings;
    struct contract contract = {
        .id = ready->id, .mode = tn_mode_word(order->mode), .model = ready->model, .model_id = order->model.given,
        .data = ready->data, .output = ready->output, .host = order->port >= 0 ? "127.0.0.1" : NULL, .key = ready->key,
        .threads = order->threads, .context_tokens = order->context_tokens, .sequences = order->sequences,
    };
    char name[128];

    for (const char *const *pair = tn_settings_inherited(settings); *pair != NULL; pair++)
        if (is_utf8(*pair))
            tn_environment_put(environment, *pair);
    set_path(settings, SETTING_JOB_PATH, "PATH", environment);
    set_path(settings, SETTING_HOME, "HOME", environment);
    for (const struct pair *pair = order->visible; pair->name != NULL; pair++)
        tn_environment_set(environment, pair->name, pair->value);
    tn_contract_fill(&contract, environment);
    if (ready->engine != NULL) {
        for (const char *const *pair = ready->engine->environment; *pair != NULL; pair++)
            tn_environment_put(environment, *pair);
        tn_environment_set(environment, ready->engine->key_variable, ready->key);
    }
    for (size_t i = 0; i < order->input_count; i++) {
        snprintf(name, sizeof name, "TENON_INPUT_%.100s", order->inputs[i].name);
        tn_environment_set(environment, name, ready->inputs[i]);
    }
}

static tenon_status status_of(const struct environment *environment, struct failure *failure)
{
    return tn_environment_status(environment) == TENON_OK ? TENON_OK : tn_fail_memory(failure);
}

/* Every name in the command and in the recipe's environment must stand for something, before anything is fetched or run. */
static tenon_status check_names(const struct ready_order *ready, const char *const *command, struct environment *environment,
                                struct failure *failure)
{
    const struct order *order = ready->order;
    tenon_status status;
    struct text expanded;

    tn_text_init(&expanded, environment->arena->memory, LOCAL_FILE_LIMIT);
    tn_environment_set(environment, "TENON_PORT", order->port >= 0 ? "0" : NULL);
    status = status_of(environment, failure);
    for (size_t i = 0; i < order->recipe.environment_count && status == TENON_OK; i++) {
        tn_text_reset(&expanded);
        status = tn_expand(order->recipe.environment[i].value, environment, &expanded, failure);
        tn_environment_set(environment, order->recipe.environment[i].name, tn_text(&expanded));
        if (status == TENON_OK)
            status = status_of(environment, failure);
    }
    for (const char *const *pair = order->environment; pair != NULL && *pair != NULL; pair++)
        tn_environment_put(environment, *pair);
    if (status == TENON_OK)
        status = status_of(environment, failure);
    for (; *command != NULL && status == TENON_OK; command++) {
        tn_text_reset(&expanded);
        status = tn_expand(*command, environment, &expanded, failure);
    }
    tn_text_clear(&expanded);
    return status;
}

/* ---- the document ---- */

static bool set_numbers(json_t *json, const struct order *order)
{
    const struct settings *settings = &order->context->settings;

    return tn_json_set_integer(json, "format", LOCAL_FORMAT) && tn_json_set_integer(json, "time_ms", order->time_ms) &&
           tn_json_set_integer(json, "memory_bytes", order->memory_bytes) &&
           tn_json_set_integer(json, "grace_ms", tn_setting_integer(settings, SETTING_JOB_GRACE_MS)) &&
           tn_json_set_integer(json, "port", order->port);
}

static bool set_texts(json_t *json, const struct ready_order *ready)
{
    const struct order *order = ready->order;
    const char *health = ready->engine != NULL ? ready->engine->health : order->recipe.health;

    return tn_json_set_text(json, "id", ready->id) && tn_json_set_text(json, "output", ready->output) &&
           tn_json_set_text(json, "home", order->home != NULL ? order->home : ready->output) &&
           tn_json_set_text(json, "key", ready->key) && tn_json_set_text(json, "health", health != NULL ? health : "/health");
}

tenon_status tn_local_spec(const struct ready_order *ready, json_t **out, struct failure *failure)
{
    const struct order *order = ready->order;
    const struct recipe *recipe = &order->recipe;
    const char *const *command = recipe->command;
    json_t *json = json_object();
    struct environment environment;
    struct arena arena;
    tenon_status status = TENON_OK;
    bool whole;

    tn_arena_init(&arena, &order->context->memory);
    tn_environment_init(&environment, &arena);
    fill_variables(ready, &environment);
    if (ready->engine != NULL)
        command = tn_engine_command(ready->engine, order->context_tokens, order->sequences, &arena);
    whole = json != NULL && command != NULL && set_numbers(json, order) && set_texts(json, ready) &&
            tn_environment_status(&environment) == TENON_OK &&
            json_object_set_new(json, "command", list_of(command)) == 0 &&
            json_object_set_new(json, "variables", list_of(environment.pairs)) == 0 &&
            json_object_set_new(json, "recipe_environment", pairs_of(recipe->environment, recipe->environment_count)) == 0 &&
            json_object_set_new(json, "environment", list_of(order->environment)) == 0 &&
            json_object_set_new(json, "outputs", list_of(recipe->outputs)) == 0;
    status = whole ? check_names(ready, command, &environment, failure) : tn_fail_memory(failure);
    if (status == TENON_OK)
        *out = json;
    else
        json_decref(json);
    tn_arena_clear(&arena);
    return status;
}
