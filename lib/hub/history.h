/*
 * The history of a repository in a file: hub, as whoever publishes writes it; folder reads it, and says what lies where.
 *
 * Everything gets its name at one moment and is durable then. Whatever has none yet lies in .tenon/blobs, where the next
 * publication finds it and removes it.
 */
#ifndef TN_HISTORY_H
#define TN_HISTORY_H

#include "context.h"
#include "tree.h"

struct history {
    struct tenon_context *context;
    struct failure *failure; /* of whoever publishes */
    struct text folder;      /* REPOSITORY/.tenon */
};

void tn_history_init(struct history *history, struct tenon_context *context, struct failure *failure);
void tn_history_clear(struct history *history);

/* Resets out to a path below .tenon. */
tenon_status tn_history_path(const struct history *history, const char *folder, const char *name, const char *ending,
                             struct text *out);
/* Resets out to a name that nobody else has, for what gets its own by a rename. */
tenon_status tn_history_scratch(const struct history *history, struct text *out);
/* A small file below .tenon, at one moment and durable. */
tenon_status tn_history_put(const struct history *history, const char *folder, const char *name, const char *ending,
                            const char *text);

/* Makes the folders, but for that of the branches: a branch is what makes a history. Nothing is written through a link. */
tenon_status tn_history_make(const struct history *history);
/* Under the lock: removes what publications that were killed have left. */
tenon_status tn_history_sweep(const struct history *history);

/* Writes the list of these files with those of over (NULL: none) in their place; its hash is the commit's id (room for 41). */
tenon_status tn_history_commit(const struct history *history, const struct tree *files, const struct tree *over, const char *parent,
                               const char *message, char *commit);
/* The moment at which the commit exists: with all that it needs durable, the branch is moved to it. */
tenon_status tn_history_move_branch(const struct history *history, const char *branch, const char *commit);

#endif
