/*
 * JSON read from left to right, without building anything: headers of weights have megabytes of it, of which a few numbers
 * matter. Once something is malformed the scanner is bad, and every later call fails.
 */
#ifndef TN_SCAN_H
#define TN_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
    const char *at;
    const char *end;
    bool bad;
};

static inline struct scan tn_scan(const char *bytes, size_t size)
{
    return (struct scan){ .at = bytes, .end = bytes + size, .bad = false };
}

/* Takes one character of punctuation, with the blanks before it; false, and nothing taken, where another one stands. */
bool tn_scan_take(struct scan *scan, char character);
/* Takes a text; *start is inside the buffer, between the quotes, escapes as they were written. */
bool tn_scan_text(struct scan *scan, const char **start, size_t *length);
/* Takes a whole number of at least 0. */
bool tn_scan_integer(struct scan *scan, int64_t *number);
/* Takes any value. */
bool tn_scan_skip(struct scan *scan);
/*
 * For the members of an object: takes what is before the next key, the key, and its colon. False at the end of the object,
 * which is taken, and where the scanner is bad. first must be true for the first member and is made false.
 */
bool tn_scan_member(struct scan *scan, bool *first, const char **key, size_t *length);
/* The same for the items of an array. */
bool tn_scan_item(struct scan *scan, bool *first);
/* True when nothing but blanks is left. */
bool tn_scan_done(struct scan *scan);
/* True when the text is word. */
bool tn_scan_is(const char *start, size_t length, const char *word);

#endif
