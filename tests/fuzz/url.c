/* Addresses: the first line is one, the second is what it leads to, the third a list of hosts as NO_PROXY is one. */
#include "fuzz.h"

#include <string.h>

#include "url.h"

static void check_origin(const char *url)
{
    struct text origin, again;

    tn_text_init(&origin, fuzz_memory(), URL_LIMIT);
    tn_text_init(&again, fuzz_memory(), URL_LIMIT);
    if (tn_url_origin(url, &origin)) {
        HOLDS(tn_starts_with(tn_text(&origin), "http") && strchr(tn_text(&origin), '@') == NULL);
        HOLDS(tn_url_same_origin(url, url) && !tn_url_is_upgrade(url, url));
        /* A host that was written with %XX may be another one, or none, where it is read once more. */
        if (strchr(url, '%') == NULL && tn_url_origin(tn_text(&origin), &again))
            HOLDS(strcmp(tn_text(&origin), tn_text(&again)) == 0 && tn_url_same_origin(url, tn_text(&origin)));
    }
    tn_text_clear(&origin);
    tn_text_clear(&again);
}

/* What may be shown names nobody's password, whatever the address. */
static void check_shown(const char *url)
{
    const char *start = strstr(url, "://");
    struct text shown;

    tn_text_init(&shown, fuzz_memory(), SIZE_MAX / 4);
    tn_url_show(url, &shown);
    HOLDS(strpbrk(tn_text(&shown), "?#") == NULL || (start != NULL && strpbrk(url, "?#") < start));
    if (start != NULL) {
        const char *host = strstr(tn_text(&shown), "://");

        HOLDS(host != NULL && memchr(host + 3, '@', strcspn(host + 3, "/")) == NULL);
    }
    tn_text_clear(&shown);
}

static void check_reference(const char *base, const char *reference)
{
    struct text target, again, kept;

    tn_text_init(&target, fuzz_memory(), URL_LIMIT);
    tn_text_init(&again, fuzz_memory(), URL_LIMIT);
    tn_text_init(&kept, fuzz_memory(), 2 * URL_LIMIT);
    if (tn_url_resolve(base, reference, &target)) {
        HOLDS(tn_starts_with(tn_text(&target), "https://") || tn_starts_with(tn_text(&target), "http://"));
        HOLDS(target.length < URL_LIMIT && strpbrk(tn_text(&target), "\r\n ") == NULL);
        tn_url_keep_user(base, tn_text(&target), &kept);
        HOLDS(tn_url_same_origin(tn_text(&kept), tn_text(&target)) || !tn_url_same_origin(tn_text(&target), tn_text(&target)));
        if (!tn_url_same_origin(base, tn_text(&target)))
            HOLDS(strcmp(tn_text(&kept), tn_text(&target)) == 0);
    }
    tn_text_clear(&target);
    tn_text_clear(&again);
    tn_text_clear(&kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *url = fuzz_text(bytes, size), *reference = fuzz_cut(url, "\n"), *list = fuzz_cut(reference, "\n");

    check_origin(url);
    check_shown(url);
    check_reference(url, reference);
    tn_url_is_listed(url, list);
    free(url);
    return 0;
}
