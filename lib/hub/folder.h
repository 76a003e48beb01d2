/*
 * A file: hub: repositories as plain folders, and the history of those that were published to.
 *
 *   FOLDER/owner/name/...                       the plain files
 *   FOLDER/owner/name/.tenon/refs/heads/BRANCH  a commit
 *   FOLDER/owner/name/.tenon/commits/COMMIT.json
 *   FOLDER/owner/name/.tenon/blobs/SHA256
 *   FOLDER/owner/name/.tenon/lock               held while a commit is made
 */
#ifndef TN_FOLDER_H
#define TN_FOLDER_H

#include "hub.h"
#include "tree.h"

/* Adds the repository's folder. */
void tn_folder_path(const tenon_hub *hub, const struct repository *repository, struct text *out);
/*
 * What a revision has: its commit (41 characters) and, where tree is not NULL, its files by path. The content id of a plain
 * file is "" because nobody has read it yet.
 */
tenon_status tn_folder_open_revision(const tenon_hub *hub, const struct repository *repository, char *commit, struct tree *tree, struct failure *failure);
/* Adds the path of a file's content. */
void tn_folder_content(const tenon_hub *hub, const struct repository *repository, const struct tree_file *file, struct text *out);
/* True when the repository was published to. */
bool tn_folder_has_history(const tenon_hub *hub, const struct repository *repository);
/* Calls see for each branch; stops at a status that is not TENON_OK. */
tenon_status tn_folder_branches(const tenon_hub *hub, const struct repository *repository,
                                tenon_status (*see)(void *owner, const char *branch, const char *commit), void *owner,
                                struct failure *failure);
/* All files below a folder that may be in a repository, by path; their sizes, no ids. broken: links that lead nowhere too, with size -1. */
tenon_status tn_folder_walk(const char *folder, bool broken, struct tree *tree, struct failure *failure);
/* The commit of a manifest and its files. */
tenon_status tn_folder_parse_commit(const char *text, size_t length, struct tree *tree, struct failure *failure);
/* git's id of the pointer that stands for large content. */
tenon_status tn_pointer_id(const char *sha256, int64_t bytes, char *hex, struct failure *failure);

#endif
