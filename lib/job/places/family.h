/* The processes of a job: whatever descends from its first one, in whatever group or session it hides. */
#ifndef TN_FAMILY_H
#define TN_FAMILY_H

#include "failure.h"
#include "process.h"

struct relative {
    struct process process;
    int32_t parent;
    int32_t group;
    bool ended; /* waits to be reaped */
};

struct family {
    const struct memory *memory;
    struct relative *items;
    size_t count;
    size_t room;
};

void tn_family_init(struct family *family, const struct memory *memory);
void tn_family_clear(struct family *family);
/* Adds the process with that id and everything that descends from it, as far as it is not there yet. */
tenon_status tn_family_add(struct family *family, int32_t id);
/* Adds every process whose environment has that pair, "NAME=value": those that got away from their parents. */
tenon_status tn_family_add_marked(struct family *family, const char *pair);
/* Takes one out again. */
void tn_family_remove(struct family *family, int32_t id);
bool tn_family_has(const struct family *family, int32_t id);
/* True when none is left, or all of them wait to be reaped. */
bool tn_family_is_gone(const struct family *family);
/* Bytes of memory that they use now; with shared each shared page counts once, which takes longer to find out. */
int64_t tn_family_memory(const struct family *family, bool shared);
/* The port's listener on this machine is one of them: 1 yes, 0 no, -1 it cannot be told. */
int tn_family_listens(const struct family *family, int32_t port);

#endif
