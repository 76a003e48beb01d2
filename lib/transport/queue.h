/* The queues before the origins: to each of them only so many connections stand, and the other requests wait their turn. */
#ifndef TN_QUEUE_H
#define TN_QUEUE_H

#include <stdbool.h>

struct request;

/*
 * Is it the request's turn to ask its final_url? If not it stands in line from now on, and is woken when it may be. Without
 * memory nobody is counted, and all may run.
 */
bool tn_queue_enter(struct request *request);
/* Gives its place to the next one, wherever it stands. Nothing happens to one that stands nowhere. */
void tn_queue_leave(struct request *request);

#endif
