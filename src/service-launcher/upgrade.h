/* Upgrades, as far as they are the launcher's: asking init for one, and standing still while a new
 * launcher is tried beside this one. docs/hand-over.md tells how the parts meet. */
#pragma once

#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct launcher;

struct upgrade {
    struct launcher *launcher;
    bool yield_wanted;
    struct loop_timer patience; /* until what has to be sent before is given up */
    struct loop_timer answer;   /* until init is no longer waited for */
};

void upgrade_init(struct upgrade *upgrade, struct launcher *launcher);

/* Goes on with an upgrade that a former launcher was asked for. */
void upgrade_go_on(struct upgrade *upgrade);

/* What became of it, from init: bits of enum hand_over_part, and why, a line "PART: why" each. */
void upgrade_ended(struct upgrade *upgrade, uint32_t done, uint32_t failed, const char *text);

/* Init wants this launcher to stand still; or, before it could, no longer. */
void upgrade_yield(struct upgrade *upgrade);
void upgrade_resume(struct upgrade *upgrade);

/* At the end of a turn: stands still, where that is wanted and all that was to be sent is. Returns
 * whether it did, and is to go on. Does not return when another launcher takes over. */
bool upgrade_turn(struct upgrade *upgrade);
