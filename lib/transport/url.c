#include "url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

enum { URL_LIMIT = 16 * 1024 };

static void add_part(CURLU *parser, CURLUPart part, unsigned flags, struct text *out, bool *whole)
{
    char *value = NULL;

    if (curl_url_get(parser, part, &value, flags) != CURLUE_OK || value == NULL)
        *whole = false;
    else
        for (const char *c = value; *c != '\0'; c++)
            tn_text_add_char(out, *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c);
    curl_free(value);
}

static CURLU *parse(const char *url)
{
    CURLU *parser = NULL;
    size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;

    /* libcurl takes "http:///x" for the host x; whoever wrote that forgot the host. */
    if (scheme > 0 && url[scheme] != '/')
        parser = curl_url();
    if (parser != NULL && curl_url_set(parser, CURLUPART_URL, url, 0) != CURLUE_OK) {
        curl_url_cleanup(parser);
        parser = NULL;
    }
    return parser;
}

bool tn_url_origin(const char *url, struct text *origin)
{
    CURLU *parser = parse(url);
    bool whole = parser != NULL;

    if (parser != NULL) {
        add_part(parser, CURLUPART_SCHEME, 0, origin, &whole);
        tn_text_add(origin, "://");
        add_part(parser, CURLUPART_HOST, 0, origin, &whole);
        tn_text_add(origin, ":");
        add_part(parser, CURLUPART_PORT, CURLU_DEFAULT_PORT, origin, &whole);
    }
    curl_url_cleanup(parser);
    return whole && tn_text_status(origin) == TENON_OK;
}

bool tn_url_is_tls(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

bool tn_url_same_origin(const struct memory *memory, const char *a, const char *b)
{
    struct text first, second;
    bool same;

    tn_text_init(&first, memory, URL_LIMIT);
    tn_text_init(&second, memory, URL_LIMIT);
    same = tn_url_origin(a, &first) && tn_url_origin(b, &second) && strcmp(tn_text(&first), tn_text(&second)) == 0;
    tn_text_clear(&first);
    tn_text_clear(&second);
    return same;
}

bool tn_url_is_upgrade(const struct memory *memory, const char *from, const char *to)
{
    struct text first, second;
    bool upgrade = false;

    tn_text_init(&first, memory, URL_LIMIT);
    tn_text_init(&second, memory, URL_LIMIT);
    if (tn_url_origin(from, &first) && tn_url_origin(to, &second) && tn_starts_with(tn_text(&first), "http://") &&
        tn_ends_with(tn_text(&first), ":80") && tn_starts_with(tn_text(&second), "https://") &&
        tn_ends_with(tn_text(&second), ":443")) {
        size_t a = first.length - strlen("http://") - strlen(":80"), b = second.length - strlen("https://") - strlen(":443");

        upgrade = a == b && memcmp(first.data + strlen("http://"), second.data + strlen("https://"), a) == 0;
    }
    tn_text_clear(&first);
    tn_text_clear(&second);
    return upgrade;
}

bool tn_url_resolve(const char *base, const char *reference, struct text *out)
{
    CURLU *parser = parse(base);
    char *url = NULL;
    bool good = parser != NULL && curl_url_set(parser, CURLUPART_URL, reference, CURLU_URLENCODE) == CURLUE_OK &&
                curl_url_get(parser, CURLUPART_URL, &url, 0) == CURLUE_OK && strlen(url) < URL_LIMIT &&
                (tn_starts_with(url, "https://") || tn_starts_with(url, "http://"));

    if (good)
        tn_text_add(out, url);
    curl_free(url);
    curl_url_cleanup(parser);
    return good && tn_text_status(out) == TENON_OK;
}

void tn_url_show(const char *url, struct text *out)
{
    const char *start = strstr(url, "://");
    const char *host = start != NULL ? start + 3 : url;
    size_t authority = strcspn(host, "/?#");
    size_t user = authority;

    tn_text_add_n(out, url, (size_t)(host - url));
    /* Up to the last @: a password may hold one. */
    while (user > 0 && host[user - 1] != '@')
        user--;
    host += user;
    authority -= user;
    tn_text_add_n(out, host, authority + strcspn(host + authority, "?#"));
}
