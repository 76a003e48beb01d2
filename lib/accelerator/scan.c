#include "scan.h"

#include <string.h>

#include "text.h"

enum { DEPTH_MOST = 64 };

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

static bool fail(struct scan *scan)
{
    scan->bad = true;
    return false;
}

bool tn_scan_take(struct scan *scan, char character)
{
    skip_blanks(scan);
    if (scan->bad || scan->at == scan->end || *scan->at != character)
        return false;
    scan->at++;
    return true;
}

/* How long the character at the cursor is, as a text may hold it: UTF-8 or an escape; 0 for anything else. */
static size_t character_length(const struct scan *scan)
{
    size_t left = (size_t)(scan->end - scan->at);

    if ((unsigned char)*scan->at < ' ')
        return 0;
    if (*scan->at != '\\')
        return tn_utf8_length((const unsigned char *)scan->at, left);
    if (left < 2 || scan->at[1] == '\0' || strchr("\"\\/bfnrtu", scan->at[1]) == NULL)
        return 0;
    if (scan->at[1] != 'u')
        return 2;
    for (size_t i = 2; i < 6; i++)
        if (i >= left || strchr("0123456789abcdefABCDEF", scan->at[i]) == NULL || scan->at[i] == '\0')
            return 0;
    return 6;
}

bool tn_scan_text(struct scan *scan, const char **start, size_t *length)
{
    const char *first;

    if (!tn_scan_take(scan, '"'))
        return fail(scan);
    first = scan->at;
    while (scan->at < scan->end && *scan->at != '"') {
        size_t step = character_length(scan);

        if (step == 0)
            return fail(scan);
        scan->at += step;
    }
    if (scan->at == scan->end)
        return fail(scan);
    *start = first;
    *length = (size_t)(scan->at - first);
    scan->at++;
    return true;
}

bool tn_scan_integer(struct scan *scan, int64_t *number)
{
    int64_t value = 0;
    const char *first;

    skip_blanks(scan);
    first = scan->at;
    while (!scan->bad && scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        int digit = *scan->at++ - '0';

        if (value > (INT64_MAX - digit) / 10)
            return fail(scan);
        value = 10 * value + digit;
    }
    if (scan->bad || scan->at == first || (*first == '0' && scan->at > first + 1))
        return fail(scan);
    *number = value;
    return true;
}

/* A number, true, false or null. */
static bool skip_word(struct scan *scan)
{
    const char *first;

    skip_blanks(scan);
    first = scan->at;
    while (scan->at < scan->end && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *scan->at) != NULL && *scan->at != '\0')
        scan->at++;
    return scan->at > first || fail(scan);
}

bool tn_scan_skip(struct scan *scan)
{
    char closers[DEPTH_MOST];
    size_t depth = 0;
    const char *start;
    size_t length;

    do {
        const char *before = scan->at;

        if (tn_scan_take(scan, '{') || tn_scan_take(scan, '[')) {
            if (depth == DEPTH_MOST)
                return fail(scan);
            closers[depth++] = scan->at[-1] == '{' ? '}' : ']';
        } else {
            skip_blanks(scan);
            if (scan->bad || scan->at == scan->end)
                return fail(scan);
            if (*scan->at == '"')
                tn_scan_text(scan, &start, &length);
            else if (strchr("}],:", *scan->at) == NULL)
                skip_word(scan);
        }
        while (depth > 0 && tn_scan_take(scan, closers[depth - 1]))
            depth--;
        /* Between values of a container; how they are paired matters to nobody who skips them. */
        if (depth > 0 && !tn_scan_take(scan, ','))
            tn_scan_take(scan, ':');
        if (scan->at == before)
            return fail(scan);
    } while (depth > 0 && !scan->bad);
    return !scan->bad;
}

bool tn_scan_member(struct scan *scan, bool *first, const char **key, size_t *length)
{
    if (tn_scan_take(scan, '}'))
        return false;
    if (!*first && !tn_scan_take(scan, ','))
        return fail(scan);
    *first = false;
    return tn_scan_text(scan, key, length) && (tn_scan_take(scan, ':') || fail(scan));
}

bool tn_scan_item(struct scan *scan, bool *first)
{
    if (tn_scan_take(scan, ']'))
        return false;
    if (!*first && !tn_scan_take(scan, ','))
        return fail(scan);
    *first = false;
    return !scan->bad;
}

bool tn_scan_done(struct scan *scan)
{
    skip_blanks(scan);
    return !scan->bad && scan->at == scan->end;
}

bool tn_scan_is(const char *start, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(start, word, length) == 0;
}
