/*
 * What the fuzz targets share. A target is a function over the bytes that others might send; libFuzzer's main calls it in the
 * second tier, replay.c's in the first. What it finds wrong ends the program, as whatever a sanitizer finds does.
 */
#ifndef TN_FUZZ_H
#define TN_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "context.h"
#include "exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define HOLDS(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                \
        }                                                                           \
    } while (0)

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const struct memory *fuzz_memory(void);

/* A copy that ends with a NUL; what is behind one in the input is not part of it. To be freed. */
char *fuzz_text(const uint8_t *bytes, size_t size);
/* Cuts the text at the first end; the part behind it, "" where there is none. */
char *fuzz_cut(char *text, const char *end);
/* Is what we say of it, in a failure or a row, one line of UTF-8 without control characters? NULL is. */
bool fuzz_is_clean(const char *text);
bool fuzz_is_utf8(const char *text);

/* A folder of this process, removed at its end. */
const char *fuzz_folder(void);
/* Makes it empty again. */
void fuzz_empty_folder(void);
/*
 * Lays out files below root: each stands in the input behind a line "==== PATH", a link is a line "==== PATH -> TARGET". What
 * would lead out of root is left out. False where the input does not begin so.
 */
bool fuzz_lay_out(const char *root, const uint8_t *bytes, size_t size);
/*
 * A context with fuzz_folder()/home for its home, that reads no environment and repeats little. Its clock stands still but
 * where nobody has anything to do: then it jumps to what is waited for. There is one context at a time.
 */
tenon_context *fuzz_context(void);
/*
 * For a loop around a call that takes something with timeout 0: true where it should be called again, be it that it has given
 * something, or that nothing was there yet; then the context has done more meanwhile.
 */
bool fuzz_goes_on(tenon_status status);

/*
 * A transport whose answers stand in the input, one after the other with a line "====" between them:
 *
 *   STATUS
 *   name: value          of a header
 *   :fill N              the body is N bytes of "x"
 *   :piece N             the body comes in pieces of N bytes
 *   :cut                 the line is cut behind the body
 *
 *   BODY
 *
 * Whoever asks more than there are answers reaches nobody.
 */
struct canned;

struct canned *fuzz_answers(tenon_context *context, const uint8_t *bytes, size_t size);
/* After the context was freed. */
void fuzz_answers_free(struct canned *canned);
/* Waits for the end of a task, and frees it; its status. NULL has ended. */
tenon_status fuzz_finish(tenon_task *task);

#endif
