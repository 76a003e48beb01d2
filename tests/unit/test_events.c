#include "support.h"

#include <stdio.h>
#include <string.h>

#include "events.h"

struct heard {
    char text[4096];
    size_t length;
    int count;
    int stop_at; /* the event that ends the feeding; 0: none */
};

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

static tenon_status hear(void *owner, const char *name, const char *data, size_t size)
{
    struct heard *heard = owner;

    assert_int_equal(strlen(name) < 257, true);
    assert_true(heard->length + size + strlen(name) + 4 < sizeof heard->text);
    heard->length += (size_t)snprintf(heard->text + heard->length, sizeof heard->text - heard->length, "%s[", name);
    memcpy(heard->text + heard->length, data, size);
    heard->length += size;
    heard->text[heard->length++] = ']';
    heard->text[heard->length] = '\0';
    return ++heard->count == heard->stop_at ? TENON_ERROR_FAILED : TENON_OK;
}

/* Feeds the stream in pieces of that size. */
static tenon_status feed(struct heard *heard, const char *stream, size_t size, size_t piece, size_t limit)
{
    struct events events;
    tenon_status status = TENON_OK;

    tn_events_init(&events, &memory, limit);
    events.event = hear;
    events.owner = heard;
    for (size_t at = 0; at < size && status == TENON_OK; at += piece)
        status = tn_events_feed(&events, stream + at, size - at < piece ? size - at : piece);
    tn_events_clear(&events);
    return status;
}

/* After the examples of the HTML standard, section 9.2.6, and more. */
static void streams(void **state)
{
    static const struct {
        const char *stream, *heard;
    } rows[] = {
        { "data: YHOO\ndata: +2\ndata: 10\n\n", "[YHOO\n+2\n10]" },
        { ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n", "[first event][second event]" },
        { "data\n\ndata\ndata\n\ndata:\n", "[][\n]" },
        { "data:test\n\ndata: test\n\n", "[test][test]" },
        { "event: ping\ndata: {}\n\ndata: x\n\n", "ping[{}][x]" },
        { "event: ping\n\n", "" },
        { "data: a\r\n\r\ndata: b\r\rdata: c\n\n", "[a][b][c]" },
        { "\xef\xbb\xbf" "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "[a]" },
        { "retry: 10\nodd: x\n:\ndata: a:b: c\n\n", "[a:b: c]" },
        { "data: no end", "" },
        { "data: no end\n", "" },
        { "\n\n\r\n\r\r", "" },
        { "Data: x\n\n datax: y\n\ndata : z\n\n", "" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].stream); piece++) {
            struct heard heard = { .text = "" };

            assert_int_equal(feed(&heard, rows[i].stream, strlen(rows[i].stream), piece, 1000), TENON_OK);
            assert_string_equal(heard.text, rows[i].heard);
        }
}

static void the_hook_ends_it(void **state)
{
    static const char stream[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    struct heard heard = { .text = "", .stop_at = 2 };

    (void)state;
    assert_int_equal(feed(&heard, stream, strlen(stream), 100, 1000), TENON_ERROR_FAILED);
    assert_string_equal(heard.text, "[a][b]");
}

static void events_are_bounded(void **state)
{
    struct heard heard = { .text = "" };
    char line[200];

    (void)state;
    memset(line, 'x', sizeof line);
    memcpy(line, "data: ", 6);
    assert_int_equal(feed(&heard, line, sizeof line, 10, 100), TENON_ERROR_MEMORY);
    /* Many short lines of one event count together. */
    memset(line, '\n', sizeof line);
    for (size_t i = 0; i + 8 <= sizeof line; i += 8)
        memcpy(line + i, "data: x\n", 8);
    assert_int_equal(feed(&heard, line, sizeof line, 10, 40), TENON_ERROR_MEMORY);
    assert_int_equal(heard.count, 0);
}

static void an_absurd_name_is_no_name(void **state)
{
    struct heard heard = { .text = "" };
    char stream[400];

    (void)state;
    memset(stream, 'x', sizeof stream);
    memcpy(stream, "event: ", 7);
    memcpy(stream + 380, "\ndata: a\n\n", 11);
    assert_int_equal(feed(&heard, stream, 390, 7, 1000), TENON_OK);
    assert_string_equal(heard.text, "[a]");
}

static void foreign_bytes_do_no_harm(void **state)
{
    static const char stream[] = "da\0ta: x\n\ndata\0: y\n\ndata: a\0b\n\n\0\n\n:\0\n";
    struct heard heard = { .text = "" };
    uint32_t seed = 1;
    char noise[3000];

    (void)state;
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        heard = (struct heard){ .text = "" };
        assert_int_equal(feed(&heard, stream, sizeof stream - 1, piece, 1000), TENON_OK);
        assert_memory_equal(heard.text, "[a\0b]", 6);
    }
    for (int round = 0; round < 200; round++) {
        static const char letters[] = "dat:\n\r event\0\xef\xbb\xbf";

        for (size_t i = 0; i < sizeof noise; i++) {
            seed = seed * 1664525 + 1013904223;
            noise[i] = letters[seed >> 16 & 15];
        }
        heard = (struct heard){ .text = "", .stop_at = 40 };
        feed(&heard, noise, sizeof noise, 1 + (size_t)(seed >> 20 & 63), 2000);
    }
}

static tenon_status feed_failing(struct test_memory *counts)
{
    static const char stream[] = "event: a name of an event that is rather long, so that its text must grow more than once\n"
                                 "data: some data that is long enough for the text to grow more than once, too, and again\n"
                                 "data: and more\n\n";
    struct memory failing = test_memory(counts);
    struct heard heard = { .text = "" };
    struct events events;
    tenon_status status;

    tn_events_init(&events, &failing, 1000);
    events.event = hear;
    events.owner = &heard;
    status = tn_events_feed(&events, stream, strlen(stream));
    tn_events_clear(&events);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(feed_failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(the_hook_ends_it),
        cmocka_unit_test(events_are_bounded),
        cmocka_unit_test(an_absurd_name_is_no_name),
        cmocka_unit_test(foreign_bytes_do_no_harm),
        cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
