/*
 * Lines of a log, which may hold anything: progress bars that begin a line anew with a carriage return, bytes that are no
 * UTF-8, lines without end.
 */
#ifndef TN_LINES_H
#define TN_LINES_H

#include "failure.h"
#include "text.h"

enum { LINE_LONGEST = 64 * 1024 }; /* a longer one is given in pieces */

struct lines {
    struct text raw;  /* of the line under way */
    struct text line; /* the line that was completed, clean */
    size_t kept;      /* bytes of raw that belong to the next piece */
    bool complete;    /* line was given; raw begins anew with the kept bytes */
    bool returned;    /* a carriage return came, and it is not known what follows */
    bool cut;         /* raw begins behind a piece that was cut */
};

void tn_lines_init(struct lines *lines, const struct memory *memory);
void tn_lines_clear(struct lines *lines);
/*
 * Takes bytes up to the end of the next line, and says how many those were. lines->complete tells that a line is ready in
 * lines->line, which lives until the next call.
 */
size_t tn_lines_take(struct lines *lines, const char *data, size_t size);
/* Completes what stands there without a line feed; false when nothing does. */
bool tn_lines_end(struct lines *lines);
tenon_status tn_lines_status(const struct lines *lines);

/* Adds the last lines of the log at path, at most count of them and not many bytes, each with a line feed. */
tenon_status tn_lines_tail(const char *path, size_t count, struct text *out, struct failure *failure);

#endif
