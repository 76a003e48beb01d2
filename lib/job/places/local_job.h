/*
 * Jobs on this machine. Everything that is known of one is in its folder, so every handle, in whatever process, sees the same;
 * a handle keeps only what it needs to notice changes.
 */
#ifndef TN_LOCAL_JOB_H
#define TN_LOCAL_JOB_H

#include "file.h"
#include "job.h"
#include "local_state.h"
#include "order.h"
#include "place.h"
#include "watch.h"

enum { LOCAL_HEX = 12 };

struct submission;
struct probe;

struct local_job {
    struct submission *submission; /* while this handle submits it */
    struct probe *probe;           /* while its server is asked whether it is ready */
    struct watch watch;
    struct timer timer;
    int32_t rounds;                /* since the coroutine went to sleep */
    bool over;                     /* nothing will change any more */
    bool must_probe;               /* its server has not been seen ready */

    /* What was seen last, to tell whether anything changed. */
    bool was_young;
    uint64_t mark;
    uint64_t file_id;              /* of state.json */
    int64_t file_time;
    struct process supervisor;
    int64_t look_due_ms;
    int64_t probe_due_ms;
    int64_t probe_pause_ms;
    char *said;                    /* why its server was not ready when it was asked last; NULL */

    /* A submission that failed and could not even be noted in the folder. */
    int32_t cause;
    char *message;
    char *hint;

    char folder[];
};

/* ---- local.c ---- */

/* Adds the folder of all jobs. Nothing is added where the setting has no value. */
void tn_local_jobs(const struct tenon_context *context, struct text *out);
bool tn_local_is_name(const char *name);
/* A handle for the job in that folder. */
tenon_status tn_local_handle(struct tenon_context *context, const char *name, tenon_job **job);
/* Adds folder/name to a text of its own; NULL without memory. Give it back with tn_release. */
char *tn_local_path(const struct memory *memory, const char *folder, const char *name);

/* ---- local_look.c ---- */

/*
 * Reads what a job's folder says now. With revive, one that nobody watches over any more gets a supervisor again. NOT_FOUND
 * when it was removed.
 */
tenon_status tn_local_look(struct tenon_context *context, const char *folder, bool revive, struct report *report,
                           struct failure *failure);
/* tenon_job_status, tenon_job_wait ... for a handle: what its own submission knows comes first. */
tenon_status tn_local_report(tenon_job *job, struct report *report, struct failure *failure);

/* ---- local_start.c ---- */

/* Starts the supervisor of the job whose lock is held, and hands the lock over. */
tenon_status tn_local_start(struct tenon_context *context, const char *folder, struct lock *lock, struct failure *failure);
/* Adds the path of the supervisor's program; false where there is none. */
bool tn_local_supervisor(const struct tenon_context *context, struct text *out);

/* ---- local_claim.c ---- */

/*
 * Makes a job's folder, or finds the one that has the order's key. name has room for LOCAL_HEX + 1; the lock is held (its
 * descriptor is not -1) where it is for the caller to submit the job.
 */
tenon_status tn_local_claim(struct order *order, char *name, struct lock *lock);

/* ---- local_submit.c ---- */

tenon_status tn_local_submit(struct order *order, tenon_job **job);
/* What the submission is at. */
const char *tn_submission_stage(const struct submission *submission);
struct co *tn_submission_co(struct submission *submission);
/* Ends it, whatever it is at. cancelled: note that somebody stopped the job; else leave it to be submitted again. */
void tn_submission_end(tenon_job *job, bool cancelled);

/* ---- local_spec.c ---- */

/* What a submission has found out by the time the job can run. */
struct ready_order {
    const struct order *order;
    const char *id;
    const char *output;
    const char *model;            /* path; NULL: none */
    const char *data;
    const char *const *inputs;    /* paths, as many as the order has */
    const struct serving_engine *engine; /* NULL: the order's recipe */
    const char *key;              /* NULL: it does not serve */
};

/* Makes spec.json's content. Fails with ARGUMENT where the command or the environment names a variable that is not there. */
tenon_status tn_local_spec(const struct ready_order *ready, json_t **spec, struct failure *failure);

/* ---- local_follow.c and local_ready.c ---- */

tenon_status tn_local_follow(struct co *co);
/* Asks the job's server whether it is ready. */
tenon_status tn_probe_start(tenon_job *job, const struct report *report);
/* True when the probe has ended; it is given back, and what came of it is in the folder or in local->said. */
bool tn_probe_take(tenon_job *job);
void tn_probe_clear(tenon_job *job);

/* ---- local_end.c, local_list.c, local_outputs.c, local_check.c ---- */

tenon_status tn_local_ask_to_stop(const char *folder, const char *reason, const char *detail, int64_t grace_ms,
                                  struct failure *failure);
tenon_status tn_local_stop_new(tenon_job *job, const tenon_stop_options *options, tenon_task **task);
tenon_status tn_local_remove_new(tenon_job *job, tenon_task **task);
tenon_status tn_local_list_new(struct tenon_context *context, const tenon_job_list_options *options, tenon_task **task);
tenon_status tn_local_outputs_new(tenon_job *job, tenon_task **task);
tenon_status tn_local_check_new(tenon_accelerator *accelerator, tenon_task **task);

#endif
