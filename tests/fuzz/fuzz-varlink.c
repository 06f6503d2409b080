/* Any bytes as what a client sends: however they are cut into reads the same messages come out,
 * none longer than allowed, and each is a call or is refused with a reason. As a reply they are
 * read or refused, and what is read is written again so that it says the same. With clang:
 * -fsanitize=fuzzer,address and this file; tests/fuzz/replay.c runs the corpus as a plain test. */
#include "protocol/varlink.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BYTES  4096
#define PIPE_BYTES 100000 /* fit into a socket at once */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* What was seen: how many messages, and a sum over their bytes. */
struct seen {
    size_t messages, sum;
    int end; /* 0, or -EMSGSIZE */
};

/* A text that jansson has written is read by it again as the same. */
static void check_reply(const char *bytes, size_t count)
{
    struct varlink_reply reply;
    if (varlink_reply_parse(&reply, bytes, count) < 0)
        return;
    require(!reply.parameters || json_is_object(reply.parameters));
    varlink_reply_finish(&reply);
}

static void check_call(const char *bytes, size_t count)
{
    struct varlink_call call;
    char why[200] = "";
    int r = varlink_call_parse(&call, bytes, count, why, sizeof why);

    require(r == 0 || (r == -EBADMSG && *why));
    if (r < 0)
        return;
    require(call.method && !(call.more && call.oneway));
    varlink_call_finish(&call);
}

/* Whatever the bytes are, what the writer makes of them is JSON. */
static void check_writer(const char *bytes, size_t count)
{
    struct buffer out = {0};
    struct json_writer writer;

    json_writer_init(&writer, &out);
    json_begin(&writer, '[');
    json_put_bytes(&writer, bytes, count);
    json_end(&writer, ']');
    json_t *read = json_loadb(out.data, buffer_used(&out), JSON_ALLOW_NUL, NULL);
    require(read && json_array_size(read) == 1);
    json_decref(read);
    buffer_finish(&out);
}

static void take_messages(struct varlink_input *input, struct seen *seen)
{
    char *message;
    size_t count;
    int r;

    while ((r = varlink_input_next(input, MAX_BYTES, &message, &count)) > 0) {
        require(count <= MAX_BYTES && !message[count]);
        seen->messages++;
        for (size_t i = 0; i < count; i++)
            seen->sum = seen->sum * 31 + (unsigned char)message[i];
        check_call(message, count);
        check_reply(message, count);
    }
    seen->end = r;
}

/* Reads them through a socket, `step` bytes at a time. */
static struct seen read_all(const uint8_t *bytes, size_t count, size_t step)
{
    struct varlink_input input = {0};
    struct seen seen = {0};
    int fds[2];

    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    require(send(fds[0], bytes, count, MSG_DONTWAIT) == (ssize_t)count);
    close(fds[0]);
    while (!seen.end && varlink_input_receive(&input, fds[1], step) > 0)
        take_messages(&input, &seen);
    varlink_input_finish(&input);
    close(fds[1]);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (!count || count > PIPE_BYTES)
        return 0;
    struct seen whole = read_all(bytes, count, PIPE_BYTES);
    struct seen parts = read_all(bytes, count, count / 7 + 1);
    /* One that is too long may be refused after fewer of the messages behind it were read, never
     * with other messages before it. */
    require(whole.messages == parts.messages && whole.sum == parts.sum && whole.end == parts.end);
    check_writer((const char *)bytes, count);
    return 0;
}
