/*
 * What killed processes left behind goes with the next download that comes to its end. Best effort, and never what a living
 * process works on: a content that has its name is looked at under its lock; anything else must not have been touched for
 * an hour.
 */
#ifndef TN_SWEEP_H
#define TN_SWEEP_H

#include "cache.h"

void tn_sweep_cache(const struct cache *cache);
/* The notes beside the files of one folder of the user's: those of the folder that path is in. */
void tn_sweep_notes(struct tenon_context *context, const char *folder, const char *path);

#endif
