/*
 * A file: hub: repositories as plain folders, and the history of those that were published to.
 *
 *   FOLDER/owner/name/...                       the plain files
 *   FOLDER/owner/name/.tenon/refs/heads/BRANCH  a commit
 *   FOLDER/owner/name/.tenon/commits/COMMIT.json
 *   FOLDER/owner/name/.tenon/blobs/SHA256
 *   FOLDER/owner/name/.tenon/view               the commit that the plain files show
 *   FOLDER/owner/name/.tenon/lock               held while a commit is made
 */
#ifndef TN_FOLDER_H
#define TN_FOLDER_H

#include "hub.h"
#include "names.h"
#include "tree.h"

/* Adds the repository's folder. */
void tn_folder_path(const tenon_hub *hub, const struct repository *repository, struct text *out);
/*
 * What a revision has: its commit (41 characters) and, where tree is not NULL, its files by path. The content id of a plain
 * file is "" because nobody has read it yet.
 */
tenon_status tn_folder_open_revision(const tenon_hub *hub, const struct repository *repository, char *commit, struct tree *tree,
                                     struct failure *failure);
/* The files of a commit of the history; tree may be NULL. */
tenon_status tn_folder_open_commit(const tenon_hub *hub, const struct repository *repository, const char *commit, struct tree *tree,
                                   struct failure *failure);
/* Adds the path of a file's content. */
void tn_folder_content(const tenon_hub *hub, const struct repository *repository, const struct tree_file *file, struct text *out);
/* Adds the names of the branches, in order. A repository that nobody has published to has none; its plain files are main. */
tenon_status tn_folder_branches(const tenon_hub *hub, const struct repository *repository, struct names *branches,
                                struct failure *failure);
/*
 * The files below a folder that may be in a repository, by path; their sizes, no ids. all: those that may not, too, and links
 * that lead nowhere, with size -1.
 */
tenon_status tn_folder_walk(const char *folder, bool all, struct tree *tree, struct failure *failure);
/*
 * Those of the files below a folder that patterns choose and that may be published; one of them that no repository may have
 * fails.
 */
tenon_status tn_folder_choose(const char *folder, const char *const *allow, const char *const *ignore, struct tree *tree,
                              struct failure *failure);
/* The commit of a manifest and its files. */
tenon_status tn_folder_parse_commit(const char *text, size_t length, struct tree *tree, struct failure *failure);
/* git's id of the pointer that stands for large content. */
tenon_status tn_pointer_id(const char *sha256, int64_t bytes, char *hex, struct failure *failure);

#endif
