#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tenon.h"

/* ---- words for constants ---- */

struct word {
    int32_t value;
    const char *word;
};

static const char *find_word(const struct word *words, size_t count, int32_t value)
{
    const char *word = "unknown";

    for (size_t i = 0; i < count; i++)
        if (words[i].value == value)
            word = words[i].word;
    return word;
}

#define FIND_WORD(words, value) find_word(words, sizeof(words) / sizeof((words)[0]), value)

const char *status_word(int32_t status)
{
    return tenon_status_name(status);
}

const char *state_word(int32_t state)
{
    static const struct word words[] = {
        { TENON_JOB_SUBMITTING, "submitting" }, { TENON_JOB_QUEUED, "queued" }, { TENON_JOB_STARTING, "starting" },
        { TENON_JOB_RUNNING, "running" }, { TENON_JOB_STOPPING, "stopping" }, { TENON_JOB_SUCCEEDED, "succeeded" },
        { TENON_JOB_FAILED, "failed" }, { TENON_JOB_CANCELLED, "cancelled" },
    };

    return FIND_WORD(words, state);
}

const char *mode_word(int32_t mode)
{
    static const struct word words[] = { { TENON_MODE_TRAIN, "train" }, { TENON_MODE_SERVE, "serve" } };

    return FIND_WORD(words, mode);
}

const char *cause_word(int32_t cause)
{
    static const struct word words[] = {
        { TENON_CAUSE_NONE, "none" }, { TENON_CAUSE_INPUT, "input" }, { TENON_CAUSE_REFUSED, "refused" },
        { TENON_CAUSE_PROGRAM, "program" }, { TENON_CAUSE_USER_CODE, "user_code" }, { TENON_CAUSE_MEMORY, "memory" },
        { TENON_CAUSE_TIME, "time" }, { TENON_CAUSE_DISK, "disk" }, { TENON_CAUSE_PORT, "port" },
        { TENON_CAUSE_HEALTH, "health" }, { TENON_CAUSE_SIGNAL, "signal" }, { TENON_CAUSE_OUTPUT, "output" },
        { TENON_CAUSE_LOST, "lost" }, { TENON_CAUSE_QUOTA, "quota" }, { TENON_CAUSE_CAPACITY, "capacity" },
        { TENON_CAUSE_IMAGE, "image" }, { TENON_CAUSE_PREEMPTED, "preempted" },
    };

    return FIND_WORD(words, cause);
}

const char *answer_word(int32_t answer)
{
    static const struct word words[] = { { TENON_CHECK_YES, "yes" }, { TENON_CHECK_NO, "no" } };

    return FIND_WORD(words, answer);
}

const char *verdict_word(int32_t verdict)
{
    static const struct word words[] = { { TENON_VERDICT_FITS, "fits" }, { TENON_VERDICT_TIGHT, "tight" }, { TENON_VERDICT_NO, "no" } };

    return FIND_WORD(words, verdict);
}

const char *content_word(int32_t content)
{
    static const struct word words[] = {
        { TENON_CONTENT_PRESENT, "present" }, { TENON_CONTENT_VERIFIED, "verified" }, { TENON_CONTENT_CORRUPT, "corrupt" },
        { TENON_CONTENT_MISSING, "missing" }, { TENON_CONTENT_PARTIAL, "partial" },
    };

    return FIND_WORD(words, content);
}

const char *type_word(int32_t type)
{
    static const struct word words[] = { { TENON_REPOSITORY_MODEL, "model" }, { TENON_REPOSITORY_DATASET, "dataset" }, { TENON_REPOSITORY_SPACE, "space" } };

    return FIND_WORD(words, type);
}

static const char *kind_word(int32_t kind)
{
    static const struct word words[] = { { TENON_FILE_REGULAR, "file" }, { TENON_FILE_FOLDER, "folder" } };

    return FIND_WORD(words, kind);
}

static const char *piece_word(int32_t kind)
{
    static const struct word words[] = {
        { TENON_PIECE_TEXT, "text" }, { TENON_PIECE_REASONING, "reasoning" }, { TENON_PIECE_TOOL, "tool" },
        { TENON_PIECE_STOP, "stop" }, { TENON_PIECE_USAGE, "usage" },
    };

    return FIND_WORD(words, kind);
}

static const char *setting_word(int32_t type)
{
    static const struct word words[] = {
        { TENON_SETTING_TEXT, "text" }, { TENON_SETTING_INTEGER, "integer" }, { TENON_SETTING_BOOLEAN, "boolean" }, { TENON_SETTING_PATH, "path" },
    };

    return FIND_WORD(words, type);
}

/* ---- the fields of the rows ---- */

#define TEXT(row, field) { #field, FIELD_TEXT, offsetof(row, field), NULL }
#define JSON(row, field) { #field, FIELD_JSON, offsetof(row, field), NULL }
#define INT32(row, field) { #field, FIELD_INT32, offsetof(row, field), NULL }
#define INT64(row, field) { #field, FIELD_INT64, offsetof(row, field), NULL }
#define DOUBLE(row, field) { #field, FIELD_DOUBLE, offsetof(row, field), NULL }
#define WORD(row, field, word) { #field, FIELD_WORD, offsetof(row, field), word }
#define END { NULL, FIELD_TEXT, 0, NULL }

const struct field error_fields[] = {
    WORD(tenon_error, status, status_word), TEXT(tenon_error, message), TEXT(tenon_error, hint), TEXT(tenon_error, code),
    TEXT(tenon_error, request_id), INT32(tenon_error, http_status), INT32(tenon_error, system_error),
    INT64(tenon_error, retry_after_ms), END,
};

const struct field repository_fields[] = {
    WORD(tenon_repository, type, type_word), TEXT(tenon_repository, id), TEXT(tenon_repository, revision),
    TEXT(tenon_repository, commit), TEXT(tenon_repository, purpose), TEXT(tenon_repository, library),
    TEXT(tenon_repository, license), INT64(tenon_repository, parameters), INT64(tenon_repository, bytes),
    INT64(tenon_repository, files), INT64(tenon_repository, downloads), INT64(tenon_repository, likes),
    INT64(tenon_repository, modified_ms), INT32(tenon_repository, gated), INT32(tenon_repository, restricted),
    JSON(tenon_repository, json), END,
};

const struct field file_fields[] = {
    WORD(tenon_file, kind, kind_word), TEXT(tenon_file, path), TEXT(tenon_file, repository), TEXT(tenon_file, commit),
    TEXT(tenon_file, etag), TEXT(tenon_file, local_path), INT64(tenon_file, bytes), INT64(tenon_file, modified_ms),
    WORD(tenon_file, content, content_word), END,
};

const struct field check_fields[] = {
    WORD(tenon_check, answer, answer_word), TEXT(tenon_check, name), TEXT(tenon_check, message), TEXT(tenon_check, fix), END,
};

const struct field machine_fields[] = {
    TEXT(tenon_machine, name), TEXT(tenon_machine, place), INT32(tenon_machine, chips), TEXT(tenon_machine, vendor),
    TEXT(tenon_machine, chip), TEXT(tenon_machine, machine_type), TEXT(tenon_machine, topology), TEXT(tenon_machine, region),
    TEXT(tenon_machine, driver), INT64(tenon_machine, memory_bytes), INT64(tenon_machine, memory_free_bytes),
    INT64(tenon_machine, host_memory_bytes), INT64(tenon_machine, cpu_milli), INT64(tenon_machine, hour_usd_micros),
    INT32(tenon_machine, hosts), JSON(tenon_machine, json), END,
};

const struct field memory_fields[] = {
    TEXT(tenon_memory, item), INT64(tenon_memory, low_bytes), INT64(tenon_memory, high_bytes), TEXT(tenon_memory, formula),
    TEXT(tenon_memory, source), END,
};

const struct field offer_fields[] = {
    TEXT(tenon_offer, accelerator), WORD(tenon_offer, verdict, verdict_word), TEXT(tenon_offer, chip), TEXT(tenon_offer, summary),
    INT64(tenon_offer, have_bytes), INT64(tenon_offer, need_bytes), INT64(tenon_offer, short_bytes),
    INT64(tenon_offer, most_tokens), INT64(tenon_offer, hour_usd_micros), INT32(tenon_offer, chips), END,
};

const struct field reason_fields[] = {
    TEXT(tenon_reason, code), TEXT(tenon_reason, message), TEXT(tenon_reason, change), END,
};

const struct field report_fields[] = {
    TEXT(tenon_job_report, id), TEXT(tenon_job_report, name), WORD(tenon_job_report, state, state_word),
    WORD(tenon_job_report, mode, mode_word), TEXT(tenon_job_report, model), TEXT(tenon_job_report, accelerator),
    TEXT(tenon_job_report, stage), TEXT(tenon_job_report, address), TEXT(tenon_job_report, output),
    TEXT(tenon_job_report, message), TEXT(tenon_job_report, hint), WORD(tenon_job_report, cause, cause_word),
    TEXT(tenon_job_report, last_lines), TEXT(tenon_job_report, place_state), INT64(tenon_job_report, submitted_ms),
    INT64(tenon_job_report, started_ms), INT64(tenon_job_report, ended_ms), INT64(tenon_job_report, peak_memory_bytes),
    INT32(tenon_job_report, exit_code), INT32(tenon_job_report, signal), INT32(tenon_job_report, process),
    INT32(tenon_job_report, retry_helps), JSON(tenon_job_report, json), END,
};

const struct field log_line_fields[] = {
    INT64(tenon_log_line, number), INT64(tenon_log_line, time_ms), INT32(tenon_log_line, replica), TEXT(tenon_log_line, text), END,
};

const struct field metric_fields[] = {
    INT64(tenon_metric, step), INT64(tenon_metric, steps), DOUBLE(tenon_metric, loss), DOUBLE(tenon_metric, learning_rate),
    DOUBLE(tenon_metric, epoch), DOUBLE(tenon_metric, gradient_norm), DOUBLE(tenon_metric, tokens_per_second),
    DOUBLE(tenon_metric, evaluation_loss), INT64(tenon_metric, time_ms), JSON(tenon_metric, json), END,
};

const struct field piece_fields[] = {
    WORD(tenon_piece, kind, piece_word), TEXT(tenon_piece, text), TEXT(tenon_piece, reasoning), TEXT(tenon_piece, stop_reason),
    TEXT(tenon_piece, tool_id), TEXT(tenon_piece, tool_name), TEXT(tenon_piece, tool_arguments),
    INT64(tenon_piece, prompt_tokens), INT64(tenon_piece, completion_tokens), INT32(tenon_piece, choice),
    INT32(tenon_piece, tool), JSON(tenon_piece, json), END,
};

const struct field setting_fields[] = {
    TEXT(tenon_setting, key), WORD(tenon_setting, type, setting_word), TEXT(tenon_setting, unit),
    TEXT(tenon_setting, default_value), TEXT(tenon_setting, environment), TEXT(tenon_setting, description),
    TEXT(tenon_setting, since), INT64(tenon_setting, minimum), INT64(tenon_setting, maximum), INT32(tenon_setting, secret), END,
};

/* ---- writing ---- */

/* Is this a control character of two bytes, U+0080 to U+009F? */
static bool is_second_control(const unsigned char *byte)
{
    return byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] < 0xa0;
}

void json_text(FILE *file, const char *text)
{
    const unsigned char *byte = (const unsigned char *)(text != NULL ? text : "");

    fputc('"', file);
    for (; *byte != '\0'; byte++) {
        if (*byte == '"' || *byte == '\\')
            fprintf(file, "\\%c", *byte);
        else if (*byte < 0x20 || *byte == 0x7f)
            fprintf(file, "\\u%04x", *byte);
        else if (is_second_control(byte))
            fprintf(file, "\\u%04x", *++byte);
        else
            fputc(*byte, file);
    }
    fputc('"', file);
}

/* Inside its strings no line feed may stand, so each is between values, where a blank does as well. */
void json_raw(FILE *file, const char *json)
{
    const unsigned char *byte = (const unsigned char *)(json != NULL && *json != '\0' ? json : "null");

    for (; *byte != '\0'; byte++) {
        if (*byte < 0x20)
            fputc(' ', file);
        else if (*byte == 0x7f)
            fputs("\\u007f", file);
        else if (is_second_control(byte))
            fprintf(file, "\\u%04x", *++byte);
        else
            fputc(*byte, file);
    }
}

static void put_integer(FILE *file, int64_t number)
{
    if (number == -1)
        fputs("null", file);
    else
        fprintf(file, "%" PRId64, number);
}

static void put_double(FILE *file, double number)
{
    if (isfinite(number))
        fprintf(file, "%.12g", number);
    else
        fputs("null", file);
}

static void put_value(FILE *file, const struct field *field, const void *row)
{
    const char *place = (const char *)row + field->offset;

    switch (field->kind) {
    case FIELD_TEXT:
        json_text(file, *(const char *const *)place);
        break;
    case FIELD_JSON:
        json_raw(file, *(const char *const *)place);
        break;
    case FIELD_INT32:
        put_integer(file, *(const int32_t *)place);
        break;
    case FIELD_INT64:
        put_integer(file, *(const int64_t *)place);
        break;
    case FIELD_DOUBLE:
        put_double(file, *(const double *)place);
        break;
    case FIELD_WORD:
        json_text(file, field->word(*(const int32_t *)place));
        break;
    }
}

void json_members(FILE *file, const struct field *fields, const void *row)
{
    for (const struct field *field = fields; field->name != NULL; field++) {
        fprintf(file, "%s\"%s\": ", field == fields ? "" : ", ", field->name);
        put_value(file, field, row);
    }
}

void json_row(FILE *file, const struct field *fields, const void *row)
{
    fputc('{', file);
    json_members(file, fields, row);
    fputc('}', file);
}

void json_array_begin(struct json_array *array, FILE *file)
{
    array->file = file;
    array->count = 0;
    fputc('[', file);
}

void json_array_next(struct json_array *array)
{
    fputs(array->count++ == 0 ? "\n" : ",\n", array->file);
}

void json_array_end(struct json_array *array)
{
    fputs(array->count == 0 ? "]" : "\n]", array->file);
}
