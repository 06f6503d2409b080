/* How entries are shown, and expressions they are looked for by, without memory: each allocation
 * fails in turn, wherever the buffer is full by then. */
#include "base/buffer.h"
#include "faults.h"
#include "journal/matcher.h"
#include "journal/show.h"
#include "test.h"

#include <errno.h>

#define ROOM_BYTES 256 /* of the first allocation of a buffer */

/* ---- shown --------------------------------------------------------------------------------- */

static const char odd[] = "a \"quoted\"\tword\x1b[0m \xff end", plain[] = "plain text of an event",
                  bad[] = "\xff\xfe\n";
static const struct journal_entry entries[] = {
    {1700000000ull * 1000000000, JOURNAL_ERR, JOURNAL_OUTPUT, odd, sizeof odd - 1},
    {1700000000ull * 1000000000, JOURNAL_INFO, JOURNAL_EVENT_MARK, plain, sizeof plain - 1},
    {0, JOURNAL_INFO, JOURNAL_CONTINUED, bad, sizeof bad - 1},
};
static const struct journal_entry *entry;
static int (*show)(struct buffer *out, const char *service, const struct journal_entry *entry);
static const char *service;
static size_t room; /* that there is, before more is needed */
static struct buffer whole;

static void show_once(void)
{
    struct buffer out = {0};
    CHECK_NUMBER(buffer_reserve(&out, ROOM_BYTES), 0);
    const size_t before = out.size - room;
    memset(out.data, '.', before);
    out.end = before;
    faults_begin();
    int failed = show(&out, service, entry);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    /* What is there is the beginning of it, all of it if it did not fail. */
    const size_t bytes = buffer_used(&out) - before;
    CHECK(bytes <= buffer_used(&whole) &&
          memcmp(buffer_bytes(&out) + before, whole.data, bytes) == 0);
    CHECK(failed || bytes == buffer_used(&whole));
    buffer_finish(&out);
}

static void show_in_each_room(void)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        entry = &entries[i];
        CHECK_NUMBER(show(&whole, service, entry), 0);
        for (room = 0; room < buffer_used(&whole) && room < ROOM_BYTES; room++)
            CHECK(fault_each(FAULT_MEMORY, ENOMEM, show_once) >= 1);
        buffer_finish(&whole);
    }
}

TEST(an_entry_is_shown_or_there_was_no_memory_for_its_end)
{
    show = journal_show_short;
    service = NULL;
    show_in_each_room();
    service = "w\xff"
              "b";
    show_in_each_room();
    show = journal_show_json;
    show_in_each_room();
}

static int show_base64(struct buffer *out, const char *name, const struct journal_entry *from)
{
    (void)name;
    return journal_show_base64(out, from->text, from->bytes);
}

TEST(base64_is_whole_or_there_was_no_memory_for_its_end)
{
    show = show_base64;
    show_in_each_room();
}

/* ---- expressions --------------------------------------------------------------------------- */

static const struct {
    const char *expression, *match, *other;
} rows[] = {
    {"ready", "is ready", "is read"},
    {"^(a|b)*c[[:digit:]]{2,4}$", "abac123", "abac1"},
    {"(a{0,40}b{0,40}){0,3}x", "aabbx", "aabb"},
    {"gr[\xc3\xbc\xc3\xb6\xc3\xa4u]n.*(x+|y?|z$)", "gr\xc3\xb6n", "grin"},
    {"[a-c][d-f][g-i][j-l][m-o][p-r][s-u][v-x]{70}|q{65,80}|[0-9]{1,70}", "7", "-"},
    {"^$", "", "x"},
    {"y|$", "abc", NULL},
};
static size_t row;

static void create(void)
{
    struct matcher_error error;
    struct matcher *matcher = NULL;
    faults_begin();
    int failed = matcher_create(&matcher, rows[row].expression, &error);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    CHECK(!matcher == (failed < 0));
    if (matcher)
        CHECK(matcher_matches(matcher, rows[row].match, strlen(rows[row].match)));
    matcher_destroy(matcher);
}

/* Without memory for a state it goes from node to node, and without any it says yes. */
static void match(void)
{
    struct matcher_error error;
    struct matcher *matcher = NULL;
    CHECK_NUMBER(matcher_create(&matcher, rows[row].expression, &error), 0);
    faults_begin();
    bool found = matcher_matches(matcher, rows[row].match, strlen(rows[row].match));
    const char *no = rows[row].other;
    bool other = no && matcher_matches(matcher, no, strlen(no));
    faults_end();
    CHECK(found);
    CHECK(!other || fault_happened());
    CHECK(!no || !matcher_matches(matcher, no, strlen(no)));
    matcher_destroy(matcher);
}

TEST(without_memory_an_expression_is_not_made_and_one_that_is_made_misses_no_line)
{
    for (row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, create) >= 8);
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, match) >= 1);
        fault_each(FAULT_MEMORY | FAULT_FOR_GOOD, ENOMEM, match);
    }
}

static char long_one[200];

static void create_long(void)
{
    struct matcher_error error;
    struct matcher *matcher = NULL;
    faults_begin();
    int failed = matcher_create(&matcher, long_one, &error);
    faults_end();
    CHECK_NUMBER(failed, fault_happened() ? -ENOMEM : 0);
    if (matcher)
        CHECK(!matcher_matches(matcher, "bcd", 3));
    matcher_destroy(matcher);
}

/* Nodes are made from the end on, and there is memory for 64 at first: each kind of node is the one
 * for which more is needed. */
TEST(whichever_node_there_is_no_memory_for_it_is_not_made)
{
    for (size_t i = 50; i < 66; i++) {
        snprintf(long_one, sizeof long_one, "(bcd)*(e{1,2}|f)%0*d", (int)i, 0);
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, create_long) >= 8);
    }
}
