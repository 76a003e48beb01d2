/*
 * tenon-supervisor: watches over one local job, whatever becomes of the program that submitted it.
 *
 *     tenon-supervisor watch FOLDER      with the job's lock, held, as standard input
 *     tenon-supervisor keep ...          what it starts itself as the parent of the job's process: see keep.h
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "keep.h"
#include "path.h"
#include "supervision.h"

enum { EXIT_USAGE = 2, EXIT_STATE = 3, EXIT_HELD = 4, WORLD_LIMIT = 200, SPARE_BYTES = 128 * 1024 };

static void init(struct supervision *s, const char *folder)
{
    memset(s, 0, sizeof *s);
    s->memory = tn_memory(NULL);
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    s->lock = system_own_descriptor(0);
    s->signals = s->events = s->process_fd = s->keeper_fd = -1;
    s->kill_at = s->time_at = INT64_MAX;
    s->memory_kills = s->group_kills = -1;
    s->end.exit_code = -1;
    tn_failure_init(&s->failure, &s->memory, NULL);
    tn_text_init(&s->cgroup, &s->memory, PATH_MAX);
    tn_text_init(&s->path, &s->memory, PATH_MAX);
    port_init(&s->port);
}

/* The state as the last supervisor left it; a new one where we are the first. */
static tenon_status read_state(struct supervision *s)
{
    json_t *job = NULL;
    tenon_status status = tn_job_read_file(s->folder, LOCAL_STATE, &s->state, &s->failure);

    if (status == TENON_ERROR_NOT_FOUND) {
        status = tn_job_read_file(s->folder, LOCAL_JOB, &job, &s->failure);
        if (status == TENON_OK) {
            s->state = tn_local_state_new(job);
            status = s->state != NULL ? TENON_OK : tn_fail_memory(&s->failure);
        }
        json_decref(job);
    }
    return status;
}

/* Where ids of processes mean what they say. */
static void compare_worlds(struct supervision *s)
{
    const char *before = tn_json_text(s->state, "world");
    struct text world;

    tn_text_init(&world, &s->memory, WORLD_LIMIT);
    tn_process_world(&world);
    s->elsewhere = before != NULL && strcmp(before, tn_text(&world)) != 0;
    tn_text_clear(&world);
}

static void introduce(struct supervision *s)
{
    struct process self = tn_process_self();

    compare_worlds(s);
    s->attempt = (int32_t)tn_json_integer(s->state, "attempt", 1);
    s->peak_bytes = tn_json_integer(s->state, "peak_memory_bytes", 0);
    tn_text_add(&s->cgroup, tn_json_text_or(s->state, "cgroup", ""));
    s->port.number = (int32_t)tn_json_integer(s->state, "port", 0);
    tn_local_set_process(s->state, "supervisor", &self);
    if (tn_json_text(s->state, "phase") == NULL)
        tn_json_set_text(s->state, "phase", PHASE_STARTING);
    write_state(s, false);
}

/* Room that is kept for the last words on a full disk. False when the disk is full already. */
static bool put_spare_aside(struct supervision *s)
{
    char *nothing = tn_alloc(&s->memory, SPARE_BYTES);
    struct text path;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &s->memory, PATH_MAX);
    tn_path_join(&path, s->folder, LOCAL_SPARE);
    if (nothing != NULL && !tn_file_exists(tn_text(&path)))
        status = tn_file_replace(tn_text(&path), nothing, SPARE_BYTES, 0600, false, &s->failure);
    tn_text_clear(&path);
    tn_release(&s->memory, nothing);
    return status != TENON_ERROR_DISK_FULL;
}

static bool has_ended(const struct supervision *s)
{
    return strcmp(tn_json_text_or(s->state, "phase", ""), PHASE_ENDED) == 0;
}

static bool is_starting(const struct supervision *s)
{
    const char *phase = tn_json_text_or(s->state, "phase", "");

    return strcmp(phase, PHASE_STARTING) == 0 || strcmp(phase, PHASE_LAUNCHING) == 0;
}

/* One start of the job, from wherever it is to its end. */
static void attempt(struct supervision *s)
{
    s->process = s->keeper = (struct process){ 0, 0 };
    s->over = s->end_known = s->nobody_escaped = false;
    s->kill_at = INT64_MAX;
    if (!take_up(s)) {
        hear(s);
        /* What ran before a restart and left no trace is lost; what had not begun can begin now. */
        if (s->by == ENDED_ITSELF && (!s->elsewhere || is_starting(s)))
            launch(s);
    }
    guard(s);
    sweep(s);
}

static int supervise(struct supervision *s)
{
    bool finished;

    system_detach();
    s->signals = system_prepare();
    s->events = system_watch(s->folder);
    introduce(s);
    attempt(s);
    while (should_start_again(s)) {
        s->attempt++;
        attempt(s);
    }
    finished = finish(s);
    port_clear(&s->port);
    return finished ? 0 : EXIT_STATE;
}

static int watch(const char *folder)
{
    struct supervision s;
    int code = EXIT_STATE;

    init(&s, folder);
    if (s.lock < 0 || !system_holds_lock(s.lock)) {
        fprintf(stderr, "the lock of %s is not held\n", folder);
        code = EXIT_HELD;
    } else if (spec_read(&s.spec, folder, &s.failure) != TENON_OK || read_state(&s) != TENON_OK)
        complain(&s);
    else if (has_ended(&s))
        code = 0;
    else
        /* Whoever started us still waits, and hears that there is no room. */
        code = put_spare_aside(&s) ? supervise(&s) : EXIT_DISK;
    return code;
}

int main(int count, char **arguments)
{
    int code = EXIT_USAGE;

    if (count > KEEP_ARGUMENTS && strcmp(arguments[1], "keep") == 0)
        code = keep(count, arguments);
    else if (count == 3 && strcmp(arguments[1], "watch") == 0)
        code = watch(arguments[2]);
    else
        fprintf(stderr, "tenon-supervisor is started by libtenon: tenon-supervisor watch FOLDER\n");
    return code;
}
