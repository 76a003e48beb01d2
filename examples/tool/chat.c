/* tenon chat */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "tool.h"

struct chat {
    struct tool *tool;
    const char *target;
    const char *key;
    char parameters[64]; /* what is merged into each request; "" for nothing */
    char *messages;      /* the conversation so far as a JSON array; NULL at its beginning */
    bool in_reasoning;   /* of the answer that is shown */
};

/* ---- one answer ---- */

/* Reasoning is shown to people, faintly, and left out of what is piped. */
static void print_reasoning(struct chat *chat, const char *text)
{
    struct screen *out = &chat->tool->out;

    if (!out->live)
        return;
    if (!chat->in_reasoning)
        fputs(style(out, STYLE_DIM), stdout);
    chat->in_reasoning = true;
    put_lines(stdout, text);
}

static void end_reasoning(struct chat *chat)
{
    if (chat->in_reasoning)
        printf("%s\n\n", style(&chat->tool->out, STYLE_PLAIN));
    chat->in_reasoning = false;
}

/* A call comes in parts: its name first, then its arguments. */
static void print_tool_call(const tenon_piece *piece)
{
    if (*piece->tool_name != '\0') {
        put_text(stdout, piece->tool_name);
        putchar(' ');
    }
    put_lines(stdout, piece->tool_arguments);
}

static void print_piece(struct chat *chat, const tenon_piece *piece)
{
    if (chat->tool->arguments.json) {
        json_row(stdout, piece_fields, piece);
        putchar('\n');
    } else if (piece->kind == TENON_PIECE_REASONING)
        print_reasoning(chat, piece->reasoning);
    else {
        end_reasoning(chat);
        if (piece->kind == TENON_PIECE_TEXT)
            put_lines(stdout, piece->text);
        else if (piece->kind == TENON_PIECE_TOOL)
            print_tool_call(piece);
        else if (piece->kind == TENON_PIECE_STOP && strcmp(piece->stop_reason, "length") == 0 && chat->tool->out.live)
            printf("%s [cut: --max-tokens]%s", style(&chat->tool->out, STYLE_DIM), style(&chat->tool->out, STYLE_PLAIN));
    }
    fflush(stdout);
}

static tenon_status print_answer(struct chat *chat, tenon_task *task)
{
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_status status = TENON_OK;
    int interrupts = interrupts_seen();

    while ((status == TENON_OK || status == TENON_AGAIN) && interrupts_seen() == interrupts) {
        status = tenon_task_next_piece(task, TURN_MS, &piece);
        if (status == TENON_OK)
            print_piece(chat, &piece);
    }
    end_reasoning(chat);
    if (!chat->tool->arguments.json)
        putchar('\n');
    fflush(stdout);
    return status;
}

/* ---- the conversation ---- */

static void write_message(FILE *file, const char *role, const char *content)
{
    fprintf(file, "{\"role\": \"%s\", \"content\": ", role);
    json_text(file, content);
    fputc('}', file);
}

/* Puts a question and its answer behind the messages so far. */
static bool remember(struct chat *chat, const char *question, const char *answer)
{
    char *messages = NULL;
    size_t size;
    FILE *file = open_memstream(&messages, &size);

    if (file == NULL)
        return false;
    if (chat->messages != NULL)
        fprintf(file, "%.*s, ", (int)strlen(chat->messages) - 1, chat->messages);
    else
        fputc('[', file);
    write_message(file, "user", question);
    fputs(", ", file);
    write_message(file, "assistant", answer);
    fputc(']', file);
    if (fclose(file) != 0) {
        free(messages);
        return false;
    }
    free(chat->messages);
    chat->messages = messages;
    return true;
}

static int end_answer(struct chat *chat, const char *question, tenon_task *task, tenon_status status)
{
    const char *answer = "";
    int exit = EXIT_OK;

    if (status < 0)
        exit = fail_task(chat->tool, task);
    else if (tenon_task_text(task, &answer) != TENON_OK || !remember(chat, question, answer))
        exit = fail_memory(chat->tool);
    else if (status != TENON_DONE)
        exit = EXIT_INTERRUPTED;
    return exit;
}

static int ask(struct chat *chat, const char *question)
{
    const struct arguments *arguments = &chat->tool->arguments;
    tenon_chat_options options = { .struct_size = sizeof options, .prompt = question, .system = arguments->system,
                                   .messages = chat->messages, .model = arguments->model, .key = chat->key,
                                   .max_tokens = arguments->max_tokens };
    tenon_task *task = NULL;
    int status;

    if (chat->parameters[0] != '\0')
        options.parameters = chat->parameters;
    if (tenon_inference_chat(chat->tool->context, chat->target, &options, &task) != TENON_OK)
        return fail_context(chat->tool);
    status = end_answer(chat, question, task, print_answer(chat, task));
    tenon_task_free(task);
    return status;
}

/* ---- questions ---- */

/* Everything on standard input is one question. */
static int ask_input(struct chat *chat)
{
    char *question = NULL;
    size_t room = 0;
    ssize_t length = getdelim(&question, &room, '\0', stdin);
    int status;

    while (length > 0 && strchr(" \t\r\n", question[length - 1]) != NULL)
        question[--length] = '\0';
    if (length > 0)
        status = ask(chat, question);
    else
        status = fail_usage(chat->tool, "tenon chat JOB 'Why?', or the question on standard input", "there is no question");
    free(question);
    return status;
}

/* After a failure, and after an answer that was broken off with Ctrl-C, the conversation goes on. */
static int converse(struct chat *chat)
{
    struct screen *err = &chat->tool->err;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int interrupts;

    remark(chat->tool, "Ctrl-D ends the conversation, Ctrl-C an answer");
    for (;;) {
        interrupts = interrupts_seen();
        fprintf(err->file, "%s> %s", style(err, STYLE_BOLD), style(err, STYLE_PLAIN));
        length = input_waits(interrupts) ? getline(&line, &room, stdin) : -1;
        if (length <= 0)
            break;
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " \t")] != '\0')
            ask(chat, line);
    }
    fputc('\n', err->file);
    free(line);
    return EXIT_OK;
}

static int talk(struct chat *chat)
{
    const struct arguments *arguments = &chat->tool->arguments;
    int status;

    if (isfinite(arguments->temperature))
        snprintf(chat->parameters, sizeof chat->parameters, "{\"temperature\": %.6g}", arguments->temperature);
    interrupts_count();
    if (arguments->operand_count > 1)
        status = ask(chat, arguments->operands[1]);
    else if (isatty(STDIN_FILENO))
        status = converse(chat);
    else
        status = ask_input(chat);
    return status;
}

/* An address is taken as it is; anything else is a job. */
static int talk_to_job(struct chat *chat)
{
    tenon_job *job = NULL;
    int status = job_find(chat->tool, chat->target, &job);

    if (status == EXIT_OK && tenon_job_id(job, &chat->target) != TENON_OK)
        status = fail_context(chat->tool);
    else if (status == EXIT_OK)
        status = talk(chat);
    tenon_job_free(job);
    return status;
}

int command_chat(struct tool *tool)
{
    struct chat chat = { .tool = tool, .target = tool->arguments.operands[0] };
    int status;

    if (strstr(chat.target, "://") != NULL) {
        chat.key = getenv("TENON_API_KEY");
        status = talk(&chat);
    } else
        status = talk_to_job(&chat);
    free(chat.messages);
    return status;
}
