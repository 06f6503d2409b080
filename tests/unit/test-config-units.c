/* Times, sizes and the other one-word values; words of a command line. */
#include "config/units.h"
#include "config/words.h"
#include "service/definition.h"
#include "test.h"

#include <errno.h>
#include <sys/resource.h>

static uint32_t random_state = 12345;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

TEST(times_have_units_and_a_bare_number_is_seconds)
{
    static const struct {
        const char *text;
        uint32_t time_ms;
    } good[] = {{"200ms", 200},
                {"5s", 5000},
                {"2min", 120000},
                {"1h", 3600000},
                {"1d", 86400000},
                {"7", 7000},
                {"0", 0},
                {"0ms", 0},
                {"never", TIME_NEVER_MS},
                {"49d", 4233600000u},
                {"4294967294ms", 4294967294u}};
    static const char *const bad[] = {"",     "s",  "5 s", "5S",  "5sec",  "-5s", "+5s",
                                      "1.5s", "5m", "5s ", " 5s", "Never", "0x5", "5ss"};
    static const char *const too_long[] = {"50d", "4294967295ms", "4294968",
                                           "99999999999999999999999999d"};
    uint32_t time_ms;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_NUMBER(units_parse_time(good[i].text, &time_ms), 0);
        CHECK_NUMBER(time_ms, good[i].time_ms);
    }
    time_ms = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_NUMBER(units_parse_time(bad[i], &time_ms), -EINVAL);
    for (size_t i = 0; i < sizeof too_long / sizeof too_long[0]; i++)
        CHECK_NUMBER(units_parse_time(too_long[i], &time_ms), -ERANGE);
    CHECK_NUMBER(time_ms, 77);
}

TEST(a_time_that_is_shown_reads_back_as_the_same)
{
    char storage[40];
    struct text text;
    for (int i = 0; i < 20000; i++) {
        uint32_t time_ms = next_random() << (i % 9), back = 1;
        if (i % 3 == 0)
            time_ms = time_ms / 1000 * 1000;
        text_init(&text, storage, sizeof storage);
        units_format_time(time_ms, &text);
        /* A bare 0 is shown without a unit and means the same in each. */
        CHECK_NUMBER(units_parse_time(storage, &back), 0);
        CHECK_NUMBER(back, time_ms);
    }
}

TEST(a_size_that_is_shown_reads_back_as_the_same)
{
    char storage[40];
    struct text text;
    uint64_t size = 0;
    CHECK_NUMBER(units_parse_size("64K", &size), 0);
    CHECK_NUMBER(size, 65536);
    CHECK_NUMBER(units_parse_size("1G", &size), 0);
    CHECK_NUMBER(size, 1 << 30);
    CHECK_NUMBER(units_parse_size("18446744073709551615", &size), 0);
    CHECK(size == UINT64_MAX);
    CHECK_NUMBER(units_parse_size("18446744073709551615K", &size), -ERANGE);
    CHECK_NUMBER(units_parse_size("18446744073709551616", &size), -ERANGE);
    CHECK_NUMBER(units_parse_size("64k", &size), -EINVAL);
    CHECK_NUMBER(units_parse_size("K", &size), -EINVAL);
    for (int i = 0; i < 20000; i++) {
        uint64_t wanted = i ? (uint64_t)next_random() << (i % 40) : 0;
        snprintf(storage, sizeof storage, "%llu", (unsigned long long)wanted);
        CHECK_NUMBER(units_parse_size(storage, &size), 0);
        CHECK(size == wanted);
        text_init(&text, storage, sizeof storage);
        units_format_size(wanted, &text);
        CHECK_NUMBER(units_parse_size(storage, &size), 0);
        CHECK(size == wanted);
    }
}

TEST(a_factor_is_shown_with_the_digits_it_needs)
{
    static const struct {
        uint32_t percent;
        const char *shown;
    } rows[] = {{200, "2"}, {150, "1.5"}, {105, "1.05"}, {125, "1.25"}, {100000, "1000"}};
    char storage[40];
    struct text text;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t percent = 0;
        text_init(&text, storage, sizeof storage);
        units_format_factor(rows[i].percent, &text);
        CHECK_TEXT(storage, rows[i].shown);
        CHECK_NUMBER(units_parse_factor(storage, &percent), 0);
        CHECK_NUMBER(percent, rows[i].percent);
    }
    uint32_t percent = 7;
    CHECK_NUMBER(units_parse_factor("1000000", &percent), 0);
    CHECK_NUMBER(percent, 100000000);
    CHECK_NUMBER(units_parse_factor("1000001", &percent), -ERANGE);
    CHECK_NUMBER(percent, 100000000);
}

TEST(factors_percents_octals_and_booleans_are_strict)
{
    uint32_t value = 0;
    unsigned mode = 0;
    bool flag = false;
    CHECK_NUMBER(units_parse_factor("1.5", &value), 0);
    CHECK_NUMBER(value, 150);
    CHECK_NUMBER(units_parse_factor("2", &value), 0);
    CHECK_NUMBER(value, 200);
    CHECK_NUMBER(units_parse_factor("1.05", &value), 0);
    CHECK_NUMBER(value, 105);
    CHECK_NUMBER(units_parse_factor("1.", &value), -EINVAL);
    CHECK_NUMBER(units_parse_factor("1.005", &value), -EINVAL);
    CHECK_NUMBER(units_parse_factor(".5", &value), -EINVAL);
    CHECK_NUMBER(units_parse_percent("10%", &value), 0);
    CHECK_NUMBER(value, 10);
    CHECK_NUMBER(units_parse_percent("10 %", &value), 0);
    CHECK_NUMBER(units_parse_percent("10", &value), 0);
    CHECK_NUMBER(units_parse_percent("101", &value), -ERANGE);
    CHECK_NUMBER(units_parse_percent("10%%", &value), -EINVAL);
    CHECK_NUMBER(units_parse_percent("10  %", &value), -EINVAL);
    CHECK_NUMBER(units_parse_umask("0022", &mode), 0);
    CHECK_NUMBER(mode, 022);
    CHECK_NUMBER(units_parse_umask("1000", &mode), -ERANGE);
    CHECK_NUMBER(units_parse_umask("77777777777777777777", &mode), -ERANGE);
    CHECK_NUMBER(units_parse_umask("8", &mode), -EINVAL);
    CHECK_NUMBER(units_parse_umask("", &mode), -EINVAL);
    CHECK(units_parse_bool("On", &flag) == 0 && flag);
    CHECK(units_parse_bool("FALSE", &flag) == 0 && !flag);
    CHECK_NUMBER(units_parse_bool("y", &flag), -EINVAL);
    CHECK_NUMBER(units_parse_bool("yES", &flag), -EINVAL);
}

/* The words joined with '|', or "error KIND at BYTE". */
static const char *split(const char *text)
{
    static char storage[300];
    struct arena arena = {0};
    struct words words;
    struct text joined;
    size_t at = 0;
    enum words_error error = 0;
    text_init(&joined, storage, sizeof storage);
    if (words_split(text, &arena, &words, &at, &error) < 0)
        text_printf(&joined, "error %d at %zu", (int)error, at);
    else
        for (size_t i = 0; i < words.count; i++)
            text_printf(&joined, "%s%s", i ? "|" : "", words.list[i]);
    arena_finish(&arena);
    return storage;
}

TEST(a_command_line_is_split_as_a_shell_splits_it)
{
    CHECK_TEXT(split(""), "");
    CHECK_TEXT(split("  \t\n "), "");
    CHECK_TEXT(split("a b\tc\nd"), "a|b|c|d");
    CHECK_TEXT(split("'a b' \"c d\" e\\ f"), "a b|c d|e f");
    CHECK_TEXT(split("a'b'\"c\"d"), "abcd");
    CHECK_TEXT(split("'' \"\""), "|");
    CHECK_TEXT(split("'a\\b'"), "a\\b");
    CHECK_TEXT(split("\"a\\\"b\\\\c\\d\\$e\""), "a\"b\\c\\d$e");
    CHECK_TEXT(split("a\\\nb \\\n c"), "ab|c");
    CHECK_TEXT(split("\"a\\\nb\""), "ab");
    CHECK_TEXT(split("$HOME *.c a|b ; #x"), "$HOME|*.c|a|b|;|#x");
    CHECK_TEXT(split("a 'b"), "error 0 at 2");
    CHECK_TEXT(split("a \"b\\\""), "error 1 at 2");
    CHECK_TEXT(split("a b\\"), "error 2 at 3");
}

/* Writes a word so that splitting gives it back, in one of three ways of quoting. */
static void quote(struct text *text, const char *word, uint32_t way)
{
    if (way == 0 && !strchr(word, '\'')) {
        text_printf(text, "'%s'", word);
        return;
    }
    if (way == 1)
        text_add_char(text, '"');
    for (const char *at = word; *at; at++) {
        if (way == 1 ? strchr("\"\\$`", *at) != NULL : *at != '\n')
            text_add_char(text, '\\');
        if (way != 1 && *at == '\n')
            text_add(text, "'\n'");
        else
            text_add_char(text, *at);
    }
    if (way == 1)
        text_add_char(text, '"');
    else if (!*word)
        text_add(text, "''");
}

TEST(words_that_are_quoted_come_back_as_they_were)
{
    static const char alphabet[] = "ab \t\n'\"\\$`%*|#";
    for (int round = 0; round < 20000; round++) {
        char words[5][8], storage[400];
        struct text line;
        struct arena arena = {0};
        struct words split_words = {0};
        size_t at, count = next_random() % 5;
        enum words_error error;
        text_init(&line, storage, sizeof storage);
        for (size_t i = 0; i < count; i++) {
            size_t length = next_random() % sizeof words[0];
            for (size_t k = 0; k < length; k++)
                words[i][k] = alphabet[next_random() % (sizeof alphabet - 1)];
            words[i][length] = 0;
            text_add(&line, i ? " \t" : "");
            quote(&line, words[i], next_random() % 3);
        }
        CHECK(!line.cut);
        CHECK_NUMBER(words_split(storage, &arena, &split_words, &at, &error), 0);
        CHECK_NUMBER(split_words.count, count);
        for (size_t i = 0; i < count && i < split_words.count; i++)
            CHECK_TEXT(split_words.list[i], words[i]);
        arena_finish(&arena);
    }
}
