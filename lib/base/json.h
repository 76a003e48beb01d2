/*
 * JSON from elsewhere, and ours. What is read is bounded in size and depth before the parser sees it; what is looked up has
 * the type that is asked for or counts as absent, so that a hostile document needs no checks beyond these.
 */
#ifndef TN_JSON_H
#define TN_JSON_H

#include <jansson.h>

#include "failure.h"
#include "memory.h"

/* Parses a whole document; what names it in the failure. */
tenon_status tn_json_read(const char *data, size_t length, const char *what, json_t **json, struct failure *failure);
/* The document as text in one line; NULL without memory. */
char *tn_json_write(const struct memory *memory, const json_t *json);

/* A member of an object; NULL where it is absent, null, or json is no object. */
json_t *tn_json_member(const json_t *json, const char *key);
/* Its text; NULL where it is no text or holds a NUL. */
const char *tn_json_text(const json_t *json, const char *key);
/* Its text, or other. */
const char *tn_json_text_or(const json_t *json, const char *key, const char *other);
/* Its whole number (also where it is written 3.0); other where it is none. */
int64_t tn_json_integer(const json_t *json, const char *key, int64_t other);
/* How many of something; -1, which stands for unknown, where that is no whole number or is below 0. */
int64_t tn_json_count(const json_t *json, const char *key);
/* 1, 0, or -1 where it is no boolean. */
int tn_json_flag(const json_t *json, const char *key);

/* Sets a member; a text that is NULL leaves it out. False without memory. */
bool tn_json_set_text(json_t *object, const char *key, const char *value);
bool tn_json_set_integer(json_t *object, const char *key, int64_t value);

#endif
