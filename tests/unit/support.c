#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "file.h"

/* ---- memory ---- */

static bool fails_now(struct test_memory *counts)
{
    counts->asked++;
    return counts->fail_at != 0 && (counts->asked == counts->fail_at || (counts->for_good && counts->asked > counts->fail_at));
}

static void *counting_allocate(void *user, size_t size)
{
    struct test_memory *counts = user;
    void *block = fails_now(counts) ? NULL : malloc(size);

    assert_true(size > 0);
    counts->live += block != NULL;
    return block;
}

static void *counting_resize(void *user, void *memory, size_t size)
{
    struct test_memory *counts = user;
    void *block = fails_now(counts) ? NULL : realloc(memory, size);

    assert_true(size > 0);
    counts->live += block != NULL && memory == NULL;
    return block;
}

static void counting_release(void *user, void *memory)
{
    struct test_memory *counts = user;

    counts->live -= memory != NULL;
    free(memory);
}

tenon_allocator test_allocator(struct test_memory *counts)
{
    return (tenon_allocator){ .struct_size = sizeof(tenon_allocator), .user = counts, .allocate = counting_allocate,
                              .resize = counting_resize, .release = counting_release };
}

struct memory test_memory(struct test_memory *counts)
{
    return (struct memory){ counts, counting_allocate, counting_resize, counting_release, NULL };
}

static void fail_once(tenon_status (*scenario)(struct test_memory *counts), size_t fail_at, bool for_good)
{
    struct test_memory counts = { .fail_at = fail_at, .for_good = for_good };
    tenon_status status = scenario(&counts);

    if (status != TENON_OK && status != TENON_ERROR_MEMORY)
        fail_msg("allocation %zu failed%s, and the status is %s", fail_at, for_good ? " for good" : "", tenon_status_name(status));
    if (counts.live != 0)
        fail_msg("allocation %zu failed%s, and %zu blocks are left", fail_at, for_good ? " for good" : "", counts.live);
}

void test_every_failure(tenon_status (*scenario)(struct test_memory *counts))
{
    struct test_memory counts = { 0 };

    assert_int_equal(scenario(&counts), TENON_OK);
    assert_int_equal(counts.live, 0);
    assert_true(counts.asked > 0);
    for (size_t n = 1; n <= counts.asked; n++) {
        fail_once(scenario, n, false);
        fail_once(scenario, n, true);
    }
}

/* ---- time ---- */

static int64_t real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t clock_monotonic(void *user)
{
    struct test_clock *clock = user;

    if (clock->runs && clock->begun_ms == 0)
        clock->begun_ms = real_ms();
    return clock->now_ms + (clock->runs ? real_ms() - clock->begun_ms : 0);
}

static int64_t clock_wall(void *user)
{
    struct test_clock *clock = user;

    return clock->wall_ms;
}

static void clock_random(void *user, uint8_t *bytes, size_t size)
{
    struct test_clock *clock = user;

    memset(bytes, clock->chance, size);
}

tenon_clock test_clock_hooks(struct test_clock *clock)
{
    return (tenon_clock){ .struct_size = sizeof(tenon_clock), .user = clock, .monotonic_ms = clock_monotonic,
                          .wall_ms = clock_wall, .random = clock_random };
}

/* ---- log ---- */

static void keep_record(void *user, const tenon_log_record *record)
{
    struct test_log *log = user;
    int length = snprintf(log->text + log->length, sizeof log->text - log->length, "%d %s %s\n", (int)record->level,
                          record->component, record->text);

    assert_int_equal(record->struct_size, sizeof *record);
    assert_null(strpbrk(record->text, "\n\r"));
    if (length > 0 && log->length + (size_t)length < sizeof log->text)
        log->length += (size_t)length;
    log->text[log->length] = '\0';
    log->count++;
    if (log->also != NULL)
        log->also(log->user);
}

tenon_logger test_logger(struct test_log *log, int32_t level)
{
    return (tenon_logger){ .struct_size = sizeof(tenon_logger), .level = level, .user = log, .write = keep_record };
}

/* ---- contexts ---- */

tenon_status test_try_open(const struct test_hooks *hooks, tenon_context **context)
{
    tenon_context_options options = { .struct_size = sizeof options, .flags = TENON_CONTEXT_NO_ENVIRONMENT };
    tenon_allocator allocator;
    tenon_logger logger;
    tenon_clock clock;

    if (hooks != NULL && hooks->memory != NULL) {
        allocator = test_allocator(hooks->memory);
        options.allocator = &allocator;
    }
    if (hooks != NULL && hooks->log != NULL) {
        logger = test_logger(hooks->log, hooks->level);
        options.logger = &logger;
    }
    if (hooks != NULL && hooks->clock != NULL) {
        clock = test_clock_hooks(hooks->clock);
        options.clock = &clock;
    }
    if (hooks != NULL)
        options.settings = hooks->settings;
    return tenon_context_open(&options, context);
}

tenon_context *test_open(const struct test_hooks *hooks)
{
    tenon_context *context = NULL;

    assert_int_equal(test_try_open(hooks, &context), TENON_OK);
    assert_non_null(context);
    return context;
}

/* ---- files and processes ---- */

char *test_folder_make(void)
{
    const char *above = getenv("TENON_TMP") != NULL ? getenv("TENON_TMP") : "/tmp";
    char *folder = NULL;

    assert_true(asprintf(&folder, "%s/tenon-test-XXXXXX", above) > 0);
    assert_non_null(mkdtemp(folder));
    return folder;
}

void test_folder_remove(char *folder)
{
    struct memory memory = tn_memory(NULL);
    struct failure failure;

    tn_failure_init(&failure, &memory, NULL);
    if (tn_folder_remove(folder, &failure) != TENON_OK)
        print_message("%s\n", failure.message);
    tn_failure_clear(&failure);
    free(folder);
}

char *test_join(const char *folder, const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

void test_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

int test_in_child(void (*body)(void *), void *user)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        body(user);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
