/* The control socket while calls and allocations fail, one after the other: each client gets its
 * answer, is told why not, or is hung up on and gets it when it asks again; nothing is done twice,
 * and the next client is served as ever. */
#include "fake-launcher.h"
#include "faults.h"

#include "service-launcher/request-store.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUIET_TURNS 8
#define WAIT_MS     5
#define PATIENCE    400 /* such waits; accepting pauses for half a second */
#define SHORT       30  /* for what may well not come */

static int patience = PATIENCE;
static bool services_run; /* while it waits: what it asked for comes about */

/* The next message, while the launcher's calls fail; "EOF" where it hangs up. NULL: none comes. */
static const char *answer(int fd)
{
    static char message[200000];
    for (int quiet = 0; quiet < patience; quiet++) {
        faults_begin();
        turns(1);
        faults_end();
        ssize_t got = recv(fd, message, sizeof message, MSG_PEEK | MSG_DONTWAIT);
        const char *end = got > 0 ? memchr(message, 0, (size_t)got) : NULL;
        if (end) {
            CHECK(recv(fd, message, (size_t)(end - message) + 1, MSG_DONTWAIT) > 0);
            return message;
        }
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return "EOF";
        if (quiet >= QUIET_TURNS && services_run)
            run_services();
        if (quiet >= QUIET_TURNS)
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, WAIT_MS);
    }
    return NULL;
}

static bool is_error(const char *reply)
{
    return !reply || strcmp(reply, "EOF") == 0 ||
           strncmp(value_at(reply, "error"), "absent", 6) != 0;
}

/* All clients have gone: nothing of them is left. */
static void check_nothing_left(void)
{
    for (int i = 0; i < PATIENCE && launcher.control->connection_count; i++)
        turns(1);
    CHECK_NUMBER(launcher.control->connection_count, 0);
    CHECK_NUMBER(launcher.control->input_bytes, 0);
    CHECK_NUMBER(launcher.control->output_bytes, 0);
}

/* ---- calls that are answered at once ------------------------------------------------------- */

static const struct row {
    const char *method, *parameters, *flags;
    const char *path, *value; /* of the answer */
    const char *again;        /* of the same call made again; NULL: as `value` */
    bool waits;               /* until services are where they are to be */
} * row;

/* A client whose call fails asks again on another connection, as slc does, with the same id. */
static void ask_twice(void)
{
    begin();
    services_run = row->waits;
    char call[2000];
    text_format(call, sizeof call, "%s", call_of(row->method, row->parameters, row->flags));
    int fd = dial();
    put(fd, call);
    const char *reply = answer(fd);
    bool good = !is_error(reply);
    CHECK(good || fault_happened());
    /* Without memory the manager refuses what it is asked for, and says why. */
    if (good && !(fault_happened() && strcmp(value_at(reply, row->path), "refused") == 0))
        CHECK_VALUE(reply, row->path, row->value);
    close(fd);
    check_nothing_left();
    fd = dial();
    put(fd, call);
    reply = answer(fd);
    if (good && is_error(reply) && fault_happened()) { /* the fault came only now */
        close(fd);
        fd = dial();
        put(fd, call);
        reply = answer(fd);
    }
    bool lost = reply && strcmp(value_at(reply, "error"), INTERFACE "AnswerNotKept") == 0;
    char value[200];
    text_format(value, sizeof value, "%s", reply ? value_at(reply, row->path) : "none");
    CHECK(!lost || fault_happened()); /* it was done, and nobody knows what came of it */
    if (!lost && strcmp(value, row->value) != 0 &&
        !(fault_happened() && strcmp(value, "refused") == 0))
        CHECK_TEXT(value, row->again ? row->again : row->value);
    close(fd);
    check_served();
    check_nothing_left();
    end();
}

static const struct row rows[] = {
    {INTERFACE "List", "", "", "parameters/services/0/name", "a"},
    {INTERFACE "List", "{\"patterns\":[\"w*\"]}", "", "parameters/services/0/name", "web"},
    {INTERFACE "Status", "{\"names\":[\"b\",\"a\"]}", "", "parameters/services/0/name", "b"},
    {INTERFACE "Resolve", "{\"names\":[\"tty@9\",\"a\"]}", "", "parameters/names/0", "tty@9"},
    {"org.varlink.service.GetInfo", "", "", "parameters/vendor", "conit"},
    {INTERFACE "DrainJournal", "", "", "parameters/drained", "false"},
    {INTERFACE "Signal", "{\"names\":[\"web\"],\"signal\":\"HUP\"}", "",
     "parameters/results/0/outcome", "refused"},
    {INTERFACE "Reset", "{\"names\":[\"a\"]}", "", "parameters/results/0/outcome", "already"},
    {INTERFACE "Start", "{\"names\":[\"b\"],\"wait\":false}", "", "parameters/results/0/name", "b"},
    {INTERFACE "Reload", "{\"dry_run\":true}", "", "parameters/warnings", "[\"c: odd\"]"},
};

TEST(a_client_gets_its_answer_or_gets_it_when_it_asks_again)
{
    static const int errors[] = {EIO, ENOMEM};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        row = &rows[i];
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, ask_twice) >= 3);
        for (size_t k = 0; k < sizeof errors / sizeof errors[0] - (i > 0); k++)
            CHECK(fault_each(FAULT_CALLS, errors[k], ask_twice) >= 3);
    }
}

/* ---- calls that wait, with an id ----------------------------------------------------------- */

static const struct row kept_rows[] = {
    {INTERFACE "Start", "{\"names\":[\"b\"],\"id\":\"one\"}", "", "parameters/results/0/outcome",
     "done", "already", true},
    {INTERFACE "Stop", "{\"names\":[\"a\",\"web\"],\"id\":\"one\"}", "",
     "parameters/results/0/outcome", "already", "done", true},
    {INTERFACE "Restart", "{\"names\":[\"web\"],\"id\":\"one\"}", "",
     "parameters/results/0/outcome", "done", NULL, true},
    {INTERFACE "Signal", "{\"names\":[\"web\"],\"signal\":\"HUP\",\"id\":\"one\"}", "",
     "parameters/results/0/outcome", "refused"},
};

TEST(a_request_with_an_id_is_answered_once_it_is_asked_again)
{
    for (size_t i = 0; i < sizeof kept_rows / sizeof kept_rows[0]; i++) {
        row = &kept_rows[i];
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, ask_twice) >= 5);
        CHECK(fault_each(FAULT_CALLS, ENOMEM, ask_twice) >= 5);
        CHECK(fault_each(FAULT_CALLS, EIO, ask_twice) >= 5);
    }
}

/* ---- the next launcher --------------------------------------------------------------------- */

static const char *in_call = INTERFACE "Start";

/* What the former launcher was asked: carried out or waited for, whatever fails when it is taken
 * up. */
static void take_up_request(void)
{
    begin();
    char call[2000];
    text_format(call, sizeof call, "%s",
                call_of(in_call, "{\"names\":[\"b\",\"web\"],\"id\":\"one\"}", ""));
    int fd = dial();
    put(fd, call);
    turns(4);
    kill_launcher();
    close(fd);
    faults_begin();
    int failed = take_up();
    faults_end();
    CHECK(!failed || fault_happened());
    if (failed) /* init starts another */
        CHECK_NUMBER(take_up(), 0);
    services_run = true;
    fd = dial();
    put(fd, call);
    const char *reply = answer(fd);
    if (is_error(reply) && strcmp(value_at(reply, "error"), INTERFACE "AnswerNotKept") != 0) {
        close(fd); /* the fault came only now */
        fd = dial();
        put(fd, call);
        reply = answer(fd);
    }
    CHECK(reply);
    if (reply && is_error(reply)) {
        CHECK(fault_happened());
        CHECK_VALUE(reply, "error", INTERFACE "AnswerNotKept");
        CHECK_VALUE(reply, "parameters/id", "one");
    } else if (reply) {
        CHECK_VALUE(reply, "parameters/results/0/name", "b");
    }
    close(fd);
    run_services();
    fd = dial();
    reply = ask(fd, list_call());
    CHECK_VALUE(reply, "parameters/services/0/state", "running"); /* a, which b needs */
    CHECK_VALUE(reply, "parameters/services/1/state", "running");
    close(fd);
    check_served();
    check_nothing_left();
    end();
}

TEST(what_the_former_launcher_was_asked_comes_about_whatever_fails)
{
    in_call = INTERFACE "Start";
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, take_up_request) >= 5);
    CHECK(fault_each(FAULT_CALLS, EIO, take_up_request) >= 5);
    in_call = INTERFACE "Restart";
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, take_up_request) >= 5);
    CHECK(fault_each(FAULT_CALLS, EIO, take_up_request) >= 5);
}

/* A reload that the former launcher was killed in, when its texts were in force already. */
static void leave_reload(const char *call)
{
    static const char report[] =
        "{\"parameters\":{\"changes\":[{\"name\":\"n\",\"change\":\"new\"}]}}";
    struct request_record *record;
    AUTO_CLOSE int fd = dial();
    ask(fd, call);
    record = request_store_find(launcher.requests, geteuid(), "r");
    uint64_t hash = record->call_hash;
    request_store_forget(launcher.requests, record);
    CHECK_NUMBER(
        request_store_add(launcher.requests, geteuid(), "r", call, strlen(call), hash, &record), 0);
    CHECK_NUMBER(request_store_prepare(launcher.requests, record, report, sizeof report, 77), 0);
    launcher.definitions_number = 77;
    finished_entries = 0;
    kill_launcher();
}

static void check_finished(void)
{
    const struct request_record *record = request_store_find(launcher.requests, geteuid(), "r");
    CHECK_NUMBER(record->phase, REQUEST_ANSWERED);
    CHECK_NUMBER(finished_entries, 1);
}

static bool asked_meanwhile; /* whoever had asked for it asks again, at once */

static void finish_reload(void)
{
    begin();
    char call[200];
    text_format(call, sizeof call, "%s", call_of(INTERFACE "Reload", "{\"id\":\"r\"}", ""));
    leave_reload(call);
    faults_begin();
    int failed = take_up();
    faults_end();
    CHECK(!failed || fault_happened());
    if (failed) /* init starts another */
        CHECK_NUMBER(take_up(), 0);
    if (asked_meanwhile) {
        AUTO_CLOSE int fd = dial();
        const char *reply = ask(fd, call);
        CHECK_VALUE(reply, "parameters/changes/0/name", "n");
    }
    for (int i = 0; i < PATIENCE && !finished_entries; i++) {
        turns(1);
        if (!finished_entries)
            poll(NULL, 0, WAIT_MS);
    }
    check_finished();
    check_nothing_left();
    end();
}

TEST(a_reload_that_the_former_launcher_was_in_is_finished_once_there_is_memory)
{
    asked_meanwhile = true;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, finish_reload) >= 10);
    asked_meanwhile = false;
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, finish_reload) >= 10);
}

static void keep_reload(void)
{
    struct reload_entry entry = {.change = RELOAD_NEW, .name = "n"};
    const struct reload_report report = {.entries = &entry, .count = 1};
    begin();
    faults_begin();
    struct request_record *record = control_keep_reload(&launcher, &report, 77);
    faults_end();
    CHECK(record || fault_happened());
    control_forget_reload(&launcher, record);
    CHECK(!request_store_next(launcher.requests, REQUEST_ASKED, 0));
    end();
}

TEST(a_reload_that_cannot_be_kept_is_carried_out_all_the_same)
{
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, keep_reload) >= 1);
    CHECK(fault_each(FAULT_CALLS, ENOSPC, keep_reload) >= 2);
}

/* ---- those who watch ----------------------------------------------------------------------- */

/* A monitor that cannot be told of a change is hung up on: it never misses one and goes on. */
static void monitor(void)
{
    begin();
    services_run = false;
    int fd = dial(), other = dial();
    put(fd, call_of(INTERFACE "Monitor", "{\"initial\":true}", ",\"more\":true"));
    const char *reply = answer(fd);
    close(other); /* the fault may have been its */
    other = dial();
    put(other, call_of(INTERFACE "Start", "{\"names\":[\"web\"]}", ",\"oneway\":true"));
    services_run = true;
    for (int i = 0; i < 6 && !is_error(reply) && !strstr(reply, "\"running\""); i++)
        reply = answer(fd);
    CHECK(!is_error(reply) || fault_happened());
    CHECK(is_error(reply) || strstr(reply, "\"running\""));
    close(fd);
    close(other);
    check_served();
    check_nothing_left();
    end();
}

TEST(who_watches_is_told_or_hung_up_on)
{
    patience = SHORT; /* nobody is started by a client whose call failed */
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, monitor) >= 5);
    CHECK(fault_each(FAULT_CALLS, EIO, monitor) >= 5);
    patience = PATIENCE;
}
