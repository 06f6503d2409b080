/* Addresses of TCP as they stand in a service file: 127.0.0.1:80, [::1]:80, localhost:80. Names are
 * not looked up: that would wait for somebody else. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#define HOST_PORT_MAX 2 /* localhost is two addresses */

struct host_port {
    struct sockaddr_storage address;
    socklen_t bytes;
};

/* Returns how many addresses it is, in `ret`; -EINVAL when it is not HOST:PORT, -ERANGE when the
 * port is not 1 to 65535, -ENOENT when the host is a name other than localhost. */
int host_port_parse(const char *text, struct host_port ret[static HOST_PORT_MAX]);
