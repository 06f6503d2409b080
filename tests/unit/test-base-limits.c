/* What the base makes of what lies at its limits: the first and last that are good, and the next
 * ones. */
#include "base/error.h"
#include "base/expression.h"
#include "base/file-mark.h"
#include "base/group.h"
#include "base/host-port.h"
#include "base/signals.h"
#include "base/text.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>

TEST(real_time_signals_are_counted_from_both_ends)
{
    int signal = 0;
    char name[20];
    static const char *const bad[] = {"RTMAX+1", "RTMIN-1",  "RTMIN+x",
                                      "RTMAX-",  "RTMIN+31", "RTMAX-31"};
    CHECK_NUMBER(signals_parse("RTMAX", &signal), 0);
    CHECK_NUMBER(signal, SIGRTMAX);
    CHECK_NUMBER(signals_parse("rtmax-3", &signal), 0);
    CHECK_NUMBER(signal, SIGRTMAX - 3);
    CHECK_NUMBER(signals_parse("SIGRTMIN+3", &signal), 0);
    CHECK_NUMBER(signal, SIGRTMIN + 3);
    text_format(name, sizeof name, "%d", SIGRTMAX);
    CHECK_NUMBER(signals_parse(name, &signal), 0);
    CHECK_NUMBER(signal, SIGRTMAX);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(signals_parse(bad[i], &signal) < 0);
    CHECK_NUMBER(signals_parse("99999999999999999999999", &signal), -ERANGE);
    CHECK_NUMBER(signals_parse("65", &signal), -ERANGE);
}

TEST(a_text_that_cannot_be_formatted_stays_as_it_was)
{
    char storage[32];
    struct text text;
    text_init(&text, storage, sizeof storage);
    text_add(&text, "one");
    text_printf(&text, " two %lc", (wint_t)0x7fffffff); /* no character */
    CHECK_TEXT(storage, "one");
    text_add(&text, ", three");
    CHECK_TEXT(storage, "one, three");
    CHECK(!text.cut);
}

TEST(a_file_without_a_number_or_of_the_first_moment_is_there)
{
    CHECK(!file_mark_is_set(&(struct file_mark){0, 0}));
    CHECK(file_mark_is_set(&(struct file_mark){0, 1}));
    CHECK(file_mark_is_set(&(struct file_mark){1, 0}));
}

TEST(lists_are_the_same_word_for_word)
{
    char a[] = "a", b[] = "b";
    char *const none[] = {NULL}, *const one[] = {a, NULL}, *const two[] = {a, b, NULL},
                *const other[] = {b, NULL};
    CHECK(text_same_lists(NULL, NULL) && text_same_lists(none, NULL) &&
          text_same_lists(NULL, none));
    CHECK(!text_same_lists(one, NULL) && !text_same_lists(NULL, one));
    CHECK(text_same_lists(two, two) && text_same_lists(none, none));
    CHECK(!text_same_lists(one, two) && !text_same_lists(two, one) && !text_same_lists(one, other));
}

TEST(an_escape_that_is_cut_short_stays_as_it_is)
{
    static const struct {
        const char *text, *plain;
    } rows[] = {{"a\\040b", "a b"}, {"\\", "\\"},     {"\\0", "\\0"},       {"\\04", "\\04"},
                {"\\048", "\\048"}, {"\\08", "\\08"}, {"\\4000", "\\4000"}, {"\\377", "\377"},
                {"\\/1", "\\/1"},   {"\\0/", "\\0/"}, {"\\01/", "\\01/"}};
    char text[16];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text_format(text, sizeof text, "%s", rows[i].text);
        text_unescape(text);
        CHECK_TEXT(text, rows[i].plain);
    }
}

TEST(the_word_itself_is_the_nearest)
{
    static const char *const words[] = {"stop", "start", "status", "start"};
    CHECK(text_nearest("start", words, 4) == words[1]);
    CHECK_TEXT(text_nearest("statr", words, 4), "start");
}

TEST(an_error_without_a_column_shows_its_line)
{
    struct error error = {.file = "web.yml", .line = 3, .message = "bad"};
    char shown[100];
    error_format(&error, shown, sizeof shown);
    CHECK_TEXT(shown, "web.yml:3: bad");
}

TEST(expressions_that_mean_something_elsewhere_only_are_refused)
{
    static const char *const good[] = {"[[.a.]]b", "[[=a=]]", "a{0}b", "a{1}",
                                       "a{0,3}",   "[[]",     "[a-]"};
    static const char *const bad[] = {"\\Zx", "\\<a",      "a\\>", "\\`a", "a\\'",
                                      "a\rb", "[[:alpha]", "a{2",  "[[:"};
    char why[EXPRESSION_WHY_BYTES];
    regex_t regex;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int failed = expression_compile(&regex, good[i], why);
        CHECK_NUMBER(failed, 0);
        if (!failed)
            regfree(&regex);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_NUMBER(expression_compile(&regex, bad[i], why), -EINVAL);
        CHECK(why[0]);
    }
}

TEST(a_group_whose_line_is_no_good_is_passed_over)
{
    static const char text[] =
        "adm:x:bad:\nadm:x::\nadm:x:4x:\nadm:x:99999999999:\nadm:x:4294967295:\n"
        "adm\nadm:x\n:x:5:\nadmin:x:6:\nadm:x:4:syslog\n";
    char path[40];
    gid_t group = 0;
    int fd = memfd_create("group", MFD_CLOEXEC);
    CHECK_NUMBER(write(fd, text, sizeof text - 1), sizeof text - 1);
    text_format(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_NUMBER(group_find(path, "adm", &group), 0);
    CHECK_NUMBER(group, 4);
    CHECK_NUMBER(group_find(path, "ad", &group), -ENOENT);
    close(fd);
}

TEST(a_bracket_that_is_open_is_no_address)
{
    struct host_port found[HOST_PORT_MAX];
    CHECK(host_port_parse("[::1:80", found) < 0);
    CHECK(host_port_parse("[]:80", found) < 0);
    CHECK(host_port_parse("[::1]80", found) < 0);
    CHECK_NUMBER(host_port_parse("[::1]:80", found), 1);
}
