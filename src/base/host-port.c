/* HOST:PORT. See inet_pton(3), ip(7), ipv6(7). */
#include "base/host-port.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

static struct host_port make_v4(struct in_addr address, uint16_t port)
{
    struct host_port made = {.bytes = sizeof(struct sockaddr_in)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
    memcpy(&made.address, &in, sizeof in);
    return made;
}

static struct host_port make_v6(struct in6_addr address, uint16_t port)
{
    struct host_port made = {.bytes = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 in = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = address};
    memcpy(&made.address, &in, sizeof in);
    return made;
}

int host_port_parse(const char *text, struct host_port ret[static HOST_PORT_MAX])
{
    char host[64];
    struct in_addr v4;
    struct in6_addr v6;
    uint64_t port;
    const char *colon = strrchr(text, ':');
    size_t bytes = colon ? (size_t)(colon - text) : 0;
    bool brackets = bytes > 2 && text[0] == '[' && text[bytes - 1] == ']';

    if (!bytes || bytes >= sizeof host)
        return bytes ? -ENOENT : -EINVAL;
    size_t length = brackets ? bytes - 2 : bytes;
    memcpy(host, text + brackets, length);
    host[length] = 0;
    if (!brackets &&
        (host[0] == '[' || strchr(host, ':'))) /* where the port begins could only be guessed */
        return -EINVAL;
    if (text_parse_unsigned(colon + 1, &port) < 0)
        return -EINVAL;
    if (port < 1 || port > 65535)
        return -ERANGE;
    if (strcmp(host, "localhost") == 0) {
        ret[0] = make_v4((struct in_addr){.s_addr = htonl(INADDR_LOOPBACK)}, (uint16_t)port);
        ret[1] = make_v6((struct in6_addr)IN6ADDR_LOOPBACK_INIT, (uint16_t)port);
        return 2;
    }
    if (!brackets && inet_pton(AF_INET, host, &v4) == 1) {
        ret[0] = make_v4(v4, (uint16_t)port);
        return 1;
    }
    if (brackets && inet_pton(AF_INET6, host, &v6) == 1) {
        ret[0] = make_v6(v6, (uint16_t)port);
        return 1;
    }
    return brackets ? -EINVAL : -ENOENT;
}
