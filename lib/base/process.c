#define _GNU_SOURCE
#include "process.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Reads the beginning of one of the system's own small files as text; -1 with errno where that is not to be had. */
static ssize_t read_system(const char *path, char *text, size_t size)
{
    ssize_t length;
    int fd, error;

    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -1;
    do
        length = read(fd, text, size - 1);
    while (length < 0 && errno == EINTR);
    error = errno;
    close(fd);
    errno = error;
    text[length > 0 ? length : 0] = '\0';
    return length;
}

/* Field 22 of /proc/ID/stat; the name in field 2 may hold blanks and brackets, so count from its end. 0: there is none. */
static int64_t start_of(int32_t id, char *state)
{
    char path[64], line[1024], *field;
    int64_t start = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", id);
    if (read_system(path, line, sizeof line) < 0)
        return errno == ENOENT || errno == ESRCH ? 0 : TN_START_UNKNOWN;
    field = strrchr(line, ')');
    if (field != NULL && field[1] == ' ') {
        *state = field[2];
        for (int i = 3; i <= 22 && field != NULL; i++)
            field = strchr(field + 1, ' ');
        if (field != NULL)
            start = strtoll(field, NULL, 10);
    }
    return start;
}

struct process tn_process_find(int32_t id)
{
    struct process process = { id, 0 };
    char state = 'Z';

    if (id > 0)
        process.start = start_of(id, &state);
    return process;
}

/* Is there a process with that id? A child of ours that only waits to be reaped is none. */
static bool id_lives(int32_t id)
{
    siginfo_t end = { .si_pid = 0 };
    bool ended = waitid(P_PID, (id_t)id, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid == id;

    return !ended && (kill(id, 0) == 0 || errno == EPERM);
}

/* Where the system does not say more, its id decides: who is taken for dead is started again. */
bool tn_process_alive(const struct process *process)
{
    char state = 'R';
    int64_t start = process->id > 0 ? start_of(process->id, &state) : 0;
    bool same = start == process->start || process->start == TN_START_UNKNOWN;

    if (start == TN_START_UNKNOWN)
        same = id_lives(process->id);
    return start != 0 && same && state != 'Z' && state != 'X';
}

struct process tn_process_self(void)
{
    return tn_process_find((int32_t)getpid());
}

void tn_process_world(struct text *out)
{
    char boot[64] = "", space[64] = "";
    ssize_t length;

    read_system("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    boot[strcspn(boot, "\n")] = '\0';
    length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[length > 0 ? length : 0] = '\0';
    tn_text_format(out, "%s %s", boot, space);
}

void tn_process_signal(const struct process *process, int number, bool group)
{
    /* To kill(), 0, 1 and what is below stand for more than one process. */
    bool one = process->id > 1;
    /* While we hold a descriptor the id cannot be given to another, so the start time decides once; older systems have none. */
    int fd = one ? (int)syscall(SYS_pidfd_open, process->id, 0) : -1;

    if (one && tn_process_find(process->id).start == process->start)
        kill(group ? -process->id : process->id, number);
    else if (one && group && kill(process->id, 0) != 0 && errno == ESRCH)
        /* The leader is gone; its id stays taken as long as the group has members. */
        kill(-process->id, number);
    if (fd >= 0)
        close(fd);
}

static int add_streams(posix_spawn_file_actions_t *actions, const struct process_plan *plan)
{
    int result = 0;

    if (plan->input >= 0)
        result = posix_spawn_file_actions_adddup2(actions, plan->input, 0);
    else
        result = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    for (int fd = 1; fd <= 2 && result == 0; fd++)
        if (plan->output >= 0)
            result = posix_spawn_file_actions_adddup2(actions, plan->output, fd);
        else
            result = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_WRONLY, 0);
    if (result == 0 && plan->folder != NULL)
        result = posix_spawn_file_actions_addchdir_np(actions, plan->folder);
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
    /* The host's own files are none of the job's business. */
    if (result == 0)
        result = posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
    return result;
}

static int set_attributes(posix_spawnattr_t *attributes, const struct process_plan *plan)
{
    sigset_t none, all;
    int result = 0;

    sigemptyset(&none);
    sigfillset(&all);
    if (plan->session) {
        result = posix_spawnattr_setsigmask(attributes, &none);
        if (result == 0)
            result = posix_spawnattr_setsigdefault(attributes, &all);
        if (result == 0)
            result = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    return result;
}

tenon_status tn_process_start(const struct process_plan *plan, struct process *process, struct failure *failure)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t id = 0;
    int result = posix_spawn_file_actions_init(&actions);

    if (result != 0)
        return tn_fail_system(failure, result, "%s cannot be started", plan->program);
    result = posix_spawnattr_init(&attributes);
    if (result == 0) {
        result = add_streams(&actions, plan);
        if (result == 0)
            result = set_attributes(&attributes, plan);
        if (result == 0)
            result = posix_spawn(&id, plan->program, &actions, &attributes, (char *const *)plan->arguments,
                                 (char *const *)plan->environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    if (result != 0)
        return tn_fail_system(failure, result, "%s cannot be started", plan->program);
    *process = tn_process_find((int32_t)id);
    return TENON_OK;
}

int tn_process_reap(const struct process *process)
{
    pid_t ended;
    int end = 0;

    do
        ended = waitpid(process->id, &end, 0);
    while (ended < 0 && errno == EINTR);
    return ended == process->id && WIFEXITED(end) ? WEXITSTATUS(end) : -1;
}

static bool is_program(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && access(path, X_OK) == 0;
}

bool tn_program_find(const char *name, const char *path, struct text *out)
{
    bool found = false;

    if (strchr(name, '/') != NULL) {
        tn_text_add(out, name);
        return is_program(name);
    }
    while (*path != '\0' && !found && *name != '\0') {
        size_t length = strcspn(path, ":");

        tn_text_reset(out);
        tn_text_add_n(out, path, length);
        tn_text_format(out, "%s%s", length > 0 ? "/" : "./", name);
        found = is_program(tn_text(out));
        path += length;
        path += *path == ':';
    }
    return found;
}

void tn_pipe_block(struct pipe_guard *guard)
{
    sigset_t pipe, before, waiting;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    guard->blocked = pthread_sigmask(SIG_BLOCK, &pipe, &before) != 0 || sigismember(&before, SIGPIPE) == 1;
    guard->pending = guard->blocked && sigpending(&waiting) == 0 && sigismember(&waiting, SIGPIPE) == 1;
}

void tn_pipe_restore(struct pipe_guard *guard)
{
    static const struct timespec at_once = { 0, 0 };
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (!guard->pending)
        sigtimedwait(&pipe, NULL, &at_once);
    if (!guard->blocked)
        pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
}

void tn_system_random(void *bytes, size_t size)
{
    unsigned char *out = bytes;

    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);

        if (got > 0) {
            out += got;
            size -= (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            /* A kernel without getrandom: names must differ still, secrets are then refused by nobody. */
            struct timespec now;

            clock_gettime(CLOCK_REALTIME, &now);
            for (uint64_t seed = (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 32) ^ (uint64_t)getpid(); size > 0; size--) {
                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                *out++ = (unsigned char)(seed >> 56);
            }
        }
    }
}

void tn_library_folder(struct text *out)
{
    Dl_info facts;
    const char *slash;

    if (dladdr((void *)(uintptr_t)&tn_library_folder, &facts) != 0 && facts.dli_fname != NULL &&
        (slash = strrchr(facts.dli_fname, '/')) != NULL)
        tn_text_add_n(out, facts.dli_fname, (size_t)(slash - facts.dli_fname));
}
