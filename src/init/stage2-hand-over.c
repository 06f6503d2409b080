/* The second stage: what the children hand over is kept, what init reaps is reported.
 *
 * Nothing is queued: what is still to be sent follows from the state (a cursor into the held
 * descriptors, the ring of ended processes, the ring of lines, a flag), and is sent as far as the
 * socket takes it. */
#include "init/stage2-hand-over.h"
#include "base/clock.h"
#include "base/list.h"
#include "init/ended.h"
#include "init/held.h"
#include "init/init.h"
#include "init/lines.h"
#include "init/stage3-shut-down.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECEIVED_A_TURN 64     /* messages, so that a flood does not keep us from the rest */
#define RECEIVED_AT_END 100000 /* of a dead child: more than its socket can hold */
#define REAPED_A_TURN   256
#define NO_READY_MS     10000 /* without a READY launcher for so long: reap anyway */

/* ---- what goes ----------------------------------------------------------------------------- */

static int send_replay(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_HELD};
    int fds[HAND_OVER_KEYS_MAX];

    while (child->replaying) {
        uint32_t cursor = child->cursor;
        size_t count = held_next(&cursor, child->owner, message.keys, fds, HAND_OVER_KEYS_MAX);
        message.type = count ? HAND_OVER_HELD : HAND_OVER_HELD_DONE;
        message.count = (uint32_t)count;
        int failed = hand_over_send(child->link_fd, &message, fds, count);
        if (failed)
            return failed;
        child->cursor = cursor;
        child->replaying = count > 0;
    }
    return 0;
}

static int send_refused(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_REFUSED, .count = child->refused_count};
    if (!child->refused_count)
        return 0;
    memcpy(message.keys, child->refused, sizeof child->refused);
    int failed = hand_over_send(child->link_fd, &message, NULL, 0);
    if (!failed)
        child->refused_count = 0;
    return failed;
}

static int send_signal(struct child *child)
{
    struct init *init = child->init;
    struct hand_over_message message = {
        .type = HAND_OVER_SIGNAL, .argument = init->signal, .status = init->signal_sender};
    if (!init->signal || init->signal_told || !child->ready)
        return 0;
    int failed = hand_over_send(child->link_fd, &message, NULL, 0);
    if (!failed)
        init->signal_told = true;
    return failed;
}

static int send_ended(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_ENDED};
    int failed = 0;
    while (child->ready && !failed) {
        message.count = (uint32_t)ended_peek(message.ended, HAND_OVER_ENDED_MAX);
        if (!message.count)
            return 0;
        failed = hand_over_send(child->link_fd, &message, NULL, 0);
        if (!failed)
            ended_sent(message.count);
    }
    return failed;
}

static int send_lines(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_LINE};
    enum log_level level;
    size_t bytes;
    int failed = 0;

    while (child->ready && !failed &&
           lines_peek(message.text, sizeof message.text, &bytes, &level)) {
        message.count = (uint32_t)bytes;
        message.argument = (int32_t)level;
        failed = hand_over_send(child->link_fd, &message, NULL, 0);
        if (!failed)
            lines_take();
    }
    return failed;
}

/* After the lines: they are to be drained, too. */
static int send_drain(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_DRAIN};
    struct init *init = child->init;
    if (!init->drain_wanted || !child->ready)
        return 0;
    int failed = hand_over_send(child->link_fd, &message, NULL, 0);
    if (!failed)
        init->drain_wanted = false;
    return failed;
}

static void update_events(struct child *child, bool blocked)
{
    uint32_t events = (blocked ? EPOLLOUT : 0u) | (child->refused_count ? 0u : EPOLLIN);
    if (child->link.fd < 0)
        return;
    int failed = loop_change(&child->init->loop, &child->link, events);
    if (failed)
        LOG(ERROR, "Could not watch a part of conit", TEXT("program", child->program),
            TEXT("error", strerror(-failed)));
}

void hand_over_send_pending(struct child *child)
{
    static int (*const launcher_sends[])(struct child *) = {send_replay, send_refused, send_signal,
                                                            send_ended, NULL};
    static int (*const journal_sends[])(struct child *) = {send_replay, send_refused, send_lines,
                                                           send_drain, NULL};
    int (*const *sends)(struct child *) =
        child->owner == OWNER_LAUNCHER ? launcher_sends : journal_sends;
    int failed = 0;

    if (child->link_fd < 0)
        return;
    for (; *sends && !failed; sends++)
        failed = (*sends)(child);
    /* Any other error says that the child is ending; then its end is what matters. */
    update_events(child, failed == -EAGAIN || failed == -ETOOMANYREFS);
}

/* ---- what comes ---------------------------------------------------------------------------- */

static void refuse(struct child *child, uint32_t key, const char *why)
{
    LOG(ERROR, "Could not keep a descriptor", TEXT("program", child->program), NUMBER("key", key),
        TEXT("error", why));
    if (child->refused_count < HAND_OVER_KEYS_MAX)
        child->refused[child->refused_count++] = key;
}

static void take_store(struct child *child, const struct hand_over_message *message, const int *fds)
{
    for (uint32_t i = 0; i < message->count; i++) {
        int failed = held_store(message->keys[i], message->owner, fds[i]);
        if (failed)
            refuse(child, message->keys[i], strerror(-failed));
    }
}

static void take_drop(struct child *child, const struct hand_over_message *message, const int *fds)
{
    (void)child, (void)fds;
    for (uint32_t i = 0; i < message->count; i++)
        held_drop(message->keys[i], message->owner);
}

static void take_ready(struct child *child, const struct hand_over_message *message, const int *fds)
{
    struct init *init = child->init;
    (void)message, (void)fds;
    if (child->pid == 0)
        return; /* it is dead by now */
    child_is_ready(child);
    LOG(DEBUG, "Ready", TEXT("program", child->program));
    if (child->owner == OWNER_LAUNCHER) {
        loop_clear_timer(&init->loop, &init->reap_timer);
        init->reap_anyway = false;
        init->reap_wanted = true;
        shut_down_launcher_works(init);
    }
}

static void take_progress(struct child *child, const struct hand_over_message *message,
                          const int *fds)
{
    char text[sizeof message->text + 1];
    (void)fds;
    memcpy(text, message->text, message->count);
    text[message->count] = 0;
    if (child->owner == OWNER_LAUNCHER)
        shut_down_progress(child->init, text);
}

static void take_shut_down(struct child *child, const struct hand_over_message *message,
                           const int *fds)
{
    int how = message->argument & ~SHUT_DOWN_FORCE;
    (void)fds;
    if (child->owner != OWNER_LAUNCHER || how <= SHUT_DOWN_NONE || how >= SHUT_DOWN_HOWS) {
        LOG(ERROR, "Asked for an end that does not exist", TEXT("program", child->program),
            NUMBER("how", how));
        return;
    }
    shut_down_begin(child->init, (enum shut_down)how, message->status);
}

static void take_upgrade(struct child *child, const struct hand_over_message *message,
                         const int *fds)
{
    (void)message, (void)fds;
    LOG(WARNING, "This init cannot be upgraded while it runs", TEXT("program", child->program));
}

static void take_drained(struct child *child, const struct hand_over_message *message,
                         const int *fds)
{
    (void)message, (void)fds;
    if (child->owner == OWNER_JOURNAL)
        shut_down_drained(child->init);
}

static void take_refused(struct child *child, const struct hand_over_message *message,
                         const int *fds)
{
    (void)fds;
    LOG(ERROR, "Descriptors were not taken back", TEXT("program", child->program),
        NUMBER("count", message->count));
}

static void take_ended_seen(struct child *child, const struct hand_over_message *message,
                            const int *fds)
{
    (void)fds;
    if (child->owner == OWNER_LAUNCHER && message->argument > 0)
        ended_seen((size_t)message->argument);
    child->init->reap_wanted = true; /* there is room in the ring again */
}

static void take(struct child *child, const struct hand_over_message *message, const int *fds)
{
    static void (*const handlers[])(struct child *, const struct hand_over_message *,
                                    const int *) = {
        [HAND_OVER_STORE] = take_store,           [HAND_OVER_DROP] = take_drop,
        [HAND_OVER_READY] = take_ready,           [HAND_OVER_PROGRESS] = take_progress,
        [HAND_OVER_SHUT_DOWN] = take_shut_down,   [HAND_OVER_UPGRADE] = take_upgrade,
        [HAND_OVER_DRAINED] = take_drained,       [HAND_OVER_REFUSED] = take_refused,
        [HAND_OVER_ENDED_SEEN] = take_ended_seen,
    };
    if (message->type < sizeof handlers / sizeof handlers[0] && handlers[message->type])
        handlers[message->type](child, message, fds);
    else if (message->type == HAND_OVER_HELD) /* not for us: it is not kept either */
        for (uint32_t i = 0; i < message->count; i++)
            close(fds[i]);
}

/* Takes up to `max` messages. Returns 0 at the end of the stream, else -EAGAIN or -errno. */
static int receive(struct child *child, int max, bool at_end)
{
    static struct hand_over_message message;
    static int fds[HAND_OVER_KEYS_MAX];
    size_t count;

    for (int i = 0; i < max && child->link_fd >= 0; i++) {
        if (child->refused_count && !at_end)
            return -EAGAIN;
        int result = hand_over_receive(child->link_fd, &message, fds, &count);
        if (result == 1)
            take(child, &message, fds);
        else if (result == -EMFILE)
            for (uint32_t k = 0; k < message.count; k++)
                refuse(child, message.keys[k], strerror(EMFILE));
        else if (result == -EPROTO)
            LOG(ERROR, "A message was malformed and is left out", TEXT("program", child->program));
        else if (result != -EINTR)
            return result;
    }
    return -EAGAIN;
}

void hand_over_poll(struct child *child)
{
    if (child->link_fd < 0)
        return;
    int result = receive(child, RECEIVED_A_TURN, false);
    if (result != -EAGAIN && child->link_fd >= 0) {
        /* The other side is closed: the child is ending, or will never be heard again. */
        loop_remove(&child->init->loop, &child->link);
        if (child->pid > 0)
            kill(child->pid, SIGKILL);
        return;
    }
    hand_over_send_pending(child);
}

static void on_link(struct loop_fd *source, uint32_t events)
{
    (void)events;
    hand_over_poll(container_of(source, struct child, link));
}

void hand_over_watch(struct child *child)
{
    child->link.fd = -1;
    if (child->link_fd < 0)
        return;
    int failed = loop_add(&child->init->loop, &child->link, child->link_fd, EPOLLIN, on_link);
    if (failed)
        LOG(ERROR, "Could not watch a part of conit", TEXT("program", child->program),
            TEXT("error", strerror(-failed)));
}

static void on_no_ready(struct loop_timer *timer)
{
    struct init *init = container_of(timer, struct init, reap_timer);
    LOG(WARNING, "The launcher takes no reports: orphans are reaped and the last are remembered");
    init->reap_anyway = init->reap_wanted = true;
}

static void limit_waiting(struct init *init)
{
    if (!init->reap_timer.set && !init->reap_anyway)
        loop_set_timer(&init->loop, &init->reap_timer, clock_now_ns() + NO_READY_MS * NS_PER_MS,
                       on_no_ready);
}

void hand_over_begin(struct child *child, int fd)
{
    child->link_fd = fd;
    child->replaying = true;
    child->cursor = 0;
    child->refused_count = 0;
    hand_over_watch(child);
    /* A pipe that the last journal has heard of and was killed with may still be in the launcher's
     * socket: it has to be held before what is held is given out, or nobody would read it. */
    if (child->owner == OWNER_JOURNAL)
        receive(&child->init->children[CHILD_LAUNCHER], RECEIVED_AT_END, false);
    if (child->owner == OWNER_LAUNCHER) {
        ended_rewind();
        child->init->signal_told = false;
        limit_waiting(child->init);
    } else if (child->init->phase == PHASE_DRAIN) {
        child->init->drain_wanted = !child->init->drained; /* the one that was asked has died */
    }
    hand_over_send_pending(child);
}

/* ---- signals and reaping ------------------------------------------------------------------- */

void hand_over_signal(struct init *init, int signal, pid_t sender)
{
    if (signal == SIGCHLD)
        init->reap_wanted = true;
    else if (shut_down_of_signal(signal) != SHUT_DOWN_NONE)
        shut_down_ask(init, signal, sender);
}

/* Whether `pid`, already reaped, was one of our own; then its end is dealt with. */
static bool take_own(struct init *init, pid_t pid, int status)
{
    for (int i = 0; i < CHILDREN; i++) {
        struct child *child = &init->children[i];
        if (child->pid != pid)
            continue;
        child->pid = 0;
        receive(child, RECEIVED_AT_END, true);
        child_ended(child, pid, status);
        if (child->owner == OWNER_LAUNCHER && init->phase == PHASE_NONE)
            limit_waiting(init);
        return true;
    }
    if (pid != init->rescue_pid)
        return false;
    rescue_ended(init);
    return true;
}

static void reap_own(struct init *init)
{
    pid_t own[CHILDREN + 1];
    int status;
    for (int i = 0; i < CHILDREN; i++)
        own[i] = init->children[i].pid;
    own[CHILDREN] = init->rescue_pid;
    for (int i = 0; i <= CHILDREN; i++)
        if (own[i] > 0 && waitpid(own[i], &status, WNOHANG) == own[i])
            take_own(init, own[i], status);
}

/* While the launcher is down a zombie is the safest place for its status. The same goes for a
 * launcher that does not keep up, for a while. */
static bool may_reap(struct init *init)
{
    if (init->phase != PHASE_NONE || init->reap_anyway)
        return true;
    if (!init->children[CHILD_LAUNCHER].ready)
        return false;
    if (!ended_is_full())
        return true;
    limit_waiting(init);
    return false;
}

bool hand_over_reap(struct init *init)
{
    int status, reaped = 0;
    pid_t pid = 0;

    if (!init->reap_wanted)
        return false;
    init->reap_wanted = false;
    reap_own(init);
    for (; reaped < REAPED_A_TURN && may_reap(init); reaped++) {
        pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            break;
        if (!take_own(init, pid, status) && init->phase == PHASE_NONE)
            ended_push((struct hand_over_ended){pid, status});
    }
    init->reap_wanted |= reaped == REAPED_A_TURN;
    if (!ended_is_full() && init->children[CHILD_LAUNCHER].ready) {
        init->reap_anyway = false; /* it keeps up, or does again */
        loop_clear_timer(&init->loop, &init->reap_timer);
    }
    if (init->phase == PHASE_NONE)
        hand_over_send_pending(&init->children[CHILD_LAUNCHER]);
    else
        shut_down_check(init);
    return init->reap_wanted;
}
