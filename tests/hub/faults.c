/*
 * Put before a program with LD_PRELOAD: a disk that is full, a file system that is read-only, locks that lie. Unlike
 * permissions these faults meet root too.
 *
 *   FAULTS_ROOM=N            once regular files have grown by N bytes, what would make one larger fails with ENOSPC; a file
 *                            that is removed by its name gives its bytes back
 *   FAULTS_READ_ONLY=PATH    nothing below PATH can be written, made, renamed or removed (EROFS)
 *   FAULTS_UNREADABLE=PATH   what is at PATH or below it cannot be opened (EACCES)
 *   FAULTS_LOCKS=lie         flock grants every lock to everybody
 *   FAULTS_LOCKS=none        flock is not there (ENOSYS)
 *   FAULTS_LINKS=none        no symbolic links (EPERM)
 *   FAULTS_SYNC=none         nothing is made durable: for tests that kill often, and never the machine
 *   FAULTS_SYNC=behind       it is made durable by the system while the program goes on, as without this shim; then it is not
 *                            counted as a change. Else each file is waited for, with fdatasync
 *   FAULTS_KILL_AT=N         the Nth change of a file or a name is not made: the process is killed instead
 *   FAULTS_FAIL_AT=N         the Nth change is not made: it fails with EIO
 *   FAULTS_BELOW=PATH        only changes of what is below PATH are counted for these two
 *   FAULTS_REPORT=PATH       how many changes there were is written to PATH when the program ends
 *   FAULTS_WAITS=PATH        the most bytes of a file that one call had to make durable is written to PATH then
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024 };

static long long written, changes, longest_wait;
static long long waiting[DESCRIPTORS]; /* bytes written since they were made durable last */

/* The system's way to make files durable behind a program's back is not there: each is to be seen. */
long syscall(long number, ...)
{
    static long (*next)(long, ...);
    const char *sync = getenv("FAULTS_SYNC");
    long words[6];
    va_list arguments;

    va_start(arguments, number);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_io_setup && (sync == NULL || strcmp(sync, "behind") != 0)) {
        errno = ENOSYS;
        return -1;
    }
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

/* Is path the one that the variable names, or below it? */
static int is_below(const char *path, const char *variable)
{
    const char *above = getenv(variable);
    size_t length = above != NULL ? strlen(above) : 0;

    return length > 0 && strncmp(path, above, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Is the change that is about to be made the one that a variable names? */
static int is_at(const char *variable)
{
    const char *at = getenv(variable);

    return at != NULL && atoll(at) == changes;
}

/* Counts a change; 0, or -1 with errno where it is the one that fails. */
static int count(const char *path)
{
    if (getenv("FAULTS_BELOW") != NULL && !is_below(path, "FAULTS_BELOW"))
        return 0;
    changes++;
    if (is_at("FAULTS_KILL_AT"))
        syscall(SYS_kill, (int)syscall(SYS_getpid), SIGKILL);
    if (!is_at("FAULTS_FAIL_AT"))
        return 0;
    errno = EIO;
    return -1;
}

static void tell(const char *variable, long long number)
{
    const char *path = getenv(variable);
    char digits[24];
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;

    if (fd >= 0) {
        snprintf(digits, sizeof digits, "%lld", number);
        syscall(SYS_write, fd, digits, strlen(digits));
        close(fd);
    }
}

__attribute__((destructor)) static void report(void)
{
    tell("FAULTS_REPORT", changes);
    tell("FAULTS_WAITS", longest_wait);
}

/* So many bytes more are to be made durable some time. */
static ssize_t wait_for(int fd, ssize_t size)
{
    if (fd < DESCRIPTORS && size > 0)
        waiting[fd] += size;
    return size;
}

/* 0, or -1 with errno for a path that cannot be changed. */
static int may_change(const char *path)
{
    if (!is_below(path, "FAULTS_READ_ONLY"))
        return count(path);
    errno = EROFS;
    return -1;
}

/* The path of an open file. */
static const char *path_of(int fd, char *path, size_t size)
{
    char name[64];
    ssize_t length;

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    length = readlink(name, path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    return path;
}

/* The same for bytes that are written to a file; what goes to a pipe or a socket is no change. */
static int may_write(int fd)
{
    char path[4096];
    struct stat facts;

    return fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) ? count(path_of(fd, path, sizeof path)) : 0;
}

/* How many of size bytes at offset still fit; -1 with errno when none does. What is written over needs no room. */
static ssize_t room_for(int fd, size_t size, off_t offset)
{
    const char *room = getenv("FAULTS_ROOM");
    long long left = room != NULL ? atoll(room) - written : 0, grows;
    struct stat facts;

    if (room == NULL || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode))
        return (ssize_t)size;
    grows = (long long)offset + (long long)size - (offset > facts.st_size ? offset : facts.st_size);
    if (grows <= 0)
        return (ssize_t)size;
    if (grows > left) {
        size -= (size_t)(grows - left);
        grows = left;
    }
    if (size == 0) {
        errno = ENOSPC;
        return -1;
    }
    written += grows;
    return (ssize_t)size;
}

/* Where a write without an offset goes. */
static off_t place_of(int fd)
{
    struct stat facts;

    if ((fcntl(fd, F_GETFL) & O_APPEND) != 0 && fstat(fd, &facts) == 0)
        return facts.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t fits = may_write(fd) == 0 ? room_for(fd, size, place_of(fd)) : -1;

    return fits < 0 ? -1 : wait_for(fd, (ssize_t)syscall(SYS_write, fd, data, (size_t)fits));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t fits = may_write(fd) == 0 ? room_for(fd, size, offset) : -1;

    return fits < 0 ? -1 : wait_for(fd, (ssize_t)syscall(SYS_pwrite64, fd, data, (size_t)fits, offset));
}

/* A copy inside the kernel would not be counted. */
ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags)
{
    if (getenv("FAULTS_ROOM") != NULL) {
        errno = EXDEV;
        return -1;
    }
    if (may_write(to) != 0)
        return -1;
    return wait_for(to, (ssize_t)syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags));
}

static int sync_by(long call, int fd)
{
    const char *sync = getenv("FAULTS_SYNC");

    if (may_write(fd) != 0)
        return -1;
    if (fd < DESCRIPTORS) {
        longest_wait = waiting[fd] > longest_wait ? waiting[fd] : longest_wait;
        waiting[fd] = 0;
    }
    return sync != NULL && strcmp(sync, "none") == 0 ? 0 : (int)syscall(call, fd);
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int flock(int fd, int operation)
{
    const char *locks = getenv("FAULTS_LOCKS");

    if (locks != NULL && strcmp(locks, "lie") == 0)
        return 0;
    if (locks != NULL && strcmp(locks, "none") == 0) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

/* ---- names ---- */

/* The whole path of a name below an open folder, whose path the system knows. */
static const char *full_path(int folder, const char *path, char *full, size_t size)
{
    char above[4096];

    if (*path == '/' || folder == AT_FDCWD)
        snprintf(full, size, "%s", path);
    else
        snprintf(full, size, "%s/%s", path_of(folder, above, sizeof above), path);
    return full;
}

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    char full[8192];
    int fd;

    full_path(folder, path, full, sizeof full);
    if ((flags & (O_ACCMODE | O_CREAT)) != O_RDONLY && may_change(full) != 0)
        return -1;
    if (is_below(full, "FAULTS_UNREADABLE")) {
        errno = EACCES;
        return -1;
    }
    fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS)
        waiting[fd] = 0;
    return fd;
}

#include "../support/opening.h"

int mkdir(const char *path, mode_t mode)
{
    struct stat facts;

    /* What is there already says so first. */
    if (may_change(path) != 0) {
        int error = errno;

        errno = stat(path, &facts) == 0 ? EEXIST : error;
        return -1;
    }
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int symlink(const char *target, const char *path)
{
    const char *links = getenv("FAULTS_LINKS");

    if (links != NULL && strcmp(links, "none") == 0) {
        errno = EPERM;
        return -1;
    }
    return may_change(path) != 0 ? -1 : (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
}

int link(const char *from, const char *to)
{
    return may_change(to) != 0 ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int rename(const char *from, const char *to)
{
    /* One change, although two names are concerned. */
    if (is_below(from, "FAULTS_READ_ONLY"))
        return may_change(from);
    return may_change(to) != 0 ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    struct stat facts;
    long long gives = lstat(path, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_nlink == 1 ? (long long)facts.st_size : 0;
    int result = may_change(path) != 0 ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);

    if (result == 0)
        written -= gives;
    return result;
}

int unlinkat(int folder, const char *path, int flags)
{
    char full[8192];

    return may_change(full_path(folder, path, full, sizeof full)) != 0 ? -1 : (int)syscall(SYS_unlinkat, folder, path, flags);
}
