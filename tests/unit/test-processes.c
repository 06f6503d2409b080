/* Processes as /proc shows them, and ends of those that are nobody's children. */
#include "proc/pidref.h"
#include "proc/processes.h"
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that waits until it is killed. It has set itself up when this returns. */
static pid_t make_child(const char *name, int depth)
{
    int ends[2];
    char byte;
    if (pipe(ends) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        if (name)
            prctl(PR_SET_NAME, name);
        close(ends[0]);
        if (depth)
            make_child(NULL, depth - 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        close(ends[1]);
        for (;;)
            pause();
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        abort();
    close(ends[0]);
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void wait_for_end(const struct pidref *process)
{
    struct pollfd ended = {.fd = process->fd, .events = POLLIN};
    poll(&ended, 1, -1);
}

TEST(a_name_that_looks_like_fields_is_a_name)
{
    pid_t pid = make_child("x) Z 1 (y", 0);
    struct process_stat stat;
    CHECK_NUMBER(process_read_stat(pid, &stat), 0);
    CHECK_NUMBER(stat.pid, pid);
    CHECK_NUMBER(stat.parent, getpid());
    CHECK_NUMBER(stat.session, getsid(0));
    CHECK(stat.state == 'S' || stat.state == 'R');
    CHECK(stat.start_ticks > 0);
    CHECK(process_is_called(pid, "x) Z 1 (y"));
    CHECK(process_is_called(pid, "test-processes"));
    CHECK(!process_is_called(pid, "test-process"));
    CHECK(!process_is_called(pid, ""));
    end_child(pid);
    CHECK_NUMBER(process_read_stat(pid, &stat), -ESRCH);
    CHECK(!process_is_called(pid, "test-processes"));
}

TEST(a_long_name_is_compared_as_far_as_the_kernel_keeps_it)
{
    pid_t pid = make_child("0123456789abcdefgh", 0);
    CHECK(process_is_called(pid, "0123456789abcdefgh"));
    CHECK(process_is_called(pid, "0123456789abcde"));
    CHECK(!process_is_called(pid, "0123456789abcd"));
    end_child(pid);
}

TEST(descendants_are_found_however_far_away_and_zombies_are_not)
{
    pid_t pid = make_child(NULL, 3), *found = NULL;
    pid_t zombie = fork();
    if (zombie == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
    CHECK_NUMBER(processes_below(getpid(), &found), 4);
    CHECK_NUMBER(found[0], pid);
    free(found);
    found = NULL;
    CHECK_NUMBER(processes_below(pid, &found), 3);
    free(found);
    waitpid(zombie, NULL, 0);
    end_child(pid);
}

/* A subreaper below which one process lives at any time: each makes the next one and ends, where
 * `turns` is given once it has read a byte there. The first writes to `done`, the last one closes
 * it, and ends once `go` is closed. */
static pid_t make_chain(int length, const int *turns, const int done[2], const int go[2])
{
    char byte;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    signal(SIGCHLD, SIG_IGN); /* nobody is left as a zombie */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (fork() != 0) {
        close(done[1]);
        close(go[1]);
        while (wait(NULL) >= 0)
            ;
        _exit(0);
    }
    if (write(done[1], "x", 1) != 1)
        _exit(1);
    for (int i = 0; i < length; i++) {
        if (turns && read(turns[0], &byte, 1) != 1)
            _exit(1);
        if (fork() != 0)
            _exit(0);
    }
    close(done[1]);
    close(go[1]);
    _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
}

/* That somebody is found can be asked of no look: on a busy machine all looks of a call may take
 * longer than each lives. That it does not say there is nobody can. */
static void check_chain(int length, bool waits)
{
    int done[2], go[2], turns[2];
    bool never_none = true;
    char byte;
    if (pipe(done) < 0 || pipe(go) < 0 || pipe(turns) < 0)
        abort();
    pid_t pid = make_chain(length, waits ? turns : NULL, done, go);
    close(done[1]);
    CHECK_NUMBER(read(done[0], &byte, 1), 1);
    struct pollfd over = {.fd = done[0], .events = POLLIN};
    for (int looks = 0; poll(&over, 1, 0) == 0; looks++) {
        pid_t *found = NULL;
        /* Just before a look, so that one ends within it. */
        if (waits && looks % 3 == 0 && looks / 3 < length)
            CHECK_NUMBER(write(turns[1], "x", 1), 1);
        ssize_t count = processes_below(pid, &found);
        never_none = never_none && (count > 0 || count == -EAGAIN);
        free(found);
    }
    CHECK(never_none);
    close(go[1]);
    close(go[0]);
    close(done[0]);
    close(turns[0]);
    close(turns[1]);
    waitpid(pid, NULL, 0);
}

TEST(where_somebody_lives_at_any_time_it_is_never_said_that_nobody_does)
{
    check_chain(100, true);   /* a few looks each; what matters is that it ends within one */
    check_chain(1000, false); /* none lives as long as a look takes */
}

TEST(an_entry_of_the_environment_is_found_whole)
{
    int ends[2];
    char byte;
    if (pipe(ends) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"echo; read x", NULL};
        char *const environment[] = {(char *)"A=1", (char *)"MARK=abc", (char *)"B=", NULL};
        int input[2];
        if (pipe(input) < 0)
            _exit(1);
        dup2(input[0], 0);
        dup2(ends[1], 1);
        execve("/bin/sh", argv, environment);
        _exit(127);
    }
    close(ends[1]);
    CHECK_NUMBER(read(ends[0], &byte, 1), 1);
    CHECK(process_has_environment(pid, "MARK=abc"));
    CHECK(process_has_environment(pid, "B="));
    CHECK(!process_has_environment(pid, "MARK=ab"));
    CHECK(!process_has_environment(pid, "MARK=abcd"));
    CHECK(!process_has_environment(pid, "ARK=abc"));
    end_child(pid);
    close(ends[0]);
    CHECK(!process_has_environment(pid, "MARK=abc"));
}

static void check_end(int how)
{
    struct pidref process;
    int gate[2], status = -1, after = -1;
    if (pipe(gate) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(gate[1]);
        if (read(gate[0], &byte, 1) < 0)
            _exit(99);
        if (how < 0)
            kill(getpid(), -how);
        _exit(how);
    }
    CHECK_NUMBER(pidref_open(pid, &process), 0);
    CHECK_NUMBER(pidref_end_status(&process, &status), -EAGAIN);
    close(gate[0]);
    close(gate[1]);
    wait_for_end(&process);
    CHECK_NUMBER(pidref_end_status(&process, &status), 0);
    waitpid(pid, NULL, 0);
    /* Reaped by somebody: then only a kernel that keeps it can say. */
    int failed = pidref_end_status(&process, &after);
    CHECK(failed == 0 || failed == -ENODATA);
    if (!failed)
        CHECK_NUMBER(after, status);
    if (how >= 0)
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == how);
    else
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == -how);
    pidref_close(&process);
}

TEST(how_a_process_ended_is_known_without_waiting_for_it)
{
    check_end(0);
    check_end(7);
    check_end(255);
    check_end(-SIGKILL);
    check_end(-SIGTERM);
}

TEST(a_child_that_is_killed_at_once_leaves_no_zombie)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        struct pidref child;
        CHECK_NUMBER(pidref_open(pid, &child), 0);
        pidref_kill_child(&child);
        CHECK(waitpid(pid, NULL, WNOHANG) == -1 && errno == ECHILD);
        pidref_close(&child);
    }
}

TEST(without_a_descriptor_it_is_not_said_that_nobody_lives)
{
    struct rlimit before, none;
    pid_t *found = NULL;
    CHECK(processes_are_ours());
    CHECK_NUMBER(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    for (int spare = 0; spare < 2; spare++) { /* with one /proc itself can be opened */
        none = (struct rlimit){(rlim_t)(next + spare), before.rlim_max};
        CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &none), 0);
        CHECK_NUMBER(processes_below(getpid(), &found), -EMFILE);
    }
    none.rlim_cur = (rlim_t)next;
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_NUMBER(process_has_environment(getpid(), "A=b"), -EMFILE);
    CHECK_NUMBER(setrlimit(RLIMIT_NOFILE, &before), 0);
}
