/* Which paths a pattern means: Python's fnmatch on the whole path, as the official client has it. */
#ifndef TN_PATTERN_H
#define TN_PATTERN_H

#include <stdbool.h>

/*
 * * any run, ? one character (both match / too), [a-z] [!a-z] sets, no escapes, case matters. A backslash is a slash, and a
 * pattern that ends with a slash stands for all below.
 */
bool tn_pattern_matches(const char *pattern, const char *path);
/* At least one of allow (NULL: all), none of ignore (NULL: none). */
bool tn_patterns_choose(const char *const *allow, const char *const *ignore, const char *path);

#endif
