/* One hop of a request: the exchange with what it is told, and what comes of it. */
#ifndef TN_HOP_H
#define TN_HOP_H

#include <stdbool.h>

#include "tenon.h"

struct request;

/* Asks final_url. */
tenon_status tn_hop_start(struct request *request);
/* Ends the exchange where one runs. */
void tn_hop_stop(struct request *request);
/* The body from its start again; false where that cannot be. */
bool tn_hop_rewind(struct request *request);

#endif
