/*
 * A job's log: the same lines come however its bytes are cut, each is clean; those that are measurements give JSON; and the
 * explanation of an end that is made from it is clean too.
 */
#include "fuzz.h"

#include <string.h>

#include "explain.h"
#include "json.h"
#include "lines.h"
#include "metrics.h"

static void check_metric(const char *line)
{
    tenon_metric row = { .struct_size = sizeof row };
    struct failure failure;
    json_t *json = NULL;
    tenon_status status = tn_metric_read(fuzz_memory(), line, &row);

    HOLDS(status == TENON_OK || status == TENON_DONE);
    if (status == TENON_OK) {
        tn_failure_init(&failure, fuzz_memory(), NULL);
        HOLDS(tn_json_read(row.json, strlen(row.json), "a metric", &json, &failure) == TENON_OK && json_is_object(json));
        json_decref(json);
        tn_failure_clear(&failure);
        tn_release(fuzz_memory(), (void *)row.json);
    }
}

static void take(struct lines *lines, struct text *all, bool look)
{
    const char *line = tn_text(&lines->line);

    HOLDS(lines->line.length <= 3 * LINE_LONGEST && strchr(line, '\n') == NULL && fuzz_is_utf8(line));
    if (look)
        check_metric(line);
    tn_text_add(all, line);
    tn_text_add_char(all, '\n');
}

static void read_lines(const uint8_t *bytes, size_t size, size_t piece, struct text *all)
{
    struct lines lines;

    tn_text_init(all, fuzz_memory(), SIZE_MAX / 4);
    tn_lines_init(&lines, fuzz_memory());
    for (size_t at = 0; at < size;) {
        size_t left = size - at < piece ? size - at : piece, taken = tn_lines_take(&lines, (const char *)bytes + at, left);

        HOLDS(taken <= left && (taken > 0 || lines.complete));
        at += taken;
        if (lines.complete)
            take(&lines, all, piece > size);
    }
    while (tn_lines_end(&lines))
        take(&lines, all, piece > size);
    HOLDS(tn_lines_status(&lines) == TENON_OK);
    tn_lines_clear(&lines);
}

static void explain(const char *tail)
{
    static const enum ended_by ends[] = { ENDED_ITSELF, ENDED_STOP, ENDED_TIME, ENDED_MEMORY, ENDED_HEALTH, ENDED_LOST };
    struct explanation explanation;

    for (size_t i = 0; i < COUNT(ends); i++) {
        struct ending ending = { .by = ends[i], .exit_code = i % 2 == 0 ? 1 : -1, .signal = i % 2 == 0 ? 0 : 9,
                                 .program = "python3", .path = "/usr/bin", .folder = "/tmp", .tail = tail, .port = 8000,
                                 .serves = i > 2 };

        tn_explain(&ending, fuzz_memory(), &explanation);
        HOLDS(fuzz_is_clean(tn_text(&explanation.message)) && fuzz_is_utf8(tn_text(&explanation.hint)));
        tn_explanation_clear(&explanation);
    }
    tn_says_port_taken(tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct text whole, cut;

    read_lines(bytes, size, SIZE_MAX / 2, &whole);
    read_lines(bytes, size, 1, &cut);
    HOLDS(whole.length == cut.length && memcmp(tn_text(&whole), tn_text(&cut), whole.length) == 0);
    explain(tn_text(&whole));
    tn_text_clear(&whole);
    tn_text_clear(&cut);
    return 0;
}
