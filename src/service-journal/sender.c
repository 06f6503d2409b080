/* Whose journal belongs to a process.
 *
 * By its cgroup where services have some: nobody gets into another's without being allowed to.
 * Else by what it prints to: who holds the end of a service's pipe could write into that journal
 * anyway, so nobody gets anywhere by it. A process that ended meanwhile is known where the kernel
 * gives a pidfd with a message (6.16), and else nobody's. */
#include "service-journal/sender.h"
#include "base/file.h"
#include "base/text.h"
#include "proc/cgroup.h"
#include "proc/processes.h"
#include "service-journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CGROUP_BYTES 8192
#define PARENTS_MOST 16

static uint32_t find_by_name(const struct journal *journal, const char *name)
{
    for (uint32_t i = 0; i < journal->service_count; i++) {
        const struct service *service = journal->services[i];
        if (service && strcmp(service->book->name, name) == 0)
            return service->id;
    }
    return JOURNAL_SYSLOG_ID;
}

/* Of a path below the folder of services' cgroups: "/service-NAME", and its end, what is below it,
 * or the word " (deleted)". */
static uint32_t find_by_rest(const struct journal *journal, const char *rest, struct sender *sender)
{
    if (!text_starts_with(rest, "/" CGROUP_SERVICE_PREFIX, &rest))
        return JOURNAL_SYSLOG_ID;
    text_format(sender->service, sizeof sender->service, "%.*s", (int)strcspn(rest, "/ \n"), rest);
    return find_by_name(journal, sender->service);
}

static uint32_t find_by_number(const struct journal *journal, const char *cgroup, pid_t pid,
                               struct sender *sender)
{
    char path[40], lines[CGROUP_BYTES];
    size_t bytes = strcspn(cgroup, "\n");

    text_format(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    if (file_read(AT_FDCWD, path, lines, sizeof lines) < 0)
        return JOURNAL_SYSLOG_ID;
    const char *line = text_starts_with(lines, "0::", NULL) ? lines : strstr(lines, "\n0::");
    if (!line)
        return JOURNAL_SYSLOG_ID;
    line += (*line == '\n') + strlen("0::");
    return strncmp(line, cgroup, bytes) == 0 ? find_by_rest(journal, line + bytes, sender)
                                             : JOURNAL_SYSLOG_ID;
}

/* Knows those, too, that are gone. Returns false where the kernel cannot tell. */
static bool find_by_pidfd(const struct journal *journal, const struct sender_cgroups *cgroups,
                          int pidfd, struct sender *sender, uint32_t *ret)
{
    char path[CGROUP_BYTES];
    const char *folder = strchr(cgroups->path, '\n');
    uint64_t id;

    if (pidfd < 0 || cgroups->folder < 0 || !folder || process_cgroup_id(pidfd, &id) < 0)
        return false;
    int failed = cgroup_path_of_id(cgroups->folder, id, path, sizeof path);
    if (failed && failed != -ESTALE)
        return false;
    size_t bytes = strlen(++folder);
    *ret = failed == 0 && strncmp(path, folder, bytes) == 0
               ? find_by_rest(journal, path + bytes, sender)
               : JOURNAL_SYSLOG_ID;
    return true;
}

/* ---- where no service has a cgroup --------------------------------------------------------- */

static uint32_t find_by_inode(const struct journal *journal, uint64_t inode)
{
    for (uint32_t i = 0; i < journal->service_count; i++) {
        const struct service *service = journal->services[i];
        if (!service)
            continue;
        list_for_each(node,
                      &service->pipes) if (container_of(node, struct service_pipe, node)->inode ==
                                           inode) return service->id;
    }
    return JOURNAL_SYSLOG_ID;
}

static void remember(struct sender *sender, uint64_t inode)
{
    size_t i = 0;
    while (i < SENDER_PIPES && sender->pipes[i] && sender->pipes[i] != inode)
        i++;
    if (i < SENDER_PIPES)
        sender->pipes[i] = inode;
}

static uint32_t find_by_output(const struct journal *journal, pid_t pid, struct sender *sender)
{
    uint32_t found = JOURNAL_SYSLOG_ID;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO && found == JOURNAL_SYSLOG_ID; fd++) {
        char path[40], target[64];
        const char *digits;
        uint64_t inode;
        text_format(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        ssize_t bytes = readlink(path, target, sizeof target - 1);
        target[bytes < 0 ? 0 : bytes] = 0;
        target[strcspn(target, "]")] = 0;
        if (!text_starts_with(target, "pipe:[", &digits) || text_parse_unsigned(digits, &inode) < 0)
            continue;
        remember(sender, inode);
        found = find_by_inode(journal, inode);
    }
    return found;
}

static uint32_t find_by_family(const struct journal *journal, pid_t pid, struct sender *sender)
{
    struct process_stat stat;
    for (int i = 0; i < PARENTS_MOST && pid > 1; i++) {
        uint32_t found = find_by_output(journal, pid, sender);
        if (found != JOURNAL_SYSLOG_ID)
            return found;
        pid = process_read_stat(pid, &stat) == 0 ? stat.parent : 0;
    }
    return JOURNAL_SYSLOG_ID;
}

uint32_t sender_find(const struct journal *journal, const struct sender_cgroups *cgroups, pid_t pid,
                     int pidfd, struct sender *ret)
{
    uint32_t found;
    memset(ret, 0, sizeof *ret);
    if (pid <= 1)
        return JOURNAL_SYSLOG_ID;
    if (!*cgroups->path)
        return find_by_family(journal, pid, ret);
    return find_by_pidfd(journal, cgroups, pidfd, ret, &found)
               ? found
               : find_by_number(journal, cgroups->path, pid, ret);
}

bool sender_may_be_known(const struct sender *sender)
{
    return *sender->service || sender->pipes[0];
}

uint32_t sender_find_again(const struct journal *journal, const struct sender *sender)
{
    uint32_t found = *sender->service ? find_by_name(journal, sender->service) : JOURNAL_SYSLOG_ID;
    for (size_t i = 0; i < SENDER_PIPES && sender->pipes[i] && found == JOURNAL_SYSLOG_ID; i++)
        found = find_by_inode(journal, sender->pipes[i]);
    return found;
}
