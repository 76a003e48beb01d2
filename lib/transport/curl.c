/* The engine over libcurl's multi handle: its sockets are watched by the context's loop, its timer is one of the loop's. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "exchange.h"
#include "process.h"
#include "url.h"

enum { ANSWER_LIMIT = 256 * 1024, LARGE_BUFFER = 256 * 1024, ONCE_IDLE_S = 2 };

struct curl_engine {
    struct engine engine;
    struct tenon_context *context;
    CURLM *multi;
    struct timer timer;
    struct link transfers;
    struct link sockets;
    bool starved; /* one of the transfers is */
};

struct transfer {
    struct link link;
    struct curl_engine *owner;
    struct exchange *exchange;
    CURL *easy;
    struct curl_slist *headers;
    int64_t moved; /* bytes of bodies, up and down */
    bool complete; /* the headers of this answer are */
    bool final;    /* it is no interim one, and the exchange knows of it */
    bool aborted;
    bool starved;  /* its socket could not be watched */
    bool unheard;  /* it was sent, the line was cut before any answer, and it may not be sent again */
    char error[CURL_ERROR_SIZE];
};

struct watched_socket {
    struct link link;
    struct source source;
    struct curl_engine *owner;
};

/* ---- what libcurl tells ---- */

/* Header lines of one answer: a status line begins anew, so that those of interim answers and of proxies are forgotten. */
static size_t take_header(char *line, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    struct text *answer = &transfer->exchange->answer;
    size_t length = size * count;

    if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        tn_text_reset(answer);
        transfer->complete = transfer->final = false;
        return length;
    }
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r' || line[length - 1] == ' '))
        length--;
    transfer->complete = transfer->complete || length == 0;
    if (length > 0 && !transfer->final) {
        const char *colon = memchr(line, ':', length);
        size_t name = colon != NULL ? (size_t)(colon - line) : 0;

        for (size_t i = 0; i < name; i++)
            tn_text_add_char(answer, line[i] >= 'A' && line[i] <= 'Z' ? (char)(line[i] - 'A' + 'a') : line[i]);
        tn_text_add_n(answer, line + name, length - name);
        tn_text_add_char(answer, '\n');
    }
    return answer->failed ? 0 : size * count;
}

static void note_activity(struct transfer *transfer)
{
    transfer->exchange->active_ms = tn_now(transfer->owner->context);
}

/* Tells the exchange once that the final answer has begun. */
static enum exchange_take begin(struct transfer *transfer)
{
    struct exchange *exchange = transfer->exchange;
    enum exchange_take take = EXCHANGE_TAKEN;
    long status = 0;

    if (!transfer->final) {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        exchange->status = (int32_t)status;
        note_activity(transfer);
        take = exchange->started(exchange);
        transfer->final = take == EXCHANGE_TAKEN;
    }
    return take;
}

static size_t take_data(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    enum exchange_take take = begin(transfer);
    size_t result = size * count;

    if (take == EXCHANGE_TAKEN)
        take = transfer->exchange->data(transfer->exchange, bytes, size * count);
    if (take == EXCHANGE_PAUSE)
        result = CURL_WRITEFUNC_PAUSE;
    else if (take == EXCHANGE_ABORT) {
        transfer->aborted = true;
        result = 0;
    }
    return result;
}

static size_t give_data(char *buffer, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    ptrdiff_t given = transfer->exchange->upload(transfer->exchange, buffer, size * count);

    if (given == -1)
        return CURL_READFUNC_PAUSE;
    if (given < 0) {
        transfer->aborted = true;
        return CURL_READFUNC_ABORT;
    }
    return (size_t)given;
}

/* Closed in whatever the host executes meanwhile. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int connection_stands(void *user, char *remote, char *local, int remote_port, int local_port)
{
    struct transfer *transfer = user;

    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    /* What got no answer on a line that was used before libcurl sends again by itself. */
    transfer->unheard = transfer->exchange->once && transfer->exchange->connected;
    transfer->exchange->connected = true;
    note_activity(transfer);
    return transfer->unheard ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Called often; only bytes that move tell that the other side lives. */
static int watch_progress(void *user, curl_off_t all_down, curl_off_t down, curl_off_t all_up, curl_off_t up)
{
    struct transfer *transfer = user;

    (void)all_down;
    (void)all_up;
    if (transfer->moved != down + up) {
        transfer->moved = down + up;
        note_activity(transfer);
    }
    return 0;
}

/* ---- sockets and time ---- */

static void settle(struct curl_engine *engine);

static void socket_ready(struct source *source, unsigned events)
{
    struct watched_socket *socket = TN_CONTAINER(source, struct watched_socket, source);
    struct curl_engine *engine = socket->owner;
    int bits = (events & TN_READABLE ? CURL_CSELECT_IN : 0) | (events & TN_WRITABLE ? CURL_CSELECT_OUT : 0);
    int running;

    curl_multi_socket_action(engine->multi, source->fd, bits, &running);
    settle(engine);
}

static void timer_fired(struct timer *timer)
{
    struct curl_engine *engine = TN_CONTAINER(timer, struct curl_engine, timer);
    int running;

    curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    settle(engine);
}

static void forget_socket(struct curl_engine *engine, struct watched_socket *socket)
{
    if (!tn_forked(engine->context))
        tn_source_unwatch(&engine->context->loop, &socket->source);
    tn_unlink(&socket->link);
    tn_release(&engine->context->memory, socket);
}

static struct transfer *transfer_of(CURL *easy)
{
    char *transfer = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    return (struct transfer *)(void *)transfer;
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
        engine->starved = transfer_of(easy)->starved = true;
    /* To say no would end all transfers, and libcurl 7.88 does not survive that where one has no connection yet. */
    return 0;
}

/* The timer keeps its place in the heap: libcurl would not survive that setting it fails while a transfer is added. */
static int set_timer(CURLM *multi, long after_ms, void *user)
{
    struct curl_engine *engine = user;

    (void)multi;
    return tn_timer_set(engine->context, &engine->timer, after_ms < 0 ? TN_NEVER : after_ms, NULL) == TENON_OK ? 0 : -1;
}

/* ---- the end of a transfer ---- */

static enum exchange_end meaning_of(CURLcode code)
{
    enum exchange_end end = EXCHANGE_CUT;

    switch (code) {
    case CURLE_OK:
        end = EXCHANGE_DONE;
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
        end = EXCHANGE_NO_HOST;
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
        end = EXCHANGE_NO_PROXY;
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        end = EXCHANGE_NO_TLS;
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        end = EXCHANGE_BAD_URL;
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        end = EXCHANGE_NONSENSE;
        break;
    case CURLE_OUT_OF_MEMORY:
        end = EXCHANGE_NO_MEMORY;
        break;
    default:
        break;
    }
    return end;
}

/*
 * Its words, too, for a header beyond its own limit, for an answer that does not begin as HTTP does, and for a first header
 * that goes on with one before it.
 */
static bool is_word_for_nonsense(CURLcode code)
{
    return code == CURLE_OUT_OF_MEMORY || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_BAD_FUNCTION_ARGUMENT;
}

/* It has one code for all that is wrong with a certificate; its words, and OpenSSL's, tell more. */
static enum tls_fault fault_of(CURLcode code, const char *words)
{
    static const struct {
        const char *words;
        enum tls_fault fault;
    } meanings[] = {
        { "expired", TLS_DATE },         { "not yet valid", TLS_DATE },         { "subject name", TLS_HOST },
        { "protocol version", TLS_VERSION }, { "unsupported protocol", TLS_VERSION }, { "wrong version number", TLS_PLAIN },
        { "http request", TLS_PLAIN },
    };
    enum tls_fault fault = code == CURLE_PEER_FAILED_VERIFICATION ? TLS_AUTHORITY : TLS_UNKNOWN;

    if (code == CURLE_SSL_CACERT_BADFILE)
        return TLS_FILE;
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (strstr(words, meanings[i].words) != NULL)
            return meanings[i].fault;
    return fault;
}

/* A line that is cut while TLS is being agreed on is a cut line, whatever its code says. */
static bool was_cut(CURLcode code, const char *words)
{
    static const char *const cuts[] = { "reset by peer", "Recv failure", "Send failure", "SSL_ERROR_SYSCALL", "unexpected eof", "Broken pipe" };
    bool cut = false;

    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0] && code == CURLE_SSL_CONNECT_ERROR; i++)
        cut = cut || strstr(words, cuts[i]) != NULL;
    return cut;
}

static enum exchange_end end_of(const struct transfer *transfer, CURLcode code, const char *words)
{
    enum exchange_end end = was_cut(code, words) ? EXCHANGE_CUT : meaning_of(code);
    const struct text *answer = &transfer->exchange->answer;
    long tunnel = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
    if (transfer->aborted)
        end = EXCHANGE_ABORTED;
    else if (answer->failed && code != CURLE_OK)
        end = answer->full ? EXCHANGE_NONSENSE : EXCHANGE_NO_MEMORY;
    else if (transfer->starved)
        end = EXCHANGE_NO_MEMORY;
    else if (is_word_for_nonsense(code) && transfer->exchange->connected && !transfer->final)
        end = EXCHANGE_NONSENSE;
    else if (code != CURLE_OK && tunnel >= 300)
        end = EXCHANGE_REFUSED;
    else if (end == EXCHANGE_NO_HOST && *transfer->exchange->proxy != '\0')
        /* With a proxy on the way it is the only one that is looked for. */
        end = EXCHANGE_NO_PROXY;
    if (end == EXCHANGE_REFUSED)
        transfer->exchange->status = (int32_t)tunnel;
    return end;
}

/*
 * Takes a transfer apart. Its easy handle is not kept for the next one: before 8.1.1 libcurl's store of headers remembers
 * the last header of the handle's last answer after it was freed, and a server whose next answer begins with a folded line
 * has it written to (curl issue 11101). Nothing is lost by it, connections and names belong to the multi handle.
 */
static void transfer_free(struct transfer *transfer)
{
    struct curl_engine *engine = transfer->owner;

    tn_unlink(&transfer->link);
    transfer->exchange->inside = NULL;
    if (!tn_forked(engine->context)) {
        struct pipe_guard guard;

        tn_pipe_block(&guard);
        curl_multi_remove_handle(engine->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
        tn_pipe_restore(&guard);
    }
    curl_slist_free_all(transfer->headers);
    tn_release(&engine->context->memory, transfer);
}

static void finish(struct transfer *transfer, CURLcode code)
{
    struct exchange *exchange = transfer->exchange;
    const char *words;

    /* libcurl takes a line that is cut within the headers for an answer. */
    if (code == CURLE_OK && !transfer->complete)
        code = CURLE_PARTIAL_FILE;
    /* An answer without a body has not begun yet. */
    if (code == CURLE_OK && begin(transfer) == EXCHANGE_ABORT)
        transfer->aborted = true;
    words = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
    words = transfer->unheard ? "no answer came" : words;
    exchange->end = end_of(transfer, code, words);
    if (exchange->end != EXCHANGE_DONE) {
        snprintf(exchange->reason, sizeof exchange->reason, "%.*s", (int)sizeof exchange->reason - 1, words);
        exchange->tls_fault = fault_of(code, words);
    }
    transfer_free(transfer);
    exchange->ended(exchange);
}

static void finish_starved(struct curl_engine *engine)
{
    struct link *next;

    engine->starved = false;
    for (struct link *link = engine->transfers.next; link != &engine->transfers; link = next) {
        struct transfer *transfer = TN_CONTAINER(link, struct transfer, link);

        next = link->next;
        if (transfer->starved)
            finish(transfer, CURLE_OUT_OF_MEMORY);
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

            finish(transfer_of(message->easy_handle), code);
        }
    while (engine->starved)
        finish_starved(engine);
}

/* ---- the start of a transfer ---- */

static tenon_status set_headers(struct transfer *transfer)
{
    const char *line = transfer->exchange->headers;

    while (line != NULL && *line != '\0') {
        size_t length = strcspn(line, "\n");
        char *copy = tn_copy_n(&transfer->owner->context->memory, line, length);
        struct curl_slist *list = copy != NULL ? curl_slist_append(transfer->headers, copy) : NULL;

        tn_release(&transfer->owner->context->memory, copy);
        if (list == NULL)
            return TENON_ERROR_MEMORY;
        transfer->headers = list;
        line += length;
        line += *line == '\n';
    }
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    return TENON_OK;
}

static void set_body(struct transfer *transfer)
{
    const struct exchange *exchange = transfer->exchange;
    CURL *easy = transfer->easy;

    if (strcmp(exchange->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (exchange->upload != NULL) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_data);
        curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)exchange->body_size);
    } else if (exchange->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body);
    }
    if (strcmp(exchange->method, "GET") != 0 && strcmp(exchange->method, "HEAD") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, exchange->method);
}

/* Everything is said explicitly: what is left out libcurl would read from the environment. */
static void set_network(struct transfer *transfer)
{
    const struct exchange *exchange = transfer->exchange;
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, exchange->proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (exchange->ca_file != NULL || exchange->ca_folder != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, exchange->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, exchange->ca_folder);
        curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, exchange->ca_file);
        curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, exchange->ca_folder);
    }
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Without it a cancel waits for the name to be resolved. Older libraries do not know it; they wait. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    /* Where TLS tells soon whether many requests can share the connection. Plain HTTP tells it with the first answer only. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, tn_url_is_tls(exchange->url) ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    /* A line that has been idle for long may be about to be closed. */
    if (exchange->once)
        curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)ONCE_IDLE_S);
}

static tenon_status set_options(struct transfer *transfer)
{
    const struct exchange *exchange = transfer->exchange;
    CURL *easy = transfer->easy;

    if (curl_easy_setopt(easy, CURLOPT_URL, exchange->url) != CURLE_OK)
        return TENON_ERROR_MEMORY;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, connection_stands);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (exchange->decode)
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    if (exchange->large)
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)LARGE_BUFFER);
    set_body(transfer);
    set_network(transfer);
    return set_headers(transfer);
}

static tenon_status engine_start(struct engine *base, struct exchange *exchange)
{
    struct curl_engine *engine = TN_CONTAINER(base, struct curl_engine, engine);
    struct transfer *transfer = tn_alloc(&engine->context->memory, sizeof *transfer);

    exchange->end = EXCHANGE_RUNS;
    exchange->connected = false;
    exchange->active_ms = tn_now(engine->context);
    exchange->status = 0;
    exchange->reason[0] = '\0';
    tn_text_reset(&exchange->answer);
    exchange->answer.limit = ANSWER_LIMIT;
    if (transfer == NULL)
        return TENON_ERROR_MEMORY;
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL) {
        tn_release(&engine->context->memory, transfer);
        return TENON_ERROR_MEMORY;
    }
    transfer->owner = engine;
    transfer->exchange = exchange;
    exchange->inside = transfer;
    tn_list_add(&engine->transfers, &transfer->link);
    if (set_options(transfer) != TENON_OK || curl_multi_add_handle(engine->multi, transfer->easy) != CURLM_OK) {
        transfer_free(transfer);
        return TENON_ERROR_MEMORY;
    }
    return TENON_OK;
}

static void engine_cancel(struct engine *base, struct exchange *exchange)
{
    (void)base;
    if (exchange->inside != NULL)
        transfer_free(exchange->inside);
}

static void engine_resume(struct engine *base, struct exchange *exchange)
{
    struct curl_engine *engine = TN_CONTAINER(base, struct curl_engine, engine);
    struct transfer *transfer = exchange->inside;
    struct pipe_guard guard;
    CURLcode code;

    if (transfer == NULL)
        return;
    note_activity(transfer);
    tn_pipe_block(&guard);
    /* What was kept is delivered in here. When that fails it is lost to the transfer, which must not go on. */
    code = curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    if (code != CURLE_OK)
        finish(transfer, code);
    settle(engine);
    tn_pipe_restore(&guard);
}

/* ---- the engine ---- */

static void engine_free(void *object)
{
    struct curl_engine *engine = object;
    struct tenon_context *context = engine->context;
    bool forked = tn_forked(context);
    struct link *link;

    while ((link = tn_list_take(&engine->transfers)) != NULL)
        transfer_free(TN_CONTAINER(link, struct transfer, link));
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
    if (tn_timer_set(context, &engine->timer, TN_NEVER, NULL) != TENON_OK || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        tn_timer_stop(context, &engine->timer);
        tn_release(&context->memory, engine);
        return NULL;
    }
    engine->multi = curl_multi_init();
    if (engine->multi == NULL) {
        curl_global_cleanup();
        tn_timer_stop(context, &engine->timer);
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
