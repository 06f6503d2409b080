/* The control socket with a launcher that is made up: the manager is the real one, its kernel and
 * its clock are not; clients are real sockets. */
#include "fake-kernel.h"
#include "test.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "service-launcher/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERFACE "org.conit.Launcher."

/* ---- what the launcher would offer ---------------------------------------------------------- */

static struct fake fake;
static struct launcher launcher;
static struct manager_ops operations;
static enum shut_down asked_how;
static bool asked_force, reply_was_sent;
static int watched_client = -1; /* looked at when the machine is told to end */

static bool has_data(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void launcher_shut_down(struct launcher *l, enum shut_down how, bool force)
{
    asked_how = how;
    asked_force = force;
    reply_was_sent = has_data(watched_client);
}

static bool reload_dry, reload_start;

int launcher_reload(struct launcher *l, bool dry_run, bool start, struct reload_report *ret)
{
    reload_dry = dry_run;
    reload_start = start;
    ret->entries = calloc(2, sizeof *ret->entries);
    ret->count = 2;
    ret->entries[0] = (struct reload_entry){
        .change = RELOAD_CHANGED, .name = "a", .keys = 5, .needs_restart = true};
    ret->entries[1] = (struct reload_entry){
        .change = RELOAD_BROKEN, .name = "b", .errors = "b.yml:1: x\nb.yml:2: y"};
    ret->warnings = strdup("c: odd");
    return 0;
}

void reload_report_finish(struct reload_report *report)
{
    free(report->entries);
    free(report->warnings);
    *report = (struct reload_report){0};
}

size_t executor_processes(struct executor *executor, uint32_t slot, int32_t *pids, size_t room)
{
    for (size_t i = 0; i < 3 && i < room; i++)
        pids[i] = (int32_t)(100 + i);
    return 3;
}

int64_t executor_memory_bytes(struct executor *executor, uint32_t slot)
{
    return 4096;
}

int32_t executor_main_pid(struct executor *executor, uint32_t slot)
{
    return fake.services[slot].runs ? (int32_t)(100 + slot) : 0;
}

static void on_changed(void *context, struct service *service, enum service_state before)
{
    if (launcher.control)
        control_service_changed(launcher.control, service, before);
}

/* ---- a launcher and its clients ------------------------------------------------------------- */

static char socket_path[64];

/* Both the fake kernel and the launcher have the manager inside them: it moves. */
static void move_manager(struct manager *to, struct manager *from)
{
    *to = *from;
    list_init(&to->requests);
    for (struct list *link; (link = list_take(&from->requests));)
        list_append(&to->requests, link);
}

/* Services a, b which needs a, and web. */
static void begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    fake_init(&fake);
    fake_add(&fake, "web", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_tie(&fake, "b", NEEDS, "a");
    fake_load(&fake);
    operations = *fake.manager.ops;
    operations.changed = on_changed;
    fake.manager.ops = &operations;
    launcher = (struct launcher){.options = {.runtime = "/run/x", .logs = "/var/log/x"}};
    move_manager(&launcher.manager, &fake.manager);
    CHECK_NUMBER(loop_init(&launcher.loop), 0);
    text_format(socket_path, sizeof socket_path, "/tmp/test-control-%d", getpid());
    unlink(socket_path);
    text_format(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    CHECK_NUMBER(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_NUMBER(chmod(socket_path, 0666), 0);
    CHECK_NUMBER(listen(fd, 4096), 0);
    CHECK_NUMBER(control_create(&launcher, fd, &launcher.control), 0);
}

static void end(void)
{
    control_destroy(launcher.control);
    loop_finish(&launcher.loop);
    move_manager(&fake.manager, &launcher.manager);
    fake_finish(&fake);
    unlink(socket_path);
}

static void run_services(void)
{
    move_manager(&fake.manager, &launcher.manager);
    fake_run(&fake);
    move_manager(&launcher.manager, &fake.manager);
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    text_format(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    CHECK_NUMBER(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turns(int count)
{
    while (count--)
        loop_turn(&launcher.loop, false);
}

static void put(int fd, const char *text)
{
    size_t count = strlen(text) + 1;
    CHECK_NUMBER(send(fd, text, count, MSG_NOSIGNAL), count);
}

#define MESSAGE_BYTES 200000
static char message[MESSAGE_BYTES];

/* The next message to that client, the loop turning meanwhile; "EOF" when it is hung up. Nothing
 * else ends the wait: a message that does not come hangs the test, which has its time limit. */
static const char *get(int fd)
{
    for (size_t at = 0; at < sizeof message;) {
        ssize_t got = recv(fd, message + at, 1, MSG_DONTWAIT);
        if (got == 1 && !message[at])
            return message;
        if (got == 1)
            at++;
        else if (got == 0 || errno == ECONNRESET)
            return "EOF";
        else
            turns(1);
    }
    return "too long";
}

static const char *ask(int fd, const char *call)
{
    put(fd, call);
    return get(fd);
}

static const char *call_of(const char *method, const char *parameters, const char *flags)
{
    static char call[2000];
    text_format(call, sizeof call, "{\"method\":\"%s\"%s%s%s}", method,
                *parameters ? ",\"parameters\":" : "", parameters, flags);
    return call;
}

/* A value inside a reply by a path of keys and indices, as text. */
static const char *value_at(const char *reply, const char *path)
{
    static char words[2000];
    json_t *root = json_loads(reply, 0, NULL), *at = root;
    char steps[200], *rest = steps, *step;

    text_format(steps, sizeof steps, "%s", path);
    while (at && (step = strsep(&rest, "/")))
        at = json_is_array(at) ? json_array_get(at, (size_t)(step[0] - '0'))
                               : json_object_get(at, step);
    if (json_is_string(at)) {
        text_format(words, sizeof words, "%s", json_string_value(at));
    } else {
        char *dumped = at ? json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        text_format(words, sizeof words, "%s", dumped ? dumped : "absent");
        free(dumped);
    }
    json_decref(root);
    return words;
}

#define CHECK_VALUE(reply, path, expected) CHECK_TEXT(value_at(reply, path), expected)

static const char *list_call(void)
{
    return call_of(INTERFACE "List", "", "");
}

/* A client comes, is served, and goes: the launcher is well. */
static void check_served(void)
{
    AUTO_CLOSE int fd = dial();
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
}

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
    CHECK_NUMBER(methods, 10);
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

/* ---- clients that do harm ------------------------------------------------------------------- */

TEST(pipelined_calls_are_answered_one_after_the_other)
{
    begin();
    AUTO_CLOSE int fd = dial();
    char many[20000];
    struct text text;
    for (int i = 0; i < 50; i++)
        put(fd, call_of("org.varlink.service.GetInfo", "", ""));
    text_init(&text, many, sizeof many);
    text_add(&text, list_call());
    put(fd, many);
    for (int i = 0; i < 50; i++)
        CHECK_VALUE(get(fd), "parameters/vendor", "conit");
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    CHECK_NUMBER(launcher.control->input_bytes, 0);
    end();
}

TEST(a_client_that_closes_its_sending_side_gets_all_its_replies)
{
    begin();
    AUTO_CLOSE int fd = dial();
    put(fd, list_call());
    put(fd, list_call());
    CHECK_NUMBER(shutdown(fd, SHUT_WR), 0);
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    CHECK_TEXT(get(fd), "EOF");
    end();
}

TEST(half_a_message_holds_up_nobody)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *call = list_call();
    size_t half = strlen(call) / 2;
    CHECK_NUMBER(send(fd, call, half, 0), half);
    turns(5);
    check_served();
    CHECK_NUMBER(launcher.control->input_bytes, half);
    put(fd, list_call() + half);
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    end();
}

TEST(rubbish_is_answered_and_hung_up_on)
{
    static const char *const rubbish[] = {"\x7f"
                                          "ELF\x01\x02",
                                          "GET / HTTP/1.1\r\n\r\n",
                                          "{}",
                                          "",
                                          "\xff\xfe",
                                          "{\"method\":\"a\\u0000b\"}"};
    begin();
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        AUTO_CLOSE int fd = dial();
        CHECK_VALUE(ask(fd, rubbish[i]), "error", INTERFACE "BadMessage");
        CHECK_TEXT(get(fd), "EOF");
    }
    CHECK_NUMBER(launcher.control->connection_count, 0);
    check_served();
    end();
}

TEST(a_hundred_megabytes_without_an_end_are_refused_at_one)
{
    static char rubbish[65536];
    size_t sent = 0, most = 0;
    begin();
    AUTO_CLOSE int fd = dial();
    memset(rubbish, 'x', sizeof rubbish);
    while (sent < 100u << 20) {
        ssize_t r = send(fd, rubbish, sizeof rubbish, MSG_NOSIGNAL);
        if (r < 0 && errno != EAGAIN)
            break;
        sent += r > 0 ? (size_t)r : 0;
        turns(1);
        if (launcher.control->input_bytes > most)
            most = launcher.control->input_bytes;
    }
    CHECK(sent < 4u << 20);
    CHECK(most <= (1u << 20) + 65536);
    CHECK_VALUE(get(fd), "error", INTERFACE "BadMessage");
    CHECK_TEXT(get(fd), "EOF");
    CHECK_NUMBER(launcher.control->input_bytes, 0);
    check_served();
    end();
}

TEST(half_messages_of_many_clients_are_bounded_together)
{
    static char rubbish[1000000];
    int fds[40];
    begin();
    memset(rubbish, 'x', sizeof rubbish);
    for (int i = 0; i < 40; i++) {
        fds[i] = dial();
        for (size_t sent = 0; sent < sizeof rubbish;) {
            ssize_t r = send(fds[i], rubbish + sent, sizeof rubbish - sent, MSG_NOSIGNAL);
            if (r < 0 && errno != EAGAIN)
                break;
            sent += r > 0 ? (size_t)r : 0;
            turns(1);
        }
        turns(3);
        CHECK(launcher.control->input_bytes <= 17u << 20);
    }
    check_served();
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    end();
}

TEST(a_client_that_never_reads_is_not_read_from_either)
{
    begin();
    AUTO_CLOSE int fd = dial();
    const char *call = list_call();
    int sent = 0;
    while (send(fd, call, strlen(call) + 1, MSG_NOSIGNAL) > 0 || sent < 20000) {
        turns(2);
        if (++sent > 40000)
            break;
    }
    CHECK(sent <= 40000);
    CHECK(launcher.control->output_bytes < 10000);
    CHECK(launcher.control->input_bytes < 100000);
    check_served();
    /* And it gets what it asked for once it reads. */
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    end();
}

TEST(of_a_thousand_clients_the_newest_are_served_and_idle_ones_go)
{
    int fds[1000];
    begin();
    for (int i = 0; i < 1000; i++) {
        fds[i] = dial();
        turns(1);
    }
    turns(200);
    CHECK_NUMBER(launcher.control->connection_count, 512);
    check_served();
    CHECK_VALUE(ask(fds[999], list_call()), "parameters/services/0/name", "a");
    CHECK_TEXT(get(fds[0]), "EOF");
    for (int i = 0; i < 1000; i++)
        close(fds[i]);
    end();
}

TEST(when_all_connections_wait_the_next_client_is_told_so)
{
    int fds[512];
    begin();
    for (int i = 0; i < 512; i++) {
        fds[i] = dial();
        put(fds[i], call_of(INTERFACE "Monitor", "", ",\"more\":true"));
        turns(2);
    }
    turns(50);
    CHECK_NUMBER(launcher.control->connection_count, 512);
    AUTO_CLOSE int fd = dial();
    CHECK_VALUE(get(fd), "error", INTERFACE "TooManyConnections");
    CHECK_TEXT(get(fd), "EOF");
    close(fds[0]);
    turns(5);
    check_served();
    for (int i = 1; i < 512; i++)
        close(fds[i]);
    end();
}

TEST(without_descriptors_a_client_is_told_and_the_loop_does_not_spin)
{
    struct rlimit old, tight;
    begin();
    int fd = dial();
    int used = dup(fd);
    CHECK(used > 0);
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)used + 1;
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &tight), 0);
    /* Every number below the limit is taken now but none is free for accept(). */
    CHECK_VALUE(get(fd), "error", INTERFACE "TooManyConnections");
    CHECK_TEXT(get(fd), "EOF");
    CHECK(launcher.control->spare_fd >= 0);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &old), 0);
    close(fd);
    close(used);
    check_served();
    end();
}

TEST(descriptors_of_a_hostile_client_are_closed)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    int pipe_fds[2];
    begin();
    AUTO_CLOSE int fd = dial();
    const char *call = list_call();
    struct iovec bytes = {(char *)call, strlen(call) + 1};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    CHECK_NUMBER(pipe2(pipe_fds, O_CLOEXEC), 0);
    memcpy(CMSG_DATA(&control.header), &pipe_fds[1], sizeof(int));
    CHECK(sendmsg(fd, &header, 0) > 0);
    close(pipe_fds[1]);
    CHECK_VALUE(get(fd), "parameters/services/0/name", "a");
    char byte;
    CHECK_NUMBER(read(pipe_fds[0], &byte, 1), 0); /* no writer is left */
    close(pipe_fds[0]);
    end();
}

/* ---- who may what --------------------------------------------------------------------------- */

#define NOBODY 65534
#define MEMBER 54321

/* In a child with another identity: connects, sends the call and goes. Returns the connection as
 * this process got it from the child. */
static int dial_as(uid_t uid, gid_t group)
{
    int pair[2], status;
    CHECK_NUMBER(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t child = fork();
    if (child == 0) {
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct iovec bytes = {(char[]){"x"}, 1};
        struct msghdr header = {.msg_iov = &bytes,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof control};
        if (setgroups(1, &group) < 0 || setresgid(uid, uid, uid) < 0 ||
            setresuid(uid, uid, uid) < 0)
            _exit(1);
        int fd = dial();
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        _exit(sendmsg(pair[1], &header, 0) == 1 ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec bytes = {&byte, 1};
    struct msghdr header = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    int fd = -1;
    CHECK_NUMBER(recvmsg(pair[0], &header, MSG_CMSG_CLOEXEC), 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
    close(pair[0]);
    close(pair[1]);
    return fd;
}

TEST(another_user_may_look_but_not_change)
{
    if (geteuid() != 0)
        return; /* cannot become another user: tests/pidns has it too */
    begin();
    launcher.control->group = MEMBER;
    AUTO_CLOSE int fd = dial_as(NOBODY, NOBODY);
    CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
    const char *denied[] = {"Start", "Stop", "Restart", "Reload", "ShutDown"};
    for (size_t i = 0; i < 5; i++) {
        char method[100];
        text_format(method, sizeof method, INTERFACE "%s", denied[i]);
        CHECK_VALUE(ask(fd, call_of(method, "{\"names\":[\"a\"]}", "")), "error",
                    "org.varlink.service.PermissionDenied");
    }
    CHECK_VALUE(ask(fd, call_of(INTERFACE "DrainJournal", "", "")), "parameters/drained", "false");
    end();
}

TEST(a_member_of_the_group_may_change)
{
    if (geteuid() != 0)
        return;
    begin();
    launcher.control->group = MEMBER;
    AUTO_CLOSE int fd = dial_as(NOBODY, MEMBER);
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"],\"wait\":false}", "")),
                "parameters/results/0/outcome", "begun");
    end();
}

TEST(without_the_group_nobody_is_a_member)
{
    if (geteuid() != 0)
        return;
    begin();
    launcher.control->group = (gid_t)-1;
    AUTO_CLOSE int fd = dial_as(NOBODY, (gid_t)-2);
    CHECK_VALUE(ask(fd, call_of(INTERFACE "Start", "{\"names\":[\"a\"]}", "")), "error",
                "org.varlink.service.PermissionDenied");
    end();
}

TEST(a_group_is_found_by_its_whole_name)
{
    char path[64];
    gid_t group = 1;
    text_format(path, sizeof path, "/tmp/test-control-group-%d", getpid());
    FILE *file = fopen(path, "we");
    fputs("conitx:x:1:\n# conit:x:2:\nconit\nconit:x\nconit:x:bad:\nconit:x:4242:a,b\nconit:x:5:\n",
          file);
    fclose(file);
    CHECK_NUMBER(control_find_group(path, "conit", &group), 0);
    CHECK_NUMBER(group, 4242);
    CHECK_NUMBER(control_find_group(path, "con", &group), -ENOENT);
    unlink(path);
    CHECK_NUMBER(control_find_group(path, "conit", &group), -ENOENT);
}
