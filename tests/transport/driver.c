/*
 * Requests of the transport from the command line, one after the other over the same context; what came of each is a line of
 * JSON.
 *
 *   driver [--set KEY=VALUE]... [--bearer TOKEN] [--range FIRST-LAST] [--header NAME:VALUE]... [--method M] [--body TEXT]
 *          [--upload FILE [--chunked]] [--decode] [--stream [--hold MS]] [--together] [--pause MS] [--cancel-after MS] URL...
 *
 * --together asks for all addresses at once, --pause waits between two of them, --stream takes the answer piece by piece as
 * downloads do, --hold takes nothing of the first one for so long, --cancel-after gives the first one up after so long,
 * --upload sends a file piece by piece, --chunked without telling its size. Every log line goes to the standard error.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "request.h"

enum { MOST = 64 };

struct arguments {
    const char *settings[MOST + 1], *headers[MOST], *urls[MOST];
    int setting_count, header_count, url_count;
    const char *bearer, *range, *method, *body, *pause, *cancel_after, *hold, *upload;
    int decode, stream, together, chunked;
};

struct asking {
    struct request request;
    struct hash hash;
    struct failure failure;
    struct timer hold;
    FILE *file;
    int64_t bytes, pieces, retries, began_ms, last_ms, cancel_ms;
};

/* ---- arguments ---- */

static int take_flag(struct arguments *a, const char *name)
{
    const struct {
        const char *name;
        int *at;
    } flags[] = {
        { "--decode", &a->decode }, { "--stream", &a->stream }, { "--together", &a->together }, { "--chunked", &a->chunked },
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0)
            return *flags[i].at = 1;
    return 0;
}

static int take_value(struct arguments *a, const char *name, const char *value)
{
    const struct {
        const char *name, **at;
        int *count;
    } values[] = {
        { "--set", a->settings, &a->setting_count }, { "--header", a->headers, &a->header_count }, { "--bearer", &a->bearer, NULL },
        { "--range", &a->range, NULL },              { "--method", &a->method, NULL },             { "--body", &a->body, NULL },
        { "--pause", &a->pause, NULL },              { "--cancel-after", &a->cancel_after, NULL },
        { "--hold", &a->hold, NULL },                { "--upload", &a->upload, NULL },
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (strcmp(name, values[i].name) == 0 && value != NULL && (values[i].count == NULL || *values[i].count < MOST)) {
            values[i].at[values[i].count != NULL ? (*values[i].count)++ : 0] = value;
            return 1;
        }
    return 0;
}

static void take_arguments(struct arguments *a, int count, char **words)
{
    for (int i = 1; i < count; i++)
        if (strncmp(words[i], "--", 2) != 0 && a->url_count < MOST)
            a->urls[a->url_count++] = words[i];
        else if (!take_flag(a, words[i]) && !take_value(a, words[i], i + 1 < count ? words[i + 1] : NULL)) {
            fprintf(stderr, "driver: %s?\n", words[i]);
            exit(2);
        } else if (!take_flag(a, words[i]))
            i++;
}

/* ---- asking ---- */

static tenon_status take_piece(struct request *request, const char *bytes, size_t size)
{
    struct asking *asking = request->owner;

    if (tn_timer_running(&asking->hold))
        return TENON_AGAIN;
    tn_hash_add(&asking->hash, bytes, size);
    asking->bytes += (int64_t)size;
    asking->pieces++;
    asking->last_ms = tn_now(request->context) - asking->began_ms;
    return TENON_OK;
}

static void let_go(struct timer *timer)
{
    tn_request_resume(&TN_CONTAINER(timer, struct asking, hold)->request);
}

static ptrdiff_t give_piece(struct request *request, char *buffer, size_t size)
{
    struct asking *asking = request->owner;

    return (ptrdiff_t)fread(buffer, 1, size, asking->file);
}

static bool begin_again(struct request *request)
{
    struct asking *asking = request->owner;

    return fseek(asking->file, 0, SEEK_SET) == 0;
}

static void set_upload(struct asking *asking, const struct arguments *a)
{
    struct request *request = &asking->request;

    asking->file = fopen(a->upload, "rb");
    if (asking->file == NULL)
        exit(2);
    fseek(asking->file, 0, SEEK_END);
    request->upload_size = a->chunked ? -1 : ftell(asking->file);
    fseek(asking->file, 0, SEEK_SET);
    request->upload = give_piece;
    request->rewind = begin_again;
}

static void start(struct asking *asking, struct tenon_context *context, const struct arguments *a, const char *url)
{
    struct request *request = &asking->request;
    int64_t first = 0, last = -1;

    tn_request_init(request, context);
    tn_failure_init(&asking->failure, &context->memory, &context->secrets);
    tn_hash_start(&asking->hash, HASH_SHA256, 0, &asking->failure);
    tn_request_url(request, "%s", url);
    for (int i = 0; i < a->header_count; i++) {
        char name[100] = "";
        const char *colon = strchr(a->headers[i], ':');

        snprintf(name, sizeof name, "%.*s", (int)(colon - a->headers[i]), a->headers[i]);
        tn_request_header(request, name, colon + 1);
    }
    if (a->range != NULL && sscanf(a->range, "%" SCNd64 "-%" SCNd64, &first, &last) >= 1)
        tn_request_range(request, first, last);
    if (a->method != NULL)
        request->method = a->method;
    request->body = a->body;
    request->body_size = a->body != NULL ? strlen(a->body) : 0;
    request->bearer = a->bearer;
    request->decode = a->decode != 0;
    request->stream = a->stream != 0;
    request->data = a->stream ? take_piece : NULL;
    request->owner = asking;
    if (a->upload != NULL)
        set_upload(asking, a);
    asking->cancel_ms = -1;
    request->retry_count = &asking->retries;
    asking->began_ms = tn_now(context);
    tn_request_start(request, NULL);
}

static json_t *error_of(const struct failure *failure)
{
    return json_pack("{s:s, s:s, s:i, s:I}", "message", failure->message != NULL ? failure->message : "", "hint",
                     failure->hint != NULL ? failure->hint : "", "http_status", (int)failure->http_status, "retry_after_ms",
                     (json_int_t)failure->retry_after_ms);
}

static json_t *headers_of(const struct request *request)
{
    const char *line = tn_text(&request->exchange.answer);
    json_t *headers = json_object();

    while (*line != '\0') {
        size_t length = strcspn(line, "\n"), name = strcspn(line, ":\n"), space = strspn(line + name, ": ");

        if (name < length)
            json_object_setn_new(headers, line, name, json_stringn(line + name + space, length - name - space));
        line += length + (line[length] == '\n');
    }
    return headers;
}

static void print(struct asking *asking, struct tenon_context *context, const char *url)
{
    struct request *request = &asking->request;
    char hex[TN_HEX_MOST + 1] = "";
    json_t *line, *content;
    char *text;

    if (request->data == NULL) {
        tn_hash_add(&asking->hash, tn_text(&request->answer), request->answer.length);
        asking->bytes = (int64_t)request->answer.length;
    }
    tn_hash_end(&asking->hash, hex, &asking->failure);
    line = json_pack("{s:s, s:s, s:i, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "url", url, "status",
                     tenon_status_name(request->co.status) + strlen("TENON_"), "http", (int)request->status, "bytes", (json_int_t)asking->bytes, "pieces",
                     (json_int_t)asking->pieces, "sha256", hex, "final_url", tn_text(&request->final_url), "retries",
                     (json_int_t)asking->retries, "ms", (json_int_t)(tn_now(context) - asking->began_ms), "last_ms",
                     (json_int_t)asking->last_ms, "cancel_ms", (json_int_t)asking->cancel_ms, "headers", headers_of(request));
    if (request->co.status != TENON_OK)
        json_object_set_new(line, "error", error_of(&request->failure));
    content = request->answer.length < 4096 ? json_stringn(tn_text(&request->answer), request->answer.length) : NULL;
    if (content != NULL)
        json_object_set_new(line, "text", content);
    text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL || puts(text) < 0 || fflush(stdout) != 0)
        exit(3);
    free(text);
    json_decref(line);
    tn_request_clear(request);
    tn_timer_stop(context, &asking->hold);
    if (asking->file != NULL)
        fclose(asking->file);
    tn_hash_stop(&asking->hash);
    tn_failure_clear(&asking->failure);
}

/* Turns the loop until it is that late; the other requests go on meanwhile. */
static void turn_until(struct tenon_context *context, int64_t until_ms)
{
    while (tn_now(context) < until_ms)
        tn_loop_step(context, until_ms - tn_now(context));
}

static void finish(struct asking *asking, struct tenon_context *context)
{
    while (tn_co_running(&asking->request.co))
        tn_loop_step(context, -1);
}

/* Gives the request up, and takes the time of that. What came until then can still be printed. */
static void give_up(struct asking *asking, struct tenon_context *context)
{
    struct engine *engine = tn_engine(context);
    int64_t began_ms = tn_now(context);

    tn_co_stop(&asking->request.co);
    if (engine != NULL)
        engine->cancel(engine, &asking->request.exchange);
    asking->cancel_ms = tn_now(context) - began_ms;
}

static void run(struct tenon_context *context, const struct arguments *a)
{
    static struct asking askings[MOST];
    int done = 0;

    for (int i = 0; i < a->url_count; i++) {
        if (i > 0 && a->pause != NULL)
            turn_until(context, tn_now(context) + atoll(a->pause));
        start(&askings[i], context, a, a->urls[i]);
        if (i == 0 && a->hold != NULL) {
            askings[i].hold.fire = let_go;
            tn_timer_set(context, &askings[i].hold, atoll(a->hold), NULL);
        }
        if (i == 0 && a->cancel_after != NULL && !a->together) {
            turn_until(context, tn_now(context) + atoll(a->cancel_after));
            give_up(&askings[i], context);
        }
        for (; !a->together && done <= i; done++) {
            finish(&askings[done], context);
            print(&askings[done], context, a->urls[done]);
        }
    }
    if (a->together && a->cancel_after != NULL) {
        turn_until(context, tn_now(context) + atoll(a->cancel_after));
        give_up(&askings[0], context);
    }
    for (; done < a->url_count; done++) {
        finish(&askings[done], context);
        print(&askings[done], context, a->urls[done]);
    }
}

static void write_record(void *user, const tenon_log_record *record)
{
    (void)user;
    fprintf(stderr, "log: %d %s %s\n", (int)record->level, record->component, record->text);
}

int main(int count, char **words)
{
    tenon_logger logger = { .struct_size = sizeof logger, .level = TENON_LOG_DEBUG, .write = write_record };
    tenon_context_options options = { .struct_size = sizeof options, .logger = &logger };
    tenon_context *context = NULL;
    struct arguments a = { 0 };

    take_arguments(&a, count, words);
    options.settings = a.settings;
    if (tenon_context_open(&options, &context) != TENON_OK)
        return 2;
    run(context, &a);
    tenon_context_free(context);
    return 0;
}
