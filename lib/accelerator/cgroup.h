/* What control groups leave to this process: versions 1 and 2, also both at once, at every level above it. */
#ifndef TN_CGROUP_H
#define TN_CGROUP_H

#include "memory.h"

struct cgroup_limits {
    int64_t memory_bytes; /* the least limit; -1 for none */
    int64_t memory_left;  /* what the fullest level has left; -1 where no level has a limit */
    int64_t cpu_milli;    /* the least quota; -1 for none */
};

tenon_status tn_cgroup_limits(const struct memory *memory, const char *root, struct cgroup_limits *limits);

#endif
