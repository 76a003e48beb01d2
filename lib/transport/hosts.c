#include "hosts.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "text.h"

enum { ENTRY_LONGEST = 256 };

/* The bytes of an IP address, 4 or 16 of them; 0 when it is none. */
static size_t read_address(const char *text, unsigned char bytes[16])
{
    size_t size = 0;

    if (inet_pton(AF_INET, text, bytes) == 1)
        size = 4;
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        size = 16;
    return size;
}

/* Is the address one of the network's? entry is "address" or "address/bits"; it is cut at the slash. */
static bool is_of_network(const unsigned char *address, size_t size, char *entry)
{
    char *slash = strchr(entry, '/');
    unsigned char network[16];
    int64_t bits = (int64_t)size * 8;
    bool within;

    if (slash != NULL) {
        *slash = '\0';
        if (!tn_parse_integer(slash + 1, &bits) || bits > (int64_t)size * 8)
            return false;
    }
    within = read_address(entry, network) == size && memcmp(address, network, (size_t)bits / 8) == 0;
    return within && (bits % 8 == 0 || ((address[bits / 8] ^ network[bits / 8]) >> (8 - bits % 8)) == 0);
}

/* Is the host that name, or a name below it? "co.uk", ".co.uk" and "co.uk." are the same. */
static bool is_below_name(const char *host, const char *entry)
{
    size_t length, whole = strlen(host);

    entry += strspn(entry, ".");
    length = strlen(entry);
    length -= length > 0 && entry[length - 1] == '.';
    whole -= whole > 0 && host[whole - 1] == '.';
    return length > 0 && whole >= length && strncasecmp(host + whole - length, entry, length) == 0 &&
           (whole == length || host[whole - length - 1] == '.');
}

/* Takes the brackets off that IPv6 addresses wear in addresses. */
static void take_brackets_off(char *host)
{
    size_t length = strlen(host);

    if (length > 1 && host[0] == '[' && host[length - 1] == ']') {
        memmove(host, host + 1, length - 2);
        host[length - 2] = '\0';
    }
}

bool tn_hosts_have(const char *list, char *host)
{
    static const char between[] = ", \t";
    unsigned char address[16];
    bool listed = false;
    size_t size;

    take_brackets_off(host);
    size = read_address(host, address);
    for (list += strspn(list, between); *list != '\0' && !listed; list += strspn(list, between)) {
        char entry[ENTRY_LONGEST];
        size_t length = strcspn(list, between);

        if (length < sizeof entry) {
            memcpy(entry, list, length);
            entry[length] = '\0';
            take_brackets_off(entry);
            listed = strcmp(entry, "*") == 0 || (size > 0 ? is_of_network(address, size, entry) : is_below_name(host, entry));
        }
        list += length;
    }
    return listed;
}
