/* Bounded text, strict numbers, nearest words. */
#include "base/error.h"
#include "base/text.h"
#include "test.h"

#include <errno.h>

TEST(text_that_does_not_fit_is_cut_and_says_so)
{
    char storage[6];
    struct text text;
    text_init(&text, storage, sizeof storage);
    text_add(&text, "abc");
    CHECK(!text.cut);
    text_add(&text, "defg");
    CHECK(text.cut);
    CHECK_TEXT(storage, "abcde");
    text_printf(&text, "%d", 7);
    CHECK_TEXT(storage, "abcde");
    CHECK(!text_format(storage, sizeof storage, "%s", "123456"));
    CHECK_TEXT(storage, "12345");
}

TEST(numbers_are_written_in_full)
{
    char storage[64];
    struct text text;
    text_init(&text, storage, sizeof storage);
    text_add_unsigned(&text, UINT64_MAX);
    text_add_char(&text, ' ');
    text_add_signed(&text, INT64_MIN);
    text_add_char(&text, ' ');
    text_add_unsigned(&text, 0);
    CHECK_TEXT(storage, "18446744073709551615 -9223372036854775808 0");
}

TEST(only_whole_decimal_numbers_are_numbers)
{
    uint64_t number = 42;
    CHECK_NUMBER(text_parse_unsigned("", &number), -EINVAL);
    CHECK_NUMBER(text_parse_unsigned(" 1", &number), -EINVAL);
    CHECK_NUMBER(text_parse_unsigned("1x", &number), -EINVAL);
    CHECK_NUMBER(text_parse_unsigned("-1", &number), -EINVAL);
    CHECK_NUMBER(text_parse_unsigned("18446744073709551616", &number), -ERANGE);
    CHECK_NUMBER(number, 42);
    CHECK_NUMBER(text_parse_unsigned("007", &number), 0);
    CHECK_NUMBER(number, 7);
}

TEST(the_nearest_word_is_found_and_a_far_one_is_not)
{
    static const char *const words[] = {"exec", "env", "env-file", "description", "restart"};
    CHECK_TEXT(text_nearest("exce", words, 5), "exec");
    CHECK_TEXT(text_nearest("envfile", words, 5), "env-file");
    CHECK_TEXT(text_nearest("descripton", words, 5), "description");
    CHECK(text_nearest("zzzzzz", words, 5) == NULL);
    CHECK_NUMBER(text_distance("ab", "ba"), 1);
    CHECK_NUMBER(text_distance("", "abc"), 3);
}

TEST(an_error_is_shown_with_the_parts_of_its_place_that_are_known)
{
    struct error error = {.file = "a.yml", .line = 3, .column = 7, .message = "no such key 'x'"};
    char line[500];
    error_format(&error, line, sizeof line);
    CHECK_TEXT(line, "a.yml:3:7: no such key 'x'");
    error = (struct error){.file = "a.yml", .message = "empty"};
    error_format(&error, line, sizeof line);
    CHECK_TEXT(line, "a.yml: empty");
    error = (struct error){.message = "no memory"};
    error_format(&error, line, sizeof line);
    CHECK_TEXT(line, "no memory");
}

TEST(octal_escapes_are_undone_and_what_is_none_stays)
{
    char whole[] = "/a\\040b\\134\\011", none[] = "\\04 \\400 \\08x \\";
    text_unescape(whole);
    CHECK_TEXT(whole, "/a b\\\t");
    text_unescape(none);
    CHECK_TEXT(none, "\\04 \\400 \\08x \\");
}
