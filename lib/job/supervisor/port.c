#include "port.h"

#include <limits.h>
#include <string.h>

#include "path.h"
#include "system.h"
#include "text.h"

/* How many ports below the system's own are tried, and the least one that anybody may have. */
enum { RANGE = 10000, LEAST = 1025, FALLBACK = 20000 };

void port_init(struct port *port)
{
    memset(port, 0, sizeof *port);
    port->lock.fd = -1;
    port->socket = -1;
}

tenon_status port_take(struct port *port, const char *ports, int32_t number, struct failure *failure)
{
    struct text path;
    tenon_status status;

    tn_text_init(&path, failure->memory, PATH_MAX);
    tn_text_format(&path, "%s/%d", ports, (int)number);
    status = path.failed ? tn_fail_memory(failure) : tn_folder_make(ports, 0700, failure);
    if (status == TENON_OK)
        status = tn_lock_try(&port->lock, tn_text(&path), failure);
    if (status == TENON_OK) {
        port->socket = system_hold_port(number);
        if (port->socket < 0) {
            tn_lock_release(&port->lock);
            status = TENON_AGAIN;
        }
    }
    if (status == TENON_AGAIN)
        status = tn_fail(failure, TENON_ERROR_BUSY, "port %d is taken", (int)number);
    if (status == TENON_OK)
        port->number = number;
    tn_text_clear(&path);
    return status;
}

tenon_status port_take_any(struct port *port, const char *ports, uint32_t seed, int32_t avoid, struct failure *failure)
{
    int32_t above = system_first_ephemeral_port();
    int32_t below, count;
    tenon_status status = TENON_ERROR_BUSY;

    /* Where the system gives out everything, the socket that holds the port must do. */
    if (above < LEAST + 100)
        above = FALLBACK + RANGE;
    below = above - RANGE > LEAST ? above - RANGE : LEAST;
    count = above - below;
    for (int32_t i = 0; i < count && status == TENON_ERROR_BUSY; i++) {
        int32_t number = below + (int32_t)((seed + (uint32_t)i) % (uint32_t)count);

        if (number != avoid)
            status = port_take(port, ports, number, failure);
    }
    return status;
}

void port_let_go(struct port *port)
{
    tn_file_close(&port->socket);
}

void port_clear(struct port *port)
{
    tn_file_close(&port->socket);
    tn_lock_release(&port->lock);
    port->number = 0;
}
