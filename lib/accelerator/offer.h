/* One accelerator judged for one model: what it needs, whether it fits, why, and what would change it. */
#ifndef TN_OFFER_H
#define TN_OFFER_H

#include "sizing.h"

/* What is asked of every accelerator. */
struct question {
    int32_t purpose;
    int64_t context;   /* 0: as the options say */
    int64_t sequences;
    int64_t rank;
};

enum { REASONS_MOST = 12 };

struct offer {
    tenon_offer row; /* its texts live in the arena */
    struct sized sized;
    tenon_reason reasons[REASONS_MOST];
    size_t reason_count;
};

/* Fills in what the caller left open, for this model. */
void tn_question_finish(struct question *question, const struct model_facts *facts);
/* TENON_ERROR_MEMORY is the one way to fail. */
tenon_status tn_offer_make(const struct model_facts *facts, const struct machine *machine, const struct question *question,
                           struct arena *arena, struct offer *offer);
/* Which of two is better: for qsort, best first, the same for the same on every run. */
int tn_offer_compare(const void *a, const void *b);

#endif
