/*
 * Whole operations through the public interface, again and again in one process, with memory that fails when told to.
 *
 *   driver [--set KEY=VALUE] [--hub URL] [--cache FOLDER] [--repository NAME] [--recipe JSON] [--target URL] SCENARIO
 *
 *   fetch   a snapshot of the repository, its rows, the same without the hub
 *   train   a job from its submission to its end, its metrics, its outputs
 *   serve   a job until it is ready, a question to it, its end
 *   chat    a question to the target
 *
 * Each line of the standard input is one round: "N once KEY" or "N good KEY". The Nth allocation of the context fails, or it
 * and all later ones; 0: none does. A job has that key, but none where it is "once", and finds it in MARK. Then the same is
 * done once more in the same context with memory that does not fail, with the key "KEY again"; with "only" in place of "once"
 * it is not. Each round prints one line of JSON:
 *
 *   {"asked": allocations, "left": blocks not given back, "first": {...}, "again": {...}}, both with
 *   "status", and where they have it "message", "job" (its id), "text"
 *
 * Under record.c the record gets a line "said" with the word "job" when a job was submitted, and "end" when it has ended.
 */
#define _GNU_SOURCE
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenon.h"

enum { MOST_SETTINGS = 16, HANGS_S = 120 };

struct memory {
    size_t asked, left, fail_at;
    int for_good;
};

struct arguments {
    const char *settings[MOST_SETTINGS + 1], *hub, *cache, *repository, *recipe, *target, *scenario;
    int setting_count;
};

struct round {
    const struct arguments *arguments;
    struct memory memory;
    tenon_context *context;
    const char *key;
    int keyed; /* the job has it for its own, too */
    json_t *result; /* of the scenario under way */
};

/* ---- memory ---- */

static int fails(struct memory *memory)
{
    memory->asked++;
    return memory->fail_at != 0 && (memory->asked == memory->fail_at || (memory->for_good && memory->asked > memory->fail_at));
}

static void *allocate(void *user, size_t size)
{
    struct memory *memory = user;
    void *block = fails(memory) ? NULL : malloc(size);

    memory->left += block != NULL;
    return block;
}

static void *resize(void *user, void *old, size_t size)
{
    struct memory *memory = user;
    void *block = fails(memory) ? NULL : realloc(old, size);

    memory->left += block != NULL && old == NULL;
    return block;
}

static void release(void *user, void *block)
{
    struct memory *memory = user;

    memory->left -= block != NULL;
    free(block);
}

/* ---- what is said ---- */

static void say(struct round *round, const char *name, const char *text)
{
    json_object_set_new(round->result, name, json_string(text));
}

/* What went wrong, from the task where there is one. */
static tenon_status explain(struct round *round, tenon_task *task, tenon_status status)
{
    tenon_error error = { .struct_size = sizeof error };

    if (status >= 0)
        return status;
    if (task != NULL)
        tenon_task_error(task, &error);
    else if (round->context != NULL)
        tenon_context_error(round->context, &error);
    say(round, "message", error.message != NULL ? error.message : "");
    return status;
}

/* Waits for a task, and gives it back. */
static tenon_status finish(struct round *round, tenon_task *task, tenon_status status)
{
    const char *text = "";

    if (status == TENON_OK)
        status = explain(round, task, tenon_task_wait(task, -1));
    else
        explain(round, NULL, status);
    if (status == TENON_OK && tenon_task_text(task, &text) == TENON_OK && *text != '\0')
        say(round, "text", text);
    tenon_task_free(task);
    return status;
}

/* Whoever records this run learns what its caller knows by now. */
static void tell_record(const char *word)
{
    const char *path = getenv("RECORD");
    FILE *record = path != NULL ? fopen(path, "a") : NULL;

    if (record != NULL) {
        fprintf(record, "said%c%s%c\n", '\0', word, '\0');
        fclose(record);
    }
}

/* ---- scenarios ---- */

static tenon_status fetch(struct round *round)
{
    const struct arguments *a = round->arguments;
    tenon_hub_options options = { .struct_size = sizeof options, .cache = a->cache };
    tenon_download_options offline = { .struct_size = sizeof offline, .policy = TENON_CACHE_OFFLINE };
    tenon_file file = { .struct_size = sizeof file };
    tenon_hub *hub = NULL;
    tenon_task *task = NULL;
    tenon_status status = explain(round, NULL, tenon_hub_open(round->context, a->hub, &options, &hub));

    if (status == TENON_OK) {
        status = tenon_hub_snapshot(hub, a->repository, NULL, &task);
        while (status == TENON_OK && tenon_task_next_file(task, -1, &file) == TENON_OK)
            ;
        status = finish(round, task, status);
    }
    if (status == TENON_OK) {
        task = NULL;
        status = tenon_hub_snapshot(hub, a->repository, &offline, &task);
        status = finish(round, task, status);
    }
    tenon_hub_free(hub);
    return status;
}

/* Submits a job of that kind; what is known of it is said as soon as it is. */
static tenon_status submit(struct round *round, int serves, tenon_job **job)
{
    char mark[256];
    const char *environment[] = { mark, NULL }, *id;
    tenon_job_options options = { .struct_size = sizeof options, .recipe = round->arguments->recipe, .key = round->keyed ? round->key : NULL,
                                  .environment = environment };
    tenon_status status;

    snprintf(mark, sizeof mark, "MARK=%s", round->key);
    status = serves ? tenon_job_serve(round->context, &options, job) : tenon_job_train(round->context, &options, job);
    if (status == TENON_OK)
        status = tenon_job_id(*job, &id);
    if (status == TENON_OK) {
        say(round, "job", id);
        tell_record("job");
    }
    return explain(round, NULL, status);
}

static tenon_status wait_for(struct round *round, tenon_job *job, int32_t state)
{
    tenon_task *task = NULL;
    tenon_status status = tenon_job_wait(job, state, &task);

    return finish(round, task, status);
}

static tenon_status train(struct round *round)
{
    tenon_metric metric = { .struct_size = sizeof metric };
    tenon_task *task = NULL;
    tenon_job *job = NULL;
    tenon_status status = submit(round, 0, &job);

    if (status == TENON_OK)
        status = wait_for(round, job, TENON_JOB_SUCCEEDED);
    if (status == TENON_OK) {
        tell_record("end");
        status = tenon_job_metrics(job, NULL, &task);
        while (status == TENON_OK && tenon_task_next_metric(task, -1, &metric) == TENON_OK)
            ;
        status = finish(round, task, status);
    }
    if (status == TENON_OK) {
        task = NULL;
        status = tenon_job_outputs(job, &task);
        status = finish(round, task, status);
    }
    tenon_job_free(job);
    return status;
}

static tenon_status ask(struct round *round, const char *target)
{
    tenon_chat_options options = { .struct_size = sizeof options, .prompt = "What is a tenon?" };
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_task *task = NULL;
    tenon_status status = tenon_inference_chat(round->context, target, &options, &task);

    while (status == TENON_OK && tenon_task_next_piece(task, -1, &piece) == TENON_OK)
        ;
    return finish(round, task, status);
}

static tenon_status chat(struct round *round)
{
    return ask(round, round->arguments->target);
}

static tenon_status serve(struct round *round)
{
    tenon_stop_options now = { .struct_size = sizeof now, .force = 1 };
    tenon_task *task = NULL;
    tenon_job *job = NULL;
    const char *id = "";
    tenon_status status = submit(round, 1, &job);

    if (status == TENON_OK)
        status = wait_for(round, job, TENON_JOB_RUNNING);
    if (status == TENON_OK && tenon_job_id(job, &id) == TENON_OK)
        status = ask(round, id);
    if (status == TENON_OK) {
        status = tenon_job_stop(job, &now, &task);
        status = finish(round, task, status);
    }
    tenon_job_free(job);
    return status;
}

static const struct scenario {
    const char *name;
    tenon_status (*run)(struct round *round);
} scenarios[] = { { "fetch", fetch }, { "train", train }, { "serve", serve }, { "chat", chat } };

/* ---- rounds ---- */

/* Opens the context where there is none yet, and does it all. */
static json_t *run(struct round *round)
{
    const struct arguments *a = round->arguments;
    tenon_allocator allocator = { .struct_size = sizeof allocator, .user = &round->memory,
                                  .allocate = allocate, .resize = resize, .release = release };
    tenon_context_options options = { .struct_size = sizeof options, .allocator = &allocator, .settings = a->settings };
    tenon_status status = TENON_OK;

    round->result = json_object();
    if (round->context == NULL)
        status = tenon_context_open(&options, &round->context);
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0] && round->context != NULL; i++)
        if (strcmp(scenarios[i].name, a->scenario) == 0)
            status = scenarios[i].run(round);
    say(round, "status", strstr(tenon_status_name(status), "_") + 1);
    if (round->context == NULL) /* nothing yet could hold a message */
        say(round, "message", "no context can be opened");
    return round->result;
}

static void play(const struct arguments *arguments, size_t fail_at, const char *how, const char *key)
{
    struct round round = { .arguments = arguments, .memory = { .fail_at = fail_at, .for_good = strcmp(how, "good") == 0 }, .key = key,
                           .keyed = strcmp(how, "once") != 0 };
    json_t *first, *again;
    size_t asked;
    char other[256];
    char *text;

    alarm(HANGS_S);
    first = run(&round);
    asked = round.memory.asked;
    round.memory.fail_at = 0;
    snprintf(other, sizeof other, "%s again", key);
    round.key = other;
    again = strcmp(how, "only") != 0 ? run(&round) : json_null();
    alarm(0);
    tenon_context_free(round.context);
    again = json_pack("{s:I, s:I, s:o, s:o}", "asked", (json_int_t)asked, "left", (json_int_t)round.memory.left, "first", first, "again", again);
    text = json_dumps(again, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(again);
}

int main(int count, char **words)
{
    struct arguments a = { .scenario = "" };
    const struct {
        const char *name;
        const char **at;
    } texts[] = { { "--hub", &a.hub }, { "--cache", &a.cache }, { "--repository", &a.repository },
                  { "--recipe", &a.recipe }, { "--target", &a.target } };
    char line[256], how[8], key[200];
    size_t fail_at;

    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--set") == 0 && i + 1 < count && a.setting_count < MOST_SETTINGS)
            a.settings[a.setting_count++] = words[++i];
        else if (i == count - 1)
            a.scenario = words[i];
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++)
            if (i + 1 < count && strcmp(words[i], texts[j].name) == 0)
                *texts[j].at = words[++i];
    }
    while (fgets(line, sizeof line, stdin) != NULL && sscanf(line, "%zu %7s %199s", &fail_at, how, key) == 3)
        play(&a, fail_at, how, key);
    return 0;
}
