#include "supervision.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "local_group.h"
#include "json.h"
#include "keep.h"

enum {
    SOON_MS = 10,            /* the keeper is about to write what it saw */
    KILL_AGAIN_MS = 100,     /* between two looks at who is still there */
    LIMIT_SAMPLE_MS = 200,   /* memory of a job that has a limit and no control group */
    SAMPLE_MS = 1000,        /* memory of others, at first */
    SAMPLE_LONGEST_MS = 10000,
    NOTE_MS = 10000,         /* between two notes of a growing peak */
    BLIND_MS = 500,          /* where no descriptor tells of a process's end */
    LEFT_ALONE_MS = 5000,    /* how long to wait for a keeper that has nobody left */
    MARKED_ROUNDS = 50
};

bool is_alive(const struct supervision *s, const struct process *process)
{
    return !s->elsewhere && tn_process_alive(process);
}

/* ---- the job's processes ---- */

/* All of them: what descends from the process, from its keeper, and, where the keeper was killed, from us. */
static void collect(const struct supervision *s, struct family *family)
{
    int32_t self = tn_process_self().id;

    tn_family_init(family, &s->memory);
    tn_family_add(family, self);
    if (is_alive(s, &s->keeper))
        tn_family_add(family, s->keeper.id);
    if (is_alive(s, &s->process))
        tn_family_add(family, s->process.id);
    tn_family_remove(family, self);
    tn_family_remove(family, s->keeper.id);
}

/* Signals each of them once: the first one's group as one, so that nobody is born in between, the rest one by one. */
static void signal_all(const struct supervision *s, int number)
{
    bool first_lives = is_alive(s, &s->process);
    struct family family;

    collect(s, &family);
    if (number == SIGKILL && s->cgroup.length > 0)
        tn_group_kill(&s->memory, tn_text(&s->cgroup));
    if (first_lives)
        tn_process_signal(&s->process, number, true);
    for (size_t i = 0; i < family.count; i++)
        if (!first_lives || family.items[i].group != s->process.id)
            tn_process_signal(&family.items[i].process, number, false);
    tn_family_clear(&family);
}

static bool is_anybody_left(const struct supervision *s)
{
    struct family family;
    bool left;

    collect(s, &family);
    left = !tn_family_is_gone(&family);
    tn_family_clear(&family);
    return left;
}

/* ---- ending it ---- */

static void note_stopping(struct supervision *s)
{
    tn_json_set_text(s->state, "phase", PHASE_STOPPING);
    write_state(s, false);
}

void begin_end(struct supervision *s, enum ended_by by, const char *detail, int64_t grace_ms)
{
    int64_t kill_at = grace_ms < INT64_MAX - system_now() ? system_now() + grace_ms : INT64_MAX;

    if (s->by == ENDED_ITSELF && !s->over) {
        s->by = by;
        snprintf(s->detail, sizeof s->detail, "%s", detail != NULL ? detail : "");
        if (s->process.id > 0) {
            note_stopping(s);
            if (grace_ms > 0)
                signal_all(s, SIGTERM);
        }
    }
    if (kill_at < s->kill_at)
        s->kill_at = kill_at;
}

/* ---- what others ask for ---- */

static void hear_file(struct supervision *s)
{
    json_t *stop = NULL;
    const char *reason;

    if (read_own(s, LOCAL_STOP, &stop) == TENON_OK) {
        reason = tn_json_text_or(stop, "reason", "");
        begin_end(s, strcmp(reason, "health") == 0 ? ENDED_HEALTH : ENDED_STOP, tn_json_text(stop, "detail"),
                  tn_json_integer(stop, "grace_ms", s->spec.grace_ms));
    }
    json_decref(stop);
}

void hear(struct supervision *s)
{
    system_take_events(s->events);
    hear_file(s);
    if (system_take_signals(s->signals) || s->gone)
        begin_end(s, ENDED_STOP, NULL, s->spec.grace_ms);
}

/* ---- memory ---- */

static void note_peak(struct supervision *s, int64_t bytes)
{
    int64_t now = system_now();

    if (bytes > s->peak_bytes)
        s->peak_bytes = bytes;
    if (s->peak_bytes > s->noted_bytes + s->noted_bytes / 10 && now >= s->noted_at + NOTE_MS) {
        s->noted_bytes = s->peak_bytes;
        s->noted_at = now;
        tn_json_set_integer(s->state, "peak_memory_bytes", s->peak_bytes);
        write_state(s, false);
    }
}

static void look_at_memory(struct supervision *s)
{
    bool ours_to_keep = s->spec.memory_bytes > 0 && s->cgroup.length == 0;
    int64_t now = system_now(), used;
    struct family family;

    if (now < s->sample_at)
        return;
    collect(s, &family);
    used = tn_family_memory(&family, false);
    /* Processes that share pages use less than their sum. */
    if (ours_to_keep && used > s->spec.memory_bytes && family.count > 1)
        used = tn_family_memory(&family, true);
    tn_family_clear(&family);
    note_peak(s, used);
    if (ours_to_keep && used > s->spec.memory_bytes)
        begin_end(s, ENDED_MEMORY, NULL, 0);
    s->sample_at = now + (ours_to_keep ? LIMIT_SAMPLE_MS : s->sample_every);
    s->sample_every = s->sample_every < SAMPLE_LONGEST_MS / 2 ? 2 * s->sample_every : SAMPLE_LONGEST_MS;
}

/* ---- its end ---- */

/* The process never became the program: the keeper wrote at what it failed. */
static void take_failed_start(struct supervision *s, const json_t *exit)
{
    const char *stage = tn_json_text_or(exit, "stage", "");

    s->by = s->by == ENDED_ITSELF ? ENDED_NO_START : s->by;
    s->system_error = (int32_t)tn_json_integer(exit, "error", 0);
    if (strcmp(stage, EXIT_FOLDER) == 0)
        snprintf(s->detail, sizeof s->detail, "the folder %.200s cannot be entered", s->spec.home);
    else if (strcmp(stage, EXIT_LOG) == 0)
        snprintf(s->detail, sizeof s->detail, "the job's log cannot be written");
    else if (strcmp(stage, EXIT_START) == 0)
        snprintf(s->detail, sizeof s->detail, "the job's start cannot be noted in its folder");
}

bool read_exit(struct supervision *s)
{
    char name[32];
    json_t *exit = NULL;
    bool written;

    attempt_file(s, "exit", name, sizeof name);
    written = read_own(s, name, &exit) == TENON_OK;
    if (written && tn_json_text(exit, "stage") != NULL)
        take_failed_start(s, exit);
    else if (written) {
        s->end.id = s->process.id;
        s->end.exit_code = (int32_t)tn_json_integer(exit, "exit_code", -1);
        s->end.signal = (int32_t)tn_json_integer(exit, "signal", 0);
        note_peak(s, tn_json_integer(exit, "peak_memory_bytes", -1));
        s->end_known = true;
    }
    json_decref(exit);
    return written;
}

/* Takes in children of ours that have ended: the keeper, orphans, and the process itself where its keeper was killed. */
static void reap(struct supervision *s)
{
    bool alone;
    struct system_end end;

    while ((end = system_reap(false, &alone)).id > 0)
        if (end.id == s->process.id) {
            s->end = end;
            s->end_known = true;
            note_peak(s, end.peak_bytes);
        } else if (end.id == s->keeper.id)
            s->nobody_escaped = end.exit_code == 0;
}

/* True when the process has ended and everything is known of it that can be. */
static bool is_over(struct supervision *s)
{
    bool keeper_gone = !is_alive(s, &s->keeper);

    reap(s);
    if (is_alive(s, &s->process))
        return false;
    /* The keeper's word first: of a start that failed it leaves the child, which is no program, to us. */
    return read_exit(s) || s->end_known || keeper_gone || s->gone;
}

/* ---- watching ---- */

static void kill_who_is_late(struct supervision *s)
{
    if (system_now() >= s->kill_at)
        signal_all(s, SIGKILL);
}

static int64_t next_look(const struct supervision *s)
{
    int64_t now = system_now(), next = s->sample_at;

    if (s->time_at < next)
        next = s->time_at;
    if (s->kill_at <= now)
        next = now + KILL_AGAIN_MS;
    else if (s->kill_at < next)
        next = s->kill_at;
    if (s->process_fd < 0 && next > now + BLIND_MS)
        next = now + BLIND_MS;
    if (!is_alive(s, &s->process))
        next = now + SOON_MS;
    return next > now ? next - now : 0;
}

static void start_clocks(struct supervision *s)
{
    s->time_at = s->spec.time_ms > 0 ? system_start_ms(&s->process) + s->spec.time_ms : INT64_MAX;
    s->sample_at = 0;
    s->sample_every = SAMPLE_MS;
}

void guard(struct supervision *s)
{
    if (s->process.id == 0)
        return;
    start_clocks(s);
    while (!is_over(s)) {
        const int fds[] = { s->signals, s->events, is_alive(s, &s->process) ? s->process_fd : -1 };

        hear(s);
        if (system_now() >= s->time_at) {
            s->time_at = INT64_MAX;
            begin_end(s, ENDED_TIME, NULL, s->spec.grace_ms);
        }
        look_at_memory(s);
        kill_who_is_late(s);
        system_wait(fds, sizeof fds / sizeof fds[0], next_look(s));
    }
    s->over = true;
}

/* Orphans of a keeper that was killed have got away to the system's own process; their environment gives them away. */
static void kill_marked(struct supervision *s)
{
    struct text mark;
    bool left = true;

    tn_text_init(&mark, &s->memory, PATH_MAX);
    tn_text_format(&mark, "TENON_JOB_ID=%s", s->spec.id);
    for (int round = 0; round < MARKED_ROUNDS && left; round++) {
        struct family family;

        tn_family_init(&family, &s->memory);
        tn_family_add_marked(&family, tn_text(&mark));
        tn_family_remove(&family, s->keeper.id);
        for (size_t i = 0; i < family.count; i++)
            tn_process_signal(&family.items[i].process, SIGKILL, false);
        left = !tn_family_is_gone(&family);
        tn_family_clear(&family);
        if (left)
            system_wait(NULL, 0, SOON_MS);
        reap(s);
    }
    tn_text_clear(&mark);
}

/* Asks those who are left, once, and kills them when their grace is over. */
static void press(struct supervision *s, bool *asked)
{
    if (!*asked) {
        *asked = true;
        signal_all(s, SIGTERM);
        s->kill_at = system_now() + s->spec.grace_ms;
    }
    kill_who_is_late(s);
}

static void leave_cgroup(struct supervision *s)
{
    const char *path = tn_text(&s->cgroup);

    tn_group_kill(&s->memory, path);
    s->group_kills = tn_group_memory_kills(&s->memory, path);
    note_peak(s, tn_group_peak(&s->memory, path));
    tn_group_remove(path);
}

void sweep(struct supervision *s)
{
    bool asked = s->kill_at != INT64_MAX, left = is_anybody_left(s), kept = is_alive(s, &s->keeper);
    int64_t alone_since = system_now();

    /* The keeper ends by itself when it has nobody left; should it not, it is no reason to wait for ever. */
    while (left || (kept && system_now() < alone_since + LEFT_ALONE_MS)) {
        const int fds[] = { s->signals, s->events, kept ? s->keeper_fd : -1 };

        if (left) {
            press(s, &asked);
            alone_since = system_now();
        }
        system_wait(fds, sizeof fds / sizeof fds[0], KILL_AGAIN_MS);
        reap(s);
        hear(s);
        left = is_anybody_left(s);
        kept = is_alive(s, &s->keeper);
    }
    if (!s->nobody_escaped)
        kill_marked(s);
    if (s->cgroup.length > 0)
        leave_cgroup(s);
}
