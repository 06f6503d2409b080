/* The key table: how definitions are compared, shown and said to need a restart, key by key. */
#include "config/definition-parse.h"
#include "fake-users.h"
#include "service-text.h"
#include "test.h"

static const char passwd[] = "www:x:33:34::/srv:/bin/false\n";
static const char group[] = "web:x:34:\nssl:x:50:www\n";

/* A line for each key that changes it, and nothing else. */
static const struct {
    unsigned row;
    const char *line;
} changes[] = {
    {KEY_DESCRIPTION, "description: y"},
    {KEY_TYPE, "type: daemon"},
    {KEY_ARGS, "args: [y]"},
    {KEY_BEFORE_START, "before-start: y"},
    {KEY_AFTER_START, "after-start: y"},
    {KEY_BEFORE_STOP, "before-stop: [y, z]"},
    {KEY_AFTER_STOP, "after-stop: y"},
    {KEY_RELOAD, "reload: signal HUP"},
    {KEY_ENABLED, "enabled: no"},
    {KEY_NEEDS, "needs: [y]"},
    {KEY_WANTS, "wants: [y]"},
    {KEY_AFTER, "after: [y]"},
    {KEY_BEFORE, "before: [y]"},
    {KEY_CONFLICTS, "conflicts: [y]"},
    {KEY_PROVIDES, "provides: [y]"},
    {KEY_WHEN, "when: [{exists: /y}]"},
    {KEY_READY, "ready: notify"},
    {KEY_START_TIMEOUT, "start-timeout: 7"},
    {KEY_STOP, "stop: {timeout: 7}"},
    {KEY_RESTART, "restart: never"},
    {KEY_ESSENTIAL, "essential: yes"},
    {KEY_DIR, "dir: /y"},
    {KEY_UMASK, "umask: 0"},
    {KEY_ENV, "env: {Y: y}"},
    {KEY_STDIN, "stdin: /y"},
    {KEY_TTY, "tty: /y"},
    {KEY_CONSOLE, "console: yes"},
    {KEY_LIMITS, "limits: {core: 0}"},
    {KEY_USER, "user: www"},
    {KEY_GROUP, "group: web"},
    {KEY_GROUPS, "groups: [7]"},
    {KEY_ROOT, "root: /y"},
    {KEY_ENV_FILE, "env-file: /y"},
    {KEY_NICE, "nice: 0"},
    {KEY_OOM_SCORE_ADJ, "oom-score-adj: 0"},
    {KEY_CPUS, "cpus: 0"},
    {KEY_IO, "io: best-effort 4"},
    {KEY_SCHED, "sched: other"},
    {KEY_RESOURCES, "resources: {tasks: 7}"},
    {KEY_WATCHDOG, "watchdog: 7"},
    {KEY_LOG, "log: {keep: 7}"},
};

#define CHANGES (sizeof changes / sizeof changes[0])

TEST(the_difference_of_two_definitions_is_exactly_the_keys_that_changed)
{
    fake_users_begin(passwd, group);
    struct definition *base = load("exec: x\n");
    CHECK(definition_diff(base, base) == 0);
    for (size_t i = 0; i < CHANGES; i++) {
        char text[200];
        text_format(text, sizeof text, "exec: x\n%s\n", changes[i].line);
        struct definition *changed = load(text), *same = load(text);
        uint64_t expected = changes[i].row == KEY_TYPE ? 0 : KEY_BIT(changes[i].row);
        CHECK(definition_diff(base, changed) == expected);
        CHECK(definition_diff(changed, base) == expected);
        CHECK(definition_diff(changed, same) == 0);
        CHECK(changed->keys_given == (KEY_BIT(KEY_EXEC) | KEY_BIT(changes[i].row)));
        definition_destroy(changed);
        definition_destroy(same);
    }
    definition_destroy(base);
    fake_users_end();
}

TEST(the_difference_is_of_what_they_say_and_not_of_how)
{
    struct definition *base = load("exec: x\n"), *exec = load("exec: x y\n"),
                      *args = load("exec: x\nargs: [y]\n"), *script = load("script: x\n"),
                      *forking = load("exec: x\ntype: forking\n"),
                      *forks = load("exec: x\ntype: forking\nforks: {main: y}\n");
    CHECK(definition_diff(base, exec) == KEY_BIT(KEY_EXEC));
    CHECK(definition_diff(exec, args) == (KEY_BIT(KEY_EXEC) | KEY_BIT(KEY_ARGS)));
    CHECK(definition_diff(base, script) & KEY_BIT(KEY_SCRIPT));
    CHECK(definition_diff(base, forking) & KEY_BIT(KEY_TYPE));
    CHECK(definition_diff(forking, forks) == KEY_BIT(KEY_FORKS));
    definition_destroy(base);
    definition_destroy(exec);
    definition_destroy(args);
    definition_destroy(script);
    definition_destroy(forking);
    definition_destroy(forks);
}

TEST(every_key_is_compared_by_a_test)
{
    uint64_t compared = KEY_BIT(KEY_EXEC) | KEY_BIT(KEY_SCRIPT) | KEY_BIT(KEY_FORKS);
    for (size_t i = 0; i < CHANGES; i++)
        compared |= KEY_BIT(changes[i].row);
    for (unsigned row = 0; row < KEY_COUNT; row++)
        CHECK(compared & KEY_BIT(row));
}

TEST(every_row_of_the_table_is_filled)
{
    for (unsigned row = 0; row < KEY_COUNT; row++) {
        CHECK(keys[row].name && keys[row].kind && keys[row].value && keys[row].help);
        CHECK_NUMBER(key_find(keys[row].name), row);
    }
    CHECK_NUMBER(key_find("no such"), -1);
    CHECK(!key_needs_restart(KEY_DESCRIPTION) && key_needs_restart(KEY_EXEC));
}

/* ---- what is compared of a key -------------------------------------------------------------- */

/* Two values of a key, and nothing else, differ. */
static const struct {
    unsigned row;
    const char *one, *other;
} pairs[] = {
    {KEY_EXEC, "exec: x", "exec: y"},
    {KEY_ARGS, "exec: x\nargs: [y]", "exec: x\nargs: [z]"},
    {KEY_BEFORE_START, "exec: x\nbefore-start: y", "exec: x\nbefore-start: z"},
    {KEY_BEFORE_START, "exec: x\nbefore-start: y", "exec: x\nbefore-start: [y, z]"},
    {KEY_RELOAD, "exec: x\nreload: y", "exec: x\nreload: z"},
    {KEY_RELOAD, "exec: x\nreload: signal HUP", "exec: x\nreload: signal USR1"},
    {KEY_WHEN, "exec: x\nwhen: [{exists: /y}]", "exec: x\nwhen: [{executable: /y}]"},
    {KEY_WHEN, "exec: x\nwhen: [{exists: /y}]", "exec: x\nwhen: [{not: {exists: /y}}]"},
    {KEY_WHEN, "exec: x\nwhen: [{exists: /y}]", "exec: x\nwhen: [{exists: /z}]"},
    {KEY_STOP, "exec: x\nstop: {signal: HUP}", "exec: x\nstop: {signal: INT}"},
    {KEY_STOP, "exec: x\nstop: {kill: main}", "exec: x\nstop: {kill: group}"},
    {KEY_STOP, "exec: x\nstop: {exec: y}", "exec: x\nstop: {exec: z}"},
    {KEY_RESTART, "exec: x\nrestart: {delay: 1s}", "exec: x\nrestart: {delay: 2s}"},
    {KEY_RESTART, "exec: x\nrestart: {max: 1s}", "exec: x\nrestart: {max: 2s}"},
    {KEY_RESTART, "exec: x\nrestart: {reset-after: 1s}", "exec: x\nrestart: {reset-after: 2s}"},
    {KEY_RESTART, "exec: x\nrestart: {factor: 1}", "exec: x\nrestart: {factor: 2}"},
    {KEY_RESTART, "exec: x\nrestart: {jitter: 1%}", "exec: x\nrestart: {jitter: 2%}"},
    {KEY_RESTART, "exec: x\nrestart: {limit: 1}", "exec: x\nrestart: {limit: 2}"},
    {KEY_LIMITS, "exec: x\nlimits: {core: 5}", "exec: x\nlimits: {nofile: 5}"},
    {KEY_LIMITS, "exec: x\nlimits: {core: [5, 7]}", "exec: x\nlimits: {core: [6, 7]}"},
    {KEY_LIMITS, "exec: x\nlimits: {core: [5, 7]}", "exec: x\nlimits: {core: [5, 8]}"},
    {KEY_READY, "exec: x\nready: {file: /y}", "exec: x\nready: {pid-file: /y}"},
    {KEY_READY, "exec: x\nready: {fd: 3}", "exec: x\nready: {fd: 4}"},
    {KEY_READY, "exec: x\nready: {file: /y}", "exec: x\nready: {file: /z}"},
    {KEY_READY, "exec: x\nready: {exec: y}", "exec: x\nready: {exec: z}"},
    {KEY_NICE, "exec: x\nnice: 1", "exec: x\nnice: 2"},
    {KEY_OOM_SCORE_ADJ, "exec: x\noom-score-adj: 1", "exec: x\noom-score-adj: 2"},
    {KEY_CPUS, "exec: x\ncpus: 1", "exec: x\ncpus: 2"},
    {KEY_SCHED, "exec: x\nsched: fifo 1", "exec: x\nsched: fifo 2"},
    {KEY_RESOURCES, "exec: x\nresources: {memory: 1}", "exec: x\nresources: {memory: 2}"},
    {KEY_RESOURCES, "exec: x\nresources: {memory-high: 1}", "exec: x\nresources: {memory-high: 2}"},
    {KEY_RESOURCES, "exec: x\nresources: {tasks: 1}", "exec: x\nresources: {tasks: 2}"},
    {KEY_RESOURCES, "exec: x\nresources: {cpu: 1}", "exec: x\nresources: {cpu: 2}"},
    {KEY_RESOURCES, "exec: x\nresources: {io-weight: 1}", "exec: x\nresources: {io-weight: 2}"},
    {KEY_FORKS, "exec: x\ntype: forking\nforks: {pid-file: /y}",
     "exec: x\ntype: forking\nforks: {pid-file: /z}"},
    {KEY_LOG, "exec: x\nlog: {max-size: 64K}", "exec: x\nlog: {max-size: 65K}"},
    {KEY_LOG, "exec: x\nlog: {max-age: 1d}", "exec: x\nlog: {max-age: never}"},
    {KEY_LOG, "exec: x\nlog: {rate: 5/s}", "exec: x\nlog: {rate: 6/s}"},
    {KEY_LOG, "exec: x\nlog: {rate: 5/s}", "exec: x\nlog: {rate: 5/min}"},
};

TEST(each_part_of_a_value_makes_a_difference)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct definition *one = load(pairs[i].one), *other = load(pairs[i].other);
        struct definition *same = load(pairs[i].one);
        CHECK(definition_diff(one, other) == KEY_BIT(pairs[i].row));
        CHECK(definition_diff(other, one) == KEY_BIT(pairs[i].row));
        CHECK(definition_diff(one, same) == 0);
        bool restart = key_needs_restart(pairs[i].row);
        CHECK(keys_need_restart(KEY_BIT(pairs[i].row)) == restart);
        CHECK((definition_start_hash(one) != definition_start_hash(other)) == restart);
        CHECK(definition_start_hash(one) == definition_start_hash(same));
        definition_destroy(one);
        definition_destroy(other);
        definition_destroy(same);
    }
    CHECK(!keys_need_restart(0));
}

TEST(what_passwd_and_group_say_is_compared_with_the_user)
{
    static const struct {
        const char *passwd, *group;
        uint64_t different;
    } rows[] = {
        {passwd, group, 0},
        {"www:x:32:34::/srv:/bin/false\n", group, KEY_BIT(KEY_USER)},
        {"www:x:33:34::/var:/bin/false\n", group, KEY_BIT(KEY_USER)},
        {"www:x:33:34::/srv:/bin/sh\n", group, KEY_BIT(KEY_USER)},
        {"www:x:33:34::/srv:\n", group, KEY_BIT(KEY_USER)},
        {"www:x:33:35::/srv:/bin/false\n", group, KEY_BIT(KEY_GROUP) | KEY_BIT(KEY_GROUPS)},
        {passwd, "web:x:34:\nssl:x:51:www\n", KEY_BIT(KEY_GROUPS)},
        {passwd, "web:x:34:\n", KEY_BIT(KEY_GROUPS)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fake_users_begin(passwd, group);
        struct definition *before = load("exec: x\nuser: www\n");
        fake_users_end();
        fake_users_begin(rows[i].passwd, rows[i].group);
        struct definition *after = load("exec: x\nuser: www\n");
        CHECK(definition_diff(before, after) == rows[i].different);
        definition_destroy(before);
        definition_destroy(after);
        fake_users_end();
    }
}

/* ---- what is shown -------------------------------------------------------------------------- */

TEST(each_kind_of_value_is_shown)
{
    static const struct {
        unsigned row;
        const char *lines, *shown;
    } rows[] = {
        {KEY_DESCRIPTION, "description: \"a \\\"b\\\" \\\\ c\\td\\ne \\x01\"",
         "\"a \\\"b\\\" \\\\ c\\td\\ne \\u0001\""},
        {KEY_ARGS, "args: [\"a\\rb\"]", "[\"a\\u000db\"]"},
        {KEY_NEEDS, "needs: ['%n-setup']", "[\"web-setup\"]"},
        {KEY_BEFORE_START, "before-start: []", "[]"},
        {KEY_WHEN, "when: []", "[]"},
        {KEY_LIMITS, "limits: {}", "{}"},
        {KEY_RELOAD, "reload: signalling", "[\"signalling\"]"},
        {KEY_RELOAD, "reload: [signal, HUP]", "[\"signal\",\"HUP\"]"},
        {KEY_USER, "description: x", "\"root\""},
        {KEY_USER, "user: www", "\"www\""},
        {KEY_GROUP, "description: x", "\"root\""},
        {KEY_GROUP, "group: web", "\"web\""},
        {KEY_GROUPS, "groups: [web, '7']", "[\"web\",\"7\"]"},
        {KEY_DIR, "description: x", "\"/\""},
        {KEY_DIR, "dir: /srv/%n", "\"/srv/web\""},
        {KEY_READY, "ready: exec", "\"exec\""},
        {KEY_READY, "ready: notify", "\"notify\""},
        {KEY_READY, "ready: {fd: 1023}", "{\"fd\":1023}"},
        {KEY_READY, "ready: {pid-file: /run/%n.pid}", "{\"pid-file\":\"/run/web.pid\"}"},
        {KEY_READY, "ready: {tcp: '[::1]:80'}", "{\"tcp\":\"[::1]:80\"}"},
        {KEY_READY, "ready: {unix: /run/x}", "{\"unix\":\"/run/x\"}"},
        {KEY_READY, "ready: {log: 'up.*'}", "{\"log\":\"up.*\"}"},
        {KEY_READY, "ready: {exec: probe -q}", "{\"exec\":[\"probe\",\"-q\"]}"},
        {KEY_READY, "type: task\nready: exec", "\"exec\""},
        {KEY_WATCHDOG, "watchdog: never", "\"never\""},
        {KEY_WATCHDOG, "watchdog: 5s", "\"5s\""},
        {KEY_WATCHDOG, "type: task\nwatchdog: never", "\"never\""},
        {KEY_LOG, "log: {max-age: never}",
         "{\"max-size\":\"16M\",\"keep\":4,\"max-age\":\"never\",\"rate\":\"none\"}"},
        {KEY_RESOURCES, "resources: {cpu: 150 %}",
         "{\"memory\":null,\"memory-high\":null,\"cpu\":\"150%\",\"tasks\":null,"
         "\"io-weight\":null}"},
        /* Keys of one hash (FNV-1a) are two keys all the same. */
        {KEY_ENV, "env: {ZVGUC: 1, EJJVX: 2}", "{\"ZVGUC\":\"1\",\"EJJVX\":\"2\"}"},
    };
    fake_users_begin(passwd, group);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        text_format(text, sizeof text, "exec: x\n%s\n", rows[i].lines);
        check_shown(text, rows[i].row, rows[i].shown);
    }
    fake_users_end();
}

TEST(words_are_split_at_all_that_is_blank)
{
    check_shown("exec: \"a\\rb\\tc \\nd\"\n", KEY_EXEC, "[\"a\",\"b\",\"c\",\"d\"]");
}

TEST(what_is_shown_into_too_little_room_is_cut)
{
    struct definition *definition = load("exec: x\n");
    char storage[8];
    struct text text;
    for (size_t room = 1; room <= sizeof storage; room++) {
        text_init(&text, storage, room);
        definition_show(KEY_STOP, definition, &text);
        CHECK(text.cut && strlen(storage) < room);
        CHECK(strncmp(storage, "{\"signal\":", room - 1) == 0);
    }
    definition_destroy(definition);
}
