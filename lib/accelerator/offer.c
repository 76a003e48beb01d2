#include "offer.h"

#include <inttypes.h>
#include <string.h>

#include "number.h"

enum {
    CONTEXT_DEFAULT = 4096, RANK_DEFAULT = 16, CONTEXT_LEAST = 256, CHIPS_MOST = 64,
    BF16_CAPABILITY = 80, FP8_CAPABILITY = 89
};

/* An offer while it is made. */
struct judging {
    const struct model_facts *facts;
    const struct machine *machine;
    const struct question *question;
    struct arena *arena;
    struct offer *offer;
    struct sizing sizing;
    bool failed; /* no memory */
};

/* ---- texts ---- */

static const char *say(struct judging *judging, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A text in the arena; "" without memory, which is remembered. */
static const char *say(struct judging *judging, const char *format, ...)
{
    struct text text;
    va_list arguments;
    char *copy = NULL;

    tn_text_init(&text, judging->arena->memory, 4096);
    va_start(arguments, format);
    tn_text_format_v(&text, format, arguments);
    va_end(arguments);
    if (tn_text_status(&text) == TENON_OK)
        copy = tn_arena_copy(judging->arena, tn_text(&text));
    tn_text_clear(&text);
    judging->failed = judging->failed || copy == NULL;
    return copy != NULL ? copy : "";
}

static void reason(struct judging *judging, const char *code, const char *message, const char *change)
{
    struct offer *offer = judging->offer;

    if (offer->reason_count < REASONS_MOST)
        offer->reasons[offer->reason_count++] =
            (tenon_reason){ .struct_size = sizeof(tenon_reason), .code = code, .message = message, .change = change };
}

/* ---- the question ---- */

void tn_question_finish(struct question *question, const struct model_facts *facts)
{
    if (question->context == 0) {
        question->context = CONTEXT_DEFAULT;
        if (facts->shape.context > 0 && facts->shape.context < CONTEXT_DEFAULT)
            question->context = facts->shape.context;
    }
    if (question->sequences == 0)
        question->sequences = 1;
    if (question->rank == 0)
        question->rank = RANK_DEFAULT;
}

/* As many chips as can share the model: serving divides its heads, training may spread it anyhow. */
static int32_t usable_chips(const struct model_facts *facts, int32_t purpose, int32_t chips)
{
    int32_t usable = chips < 1 ? 1 : chips;

    while (purpose == TENON_PURPOSE_SERVE && usable > 1 && !tn_divides(facts, usable))
        usable--;
    return usable;
}

/* ---- the verdict ---- */

/* A tenth to spare: engines leave as much, and a driver's own share is not in any header. */
static int64_t comfortable(int64_t have)
{
    return tn_times(have, 9) / 10;
}

static int32_t judge(const struct sized *sized, int64_t have)
{
    int32_t verdict = TENON_VERDICT_FITS;

    if (have < 0)
        verdict = TENON_VERDICT_UNKNOWN;
    else if (sized->high > have)
        verdict = TENON_VERDICT_NO;
    else if (sized->missing != NULL)
        verdict = TENON_VERDICT_UNKNOWN;
    else if (sized->high > comfortable(have))
        verdict = TENON_VERDICT_TIGHT;
    return verdict;
}

static int64_t most_tokens(const struct sized *sized, const struct question *question, int64_t have)
{
    int64_t cache = 0;

    if (question->purpose != TENON_PURPOSE_SERVE || sized->token_bytes <= 0 || sized->missing != NULL || have < 0)
        return -1;
    for (size_t i = 0; i < sized->count; i++)
        if (strcmp(sized->items[i].item, "kv_cache") == 0)
            cache = sized->items[i].high_bytes;
    return tn_most(comfortable(have) - (sized->high - cache), 0) / sized->token_bytes;
}

/* ---- what would change a "no" ---- */

/* The same question with something changed; true when it would then fit with a tenth to spare. */
static bool would_fit(struct judging *judging, const struct model_facts *facts, const struct sizing *sizing)
{
    struct sized sized;

    if (tn_size(facts, sizing, judging->arena, &sized) != TENON_OK) {
        judging->failed = true;
        return false;
    }
    return judge(&sized, judging->offer->row.have_bytes) == TENON_VERDICT_FITS;
}

/* A shorter context; NULL where that alone is not enough, or would leave too little. */
static const char *shorter_context(struct judging *judging)
{
    struct sizing sizing = judging->sizing;

    if (judging->question->purpose == TENON_PURPOSE_SERVE && judging->offer->row.most_tokens > 0)
        sizing.context = judging->offer->row.most_tokens / sizing.sequences / 256 * 256;
    else
        sizing.context = sizing.context / 2 / 256 * 256;
    while (sizing.context >= CONTEXT_LEAST && !would_fit(judging, judging->facts, &sizing))
        sizing.context = sizing.context / 2 / 256 * 256;
    if (sizing.context < CONTEXT_LEAST || sizing.context >= judging->sizing.context)
        return NULL;
    return say(judging, "A context of %" PRId64 " tokens would fit.", sizing.context);
}

/* Weights in fewer bits, for weights of 16 bits and more; scales and what stays unpacked are counted in. */
static const char *smaller_weights(struct judging *judging)
{
    static const struct {
        int64_t thousandths; /* bytes of a parameter */
        const char *name;
    } kinds[] = { { 1020, "8-bit" }, { 570, "4-bit" } };
    struct model_facts facts = *judging->facts;
    const char *change = NULL;

    if (judging->question->purpose == TENON_PURPOSE_TRAIN || facts.parameters <= 0 ||
        facts.weights.bytes < tn_times(2, facts.parameters) - facts.parameters / 10)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && change == NULL; i++) {
        facts.weights.bytes = tn_times(facts.parameters, kinds[i].thousandths) / 1000;
        if (would_fit(judging, &facts, &judging->sizing))
            change = say(judging, "Weights in %s would fit.", kinds[i].name);
    }
    return change;
}

static const char *adapters_instead(struct judging *judging)
{
    struct sizing sizing = judging->sizing;

    sizing.purpose = TENON_PURPOSE_LORA;
    if (judging->question->purpose != TENON_PURPOSE_TRAIN || !would_fit(judging, judging->facts, &sizing))
        return NULL;
    return "Training adapters (LoRA) instead of all parameters would fit.";
}

static const char *more_chips(struct judging *judging)
{
    struct sizing sizing = judging->sizing;

    if (judging->machine->kind == MACHINE_CPU)
        return NULL;
    for (sizing.chips = 2; sizing.chips <= CHIPS_MOST; sizing.chips *= 2)
        if (sizing.chips > judging->sizing.chips && usable_chips(judging->facts, sizing.purpose, sizing.chips) == sizing.chips &&
            would_fit(judging, judging->facts, &sizing))
            return say(judging, "%" PRId32 " of these chips together would fit it.", sizing.chips);
    return NULL;
}

/* The cheapest change that makes it fit. */
static const char *cheapest_change(struct judging *judging)
{
    static const char *(*const changes[])(struct judging *) = { shorter_context, smaller_weights, adapters_instead, more_chips };
    const char *change = NULL;
    char need[TN_HUMAN];

    for (size_t i = 0; i < sizeof changes / sizeof changes[0] && change == NULL; i++)
        change = changes[i](judging);
    if (change == NULL)
        change = say(judging, "It takes %s of memory to have a tenth to spare.",
                     tn_human(need, tn_plus(judging->offer->row.need_bytes / 9, judging->offer->row.need_bytes)));
    return change;
}

/* ---- reasons ---- */

static void explain_memory(struct judging *judging)
{
    const tenon_offer *row = &judging->offer->row;
    const char *missing = judging->offer->sized.missing;
    char need[TN_HUMAN], have[TN_HUMAN], rest[TN_HUMAN];
    const char *each = row->chips > 1 ? " on each chip" : "";

    tn_human(need, row->need_bytes);
    tn_human(have, row->have_bytes);
    if (row->have_bytes < 0)
        reason(judging, "memory", "how much memory it has cannot be told", "");
    else if (row->verdict == TENON_VERDICT_NO)
        reason(judging, "memory",
               say(judging, "it needs %s of %s%s, %s too much", need, have, each, tn_human(rest, row->short_bytes)),
               cheapest_change(judging));
    else if (row->verdict != TENON_VERDICT_UNKNOWN)
        reason(
            judging, "memory",
            say(judging, "it needs %s of %s%s, %s to spare", need, have, each, tn_human(rest, row->have_bytes - row->need_bytes)),
            row->verdict == TENON_VERDICT_TIGHT ? cheapest_change(judging) : "");
    if (missing != NULL)
        reason(judging, "structure", say(judging, "%s cannot be told: the headers do not say how the model is built", missing),
               "Put the model's config.json beside its weights.");
}

/* Memory that others hold now. */
static void explain_use(struct judging *judging)
{
    const tenon_machine *row = &judging->machine->row;
    char used[TN_HUMAN], total[TN_HUMAN];

    if (row->memory_free_bytes < 0 || row->memory_bytes < 0 || judging->offer->row.verdict == TENON_VERDICT_FITS ||
        judging->offer->sized.high > row->memory_bytes || row->memory_free_bytes >= comfortable(row->memory_bytes))
        return;
    reason(judging, "memory_in_use",
           say(judging, "%s of its %s are in use", tn_human(used, row->memory_bytes - row->memory_free_bytes),
               tn_human(total, row->memory_bytes)),
           "End other programs that use its memory.");
}

static void explain_chips(struct judging *judging)
{
    int32_t all = judging->machine->row.chips;

    if (all > judging->sizing.chips)
        reason(judging, "heads",
               say(judging,
                   "%" PRId32 " chips cannot share %" PRId64 " heads and %" PRId64 " KV heads evenly: %" PRId32 " are used", all,
                   judging->facts->shape.heads, judging->facts->shape.kv_heads, judging->sizing.chips),
               "");
}

static bool has_dtype(const struct model_facts *facts, const char *start)
{
    bool found = false;

    for (size_t i = 0; i < facts->weights.dtype_count; i++)
        found = found || (tn_starts_with(facts->weights.dtypes[i].name, start) &&
                          facts->weights.dtypes[i].bytes > facts->weights.bytes / 4);
    return found;
}

/* What the chip cannot compute with. */
static void explain_numbers(struct judging *judging)
{
    int32_t capability = judging->machine->capability;

    if (capability == 0 || judging->facts->format == MODEL_GGUF)
        return;
    if (capability < BF16_CAPABILITY && has_dtype(judging->facts, "BF16"))
        reason(
            judging, "no_bf16",
            say(judging, "compute capability %d.%d has no bfloat16, which the weights are in", capability / 10, capability % 10),
            "Use float16 (vllm: --dtype half).");
    if (capability < FP8_CAPABILITY && has_dtype(judging->facts, "F8_"))
        reason(
            judging, "no_fp8",
            say(judging, "compute capability %d.%d does not compute in 8-bit floating point", capability / 10, capability % 10),
            "Use weights in 16 bits, or an engine that widens them.");
}

static void explain_context(struct judging *judging)
{
    const struct model_shape *shape = &judging->facts->shape;

    if (shape->context > 0 && judging->question->context > shape->context)
        reason(judging, "context",
               say(judging, "the model was made for %" PRId64 " tokens of context, not %" PRId64, shape->context,
                   judging->question->context),
               say(judging, "Ask for %" PRId64 " tokens or less.", shape->context));
    if (judging->question->purpose == TENON_PURPOSE_SERVE && shape->window > 0 && shape->window < judging->question->context &&
        shape->kv_window > 0)
        reason(judging, "window",
               say(judging, "layers with a window of %" PRId64 " tokens are counted at full length, as some engines keep them",
                   shape->window),
               "");
}

static void explain_weights(struct judging *judging)
{
    if (judging->facts->format == MODEL_CONFIG)
        reason(judging, "formula", "no weights were found: they are counted from config.json, at 16 bits", "");
    if (judging->facts->format == MODEL_GGUF && judging->question->purpose != TENON_PURPOSE_SERVE)
        reason(judging, "format", "GGUF files are for serving; what trains wants safetensors", "Give the model's safetensors.");
    if (judging->facts->format == MODEL_GGUF && judging->machine->kind == MACHINE_CPU &&
        judging->offer->row.verdict == TENON_VERDICT_NO)
        reason(judging, "mapped",
               "llama-server maps the file: it starts with less memory, and then reads from the disk for every token", "");
}

static void summarize(struct judging *judging)
{
    tenon_offer *row = &judging->offer->row;
    const char *name = judging->machine->row.name;
    char need[TN_HUMAN], have[TN_HUMAN], rest[TN_HUMAN];
    const char *each = row->chips > 1 ? " on each chip" : "";

    tn_human(need, row->need_bytes);
    tn_human(have, row->have_bytes);
    if (row->verdict == TENON_VERDICT_FITS)
        row->summary = say(judging, "It fits %s: %s of %s%s.", name, need, have, each);
    else if (row->verdict == TENON_VERDICT_TIGHT)
        row->summary = say(judging, "It fits %s with little to spare: %s of %s%s.", name, need, have, each);
    else if (row->verdict == TENON_VERDICT_NO)
        row->summary = say(judging, "It does not fit %s: it needs %s%s, %s more than there is.", name, need, each,
                           tn_human(rest, row->short_bytes));
    else if (row->have_bytes < 0)
        row->summary = say(judging, "It needs %s%s; how much %s has cannot be told.", need, each, name);
    else
        row->summary = say(judging, "It needs more than %s of %s on %s; %s cannot be told.", need, have, name,
                           judging->offer->sized.missing);
}

/* ---- the whole ---- */

static void fill_row(struct judging *judging)
{
    const tenon_machine *machine = &judging->machine->row;
    struct offer *offer = judging->offer;
    int64_t have = machine->memory_free_bytes >= 0 ? machine->memory_free_bytes : machine->memory_bytes;

    offer->row = (tenon_offer){
        .struct_size = sizeof offer->row, .accelerator = machine->name, .chip = machine->chip, .have_bytes = have,
        .need_bytes = offer->sized.high, .verdict = judge(&offer->sized, have),
        .chips = judging->machine->kind == MACHINE_CPU ? 0 : judging->sizing.chips, .hour_usd_micros = machine->hour_usd_micros,
        .most_tokens = most_tokens(&offer->sized, judging->question, have), .summary = "",
    };
    if (offer->row.verdict == TENON_VERDICT_NO)
        offer->row.short_bytes = offer->sized.high - have;
}

tenon_status tn_offer_make(const struct model_facts *facts, const struct machine *machine, const struct question *question,
                           struct arena *arena, struct offer *offer)
{
    struct judging judging = { .facts = facts, .machine = machine, .question = question, .arena = arena, .offer = offer };

    memset(offer, 0, sizeof *offer);
    judging.sizing = (struct sizing){
        .kind = machine->kind, .chips = usable_chips(facts, question->purpose, machine->row.chips), .purpose = question->purpose,
        .context = question->context, .sequences = question->sequences, .rank = question->rank,
    };
    if (tn_size(facts, &judging.sizing, arena, &offer->sized) != TENON_OK)
        return TENON_ERROR_MEMORY;
    fill_row(&judging);
    explain_memory(&judging);
    explain_use(&judging);
    explain_chips(&judging);
    explain_numbers(&judging);
    explain_context(&judging);
    explain_weights(&judging);
    summarize(&judging);
    return judging.failed ? TENON_ERROR_MEMORY : TENON_OK;
}

static int compare(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* Fits, tight, unknown, no. */
static int rank(const tenon_offer *row)
{
    static const int ranks[] = {
        [TENON_VERDICT_UNKNOWN] = 2, [TENON_VERDICT_FITS] = 0, [TENON_VERDICT_TIGHT] = 1, [TENON_VERDICT_NO] = 3
    };

    return ranks[row->verdict];
}

int tn_offer_compare(const void *a, const void *b)
{
    const tenon_offer *x = &((const struct offer *)a)->row, *y = &((const struct offer *)b)->row;
    int order = compare(rank(x), rank(y));

    if (order == 0)
        order = compare(x->short_bytes, y->short_bytes);
    if (order == 0)
        order = compare(x->chips == 0, y->chips == 0);
    if (order == 0)
        order = compare(x->chips, y->chips);
    if (order == 0)
        order = compare(y->have_bytes - y->need_bytes, x->have_bytes - x->need_bytes);
    return order != 0 ? order : strcmp(x->accelerator, y->accelerator);
}
