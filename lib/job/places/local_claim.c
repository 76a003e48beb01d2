/* Claiming a job: its id, its folder, its key. All of it happens before the caller has the handle. */
#include <limits.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "json.h"
#include "local_job.h"
#include "path.h"

enum { CLAIM_ROUNDS = 100 };

#define KEY_FILE "key" /* holds the job's name; its second name is that of the key */

struct claim {
    struct order *order;
    struct tenon_context *context;
    struct text jobs;
    char name[LOCAL_HEX + 1];
    char key[TN_HEX_MOST + 1]; /* "" for none */
    bool has_key;              /* we have taken it for a folder of ours */
    struct lock lock;
};

static tenon_status open_jobs(struct claim *claim)
{
    struct failure *failure = &claim->context->failure;
    struct text set;
    tenon_status status;

    tn_text_init(&set, &claim->context->memory, PATH_MAX);
    tn_local_jobs(claim->context, &set);
    if (set.length > 0)
        tn_path_absolute(&claim->jobs, tn_text(&set));
    if (set.failed || claim->jobs.failed)
        status = tn_fail_memory(failure);
    else if (claim->jobs.length == 0) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT,
                         "the setting job.folder has no value, and there is no home folder to make one from");
        tn_hint(failure, "Set job.folder (TENON_JOBS) to a folder for the state of jobs.");
    } else
        status = tn_folder_make_durable(tn_text(&claim->jobs), 0700, failure);
    if (status != TENON_OK && failure->hint == NULL)
        tn_hint(failure, "Set job.folder (TENON_JOBS) to a folder that can be written.");
    if (status == TENON_OK && claim->order->key != NULL)
        status = tn_hash_bytes(HASH_SHA256, claim->order->key, strlen(claim->order->key), claim->key, failure);
    tn_text_clear(&set);
    return status;
}

/* Adds jobs/folder/name; "" leaves a part out. */
static void add_path(const struct claim *claim, const char *folder, const char *name, struct text *out)
{
    tn_path_join(out, tn_text(&claim->jobs), folder);
    if (*name != '\0')
        tn_text_format(out, "/%s", name);
}

/* The name of the job that has the key; NOT_FOUND where none has. */
static tenon_status read_key(struct claim *claim, const char *path)
{
    struct failure *failure = &claim->context->failure;
    struct text content;
    tenon_status status;

    tn_text_init(&content, &claim->context->memory, PATH_MAX);
    status = tn_file_read_whole(path, LOCAL_HEX, &content, failure);
    if (status == TENON_OK && !tn_local_is_name(tn_text(&content)))
        status = tn_fail(failure, TENON_ERROR_IO, "%s is damaged", path);
    if (status == TENON_OK)
        memcpy(claim->name, tn_text(&content), sizeof claim->name);
    tn_text_clear(&content);
    return status;
}

/* Where the job's folder is made, under a name that nobody looks at. */
static void add_hidden(const struct claim *claim, struct text *out)
{
    tn_text_format(out, "%s/.%s", tn_text(&claim->jobs), claim->name);
}

/*
 * Gives the folder its own name, where it has none yet: its submitter has taken the key and did not come so far, or was killed
 * then. Whoever comes first does it, so that nobody has to wait for anybody. NOT_FOUND where there is no such job.
 */
static tenon_status show_job(struct claim *claim)
{
    struct failure *failure = &claim->context->failure;
    struct file_facts facts = { 0 };
    struct text folder, hidden;
    tenon_status status;

    tn_text_init(&folder, &claim->context->memory, PATH_MAX);
    tn_text_init(&hidden, &claim->context->memory, PATH_MAX);
    add_path(claim, claim->name, "", &folder);
    add_hidden(claim, &hidden);
    status = folder.failed || hidden.failed ? tn_fail_memory(failure) : tn_file_look(tn_text(&folder), &facts, failure);
    if (status == TENON_OK && !facts.folder) {
        status = tn_file_rename(tn_text(&hidden), tn_text(&folder), failure);
        /* Another one may have been faster. */
        if (status != TENON_OK && tn_folder_exists(tn_text(&folder)))
            status = TENON_OK;
    }
    tn_text_clear(&folder);
    tn_text_clear(&hidden);
    return status;
}

/* The folder of the job that had the key was taken away by hand: the key is free again. One at a time frees it. */
static void free_key(struct claim *claim, const char *path)
{
    struct failure *failure = &claim->context->failure;
    struct text lock_path;
    struct lock lock = { -1 };

    tn_text_init(&lock_path, &claim->context->memory, PATH_MAX);
    add_path(claim, "keys", ".lock", &lock_path);
    if (!lock_path.failed && tn_lock_try(&lock, tn_text(&lock_path), failure) == TENON_OK) {
        if (read_key(claim, path) == TENON_OK && show_job(claim) == TENON_ERROR_NOT_FOUND)
            tn_file_remove(path, failure);
        tn_lock_release(&lock);
    }
    tn_text_clear(&lock_path);
}

/* Finds the job that has the key already; NOT_FOUND where the key is free. */
static tenon_status find_by_key(struct claim *claim)
{
    struct text path;
    tenon_status status = TENON_ERROR_NOT_FOUND;

    tn_text_init(&path, &claim->context->memory, PATH_MAX);
    add_path(claim, "keys", claim->key, &path);
    if (path.failed)
        status = tn_fail_memory(&claim->context->failure);
    else if (*claim->key != '\0')
        status = read_key(claim, tn_text(&path));
    if (status == TENON_OK) {
        status = show_job(claim);
        if (status == TENON_ERROR_NOT_FOUND) {
            free_key(claim, tn_text(&path));
            status = TENON_AGAIN;
        }
    }
    tn_text_clear(&path);
    return status;
}

/* ---- a new folder ---- */

static json_t *make_identity(const struct claim *claim, const char *output)
{
    const struct order *order = claim->order;
    const struct settings *settings = &claim->context->settings;
    json_t *job = json_object(), *labels = json_array();
    char id[32] = "local:";
    bool whole = job != NULL && labels != NULL;

    strcat(id, claim->name);
    for (const char *const *label = order->labels; label != NULL && *label != NULL && whole; label++)
        whole = json_array_append_new(labels, json_string(*label)) == 0;
    whole = whole && tn_json_set_integer(job, "format", LOCAL_FORMAT) && tn_json_set_text(job, "id", id) &&
            tn_json_set_text(job, "mode", tn_mode_word(order->mode)) && tn_json_set_text(job, "name", order->name) &&
            tn_json_set_text(job, "model", order->model.given) && tn_json_set_text(job, "accelerator", order->accelerator) &&
            tn_json_set_text(job, "output", output) && tn_json_set_text(job, "key", *claim->key != '\0' ? claim->key : NULL) &&
            tn_json_set_text(job, "fingerprint", order->fingerprint) &&
            tn_json_set_integer(job, "submitted_ms", tn_wall(claim->context)) &&
            tn_json_set_integer(job, "ready_ms", tn_setting_integer(settings, SETTING_JOB_READY_MS)) &&
            json_object_set(job, "labels", labels) == 0;
    json_decref(labels);
    if (!whole) {
        json_decref(job);
        job = NULL;
    }
    return job;
}

/* Writes what must be there before anybody may see the folder, and takes its lock. */
static tenon_status fill_folder(struct claim *claim, const char *hidden, const char *output)
{
    struct failure *failure = &claim->context->failure;
    const struct memory *memory = &claim->context->memory;
    json_t *job = make_identity(claim, output);
    char *lock = tn_local_path(memory, hidden, LOCAL_LOCK), *key = tn_local_path(memory, hidden, KEY_FILE);
    tenon_status status = TENON_OK;

    if (job == NULL || lock == NULL || key == NULL)
        status = tn_fail_memory(failure);
    if (status == TENON_OK)
        status = tn_lock_try(&claim->lock, lock, failure);
    if (status == TENON_OK && *claim->key != '\0')
        status = tn_file_replace(key, claim->name, LOCAL_HEX, 0600, true, failure);
    if (status == TENON_OK)
        status = tn_job_write_file(hidden, LOCAL_JOB, job, true, failure);
    tn_release(memory, lock);
    tn_release(memory, key);
    json_decref(job);
    return status;
}

/* Takes the key by giving the folder's key file a second name: of many at once one succeeds, the others get AGAIN. */
static tenon_status take_key(struct claim *claim, const char *hidden, const char *key)
{
    struct failure *failure = &claim->context->failure;
    struct text keys, file;
    tenon_status status;

    tn_text_init(&keys, &claim->context->memory, PATH_MAX);
    tn_text_init(&file, &claim->context->memory, PATH_MAX);
    add_path(claim, "keys", "", &keys);
    tn_path_join(&file, hidden, KEY_FILE);
    status = keys.failed || file.failed ? tn_fail_memory(failure) : tn_folder_make_durable(tn_text(&keys), 0700, failure);
    if (status == TENON_OK)
        status = tn_file_link(tn_text(&file), key, failure);
    if (status == TENON_OK) {
        claim->has_key = true;
        status = tn_folder_sync(tn_text(&keys), failure);
    }
    tn_text_clear(&keys);
    tn_text_clear(&file);
    return status == TENON_ERROR_CONFLICT ? TENON_AGAIN : status;
}

/* Makes the job's folder, and then shows it. The key comes first: a job that is to be seen is found by it. */
static tenon_status make_folder(struct claim *claim, const char *hidden, const char *key, const char *output)
{
    struct failure *failure = &claim->context->failure;
    tenon_status status = tn_folder_make(hidden, 0700, failure);

    if (status == TENON_OK)
        status = fill_folder(claim, hidden, output);
    if (status == TENON_OK && *claim->key != '\0')
        status = take_key(claim, hidden, key);
    if (status == TENON_OK)
        status = show_job(claim);
    /* Whoever is told of a job finds it after a power cut, too. */
    if (status == TENON_OK)
        status = tn_folder_sync(tn_text(&claim->jobs), failure);
    return status;
}

/* Nothing is left of a job that could not be made, wherever it came to. */
static void give_up(struct claim *claim, const char *hidden, const char *folder, const char *key)
{
    struct failure ignored;

    tn_failure_init(&ignored, &claim->context->memory, NULL);
    tn_lock_release(&claim->lock);
    if (claim->has_key)
        tn_file_remove(key, &ignored);
    claim->has_key = false;
    tn_folder_remove(hidden, &ignored);
    tn_folder_remove(folder, &ignored);
    tn_failure_clear(&ignored);
}

/* A new job of our own; AGAIN when another one took the key meanwhile. */
static tenon_status claim_new(struct claim *claim)
{
    const char *chosen = claim->order->output;
    struct text hidden, folder, output, key;
    tenon_status status;

    tn_random_hex(claim->context, claim->name, LOCAL_HEX);
    tn_text_init(&hidden, &claim->context->memory, PATH_MAX);
    tn_text_init(&folder, &claim->context->memory, PATH_MAX);
    tn_text_init(&output, &claim->context->memory, PATH_MAX);
    tn_text_init(&key, &claim->context->memory, PATH_MAX);
    add_hidden(claim, &hidden);
    add_path(claim, claim->name, "", &folder);
    add_path(claim, claim->name, LOCAL_OUTPUT, &output);
    add_path(claim, "keys", claim->key, &key);
    if (hidden.failed || folder.failed || output.failed || key.failed)
        status = tn_fail_memory(&claim->context->failure);
    else {
        status = make_folder(claim, tn_text(&hidden), tn_text(&key), chosen != NULL ? chosen : tn_text(&output));
        if (status != TENON_OK)
            give_up(claim, tn_text(&hidden), tn_text(&folder), tn_text(&key));
    }
    tn_text_clear(&hidden);
    tn_text_clear(&folder);
    tn_text_clear(&output);
    tn_text_clear(&key);
    return status;
}

/* ---- a job that has the key already ---- */

static tenon_status compare(const struct claim *claim, const char *folder)
{
    struct failure *failure = &claim->context->failure;
    json_t *job = NULL;
    tenon_status status = tn_job_read_file(folder, LOCAL_JOB, &job, failure);

    if (status == TENON_OK && strcmp(tn_json_text_or(job, "fingerprint", ""), claim->order->fingerprint) != 0) {
        status = tn_fail(failure, TENON_ERROR_CONFLICT, "the job local:%s has this key and was submitted with other options",
                         claim->name);
        tn_hint(failure, "Use another key, or submit exactly what was submitted first.");
    }
    json_decref(job);
    return status;
}

/* Was its submitter killed half-way? Then its lock is ours now, and so is the rest of the work. */
static tenon_status take_over(struct claim *claim, const char *folder)
{
    const struct memory *memory = &claim->context->memory;
    char *lock = tn_local_path(memory, folder, LOCAL_LOCK), *spec = tn_local_path(memory, folder, LOCAL_SPEC),
         *state = tn_local_path(memory, folder, LOCAL_STATE);
    tenon_status status = TENON_OK;

    if (lock == NULL || spec == NULL || state == NULL)
        status = tn_fail_memory(&claim->context->failure);
    else if (!tn_file_exists(spec) && !tn_file_exists(state))
        status = tn_lock_try(&claim->lock, lock, &claim->context->failure);
    if (claim->lock.fd >= 0 && (tn_file_exists(spec) || tn_file_exists(state)))
        tn_lock_release(&claim->lock);
    tn_release(memory, lock);
    tn_release(memory, spec);
    tn_release(memory, state);
    return status == TENON_AGAIN ? TENON_OK : status;
}

/* Finds or makes the job's folder. claim->lock is held afterwards when it is for us to submit it. */
static tenon_status claim_job(struct claim *claim)
{
    tenon_status status = TENON_AGAIN;
    struct text folder;

    for (int round = 0; round < CLAIM_ROUNDS && status == TENON_AGAIN; round++) {
        status = find_by_key(claim);
        if (status == TENON_ERROR_NOT_FOUND)
            status = claim_new(claim);
        else if (status == TENON_OK) {
            tn_text_init(&folder, &claim->context->memory, PATH_MAX);
            add_path(claim, claim->name, "", &folder);
            status = compare(claim, tn_text(&folder));
            if (status == TENON_OK)
                status = take_over(claim, tn_text(&folder));
            tn_text_clear(&folder);
        }
    }
    if (status == TENON_AGAIN)
        status = tn_fail(&claim->context->failure, TENON_ERROR_BUSY, "the key is being taken and freed by others all the time");
    return status;
}

tenon_status tn_local_claim(struct order *order, char *name, struct lock *lock)
{
    struct claim claim = { .order = order, .context = order->context, .lock = { -1 } };
    tenon_status status;

    tn_text_init(&claim.jobs, &order->context->memory, PATH_MAX);
    status = open_jobs(&claim);
    if (status == TENON_OK)
        status = claim_job(&claim);
    if (status == TENON_OK) {
        memcpy(name, claim.name, sizeof claim.name);
        *lock = claim.lock;
    }
    tn_text_clear(&claim.jobs);
    return status;
}
