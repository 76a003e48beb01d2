/* A control group (version 2) of a job's own: the system keeps its memory limit, and tells when it did. */
#ifndef TN_LOCAL_GROUP_H
#define TN_LOCAL_GROUP_H

#include "failure.h"
#include "text.h"

/*
 * Makes a group of that name with a memory limit below the one we are in, or beside it, and adds its folder to path. False
 * where none can be had: no version 2, no memory controller, not ours to write. root is "" but in tests.
 */
bool tn_group_make(const char *root, const char *name, int64_t memory_bytes, struct text *path);
/* True where tn_group_make would most likely succeed; nothing is made. */
bool tn_group_possible(const char *root, const struct memory *memory);
/* Moves a process into it; 0 is who calls. */
bool tn_group_join(const struct memory *memory, const char *path, int32_t id);
/* Ends every process in it. */
/* Is the process in it? */
bool tn_group_has(const struct memory *memory, const char *path, int32_t id);
void tn_group_kill(const struct memory *memory, const char *path);
/* How often the limit ended a process; -1 unknown. */
int64_t tn_group_memory_kills(const struct memory *memory, const char *path);
/* The most memory that was used at once; -1 unknown. */
int64_t tn_group_peak(const struct memory *memory, const char *path);
void tn_group_remove(const char *path);

#endif
