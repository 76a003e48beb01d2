/*
 * An answer as it arrives: the JSON of a chat or a completion, whole or chunk by chunk, becomes pieces of a task.
 */
#ifndef TN_ANSWER_H
#define TN_ANSWER_H

#include <jansson.h>

#include "events.h"
#include "task.h"

struct answer {
    struct tenon_task *task;
    struct events events;
    size_t pieces; /* so far */
    bool stopped;  /* a choice said why it ended */
    bool ended;    /* "[DONE]" came; what follows is not looked at */
};

void tn_answer_init(struct answer *answer, struct tenon_task *task);
void tn_answer_clear(struct answer *answer);
/* Bytes of an event stream. */
tenon_status tn_answer_feed(struct answer *answer, const char *bytes, size_t size);
/* A whole answer. */
tenon_status tn_answer_take(struct answer *answer, const json_t *json);
/* The stream is over: was the answer complete? */
tenon_status tn_answer_end(struct answer *answer);

#endif
