#include "request.h"

#include <inttypes.h>
#include <string.h>

#include "clocks.h"
#include "hop.h"
#include "meaning.h"
#include "policy.h"
#include "queue.h"
#include "redirect.h"
#include "url.h"

enum { HEADERS_LIMIT = 64 * 1024 };

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
    request->silence = SETTING_TRANSPORT_IDLE_MS;
    request->retries = (int32_t)tn_setting_integer(&context->settings, SETTING_TRANSPORT_RETRIES);
    tn_failure_init(&request->failure, memory, &context->secrets);
    tn_text_init(&request->url, memory, URL_LIMIT);
    tn_text_init(&request->headers, memory, HEADERS_LIMIT);
    tn_text_init(&request->sent, memory, 2 * HEADERS_LIMIT);
    tn_text_init(&request->final_url, memory, URL_LIMIT);
    tn_text_init(&request->origin, memory, URL_LIMIT);
    tn_text_init(&request->answer, memory, request->body_limit);
    tn_text_init(&request->exchange.answer, memory, HEADERS_LIMIT);
}

void tn_request_clear(struct request *request)
{
    if (request->context == NULL)
        return;
    tn_co_stop(&request->co);
    tn_hop_stop(request);
    tn_timer_stop(request->context, &request->timer);
    tn_timer_stop(request->context, &request->pause);
    tn_queue_leave(request);
    tn_failure_clear(&request->failure);
    tn_text_clear(&request->url);
    tn_text_clear(&request->headers);
    tn_text_clear(&request->sent);
    tn_text_clear(&request->final_url);
    tn_text_clear(&request->origin);
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
        tn_text_add_all(&request->headers, name, ": ", value, "\n", NULL);
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

/* ---- before anything is sent ---- */

/* Is it something that can be sent? */
static tenon_status check_question(struct request *request)
{
    struct failure *failure = &request->failure;
    tenon_status status = TENON_OK;

    tn_text_reset(&request->origin);
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
    else if (!tn_url_origin(tn_text(&request->url), &request->origin) && !request->origin.failed) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "%s: \"%s\" is no usable address", request->what, tn_text(&request->url));
        tn_hint(failure, "An address begins with https:// or http://.");
    }
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

        if (proxy != NULL)
            status = tn_url_add_secret(proxy, secrets);
    }
    return status == TENON_OK ? status : tn_fail_memory(&request->failure);
}

/* ---- the coroutine ---- */

/* Outcome of the exchange that is over, when it is neither repeated nor redirected. */
static tenon_status conclude(struct request *request)
{
    bool answer = request->exchange.end == EXCHANGE_DONE;
    bool kept = answer && tn_redirect_is(request) && request->redirects != REDIRECT_FOLLOW;
    tenon_status status = TENON_OK;

    if (!answer)
        status = tn_meaning_of_end(request);
    else if (!tn_response_is_good(request) && !kept && !request->any_status)
        status = tn_meaning_of_status(request);
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
        status = tn_hop_start(request);
        if (status == TENON_OK)
            AWAIT(co, tn_clocks_over(request));
        tn_timer_stop(co->context, &request->timer);
        tn_queue_leave(request);
        if (request->failure.status == TENON_ERROR_MEMORY)
            status = TENON_ERROR_MEMORY;
        if (status != TENON_OK)
            break;
        if (tn_redirect_follow(request, &status))
            continue;
        if (status != TENON_OK)
            break;
        pause = tn_policy_pause(request);
        status = conclude(request);
        if (pause < 0)
            break;
        tn_policy_note(request, pause);
        tn_failure_clear(&request->failure);
        tn_timer_set(co->context, &request->pause, pause, co);
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
