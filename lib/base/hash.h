/* Content hashes, by OpenSSL: SHA-256 as large files are named by, and git's SHA-1 of a blob as small ones are. */
#ifndef TN_HASH_H
#define TN_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

enum hash_kind { HASH_SHA256, HASH_GIT_BLOB, HASH_SHA1 };

enum { TN_HEX_MOST = 64 };

struct hash {
    void *digest; /* EVP_MD_CTX; NULL when it is not running */
};

/* size is the length of the content, which git puts before it; other kinds do not look at it. */
tenon_status tn_hash_start(struct hash *hash, enum hash_kind kind, int64_t size, struct failure *failure);
void tn_hash_add(struct hash *hash, const void *data, size_t size);
/* Writes the hex digits and a NUL, and stops. hex has room for TN_HEX_MOST + 1. */
tenon_status tn_hash_end(struct hash *hash, char *hex, struct failure *failure);
void tn_hash_stop(struct hash *hash);
static inline int tn_hash_running(const struct hash *hash)
{
    return hash->digest != NULL;
}

/* The hash that a content id stands for: 64 hex digits SHA-256, 40 git's; false for anything else. */
bool tn_hash_of_etag(const char *etag, enum hash_kind *kind);
/* SHA-256 or SHA-1 of some bytes, as hex. */
tenon_status tn_hash_bytes(enum hash_kind kind, const void *data, size_t size, char *hex, struct failure *failure);

#endif
