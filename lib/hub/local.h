/*
 * Plain files in a folder of the user's, with the official client's notes beside them:
 *
 *   FOLDER/PATH                                            the file
 *   FOLDER/.cache/huggingface/download/PATH.metadata       commit, etag, time: one a line
 *   FOLDER/.cache/huggingface/download/PATH.lock           held for every look at the notes
 */
#ifndef TN_LOCAL_H
#define TN_LOCAL_H

#include "context.h"

struct local_note {
    char commit[41];
    char etag[129];
};

void tn_local_file(const char *folder, const char *path, struct text *out);
void tn_local_lock(const char *folder, const char *path, struct text *out);
/* What partial files of that content begin with. */
tenon_status tn_local_base(const char *folder, const char *path, const char *etag, struct text *out, struct failure *failure);
/* Fails where a folder between FOLDER and the file is a link: through it a name could lead anywhere. */
tenon_status tn_local_check_links(const char *folder, const char *path, const struct memory *memory, struct failure *failure);
/* Makes the folders, where no link is among them. */
tenon_status tn_local_prepare(struct tenon_context *context, const char *folder, const char *path, struct failure *failure);
/* False when there is no note, or the file was changed after it was written. */
bool tn_local_read(struct tenon_context *context, const char *folder, const char *path, struct local_note *note);
tenon_status tn_local_write(struct tenon_context *context, const char *folder, const char *path, const struct local_note *note,
                            struct failure *failure);

#endif
