/* Submitting a job: fetching what it needs, writing down how it is run, and handing it to its supervisor. */
#include <limits.h>
#include <string.h>

#include "engine.h"
#include "file.h"
#include "json.h"
#include "local_job.h"
#include "path.h"

enum { KEY_HEX = 32, LISTING_MS = 50 };

struct submission {
    struct co co;
    tenon_job *job; /* whose part it is */
    struct order order;
    struct lock lock; /* the job's, until its supervisor has it */
    const char *stage;
    struct failure failure; /* also tells how it stands */
    int32_t cause;

    struct tenon_task *part;     /* what is asked of the hub now */
    struct timer timer;
    struct engine_choice choice; /* where there is no recipe */
    struct text pattern;         /* files of the model that the engine needs */
    size_t next;                 /* supply under way */
    const char **paths;          /* of every supply: model, data, inputs */
};

/* ---- before the handle is given ---- */

static tenon_status refuse_image(const struct order *order)
{
    struct failure *failure = &order->context->failure;

    tn_fail(failure, TENON_ERROR_UNSUPPORTED, "the recipe names an image (%s), and jobs of this machine run without one",
            order->recipe.image);
    return tn_hint(failure, "Leave \"image\" out; the command then runs as it would in a shell here.");
}

/* What can be known to be wrong before anything is made. */
static tenon_status check_order(const struct order *order)
{
    const char **paths = tn_alloc_array(&order->context->memory, order->input_count + 1, sizeof *paths);
    const struct ready_order ready = {
        .order = order, .id = "?", .output = "?", .model = order->model.given != NULL ? "?" : NULL,
        .data = order->data.given != NULL ? "?" : NULL, .inputs = paths, .key = order->port >= 0 ? "?" : NULL,
    };
    json_t *spec = NULL;
    tenon_status status = TENON_OK;

    for (size_t i = 0; i < order->input_count && paths != NULL; i++)
        paths[i] = "?";
    if (paths == NULL)
        status = tn_fail_memory(&order->context->failure);
    else if (order->recipe.image != NULL)
        status = refuse_image(order);
    else if (order->has_recipe)
        status = tn_local_spec(&ready, &spec, &order->context->failure);
    json_decref(spec);
    tn_release(&order->context->memory, paths);
    return status;
}

/* ---- what it needs ---- */

/* Supplies are counted through: the model, the data, the inputs. */
static struct supply *supply_at(struct submission *s, size_t index)
{
    return index == 0 ? &s->order.model : index == 1 ? &s->order.data : &s->order.inputs[index - 2];
}

static size_t supply_count(const struct submission *s)
{
    return 2 + s->order.input_count;
}

static void set_stage(struct submission *s, const char *stage)
{
    s->stage = stage;
    tn_job_changed(s->job);
}

/* The failure of the context is ours now. */
static tenon_status take_failure(struct submission *s, int32_t cause)
{
    s->cause = cause;
    return tn_failure_move(&s->failure, &s->order.context->failure);
}

/* Begins to fetch the repository of a supply. */
static tenon_status begin_fetch(struct submission *s, const struct supply *supply)
{
    const char *const chosen[] = { tn_text(&s->pattern), NULL };
    tenon_download_options options = { .struct_size = sizeof options };

    if (supply == &s->order.model) {
        options.revision = s->order.revision;
        options.allow = s->order.recipe.files;
        if (s->choice.engine != NULL)
            options.allow = s->choice.engine->allow != NULL ? s->choice.engine->allow : chosen;
    }
    set_stage(s, "fetching");
    if (tn_hub_snapshot_new(s->order.hub, supply->repository, &options, &s->part) != TENON_OK)
        return take_failure(s, TENON_CAUSE_INPUT);
    tn_task_begin(s->part, &s->co);
    return TENON_OK;
}

/* Takes in what a part has ended with. */
static tenon_status end_part(struct submission *s)
{
    tenon_status status = s->part->co.status;

    if (status < 0) {
        s->cause = TENON_CAUSE_INPUT;
        tn_failure_move(&s->failure, &s->part->failure);
        s->failure.status = status;
    }
    return status < 0 ? status : TENON_OK;
}

static tenon_status keep_path(struct submission *s, size_t index, const char *path)
{
    s->paths[index] = tn_arena_copy(&s->order.arena, path);
    return s->paths[index] != NULL ? TENON_OK : tn_fail_memory(&s->failure);
}

static tenon_status end_fetch(struct submission *s, size_t index)
{
    tenon_status status = end_part(s);

    if (status == TENON_OK)
        status = keep_path(s, index, tn_text(&s->part->text));
    tn_task_drop(s->part);
    s->part = NULL;
    return status;
}

/* ---- which engine, where there is no recipe ---- */

static tenon_status begin_listing(struct submission *s)
{
    tenon_list_options options = { .struct_size = sizeof options, .revision = s->order.revision, .allow = tn_engine_patterns() };

    set_stage(s, "fetching");
    if (tn_hub_list_new(s->order.hub, s->order.model.repository, &options, &s->part) != TENON_OK)
        return take_failure(s, TENON_CAUSE_INPUT);
    tn_task_begin(s->part, &s->co);
    s->part->drops = false;
    return TENON_OK;
}

/* A file of the model, which may be the one to serve; false without memory. */
static bool offer_file(struct submission *s, const char *path)
{
    bool wanted = s->order.file == NULL || strcmp(path, s->order.file) == 0;

    return !wanted || tn_engine_offer(&s->choice, &s->order.context->memory, path);
}

/* Takes the files that are listed by now; true at the end of the listing. */
static bool listing_is_over(struct submission *s)
{
    const struct memory *memory = &s->order.context->memory;
    bool over = !tn_co_running(&s->part->co);
    struct link *link;

    while ((link = tn_list_take(&s->part->rows)) != NULL) {
        struct row *row = TN_CONTAINER(link, struct row, link);

        if (!offer_file(s, ((const tenon_file *)row->data)->path))
            tn_fail_memory(&s->failure);
        s->part->row_bytes -= row->bytes;
        tn_row_free(memory, row);
    }
    /* It stops where rows are not taken, and tells only of its end. */
    if (!over) {
        tn_co_wake(&s->part->co);
        tn_timer_set(s->order.context, &s->timer, LISTING_MS, &s->co);
    }
    return over;
}

static tenon_status end_listing(struct submission *s)
{
    tenon_status status = end_part(s);

    tn_task_drop(s->part);
    s->part = NULL;
    return status == TENON_OK ? s->failure.status : status;
}

/* A model on this machine: the file itself, or what its folder holds. */
static tenon_status look_at_model(struct submission *s, const char *path)
{
    struct folder folder = { NULL };
    const char *name;
    tenon_status status = TENON_OK;

    if (!tn_folder_exists(path))
        return offer_file(s, path) ? TENON_OK : tn_fail_memory(&s->failure);
    status = tn_folder_open(&folder, path, &s->failure);
    while (status == TENON_OK && (name = tn_folder_next(&folder)) != NULL)
        if (!offer_file(s, name))
            status = tn_fail_memory(&s->failure);
    tn_folder_close(&folder);
    return status;
}

static tenon_status settle_engine(struct submission *s)
{
    if (s->choice.engine == NULL)
        s->cause = TENON_CAUSE_REFUSED;
    if (s->choice.engine == NULL && s->order.file != NULL) {
        tn_fail(&s->failure, TENON_ERROR_NOT_FOUND, "the model %s has no file %s that an engine knows", s->order.model.given,
                s->order.file);
        return tn_hint(&s->failure, "Name the file as the repository does, and of one in parts the first.");
    }
    if (s->choice.engine == NULL) {
        tn_fail(&s->failure, TENON_ERROR_UNSUPPORTED, "no engine knows the model %s: it has neither GGUF nor safetensors files",
                s->order.model.given);
        return tn_hint(&s->failure, "Name a recipe: a JSON file that says which program serves it.");
    }
    tn_engine_parts(s->choice.path, &s->pattern);
    return s->pattern.failed ? tn_fail_memory(&s->failure) : TENON_OK;
}

/* The engine may want the one file of the folder that was fetched. */
static tenon_status point_at_file(struct submission *s)
{
    struct text file;
    tenon_status status = TENON_OK;

    if (s->choice.engine == NULL || !s->choice.engine->one_file || !tn_folder_exists(s->paths[0]))
        return TENON_OK;
    tn_text_init(&file, &s->order.context->memory, PATH_MAX);
    tn_path_join(&file, s->paths[0], s->choice.path);
    status = file.failed ? tn_fail_memory(&s->failure) : keep_path(s, 0, tn_text(&file));
    tn_text_clear(&file);
    return status;
}

/* ---- handing it over ---- */

static tenon_status make_spec(struct submission *s, const char *output, json_t **spec)
{
    char key[KEY_HEX + 1];
    const struct ready_order ready = {
        .order = &s->order, .id = s->job->id, .output = output, .model = s->paths[0], .data = s->paths[1],
        .inputs = s->paths + 2, .engine = s->choice.engine, .key = s->order.port >= 0 ? key : NULL,
    };
    tenon_status status = TENON_OK;

    if (ready.key != NULL) {
        tn_random_hex(s->order.context, key, KEY_HEX);
        status = tn_secrets_add(&s->order.context->secrets, key);
    }
    return status == TENON_OK ? tn_local_spec(&ready, spec, &s->failure) : tn_fail_memory(&s->failure);
}

static tenon_status hand_over(struct submission *s)
{
    const struct local_job *local = s->job->inside;
    json_t *job = NULL, *spec = NULL;
    const char *output;
    tenon_status status = tn_job_read_file(local->folder, LOCAL_JOB, &job, &s->failure);

    s->cause = TENON_CAUSE_REFUSED;
    set_stage(s, "starting");
    output = tn_json_text_or(job, "output", "");
    if (status == TENON_OK)
        status = tn_folder_make(output, 0777, &s->failure);
    if (status == TENON_OK)
        status = make_spec(s, output, &spec);
    if (status == TENON_OK)
        status = tn_job_write_file(local->folder, LOCAL_SPEC, spec, true, &s->failure);
    if (status == TENON_OK)
        status = tn_local_start(s->order.context, local->folder, &s->lock, &s->failure);
    json_decref(job);
    json_decref(spec);
    return status;
}

static tenon_status submission_step(struct co *co)
{
    struct submission *s = TN_CONTAINER(co, struct submission, co);
    tenon_status status = TENON_OK;

    CO_BEGIN(co);
    if (!s->order.has_recipe && s->order.model.repository != NULL) {
        status = begin_listing(s);
        if (status == TENON_OK) {
            AWAIT(co, listing_is_over(s));
            status = end_listing(s);
        }
    } else if (!s->order.has_recipe)
        status = look_at_model(s, s->order.model.path);
    if (status == TENON_OK && !s->order.has_recipe)
        status = settle_engine(s);
    for (s->next = 0; status == TENON_OK && s->next < supply_count(s); s->next++)
        if (supply_at(s, s->next)->repository != NULL) {
            status = begin_fetch(s, supply_at(s, s->next));
            if (status == TENON_OK) {
                AWAIT(co, !tn_co_running(&s->part->co));
                status = end_fetch(s, s->next);
            }
        } else
            s->paths[s->next] = supply_at(s, s->next)->path;
    if (status == TENON_OK)
        status = point_at_file(s);
    if (status == TENON_OK)
        status = hand_over(s);
    CO_END(co);
    return status;
}

/* ---- its life ---- */

const char *tn_submission_stage(const struct submission *submission)
{
    return submission->stage;
}

struct co *tn_submission_co(struct submission *submission)
{
    return &submission->co;
}

/* Notes in the folder that it ended here; what cannot be noted there the handle remembers. */
static void note_end(const struct submission *s, int32_t result, int32_t cause, const char *message, const char *hint)
{
    struct local_job *local = s->job->inside;
    const struct memory *memory = &s->order.context->memory;
    struct failure failure;
    json_t *job = NULL, *state = NULL;
    bool noted = false;

    tn_failure_init(&failure, memory, &s->order.context->secrets);
    if (tn_job_read_file(local->folder, LOCAL_JOB, &job, &failure) == TENON_OK)
        state = tn_local_state_new(job);
    if (state != NULL && tn_local_state_end(state, result, cause, message, hint) &&
        tn_json_set_integer(state, "ended_ms", tn_wall(s->order.context)))
        noted = tn_job_write_file(local->folder, LOCAL_STATE, state, true, &failure) == TENON_OK;
    if (!noted) {
        local->cause = cause;
        local->message = tn_copy(memory, message);
        local->hint = tn_copy(memory, hint);
    }
    json_decref(job);
    json_decref(state);
    tn_failure_clear(&failure);
}

static void note_failure(const struct submission *s)
{
    const struct failure *failure = &s->failure;
    int32_t cause = failure->status == TENON_ERROR_DISK_FULL ? TENON_CAUSE_DISK : s->cause;

    note_end(s, TENON_JOB_FAILED, cause, tn_failure_message(failure), failure->hint != NULL ? failure->hint : "");
}

static void submission_free(struct submission *s)
{
    struct tenon_context *context = s->order.context;

    tn_co_stop(&s->co);
    tn_timer_stop(context, &s->timer);
    tn_task_drop(s->part);
    tn_lock_release(&s->lock);
    tn_engine_choice_clear(&s->choice, &context->memory);
    tn_text_clear(&s->pattern);
    tn_failure_clear(&s->failure);
    tn_order_clear(&s->order);
    tn_release(&context->memory, s);
}

/* Nobody will submit what is left of it: without a key it cannot even be found again. */
static void forget_folder(const struct submission *s, const char *folder)
{
    struct failure ignored;

    if (s->order.key != NULL || tn_forked(s->order.context))
        return;
    tn_failure_init(&ignored, &s->order.context->memory, NULL);
    tn_folder_remove(folder, &ignored);
    tn_failure_clear(&ignored);
}

void tn_submission_end(tenon_job *job, bool cancelled)
{
    struct local_job *local = job->inside;
    struct submission *s = local->submission;

    if (s == NULL)
        return;
    local->submission = NULL;
    if (tn_co_running(&s->co) && cancelled)
        note_end(s, TENON_JOB_CANCELLED, TENON_CAUSE_NONE, "the job was stopped", "");
    else if (tn_co_running(&s->co))
        forget_folder(s, local->folder);
    else if (s->co.status < 0)
        note_failure(s);
    submission_free(s);
}

static tenon_status begin(tenon_job *job, struct order *order, struct lock *lock)
{
    struct tenon_context *context = order->context;
    struct local_job *local = job->inside;
    struct submission *s = tn_alloc(&context->memory, sizeof *s);
    const char **paths = tn_arena_alloc(&order->arena, (order->input_count + 2) * sizeof *paths);

    if (s == NULL || paths == NULL) {
        tn_release(&context->memory, s);
        tn_lock_release(lock);
        return tn_fail_memory(&context->failure);
    }
    tn_order_move(&s->order, order);
    s->job = job;
    s->paths = paths;
    s->lock = *lock;
    s->stage = "submitting";
    s->cause = TENON_CAUSE_REFUSED;
    tn_failure_init(&s->failure, &context->memory, &context->secrets);
    tn_text_init(&s->pattern, &context->memory, PATH_MAX);
    local->submission = s;
    tn_co_start(&s->co, context, submission_step, &job->co);
    tn_job_begin(job);
    return TENON_OK;
}

/* Of a job that nobody was told of nothing is left. Where it has a key, whoever submits it again goes on with it. */
static void forget_claim(const struct order *order, const char *name)
{
    struct failure ignored;
    struct text folder;

    if (order->key != NULL)
        return;
    tn_failure_init(&ignored, &order->context->memory, NULL);
    tn_text_init(&folder, &order->context->memory, PATH_MAX);
    tn_local_jobs(order->context, &folder);
    tn_text_format(&folder, "/%s", name);
    if (!folder.failed)
        tn_folder_remove(tn_text(&folder), &ignored);
    tn_text_clear(&folder);
    tn_failure_clear(&ignored);
}

tenon_status tn_local_submit(struct order *order, tenon_job **out)
{
    char name[LOCAL_HEX + 1];
    struct lock lock = { -1 };
    tenon_job *job = NULL;
    tenon_status status = check_order(order);
    bool ours;

    if (status == TENON_OK)
        status = tn_local_claim(order, name, &lock);
    ours = lock.fd >= 0;
    if (status == TENON_OK)
        status = tn_local_handle(order->context, name, &job);
    if (status == TENON_OK && ours)
        status = begin(job, order, &lock);
    else
        tn_lock_release(&lock);
    if (status == TENON_OK)
        *out = job;
    else {
        tn_job_drop(job);
        if (ours)
            forget_claim(order, name);
    }
    return status;
}
