/* Downloads under way: ranges, the journal with every kind of damage, and whose a download is. */
#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"
#include "names.h"
#include "partial.h"
#include "process.h"

#define SUFFIX ".tenon.incomplete"

static struct memory memory;
static struct failure failure;
static tenon_context *context;
static char *folder, *base, *journal_file, *target;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    context = test_open(NULL);
    folder = test_folder_make();
    base = test_join(folder, "etag");
    journal_file = test_join(folder, "etag.j1" SUFFIX);
    target = test_join(folder, "target");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    tn_failure_clear(&failure);
    free(base);
    free(journal_file);
    free(target);
    test_folder_remove(folder);
    return 0;
}

/* ---- ranges ---- */

static void ranges_are_sets(void **state)
{
    enum { SIZE = 97 };
    static uint32_t seed = 1;
    struct ranges ranges;
    bool has[SIZE + 1];

    (void)state;
    for (int round = 0; round < 300; round++) {
        memset(&ranges, 0, sizeof ranges);
        memset(has, 0, sizeof has);
        for (int step = 0; step < 60; step++) {
            int first = (int)((seed = seed * 1664525 + 1013904223) >> 8) % SIZE, end = first + (int)((seed = seed * 1664525 + 1013904223) >> 8) % 5;
            int64_t sum = 0;

            end = end > SIZE ? SIZE : end;
            if (tn_ranges_add(&ranges, first, end))
                memset(has + first, 1, (size_t)(end - first));
            else
                assert_int_equal(ranges.count, TN_RANGES);
            for (int i = 0; i < ranges.count; i++)
                assert_true(ranges.at[i].first < ranges.at[i].end && (i == 0 || ranges.at[i].first > ranges.at[i - 1].end));
            for (int at = 0; at < SIZE; at++) {
                int reach = at, next = at;

                while (has[reach])
                    reach++;
                while (next < SIZE && !has[next])
                    next++;
                sum += has[at];
                assert_int_equal(tn_ranges_reach(&ranges, at), reach);
                assert_int_equal(tn_ranges_next(&ranges, at, SIZE), next);
            }
            assert_int_equal(tn_ranges_sum(&ranges), sum);
        }
    }
}

static void too_many_ranges(void **state)
{
    struct ranges ranges = { 0 };

    (void)state;
    for (int64_t i = 0; i < TN_RANGES; i++)
        assert_true(tn_ranges_add(&ranges, 4 * i, 4 * i + 2));
    assert_false(tn_ranges_add(&ranges, 1000, 1001));
    assert_true(tn_ranges_add(&ranges, 5, 5));
    assert_int_equal(ranges.count, TN_RANGES);
    assert_true(tn_ranges_add(&ranges, 0, 2));
    assert_true(tn_ranges_add(&ranges, 2, 3));
    assert_true(tn_ranges_add(&ranges, 3, 4));
    assert_int_equal(ranges.count, TN_RANGES - 1);
    assert_true(tn_ranges_add(&ranges, 1000, INT64_MAX));
    assert_true(tn_ranges_add(&ranges, 0, INT64_MAX));
    assert_int_equal(ranges.count, 1);
    assert_true(tn_ranges_sum(&ranges) == INT64_MAX);
}

/* ---- the journal as text ---- */

/* A slot with a check that agrees, in memory of its own; *size with the NUL behind it. */
static char *slot_of(const char *body, size_t *size)
{
    char hex[TN_HEX_MOST + 1], *slot = NULL;

    assert_int_equal(tn_hash_bytes(HASH_SHA256, body, strlen(body), hex, &failure), TENON_OK);
    *size = (size_t)asprintf(&slot, "%scheck %s\n", body, hex) + 1;
    return slot;
}

static bool is_journal(const char *body, struct journal *journal)
{
    size_t size;
    char *slot = slot_of(body, &size);
    bool good = tn_journal_parse(slot, size, journal, &failure);

    free(slot);
    return good;
}

#define GOOD "tenon-partial 1\ndata x" SUFFIX "\nsize 100\nsequence 3\nowner 12 34 boot pid:[1]\ndurable 0-10 20-30\n"
#define WITH(size, sequence, owner, durable) \
    "tenon-partial 1\ndata x" SUFFIX "\nsize " size "\nsequence " sequence "\nowner " owner "\ndurable " durable "\n"
#define NAMED(name) "tenon-partial 1\ndata " name "\nsize 100\nsequence 3\nowner -\ndurable \n"

static void what_a_journal_says(void **state)
{
    static const struct {
        const char *body;
        bool good;
    } rows[] = {
        { GOOD, true }, { WITH("100", "3", "-", ""), true }, { WITH("100", "3", "-", "0-100"), true }, { WITH("0", "0", "-", ""), true },
        { WITH("9223372036854775807", "9223372036854775807", "-", "0-1 5-9223372036854775807"), true },
        { NAMED("0123456789abcdef0123456789abcdef01234567.01234567" SUFFIX), true },
        /* Other versions, other order, other lines. */
        { "", false }, { "\n", false }, { "tenon-partial 2\ndata x" SUFFIX "\nsize 1\nsequence 3\nowner -\ndurable \n", false },
        { "tenon-partial 1\nsize 1\ndata x" SUFFIX "\nsequence 3\nowner -\ndurable \n", false }, { GOOD "more 1\n", false }, { "x" GOOD, false },
        { "tenon-partial 1\ndata x" SUFFIX "\nsize 100\nsequence 3\nowner -\n", false }, { "tenon-partial 1\r\n", false },
        /* Names that would lead elsewhere, or to something that is no such file. */
        { NAMED("../x" SUFFIX), false }, { NAMED("/x" SUFFIX), false }, { NAMED("a/x" SUFFIX), false }, { NAMED("x"), false }, { NAMED(""), false },
        { NAMED("a\\x" SUFFIX), false }, { NAMED("x\x01" SUFFIX), false }, { NAMED("x\xff" SUFFIX), false }, { NAMED("x" SUFFIX "/.."), false },
        { NAMED("C:x" SUFFIX), false },
        /* Numbers that are none, or too large. */
        { WITH("", "3", "-", ""), false }, { WITH("-1", "3", "-", ""), false }, { WITH("9223372036854775808", "3", "-", ""), false },
        { WITH("1e3", "3", "-", ""), false }, { WITH("0x10", "3", "-", ""), false }, { WITH(" 100", "3", "-", ""), false },
        { WITH("99999999999999999999999999999999999999", "3", "-", ""), false }, { WITH("100", "", "-", ""), false }, { WITH("100", "-3", "-", ""), false },
        { WITH("100", "3 ", "-", ""), false },
        /* Owners. */
        { WITH("100", "3", "", ""), false }, { WITH("100", "3", "0 34 w", ""), false }, { WITH("100", "3", "-12 34 w", ""), false },
        { WITH("100", "3", "12", ""), false }, { WITH("100", "3", "x 34 w", ""), false },
        /* Ranges: in order, apart, inside. */
        { WITH("100", "3", "-", "0-0"), false }, { WITH("100", "3", "-", "5-3"), false }, { WITH("100", "3", "-", "-5-3"), false },
        { WITH("100", "3", "-", "0--3"), false }, { WITH("100", "3", "-", "0-10 10-20"), false }, { WITH("100", "3", "-", "0-10 5-20"), false },
        { WITH("100", "3", "-", "20-30 0-10"), false }, { WITH("100", "3", "-", "0-10 0-10"), false }, { WITH("100", "3", "-", "0-101"), false },
        { WITH("0", "3", "-", "0-1"), false }, { WITH("100", "3", "-", "0-9223372036854775808"), false }, { WITH("100", "3", "-", "0"), false },
        { WITH("100", "3", "-", "0-"), false }, { WITH("100", "3", "-", "0-10,20-30"), false }, { WITH("100", "3", "-", "a-b"), false },
        { WITH("100", "3", "-", "0-10x"), false }, { WITH("100", "3", "-", "18446744073709551616-18446744073709551617"), false },
        { WITH("100", "3", "-", "100-101"), false },
    };
    struct journal journal;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (is_journal(rows[i].body, &journal) != rows[i].good)
            fail_msg("%s is %sa journal", rows[i].body, rows[i].good ? "not " : "");
    assert_true(is_journal(GOOD, &journal));
    assert_string_equal(journal.data, "x" SUFFIX);
    assert_string_equal(journal.world, "boot pid:[1]");
    assert_true(journal.size == 100 && journal.sequence == 3 && journal.owner == 12 && journal.owner_start == 34);
    assert_int_equal(journal.durable.count, 2);
    assert_true(journal.durable.at[1].first == 20 && journal.durable.at[1].end == 30);
    assert_true(is_journal(WITH("100", "3", "-", ""), &journal));
    assert_int_equal(journal.owner, 0);
}

static void as_many_as_fit(void **state)
{
    struct journal journal;
    char body[8000], world[400];

    (void)state;
    for (int count = TN_RANGES; count <= TN_RANGES + 1; count++) {
        int length = snprintf(body, sizeof body, "tenon-partial 1\ndata x" SUFFIX "\nsize 9223372036854775807\nsequence 3\nowner -\ndurable ");

        for (int i = 0; i < count; i++)
            length += snprintf(body + length, sizeof body - (size_t)length, "%s%d-%d", i > 0 ? " " : "", 10 * i, 10 * i + 1);
        strcpy(body + length, "\n");
        assert_int_equal(is_journal(body, &journal), count == TN_RANGES);
    }
    for (int length = 159; length <= 160; length++) {
        memset(world, 'w', (size_t)length);
        world[length] = '\0';
        snprintf(body, sizeof body, "tenon-partial 1\ndata x" SUFFIX "\nsize 100\nsequence 3\nowner 1 2 %s\ndurable \n", world);
        assert_int_equal(is_journal(body, &journal), length == 159);
    }
    for (int length = 255; length <= 256; length++) {
        memset(world, 'd', (size_t)length);
        strcpy(world + length - strlen(SUFFIX), SUFFIX);
        snprintf(body, sizeof body, "tenon-partial 1\ndata %s\nsize 100\nsequence 3\nowner -\ndurable \n", world);
        assert_int_equal(is_journal(body, &journal), length == 255);
    }
}

static void every_damage_is_seen(void **state)
{
    static const char wrong[] = { '\0', '\n', ' ', '-', '0', '9', 'a', '\x80', '\xff' };
    struct journal journal;
    size_t size;
    char *slot = slot_of(GOOD, &size);

    (void)state;
    for (size_t length = 0; length < size; length++) {
        /* Cut off, in memory that has no more: with the zero that pads a slot, and without. */
        char *cut = malloc(length + 1);

        memcpy(cut, slot, length);
        assert_false(tn_journal_parse(cut, length, &journal, &failure));
        cut[length] = '\0';
        assert_int_equal(tn_journal_parse(cut, length + 1, &journal, &failure), length == size - 1);
        free(cut);
    }
    for (size_t at = 0; at + 1 < size; at++)
        for (size_t i = 0; i < COUNT(wrong); i++) {
            char was = slot[at];

            slot[at] = wrong[i];
            if (wrong[i] != was && tn_journal_parse(slot, size, &journal, &failure))
                fail_msg("byte %zu may be %02x", at, (unsigned char)wrong[i]);
            slot[at] = was;
        }
    assert_true(tn_journal_parse(slot, size, &journal, &failure));
    free(slot);
}

/* ---- the journal as a file ---- */

/* Writes up to two slots, NULL for zeros. */
static void write_slots(const char *path, const char *first, const char *second, size_t bytes)
{
    const char *const bodies[] = { first, second };
    char slots[8192] = { 0 };
    FILE *file = fopen(path, "w");

    for (size_t i = 0; i < 2; i++)
        if (bodies[i] != NULL) {
            size_t size;
            char *slot = slot_of(bodies[i], &size);

            memcpy(slots + 4096 * i, slot, size);
            free(slot);
        }
    assert_non_null(file);
    assert_int_equal(fwrite(slots, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void the_newer_slot_counts(void **state)
{
    static const char old[] = WITH("100", "3", "-", "0-10"), newer[] = WITH("100", "4", "-", "0-20"), broken[] = WITH("100", "5", "-", "9-5");
    static const struct {
        const char *first, *second;
        size_t bytes;
        int64_t sequence; /* -1: no journal */
    } rows[] = {
        { old, newer, 8192, 4 }, { newer, old, 8192, 4 }, { old, NULL, 8192, 3 }, { NULL, old, 8192, 3 }, { old, broken, 8192, 3 },
        { broken, old, 8192, 3 }, { broken, broken, 8192, -1 }, { NULL, NULL, 8192, -1 }, { NULL, NULL, 0, -1 }, { old, newer, 4096, 3 },
        { old, newer, 4097, 3 }, { old, newer, 4200, 3 }, { old, newer, 100, -1 }, { old, NULL, 300, 3 }, { NULL, newer, 4096, -1 },
        { old, old, 8192, 3 },
    };
    struct journal journal;

    (void)state;
    assert_false(tn_journal_read(journal_file, &memory, &journal));
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool good;

        write_slots(journal_file, rows[i].first, rows[i].second, rows[i].bytes);
        good = tn_journal_read(journal_file, &memory, &journal);
        if (good != (rows[i].sequence >= 0) || (good && journal.sequence != rows[i].sequence))
            fail_msg("row %zu", i);
    }
    assert_false(tn_journal_read(folder, &memory, &journal));
}

static void names_of_journals(void **state)
{
    static const struct {
        const char *name;
        int64_t generation;
    } rows[] = {
        { "etag.j1" SUFFIX, 1 }, { "etag.j999999999" SUFFIX, 999999999 }, { "etag.j0" SUFFIX, 0 }, { "etag.j01" SUFFIX, 0 },
        { "etag.j-1" SUFFIX, 0 }, { "etag.j+1" SUFFIX, 0 }, { "etag.j 1" SUFFIX, 0 }, { "etag.j1", 0 }, { "etag.j1" SUFFIX ".x", 0 },
        { "etag.j9999999999" SUFFIX, 0 }, { "etag.j99999999999999999999999999" SUFFIX, 0 }, { "etag.1" SUFFIX, 0 }, { "etagj1" SUFFIX, 0 },
        { "etag2.j1" SUFFIX, 0 }, { "eta.j1" SUFFIX, 0 }, { "etag.j1x" SUFFIX, 0 }, { "etag.j" SUFFIX, 0 }, { "etag", 0 }, { "", 0 }, { "etag.j", 0 },
        { "etag.01234567" SUFFIX, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (tn_journal_generation("etag", rows[i].name) != rows[i].generation)
            fail_msg("%s is number %lld", rows[i].name, (long long)tn_journal_generation("etag", rows[i].name));
}

/* ---- whose it is ---- */

static size_t count_files(void)
{
    struct names names;
    size_t count;

    tn_names_init(&names, &memory);
    assert_int_equal(tn_names_add_folder(&names, folder, &failure), TENON_OK);
    count = names.count;
    tn_names_clear(&names);
    return count;
}

static size_t count_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(stream);
    while (readdir(stream) != NULL)
        count++;
    closedir(stream);
    return count;
}

static void claim(struct partial *partial, int64_t size)
{
    tn_partial_init(partial, context);
    if (tn_partial_claim(partial, base, size, &failure) != TENON_OK)
        fail_msg("%s: %s", tenon_status_name(failure.status), failure.message);
    assert_true(partial->data >= 0 && partial->journal >= 0);
}

static void assert_owned_by_another(int64_t seen)
{
    struct partial partial;

    tn_partial_init(&partial, context);
    assert_int_equal(tn_partial_claim(&partial, base, 100, &failure), TENON_AGAIN);
    assert_int_equal(partial.seen_bytes, seen);
    assert_int_equal(partial.data, -1);
    tn_partial_release(&partial);
}

static void write_and_note(struct partial *partial, const char *text, int64_t at)
{
    struct ranges ranges = partial->durable;

    assert_int_equal(tn_file_write_at(partial->data, text, strlen(text), at, "data", &failure), TENON_OK);
    assert_true(tn_ranges_add(&ranges, at, at + (int64_t)strlen(text)));
    assert_int_equal(tn_partial_note(partial, &ranges, &failure), TENON_OK);
}

static void given_up_and_gone_on_with(void **state)
{
    size_t descriptors = count_descriptors();
    struct partial partial;
    struct text text;
    char *data;

    (void)state;
    claim(&partial, 100);
    assert_int_equal(partial.durable.count, 0);
    assert_owned_by_another(0);
    write_and_note(&partial, "hello", 10);
    assert_owned_by_another(5);
    tn_partial_heartbeat(&partial);
    assert_owned_by_another(5);
    data = strdup(tn_text(&partial.data_path));
    tn_partial_release(&partial);
    tn_partial_release(&partial);
    assert_int_equal(count_descriptors(), descriptors);
    claim(&partial, 100);
    assert_string_equal(tn_text(&partial.data_path), data);
    assert_int_equal(partial.durable.count, 1);
    assert_true(partial.durable.at[0].first == 10 && partial.durable.at[0].end == 15);
    assert_owned_by_another(5);
    write_and_note(&partial, "0123456789", 0);
    assert_int_equal(tn_partial_finish(&partial, target, &failure), TENON_OK);
    tn_text_init(&text, &memory, 100);
    assert_int_equal(tn_file_read_whole(target, 100, &text, &failure), TENON_OK);
    assert_string_equal(tn_text(&text), "0123456789hello");
    assert_int_equal(count_files(), 1);
    assert_int_equal(count_descriptors(), descriptors);
    tn_text_clear(&text);
    free(data);
}

static void nothing_to_go_on_with(void **state)
{
    struct partial partial;

    (void)state;
    claim(&partial, 100);
    tn_partial_release(&partial);
    assert_int_equal(count_files(), 0);
    claim(&partial, 100);
    write_and_note(&partial, "hello", 0);
    assert_int_equal(tn_partial_restart(&partial, &failure), TENON_OK);
    assert_int_equal(partial.durable.count, 0);
    assert_owned_by_another(0);
    tn_partial_release(&partial);
    assert_int_equal(count_files(), 0);
    claim(&partial, 100);
    write_and_note(&partial, "hello", 0);
    tn_partial_discard(&partial);
    assert_int_equal(count_files(), 0);
}

static void claim_and_die(void *user)
{
    struct partial partial;

    (void)user;
    context = test_open(NULL);
    tn_partial_init(&partial, context);
    if (tn_partial_claim(&partial, base, 100, &failure) != TENON_OK)
        _exit(1);
    write_and_note(&partial, "hello", 0);
    _exit(0);
}

static void what_a_dead_process_left(void **state)
{
    struct partial partial;

    (void)state;
    assert_int_equal(test_in_child(claim_and_die, NULL), 0);
    assert_int_equal(count_files(), 2);
    claim(&partial, 100);
    assert_int_equal(tn_ranges_sum(&partial.durable), 5);
    assert_int_equal(partial.generation, 2);
    assert_int_equal(count_files(), 2);
    tn_partial_discard(&partial);
    assert_int_equal(count_files(), 0);
}

/* A journal of an owner, and data of so many bytes for it. */
static void leave(int32_t id, int64_t start, const char *world, const char *durable, size_t bytes)
{
    char body[1000], data[100] = { 0 }, *path = test_join(folder, "etag.x" SUFFIX);
    FILE *file = fopen(path, "w");

    snprintf(body, sizeof body, "tenon-partial 1\ndata etag.x" SUFFIX "\nsize 100\nsequence 3\nowner %d %lld %s\ndurable %s\n", (int)id, (long long)start,
             world, durable);
    write_slots(journal_file, body, NULL, 8192);
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    free(path);
}

/* A process is who has its id and began when it began: ids come again. */
static void an_id_that_came_again(void **state)
{
    struct process self = tn_process_self();
    struct partial partial;
    struct text world;

    (void)state;
    tn_text_init(&world, &memory, 1000);
    tn_process_world(&world);
    leave(self.id, self.start, tn_text(&world), "0-10", 50);
    assert_owned_by_another(10);
    leave(self.id, self.start + 1, tn_text(&world), "0-10", 50);
    claim(&partial, 100);
    assert_int_equal(tn_ranges_sum(&partial.durable), 10);
    assert_true(tn_ends_with(tn_text(&partial.data_path), "/etag.x" SUFFIX));
    tn_partial_discard(&partial);
    leave(999999999, 5, tn_text(&world), "0-10", 50);
    claim(&partial, 100);
    assert_int_equal(tn_ranges_sum(&partial.durable), 10);
    tn_partial_discard(&partial);
    assert_int_equal(count_files(), 0);
    tn_text_clear(&world);
}

/* An owner elsewhere may only be silent: its data is copied, and stays its own. */
static void an_owner_elsewhere(void **state)
{
    static const struct timespec long_ago[] = { { 1000000000, 0 }, { 1000000000, 0 } };
    struct process self = tn_process_self();
    struct partial partial;
    char *data = test_join(folder, "etag.x" SUFFIX);
    struct lock lock = { -1 };

    (void)state;
    leave(self.id, self.start, "another-boot pid:[1]", "0-10", 50);
    assert_owned_by_another(10);
    assert_int_equal(utimensat(AT_FDCWD, journal_file, long_ago, 0), 0);
    assert_int_equal(tn_lock_try(&lock, journal_file, &failure), TENON_OK);
    assert_owned_by_another(10);
    tn_lock_release(&lock);
    claim(&partial, 100);
    assert_int_equal(tn_ranges_sum(&partial.durable), 10);
    assert_string_not_equal(tn_text(&partial.data_path), data);
    assert_true(tn_file_exists(data));
    assert_int_equal(tn_partial_finish(&partial, target, &failure), TENON_OK);
    assert_int_equal(count_files(), 1);
    free(data);
}

/* What a journal promises and its data does not hold. */
static void promises_that_do_not_hold(void **state)
{
    static const struct {
        const char *durable;
        size_t bytes;
        int64_t size, sum;
    } rows[] = {
        { "0-10", 10, 100, 10 }, { "0-10", 9, 100, 0 }, { "0-10", 0, 100, 0 }, { "0-10 20-30", 30, 100, 20 }, { "0-10 20-30", 29, 100, 0 },
        { "0-10", 50, 101, 0 }, { "0-10", 50, 10, 0 }, { "", 50, 100, 0 },
    };
    struct partial partial;
    char *data = test_join(folder, "etag.x" SUFFIX), *other = test_join(folder, "other");
    struct file_facts facts;
    struct text world;

    (void)state;
    tn_text_init(&world, &memory, 1000);
    tn_process_world(&world);
    for (size_t i = 0; i < COUNT(rows); i++) {
        leave(999999999, 5, tn_text(&world), rows[i].durable, rows[i].bytes);
        claim(&partial, rows[i].size);
        if (tn_ranges_sum(&partial.durable) != rows[i].sum)
            fail_msg("row %zu: %lld bytes are believed", i, (long long)tn_ranges_sum(&partial.durable));
        assert_int_equal(tn_file_look(tn_text(&partial.data_path), &facts, &failure), TENON_OK);
        assert_int_equal(facts.bytes, rows[i].sum > 0 ? rows[i].bytes : 0);
        tn_partial_discard(&partial);
        assert_int_equal(count_files(), 0);
    }
    /* The data is gone. */
    leave(999999999, 5, tn_text(&world), "0-10", 50);
    assert_int_equal(unlink(data), 0);
    claim(&partial, 100);
    assert_int_equal(partial.durable.count, 0);
    tn_partial_discard(&partial);
    /* It is a link: nothing is read or written through it. */
    leave(999999999, 5, tn_text(&world), "0-10", 50);
    assert_int_equal(rename(data, other), 0);
    assert_int_equal(symlink("other", data), 0);
    claim(&partial, 100);
    assert_int_equal(partial.durable.count, 0);
    write_and_note(&partial, "hello", 0);
    tn_partial_discard(&partial);
    assert_int_equal(tn_file_look(other, &facts, &failure), TENON_OK);
    assert_int_equal(facts.bytes, 50);
    tn_text_clear(&world);
    free(data);
    free(other);
}

static void journals_that_are_none(void **state)
{
    struct partial partial;
    char *target_of_link = test_join(folder, "other");

    (void)state;
    test_write(journal_file, "hello");
    claim(&partial, 100);
    assert_int_equal(partial.durable.count, 0);
    assert_int_equal(partial.generation, 2);
    tn_partial_discard(&partial);
    assert_int_equal(count_files(), 0);
    /* Something that is in the way is said to be so. */
    tn_partial_init(&partial, context);
    assert_int_equal(mkdir(journal_file, 0700), 0);
    assert_int_equal(tn_partial_claim(&partial, base, 100, &failure), TENON_ERROR_IO);
    assert_non_null(strstr(failure.message, journal_file));
    assert_int_equal(rmdir(journal_file), 0);
    test_write(target_of_link, "hello");
    assert_int_equal(symlink("other", journal_file), 0);
    assert_int_equal(tn_partial_claim(&partial, base, 100, &failure), TENON_ERROR_IO);
    tn_partial_release(&partial);
    free(target_of_link);
}

static void the_last_of_several_counts(void **state)
{
    char *third = test_join(folder, "etag.j3" SUFFIX), *made = test_join(folder, "etag.j2" SUFFIX ".0123abcd.incomplete");
    struct partial partial;

    (void)state;
    write_slots(journal_file, WITH("100", "9", "-", "0-90"), NULL, 8192);
    write_slots(third, "tenon-partial 1\ndata etag.y" SUFFIX "\nsize 100\nsequence 3\nowner -\ndurable \n", NULL, 8192);
    test_write(made, "");
    claim(&partial, 100);
    assert_int_equal(partial.generation, 4);
    assert_int_equal(partial.durable.count, 0);
    assert_false(tn_file_exists(journal_file));
    assert_false(tn_file_exists(third));
    assert_false(tn_file_exists(made));
    tn_partial_discard(&partial);
    assert_int_equal(count_files(), 0);
    free(third);
    free(made);
}

static void cleared_away(void **state)
{
    static const char *const names[] = { "etag", "etag2.j1" SUFFIX, "etag.txt", "xetag.j1" SUFFIX, "etag.01234567.incomplete",
                                         "etag.01234567" SUFFIX, "etag.j5" SUFFIX, "etag.j5" SUFFIX ".01234567.incomplete" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char *path = test_join(folder, names[i]);

        test_write(path, "x");
        free(path);
    }
    tn_partial_clear_away(context, base);
    for (size_t i = 0; i < COUNT(names); i++) {
        char *path = test_join(folder, names[i]);

        assert_int_equal(tn_file_exists(path), i < 5);
        free(path);
    }
}

static void no_folder(void **state)
{
    struct partial partial;
    char *below = test_join(folder, "none/etag");

    (void)state;
    tn_partial_init(&partial, context);
    assert_int_not_equal(tn_partial_claim(&partial, below, 100, &failure), TENON_OK);
    assert_int_equal(partial.data, -1);
    tn_partial_release(&partial);
    tn_partial_clear_away(context, below);
    free(below);
}

/* ---- without memory ---- */

static tenon_status claim_twice(struct test_memory *counts)
{
    tenon_context *opened = NULL;
    struct failure fault;
    struct partial partial;
    size_t descriptors = count_descriptors();
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &opened);

    if (status != TENON_OK)
        return status;
    tn_failure_init(&fault, &opened->memory, NULL);
    tn_partial_init(&partial, opened);
    for (int round = 0; round < 2 && status == TENON_OK; round++) {
        status = tn_partial_claim(&partial, base, 100, &fault);
        if (status == TENON_OK) {
            struct ranges ranges = { 1, { { 0, 5 + round } } };

            assert_int_equal(tn_file_write_at(partial.data, "hello!", 6, 0, "data", &fault), TENON_OK);
            status = tn_partial_note(&partial, &ranges, &fault);
            if (status == TENON_OK && round == 1)
                status = tn_partial_finish(&partial, target, &fault);
            tn_partial_release(&partial);
        }
        tn_partial_release(&partial);
    }
    tn_failure_clear(&fault);
    tenon_context_free(opened);
    assert_int_equal(count_descriptors(), descriptors);
    /* Whatever failed: the next one can have it, and cleans up. */
    claim(&partial, 100);
    tn_partial_discard(&partial);
    tn_partial_clear_away(context, base);
    assert_int_equal(count_files(), tn_file_exists(target));
    assert_true(status != TENON_OK || tn_file_exists(target));
    unlink(target);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(claim_twice);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ranges_are_sets),           TEST(too_many_ranges),        TEST(what_a_journal_says),  TEST(as_many_as_fit),
        TEST(every_damage_is_seen),      TEST(the_newer_slot_counts),  TEST(names_of_journals),    TEST(given_up_and_gone_on_with),
        TEST(nothing_to_go_on_with),     TEST(what_a_dead_process_left), TEST(an_id_that_came_again), TEST(an_owner_elsewhere),
        TEST(promises_that_do_not_hold), TEST(journals_that_are_none), TEST(the_last_of_several_counts), TEST(cleared_away),
        TEST(no_folder),                 TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
