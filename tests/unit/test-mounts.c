/* Which tables of mounts have something in them that can hang: proc(5), mountinfo. */
#include "test.h"

#include "proc/mounts.h"

#define LOCAL                                                                                      \
    "36 35 98:0 / / rw,noatime shared:1 - ext4 /dev/root rw,errors=continue\n"                     \
    "37 36 0:5 / /dev rw - devtmpfs none rw\n"

TEST(disks_of_our_own_do_not_hang)
{
    CHECK(!mounts_text_may_hang(""));
    CHECK(!mounts_text_may_hang(LOCAL));
    CHECK(!mounts_text_may_hang(LOCAL "38 36 0:6 / /a\\040-\\040b rw - tmpfs t rw\n"));
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
        if (!mounts_text_may_hang(text))
            CHECK_TEXT(types[i], "one that may hang");
    }
}

TEST(a_line_that_is_not_whole_says_nothing_yet)
{
    CHECK(!mounts_text_may_hang(LOCAL "39 36 0:7 / /mnt rw - fuse x rw"));
    CHECK(!mounts_text_may_hang(LOCAL "39 36 0:7 / /mnt rw\n"));
}

TEST(our_own_table_can_be_read_again_and_again)
{
    struct mounts mounts;
    mounts_open(&mounts);
    bool first = mounts_may_hang(&mounts);
    CHECK(mounts.known);
    CHECK_NUMBER(mounts_may_hang(&mounts), first);
    mounts_close(&mounts);
    CHECK(mounts_may_hang(&mounts)); /* without a table the worst is believed */
}
