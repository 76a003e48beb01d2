/* What a request's answer says: its headers, and its body as JSON. */
#ifndef TN_RESPONSE_H
#define TN_RESPONSE_H

#include <jansson.h>

#include "text.h"

struct request;

/* Does its status say that what was asked is done? */
bool tn_response_is_good(const struct request *request);

/* A header of the answer; NULL when it is absent. The value lives in out. */
const char *tn_response_header(const struct request *request, const char *name, struct text *out);
/* A header that is a whole number; other when it is absent or none. */
int64_t tn_response_integer(const struct request *request, const char *name, int64_t other);
/* The address with that relation in the Link headers; false when there is none. */
bool tn_response_link(const struct request *request, const char *relation, struct text *out);
/* "bytes first-last/total"; total -1 for *. False when absent or malformed. */
bool tn_response_range(const struct request *request, int64_t *first, int64_t *last, int64_t *total);
/* The answer as JSON. */
tenon_status tn_response_json(struct request *request, json_t **json);

/* The value of the next header of that name at or after *at in lines "Name: value\n"; NULL when there is none. */
const char *tn_header_next(const struct text *lines, const char *name, const char **at, size_t *length);

#endif
