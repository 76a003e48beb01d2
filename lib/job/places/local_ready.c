/* Is a server ready? Its health says so, its list of models is not empty, and it is the job's own. */
#include <stdio.h>
#include <string.h>

#include "family.h"
#include "json.h"
#include "local_job.h"
#include "request.h"

enum { ANSWER_BYTES = 1 << 20, SAID_BYTES = 200 };

struct probe {
    struct co co;
    struct request request;
    tenon_job *job; /* whose part it is */
    int32_t keeper; /* processes of the job descend from these two */
    int32_t process;
    int32_t port;
    char *health;
    char *key;
    bool ready;
    char said[SAID_BYTES]; /* why not */
};

static void ask(struct probe *probe, const char *path, const char *what)
{
    struct request *request = &probe->request;

    tn_request_reset(request);
    tn_request_url(request, "http://127.0.0.1:%d%s", (int)probe->port, path);
    request->what = what;
    request->any_status = true;
    request->redirects = REDIRECT_NEVER;
    request->retries = 0;
    request->body_limit = ANSWER_BYTES;
    request->bearer = probe->key;
    tn_request_start(request, &probe->co);
}

/* True when it answered 200; else notes what it said. */
static bool answered_well(struct probe *probe, const char *path)
{
    const struct request *request = &probe->request;
    bool well = request->co.status == TENON_OK && request->status == 200;

    if (request->co.status != TENON_OK)
        snprintf(probe->said, sizeof probe->said, "%.190s",
                 request->failure.message != NULL ? request->failure.message : "no answer");
    else if (!well)
        snprintf(probe->said, sizeof probe->said, "%.100s answers HTTP %d", path, (int)request->status);
    return well;
}

/* A server of another kind than OpenAI's lists no models: its health alone must do then. */
static bool lists_none(const struct probe *probe)
{
    const struct request *request = &probe->request;

    return request->co.status == TENON_OK && (request->status == 404 || request->status == 405 || request->status == 501);
}

static bool has_models(struct probe *probe)
{
    json_t *json = NULL;
    bool has = false;

    if (lists_none(probe))
        return true;
    if (answered_well(probe, "/v1/models") && tn_response_json(&probe->request, &json) == TENON_OK) {
        has = json_array_size(tn_json_member(json, "data")) > 0;
        if (!has)
            snprintf(probe->said, sizeof probe->said, "/v1/models lists no model yet");
    }
    json_decref(json);
    return has;
}

/* Somebody else may sit on the port; where that cannot be told, the answer counts. */
static bool is_ours(struct probe *probe)
{
    struct family family;
    bool ours = true;

    tn_family_init(&family, &probe->job->handle.context->memory);
    if (tn_family_add(&family, probe->keeper) == TENON_OK && tn_family_add(&family, probe->process) == TENON_OK)
        ours = tn_family_listens(&family, probe->port) != 0;
    tn_family_clear(&family);
    if (!ours)
        snprintf(probe->said, sizeof probe->said, "another program answers on port %d", (int)probe->port);
    return ours;
}

static void note_ready(struct probe *probe)
{
    const struct local_job *local = probe->job->inside;
    struct tenon_context *context = probe->job->handle.context;
    json_t *json = json_object();
    struct failure failure;

    tn_failure_init(&failure, &context->memory, &context->secrets);
    if (json != NULL && tn_json_set_integer(json, "ready_ms", tn_wall(context)))
        probe->ready = tn_job_write_file(local->folder, LOCAL_READY, json, false, &failure) == TENON_OK;
    if (!probe->ready)
        snprintf(probe->said, sizeof probe->said, "%.190s", failure.message != NULL ? failure.message : "out of memory");
    tn_failure_clear(&failure);
    json_decref(json);
}

static tenon_status probe_step(struct co *co)
{
    struct probe *probe = TN_CONTAINER(co, struct probe, co);

    CO_BEGIN(co);
    ask(probe, probe->health, "the health of the server");
    AWAIT(co, !tn_co_running(&probe->request.co));
    if (answered_well(probe, probe->health)) {
        ask(probe, "/v1/models", "the models of the server");
        AWAIT(co, !tn_co_running(&probe->request.co));
        if (has_models(probe) && is_ours(probe))
            note_ready(probe);
    }
    CO_END(co);
    return TENON_OK;
}

static void probe_free(struct probe *probe)
{
    const struct memory *memory = &probe->job->handle.context->memory;

    tn_co_stop(&probe->co);
    tn_request_clear(&probe->request);
    tn_release(memory, probe->health);
    tn_release(memory, probe->key);
    tn_release(memory, probe);
}

/* What of the server's spec the probe needs. */
static bool read_spec(struct probe *probe, struct failure *failure)
{
    const struct local_job *local = probe->job->inside;
    struct tenon_context *context = probe->job->handle.context;
    json_t *spec = NULL;
    const char *key;

    if (tn_job_read_file(local->folder, LOCAL_SPEC, &spec, failure) == TENON_OK) {
        key = tn_json_text_or(spec, "key", "");
        probe->health = tn_copy(&context->memory, tn_json_text_or(spec, "health", "/health"));
        probe->key = tn_copy(&context->memory, key);
        if (tn_secrets_add(&context->secrets, key) != TENON_OK) {
            tn_release(&context->memory, probe->key);
            probe->key = NULL;
        }
    }
    json_decref(spec);
    return probe->health != NULL && probe->key != NULL;
}

tenon_status tn_probe_start(tenon_job *job, const struct report *report)
{
    struct tenon_context *context = job->handle.context;
    struct local_job *local = job->inside;
    struct probe *probe = tn_alloc(&context->memory, sizeof *probe);
    struct failure ignored;
    tenon_status status = TENON_OK;

    if (probe == NULL)
        return TENON_ERROR_MEMORY;
    tn_failure_init(&ignored, &context->memory, NULL);
    probe->job = job;
    probe->port = (int32_t)tn_json_integer(report->state, "port", 0);
    probe->keeper = tn_local_process(report->state, "keeper").id;
    probe->process = tn_local_process(report->state, "process").id;
    tn_request_init(&probe->request, context);
    if (read_spec(probe, &ignored)) {
        local->probe = probe;
        tn_co_start(&probe->co, context, probe_step, &job->co);
    } else {
        probe_free(probe);
        status = TENON_ERROR_IO;
    }
    tn_failure_clear(&ignored);
    return status;
}

bool tn_probe_take(tenon_job *job)
{
    struct local_job *local = job->inside;
    const struct memory *memory = &job->handle.context->memory;

    if (local->probe == NULL || tn_co_running(&local->probe->co))
        return false;
    tn_release(memory, local->said);
    local->said = local->probe->ready ? NULL : tn_copy(memory, local->probe->said);
    tn_probe_clear(job);
    return true;
}

void tn_probe_clear(tenon_job *job)
{
    struct local_job *local = job->inside;

    if (local->probe != NULL)
        probe_free(local->probe);
    local->probe = NULL;
}
