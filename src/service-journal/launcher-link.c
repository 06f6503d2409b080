/* The journal's side of its link with the launcher.
 *
 * A message is looked at in the socket, carried out, its number recorded, and only then taken out:
 * whenever we are killed, the next journal finds it there, or knows that it is done. Answers never
 * wait: what has no room in the socket is sent when there is some, and until then no more
 * requests are taken than answers can be kept. A message for which something is lacking (memory, a
 * descriptor) stays in the socket, and is tried again for a while. */
#include "service-journal/launcher-link.h"
#include "base/clock.h"
#include "base/shortage.h"
#include "log/log.h"
#include "service-journal/intake.h"
#include "service/name.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* How long one message waits, and those behind it; then it is given up. */
#define SHORTAGE_MS       5000
#define SHORTAGE_AT_DRAIN 20 /* how often it is tried again at the end of the machine */
#define MESSAGES_A_TURN   64
#define MESSAGES_AT_DRAIN 65536 /* a launcher that sends for ever cannot hold up the end */

static int send_message(const struct launcher_link *link, enum journal_link_type type,
                        uint64_t sequence, uint32_t id, const char *text)
{
    struct journal_link_message message;
    memset(&message, 0, offsetof(struct journal_link_message, text));
    message.type = (uint16_t)type;
    message.sequence = sequence;
    message.id = id;
    message.level = JOURNAL_WARNING;
    text_format(message.text, sizeof message.text, "%s", text);
    return journal_link_send(link->source.fd, &message, -1);
}

static int send_matched(const struct launcher_link *link, const struct match *match)
{
    struct journal_link_message message;
    memset(&message, 0, offsetof(struct journal_link_message, text));
    message.type = JOURNAL_MATCHED;
    message.id = match->id;
    memcpy(message.run, match->run, sizeof message.run);
    message.text[0] = 0;
    return journal_link_send(link->source.fd, &message, -1);
}

/* What cannot be opened now is not sent: the launcher does without. */
static int send_counts(const struct launcher_link *link)
{
    struct journal_link_message message;
    int fd = counts_open_reading(&link->journal->counts);
    if (fd < 0)
        return 0;
    memset(&message, 0, offsetof(struct journal_link_message, text));
    message.type = JOURNAL_COUNTS;
    message.text[0] = 0;
    int failed = journal_link_send(link->source.fd, &message, fd);
    close(fd);
    return failed;
}

/* Sends the answers that are due, as far as they fit. */
static void send_answers(struct launcher_link *link)
{
    uint64_t sequence = journal_state_sequence(&link->journal->state);
    int failed = 0;

    if (!link->greeted) {
        failed = send_message(link, JOURNAL_HELLO, sequence, 0, "");
        link->greeted = !failed;
        link->acknowledged = failed ? link->acknowledged : sequence;
    }
    if (!failed && link->counts_due) {
        failed = send_counts(link);
        link->counts_due = failed != 0;
    }
    /* Of a disk that hangs nobody is told more than that it is so: what can be read is there. */
    while (!failed && link->token_count &&
           journal_is_drained(link->journal, link->tokens[0].number)) {
        failed = send_message(link, JOURNAL_DRAINED, 0, link->tokens[0].token, "");
        if (!failed)
            memmove(link->tokens, link->tokens + 1, --link->token_count * sizeof link->tokens[0]);
    }
    while (!failed && !list_empty(&link->journal->matched)) {
        struct list *node = link->journal->matched.next;
        failed = send_matched(link, container_of(node, struct match, node));
        if (!failed)
            list_remove(node);
    }
    if (!failed && link->acknowledged != sequence) {
        failed = send_message(link, JOURNAL_ACK, sequence, 0, "");
        link->acknowledged = failed ? link->acknowledged : sequence;
    }
    bool taking = link->token_count < LAUNCHER_LINK_TOKENS_MAX && !link->again.set;
    uint32_t events = taking ? EPOLLIN : 0;
    loop_change(&link->journal->loop, &link->source, events | (failed ? EPOLLOUT : 0));
}

static bool is_file_name(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/') &&
           !service_name_is_journal(name);
}

static int do_register(struct launcher_link *link, const struct journal_link_message *message,
                       int fd)
{
    struct journal *journal = link->journal;
    struct journal_state_record record = {
        .id = message->id, .flags = message->flags, .quota = message->quota};
    int failed = 0;

    if (!record.quota.max_size_bytes)
        record.quota = QUOTA_DEFAULT;

    memcpy(record.name, message->name, sizeof record.name);
    memcpy(record.folder, message->text, sizeof record.folder);
    if (!is_file_name(record.name) || (record.folder[0] && record.folder[0] != '/'))
        failed = -EINVAL;
    if (!failed)
        failed = journal_register(journal, &record);
    if (!failed && fd >= 0)
        return journal_add_pipe(journal, message->id, fd, PIPE_OUTPUT);
    if (fd >= 0)
        close(fd);
    return failed;
}

static int do_settings(struct journal *journal, const struct journal_link_message *message)
{
    if (!journal_find(journal, message->id) || !message->quota.max_size_bytes)
        return 0;
    return journal_change(journal, message->id, message->flags, &message->quota);
}

static int do_match(struct journal *journal, const struct journal_link_message *message)
{
    struct journal_state_match from = {0};
    memcpy(from.run, message->run, sizeof from.run);
    memcpy(from.expression, message->text, sizeof from.expression);
    return journal_match(journal, message->id, &from);
}

static void say(struct journal *journal, const struct journal_link_message *message)
{
    journal_say(journal, message->id, (enum journal_level)message->level, message->text,
                strlen(message->text), message->sequence);
}

static int carry_out(struct launcher_link *link, const struct journal_link_message *message, int fd)
{
    struct journal *journal = link->journal;
    int failed = 0;

    if (message->type != JOURNAL_REGISTER && fd >= 0)
        close(fd);
    switch (message->type) {
    case JOURNAL_REGISTER:
        failed = do_register(link, message, fd);
        break;
    case JOURNAL_SETTINGS:
        failed = do_settings(journal, message);
        break;
    case JOURNAL_MATCH:
        failed = do_match(journal, message);
        break;
    case JOURNAL_UNMATCH:
        journal_unmatch(journal, message->id, message->run);
        break;
    case JOURNAL_EVENT:
        say(journal, message);
        break;
    case JOURNAL_RUN_ENDED:
        journal_end_run(journal, message->id, (enum journal_level)message->level, message->text,
                        message->sequence);
        break;
    case JOURNAL_FORGET:
        journal_forget(journal, message->id);
        break;
    case JOURNAL_SYSTEM:
        intake_system(journal->intake, message);
        link->counts_due = true;
        break;
    case JOURNAL_DRAIN:
        link->tokens[link->token_count].number = journal_drain(journal, WRITER_SYNC_NOTHING);
        link->tokens[link->token_count++].token = message->id;
        break;
    default: /* of a later version: skipped */
        break;
    }
    return failed;
}

static void say_failed(struct launcher_link *link, const struct journal_link_message *message,
                       int failed)
{
    const struct service *service = journal_find(link->journal, message->id);
    const char *name = service ? service->book->name : message->name;
    LOG(ERROR, "Could not keep a service's journal", TEXT("service", name),
        TEXT("error", strerror(-failed)));
    /* A word that gets lost here is in our own journal, too. */
    send_message(link, JOURNAL_NOTE, 0, message->id, strerror(-failed));
}

static void on_again(struct loop_timer *timer);

/* Whether the first message is to be tried again later; it is still in the socket. */
static bool waits_for_more(struct launcher_link *link, int failed)
{
    uint64_t now = clock_now_ns();
    if (!is_shortage(failed))
        return false;
    if (!link->short_since_ns) {
        link->short_since_ns = now;
        LOG(WARNING, "What the launcher asks for has to wait: something is lacking",
            TEXT("error", strerror(-failed)));
    }
    if (now - link->short_since_ns > SHORTAGE_MS * NS_PER_MS)
        return false;
    loop_set_timer(&link->journal->loop, &link->again, now + SHORTAGE_RETRY_MS * NS_PER_MS,
                   on_again);
    return true;
}

/* Nothing could be received. Returns whether there may be something else. */
static bool take_nothing(struct launcher_link *link, int failed)
{
    if (failed == -EMFILE && writer_give_up_descriptors(&link->journal->writer))
        return true;
    if (waits_for_more(link, failed) || (failed != -EPROTO && failed != -EMFILE))
        return false;
    LOG(ERROR, "Could not take a message of the launcher", TEXT("error", strerror(-failed)));
    journal_link_drop(link->source.fd);
    return true;
}

/* One message. Returns false when there is none, or none can be taken now. */
static bool take_message(struct launcher_link *link)
{
    struct journal *journal = link->journal;
    struct journal_link_message message;
    int fd = -1;

    if (link->token_count == LAUNCHER_LINK_TOKENS_MAX || link->again.set)
        return false;
    int got = journal_link_peek(link->source.fd, &message, &fd);
    if (got < 0)
        return take_nothing(link, got);
    if (got == 0) { /* init is gone, which holds both ends */
        loop_remove(&journal->loop, &link->source);
        return false;
    }
    if (message.sequence > journal_state_sequence(&journal->state)) {
        link->carrying_bytes = journal_link_bytes(&message);
        int failed = carry_out(link, &message, fd);
        link->carrying_bytes = 0;
        if (waits_for_more(link, failed))
            return false;
        if (failed)
            say_failed(link, &message, failed);
        else
            link->short_since_ns = 0;
        journal_state_set_sequence(&journal->state, message.sequence);
    } else {
        if (fd >= 0)
            close(fd);
        link->acknowledged = 0; /* the launcher does not know yet: it is told again */
    }
    journal_link_drop(link->source.fd);
    return true;
}

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct launcher_link *link = container_of(source, struct launcher_link, source);
    for (int i = 0; i < MESSAGES_A_TURN && (events & ~(uint32_t)EPOLLOUT) && take_message(link);
         i++) {
    }
    send_answers(link);
}

static void on_again(struct loop_timer *timer)
{
    struct launcher_link *link = container_of(timer, struct launcher_link, again);
    if (link->source.fd >= 0)
        on_event(&link->source, EPOLLIN);
}

void launcher_link_drain(struct launcher_link *link)
{
    int waited = 0;
    for (int i = 0; i < MESSAGES_AT_DRAIN; i++) {
        if (take_message(link))
            continue;
        if (!link->again.set || waited++ == SHORTAGE_AT_DRAIN)
            break;
        poll(NULL, 0, SHORTAGE_RETRY_MS / 10);
        loop_clear_timer(&link->journal->loop, &link->again);
    }
    send_answers(link);
}

/* Carries out what was said by now. Returns 1 when there was something, 0, or -EAGAIN when there is
 * something behind a message that is being carried out, or more than can be answered now. */
static int hear(void *context)
{
    struct launcher_link *link = context;
    int waiting = 0, taken = 0;

    if (ioctl(link->source.fd, FIONREAD, &waiting) < 0)
        return 0;
    if (link->carrying_bytes)
        return (size_t)waiting > link->carrying_bytes ? -EAGAIN : 0;
    while (taken < MESSAGES_A_TURN && take_message(link))
        taken++;
    send_answers(link);
    return taken ? 1 : waiting ? -EAGAIN : 0;
}

static void on_answer(void *context)
{
    send_answers(context);
}

int launcher_link_init(struct launcher_link *link, struct journal *journal, int fd)
{
    *link = (struct launcher_link){.counts_due = true, .journal = journal};
    journal->on_matched = journal->on_drained = on_answer;
    journal->hear = hear;
    journal->context = link;
    int failed = loop_add(&journal->loop, &link->source, fd, EPOLLIN, on_event);
    if (!failed)
        send_answers(link);
    return failed;
}
