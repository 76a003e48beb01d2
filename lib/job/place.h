/*
 * A place: what a local machine, a cluster or a cloud must be able to do so that jobs can run there. Every place is one file
 * or folder in places/, behind this table; it uses what this folder offers and never another place.
 */
#ifndef TN_PLACE_H
#define TN_PLACE_H

#include <jansson.h>

#include "accelerator.h"
#include "job.h"
#include "order.h"
#include "task.h"

struct place {
    const char *name; /* before the colon of an id */

    /*
     * Claims an id and makes the handle; everything that takes time happens in the job's coroutine. With a key that a job
     * has already, that job's handle is made. Takes what the order holds (tn_order_move). Failures go to the context.
     */
    tenon_status (*submit)(struct order *order, tenon_job **job);
    tenon_status (*open)(struct tenon_context *context, const char *id, tenon_job **job);
    /* Gives back what the place holds in job->inside; in a forked child only memory. */
    void (*clear)(tenon_job *job);

    /* What is known now. It never waits; NOT_FOUND when the job was removed. */
    tenon_status (*report)(tenon_job *job, struct report *report, struct failure *failure);
    /*
     * The step of job->co. It runs while tn_job_is_followed, keeps what is known fresh, and calls tn_job_changed and
     * tn_job_log_changed.
     */
    tenon_status (*follow)(struct co *co);

    /* Bytes of the log from offset on; *got 0 at what is its end now. */
    tenon_status (*read_log)(tenon_job *job, int64_t offset, char *bytes, size_t size, size_t *got, struct failure *failure);
    tenon_status (*log_size)(tenon_job *job, int64_t *size, struct failure *failure);
    /* Where a server answers, and its key; BUSY while it does not. */
    tenon_status (*endpoint)(tenon_job *job, struct text *address, struct text *key, struct failure *failure);

    /* Operations, made but not yet started; a failure is in the context's. */
    tenon_status (*stop_new)(tenon_job *job, const tenon_stop_options *options, tenon_task **task);
    tenon_status (*remove_new)(tenon_job *job, tenon_task **task);
    tenon_status (*outputs_new)(tenon_job *job, tenon_task **task);
    tenon_status (*list_new)(struct tenon_context *context, const tenon_job_list_options *options, tenon_task **task);
    tenon_status (*check_new)(tenon_accelerator *accelerator, tenon_task **task);
};

extern const struct place tn_place_local;

/* The place of that name; NULL with the failure where this version knows none such. */
const struct place *tn_place_find(const char *name, size_t length, struct failure *failure);

#endif
