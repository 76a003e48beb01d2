/* Where a file that is fetched belongs, the cache or a folder of the user's: its paths, what is there, and how it gets its name. */
#ifndef TN_PLACING_H
#define TN_PLACING_H

#include "fetch.h"

/* Is this file of this commit in the cache? Then place is set. */
bool tn_placing_in_cache(struct fetch *fetch);
/* Is there a plain file with a note that names this content? Then place is set. */
bool tn_placing_in_folder(struct fetch *fetch);
/* Sets base, target and lock_path, and makes the folders. */
tenon_status tn_placing_prepare(struct fetch *fetch);
/* Said before the work, where it can be known; what is here already needs no more room. */
tenon_status tn_placing_check_room(struct fetch *fetch, int64_t missing);

/* Under the lock: is the content there, from another revision or another client? */
bool tn_placing_has_content(struct fetch *fetch);
/* Makes what is there appear where the caller looks for it; fresh: it has just come. */
tenon_status tn_placing_settle(struct fetch *fetch, bool fresh);
/* What killed processes left of a content that is there. */
void tn_placing_clear_away(struct fetch *fetch);
/* Under the lock, which it lets go: what came gets its name. Somebody else may have been quicker. */
tenon_status tn_placing_place(struct fetch *fetch);
/* Writes a small file that has come to where it can be made durable; it is not kept in memory any more. */
tenon_status tn_placing_write(struct fetch *fetch);
/* Gives that up where it did not get its name. */
void tn_placing_forget(struct fetch *fetch);
/*
 * Why a file that had come could not be placed, where somebody removed the place: forgot the repository, say. It is not made
 * anew: of a snapshot other files would be missing in it.
 */
tenon_status tn_placing_explain(struct fetch *fetch, tenon_status status);

#endif
