/* An upgrade, step by step. All of it is in the record, so that it goes on when init is executed
 * anew, which is a part of it. What children say and how they end is noted when it comes;
 * upgrade_turn() acts on it. */
#include "init/upgrade.h"
#include "base/clock.h"
#include "base/list.h"
#include "init/crash.h"
#include "init/execute.h"
#include "init/init.h"
#include "init/stage2-hand-over.h"
#include "init/stage2-reap.h"
#include "init/try-init.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS  10000 /* for each thing that is waited for */
#define WHY_BYTES 200

static const struct {
    uint32_t part;
    const char *name;
    enum child_id child;
} parts[] = {
    {PART_INIT, "init", CHILD_TRIAL},
    {PART_JOURNAL, "journal", CHILD_JOURNAL},
    {PART_LAUNCHER, "launcher", CHILD_LAUNCHER},
};

#define PARTS (sizeof parts / sizeof parts[0])

static size_t row_of(uint32_t part)
{
    size_t row = PARTS - 1;
    while (row > 0 && parts[row].part != part)
        row--;
    return row;
}

/* Means nothing while it is init that is upgraded. */
static struct child *old_one(struct init *init)
{
    return &init->children[parts[row_of(init->kept->upgrade.part)].child];
}

/* ---- time-outs and results ---------------------------------------------------------------------
 */

static void on_limit(struct loop_timer *timer)
{
    struct init *init = container_of(timer, struct init, upgrade_timer);
    init->kept->upgrade.late = true;
}

static void wait_for(struct init *init, enum upgrade_step step)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    upgrade->late = false;
    upgrade->until_ns = clock_now_ns() + LIMIT_MS * NS_PER_MS;
    upgrade->step = step;
    loop_set_timer(&init->loop, &init->upgrade_timer, upgrade->until_ns, on_limit);
}

/* What came of the part is noted. */
static void finish_part(struct kept_upgrade *upgrade)
{
    upgrade->until_ns = 0;
    upgrade->why[0] = 0;
    if (!upgrade->wanted)
        upgrade->report = REPORT_WANTED;
    kept_settle();
    upgrade->part = 0;
}

/* The part is over; the next one begins with the next turn. */
static void conclude(struct init *init, const char *why)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    const char *name = parts[row_of(upgrade->part)].name;
    size_t used = strnlen(upgrade->text, sizeof upgrade->text - 1);
    loop_clear_timer(&init->loop, &init->upgrade_timer);
    if (why) {
        text_format(upgrade->text + used, sizeof upgrade->text - used, "%s: %s\n", name, why);
        upgrade->failed |= upgrade->part;
        LOG(ERROR, "Not upgraded: it goes on as it is", TEXT("part", name), TEXT("why", why));
    } else {
        upgrade->done |= upgrade->part;
        LOG(INFO, "Upgraded", TEXT("part", name));
    }
    kept_settle();
    upgrade->step = UPGRADE_NONE;
    kept_settle();
    CRASH_POINT("concluded");
    finish_part(upgrade);
}

int upgrade_send_result(struct child *launcher)
{
    struct kept_upgrade *upgrade = &launcher->init->kept->upgrade;
    struct hand_over_message message = {.type = HAND_OVER_UPGRADED,
                                        .argument = (int32_t)upgrade->done,
                                        .status = (int32_t)upgrade->failed};
    if (upgrade->report != REPORT_WANTED || !launcher->kept->ready)
        return 0;
    message.count = (uint32_t)strnlen(upgrade->text, sizeof upgrade->text);
    memcpy(message.text, upgrade->text, message.count);
    int failed = hand_over_send(launcher->kept->link_fd, &message, NULL, 0);
    if (!failed)
        upgrade->report = REPORT_TOLD;
    return failed;
}

void upgrade_tell_again(struct init *init)
{
    if (init->kept->upgrade.report == REPORT_TOLD)
        init->kept->upgrade.report = REPORT_WANTED;
}

void upgrade_take_seen(struct init *init)
{
    init->kept->upgrade.report = REPORT_NONE;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void refuse(struct init *init, uint32_t asked, const char *why)
{
    struct hand_over_message message = {.type = HAND_OVER_UPGRADED, .status = (int32_t)asked};
    struct text text;
    text_init(&text, message.text, sizeof message.text);
    for (size_t i = 0; i < PARTS; i++)
        if (asked & parts[i].part)
            text_printf(&text, "%s: %s\n", parts[i].name, why);
    message.count = (uint32_t)text.used_bytes;
    LOG(WARNING, "An upgrade is refused", TEXT("why", why));
    hand_over_send(init->children[CHILD_LAUNCHER].kept->link_fd, &message, NULL, 0);
}

void upgrade_ask(struct init *init, uint32_t asked)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    uint32_t wanted = asked & PARTS_ALL ? asked & PARTS_ALL : PARTS_ALL;
    if (init->ending->how != SHUT_DOWN_NONE) {
        refuse(init, wanted, "the machine is going down");
    } else if (upgrade->part || upgrade->wanted) {
        refuse(init, wanted, "an upgrade is under way");
    } else {
        LOG(INFO, "Upgrading", NUMBER("parts", wanted));
        upgrade->done = upgrade->failed = 0;
        upgrade->text[0] = 0;
        upgrade->report = REPORT_NONE;
        upgrade->wanted = wanted;
    }
}

/* ---- init itself -------------------------------------------------------------------------------
 */

/* Whether what a fault would execute is the new file. */
static bool is_exchanged(const struct init *init)
{
    return init->own->exe_fd != init->kept->upgrade.former_fd;
}

/* The trial of init, or what came of it, is over: only our own file stays open. */
static void conclude_init(struct init *init, const char *why)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    if (upgrade->step != UPGRADE_NONE)
        conclude(init, why);
    else if (upgrade->part)
        finish_part(upgrade);
    if (upgrade->file_fd == init->own->exe_fd)
        upgrade->file_fd = -1;
    int former = is_exchanged(init) ? upgrade->former_fd : -1;
    upgrade->former_fd = -1;
    if (former >= 0)
        close(former);
    try_init_close(init, false);
}

static void begin_init(struct init *init)
{
    char why_text[WHY_BYTES];
    struct text why;
    text_init(&why, why_text, sizeof why_text);
    init->kept->upgrade.try_ended = false;
    wait_for(init, UPGRADE_TRYING);
    if (try_init_start(init, &why) < 0)
        conclude_init(init, why_text);
}

/* The file is good: it is what this process is from here on, and the former one stays open until it
 * has shown that. A fault before `exe_fd` is another one finds the former file in it, and nothing
 * exchanged; from there on it has the new one executed, which finds all exchanged and goes on as if
 * there had been no fault; and from `under_way` on it is one of the new one's. */
static void execute_new(struct init *init)
{
    struct kept_own *own = &init->kept->own;
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    upgrade->former_fd = own->exe_fd;
    kept_settle();
    CRASH_POINT("kept-former");
    upgrade->step = UPGRADE_EXECUTING;
    kept_settle();
    CRASH_POINT("not-exchanged");
    own->exe_fd = upgrade->file_fd;
    kept_settle();
    CRASH_POINT("exchanged");
    upgrade->file_fd = -1;
    kept_settle();
    CRASH_POINT("named-once");
    init->kept->faults.under_way = 1;
    kept_settle();
    CRASH_POINT("executing");
    int failed = execute_anew(own->exe_fd);
    upgrade->file_fd = own->exe_fd;
    kept_settle();
    own->exe_fd = upgrade->former_fd;
    kept_settle();
    init->kept->faults.under_way = 0;
    CRASH_POINT("not-executed");
    conclude_init(init, strerror(-failed));
}

static void end_try(struct init *init)
{
    int status = init->kept->upgrade.try_status;
    char why_text[WHY_BYTES];
    struct text why;
    text_init(&why, why_text, sizeof why_text);
    bool good = try_init_judge(init, status, &why);
    if (init->kept->upgrade.why[0]) {
        conclude_init(init, init->kept->upgrade.why);
    } else if (!good) {
        conclude_init(init, why_text);
    } else {
        try_init_close(init, true);
        execute_new(init);
    }
}

/* ---- launcher and journal ----------------------------------------------------------------------
 */

static void note_why(struct init *init, const char *why)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    if (!upgrade->why[0])
        text_format(upgrade->why, sizeof upgrade->why, "%s", *why ? why : "it did not say why");
}

/* Why it cannot be tried beside this one; NULL: it can. One that is waited for only because nothing
 * ran before it is waited for no longer: here is another file. */
static const char *why_not_beside(const struct child *old)
{
    if (child_is_late(old)) {
        kill(old->kept->pid, SIGKILL);
        return "the former one does not get ready: it is killed, and started from the new file";
    }
    if (old->kept->pid <= 0 || !old->kept->ready)
        return "the former one is not ready, and started from the new file if it ends";
    return NULL;
}

static void begin_child(struct init *init)
{
    struct child *old = old_one(init);
    wait_for(init, UPGRADE_YIELDING);
    const char *why = why_not_beside(old);
    if (why) {
        conclude(init, why);
        return;
    }
    old->kept->yield = YIELD_WANTED;
    hand_over_send_pending(old);
}

void upgrade_take_yielded(struct child *child)
{
    struct init *init = child->init;
    if (init->kept->upgrade.step == UPGRADE_YIELDING && child == old_one(init))
        child->kept->yield = YIELD_DONE;
}

void upgrade_take_failed(struct child *child, const char *text)
{
    struct init *init = child->init;
    if (init->kept->upgrade.step != UPGRADE_YIELDING || child != old_one(init))
        return;
    child->kept->yield = YIELD_NONE; /* it goes on by itself */
    note_why(init, text);
}

void upgrade_take_of_trial(struct child *trial, const struct hand_over_message *message)
{
    char text[sizeof message->text + 1];
    struct init *init = trial->init;
    if (message->type == HAND_OVER_READY) {
        trial->kept->ready = true;
    } else if (message->type == HAND_OVER_FAILED) {
        memcpy(text, message->text, message->count);
        text[message->count] = 0;
        note_why(init, text);
    } else if (message->type == HAND_OVER_STORE || message->type == HAND_OVER_DROP) {
        note_why(init, "it stored something before it was ready");
    }
}

/* The former one goes on, or is started again if it has died meanwhile. */
static void go_back(struct init *init, struct child *old, bool resume)
{
    if (old->kept->pid <= 0) {
        old->kept->yield = YIELD_NONE;
        child_start(old);
    } else if (resume) {
        old->kept->yield = YIELD_RESUME;
        hand_over_send_pending(old);
    }
    conclude(init, init->kept->upgrade.why);
}

static void note_killed(struct kept_upgrade *upgrade, pid_t pid)
{
    int32_t *free = NULL;
    for (size_t i = 0; i < UPGRADE_KILLED; i++) {
        if (upgrade->killed[i] == pid)
            return; /* before a fault of ours */
        if (!upgrade->killed[i])
            free = &upgrade->killed[i];
    }
    if (free)
        *free = pid;
}

/* Its end is nothing to be told. */
static void kill_unseen(struct kept_upgrade *upgrade, pid_t pid)
{
    if (pid <= 0)
        return;
    note_killed(upgrade, pid);
    CRASH_POINT("killed");
    kill(pid, SIGKILL);
}

static void fail_trial(struct init *init)
{
    struct child *old = old_one(init), *trial = &init->children[CHILD_TRIAL];
    kill_unseen(&init->kept->upgrade, trial->kept->pid);
    child_drop_trial(trial);
    go_back(init, old, true);
}

/* The new one is the child from here on. The former one, which stands still, is killed and reaped
 * like an orphan. */
static void promote(struct init *init)
{
    struct child *old = old_one(init), *trial = &init->children[CHILD_TRIAL];
    struct kept_child *kept = old->kept;
    pid_t former = kept->pid;
    if (former != trial->kept->pid)
        kill_unseen(&init->kept->upgrade, former);
    loop_remove(&init->loop, &trial->link);
    if (kept->link_fd != trial->kept->link_fd)
        child_close_link(old);
    trial->kept->program_fd = kept->program_fd; /* until the new one is ready */
    kept_settle();
    *kept = *trial->kept;
    kept->ready = false;
    kept_settle();
    init->kept->upgrade.step = UPGRADE_PROMOTED;
    kept_settle();
    child_forget_trial(trial);
    CRASH_POINT("promoted");
    hand_over_watch(old);
    hand_over_take_over(old);
    conclude(init, NULL);
}

static void turn_yielding(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    struct child *old = old_one(init);
    if (old->kept->yield == YIELD_DONE) {
        wait_for(init, UPGRADE_TRIAL);
        child_start_trial(&init->children[CHILD_TRIAL], old);
        if (upgrade->why[0])
            fail_trial(init);
    } else if (upgrade->why[0]) {
        go_back(init, old, false);
    } else if (upgrade->late) {
        note_why(init, "the former one did not make room within 10 s");
        go_back(init, old, true);
    }
}

static void turn_trial(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    struct child *trial = &init->children[CHILD_TRIAL];
    if (upgrade->late && !trial->kept->ready)
        note_why(init, "it did not get ready within 10 s");
    if (upgrade->why[0])
        fail_trial(init);
    else if (trial->kept->ready)
        promote(init);
}

static void turn_trying(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    if (upgrade->try_ended) {
        end_try(init);
        return;
    }
    if (!upgrade->late)
        return;
    note_why(init, "it did not answer within 10 s");
    kill_unseen(upgrade, upgrade->try_pid);
}

static void begin_next(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    for (size_t i = 0; i < PARTS; i++) {
        if (!(upgrade->wanted & parts[i].part))
            continue;
        upgrade->part = parts[i].part;
        upgrade->wanted &= ~parts[i].part;
        if (parts[i].part == PART_INIT)
            begin_init(init);
        else
            begin_child(init);
        return;
    }
    upgrade->report = REPORT_WANTED; /* of the parts before those that only another version has */
    kept_settle();
    upgrade->wanted = 0;
}

/* Steps that nothing is waited for in. */
static void turn_nothing(struct init *init)
{
    (void)init;
}

void upgrade_turn(struct init *init)
{
    static void (*const turns[UPGRADE_STEPS])(struct init *) = {
        [UPGRADE_NONE] = turn_nothing,      [UPGRADE_TRYING] = turn_trying,
        [UPGRADE_EXECUTING] = turn_nothing, [UPGRADE_FELL_BACK] = turn_nothing,
        [UPGRADE_YIELDING] = turn_yielding, [UPGRADE_TRIAL] = turn_trial,
        [UPGRADE_PROMOTED] = turn_nothing,
    };
    const struct kept_upgrade *upgrade = &init->kept->upgrade;
    if (upgrade->step < UPGRADE_STEPS) /* else it is mended when init is executed anew */
        turns[upgrade->step](init);
    while (!upgrade->part && upgrade->wanted)
        begin_next(init);
    if (upgrade->report == REPORT_WANTED)
        hand_over_send_pending(&init->children[CHILD_LAUNCHER]);
}

/* ---- ends --------------------------------------------------------------------------------------
 */

bool upgrade_is_beside(const struct child *child)
{
    const struct kept_upgrade *upgrade = &child->init->kept->upgrade;
    return upgrade->step == UPGRADE_TRIAL && child == old_one(child->init);
}

size_t upgrade_processes(const struct init *init, pid_t pids[static UPGRADE_PROCESSES])
{
    size_t count = 0;
    pids[count++] = init->kept->upgrade.try_pid;
    pids[count++] = init->children[CHILD_TRIAL].kept->pid;
    for (size_t i = 0; i < UPGRADE_KILLED; i++)
        pids[count++] = init->kept->upgrade.killed[i];
    return count;
}

bool upgrade_note_end(struct init *init, pid_t pid, int status)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    struct kept_child *trial = &init->kept->children[CHILD_TRIAL];
    bool known = pid == upgrade->try_pid || pid == trial->pid;
    if (upgrade->step == UPGRADE_YIELDING && old_one(init)->kept->pid == pid)
        note_why(init,
                 "the former one ended before it had made room: it is started from the new file");
    if (pid == upgrade->try_pid) {
        upgrade->try_status = status;
        upgrade->try_ended = true;
        kept_settle();
        upgrade->try_pid = 0;
    }
    if (pid == trial->pid) {
        trial->pid = 0;
        trial->ready = false;
    }
    for (size_t i = 0; i < UPGRADE_KILLED; i++) {
        if (upgrade->killed[i] != pid)
            continue;
        upgrade->killed[i] = 0;
        known = true;
    }
    return known;
}

bool upgrade_take_end(struct init *init, pid_t pid, int status)
{
    struct child *trial = &init->children[CHILD_TRIAL];
    char why[WHY_BYTES];
    if (pid == trial->kept->pid) {
        hand_over_take_rest(trial);
        child_why_ended(trial, status, why, sizeof why);
        note_why(init, why);
    }
    return upgrade_note_end(init, pid, status);
}

void upgrade_stop(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    upgrade->wanted = 0;
    if (upgrade->step == UPGRADE_TRYING) {
        note_why(init, "the machine is going down");
        kill_unseen(upgrade, upgrade->try_pid);
    } else if (upgrade->step == UPGRADE_TRIAL) {
        note_why(init, "the machine is going down");
        fail_trial(init);
    } else if (upgrade->step == UPGRADE_YIELDING) {
        note_why(init, "the machine is going down");
        go_back(init, old_one(init), true);
    }
}

void upgrade_forget(struct kept_upgrade *upgrade)
{
    upgrade->answer_fd = upgrade->file_fd = upgrade->former_fd = -1;
}

void upgrade_resume(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    struct child *trial = &init->children[CHILD_TRIAL];
    if (upgrade->until_ns)
        loop_set_timer(&init->loop, &init->upgrade_timer, upgrade->until_ns, on_limit);
    if (upgrade->step == UPGRADE_TRYING && upgrade->try_pid <= 0 &&
        (!upgrade->try_ended || upgrade->answer_fd < 0))
        conclude_init(init, "init had a fault while it was tried");
    else if (upgrade->step == UPGRADE_EXECUTING && !is_exchanged(init))
        conclude_init(init, "init had a fault before it was executed");
    else if (upgrade->step == UPGRADE_NONE)
        conclude_init(init, NULL); /* which may have been under way */
    else if (upgrade->step == UPGRADE_TRIAL) {
        child_of_trial(trial, old_one(init));
        if (trial->kept->pid <= 0 || trial->kept->link_fd < 0)
            note_why(init, "init had a fault while it was tried");
        hand_over_watch(trial);
        hand_over_send_pending(trial);
    } else if (upgrade->step == UPGRADE_PROMOTED) {
        child_forget_trial(trial);
        hand_over_take_over(old_one(init)); /* it says once that it is ready, and has done so */
        conclude(init, NULL);
    }
}

void upgrade_arrived(struct init *init)
{
    struct kept_upgrade *upgrade = &init->kept->upgrade;
    int record = upgrade->former_record_fd;
    upgrade->former_record_fd = 0;
    if (record > 0)
        close(record);
    if (upgrade->step == UPGRADE_FELL_BACK)
        conclude_init(init, upgrade->why[0] ? upgrade->why : "it had a fault while it took over");
    else if (upgrade->step == UPGRADE_EXECUTING)
        conclude_init(init, NULL);
}
