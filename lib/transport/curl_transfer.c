#include "curl_transfer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "curl_code.h"
#include "process.h"
#include "url.h"

enum { LARGE_BUFFER = 256 * 1024, ONCE_IDLE_S = 2 };

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
        size_t begin = answer->length;

        tn_text_add_n(answer, line, length);
        tn_text_add_char(answer, '\n');
        if (!answer->failed && memchr(line, ':', length) != NULL)
            for (char *at = answer->data + begin; *at != ':'; at++)
                *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
    return answer->failed ? 0 : size * count;
}

void tn_transfer_moved(struct transfer *transfer)
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
        tn_transfer_moved(transfer);
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
    tn_transfer_moved(transfer);
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
        tn_transfer_moved(transfer);
    }
    return 0;
}

/* ---- its options ---- */

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
    if (exchange->apart)
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* Where TLS tells soon whether many requests can share the connection. Plain HTTP tells it with the first answer only. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, tn_url_is_tls(exchange->url) && !exchange->apart ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, tn_engine_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->owner);
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

/* ---- its life ---- */

struct transfer *tn_transfer_of(CURL *easy)
{
    char *transfer = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    return (struct transfer *)(void *)transfer;
}

/*
 * Takes a transfer apart. Its easy handle is not kept for the next one: before 8.1.1 libcurl's store of headers remembers
 * the last header of the handle's last answer after it was freed, and a server whose next answer begins with a folded line
 * has it written to (curl issue 11101). Nothing is lost by it, connections and names belong to the multi handle.
 */
void tn_transfer_free(struct transfer *transfer)
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

tenon_status tn_transfer_new(struct curl_engine *engine, struct exchange *exchange)
{
    struct transfer *transfer = tn_alloc(&engine->context->memory, sizeof *transfer);
    tenon_status status = TENON_ERROR_MEMORY;

    if (transfer != NULL)
        transfer->easy = curl_easy_init();
    if (transfer != NULL && transfer->easy != NULL) {
        transfer->owner = engine;
        transfer->exchange = exchange;
        exchange->inside = transfer;
        tn_list_add(&engine->transfers, &transfer->link);
        if (set_options(transfer) == TENON_OK && curl_multi_add_handle(engine->multi, transfer->easy) == CURLM_OK)
            status = TENON_OK;
        else
            tn_transfer_free(transfer);
    } else
        tn_release(&engine->context->memory, transfer);
    return status;
}

static enum exchange_end end_of(const struct transfer *transfer, CURLcode code, const char *words)
{
    enum exchange_end end = tn_curl_end(code, words);
    const struct text *answer = &transfer->exchange->answer;
    long tunnel = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
    if (transfer->aborted)
        end = EXCHANGE_ABORTED;
    else if (answer->failed && code != CURLE_OK)
        end = answer->full ? EXCHANGE_NONSENSE : EXCHANGE_NO_MEMORY;
    else if (transfer->starved)
        end = EXCHANGE_NO_MEMORY;
    else if (tn_curl_may_be_nonsense(code) && transfer->exchange->connected && !transfer->final)
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

void tn_transfer_finish(struct transfer *transfer, CURLcode code)
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
        exchange->tls_fault = tn_curl_fault(code, words);
    }
    tn_transfer_free(transfer);
    exchange->ended(exchange);
}
