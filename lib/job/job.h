/* The job handle, as other folders and the places use it. */
#ifndef TN_JOB_H
#define TN_JOB_H

#include <jansson.h>

#include "context.h"
#include "task.h"

struct place;

/* What is known of a job at one moment. The row's texts live in the state, or in the memory beside it. */
struct report {
    const struct memory *memory;
    tenon_job_report row;
    json_t *state;
    char *json;
};

void tn_report_init(struct report *report, const struct memory *memory);
void tn_report_clear(struct report *report);
/* Tells reports apart by what a watcher wants to hear of. */
uint64_t tn_report_mark(const struct report *report);
bool tn_state_is_final(int32_t state);

struct tenon_job {
    struct handle handle;
    const struct place *place;
    struct co co;           /* the place's, while somebody follows */
    struct link followers;
    struct report *report;  /* of the last tenon_job_status */
    char *key;              /* of the last tenon_job_api_key */
    void *inside;           /* the place's */
    char id[];
};

/* For places: a handle without its inside. */
tenon_status tn_job_new(struct tenon_context *context, const struct place *place, const char *id, tenon_job **job);
/* Gives back a handle that the caller was never given, or the reference of a task; inside the context. */
void tn_job_drop(tenon_job *job);
/* Starts the job's coroutine where it does not run. */
void tn_job_begin(tenon_job *job);

/* Somebody who wants to hear of changes: a coroutine that is woken. */
struct follower {
    struct link link;
    struct co *co;
    bool log; /* of new lines too */
};

void tn_job_follow(tenon_job *job, struct follower *follower, struct co *co, bool log);
void tn_job_unfollow(tenon_job *job, struct follower *follower);
bool tn_job_is_followed(const tenon_job *job);
void tn_job_changed(tenon_job *job);
void tn_job_log_changed(tenon_job *job);

/* tenon_job_open for a caller that is inside the context. */
tenon_status tn_job_open(struct tenon_context *context, const char *id, tenon_job **job, struct failure *failure);
/*
 * Adds to address and key where the server of that job answers; both are empty before. BUSY while it is not ready; the key
 * becomes one of the context's secrets.
 */
tenon_status tn_job_endpoint(struct tenon_context *context, const char *id, struct text *address, struct text *key,
                             struct failure *failure);
/* tenon_job_wait as a part of another operation. */
tenon_status tn_job_wait_new(tenon_job *job, int32_t until, tenon_task **task);

#endif
