/* run-on-pid-ns: how which init is told to stop. */
#include "run-on-pid-ns/stop-method.h"
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BY_COMMAND 0

TEST(each_init_is_told_as_it_understands_it)
{
    static const struct {
        struct stop_facts facts;
        int signal;
    } rows[] = {
        {{"/usr/lib/systemd/systemd", {"/sbin/init", NULL}, true}, 37},
        {{"/bin/busybox", {"/sbin/init", NULL}}, SIGUSR2},
        {{"/bin/busybox", {"init", NULL}}, SIGUSR2},
        {{"/bin/busybox", {"/linuxrc", NULL}}, SIGUSR2},
        {{"/bin/busybox", {"/bin/busybox", "init"}}, SIGUSR2},
        {{"/bin/busybox", {"busybox", "sh"}}, SIGTERM},
        {{"/bin/busybox", {"busybox", NULL}}, SIGTERM},
        {{"/bin/busybox", {"sh", "init"}}, SIGTERM},
        {{"/bin/busybox", {NULL, NULL}}, SIGTERM},
        {{"/sbin/finit", {"/sbin/init", NULL}}, SIGUSR2},
        {{"finit", {"finit", NULL}}, SIGUSR2},
        {{"/usr/sbin/runit", {"runit", NULL}}, BY_COMMAND},
        {{"/lib/runit/runit-init", {"/sbin/init", NULL}}, BY_COMMAND},
        {{"/sbin/init", {"init [2]", NULL}, true}, BY_COMMAND},
        {{"/usr/lib/conit/init", {"/sbin/init", NULL}, false}, SIGTERM},
        {{"/bin/dash", {"/sbin/init", NULL}, true}, SIGTERM},
        {{"/bin/systemd-nspawn", {"systemd", NULL}}, SIGTERM},
        {{"/bin/s6-svscan", {"s6-svscan", "/run/service"}}, SIGTERM},
        {{"", {"", ""}}, SIGTERM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stop_method method = stop_method_of(&rows[i].facts);
        CHECK_NUMBER(method.signal, rows[i].signal);
        CHECK((method.command != NULL) == (rows[i].signal == BY_COMMAND));
        if (method.command) {
            CHECK_TEXT(method.command[0], "init");
            CHECK_TEXT(method.command[1], "0");
            CHECK(!method.command[2]);
        }
    }
}

/* A file of `bytes` bytes, with the text at `at`. */
static bool found_in(size_t bytes, size_t at, const char *text)
{
    char *content = calloc(1, bytes);
    int fd = memfd_create("program", MFD_CLOEXEC);
    memset(content, '/', bytes);
    memcpy(content + at, text, strlen(text));
    CHECK_NUMBER(write(fd, content, bytes), (ssize_t)bytes);
    lseek(fd, 0, SEEK_SET);
    bool found = stop_method_has_initctl(fd);
    close(fd);
    free(content);
    return found;
}

TEST(sysvinit_is_known_by_its_fifo_wherever_its_name_stands)
{
    CHECK(found_in(50000, 0, "/run/initctl"));
    CHECK(found_in(50000, 49988, "/dev/initctl"));
    for (size_t at = 16384 - 13; at <= 16384; at++)
        CHECK(found_in(50000, at, "/run/initctl"));
    CHECK(found_in(12, 0, "/run/initctl"));
    CHECK(!found_in(50000, 100, "/run/initcto"));
    CHECK(!found_in(11, 0, "/run/initct"));
    CHECK(!stop_method_has_initctl(-1));
}

TEST(a_process_is_looked_at)
{
    /* This test's own program is no init. */
    CHECK_NUMBER(stop_method_find(getpid(), "systemd").signal, SIGTERM);
    /* Of one that is not there only the command is known. */
    CHECK_NUMBER(stop_method_find(-1, "/bin/systemd").signal, 37);
}
