/* Runs tests/simulators/web.py, asks it, and takes retries through their pauses without waiting for them. */
#ifndef TN_TEST_WEB_H
#define TN_TEST_WEB_H

#include <jansson.h>

#include "request.h"
#include "support.h"

struct web {
    int pid;
    const char *url;   /* of its first origin */
    const char *other; /* of the second */
    const char *raw;   /* where exact bytes are sent */
    json_t *facts;
    tenon_context *context; /* for /_simulator/ */
};

/* As setup and teardown of a group: *state is the struct web. */
int web_start(void **state);
int web_stop(void **state);

/* Adds faults (JSON); forgets them all. */
void web_fault(struct web *web, const char *faults);
void web_clear(struct web *web);
/* Asks a route of /_simulator/; the answer's JSON. */
json_t *web_control(struct web *web, const char *method, const char *route, const char *body);
/* Waits until so many requests are "stalled" or "finished" (of those since the last web_clear), and keeps the context turning. */
void web_await(struct web *web, tenon_context *context, const char *what, int count);
/* How many requests for paths that begin so were made since the last web_clear. */
int web_count(struct web *web, const char *path);
/* The address of exact bytes, which they are the answer to whatever is added to it; in memory of its own. */
char *web_says(struct web *web, const char *bytes);

/* A context whose clock is real time plus the pauses that were jumped over, and one request on it. */
struct asking {
    struct test_clock clock;
    struct test_log log;
    tenon_context *context;
    struct request request;
    int64_t pauses[16]; /* those that were jumped over */
    int pause_count;
};

/* settings may be NULL. */
struct asking *asking_new(const char *const *settings);
void asking_free(struct asking *asking);
/* Sets the address of the request: base and a printf format. */
void asking_url(struct asking *asking, const char *base, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Runs the request to its end; gives how it ended. */
tenon_status ask(struct asking *asking);
/* The same for an address, after a reset of the request. */
tenon_status ask_for(struct asking *asking, const char *base, const char *path);
/* The answer's JSON; the test fails when it is none. */
json_t *asking_json(struct asking *asking);
/* Turns the loop until nothing can go on for the moment, and jumps over a pause where the request has one. */
void asking_turn(struct asking *asking, int64_t timeout_ms);

#endif
