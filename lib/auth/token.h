/* The hub's token, in the official clients' order. */
#ifndef TN_TOKEN_H
#define TN_TOKEN_H

#include "context.h"

/*
 * Finds the token to use: given ("" for none at all) or, where that is NULL, the setting hub.token, else the file of the
 * setting hub.token_path. *token is NULL where there is none. It becomes one of the context's secrets.
 */
tenon_status tn_token_find(struct tenon_context *context, const char *given, char **token);

#endif
