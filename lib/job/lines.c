#include "lines.h"

#include <string.h>

#include "file.h"

enum { TAIL_BYTES = 16 * 1024, TAIL_LINE = 1000 };

void tn_lines_init(struct lines *lines, const struct memory *memory)
{
    memset(lines, 0, sizeof *lines);
    tn_text_init(&lines->raw, memory, LINE_LONGEST + 8);
    /* A byte that is no UTF-8 becomes three. */
    tn_text_init(&lines->line, memory, 3 * LINE_LONGEST + 64);
}

void tn_lines_clear(struct lines *lines)
{
    tn_text_clear(&lines->raw);
    tn_text_clear(&lines->line);
}

tenon_status tn_lines_status(const struct lines *lines)
{
    return lines->raw.failed || lines->line.failed ? TENON_ERROR_MEMORY : TENON_OK;
}

static void complete(struct lines *lines, size_t kept)
{
    tn_text_reset(&lines->line);
    tn_text_add_utf8(&lines->line, tn_text(&lines->raw), lines->raw.length - kept);
    lines->kept = kept;
    lines->complete = true;
}

/* How many bytes at the end may be the beginning of a character whose rest is still to come. */
static size_t open_character(const struct text *raw)
{
    const unsigned char *end = (const unsigned char *)tn_text(raw) + raw->length;
    size_t open = 0;

    for (size_t back = 1; back <= 3 && back <= raw->length && open == 0; back++) {
        unsigned char c = end[-(ptrdiff_t)back];
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        if (length > back)
            open = back;
        else if ((c & 0xc0) != 0x80)
            break;
    }
    return open;
}

/* Begins the next line, or the next piece of a long one. */
static void begin(struct lines *lines)
{
    if (lines->complete) {
        tn_text_drop(&lines->raw, lines->raw.length - lines->kept);
        lines->complete = false;
        lines->kept = 0;
    }
}

/* A line feed ends the line; behind a piece that was cut exactly there, it ends nothing. */
static void end_line(struct lines *lines)
{
    if (!lines->cut || lines->raw.length > 0)
        complete(lines, 0);
    lines->cut = false;
    lines->returned = false;
}

/* Adds plain bytes, as many as a piece has room for, and says how many. */
static size_t add_plain(struct lines *lines, const char *data, size_t size)
{
    size_t plain = 0, room;

    if (lines->returned)
        tn_text_reset(&lines->raw);
    lines->returned = false;
    room = LINE_LONGEST - lines->raw.length;
    while (plain < size && plain < room && data[plain] != '\n' && data[plain] != '\r')
        plain++;
    tn_text_add_n(&lines->raw, data, plain);
    if (lines->raw.length == LINE_LONGEST) {
        complete(lines, open_character(&lines->raw));
        lines->cut = true;
    }
    return plain;
}

size_t tn_lines_take(struct lines *lines, const char *data, size_t size)
{
    size_t taken = 0;

    begin(lines);
    while (taken < size && !lines->complete && tn_lines_status(lines) == TENON_OK)
        if (data[taken] == '\n') {
            end_line(lines);
            taken++;
        } else if (data[taken] == '\r') {
            lines->returned = true;
            taken++;
        } else
            taken += add_plain(lines, data + taken, size - taken);
    return taken;
}

bool tn_lines_end(struct lines *lines)
{
    begin(lines);
    if (lines->raw.length == 0)
        return false;
    complete(lines, 0);
    lines->cut = false;
    lines->returned = false;
    return true;
}

/* ---- the tail ---- */

/* Adds a line, or as much of it as people read. */
static void add_short(struct text *out, const struct text *line)
{
    size_t length = line->length < TAIL_LINE ? line->length : TAIL_LINE;

    /* Not in the middle of a character. */
    while (length < line->length && length > 0 && ((unsigned char)line->data[length] & 0xc0) == 0x80)
        length--;
    tn_text_add_n(out, tn_text(line), length);
    tn_text_add_char(out, '\n');
}

/* Gives out every line of the bytes, from the one with the number first on; returns how many there are. */
static size_t each_line(struct lines *lines, const char *data, size_t size, size_t first, struct text *out)
{
    size_t number = 0, taken = 0;

    while (taken < size || tn_lines_end(lines)) {
        if (taken < size)
            taken += tn_lines_take(lines, data + taken, size - taken);
        if (lines->complete && number++ >= first && out != NULL)
            add_short(out, &lines->line);
        if (tn_lines_status(lines) != TENON_OK)
            break;
    }
    return number;
}

static tenon_status read_end(const char *path, char *bytes, size_t *got, bool *whole, struct failure *failure)
{
    struct file_facts facts;
    int64_t from;
    tenon_status status = tn_file_look(path, &facts, failure);
    int fd = -1;

    *got = 0;
    *whole = true;
    if (status != TENON_OK || !facts.exists)
        return status;
    fd = tn_file_open(path, FILE_READ, failure);
    if (fd < 0)
        return failure->status;
    from = facts.bytes > TAIL_BYTES ? facts.bytes - TAIL_BYTES : 0;
    *whole = from == 0;
    status = tn_file_read_at(fd, bytes, TAIL_BYTES, from, got, path, failure);
    tn_file_close(&fd);
    return status;
}

tenon_status tn_lines_tail(const char *path, size_t count, struct text *out, struct failure *failure)
{
    char bytes[TAIL_BYTES];
    const char *start = bytes;
    size_t got, lines_there;
    bool whole;
    struct lines lines;
    tenon_status status = read_end(path, bytes, &got, &whole, failure);

    if (status != TENON_OK || got == 0)
        return status;
    if (!whole) {
        /* The first line there is only the end of one; but where nothing follows, that is all there is. */
        const char *feed = memchr(bytes, '\n', got);

        start = feed != NULL && feed + 1 < bytes + got ? feed + 1 : bytes;
    }
    got -= (size_t)(start - bytes);
    tn_lines_init(&lines, out->memory);
    lines_there = each_line(&lines, start, got, 0, NULL);
    each_line(&lines, start, got, lines_there > count ? lines_there - count : 0, out);
    if (tn_lines_status(&lines) != TENON_OK || tn_text_status(out) != TENON_OK)
        status = tn_fail_memory(failure);
    tn_lines_clear(&lines);
    return status;
}
