/*
 * Watching folders: a coroutine is woken when something in a folder is made, written, renamed or removed. One inotify
 * descriptor serves a context. It is a help, not a promise (other machines' writes to a shared file system are not seen),
 * so whoever watches looks from time to time by itself too.
 */
#ifndef TN_WATCH_H
#define TN_WATCH_H

#include "context.h"

struct watch {
    struct link link;
    struct tenon_context *context; /* NULL when it does not watch */
    int descriptor;
    struct co *co;
};

/* False where the system has no more watches to give: then only looking helps. */
bool tn_watch_folder(struct watch *watch, struct tenon_context *context, const char *path, struct co *co);
void tn_watch_stop(struct watch *watch);

#endif
