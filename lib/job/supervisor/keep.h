/*
 * The keeper: the parent of a job's process. It only waits for it, so that whatever happens to the supervisor, somebody sees
 * how the process ends and writes that down; and it is the parent of the orphans that the process leaves behind, so that
 * they are found.
 */
#ifndef TN_KEEP_H
#define TN_KEEP_H

#include "failure.h"
#include "text.h"

/* What a keeper is told, in the order of its arguments. */
struct keep_plan {
    const char *folder;  /* the job's */
    const char *attempt; /* "1" */
    const char *cgroup;  /* "" for none */
    const char *data_bytes; /* limit of memory that it may ask for outside of a group; "0" for none */
    const char *home;    /* to run in */
    const char *program; /* absolute path */
};

enum { KEEP_ARGUMENTS = 8 }; /* tenon-supervisor keep FOLDER ATTEMPT CGROUP DATA HOME PROGRAM, and then the command */

/* What becomes of a start, as the keeper writes it to exit.N. */
#define EXIT_START "start"     /* that it begins cannot be noted */
#define EXIT_FOLDER "folder"   /* the folder to run in cannot be entered */
#define EXIT_LOG "log"         /* the log cannot be written */
#define EXIT_PROGRAM "program" /* the program cannot be run */

/* The whole program that a keeper is; returns its exit code. */
int keep(int count, char **arguments);

#endif
