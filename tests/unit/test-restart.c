/* How a run's end is judged, and how long the next try waits. */
#include "base/clock.h"
#include "service/restart.h"
#include "test.h"

static struct definition definition;
static struct service_body body;

static struct restart defaults(enum restart_policy policy)
{
    return (struct restart){.policy = policy,
                            .delay_ms = 100,
                            .max_ms = 30000,
                            .reset_after_ms = 10000,
                            .factor_percent = 200,
                            .jitter_percent = 10,
                            .limit = RESTART_NO_LIMIT};
}

static enum service_event judged(enum restart_policy policy, enum exit_kind kind, int value)
{
    definition.restart = defaults(policy);
    body = (struct service_body){.exit_kind = (uint8_t)kind, .exit_value = value};
    return restart_judge(&definition, &body, false, 0).event;
}

TEST(each_policy_judges_each_end)
{
    CHECK_NUMBER(judged(RESTART_ALWAYS, EXIT_CODE, 0), EVENT_ENDED_AGAIN);
    CHECK_NUMBER(judged(RESTART_ALWAYS, EXIT_CODE, 1), EVENT_ENDED_AGAIN);
    CHECK_NUMBER(judged(RESTART_ALWAYS, EXIT_SIGNAL, 15), EVENT_ENDED_AGAIN);
    CHECK_NUMBER(judged(RESTART_ON_FAILURE, EXIT_CODE, 0), EVENT_ENDED_DONE);
    CHECK_NUMBER(judged(RESTART_ON_FAILURE, EXIT_CODE, 1), EVENT_ENDED_AGAIN);
    CHECK_NUMBER(judged(RESTART_ON_FAILURE, EXIT_SIGNAL, 15), EVENT_ENDED_AGAIN);
    CHECK_NUMBER(judged(RESTART_NEVER, EXIT_CODE, 0), EVENT_ENDED_DONE);
    CHECK_NUMBER(judged(RESTART_NEVER, EXIT_CODE, 1), EVENT_ENDED_FAILED);
    CHECK_NUMBER(judged(RESTART_NEVER, EXIT_SIGNAL, 9), EVENT_ENDED_FAILED);
}

TEST(an_end_that_was_asked_for_is_no_failure)
{
    definition.restart = defaults(RESTART_ALWAYS);
    body = (struct service_body){.exit_kind = EXIT_SIGNAL, .exit_value = 9};
    CHECK_NUMBER(restart_judge(&definition, &body, true, 0).event, EVENT_ENDED_ASKED);
}

TEST(who_did_not_report_to_its_watchdog_has_failed_however_it_ended)
{
    definition.restart = defaults(RESTART_NEVER);
    body = (struct service_body){.exit_kind = EXIT_CODE, .timed_out = TIMED_OUT_WATCHDOG};
    CHECK_NUMBER(restart_judge(&definition, &body, false, 0).event, EVENT_ENDED_FAILED);
    body.timed_out = TIMED_OUT_STOP;
    CHECK_NUMBER(restart_judge(&definition, &body, false, 0).event, EVENT_ENDED_DONE);
}

TEST(a_start_that_cannot_get_better_is_not_tried_again)
{
    definition.restart = defaults(RESTART_ALWAYS);
    body = (struct service_body){.failed_start = 1};
    CHECK_NUMBER(restart_judge(&definition, &body, false, 0).event, EVENT_ENDED_FAILED);
    body.retry = 1;
    CHECK_NUMBER(restart_judge(&definition, &body, false, 0).event, EVENT_ENDED_AGAIN);
    body.retry = 0;
    body.timed_out = 1;
    CHECK_NUMBER(restart_judge(&definition, &body, false, 0).event, EVENT_ENDED_AGAIN);
}

TEST(the_limit_counts_restarts_in_a_row_and_a_long_run_forgets_them)
{
    definition.restart = defaults(RESTART_ALWAYS);
    definition.restart.limit = 2;
    body = (struct service_body){.exit_kind = EXIT_CODE, .exit_value = 1};
    for (int i = 0; i < 2; i++) {
        struct verdict verdict = restart_judge(&definition, &body, false, 0);
        CHECK_NUMBER(verdict.event, EVENT_ENDED_AGAIN);
        body.in_row = verdict.in_row;
        body.restarts = verdict.restarts;
    }
    struct verdict last = restart_judge(&definition, &body, false, 0);
    CHECK_NUMBER(last.event, EVENT_ENDED_FAILED);
    CHECK(last.limit_reached);
    body.ready_ns = 1;
    last = restart_judge(&definition, &body, false, 10000 * NS_PER_MS + 1);
    CHECK_NUMBER(last.event, EVENT_ENDED_AGAIN);
    CHECK_NUMBER(last.in_row, 1);
    CHECK_NUMBER(last.restarts, 3);
}

TEST(the_delay_grows_by_the_factor_up_to_the_maximum)
{
    struct restart restart = defaults(RESTART_ALWAYS);
    uint32_t middle = RESTART_RANDOM_BOUND / 2;
    CHECK_NUMBER(restart_delay_ms(&restart, 1, middle), 100);
    CHECK_NUMBER(restart_delay_ms(&restart, 2, middle), 200);
    CHECK_NUMBER(restart_delay_ms(&restart, 3, middle), 400);
    CHECK_NUMBER(restart_delay_ms(&restart, 9, middle), 25600);
    CHECK_NUMBER(restart_delay_ms(&restart, 10, middle), 30000);
    CHECK_NUMBER(restart_delay_ms(&restart, UINT32_MAX, middle), 30000);
    restart.factor_percent = 100;
    CHECK_NUMBER(restart_delay_ms(&restart, UINT32_MAX, middle), 100);
    restart.delay_ms = 0;
    CHECK_NUMBER(restart_delay_ms(&restart, 1000, 0), 0);
}

TEST(jitter_stays_within_its_percent_and_reaches_both_ends)
{
    struct restart restart = defaults(RESTART_ALWAYS);
    restart.delay_ms = 1000;
    CHECK_NUMBER(restart_delay_ms(&restart, 1, 0), 900);
    CHECK_NUMBER(restart_delay_ms(&restart, 1, RESTART_RANDOM_BOUND - 1), 1100);
    for (uint32_t random = 0; random < RESTART_RANDOM_BOUND; random++) {
        uint32_t delay = restart_delay_ms(&restart, 1, random);
        CHECK(delay >= 900 && delay <= 1100);
    }
}
