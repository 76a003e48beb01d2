#include "terminal.h"

#include <inttypes.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- the screen ---- */

void screen_open(struct screen *screen, FILE *file)
{
    const char *terminal = getenv("TERM"), *no_color = getenv("NO_COLOR");

    screen->file = file;
    screen->live = isatty(fileno(file)) && terminal != NULL && *terminal != '\0' && strcmp(terminal, "dumb") != 0;
    screen->color = screen->live && (no_color == NULL || *no_color == '\0');
    screen->unicode = strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
    screen->drawn = 0;
}

static struct winsize window(const struct screen *screen)
{
    struct winsize size = { 0 };

    if (ioctl(fileno(screen->file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size.ws_col = 80;
    if (size.ws_row == 0)
        size.ws_row = 24;
    return size;
}

int screen_width(const struct screen *screen)
{
    return window(screen).ws_col;
}

int screen_height(const struct screen *screen)
{
    return window(screen).ws_row;
}

static int count_lines(const char *text)
{
    int lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

void screen_draw(struct screen *screen, const char *lines)
{
    if (!screen->live)
        return;
    fputs("\033[?7l", screen->file); /* what is too long is cut, not wrapped */
    if (screen->drawn > 0)
        fprintf(screen->file, "\r\033[%dA", screen->drawn);
    for (const char *line = lines; *line != '\0';) {
        int length = (int)strcspn(line, "\n");

        fprintf(screen->file, "%.*s\033[K\n", length, line);
        line += length + (line[length] == '\n');
    }
    fputs("\033[J\033[?7h", screen->file);
    fflush(screen->file);
    screen->drawn = count_lines(lines);
}

void screen_erase(struct screen *screen)
{
    if (screen->live && screen->drawn > 0) {
        fprintf(screen->file, "\r\033[%dA\033[J", screen->drawn);
        fflush(screen->file);
    }
    screen->drawn = 0;
}

void screen_keep(struct screen *screen)
{
    screen->drawn = 0;
}

const char *style(const struct screen *screen, enum style style)
{
    static const char *const codes[STYLE_COUNT] = { "\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[33m" };

    return screen->color ? codes[style] : "";
}

/* ---- text ---- */

/* Reads one character of UTF-8; a byte that begins none stands for U+FFFD. */
static size_t read_character(const char *text, uint32_t *code)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t size = byte[0] < 0x80 ? 1 : byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;

    *code = size == 1 ? byte[0] : byte[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((byte[i] & 0xc0) != 0x80) {
            *code = 0xfffd;
            return 1;
        }
        *code = *code << 6 | (byte[i] & 0x3f);
    }
    if ((byte[0] >= 0x80 && byte[0] < 0xc2) || byte[0] > 0xf4) {
        *code = 0xfffd;
        size = 1;
    }
    return size;
}

/* Would a terminal do something else with it than show it? */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xfffd || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* East Asian characters and pictures take two columns, combining marks none. */
static int character_columns(uint32_t code)
{
    static const struct {
        uint32_t first, last;
        int columns;
    } ranges[] = {
        { 0x0300, 0x036f, 0 }, { 0x1100, 0x115f, 2 }, { 0x200b, 0x200f, 0 }, { 0x2e80, 0xa4cf, 2 }, { 0xac00, 0xd7a3, 2 },
        { 0xf900, 0xfaff, 2 }, { 0xfe00, 0xfe0f, 0 }, { 0xfe30, 0xfe6f, 2 }, { 0xff00, 0xff60, 2 }, { 0xffe0, 0xffe6, 2 },
        { 0x1f300, 0x1faff, 2 }, { 0x20000, 0x3fffd, 2 },
    };
    int columns = 1;

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            columns = ranges[i].columns;
    return columns;
}

/* Writes characters until the text or the columns end; gives the columns that were used. */
static int put_characters(FILE *file, const char *text, const char *kept, int most)
{
    int used = 0;

    while (text != NULL && *text != '\0') {
        uint32_t code;
        size_t size = read_character(text, &code);
        bool keep = code < 0x80 && strchr(kept, (int)code) != NULL;
        int columns = character_columns(code);

        if (used + columns > most)
            break;
        if (is_unsafe(code) && !keep)
            fputc(code == '\t' || code == '\n' ? ' ' : '?', file);
        else
            fwrite(text, 1, size, file);
        used += columns;
        text += size;
    }
    return used;
}

void put_text(FILE *file, const char *text)
{
    put_characters(file, text, "", INT32_MAX);
}

void put_lines(FILE *file, const char *text)
{
    put_characters(file, text, "\n\t", INT32_MAX);
}

int text_columns(const char *text)
{
    int columns = 0;

    while (text != NULL && *text != '\0') {
        uint32_t code;

        text += read_character(text, &code);
        columns += character_columns(code);
    }
    return columns;
}

void put_column(FILE *file, const char *text, int columns)
{
    bool cut = text_columns(text) > columns;
    int used = put_characters(file, text, "", cut ? columns - 2 : columns);

    if (cut) {
        fputs("..", file);
        used += 2;
    }
    fprintf(file, "%*s", columns - used, "");
}

void put_bar(const struct screen *screen, FILE *file, double solid, double faint, int columns)
{
    static const char *const blocks[] = { "█", "▒", "░" }, *const letters[] = { "#", "=", "." };
    const char *const *marks = screen->unicode ? blocks : letters;

    for (int i = 0; i < columns; i++) {
        double here = (i + 0.5) / columns;

        fputs(here < solid ? marks[0] : here < faint ? marks[1] : marks[2], file);
    }
}

/* ---- numbers ---- */

/* 3 digits and a unit: 1.24 GB. */
static struct words scale(double number, double step, const char *const *units, int unit_count)
{
    struct words words;
    int unit = 0;

    while (unit + 1 < unit_count && number >= step * 0.9995) {
        number /= step;
        unit++;
    }
    snprintf(words.text, sizeof words.text, "%.*f%s", unit == 0 || number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2, number, units[unit]);
    return words;
}

struct words say_bytes(int64_t bytes)
{
    static const char *const units[] = { " B", " kB", " MB", " GB", " TB", " PB", " EB" };

    return bytes < 0 ? (struct words){ "?" } : scale((double)bytes, 1000, units, 7);
}

struct words say_memory(int64_t bytes)
{
    static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" };

    return bytes < 0 ? (struct words){ "?" } : scale((double)bytes, 1024, units, 7);
}

struct words say_count(double count)
{
    static const char *const units[] = { "", "k", "M", "G", "T", "P" };

    return !isfinite(count) || count < 0 ? (struct words){ "?" } : scale(count, 1000, units, 6);
}

struct words say_duration(int64_t ms)
{
    static const struct {
        int64_t seconds;
        const char *large, *small;
        int64_t unit;
    } steps[] = { { 86400, "d", "h", 3600 }, { 3600, "h", "min", 60 }, { 60, "min", "s", 1 } };
    int64_t seconds = ms / 1000;
    struct words words;

    if (ms < 0)
        return (struct words){ "?" };
    snprintf(words.text, sizeof words.text, "%.*f s", ms < 995 ? 2 : 0, (double)ms / 1000);
    for (int i = 2; i >= 0; i--)
        if (seconds >= steps[i].seconds)
            snprintf(words.text, sizeof words.text, "%" PRId64 " %s %" PRId64 " %s", seconds / steps[i].seconds, steps[i].large,
                     seconds % steps[i].seconds / steps[i].unit, steps[i].small);
    return words;
}

struct words say_day(int64_t ms)
{
    struct words words = { "?" };
    time_t seconds = (time_t)(ms / 1000);
    struct tm day;

    if (ms >= 0 && gmtime_r(&seconds, &day) != NULL)
        strftime(words.text, sizeof words.text, "%Y-%m-%d", &day);
    return words;
}

struct words say_number(double number)
{
    struct words words;

    snprintf(words.text, sizeof words.text, "%.4g", number);
    return words;
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
