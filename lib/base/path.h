/* Names that become paths on this machine. What comes from a server is hostile until one of these has said yes. */
#ifndef TN_PATH_H
#define TN_PATH_H

#include <stdbool.h>

#include "text.h"

/*
 * May a file of a repository have this path? Not empty, relative, UTF-8, every part a plain name: no "." or "..", no
 * backslash, drive or control character, no name that some system keeps for a device, no part above 255 bytes. On failure
 * *reason says what is wrong.
 */
bool tn_path_is_safe(const char *path, const char **reason);
/* Is that what somebody (the official clients, llama.cpp) calls half of a file, beside the whole ones? */
bool tn_name_is_unfinished(const char *name);
/* May a content id be a file name? Hex is the rule; one safe name is the exception that mirrors make. */
bool tn_etag_is_safe(const char *etag);
/* A branch, tag or other revision as it may become a path below refs/. */
bool tn_revision_is_safe(const char *revision);
/* Joins with one slash. */
void tn_path_join(struct text *out, const char *folder, const char *name);
/* The part behind the last slash. */
const char *tn_path_name(const char *path);
/* Adds an absolute path for path; a relative one counts from the current folder. */
void tn_path_absolute(struct text *out, const char *path);

#endif
