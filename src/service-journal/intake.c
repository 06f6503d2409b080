/* Lines that no pipe of a service brings: what holds it together, and what the launcher says. */
#include "service-journal/intake.h"
#include "log/log.h"
#include "protocol/hand-over.h"
#include "service-journal/hold.h"
#include "service-journal/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void intake_init(struct intake *intake, struct journal *journal, bool container)
{
    *intake = (struct intake){.journal = journal, .container = container, .socket = -1};
    intake->feeds.journal = journal;
    list_init(&intake->feeds.list);
    dev_log_init(&intake->dev_log, &intake->feeds, &journal->loop);
    dev_kmsg_init(&intake->dev_kmsg, &intake->feeds, &journal->loop);
    journal->intake = intake;
}

static int hold_feed(struct intake *intake, uint32_t id, int fd)
{
    void *grown = realloc(intake->held, (intake->held_count + 1) * sizeof *intake->held);
    if (!grown) {
        close(fd);
        return -ENOMEM;
    }
    intake->held = grown;
    intake->held[intake->held_count++] = (struct held_feed){id, fd};
    return 1;
}

int intake_take_held(struct intake *intake, uint32_t key, int fd)
{
    uint32_t id;
    if (feed_is_key(key, &id))
        return hold_feed(intake, id, fd);
    if (key == KEY_JOURNAL_DEV_LOG && intake->socket < 0) {
        intake->socket = fd;
        return 1;
    }
    if (key != KEY_JOURNAL_INTAKE || intake->state)
        return 0;
    int failed = intake_state_open(&intake->state, fd);
    return failed ? failed : 1;
}

static int make_state(struct intake *intake)
{
    int fd, failed = intake_state_create(&intake->state, &fd);
    if (failed)
        return failed;
    hold_store(KEY_JOURNAL_INTAKE, fd);
    close(fd);
    return 0;
}

/* ---- on and off ---------------------------------------------------------------------------- */

static void open_dev_log(struct intake *intake)
{
    const char *path = intake->state->dev_log;
    int failed = dev_log_open(&intake->dev_log, path, intake->container);
    if (failed == -EADDRINUSE)
        LOG(WARNING, "Another program listens for syslog messages: it is left alone",
            TEXT("path", path));
    else if (failed)
        LOG(WARNING, "Syslog messages cannot be taken", TEXT("path", path),
            TEXT("error", strerror(-failed)));
}

static void open_dev_kmsg(struct intake *intake)
{
    int failed = dev_kmsg_open(&intake->dev_kmsg);
    if (failed)
        LOG(WARNING, "The kernel's lines cannot be read", TEXT("error", strerror(-failed)));
}

/* Makes things as they are to be. */
static void apply(struct intake *intake)
{
    const uint32_t flags = intake->state->flags;
    dev_log_set_cgroups(&intake->dev_log, intake->state->cgroup);
    writer_set_total(&intake->journal->writer, intake->state->max_size_bytes);
    writer_set_sync(&intake->journal->writer, intake->state->sync_ms);
    if ((flags & JOURNAL_SYSTEM_DEV_LOG) &&
        (intake->dev_log.source.fd < 0 || access(intake->state->dev_log, F_OK) < 0)) {
        dev_log_close(&intake->dev_log, intake->state->dev_log);
        open_dev_log(intake);
    }
    if (!(flags & JOURNAL_SYSTEM_DEV_LOG))
        dev_log_close(&intake->dev_log, intake->state->dev_log);
    if ((flags & JOURNAL_SYSTEM_KERNEL) && intake->dev_kmsg.source.fd < 0)
        open_dev_kmsg(intake);
    if (!(flags & JOURNAL_SYSTEM_KERNEL))
        dev_kmsg_close(&intake->dev_kmsg);
}

void intake_system(struct intake *intake, const struct journal_link_message *message)
{
    struct intake_state *state = intake->state;
    if (!state)
        return;
    __atomic_store_n(&state->told, 0, __ATOMIC_SEQ_CST);
    if (strcmp(state->dev_log, message->name) != 0)
        dev_log_close(&intake->dev_log, state->dev_log);
    memcpy(state->dev_log, message->name, sizeof state->dev_log);
    memcpy(state->cgroup, message->text, sizeof state->cgroup);
    state->flags = message->flags;
    state->max_size_bytes = message->quota.max_size_bytes;
    state->sync_ms = message->sync_ms;
    __atomic_store_n(&state->told, 1, __ATOMIC_SEQ_CST);
    apply(intake);
}

/* ---- the life of the process --------------------------------------------------------------- */

static void register_journal(struct journal *journal, uint32_t id, const char *name)
{
    struct journal_state_record record = {.id = id, .quota = QUOTA_DEFAULT};
    text_format(record.name, sizeof record.name, "%s", name);
    int failed = journal_register(journal, &record);
    if (failed)
        LOG(ERROR, "There is no journal for what comes from elsewhere", TEXT("journal", name),
            TEXT("error", strerror(-failed)));
}

void intake_restore(struct intake *intake)
{
    int failed = intake->state ? 0 : make_state(intake);
    register_journal(intake->journal, JOURNAL_SYSLOG_ID, JOURNAL_SYSLOG_NAME);
    register_journal(intake->journal, JOURNAL_KERNEL_ID, JOURNAL_KERNEL_NAME);
    if (failed)
        LOG(ERROR, "Neither /dev/log nor the kernel's lines can be read",
            TEXT("error", strerror(-failed)));
    intake->feeds.state = intake->state;
    for (size_t i = 0; i < intake->held_count; i++)
        feed_restore(&intake->feeds, intake->held[i].id, intake->held[i].fd);
    free(intake->held);
    intake->held = NULL;
    if (intake->state)
        feed_recover(&intake->feeds);
}

void intake_begin(struct intake *intake)
{
    if (!intake->state)
        return;
    if (intake->state->told) /* whose what was received is */
        dev_log_set_cgroups(&intake->dev_log, intake->state->cgroup);
    if (intake->socket >= 0)
        dev_log_restore(&intake->dev_log, intake->socket);
    if (intake->state->told)
        apply(intake);
}

void intake_drain(struct intake *intake)
{
    dev_log_drain(&intake->dev_log);
    dev_kmsg_drain(&intake->dev_kmsg);
}

void intake_forget(struct intake *intake, uint32_t id)
{
    feed_forget(&intake->feeds, id);
}
