#include "tenon.h"

#define TEXT_OF(number) #number
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *tenon_version(void)
{
    return VERSION(TENON_VERSION_MAJOR, TENON_VERSION_MINOR, TENON_VERSION_PATCH);
}

const char *tenon_status_name(tenon_status status)
{
    static const char *const errors[] = {
        "TENON_OK", "TENON_ERROR_ARGUMENT", "TENON_ERROR_MISUSE", "TENON_ERROR_MEMORY", "TENON_ERROR_CANCELLED",
        "TENON_ERROR_TIMEOUT", "TENON_ERROR_OFFLINE", "TENON_ERROR_NETWORK", "TENON_ERROR_TLS", "TENON_ERROR_UNAUTHORIZED",
        "TENON_ERROR_FORBIDDEN", "TENON_ERROR_GATED", "TENON_ERROR_NOT_FOUND", "TENON_ERROR_AMBIGUOUS", "TENON_ERROR_CONFLICT",
        "TENON_ERROR_RATE_LIMITED", "TENON_ERROR_QUOTA", "TENON_ERROR_CAPACITY", "TENON_ERROR_DOES_NOT_FIT",
        "TENON_ERROR_TOO_EXPENSIVE", "TENON_ERROR_INTEGRITY", "TENON_ERROR_PROTOCOL", "TENON_ERROR_DISK_FULL",
        "TENON_ERROR_IO", "TENON_ERROR_BUSY", "TENON_ERROR_FAILED", "TENON_ERROR_UNSUPPORTED", "TENON_ERROR_INTERNAL",
        "TENON_ERROR_UNAVAILABLE"
    };
    static const char *const others[] = { "TENON_OK", "TENON_AGAIN", "TENON_DONE" };
    const int32_t count = (int32_t)(sizeof errors / sizeof errors[0]);
    const char *name = status < 0 ? "TENON_ERROR" : "TENON_OK";

    if (status >= 0 && status <= TENON_DONE)
        name = others[status];
    else if (status < 0 && status > -count)
        name = errors[-status];
    return name;
}
