/* Service files that load, and what becomes of each key. */
#include "config/definition-parse.h"
#include "config/keys.h"
#include "fake-users.h"
#include "service-text.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

TEST(the_smallest_file_loads_with_every_default)
{
    struct definition *d = load("exec: /usr/sbin/sshd -D -e\n");
    CHECK_TEXT(d->name, "web");
    CHECK_TEXT(d->path, "web.yml");
    CHECK_TEXT(d->argv[0], "/usr/sbin/sshd");
    CHECK_TEXT(d->argv[1], "-D");
    CHECK_TEXT(d->argv[2], "-e");
    CHECK(d->argv[3] == NULL);
    CHECK(d->keys_given == KEY_BIT(KEY_EXEC));
    CHECK_NUMBER(d->type, TYPE_DAEMON);
    CHECK_NUMBER(d->start_timeout_ms, 90000);
    CHECK_NUMBER(d->stop.signal, SIGTERM);
    CHECK_NUMBER(d->restart.policy, RESTART_ALWAYS);
    CHECK(d->enabled && !d->essential && !d->console);
    CHECK_NUMBER(d->umask, 022);
    CHECK(!d->identity.set);
    CHECK(sizeof *d < 700);
    CHECK(definition_size(d) < sizeof *d + 128);
    definition_destroy(d);
}

TEST(a_command_is_split_and_its_arguments_are_taken_as_they_are)
{
    struct definition *d =
        load("exec: nginx -c '/a b' %n %p %%\nargs: [-g, 'daemon off;', \"\"]\n");
    static const char *const words[] = {"nginx", "-c", "/a b",        "web", "web",
                                        "%",     "-g", "daemon off;", ""};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        CHECK_TEXT(d->argv[i], words[i]);
    CHECK(d->argv[9] == NULL);
    CHECK_NUMBER(d->args_count, 3);
    CHECK_TEXT(show(d, KEY_EXEC), "[\"nginx\",\"-c\",\"/a b\",\"web\",\"web\",\"%\"]");
    CHECK_TEXT(show(d, KEY_ARGS), "[\"-g\",\"daemon off;\",\"\"]");
    definition_destroy(d);
}

TEST(plain_values_stay_the_words_they_are_written_as)
{
    struct definition *d = load("exec: [yes, on, 1.0, 007, null, true]\ndescription: no\n");
    static const char *const words[] = {"yes", "on", "1.0", "007", "null", "true"};
    for (size_t i = 0; i < 6; i++)
        CHECK_TEXT(d->argv[i], words[i]);
    CHECK_TEXT(d->description, "no");
    definition_destroy(d);
}

TEST(a_script_is_run_by_the_shell_with_the_name_and_the_arguments)
{
    struct definition *d = load("type: task\nscript: |\n  echo $1\n  date +%%s\nargs: [x]\n");
    CHECK_TEXT(d->argv[0], "/bin/sh");
    CHECK_TEXT(d->argv[1], "-e");
    CHECK_TEXT(d->argv[2], "-c");
    CHECK_TEXT(d->argv[3], "echo $1\ndate +%s\n");
    CHECK_TEXT(d->argv[4], "web");
    CHECK_TEXT(d->argv[5], "x");
    CHECK(d->argv[6] == NULL);
    CHECK_TEXT(show(d, KEY_EXEC), "null");
    CHECK_TEXT(show(d, KEY_SCRIPT), "\"echo $1\\ndate +%s\\n\"");
    definition_destroy(d);
}

TEST(a_task_waits_without_end_and_is_not_restarted_unless_the_file_says_so)
{
    struct definition *d = load("type: task\nexec: a\n");
    CHECK_NUMBER(d->restart.policy, RESTART_NEVER);
    CHECK_NUMBER(d->start_timeout_ms, TIME_NEVER_MS);
    definition_destroy(d);
    d = load("type: task\nexec: a\nrestart: {delay: 1s}\n");
    CHECK_NUMBER(d->restart.policy, RESTART_NEVER);
    definition_destroy(d);
    d = load("type: task\nexec: a\nrestart: {policy: on-failure}\nstart-timeout: 5\n");
    CHECK_NUMBER(d->restart.policy, RESTART_ON_FAILURE);
    CHECK_NUMBER(d->start_timeout_ms, 5000);
    definition_destroy(d);
}

TEST(a_target_runs_nothing)
{
    struct definition *d = load("type: target\nneeds: [a, b]\nwants: []\n");
    CHECK(d->argv == NULL);
    CHECK_TEXT(d->needs[1], "b");
    CHECK(d->needs[2] == NULL && d->wants == NULL);
    definition_destroy(d);
}

TEST(stop_and_restart_keep_the_defaults_of_what_is_left_out)
{
    check_shown("exec: a\n", KEY_STOP,
                "{\"signal\":\"SIGTERM\",\"timeout\":\"10s\",\"exec\":null,\"kill\":\"all\"}");
    check_shown("exec: a\nstop: {signal: RTMIN+1, timeout: never, kill: group, exec: 'x -y'}\n",
                KEY_STOP,
                "{\"signal\":\"SIGRTMIN+1\",\"timeout\":\"never\",\"exec\":[\"x\",\"-y\"],"
                "\"kill\":\"group\"}");
    check_shown("exec: a\n", KEY_RESTART,
                "{\"policy\":\"always\",\"delay\":\"100ms\",\"factor\":2,\"max\":\"30s\","
                "\"jitter\":\"10%\",\"reset-after\":\"10s\",\"limit\":null}");
    check_shown("exec: a\nrestart: {policy: never, delay: 1min, factor: 1.25, jitter: 0, "
                "reset-after: never, limit: 0}\n",
                KEY_RESTART,
                "{\"policy\":\"never\",\"delay\":\"1min\",\"factor\":1.25,\"max\":\"1min\","
                "\"jitter\":\"0%\",\"reset-after\":\"never\",\"limit\":0}");
}

TEST(hooks_reload_and_conditions_are_read_in_each_form)
{
    check_shown("exec: a\nbefore-start: mkdir -p /run/%n\n", KEY_BEFORE_START,
                "[[\"mkdir\",\"-p\",\"/run/web\"]]");
    check_shown("exec: a\nafter-stop: [a b, [c, d e]]\n", KEY_AFTER_STOP,
                "[[\"a\",\"b\"],[\"c\",\"d e\"]]");
    check_shown("exec: a\nreload: signal usr1\n", KEY_RELOAD, "\"signal SIGUSR1\"");
    check_shown("exec: a\nreload: a -s reload\n", KEY_RELOAD, "[\"a\",\"-s\",\"reload\"]");
    check_shown("exec: a\nwhen:\n- exists: /x/%n\n- not: {kernel-arg: single}\n- executable: /y\n",
                KEY_WHEN,
                "[{\"exists\":\"/x/web\"},{\"not\":{\"kernel-arg\":\"single\"}},"
                "{\"executable\":\"/y\"}]");
}

TEST(the_quota_keeps_the_defaults_of_what_is_left_out)
{
    struct definition *d = load("exec: a\n");
    CHECK(quota_equal(&d->quota, &QUOTA_DEFAULT));
    definition_destroy(d);
    check_shown("exec: a\n", KEY_LOG,
                "{\"max-size\":\"16M\",\"keep\":4,\"max-age\":\"never\",\"rate\":\"none\"}");
    check_shown("exec: a\nlog: {max-size: 64K, keep: 0, max-age: 730d, rate: 5000/10s}\n", KEY_LOG,
                "{\"max-size\":\"64K\",\"keep\":0,\"max-age\":\"730d\",\"rate\":\"5000/10s\"}");
    check_shown("exec: a\nlog: {max-age: 90, rate: 100/min}\n", KEY_LOG,
                "{\"max-size\":\"16M\",\"keep\":4,\"max-age\":\"90s\",\"rate\":\"100/min\"}");
    check_shown("exec: a\nlog: {rate: none}\n", KEY_LOG,
                "{\"max-size\":\"16M\",\"keep\":4,\"max-age\":\"never\",\"rate\":\"none\"}");
    struct definition *other = load("exec: a\nlog: {keep: 5}\n");
    d = load("exec: a\n");
    CHECK_NUMBER(definition_diff(d, other), KEY_BIT(KEY_LOG));
    definition_destroy(d);
    definition_destroy(other);
}

TEST(surroundings_are_read)
{
    struct definition *d =
        load("exec: a\ntty: tty1\nstdin: tty\ndir: /srv/%n\numask: 77\n"
             "env: {A: b, Q\": '50%%', EMPTY: }\n"
             "limits: {nofile: [1024, unlimited], memlock: 64K, nproc: unlimited}\n");
    CHECK_TEXT(d->tty, "/dev/tty1");
    CHECK(d->stdin_path == NULL);
    CHECK_TEXT(d->dir, "/srv/web");
    CHECK_NUMBER(d->umask, 077);
    CHECK_TEXT(d->env[0], "A=b");
    CHECK_TEXT(d->env[1], "Q\"=50%");
    CHECK_TEXT(d->env[2], "EMPTY=");
    CHECK(d->env[3] == NULL);
    CHECK_NUMBER(d->limit_count, 3);
    CHECK_NUMBER(d->limits[0].resource, RLIMIT_NOFILE);
    CHECK_NUMBER(d->limits[0].soft, 1024);
    CHECK(d->limits[0].hard == UINT64_MAX);
    CHECK_NUMBER(d->limits[1].hard, 65536);
    CHECK_TEXT(show(d, KEY_ENV), "{\"A\":\"b\",\"Q\\\"\":\"50%\",\"EMPTY\":\"\"}");
    CHECK_TEXT(show(d, KEY_LIMITS), "{\"nofile\":[1024,\"unlimited\"],\"memlock\":[65536,65536],"
                                    "\"nproc\":[\"unlimited\",\"unlimited\"]}");
    CHECK_TEXT(show(d, KEY_UMASK), "\"077\"");
    CHECK_TEXT(show(d, KEY_STDIN), "\"tty\"");
    definition_destroy(d);
    check_shown("exec: a\nstdin: /x\nconsole: yes\n", KEY_STDIN, "\"/x\"");
}

TEST(what_the_kernel_is_to_do_is_read_and_shown)
{
    static const struct {
        unsigned row;
        const char *line, *shown;
    } rows[] = {
        {KEY_NICE, "description: x", "null"},
        {KEY_NICE, "nice: -20", "-20"},
        {KEY_NICE, "nice: 19", "19"},
        {KEY_NICE, "nice: +5", "5"},
        {KEY_OOM_SCORE_ADJ, "description: x", "null"},
        {KEY_OOM_SCORE_ADJ, "oom-score-adj: -1000", "-1000"},
        {KEY_OOM_SCORE_ADJ, "oom-score-adj: 1000", "1000"},
        {KEY_CPUS, "description: x", "null"},
        {KEY_CPUS, "cpus: 0", "\"0\""},
        {KEY_CPUS, "cpus: 0-3,5", "\"0-3,5\""},
        {KEY_CPUS, "cpus: 5, 1,0-2", "\"0-2,5\""},
        {KEY_CPUS, "cpus: [0, 63-64, 1023]", "\"0,63-64,1023\""},
        {KEY_CPUS, "cpus: 0-1023", "\"0-1023\""},
        {KEY_IO, "description: x", "null"},
        {KEY_IO, "io: idle", "\"idle\""},
        {KEY_IO, "io: best-effort", "\"best-effort 4\""},
        {KEY_IO, "io: best-effort 0", "\"best-effort 0\""},
        {KEY_IO, "io: realtime  7", "\"realtime 7\""},
        {KEY_SCHED, "description: x", "null"},
        {KEY_SCHED, "sched: other", "\"other\""},
        {KEY_SCHED, "sched: batch", "\"batch\""},
        {KEY_SCHED, "sched: idle", "\"idle\""},
        {KEY_SCHED, "sched: fifo 1", "\"fifo 1\""},
        {KEY_SCHED, "sched: rr 99", "\"rr 99\""},
        {KEY_ROOT, "description: x", "\"/\""},
        {KEY_ROOT, "root: /srv/%n", "\"/srv/web\""},
        {KEY_ENV_FILE, "description: x", "null"},
        {KEY_ENV_FILE, "env-file: /etc/%n", "\"/etc/web\""},
        {KEY_ENV_FILE, "env-file: -/etc/%n", "\"-/etc/web\""},
        {KEY_RESOURCES, "description: x",
         "{\"memory\":null,\"memory-high\":null,\"cpu\":null,\"tasks\":null,\"io-weight\":null}"},
        {KEY_RESOURCES,
         "resources: {memory: 1G, memory-high: 512M, cpu: 250%, tasks: 10, io-weight: 1}",
         "{\"memory\":1073741824,\"memory-high\":536870912,\"cpu\":\"250%\",\"tasks\":10,"
         "\"io-weight\":1}"},
        {KEY_RESOURCES, "resources: {cpu: 5}",
         "{\"memory\":null,\"memory-high\":null,\"cpu\":\"5%\",\"tasks\":null,"
         "\"io-weight\":null}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        text_format(text, sizeof text, "exec: a\n%s\n", rows[i].line);
        check_shown(text, rows[i].row, rows[i].shown);
    }
    CHECK(!key_needs_restart(KEY_RESOURCES) && key_needs_restart(KEY_NICE));
}

TEST(an_env_file_that_may_be_missing_is_another_than_one_that_may_not)
{
    struct definition *must = load("exec: a\nenv-file: /x\n");
    struct definition *may = load("exec: a\nenv-file: -/x\n");
    CHECK_TEXT(must->env_file, "/x");
    CHECK_TEXT(may->env_file, "/x");
    CHECK(!must->env_file_optional && may->env_file_optional);
    CHECK(definition_diff(must, may) == KEY_BIT(KEY_ENV_FILE));
    definition_destroy(must);
    definition_destroy(may);
}

/* --- Users --- */

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "# a comment\nshort:x:5\nwww:x:33:34:web,,,:/srv:/bin/false\n"
                             "bad:x:-1:0::/:\nlast:x:40:41::/srv/last:/bin/sh";
static const char group[] = "root:x:0:\nweb:x:34:\nssl:x:50:a,www,b\naudio:x:60:www\n"
                            "not:x:70:wwww,ww\ntwice:x:60:www\n:x:80:,,\nno-colon";

TEST(a_user_brings_the_groups_home_and_shell_of_its_entry)
{
    fake_users_begin(passwd, group);
    struct definition *d = load("exec: a\nuser: www\n");
    CHECK(d->identity.set);
    CHECK_NUMBER(d->identity.uid, 33);
    CHECK_NUMBER(d->identity.gid, 34);
    CHECK_NUMBER(d->identity.group_count, 3);
    CHECK_NUMBER(d->identity.groups[0], 34);
    CHECK_NUMBER(d->identity.groups[1], 50);
    CHECK_NUMBER(d->identity.groups[2], 60);
    CHECK_TEXT(d->identity.user_name, "www");
    CHECK_TEXT(d->identity.home, "/srv");
    CHECK_TEXT(d->identity.shell, "/bin/false");
    CHECK_TEXT(show(d, KEY_GROUP), "34");
    CHECK_TEXT(show(d, KEY_GROUPS), "[34,50,60]");
    definition_destroy(d);
    d = load("exec: a\nuser: 40\n");
    CHECK_NUMBER(d->identity.gid, 41);
    CHECK_TEXT(d->identity.user_name, "last");
    definition_destroy(d);
    fake_users_end();
}

TEST(group_and_groups_replace_those_of_the_user)
{
    fake_users_begin(passwd, group);
    struct definition *d = load("exec: a\nuser: www\ngroup: 99\n");
    CHECK_NUMBER(d->identity.gid, 99);
    CHECK_NUMBER(d->identity.groups[0], 99);
    CHECK_NUMBER(d->identity.group_count, 3);
    definition_destroy(d);
    d = load("exec: a\nuser: 1234\ngroup: web\ngroups: [audio, 7]\n");
    CHECK_NUMBER(d->identity.uid, 1234);
    CHECK_NUMBER(d->identity.gid, 34);
    CHECK_NUMBER(d->identity.group_count, 2);
    CHECK_NUMBER(d->identity.groups[0], 60);
    CHECK_NUMBER(d->identity.groups[1], 7);
    CHECK(d->identity.user_name == NULL && d->identity.home == NULL);
    definition_destroy(d);
    d = load("exec: a\nuser: www\ngroups: []\n");
    CHECK_NUMBER(d->identity.group_count, 0);
    definition_destroy(d);
    d = load("exec: a\ngroup: web\n");
    CHECK(d->identity.set);
    CHECK_NUMBER(d->identity.uid, 0);
    CHECK_NUMBER(d->identity.gid, 34);
    definition_destroy(d);
    fake_users_end();
}

TEST(a_changed_passwd_is_read_again)
{
    fake_users_begin(passwd, group);
    struct definition *before = load("exec: a\nuser: www\n");
    fake_users_put(fake_passwd, "www:x:133:34::/srv:/bin/false\n");
    struct definition *after = load("exec: a\nuser: www\n");
    CHECK_NUMBER(after->identity.uid, 133);
    CHECK(definition_diff(before, after) == KEY_BIT(KEY_USER));
    definition_destroy(before);
    definition_destroy(after);
    fake_users_end();
}

TEST(a_definition_is_compact_and_outlives_its_source)
{
    char *text = strdup("description: Web server\nexec: /usr/sbin/nginx -g 'daemon off;'\n"
                        "needs: [networking]\nrestart: on-failure\n");
    struct definition *d = load(text);
    free(text);
    CHECK_TEXT(d->argv[2], "daemon off;");
    CHECK(definition_size(d) < 700);
    definition_destroy(d);
    definition_destroy(NULL);
}

TEST(what_a_percent_stands_for_cannot_make_a_definition_huge)
{
    enum { MOST = (4 << 20) / SERVICE_NAME_MAX_BYTES };
    char name[SERVICE_NAME_MAX_BYTES + 1], *text = malloc(5 * MOST + 100);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    for (int count = MOST; count <= MOST + 1; count++) {
        struct error_list errors = {0};
        struct definition *definition = NULL;
        size_t used = strlen("exec: [a");
        memcpy(text, "exec: [a", used);
        for (int i = 0; i < count; i++, used += 4)
            memcpy(text + used, ",a%n", 4);
        memcpy(text + used, "]\n", 2);
        struct source source = {.name = name, .path = "x.yml", .text = text, .size = used + 2};
        CHECK_NUMBER(definition_parse(&source, &definition, &errors), count > MOST ? -EINVAL : 0);
        if (count > MOST)
            CHECK_TEXT(errors.list[0].message,
                       "'%n' and '%p' make this file too large: write them less often");
        definition_destroy(definition);
        error_list_finish(&errors);
    }
    free(text);
}

TEST(a_source_that_was_not_read_is_an_error_with_its_reason)
{
    static const struct {
        struct source source;
        const char *message;
    } bad[] = {
        {{.name = "a", .path = "p", .problem = "cannot be read"}, "cannot be read"},
        {{.name = "a", .path = "p", .masked = true}, "is empty, so that the service is masked"},
        {{.name = "@b", .path = "p", .text = "exec: a", .size = 7},
         "the name '@b' begins with '@'; the name of a template comes before it, as in "
         "agetty@tty1"},
        {{.name = "a", .path = "p", .text = "", .size = SOURCE_MAX_BYTES + 1},
         "has 1048577 bytes; at most 1048576 are read"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error_list errors = {0};
        struct definition *definition = NULL;
        CHECK_NUMBER(definition_parse(&bad[i].source, &definition, &errors), -EINVAL);
        CHECK_NUMBER(errors.count, 1);
        CHECK_TEXT(errors.list[0].message, bad[i].message);
        error_list_finish(&errors);
    }
}

TEST(at_most_20_errors_of_a_file_are_told_from_its_top)
{
    char text[2000];
    size_t used = 0;
    struct error_list errors = {0};
    struct definition *definition = NULL;
    for (int i = 0; i < 60; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "zzzz%d: %s\n", i,
                                 i % 4 ? "1" : "*x");
    struct source source = {.name = "web", .path = "web.yml", .text = text, .size = used};
    CHECK_NUMBER(definition_parse(&source, &definition, &errors), -EINVAL);
    CHECK_NUMBER(errors.count, ERRORS_PER_FILE);
    for (size_t i = 1; i < errors.count; i++)
        CHECK(errors.list[i - 1].line <= errors.list[i].line);
    error_list_finish(&errors);
}

TEST(a_quoted_value_in_a_message_is_cut_between_characters)
{
    struct error_list errors = {0};
    char text[200];
    memset(text, 0, sizeof text);
    for (size_t i = 0; i < 59; i++)
        text[i] = 'x';
    memcpy(text + 59, "\xc3\xa9: a\n", 6);
    struct source source = {.name = "web", .path = "web.yml", .text = text, .size = 65};
    struct definition *definition = NULL;
    CHECK_NUMBER(definition_parse(&source, &definition, &errors), -EINVAL);
    CHECK(errors.count && strstr(errors.list[0].message, "x?'") != NULL);
    error_list_finish(&errors);
}
