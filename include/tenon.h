/*
 * tenon.h - the whole public interface of libtenon.
 *
 * tenon joins three things: an open model on a hub, an accelerator somewhere, and the job that trains or serves the one
 * on the other. This header is the reference; bindings are generated from it.
 *
 * How to read it
 *
 *   Handles    tenon_context, tenon_task, tenon_hub, tenon_accelerator, tenon_job are opaque and counted: `_ref` adds a
 *              reference, `_free` drops one and accepts NULL. Each keeps what it needs alive, so they may be freed in any
 *              order, and from any thread.
 *   Tasks      Whatever may wait takes `tenon_task **task` as its last parameter. It checks its arguments and returns at
 *              once; nothing has been asked of anyone yet. With task NULL the same call waits until the end instead.
 *   Results    are read from the task: one text, the service's own JSON, bytes, or rows pulled one at a time. The tags
 *              @text, @json, @bytes and @row of a function say what its task yields.
 *   Callbacks  None is needed. The three that can be given (allocator, logger, clock) are called only inside a tenon call
 *              made by the same caller, and may call nothing of the same context but tenon_context_wake and the frees.
 *   Status     Every function that can fail returns tenon_status: negative is an error, anything else is not. The detail
 *              is in tenon_task_error for what a task did, in tenon_context_error for everything else.
 *   Text       is UTF-8 and ends with a NUL. Text in a row is never NULL: what is absent is "". It is borrowed, and lives
 *              until the next row of that task is taken or the object it was read from is freed.
 *   Numbers    Units are in the name. Times are milliseconds since 1970, UTC. In a row an unknown integer is -1 and an
 *              unknown double is not a number. In options 0 and NULL stand for the default.
 *
 * Threads: a context and all its handles belong to one thread at a time ("one"), which need not be always the same; a
 * second thread inside at the same moment is told TENON_ERROR_MISUSE. Calls marked "any" may come from any thread at any
 * time. Contexts share nothing that is written. After fork, in the child, every call answers TENON_ERROR_MISUSE and the
 * frees only give back memory, so the parent's connections and locks stay untouched.
 *
 * Global state: tenon has none that is written. libcurl and OpenSSL have theirs: each context that asks the network takes
 * and gives back one counted curl_global_init, which is safe from any thread where curl_version_info() shows
 * CURL_VERSION_THREADSAFE (7.84 and later); with an older libcurl make the first request before other threads use it.
 * libcurl may resolve names on threads of its own. tenon starts no thread unless it is asked for workers, installs no
 * signal handler, prints nothing, changes no locale, and reads the environment only in tenon_context_open. A context's
 * allocator serves tenon's own objects, and is called on no worker; libcurl, jansson and OpenSSL keep using malloc, because
 * their hooks would change the whole process.
 *
 * How it may grow: nothing here is ever changed or removed before the soname changes. New functions, new constants, new
 * settings and new fields at the end of a struct are added. Every struct begins with struct_size, set by the caller to
 * sizeof. An options struct larger than the library knows is accepted while its unknown tail is zero; otherwise every
 * function that takes options refuses it with TENON_ERROR_UNSUPPORTED. Into a row the library writes what both sides know;
 * it zeroes the caller's rest and lowers struct_size to what it filled. Lists of text end with NULL. A value of an
 * enumeration that a caller does not know is no error: treat it as its 0. Structs have the same layout on every 64-bit
 * system.
 *
 * Tags, read by the binding generator and checked by the tests (the list is closed): @param[in|out|in,out], @nullable,
 * @transfer{full|none}, @array, @scope{call|task|context}, @return, @text, @json, @bytes, @row, @error,
 * @thread{any|one|callback}, @blocking, @since. A struct says what it is for with @kind{options|row|hooks}.
 */
#ifndef TENON_H
#define TENON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility push(default)
#endif

#define TENON_VERSION_MAJOR 0
#define TENON_VERSION_MINOR 1
#define TENON_VERSION_PATCH 0

/** One event loop with its connections, credentials and settings. @since 0.1 */
typedef struct tenon_context tenon_context;
/** One operation under way, and afterwards its result. @since 0.1 */
typedef struct tenon_task tenon_task;
/** A place that keeps models: an endpoint, a token, a cache folder. @since 0.1 */
typedef struct tenon_hub tenon_hub;
/** An offer of hardware somewhere. @since 0.1 */
typedef struct tenon_accelerator tenon_accelerator;
/** One run, train or serve, of a model on an accelerator. @since 0.1 */
typedef struct tenon_job tenon_job;

/* ------------------------------------------------------------------------------------------------------------------ */
/* Status                                                                                                             */
/* ------------------------------------------------------------------------------------------------------------------ */

/** The outcome of a call or a task: negative is an error. @since 0.1 */
typedef int32_t tenon_status;

/** Values of tenon_status. @since 0.1 */
enum {
    /** Done. */
    TENON_OK = 0,
    /** Nothing within the timeout; ask again. */
    TENON_AGAIN = 1,
    /** No more rows. */
    TENON_DONE = 2,

    /** An argument, a name or a setting is not valid; the message says which. */
    TENON_ERROR_ARGUMENT = -1,
    /** The call does not fit the state: a second thread is inside, a forked child calls, a row of another kind is asked for. */
    TENON_ERROR_MISUSE = -2,
    /** Out of memory; nothing changed. */
    TENON_ERROR_MEMORY = -3,
    /** The task was cancelled. */
    TENON_ERROR_CANCELLED = -4,
    /** A clock of the request or of the job ran out. */
    TENON_ERROR_TIMEOUT = -5,
    /** Offline mode is on and the answer is not in the cache. */
    TENON_ERROR_OFFLINE = -6,
    /** The other side cannot be reached, or the line was cut. */
    TENON_ERROR_NETWORK = -7,
    /** No trusted TLS connection; the certificate or its authority is not accepted. */
    TENON_ERROR_TLS = -8,
    /** A token is missing, wrong or expired. */
    TENON_ERROR_UNAUTHORIZED = -9,
    /** The token is good, but not for this. */
    TENON_ERROR_FORBIDDEN = -10,
    /** The model's licence must be accepted first; the hint names the page. */
    TENON_ERROR_GATED = -11,
    /** No such repository, revision, file, job or program. */
    TENON_ERROR_NOT_FOUND = -12,
    /** The name stands for several things; the hint lists them. */
    TENON_ERROR_AMBIGUOUS = -13,
    /** It exists already, or changed meanwhile. */
    TENON_ERROR_CONFLICT = -14,
    /** Asked too often; retry_after_ms says when to come back. */
    TENON_ERROR_RATE_LIMITED = -15,
    /** The account's quota does not allow it. */
    TENON_ERROR_QUOTA = -16,
    /** The provider has no such machine free. */
    TENON_ERROR_CAPACITY = -17,
    /** The model does not fit the accelerator. */
    TENON_ERROR_DOES_NOT_FIT = -18,
    /** It would cost more than the ceiling. */
    TENON_ERROR_TOO_EXPENSIVE = -19,
    /** Content does not match its hash or its size. */
    TENON_ERROR_INTEGRITY = -20,
    /** The other side broke its protocol; nothing of its answer was used. */
    TENON_ERROR_PROTOCOL = -21,
    /** No space left, or a disk quota is used up. */
    TENON_ERROR_DISK_FULL = -22,
    /** A file or folder cannot be read or written. */
    TENON_ERROR_IO = -23,
    /** Somebody else holds it: a lock, a port. */
    TENON_ERROR_BUSY = -24,
    /** The job or the remote operation failed; the message and the hint say why. */
    TENON_ERROR_FAILED = -25,
    /** Not possible here: this build, this place or this library version lacks it. */
    TENON_ERROR_UNSUPPORTED = -26,
    /** A fault in tenon itself; please report it. */
    TENON_ERROR_INTERNAL = -27,
    /** The service answered that it cannot serve now (a 5xx). */
    TENON_ERROR_UNAVAILABLE = -28
};

/**
 * The name of a status, such as "TENON_ERROR_NOT_FOUND".
 *
 * @param[in] status  any value
 * @return the name; "TENON_ERROR" or "TENON_OK" for a value that this library does not know
 * @transfer{none} return
 * @thread{any}
 * @since 0.1
 */
const char *tenon_status_name(tenon_status status);

/**
 * The version of the library that is loaded, such as "0.1.0".
 *
 * @return the version; compare with TENON_VERSION_MAJOR and its sisters, which are those of this header
 * @transfer{none} return
 * @thread{any}
 * @since 0.1
 */
const char *tenon_version(void);

/** What went wrong, for a person and for a program. @kind{row} @since 0.1 */
typedef struct tenon_error {
    /** sizeof(tenon_error) */
    uint32_t struct_size;
    /** The status; TENON_OK when nothing failed */
    tenon_status status;
    /** What happened, with the name of the thing; one line */
    const char *message;
    /** What to do about it; "" when there is nothing to say */
    const char *hint;
    /** The provider's own code, such as "GatedRepo" */
    const char *code;
    /** The provider's id of the request, for its support */
    const char *request_id;
    /** HTTP status; 0 when none was received */
    int32_t http_status;
    /** errno of the failed system call; 0 when none failed */
    int32_t system_error;
    /** When a retry can help, in ms from now; -1 when it cannot */
    int64_t retry_after_ms;
} tenon_error;

/* ------------------------------------------------------------------------------------------------------------------ */
/* Context                                                                                                            */
/* ------------------------------------------------------------------------------------------------------------------ */

/** Where a context takes its memory. @kind{hooks} @since 0.1 */
typedef struct tenon_allocator {
    /** sizeof(tenon_allocator) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** Given back as the first argument of each function */
    void *user;
    /** As malloc: size is never 0; NULL when there is no memory */
    void *(*allocate)(void *user, size_t size);
    /** As realloc: memory may be NULL, size is never 0 */
    void *(*resize)(void *user, void *memory, size_t size);
    /** As free: memory may be NULL */
    void (*release)(void *user, void *memory);
} tenon_allocator;

/** Levels of the log. @since 0.1 */
enum {
    /** Nothing; a logger's level 0 stands for TENON_LOG_WARNING. */
    TENON_LOG_OFF = 0,
    /** Something failed and the caller will hear of it. */
    TENON_LOG_ERROR = 1,
    /** Something odd was survived: a retry, a server that lies. */
    TENON_LOG_WARNING = 2,
    /** The milestones of a task. */
    TENON_LOG_INFO = 3,
    /** Every request and every decision. */
    TENON_LOG_DEBUG = 4
};

/** One line of the log; secrets are masked before it is made. @kind{row} @since 0.1 */
typedef struct tenon_log_record {
    /** sizeof(tenon_log_record) */
    uint32_t struct_size;
    /** One of TENON_LOG_... */
    int32_t level;
    /** Which part of tenon speaks: "transport", "hub", "job" ... */
    const char *component;
    /** The line, without a line feed */
    const char *text;
} tenon_log_record;

/** Who hears a context's log. @kind{hooks} @since 0.1 */
typedef struct tenon_logger {
    /** sizeof(tenon_logger) */
    uint32_t struct_size;
    /** The least urgent level that is wanted, one of TENON_LOG_...; 0 stands for TENON_LOG_WARNING */
    int32_t level;
    /** Given back as the first argument of the function */
    void *user;
    /** Takes one record, which lives during the call */
    void (*write)(void *user, const tenon_log_record *record);
} tenon_logger;

/** Where a context takes time and chance; tests replace it so that retries take no real time. @kind{hooks} @since 0.1 */
typedef struct tenon_clock {
    /** sizeof(tenon_clock) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** Given back as the first argument of each function */
    void *user;
    /** A time in ms that never goes back; its zero does not matter */
    int64_t (*monotonic_ms)(void *user);
    /** The time in ms since 1970, UTC */
    int64_t (*wall_ms)(void *user);
    /** Fills bytes with unpredictable values */
    void (*random)(void *user, uint8_t *bytes, size_t size);
} tenon_clock;

/** Flags of tenon_context_options. @since 0.1 */
enum {
    /** Do not read the environment at all. */
    TENON_CONTEXT_NO_ENVIRONMENT = 1
};

/** How a context is opened. @kind{options} @since 0.1 */
typedef struct tenon_context_options {
    /** sizeof(tenon_context_options) */
    uint32_t struct_size;
    /** Sum of TENON_CONTEXT_... */
    uint32_t flags;
    /** Memory; copied. NULL: malloc and its sisters */
    const tenon_allocator *allocator;
    /** Log; copied. NULL: none */
    const tenon_logger *logger;
    /** Time and chance; copied. NULL: the system's */
    const tenon_clock *clock;
    /** First settings, each "key=value", ending with NULL; they win over the environment. NULL: none */
    const char *const *settings;
    /** Most threads that the context may start, up to 64. They read, hash and write large files and those of this machine, for
        whoever steps the context. 0: none is started, all is done in its own calls */
    int32_t workers;
    /** 0 */
    uint32_t reserved;
} tenon_context_options;

/**
 * Open a context: an event loop with its connections, credentials and settings.
 *
 * It costs some microseconds and a few kilobytes: nothing is connected, resolved or loaded before the first task needs it.
 *
 * @param[in]  options  allocator, logger, clock, first settings, workers; NULL for the defaults
 * @param[out] context  the context
 * @nullable options
 * @transfer{full} context
 * @error TENON_ERROR_ARGUMENT  workers or a setting's value is out of bounds, or a setting is unknown; no context exists yet to
 *        hold a message, so check settings with tenon_setting_at or set them one by one with tenon_context_set
 * @error TENON_ERROR_UNSUPPORTED  options is larger than this library knows and its tail is not zero
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_IO  no descriptor is left
 * @thread{any}
 * @since 0.1
 */
tenon_status tenon_context_open(const tenon_context_options *options, tenon_context **context);

/**
 * Add a reference to a context.
 *
 * @param[in] context  the context
 * @nullable context
 * @return the same context
 * @transfer{full} return
 * @nullable return
 * @thread{any}
 * @since 0.1
 */
tenon_context *tenon_context_ref(tenon_context *context);

/**
 * Drop a reference to a context; the last one closes it.
 *
 * Tasks, hubs and jobs that are still held keep it alive until they are freed too.
 *
 * @param[in] context  the context
 * @nullable context
 * @transfer{full} context
 * @thread{any}
 * @since 0.1
 */
void tenon_context_free(tenon_context *context);

/**
 * Change one setting for what is started from now on.
 *
 * @param[in] context  the context
 * @param[in] key      the setting, as tenon_setting_at lists them
 * @param[in] value    its new value as text; NULL gives back the default
 * @nullable value
 * @error TENON_ERROR_ARGUMENT  no such setting, or the value is not of its type or out of its bounds
 * @error TENON_ERROR_MEMORY  out of memory; the setting is unchanged
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_context_set(tenon_context *context, const char *key, const char *value);

/**
 * Read one setting as it is in force; paths come with their defaults filled in.
 *
 * @param[in]  context  the context
 * @param[in]  key      the setting
 * @param[out] value    its value as text; "(set)" or "" for a secret, "(set)@" for user and password of an address; lives until
 *             the next call on the context
 * @transfer{none} value
 * @error TENON_ERROR_ARGUMENT  no such setting
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_context_get(tenon_context *context, const char *key, const char **value);

/** Types of a setting. @since 0.1 */
enum {
    /** Any text. */
    TENON_SETTING_TEXT = 0,
    /** A whole number between minimum and maximum. */
    TENON_SETTING_INTEGER = 1,
    /** 1, on, yes, true, or 0, off, no, false; any case. */
    TENON_SETTING_BOOLEAN = 2,
    /** A path; a leading ~ stands for the home folder. */
    TENON_SETTING_PATH = 3
};

/** One row of the table of settings. @kind{row} @since 0.1 */
typedef struct tenon_setting {
    /** sizeof(tenon_setting) */
    uint32_t struct_size;
    /** One of TENON_SETTING_... */
    int32_t type;
    /** Its name, such as "hub.endpoint" */
    const char *key;
    /** Unit of a number: "ms", "bytes", "files" ...; "" for none */
    const char *unit;
    /** Value when nothing is set; in a path {x} stands for the setting x */
    const char *default_value;
    /** Environment variables it is read from, first one first, separated by blanks; "" for none */
    const char *environment;
    /** What it does, in one sentence */
    const char *description;
    /** First version that has it */
    const char *since;
    /** Least value of a number */
    int64_t minimum;
    /** Greatest value of a number */
    int64_t maximum;
    /** 1 when the value is a secret: it is never shown and never logged */
    int32_t secret;
    /** 0 */
    int32_t reserved;
} tenon_setting;

/**
 * Read the table of settings, row by row.
 *
 * @param[in]     index    0 for the first row
 * @param[in,out] setting  the row; its texts live as long as the library is loaded
 * @error TENON_ERROR_ARGUMENT  setting is NULL or its struct_size is not set
 * @return TENON_OK, or TENON_DONE past the last row
 * @thread{any}
 * @since 0.1
 */
tenon_status tenon_setting_at(uint32_t index, tenon_setting *setting);

/**
 * The descriptor to wait on in a foreign event loop: readable means "step me".
 *
 * It is readable whenever tenon_context_step has something to do now, also after a task was started. It stays the same
 * and stays the context's. Only its readability may be watched.
 *
 * @param[in] context  the context
 * @return the descriptor; -1 in a forked child
 * @thread{one}
 * @since 0.1
 */
int32_t tenon_context_descriptor(tenon_context *context);

/**
 * How long a foreign event loop may wait at most before it must step the context; read it again after every step.
 *
 * @param[in] context  the context
 * @return ms until the next step is due; 0 at once; -1 only when the descriptor says so
 * @thread{one}
 * @since 0.1
 */
int64_t tenon_context_timeout(tenon_context *context);

/**
 * Wait for something to do, and do it: one turn of the event loop.
 *
 * What is done in a turn never waits for the other side. Files are read, hashed and written a few megabytes at a time, and
 * made durable every hub.part_bytes: then the turn takes as long as the disk does. A host that cannot spare that gives the
 * context workers, which are waited for where they are behind, or a thread of its own.
 *
 * @param[in] context     the context
 * @param[in] timeout_ms  how long to wait at most; 0 does what can be done now, -1 waits for ever
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_IO  the system refused to wait
 * @return TENON_OK when something was done, TENON_AGAIN when nothing was
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_context_step(tenon_context *context, int64_t timeout_ms);

/**
 * Take the next task that has news: rows to read, or its end. For loops that watch thousands.
 *
 * A task is given once for any number of news since it was last given.
 *
 * @param[in]  context  the context
 * @param[out] task     the task; borrowed, it stays with whoever started it
 * @transfer{none} task
 * @error TENON_ERROR_ARGUMENT  task is NULL
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @return TENON_OK, or TENON_DONE when no task has news
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_context_next_task(tenon_context *context, tenon_task **task);

/**
 * Make a step that waits return; the one call besides the frees for another thread or a signal handler.
 *
 * @param[in] context  the context
 * @thread{any}
 * @since 0.1
 */
void tenon_context_wake(tenon_context *context);

/**
 * The detail of the last call on this context, or on a handle of it, that failed without a task.
 *
 * @param[in]     context  the context
 * @param[in,out] error    the row; its texts live until the next call on the context
 * @error TENON_ERROR_ARGUMENT  error is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_context_error(tenon_context *context, tenon_error *error);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Task                                                                                                               */
/* ------------------------------------------------------------------------------------------------------------------ */

/** How far a task is. @kind{row} @since 0.1 */
typedef struct tenon_progress {
    /** sizeof(tenon_progress) */
    uint32_t struct_size;
    /** 1 when the task has ended */
    int32_t ended;
    /** What it is doing: "asking", "downloading", "verifying" ... */
    const char *stage;
    /** The thing it is at: a path, a name */
    const char *item;
    /** Bytes done, those found on disk included */
    int64_t bytes;
    /** Bytes in all; -1 unknown */
    int64_t bytes_total;
    /** Bytes of `bytes` that needed no transfer: cached, or durable from an earlier run */
    int64_t bytes_present;
    /** Bytes per second of the last seconds; -1 unknown */
    int64_t bytes_per_second;
    /** Files or steps done */
    int64_t items;
    /** Files or steps in all; -1 unknown */
    int64_t items_total;
    /** ms since the task was started */
    int64_t elapsed_ms;
    /** ms until it will be done at this rate; -1 unknown */
    int64_t left_ms;
    /** Requests that had to be repeated */
    int64_t retries;
} tenon_progress;

/**
 * Wait for the end of a task. Rows and bytes that are not taken meanwhile are dropped.
 *
 * @param[in] task        the task
 * @param[in] timeout_ms  how long to wait at most; 0 only looks, -1 waits for the end
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @return TENON_OK when it is done, TENON_AGAIN when time is up, else the error it failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_wait(tenon_task *task, int64_t timeout_ms);

/**
 * The state of a task, without waiting and without doing anything.
 *
 * @param[in] task  the task
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @return TENON_AGAIN while it runs, TENON_OK when it is done, else the error it failed with
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_state(tenon_task *task);

/**
 * Cancel a task: it ends with TENON_ERROR_CANCELLED before this call returns, and what it had made durable stays.
 *
 * A task that has ended keeps its outcome.
 *
 * @param[in] task  the task
 * @nullable task
 * @thread{one}
 * @since 0.1
 */
void tenon_task_cancel(tenon_task *task);

/**
 * How far a task is.
 *
 * @param[in]     task      the task
 * @param[in,out] progress  the row; its texts live until the next call on the task
 * @error TENON_ERROR_ARGUMENT  progress is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_progress(tenon_task *task, tenon_progress *progress);

/**
 * Why a task failed.
 *
 * @param[in]     task   the task
 * @param[in,out] error  the row; status TENON_OK when it did not fail; its texts live as long as the task
 * @error TENON_ERROR_ARGUMENT  error is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_error(tenon_task *task, tenon_error *error);

/**
 * The one text that a task yields: a path, an id, a whole answer.
 *
 * @param[in]  task  the task
 * @param[out] text  the text; "" while there is none; lives as long as the task
 * @transfer{none} text
 * @error TENON_ERROR_ARGUMENT  text is NULL
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_text(tenon_task *task, const char **text);

/**
 * The service's own JSON that a task ended with, so that no caller waits for tenon to add a field.
 *
 * @param[in]  task  the task
 * @param[out] json  a JSON document; "" when there is none; lives as long as the task
 * @transfer{none} json
 * @error TENON_ERROR_ARGUMENT  json is NULL
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_json(tenon_task *task, const char **json);

/**
 * Take the next bytes of a task that yields bytes.
 *
 * @param[in]  task        the task
 * @param[in]  timeout_ms  how long to wait for the first byte; 0 polls, -1 waits
 * @param[out] buffer      where they go
 * @param[in]  size        room in buffer, in bytes; not 0
 * @param[out] got         bytes written to buffer
 * @array{buffer, length=size}
 * @error TENON_ERROR_MISUSE  the task yields no bytes, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN when time is up, TENON_DONE after the last byte, else the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_read(tenon_task *task, int64_t timeout_ms, void *buffer, size_t size, size_t *got);

/**
 * Hang something of the caller's own on a task; tenon never looks at it.
 *
 * @param[in] task  the task
 * @param[in] user  anything
 * @nullable user
 * @scope{task} user
 * @thread{one}
 * @since 0.1
 */
void tenon_task_set_user(tenon_task *task, void *user);

/**
 * What was hung on the task.
 *
 * @param[in] task  the task
 * @return what tenon_task_set_user was given; NULL before
 * @nullable return
 * @transfer{none} return
 * @thread{one}
 * @since 0.1
 */
void *tenon_task_user(tenon_task *task);

/**
 * Add a reference to a task.
 *
 * @param[in] task  the task
 * @nullable task
 * @return the same task
 * @transfer{full} return
 * @nullable return
 * @thread{any}
 * @since 0.1
 */
tenon_task *tenon_task_ref(tenon_task *task);

/**
 * Drop a reference to a task; the last one cancels what still runs.
 *
 * @param[in] task  the task
 * @nullable task
 * @transfer{full} task
 * @thread{any}
 * @since 0.1
 */
void tenon_task_free(tenon_task *task);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Hub                                                                                                                */
/* ------------------------------------------------------------------------------------------------------------------ */

/*
 * A repository is written "owner/name" (a model), "name" (an old model), "datasets/owner/name", "spaces/owner/name",
 * "hf://owner/name", a pasted web address of the hub, each with "@revision" behind it if wanted. A revision is a branch, a
 * tag, a pull request ("refs/pr/3"), or a commit; the default is the hub's default branch, "main".
 */

/** How much a cached answer is trusted. @since 0.1 */
enum {
    /** The hub's policy; a hub's own default is TENON_CACHE_PINNED. */
    TENON_CACHE_DEFAULT = 0,
    /** A full commit that is present is answered without a request; a branch or tag is asked for, and when the hub cannot
        be reached the cache answers. */
    TENON_CACHE_PINNED = 1,
    /** Whatever is present is answered without a request, branches too. */
    TENON_CACHE_FIRST = 2,
    /** The hub is always asked, and the cache never stands in for it. */
    TENON_CACHE_FRESH = 3,
    /** No request at all. */
    TENON_CACHE_OFFLINE = 4
};

/** How a hub is opened. @kind{options} @since 0.1 */
typedef struct tenon_hub_options {
    /** sizeof(tenon_hub_options) */
    uint32_t struct_size;
    /** Policy of calls that name none: one of TENON_CACHE_... */
    int32_t policy;
    /** Token; "" sends none. NULL: the setting hub.token, else the token file */
    const char *token;
    /** Cache folder. NULL: the setting hub.cache */
    const char *cache;
} tenon_hub_options;

/**
 * Open a hub.
 *
 * @param[in]  context   the context it lives in
 * @param[in]  location  "https://huggingface.co", a mirror, or "file:///folder" with repositories as plain folders
 *                       owner/name; NULL: the setting hub.endpoint
 * @param[in]  options   token, cache folder, policy; NULL for the defaults
 * @param[out] hub       the hub; nothing has been asked of it yet
 * @nullable location
 * @nullable options
 * @transfer{full} hub
 * @error TENON_ERROR_ARGUMENT  location is no http, https or file address, or the token cannot be part of a header
 * @error TENON_ERROR_NOT_FOUND  the folder of a file address does not exist
 * @error TENON_ERROR_UNSUPPORTED  options is larger than this library knows and its tail is not zero
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_open(tenon_context *context, const char *location, const tenon_hub_options *options, tenon_hub **hub);

/**
 * Add a reference to a hub.
 *
 * @param[in] hub  the hub
 * @nullable hub
 * @return the same hub
 * @transfer{full} return
 * @nullable return
 * @thread{any}
 * @since 0.1
 */
tenon_hub *tenon_hub_ref(tenon_hub *hub);

/**
 * Drop a reference to a hub; tasks that use it go on.
 *
 * @param[in] hub  the hub
 * @nullable hub
 * @transfer{full} hub
 * @thread{any}
 * @since 0.1
 */
void tenon_hub_free(tenon_hub *hub);

/** Types of a repository. @since 0.1 */
enum {
    /** Not known to this library. */
    TENON_REPOSITORY_UNKNOWN = 0,
    /** A model. */
    TENON_REPOSITORY_MODEL = 1,
    /** A data set. */
    TENON_REPOSITORY_DATASET = 2,
    /** A space. */
    TENON_REPOSITORY_SPACE = 3
};

/** What a hub says of a repository. @kind{row} @since 0.1 */
typedef struct tenon_repository {
    /** sizeof(tenon_repository) */
    uint32_t struct_size;
    /** One of TENON_REPOSITORY_... */
    int32_t type;
    /** "owner/name" */
    const char *id;
    /** The revision that was asked for */
    const char *revision;
    /** The commit it stands for: 40 hex digits */
    const char *commit;
    /** What the model does: "text-generation" ... */
    const char *purpose;
    /** What it is used with: "transformers" ... */
    const char *library;
    /** Licence */
    const char *license;
    /** The hub's own JSON */
    const char *json;
    /** Parameters, from the hub's summary of safetensors or GGUF headers; -1 unknown */
    int64_t parameters;
    /** Bytes of all files; -1 unknown */
    int64_t bytes;
    /** Files; -1 unknown */
    int64_t files;
    /** Downloads in the last month; -1 unknown */
    int64_t downloads;
    /** Likes; -1 unknown */
    int64_t likes;
    /** Last change, ms since 1970; -1 unknown */
    int64_t modified_ms;
    /** 1 when a licence must be accepted first, 0 when not, -1 unknown */
    int32_t gated;
    /** 1 when only its owner sees it, 0 when everybody does, -1 unknown */
    int32_t restricted;
} tenon_repository;

/** Kinds of a file row. @since 0.1 */
enum {
    /** Something this library does not know. */
    TENON_FILE_UNKNOWN = 0,
    /** A file. */
    TENON_FILE_REGULAR = 1,
    /** A folder. */
    TENON_FILE_FOLDER = 2
};

/** What is known of a file's content on this machine. @since 0.1 */
enum {
    /** Nobody looked. */
    TENON_CONTENT_UNKNOWN = 0,
    /** Present; its content was not read. */
    TENON_CONTENT_PRESENT = 1,
    /** Present, and its content has the hash it is named by. */
    TENON_CONTENT_VERIFIED = 2,
    /** Present, but its content is not what it should be. */
    TENON_CONTENT_CORRUPT = 3,
    /** Not present. */
    TENON_CONTENT_MISSING = 4,
    /** Part of it is present; the next download goes on from there. */
    TENON_CONTENT_PARTIAL = 5
};

/** One file: of a repository, of the cache, or of a job's output. @kind{row} @since 0.1 */
typedef struct tenon_file {
    /** sizeof(tenon_file) */
    uint32_t struct_size;
    /** One of TENON_FILE_... */
    int32_t kind;
    /** Path inside the repository, with / between its parts */
    const char *path;
    /** Repository, as it is written: "owner/name", "datasets/owner/name" */
    const char *repository;
    /** Commit it belongs to */
    const char *commit;
    /** Content id: 64 hex digits are its SHA-256, 40 its git SHA-1 */
    const char *etag;
    /** Absolute path on this machine */
    const char *local_path;
    /** The hub's own JSON */
    const char *json;
    /** Size; -1 unknown */
    int64_t bytes;
    /** Last change or, in the cache, time of the download; ms since 1970; -1 unknown */
    int64_t modified_ms;
    /** One of TENON_CONTENT_... */
    int32_t content;
    /** 0 */
    int32_t reserved;
} tenon_file;

/** Kinds of a reference. @since 0.1 */
enum {
    /** Something this library does not know. */
    TENON_REFERENCE_UNKNOWN = 0,
    /** A branch. */
    TENON_REFERENCE_BRANCH = 1,
    /** A tag. */
    TENON_REFERENCE_TAG = 2,
    /** A conversion made by the hub. */
    TENON_REFERENCE_CONVERSION = 3,
    /** A pull request. */
    TENON_REFERENCE_PULL_REQUEST = 4
};

/** One branch, tag or pull request of a repository. @kind{row} @since 0.1 */
typedef struct tenon_reference {
    /** sizeof(tenon_reference) */
    uint32_t struct_size;
    /** One of TENON_REFERENCE_... */
    int32_t kind;
    /** Its short name: "main" */
    const char *name;
    /** Its full name: "refs/heads/main" */
    const char *reference;
    /** The commit it stands for */
    const char *commit;
} tenon_reference;

/** Which revision of a repository, and whether the cache may answer. @kind{options} @since 0.1 */
typedef struct tenon_repository_options {
    /** sizeof(tenon_repository_options) */
    uint32_t struct_size;
    /** One of TENON_CACHE_...; 0: the hub's */
    int32_t policy;
    /** Branch, tag, pull request or commit. NULL: the repository's "@revision", else "main" */
    const char *revision;
} tenon_repository_options;

/**
 * Ask a hub what it knows of a repository.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  options     revision; NULL for the defaults
 * @param[out] task        the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_repository} exactly one
 * @text the commit
 * @json the hub's answer
 * @error TENON_ERROR_ARGUMENT  repository or revision is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such repository or revision, or it is private and the token does not reach it
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  the licence must be accepted first
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline, and not in the cache
 * @error TENON_ERROR_PROTOCOL  the hub's answer makes no sense
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_info(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task);

/** Flags of tenon_list_options. @since 0.1 */
enum {
    /** Only the folder itself, and its folders as rows; else everything below it, files only. */
    TENON_LIST_FLAT = 1
};

/** What is listed of a repository. @kind{options} @since 0.1 */
typedef struct tenon_list_options {
    /** sizeof(tenon_list_options) */
    uint32_t struct_size;
    /** One of TENON_CACHE_...; 0: the hub's */
    int32_t policy;
    /** As in tenon_repository_options */
    const char *revision;
    /** Folder inside the repository. NULL: all of it */
    const char *folder;
    /** Patterns; a path must match one of them. NULL: all paths */
    const char *const *allow;
    /** Patterns; a path must match none of them. NULL: none is left out */
    const char *const *ignore;
    /** Sum of TENON_LIST_... */
    uint32_t flags;
    /** 0 */
    uint32_t reserved;
} tenon_list_options;

/**
 * List the files of a repository.
 *
 * Patterns are those of the official client: * and ? match / too, [a-z] and [!a-z] are sets, case matters, the whole path
 * must match, and a pattern that ends in / stands for everything below.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  options     revision, folder, patterns; NULL for the defaults
 * @param[out] task        the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_file} one for each file
 * @text the commit
 * @error TENON_ERROR_ARGUMENT  repository, revision or folder is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such repository, revision or folder
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  the licence must be accepted first
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline, and no listing is in the cache
 * @error TENON_ERROR_PROTOCOL  the hub names a file that no file may be named
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_list(tenon_hub *hub, const char *repository, const tenon_list_options *options, tenon_task **task);

/**
 * List the branches, tags and pull requests of a repository.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  options     policy; NULL for the defaults
 * @param[out] task        the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_reference} one for each
 * @json the hub's answer
 * @error TENON_ERROR_ARGUMENT  repository is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such repository
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  the licence must be accepted first
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline
 * @error TENON_ERROR_PROTOCOL  the hub's answer makes no sense
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_references(tenon_hub *hub, const char *repository, const tenon_repository_options *options,
                                  tenon_task **task);

/**
 * Ask whether a repository, a revision or a file exists: the task is done when it does.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  path        file inside it; NULL asks for the repository and its revision
 * @param[in]  options     revision; NULL for the defaults
 * @param[out] task        the task; NULL waits
 * @nullable path
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @text the commit
 * @error TENON_ERROR_ARGUMENT  repository, revision or path is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  it does not exist, or the token does not reach it
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  it exists, and the licence must be accepted before it can be read
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline, and the cache does not know
 * @error TENON_ERROR_PROTOCOL  the hub's answer makes no sense
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_exists(tenon_hub *hub, const char *repository, const char *path,
                              const tenon_repository_options *options, tenon_task **task);

/** Flags of tenon_download_options. @since 0.1 */
enum {
    /** Fetch again what is present. */
    TENON_DOWNLOAD_FORCE = 1
};

/** How files are downloaded. @kind{options} @since 0.1 */
typedef struct tenon_download_options {
    /** sizeof(tenon_download_options) */
    uint32_t struct_size;
    /** One of TENON_CACHE_...; 0: the hub's */
    int32_t policy;
    /** As in tenon_repository_options */
    const char *revision;
    /** Put plain files into this folder instead of the cache. NULL: the cache */
    const char *folder;
    /** Patterns of a snapshot, as in tenon_list_options. NULL: all files */
    const char *const *allow;
    /** Patterns of a snapshot that leave files out. NULL: none */
    const char *const *ignore;
    /** Sum of TENON_DOWNLOAD_... */
    uint32_t flags;
    /** 0 */
    uint32_t reserved;
} tenon_download_options;

/**
 * Fetch one file of a repository into the cache, or into a folder.
 *
 * The cache is the official one: what is there already, from whichever client, is used, and what is fetched here the
 * others find. A download that was killed goes on from the last durable byte; its content is verified while it streams,
 * and it appears by one rename or not at all.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  path        file inside it
 * @param[in]  options     revision, folder, policy; NULL for the defaults
 * @param[out] task        the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @text the path of the file
 * @error TENON_ERROR_ARGUMENT  repository, revision or path is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such repository, revision or file
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  the licence must be accepted first
 * @error TENON_ERROR_NETWORK  the hub cannot be reached, and it is not in the cache
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline, and not in the cache
 * @error TENON_ERROR_INTEGRITY  what arrived is not what the hub promised, twice
 * @error TENON_ERROR_PROTOCOL  the hub's answer makes no sense or names a place outside the folder
 * @error TENON_ERROR_DISK_FULL  no room; what is durable stays for the next try
 * @error TENON_ERROR_IO  the cache cannot be written, or the repository was forgotten meanwhile
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_download(tenon_hub *hub, const char *repository, const char *path,
                                const tenon_download_options *options, tenon_task **task);

/**
 * Fetch a repository, or the part of it that patterns choose, into the cache or into a folder.
 *
 * All files are of one commit, also when the branch moves meanwhile.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  options     revision, patterns, folder, policy; NULL for the defaults
 * @param[out] task        the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @text the path of the folder
 * @row{tenon_file} one for each file when it is in place
 * @error TENON_ERROR_ARGUMENT  repository or revision is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such repository or revision
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  the licence must be accepted first
 * @error TENON_ERROR_NETWORK  the hub cannot be reached, and the cache is not complete
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline, and the cache is not complete
 * @error TENON_ERROR_INTEGRITY  what arrived is not what the hub promised, twice
 * @error TENON_ERROR_PROTOCOL  the hub's answer makes no sense or names a place outside the folder
 * @error TENON_ERROR_DISK_FULL  no room; what is durable stays for the next try
 * @error TENON_ERROR_IO  the cache cannot be written, or the repository was forgotten meanwhile
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_snapshot(tenon_hub *hub, const char *repository, const tenon_download_options *options, tenon_task **task);

/** Which bytes of a file are read. @kind{options} @since 0.1 */
typedef struct tenon_read_options {
    /** sizeof(tenon_read_options) */
    uint32_t struct_size;
    /** One of TENON_CACHE_...; 0: the hub's */
    int32_t policy;
    /** As in tenon_repository_options */
    const char *revision;
    /** First byte */
    int64_t offset;
    /** How many bytes; 0: to the end. A range past the end gives what there is */
    int64_t length;
} tenon_read_options;

/**
 * Read bytes of a file in a repository without downloading the rest; from the cache when it is there.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository
 * @param[in]  path        file inside it
 * @param[in]  options     range, revision; NULL for the whole file
 * @param[out] task        the task; NULL waits, which only tells whether the file can be read
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @bytes the range, in order; a slow reader slows the sender down
 * @error TENON_ERROR_ARGUMENT  repository, revision or path is not a valid name, or the range is negative
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such repository, revision or file
 * @error TENON_ERROR_UNAUTHORIZED  the token is not accepted
 * @error TENON_ERROR_FORBIDDEN  the token may not read it
 * @error TENON_ERROR_GATED  the licence must be accepted first
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @error TENON_ERROR_TLS  the hub's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the hub went silent
 * @error TENON_ERROR_RATE_LIMITED  the hub asks to wait longer than the setting transport.wait_ms allows
 * @error TENON_ERROR_UNAVAILABLE  the hub keeps answering that it cannot
 * @error TENON_ERROR_OFFLINE  offline, and not in the cache
 * @error TENON_ERROR_PROTOCOL  the hub sends another range than was asked for
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_read(tenon_hub *hub, const char *repository, const char *path,
                            const tenon_read_options *options, tenon_task **task);

/** What is published. @kind{options} @since 0.1 */
typedef struct tenon_publish_options {
    /** sizeof(tenon_publish_options) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** Folder on this machine whose files become the commit; required */
    const char *folder;
    /** Summary of the commit. NULL: one is made */
    const char *message;
    /** Branch. NULL: "main" */
    const char *branch;
    /** Patterns of files to publish, as in tenon_list_options. NULL: all */
    const char *const *allow;
    /** Patterns of files to leave out. NULL: none. Names that begin with .git or .cache/huggingface never go */
    const char *const *ignore;
    /** Refuse unless the branch still stands at this commit. NULL: no condition */
    const char *parent;
} tenon_publish_options;

/**
 * Publish a folder as a new commit of a repository; files that are not in the folder stay as they were.
 *
 * This version publishes to file: hubs. There the repository keeps its history beside its files in .tenon/; the commit
 * exists at one moment or not at all, and the plain files are brought in line with it.
 *
 * @param[in]  hub         the hub
 * @param[in]  repository  the repository; made when it does not exist
 * @param[in]  options     the folder and more; required
 * @param[out] task        the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @text the commit; that of the branch when nothing changed
 * @error TENON_ERROR_ARGUMENT  a name is not valid, also that of a file; no folder is given; a file would become a folder
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  the folder does not exist
 * @error TENON_ERROR_CONFLICT  the branch no longer stands at parent
 * @error TENON_ERROR_BUSY  another process has been publishing to it for longer than the setting hub.lock_ms
 * @error TENON_ERROR_PROTOCOL  what the repository's history says makes no sense
 * @error TENON_ERROR_DISK_FULL  no room; the repository is unchanged
 * @error TENON_ERROR_IO  a file cannot be read, or the hub's folder cannot be written
 * @error TENON_ERROR_UNSUPPORTED  the hub is not a file: hub
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_publish(tenon_hub *hub, const char *repository, const tenon_publish_options *options, tenon_task **task);

/**
 * List what the cache holds, without a request: whoever put it there.
 *
 * @param[in]  hub         the hub whose cache is meant
 * @param[in]  repository  the repository; NULL: all of them
 * @param[in]  options     revision; NULL: every one that is there
 * @param[out] task        the task; NULL waits
 * @nullable repository
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_file} one for each file of each commit, and one for each download that was not finished
 * @error TENON_ERROR_ARGUMENT  repository or revision is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_IO  the cache cannot be read
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_cached(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task);

/**
 * Read what the cache holds and compare it with the hashes it is named by.
 *
 * @param[in]  hub         the hub whose cache is meant
 * @param[in]  repository  the repository; NULL: all of them
 * @param[in]  options     revision; NULL: every one that is there
 * @param[out] task        the task; NULL waits
 * @nullable repository
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_file} one for each file of each commit, with what was found in content
 * @error TENON_ERROR_ARGUMENT  repository or revision is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_IO  the cache cannot be read
 * @error TENON_ERROR_INTEGRITY  at least one file is corrupt or missing; the rows name them all
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_verify(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task);

/**
 * Remove a repository, or one revision of it, from the cache; content that another revision uses stays.
 *
 * A download under way of what is forgotten ends in TENON_ERROR_IO.
 *
 * @param[in]  hub         the hub whose cache is meant
 * @param[in]  repository  the repository
 * @param[in]  options     revision; NULL: all of them
 * @param[out] task        the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @text the number of bytes given back, in decimal digits
 * @error TENON_ERROR_ARGUMENT  repository or revision is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  it is not in the cache
 * @error TENON_ERROR_IO  the cache cannot be written
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_forget(tenon_hub *hub, const char *repository, const tenon_repository_options *options, tenon_task **task);

/** Answers of a check. @since 0.1 */
enum {
    /** It cannot be told. */
    TENON_CHECK_UNKNOWN = 0,
    /** It is well. */
    TENON_CHECK_YES = 1,
    /** It is not; fix says what to do. */
    TENON_CHECK_NO = 2
};

/** One thing that was checked before it is needed. @kind{row} @since 0.1 */
typedef struct tenon_check {
    /** sizeof(tenon_check) */
    uint32_t struct_size;
    /** One of TENON_CHECK_... */
    int32_t answer;
    /** What was checked: "endpoint", "token", "cache", "supervisor" ... */
    const char *name;
    /** What was found */
    const char *message;
    /** What to do; "" when it is well */
    const char *fix;
} tenon_check;

/**
 * Check whether a hub can be used from here: endpoint, token, cache folder, links, locks, room.
 *
 * @param[in]  hub   the hub
 * @param[out] task  the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @row{tenon_check} one for each thing that was checked
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_check(tenon_hub *hub, tenon_task **task);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Accelerator                                                                                                        */
/* ------------------------------------------------------------------------------------------------------------------ */

/*
 * An accelerator is named by its place, a colon, and what the place calls it: "local:cpu", "local:cuda:0", "local:cuda"
 * (all of them), "local:rocm:0", "local:tpu", or just "local" (the best this machine has). This version knows the place
 * "local"; names of other places are refused with TENON_ERROR_UNSUPPORTED.
 */

/** What an accelerator is. @kind{row} @since 0.1 */
typedef struct tenon_machine {
    /** sizeof(tenon_machine) */
    uint32_t struct_size;
    /** Chips; 0 for a CPU */
    int32_t chips;
    /** Its one full name: "local:cuda:0" */
    const char *name;
    /** Its place: "local" */
    const char *place;
    /** Who makes the chip: "nvidia", "amd", "google", "intel" ... */
    const char *vendor;
    /** The chip: "NVIDIA H200", "tpu-v5e", the model name of the CPU */
    const char *chip;
    /** The provider's machine type, or this machine's host name */
    const char *machine_type;
    /** How chips are connected: "2x4"; "" for one */
    const char *topology;
    /** The provider's region */
    const char *region;
    /** Version of the driver */
    const char *driver;
    /** What the provider or the probe said, as JSON */
    const char *json;
    /** Memory of each chip; for a CPU what a job may use, cgroups taken into account; -1 unknown */
    int64_t memory_bytes;
    /** Free now, of memory_bytes; -1 unknown */
    int64_t memory_free_bytes;
    /** Memory of the host that a job may use; -1 unknown */
    int64_t host_memory_bytes;
    /** Thousandths of a processor that a job may use, cgroups and affinity taken into account; -1 unknown */
    int64_t cpu_milli;
    /** Price of an hour in millionths of a US dollar; 0 costs nothing, -1 unknown */
    int64_t hour_usd_micros;
    /** Hosts; 1 for one machine */
    int32_t hosts;
    /** 0 */
    int32_t reserved;
} tenon_machine;

/**
 * Open an accelerator by name, in any spelling.
 *
 * @param[in]  context      the context
 * @param[in]  name         the name
 * @param[out] accelerator  the accelerator; this machine has been probed, no service has been asked
 * @transfer{full} accelerator
 * @error TENON_ERROR_ARGUMENT  the name is malformed
 * @error TENON_ERROR_NOT_FOUND  this machine has none such; the hint lists what it has
 * @error TENON_ERROR_AMBIGUOUS  the name stands for several; the hint lists them
 * @error TENON_ERROR_UNSUPPORTED  this version does not know the place
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_accelerator_open(tenon_context *context, const char *name, tenon_accelerator **accelerator);

/**
 * Add a reference to an accelerator.
 *
 * @param[in] accelerator  the accelerator
 * @nullable accelerator
 * @return the same accelerator
 * @transfer{full} return
 * @nullable return
 * @thread{any}
 * @since 0.1
 */
tenon_accelerator *tenon_accelerator_ref(tenon_accelerator *accelerator);

/**
 * Drop a reference to an accelerator.
 *
 * @param[in] accelerator  the accelerator
 * @nullable accelerator
 * @transfer{full} accelerator
 * @thread{any}
 * @since 0.1
 */
void tenon_accelerator_free(tenon_accelerator *accelerator);

/**
 * What an accelerator is.
 *
 * @param[in]     accelerator  the accelerator
 * @param[in,out] machine      the row; its texts live as long as the accelerator
 * @error TENON_ERROR_ARGUMENT  machine is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_accelerator_facts(tenon_accelerator *accelerator, tenon_machine *machine);

/**
 * List the accelerators that a place has.
 *
 * @param[in]  context  the context
 * @param[in]  place    the place, such as "local"; NULL: every place that this version knows
 * @param[out] task     the task; NULL waits
 * @nullable place
 * @nullable task
 * @transfer{full} task
 * @row{tenon_machine} one for each; "local:cpu" is always among them
 * @error TENON_ERROR_UNSUPPORTED  this version does not know the place
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_accelerator_list(tenon_context *context, const char *place, tenon_task **task);

/** What a model is sized for. @since 0.1 */
enum {
    /** Answer requests. */
    TENON_PURPOSE_SERVE = 0,
    /** Train all parameters, mixed precision, AdamW. */
    TENON_PURPOSE_TRAIN = 1,
    /** Train low-rank adapters over a frozen model. */
    TENON_PURPOSE_LORA = 2
};

/** What a model shall do, for sizing. @kind{options} @since 0.1 */
typedef struct tenon_plan_options {
    /** sizeof(tenon_plan_options) */
    uint32_t struct_size;
    /** One of TENON_PURPOSE_... */
    int32_t purpose;
    /** Where the model is. NULL: the hub of the setting hub.endpoint */
    tenon_hub *hub;
    /** As in tenon_repository_options */
    const char *revision;
    /** File to size, where a repository has several GGUF files. NULL: the one a server would take */
    const char *file;
    /** Serving: tokens of context of each sequence; training: tokens of a sequence. 0: 4096, or what the model has if less */
    int64_t context_tokens;
    /** Sequences at once: serving concurrency, or the micro-batch of training. 0: 1 */
    int64_t sequences;
    /** Rank of the adapters. 0: 16 */
    int64_t lora_rank;
} tenon_plan_options;

/** One item of the memory that a model needs on each chip. @kind{row} @since 0.1 */
typedef struct tenon_memory {
    /** sizeof(tenon_memory) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** "weights", "kv_cache", "activations", "gradients", "optimizer", "adapters", "runtime", "total" */
    const char *item;
    /** How it was computed, with the numbers put in */
    const char *formula;
    /** Where the numbers come from: a header, config.json, an option, a constant */
    const char *source;
    /** Least that it will be */
    int64_t low_bytes;
    /** Most that it will be */
    int64_t high_bytes;
} tenon_memory;

/** Verdicts of a plan. @since 0.1 */
enum {
    /** It cannot be told. */
    TENON_VERDICT_UNKNOWN = 0,
    /** It fits with a tenth to spare. */
    TENON_VERDICT_FITS = 1,
    /** It fits with less than a tenth to spare. */
    TENON_VERDICT_TIGHT = 2,
    /** It does not fit; short_bytes says by how much. */
    TENON_VERDICT_NO = 3
};

/**
 * Size a model for an accelerator from its headers alone: some kilobytes of any model.
 *
 * @param[in]  accelerator  the accelerator
 * @param[in]  model        a repository, a folder or a file (.gguf, .safetensors, config.json) on this machine
 * @param[in]  options      purpose, context, concurrency; NULL: serving
 * @param[out] task         the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_memory} one for each item, the total last
 * @text the verdict in one sentence
 * @json the facts of the model that were used
 * @error TENON_ERROR_ARGUMENT  model is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such model, or it has no header that this version can read
 * @error TENON_ERROR_PROTOCOL  a header makes no sense
 * @error TENON_ERROR_DOES_NOT_FIT  it was sized and does not fit; the rows are there all the same
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_accelerator_fit(tenon_accelerator *accelerator, const char *model,
                                   const tenon_plan_options *options, tenon_task **task);

/** One accelerator that a plan looked at. @kind{row} @since 0.1 */
typedef struct tenon_offer {
    /** sizeof(tenon_offer) */
    uint32_t struct_size;
    /** One of TENON_VERDICT_... */
    int32_t verdict;
    /** Name of the accelerator, to be given to tenon_job_serve or tenon_job_train */
    const char *accelerator;
    /** The chip */
    const char *chip;
    /** The verdict in one sentence */
    const char *summary;
    /** Memory that one chip has for it; -1 unknown */
    int64_t have_bytes;
    /** Memory that one chip needs for it, cautiously; -1 unknown */
    int64_t need_bytes;
    /** By how much it does not fit; 0 when it does, -1 unknown */
    int64_t short_bytes;
    /** Tokens of context in all that would fit when serving; -1 unknown */
    int64_t most_tokens;
    /** Price of an hour in millionths of a US dollar; 0 costs nothing, -1 unknown */
    int64_t hour_usd_micros;
    /** Chips it was sized for; 0 for a CPU */
    int32_t chips;
    /** 0 */
    int32_t reserved;
} tenon_offer;

/** One reason behind an offer's verdict. @kind{row} @since 0.1 */
typedef struct tenon_reason {
    /** sizeof(tenon_reason) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** For programs: "memory", "no_bf16", "heads", "engine" ... */
    const char *code;
    /** For people */
    const char *message;
    /** What would change it; "" when nothing would */
    const char *change;
} tenon_reason;

/**
 * Look at every accelerator within reach and rank them for a model, best first. Planning spends nothing.
 *
 * @param[in]  context  the context
 * @param[in]  model    as in tenon_accelerator_fit
 * @param[in]  options  purpose, context, concurrency; NULL: serving
 * @param[out] task     the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_offer} one for each accelerator; its reasons and its memory are read by index
 * @json the facts of the model that were used
 * @error TENON_ERROR_ARGUMENT  model is not a valid name
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such model, or it has no header that this version can read
 * @error TENON_ERROR_PROTOCOL  a header makes no sense
 * @error TENON_ERROR_NETWORK  the hub cannot be reached
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_accelerator_plan(tenon_context *context, const char *model, const tenon_plan_options *options,
                                    tenon_task **task);

/**
 * Check whether jobs can run on an accelerator, before one is submitted: what runs them, folders, engines, limits.
 *
 * @param[in]  accelerator  the accelerator
 * @param[out] task         the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @row{tenon_check} one for each thing that was checked
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_accelerator_check(tenon_accelerator *accelerator, tenon_task **task);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Job                                                                                                                */
/* ------------------------------------------------------------------------------------------------------------------ */

/*
 * The contract that a job's process finds in its environment, wherever it runs:
 *
 *   TENON_JOB_ID    id of the job                        TENON_MODE     "train" or "serve"
 *   TENON_MODEL     folder with the model                TENON_MODEL_ID the model as it was asked for
 *   TENON_DATA      folder or file with the data         TENON_OUTPUT   folder for what shall be kept
 *   TENON_HOST      address to listen on                 TENON_PORT     port to listen on
 *   TENON_API_KEY   key that callers will send as bearer TENON_THREADS  threads to compute with
 *   TENON_INPUT_x   folder or file of the recipe's input x
 *   TENON_CONTEXT_TOKENS, TENON_SEQUENCES   tokens of a sequence, sequences at once; where the caller has said so
 *
 * A recipe is a JSON document: {"command": ["python3", "train.py"], "image": "...", "environment": {"KEY": "value"},
 * "resources": {"cpus": 1, "memory_bytes": 2000000000, "time_ms": 3600000}, "files": ["*.json", "*.safetensors"], "inputs":
 * {"x": "where it is"}, "outputs": ["model.safetensors"], "port": 8000, "health": "/health"}. Only command is required; an
 * unknown field is refused. In command and environment $(TENON_MODEL) stands for the variable's value, $$ for a dollar
 * sign; no shell is involved. files are patterns, as of a snapshot: only these are fetched of the model. A recipe that is a
 * file runs in its own folder.
 *
 * Metrics are read from the log: a line that is a JSON object with "step", and "loss", "learning_rate", "epoch" or any
 * other number beside it; or the same as trainers of the Transformers family print it, with single quotes.
 */

/** States of a job; a state that is greater comes later. @since 0.1 */
enum {
    /** The place does not say, or says something this library does not know. */
    TENON_JOB_UNKNOWN = 0,
    /** On its way: the model is fetched, the place is asked. */
    TENON_JOB_SUBMITTING = 10,
    /** Accepted; waits for quota, admission or a free machine. */
    TENON_JOB_QUEUED = 20,
    /** The machine, the image or the process is starting; a server is not ready yet. */
    TENON_JOB_STARTING = 30,
    /** It trains; or it serves, and has answered that it is ready. */
    TENON_JOB_RUNNING = 40,
    /** It was asked to stop. */
    TENON_JOB_STOPPING = 50,
    /** Ended well. Final, as all that follow. */
    TENON_JOB_SUCCEEDED = 60,
    /** Ended badly; the report says why. */
    TENON_JOB_FAILED = 70,
    /** Stopped by somebody. */
    TENON_JOB_CANCELLED = 80
};

/** What a job is for. @since 0.1 */
enum {
    /** The default of the call. */
    TENON_MODE_UNKNOWN = 0,
    /** It trains, and ends by itself. */
    TENON_MODE_TRAIN = 1,
    /** It serves at an address until it is stopped. */
    TENON_MODE_SERVE = 2
};

/** Why a job failed, in our words over all places. @since 0.1 */
enum {
    /** It did not, or nobody knows. */
    TENON_CAUSE_NONE = 0,
    /** The model or the data could not be fetched, or cannot be read. */
    TENON_CAUSE_INPUT = 1,
    /** The place refused it. */
    TENON_CAUSE_REFUSED = 2,
    /** The program does not exist or cannot be run. */
    TENON_CAUSE_PROGRAM = 3,
    /** The program ended with an error of its own. */
    TENON_CAUSE_USER_CODE = 4,
    /** It was out of memory. */
    TENON_CAUSE_MEMORY = 5,
    /** It took longer than allowed. */
    TENON_CAUSE_TIME = 6,
    /** The disk was full. */
    TENON_CAUSE_DISK = 7,
    /** The port was taken. */
    TENON_CAUSE_PORT = 8,
    /** It never became ready, or stopped being it. */
    TENON_CAUSE_HEALTH = 9,
    /** A signal ended it. */
    TENON_CAUSE_SIGNAL = 10,
    /** It ended well but an output it promised is not there. */
    TENON_CAUSE_OUTPUT = 11,
    /** The machine or what watched the job went away. */
    TENON_CAUSE_LOST = 12,
    /** Quota does not allow it. */
    TENON_CAUSE_QUOTA = 13,
    /** The provider has no such machine free. */
    TENON_CAUSE_CAPACITY = 14,
    /** The image cannot be pulled. */
    TENON_CAUSE_IMAGE = 15,
    /** The provider took the machine back. */
    TENON_CAUSE_PREEMPTED = 16
};

/** What a job shall be. @kind{options} @since 0.1 */
typedef struct tenon_job_options {
    /** sizeof(tenon_job_options) */
    uint32_t struct_size;
    /** Threads to compute with; 0: half of the processors, at least one */
    int32_t threads;
    /** The model: a repository, a folder or a file on this machine. NULL: none */
    const char *model;
    /** As in tenon_repository_options */
    const char *revision;
    /** Where it runs. NULL: "local" */
    const char *accelerator;
    /** A recipe: path of a JSON file, or the JSON itself. NULL, when serving: an engine that knows the model */
    const char *recipe;
    /** Data: a path, or a repository as "hf://datasets/owner/name". NULL: none */
    const char *data;
    /** Folder that receives what the job keeps. NULL: one is made with the job */
    const char *output;
    /** A name for people. NULL: the model's */
    const char *name;
    /** Idempotency key: a second submit with the same key finds the first job. NULL: a new job */
    const char *key;
    /** Where the model is. NULL: the hub of the setting hub.endpoint */
    tenon_hub *hub;
    /** Marks, each "name=value", ending with NULL. NULL: none */
    const char *const *labels;
    /** More environment of the process, each "NAME=value", ending with NULL; wins over the recipe's. NULL: none */
    const char *const *environment;
    /** How long it may run; 0: the recipe's, else no limit */
    int64_t expiry_ms;
    /** How much memory it may use; 0: the recipe's, else no limit */
    int64_t memory_bytes;
    /** Port to serve at; 0: the recipe's, else a free one */
    int32_t port;
    /** 0 */
    int32_t reserved;
    /** Tokens of context of each sequence, as a plan was made with; 0: what the engine or the recipe takes by itself */
    int64_t context_tokens;
    /** Sequences at once, as a plan was made with; 0: what the engine or the recipe takes by itself */
    int64_t sequences;
    /** Serving without a recipe: which file, where a repository or folder has several GGUF files. NULL: as in a plan */
    const char *file;
} tenon_job_options;

/** What is known of a job. @kind{row} @since 0.1 */
typedef struct tenon_job_report {
    /** sizeof(tenon_job_report) */
    uint32_t struct_size;
    /** One of TENON_JOB_... */
    int32_t state;
    /** Id, to open it again */
    const char *id;
    /** Name */
    const char *name;
    /** The model as it was asked for */
    const char *model;
    /** Where it runs */
    const char *accelerator;
    /** What it is at, in the place's words: "fetching", "loading", "running" ... */
    const char *stage;
    /** Address of a server: "http://127.0.0.1:8000/v1"; "" for none */
    const char *address;
    /** Folder with what it keeps */
    const char *output;
    /** Why it failed, in one line */
    const char *message;
    /** What to do about it */
    const char *hint;
    /** The last lines of its log, when it failed */
    const char *last_lines;
    /** The place's own state */
    const char *place_state;
    /** The place's own JSON */
    const char *json;
    /** ms since 1970; -1 not yet */
    int64_t submitted_ms;
    /** ms since 1970; -1 not yet */
    int64_t started_ms;
    /** ms since 1970; -1 not yet */
    int64_t ended_ms;
    /** Most memory it has used so far; -1 unknown */
    int64_t peak_memory_bytes;
    /** One of TENON_MODE_... */
    int32_t mode;
    /** One of TENON_CAUSE_... */
    int32_t cause;
    /** What its process returned; -1 while it runs, or when a signal ended it */
    int32_t exit_code;
    /** The signal that ended it; 0 for none */
    int32_t signal;
    /** Process id of its leader on this machine; 0 for none */
    int32_t process;
    /** 1 when a retry can help */
    int32_t retry_helps;
} tenon_job_report;

/**
 * Train a model: a handle at once, in state TENON_JOB_SUBMITTING; the event loop does the rest.
 *
 * The job goes on when the caller ends. Until it is submitted (the model is still being fetched) it lives in the caller:
 * a caller that may die uses a key and submits again.
 *
 * @param[in]  context  the context
 * @param[in]  options  model, accelerator, recipe and more; a recipe is required
 * @param[out] job      the job
 * @transfer{full} job
 * @error TENON_ERROR_ARGUMENT  an option or the recipe is not valid; the message names the field
 * @error TENON_ERROR_NOT_FOUND  the recipe, the data or the accelerator does not exist
 * @error TENON_ERROR_AMBIGUOUS  the accelerator's name stands for several
 * @error TENON_ERROR_CONFLICT  another job with other options has the same key
 * @error TENON_ERROR_UNSUPPORTED  this version does not know the place, or the place cannot do it
 * @error TENON_ERROR_IO  the jobs' folder cannot be written
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_train(tenon_context *context, const tenon_job_options *options, tenon_job **job);

/**
 * Serve a model: a handle at once, in state TENON_JOB_SUBMITTING; the event loop does the rest.
 *
 * Without a recipe an engine that knows the model is taken where it is installed: llama-server for GGUF files, vllm for
 * safetensors. It listens on this machine only, behind a random key that tenon_inference_chat knows. Left to itself it
 * offers all the context that the model was trained for, and takes memory for it: name context_tokens, as for a plan.
 *
 * @param[in]  context  the context
 * @param[in]  options  model, accelerator, recipe and more; a model or a recipe is required
 * @param[out] job      the job
 * @transfer{full} job
 * @error TENON_ERROR_ARGUMENT  an option or the recipe is not valid; the message names the field
 * @error TENON_ERROR_NOT_FOUND  the recipe, the data or the accelerator does not exist
 * @error TENON_ERROR_AMBIGUOUS  the accelerator's name stands for several
 * @error TENON_ERROR_CONFLICT  another job with other options has the same key
 * @error TENON_ERROR_UNSUPPORTED  this version does not know the place, or the place cannot do it
 * @error TENON_ERROR_IO  the jobs' folder cannot be written
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_serve(tenon_context *context, const tenon_job_options *options, tenon_job **job);

/**
 * Open a job again, in another process or on another day.
 *
 * @param[in]  context  the context
 * @param[in]  id       its id, as tenon_job_id gave it
 * @param[out] job      the job
 * @transfer{full} job
 * @error TENON_ERROR_ARGUMENT  id is not an id
 * @error TENON_ERROR_NOT_FOUND  there is no such job, or it was removed
 * @error TENON_ERROR_UNSUPPORTED  this version does not know the place
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_open(tenon_context *context, const char *id, tenon_job **job);

/**
 * Add a reference to a job.
 *
 * @param[in] job  the job
 * @nullable job
 * @return the same job
 * @transfer{full} return
 * @nullable return
 * @thread{any}
 * @since 0.1
 */
tenon_job *tenon_job_ref(tenon_job *job);

/**
 * Drop a reference to a job; the job itself goes on once it is submitted.
 *
 * @param[in] job  the job
 * @nullable job
 * @transfer{full} job
 * @thread{any}
 * @since 0.1
 */
void tenon_job_free(tenon_job *job);

/**
 * The id of a job, known from the first moment.
 *
 * @param[in]  job  the job
 * @param[out] id   its id; lives as long as the handle
 * @transfer{none} id
 * @error TENON_ERROR_ARGUMENT  id is NULL
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_id(tenon_job *job, const char **id);

/**
 * The key that a server wants from whoever asks it, as bearer: for other clients than tenon's, which know it.
 *
 * @param[in]  job  the job
 * @param[out] key  its key, a secret; lives until the next call or the handle is freed
 * @transfer{none} key
 * @error TENON_ERROR_ARGUMENT  key is NULL
 * @error TENON_ERROR_BUSY  the job is not ready, has ended, or serves at no address
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @error TENON_ERROR_IO  the job cannot be reached
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_api_key(tenon_job *job, const char **key);

/**
 * What is known of a job now; never waits.
 *
 * @param[in]     job     the job
 * @param[in,out] report  the row; its texts live until the next call on the job
 * @error TENON_ERROR_ARGUMENT  report is NULL or its struct_size is not set
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_status(tenon_job *job, tenon_job_report *report);

/**
 * Wait until a job has reached a state; any final state ends it too.
 *
 * @param[in]  job    the job
 * @param[in]  until  one of TENON_JOB_...; TENON_JOB_SUCCEEDED waits for the end
 * @param[out] task   the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @text the job's address, if it has one
 * @error TENON_ERROR_ARGUMENT  until is no state
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_FAILED  the job failed; message and hint are the job's own explanation
 * @error TENON_ERROR_CANCELLED  the job was stopped, or this task was cancelled
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_wait(tenon_job *job, int32_t until, tenon_task **task);

/**
 * Follow a job: what is known of it, again with every change, until its end.
 *
 * @param[in]  job   the job
 * @param[out] task  the task; NULL waits for the end
 * @nullable task
 * @transfer{full} task
 * @row{tenon_job_report} one now and one for each change
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_watch(tenon_job *job, tenon_task **task);

/** Which jobs are listed. @kind{options} @since 0.1 */
typedef struct tenon_job_list_options {
    /** sizeof(tenon_job_list_options) */
    uint32_t struct_size;
    /** One of TENON_MODE_...; 0: both */
    int32_t mode;
    /** Place. NULL: every place that this version knows */
    const char *place;
    /** Label that a job must have, "name=value". NULL: any */
    const char *label;
    /** 1: only those that have not ended */
    int32_t alive;
    /** 0 */
    int32_t reserved;
} tenon_job_list_options;

/**
 * List jobs, newest first.
 *
 * @param[in]  context  the context
 * @param[in]  options  place, label, mode; NULL: all
 * @param[out] task     the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_job_report} one for each job
 * @error TENON_ERROR_UNSUPPORTED  this version does not know the place
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_IO  the jobs' folder cannot be read
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_list(tenon_context *context, const tenon_job_list_options *options, tenon_task **task);

/** Which part of a job's log is read. @kind{options} @since 0.1 */
typedef struct tenon_follow_options {
    /** sizeof(tenon_follow_options) */
    uint32_t struct_size;
    /** 1: go on until the job ends */
    int32_t follow;
    /** Begin with the last so many rows; 0: with the first */
    int64_t last;
} tenon_follow_options;

/** One line of a job's log. @kind{row} @since 0.1 */
typedef struct tenon_log_line {
    /** sizeof(tenon_log_line) */
    uint32_t struct_size;
    /** Which replica or rank wrote it; 0 for the only one */
    int32_t replica;
    /** The line without its line feed; bytes that are not UTF-8 are replaced, a carriage return starts the line anew */
    const char *text;
    /** When it was written, ms since 1970; -1 unknown */
    int64_t time_ms;
    /** Its number, from 1; with `last` it counts from the first line given */
    int64_t number;
} tenon_log_line;

/**
 * Read a job's log, what its processes wrote to standard output and standard error.
 *
 * @param[in]  job      the job
 * @param[in]  options  follow, last; NULL: what there is now
 * @param[out] task     the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_log_line} one for each line
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @error TENON_ERROR_IO  the log cannot be read
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_logs(tenon_job *job, const tenon_follow_options *options, tenon_task **task);

/** One measurement that a training job printed. @kind{row} @since 0.1 */
typedef struct tenon_metric {
    /** sizeof(tenon_metric) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** The whole line as a JSON object, whatever it holds besides */
    const char *json;
    /** Step; -1 unknown */
    int64_t step;
    /** Steps in all; -1 unknown */
    int64_t steps;
    /** When it was printed, ms since 1970; -1 unknown */
    int64_t time_ms;
    /** Loss; not a number when unknown, as all that follow */
    double loss;
    /** Learning rate */
    double learning_rate;
    /** Epoch */
    double epoch;
    /** Norm of the gradient */
    double gradient_norm;
    /** Tokens per second */
    double tokens_per_second;
    /** Loss on data that is not trained on */
    double evaluation_loss;
} tenon_metric;

/**
 * Read a job's metrics: step, loss, learning rate, throughput and whatever else it prints.
 *
 * @param[in]  job      the job
 * @param[in]  options  follow, last; NULL: what there is now
 * @param[out] task     the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_metric} one for each line that is a measurement
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @error TENON_ERROR_IO  the log cannot be read
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_metrics(tenon_job *job, const tenon_follow_options *options, tenon_task **task);

/**
 * List what a job keeps.
 *
 * @param[in]  job   the job
 * @param[out] task  the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @row{tenon_file} one for each file
 * @text the folder
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @error TENON_ERROR_IO  the folder cannot be read
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_outputs(tenon_job *job, tenon_task **task);

/** How a job is stopped. @kind{options} @since 0.1 */
typedef struct tenon_stop_options {
    /** sizeof(tenon_stop_options) */
    uint32_t struct_size;
    /** 1: at once, without grace */
    int32_t force;
    /** How long it may take to end by itself before it is killed; 0: the setting job.grace_ms */
    int64_t grace_ms;
} tenon_stop_options;

/**
 * Stop a job: its whole group of processes is asked, and after the grace killed. Done when it has ended.
 *
 * @param[in]  job      the job
 * @param[in]  options  grace; NULL for the defaults
 * @param[out] task     the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  the job was removed
 * @error TENON_ERROR_IO  the job cannot be reached
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_stop(tenon_job *job, const tenon_stop_options *options, tenon_task **task);

/**
 * Remove what is left of a job: its state and its log, and its output where tenon made the folder.
 *
 * @param[in]  job   the job; it must have ended
 * @param[out] task  the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_BUSY  it has not ended; stop it first
 * @error TENON_ERROR_NOT_FOUND  it was removed already
 * @error TENON_ERROR_IO  a file cannot be removed
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_job_remove(tenon_job *job, tenon_task **task);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Inference                                                                                                          */
/* ------------------------------------------------------------------------------------------------------------------ */

/*
 * A target is a job's id, which knows its own address and key, or an address up to and including its version:
 * "http://127.0.0.1:8000/v1". Every server that speaks the chat and completion calls of OpenAI is meant.
 */

/** Flags of tenon_chat_options and tenon_complete_options. @since 0.1 */
enum {
    /** Ask for the whole answer at once. */
    TENON_CHAT_WHOLE = 1
};

/** A question to a chat model. @kind{options} @since 0.1 */
typedef struct tenon_chat_options {
    /** sizeof(tenon_chat_options) */
    uint32_t struct_size;
    /** Sum of TENON_CHAT_... */
    uint32_t flags;
    /** What the user says; comes after messages. NULL: messages are all there is */
    const char *prompt;
    /** What the model is told first. NULL: nothing */
    const char *system;
    /** The conversation so far: a JSON array of messages. NULL: none */
    const char *messages;
    /** Model. NULL: the first one that the server lists */
    const char *model;
    /** Key, sent as bearer. NULL: the job's own; none for an address */
    const char *key;
    /** A JSON object that is merged into the request: "temperature", "tools", "response_format" ... NULL: none */
    const char *parameters;
    /** Tokens of the answer at most; 0: the server's default */
    int64_t max_tokens;
} tenon_chat_options;

/** Kinds of a piece. @since 0.1 */
enum {
    /** Something this library does not know; json has it. */
    TENON_PIECE_UNKNOWN = 0,
    /** Text of the answer. */
    TENON_PIECE_TEXT = 1,
    /** Text of the model's reasoning, where a server tells it apart; in `reasoning`, so that `text` is the answer alone. */
    TENON_PIECE_REASONING = 2,
    /** Part of a tool call: tool_id and tool_name come with the first part, tool_arguments grows piece by piece. */
    TENON_PIECE_TOOL = 3,
    /** A choice is complete; stop_reason says why. */
    TENON_PIECE_STOP = 4,
    /** What it took: prompt_tokens and completion_tokens. */
    TENON_PIECE_USAGE = 5
};

/** One piece of an answer, as it arrives. @kind{row} @since 0.1 */
typedef struct tenon_piece {
    /** sizeof(tenon_piece) */
    uint32_t struct_size;
    /** One of TENON_PIECE_... */
    int32_t kind;
    /** Text of the answer; "" for other kinds */
    const char *text;
    /** Text of the reasoning; "" for other kinds */
    const char *reasoning;
    /** "stop", "length", "tool_calls" ...; "" for other kinds */
    const char *stop_reason;
    /** Id of a tool call */
    const char *tool_id;
    /** Name of the tool */
    const char *tool_name;
    /** The next part of its arguments, which are JSON when they are complete */
    const char *tool_arguments;
    /** The server's own JSON */
    const char *json;
    /** Tokens of the question; -1 unknown */
    int64_t prompt_tokens;
    /** Tokens of the answer; -1 unknown */
    int64_t completion_tokens;
    /** Which choice, from 0 */
    int32_t choice;
    /** Which tool call, from 0 */
    int32_t tool;
} tenon_piece;

/**
 * Ask a chat model; the answer streams.
 *
 * A question that may have been heard is not asked again; one that was not, or that was refused for now, is repeated.
 *
 * @param[in]  context  the context
 * @param[in]  target   a job's id or an address
 * @param[in]  options  the question; prompt or messages is required
 * @param[out] task     the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @text the answer so far, at the end the whole
 * @row{tenon_piece} one for each piece as it arrives; cancelling stops the server too
 * @json the last JSON of the server; for a whole answer the answer's own
 * @error TENON_ERROR_ARGUMENT  target, messages or parameters is not valid
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such job, or no such model
 * @error TENON_ERROR_UNAUTHORIZED  the key is not accepted
 * @error TENON_ERROR_FORBIDDEN  the key does not allow it
 * @error TENON_ERROR_BUSY  the job is not ready
 * @error TENON_ERROR_NETWORK  the server cannot be reached, or cut the answer short
 * @error TENON_ERROR_TLS  the server's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the server went silent
 * @error TENON_ERROR_RATE_LIMITED  the server asks to wait
 * @error TENON_ERROR_UNAVAILABLE  the server cannot serve now
 * @error TENON_ERROR_PROTOCOL  the answer makes no sense
 * @error TENON_ERROR_FAILED  the server failed in the middle of the answer
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_inference_chat(tenon_context *context, const char *target, const tenon_chat_options *options,
                                  tenon_task **task);

/** A text to be continued. @kind{options} @since 0.1 */
typedef struct tenon_complete_options {
    /** sizeof(tenon_complete_options) */
    uint32_t struct_size;
    /** Sum of TENON_CHAT_... */
    uint32_t flags;
    /** The text; required */
    const char *prompt;
    /** Model. NULL: the first one that the server lists */
    const char *model;
    /** Key, sent as bearer. NULL: the job's own; none for an address */
    const char *key;
    /** A JSON object that is merged into the request. NULL: none */
    const char *parameters;
    /** Tokens of the answer at most; 0: the server's default */
    int64_t max_tokens;
} tenon_complete_options;

/**
 * Have a model continue a text; the answer streams.
 *
 * @param[in]  context  the context
 * @param[in]  target   a job's id or an address
 * @param[in]  options  the text; prompt is required
 * @param[out] task     the task; NULL waits
 * @nullable task
 * @transfer{full} task
 * @text the answer so far, at the end the whole
 * @row{tenon_piece} one for each piece as it arrives; cancelling stops the server too
 * @json the last JSON of the server; for a whole answer the answer's own
 * @error TENON_ERROR_ARGUMENT  target or parameters is not valid, or prompt is missing
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such job, or no such model
 * @error TENON_ERROR_UNAUTHORIZED  the key is not accepted
 * @error TENON_ERROR_FORBIDDEN  the key does not allow it
 * @error TENON_ERROR_BUSY  the job is not ready
 * @error TENON_ERROR_NETWORK  the server cannot be reached, or cut the answer short
 * @error TENON_ERROR_TLS  the server's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the server went silent
 * @error TENON_ERROR_RATE_LIMITED  the server asks to wait
 * @error TENON_ERROR_UNAVAILABLE  the server cannot serve now
 * @error TENON_ERROR_PROTOCOL  the answer makes no sense
 * @error TENON_ERROR_FAILED  the server failed in the middle of the answer
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_inference_complete(tenon_context *context, const char *target,
                                      const tenon_complete_options *options, tenon_task **task);

/** One model that a server has. @kind{row} @since 0.1 */
typedef struct tenon_model {
    /** sizeof(tenon_model) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** What to call it in a request */
    const char *id;
    /** Who has it */
    const char *owner;
    /** The server's own JSON */
    const char *json;
    /** Tokens of context; -1 unknown */
    int64_t context_tokens;
} tenon_model;

/**
 * List the models that a server has.
 *
 * @param[in]  context  the context
 * @param[in]  target   a job's id or an address
 * @param[in]  key      key, sent as bearer; NULL: the job's own; none for an address
 * @param[out] task     the task; NULL waits
 * @nullable key
 * @nullable task
 * @transfer{full} task
 * @row{tenon_model} one for each
 * @json the server's answer
 * @error TENON_ERROR_ARGUMENT  target is neither a job's id nor an address
 * @error TENON_ERROR_MEMORY  out of memory
 * @error TENON_ERROR_MISUSE  another thread is inside, or this is a forked child
 * @error TENON_ERROR_NOT_FOUND  no such job
 * @error TENON_ERROR_UNAUTHORIZED  the key is not accepted
 * @error TENON_ERROR_FORBIDDEN  the key does not allow it
 * @error TENON_ERROR_BUSY  the job is not ready
 * @error TENON_ERROR_NETWORK  the server cannot be reached
 * @error TENON_ERROR_TLS  the server's certificate is not trusted
 * @error TENON_ERROR_TIMEOUT  the server went silent
 * @error TENON_ERROR_RATE_LIMITED  the server asks to wait
 * @error TENON_ERROR_UNAVAILABLE  the server cannot serve now
 * @error TENON_ERROR_PROTOCOL  the answer makes no sense
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_inference_models(tenon_context *context, const char *target, const char *key, tenon_task **task);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Rows of a task                                                                                                     */
/* ------------------------------------------------------------------------------------------------------------------ */

/*
 * Each takes the next row of a task, in order: TENON_OK, TENON_AGAIN when none came within timeout_ms (0 polls, -1 waits),
 * TENON_DONE after the last one of a task that ended well, else the error the task failed with. A task yields the one kind
 * of row that the tag @row of its function names; asking for another is TENON_ERROR_MISUSE. A slow reader slows the sender
 * down, so memory stays bounded.
 */

/**
 * Take the next repository of a task.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] repository  the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_repository(tenon_task *task, int64_t timeout_ms, tenon_repository *repository);

/**
 * Take the next file of a task.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] file        the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_file(tenon_task *task, int64_t timeout_ms, tenon_file *file);

/**
 * Take the next branch, tag or pull request of a task.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] reference   the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_reference(tenon_task *task, int64_t timeout_ms, tenon_reference *reference);

/**
 * Take the next thing that was checked.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] check       the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_check(tenon_task *task, int64_t timeout_ms, tenon_check *check);

/**
 * Take the next accelerator of a task.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] machine     the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_machine(tenon_task *task, int64_t timeout_ms, tenon_machine *machine);

/**
 * Take the next item of memory of a task.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] memory      the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_memory(tenon_task *task, int64_t timeout_ms, tenon_memory *memory);

/**
 * Take the next offer of a plan.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] offer       the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_offer(tenon_task *task, int64_t timeout_ms, tenon_offer *offer);

/**
 * One reason behind the offer that was taken last.
 *
 * @param[in]     task    the task
 * @param[in]     index   0 for the first reason
 * @param[in,out] reason  the row; its texts live until the next offer is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  no offer was taken, another thread is inside, or this is a forked child
 * @return TENON_OK, or TENON_DONE past the last reason
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_offer_reason(tenon_task *task, uint32_t index, tenon_reason *reason);

/**
 * One item of the memory behind the offer that was taken last.
 *
 * @param[in]     task    the task
 * @param[in]     index   0 for the first item
 * @param[in,out] memory  the row; its texts live until the next offer is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  no offer was taken, another thread is inside, or this is a forked child
 * @return TENON_OK, or TENON_DONE past the last item
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_offer_memory(tenon_task *task, uint32_t index, tenon_memory *memory);

/**
 * Take the next report of a task.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] report      the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_report(tenon_task *task, int64_t timeout_ms, tenon_job_report *report);

/**
 * Take the next line of a job's log.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] line        the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_log_line(tenon_task *task, int64_t timeout_ms, tenon_log_line *line);

/**
 * Take the next measurement of a job.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] metric      the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_metric(tenon_task *task, int64_t timeout_ms, tenon_metric *metric);

/**
 * Take the next piece of an answer.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] piece       the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_piece(tenon_task *task, int64_t timeout_ms, tenon_piece *piece);

/**
 * Take the next model of a server.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait; 0 polls, -1 waits
 * @param[in,out] model       the row; its texts live until the next row is taken or the task is freed
 * @error TENON_ERROR_ARGUMENT  the row is NULL or its struct_size is not set
 * @error TENON_ERROR_MISUSE  the task yields other rows, another thread is inside, or this is a forked child
 * @return TENON_OK, TENON_AGAIN, TENON_DONE, or the error the task failed with
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_model(tenon_task *task, int64_t timeout_ms, tenon_model *model);

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
