/* Templates in force and the services made out of them. For load.c, reload.c and what belongs to
 * them.
 *
 * An instance without a file of its own comes into being when somebody names it: `needs` or `wants`
 * of a service, the system file, or a person's start. It is an ordinary service then, with a slot
 * and a record; a new launcher finds its name there and makes it again out of the text in force. */
#pragma once

#include "service-launcher/launcher.h"

#include "config/sources.h"

/* Of instances that nobody names and that have failed, are done or were skipped so many are kept
 * to be looked at; then the oldest is forgotten. */
#define INSTANCES_AT_REST_MAX 1000

/* Takes over, as copies, the templates among `list`, and the names of instances that are masked.
 * Returns 0 or -ENOMEM (nothing changed). */
int templates_put_in_force(struct launcher *launcher, const struct source *list, size_t count);

/* Logs what is wrong with a template, whatever its instances are called. */
void templates_check(const struct source *template);

/* The template of that instance in a sorted list; NULL: none, it is gone, or the instance has a
 * file of its own that masks it. With `gone` one that is kept for what runs is as good. */
const struct source *templates_find(const struct sources *sources, const char *name, bool gone);

/* Whether there are instances of the template "agetty@" that have no file of their own. */
bool templates_have_instances(const struct launcher *launcher, const char *template);

/* Gives an instance what its template in force says. */
void templates_define(struct launcher *launcher, struct service *service);

/* Gives every service of a record that has neither a definition nor errors what its template says:
 * after a crash. */
void templates_define_again(struct launcher *launcher);

/* Makes what services and the system file name, and what that names, and notes which instances are
 * named. Returns 0 or -ENOMEM. */
int templates_make_named(struct launcher *launcher);

void templates_finish(struct launcher *launcher);
