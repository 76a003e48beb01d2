#include "url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "hosts.h"

/* Does it begin as an address? libcurl takes "http:///x" for the host x; whoever wrote that forgot the host. */
static bool looks_right(const char *url)
{
    size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;

    return scheme > 0 && url[scheme] != '/' && url[scheme] != '\0';
}

static CURLU *parse(const char *url)
{
    CURLU *parser = looks_right(url) ? curl_url() : NULL;

    if (parser != NULL && curl_url_set(parser, CURLUPART_URL, url, 0) != CURLUE_OK) {
        curl_url_cleanup(parser);
        parser = NULL;
    }
    return parser;
}

/* Whom an address means; the texts are libcurl's. */
struct origin {
    char *scheme, *host, *port;
};

static void origin_clear(struct origin *origin)
{
    curl_free(origin->scheme);
    curl_free(origin->host);
    curl_free(origin->port);
}

/* False for what is no http or https address; to be cleared in any case. */
static bool origin_read(struct origin *origin, const char *url)
{
    CURLU *parser = parse(url);
    bool read;

    memset(origin, 0, sizeof *origin);
    read = parser != NULL && curl_url_get(parser, CURLUPART_SCHEME, &origin->scheme, 0) == CURLUE_OK &&
           curl_url_get(parser, CURLUPART_HOST, &origin->host, 0) == CURLUE_OK &&
           curl_url_get(parser, CURLUPART_PORT, &origin->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    curl_url_cleanup(parser);
    return read;
}

static void add_lower(struct text *out, const char *text)
{
    for (; *text != '\0'; text++)
        tn_text_add_char(out, *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text);
}

bool tn_url_origin(const char *url, struct text *out)
{
    struct origin origin;
    bool read = origin_read(&origin, url);

    if (read) {
        add_lower(out, origin.scheme);
        tn_text_add(out, "://");
        add_lower(out, origin.host);
        tn_text_format(out, ":%s", origin.port);
    }
    origin_clear(&origin);
    return read && tn_text_status(out) == TENON_OK;
}

bool tn_url_is_tls(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

static bool is_origin(const struct origin *origin, const char *scheme, const char *port)
{
    return tn_compare_case(origin->scheme, scheme) == 0 && strcmp(origin->port, port) == 0;
}

/* How long an address is up to its path. */
static size_t length_of_origin(const char *url)
{
    size_t user;
    const char *host = tn_address_host(url, &user);

    return (size_t)(host - url) + strcspn(host, "/?#");
}

bool tn_url_same_origin(const char *a, const char *b)
{
    struct origin first = { NULL }, second = { NULL };
    size_t length = length_of_origin(a);
    /* Letter by letter the same: however it is read, it is read the same. */
    bool same = looks_right(a) && length == length_of_origin(b) && strncmp(a, b, length) == 0;

    if (!same)
        same = origin_read(&first, a) && origin_read(&second, b) && is_origin(&first, second.scheme, second.port) &&
               tn_compare_case(first.host, second.host) == 0;

    origin_clear(&first);
    origin_clear(&second);
    return same;
}

bool tn_url_is_upgrade(const char *from, const char *to)
{
    struct origin first, second = { NULL };
    bool upgrade = origin_read(&first, from) && origin_read(&second, to) && is_origin(&first, "http", "80") &&
                   is_origin(&second, "https", "443") && tn_compare_case(first.host, second.host) == 0;

    origin_clear(&first);
    origin_clear(&second);
    return upgrade;
}

bool tn_url_is_listed(const char *url, const char *list)
{
    CURLU *parser = parse(url);
    char *host = NULL;
    bool listed = false;

    if (parser != NULL && curl_url_get(parser, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        listed = tn_hosts_have(list, host);
    curl_free(host);
    curl_url_cleanup(parser);
    return listed;
}

/* ---- references ---- */

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

void tn_url_keep_user(const char *from, const char *to, struct text *out)
{
    size_t user, other, before = out->length;
    const char *source = tn_address_host(from, &user), *host = tn_address_host(to, &other);
    bool keeps = user > 0 && other == 0 && tn_url_same_origin(from, to);

    tn_text_add_n(out, to, (size_t)(host - to));
    if (keeps)
        tn_text_add_n(out, source, user);
    tn_text_add(out, host);
    /* Should the two of us ever read it differently, libcurl is right. */
    if (keeps && !out->failed && !tn_url_same_origin(tn_text(out) + before, to)) {
        out->data[out->length = before] = '\0';
        tn_text_add(out, to);
    }
}

void tn_url_show(const char *url, struct text *out)
{
    size_t user;
    const char *host = tn_address_host(url, &user);

    tn_text_add_n(out, url, (size_t)(host - url));
    tn_text_add_n(out, host + user, strcspn(host + user, "?#"));
}

tenon_status tn_url_add_secret(const char *url, struct secrets *secrets)
{
    size_t user;
    const char *host = tn_address_host(url, &user);
    char *secret = user > 1 ? tn_copy_n(secrets->memory, host, user - 1) : NULL;
    tenon_status status = TENON_OK;

    if (user > 1)
        status = secret != NULL ? tn_secrets_add(secrets, secret) : TENON_ERROR_MEMORY;
    tn_release(secrets->memory, secret);
    return status;
}
