/* The control socket with a launcher that is made up: the manager is the real one, its kernel and
 * its clock are not; clients are real sockets. For one test at a time.
 *
 *   begin();                                   services a, b which needs a, and web
 *   AUTO_CLOSE int fd = dial();
 *   CHECK_VALUE(ask(fd, list_call()), "parameters/services/0/name", "a");
 *   end();
 */
#pragma once

#include "fake-kernel.h"
#include "test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "service-launcher/control.h"

#define INTERFACE "org.conit.Launcher."

extern struct fake fake;
extern struct launcher launcher;

/* What the launcher was asked for last. */
extern enum shut_down asked_how;
extern bool asked_force, reload_dry, reload_start;
extern bool reply_was_sent; /* to watched_client, when the machine was told to end */
extern int watched_client;
extern bool switches_read_again;
extern size_t finished_entries; /* of a report by which a reload was finished */
extern int upgrade_result;      /* what launcher_upgrade() returns */
extern char upgrade_asked_id[64];
extern int sent_signal, sent_to_all; /* to a service */

void begin(void);
void end(void);

/* The launcher is killed, and another takes up what it was asked; clients lose their connection.
 * Services, and what the manager wants of them, stay as they are. */
void begin_again(void);

/* The two halves of that. The second one returns 0, or -errno: then it may be tried once more. */
void kill_launcher(void);
int take_up(void);

/* Lets the services come to where they are going. */
void run_services(void);

/* A service's main process ends with 3. */
void fail_service(const char *name);

/* A new client; the caller closes it. */
int dial(void);

/* So many turns of the launcher's loop, without waiting. */
void turns(int count);

void put(int fd, const char *text);

/* The next message to that client, the loop turning meanwhile; "EOF" when it is hung up. Nothing
 * else ends the wait: a message that does not come hangs the test, which has its time limit. Valid
 * until the next call. */
const char *get(int fd);

/* put(), then get(). */
const char *ask(int fd, const char *call);
bool has_data(int fd);

/* A call's text, valid until the next; `parameters` and `flags` may be "". */
const char *call_of(const char *method, const char *parameters, const char *flags);
const char *list_call(void);

/* A value inside a reply by a path of keys and indices, as text, valid until the next call. */
const char *value_at(const char *reply, const char *path);
#define CHECK_VALUE(reply, path, expected) CHECK_TEXT(value_at(reply, path), expected)

/* A client comes, is served, and goes: the launcher is well. */
void check_served(void);
