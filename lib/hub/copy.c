#include "copy.h"

#include "file.h"

enum { SLICE = 1024 * 1024 };

void tn_copy_init(struct copy *copy, struct tenon_context *context)
{
    *copy = (struct copy) { .context = context, .input = -1, .output = -1 };
}

tenon_status tn_copy_start(struct copy *copy, const char *source, int output, struct hash *hash, struct failure *failure)
{
    copy->hash = hash;
    copy->output = output;
    copy->bytes = copy->durable = 0;
    copy->input = tn_file_open(source, FILE_READ, failure);
    return copy->input >= 0 ? TENON_OK : failure->status;
}

static tenon_status write_slice(struct copy *copy, const char *slice, size_t size, const char *target, struct failure *failure)
{
    int64_t most = tn_setting_integer(&copy->context->settings, SETTING_HUB_PART_BYTES), end = copy->bytes + (int64_t)size;
    tenon_status status = tn_file_write_at(copy->output, slice, size, copy->bytes, target, failure);

    if (status == TENON_OK && end - copy->durable >= most) {
        status = tn_file_sync(copy->output, target, failure);
        copy->durable = end;
    }
    return status;
}

tenon_status tn_copy_slice(struct copy *copy, const char *source, const char *target, struct failure *failure)
{
    char *slice = tn_alloc(&copy->context->memory, SLICE);
    size_t got = 0;
    tenon_status status = slice != NULL ? TENON_OK : tn_fail_memory(failure);

    if (status == TENON_OK)
        status = tn_file_read_at(copy->input, slice, SLICE, copy->bytes, &got, source, failure);
    if (status == TENON_OK && copy->output >= 0)
        status = write_slice(copy, slice, got, target, failure);
    if (status == TENON_OK) {
        if (copy->hash != NULL)
            tn_hash_add(copy->hash, slice, got);
        copy->bytes += (int64_t)got;
        status = got == SLICE ? TENON_AGAIN : TENON_OK;
    }
    tn_release(&copy->context->memory, slice);
    return status;
}

void tn_copy_stop(struct copy *copy)
{
    tn_file_close(&copy->input);
}
