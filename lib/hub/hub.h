/* The hub handle, and its operations as other folders use them: as parts of their own (tn_task_begin). */
#ifndef TN_HUB_H
#define TN_HUB_H

#include "context.h"
#include "repository.h"
#include "request.h"
#include "task.h"

struct tenon_hub {
    struct handle handle;
    char *endpoint; /* "https://host" without a slash at its end; NULL for a file: hub */
    char *folder;   /* of a file: hub; NULL for others */
    char *token;    /* NULL: none */
    char *cache;    /* cache folder */
    int32_t policy;
};

/* The hub of the setting hub.endpoint, with a reference; the caller is inside the context. */
tenon_status tn_hub_default(struct tenon_context *context, tenon_hub **hub);
/* hub with a reference, or the default one where it is NULL. */
tenon_status tn_hub_or_default(struct tenon_context *context, tenon_hub *hub, tenon_hub **out);
/* Gives the reference back; the caller is inside the context. */
void tn_hub_drop(tenon_hub *hub);

/*
 * The operations behind the public functions of the same name: made, not yet started. A failure is in the context's. The
 * caller is inside the context and either launches the task (tn_task_launch) or begins it as a part of another operation
 * (tn_task_begin) and gives it back (tn_task_drop).
 */
tenon_status tn_hub_info_new(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task);
tenon_status tn_hub_list_new(tenon_hub *hub, const char *repository, const tenon_list_options *options, tenon_task **task);
tenon_status tn_hub_download_new(tenon_hub *hub, const char *repository, const char *path, const tenon_download_options *options,
                                 tenon_task **task);
tenon_status tn_hub_snapshot_new(tenon_hub *hub, const char *repository, const tenon_download_options *options, tenon_task **task);
tenon_status tn_hub_read_new(tenon_hub *hub, const char *repository, const char *path, const tenon_read_options *options,
                             tenon_task **task);

/* ---- for the files of this folder ---- */

/* True when no request may be made. */
bool tn_hub_is_offline(const tenon_hub *hub, int32_t policy);
/* The policy of a call: its own, else the hub's, else the default; offline when the context is. */
int32_t tn_hub_policy(const tenon_hub *hub, int32_t asked);
/*
 * Makes a request one of this hub's: its token where the address is the hub's own, its errors, what for messages. The
 * address must be set. what is borrowed.
 */
void tn_hub_request(tenon_hub *hub, struct request *request, const char *what);
/* True when the answer is compressed. */
bool tn_hub_is_encoded(const struct request *request);
/* Adds "ENDPOINT/api/models/ID" and so on. */
void tn_hub_api(const tenon_hub *hub, const struct repository *repository, struct text *out);
/* Adds "ENDPOINT/ID/resolve/REVISION/PATH". */
void tn_hub_resolve(const tenon_hub *hub, const struct repository *repository, const char *revision, const char *path,
                    struct text *out);
/* The failure of a call that would need a request although none may be made. */
tenon_status tn_hub_fail_offline(struct failure *failure, const char *what);

#endif
