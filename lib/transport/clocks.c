#include "clocks.h"

#include "hop.h"
#include "meaning.h"
#include "request.h"

int64_t tn_clocks_end(const struct request *request)
{
    int64_t total = request->stream ? 0 : tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_TOTAL_MS);

    return total > 0 ? tn_later(request->started_ms, total) : TN_NEVER;
}

/* The clock that runs out next. */
static struct deadline next_deadline(const struct request *request)
{
    const struct settings *settings = &request->context->settings;
    int64_t end = tn_clocks_end(request);
    struct deadline next = { .words = "the connection did not stand", .setting = "transport.connect_ms" };

    next.after_ms = tn_setting_integer(settings, SETTING_TRANSPORT_CONNECT_MS);
    if (request->exchange.connected) {
        next = (struct deadline){ .words = "the other side was silent", .setting = tn_setting_key(request->silence) };
        /* It is we who are silent while the reader, or the writer, has no time. */
        next.after_ms = request->paused ? TN_NEVER : tn_setting_integer(settings, request->silence);
    }
    next.at_ms = tn_later(request->exchange.active_ms, next.after_ms);
    if (end < next.at_ms)
        next = (struct deadline){ end, end - request->started_ms, "the request was not done", "transport.total_ms" };
    return next;
}

static int64_t soonest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool tn_clocks_over(struct request *request)
{
    int64_t now = tn_now(request->context), look;
    struct deadline deadline;
    bool over = false;

    if (request->exchange.end != EXCHANGE_RUNS)
        return true;
    deadline = next_deadline(request);
    look = deadline.at_ms;
    /* Nobody tells when the connection stands; from then on the clock of silence counts, which may be the shorter one. */
    if (!request->exchange.connected)
        look = soonest(look, tn_later(now, tn_setting_integer(&request->context->settings, request->silence)));
    if (now >= deadline.at_ms) {
        tn_meaning_of_clock(request, &deadline);
        request->timed_out = over = true;
    } else if (!tn_timer_running(&request->timer) || request->timer.due_ms > look)
        tn_timer_set(request->context, &request->timer, look - now, &request->co);
    if (over)
        tn_hop_stop(request);
    return over;
}
