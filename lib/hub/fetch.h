/*
 * One file into its place: into the cache or into a folder of the user's, from a hub over HTTP or from a folder.
 *
 * A small file is kept in memory until it is complete. A large one goes into a partial file in parts that run side by
 * side; its hash is computed over the bytes as they come, and where a later part was quicker, over what it wrote. Nothing
 * gets its name before it has the promised size and hash, and is durable.
 */
#ifndef TN_FETCH_H
#define TN_FETCH_H

#include "cache.h"
#include "copy.h"
#include "durable.h"
#include "file.h"
#include "hash.h"
#include "hub.h"
#include "partial.h"
#include "spool.h"

struct part;

struct fetch {
    struct co co;
    struct failure failure;

    /* What to fetch; borrowed, but for the ids. */
    tenon_hub *hub;
    struct tenon_task *task;              /* whose progress it is */
    const struct repository *repository;
    const struct cache *cache;
    const char *folder;                   /* a folder of the user's; NULL: the cache */
    const char *path;
    const char *source;                   /* file to copy; NULL: over HTTP */
    char commit[41];
    char etag[129];                       /* "": not known before it was read */
    int64_t bytes;
    bool force;
    bool offline;                         /* no request may be made */
    bool anew;                            /* nothing of the commit was in the cache: it need not be looked for */
    bool *prepared;                       /* whether the cache's folders are made, for many files; NULL: one alone */

    /* Where it is at its end. */
    struct text place;
    bool present;                         /* it was there already */
    bool arrived;                         /* all of it came; only the disk is waited for, and who holds the lock */

    /* Inside. */
    struct text base;                     /* of the partial file */
    struct text target;                   /* where the content gets its name */
    struct text lock_path;
    struct lock lock;
    struct timer timer;
    int64_t deadline_ms;
    struct partial partial;
    struct spool spool;                   /* what came over HTTP, and how far the hash is with it */
    struct ranges flushed;                /* what of it is being made durable */
    struct durable durable;
    bool flushing;                        /* the journal is to say so */
    struct hash hash;
    enum hash_kind hash_kind;
    bool hashes;                          /* the content id is a hash */
    int64_t noted_ms;
    int64_t noted_bytes;
    int64_t shown;                        /* bytes counted in the task's progress */
    int64_t shown_present;                /* those of them that were here before */
    int64_t seen_bytes;                   /* how far another process is with it */
    struct part *parts;
    int32_t part_count;
    struct text location;                 /* where the hub led to */
    struct text cached;                   /* the same content in the cache, for a copy of it */
    struct text memory;                   /* a small file */
    struct text scratch;                  /* what it is written to before it gets its name */
    int small;                            /* that, open; -1 when it is not */
    bool in_memory;
    bool single;                          /* the server cannot do ranges */
    bool decode;                          /* the server compresses although not asked */
    bool again;                           /* begin anew */
    int32_t rounds;                       /* how often it was begun */
    int32_t lies;                         /* how often something was other than promised */
    struct copy copy;                     /* from the source, or of nothing: what lies in the user's folder is read */
    int64_t source_ns;                    /* when the source was changed last, before it was read */
};

void tn_fetch_init(struct fetch *fetch, tenon_hub *hub, struct tenon_task *task);
void tn_fetch_clear(struct fetch *fetch);
/* Everything under "what to fetch" is set. */
void tn_fetch_start(struct fetch *fetch, struct co *waiter);

/* For the pieces of it, parts and placing: counts bytes in the task's progress. present: they were here before. */
void tn_fetch_show(struct fetch *fetch, int64_t bytes, bool present);

#endif
