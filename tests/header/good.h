/* A header that keeps every rule: test_header.py spoils it in one place after the other. */
#include <stddef.h>
#include <stdint.h>

#define TENON_VERSION_MAJOR 0
#define TENON_VERSION_MINOR 1
#define TENON_VERSION_PATCH 0
#define EXTERN

/** A place. @since 0.1 */
typedef struct tenon_hub tenon_hub;
/** One operation. @since 0.1 */
typedef struct tenon_task tenon_task;

/** The outcome of a call. @since 0.1 */
typedef int32_t tenon_status;

/** Values of tenon_status. @since 0.1 */
enum {
    /** Done. */
    TENON_OK = 0,
    /** Not valid. */
    TENON_ERROR_ARGUMENT = -1
};

/** Kinds of a file. @since 0.1 */
enum {
    /** Not known. */
    TENON_FILE_UNKNOWN = 0,
    /** A file. */
    TENON_FILE_REGULAR = 1
};

/** How files are listed. @kind{options} @since 0.1 */
typedef struct tenon_list_options {
    /** sizeof(tenon_list_options) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** Folder. NULL: all of it */
    const char *folder;
    /** How long it may take */
    int64_t limit_ms;
} tenon_list_options;

/** A file. @kind{row} @since 0.1 */
typedef struct tenon_file {
    /** sizeof(tenon_file) */
    uint32_t struct_size;
    /** One of TENON_FILE_... */
    int32_t kind;
    /** Its path */
    const char *path;
} tenon_file;

/** Who hears what is said. @kind{hooks} @since 0.1 */
typedef struct tenon_logger {
    /** sizeof(tenon_logger) */
    uint32_t struct_size;
    /** 0 */
    uint32_t reserved;
    /** Takes one line */
    void (*write)(void *user, const char *text);
} tenon_logger;

/**
 * Open a place.
 *
 * @param[in]  name  its name
 * @param[out] hub   the place
 * @transfer{full} hub
 * @error TENON_ERROR_ARGUMENT  the name is not valid
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_open(const char *name, tenon_hub **hub);

/**
 * Add a reference.
 *
 * @param[in] hub  the place
 * @nullable hub
 * @return the same place
 * @transfer{full} return
 * @thread{any}
 * @since 0.1
 */
tenon_hub *tenon_hub_ref(tenon_hub *hub);

/**
 * Drop a reference.
 *
 * @param[in] hub  the place
 * @nullable hub
 * @transfer{full} hub
 * @thread{any}
 * @since 0.1
 */
void tenon_hub_free(tenon_hub *hub);

/**
 * Add a reference.
 *
 * @param[in] task  the task
 * @nullable task
 * @return the same task
 * @transfer{full} return
 * @thread{any}
 * @since 0.1
 */
tenon_task *tenon_task_ref(tenon_task *task);

/**
 * Drop a reference.
 *
 * @param[in] task  the task
 * @nullable task
 * @transfer{full} task
 * @thread{any}
 * @since 0.1
 */
void tenon_task_free(tenon_task *task);

/**
 * List files.
 *
 * @param[in]  hub      the place
 * @param[in]  options  folder; NULL for the defaults
 * @param[out] task     the task; NULL waits
 * @nullable options
 * @nullable task
 * @transfer{full} task
 * @row{tenon_file} one for each
 * @error TENON_ERROR_ARGUMENT  the folder is not valid
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_hub_list(tenon_hub *hub, const tenon_list_options *options, tenon_task **task);

/**
 * Take the next bytes.
 *
 * @param[in]  task        the task
 * @param[in]  timeout_ms  how long to wait
 * @param[out] buffer      where they go
 * @param[in]  size        room in buffer
 * @array{buffer, length=size}
 * @error TENON_ERROR_ARGUMENT  no room
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_read(tenon_task *task, int64_t timeout_ms, void *buffer, size_t size);

/**
 * Take the next file.
 *
 * @param[in]     task        the task
 * @param[in]     timeout_ms  how long to wait
 * @param[in,out] file        the row
 * @error TENON_ERROR_ARGUMENT  the row is NULL
 * @blocking
 * @thread{one}
 * @since 0.1
 */
tenon_status tenon_task_next_file(tenon_task *task, int64_t timeout_ms, tenon_file *file);
