/* A transport that takes its answers from the input, in the place of libcurl's. */
#include "fuzz.h"

#include <string.h>

enum { FILL_MOST = 1 << 20, PIECES_MOST = 1000 };

struct canned {
    struct engine engine; /* first: what hangs on a context is taken for the engine itself */
    tenon_context *context;
    const uint8_t *at;
    size_t left;
};

/* What one answer says, as far as it is not told to the exchange at once. */
struct answer {
    const uint8_t *body;
    size_t size;
    size_t fill;
    size_t piece;
    bool cut;
};

/* An exchange under way; the loop comes round to answer it. */
struct pending {
    struct timer timer;
    struct canned *canned;
    struct exchange *exchange;
    const uint8_t *bytes; /* of its answer; NULL: there is none for it */
    size_t size;
    struct answer answer;
    bool begun;
    size_t given; /* bytes of the body */
};

/* ---- reading the input ---- */

static const uint8_t *find(const uint8_t *bytes, size_t size, const char *what)
{
    return size > 0 ? memmem(bytes, size, what, strlen(what)) : NULL;
}

/* Cuts the next answer off the input; false where there is none. */
static bool take_answer(struct canned *canned, const uint8_t **bytes, size_t *size)
{
    const uint8_t *end = find(canned->at, canned->left, "\n====\n");
    size_t length = end != NULL ? (size_t)(end - canned->at) : canned->left, taken = end != NULL ? length + 6 : length;
    bool found = canned->left > 0;

    *bytes = canned->at;
    *size = length;
    canned->at += taken;
    canned->left -= taken;
    return found;
}

static size_t number_of(const char *text, size_t most)
{
    unsigned long number = strtoul(text, NULL, 10);

    return number < most ? (size_t)number : most;
}

/* A line that is for us. */
static void take_order(const char *line, struct answer *answer)
{
    if (strncmp(line, ":fill ", 6) == 0)
        answer->fill = number_of(line + 6, FILL_MOST);
    else if (strncmp(line, ":piece ", 7) == 0)
        answer->piece = number_of(line + 7, FILL_MOST);
    else if (strcmp(line, ":cut") == 0)
        answer->cut = true;
}

/* A header, as libcurl would hand it over: without NUL and without blanks at its end, its name in lower case. */
static void take_header(char *line, struct text *headers)
{
    size_t length = strlen(line);

    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\r'))
        line[--length] = '\0';
    for (char *c = line; *c != '\0' && *c != ':'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    if (length > 0)
        tn_text_format(headers, "%s\n", line);
}

/* Reads what stands before the body; false where the answer is none. */
static bool read_answer(const uint8_t *bytes, size_t size, struct exchange *exchange, struct answer *answer)
{
    const uint8_t *blank = find(bytes, size, "\n\n");
    size_t head = blank != NULL ? (size_t)(blank - bytes) : size;
    char *text = fuzz_text(bytes, head), *line = text, *next = fuzz_cut(text, "\n");

    memset(answer, 0, sizeof *answer);
    answer->body = blank != NULL ? blank + 2 : bytes;
    answer->size = blank != NULL ? size - head - 2 : 0;
    exchange->status = (int32_t)number_of(line, 999);
    while (*next != '\0') {
        line = next;
        next = fuzz_cut(line, "\n");
        if (*line == ':')
            take_order(line, answer);
        else
            take_header(line, &exchange->answer);
    }
    free(text);
    /* A megabyte byte by byte would tell nothing new. */
    if (answer->piece > 0 && answer->fill / answer->piece > PIECES_MOST)
        answer->fill = answer->piece * PIECES_MOST;
    return exchange->status >= 200 && !exchange->answer.failed;
}

/* ---- answering ---- */

/* The next piece of the body; what is told to a pausing exchange it is told again. */
static enum exchange_take give_piece(struct pending *pending)
{
    static char filling[FILL_MOST];
    const struct answer *answer = &pending->answer;
    bool fills = pending->given >= answer->size;
    size_t left = (fills ? answer->size + answer->fill : answer->size) - pending->given;
    size_t step = answer->piece > 0 ? answer->piece : 16384, size = left < step ? left : step;
    enum exchange_take take;

    memset(filling, 'x', fills ? size : 0);
    take = pending->exchange->data(pending->exchange, fills ? filling : (const char *)answer->body + pending->given, size);
    pending->given += take == EXCHANGE_TAKEN ? size : 0;
    return take;
}

/* As much as is wanted now. */
static enum exchange_take give(struct pending *pending)
{
    const struct answer *answer = &pending->answer;
    bool has_body = strcmp(pending->exchange->method, "HEAD") != 0;
    enum exchange_take take = pending->begun ? EXCHANGE_TAKEN : pending->exchange->started(pending->exchange);

    pending->begun = true;
    while (has_body && take == EXCHANGE_TAKEN && pending->given < answer->size + answer->fill)
        take = give_piece(pending);
    return take;
}

static void forget(struct pending *pending)
{
    tn_timer_stop(pending->canned->context, &pending->timer);
    pending->exchange->inside = NULL;
    free(pending);
}

static void end(struct pending *pending, enum exchange_end how)
{
    struct exchange *exchange = pending->exchange;

    if (how != EXCHANGE_DONE)
        snprintf(exchange->reason, sizeof exchange->reason, "as the input says");
    exchange->end = how;
    forget(pending);
    exchange->ended(exchange);
}

static void answer_now(struct timer *timer)
{
    struct pending *pending = TN_CONTAINER(timer, struct pending, timer);
    enum exchange_end how = EXCHANGE_RUNS;

    if (pending->bytes == NULL)
        how = EXCHANGE_NO_HOST;
    else if (!pending->begun) {
        pending->exchange->connected = true;
        how = read_answer(pending->bytes, pending->size, pending->exchange, &pending->answer) ? EXCHANGE_RUNS : EXCHANGE_NONSENSE;
    }
    if (how == EXCHANGE_RUNS) {
        enum exchange_take take = give(pending);

        if (take == EXCHANGE_ABORT)
            how = EXCHANGE_ABORTED;
        else if (take == EXCHANGE_TAKEN)
            how = pending->answer.cut ? EXCHANGE_CUT : EXCHANGE_DONE;
    }
    if (how != EXCHANGE_RUNS)
        end(pending, how);
}

static tenon_status start(struct engine *engine, struct exchange *exchange)
{
    struct canned *canned = TN_CONTAINER(engine, struct canned, engine);
    struct pending *pending = calloc(1, sizeof *pending);

    HOLDS(pending != NULL && exchange->inside == NULL);
    HOLDS(strncmp(exchange->url, "http://", 7) == 0 || strncmp(exchange->url, "https://", 8) == 0);
    if (getenv("FUZZ_TELL") != NULL)
        fprintf(stderr, "%s %s\n%s", exchange->method, exchange->url, exchange->headers);
    exchange->end = EXCHANGE_RUNS;
    exchange->connected = false;
    exchange->active_ms = tn_now(canned->context);
    exchange->status = 0;
    exchange->reason[0] = '\0';
    tn_text_reset(&exchange->answer);
    exchange->answer.limit = 256 * 1024;
    exchange->inside = pending;
    pending->canned = canned;
    pending->exchange = exchange;
    pending->timer.fire = answer_now;
    /* Answers go to questions in the order in which these are asked. */
    if (!take_answer(canned, &pending->bytes, &pending->size))
        pending->bytes = NULL;
    tn_timer_set(canned->context, &pending->timer, 0, NULL);
    return TENON_OK;
}

static void cancel(struct engine *engine, struct exchange *exchange)
{
    (void)engine;
    if (exchange->inside != NULL)
        forget(exchange->inside);
}

static void resume(struct engine *engine, struct exchange *exchange)
{
    struct canned *canned = TN_CONTAINER(engine, struct canned, engine);
    struct pending *pending = exchange->inside;

    if (pending != NULL)
        tn_timer_set(canned->context, &pending->timer, 0, NULL);
}

static void destroy(void *object)
{
    (void)object;
}

struct canned *fuzz_answers(tenon_context *context, const uint8_t *bytes, size_t size)
{
    struct canned *canned = calloc(1, sizeof *canned);
    struct attachment *attachment = &context->attachments[ATTACH_TRANSPORT];

    HOLDS(canned != NULL && attachment->object == NULL);
    canned->engine = (struct engine){ start, cancel, resume };
    canned->context = context;
    canned->at = bytes;
    canned->left = size;
    attachment->object = canned;
    attachment->destroy = destroy;
    return canned;
}

void fuzz_answers_free(struct canned *canned)
{
    free(canned);
}
