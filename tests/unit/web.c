#define _GNU_SOURCE
#include "web.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"

#ifndef TENON_SIMULATORS
#error "TENON_SIMULATORS is the folder of the simulators"
#endif

extern char **environ;

/* ---- the simulator ---- */

static json_t *read_line(int fd)
{
    char line[4096];
    size_t length = 0;
    json_t *json;

    while (length < sizeof line - 1 && read(fd, line + length, 1) == 1 && line[length] != '\n')
        length++;
    line[length] = '\0';
    json = json_loads(line, 0, NULL);
    if (json == NULL)
        print_error("the simulator says: %s\n", line);
    return json;
}

int web_start(void **state)
{
    /* It ends with us, also when we are killed. */
    static char with[] = "/usr/bin/setpriv", death[] = "--pdeathsig", term[] = "TERM", python[] = "/usr/bin/python3",
                program[] = TENON_SIMULATORS "/web.py", port[] = "--port", zero[] = "0";
    char *arguments[] = { with, death, term, python, program, port, zero, NULL };
    struct web *web = calloc(1, sizeof *web);
    posix_spawn_file_actions_t actions;
    pid_t id = 0;
    int pair[2], result;

    if (pipe2(pair, O_CLOEXEC) != 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 1);
    result = posix_spawn(&id, with, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    if (result == 0)
        web->facts = read_line(pair[0]);
    close(pair[0]);
    if (web->facts == NULL)
        return -1;
    web->pid = id;
    web->url = json_string_value(json_object_get(web->facts, "url"));
    web->other = json_string_value(json_object_get(web->facts, "other"));
    web->raw = json_string_value(json_object_get(web->facts, "raw"));
    web->context = test_open(NULL);
    *state = web;
    return 0;
}

int web_stop(void **state)
{
    struct web *web = *state;
    int status = -1;

    tenon_context_free(web->context);
    kill(web->pid, SIGTERM);
    waitpid(web->pid, &status, 0);
    json_decref(web->facts);
    free(web);
    return status;
}

static json_t *control(struct web *web, tenon_context *other, const char *method, const char *route, const char *body)
{
    struct request request;
    json_t *json = NULL;

    tn_request_init(&request, web->context);
    request.method = method;
    request.body = body;
    request.body_size = body != NULL ? strlen(body) : 0;
    tn_request_url(&request, "%s/_simulator/%s", web->url, route);
    tn_request_start(&request, NULL);
    while (tn_co_running(&request.co)) {
        tn_loop_step(web->context, other != NULL ? 1 : -1);
        if (other != NULL)
            tn_loop_step(other, 1);
    }
    if (request.co.status != TENON_OK || tn_response_json(&request, &json) != TENON_OK)
        fail_msg("%s %s: %s", method, route, request.failure.message);
    tn_request_clear(&request);
    return json;
}

json_t *web_control(struct web *web, const char *method, const char *route, const char *body)
{
    return control(web, NULL, method, route, body);
}

void web_await(struct web *web, tenon_context *context, const char *what, int count)
{
    char route[100];

    snprintf(route, sizeof route, "wait?%s=%d", what, count);
    json_decref(control(web, context, "GET", route, NULL));
    /* What has been sent by then has to be heard, too. */
    for (int quiet = 0; quiet < 3; quiet = tn_loop_step(context, 5) == TENON_OK ? 0 : quiet + 1)
        ;
}

void web_fault(struct web *web, const char *faults)
{
    json_decref(web_control(web, "POST", "faults", faults));
}

void web_clear(struct web *web)
{
    json_decref(web_control(web, "DELETE", "faults", NULL));
    json_decref(web_control(web, "DELETE", "requests", NULL));
}

int web_count(struct web *web, const char *path)
{
    json_t *requests = web_control(web, "GET", "requests", NULL), *one;
    size_t i;
    int count = 0;

    json_array_foreach(requests, i, one)
        count += tn_starts_with(json_string_value(json_object_get(one, "path")), path);
    json_decref(requests);
    return count;
}

char *web_says(struct web *web, const char *bytes)
{
    size_t start = strlen(web->raw) + strlen("/hex/");
    char *url = malloc(start + 2 * strlen(bytes) + 2);

    assert_non_null(url);
    sprintf(url, "%s/hex/", web->raw);
    for (size_t i = 0; i <= strlen(bytes); i++)
        sprintf(url + start + 2 * i, bytes[i] != '\0' ? "%02x" : "?", (unsigned char)bytes[i]);
    return url;
}

/* ---- asking ---- */

struct asking *asking_new(const char *const *settings)
{
    struct asking *asking = calloc(1, sizeof *asking);

    assert_non_null(asking);
    asking->clock = (struct test_clock){ .runs = true, .wall_ms = INT64_C(1800000000000) };
    asking->context = test_open(&(struct test_hooks){ .clock = &asking->clock, .log = &asking->log, .level = TENON_LOG_DEBUG,
                                                      .settings = settings });
    tn_request_init(&asking->request, asking->context);
    return asking;
}

void asking_free(struct asking *asking)
{
    tn_request_clear(&asking->request);
    tenon_context_free(asking->context);
    free(asking);
}

void asking_url(struct asking *asking, const char *base, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tn_text_reset(&asking->request.url);
    tn_text_add(&asking->request.url, base);
    tn_text_format_v(&asking->request.url, format, arguments);
    va_end(arguments);
}

void asking_turn(struct asking *asking, int64_t timeout_ms)
{
    struct timer *pause = &asking->request.pause;

    tn_loop_step(asking->context, tn_timer_running(pause) ? 0 : timeout_ms);
    if (tn_timer_running(pause)) {
        asking->clock.now_ms += pause->due_ms - tn_now(asking->context);
        while (tn_timer_running(pause))
            tn_loop_step(asking->context, 0);
    }
}

/* The log tells how long each pause was meant to be; the clock says it only nearly. */
static void note_pauses(struct asking *asking)
{
    const char *line = asking->log.text;

    asking->pause_count = 0;
    while ((line = strstr(line, "; again in ")) != NULL && asking->pause_count < (int)COUNT(asking->pauses)) {
        line += strlen("; again in ");
        asking->pauses[asking->pause_count++] = strtoll(line, NULL, 10);
    }
}

tenon_status ask(struct asking *asking)
{
    asking->log.length = 0;
    asking->log.text[0] = '\0';
    tn_request_start(&asking->request, NULL);
    while (tn_co_running(&asking->request.co))
        asking_turn(asking, -1);
    note_pauses(asking);
    return asking->request.co.status;
}

tenon_status ask_for(struct asking *asking, const char *base, const char *path)
{
    tn_request_reset(&asking->request);
    asking_url(asking, base, "%s", path);
    return ask(asking);
}

json_t *asking_json(struct asking *asking)
{
    json_t *json = NULL;

    if (tn_response_json(&asking->request, &json) != TENON_OK)
        fail_msg("%s", asking->request.failure.message);
    return json;
}
