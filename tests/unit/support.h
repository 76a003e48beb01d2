/* What the unit tests share: memory that fails when told to, a clock that is set by hand, a log that is kept. */
#ifndef TN_TEST_SUPPORT_H
#define TN_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context.h"
#include "task.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* An allocator that counts, and fails at one moment or from one moment on. */
struct test_memory {
    size_t asked;   /* calls that want memory, so far */
    size_t live;    /* blocks that were not given back */
    size_t fail_at; /* number of the call that fails, from 1; 0: none */
    bool for_good;  /* all later ones fail too */
};

tenon_allocator test_allocator(struct test_memory *counts);
/* The same for internal functions. */
struct memory test_memory(struct test_memory *counts);

/*
 * Runs a scenario with every allocation failing once, first only that one, then all from there on. The scenario opens and
 * frees everything itself and returns how it ended; that must be TENON_OK or TENON_ERROR_MEMORY, and nothing may be left.
 * A failure may go unnoticed where the scenario has told so by returning TENON_OK.
 */
void test_every_failure(tenon_status (*scenario)(struct test_memory *counts));

/* Time as the test says, and "chance" that is always the same. */
struct test_clock {
    int64_t now_ms;
    int64_t wall_ms;
    uint8_t chance;
    bool runs;      /* real time is added */
    int64_t begun_ms;
};

tenon_clock test_clock_hooks(struct test_clock *clock);

struct test_log {
    char text[65536]; /* "level component text\n" for each record; what does not fit is dropped */
    size_t length;
    int count;
    /* Called for each record where it is not NULL. */
    void (*also)(void *user);
    void *user;
};

tenon_logger test_logger(struct test_log *log, int32_t level);

/* A context that reads no environment, with whatever hooks are not NULL; the test fails when it cannot be opened. */
struct test_hooks {
    struct test_memory *memory;
    struct test_clock *clock;
    struct test_log *log;
    int32_t level;
    const char *const *settings;
};

tenon_context *test_open(const struct test_hooks *hooks);
tenon_status test_try_open(const struct test_hooks *hooks, tenon_context **context);

/* A new folder for the test, and its end with all that is in it. */
char *test_folder_make(void);
void test_folder_remove(char *folder);
/* folder/name in memory of its own. */
char *test_join(const char *folder, const char *name);
void test_write(const char *path, const char *text);

/* Runs body in a forked child and returns its exit status; a body that returns ends with 0. */
int test_in_child(void (*body)(void *), void *user);

#endif
