/* Users and groups: entries that are none, numbers, and when the files are read again. */
#include "config/definition-parse.h"
#include "config/users.h"
#include "fake-users.h"
#include "service-text.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void refresh(void)
{
    const char *path = NULL;
    CHECK_NUMBER(users_refresh(&path), 0);
}

TEST(an_entry_that_is_none_is_nobody)
{
    static const char *const none[] = {
        "a\n",
        "a:x:1:2:c:/d\n",
        "a:x::2:c:/d:e\n",
        "a:x:1::c:/d:e\n",
        "a:x:12345678901:2:c:/d:e\n",
        "a:x:1x:2:c:/d:e\n",
        "a:x: 1:2:c:/d:e\n",
        "a:x:4294967295:2:c:/d:e\n",
        "aa:x:1:2:c:/d:e\n",
        "b:x:1:2:c:/d:e\n",
    };
    struct user user;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        fake_users_begin(none[i], "");
        refresh();
        CHECK_NUMBER(users_find("a", &user), -ENOENT);
        CHECK_NUMBER(users_find_number(4294967295, &user), -ENOENT);
        fake_users_end();
    }
}

TEST(an_entry_may_have_more_fields_and_the_largest_numbers)
{
    struct user user;
    fake_users_begin("a:x:1:1\na:x:4294967294:4294967294:c:/d:/e:more:fields\n", "");
    refresh();
    CHECK_NUMBER(users_find("a", &user), 0);
    CHECK_NUMBER(user.uid, 4294967294);
    CHECK_NUMBER(user.shell_length, 2);
    CHECK_NUMBER(users_find_number(4294967294, &user), 0);
    CHECK_NUMBER(users_find_number(1, &user), -ENOENT);
    fake_users_end();
}

TEST(a_group_that_is_none_is_passed_over)
{
    static const struct {
        const char *line;
        int result;
    } rows[] = {
        {"g:x:5:\n", 0},
        {"g:x:5\n", 0},
        {"g:x\n", -ENOENT},
        {"g\n", -ENOENT},
        {"g:x::a\n", -ENOENT},
        {"g:x:5a:\n", -ENOENT},
        {"g:x:4294967295:\n", -ENOENT},
        {"gg:x:5:\n", -ENOENT},
        {"", -ENOENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        gid_t gid = 99;
        fake_users_begin("", rows[i].line);
        refresh();
        CHECK_NUMBER(users_find_group("g", &gid), rows[i].result);
        CHECK_NUMBER(gid, rows[i].result ? 99 : 5);
        fake_users_end();
    }
}

TEST(a_number_without_an_entry_is_in_no_group_and_bad_groups_are_nobodys)
{
    static const char group[] =
        "g:x:5:www\nh:x:bad:www\ni:x:6\nj:x:7:www\ng:x:5:www\nk:x:8:www2,ww\n";
    fake_users_begin("www:x:1:9::/:/bin/sh\n", group);
    struct definition *with = load("exec: a\nuser: www\n");
    CHECK_TEXT(show(with, KEY_GROUPS), "[9,5,7]");
    struct definition *without = load("exec: a\nuser: 1234\ngroup: 3\n");
    CHECK_TEXT(show(without, KEY_GROUPS), "[3]");
    definition_destroy(with);
    definition_destroy(without);
    fake_users_end();
}

TEST(while_they_are_held_the_files_are_looked_at_once)
{
    struct user user;
    fake_users_begin("a:x:1:1::/:\n", "");
    users_hold();
    refresh();
    fake_users_put(fake_passwd, "bb:x:2:2::/:\n");
    refresh();
    CHECK_NUMBER(users_find("a", &user), 0);
    users_hold(); /* a new batch */
    refresh();
    CHECK_NUMBER(users_find("a", &user), -ENOENT);
    fake_users_put(fake_passwd, "c:x:3:3::/:\n");
    users_release();
    refresh();
    CHECK_NUMBER(users_find("c", &user), 0);
    fake_users_end();
}

/* On another device than it is. */
static dev_t moved;
int __real_stat64(const char *path, struct stat *about); /* NOLINT: the linker's names */
int __wrap_stat64(const char *path, struct stat *about); /* NOLINT */
int __wrap_stat64(const char *path, struct stat *about)  /* NOLINT */
{
    int result = __real_stat64(path, about);
    about->st_dev += moved;
    return result;
}

static const char *write_user(char letter, struct timespec time)
{
    static char name[] = "?";
    const struct timespec times[] = {time, time};
    char text[] = "?:x:1:1::/:\n";
    text[0] = name[0] = letter;
    fake_users_put(fake_passwd, text);
    CHECK_NUMBER(utimensat(AT_FDCWD, fake_passwd, times, 0), 0);
    return name;
}

/* Everything that stat(2) tells of a file but one thing is as it was. */
TEST(a_file_of_the_same_size_is_read_again_when_it_was_changed)
{
    static const struct timespec times[] = {{1000, 0}, {2000, 0}, {2000, 5}};
    struct user user;
    struct stat before, now;
    fake_users_begin("a:x:1:1::/:\n", "");
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const char *name = write_user((char)('b' + i), times[i]);
        refresh();
        CHECK_NUMBER(users_find(name, &user), 0);
        CHECK_NUMBER(users_find("a", &user), -ENOENT);
    }
    CHECK_NUMBER(stat(fake_passwd, &before), 0);
    do { /* until the kernel's clock has gone on */
        write_user('f', times[2]);
        CHECK_NUMBER(stat(fake_passwd, &now), 0);
    } while (now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
    refresh();
    CHECK_NUMBER(users_find("f", &user), 0);
    moved = 1;
    int fd = open(fake_passwd, O_WRONLY | O_CLOEXEC);
    CHECK_NUMBER(pwrite(fd, "g", 1, 0), 1);
    close(fd);
    refresh();
    CHECK_NUMBER(users_find("g", &user), 0);
    moved = 0;
    fake_users_end();
}

TEST(files_that_are_not_there_are_empty_and_others_are_an_error)
{
    struct user user;
    const char *path = NULL;
    users_set_paths("/dev/null/passwd", "/no/such/group");
    refresh();
    CHECK_NUMBER(users_find("root", &user), -ENOENT);
    users_set_paths("/", "/no/such/group");
    CHECK_NUMBER(users_refresh(&path), -EINVAL);
    CHECK_TEXT(path, "/");
    users_set_paths("/no/such/passwd", "/dev");
    CHECK_NUMBER(users_refresh(&path), -EINVAL);
    CHECK_TEXT(path, "/dev");
    users_set_paths(NULL, NULL);
}
