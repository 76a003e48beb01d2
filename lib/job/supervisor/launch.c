#include "supervision.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "local_group.h"
#include "file.h"
#include "json.h"
#include "keep.h"
#include "path.h"

enum { LOOK_MS = 10, LOOK_LONGEST_MS = 500, UNFINISHED_MS = 2000 };

/* ---- taking up ---- */

void attempt_file(const struct supervision *s, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s.%d", name, (int)s->attempt);
}

/* A group that its process could not enter keeps no limit: then that is ours to do. */
static void check_cgroup(struct supervision *s)
{
    if (s->cgroup.length > 0 && !tn_group_has(&s->memory, tn_text(&s->cgroup), s->process.id) && is_alive(s, &s->process)) {
        tn_group_remove(tn_text(&s->cgroup));
        tn_text_reset(&s->cgroup);
    }
}

static void set_processes(struct supervision *s, const json_t *start)
{
    s->process = tn_local_process(start, "process");
    s->keeper = tn_local_process(start, "keeper");
    if (!s->elsewhere) {
        s->process_fd = system_process_descriptor(&s->process);
        s->keeper_fd = system_process_descriptor(&s->keeper);
    }
    check_cgroup(s);
}

/* Who was started; TENON_AGAIN where the file is there but not yet written. */
static tenon_status read_start(struct supervision *s)
{
    char name[32];
    json_t *start = NULL;
    tenon_status status;

    attempt_file(s, "process", name, sizeof name);
    status = read_own(s, name, &start);
    if (status == TENON_OK && tn_local_process(start, "process").id > 0)
        set_processes(s, start);
    else if (status == TENON_OK || status == TENON_ERROR_PROTOCOL)
        status = TENON_AGAIN;
    json_decref(start);
    return status;
}

/* A file that stays empty: whoever made it was killed before the program began. */
static void fail_unfinished(struct supervision *s)
{
    s->by = s->by == ENDED_ITSELF ? ENDED_LOST : s->by;
    snprintf(s->detail, sizeof s->detail, "the job's process was killed before its program began");
}

/* True when a supervisor that is gone began this very start: somebody may still be about to run with its port. */
static bool was_begun(const struct supervision *s)
{
    return strcmp(tn_json_text_or(s->state, "phase", ""), PHASE_LAUNCHING) == 0 &&
           tn_json_integer(s->state, "attempt", 0) == s->attempt;
}

static void note_running(struct supervision *s)
{
    tn_json_set_text(s->state, "phase", PHASE_RUNNING);
    tn_local_set_process(s->state, "process", &s->process);
    tn_local_set_process(s->state, "keeper", &s->keeper);
    tn_json_set_integer(s->state, "started_ms", system_wall());
    write_state(s, false);
}

bool take_up(struct supervision *s)
{
    int64_t until = system_now() + UNFINISHED_MS;
    tenon_status status;

    while ((status = read_start(s)) == TENON_AGAIN && system_now() < until)
        system_wait(NULL, 0, LOOK_MS);
    if (status == TENON_AGAIN)
        fail_unfinished(s);
    if (status == TENON_OK && was_begun(s))
        note_running(s);
    return status == TENON_OK || status == TENON_AGAIN;
}

/* ---- what a start needs ---- */

static void fail_start(struct supervision *s, enum ended_by by, int32_t error, const char *detail)
{
    s->by = by;
    s->system_error = error;
    snprintf(s->detail, sizeof s->detail, "%s", detail != NULL ? detail : "");
}

static bool choose_port(struct supervision *s)
{
    const char *jobs_end = strrchr(s->folder, '/');
    int32_t before = (int32_t)tn_json_integer(s->state, "port", 0);
    int32_t wanted = s->spec.port > 0 || !was_begun(s) ? s->spec.port : before;
    struct text ports;
    uint32_t seed;
    tenon_status status;

    port_clear(&s->port);
    tn_text_init(&ports, &s->memory, PATH_MAX);
    tn_text_format(&ports, "%.*s/ports", (int)(jobs_end - s->folder), s->folder);
    tn_system_random(&seed, sizeof seed);
    if (wanted > 0)
        status = port_take(&s->port, tn_text(&ports), wanted, &s->failure);
    else
        status = port_take_any(&s->port, tn_text(&ports), seed, before, &s->failure);
    if (status == TENON_ERROR_BUSY && wanted > 0)
        fail_start(s, ENDED_NO_PORT, 0, NULL);
    else if (status != TENON_OK)
        fail_start(s, ENDED_NO_START, 0, s->failure.message);
    tn_text_clear(&ports);
    return status == TENON_OK;
}

/* The port, and the address that goes with it. The second start does without the socket that holds it. */
static bool take_port(struct supervision *s)
{
    char address[64];
    bool taken = s->spec.port < 0 || choose_port(s);

    if (taken && s->spec.port >= 0) {
        if (s->attempt > 1)
            port_let_go(&s->port);
        snprintf(address, sizeof address, "http://127.0.0.1:%d/v1", (int)s->port.number);
        taken = tn_json_set_integer(s->state, "port", s->port.number) && tn_json_set_text(s->state, "address", address);
    }
    return taken;
}

/* The system keeps the limit where it lets us; the name says whose group it is. */
static void make_cgroup(struct supervision *s)
{
    char name[64];

    snprintf(name, sizeof name, "tenon-%s.%d", tn_path_name(s->folder), (int)s->attempt);
    tn_text_reset(&s->cgroup);
    if (s->spec.memory_bytes > 0)
        tn_group_make("", name, s->spec.memory_bytes, &s->cgroup);
    if (s->cgroup.length > 0)
        tn_json_set_text(s->state, "cgroup", tn_text(&s->cgroup));
}

/*
 * What the process may ask for where there is no control group. It is more than the limit, because programs ask for more
 * than they use; it stops one that grows faster than its memory is looked at.
 */
static int64_t data_limit(const struct supervision *s)
{
    const int64_t limit = s->spec.memory_bytes;

    return limit == 0 ? 0 : limit + limit / 4 + (64 << 20);
}

/* ---- the start ---- */

static bool find_program(struct supervision *s, const char *name, const struct environment *environment, struct text *program)
{
    const char *path = tn_environment_get(environment, "PATH", strlen("PATH"));
    bool found;

    tn_text_reset(program);
    if (strchr(name, '/') != NULL && *name != '/')
        tn_path_join(program, s->spec.home, name);
    else if (!tn_program_find(name, path != NULL ? path : "", program) && *name != '/')
        tn_text_reset(program);
    found = program->length > 0;
    if (!found) {
        tn_text_reset(&s->path);
        tn_text_add(&s->path, path != NULL ? path : "an empty PATH");
        fail_start(s, ENDED_NO_START, ENOENT, NULL);
    }
    return found;
}

static bool start_keeper(struct supervision *s, const char *program, const char *const *command,
                         const struct environment *environment)
{
    size_t count = 0;
    char attempt[16], data[24];
    const char **arguments;
    struct process_plan plan = { .program = "/proc/self/exe", .environment = environment->pairs, .input = -1, .output = -1,
                                 .session = true };
    tenon_status status = TENON_ERROR_MEMORY;

    while (command[count] != NULL)
        count++;
    snprintf(attempt, sizeof attempt, "%d", (int)s->attempt);
    snprintf(data, sizeof data, "%" PRId64, data_limit(s));
    arguments = tn_alloc_array(&s->memory, KEEP_ARGUMENTS + count + 1, sizeof *arguments);
    if (arguments != NULL) {
        const char *const first[KEEP_ARGUMENTS] = { "tenon-supervisor", "keep", s->folder, attempt, tn_text(&s->cgroup), data,
                                                    s->spec.home, program };

        memcpy(arguments, first, sizeof first);
        memcpy(arguments + KEEP_ARGUMENTS, command, count * sizeof *command);
        plan.arguments = arguments;
        status = tn_process_start(&plan, &s->keeper, &s->failure);
    }
    if (status != TENON_OK)
        fail_start(s, ENDED_NO_START, s->failure.system_error != 0 ? s->failure.system_error : ENOMEM, NULL);
    tn_release(&s->memory, arguments);
    return status == TENON_OK;
}

/* Until the process says that it is there, or its parent is gone without it, or there is nowhere to say so. */
static void wait_for_start(struct supervision *s)
{
    int64_t pause = LOOK_MS;
    tenon_status status;
    bool alone;

    s->keeper_fd = system_process_descriptor(&s->keeper);
    while ((status = read_start(s)) != TENON_OK && !s->gone && tn_process_alive(&s->keeper)) {
        const int fds[] = { s->events, s->keeper_fd };

        system_wait(fds, 2, pause);
        system_take_events(s->events);
        pause = pause < LOOK_LONGEST_MS ? 2 * pause : pause;
    }
    if (status == TENON_OK)
        note_running(s);
    else if (!take_up(s)) {
        /* Nor did it come between the two looks. */
        if (!read_exit(s))
            fail_start(s, ENDED_NO_START, EAGAIN, NULL);
        system_reap(false, &alone);
    }
}

static bool note_launch(struct supervision *s)
{
    struct text world;
    bool noted;

    tn_text_init(&world, &s->memory, PATH_MAX);
    tn_process_world(&world);
    s->elsewhere = false;
    noted = tn_json_set_text(s->state, "world", tn_text(&world)) && tn_json_set_text(s->state, "phase", PHASE_LAUNCHING) &&
            tn_json_set_integer(s->state, "attempt", s->attempt) && write_state(s, true);
    tn_text_clear(&world);
    return noted;
}

void launch(struct supervision *s)
{
    const char *const *command = NULL;
    struct environment environment;
    struct arena arena;
    struct text program;

    tn_arena_init(&arena, &s->memory);
    tn_text_init(&program, &s->memory, PATH_MAX);
    if (!take_port(s))
        goto done;
    if (spec_expand(&s->spec, s->port.number, &arena, &command, &environment, &s->failure) != TENON_OK) {
        fail_start(s, ENDED_NO_START, 0, s->failure.message);
        goto done;
    }
    if (!find_program(s, command[0], &environment, &program))
        goto done;
    make_cgroup(s);
    s->memory_kills = system_memory_kills();
    if (!note_launch(s)) {
        fail_start(s, ENDED_NO_START, 0, s->failure.message);
        goto done;
    }
    if (start_keeper(s, tn_text(&program), command, &environment))
        wait_for_start(s);
done:
    tn_text_clear(&program);
    tn_arena_clear(&arena);
}
