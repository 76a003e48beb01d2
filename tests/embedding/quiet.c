/*
 * What tenon leaves alone: quiet URL FOLDER SUPERVISOR REPORT
 *
 * Calls that succeed and calls that fail, with a host's own locale, signal handlers, masks, folder and environment around
 * them. Nothing is printed by anybody: the report goes to a file. getenv and pthread_create stand in for libc's and note when
 * it is libtenon that calls them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "tenon.h"

enum { OPENINGS = 1000 };

extern char **environ;
static int reads, threads, threads_of_others;

static int is_tenon(void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) != 0 && strstr(info.dli_fname, "libtenon") != NULL;
}

__attribute__((visibility("default"))) char *getenv(const char *name)
{
    size_t length = strlen(name);

    reads += is_tenon(__builtin_return_address(0));
    for (char **row = environ; *row != NULL; row++)
        if (strncmp(*row, name, length) == 0 && (*row)[length] == '=')
            return *row + length + 1;
    return NULL;
}

__attribute__((visibility("default")))
int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *user)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *address = dlsym(RTLD_NEXT, "pthread_create");

    memcpy(&real, &address, sizeof real);
    threads += is_tenon(__builtin_return_address(0));
    threads_of_others++;
    return real(thread, how, start, user);
}

static void on_signal(int number)
{
    (void)number;
}

/* All that a process has one of. */
struct state {
    char locale[256];
    struct sigaction actions[64];
    sigset_t mask, pending;
    char folder[4096];
    mode_t mask_of_files;
    char **environment;
    size_t environment_hash;
};

static struct state look(void)
{
    struct state state;

    memset(&state, 0, sizeof state);
    snprintf(state.locale, sizeof state.locale, "%s", setlocale(LC_ALL, NULL));
    for (int i = 1; i < 64; i++)
        sigaction(i, NULL, &state.actions[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &state.mask);
    sigpending(&state.pending);
    CHECK(getcwd(state.folder, sizeof state.folder) != NULL);
    state.mask_of_files = umask(0);
    umask(state.mask_of_files);
    state.environment = environ;
    for (char **row = environ; *row != NULL; row++)
        for (const char *at = *row; *at != '\0'; at++)
            state.environment_hash = state.environment_hash * 31 + (unsigned char)*at;
    return state;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A job that ends well, one that does not, and one whose program does not exist; and no child that the host must wait for. */
static void run_jobs(tenon_context *context)
{
    static const char *const recipes[] = { "{\"command\": [\"/bin/echo\", \"hello\"]}", "{\"command\": [\"/bin/false\"]}",
                                           "{\"command\": [\"/no/such/program\"]}" };

    for (int i = 0; i < 3; i++) {
        tenon_job_options options = { .struct_size = sizeof options, .accelerator = "local:cpu", .recipe = recipes[i] };
        tenon_job *job = NULL;
        tenon_status status = tenon_job_train(context, &options, &job);

        if (status == TENON_OK)
            status = tenon_job_wait(job, TENON_JOB_SUCCEEDED, NULL);
        CHECK((status == TENON_OK) == (i == 0));
        tenon_job_free(job);
    }
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void work(tenon_context *context, const char *url)
{
    tenon_error error = { .struct_size = sizeof error };
    tenon_plan_options plan = { .struct_size = sizeof plan };
    tenon_hub *hub;

    CHECK(tenon_hub_open(context, url, NULL, &hub) == TENON_OK);
    plan.hub = hub;
    CHECK(tenon_hub_snapshot(hub, "acme/small", NULL, NULL) == TENON_OK);
    CHECK(tenon_hub_download(hub, "acme/none", "config.json", NULL, NULL) < 0);
    CHECK(tenon_context_error(context, &error) == TENON_OK && error.status < 0 && error.message[0] != '\0');
    CHECK(tenon_accelerator_plan(context, "acme/none", &plan, NULL) < 0);
    CHECK(tenon_accelerator_list(context, NULL, NULL) == TENON_OK);
    tenon_hub_free(hub);
    run_jobs(context);
}

static int64_t measure_opening(const tenon_context_options *options)
{
    int64_t start = now_us();

    for (int i = 0; i < OPENINGS; i++) {
        tenon_context *context;

        CHECK(tenon_context_open(options, &context) == TENON_OK);
        tenon_context_free(context);
    }
    return (now_us() - start) * 1000 / OPENINGS;
}

int main(int count, char **words)
{
    char home[4096], program[4096];
    const char *const settings[] = { home, program, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .settings = settings };
    struct sigaction action = { .sa_handler = on_signal };
    struct state before, after;
    tenon_context *context;
    FILE *report;
    int at_opening;

    CHECK(count == 5);
    snprintf(home, sizeof home, "home=%s", words[2]);
    snprintf(program, sizeof program, "job.supervisor=%s", words[3]);
    CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL);
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    before = look();

    CHECK(tenon_context_open(&options, &context) == TENON_OK);
    at_opening = reads;
    CHECK(at_opening > 0);
    work(context, words[1]);
    tenon_context_free(context);
    CHECK(reads == at_opening);

    options.flags = TENON_CONTEXT_NO_ENVIRONMENT;
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
    work(context, words[1]);
    tenon_context_free(context);
    CHECK(reads == at_opening);
    CHECK(threads == 0 && threads_of_others == 0);

    after = look();
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    report = fopen(words[4], "w");
    CHECK(report != NULL);
    fprintf(report, "a context is opened and freed in %.1f us", (double)measure_opening(&options) / 1000);
    options.flags = 0;
    fprintf(report, ", with the environment in %.1f us\n", (double)measure_opening(&options) / 1000);
    fclose(report);
    return 0;
}
