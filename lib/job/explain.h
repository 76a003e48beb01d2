/*
 * Why a job ended, in words: from how its process ended, from what was done to it, and from the last lines of its log.
 */
#ifndef TN_EXPLAIN_H
#define TN_EXPLAIN_H

#include "failure.h"
#include "text.h"

/* What ended a job, as far as we had a hand in it; whatever came first counts. */
enum ended_by {
    ENDED_ITSELF,
    ENDED_STOP,     /* somebody asked for it */
    ENDED_TIME,     /* the time limit */
    ENDED_MEMORY,   /* the memory limit, or the system had none left */
    ENDED_HEALTH,   /* its server was not ready in time */
    ENDED_NO_START, /* its program could not be started; system_error says why */
    ENDED_NO_PORT,  /* the port that was asked for is taken; it was not started */
    ENDED_LOST      /* nobody saw how it ended */
};

struct ending {
    enum ended_by by;
    int32_t exit_code;     /* -1: a signal */
    int32_t signal;        /* 0: none */
    int32_t system_error;  /* errno of a start that failed */
    const char *program;   /* as the command names it */
    const char *path;      /* where it was looked for */
    const char *folder;    /* where it was to run */
    const char *detail;    /* of ENDED_HEALTH and ENDED_LOST, in words; may be NULL */
    const char *output;    /* that was promised and is not there; NULL: none */
    const char *tail;      /* the last lines of the log */
    bool serves;           /* it has a port */
    bool was_ready;
    int32_t port;
    int64_t memory_bytes;  /* limits; 0: none */
    int64_t time_ms;
};

struct explanation {
    int32_t state;         /* TENON_JOB_SUCCEEDED, _FAILED or _CANCELLED */
    int32_t cause;         /* TENON_CAUSE_... */
    int32_t retry_helps;
    struct text message;   /* one line; empty when it ended well */
    struct text hint;
};

void tn_explain(const struct ending *ending, const struct memory *memory, struct explanation *explanation);
void tn_explanation_clear(struct explanation *explanation);

/* True when the lines say that a port was taken. */
bool tn_says_port_taken(const char *lines);

#endif
