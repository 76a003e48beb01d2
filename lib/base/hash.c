#include "hash.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "text.h"

tenon_status tn_hash_start(struct hash *hash, enum hash_kind kind, int64_t size, struct failure *failure)
{
    const EVP_MD *algorithm = kind == HASH_SHA256 ? EVP_sha256() : EVP_sha1();

    tn_hash_stop(hash);
    hash->digest = EVP_MD_CTX_new();
    if (hash->digest == NULL)
        return tn_fail_memory(failure);
    if (EVP_DigestInit_ex(hash->digest, algorithm, NULL) != 1) {
        tn_hash_stop(hash);
        return tn_fail(failure, TENON_ERROR_UNSUPPORTED, "OpenSSL refuses to compute %s",
                       kind == HASH_SHA256 ? "SHA-256" : "SHA-1");
    }
    if (kind == HASH_GIT_BLOB) {
        char head[40];
        int length = snprintf(head, sizeof head, "blob %" PRId64, size);

        tn_hash_add(hash, head, (size_t)length + 1);
    }
    return TENON_OK;
}

void tn_hash_add(struct hash *hash, const void *data, size_t size)
{
    /* The only way this fails is a digest that was never started. */
    if (hash->digest != NULL && size > 0)
        EVP_DigestUpdate(hash->digest, data, size);
}

tenon_status tn_hash_end(struct hash *hash, char *hex, struct failure *failure)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    if (hash->digest == NULL || EVP_DigestFinal_ex(hash->digest, value, &length) != 1) {
        tn_hash_stop(hash);
        return tn_fail(failure, TENON_ERROR_INTERNAL, "a hash could not be finished");
    }
    for (unsigned i = 0; i < length; i++) {
        hex[2 * i] = digits[value[i] >> 4];
        hex[2 * i + 1] = digits[value[i] & 15];
    }
    hex[2 * length] = '\0';
    tn_hash_stop(hash);
    return TENON_OK;
}

void tn_hash_stop(struct hash *hash)
{
    EVP_MD_CTX_free(hash->digest);
    hash->digest = NULL;
}

bool tn_hash_of_etag(const char *etag, enum hash_kind *kind)
{
    bool sha256 = tn_is_hex(etag, 64), sha1 = tn_is_hex(etag, 40);

    *kind = sha256 ? HASH_SHA256 : HASH_GIT_BLOB;
    return sha256 || sha1;
}

tenon_status tn_hash_bytes(enum hash_kind kind, const void *data, size_t size, char *hex, struct failure *failure)
{
    struct hash hash = { NULL };
    tenon_status status = tn_hash_start(&hash, kind, (int64_t)size, failure);

    if (status == TENON_OK) {
        tn_hash_add(&hash, data, size);
        status = tn_hash_end(&hash, hex, failure);
    }
    return status;
}
