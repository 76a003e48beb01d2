#include "meaning.h"

#include <inttypes.h>

#include "clocks.h"
#include "json.h"
#include "request.h"
#include "url.h"

enum { ERROR_LEVELS = 4 };

/* ---- clocks ---- */

/* Adds the address that was asked, and by way of which proxy, without what is secret in them. */
static void add_address(const struct request *request, struct text *out)
{
    tn_url_show(tn_text(&request->final_url), out);
    if (*request->exchange.proxy != '\0') {
        tn_text_add(out, " by way of the proxy ");
        tn_url_show(request->exchange.proxy, out);
    }
}

void tn_meaning_of_clock(struct request *request, const struct deadline *deadline)
{
    struct text shown;

    tn_text_init(&shown, &request->context->memory, URL_LIMIT);
    add_address(request, &shown);
    tn_fail(&request->failure, TENON_ERROR_TIMEOUT, "%s: %s for %" PRId64 " ms", tn_text(&shown), deadline->words,
            deadline->after_ms);
    tn_hint(&request->failure, "Check the connection, or raise the setting %s.", deadline->setting);
    tn_text_clear(&shown);
}

/* ---- ends without an answer ---- */

static const char proxy_password[] = "The proxy wants a name and a password: write it as http://name:password@host:port.";

static const char *tls_hint(enum tls_fault fault)
{
    static const char *const hints[] = {
        [TLS_UNKNOWN] = "Check that the address is the service's, and that nothing on the way breaks into TLS.",
        [TLS_AUTHORITY] = "If an authority of your own signs, name its file in the setting transport.ca_file (SSL_CERT_FILE).",
        [TLS_DATE] = "Check the clock of this machine; if it is right, whoever runs the server must renew its certificate.",
        [TLS_HOST] = "Check the address: the server's certificate is for another name.",
        [TLS_VERSION] = "The server speaks nothing newer than TLS 1.1; whoever runs it must update it.",
        [TLS_PLAIN] = "No TLS is spoken there; check the port, or whether the address begins with http://.",
        [TLS_FILE] = "Check the settings transport.ca_file and transport.ca_folder (SSL_CERT_FILE, SSL_CERT_DIR).",
    };

    return hints[fault];
}

/* The hint of a kind of end, or a better one. */
static const char *hint_for(const struct request *request, const char *hint)
{
    if (request->exchange.end == EXCHANGE_NO_TLS)
        hint = tls_hint(request->exchange.tls_fault);
    else if (request->exchange.status == 407 || (request->exchange.end == EXCHANGE_REFUSED && request->exchange.status == 401))
        hint = proxy_password;
    return hint;
}

/* What an exchange that ended without an answer means; `shown` is where it was asked. */
static tenon_status fail_end(struct request *request, const char *shown)
{
    static const struct {
        enum exchange_end end;
        tenon_status status;
        const char *message, *hint;
    } meanings[] = {
        { EXCHANGE_NO_HOST, TENON_ERROR_NETWORK, "cannot be reached",
          "Check the address and the network; behind a proxy set HTTPS_PROXY." },
        { EXCHANGE_CUT, TENON_ERROR_NETWORK, "the line was cut", "Try again; check the network or the proxy if it happens often." },
        { EXCHANGE_NO_TLS, TENON_ERROR_TLS, "no trusted connection", NULL },
        { EXCHANGE_NO_PROXY, TENON_ERROR_NETWORK, "the proxy cannot be used",
          "Check the address of the proxy (settings transport.https_proxy and transport.http_proxy), "
          "or name the host in transport.no_proxy." },
        { EXCHANGE_REFUSED, TENON_ERROR_NETWORK, "the proxy refuses",
          "Ask whoever runs the proxy, or name the host in transport.no_proxy." },
        { EXCHANGE_NONSENSE, TENON_ERROR_PROTOCOL, "the answer is no valid HTTP",
          "Check that the address is that of the service and no proxy changes the answer." },
        { EXCHANGE_BAD_URL, TENON_ERROR_ARGUMENT, "is no usable address", "An address begins with https:// or http://." },
    };
    tenon_status status;
    size_t i = 0;

    while (i < sizeof meanings / sizeof meanings[0] && meanings[i].end != request->exchange.end)
        i++;
    if (i == sizeof meanings / sizeof meanings[0])
        return tn_fail_memory(&request->failure);
    status = tn_fail(&request->failure, meanings[i].status, "%s: %s (%s)", shown, meanings[i].message, request->exchange.reason);
    tn_hint(&request->failure, "%s", hint_for(request, meanings[i].hint));
    request->failure.retry_after_ms = request->retry_after_ms;
    return status;
}

tenon_status tn_meaning_of_end(struct request *request)
{
    tenon_status status = request->hook_status;
    struct text shown;

    tn_text_init(&shown, &request->context->memory, URL_LIMIT);
    if (request->timed_out) {
        /* The clock has said it already. */
        status = request->failure.status;
        request->failure.retry_after_ms = request->retry_after_ms;
    } else if (request->exchange.end != EXCHANGE_ABORTED) {
        add_address(request, &shown);
        status = fail_end(request, tn_text(&shown));
    }
    tn_text_clear(&shown);
    return status;
}

/* ---- answers that say no ---- */

static tenon_status status_of_http(int32_t http)
{
    tenon_status status = TENON_ERROR_PROTOCOL;

    if (http == 401)
        status = TENON_ERROR_UNAUTHORIZED;
    else if (http == 403 || http == 451)
        status = TENON_ERROR_FORBIDDEN;
    else if (http == 404 || http == 410)
        status = TENON_ERROR_NOT_FOUND;
    else if (http == 407)
        status = TENON_ERROR_NETWORK;
    else if (http == 408 || http == 504)
        status = TENON_ERROR_TIMEOUT;
    else if (http == 409 || http == 412)
        status = TENON_ERROR_CONFLICT;
    else if (http == 429)
        status = TENON_ERROR_RATE_LIMITED;
    else if (http >= 500)
        status = TENON_ERROR_UNAVAILABLE;
    else if (http >= 400)
        status = TENON_ERROR_ARGUMENT;
    return status;
}

/*
 * The first words a service has for its error: {"error": "..."}, {"error": {"message": "..."}}, [{"error": ...}],
 * {"errors": ["..."]}, {"detail": [{"msg": "..."}]} ... down to a few levels.
 */
static const char *words_of_json(const json_t *json, int levels)
{
    static const char *const keys[] = { "error_description", "error", "message", "detail", "errors", "msg", "title" };
    const char *words = json_string_value(json);

    if (words != NULL && *words == '\0')
        words = NULL;
    if (json_is_array(json) && levels > 0)
        words = words_of_json(json_array_get(json, 0), levels - 1);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && words == NULL && levels > 0; i++)
        words = words_of_json(json_object_get(json, keys[i]), levels - 1);
    return words;
}

static void fail_with_words(struct request *request, const struct text *shown)
{
    struct text header;
    struct failure ignored;
    json_t *json = NULL;
    const char *words = NULL;
    bool text = false;

    tn_text_init(&header, &request->context->memory, 4096);
    tn_failure_init(&ignored, &request->context->memory, NULL);
    if (tn_response_header(request, "content-type", &header) != NULL)
        text = tn_starts_with(tn_text(&header), "text/plain");
    if (request->answer.length > 0 &&
        tn_json_read(tn_text(&request->answer), request->answer.length, "", &json, &ignored) == TENON_OK)
        words = words_of_json(json, ERROR_LEVELS);
    if (words == NULL && tn_response_header(request, "x-error-message", &header) != NULL)
        words = tn_text(&header);
    if (words == NULL && text && request->answer.length > 0 && request->answer.length < 500)
        words = tn_text(&request->answer);
    tn_fail(&request->failure, status_of_http(request->status), "%s: HTTP %d%s%s", tn_text(shown), (int)request->status,
            words != NULL ? ": " : "", words != NULL ? words : "");
    json_decref(json);
    tn_failure_clear(&ignored);
    tn_text_clear(&header);
}

static void hint_http(struct request *request)
{
    /* Inside TLS no proxy answers. */
    bool proxied = *request->exchange.proxy != '\0' && !tn_url_is_tls(tn_text(&request->final_url));

    if (request->status == 407 || (request->status == 401 && proxied && request->bearer == NULL))
        tn_hint(&request->failure, "%s", proxy_password);
    else if (request->status == 401)
        tn_hint(&request->failure, "%s", request->bearer != NULL ? "Check the token: it may be wrong or expired."
                                                                  : "A token is needed; set HF_TOKEN or give one.");
    else if (request->status == 429)
        tn_hint(&request->failure, "Wait %" PRId64 " s and try again, or use a token of an account with a higher limit.",
                request->retry_after_ms >= 0 ? (request->retry_after_ms + 999) / 1000 : 60);
    else if (request->status >= 500)
        tn_hint(&request->failure, "The service has a problem of its own; try again later.");
}

tenon_status tn_meaning_of_status(struct request *request)
{
    static const char *const ids[] = { "x-request-id", "x-amzn-trace-id", "x-amz-cf-id" };
    struct text text;

    tn_text_init(&text, &request->context->memory, URL_LIMIT);
    tn_url_show(tn_text(&request->final_url), &text);
    fail_with_words(request, &text);
    request->failure.http_status = request->status;
    request->failure.retry_after_ms = request->retry_after_ms;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0] && request->failure.request_id == NULL; i++)
        if (tn_response_header(request, ids[i], &text) != NULL)
            tn_failure_set_request_id(&request->failure, tn_text(&text));
    hint_http(request);
    if (request->explain != NULL)
        request->explain(request);
    tn_text_clear(&text);
    return request->failure.status;
}
