/*
 * The files of one model, wherever they are: which there are, and ranges of their bytes. A model is a folder or a file of
 * this machine, or a repository of a hub.
 */
#ifndef TN_ORIGIN_H
#define TN_ORIGIN_H

#include "hub.h"

struct model_file {
    const char *path;  /* inside the repository or folder */
    int64_t bytes;     /* -1 unknown */
};

struct origin {
    struct tenon_context *context;
    struct arena arena;
    tenon_hub *hub;          /* with a reference; NULL for this machine */
    const char *repository;
    const char *revision;
    const char *folder;      /* of this machine; NULL for a hub */
    const char *file;        /* the one file that is meant; NULL for none */
    struct model_file *files;
    size_t count, room;
    int64_t calls, bytes; /* of the hub that were made, and that were read */
};

/*
 * Finds out what model names: a file or folder that exists here, else a repository. Nothing is asked yet; a failure is in
 * the context's. tn_origin_clear must be called in any case.
 */
tenon_status tn_origin_open(struct origin *origin, struct tenon_context *context, tenon_hub *hub, const char *model,
                            const char *revision, const char *file);
/* The caller is inside the context. */
void tn_origin_clear(struct origin *origin);
const struct model_file *tn_origin_find(const struct origin *origin, const char *path);

/* Reads a range of one file; what is read is added to bytes. */
struct reading {
    struct co co;
    struct origin *origin;
    struct tenon_task *part; /* the hub's task; NULL where none is under way */
    struct text bytes;
    struct failure failure;
    const char *path;
    int64_t offset;
    int64_t length;
};

/* Starts reading; one that comes to the end of the file gives less than length. bytes keeps what it had. */
void tn_reading_start(struct reading *reading, struct origin *origin, const char *path, int64_t offset, int64_t length,
                      struct co *waiter);
/* Gives back everything, at any moment, also twice. */
void tn_reading_clear(struct reading *reading);

/* Finds the files of a source that a model may consist of. */
struct listing {
    struct co co;
    struct origin *origin;
    struct tenon_task *part;
    struct reading reading;
    struct failure failure;
    size_t next;
};

void tn_listing_start(struct listing *listing, struct origin *origin, struct co *waiter);
void tn_listing_clear(struct listing *listing);

#endif
