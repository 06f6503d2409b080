/* The second stage: what the children hand over is kept, what init reaps is reported.
 *
 * Nothing is queued: what is still to be sent follows from the state (a cursor into the held
 * descriptors, the ring of ended processes, the ring of lines, a flag), and is sent as far as the
 * socket takes it. */
#include "init/stage2-hand-over.h"
#include "base/clock.h"
#include "base/list.h"
#include "init/crash.h"
#include "init/ended.h"
#include "init/held.h"
#include "init/init.h"
#include "init/lines.h"
#include "init/stage2-reap.h"
#include "init/stage3-shut-down.h"
#include "init/upgrade.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_MS        50     /* the kernel had no memory for a message: it is tried again */
#define RECEIVED_A_TURN 64     /* messages, so that a flood does not keep us from the rest */
#define TRIES_AT_END    16     /* while there is no memory for what it has left */
#define RECEIVED_AT_END 100000 /* of a dead child: more than its socket can hold */

/* ---- what goes ----------------------------------------------------------------------------- */

static bool is_trial(const struct child *child)
{
    return child == &child->init->children[CHILD_TRIAL];
}

/* What an old one is told that shall make room. Only 0 lets anything else follow. */
static int send_yield(struct child *child)
{
    static const uint16_t types[] = {
        [YIELD_WANTED] = HAND_OVER_YIELD, [YIELD_RESUME] = HAND_OVER_RESUME};
    static const enum yield next[] = {[YIELD_WANTED] = YIELD_TOLD, [YIELD_RESUME] = YIELD_NONE};
    uint32_t yield = child->kept->yield;
    if (yield == YIELD_NONE)
        return 0;
    if (yield != YIELD_WANTED && yield != YIELD_RESUME)
        return -EALREADY;
    struct hand_over_message message = {.type = types[yield]};
    int failed = hand_over_send(child->kept->link_fd, &message, NULL, 0);
    if (failed)
        return failed;
    child->kept->yield = next[yield];
    return child->kept->yield == YIELD_NONE ? 0 : -EALREADY;
}

static int send_replay(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_HELD};
    int fds[HAND_OVER_KEYS_MAX];

    while (child->kept->replaying) {
        uint32_t cursor = child->kept->cursor;
        size_t count = held_next(&cursor, child->owner, message.keys, fds, HAND_OVER_KEYS_MAX);
        message.type = count ? HAND_OVER_HELD : HAND_OVER_HELD_DONE;
        message.count = (uint32_t)count;
        message.argument = is_trial(child); /* one stands beside it */
        child->kept->sending = message.type;
        int failed = hand_over_send(child->kept->link_fd, &message, fds, count);
        if (!failed) {
            child->kept->cursor = cursor;
            child->kept->replaying = count > 0;
        }
        CRASH_POINT("replay");
        kept_settle();
        child->kept->sending = 0;
        if (failed)
            return failed;
    }
    return 0;
}

static int send_refused(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_REFUSED,
                                        .count = child->kept->refused_count};
    if (!child->kept->refused_count)
        return 0;
    memcpy(message.keys, child->kept->refused, sizeof child->kept->refused);
    int failed = hand_over_send(child->kept->link_fd, &message, NULL, 0);
    if (!failed)
        child->kept->refused_count = 0;
    return failed;
}

static int send_signal(struct child *child)
{
    struct init *init = child->init;
    struct hand_over_message message = {.type = HAND_OVER_SIGNAL,
                                        .argument = init->ending->signal,
                                        .status = init->ending->signal_sender};
    if (!init->ending->signal || init->ending->signal_told || !child->kept->ready)
        return 0;
    int failed = hand_over_send(child->kept->link_fd, &message, NULL, 0);
    if (!failed)
        init->ending->signal_told = true;
    return failed;
}

static int send_ended(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_ENDED};
    int failed = 0;
    while (child->kept->ready && !failed) {
        message.count = (uint32_t)ended_peek(message.ended, HAND_OVER_ENDED_MAX);
        if (!message.count)
            return 0;
        child->kept->sending = message.type;
        failed = hand_over_send(child->kept->link_fd, &message, NULL, 0);
        CRASH_POINT("reported");
        if (!failed)
            ended_sent(message.count);
        child->kept->sending = 0;
    }
    return failed;
}

static int send_lines(struct child *child)
{
    struct hand_over_message message = {.type = HAND_OVER_LINE};
    enum log_level level;
    size_t bytes;
    int failed = 0;

    while (child->kept->ready && !failed &&
           lines_peek(message.text, sizeof message.text, &bytes, &level)) {
        message.count = (uint32_t)bytes;
        message.argument = (int32_t)level;
        message.status = (int32_t)lines_number();
        failed = hand_over_send(child->kept->link_fd, &message, NULL, 0);
        CRASH_POINT("line-sent");
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
    if (!init->ending->drain_wanted || !child->kept->ready)
        return 0;
    int failed = hand_over_send(child->kept->link_fd, &message, NULL, 0);
    if (!failed)
        init->ending->drain_wanted = false;
    return failed;
}

static void update_events(struct child *child, int failed_to_send)
{
    bool blocked = failed_to_send == -EAGAIN || failed_to_send == -ETOOMANYREFS;
    uint32_t events = (blocked ? EPOLLOUT : 0u) | (child->kept->refused_count ? 0u : EPOLLIN);
    if (child->link.fd < 0)
        return;
    int failed = loop_change(&child->init->loop, &child->link, events);
    if (failed)
        LOG(ERROR, "Could not watch a part of conit", TEXT("program", child->program),
            TEXT("error", strerror(-failed)));
}

static bool is_want(int failed)
{
    return failed == -ENOMEM || failed == -ENOBUFS;
}

static void on_again(struct loop_timer *timer)
{
    struct child *child = container_of(timer, struct child, again);
    if (child->link.fd < 0)
        hand_over_watch(child);
    hand_over_poll(child);
}

static void try_again(struct child *child, int failed)
{
    uint64_t at_ns = clock_now_ns() + AGAIN_MS * NS_PER_MS;
    LOG(WARNING, "What a part of conit is told has to wait", TEXT("program", child->program),
        TEXT("error", strerror(-failed)));
    if (child->link.fd >= 0)
        loop_change(&child->init->loop, &child->link, 0);
    loop_set_timer(&child->init->loop, &child->again, at_ns, on_again);
}

void hand_over_send_pending(struct child *child)
{
    static int (*const launcher_sends[])(struct child *) = {
        send_yield, send_replay, send_refused, send_signal, send_ended, upgrade_send_result, NULL};
    static int (*const journal_sends[])(struct child *) = {send_yield, send_replay, send_refused,
                                                           send_lines, send_drain,  NULL};
    static int (*const trial_sends[])(struct child *) = {send_replay, NULL};
    int (*const *sends)(struct child *) = is_trial(child)                  ? trial_sends
                                          : child->owner == OWNER_LAUNCHER ? launcher_sends
                                                                           : journal_sends;
    int failed = 0;

    if (child->kept->link_fd < 0)
        return;
    for (; *sends && !failed; sends++)
        failed = (*sends)(child);
    if (is_want(failed))
        try_again(child, failed);
    else /* Any other error says that the child is ending; then its end is what matters. */
        update_events(child, failed);
}

/* ---- what comes ---------------------------------------------------------------------------- */

/* Before anything else is done about it: what is closed is not looked at again after a fault. */
static void note_refused(struct kept_child *kept, uint32_t key)
{
    for (uint32_t i = 0; i < kept->refused_count; i++)
        if (kept->refused[i] == key)
            return; /* before a fault of ours */
    if (kept->refused_count >= HAND_OVER_KEYS_MAX)
        return;
    kept->refused[kept->refused_count] = key;
    kept_settle();
    kept->refused_count++;
    kept_settle();
}

static void refuse(struct child *child, uint32_t key, const char *why)
{
    note_refused(child->kept, key);
    LOG(ERROR, "Could not keep a descriptor", TEXT("program", child->program), NUMBER("key", key),
        TEXT("error", why));
}

static void take_store(struct child *child, const struct hand_over_message *message, const int *fds)
{
    for (uint32_t i = 0; i < message->count; i++) {
        if (fds[i] < 0)
            continue; /* dealt with before init was executed anew */
        int failed = held_judge(message->keys[i], message->owner, fds[i]);
        if (failed)
            refuse(child, message->keys[i], strerror(-failed));
        CRASH_POINT(failed ? "refusing" : "storing");
        held_store(message->keys[i], message->owner, fds[i]);
        CRASH_POINT(failed ? "refused" : "stored");
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
    if (child->kept->pid == 0)
        return; /* it is dead by now */
    child_is_ready(child);
    LOG(DEBUG, "Ready", TEXT("program", child->program));
    if (child->owner == OWNER_LAUNCHER) {
        reap_wait_no_more(init);
        init->own->reap_anyway = false;
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
    (void)fds;
    if (child->owner == OWNER_LAUNCHER)
        upgrade_ask(child->init, (uint32_t)message->argument);
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
    const struct kept *kept = child->init->kept;
    (void)fds;
    /* One that was being dealt with when init was executed anew counts once. */
    if (child->owner == OWNER_LAUNCHER && message->argument > 0 &&
        ended_answers() == kept->inbox.answers_before)
        ended_seen((size_t)message->argument);
    child->init->reap_wanted = true; /* there is room in the ring again */
}

static void take_yielded(struct child *child, const struct hand_over_message *message,
                         const int *fds)
{
    (void)message, (void)fds;
    upgrade_take_yielded(child);
}

static void take_failed(struct child *child, const struct hand_over_message *message,
                        const int *fds)
{
    char text[sizeof message->text + 1];
    (void)fds;
    memcpy(text, message->text, message->count);
    text[message->count] = 0;
    upgrade_take_failed(child, text);
}

static void take_upgraded_seen(struct child *child, const struct hand_over_message *message,
                               const int *fds)
{
    (void)message, (void)fds;
    if (child->owner == OWNER_LAUNCHER)
        upgrade_take_seen(child->init);
}

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

static void take(struct child *child, const struct hand_over_message *message, const int *fds)
{
    static void (*const handlers[])(struct child *, const struct hand_over_message *,
                                    const int *) = {
        [HAND_OVER_STORE] = take_store,           [HAND_OVER_DROP] = take_drop,
        [HAND_OVER_READY] = take_ready,           [HAND_OVER_PROGRESS] = take_progress,
        [HAND_OVER_SHUT_DOWN] = take_shut_down,   [HAND_OVER_UPGRADE] = take_upgrade,
        [HAND_OVER_DRAINED] = take_drained,       [HAND_OVER_REFUSED] = take_refused,
        [HAND_OVER_ENDED_SEEN] = take_ended_seen, [HAND_OVER_YIELDED] = take_yielded,
        [HAND_OVER_FAILED] = take_failed,         [HAND_OVER_UPGRADED_SEEN] = take_upgraded_seen,
    };
    bool carries = message->type == HAND_OVER_HELD || message->type == HAND_OVER_STORE;
    if (is_trial(child)) {
        upgrade_take_of_trial(child, message);
        close_all(fds, carries ? message->count : 0);
    } else if (message->type < sizeof handlers / sizeof handlers[0] && handlers[message->type])
        handlers[message->type](child, message, fds);
    else if (message->type == HAND_OVER_HELD) /* not for us: it is not kept either */
        close_all(fds, message->count);
}

/* Acts on what is in the inbox: `bytes` of a message. */
static int open_inbox(struct child *child, int bytes)
{
    struct hand_over_inbox *inbox = &child->init->kept->inbox.inbox;
    static int fds[HAND_OVER_KEYS_MAX];
    size_t count;

    int result = hand_over_inbox_open(inbox, (size_t)bytes, fds, &count);
    CRASH_POINT("received");
    if (result == 1)
        take(child, &inbox->message, fds);
    else if (result == -EMFILE)
        for (uint32_t k = 0; k < inbox->message.count; k++)
            refuse(child, inbox->message.keys[k], strerror(EMFILE));
    else if (result == -EPROTO)
        LOG(ERROR, "A message was malformed and is left out", TEXT("program", child->program));
    CRASH_POINT("taken");
    return result;
}

/* Takes one message, if there is any. Returns 1 for one that was dealt with or left out, else as
 * hand_over_receive(). */
static int receive_one(struct child *child)
{
    struct kept_inbox *kept = &child->init->kept->inbox;
    kept->tries = 0;
    kept->answers_before = ended_answers();
    kept->from = 1 + (int32_t)(child - child->init->children);
    int result = hand_over_inbox_fill(&kept->inbox, child->kept->link_fd);
    if (result >= 0)
        result = open_inbox(child, result);
    kept_settle();
    kept->from = 0;
    return result == -EMFILE || result == -EPROTO || result == -EINTR ? 1 : result;
}

/* Takes up to `max` messages. Returns 0 at the end of the stream, else -EAGAIN or -errno. */
static int receive(struct child *child, int max, bool at_end)
{
    for (int i = 0; i < max && child->kept->link_fd >= 0; i++) {
        if (child->kept->refused_count && !at_end)
            return -EAGAIN;
        int result = receive_one(child);
        if (result != 1)
            return result;
        if (is_trial(child) && child->kept->ready)
            break; /* what it says from here on it says as our child */
    }
    return -EAGAIN;
}

void hand_over_take_rest(struct child *child)
{
    for (int i = 0; i < TRIES_AT_END && is_want(receive(child, RECEIVED_AT_END, true)); i++)
        continue;
}

void hand_over_poll(struct child *child)
{
    if (child->kept->link_fd < 0)
        return;
    int result = receive(child, RECEIVED_A_TURN, false);
    if (is_want(result)) {
        try_again(child, result);
        return;
    }
    if (result != -EAGAIN) {
        /* The other side is closed: the child is ending, or will never be heard again. */
        loop_remove(&child->init->loop, &child->link);
        if (child->kept->pid > 0)
            kill(child->kept->pid, SIGKILL);
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
    loop_remove(&child->init->loop, &child->link);
    if (child->kept->link_fd < 0)
        return;
    int failed = loop_add(&child->init->loop, &child->link, child->kept->link_fd, EPOLLIN, on_link);
    if (failed)
        try_again(child, failed);
}

/* A new launcher knows nothing of what the former one was told. */
static void tell_anew(struct init *init)
{
    ended_rewind();
    init->ending->signal_told = false;
    upgrade_tell_again(init);
}

void hand_over_take_over(struct child *child)
{
    if (child->owner == OWNER_LAUNCHER)
        tell_anew(child->init);
    take_ready(child, NULL, NULL);
    hand_over_poll(child);
}

void hand_over_begin(struct child *child)
{
    hand_over_watch(child);
    /* A pipe that the last journal has heard of and was killed with may still be in the launcher's
     * socket: it has to be held before what is held is given out, or nobody would read it. */
    if (child->owner == OWNER_JOURNAL)
        receive(&child->init->children[CHILD_LAUNCHER], RECEIVED_AT_END, false);
    if (is_trial(child)) { /* it is told nothing but what is held */
        hand_over_send_pending(child);
        return;
    }
    if (child->owner == OWNER_LAUNCHER) {
        tell_anew(child->init);
        reap_wait_for_launcher(child->init);
    } else if (child->init->ending->phase == PHASE_DRAIN) {
        child->init->ending->drain_wanted =
            !child->init->ending->drained; /* the one that was asked has died */
    }
    hand_over_send_pending(child);
}

/* ---- after init was executed anew ------------------------------------------------------------ */

/* Its descriptors are closed with all that nothing names. */
static void leave_out(struct child *child, const struct hand_over_message *message)
{
    LOG(ERROR, "A message brought init down twice and is left out", TEXT("program", child->program),
        NUMBER("type", message->type));
    for (uint32_t i = 0; message->type == HAND_OVER_STORE && i < message->count; i++)
        if (i < HAND_OVER_KEYS_MAX)
            refuse(child, message->keys[i], strerror(EFAULT));
}

void hand_over_take_again(struct init *init)
{
    struct kept_inbox *kept = &init->kept->inbox;
    if (kept->from > 0 && hand_over_inbox_is_filled(&kept->inbox)) {
        struct child *child = &init->children[kept->from - 1];
        if (kept->tries++ > 0)
            leave_out(child, &kept->inbox.message);
        else
            open_inbox(child, sizeof kept->inbox.message);
    }
    kept->from = 0;
}

void hand_over_resume(struct child *child)
{
    struct kept_child *kept = child->kept;
    if (kept->pid <= 0)
        return;
    if (kept->link_fd < 0 || kept->sending) {
        /* It cannot be told any more what it has been told: the next one is told everything. */
        kill(kept->pid, SIGKILL);
        kept->sending = 0;
    }
    if (!kept->ready) {
        hand_over_begin(child);
        return;
    }
    hand_over_watch(child);
    hand_over_send_pending(child);
}
