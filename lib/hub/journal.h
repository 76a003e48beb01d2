/*
 * The journal of a download: which bytes of which file are durable, and whose the download is.
 *
 * A file of two slots of 4 KiB that are written in turn, each with its hash: whatever a crash does to one, the other says
 * what was so before. A slot is lines of text, padded with zeros:
 *
 *   tenon-partial 1
 *   data NAME                    of the data file, in the same folder
 *   size BYTES                   of the whole
 *   sequence N                   the higher is the newer
 *   owner PROCESS START WORLD    "-" for nobody
 *   durable FIRST-END ...
 *   check SHA256                 of what is above
 */
#ifndef TN_JOURNAL_H
#define TN_JOURNAL_H

#include <stdbool.h>

#include "failure.h"
#include "memory.h"
#include "ranges.h"
#include "text.h"

/* What a journal says. */
struct journal {
    char data[256];     /* name of the data file: a content id of up to 128 characters is in it */
    int64_t size;
    int64_t sequence;
    int32_t owner;      /* process id; 0 for none */
    int64_t owner_start;
    char world[160];
    struct ranges durable;
};

/* False when the text is none. */
bool tn_journal_parse(const char *text, size_t length, struct journal *journal, struct failure *failure);
/* The newer valid slot of the journal at path; false when there is none. */
bool tn_journal_read(const char *path, const struct memory *memory, struct journal *journal);
/* Writes the slot whose turn it is by the sequence; path is for the message. */
tenon_status tn_journal_write(int fd, const struct journal *journal, const char *path, const struct memory *memory,
                              struct failure *failure);

/* Adds the name of the Nth journal of base. */
void tn_journal_name(const char *base, int64_t generation, struct text *out);
/* N when name is that of a journal of base; 0 when it is not. */
int64_t tn_journal_generation(const char *base, const char *name);
/* The same for a name that only begins so; *rest is what is behind it. */
int64_t tn_journal_generation_of(const char *base, const char *name, const char **rest);

#endif
