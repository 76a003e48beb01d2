#include "json.h"

#include <math.h>
#include <string.h>

enum { DEPTH = 100 };

/* The parser works recursively, so depth is stack: measure it first. */
static size_t depth_of(const char *data, size_t length)
{
    size_t depth = 0, most = 0;
    bool text = false;

    for (size_t i = 0; i < length; i++) {
        char c = data[i];

        if (text && c == '\\')
            i++;
        else if (c == '"')
            text = !text;
        else if (!text && (c == '{' || c == '[')) {
            if (++depth > most)
                most = depth;
        } else if (!text && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return most;
}

tenon_status tn_json_read(const char *data, size_t length, const char *what, json_t **json, struct failure *failure)
{
    json_error_t error;
    json_t *document;

    if (depth_of(data, length) > DEPTH)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "%s is nested more than %d levels deep", what, (int)DEPTH);
    document = json_loadb(data, length, JSON_REJECT_DUPLICATES, &error);
    /* Numbers beyond 64 bits are found in the wild ("model_max_length": 1000000000000000019884624838656). */
    if (document == NULL && json_error_code(&error) == json_error_numeric_overflow)
        document = json_loadb(data, length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (document == NULL && json_error_code(&error) == json_error_out_of_memory)
        return tn_fail_memory(failure);
    if (document == NULL)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "%s is not valid JSON: line %d, column %d: %s", what, error.line,
                       error.column, error.text);
    *json = document;
    return TENON_OK;
}

char *tn_json_write(const struct memory *memory, const json_t *json)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t size = json_dumpb(json, NULL, 0, flags);
    char *text = size > 0 ? tn_alloc(memory, size + 1) : NULL;

    if (text != NULL && json_dumpb(json, text, size, flags) != size) {
        tn_release(memory, text);
        text = NULL;
    }
    return text;
}

json_t *tn_json_member(const json_t *json, const char *key)
{
    json_t *member = json_object_get(json, key);

    return json_is_null(member) ? NULL : member;
}

const char *tn_json_text(const json_t *json, const char *key)
{
    json_t *member = tn_json_member(json, key);
    const char *text = json_string_value(member);

    if (text != NULL && strlen(text) != json_string_length(member))
        text = NULL;
    return text;
}

const char *tn_json_text_or(const json_t *json, const char *key, const char *other)
{
    const char *text = tn_json_text(json, key);

    return text != NULL ? text : other;
}

int64_t tn_json_integer(const json_t *json, const char *key, int64_t other)
{
    json_t *member = tn_json_member(json, key);
    int64_t number = other;

    if (json_is_integer(member))
        number = json_integer_value(member);
    else if (json_is_real(member)) {
        double real = json_real_value(member);

        if (real == trunc(real) && fabs(real) < 9e15)
            number = (int64_t)real;
    }
    return number;
}

int64_t tn_json_count(const json_t *json, const char *key)
{
    int64_t number = tn_json_integer(json, key, -1);

    return number >= 0 ? number : -1;
}

int tn_json_flag(const json_t *json, const char *key)
{
    json_t *member = tn_json_member(json, key);

    return json_is_boolean(member) ? json_is_true(member) : -1;
}

bool tn_json_set_text(json_t *object, const char *key, const char *value)
{
    return value == NULL || json_object_set_new(object, key, json_string(value)) == 0;
}

bool tn_json_set_integer(json_t *object, const char *key, int64_t value)
{
    return json_object_set_new(object, key, json_integer(value)) == 0;
}
