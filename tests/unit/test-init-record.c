/* Init's record: found again as it was, and read when another version has written it. */
#include "init/ended.h"
#include "init/held.h"
#include "init/lines.h"
#include "init/options.h"
#include "init/record.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct record record;
static char said[200];
static struct text why;

static void begin(void)
{
    record_create(&record);
    CHECK(record.fd >= 0);
    text_init(&why, said, sizeof said);
}

/* What is in it, as the next init finds it. */
static int open_again(struct record *ret)
{
    int fd = dup(record.fd);
    text_init(&why, said, sizeof said);
    int failed = record_open(ret, fd, &why);
    if (failed)
        close(fd);
    return failed;
}

/* ---- a record of another layout ---------------------------------------------------------------
 */

struct piece {
    uint32_t id, count, element_bytes;
    const void *bytes;
};

/* Makes one, with table rows of `field_bytes`, and `gap` bytes in front of each field. */
static int make_other(struct record_head head, const struct piece *pieces, size_t count,
                      size_t field_bytes, size_t gap)
{
    int fd = memfd_create("other", MFD_CLOEXEC);
    uint64_t at = sizeof head + count * field_bytes;
    for (size_t i = 0; i < count; i++) {
        struct record_field field = {.id = pieces[i].id,
                                     .count = pieces[i].count,
                                     .element_bytes = pieces[i].element_bytes,
                                     .at = at + gap};
        size_t bytes = (size_t)field.count * field.element_bytes;
        CHECK_NUMBER(pwrite(fd, &field, sizeof field, (off_t)(sizeof head + i * field_bytes)),
                     sizeof field);
        CHECK_NUMBER(pwrite(fd, pieces[i].bytes, bytes, (off_t)field.at), bytes);
        at = field.at + bytes;
    }
    CHECK_NUMBER(ftruncate(fd, (off_t)at), 0);
    memcpy(head.magic, RECORD_MAGIC, sizeof head.magic);
    head.field_count = head.field_count ? head.field_count : (uint32_t)count;
    head.field_bytes = head.field_bytes ? head.field_bytes : (uint32_t)field_bytes;
    head.bytes = head.bytes ? head.bytes : at;
    CHECK_NUMBER(pwrite(fd, &head, sizeof head, 0), sizeof head);
    return fd;
}

static const struct record_head good_head = {.version = RECORD_VERSION + 1,
                                             .readable_from = RECORD_VERSION};

TEST(a_record_is_found_again_where_it_is)
{
    struct record again;
    begin();
    record.kept->own.container = 1;
    record.kept->held_table[KEY_MAX - 1] = 77;
    CHECK_NUMBER(open_again(&again), 0);
    CHECK_NUMBER(again.kept->own.container, 1);
    CHECK_NUMBER(again.kept->held_table[KEY_MAX - 1], 77);
    again.kept->ending.exit_status = 5; /* in place: the same memory */
    CHECK_NUMBER(record.kept->ending.exit_status, 5);
    CHECK_NUMBER(again.kept->own.record_fd, again.fd);
    CHECK(ftruncate(record.fd, 0) < 0); /* nobody can take it away from under us */
    record_close(&again);
    record_close(&record);
}

TEST(it_stays_open_when_its_process_executes_and_a_child_has_its_own)
{
    begin();
    CHECK_NUMBER(fcntl(record.fd, F_GETFD), 0);
    pid_t pid = fork();
    if (pid == 0) {
        record_keep_apart(&record);
        record.kept->own.container = 9;
        _exit(record.kept->own.container);
    }
    int status;
    CHECK_NUMBER(waitpid(pid, &status, 0), pid);
    CHECK_NUMBER(WEXITSTATUS(status), 9);
    CHECK_NUMBER(record.kept->own.container, 0);
    record_close(&record);
}

TEST(a_copy_has_what_the_record_has_and_no_more_pages)
{
    struct record copied;
    begin();
    record.kept->held_table[300000] = 4;
    int copy = record_copy(&record);
    CHECK(copy >= 0);
    text_init(&why, said, sizeof said);
    CHECK_NUMBER(record_open(&copied, copy, &why), 0);
    CHECK_NUMBER(copied.kept->held_table[300000], 4);
    copied.kept->held_table[300000] = 5;
    CHECK_NUMBER(record.kept->held_table[300000], 4);
    record_close(&copied);
    record_close(&record);
}

TEST(what_another_version_has_written_is_taken_over_as_far_as_both_know_it)
{
    struct record taken;
    struct {
        struct kept_child child;
        char new_members[24];
    } children[3] = {{{.pid = 11, .link_fd = 7, .failures = 3}}, {{.pid = 12}}, {{.pid = 13}}};
    struct kept_own own = {.booted = 1, .child_files_soft = 1024};
    uint32_t table[2000] = {[16] = 5 << 2 | 3, [1999] = 6 << 2 | 1};
    struct kept_page pages[] = {{1}, {1}};
    char unknown[100] = "something of a later time";
    const struct piece pieces[] = {
        {FIELD_HELD_TABLE, 2000, 4, table},
        {9999, 100, 1, unknown},
        {FIELD_CHILDREN, 3, sizeof children[0], children}, /* grown, and one more */
        {FIELD_OWN, 1, 8, &own},                           /* had only its first members then */
        {FIELD_HELD_PAGES, 2, sizeof pages[0], pages},
        {FIELD_MOUNTS, 0, 1, unknown},
    };
    text_init(&why, said, sizeof said);
    int fd = make_other(good_head, pieces, 6, sizeof(struct record_field) + 8, 13);
    CHECK_NUMBER(record_open(&taken, fd, &why), 0);
    CHECK_TEXT(said, "");
    CHECK(taken.fd != fd);
    CHECK_NUMBER(taken.kept->upgrade.former_record_fd, fd); /* until it is not needed any more */
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
    CHECK_NUMBER(taken.kept->children[0].pid, 11);
    CHECK_NUMBER(taken.kept->children[0].failures, 3);
    CHECK_NUMBER(taken.kept->children[1].pid, 12);
    CHECK_NUMBER(taken.kept->own.booted, 1);
    CHECK_NUMBER(taken.kept->own.child_files_soft, 0); /* not in the 8 bytes */
    CHECK_NUMBER(taken.kept->own.record_fd, taken.fd);
    CHECK_NUMBER(taken.kept->held_table[1999], 6 << 2 | 1);
    CHECK_NUMBER(taken.kept->held_table[2000], 0);
    CHECK_NUMBER(taken.kept->held_pages[1].used, 1);
    CHECK_NUMBER(taken.kept->ending.how, SHUT_DOWN_NONE); /* the other had no such field */
    CHECK_NUMBER(taken.kept->head.version, RECORD_VERSION);
    CHECK(!record_mend(taken.kept));
    record_close(&taken);
}

/* A ring of `size` pairs into which 1 … last have been pushed. */
static void ring_of(uint32_t size, uint64_t last, uint64_t seen, struct record *ret)
{
    static struct hand_over_ended ring[3 * ENDED_RING];
    struct kept_ended ended = {.last = last};
    ended.halves[0].seen = ended.halves[0].sent = seen;
    for (uint64_t i = last > size ? last - size : 0; i < last; i++)
        ring[i % size] = (struct hand_over_ended){(int32_t)(i + 1), 0};
    const struct piece pieces[] = {{FIELD_ENDED_RING, size, sizeof ring[0], ring},
                                   {FIELD_ENDED, 1, sizeof ended, &ended}};
    text_init(&why, said, sizeof said);
    int fd = make_other(good_head, pieces, 2, sizeof(struct record_field), 0);
    CHECK_NUMBER(record_open(ret, fd, &why), 0);
    ended_use(ret->kept);
}

/* Takes all that wait, and says whether they are first, first + 1 … */
static size_t take_all(int first)
{
    struct hand_over_ended pairs[100];
    size_t all = 0, count;
    while ((count = ended_peek(pairs, 100))) {
        for (size_t i = 0; i < count; i++)
            CHECK_NUMBER(pairs[i].pid, first + (int)(all + i));
        ended_sent(count);
        all += count;
    }
    return all;
}

TEST(a_ring_of_another_size_keeps_its_order_and_a_larger_one_its_newest)
{
    struct record taken;
    ring_of(100, 250, 160, &taken); /* smaller, and gone round */
    CHECK_NUMBER(take_all(161), 90);
    CHECK(!ended_push((struct hand_over_ended){251, 0}));
    CHECK_NUMBER(take_all(251), 1);
    record_close(&taken);
    ring_of(100, 7, 0, &taken); /* not gone round yet */
    CHECK_NUMBER(take_all(1), 7);
    record_close(&taken);
    ring_of(3 * ENDED_RING, 20000, 9000, &taken);
    CHECK_NUMBER(take_all(20000 - ENDED_RING + 1), ENDED_RING);
    record_close(&taken);
}

TEST(lines_of_a_larger_ring_that_do_not_fit_are_left_out)
{
    static unsigned char ring[2 * LINES_RING_BYTES];
    struct kept_lines lines = {.begin = 10, .end = 10 + LINES_RING_BYTES + 1};
    const struct piece pieces[] = {{FIELD_LINES, 1, sizeof lines, &lines},
                                   {FIELD_LINES_RING, sizeof ring, 1, ring}};
    struct record taken;
    char text[960];
    size_t bytes;
    enum log_level level;
    text_init(&why, said, sizeof said);
    int fd = make_other(good_head, pieces, 2, sizeof(struct record_field), 0);
    CHECK_NUMBER(record_open(&taken, fd, &why), 0);
    lines_use(taken.kept);
    CHECK(!lines_peek(text, sizeof text, &bytes, &level));
    lines_sink(NULL, LOG_INFO, "next\n", 5);
    CHECK(lines_peek(text, sizeof text, &bytes, &level));
    CHECK_NUMBER(bytes, 4);
    record_close(&taken);
}

TEST(what_is_no_record_or_none_for_this_version_is_left_alone_and_said)
{
    uint64_t whole = sizeof(struct record_head) + 2 * sizeof(struct record_field);
    const struct {
        struct record_head head;
        struct record_field field;
        const char *says;
    } rows[] = {
        {{.version = 9, .readable_from = RECORD_VERSION + 1}, {0}, "needs an init that knows"},
        {{.version = 0, .readable_from = 0}, {0}, "is older than"},
        {{.version = 1, .readable_from = 1, .bytes = whole + 1000}, {0}, "head of the record"},
        {{.version = 1, .readable_from = 1, .bytes = UINT64_MAX}, {0}, "head of the record"},
        {{.version = 1, .readable_from = 1, .field_count = 5000}, {0}, "head of the record"},
        {{.version = 1, .readable_from = 1, .field_count = 100}, {0}, "head of the record"},
        {{.version = 1, .readable_from = 1, .field_bytes = 8}, {0}, "head of the record"},
        {{.version = 1, .readable_from = 1, .field_bytes = 1u << 20}, {0}, "head of the record"},
        {{.version = 2, .readable_from = 1},
         {FIELD_OWN, 1, 1u << 20, 0, 0},
         "field 1 of the record is broken"},
        {{.version = 2, .readable_from = 1}, {FIELD_OWN, 1, 0, 0, 0}, "field 1 of"},
        {{.version = 2, .readable_from = 1}, {FIELD_OWN, 1, 8, 0, 1u << 30}, "field 1 of"},
        {{.version = 2, .readable_from = 1}, {FIELD_OWN, UINT32_MAX, 4, 0, 40}, "field 1 of"},
    };
    const struct piece none[2] = {{0, 0, 1, ""}, {0, 0, 1, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct record taken = {-1, NULL};
        text_init(&why, said, sizeof said);
        int fd = make_other(rows[i].head, none, 2, sizeof(struct record_field), 0);
        if (rows[i].field.id)
            CHECK_NUMBER(
                pwrite(fd, &rows[i].field, sizeof rows[i].field, sizeof(struct record_head)),
                sizeof rows[i].field);
        CHECK_NUMBER(record_open(&taken, fd, &why), -EPROTO);
        CHECK(strstr(said, rows[i].says));
        if (!strstr(said, rows[i].says))
            fprintf(stderr, "row %zu says: %s\n", i, said);
        CHECK(fcntl(fd, F_GETFD) >= 0);
        CHECK(!taken.kept);
        close(fd);
    }
    struct record taken = {-1, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK_NUMBER(record_open(&taken, null, &why), -EPROTO);
    close(null);
    CHECK_NUMBER(record_open(&taken, null, &why), -EBADF);
}

TEST(a_part_with_a_number_that_cannot_be_is_emptied_and_named)
{
    begin();
    struct kept *kept = record.kept;
    CHECK(!record_mend(kept));
#define FINDS(member, value, what)                                                                 \
    do {                                                                                           \
        __typeof__(kept->member) former = kept->member;                                            \
        kept->member = (value);                                                                    \
        CHECK_TEXT(record_mend(kept), what);                                                       \
        CHECK(!record_mend(kept));                                                                 \
        kept->member = former;                                                                     \
    } while (0)
    FINDS(ending.how, SHUT_DOWN_HOWS, "ending");
    FINDS(ending.phase, PHASES, "ending");
    FINDS(ended.live, 2, "ended");
    FINDS(ended.halves[0].seen, 1, "ended");
    FINDS(ended.halves[0].sent, 1, "ended");
    FINDS(ended.last, ENDED_RING + 1, "ended");
    FINDS(lines.end, LINES_RING_BYTES + 1, "lines");
    FINDS(held.end, KEY_MAX + 1, "held");
    FINDS(words.bytes, WORDS_KEPT_BYTES + 1, "words");
    FINDS(words.count, WORDS_KEPT_MAX + 1, "words");
    FINDS(inbox.from, CHILDREN_ALL + 1, "inbox");
    FINDS(upgrade.step, UPGRADE_STEPS, "upgrade");
    FINDS(inbox.from, -1, "inbox");
    FINDS(children[1].refused_count, HAND_OVER_KEYS_MAX + 1, "children");
    FINDS(children[0].pid, -1, "children");
    memset(kept->upgrade.text, 'x', sizeof kept->upgrade.text);
    CHECK_TEXT(record_mend(kept), "upgrade");
    memset(kept->upgrade.why, 'x', sizeof kept->upgrade.why);
    CHECK_TEXT(record_mend(kept), "upgrade");
    CHECK(!record_mend(kept));
    memset(kept->own.path, 'x', sizeof kept->own.path);
    CHECK_TEXT(record_mend(kept), "path");
    CHECK_TEXT(kept->own.path, "");
    kept->words.bytes = 3;
    memcpy(kept->words.text, "abc", 3);
    CHECK_TEXT(record_mend(kept), "words");
    record_close(&record);
}

static int only_open;

static bool is_only_open(int fd)
{
    return fd == only_open;
}

TEST(held_descriptors_that_are_not_open_are_left_out_and_the_rest_is_counted_again)
{
    uint32_t keys[8], cursor = 0;
    int fds[8];
    begin();
    held_use(record.kept);
    only_open = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_NUMBER(held_store(20, OWNER_JOURNAL, only_open), 0);
    CHECK_NUMBER(held_store(5000, OWNER_JOURNAL, dup(only_open)), 0);
    record.kept->held_pages[0].used = 9; /* as a fault in between may leave it */
    CHECK_NUMBER(held_check(is_only_open), 1);
    CHECK_NUMBER(record.kept->held_pages[0].used, 1);
    CHECK_NUMBER(record.kept->held_pages[5000 / HELD_PAGE].used, 0);
    CHECK_NUMBER(held_next(&cursor, OWNER_JOURNAL, keys, fds, 8), 1);
    CHECK_NUMBER(fds[0], only_open);
    CHECK_NUMBER(held_store(20, OWNER_LAUNCHER, only_open), 0); /* again: stays open */
    CHECK(fcntl(only_open, F_GETFD) >= 0);
    held_close();
    CHECK(fcntl(only_open, F_GETFD) < 0);
    record_close(&record);
}

TEST(a_record_of_this_version_with_another_layout_is_read_piece_by_piece)
{
    for (int i = 0; i < 4; i++) {
        struct record taken;
        begin();
        record.kept->own.container = 7;
        struct record_head *head = &record.kept->head;
        int fd = memfd_create("grown", MFD_CLOEXEC);
        if (i == 0)
            record.kept->fields[3].id = 77; /* one that it does not know */
        if (i == 1)
            head->field_count--;
        if (i == 2)
            head->bytes++;
        if (i == 3) { /* rows with more in them */
            head->field_bytes = sizeof(struct record_field) * 2;
        }
        CHECK_NUMBER(ftruncate(fd, sizeof(struct kept) + 100), 0);
        CHECK_NUMBER(pwrite(fd, record.kept, offsetof(struct kept, held_pages), 0),
                     offsetof(struct kept, held_pages));
        text_init(&why, said, sizeof said);
        CHECK_NUMBER(record_open(&taken, fd, &why), 0);
        CHECK(taken.fd != fd);
        CHECK_NUMBER(taken.kept->own.container, 7);
        close(fd);
        record_close(&taken);
        record_close(&record);
    }
}

TEST(a_record_larger_than_any_is_none_and_one_that_is_empty_was_written_by_nobody)
{
    struct record taken;
    begin();
    int fd = memfd_create("large", MFD_CLOEXEC);
    record.kept->head.bytes = 65u << 20;
    CHECK_NUMBER(ftruncate(fd, 66 << 20), 0);
    CHECK_NUMBER(pwrite(fd, record.kept, 4096, 0), 4096);
    CHECK(record_open(&taken, fd, &why) < 0);
    CHECK(strstr(said, "head of the record"));
    CHECK(record_writer_knows(fd));
    CHECK_NUMBER(ftruncate(fd, 0), 0);
    CHECK(!record_writer_knows(fd));
    close(fd);
    record_close(&record);
    record_close(&record); /* there is none any more */
}

TEST(words_of_which_there_cannot_be_so_many_are_read_as_far_as_they_are_there)
{
    struct kept_words words = {.count = 500, .bytes = 400};
    const char *found[WORDS_KEPT_MAX + 1];
    CHECK_NUMBER(options_kept(&words, found), WORDS_KEPT_MAX); /* empty ones */
    words.bytes = 3;
    memcpy(words.text, "ab", 3);
    CHECK_NUMBER(options_kept(&words, found), 1);
    CHECK_TEXT(found[0], "ab");
}

TEST(an_entry_of_nobody_is_left_out)
{
    begin();
    held_use(record.kept);
    record.kept->held_pages[0].used = 1;
    record.kept->held_table[4] = 9u << 2;
    record.kept->held.end = 5;
    CHECK_NUMBER(held_check(is_only_open), 1);
    CHECK_NUMBER(record.kept->held_pages[0].used, 0);
    record_close(&record);
}

static void count_one(int fd, void *context)
{
    (void)fd;
    ++*(int *)context;
}

TEST(looking_at_the_table_makes_no_pages_of_it)
{
    uint32_t keys[8], cursor = 0;
    int fds[8], count = 0;
    begin();
    held_use(record.kept);
    for (int i = 0; i < 3; i++)
        CHECK_NUMBER(held_store((uint32_t[]){3, 131072, KEY_MAX - 1}[i], OWNER_LAUNCHER,
                                open("/dev/null", O_RDONLY | O_CLOEXEC)),
                     0);
    CHECK_NUMBER(held_next(&cursor, OWNER_LAUNCHER, keys, fds, 8), 3);
    held_each(count_one, &count);
    CHECK_NUMBER(count, 3);
    held_drop(200000, OWNER_LAUNCHER);
    held_close();
    const char *table = (const char *)record.kept->held_table;
    off_t at = (off_t)offsetof(struct kept, held_table);
    CHECK_NUMBER(lseek(record.fd, at + 8192, SEEK_DATA), at + 131072 * 4);
    CHECK(table != NULL);
    record_close(&record);
}

TEST(the_words_of_the_command_line_are_kept_and_what_is_too_long_is_said)
{
    static char long_word[WORDS_KEPT_BYTES];
    const char *words[WORDS_KEPT_MAX + 1], *many[WORDS_KEPT_MAX + 1];
    const char *const few[] = {"init", "", "--logs", "/x"};
    begin();
    CHECK(options_keep(&record.kept->words, 4, few));
    CHECK_NUMBER(options_kept(&record.kept->words, words), 4);
    for (int i = 0; i < 4; i++)
        CHECK_TEXT(words[i], few[i]);
    CHECK(words[4] == NULL);
    for (int i = 0; i <= WORDS_KEPT_MAX; i++)
        many[i] = "x";
    CHECK(!options_keep(&record.kept->words, WORDS_KEPT_MAX + 1, many));
    CHECK_NUMBER(options_kept(&record.kept->words, words), WORDS_KEPT_MAX);
    memset(long_word, 'x', sizeof long_word - 1);
    many[1] = long_word;
    CHECK(!options_keep(&record.kept->words, 2, many));
    CHECK_NUMBER(options_kept(&record.kept->words, words), 1);
    CHECK(!record_mend(record.kept));
    record_close(&record);
}
