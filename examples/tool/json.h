/* Rows of tenon.h as JSON, with the names of its fields. */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum field_kind { FIELD_TEXT, FIELD_JSON, FIELD_INT32, FIELD_INT64, FIELD_DOUBLE, FIELD_WORD };

/* One field of a row: how it is read, and for a constant the word that stands for it. */
struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    const char *(*word)(int32_t value);
};

/* The fields of each kind of row, ending with one without a name. */
extern const struct field error_fields[], repository_fields[], file_fields[], check_fields[], machine_fields[], memory_fields[],
    offer_fields[], reason_fields[], report_fields[], log_line_fields[], metric_fields[], piece_fields[], setting_fields[];

/* A JSON string with its quotes. */
void json_text(FILE *file, const char *text);
/* JSON that somebody else wrote, on one line; null where there is none. */
void json_raw(FILE *file, const char *json);
/* `{"field": value, ...}`; what is unknown is null. */
void json_row(FILE *file, const struct field *fields, const void *row);
/* The same without its braces, so that more members can follow. */
void json_members(FILE *file, const struct field *fields, const void *row);

/* An array of rows, one on a line. */
struct json_array {
    FILE *file;
    int64_t count;
};

void json_array_begin(struct json_array *array, FILE *file);
/* Goes before each element. */
void json_array_next(struct json_array *array);
void json_array_end(struct json_array *array);

/* The constants of tenon.h as words: "running", "fits", "yes" ...; "unknown" for what this program does not know. */
const char *status_word(int32_t status);
const char *state_word(int32_t state);
const char *mode_word(int32_t mode);
const char *cause_word(int32_t cause);
const char *answer_word(int32_t answer);
const char *verdict_word(int32_t verdict);
const char *content_word(int32_t content);
const char *type_word(int32_t type);

#endif
