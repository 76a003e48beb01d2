#include "pattern.h"

#include <stdint.h>
#include <string.h>

#include "text.h"

enum { BEYOND_UNICODE = 0x110000 };

/* The code point at text, and how many bytes it takes; a byte that is no UTF-8 is none, but itself. A backslash is a slash. */
static uint32_t next_point(const char *text, size_t *length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t point = bytes[0];

    *length = tn_utf8_length(bytes, strnlen(text, 4));
    if (*length > 1) {
        point &= 0xffu >> (*length + 1);
        for (size_t i = 1; i < *length; i++)
            point = point << 6 | (bytes[i] & 0x3fu);
    } else {
        *length = 1;
        point += point >= 0x80 ? BEYOND_UNICODE : 0;
    }
    return point == '\\' ? '/' : point;
}

/* The bracket that closes the set which begins at pattern[0] == '['; NULL when it is an ordinary bracket. */
static const char *set_end(const char *pattern)
{
    const char *first = pattern + 1;

    if (*first == '!')
        first++;
    if (*first == ']')
        first++;
    return strchr(first, ']');
}

static bool set_has(const char *set, const char *end, uint32_t point)
{
    bool inverse = *set == '!', found = false;
    size_t length;

    if (inverse)
        set++;
    while (set < end) {
        uint32_t low = next_point(set, &length), high = low;

        set += length;
        if (set + 1 < end && *set == '-') {
            high = next_point(set + 1, &length);
            set += 1 + length;
        }
        found = found || (point >= low && point <= high);
    }
    return found != inverse;
}

/* Does one element of the pattern (not *) match at path? *step and *taken say how far both went. */
static bool matches_one(const char *pattern, const char *path, size_t *step, size_t *taken)
{
    const char *end = *pattern == '[' ? set_end(pattern) : NULL;
    uint32_t point = next_point(path, taken);
    bool match;

    if (*pattern == '?') {
        *step = 1;
        match = true;
    } else if (end != NULL) {
        *step = (size_t)(end + 1 - pattern);
        match = set_has(pattern + 1, end, point);
    } else
        match = next_point(pattern, step) == point;
    return match;
}

bool tn_pattern_matches(const char *pattern, const char *path)
{
    bool below = tn_ends_with(pattern, "/") || tn_ends_with(pattern, "\\");
    const char *star = NULL, *star_path = NULL;
    size_t step, taken;

    /* The last star is the only one that needs to be tried again: earlier ones cannot do better. */
    while (*path != '\0') {
        if (*pattern == '\0' && below)
            return true;
        if (*pattern == '*') {
            star = ++pattern;
            star_path = path;
        } else if (*pattern != '\0' && matches_one(pattern, path, &step, &taken)) {
            pattern += step;
            path += taken;
        } else if (star != NULL) {
            next_point(star_path, &taken);
            star_path += taken;
            path = star_path;
            pattern = star;
        } else
            return false;
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool any_matches(const char *const *patterns, const char *path)
{
    bool found = false;

    for (; *patterns != NULL && !found; patterns++)
        found = tn_pattern_matches(*patterns, path);
    return found;
}

bool tn_patterns_choose(const char *const *allow, const char *const *ignore, const char *path)
{
    return (allow == NULL || any_matches(allow, path)) && (ignore == NULL || !any_matches(ignore, path));
}
