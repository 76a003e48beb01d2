#include "partial.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "path.h"
#include "process.h"

enum { SILENT_MS = 15000 };

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

/* Says in the journal how things stand; not owned: that it is nobody's from now on. */
static tenon_status write_slot(struct partial *partial, bool owned, struct failure *failure)
{
    struct journal journal = { .size = partial->size, .sequence = ++partial->sequence, .durable = partial->durable };
    struct process self = tn_process_self();
    struct text world;
    tenon_status status;

    tn_text_init(&world, &partial->context->memory, sizeof journal.world);
    snprintf(journal.data, sizeof journal.data, "%s", tn_path_name(tn_text(&partial->data_path)));
    if (owned) {
        tn_process_world(&world);
        journal.owner = self.id;
        journal.owner_start = self.start;
        snprintf(journal.world, sizeof journal.world, "%s", tn_text(&world));
    }
    status = world.failed ? tn_fail_memory(failure)
                          : tn_journal_write(partial->journal, &journal, tn_text(&partial->base), &partial->context->memory,
                                             failure);
    tn_text_clear(&world);
    return status;
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
    tn_journal_name(tn_text(&partial->base), partial->generation, &path);
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
        int64_t generation = tn_journal_generation_of(base, name, &rest);

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
static bool owner_lives(const struct partial *partial, const struct journal *journal, const char *path,
                        const struct file_facts *facts)
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
    tn_journal_name(tn_text(&partial->base), generation, &path);
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
    counts = facts.regular && old->size == partial->size && durable->count > 0 &&
             facts.bytes >= durable->at[durable->count - 1].end;
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
    tn_journal_name(tn_text(&partial->base), partial->generation, &path);
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

tenon_status tn_partial_noted(struct partial *partial, const struct ranges *written, struct failure *failure)
{
    partial->durable = *written;
    return write_slot(partial, true, failure);
}

tenon_status tn_partial_note(struct partial *partial, const struct ranges *written, struct failure *failure)
{
    tenon_status status = tn_file_sync(partial->data, tn_text(&partial->data_path), failure);

    return status == TENON_OK ? tn_partial_noted(partial, written, failure) : status;
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
    tenon_status status = tn_file_rename(tn_text(&partial->data_path), path, failure);

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
                                     : tn_file_copy_open(partial->data, tn_text(&partial->base), tn_text(&partial->data_path),
                                                         failure);
}

/* Does somebody who lives work on it, as far as can be told? */
static bool is_claimed(struct partial *partial)
{
    struct journal journal;
    struct failure ignored;
    int64_t newest = 0;
    tenon_status status;

    tn_failure_init(&ignored, &partial->context->memory, NULL);
    status = look_around(partial, 0, false, &newest, &ignored);
    if (status == TENON_OK && newest > 0)
        status = meet_owner(partial, newest, &journal, &ignored);
    tn_failure_clear(&ignored);
    return status != TENON_OK;
}

void tn_partial_clear_away(struct tenon_context *context, const char *base)
{
    struct partial partial;

    tn_partial_init(&partial, context);
    tn_text_add(&partial.base, base);
    if (!partial.base.failed && !is_claimed(&partial))
        clear_away(&partial);
    forget(&partial);
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
