/* Requests that are repeated, that run out of time, that stand in line, and that are cancelled at every moment. */
#define _GNU_SOURCE
#include "with_asking.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "json.h"
#include "loop.h"

static void set(const char *key, const char *value)
{
    assert_int_equal(tenon_context_set(asking->context, key, value), TENON_OK);
}

/* ---- names that take their time ---- */

static pthread_mutex_t resolving = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolved = PTHREAD_COND_INITIALIZER;
static bool held; /* slow.test is not answered */
static int asked_for_names;

/* Stands before the C library's, also for libcurl. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&real, &symbol, sizeof real);
    pthread_mutex_lock(&resolving);
    asked_for_names++;
    pthread_cond_broadcast(&resolved);
    while (held && strcmp(name, "slow.test") == 0)
        pthread_cond_wait(&resolved, &resolving);
    asked_for_names--;
    pthread_cond_broadcast(&resolved);
    pthread_mutex_unlock(&resolving);
    if (strcmp(name, "absent.test") == 0 || strcmp(name, "slow.test") == 0)
        return EAI_NONAME;
    return real(strcmp(name, "web.test") == 0 ? "127.0.0.1" : name, service, hints, list);
}

static void hold_names(bool hold)
{
    pthread_mutex_lock(&resolving);
    held = hold;
    pthread_cond_broadcast(&resolved);
    while (!hold && asked_for_names > 0)
        pthread_cond_wait(&resolved, &resolving);
    pthread_mutex_unlock(&resolving);
}

static void wait_for_resolver(void)
{
    pthread_mutex_lock(&resolving);
    while (asked_for_names == 0)
        pthread_cond_wait(&resolved, &resolving);
    pthread_mutex_unlock(&resolving);
}

/* ---- lines that hold back what is sent ---- */

static int times_held, still_held;

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    int (*real)(int, int, int, const void *, socklen_t);
    void *symbol = dlsym(RTLD_NEXT, "setsockopt");

    memcpy(&real, &symbol, sizeof real);
    if (level == IPPROTO_TCP && name == TCP_CORK) {
        int on = *(const int *)value;

        times_held += on;
        still_held += on ? 1 : -1;
    }
    return real(fd, level, name, value, size);
}

/* ---- a port that lets nobody in: its queue is full ---- */

struct full_port {
    int fds[8];
    int port;
};

static void full_port_open(struct full_port *full)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    full->fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(full->fds[0], (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(full->fds[0], 0), 0);
    assert_int_equal(getsockname(full->fds[0], (struct sockaddr *)&address, &size), 0);
    full->port = ntohs(address.sin_port);
    for (size_t i = 1; i < COUNT(full->fds); i++) {
        full->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(full->fds[i], (struct sockaddr *)&address, sizeof address);
    }
}

static void full_port_close(struct full_port *full)
{
    for (size_t i = 0; i < COUNT(full->fds); i++)
        close(full->fds[i]);
}

/* ---- repeating ---- */

static void expect_pauses(int count, int64_t first, int64_t second, int64_t third)
{
    const int64_t expected[] = { first, second, third };

    if (asking->pause_count != count)
        fail_msg("%d pauses and not %d: %s", asking->pause_count, count, asking->log.text);
    for (int i = 0; i < count && i < 3; i++)
        if (asking->pauses[i] != expected[i])
            fail_msg("pause %d is %lld and not %lld", i, (long long)asking->pauses[i], (long long)expected[i]);
}

static void what_passes_is_repeated(void **state)
{
    static const int passing[] = { 408, 429, 500, 502, 503, 504 };
    int64_t repeated = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(passing); i++) {
        char fault[200];

        web_clear(web);
        snprintf(fault, sizeof fault, "{\"path\":\"/echo\",\"times\":2,\"status\":%d}", passing[i]);
        web_fault(web, fault);
        tn_request_reset(&asking->request);
        asking_url(asking, web->url, "/echo");
        asking->request.retry_count = &repeated;
        asking->request.bearer = "hf_token";
        good(ask(asking));
        json_decref(asking_json(asking));
        expect_pauses(2, 500, 1000, 0);
        assert_int_equal(web_count(web, "/echo"), 3);
    }
    assert_int_equal(repeated, 2 * COUNT(passing));
}

static void what_does_not_pass_is_not(void **state)
{
    static const int lasting[] = { 400, 401, 403, 404, 409, 416, 501, 505 };

    (void)state;
    for (size_t i = 0; i < COUNT(lasting); i++) {
        char path[100];

        snprintf(path, sizeof path, "/body?status=%d", lasting[i]);
        assert_true(ask_for(asking, web->url, path) < 0);
        assert_int_equal(asking->request.failure.retry_after_ms, -1);
    }
    assert_int_equal(web_count(web, "/body"), COUNT(lasting));
}

static void pauses_double_and_chance_takes_off(void **state)
{
    (void)state;
    set("transport.retries", "7");
    web_fault(web, "{\"path\":\"/echo\",\"status\":503}");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_UNAVAILABLE);
    expect_pauses(7, 500, 1000, 2000);
    assert_int_equal(asking->pauses[3], 4000);
    assert_int_equal(asking->pauses[4], 8000);
    assert_int_equal(asking->pauses[5], 8000);
    assert_true(asking->request.failure.retry_after_ms > 0);
    asking->clock.chance = 0xff;
    set("transport.backoff_ms", "100");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_UNAVAILABLE);
    expect_pauses(7, 50, 100, 200);
    set("transport.retries", "0");
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"status\":503}");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_UNAVAILABLE);
    expect_pauses(0, 0, 0, 0);
    assert_int_equal(web_count(web, "/echo"), 1);
}

static void servers_may_ask_for_a_pause(void **state)
{
    static const struct {
        const char *headers;
        int status;
        int64_t pause;
    } rows[] = {
        { "\"Retry-After\":\"3\"", 503, 3000 },
        { "\"Retry-After\":\"0\"", 429, 0 },
        { "\"Retry-After\":\"Fri, 15 Jan 2027 08:00:07 GMT\"", 503, 7000 },
        { "\"Retry-After\":\"Fri, 15 Jan 2027 07:00:00 GMT\"", 503, 0 },
        { "\"Retry-After\":\"nonsense\"", 503, 500 },
        { "\"Retry-After\":\"-5\"", 503, 500 },
        { "\"Retry-After\":\"Fri, 99 Xxx 2027 08:00:07 GMT\"", 503, 500 },
        { "\"RateLimit\":\"\\\"api\\\";r=0;t=55\"", 429, 56000 },
        { "\"RateLimit\":\"\\\"api\\\";r=0;t=55\"", 503, 500 },
        { "\"RateLimit\":\"\\\"api\\\";r=12;t=55\"", 429, 500 },
        { "\"RateLimit\":\"\\\"api\\\";r=0\"", 429, 500 },
        { "\"RateLimit\":\"r=0;t=-9\"", 429, 500 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char fault[300];

        web_clear(web);
        snprintf(fault, sizeof fault, "{\"path\":\"/echo\",\"times\":1,\"status\":%d,\"headers\":{%s}}", rows[i].status, rows[i].headers);
        web_fault(web, fault);
        good(ask_for(asking, web->url, "/echo"));
        expect_pauses(1, rows[i].pause, 0, 0);
    }
}

static void a_pause_that_is_too_long(void **state)
{
    tenon_error error = { .struct_size = sizeof error };

    (void)state;
    web_fault(web, "{\"path\":\"/echo\",\"status\":429,\"headers\":{\"Retry-After\":\"331\"}}");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_RATE_LIMITED);
    expect_pauses(0, 0, 0, 0);
    tn_failure_row(&asking->request.failure, &error);
    assert_int_equal(error.retry_after_ms, 331000);
    assert_true(tn_starts_with(error.hint, "Wait 331 s"));
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"times\":1,\"status\":429,\"headers\":{\"Retry-After\":\"330\"}}");
    good(ask_for(asking, web->url, "/echo"));
    expect_pauses(1, 330000, 0, 0);
    /* Absurd ones, and none that is longer than what is allowed; our own pauses are not meant. */
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"status\":429,\"headers\":{\"Retry-After\":\"99999999999999999\"}}");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_RATE_LIMITED);
    set("transport.wait_ms", "0");
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"times\":1,\"status\":503}");
    good(ask_for(asking, web->url, "/echo"));
    expect_pauses(1, 500, 0, 0);
}

static void a_post_is_not_repeated(void **state)
{
    (void)state;
    for (int marked = 0; marked < 2; marked++) {
        web_clear(web);
        web_fault(web, "{\"path\":\"/echo\",\"times\":1,\"status\":503,\"method\":\"POST\"}");
        tn_request_reset(&asking->request);
        asking_url(asking, web->url, "/echo");
        asking->request.method = "POST";
        asking->request.body = "abc";
        asking->request.body_size = 3;
        asking->request.repeatable = marked;
        assert_int_equal(ask(asking), marked ? TENON_OK : TENON_ERROR_UNAVAILABLE);
        assert_int_equal(web_count(web, "/echo"), marked ? 2 : 1);
        if (marked) {
            json_t *echo = asking_json(asking);

            assert_string_equal(tn_json_text(echo, "body"), "YWJj");
            json_decref(echo);
        } else
            assert_true(asking->request.failure.retry_after_ms >= 0);
    }
}

static void lines_that_are_cut(void **state)
{
    static const char *const faults[] = {
        "{\"path\":\"/bytes\",\"times\":2,\"cut\":{\"after\":0}}",
        "{\"path\":\"/bytes\",\"times\":2,\"cut\":{\"after\":500}}",
        "{\"path\":\"/bytes\",\"times\":2,\"cut\":{\"after\":500,\"reset\":true}}",
        "{\"path\":\"/bytes\",\"times\":2,\"cut\":{\"after\":500},\"length\":\"chunked\"}",
        "{\"path\":\"/bytes\",\"times\":2,\"length\":7}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        web_clear(web);
        web_fault(web, faults[i]);
        good(ask_for(asking, web->url, "/bytes/1000"));
        assert_int_equal(asking->request.answer.length, 1000);
        expect_pauses(2, 500, 1000, 0);
    }
    web_clear(web);
    web_fault(web, "{\"path\":\"/bytes\",\"cut\":{\"after\":500}}");
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "/bytes/1000");
    asking->request.retries = 1;
    assert_int_equal(ask(asking), TENON_ERROR_NETWORK);
    assert_true(asking->request.failure.retry_after_ms > 0);
}

static tenon_status count_bytes(struct request *request, const char *bytes, size_t size)
{
    (void)bytes;
    *(size_t *)request->owner += size;
    return TENON_OK;
}

/* Whoever has taken bytes knows better where to go on. */
static void nothing_is_repeated_behind_a_hooks_back(void **state)
{
    size_t count = 0;

    (void)state;
    web_fault(web, "{\"path\":\"/bytes\",\"cut\":{\"after\":500}}");
    asking_url(asking, web->url, "/bytes/1000");
    asking->request.data = count_bytes;
    asking->request.owner = &count;
    assert_int_equal(ask(asking), TENON_ERROR_NETWORK);
    assert_int_equal(count, 500);
    assert_int_equal(web_count(web, "/bytes"), 1);
    web_clear(web);
    web_fault(web, "{\"path\":\"/bytes\",\"times\":1,\"cut\":{\"after\":0}}");
    count = 0;
    good(ask(asking));
    assert_int_equal(count, 1000);
    assert_int_equal(web_count(web, "/bytes"), 2);
}

static void names_and_ports_that_are_not_there(void **state)
{
    (void)state;
    assert_int_equal(ask_for(asking, "http://absent.test", "/x"), TENON_ERROR_NETWORK);
    assert_non_null(strstr(asking->request.failure.message, "absent.test"));
    expect_pauses(2, 500, 1000, 0);
    {
        char address[100];

        snprintf(address, sizeof address, "http://web.test%s", strrchr(web->url, ':'));
        good(ask_for(asking, address, "/echo"));
    }
}

/* An HTTP error that is wanted as an answer is repeated all the same while it may pass. */
static void errors_that_are_answers(void **state)
{
    (void)state;
    web_fault(web, "{\"path\":\"/echo\",\"times\":1,\"status\":503}");
    asking_url(asking, web->url, "/echo");
    asking->request.any_status = true;
    good(ask(asking));
    assert_int_equal(asking->request.status, 200);
    expect_pauses(1, 500, 0, 0);
    web_fault(web, "{\"path\":\"/echo\",\"status\":503}");
    good(ask(asking));
    assert_int_equal(asking->request.status, 503);
    assert_int_equal(asking->pause_count, 5);
}

/* ---- clocks ---- */

/* Starts the request under a clock that stands still until the test moves it. */
static void start_without_time(void)
{
    asking->clock.runs = false;
    asking->request.retries = 0;
    tn_request_start(&asking->request, NULL);
    asking_settle();
}

/* Brings the request to where the simulator is silent. */
static void start_and_stall(const char *path, const char *fault)
{
    web_fault(web, fault);
    asking_url(asking, web->url, "%s", path);
    start_without_time();
    web_await(web, asking->context, "stalled", 1);
    assert_true(tn_co_running(&asking->request.co));
}

/* It ends just when that time has passed, and not before. */
static void expect_timeout(int64_t after_ms, const char *words)
{
    int64_t start = asking->clock.now_ms;

    asking->clock.now_ms = start + after_ms - 1;
    asking_settle();
    assert_true(tn_co_running(&asking->request.co));
    asking->clock.now_ms = start + after_ms;
    asking_settle();
    assert_int_equal(asking->request.co.status, TENON_ERROR_TIMEOUT);
    if (strstr(asking->request.failure.message, words) == NULL)
        fail_msg("%s", asking->request.failure.message);
    assert_true(asking->request.failure.retry_after_ms > 0);
}

static void the_clock_of_the_connection(void **state)
{
    struct full_port full;

    (void)state;
    full_port_open(&full);
    asking_url(asking, "http://127.0.0.1", ":%d/", full.port);
    start_without_time();
    expect_timeout(10000, ": the connection did not stand for 10000 ms");
    assert_non_null(strstr(asking->request.failure.hint, "transport.connect_ms"));
    full_port_close(&full);
}

static void the_clock_of_a_name(void **state)
{
    (void)state;
    hold_names(true);
    set("transport.connect_ms", "777");
    asking_url(asking, "http://slow.test", "/");
    start_without_time();
    wait_for_resolver();
    expect_timeout(777, "the connection did not stand for 777 ms");
    hold_names(false);
}

static void the_clock_of_silence(void **state)
{
    (void)state;
    start_and_stall("/echo", "{\"path\":\"/echo\",\"stall_headers\":true}");
    expect_timeout(30000, "/echo: the other side was silent for 30000 ms");
    tn_request_reset(&asking->request);
    web_clear(web);
    set("transport.idle_ms", "1000");
    start_and_stall("/bytes/1000", "{\"path\":\"/bytes\",\"stall\":{\"after\":500}}");
    expect_timeout(1000, "the other side was silent for 1000 ms");
    web_clear(web);
}

static void the_clock_of_the_whole(void **state)
{
    (void)state;
    set("transport.total_ms", "5000");
    start_and_stall("/bytes/1000", "{\"path\":\"/bytes\",\"stall\":{\"after\":500}}");
    expect_timeout(5000, "the request was not done for 5000 ms");
    web_clear(web);
    /* Streams and downloads have no such limit. */
    tn_request_reset(&asking->request);
    asking->request.stream = true;
    start_and_stall("/bytes/1000", "{\"path\":\"/bytes\",\"stall\":{\"after\":500}}");
    expect_timeout(30000, "the other side was silent");
    web_clear(web);
}

/* The whole includes pauses and repetitions: none begins that could not end in time. */
static void the_whole_ends_repeating(void **state)
{
    (void)state;
    set("transport.total_ms", "1600");
    web_fault(web, "{\"path\":\"/echo\",\"status\":503}");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_UNAVAILABLE);
    assert_true(asking->pause_count <= 2);
}

static void time_outs_are_repeated(void **state)
{
    (void)state;
    start_and_stall("/echo", "{\"path\":\"/echo\",\"times\":1,\"stall_headers\":true}");
    asking->request.retries = 1;
    asking->clock.now_ms += 30000;
    asking_settle();
    assert_true(tn_timer_running(&asking->request.pause));
    asking->clock.now_ms += 500;
    asking->clock.runs = true;
    while (tn_co_running(&asking->request.co))
        tn_loop_step(asking->context, -1);
    good(asking->request.co.status);
    assert_int_equal(web_count(web, "/echo"), 2);
}

/* ---- standing in line ---- */

enum { MANY = 6 };

static void start_many(struct request *requests, const char *base)
{
    for (int i = 0; i < MANY; i++) {
        tn_request_init(&requests[i], asking->context);
        tn_request_url(&requests[i], "%s/bytes/%d", base, 1000 + i);
        tn_request_start(&requests[i], NULL);
    }
}

static void finish_many(struct request *requests)
{
    for (int i = 0; i < MANY; i++) {
        while (tn_co_running(&requests[i].co))
            tn_loop_step(asking->context, -1);
        if (requests[i].context != NULL && requests[i].co.status != TENON_ERROR_CANCELLED) {
            assert_int_equal(requests[i].co.status, TENON_OK);
            assert_int_equal(requests[i].answer.length, 1000 + i);
        }
        tn_request_clear(&requests[i]);
    }
}

/* The one line that stands while others begin. */
static void what_is_held_back_leaves_in_its_turn(void **state)
{
    struct request requests[MANY];

    (void)state;
    times_held = still_held = 0;
    start_and_stall("/echo", "{\"path\":\"/echo\",\"stall_headers\":true}");
    assert_int_equal(times_held, 0);
    start_many(requests, web->url);
    while (times_held == 0)
        tn_loop_step(asking->context, -1);
    assert_int_equal(times_held, 1);
    assert_int_equal(still_held, 0);
    finish_many(requests);
    web_clear(web);
    asking->clock.runs = true;
    while (tn_co_running(&asking->request.co))
        tn_loop_step(asking->context, -1);
    good(asking->request.co.status);
    assert_int_equal(still_held, 0);
}

static void only_so_many_at_once(void **state)
{
    struct request requests[MANY], others[MANY];

    (void)state;
    set("transport.connections", "2");
    web_fault(web, "{\"path\":\"/bytes\",\"origin\":\"web\",\"stall_headers\":true}");
    start_many(requests, web->url);
    web_await(web, asking->context, "stalled", 2);
    assert_int_equal(web_count(web, "/bytes"), 2);
    /* Another origin has a line of its own. */
    start_many(others, web->other);
    finish_many(others);
    assert_int_equal(web_count(web, "/bytes"), 2 + MANY);
    /* One that waits goes away, and one that runs: the next one comes. */
    tn_request_clear(&requests[2]);
    tn_request_clear(&requests[0]);
    web_await(web, asking->context, "finished", 1 + MANY);
    web_await(web, asking->context, "stalled", 2);
    assert_int_equal(web_count(web, "/bytes"), 3 + MANY);
    web_clear(web);
    finish_many(requests);
}

/* ---- cancelling ---- */

/* Cancels what is under way, which must not wait for anybody, and then asks something else on the same context. */
static void cancel_and_go_on(void)
{
    tn_request_clear(&asking->request);
    tn_request_clear(&asking->request);
    asking->clock.runs = true;
    asking_settle();
    tn_request_init(&asking->request, asking->context);
    asking_url(asking, web->url, "/bytes/10");
    good(ask(asking));
    assert_int_equal(asking->request.answer.length, 10);
}

static void cancelled_before_it_began(void **state)
{
    (void)state;
    asking_url(asking, web->url, "/echo");
    tn_request_start(&asking->request, NULL);
    cancel_and_go_on();
    assert_int_equal(web_count(web, "/echo"), 0);
}

/* The thread that looks up the name is still busy, and nobody waits for it. */
static void cancelled_while_a_name_is_looked_up(void **state)
{
    (void)state;
    hold_names(true);
    asking_url(asking, "http://slow.test", "/");
    start_without_time();
    wait_for_resolver();
    cancel_and_go_on();
    hold_names(false);
}

static void cancelled_while_connecting(void **state)
{
    struct full_port full;

    (void)state;
    full_port_open(&full);
    asking_url(asking, "http://127.0.0.1", ":%d/", full.port);
    start_without_time();
    cancel_and_go_on();
    full_port_close(&full);
}

/* The simulator sees at once that the client has left. */
static void cancelled_while_the_other_side_is_silent(void **state)
{
    (void)state;
    start_and_stall("/echo", "{\"path\":\"/echo\",\"stall_headers\":true}");
    tn_request_clear(&asking->request);
    web_await(web, asking->context, "finished", 1);
    cancel_and_go_on();
}

static void cancelled_in_the_body(void **state)
{
    (void)state;
    start_and_stall("/bytes/1000000", "{\"path\":\"/bytes\",\"stall\":{\"after\":500000},\"times\":1}");
    tn_request_clear(&asking->request);
    web_await(web, asking->context, "finished", 1);
    cancel_and_go_on();
}

static tenon_status take_nothing(struct request *request, const char *bytes, size_t size)
{
    (void)request;
    (void)bytes;
    (void)size;
    return TENON_AGAIN;
}

static void cancelled_while_paused(void **state)
{
    (void)state;
    asking_url(asking, web->url, "/bytes/10000000");
    asking->request.data = take_nothing;
    tn_request_start(&asking->request, NULL);
    while (!asking->request.paused)
        tn_loop_step(asking->context, -1);
    cancel_and_go_on();
}

static void cancelled_between_two_tries(void **state)
{
    (void)state;
    web_fault(web, "{\"path\":\"/echo\",\"status\":503}");
    asking_url(asking, web->url, "/echo");
    tn_request_start(&asking->request, NULL);
    while (!tn_timer_running(&asking->request.pause))
        tn_loop_step(asking->context, -1);
    cancel_and_go_on();
    assert_int_equal(web_count(web, "/echo"), 1);
}

/* With everything under way the context itself is freed; nothing may be left of it (the sanitizers watch). */
static void the_context_goes_with_requests_under_way(void **state)
{
    struct request requests[MANY];

    (void)state;
    web_fault(web, "{\"path\":\"/bytes\",\"stall\":{\"after\":500}}");
    start_many(requests, web->url);
    web_await(web, asking->context, "stalled", MANY);
    for (int i = 0; i < MANY; i++)
        tn_request_clear(&requests[i]);
    web_clear(web);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_set_up, asking_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_passes_is_repeated),
        TEST(what_does_not_pass_is_not),
        TEST(pauses_double_and_chance_takes_off),
        TEST(servers_may_ask_for_a_pause),
        TEST(a_pause_that_is_too_long),
        TEST(a_post_is_not_repeated),
        TEST(lines_that_are_cut),
        TEST(nothing_is_repeated_behind_a_hooks_back),
        TEST(names_and_ports_that_are_not_there),
        TEST(errors_that_are_answers),
        TEST(the_clock_of_the_connection),
        TEST(the_clock_of_a_name),
        TEST(the_clock_of_silence),
        TEST(the_clock_of_the_whole),
        TEST(the_whole_ends_repeating),
        TEST(time_outs_are_repeated),
        TEST(what_is_held_back_leaves_in_its_turn),
        TEST(only_so_many_at_once),
        TEST(cancelled_before_it_began),
        TEST(cancelled_while_a_name_is_looked_up),
        TEST(cancelled_while_connecting),
        TEST(cancelled_while_the_other_side_is_silent),
        TEST(cancelled_in_the_body),
        TEST(cancelled_while_paused),
        TEST(cancelled_between_two_tries),
        TEST(the_context_goes_with_requests_under_way),
    };

    return cmocka_run_group_tests(tests, web_start, web_stop);
}
