/* What the writer makes of the queue and the backlogs that a journal has left which was killed. */
#include "service-journal/writer.h"
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOT    1
#define NAME    "web"
#define WAIT_MS 20000 /* only an error takes that long */

static struct queue queue;
static struct backlogs backlogs;
static struct journal_written written[SLOT + 1];
static char logs[] = "/tmp/test-journal-writer-XXXXXX";

/* As the reader puts a step of its own. Returns where it begins. */
static uint64_t put(const char *text)
{
    uint64_t at = queue_head(&queue);
    size_t room, bytes = strlen(text);

    queue_begin(&queue);
    char *place = queue_place(&queue, SLOT, 0, bytes, &room);
    CHECK(place != NULL);
    memcpy(place, text, bytes);
    queue_put(&queue, bytes, 0);
    queue_commit(&queue);
    return at;
}

static struct book *begin(struct writer *writer)
{
    CHECK_NUMBER(queue_create(&queue), 0);
    CHECK_NUMBER(backlogs_create(&backlogs), 0);
    CHECK_NUMBER(writer_init(writer, &queue, &backlogs, logs, NULL), 0);
    return writer_open(writer, SLOT, NAME, NULL, &QUOTA_DEFAULT);
}

static void be_taking_back(uint64_t claimed)
{
    *backlogs.intent = (struct backlogs_intent){1, claimed, queue_head(&queue)};
}

TEST(a_journal_that_ends_does_not_wait_for_what_was_taken_back_of_it)
{
    static struct writer writer;
    struct book *book = begin(&writer);
    put("one\n");
    uint64_t two = put("two\n");

    writer_end(&writer, book);
    CHECK(book->end_at > two);
    be_taking_back(two);
    writer_restore(&writer);
    CHECK_NUMBER(queue_head(&queue), two);
    CHECK_NUMBER(book->end_at, two);
    CHECK_NUMBER(backlog_used(book->backlog), 4);
}

TEST(what_is_written_already_is_not_taken_back_whatever_the_memory_says)
{
    static struct writer writer;
    struct book *book = begin(&writer);
    uint64_t one = put("one\n"), two = put("two\n");

    queue_done(&queue, two);
    be_taking_back(one);
    uint64_t head = queue_head(&queue);
    writer_restore(&writer);
    CHECK_NUMBER(queue_head(&queue), head);
    CHECK(!book->backlog);
}

static void check_file(const char *wanted)
{
    char path[sizeof logs + 32], text[64] = "";
    snprintf(path, sizeof path, "%s/" NAME "/current", logs);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof text - 1) >= 0);
    CHECK_TEXT(text, wanted);
    close(fd);
    unlink(path);
    snprintf(path, sizeof path, "%s/" NAME, logs);
    CHECK_NUMBER(rmdir(path), 0);
    CHECK_NUMBER(rmdir(logs), 0);
}

static void drain(struct writer *writer)
{
    struct pollfd bell = {.fd = writer->reader_fd, .events = POLLIN};
    uint64_t number = writer_drain(writer, WRITER_SYNC_NOTHING), rung;
    while (writer_drained(writer) < number) {
        CHECK_NUMBER(poll(&bell, 1, WAIT_MS), 1);
        if (!bell.revents)
            return;
        CHECK(read(bell.fd, &rung, sizeof rung) > 0);
    }
}

/* Has the thread stand still for ever: the next test has the same queue. */
static void park(struct writer *writer)
{
    struct pollfd bell = {.fd = writer->reader_fd, .events = POLLIN};
    uint64_t rung;
    writer_stop(writer, true);
    while (!writer_is_stopped(writer)) {
        CHECK_NUMBER(poll(&bell, 1, WAIT_MS), 1);
        if (!bell.revents)
            return;
        CHECK(read(bell.fd, &rung, sizeof rung) > 0);
    }
}

TEST(lines_that_there_is_no_memory_to_keep_are_counted_and_said_when_there_is)
{
    static struct writer writer;
    static uint64_t dropped;
    char folder[] = "/tmp/test-journal-memory-XXXXXX", path[64], text[200] = "";

    CHECK(mkdtemp(folder) != NULL);
    CHECK_NUMBER(queue_create(&queue), 0);
    CHECK_NUMBER(backlogs_create(&backlogs), 0);
    CHECK_NUMBER(writer_init(&writer, &queue, &backlogs, folder, NULL), 0);
    struct book *book = writer_open(&writer, SLOT, NAME, NULL, &QUOTA_DEFAULT);
    book->no_room = &dropped;
    snprintf(path, sizeof path, "%s/" NAME, folder);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); /* where the folder should be */
    const int memory = backlogs.fd;
    backlogs.fd = -1; /* no ring can be mapped */
    CHECK_NUMBER(writer_start(&writer, written), 0);
    put("one\ntwo\n");
    drain(&writer);
    CHECK_NUMBER(dropped, 2);
    put("three\n");
    drain(&writer);
    CHECK_NUMBER(dropped, 3);
    backlogs.fd = memory;
    unlink(path);
    put("four\n");
    drain(&writer);
    park(&writer);
    snprintf(path, sizeof path, "%s/" NAME "/current", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    CHECK(strstr(text, " +warning dropped lines=3 reason=") != NULL);
    CHECK_TEXT(strchr(text, '\n') ? strchr(text, '\n') : "", "\nfour\n");
    CHECK_NUMBER(dropped, 3);
    unlink(path);
    *strrchr(path, '/') = 0;
    CHECK_NUMBER(rmdir(path), 0);
    CHECK_NUMBER(rmdir(folder), 0);
}

/* The batch under way was of three lines, of which the file took a line and a half. */
TEST(while_a_disk_hangs_what_a_killed_journal_had_begun_stays_in_front_of_what_it_kept)
{
    static struct writer writer;
    struct backlog_pool pool = {BACKLOG_POOL_BYTES};
    struct backlog left;

    CHECK(mkdtemp(logs) != NULL);
    struct book *book = begin(&writer);
    put("one\n");
    uint64_t two = put("two\nthree\n");
    uint64_t rest = queue_head(&queue);
    CHECK_NUMBER(backlogs_open_one(&backlogs, &pool, SLOT, NAME, NULL, NULL, &left), 0);
    backlog_give_record_back(&left, &pool, "o\nthree\n", 8,
                             &(struct backlog_record){two, rest, true}, 2);
    put("four\n");

    writer_restore(&writer);
    writer_take_back(&writer);
    CHECK_NUMBER(queue_head(&queue), rest);
    CHECK_NUMBER(backlog_used(book->backlog), 8 + 5);
    CHECK_NUMBER(writer_start(&writer, written), 0);
    drain(&writer);
    check_file("one\ntwo\nthree\nfour\n");
}
