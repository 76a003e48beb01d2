#include "parts.h"

#include <inttypes.h>
#include <string.h>

#include "metadata.h"
#include "url.h"

enum {
    NOTE_MS = 1000,
    AHEAD = 4,         /* parts that may be ahead of the disk */
    CRUMB = 64 * 1024, /* bytes of an answer that is hardly one */
    CRUMBS = 100
};

tenon_status tn_parts_make(struct fetch *fetch)
{
    const struct settings *settings = &fetch->co.context->settings;
    bool large = !fetch->in_memory && fetch->bytes > tn_setting_integer(settings, SETTING_HUB_PART_BYTES);

    fetch->part_count = large ? (int32_t)tn_setting_integer(settings, SETTING_HUB_PARTS) : 1;
    fetch->parts = tn_alloc_array(&fetch->co.context->memory, (size_t)fetch->part_count, sizeof *fetch->parts);
    if (fetch->parts == NULL) {
        fetch->part_count = 0;
        return tn_fail_memory(&fetch->failure);
    }
    fetch->spool.path = fetch->path;
    fetch->spool.hash = &fetch->hash;
    if (fetch->in_memory)
        return TENON_OK;
    return tn_spool_open(&fetch->spool, fetch->co.context, fetch->part_count, &fetch->co, &fetch->failure);
}

static void stop_requests(struct fetch *fetch)
{
    for (int32_t i = 0; i < fetch->part_count; i++) {
        tn_request_clear(&fetch->parts[i].request);
        fetch->parts[i].active = false;
        fetch->parts[i].batch = NULL;
    }
}

void tn_parts_stop(struct fetch *fetch)
{
    stop_requests(fetch);
    tn_spool_drop(&fetch->spool);
}

void tn_parts_clear(struct fetch *fetch)
{
    stop_requests(fetch);
    tn_spool_close(&fetch->spool);
    tn_release(&fetch->co.context->memory, fetch->parts);
    fetch->parts = NULL;
    fetch->part_count = 0;
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

    if (part->next > 0 || part->end != fetch->bytes || tn_ranges_sum(&fetch->spool.written) > 0)
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

/* A small file stays in memory. */
static tenon_status keep(struct fetch *fetch, struct part *part, const char *bytes, size_t size)
{
    tn_text_add_n(&fetch->memory, bytes, size);
    if (tn_text_status(&fetch->memory) != TENON_OK)
        return tn_fail_memory(&part->request.failure);
    tn_hash_add(&fetch->hash, bytes, size);
    fetch->spool.hashed += (int64_t)size;
    return TENON_OK;
}

static tenon_status part_data(struct request *request, const char *bytes, size_t size)
{
    struct part *part = request->owner;
    struct fetch *fetch = part->fetch;
    tenon_status status;

    if ((int64_t)size > part->end - part->next)
        return call_lie(part, "the server sends more than it promised");
    if (fetch->in_memory)
        status = keep(fetch, part, bytes, size);
    else
        status = tn_spool_add(&fetch->spool, &part->batch, part->next, bytes, size, &request->failure);
    if (status == TENON_OK) {
        part->next += (int64_t)size;
        tn_fetch_show(fetch, (int64_t)size, false);
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
    request->large = !fetch->in_memory;
    /* Parts that share a connection are no quicker than one of them. */
    request->apart_from = fetch->part_count > 1 ? fetch->hub->endpoint : NULL;
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
        at = tn_spool_reach(&fetch->spool, at);
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
    int64_t end = tn_spool_next(&fetch->spool, first, fetch->bytes);

    for (int32_t i = 0; i < fetch->part_count; i++)
        if (fetch->parts[i].active && fetch->parts[i].next > first && fetch->parts[i].next < end)
            end = fetch->parts[i].next;
    return end - first > most && !fetch->single && !fetch->in_memory ? first + most : end;
}

/* Whatever is under way may become a piece of its own. */
static bool too_many_pieces(const struct fetch *fetch)
{
    return fetch->spool.written.count + fetch->spool.pending_count + fetch->part_count >= TN_RANGES;
}

static void start_parts(struct fetch *fetch)
{
    for (int32_t i = 0; i < fetch->part_count; i++) {
        int64_t first = next_missing(fetch, 0);

        if (fetch->parts[i].active || first >= fetch->bytes || too_many_pieces(fetch))
            continue;
        start_part(fetch, &fetch->parts[i], first, end_of_part(fetch, first));
    }
    /* Pieces that are nearly too many grow together by one part alone. */
    if (fetch->part_count > 0 && !fetch->parts[0].active && next_missing(fetch, 0) < fetch->bytes && too_many_pieces(fetch))
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
    return part->next < part->end && (stale || (passing && moved && part->crumbs < CRUMBS));
}

/* Looks at a part that has ended. TENON_OK: done, or asked for again. */
static tenon_status end_part(struct fetch *fetch, struct part *part)
{
    tenon_status status = part->request.co.status;

    part->active = false;
    /* A server that cuts each answer after some bytes would be asked for ever. */
    part->crumbs = part->next - part->first < CRUMB ? part->crumbs + 1 : 0;
    if (tn_spool_hand_over(&fetch->spool, &part->batch, &fetch->failure) != TENON_OK)
        return fetch->failure.status;
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

/* ---- all of them ---- */

static void set_next_note(struct fetch *fetch)
{
    fetch->noted_ms = tn_now(fetch->co.context);
    tn_timer_set(fetch->co.context, &fetch->timer, NOTE_MS, &fetch->co);
}

void tn_parts_begin(struct fetch *fetch)
{
    fetch->spool.file = fetch->partial.data;
    if (!fetch->in_memory)
        set_next_note(fetch);
}

/* What was being made durable is: the journal says so. */
static tenon_status note(struct fetch *fetch)
{
    tenon_status status = tn_durable_end(&fetch->durable, fetch->path, &fetch->failure);

    fetch->flushing = false;
    return status == TENON_OK ? tn_partial_noted(&fetch->partial, &fetch->flushed, &fetch->failure) : status;
}

/* What slow parts have collected for a while is not much, but it may be all there is. */
static tenon_status hand_over_all(struct fetch *fetch)
{
    tenon_status status = TENON_OK;

    for (int32_t i = 0; i < fetch->part_count && status == TENON_OK; i++)
        status = tn_spool_hand_over(&fetch->spool, &fetch->parts[i].batch, &fetch->failure);
    return status;
}

/* After a while, or after as much as the setting says: that is not much to fetch again. */
static tenon_status note_if_due(struct fetch *fetch)
{
    bool due = tn_now(fetch->co.context) - fetch->noted_ms >= NOTE_MS;
    int64_t most = tn_setting_integer(&fetch->co.context->settings, SETTING_HUB_PART_BYTES), bytes;
    tenon_status status = TENON_OK;

    if (fetch->in_memory || tn_durable_running(&fetch->durable))
        return TENON_OK;
    if (fetch->flushing)
        status = note(fetch);
    if (status == TENON_OK && due)
        status = hand_over_all(fetch);
    bytes = tn_ranges_sum(&fetch->spool.written);
    if (status != TENON_OK || (!due && bytes - fetch->noted_bytes < most))
        return status;
    if (bytes != fetch->noted_bytes) {
        fetch->flushing = true;
        fetch->flushed = fetch->spool.written;
        tn_durable_start(&fetch->durable, fetch->co.context, fetch->partial.data, &fetch->co);
        if (!tn_durable_running(&fetch->durable))
            status = note(fetch);
    } else
        tn_partial_heartbeat(&fetch->partial);
    fetch->noted_bytes = bytes;
    set_next_note(fetch);
    return status;
}

/* A disk that is slower than the network is waited for, lest too much would have to be fetched again. */
static bool is_far_ahead(const struct fetch *fetch)
{
    int64_t most = tn_setting_integer(&fetch->co.context->settings, SETTING_HUB_PART_BYTES);

    return fetch->flushing && tn_ranges_sum(&fetch->spool.written) - tn_ranges_sum(&fetch->flushed) > AHEAD * most;
}

static int64_t bytes_here(const struct fetch *fetch)
{
    return fetch->in_memory ? (int64_t)fetch->memory.length : tn_ranges_sum(&fetch->spool.written);
}

/* What has been written counts, what is next in line is hashed. */
static tenon_status pump_spool(struct fetch *fetch)
{
    tenon_status status = tn_spool_settle(&fetch->spool, &fetch->failure);

    return status == TENON_OK ? tn_spool_catch_up(&fetch->spool, &fetch->failure) : status;
}

tenon_status tn_parts_pump(struct fetch *fetch)
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
        status = pump_spool(fetch);
    if (status == TENON_OK)
        status = note_if_due(fetch);
    if (status == TENON_OK && bytes_here(fetch) < fetch->bytes) {
        if (!is_far_ahead(fetch))
            start_parts(fetch);
        status = TENON_AGAIN;
    } else if (status == TENON_OK &&
               (fetch->spool.hashed < fetch->bytes || running || fetch->flushing || tn_spool_busy(&fetch->spool)))
        status = TENON_AGAIN;
    return status;
}
