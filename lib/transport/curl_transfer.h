/* One exchange under way: its easy handle, and what libcurl tells of it. */
#ifndef TN_CURL_TRANSFER_H
#define TN_CURL_TRANSFER_H

#include <curl/curl.h>

#include "exchange.h"
#include "loop.h"

struct curl_engine {
    struct engine engine;
    struct tenon_context *context;
    CURLM *multi;
    struct timer timer;
    struct link transfers;
    struct link sockets;
    bool starved; /* one of the transfers is */
};

struct transfer {
    struct link link;
    struct curl_engine *owner;
    struct exchange *exchange;
    CURL *easy;
    struct curl_slist *headers;
    int64_t moved; /* bytes of bodies, up and down */
    bool complete; /* the headers of this answer are */
    bool final;    /* it is no interim one, and the exchange knows of it */
    bool aborted;
    bool starved;  /* its socket could not be watched */
    bool unheard;  /* it was sent, the line was cut before any answer, and it may not be sent again */
    char error[CURL_ERROR_SIZE];
};

/* Starts an exchange, and lets exchange->inside be the transfer. */
tenon_status tn_transfer_new(struct curl_engine *engine, struct exchange *exchange);
/* Ends it without a word to the exchange's hooks. */
void tn_transfer_free(struct transfer *transfer);
/* Ends it with libcurl's code, which the exchange is told the meaning of. */
void tn_transfer_finish(struct transfer *transfer, CURLcode code);
/* The other side lives: the clock of silence begins anew. */
void tn_transfer_moved(struct transfer *transfer);
struct transfer *tn_transfer_of(CURL *easy);

/* Not watched any more, then closed: libcurl tells of it only afterwards, when the number may be another thread's. */
int tn_engine_close_socket(void *engine, curl_socket_t fd);

#endif
