/* Which tables of mounts have something in them that can hang: proc(5), mountinfo. */
#include "test.h"

#include "proc/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static bool text_may_hang(const char *text)
{
    struct mounts mounts = {.fd = -1};
    mounts_take_text(&mounts, text);
    return mounts.may_hang;
}

#define LOCAL                                                                                      \
    "36 35 98:0 / / rw,noatime shared:1 - ext4 /dev/root rw,errors=continue\n"                     \
    "37 36 0:5 / /dev rw - devtmpfs none rw\n"

TEST(disks_of_our_own_do_not_hang)
{
    CHECK(!text_may_hang(""));
    CHECK(!text_may_hang(LOCAL));
    CHECK(!text_may_hang(LOCAL "38 36 0:6 / /a\\040-\\040b rw - tmpfs t rw\n"));
}

TEST(what_others_serve_may_hang_and_what_nobody_knows_too)
{
    static const char *const types[] = {"nfs4",    "nfs",    "fuse.sshfs", "fuse",
                                        "fuseblk", "cifs",   "9p",         "virtiofs",
                                        "ceph",    "autofs", "ext5",       "ext"};
    char text[400];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(text, sizeof text, LOCAL "39 36 0:7 / /mnt rw master:3 - %s x rw\n%s", types[i],
                 i % 2 ? LOCAL : "");
        if (!text_may_hang(text))
            CHECK_TEXT(types[i], "one that may hang");
    }
}

TEST(a_line_that_is_not_whole_says_nothing_yet)
{
    CHECK(!text_may_hang(LOCAL "39 36 0:7 / /mnt rw - fuse x rw"));
    CHECK(!text_may_hang(LOCAL "39 36 0:7 / /mnt rw\n"));
}

TEST(our_own_table_can_be_read_again_and_again)
{
    struct mounts mounts;
    mounts_open(&mounts);
    bool first = mounts_may_hang(&mounts);
    CHECK(mounts.known);
    CHECK_NUMBER(mounts_may_hang(&mounts), first);
    mounts_close(&mounts);
}

TEST(without_a_table_the_worst_is_believed_until_there_is_one)
{
    struct mounts mounts;
    struct rlimit limit, none = {0};
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none.rlim_max = limit.rlim_max;
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &none), 0);
    mounts_open(&mounts);
    CHECK(mounts_may_hang(&mounts) && mounts_path_may_hang(&mounts, "/"));
    CHECK_NUMBER(mounts.failed, -EMFILE);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &limit), 0);
    (void)mounts_may_hang(&mounts);
    CHECK(mounts.known && !mounts.failed);
    mounts_close(&mounts);
}

/* As a table that the kernel lacks the memory for: the worst is believed of it until it is read. */
TEST(a_table_that_could_not_be_read_is_read_again)
{
    struct mounts mounts;
    mounts_open(&mounts);
    bool readable = mounts_may_hang(&mounts);
    int table = mounts.fd;
    mounts.known = false;
    mounts.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(mounts_may_hang(&mounts));
    CHECK(mounts_path_may_hang(&mounts, "/"));
    CHECK(!mounts.known);
    CHECK_NUMBER(mounts.failed, -EISDIR);
    close(mounts.fd);
    mounts.fd = table;
    CHECK_NUMBER(mounts_may_hang(&mounts), readable);
    CHECK(mounts.known && !mounts.failed);
    mounts_close(&mounts);
}

static bool path_may_hang(const char *table, const char *path)
{
    struct mounts mounts = {.fd = open("/dev/null", O_RDONLY | O_CLOEXEC), .known = true};
    mounts_take_text(&mounts, table);
    bool result = mounts_path_may_hang(&mounts, path);
    mounts_close(&mounts);
    return result;
}

#define FAR LOCAL "39 36 0:7 / /mnt/a\\040b rw - fuse x rw\n40 36 0:8 / /net rw - nfs4 y rw\n"

TEST(only_paths_that_lead_below_what_may_hang_may)
{
    static const char *const far[] = {
        "/net",     "/net/",       "/net/a",     "//net/a",
        "/./net/a", "/etc/../net", "/mnt/a b/c", "/no/such/../../net/x",
        "relative"};
    static const char *const near[] = {
        "/", "/nets/a", "/ne", "/mnt/a", "/mnt/a b../c", "/etc/passwd", "/no/such/net"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        if (!path_may_hang(FAR, far[i]))
            CHECK_TEXT(far[i], "one that may hang");
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        if (path_may_hang(FAR, near[i]))
            CHECK_TEXT(near[i], "one that does not");
    CHECK(!path_may_hang(LOCAL, "/net"));
    /* A root that hangs takes our own program with it. */
    CHECK(!path_may_hang("36 35 98:0 / / rw - nfs4 x rw\n", "/etc/passwd"));
}

TEST(a_path_is_followed_through_links)
{
    char folder[] = "/tmp/mounts.XXXXXX", table[200], path[100];
    CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0);
    snprintf(table, sizeof table, LOCAL "39 36 0:7 / %s/far rw - fuse x rw\n", folder);
    CHECK_NUMBER(mkdir("near", 0755), 0);
    CHECK_NUMBER(symlink("../far/x", "near/away"), 0);
    CHECK_NUMBER(symlink(folder, "near/home"), 0);
    CHECK_NUMBER(symlink("round", "near/round"), 0);
    static const struct {
        const char *path;
        bool may_hang;
    } rows[] = {{"near/away", true},           {"near/home/far", true},  {"near/home/near", false},
                {"near/round", true},          {"near/away/../y", true}, {"near/none", false},
                {"near/home/near/home", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, rows[i].path);
        if (path_may_hang(table, path) != rows[i].may_hang)
            CHECK_TEXT(rows[i].path, rows[i].may_hang ? "one that may hang" : "one that does not");
    }
    CHECK(path_may_hang(table, "/proc/self/root/etc")); /* its links lead where they like */
    unlink("near/away");
    unlink("near/home");
    unlink("near/round");
    rmdir("near");
    CHECK_NUMBER(chdir("/"), 0);
    CHECK_NUMBER(rmdir(folder), 0);
}

TEST(of_too_many_places_no_path_is_known_to_be_safe)
{
    struct mounts mounts = {.fd = open("/dev/null", O_RDONLY | O_CLOEXEC), .known = true};
    char line[200];
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "39 36 0:7 / /a/rather/long/place/number/%d rw - nfs x rw\n",
                 i);
        mounts_take_text(&mounts, line);
    }
    CHECK(mounts.unknown && mounts.points_bytes <= sizeof mounts.points);
    CHECK(mounts_path_may_hang(&mounts, "/etc/passwd"));
    mounts_close(&mounts);
}
