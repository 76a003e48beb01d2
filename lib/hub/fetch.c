#include "fetch.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "local.h"
#include "metadata.h"
#include "path.h"
#include "url.h"

enum { SMALL = 1024 * 1024, SLICE = 1024 * 1024, LOCK_POLL_MS = 50, NOTE_MS = 1000, MOST_LIES = 2, WAYS = 2 };

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
    tn_failure_init(&fetch->failure, memory, &context->secrets);
    tn_text_init(&fetch->place, memory, PATH_MAX);
    tn_text_init(&fetch->base, memory, PATH_MAX);
    tn_text_init(&fetch->target, memory, PATH_MAX);
    tn_text_init(&fetch->lock_path, memory, PATH_MAX);
    tn_text_init(&fetch->location, memory, 16 * 1024);
    tn_text_init(&fetch->cached, memory, PATH_MAX);
    tn_text_init(&fetch->memory, memory, SMALL);
    tn_copy_init(&fetch->copy, context);
    tn_partial_init(&fetch->partial, context);
}

static void clear_parts(struct fetch *fetch)
{
    for (int32_t i = 0; i < fetch->part_count; i++)
        tn_request_clear(&fetch->parts[i].request);
    tn_release(&fetch->co.context->memory, fetch->parts);
    fetch->parts = NULL;
    fetch->part_count = 0;
}

/* What came before it failed, or was given up, stays for the next try, unless it is not what it should be. */
static void keep_what_came(struct fetch *fetch)
{
    struct failure ignored;

    tn_failure_init(&ignored, &fetch->co.context->memory, NULL);
    if (fetch->failure.status == TENON_ERROR_INTEGRITY)
        tn_partial_discard(&fetch->partial);
    else if (fetch->partial.data >= 0 && fetch->rounds > 0)
        tn_partial_note(&fetch->partial, &fetch->written, &ignored);
    tn_failure_clear(&ignored);
}

void tn_fetch_clear(struct fetch *fetch)
{
    if (fetch->hub == NULL)
        return;
    tn_co_stop(&fetch->co);
    clear_parts(fetch);
    if (fetch->source == NULL && !tn_forked(fetch->co.context))
        keep_what_came(fetch);
    tn_timer_stop(fetch->co.context, &fetch->timer);
    tn_partial_release(&fetch->partial);
    tn_lock_release(&fetch->lock);
    tn_copy_stop(&fetch->copy);
    tn_hash_stop(&fetch->hash);
    tn_failure_clear(&fetch->failure);
    tn_text_clear(&fetch->place);
    tn_text_clear(&fetch->base);
    tn_text_clear(&fetch->target);
    tn_text_clear(&fetch->lock_path);
    tn_text_clear(&fetch->location);
    tn_text_clear(&fetch->cached);
    tn_text_clear(&fetch->memory);
    fetch->hub = NULL;
}

/* ---- progress ---- */

/* Counts bytes up or, when work was lost, down again. */
static void show(struct fetch *fetch, int64_t bytes, bool present)
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

/* ---- is it there already? ---- */

static bool in_cache(struct fetch *fetch)
{
    return !fetch->force && tn_cache_has(fetch->cache, fetch->commit, fetch->path, fetch->bytes, &fetch->place);
}

/* A plain file with a note that names this content. */
static bool in_folder(struct fetch *fetch)
{
    struct local_note note;

    tn_text_reset(&fetch->place);
    tn_local_file(fetch->folder, fetch->path, &fetch->place);
    return !fetch->force && tn_local_read(fetch->co.context, fetch->folder, fetch->path, &note) &&
           (strcmp(note.etag, fetch->etag) == 0 || (*fetch->etag == '\0' && strcmp(note.commit, fetch->commit) == 0));
}

static tenon_status note_folder(struct fetch *fetch)
{
    struct local_note note;

    memcpy(note.commit, fetch->commit, sizeof note.commit);
    memcpy(note.etag, fetch->etag, sizeof note.etag);
    return tn_local_write(fetch->co.context, fetch->folder, fetch->path, &note, &fetch->failure);
}

/* ---- paths ---- */

/* What stands for the content before its id is known: the same for everybody who fetches the same. */
static tenon_status key_of(struct fetch *fetch, char *key)
{
    struct text name;
    tenon_status status = TENON_OK;

    if (*fetch->etag != '\0') {
        memcpy(key, fetch->etag, sizeof fetch->etag);
        return TENON_OK;
    }
    tn_text_init(&name, &fetch->co.context->memory, PATH_MAX);
    tn_text_format(&name, "%s/%s", fetch->commit, fetch->path);
    status = name.failed ? tn_fail_memory(&fetch->failure) : tn_hash_bytes(HASH_SHA1, tn_text(&name), name.length, key, &fetch->failure);
    tn_text_clear(&name);
    return status;
}

static tenon_status prepare_cache(struct fetch *fetch)
{
    char key[sizeof fetch->etag];
    tenon_status status = key_of(fetch, key);

    if (status == TENON_OK) {
        tn_cache_lock_path(fetch->cache, key, &fetch->lock_path);
        tn_cache_blob_path(fetch->cache, key, &fetch->base);
        tn_cache_blob_path(fetch->cache, key, &fetch->target);
        status = tn_cache_prepare(fetch->cache, &fetch->failure);
    }
    return status;
}

static tenon_status prepare_folder(struct fetch *fetch)
{
    tn_local_lock(fetch->folder, fetch->path, &fetch->lock_path);
    tn_local_file(fetch->folder, fetch->path, &fetch->target);
    /* What the cache has need not come from the hub again. */
    if (fetch->source == NULL && !fetch->force && tn_cache_has(fetch->cache, fetch->commit, fetch->path, fetch->bytes, &fetch->cached))
        fetch->source = tn_text(&fetch->cached);
    if (tn_local_prepare(fetch->co.context, fetch->folder, fetch->path, &fetch->failure) != TENON_OK)
        return fetch->failure.status;
    return tn_local_base(fetch->folder, fetch->path, *fetch->etag != '\0' ? fetch->etag : "unknown", &fetch->base, &fetch->failure);
}

static tenon_status prepare(struct fetch *fetch)
{
    tenon_status status = fetch->folder != NULL ? prepare_folder(fetch) : prepare_cache(fetch);

    if (status == TENON_OK && (fetch->base.failed || fetch->target.failed || fetch->lock_path.failed))
        status = tn_fail_memory(&fetch->failure);
    fetch->hashes = tn_hash_of_etag(fetch->etag, &fetch->hash_kind);
    fetch->in_memory = fetch->bytes <= SMALL && fetch->source == NULL;
    fetch->seen_bytes = -1;
    return status;
}

/* Said before the work, where it can be known; what is here already needs no more room. */
static tenon_status check_room(struct fetch *fetch, int64_t missing)
{
    int64_t room = tn_disk_free(tn_text(&fetch->target));

    if (room < 0 || room >= missing)
        return TENON_OK;
    tn_fail(&fetch->failure, TENON_ERROR_DISK_FULL, "%s needs %" PRId64 " more bytes, %" PRId64 " are free", fetch->path, missing, room);
    return tn_hint(&fetch->failure, "Free some space, or choose another folder with HF_HUB_CACHE.");
}

/* ---- taking turns ---- */

/* TENON_OK when the lock is held; TENON_AGAIN with the timer set when it is somebody else's. */
static tenon_status take_lock(struct fetch *fetch)
{
    tenon_status status = fetch->lock.fd >= 0 ? TENON_OK : tn_lock_try(&fetch->lock, tn_text(&fetch->lock_path), &fetch->failure);

    if (status == TENON_AGAIN && tn_now(fetch->co.context) >= fetch->deadline_ms) {
        status = tn_fail(&fetch->failure, TENON_ERROR_BUSY, "%s: another process has been downloading it for too long", fetch->path);
        tn_hint(&fetch->failure, "Wait for it, or end it; the lock is %s.", tn_text(&fetch->lock_path));
    } else if (status == TENON_AGAIN &&
               tn_timer_set(fetch->co.context, &fetch->timer, LOCK_POLL_MS, &fetch->co) != TENON_OK)
        status = tn_fail_memory(&fetch->failure);
    return status;
}

static void set_deadline(struct fetch *fetch)
{
    int64_t most = tn_setting_integer(&fetch->co.context->settings, SETTING_HUB_LOCK_MS);
    int64_t now = tn_now(fetch->co.context);

    fetch->deadline_ms = most > INT64_MAX - now ? INT64_MAX : now + most;
}

/* Under the lock: is the content there, from another revision or another client? */
static bool content_is_there(struct fetch *fetch)
{
    bool there = false;

    if (fetch->folder == NULL && !fetch->force && *fetch->etag != '\0')
        there = tn_cache_has_blob(fetch->cache, fetch->etag, fetch->bytes);
    else if (fetch->folder != NULL)
        there = in_folder(fetch);
    return there;
}

/* Makes what is there appear where the caller looks for it; fresh: it has just come. */
static tenon_status settle(struct fetch *fetch, bool fresh)
{
    tenon_status status;

    tn_text_reset(&fetch->place);
    if (fetch->folder != NULL) {
        tn_local_file(fetch->folder, fetch->path, &fetch->place);
        status = note_folder(fetch);
    } else {
        tn_cache_snapshot_path(fetch->cache, fetch->commit, fetch->path, &fetch->place);
        status = tn_cache_link(fetch->cache, fetch->commit, fetch->path, fetch->etag, fresh, &fetch->failure);
    }
    return status == TENON_OK && fetch->place.failed ? tn_fail_memory(&fetch->failure) : status;
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
        status = tn_fail(&fetch->failure, TENON_ERROR_BUSY, "%s: another process is downloading it and gets no further", fetch->path);
        tn_hint(&fetch->failure, "Wait for it, or end it; the file beside %s with .j in its name says which process it is.", tn_text(&fetch->base));
    } else if (tn_timer_set(fetch->co.context, &fetch->timer, 2 * LOCK_POLL_MS, &fetch->co) != TENON_OK)
        status = tn_fail_memory(&fetch->failure);
    return status;
}

/* What killed processes left of a content that is there. */
static void clear_away(struct fetch *fetch)
{
    if (!fetch->in_memory)
        tn_partial_clear_away(fetch->co.context, tn_text(&fetch->base));
}

/*
 * One try to get the turn: TENON_OK when the content is there (present) or is ours to fetch, TENON_AGAIN while somebody
 * else has it. The lock is held for this look only.
 */
static tenon_status take_turn(struct fetch *fetch)
{
    tenon_status status = take_lock(fetch);

    if (status != TENON_OK)
        return status;
    if (content_is_there(fetch)) {
        fetch->present = true;
        show(fetch, fetch->bytes, true);
        status = settle(fetch, false);
        clear_away(fetch);
    } else if (!fetch->in_memory)
        status = tn_partial_claim(&fetch->partial, tn_text(&fetch->base), fetch->bytes, &fetch->failure);
    tn_lock_release(&fetch->lock);
    return status == TENON_AGAIN ? wait_for_owner(fetch) : status;
}

/* ---- the hash follows the bytes ---- */

static tenon_status start_hash(struct fetch *fetch)
{
    enum hash_kind kind = fetch->hashes ? fetch->hash_kind : HASH_SHA256;

    fetch->hashed = 0;
    return tn_hash_start(&fetch->hash, kind, fetch->bytes, &fetch->failure);
}

/* Hashes a slice of what is on disk already. */
static tenon_status catch_up(struct fetch *fetch)
{
    int64_t reach = tn_ranges_reach(&fetch->written, fetch->hashed);
    size_t want = reach - fetch->hashed < SLICE ? (size_t)(reach - fetch->hashed) : SLICE, got = 0;
    char *slice = want > 0 ? tn_alloc(&fetch->co.context->memory, want) : NULL;
    tenon_status status = TENON_OK;

    if (want == 0)
        return TENON_OK;
    if (slice == NULL)
        return tn_fail_memory(&fetch->failure);
    status = tn_file_read_at(fetch->partial.data, slice, want, fetch->hashed, &got, fetch->path, &fetch->failure);
    if (status == TENON_OK && got != want)
        status = tn_fail(&fetch->failure, TENON_ERROR_IO, "%s: bytes that were written are gone", fetch->path);
    if (status == TENON_OK) {
        tn_hash_add(&fetch->hash, slice, want);
        fetch->hashed += (int64_t)want;
    }
    tn_release(&fetch->co.context->memory, slice);
    tn_co_wake(&fetch->co);
    return status;
}

/* ---- what a part hears ---- */

/* The server's content id, where the answer comes from the hub itself: a CDN's own means nothing. */
static bool other_content(struct part *part)
{
    struct request *request = &part->request;
    struct text value;
    char etag[129];
    const char *header;
    bool other = false;

    if (*part->fetch->etag == '\0' ||
        !tn_url_same_origin(part->fetch->hub->endpoint, tn_text(&request->final_url)))
        return false;
    tn_text_init(&value, &request->context->memory, 1024);
    header = tn_response_header(request, "x-linked-etag", &value);
    if (header == NULL)
        header = tn_response_header(request, "etag", &value);
    other = header != NULL && tn_etag_normal(header, etag, sizeof etag) && strcmp(etag, part->fetch->etag) != 0;
    tn_text_clear(&value);
    return other;
}

/* The answer is of no use as it is: begin anew. */
static tenon_status begin_anew(struct part *part, const char *why)
{
    part->fetch->again = true;
    tn_fail(&part->request.failure, TENON_ERROR_INTEGRITY, "%s: %s", part->fetch->path, why);
    return tn_hint(&part->request.failure, "Try again; if it stays so, the hub or a proxy on the way is broken.");
}

/* It is not what was promised: that may happen once. What several parts hear of it in one round is one lie. */
static tenon_status call_lie(struct part *part, const char *why)
{
    part->fetch->lies += !part->fetch->again;
    return begin_anew(part, why);
}

/* The server cannot do ranges, whatever it says: it is asked for the whole file from then on. */
static tenon_status give_up_ranges(struct part *part, const char *why)
{
    if (part->fetch->single)
        return call_lie(part, why);
    part->fetch->single = true;
    return begin_anew(part, why);
}

/* The answer to a range: it must be that range of a file of that size. */
static tenon_status check_range(struct part *part)
{
    int64_t first = 0, last = 0, total = -1;

    if (!tn_response_range(&part->request, &first, &last, &total) || first != part->next || last >= part->end ||
        (total >= 0 && total != part->fetch->bytes))
        return give_up_ranges(part, "the server sends another range than it was asked for");
    return TENON_OK;
}

/* The answer is the whole file. */
static tenon_status check_whole(struct part *part)
{
    struct fetch *fetch = part->fetch;
    int64_t length = tn_response_integer(&part->request, "content-length", -1);

    if (part->next > 0 || part->end != fetch->bytes || tn_ranges_sum(&fetch->written) > 0)
        return give_up_ranges(part, "the server ignores ranges");
    if (!fetch->decode && length >= 0 && length != fetch->bytes)
        return call_lie(part, "the server sends another size than it promised");
    return TENON_OK;
}

static tenon_status part_begun(struct request *request)
{
    struct part *part = request->owner;
    struct fetch *fetch = part->fetch;
    tenon_status status;

    if (!fetch->decode && tn_hub_is_encoded(request)) {
        fetch->single = fetch->decode = true;
        status = begin_anew(part, "the server compresses although it was asked not to");
    } else if (other_content(part))
        status = call_lie(part, "the file changed while it was read");
    else if (request->status == 206)
        status = check_range(part);
    else
        status = check_whole(part);
    if (status == TENON_OK && strcmp(tn_text(&request->final_url), tn_text(&request->url)) != 0 && !part->direct) {
        tn_text_reset(&fetch->location);
        tn_text_add(&fetch->location, tn_text(&request->final_url));
    }
    return status;
}

static tenon_status store(struct fetch *fetch, struct part *part, const char *bytes, size_t size)
{
    tenon_status status = TENON_OK;

    if (fetch->in_memory) {
        tn_text_add_n(&fetch->memory, bytes, size);
        return tn_text_status(&fetch->memory) == TENON_OK ? TENON_OK : tn_fail_memory(&part->request.failure);
    }
    status = tn_file_write_at(fetch->partial.data, bytes, size, part->next, fetch->path, &part->request.failure);
    if (status == TENON_OK && !tn_ranges_add(&fetch->written, part->next, part->next + (int64_t)size))
        status = tn_fail(&part->request.failure, TENON_ERROR_INTERNAL, "%s: too many pieces", fetch->path);
    return status;
}

static tenon_status part_data(struct request *request, const char *bytes, size_t size)
{
    struct part *part = request->owner;
    struct fetch *fetch = part->fetch;
    tenon_status status;

    if ((int64_t)size > part->end - part->next)
        return call_lie(part, "the server sends more than it promised");
    status = store(fetch, part, bytes, size);
    if (status == TENON_OK) {
        if (fetch->hashed == part->next) {
            tn_hash_add(&fetch->hash, bytes, size);
            fetch->hashed += (int64_t)size;
        }
        part->next += (int64_t)size;
        show(fetch, (int64_t)size, false);
    }
    return status;
}

/* ---- parts ---- */

static void start_part(struct fetch *fetch, struct part *part, int64_t first, int64_t end)
{
    struct request *request = &part->request;

    if (request->context != NULL)
        tn_request_clear(request);
    tn_request_init(request, fetch->co.context);
    part->fetch = fetch;
    part->first = part->next = first;
    part->end = end;
    part->active = true;
    part->direct = fetch->location.length > 0;
    if (part->direct)
        tn_text_add(&request->url, tn_text(&fetch->location));
    else
        tn_hub_resolve(fetch->hub, fetch->repository, fetch->commit, fetch->path, &request->url);
    tn_hub_request(fetch->hub, request, fetch->path);
    tn_request_header(request, "X-HF-Download-Counter", "1");
    if (!fetch->single && (first > 0 || end < fetch->bytes))
        tn_request_range(request, first, end - 1);
    request->decode = fetch->decode;
    request->stream = true;
    request->owner = part;
    request->begun = part_begun;
    request->data = part_data;
    request->retry_count = &fetch->task->progress.retries;
    tn_request_start(request, &fetch->co);
}

/* The first byte at or after at that is neither written nor on its way. */
static int64_t next_missing(const struct fetch *fetch, int64_t at)
{
    int64_t before;

    do {
        before = at;
        at = tn_ranges_reach(&fetch->written, at);
        for (int32_t i = 0; i < fetch->part_count; i++)
            if (fetch->parts[i].active && at >= fetch->parts[i].next && at < fetch->parts[i].end)
                at = fetch->parts[i].end;
    } while (at != before);
    return at;
}

/* Where a part that begins at first must end: at the part size, at bytes that are there, or at another part. */
static int64_t end_of_part(const struct fetch *fetch, int64_t first)
{
    int64_t most = tn_setting_integer(&fetch->co.context->settings, SETTING_HUB_PART_BYTES);
    int64_t end = tn_ranges_next(&fetch->written, first, fetch->bytes);

    for (int32_t i = 0; i < fetch->part_count; i++)
        if (fetch->parts[i].active && fetch->parts[i].next > first && fetch->parts[i].next < end)
            end = fetch->parts[i].next;
    return end - first > most && !fetch->single ? first + most : end;
}

static void start_parts(struct fetch *fetch)
{
    for (int32_t i = 0; i < fetch->part_count; i++) {
        int64_t first = next_missing(fetch, 0);

        if (fetch->parts[i].active || first >= fetch->bytes || fetch->written.count + fetch->part_count >= TN_RANGES)
            continue;
        start_part(fetch, &fetch->parts[i], first, end_of_part(fetch, first));
    }
    /* Pieces that are nearly too many grow together by one part alone. */
    if (fetch->part_count > 0 && !fetch->parts[0].active && next_missing(fetch, 0) < fetch->bytes && fetch->written.count + fetch->part_count >= TN_RANGES)
        start_part(fetch, &fetch->parts[0], next_missing(fetch, 0), end_of_part(fetch, next_missing(fetch, 0)));
}

/* May a part that failed be asked for again, from where it is? */
static bool can_go_on(struct fetch *fetch, struct part *part)
{
    tenon_status status = part->request.co.status;
    bool passing = status == TENON_ERROR_NETWORK || status == TENON_ERROR_TIMEOUT || status == TENON_ERROR_UNAVAILABLE;
    bool moved = part->next > part->first;
    bool refused = part->request.failure.http_status >= 400;
    /* The address that the hub had led to may have expired: the hub knows a new one. */
    bool stale = part->direct && !moved && (passing || refused);

    if (stale)
        tn_text_reset(&fetch->location);
    if (passing && moved && (fetch->single || fetch->in_memory)) {
        /* There is nothing to go on from. */
        fetch->again = true;
        return false;
    }
    /* One that brought nothing has been repeated by the request itself. */
    return part->next < part->end && (stale || (passing && moved));
}

/* Looks at a part that has ended. TENON_OK: done, or asked for again. */
static tenon_status end_part(struct fetch *fetch, struct part *part)
{
    tenon_status status = part->request.co.status;

    part->active = false;
    if (status == TENON_OK && part->next < part->end) {
        status = tn_fail(&part->request.failure, TENON_ERROR_NETWORK, "%s: the line was cut", fetch->path);
        part->request.co.status = status;
    }
    if (status == TENON_OK)
        return TENON_OK;
    if (part->request.status == 416)
        give_up_ranges(part, "the server has fewer bytes than it promised");
    if (fetch->again || !can_go_on(fetch, part))
        return tn_failure_move(&fetch->failure, &part->request.failure);
    tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s: going on at byte %" PRId64 ": %s", fetch->path, part->next,
           part->request.failure.message != NULL ? part->request.failure.message : "");
    start_part(fetch, part, part->next, part->end);
    return TENON_OK;
}

/* After a while, or after as much as the setting says: neither is long to wait for the disk, nor much to fetch again. */
static tenon_status note_if_due(struct fetch *fetch)
{
    int64_t now = tn_now(fetch->co.context), bytes = tn_ranges_sum(&fetch->written);
    int64_t most = tn_setting_integer(&fetch->co.context->settings, SETTING_HUB_PART_BYTES);
    tenon_status status = TENON_OK;

    if (fetch->in_memory || (now - fetch->noted_ms < NOTE_MS && bytes - fetch->noted_bytes < most))
        return TENON_OK;
    if (bytes != fetch->noted_bytes)
        status = tn_partial_note(&fetch->partial, &fetch->written, &fetch->failure);
    else
        tn_partial_heartbeat(&fetch->partial);
    fetch->noted_ms = tn_now(fetch->co.context);
    fetch->noted_bytes = bytes;
    if (status == TENON_OK && tn_timer_set(fetch->co.context, &fetch->timer, NOTE_MS, &fetch->co) != TENON_OK)
        status = tn_fail_memory(&fetch->failure);
    return status;
}

static int64_t bytes_here(const struct fetch *fetch)
{
    return fetch->in_memory ? (int64_t)fetch->memory.length : tn_ranges_sum(&fetch->written);
}

/* One look at everything: TENON_AGAIN while bytes are missing, TENON_OK when all are here and hashed. */
static tenon_status pump(struct fetch *fetch)
{
    tenon_status status = TENON_OK;
    bool running = false;

    for (int32_t i = 0; i < fetch->part_count && status == TENON_OK; i++) {
        struct part *part = &fetch->parts[i];

        if (part->active && !tn_co_running(&part->request.co))
            status = end_part(fetch, part);
        running = running || part->active;
    }
    if (status == TENON_OK && !fetch->in_memory)
        status = catch_up(fetch);
    if (status == TENON_OK)
        status = note_if_due(fetch);
    if (status == TENON_OK && bytes_here(fetch) < fetch->bytes) {
        start_parts(fetch);
        status = TENON_AGAIN;
    } else if (status == TENON_OK && (fetch->hashed < fetch->bytes || running))
        status = TENON_AGAIN;
    return status;
}

/* ---- over HTTP ---- */

/* Nothing of an earlier round counts. */
static tenon_status start_over(struct fetch *fetch)
{
    tenon_status status = TENON_OK;

    for (int32_t i = 0; i < fetch->part_count; i++) {
        tn_request_clear(&fetch->parts[i].request);
        fetch->parts[i].active = false;
    }
    unshow(fetch);
    tn_text_reset(&fetch->memory);
    tn_text_reset(&fetch->location);
    fetch->written.count = 0;
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
        fetch->written = fetch->partial.durable;
        fetch->noted_bytes = tn_ranges_sum(&fetch->written);
        show(fetch, fetch->noted_bytes, true);
        status = check_room(fetch, fetch->bytes - fetch->noted_bytes);
        if (fetch->noted_bytes > 0)
            tn_log(fetch->co.context, TENON_LOG_INFO, "hub", "%s: %" PRId64 " of %" PRId64 " bytes are here from before", fetch->path,
                   fetch->noted_bytes, fetch->bytes);
    }
    if (status == TENON_OK)
        status = start_hash(fetch);
    fetch->noted_ms = tn_now(fetch->co.context);
    if (status == TENON_OK && !fetch->in_memory && tn_timer_set(fetch->co.context, &fetch->timer, NOTE_MS, &fetch->co) != TENON_OK)
        status = tn_fail_memory(&fetch->failure);
    return status;
}

static tenon_status make_parts(struct fetch *fetch)
{
    const struct settings *settings = &fetch->co.context->settings;
    bool large = fetch->bytes > tn_setting_integer(settings, SETTING_HUB_PART_BYTES);

    fetch->part_count = large ? (int32_t)tn_setting_integer(settings, SETTING_HUB_PARTS) : 1;
    fetch->parts = tn_alloc_array(&fetch->co.context->memory, (size_t)fetch->part_count, sizeof *fetch->parts);
    if (fetch->parts == NULL)
        fetch->part_count = 0;
    return fetch->parts != NULL ? TENON_OK : tn_fail_memory(&fetch->failure);
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
        status = tn_fail(&fetch->failure, TENON_ERROR_INTEGRITY, "%s: what arrived has the hash %s, promised was %s", fetch->path, hex, fetch->etag);
        tn_hint(&fetch->failure, "Something on the way changes the content: try another network, or check the proxy and the hub.");
    } else if (status == TENON_OK && !fetch->hashes)
        tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s: its content id %s is no hash; only the size could be checked", fetch->path, fetch->etag);
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

    show(fetch, fetch->copy.bytes - before, false);
    if (status == TENON_OK && (fetch->copy.bytes != fetch->bytes || changed_at(fetch) != fetch->source_ns))
        status = tn_fail(&fetch->failure, TENON_ERROR_INTEGRITY, "%s changed while it was read", fetch->source);
    return status;
}

/* What an earlier try left is not gone on from: reading a disk again costs less than telling whether it is the same. */
static tenon_status start_copy(struct fetch *fetch)
{
    tenon_status status = tn_partial_restart(&fetch->partial, &fetch->failure);

    if (status == TENON_OK)
        status = check_room(fetch, fetch->bytes);
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
    tn_copy_stop(&fetch->copy);
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
    candidate = fetch->folder != NULL && !fetch->force && fetch->hashes && !fetch->present && !in_folder(fetch) &&
                tn_file_look_at_link(tn_text(&fetch->target), &facts, &ignored) == TENON_OK && facts.regular && facts.bytes == fetch->bytes;
    candidate = candidate && tn_copy_start(&fetch->copy, tn_text(&fetch->target), -1, &fetch->hash, &ignored) == TENON_OK &&
                start_hash(fetch) == TENON_OK;
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
        show(fetch, fetch->bytes, true);
        status = settle(fetch, false);
        clear_away(fetch);
    }
    return status;
}

/* ---- into its place ---- */

/* Writes a small file and gives it its name. */
static tenon_status place_memory(struct fetch *fetch)
{
    struct text scratch;
    char chance[9];
    tenon_status status;

    tn_text_init(&scratch, &fetch->co.context->memory, PATH_MAX);
    tn_random_hex(fetch->co.context, chance, 8);
    tn_text_format(&scratch, "%s.%s.tenon.incomplete", tn_text(&fetch->base), chance);
    status = scratch.failed ? tn_fail_memory(&fetch->failure)
                            : tn_file_replace_by(tn_text(&scratch), tn_text(&fetch->target), tn_text(&fetch->memory), fetch->memory.length, 0,
                                                 true, &fetch->failure);
    tn_text_clear(&scratch);
    return status;
}

/* Gives a large file its name. */
static tenon_status finish(struct fetch *fetch)
{
    tenon_status status = tn_partial_finish(&fetch->partial, tn_text(&fetch->target), &fetch->failure);

    if (status == TENON_ERROR_NOT_FOUND && !content_is_there(fetch)) {
        tn_log(fetch->co.context, TENON_LOG_WARNING, "hub", "%s: somebody removed what was being written; it is copied", fetch->path);
        status = tn_partial_rescue(&fetch->partial, &fetch->failure);
        if (status == TENON_OK)
            status = tn_partial_finish(&fetch->partial, tn_text(&fetch->target), &fetch->failure);
    }
    return status;
}

/* Under the lock. Somebody else may have been quicker. */
static tenon_status place(struct fetch *fetch)
{
    bool there = content_is_there(fetch);
    tenon_status status = TENON_OK;

    if (fetch->folder == NULL) {
        tn_text_reset(&fetch->target);
        tn_cache_blob_path(fetch->cache, fetch->etag, &fetch->target);
    }
    if (there)
        tn_partial_discard(&fetch->partial);
    else if (fetch->target.failed)
        status = tn_fail_memory(&fetch->failure);
    else
        status = fetch->in_memory ? place_memory(fetch) : finish(fetch);
    if (status == TENON_ERROR_NOT_FOUND && content_is_there(fetch)) {
        /* The lock lied: somebody was quicker, and took what we wrote for what a killed process had left. */
        tn_failure_clear(&fetch->failure);
        tn_partial_discard(&fetch->partial);
        there = true;
        status = TENON_OK;
    }
    if (status == TENON_OK)
        status = settle(fetch, !there);
    tn_lock_release(&fetch->lock);
    return status;
}

/* Is the folder that holds the file at path still there? */
static bool has_folder(const struct text *path)
{
    struct text folder;
    bool has;

    tn_text_init(&folder, path->memory, PATH_MAX);
    tn_text_add_n(&folder, tn_text(path), (size_t)(tn_path_name(tn_text(path)) - tn_text(path)));
    has = folder.failed || tn_folder_exists(tn_text(&folder));
    tn_text_clear(&folder);
    return has;
}

/*
 * Why a file that had come could not be placed, where somebody removed the place: forgot the repository, say. It is not made
 * anew: of a snapshot other files would be missing in it.
 */
static tenon_status explain(struct fetch *fetch, tenon_status status)
{
    bool by_disk = (status == TENON_ERROR_NOT_FOUND || status == TENON_ERROR_IO) && fetch->failure.http_status == 0;

    if (!by_disk || (has_folder(&fetch->base) && has_folder(&fetch->target)))
        return status;
    tn_failure_clear(&fetch->failure);
    if (fetch->folder != NULL)
        tn_fail(&fetch->failure, TENON_ERROR_IO, "%s was removed while %s was downloaded into it", fetch->folder, fetch->path);
    else
        tn_fail(&fetch->failure, TENON_ERROR_IO, "%s was removed from the cache while %s was downloaded", fetch->repository->id, fetch->path);
    return tn_hint(&fetch->failure, "Download it again.");
}

/* All that came is durable before the lock is taken: others wait for that. */
static tenon_status make_durable(struct fetch *fetch)
{
    tenon_status status = TENON_OK;

    if (fetch->source != NULL)
        status = tn_file_sync(fetch->partial.data, fetch->path, &fetch->failure);
    else if (!fetch->in_memory)
        status = tn_partial_note(&fetch->partial, &fetch->written, &fetch->failure);
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

static bool is_there(struct fetch *fetch)
{
    fetch->present = fetch->folder == NULL && in_cache(fetch);
    if (fetch->present)
        show(fetch, fetch->bytes, true);
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
        AWAIT(co, (status = tn_copy_slice(&fetch->copy, tn_text(&fetch->target), "", &fetch->failure)) != TENON_AGAIN || tn_co_go_on(co));
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
            AWAIT(co, (status = copy_slice(fetch)) != TENON_AGAIN || tn_co_go_on(co));
        if (status == TENON_OK)
            status = verify(fetch);
        if (status != TENON_OK)
            status = ask_instead(fetch);
    }
    if (status == TENON_OK && fetch->source == NULL) {
        status = fetch->offline ? tn_hub_fail_offline(&fetch->failure, fetch->path) : make_parts(fetch);
        while (status == TENON_OK) {
            status = start_round(fetch);
            if (status == TENON_OK)
                AWAIT(co, (status = pump(fetch)) != TENON_AGAIN);
            if (status == TENON_OK)
                status = verify(fetch);
            if (status == TENON_OK || !may_begin_anew(fetch))
                break;
            status = TENON_OK;
        }
        clear_parts(fetch);
        tn_timer_stop(co->context, &fetch->timer);
        if (status != TENON_OK)
            keep_what_came(fetch);
    }
    if (status == TENON_OK)
        status = make_durable(fetch);
    set_deadline(fetch);
    if (status == TENON_OK)
        AWAIT(co, !tn_timer_running(&fetch->timer) && (status = take_lock(fetch)) != TENON_AGAIN);
    if (status == TENON_OK)
        status = place(fetch);
    if (status != TENON_OK)
        status = explain(fetch, status);
    CO_END(co);
done:
    return status;
}

void tn_fetch_start(struct fetch *fetch, struct co *waiter)
{
    tn_co_start(&fetch->co, fetch->co.context, fetch_step, waiter);
}
