#include "chart.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 9 }; /* columns of the numbers on the left, the axis included */

/* A grid of dots. In Unicode a character has 2 x 4 of them (braille), in ASCII it is one. */
struct canvas {
    uint8_t *dots;
    int width, height;
};

void chart_clear(struct chart *chart)
{
    free(chart->points);
    memset(chart, 0, sizeof *chart);
}

bool chart_add(struct chart *chart, double x, double y)
{
    if (!isfinite(x) || !isfinite(y))
        return true;
    if (chart->count == chart->room) {
        size_t room = chart->room > 0 ? 2 * chart->room : 256;
        double *points = realloc(chart->points, room * 2 * sizeof *points);

        if (points == NULL)
            return false;
        chart->points = points;
        chart->room = room;
    }
    chart->points[2 * chart->count] = x;
    chart->points[2 * chart->count + 1] = y;
    chart->count++;
    return true;
}

static void find_range(const struct chart *chart, int axis, double *low, double *high)
{
    *low = DBL_MAX;
    *high = -DBL_MAX;
    for (size_t i = 0; i < chart->count; i++) {
        *low = fmin(*low, chart->points[2 * i + axis]);
        *high = fmax(*high, chart->points[2 * i + axis]);
    }
}

static int to_dot(double value, double low, double high, int dots)
{
    double share = high > low ? (value - low) / (high - low) : 0;

    /* Of numbers near the largest the difference is infinite. */
    return share >= 0 && share <= 1 ? (int)lround(share * (dots - 1)) : 0;
}

/* A straight line of dots, both ends included. */
static void draw_line(struct canvas *canvas, int x, int y, int to_x, int to_y)
{
    int steps = abs(to_x - x) > abs(to_y - y) ? abs(to_x - x) : abs(to_y - y);

    for (int i = 0; i <= steps; i++) {
        int dot_x = x + (steps > 0 ? (to_x - x) * i / steps : 0), dot_y = y + (steps > 0 ? (to_y - y) * i / steps : 0);

        canvas->dots[dot_y * canvas->width + dot_x] = 1;
    }
}

/* Several points over one dot are shown by their mean. */
static void draw_curve(const struct chart *chart, struct canvas *canvas, double x_low, double x_high, double y_low, double y_high)
{
    int last_x = -1, last_y = 0;

    for (size_t i = 0; i < chart->count;) {
        int x = to_dot(chart->points[2 * i], x_low, x_high, canvas->width), y;
        double sum = 0;
        size_t count = 0;

        for (; i < chart->count && to_dot(chart->points[2 * i], x_low, x_high, canvas->width) == x; i++, count++)
            sum += chart->points[2 * i + 1];
        y = canvas->height - 1 - to_dot(sum / (double)count, y_low, y_high, canvas->height);
        draw_line(canvas, last_x < 0 ? x : last_x, last_x < 0 ? y : last_y, x, y);
        last_x = x;
        last_y = y;
    }
}

static uint8_t dot(const struct canvas *canvas, int x, int y)
{
    return canvas->dots[y * canvas->width + x];
}

/* The braille character of 2 x 4 dots: U+2800 and one bit for each. */
static void put_braille(const struct canvas *canvas, FILE *file, int column, int row)
{
    static const uint8_t bits[4][2] = { { 1, 8 }, { 2, 16 }, { 4, 32 }, { 64, 128 } };
    unsigned pattern = 0;

    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 2; x++)
            pattern |= dot(canvas, 2 * column + x, 4 * row + y) ? bits[y][x] : 0u;
    if (pattern == 0)
        fputc(' ', file);
    else
        fprintf(file, "%c%c%c", 0xe2, (int)(0xa0 | pattern >> 6), (int)(0x80 | (pattern & 0x3f)));
}

static void put_rows(const struct canvas *canvas, FILE *file, bool unicode, int columns, int rows, double low, double high)
{
    for (int row = 0; row < rows; row++) {
        if (row == 0 || row == rows - 1)
            fprintf(file, "%*.3g %s", LABEL - 2, row == 0 ? high : low, unicode ? "┤" : "|");
        else
            fprintf(file, "%*s%s", LABEL - 1, "", unicode ? "│" : "|");
        for (int column = 0; column < columns; column++) {
            if (unicode)
                put_braille(canvas, file, column, row);
            else
                fputc(dot(canvas, column, row) ? '*' : ' ', file);
        }
        fputc('\n', file);
    }
}

static void put_axis(FILE *file, bool unicode, int columns, double low, double high)
{
    fprintf(file, "%*s%s", LABEL - 1, "", unicode ? "└" : "+");
    for (int column = 0; column < columns; column++)
        fputs(unicode ? "─" : "-", file);
    fprintf(file, "\n%*s%-*.6g%*.6g\n", LABEL, "", columns / 2, low, columns - columns / 2, high);
}

void chart_draw(const struct chart *chart, FILE *file, bool unicode, int columns, int rows, double last)
{
    struct canvas canvas = { NULL, 0, 0 };
    double x_low, x_high, y_low, y_high;

    columns -= LABEL;
    rows -= 2;
    if (chart->count == 0 || columns < 8 || rows < 2)
        return;
    canvas.width = unicode ? 2 * columns : columns;
    canvas.height = unicode ? 4 * rows : rows;
    canvas.dots = calloc((size_t)canvas.width, (size_t)canvas.height);
    if (canvas.dots == NULL)
        return;
    find_range(chart, 0, &x_low, &x_high);
    find_range(chart, 1, &y_low, &y_high);
    x_high = fmax(x_high, last);
    draw_curve(chart, &canvas, x_low, x_high, y_low, y_high);
    put_rows(&canvas, file, unicode, columns, rows, y_low, y_high);
    put_axis(file, unicode, columns, x_low, x_high);
    free(canvas.dots);
}
