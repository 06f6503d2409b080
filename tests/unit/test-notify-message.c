/* What a service may write to its notify socket, and what it means. */
#include "base/notify-message.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static struct notify_message parse_bytes(const char *bytes, size_t count)
{
    struct notify_message message;
    notify_message_parse(bytes, count, &message);
    return message;
}

static struct notify_message parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static bool says_nothing(const char *bytes, size_t count)
{
    struct notify_message message = parse_bytes(bytes, count);
    return !message.ready && !message.reloading && !message.stopping && !message.watchdog &&
           !message.trigger && !message.has_extend && !message.has_watchdog_usec &&
           !message.status && !message.main_pid;
}

TEST(all_fields_of_one_message_are_read)
{
    struct notify_message message =
        parse("READY=1\nRELOADING=1\nSTOPPING=1\nSTATUS=Up\nMAINPID=4711\n"
              "EXTEND_TIMEOUT_USEC=5\nWATCHDOG=1\nWATCHDOG_USEC=500000");
    CHECK(message.ready && message.reloading && message.stopping && message.watchdog);
    CHECK(!message.trigger && message.has_extend && message.has_watchdog_usec);
    CHECK_NUMBER(message.main_pid, 4711);
    CHECK_NUMBER(message.extend_usec, 5);
    CHECK_NUMBER(message.watchdog_usec, 500000);
    CHECK_NUMBER(message.status_bytes, 2);
    CHECK(memcmp(message.status, "Up", 2) == 0);
    CHECK(parse("WATCHDOG=trigger").trigger && !parse("WATCHDOG=trigger").watchdog);
}

TEST(what_only_looks_like_a_field_says_nothing)
{
    static const char *const bad[] = {"",
                                      "\n",
                                      "\n\n\n",
                                      "=",
                                      "==",
                                      "READY",
                                      "READY=",
                                      "READY=0",
                                      "READY=11",
                                      "READY=01",
                                      "READY=1 ",
                                      "READY= 1",
                                      "READY==1",
                                      " READY=1",
                                      "ready=1",
                                      "XREADY=1",
                                      "READYX=1",
                                      "=READY=1",
                                      "READY=yes",
                                      "WATCHDOG=2",
                                      "READY=1\r\n",
                                      "READY=1READY=1",
                                      "STOPPING=true",
                                      "UNKNOWN=1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(says_nothing(bad[i], strlen(bad[i])));
}

TEST(numbers_that_are_none_or_do_not_fit_are_left_out)
{
    static const char *const bad[] = {"-1",
                                      "+5",
                                      "",
                                      " 5",
                                      "5 ",
                                      "0x10",
                                      "1.5",
                                      "5x",
                                      "1e3",
                                      "99999999999999999999",
                                      "18446744073709551616"};
    static const char *const keys[] = {"MAINPID", "EXTEND_TIMEOUT_USEC", "WATCHDOG_USEC"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            char text[64];
            snprintf(text, sizeof text, "%s=%s", keys[k], bad[i]);
            CHECK(says_nothing(text, strlen(text)));
        }
    CHECK_NUMBER(parse("EXTEND_TIMEOUT_USEC=9999999999999999999").extend_usec,
                 9999999999999999999u);
    CHECK(parse("WATCHDOG_USEC=0").has_watchdog_usec);
}

TEST(no_pid_is_taken_that_would_mean_all_or_init)
{
    static const char *const bad[] = {"MAINPID=0", "MAINPID=1", "MAINPID=2147483648",
                                      "MAINPID=4294967297"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_NUMBER(parse(bad[i]).main_pid, 0);
        CHECK(parse(bad[i]).bad_main_pid);
    }
    CHECK_NUMBER(parse("MAINPID=2147483647").main_pid, 2147483647);
    CHECK_NUMBER(parse("MAINPID=2").main_pid, 2);
}

TEST(of_one_key_the_last_value_counts)
{
    struct notify_message message = parse("MAINPID=5\nMAINPID=x\nMAINPID=6\nSTATUS=a\nSTATUS=bc");
    CHECK_NUMBER(message.main_pid, 6);
    CHECK(!message.bad_main_pid);
    message = parse("MAINPID=6\nMAINPID=x\nSTATUS=bc");
    CHECK_NUMBER(message.main_pid, 0);
    CHECK(message.bad_main_pid);
    CHECK_NUMBER(message.status_bytes, 2);
    message = parse("STATUS=a\nSTATUS=");
    CHECK(message.status != NULL);
    CHECK_NUMBER(message.status_bytes, 0);
    CHECK(parse("READY=1\nREADY=0").ready);
}

TEST(what_the_watchdog_is_told_is_all_of_it)
{
    struct notify_message message = parse("WATCHDOG=trigger\nWATCHDOG=1");
    CHECK(message.trigger && message.watchdog);
    message = parse("WATCHDOG=1\nWATCHDOG=trigger");
    CHECK(message.trigger && message.watchdog);
}

TEST(lines_end_with_a_newline_or_a_nul_or_not_at_all)
{
    CHECK(parse_bytes("X\0READY=1", 9).ready);
    CHECK(parse_bytes("READY=1\0", 8).ready);
    CHECK(!parse_bytes("READY\0=1", 8).ready);
    CHECK(!parse_bytes("READY=1", 6).ready);
    CHECK(parse("X\nREADY=1").ready);
}

TEST(a_message_of_the_greatest_size_is_read_to_its_last_byte)
{
    char *bytes = malloc(NOTIFY_MESSAGE_BYTES);
    CHECK(bytes != NULL);
    memset(bytes, 'x', NOTIFY_MESSAGE_BYTES);
    CHECK(says_nothing(bytes, NOTIFY_MESSAGE_BYTES));
    memset(bytes, '\n', NOTIFY_MESSAGE_BYTES);
    memcpy(bytes + NOTIFY_MESSAGE_BYTES - 7, "READY=1", 7);
    CHECK(parse_bytes(bytes, NOTIFY_MESSAGE_BYTES).ready);
    memset(bytes, 'x', NOTIFY_MESSAGE_BYTES);
    memcpy(bytes, "STATUS=", 7);
    CHECK_NUMBER(parse_bytes(bytes, NOTIFY_MESSAGE_BYTES).status_bytes, NOTIFY_MESSAGE_BYTES - 7);
    free(bytes);
}

static void check_clean(const char *status, size_t size_bytes, const char *expected)
{
    char storage[64];
    notify_status_clean(status, strlen(status), storage, size_bytes);
    CHECK_TEXT(storage, expected);
}

TEST(a_status_moves_no_cursor_and_is_cut_between_characters)
{
    check_clean("Up", 64, "Up");
    check_clean("\x1b[31mred\r\t\x7f", 64, "?[31mred???");
    check_clean("a\xc2\x9b"
                "31m",
                64, "a?31m"); /* U+009B, an escape sequence's beginning */
    check_clean("caf\xc3\xa9 \xff\xc3", 64, "caf\xc3\xa9 ??");
    check_clean("5 \xc2\xa3", 64, "5 \xc2\xa3"); /* U+00A3 controls nothing */
    check_clean("\xed\xa0\x80", 64, "???");      /* a surrogate is no character */
    check_clean("\xe2\x82\xac\xe2\x82\xac", 6, "\xe2\x82\xac");
    check_clean("\xe2\x82\xac\xe2\x82\xac", 7, "\xe2\x82\xac\xe2\x82\xac");
    check_clean("abc", 1, "");
}
