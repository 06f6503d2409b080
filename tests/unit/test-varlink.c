/* Varlink's framing and messages. */
#include "test.h"

#include "protocol/pattern.h"
#include "protocol/varlink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int client, server;
    struct varlink_input input;
};

static void pair_init(struct pair *pair)
{
    int fds[2];
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *pair = (struct pair){.client = fds[0], .server = fds[1]};
}

static void pair_finish(struct pair *pair)
{
    close(pair->client);
    close(pair->server);
    varlink_input_finish(&pair->input);
}

static void feed(struct pair *pair, const char *bytes, size_t count)
{
    CHECK_NUMBER(write(pair->client, bytes, count), count);
    CHECK_NUMBER(varlink_input_receive(&pair->input, pair->server, 16384), count);
}

/* The next message, or NULL. */
static const char *next(struct pair *pair)
{
    char *bytes;
    size_t count;
    int r = varlink_input_next(&pair->input, VARLINK_CALL_MAX_BYTES, &bytes, &count);
    CHECK(r >= 0);
    CHECK(r <= 0 || strlen(bytes) == count);
    return r > 0 ? bytes : NULL;
}

TEST(a_message_split_at_any_byte_is_put_together)
{
    const char stream[] = "{\"a\":1}\0[2]\0"; /* the literal's own NUL is a third, empty one */
    for (size_t split = 1; split < sizeof stream; split++) {
        const char *expected[] = {"{\"a\":1}", "[2]", ""};
        struct pair pair;
        size_t found = 0;
        const char *message;
        pair_init(&pair);
        feed(&pair, stream, split);
        while ((message = next(&pair)))
            CHECK_TEXT(message, expected[found++]);
        if (split < sizeof stream)
            feed(&pair, stream + split, sizeof stream - split);
        while ((message = next(&pair)))
            CHECK_TEXT(message, expected[found++]);
        CHECK_NUMBER(found, 3);
        pair_finish(&pair);
    }
}

TEST(several_messages_of_one_read_come_one_by_one)
{
    struct pair pair;
    pair_init(&pair);
    feed(&pair, "a\0bb\0ccc\0d", 10);
    CHECK_TEXT(next(&pair), "a");
    CHECK_TEXT(next(&pair), "bb");
    CHECK_TEXT(next(&pair), "ccc");
    CHECK(!next(&pair));
    CHECK(!next(&pair));
    feed(&pair, "\0", 1);
    CHECK_TEXT(next(&pair), "d");
    CHECK(!next(&pair));
    pair_finish(&pair);
}

TEST(a_message_longer_than_allowed_is_refused_before_its_end_is_seen)
{
    struct pair pair;
    char *bytes, rubbish[5000];
    size_t count;
    memset(rubbish, 'x', sizeof rubbish);
    pair_init(&pair);
    feed(&pair, rubbish, 4000);
    CHECK_NUMBER(varlink_input_next(&pair.input, 4000, &bytes, &count), 0);
    feed(&pair, rubbish, 1);
    CHECK_NUMBER(varlink_input_next(&pair.input, 4000, &bytes, &count), -EMSGSIZE);
    pair_finish(&pair);
}

TEST(a_whole_message_longer_than_allowed_is_refused_too)
{
    struct pair pair;
    char *bytes;
    size_t count;
    pair_init(&pair);
    feed(&pair, "12345\0", 6);
    CHECK_NUMBER(varlink_input_next(&pair.input, 4, &bytes, &count), -EMSGSIZE);
    CHECK_NUMBER(varlink_input_next(&pair.input, 5, &bytes, &count), 1);
    pair_finish(&pair);
}

TEST(an_empty_stream_gives_eagain_and_its_end_gives_nothing)
{
    struct pair pair;
    pair_init(&pair);
    CHECK_NUMBER(varlink_input_receive(&pair.input, pair.server, 100), -EAGAIN);
    CHECK_NUMBER(shutdown(pair.client, SHUT_WR), 0);
    CHECK_NUMBER(varlink_input_receive(&pair.input, pair.server, 100), 0);
    pair_finish(&pair);
}

TEST(descriptors_sent_along_are_closed)
{
    struct pair pair;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec bytes = {(char[]){"x"}, 2};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    pair_init(&pair);
    int ends[2];
    CHECK_NUMBER(pipe2(ends, O_CLOEXEC), 0);
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    int before = dup(0);
    close(before);
    CHECK_NUMBER(sendmsg(pair.client, &message, 0), 2);
    close(ends[1]);
    CHECK_NUMBER(varlink_input_receive(&pair.input, pair.server, 100), 2);
    int after = dup(0);
    close(after);
    CHECK(after <= before);
    char byte;
    CHECK_NUMBER(read(ends[0], &byte, 1), 0); /* no writer is left */
    close(ends[0]);
    CHECK_TEXT(next(&pair), "x");
    pair_finish(&pair);
}

static int parse(const char *text, struct varlink_call *call, char *why)
{
    return varlink_call_parse(call, text, strlen(text), why, 200);
}

TEST(a_call_is_read_with_its_flags_and_unknown_fields_are_skipped)
{
    struct varlink_call call;
    char why[200];
    CHECK_NUMBER(parse("{\"method\":\"a.B\",\"more\":true,\"new\":[1],\"parameters\":{\"x\":1}}",
                       &call, why),
                 0);
    CHECK_TEXT(call.method, "a.B");
    CHECK(call.more && !call.oneway && !call.upgrade);
    CHECK_NUMBER(json_integer_value(json_object_get(call.parameters, "x")), 1);
    varlink_call_finish(&call);
    CHECK_NUMBER(parse("{\"method\":\"a.B\",\"oneway\":true,\"parameters\":null}", &call, why), 0);
    CHECK(call.oneway && !call.parameters);
    varlink_call_finish(&call);
}

TEST(what_is_no_call_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"[]", "it is not an object"},
        {"{}", "it names no method"},
        {"{\"method\":\"a.B\",\"oneway\":1}", "more, oneway and upgrade are true or false"},
        {"{\"method\":\"a.B\",\"upgrade\":\"yes\"}", "more, oneway and upgrade are true or false"},
        {"{\"method\":1}", "it names no method"},
        {"{\"method\":\"\"}", "it names no method"},
        {"{\"method\":\"a\",\"parameters\":[]}", "its parameters are not an object"},
        {"{\"method\":\"a\",\"more\":1}", "more, oneway and upgrade are true or false"},
        {"{\"method\":\"a\",\"more\":true,\"oneway\":true}", "more and oneway exclude each other"},
    };
    struct varlink_call call;
    char why[200];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_NUMBER(parse(rows[i].text, &call, why), -EBADMSG);
        CHECK_TEXT(why, rows[i].why);
    }
    CHECK_NUMBER(parse("", &call, why), -EBADMSG);
    CHECK_NUMBER(parse("{\"method\":\"a\"", &call, why), -EBADMSG);
    CHECK_NUMBER(parse("{\"method\":\"a\"} x", &call, why), -EBADMSG);
    CHECK_NUMBER(parse("{\"method\":\"a\",\"method\":\"b\"}", &call, why), -EBADMSG);
    CHECK_NUMBER(parse("{\"method\":\"\xff\"}", &call, why), -EBADMSG);
    CHECK_NUMBER(parse("\x7f"
                       "ELF\x02\x01",
                       &call, why),
                 -EBADMSG);
    CHECK_NUMBER(parse("{\"method\":\"a\\u0000b\"}", &call, why), -EBADMSG);
}

TEST(deep_nesting_and_too_many_values_are_refused)
{
    struct varlink_call call;
    char why[200];
    size_t count = 1u << 20;
    char *text = malloc(count);
    memset(text, '[', count);
    CHECK_NUMBER(varlink_call_parse(&call, text, 10000, why, sizeof why), -EBADMSG);
    CHECK(strstr(why, "depth"));
    CHECK_NUMBER(varlink_call_parse(&call, text, count, why, sizeof why), -EBADMSG);
    CHECK_TEXT(why, "it holds too many values");
    memset(text, ',', count);
    CHECK_NUMBER(varlink_call_parse(&call, text, count, why, sizeof why), -EBADMSG);
    free(text);
}

TEST(what_is_written_is_read_again)
{
    struct buffer buffer = {0};
    struct json_writer writer;
    struct varlink_reply reply;
    struct varlink_call call;
    char why[200];

    json_writer_init(&writer, &buffer);
    varlink_begin_reply(&writer, true);
    json_add_string(&writer, "text", "a\"b\\c\n\t\x01 \xc3\xa9 \xf0\x9f\x98\x80");
    json_add_number(&writer, "least", INT64_MIN);
    json_add_number(&writer, "zero", 0);
    json_add_string(&writer, "none", NULL);
    json_add_bool(&writer, "no", false);
    json_add_strings(&writer, "list", (const char *[]){"x", "y", NULL});
    json_add_lines(&writer, "lines", "one\ntwo\n");
    json_put_key(&writer, "objects");
    json_begin(&writer, '[');
    for (int i = 0; i < 2; i++) {
        json_begin(&writer, '{');
        json_end(&writer, '}');
    }
    json_end(&writer, ']');
    varlink_end(&writer);
    CHECK(!writer.failed);
    CHECK_NUMBER(buffer.data[buffer.end - 1], 0);
    CHECK_NUMBER(varlink_reply_parse(&reply, buffer.data, buffer.end - 1), 0);
    CHECK(reply.continues && !reply.error);
    CHECK_TEXT(json_string_value(json_object_get(reply.parameters, "text")),
               "a\"b\\c\n\t\x01 \xc3\xa9 \xf0\x9f\x98\x80");
    CHECK(json_integer_value(json_object_get(reply.parameters, "least")) == INT64_MIN);
    CHECK(json_is_null(json_object_get(reply.parameters, "none")));
    CHECK_NUMBER(json_array_size(json_object_get(reply.parameters, "list")), 2);
    CHECK_NUMBER(json_array_size(json_object_get(reply.parameters, "lines")), 2);
    CHECK_NUMBER(json_array_size(json_object_get(reply.parameters, "objects")), 2);
    varlink_reply_finish(&reply);

    buffer_consume(&buffer, buffer_used(&buffer));
    varlink_begin_call(&writer, "a.B", true);
    varlink_end(&writer);
    varlink_begin_error(&writer, "a.Bad");
    varlink_end(&writer);
    CHECK_NUMBER(varlink_call_parse(&call, buffer.data, strlen(buffer.data), why, sizeof why), 0);
    CHECK(call.more);
    varlink_call_finish(&call);
    const char *second = buffer.data + strlen(buffer.data) + 1;
    CHECK_NUMBER(varlink_reply_parse(&reply, second, strlen(second)), 0);
    CHECK_TEXT(reply.error, "a.Bad");
    varlink_reply_finish(&reply);
    buffer_finish(&buffer);
}

TEST(bytes_that_are_no_utf8_are_written_as_the_replacement_character)
{
    static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82",
                                      "\xf4\x90\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buffer buffer = {0};
        struct json_writer writer;
        json_writer_init(&writer, &buffer);
        json_begin(&writer, '[');
        json_put_string(&writer, bad[i]);
        json_end(&writer, ']');
        json_t *read = json_loadb(buffer.data, buffer.end, 0, NULL);
        CHECK(read);
        CHECK(strstr(json_string_value(json_array_get(read, 0)), "\xef\xbf\xbd"));
        json_decref(read);
        buffer_finish(&buffer);
    }
}

TEST(a_reply_whose_flag_is_none_is_refused)
{
    static const char *const texts[] = {"{\"continues\":1}", "[]", "{\"parameters\":[]}", "{"};
    struct varlink_reply reply;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_NUMBER(varlink_reply_parse(&reply, texts[i], strlen(texts[i])), -EBADMSG);
}

TEST(patterns_match_as_in_a_shell)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"", "", true},
        {"*", "", true},
        {"*", "web", true},
        {"w*", "web", true},
        {"w*", "xweb", false},
        {"*b", "web", true},
        {"w?b", "web", true},
        {"w?b", "wb", false},
        {"[a-w]eb", "web", true},
        {"[!w]eb", "web", false},
        {"[w", "[w", true},
        {"*a*b*c", "xaybzc", true},
        {"*a*b*c", "xaybz", false},
        {"web", "we", false},
        {"we", "web", false},
        {"[]]x", "]x", true},
        {"[^w]eb", "web", false},
        {"[^w]eb", "xeb", true},
        {"[a-]", "-", true},
        {"[a-]", "b", false},
        {"[ab]", "b", true},
        {"[azc]", "z", true},
        {"[azc]", "b", false},
        {"[b-d]", "a", false},
        {"[b-d]", "e", false},
        {"[!b-d]", "c", false},
        {"a**b", "ab", true},
        {"agetty@*", "agetty@tty1", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (pattern_matches(rows[i].pattern, rows[i].name) != rows[i].matches) {
            fprintf(stderr, "«%s» «%s»\n", rows[i].pattern, rows[i].name);
            test_failures++;
        }
    CHECK(pattern_is_one("a*"));
    CHECK(!pattern_is_one("a.b-c@d"));
}

TEST(a_hostile_pattern_takes_no_longer_than_the_product_of_both_lengths)
{
    char pattern[401], name[201];
    for (int i = 0; i < 200; i++) {
        pattern[2 * i] = '*';
        pattern[2 * i + 1] = 'a';
        name[i] = 'a';
    }
    pattern[398] = 'b';
    pattern[399] = 0;
    name[200] = 0;
    CHECK(!pattern_matches(pattern, name)); /* with recursion: not in this universe */
}
