/* Any bytes as what a client sends: however they are cut into reads the same messages come out,
 * none longer than allowed, and each is a call or is refused with a reason. As a reply they are
 * read or refused. What our writer makes of any bytes is JSON, and says the same. */
#include "demand.h"
#include "protocol/varlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BYTES  4096
#define PIPE_BYTES 100000 /* fit into a socket at once */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* What was seen: how many messages, and a sum over their bytes. */
struct seen {
    size_t messages, sum;
    int end; /* 0, or -EMSGSIZE */
};

static void check_reply(const char *bytes, size_t count)
{
    struct varlink_reply reply;
    if (varlink_reply_parse(&reply, bytes, count) < 0)
        return;
    demand(!reply.parameters || json_is_object(reply.parameters), "parameters are an object");
    demand(!reply.error || *reply.error, "an error has a name");
    varlink_reply_finish(&reply);
}

static void check_call(const char *bytes, size_t count)
{
    struct varlink_call call;
    char why[200] = "";
    int r = varlink_call_parse(&call, bytes, count, why, sizeof why);

    demand(r == 0 || (r == -EBADMSG && *why), "it is a call, or it is said why not");
    if (r < 0)
        return;
    demand(call.method && *call.method, "a call has a method");
    demand(!call.parameters || json_is_object(call.parameters), "parameters are an object");
    demand(!(call.more && call.oneway), "nobody waits for more of no reply");
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
    demand(read && json_array_size(read) == 1, "what is written is JSON");
    json_decref(read);
    buffer_finish(&out);
}

static void take_messages(struct varlink_input *input, struct seen *seen)
{
    char *message;
    size_t count;
    int r;

    while ((r = varlink_input_next(input, MAX_BYTES, &message, &count)) > 0) {
        demand(count <= MAX_BYTES && !message[count], "a message ends, and is as long as it may");
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

    demand(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, "there is a socket");
    demand(send(fds[0], bytes, count, MSG_DONTWAIT) == (ssize_t)count, "it takes so much");
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
    demand(whole.messages == parts.messages && whole.sum == parts.sum && whole.end == parts.end,
           "the same messages come out");
    check_writer((const char *)bytes, count);
    return 0;
}
