/* Asking for an upgrade: what was asked and what came of it is in the state, for it may be another
 * launcher that answers. And standing still for a new launcher. Until all is sent that init and the
 * journal are to have, this one goes on as ever; then it does nothing but look at its link to init,
 * and what it was in the middle of is in the state, as it would be if it were killed. */
#include "service-launcher/upgrade.h"
#include "service-launcher/init-link.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/launcher.h"

#include "base/clock.h"
#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <string.h>

#define SEND_MS 8000 /* init waits 10 s for the answer */
#define ANSWER_MS                                                                                  \
    90000 /* three parts, each of which is given 10 s to make room and 10 s to get ready */

void upgrade_init(struct upgrade *upgrade, struct launcher *launcher)
{
    *upgrade = (struct upgrade){.launcher = launcher};
}

/* ---- asking -------------------------------------------------------------------------------- */

static struct state_header *header_of(const struct upgrade *upgrade)
{
    return upgrade->launcher->manager.header;
}

static void on_no_answer(struct loop_timer *timer)
{
    struct upgrade *upgrade = container_of(timer, struct upgrade, answer);
    upgrade_ended(upgrade, 0, PARTS_ALL, "init: it did not say in 90 s what came of it\n");
}

static void wait_for_answer(struct upgrade *upgrade)
{
    loop_set_timer(&upgrade->launcher->loop, &upgrade->answer,
                   header_of(upgrade)->upgrade_at_ns + ANSWER_MS * NS_PER_MS, on_no_answer);
}

static void ask_init(struct upgrade *upgrade)
{
    int failed = init_link_upgrade(upgrade->launcher->init_link, PARTS_ALL);
    if (failed)
        LOG(ERROR, "Cannot ask init for an upgrade", TEXT("error", strerror(-failed)));
    else
        wait_for_answer(upgrade);
}

int launcher_upgrade(struct launcher *launcher, const char *id, uint32_t uid)
{
    struct state_header *header = launcher->manager.header;
    bool same = *id && strcmp(header->upgrade_id, id) == 0;
    if (header->upgrade_stage == UPGRADE_ENDED && same)
        return 1;
    if (header->upgrade_stage == UPGRADE_ASKING || header->upgrade_stage == UPGRADE_ASKED)
        return same ? 0 : -EBUSY;
    LOG(INFO, "Asked to upgrade", NUMBER("uid", uid));
    header->upgrade_stage = UPGRADE_NONE;
    text_format(header->upgrade_id, sizeof header->upgrade_id, "%s", id);
    text_format(header->upgrade_from, sizeof header->upgrade_from, "%s", CONIT_VERSION);
    header->upgrade_at_ns = clock_now_ns();
    header->upgrade_asked = PARTS_ALL;
    header->upgrade_done = header->upgrade_failed = 0;
    __atomic_store_n(&header->upgrade_stage, UPGRADE_ASKING, __ATOMIC_RELEASE);
    ask_init(launcher->upgrade);
    return 0;
}

void upgrade_go_on(struct upgrade *upgrade)
{
    if (header_of(upgrade)->upgrade_stage == UPGRADE_ASKING)
        ask_init(upgrade);
    else if (header_of(upgrade)->upgrade_stage == UPGRADE_ASKED)
        wait_for_answer(upgrade);
}

static void log_result(const struct upgrade *upgrade)
{
    const struct state_header *header = header_of(upgrade);
    const char *at = header->upgrade_text;
    if (!header->upgrade_failed)
        LOG(INFO, "Upgraded", TEXT("from", header->upgrade_from), TEXT("version", CONIT_VERSION));
    for (size_t bytes; *at; at += bytes + (at[bytes] == '\n')) {
        char line[UPGRADE_TEXT_BYTES];
        bytes = strcspn(at, "\n");
        text_format(line, sizeof line, "%.*s", (int)bytes, at);
        LOG(ERROR, "Could not upgrade", TEXT("why", line));
    }
}

void upgrade_ended(struct upgrade *upgrade, uint32_t done, uint32_t failed, const char *text)
{
    struct state_header *header = header_of(upgrade);
    bool known = header->upgrade_stage == UPGRADE_ENDED && header->upgrade_done == done &&
                 header->upgrade_failed == failed;
    header->upgrade_done = done;
    header->upgrade_failed = failed;
    text_format(header->upgrade_text, sizeof header->upgrade_text, "%s", text);
    __atomic_store_n(&header->upgrade_stage, UPGRADE_ENDED, __ATOMIC_RELEASE);
    init_link_upgraded_seen(upgrade->launcher->init_link);
    loop_clear_timer(&upgrade->launcher->loop, &upgrade->answer);
    if (!known)
        log_result(upgrade);
    if (upgrade->launcher->control)
        control_upgrade_ended(upgrade->launcher->control);
}

/* ---- standing still ------------------------------------------------------------------------ */

static void on_patience(struct loop_timer *timer)
{
    struct upgrade *upgrade = container_of(timer, struct upgrade, patience);
    static const char why[] = "the journal takes no messages: lines would be lost";
    upgrade->yield_wanted = false;
    LOG(ERROR, "Cannot make room for a new launcher", TEXT("why", why));
    init_link_failed(upgrade->launcher->init_link, why);
}

void upgrade_yield(struct upgrade *upgrade)
{
    if (upgrade->yield_wanted)
        return;
    upgrade->yield_wanted = true;
    loop_set_timer(&upgrade->launcher->loop, &upgrade->patience,
                   clock_now_ns() + SEND_MS * NS_PER_MS, on_patience);
}

void upgrade_resume(struct upgrade *upgrade)
{
    upgrade->yield_wanted = false;
    loop_clear_timer(&upgrade->launcher->loop, &upgrade->patience);
}

bool upgrade_turn(struct upgrade *upgrade)
{
    struct launcher *launcher = upgrade->launcher;
    if (header_of(upgrade)->upgrade_stage == UPGRADE_ASKING && !launcher->init_link->queued)
        header_of(upgrade)->upgrade_stage = UPGRADE_ASKED;
    if (!upgrade->yield_wanted)
        return false;
    journal_client_flush(launcher->journal);
    if (launcher->init_link->queued || !journal_client_has_sent(launcher->journal))
        return false;
    upgrade_resume(upgrade);
    if (init_link_yield(launcher->init_link) < 0)
        return false; /* init is gone, and so are we */
    LOG(INFO, "No new launcher takes over: going on");
    loop_catch_up(&launcher->loop);
    return true;
}
