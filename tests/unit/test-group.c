/* Groups out of a file as group(5) has it. */
#include "base/group.h"
#include "base/text.h"
#include "test.h"

#include <errno.h>
#include <unistd.h>

TEST(a_group_is_found_by_its_whole_name)
{
    char path[64];
    gid_t group = 1;
    text_format(path, sizeof path, "/tmp/test-group-%d", getpid());
    FILE *file = fopen(path, "we");
    fputs("conitx:x:1:\n# conit:x:2:\nconit\nconit:x\nconit:x:bad:\nconit:x:4242:a,b\nconit:x:5:\n",
          file);
    fclose(file);
    CHECK_NUMBER(group_find(path, "conit", &group), 0);
    CHECK_NUMBER(group, 4242);
    CHECK_NUMBER(group_find(path, "con", &group), -ENOENT);
    unlink(path);
    CHECK_NUMBER(group_find(path, "conit", &group), -ENOENT);
}

TEST(a_line_that_is_damaged_is_none_of_the_group)
{
    static const char lines[] = "conit\0:x:1:\nconit:x:1/:\nconit:x:3x:\nconit:x:00000000004:\n"
                                "conit:x:4294967295:\nconit:x::\nconit:x:42:\n";
    char path[64];
    gid_t group = 1;
    text_format(path, sizeof path, "/tmp/test-group-bad-%d", getpid());
    FILE *file = fopen(path, "we");
    fwrite(lines, 1, sizeof lines - 1, file);
    fclose(file);
    CHECK_NUMBER(group_find(path, "conit", &group), 0);
    CHECK_NUMBER(group, 42);
    unlink(path);
}

TEST(a_last_line_without_its_end_counts)
{
    char path[64];
    gid_t group = 1;
    text_format(path, sizeof path, "/tmp/test-group-end-%d", getpid());
    FILE *file = fopen(path, "we");
    fputs("a:x:1:\nb:x:77", file);
    fclose(file);
    CHECK_NUMBER(group_find(path, "b", &group), 0);
    CHECK_NUMBER(group, 77);
    unlink(path);
}
