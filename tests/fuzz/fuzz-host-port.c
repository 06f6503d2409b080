/* Any text as HOST:PORT: what is one is an address with a port, and as the C library shows it it is
 * read as the same. */
#include "base/host-port.h"
#include "base/text.h"
#include "demand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_again(const struct host_port *one)
{
    struct host_port again[HOST_PORT_MAX];
    char host[INET6_ADDRSTRLEN], shown[INET6_ADDRSTRLEN + 10];
    const struct sockaddr_in *v4 = (const void *)&one->address;
    const struct sockaddr_in6 *v6 = (const void *)&one->address;
    bool is_v6 = one->address.ss_family == AF_INET6;

    demand(is_v6 ? one->bytes == sizeof *v6 : one->bytes == sizeof *v4, "its size is right");
    demand(is_v6 || one->address.ss_family == AF_INET, "it is of TCP");
    inet_ntop(one->address.ss_family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, host,
              sizeof host);
    unsigned port = ntohs(is_v6 ? v6->sin6_port : v4->sin_port);
    demand(port > 0, "it has a port");
    text_format(shown, sizeof shown, is_v6 ? "[%s]:%u" : "%s:%u", host, port);
    demand(host_port_parse(shown, again) == 1, "what is shown is one");
    demand(again[0].bytes == one->bytes && !memcmp(&again[0].address, &one->address, one->bytes),
           "it is the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct host_port ports[HOST_PORT_MAX];
    char *text = strndup((const char *)bytes, count);

    demand(text != NULL, "there is memory");
    memset(ports, 0, sizeof ports);
    int found = host_port_parse(text, ports);
    demand((found >= 1 && found <= HOST_PORT_MAX) || found == -EINVAL || found == -ERANGE ||
               found == -ENOENT,
           "it is one or two, or none");
    for (int i = 0; i < found; i++)
        check_again(&ports[i]);
    free(text);
    return 0;
}
