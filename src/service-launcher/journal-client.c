/* The launcher's side of its link with the journal.
 *
 * The queue holds what is not acknowledged, in the order of its numbers: first what is in the
 * socket already, then, from `unsent` on, what is not. A number is given out when a message is
 * made, so the queue never has to be sorted. */
#include "service-launcher/journal-client.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "protocol/journal-link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_NS (100 * NS_PER_MS) /* after an error that no event tells the end of */
#define URGENT   3                 /* errors and worse never wait: they may be our last word */

struct queued {
    struct list node;
    uint64_t sequence;
    uint32_t id, flags, level, sync_ms;
    uint16_t type;
    bool kept;      /* in the outbox */
    bool announced; /* a registration that was said to be waiting */
    int fd;         /* a registration's pipe until it is acknowledged, or
                       JOURNAL_CLIENT_OPEN_PIPE; else -1 */
    struct quota quota;
    uint64_t run[2];
    size_t name_bytes;
    char words[]; /* name, NUL, text, NUL */
};

static void free_queued(struct journal_client *client, struct queued *queued)
{
    if (client->unsent == &queued->node)
        client->unsent = queued->node.next;
    list_remove(&queued->node);
    client->events -= queued->type == JOURNAL_EVENT;
    if (queued->fd >= 0)
        close(queued->fd);
    free(queued);
}

static int send_one(struct journal_client *client, const struct queued *queued)
{
    struct journal_link_message message;
    const char *text = queued->words + queued->name_bytes + 1;
    AUTO_CLOSE int opened = queued->fd == JOURNAL_CLIENT_OPEN_PIPE
                                ? client->open_pipe(client->context, queued->id)
                                : -1;

    if (queued->fd == JOURNAL_CLIENT_OPEN_PIPE && opened < 0)
        return opened == -ENOENT ? 0 : opened;

    memset(&message, 0, offsetof(struct journal_link_message, text));
    message.type = queued->type;
    message.id = queued->id;
    message.sequence = queued->sequence;
    message.flags = queued->flags;
    message.level = queued->level;
    message.quota = queued->quota;
    message.sync_ms = queued->sync_ms;
    memcpy(message.run, queued->run, sizeof message.run);
    memcpy(message.name, queued->words, queued->name_bytes + 1);
    memcpy(message.text, text, strlen(text) + 1);
    return journal_link_send(client->source.fd, &message, opened >= 0 ? opened : queued->fd);
}

static void on_retry(struct loop_timer *timer);

/* Sends as much as fits. */
static void flush(struct journal_client *client)
{
    int failed = 0;
    if (client->paused)
        return;
    while (client->unsent != &client->queue) {
        struct queued *queued = container_of(client->unsent, struct queued, node);
        failed = send_one(client, queued);
        if (failed)
            break;
        client->unsent = client->unsent->next;
        if (queued->announced) {
            uint32_t id = queued->id;
            queued->announced = false;
            if (client->on_registered)
                client->on_registered(client->context, id);
        }
    }
    /* EAGAIN ends with the socket's getting writable, anything else by itself. */
    loop_change(client->loop, &client->source, failed == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (failed && failed != -EAGAIN)
        loop_set_timer(client->loop, &client->retry, clock_now_ns() + RETRY_NS, on_retry);
}

static void on_retry(struct loop_timer *timer)
{
    flush(container_of(timer, struct journal_client, retry));
}

/* Puts a message at the end of the queue and sends it if nothing waits before it. `fd` is taken.
 * Returns 0 when it is in the socket, -EAGAIN when it waits, -ENOMEM. */
static int enqueue(struct journal_client *client, enum journal_link_type type, uint32_t id,
                   const char *name, const char *text, size_t text_bytes, int fd,
                   struct queued **ret)
{
    size_t name_bytes = strlen(name);
    struct queued *queued = malloc(sizeof *queued + name_bytes + 1 + text_bytes + 1);
    if (!queued) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    *queued = (struct queued){.id = id, .type = (uint16_t)type, .fd = fd, .name_bytes = name_bytes};
    memcpy(queued->words, name, name_bytes + 1);
    memcpy(queued->words + name_bytes + 1, text, text_bytes);
    queued->words[name_bytes + 1 + text_bytes] = 0;
    queued->sequence = ++*client->sequence;
    list_append(&client->queue, &queued->node);
    if (client->unsent == &client->queue)
        client->unsent = &queued->node;
    client->events += type == JOURNAL_EVENT;
    *ret = queued;
    return 0;
}

/* Sends what is queued, and says what became of this one. */
static int send_queued(struct journal_client *client, const struct queued *queued)
{
    flush(client);
    for (struct list *node = client->unsent; node != &client->queue; node = node->next)
        if (node == &queued->node)
            return -EAGAIN;
    return 0;
}

int journal_client_register(struct journal_client *client, uint32_t id, const char *name,
                            const char *folder, uint32_t flags, const struct quota *quota, int fd)
{
    struct queued *queued;
    if (!folder)
        folder = "";
    size_t folder_bytes = strlen(folder);
    if (strlen(name) >= JOURNAL_LINK_NAME_BYTES || folder_bytes >= JOURNAL_LINK_TEXT_BYTES) {
        if (fd >= 0)
            close(fd);
        return -EINVAL;
    }
    int failed = enqueue(client, JOURNAL_REGISTER, id, name, folder, folder_bytes, fd, &queued);
    if (failed)
        return failed;
    queued->flags = flags;
    queued->quota = *quota;
    int result = send_queued(client, queued);
    queued->announced = result == -EAGAIN;
    return result;
}

int journal_client_settings(struct journal_client *client, uint32_t id, uint32_t flags,
                            const struct quota *quota)
{
    struct queued *queued;
    int failed = enqueue(client, JOURNAL_SETTINGS, id, "", "", 0, -1, &queued);
    if (failed)
        return failed;
    queued->flags = flags;
    queued->quota = *quota;
    flush(client);
    return 0;
}

int journal_client_system(struct journal_client *client, uint32_t flags, uint64_t max_size_bytes,
                          uint32_t sync_ms, const char *dev_log, const char *cgroup)
{
    struct queued *queued;
    size_t bytes = strlen(cgroup);
    if (strlen(dev_log) >= JOURNAL_LINK_NAME_BYTES || bytes >= JOURNAL_LINK_TEXT_BYTES)
        return -EINVAL;
    int failed = enqueue(client, JOURNAL_SYSTEM, 0, dev_log, cgroup, bytes, -1, &queued);
    if (failed)
        return failed;
    queued->flags = flags;
    queued->quota.max_size_bytes = max_size_bytes;
    queued->sync_ms = sync_ms;
    flush(client);
    return 0;
}

/* What must be in the journal even if we are killed before it is sent. */
static void keep(struct journal_client *client, struct queued *queued, int32_t pid)
{
    const char *text = queued->words + queued->name_bytes + 1;
    struct outbox_entry entry = {.type = queued->type,
                                 .level = (uint16_t)queued->level,
                                 .id = queued->id,
                                 .sequence = queued->sequence,
                                 .pid = pid};
    queued->kept = client->outbox && outbox_add(client->outbox, &entry, text, strlen(text));
}

static bool add_event(struct journal_client *client, uint32_t id, uint32_t level, const char *text,
                      size_t bytes)
{
    struct queued *queued;
    if (client->events >= JOURNAL_CLIENT_EVENTS_MAX ||
        enqueue(client, JOURNAL_EVENT, id, "", text, bytes, -1, &queued) < 0) {
        client->lost_events++;
        return false;
    }
    queued->level = level < 8 ? level : 7;
    for (char *at = queued->words + 1; *at; at++)
        if (*at == '\n')
            *at = ' ';
    keep(client, queued, 0);
    return true;
}

/* Once there is room again, the journal gets to know what it missed. */
static void report_lost(struct journal_client *client)
{
    char storage[80];
    struct text text;

    if (!client->lost_events || client->events >= JOURNAL_CLIENT_EVENTS_MAX)
        return;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "dropped events=%llu", (unsigned long long)client->lost_events);
    client->lost_events = 0;
    add_event(client, JOURNAL_OWN_ID, 4, text.data, text.used_bytes);
}

void journal_client_line(struct journal_client *client, uint32_t id, uint32_t level,
                         const char *line, size_t bytes)
{
    if (bytes && line[bytes - 1] == '\n')
        bytes--;
    if (bytes > JOURNAL_LINK_TEXT_BYTES - 1)
        bytes = JOURNAL_LINK_TEXT_BYTES - 1;
    report_lost(client);
    if (add_event(client, id, level, line, bytes) && (!client->batching || level <= URGENT))
        flush(client);
}

void journal_client_flush(struct journal_client *client)
{
    if (client->unsent != &client->queue && !(client->source.events & EPOLLOUT))
        flush(client);
}

bool journal_client_has_sent(const struct journal_client *client)
{
    return client->unsent == &client->queue;
}

void journal_client_event(struct journal_client *client, uint32_t id, uint32_t level,
                          const char *format, ...)
{
    char storage[JOURNAL_LINK_TEXT_BYTES];
    struct text text;
    va_list arguments;

    text_init(&text, storage, sizeof storage);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    journal_client_line(client, id, level, text.data, text.used_bytes);
}

int journal_client_run_ended(struct journal_client *client, uint32_t id, int32_t pid,
                             uint32_t level, const char *words)
{
    struct queued *queued;
    if (client->outbox && outbox_has_told(client->outbox, id, pid))
        return 0;
    int failed =
        enqueue(client, JOURNAL_RUN_ENDED, id, "", words, pid ? strlen(words) : 0, -1, &queued);
    if (failed)
        return failed;
    queued->level = level;
    keep(client, queued, pid);
    flush(client);
    return 0;
}

int journal_client_forget(struct journal_client *client, uint32_t id)
{
    struct queued *queued;
    int failed = enqueue(client, JOURNAL_FORGET, id, "", "", 0, -1, &queued);
    if (failed)
        return failed;
    keep(client, queued, 0);
    flush(client);
    return 0;
}

uint64_t journal_client_said(const struct journal_client *client)
{
    return *client->sequence;
}

bool journal_client_has_heard(const struct journal_client *client, uint64_t sequence)
{
    return list_empty(&client->queue) ||
           container_of(list_first(&client->queue), struct queued, node)->sequence > sequence;
}

static int send_run(struct journal_client *client, enum journal_link_type type, uint32_t id,
                    const uint64_t run[2], const char *text, size_t bytes)
{
    struct queued *queued;
    int failed = enqueue(client, type, id, "", text, bytes, -1, &queued);
    if (failed)
        return failed;
    memcpy(queued->run, run, sizeof queued->run);
    flush(client);
    return 0;
}

int journal_client_match(struct journal_client *client, uint32_t id, const uint64_t run[2],
                         const char *expression)
{
    size_t bytes = strlen(expression);
    if (bytes >= JOURNAL_LINK_TEXT_BYTES)
        return -EINVAL;
    return send_run(client, JOURNAL_MATCH, id, run, expression, bytes);
}

int journal_client_unmatch(struct journal_client *client, uint32_t id, const uint64_t run[2])
{
    return send_run(client, JOURNAL_UNMATCH, id, run, "", 0);
}

int journal_client_drain(struct journal_client *client, struct journal_drain *drain,
                         void (*on_drained)(struct journal_drain *drain))
{
    struct queued *queued;
    uint32_t token = client->last_token + 1;
    int failed = enqueue(client, JOURNAL_DRAIN, token, "", "", 0, -1, &queued);
    if (failed)
        return failed;
    flush(client);
    client->last_token = token;
    *drain = (struct journal_drain){.token = token, .pending = true, .on_drained = on_drained};
    list_append(&client->drains, &drain->node);
    return 0;
}

void journal_drain_cancel(struct journal_drain *drain)
{
    if (drain->pending)
        list_remove(&drain->node);
    drain->pending = false;
}

static void on_drained(struct journal_client *client, uint32_t token)
{
    list_for_each(node, &client->drains)
    {
        struct journal_drain *drain = container_of(node, struct journal_drain, node);
        if (drain->token != token)
            continue;
        journal_drain_cancel(drain);
        drain->on_drained(drain);
        return;
    }
}

/* The entries are those of the queue that are kept, in the same order. */
static void renumber_kept(struct journal_client *client)
{
    struct outbox_entry *entry = outbox_next(client->outbox, NULL);
    list_for_each(node, &client->queue)
    {
        const struct queued *queued = container_of(node, struct queued, node);
        if (entry && queued->kept) {
            entry->sequence = queued->sequence;
            entry = outbox_next(client->outbox, entry);
        }
    }
}

/* The journal has counted further than we have: our state is younger than its. */
static void renumber(struct journal_client *client, uint64_t sequence)
{
    *client->sequence = sequence;
    list_for_each(node, &client->queue) container_of(node, struct queued, node)->sequence =
        ++*client->sequence;
    client->unsent = client->queue.next;
    if (client->outbox)
        renumber_kept(client);
}

static void on_acknowledged(struct journal_client *client, uint64_t sequence)
{
    if (sequence > *client->sequence) {
        renumber(client, sequence);
        return;
    }
    while (!list_empty(&client->queue)) {
        struct queued *queued = container_of(list_first(&client->queue), struct queued, node);
        /* What was not sent cannot have been carried out; it is kept whatever was said. */
        if (queued->sequence > sequence || client->unsent == &queued->node)
            break;
        const uint32_t id = queued->id;
        const uint64_t run[2] = {queued->run[0], queued->run[1]};
        const bool is_match = queued->type == JOURNAL_MATCH;
        if (queued->kept)
            outbox_acknowledge(client->outbox, queued->sequence);
        free_queued(client, queued);
        if (is_match && client->on_match_taken)
            client->on_match_taken(client->context, id, run);
    }
}

/* A new journal: everything again, and the answers we wait for are asked for once more. */
static void on_hello(struct journal_client *client, uint64_t sequence)
{
    struct queued *queued;

    on_acknowledged(client, sequence);
    client->unsent = client->queue.next;
    list_for_each(node, &client->drains)
        /* Without memory the old request is still there, which does if it was not carried out. */
        (void) enqueue(client, JOURNAL_DRAIN, container_of(node, struct journal_drain, node)->token,
                       "", "", 0, -1, &queued);
    if (client->on_new_journal)
        client->on_new_journal(client->context);
}

static void take_counts(struct journal_client *client, int *fd)
{
    if (*fd < 0)
        return;
    if (client->counts_fd >= 0)
        close(client->counts_fd);
    client->counts_fd = take_fd(fd);
}

/* Read, not mapped: whatever is behind the descriptor, it can be no more than short. */
int journal_client_counts(const struct journal_client *client, uint32_t id,
                          struct journal_counts *ret)
{
    struct journal_counts found;
    if (client->counts_fd < 0)
        return -ENOENT;
    ssize_t bytes = pread(client->counts_fd, &found, sizeof found, (off_t)id * (off_t)sizeof found);
    if (bytes != sizeof found)
        return bytes < 0 ? -errno : -ENOENT;
    *ret = found;
    return 0;
}

static void on_message(struct journal_client *client, struct journal_link_message *message, int *fd)
{
    switch (message->type) {
    case JOURNAL_HELLO:
        on_hello(client, message->sequence);
        break;
    case JOURNAL_ACK:
        on_acknowledged(client, message->sequence);
        break;
    case JOURNAL_DRAINED:
        on_drained(client, message->id);
        break;
    case JOURNAL_MATCHED:
        if (client->on_matched)
            client->on_matched(client->context, message->id, message->run);
        break;
    case JOURNAL_COUNTS:
        take_counts(client, fd);
        break;
    case JOURNAL_NOTE:
        if (client->on_note)
            client->on_note(client->context, message->level, message->text);
        break;
    }
}

#define MESSAGES_A_TURN 64

static void on_event(struct loop_fd *source, uint32_t events)
{
    struct journal_client *client = container_of(source, struct journal_client, source);
    struct journal_link_message message;
    int fd, got = 1;

    for (int i = 0; i < MESSAGES_A_TURN && (events & (EPOLLIN | EPOLLHUP)); i++) {
        got = journal_link_receive(source->fd, &message, &fd);
        if (got == -EPROTO)
            continue;
        if (got <= 0)
            break;
        on_message(client, &message, &fd);
        if (fd >= 0)
            close(fd);
    }
    if (got == 0) { /* init is gone, which holds both ends: nothing to talk to any more */
        loop_remove(client->loop, &client->source);
        return;
    }
    report_lost(client);
    flush(client);
}

/* What a launcher before us has not heard to be in the journal. Its numbers are kept: what is there
 * already is known by them. */
int journal_client_keep(struct journal_client *client, struct outbox *outbox)
{
    struct list *first = client->queue.next;
    struct queued *queued;
    client->outbox = outbox;
    for (struct outbox_entry *entry = outbox_next(outbox, NULL); entry;
         entry = outbox_next(outbox, entry)) {
        uint64_t newest = *client->sequence > entry->sequence ? *client->sequence : entry->sequence;
        int failed = enqueue(client, (enum journal_link_type)entry->type, entry->id, "",
                             entry->text, entry->text_bytes, -1, &queued);
        if (failed)
            return failed;
        queued->level = entry->level;
        queued->sequence = entry->sequence;
        queued->kept = true;
        *client->sequence = newest;
        list_remove(&queued->node);
        list_append(first, &queued->node);
    }
    client->unsent = client->queue.next;
    return 0;
}

int journal_client_init(struct journal_client *client, struct loop *loop, int fd,
                        uint64_t *sequence)
{
    *client = (struct journal_client){.loop = loop, .sequence = sequence, .counts_fd = -1};
    list_init(&client->queue);
    list_init(&client->drains);
    client->unsent = &client->queue;
    /* Tokens of a launcher before this one may still be answered: they must not be ours. */
    client->last_token = (uint32_t)clock_now_ns();
    return loop_add(loop, &client->source, fd, EPOLLIN, on_event);
}

void journal_client_finish(struct journal_client *client)
{
    loop_remove(client->loop, &client->source);
    loop_clear_timer(client->loop, &client->retry);
    if (client->counts_fd >= 0)
        close(client->counts_fd);
    while (!list_empty(&client->queue))
        free_queued(client, container_of(list_first(&client->queue), struct queued, node));
    list_for_each(node, &client->drains)
        journal_drain_cancel(container_of(node, struct journal_drain, node));
}
