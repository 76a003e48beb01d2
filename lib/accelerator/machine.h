/* What this machine, or another place, has: accelerators as rows, kept together with their texts. */
#ifndef TN_MACHINE_H
#define TN_MACHINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "text.h"

enum machine_kind { MACHINE_CPU, MACHINE_CUDA, MACHINE_ROCM, MACHINE_TPU };

struct machine {
    tenon_machine row; /* its texts live as long as the inventory */
    enum machine_kind kind;
    int32_t index;      /* among those of its kind; -1 for all of them together */
    int32_t capability; /* CUDA compute capability, 90 for 9.0; 0 unknown */
    const char *uuid;   /* "" where there is none */
};

struct inventory {
    const struct memory *memory;
    struct arena arena;
    struct machine *machines;
    size_t count;
    size_t room;
};

void tn_inventory_init(struct inventory *inventory, const struct memory *memory);
void tn_inventory_clear(struct inventory *inventory);
/*
 * Adds an accelerator of this machine, with its name and what all of them have in common with the first one added, the
 * CPU; everything else is unknown. NULL without memory. The next one added may move it.
 */
struct machine *tn_inventory_add(struct inventory *inventory, enum machine_kind kind, int32_t index);
/* A copy of bytes that came from elsewhere: trimmed, one line, valid UTF-8. NULL without memory. */
const char *tn_inventory_text(struct inventory *inventory, const char *bytes, size_t length);
/* Sets the row's json, and gives json back. complete is false where a member could not be set. */
tenon_status tn_inventory_set_json(struct inventory *inventory, struct machine *machine, json_t *json, bool complete);
/* Adds all accelerators of a kind as one, where there are several: a job can use them together. */
tenon_status tn_inventory_group(struct inventory *inventory, enum machine_kind kind);
/* How many single accelerators of the kind there are. */
size_t tn_inventory_singles(const struct inventory *inventory, enum machine_kind kind);
/* Adds the names to out, separated by ", ". */
void tn_inventory_names(const struct inventory *inventory, struct text *out);

/* "cpu", "cuda", "rocm", "tpu". */
const char *tn_machine_word(enum machine_kind kind);

#endif
