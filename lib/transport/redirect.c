#include "redirect.h"

#include <string.h>

#include "hop.h"
#include "request.h"
#include "url.h"

enum { MOST_HOPS = 10 };

bool tn_redirect_is(const struct request *request)
{
    int32_t status = request->status;

    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* An append failed, and not because of the bound. */
static bool starved(const struct text *text)
{
    return text->failed && !text->full;
}

/* Where the answer leads. */
static tenon_status read_target(struct request *request, struct text *target)
{
    tenon_status status = TENON_OK;
    struct text location;

    tn_text_init(&location, &request->context->memory, URL_LIMIT);
    if (tn_response_header(request, "location", &location) == NULL ||
        !tn_url_resolve(tn_text(&request->final_url), tn_text(&location), target)) {
        if (starved(&location) || starved(target))
            status = tn_fail_memory(&request->failure);
        else
            status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: HTTP %d leads to no http or https address",
                             request->what, (int)request->status);
    }
    tn_text_clear(&location);
    return status;
}

/* May it go there? Counts the hop. */
static tenon_status check_way(struct request *request, const char *target)
{
    tenon_status status = TENON_OK;

    if (tn_url_is_tls(tn_text(&request->final_url)) && !tn_url_is_tls(target)) {
        status = tn_fail(&request->failure, TENON_ERROR_TLS, "%s: the server leads from https to http", request->what);
        tn_hint(&request->failure, "That would give the content to anybody on the way; use a hub that stays on https.");
    } else if (++request->hops > MOST_HOPS)
        status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: more than %d redirects", request->what, (int)MOST_HOPS);
    return status;
}

/* Makes final_url, method and body those of the next hop. */
static tenon_status turn(struct request *request, const char *target)
{
    tenon_status status = TENON_OK;

    if (request->status == 303 && strcmp(request->method, "HEAD") != 0) {
        request->method = "GET";
        request->body = NULL;
        request->upload = NULL;
    }
    if (tn_hop_rewind(request)) {
        tn_text_reset(&request->final_url);
        tn_text_reset(&request->origin);
        tn_url_keep_user(tn_text(&request->url), target, &request->final_url);
        tn_url_origin(target, &request->origin);
    } else
        status = tn_fail(&request->failure, TENON_ERROR_PROTOCOL, "%s: HTTP %d came for a body that cannot be sent again",
                         request->what, (int)request->status);
    return status;
}

bool tn_redirect_follow(struct request *request, tenon_status *status)
{
    bool leads = request->exchange.end == EXCHANGE_DONE && tn_redirect_is(request) && request->redirects != REDIRECT_NEVER;
    struct text target;
    bool stays = false;

    tn_text_init(&target, &request->context->memory, URL_LIMIT);
    if (leads)
        *status = read_target(request, &target);
    if (leads && *status == TENON_OK)
        stays = request->redirects == REDIRECT_SAME_ORIGIN &&
                !tn_url_same_origin(tn_text(&request->final_url), tn_text(&target));
    if (leads && !stays && *status == TENON_OK)
        *status = check_way(request, tn_text(&target));
    if (leads && !stays && *status == TENON_OK)
        *status = turn(request, tn_text(&target));
    tn_text_clear(&target);
    return leads && !stays && *status == TENON_OK;
}
