/* The layout of the state (service/record.h), and of the states before it told its own. */
#pragma once

#include "base/layout.h"

enum state_part { STATE_PART_HEADER, STATE_PART_RECORD, STATE_PART_BODY, STATE_PARTS };

extern const struct layout state_layout;

/* Of version 1, which tells none. */
extern const struct layout state_layout_1;
