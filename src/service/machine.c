/* The service machine's two tables. docs/states.md shows them as a diagram, which a test makes from
 * them.
 *
 * Every cell is written out. _ is IGNORE: it may happen here and means nothing. X is IMPOSSIBLE:
 * the executor and the manager never give this event in this state. */
#include "service/machine.h"

/* clang-format off */
#define GO(state, todo) {.next = STATE_##state, .kind = CELL_MOVE, .actions = (todo)}
#define _               {.kind = CELL_IGNORE}
#define X               {.kind = CELL_IMPOSSIBLE}

#define BEGIN (ACTION_BEGIN_RUN | ACTION_HOOKS)
#define SWEEP (ACTION_SWEEP | ACTION_NO_TIMER)
#define LEAVE (ACTION_STOP_TIMER | ACTION_HOOKS)
#define QUIT  (ACTION_STOP_TIMER | ACTION_SIGNAL)
#define LATE  (ACTION_TIMED_OUT | ACTION_FAILED_START)
#define RENEW (ACTION_RELOAD_TIMER | ACTION_HOOKS)

/* States in which nothing of a service runs have no process whose events could come. */
#define NO_PROCESS                                                                              \
    [EVENT_HOOKS_OK] = X, [EVENT_HOOKS_FAILED] = X, [EVENT_SPAWNED] = X,                        \
    [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = X, [EVENT_RELOAD] = X, [EVENT_GONE] = X,          \
    [EVENT_EXITED] = X, [EVENT_EMPTY] = X

/* The manager judges only a run that is FINISHING. */
#define NO_VERDICT                                                                              \
    [EVENT_ENDED_ASKED] = X, [EVENT_ENDED_DONE] = X, [EVENT_ENDED_FAILED] = X,                  \
    [EVENT_ENDED_AGAIN] = X

/* While a run is under way nothing begins, and a changed file waits for the run's end. */
#define NO_START                                                                                \
    [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = _, [EVENT_WAIT] = X,                 \
    [EVENT_START] = X, [EVENT_BLOCKED] = X, [EVENT_SKIP] = X
#define NO_BEGINNING NO_START, [EVENT_RELOAD] = X

const struct machine_cell machine_cells[SERVICE_STATES][SERVICE_EVENTS] = {
    [STATE_BROKEN] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = GO(STOPPED, 0), [EVENT_BROKEN] = GO(BROKEN, 0),
        [EVENT_WAIT] = X, [EVENT_START] = X, [EVENT_STOP] = _, [EVENT_BLOCKED] = X,
        [EVENT_SKIP] = X, [EVENT_TIME_OUT] = X, NO_PROCESS, NO_VERDICT},
    [STATE_STOPPED] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = GO(BROKEN, 0),
        [EVENT_WAIT] = GO(WAITING, 0), [EVENT_START] = GO(PREPARING, BEGIN), [EVENT_STOP] = _,
        [EVENT_BLOCKED] = GO(FAILED, 0), [EVENT_SKIP] = GO(SKIPPED, 0), [EVENT_TIME_OUT] = X,
        NO_PROCESS, NO_VERDICT},
    [STATE_WAITING] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = GO(BROKEN, 0),
        [EVENT_WAIT] = GO(WAITING, 0), [EVENT_START] = GO(PREPARING, BEGIN),
        [EVENT_STOP] = GO(STOPPED, 0), [EVENT_BLOCKED] = GO(FAILED, 0),
        [EVENT_SKIP] = GO(SKIPPED, 0), [EVENT_TIME_OUT] = X, NO_PROCESS, NO_VERDICT},
    [STATE_PREPARING] = {
        NO_BEGINNING, [EVENT_STOP] = GO(STOPPING, QUIT), [EVENT_HOOKS_OK] = GO(STARTING, ACTION_SPAWN),
        [EVENT_HOOKS_FAILED] = GO(SWEEPING, ACTION_FAILED_START | SWEEP), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = GO(SWEEPING, ACTION_FAILED_START | SWEEP), [EVENT_READY] = X,
        [EVENT_GONE] = X, [EVENT_EXITED] = X, [EVENT_EMPTY] = X,
        [EVENT_TIME_OUT] = GO(SWEEPING, LATE | ACTION_KILL_HOOK | SWEEP), NO_VERDICT},
    [STATE_STARTING] = {
        NO_BEGINNING, [EVENT_STOP] = GO(STOPPING, QUIT), [EVENT_HOOKS_OK] = X,
        [EVENT_HOOKS_FAILED] = X, [EVENT_SPAWNED] = GO(STARTING, 0),
        [EVENT_SPAWN_FAILED] = GO(SWEEPING, ACTION_FAILED_START | SWEEP),
        [EVENT_READY] = GO(SETTLING, ACTION_HOOKS), [EVENT_GONE] = GO(ENDING, ACTION_NO_TIMER),
        [EVENT_EXITED] = GO(SWEEPING, SWEEP), [EVENT_EMPTY] = X,
        [EVENT_TIME_OUT] = GO(STOPPING, LATE | QUIT), NO_VERDICT},
    [STATE_SETTLING] = {
        NO_BEGINNING, [EVENT_STOP] = GO(LEAVING, ACTION_KILL_HOOK | LEAVE),
        [EVENT_HOOKS_OK] = GO(RUNNING, ACTION_NO_TIMER),
        [EVENT_HOOKS_FAILED] = GO(RUNNING, ACTION_NO_TIMER), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _,
        [EVENT_GONE] = GO(ENDING, ACTION_KILL_HOOK | ACTION_NO_TIMER),
        [EVENT_EXITED] = GO(SWEEPING, ACTION_KILL_HOOK | SWEEP), [EVENT_EMPTY] = X,
        [EVENT_TIME_OUT] = GO(STOPPING, LATE | ACTION_KILL_HOOK | QUIT), NO_VERDICT},
    [STATE_RUNNING] = {
        NO_START, [EVENT_STOP] = GO(LEAVING, LEAVE), [EVENT_HOOKS_OK] = X,
        [EVENT_HOOKS_FAILED] = X, [EVENT_SPAWNED] = X, [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _,
        [EVENT_RELOAD] = GO(RELOADING, RENEW),
        [EVENT_GONE] = GO(ENDING, 0), [EVENT_EXITED] = GO(SWEEPING, SWEEP), [EVENT_EMPTY] = X,
        [EVENT_TIME_OUT] = GO(STOPPING, ACTION_TIMED_OUT | QUIT), NO_VERDICT},
    [STATE_RELOADING] = {
        NO_BEGINNING, [EVENT_STOP] = GO(LEAVING, ACTION_KILL_HOOK | LEAVE),
        [EVENT_HOOKS_OK] = GO(RUNNING, ACTION_NO_TIMER),
        [EVENT_HOOKS_FAILED] = GO(RUNNING, ACTION_NO_TIMER), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _,
        [EVENT_GONE] = GO(ENDING, ACTION_KILL_HOOK | ACTION_NO_TIMER),
        [EVENT_EXITED] = GO(SWEEPING, ACTION_KILL_HOOK | SWEEP), [EVENT_EMPTY] = X,
        [EVENT_TIME_OUT] = GO(RUNNING, ACTION_TIMED_OUT | ACTION_KILL_HOOK | ACTION_NO_TIMER),
        NO_VERDICT},
    [STATE_LEAVING] = {
        NO_BEGINNING, [EVENT_STOP] = _, [EVENT_HOOKS_OK] = GO(STOPPING, ACTION_SIGNAL),
        [EVENT_HOOKS_FAILED] = GO(STOPPING, ACTION_SIGNAL), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _, [EVENT_GONE] = GO(LEAVING, 0),
        [EVENT_EXITED] = GO(LEAVING, 0), [EVENT_EMPTY] = X,
        [EVENT_TIME_OUT] = GO(KILLING, ACTION_TIMED_OUT | ACTION_KILL_HOOK | ACTION_KILL), NO_VERDICT},
    [STATE_STOPPING] = {
        NO_BEGINNING, [EVENT_STOP] = _, [EVENT_HOOKS_OK] = GO(SWEEPING, SWEEP),
        [EVENT_HOOKS_FAILED] = GO(SWEEPING, SWEEP), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = GO(SWEEPING, SWEEP), [EVENT_READY] = _,
        [EVENT_GONE] = GO(ENDING, ACTION_NO_TIMER), [EVENT_EXITED] = GO(SWEEPING, SWEEP),
        [EVENT_EMPTY] = X, [EVENT_TIME_OUT] = GO(KILLING, ACTION_TIMED_OUT | ACTION_KILL), NO_VERDICT},
    [STATE_KILLING] = {
        NO_BEGINNING, [EVENT_STOP] = _, [EVENT_HOOKS_OK] = GO(SWEEPING, SWEEP),
        [EVENT_HOOKS_FAILED] = GO(SWEEPING, SWEEP), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = GO(SWEEPING, SWEEP), [EVENT_READY] = _, [EVENT_GONE] = GO(ENDING, 0),
        [EVENT_EXITED] = GO(SWEEPING, SWEEP), [EVENT_EMPTY] = X, [EVENT_TIME_OUT] = X, NO_VERDICT},
    [STATE_ENDING] = {
        NO_BEGINNING, [EVENT_STOP] = _, [EVENT_HOOKS_OK] = _, [EVENT_HOOKS_FAILED] = _,
        [EVENT_SPAWNED] = X, [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _, [EVENT_GONE] = _,
        [EVENT_EXITED] = GO(SWEEPING, SWEEP), [EVENT_EMPTY] = X, [EVENT_TIME_OUT] = _, NO_VERDICT},
    [STATE_SWEEPING] = {
        NO_BEGINNING, [EVENT_STOP] = _, [EVENT_HOOKS_OK] = _, [EVENT_HOOKS_FAILED] = _,
        [EVENT_SPAWNED] = X, [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _, [EVENT_GONE] = _,
        [EVENT_EXITED] = _, [EVENT_EMPTY] = GO(FINISHING, LEAVE), [EVENT_TIME_OUT] = X, NO_VERDICT},
    [STATE_FINISHING] = {
        NO_BEGINNING, [EVENT_STOP] = _, [EVENT_HOOKS_OK] = GO(FINISHING, ACTION_NO_TIMER | ACTION_JUDGE),
        [EVENT_HOOKS_FAILED] = GO(FINISHING, ACTION_NO_TIMER | ACTION_JUDGE), [EVENT_SPAWNED] = X,
        [EVENT_SPAWN_FAILED] = X, [EVENT_READY] = _, [EVENT_GONE] = X, [EVENT_EXITED] = X,
        [EVENT_EMPTY] = _,
        [EVENT_TIME_OUT] = GO(FINISHING, ACTION_KILL_HOOK | ACTION_NO_TIMER | ACTION_JUDGE),
        [EVENT_ENDED_ASKED] = GO(STOPPED, 0), [EVENT_ENDED_DONE] = GO(DONE, 0),
        [EVENT_ENDED_FAILED] = GO(FAILED, 0), [EVENT_ENDED_AGAIN] = GO(BACKING_OFF, ACTION_BACK_OFF)},
    [STATE_BACKING_OFF] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = _,
        [EVENT_WAIT] = GO(WAITING, ACTION_NO_TIMER), [EVENT_START] = X,
        [EVENT_STOP] = GO(STOPPED, ACTION_NO_TIMER), [EVENT_BLOCKED] = GO(STOPPED, ACTION_NO_TIMER),
        [EVENT_SKIP] = X, [EVENT_TIME_OUT] = GO(WAITING, ACTION_NO_TIMER), NO_PROCESS, NO_VERDICT},
    [STATE_DONE] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = _, [EVENT_WAIT] = GO(WAITING, 0),
        [EVENT_START] = X, [EVENT_STOP] = GO(LEAVING, LEAVE), [EVENT_BLOCKED] = _, [EVENT_SKIP] = X,
        [EVENT_TIME_OUT] = X, NO_PROCESS, NO_VERDICT},
    [STATE_FAILED] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = GO(BROKEN, 0),
        [EVENT_WAIT] = GO(WAITING, 0), [EVENT_START] = X, [EVENT_STOP] = GO(STOPPED, 0),
        [EVENT_BLOCKED] = GO(FAILED, 0), [EVENT_SKIP] = X, [EVENT_TIME_OUT] = X, NO_PROCESS, NO_VERDICT},
    [STATE_SKIPPED] = {
        [EVENT_NONE] = X, [EVENT_LOADED] = _, [EVENT_BROKEN] = GO(BROKEN, 0),
        [EVENT_WAIT] = GO(WAITING, 0), [EVENT_START] = X, [EVENT_STOP] = GO(STOPPED, 0),
        [EVENT_BLOCKED] = _, [EVENT_SKIP] = X, [EVENT_TIME_OUT] = X, NO_PROCESS, NO_VERDICT},
};

_Static_assert(sizeof machine_cells == sizeof(struct machine_cell) * 18 * 22,
               "a new state or event needs its row or column, and its words in docs/states.md");

const struct machine_state machine_states[SERVICE_STATES] = {
    [STATE_BROKEN] = {"BROKEN", "broken", .idle = true},
    [STATE_STOPPED] = {"STOPPED", "stopped", .idle = true},
    [STATE_WAITING] = {"WAITING", "waiting", .idle = true},
    [STATE_PREPARING] = {"PREPARING", "starting", .going_up = true},
    [STATE_STARTING] = {"STARTING", "starting", .going_up = true, .has_main = true},
    [STATE_SETTLING] = {"SETTLING", "starting", .going_up = true, .has_main = true},
    [STATE_RUNNING] = {"RUNNING", "running", .up = true, .has_main = true},
    [STATE_RELOADING] = {"RELOADING", "running", .up = true, .has_main = true},
    [STATE_LEAVING] = {"LEAVING", "stopping", .going_down = true, .has_main = true},
    [STATE_STOPPING] = {"STOPPING", "stopping", .going_down = true, .has_main = true},
    [STATE_KILLING] = {"KILLING", "stopping", .going_down = true, .has_main = true},
    [STATE_ENDING] = {"ENDING", "stopping", .going_down = true},
    [STATE_SWEEPING] = {"SWEEPING", "stopping", .going_down = true},
    [STATE_FINISHING] = {"FINISHING", "stopping", .going_down = true},
    [STATE_BACKING_OFF] = {"BACKING_OFF", "backing-off", .idle = true},
    [STATE_DONE] = {"DONE", "done", .idle = true, .up = true},
    [STATE_FAILED] = {"FAILED", "failed", .idle = true},
    [STATE_SKIPPED] = {"SKIPPED", "skipped", .idle = true, .up = true},
};

const char *const machine_event_names[SERVICE_EVENTS] = {
    [EVENT_NONE] = "NONE", [EVENT_LOADED] = "LOADED", [EVENT_BROKEN] = "BROKEN",
    [EVENT_WAIT] = "WAIT", [EVENT_START] = "START", [EVENT_STOP] = "STOP",
    [EVENT_BLOCKED] = "BLOCKED", [EVENT_SKIP] = "SKIP", [EVENT_HOOKS_OK] = "HOOKS_OK",
    [EVENT_HOOKS_FAILED] = "HOOKS_FAILED", [EVENT_SPAWNED] = "SPAWNED",
    [EVENT_SPAWN_FAILED] = "SPAWN_FAILED", [EVENT_READY] = "READY", [EVENT_GONE] = "GONE",
    [EVENT_RELOAD] = "RELOAD",
    [EVENT_EXITED] = "EXITED", [EVENT_EMPTY] = "EMPTY", [EVENT_TIME_OUT] = "TIME_OUT",
    [EVENT_ENDED_ASKED] = "ENDED_ASKED", [EVENT_ENDED_DONE] = "ENDED_DONE",
    [EVENT_ENDED_FAILED] = "ENDED_FAILED", [EVENT_ENDED_AGAIN] = "ENDED_AGAIN",
};
/* clang-format on */
