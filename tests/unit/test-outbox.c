/* The ring of what the journal has not heard: what comes out of it after a crash, at every fill. */
#include "service-launcher/outbox.h"
#include "test.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct outbox outbox;
static int fd = -1;

static void begin(void)
{
    fd = memfd_create("outbox", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_NUMBER(outbox_open(&outbox, fd), 0);
}

static void finish(void)
{
    outbox_finish(&outbox);
    close(fd);
}

/* As the next launcher finds it. */
static void crash(void)
{
    outbox_finish(&outbox);
    CHECK_NUMBER(outbox_open(&outbox, fd), 0);
}

static bool add(uint64_t sequence, const char *text)
{
    return outbox_add(&outbox, &(struct outbox_entry){.type = 2, .id = 7, .sequence = sequence},
                      text, strlen(text));
}

static bool add_end(uint64_t sequence, uint32_t id, int32_t pid)
{
    return outbox_add(&outbox,
                      &(struct outbox_entry){.type = 3, .id = id, .sequence = sequence, .pid = pid},
                      "ended", 5);
}

static size_t count(void)
{
    size_t count = 0;
    for (struct outbox_entry *at = outbox_next(&outbox, NULL); at; at = outbox_next(&outbox, at))
        count++;
    return count;
}

TEST(what_is_not_acknowledged_is_found_by_the_next_one_in_its_order)
{
    begin();
    CHECK_NUMBER(count(), 0);
    CHECK(add(3, "one") && add(4, "") && add(9, "three"));
    crash();
    const struct outbox_entry *entry = outbox_next(&outbox, NULL);
    CHECK_NUMBER(entry->sequence, 3);
    CHECK_NUMBER(entry->type, 2);
    CHECK_NUMBER(entry->id, 7);
    CHECK(entry->text_bytes == 3 && memcmp(entry->text, "one", 3) == 0);
    entry = outbox_next(&outbox, entry);
    CHECK(entry->sequence == 4 && entry->text_bytes == 0);
    entry = outbox_next(&outbox, entry);
    CHECK(entry->sequence == 9 && !outbox_next(&outbox, entry));
    outbox_acknowledge(&outbox, 2);
    CHECK_NUMBER(count(), 3);
    outbox_acknowledge(&outbox, 8);
    crash();
    CHECK(outbox_next(&outbox, NULL)->sequence == 9 && count() == 1);
    outbox_acknowledge(&outbox, 9);
    outbox_acknowledge(&outbox, 10);
    CHECK_NUMBER(count(), 0);
    crash();
    CHECK_NUMBER(count(), 0);
    finish();
}

/* With entries of every size, so that its end falls on every place; what does not fit is refused
 * whole. */
TEST(the_ring_goes_round_and_a_full_one_refuses)
{
    static char text[1000];
    uint64_t first = 1, next = 1, refused = 0;
    begin();
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 20000; i++) {
        text[(size_t)i * 7 % sizeof text] = 0;
        if (add(next, text))
            next++;
        else
            refused++;
        text[(size_t)i * 7 % sizeof text] = 'x';
        if (i % 1000 == 999)
            crash();
        if (i % 3 && i > 3000) /* it stays nearly full, and goes round */
            outbox_acknowledge(&outbox, first++);
        if (i % 500 == 0) {
            uint64_t expected = first;
            for (struct outbox_entry *at = outbox_next(&outbox, NULL); at;
                 at = outbox_next(&outbox, at))
                CHECK_NUMBER(at->sequence, expected++);
            CHECK_NUMBER(expected, next);
        }
    }
    CHECK(refused > 100 && first > 3000);
    finish();
}

TEST(an_end_that_was_told_last_is_known_to_the_next_one_until_another_is_told)
{
    begin();
    CHECK(add_end(1, 5, 100));
    CHECK(!outbox_has_told(&outbox, 5, 100)); /* by this one: who asks has not forgotten */
    crash();
    CHECK(outbox_has_told(&outbox, 5, 100));
    CHECK(!outbox_has_told(&outbox, 5, 101) && !outbox_has_told(&outbox, 6, 100));
    CHECK(!outbox_has_told(&outbox, 5, 0));
    CHECK(add(2, "something else") && add_end(3, 6, 7));
    CHECK(outbox_has_told(&outbox, 5, 100));
    CHECK(add_end(4, 5, 102));
    CHECK(!outbox_has_told(&outbox, 5, 100));
    CHECK(add(5, "it was noted, and this came after"));
    crash();
    CHECK(!outbox_has_told(&outbox, 5, 102));
    CHECK(add_end(6, 5, 103));
    outbox_acknowledge(&outbox, 6);
    crash();
    CHECK(!outbox_has_told(&outbox, 5, 103));
    finish();
}

TEST(one_that_is_damaged_or_of_another_make_begins_anew)
{
    for (size_t at = 0; at < 4096 + 64; at += 4) {
        const uint32_t bad = 0xfffffff1;
        uint32_t good;
        begin();
        CHECK(add(1, "one") && add_end(2, 1, 2));
        CHECK_NUMBER(pread(fd, &good, sizeof good, (off_t)at), sizeof good);
        CHECK_NUMBER(pwrite(fd, &bad, sizeof bad, (off_t)at), sizeof bad);
        crash();
        CHECK(count() == 0 || count() == 2);
        CHECK(add(3, "three"));
        finish();
    }
}

TEST(without_a_memfd_nothing_is_kept_and_nothing_breaks)
{
    CHECK(outbox_open(&outbox, -1) < 0);
    CHECK(!add(1, "one") && !outbox_next(&outbox, NULL) && !outbox_has_told(&outbox, 0, 1));
    outbox_acknowledge(&outbox, 1);
    outbox_finish(&outbox);
    int pipe_fd[2];
    CHECK_NUMBER(pipe(pipe_fd), 0);
    CHECK(outbox_open(&outbox, pipe_fd[0]) < 0);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}
