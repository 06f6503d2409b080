/* An init that was executed anew. Nothing in the record is believed that can be looked up. */
#include "init/resume.h"
#include "base/syscall.h"
#include "init/crash.h"
#include "init/fault.h"
#include "init/held.h"
#include "init/init.h"
#include "init/stage2-hand-over.h"
#include "init/stage2-reap.h"
#include "init/stage3-shut-down.h"
#include "init/upgrade.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFT_OUT_SAID 16
#define NAMED_BITS    32

static uint32_t named[FD_MOST / NAMED_BITS + 1];

/* What was left out: said once there is somewhere to say it. */
static struct {
    const char *what, *whose;
    int number;
} left_out[LEFT_OUT_SAID];
static unsigned left_out_count;

static void leave_out(const char *what, const char *whose, int number)
{
    if (left_out_count < LEFT_OUT_SAID) {
        left_out[left_out_count].what = what;
        left_out[left_out_count].whose = whose;
        left_out[left_out_count].number = number;
    }
    left_out_count++;
}

/* ---- what is there -----------------------------------------------------------------------------
 */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool is_link(int fd)
{
    int type;
    socklen_t bytes = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET;
}

/* A zombie counts: its status is still to be taken. */
static bool is_child(pid_t pid)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void check_pid(int32_t *pid, const char *whose)
{
    if (*pid <= 0 || is_child(*pid))
        return;
    leave_out("no child any more", whose, *pid);
    *pid = 0;
}

static void check_fd(int32_t *fd, bool (*is_good)(int fd), const char *whose)
{
    if (*fd < 0 || is_good(*fd))
        return;
    leave_out("not the descriptor it was", whose, *fd);
    *fd = -1;
}

/* Those of a message that was being dealt with: what is closed by now is done with. */
static void check_inbox(struct kept_inbox *kept)
{
    if (!kept->from)
        return;
    struct msghdr *header = &kept->inbox.header;
    header->msg_control = &kept->inbox.control;
    if (header->msg_controllen > sizeof kept->inbox.control)
        header->msg_controllen = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        int *fds = (int *)(void *)CMSG_DATA(at);
        size_t count = at->cmsg_len > CMSG_LEN(0) ? (at->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < count && (char *)(fds + i + 1) <= (char *)(&kept->inbox + 1); i++)
            if (!is_open(fds[i]))
                fds[i] = -1;
    }
}

/* ---- what nothing names ------------------------------------------------------------------------
 */

static void name(int fd, void *context)
{
    (void)context;
    if (fd >= 0 && fd < FD_MOST)
        named[fd / NAMED_BITS] |= 1u << fd % NAMED_BITS;
}

static void name_inbox(const struct kept_inbox *kept)
{
    const int *fds = (const int *)(const void *)(kept->inbox.control.bytes + CMSG_LEN(0));
    size_t bytes = kept->inbox.control.first.cmsg_len;
    if (!kept->from || kept->tries > 0) /* one that was tried twice is left out */
        return;
    for (size_t i = 0; i < 253 && CMSG_LEN((i + 1) * sizeof(int)) <= bytes; i++)
        name(fds[i], NULL);
}

static void name_all(const struct init *init)
{
    const struct kept_own *own = init->own;
    for (int fd = 0; fd < 3; fd++)
        name(fd, NULL);
    name(own->record_fd, NULL);
    name(own->exe_fd, NULL);
    name(init->kept->upgrade.answer_fd, NULL);
    name(init->kept->upgrade.file_fd, NULL);
    name(init->kept->upgrade.former_fd, NULL);
    name(init->kept->upgrade.former_record_fd, NULL);
    for (int i = 0; i < CHILDREN; i++)
        name(own->middle[i], NULL);
    for (int i = 0; i < CHILDREN_ALL; i++) {
        name(init->kept->children[i].link_fd, NULL);
        name(init->kept->children[i].error_fd, NULL);
        name(init->kept->children[i].program_fd, NULL);
    }
    name_inbox(&init->kept->inbox);
    held_each(name, NULL);
}

static void close_from_to(unsigned first, unsigned last)
{
    struct rlimit files = {0};
    if (syscall_close_range(first, last, 0) == 0)
        return;
    getrlimit(RLIMIT_NOFILE, &files);
    for (unsigned fd = first; fd <= last && fd < files.rlim_cur; fd++)
        close((int)fd);
}

static bool is_named(unsigned fd)
{
    return (named[fd / NAMED_BITS] >> fd % NAMED_BITS & 1) != 0;
}

static void close_the_rest(void)
{
    unsigned fd = 0;
    while (fd < FD_MOST) {
        unsigned first = fd;
        while (fd < FD_MOST && !is_named(fd))
            fd += fd % NAMED_BITS == 0 && !named[fd / NAMED_BITS] ? NAMED_BITS : 1;
        if (fd > first)
            close_from_to(first, fd < FD_MOST ? fd - 1 : ~0u);
        fd++;
    }
}

/* ---- both --------------------------------------------------------------------------------------
 */

static void mend(struct init *init)
{
    const char *part;
    while ((part = record_mend(init->kept))) {
        leave_out("a broken part of the record", part, 0);
        if (strcmp(part, "children") == 0)
            children_forget(init->kept);
        if (strcmp(part, "upgrade") == 0)
            upgrade_forget(&init->kept->upgrade);
    }
}

void resume_check(struct init *init)
{
    static const char *const programs[CHILDREN_ALL] = {"service-launcher", "service-journal",
                                                       "the one that is tried"};
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    struct kept_own *own = init->own;
    mend(init);
    for (int i = 0; i < CHILDREN_ALL; i++) {
        struct kept_child *child = &init->kept->children[i];
        check_fd(&child->link_fd, is_link, programs[i]);
        check_fd(&child->error_fd, is_open, programs[i]);
        check_fd(&child->program_fd, is_open, programs[i]);
        check_pid(&child->pid, programs[i]);
    }
    for (int i = 0; i < CHILDREN; i++)
        check_fd(&own->middle[i], is_link, "the pair between launcher and journal");
    check_fd(&upgrade->answer_fd, is_open, "the trial of init");
    check_fd(&upgrade->file_fd, is_open, "the trial of init");
    check_fd(&upgrade->former_fd, is_open, "the trial of init");
    check_fd(&upgrade->former_record_fd, is_open, "the record of the former init");
    check_pid(&upgrade->try_pid, "the trial of init");
    for (int i = 0; i < UPGRADE_KILLED; i++)
        check_pid(&upgrade->killed[i], "one that was killed");
    check_fd(&own->exe_fd, is_open, "init's own file");
    check_pid(&own->rescue_pid, "the rescue shell");
    check_inbox(&init->kept->inbox);
    size_t closed = held_check(is_open);
    if (closed)
        leave_out("held descriptors that are not open", "service-launcher", (int)closed);
    name_all(init);
    close_the_rest();
}

void resume_say(struct init *init)
{
    fault_say(&init->kept->faults);
    for (unsigned i = 0; i < left_out_count && i < LEFT_OUT_SAID; i++)
        LOG(ERROR, "Some of what init kept was left out", TEXT("why", left_out[i].what),
            TEXT("of", left_out[i].whose), NUMBER("number", left_out[i].number));
}

void resume(struct init *init)
{
    CRASH_POINT("resume");
    hand_over_take_again(init);
    reap_resume(init);
    for (int i = CHILDREN - 1; i >= 0; i--)
        hand_over_resume(&init->children[i]);
    upgrade_resume(init);
    for (int i = CHILDREN - 1; i >= 0; i--)
        child_resume(&init->children[i]);
    shut_down_resume(init);
    CRASH_POINT("resumed");
}
