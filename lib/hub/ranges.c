#include "ranges.h"

#include <string.h>

bool tn_ranges_add(struct ranges *ranges, int64_t first, int64_t end)
{
    int32_t from = 0, to;

    if (first >= end)
        return true;
    while (from < ranges->count && ranges->at[from].end < first)
        from++;
    to = from;
    while (to < ranges->count && ranges->at[to].first <= end) {
        first = ranges->at[to].first < first ? ranges->at[to].first : first;
        end = ranges->at[to].end > end ? ranges->at[to].end : end;
        to++;
    }
    if (from == to && ranges->count == TN_RANGES)
        return false;
    memmove(&ranges->at[from + 1], &ranges->at[to], (size_t)(ranges->count - to) * sizeof ranges->at[0]);
    ranges->count += 1 - (to - from);
    ranges->at[from].first = first;
    ranges->at[from].end = end;
    return true;
}

int64_t tn_ranges_sum(const struct ranges *ranges)
{
    int64_t sum = 0;

    for (int32_t i = 0; i < ranges->count; i++)
        sum += ranges->at[i].end - ranges->at[i].first;
    return sum;
}

int64_t tn_ranges_reach(const struct ranges *ranges, int64_t at)
{
    for (int32_t i = 0; i < ranges->count; i++)
        if (at >= ranges->at[i].first && at < ranges->at[i].end)
            at = ranges->at[i].end;
    return at;
}

int64_t tn_ranges_next(const struct ranges *ranges, int64_t at, int64_t limit)
{
    for (int32_t i = 0; i < ranges->count; i++)
        if (ranges->at[i].end > at)
            return ranges->at[i].first > at ? ranges->at[i].first : at;
    return limit;
}
