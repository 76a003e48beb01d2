/* What is shown to people: safe text, numbers in words, bars, and lines that are redrawn in place. */
#ifndef TOOL_TERMINAL_H
#define TOOL_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One of the two streams. */
struct screen {
    FILE *file;
    bool live;    /* a terminal whose cursor can be moved */
    bool color;
    bool unicode; /* it shows more than ASCII */
    int drawn;    /* lines that the next drawing replaces */
};

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_BAD, STYLE_WARN, STYLE_COUNT };

void screen_open(struct screen *screen, FILE *file);
int screen_width(const struct screen *screen);
int screen_height(const struct screen *screen);
/* Replaces what was drawn last by these lines, each ending with a line feed. Nothing where the screen is not live. */
void screen_draw(struct screen *screen, const char *lines);
/* Takes away what was drawn last, so that other text can follow. */
void screen_erase(struct screen *screen);
/* Leaves what was drawn last where it is; the next drawing begins below. */
void screen_keep(struct screen *screen);
/* The escape code of a style; "" where the screen has no color. */
const char *style(const struct screen *screen, enum style style);

/*
 * Text from elsewhere, so that a terminal can only show it: control characters and those that turn the direction of
 * writing become "?". put_text keeps one line, put_lines keeps line feeds and tabs.
 */
void put_text(FILE *file, const char *text);
void put_lines(FILE *file, const char *text);
/* As put_text, cut or filled with blanks to so many columns. */
void put_column(FILE *file, const char *text, int columns);
int text_columns(const char *text);

/* A bar: the part from 0 to solid is full, from there to faint is shaded; both are shares of the whole. */
void put_bar(const struct screen *screen, FILE *file, double solid, double faint, int columns);

/* Numbers in words, given back by value. */
struct words {
    char text[64];
};

struct words say_bytes(int64_t bytes);      /* 1.24 GB, as hubs count; "?" for an unknown size */
struct words say_memory(int64_t bytes);     /* 1.15 GiB, as memory is counted */
struct words say_count(double count);       /* 41.2k */
struct words say_duration(int64_t ms);      /* 1 min 20 s */
struct words say_day(int64_t ms);           /* 2024-01-31 */
struct words say_number(double number);     /* 4 significant digits */
int64_t now_ms(void);                       /* never goes back */

#endif
