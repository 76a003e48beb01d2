/*
 * How an accelerator of this machine is written, and which one is meant.
 *
 * PLACE:KIND:WHICH, of which everything but one of the first two may be left out: "local", "local:gpu", "local:cuda:0",
 * "cuda:0", "local:cuda:GPU-1b2c..." (the start of a UUID is enough). Case and blanks around the parts do not matter.
 */
#ifndef TN_LOCATOR_H
#define TN_LOCATOR_H

#include "failure.h"
#include "machine.h"

enum { LOCATOR_UUID = 64 };

struct locator {
    bool any;               /* the best there is */
    unsigned kinds;         /* bit 1 << kind for each that it may be */
    int32_t index;          /* -1: all of the kind */
    char uuid[LOCATOR_UUID];/* "" for none */
    char word[LOCATOR_UUID];/* the kind as it was written, for messages */
};

tenon_status tn_locator_parse(const char *text, struct locator *locator, struct failure *failure);
/* The one machine of the inventory that is meant. */
tenon_status tn_locator_resolve(const struct locator *locator, const struct inventory *inventory, const struct machine **machine,
                                struct failure *failure);

#endif
