/* How a run's end is judged: done, failed, or to be tried again, and when. Pure. */
#pragma once

#include "service/definition.h"
#include "service/machine.h"
#include "service/record.h"

#include <stdbool.h>
#include <stdint.h>

struct verdict {
    enum service_event event; /* EVENT_ENDED_… */
    bool limit_reached;
    uint32_t restarts, in_row; /* the new counts */
};

/* Judges the run of `body` that has just ended. `asked`: somebody wants it down. Success is an exit
 * with 0 of a run whose start did not fail. A start that failed for a reason that does not pass by
 * itself (body->failed_start without body->retry) is not tried again, whatever the policy. */
struct verdict restart_judge(const struct definition *definition, const struct service_body *body,
                             bool asked, uint64_t now_ns);

/* How long to wait before the try that makes in_row what it is (1: the first). `random` is a
 * number in 0 … RESTART_RANDOM_BOUND - 1, for the jitter. Milliseconds. */
#define RESTART_RANDOM_BOUND 2001
uint32_t restart_delay_ms(const struct restart *restart, uint32_t in_row, uint32_t random);
