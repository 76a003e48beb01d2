/*
 * Handles in a child of fork: forked URL FOLDER SUPERVISOR
 *
 * While a download and a job are under way the program forks. In the child every function of the header answers MISUSE
 * (calls.h, made by the test, calls them all), the frees only give back memory, and a context of the child's own works. The
 * parent then goes on as if nothing had been.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "tenon.h"

struct handles {
    tenon_context *context;
    tenon_hub *hub;
    tenon_task *task;
    tenon_accelerator *accelerator;
    tenon_job *job;
};

#include "calls.h"

static tenon_context *open_context(const char *folder, const char *supervisor)
{
    char home[4096], program[4096];
    const char *const settings[] = { home, program, "hub.no_token=1", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT,
                                      .settings = settings };
    tenon_context *context;

    snprintf(home, sizeof home, "home=%s", folder);
    snprintf(program, sizeof program, "job.supervisor=%s", supervisor);
    CHECK(tenon_context_open(&options, &context) == TENON_OK);
    return context;
}

/* True for the pair by which libcurl before 8.11 wakes itself: it leads nowhere else, and nobody but libcurl can reach it. */
static int is_pair_of_libcurl(int fd)
{
    struct sockaddr address = { .sa_family = AF_UNSPEC };
    socklen_t size = sizeof address;

    return getsockname(fd, &address, &size) == 0 && address.sa_family == AF_UNIX;
}

/* What is open while all this goes on is closed in whatever the host executes. */
static void check_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] == '.' || fd <= 2 || fd == dirfd(folder) || is_pair_of_libcurl(fd))
            continue;
        CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        count++;
    }
    closedir(folder);
    CHECK(count > 3);
}

static void be_the_child(struct handles *handles, char **words)
{
    tenon_context *context;
    tenon_hub *hub;

    call_everything(handles);
    tenon_context_wake(handles->context);
    tenon_task_cancel(handles->task);
    tenon_context_free(handles->context);
    tenon_hub_free(handles->hub);
    tenon_task_free(handles->task);
    tenon_job_free(handles->job);
    tenon_accelerator_free(handles->accelerator);

    context = open_context(words[2], words[3]);
    CHECK(tenon_hub_open(context, words[1], NULL, &hub) == TENON_OK);
    CHECK(tenon_hub_download(hub, "acme/small", "config.json", NULL, NULL) == TENON_OK);
    tenon_hub_free(hub);
    tenon_context_free(context);
    exit(0);
}

int main(int count, char **words)
{
    tenon_job_options work = { .struct_size = sizeof work, .accelerator = "local:cpu",
                               .recipe = "{\"command\": [\"/bin/true\"]}" };
    tenon_progress progress = { .struct_size = sizeof progress };
    struct handles handles;
    const char *path;
    int status;
    pid_t child;

    CHECK(count == 4);
    handles.context = open_context(words[2], words[3]);
    CHECK(tenon_hub_open(handles.context, words[1], NULL, &handles.hub) == TENON_OK);
    CHECK(tenon_accelerator_open(handles.context, "local:cpu", &handles.accelerator) == TENON_OK);
    CHECK(tenon_job_train(handles.context, &work, &handles.job) == TENON_OK);
    CHECK(tenon_hub_download(handles.hub, "acme/large", "model.bin", NULL, &handles.task) == TENON_OK);
    while (progress.bytes == 0) {
        CHECK(tenon_context_step(handles.context, 1000) >= 0);
        CHECK(tenon_task_progress(handles.task, &progress) == TENON_OK);
    }

    check_descriptors();
    child = fork();
    if (child == 0)
        be_the_child(&handles, words);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    CHECK(tenon_task_state(handles.task) == TENON_AGAIN);
    CHECK(tenon_task_wait(handles.task, -1) == TENON_OK);
    CHECK(tenon_task_text(handles.task, &path) == TENON_OK);
    CHECK(tenon_job_wait(handles.job, TENON_JOB_SUCCEEDED, NULL) == TENON_OK);
    puts(path);
    tenon_context_free(handles.context);
    tenon_job_free(handles.job);
    tenon_accelerator_free(handles.accelerator);
    tenon_hub_free(handles.hub);
    tenon_task_free(handles.task);
    return 0;
}
