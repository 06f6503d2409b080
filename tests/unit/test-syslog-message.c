/* What programs write to /dev/log, and what of it becomes a line. */
#include "journal/syslog-message.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* "LEVEL PID TAG|TEXT" */
static const char *parse_bytes(const char *bytes, size_t count)
{
    static char shown[400];
    struct syslog_message message;
    if (!syslog_message_parse(bytes, count, "box", &message))
        return "nothing";
    snprintf(shown, sizeof shown, "%s %llu %.*s|%.*s", journal_level_name(message.level),
             (unsigned long long)message.pid, (int)message.tag_bytes, message.tag,
             (int)message.bytes, message.text);
    return shown;
}

static const char *parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

TEST(messages_of_real_programs_lose_their_time_and_keep_their_tag)
{
    /* glibc and musl: syslog(3), without and with LOG_PID */
    CHECK_TEXT(parse("<13>Nov 22 13:54:00 prog: hello"), "notice 0 prog: |hello");
    CHECK_TEXT(parse("<86>Nov  2 03:04:05 sshd[812]: a: b"), "info 812 sshd[812]: |a: b");
    /* util-linux: logger, logger --rfc3164 */
    CHECK_TEXT(parse("<13>Nov 22 13:54:00 root: hello"), "notice 0 root: |hello");
    CHECK_TEXT(parse("<11>Nov 22 13:54:00 box root[7]: no"), "err 7 root[7]: |no");
    /* logger --rfc5424 */
    CHECK_TEXT(parse("<13>1 2026-11-22T13:54:00.123456+00:00 box root - - [timeQuality "
                     "tzKnown=\"1\" isSynced=\"0\"] hello"),
               "notice 0 root: |hello");
    CHECK_TEXT(parse("<9>1 2026-11-22T13:54:00Z box a 42 - - hello"), "alert 42 a[42]: |hello");
    /* Python: no time, no tag, and a NUL */
    CHECK_TEXT(parse_bytes("<14>all is well\0", 16), "info 0 |all is well");
    /* a time as some write it now */
    CHECK_TEXT(parse("<14>2026-11-22T13:54:00.1+01:00 box a: b"), "info 0 a: |b");
}

TEST(structured_data_stays_and_so_does_an_id)
{
    CHECK_TEXT(parse("<165>1 - - app 5 ID47 [ex@32473 a=\"]\\\"\"][b] \xef\xbb\xbfmsg"),
               "notice 5 app[5]: ID47 |[ex@32473 a=\"]\\\"\"][b] \xef\xbb\xbfmsg");
    CHECK_TEXT(parse("<165>1 - - app - - [timeQuality a=\"b\"][x] msg"),
               "notice 0 app: |[timeQuality a=\"b\"][x] msg");
    CHECK_TEXT(parse("<165>1 - - - - - - \xef\xbb\xbfmsg"), "notice 0 |msg");
    CHECK_TEXT(parse("<165>1 - - a - - -"), "notice 0 a: |");
    CHECK_TEXT(parse("<165>1 - - a - - [open msg"), "notice 0 a: |[open msg");
}

TEST(every_priority_has_the_level_of_its_last_three_bits)
{
    static const char *const names[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};
    char text[20], expected[30];
    for (unsigned i = 0; i < 192; i++) {
        snprintf(text, sizeof text, "<%u>x", i);
        snprintf(expected, sizeof expected, "%s 0 |x", names[i % 8]);
        CHECK_TEXT(parse(text), expected);
    }
    CHECK_TEXT(parse("<192>x"), "notice 0 |<192>x");
    CHECK_TEXT(parse("<>x"), "notice 0 |<>x");
    CHECK_TEXT(parse("<1234>x"), "notice 0 |<1234>x");
    CHECK_TEXT(parse("<13x"), "notice 0 |<13x");
    CHECK_TEXT(parse("<13"), "notice 0 |<13");
    CHECK_TEXT(parse("<-1>x"), "notice 0 |<-1>x");
}

TEST(what_only_looks_like_a_header_is_text)
{
    CHECK_TEXT(parse("<13>1 apple a day"), "notice 0 |1 apple a day");
    CHECK_TEXT(parse("<13>1 - - a"), "notice 0 |1 - - a");
    CHECK_TEXT(parse("<13>1 - - a\nb - - - c"), "notice 0 |1 - - a\nb - - - c");
    CHECK_TEXT(parse("<13>Nox 22 13:54:00 a: b"), "notice 0 |Nox 22 13:54:00 a: b");
    CHECK_TEXT(parse("<13>Nov 22 13:54 a: b"), "notice 0 |Nov 22 13:54 a: b");
    CHECK_TEXT(parse("<13>my prog: b"), "notice 0 |my prog: b");
    CHECK_TEXT(parse("<13>http://x"), "notice 0 |http://x");
    CHECK_TEXT(parse("<13>boxes a: b"), "notice 0 |boxes a: b");
    CHECK_TEXT(parse("<13>a[12345678901]: b"), "notice 0 a[12345678901]: |b");
    CHECK_TEXT(parse("<13>a[]: b"), "notice 0 a[]: |b");
    CHECK_TEXT(parse("<13>[5]: b"), "notice 5 [5]: |b");
}

TEST(nothing_is_no_line_and_line_ends_inside_stay)
{
    CHECK_TEXT(parse(""), "nothing");
    CHECK_TEXT(parse("<13>"), "nothing");
    CHECK_TEXT(parse("<13>\n"), "nothing");
    CHECK_TEXT(parse_bytes("\0\0", 2), "nothing");
    CHECK_TEXT(parse("<13>a: \n"), "notice 0 a: |");
    CHECK_TEXT(parse("<13>a:"), "notice 0 a: |");
    CHECK_TEXT(parse("<13>a: b\nc\n\n"), "notice 0 a: |b\nc");
}

TEST(a_tag_that_is_too_long_is_text)
{
    char text[600];
    struct syslog_message message;
    memset(text, 'x', sizeof text);
    text[SYSLOG_TAG_BYTES - 1] = ':';
    text[SYSLOG_TAG_BYTES] = ' ';
    CHECK(syslog_message_parse(text, sizeof text, "", &message));
    CHECK_NUMBER(message.tag_bytes, 0);
    CHECK_NUMBER(message.bytes, sizeof text);
    text[SYSLOG_TAG_BYTES - 2] = ':';
    text[SYSLOG_TAG_BYTES - 1] = ' ';
    CHECK(syslog_message_parse(text, sizeof text, "", &message));
    CHECK_NUMBER(message.tag_bytes, SYSLOG_TAG_BYTES);
    CHECK_NUMBER(message.bytes, sizeof text - SYSLOG_TAG_BYTES);
}

TEST(headers_that_end_too_early_are_text_as_far_as_they_go)
{
    CHECK_TEXT(parse("<13>2026-11-22T13:54:00"), "notice 0 |2026-11-22T13:54:00");
    CHECK_TEXT(parse("<13>2026-11-22T13:54:00.12345678901234567890123 a: b"),
               "notice 0 |2026-11-22T13:54:00.12345678901234567890123 a: b");
    CHECK_TEXT(parse("<13>2026-11-22T13:54:00\tx"), "notice 0 |2026-11-22T13:54:00\tx");
    CHECK_TEXT(parse("<13>Foo 22 13:54:00 a: b"), "notice 0 |Foo 22 13:54:00 a: b");
    CHECK_TEXT(parse("<165>1 - - a - - "), "notice 0 a: |");
    CHECK_TEXT(parse("<165>1 - - a - - -x"), "notice 0 a: |-x");
    CHECK_TEXT(parse("<165>1 - - a - - [timeQuality a=\"b\"]x"),
               "notice 0 a: |[timeQuality a=\"b\"]x");
    CHECK_TEXT(parse("<165>1 - - a - - [timeQuality a=\"b\"]"), "notice 0 a: |");
}

TEST(what_stands_in_brackets_is_a_pid_only_if_it_is_one)
{
    CHECK_TEXT(parse("<13>a[]: b"), "notice 0 a[]: |b");
    CHECK_TEXT(parse("<13>a[x]: b"), "notice 0 a[x]: |b");
    CHECK_TEXT(parse("<13>7]: b"), "notice 0 7]: |b");
    CHECK_TEXT(parse("<13>a(7]: b"), "notice 0 a(7]: |b");
    CHECK_TEXT(parse("<13>a[12345678901]: b"), "notice 0 a[12345678901]: |b");
    CHECK_TEXT(parse("<13>a[1234567890]: b"), "notice 1234567890 a[1234567890]: |b");
    CHECK_TEXT(parse("<13>]: b"), "notice 0 ]: |b");
}
