/* What libcurl means by its codes and words. */
#ifndef TN_CURL_CODE_H
#define TN_CURL_CODE_H

#include <curl/curl.h>

#include "exchange.h"

enum exchange_end tn_curl_end(CURLcode code, const char *words);
/* It has one code for all that is wrong with a certificate; its words, and OpenSSL's, tell more. */
enum tls_fault tn_curl_fault(CURLcode code, const char *words);
/*
 * Codes it also has for a header beyond its own limit, for an answer that does not begin as HTTP does, and for a first
 * header that goes on with one before it.
 */
bool tn_curl_may_be_nonsense(CURLcode code);

#endif
