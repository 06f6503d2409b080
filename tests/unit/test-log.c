/* The one line format. */
#include "base/clock.h"
#include "log/log.h"
#include "test.h"

static char line[LOG_LINE_BYTES];

static const char *formatted(bool json, const char *message, const struct log_field *fields,
                             size_t count)
{
    struct text text;
    text_init(&text, line, sizeof line);
    log_format(&text, LOG_INFO, 3120 * NS_PER_MS, json, message, fields, count);
    return line;
}

TEST(fields_are_sorted_and_quoted_where_they_must_be)
{
    const struct log_field fields[] = {NUMBER("running", 20), TEXT("names", "a b"),
                                       NUMBER("failed", -1), TEXT("empty", "")};
    CHECK_TEXT(formatted(false, "Started", fields, 4),
               "INFO[0003.120] Started                                      "
               " empty=\"\" failed=-1 names=\"a b\" running=20\n");
}

TEST(a_line_without_fields_has_no_padding)
{
    CHECK_TEXT(formatted(false, "Hello", NULL, 0), "INFO[0003.120] Hello\n");
}

TEST(nothing_in_a_message_or_value_breaks_the_line)
{
    const struct log_field fields[] = {TEXT("reason", "a\nb\"\033[31m")};
    CHECK_TEXT(formatted(false, "two\nlines", fields, 1),
               "INFO[0003.120] two?lines                                    "
               " reason=\"a\\nb\\\"\\u001b[31m\"\n");
}

TEST(json_has_the_same_in_one_object)
{
    const struct log_field fields[] = {NUMBER("pid", 7), TEXT("name", "x")};
    CHECK_TEXT(
        formatted(true, "Started", fields, 2),
        "{\"level\":\"info\",\"uptime\":3.120,\"message\":\"Started\",\"name\":\"x\",\"pid\":7}\n");
}

TEST(a_line_that_is_too_long_is_cut_and_still_ends)
{
    char big[3 * LOG_LINE_BYTES];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    formatted(false, big, NULL, 0);
    CHECK_NUMBER(strlen(line), LOG_LINE_BYTES - 1);
    CHECK_TEXT(line + strlen(line) - 5, "x...\n");
}

TEST(levels_are_read_by_their_words)
{
    enum log_level level = LOG_INFO;
    CHECK(log_parse_level("warn", &level) == 0 && level == LOG_WARNING);
    CHECK(log_parse_level("loud", &level) < 0 && level == LOG_WARNING);
}
