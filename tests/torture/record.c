/*
 * Put before a program with LD_PRELOAD: writes down every change of files and names in the order in which they are made, with
 * the bytes, so that disk.py can say what a disk holds after a power cut at any of these moments. All processes that find the
 * same variables write into one record.
 *
 *   RECORD=PATH   the record; one line for each change, and behind a "write" line the bytes
 *   BELOW=PATH    only what is below this folder is recorded
 *
 *   create INODE MODE PATH       a file was made, or one that was there was opened for writing
 *   write INODE OFFSET SIZE      truncate INODE SIZE      mode INODE MODE      sync INODE
 *   folder MODE PATH             link FROM TO             symlink TARGET TO    rename FROM TO
 *   remove PATH                  names PATH               (the folder's names were made durable)
 *   said WORD                    (written by the program itself)
 *
 * Words are separated by NUL characters and lines end with a line feed after one. Nothing is really made durable.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONGEST = 3 * PATH_MAX };

/* The system's way to make files durable behind a program's back is not there: each is to be seen. */
long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long words[6];
    va_list arguments;

    va_start(arguments, number);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_io_setup) {
        errno = ENOSYS;
        return -1;
    }
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

/* ---- the record ---- */

static int is_below(const char *path)
{
    const char *above = getenv("BELOW");
    size_t length = above != NULL ? strlen(above) : 0;

    return length > 0 && strncmp(path, above, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Opens the record and keeps all others out until the change is made and written down; -1 where none is kept. */
static int begin(const char *path)
{
    const char *record = getenv("RECORD");
    int fd = record != NULL && is_below(path) ? (int)syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;

    if (fd >= 0)
        syscall(SYS_flock, fd, LOCK_EX);
    return fd;
}

static void put(int record, const void *bytes, size_t size)
{
    if (syscall(SYS_write, record, bytes, size) != (long)size)
        abort();
}

/* The words of a line, separated by | in the format. */
__attribute__((format(printf, 2, 3))) static void note(int record, const char *format, ...)
{
    char line[LONGEST];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    for (int i = 0; i < length; i++)
        if (line[i] == '|')
            line[i] = '\0';
    line[length + 1] = '\n';
    put(record, line, (size_t)length + 2);
}

static void end(int record)
{
    int error = errno;

    if (record >= 0)
        syscall(SYS_close, record);
    errno = error;
}

/* ---- which file it is ---- */

static const char *path_of(int fd, char *path, size_t size)
{
    char name[64];
    ssize_t length;

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    length = readlink(name, path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    return path;
}

static const char *path_at(int folder, const char *path, char *whole, size_t size)
{
    char above[PATH_MAX];

    if (*path == '/' || folder == AT_FDCWD)
        snprintf(whole, size, "%s", path);
    else
        snprintf(whole, size, "%s/%s", path_of(folder, above, sizeof above), path);
    return whole;
}

static unsigned long long number_of(int fd, struct stat *facts)
{
    return fstat(fd, facts) == 0 ? (unsigned long long)facts->st_ino : 0;
}

/* ---- bytes ---- */

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset, int has_offset)
{
    char path[PATH_MAX];
    struct stat facts;
    int record = begin(path_of(fd, path, sizeof path));
    ssize_t done = has_offset ? syscall(SYS_pwrite64, fd, data, size, offset) : syscall(SYS_write, fd, data, size);

    if (record >= 0 && done > 0 && number_of(fd, &facts) != 0 && S_ISREG(facts.st_mode)) {
        if (!has_offset)
            offset = lseek(fd, 0, SEEK_CUR) - done;
        note(record, "write|%llu|%lld|%zd", (unsigned long long)facts.st_ino, (long long)offset, done);
        put(record, data, (size_t)done);
    }
    end(record);
    return done;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return write_at(fd, data, size, 0, 0);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return write_at(fd, data, size, offset, 1);
}

/* What is copied inside the kernel could not be seen. */
ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags)
{
    (void)from, (void)from_offset, (void)to, (void)to_offset, (void)size, (void)flags;
    errno = EXDEV;
    return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == _IOW(0x94, 9, int)) { /* FICLONE */
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    struct stat facts;
    int record = begin(path_of(fd, path, sizeof path));
    int result = (int)syscall(SYS_ftruncate, fd, size);

    if (record >= 0 && result == 0)
        note(record, "truncate|%llu|%lld", number_of(fd, &facts), (long long)size);
    end(record);
    return result;
}

int fchmod(int fd, mode_t mode)
{
    char path[PATH_MAX];
    struct stat facts;
    int record = begin(path_of(fd, path, sizeof path));
    int result = (int)syscall(SYS_fchmod, fd, mode);

    if (record >= 0 && result == 0)
        note(record, "mode|%llu|%o", number_of(fd, &facts), (unsigned)mode);
    end(record);
    return result;
}

static int sync_file(int fd)
{
    char path[PATH_MAX];
    struct stat facts;
    int record = begin(path_of(fd, path, sizeof path));

    if (record >= 0 && number_of(fd, &facts) != 0) {
        if (S_ISDIR(facts.st_mode))
            note(record, "names|%s", path);
        else
            note(record, "sync|%llu", (unsigned long long)facts.st_ino);
    }
    end(record);
    return 0;
}

int fsync(int fd)
{
    return sync_file(fd);
}

int fdatasync(int fd)
{
    return sync_file(fd);
}

/* ---- names ---- */

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    char whole[2 * PATH_MAX];
    struct stat facts;
    int writes = (flags & (O_ACCMODE | O_CREAT)) != O_RDONLY;
    int record = writes ? begin(path_at(folder, path, whole, sizeof whole)) : -1;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);

    if (record >= 0 && fd >= 0 && number_of(fd, &facts) != 0) {
        note(record, "create|%llu|%o|%s", (unsigned long long)facts.st_ino, (unsigned)facts.st_mode & 07777, whole);
        if ((flags & O_TRUNC) != 0)
            note(record, "truncate|%llu|0", (unsigned long long)facts.st_ino);
    }
    end(record);
    return fd;
}

#include "../support/opening.h"

int mkdir(const char *path, mode_t mode)
{
    int record = begin(path);
    int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);

    if (record >= 0 && result == 0)
        note(record, "folder|%o|%s", (unsigned)mode, path);
    end(record);
    return result;
}

int symlink(const char *target, const char *path)
{
    int record = begin(path);
    int result = (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);

    if (record >= 0 && result == 0)
        note(record, "symlink|%s|%s", target, path);
    end(record);
    return result;
}

int link(const char *from, const char *to)
{
    int record = begin(to);
    int result = (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);

    if (record >= 0 && result == 0)
        note(record, "link|%s|%s", from, to);
    end(record);
    return result;
}

int rename(const char *from, const char *to)
{
    int record = begin(to);
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);

    if (record >= 0 && result == 0)
        note(record, "rename|%s|%s", from, to);
    end(record);
    return result;
}

int unlinkat(int folder, const char *path, int flags)
{
    char whole[2 * PATH_MAX];
    int record = begin(path_at(folder, path, whole, sizeof whole));
    int result = (int)syscall(SYS_unlinkat, folder, path, flags);

    if (record >= 0 && result == 0)
        note(record, "remove|%s", whole);
    end(record);
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
