/*
 * The plain files of a repository in a file: hub, which show its main branch to people and other programs. They are brought in
 * line with a commit once that exists; .tenon/view says with which one, so that the next publication mends what a crash left
 * behind.
 */
#ifndef TN_VIEW_H
#define TN_VIEW_H

#include "hub.h"
#include "incoming.h"

struct view {
    const struct history *history;
    const char *folder;  /* of the repository */
    struct tree files;   /* of the commit; none where nothing is to be done */
    size_t next;
    char commit[41];
    char shows[41];      /* the commit that the plain files show; "" where nobody can tell */
    struct incoming incoming;
};

void tn_view_init(struct view *view, const struct history *history, struct co *waiter);
/* What the plain files show, and what they should. */
tenon_status tn_view_open(struct view *view, const tenon_hub *hub, const struct repository *repository, const char *folder,
                          const char *commit);
/* A slice: TENON_AGAIN while there may be more. before: the files of the commit's parent, which may be shown already. */
tenon_status tn_view_next(struct view *view, const struct tree *before, const char *parent);
void tn_view_clear(struct view *view);

#endif
