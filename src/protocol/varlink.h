/* Varlink (https://varlink.org/Method-Call): JSON objects over a stream, each ended by a NUL byte.
 *
 *   call   {"method": "INTERFACE.METHOD", "parameters": {…}, "more": true, "oneway": true}
 *   reply  {"parameters": {…}, "continues": true}  or  {"error": "INTERFACE.ERROR", "parameters":…}
 *
 * Framing, and messages from their bytes and back. Fields of a message that are not known are
 * skipped. Nothing here waits or logs. */
#pragma once

#include "base/buffer.h"
#include "protocol/json-write.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define VARLINK_CALL_MAX_BYTES  (1u << 20) /* a call that is longer is refused unread */
#define VARLINK_CALL_MAX_VALUES 20000      /* as many values may be in it: they take memory each */

/* The text of src/protocol/org.conit.Launcher.varlink, and of org.varlink.service. */
extern const char varlink_launcher_description[];
extern const char varlink_service_description[];

/* ---- framing -------------------------------------------------------------------------------- */

/* What has come in and is not yet taken. A zeroed one is empty. */
struct varlink_input {
    struct buffer buffer;
    size_t scanned; /* of what is in it, known to hold no NUL */
    size_t taken;   /* the message taken last, which is still in front */
};

/* Reads once from a socket, at most `most` bytes, without waiting; the buffer grows by what came,
 * or, from 16 KiB on, by `most`. Descriptors that come along are closed by the kernel. Returns how
 * many bytes came, 0 at the end of the stream, or -errno
 * (-EAGAIN: nothing there). */
ssize_t varlink_input_receive(struct varlink_input *input, int socket, size_t most);

/* Takes the next whole message: *ret is its bytes with a NUL behind, valid until the next call of
 * any of these. Returns 1, 0 when no message is whole, -EMSGSIZE when it is longer than
 * `max_bytes`. */
int varlink_input_next(struct varlink_input *input, size_t max_bytes, char **ret,
                       size_t *ret_bytes);

/* Whether there is anything behind the message taken last. */
static inline bool varlink_input_has_more(const struct varlink_input *input)
{
    return buffer_used(&input->buffer) > input->taken;
}

/* Gives back the message taken last, before the next call would. */
void varlink_input_drop(struct varlink_input *input);

void varlink_input_finish(struct varlink_input *input);

/* ---- calls ---------------------------------------------------------------------------------- */

struct varlink_call {
    json_t *root;       /* owns the rest */
    const char *method; /* "org.conit.Launcher.List" */
    json_t *parameters; /* an object, or NULL */
    bool more, oneway, upgrade;
};

/* Reads a call. Returns 0, or -EBADMSG with why in `why` (`size` bytes, in words); -ENOMEM. */
int varlink_call_parse(struct varlink_call *ret, const char *bytes, size_t count, char *why,
                       size_t size);
void varlink_call_finish(struct varlink_call *call);

/* Begins a call in `writer`: its parameters' object is open. varlink_end() closes it. */
void varlink_begin_call(struct json_writer *writer, const char *method, bool more);

/* ---- replies -------------------------------------------------------------------------------- */

struct varlink_reply {
    json_t *root;       /* owns the rest */
    json_t *parameters; /* an object, or NULL */
    const char *error;  /* NULL: none */
    bool continues;
};

/* Reads a reply. Returns 0, or -EBADMSG, -ENOMEM. */
int varlink_reply_parse(struct varlink_reply *ret, const char *bytes, size_t count);
void varlink_reply_finish(struct varlink_reply *reply);

/* Begins a reply, or an error: the parameters' object is open. */
void varlink_begin_reply(struct json_writer *writer, bool continues);
void varlink_begin_error(struct json_writer *writer, const char *error);

/* Ends what was begun, with its NUL byte. */
void varlink_end(struct json_writer *writer);
