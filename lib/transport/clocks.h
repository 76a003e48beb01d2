/* The three clocks of a request: until the connection stands, silence, and the whole. */
#ifndef TN_CLOCKS_H
#define TN_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct request;

/* One of them: when it runs out, and what then has not happened. */
struct deadline {
    int64_t at_ms;
    int64_t after_ms;
    const char *words;
    const char *setting;
};

/* True when the exchange has ended, or a clock has ended it. Sets the timer for the next look. */
bool tn_clocks_over(struct request *request);
/* When the whole runs out; TN_NEVER where there is no such limit. */
int64_t tn_clocks_end(const struct request *request);

#endif
