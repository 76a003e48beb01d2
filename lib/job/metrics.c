#include "metrics.h"

#include <math.h>
#include <string.h>

#include "json.h"
#include "lines.h"
#include "text.h"

enum { JSON_LIMIT = 8 * LINE_LONGEST };

/* ---- from what programs print to JSON ---- */

/* The text between quotes at text, as a JSON text; returns what stands behind it, NULL where it does not end. */
static const char *convert_text(const char *text, struct text *out)
{
    char quote = *text++;

    tn_text_add_char(out, '"');
    for (; *text != '\0' && *text != quote; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '\\' && text[1] == '\'')
            tn_text_add_char(out, *++text);
        else if (c == '\\' && text[1] == 'x' && text[2] != '\0' && text[3] != '\0') {
            tn_text_format(out, "\\u00%c%c", text[2], text[3]);
            text += 3;
        } else if (c == '\\' && text[1] != '\0') {
            tn_text_add_n(out, text, 2);
            text++;
        } else if (c == '"')
            tn_text_add(out, "\\\"");
        else if (c < 0x20)
            tn_text_format(out, "\\u%04x", (unsigned)c);
        else
            tn_text_add_char(out, *text);
    }
    tn_text_add_char(out, '"');
    return *text == quote ? text + 1 : NULL;
}

/* A bare word, with the minus sign before it if there is one; returns what stands behind it, NULL for an unknown word. */
static const char *convert_word(const char *text, struct text *out)
{
    static const struct {
        const char *word, *json;
    } words[] = {
        { "true", "true" },       { "false", "false" },       { "null", "null" },         { "True", "true" },
        { "False", "false" },     { "None", "null" },         { "NaN", "\"NaN\"" },       { "nan", "\"NaN\"" },
        { "-nan", "\"NaN\"" },    { "inf", "\"Infinity\"" },  { "Infinity", "\"Infinity\"" }, { "-inf", "\"-Infinity\"" },
        { "-Infinity", "\"-Infinity\"" },
    };
    size_t length = *text == '-';

    while ((text[length] >= 'a' && text[length] <= 'z') || (text[length] >= 'A' && text[length] <= 'Z') || text[length] == '_')
        length++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i].word) == length && strncmp(words[i].word, text, length) == 0) {
            tn_text_add(out, words[i].json);
            return text + length;
        }
    return NULL;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Rewrites a JSON object or a Python dictionary as JSON; false when a word in it is neither's. */
static bool convert(const char *text, struct text *out)
{
    bool number = false; /* inside one: its e is no word */

    while (text != NULL && *text != '\0') {
        char c = *text;

        if (c == '"' || c == '\'')
            text = convert_text(text, out);
        else if ((is_letter(c) && !number) || (c == '-' && is_letter(text[1])))
            text = convert_word(text, out);
        else {
            tn_text_add_char(out, c == '(' ? '[' : c == ')' ? ']' : c);
            text++;
        }
        number = (c >= '0' && c <= '9') || (number && (c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+'));
    }
    return text != NULL;
}

/* The object that a line ends with, whatever a logger wrote before it; NULL when there is none. */
static json_t *object_of_line(const struct memory *memory, const char *line, tenon_status *status)
{
    const char *start = strchr(line, '{');
    size_t length = strlen(line);
    struct failure ignored;
    struct text converted;
    json_t *json = NULL;

    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        length--;
    if (start == NULL || line[length - 1] != '}')
        return NULL;
    tn_failure_init(&ignored, memory, NULL);
    tn_text_init(&converted, memory, JSON_LIMIT);
    if (convert(start, &converted) && converted.length > 0 &&
        tn_json_read(tn_text(&converted), converted.length, "", &json, &ignored) == TENON_ERROR_MEMORY)
        *status = TENON_ERROR_MEMORY;
    if (converted.failed && !converted.full)
        *status = TENON_ERROR_MEMORY;
    tn_text_clear(&converted);
    tn_failure_clear(&ignored);
    return json;
}

/* ---- from JSON to a measurement ---- */

/* A number, also where it is written as text; false where it is none. */
static bool number_of(const json_t *value, double *number)
{
    const char *text = json_string_value(value);
    json_t *inner = NULL;
    bool found = json_is_number(value);

    if (found)
        *number = json_number_value(value);
    else if (text != NULL && (strcmp(text, "NaN") == 0 || strcmp(text, "nan") == 0)) {
        *number = NAN;
        found = true;
    } else if (text != NULL && (strcmp(text, "Infinity") == 0 || strcmp(text, "inf") == 0)) {
        *number = INFINITY;
        found = true;
    } else if (text != NULL && (strcmp(text, "-Infinity") == 0 || strcmp(text, "-inf") == 0)) {
        *number = -INFINITY;
        found = true;
    } else if (text != NULL && *text != '\0' && strlen(text) < 40) {
        /* The parser's own reading of numbers does not depend on the locale. */
        inner = json_loads(text, JSON_DECODE_ANY, NULL);
        found = json_is_number(inner);
        if (found)
            *number = json_number_value(inner);
        json_decref(inner);
    }
    return found;
}

/* The first of the names, separated by blanks, that is a number. */
static bool find_number(const json_t *object, const char *names, double *number)
{
    bool found = false;

    while (*names != '\0' && !found) {
        size_t length = strcspn(names, " ");
        char name[32];

        memcpy(name, names, length);
        name[length] = '\0';
        found = number_of(tn_json_member(object, name), number);
        names += length + strspn(names + length, " ");
    }
    return found;
}

static double real_of(const json_t *object, const char *names)
{
    double number = NAN;

    find_number(object, names, &number);
    return number;
}

static int64_t integer_of(const json_t *object, const char *names)
{
    double number = -1;

    if (!find_number(object, names, &number) || !(number >= 0 && number < 9e15))
        number = -1;
    return (int64_t)number;
}

/* When the program says it was; programs count in seconds or in ms since 1970, and other numbers are no such time. */
static int64_t time_of(const json_t *object)
{
    double number = -1;
    int64_t time = -1;

    if (find_number(object, "time_ms time timestamp", &number)) {
        if (number > 1e11 && number < 1e14)
            time = (int64_t)number;
        else if (number > 1e8 && number < 1e11)
            time = (int64_t)(number * 1000);
    }
    return time;
}

static bool has_other_number(const json_t *object, const char *than)
{
    bool found = false;
    double number;

    for (void *at = json_object_iter((json_t *)object); at != NULL && !found; at = json_object_iter_next((json_t *)object, at))
        found = strcmp(json_object_iter_key(at), than) != 0 && number_of(json_object_iter_value(at), &number);
    return found;
}

/* "step" with another number; or a loss, which trainers of the Transformers family print without the step. */
static bool is_measurement(const json_t *object)
{
    double number;

    if (number_of(tn_json_member(object, "step"), &number))
        return has_other_number(object, "step");
    return find_number(object, "loss eval_loss train_loss", &number);
}

tenon_status tn_metric_read(const struct memory *memory, const char *line, tenon_metric *row)
{
    tenon_status status = TENON_DONE;
    json_t *object = object_of_line(memory, line, &status);
    char *json = NULL;

    if (json_is_object(object) && is_measurement(object)) {
        json = tn_json_write(memory, object);
        status = json != NULL ? TENON_OK : TENON_ERROR_MEMORY;
    }
    if (status == TENON_OK) {
        memset(row, 0, sizeof *row);
        row->struct_size = sizeof *row;
        row->json = json;
        row->step = integer_of(object, "step global_step iteration");
        row->steps = integer_of(object, "steps total_steps max_steps");
        row->time_ms = time_of(object);
        row->loss = real_of(object, "loss train_loss");
        row->learning_rate = real_of(object, "learning_rate lr");
        row->epoch = real_of(object, "epoch");
        row->gradient_norm = real_of(object, "gradient_norm grad_norm");
        row->tokens_per_second = real_of(object, "tokens_per_second train_tokens_per_second");
        row->evaluation_loss = real_of(object, "evaluation_loss eval_loss validation_loss val_loss");
    }
    json_decref(object);
    return status;
}
