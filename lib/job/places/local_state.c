#include "local_state.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "path.h"

/* What a state repeats of job.json, so that one file tells everything. */
static const char *const identity[] = { "id", "mode", "name", "model", "accelerator", "labels", "output", "submitted_ms",
                                        "ready_ms" };

struct word {
    int32_t number;
    const char *word;
};

static const struct word causes[] = {
    { TENON_CAUSE_NONE, "none" },           { TENON_CAUSE_INPUT, "input" },     { TENON_CAUSE_REFUSED, "refused" },
    { TENON_CAUSE_PROGRAM, "program" },     { TENON_CAUSE_USER_CODE, "user code" }, { TENON_CAUSE_MEMORY, "memory" },
    { TENON_CAUSE_TIME, "time" },           { TENON_CAUSE_DISK, "disk" },       { TENON_CAUSE_PORT, "port" },
    { TENON_CAUSE_HEALTH, "health" },       { TENON_CAUSE_SIGNAL, "signal" },   { TENON_CAUSE_OUTPUT, "output" },
    { TENON_CAUSE_LOST, "lost" },           { TENON_CAUSE_QUOTA, "quota" },     { TENON_CAUSE_CAPACITY, "capacity" },
    { TENON_CAUSE_IMAGE, "image" },         { TENON_CAUSE_PREEMPTED, "preempted" },
};

static const struct word results[] = {
    { TENON_JOB_UNKNOWN, "unknown" },
    { TENON_JOB_SUCCEEDED, "succeeded" },
    { TENON_JOB_FAILED, "failed" },
    { TENON_JOB_CANCELLED, "cancelled" },
};

static const struct word modes[] = {
    { TENON_MODE_UNKNOWN, "unknown" },
    { TENON_MODE_TRAIN, "train" },
    { TENON_MODE_SERVE, "serve" },
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *word_of(const struct word *words, size_t count, int32_t number)
{
    const char *word = words[0].word;

    for (size_t i = 0; i < count; i++)
        if (words[i].number == number)
            word = words[i].word;
    return word;
}

static int32_t number_of(const struct word *words, size_t count, const char *word)
{
    int32_t number = words[0].number;

    for (size_t i = 0; i < count && word != NULL; i++)
        if (strcmp(words[i].word, word) == 0)
            number = words[i].number;
    return number;
}

const char *tn_cause_word(int32_t cause)
{
    return word_of(causes, COUNT(causes), cause);
}

int32_t tn_cause_number(const char *word)
{
    return number_of(causes, COUNT(causes), word);
}

const char *tn_result_word(int32_t state)
{
    return word_of(results, COUNT(results), state);
}

int32_t tn_result_number(const char *word)
{
    return number_of(results, COUNT(results), word);
}

const char *tn_mode_word(int32_t mode)
{
    return word_of(modes, COUNT(modes), mode);
}

int32_t tn_mode_number(const char *word)
{
    return number_of(modes, COUNT(modes), word);
}

/* ---- files ---- */

tenon_status tn_job_read_file(const char *folder, const char *name, json_t **json, struct failure *failure)
{
    struct text path, content;
    tenon_status status;

    tn_text_init(&path, failure->memory, PATH_MAX);
    tn_text_init(&content, failure->memory, LOCAL_FILE_LIMIT);
    tn_path_join(&path, folder, name);
    if (path.failed)
        status = tn_fail_memory(failure);
    else
        status = tn_file_read_whole(tn_text(&path), LOCAL_FILE_LIMIT, &content, failure);
    if (status == TENON_OK)
        status = tn_json_read(tn_text(&content), content.length, tn_text(&path), json, failure);
    if (status == TENON_OK && !json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
        status = tn_fail(failure, TENON_ERROR_PROTOCOL, "%s is not a JSON object", tn_text(&path));
    }
    tn_text_clear(&content);
    tn_text_clear(&path);
    return status;
}

tenon_status tn_job_write_file(const char *folder, const char *name, const json_t *json, bool durable, struct failure *failure)
{
    struct text path;
    char *content = tn_json_write(failure->memory, json);
    tenon_status status;

    tn_text_init(&path, failure->memory, PATH_MAX);
    tn_path_join(&path, folder, name);
    if (content == NULL || path.failed)
        status = tn_fail_memory(failure);
    else
        status = tn_file_replace(tn_text(&path), content, strlen(content), 0600, true, failure);
    if (status == TENON_OK && durable)
        status = tn_folder_sync(folder, failure);
    tn_text_clear(&path);
    tn_release(failure->memory, content);
    return status;
}

/* ---- states ---- */

json_t *tn_local_state_new(const json_t *job)
{
    json_t *state = json_object();
    bool whole = state != NULL && json_object_set_new(state, "format", json_integer(LOCAL_FORMAT)) == 0;

    for (size_t i = 0; i < COUNT(identity) && whole; i++)
        if (tn_json_member(job, identity[i]) != NULL)
            whole = json_object_set(state, identity[i], tn_json_member(job, identity[i])) == 0;
    if (!whole) {
        json_decref(state);
        state = NULL;
    }
    return state;
}

bool tn_local_state_end(json_t *state, int32_t result, int32_t cause, const char *message, const char *hint)
{
    return tn_json_set_text(state, "phase", PHASE_ENDED) && tn_json_set_text(state, "result", tn_result_word(result)) &&
           tn_json_set_text(state, "cause", tn_cause_word(cause)) && tn_json_set_text(state, "message", message) &&
           tn_json_set_text(state, "hint", hint);
}

bool tn_local_set_process(json_t *json, const char *key, const struct process *process)
{
    json_t *member = json_object();
    bool whole = member != NULL && tn_json_set_integer(member, "id", process->id) &&
                 tn_json_set_integer(member, "start", process->start);

    whole = whole && json_object_set(json, key, member) == 0;
    json_decref(member);
    return whole;
}

struct process tn_local_process(const json_t *json, const char *key)
{
    const json_t *member = tn_json_member(json, key);
    int64_t id = tn_json_integer(member, "id", 0);
    struct process process = { 0, 0 };

    if (id > 0 && id <= INT32_MAX) {
        process.id = (int32_t)id;
        process.start = tn_json_integer(member, "start", 0);
    }
    return process;
}
