/* The requests' memfd whose calls and allocations fail, one after the other: a request is there
 * whole or not at all, and what cannot be taken up now is there for the next launcher. */
#include "base/cleanup.h"
#include "faults.h"
#include "service-launcher/request-store.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CALL   "{\"method\":\"x.Start\"}"
#define ANSWER "{\"parameters\":{}}"

static const struct request_item_record items[2] = {{.name = "a", .slot = 3, .standing = 5},
                                                    {.name = "b", .slot = 9, .standing = 6}};
static struct request_store store;
static int expected;

static void each(void (*attempt)(void), size_t least)
{
    static const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        expected = errors[i];
        CHECK(fault_each(FAULT_CALLS, errors[i], attempt) >= least);
    }
    expected = ENOMEM;
    fault_each(FAULT_MEMORY, ENOMEM, attempt);
}

static void check_result(int failed)
{
    CHECK(failed >= 0 || (fault_happened() && failed == -expected));
}

static void create(void)
{
    faults_begin();
    int failed = request_store_create(&store);
    faults_end();
    check_result(failed);
    CHECK(!failed || store.fd < 0);
    request_store_finish(&store);
}

static struct request_record *add(const char *id)
{
    struct request_record *record = NULL;
    CHECK_NUMBER(request_store_add(&store, 1, id, CALL, sizeof CALL - 1, 7, &record), 0);
    return record;
}

static void check_text(int failed, struct buffer *buffer, const char *text)
{
    check_result(failed);
    if (!failed)
        CHECK_TEXT(buffer_bytes(buffer), text);
    buffer_finish(buffer);
}

/* Asked, begun, prepared and answered; each step comes about, or the request is what it was. */
static void live(void)
{
    struct request_record *record = NULL;
    struct request_item_record *read = NULL;
    struct buffer call = {0}, answer = {0};
    CHECK_NUMBER(request_store_create(&store), 0);
    faults_begin();
    int added = request_store_add(&store, 1, "one", CALL, sizeof CALL - 1, 7, &record);
    faults_end();
    check_result(added);
    CHECK(!request_store_find(&store, 1, "one") == (added < 0));
    if (added)
        record = add("one");
    faults_begin();
    int called = request_store_read_call(&store, record, &call);
    int begun = request_store_begin(&store, record, items, 2);
    faults_end();
    check_text(called, &call, CALL);
    check_result(begun);
    CHECK_NUMBER(record->phase, begun ? REQUEST_ASKED : REQUEST_BEGUN);
    if (begun)
        CHECK_NUMBER(request_store_begin(&store, record, items, 2), 0);
    faults_begin();
    int set = request_store_set_standing(&store, record, 1, 8);
    ssize_t count = request_store_read_items(&store, record, &read);
    int prepared = request_store_prepare(&store, record, ANSWER, sizeof ANSWER - 1, 77);
    faults_end();
    check_result(set);
    check_result((int)count);
    check_result(prepared);
    if (count > 0)
        CHECK(count == 2 && read[0].slot == 3 && read[1].standing == (set ? 6 : 8));
    free(read);
    CHECK_NUMBER(record->commit, prepared ? 0 : 77);
    faults_begin();
    int answered = request_store_answer(&store, record, ANSWER, sizeof ANSWER - 1);
    faults_end();
    check_result(answered);
    CHECK_NUMBER(record->phase, answered ? REQUEST_SPENT : REQUEST_ANSWERED);
    if (!answered) {
        faults_begin();
        int failed = request_store_read_answer(&store, record, &answer);
        faults_end();
        check_text(failed, &answer, ANSWER);
    }
    request_store_finish(&store);
}

TEST(a_request_is_what_it_was_or_a_step_further_whichever_call_fails)
{
    each(create, 3);
    each(live, 8);
}

/* ---- the next launcher --------------------------------------------------------------------- */

static bool of_another_version;

static void open_again(void)
{
    struct buffer buffer = {0};
    struct request_item_record *read = NULL;
    bool moved = false;
    CHECK_NUMBER(request_store_create(&store), 0);
    add("asked");
    CHECK_NUMBER(request_store_begin(&store, add("begun"), items, 2), 0);
    CHECK_NUMBER(request_store_answer(&store, add("answered"), ANSWER, sizeof ANSWER - 1), 0);
    AUTO_CLOSE int held = fcntl(store.fd, F_DUPFD_CLOEXEC, 3);
    request_store_finish(&store);
    if (of_another_version) { /* what it says of its layout, at 1024 */
        const uint32_t words[2] = {99, 1};
        CHECK_NUMBER(pwrite(held, words, sizeof words, 1032), sizeof words);
    }
    int fd = fcntl(held, F_DUPFD_CLOEXEC, 3);
    faults_begin();
    int failed = request_store_open(&store, fd, &moved);
    faults_end();
    check_result(failed);
    CHECK(!failed || (store.fd < 0 && !moved));
    if (failed)
        CHECK_NUMBER(request_store_open(&store, fcntl(held, F_DUPFD_CLOEXEC, 3), &moved), 0);
    CHECK_NUMBER(moved, of_another_version);
    struct request_record *asked = request_store_find(&store, 1, "asked"),
                          *begun = request_store_find(&store, 1, "begun"),
                          *answered = request_store_find(&store, 1, "answered");
    CHECK(asked && begun && answered);
    CHECK_NUMBER(request_store_read_call(&store, asked, &buffer), 0);
    CHECK_TEXT(buffer_bytes(&buffer), CALL);
    buffer_consume(&buffer, buffer_used(&buffer));
    CHECK_NUMBER(request_store_read_items(&store, begun, &read), 2);
    CHECK(read && read[1].slot == 9 && !strcmp(read[1].name, "b"));
    free(read);
    CHECK_NUMBER(request_store_read_answer(&store, answered, &buffer), 0);
    CHECK_TEXT(buffer_bytes(&buffer), ANSWER);
    buffer_finish(&buffer);
    request_store_finish(&store);
}

TEST(what_cannot_be_taken_up_now_is_there_for_the_next_launcher)
{
    of_another_version = false;
    each(open_again, 3);
    of_another_version = true;
    each(open_again, 12);
}

static void interrupted(void)
{
    struct request_record *record = NULL;
    struct buffer buffer = {0};
    CHECK_NUMBER(request_store_create(&store), 0);
    faults_begin();
    CHECK_NUMBER(request_store_add(&store, 1, "one", CALL, sizeof CALL - 1, 7, &record), 0);
    CHECK_NUMBER(request_store_read_call(&store, record, &buffer), 0);
    faults_end();
    CHECK_TEXT(buffer_bytes(&buffer), CALL);
    buffer_finish(&buffer);
    request_store_finish(&store);
}

TEST(a_signal_while_it_reads_or_writes_does_no_harm)
{
    CHECK_NUMBER(fault_each_of("pwrite64", FAULT_CALLS, EINTR, interrupted), 1);
    CHECK_NUMBER(fault_each_of("pread64", FAULT_CALLS, EINTR, interrupted), 1);
}

/* ---- bounds, and damage -------------------------------------------------------------------- */

TEST(what_is_too_large_is_refused_and_what_is_damaged_is_not_read)
{
    char long_id[101];
    struct request_item_record *read = NULL;
    struct request_record *record = NULL;
    struct buffer buffer = {0};
    CHECK_NUMBER(request_store_create(&store), 0);
    CHECK_NUMBER(request_store_add(&store, 1, "one", CALL, SIZE_MAX / 2, 7, &record), -EMSGSIZE);
    memset(long_id, 'x', 100);
    long_id[100] = 0;
    CHECK_NUMBER(request_store_add(&store, 1, long_id, CALL, sizeof CALL - 1, 7, &record),
                 -EMSGSIZE);
    record = add("one");
    CHECK_NUMBER(request_store_begin(&store, record, items, SIZE_MAX / 1024), -EMSGSIZE);
    CHECK_NUMBER(request_store_answer(&store, record, ANSWER, SIZE_MAX / 2), -EMSGSIZE);
    CHECK_NUMBER(record->phase, REQUEST_SPENT);
    record = add("two");
    record->items = UINT32_MAX;
    CHECK_NUMBER(request_store_read_items(&store, record, &read), -EPROTO);
    record->answer_bytes = UINT64_MAX;
    CHECK_NUMBER(request_store_read_answer(&store, record, &buffer), -EPROTO);
    request_store_finish(&store);
}

TEST(a_file_that_is_cut_short_is_refused)
{
    bool moved;
    for (off_t bytes = 0; bytes <= 4096; bytes += 1024) {
        CHECK_NUMBER(request_store_create(&store), 0);
        add("one");
        AUTO_CLOSE int held = fcntl(store.fd, F_DUPFD_CLOEXEC, 3);
        request_store_finish(&store);
        CHECK_NUMBER(ftruncate(held, bytes), 0);
        struct request_store opened;
        CHECK(request_store_open(&opened, fcntl(held, F_DUPFD_CLOEXEC, 3), &moved) < 0);
        CHECK(opened.fd < 0);
    }
}

TEST(the_oldest_of_answers_that_are_kept_or_spent_goes_first)
{
    CHECK_NUMBER(request_store_create(&store), 0);
    struct request_record *spent = add("spent"), *answered = add("answered");
    request_store_spend(&store, spent);
    CHECK_NUMBER(request_store_answer(&store, answered, ANSWER, sizeof ANSWER - 1), 0);
    char id[] = "000000";
    for (int i = 0; i < 5000 && request_store_find(&store, 1, "answered"); i++) {
        snprintf(id, sizeof id, "%06d", i);
        CHECK(request_store_find(&store, 1, "answered") || !request_store_find(&store, 1, "spent"));
        CHECK_NUMBER(request_store_answer(&store, add(id), ANSWER, sizeof ANSWER - 1), 0);
    }
    CHECK(!request_store_find(&store, 1, "spent") && !request_store_find(&store, 1, "answered"));
    CHECK(request_store_find(&store, 1, id) != NULL);
    request_store_finish(&store);
}
