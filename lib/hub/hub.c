#include "hub.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "path.h"
#include "token.h"
#include "url.h"

/* ---- the handle ---- */

static void hub_destroy(struct handle *handle)
{
    tenon_hub *hub = TN_CONTAINER(handle, tenon_hub, handle);
    const struct memory *memory = &handle->context->memory;

    tn_release(memory, hub->endpoint);
    tn_release(memory, hub->folder);
    tn_release(memory, hub->token);
    tn_release(memory, hub->cache);
    tn_release(memory, hub);
}

static tenon_status set_folder(tenon_hub *hub, const char *location)
{
    struct tenon_context *context = hub->handle.context;
    struct text path;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &context->memory, PATH_MAX);
    /* "file:///folder"; "file://folder" is what people write for a relative one. */
    tn_path_absolute(&path, location + strlen("file://"));
    while (path.length > 1 && path.data[path.length - 1] == '/')
        path.data[--path.length] = '\0';
    if (path.failed)
        status = tn_fail_memory(&context->failure);
    else if (!tn_folder_exists(tn_text(&path))) {
        status = tn_fail(&context->failure, TENON_ERROR_NOT_FOUND, "the hub's folder %s does not exist", tn_text(&path));
        tn_hint(&context->failure, "Make it, or give another address: file:///folder, https://host.");
    } else {
        hub->folder = tn_text_take(&path);
        status = hub->folder != NULL ? TENON_OK : tn_fail_memory(&context->failure);
    }
    tn_text_clear(&path);
    return status;
}

static tenon_status set_endpoint(tenon_hub *hub, const char *location)
{
    struct tenon_context *context = hub->handle.context;
    struct text origin;
    size_t length = strlen(location);
    tenon_status status = TENON_OK;
    bool usable;

    tn_text_init(&origin, &context->memory, PATH_MAX);
    usable = tn_url_origin(location, &origin);
    if (tn_url_add_secret(location, &context->secrets) != TENON_OK || (!usable && origin.failed && !origin.full))
        status = tn_fail_memory(&context->failure);
    else if (!usable) {
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "\"%s\" is not the address of a hub", location);
        tn_hint(&context->failure, "Give https://host, http://host:port or file:///folder; check HF_ENDPOINT.");
    } else {
        while (length > 0 && location[length - 1] == '/')
            length--;
        hub->endpoint = tn_copy_n(&context->memory, location, length);
        status = hub->endpoint != NULL ? TENON_OK : tn_fail_memory(&context->failure);
    }
    tn_text_clear(&origin);
    return status;
}

static tenon_status set_cache(tenon_hub *hub, const char *given)
{
    struct tenon_context *context = hub->handle.context;
    struct text path, absolute;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &context->memory, PATH_MAX);
    tn_text_init(&absolute, &context->memory, PATH_MAX);
    if (given != NULL)
        tn_text_add(&path, given);
    else
        tn_setting_path(&context->settings, SETTING_HUB_CACHE, &path);
    if (path.failed)
        status = tn_fail_memory(&context->failure);
    else if (path.length == 0) {
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "there is no cache folder: neither HOME nor HF_HUB_CACHE is set");
        tn_hint(&context->failure, "Set HF_HUB_CACHE, or the setting hub.cache.");
    } else {
        tn_path_absolute(&absolute, tn_text(&path));
        while (absolute.length > 1 && absolute.data[absolute.length - 1] == '/')
            absolute.data[--absolute.length] = '\0';
        hub->cache = tn_text_take(&absolute);
        status = hub->cache != NULL ? TENON_OK : tn_fail_memory(&context->failure);
    }
    tn_text_clear(&path);
    tn_text_clear(&absolute);
    return status;
}

static tenon_status hub_open(struct tenon_context *context, const char *location, const tenon_hub_options *given, tenon_hub **out)
{
    tenon_hub_options options;
    tenon_hub *hub = NULL;
    tenon_status status = tn_options(context, given, &options, sizeof options);

    if (status != TENON_OK)
        return status;
    if (options.policy < TENON_CACHE_DEFAULT || options.policy > TENON_CACHE_OFFLINE)
        return tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "policy %d is unknown", (int)options.policy);
    if (location == NULL)
        location = tn_setting_text(&context->settings, SETTING_HUB_ENDPOINT);
    hub = location != NULL ? tn_alloc(&context->memory, sizeof *hub) : NULL;
    if (hub == NULL)
        return location != NULL ? tn_fail_memory(&context->failure)
                                : tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "the setting hub.endpoint is empty");
    tn_handle_init(&hub->handle, context, hub_destroy);
    hub->policy = options.policy;
    status = tn_starts_with(location, "file://") ? set_folder(hub, location) : set_endpoint(hub, location);
    if (status == TENON_OK)
        status = set_cache(hub, options.cache);
    if (status == TENON_OK && hub->endpoint != NULL)
        status = tn_token_find(context, options.token, &hub->token);
    if (status == TENON_OK)
        *out = hub;
    else
        tn_hub_drop(hub);
    return status;
}

tenon_status tenon_hub_open(tenon_context *context, const char *location, const tenon_hub_options *options, tenon_hub **hub)
{
    tenon_status status = tn_enter(context);

    if (status != TENON_OK)
        return status;
    if (hub == NULL)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "hub is NULL");
    else
        status = hub_open(context, location, options, hub);
    return tn_leave(context, status);
}

tenon_hub *tenon_hub_ref(tenon_hub *hub)
{
    if (hub != NULL)
        tn_handle_ref(&hub->handle);
    return hub;
}

void tenon_hub_free(tenon_hub *hub)
{
    if (hub != NULL)
        tn_handle_free(&hub->handle);
}

void tn_hub_drop(tenon_hub *hub)
{
    struct tenon_context *context;

    if (hub == NULL || atomic_fetch_sub(&hub->handle.references, 1) > 1)
        return;
    context = hub->handle.context;
    hub_destroy(&hub->handle);
    tn_context_unref(context);
}

tenon_status tn_hub_default(struct tenon_context *context, tenon_hub **hub)
{
    return hub_open(context, NULL, NULL, hub);
}

tenon_status tn_hub_or_default(struct tenon_context *context, tenon_hub *hub, tenon_hub **out)
{
    if (hub == NULL)
        return tn_hub_default(context, out);
    if (hub->handle.context != context)
        return tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "the hub belongs to another context");
    *out = tenon_hub_ref(hub);
    return TENON_OK;
}

/* ---- policy ---- */

int32_t tn_hub_policy(const tenon_hub *hub, int32_t asked)
{
    int32_t policy = asked != TENON_CACHE_DEFAULT ? asked : hub->policy;

    if (policy == TENON_CACHE_DEFAULT)
        policy = TENON_CACHE_PINNED;
    if (hub->folder == NULL && tn_setting_flag(&hub->handle.context->settings, SETTING_HUB_OFFLINE))
        policy = TENON_CACHE_OFFLINE;
    return policy;
}

bool tn_hub_is_offline(const tenon_hub *hub, int32_t policy)
{
    return policy == TENON_CACHE_OFFLINE ||
           (hub->folder == NULL && tn_setting_flag(&hub->handle.context->settings, SETTING_HUB_OFFLINE));
}

tenon_status tn_hub_fail_offline(struct failure *failure, const char *what)
{
    tn_fail(failure, TENON_ERROR_OFFLINE, "offline, and %s is not in the cache", what);
    return tn_hint(failure, "Go online once (unset HF_HUB_OFFLINE), or choose another cache with HF_HUB_CACHE.");
}

/* ---- requests ---- */

void tn_hub_api(const tenon_hub *hub, const struct repository *repository, struct text *out)
{
    tn_text_format(out, "%s/api/%s/%s", hub->endpoint, tn_repository_plural(repository), repository->id);
}

void tn_hub_resolve(const tenon_hub *hub, const struct repository *repository, const char *revision, const char *path,
                    struct text *out)
{
    tn_text_add_all(out, hub->endpoint, "/", tn_repository_prefix(repository), repository->id, "/resolve/", NULL);
    tn_text_add_escaped(out, revision, "");
    tn_text_add_char(out, '/');
    tn_text_add_escaped(out, path, "/");
}

/* The page where a person can do something about it: the address up to the API or the route of a file. */
static void page_of(const tenon_hub *hub, const char *url, struct text *out)
{
    const char *rest = tn_starts_with(url, hub->endpoint) ? url + strlen(hub->endpoint) : "";
    size_t parts = 2;

    tn_text_add(out, hub->endpoint);
    if (tn_starts_with(rest, "/api/models/"))
        rest += strlen("/api/models");
    else if (tn_starts_with(rest, "/api/"))
        rest += strlen("/api");
    if (tn_starts_with(rest, "/datasets/") || tn_starts_with(rest, "/spaces/"))
        parts = 3;
    for (; parts > 0 && *rest == '/'; parts--) {
        size_t length = 1 + strcspn(rest + 1, "/?#");

        tn_text_add_n(out, rest, length);
        rest += length;
    }
}

/* What the hub's own codes mean; in the order in which the official client asks. */
static void explain(struct request *request)
{
    tenon_hub *hub = request->asker;
    struct failure *failure = &request->failure;
    struct text code, page;

    tn_text_init(&code, &request->context->memory, 256);
    tn_text_init(&page, &request->context->memory, PATH_MAX);
    page_of(hub, tn_text(&request->url), &page);
    if (tn_response_header(request, "x-error-code", &code) == NULL)
        tn_text_reset(&code);
    tn_failure_set_code(failure, tn_text(&code));
    if (strcmp(tn_text(&code), "RevisionNotFound") == 0) {
        failure->status = TENON_ERROR_NOT_FOUND;
        tn_hint(failure, "Check the revision; %s lists the branches and tags.", tn_text(&page));
    } else if (strcmp(tn_text(&code), "EntryNotFound") == 0) {
        failure->status = TENON_ERROR_NOT_FOUND;
        tn_hint(failure, "Check the path; names of files are case-sensitive. %s lists them.", tn_text(&page));
    } else if (strcmp(tn_text(&code), "GatedRepo") == 0) {
        failure->status = TENON_ERROR_GATED;
        tn_hint(failure, "Accept the licence at %s%s.", tn_text(&page),
                hub->token != NULL ? " with the account whose token you use" : ", then set HF_TOKEN to a token of that account");
    } else if (strcmp(tn_text(&code), "RepoNotFound") == 0 || (request->status == 401 && hub->token == NULL)) {
        failure->status = TENON_ERROR_NOT_FOUND;
        tn_hint(failure, "Check the name; a private repository needs a token that reaches it%s.",
                hub->token == NULL ? " (set HF_TOKEN)" : "");
    }
    tn_text_clear(&page);
    tn_text_clear(&code);
}

void tn_hub_request(tenon_hub *hub, struct request *request, const char *what)
{
    request->what = what;
    request->asker = hub;
    request->explain = explain;
    if (hub->token != NULL && tn_url_same_origin(hub->endpoint, tn_text(&request->url)))
        request->bearer = hub->token;
}

bool tn_hub_is_encoded(const struct request *request)
{
    struct text value;
    const char *encoding;
    bool encoded;

    tn_text_init(&value, &request->context->memory, 256);
    encoding = tn_response_header(request, "content-encoding", &value);
    encoded = encoding != NULL && tn_compare_case(encoding, "identity") != 0;
    tn_text_clear(&value);
    return encoded;
}
