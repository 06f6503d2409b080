/* The command line of run-on-pid-ns: what each option means, and the sentence for what is wrong. */
#include "base/text.h"
#include "run-on-pid-ns/options.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define WORDS_MAX 80

static char storage[16384]; /* options are taken apart in place, so they need room of their own */
static char *words[WORDS_MAX + 2];
static struct options options;
static char why[OPTIONS_WHY_BYTES];

/* Words, each with a line end or the end behind it, as a command line. */
static int parse(const char *lines)
{
    int count = 1;
    words[0] = (char *)"run-on-pid-ns";
    text_format(storage, sizeof storage, "%s", lines);
    for (char *at = *storage ? storage : NULL; at; count++) {
        words[count] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = 0;
    }
    words[count] = NULL;
    memset(why, 0, sizeof why);
    memset(&options, 0xa5, sizeof options);
    return options_parse(&options, count, words, why);
}

#define REFUSED(lines, sentence)                                                                   \
    do {                                                                                           \
        CHECK_NUMBER(parse(lines), -EINVAL);                                                       \
        CHECK_TEXT(why, sentence);                                                                 \
    } while (0)

TEST(a_command_alone_has_the_defaults)
{
    CHECK_NUMBER(parse("/sbin/init\n--root\n-x"), 0);
    CHECK_TEXT(options.command[0], "/sbin/init");
    CHECK_TEXT(options.command[1], "--root"); /* what is behind the command is the command's */
    CHECK_TEXT(options.command[2], "-x");
    CHECK(!options.command[3] && !options.root && !options.hostname);
    CHECK(!options.keep_proc && !options.dev && !options.private_run && !options.console);
    CHECK(!options.uts && !options.ipc && !options.net && !options.cgroup && !options.user);
    CHECK(!options.help && !options.version && !options.steps && !options.notify);
    CHECK_NUMBER(options.time, TIME_NEW);
    CHECK_NUMBER(options.uptime_ms, 0);
    CHECK(!options.reboot_exits && !options.stop_signal && !options.stop_command[0]);
    CHECK_NUMBER(options.stop_timeout_ms, 8000);
    CHECK_NUMBER(options.bind_count + options.read_only_count + options.environment_count, 0);
}

TEST(each_flag_sets_its_field_and_no_other)
{
    static const struct {
        const char *name;
        const bool *field;
    } flags[] = {{"--keep-proc", &options.keep_proc},
                 {"--dev", &options.dev},
                 {"--private-run", &options.private_run},
                 {"--console", &options.console},
                 {"--uts", &options.uts},
                 {"--ipc", &options.ipc},
                 {"--net", &options.net},
                 {"--cgroup", &options.cgroup},
                 {"--user", &options.user},
                 {"--steps", &options.steps},
                 {"--help", &options.help},
                 {"-h", &options.help},
                 {"--version", &options.version}};
    const size_t count = sizeof flags / sizeof flags[0];
    for (size_t i = 0; i < count; i++) {
        char lines[64];
        text_format(lines, sizeof lines, "%s\ntrue", flags[i].name);
        CHECK_NUMBER(parse(lines), 0);
        for (size_t k = 0; k < count; k++)
            CHECK_NUMBER(*flags[k].field, flags[k].field == flags[i].field);
    }
}

TEST(a_value_is_the_next_word_or_stands_behind_an_equals_sign)
{
    CHECK_NUMBER(parse("--root\n/srv\n--hostname=a=b\n--\n--env"), 0);
    CHECK_TEXT(options.root, "/srv");
    CHECK_TEXT(options.hostname, "a=b");
    CHECK(options.uts);
    CHECK_TEXT(options.command[0], "--env");
    CHECK_NUMBER(parse("--root\n--\ntrue"), 0);
    CHECK_TEXT(options.root, "--");
    REFUSED("--root", "--root: DIR is missing");
    REFUSED("--root\n\ntrue", "--root: a path is missing");
    REFUSED("--root=\ntrue", "--root: a path is missing");
    REFUSED("--dev=yes\ntrue", "--dev: takes no value");
}

TEST(what_is_no_option_is_refused_with_the_nearest_name)
{
    REFUSED("--sytem\ntrue", "there is no option '--sytem', did you mean '--system'?");
    REFUSED("--hostnam=x\ntrue", "there is no option '--hostnam', did you mean '--hostname'?");
    REFUSED("--zzzzzzzzz\ntrue", "there is no option '--zzzzzzzzz' (--help lists them)");
    REFUSED("-x\ntrue", "there is no option '-x' (--help lists them)");
}

TEST(a_command_is_needed_unless_help_or_the_version_is)
{
    REFUSED("", "no command given (--help says how)");
    REFUSED("--dev", "no command given (--help says how)");
    REFUSED("--dev\n--", "no command given (--help says how)");
    CHECK_NUMBER(parse("--help"), 0);
    CHECK_NUMBER(parse("--version"), 0);
}

TEST(binds_have_a_source_a_target_and_a_mode)
{
    CHECK_NUMBER(parse("--bind\n/a\n--bind=/b:/c\n--bind\nd:/e:ro\n--bind\n/f::ro\ntrue"), 0);
    static const struct options_bind expected[] = {
        {"/a", "/a", false}, {"/b", "/c", false}, {"d", "/e", true}, {"/f", "/f", true}};
    CHECK_NUMBER(options.bind_count, 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_TEXT(options.binds[i].source, expected[i].source);
        CHECK_TEXT(options.binds[i].target, expected[i].target);
        CHECK_NUMBER(options.binds[i].read_only, expected[i].read_only);
    }
    REFUSED("--bind=:/x\ntrue", "--bind: the path outside is missing: SOURCE[:TARGET[:ro]]");
    REFUSED("--bind=/a:b\ntrue", "--bind: 'b' is to begin with a slash, for it is a path inside");
    REFUSED("--bind=a\ntrue", "--bind: 'a' is to begin with a slash, for it is a path inside");
    REFUSED("--bind=/a:/b:rw\ntrue",
            "--bind: 'rw' is no mode, only 'ro' is (a colon in a path is written '\\:')");
    REFUSED("--bind=/a:/b:\ntrue",
            "--bind: '' is no mode, only 'ro' is (a colon in a path is written '\\:')");
}

TEST(a_backslash_keeps_a_colon_and_itself_in_a_path)
{
    CHECK_NUMBER(parse("--bind=/a\\:b\\\\:/c\\:\\d\ntrue"), 0);
    CHECK_TEXT(options.binds[0].source, "/a:b\\");
    CHECK_TEXT(options.binds[0].target, "/c:\\d");
    CHECK_NUMBER(parse("--bind=/a\\\ntrue"), 0);
    CHECK_TEXT(options.binds[0].source, "/a\\");
}

TEST(what_is_read_only_is_a_path_inside)
{
    CHECK_NUMBER(parse("--read-only=/a\n--read-only\n/\ntrue"), 0);
    CHECK_NUMBER(options.read_only_count, 2);
    CHECK_TEXT(options.read_only[1], "/");
    REFUSED("--read-only=a\ntrue",
            "--read-only: 'a' is to begin with a slash, for it is a path inside");
    REFUSED("--read-only=\ntrue",
            "--read-only: '' is to begin with a slash, for it is a path inside");
}

TEST(variables_have_a_name)
{
    CHECK_NUMBER(parse("--env=A=b=c\n--env\nGONE\n--env=E=\ntrue"), 0);
    CHECK_NUMBER(options.environment_count, 3);
    CHECK_TEXT(options.environment[0], "A=b=c");
    CHECK_TEXT(options.environment[1], "GONE");
    REFUSED("--env=\ntrue", "--env: the name is missing: NAME=VALUE, or NAME to remove it");
    REFUSED("--env==x\ntrue", "--env: the name is missing: NAME=VALUE, or NAME to remove it");
}

TEST(there_is_an_end_to_what_can_be_given_several_times)
{
    static const struct {
        const char *word, *sentence;
        const size_t *count;
    } rows[] = {
        {"--bind=/a\n", "--bind: more than 64 of them", &options.bind_count},
        {"--read-only=/a\n", "--read-only: more than 64 of them", &options.read_only_count},
        {"--env=A\n", "--env: more than 64 of them", &options.environment_count},
    };
    for (size_t i = 0; i < 3; i++) {
        char lines[2048];
        struct text text;
        text_init(&text, lines, sizeof lines);
        for (int k = 0; k < 64; k++)
            text_add(&text, rows[i].word);
        size_t used = text.used_bytes;
        text_add(&text, "true");
        CHECK_NUMBER(parse(lines), 0);
        CHECK_NUMBER(*rows[i].count, 64);
        text.used_bytes = used;
        text_add(&text, rows[i].word);
        text_add(&text, "true");
        REFUSED(lines, rows[i].sentence);
    }
}

TEST(host_names_have_a_length)
{
    char lines[128] = "--hostname=";
    memset(lines + 11, 'x', 64);
    memcpy(lines + 75, "\ntrue", 6);
    CHECK_NUMBER(parse(lines), 0);
    CHECK_NUMBER(strlen(options.hostname), 64);
    memcpy(lines + 75, "x\ntrue", 7);
    REFUSED(lines, "--hostname: a name has 1 to 64 bytes");
    REFUSED("--hostname=\ntrue", "--hostname: a name has 1 to 64 bytes");
}

TEST(times_are_as_in_service_files)
{
    CHECK_NUMBER(parse("--uptime=3d\n--stop-timeout\n500ms\ntrue"), 0);
    CHECK_NUMBER(options.uptime_ms, 259200000);
    CHECK_NUMBER(options.stop_timeout_ms, 500);
    CHECK_NUMBER(parse("--uptime\n90\n--stop-timeout=never\ntrue"), 0);
    CHECK_NUMBER(options.uptime_ms, 90000);
    CHECK(options.stop_timeout_ms == OPTIONS_TIME_NEVER);
    REFUSED("--uptime=soon\ntrue",
            "--uptime: 'soon' is no time, as 500ms, 5s, 2min, 1h and 1d are");
    REFUSED("--stop-timeout=-1\ntrue",
            "--stop-timeout: '-1' is no time, as 500ms, 5s, 2min, 1h and 1d are");
    REFUSED("--uptime=never\ntrue",
            "--uptime: 'never' is no time, as 500ms, 5s, 2min, 1h and 1d are");
    REFUSED("--uptime=99999999999999999999d\ntrue",
            "--uptime: '99999999999999999999d' is too long");
    /* More than the seconds of any clock; the kernel has the last word on less. */
    CHECK_NUMBER(parse("--uptime=18446744073709551615ms\ntrue"), 0);
}

TEST(choices_are_one_of_their_words)
{
    CHECK_NUMBER(parse("--time=required\n--on-reboot=exit\ntrue"), 0);
    CHECK(options.time == TIME_REQUIRED && options.reboot_exits);
    CHECK_NUMBER(parse("--time=shared\n--on-reboot=restart\ntrue"), 0);
    CHECK(options.time == TIME_SHARED && !options.reboot_exits);
    CHECK_NUMBER(parse("--time=shared\n--time=new\ntrue"), 0); /* the last one counts */
    CHECK(options.time == TIME_NEW);
    REFUSED("--time=old\ntrue", "--time: 'old' is none of new, required or shared");
    REFUSED("--on-reboot=\ntrue", "--on-reboot: '' is none of restart or exit");
}

TEST(a_stop_is_a_signal_or_a_command)
{
    CHECK_NUMBER(parse("--stop-signal=usr2\ntrue"), 0);
    CHECK_NUMBER(options.stop_signal, SIGUSR2);
    CHECK_NUMBER(parse("--stop-command=  init 0\t\ntrue"), 0);
    CHECK_TEXT(options.stop_command[0], "init");
    CHECK_TEXT(options.stop_command[1], "0");
    CHECK(!options.stop_command[2]);
    REFUSED("--stop-signal=NONE\ntrue",
            "--stop-signal: 'NONE' is no signal, as TERM, RTMIN+3 and 15 are");
    REFUSED("--stop-signal=0\ntrue",
            "--stop-signal: '0' is no signal, as TERM, RTMIN+3 and 15 are");
    REFUSED("--stop-signal=99\ntrue",
            "--stop-signal: '99' is no signal, as TERM, RTMIN+3 and 15 are");
    REFUSED("--stop-command= \ntrue", "--stop-command: a command is missing");
    REFUSED("--stop-command=a\n--stop-signal=1\ntrue",
            "--stop-signal and --stop-command: one of them");
}

TEST(a_stop_command_has_so_many_words_at_most)
{
    char lines[128] = "--stop-command=";
    for (size_t i = 0; i < 32; i++)
        memcpy(lines + 15 + 2 * i, "a ", 2);
    memcpy(lines + 79, "\ntrue", 6);
    CHECK_NUMBER(parse(lines), 0);
    CHECK(options.stop_command[31] && !options.stop_command[32]);
    memcpy(lines + 79, "a\ntrue", 7);
    REFUSED(lines, "--stop-command: more than 32 words");
}

TEST(a_system_is_a_set_of_options)
{
    CHECK_NUMBER(parse("--system\ntrue"), 0);
    CHECK(options.uts && options.ipc && options.cgroup && options.dev && options.private_run);
    CHECK(options.console && options.notify && options.net);
    CHECK(!options.user && !options.root && !options.keep_proc);
    CHECK_NUMBER(options.read_only_count, 1);
    CHECK_TEXT(options.read_only[0], "/proc/sys");
}

TEST(what_does_not_go_together_is_refused)
{
    REFUSED("--uptime=1\n--time=shared\ntrue",
            "--uptime needs a time of its own: leave out --time shared");
    REFUSED("--notify\ntrue", "--notify needs --private-run, for its socket is in /run");
    CHECK_NUMBER(parse("--notify\n--private-run\ntrue"), 0);
    CHECK(options.notify);
}

/* What the help prints, through a pipe. */
TEST(the_help_has_each_option_and_the_exit_statuses)
{
    static const char *const names[] = {"--root DIR",
                                        "--bind SOURCE[:TARGET[:ro]]",
                                        "--read-only PATH",
                                        "--keep-proc",
                                        "--dev",
                                        "--private-run",
                                        "--console",
                                        "--uts",
                                        "--hostname NAME",
                                        "--ipc",
                                        "--net",
                                        "--cgroup",
                                        "--user",
                                        "--system",
                                        "--time new|required|shared",
                                        "--uptime TIME",
                                        "--env NAME=VALUE",
                                        "--on-reboot restart|exit",
                                        "--stop-signal SIGNAL",
                                        "--stop-command WORDS",
                                        "--stop-timeout TIME",
                                        "--notify",
                                        "--steps",
                                        "--help",
                                        "--version"};
    static char help[16384];
    int ends[2];
    CHECK_NUMBER(pipe(ends), 0);
    int saved = dup(1);
    fflush(stdout);
    dup2(ends[1], 1);
    options_print_help();
    fflush(stdout);
    dup2(saved, 1);
    close(ends[1]);
    close(saved);
    ssize_t bytes = read(ends[0], help, sizeof help - 1);
    close(ends[0]);
    CHECK(bytes > 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[64];
        text_format(line, sizeof line, "\n  %s", names[i]);
        CHECK(strstr(help, line));
    }
    CHECK(strstr(help, "125") && strstr(help, "126") && strstr(help, "127") && strstr(help, "129"));
}
