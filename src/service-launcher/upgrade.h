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
};

void upgrade_init(struct upgrade *upgrade, struct launcher *launcher);

/* Init wants this launcher to stand still; or, before it could, no longer. */
void upgrade_yield(struct upgrade *upgrade);
void upgrade_resume(struct upgrade *upgrade);

/* At the end of a turn: stands still, where that is wanted and all that was to be sent is. Returns
 * whether it did, and is to go on. Does not return when another launcher takes over. */
bool upgrade_turn(struct upgrade *upgrade);
