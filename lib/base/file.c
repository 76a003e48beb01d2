#define _GNU_SOURCE
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "process.h"

/* Opens, however often a signal comes between. */
static int open_again(int folder, const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = openat(folder, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* ---- looking ---- */

static tenon_status look(const char *path, struct file_facts *facts, bool follow, struct failure *failure)
{
    struct stat found;

    memset(facts, 0, sizeof *facts);
    if ((follow ? stat(path, &found) : lstat(path, &found)) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return TENON_OK;
        return tn_fail_system(failure, errno, "%s cannot be looked at", path);
    }
    facts->exists = true;
    facts->folder = S_ISDIR(found.st_mode);
    facts->regular = S_ISREG(found.st_mode);
    facts->link = S_ISLNK(found.st_mode);
    facts->bytes = found.st_size;
    facts->modified_ms = (int64_t)found.st_mtim.tv_sec * 1000 + found.st_mtim.tv_nsec / 1000000;
    facts->modified_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec;
    facts->device = found.st_dev;
    facts->inode = found.st_ino;
    return TENON_OK;
}

tenon_status tn_file_look(const char *path, struct file_facts *facts, struct failure *failure)
{
    return look(path, facts, true, failure);
}

tenon_status tn_file_look_at_link(const char *path, struct file_facts *facts, struct failure *failure)
{
    return look(path, facts, false, failure);
}

bool tn_file_exists(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0;
}

bool tn_folder_exists(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

/* ---- reading and writing ---- */

int tn_file_open(const char *path, enum file_mode mode, struct failure *failure)
{
    static const int flags[] = {
        [FILE_READ] = O_RDONLY,
        [FILE_READ_WRITE] = O_RDWR | O_NOFOLLOW,
        [FILE_WRITE] = O_RDWR | O_CREAT | O_NOFOLLOW,
        [FILE_WRITE_NEW] = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
        [FILE_APPEND] = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW,
    };
    int fd = open_again(AT_FDCWD, path, flags[mode], 0666);

    if (fd < 0)
        tn_fail_system(failure, errno, "%s cannot be opened%s", path, mode == FILE_READ ? "" : " for writing");
    /* What cannot be made is not the same as what is looked for and not there: a model is not missing for want of a folder. */
    if (fd < 0 && mode >= FILE_WRITE && failure->status == TENON_ERROR_NOT_FOUND)
        failure->status = TENON_ERROR_IO;
    return fd;
}

void tn_file_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

tenon_status tn_file_write(int fd, const void *data, size_t size, const char *path, struct failure *failure)
{
    const char *bytes = data;

    while (size > 0) {
        ssize_t done = write(fd, bytes, size);

        if (done < 0 && errno != EINTR)
            return tn_fail_system(failure, errno, "%s cannot be written", path);
        if (done > 0) {
            bytes += done;
            size -= (size_t)done;
        }
    }
    return TENON_OK;
}

int tn_file_put(int fd, const void *data, size_t size, int64_t offset)
{
    const char *bytes = data;
    int error = 0;

    while (size > 0 && error == 0) {
        ssize_t done = pwrite(fd, bytes, size, offset);

        if (done > 0) {
            bytes += done;
            offset += done;
            size -= (size_t)done;
        } else if (done < 0 && errno != EINTR)
            error = errno;
    }
    return error;
}

int tn_file_get(int fd, void *data, size_t size, int64_t offset, size_t *got)
{
    char *bytes = data;
    ssize_t done = 1;
    int error = 0;

    *got = 0;
    while (*got < size && done != 0 && error == 0) {
        done = pread(fd, bytes + *got, size - *got, offset + (int64_t)*got);
        if (done > 0)
            *got += (size_t)done;
        else if (done < 0 && errno != EINTR)
            error = errno;
    }
    return error;
}

tenon_status tn_file_write_at(int fd, const void *data, size_t size, int64_t offset, const char *path, struct failure *failure)
{
    int error = tn_file_put(fd, data, size, offset);

    return error == 0 ? TENON_OK : tn_fail_system(failure, error, "%s cannot be written", path);
}

tenon_status tn_file_read_at(int fd, void *data, size_t size, int64_t offset, size_t *got, const char *path,
                             struct failure *failure)
{
    int error = tn_file_get(fd, data, size, offset, got);

    return error == 0 ? TENON_OK : tn_fail_system(failure, error, "%s cannot be read", path);
}

tenon_status tn_file_set_size(int fd, int64_t size, const char *path, struct failure *failure)
{
    int result;

    do
        result = ftruncate(fd, size);
    while (result != 0 && errno == EINTR);
    return result == 0 ? TENON_OK : tn_fail_system(failure, errno, "%s cannot be given its size", path);
}

int tn_file_flush(int fd)
{
    int result;

    do
        result = fdatasync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

tenon_status tn_file_sync(int fd, const char *path, struct failure *failure)
{
    int error = tn_file_flush(fd);

    return error == 0 ? TENON_OK : tn_fail_system(failure, error, "%s cannot be made durable", path);
}

tenon_status tn_folder_sync(const char *path, struct failure *failure)
{
    int fd = open_again(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    int result;
    tenon_status status = TENON_OK;

    do
        result = fd >= 0 ? fsync(fd) : -1;
    while (fd >= 0 && result != 0 && errno == EINTR);
    /* Some file systems cannot sync a folder, and some folders can be written but not read; renames are all they offer. */
    if (result != 0 && errno != EINVAL && errno != EBADF && errno != EACCES)
        status = tn_fail_system(failure, errno, "%s cannot be made durable", path);
    tn_file_close(&fd);
    return status;
}

tenon_status tn_file_sync_name(const char *path, struct failure *failure)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL && slash > path ? (size_t)(slash - path) : 0;

    if (length >= sizeof above)
        return tn_fail_system(failure, ENAMETOOLONG, "%s cannot be made durable", path);
    memcpy(above, path, length);
    above[length] = '\0';
    return tn_folder_sync(length > 0 ? above : slash != NULL ? "/" : ".", failure);
}

tenon_status tn_file_read_whole(const char *path, size_t limit, struct text *out, struct failure *failure)
{
    char piece[4096];
    size_t got = sizeof piece;
    int64_t offset = 0;
    tenon_status status = TENON_OK;
    int fd = tn_file_open(path, FILE_READ, failure);

    if (fd < 0)
        return failure->status;
    while (status == TENON_OK && got == sizeof piece) {
        status = tn_file_read_at(fd, piece, sizeof piece, offset, &got, path, failure);
        offset += (int64_t)got;
        if (status == TENON_OK && (size_t)offset > limit)
            status = tn_fail(failure, TENON_ERROR_PROTOCOL, "%s is larger than %zu bytes", path, limit);
        else if (status == TENON_OK)
            tn_text_add_n(out, piece, got);
    }
    if (status == TENON_OK && tn_text_status(out) != TENON_OK)
        status = tn_fail_memory(failure);
    tn_file_close(&fd);
    return status;
}

/* A name beside path that nobody else has. */
static bool temporary_name(const char *path, char *name, size_t size)
{
    unsigned char bytes[6];
    int length;

    tn_system_random(bytes, sizeof bytes);
    length = snprintf(name, size, "%s.%02x%02x%02x%02x%02x%02x.tmp", path, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                      bytes[5]);
    return length > 0 && (size_t)length < size;
}

tenon_status tn_file_replace(const char *path, const void *data, size_t size, unsigned mode, bool durable, struct failure *failure)
{
    char name[PATH_MAX];

    if (!temporary_name(path, name, sizeof name))
        return tn_fail_system(failure, ENAMETOOLONG, "%s cannot be written", path);
    return tn_file_replace_by(name, path, data, size, mode, durable, failure);
}

tenon_status tn_file_replace_by(const char *name, const char *path, const void *data, size_t size, unsigned mode, bool durable,
                                struct failure *failure)
{
    tenon_status status;
    int fd = tn_file_open(name, FILE_WRITE_NEW, failure);

    if (fd < 0)
        return failure->status;
    status = tn_file_write(fd, data, size, path, failure);
    if (status == TENON_OK && mode != 0 && fchmod(fd, mode) != 0)
        status = tn_fail_system(failure, errno, "%s cannot be given its permissions", path);
    if (status == TENON_OK && durable)
        status = tn_file_sync(fd, path, failure);
    tn_file_close(&fd);
    if (status == TENON_OK)
        status = tn_file_rename(name, path, failure);
    if (status != TENON_OK)
        unlink(name);
    return status;
}

bool tn_file_share(int from, int to)
{
    return ioctl(to, FICLONE, from) == 0;
}

static tenon_status copy_bytes(int from, int to, const char *source, const char *target, struct failure *failure)
{
    ssize_t moved = 1;
    int64_t offset = 0, copied = 0;
    char piece[32768];
    size_t got = sizeof piece;
    tenon_status status = TENON_OK;

    if (tn_file_share(from, to))
        return TENON_OK;
    while (moved > 0) {
        moved = copy_file_range(from, NULL, to, NULL, 1 << 26, 0);
        copied += moved;
    }
    if (moved == 0 && copied > 0)
        return TENON_OK;
    /* Not on these file systems (some say so by copying nothing): by hand, from the start. */
    while (status == TENON_OK && got == sizeof piece) {
        status = tn_file_read_at(from, piece, sizeof piece, offset, &got, source, failure);
        if (status == TENON_OK)
            status = tn_file_write_at(to, piece, got, offset, target, failure);
        offset += (int64_t)got;
    }
    if (status == TENON_OK)
        status = tn_file_set_size(to, offset, target, failure);
    return status;
}

tenon_status tn_file_copy_open(int from, const char *source, const char *target, struct failure *failure)
{
    int to = tn_file_open(target, FILE_WRITE_NEW, failure);
    tenon_status status = to >= 0 ? copy_bytes(from, to, source, target, failure) : failure->status;

    if (status == TENON_OK)
        status = tn_file_sync(to, target, failure);
    if (status != TENON_OK && to >= 0)
        unlink(target);
    tn_file_close(&to);
    return status;
}

tenon_status tn_file_copy(const char *source, const char *target, struct failure *failure)
{
    int from = tn_file_open(source, FILE_READ, failure);
    tenon_status status = from >= 0 ? tn_file_copy_open(from, source, target, failure) : failure->status;

    tn_file_close(&from);
    return status;
}

/* ---- names ---- */

tenon_status tn_file_rename(const char *from, const char *to, struct failure *failure)
{
    return rename(from, to) == 0 ? TENON_OK : tn_fail_system(failure, errno, "%s cannot be renamed to %s", from, to);
}

tenon_status tn_file_remove(const char *path, struct failure *failure)
{
    return unlink(path) == 0 || errno == ENOENT ? TENON_OK : tn_fail_system(failure, errno, "%s cannot be removed", path);
}

static tenon_status remove_below(int parent, const char *name, const char *path, int depth, struct failure *failure);

/* Removes what a folder holds. */
static tenon_status empty_folder(int fd, const char *path, int depth, struct failure *failure)
{
    tenon_status status = TENON_OK;
    struct dirent *entry;
    DIR *stream = fdopendir(fd);

    if (stream == NULL) {
        status = tn_fail_system(failure, errno, "%s cannot be read", path);
        close(fd);
        return status;
    }
    while (status == TENON_OK && (entry = readdir(stream)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = remove_below(dirfd(stream), entry->d_name, path, depth + 1, failure);
    closedir(stream);
    return status;
}

static tenon_status remove_below(int parent, const char *name, const char *path, int depth, struct failure *failure)
{
    tenon_status status = TENON_OK;
    int fd;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return TENON_OK;
    if (errno != EISDIR && errno != EPERM)
        return tn_fail_system(failure, errno, "%s in %s cannot be removed", name, path);
    if (depth > 256)
        return tn_fail(failure, TENON_ERROR_IO, "%s is nested too deep to be removed", path);
    fd = open_again(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return tn_fail_system(failure, errno, "%s in %s cannot be opened", name, path);
    status = empty_folder(fd, path, depth, failure);
    if (status == TENON_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0)
        status = tn_fail_system(failure, errno, "%s in %s cannot be removed", name, path);
    return status;
}

tenon_status tn_folder_remove(const char *path, struct failure *failure)
{
    return remove_below(AT_FDCWD, path, path, 0, failure);
}

/* Makes one folder; true when it exists now. */
static bool make_folder(const char *path, unsigned mode, bool durable, struct failure *failure)
{
    int error = mkdir(path, mode) == 0 ? 0 : errno;
    struct stat found;
    bool looked = error != 0 && stat(path, &found) == 0, made = error == 0 || (looked && S_ISDIR(found.st_mode));

    if (error == EEXIST)
        error = looked ? ENOTDIR : errno;
    if (!made && tn_fail_system(failure, error, "the folder %s cannot be made", path) == TENON_ERROR_NOT_FOUND)
        failure->status = TENON_ERROR_IO;
    if (error == 0 && durable)
        made = tn_file_sync_name(path, failure) == TENON_OK;
    return made;
}

bool tn_folder_remove_empty(const char *path)
{
    return rmdir(path) == 0;
}

static tenon_status make_folders(const char *path, unsigned mode, bool durable, struct failure *failure)
{
    char above[PATH_MAX];
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof above)
        return tn_fail_system(failure, ENAMETOOLONG, "the folder \"%s\" cannot be made", path);
    if (tn_folder_exists(path))
        return TENON_OK;
    memcpy(above, path, length + 1);
    for (char *slash = above + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (!make_folder(above, mode, durable, failure))
            return failure->status;
        *slash = '/';
    }
    return make_folder(path, mode, durable, failure) ? TENON_OK : failure->status;
}

tenon_status tn_folder_make(const char *path, unsigned mode, struct failure *failure)
{
    return make_folders(path, mode, false, failure);
}

tenon_status tn_folder_make_durable(const char *path, unsigned mode, struct failure *failure)
{
    return make_folders(path, mode, true, failure);
}

static tenon_status make_above(const char *path, bool durable, struct failure *failure)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;

    if (length == 0)
        return TENON_OK;
    if (length >= sizeof above)
        return tn_fail_system(failure, ENAMETOOLONG, "the folder of %s cannot be made", path);
    memcpy(above, path, length);
    above[length] = '\0';
    return make_folders(above, 0777, durable, failure);
}

tenon_status tn_folder_make_above(const char *path, struct failure *failure)
{
    return make_above(path, false, failure);
}

tenon_status tn_folder_make_above_durable(const char *path, struct failure *failure)
{
    return make_above(path, true, failure);
}

tenon_status tn_link_make(const char *target, const char *path, struct failure *failure)
{
    if (symlink(target, path) == 0)
        return TENON_OK;
    if (errno == EEXIST)
        return tn_fail(failure, TENON_ERROR_CONFLICT, "%s exists already", path);
    return tn_fail_system(failure, errno, "the link %s cannot be made", path);
}

tenon_status tn_link_read(const char *path, struct text *out, struct failure *failure)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target);

    if (length < 0 || (size_t)length == sizeof target)
        return tn_fail_system(failure, length < 0 ? errno : ENAMETOOLONG, "the link %s cannot be read", path);
    tn_text_add_n(out, target, (size_t)length);
    return tn_text_status(out) == TENON_OK ? TENON_OK : tn_fail_memory(failure);
}

tenon_status tn_file_link(const char *from, const char *to, struct failure *failure)
{
    if (link(from, to) == 0)
        return TENON_OK;
    if (errno == EEXIST)
        return tn_fail(failure, TENON_ERROR_CONFLICT, "%s exists already", to);
    return tn_fail_system(failure, errno, "%s cannot be given the second name %s", from, to);
}

/* The nearest folder at or above path that exists. */
static void nearest_folder(const char *path, char *near, size_t size)
{
    char *slash;

    snprintf(near, size, "%s", path);
    while (!tn_folder_exists(near) && strcmp(near, "/") != 0 && strcmp(near, ".") != 0) {
        slash = strrchr(near, '/');
        if (slash == NULL)
            snprintf(near, size, ".");
        else
            slash[slash == near] = '\0';
    }
}

int64_t tn_disk_free(const char *path)
{
    char near[PATH_MAX];
    struct statvfs facts;

    nearest_folder(path, near, sizeof near);
    if (statvfs(near, &facts) != 0 || facts.f_blocks == 0)
        return -1;
    return (int64_t)((uint64_t)facts.f_bavail * facts.f_frsize);
}

bool tn_folder_writable(const char *path)
{
    char near[PATH_MAX];

    nearest_folder(path, near, sizeof near);
    return access(near, W_OK | X_OK) == 0;
}

/* ---- folders ---- */

tenon_status tn_folder_open(struct folder *folder, const char *path, struct failure *failure)
{
    folder->stream = opendir(path);
    return folder->stream != NULL ? TENON_OK : tn_fail_system(failure, errno, "the folder %s cannot be read", path);
}

const char *tn_folder_next(struct folder *folder)
{
    struct dirent *entry;

    do
        entry = readdir(folder->stream);
    while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry != NULL ? entry->d_name : NULL;
}

void tn_folder_close(struct folder *folder)
{
    if (folder->stream != NULL)
        closedir(folder->stream);
    folder->stream = NULL;
}

/* ---- locks ---- */

/* Old releases of filelock remove the file when they let go: a lock on a name that is gone protects nobody. */
static bool still_named(const struct stat *held, const char *path)
{
    struct stat named;

    return held->st_nlink > 0 && stat(path, &named) == 0 && held->st_dev == named.st_dev && held->st_ino == named.st_ino;
}

/* Caches are shared by groups, whatever the umask; a file of another user stays as it is, and so does what may do more. */
static void open_to_group(int fd, const struct stat *held)
{
    mode_t wanted = (held->st_mode & 07777) | 0664;

    if (wanted != (held->st_mode & 07777) && fchmod(fd, wanted) != 0)
        errno = 0;
}

tenon_status tn_lock_try(struct lock *lock, const char *path, struct failure *failure)
{
    tenon_status status = TENON_AGAIN;
    struct stat held;
    int fd = open_again(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0664);
    int result;

    lock->fd = -1;
    if (fd < 0)
        return tn_fail_system(failure, errno, "the lock %s cannot be opened", path);
    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0) {
        if (fstat(fd, &held) == 0 && still_named(&held, path)) {
            open_to_group(fd, &held);
            lock->fd = fd;
            status = TENON_OK;
        }
    } else if (errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK) {
        /* No locks here: what is written stays safe by its names, only work may be done twice. */
        lock->fd = fd;
        status = TENON_OK;
    } else if (errno != EWOULDBLOCK && errno != EACCES)
        status = tn_fail_system(failure, errno, "the lock %s cannot be taken", path);
    if (status != TENON_OK)
        close(fd);
    return status;
}

void tn_lock_release(struct lock *lock)
{
    /* Closing lets go, and in a forked child it does not let go of the parent's. */
    tn_file_close(&lock->fd);
}
