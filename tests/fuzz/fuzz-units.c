/* Any text as each of the values that are one word. What is one is shown as a text that is the same
 * value; what is none leaves the result alone. */
#include "config/units.h"
#include "demand.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static bool is_one(int result)
{
    demand(result == 0 || result == -EINVAL || result == -ERANGE, "it is one, none, or too large");
    return result == 0;
}

static void check_time(const char *word, struct text *text)
{
    uint32_t time_ms = 77, again;
    if (!is_one(units_parse_time(word, &time_ms))) {
        demand(time_ms == 77, "the result is left alone");
        return;
    }
    units_format_time(time_ms, text);
    demand(units_parse_time(text->data, &again) == 0 && again == time_ms, "a time is the same");
}

static void check_size(const char *word, struct text *text)
{
    uint64_t bytes = 77, again;
    if (!is_one(units_parse_size(word, &bytes))) {
        demand(bytes == 77, "the result is left alone");
        return;
    }
    units_format_size(bytes, text);
    demand(units_parse_size(text->data, &again) == 0 && again == bytes, "a size is the same");
}

static void check_age(const char *word, struct text *text)
{
    uint32_t age_s = 77, again;
    if (!is_one(units_parse_age(word, &age_s))) {
        demand(age_s == 77, "the result is left alone");
        return;
    }
    units_format_age(age_s, text);
    demand(units_parse_age(text->data, &again) == 0 && again == age_s, "an age is the same");
}

static void check_rate(const char *word, struct text *text)
{
    uint32_t count = 77, interval_ms = 77, count_again, interval_again;
    if (!is_one(units_parse_rate(word, &count, &interval_ms))) {
        demand(count == 77 && interval_ms == 77, "the result is left alone");
        return;
    }
    if (!interval_ms) /* which no key takes */
        return;
    units_format_rate(count, interval_ms, text);
    demand(units_parse_rate(text->data, &count_again, &interval_again) == 0 &&
               count_again == count && interval_again == interval_ms,
           "a rate is the same");
}

static void check_factor(const char *word, struct text *text)
{
    uint32_t percent = 77, again;
    if (!is_one(units_parse_factor(word, &percent))) {
        demand(percent == 77, "the result is left alone");
        return;
    }
    units_format_factor(percent, text);
    demand(units_parse_factor(text->data, &again) == 0 && again == percent, "a factor is the same");
}

static void check_others(const char *word)
{
    uint32_t percent = 77;
    unsigned mask = 7777;
    bool yes = true, no = false;
    uint64_t number = 77;

    demand(is_one(units_parse_percent(word, &percent)) ? percent <= 100 : percent == 77,
           "a percentage is at most 100");
    demand(is_one(units_parse_umask(word, &mask)) ? mask <= 0777 : mask == 7777,
           "a umask has nine bits");
    if (is_one(units_parse_bool(word, &yes)))
        demand(units_parse_bool(word, &no) == 0 && yes == no, "a boolean is one of two");
    else
        demand(yes, "the result is left alone");
    if (is_one(text_parse_unsigned(word, &number)))
        demand(*word && !word[strspn(word, "0123456789")], "a number is digits only");
    else
        demand(number == 77, "the result is left alone");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static void (*const checks[])(const char *, struct text *) = {
        check_time, check_size, check_age, check_rate, check_factor,
    };
    char *word = strndup((const char *)bytes, count), storage[64];

    demand(word != NULL, "there is memory");
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct text text;
        text_init(&text, storage, sizeof storage);
        checks[i](word, &text);
        demand(!text.cut, "what is shown is short");
    }
    check_others(word);
    free(word);
    return 0;
}
