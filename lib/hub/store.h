/*
 * The cache-wide store of the official client from 2.x on: CACHE/blobs/XX/HASH with HASH.refs and HASH.lock beside it, and
 * links to it where a repository's blobs would be. It is read through those links and never written; but who removes such
 * a link must say so, or the payload stays for ever.
 */
#ifndef TN_STORE_H
#define TN_STORE_H

#include "cache.h"

/* Removes a blob of a repository, be it a file or a link into the store. *freed grows by the bytes given back. */
tenon_status tn_store_remove_blob(struct tenon_context *context, const char *root, const char *blob, int64_t *freed,
                                  struct failure *failure);

#endif
