#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "url.h"

enum { MOST_HOPS = 10, ERROR_BODY = 64 * 1024, URL_LIMIT = 16 * 1024, HEADERS_LIMIT = 64 * 1024, BACKOFF_DOUBLINGS = 4, ABSENT_RETRIES = 2 };

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
    tn_text_init(&request->sent_headers, memory, HEADERS_LIMIT);
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

static void give_slot(struct request *request);

void tn_request_clear(struct request *request)
{
    if (request->context == NULL)
        return;
    tn_co_stop(&request->co);
    stop_exchange(request);
    tn_timer_stop(request->context, &request->timer);
    tn_timer_stop(request->context, &request->pause);
    give_slot(request);
    tn_failure_clear(&request->failure);
    tn_text_clear(&request->url);
    tn_text_clear(&request->headers);
    tn_text_clear(&request->sent_headers);
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

void tn_request_header(struct request *request, const char *name, const char *value)
{
    /* A line end in a value would be a header of somebody else's making. */
    if (strpbrk(value, "\r\n") == NULL)
        tn_text_format(&request->headers, "%s: %s\n", name, value);
    else
        request->headers.failed = true;
}

void tn_request_range(struct request *request, int64_t first, int64_t last)
{
    if (last < 0)
        tn_text_format(&request->headers, "Range: bytes=%" PRId64 "-\n", first);
    else
        tn_text_format(&request->headers, "Range: bytes=%" PRId64 "-%" PRId64 "\n", first, last);
}

/* ---- reading the answer ---- */

/* The value of the next header of that name at or after *at in the lines; NULL when there is none. */
static const char *next_header(const struct text *lines, const char *name, const char **at, size_t *length)
{
    size_t name_length = strlen(name);
    const char *line = *at != NULL ? *at : tn_text(lines);
    const char *value = NULL;

    while (*line != '\0' && value == NULL) {
        size_t line_length = strcspn(line, "\n");

        if (line_length > name_length && line[name_length] == ':' && strncasecmp(line, name, name_length) == 0) {
            size_t start = name_length + 1 + strspn(line + name_length + 1, " \t");

            value = line + start;
            *length = line_length > start ? line_length - start : 0;
        }
        line += line_length;
        line += *line == '\n';
    }
    *at = line;
    return value;
}

const char *tn_response_header(const struct request *request, const char *name, struct text *out)
{
    const char *at = NULL;
    size_t length = 0;
    const char *value = next_header(&request->exchange.answer, name, &at, &length);

    tn_text_reset(out);
    if (value == NULL)
        return NULL;
    tn_text_add_n(out, value, length);
    return out->failed ? NULL : tn_text(out);
}

int64_t tn_response_integer(const struct request *request, const char *name, int64_t other)
{
    char digits[24];
    const char *at = NULL;
    size_t length = 0;
    const char *value = next_header(&request->exchange.answer, name, &at, &length);
    int64_t number = other;

    if (value != NULL && length < sizeof digits) {
        memcpy(digits, value, length);
        digits[length] = '\0';
        if (!tn_parse_integer(digits, &number))
            number = other;
    }
    return number;
}

/* One <address>; parameter; parameter of a Link header: does it have the relation? */
static bool link_has_relation(const char *parameters, size_t length, const char *relation)
{
    char wanted[64];
    bool found = false;

    snprintf(wanted, sizeof wanted, "rel=\"%s\"", relation);
    for (size_t i = 0; i + strlen(wanted) <= length && !found; i++)
        found = strncasecmp(parameters + i, wanted, strlen(wanted)) == 0;
    return found;
}

bool tn_response_link(const struct request *request, const char *relation, struct text *out)
{
    const char *at = NULL, *value;
    size_t length = 0;
    bool found = false;

    while (!found && (value = next_header(&request->exchange.answer, "link", &at, &length)) != NULL)
        while (length > 0 && !found) {
            const char *open = memchr(value, '<', length);
            const char *close = open != NULL ? memchr(open, '>', length - (size_t)(open - value)) : NULL;
            const char *next = close != NULL ? memchr(close, '<', length - (size_t)(close - value)) : NULL;
            size_t rest = close == NULL ? 0 : next != NULL ? (size_t)(next - close) : length - (size_t)(close - value);

            found = close != NULL && link_has_relation(close, rest, relation);
            if (found) {
                tn_text_reset(out);
                tn_text_add_n(out, open + 1, (size_t)(close - open - 1));
            }
            length = next != NULL ? length - (size_t)(next - value) : 0;
            value = next;
        }
    return found && !out->failed;
}

static bool take_number(const char **text, char end, int64_t *number)
{
    char digits[24];
    size_t length = strspn(*text, "0123456789");
    bool good = length > 0 && length < sizeof digits && (*text)[length] == end;

    if (good) {
        memcpy(digits, *text, length);
        digits[length] = '\0';
        good = tn_parse_integer(digits, number);
        *text += length + (end != '\0');
    }
    return good;
}

bool tn_response_range(const struct request *request, int64_t *first, int64_t *last, int64_t *total)
{
    struct text value;
    const char *text;
    bool good = false;

    tn_text_init(&value, &request->context->memory, 256);
    text = tn_response_header(request, "content-range", &value);
    if (text != NULL && strncasecmp(text, "bytes ", 6) == 0) {
        text += 6 + strspn(text + 6, " ");
        good = take_number(&text, '-', first) && take_number(&text, '/', last);
        if (good && strcmp(text, "*") == 0)
            *total = -1;
        else
            good = good && take_number(&text, '\0', total);
        good = good && *first <= *last && (*total < 0 || *last < *total);
    }
    tn_text_clear(&value);
    return good;
}

tenon_status tn_response_json(struct request *request, json_t **json)
{
    return tn_json_read(tn_text(&request->answer), request->answer.length, request->what, json, &request->failure);
}

/* ---- connections to one host: a bounded number, the others wait their turn ---- */

/*
 * The bound is on requests under way in the whole context: hub.files x hub.parts may ask for more than a host likes. Those
 * that wait are woken in order.
 */
struct slots {
    struct tenon_context *context;
    struct link waiting;
    int64_t taken;
};

static void slots_free(void *object)
{
    struct slots *slots = object;

    tn_release(&slots->context->memory, slots);
}

static struct slots *slots_of(struct tenon_context *context)
{
    struct attachment *attachment = &context->attachments[ATTACH_SLOTS_OF_TRANSPORT];
    struct slots *slots = attachment->object;

    if (slots == NULL) {
        slots = tn_alloc(&context->memory, sizeof *slots);
        if (slots == NULL)
            return NULL;
        slots->context = context;
        tn_list_init(&slots->waiting);
        attachment->object = slots;
        attachment->destroy = slots_free;
    }
    return slots;
}

static bool has_slot(const struct slots *slots)
{
    return slots->taken < tn_setting_integer(&slots->context->settings, SETTING_TRANSPORT_CONNECTIONS);
}

static void wake_next(const struct slots *slots)
{
    if (!tn_list_empty(&slots->waiting) && has_slot(slots))
        tn_co_wake(&TN_CONTAINER(slots->waiting.next, struct request, waiting)->co);
}

/* Takes a place among those that may run, or stands in line. */
static bool take_slot(struct request *request)
{
    struct slots *slots = slots_of(request->context);

    if (slots == NULL)
        return true;
    if (!request->holds_slot && has_slot(slots)) {
        tn_unlink(&request->waiting);
        slots->taken++;
        request->holds_slot = true;
        wake_next(slots);
    } else if (!request->holds_slot && !tn_linked(&request->waiting))
        tn_list_add(&slots->waiting, &request->waiting);
    return request->holds_slot;
}

static void give_slot(struct request *request)
{
    struct slots *slots = request->context->attachments[ATTACH_SLOTS_OF_TRANSPORT].object;

    if (slots == NULL)
        return;
    tn_unlink(&request->waiting);
    slots->taken -= request->holds_slot;
    request->holds_slot = false;
    wake_next(slots);
}

/* ---- hooks of the exchange ---- */

static bool is_good(int32_t status)
{
    return status >= 200 && status < 300;
}

static enum exchange_take answer_started(struct exchange *exchange)
{
    struct request *request = exchange->owner;
    tenon_status status = TENON_OK;

    request->active_ms = tn_now(request->context);
    request->status = exchange->status;
    if (is_good(exchange->status) && request->begun != NULL)
        status = request->begun(request);
    request->hook_status = status;
    return status == TENON_OK ? EXCHANGE_TAKEN : EXCHANGE_ABORT;
}

/* Keeps bytes in memory, up to the limit; what an error page has beyond it is of no use. */
static tenon_status keep_bytes(struct request *request, const char *bytes, size_t size)
{
    bool good = is_good(request->status);
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
    bool hooked = is_good(request->status) && request->data != NULL;
    tenon_status status = hooked ? request->data(request, bytes, size) : keep_bytes(request, bytes, size);
    enum exchange_take take = EXCHANGE_TAKEN;

    request->active_ms = tn_now(request->context);
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

    request->active_ms = tn_now(request->context);
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
        request->active_ms = tn_now(request->context);
        engine->resume(engine, &request->exchange);
    }
}

/* ---- one exchange ---- */

static void make_headers(struct request *request)
{
    const char *application = tn_setting_text(&request->context->settings, SETTING_TRANSPORT_USER_AGENT);
    struct text *lines = &request->sent_headers;

    tn_text_reset(lines);
    tn_text_add(lines, tn_text(&request->headers));
    tn_text_format(lines, "User-Agent: %s%stenon/%s\n", application != NULL ? application : "", application != NULL ? " " : "",
                   tenon_version());
    if (request->bearer != NULL &&
        (request->hops == 0 ||
         tn_url_same_origin(&request->context->memory, tn_text(&request->url), tn_text(&request->final_url)) ||
         tn_url_is_upgrade(&request->context->memory, tn_text(&request->url), tn_text(&request->final_url))))
        tn_text_format(lines, "Authorization: Bearer %s\n", request->bearer);
    if (!request->decode)
        tn_text_add(lines, "Accept-Encoding: identity\n");
    lines->failed = lines->failed || request->headers.failed;
}

/* This machine is never reached through a proxy: it would be another machine's. */
static void set_proxy(struct request *request)
{
    const struct settings *settings = &request->context->settings;
    bool tls = tn_starts_with(tn_text(&request->final_url), "https:");
    const char *proxy = tn_setting_text(settings, tls ? SETTING_TRANSPORT_HTTPS_PROXY : SETTING_TRANSPORT_HTTP_PROXY);
    const char *no_proxy = tn_setting_text(settings, SETTING_TRANSPORT_NO_PROXY);
    struct text *hosts = &request->sent_headers;
    size_t at;

    /* Kept behind the headers, which have a NUL of their own in between. */
    tn_text_add_char(hosts, '\0');
    at = hosts->length;
    tn_text_format(hosts, "localhost,127.0.0.1,::1%s%s", no_proxy != NULL ? "," : "", no_proxy != NULL ? no_proxy : "");
    request->exchange.proxy = proxy != NULL ? proxy : "";
    request->exchange.no_proxy = no_proxy != NULL && strcmp(no_proxy, "*") == 0 ? "*" : tn_text(hosts) + at;
}

static tenon_status start_exchange(struct request *request)
{
    struct engine *engine = tn_engine(request->context);
    struct exchange *exchange = &request->exchange;

    make_headers(request);
    set_proxy(request);
    if (engine == NULL || request->sent_headers.failed || request->url.failed)
        return tn_fail_memory(&request->failure);
    tn_text_reset(&request->answer);
    exchange->method = request->method;
    exchange->url = tn_text(&request->final_url);
    exchange->headers = tn_text(&request->sent_headers);
    exchange->body = request->body;
    exchange->body_size = request->upload != NULL ? request->upload_size : (int64_t)request->body_size;
    exchange->decode = request->decode;
    exchange->large = request->data != NULL;
    exchange->ca_file = tn_setting_text(&request->context->settings, SETTING_TRANSPORT_CA_FILE);
    exchange->ca_folder = tn_setting_text(&request->context->settings, SETTING_TRANSPORT_CA_FOLDER);
    exchange->started = answer_started;
    exchange->data = answer_data;
    exchange->upload = request->upload != NULL ? body_upload : NULL;
    exchange->ended = exchange_ended;
    exchange->owner = request;
    request->hook_status = TENON_OK;
    request->timed_out = false;
    request->paused = false;
    request->active_ms = tn_now(request->context);
    tn_log(request->context, TENON_LOG_DEBUG, "transport", "%s %.*s", request->method,
           (int)strcspn(exchange->url, "?#"), exchange->url);
    return engine->start(engine, exchange) == TENON_OK ? TENON_OK : tn_fail_memory(&request->failure);
}

/* When the next of the three clocks runs out; which one, for the message. */
static int64_t next_deadline(const struct request *request, const char **clock)
{
    const struct settings *settings = &request->context->settings;
    int64_t total = request->stream ? 0 : tn_setting_integer(settings, SETTING_TRANSPORT_TOTAL_MS);
    int64_t deadline;

    if (!request->exchange.connected) {
        *clock = "the connection did not stand";
        deadline = request->active_ms + tn_setting_integer(settings, SETTING_TRANSPORT_CONNECT_MS);
    } else {
        *clock = "the other side was silent";
        deadline = request->active_ms + tn_setting_integer(settings, SETTING_TRANSPORT_IDLE_MS);
        if (request->paused)
            deadline = INT64_MAX;
    }
    if (total > 0 && request->started_ms + total < deadline) {
        *clock = "the request was not done";
        deadline = request->started_ms + total;
    }
    return deadline;
}

/* True when the exchange has ended, or a clock has ended it. Sets the timer for the next look. */
static bool exchange_over(struct request *request)
{
    int64_t now = tn_now(request->context), deadline;
    const char *clock;

    if (request->exchange.end != EXCHANGE_RUNS)
        return true;
    deadline = next_deadline(request, &clock);
    if (now >= deadline) {
        struct text shown;

        tn_text_init(&shown, &request->context->memory, URL_LIMIT);
        tn_url_show(tn_text(&request->final_url), &shown);
        tn_fail(&request->failure, TENON_ERROR_TIMEOUT, "%s: %s within %" PRId64 " ms", tn_text(&shown), clock,
                now - (strcmp(clock, "the request was not done") == 0 ? request->started_ms : request->active_ms));
        tn_hint(&request->failure, "Check the connection, or raise the settings transport.connect_ms, idle_ms or total_ms.");
        tn_text_clear(&shown);
        request->timed_out = true;
        stop_exchange(request);
    } else if (!tn_timer_running(&request->timer) || request->timer.due_ms > deadline)
        tn_timer_set(request->context, &request->timer, deadline - now, &request->co);
    return request->timed_out;
}

/* ---- what an end means ---- */

static tenon_status fail_exchange(struct request *request)
{
    static const struct {
        enum exchange_end end;
        tenon_status status;
        const char *message, *hint;
    } meanings[] = {
        { EXCHANGE_NO_HOST, TENON_ERROR_NETWORK, "cannot be reached", "Check the address and the network; behind a proxy set HTTPS_PROXY." },
        { EXCHANGE_CUT, TENON_ERROR_NETWORK, "the line was cut", "Try again; check the network or the proxy if it happens often." },
        { EXCHANGE_NO_TLS, TENON_ERROR_TLS, "no trusted connection", "If an authority of your own signs, name its file in the setting transport.ca_file (SSL_CERT_FILE)." },
        { EXCHANGE_NO_PROXY, TENON_ERROR_NETWORK, "the proxy cannot be used", "Check the settings transport.https_proxy and transport.http_proxy." },
        { EXCHANGE_NONSENSE, TENON_ERROR_PROTOCOL, "the answer is no valid HTTP", "Check that the address is that of the service and no proxy changes the answer." },
        { EXCHANGE_BAD_URL, TENON_ERROR_ARGUMENT, "is no usable address", "An address begins with https:// or http://." },
    };
    struct text shown;
    tenon_status status = TENON_ERROR_MEMORY;

    if (request->timed_out)
        return request->failure.status;
    if (request->exchange.end == EXCHANGE_ABORTED)
        return request->hook_status;
    tn_text_init(&shown, &request->context->memory, URL_LIMIT);
    tn_url_show(tn_text(&request->final_url), &shown);
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].end == request->exchange.end) {
            status = tn_fail(&request->failure, meanings[i].status, "%s: %s (%s)", tn_text(&shown), meanings[i].message,
                             request->exchange.reason);
            tn_hint(&request->failure, "%s", meanings[i].hint);
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

/* The first words a service has for its error: {"error": "..."}, {"error": {"message": "..."}}, {"message": "..."} ... */
static const char *words_of_json(const json_t *json)
{
    static const char *const keys[] = { "error", "error_description", "message", "detail" };
    const char *words = NULL;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && words == NULL; i++) {
        json_t *member = tn_json_member(json, keys[i]);

        words = json_string_value(member);
        if (words == NULL && json_is_object(member))
            words = tn_json_text(member, "message");
        else if (words == NULL && json_is_array(member))
            words = json_string_value(json_array_get(member, 0));
    }
    if (words == NULL)
        words = tn_json_text(json_array_get(tn_json_member(json, "errors"), 0), "message");
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
        words = words_of_json(json);
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
    if (request->status == 401)
        tn_hint(&request->failure, "%s", request->bearer != NULL ? "Check the token: it may be wrong or expired."
                                                                  : "A token is needed; set HF_TOKEN or give one.");
    else if (request->status == 429)
        tn_hint(&request->failure, "Wait %" PRId64 " s and try again, or use a token of an account with a higher limit.",
                request->retry_after_ms >= 0 ? (request->retry_after_ms + 999) / 1000 : 60);
    else if (request->status >= 500)
        tn_hint(&request->failure, "The service has a problem of its own; try again later.");
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

/* "Wed, 21 Oct 2026 07:28:00 GMT" as ms since 1970; -1 for anything else. */
static int64_t parse_date(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "";
    int day, year, hour, minute, second;
    const char *found;
    int64_t days;

    if (sscanf(text, "%*3s, %d %3s %d %d:%d:%d GMT", &day, month, &year, &hour, &minute, &second) != 6)
        return -1;
    found = strstr(months, month);
    if (found == NULL || year < 1970 || year > 9999 || day < 1 || day > 31)
        return -1;
    /* Days since 1970 by the civil calendar, years beginning in March. */
    {
        int m = (int)(found - months) / 3 + 1;
        int64_t y = m <= 2 ? year - 1 : year;
        int64_t era = y / 400, of_era = y - era * 400, of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + day - 1;

        days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    }
    return ((days * 24 + hour) * 60 + minute) * 60000 + (int64_t)second * 1000;
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

/* How long to pause before the request is repeated; -1 when it is not. */
static int64_t pause_before_repeat(struct request *request)
{
    enum exchange_end end = request->exchange.end;
    bool absent = end == EXCHANGE_NO_HOST || end == EXCHANGE_NO_PROXY;
    bool passing = request->timed_out || end == EXCHANGE_CUT || absent;
    /* Nobody there is seldom passing, and whoever mistyped an address wants to hear it soon. */
    int32_t retries = absent && request->retries > ABSENT_RETRIES ? ABSENT_RETRIES : request->retries;
    int64_t asked = -1, pause = -1;

    request->retry_after_ms = -1;
    if (end == EXCHANGE_DONE && is_passing(request->status)) {
        passing = true;
        asked = asked_pause(request);
        request->retry_after_ms = asked >= 0 ? asked : own_pause(request);
    }
    if (!passing || !request->repeatable || request->delivered || request->attempt >= retries)
        return -1;
    if (request->upload != NULL && (request->rewind == NULL || !request->rewind(request)))
        return -1;
    pause = asked >= 0 ? asked : own_pause(request);
    return pause <= tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_WAIT_MS) ? pause : -1;
}

static void note_repeat(struct request *request, int64_t pause_ms)
{
    request->attempt++;
    if (request->retry_count != NULL)
        (*request->retry_count)++;
    tn_log(request->context, TENON_LOG_WARNING, "transport", "%s: %s; again in %" PRId64 " ms", request->what,
           request->failure.message != NULL ? request->failure.message : "no answer", pause_ms);
}

/* ---- redirects ---- */

static bool is_redirect(int32_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
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
        *status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: HTTP %d leads to no http or https address", request->what,
                          (int)request->status);
        goto done;
    }
    if (request->redirects == REDIRECT_SAME_ORIGIN && !tn_url_same_origin(memory, tn_text(&request->final_url), tn_text(&target)))
        goto done;
    if (tn_starts_with(tn_text(&request->final_url), "https:") && tn_starts_with(tn_text(&target), "http:")) {
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
    tn_text_reset(&request->final_url);
    tn_text_add(&request->final_url, tn_text(&target));
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
    else if (!is_good(request->status) && !kept && !request->any_status)
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
    for (;;) {
        AWAIT(co, take_slot(request));
        status = start_exchange(request);
        if (status == TENON_OK)
            AWAIT(co, exchange_over(request));
        tn_timer_stop(co->context, &request->timer);
        give_slot(request);
        status = request->failure.status == TENON_ERROR_MEMORY ? TENON_ERROR_MEMORY : TENON_OK;
        if (status != TENON_OK)
            break;
        if (follow_redirect(request, &status))
            continue;
        if (status != TENON_OK)
            break;
        pause = pause_before_repeat(request);
        status = conclude(request);
        if (status == TENON_OK || pause < 0)
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
    request->attempt = 0;
    request->hops = 0;
    request->delivered = false;
    request->retry_after_ms = -1;
    tn_co_start(&request->co, request->context, request_step, waiter);
}
