/*
 * The one table of settings: key, type, unit, default, bounds, environment, secret or not, since. Everything that can be
 * set is a row of it; the documentation, the environment look-up and the checks are made from the rows.
 */
#ifndef TN_SETTINGS_H
#define TN_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "memory.h"
#include "text.h"

enum setting_id {
    SETTING_HOME,
    SETTING_HUB_ENDPOINT,
    SETTING_HUB_TOKEN,
    SETTING_HUB_TOKEN_PATH,
    SETTING_HUB_NO_TOKEN,
    SETTING_HUB_HOME,
    SETTING_HUB_CACHE,
    SETTING_HUB_OFFLINE,
    SETTING_HUB_NO_LINKS,
    SETTING_HUB_FILES,
    SETTING_HUB_PARTS,
    SETTING_HUB_PART_BYTES,
    SETTING_HUB_LOCK_MS,
    SETTING_TRANSPORT_CONNECT_MS,
    SETTING_TRANSPORT_IDLE_MS,
    SETTING_TRANSPORT_TOTAL_MS,
    SETTING_TRANSPORT_RETRIES,
    SETTING_TRANSPORT_BACKOFF_MS,
    SETTING_TRANSPORT_WAIT_MS,
    SETTING_TRANSPORT_CONNECTIONS,
    SETTING_TRANSPORT_HTTPS_PROXY,
    SETTING_TRANSPORT_HTTP_PROXY,
    SETTING_TRANSPORT_NO_PROXY,
    SETTING_TRANSPORT_CA_FILE,
    SETTING_TRANSPORT_CA_FOLDER,
    SETTING_TRANSPORT_USER_AGENT,
    SETTING_TRANSPORT_JSON_BYTES,
    SETTING_ACCELERATOR_ROOT,
    SETTING_JOB_FOLDER,
    SETTING_JOB_STATE_HOME,
    SETTING_JOB_SUPERVISOR,
    SETTING_JOB_PATH,
    SETTING_JOB_GRACE_MS,
    SETTING_JOB_READY_MS,
    SETTING_INFERENCE_IDLE_MS,
    SETTING_COUNT
};

struct settings {
    const struct memory *memory;
    struct secrets *secrets;
    char *environment[SETTING_COUNT]; /* as found when the context was opened; NULL for none */
    char *values[SETTING_COUNT];      /* as set by the caller; NULL for none */
    char **inherited;                 /* what a local job gets of our environment, "NAME=value"; ends with NULL */
};

tenon_status tn_settings_open(struct settings *settings, const struct memory *memory, struct secrets *secrets, bool environment);
void tn_settings_clear(struct settings *settings);
/* What a local job gets of the environment, as it was when the context was opened; ends with NULL, never NULL itself. */
const char *const *tn_settings_inherited(const struct settings *settings);
/* value NULL gives back the default. */
tenon_status tn_settings_set(struct settings *settings, const char *key, const char *value, struct failure *failure);
/* The same from "key=value". */
tenon_status tn_settings_assign(struct settings *settings, const char *row, struct failure *failure);
/* Adds what is in force to out, "(set)" for a secret and for user and password of an address. */
tenon_status tn_settings_show(const struct settings *settings, const char *key, struct text *out, struct failure *failure);

/* What is in force; NULL when nothing is set and there is no default. */
const char *tn_setting_text(const struct settings *settings, enum setting_id id);
const char *tn_setting_key(enum setting_id id);
int64_t tn_setting_integer(const struct settings *settings, enum setting_id id);
bool tn_setting_flag(const struct settings *settings, enum setting_id id);
/* Adds the path to out, with ~ and the rules of its default filled in; nothing when there is none. */
void tn_setting_path(const struct settings *settings, enum setting_id id, struct text *out);

#endif
