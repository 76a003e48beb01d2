/* What a server's own JSON says of an error, in the manner of OpenAI, vLLM, TGI or llama.cpp. */
#ifndef TN_REFUSAL_H
#define TN_REFUSAL_H

#include <jansson.h>

#include "request.h"

/* Whether it is an error, and no part of an answer. */
bool tn_refusal_is(const json_t *json);
const char *tn_refusal_words(const json_t *json);
/* Puts the server's own code of the error into the failure. */
void tn_refusal_note_code(const json_t *json, struct failure *failure);
/* Says what to do about an answer that makes no sense, where nobody has; returns the status. */
tenon_status tn_refusal_advise(tenon_status status, struct failure *failure);
/* For request.explain. */
void tn_refusal_explain(struct request *request);

#endif
