/*
 * One HTTP request and its answer, over one hop. This is the whole of what tenon asks of an HTTP library: an engine starts
 * an exchange, tells it what comes in, and ends it exactly once. A caller's own transport would be another engine.
 */
#ifndef TN_EXCHANGE_H
#define TN_EXCHANGE_H

#include "context.h"

enum exchange_take {
    EXCHANGE_TAKEN, /* go on */
    EXCHANGE_PAUSE, /* keep it; give it again after resume */
    EXCHANGE_ABORT  /* end the exchange */
};

/* How an exchange ended. */
enum exchange_end {
    EXCHANGE_RUNS,
    EXCHANGE_DONE,      /* the answer is complete */
    EXCHANGE_ABORTED,   /* a hook said so */
    EXCHANGE_NO_HOST,   /* the name is unknown, or nobody listens there */
    EXCHANGE_CUT,       /* the line was cut, before or in the middle of the answer */
    EXCHANGE_NO_TLS,    /* no trusted connection */
    EXCHANGE_NO_PROXY,  /* the proxy is not reached */
    EXCHANGE_REFUSED,   /* the proxy refuses to open a tunnel; status is its answer */
    EXCHANGE_NONSENSE,  /* the answer is no HTTP, or its encoding is broken */
    EXCHANGE_NO_MEMORY,
    EXCHANGE_BAD_URL
};

/* Why there is no trusted connection, as far as the library's words tell. */
enum tls_fault {
    TLS_UNKNOWN,
    TLS_AUTHORITY, /* nobody who is trusted signed the certificate */
    TLS_DATE,      /* it is expired, or not valid yet */
    TLS_HOST,      /* it is for other names */
    TLS_VERSION,   /* the other side only speaks what is too old */
    TLS_PLAIN,     /* the other side does not speak TLS */
    TLS_FILE       /* the trusted authorities cannot be read */
};

struct exchange {
    /* What to ask; all of it stays as it is while the exchange runs. */
    const char *method;
    const char *url;
    const char *headers;   /* lines "Name: value\n" */
    const char *body;      /* NULL for none, or when upload is used */
    int64_t body_size;     /* -1: not known beforehand */
    bool decode;           /* accept compressed answers */
    bool large;            /* many bytes are expected: use large buffers */
    bool apart;            /* on a connection of its own: HTTP/1.1 */
    bool once;             /* never sent a second time, not even where the line was cut before any answer */
    const char *proxy;     /* "" for none */
    const char *ca_file;   /* both NULL: the system's; else what is named and nothing else */
    const char *ca_folder;

    /* Hooks, called inside the loop's step. They must not start or cancel exchanges. */
    enum exchange_take (*started)(struct exchange *exchange); /* status and headers are complete */
    enum exchange_take (*data)(struct exchange *exchange, const char *bytes, size_t size);
    /* Fills buffer with the next bytes of the body: how many, 0 at its end, -1 to pause, -2 to abort. NULL: body. */
    ptrdiff_t (*upload)(struct exchange *exchange, char *buffer, size_t size);
    void (*ended)(struct exchange *exchange);
    void *owner;

    /* What came. */
    enum exchange_end end;
    enum tls_fault tls_fault; /* with EXCHANGE_NO_TLS */
    bool connected;        /* the connection stood and the request was sent */
    int64_t active_ms;     /* when something moved last, in either direction */
    int32_t status;
    struct text answer;    /* header lines "name: value\n" of the final answer, names in lower case */
    char reason[200];      /* the library's own words when it did not end well */

    void *inside;          /* the engine's */
};

struct engine {
    tenon_status (*start)(struct engine *engine, struct exchange *exchange);
    /* Ends an exchange without calling its hooks again. */
    void (*cancel)(struct engine *engine, struct exchange *exchange);
    /* Goes on after a pause; must not be called inside a hook. */
    void (*resume)(struct engine *engine, struct exchange *exchange);
};

/* The context's engine, made when it is first needed; NULL without memory. */
struct engine *tn_engine(struct tenon_context *context);

#endif
