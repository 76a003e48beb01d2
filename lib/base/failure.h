/*
 * What went wrong, for a person and for a program: the detail behind a tenon_status.
 *
 * A frame that can fail has a failure of its own and hands it up with tn_failure_move, so that a caller may look at a
 * failure, survive it, and forget it. Messages are one line, name the thing, and hold no control characters and none of
 * the context's secrets. Filling one in never fails: without memory the status stands alone with a fixed text.
 */
#ifndef TN_FAILURE_H
#define TN_FAILURE_H

#include "memory.h"

struct secrets;

struct failure {
    const struct memory *memory;
    const struct secrets *secrets;
    tenon_status status;
    int32_t http_status;
    int32_t system_error;
    int64_t retry_after_ms;
    char *message;
    char *hint;
    char *code;
    char *request_id;
};

void tn_failure_init(struct failure *failure, const struct memory *memory, const struct secrets *secrets);
void tn_failure_clear(struct failure *failure);

/* Notes the failure in place of an earlier one, and returns its status. */
tenon_status tn_fail(struct failure *failure, tenon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a system call: adds what errno says, and picks DISK_FULL, MEMORY, NOT_FOUND or IO by it. */
tenon_status tn_fail_system(struct failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
tenon_status tn_fail_memory(struct failure *failure);
/* Says what to do about it; returns the failure's status. */
tenon_status tn_hint(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_failure_set_code(struct failure *failure, const char *code);
void tn_failure_set_request_id(struct failure *failure, const char *id);
/* Hands the detail from one failure to another; returns its status. */
tenon_status tn_failure_move(struct failure *to, struct failure *from);
/* Its message; for one that has none, what its status means. */
const char *tn_failure_message(const struct failure *failure);
tenon_status tn_failure_row(const struct failure *failure, tenon_error *row);

/* The values that no log line and no message may hold: tokens, keys. */
struct secrets {
    const struct memory *memory;
    char **values;
    size_t count;
};

tenon_status tn_secrets_add(struct secrets *secrets, const char *value);
void tn_secrets_clear(struct secrets *secrets);
/* Overwrites every secret in text with stars, in place. */
void tn_secrets_mask(const struct secrets *secrets, char *text);
/*
 * Makes text one clean line of at most that many bytes, in place: valid UTF-8, no control characters, no secrets (NULL:
 * there are none).
 */
void tn_clean_line(const struct secrets *secrets, char *text, size_t most);

#endif
