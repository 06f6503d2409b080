/* The control socket: what each method answers. */
#include "fake-launcher.h"

#include "base/clock.h"

/* ---- reading -------------------------------------------------------------------------------- */

TEST(list_gives_every_service_sorted_with_all_its_fields)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, list_call());
    CHECK_VALUE(reply, "parameters/services/0/name", "a");
    CHECK_VALUE(reply, "parameters/services/1/name", "b");
    CHECK_VALUE(reply, "parameters/services/2/name", "web");
    CHECK_VALUE(reply, "parameters/services/0/state", "stopped");
    CHECK_VALUE(reply, "parameters/services/0/type", "daemon");
    CHECK_VALUE(reply, "parameters/services/0/pid", "null");
    CHECK_VALUE(reply, "parameters/services/0/restarts", "0");
    CHECK_VALUE(reply, "parameters/services/0/exit", "null");
    CHECK_NUMBER(strlen(value_at(reply, "parameters/services/0/since")), 27);
    CHECK_VALUE(reply, "parameters/services/3", "absent");
    CHECK_VALUE(reply, "continues", "absent");
    end();
}

TEST(list_takes_patterns_and_refuses_names_that_are_none)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "List", "{\"patterns\":[\"w*\",\"[x-z]\"]}", ""));
    CHECK_VALUE(reply, "parameters/services/0/name", "web");
    CHECK_VALUE(reply, "parameters/services/1", "absent");
    reply = ask(fd, call_of(INTERFACE "List", "{\"patterns\":[\"wab\"]}", ""));
    CHECK_VALUE(reply, "error", INTERFACE "NoSuchService");
    CHECK_VALUE(reply, "parameters/name", "wab");
    CHECK_VALUE(reply, "parameters/nearest", "web");
    CHECK_VALUE(reply, "parameters/why", "null");
    reply = ask(fd, call_of(INTERFACE "List", "{\"patterns\":[\"a/b\"]}", ""));
    CHECK_VALUE(reply, "error", INTERFACE "NoSuchService");
    CHECK_VALUE(reply, "parameters/why", "has a '/'");
    reply = ask(fd, call_of(INTERFACE "List", "{\"failed\":true}", ""));
    CHECK_VALUE(reply, "parameters/services", "[]");
    end();
}

TEST(status_gives_details_in_the_order_asked_for)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "Status", "{\"names\":[\"b\",\"a\",\"b\"]}", ""));
    CHECK_VALUE(reply, "parameters/services/0/name", "b");
    CHECK_VALUE(reply, "parameters/services/1/name", "a");
    CHECK_VALUE(reply, "parameters/services/2", "absent");
    CHECK_VALUE(reply, "parameters/services/0/dependencies/0",
                "{\"kind\":\"needs\",\"name\":\"a\",\"state\":\"stopped\"}");
    CHECK_VALUE(reply, "parameters/services/1/dependencies/0",
                "{\"kind\":\"needed-by\",\"name\":\"b\",\"state\":\"stopped\"}");
    CHECK_VALUE(reply, "parameters/services/0/processes", "[100,101,102]");
    CHECK_VALUE(reply, "parameters/services/0/memory", "4096");
    CHECK_VALUE(reply, "parameters/services/0/journal", "/var/log/x/b");
    CHECK_VALUE(reply, "parameters/services/0/journal_counts", "null");
    end();
}

TEST(the_interface_describes_itself)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of("org.varlink.service.GetInfo", "", ""));
    CHECK_VALUE(reply, "parameters/interfaces", "[\"org.varlink.service\",\"org.conit.Launcher\"]");
    reply = ask(fd, call_of("org.varlink.service.GetInterfaceDescription",
                            "{\"interface\":\"org.conit.Launcher\"}", ""));
    json_t *root = json_loads(reply, 0, NULL);
    CHECK_TEXT(
        json_string_value(json_object_get(json_object_get(root, "parameters"), "description")),
        varlink_launcher_description);
    json_decref(root);
    reply = ask(
        fd, call_of("org.varlink.service.GetInterfaceDescription", "{\"interface\":\"x.y\"}", ""));
    CHECK_VALUE(reply, "error", "org.varlink.service.InterfaceNotFound");
    end();
}

/* Each `method` of the description can be called, and there is no other. */
TEST(every_method_described_is_there)
{
    const char *at = varlink_launcher_description;
    int methods = 0;
    begin();
    AUTO_CLOSE int fd = dial();
    while ((at = strstr(at, "\nmethod "))) {
        char name[100];
        at += strlen("\nmethod ");
        text_format(name, sizeof name, INTERFACE "%.*s", (int)strcspn(at, "("), at);
        const char *reply = ask(fd, call_of(name, "{\"no_such_parameter\":1}", ""));
        CHECK_VALUE(reply, "error", "org.varlink.service.InvalidParameter");
        CHECK_VALUE(reply, "parameters/parameter", "no_such_parameter");
        methods++;
    }
    CHECK_NUMBER(methods, 16);
    end();
}

TEST(wrong_calls_get_the_standard_errors)
{
    static const struct {
        const char *method, *parameters, *flags, *error, *key, *value;
    } rows[] = {
        {INTERFACE "Nix", "", "", "MethodNotFound", "method", INTERFACE "Nix"},
        {"a.b.Nix", "", "", "InterfaceNotFound", "interface", "a.b"},
        {"Nix", "", "", "InvalidParameter", "parameter", "method"},
        {INTERFACE "Start", "", "", "InvalidParameter", "parameter", "names"},
        {INTERFACE "Start", "{\"names\":[]}", "", "InvalidParameter", "parameter", "names"},
        {INTERFACE "Start", "{\"names\":\"a\"}", "", "InvalidParameter", "parameter", "names"},
        {INTERFACE "Start", "{\"names\":[1]}", "", "InvalidParameter", "parameter", "names"},
        {INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":1}", "", "InvalidParameter", "parameter",
         "wait"},
        {INTERFACE "Start", "{\"names\":[\"a\"],\"timeout_ms\":-5}", "", "InvalidParameter",
         "parameter", "timeout_ms"},
        {INTERFACE "ShutDown", "{\"how\":\"off\"}", "", "InvalidParameter", "parameter", "how"},
        {INTERFACE "Monitor", "", "", "ExpectedMore", NULL, NULL},
    };
    begin();
    AUTO_CLOSE int fd = dial();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *reply = ask(fd, call_of(rows[i].method, rows[i].parameters, rows[i].flags));
        char error[100], path[100];
        text_format(error, sizeof error, "org.varlink.service.%s", rows[i].error);
        CHECK_VALUE(reply, "error", error);
        text_format(path, sizeof path, "parameters/%s", rows[i].key ? rows[i].key : "");
        if (rows[i].key)
            CHECK_VALUE(reply, path, rows[i].value);
    }
    CHECK(asked_how == SHUT_DOWN_NONE);
    end();
}

TEST(sixty_five_patterns_are_refused)
{
    char parameters[1000] = "{\"patterns\":[\"a\"";
    struct text text = {parameters, sizeof parameters, strlen(parameters), false};
    begin();
    AUTO_CLOSE int fd = dial();
    for (int i = 0; i < 64; i++)
        text_add(&text, ",\"a\"");
    text_add(&text, "]}");
    CHECK_VALUE(ask(fd, call_of(INTERFACE "List", parameters, "")), "parameters/parameter",
                "patterns");
    end();
}

/* ---- changing ------------------------------------------------------------------------------- */

/* The launcher settles once a turn; here after each batch of calls. */
static void settle(void)
{
    manager_settle(&launcher.manager);
    run_services();
}

TEST(start_replies_once_all_has_settled_and_says_so_of_what_runs_already)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\"],\"id\":\"x\"}", ""));
    turns(5);
    CHECK(!has_data(fd));
    settle();
    const char *reply = get(fd);
    CHECK_VALUE(reply, "parameters/results/0/name", "b");
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    CHECK_VALUE(reply, "parameters/results/0/state", "running");
    reply = ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\",\"a\"]}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "already");
    CHECK_VALUE(reply, "parameters/results/1/outcome", "already");
    end();
}

TEST(stop_takes_along_what_needs_it_and_says_so)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\"]}", ""));
    turns(5);
    settle();
    get(fd);
    put(fd, call_of(INTERFACE "Stop", "{\"names\":[\"a\"]}", ""));
    turns(5);
    settle();
    const char *reply = get(fd);
    CHECK_VALUE(reply, "parameters/results/0/name", "a");
    CHECK_VALUE(reply, "parameters/results/0/taken_along", "false");
    CHECK_VALUE(reply, "parameters/results/1/name", "b");
    CHECK_VALUE(reply, "parameters/results/1/taken_along", "true");
    CHECK_VALUE(reply, "parameters/results/1/outcome", "done");
    end();
}

TEST(a_request_with_more_tells_what_it_waits_for_and_then_its_results)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\"]}", ",\"more\":true"));
    turns(5);
    manager_settle(&launcher.manager);
    const char *reply = get(fd);
    CHECK_VALUE(reply, "continues", "true");
    CHECK_VALUE(reply, "parameters/progress/0/name", "b");
    CHECK_VALUE(reply, "parameters/progress/0/state", "waiting");
    CHECK_VALUE(reply, "parameters/pending", "1");
    run_services();
    do
        reply = get(fd);
    while (strstr(reply, "progress"));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    CHECK_VALUE(reply, "continues", "absent");
    end();
}

TEST(progress_is_repeated_while_nothing_changes)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\"]}", ",\"more\":true"));
    turns(5);
    manager_settle(&launcher.manager);
    get(fd);
    get(fd);
    /* The next comes by the timer: it is set to no more than 2 s from now. */
    CHECK(launcher.loop.timers != NULL);
    CHECK(launcher.loop.timers->at_ns <= clock_now_ns() + 2 * NS_PER_SEC);
    end();
}

TEST(without_waiting_the_reply_comes_at_once)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply =
        ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":false}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "begun");
    settle();
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

TEST(a_time_limit_ends_the_waiting_and_not_the_start)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply =
        ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\"],\"timeout_ms\":1}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "timed-out");
    settle();
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    end();
}

TEST(a_request_that_is_overtaken_says_by_what)
{
    begin();
    AUTO_CLOSE int one = dial(), two = dial();
    put(one, call_of(INTERFACE "Start", "{\"names\":[\"b\"]}", ""));
    turns(5);
    put(two, call_of(INTERFACE "Stop", "{\"names\":[\"b\"]}", ""));
    turns(5);
    settle();
    const char *reply = get(one);
    CHECK_VALUE(reply, "parameters/results/0/outcome", "overtaken");
    CHECK_VALUE(reply, "parameters/results/0/by", "stop");
    end();
}

TEST(a_client_that_goes_while_it_waits_leaves_nothing_behind)
{
    begin();
    int fd = dial();
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"b\"]}", ""));
    turns(5);
    CHECK(!list_empty(&launcher.manager.requests));
    close(fd);
    turns(5);
    CHECK(list_empty(&launcher.manager.requests));
    CHECK_NUMBER(launcher.control->connection_count, 0);
    settle();
    CHECK_TEXT(fake_shown(&fake, "b"), "running");
    end();
}

TEST(a_oneway_call_is_carried_out_and_gets_no_reply)
{
    begin();
    int fd = dial();
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"]}", ",\"oneway\":true"));
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
    settle();
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    /* Also when the client is gone before it is read, with several at once. */
    put(fd, call_of(INTERFACE "Stop", "{\"names\":[\"a\"]}", ",\"oneway\":true"));
    put(fd, call_of(INTERFACE "Start", "{\"names\":[\"web\"]}", ",\"oneway\":true"));
    close(fd);
    turns(10);
    settle();
    CHECK_TEXT(fake_shown(&fake, "a"), "stopped");
    CHECK_TEXT(fake_shown(&fake, "web"), "running");
    end();
}

TEST(reload_says_what_has_changed)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "Reload", "{\"dry_run\":true}", ""));
    CHECK(reload_dry && reload_start);
    CHECK_VALUE(reply, "parameters/changes/0/change", "changed");
    CHECK_VALUE(reply, "parameters/changes/0/keys", "[\"description\",\"exec\"]");
    CHECK_VALUE(reply, "parameters/changes/0/needs_restart", "true");
    CHECK_VALUE(reply, "parameters/changes/1/errors", "[\"b.yml:1: x\",\"b.yml:2: y\"]");
    CHECK_VALUE(reply, "parameters/warnings", "[\"c: odd\"]");
    reply = ask(fd, call_of(INTERFACE "Reload", "{\"start\":false}", ""));
    CHECK(!reload_dry && !reload_start);
    end();
}

TEST(the_end_of_the_machine_is_answered_before_it_begins)
{
    begin();
    AUTO_CLOSE int fd = dial();
    watched_client = fd;
    const char *reply =
        ask(fd, call_of(INTERFACE "ShutDown", "{\"how\":\"kexec\",\"force\":true}", ""));
    CHECK_TEXT(reply, "{\"parameters\":{}}");
    CHECK(reply_was_sent);
    CHECK(asked_how == SHUT_DOWN_KEXEC && asked_force);
    asked_how = SHUT_DOWN_NONE;
    end();
}

TEST(a_drain_without_a_journal_says_that_nothing_was_drained)
{
    begin();
    AUTO_CLOSE int fd = dial();
    CHECK_TEXT(ask(fd, call_of(INTERFACE "DrainJournal", "", "")),
               "{\"parameters\":{\"logs\":\"/var/log/x\",\"drained\":false}}");
    end();
}

/* ---- monitoring ----------------------------------------------------------------------------- */

TEST(a_monitor_gets_the_present_states_and_then_each_change)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply =
        ask(fd, call_of(INTERFACE "Monitor", "{\"patterns\":[\"a\"],\"initial\":true}",
                        ",\"more\":true"));
    CHECK_VALUE(reply, "continues", "true");
    CHECK_VALUE(reply, "parameters/event/name", "a");
    CHECK_VALUE(reply, "parameters/event/state", "stopped");
    CHECK_VALUE(reply, "parameters/event/before", "null");
    AUTO_CLOSE int other = dial();
    put(other, call_of(INTERFACE "Start", "{\"names\":[\"b\"]}", ""));
    turns(5);
    settle();
    reply = get(fd);
    CHECK_VALUE(reply, "parameters/event/state", "starting");
    CHECK_VALUE(reply, "parameters/event/before", "stopped");
    reply = get(fd);
    CHECK_VALUE(reply, "parameters/event/state", "running");
    CHECK_VALUE(reply, "parameters/event/pid", "102");
    CHECK(!has_data(fd));
    end();
}

TEST(a_monitor_that_does_not_read_is_closed_at_a_bound)
{
    begin();
    AUTO_CLOSE int slow = dial();
    put(slow, call_of(INTERFACE "Monitor", "", ",\"more\":true"));
    turns(5);
    size_t most = 0;
    for (int round = 0; round < 40000 && launcher.control->connection_count; round++) {
        control_service_changed(launcher.control, fake_find(&fake, "a"), STATE_RUNNING);
        if (launcher.control->output_bytes > most)
            most = launcher.control->output_bytes;
        turns(2);
    }
    CHECK_NUMBER(launcher.control->connection_count, 0);
    CHECK(most <= 4u << 20);
    CHECK_NUMBER(launcher.control->output_bytes, 0);
    check_served();
    end();
}

/* ---- reload, signal, reset ------------------------------------------------------------------- */

TEST(a_reload_of_a_service_is_answered_when_it_is_done_and_refused_with_words)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "ReloadServices", "{\"names\":[\"a\"]}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "refused");
    CHECK(strstr(value_at(reply, "parameters/results/0/reason"), "reload: signal HUP") != NULL);
    fake.services[2].definition.reload_signal = 1;
    ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":false}", ""));
    settle();
    put(fd, call_of(INTERFACE "ReloadServices", "{\"names\":[\"a\"]}", ""));
    turns(5);
    settle();
    reply = get(fd);
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    CHECK_VALUE(reply, "parameters/results/0/state", "running");
    end();
}

TEST(names_are_resolved_also_those_of_instances_to_be)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "Resolve", "{\"names\":[\"tty@9\",\"a\"]}", ""));
    CHECK_VALUE(reply, "parameters/names", "[\"tty@9\",\"a\"]");
    reply = ask(fd, call_of(INTERFACE "Resolve", "{\"names\":[\"a\",\"tty@8\"]}", ""));
    CHECK_VALUE(reply, "error", INTERFACE "NoSuchService");
    CHECK_VALUE(reply, "parameters/name", "tty@8");
    end();
}

TEST(what_was_switched_by_hand_is_read_again_when_asked)
{
    begin();
    AUTO_CLOSE int fd = dial();
    ask(fd, call_of(INTERFACE "Reload", "", ""));
    CHECK(!switches_read_again);
    ask(fd, call_of(INTERFACE "Reload", "{\"switches\":true}", ""));
    CHECK(switches_read_again);
    end();
}

TEST(a_signal_goes_to_what_runs_and_is_refused_for_what_does_not)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply =
        ask(fd, call_of(INTERFACE "Signal", "{\"names\":[\"a\"],\"signal\":\"HUP\"}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "refused");
    CHECK_VALUE(reply, "parameters/results/0/reason", "its main process does not run");
    ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":false}", ""));
    settle();
    reply = ask(fd, call_of(INTERFACE "Signal",
                            "{\"names\":[\"a\",\"web\"],\"signal\":\"sigusr1\",\"all\":true}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    CHECK_VALUE(reply, "parameters/results/0/reason", "null");
    CHECK_VALUE(reply, "parameters/results/1/outcome", "refused");
    CHECK_NUMBER(sent_signal, 10);
    CHECK(sent_to_all);
    static const char *const wrong[] = {
        "{\"names\":[\"a\"],\"signal\":\"FOO\"}", "{\"names\":[\"a\"],\"signal\":\"0\"}",
        "{\"names\":[],\"signal\":\"HUP\"}", "{\"names\":[\"a\"]}", "{\"signal\":\"HUP\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        reply = ask(fd, call_of(INTERFACE "Signal", wrong[i], ""));
        CHECK_VALUE(reply, "error", "org.varlink.service.InvalidParameter");
    }
    reply = ask(fd, call_of(INTERFACE "Signal", "{\"names\":[\"A\"],\"signal\":\"HUP\"}", ""));
    CHECK_VALUE(reply, "error", INTERFACE "NoSuchService");
    end();
}

TEST(a_reset_is_answered_at_once)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "Reset", "{\"names\":[\"a\"]}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "already");
    ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":false}", ""));
    settle();
    fail_service("a");
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/state", "backing-off");
    reply = ask(fd, call_of(INTERFACE "Reset", "{\"names\":[\"a\"]}", ""));
    CHECK_VALUE(reply, "parameters/results/0/outcome", "done");
    settle();
    CHECK_TEXT(fake_shown(&fake, "a"), "running");
    end();
}

/* What the state has of an upgrade that has ended. */
static void set_upgraded(uint32_t done, uint32_t failed, const char *text)
{
    struct state_header *header = launcher.manager.header;
    header->upgrade_stage = UPGRADE_ENDED;
    header->upgrade_done = done;
    header->upgrade_failed = failed;
    CHECK(text_format(header->upgrade_text, sizeof header->upgrade_text, "%s", text));
    CHECK(text_format(header->upgrade_from, sizeof header->upgrade_from, "0.0.9"));
}

TEST(an_upgrade_is_answered_when_it_has_ended_with_what_became_of_each_part)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, call_of(INTERFACE "Upgrade", "{\"id\":\"abc\"}", ""));
    turns(3);
    CHECK(!has_data(fd));
    CHECK_TEXT(upgrade_asked_id, "abc");
    set_upgraded(PART_INIT, PART_JOURNAL | PART_LAUNCHER,
                 "journal: it was of another machine\nlauncher: not ready after 10 s\n");
    control_upgrade_ended(launcher.control);
    const char *reply = get(fd);
    CHECK_VALUE(reply, "parameters/parts/0/name", "init");
    CHECK_VALUE(reply, "parameters/parts/0/outcome", "upgraded");
    CHECK_VALUE(reply, "parameters/parts/1/name", "journal");
    CHECK_VALUE(reply, "parameters/parts/1/outcome", "kept");
    CHECK_VALUE(reply, "parameters/parts/1/reason", "it was of another machine");
    CHECK_VALUE(reply, "parameters/parts/2/reason", "not ready after 10 s");
    CHECK_VALUE(reply, "parameters/before", "0.0.9");
    check_served();
    end();
}

TEST(an_upgrade_of_which_the_answer_is_there_is_answered_at_once)
{
    begin();
    upgrade_result = 1;
    set_upgraded(PARTS_ALL & ~PART_JOURNAL, 0, "");
    AUTO_CLOSE int fd = dial();
    const char *reply = ask(fd, call_of(INTERFACE "Upgrade", "{\"id\":\"abc\"}", ""));
    CHECK_VALUE(reply, "parameters/parts/2/outcome", "upgraded");
    CHECK_VALUE(reply, "parameters/parts/1/reason", "it was not tried");
    upgrade_result = 0;
    end();
}

TEST(an_upgrade_beside_another_or_at_the_end_of_the_machine_is_refused)
{
    begin();
    AUTO_CLOSE int fd = dial();
    upgrade_result = -EBUSY;
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Upgrade", "", "")), "error",
                INTERFACE "UpgradeUnderWay");
    upgrade_result = 0;
    launcher.manager.header->shut_down = SHUT_DOWN_REBOOT;
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Upgrade", "", "")), "error", INTERFACE "ShuttingDown");
    launcher.manager.header->shut_down = SHUT_DOWN_NONE;
    CHECK_VALUE(
        ask(fd,
            call_of(INTERFACE "Upgrade",
                    "{\"id\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
                    "")),
        "error", "org.varlink.service.InvalidParameter");
    end();
}

TEST(a_client_that_leaves_an_upgrade_is_forgotten)
{
    begin();
    int fd = dial();
    put(fd, call_of(INTERFACE "Upgrade", "", ",\"more\":true"));
    turns(3);
    close(fd);
    turns(3);
    set_upgraded(PARTS_ALL, 0, "");
    control_upgrade_ended(launcher.control);
    check_served();
    end();
}
