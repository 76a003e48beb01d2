#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "facts.h"
#include "number.h"

enum {
    VERSION_LEAST = 2, VERSION_MOST = 3, PAIRS_MOST = 1 << 20, TENSORS_MOST = 1 << 20, KEY_MOST = 65535, DIMENSIONS_MOST = 4,
    ALIGNMENT = 32, ALIGNMENT_MOST = 1 << 20, LAYERS_MOST = 100000
};

/* Types of values. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64, VALUE_TYPES };

static const size_t value_sizes[VALUE_TYPES] = { [U8] = 1, [I8] = 1, [U16] = 2, [I16] = 2, [U32] = 4, [I32] = 4, [F32] = 4,
                                                 [BOOL] = 1, [U64] = 8, [I64] = 8, [F64] = 8 };

/* How tensors are stored: elements of a block and its bytes, as in ggml. A name that is NULL is a type no file has any more. */
static const struct tensor_type {
    const char *name;
    int64_t elements, bytes;
} tensor_types[] = {
    [0] = { "F32", 1, 4 },        [1] = { "F16", 1, 2 },        [2] = { "Q4_0", 32, 18 },     [3] = { "Q4_1", 32, 20 },
    [6] = { "Q5_0", 32, 22 },     [7] = { "Q5_1", 32, 24 },     [8] = { "Q8_0", 32, 34 },     [9] = { "Q8_1", 32, 36 },
    [10] = { "Q2_K", 256, 84 },   [11] = { "Q3_K", 256, 110 },  [12] = { "Q4_K", 256, 144 },  [13] = { "Q5_K", 256, 176 },
    [14] = { "Q6_K", 256, 210 },  [15] = { "Q8_K", 256, 292 },  [16] = { "IQ2_XXS", 256, 66 }, [17] = { "IQ2_XS", 256, 74 },
    [18] = { "IQ3_XXS", 256, 98 }, [19] = { "IQ1_S", 256, 50 }, [20] = { "IQ4_NL", 32, 18 },  [21] = { "IQ3_S", 256, 110 },
    [22] = { "IQ2_S", 256, 82 },  [23] = { "IQ4_XS", 256, 136 }, [24] = { "I8", 1, 1 },       [25] = { "I16", 1, 2 },
    [26] = { "I32", 1, 4 },       [27] = { "I64", 1, 8 },       [28] = { "F64", 1, 8 },       [29] = { "IQ1_M", 256, 56 },
    [30] = { "BF16", 1, 2 },      [34] = { "TQ1_0", 256, 54 },  [35] = { "TQ2_0", 256, 66 },  [39] = { "MXFP4", 32, 17 },
    [40] = { "NVFP4", 64, 36 },   [41] = { "Q1_0", 128, 18 },
};

/* ---- a cursor over the buffer ---- */

struct cursor {
    const char *bytes;
    size_t size, at;
    bool ended;         /* more bytes are needed */
    const char *fault;  /* what makes no sense; NULL while all is well */
};

static bool going(const struct cursor *cursor)
{
    return !cursor->ended && cursor->fault == NULL;
}

static void fault(struct cursor *cursor, const char *what)
{
    /* What was read past the end is nobody's fault. */
    if (going(cursor))
        cursor->fault = what;
}

static const char *take(struct cursor *cursor, uint64_t size)
{
    const char *bytes = NULL;

    if (going(cursor) && size <= cursor->size - cursor->at) {
        bytes = cursor->bytes + cursor->at;
        cursor->at += (size_t)size;
    } else
        cursor->ended = true;
    return bytes;
}

static uint64_t take_unsigned(struct cursor *cursor, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)take(cursor, size);
    uint64_t value = 0;

    for (size_t i = size; bytes != NULL && i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static const char *take_text(struct cursor *cursor, size_t *length)
{
    uint64_t size = take_unsigned(cursor, 8);

    if (size > GGUF_MOST)
        fault(cursor, "a text of it is too long");
    *length = (size_t)size;
    return take(cursor, size);
}

/* ---- values ---- */

/* A value that is one number, or one for each layer. */
struct gguf_number {
    bool there;
    uint64_t count;   /* 0: one number for all layers */
    int64_t most, sum, marked; /* marked: how many are not 0 */
};

static int64_t take_integer(struct cursor *cursor, uint32_t type)
{
    uint64_t value = take_unsigned(cursor, value_sizes[type]);

    if (type == I8 || type == I16 || type == I32) {
        uint64_t sign = UINT64_C(1) << (8 * value_sizes[type] - 1);

        value = (value ^ sign) - sign;
    }
    return value > INT64_MAX ? -1 : (int64_t)value;
}

static bool is_integer(uint32_t type)
{
    return type < VALUE_TYPES && type != F32 && type != F64 && type != TEXT && type != ARRAY;
}

static void note(struct gguf_number *number, int64_t value)
{
    number->there = true;
    number->most = tn_most(number->most, value);
    number->sum = tn_plus(number->sum, tn_most(value, 0));
    number->marked += value > 0;
}

/* Takes an array, and notes its numbers where number is not NULL; *count becomes its length. */
static void take_array(struct cursor *cursor, struct gguf_number *number, uint64_t *count)
{
    uint32_t type = (uint32_t)take_unsigned(cursor, 4);
    uint64_t length = take_unsigned(cursor, 8);
    size_t text;

    *count = length;
    if (!going(cursor))
        return;
    if (type >= VALUE_TYPES || type == ARRAY)
        fault(cursor, "a value of it has a type that GGUF does not have");
    else if (length > GGUF_MOST)
        fault(cursor, "an array of it is too long");
    else if (number != NULL && is_integer(type) && length <= LAYERS_MOST) {
        number->count = length;
        for (uint64_t i = 0; i < length && going(cursor); i++)
            note(number, take_integer(cursor, type));
    } else if (type == TEXT) {
        for (uint64_t i = 0; i < length && going(cursor); i++)
            take_text(cursor, &text);
    } else
        take(cursor, length * value_sizes[type]);
}

/* Takes a value of any type; number and count may be NULL. */
static void take_value(struct cursor *cursor, uint32_t type, struct gguf_number *number, uint64_t *count)
{
    uint64_t length = 0;
    size_t text;

    if (type >= VALUE_TYPES)
        fault(cursor, "a value of it has a type that GGUF does not have");
    else if (type == ARRAY)
        take_array(cursor, number, &length);
    else if (type == TEXT)
        take_text(cursor, &text);
    else if (number != NULL && is_integer(type))
        note(number, take_integer(cursor, type));
    else
        take(cursor, value_sizes[type]);
    if (count != NULL)
        *count = length;
}

/* ---- the keys we look at ---- */

enum key {
    BLOCKS, EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS, KEY_LENGTH, VALUE_LENGTH, CONTEXT, VOCABULARY, EXPERTS, EXPERTS_USED,
    EXPERT_FEED_FORWARD, WINDOW, WINDOW_PATTERN, KV_RANK, KEYS
};

static const char *const key_names[KEYS] = {
    [BLOCKS] = "block_count",
    [EMBEDDING] = "embedding_length",
    [FEED_FORWARD] = "feed_forward_length",
    [HEADS] = "attention.head_count",
    [KV_HEADS] = "attention.head_count_kv",
    [KEY_LENGTH] = "attention.key_length",
    [VALUE_LENGTH] = "attention.value_length",
    [CONTEXT] = "context_length",
    [VOCABULARY] = "vocab_size",
    [EXPERTS] = "expert_count",
    [EXPERTS_USED] = "expert_used_count",
    [EXPERT_FEED_FORWARD] = "expert_feed_forward_length",
    [WINDOW] = "attention.sliding_window",
    [WINDOW_PATTERN] = "attention.sliding_window_pattern",
    [KV_RANK] = "attention.kv_lora_rank",
};

struct metadata {
    char architecture[FAMILY_SIZE];
    struct gguf_number numbers[KEYS];
    struct gguf_number alignment;
    uint64_t tokens;
};

static bool is_key(const char *key, size_t length, const char *name)
{
    return length == strlen(name) && memcmp(key, name, length) == 0;
}

/* The number that "ARCHITECTURE.NAME" goes to; NULL for a key that we do not look at. */
static struct gguf_number *find_number(struct metadata *metadata, const char *key, size_t length)
{
    size_t start = strlen(metadata->architecture);
    struct gguf_number *found = NULL;

    if (is_key(key, length, "general.alignment"))
        return &metadata->alignment;
    if (start == 0 || length <= start || memcmp(key, metadata->architecture, start) != 0 || key[start] != '.')
        return NULL;
    for (size_t i = 0; i < KEYS && found == NULL; i++)
        if (is_key(key + start + 1, length - start - 1, key_names[i]))
            found = &metadata->numbers[i];
    return found;
}

static void take_architecture(struct cursor *cursor, struct metadata *metadata)
{
    size_t length = 0;
    const char *text = take_text(cursor, &length);

    if (text == NULL || length == 0 || length >= FAMILY_SIZE) {
        fault(cursor, "its architecture has no name");
        return;
    }
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
            fault(cursor, "its architecture has no name");
    memcpy(metadata->architecture, text, length);
}

/* Goes over all pairs: once for the architecture, whose name the other keys begin with, and once for them. */
static void take_pairs(struct cursor *cursor, uint64_t count, struct metadata *metadata, bool numbers)
{
    for (uint64_t i = 0; i < count && going(cursor); i++) {
        size_t length = 0;
        const char *key = take_text(cursor, &length);
        uint32_t type = (uint32_t)take_unsigned(cursor, 4);
        struct gguf_number *number = numbers && going(cursor) ? find_number(metadata, key, length) : NULL;

        if (!going(cursor))
            break;
        if (length > KEY_MOST)
            fault(cursor, "a key of it is too long");
        else if (number != NULL && number->there)
            fault(cursor, "a key of it is there twice");
        else if (!numbers && type == TEXT && is_key(key, length, "general.architecture"))
            take_architecture(cursor, metadata);
        else if (numbers && is_key(key, length, "tokenizer.ggml.tokens"))
            take_value(cursor, type, NULL, &metadata->tokens);
        else
            take_value(cursor, type, number, NULL);
    }
}

/* ---- structure ---- */

static int64_t value_or(const struct metadata *metadata, enum key key, int64_t other)
{
    return metadata->numbers[key].there ? metadata->numbers[key].most : other;
}

/* The number of each layer, summed over the layers. */
static int64_t sum_over_layers(const struct gguf_number *number, int64_t layers)
{
    return number->count > 0 ? number->sum : tn_times(tn_most(number->most, 0), layers);
}

/* Layers that see all tokens, in a model that has a window; the files leave the pattern to whoever knows the family. */
static int64_t count_full(const struct metadata *metadata, int64_t layers)
{
    static const struct {
        const char *architecture;
        int64_t pattern;
    } known[] = { { "gemma2", 2 }, { "gemma3", 6 }, { "cohere2", 4 }, { "gpt-oss", 2 }, { "llama4", 4 } };
    const struct gguf_number *pattern = &metadata->numbers[WINDOW_PATTERN];
    int64_t every = pattern->count == 0 ? pattern->most : 0;

    if (pattern->count > 0)
        return tn_most(layers - pattern->marked, 0);
    for (size_t i = 0; i < sizeof known / sizeof known[0] && every == 0; i++)
        if (strcmp(known[i].architecture, metadata->architecture) == 0)
            every = known[i].pattern;
    return every > 0 ? layers / every : 0;
}

static void fill_cache(const struct metadata *metadata, struct model_shape *shape)
{
    const struct gguf_number *heads = &metadata->numbers[metadata->numbers[KV_HEADS].there ? KV_HEADS : HEADS];
    int64_t width, all, full = shape->layers;

    if (shape->layers <= 0 || !heads->there || shape->head_dim <= 0)
        return;
    width = tn_plus(tn_most(value_or(metadata, KEY_LENGTH, shape->head_dim), 0),
                    tn_most(value_or(metadata, VALUE_LENGTH, shape->head_dim), 0));
    all = tn_times(sum_over_layers(heads, shape->layers), width);
    if (value_or(metadata, WINDOW, 0) > 0) {
        shape->window = value_or(metadata, WINDOW, 0);
        full = count_full(metadata, shape->layers);
    }
    shape->kv_full = full == shape->layers ? all : tn_times(all / shape->layers, full);
    shape->kv_window = all - shape->kv_full;
    if (shape->kv_window == 0)
        shape->window = -1;
}

static void fill_shape(const struct metadata *metadata, struct model_shape *shape)
{
    memcpy(shape->family, metadata->architecture, sizeof shape->family);
    shape->layers = value_or(metadata, BLOCKS, -1);
    shape->hidden = value_or(metadata, EMBEDDING, -1);
    shape->intermediate = value_or(metadata, FEED_FORWARD, -1);
    shape->heads = value_or(metadata, HEADS, -1);
    shape->kv_heads = value_or(metadata, KV_HEADS, shape->heads);
    shape->context = value_or(metadata, CONTEXT, -1);
    shape->vocab = value_or(metadata, VOCABULARY, metadata->tokens > 0 ? (int64_t)metadata->tokens : -1);
    shape->experts = tn_most(value_or(metadata, EXPERTS, 0), 0);
    shape->experts_used = tn_most(value_or(metadata, EXPERTS_USED, 0), 0);
    shape->expert_intermediate = value_or(metadata, EXPERT_FEED_FORWARD, shape->intermediate);
    shape->kv_rank = tn_most(value_or(metadata, KV_RANK, 0), 0);
    shape->head_dim = value_or(metadata, KEY_LENGTH, -1);
    if (shape->head_dim < 0 && shape->heads > 0 && shape->hidden > 0)
        shape->head_dim = shape->hidden / shape->heads;
    fill_cache(metadata, shape);
}

/* Sizes that no model has would only make nonsense of what is computed from them. */
static bool is_absurd(const struct model_shape *shape)
{
    const int64_t sizes[] = { shape->hidden, shape->intermediate, shape->heads, shape->kv_heads, shape->context, shape->vocab,
                              shape->experts, shape->head_dim };
    bool absurd = shape->layers > LAYERS_MOST;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        absurd = absurd || sizes[i] > INT64_C(1) << 31;
    return absurd;
}

/* ---- tensors ---- */

/* The tensor before the one that is read: its size may have to be told from where the next one begins. */
struct pending {
    char type[DTYPE_SIZE];
    int64_t elements, offset;
    int64_t bytes; /* -1: the type is newer than the table */
    bool there;
};

static int64_t pad(int64_t bytes, int64_t alignment)
{
    return tn_times(tn_share(bytes, alignment), alignment);
}

/* Counts the pending tensor, now that what follows it begins at next. */
static void settle(struct cursor *cursor, struct pending *pending, int64_t next, int64_t alignment, struct model_weights *weights)
{
    if (!pending->there)
        return;
    if (next < pending->offset || (pending->bytes >= 0 && next - pending->offset != pad(pending->bytes, alignment)))
        fault(cursor, "its tensors overlap or leave gaps");
    else
        tn_weights_add(weights, pending->type, 1, pending->elements,
                       pending->bytes >= 0 ? pending->bytes : next - pending->offset);
}

static int64_t take_elements(struct cursor *cursor, int64_t *row)
{
    uint64_t dimensions = take_unsigned(cursor, 4);
    int64_t elements = 1;

    if (dimensions > DIMENSIONS_MOST)
        fault(cursor, "a tensor of it has too many dimensions");
    for (uint64_t i = 0; i < dimensions && going(cursor); i++) {
        uint64_t size = take_unsigned(cursor, 8);

        if (size > INT64_MAX)
            fault(cursor, "a tensor of it is too large");
        else {
            elements = tn_times(elements, (int64_t)size);
            *row = i == 0 ? (int64_t)size : *row;
        }
    }
    if (elements == INT64_MAX)
        fault(cursor, "a tensor of it is too large");
    return elements;
}

/* Takes one tensor's description. */
static void take_tensor(struct cursor *cursor, struct pending *tensor)
{
    size_t length = 0;
    int64_t row = 1;
    uint64_t type, offset;

    memset(tensor, 0, sizeof *tensor);
    take_text(cursor, &length);
    tensor->elements = take_elements(cursor, &row);
    type = take_unsigned(cursor, 4);
    offset = take_unsigned(cursor, 8);
    if (!going(cursor))
        return;
    tensor->there = true;
    tensor->bytes = -1;
    tensor->offset = (int64_t)(offset & INT64_MAX);
    snprintf(tensor->type, sizeof tensor->type, "type %" PRIu32, (uint32_t)type);
    if (offset > INT64_MAX)
        fault(cursor, "a tensor of it is beyond the end of the file");
    if (type < sizeof tensor_types / sizeof tensor_types[0] && tensor_types[type].name != NULL) {
        const struct tensor_type *known = &tensor_types[type];

        strncpy(tensor->type, known->name, sizeof tensor->type - 1);
        tensor->type[strlen(known->name)] = '\0';
        tensor->bytes = tn_times(tensor->elements / known->elements, known->bytes);
        if (row % known->elements != 0 || tensor->bytes == INT64_MAX)
            fault(cursor, "a tensor of it has a shape that its type cannot have");
    }
}

static void take_tensors(struct cursor *cursor, uint64_t count, int64_t alignment, int64_t file_bytes,
                         struct model_weights *weights)
{
    struct pending pending = { .there = false }, tensor = { .there = false };
    int64_t data, end;

    for (uint64_t i = 0; i < count && going(cursor); i++) {
        take_tensor(cursor, &tensor);
        if (!going(cursor))
            return;
        if (!pending.there && tensor.offset != 0)
            fault(cursor, "its tensors overlap or leave gaps");
        settle(cursor, &pending, tensor.offset, alignment, weights);
        pending = tensor;
    }
    if (!going(cursor) || !pending.there)
        return;
    data = pad((int64_t)cursor->at, alignment);
    end = pending.bytes >= 0 ? tn_plus(pending.offset, pending.bytes) : file_bytes >= 0 ? file_bytes - data : -1;
    if (end < 0)
        fault(cursor, "the type of its last tensor is newer than this version, and the size of the file is not known");
    else if (file_bytes >= 0 && end > file_bytes - data)
        fault(cursor, "a tensor of it is beyond the end of the file");
    else
        settle(cursor, &pending, pending.bytes >= 0 ? tn_plus(pending.offset, pad(pending.bytes, alignment)) : end, alignment,
               weights);
}

/* ---- the whole ---- */

static tenon_status outcome(const struct cursor *cursor, struct failure *failure)
{
    if (cursor->fault != NULL)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the GGUF header makes no sense: %s", cursor->fault);
    if (cursor->ended && cursor->size >= GGUF_MOST)
        return tn_fail(failure, TENON_ERROR_PROTOCOL, "the GGUF header is larger than %d bytes", (int)GGUF_MOST);
    return cursor->ended ? TENON_AGAIN : TENON_OK;
}

/* Magic, version and counts. */
static void take_start(struct cursor *cursor, uint64_t *tensors, uint64_t *pairs)
{
    const char *magic = take(cursor, 4);
    uint64_t version;

    if (magic != NULL && memcmp(magic, "GGUF", 4) != 0)
        fault(cursor, "it does not begin with GGUF");
    version = take_unsigned(cursor, 4);
    if (going(cursor) && (version < VERSION_LEAST || version > VERSION_MOST))
        fault(cursor, "its version is not 2 or 3, or it was written with the bytes of a number the other way round");
    *tensors = take_unsigned(cursor, 8);
    *pairs = take_unsigned(cursor, 8);
    if (going(cursor) && (*tensors > TENSORS_MOST || *pairs > PAIRS_MOST))
        fault(cursor, "it has too many tensors or keys");
}

tenon_status tn_gguf_read(const char *bytes, size_t size, int64_t file_bytes, struct model_shape *shape,
                          struct model_weights *weights, struct failure *failure)
{
    struct cursor cursor = { .bytes = bytes, .size = size };
    struct metadata metadata = { .architecture = "" };
    struct model_weights counted = { .files = 1 };
    struct model_shape found;
    uint64_t tensors = 0, pairs = 0;
    int64_t alignment;
    size_t start;
    tenon_status status;

    take_start(&cursor, &tensors, &pairs);
    start = cursor.at;
    take_pairs(&cursor, pairs, &metadata, false);
    if (going(&cursor)) {
        cursor.at = start;
        take_pairs(&cursor, pairs, &metadata, true);
    }
    alignment = metadata.alignment.there ? metadata.alignment.most : ALIGNMENT;
    if (going(&cursor) && (alignment <= 0 || alignment > ALIGNMENT_MOST || (alignment & (alignment - 1)) != 0))
        fault(&cursor, "its alignment is no power of two");
    if (going(&cursor))
        take_tensors(&cursor, tensors, alignment, file_bytes, &counted);
    tn_shape_init(&found);
    fill_shape(&metadata, &found);
    if (going(&cursor) && is_absurd(&found))
        fault(&cursor, "it has a size that no model has");
    status = outcome(&cursor, failure);
    if (status == TENON_OK) {
        tn_weights_join(weights, &counted);
        /* Of a model in several files only the first one has the structure. */
        if (found.layers > 0)
            *shape = found;
    }
    return status;
}
