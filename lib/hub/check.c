/* tenon_hub_check: can this hub be used from here? */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "operation.h"
#include "url.h"

enum { MESSAGE_LONGEST = 300 };

struct check {
    struct tenon_task task;
    tenon_hub *hub;
    struct request request;
    int64_t asked_ms;
};

static tenon_status push(struct check *check, const char *name, int32_t answer, const char *message, const char *fix)
{
    tenon_check row = { .struct_size = sizeof row, .answer = answer, .name = name, .message = message,
                        .fix = answer == TENON_CHECK_YES ? "" : fix };

    return tn_task_push(&check->task, &row);
}

/* ---- the endpoint and the token ---- */

static bool may_ask(const struct check *check)
{
    return check->hub->folder == NULL && !tn_hub_is_offline(check->hub, check->hub->policy);
}

static tenon_status push_unasked(struct check *check)
{
    tenon_status status;

    if (check->hub->folder != NULL)
        status = push(check, "endpoint", TENON_CHECK_YES, check->hub->folder, "");
    else
        status = push(check, "endpoint", TENON_CHECK_UNKNOWN, "offline: the hub is not asked",
                      "Unset HF_HUB_OFFLINE to go online.");
    return status;
}

static void ask(struct check *check)
{
    struct request *request = &check->request;

    tn_text_format(&request->url, "%s/api/whoami-v2", check->hub->endpoint);
    request->any_status = true;
    request->retries = 0;
    request->decode = true;
    tn_hub_request(check->hub, request, "the hub");
    check->asked_ms = tn_now(check->task.handle.context);
    tn_request_start(request, &check->task.co);
}

static tenon_status push_endpoint(struct check *check)
{
    struct request *request = &check->request;
    struct text message;
    tenon_status status;

    tn_text_init(&message, &check->task.handle.context->memory, PATH_MAX);
    if (request->co.status != TENON_OK)
        status = push(check, "endpoint", TENON_CHECK_NO, request->failure.message, request->failure.hint);
    else if (request->status >= 500) {
        tn_url_show(check->hub->endpoint, &message);
        tn_text_format(&message, " answers HTTP %d", (int)request->status);
        status = push(check, "endpoint", TENON_CHECK_NO, tn_text(&message), "The hub has a problem of its own; try again later.");
    } else {
        tn_url_show(check->hub->endpoint, &message);
        tn_text_format(&message, " answers after %" PRId64 " ms", tn_now(check->task.handle.context) - check->asked_ms);
        status = push(check, "endpoint", TENON_CHECK_YES, tn_text(&message), "");
    }
    tn_text_clear(&message);
    return status;
}

static tenon_status push_token(struct check *check)
{
    struct request *request = &check->request;
    struct text message;
    json_t *json = NULL;
    tenon_status status;

    tn_text_init(&message, &check->task.handle.context->memory, PATH_MAX);
    if (check->hub->token == NULL)
        status = push(check, "token", TENON_CHECK_UNKNOWN, "there is none; public repositories need none",
                      "Set HF_TOKEN for private and gated repositories.");
    else if (request->co.status != TENON_OK)
        status = push(check, "token", TENON_CHECK_UNKNOWN, "the hub cannot be asked", "");
    else if (request->status == 200 && tn_response_json(request, &json) == TENON_OK && tn_json_text(json, "name") != NULL) {
        tn_text_format(&message, "it is that of %s", tn_json_text(json, "name"));
        if (message.data != NULL) /* somebody else's words */
            tn_clean_line(&check->task.handle.context->secrets, message.data, MESSAGE_LONGEST);
        status = push(check, "token", TENON_CHECK_YES, tn_text(&message), "");
    } else if (request->status == 401 || request->status == 403)
        status = push(check, "token", TENON_CHECK_NO, "the hub does not accept it",
                      "Make a new one in the settings of your account and set HF_TOKEN.");
    else {
        tn_text_format(&message, "the hub answers HTTP %d when asked whose it is", (int)request->status);
        status = push(check, "token", TENON_CHECK_UNKNOWN, tn_text(&message), "");
    }
    json_decref(json);
    tn_text_clear(&message);
    return status;
}

/* ---- the cache ---- */

static void name_probe(struct check *check, struct text *out)
{
    char chance[9];

    tn_random_hex(check->task.handle.context, chance, 8);
    tn_text_format(out, "%s/.tenon-probe-%s", check->hub->cache, chance);
}

/* Can links be made in the cache folder? */
static bool links_work(struct check *check, const struct text *probe, struct failure *failure)
{
    bool work = tn_link_make("nowhere", tn_text(probe), failure) == TENON_OK;

    if (work)
        work = tn_file_remove(tn_text(probe), failure) == TENON_OK;
    (void)check;
    return work;
}

/* A lock that is given twice protects nobody. */
static bool locks_work(const struct text *probe, struct failure *failure)
{
    struct lock first = { -1 }, second = { -1 };
    bool work = tn_lock_try(&first, tn_text(probe), failure) == TENON_OK &&
                tn_lock_try(&second, tn_text(probe), failure) == TENON_AGAIN;

    tn_lock_release(&first);
    tn_lock_release(&second);
    tn_file_remove(tn_text(probe), failure);
    return work;
}

static tenon_status push_cache(struct check *check)
{
    const struct memory *memory = &check->task.handle.context->memory;
    struct failure failure;
    struct text probe, message;
    bool usable;
    int64_t room = tn_disk_free(check->hub->cache);
    tenon_status status;

    tn_failure_init(&failure, memory, &check->task.handle.context->secrets);
    tn_text_init(&probe, memory, PATH_MAX);
    tn_text_init(&message, memory, PATH_MAX);
    name_probe(check, &probe);
    usable = tn_folder_make(check->hub->cache, 0777, &failure) == TENON_OK && tn_folder_writable(check->hub->cache);
    status = push(check, "cache", usable ? TENON_CHECK_YES : TENON_CHECK_NO,
                  usable || failure.message == NULL ? check->hub->cache : failure.message,
                  "Choose another folder with HF_HUB_CACHE.");
    if (status == TENON_OK && usable)
        status = links_work(check, &probe, &failure)
                     ? push(check, "links", TENON_CHECK_YES, "symbolic links work in the cache", "")
                     : push(check, "links", TENON_CHECK_NO, "no symbolic links: files are copied instead, which takes more room",
                            "Put the cache on a file system that has them.");
    if (status == TENON_OK && usable)
        status = locks_work(&probe, &failure)
                     ? push(check, "locks", TENON_CHECK_YES, "locks work in the cache", "")
                     : push(check, "locks", TENON_CHECK_NO,
                            "locks are given to everybody: nothing breaks, but work may be done twice",
                            "Put the cache on a local file system.");
    tn_text_format(&message, "%.1f GB free", (double)room / 1e9);
    if (status == TENON_OK)
        status = push(check, "room", room < 0 ? TENON_CHECK_UNKNOWN : room < INT64_C(1000000000) ? TENON_CHECK_NO : TENON_CHECK_YES,
                      room < 0 ? "the free space is not known" : tn_text(&message),
                      "Free some space, or choose another folder with HF_HUB_CACHE.");
    tn_text_clear(&message);
    tn_text_clear(&probe);
    tn_failure_clear(&failure);
    return status;
}

/* ---- the operation ---- */

static tenon_status check_step(struct co *co)
{
    struct check *check = TN_CONTAINER(co, struct check, task.co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (may_ask(check)) {
        ask(check);
        AWAIT(co, !tn_co_running(&check->request.co));
        status = push_endpoint(check);
        if (status == TENON_OK)
            status = push_token(check);
    } else
        status = push_unasked(check);
    if (status == TENON_OK)
        status = push_cache(check);
    CO_END(co);
    return status;
}

static void check_clear(struct tenon_task *task)
{
    struct check *check = TN_CONTAINER(task, struct check, task);

    tn_request_clear(&check->request);
    tn_hub_drop(check->hub);
    check->hub = NULL;
}

static const struct operation operation = { .name = "checking a hub", .size = sizeof(struct check), .row = &tn_row_check,
                                            .step = check_step, .clear = check_clear };

static tenon_status check_new(tenon_hub *hub, tenon_task **task)
{
    struct check *check = NULL;
    tenon_status status = tn_task_new(hub->handle.context, &operation, &check);

    if (status == TENON_OK) {
        check->hub = tenon_hub_ref(hub);
        tn_request_init(&check->request, hub->handle.context);
        *task = &check->task;
    }
    return status;
}

tenon_status tenon_hub_check(tenon_hub *hub, tenon_task **task)
{
    TN_HUB_CALL(hub, check_new(hub, &made), task);
}
