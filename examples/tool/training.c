/* The view of a job that trains: one line for each measurement, or its curve. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "json.h"
#include "tool.h"

struct training {
    struct tool *tool;
    bool draws;        /* the curve, on standard error */
    bool prints;       /* one line each, on standard output */
    struct chart losses;
    tenon_metric last; /* its json is not kept */
    double first_loss;
    double last_loss;
    int64_t first_step;
    int64_t first_ms;  /* when the first and the last measurement came */
    int64_t last_ms;
    int64_t began_ms;
    int64_t drawn_ms;
};

struct training *training_new(struct tool *tool)
{
    struct training *training = calloc(1, sizeof *training);

    if (training != NULL) {
        training->tool = tool;
        training->draws = tool->err.live && !tool->arguments.quiet && !tool->arguments.json;
        training->prints = tool->arguments.json || !training->draws || !tool->out.live;
        training->first_loss = training->last_loss = NAN;
        training->last.step = training->last.steps = -1;
        training->began_ms = now_ms();
    }
    return training;
}

void training_free(struct training *training)
{
    if (training != NULL)
        chart_clear(&training->losses);
    free(training);
}

/* ---- measurements ---- */

static void put_value(FILE *file, const char *name, double value)
{
    if (isfinite(value))
        fprintf(file, "  %s %s", name, say_number(value).text);
}

static void put_metric(FILE *file, const tenon_metric *metric)
{
    fprintf(file, "step %" PRId64, metric->step);
    if (metric->steps > 0)
        fprintf(file, "/%" PRId64, metric->steps);
    put_value(file, "loss", metric->loss);
    put_value(file, "evaluation_loss", metric->evaluation_loss);
    put_value(file, "learning_rate", metric->learning_rate);
    put_value(file, "epoch", metric->epoch);
    put_value(file, "gradient_norm", metric->gradient_norm);
    put_value(file, "tokens_per_second", metric->tokens_per_second);
}

static void print_metric(struct training *training, const tenon_metric *metric)
{
    if (training->tool->arguments.json)
        json_row(stdout, metric_fields, metric);
    else
        put_metric(stdout, metric);
    putchar('\n');
    fflush(stdout);
}

void training_add(struct training *training, const tenon_metric *metric)
{
    int64_t now = now_ms();

    if (training->prints)
        print_metric(training, metric);
    if (training->last.struct_size == 0) {
        training->first_step = metric->step;
        training->first_ms = now;
    }
    training->last = *metric;
    training->last.struct_size = sizeof training->last;
    training->last_ms = now;
    if (isfinite(metric->loss)) {
        training->first_loss = isfinite(training->first_loss) ? training->first_loss : metric->loss;
        training->last_loss = metric->loss;
        chart_add(&training->losses, (double)metric->step, metric->loss);
    }
}

struct words training_summary(const struct training *training)
{
    struct words words = { "" };

    if (training->last.step >= 0 && isfinite(training->last_loss))
        snprintf(words.text, sizeof words.text, "%" PRId64 " steps, loss %.3g -> %.3g", training->last.step, training->first_loss, training->last_loss);
    return words;
}

/* ---- drawing ---- */

static void draw_head(struct training *training, FILE *file, const tenon_job_report *report)
{
    struct screen *err = &training->tool->err;

    fputs(style(err, STYLE_BOLD), file);
    put_text(file, report->name);
    fprintf(file, "%s  ", style(err, STYLE_PLAIN));
    put_text(file, report->id);
    fprintf(file, "  %s", state_word(report->state));
    if (*report->stage != '\0' && strcmp(report->stage, state_word(report->state)) != 0) {
        fputs(", ", file);
        put_text(file, report->stage);
    }
    fprintf(file, "  %s\n", say_duration(now_ms() - training->began_ms).text);
}

/* At the pace of the steps so far; -1 unknown. */
static int64_t time_left(const struct training *training)
{
    const tenon_metric *last = &training->last;
    double steps = (double)(last->step - training->first_step), left = (double)(last->steps - last->step);

    return steps > 0 && left > 0 ? (int64_t)(left * (double)(training->last_ms - training->first_ms) / steps) : -1;
}

static void draw_foot(struct training *training, FILE *file)
{
    struct screen *err = &training->tool->err;
    const tenon_metric *last = &training->last;

    if (last->step < 0)
        return;
    fprintf(file, "step %" PRId64, last->step);
    if (last->steps > 0) {
        fprintf(file, "/%" PRId64 "  %s", last->steps, style(err, STYLE_GOOD));
        put_bar(err, file, (double)last->step / (double)last->steps, 0, 16);
        fputs(style(err, STYLE_PLAIN), file);
    }
    if (isfinite(last->loss))
        fprintf(file, "  %sloss %s%s", style(err, STYLE_BOLD), say_number(last->loss).text, style(err, STYLE_PLAIN));
    if (isfinite(last->learning_rate))
        fprintf(file, "  rate %s", say_number(last->learning_rate).text);
    if (isfinite(last->tokens_per_second))
        fprintf(file, "  %s tokens/s", say_count(last->tokens_per_second).text);
    if (time_left(training) >= 0)
        fprintf(file, "  %s left", say_duration(time_left(training)).text);
    fputc('\n', file);
}

void training_draw(struct training *training, const tenon_job_report *report, bool last)
{
    struct screen *err = &training->tool->err;
    int width = screen_width(err), height = screen_height(err) - 4;
    int64_t now = now_ms();
    char *text = NULL;
    size_t size;
    FILE *file;

    if (!training->draws || (!last && now - training->drawn_ms < TURN_MS))
        return;
    training->drawn_ms = now;
    file = open_memstream(&text, &size);
    if (file == NULL)
        return;
    if (report != NULL)
        draw_head(training, file, report);
    chart_draw(&training->losses, file, err->unicode, width < 90 ? width - 1 : 90, height < 14 ? height : 14, (double)training->last.steps);
    draw_foot(training, file);
    if (fclose(file) == 0)
        screen_draw(err, text);
    free(text);
    if (last)
        screen_keep(err);
}
