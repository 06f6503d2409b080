/* What `slc journal -f` remembers of lines that it has shown and that come again elsewhere. */
#include "slc/log-moved.h"
#include "test.h"

#include <string.h>

static struct journal_entry number(uint64_t *n)
{
    return (struct journal_entry){
        .time_ns = 1, .level = JOURNAL_INFO, .text = (const char *)n, .bytes = sizeof *n};
}

static void note(struct log_moved *moved, uint64_t n)
{
    struct journal_entry entry = number(&n);
    if (log_moved_note(moved, &entry) < 0)
        abort();
}

static bool take(struct log_moved *moved, uint64_t n)
{
    struct journal_entry entry = number(&n);
    return log_moved_take(moved, &entry);
}

TEST(what_was_shown_is_known_once_and_what_was_before_it_is_forgotten)
{
    struct log_moved moved = {0};
    for (uint64_t n = 0; n < 1000; n++)
        note(&moved, n);
    CHECK(!take(&moved, 1000));
    CHECK(take(&moved, 10));
    CHECK(!take(&moved, 10) && !take(&moved, 9));
    CHECK(take(&moved, 11) && take(&moved, 999));
    CHECK_NUMBER(moved.count, 0);
    log_moved_finish(&moved);
}

TEST(where_nothing_ever_comes_again_memory_is_bounded_and_the_newest_are_known)
{
    struct log_moved moved = {0};
    const uint64_t count = LOG_MOVED_MOST + 100;
    for (uint64_t n = 0; n < count; n++)
        note(&moved, n);
    CHECK_NUMBER(moved.count, LOG_MOVED_MOST);
    CHECK_NUMBER(moved.room, LOG_MOVED_MOST);
    CHECK(!take(&moved, 99));
    CHECK(take(&moved, 100) && take(&moved, 101));
    CHECK(take(&moved, count - 1));
    CHECK_NUMBER(moved.count, 0);
    log_moved_finish(&moved);
}
