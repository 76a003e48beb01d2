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
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long long written;

/* Is path the one that the variable names, or below it? */
static int is_below(const char *path, const char *variable)
{
    const char *above = getenv(variable);
    size_t length = above != NULL ? strlen(above) : 0;

    return length > 0 && strncmp(path, above, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* 0, or -1 with errno for a path that cannot be changed. */
static int may_change(const char *path)
{
    if (!is_below(path, "FAULTS_READ_ONLY"))
        return 0;
    errno = EROFS;
    return -1;
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
    ssize_t fits = room_for(fd, size, place_of(fd));

    return fits < 0 ? -1 : (ssize_t)syscall(SYS_write, fd, data, (size_t)fits);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t fits = room_for(fd, size, offset);

    return fits < 0 ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, data, (size_t)fits, offset);
}

/* A copy inside the kernel would not be counted. */
ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags)
{
    if (getenv("FAULTS_ROOM") != NULL) {
        errno = EXDEV;
        return -1;
    }
    return (ssize_t)syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags);
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

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    if ((flags & (O_ACCMODE | O_CREAT)) != O_RDONLY && may_change(path) != 0)
        return -1;
    if (is_below(path, "FAULTS_UNREADABLE")) {
        errno = EACCES;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    struct stat facts;

    /* What is there already says so first. */
    if (may_change(path) != 0) {
        errno = stat(path, &facts) == 0 ? EEXIST : EROFS;
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
    return may_change(from) != 0 || may_change(to) != 0 ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
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

/* Below an open folder, whose path the system knows. */
int unlinkat(int folder, const char *path, int flags)
{
    char link[64], full[4096];
    ssize_t length = -1;

    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    if (*path != '/' && folder != AT_FDCWD)
        length = readlink(link, full, sizeof full - 1);
    if (length >= 0) {
        snprintf(full + length, sizeof full - (size_t)length, "/%s", path);
        if (may_change(full) != 0)
            return -1;
    } else if (may_change(path) != 0)
        return -1;
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}
