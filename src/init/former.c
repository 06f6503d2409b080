/* Going back to the former init. It may not know a record of ours, but the one that it has written:
 * that is as it left it, but for what is said here. What was done since is lost with our own
 * record; that is little before the loop: some messages may be sent twice. */
#include "init/former.h"
#include "base/text.h"
#include "init/execute.h"
#include "init/record.h"

#include <string.h>
#include <unistd.h>

/* Where a member of the one element of a field is in that record. */
#define FIND(fd, id, type, member, ret)                                                            \
    (record_find(fd, id, offsetof(type, member) + sizeof((type *)0)->member, ret) == 0             \
         ? (*(ret) += (off_t)offsetof(type, member), true)                                         \
         : false)

static bool read_number(int fd, off_t at, int32_t *ret)
{
    return pread(fd, ret, sizeof *ret, at) == sizeof *ret;
}

static bool write_number(int fd, off_t at, int32_t number)
{
    return pwrite(fd, &number, sizeof number, at) == sizeof number;
}

static void write_why(int fd, const char *why)
{
    off_t at;
    char text[sizeof((struct kept_upgrade *)0)->why];
    text_format(text, sizeof text, "%s", why);
    if (FIND(fd, FIELD_UPGRADE, struct kept_upgrade, why, &at))
        (void)!pwrite(fd, text, strlen(text) + 1, at);
}

static void write_faults(int fd, const struct kept_faults *faults)
{
    off_t at;
    if (faults && record_find(fd, FIELD_FAULTS, sizeof *faults, &at) == 0)
        (void)!pwrite(fd, faults, sizeof *faults, at);
}

void former_execute(int record_fd, const char *why, const struct kept_faults *faults)
{
    off_t exe_at, former_at, step_at;
    int32_t exe, former, step;
    if (!FIND(record_fd, FIELD_OWN, struct kept_own, exe_fd, &exe_at) ||
        !FIND(record_fd, FIELD_UPGRADE, struct kept_upgrade, former_fd, &former_at) ||
        !FIND(record_fd, FIELD_UPGRADE, struct kept_upgrade, step, &step_at) ||
        !read_number(record_fd, exe_at, &exe) || !read_number(record_fd, former_at, &former) ||
        !read_number(record_fd, step_at, &step) || step != UPGRADE_EXECUTING || former < 0)
        return;
    write_why(record_fd, why);
    write_faults(record_fd, faults);
    if (write_number(record_fd, step_at, UPGRADE_FELL_BACK) &&
        write_number(record_fd, former_at, exe) && write_number(record_fd, exe_at, former))
        execute_with(former, record_fd);
}
