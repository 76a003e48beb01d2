/*
 * Looking at this machine: what it has for models to run on. Nothing is linked for it, nothing is started, and everything
 * is looked for below a root folder, so that a test can make a machine out of plain files. A probe finds less rather than
 * failing: files that are missing, odd or too large count as absent. The one way to fail is for want of memory.
 */
#ifndef TN_PROBE_H
#define TN_PROBE_H

#include "context.h"
#include "machine.h"

/* Adds all that this machine has to the inventory; the CPU comes first and is always there. */
tenon_status tn_probe(struct tenon_context *context, struct inventory *inventory);

/* ---- the probes, one for each kind ---- */

tenon_status tn_probe_cpu(struct inventory *inventory, const char *root);
/* Asks the driver's own library, which is loaded for the moment. */
tenon_status tn_probe_nvidia(struct inventory *inventory, const char *root);
tenon_status tn_probe_amd(struct inventory *inventory, const char *root);
tenon_status tn_probe_tpu(struct inventory *inventory, const char *root);

/* ---- for the probes ---- */

enum { ROOT_PATH = 4096 };

/* The path of something below root; false where that would be too long to exist. */
bool tn_root_path(char path[ROOT_PATH], const char *root, const char *name);
bool tn_root_exists(const char *root, const char *name);
/* Puts the content of a file below root into out; nothing where there is no such file. False without memory. */
bool tn_root_read(const char *root, const char *name, size_t limit, struct text *out);
/* The whole number that the file consists of, in decimal or with 0x; false for anything else. */
bool tn_root_integer(const struct memory *memory, const char *root, const char *name, int64_t *number);
/* Calls see for each name in a folder below root, in the order of their names; it returns false to stop. */
tenon_status tn_root_folder(const struct memory *memory, const char *root, const char *path,
                            bool (*see)(void *user, const char *name), void *user);
/* Cuts the next piece up to separator off *rest; NULL when nothing is left. */
char *tn_cut(char **rest, char separator);

#endif
