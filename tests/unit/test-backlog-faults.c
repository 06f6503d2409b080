/* Backlogs at the bounds of their memory: what has no room is counted, and nothing is torn. */
#include "faults.h"
#include "journal/backlog.h"
#include "journal/format.h"
#include "test.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define OWNER 7

static struct backlog_head head;
static struct backlog_pool pool;
static struct backlog backlog;
static char bytes[BACKLOG_OWN_BYTES + 5000], kept[sizeof bytes];
static int memory;

static int open_backlog(size_t pool_bytes)
{
    pool.left_bytes = pool_bytes;
    return backlog_open(&backlog, &pool, &head, memory, 0, OWNER, NULL);
}

static void begin(void)
{
    memset(&head, 0, sizeof head);
    memory = memfd_create("backlog", MFD_CLOEXEC);
    CHECK_NUMBER(ftruncate(memory, BACKLOG_RING_BYTES), 0);
    CHECK_NUMBER(open_backlog(0), 0);
}

static void finish(void)
{
    backlog_close(&backlog, &pool);
    close(memory);
}

static void add(const char *text, size_t count, uint64_t at)
{
    backlog_add(&backlog, &pool, text, count, &(struct backlog_record){at, at + 1, false});
}

static void add_text(const char *text, uint64_t at)
{
    add(text, strlen(text), at);
}

/* All that is kept, as text. */
static const char *take(void)
{
    uint32_t count = 0;
    size_t used = backlog_take(&backlog, kept, sizeof kept - 1, 1, &count);
    kept[used] = 0;
    return kept;
}

TEST(a_backlog_counts_its_lines_and_one_that_has_not_ended)
{
    begin();
    CHECK_NUMBER(backlog_lines(&backlog), 0);
    CHECK_TEXT(take(), "");
    add_text("one\ntwo\nthr", 10);
    CHECK_NUMBER(backlog_lines(&backlog), 3);
    CHECK_TEXT(take(), "one\ntwo\nthr");
    finish();
}

TEST(of_what_begins_in_a_line_it_is_not_known_how_old_it_is)
{
    static const char begin_of_first[] = "2026-11-22T13:54:00.123456Z info ",
                      rest[] = "2026-11-22T13:00:00.000000Z was said\n",
                      second[] = "2026-11-22T13:55:00.000000Z info two\n";
    uint64_t ns;
    uint32_t count;
    begin();
    CHECK(backlog_oldest_ns(&backlog) == 0);
    add_text(begin_of_first, 0);
    add_text(rest, 1);
    add_text(second, 2);
    CHECK(journal_parse_time(begin_of_first, &ns) && backlog_oldest_ns(&backlog) == ns);
    CHECK_NUMBER(backlog_take(&backlog, kept, strlen(begin_of_first), 1, &count),
                 strlen(begin_of_first));
    CHECK(backlog_oldest_ns(&backlog) == 0);
    CHECK_NUMBER(backlog_take(&backlog, kept, strlen(rest), 2, &count), strlen(rest));
    CHECK(journal_parse_time(second, &ns) && backlog_oldest_ns(&backlog) == ns);
    finish();
}

TEST(a_record_from_before_the_first_is_kept_too)
{
    begin();
    add_text("first\n", 100);
    add_text("older\n", 50);
    CHECK_TEXT(take(), "first\nolder\n");
    finish();
}

TEST(a_record_larger_than_the_memory_is_counted_and_so_is_the_rest_of_its_last_line)
{
    begin();
    memset(bytes, 'x', sizeof bytes);
    bytes[10] = '\n';
    add(bytes, sizeof bytes, 1);
    CHECK_NUMBER(backlog_used(&backlog), 0);
    CHECK_NUMBER(backlog_take_dropped(&backlog, 1), 2);
    CHECK(backlog_is_needed(&backlog)); /* the rest of the line is to go, too */
    add_text("rest\nnew\n", 2);
    CHECK_TEXT(take(), "new\n");
    CHECK_NUMBER(backlog_take_dropped(&backlog, 2), 0);
    finish();
}

TEST(what_comes_back_into_a_full_memory_is_counted)
{
    begin();
    memset(bytes, 'x', sizeof bytes);
    bytes[BACKLOG_OWN_BYTES - 1] = '\n';
    add(bytes, BACKLOG_OWN_BYTES, 1);
    backlog_give_back(&backlog, &pool, "one\ntwo\n", 8, false);
    CHECK_NUMBER(backlog_used(&backlog), BACKLOG_OWN_BYTES);
    CHECK_NUMBER(backlog.now.dropped_lines, 2);
    finish();
}

TEST(a_state_that_cannot_be_is_begun_anew)
{
    begin();
    add_text("one\n", 1);
    munmap(backlog.ring, BACKLOG_RING_BYTES);
    struct backlog_state *state = &head.states[head.turn % 2];
    state->end = state->begin + BACKLOG_OWN_BYTES + BACKLOG_POOL_BYTES + 1;
    CHECK_NUMBER(open_backlog(0), 0);
    CHECK(!backlog_is_needed(&backlog));
    finish();
}

TEST(a_backlog_that_had_of_a_pool_that_is_used_up_keeps_its_lines)
{
    begin();
    pool.left_bytes = BACKLOG_POOL_BYTES;
    memset(bytes, 'x', sizeof bytes);
    bytes[sizeof bytes - 1] = '\n';
    add(bytes, sizeof bytes, 1);
    munmap(backlog.ring, BACKLOG_RING_BYTES);
    CHECK_NUMBER(open_backlog(0), 0);
    CHECK_NUMBER(backlog_used(&backlog), sizeof bytes);
    CHECK_NUMBER(backlog_lines(&backlog), 1);
    add_text("new\n", 2); /* the older line has to go for it */
    CHECK_TEXT(take(), "new\n");
    CHECK_NUMBER(backlog_take_dropped(&backlog, 1), 1);
    finish();
}

static void add_and_give_back(void)
{
    begin();
    faults_begin();
    add_text("two\n", 2);
    backlog_give_back(&backlog, &pool, "zero\none\n", 9, false);
    faults_end();
    const uint64_t dropped = backlog.now.dropped_lines;
    const char *lines = take();
    if (!fault_happened())
        CHECK_NUMBER(dropped, 0);
    CHECK_TEXT(lines, dropped == 3   ? ""
                      : dropped == 2 ? "two\n"
                      : dropped == 1 ? "zero\none\n"
                                     : "zero\none\ntwo\n");
    finish();
}

static void add_interrupted(void)
{
    begin();
    faults_begin();
    add_text("one\n", 1);
    faults_end();
    CHECK_NUMBER(backlog.now.dropped_lines, 0);
    CHECK_TEXT(take(), "one\n");
    finish();
}

TEST(lines_that_no_page_can_be_had_for_are_counted_and_no_signal_costs_one)
{
    CHECK(fault_each_of("fallocate64", FAULT_CALLS | FAULT_FOR_GOOD, ENOSPC, add_and_give_back) >=
          1);
    CHECK(fault_each_of("fallocate64", FAULT_CALLS, ENOSPC, add_and_give_back) >= 1);
    CHECK(fault_each_of("fallocate64", FAULT_CALLS, EINTR, add_interrupted) >= 1);
}
