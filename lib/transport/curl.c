/* The engine over libcurl's multi handle: its sockets are watched by the context's loop, its timer is one of the loop's. */
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "curl_transfer.h"
#include "exchange.h"
#include "process.h"

enum { ANSWER_LIMIT = 256 * 1024 };

struct watched_socket {
    struct link link;
    struct source source;
    struct curl_engine *owner;
    bool held; /* what is sent waits */
};

/* ---- what has ended ---- */

static void finish_starved(struct curl_engine *engine)
{
    struct link *next;

    engine->starved = false;
    for (struct link *link = engine->transfers.next; link != &engine->transfers; link = next) {
        struct transfer *transfer = TN_CONTAINER(link, struct transfer, link);

        next = link->next;
        if (transfer->starved)
            tn_transfer_finish(transfer, CURLE_OUT_OF_MEMORY);
    }
}

/* Ends what libcurl has ended since it was last asked, and what cannot go on. */
static void settle(struct curl_engine *engine)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(engine->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result;

            tn_transfer_finish(tn_transfer_of(message->easy_handle), code);
        }
    while (engine->starved)
        finish_starved(engine);
}

/* ---- sockets and time ---- */

static void socket_ready(struct source *source, unsigned events)
{
    struct watched_socket *socket = TN_CONTAINER(source, struct watched_socket, source);
    struct curl_engine *engine = socket->owner;
    int bits = (events & TN_READABLE ? CURL_CSELECT_IN : 0) | (events & TN_WRITABLE ? CURL_CSELECT_OUT : 0);
    int running;

    curl_multi_socket_action(engine->multi, source->fd, bits, &running);
    settle(engine);
}

static void hold(struct watched_socket *socket, bool held)
{
    int value = held;

    /* One that is closed is watched no more. */
    if (socket->held != held && socket->source.watched)
        setsockopt(socket->source.fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
    socket->held = held;
}

/* Where several share one connection, what they ask in one turn leaves together: each packet alone costs as much as all. */
static void hold_shared(struct curl_engine *engine)
{
    struct link *only = engine->sockets.next;

    if (only != &engine->sockets && only->next == &engine->sockets && engine->transfers.next != engine->transfers.previous)
        hold(TN_CONTAINER(only, struct watched_socket, link), true);
}

static void let_go(struct curl_engine *engine)
{
    for (struct link *link = engine->sockets.next; link != &engine->sockets; link = link->next)
        hold(TN_CONTAINER(link, struct watched_socket, link), false);
}

/* Here is where transfers begin. */
static void timer_fired(struct timer *timer)
{
    struct curl_engine *engine = TN_CONTAINER(timer, struct curl_engine, timer);
    int running;

    hold_shared(engine);
    curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    let_go(engine);
    settle(engine);
}

static void forget_socket(struct curl_engine *engine, struct watched_socket *socket)
{
    if (!tn_forked(engine->context)) {
        hold(socket, false);
        tn_source_unwatch(&engine->context->loop, &socket->source);
    }
    tn_unlink(&socket->link);
    tn_release(&engine->context->memory, socket);
}

static struct watched_socket *remember_socket(struct curl_engine *engine, curl_socket_t fd)
{
    struct watched_socket *socket = tn_alloc(&engine->context->memory, sizeof *socket);

    if (socket != NULL) {
        socket->owner = engine;
        socket->source.fd = fd;
        socket->source.ready = socket_ready;
        tn_list_add(&engine->sockets, &socket->link);
        curl_multi_assign(engine->multi, fd, socket);
    }
    return socket;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct curl_engine *engine = user;
    struct watched_socket *socket = known;
    unsigned events = (what & CURL_POLL_IN ? TN_READABLE : 0) | (what & CURL_POLL_OUT ? TN_WRITABLE : 0);

    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            curl_multi_assign(engine->multi, fd, NULL);
            forget_socket(engine, socket);
        }
        return 0;
    }
    if (socket == NULL)
        socket = remember_socket(engine, fd);
    if (socket == NULL || tn_source_watch(&engine->context->loop, &socket->source, events) != TENON_OK)
        engine->starved = tn_transfer_of(easy)->starved = true;
    /* To say no would end all transfers, and libcurl 7.88 does not survive that where one has no connection yet. */
    return 0;
}

int tn_engine_close_socket(void *user, curl_socket_t fd)
{
    struct curl_engine *engine = user;

    for (struct link *link = engine->sockets.next; link != &engine->sockets; link = link->next) {
        struct watched_socket *socket = TN_CONTAINER(link, struct watched_socket, link);

        if (socket->source.fd == fd && !tn_forked(engine->context))
            tn_source_unwatch(&engine->context->loop, &socket->source);
    }
    return close(fd);
}

static int set_timer(CURLM *multi, long after_ms, void *user)
{
    struct curl_engine *engine = user;

    (void)multi;
    tn_timer_set(engine->context, &engine->timer, after_ms < 0 ? TN_NEVER : after_ms, NULL);
    return 0;
}

/* ---- what the engine does ---- */

static tenon_status engine_start(struct engine *base, struct exchange *exchange)
{
    struct curl_engine *engine = TN_CONTAINER(base, struct curl_engine, engine);

    exchange->end = EXCHANGE_RUNS;
    exchange->connected = false;
    exchange->active_ms = tn_now(engine->context);
    exchange->status = 0;
    exchange->reason[0] = '\0';
    tn_text_reset(&exchange->answer);
    exchange->answer.limit = ANSWER_LIMIT;
    return tn_transfer_new(engine, exchange);
}

static void engine_cancel(struct engine *base, struct exchange *exchange)
{
    (void)base;
    if (exchange->inside != NULL)
        tn_transfer_free(exchange->inside);
}

static void engine_resume(struct engine *base, struct exchange *exchange)
{
    struct curl_engine *engine = TN_CONTAINER(base, struct curl_engine, engine);
    struct transfer *transfer = exchange->inside;
    struct pipe_guard guard;
    CURLcode code;

    if (transfer == NULL)
        return;
    tn_transfer_moved(transfer);
    tn_pipe_block(&guard);
    /* What was kept is delivered in here. When that fails it is lost to the transfer, which must not go on. */
    code = curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    if (code != CURLE_OK)
        tn_transfer_finish(transfer, code);
    settle(engine);
    tn_pipe_restore(&guard);
}

/* ---- making it ---- */

static void engine_free(void *object)
{
    struct curl_engine *engine = object;
    struct tenon_context *context = engine->context;
    bool forked = tn_forked(context);
    struct link *link;

    while ((link = tn_list_take(&engine->transfers)) != NULL)
        tn_transfer_free(TN_CONTAINER(link, struct transfer, link));
    if (!forked) {
        struct pipe_guard guard;

        tn_pipe_block(&guard);
        curl_multi_cleanup(engine->multi);
        tn_pipe_restore(&guard);
        curl_global_cleanup();
    }
    /* In a forked child libcurl's own memory stays: giving it back would say goodbye on the parent's connections. */
    while ((link = tn_list_take(&engine->sockets)) != NULL)
        forget_socket(engine, TN_CONTAINER(link, struct watched_socket, link));
    /* Last of all: libcurl sets it once more when it says goodbye. */
    tn_timer_stop(context, &engine->timer);
    tn_release(&context->memory, engine);
}

static struct curl_engine *engine_new(struct tenon_context *context)
{
    struct curl_engine *engine = tn_alloc(&context->memory, sizeof *engine);

    if (engine == NULL)
        return NULL;
    engine->engine = (struct engine){ engine_start, engine_cancel, engine_resume };
    engine->context = context;
    engine->timer.fire = timer_fired;
    tn_list_init(&engine->transfers);
    tn_list_init(&engine->sockets);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        tn_release(&context->memory, engine);
        return NULL;
    }
    engine->multi = curl_multi_init();
    if (engine->multi == NULL) {
        curl_global_cleanup();
        tn_release(&context->memory, engine);
        return NULL;
    }
    curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine);
    curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine);
    return engine;
}

struct engine *tn_engine(struct tenon_context *context)
{
    struct attachment *attachment = &context->attachments[ATTACH_TRANSPORT];
    struct curl_engine *engine = attachment->object;

    if (engine == NULL) {
        engine = engine_new(context);
        if (engine == NULL)
            return NULL;
        attachment->object = engine;
        attachment->destroy = engine_free;
    }
    return &engine->engine;
}
