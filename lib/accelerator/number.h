/*
 * Whole numbers of things that may be very many. Factors come from files that others wrote, so products and sums stop at
 * the largest number instead of wrapping: what is absurd stays absurdly large.
 */
#ifndef TN_NUMBER_H
#define TN_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* For numbers of at least 0. */
static inline int64_t tn_plus(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static inline int64_t tn_times(int64_t a, int64_t b)
{
    int64_t product;

    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

/* a / b, rounded up. */
static inline int64_t tn_share(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static inline int64_t tn_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tn_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

enum { TN_HUMAN = 32 };

/* Bytes for a person, such as "15.8 GiB", in whatever locale. */
const char *tn_human(char out[TN_HUMAN], int64_t bytes);

#endif
