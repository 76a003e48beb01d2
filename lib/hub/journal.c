#include "journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "path.h"

enum { SLOT = 4096 };

/* ---- reading ---- */

/* One line "key value\n" at *text; the value goes to out. */
static bool take_line(const char **text, const char *key, char *out, size_t size)
{
    size_t length = strlen(key), value;

    if (strncmp(*text, key, length) != 0 || (*text)[length] != ' ')
        return false;
    *text += length + 1;
    value = strcspn(*text, "\n");
    if (value >= size || (*text)[value] != '\n')
        return false;
    memcpy(out, *text, value);
    out[value] = '\0';
    *text += value + 1;
    return true;
}

static bool take_integer_line(const char **text, const char *key, int64_t *number)
{
    char value[24];

    return take_line(text, key, value, sizeof value) && tn_parse_integer(value, number);
}

/* "0-100 200-300", in order, inside the file. */
static bool parse_ranges(const char *text, int64_t size, struct ranges *ranges)
{
    int64_t last = -1;

    ranges->count = 0;
    while (*text != '\0') {
        char *end;
        long long first = strtoll(text, &end, 10), stop;

        if (end == text || *end != '-' || ranges->count == TN_RANGES)
            return false;
        text = end + 1;
        stop = strtoll(text, &end, 10);
        if (end == text || (*end != ' ' && *end != '\0') || first <= last || stop <= first || stop > size)
            return false;
        ranges->at[ranges->count].first = first;
        ranges->at[ranges->count].end = stop;
        ranges->count++;
        last = stop;
        text = *end == ' ' ? end + 1 : end;
    }
    return true;
}

static bool parse_owner(const char *text, struct journal *journal)
{
    int space = 0;

    if (strcmp(text, "-") == 0)
        return true;
    return sscanf(text, "%9" SCNd32 " %18" SCNd64 " %n", &journal->owner, &journal->owner_start, &space) == 2 && space > 0 &&
           journal->owner > 0 && snprintf(journal->world, sizeof journal->world, "%s", text + space) < (int)sizeof journal->world;
}

static bool is_data_name(const char *name)
{
    return tn_path_is_safe(name, NULL) && strchr(name, '/') == NULL && tn_ends_with(name, ".tenon.incomplete");
}

static bool hash_agrees(const char *start, const char *end, const char *said, struct failure *failure)
{
    char hex[TN_HEX_MOST + 1];

    return tn_hash_bytes(HASH_SHA256, start, (size_t)(end - start), hex, failure) == TENON_OK && strcmp(hex, said) == 0;
}

bool tn_journal_parse(const char *text, size_t length, struct journal *journal, struct failure *failure)
{
    char value[SLOT];
    const char *at = text, *body;

    memset(journal, 0, sizeof *journal);
    if (memchr(text, '\0', length) == NULL || !take_line(&at, "tenon-partial", value, sizeof value) || strcmp(value, "1") != 0)
        return false;
    if (!take_line(&at, "data", journal->data, sizeof journal->data) || !is_data_name(journal->data) ||
        !take_integer_line(&at, "size", &journal->size) || !take_integer_line(&at, "sequence", &journal->sequence) ||
        !take_line(&at, "owner", value, sizeof value) || !parse_owner(value, journal) ||
        !take_line(&at, "durable", value, sizeof value) || !parse_ranges(value, journal->size, &journal->durable))
        return false;
    body = at;
    return take_line(&at, "check", value, sizeof value) && hash_agrees(text, body, value, failure);
}

static bool read_slots(int fd, const char *path, const struct memory *memory, struct journal *journal)
{
    char *slots = tn_alloc(memory, 2 * SLOT + 1);
    struct journal other;
    struct failure ignored;
    size_t got = 0;
    bool found = false;

    tn_failure_init(&ignored, memory, NULL);
    if (slots != NULL && tn_file_read_at(fd, slots, 2 * SLOT, 0, &got, path, &ignored) == TENON_OK) {
        found = got > 0 && tn_journal_parse(slots, got < SLOT ? got + 1 : SLOT, journal, &ignored);
        if (got > SLOT && tn_journal_parse(slots + SLOT, got - SLOT + 1, &other, &ignored) &&
            (!found || other.sequence > journal->sequence)) {
            *journal = other;
            found = true;
        }
    }
    tn_release(memory, slots);
    tn_failure_clear(&ignored);
    return found;
}

bool tn_journal_read(const char *path, const struct memory *memory, struct journal *journal)
{
    struct failure ignored;
    int fd;
    bool found;

    tn_failure_init(&ignored, memory, NULL);
    fd = tn_file_open(path, FILE_READ, &ignored);
    found = fd >= 0 && read_slots(fd, path, memory, journal);
    tn_file_close(&fd);
    tn_failure_clear(&ignored);
    return found;
}

/* ---- writing ---- */

/* One slot, padded with zeros so that it always has the same size. */
static tenon_status make_slot(const struct journal *journal, struct text *slot, struct failure *failure)
{
    const struct ranges *durable = &journal->durable;
    char hex[TN_HEX_MOST + 1];
    tenon_status status;

    tn_text_format(slot, "tenon-partial 1\ndata %s\nsize %" PRId64 "\nsequence %" PRId64 "\nowner ", journal->data, journal->size,
                   journal->sequence);
    if (journal->owner > 0)
        tn_text_format(slot, "%" PRId32 " %" PRId64 " %s", journal->owner, journal->owner_start, journal->world);
    else
        tn_text_add_char(slot, '-');
    tn_text_add(slot, "\ndurable ");
    for (int32_t i = 0; i < durable->count; i++)
        tn_text_format(slot, "%s%" PRId64 "-%" PRId64, i > 0 ? " " : "", durable->at[i].first, durable->at[i].end);
    tn_text_add_char(slot, '\n');
    status = slot->failed ? tn_fail_memory(failure) : tn_hash_bytes(HASH_SHA256, tn_text(slot), slot->length, hex, failure);
    if (status == TENON_OK)
        tn_text_format(slot, "check %s\n", hex);
    while (slot->length < SLOT && !slot->failed)
        tn_text_add_n(slot, "", 1);
    return status == TENON_OK && slot->failed ? tn_fail_memory(failure) : status;
}

tenon_status tn_journal_write(int fd, const struct journal *journal, const char *path, const struct memory *memory,
                              struct failure *failure)
{
    struct text slot;
    tenon_status status;

    tn_text_init(&slot, memory, SLOT);
    status = make_slot(journal, &slot, failure);
    if (status == TENON_OK)
        status = tn_file_write_at(fd, tn_text(&slot), SLOT, journal->sequence % 2 * SLOT, path, failure);
    tn_text_clear(&slot);
    return status;
}

/* ---- names ---- */

void tn_journal_name(const char *base, int64_t generation, struct text *out)
{
    tn_text_format(out, "%s.j%" PRId64 ".tenon.incomplete", base, generation);
}

int64_t tn_journal_generation_of(const char *base, const char *name, const char **rest)
{
    size_t length = strlen(base);
    bool begins = strncmp(name, base, length) == 0 && strncmp(name + length, ".j", 2) == 0 && name[length + 2] >= '1' &&
                  name[length + 2] <= '9';
    long long generation = 0;
    int end = 0;

    if (!begins || sscanf(name + length, ".j%9lld.tenon.incomplete%n", &generation, &end) != 1 || end == 0)
        generation = 0;
    *rest = generation > 0 ? name + length + end : "";
    return generation;
}

int64_t tn_journal_generation(const char *base, const char *name)
{
    const char *rest;
    int64_t generation = tn_journal_generation_of(base, name, &rest);

    return *rest == '\0' ? generation : 0;
}
