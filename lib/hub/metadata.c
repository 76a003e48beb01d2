#include "metadata.h"

#include <string.h>

#include "json.h"
#include "path.h"

/* ---- the commit ---- */

void tn_resolution_init(struct resolution *resolution, tenon_hub *hub)
{
    struct tenon_context *context = hub->handle.context;

    memset(resolution, 0, sizeof *resolution);
    resolution->hub = hub;
    resolution->co.context = context;
    resolution->co.status = TENON_OK;
    tn_failure_init(&resolution->failure, &context->memory, &context->secrets);
    tn_request_init(&resolution->request, context);
}

void tn_resolution_clear(struct resolution *resolution)
{
    if (resolution->hub == NULL)
        return;
    tn_co_stop(&resolution->co);
    tn_request_clear(&resolution->request);
    tn_failure_clear(&resolution->failure);
    json_decref(resolution->json);
    resolution->json = NULL;
    resolution->hub = NULL;
}

/* Is that a commit, and where one was asked for, that one? */
static tenon_status check_commit(const struct repository *repository, const char *commit, struct failure *failure)
{
    if (!tn_is_commit(commit))
        tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub's answer names no commit");
    else if (tn_is_commit(repository->revision) && strcmp(repository->revision, commit) != 0)
        tn_fail(failure, TENON_ERROR_PROTOCOL, "the hub was asked for %s and answers for %s", repository->revision, commit);
    else
        return TENON_OK;
    return tn_hint(failure, "Check that HF_ENDPOINT is a hub and that no proxy changes its answers.");
}

static tenon_status take_commit(struct resolution *resolution)
{
    const char *commit;
    tenon_status status = tn_response_json(&resolution->request, &resolution->json);

    if (status != TENON_OK)
        return tn_failure_move(&resolution->failure, &resolution->request.failure);
    commit = tn_json_text_or(resolution->json, "sha", "");
    status = check_commit(resolution->repository, commit, &resolution->failure);
    if (status == TENON_OK)
        memcpy(resolution->commit, commit, sizeof resolution->commit);
    return status;
}

static tenon_status resolution_step(struct co *co)
{
    struct resolution *resolution = TN_CONTAINER(co, struct resolution, co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_request_start(&resolution->request, co);
    AWAIT(co, !tn_co_running(&resolution->request.co));
    status = resolution->request.co.status;
    if (status != TENON_OK)
        status = tn_failure_move(&resolution->failure, &resolution->request.failure);
    else
        status = take_commit(resolution);
    CO_END(co);
    return status;
}

void tn_resolution_start(struct resolution *resolution, const struct repository *repository, bool details, struct co *waiter)
{
    struct text *url = &resolution->request.url;

    resolution->repository = repository;
    tn_hub_api(resolution->hub, repository, url);
    tn_text_add(url, "/revision/");
    tn_text_add_escaped(url, repository->revision, "");
    if (details)
        tn_text_add(url, "?blobs=true");
    resolution->request.decode = true;
    tn_hub_request(resolution->hub, &resolution->request, "the repository's description");
    tn_co_start(&resolution->co, resolution->co.context, resolution_step, waiter);
}

/* ---- one file ---- */

void tn_metadata_init(struct metadata *metadata, tenon_hub *hub)
{
    struct tenon_context *context = hub->handle.context;

    memset(metadata, 0, sizeof *metadata);
    metadata->hub = hub;
    metadata->co.context = context;
    metadata->co.status = TENON_OK;
    tn_failure_init(&metadata->failure, &context->memory, &context->secrets);
    tn_request_init(&metadata->request, context);
    tn_resolution_init(&metadata->resolution, hub);
}

void tn_metadata_clear(struct metadata *metadata)
{
    if (metadata->hub == NULL)
        return;
    tn_co_stop(&metadata->co);
    tn_request_clear(&metadata->request);
    tn_resolution_clear(&metadata->resolution);
    tn_failure_clear(&metadata->failure);
    metadata->hub = NULL;
}

bool tn_etag_normal(const char *value, char *etag, size_t size)
{
    size_t length;

    if (tn_starts_with(value, "W/"))
        value += 2;
    length = strlen(value);
    if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
        value++;
        length -= 2;
    }
    if (length >= size)
        return false;
    memcpy(etag, value, length);
    etag[length] = '\0';
    return tn_etag_is_safe(etag);
}

/* A header of the answer; NULL when it is absent, and without memory, which is in *status then. */
static const char *header_of(struct metadata *metadata, const char *name, struct text *value, tenon_status *status)
{
    const char *header = tn_response_header(&metadata->request, name, value);

    if (value->failed && !value->full)
        *status = tn_fail_memory(&metadata->failure);
    return header;
}

/* The commit that the answer names; left empty when it names none. */
static void take_commit_header(struct metadata *metadata, struct text *value, tenon_status *status)
{
    const char *commit = header_of(metadata, "x-repo-commit", value, status);

    if (commit != NULL && tn_is_commit(commit))
        memcpy(metadata->commit, commit, sizeof metadata->commit);
}

static bool take_etag(struct metadata *metadata, struct text *value, tenon_status *status)
{
    const char *etag = header_of(metadata, "x-linked-etag", value, status);

    if (etag == NULL)
        etag = header_of(metadata, "etag", value, status);
    return etag != NULL && tn_etag_normal(etag, metadata->etag, sizeof metadata->etag);
}

/* The size: that of what a redirect leads to, or of this very answer, never of a redirect's own body. */
static int64_t size_of(const struct metadata *metadata)
{
    int64_t size = tn_response_integer(&metadata->request, "x-linked-size", -1);

    if (size < 0 && metadata->request.status == 200)
        size = tn_response_integer(&metadata->request, "content-length", -1);
    return size;
}

static tenon_status take_headers(struct metadata *metadata)
{
    struct text value;
    const char *xet, *missing = NULL;
    tenon_status status = TENON_OK;

    tn_text_init(&value, &metadata->co.context->memory, 4096);
    take_commit_header(metadata, &value, &status);
    metadata->bytes = size_of(metadata);
    xet = header_of(metadata, "x-xet-hash", &value, &status);
    if (xet != NULL && tn_is_hex(xet, 64))
        memcpy(metadata->xet, xet, sizeof metadata->xet);
    if (!take_etag(metadata, &value, &status))
        missing = "content id (ETag)";
    else if (metadata->bytes < 0)
        missing = "size";
    tn_text_clear(&value);
    if (missing == NULL || status != TENON_OK)
        return status;
    tn_fail(&metadata->failure, TENON_ERROR_PROTOCOL, "the hub's answer has no usable %s", missing);
    return tn_hint(&metadata->failure, "Check that HF_ENDPOINT is a hub and that no proxy drops headers of its answers.");
}

/* The hub's 404 for a file says the commit it looked at. */
static void look_at_absence(struct metadata *metadata)
{
    struct text value;
    const char *code;
    tenon_status ignored;

    tn_text_init(&value, &metadata->co.context->memory, 256);
    code = header_of(metadata, "x-error-code", &value, &ignored);
    if (code != NULL && strcmp(code, "EntryNotFound") == 0) {
        metadata->absent = true;
        take_commit_header(metadata, &value, &ignored);
    }
    tn_text_clear(&value);
}

static tenon_status metadata_step(struct co *co)
{
    struct metadata *metadata = TN_CONTAINER(co, struct metadata, co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    tn_request_start(&metadata->request, co);
    AWAIT(co, !tn_co_running(&metadata->request.co));
    status = metadata->request.co.status;
    if (status != TENON_OK) {
        look_at_absence(metadata);
        status = tn_failure_move(&metadata->failure, &metadata->request.failure);
    } else
        status = take_headers(metadata);
    if (status == TENON_OK && metadata->commit[0] != '\0')
        status = check_commit(metadata->repository, metadata->commit, &metadata->failure);
    else if (status == TENON_OK && tn_is_commit(metadata->repository->revision))
        memcpy(metadata->commit, metadata->repository->revision, sizeof metadata->commit);
    if (status == TENON_OK && metadata->commit[0] == '\0') {
        /* Some mirrors drop the header; the description of the repository has the commit too. */
        tn_resolution_start(&metadata->resolution, metadata->repository, false, co);
        AWAIT(co, !tn_co_running(&metadata->resolution.co));
        status = metadata->resolution.co.status;
        if (status != TENON_OK)
            status = tn_failure_move(&metadata->failure, &metadata->resolution.failure);
        else
            memcpy(metadata->commit, metadata->resolution.commit, sizeof metadata->commit);
    }
    CO_END(co);
    return status;
}

void tn_metadata_start(struct metadata *metadata, const struct repository *repository, const char *path, int32_t retries,
                       struct co *waiter)
{
    metadata->repository = repository;
    metadata->request.method = "HEAD";
    metadata->request.redirects = REDIRECT_SAME_ORIGIN;
    if (retries >= 0)
        metadata->request.retries = retries;
    tn_hub_resolve(metadata->hub, repository, repository->revision, path, &metadata->request.url);
    tn_request_header(&metadata->request, "X-HF-Download-Counter", "1");
    tn_hub_request(metadata->hub, &metadata->request, "the file's description");
    tn_co_start(&metadata->co, metadata->co.context, metadata_step, waiter);
}
