/* The parts of init that can be asked without being PID 1. */
#include "init/container.h"
#include "init/ended.h"
#include "init/held.h"
#include "init/last-steps.h"
#include "init/lines.h"
#include "init/options.h"
#include "init/process.h"
#include "init/processes.h"
#include "init/record.h"
#include "init/stage1-mount.h"
#include "init/steps.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

static struct record record;

__attribute__((constructor)) static void make_record(void)
{
    record_create(&record);
    held_use(record.kept);
    ended_use(record.kept);
    lines_use(record.kept);
}

static int some_fd(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

TEST(only_keys_below_the_bound_are_held)
{
    int a = some_fd(), b = some_fd();
    CHECK_NUMBER(held_store(KEY_MAX - 1, OWNER_JOURNAL, a), 0);
    CHECK_NUMBER(held_store(KEY_MAX, OWNER_JOURNAL, b), -ERANGE);
    CHECK(is_open(a) && !is_open(b));
    held_close();
}

TEST(a_stored_descriptor_is_held_until_its_last_owner_drops_it)
{
    int a = some_fd(), b = some_fd();
    uint32_t keys[8], cursor = 0;
    int fds[8];
    CHECK_NUMBER(held_store(5, OWNER_LAUNCHER | OWNER_JOURNAL, a), 0);
    CHECK_NUMBER(held_store(KEY_MAX - 1, OWNER_JOURNAL, b), 0);
    CHECK_NUMBER(held_next(&cursor, OWNER_LAUNCHER, keys, fds, 8), 1);
    CHECK_NUMBER(keys[0], 5);
    CHECK_NUMBER(fds[0], a);
    cursor = 0;
    CHECK_NUMBER(held_next(&cursor, OWNER_JOURNAL, keys, fds, 1), 1);
    CHECK_NUMBER(held_next(&cursor, OWNER_JOURNAL, keys, fds, 8), 1);
    CHECK_NUMBER(keys[0], KEY_MAX - 1);
    CHECK_NUMBER(held_next(&cursor, OWNER_JOURNAL, keys, fds, 8), 0);
    held_drop(5, OWNER_LAUNCHER);
    CHECK(is_open(a));
    held_drop(5, OWNER_JOURNAL);
    CHECK(!is_open(a));
    held_close();
    CHECK(!is_open(b));
}

TEST(what_cannot_be_held_is_closed_and_said)
{
    int fd = some_fd();
    CHECK_NUMBER(held_store(KEY_MAX, OWNER_LAUNCHER, fd), -ERANGE);
    CHECK(!is_open(fd));
    fd = some_fd();
    CHECK_NUMBER(held_store(1, 0, fd), -EINVAL);
    CHECK(!is_open(fd));
    fd = some_fd();
    held_set_limit(fd);
    CHECK_NUMBER(held_store(1, OWNER_LAUNCHER, fd), -EMFILE);
    CHECK(!is_open(fd));
    held_set_limit(INT_MAX); /* more than ever are open */
    fd = some_fd();
    CHECK_NUMBER(held_store(1, OWNER_LAUNCHER, fd), 0);
    held_set_limit(0);
    held_drop(2, OWNER_LAUNCHER); /* its page is there, and nothing under it */
    CHECK(is_open(fd));
    held_drop(1, OWNER_LAUNCHER);
    held_drop(1, OWNER_LAUNCHER);
    held_drop(UINT32_MAX, OWNER_LAUNCHER);
}

TEST(a_store_under_the_same_key_closes_the_former)
{
    int a = some_fd(), b = some_fd();
    CHECK_NUMBER(held_store(9, OWNER_LAUNCHER, a), 0);
    CHECK_NUMBER(held_store(9, OWNER_LAUNCHER, b), 0);
    CHECK(!is_open(a) && is_open(b));
    held_close();
}

/* Takes all that is not sent, and says whether it is first, first + 1 … */
static size_t send_all(int first)
{
    struct hand_over_ended pairs[100];
    size_t all = 0, count;
    while ((count = ended_peek(pairs, 100))) {
        for (size_t i = 0; i < count; i++)
            CHECK_NUMBER(pairs[i].pid, first + (int)(all + i));
        ended_sent(count);
        all += count;
    }
    return all;
}

TEST(pairs_not_seen_are_sent_again_after_a_rewind)
{
    for (int i = 0; i < 10; i++)
        ended_push((struct hand_over_ended){1 + i, 0});
    CHECK_NUMBER(send_all(1), 10);
    ended_seen(4);
    ended_rewind();
    CHECK_NUMBER(send_all(5), 6);
    ended_seen(1000000);
    ended_rewind();
    CHECK_NUMBER(send_all(0), 0);
}

TEST(a_full_ring_keeps_the_last_pairs)
{
    for (int i = 0; i < ENDED_RING; i++)
        CHECK(!ended_push((struct hand_over_ended){1 + i, 0}));
    CHECK(ended_is_full());
    for (int i = 0; i < 10; i++)
        CHECK(ended_push((struct hand_over_ended){1 + ENDED_RING + i, 0}));
    CHECK_NUMBER(send_all(11), ENDED_RING);
    ended_seen(ENDED_RING);
    CHECK(!ended_is_full());
}

TEST(acknowledgements_of_pairs_that_were_pushed_out_do_not_count_for_others)
{
    for (int i = 0; i < ENDED_RING; i++)
        ended_push((struct hand_over_ended){1 + i, 0});
    struct hand_over_ended pairs[5];
    CHECK_NUMBER(ended_peek(pairs, 5), 5);
    ended_sent(5);
    ended_push((struct hand_over_ended){9001, 0}); /* pushes out 1 and 2, which were sent */
    ended_push((struct hand_over_ended){9002, 0});
    ended_seen(1); /* of 1 to 5: 3, 4 and 5 are still there */
    ended_seen(4);
    ended_rewind();
    CHECK_NUMBER(ended_peek(pairs, 1), 1);
    CHECK_NUMBER(pairs[0].pid, 6);
    ended_sent(ENDED_RING);
    ended_seen(ENDED_RING);
}

TEST(lines_come_out_in_order_and_the_oldest_make_room)
{
    char line[300], text[960];
    size_t bytes = 0;
    enum log_level level;
    int first = -1, count = 0;
    for (int i = 0; i < 1000; i++) {
        text_format(line, sizeof line, "%d%*s\n", i, 1 + i % 250, "x");
        lines_sink(NULL, LOG_INFO, line, strlen(line));
    }
    while (lines_peek(text, sizeof text - 1, &bytes, &level)) {
        text[bytes] = 0;
        int number = (int)strtol(text, NULL, 10);
        CHECK(text[bytes - 1] == 'x');
        CHECK_NUMBER(level, LOG_INFO);
        if (first < 0)
            first = number;
        CHECK_NUMBER(number, first + count++);
        lines_take();
    }
    CHECK_NUMBER(first + count, 1000);
    CHECK(count > 50);
    lines_take();
    CHECK(!lines_peek(text, sizeof text, &bytes, &level));
}

TEST(a_line_without_an_end_or_of_any_length_is_kept_as_far_as_there_is_room)
{
    static char line[LOG_LINE_BYTES + 500], text[LOG_LINE_BYTES + 500];
    size_t bytes = 0;
    enum log_level level;
    lines_sink(NULL, LOG_INFO, "half", 4);
    lines_sink(NULL, LOG_INFO, "", 0);
    memset(line, 'x', sizeof line);
    lines_sink(NULL, LOG_ERROR, line, sizeof line);
    CHECK(lines_peek(text, sizeof text, &bytes, &level));
    CHECK(bytes == 4 && memcmp(text, "half", 4) == 0);
    lines_take();
    CHECK(lines_peek(text, sizeof text, &bytes, &level) && bytes == 0);
    lines_take();
    CHECK(lines_peek(text, sizeof text, &bytes, &level));
    CHECK_NUMBER(bytes, LOG_LINE_BYTES);
    CHECK_NUMBER(level, LOG_ERROR);
    CHECK(lines_peek(text, 7, &bytes, &level)); /* where there is less room than it takes */
    CHECK_NUMBER(bytes, 7);
    lines_take();
}

static int parse_hostname(const char *file, char *name)
{
    char text[256];
    text_format(text, sizeof text, "%s", file);
    return stage1_parse_hostname(text, name, 65);
}

TEST(the_host_name_is_the_first_line_that_is_neither_blank_nor_comment)
{
    char name[65] = "";
    CHECK_NUMBER(parse_hostname("box\n", name), 0);
    CHECK_TEXT(name, "box");
    CHECK_NUMBER(parse_hostname("# the name\n\n  \t\n \tmy.host \r\nother\n", name), 0);
    CHECK_TEXT(name, "my.host");
    CHECK_NUMBER(parse_hostname("tab\t\n", name), 0);
    CHECK_TEXT(name, "tab");
    CHECK_NUMBER(parse_hostname("end", name), 0);
    CHECK_TEXT(name, "end");
    CHECK_NUMBER(parse_hostname("", name), -ENOENT);
    CHECK_NUMBER(parse_hostname("#only\n\n", name), -ENOENT);
    CHECK_NUMBER(parse_hostname("two words\n", name), -EINVAL);
    CHECK_NUMBER(parse_hostname("a/b\n", name), -EINVAL);
    CHECK_NUMBER(parse_hostname("0123456789012345678901234567890123456789012345678901234567890"
                                "1234\n",
                                name),
                 -EINVAL);
    CHECK_TEXT(name, "end");
}

TEST(a_line_of_mountinfo_gives_target_and_type)
{
    char line[] = "36 35 98:0 /mnt1 /mnt/a\\040b\\134 rw,noatime master:1 - ext3 /dev/root rw";
    char short_line[] = "36 35 98:0 /mnt1", no_type[] = "36 35 98:0 / /x rw - ";
    char *target, *type;
    CHECK_NUMBER(last_steps_parse_mount(line, &target, &type), 0);
    CHECK_TEXT(target, "/mnt/a b\\");
    CHECK_TEXT(type, "ext3");
    CHECK_NUMBER(last_steps_parse_mount(short_line, &target, &type), -EINVAL);
    CHECK_NUMBER(last_steps_parse_mount(no_type, &target, &type), -EINVAL);
    CHECK_TEXT(type, "ext3");
}

TEST(a_stat_of_any_name_is_read)
{
    struct process process;
    const char *rest = " S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 1";
    char text[200];
    text_format(text, sizeof text, "7 (a) b (c)%s", rest);
    CHECK_NUMBER(process_parse_stat(text, &process), 0);
    CHECK_NUMBER(process.pid, 7);
    CHECK_TEXT(process.name, "a) b (c");
    CHECK(process.state == 'S' && !process.kernel_thread);
    CHECK_NUMBER(process.start_ticks, 12345);
    CHECK_NUMBER(process_parse_stat(
                     "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0", &process),
                 0);
    CHECK(process.kernel_thread);
    CHECK_NUMBER(process_parse_stat("", &process), -EINVAL);
    CHECK_NUMBER(process_parse_stat("7 (a) S 1", &process), -EINVAL);
    static const char *const none[] = {
        "7 )a( S",
        "7 (a",
        "7 (a)S 1",
        "7 (a) ",
        "0 (a) S 1 7 7 0 -1 4194560",
        "7 (a) S 1 7 7 0 -1",
        "7 (a) S 1 7 7 0 -1 4194560 1 2 3",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_NUMBER(process_parse_stat(none[i], &process), -EINVAL);
    text_format(text, sizeof text, "0 (a)%s", rest);
    CHECK_NUMBER(process_parse_stat(text, &process), -EINVAL);
}

TEST(only_the_initial_namespace_is_a_machine)
{
    CHECK(container_is_initial_namespace("pid:[4026531836]"));
    CHECK(!container_is_initial_namespace("pid:[4026531837]"));
    CHECK(!container_is_initial_namespace("pid:[40265318360]"));
    CHECK(!container_is_initial_namespace(""));
}

static int succeed(const struct step *step)
{
    (void)step;
    return 0;
}

static int fail_with_busy(const struct step *step)
{
    (void)step;
    return -EBUSY;
}

static int hang(const struct step *step)
{
    (void)step;
    pause(); /* until it is killed */
    return 0;
}

static int crash(const struct step *step)
{
    (void)step;
    _exit(9);
}

TEST(a_step_that_hangs_or_crashes_is_given_up_and_the_next_ones_are_run)
{
    struct step steps[] = {
        {"try", "a", succeed, NULL, 10000, 1},        {"try", "b", hang, NULL, 50, 1},
        {"try", "c", fail_with_busy, NULL, 10000, 1}, {"try", "d", crash, NULL, 10000, 1},
        {"try", "e", crash, NULL, 10000, 1},          {"try", "f", succeed, NULL, 10000, 1},
    };
    static const int expected[] = {0, -ETIMEDOUT, -EBUSY, -ECHILD, -ECHILD, 0};
    steps_run(steps, 6);
    for (int i = 0; i < 6; i++)
        CHECK_NUMBER(steps[i].result, expected[i]);
    steps_run(steps, 0);
}

TEST(options_are_handed_on_and_unknown_words_are_left_out)
{
    struct options options;
    const char *const words[] = {
        "init",         "--services", "/a",           "splash", "--services=/b",
        "--log-format", "json",       "--log-level=", "single", NULL};
    unsetenv("CONIT_RUNTIME");
    options_parse(&options, 9, words);
    CHECK_NUMBER(options.argument_count, 6);
    CHECK_TEXT(options.arguments[1], "/a");
    CHECK_TEXT(options.arguments[3], "/b");
    CHECK_TEXT(options.arguments[4], "--log-format");
    CHECK(options.json);
    CHECK_TEXT(options.wrong, "splash");
    setenv("CONIT_RUNTIME", "/r", 1);
    const char *const with[] = {"init", "--runtime", "/x", "--help", NULL};
    options_parse(&options, 4, with);
    CHECK_NUMBER(options.argument_count, 2);
    CHECK_TEXT(options.arguments[1], "/x");
    CHECK(options.help && !options.version && !options.wrong);
    options_parse(&options, 1, with);
    CHECK_TEXT(options.arguments[1], "/r");
    const char *const longer[] = {"init", "--servicesX", "--log-format", "xml", NULL};
    options_parse(&options, 2, longer);
    CHECK_TEXT(options.wrong, "--servicesX");
    options_parse(&options, 4, (const char *const[]){"init", "--log-format", "xml", "--json"});
    CHECK_TEXT(options.wrong, "--log-format");
    CHECK(!options.json);
    options_parse(&options, 3, (const char *const[]){"init", "--log-format", "text"});
    CHECK(!options.wrong && !options.json);
    setenv("CONIT_RUNTIME", "", 1);
    options_parse(&options, 1, with);
    CHECK_NUMBER(options.argument_count, 0);
    const char *const last[] = {"init", "--config", NULL};
    options_parse(&options, 2, last);
    CHECK_TEXT(options.wrong, "--config");
}

TEST(how_long_a_start_may_take_is_whole_seconds_and_nothing_for_the_children)
{
    static const char *const wrong[] = {"0", "86401", "-1", "1s", "", "99999999999999999999"};
    struct options options;
    unsetenv("CONIT_RUNTIME");
    options_parse(&options, 1, (const char *const[]){"init"});
    CHECK_NUMBER(options.start_timeout_s, 60);
    options_parse(&options, 3, (const char *const[]){"init", "--start-timeout", "86400"});
    CHECK_NUMBER(options.start_timeout_s, 86400);
    CHECK_NUMBER(options.argument_count, 0);
    CHECK(!options.wrong);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options_parse(&options, 3, (const char *const[]){"init", "--start-timeout", wrong[i]});
        CHECK_TEXT(options.wrong, "--start-timeout");
        CHECK_NUMBER(options.start_timeout_s, 60);
    }
}
