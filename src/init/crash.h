/* Points at which a debug build of init can be told to have a fault, for tests. */
#pragma once

#include "init/kept.h"

#ifdef CONIT_CRASH_POINTS
/* CONIT_CRASH=POINT:SIGNAL,… in the environment: the first is for the first fault of init's own,
 * the second for the second, and so on. SIGNAL is SEGV BUS ABRT ILL FPE or STACK, which overflows
 * it. */
void crash_at(const char *point);

/* The record, which counts the faults. */
void crash_use(const struct kept *kept);
#define CRASH_POINT(point) crash_at(point)
#define CRASH_USE(kept)    crash_use(kept)
#else
#define CRASH_POINT(point) ((void)0)
#define CRASH_USE(kept)    ((void)0)
#endif
