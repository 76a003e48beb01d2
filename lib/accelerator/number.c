#include "number.h"

#include <inttypes.h>
#include <stdio.h>

const char *tn_human(char out[TN_HUMAN], int64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    int64_t lower = bytes, tenths;
    size_t unit = 0;

    while (lower >= INT64_C(1024) * 1024) {
        lower /= 1024;
        unit++;
    }
    tenths = (lower * 10 + 512) / 1024;
    if (bytes < 1024)
        snprintf(out, TN_HUMAN, "%" PRId64 " bytes", bytes);
    else
        snprintf(out, TN_HUMAN, "%" PRId64 ".%" PRId64 " %s", tenths / 10, tenths % 10, units[unit]);
    return out;
}
