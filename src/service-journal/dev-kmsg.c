/* What the kernel writes to /dev/kmsg.
 *
 * Every record has a number, and the kernel keeps records until they are overwritten: so what is
 * needed to go on after a kill is the number of the next one. What programs have written there, we
 * ourselves among them, comes with another facility than the kernel's and is left out.
 * Source: Documentation/ABI/testing/dev-kmsg. */
#include "service-journal/dev-kmsg.h"
#include "base/clock.h"
#include "base/text.h"
#include "journal/kmsg-record.h"
#include "log/log.h"
#include "service-journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DEVICE         "/dev/kmsg"
#define RECORDS_A_TURN 64
#define RECORDS_MOST   1000000 /* of a drain */
#define AGAIN_NS       (20 * NS_PER_MS)
#define HEAD_BYTES     40
#define US_PER_SEC     1000000

/* One entry a line, with the kernel's own time before it: what is read late has it, too. */
static int pour_record(struct pour *pour, const struct kmsg_record *record)
{
    char storage[HEAD_BYTES];
    struct text head;
    const char *at = record->text, *end = at + record->bytes;
    int failed = 0;

    text_init(&head, storage, sizeof storage);
    text_printf(&head, "<%d>[%5llu.%06llu] ", (int)record->level,
                (unsigned long long)(record->since_boot_us / US_PER_SEC),
                (unsigned long long)(record->since_boot_us % US_PER_SEC));
    for (bool more = true; more && !failed;) {
        const char *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        more = line_end != NULL;
        size_t bytes = (size_t)((more ? line_end : end) - at);
        failed = pour_bytes(pour, head.data, head.used_bytes);
        if (!failed)
            failed = pour_bytes(pour, at, bytes);
        if (!failed)
            failed = pour_bytes(pour, "\n", 1);
        at += bytes + more;
    }
    return failed;
}

/* Says how many records the kernel had overwritten before they were read. */
static void say_missed(struct dev_kmsg *dev_kmsg, uint64_t count)
{
    char storage[100];
    struct text text;
    text_init(&text, storage, sizeof storage);
    text_printf(&text, "dropped lines=%llu reason=\"overwritten by the kernel\"",
                (unsigned long long)count);
    journal_say(dev_kmsg->feeds->journal, JOURNAL_KERNEL_ID, JOURNAL_WARNING, text.data,
                text.used_bytes, 0);
}

/* Returns -EAGAIN when the pipe is full. */
static int take_record(struct dev_kmsg *dev_kmsg, const struct kmsg_record *record)
{
    struct feeds *feeds = dev_kmsg->feeds;
    uint64_t *at = &feeds->state->at[INTAKE_KMSG];
    struct pour pour;
    int failed = 0;

    if (record->sequence < INTAKE_ITEM(*at))
        return 0; /* an earlier journal has it */
    if (record->sequence > INTAKE_ITEM(*at)) {
        uint64_t missed = record->sequence - INTAKE_ITEM(*at);
        *at = INTAKE_AT(record->sequence);
        say_missed(dev_kmsg, missed);
    }
    if (record->facility == 0) {
        struct feed *feed = feed_get(feeds, JOURNAL_KERNEL_ID);
        if (!feed)
            return -EAGAIN;
        pour_begin(&pour, feeds, feed, INTAKE_KMSG);
        failed = pour_record(&pour, record);
        if (failed == -EAGAIN) {
            journal_drain_service(feeds->journal, journal_find(feeds->journal, JOURNAL_KERNEL_ID));
            pour_begin(&pour, feeds, feed, INTAKE_KMSG);
            failed = pour_record(&pour, record);
        }
    }
    if (failed != -EAGAIN)
        *at = INTAKE_AT(record->sequence + 1);
    return failed == -EAGAIN ? -EAGAIN : 0;
}

static void on_readable(struct loop_fd *source, uint32_t events);

/* Reads the records anew, and goes on with the one that there was no room for. */
static void on_again(struct loop_timer *timer)
{
    struct dev_kmsg *dev_kmsg = container_of(timer, struct dev_kmsg, again);
    if (dev_kmsg->source.fd < 0)
        return;
    dev_kmsg_close(dev_kmsg);
    int failed = dev_kmsg_open(dev_kmsg);
    if (failed)
        LOG(ERROR, "The kernel's lines can no longer be read", TEXT("error", strerror(-failed)));
}

/* Returns how many records it read. */
static int take(struct dev_kmsg *dev_kmsg, int most)
{
    static char bytes[KMSG_RECORD_BYTES];
    static struct kmsg_record record;
    int count = 0;

    for (; count < most && dev_kmsg->source.fd >= 0; count++) {
        ssize_t got = read(dev_kmsg->source.fd, bytes, sizeof bytes);
        if (got < 0 && errno != EPIPE && errno != EINTR) /* EPIPE: overwritten, the next is there */
            break;
        if (got <= 0 || !kmsg_record_parse(bytes, (size_t)got, &record) ||
            take_record(dev_kmsg, &record) == 0)
            continue;
        loop_change(dev_kmsg->loop, &dev_kmsg->source, 0);
        loop_set_timer(dev_kmsg->loop, &dev_kmsg->again, clock_now_ns() + AGAIN_NS, on_again);
        break;
    }
    return count;
}

static void on_readable(struct loop_fd *source, uint32_t events)
{
    (void)events;
    take(container_of(source, struct dev_kmsg, source), RECORDS_A_TURN);
}

void dev_kmsg_drain(struct dev_kmsg *dev_kmsg)
{
    if (dev_kmsg->source.fd >= 0 && dev_kmsg->source.events)
        take(dev_kmsg, RECORDS_MOST);
}

void dev_kmsg_init(struct dev_kmsg *dev_kmsg, struct feeds *feeds, struct loop *loop)
{
    *dev_kmsg = (struct dev_kmsg){.feeds = feeds, .loop = loop, .source = {.fd = -1}};
}

int dev_kmsg_open(struct dev_kmsg *dev_kmsg)
{
    int fd = open(DEVICE, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int failed = loop_add(dev_kmsg->loop, &dev_kmsg->source, fd, EPOLLIN, on_readable);
    if (failed)
        close(fd);
    return failed;
}

void dev_kmsg_close(struct dev_kmsg *dev_kmsg)
{
    int fd = dev_kmsg->source.fd;
    loop_remove(dev_kmsg->loop, &dev_kmsg->source);
    loop_clear_timer(dev_kmsg->loop, &dev_kmsg->again);
    if (fd >= 0)
        close(fd);
}
