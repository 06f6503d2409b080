/* How a run's end is judged: done, failed, or to be tried again, and when. */
#include "service/restart.h"
#include "base/clock.h"

static bool succeeded(const struct service_body *body)
{
    return body->exit_kind == EXIT_CODE && body->exit_value == 0 && !body->failed_start &&
           body->timed_out != TIMED_OUT_WATCHDOG;
}

/* A start that failed for good needs a person: trying again would fail in the same way. */
static bool may_try_again(const struct restart *restart, const struct service_body *body)
{
    if (body->failed_start && !body->timed_out && !body->retry)
        return false;
    return restart->policy == RESTART_ALWAYS ||
           (restart->policy == RESTART_ON_FAILURE && !succeeded(body));
}

struct verdict restart_judge(const struct definition *definition, const struct service_body *body,
                             bool asked, uint64_t now_ns)
{
    const struct restart *restart = &definition->restart;
    struct verdict verdict = {.restarts = body->restarts, .in_row = body->in_row};

    if (body->ready_ns && now_ns - body->ready_ns >= restart->reset_after_ms * NS_PER_MS)
        verdict.in_row = 0;
    if (asked) {
        verdict.event = EVENT_ENDED_ASKED;
    } else if (!may_try_again(restart, body)) {
        verdict.event = succeeded(body) ? EVENT_ENDED_DONE : EVENT_ENDED_FAILED;
    } else if (restart->limit != RESTART_NO_LIMIT && verdict.in_row >= restart->limit) {
        verdict.event = EVENT_ENDED_FAILED;
        verdict.limit_reached = true;
    } else {
        verdict.event = EVENT_ENDED_AGAIN;
        verdict.in_row++;
        verdict.restarts++;
    }
    return verdict;
}

uint32_t restart_delay_ms(const struct restart *restart, uint32_t in_row, uint32_t random)
{
    uint64_t delay = restart->delay_ms;

    for (uint32_t i = 1; i < in_row && delay && delay < restart->max_ms; i++) {
        uint64_t longer = delay * restart->factor_percent / 100;
        if (longer == delay)
            break;
        delay = longer;
    }
    if (delay > restart->max_ms)
        delay = restart->max_ms;
    /* random runs from -jitter to +jitter in thousandths of it. */
    int64_t spread = (int64_t)(delay * restart->jitter_percent / 100);
    int64_t shift =
        spread * ((int64_t)random - (RESTART_RANDOM_BOUND / 2)) / (RESTART_RANDOM_BOUND / 2);
    return (uint32_t)((int64_t)delay + shift);
}
