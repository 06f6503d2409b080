/* Trying a new init. That it ends with 0 is not enough, any script does: it has to answer with the
 * number it was given. The same open file is tried and then executed. */
#include "init/try-init.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/signals.h"
#include "init/fault.h"
#include "init/process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define COPY_FD      3
#define FILE_FD      4
#define COPIES_FROM  16
#define ANSWER_BYTES 200

extern char **environ;

/* ---- in the child ------------------------------------------------------------------------------
 */

static void __attribute__((noreturn)) become_trial(struct init *init, int answer)
{
    char number[24], why[80];
    int copy = record_copy(&init->record);
    int failed = copy < 0 ? copy : 0;
    text_format(number, sizeof number, "%llx", (unsigned long long)init->kept->upgrade.nonce);
    char *words[] = {(char *)"init", (char *)TRY_INIT_WORD, (char *)"3", number, NULL};
    int file = fcntl(init->kept->upgrade.file_fd, F_DUPFD, COPIES_FROM);
    copy = fcntl(copy, F_DUPFD, COPIES_FROM);
    dup2(answer, 1);
    dup2(answer, 2);
    if (!failed && file >= 0 && copy >= 0) {
        dup2(copy, COPY_FD);
        dup3(file, FILE_FD, O_CLOEXEC);
        process_close_from(FILE_FD + 1);
        children_limit_files(init);
        signals_reset();
        syscall(SYS_execveat, FILE_FD, "", words, environ, AT_EMPTY_PATH);
        failed = -errno;
    }
    text_format(why, sizeof why, "it cannot be executed: %s\n", strerror(-failed));
    if (write(1, why, strlen(why)) < 0) { /* the status says enough */
    }
    _exit(127);
}

int try_init_main(int argc, char **argv)
{
    char why_text[160] = "";
    struct record record = {-1, NULL};
    struct text why;
    uint64_t fd = 0;
    fault_catch();
    text_init(&why, why_text, sizeof why_text);
    if (argc != 4 || text_parse_unsigned(argv[2], &fd) < 0 || fd > INT32_MAX) {
        printf("init: %s RECORD NUMBER is for an init that tries another one\n", TRY_INIT_WORD);
        return 2;
    }
    if (record_open(&record, (int)fd, &why) < 0) {
        printf("it cannot go on from init's record: %s\n", why_text);
        return 1;
    }
    const char *broken = record_mend(record.kept);
    if (broken) {
        printf("it cannot go on from init's record: its part %s is not as it should be\n", broken);
        return 1;
    }
    printf("%s\n", argv[3]);
    return 0;
}

/* ---- in init -----------------------------------------------------------------------------------
 */

/* Opens the file. Returns it or -errno. */
static int open_file(const struct kept_own *own, struct text *why)
{
    char magic[2] = "";
    struct stat stat;
    AUTO_CLOSE int fd = open(own->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int failed = -errno;
        text_printf(why, "%s: %s", own->path, strerror(-failed));
        return failed;
    }
    if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
        text_printf(why, "%s is no regular file", own->path);
        return -EINVAL;
    }
    if (pread(fd, magic, sizeof magic, 0) == sizeof magic && memcmp(magic, "#!", 2) == 0) {
        text_printf(why, "%s is a script, which cannot be an init", own->path);
        return -ENOEXEC;
    }
    int high = fcntl(fd, F_DUPFD, COPIES_FROM);
    if (high < 0) {
        high = -errno;
        text_printf(why, "%s: %s", own->path, strerror(-high));
    }
    return high;
}

int try_init_start(struct init *init, struct text *why)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    int answer[2];
    upgrade->file_fd = open_file(init->own, why);
    if (upgrade->file_fd < 0)
        return upgrade->file_fd;
    if (pipe2(answer, O_CLOEXEC | O_NONBLOCK) < 0) {
        int failed = -errno;
        text_printf(why, "no pipe: %s", strerror(-failed));
        return failed;
    }
    fcntl(answer[0], F_SETFD, 0);
    fcntl(answer[1], F_SETFL, 0);
    upgrade->answer_fd = answer[0];
    upgrade->nonce = clock_now_ns() ^ (uint64_t)(uintptr_t)upgrade;
    pid_t pid = process_fork(&upgrade->try_pid);
    if (pid == 0)
        become_trial(init, answer[1]);
    close(answer[1]);
    if (pid < 0)
        text_printf(why, "no process to try it: %s", strerror(-pid));
    return pid < 0 ? pid : 0;
}

bool try_init_judge(struct init *init, int status, struct text *why)
{
    char answer[ANSWER_BYTES + 1], number[24];
    ssize_t got = read(init->kept->upgrade.answer_fd, answer, ANSWER_BYTES);
    answer[got > 0 ? got : 0] = 0;
    answer[strcspn(answer, "\n")] = 0;
    text_format(number, sizeof number, "%llx", (unsigned long long)init->kept->upgrade.nonce);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && strcmp(answer, number) == 0)
        return true;
    if (WIFSIGNALED(status))
        text_printf(why, "it was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) == 0)
        text_add(why, "it did not answer as an init does");
    else if (answer[0])
        text_add(why, answer);
    else
        text_printf(why, "it ended with %d", WEXITSTATUS(status));
    return false;
}

static void give_back(int32_t *fd)
{
    int had = *fd;
    *fd = -1;
    if (had >= 0)
        close(had);
}

void try_init_close(struct init *init, bool keep_file)
{
    give_back(&init->kept->upgrade.answer_fd);
    if (!keep_file)
        give_back(&init->kept->upgrade.file_fd);
}
