/*
 * Files and folders. Descriptors are never inherited by what the host starts, what is written is made durable before it
 * gets its name, and a lock is the official clients' kind (flock).
 */
#ifndef TN_FILE_H
#define TN_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "text.h"

struct file_facts {
    bool exists;
    bool folder;
    bool regular;
    bool link; /* only by tn_file_look_at_link */
    int64_t bytes;
    int64_t modified_ms;
    int64_t modified_ns; /* the same, finer */
    uint64_t device;
    uint64_t inode;
};

/* What is at path; one that does not exist is no failure. Follows links, or with _at_link does not. */
tenon_status tn_file_look(const char *path, struct file_facts *facts, struct failure *failure);
tenon_status tn_file_look_at_link(const char *path, struct file_facts *facts, struct failure *failure);
bool tn_file_exists(const char *path);
bool tn_folder_exists(const char *path);

/*
 * What must exist and does not is NOT_FOUND. What is to be made and cannot be, because its folder is missing too, is IO: to
 * whoever asked for a model NOT_FOUND says that the model is not there.
 */
enum file_mode {
    FILE_READ,        /* must exist */
    FILE_READ_WRITE,  /* must exist; never through a link */
    FILE_WRITE,       /* from here on they may make it: for reading and writing; made when missing; never through a link */
    FILE_WRITE_NEW,   /* must not exist */
    FILE_APPEND       /* made when missing */
};

/* The descriptor, or -1 with the failure. */
int tn_file_open(const char *path, enum file_mode mode, struct failure *failure);
void tn_file_close(int *fd);

/* The bare calls: all of size bytes, or up to size where the file ends. 0 or errno; they need no memory. */
int tn_file_put(int fd, const void *data, size_t size, int64_t offset);
int tn_file_get(int fd, void *data, size_t size, int64_t offset, size_t *got);
int tn_file_flush(int fd);
/* All of size bytes, or a failure; path is for the message. */
tenon_status tn_file_write(int fd, const void *data, size_t size, const char *path, struct failure *failure);
tenon_status tn_file_write_at(int fd, const void *data, size_t size, int64_t offset, const char *path, struct failure *failure);
/* Up to size bytes; *got less than size only at the end of the file. */
tenon_status tn_file_read_at(int fd, void *data, size_t size, int64_t offset, size_t *got, const char *path,
                             struct failure *failure);
tenon_status tn_file_set_size(int fd, int64_t size, const char *path, struct failure *failure);
/* Durable data and size. */
tenon_status tn_file_sync(int fd, const char *path, struct failure *failure);
/* Makes renames and new names in a folder durable. */
tenon_status tn_folder_sync(const char *path, struct failure *failure);
/* Makes the name of a file or folder durable. */
tenon_status tn_file_sync_name(const char *path, struct failure *failure);

/* The whole of a file of at most limit bytes; fails with NOT_FOUND when it is missing. */
tenon_status tn_file_read_whole(const char *path, size_t limit, struct text *out, struct failure *failure);
/* Replaces a file at one moment: a temporary name beside it, made durable if asked, renamed. */
tenon_status tn_file_replace(const char *path, const void *data, size_t size, unsigned mode, bool durable, struct failure *failure);
/* The same by way of a name of the caller's choice, which must not exist yet and is on the same file system. */
tenon_status tn_file_replace_by(const char *name, const char *path, const void *data, size_t size, unsigned mode, bool durable,
                                struct failure *failure);
/* Makes a file that is empty share the content of another; false where the file system cannot. */
bool tn_file_share(int from, int to);
/* Copies a file of any size; as a shared copy where the file system can. target must not exist. */
tenon_status tn_file_copy(const char *source, const char *target, struct failure *failure);
/* The same with a source that is open, at its start, and may have lost its name. */
tenon_status tn_file_copy_open(int from, const char *source, const char *target, struct failure *failure);

tenon_status tn_file_rename(const char *from, const char *to, struct failure *failure);
/* A missing file is no failure. */
tenon_status tn_file_remove(const char *path, struct failure *failure);
/* A folder with everything below; links are removed, not followed. */
tenon_status tn_folder_remove(const char *path, struct failure *failure);
/* A folder that is empty, or whose files are the system's own as those of a control group are; false when it stays. */
bool tn_folder_remove_empty(const char *path);
/* Makes a folder and those above it. */
tenon_status tn_folder_make(const char *path, unsigned mode, struct failure *failure);
/* The same, and the names of those that were not there are durable. */
tenon_status tn_folder_make_durable(const char *path, unsigned mode, struct failure *failure);
/* Makes the folders above path. */
tenon_status tn_folder_make_above(const char *path, struct failure *failure);
tenon_status tn_folder_make_above_durable(const char *path, struct failure *failure);

/* target is the text of the link. One that exists already fails with CONFLICT. */
tenon_status tn_link_make(const char *target, const char *path, struct failure *failure);
tenon_status tn_link_read(const char *path, struct text *out, struct failure *failure);
/* Second name for the same file. */
tenon_status tn_file_link(const char *from, const char *to, struct failure *failure);

/* Bytes that may still be written where path is, or its nearest folder that exists; -1 unknown. */
int64_t tn_disk_free(const char *path);
/* True where the folder, or the nearest above it that exists, can be written. */
bool tn_folder_writable(const char *path);

/*
 * Reads a folder. next gives the names in no order, without "." and ".."; NULL at the end.
 */
struct folder {
    void *stream;
};

tenon_status tn_folder_open(struct folder *folder, const char *path, struct failure *failure);
const char *tn_folder_next(struct folder *folder);
void tn_folder_close(struct folder *folder);

/*
 * A lock that other processes respect: flock on the file at path, as filelock and Rust's File::lock take it. The file is
 * made when missing and never removed by us.
 */
struct lock {
    int fd; /* -1: not held */
};

/* TENON_OK when it is held now, TENON_AGAIN when somebody else holds it, NOT_FOUND when the folder that it guards is gone. */
tenon_status tn_lock_try(struct lock *lock, const char *path, struct failure *failure);
void tn_lock_release(struct lock *lock);

#endif
