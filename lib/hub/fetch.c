#include "fetch.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "parts.h"
#include "placing.h"

enum { SMALL = 1024 * 1024, LOCK_POLL_MS = 50, MOST_LIES = 2, WAYS = 2 };

/* ---- life ---- */

void tn_fetch_init(struct fetch *fetch, tenon_hub *hub, struct tenon_task *task)
{
    struct tenon_context *context = hub->handle.context;
    const struct memory *memory = &context->memory;

    memset(fetch, 0, sizeof *fetch);
    fetch->hub = hub;
    fetch->task = task;
    fetch->co.context = context;
    fetch->co.status = TENON_OK;
    fetch->lock.fd = -1;
    fetch->small = -1;
    tn_failure_init(&fetch->failure, memory, &context->secrets);
    tn_text_init(&fetch->place, memory, PATH_MAX);
    tn_text_init(&fetch->base, memory, PATH_MAX);
    tn_text_init(&fetch->target, memory, PATH_MAX);
    tn_text_init(&fetch->lock_path, memory, PATH_MAX);
    tn_text_init(&fetch->location, memory, 16 * 1024);
    tn_text_init(&fetch->cached, memory, PATH_MAX);
    tn_text_init(&fetch->memory, memory, SMALL);
    tn_text_init(&fetch->scratch, memory, PATH_MAX);
    tn_copy_init(&fetch->copy, context, &fetch->co);
    tn_partial_init(&fetch->partial, context);
}

/* The system tells once that the disk lost something: what is being made durable must be heard of before more is. */
static bool may_note(struct fetch *fetch, struct failure *failure)
{
    tn_durable_wait(&fetch->durable, fetch->co.context);
    return !fetch->flushing || tn_durable_end(&fetch->durable, fetch->path, failure) == TENON_OK;
}

/* What came before it failed, or was given up, stays for the next try, unless it is not what it should be. */
static void keep_what_came(struct fetch *fetch)
{
    struct failure ignored;

    tn_failure_init(&ignored, &fetch->co.context->memory, NULL);
    if (fetch->failure.status == TENON_ERROR_INTEGRITY)
        tn_partial_discard(&fetch->partial);
    else if (fetch->partial.data >= 0 && fetch->rounds > 0 && may_note(fetch, &ignored))
        tn_partial_note(&fetch->partial, &fetch->spool.written, &ignored);
    tn_failure_clear(&ignored);
}

void tn_fetch_clear(struct fetch *fetch)
{
    if (fetch->hub == NULL)
        return;
    tn_co_stop(&fetch->co);
    tn_copy_stop(&fetch->copy);
    tn_parts_clear(fetch);
    if (fetch->source == NULL && !tn_forked(fetch->co.context))
        keep_what_came(fetch);
    tn_durable_stop(&fetch->durable);
    tn_timer_stop(fetch->co.context, &fetch->timer);
    tn_partial_release(&fetch->partial);
    tn_placing_forget(fetch);
    tn_lock_release(&fetch->lock);
    tn_hash_stop(&fetch->hash);
    tn_failure_clear(&fetch->failure);
    tn_text_clear(&fetch->place);
    tn_text_clear(&fetch->base);
    tn_text_clear(&fetch->target);
    tn_text_clear(&fetch->lock_path);
    tn_text_clear(&fetch->location);
    tn_text_clear(&fetch->cached);
    tn_text_clear(&fetch->memory);
    tn_text_clear(&fetch->scratch);
    fetch->hub = NULL;
}

/* ---- progress ---- */

void tn_fetch_show(struct fetch *fetch, int64_t bytes, bool present)
{
    tenon_progress *progress = &fetch->task->progress;

    progress->bytes += bytes;
    fetch->shown += bytes;
    if (present) {
        progress->bytes_present += bytes;
        fetch->shown_present += bytes;
    }
}

static void unshow(struct fetch *fetch)
{
    fetch->task->progress.bytes -= fetch->shown;
    fetch->task->progress.bytes_present -= fetch->shown_present;
    fetch->shown = fetch->shown_present = 0;
}

/* ---- taking turns ---- */

/* TENON_OK when the lock is held; TENON_AGAIN with the timer set when it is somebody else's. */
static tenon_status take_lock(struct fetch *fetch)
{
    tenon_status status = fetch->lock.fd >= 0 ? TENON_OK : tn_lock_try(&fetch->lock, tn_text(&fetch->lock_path), &fetch->failure);

    if (status == TENON_AGAIN && tn_now(fetch->co.context) >= fetch->deadline_ms) {
        status = tn_fail(&fetch->failure, TENON_ERROR_BUSY, "%s: another process has been downloading it for too long",
                         fetch->path);
        tn_hint(&fetch->failure, "Wait for it, or end it; the lock is %s.", tn_text(&fetch->lock_path));
    } else if (status == TENON_AGAIN)
        tn_timer_set(fetch->co.context, &fetch->timer, LOCK_POLL_MS, &fetch->co);
    return status;
}

static void set_deadline(struct fetch *fetch)
{
    int64_t most = tn_setting_integer(&fetch->co.context->settings, SETTING_HUB_LOCK_MS);
    int64_t now = tn_now(fetch->co.context);

    fetch->deadline_ms = most > INT64_MAX - now ? INT64_MAX : now + most;
}

/* Another tenon works on it: looks again soon. As long as that gets on, there is no hurry. */
static tenon_status wait_for_owner(struct fetch *fetch)
{
    tenon_status status = TENON_AGAIN;

    if (fetch->partial.seen_bytes > fetch->seen_bytes) {
        fetch->seen_bytes = fetch->partial.seen_bytes;
        set_deadline(fetch);
    }
    if (tn_now(fetch->co.context) >= fetch->deadline_ms) {
        status = tn_fail(&fetch->failure, TENON_ERROR_BUSY, "%s: another process is downloading it and gets no further",
                         fetch->path);
        tn_hint(&fetch->failure, "Wait for it, or end it; the file beside %s with .j in its name says which process it is.",
                tn_text(&fetch->base));
    } else
        tn_timer_set(fetch->co.context, &fetch->timer, 2 * LOCK_POLL_MS, &fetch->co);
    return status;
}

/*
 * One try to get the turn: TENON_OK when the content is there (present) or is ours to fetch, TENON_AGAIN while somebody
 * else has it. The lock is held for this look only.
 */
static tenon_status take_turn(struct fetch *fetch)
{
    /* A small file is not claimed: where nobody has made the lock, nobody is at it. */
    bool alone = fetch->in_memory && !tn_file_exists(tn_text(&fetch->lock_path));
    tenon_status status = alone ? TENON_OK : take_lock(fetch);

    if (status != TENON_OK)
        return status;
    if (tn_placing_has_content(fetch)) {
        fetch->present = true;
        tn_fetch_show(fetch, fetch->bytes, true);
        status = tn_placing_settle(fetch, false);
        tn_placing_clear_away(fetch);
    } else if (!fetch->in_memory)
        status = tn_partial_claim(&fetch->partial, tn_text(&fetch->base), fetch->bytes, &fetch->failure);
    tn_lock_release(&fetch->lock);
    return status == TENON_AGAIN ? wait_for_owner(fetch) : status;
}

/* ---- the hash ---- */

static tenon_status start_hash(struct fetch *fetch)
{
    enum hash_kind kind = fetch->hashes ? fetch->hash_kind : HASH_SHA256;

    fetch->spool.hashed = 0;
    return tn_hash_start(&fetch->hash, kind, fetch->bytes, &fetch->failure);
}

/* Does what came have the hash that names it? */
static tenon_status verify(struct fetch *fetch)
{
    char hex[TN_HEX_MOST + 1];
    tenon_status status = tn_hash_end(&fetch->hash, hex, &fetch->failure);

    if (status == TENON_OK && *fetch->etag == '\0')
        memcpy(fetch->etag, hex, sizeof hex);
    else if (status == TENON_OK && fetch->hashes && strcmp(hex, fetch->etag) != 0) {
        fetch->again = true;
        fetch->lies++;
        status = tn_fail(&fetch->failure, TENON_ERROR_INTEGRITY, "%s: what arrived has the hash %s, promised was %s", fetch->path,
                         hex, fetch->etag);
        tn_hint(&fetch->failure, "Something on the way changes the content: try another network, or check the proxy and the hub.");
    } else if (status == TENON_OK && !fetch->hashes)
        tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s: its content id %s is no hash; only the size could be checked",
               fetch->path, fetch->etag);
    return status;
}

/* ---- over HTTP ---- */

/* Nothing of an earlier round counts. */
static tenon_status start_over(struct fetch *fetch)
{
    tenon_status status = TENON_OK;

    tn_parts_stop(fetch);
    unshow(fetch);
    tn_text_reset(&fetch->memory);
    tn_text_reset(&fetch->location);
    tn_durable_stop(&fetch->durable);
    fetch->flushing = false;
    fetch->spool.written.count = 0;
    fetch->noted_bytes = 0;
    if (!fetch->in_memory)
        status = tn_partial_restart(&fetch->partial, &fetch->failure);
    return status;
}

static tenon_status start_round(struct fetch *fetch)
{
    bool first = fetch->rounds++ == 0;
    tenon_status status = first ? TENON_OK : start_over(fetch);

    fetch->again = false;
    if (status == TENON_OK && first && !fetch->in_memory) {
        fetch->spool.written = fetch->partial.durable;
        fetch->noted_bytes = tn_ranges_sum(&fetch->spool.written);
        tn_fetch_show(fetch, fetch->noted_bytes, true);
        status = tn_placing_check_room(fetch, fetch->bytes - fetch->noted_bytes);
        if (fetch->noted_bytes > 0)
            tn_log(fetch->co.context, TENON_LOG_INFO, "hub", "%s: %" PRId64 " of %" PRId64 " bytes are here from before",
                   fetch->path, fetch->noted_bytes, fetch->bytes);
    }
    if (status == TENON_OK)
        status = start_hash(fetch);
    if (status == TENON_OK)
        tn_parts_begin(fetch);
    return status;
}

/* ---- from a folder ---- */

/* When the source was changed last; 0 where that cannot be told. */
static int64_t changed_at(struct fetch *fetch)
{
    struct file_facts facts = { 0 };
    struct failure ignored;

    tn_failure_init(&ignored, &fetch->co.context->memory, NULL);
    tn_file_look(fetch->source, &facts, &ignored);
    tn_failure_clear(&ignored);
    return facts.modified_ns;
}

/* A slice of the source: TENON_AGAIN while there is more. */
static tenon_status copy_slice(struct fetch *fetch)
{
    int64_t before = fetch->copy.bytes;
    tenon_status status = tn_copy_slice(&fetch->copy, fetch->source, fetch->path, &fetch->failure);

    tn_fetch_show(fetch, fetch->copy.bytes - before, false);
    if (status == TENON_OK && (fetch->copy.bytes != fetch->bytes || changed_at(fetch) != fetch->source_ns))
        status = tn_fail(&fetch->failure, TENON_ERROR_INTEGRITY, "%s changed while it was read", fetch->source);
    return status;
}

/* What an earlier try left is not gone on from: reading a disk again costs less than telling whether it is the same. */
static tenon_status start_copy(struct fetch *fetch)
{
    tenon_status status = tn_partial_restart(&fetch->partial, &fetch->failure);

    if (status == TENON_OK)
        status = tn_placing_check_room(fetch, fetch->bytes);
    if (status == TENON_OK)
        status = start_hash(fetch);
    if (status == TENON_OK)
        status = tn_copy_start(&fetch->copy, fetch->source, fetch->partial.data, &fetch->hash, &fetch->failure);
    fetch->source_ns = changed_at(fetch);
    return status;
}

/* What was copied from the cache is not what it should be: then the hub is asked, where it may be. */
static tenon_status ask_instead(struct fetch *fetch)
{
    if (fetch->failure.status != TENON_ERROR_INTEGRITY || fetch->source != tn_text(&fetch->cached) || fetch->offline)
        return fetch->failure.status;
    tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s is corrupt in the cache and is fetched anew", fetch->path);
    tn_failure_clear(&fetch->failure);
    fetch->source = NULL;
    fetch->again = false;
    fetch->lies = 0;
    unshow(fetch);
    return tn_partial_restart(&fetch->partial, &fetch->failure);
}

/* ---- what lies in the user's folder already ---- */

/* A file of the right size without a note, put there by somebody else: worth a look at its hash. */
static bool is_candidate(struct fetch *fetch)
{
    struct file_facts facts = { 0 };
    struct failure ignored;
    bool candidate;

    tn_failure_init(&ignored, &fetch->co.context->memory, NULL);
    candidate = fetch->folder != NULL && !fetch->force && fetch->hashes && !fetch->present && !tn_placing_in_folder(fetch) &&
                tn_file_look_at_link(tn_text(&fetch->target), &facts, &ignored) == TENON_OK && facts.regular &&
                facts.bytes == fetch->bytes;
    candidate = candidate && start_hash(fetch) == TENON_OK &&
                tn_copy_start(&fetch->copy, tn_text(&fetch->target), -1, &fetch->hash, &ignored) == TENON_OK;
    if (!candidate)
        tn_copy_stop(&fetch->copy);
    tn_failure_clear(&ignored);
    return candidate;
}

/* Is it the content? Then it only needs its note. */
static tenon_status judge_candidate(struct fetch *fetch)
{
    char hex[TN_HEX_MOST + 1];
    tenon_status status = tn_hash_end(&fetch->hash, hex, &fetch->failure);

    tn_copy_stop(&fetch->copy);
    if (status == TENON_OK && strcmp(hex, fetch->etag) == 0) {
        fetch->present = true;
        tn_fetch_show(fetch, fetch->bytes, true);
        status = tn_placing_settle(fetch, false);
        tn_placing_clear_away(fetch);
    }
    return status;
}

/* ---- its end ---- */

/* All that came is durable before the lock is taken: others wait for that. Whoever fetches many files can go on meanwhile. */
static tenon_status start_flush(struct fetch *fetch)
{
    tenon_status status = fetch->in_memory ? tn_placing_write(fetch) : TENON_OK;

    if (status == TENON_OK) {
        fetch->flushed = fetch->spool.written;
        tn_durable_start(&fetch->durable, fetch->co.context, fetch->in_memory ? fetch->small : fetch->partial.data, &fetch->co);
        fetch->arrived = true;
        if (fetch->co.waiter != NULL)
            tn_co_wake(fetch->co.waiter);
    }
    return status;
}

static tenon_status end_flush(struct fetch *fetch)
{
    tenon_status status = tn_durable_end(&fetch->durable, fetch->path, &fetch->failure);

    if (status == TENON_OK && fetch->source == NULL && !fetch->in_memory)
        status = tn_partial_noted(&fetch->partial, &fetch->flushed, &fetch->failure);
    return status;
}

/* ---- the coroutine ---- */

/* After a failed round: true when another may bring what this one did not. */
static bool may_begin_anew(struct fetch *fetch)
{
    int64_t retries = tn_setting_integer(&fetch->co.context->settings, SETTING_TRANSPORT_RETRIES);
    bool may = fetch->again && fetch->lies < MOST_LIES && fetch->rounds <= retries + MOST_LIES + WAYS;

    if (may) {
        tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s; beginning anew",
               fetch->failure.message != NULL ? fetch->failure.message : fetch->path);
        tn_failure_clear(&fetch->failure);
    }
    return may;
}

static tenon_status prepare(struct fetch *fetch)
{
    tenon_status status = tn_placing_prepare(fetch);

    fetch->hashes = tn_hash_of_etag(fetch->etag, &fetch->hash_kind);
    fetch->in_memory = fetch->bytes <= SMALL && fetch->source == NULL;
    fetch->seen_bytes = -1;
    return status;
}

static bool is_there(struct fetch *fetch)
{
    fetch->present = fetch->folder == NULL && tn_placing_in_cache(fetch);
    if (fetch->present)
        tn_fetch_show(fetch, fetch->bytes, true);
    return fetch->present;
}

static tenon_status fetch_step(struct co *co)
{
    struct fetch *fetch = TN_CONTAINER(co, struct fetch, co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (is_there(fetch))
        goto done;
    status = prepare(fetch);
    if (status == TENON_OK && is_candidate(fetch)) {
        AWAIT(co, (status = tn_copy_slice(&fetch->copy, tn_text(&fetch->target), "", &fetch->failure)) != TENON_AGAIN ||
                  tn_copy_go_on(&fetch->copy));
        if (status == TENON_OK)
            status = judge_candidate(fetch);
    }
    set_deadline(fetch);
    if (status == TENON_OK && !fetch->present)
        AWAIT(co, !tn_timer_running(&fetch->timer) && (status = take_turn(fetch)) != TENON_AGAIN);
    if (status != TENON_OK || fetch->present)
        goto done;

    if (fetch->source != NULL) {
        status = start_copy(fetch);
        if (status == TENON_OK)
            AWAIT(co, (status = copy_slice(fetch)) != TENON_AGAIN || tn_copy_go_on(&fetch->copy));
        tn_copy_stop(&fetch->copy);
        if (status == TENON_OK)
            status = verify(fetch);
        if (status != TENON_OK)
            status = ask_instead(fetch);
    }
    if (status == TENON_OK && fetch->source == NULL) {
        status = fetch->offline ? tn_hub_fail_offline(&fetch->failure, fetch->path) : tn_parts_make(fetch);
        while (status == TENON_OK) {
            status = start_round(fetch);
            if (status == TENON_OK)
                AWAIT(co, (status = tn_parts_pump(fetch)) != TENON_AGAIN);
            if (status == TENON_OK)
                status = verify(fetch);
            if (status == TENON_OK || !may_begin_anew(fetch))
                break;
            status = TENON_OK;
        }
        tn_parts_clear(fetch);
        tn_timer_stop(co->context, &fetch->timer);
        if (status != TENON_OK)
            keep_what_came(fetch);
    }
    if (status == TENON_OK)
        status = start_flush(fetch);
    if (status == TENON_OK) {
        AWAIT(co, !tn_durable_running(&fetch->durable));
        status = end_flush(fetch);
    }
    set_deadline(fetch);
    if (status == TENON_OK)
        AWAIT(co, !tn_timer_running(&fetch->timer) && (status = take_lock(fetch)) != TENON_AGAIN);
    if (status == TENON_OK)
        status = tn_placing_place(fetch);
    if (status != TENON_OK)
        status = tn_placing_explain(fetch, status);
    CO_END(co);
done:
    return status;
}

void tn_fetch_start(struct fetch *fetch, struct co *waiter)
{
    tn_co_start(&fetch->co, fetch->co.context, fetch_step, waiter);
}
