#include "hop.h"

#include <string.h>

#include "request.h"
#include "url.h"

enum { ERROR_BODY = 64 * 1024 };

/* ---- its hooks ---- */

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

/* ---- what it is told ---- */

static void make_headers(struct request *request)
{
    const char *application = tn_setting_text(&request->context->settings, SETTING_TRANSPORT_USER_AGENT);
    struct text *lines = &request->sent;
    const char *at = NULL;
    size_t length = 0;

    tn_text_reset(lines);
    tn_text_add(lines, tn_text(&request->headers));
    tn_text_add_all(lines, "User-Agent: ", application != NULL ? application : "", application != NULL ? " " : "", "tenon/",
                    tenon_version(), "\n", NULL);
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

    if (proxy == NULL || tn_url_is_listed(url, "localhost,127.0.0.1,::1") || (direct != NULL && tn_url_is_listed(url, direct)))
        proxy = "";
    return proxy;
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

/* ---- its life ---- */

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

tenon_status tn_hop_start(struct request *request)
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
    exchange->large = request->large;
    exchange->apart = request->apart_from != NULL && !tn_url_same_origin(exchange->url, request->apart_from);
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

void tn_hop_stop(struct request *request)
{
    struct engine *engine = request->exchange.inside != NULL ? tn_engine(request->context) : NULL;

    if (engine != NULL)
        engine->cancel(engine, &request->exchange);
}

bool tn_hop_rewind(struct request *request)
{
    return request->upload == NULL || (request->rewind != NULL && request->rewind(request));
}
