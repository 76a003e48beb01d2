/* The JSON of a question. */
#ifndef TN_QUESTION_H
#define TN_QUESTION_H

#include <jansson.h>

#include "failure.h"

/*
 * The request of a chat: messages with system before and prompt behind them, max_tokens where it is given, parameters over
 * everything. The model is set later, when it is known.
 */
tenon_status tn_question_chat(const tenon_chat_options *options, json_t **json, struct failure *failure);
tenon_status tn_question_complete(const tenon_complete_options *options, json_t **json, struct failure *failure);

#endif
