/* A pipe through which the journal gives lines to itself.
 *
 * Each write is small enough to happen as a whole or not at all, and is noted before: how much was
 * in the pipe, and how far the source is once it is done. The pipe is read by nobody else, so the
 * next journal sees by what is in it whether that was written. */
#include "service-journal/feed.h"
#include "base/text.h"
#include "log/log.h"
#include "protocol/hand-over.h"
#include "service-journal/hold.h"
#include "service-journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

uint32_t feed_key(uint32_t id)
{
    return id == JOURNAL_SYSLOG_ID   ? KEY_FEED_SYSLOG
           : id == JOURNAL_KERNEL_ID ? KEY_FEED_KERNEL
                                     : KEY_FEED_FIRST + id;
}

bool feed_is_key(uint32_t key, uint32_t *ret_id)
{
    if (key != KEY_FEED_SYSLOG && key != KEY_FEED_KERNEL &&
        (key < KEY_FEED_FIRST || key >= KEY_JOURNAL_BACKLOGS))
        return false;
    *ret_id = key == KEY_FEED_SYSLOG   ? JOURNAL_SYSLOG_ID
              : key == KEY_FEED_KERNEL ? JOURNAL_KERNEL_ID
                                       : key - KEY_FEED_FIRST;
    return true;
}

static struct feed *add(struct feeds *feeds, uint32_t id, int fd)
{
    struct feed *feed = malloc(sizeof *feed);
    if (!feed)
        return NULL;
    feed->id = id;
    feed->fd = fd;
    list_append(&feeds->list, &feed->node);
    return feed;
}

static void drop(struct feed *feed)
{
    hold_drop(feed_key(feed->id));
    list_remove(&feed->node);
    close(feed->fd);
    free(feed);
}

void feed_restore(struct feeds *feeds, uint32_t id, int fd)
{
    struct feed *feed = add(feeds, id, fd);
    int again = feed ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    int failed = again < 0 ? -errno : journal_add_pipe(feeds->journal, id, again, PIPE_FEED);
    if (!failed)
        return;
    if (feed)
        drop(feed);
    else
        close(fd);
}

static struct feed *find(struct feeds *feeds, uint32_t id)
{
    list_for_each(node, &feeds->list)
    {
        struct feed *feed = container_of(node, struct feed, node);
        if (feed->id == id)
            return feed;
    }
    return NULL;
}

static struct feed *make(struct feeds *feeds, uint32_t id)
{
    char path[40];
    int ends[2], fd;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return NULL;
    text_format(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    close(ends[1]);
    if (fd < 0 || journal_add_pipe(feeds->journal, id, ends[0], PIPE_FEED) < 0) {
        close(fd < 0 ? ends[0] : fd);
        return NULL;
    }
    struct feed *feed = add(feeds, id, fd);
    if (feed)
        hold_store(feed_key(id), fd);
    else
        close(fd);
    return feed;
}

struct feed *feed_get(struct feeds *feeds, uint32_t id)
{
    struct feed *feed = find(feeds, id);
    return feed ? feed : make(feeds, id);
}

void feed_forget(struct feeds *feeds, uint32_t id)
{
    struct feed *feed = find(feeds, id);
    if (feed)
        drop(feed);
}

static uint32_t bytes_in(const struct feed *feed)
{
    int waiting = 0;
    return ioctl(feed->fd, FIONREAD, &waiting) < 0 || waiting < 0 ? 0 : (uint32_t)waiting;
}

void feed_recover(struct feeds *feeds)
{
    struct intake_state *state = feeds->state;
    const struct feed *feed = state->writing ? find(feeds, state->target) : NULL;
    if (feed && state->source < INTAKE_SOURCES && bytes_in(feed) != state->before)
        state->at[state->source] = state->at_after;
    __atomic_store_n(&state->writing, 0, __ATOMIC_SEQ_CST);
}

/* ---- pouring ------------------------------------------------------------------------------- */

void pour_begin(struct pour *pour, struct feeds *feeds, struct feed *feed,
                enum intake_source source)
{
    *pour = (struct pour){feeds, feed, source, INTAKE_DONE(feeds->state->at[source])};
}

/* At most PIPE_BUF. */
static int write_piece(struct pour *pour, const char *bytes, size_t count)
{
    struct intake_state *state = pour->feeds->state;
    ssize_t done;

    state->source = pour->source;
    state->target = pour->feed->id;
    state->before = bytes_in(pour->feed);
    state->at_after = state->at[pour->source] + count;
    __atomic_store_n(&state->writing, 1, __ATOMIC_SEQ_CST);
    do
        done = write(pour->feed->fd, bytes, count);
    while (done < 0 && errno == EINTR);
    int failed = done < 0 ? -errno : 0;
    if (!failed)
        state->at[pour->source] = state->at_after;
    __atomic_store_n(&state->writing, 0, __ATOMIC_SEQ_CST);
    return failed;
}

int pour_bytes(struct pour *pour, const char *bytes, size_t count)
{
    size_t at = pour->skip < count ? pour->skip : count;
    int failed = 0;
    pour->skip -= at;
    while (at < count && !failed) {
        size_t piece = count - at < PIPE_BUF ? count - at : PIPE_BUF;
        failed = write_piece(pour, bytes + at, piece);
        at += piece;
    }
    return failed;
}
