/* Varlink's framing and messages. Calls come from anybody: how long one is and how many values it
 * has is looked at before jansson builds anything of it (its depth is bounded by jansson itself,
 * at 2048). */
#include "protocol/varlink.h"

#include "base/text.h"
#include "protocol/foreign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What a server's idle connection keeps; a client that asks for more has its buffer to itself. */
#define SMALL_READ_BYTES 16384
#define KEEP_BYTES       4096

void varlink_input_drop(struct varlink_input *input)
{
    buffer_consume(&input->buffer, input->taken);
    input->taken = 0;
    if (!buffer_used(&input->buffer) && input->buffer.size > KEEP_BYTES)
        buffer_finish(&input->buffer);
}

ssize_t varlink_input_receive(struct varlink_input *input, int socket, size_t most)
{
    char small[SMALL_READ_BYTES];
    ssize_t got;
    int r;

    varlink_input_drop(input);
    if (most <= sizeof small) {
        got = foreign_receive(socket, small, most);
        r = got > 0 ? buffer_append(&input->buffer, small, (size_t)got) : 0;
    } else {
        r = buffer_reserve(&input->buffer, most);
        got = r < 0 ? r : foreign_receive(socket, input->buffer.data + input->buffer.end, most);
        if (got > 0)
            input->buffer.end += (size_t)got;
    }
    return r < 0 ? r : got;
}

int varlink_input_next(struct varlink_input *input, size_t max_bytes, char **ret, size_t *ret_bytes)
{
    size_t used;
    char *bytes, *end;

    varlink_input_drop(input);
    used = buffer_used(&input->buffer);
    if (!used)
        return 0;
    bytes = buffer_bytes(&input->buffer);
    end = memchr(bytes + input->scanned, 0, used - input->scanned);
    if ((end ? (size_t)(end - bytes) : used) > max_bytes)
        return -EMSGSIZE;
    input->scanned = end ? 0 : used;
    if (!end)
        return 0;
    input->taken = (size_t)(end - bytes) + 1;
    *ret = bytes;
    *ret_bytes = (size_t)(end - bytes);
    return 1;
}

void varlink_input_finish(struct varlink_input *input)
{
    buffer_finish(&input->buffer);
    *input = (struct varlink_input){0};
}

/* No fewer than the values that the bytes can hold: each but the first has one of these before
 * it. Those inside strings are counted too, which errs on the safe side. */
static size_t count_values(const char *bytes, size_t count)
{
    size_t values = 1;
    for (size_t i = 0; i < count; i++)
        values += bytes[i] == ',' || bytes[i] == '[' || bytes[i] == '{';
    return values;
}

static int refuse(char *why, size_t size, const char *word)
{
    text_format(why, size, "%s", word);
    return -EBADMSG;
}

static bool get_flag(const json_t *root, const char *key, bool *ret)
{
    const json_t *value = json_object_get(root, key);
    *ret = json_is_true(value);
    return !value || json_is_boolean(value);
}

static bool lacked_memory;

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    lacked_memory |= !memory;
    return memory;
}

/* jansson takes lacking memory for bad JSON at some places, and at others leaves out a byte of a
 * text without a word, so it is asked nothing about that. -ENOMEM, or -EBADMSG: see `error`. */
static int load(json_t **ret, const char *bytes, size_t count, size_t flags, json_error_t *error)
{
    json_set_alloc_funcs(allocate, free);
    lacked_memory = false;
    json_t *root = json_loadb(bytes, count, flags, error);
    if (lacked_memory) {
        json_decref(root);
        return -ENOMEM;
    }
    *ret = root;
    return root ? 0 : -EBADMSG;
}

int varlink_call_parse(struct varlink_call *ret, const char *bytes, size_t count, char *why,
                       size_t size)
{
    struct varlink_call call = {0};
    json_error_t error;

    if (count_values(bytes, count) > VARLINK_CALL_MAX_VALUES)
        return refuse(why, size, "it holds too many values");
    int failed = load(&call.root, bytes, count, JSON_REJECT_DUPLICATES, &error);
    if (failed == -EBADMSG)
        text_format(why, size, "at byte %d: %s", error.position, error.text);
    if (failed)
        return failed;
    call.method = json_string_value(json_object_get(call.root, "method"));
    call.parameters = json_object_get(call.root, "parameters");
    if (json_is_null(call.parameters))
        call.parameters = NULL;

    const char *wrong = NULL;
    if (!json_is_object(call.root))
        wrong = "it is not an object";
    else if (!call.method || !*call.method)
        wrong = "it names no method";
    else if (call.parameters && !json_is_object(call.parameters))
        wrong = "its parameters are not an object";
    else if (!get_flag(call.root, "more", &call.more) ||
             !get_flag(call.root, "oneway", &call.oneway) ||
             !get_flag(call.root, "upgrade", &call.upgrade))
        wrong = "more, oneway and upgrade are true or false";
    else if (call.more && call.oneway)
        wrong = "more and oneway exclude each other";
    if (wrong) {
        json_decref(call.root);
        return refuse(why, size, wrong);
    }
    *ret = call;
    return 0;
}

void varlink_call_finish(struct varlink_call *call)
{
    json_decref(call->root);
    *call = (struct varlink_call){0};
}

int varlink_reply_parse(struct varlink_reply *ret, const char *bytes, size_t count)
{
    struct varlink_reply reply = {0};
    json_error_t error;

    int failed = load(&reply.root, bytes, count, 0, &error);
    if (failed)
        return failed;
    reply.error = json_string_value(json_object_get(reply.root, "error"));
    reply.parameters = json_object_get(reply.root, "parameters");
    if (json_is_null(reply.parameters))
        reply.parameters = NULL;
    if (!json_is_object(reply.root) || !get_flag(reply.root, "continues", &reply.continues) ||
        (reply.error && !*reply.error) || (reply.parameters && !json_is_object(reply.parameters))) {
        json_decref(reply.root);
        return -EBADMSG;
    }
    *ret = reply;
    return 0;
}

void varlink_reply_finish(struct varlink_reply *reply)
{
    json_decref(reply->root);
    *reply = (struct varlink_reply){0};
}

static void begin_parameters(struct json_writer *writer)
{
    json_put_key(writer, "parameters");
    json_begin(writer, '{');
}

void varlink_begin_call(struct json_writer *writer, const char *method, bool more)
{
    json_begin(writer, '{');
    json_add_string(writer, "method", method);
    if (more)
        json_add_bool(writer, "more", true);
    begin_parameters(writer);
}

void varlink_begin_reply(struct json_writer *writer, bool continues)
{
    json_begin(writer, '{');
    if (continues)
        json_add_bool(writer, "continues", true);
    begin_parameters(writer);
}

void varlink_begin_error(struct json_writer *writer, const char *error)
{
    json_begin(writer, '{');
    json_add_string(writer, "error", error);
    begin_parameters(writer);
}

void varlink_end(struct json_writer *writer)
{
    json_end(writer, '}');
    json_end(writer, '}');
    if (!writer->failed && buffer_append(writer->out, "", 1) < 0)
        writer->failed = true;
    writer->follows = false;
}
