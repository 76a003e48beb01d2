/* A curve drawn with characters: the loss of a training job. */
#ifndef TOOL_CHART_H
#define TOOL_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct chart {
    double *points; /* pairs of x and y */
    size_t count;
    size_t room;
};

void chart_clear(struct chart *chart);
/* Points that are not finite are left out. False without memory. */
bool chart_add(struct chart *chart, double x, double y);
/* Draws rows lines of so many columns, an axis included; x runs to at least last. */
void chart_draw(const struct chart *chart, FILE *file, bool unicode, int columns, int rows, double last);

#endif
