#include "failure.h"

#include <errno.h>
#include <string.h>

#include "row.h"
#include "text.h"

/* What comes from elsewhere may be long: it is formatted whole, masked, and only then cut. */
enum { MESSAGE_MOST = 4000, CODE_MOST = 200, FORMAT_LIMIT = 256 * 1024, SECRET_LEAST = 6 };

void tn_failure_init(struct failure *failure, const struct memory *memory, const struct secrets *secrets)
{
    memset(failure, 0, sizeof *failure);
    failure->memory = memory;
    failure->secrets = secrets;
    failure->retry_after_ms = -1;
}

void tn_failure_clear(struct failure *failure)
{
    if (failure->memory == NULL)
        return;
    tn_release(failure->memory, failure->message);
    tn_release(failure->memory, failure->hint);
    tn_release(failure->memory, failure->code);
    tn_release(failure->memory, failure->request_id);
    tn_failure_init(failure, failure->memory, failure->secrets);
}

/* Masked before it is cut: half a secret is a secret too. */
void tn_clean_line(const struct secrets *secrets, char *text, size_t most)
{
    unsigned char *bytes = (unsigned char *)text;
    size_t length = strlen(text), at = 0, step = 0;

    if (secrets != NULL)
        tn_secrets_mask(secrets, text);
    for (; at < length; at += step) {
        size_t good = tn_utf8_length(bytes + at, length - at);

        step = good == 0 ? 1 : good;
        if (at + step > most)
            break;
        if (good == 0 || bytes[at] < 0x20 || bytes[at] == 0x7f || (bytes[at] == 0xc2 && bytes[at + 1] < 0xa0))
            memset(bytes + at, bytes[at] == '\n' || bytes[at] == '\r' || bytes[at] == '\t' ? ' ' : '?', step);
    }
    text[at] = '\0';
}

/* The line without the reason where that is NULL; NULL without memory. */
static char *make_line(const struct failure *failure, const char *reason, const char *format, va_list arguments)
{
    struct text text;
    char *line;

    tn_text_init(&text, failure->memory, FORMAT_LIMIT);
    tn_text_format_v(&text, format, arguments);
    if (reason != NULL)
        tn_text_format(&text, ": %s", reason);
    line = tn_text_take(&text);
    if (line != NULL)
        tn_clean_line(failure->secrets, line, MESSAGE_MOST);
    return line;
}

/* The line was made before the earlier failure is forgotten, because it may quote that. */
static void note(struct failure *failure, tenon_status status, char *line)
{
    tn_failure_clear(failure);
    failure->status = status;
    failure->message = line;
}

tenon_status tn_fail(struct failure *failure, tenon_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    note(failure, status, make_line(failure, NULL, format, arguments));
    va_end(arguments);
    return status;
}

tenon_status tn_fail_memory(struct failure *failure)
{
    tn_failure_clear(failure);
    failure->status = TENON_ERROR_MEMORY;
    return TENON_ERROR_MEMORY;
}

static tenon_status status_of_errno(int error)
{
    tenon_status status = TENON_ERROR_IO;

    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        status = TENON_ERROR_DISK_FULL;
    else if (error == ENOMEM)
        status = TENON_ERROR_MEMORY;
    else if (error == ENOENT || error == ENOTDIR)
        status = TENON_ERROR_NOT_FOUND;
    return status;
}

static const char *hint_of_errno(int error)
{
    static const struct {
        int error;
        const char *hint;
    } hints[] = {
        { ENOSPC, "Free some space on that disk, or choose another folder." },
        { EDQUOT, "Your disk quota is used up: free some space, or choose another folder." },
        { EACCES, "Check the permissions of the path, or choose another folder." },
        { EPERM, "Check the permissions of the path, or choose another folder." },
        { EROFS, "The file system is read-only; choose another folder." },
        { EMFILE, "Too many files are open in this process; raise its limit (ulimit -n)." },
        { ENFILE, "Too many files are open on this machine." },
        { ENAMETOOLONG, "Choose a folder with a shorter path." },
        { ENOMEM, "The system has no memory for it now; close other programs, and try again." },
        { EIO, "The disk reports an error; check it before you go on." },
    };
    const char *hint = NULL;

    for (size_t i = 0; i < sizeof hints / sizeof hints[0] && hint == NULL; i++)
        if (hints[i].error == error)
            hint = hints[i].hint;
    return hint;
}

tenon_status tn_fail_system(struct failure *failure, int error, const char *format, ...)
{
    va_list arguments;
    char reason[128];
    bool known = strerror_r(error, reason, sizeof reason) == 0;

    va_start(arguments, format);
    note(failure, status_of_errno(error), make_line(failure, known ? reason : NULL, format, arguments));
    va_end(arguments);
    failure->system_error = error;
    if (hint_of_errno(error) != NULL)
        tn_hint(failure, "%s", hint_of_errno(error));
    return failure->status;
}

tenon_status tn_hint(struct failure *failure, const char *format, ...)
{
    va_list arguments;
    char *line;

    va_start(arguments, format);
    line = make_line(failure, NULL, format, arguments);
    va_end(arguments);
    tn_release(failure->memory, failure->hint);
    failure->hint = line;
    return failure->status;
}

static void set_clean(const struct failure *failure, char **field, const char *value)
{
    char *copy = tn_copy(failure->memory, value);

    if (copy != NULL)
        tn_clean_line(failure->secrets, copy, CODE_MOST);
    tn_release(failure->memory, *field);
    *field = copy;
}

void tn_failure_set_code(struct failure *failure, const char *code)
{
    set_clean(failure, &failure->code, code);
}

void tn_failure_set_request_id(struct failure *failure, const char *id)
{
    set_clean(failure, &failure->request_id, id);
}

tenon_status tn_failure_move(struct failure *to, struct failure *from)
{
    tenon_status status = from->status;

    if (to != from) {
        const struct memory *memory = to->memory;
        const struct secrets *secrets = to->secrets;

        tn_failure_clear(to);
        *to = *from;
        to->memory = memory;
        to->secrets = secrets;
        tn_failure_init(from, from->memory, from->secrets);
    }
    return status;
}

static const char *fixed_message(tenon_status status)
{
    const char *message = "";

    if (status == TENON_ERROR_MEMORY)
        message = "out of memory";
    else if (status == TENON_ERROR_CANCELLED)
        message = "cancelled";
    else if (status < 0)
        message = tenon_status_name(status);
    return message;
}

const char *tn_failure_message(const struct failure *failure)
{
    return failure->message != NULL ? failure->message : fixed_message(failure->status);
}

tenon_status tn_failure_row(const struct failure *failure, tenon_error *row)
{
    tenon_error full = { .struct_size = sizeof full };

    full.status = failure->status;
    full.message = tn_failure_message(failure);
    full.hint = failure->hint;
    full.code = failure->code;
    full.request_id = failure->request_id;
    full.http_status = failure->http_status;
    full.system_error = failure->system_error;
    full.retry_after_ms = failure->retry_after_ms;
    return tn_row_give(&tn_row_error, &full, row);
}

tenon_status tn_secrets_add(struct secrets *secrets, const char *value)
{
    size_t length = strlen(value), place = 0;
    char **values, *copy;

    if (length < SECRET_LEAST)
        return TENON_OK;
    for (size_t i = 0; i < secrets->count; i++)
        if (strcmp(secrets->values[i], value) == 0)
            return TENON_OK;
    values = tn_resize(secrets->memory, secrets->values, (secrets->count + 1) * sizeof *values);
    if (values == NULL)
        return TENON_ERROR_MEMORY;
    secrets->values = values;
    copy = tn_copy(secrets->memory, value);
    if (copy == NULL)
        return TENON_ERROR_MEMORY;
    /* Long ones first: masking one that is a part of another would leave the rest of that to be read. */
    while (place < secrets->count && strlen(values[place]) >= length)
        place++;
    memmove(values + place + 1, values + place, (secrets->count - place) * sizeof *values);
    values[place] = copy;
    secrets->count++;
    return TENON_OK;
}

void tn_secrets_clear(struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++)
        tn_release(secrets->memory, secrets->values[i]);
    tn_release(secrets->memory, secrets->values);
    secrets->values = NULL;
    secrets->count = 0;
}

void tn_secrets_mask(const struct secrets *secrets, char *text)
{
    for (size_t i = 0; i < secrets->count; i++)
        for (char *found = text; (found = strstr(found, secrets->values[i])) != NULL;)
            memset(found, '*', strlen(secrets->values[i]));
}
