#include "recipe.h"

#include <math.h>
#include <string.h>

#include "json.h"
#include "path.h"
#include "text.h"

/* A recipe as it is read. */
struct reading {
    struct recipe *recipe;
    struct arena *arena;
    const char *what;
    struct failure *failure;
};

struct field {
    const char *name;
    const char *expected; /* what it must be, for the message */
    bool (*read)(struct reading *reading, const json_t *value);
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool tn_is_variable(const char *name, size_t length)
{
    bool good = length > 0 && !(name[0] >= '0' && name[0] <= '9');

    for (size_t i = 0; i < length && good; i++)
        good = is_word(name[i]);
    return good;
}

/* ---- values ---- */

/* A text without a NUL in it; NULL for anything else. */
static const char *plain_text(const json_t *value)
{
    const char *text = json_string_value(value);

    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

static const char *keep(struct reading *reading, const char *text)
{
    const char *kept = tn_arena_copy(reading->arena, text);

    if (kept == NULL)
        tn_fail_memory(reading->failure);
    return kept;
}

static void *keep_array(struct reading *reading, size_t count, size_t size)
{
    void *array = tn_arena_alloc(reading->arena, (count + 1) * size);

    if (array == NULL)
        tn_fail_memory(reading->failure);
    return array;
}

static bool read_list(struct reading *reading, const json_t *value, bool (*good)(const char *text), const char *const **out)
{
    size_t count = json_array_size(value);
    const char **list = json_is_array(value) ? keep_array(reading, count, sizeof *list) : NULL;
    bool whole = list != NULL;

    for (size_t i = 0; i < count && whole; i++) {
        const char *text = plain_text(json_array_get(value, i));

        whole = text != NULL && good(text) && (list[i] = keep(reading, text)) != NULL;
    }
    if (whole) {
        list[count] = NULL;
        *out = list;
    }
    return whole;
}

static bool read_pairs(struct reading *reading, const json_t *value, bool (*good)(const char *name), struct pair **out,
                       size_t *out_count)
{
    struct pair *pairs = json_is_object(value) ? keep_array(reading, json_object_size(value), sizeof *pairs) : NULL;
    bool whole = pairs != NULL;
    size_t count = 0;

    for (void *at = json_object_iter((json_t *)value); at != NULL && whole; at = json_object_iter_next((json_t *)value, at)) {
        const char *name = json_object_iter_key(at), *text = plain_text(json_object_iter_value(at));

        whole = text != NULL && good(name) && (pairs[count].name = keep(reading, name)) != NULL &&
                (pairs[count].value = keep(reading, text)) != NULL;
        count++;
    }
    if (whole) {
        *out = pairs;
        *out_count = count;
    }
    return whole;
}

static bool read_positive(const json_t *value, int64_t most, int64_t *out)
{
    int64_t number = json_is_integer(value) ? json_integer_value(value) : 0;

    if (number > 0 && number <= most)
        *out = number;
    return number > 0 && number <= most;
}

static bool any_text(const char *text)
{
    (void)text;
    return true;
}

static bool is_environment(const char *name)
{
    return tn_is_variable(name, strlen(name)) && !tn_starts_with(name, "TENON_");
}

static bool is_input(const char *name)
{
    return *name != '\0' && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool is_pattern(const char *pattern)
{
    return *pattern != '\0';
}

static bool is_output(const char *path)
{
    return tn_path_is_safe(path, NULL);
}

/* ---- fields ---- */

static bool read_command(struct reading *reading, const json_t *value)
{
    struct recipe *recipe = reading->recipe;

    return read_list(reading, value, any_text, &recipe->command) && recipe->command[0] != NULL && *recipe->command[0] != '\0';
}

static bool read_image(struct reading *reading, const json_t *value)
{
    const char *text = plain_text(value);

    return text != NULL && *text != '\0' && (reading->recipe->image = keep(reading, text)) != NULL;
}

static bool read_environment(struct reading *reading, const json_t *value)
{
    return read_pairs(reading, value, is_environment, &reading->recipe->environment, &reading->recipe->environment_count);
}

/* Where none is needed at all, no model is named: an empty list is a mistake. */
static bool read_files(struct reading *reading, const json_t *value)
{
    return read_list(reading, value, is_pattern, &reading->recipe->files) && reading->recipe->files[0] != NULL;
}

static bool read_inputs(struct reading *reading, const json_t *value)
{
    return read_pairs(reading, value, is_input, &reading->recipe->inputs, &reading->recipe->input_count);
}

static bool read_outputs(struct reading *reading, const json_t *value)
{
    return read_list(reading, value, is_output, &reading->recipe->outputs);
}

static bool read_port(struct reading *reading, const json_t *value)
{
    int64_t port = json_is_integer(value) ? json_integer_value(value) : -1;

    if (port >= 0 && port <= 65535)
        reading->recipe->port = (int32_t)port;
    return port >= 0 && port <= 65535;
}

static bool read_health(struct reading *reading, const json_t *value)
{
    const char *path = plain_text(value);
    bool good = path != NULL && *path == '/';

    /* It becomes part of an address. */
    for (const char *c = path; good && *c != '\0'; c++)
        good = (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f && *c != '#';
    return good && (reading->recipe->health = keep(reading, path)) != NULL;
}

static bool read_cpus(struct reading *reading, const json_t *value)
{
    double cpus = json_is_number(value) ? json_number_value(value) : 0;

    if (cpus > 0 && cpus <= 65536)
        reading->recipe->threads = (int32_t)ceil(cpus);
    return cpus > 0 && cpus <= 65536;
}

static bool read_memory(struct reading *reading, const json_t *value)
{
    return read_positive(value, INT64_MAX / 2, &reading->recipe->memory_bytes);
}

static bool read_time(struct reading *reading, const json_t *value)
{
    return read_positive(value, INT64_MAX / 2, &reading->recipe->time_ms);
}

static const struct field resource_fields[] = {
    { "cpus", "a number above 0", read_cpus },
    { "memory_bytes", "a whole number above 0", read_memory },
    { "time_ms", "a whole number above 0", read_time },
    { NULL, NULL, NULL },
};

static bool read_fields(struct reading *reading, const json_t *object, const struct field *fields, const char *parent);

static bool read_resources(struct reading *reading, const json_t *value)
{
    return json_is_object(value) && read_fields(reading, value, resource_fields, "resources.");
}

static const struct field recipe_fields[] = {
    { "command", "a list of texts that begins with the program", read_command },
    { "image", "the name of an image", read_image },
    { "environment", "an object of texts, with names that a variable can have and that do not begin with TENON_",
      read_environment },
    { "resources", "an object", read_resources },
    { "files", "a list of patterns, as of files of the model", read_files },
    { "inputs", "an object of texts, with names of letters, digits and _", read_inputs },
    { "outputs", "a list of relative paths", read_outputs },
    { "port", "a port, or 0 for any free one", read_port },
    { "health", "a path that begins with /", read_health },
    { NULL, NULL, NULL },
};

static void fail_unknown(struct reading *reading, const struct field *fields, const char *parent, const char *name)
{
    struct text known;

    tn_text_init(&known, reading->arena->memory, 1024);
    for (const struct field *field = fields; field->name != NULL; field++)
        tn_text_format(&known, "%s%s%s", field == fields ? "" : ", ", parent, field->name);
    tn_fail(reading->failure, TENON_ERROR_ARGUMENT, "%s has an unknown field \"%s%.200s\"", reading->what, parent, name);
    tn_hint(reading->failure, "The fields of a recipe are: %s.", tn_text(&known));
    tn_text_clear(&known);
}

static bool read_field(struct reading *reading, const struct field *fields, const char *parent, const char *name,
                       const json_t *value)
{
    const struct field *field = fields;

    while (field->name != NULL && strcmp(field->name, name) != 0)
        field++;
    if (field->name == NULL)
        fail_unknown(reading, fields, parent, name);
    else if (!field->read(reading, value) && reading->failure->status == TENON_OK)
        tn_fail(reading->failure, TENON_ERROR_ARGUMENT, "%s: \"%s%s\" is not %s", reading->what, parent, name, field->expected);
    return reading->failure->status == TENON_OK;
}

static bool read_fields(struct reading *reading, const json_t *object, const struct field *fields, const char *parent)
{
    bool good = true;

    for (void *at = json_object_iter((json_t *)object); at != NULL && good; at = json_object_iter_next((json_t *)object, at))
        good = read_field(reading, fields, parent, json_object_iter_key(at), json_object_iter_value(at));
    return good;
}

tenon_status tn_recipe_read(struct recipe *recipe, struct arena *arena, const char *data, size_t length, const char *what,
                            struct failure *failure)
{
    struct reading reading = { recipe, arena, what, failure };
    json_t *json = NULL;

    memset(recipe, 0, sizeof *recipe);
    recipe->port = -1;
    tn_failure_clear(failure);
    if (tn_json_read(data, length, what, &json, failure) != TENON_OK) {
        if (failure->status == TENON_ERROR_PROTOCOL)
            failure->status = TENON_ERROR_ARGUMENT;
    } else if (!json_is_object(json))
        tn_fail(failure, TENON_ERROR_ARGUMENT, "%s is not a JSON object", what);
    else if (read_fields(&reading, json, recipe_fields, "") && recipe->command == NULL) {
        tn_fail(failure, TENON_ERROR_ARGUMENT, "%s has no \"command\"", what);
        tn_hint(failure, "Name the program and its arguments: {\"command\": [\"python3\", \"train.py\"]}.");
    }
    if (failure->status == TENON_ERROR_ARGUMENT && failure->hint == NULL)
        tn_hint(failure, "A recipe is a JSON object such as "
                         "{\"command\": [\"python3\", \"train.py\"], \"outputs\": [\"model.safetensors\"]}.");
    json_decref(json);
    return failure->status;
}
