/* What the writer does beside writing.
 *
 * Looking into a folder is some 20 µs, so at a start, when a thousand services are registered, it
 * waits until that is over, and then does a few at a time. Which files are compressed is said by
 * name: those only that were sealed before the batch under way, for what is sealed in it may
 * have to come back after a kill. */
#include "service-journal/keeper.h"
#include "base/syscall.h"
#include "base/text.h"
#include "log/log.h"
#include "service-journal/writer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define PROGRAM        "compress-journal"
#define START_DELAY_NS NS_PER_SEC       /* the boot goes first */
#define NEXT_DELAY_NS  (20 * NS_PER_MS) /* between two handfuls */
#define AT_ONCE        16               /* folders */
#define AGE_PARTS      8                /* an age is looked at so often while it passes */
#define AGE_LEAST_NS   NS_PER_SEC
#define AGE_MOST_NS    (3600 * NS_PER_SEC)
#define FD_FIRST       3

/* ---- the program --------------------------------------------------------------------------- */

/* In the child of vfork(2), which shares our memory: system calls only. */
static void execute(const char *const *paths, char **argv, char **environment, int folder)
{
    if (fchdir(folder) < 0)
        _exit(errno);
    dup2(STDIN_FILENO, STDOUT_FILENO); /* what it has to say is its status */
    dup2(STDIN_FILENO, STDERR_FILENO);
    syscall_close_range(FD_FIRST, ~0u, 0);
    execve(paths[0], argv, environment);
    execve(paths[1], argv, environment);
    _exit(errno);
}

static void on_child(struct loop_fd *source, uint32_t events);

static int start_program(struct keeper *keeper, struct journal_work *work)
{
    const char *const paths[] = {keeper->program, CONIT_LIBEXEC "/" PROGRAM};
    char *argv[JOURNAL_WORK_MOST + 2] = {(char *)PROGRAM}, parent[64],
                                   *environment[] = {parent, NULL};

    for (size_t i = 0; i < work->count; i++)
        argv[i + 1] = work->names[i];
    text_format(parent, sizeof parent, "COMPRESS_JOURNAL_PARENT=%d", (int)getpid());
    /* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): a fork copies all our pages */
    pid_t pid = vfork();
    if (pid == 0)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Vfork): makes system calls only, and never returns */
        execute(paths, argv, environment, work->folder);
    if (pid < 0)
        return -errno;
    int pidfd = syscall_pidfd_open(pid, 0);
    int failed = pidfd < 0
                     ? pidfd
                     : loop_add(&keeper->writer->loop, &keeper->child, pidfd, EPOLLIN, on_child);
    if (!failed) {
        keeper->child_pid = pid;
        return 0;
    }
    if (pidfd >= 0)
        close(pidfd);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return failed;
}

/* ---- one journal's folder- ------------------------------------------------------------------ */

static void give_up(struct book *book, const char *why)
{
    book->stays_unpacked = true;
    LOG(WARNING, "Could not compress a journal's sealed files; they stay as they are",
        TEXT("service", book->name), TEXT("error", why));
}

static void compress(struct keeper *keeper, struct book *book, struct journal_work *work)
{
    if (book->stays_unpacked || keeper->ending)
        return;
    if (keeper->child.fd >= 0) {
        list_remove(&book->unpacked_node);
        list_append(&keeper->unpacked, &book->unpacked_node);
        return;
    }
    int failed = start_program(keeper, work);
    if (failed)
        give_up(book, strerror(-failed));
    else
        keeper->packing = book;
}

static void add(struct keeper *keeper, struct book *book, uint64_t delay_ns);

static void tidy(struct keeper *keeper, struct book *book)
{
    struct journal_store *store = &keeper->writer->store;
    struct journal_work work;
    uint64_t now_ns = clock_read_ns(CLOCK_REALTIME);

    if (book->file.to_cut) /* sealed files may have to come back */
        return;

    /* What was begun while LOGS could not be written belongs there as soon as it can. */
    if ((book->file.fd < 0 || book->file.on_fallback) &&
        journal_store_is_elsewhere(store, &book->file)) {
        journal_file_finish(&book->file);
        journal_store_prepare(store, &book->file, book->file.mid_line, now_ns);
    }
    if (journal_store_is_old(store, &book->file, now_ns))
        writer_want_cut(keeper->writer, book);
    journal_store_tidy(store, &book->file, now_ns, &work);
    total_measure(&keeper->writer->total, &book->share, &book->file);
    if (work.count)
        compress(keeper, book, &work);
    if (work.later_ns)
        add(keeper, book, work.later_ns);
    if (work.folder >= 0)
        close(work.folder);
}

static void on_child(struct loop_fd *source, uint32_t events)
{
    struct keeper *keeper = container_of(source, struct keeper, child);
    struct book *book = keeper->packing;
    int fd = source->fd, status = 0;
    (void)events;

    loop_remove(&keeper->writer->loop, source);
    close(fd);
    waitpid(keeper->child_pid, &status, 0);
    keeper->packing = NULL;
    if (book && WIFEXITED(status) && WEXITSTATUS(status) == EBUSY) {
        add(keeper, book, START_DELAY_NS); /* the child of a killed journal is at it, and ends */
    } else if (book) {
        /* By a signal: of whom brings the machine down, or of somebody who knows why. */
        if (status && !keeper->ending)
            give_up(book, WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "it was killed");
        /* There may be more of it; and it has another size now. */
        tidy(keeper, book);
    }
    while (keeper->child.fd < 0 && !list_empty(&keeper->unpacked))
        tidy(keeper, container_of(list_take(&keeper->unpacked), struct book, unpacked_node));
}

/* ---- when ---------------------------------------------------------------------------------- */

static void on_time(struct loop_timer *timer);

static void wait_until(struct keeper *keeper, uint64_t at_ns)
{
    if (!keeper->timer.set || at_ns < keeper->timer.at_ns)
        loop_set_timer(&keeper->writer->loop, &keeper->timer, at_ns, on_time);
}

/* What is not due yet, or has no turn now, waits on. */
static void on_time(struct loop_timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, timer);
    const uint64_t now_ns = clock_now_ns();
    int done = 0;

    list_for_each(node, &keeper->due)
    {
        struct book *book = container_of(node, struct book, due_node);
        if (book->due_at_ns > now_ns) {
            wait_until(keeper, book->due_at_ns);
        } else if (done++ < AT_ONCE) {
            list_remove(node);
            tidy(keeper, book);
        } else {
            wait_until(keeper, now_ns + NEXT_DELAY_NS);
        }
    }
}

static void add(struct keeper *keeper, struct book *book, uint64_t delay_ns)
{
    const uint64_t at_ns = clock_now_ns() + delay_ns;
    if (list_empty(&book->due_node))
        list_append(&keeper->due, &book->due_node);
    else if (book->due_at_ns <= at_ns)
        return;
    book->due_at_ns = at_ns;
    wait_until(keeper, at_ns);
}

static void on_ages(struct loop_timer *timer);

/* How long until this age is looked at again. */
static uint64_t age_delay_ns(uint32_t max_age_s)
{
    uint64_t delay_ns = max_age_s * NS_PER_SEC / AGE_PARTS;
    return delay_ns < AGE_LEAST_NS ? AGE_LEAST_NS : delay_ns > AGE_MOST_NS ? AGE_MOST_NS : delay_ns;
}

static void wait_for_ages(struct keeper *keeper, uint32_t max_age_s)
{
    uint64_t at_ns = clock_now_ns() + age_delay_ns(max_age_s);
    if (max_age_s && (!keeper->ages.set || at_ns < keeper->ages.at_ns))
        loop_set_timer(&keeper->writer->loop, &keeper->ages, at_ns, on_ages);
}

static void on_ages(struct loop_timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, ages);
    list_for_each(node, &keeper->writer->books)
    {
        struct book *book = container_of(node, struct book, node);
        if (!book->file.quota.max_age_s)
            continue;
        add(keeper, book, 0);
        wait_for_ages(keeper, book->file.quota.max_age_s);
    }
}

void keeper_init(struct keeper *keeper, struct writer *writer)
{
    char *slash;
    *keeper = (struct keeper){.writer = writer, .child = {.fd = -1}};
    list_init(&keeper->due);
    list_init(&keeper->unpacked);
    ssize_t bytes =
        readlink("/proc/self/exe", keeper->program, sizeof keeper->program - sizeof PROGRAM - 1);
    keeper->program[bytes < 0 ? 0 : bytes] = 0;
    slash = strrchr(keeper->program, '/');
    if (slash)
        memcpy(slash + 1, PROGRAM, sizeof PROGRAM);
}

void keeper_add(struct keeper *keeper, struct book *book)
{
    add(keeper, book, START_DELAY_NS);
    wait_for_ages(keeper, book->file.quota.max_age_s);
}

void keeper_sealed(struct keeper *keeper, struct book *book)
{
    book->stays_unpacked = false;
    tidy(keeper, book);
}

void keeper_mounts_changed(struct keeper *keeper)
{
    /* Mounts change all the time where containers run: mostly there is nothing to look for. */
    if (!journal_store_has_fallback(&keeper->writer->store))
        return;
    list_for_each(node, &keeper->writer->books)
    {
        struct book *book = container_of(node, struct book, node);
        if (journal_store_is_elsewhere(&keeper->writer->store, &book->file))
            add(keeper, book, 0);
    }
}

void keeper_changed(struct keeper *keeper, struct book *book)
{
    tidy(keeper, book);
    wait_for_ages(keeper, book->file.quota.max_age_s);
}

void keeper_drop(struct keeper *keeper, struct book *book)
{
    list_remove(&book->due_node);
    list_remove(&book->unpacked_node);
    total_leave(&keeper->writer->total, &book->share, &book->file);
    if (keeper->packing == book)
        keeper->packing = NULL;
}
