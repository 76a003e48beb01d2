#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

static struct memory memory;
static struct failure failure;
static struct text text;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    tn_text_init(&text, &memory, 100000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_text_clear(&text);
    tn_failure_clear(&failure);
    return 0;
}

/* Runs a shell command and gives what it printed, and how it ended. */
static int run(const char *command, struct process_plan plan, char *printed, size_t size)
{
    const char *const arguments[] = { "sh", "-c", command, NULL }, *const environment[] = { "WORD=given", NULL };
    struct process process;
    size_t length = 0;
    ssize_t got;
    int pair[2], status = 0;

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    plan.program = "/bin/sh";
    plan.arguments = arguments;
    plan.environment = environment;
    plan.output = pair[1];
    if (tn_process_start(&plan, &process, &failure) != TENON_OK)
        fail_msg("%s", failure.message);
    close(pair[1]);
    while ((got = read(pair[0], printed + length, size - 1 - length)) > 0)
        length += (size_t)got;
    printed[length] = '\0';
    close(pair[0]);
    assert_int_equal(waitpid(process.id, &status, 0), process.id);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const struct process_plan plain = { .input = -1, .output = -1 };

static void a_program_runs(void **state)
{
    char printed[1000];

    (void)state;
    assert_int_equal(run("echo $WORD $HOME; echo error >&2; cat; exit 3", plain, printed, sizeof printed), 3);
    assert_string_equal(printed, "given\nerror\n");
}

static void where_and_from_what(void **state)
{
    struct process_plan plan = plain;
    char printed[1000];
    int fd = memfd_create("input", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(write(fd, "content", 7), 7);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    plan.folder = "/usr";
    plan.input = fd;
    assert_int_equal(run("pwd; cat", plan, printed, sizeof printed), 0);
    assert_string_equal(printed, "/usr\ncontent");
    close(fd);
}

/* The host's own files are none of the program's business, even those it forgot to mark. */
static void nothing_is_inherited(void **state)
{
    int fd = open("/dev/null", O_RDONLY);
    char printed[1000];

    (void)state;
    assert_true(fd > 2);
    assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
    run("for d in /proc/self/fd/*; do case ${d##*/} in 0|1|2) ;; *) readlink $d;; esac; done | grep -v -e /proc -e pipe", plain, printed,
        sizeof printed);
    assert_string_equal(printed, "");
    close(fd);
}

/* The set of signals behind a word of /proc/ID/status. */
static unsigned long long signals_after(const char *printed, const char *word)
{
    const char *found = strstr(printed, word);

    assert_non_null(found);
    return strtoull(found + strlen(word), NULL, 16);
}

static void a_session_of_its_own(void **state)
{
    struct process_plan plan = plain;
    char printed[1000];
    long id = 0, group = 0, session = 0;
    sigset_t blocked;

    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGINT, SIG_IGN);
    plan.session = true;
    assert_int_equal(run("cut -d' ' -f1,5,6 /proc/$$/stat; exec grep -e SigBlk -e SigIgn /proc/self/status", plan, printed, sizeof printed), 0);
    assert_int_equal(sscanf(printed, "%ld %ld %ld", &id, &group, &session), 3);
    assert_true(id == group && id == session && id != (long)getsid(0));
    assert_int_equal(signals_after(printed, "SigBlk:"), 0);
    assert_int_equal(signals_after(printed, "SigIgn:") & 1 << (SIGINT - 1), 0);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

static void programs_that_cannot_start(void **state)
{
    const char *const arguments[] = { "x", NULL }, *const environment[] = { NULL };
    struct process_plan plan = { .program = "/no/such/program", .arguments = arguments, .environment = environment, .input = -1, .output = -1 };
    struct process process = { 77, 77 };

    (void)state;
    assert_int_equal(tn_process_start(&plan, &process, &failure), TENON_ERROR_NOT_FOUND);
    assert_non_null(strstr(failure.message, "/no/such/program cannot be started"));
    plan.program = "/etc/passwd";
    assert_int_equal(tn_process_start(&plan, &process, &failure), TENON_ERROR_IO);
    plan.program = "/bin/sh";
    plan.folder = "/no/such/folder";
    assert_int_equal(tn_process_start(&plan, &process, &failure), TENON_ERROR_NOT_FOUND);
    assert_int_equal(process.id, 77);
}

static struct process start_sleep(bool session)
{
    const char *const arguments[] = { "sleep", "1000", NULL }, *const environment[] = { NULL };
    struct process_plan plan = { .program = "/bin/sleep", .arguments = arguments, .environment = environment, .input = -1, .output = -1, .session = session };
    struct process process;

    assert_int_equal(tn_process_start(&plan, &process, &failure), TENON_OK);
    return process;
}

static void alive_until_it_has_ended(void **state)
{
    struct process process = start_sleep(true), self = tn_process_self(), found, other;
    siginfo_t facts;

    (void)state;
    assert_true(process.id > 0 && process.start > 0);
    assert_true(tn_process_alive(&process));
    found = tn_process_find(process.id);
    assert_int_equal(found.start, process.start);
    other = (struct process){ process.id, process.start + 1 };
    assert_false(tn_process_alive(&other));
    /* A signal for another process that had this id does not reach it. */
    tn_process_signal(&other, SIGKILL, false);
    tn_process_signal(&other, SIGKILL, true);
    assert_true(tn_process_alive(&process));
    tn_process_signal(&process, SIGKILL, false);
    /* It has ended when it waits to be reaped. */
    assert_int_equal(waitid(P_PID, (id_t)process.id, &facts, WEXITED | WNOWAIT), 0);
    assert_false(tn_process_alive(&process));
    assert_int_equal(waitpid(process.id, NULL, 0), process.id);
    assert_false(tn_process_alive(&process));
    assert_int_equal(tn_process_find(process.id).start, 0);
    assert_false(tn_process_alive(&(struct process){ 0, 0 }));
    assert_false(tn_process_alive(&(struct process){ -1, 5 }));
    assert_int_equal(self.id, getpid());
    assert_true(tn_process_alive(&self));
}

/* The group is reached while its leader runs, while it waits to be reaped, and when it is gone. */
static void signal_groups(void *user)
{
    (void)user;
    for (int moment = 0; moment < 3; moment++) {
        const char *const arguments[] = { "sh", "-c", "sleep 1000 & echo $!; exec sleep 1000", NULL }, *const environment[] = { "PATH=/bin", NULL };
        struct process_plan plan = { .program = "/bin/sh", .arguments = arguments, .environment = environment, .input = -1, .session = true };
        struct process leader;
        siginfo_t facts;
        char printed[20] = "";
        int pair[2];

        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        plan.output = pair[1];
        assert_int_equal(tn_process_start(&plan, &leader, &failure), TENON_OK);
        close(pair[1]);
        assert_true(read(pair[0], printed, sizeof printed - 1) > 1);
        if (moment > 0) {
            tn_process_signal(&leader, SIGKILL, false);
            assert_int_equal(waitid(P_PID, (id_t)leader.id, &facts, moment == 1 ? WEXITED | WNOWAIT : WEXITED), 0);
        }
        tn_process_signal(&leader, SIGKILL, true);
        /* The pipe ends when the last of them has ended. */
        assert_int_equal(read(pair[0], printed, sizeof printed), 0);
        close(pair[0]);
        if (moment < 2)
            assert_int_equal(waitpid(leader.id, NULL, 0), leader.id);
    }
}

static void a_group_is_signalled(void **state)
{
    (void)state;
    signal_groups(NULL);
}

/* As on systems before Linux 5.3, and in some containers. */
static void signal_groups_without_descriptors(void *user)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { COUNT(rules), rules };

    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    assert_int_equal(syscall(SYS_pidfd_open, getpid(), 0), -1);
    alarm(30);
    signal_groups(user);
}

static void a_group_is_signalled_without_descriptors(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(signal_groups_without_descriptors, NULL), 0);
}

static void odd_names_of_processes(void **state)
{
    char *folder = test_folder_make(), *program = test_join(folder, "a) S 1 (b"), *command = NULL;
    const char *const arguments[] = { "x", "1000", NULL }, *const environment[] = { NULL };
    struct process_plan plan = { .program = program, .arguments = arguments, .environment = environment, .input = -1, .output = -1 };
    struct process process;

    (void)state;
    assert_true(asprintf(&command, "cp /bin/sleep '%s'", program) > 0);
    assert_int_equal(system(command), 0);
    assert_int_equal(tn_process_start(&plan, &process, &failure), TENON_OK);
    assert_true(process.start > 0 && tn_process_alive(&process));
    tn_process_signal(&process, SIGKILL, false);
    assert_int_equal(waitpid(process.id, NULL, 0), process.id);
    free(command);
    free(program);
    test_folder_remove(folder);
}

static void programs_are_found(void **state)
{
    char *folder = test_folder_make(), *path = NULL, *program = test_join(folder, "tool"), *inner = test_join(folder, "sub");

    (void)state;
    assert_true(tn_program_find("sh", "/usr/bin:/bin", &text));
    assert_string_equal(tn_text(&text), "/usr/bin/sh");
    assert_true(asprintf(&path, "/no/such:%s:/bin", folder) > 0);
    assert_false(tn_program_find("tool", path, &text));
    test_write(program, "x");
    assert_false(tn_program_find("tool", path, &text));
    assert_int_equal(chmod(program, 0755), 0);
    assert_true(tn_program_find("tool", path, &text));
    assert_string_equal(tn_text(&text), program);
    assert_int_equal(mkdir(inner, 0777), 0);
    assert_false(tn_program_find("sub", path, &text));
    assert_false(tn_program_find("", path, &text));
    assert_false(tn_program_find("tool", "", &text));
    tn_text_reset(&text);
    assert_true(tn_program_find("/bin/sh", "", &text));
    assert_string_equal(tn_text(&text), "/bin/sh");
    tn_text_reset(&text);
    assert_false(tn_program_find("./no-such-thing", "/bin", &text));
    free(path);
    free(program);
    free(inner);
    test_folder_remove(folder);
}

static void where_ids_mean_something(void **state)
{
    struct text again;

    (void)state;
    tn_text_init(&again, &memory, 1000);
    tn_process_world(&text);
    tn_process_world(&again);
    assert_true(text.length > 40);
    assert_string_equal(tn_text(&text), tn_text(&again));
    tn_text_clear(&again);
}

/* ---- SIGPIPE ---- */

static volatile sig_atomic_t pipes_heard;

static void hear_pipe(int number)
{
    (void)number;
    pipes_heard++;
}

static void write_to_nobody(void)
{
    int pair[2];

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    close(pair[0]);
    assert_int_equal(write(pair[1], "x", 1), -1);
    close(pair[1]);
}

static bool is_blocked(void)
{
    sigset_t blocked;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    return sigismember(&blocked, SIGPIPE) == 1;
}

static bool is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static void broken_pipes_are_not_heard(void **state)
{
    struct pipe_guard outer, inner;

    (void)state;
    signal(SIGPIPE, hear_pipe);
    pipes_heard = 0;
    tn_pipe_block(&outer);
    tn_pipe_block(&inner);
    write_to_nobody();
    tn_pipe_restore(&inner);
    write_to_nobody();
    tn_pipe_restore(&outer);
    assert_int_equal(pipes_heard, 0);
    assert_false(is_blocked());
    write_to_nobody();
    assert_int_equal(pipes_heard, 1);
    signal(SIGPIPE, SIG_DFL);
}

static void a_host_that_blocks_it_itself(void **state)
{
    struct pipe_guard guard;
    sigset_t pipe;

    (void)state;
    signal(SIGPIPE, hear_pipe);
    pipes_heard = 0;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe, NULL);
    tn_pipe_block(&guard);
    write_to_nobody();
    tn_pipe_restore(&guard);
    assert_true(is_blocked());
    assert_false(is_pending());
    /* One that waited before is the host's own and stays. */
    write_to_nobody();
    tn_pipe_block(&guard);
    write_to_nobody();
    tn_pipe_restore(&guard);
    assert_true(is_pending());
    sigprocmask(SIG_UNBLOCK, &pipe, NULL);
    assert_int_equal(pipes_heard, 1);
    signal(SIGPIPE, SIG_DFL);
}

/* ---- small things ---- */

static void chance_differs(void **state)
{
    unsigned char a[1000] = { 0 }, b[1000] = { 0 };

    (void)state;
    tn_system_random(a, sizeof a);
    tn_system_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    tn_system_random(a, 0);
}

static void our_own_folder(void **state)
{
    (void)state;
    tn_library_folder(&text);
    assert_true(tn_text(&text)[0] == '/' || tn_text(&text)[0] == '.');
}

static tenon_status use_processes(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct text found;
    tenon_status status;

    tn_text_init(&found, &failing, 4096);
    tn_program_find("sh", "/no/such/folder:/usr/bin:/bin", &found);
    tn_process_world(&found);
    tn_library_folder(&found);
    status = tn_text_status(&found);
    tn_text_clear(&found);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(use_processes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_runs),
        TEST(where_and_from_what),
        TEST(nothing_is_inherited),
        TEST(a_session_of_its_own),
        TEST(programs_that_cannot_start),
        TEST(alive_until_it_has_ended),
        TEST(a_group_is_signalled),
        TEST(a_group_is_signalled_without_descriptors),
        TEST(odd_names_of_processes),
        TEST(programs_are_found),
        TEST(where_ids_mean_something),
        TEST(broken_pipes_are_not_heard),
        TEST(a_host_that_blocks_it_itself),
        TEST(chance_differs),
        TEST(our_own_folder),
        TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
