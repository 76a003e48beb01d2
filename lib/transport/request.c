#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "queue.h"
#include "url.h"

enum {
    MOST_HOPS = 10,
    ERROR_BODY = 64 * 1024,
    HEADERS_LIMIT = 64 * 1024,
    BACKOFF_DOUBLINGS = 4,
    ABSENT_RETRIES = 2,
    ERROR_LEVELS = 4
};

/* ---- making one ---- */

void tn_request_init(struct request *request, struct tenon_context *context)
{
    const struct memory *memory = &context->memory;

    memset(request, 0, sizeof *request);
    request->context = context;
    request->co.context = context;
    request->co.status = TENON_OK;
    request->method = "GET";
    request->body_limit = (size_t)tn_setting_integer(&context->settings, SETTING_TRANSPORT_JSON_BYTES);
    request->what = "the answer";
    request->upload_size = -1;
    request->retries = (int32_t)tn_setting_integer(&context->settings, SETTING_TRANSPORT_RETRIES);
    tn_failure_init(&request->failure, memory, &context->secrets);
    tn_text_init(&request->url, memory, URL_LIMIT);
    tn_text_init(&request->headers, memory, HEADERS_LIMIT);
    tn_text_init(&request->sent, memory, 2 * HEADERS_LIMIT);
    tn_text_init(&request->final_url, memory, URL_LIMIT);
    tn_text_init(&request->answer, memory, request->body_limit);
    tn_text_init(&request->exchange.answer, memory, HEADERS_LIMIT);
}

static void stop_exchange(struct request *request)
{
    struct engine *engine = request->exchange.inside != NULL ? tn_engine(request->context) : NULL;

    if (engine != NULL)
        engine->cancel(engine, &request->exchange);
}

void tn_request_clear(struct request *request)
{
    if (request->context == NULL)
        return;
    tn_co_stop(&request->co);
    stop_exchange(request);
    tn_timer_stop(request->context, &request->timer);
    tn_timer_stop(request->context, &request->pause);
    tn_queue_leave(request);
    tn_failure_clear(&request->failure);
    tn_text_clear(&request->url);
    tn_text_clear(&request->headers);
    tn_text_clear(&request->sent);
    tn_text_clear(&request->final_url);
    tn_text_clear(&request->answer);
    tn_text_clear(&request->exchange.answer);
    request->context = NULL;
}

void tn_request_reset(struct request *request)
{
    struct tenon_context *context = request->context;

    tn_request_clear(request);
    tn_request_init(request, context);
}

void tn_request_url(struct request *request, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tn_text_reset(&request->url);
    tn_text_format_v(&request->url, format, arguments);
    va_end(arguments);
}

/* A line end in a value would be a header of somebody else's making. */
static bool may_be_sent(const char *value)
{
    while (*value != '\0' && ((unsigned char)*value >= 0x20 || *value == '\t') && *value != 0x7f)
        value++;
    return *value == '\0';
}

void tn_request_header(struct request *request, const char *name, const char *value)
{
    if (may_be_sent(value))
        tn_text_format(&request->headers, "%s: %s\n", name, value);
    else
        request->bad_header = name;
}

void tn_request_range(struct request *request, int64_t first, int64_t last)
{
    if (last < 0)
        tn_text_format(&request->headers, "Range: bytes=%" PRId64 "-\n", first);
    else
        tn_text_format(&request->headers, "Range: bytes=%" PRId64 "-%" PRId64 "\n", first, last);
}

/* ---- hooks of the exchange ---- */

static enum exchange_take answer_started(struct exchange *exchange)
{
    struct request *request = exchange->owner;
    tenon_status status = TENON_OK;

    request->status = exchange->status;
    if (tn_response_is_good(request) && request->begun != NULL)
        status = request->begun(request);
    request->hook_status = status;
    return status == TENON_OK ? EXCHANGE_TAKEN : EXCHANGE_ABORT;
}

/* Keeps bytes in memory, up to the limit; what an error page has beyond it is of no use. */
static tenon_status keep_bytes(struct request *request, const char *bytes, size_t size)
{
    bool good = tn_response_is_good(request);
    size_t limit = good ? request->body_limit : ERROR_BODY;
    size_t room = limit - (request->answer.length < limit ? request->answer.length : limit);
    tenon_status status = TENON_OK;

    if (size > room && good)
        status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s is larger than %zu bytes", request->what, limit);
    else {
        tn_text_add_n(&request->answer, bytes, size < room ? size : room);
        if (tn_text_status(&request->answer) != TENON_OK)
            status = tn_fail_memory(&request->failure);
    }
    return status;
}

static enum exchange_take answer_data(struct exchange *exchange, const char *bytes, size_t size)
{
    struct request *request = exchange->owner;
    bool hooked = tn_response_is_good(request) && request->data != NULL;
    tenon_status status = hooked ? request->data(request, bytes, size) : keep_bytes(request, bytes, size);
    enum exchange_take take = EXCHANGE_TAKEN;

    request->delivered = request->delivered || (hooked && status == TENON_OK);
    request->paused = status == TENON_AGAIN;
    if (status == TENON_AGAIN)
        take = EXCHANGE_PAUSE;
    else if (status != TENON_OK) {
        request->hook_status = status;
        take = EXCHANGE_ABORT;
    }
    return take;
}

static ptrdiff_t body_upload(struct exchange *exchange, char *buffer, size_t size)
{
    struct request *request = exchange->owner;
    ptrdiff_t given = request->upload(request, buffer, size);

    request->paused = given == -1;
    if (given < -1)
        request->hook_status = request->failure.status;
    return given;
}

static void exchange_ended(struct exchange *exchange)
{
    struct request *request = exchange->owner;

    tn_co_wake(&request->co);
}

void tn_request_resume(struct request *request)
{
    struct engine *engine = request->exchange.inside != NULL ? tn_engine(request->context) : NULL;

    if (engine != NULL && request->paused) {
        request->paused = false;
        /* The clock of silence stood still, and has to be set again. */
        tn_co_wake(&request->co);
        engine->resume(engine, &request->exchange);
    }
}

/* ---- one exchange ---- */

static void make_headers(struct request *request)
{
    const char *application = tn_setting_text(&request->context->settings, SETTING_TRANSPORT_USER_AGENT);
    struct text *lines = &request->sent;
    const char *at = NULL;
    size_t length = 0;

    tn_text_reset(lines);
    tn_text_add(lines, tn_text(&request->headers));
    tn_text_format(lines, "User-Agent: %s%stenon/%s\n", application != NULL ? application : "", application != NULL ? " " : "",
                   tenon_version());
    if (request->bearer != NULL &&
        (request->hops == 0 ||
         tn_url_same_origin(tn_text(&request->url), tn_text(&request->final_url)) ||
         tn_url_is_upgrade(tn_text(&request->url), tn_text(&request->final_url))))
        tn_text_format(lines, "Authorization: Bearer %s\n", request->bearer);
    if (!request->decode)
        tn_text_add(lines, "Accept-Encoding: identity\n");
    /* Without a type of its own a body is no form, as libcurl would have it. */
    if (request->body != NULL && tn_header_next(&request->headers, "content-type", &at, &length) == NULL)
        tn_text_add(lines, "Content-Type:\n");
}

/* Ends what was added to the text so far; what is added next begins at the number returned. */
static size_t next_piece(struct text *text)
{
    tn_text_add_char(text, '\0');
    return text->length;
}

/* The proxy to ask for that address; "" for none. This machine is never reached through one: it would be another machine's. */
static const char *proxy_for(const struct settings *settings, const char *url)
{
    enum setting_id id = tn_url_is_tls(url) ? SETTING_TRANSPORT_HTTPS_PROXY : SETTING_TRANSPORT_HTTP_PROXY;
    const char *proxy = tn_setting_text(settings, id), *direct = tn_setting_text(settings, SETTING_TRANSPORT_NO_PROXY);
    bool around = tn_url_is_listed(url, "localhost,127.0.0.1,::1") || (direct != NULL && tn_url_is_listed(url, direct));

    return proxy != NULL && !around ? proxy : "";
}

/* Proxy and trust, told in full; the texts are kept behind the headers. */
static tenon_status set_network(struct request *request)
{
    const struct settings *settings = &request->context->settings;
    struct exchange *exchange = &request->exchange;
    struct text *sent = &request->sent;
    size_t proxy, file, folder;

    proxy = next_piece(sent);
    tn_text_add(sent, proxy_for(settings, tn_text(&request->final_url)));
    file = next_piece(sent);
    tn_setting_path(settings, SETTING_TRANSPORT_CA_FILE, sent);
    folder = next_piece(sent);
    tn_setting_path(settings, SETTING_TRANSPORT_CA_FOLDER, sent);
    if (tn_text_status(sent) != TENON_OK)
        return tn_fail_memory(&request->failure);
    exchange->headers = tn_text(sent);
    exchange->proxy = tn_text(sent) + proxy;
    exchange->ca_file = folder - file > 1 ? tn_text(sent) + file : NULL;
    exchange->ca_folder = sent->length > folder ? tn_text(sent) + folder : NULL;
    return TENON_OK;
}

/* Before anything is sent: is it something that can be sent? */
static tenon_status check_question(struct request *request)
{
    struct failure *failure = &request->failure;
    tenon_status status = TENON_OK;
    struct text origin;

    tn_text_init(&origin, failure->memory, URL_LIMIT);
    if (request->url.full)
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: the address is too long", request->what);
    else if (request->headers.full)
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: the headers are too long", request->what);
    else if (request->bad_header != NULL)
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: the value for the header %s holds a control character",
                         request->what, request->bad_header);
    else if (request->bearer != NULL && !may_be_sent(request->bearer)) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: the token holds a control character", request->what);
        tn_hint(failure, "Look at where the token comes from; a line end may have been copied with it.");
    } else if (request->url.failed || request->headers.failed)
        status = tn_fail_memory(failure);
    else if (!tn_url_origin(tn_text(&request->url), &origin) && !origin.failed) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: \"%s\" is no usable address", request->what, tn_text(&request->url));
        tn_hint(failure, "An address begins with https:// or http://.");
    }
    tn_text_clear(&origin);
    return status;
}

/* From now on no message and no line of the log shows these. */
static tenon_status keep_secrets(struct request *request)
{
    const struct settings *settings = &request->context->settings;
    static const enum setting_id proxies[] = { SETTING_TRANSPORT_HTTPS_PROXY, SETTING_TRANSPORT_HTTP_PROXY };
    struct secrets *secrets = &request->context->secrets;
    tenon_status status = request->bearer != NULL ? tn_secrets_add(secrets, request->bearer) : TENON_OK;

    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0] && status == TENON_OK; i++) {
        const char *proxy = tn_setting_text(settings, proxies[i]);
        const char *start = proxy != NULL ? strstr(proxy, "://") : NULL;
        const char *name = start != NULL ? start + 3 : proxy;
        const char *at = name != NULL ? strrchr(name, '@') : NULL;
        char *secret = at != NULL ? tn_copy_n(&request->context->memory, name, (size_t)(at - name)) : NULL;

        if (at != NULL)
            status = secret != NULL ? tn_secrets_add(secrets, secret) : TENON_ERROR_MEMORY;
        tn_release(&request->context->memory, secret);
    }
    return status == TENON_OK ? status : tn_fail_memory(&request->failure);
}

static void log_question(struct request *request)
{
    struct text shown;

    if (!tn_logs(request->context, TENON_LOG_DEBUG))
        return;
    tn_text_init(&shown, &request->context->memory, URL_LIMIT);
    tn_url_show(tn_text(&request->final_url), &shown);
    tn_log(request->context, TENON_LOG_DEBUG, "transport", "%s %s", request->method, tn_text(&shown));
    tn_text_clear(&shown);
}

static tenon_status start_exchange(struct request *request)
{
    struct engine *engine = tn_engine(request->context);
    struct exchange *exchange = &request->exchange;
    tenon_status status;

    make_headers(request);
    status = set_network(request);
    if (status != TENON_OK)
        return status;
    if (engine == NULL || request->final_url.failed)
        return tn_fail_memory(&request->failure);
    tn_text_reset(&request->answer);
    request->answer.limit = request->body_limit > ERROR_BODY ? request->body_limit : ERROR_BODY;
    exchange->method = request->method;
    exchange->url = tn_text(&request->final_url);
    exchange->body = request->body;
    exchange->body_size = request->upload != NULL ? request->upload_size : (int64_t)request->body_size;
    exchange->decode = request->decode;
    exchange->large = request->data != NULL;
    exchange->once = !request->repeatable;
    exchange->started = answer_started;
    exchange->data = answer_data;
    exchange->upload = request->upload != NULL ? body_upload : NULL;
    exchange->ended = exchange_ended;
    exchange->owner = request;
    request->status = 0;
    request->hook_status = TENON_OK;
    request->timed_out = false;
    request->paused = false;
    log_question(request);
    return engine->start(engine, exchange) == TENON_OK ? TENON_OK : tn_fail_memory(&request->failure);
}

/* One of the three clocks: when it runs out, and what then has not happened. */
struct deadline {
    int64_t at_ms;
    int64_t after_ms;
    const char *words;
    const char *setting;
};

/* When the whole runs out; TN_NEVER where there is no such limit. */
static int64_t end_of_all(const struct request *request)
{
    int64_t total = request->stream ? 0 : tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_TOTAL_MS);

    return total > 0 ? tn_later(request->started_ms, total) : TN_NEVER;
}

/* The clock that runs out next. */
static struct deadline next_deadline(const struct request *request)
{
    const struct settings *settings = &request->context->settings;
    int64_t end = end_of_all(request);
    struct deadline next = { .words = "the connection did not stand", .setting = "transport.connect_ms" };

    next.after_ms = tn_setting_integer(settings, SETTING_TRANSPORT_CONNECT_MS);
    if (request->exchange.connected) {
        next = (struct deadline){ .words = "the other side was silent", .setting = "transport.idle_ms" };
        /* It is we who are silent while the reader, or the writer, has no time. */
        next.after_ms = request->paused ? TN_NEVER : tn_setting_integer(settings, SETTING_TRANSPORT_IDLE_MS);
    }
    next.at_ms = tn_later(request->exchange.active_ms, next.after_ms);
    if (end < next.at_ms)
        next = (struct deadline){ end, end - request->started_ms, "the request was not done", "transport.total_ms" };
    return next;
}

/* Adds the address that was asked, and by way of which proxy, without what is secret in them. */
static void add_address(const struct request *request, struct text *out)
{
    tn_url_show(tn_text(&request->final_url), out);
    if (*request->exchange.proxy != '\0') {
        tn_text_add(out, " by way of the proxy ");
        tn_url_show(request->exchange.proxy, out);
    }
}

static void fail_late(struct request *request, const struct deadline *deadline)
{
    struct text shown;

    tn_text_init(&shown, &request->context->memory, URL_LIMIT);
    add_address(request, &shown);
    tn_fail(&request->failure, TENON_ERROR_TIMEOUT, "%s: %s for %" PRId64 " ms", tn_text(&shown), deadline->words, deadline->after_ms);
    tn_hint(&request->failure, "Check the connection, or raise the setting %s.", deadline->setting);
    tn_text_clear(&shown);
}

static int64_t soonest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* True when the exchange has ended, or a clock has ended it. Sets the timer for the next look. */
static bool exchange_over(struct request *request)
{
    int64_t now = tn_now(request->context), look;
    struct deadline deadline;
    bool over = false;

    if (request->exchange.end != EXCHANGE_RUNS)
        return true;
    deadline = next_deadline(request);
    look = deadline.at_ms;
    /* Nobody tells when the connection stands; from then on the clock of silence counts, which may be the shorter one. */
    if (!request->exchange.connected)
        look = soonest(look, tn_later(now, tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_IDLE_MS)));
    if (now >= deadline.at_ms) {
        fail_late(request, &deadline);
        request->timed_out = over = true;
    } else if ((!tn_timer_running(&request->timer) || request->timer.due_ms > look) &&
               tn_timer_set(request->context, &request->timer, look - now, &request->co) != TENON_OK) {
        /* Without a clock it might wait for ever. */
        tn_fail_memory(&request->failure);
        over = true;
    }
    if (over)
        stop_exchange(request);
    return over;
}

/* ---- what an end means ---- */

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

static tenon_status fail_exchange(struct request *request)
{
    static const struct {
        enum exchange_end end;
        tenon_status status;
        const char *message, *hint;
    } meanings[] = {
        { EXCHANGE_NO_HOST, TENON_ERROR_NETWORK, "cannot be reached", "Check the address and the network; behind a proxy set HTTPS_PROXY." },
        { EXCHANGE_CUT, TENON_ERROR_NETWORK, "the line was cut", "Try again; check the network or the proxy if it happens often." },
        { EXCHANGE_NO_TLS, TENON_ERROR_TLS, "no trusted connection", NULL },
        { EXCHANGE_NO_PROXY, TENON_ERROR_NETWORK, "the proxy cannot be used",
          "Check the address of the proxy (settings transport.https_proxy and transport.http_proxy), or name the host in transport.no_proxy." },
        { EXCHANGE_REFUSED, TENON_ERROR_NETWORK, "the proxy refuses", "Ask whoever runs the proxy, or name the host in transport.no_proxy." },
        { EXCHANGE_NONSENSE, TENON_ERROR_PROTOCOL, "the answer is no valid HTTP", "Check that the address is that of the service and no proxy changes the answer." },
        { EXCHANGE_BAD_URL, TENON_ERROR_ARGUMENT, "is no usable address", "An address begins with https:// or http://." },
    };
    struct text shown;
    tenon_status status = TENON_ERROR_MEMORY;

    if (request->timed_out) {
        request->failure.retry_after_ms = request->retry_after_ms;
        return request->failure.status;
    }
    if (request->exchange.end == EXCHANGE_ABORTED)
        return request->hook_status;
    tn_text_init(&shown, &request->context->memory, URL_LIMIT);
    add_address(request, &shown);
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].end == request->exchange.end) {
            status = tn_fail(&request->failure, meanings[i].status, "%s: %s (%s)", tn_text(&shown), meanings[i].message,
                             request->exchange.reason);
            tn_hint(&request->failure, "%s", hint_for(request, meanings[i].hint));
            request->failure.retry_after_ms = request->retry_after_ms;
        }
    if (status == TENON_ERROR_MEMORY)
        tn_fail_memory(&request->failure);
    tn_text_clear(&shown);
    return status;
}

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

static tenon_status fail_http(struct request *request)
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

/* ---- repeating ---- */

static bool is_passing(int32_t status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* Days since 1970 by the civil calendar, with years that begin in March. */
static int64_t days_until(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400, of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "Wed, 21 Oct 2026 07:28:00 GMT" as ms since 1970; -1 for anything else. */
static int64_t parse_date(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "";
    int day, year, hour, minute, second;
    const char *found;

    /* "Wed, " is for people. */
    text += strcspn(text, " ");
    if (sscanf(text, " %2d %3s %4d %2d:%2d:%2d GMT", &day, month, &year, &hour, &minute, &second) != 6)
        return -1;
    found = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (found == NULL || (found - months) % 3 != 0 || year < 1970 || day < 1 || day > 31 || hour < 0 || minute < 0 || second < 0)
        return -1;
    return ((days_until(year, (int)(found - months) / 3 + 1, day) * 24 + hour) * 60 + minute) * 60000 + (int64_t)second * 1000;
}

/* What the server asks for: Retry-After in seconds or as a date, else RateLimit's t where nothing is left. -1: nothing. */
static int64_t asked_pause(struct request *request)
{
    struct text value;
    const char *text, *left, *reset;
    int64_t number, pause = -1;

    tn_text_init(&value, &request->context->memory, 4096);
    text = tn_response_header(request, "retry-after", &value);
    if (text != NULL && tn_parse_integer(text, &number))
        pause = number < INT32_MAX ? number * 1000 : INT32_MAX;
    else if (text != NULL && parse_date(text) >= 0) {
        pause = parse_date(text) - tn_wall(request->context);
        pause = pause < 0 ? 0 : pause;
    }
    text = request->status == 429 ? tn_response_header(request, "ratelimit", &value) : NULL;
    left = text != NULL ? strstr(text, "r=") : NULL;
    reset = text != NULL ? strstr(text, "t=") : NULL;
    if (left != NULL && reset != NULL && left[2] == '0' && (left[3] < '0' || left[3] > '9')) {
        long long seconds = -1;

        if (sscanf(reset + 2, "%9lld", &seconds) == 1 && seconds >= 0)
            pause = (seconds + 1) * 1000;
    }
    tn_text_clear(&value);
    return pause;
}

/* The pause before the next try: doubling, and chance takes off up to half so that many clients spread. */
static int64_t own_pause(struct request *request)
{
    int64_t base = tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_BACKOFF_MS);
    int shift = request->attempt < BACKOFF_DOUBLINGS ? request->attempt : BACKOFF_DOUBLINGS;
    uint32_t chance;

    tn_random(request->context, &chance, sizeof chance);
    base <<= shift;
    return base - (int64_t)((uint64_t)(base / 2) * chance / UINT32_MAX);
}

/* The body from its start again; false where that cannot be. */
static bool rewind_upload(struct request *request)
{
    return request->upload == NULL || (request->rewind != NULL && request->rewind(request));
}

/* Nothing was done: nobody was there, or whoever was there refused for now. */
static bool is_undone(const struct request *request, bool absent)
{
    bool refused = request->exchange.end == EXCHANGE_DONE && (request->status == 429 || request->status == 503);

    return absent || refused || (request->timed_out && !request->exchange.connected);
}

/* How long to pause before the request is repeated; -1 when it is not. */
static int64_t pause_before_repeat(struct request *request)
{
    enum exchange_end end = request->exchange.end;
    bool absent = end == EXCHANGE_NO_HOST || end == EXCHANGE_NO_PROXY || (end == EXCHANGE_REFUSED && request->exchange.status >= 500);
    bool passing = request->timed_out || end == EXCHANGE_CUT || absent || (end == EXCHANGE_DONE && is_passing(request->status));
    /* Nobody there is seldom passing, and whoever mistyped an address wants to hear it soon. */
    int32_t retries = absent && request->retries > ABSENT_RETRIES ? ABSENT_RETRIES : request->retries;
    int64_t asked = end == EXCHANGE_DONE && passing ? asked_pause(request) : -1, pause = -1;

    request->retry_after_ms = -1;
    if (passing)
        request->retry_after_ms = pause = asked >= 0 ? asked : own_pause(request);
    if (!passing || request->delivered || request->attempt >= retries)
        pause = -1;
    else if (!request->repeatable && !(request->begs && is_undone(request, absent)))
        pause = -1;
    else if (asked > tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_WAIT_MS))
        pause = -1;
    else if (tn_later(tn_now(request->context), pause) >= end_of_all(request))
        pause = -1;
    else if (!rewind_upload(request))
        pause = -1;
    return pause;
}

static void note_repeat(struct request *request, int64_t pause_ms)
{
    request->attempt++;
    if (request->retry_count != NULL)
        (*request->retry_count)++;
    if (request->failure.message != NULL)
        tn_log(request->context, TENON_LOG_WARNING, "transport", "%s: %s; again in %" PRId64 " ms", request->what,
               request->failure.message, pause_ms);
    else
        tn_log(request->context, TENON_LOG_WARNING, "transport", "%s: HTTP %d; again in %" PRId64 " ms", request->what,
               (int)request->status, pause_ms);
}

/* ---- redirects ---- */

static bool is_redirect(int32_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* An append failed, and not because of the bound. */
static bool starved(const struct text *text)
{
    return text->failed && !text->full;
}

/* True when the answer is a redirect that is followed: final_url and method are those of the next hop. */
static bool follow_redirect(struct request *request, tenon_status *status)
{
    const struct memory *memory = &request->context->memory;
    struct text location, target;
    bool follows = false;

    tn_text_init(&location, memory, URL_LIMIT);
    tn_text_init(&target, memory, URL_LIMIT);
    if (request->exchange.end != EXCHANGE_DONE || !is_redirect(request->status) || request->redirects == REDIRECT_NEVER)
        goto done;
    if (tn_response_header(request, "location", &location) == NULL ||
        !tn_url_resolve(tn_text(&request->final_url), tn_text(&location), &target)) {
        if (starved(&location) || starved(&target))
            *status = tn_fail_memory(&request->failure);
        else
            *status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: HTTP %d leads to no http or https address", request->what,
                          (int)request->status);
        goto done;
    }
    if (request->redirects == REDIRECT_SAME_ORIGIN && !tn_url_same_origin(tn_text(&request->final_url), tn_text(&target)))
        goto done;
    if (tn_url_is_tls(tn_text(&request->final_url)) && !tn_url_is_tls(tn_text(&target))) {
        *status = tn_fail(&request->failure, TENON_ERROR_TLS, "%s: the server leads from https to http", request->what);
        tn_hint(&request->failure, "That would give the content to anybody on the way; use a hub that stays on https.");
        goto done;
    }
    if (++request->hops > MOST_HOPS) {
        *status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: more than %d redirects", request->what, (int)MOST_HOPS);
        goto done;
    }
    if (request->status == 303 && strcmp(request->method, "HEAD") != 0) {
        request->method = "GET";
        request->body = NULL;
        request->upload = NULL;
    }
    if (!rewind_upload(request)) {
        *status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: HTTP %d came for a body that cannot be sent again",
                          request->what, (int)request->status);
        goto done;
    }
    tn_text_reset(&request->final_url);
    tn_url_keep_user(tn_text(&request->url), tn_text(&target), &request->final_url);
    follows = true;
done:
    tn_text_clear(&location);
    tn_text_clear(&target);
    return follows;
}

/* ---- the coroutine ---- */

/* Outcome of the exchange that is over, when it is neither repeated nor redirected. */
static tenon_status conclude(struct request *request)
{
    bool answer = request->exchange.end == EXCHANGE_DONE;
    bool kept = answer && is_redirect(request->status) && request->redirects != REDIRECT_FOLLOW;
    tenon_status status = TENON_OK;

    if (!answer)
        status = fail_exchange(request);
    else if (!tn_response_is_good(request) && !kept && !request->any_status)
        status = fail_http(request);
    return status;
}

static tenon_status request_step(struct co *co)
{
    struct request *request = TN_CONTAINER(co, struct request, co);
    tenon_status status = TENON_OK;
    int64_t pause;

    CO_BEGIN(co);
    request->started_ms = tn_now(co->context);
    tn_text_reset(&request->final_url);
    tn_text_add(&request->final_url, tn_text(&request->url));
    status = check_question(request);
    if (status == TENON_OK)
        status = keep_secrets(request);
    while (status == TENON_OK) {
        AWAIT(co, tn_queue_enter(request));
        status = start_exchange(request);
        if (status == TENON_OK)
            AWAIT(co, exchange_over(request));
        tn_timer_stop(co->context, &request->timer);
        tn_queue_leave(request);
        if (request->failure.status == TENON_ERROR_MEMORY)
            status = TENON_ERROR_MEMORY;
        if (status != TENON_OK)
            break;
        if (follow_redirect(request, &status))
            continue;
        if (status != TENON_OK)
            break;
        pause = pause_before_repeat(request);
        status = conclude(request);
        if (pause < 0)
            break;
        note_repeat(request, pause);
        tn_failure_clear(&request->failure);
        status = tn_timer_set(co->context, &request->pause, pause, co);
        if (status != TENON_OK)
            break;
        AWAIT(co, !tn_timer_running(&request->pause));
    }
    CO_END(co);
    return status;
}

void tn_request_start(struct request *request, struct co *waiter)
{
    if (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0)
        request->repeatable = true;
    tn_failure_clear(&request->failure);
    request->attempt = 0;
    request->hops = 0;
    request->delivered = false;
    request->retry_after_ms = -1;
    tn_co_start(&request->co, request->context, request_step, waiter);
}
