/*
 * What a local job's folder holds, for the library and for the supervisor.
 *
 *   lock           held by whoever is responsible for the job: first by the process that submits it, then, handed over
 *                  without a gap, by its supervisor. Only the holder writes state.json or starts anything.
 *   job.json       who the job is and what was asked for; written once, before anybody can know its id
 *   spec.json      how it is run, with its key; written once, when everything it needs is here
 *   state.json     how it is; replaced at one moment each time
 *   process.N      the Nth start: made by the process itself before it becomes the user's program, so that no start
 *                  happens twice whoever dies when
 *   exit.N         how that ended, written by its parent, the keeper
 *   ready.json     written by whoever first saw the server ready
 *   stop.json      what somebody asked the supervisor for
 *   log            what the job's processes print
 *   supervisor.log what the supervisor has to say, seldom anything
 *   output/        what the job keeps, unless the caller named a folder
 *   spare          room on the disk for the last words, where there is no other
 */
#ifndef TN_LOCAL_STATE_H
#define TN_LOCAL_STATE_H

#include <jansson.h>

#include "failure.h"
#include "process.h"
#include "text.h"

#define LOCAL_LOCK "lock"
#define LOCAL_JOB "job.json"
#define LOCAL_SPEC "spec.json"
#define LOCAL_STATE "state.json"
#define LOCAL_READY "ready.json"
#define LOCAL_STOP "stop.json"
#define LOCAL_LOG "log"
#define LOCAL_SUPERVISOR_LOG "supervisor.log"
#define LOCAL_OUTPUT "output"
#define LOCAL_SPARE "spare"

enum { EXIT_DISK = 5 }; /* the supervisor's exit code where the disk has no room for a job's state */

/* What the supervisor is at, in state.json's "phase". */
#define PHASE_STARTING "starting"   /* it looks for the program and a port */
#define PHASE_LAUNCHING "launching" /* from now on the program may have run */
#define PHASE_RUNNING "running"
#define PHASE_STOPPING "stopping"
#define PHASE_ENDED "ended"         /* "result" says how */

enum { LOCAL_FORMAT = 1, LOCAL_FILE_LIMIT = 4 << 20 };

/* One of a job's files as JSON; NOT_FOUND where there is none. */
tenon_status tn_job_read_file(const char *folder, const char *name, json_t **json, struct failure *failure);
/*
 * Replaces one of a job's files; only its owner can read it. After a power cut it is what it was before or what it is now, and
 * where it is durable, what it is now.
 */
tenon_status tn_job_write_file(const char *folder, const char *name, const json_t *json, bool durable, struct failure *failure);
/* A state that says of the job what job.json says; NULL without memory. */
json_t *tn_local_state_new(const json_t *job);
/* Notes how it ended. False without memory. */
bool tn_local_state_end(json_t *state, int32_t result, int32_t cause, const char *message, const char *hint);

/* A process as a member {"id", "start"}. */
bool tn_local_set_process(json_t *json, const char *key, const struct process *process);
struct process tn_local_process(const json_t *json, const char *key);

/* Words for numbers of the header, and back; 0 for a word that is none. */
const char *tn_cause_word(int32_t cause);
int32_t tn_cause_number(const char *word);
const char *tn_result_word(int32_t state);
int32_t tn_result_number(const char *word);
const char *tn_mode_word(int32_t mode);
int32_t tn_mode_number(const char *word);

#endif
