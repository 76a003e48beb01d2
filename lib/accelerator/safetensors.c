#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "number.h"
#include "path.h"
#include "scan.h"

enum { LENGTH_BYTES = 8, DIMENSIONS_MOST = 64 };

/* One tensor: where its data is, and a hash of its name, to find two of the same. */
struct tensor {
    int64_t begin, end;
    uint64_t name;
};

struct tensors {
    const struct memory *memory;
    struct tensor *items;
    size_t count, room;
    struct model_weights weights;
};

/* What one entry of the header says. */
struct entry {
    char dtype[DTYPE_SIZE];
    int64_t elements, begin, end;
    bool has_shape, has_offsets;
};

/* Bits of an element; 0 for a type that is newer than this table, whose size is what its offsets say. */
static int64_t dtype_bits(const char *dtype)
{
    static const struct {
        const char *name;
        int64_t bits;
    } dtypes[] = {
        { "F64", 64 }, { "I64", 64 }, { "U64", 64 },  { "C64", 64 },     { "F32", 32 },     { "I32", 32 },   { "U32", 32 },
        { "F16", 16 }, { "BF16", 16 }, { "I16", 16 }, { "U16", 16 },     { "F8_E4M3", 8 },  { "F8_E5M2", 8 }, { "F8_E8M0", 8 },
        { "F8_E4M3FNUZ", 8 }, { "F8_E5M2FNUZ", 8 },
        { "I8", 8 },   { "U8", 8 },    { "BOOL", 8 }, { "F6_E2M3", 6 },  { "F6_E3M2", 6 },  { "F4", 4 },
    };
    int64_t bits = 0;

    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0] && bits == 0; i++)
        if (strcmp(dtypes[i].name, dtype) == 0)
            bits = dtypes[i].bits;
    return bits;
}

static uint64_t hash_of(const char *name, size_t length)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(1099511628211);
    return hash;
}

/* ---- reading ---- */

static bool read_dtype(struct scan *scan, struct entry *entry)
{
    const char *start;
    size_t length;

    if (!tn_scan_text(scan, &start, &length) || length == 0 || length >= DTYPE_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", start[i]) == NULL)
            return false;
    memcpy(entry->dtype, start, length);
    entry->dtype[length] = '\0';
    return true;
}

/* The product of the dimensions; 1 for a scalar. */
static bool read_shape(struct scan *scan, struct entry *entry)
{
    bool first = true, good = tn_scan_take(scan, '[');
    int64_t dimension, count = 0;

    entry->elements = 1;
    while (good && tn_scan_item(scan, &first)) {
        good = tn_scan_integer(scan, &dimension) && ++count <= DIMENSIONS_MOST;
        if (good)
            entry->elements = tn_times(entry->elements, dimension);
    }
    entry->has_shape = good && !scan->bad && entry->elements < INT64_MAX;
    return entry->has_shape;
}

static bool read_offsets(struct scan *scan, struct entry *entry)
{
    entry->has_offsets = tn_scan_take(scan, '[') && tn_scan_integer(scan, &entry->begin) && tn_scan_take(scan, ',') &&
                         tn_scan_integer(scan, &entry->end) && tn_scan_take(scan, ']') && entry->begin <= entry->end;
    return entry->has_offsets;
}

static bool read_entry(struct scan *scan, struct entry *entry)
{
    const char *key;
    size_t length;
    bool first = true, good = tn_scan_take(scan, '{');

    memset(entry, 0, sizeof *entry);
    while (good && tn_scan_member(scan, &first, &key, &length)) {
        if (tn_scan_is(key, length, "dtype"))
            good = read_dtype(scan, entry);
        else if (tn_scan_is(key, length, "shape"))
            good = read_shape(scan, entry);
        else if (tn_scan_is(key, length, "data_offsets"))
            good = read_offsets(scan, entry);
        else
            good = tn_scan_skip(scan);
    }
    return good && !scan->bad && entry->dtype[0] != '\0' && entry->has_shape && entry->has_offsets;
}

/* Shape, type and offsets must say the same. */
static bool is_consistent(const struct entry *entry)
{
    int64_t bits = dtype_bits(entry->dtype), all = tn_times(entry->elements, bits);

    return bits == 0 || (all < INT64_MAX && all % 8 == 0 && all / 8 == entry->end - entry->begin);
}

static bool keep(struct tensors *tensors, const struct tensor *tensor)
{
    if (tensors->count == tensors->room) {
        size_t room = tensors->room == 0 ? 64 : 2 * tensors->room;
        struct tensor *items = tn_resize(tensors->memory, tensors->items, room * sizeof *items);

        if (items == NULL)
            return false;
        tensors->items = items;
        tensors->room = room;
    }
    tensors->items[tensors->count++] = *tensor;
    return true;
}

static tenon_status read_header(struct scan *scan, struct tensors *tensors, struct failure *failure)
{
    const char *name;
    size_t length;
    bool first = true, good = tn_scan_take(scan, '{');

    while (good && tn_scan_member(scan, &first, &name, &length)) {
        struct entry entry;

        if (tn_scan_is(name, length, "__metadata__")) {
            good = tn_scan_skip(scan);
            continue;
        }
        good = read_entry(scan, &entry);
        if (good && !is_consistent(&entry))
            return tn_fail(failure, TENON_ERROR_PROTOCOL, "the tensor %.*s has a shape that does not match its bytes",
                           (int)tn_least((int64_t)length, 200), name);
        if (good && !keep(tensors, &(struct tensor){ entry.begin, entry.end, hash_of(name, length) }))
            return tn_fail_memory(failure);
        if (good)
            tn_weights_add(&tensors->weights, entry.dtype, 1, entry.elements, entry.end - entry.begin);
    }
    if (!good || !tn_scan_done(scan))
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the safetensors header makes no sense");
    return TENON_OK;
}

/* ---- checking ---- */

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : x->end != y->end ? (x->end < y->end ? -1 : 1) : 0;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return x->name != y->name ? (x->name < y->name ? -1 : 1) : 0;
}

/* The data is one piece after the other, without gaps, to the end of the file: the official reader asks for the same. */
static tenon_status check(struct tensors *tensors, int64_t data_bytes, struct failure *failure)
{
    int64_t at = 0;

    if (tensors->count > 0)
        qsort(tensors->items, tensors->count, sizeof *tensors->items, by_name);
    for (size_t i = 1; i < tensors->count; i++)
        if (tensors->items[i].name == tensors->items[i - 1].name)
            return tn_fail(failure, TENON_ERROR_PROTOCOL, "the safetensors header names a tensor twice");
    if (tensors->count > 0)
        qsort(tensors->items, tensors->count, sizeof *tensors->items, by_place);
    for (size_t i = 0; i < tensors->count; i++) {
        if (tensors->items[i].begin != at)
            return tn_fail(failure, TENON_ERROR_PROTOCOL, "the safetensors header has %s at byte %" PRId64 " of the data",
                           tensors->items[i].begin < at ? "tensors that overlap" : "a gap",
                           tn_least(at, tensors->items[i].begin));
        at = tensors->items[i].end;
    }
    if (data_bytes >= 0 && at != data_bytes)
        return tn_fail(failure, TENON_ERROR_PROTOCOL,
                       "the safetensors header speaks of %" PRId64 " bytes of data, the file has %" PRId64, at, data_bytes);
    return TENON_OK;
}

static uint64_t little_endian(const char *bytes, int count)
{
    uint64_t value = 0;

    for (int i = count - 1; i >= 0; i--)
        value = value << 8 | (unsigned char)bytes[i];
    return value;
}

tenon_status tn_safetensors_read(const struct memory *memory, const char *bytes, size_t size, int64_t file_bytes, size_t *need,
                                 struct model_weights *weights, struct failure *failure)
{
    struct tensors tensors = { .memory = memory };
    struct scan scan;
    uint64_t length = size >= LENGTH_BYTES ? little_endian(bytes, LENGTH_BYTES) : 0;
    tenon_status status;

    if (size < LENGTH_BYTES) {
        *need = LENGTH_BYTES;
        return TENON_AGAIN;
    }
    if (length < 2 || length > SAFETENSORS_MOST || (file_bytes >= 0 && (int64_t)length > file_bytes - LENGTH_BYTES))
        return tn_fail(failure, TENON_ERROR_PROTOCOL,
                       "its first 8 bytes give a header of %" PRIu64 " bytes: this is no safetensors file", length);
    if (size - LENGTH_BYTES < length) {
        *need = LENGTH_BYTES + (size_t)length;
        return TENON_AGAIN;
    }
    scan = tn_scan(bytes + LENGTH_BYTES, (size_t)length);
    status = read_header(&scan, &tensors, failure);
    if (status == TENON_OK)
        status = check(&tensors, file_bytes >= 0 ? file_bytes - LENGTH_BYTES - (int64_t)length : -1, failure);
    if (status == TENON_OK) {
        tensors.weights.files = 1;
        tn_weights_join(weights, &tensors.weights);
    }
    tn_release(memory, tensors.items);
    return status;
}

/* ---- the index of a model in several files ---- */

struct name {
    const char *start;
    size_t length;
};

struct names {
    const struct memory *memory;
    struct name *items;
    size_t count, room;
};

static int by_text(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int order = memcmp(x->start, y->start, x->length < y->length ? x->length : y->length);

    return order != 0 ? order : x->length != y->length ? (x->length < y->length ? -1 : 1) : 0;
}

static bool keep_name(struct names *names, const char *start, size_t length)
{
    const struct name *last = names->count > 0 ? &names->items[names->count - 1] : NULL;

    /* Neighbors are mostly in the same file. */
    if (last != NULL && last->length == length && memcmp(last->start, start, length) == 0)
        return true;
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 64 : 2 * names->room;
        struct name *items = tn_resize(names->memory, names->items, room * sizeof *items);

        if (items == NULL)
            return false;
        names->items = items;
        names->room = room;
    }
    names->items[names->count++] = (struct name){ start, length };
    return true;
}

/* Reads the member weight_map, "tensor": "file". */
static tenon_status read_map(struct scan *scan, struct names *names, struct failure *failure)
{
    const char *key, *start;
    size_t key_length, length;
    bool first = true, map_first = true, good = tn_scan_take(scan, '{');

    while (good && tn_scan_member(scan, &first, &key, &key_length)) {
        if (!tn_scan_is(key, key_length, "weight_map")) {
            good = tn_scan_skip(scan);
            continue;
        }
        good = tn_scan_take(scan, '{');
        while (good && tn_scan_member(scan, &map_first, &key, &key_length)) {
            good = tn_scan_text(scan, &start, &length);
            if (good && !keep_name(names, start, length))
                return tn_fail_memory(failure);
        }
    }
    if (!good || !tn_scan_done(scan) || names->count == 0)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the index of the weights makes no sense");
    return TENON_OK;
}

static size_t drop_repeated(struct names *names)
{
    size_t count = 0;

    qsort(names->items, names->count, sizeof *names->items, by_text);
    for (size_t i = 0; i < names->count; i++)
        if (count == 0 || by_text(&names->items[count - 1], &names->items[i]) != 0)
            names->items[count++] = names->items[i];
    names->count = count;
    return count;
}

/* A name of the index becomes part of an address and of a path: it is hostile until it was looked at. */
static tenon_status copy_name(struct arena *arena, const struct name *name, const char **copy, struct failure *failure)
{
    char *text = tn_arena_alloc(arena, name->length + 1);
    const char *reason;

    if (text == NULL)
        return tn_fail_memory(failure);
    memcpy(text, name->start, name->length);
    if (!tn_path_is_safe(text, &reason))
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the index of the weights names the file \"%s\": %s", text, reason);
    *copy = text;
    return TENON_OK;
}

tenon_status tn_index_read(struct arena *arena, const char *bytes, size_t size, const char ***out, size_t *count,
                           struct failure *failure)
{
    struct names names = { .memory = arena->memory };
    struct scan scan = tn_scan(bytes, size);
    const char **copies = NULL;
    tenon_status status = read_map(&scan, &names, failure);

    if (status == TENON_OK && drop_repeated(&names) > SHARDS_MOST)
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "the index of the weights names more than %d files", (int)SHARDS_MOST);
    if (status == TENON_OK) {
        copies = tn_arena_alloc(arena, names.count * sizeof *copies);
        if (copies == NULL)
            status = tn_fail_memory(failure);
    }
    for (size_t i = 0; i < names.count && status == TENON_OK; i++)
        status = copy_name(arena, &names.items[i], &copies[i], failure);
    if (status == TENON_OK) {
        *out = copies;
        *count = names.count;
    }
    tn_release(names.memory, names.items);
    return status;
}
