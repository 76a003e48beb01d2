/*
 * One job under supervision. A supervisor may begin where another one was killed: what it needs to go on is in the job's
 * folder, and the job's process knows nothing of it.
 */
#ifndef TN_SUPERVISION_H
#define TN_SUPERVISION_H

#include <limits.h>

#include "explain.h"
#include "family.h"
#include "local_state.h"
#include "port.h"
#include "spec.h"
#include "system.h"

struct supervision {
    struct memory memory;
    struct failure failure;
    char folder[PATH_MAX];
    int lock;  /* of the folder */
    bool gone; /* the folder was removed: what has its path now is none of our business */
    struct spec spec;
    json_t *state;
    int signals; /* descriptors; -1 for none */
    int events;

    /* The process and its parent. */
    int32_t attempt;
    struct process process;
    struct process keeper;
    int process_fd;
    int keeper_fd;
    bool elsewhere; /* they were before a restart of this machine, or in a container that is gone */
    struct port port;
    struct text cgroup; /* empty for none */
    int64_t time_at;    /* when its time is over; INT64_MAX for never */
    int64_t sample_at;  /* when its memory is looked at next */
    int64_t sample_every;
    int64_t peak_bytes;
    int64_t noted_bytes; /* the peak that the state tells */
    int64_t noted_at;
    int64_t memory_kills; /* of the system, before it began; -1 unknown */
    int64_t group_kills;  /* of its control group's limit; -1 unknown */

    /* Its end. */
    enum ended_by by;
    char detail[300];
    int64_t kill_at;      /* when whoever is left is killed; INT64_MAX for not yet */
    bool over;            /* its process has ended: whoever asks now comes too late to be the reason */
    bool end_known;
    bool nobody_escaped;  /* the keeper stayed until everybody else was gone */
    struct system_end end;
    int32_t system_error; /* of a start that failed */
    struct text path;     /* where its program was looked for in vain */
};

/* ---- folder.c ---- */

/*
 * Is the folder still there? It is ours as long as its lock is the one that we hold: one of the same name that somebody made
 * anew is not. One that was moved is followed.
 */
bool keeps_folder(struct supervision *s);
/* One of the job's files; NOT_FOUND also where the folder is gone. */
tenon_status read_own(struct supervision *s, const char *name, json_t **json);
/* Writes the state as it is now; false where it cannot be written, or the folder is gone. */
bool write_state(struct supervision *s, bool durable);
/* On a full disk the room that was put aside at the start is used. */
void give_spare(struct supervision *s);

/* ---- launch.c ---- */

/* "process.1": the name of a file of this attempt. */
void attempt_file(const struct supervision *s, const char *name, char *out, size_t size);
/* Takes up the start that was made before, by us or by a supervisor that is gone; false where there is none yet. */
bool take_up(struct supervision *s);
/* Starts the process, or notes in `by` why that cannot be done. */
void launch(struct supervision *s);

/* ---- guard.c ---- */

/* Watches until the process has ended, and keeps its limits. */
void guard(struct supervision *s);
/* Sees to it that nothing of the job is left. */
void sweep(struct supervision *s);
/* Begins to end the job: it is asked now, and killed after the grace. Whoever comes first gives the reason. */
void begin_end(struct supervision *s, enum ended_by by, const char *detail, int64_t grace_ms);
/* Takes notice of what somebody asked for in stop.json or by removing the folder, and of signals. */
void hear(struct supervision *s);
/* Takes in what the keeper saw of the end; false where it has not written it. */
bool read_exit(struct supervision *s);
bool is_alive(const struct supervision *s, const struct process *process);

/* ---- finish.c ---- */

/* True when it should be started once more: its port was taken away from it before it was ready. */
bool should_start_again(struct supervision *s);
/* Writes the state for good, with the explanation. False when that cannot be written. */
bool finish(struct supervision *s);

/* Puts the failure into the supervisor's log. */
void complain(struct supervision *s);

#endif
