/* Standing still for a new launcher. Until all is sent that init and the journal are to have, this
 * one goes on as ever; then it does nothing but look at its link to init, and what it was in the
 * middle of is in the state, as it would be if it were killed. */
#include "service-launcher/upgrade.h"
#include "service-launcher/init-link.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/launcher.h"

#include "base/clock.h"
#include "log/log.h"

#include <string.h>

#define SEND_MS 8000 /* init waits 10 s for the answer */

void upgrade_init(struct upgrade *upgrade, struct launcher *launcher)
{
    *upgrade = (struct upgrade){.launcher = launcher};
}

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
