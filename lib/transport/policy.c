#include "policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clocks.h"
#include "hop.h"
#include "request.h"

enum {
    BACKOFF_DOUBLINGS = 4,
    ABSENT_RETRIES = 2
};

/* ---- what the server asks for ---- */

/* Days since 1970 by the civil calendar, with years that begin in March. */
static int64_t days_until(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400, of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "Wed, 21 Oct 2026 07:28:00 GMT" as ms since 1970; -1 for anything else. */
static int64_t parse_date(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "";
    int day, year, hour, minute, second;
    const char *found;

    /* "Wed, " is for people. */
    text += strcspn(text, " ");
    if (sscanf(text, " %2d %3s %4d %2d:%2d:%2d GMT", &day, month, &year, &hour, &minute, &second) != 6)
        return -1;
    found = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (found == NULL || (found - months) % 3 != 0 || year < 1970 || day < 1 || day > 31 || hour < 0 || minute < 0 || second < 0)
        return -1;
    return ((days_until(year, (int)(found - months) / 3 + 1, day) * 24 + hour) * 60 + minute) * 60000 + (int64_t)second * 1000;
}

/* Retry-After, in seconds or as a date; -1 without. */
static int64_t retry_after(const struct request *request, struct text *value)
{
    const char *text = tn_response_header(request, "retry-after", value);
    int64_t number, pause = -1;

    if (text != NULL && tn_parse_integer(text, &number))
        pause = number < INT32_MAX ? number * 1000 : INT32_MAX;
    else if (text != NULL && parse_date(text) >= 0) {
        pause = parse_date(text) - tn_wall(request->context);
        pause = pause < 0 ? 0 : pause;
    }
    return pause;
}

/* RateLimit's t where its r says that nothing is left; -1 without. */
static int64_t limit_reset(const struct request *request, struct text *value)
{
    const char *text = request->status == 429 ? tn_response_header(request, "ratelimit", value) : NULL;
    const char *left = text != NULL ? strstr(text, "r=") : NULL, *reset = text != NULL ? strstr(text, "t=") : NULL;
    bool empty = left != NULL && left[2] == '0' && (left[3] < '0' || left[3] > '9');
    long long seconds = -1;

    if (!empty || reset == NULL || sscanf(reset + 2, "%9lld", &seconds) != 1 || seconds < 0)
        return -1;
    return (seconds + 1) * 1000;
}

/* What the server asks for; of the two the limit knows better. -1: nothing. */
static int64_t asked_pause(const struct request *request)
{
    struct text value;
    int64_t pause, reset;

    tn_text_init(&value, &request->context->memory, 4096);
    pause = retry_after(request, &value);
    reset = limit_reset(request, &value);
    tn_text_clear(&value);
    return reset >= 0 ? reset : pause;
}

/* ---- what we do ---- */

/* The pause before the next try: doubling, and chance takes off up to half so that many clients spread. */
static int64_t own_pause(struct request *request)
{
    int64_t base = tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_BACKOFF_MS);
    int shift = request->attempt < BACKOFF_DOUBLINGS ? request->attempt : BACKOFF_DOUBLINGS;
    uint32_t chance;

    tn_random(request->context, &chance, sizeof chance);
    base <<= shift;
    return base - (int64_t)((uint64_t)(base / 2) * chance / UINT32_MAX);
}

static bool is_passing(int32_t status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* Nothing was done: nobody was there, or whoever was there refused for now. */
static bool is_undone(const struct request *request, bool absent)
{
    bool refused = request->exchange.end == EXCHANGE_DONE && (request->status == 429 || request->status == 503);

    return absent || refused || (request->timed_out && !request->exchange.connected);
}

int64_t tn_policy_pause(struct request *request)
{
    enum exchange_end end = request->exchange.end;
    bool no_proxy = end == EXCHANGE_NO_PROXY || (end == EXCHANGE_REFUSED && request->exchange.status >= 500);
    bool absent = end == EXCHANGE_NO_HOST || no_proxy;
    bool passing = request->timed_out || end == EXCHANGE_CUT || absent || (end == EXCHANGE_DONE && is_passing(request->status));
    /* Nobody there is seldom passing, and whoever mistyped an address wants to hear it soon. */
    int32_t retries = absent && request->retries > ABSENT_RETRIES ? ABSENT_RETRIES : request->retries;
    int64_t asked = end == EXCHANGE_DONE && passing ? asked_pause(request) : -1, pause = -1;

    request->retry_after_ms = -1;
    if (passing)
        request->retry_after_ms = pause = asked >= 0 ? asked : own_pause(request);
    if (!passing || request->delivered || request->attempt >= retries)
        pause = -1;
    else if (!request->repeatable && !(request->begs && is_undone(request, absent)))
        pause = -1;
    else if (asked > tn_setting_integer(&request->context->settings, SETTING_TRANSPORT_WAIT_MS))
        pause = -1;
    else if (tn_later(tn_now(request->context), pause) >= tn_clocks_end(request))
        pause = -1;
    else if (!tn_hop_rewind(request))
        pause = -1;
    return pause;
}

void tn_policy_note(struct request *request, int64_t pause_ms)
{
    request->attempt++;
    if (request->retry_count != NULL)
        (*request->retry_count)++;
    if (request->failure.message != NULL)
        tn_log(request->context, TENON_LOG_WARNING, "transport", "%s: %s; again in %" PRId64 " ms", request->what,
               request->failure.message, pause_ms);
    else
        tn_log(request->context, TENON_LOG_WARNING, "transport", "%s: HTTP %d; again in %" PRId64 " ms", request->what,
               (int)request->status, pause_ms);
}
