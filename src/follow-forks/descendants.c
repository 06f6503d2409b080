/* All that live below this process. */
#include "follow-forks/descendants.h"

#include "base/cleanup.h"
#include "proc/processes.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define PASSES_MAX 1000 /* a bomb that forks faster than it is stopped is killed as it is */

struct opened {
    struct pidref *refs; /* from malloc */
    size_t count;
};

static void close_all(struct opened *opened)
{
    for (size_t i = 0; i < opened->count; i++)
        pidref_close(&opened->refs[i]);
    free(opened->refs);
    *opened = (struct opened){0};
}

static int by_number(const void *a, const void *b)
{
    pid_t first = *(const pid_t *)a, second = *(const pid_t *)b;
    return first < second ? -1 : first > second;
}

static bool contains(const pid_t *sorted, ssize_t count, pid_t pid)
{
    return count > 0 && bsearch(&pid, sorted, (size_t)count, sizeof pid, by_number);
}

/* Opens all that are below now. One that ends between being listed and being opened could have
 * given its number to a stranger: who is not in the list that is made afterwards is left out. */
static struct opened open_all(void)
{
    AUTO_FREE pid_t *pids = NULL;
    AUTO_FREE pid_t *again = NULL;
    struct opened opened = {0};
    ssize_t count = processes_below(getpid(), &pids);
    if (count <= 0)
        return opened;
    opened.refs = calloc((size_t)count, sizeof *opened.refs);
    if (!opened.refs)
        return opened;
    for (ssize_t i = 0; i < count; i++) {
        struct pidref one;
        if (pidref_open(pids[i], &one) == 0)
            opened.refs[opened.count++] = one;
    }
    ssize_t now = processes_below(getpid(), &again);
    if (now > 0)
        qsort(again, (size_t)now, sizeof *again, by_number);
    size_t kept = 0;
    for (size_t i = 0; i < opened.count; i++) {
        if (contains(again, now, opened.refs[i].pid))
            opened.refs[kept++] = opened.refs[i];
        else
            pidref_close(&opened.refs[i]);
    }
    opened.count = kept;
    return opened;
}

int descendants_signal(int signal, int but_group)
{
    struct opened all = open_all();
    int reached = 0;
    for (size_t i = 0; i < all.count; i++)
        if (!but_group || getpgid(all.refs[i].pid) != but_group)
            reached += pidref_signal(&all.refs[i], signal) == 0;
    close_all(&all);
    return reached;
}

void descendants_kill(void)
{
    AUTO_FREE pid_t *stopped = NULL;
    size_t count = 0;
    bool new = true;

    for (int pass = 0; new &&pass < PASSES_MAX; pass++) {
        struct opened all = open_all();
        new = false;
        for (size_t i = 0; i < all.count; i++) {
            if (!contains(stopped, (ssize_t)count, all.refs[i].pid))
                new = true;
            pidref_signal(&all.refs[i], SIGSTOP);
        }
        free(stopped);
        stopped = calloc(all.count + 1, sizeof *stopped);
        count = stopped ? all.count : 0;
        for (size_t i = 0; i < count; i++)
            stopped[i] = all.refs[i].pid;
        if (count)
            qsort(stopped, count, sizeof *stopped, by_number);
        close_all(&all);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): AUTO_FREE, not known to it, frees it */
    descendants_signal(SIGKILL, 0);
}
