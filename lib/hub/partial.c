#include "partial.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "path.h"
#include "process.h"

enum { SLOT = 4096, SILENT_MS = 15000 };

/* ---- ranges ---- */

bool tn_ranges_add(struct ranges *ranges, int64_t first, int64_t end)
{
    int32_t from = 0, to;

    if (first >= end)
        return true;
    while (from < ranges->count && ranges->at[from].end < first)
        from++;
    to = from;
    while (to < ranges->count && ranges->at[to].first <= end) {
        first = ranges->at[to].first < first ? ranges->at[to].first : first;
        end = ranges->at[to].end > end ? ranges->at[to].end : end;
        to++;
    }
    if (from == to && ranges->count == TN_RANGES)
        return false;
    memmove(&ranges->at[from + 1], &ranges->at[to], (size_t)(ranges->count - to) * sizeof ranges->at[0]);
    ranges->count += 1 - (to - from);
    ranges->at[from].first = first;
    ranges->at[from].end = end;
    return true;
}

int64_t tn_ranges_sum(const struct ranges *ranges)
{
    int64_t sum = 0;

    for (int32_t i = 0; i < ranges->count; i++)
        sum += ranges->at[i].end - ranges->at[i].first;
    return sum;
}

int64_t tn_ranges_reach(const struct ranges *ranges, int64_t at)
{
    for (int32_t i = 0; i < ranges->count; i++)
        if (at >= ranges->at[i].first && at < ranges->at[i].end)
            at = ranges->at[i].end;
    return at;
}

int64_t tn_ranges_next(const struct ranges *ranges, int64_t at, int64_t limit)
{
    for (int32_t i = 0; i < ranges->count; i++)
        if (ranges->at[i].end > at)
            return ranges->at[i].first > at ? ranges->at[i].first : at;
    return limit;
}

/* ---- the journal as text ---- */

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

/* One slot, padded with zeros so that it always has the same size. */
static tenon_status make_slot(const struct partial *partial, bool owned, struct text *slot, struct failure *failure)
{
    struct process self = tn_process_self();
    char hex[TN_HEX_MOST + 1];
    tenon_status status;

    tn_text_format(slot, "tenon-partial 1\ndata %s\nsize %" PRId64 "\nsequence %" PRId64 "\nowner ",
                   tn_path_name(tn_text(&partial->data_path)), partial->size, partial->sequence);
    if (owned) {
        tn_text_format(slot, "%" PRId32 " %" PRId64 " ", self.id, self.start);
        tn_process_world(slot);
    } else
        tn_text_add_char(slot, '-');
    tn_text_add(slot, "\ndurable ");
    for (int32_t i = 0; i < partial->durable.count; i++)
        tn_text_format(slot, "%s%" PRId64 "-%" PRId64, i > 0 ? " " : "", partial->durable.at[i].first, partial->durable.at[i].end);
    tn_text_add_char(slot, '\n');
    status = slot->failed ? tn_fail_memory(failure) : tn_hash_bytes(HASH_SHA256, tn_text(slot), slot->length, hex, failure);
    if (status == TENON_OK)
        tn_text_format(slot, "check %s\n", hex);
    while (slot->length < SLOT && !slot->failed)
        tn_text_add_n(slot, "", 1);
    return status == TENON_OK && slot->failed ? tn_fail_memory(failure) : status;
}

static void journal_path(const struct partial *partial, int64_t generation, struct text *out)
{
    tn_text_format(out, "%s.j%" PRId64 ".tenon.incomplete", tn_text(&partial->base), generation);
}

/* N of a name that begins as the Nth journal of base does, and what is behind that; 0 for any other. */
static int64_t generation_of(const char *base, const char *name, const char **rest)
{
    size_t length = strlen(base);
    bool begins = strncmp(name, base, length) == 0 && strncmp(name + length, ".j", 2) == 0 && name[length + 2] >= '1' && name[length + 2] <= '9';
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
    int64_t generation = generation_of(base, name, &rest);

    return *rest == '\0' ? generation : 0;
}

static tenon_status write_slot(struct partial *partial, bool owned, struct failure *failure)
{
    struct text slot;
    tenon_status status;

    partial->sequence++;
    tn_text_init(&slot, &partial->context->memory, SLOT);
    status = make_slot(partial, owned, &slot, failure);
    if (status == TENON_OK)
        status = tn_file_write_at(partial->journal, tn_text(&slot), SLOT, partial->sequence % 2 * SLOT, tn_text(&partial->base), failure);
    tn_text_clear(&slot);
    return status;
}

/* ---- claiming ---- */

void tn_partial_init(struct partial *partial, struct tenon_context *context)
{
    memset(partial, 0, sizeof *partial);
    partial->context = context;
    partial->data = -1;
    partial->journal = -1;
    tn_text_init(&partial->base, &context->memory, PATH_MAX);
    tn_text_init(&partial->data_path, &context->memory, PATH_MAX);
}

static void forget(struct partial *partial)
{
    tn_file_close(&partial->data);
    tn_file_close(&partial->journal);
    tn_text_clear(&partial->base);
    tn_text_clear(&partial->data_path);
}

/* Adds the path of a file beside the base. */
static void beside(const struct partial *partial, const char *name, struct text *out)
{
    size_t folder = partial->base.length - strlen(tn_path_name(tn_text(&partial->base)));

    tn_text_add_n(out, tn_text(&partial->base), folder);
    tn_text_add(out, name);
}

/* A name for data that is ours alone. */
static void name_data(struct partial *partial)
{
    char chance[9];

    tn_random_hex(partial->context, chance, 8);
    tn_text_reset(&partial->data_path);
    tn_text_format(&partial->data_path, "%s.%s.tenon.incomplete", tn_text(&partial->base), chance);
}

/* Removes a file that nobody needs; one that stays does no harm. */
static void remove_quietly(const struct partial *partial, const struct text *path)
{
    struct failure ignored;

    tn_failure_init(&ignored, &partial->context->memory, NULL);
    if (!path->failed && path->length > 0)
        tn_file_remove(tn_text(path), &ignored);
    tn_failure_clear(&ignored);
}

static void remove_beside(const struct partial *partial, const char *name)
{
    struct text path;

    tn_text_init(&path, &partial->context->memory, PATH_MAX);
    beside(partial, name, &path);
    remove_quietly(partial, &path);
    tn_text_clear(&path);
}

static void remove_journal(const struct partial *partial)
{
    struct text path;

    tn_text_init(&path, &partial->context->memory, PATH_MAX);
    journal_path(partial, partial->generation, &path);
    remove_quietly(partial, &path);
    tn_text_clear(&path);
}

/* Anything of ours that belongs to the base. */
static bool is_ours(const char *base, const char *name)
{
    size_t length = strlen(base);

    return strncmp(name, base, length) == 0 && name[length] == '.' && strstr(name + length, ".tenon.incomplete") != NULL;
}

/*
 * Looks at everything that belongs to the base. *newest is the last generation that has a journal, 0 for none. Removes
 * journals older than `below`, with those that were being made for it or before; and with all, whatever else there is.
 */
static tenon_status look_around(const struct partial *partial, int64_t below, bool all, int64_t *newest, struct failure *failure)
{
    const char *base = tn_path_name(tn_text(&partial->base)), *name, *rest;
    struct folder stream = { NULL };
    struct text folder;
    tenon_status status;

    *newest = 0;
    tn_text_init(&folder, &partial->context->memory, PATH_MAX);
    beside(partial, ".", &folder);
    status = folder.failed ? tn_fail_memory(failure) : tn_folder_open(&stream, tn_text(&folder), failure);
    while (status == TENON_OK && (name = tn_folder_next(&stream)) != NULL) {
        int64_t generation = generation_of(base, name, &rest);

        if (all ? is_ours(base, name) : generation > 0 && (*rest == '\0' ? generation < below : generation <= below))
            remove_beside(partial, name);
        else if (*rest == '\0' && generation > *newest)
            *newest = generation;
    }
    tn_folder_close(&stream);
    tn_text_clear(&folder);
    return status;
}

static bool owner_is_here(const struct partial *partial, const struct journal *journal)
{
    struct text world;
    bool here;

    tn_text_init(&world, &partial->context->memory, 256);
    tn_process_world(&world);
    here = journal->owner == 0 || strcmp(tn_text(&world), journal->world) == 0;
    tn_text_clear(&world);
    return here;
}

/* Does somebody hold the journal's lock? That it is free says nothing where locks lie. */
static bool is_locked(const struct partial *partial, const char *path)
{
    struct lock lock = { -1 };
    struct failure ignored;
    bool locked;

    tn_failure_init(&ignored, &partial->context->memory, NULL);
    locked = tn_lock_try(&lock, path, &ignored) == TENON_AGAIN;
    tn_lock_release(&lock);
    tn_failure_clear(&ignored);
    return locked;
}

/*
 * Does the owner that a journal names still live, as far as can be told? Here the process list says so, and not the lock:
 * a child that its owner had forked may hold that on.
 */
static bool owner_lives(const struct partial *partial, const struct journal *journal, const char *path, const struct file_facts *facts)
{
    struct process owner = { journal->owner, journal->owner_start };
    bool lives = false;

    if (journal->owner != 0 && owner_is_here(partial, journal))
        lives = tn_process_alive(&owner);
    else if (journal->owner != 0)
        lives = tn_wall(partial->context) - facts->modified_ms < SILENT_MS || is_locked(partial, path);
    return lives;
}

/* Looks at the newest journal: TENON_AGAIN when its owner lives; else old says what it left (no name: nothing). */
static tenon_status meet_owner(struct partial *partial, int64_t generation, struct journal *old, struct failure *failure)
{
    struct file_facts facts = { 0 };
    struct text path;
    tenon_status status;

    tn_text_init(&path, &partial->context->memory, PATH_MAX);
    journal_path(partial, generation, &path);
    status = path.failed ? tn_fail_memory(failure) : tn_file_look_at_link(tn_text(&path), &facts, failure);
    if (status == TENON_OK && facts.exists && !facts.regular)
        status = tn_fail(failure, TENON_ERROR_IO, "%s is in the way: it is no regular file", tn_text(&path));
    else if (status == TENON_OK && !facts.exists)
        status = TENON_AGAIN;
    else if (status == TENON_OK && !tn_journal_read(tn_text(&path), path.memory, old))
        memset(old, 0, sizeof *old);
    else if (status == TENON_OK && owner_lives(partial, old, tn_text(&path), &facts)) {
        partial->seen_bytes = tn_ranges_sum(&old->durable);
        status = TENON_AGAIN;
    }
    tn_text_clear(&path);
    return status;
}

/*
 * Takes over the data file of a dead owner, also where nothing in it counts: it would stay for ever. An owner elsewhere may
 * only be silent, so its data is copied.
 */
static tenon_status inherit(struct partial *partial, const struct journal *old, struct failure *failure)
{
    const struct ranges *durable = &old->durable;
    struct file_facts facts = { 0 };
    struct text path;
    bool counts;
    tenon_status status;

    if (old->data[0] == '\0')
        return TENON_OK;
    partial->sequence = old->sequence;
    tn_text_init(&path, &partial->context->memory, PATH_MAX);
    beside(partial, old->data, &path);
    status = path.failed ? tn_fail_memory(failure) : tn_file_look_at_link(tn_text(&path), &facts, failure);
    counts = facts.regular && old->size == partial->size && durable->count > 0 && facts.bytes >= durable->at[durable->count - 1].end;
    if (status == TENON_OK && facts.regular && owner_is_here(partial, old)) {
        tn_text_reset(&partial->data_path);
        tn_text_add(&partial->data_path, tn_text(&path));
    } else if (status == TENON_OK && counts)
        status = tn_file_copy(tn_text(&path), tn_text(&partial->data_path), failure);
    if (status == TENON_OK && counts)
        partial->durable = *durable;
    tn_text_clear(&path);
    return status == TENON_ERROR_NOT_FOUND ? TENON_AGAIN : status;
}

/*
 * Makes the journal under a name of its own and gives it its true name by link(): whoever sees it sees it whole. AGAIN when
 * somebody else was quicker. The lock comes with the file: it is held before anybody can see it.
 */
static tenon_status make_journal(struct partial *partial, struct failure *failure)
{
    struct text name, path;
    char chance[9];
    struct lock lock = { -1 };
    tenon_status status;

    tn_text_init(&name, &partial->context->memory, PATH_MAX);
    tn_text_init(&path, &partial->context->memory, PATH_MAX);
    journal_path(partial, partial->generation, &path);
    tn_random_hex(partial->context, chance, 8);
    tn_text_format(&name, "%s.%s.incomplete", tn_text(&path), chance);
    status = name.failed || path.failed ? tn_fail_memory(failure) : tn_lock_try(&lock, tn_text(&name), failure);
    partial->journal = lock.fd;
    /* Both slots, so that later nothing needs room on a disk that is full. */
    if (status == TENON_OK)
        status = write_slot(partial, true, failure);
    if (status == TENON_OK)
        status = write_slot(partial, true, failure);
    if (status == TENON_OK)
        status = tn_file_link(tn_text(&name), tn_text(&path), failure);
    if (status == TENON_ERROR_CONFLICT || status == TENON_ERROR_NOT_FOUND)
        status = TENON_AGAIN;
    if (lock.fd >= 0)
        remove_quietly(partial, &name);
    if (status != TENON_OK)
        tn_file_close(&partial->journal);
    tn_text_clear(&name);
    tn_text_clear(&path);
    return status;
}

/* The data that counts is opened as it is, other data without what was in it. */
static tenon_status open_data(struct partial *partial, struct failure *failure)
{
    tenon_status status = TENON_OK;

    if (partial->durable.count > 0) {
        partial->data = tn_file_open(tn_text(&partial->data_path), FILE_READ_WRITE, failure);
        if (partial->data < 0) {
            name_data(partial);
            partial->durable.count = 0;
            status = write_slot(partial, true, failure);
        }
    }
    if (status == TENON_OK && partial->data < 0) {
        partial->data = tn_file_open(tn_text(&partial->data_path), FILE_WRITE, failure);
        status = partial->data >= 0 ? tn_file_set_size(partial->data, 0, tn_text(&partial->data_path), failure) : failure->status;
    }
    if (status == TENON_OK)
        tn_failure_clear(failure);
    return status;
}

/* With the journal ours: lets the older ones go, and opens the data. */
static tenon_status settle(struct partial *partial, struct failure *failure)
{
    int64_t newest;
    tenon_status status = look_around(partial, partial->generation, false, &newest, failure);

    if (status == TENON_OK && newest > partial->generation) {
        /* A later owner came by while we were slow: it may work on the same data. */
        remove_journal(partial);
        status = TENON_AGAIN;
    }
    return status == TENON_OK ? open_data(partial, failure) : status;
}

tenon_status tn_partial_claim(struct partial *partial, const char *base, int64_t size, struct failure *failure)
{
    struct journal old = { .size = -1 };
    int64_t newest;
    tenon_status status;

    tn_text_reset(&partial->base);
    tn_text_add(&partial->base, base);
    partial->size = size;
    partial->seen_bytes = -1;
    partial->sequence = 0;
    partial->durable.count = 0;
    name_data(partial);
    if (partial->base.failed || partial->data_path.failed)
        return tn_fail_memory(failure);
    status = look_around(partial, 0, false, &newest, failure);
    if (status == TENON_OK && newest > 0)
        status = meet_owner(partial, newest, &old, failure);
    if (status == TENON_OK)
        status = inherit(partial, &old, failure);
    partial->generation = newest + 1;
    if (status == TENON_OK)
        status = make_journal(partial, failure);
    if (status == TENON_OK)
        status = settle(partial, failure);
    if (status != TENON_OK && status != TENON_AGAIN && partial->journal >= 0)
        tn_partial_release(partial);
    else if (status != TENON_OK && strcmp(tn_path_name(tn_text(&partial->data_path)), old.data) != 0)
        remove_quietly(partial, &partial->data_path);
    if (status != TENON_OK)
        forget(partial);
    return status;
}

/* ---- working ---- */

tenon_status tn_partial_note(struct partial *partial, const struct ranges *written, struct failure *failure)
{
    tenon_status status = tn_file_sync(partial->data, tn_text(&partial->data_path), failure);

    if (status == TENON_OK) {
        partial->durable = *written;
        status = write_slot(partial, true, failure);
    }
    return status;
}

void tn_partial_heartbeat(struct partial *partial)
{
    struct failure ignored;

    tn_failure_init(&ignored, &partial->context->memory, NULL);
    if (partial->journal >= 0)
        write_slot(partial, true, &ignored);
    tn_failure_clear(&ignored);
}

tenon_status tn_partial_restart(struct partial *partial, struct failure *failure)
{
    tenon_status status;

    partial->durable.count = 0;
    status = write_slot(partial, true, failure);
    if (status == TENON_OK)
        status = tn_file_set_size(partial->data, 0, tn_text(&partial->data_path), failure);
    return status;
}

/* Whatever anybody left of it. */
static void clear_away(const struct partial *partial)
{
    struct failure ignored;
    int64_t newest;

    tn_failure_init(&ignored, &partial->context->memory, NULL);
    look_around(partial, 0, true, &newest, &ignored);
    tn_failure_clear(&ignored);
}

tenon_status tn_partial_finish(struct partial *partial, const char *path, struct failure *failure)
{
    tenon_status status = tn_file_sync(partial->data, tn_text(&partial->data_path), failure);

    if (status == TENON_OK)
        status = tn_file_rename(tn_text(&partial->data_path), path, failure);
    if (status == TENON_OK) {
        struct failure ignored;

        /* A journal that could not be removed would be ours for as long as this process lives. */
        tn_failure_init(&ignored, &partial->context->memory, NULL);
        clear_away(partial);
        tn_file_set_size(partial->journal, 0, path, &ignored);
        tn_failure_clear(&ignored);
        forget(partial);
    }
    return status;
}

tenon_status tn_partial_rescue(struct partial *partial, struct failure *failure)
{
    tn_failure_clear(failure);
    name_data(partial);
    return partial->data_path.failed ? tn_fail_memory(failure)
                                     : tn_file_copy_open(partial->data, tn_text(&partial->base), tn_text(&partial->data_path), failure);
}

bool tn_partial_is_claimed(struct partial *partial, const char *base)
{
    struct journal journal;
    struct failure ignored;
    int64_t newest = 0;
    tenon_status status;

    tn_failure_init(&ignored, &partial->context->memory, NULL);
    tn_text_reset(&partial->base);
    tn_text_add(&partial->base, base);
    status = partial->base.failed ? TENON_ERROR_MEMORY : look_around(partial, 0, false, &newest, &ignored);
    if (status == TENON_OK && newest > 0)
        status = meet_owner(partial, newest, &journal, &ignored);
    forget(partial);
    tn_failure_clear(&ignored);
    return status != TENON_OK;
}

void tn_partial_clear_away(struct partial *partial, const char *base)
{
    tn_text_reset(&partial->base);
    tn_text_add(&partial->base, base);
    if (!partial->base.failed)
        clear_away(partial);
    forget(partial);
}

void tn_partial_release(struct partial *partial)
{
    struct failure ignored;

    if (partial->context == NULL)
        return;
    tn_failure_init(&ignored, &partial->context->memory, NULL);
    if (partial->journal >= 0 && !tn_forked(partial->context)) {
        bool kept = partial->durable.count > 0 && write_slot(partial, false, &ignored) == TENON_OK;

        /* Emptied first, which needs no memory: see tn_partial_finish. */
        if (!kept) {
            tn_file_set_size(partial->journal, 0, tn_text(&partial->base), &ignored);
            remove_quietly(partial, &partial->data_path);
            remove_journal(partial);
        }
    }
    tn_failure_clear(&ignored);
    forget(partial);
}

void tn_partial_discard(struct partial *partial)
{
    partial->durable.count = 0;
    tn_partial_release(partial);
}
