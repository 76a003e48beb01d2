#include "order.h"

#include <limits.h>
#include <string.h>

#include "accelerator.h"
#include "file.h"
#include "hash.h"
#include "json.h"
#include "path.h"

enum { RECIPE_LIMIT = 1 << 20, KEY_LONGEST = 1000 };

#define RECIPE_IS_SMALL "A recipe only says how to run the job; put what is large into files, and name them as data or inputs."

static struct failure *failure_of(const struct order *order)
{
    return &order->context->failure;
}

static tenon_status refuse(const struct order *order, const char *message, const char *hint)
{
    tn_fail(failure_of(order), TENON_ERROR_ARGUMENT, "%s", message);
    return tn_hint(failure_of(order), "%s", hint);
}

/* ---- texts ---- */

static bool is_utf8(const char *text)
{
    size_t left = strlen(text), step;

    while (left > 0 && (step = tn_utf8_length((const unsigned char *)text, left)) > 0) {
        text += step;
        left -= step;
    }
    return left == 0;
}

/* Copies a text of the caller; what names it in a failure. NULL stays NULL. */
static tenon_status keep(struct order *order, const char *text, const char *what, const char **copy)
{
    tenon_status status = TENON_OK;

    *copy = NULL;
    if (text != NULL && !is_utf8(text))
        status = tn_fail(failure_of(order), TENON_ERROR_ARGUMENT, "%s is not UTF-8", what);
    else if (text != NULL && (*copy = tn_arena_copy(&order->arena, text)) == NULL)
        status = tn_fail_memory(failure_of(order));
    return status;
}

static tenon_status keep_text(struct order *order, const struct text *text, const char **copy)
{
    *copy = text->failed ? NULL : tn_arena_copy(&order->arena, tn_text(text));
    return *copy != NULL ? TENON_OK : tn_fail_memory(failure_of(order));
}

/* A path of the caller's in full: as seen from base, or from the current folder where that is NULL. */
static tenon_status keep_path(struct order *order, const char *path, const char *base, const char **copy)
{
    struct text full;
    tenon_status status;

    tn_text_init(&full, &order->context->memory, PATH_MAX);
    if (base != NULL && *path != '/')
        tn_path_join(&full, base, path);
    else
        tn_path_absolute(&full, path);
    if (full.length > 1 && full.data[full.length - 1] == '/')
        full.data[--full.length] = '\0';
    status = keep_text(order, &full, copy);
    if (status == TENON_OK && !is_utf8(*copy))
        status = tn_fail(failure_of(order), TENON_ERROR_ARGUMENT, "the path %s is not UTF-8", *copy);
    tn_text_clear(&full);
    return status;
}

static tenon_status keep_list(struct order *order, const char *const *list, bool (*good)(const char *), const char *what,
                              const char *hint, const char *const **copy)
{
    tenon_status status = TENON_OK;

    for (const char *const *item = list; item != NULL && *item != NULL && status == TENON_OK; item++)
        if (!is_utf8(*item) || !good(*item)) {
            status = tn_fail(failure_of(order), TENON_ERROR_ARGUMENT, "%s \"%s\" is not valid", what, *item);
            tn_hint(failure_of(order), "%s", hint);
        }
    if (status == TENON_OK && tn_arena_copy_list(&order->arena, list, copy) != TENON_OK)
        status = tn_fail_memory(failure_of(order));
    return status;
}

static bool is_label(const char *label)
{
    const char *sign = strchr(label, '=');

    return sign != NULL && sign != label;
}

static bool is_variable(const char *pair)
{
    return pair[strcspn(pair, "=")] == '=' && tn_is_variable(pair, strcspn(pair, "=")) && !tn_starts_with(pair, "TENON_");
}

/* ---- numbers ---- */

static tenon_status check_numbers(const struct order *order, const tenon_job_options *options)
{
    tenon_status status = TENON_OK;

    if (options->threads < 0)
        status = refuse(order, "threads is below 0", "0 stands for the default.");
    else if (options->expiry_ms < 0 || options->memory_bytes < 0)
        status = refuse(order, "expiry_ms or memory_bytes is below 0", "0 stands for the recipe's, else no limit.");
    else if (options->port < 0 || options->port > 65535)
        status = refuse(order, "port is not from 0 to 65535", "0 stands for the recipe's, else a free one.");
    else if (options->context_tokens < 0 || options->sequences < 0)
        status = refuse(order, "context_tokens or sequences is below 0", "0 leaves it to the engine or the recipe.");
    else if (options->context_tokens > INT32_MAX || options->sequences > INT32_MAX ||
             options->context_tokens * options->sequences > INT32_MAX)
        status = refuse(order, "context_tokens or sequences, or their product, is above 2147483647", "No engine counts so far.");
    else if (options->key != NULL && (*options->key == '\0' || strlen(options->key) > KEY_LONGEST))
        status = refuse(order, "key is empty, or longer than 1000 bytes", "Leave it NULL for a job of its own.");
    return status;
}

/* The caller's numbers, else the recipe's, else the defaults. */
static void set_numbers(struct order *order, const tenon_job_options *options, const struct machine *cpu)
{
    const struct recipe *recipe = &order->recipe;
    int64_t half = cpu->row.cpu_milli / 2000;

    order->threads = options->threads > 0 ? options->threads : recipe->threads;
    if (order->threads == 0)
        order->threads = half < 1 ? 1 : half > 1024 ? 1024 : (int32_t)half;
    order->context_tokens = options->context_tokens;
    order->sequences = options->sequences;
    order->time_ms = options->expiry_ms > 0 ? options->expiry_ms : recipe->time_ms;
    order->memory_bytes = options->memory_bytes > 0 ? options->memory_bytes : recipe->memory_bytes;
    order->port = -1;
    if (order->mode == TENON_MODE_SERVE && options->port > 0)
        order->port = options->port;
    else if (order->mode == TENON_MODE_SERVE)
        order->port = order->has_recipe ? recipe->port : 0;
}

/* ---- the recipe ---- */

static tenon_status read_recipe_file(struct order *order, const char *path, struct text *content)
{
    const char *full;
    char *home;
    tenon_status status = keep_path(order, path, NULL, &full);

    if (status == TENON_OK)
        status = tn_file_read_whole(full, RECIPE_LIMIT, content, failure_of(order));
    if (status == TENON_ERROR_NOT_FOUND) {
        tn_fail(failure_of(order), TENON_ERROR_NOT_FOUND, "there is no recipe %s", full);
        tn_hint(failure_of(order), "A recipe is the path of a JSON file, or the JSON itself.");
    } else if (status == TENON_ERROR_PROTOCOL) {
        failure_of(order)->status = status = TENON_ERROR_ARGUMENT;
        tn_hint(failure_of(order), RECIPE_IS_SMALL);
    }
    if (status == TENON_OK) {
        home = tn_arena_copy(&order->arena, full);
        if (home == NULL)
            return tn_fail_memory(failure_of(order));
        /* The file is in some folder, be it the root. */
        *(strrchr(home, '/') + (strrchr(home, '/') == home)) = '\0';
        order->home = home;
    }
    return status;
}

static tenon_status read_recipe(struct order *order, const char *recipe, struct text *content)
{
    const char *what = "the recipe";
    tenon_status status = TENON_OK;

    if (recipe[strspn(recipe, " \t\r\n")] == '{') {
        tn_text_add(content, recipe);
        status = keep_path(order, "", NULL, &order->home);
    } else {
        what = recipe;
        status = read_recipe_file(order, recipe, content);
    }
    if (status == TENON_OK && content->failed)
        status = content->full ? refuse(order, "the recipe is larger than 1 MiB", RECIPE_IS_SMALL)
                               : tn_fail_memory(failure_of(order));
    if (status == TENON_OK)
        status = tn_recipe_read(&order->recipe, &order->arena, tn_text(content), content->length, what, failure_of(order));
    order->has_recipe = status == TENON_OK;
    return status;
}

/* ---- what it needs ---- */

static bool is_plainly_a_path(const char *text)
{
    return *text == '/' || tn_starts_with(text, "./") || tn_starts_with(text, "../") || strcmp(text, ".") == 0 ||
           strcmp(text, "..") == 0;
}

static tenon_status need_repository(struct order *order, struct supply *supply, tenon_hub *hub)
{
    struct repository repository;
    tenon_status status = TENON_OK;

    if (order->hub == NULL)
        status = tn_hub_or_default(order->context, hub, &order->hub);
    if (status == TENON_OK)
        status = tn_repository_parse(&repository, &order->context->memory, supply->given, NULL, order->hub->endpoint,
                                     failure_of(order));
    if (status == TENON_OK) {
        tn_repository_clear(&repository);
        supply->repository = supply->given;
    }
    return status;
}

/*
 * What text stands for: "hf://..." a repository, "/...", "./..." a path, anything else a path where there is one; where
 * there is none, a repository if it may be one.
 */
static tenon_status need(struct order *order, struct supply *supply, const char *text, const char *base, bool may_be_repository,
                         tenon_hub *hub)
{
    bool remote = text != NULL && (tn_starts_with(text, "hf://") || strstr(text, "://") != NULL);
    tenon_status status = keep(order, text, "the name of a model or of data", &supply->given);

    if (status != TENON_OK || text == NULL)
        return status;
    if (!remote)
        status = keep_path(order, text, base, &supply->path);
    if (status == TENON_OK && !remote && !tn_file_exists(supply->path)) {
        if (!may_be_repository || is_plainly_a_path(text)) {
            status = tn_fail(failure_of(order), TENON_ERROR_NOT_FOUND, "%s does not exist", supply->path);
            tn_hint(failure_of(order), "Give a path of this machine; data of the hub is written hf://datasets/owner/name.");
        }
        remote = true;
        supply->path = NULL;
    }
    if (status == TENON_OK && remote)
        status = need_repository(order, supply, hub);
    return status;
}

static tenon_status need_inputs(struct order *order, tenon_hub *hub)
{
    size_t count = order->recipe.input_count;
    tenon_status status = TENON_OK;

    order->inputs = tn_arena_alloc(&order->arena, (count + 1) * sizeof *order->inputs);
    if (order->inputs == NULL)
        return tn_fail_memory(failure_of(order));
    for (size_t i = 0; i < count && status == TENON_OK; i++) {
        order->inputs[i].name = order->recipe.inputs[i].name;
        status = need(order, &order->inputs[i], order->recipe.inputs[i].value, order->home, false, hub);
    }
    order->input_count = count;
    return status;
}

/* ---- the accelerator ---- */

static void show(struct order *order, const char *name, const char *value)
{
    size_t i = 0;

    while (order->visible[i].name != NULL)
        i++;
    order->visible[i].name = name;
    order->visible[i].value = value;
}

/* The process sees the one that was asked for, and with "local:cpu" none of the others that are here. */
static tenon_status show_accelerator(struct order *order, const tenon_accelerator *accelerator)
{
    const struct machine *machine = accelerator->machine;
    bool one = machine->index >= 0;
    struct text index;
    const char *value = NULL;
    tenon_status status = TENON_OK;

    tn_text_init(&index, &order->context->memory, 64);
    if (machine->kind == MACHINE_CUDA && *machine->uuid != '\0')
        tn_text_add(&index, machine->uuid);
    else
        tn_text_add_integer(&index, machine->index);
    if (one && machine->kind != MACHINE_CPU)
        status = keep_text(order, &index, &value);
    if (status == TENON_OK && machine->kind == MACHINE_CUDA && one)
        show(order, "CUDA_VISIBLE_DEVICES", value);
    else if (status == TENON_OK && machine->kind == MACHINE_ROCM && one)
        show(order, "ROCR_VISIBLE_DEVICES", value);
    if (machine->kind == MACHINE_CPU && tn_inventory_singles(&accelerator->inventory, MACHINE_CUDA) > 0)
        show(order, "CUDA_VISIBLE_DEVICES", "");
    if (machine->kind == MACHINE_CPU && tn_inventory_singles(&accelerator->inventory, MACHINE_ROCM) > 0)
        show(order, "ROCR_VISIBLE_DEVICES", "");
    tn_text_clear(&index);
    return status;
}

static tenon_status choose_accelerator(struct order *order, const tenon_job_options *options)
{
    tenon_accelerator *accelerator = NULL;
    tenon_status status = tn_accelerator_open(order->context, options->accelerator != NULL ? options->accelerator : "local",
                                              &accelerator);

    if (status == TENON_OK)
        status = keep(order, accelerator->machine->row.name, "the accelerator", &order->accelerator);
    if (status == TENON_OK)
        status = show_accelerator(order, accelerator);
    if (status == TENON_OK)
        set_numbers(order, options, &accelerator->inventory.machines[0]);
    tn_accelerator_drop(accelerator);
    return status;
}

/* ---- all of it ---- */

/* What it is called where the caller gave no name: as the model, else as the program. */
static tenon_status choose_name(struct order *order, const tenon_job_options *options)
{
    const char *name = options->name;
    struct text text;
    tenon_status status;

    if (name == NULL && order->model.given != NULL)
        name = tn_path_name(order->model.given);
    if (name == NULL || *name == '\0')
        name = order->has_recipe ? tn_path_name(order->recipe.command[0]) : "job";
    tn_text_init(&text, &order->context->memory, PATH_MAX);
    tn_text_add_n(&text, name, options->name != NULL ? strlen(name) : strcspn(name, "@"));
    status = text.failed ? tn_fail_memory(failure_of(order)) : keep(order, tn_text(&text), "name", &order->name);
    tn_text_clear(&text);
    return status;
}

static tenon_status copy_texts(struct order *order, const tenon_job_options *options)
{
    tenon_status status = keep(order, options->key, "key", &order->key);

    if (status == TENON_OK)
        status = keep(order, options->revision, "revision", &order->revision);
    if (status == TENON_OK)
        status = keep(order, options->file, "file", &order->file);
    if (status == TENON_OK && options->output != NULL)
        status = keep_path(order, options->output, NULL, &order->output);
    if (status == TENON_OK)
        status = keep_list(order, options->labels, is_label, "the label", "Write a label as name=value.", &order->labels);
    if (status == TENON_OK)
        status = keep_list(order, options->environment, is_variable, "the variable",
                           "Write a variable as NAME=value; names that begin with TENON_ are those of the contract.",
                           &order->environment);
    return status;
}

static bool set_list(json_t *json, const char *key, const char *const *list)
{
    json_t *array = json_array();
    bool whole = array != NULL;

    for (; list != NULL && *list != NULL && whole; list++)
        whole = json_array_append_new(array, json_string(*list)) == 0;
    whole = whole && json_object_set(json, key, array) == 0;
    json_decref(array);
    return whole;
}

/* What callers could not say earlier changes nothing while they do not say it: keys of theirs find their jobs. */
static bool set_if_said(json_t *json, const char *key, int64_t number)
{
    return number == 0 || tn_json_set_integer(json, key, number);
}

/* Two submits with one key are the same when everything that the caller said is the same. */
static tenon_status make_fingerprint(struct order *order, const tenon_job_options *options, const struct text *recipe)
{
    json_t *json = json_object();
    bool whole = json != NULL && tn_json_set_integer(json, "mode", order->mode) &&
                 tn_json_set_text(json, "model", order->model.given) &&
                 tn_json_set_text(json, "model_path", order->model.path) && tn_json_set_text(json, "revision", order->revision) &&
                 tn_json_set_text(json, "file", order->file) &&
                 tn_json_set_text(json, "accelerator", options->accelerator) && tn_json_set_text(json, "recipe", tn_text(recipe)) &&
                 tn_json_set_text(json, "home", order->home) && tn_json_set_text(json, "data", order->data.given) &&
                 tn_json_set_text(json, "data_path", order->data.path) && tn_json_set_text(json, "output", order->output) &&
                 tn_json_set_text(json, "name", order->name) && set_list(json, "labels", order->labels) &&
                 set_list(json, "environment", order->environment) && tn_json_set_integer(json, "threads", options->threads) &&
                 tn_json_set_integer(json, "expiry_ms", options->expiry_ms) &&
                 tn_json_set_integer(json, "memory_bytes", options->memory_bytes) &&
                 tn_json_set_integer(json, "port", options->port) &&
                 set_if_said(json, "context_tokens", options->context_tokens) &&
                 set_if_said(json, "sequences", options->sequences);
    char *text = whole ? tn_json_write(&order->context->memory, json) : NULL;
    tenon_status status = TENON_OK;

    if (text == NULL)
        status = tn_fail_memory(failure_of(order));
    else
        status = tn_hash_bytes(HASH_SHA256, text, strlen(text), order->fingerprint, failure_of(order));
    tn_release(&order->context->memory, text);
    json_decref(json);
    return status;
}

static tenon_status read_all(struct order *order, const tenon_job_options *options, struct text *recipe)
{
    tenon_status status = check_numbers(order, options);

    if (status == TENON_OK)
        status = copy_texts(order, options);
    if (status == TENON_OK && options->recipe != NULL && options->file != NULL)
        status = refuse(order, "file is given, and a recipe",
                        "file is for serving without one; a recipe names the files that it needs.");
    else if (status == TENON_OK && options->recipe != NULL)
        status = read_recipe(order, options->recipe, recipe);
    else if (status == TENON_OK && order->mode == TENON_MODE_TRAIN)
        status = refuse(order, "training needs a recipe",
                        "Name a JSON file that says which program trains: {\"command\": [\"python3\", \"train.py\"]}.");
    else if (status == TENON_OK && options->model == NULL)
        status = refuse(order, "serving needs a model or a recipe", "Name a model, or a JSON file that says which program serves.");
    if (status == TENON_OK)
        status = need(order, &order->model, options->model, NULL, true, options->hub);
    if (status == TENON_OK)
        status = need(order, &order->data, options->data, NULL, false, options->hub);
    if (status == TENON_OK)
        status = need_inputs(order, options->hub);
    if (status == TENON_OK)
        status = choose_accelerator(order, options);
    if (status == TENON_OK)
        status = choose_name(order, options);
    return status == TENON_OK ? make_fingerprint(order, options, recipe) : status;
}

tenon_status tn_order_read(struct order *order, struct tenon_context *context, const tenon_job_options *options, int32_t mode)
{
    struct text recipe;
    tenon_status status;

    memset(order, 0, sizeof *order);
    order->context = context;
    order->mode = mode;
    order->recipe.port = -1;
    tn_arena_init(&order->arena, &context->memory);
    tn_text_init(&recipe, &context->memory, RECIPE_LIMIT);
    status = read_all(order, options, &recipe);
    tn_text_clear(&recipe);
    if (status != TENON_OK)
        tn_order_clear(order);
    return status;
}

void tn_order_clear(struct order *order)
{
    tn_hub_drop(order->hub);
    order->hub = NULL;
    if (order->arena.memory != NULL)
        tn_arena_clear(&order->arena);
}

void tn_order_move(struct order *to, struct order *from)
{
    *to = *from;
    memset(from, 0, sizeof *from);
}
