#define _GNU_SOURCE
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "local_group.h"
#include "process.h"
#include "system.h"

extern char **environ;

enum { EXIT_BYTES = 256 };

/* What the child says when it does not become the user's program. Nothing at all means that it did. */
struct news {
    char stage[16]; /* EXIT_..., or "" when another start was first */
    int32_t error;
};

static bool file_name(char *path, size_t size, const struct keep_plan *plan, const char *name)
{
    int length = snprintf(path, size, "%s/%s.%s", plan->folder, name, plan->attempt);

    return length > 0 && (size_t)length < size;
}

/* ---- the child, until it is the user's program ---- */

/* Says who runs, for supervisors that come later; durable, because after a power cut nobody else knows that the program ran. */
static tenon_status note_start(const struct keep_plan *plan, int fd, const char *path, struct failure *failure)
{
    struct process self = tn_process_self(), keeper = tn_process_find((int32_t)getppid());
    char line[EXIT_BYTES];
    int length = snprintf(line, sizeof line,
                          "{\"process\":{\"id\":%" PRId32 ",\"start\":%" PRId64 "},"
                          "\"keeper\":{\"id\":%" PRId32 ",\"start\":%" PRId64 "}}\n",
                          self.id, self.start, keeper.id, keeper.start);
    tenon_status status = tn_file_write(fd, line, (size_t)length, path, failure);

    if (status == TENON_OK)
        status = tn_file_sync(fd, path, failure);
    return status == TENON_OK ? tn_folder_sync(plan->folder, failure) : status;
}

/* Takes the one start there is: whoever makes the file may run the program, and nobody makes it twice. */
static bool take_start(const struct keep_plan *plan, struct news *news)
{
    const struct memory memory = tn_memory(NULL);
    struct failure failure;
    char path[PATH_MAX];
    int fd;
    bool taken;

    tn_failure_init(&failure, &memory, NULL);
    fd = file_name(path, sizeof path, plan, "process") ? tn_file_open(path, FILE_WRITE_NEW, &failure) : -1;
    taken = fd >= 0 && note_start(plan, fd, path, &failure) == TENON_OK;
    if (!taken && failure.system_error != EEXIST) {
        strcpy(news->stage, EXIT_START);
        news->error = failure.system_error;
        /* Nothing has run, so nothing was taken. */
        if (fd >= 0)
            unlink(path);
    }
    tn_file_close(&fd);
    tn_failure_clear(&failure);
    return taken;
}

static void limit_data(const char *bytes)
{
    rlim_t most = (rlim_t)strtoull(bytes, NULL, 10);
    struct rlimit limit = { most, most };

    if (most > 0)
        setrlimit(RLIMIT_DATA, &limit);
}

static bool open_streams(const struct keep_plan *plan)
{
    const struct memory memory = tn_memory(NULL);
    struct failure failure;
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/log", plan->folder), log, none;
    bool open_all;

    tn_failure_init(&failure, &memory, NULL);
    log = length > 0 && (size_t)length < sizeof path ? tn_file_open(path, FILE_APPEND, &failure) : -1;
    none = tn_file_open("/dev/null", FILE_READ, &failure);
    open_all = log >= 0 && none >= 0 && dup2(none, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2;
    if (!open_all && failure.system_error != 0)
        errno = failure.system_error;
    tn_failure_clear(&failure);
    return open_all;
}

static void default_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Everything up to the program; what went wrong is in news. */
static void become(const struct keep_plan *plan, char **command, struct news *news)
{
    const struct memory memory = tn_memory(NULL);
    bool joined;

    setsid();
    /* First, so that whoever reads who was started can see whether the group keeps its limit. */
    joined = *plan->cgroup != '\0' && tn_group_join(&memory, plan->cgroup, (int32_t)getpid());
    if (!take_start(plan, news))
        return;
    if (!joined)
        limit_data(plan->data_bytes);
    strcpy(news->stage, EXIT_LOG);
    if (open_streams(plan)) {
        strcpy(news->stage, EXIT_FOLDER);
        if (chdir(plan->home) == 0) {
            strcpy(news->stage, EXIT_PROGRAM);
            default_signals();
            execve(plan->program, command, environ);
        }
    }
    news->error = errno;
}

/* ---- the keeper ---- */

/*
 * Writes what became of the start. The file has its size already, so that a full disk cannot hide an end; and it stays open, so
 * that it is found where the folder was moved to, and not made anew where that was removed.
 */
static void write_exit(const struct keep_plan *plan, int *fd, const char *content)
{
    const struct memory memory = tn_memory(NULL);
    struct failure ignored;
    char path[PATH_MAX], padded[EXIT_BYTES];

    tn_failure_init(&ignored, &memory, NULL);
    if (*fd < 0 && file_name(path, sizeof path, plan, "exit"))
        *fd = tn_file_open(path, FILE_WRITE, &ignored);
    memset(padded, ' ', sizeof padded);
    memcpy(padded, content, strlen(content));
    padded[sizeof padded - 1] = '\n';
    if (*fd >= 0 && tn_file_write_at(*fd, padded, sizeof padded, 0, "", &ignored) == TENON_OK)
        tn_file_sync(*fd, "", &ignored);
    tn_failure_clear(&ignored);
}

static void write_end(const struct keep_plan *plan, int *fd, const struct system_end *end)
{
    char content[EXIT_BYTES];

    snprintf(content, sizeof content,
             "{\"exit_code\":%" PRId32 ",\"signal\":%" PRId32 ",\"peak_memory_bytes\":%" PRId64 ",\"ended_ms\":%" PRId64 "}",
             end->exit_code, end->signal, end->peak_bytes, system_wall());
    write_exit(plan, fd, content);
}

static void write_news(const struct keep_plan *plan, int *fd, const struct news *news)
{
    char content[EXIT_BYTES];

    snprintf(content, sizeof content, "{\"stage\":\"%s\",\"error\":%" PRId32 "}", news->stage, news->error);
    write_exit(plan, fd, content);
}

/* Waits for the process, and then for the orphans it left, whose end the supervisor sees to. */
static void wait_for_all(const struct keep_plan *plan, int *fd, pid_t child)
{
    bool alone = false;

    while (!alone) {
        struct system_end end = system_reap(true, &alone);

        if (end.id == child)
            write_end(plan, fd, &end);
    }
}

/* Reads what the child says before it is the program; false when it has become it. */
static bool hear_news(int fd, struct news *news)
{
    size_t got = 0;
    ssize_t length;

    do {
        length = read(fd, (char *)news + got, sizeof *news - got);
        got += length > 0 ? (size_t)length : 0;
    } while (length > 0 || (length < 0 && errno == EINTR));
    return got > 0;
}

static int start(const struct keep_plan *plan, char **command)
{
    struct news news = { "", 0 };
    int ends[2], exit = -1;
    ssize_t told;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return 1;
    child = fork();
    if (child < 0)
        return 1;
    if (child == 0) {
        become(plan, command, &news);
        while ((told = write(ends[1], &news, sizeof news)) < 0 && errno == EINTR)
            ;
        _exit(told > 0 ? 127 : 126);
    }
    close(ends[1]);
    if (hear_news(ends[0], &news)) {
        if (news.stage[0] != '\0')
            write_news(plan, &exit, &news);
    } else {
        write_exit(plan, &exit, "");
        wait_for_all(plan, &exit, child);
    }
    return 0;
}

int keep(int count, char **arguments)
{
    const struct keep_plan plan = { .folder = arguments[2], .attempt = arguments[3], .cgroup = arguments[4],
                                    .data_bytes = arguments[5], .home = arguments[6], .program = arguments[7] };
    int signals;

    if (count <= KEEP_ARGUMENTS)
        return 2;
    signals = system_prepare();
    close(signals);
    return start(&plan, arguments + KEEP_ARGUMENTS);
}
