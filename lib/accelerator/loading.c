#include "loading.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "number.h"
#include "path.h"

enum { SAFETENSORS_FIRST = 100000, GGUF_FIRST = 1 << 20, GGUF_GROWTH = 4, PART_DIGITS = 5 };

tenon_status tn_loading_open(struct loading *loading, struct tenon_context *context, tenon_hub *hub, const char *model,
                             const char *revision, const char *file)
{
    memset(loading, 0, sizeof *loading);
    tn_failure_init(&loading->failure, &context->memory, &context->secrets);
    tn_shape_init(&loading->facts.shape);
    return tn_origin_open(&loading->origin, context, hub, model, revision, file);
}

void tn_loading_clear(struct loading *loading)
{
    tn_co_stop(&loading->co);
    tn_listing_clear(&loading->listing);
    tn_reading_clear(&loading->reading);
    for (size_t i = 0; i < LANES; i++) {
        tn_co_stop(&loading->lanes[i].co);
        tn_reading_clear(&loading->lanes[i].reading);
    }
    tn_failure_clear(&loading->failure);
    tn_origin_clear(&loading->origin);
    loading->headers = NULL;
    loading->header_count = 0;
}

/* ---- choosing ---- */

static bool contains_case(const char *text, const char *word)
{
    size_t length = strlen(word);
    bool found = false;

    for (; *text != '\0' && !found; text++) {
        size_t same = 0;

        while (same < length && (text[same] | 0x20) == (word[same] | 0x20))
            same++;
        found = same == length;
    }
    return found;
}

/* The number of parts of a file whose name ends in -00001-of-00003.gguf, and which of them it is; 0 for a whole file. */
static int64_t count_parts(const char *path, int64_t *part)
{
    const size_t tail = 2 * PART_DIGITS + strlen("-") + strlen("-of-") + strlen(".gguf");
    size_t length = strlen(path);
    char digits[2][PART_DIGITS + 1] = { "", "" };
    const char *end;
    int64_t parts = 0;

    if (length <= tail)
        return 0;
    end = path + length - tail;
    if (end[0] != '-' || strncmp(end + 1 + PART_DIGITS, "-of-", 4) != 0)
        return 0;
    memcpy(digits[0], end + 1, PART_DIGITS);
    memcpy(digits[1], end + 5 + PART_DIGITS, PART_DIGITS);
    return tn_parse_integer(digits[0], part) && tn_parse_integer(digits[1], &parts) ? parts : 0;
}

/* 0 for the best; -1 for what no server takes as the model. */
static int rank_gguf(const char *path)
{
    static const char *const others[] = { "mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-" };
    static const char *const tags[] = { "Q4_K_M", "Q8_0" };
    const int count = sizeof tags / sizeof tags[0];
    const char *name = tn_path_name(path);
    int64_t part = 1;
    int rank = 0;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (contains_case(name, others[i]))
            return -1;
    if (!tn_ends_with(name, ".gguf") || (count_parts(path, &part) > 0 && part != 1))
        return -1;
    while (rank < count && !contains_case(name, tags[rank]))
        rank++;
    return rank;
}

const struct model_file *tn_choose_gguf(const struct origin *origin)
{
    const struct model_file *best = NULL;
    int best_rank = 0;

    for (size_t i = 0; i < origin->count; i++) {
        const struct model_file *file = &origin->files[i];
        int rank = rank_gguf(file->path);

        if (rank >= 0 && (best == NULL || rank < best_rank || (rank == best_rank && strcmp(file->path, best->path) < 0))) {
            best = file;
            best_rank = rank;
        }
    }
    return best;
}

/* The only file with weights at the top, whatever it is called; NULL where there are several. */
static const char *only_safetensors(const struct origin *origin)
{
    const char *found = NULL;
    size_t count = 0;

    for (size_t i = 0; i < origin->count; i++)
        if (tn_ends_with(origin->files[i].path, ".safetensors") && strchr(origin->files[i].path, '/') == NULL) {
            found = origin->files[i].path;
            count++;
        }
    return count == 1 ? found : NULL;
}

static tenon_status choose_header(struct loading *loading, const char *path)
{
    loading->headers = tn_arena_alloc(&loading->origin.arena, sizeof *loading->headers);
    if (loading->headers == NULL)
        return tn_fail_memory(&loading->failure);
    loading->headers[0] = path;
    loading->header_count = 1;
    return TENON_OK;
}

/* All parts of a GGUF model in several files have tensors. */
static tenon_status choose_parts(struct loading *loading, const char *path, int64_t parts)
{
    int stem = (int)(strlen(path) - (2 * PART_DIGITS + strlen("--of-.gguf")));
    struct text name;
    tenon_status status = TENON_OK;

    if (parts > SHARDS_MOST)
        return tn_fail(&loading->failure, TENON_ERROR_PROTOCOL, "%s has too many parts", path);
    loading->headers = tn_arena_alloc(&loading->origin.arena, (size_t)parts * sizeof *loading->headers);
    if (loading->headers == NULL)
        return tn_fail_memory(&loading->failure);
    tn_text_init(&name, &loading->origin.context->memory, 64 * 1024);
    for (int64_t i = 1; i <= parts && status == TENON_OK; i++) {
        tn_text_reset(&name);
        tn_text_format(&name, "%.*s-%05" PRId64 "-of-%05" PRId64 ".gguf", stem, path, i, parts);
        loading->headers[i - 1] = tn_arena_copy(&loading->origin.arena, tn_text(&name));
        if (tn_text_status(&name) != TENON_OK || loading->headers[i - 1] == NULL)
            status = tn_fail_memory(&loading->failure);
        else if (tn_origin_find(&loading->origin, tn_text(&name)) == NULL)
            status = tn_fail(&loading->failure, TENON_ERROR_NOT_FOUND, "the part %s of the model is missing", tn_text(&name));
    }
    loading->header_count = (size_t)parts;
    tn_text_clear(&name);
    return status;
}

static tenon_status choose_gguf(struct loading *loading, const char *path)
{
    int64_t part = 0, parts = count_parts(path, &part);

    loading->facts.format = MODEL_GGUF;
    return parts > 1 ? choose_parts(loading, path, parts) : choose_header(loading, path);
}

static tenon_status choose_safetensors(struct loading *loading, const char *path)
{
    loading->facts.format = MODEL_SAFETENSORS;
    return choose_header(loading, path);
}

/* The config.json that stands beside path. */
static tenon_status choose_config_beside(struct loading *loading, const char *path)
{
    const struct model_file *file;
    struct text name;
    tenon_status status;

    tn_text_init(&name, &loading->origin.context->memory, 64 * 1024);
    tn_text_add_n(&name, path, (size_t)(tn_path_name(path) - path));
    tn_text_add(&name, "config.json");
    status = tn_text_status(&name) == TENON_OK ? TENON_OK : tn_fail_memory(&loading->failure);
    file = tn_origin_find(&loading->origin, tn_text(&name));
    loading->config = status == TENON_OK && file != NULL ? file->path : NULL;
    tn_text_clear(&name);
    return status;
}

static tenon_status no_file(struct loading *loading)
{
    const struct origin *origin = &loading->origin;
    struct text names;

    tn_text_init(&names, &origin->context->memory, 4096);
    for (size_t i = 0; i < origin->count && names.length < 1000; i++)
        tn_text_format(&names, "%s%s", names.length > 0 ? ", " : "", origin->files[i].path);
    tn_fail(&loading->failure, TENON_ERROR_NOT_FOUND, "the model has no file %s", origin->file);
    tn_hint(&loading->failure, names.length > 0 ? "It has %s." : "It has no file that a model can be sized from.",
            tn_text(&names));
    tn_text_clear(&names);
    return loading->failure.status;
}

/* The caller has named one file. */
static tenon_status choose_named(struct loading *loading)
{
    const struct model_file *file = tn_origin_find(&loading->origin, loading->origin.file);
    tenon_status status;

    if (file == NULL)
        return no_file(loading);
    if (tn_ends_with(file->path, ".gguf"))
        return choose_gguf(loading, file->path);
    if (!tn_ends_with(file->path, ".safetensors") && !tn_ends_with(file->path, ".safetensors.index.json")) {
        loading->config = file->path;
        return TENON_OK;
    }
    status = choose_config_beside(loading, file->path);
    if (status == TENON_OK && tn_ends_with(file->path, ".safetensors"))
        status = choose_safetensors(loading, file->path);
    else if (status == TENON_OK) {
        loading->facts.format = MODEL_SAFETENSORS;
        loading->index = file->path;
    }
    return status;
}

static tenon_status choose(struct loading *loading)
{
    const struct origin *origin = &loading->origin;
    const struct model_file *config = tn_origin_find(origin, "config.json"), *gguf = tn_choose_gguf(origin);
    const struct model_file *index = tn_origin_find(origin, "model.safetensors.index.json");
    const struct model_file *whole = tn_origin_find(origin, "model.safetensors");
    tenon_status status = TENON_OK;

    if (origin->file != NULL)
        return choose_named(loading);
    loading->config = config != NULL ? config->path : NULL;
    if (whole != NULL)
        status = choose_safetensors(loading, whole->path);
    else if (index != NULL) {
        loading->facts.format = MODEL_SAFETENSORS;
        loading->index = index->path;
    } else if (only_safetensors(origin) != NULL)
        status = choose_safetensors(loading, only_safetensors(origin));
    else if (gguf != NULL) {
        loading->config = NULL;
        status = choose_gguf(loading, gguf->path);
    } else if (config == NULL) {
        tn_fail(&loading->failure, TENON_ERROR_NOT_FOUND, "the model has no header that tenon %s can read", tenon_version());
        status = tn_hint(&loading->failure, "It needs a config.json, safetensors files or a GGUF file.");
    }
    return status;
}

/* ---- headers ---- */

/* A parser does not know which file it reads. */
static tenon_status name_file(struct failure *to, struct failure *from, const char *path)
{
    tenon_status status = from->status;

    if (status == TENON_ERROR_PROTOCOL && from->message != NULL) {
        tn_fail(to, status, "%s: %s", path, from->message);
        tn_failure_clear(from);
    } else
        tn_failure_move(to, from);
    return status;
}

/* Parses what the lane has read; TENON_AGAIN when it wants more. */
static tenon_status parse_header(struct lane *lane, struct failure *failure)
{
    struct model_facts *facts = &lane->loading->facts;
    const struct text *bytes = &lane->reading.bytes;
    bool whole = bytes->length < lane->want;
    size_t need = 0;
    tenon_status status;

    if (facts->format == MODEL_GGUF)
        status = tn_gguf_read(tn_text(bytes), bytes->length, lane->file_bytes, &facts->shape, &facts->weights, failure);
    else
        status =
            tn_safetensors_read(bytes->memory, tn_text(bytes), bytes->length, lane->file_bytes, &need, &facts->weights, failure);
    if (status == TENON_AGAIN && whole)
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "the file ends within its header");
    lane->want = need > 0 ? need : (size_t)tn_least((int64_t)lane->want * GGUF_GROWTH, GGUF_MOST);
    return status;
}

/* What the lane's reading has brought; a failure becomes that of all lanes. */
static tenon_status take_header(struct lane *lane)
{
    struct loading *loading = lane->loading;
    struct failure failure;
    tenon_status status = lane->reading.co.status;

    tn_failure_init(&failure, &loading->origin.context->memory, &loading->origin.context->secrets);
    if (status != TENON_OK)
        tn_failure_move(&failure, &lane->reading.failure);
    else
        status = parse_header(lane, &failure);
    if (status < 0 && loading->headers_status == TENON_OK)
        loading->headers_status = name_file(&loading->failure, &failure, lane->path);
    tn_failure_clear(&failure);
    return status;
}

/* Makes the lane ready for the next file; false when none is left. */
static bool next_header(struct lane *lane)
{
    struct loading *loading = lane->loading;
    const struct model_file *file;

    if (loading->headers_status != TENON_OK || loading->next == loading->header_count)
        return false;
    lane->path = loading->headers[loading->next++];
    file = tn_origin_find(&loading->origin, lane->path);
    lane->file_bytes = file != NULL ? file->bytes : -1;
    lane->want = loading->facts.format == MODEL_GGUF ? GGUF_FIRST : SAFETENSORS_FIRST;
    tn_text_reset(&lane->reading.bytes);
    return true;
}

static tenon_status lane_step(struct co *co)
{
    struct lane *lane = TN_CONTAINER(co, struct lane, co);
    tenon_status status;

    CO_BEGIN(co);
    while (next_header(lane)) {
        do {
            tn_reading_start(&lane->reading, &lane->loading->origin, lane->path, (int64_t)lane->reading.bytes.length,
                             (int64_t)(lane->want - lane->reading.bytes.length), &lane->co);
            AWAIT(co, !tn_co_running(&lane->reading.co));
            status = take_header(lane);
        } while (status == TENON_AGAIN);
        if (status != TENON_OK)
            break;
    }
    CO_END(co);
    return TENON_OK;
}

static void start_lanes(struct loading *loading)
{
    /* A GGUF header can be large, and that of the first part has most of it. */
    size_t lanes = loading->facts.format == MODEL_GGUF ? 1 : LANES;

    for (size_t i = 0; i < lanes; i++) {
        loading->lanes[i].loading = loading;
        tn_co_start(&loading->lanes[i].co, loading->origin.context, lane_step, &loading->co);
    }
}

static bool lanes_running(const struct loading *loading)
{
    bool running = false;

    for (size_t i = 0; i < LANES; i++)
        running = running || tn_co_running(&loading->lanes[i].co);
    return running;
}

/* ---- the whole ---- */

static tenon_status take_config(struct loading *loading)
{
    const struct text *bytes = &loading->reading.bytes;
    struct failure failure;
    tenon_status status = loading->reading.co.status;

    if (status != TENON_OK)
        return tn_failure_move(&loading->failure, &loading->reading.failure);
    tn_failure_init(&failure, &loading->origin.context->memory, &loading->origin.context->secrets);
    status = tn_config_read(tn_text(bytes), bytes->length, &loading->facts.shape, &failure);
    if (status != TENON_OK)
        tn_failure_move(&loading->failure, &failure);
    return status;
}

static tenon_status take_index(struct loading *loading)
{
    const struct text *bytes = &loading->reading.bytes;

    if (loading->reading.co.status != TENON_OK)
        return tn_failure_move(&loading->failure, &loading->reading.failure);
    if (bytes->length > INDEX_MOST)
        return tn_fail(&loading->failure, TENON_ERROR_PROTOCOL, "%s is larger than %d bytes", loading->index, (int)INDEX_MOST);
    return tn_index_read(&loading->origin.arena, tn_text(bytes), bytes->length, &loading->headers, &loading->header_count,
                         &loading->failure);
}

static tenon_status finish(struct loading *loading)
{
    struct model_facts *facts = &loading->facts;

    tn_facts_finish(facts);
    if (facts->format == MODEL_CONFIG && facts->parameters < 0) {
        tn_fail(&loading->failure, TENON_ERROR_NOT_FOUND, "%s has a structure (%s) whose parameters tenon %s cannot count",
                loading->config, facts->shape.family[0] != '\0' ? facts->shape.family : "no model_type", tenon_version());
        return tn_hint(&loading->failure, "Give the model with its weights: their headers are enough.");
    }
    return TENON_OK;
}

static tenon_status loading_step(struct co *co)
{
    struct loading *loading = TN_CONTAINER(co, struct loading, co);
    tenon_status status;

    CO_BEGIN(co);
    tn_listing_start(&loading->listing, &loading->origin, co);
    AWAIT(co, !tn_co_running(&loading->listing.co));
    if (loading->listing.co.status != TENON_OK)
        return tn_failure_move(&loading->failure, &loading->listing.failure);
    status = choose(loading);
    if (status != TENON_OK)
        return status;
    if (loading->config != NULL) {
        tn_reading_start(&loading->reading, &loading->origin, loading->config, 0, CONFIG_MOST + 1, co);
        AWAIT(co, !tn_co_running(&loading->reading.co));
        status = take_config(loading);
        if (status != TENON_OK)
            return status;
    }
    if (loading->index != NULL) {
        tn_text_reset(&loading->reading.bytes);
        tn_reading_start(&loading->reading, &loading->origin, loading->index, 0, INDEX_MOST + 1, co);
        AWAIT(co, !tn_co_running(&loading->reading.co));
        status = take_index(loading);
        if (status != TENON_OK)
            return status;
    }
    start_lanes(loading);
    AWAIT(co, !lanes_running(loading));
    CO_END(co);
    return loading->headers_status == TENON_OK ? finish(loading) : loading->headers_status;
}

void tn_loading_start(struct loading *loading, struct co *waiter)
{
    tn_co_start(&loading->co, loading->origin.context, loading_step, waiter);
}

/* Names of this machine need not be UTF-8, as JSON must be. */
static json_t *clean_text(const struct loading *loading, const char *text)
{
    json_t *json = NULL;
    struct text clean;

    tn_text_init(&clean, &loading->origin.context->memory, 256 * 1024);
    tn_text_add_utf8(&clean, text, strlen(text));
    if (tn_text_status(&clean) == TENON_OK)
        json = json_string(tn_text(&clean));
    tn_text_clear(&clean);
    return json;
}

json_t *tn_loading_json(const struct loading *loading, const char *model)
{
    const char *const single[] = { loading->config, loading->index };
    json_t *json = json_object(), *files = json_array();
    bool good = json_object_set_new(json, "model", clean_text(loading, model)) == 0 &&
                tn_json_set_text(json, "revision", loading->origin.revision) && tn_facts_json(&loading->facts, json) &&
                tn_json_set_integer(json, "bytes_read", loading->origin.bytes) &&
                tn_json_set_integer(json, "hub_calls", loading->origin.calls);

    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        good = good && (single[i] == NULL || json_array_append_new(files, clean_text(loading, single[i])) == 0);
    for (size_t i = 0; i < loading->header_count; i++)
        good = good && json_array_append_new(files, clean_text(loading, loading->headers[i])) == 0;
    good = json_object_set_new(json, "files", files) == 0 && good;
    if (!good) {
        json_decref(json);
        json = NULL;
    }
    return json;
}
