/* Which requests are asked again after they failed, and when. */
#ifndef TN_POLICY_H
#define TN_POLICY_H

#include <stdint.h>

struct request;

/*
 * How long to pause before the request, whose exchange is over, is repeated; -1 when it is not. Its body then starts anew.
 * retry_after_ms is set where a caller could ask again, be it that the request itself does not.
 */
int64_t tn_policy_pause(struct request *request);
/* Counts a repetition, and tells the log of it. */
void tn_policy_note(struct request *request, int64_t pause_ms);

#endif
