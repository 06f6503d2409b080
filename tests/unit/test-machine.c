/* The service machine: every cell of its tables, and the paths through it. */
#include "service/machine.h"
#include "test.h"

TEST(every_cell_is_filled_and_says_one_thing)
{
    for (int state = 0; state < SERVICE_STATES; state++) {
        for (int event = 0; event < SERVICE_EVENTS; event++) {
            const struct machine_cell *cell = &machine_cells[state][event];
            CHECK(cell->kind != CELL_EMPTY && cell->kind <= CELL_IMPOSSIBLE);
            CHECK(cell->next < SERVICE_STATES);
            CHECK(cell->actions < ACTIONS_END);
            if (cell->kind != CELL_MOVE)
                CHECK(cell->actions == 0);
        }
        CHECK(machine_cells[state][EVENT_NONE].kind == CELL_IMPOSSIBLE);
    }
}

TEST(every_state_has_its_properties_and_one_kind_of_motion)
{
    static const char *const shown[] = {"stopped",  "waiting",     "starting", "running", "done",
                                        "stopping", "backing-off", "failed",   "skipped", "broken"};
    for (int state = 0; state < SERVICE_STATES; state++) {
        const struct machine_state *row = &machine_states[state];
        bool known = false;
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            known = known || (row->shown && strcmp(row->shown, shown[i]) == 0);
        CHECK(known);
        CHECK(row->name && *row->name);
        /* Idle, on its way up, on its way down, or running: exactly one of them. */
        CHECK_NUMBER(row->idle + row->going_up + row->going_down +
                         (state == STATE_RUNNING || state == STATE_RELOADING),
                     1);
        CHECK(!(row->idle && row->has_main));
    }
    for (int event = 1; event < SERVICE_EVENTS; event++)
        CHECK(machine_event_names[event] != NULL);
}

TEST(every_state_can_be_reached_and_left)
{
    bool reached[SERVICE_STATES] = {[STATE_STOPPED] = true};
    for (int round = 0; round < SERVICE_STATES; round++)
        for (int state = 0; state < SERVICE_STATES; state++)
            for (int event = 0; event < SERVICE_EVENTS; event++)
                if (reached[state] && machine_cells[state][event].kind == CELL_MOVE)
                    reached[machine_cells[state][event].next] = true;
    for (int state = 0; state < SERVICE_STATES; state++) {
        bool left = false;
        CHECK(reached[state]);
        for (int event = 0; event < SERVICE_EVENTS; event++)
            left = left || (machine_cells[state][event].kind == CELL_MOVE &&
                            machine_cells[state][event].next != state);
        CHECK(left);
    }
}

TEST(what_runs_comes_to_rest_only_through_sweeping_and_judging)
{
    for (int state = 0; state < SERVICE_STATES; state++) {
        for (int event = 0; event < SERVICE_EVENTS; event++) {
            const struct machine_cell *cell = &machine_cells[state][event];
            if (cell->kind != CELL_MOVE || machine_states[state].idle)
                continue;
            if (machine_states[cell->next].idle)
                CHECK_NUMBER(state, STATE_FINISHING);
            if (cell->next == STATE_FINISHING && state != STATE_FINISHING)
                CHECK_NUMBER(state, STATE_SWEEPING);
        }
    }
}

TEST(a_run_begins_only_from_rest_and_only_there_a_new_one_begins)
{
    for (int state = 0; state < SERVICE_STATES; state++)
        for (int event = 0; event < SERVICE_EVENTS; event++)
            if (machine_cells[state][event].actions & ACTION_BEGIN_RUN) {
                CHECK(state == STATE_STOPPED || state == STATE_WAITING);
                CHECK_NUMBER(event, EVENT_START);
            }
}

/* A state that waits for a person, a process or a neighbour needs no timer; those that a time-out
 * may leave must accept it, and no others. */
TEST(a_time_out_means_something_only_where_a_timer_can_run)
{
    static const enum service_state timed[] = {STATE_PREPARING, STATE_STARTING,  STATE_SETTLING,
                                               STATE_RUNNING,   STATE_RELOADING, STATE_LEAVING,
                                               STATE_STOPPING,  STATE_FINISHING, STATE_BACKING_OFF};
    for (int state = 0; state < SERVICE_STATES; state++) {
        bool expected = false;
        for (size_t i = 0; i < sizeof timed / sizeof *timed; i++)
            expected = expected || (int)timed[i] == state;
        CHECK_NUMBER(machine_cells[state][EVENT_TIME_OUT].kind == CELL_MOVE, expected);
    }
}
