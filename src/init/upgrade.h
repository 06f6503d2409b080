/* An upgrade: init, the journal and the launcher replaced by the files that are on disk now, one
 * after the other (docs/hand-over.md). */
#pragma once

#include "init/children.h"
#include "protocol/hand-over.h"

#include <stdbool.h>

struct init;

/* The launcher asks for it; `parts` is a mask, 0 for all. */
void upgrade_ask(struct init *init, uint32_t parts);

/* Goes on with it as far as nothing has to be waited for. Called once a turn, never while a message
 * is being dealt with. */
void upgrade_turn(struct init *init);

/* The machine ends: nothing is tried any more, and whoever made room goes on. */
void upgrade_stop(struct init *init);

/* A message of a child that concerns an upgrade. */
void upgrade_take_yielded(struct child *child);
void upgrade_take_failed(struct child *child, const char *text);
void upgrade_take_seen(struct init *init);

/* A message of the new one that is tried beside an old one. */
void upgrade_take_of_trial(struct child *trial, const struct hand_over_message *message);

/* Whether this is the old one of a pair of which the new one is tried: it is not started again. */
bool upgrade_is_beside(const struct child *child);

/* Whether `pid`, already reaped, was part of an upgrade; then its end is dealt with. */
bool upgrade_take_end(struct init *init, pid_t pid, int status);

/* The same for the minimal loop: it is noted, all names of `pid` are taken back (it will be
 * somebody else's), and nothing is done. */
bool upgrade_note_end(struct init *init, pid_t pid, int status);

/* Its processes, to be reaped; 0 where there is none. Returns how many. */
#define UPGRADE_PROCESSES (2 + UPGRADE_KILLED)
size_t upgrade_processes(const struct init *init, pid_t pids[static UPGRADE_PROCESSES]);

/* What there is to tell the launcher. Returns as hand_over_send(). */
int upgrade_send_result(struct child *launcher);

/* A launcher begins its life. */
void upgrade_tell_again(struct init *init);

/* In a new record: there is none. */
void upgrade_forget(struct kept_upgrade *upgrade);

/* After init was executed anew. */
void upgrade_resume(struct init *init);

/* And when it has reached its loop: the new init is what it is, or the former one is again. */
void upgrade_arrived(struct init *init);
