#include "supervision.h"

#include <stdio.h>
#include <string.h>

#include "file.h"
#include "path.h"

/* ---- whose it is ---- */

static bool is_ours(const struct supervision *s, const char *folder)
{
    char path[PATH_MAX + sizeof "/" LOCAL_LOCK];

    snprintf(path, sizeof path, "%s/" LOCAL_LOCK, folder);
    return system_is_at(s->lock, path);
}

/* Goes where it was moved, alone or with all jobs; false where it was removed. */
static bool follow(struct supervision *s)
{
    char path[PATH_MAX];
    bool found = system_find(s->lock, path, sizeof path) && strcmp(tn_path_name(path), LOCAL_LOCK) == 0;

    if (found) {
        path[strlen(path) - strlen("/" LOCAL_LOCK)] = '\0';
        found = is_ours(s, path);
    }
    if (found)
        strcpy(s->folder, path);
    return found;
}

bool keeps_folder(struct supervision *s)
{
    s->gone = s->gone || (!is_ours(s, s->folder) && !follow(s));
    return !s->gone;
}

/* ---- its files ---- */

tenon_status read_own(struct supervision *s, const char *name, json_t **json)
{
    return keeps_folder(s) ? tn_job_read_file(s->folder, name, json, &s->failure) : TENON_ERROR_NOT_FOUND;
}

void give_spare(struct supervision *s)
{
    struct text path;

    if (!keeps_folder(s))
        return;
    tn_text_init(&path, &s->memory, PATH_MAX);
    tn_path_join(&path, s->folder, LOCAL_SPARE);
    tn_file_remove(tn_text(&path), &s->failure);
    tn_text_clear(&path);
}

bool write_state(struct supervision *s, bool durable)
{
    tenon_status status;

    if (!keeps_folder(s))
        return false;
    status = tn_job_write_file(s->folder, LOCAL_STATE, s->state, durable, &s->failure);
    if (status == TENON_ERROR_DISK_FULL) {
        give_spare(s);
        status = tn_job_write_file(s->folder, LOCAL_STATE, s->state, durable, &s->failure);
    }
    if (status != TENON_OK)
        complain(s);
    return status == TENON_OK;
}
