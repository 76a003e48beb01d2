/*
 * Questions to a server whose answers are the input. The first byte says which question: c a chat, p a completion, m the
 * list of models. Its pieces are sound, and their text together is the task's text; a stream gives the same however its
 * bytes are cut.
 */
#include "fuzz.h"

#include <string.h>

#include "text.h"

#define SERVER "http://server.test/v1"

/* Every piece in one text, so that two answers can be compared. */
struct told {
    tenon_status status;
    struct text text; /* of choice 0 */
    struct text all;
};

static void take_piece(struct told *told, const tenon_piece *piece)
{
    HOLDS(piece->kind >= TENON_PIECE_UNKNOWN && piece->kind <= TENON_PIECE_USAGE && piece->choice >= -1 && piece->tool >= -1);
    HOLDS(piece->prompt_tokens >= -1 && piece->completion_tokens >= -1);
    if (piece->kind == TENON_PIECE_TEXT && piece->choice == 0)
        tn_text_add(&told->text, piece->text);
    tn_text_format(&told->all, "%d %d %d %s|%s|%s|%s|%s|%s|%s\n", (int)piece->kind, (int)piece->choice, (int)piece->tool,
                   piece->text, piece->reasoning, piece->tool_id, piece->tool_name, piece->tool_arguments, piece->stop_reason,
                   piece->json);
}

static void take_pieces(struct told *told, tenon_task *task)
{
    tenon_piece piece = { .struct_size = sizeof piece };
    tenon_status status;

    do {
        status = tenon_task_next_piece(task, 0, &piece);
        if (status == TENON_OK)
            take_piece(told, &piece);
    } while (fuzz_goes_on(status));
}

static tenon_status ask(tenon_context *context, char question, tenon_task **task)
{
    tenon_chat_options chat = { .struct_size = sizeof chat, .prompt = "?", .model = "tiny" };
    tenon_complete_options complete = { .struct_size = sizeof complete, .prompt = "?", .model = "tiny" };

    if (question == 'm')
        return tenon_inference_models(context, SERVER, NULL, task);
    return question == 'c' ? tenon_inference_chat(context, SERVER, &chat, task)
                           : tenon_inference_complete(context, SERVER, &complete, task);
}

static void take_models(tenon_task *task)
{
    tenon_model model = { .struct_size = sizeof model };
    tenon_status status;

    do {
        status = tenon_task_next_model(task, 0, &model);
        if (status == TENON_OK)
            HOLDS(fuzz_is_utf8(model.id) && fuzz_is_utf8(model.json));
    } while (fuzz_goes_on(status));
}

static void run(char question, const uint8_t *bytes, size_t size, struct told *told)
{
    tenon_context *context = fuzz_context();
    struct canned *canned = fuzz_answers(context, bytes, size);
    tenon_task *task = NULL;
    const char *text = NULL;

    HOLDS(ask(context, question, &task) == TENON_OK);
    if (question == 'm')
        take_models(task);
    else
        take_pieces(told, task);
    if (question != 'm' && tenon_task_text(task, &text) == TENON_OK)
        HOLDS(strcmp(text, tn_text(&told->text)) == 0);
    told->status = fuzz_finish(task);
    tenon_context_free(context);
    fuzz_answers_free(canned);
}

static void told_init(struct told *told)
{
    tn_text_init(&told->text, fuzz_memory(), 256 << 20);
    tn_text_init(&told->all, fuzz_memory(), 256 << 20);
}

static void told_clear(struct told *told)
{
    tn_text_clear(&told->text);
    tn_text_clear(&told->all);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char cut[] = ":piece 1\n";
    struct told told, again;
    const uint8_t *status = size > 2 ? memchr(bytes + 2, '\n', size - 2) : NULL;
    uint8_t *pieces;
    size_t head;

    if (size < 3 || bytes[0] == '\0' || strchr("cpm", bytes[0]) == NULL || bytes[1] != '\n')
        return -1;
    told_init(&told);
    run((char)bytes[0], bytes + 2, size - 2, &told);
    if (status != NULL && bytes[0] != 'm') {
        /* The same once more, byte by byte: the order stands behind the status of the first answer. */
        head = (size_t)(status + 1 - bytes) - 2;
        pieces = malloc(size + sizeof cut);
        HOLDS(pieces != NULL);
        memcpy(pieces, bytes + 2, head);
        memcpy(pieces + head, cut, sizeof cut - 1);
        memcpy(pieces + head + sizeof cut - 1, status + 1, size - 2 - head);
        told_init(&again);
        run((char)bytes[0], pieces, size - 2 + sizeof cut - 1, &again);
        HOLDS(told.status == again.status && strcmp(tn_text(&told.text), tn_text(&again.text)) == 0);
        HOLDS(strcmp(tn_text(&told.all), tn_text(&again.all)) == 0);
        told_clear(&again);
        free(pieces);
    }
    told_clear(&told);
    return 0;
}
