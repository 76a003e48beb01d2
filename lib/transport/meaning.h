/* What a request that did not go well means for a person: the status, the words, and the hint. */
#ifndef TN_MEANING_H
#define TN_MEANING_H

#include "tenon.h"

struct deadline;
struct request;

/* A clock ran out. */
void tn_meaning_of_clock(struct request *request, const struct deadline *deadline);
/* The exchange ended without an answer; gives the status. */
tenon_status tn_meaning_of_end(struct request *request);
/* The answer is none of the good ones; gives the status. */
tenon_status tn_meaning_of_status(struct request *request);

#endif
