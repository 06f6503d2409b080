/* Requests with an id: attached to, taken up by the next launcher, answered once each. */
#include "fake-launcher.h"

#include "service-launcher/request-store.h"

#define NOBODY 65534

static const char *start_call(const char *id)
{
    static char parameters[200];
    text_format(parameters, sizeof parameters, "{\"names\":[\"a\"],\"id\":\"%s\"}", id);
    return call_of(INTERFACE "Start", parameters, "");
}

TEST(the_same_id_attaches_to_the_first_and_both_get_the_answer)
{
    begin();
    AUTO_CLOSE int first = dial();
    AUTO_CLOSE int second = dial();
    put(first, start_call("one"));
    turns(4);
    put(second, start_call("one"));
    turns(4);
    CHECK(!has_data(first) && !has_data(second));
    run_services();
    CHECK_VALUE(get(first), "parameters/results/0/outcome", "done");
    CHECK_VALUE(get(second), "parameters/results/0/outcome", "done");
    end();
}

TEST(an_answer_is_given_again_and_nothing_is_done_twice)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd,
        call_of(INTERFACE "Signal", "{\"names\":[\"web\"],\"signal\":\"HUP\",\"id\":\"s\"}", ""));
    CHECK_VALUE(get(fd), "parameters/results/0/outcome", "refused");
    put(fd, start_call("one"));
    turns(4);
    run_services();
    CHECK_VALUE(get(fd), "parameters/results/0/outcome", "done");
    /* It is running, so another start would say "already"; this one was carried out. */
    CHECK_VALUE(ask(fd, start_call("one")), "parameters/results/0/outcome", "done");
    CHECK_VALUE(ask(fd, start_call("two")), "parameters/results/0/outcome", "already");
    begin_again();
    AUTO_CLOSE int later = dial();
    CHECK_VALUE(ask(later, start_call("one")), "parameters/results/0/outcome", "done");
    end();
}

TEST(what_waits_is_waited_for_by_the_next_launcher)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, call_of(INTERFACE "Restart", "{\"names\":[\"a\"],\"id\":\"r\"}", ",\"more\":true"));
    turns(4);
    begin_again();
    AUTO_CLOSE int later = dial();
    put(later, call_of(INTERFACE "Restart", "{\"names\":[\"a\"],\"id\":\"r\"}", ",\"more\":true"));
    turns(4);
    const char *reply = get(later);
    CHECK_VALUE(reply, "continues", "true");
    CHECK_VALUE(reply, "parameters/progress/0/name", "a");
    run_services();
    reply = get(later);
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    CHECK_VALUE(reply, "parameters/results/0/state", "running");
    end();
}

TEST(a_request_that_a_newer_one_overtakes_is_so_for_the_next_launcher_too)
{
    begin();
    AUTO_CLOSE int fd = dial();
    AUTO_CLOSE int other = dial();
    put(fd, start_call("one"));
    turns(4);
    put(other, call_of(INTERFACE "Stop", "{\"names\":[\"a\"],\"id\":\"two\"}", ""));
    turns(4);
    begin_again();
    run_services();
    AUTO_CLOSE int later = dial();
    const char *reply = ask(later, start_call("one"));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "overtaken");
    CHECK_VALUE(reply, "parameters/results/0/by", "stop");
    end();
}

TEST(an_id_with_another_call_and_one_that_is_too_long_are_refused)
{
    char parameters[200];
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, start_call("one"));
    turns(4);
    run_services();
    get(fd);
    const char *reply =
        ask(fd, call_of(INTERFACE "Stop", "{\"names\":[\"a\"],\"id\":\"one\"}", ""));
    CHECK_VALUE(reply, "error", "org.varlink.service.InvalidParameter");
    CHECK_VALUE(reply, "parameters/parameter", "id");
    CHECK_VALUE(ask(fd, start_call("")), "parameters/parameter", "id");
    text_format(parameters, sizeof parameters, "%065d", 1);
    CHECK_VALUE(ask(fd, start_call(parameters)), "parameters/parameter", "id");
    end();
}

TEST(an_id_of_another_user_is_another_request)
{
    if (geteuid() != 0)
        return;
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, start_call("one"));
    turns(4);
    run_services();
    CHECK_VALUE(get(fd), "parameters/results/0/outcome", "done");
    launcher.control->group = (gid_t)-1;
    CHECK_NUMBER(seteuid(NOBODY), 0);
    AUTO_CLOSE int theirs = dial();
    CHECK_NUMBER(seteuid(0), 0);
    CHECK_VALUE(ask(theirs, start_call("one")), "error", "org.varlink.service.PermissionDenied");
    launcher.control->group = getegid();
    CHECK_NUMBER(seteuid(NOBODY), 0);
    AUTO_CLOSE int member = dial();
    CHECK_NUMBER(seteuid(0), 0);
    CHECK_VALUE(ask(member, start_call("one")), "parameters/results/0/outcome", "already");
    end();
}

TEST(a_client_that_goes_leaves_the_request_for_whoever_asks_again)
{
    begin();
    int fd = dial();
    put(fd, start_call("one"));
    turns(4);
    close(fd);
    turns(4);
    run_services();
    turns(4);
    AUTO_CLOSE int later = dial();
    CHECK_VALUE(ask(later, start_call("one")), "parameters/results/0/outcome", "done");
    end();
}

TEST(a_signal_that_may_have_been_sent_is_not_sent_again)
{
    static const char call[] = "{\"method\":\"org.conit.Launcher.Signal\",\"parameters\":"
                               "{\"names\":[\"a\",\"b\",\"web\"],\"signal\":\"HUP\",\"id\":\"s\"}}";
    struct request_item_record items[] = {{.name = "a", .standing = 2},    /* sent */
                                          {.name = "b", .standing = 1},    /* being sent */
                                          {.name = "web", .standing = 0}}; /* not yet */
    struct request_record *record;
    begin();
    AUTO_CLOSE int fd = dial();
    ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\",\"web\"],\"wait\":false}", ""));
    run_services();
    /* As the former launcher has left it. The hash is what the same call gives again. */
    CHECK_NUMBER(
        request_store_add(launcher.requests, geteuid(), "s", call, strlen(call), 0, &record), 0);
    CHECK_NUMBER(request_store_begin(launcher.requests, record, items, 3), 0);
    sent_signal = 0;
    begin_again();
    struct buffer answer = {0};
    record = request_store_find(launcher.requests, geteuid(), "s");
    CHECK_NUMBER(request_store_read_answer(launcher.requests, record, &answer), 0);
    const char *reply = buffer_bytes(&answer);
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    CHECK_VALUE(reply, "parameters/results/1/outcome", "failed");
    CHECK(strstr(reply, "whether it was sent is not known") != NULL);
    CHECK_VALUE(reply, "parameters/results/2/outcome", "done");
    CHECK_NUMBER(sent_signal, 1);
    buffer_finish(&answer);
    end();
}

TEST(a_reload_whose_files_are_in_force_is_finished_and_one_whose_are_not_is_done)
{
    static const char call[] =
        "{\"method\":\"org.conit.Launcher.Reload\",\"parameters\":{\"id\":\"r\"}}";
    static const char report[] =
        "{\"parameters\":{\"changes\":[{\"name\":\"n\",\"change\":\"new\"}]}}";
    struct request_record *record;
    begin();
    CHECK_NUMBER(
        request_store_add(launcher.requests, geteuid(), "r", call, strlen(call), 0, &record), 0);
    CHECK_NUMBER(request_store_prepare(launcher.requests, record, report, sizeof report, 77), 0);
    launcher.definitions_number = 77;
    finished_entries = 0;
    begin_again();
    CHECK_NUMBER(finished_entries, 1);
    record = request_store_find(launcher.requests, geteuid(), "r");
    CHECK_NUMBER(record->phase, REQUEST_ANSWERED);
    CHECK_NUMBER(record->answer_bytes, sizeof report);

    request_store_forget(launcher.requests, record);
    CHECK_NUMBER(
        request_store_add(launcher.requests, geteuid(), "r", call, strlen(call), 0, &record), 0);
    CHECK_NUMBER(request_store_prepare(launcher.requests, record, report, sizeof report, 78), 0);
    finished_entries = 0;
    begin_again();
    turns(4);
    CHECK_NUMBER(finished_entries, 0);
    record = request_store_find(launcher.requests, geteuid(), "r");
    CHECK_NUMBER(record->phase, REQUEST_ANSWERED);
    CHECK(record->answer_bytes != sizeof report);
    end();
}

TEST(a_reload_that_no_client_asked_for_is_finished_or_done_again_and_then_forgotten)
{
    struct reload_entry entry = {.change = RELOAD_NEW, .name = "n"};
    const struct reload_report report = {.entries = &entry, .count = 1};
    begin();
    struct request_record *record = control_keep_reload(&launcher, &report, 77);
    CHECK(record && record->phase == REQUEST_ASKED);
    control_forget_reload(&launcher, record);
    control_forget_reload(&launcher, NULL);
    CHECK(!request_store_next(launcher.requests, REQUEST_ASKED, 0));

    CHECK(control_keep_reload(&launcher, &report, 77) != NULL);
    launcher.definitions_number = 77;
    finished_entries = 0;
    begin_again();
    CHECK_NUMBER(finished_entries, 1);
    CHECK(!request_store_find(launcher.requests, getuid(), ""));

    CHECK(control_keep_reload(&launcher, &report, 78) != NULL);
    finished_entries = 0;
    reload_dry = true;
    reload_start = false;
    begin_again();
    CHECK_NUMBER(finished_entries, 0);
    CHECK(!reload_dry && reload_start);
    turns(4);
    CHECK(!request_store_find(launcher.requests, getuid(), ""));
    end();
}

/* All records wait for their answer: who has gone gives up the place first, the oldest of them. */
TEST(of_more_requests_than_are_kept_the_oldest_that_nobody_waits_for_is_forgotten)
{
    char id[20];
    begin();
    AUTO_CLOSE int waits = dial();
    put(waits, start_call("first"));
    turns(4);
    for (int i = 0; i < REQUESTS_MAX - 1; i++) {
        text_format(id, sizeof id, "n%d", i);
        int fd = dial();
        put(fd, start_call(id));
        turns(3);
        CHECK(request_store_find(launcher.requests, geteuid(), id) != NULL);
        close(fd);
        turns(2);
    }
    AUTO_CLOSE int more = dial();
    put(more, start_call("more"));
    turns(4);
    CHECK(!request_store_find(launcher.requests, geteuid(), "n0"));
    CHECK(request_store_find(launcher.requests, geteuid(), "n1") != NULL);
    run_services();
    CHECK_VALUE(get(waits), "parameters/results/0/outcome", "done");
    CHECK_VALUE(get(more), "parameters/results/0/outcome", "done");
    end();
}

/* A service that a former launcher's request was about, and that is not there any more. */
TEST(what_is_gone_is_nothing_to_wait_for)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, start_call("one"));
    turns(4);
    struct request_record *record = request_store_find(launcher.requests, geteuid(), "one");
    struct request_item_record *items = NULL;
    ssize_t count = request_store_read_items(launcher.requests, record, &items);
    CHECK(count >= 1);
    text_format(items[0].name, sizeof items[0].name, "another");
    CHECK_NUMBER(request_store_begin(launcher.requests, record, items, (size_t)count), 0);
    free(items);
    begin_again();
    AUTO_CLOSE int later = dial();
    const char *reply = ask(later, start_call("one"));
    CHECK_VALUE(reply, "parameters/results/0/name", "another");
    CHECK_VALUE(reply, "parameters/results/0/outcome", "failed");
    end();
}
