/* HOST:PORT: numbers and localhost, and nothing that would have to be looked up. */
#include "base/host-port.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

static struct host_port addresses[HOST_PORT_MAX];

static int port_of(size_t i)
{
    struct sockaddr_in in;
    memcpy(&in, &addresses[i].address, sizeof in);
    return ntohs(in.sin_port); /* at the same place for both families */
}

TEST(numbers_of_both_families_are_addresses)
{
    CHECK_NUMBER(host_port_parse("127.0.0.1:80", addresses), 1);
    CHECK_NUMBER(addresses[0].address.ss_family, AF_INET);
    CHECK_NUMBER(port_of(0), 80);
    CHECK_NUMBER(host_port_parse("[::1]:65535", addresses), 1);
    CHECK_NUMBER(addresses[0].address.ss_family, AF_INET6);
    CHECK_NUMBER(port_of(0), 65535);
    CHECK_NUMBER(host_port_parse("[fe80::1:2]:1", addresses), 1);
}

TEST(localhost_is_one_of_each)
{
    CHECK_NUMBER(host_port_parse("localhost:8080", addresses), 2);
    CHECK_NUMBER(addresses[0].address.ss_family, AF_INET);
    CHECK_NUMBER(addresses[1].address.ss_family, AF_INET6);
    CHECK_NUMBER(port_of(1), 8080);
}

TEST(what_is_no_address_is_refused_by_its_kind)
{
    static const char *const none[] = {"",
                                       "80",
                                       ":80",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "::1:80",
                                       "[::1]",
                                       "[::1]80",
                                       "[]:80",
                                       "[x]:80",
                                       "h:80x",
                                       "h: 80",
                                       "[127.0.0.1]:80",
                                       "h:-1",
                                       "127.0.0.1: 80"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK_NUMBER(host_port_parse(none[i], addresses), -EINVAL);
    CHECK_NUMBER(host_port_parse("127.0.0.1:0", addresses), -ERANGE);
    CHECK_NUMBER(host_port_parse("127.0.0.1:65536", addresses), -ERANGE);
    CHECK_NUMBER(host_port_parse("example.org:80", addresses), -ENOENT);
    CHECK_NUMBER(host_port_parse("127.0.0.1.:80", addresses), -ENOENT);
    CHECK_NUMBER(host_port_parse("a-host-that-has-a-name-of-more-than-sixty-four-bytes-in-all-"
                                 "and-is-none:80",
                                 addresses),
                 -ENOENT);
}
