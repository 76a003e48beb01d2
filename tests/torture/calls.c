/*
 * Put before a program with LD_PRELOAD: its Nth call of the system fails, or that and all later ones. Calls are those through
 * the C library that can fail in the way that is wanted, whoever makes them: the program, libtenon, libcurl.
 *
 *   CALLS_KIND=EIO|ENOSPC|EDQUOT|EROFS|EMFILE|ENOMEM|EINTR|SHORT
 *   CALLS_FAIL=N            which one fails; 0: none
 *   CALLS_FOR_GOOD=1        all later ones, too. EINTR then comes before every call, which goes through when it is made again;
 *                           SHORT is every call that moves bytes
 *   CALLS_COUNT=PATH        a file of eight bytes in which they are counted, by all processes together
 *   CALLS_PROGRAM=NAME      only in the program of that name
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In which ways a call can fail. */
enum {
    BROKEN = 1,     /* EIO: the disk */
    FULL = 2,       /* ENOSPC, EDQUOT */
    READ_ONLY = 4,  /* EROFS */
    MANY = 8,       /* EMFILE */
    NO_MEMORY = 16, /* ENOMEM */
    SIGNALLED = 32, /* EINTR */
    SHORT = 64,     /* moves less than it was asked to */

    LOOKS = BROKEN | NO_MEMORY,
    READS = BROKEN | NO_MEMORY | SIGNALLED | SHORT,
    WRITES = READS | FULL,
    NAMES = BROKEN | FULL | READ_ONLY | NO_MEMORY,
    TALKS = NO_MEMORY | SIGNALLED | SHORT,
    DESCRIBES = MANY | NO_MEMORY
};

static const struct kind {
    const char *name;
    int ways, error;
} kinds[] = {
    { "EIO", BROKEN, EIO },       { "ENOSPC", FULL, ENOSPC },        { "EDQUOT", FULL, EDQUOT },    { "EROFS", READ_ONLY, EROFS },
    { "EMFILE", MANY, EMFILE },   { "ENOMEM", NO_MEMORY, ENOMEM },   { "EINTR", SIGNALLED, EINTR }, { "SHORT", SHORT, 0 },
};

static const struct kind *wanted_kind(void)
{
    const char *name = getenv("CALLS_KIND"), *program = getenv("CALLS_PROGRAM");
    const struct kind *found = NULL;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && name != NULL; i++)
        if (strcmp(kinds[i].name, name) == 0)
            found = &kinds[i];
    return program == NULL || strcmp(program, program_invocation_short_name) == 0 ? found : NULL;
}

/* The number of this call among all that can fail so. */
static long long count(void)
{
    static _Atomic(long long) *counter;
    const char *path = getenv("CALLS_COUNT");

    if (counter == NULL && path != NULL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
        void *place = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        syscall(SYS_close, fd);
        if (place == MAP_FAILED)
            abort();
        counter = place;
    }
    return counter != NULL ? atomic_fetch_add(counter, 1) + 1 : 0;
}

/* Of all calls of a thread from one place every other one is interrupted. */
static int is_interrupted(const void *place)
{
    static _Thread_local struct site {
        const void *place;
        int interrupted;
    } sites[64];
    size_t i = 0;

    while (i + 1 < sizeof sites / sizeof sites[0] && sites[i].place != NULL && sites[i].place != place)
        i++;
    sites[i].place = place;
    return sites[i].interrupted = !sites[i].interrupted;
}

/* Does this call, which can fail in these ways, fail? errno says how; 0 where it is to be short. */
__attribute__((noinline)) static int fails(int ways)
{
    const struct kind *kind = wanted_kind();
    const char *at = getenv("CALLS_FAIL");
    long long number, wanted = at != NULL ? atoll(at) : 0;
    int good = getenv("CALLS_FOR_GOOD") != NULL, failing;

    if (kind == NULL || (ways & kind->ways) == 0)
        return 0;
    number = count();
    failing = wanted > 0 && (number == wanted || (good && number > wanted));
    /* A signal comes once, and not again at once. */
    if (kind->error == EINTR && good)
        failing = failing && is_interrupted(__builtin_return_address(0));
    if (failing)
        errno = kind->error;
    return failing;
}

static int is_file(int fd)
{
    struct stat facts;

    return syscall(SYS_fstat, fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* What can befall bytes that go to or come from a descriptor that is no socket. */
static int ways_of(int fd, int ways)
{
    return is_file(fd) ? ways : ways & SIGNALLED;
}

/* How many of so many bytes are moved: fewer where the call is to be short, -1 where it fails. */
static ssize_t moved(int ways, size_t size)
{
    ssize_t result = (ssize_t)size;

    if (fails(size > 1 ? ways : ways & ~SHORT))
        result = errno == 0 ? (ssize_t)((size + 1) / 2) : -1;
    return result;
}

/* The C library's own: ISO C makes no function pointer of an object pointer, so what is read is where it lies. */
#define REAL(name) (*(__typeof__(&name) *)next(#name, &(void *){ NULL }))

static void *next(const char *name, void **place)
{
    *place = dlsym(RTLD_NEXT, name);
    return place;
}

/* ---- bytes ---- */

ssize_t read(int fd, void *data, size_t size)
{
    ssize_t some = moved(ways_of(fd, READS), size);

    return some < 0 ? -1 : syscall(SYS_read, fd, data, some);
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t some = moved(ways_of(fd, WRITES), size);

    return some < 0 ? -1 : syscall(SYS_write, fd, data, some);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    ssize_t some = moved(READS, size);

    return some < 0 ? -1 : syscall(SYS_pread64, fd, data, some, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t some = moved(WRITES, size);

    return some < 0 ? -1 : syscall(SYS_pwrite64, fd, data, some, offset);
}

ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags)
{
    ssize_t some = moved(WRITES & ~SIGNALLED, size);

    return some < 0 ? -1 : syscall(SYS_copy_file_range, from, from_offset, to, to_offset, some, flags);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    ssize_t some = moved(TALKS, size);

    return some < 0 ? -1 : syscall(SYS_recvfrom, fd, data, some, flags, NULL, NULL);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    ssize_t some = moved(TALKS, size);

    return some < 0 ? -1 : syscall(SYS_sendto, fd, data, some, flags, NULL, 0);
}

ssize_t getrandom(void *data, size_t size, unsigned flags)
{
    return fails(SIGNALLED) ? -1 : syscall(SYS_getrandom, data, size, flags);
}

/* ---- calls that say 0 or -1 ---- */

#define CALL(ways, name, parameters, ...)                    \
    int name parameters                                      \
    {                                                        \
        return fails(ways) ? -1 : REAL(name)(__VA_ARGS__);   \
    }

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user)
{
    return fails(MANY | NO_MEMORY) ? EAGAIN : REAL(pthread_create)(thread, attributes, run, user);
}

CALL(BROKEN | FULL | SIGNALLED, fsync, (int fd), fd)
CALL(BROKEN | FULL | SIGNALLED, fdatasync, (int fd), fd)
CALL(BROKEN | FULL | SIGNALLED, ftruncate, (int fd, off_t size), fd, size)
CALL(BROKEN | READ_ONLY, fchmod, (int fd, mode_t mode), fd, mode)
CALL(NO_MEMORY | SIGNALLED, flock, (int fd, int operation), fd, operation)
CALL(LOOKS, stat, (const char *path, struct stat *facts), path, facts)
CALL(LOOKS, lstat, (const char *path, struct stat *facts), path, facts)
CALL(LOOKS, fstat, (int fd, struct stat *facts), fd, facts)
CALL(LOOKS, access, (const char *path, int mode), path, mode)
CALL(LOOKS, statvfs, (const char *path, struct statvfs *facts), path, facts)
CALL(NAMES, mkdir, (const char *path, mode_t mode), path, mode)
CALL(NAMES, symlink, (const char *target, const char *path), target, path)
CALL(NAMES, link, (const char *from, const char *to), from, to)
CALL(NAMES, rename, (const char *from, const char *to), from, to)
CALL(NAMES & ~FULL, unlink, (const char *path), path)
CALL(NAMES & ~FULL, rmdir, (const char *path), path)
CALL(NAMES & ~FULL, unlinkat, (int folder, const char *path, int flags), folder, path, flags)
CALL(DESCRIBES, socket, (int domain, int type, int protocol), domain, type, protocol)
CALL(NO_MEMORY, bind, (int fd, __CONST_SOCKADDR_ARG address, socklen_t size), fd, address, size)
CALL(NO_MEMORY, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t size), fd, address, size)
CALL(DESCRIBES, epoll_create1, (int flags), flags)
CALL(SIGNALLED, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout), epoll, events, most, timeout)
CALL(SIGNALLED, poll, (struct pollfd *fds, nfds_t size, int timeout), fds, size, timeout)
CALL(DESCRIBES, eventfd, (unsigned value, int flags), value, flags)
CALL(DESCRIBES, inotify_init1, (int flags), flags)
CALL(NO_MEMORY | FULL, inotify_add_watch, (int fd, const char *path, uint32_t mask), fd, path, mask)
CALL(DESCRIBES, signalfd, (int fd, const sigset_t *mask, int flags), fd, mask, flags)
CALL(DESCRIBES, pipe2, (int fds[2], int flags), fds, flags)
CALL(SIGNALLED, nanosleep, (const struct timespec *time, struct timespec *left), time, left)
CALL(SIGNALLED, sigtimedwait, (const sigset_t *set, siginfo_t *facts, const struct timespec *time), set, facts, time)
CALL(SIGNALLED, waitpid, (pid_t id, int *status, int options), id, status, options)
CALL(SIGNALLED, wait4, (pid_t id, int *status, int options, struct rusage *usage), id, status, options, usage)
CALL(BROKEN | NO_MEMORY, execve, (const char *path, char *const words[], char *const pairs[]), path, words, pairs)

/* What is closed is closed, whatever is said of it. */
int close(int fd)
{
    int failing = fails(BROKEN | FULL | SIGNALLED), error = errno, result = (int)syscall(SYS_close, fd);

    if (failing)
        errno = error;
    return failing ? -1 : result;
}

pid_t fork(void)
{
    return fails(NO_MEMORY) ? -1 : REAL(fork)();
}

ssize_t readlink(const char *path, char *target, size_t size)
{
    return fails(LOOKS) ? -1 : REAL(readlink)(path, target, size);
}

/* ---- calls that say something else ---- */

static int ways_to_open(int flags)
{
    int writes = (flags & O_ACCMODE) != O_RDONLY;

    return BROKEN | MANY | NO_MEMORY | SIGNALLED | (writes ? READ_ONLY : 0) | ((flags & O_CREAT) != 0 ? FULL | READ_ONLY : 0);
}

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    return fails(ways_to_open(flags)) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

#include "../support/opening.h"

/* To take one out needs no memory: the kernel never refuses it. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    return operation != EPOLL_CTL_DEL && fails(NO_MEMORY) ? -1 : REAL(epoll_ctl)(epoll, operation, fd, event);
}

FILE *fopen(const char *path, const char *mode)
{
    return fails(DESCRIBES | BROKEN) ? NULL : REAL(fopen)(path, mode);
}

DIR *opendir(const char *path)
{
    return fails(DESCRIBES | BROKEN) ? NULL : REAL(opendir)(path);
}

DIR *fdopendir(int fd)
{
    return fails(NO_MEMORY) ? NULL : REAL(fdopendir)(fd);
}

struct dirent *readdir(DIR *folder)
{
    return fails(BROKEN) ? NULL : REAL(readdir)(folder);
}

int posix_spawn(pid_t *id, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                char *const words[], char *const pairs[])
{
    return fails(BROKEN | NO_MEMORY) ? errno : REAL(posix_spawn)(id, path, actions, attributes, words, pairs);
}

/* What the C library of Debian 12 has no name for: descriptors of processes. */
long syscall(long number, ...)
{
    va_list arguments;
    long values[6];

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        values[i] = va_arg(arguments, long);
    va_end(arguments);
    return number == SYS_pidfd_open && fails(DESCRIBES)
               ? -1 : REAL(syscall)(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}
