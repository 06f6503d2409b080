/* The requests' memfd: what is found again, and what is forgotten at its bounds. */
#include "test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "service-launcher/request-store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct request_store store;

static struct request_record *add(uid_t uid, const char *id)
{
    struct request_record *record = NULL;
    CHECK_NUMBER(request_store_add(&store, uid, id, id, strlen(id), 7, &record), 0);
    return record;
}

/* What it says of its layout, at 1024: a magic number, its version, the least one of a reader. */
static void set_version(int fd, uint32_t version, uint32_t least_reader)
{
    const uint32_t words[2] = {version, least_reader};
    CHECK_NUMBER(pwrite(fd, words, sizeof words, 1032), sizeof words);
}

static void answer(struct request_record *record, const char *text)
{
    CHECK_NUMBER(request_store_answer(&store, record, text, strlen(text)), 0);
}

static bool other; /* the next launcher is of another version */

/* What the next launcher finds. */
static void open_again(void)
{
    int fd = fcntl(store.fd, F_DUPFD_CLOEXEC, 3);
    bool moved;
    request_store_finish(&store);
    if (other)
        set_version(fd, 99, 1);
    CHECK_NUMBER(request_store_open(&store, fd, &moved), 0);
    CHECK_NUMBER(moved, other);
}

static void check_answer(const struct request_record *record, const char *text)
{
    struct buffer buffer = {0};
    CHECK(record != NULL);
    CHECK_NUMBER(request_store_read_answer(&store, record, &buffer), 0);
    CHECK_TEXT(buffer_bytes(&buffer), text);
    buffer_finish(&buffer);
}

static void go_through_a_request(void)
{
    struct request_item_record items[2] = {{.name = "a", .slot = 3}, {.name = "b", .slot = 9}},
                               *read;
    struct buffer buffer = {0};
    CHECK_NUMBER(request_store_create(&store), 0);
    add(1, "one");
    open_again();
    struct request_record *record = request_store_find(&store, 1, "one");
    CHECK_NUMBER(record->phase, REQUEST_ASKED);
    CHECK_NUMBER(request_store_read_call(&store, record, &buffer), 0);
    CHECK_TEXT(buffer_bytes(&buffer), "one");
    buffer_finish(&buffer);
    CHECK_NUMBER(request_store_begin(&store, record, items, 2), 0);
    CHECK_NUMBER(request_store_set_standing(&store, record, 1, 55), 0);
    open_again();
    record = request_store_find(&store, 1, "one");
    CHECK_NUMBER(record->phase, REQUEST_BEGUN);
    CHECK_NUMBER(request_store_read_items(&store, record, &read), 2);
    CHECK_TEXT(read[1].name, "b");
    CHECK_NUMBER(read[0].standing, 0);
    CHECK_NUMBER(read[1].standing, 55);
    free(read);
    answer(record, "done");
    open_again();
    check_answer(request_store_find(&store, 1, "one"), "done");
    request_store_finish(&store);
}

TEST(a_call_its_items_and_its_answer_are_there_for_the_next_launcher)
{
    go_through_a_request();
}

TEST(and_for_one_of_another_version)
{
    other = true;
    go_through_a_request();
    CHECK_NUMBER(request_store_create(&store), 0);
    struct request_record *record = add(1, "x");
    CHECK_NUMBER(request_store_prepare(&store, record, "report", 6, 77), 0);
    answer(add(1, "y"), "yes");
    open_again();
    record = request_store_find(&store, 1, "x");
    request_store_settle(&store, record);
    check_answer(record, "report");
    check_answer(request_store_find(&store, 1, "y"), "yes");
    CHECK_NUMBER(store.answered, 2);
    CHECK(add(1, "z")->order > record->order);
    request_store_finish(&store);
    other = false;
}

TEST(an_id_is_its_users_own)
{
    CHECK_NUMBER(request_store_create(&store), 0);
    struct request_record *mine = add(1, "x");
    CHECK(request_store_find(&store, 2, "x") == NULL);
    struct request_record *theirs = add(2, "x");
    CHECK(mine != theirs);
    CHECK(request_store_find(&store, 1, "x") == mine);
    CHECK(request_store_find(&store, 1, "xx") == NULL);
    request_store_finish(&store);
}

TEST(a_prepared_answer_counts_once_it_is_settled)
{
    CHECK_NUMBER(request_store_create(&store), 0);
    struct request_record *record = add(1, "x");
    CHECK_NUMBER(request_store_prepare(&store, record, "report", 6, 77), 0);
    open_again();
    record = request_store_find(&store, 1, "x");
    CHECK_NUMBER(record->phase, REQUEST_ASKED);
    CHECK_NUMBER(record->commit, 77);
    request_store_settle(&store, record);
    check_answer(record, "report");
    request_store_finish(&store);
}

TEST(the_oldest_answers_go_first_and_waiting_requests_never)
{
    char id[32];
    CHECK_NUMBER(request_store_create(&store), 0);
    add(1, "waits");
    for (int i = 0; i < 300; i++) {
        text_format(id, sizeof id, "%d", i);
        answer(add(1, id), id);
    }
    open_again();
    CHECK_NUMBER(store.answered, 256);
    CHECK(request_store_find(&store, 1, "43") == NULL);
    check_answer(request_store_find(&store, 1, "44"), "44");
    check_answer(request_store_find(&store, 1, "299"), "299");
    CHECK_NUMBER(request_store_find(&store, 1, "waits")->phase, REQUEST_ASKED);
    request_store_finish(&store);
}

TEST(answers_that_are_too_large_together_are_spent_but_for_the_newest)
{
    size_t size = 3u << 20;
    AUTO_FREE char *large = malloc(size);
    memset(large, 'x', size);
    CHECK_NUMBER(request_store_create(&store), 0);
    struct request_record *first = add(1, "first"), *second = add(1, "second");
    CHECK_NUMBER(request_store_answer(&store, first, large, size), 0);
    CHECK_NUMBER(first->phase, REQUEST_ANSWERED);
    CHECK_NUMBER(request_store_answer(&store, second, large, size), 0);
    CHECK_NUMBER(first->phase, REQUEST_SPENT); /* it is known that it was carried out */
    CHECK_NUMBER(second->phase, REQUEST_ANSWERED);
    struct stat stat;
    CHECK_NUMBER(fstat(store.fd, &stat), 0);
    CHECK(stat.st_blocks * 512 < (off_t)(size + 65536)); /* its memory was given back */
    request_store_finish(&store);
}

TEST(when_all_wait_there_is_no_room_for_another)
{
    char id[32];
    struct request_record *record;
    CHECK_NUMBER(request_store_create(&store), 0);
    for (int i = 0; i < REQUESTS_MAX; i++) {
        text_format(id, sizeof id, "%d", i);
        add(1, id);
    }
    CHECK_NUMBER(request_store_add(&store, 1, "more", "", 0, 0, &record), -ENOBUFS);
    answer(request_store_find(&store, 1, "5"), "");
    CHECK_NUMBER(request_store_add(&store, 1, "more", "", 0, 0, &record), 0);
    request_store_finish(&store);
}

TEST(what_is_none_of_ours_or_needs_a_later_reader_is_refused)
{
    struct request_store found;
    bool moved;
    CHECK_NUMBER(request_store_create(&store), 0);
    int fd = fcntl(store.fd, F_DUPFD_CLOEXEC, 3);
    set_version(fd, 99, 98);
    CHECK_NUMBER(request_store_open(&found, fd, &moved), -EPROTO);
    CHECK_NUMBER(request_store_open(&found, open("/dev/null", O_RDWR | O_CLOEXEC), &moved),
                 -EPROTO);
    request_store_finish(&store);
}
