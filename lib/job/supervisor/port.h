/* A port of a job's own on this machine. */
#ifndef TN_PORT_H
#define TN_PORT_H

#include "failure.h"
#include "file.h"

/* A port that is taken: against other jobs by a lock, against the rest by a socket that holds it. */
struct port {
    int32_t number; /* 0: none */
    struct lock lock;
    int socket;     /* -1: not held */
};

void port_init(struct port *port);
/* Takes that port; TENON_ERROR_BUSY when somebody has it. ports is the folder of the locks. */
tenon_status port_take(struct port *port, const char *ports, int32_t number, struct failure *failure);
/*
 * Takes any port below those that the system gives out by itself, beginning at a place that seed says. Not the one that
 * number avoid is.
 */
tenon_status port_take_any(struct port *port, const char *ports, uint32_t seed, int32_t avoid, struct failure *failure);
/* Lets the socket go, so that a server which insists on being alone can have the port. */
void port_let_go(struct port *port);
void port_clear(struct port *port);

#endif
