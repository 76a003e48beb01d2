/* Disjoint ranges of a file in order, none touching the next. */
#ifndef TN_RANGES_H
#define TN_RANGES_H

#include <stdbool.h>
#include <stdint.h>

enum { TN_RANGES = 40 };

struct ranges {
    int32_t count;
    struct {
        int64_t first, end;
    } at[TN_RANGES];
};

/* Adds a range; false when that would need more than TN_RANGES pieces. */
bool tn_ranges_add(struct ranges *ranges, int64_t first, int64_t end);
int64_t tn_ranges_sum(const struct ranges *ranges);
/* The end of the range that holds at, or at itself when none does. */
int64_t tn_ranges_reach(const struct ranges *ranges, int64_t at);
/* The first byte at or after at that some range holds; limit when there is none. */
int64_t tn_ranges_next(const struct ranges *ranges, int64_t at, int64_t limit);

#endif
