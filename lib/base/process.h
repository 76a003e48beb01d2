/*
 * Processes of this machine. They are started by posix_spawn, so that none of our code runs between fork and exec in a
 * host that has threads; and they are told apart by process id and start time, because ids are used again.
 */
#ifndef TN_PROCESS_H
#define TN_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"
#include "text.h"

struct process {
    int32_t id;     /* 0 for none */
    int64_t start;  /* ticks since boot at which it began; never 0 for one that exists; or: */
};

enum { TN_START_UNKNOWN = -1 }; /* the system did not say, for instance for want of descriptors */

struct process_plan {
    const char *program;            /* absolute path */
    const char *const *arguments;   /* the program's name first; ends with NULL */
    const char *const *environment; /* the whole of it; ends with NULL */
    const char *folder;             /* to run in; NULL for ours */
    int input, output;              /* descriptors for 0, and for 1 and 2; -1 for /dev/null */
    bool session;                   /* a session and a group of its own, with default signals */
};

tenon_status tn_process_start(const struct process_plan *plan, struct process *process, struct failure *failure);
/* Waits for a child that is about to end. Its exit code; -1 when a signal ended it, or somebody else has asked for it. */
int tn_process_reap(const struct process *process);
/* True while it exists and has not ended; one that waits to be reaped has ended. */
bool tn_process_alive(const struct process *process);
/* The process with that id as it is now; start is 0 when there is none. */
struct process tn_process_find(int32_t id);
/* Sends a signal to the very process, or with group to its whole group while its leader's id still names it. */
void tn_process_signal(const struct process *process, int number, bool group);

/* The file that name stands for in the folders of path; absolute names and those with a slash stand for themselves. */
bool tn_program_find(const char *name, const char *path, struct text *out);

/* This process, and where its ids mean anything: boot and namespace. */
struct process tn_process_self(void);
void tn_process_world(struct text *out);

/*
 * Keeps SIGPIPE from this thread while libraries write to sockets that the other side may have closed; what is raised
 * meanwhile is taken off again. The host's handlers and masks are as before afterwards.
 */
struct pipe_guard {
    bool blocked; /* it was before */
    bool pending; /* it was before: then it is the host's */
};

void tn_pipe_block(struct pipe_guard *guard);
void tn_pipe_restore(struct pipe_guard *guard);

void tn_system_random(void *bytes, size_t size);
/* The folder of the file that this library was loaded from; nothing when it cannot be told. */
void tn_library_folder(struct text *out);

#endif
