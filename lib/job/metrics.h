/*
 * Metrics: lines of a log that are measurements. Training programs print them in two forms, and neither needs tenon: JSON
 * objects, and Python dictionaries as the Trainer of the Transformers library does. Numbers that are no JSON (NaN,
 * Infinity) and numbers written as text are understood in both.
 */
#ifndef TN_METRICS_H
#define TN_METRICS_H

#include "failure.h"
#include "memory.h"

/* Reads a line. TENON_DONE: it is no measurement. Else row->json is a new text, to be given back with tn_release. */
tenon_status tn_metric_read(const struct memory *memory, const char *line, tenon_metric *row);

#endif
