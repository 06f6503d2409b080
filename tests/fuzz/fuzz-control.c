/* Any bytes from a client to the control socket of a launcher that is made up around it: every
 * reply is JSON, whole, and a reply or an error; there are no more than one a call but for what was
 * asked to go on; and the launcher serves the next client as before. A byte 0xff lets some time go
 * by. */
#include "base/buffer.h"
#include "demand.h"
#include "tests/unit/fake-launcher.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Where there is no test.c. */
__attribute__((weak)) int test_failures;

static void send_some(int fd, const uint8_t *bytes, size_t count)
{
    while (count) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return; /* it has hung up */
        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        }
        turns(1);
    }
}

static void receive_some(int fd, struct buffer *replies)
{
    char piece[4096];
    ssize_t got;
    while ((got = recv(fd, piece, sizeof piece, MSG_DONTWAIT)) > 0)
        demand(buffer_append(replies, piece, (size_t)got) == 0, "there is memory");
}

static void check_reply(const char *reply)
{
    json_t *root = json_loads(reply, 0, NULL);
    demand(root && json_is_object(root), "a reply is an object of JSON");
    json_t *parameters = json_object_get(root, "parameters"),
           *error = json_object_get(root, "error");
    demand(parameters || error, "it is a reply, or an error");
    demand(!parameters || json_is_object(parameters), "parameters are an object");
    demand(!error || strchr(json_string_value(error), '.'), "an error has its interface's name");
    json_decref(root);
}

static void check_replies(const struct buffer *replies, size_t calls, bool more)
{
    const char *at = buffer_bytes(replies), *behind = at + buffer_used(replies);
    size_t seen = 0;
    while (at < behind) {
        const char *end = memchr(at, 0, (size_t)(behind - at));
        if (!end) {
            demand(false, "a reply ends");
            return;
        }
        check_reply(at);
        at = end + 1;
        seen++;
    }
    demand(seen <= calls || more, "there are no more replies than calls");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct buffer replies = {0};
    size_t calls = 1; /* what has no end is refused when it is too long */

    for (size_t i = 0; i < count; i++)
        calls += !bytes[i];
    begin();
    int fd = dial();
    for (const uint8_t *at = bytes, *behind = bytes + count; at < behind;) {
        const uint8_t *end = memchr(at, 0xff, (size_t)(behind - at));
        size_t here = (size_t)((end ? end : behind) - at);
        send_some(fd, at, here);
        run_services();
        turns(3);
        receive_some(fd, &replies);
        at += here + (end != NULL);
    }
    shutdown(fd, SHUT_WR);
    turns(10);
    receive_some(fd, &replies);
    if (buffer_used(&replies))
        check_replies(&replies, calls,
                      memmem(bytes, count, "more", 4) || memchr(bytes, '\\', count));
    close(fd);
    turns(3);
    check_served();
    end();
    demand(!test_failures, "the next client is served");
    buffer_finish(&replies);
    return 0;
}
