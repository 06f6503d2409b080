/* What is cheap to look at comes first. */
#include "slc/log-filter.h"

#include <string.h>

bool log_filter_takes(const struct log_filter *filter, const struct journal_entry *entry,
                      uint64_t time_ns)
{
    const char *literal;
    size_t bytes;
    bool whole;

    if (entry->level > filter->least ||
        (filter->only_output && entry->mark == JOURNAL_EVENT_MARK) || time_ns < filter->since_ns ||
        time_ns > filter->until_ns)
        return false;
    if (!filter->matcher)
        return true;
    literal = matcher_literal(filter->matcher, &bytes, &whole);
    if (literal && !memmem(entry->text, entry->bytes, literal, bytes))
        return false;
    return whole || matcher_matches(filter->matcher, entry->text, entry->bytes);
}

bool log_filter_parse_level(const char *text, enum journal_level *ret)
{
    /* What syslog(3) and other programs call them, too. */
    static const struct {
        const char *name;
        enum journal_level level;
    } others[] = {{"emergency", JOURNAL_EMERG}, {"panic", JOURNAL_EMERG},
                  {"critical", JOURNAL_CRIT},   {"error", JOURNAL_ERR},
                  {"warn", JOURNAL_WARNING},    {"information", JOURNAL_INFO}};

    for (enum journal_level level = 0; level < JOURNAL_LEVELS; level++)
        if (!strcmp(journal_level_name(level), text) ||
            (text[0] == (char)('0' + level) && !text[1])) {
            *ret = level;
            return true;
        }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(others[i].name, text)) {
            *ret = others[i].level;
            return true;
        }
    return false;
}
