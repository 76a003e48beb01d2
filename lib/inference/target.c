#include "target.h"

#include <string.h>

#include "job.h"
#include "url.h"

enum { ADDRESS_LIMIT = 16 * 1024, KEY_LIMIT = 16 * 1024 };

void tn_target_init(struct target *target, struct tenon_context *context)
{
    tn_text_init(&target->address, &context->memory, ADDRESS_LIMIT);
    tn_text_init(&target->key, &context->memory, KEY_LIMIT);
}

void tn_target_clear(struct target *target)
{
    tn_text_clear(&target->address);
    tn_text_clear(&target->key);
}

const char *tn_target_key(const struct target *target)
{
    return target->key.length > 0 ? tn_text(&target->key) : NULL;
}

static tenon_status open_address(struct target *target, const char *name, struct failure *failure)
{
    struct text origin;
    tenon_status status = TENON_OK;
    bool good;

    tn_text_init(&origin, target->address.memory, ADDRESS_LIMIT);
    good = tn_url_origin(name, &origin) && strlen(name) <= ADDRESS_LIMIT;
    if (!good && origin.failed && !origin.full)
        status = tn_fail_memory(failure);
    else if (!good) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" is neither a job's id nor the address of a server", name);
        tn_hint(failure, "Give an id as local:0123456789ab, or an address as http://127.0.0.1:8000/v1.");
    } else if (name[strcspn(name, "?#")] != '\0') {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "the address \"%s\" does not end with its path", name);
        tn_hint(failure, "Leave out what begins with ? or #: the calls are added behind the path.");
    } else
        tn_text_add(&target->address, name);
    tn_text_clear(&origin);
    return status;
}

tenon_status tn_target_open(struct target *target, struct tenon_context *context, const char *name, const char *key,
                            struct failure *failure)
{
    /* No id has a slash; an address that lacks its beginning is told so. */
    bool is_address = name != NULL && strchr(name, '/') != NULL;
    tenon_status status = TENON_OK;

    if (name == NULL)
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "no target is given");
    else if (is_address && tn_url_add_secret(name, &context->secrets) != TENON_OK)
        status = tn_fail_memory(failure);
    else if (is_address)
        status = open_address(target, name, failure);
    else
        status = tn_job_endpoint(context, name, &target->address, &target->key, failure);
    if (status == TENON_OK && key != NULL) {
        tn_text_reset(&target->key);
        tn_text_add(&target->key, key);
    }
    while (target->address.length > 0 && target->address.data[target->address.length - 1] == '/')
        target->address.data[--target->address.length] = '\0';
    if (status == TENON_OK &&
        (target->address.failed || target->key.failed || tn_secrets_add(&context->secrets, tn_text(&target->key)) != TENON_OK))
        status = tn_fail_memory(failure);
    return status;
}
