/* A kernel and a clock that are made up: whole lifecycles of services run in one process, each
 * event given by the test. */
#pragma once

#include "service/manager.h"

#include <setjmp.h>

#define FAKE_SLOTS 48

enum { NEEDS, WANTS, AFTER, CONFLICTS, BEFORE, PROVIDES, FAKE_LISTS };

struct fake_service {
    struct definition definition;
    char name[16];
    char *lists[FAKE_LISTS][FAKE_SLOTS + 1];
    bool runs, queued, signalled;
    bool slow_reload;  /* its reload command runs until the test ends it */
    uint64_t timer_ns; /* 0: none */
};

struct fake {
    struct manager manager;
    struct state_header header;
    struct service_record records[FAKE_SLOTS];
    struct fake_service services[FAKE_SLOTS];
    uint64_t now_ns;
    int impossible, essential_status;
    bool skip;         /* conditions are not met */
    int look;          /* -EINPROGRESS, -ETIMEDOUT: that is not known; 0: it is */
    bool ends_reloads; /* a step of a slow one ends it */
    char order[4096];  /* "+a" started, "-a" told to stop, in order */
    /* Called before a start and before a stop, to check what must hold then; may be NULL. */
    void (*check)(struct fake *fake, struct service *service, bool start);
    /* The launcher is killed at the `crash_in`th look at the clock from now on, which every change
     * of a state takes: longjmp() to `crash`, and then it is fake_recover()'s turn. 0: never. */
    unsigned crash_in;
    jmp_buf crash;
};

void fake_init(struct fake *fake);
void fake_finish(struct fake *fake);

/* Adds a service; `slot` of it is how many were added before. */
struct service *fake_add(struct fake *fake, const char *name, enum service_type type);
/* `from` names `to` in one of its lists. */
void fake_tie(struct fake *fake, const char *from, int list, const char *to);
/* Resolves and loads all. */
void fake_load(struct fake *fake);

struct service *fake_find(struct fake *fake, const char *name);
const char *fake_shown(struct fake *fake, const char *name);
const char *fake_reason(struct fake *fake, const char *name);

void fake_boot(struct fake *fake);

/* Lets everything happen that needs no decision: programs that are queued execute, what was told to
 * stop ends, tasks end with 0, until nothing moves. Timers do not run. */
void fake_run(struct fake *fake);
/* One of these steps for one service; returns whether there was one. */
bool fake_step(struct fake *fake, uint32_t slot);

/* The main process ends by itself. */
void fake_exit(struct fake *fake, const char *name, enum exit_kind kind, int value);
/* A new manager on the records that are there, as a launcher that was started again makes it; the
 * requests of the old one are gone. What was queued is queued again, as executor-recover.c does. */
void fake_recover(struct fake *fake);
/* The clock goes to the next timer, which fires. Returns whether there was one. */
bool fake_next_timer(struct fake *fake);
