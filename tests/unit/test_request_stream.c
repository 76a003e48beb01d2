/* Bodies that stream, both ways, with readers and writers that have no time; memory that runs out; forked children. */
#define _GNU_SOURCE
#include "with_asking.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "events.h"
#include "hash.h"
#include "json.h"
#include "loop.h"

static void finish(void)
{
    while (tn_co_running(&asking->request.co))
        asking_turn(asking, -1);
}

/* The hash of the first bytes of /bytes/N, which are the same for every N. */
static void hash_of_bytes(int64_t size, char *hex)
{
    struct request *request = &asking->request;

    tn_request_reset(request);
    asking_url(asking, web->url, "/bytes/%lld", (long long)size);
    request->body_limit = (size_t)size;
    good(ask(asking));
    assert_int_equal(tn_hash_bytes(HASH_SHA256, tn_text(&request->answer), request->answer.length, hex, &request->failure), TENON_OK);
    tn_request_reset(request);
}

/* ---- a reader ---- */

struct reader {
    struct hash hash;
    size_t size;
    size_t stop_at;  /* pauses once when so much has come; 0: never */
    bool every;      /* pauses before every piece */
    bool again;      /* the piece that was paused comes again */
    int pauses;
    int begun;
    tenon_status end_begun, end; /* what the hooks give */
    size_t end_at;
};

static tenon_status reader_begun(struct request *request)
{
    struct reader *reader = request->owner;

    reader->begun++;
    assert_int_equal(request->status, 200);
    if (reader->end_begun != TENON_OK)
        return tn_fail(&request->failure, reader->end_begun, "not begun");
    return tn_hash_start(&reader->hash, HASH_SHA256, 0, &request->failure);
}

static tenon_status reader_data(struct request *request, const char *bytes, size_t size)
{
    struct reader *reader = request->owner;

    if ((reader->every && !reader->again) || (reader->stop_at > 0 && reader->size >= reader->stop_at)) {
        reader->stop_at = 0;
        reader->again = true;
        reader->pauses++;
        return TENON_AGAIN;
    }
    reader->again = false;
    if (reader->end_at > 0 && reader->size + size > reader->end_at)
        return tn_fail(&request->failure, reader->end, "told to end");
    tn_hash_add(&reader->hash, bytes, size);
    reader->size += size;
    return TENON_OK;
}

static void read_with(struct reader *reader, const char *base, const char *path)
{
    tn_request_reset(&asking->request);
    asking_url(asking, base, "%s", path);
    asking->request.owner = reader;
    asking->request.begun = reader_begun;
    asking->request.data = reader_data;
    asking->request.stream = true;
    tn_request_start(&asking->request, NULL);
}

static void turn_until_paused(void)
{
    while (!asking->request.paused && tn_co_running(&asking->request.co))
        tn_loop_step(asking->context, -1);
    assert_true(asking->request.paused);
}

static int64_t sent_by_simulator(void)
{
    json_t *requests = web_control(web, "GET", "requests", NULL);
    int64_t sent = tn_json_integer(json_array_get(requests, json_array_size(requests) - 1), "sent", -1);

    json_decref(requests);
    return sent;
}

/* ---- downloads ---- */

/* The line fills, and then the sender waits: nothing piles up here. And the clocks stand still. */
static void a_reader_without_time_stops_the_sender(void **state)
{
    const int64_t size = 300000000;
    struct reader reader = { .stop_at = 1000000 };
    char path[50];
    int64_t sent;

    (void)state;
    snprintf(path, sizeof path, "/bytes/%lld", (long long)size);
    asking->clock.runs = false;
    read_with(&reader, web->url, path);
    turn_until_paused();
    for (int hour = 0; hour < 5; hour++) {
        asking->clock.now_ms += 3600 * 1000;
        tn_loop_step(asking->context, 20);
        asking_settle();
    }
    sent = sent_by_simulator();
    assert_true(sent < size / 4);
    assert_true(reader.size < 3000000);
    assert_true(tn_co_running(&asking->request.co));
    tn_request_resume(&asking->request);
    finish();
    good(asking->request.co.status);
    assert_int_equal(reader.size, size);
    tn_hash_stop(&reader.hash);
}

static void nothing_is_lost_in_a_pause(void **state)
{
    static const char *const faults[] = { "[]", "{\"path\":\"/bytes\",\"length\":\"chunked\"}", "{\"path\":\"/bytes\",\"length\":\"absent\"}",
                                          "{\"path\":\"/bytes\",\"gzip\":true}" };
    char expected[TN_HEX_MOST + 1], hex[TN_HEX_MOST + 1];

    (void)state;
    hash_of_bytes(3000000, expected);
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct reader reader = { .every = true };

        web_clear(web);
        web_fault(web, faults[i]);
        read_with(&reader, web->url, "/bytes/3000000");
        asking->request.decode = true;
        while (tn_co_running(&asking->request.co)) {
            if (asking->request.paused)
                tn_request_resume(&asking->request);
            else
                tn_loop_step(asking->context, -1);
        }
        good(asking->request.co.status);
        assert_int_equal(reader.size, 3000000);
        assert_true(reader.pauses > 10);
        assert_int_equal(tn_hash_end(&reader.hash, hex, &asking->request.failure), TENON_OK);
        assert_string_equal(hex, expected);
    }
}

/* After a pause silence counts anew. */
static void the_clock_runs_again_after_a_pause(void **state)
{
    struct reader reader = { .every = true };

    (void)state;
    web_fault(web, "{\"path\":\"/bytes\",\"stall\":{\"after\":1000}}");
    asking->clock.runs = false;
    read_with(&reader, web->url, "/bytes/1000000");
    turn_until_paused();
    asking->clock.now_ms += 3600 * 1000;
    asking_settle();
    asking->clock.now_ms += 3600 * 1000;
    asking_settle();
    tn_request_resume(&asking->request);
    asking_settle();
    assert_int_equal(reader.size, 1000);
    asking->clock.now_ms += 29999;
    asking_settle();
    assert_true(tn_co_running(&asking->request.co));
    asking->clock.now_ms += 1;
    asking_settle();
    assert_int_equal(asking->request.co.status, TENON_ERROR_TIMEOUT);
    tn_hash_stop(&reader.hash);
    web_clear(web);
}

static void a_reader_ends_it(void **state)
{
    struct reader early = { .end_begun = TENON_ERROR_CONFLICT }, late = { .end = TENON_ERROR_DISK_FULL, .end_at = 100000 };

    (void)state;
    read_with(&early, web->url, "/bytes/1000000");
    finish();
    assert_int_equal(asking->request.co.status, TENON_ERROR_CONFLICT);
    assert_string_equal(asking->request.failure.message, "not begun");
    assert_int_equal(early.begun, 1);
    read_with(&late, web->url, "/bytes/1000000");
    finish();
    assert_int_equal(asking->request.co.status, TENON_ERROR_DISK_FULL);
    assert_true(late.size > 0 && late.size <= 100000);
    tn_hash_stop(&late.hash);
    assert_int_equal(web_count(web, "/bytes"), 2);
}

/* What was kept during the pause is refused when it comes again: then nothing may follow it. */
static void a_reader_ends_it_when_resumed(void **state)
{
    struct reader reader = { .stop_at = 1, .end = TENON_ERROR_DISK_FULL };

    (void)state;
    read_with(&reader, web->url, "/bytes/50000000");
    turn_until_paused();
    reader.end_at = reader.size;
    tn_request_resume(&asking->request);
    finish();
    assert_int_equal(asking->request.co.status, TENON_ERROR_DISK_FULL);
    assert_string_equal(asking->request.failure.message, "told to end");
    assert_int_equal(reader.size, reader.end_at);
    tn_hash_stop(&reader.hash);
    /* And the context goes on. */
    good(ask_for(asking, web->url, "/echo"));
}

/* Errors are no content: their bodies do not go to the reader. */
static void an_error_is_no_content(void **state)
{
    struct reader reader = { .size = 0 };

    (void)state;
    read_with(&reader, web->url, "/body?status=404&text={\"error\":\"words\"}");
    finish();
    assert_int_equal(asking->request.co.status, TENON_ERROR_NOT_FOUND);
    assert_int_equal(reader.begun, 0);
    assert_int_equal(reader.size, 0);
    assert_non_null(strstr(asking->request.failure.message, "words"));
    read_with(&reader, web->url, "/redirect?to=/bytes/10");
    finish();
    good(asking->request.co.status);
    assert_int_equal(reader.begun, 1);
    assert_int_equal(reader.size, 10);
    tn_hash_stop(&reader.hash);
}

/* ---- server-sent events ---- */

static tenon_status count_event(void *owner, const char *name, const char *data, size_t size)
{
    int *count = owner;

    assert_int_equal(strlen(data), size);
    if (strcmp(data, "[DONE]") != 0) {
        assert_string_equal(name, "count");
        ++*count;
    } else
        *count += 1000;
    return TENON_OK;
}

static tenon_status feed_events(struct request *request, const char *bytes, size_t size)
{
    return tn_events_feed(request->owner, bytes, size);
}

static void events_stream(void **state)
{
    struct events events;
    int count = 0;

    (void)state;
    tn_events_init(&events, &asking->context->memory, 10000);
    events.event = count_event;
    events.owner = &count;
    asking_url(asking, web->url, "/events");
    asking->request.owner = &events;
    asking->request.data = feed_events;
    asking->request.stream = true;
    web_fault(web, "{\"path\":\"/events\",\"slow\":5000}");
    good(ask(asking));
    assert_int_equal(count, 1020);
    tn_events_clear(&events);
}

/* ---- uploads ---- */

struct writer {
    size_t size;
    size_t given;
    size_t stop_at; /* pauses once when so much was given */
    size_t fail_at;
    int rewinds;
};

static ptrdiff_t writer_upload(struct request *request, char *buffer, size_t size)
{
    struct writer *writer = request->owner;

    if (writer->stop_at > 0 && writer->given >= writer->stop_at) {
        writer->stop_at = 0;
        return -1;
    }
    if (writer->fail_at > 0 && writer->given >= writer->fail_at) {
        tn_fail(&request->failure, TENON_ERROR_IO, "the file cannot be read");
        return -2;
    }
    if (size > writer->size - writer->given)
        size = writer->size - writer->given;
    for (size_t i = 0; i < size; i++)
        buffer[i] = (char)((writer->given + i) * 7);
    writer->given += size;
    return (ptrdiff_t)size;
}

static bool writer_rewind(struct request *request)
{
    struct writer *writer = request->owner;

    writer->given = 0;
    writer->rewinds++;
    return true;
}

static void hash_of_writer(size_t size, char *hex)
{
    char *bytes = malloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7);
    assert_int_equal(tn_hash_bytes(HASH_SHA256, bytes, size, hex, &asking->request.failure), TENON_OK);
    free(bytes);
}

static void write_with(struct writer *writer, const char *path, bool known)
{
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "%s", path);
    asking->request.method = "PUT";
    asking->request.owner = writer;
    asking->request.upload = writer_upload;
    asking->request.rewind = writer_rewind;
    asking->request.upload_size = known ? (int64_t)writer->size : -1;
    asking->request.repeatable = true;
}

static void expect_arrived(const struct writer *writer)
{
    char hex[TN_HEX_MOST + 1];
    json_t *echo = asking_json(asking);

    hash_of_writer(writer->size, hex);
    assert_string_equal(tn_json_text(echo, "method"), "PUT");
    assert_int_equal(tn_json_integer(echo, "size", -1), (int64_t)writer->size);
    assert_string_equal(tn_json_text(echo, "sha256"), hex);
    json_decref(echo);
}

static void bodies_are_streamed(void **state)
{
    static const size_t sizes[] = { 0, 1, 65536, 3000000 };

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int known = 0; known < 2; known++) {
            struct writer writer = { .size = sizes[i] };

            write_with(&writer, "/echo", known);
            good(ask(asking));
            expect_arrived(&writer);
        }
}

static void a_writer_without_time(void **state)
{
    struct writer writer = { .size = 3000000, .stop_at = 1000000 };

    (void)state;
    write_with(&writer, "/echo", true);
    tn_request_start(&asking->request, NULL);
    turn_until_paused();
    asking->clock.now_ms += 3600 * 1000;
    asking_settle();
    assert_true(tn_co_running(&asking->request.co));
    tn_request_resume(&asking->request);
    finish();
    good(asking->request.co.status);
    expect_arrived(&writer);
}

static void a_writer_that_fails(void **state)
{
    struct writer writer = { .size = 3000000, .fail_at = 1000000 };

    (void)state;
    write_with(&writer, "/echo", true);
    assert_int_equal(ask(asking), TENON_ERROR_IO);
    assert_string_equal(asking->request.failure.message, "the file cannot be read");
    assert_int_equal(writer.rewinds, 0);
}

static void a_body_is_sent_again(void **state)
{
    struct writer writer = { .size = 200000 };

    (void)state;
    web_fault(web, "{\"path\":\"/echo\",\"times\":2,\"status\":503}");
    write_with(&writer, "/echo", true);
    good(ask(asking));
    assert_int_equal(writer.rewinds, 2);
    expect_arrived(&writer);
    /* What cannot be wound back is not repeated. */
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"times\":1,\"status\":503}");
    writer = (struct writer){ .size = 200000 };
    write_with(&writer, "/echo", true);
    asking->request.rewind = NULL;
    assert_int_equal(ask(asking), TENON_ERROR_UNAVAILABLE);
    assert_int_equal(web_count(web, "/echo"), 1);
}

static void a_body_follows_a_redirect(void **state)
{
    struct writer writer = { .size = 200000 };

    (void)state;
    write_with(&writer, "/redirect?to=/echo&status=307", true);
    good(ask(asking));
    expect_arrived(&writer);
    writer = (struct writer){ .size = 200000 };
    write_with(&writer, "/redirect?to=/echo&status=307", true);
    asking->request.rewind = NULL;
    assert_int_equal(ask(asking), TENON_ERROR_PROTOCOL);
    assert_non_null(strstr(asking->request.failure.message, "cannot be sent again"));
    /* After 303 there is no body, and nothing to be wound back. */
    writer = (struct writer){ .size = 200000 };
    write_with(&writer, "/redirect?to=/bytes/5&status=303", true);
    asking->request.rewind = NULL;
    good(ask(asking));
    assert_int_equal(asking->request.answer.length, 5);
}

/* As long as bytes of the body leave us the other side is not silent, although it says nothing. */
static void a_slow_reader_is_not_silent(void **state)
{
    enum { SIZE = 24 << 20, BITE = 4 << 20 };
    char *body = calloc(1, SIZE);
    int64_t bitten = 0;

    (void)state;
    asking->clock.runs = false;
    asking_url(asking, web->raw, "/eat");
    asking->request.method = "POST";
    asking->request.body = body;
    asking->request.body_size = SIZE;
    asking->request.retries = 0;
    /* Or libcurl waits, by its own clock, for a word that does not come. */
    tn_request_header(&asking->request, "Expect", "");
    tn_request_start(&asking->request, NULL);
    while (tn_co_running(&asking->request.co)) {
        if (bitten < SIZE) {
            json_decref(web_control(web, "POST", "appetite", "{\"bytes\":4194304}"));
            bitten += BITE;
        }
        for (int quiet = 0; quiet < 3 && tn_co_running(&asking->request.co);)
            quiet = tn_loop_step(asking->context, 20) == TENON_OK ? 0 : quiet + 1;
        if (bitten < SIZE)
            asking->clock.now_ms += 20000;
    }
    good(asking->request.co.status);
    assert_true(asking->clock.now_ms >= 60000);
    free(body);
}

/* The other side closes the line while we send: an error, but no signal that would end the process. */
static void a_broken_line_is_no_signal(void **state)
{
    size_t size = 30 << 20;
    char *body = calloc(1, size);

    (void)state;
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    for (int i = 0; i < 3; i++) {
        tn_request_reset(&asking->request);
        asking_url(asking, web->raw, "/hex/");
        asking->request.method = "POST";
        asking->request.body = body;
        asking->request.body_size = size;
        assert_int_equal(ask(asking), TENON_ERROR_NETWORK);
    }
    free(body);
}

/* ---- memory ---- */

/* A redirect, an answer that is not there at first, JSON, and a download. */
static tenon_status ask_much(struct test_memory *counts)
{
    static struct test_log log;
    struct test_clock now = { .runs = true };
    struct reader reader = { .size = 0 };
    struct request request;
    tenon_context *context = NULL;
    json_t *json = NULL;
    tenon_status status;

    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"times\":1,\"status\":503}");
    log = (struct test_log){ .length = 0 };
    status = test_try_open(&(struct test_hooks){ .memory = counts, .clock = &now, .log = &log, .level = TENON_LOG_DEBUG }, &context);
    if (status != TENON_OK)
        return status;
    tenon_context_set(context, "transport.backoff_ms", "0");
    tn_request_init(&request, context);
    tn_request_url(&request, "%s/redirect?to=/echo", web->url);
    tn_request_header(&request, "X-One", "1");
    request.bearer = "hf_token";
    tn_request_start(&request, NULL);
    while (tn_co_running(&request.co))
        tn_loop_step(context, -1);
    status = request.co.status;
    if (status == TENON_OK)
        status = tn_response_json(&request, &json);
    json_decref(json);
    if (status == TENON_OK) {
        tn_request_reset(&request);
        tn_request_url(&request, "%s/bytes/10000", web->url);
        request.begun = reader_begun;
        request.data = reader_data;
        request.owner = &reader;
        tn_request_start(&request, NULL);
        while (tn_co_running(&request.co))
            tn_loop_step(context, -1);
        status = request.co.status;
        assert_true(status != TENON_OK || reader.size == 10000);
    }
    if (status == TENON_ERROR_MEMORY)
        assert_int_equal(request.failure.status, TENON_ERROR_MEMORY);
    else if (status != TENON_OK)
        print_message("%s\n", request.failure.message);
    tn_hash_stop(&reader.hash);
    tn_request_clear(&request);
    tenon_context_free(context);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(ask_much);
}

/* One that starves does not take the others' memory of what they were doing: they fail clearly, or go on. */
static tenon_status ask_many(struct test_memory *counts)
{
    struct test_clock now = { .runs = true };
    struct request requests[3];
    tenon_context *context = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts, .clock = &now }, &context);

    if (status != TENON_OK)
        return status;
    for (int i = 0; i < 3; i++) {
        tn_request_init(&requests[i], context);
        tn_request_url(&requests[i], "%s/bytes/1000", i == 2 ? web->other : web->url);
        tn_request_start(&requests[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        while (tn_co_running(&requests[i].co))
            tn_loop_step(context, -1);
        if (requests[i].co.status != TENON_OK && requests[i].co.status != TENON_ERROR_MEMORY)
            fail_msg("%s", requests[i].failure.message);
        if (status == TENON_OK)
            status = requests[i].co.status;
    }
    for (int i = 0; i < 3; i++)
        tn_request_clear(&requests[i]);
    tenon_context_free(context);
    return status;
}

static void many_without_memory(void **state)
{
    (void)state;
    test_every_failure(ask_many);
}

/* ---- a forked child ---- */

static void leave_in_child(void *user)
{
    (void)user;
    if (tenon_context_step(asking->context, 0) != TENON_ERROR_MISUSE)
        _exit(1);
    tn_request_clear(&asking->request);
    tenon_context_free(asking->context);
}

static void a_forked_child_leaves_the_parents_connections(void **state)
{
    struct reader reader = { .stop_at = 100000 };
    json_t *requests;

    (void)state;
    read_with(&reader, web->url, "/bytes/5000000");
    turn_until_paused();
    assert_int_equal(test_in_child(leave_in_child, NULL), 0);
    tn_request_resume(&asking->request);
    finish();
    good(asking->request.co.status);
    assert_int_equal(reader.size, 5000000);
    tn_hash_stop(&reader.hash);
    good(ask_for(asking, web->url, "/bytes/10"));
    assert_int_equal(test_in_child(leave_in_child, NULL), 0);
    good(ask_for(asking, web->url, "/bytes/10"));
    requests = web_control(web, "GET", "requests", NULL);
    for (size_t i = 1; i < json_array_size(requests); i++)
        assert_int_equal(tn_json_integer(json_array_get(requests, i), "connection", -1),
                         tn_json_integer(json_array_get(requests, 0), "connection", -2));
    json_decref(requests);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_set_up, asking_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_without_time_stops_the_sender),
        TEST(nothing_is_lost_in_a_pause),
        TEST(the_clock_runs_again_after_a_pause),
        TEST(a_reader_ends_it),
        TEST(a_reader_ends_it_when_resumed),
        TEST(an_error_is_no_content),
        TEST(events_stream),
        TEST(bodies_are_streamed),
        TEST(a_writer_without_time),
        TEST(a_writer_that_fails),
        TEST(a_body_is_sent_again),
        TEST(a_body_follows_a_redirect),
        TEST(a_slow_reader_is_not_silent),
        TEST(a_broken_line_is_no_signal),
        TEST(without_memory),
        TEST(many_without_memory),
        TEST(a_forked_child_leaves_the_parents_connections),
    };

    return cmocka_run_group_tests(tests, web_start, web_stop);
}
