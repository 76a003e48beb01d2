/* Addresses, by libcurl's parser. */
#ifndef TN_URL_H
#define TN_URL_H

#include "failure.h"
#include "text.h"

enum { URL_LIMIT = 16 * 1024 }; /* no longer address is asked */

/* Adds "scheme://host:port" in lower case, the port always written; false for what is no http or https address. */
bool tn_url_origin(const char *url, struct text *origin);
bool tn_url_is_tls(const char *url);
/* True when both have the same scheme, host and port. */
bool tn_url_same_origin(const char *a, const char *b);
/* True when the second is the same host's https where the first is its http, both on their usual ports. */
bool tn_url_is_upgrade(const char *from, const char *to);
/* True when the address's host is in a list as NO_PROXY is one; hosts.h tells what stands there. */
bool tn_url_is_listed(const char *url, const char *list);
/* Adds what reference means as seen from base; false when that is no http or https address. */
bool tn_url_resolve(const char *base, const char *reference, struct text *out);
/* Adds to, with the user and password that from has where both are of one origin: they stay at home, and are not lost there. */
void tn_url_keep_user(const char *from, const char *to, struct text *out);
/* Adds the address without query, fragment, user and password: what may be shown. */
void tn_url_show(const char *url, struct text *out);
/* Its user and password are secrets from now on. For addresses that a user of the library gave. */
tenon_status tn_url_add_secret(const char *url, struct secrets *secrets);

#endif
