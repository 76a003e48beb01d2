#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "text.h"

static struct memory memory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    return 0;
}

/* The numbers of a line that are known, in one text: "step=3 loss=0.5"; "-" for a line that is no measurement. */
static void describe(const char *line, struct text *out)
{
    tenon_metric row = { 0 };
    tenon_status status = tn_metric_read(&memory, line, &row);
    const struct {
        const char *name;
        double value;
    } reals[] = {
        { "loss", row.loss }, { "lr", row.learning_rate }, { "epoch", row.epoch }, { "norm", row.gradient_norm },
        { "rate", row.tokens_per_second }, { "eval", row.evaluation_loss },
    };

    tn_text_reset(out);
    if (status != TENON_OK) {
        assert_int_equal(status, TENON_DONE);
        tn_text_add_char(out, '-');
        return;
    }
    assert_int_equal(row.struct_size, sizeof row);
    assert_true(row.json[0] == '{' && tn_ends_with(row.json, "}"));
    tn_text_format(out, "step=%lld", (long long)row.step);
    if (row.steps >= 0)
        tn_text_format(out, " steps=%lld", (long long)row.steps);
    if (row.time_ms >= 0)
        tn_text_format(out, " time=%lld", (long long)row.time_ms);
    for (size_t i = 0; i < COUNT(reals); i++)
        if (!isnan(reals[i].value))
            tn_text_format(out, " %s=%g", reals[i].name, reals[i].value);
    tn_release(&memory, (char *)row.json);
}

static void expect(const char *line, const char *expected)
{
    struct text out;

    tn_text_init(&out, &memory, 10000);
    describe(line, &out);
    if (strcmp(tn_text(&out), expected) != 0)
        fail_msg("%s: %s instead of %s", line, tn_text(&out), expected);
    tn_text_clear(&out);
}

static void lines_are_measurements(void **state)
{
    static const struct {
        const char *line, *numbers;
    } rows[] = {
        { "{\"step\": 1, \"loss\": 2.5}", "step=1 loss=2.5" },
        { "{\"step\":1,\"loss\":2}", "step=1 loss=2" },
        { "  {\"step\": 7, \"accuracy\": 0.5}  ", "step=7" },
        { "{\"step\": 7, \"steps\": 100, \"loss\": 1, \"lr\": 1e-4, \"epoch\": 0.5, \"grad_norm\": 3, \"tokens_per_second\": 9000, \"eval_loss\": 4}",
          "step=7 steps=100 loss=1 lr=0.0001 epoch=0.5 norm=3 rate=9000 eval=4" },
        { "{\"step\": 7, \"total_steps\": 100, \"train_loss\": 1, \"learning_rate\": 0.1, \"gradient_norm\": 3, \"train_tokens_per_second\": 8,"
          " \"evaluation_loss\": 4}", "step=7 steps=100 loss=1 lr=0.1 norm=3 rate=8 eval=4" },
        { "{\"step\": 7, \"max_steps\": 9, \"val_loss\": 2}", "step=7 steps=9 eval=2" },
        { "{\"step\": 7, \"validation_loss\": 2}", "step=7 eval=2" },
        { "{\"global_step\": 3, \"loss\": 2}", "step=3 loss=2" },
        { "{\"iteration\": 3, \"loss\": 2}", "step=3 loss=2" },
        /* The first name that is a number counts. */
        { "{\"step\": 3, \"loss\": \"?\", \"train_loss\": 2}", "step=3 loss=2" },
        { "{\"step\": 3, \"learning_rate\": null, \"lr\": 2}", "step=3 lr=2" },
        /* What a logger wrote before it. */
        { "INFO 12:00:01 train: {\"step\": 1, \"loss\": 2.5}", "step=1 loss=2.5" },
        { " 10%|#         | 1/10 [00:01<00:09,  1.0s/it] {'loss': 2.5, 'epoch': 0.1}", "step=-1 loss=2.5 epoch=0.1" },
        /* As the Trainer of the Transformers library prints them. */
        { "{'loss': 0.6931, 'grad_norm': 1.25, 'learning_rate': 4.9e-05, 'epoch': 0.02}", "step=-1 loss=0.6931 lr=4.9e-05 epoch=0.02 norm=1.25" },
        { "{'loss': '0.6931', 'grad_norm': '1.25', 'learning_rate': '4.9e-05', 'epoch': '0.02'}", "step=-1 loss=0.6931 lr=4.9e-05 epoch=0.02 norm=1.25" },
        { "{'eval_loss': 0.5, 'eval_runtime': 1.5, 'epoch': 1.0}", "step=-1 epoch=1 eval=0.5" },
        { "{'train_runtime': 9.0, 'train_loss': 0.25, 'epoch': 3.0}", "step=-1 loss=0.25 epoch=3" },
        { "{'step': 2, 'done': True, 'best': False, 'note': None, 'shape': (1, 2), 'loss': 1.0}", "step=2 loss=1" },
        { "{'it''s': 1}", "-" },
        { "{'step': 1, 'loss': 2, 'who': 'it\\'s', 'a': \"it's\", 'q': '\"', 'x': '\\xe4\\n\\\\'}", "step=1 loss=2" },
        /* Numbers that are no JSON. */
        { "{\"step\": 1, \"loss\": NaN}", "step=1" },
        { "{'loss': nan}", "step=-1" },
        { "{'loss': -nan}", "step=-1" },
        { "{\"step\": 1, \"loss\": Infinity}", "step=1 loss=inf" },
        { "{\"step\": 1, \"loss\": -Infinity}", "step=1 loss=-inf" },
        { "{'loss': inf, 'grad_norm': -inf}", "step=-1 loss=inf norm=-inf" },
        { "{'loss': 'inf', 'grad_norm': '-inf', 'learning_rate': 'nan'}", "step=-1 loss=inf norm=-inf" },
        { "{\"step\": NaN, \"loss\": 1}", "step=-1 loss=1" },
        { "{\"step\": Infinity, \"loss\": 1}", "step=-1 loss=1" },
        /* Huge and odd ones. */
        { "{\"step\": 99999999999999999999999999, \"loss\": 1}", "step=-1 loss=1" },
        { "{\"step\": 9007199254740993, \"loss\": 1}", "step=-1 loss=1" },
        { "{\"step\": -5, \"loss\": 1}", "step=-1 loss=1" },
        { "{\"step\": 2.9, \"loss\": 1}", "step=2 loss=1" },
        { "{\"step\": \"12\", \"loss\": \"1.5e-3\"}", "step=12 loss=0.0015" },
        { "{\"step\": 1, \"loss\": 1.7976931348623157e308}", "step=1 loss=1.79769e+308" },
        { "{\"step\": 1, \"loss\": 5e-324, \"lr\": 1E-5, \"epoch\": 2E+1}", "step=1 loss=4.94066e-324 lr=1e-05 epoch=20" },
        /* When it was. */
        { "{\"step\": 1, \"loss\": 1, \"time_ms\": 1700000000123}", "step=1 time=1700000000123 loss=1" },
        { "{\"step\": 1, \"loss\": 1, \"timestamp\": 1700000000.5}", "step=1 time=1700000000500 loss=1" },
        { "{\"step\": 1, \"loss\": 1, \"time\": 12.5}", "step=1 loss=1" },
        { "{\"step\": 1, \"loss\": 1, \"time\": 1e300}", "step=1 loss=1" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(rows[i].line, rows[i].numbers);
}

static void other_lines_are_none(void **state)
{
    static const char *const lines[] = {
        "", " ", "{", "}", "{}", "[]", "step 1 loss 2", "{\"step\": 1}", "{\"step\": 1, \"note\": \"x\"}", "{\"loss\": \"high\"}",
        "{\"loss\": {\"value\": 1}}", "{\"loss\": [1]}", "{\"loss\": true}", "{\"loss\": null}", "{\"loss\": \"\"}", "{\"loss\": \"1 2\"}",
        "{\"step\": \"one\", \"accuracy\": 2}", "{\"accuracy\": 1}", "{\"step\": 1, \"loss\": }", "{\"step\": 1, \"loss\": 2",
        "{\"step\": 1 \"loss\": 2}", "{\"step\": 1, \"loss\": 2} done", "x}", "{\"step\": 1, \"loss\": 1x}", "{\"step\": 1, \"loss\": 1nan}",
        "{\"step\": 1, \"loss\": undefined}", "{\"step\": 1, \"loss\": tensor(1.0)}", "{'loss': 1, 'x': 'y}", "{'loss': 1, 'x': '\\",
        "{'loss': 1, 'x': '\\xzz'}", "{'loss': 1, 'x': '\\x}", "{\"loss\": \"\xff\"}", "{\"l\xc3\": 1, \"loss\": 2}", "{\"loss\": 1, \"loss\": 2}",
        "{\"step\": 1, \"loss\": 1e999}", "{\"loss\": - }", "{\"loss\": -}", "{\"loss\": +1}", "{loss: 1}", "{1: 2, 'loss': 3}",
        "{\"loss\": \"99999999999999999999999999999999999999999999999999\"}", "{\"loss\": 1}}", "[{\"loss\": 1}]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++)
        expect(lines[i], "-");
}

/* A line that is not all there yet is none; and no beginning of a line, and no byte in it, does any harm. */
static void half_lines_and_odd_bytes(void **state)
{
    static const char *const lines[] = {
        "{\"step\": 10, \"loss\": -2.5e-3, \"x\": {\"y\": [true, null, \"a\\\"b\"]}}",
        "{'loss': -inf, 'x': ('it\\'s', \"q\\\"\", '\\x41', True, None), 'epoch': 1e+2}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        size_t length = strlen(lines[i]);
        struct text out;
        /* Of the very size, so that a byte read beyond it is noticed. */
        char *copy = malloc(length + 1);

        tn_text_init(&out, &memory, 10000);
        for (size_t cut = 0; cut < length; cut++) {
            char *half = malloc(cut + 1);

            memcpy(half, lines[i], cut);
            half[cut] = '\0';
            expect(half, "-");
            free(half);
        }
        for (size_t at = 0; at < length; at++)
            for (unsigned byte = 1; byte < 256; byte++) {
                memcpy(copy, lines[i], length + 1);
                copy[at] = (char)byte;
                describe(copy, &out);
            }
        free(copy);
        tn_text_clear(&out);
    }
}

static void depth_and_size_are_bounded(void **state)
{
    struct text line;

    (void)state;
    tn_text_init(&line, &memory, 4 << 20);
    tn_text_add(&line, "{\"step\": 1, \"loss\": 2, \"x\": ");
    for (int i = 0; i < 10000; i++)
        tn_text_add_char(&line, '[');
    for (int i = 0; i < 10000; i++)
        tn_text_add_char(&line, ']');
    tn_text_add_char(&line, '}');
    expect(tn_text(&line), "-");
    /* Each quote takes two bytes as JSON, each control character six. */
    tn_text_reset(&line);
    tn_text_add(&line, "{'loss': 2, 'x': '");
    for (int i = 0; i < 60000; i++)
        tn_text_add(&line, "\x01");
    tn_text_add(&line, "'}");
    expect(tn_text(&line), "step=-1 loss=2");
    tn_text_reset(&line);
    for (int i = 0; i < 500000; i++)
        tn_text_add_char(&line, '{');
    tn_text_add_char(&line, '}');
    expect(tn_text(&line), "-");
    tn_text_clear(&line);
}

static void the_json_is_the_line(void **state)
{
    static const struct {
        const char *line, *json;
    } rows[] = {
        { "x: {\"step\": 1, \"loss\": NaN, \"other\": [1, \"a\"]}", "{\"step\":1,\"loss\":\"NaN\",\"other\":[1,\"a\"]}" },
        { "{'loss': inf, 'a': (1, -inf), 'b': None, 'c': 'it\\'s \\x41'}", "{\"loss\":\"Infinity\",\"a\":[1,\"-Infinity\"],\"b\":null,\"c\":\"it's A\"}" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tenon_metric row;

        assert_int_equal(tn_metric_read(&memory, rows[i].line, &row), TENON_OK);
        assert_string_equal(row.json, rows[i].json);
        tn_release(&memory, (char *)row.json);
    }
}

static tenon_status read_one(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    tenon_metric row;
    tenon_status status = tn_metric_read(&failing, "{'loss': '0.5', 'learning_rate': 1e-4, 'x': \"y\"}", &row);

    if (status == TENON_OK) {
        assert_true(row.loss == 0.5);
        tn_release(&failing, (char *)row.json);
    }
    return status;
}

static void no_memory_is_told(void **state)
{
    (void)state;
    test_every_failure(read_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_measurements),     cmocka_unit_test(other_lines_are_none), cmocka_unit_test(half_lines_and_odd_bytes),
        cmocka_unit_test(depth_and_size_are_bounded), cmocka_unit_test(the_json_is_the_line), cmocka_unit_test(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
