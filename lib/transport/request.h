/*
 * A request as the rest of tenon makes it: a coroutine over as many exchanges as it takes.
 *
 *     tn_request_init(&r->request, context);
 *     tn_request_url(&r->request, "%s/api/models/%s", endpoint, id);
 *     tn_request_start(&r->request, co);
 *     AWAIT(co, !tn_co_running(&r->request.co));
 *     if (r->request.co.status != TENON_OK) ... r->request.failure says why ...
 *
 * What it does by itself:
 *   - Repeats what may be repeated (GET, HEAD, and what is marked so) after connect errors, cut lines, time-outs,
 *     408, 429, 500, 502, 503 and 504, with a growing random pause, or for as long as Retry-After or RateLimit say. Once a
 *     byte of the body went to a data hook nothing is repeated: the hook's owner knows better where to go on. What may not
 *     be done twice is never sent twice, be it that the line was cut before an answer; where it begs, it is sent again
 *     when the other side was not reached or said that it did nothing.
 *   - Follows redirects by hand. The bearer token goes to the origin it was given for and nowhere else; other headers go
 *     everywhere, so nothing secret may be among them.
 *   - Watches three clocks: until the connection stands, silence, and the whole.
 *   - Turns what failed into a status, with the service's own words.
 */
#ifndef TN_REQUEST_H
#define TN_REQUEST_H

#include "co.h"
#include "exchange.h"
#include "failure.h"
#include "response.h"

enum redirects {
    REDIRECT_FOLLOW,      /* anywhere, at most 10 times */
    REDIRECT_SAME_ORIGIN, /* as long as the origin stays; another one ends it with the redirect as its answer */
    REDIRECT_NEVER
};

struct request {
    struct co co;
    struct failure failure;
    struct tenon_context *context;

    /* What to ask. Texts that are pointers are borrowed while it runs. */
    const char *method;             /* "GET" unless said otherwise */
    struct text url;
    struct text headers;
    const char *bearer;             /* NULL for none */
    const char *body;
    size_t body_size;
    enum redirects redirects;
    bool repeatable;                /* true for GET and HEAD; set it for what else may be repeated */
    bool begs;                      /* repeated at least where nothing was done: not reached, 429, 503 */
    int32_t retries;                /* how often; the setting unless said otherwise */
    bool stream;                    /* no limit on the whole; silence still counts */
    enum setting_id silence;        /* how long it may last */
    bool decode;                    /* accept compressed answers */
    bool large;                     /* many bytes are expected: the buffer is worth its making */
    const char *apart_from;         /* elsewhere than at this address it has a connection of its own; NULL: it need not */
    bool any_status;                /* an HTTP error is an answer too, not a failure */
    size_t body_limit;              /* of an answer that is kept in memory */
    const char *what;               /* for messages: "the listing of owner/name" */

    /* Hooks; owner is theirs. All may be NULL. */
    void *owner;
    /* The final answer has begun, with a status of 2xx. A status other than TENON_OK ends the request with it. */
    tenon_status (*begun)(struct request *request);
    /* Bytes of such an answer; without this hook they are kept in `answer`. TENON_AGAIN pauses until tn_request_resume. */
    tenon_status (*data)(struct request *request, const char *bytes, size_t size);
    /* Fills the body: how many bytes, 0 at its end, -1 to pause, -2 on a failure it has noted. Needs rewind to be repeatable. */
    ptrdiff_t (*upload)(struct request *request, char *buffer, size_t size);
    int64_t upload_size;            /* -1 unknown */
    bool (*rewind)(struct request *request);
    /* Makes a service's own errors clearer; the failure holds the general words. asker is whose request it is. */
    void (*explain)(struct request *request);
    void *asker;
    int64_t *retry_count;           /* counts repetitions, for a task's progress */

    /* The answer. */
    int32_t status;
    struct text final_url;          /* after redirects */
    struct text origin;             /* of the address that is asked next */
    struct text answer;

    /* Inside. */
    struct exchange exchange;
    struct timer timer;
    struct timer pause;
    struct slots *slots;            /* where it stands in line for a connection, or holds one */
    struct link waiting;
    struct text sent;               /* what the exchange borrows: the headers, and behind them what else it is told */
    int64_t started_ms;
    int64_t retry_after_ms;
    tenon_status hook_status;
    int32_t attempt;
    int32_t hops;
    const char *bad_header;         /* whose value cannot be sent */
    bool holds_slot;
    bool delivered;                 /* a hook has seen bytes */
    bool paused;
    bool timed_out;
};

void tn_request_init(struct request *request, struct tenon_context *context);
/* Gives everything back, also while it runs, and twice. */
void tn_request_clear(struct request *request);
/* Ready for another question with nothing of the last one left. */
void tn_request_reset(struct request *request);

void tn_request_url(struct request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_request_header(struct request *request, const char *name, const char *value);
void tn_request_range(struct request *request, int64_t first, int64_t last);
void tn_request_start(struct request *request, struct co *waiter);
/* After a data hook gave TENON_AGAIN, or the upload hook -1. */
void tn_request_resume(struct request *request);

#endif
