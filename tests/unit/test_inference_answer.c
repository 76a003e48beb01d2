#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "json.h"

/* ---- an operation that is told an answer, as a server would tell it ---- */

struct told {
    const char *bytes; /* a stream of events; or with whole a JSON */
    size_t size;
    size_t piece;      /* how many bytes come at once */
    bool whole;
};

struct telling {
    struct tenon_task task;
    struct told told;
    struct answer answer;
};

static tenon_status telling_step(struct co *co)
{
    struct telling *telling = TN_CONTAINER(co, struct telling, task.co);
    const struct told *told = &telling->told;
    tenon_status status = TENON_OK;
    json_t *json = NULL;

    tn_answer_init(&telling->answer, &telling->task);
    for (size_t at = 0; at < told->size && status == TENON_OK && !told->whole; at += told->piece)
        status = tn_answer_feed(&telling->answer, told->bytes + at, told->size - at < told->piece ? told->size - at : told->piece);
    if (status == TENON_OK && told->whole) {
        json = json_loadb(told->bytes, told->size, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        status = tn_answer_take(&telling->answer, json);
        json_decref(json);
    } else if (status == TENON_OK)
        status = tn_answer_end(&telling->answer);
    assert_int_equal(telling->task.failure.status, status);
    return status;
}

static void telling_clear(struct tenon_task *task)
{
    tn_answer_clear(&TN_CONTAINER(task, struct telling, task)->answer);
}

static const struct operation operation = {
    .name = "telling", .size = sizeof(struct telling), .row = &tn_row_piece, .step = telling_step, .clear = telling_clear,
};

static tenon_status tell(tenon_context *context, const struct told *told, tenon_task **task)
{
    struct telling *telling = NULL;
    tenon_status status = tn_task_new(context, &operation, &telling);

    if (status != TENON_OK)
        return status;
    telling->told = *told;
    return tn_task_launch(&telling->task, task);
}

static struct memory memory;
static tenon_context *context;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    context = test_open(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tenon_context_free(context);
    return 0;
}

/* ---- what comes of it ---- */

static void describe(const tenon_piece *piece, struct text *out)
{
    static const char *const kinds[] = { "unknown", "text", "reasoning", "tool", "stop", "usage" };

    assert_true(piece->kind >= 0 && piece->kind <= TENON_PIECE_USAGE);
    assert_true(piece->json[0] == '{');
    tn_text_format(out, "%s", kinds[piece->kind]);
    if (piece->choice != 0)
        tn_text_format(out, " %d", (int)piece->choice);
    if (piece->kind == TENON_PIECE_TOOL)
        tn_text_format(out, " #%d %s %s", (int)piece->tool, piece->tool_id, piece->tool_name);
    if (*piece->text != '\0' || *piece->reasoning != '\0' || *piece->stop_reason != '\0' || *piece->tool_arguments != '\0')
        tn_text_format(out, " <%s%s%s%s>", piece->text, piece->reasoning, piece->stop_reason, piece->tool_arguments);
    if (piece->prompt_tokens != -1 || piece->completion_tokens != -1)
        tn_text_format(out, " %lld %lld", (long long)piece->prompt_tokens, (long long)piece->completion_tokens);
    tn_text_add(out, "; ");
}

/* Adds the pieces, and at the end "= text", or how it failed. */
static tenon_status hear(struct told told, struct text *out)
{
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_error error = { .struct_size = sizeof error };
    tenon_task *task = NULL;
    const char *text = NULL;
    tenon_status status;

    tn_text_reset(out);
    assert_int_equal(tell(context, &told, &task), TENON_OK);
    while ((status = tenon_task_next_piece(task, -1, &piece)) == TENON_OK)
        describe(&piece, out);
    tenon_task_text(task, &text);
    tn_text_format(out, "= %s", text);
    if (status != TENON_DONE) {
        tenon_task_error(task, &error);
        tn_text_format(out, " ! %s", error.message);
        if (*error.code != '\0')
            tn_text_format(out, " [%s]", error.code);
    }
    tenon_task_free(task);
    assert_int_equal(tn_text_status(out), TENON_OK);
    return status == TENON_DONE ? TENON_OK : status;
}

#define CHUNK(delta) "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"
#define TEXT(text) CHUNK("{\"content\":\"" text "\"}")
#define STOP "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct {
    const char *stream;
    tenon_status status;
    const char *heard;
} streams[] = {
    { DONE, TENON_OK, "= " },
    { TEXT("Hel") TEXT("lo") STOP DONE, TENON_OK, "text <Hel>; text <lo>; stop <stop>; = Hello" },
    { CHUNK("{\"role\":\"assistant\",\"content\":null}") TEXT("") TEXT("x") STOP, TENON_OK, "text <x>; stop <stop>; = x" },
    { ": comment\r\n\r\nevent: message\r\ndata: {\"choices\":\r\ndata: []}\r\n\r\n" DONE, TENON_OK, "= " },
    { TEXT("\\u00fc\\n\\\"") DONE, TENON_OK, "text <\xc3\xbc\n\">; = \xc3\xbc\n\"" },
    /* What comes behind the end is not looked at. */
    { DONE "data: nonsense\n\n" TEXT("x"), TENON_OK, "= " },
    /* Reasoning, in both spellings. */
    { CHUNK("{\"reasoning_content\":\"hm\"}") CHUNK("{\"reasoning\":\"so\",\"content\":\"yes\"}") DONE, TENON_OK,
      "reasoning <hm>; reasoning <so>; text <yes>; = yes" },
    /* Tool calls in parts. */
    { CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"add\",\"arguments\":\"\"}}]}")
      CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\"\"}}]}")
      CHUNK("{\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"sub\"}},{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}")
      "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n", TENON_OK,
      "tool #0 c1 add; tool #0   <{\"a\">; tool #1 c2 sub; tool #0   <:1}>; stop <tool_calls>; = " },
    /* Several choices; the text is that of the first. */
    { "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"
      "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n" DONE, TENON_OK, "text 1 <b>; text <a>; stop 1 <length>; = a" },
    /* Completions. */
    { "data: {\"choices\":[{\"text\":\"on\",\"index\":0}]}\n\ndata: {\"choices\":[{\"text\":\"ce\",\"index\":0,\"finish_reason\":\"stop\"}]}\n\n", TENON_OK,
      "text <on>; text <ce>; stop <stop>; = once" },
    /* Usage, with and without choices. */
    { TEXT("x") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n" DONE, TENON_OK, "text <x>; usage 3 4; = x" },
    { "data: {\"usage\":{\"prompt_tokens\":3.0,\"completion_tokens\":\"4\"}}\n\n" DONE, TENON_OK, "usage 3 -1; = " },
    { "data: {\"usage\":{\"prompt_tokens\":-3,\"completion_tokens\":1e300}}\n\ndata: {\"usage\":null}\n\ndata: {\"usage\":[]}\n\n" DONE, TENON_OK, "usage; = " },
    /* What is not known here is handed on with its JSON. */
    { CHUNK("{\"refusal\":\"no\"}") CHUNK("{\"audio\":{\"data\":\"x\"}}") CHUNK("{\"role\":\"assistant\",\"refusal\":\"\"}") DONE, TENON_OK, "unknown; unknown; = " },
    /* Absurd types. */
    { "data: {\"choices\":{}}\n\ndata: {\"choices\":[1,null,[],\"x\",{}]}\n\ndata: {\"choices\":\"x\"}\n\ndata: {}\n\n" DONE, TENON_OK, "= " },
    { CHUNK("\"x\"") CHUNK("[]") CHUNK("{\"content\":7}") CHUNK("{\"content\":{}}") CHUNK("{\"tool_calls\":{}}") CHUNK("{\"tool_calls\":7}") DONE, TENON_OK, "= " },
    { CHUNK("{\"tool_calls\":[1,{\"index\":-1,\"id\":7,\"function\":[]},{\"index\":99999999999},{\"index\":\"1\"}]}") DONE, TENON_OK,
      "tool #0  ; tool #-1  ; tool #-1  ; tool #3  ; = " },
    { "data: {\"choices\":[{\"index\":-5,\"delta\":{\"content\":\"x\"}},{\"index\":1e300,\"delta\":{\"content\":\"y\"}},{\"index\":99999999999,\"text\":\"z\"}]}\n\n"
      DONE, TENON_OK, "text -1 <x>; text <y>; text -1 <z>; = y" },
    { "data: {\"choices\":[{\"finish_reason\":7},{\"finish_reason\":\"\"},{\"finish_reason\":[\"stop\"]}]}\n\n" DONE, TENON_OK, "= " },
    /* Errors in the middle. */
    { TEXT("x") "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"code\":500}}\n\n" DONE, TENON_ERROR_FAILED,
      "text <x>; = x ! the server failed in the middle of the answer: out of memory [server_error]" },
    { "data: {\"object\":\"error\",\"message\":\"too long\",\"code\":400}\n\n", TENON_ERROR_FAILED,
      "=  ! the server failed in the middle of the answer: too long" },
    { "data: {\"error\":\"busy\",\"error_type\":\"overloaded\"}\n\n", TENON_ERROR_FAILED,
      "=  ! the server failed in the middle of the answer: busy [overloaded]" },
    { TEXT("x") "event: error\ndata: plain words\n\n", TENON_ERROR_FAILED, "text <x>; = x ! the server failed in the middle of the answer: plain words" },
    { "event: error\ndata: {\"message\":\"in words\"}\n\n", TENON_ERROR_FAILED, "=  ! the server failed in the middle of the answer: in words" },
    { "event: error\ndata: {}\n\n", TENON_ERROR_FAILED, "=  ! the server failed in the middle of the answer: it gives no reason" },
    { "data: {\"error\":{}}\n\n" DONE, TENON_OK, "= " },
    /* What is cut short. */
    { "", TENON_ERROR_NETWORK, "=  ! the answer was cut short" },
    { TEXT("x"), TENON_ERROR_NETWORK, "text <x>; = x ! the answer was cut short" },
    { TEXT("x") "data: {\"choices\":[{\"delta\"", TENON_ERROR_NETWORK, "text <x>; = x ! the answer was cut short" },
    { TEXT("x") STOP "data: {\"choices\":[{\"delta\"", TENON_OK, "text <x>; stop <stop>; = x" },
    /* What is no JSON. */
    { "data: {\"choices\":\n\n", TENON_ERROR_PROTOCOL, NULL },
    { "data: \xff\n\n", TENON_ERROR_PROTOCOL, NULL },
    { "data: [1]\n\n", TENON_ERROR_PROTOCOL, "=  ! an event of the answer is no JSON object" },
    { "data: {\"choices\":[{\"delta\":{\"content\":\"a\\u0000b\"}}]}\n\n", TENON_ERROR_PROTOCOL, NULL },
    { "data:\n\n", TENON_ERROR_PROTOCOL, NULL },
};

static void streams_become_pieces(void **state)
{
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1 << 20);
    for (size_t i = 0; i < COUNT(streams); i++) {
        size_t size = strlen(streams[i].stream);

        /* Cut in all ways, the same comes of it. */
        for (size_t piece = 1; piece <= size + 1; piece += 1 + piece / 4) {
            tenon_status status = hear((struct told){ streams[i].stream, size, piece, false }, &out);

            if (status != streams[i].status)
                fail_msg("%s: %s, %s", streams[i].stream, tenon_status_name(status), tn_text(&out));
            if (streams[i].heard != NULL)
                assert_string_equal(tn_text(&out), streams[i].heard);
        }
    }
    tn_text_clear(&out);
}

static void whole_answers_become_pieces(void **state)
{
    static const struct {
        const char *json;
        tenon_status status;
        const char *heard;
    } rows[] = {
        { "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],"
          "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}", TENON_OK, "text <Hello>; stop <stop>; usage 1 2; = Hello" },
        { "{\"choices\":[{\"message\":{\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
          "{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}", TENON_OK,
          "reasoning <hm>; tool #0 a f <{}>; tool #1 b g <{}>; stop <tool_calls>; = " },
        { "{\"choices\":[{\"text\":\"once\",\"finish_reason\":\"length\"}]}", TENON_OK, "text <once>; stop <length>; = once" },
        { "{\"choices\":[]}", TENON_OK, "= " },
        { "{}", TENON_ERROR_PROTOCOL, "=  ! the server's answer holds no choices" },
        { "{\"choices\":{}}", TENON_ERROR_PROTOCOL, "=  ! the server's answer holds no choices" },
        { "{\"error\":{\"message\":\"no\",\"code\":\"x\"}}", TENON_ERROR_FAILED, "=  ! the server failed in the middle of the answer: no [x]" },
    };
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1 << 20);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(hear((struct told){ rows[i].json, strlen(rows[i].json), 0, true }, &out), rows[i].status);
        assert_string_equal(tn_text(&out), rows[i].heard);
    }
    tn_text_clear(&out);
}

/* A piece carries the JSON that it came with, and the next one does not change it. */
static void a_piece_has_its_own_json(void **state)
{
    const char stream[] = TEXT("a") "data: {\"choices\":[{\"text\":\"b\"}],\"x\":{\"y\":1}}\n\n" DONE;
    const struct told told = { stream, strlen(stream), 1000, false };
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_task *task = NULL;

    (void)state;
    assert_int_equal(tell(context, &told, &task), TENON_OK);
    assert_int_equal(tenon_task_next_piece(task, -1, &piece), TENON_OK);
    assert_string_equal(piece.json, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}");
    assert_int_equal(tenon_task_next_piece(task, -1, &piece), TENON_OK);
    assert_string_equal(piece.json, "{\"choices\":[{\"text\":\"b\"}],\"x\":{\"y\":1}}");
    assert_int_equal(tenon_task_next_piece(task, -1, &piece), TENON_DONE);
    tenon_task_free(task);
}

static void depth_and_size_are_bounded(void **state)
{
    struct text stream, out;

    (void)state;
    tn_text_init(&stream, &memory, 40 << 20);
    tn_text_init(&out, &memory, 1 << 20);
    tn_text_add(&stream, "data: {\"choices\":");
    for (int i = 0; i < 200000; i++)
        tn_text_add_char(&stream, '[');
    tn_text_add(&stream, "\n\n");
    assert_int_equal(hear((struct told){ tn_text(&stream), stream.length, 4096, false }, &out), TENON_ERROR_PROTOCOL);
    assert_string_equal(tn_text(&out), "=  ! an event of the answer is nested more than 100 levels deep");

    /* One event without end. */
    tn_text_reset(&stream);
    tn_text_add(&stream, "data: {\"x\":\"");
    while (stream.length < (17 << 20))
        tn_text_add(&stream, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    assert_int_equal(hear((struct told){ tn_text(&stream), stream.length, 65536, false }, &out), TENON_ERROR_PROTOCOL);
    assert_string_equal(tn_text(&out), "=  ! an event of the answer is larger than 16777216 bytes");

    /* One JSON of very many pieces, each of which carries it all. */
    tn_text_reset(&stream);
    tn_text_add(&stream, "data: {\"choices\":[{\"text\":\"x\"}");
    for (int i = 0; i < 20000; i++)
        tn_text_add(&stream, ",{\"text\":\"x\"}");
    tn_text_add(&stream, "]}\n\n");
    assert_int_equal(hear((struct told){ tn_text(&stream), stream.length, 65536, false }, &out), TENON_ERROR_PROTOCOL);
    assert_non_null(strstr(tn_text(&out), "! one JSON of the answer makes more than 134217728 bytes of pieces"));
    tn_text_clear(&stream);
    tn_text_clear(&out);
}

static tenon_status hear_with(struct test_memory *counts)
{
    const char stream[] = TEXT("Hello") CHUNK("{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}") STOP DONE;
    const struct told told = { stream, strlen(stream), 30, false };
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_context *own = NULL;
    tenon_task *task = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts }, &own);

    if (status == TENON_OK)
        status = tell(own, &told, &task);
    while (status == TENON_OK)
        status = tenon_task_next_piece(task, -1, &piece);
    tenon_task_free(task);
    tenon_context_free(own);
    return status == TENON_DONE ? TENON_OK : status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(hear_with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_become_pieces),      cmocka_unit_test(whole_answers_become_pieces), cmocka_unit_test(a_piece_has_its_own_json),
        cmocka_unit_test(depth_and_size_are_bounded), cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
