/*
 * A download under way: a data file that nobody else writes, and a journal that says whose it is and which of its bytes
 * are durable.
 *
 *   BASE.XXXXXXXX.tenon.incomplete   the data
 *   BASE.jN.tenon.incomplete         the journal of the Nth owner: two slots of 4 KiB, written in turn, each with its hash
 *
 * A journal is made whole under another name and gets its own by link(), so that of several who want to be the Nth owner
 * one wins, whatever locks say; its flock is held while its owner works. The next owner inherits from one that has died
 * (its process, by id and start time, in this boot and namespace) by naming the same data; only then the older journal
 * goes, so that a kill in between loses nothing. An owner elsewhere (another machine, container or boot) that holds no lock
 * and shows no sign of life for a while is not trusted to be dead: its bytes are copied. When the content has its name,
 * everything that is left of it goes.
 */
#ifndef TN_PARTIAL_H
#define TN_PARTIAL_H

#include "context.h"
#include "file.h"

enum { TN_RANGES = 40 };

/* Disjoint ranges of a file in order, none touching the next. */
struct ranges {
    int32_t count;
    struct {
        int64_t first, end;
    } at[TN_RANGES];
};

/* Adds a range; false when that would need more than TN_RANGES pieces. */
bool tn_ranges_add(struct ranges *ranges, int64_t first, int64_t end);
int64_t tn_ranges_sum(const struct ranges *ranges);
/* The end of the range that holds at, or at itself when none does. */
int64_t tn_ranges_reach(const struct ranges *ranges, int64_t at);
/* The first byte at or after at that some range holds; limit when there is none. */
int64_t tn_ranges_next(const struct ranges *ranges, int64_t at, int64_t limit);

struct partial {
    struct tenon_context *context;
    struct text base;
    struct text data_path;
    int64_t generation;
    int data;       /* -1 when it is not claimed */
    int journal;
    int64_t size;
    int64_t sequence;
    int64_t seen_bytes; /* durable bytes of the living owner that a claim met; -1: it met none */
    struct ranges durable;
};

void tn_partial_init(struct partial *partial, struct tenon_context *context);
/*
 * Claims what BASE names. TENON_AGAIN: somebody who lives has it. On success data is open, and durable says what an
 * earlier owner left.
 */
tenon_status tn_partial_claim(struct partial *partial, const char *base, int64_t size, struct failure *failure);
/* Makes written durable and says so in the journal. */
tenon_status tn_partial_note(struct partial *partial, const struct ranges *written, struct failure *failure);
/* Says that its owner still lives. */
void tn_partial_heartbeat(struct partial *partial);
/* Nothing that was written counts any more. */
tenon_status tn_partial_restart(struct partial *partial, struct failure *failure);
/* Durable, and renamed to path at one moment; everything else goes. */
tenon_status tn_partial_finish(struct partial *partial, const char *path, struct failure *failure);
/* Somebody removed the data under its name (`hf cache prune` does): what was written gets another one. */
tenon_status tn_partial_rescue(struct partial *partial, struct failure *failure);
/* Gives it up: what is durable stays for the next owner. Safe at any moment, also twice. */
void tn_partial_release(struct partial *partial);
/* Gives it up and leaves nothing behind. */
void tn_partial_discard(struct partial *partial);
/* Does somebody who lives work on base? As far as can be told. */
bool tn_partial_is_claimed(struct partial *partial, const char *base);
/* The content of base has its name: removes what killed processes left of it. For one that is not claimed. */
void tn_partial_clear_away(struct partial *partial, const char *base);

/* What a journal says; for fuzzing and for listing. False when the text is none. */
struct journal {
    char data[256];     /* name of the data file: a content id of up to 128 characters is in it */
    int64_t size;
    int64_t sequence;
    int32_t owner;      /* process id; 0 for none */
    int64_t owner_start;
    char world[160];
    struct ranges durable;
};

bool tn_journal_parse(const char *text, size_t length, struct journal *journal, struct failure *failure);
/* The newer valid slot of the journal at path; false when there is none. */
bool tn_journal_read(const char *path, const struct memory *memory, struct journal *journal);
/* N when name is that of a journal of base; 0 when it is not. */
int64_t tn_journal_generation(const char *base, const char *name);

#endif
