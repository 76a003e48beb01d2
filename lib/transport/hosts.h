/* Lists of hosts, as NO_PROXY is one. */
#ifndef TN_HOSTS_H
#define TN_HOSTS_H

#include <stdbool.h>

/*
 * Is the host in a list, separated by commas or blanks: as a name with all names below it, an address, a network as
 * 10.0.0.0/8, or * for every host? The brackets that an IPv6 address wears are taken off host.
 */
bool tn_hosts_have(const char *list, char *host);

#endif
