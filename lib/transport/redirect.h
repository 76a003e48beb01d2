/* Redirects, followed by hand: where an answer leads, and whether to go there. */
#ifndef TN_REDIRECT_H
#define TN_REDIRECT_H

#include <stdbool.h>

#include "tenon.h"

struct request;

/* Is the answer's status one of those that lead elsewhere? */
bool tn_redirect_is(const struct request *request);
/* True when the exchange that is over leads elsewhere and is followed: final_url, method and body are the next hop's. */
bool tn_redirect_follow(struct request *request, tenon_status *status);

#endif
