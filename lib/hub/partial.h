/*
 * A download under way: a data file that nobody else writes, and a journal that says whose it is and which of its bytes
 * are durable.
 *
 *   BASE.XXXXXXXX.tenon.incomplete   the data
 *   BASE.jN.tenon.incomplete         the journal of the Nth owner
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
#include "journal.h"

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
/* Says in the journal that written is durable, which it is. */
tenon_status tn_partial_noted(struct partial *partial, const struct ranges *written, struct failure *failure);
/* Makes it durable first, and waits for that. */
tenon_status tn_partial_note(struct partial *partial, const struct ranges *written, struct failure *failure);
/* Says that its owner still lives. */
void tn_partial_heartbeat(struct partial *partial);
/* Nothing that was written counts any more. */
tenon_status tn_partial_restart(struct partial *partial, struct failure *failure);
/* What came, and is durable, is renamed to path at one moment; everything else goes. */
tenon_status tn_partial_finish(struct partial *partial, const char *path, struct failure *failure);
/* Somebody removed the data under its name (`hf cache prune` does): what was written gets another one. */
tenon_status tn_partial_rescue(struct partial *partial, struct failure *failure);
/* Gives it up: what is durable stays for the next owner. Safe at any moment, also twice. */
void tn_partial_release(struct partial *partial);
/* Gives it up and leaves nothing behind. */
void tn_partial_discard(struct partial *partial);
/* The content of base has its name: removes what killed processes left of it, unless somebody who lives fetches it anew. */
void tn_partial_clear_away(struct tenon_context *context, const char *base);

#endif
