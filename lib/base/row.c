#include "row.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define KIND(word, type)                                                                                   \
    const struct row_kind tn_row_##word = { #word, sizeof(type), COUNT(word##_texts), word##_texts }

static const size_t error_texts[] = { offsetof(tenon_error, message), offsetof(tenon_error, hint), offsetof(tenon_error, code),
                                      offsetof(tenon_error, request_id) };
static const size_t setting_texts[] = { offsetof(tenon_setting, key), offsetof(tenon_setting, unit),
                                        offsetof(tenon_setting, default_value), offsetof(tenon_setting, environment),
                                        offsetof(tenon_setting, description), offsetof(tenon_setting, since) };
static const size_t progress_texts[] = { offsetof(tenon_progress, stage), offsetof(tenon_progress, item) };
static const size_t repository_texts[] = { offsetof(tenon_repository, id), offsetof(tenon_repository, revision),
                                           offsetof(tenon_repository, commit), offsetof(tenon_repository, purpose),
                                           offsetof(tenon_repository, library), offsetof(tenon_repository, license),
                                           offsetof(tenon_repository, json) };
static const size_t file_texts[] = { offsetof(tenon_file, path), offsetof(tenon_file, repository), offsetof(tenon_file, commit),
                                     offsetof(tenon_file, etag), offsetof(tenon_file, local_path), offsetof(tenon_file, json) };
static const size_t reference_texts[] = { offsetof(tenon_reference, name), offsetof(tenon_reference, reference),
                                          offsetof(tenon_reference, commit) };
static const size_t check_texts[] = { offsetof(tenon_check, name), offsetof(tenon_check, message), offsetof(tenon_check, fix) };
static const size_t machine_texts[] = { offsetof(tenon_machine, name), offsetof(tenon_machine, place),
                                        offsetof(tenon_machine, vendor), offsetof(tenon_machine, chip),
                                        offsetof(tenon_machine, machine_type), offsetof(tenon_machine, topology),
                                        offsetof(tenon_machine, region), offsetof(tenon_machine, driver),
                                        offsetof(tenon_machine, json) };
static const size_t memory_texts[] = { offsetof(tenon_memory, item), offsetof(tenon_memory, formula),
                                       offsetof(tenon_memory, source) };
static const size_t offer_texts[] = { offsetof(tenon_offer, accelerator), offsetof(tenon_offer, chip),
                                      offsetof(tenon_offer, summary) };
static const size_t reason_texts[] = { offsetof(tenon_reason, code), offsetof(tenon_reason, message),
                                       offsetof(tenon_reason, change) };
static const size_t report_texts[] = { offsetof(tenon_job_report, id), offsetof(tenon_job_report, name),
                                       offsetof(tenon_job_report, model), offsetof(tenon_job_report, accelerator),
                                       offsetof(tenon_job_report, stage), offsetof(tenon_job_report, address),
                                       offsetof(tenon_job_report, output), offsetof(tenon_job_report, message),
                                       offsetof(tenon_job_report, hint), offsetof(tenon_job_report, last_lines),
                                       offsetof(tenon_job_report, place_state), offsetof(tenon_job_report, json) };
static const size_t log_line_texts[] = { offsetof(tenon_log_line, text) };
static const size_t metric_texts[] = { offsetof(tenon_metric, json) };
static const size_t piece_texts[] = { offsetof(tenon_piece, text), offsetof(tenon_piece, reasoning),
                                      offsetof(tenon_piece, stop_reason), offsetof(tenon_piece, tool_id),
                                      offsetof(tenon_piece, tool_name), offsetof(tenon_piece, tool_arguments),
                                      offsetof(tenon_piece, json) };
static const size_t model_texts[] = { offsetof(tenon_model, id), offsetof(tenon_model, owner), offsetof(tenon_model, json) };

KIND(error, tenon_error);
KIND(setting, tenon_setting);
KIND(progress, tenon_progress);
KIND(repository, tenon_repository);
KIND(file, tenon_file);
KIND(reference, tenon_reference);
KIND(check, tenon_check);
KIND(machine, tenon_machine);
KIND(memory, tenon_memory);
KIND(offer, tenon_offer);
KIND(reason, tenon_reason);
KIND(report, tenon_job_report);
KIND(log_line, tenon_log_line);
KIND(metric, tenon_metric);
KIND(piece, tenon_piece);
KIND(model, tenon_model);

static const char *text_at(const void *data, size_t offset)
{
    const char *text;

    memcpy(&text, (const char *)data + offset, sizeof text);
    return text != NULL ? text : "";
}

struct row *tn_row_new(const struct memory *memory, const struct row_kind *kind, const void *data)
{
    const size_t head = (sizeof(struct row) + 15) / 16 * 16;
    size_t bytes = head + kind->size;
    struct row *row;
    char *room;

    for (size_t i = 0; i < kind->text_count; i++)
        bytes += strlen(text_at(data, kind->texts[i])) + 1;
    row = tn_alloc(memory, bytes);
    if (row == NULL)
        return NULL;
    row->kind = kind;
    row->bytes = bytes;
    row->data = (char *)row + head;
    tn_list_init(&row->children);
    memcpy(row->data, data, kind->size);
    room = (char *)row->data + kind->size;
    for (size_t i = 0; i < kind->text_count; i++) {
        const char *text = text_at(data, kind->texts[i]);
        size_t size = strlen(text) + 1;
        const char *copy = memcpy(room, text, size);

        memcpy((char *)row->data + kind->texts[i], &copy, sizeof copy);
        room += size;
    }
    return row;
}

void tn_row_free(const struct memory *memory, struct row *row)
{
    struct link *child;

    if (row == NULL)
        return;
    while ((child = tn_list_take(&row->children)) != NULL)
        tn_row_free(memory, TN_CONTAINER(child, struct row, link));
    tn_release(memory, row);
}

tenon_status tn_row_give(const struct row_kind *kind, const void *full, void *callers)
{
    uint32_t given = 0, filled;

    if (callers != NULL)
        memcpy(&given, callers, sizeof given);
    if (given < sizeof given)
        return TENON_ERROR_ARGUMENT;
    filled = given < kind->size ? given : (uint32_t)kind->size;
    memset(callers, 0, given);
    memcpy(callers, full, filled);
    memcpy(callers, &filled, sizeof filled);
    for (size_t i = 0; i < kind->text_count; i++)
        if (kind->texts[i] + sizeof(const char *) <= filled) {
            const char *text = text_at(full, kind->texts[i]);

            memcpy((char *)callers + kind->texts[i], &text, sizeof text);
        }
    return TENON_OK;
}
