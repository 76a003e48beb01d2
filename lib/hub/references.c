/* tenon_hub_references: branches, tags, conversions and pull requests. */
#include "folder.h"
#include "json.h"
#include "operation.h"

struct references {
    struct hub_task base;
    struct request request;
    json_t *json;
    size_t group; /* where the rows are */
    size_t index;
};

static const struct {
    const char *key;
    int32_t kind;
} groups[] = {
    { "branches", TENON_REFERENCE_BRANCH },
    { "tags", TENON_REFERENCE_TAG },
    { "converts", TENON_REFERENCE_CONVERSION },
    { "pullRequests", TENON_REFERENCE_PULL_REQUEST },
};

enum { GROUPS = sizeof groups / sizeof groups[0] };

/* Pushes rows as long as there is room; TENON_AGAIN when more are left. */
static tenon_status push_some(struct references *references)
{
    struct tenon_task *task = &references->base.task;
    tenon_status status = TENON_OK;

    while (status == TENON_OK && references->group < GROUPS && tn_task_has_room(task)) {
        json_t *item = json_array_get(tn_json_member(references->json, groups[references->group].key), references->index++);
        tenon_reference row = { .struct_size = sizeof row, .kind = groups[references->group].kind };

        if (item == NULL) {
            references->group++;
            references->index = 0;
            continue;
        }
        row.name = tn_json_text(item, "name");
        row.reference = tn_json_text(item, "ref");
        row.commit = tn_json_text(item, "targetCommit");
        status = tn_task_push(task, &row);
    }
    return status == TENON_OK && references->group < GROUPS ? TENON_AGAIN : status;
}

/* Adds a branch as a hub would tell of it. */
static tenon_status add_branch(struct references *references, const char *branch, json_t *branches)
{
    struct failure *failure = &references->base.task.failure;
    struct repository named = references->base.repository;
    char commit[41];
    json_t *item;
    tenon_status status;

    named.revision = (char *)(uintptr_t)branch;
    status = tn_folder_open_revision(references->base.hub, &named, commit, NULL, failure);
    if (status != TENON_OK)
        return status;
    item = json_pack("{s:s, s:s+, s:s}", "name", branch, "ref", "refs/heads/", branch, "targetCommit", commit);
    return json_array_append_new(branches, item) == 0 ? TENON_OK : tn_fail_memory(failure);
}

/* The same answer as a hub would give. */
static tenon_status read_folder(struct references *references)
{
    struct tenon_task *task = &references->base.task;
    json_t *branches = json_array();
    struct names names;
    tenon_status status = branches != NULL ? TENON_OK : tn_fail_memory(&task->failure);

    tn_names_init(&names, &task->handle.context->memory);
    if (status == TENON_OK)
        status = tn_folder_branches(references->base.hub, &references->base.repository, &names, &task->failure);
    if (status == TENON_OK && names.count == 0)
        status = add_branch(references, "main", branches);
    for (size_t i = 0; i < names.count && status == TENON_OK; i++)
        status = add_branch(references, names.at[i], branches);
    references->json = json_pack("{s:o}", "branches", branches);
    tn_names_clear(&names);
    return status == TENON_OK && references->json == NULL ? tn_fail_memory(&task->failure) : status;
}

static tenon_status references_step(struct co *co)
{
    struct references *references = TN_CONTAINER(co, struct references, base.task.co);
    struct tenon_task *task = &references->base.task;
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (references->base.hub->folder != NULL)
        status = read_folder(references);
    else if (tn_hub_is_offline(references->base.hub, references->base.policy))
        status = tn_hub_fail_offline(&task->failure, "the list of branches");
    else {
        tn_hub_api(references->base.hub, &references->base.repository, &references->request.url);
        tn_text_add(&references->request.url, "/refs?include_prs=1");
        references->request.decode = true;
        tn_hub_request(references->base.hub, &references->request, "the list of branches");
        tn_request_start(&references->request, co);
        AWAIT(co, !tn_co_running(&references->request.co));
        status = references->request.co.status;
        if (status == TENON_OK)
            status = tn_response_json(&references->request, &references->json);
        if (status != TENON_OK)
            status = tn_task_fail_from(task, &references->request.failure);
    }
    if (status == TENON_OK)
        status = tn_task_set_json(task, references->json);
    if (status == TENON_OK)
        AWAIT(co, (status = push_some(references)) != TENON_AGAIN);
    CO_END(co);
    return status;
}

static void references_clear(struct tenon_task *task)
{
    struct references *references = TN_CONTAINER(task, struct references, base.task);

    tn_request_clear(&references->request);
    json_decref(references->json);
    references->json = NULL;
    tn_hub_task_clear(&references->base);
}

static const struct operation operation = { .name = "listing branches", .size = sizeof(struct references),
                                            .row = &tn_row_reference, .step = references_step, .clear = references_clear };

static tenon_status references_new(tenon_hub *hub, const char *repository, const tenon_repository_options *given, tenon_task **task)
{
    tenon_repository_options options;
    struct references *references = NULL;
    tenon_status status = tn_options(hub->handle.context, given, &options, sizeof options);

    if (status == TENON_OK)
        status = tn_hub_task_new(hub, &operation, repository, options.revision, options.policy, &references);
    if (status == TENON_OK) {
        tn_request_init(&references->request, hub->handle.context);
        *task = &references->base.task;
    }
    return status;
}

tenon_status tenon_hub_references(tenon_hub *hub, const char *repository, const tenon_repository_options *options,
                                  tenon_task **task)
{
    TN_HUB_CALL(hub, references_new(hub, repository, options, &made), task);
}
