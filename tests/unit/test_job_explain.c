#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "explain.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

struct expected {
    int32_t state, cause, retry_helps;
    const char *message;
    const char *hint; /* what the hint holds; NULL: there is none */
};

static void expect(struct ending ending, struct expected expected)
{
    struct explanation explanation;

    if (ending.program == NULL)
        ending.program = "/usr/bin/python3";
    if (ending.tail == NULL)
        ending.tail = "";
    tn_explain(&ending, &memory, &explanation);
    assert_string_equal(tn_text(&explanation.message), expected.message);
    assert_int_equal(explanation.state, expected.state);
    assert_int_equal(explanation.cause, expected.cause);
    assert_int_equal(explanation.retry_helps, expected.retry_helps);
    if (expected.hint == NULL)
        assert_string_equal(tn_text(&explanation.hint), "");
    else if (strstr(tn_text(&explanation.hint), expected.hint) == NULL)
        fail_msg("the hint is: %s", tn_text(&explanation.hint));
    tn_explanation_clear(&explanation);
    tn_explanation_clear(&explanation);
}

static void expect_failure(struct ending ending, int32_t cause, int32_t retry_helps, const char *message, const char *hint)
{
    expect(ending, (struct expected){ TENON_JOB_FAILED, cause, retry_helps, message, hint });
}

static void what_ended_well(void **state)
{
    (void)state;
    expect((struct ending){ .tail = "out of memory\nNo space left on device\n" }, (struct expected){ .state = TENON_JOB_SUCCEEDED, .message = "" });
    expect((struct ending){ .serves = true, .was_ready = true }, (struct expected){ .state = TENON_JOB_SUCCEEDED, .message = "" });
    expect((struct ending){ .by = ENDED_STOP, .exit_code = -1, .signal = SIGTERM, .output = "x" },
           (struct expected){ .state = TENON_JOB_CANCELLED, .message = "the job was stopped" });
}

static void what_ended_well_but_is_not_whole(void **state)
{
    (void)state;
    expect_failure((struct ending){ .output = "adapter.safetensors" }, TENON_CAUSE_OUTPUT, 0,
                   "the job ended well, but did not write adapter.safetensors", "TENON_OUTPUT");
    expect_failure((struct ending){ .serves = true, .output = "x" }, TENON_CAUSE_HEALTH, 0,
                   "python3 ended, with exit code 0, before it was ready to serve", "TENON_PORT");
}

static void limits(void **state)
{
    static const struct {
        enum ended_by by;
        int64_t limit;
        const char *message;
    } rows[] = {
        { ENDED_TIME, 1500, "the job ran longer than its limit of 1500 ms" },
        { ENDED_TIME, 60000, "the job ran longer than its limit of 60 s" },
        { ENDED_MEMORY, 1000, "the job used more memory than its limit of 1000 bytes" },
        { ENDED_MEMORY, INT64_C(1) << 20, "the job used more memory than its limit of 1 MiB" },
        { ENDED_MEMORY, (INT64_C(10) << 30) - 1, "the job used more memory than its limit of 10239 MiB" },
        { ENDED_MEMORY, INT64_C(10) << 30, "the job used more memory than its limit of 10 GiB" },
        { ENDED_MEMORY, INT64_MAX, "the job used more memory than its limit of 8589934591 GiB" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool time = rows[i].by == ENDED_TIME;

        expect_failure((struct ending){ .by = rows[i].by, .exit_code = -1, .signal = SIGKILL, .time_ms = rows[i].limit, .memory_bytes = rows[i].limit },
                       time ? TENON_CAUSE_TIME : TENON_CAUSE_MEMORY, 0, rows[i].message, time ? "expiry_ms" : "memory_bytes");
    }
    expect_failure((struct ending){ .by = ENDED_MEMORY, .exit_code = -1, .signal = SIGKILL }, TENON_CAUSE_MEMORY, 1,
                   "this machine ran out of memory, and the system killed the job", "Close other programs");
}

static void what_we_did_to_it(void **state)
{
    (void)state;
    expect_failure((struct ending){ .by = ENDED_HEALTH, .exit_code = -1, .signal = SIGTERM }, TENON_CAUSE_HEALTH, 1,
                   "the server was not ready in time", "job.ready_ms");
    expect_failure((struct ending){ .by = ENDED_HEALTH, .detail = "HTTP 503: Loading model" }, TENON_CAUSE_HEALTH, 1,
                   "the server was not ready in time: HTTP 503: Loading model", "job.ready_ms");
    expect_failure((struct ending){ .by = ENDED_NO_PORT, .port = 8000 }, TENON_CAUSE_PORT, 1, "port 8000 is taken", "another port");
    expect_failure((struct ending){ .by = ENDED_LOST }, TENON_CAUSE_LOST, 1, "nobody saw how the job ended", "start it again");
    expect_failure((struct ending){ .by = ENDED_LOST, .detail = "the machine was started anew" }, TENON_CAUSE_LOST, 1,
                   "the machine was started anew", "start it again");
}

static void what_could_not_be_started(void **state)
{
    static const struct {
        int32_t error;
        const char *program, *detail, *message, *hint;
        int32_t cause, retry_helps;
    } rows[] = {
        { ENOENT, "vllm", NULL, "vllm: no such program in /bin:/usr/bin", "PATH", TENON_CAUSE_PROGRAM, 0 },
        { ENOENT, "./run.sh", NULL, "./run.sh: no such program, or what its first line names does not exist", "relative path", TENON_CAUSE_PROGRAM, 0 },
        { ENOEXEC, "./x", NULL, "./x: this system cannot run it", "#!", TENON_CAUSE_PROGRAM, 0 },
        { EACCES, "./x", NULL, "./x: it may not be run", "chmod +x", TENON_CAUSE_PROGRAM, 0 },
        { EPERM, "./x", NULL, "./x: it may not be run", "chmod +x", TENON_CAUSE_PROGRAM, 0 },
        { EAGAIN, "./x", NULL, "./x cannot be started: Resource temporarily unavailable", "ulimit", TENON_CAUSE_REFUSED, 1 },
        { ENOMEM, "./x", NULL, "./x cannot be started: Cannot allocate memory", "memory", TENON_CAUSE_REFUSED, 1 },
        { ENOENT, "./x", "the folder /work is gone", "the folder /work is gone", "that folder", TENON_CAUSE_REFUSED, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_failure((struct ending){ .by = ENDED_NO_START, .system_error = rows[i].error, .program = rows[i].program, .path = "/bin:/usr/bin",
                                        .detail = rows[i].detail },
                       rows[i].cause, rows[i].retry_helps, rows[i].message, rows[i].hint);
}

static void what_the_last_lines_tell(void **state)
{
    static const struct {
        int32_t cause;
        const char *tail, *hint;
    } rows[] = {
        { TENON_CAUSE_MEMORY, "Traceback (most recent call last):\n  x\nMemoryError", "batch" },
        { TENON_CAUSE_MEMORY, "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 3 GiB", "batch" },
        { TENON_CAUSE_MEMORY, "terminate called after throwing an instance of 'std::bad_alloc'", "batch" },
        { TENON_CAUSE_MEMORY, "OSError: [Errno 12] Cannot allocate memory", "batch" },
        { TENON_CAUSE_MEMORY, "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "batch" },
        { TENON_CAUSE_MEMORY, "torch.OutOfMemoryError: HIP out of memory", "batch" },
        { TENON_CAUSE_MEMORY, "RuntimeError: CUDA error: out of memory", "batch" },
        { TENON_CAUSE_MEMORY, "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes", "batch" },
        { TENON_CAUSE_MEMORY, "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 8", "batch" },
        { TENON_CAUSE_MEMORY, "llama_model_load: unable to allocate backend buffer", "batch" },
        { TENON_CAUSE_DISK, "OSError: [Errno 28] No space left on device: 'x'", "space" },
        { TENON_CAUSE_DISK, "cp: error writing 'x': Disk quota exceeded", "space" },
        { TENON_CAUSE_USER_CODE, "ModuleNotFoundError: No module named 'torch'", "missing module" },
        { TENON_CAUSE_USER_CODE, "ImportError: libcudart.so.12: cannot open shared object file", "missing module" },
        { TENON_CAUSE_USER_CODE, "ValueError: x", "log" },
        { TENON_CAUSE_USER_CODE, "OSError: [Errno 98] Address already in use", "log" }, /* of one that does not serve */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *last = strrchr(rows[i].tail, '\n');
        char message[200];

        snprintf(message, sizeof message, "python3 ended with exit code 1: %s", last != NULL ? last + 1 : rows[i].tail);
        expect_failure((struct ending){ .exit_code = 1, .tail = rows[i].tail }, rows[i].cause, 0, message, rows[i].hint);
    }
}

/* The engine's last line only says that it leaves. */
static void a_model_that_cannot_be_read(void **state)
{
    static const char llama[] = "0.00.042.531 E llama_model_load: error loading model: failed to load model from m.gguf\n"
                                "0.00.042.531 E llama_model_load: error loading model: tensor 'x' is not within the file bounds\n"
                                "0.00.042.547 E cmn  common_init_: failed to load model 'm.gguf'\n"
                                "0.00.042.937 E srv  llama_server: exiting due to model loading error\n";
    static const char vllm[] = "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge\nRuntimeError: Engine core\n";

    (void)state;
    expect_failure((struct ending){ .exit_code = 1, .tail = llama, .serves = true }, TENON_CAUSE_INPUT, 0,
                   "python3 ended with exit code 1: error loading model: tensor 'x' is not within the file bounds", "cache verify");
    expect_failure((struct ending){ .exit_code = 1, .tail = vllm, .serves = true }, TENON_CAUSE_INPUT, 0,
                   "python3 ended with exit code 1: SafetensorError: Error while deserializing header: HeaderTooLarge", "cache verify");
    /* What killed it has another reason. */
    expect_failure((struct ending){ .exit_code = -1, .signal = SIGKILL, .tail = llama, .serves = true }, TENON_CAUSE_SIGNAL, 1,
                   "python3 was ended by signal 9 (SIGKILL): error loading model: tensor 'x' is not within the file bounds", "killed");
}

static void a_port_that_is_taken(void **state)
{
    static const char *const lines[] = {
        "OSError: [Errno 98] Address already in use", "error: [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
        "Error: listen EADDRINUSE: address already in use", "start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8000",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        char message[200];

        assert_true(tn_says_port_taken(lines[i]));
        snprintf(message, sizeof message, "python3 ended with exit code 1: %s", lines[i]);
        expect_failure((struct ending){ .exit_code = 1, .tail = lines[i], .serves = true }, TENON_CAUSE_PORT, 1, message, "port");
        /* It had the port already: then it is not the reason. */
        expect_failure((struct ending){ .exit_code = 1, .tail = lines[i], .serves = true, .was_ready = true }, TENON_CAUSE_USER_CODE, 0, message, "log");
    }
    assert_false(tn_says_port_taken(""));
    assert_false(tn_says_port_taken("listening on port 8000\n"));
}

static void codes_and_signals(void **state)
{
    static const struct {
        int32_t exit_code, signal, cause, retry_helps;
        const char *message;
    } rows[] = {
        { 1, 0, TENON_CAUSE_USER_CODE, 0, "python3 ended with exit code 1" },
        { 255, 0, TENON_CAUSE_USER_CODE, 0, "python3 ended with exit code 255" },
        { 126, 0, TENON_CAUSE_PROGRAM, 0, "python3 ended with exit code 126" },
        { 127, 0, TENON_CAUSE_PROGRAM, 0, "python3 ended with exit code 127" },
        { 137, 0, TENON_CAUSE_SIGNAL, 1, "python3 ended with exit code 137" },
        { -1, SIGKILL, TENON_CAUSE_SIGNAL, 1, "python3 was ended by signal 9 (SIGKILL)" },
        { -1, SIGSEGV, TENON_CAUSE_SIGNAL, 0, "python3 was ended by signal 11 (SIGSEGV, a bad memory access)" },
        { -1, SIGABRT, TENON_CAUSE_SIGNAL, 0, "python3 was ended by signal 6 (SIGABRT)" },
        { -1, SIGTERM, TENON_CAUSE_SIGNAL, 0, "python3 was ended by signal 15 (SIGTERM)" },
        { -1, SIGILL, TENON_CAUSE_SIGNAL, 0, "python3 was ended by signal 4 (SIGILL, an illegal instruction)" },
        { -1, 64, TENON_CAUSE_SIGNAL, 0, "python3 was ended by signal 64 (a signal)" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_failure((struct ending){ .exit_code = rows[i].exit_code, .signal = rows[i].signal }, rows[i].cause, rows[i].retry_helps, rows[i].message, "");
}

static void the_last_words(void **state)
{
    static const struct {
        const char *tail, *words;
    } rows[] = {
        { "", "" }, { "\n\n", "" }, { "   \n\t\n", "" }, { "one\ntwo\n", ": two" }, { "one\n\n  \n", ": one" },
        { "    import torch\n    ^^^^^^\n", ":     import torch" }, { "SyntaxError: x\n  ~~~^~\n", ": SyntaxError: x" },
        { "a\x1b[31mred\x07\n", ": a?[31mred?" }, { "\xff\n", ": ?" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char message[200];

        snprintf(message, sizeof message, "train ended with exit code 3%s", rows[i].words);
        expect_failure((struct ending){ .exit_code = 3, .program = "train", .tail = rows[i].tail }, TENON_CAUSE_USER_CODE, 0, message, "log");
    }
}

static void a_message_is_one_line_and_not_too_long(void **state)
{
    static char much[20000];
    struct explanation explanation;
    struct ending ending = { .exit_code = 1, .program = "p", .tail = much };

    (void)state;
    for (size_t length = 10; length < sizeof much; length += 997) {
        memset(much, 'x', length);
        much[length] = '\0';
        tn_explain(&ending, &memory, &explanation);
        assert_int_equal(explanation.message.length, strlen(tn_text(&explanation.message)));
        assert_true(explanation.message.length <= 1000);
        assert_int_equal(explanation.cause, TENON_CAUSE_USER_CODE);
        assert_int_equal(strncmp(tn_text(&explanation.message), "p ended with exit code 1", 24), 0);
        tn_explanation_clear(&explanation);
    }
}

static tenon_status explain(struct test_memory *counts)
{
    const struct ending ending = { .exit_code = 1, .program = "/bin/p", .tail = "x\nMemoryError\n" };
    struct memory failing = test_memory(counts);
    struct explanation explanation;
    tenon_status status;

    tn_explain(&ending, &failing, &explanation);
    /* The cause is known without memory too. */
    assert_int_equal(explanation.state, TENON_JOB_FAILED);
    assert_int_equal(explanation.cause, TENON_CAUSE_MEMORY);
    status = tn_text_status(&explanation.message) == TENON_OK ? tn_text_status(&explanation.hint) : TENON_ERROR_MEMORY;
    tn_explanation_clear(&explanation);
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(explain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ended_well),
        cmocka_unit_test(what_ended_well_but_is_not_whole),
        cmocka_unit_test(limits),
        cmocka_unit_test(what_we_did_to_it),
        cmocka_unit_test(what_could_not_be_started),
        cmocka_unit_test(what_the_last_lines_tell),
        cmocka_unit_test(a_model_that_cannot_be_read),
        cmocka_unit_test(a_port_that_is_taken),
        cmocka_unit_test(codes_and_signals),
        cmocka_unit_test(the_last_words),
        cmocka_unit_test(a_message_is_one_line_and_not_too_long),
        cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
