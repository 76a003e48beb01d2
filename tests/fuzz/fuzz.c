#include "fuzz.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "path.h"

const struct memory *fuzz_memory(void)
{
    static struct memory memory;

    if (memory.allocate == NULL)
        memory = tn_memory(NULL);
    return &memory;
}

/* ---- texts ---- */

char *fuzz_text(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1), *tight;

    HOLDS(text != NULL);
    if (size > 0)
        memcpy(text, bytes, size);
    text[size] = '\0';
    /* As long as it is, so that a sanitizer sees whoever reads on. */
    tight = strdup(text);
    HOLDS(tight != NULL);
    free(text);
    return tight;
}

char *fuzz_cut(char *text, const char *end)
{
    char *at = strstr(text, end);

    if (at == NULL)
        return text + strlen(text);
    *at = '\0';
    return at + strlen(end);
}

bool fuzz_is_utf8(const char *text)
{
    size_t left = strlen(text), length = 1;

    for (; left > 0 && length > 0; text += length, left -= length)
        length = tn_utf8_length((const unsigned char *)text, left);
    return length > 0;
}

bool fuzz_is_clean(const char *text)
{
    bool clean = text == NULL || fuzz_is_utf8(text);

    for (const char *c = text; c != NULL && *c != '\0' && clean; c++)
        clean = (unsigned char)*c >= 0x20 && *c != 0x7f;
    return clean;
}

/* ---- a folder ---- */

static char folder[64];

static void remove_folder(void)
{
    struct failure failure;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    tn_folder_remove(folder, &failure);
    tn_failure_clear(&failure);
}

const char *fuzz_folder(void)
{
    if (folder[0] == '\0') {
        /* In memory where there is such a place: thousands of files are made and synced here. */
        snprintf(folder, sizeof folder, "%s/tenon-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        HOLDS(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    return folder;
}

void fuzz_empty_folder(void)
{
    fuzz_folder();
    remove_folder();
    HOLDS(mkdir(folder, 0700) == 0);
}

/* How many folders a link may go up from there. */
static size_t depth_of(const char *path)
{
    size_t depth = 0;

    for (; *path != '\0'; path++)
        depth += *path == '/';
    return depth;
}

/* Does it stay below root? Every file that is laid out lies in true folders, so that counting is enough. */
static bool stays(const char *path, const char *target)
{
    size_t up = 0;

    while (strncmp(target, "../", 3) == 0) {
        target += 3;
        up++;
    }
    return tn_path_is_safe(target, NULL) && up <= depth_of(path);
}

/* A name may be there already, or go through a file or a link: then it is left out. */
static void put(const char *root, const char *name, const char *target, const char *content)
{
    char path[PATH_MAX], parent[PATH_MAX], *real;
    struct failure failure;

    if (!tn_path_is_safe(name, NULL) || strlen(name) > 1000 || (target != NULL && !stays(name, target)))
        return;
    tn_failure_init(&failure, fuzz_memory(), NULL);
    snprintf(path, sizeof path, "%s/%s", root, name);
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (tn_folder_make(parent, 0700, &failure) == TENON_OK && (real = realpath(parent, NULL)) != NULL) {
        if (strcmp(real, parent) == 0 && target != NULL)
            tn_link_make(target, path, &failure);
        else if (strcmp(real, parent) == 0)
            tn_file_replace(path, content, strlen(content), 0600, false, &failure);
        free(real);
    }
    tn_failure_clear(&failure);
}

bool fuzz_lay_out(const char *root, const uint8_t *bytes, size_t size)
{
    bool begins = size > 5 && memcmp(bytes, "==== ", 5) == 0;
    char *text = begins ? fuzz_text(bytes + 5, size - 5) : NULL, *at = text;

    while (begins && *at != '\0') {
        char *next = fuzz_cut(at, "\n==== "), *content = fuzz_cut(at, "\n"), *target = fuzz_cut(at, " -> ");

        put(root, at, *target != '\0' ? target : NULL, content);
        at = next;
    }
    free(text);
    return begins;
}

/* ---- a context ---- */

static tenon_context *current;
static int64_t now_ms;
static uint64_t chance;

static int64_t tell_time(void *user)
{
    (void)user;
    return now_ms;
}

static int64_t tell_wall(void *user)
{
    (void)user;
    return INT64_C(1700000000000) + now_ms;
}

/* The same for every input. */
static void tell_chance(void *user, uint8_t *bytes, size_t size)
{
    (void)user;
    for (size_t i = 0; i < size; i++) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(chance >> 56);
    }
}

tenon_context *fuzz_context(void)
{
    tenon_clock clock = { .struct_size = sizeof clock, .monotonic_ms = tell_time, .wall_ms = tell_wall,
                          .random = tell_chance };
    char home[128];
    const char *const settings[] = { home, "transport.retries=0", "hub.endpoint=https://hub.test", "hub.lock_ms=0", "hub.files=2",
                                     "hub.parts=2", "hub.part_bytes=524288", "job.supervisor=/nowhere/tenon-supervisor", NULL };
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT, .settings = settings,
                                      .clock = &clock };

    current = NULL;
    chance = 1;
    snprintf(home, sizeof home, "home=%s/home", fuzz_folder());
    HOLDS(tenon_context_open(&options, &current) == TENON_OK);
    return current;
}

bool fuzz_goes_on(tenon_status status)
{
    if (status == TENON_AGAIN && tenon_context_step(current, 0) == TENON_AGAIN) {
        int64_t wait_ms = tenon_context_timeout(current);

        /* What no timer ends a descriptor does, of a disk that writes; whoever waits for nothing waits for ever. */
        HOLDS(wait_ms >= 0 || tenon_context_step(current, 60000) != TENON_AGAIN);
        now_ms += wait_ms > 0 ? wait_ms : 0;
    }
    return status == TENON_OK || status == TENON_AGAIN;
}

tenon_status fuzz_finish(tenon_task *task)
{
    tenon_status status = TENON_ERROR_ARGUMENT;
    tenon_error error = { .struct_size = sizeof error };

    if (task == NULL)
        return status;
    while ((status = tenon_task_wait(task, 0)) == TENON_AGAIN)
        fuzz_goes_on(status);
    HOLDS(tenon_task_error(task, &error) == TENON_OK);
    HOLDS(error.status == status);
    if (getenv("FUZZ_TELL") != NULL)
        fprintf(stderr, "%s %s\n", tenon_status_name(status), error.message != NULL ? error.message : "");
    HOLDS(fuzz_is_clean(error.message) && fuzz_is_clean(error.hint));
    tenon_task_free(task);
    return status;
}
