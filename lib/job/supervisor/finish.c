#include "supervision.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "lines.h"
#include "path.h"

enum { TAIL_LINES = 20, TAIL_LIMIT = 64 * 1024 };

void complain(struct supervision *s)
{
    fprintf(stderr, "%s\n", s->failure.message != NULL ? s->failure.message : tenon_status_name(s->failure.status));
}

static bool has_file(const struct supervision *s, const char *name)
{
    struct text path;
    bool found;

    tn_text_init(&path, &s->memory, PATH_MAX);
    tn_path_join(&path, s->folder, name);
    found = tn_file_exists(tn_text(&path));
    tn_text_clear(&path);
    return found;
}

static void read_tail(struct supervision *s, struct text *tail)
{
    struct text path;

    tn_text_init(&path, &s->memory, PATH_MAX);
    tn_path_join(&path, s->folder, LOCAL_LOG);
    tn_lines_tail(tn_text(&path), TAIL_LINES, tail, &s->failure);
    tn_text_clear(&path);
}

/* The first output that was promised and is not there; NULL when all are. */
static const char *find_missing(const struct supervision *s)
{
    const char *missing = NULL;
    struct text path;

    tn_text_init(&path, &s->memory, PATH_MAX);
    for (size_t i = 0; i < json_array_size(s->spec.outputs) && missing == NULL; i++) {
        const char *output = json_string_value(json_array_get(s->spec.outputs, i));

        tn_text_reset(&path);
        tn_path_join(&path, s->spec.output, output);
        if (!tn_file_exists(tn_text(&path)))
            missing = output;
    }
    tn_text_clear(&path);
    return missing;
}

/* A SIGKILL that none of us sent, to the process or to what its shell ran: did the system send it for want of memory? */
static bool was_memory(const struct supervision *s)
{
    bool killed = s->end.signal == SIGKILL || s->end.exit_code == 128 + SIGKILL;

    return killed && (s->group_kills > 0 || (s->memory_kills >= 0 && system_memory_kills() > s->memory_kills));
}

static void note_lost(struct supervision *s)
{
    s->by = ENDED_LOST;
    snprintf(s->detail, sizeof s->detail, "%s",
             s->elsewhere ? "this machine was restarted, or its container ended, while the job ran"
                          : "the job's process ended while nobody watched over it");
}

static void describe(struct supervision *s, const struct text *tail, struct ending *ending)
{
    bool own_limit = true;

    if (s->by == ENDED_ITSELF && !s->end_known)
        note_lost(s);
    if (s->by == ENDED_ITSELF && was_memory(s)) {
        s->by = ENDED_MEMORY;
        own_limit = s->group_kills > 0;
    }
    *ending = (struct ending){
        .by = s->by,
        .exit_code = s->end.exit_code,
        .signal = s->end.signal,
        .system_error = s->system_error,
        .program = json_string_value(json_array_get(s->spec.command, 0)),
        .path = tn_text(&s->path),
        .detail = s->detail[0] != '\0' ? s->detail : NULL,
        .output = s->by == ENDED_ITSELF ? find_missing(s) : NULL,
        .tail = tn_text(tail),
        .serves = s->spec.port >= 0,
        .was_ready = has_file(s, LOCAL_READY),
        .port = s->spec.port > 0 ? s->spec.port : (int32_t)tn_json_integer(s->state, "port", 0),
        .memory_bytes = own_limit ? s->spec.memory_bytes : 0,
        .time_ms = s->spec.time_ms,
    };
}

bool should_start_again(struct supervision *s)
{
    struct text tail;
    bool again = s->attempt == 1 && s->by == ENDED_ITSELF && s->end_known && s->end.exit_code != 0 && s->spec.port == 0 &&
                 !has_file(s, LOCAL_READY);

    if (again) {
        tn_text_init(&tail, &s->memory, TAIL_LIMIT);
        read_tail(s, &tail);
        again = tn_says_port_taken(tn_text(&tail));
        tn_text_clear(&tail);
    }
    return again;
}

static bool set_end(struct supervision *s, const struct explanation *explanation, const struct text *tail)
{
    json_t *state = s->state;
    bool failed = explanation->state == TENON_JOB_FAILED;
    bool whole = tn_local_state_end(state, explanation->state, explanation->cause, tn_text(&explanation->message),
                                    tn_text(&explanation->hint)) &&
                 tn_json_set_integer(state, "retry_helps", explanation->retry_helps) &&
                 tn_json_set_integer(state, "ended_ms", system_wall()) &&
                 tn_json_set_text(state, "last_lines", failed ? tn_text(tail) : NULL);

    if (s->peak_bytes > 0)
        whole = whole && tn_json_set_integer(state, "peak_memory_bytes", s->peak_bytes);
    if (s->end_known && s->by != ENDED_NO_START)
        whole = whole && tn_json_set_integer(state, "exit_code", s->end.exit_code) &&
                tn_json_set_integer(state, "signal", s->end.signal);
    return whole;
}

bool finish(struct supervision *s)
{
    struct explanation explanation;
    struct ending ending;
    struct text tail;
    bool written;

    tn_text_init(&tail, &s->memory, TAIL_LIMIT);
    read_tail(s, &tail);
    describe(s, &tail, &ending);
    tn_explain(&ending, &s->memory, &explanation);
    written = set_end(s, &explanation, &tail) && write_state(s, true);
    give_spare(s);
    tn_explanation_clear(&explanation);
    tn_text_clear(&tail);
    return written;
}
