/*
 * A text that grows. It has an upper bound, always ends with a NUL, and remembers that an append failed (no memory, or
 * the bound), so that a chain of appends needs one check at its end.
 */
#ifndef TN_TEXT_H
#define TN_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"

struct text {
    const struct memory *memory;
    char *data;
    size_t length;
    size_t room;
    size_t limit;
    bool failed;
    bool full; /* it failed because of its bound */
};

void tn_text_init(struct text *text, const struct memory *memory, size_t limit);
void tn_text_clear(struct text *text);
/* Empty again; keeps the memory, forgets a failure. */
void tn_text_reset(struct text *text);

void tn_text_add(struct text *text, const char *more);
void tn_text_add_n(struct text *text, const void *more, size_t length);
void tn_text_add_char(struct text *text, char more);
/* One text after the other, up to a NULL. */
void tn_text_add_all(struct text *text, const char *first, ...) __attribute__((sentinel));
void tn_text_add_integer(struct text *text, int64_t number);
void tn_text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_text_format_v(struct text *text, const char *format, va_list arguments);
/* Adds more with everything but letters, digits, - . _ ~ and the characters of keep as %XX. */
void tn_text_add_escaped(struct text *text, const char *more, const char *keep);
/* Adds bytes as UTF-8: each one that is not part of a valid sequence becomes U+FFFD. */
void tn_text_add_utf8(struct text *text, const void *more, size_t length);

/* TENON_OK, or TENON_ERROR_MEMORY when an append failed. */
tenon_status tn_text_status(const struct text *text);
/* What it holds; "" when it is empty. */
const char *tn_text(const struct text *text);
/* Hands the memory over to the caller; NULL after a failed append. */
char *tn_text_take(struct text *text);
/* Removes the first bytes. */
void tn_text_drop(struct text *text, size_t length);

bool tn_starts_with(const char *text, const char *start);
bool tn_ends_with(const char *text, const char *end);
/* ASCII letters only, whatever the locale. */
int tn_compare_case(const char *a, const char *b);
bool tn_is_hex(const char *text, size_t digits);
/* Where the host of an address begins, behind "scheme://"; *user is how much of user and password stands before it, with the @. */
const char *tn_address_host(const char *address, size_t *user);
/* The whole text as a decimal number without a sign; false for anything else or when it does not fit. */
bool tn_parse_integer(const char *text, int64_t *number);
/* Length of the valid UTF-8 sequence at bytes; 0 when there is none. */
size_t tn_utf8_length(const unsigned char *bytes, size_t left);

#endif
