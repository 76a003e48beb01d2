#define _GNU_SOURCE
#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "durable.h"

enum { FILES = 300, BATCH = 32 };

/* Waits for one file. */
struct writer {
    struct co co;
    struct durable durable;
    int fd;
    bool done;
};

static tenon_context *context;
static char *folder;

/* What the system does when it is asked what has ended. */
static struct {
    int error;  /* it does not tell */
    long least; /* it tells no fewer at first */
    long left;  /* how many have not been told of */
    int orders; /* how often it was asked to begin */
} ending;

static long next_syscall(long number, const long *words)
{
    static long (*next)(long, ...);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

/* The words of io_getevents: which, how many at least, how many at most, ... */
static long get_events(long *words)
{
    long count;

    assert_true(words[1] <= ending.left);
    if (ending.error != 0) {
        errno = ending.error;
        return -1;
    }
    if (ending.least > 0)
        words[1] = ending.least;
    ending.least = 0;
    count = next_syscall(SYS_io_getevents, words);
    ending.left -= count > 0 ? count : 0;
    return count;
}

/* The library's. */
long syscall(long number, ...)
{
    long words[6], result;
    va_list arguments;

    va_start(arguments, number);
    for (size_t i = 0; i < COUNT(words); i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    result = number == SYS_io_getevents ? get_events(words) : next_syscall(number, words);
    ending.orders += number == SYS_io_submit;
    if (number == SYS_io_submit && result > 0)
        ending.left += result;
    return result;
}

static int set_up(void **state)
{
    (void)state;
    memset(&ending, 0, sizeof ending);
    context = test_open(NULL);
    folder = test_folder_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    test_folder_remove(folder);
    return 0;
}

static tenon_status wait_for_disk(struct co *co)
{
    struct writer *writer = TN_CONTAINER(co, struct writer, co);

    CO_BEGIN(co);
    tn_durable_start(&writer->durable, context, writer->fd, co);
    AWAIT(co, !tn_durable_running(&writer->durable));
    writer->done = true;
    CO_END(co);
    return TENON_OK;
}

static void start(struct writer *writer, int number)
{
    char name[16], *path;

    snprintf(name, sizeof name, "%d", number);
    path = test_join(folder, name);
    memset(writer, 0, sizeof *writer);
    writer->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(writer->fd, "content", 7), 7);
    tn_co_start(&writer->co, context, wait_for_disk, NULL);
    free(path);
}

static tenon_status outcome(const struct writer *writer)
{
    struct failure failure;
    tenon_status status;

    tn_failure_init(&failure, &context->memory, NULL);
    status = tn_durable_end(&writer->durable, "the file", &failure);
    assert_int_equal(failure.system_error, writer->durable.error);
    tn_failure_clear(&failure);
    return status;
}

/* More than the system takes at once: the others are waited for. */
static void many_files_become_durable(void **state)
{
    struct writer *writers = calloc(FILES, sizeof *writers);
    int done = 0;

    (void)state;
    for (int i = 0; i < FILES; i++)
        start(&writers[i], i);
    while (done < FILES) {
        tn_loop_step(context, 1000);
        done = 0;
        for (int i = 0; i < FILES; i++)
            done += writers[i].done;
    }
    for (int i = 0; i < FILES; i++) {
        assert_int_equal(outcome(&writers[i]), TENON_OK);
        close(writers[i].fd);
    }
    free(writers);
}

static void those_of_one_turn_are_ordered_together(void **state)
{
    struct writer writers[BATCH];

    (void)state;
    for (int i = 0; i < BATCH; i++)
        start(&writers[i], i);
    tn_loop_step(context, 0);
    assert_int_equal(ending.orders, 1);
    for (int i = 0; i < BATCH; i++) {
        tn_durable_wait(&writers[i].durable, context);
        assert_int_equal(outcome(&writers[i]), TENON_OK);
        tn_co_stop(&writers[i].co);
        close(writers[i].fd);
    }
    assert_int_equal(ending.orders, 1);
}

static void what_is_given_up_in_its_turn_is_not_ordered(void **state)
{
    struct durable durable = { NULL };
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    tn_durable_start(&durable, context, fd, NULL);
    assert_true(tn_durable_running(&durable));
    tn_durable_stop(&durable);
    assert_false(tn_durable_running(&durable));
    close(fd);
    tn_loop_step(context, 0);
    assert_int_equal(ending.orders, 0);
    /* Nor is what still waits when the context ends. */
    tn_durable_start(&durable, context, fd, NULL);
    tenon_context_free(context);
    context = NULL;
    assert_int_equal(ending.orders, 0);
}

static void what_is_no_file_is_a_failure(void **state)
{
    struct writer writer = { .fd = -1 };
    int ends[2];

    (void)state;
    tn_durable_start(&writer.durable, context, -1, NULL);
    tn_durable_wait(&writer.durable, context);
    assert_int_equal(outcome(&writer), TENON_ERROR_IO);
    assert_int_equal(writer.durable.error, EBADF);
    assert_int_equal(pipe(ends), 0);
    tn_durable_start(&writer.durable, context, ends[1], NULL);
    tn_durable_wait(&writer.durable, context);
    assert_int_equal(outcome(&writer), TENON_ERROR_IO);
    assert_int_equal(writer.durable.error, EINVAL);
    close(ends[0]);
    close(ends[1]);
}

static void one_can_be_waited_for(void **state)
{
    struct writer writers[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        start(&writers[i], i);
    tn_loop_step(context, 0);
    for (int i = 2; i >= 0; i--) {
        tn_durable_wait(&writers[i].durable, context);
        assert_false(tn_durable_running(&writers[i].durable));
        assert_int_equal(outcome(&writers[i]), TENON_OK);
        tn_co_stop(&writers[i].co);
        close(writers[i].fd);
    }
}

/* As many as the system tells of at once: nobody waits for one more. */
static void a_whole_batch_can_be_waited_for(void **state)
{
    struct writer writers[BATCH];

    (void)state;
    for (int i = 0; i < BATCH; i++)
        start(&writers[i], i);
    tn_loop_step(context, 0);
    assert_int_equal(ending.left, BATCH);
    ending.least = BATCH;
    tn_durable_wait(&writers[0].durable, context);
    assert_int_equal(ending.left, 0);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(outcome(&writers[i]), TENON_OK);
        tn_co_stop(&writers[i].co);
        close(writers[i].fd);
    }
}

/* Then nobody knows what is durable: all who wait hear that, and what the system still tells of later harms nobody. */
static void a_system_that_does_not_tell_ends_the_waiting(void **state)
{
    struct writer writers[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        start(&writers[i], i);
    tn_loop_step(context, 0);
    ending.error = EINVAL;
    tn_durable_wait(&writers[1].durable, context);
    for (int i = 0; i < 3; i++) {
        assert_false(tn_durable_running(&writers[i].durable));
        assert_int_equal(outcome(&writers[i]), TENON_ERROR_IO);
        assert_int_equal(writers[i].durable.error, EINVAL);
        close(writers[i].fd);
    }
    ending.error = 0;
    while (ending.left > 0 || !writers[2].done)
        tn_loop_step(context, 1000);
    for (int i = 0; i < 3; i++)
        assert_true(writers[i].done);
}

/* Who has stopped waiting is not looked for any more, whether the context goes on or not. */
static void waiting_can_be_given_up(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct writer *writer = malloc(sizeof *writer);

        start(writer, i);
        tn_loop_step(context, 0);
        tn_durable_stop(&writer->durable);
        tn_durable_stop(&writer->durable);
        assert_false(tn_durable_running(&writer->durable));
        tn_co_stop(&writer->co);
        close(writer->fd);
        free(writer);
        if (i == 10)
            while (tn_loop_step(context, 20) == TENON_OK)
                ;
    }
}

static void forked_child_leaves_it_to_the_parent(void **state)
{
    struct writer writer;
    pid_t child;
    int status;

    (void)state;
    start(&writer, 0);
    tn_loop_step(context, 0);
    child = fork();
    if (child == 0) {
        tn_durable_stop(&writer.durable);
        tenon_context_free(context);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    tn_durable_wait(&writer.durable, context);
    assert_int_equal(outcome(&writer), TENON_OK);
    tn_co_stop(&writer.co);
    close(writer.fd);
}

static tenon_status flush_once(struct test_memory *counts)
{
    struct writer writer;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &context);

    if (status != TENON_OK)
        return status;
    start(&writer, 0);
    while (!writer.done)
        tn_loop_step(context, 1000);
    assert_int_equal(outcome(&writer), TENON_OK);
    close(writer.fd);
    tenon_context_free(context);
    return TENON_OK;
}

static void without_memory_it_is_waited_for(void **state)
{
    tenon_context *kept = context;

    (void)state;
    test_every_failure(flush_once);
    context = kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_files_become_durable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_of_one_turn_are_ordered_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_given_up_in_its_turn_is_not_ordered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_can_be_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_whole_batch_can_be_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_system_that_does_not_tell_ends_the_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waiting_can_be_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forked_child_leaves_it_to_the_parent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_it_is_waited_for, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
