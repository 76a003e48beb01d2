#define _GNU_SOURCE
#include "support.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "family.h"

/*
 * A family of processes: a parent with a child of its own group, a child of its own session, and what one left behind. Each
 * says its id into a pipe, and all end when the test lets go of another.
 */

enum { PARENT, GROUPED, SESSION, ORPHAN, MEMBERS };

#define MARK "TENON_TEST_FAMILY=yes"

static struct memory memory;
static int32_t ids[MEMBERS];
static int say[2], hold[2];
static int listener;
static int32_t port;

static void live(int member)
{
    int32_t word[2] = { member, (int32_t)getpid() };
    char byte;

    if (write(say[1], word, sizeof word) != sizeof word)
        _exit(1);
    close(hold[1]);
    /* Until the other side is closed. */
    if (read(hold[0], &byte, 1) < 0)
        _exit(1);
    _exit(0);
}

static void start(int member, void (*before)(void))
{
    pid_t child = fork();

    if (child == 0) {
        if (before != NULL)
            before();
        live(member);
    }
    assert_true(child > 0);
}

static void new_group(void)
{
    setpgid(0, 0);
}

static void new_session(void)
{
    setsid();
}

/* Its parent ends at once, so that somebody else takes it over. */
static void leave_orphan(void)
{
    pid_t child = fork();

    if (child == 0) {
        if (fork() == 0)
            live(ORPHAN);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static int listen_somewhere(int family)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = family == AF_INET ? sizeof four : sizeof six;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, address, size) == 0 && listen(fd, 1) == 0 && getsockname(fd, address, &size) == 0)
        port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
    else if (fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    assert_int_equal(pipe(say), 0);
    assert_int_equal(pipe(hold), 0);
    listener = listen_somewhere(AF_INET);
    assert_true(listener >= 0);
    if (fork() == 0) {
        start(GROUPED, new_group);
        start(SESSION, new_session);
        leave_orphan();
        live(PARENT);
    }
    for (int i = 0; i < MEMBERS; i++) {
        int32_t word[2];

        assert_int_equal(read(say[0], word, sizeof word), sizeof word);
        ids[word[0]] = word[1];
    }
    close(listener);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(hold[1]);
    close(hold[0]);
    close(say[0]);
    close(say[1]);
    waitpid(ids[PARENT], NULL, 0);
    return 0;
}

static const struct relative *find(const struct family *family, int32_t id)
{
    const struct relative *found = NULL;

    for (size_t i = 0; i < family->count; i++)
        if (family->items[i].process.id == id)
            found = &family->items[i];
    assert_int_equal(found != NULL, tn_family_has(family, id));
    return found;
}

static void descendants_are_found(void **state)
{
    struct family family;

    (void)state;
    tn_family_init(&family, &memory);
    assert_int_equal(tn_family_add(&family, ids[PARENT]), TENON_OK);
    assert_int_equal(family.count, 3);
    for (int i = PARENT; i <= SESSION; i++) {
        const struct relative *relative = find(&family, ids[i]);
        const struct process now = tn_process_find(ids[i]);

        assert_non_null(relative);
        assert_true(now.start != 0);
        assert_int_equal(relative->process.start, now.start);
        assert_int_equal(relative->group, i == PARENT ? (int32_t)getpgrp() : ids[i]);
        assert_int_equal(relative->parent, i == PARENT ? (int32_t)getpid() : ids[PARENT]);
        assert_false(relative->ended);
    }
    /* Once is enough, and one that got away does not come by itself. */
    assert_int_equal(tn_family_add(&family, ids[PARENT]), TENON_OK);
    assert_int_equal(tn_family_add(&family, ids[SESSION]), TENON_OK);
    assert_int_equal(family.count, 3);
    assert_null(find(&family, ids[ORPHAN]));
    assert_int_equal(tn_family_add(&family, ids[ORPHAN]), TENON_OK);
    assert_int_equal(family.count, 4);
    /* None of those that are no process. */
    assert_int_equal(tn_family_add(&family, 0), TENON_OK);
    assert_int_equal(tn_family_add(&family, -1), TENON_OK);
    assert_int_equal(tn_family_add(&family, INT32_MAX), TENON_OK);
    assert_int_equal(family.count, 4);
    tn_family_remove(&family, ids[PARENT]);
    tn_family_remove(&family, ids[PARENT]);
    assert_int_equal(family.count, 3);
    assert_null(find(&family, ids[PARENT]));
    assert_non_null(find(&family, ids[ORPHAN]));
    tn_family_clear(&family);
    tn_family_clear(&family);
    assert_true(tn_family_is_gone(&family));
}

static void the_end_is_seen(void **state)
{
    struct family family;
    siginfo_t info;

    (void)state;
    tn_family_init(&family, &memory);
    assert_int_equal(tn_family_add(&family, ids[PARENT]), TENON_OK);
    assert_false(tn_family_is_gone(&family));
    for (int i = MEMBERS - 1; i >= PARENT; i--)
        kill(ids[i], SIGKILL);
    /* It waits to be reaped, by us. */
    assert_int_equal(waitid(P_PID, (id_t)ids[PARENT], &info, WEXITED | WNOWAIT), 0);
    tn_family_clear(&family);
    tn_family_init(&family, &memory);
    assert_int_equal(tn_family_add(&family, ids[PARENT]), TENON_OK);
    assert_int_equal(family.count, 1);
    assert_true(family.items[0].ended);
    assert_true(tn_family_is_gone(&family));
    assert_int_equal(waitpid(ids[PARENT], NULL, 0), ids[PARENT]);
    tn_family_clear(&family);
    assert_int_equal(tn_family_add(&family, ids[PARENT]), TENON_OK);
    assert_int_equal(family.count, 0);
    tn_family_clear(&family);
}

static void marked_ones_are_found(void **state)
{
    static const char *const arguments[] = { "sleep", "60", NULL };
    static const char *const environments[][3] = { { "A=1", MARK, NULL }, { MARK "x", NULL }, { "X" MARK, NULL } };
    struct process processes[COUNT(environments)];
    struct failure failure;
    struct family family;

    (void)state;
    tn_failure_init(&failure, &memory, NULL);
    for (size_t i = 0; i < COUNT(environments); i++) {
        const struct process_plan plan = { .program = "/bin/sleep", .arguments = arguments, .environment = environments[i], .input = -1, .output = -1 };

        assert_int_equal(tn_process_start(&plan, &processes[i], &failure), TENON_OK);
    }
    tn_family_init(&family, &memory);
    assert_int_equal(tn_family_add_marked(&family, MARK), TENON_OK);
    assert_int_equal(family.count, 1);
    assert_int_equal(family.items[0].process.id, processes[0].id);
    assert_int_equal(tn_family_add_marked(&family, MARK), TENON_OK);
    assert_int_equal(family.count, 1);
    assert_int_equal(tn_family_add_marked(&family, "TENON_TEST_FAMILY=no"), TENON_OK);
    assert_int_equal(family.count, 1);
    tn_family_clear(&family);
    for (size_t i = 0; i < COUNT(environments); i++) {
        kill(processes[i].id, SIGKILL);
        waitpid(processes[i].id, NULL, 0);
    }
    tn_failure_clear(&failure);
}

static void memory_is_measured(void **state)
{
    struct family one, all;
    int64_t alone, together;

    (void)state;
    tn_family_init(&one, &memory);
    tn_family_init(&all, &memory);
    assert_int_equal(tn_family_memory(&one, false), 0);
    tn_family_add(&one, ids[SESSION]);
    tn_family_add(&all, ids[PARENT]);
    alone = tn_family_memory(&one, false);
    together = tn_family_memory(&all, false);
    assert_true(alone > 4096 && alone % 1024 == 0);
    assert_true(together > 2 * alone);
    /* They share nearly everything, so that counts once. */
    assert_true(tn_family_memory(&all, true) < together);
    assert_true(tn_family_memory(&all, true) > 0);
    tn_family_clear(&one);
    tn_family_clear(&all);
}

static void who_listens_is_known(void **state)
{
    struct family family, others;
    int32_t theirs = port;
    int fd;

    (void)state;
    tn_family_init(&family, &memory);
    tn_family_init(&others, &memory);
    tn_family_add(&family, ids[PARENT]);
    tn_family_add(&others, (int32_t)getpid());
    tn_family_remove(&others, (int32_t)getpid());
    assert_int_equal(tn_family_listens(&family, theirs), 1);
    /* Nobody does there. */
    fd = listen_somewhere(AF_INET);
    close(fd);
    assert_int_equal(tn_family_listens(&family, port), -1);
    /* We do, and are none of them. */
    for (int i = 0; i < 2; i++) {
        fd = listen_somewhere(i == 0 ? AF_INET : AF_INET6);
        if (fd >= 0) {
            struct family us;

            assert_int_equal(tn_family_listens(&family, port), 0);
            tn_family_init(&us, &memory);
            tn_family_add(&us, (int32_t)getpid());
            assert_int_equal(tn_family_listens(&us, port), 1);
            tn_family_clear(&us);
            close(fd);
        }
    }
    tn_family_clear(&family);
    assert_int_equal(tn_family_listens(&family, theirs), 0);
    tn_family_clear(&others);
}

/* What cannot be read for want of memory is not seen; what cannot be noted is told. */
static tenon_status look_with(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct family family;
    tenon_status status;

    tn_family_init(&family, &failing);
    status = tn_family_add(&family, ids[PARENT]);
    tn_family_memory(&family, false);
    tn_family_clear(&family);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(look_with);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(descendants_are_found), EACH(the_end_is_seen),      EACH(marked_ones_are_found),
        EACH(memory_is_measured),    EACH(who_listens_is_known), EACH(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
