#define _GNU_SOURCE
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_SET = 8 };

void system_detach(void)
{
    pid_t child = fork();

    if (child != 0)
        _exit(child > 0 ? 0 : 1);
    setsid();
}

int system_prepare(void)
{
    sigset_t all, wanted;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool system_take_signals(int fd)
{
    struct signalfd_siginfo signal;
    bool asked = false;
    ssize_t got;

    while (fd >= 0 && ((got = read(fd, &signal, sizeof signal)) == (ssize_t)sizeof signal || (got < 0 && errno == EINTR)))
        asked = asked || (got > 0 && signal.ssi_signo != SIGCHLD);
    return asked;
}

int system_watch(const char *folder)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd >= 0 && inotify_add_watch(fd, folder, IN_MOVED_TO | IN_CREATE) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void system_take_events(int fd)
{
    char events[4096];

    while (fd >= 0 && read(fd, events, sizeof events) > 0)
        ;
}

int system_process_descriptor(const struct process *process)
{
    int fd = process->id > 0 ? (int)syscall(SYS_pidfd_open, process->id, 0) : -1;

    /* The number may have gone to another process before we asked. */
    if (fd >= 0 && tn_process_find(process->id).start != process->start) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void system_wait(const int *fds, size_t count, int64_t timeout_ms)
{
    struct pollfd set[WAIT_SET];
    nfds_t used = 0;

    for (size_t i = 0; i < count && used < WAIT_SET; i++)
        if (fds[i] >= 0)
            set[used++] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
    poll(set, used, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
}

struct system_end system_reap(bool wait, bool *alone)
{
    struct system_end end = { 0, -1, 0, -1 };
    struct rusage used;
    int status = 0;
    pid_t id;

    do
        id = wait4(-1, &status, wait ? 0 : WNOHANG, &used);
    while (id < 0 && errno == EINTR);
    *alone = id < 0;
    if (id > 0) {
        end.id = (int32_t)id;
        end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        end.peak_bytes = (int64_t)used.ru_maxrss * 1024;
    }
    return end;
}

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t system_now(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t system_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t system_start_ms(const struct process *process)
{
    return process->start != TN_START_UNKNOWN ? process->start * 1000 / sysconf(_SC_CLK_TCK) : system_now();
}

int64_t system_memory_kills(void)
{
    FILE *file = fopen("/proc/vmstat", "re");
    char line[128];
    long long kills = -1;

    while (file != NULL && kills < 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "oom_kill %lld", &kills) != 1)
            kills = -1;
    if (file != NULL)
        fclose(file);
    return kills;
}

int system_own_descriptor(int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int none = -1;

    while (own >= 0 && (none = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (none >= 0) {
        dup2(none, fd);
        close(none);
    }
    return own;
}

bool system_is_at(int fd, const char *path)
{
    struct stat own, named;

    if (fstat(fd, &own) != 0)
        return true;
    if (stat(path, &named) != 0)
        return errno != ENOENT && errno != ENOTDIR && errno != ESTALE;
    return own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

bool system_find(int fd, char *path, size_t size)
{
    char link[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, size);
    if (length < 0 || (size_t)length >= size)
        return false;
    path[length] = '\0';
    return true;
}

bool system_holds_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EBADF);
}

int32_t system_first_ephemeral_port(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    int first = 32768;

    if (file != NULL) {
        if (fscanf(file, "%d", &first) != 1 || first < 1 || first > 65535)
            first = 32768;
        fclose(file);
    }
    return (int32_t)first;
}

/* A socket that is bound to the port, with those options set; -1 when the port is not to be had. */
static int bind_port(int32_t port, const int *options, size_t count)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;

    for (size_t i = 0; i < count && fd >= 0; i++)
        setsockopt(fd, SOL_SOCKET, options[i], &yes, sizeof yes);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int system_hold_port(int32_t port)
{
    static const int options[] = { SO_REUSEADDR, SO_REUSEPORT };
    /* With the first option alone the bind fails where anybody listens; with both it would join a listener that has both. */
    int fd = bind_port(port, options, 1);

    if (fd >= 0) {
        close(fd);
        fd = bind_port(port, options, 2);
    }
    return fd;
}
