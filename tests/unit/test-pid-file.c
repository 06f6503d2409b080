/* Files with the number of a process. */
#include "base/file-mark.h"
#include "proc/pid-file.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int parse(const char *text, pid_t *ret)
{
    return pid_file_parse(text, strlen(text), ret);
}

TEST(a_number_with_blanks_around_it_is_read)
{
    static const char *const good[] = {"123",     "123\n",    " 123 \n",     "\n\n123\n",
                                       "123\r\n", "000123\n", "123\nmore\n", "\t123"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        pid_t pid = 0;
        CHECK_NUMBER(parse(good[i], &pid), 0);
        CHECK_NUMBER(pid, 123);
    }
}

TEST(what_is_no_process_is_refused)
{
    static const char *const bad[] = {"x", "-5",          "+5",   "12x", "1 2", "0",
                                      "1", "99999999999", "0x10", "1.5", "\x01"};
    pid_t pid = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_NUMBER(parse(bad[i], &pid), -EINVAL);
    CHECK_NUMBER(pid_file_parse("12\0"
                                "3",
                                4, &pid),
                 -EINVAL);
    CHECK_NUMBER(pid, 77);
}

TEST(an_empty_file_is_one_that_is_being_written)
{
    pid_t pid;
    CHECK_NUMBER(parse("", &pid), -ENODATA);
    CHECK_NUMBER(parse(" \n", &pid), -ENODATA);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

TEST(only_a_regular_file_is_read_and_nothing_is_waited_for)
{
    char folder[] = "/tmp/pid-file.XXXXXX", file[64], fifo[64];
    pid_t pid = 0;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    CHECK_NUMBER(pid_file_read(file, &pid), -ENOENT);
    CHECK_NUMBER(pid_file_read(folder, &pid), -EISDIR);
    CHECK_NUMBER(mkfifo(fifo, 0600), 0);
    CHECK_NUMBER(pid_file_read(fifo, &pid), -EISDIR);
    put(file, "4711\n");
    CHECK_NUMBER(pid_file_read(file, &pid), 0);
    CHECK_NUMBER(pid, 4711);
    unlink(file);
    unlink(fifo);
    rmdir(folder);
}

TEST(a_mark_knows_a_file_that_was_made_or_changed_since)
{
    char file[] = "/tmp/mark.XXXXXX";
    int fd = mkstemp(file);
    struct file_mark none = file_mark("/nowhere"), first = file_mark(file), again = file_mark(file);
    CHECK(fd >= 0);
    CHECK(!file_mark_is_set(&none));
    CHECK(file_mark_is_set(&first) && file_mark_equal(&first, &again));
    /* The kernel's clock may be coarse: the change is made until it has moved. */
    for (int i = 0; i < 1000000 && file_mark_equal(&first, &again); i++) {
        CHECK_NUMBER(fchmod(fd, i % 2 ? 0600 : 0640), 0);
        again = file_mark(file);
    }
    CHECK(!file_mark_equal(&first, &again));
    close(fd);
    unlink(file);
}
