/* The pager gets its own way with signals: Ctrl-C is for it, and not for slc, whose end would leave
 * it alone with the terminal. When it has ended nobody reads what slc still looks for. */
#include "slc/pager.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

static volatile pid_t pager; /* 0: none */

static void on_child(int number)
{
    (void)number;
    if (pager > 0 && waitpid(pager, NULL, WNOHANG) == pager)
        _exit(0);
}

static const char *find_pager(void)
{
    static const char *const names[] = {"CONIT_PAGER", "PAGER"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value)
            return *value && strcmp(value, "cat") != 0 ? value : NULL;
    }
    return "less";
}

/* With a shell only where its words need one, so that a program that is missing is noticed. */
static int spawn(const char *command, int input, pid_t *ret)
{
    char shell[] = "sh", with[] = "-c", *words[] = {shell, with, (char *)command, NULL};
    bool is_plain = !strpbrk(command, " \t\n|&;<>()$`\\\"'*?[#~=%");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int failed;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (is_plain)
        words[0] = words[2], words[1] = NULL;
    failed = posix_spawnp(ret, words[0], &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

void pager_begin(void)
{
    const struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    const char *command = find_pager();
    int ends[2];
    pid_t pid;

    if (!command || !isatty(STDOUT_FILENO) || pipe2(ends, O_CLOEXEC) < 0)
        return;
    /* Quit where it fits one screen, colours as they are, the screen left alone. */
    setenv("LESS", "FRX", 0);
    setenv("LV", "-c", 0);
    if (spawn(command, ends[0], &pid) == 0 && dup2(ends[1], STDOUT_FILENO) >= 0) {
        pager = pid;
        signal(SIGINT, SIG_IGN);
        sigaction(SIGCHLD, &action, NULL);
        on_child(SIGCHLD); /* it may have ended before */
    }
    close(ends[0]);
    close(ends[1]);
}

void pager_finish(void)
{
    if (!pager)
        return;
    signal(SIGCHLD, SIG_DFL);
    fflush(stdout);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >=
        0) { /* stdout is closed for the pager, and can be flushed at the end all the same */
        dup2(null, STDOUT_FILENO);
        close(null);
    } else {
        close(STDOUT_FILENO);
    }
    while (waitpid(pager, NULL, 0) < 0 && errno == EINTR) {
    }
    pager = 0;
}
