/* Reasons in words: each code, and what fills its words. */
#include "base/text.h"
#include "fake-kernel.h"
#include "service/env-file.h"
#include "test.h"

#include <errno.h>
#include <signal.h>

static struct fake fake;
static struct service *web, *db;
static struct definition definition;

static void begin(void)
{
    fake_init(&fake);
    web = fake_add(&fake, "web", TYPE_DAEMON);
    db = fake_add(&fake, "db", TYPE_DAEMON);
    definition = (struct definition){0};
    web->definition = &definition;
}

static const char *words_of(struct reason reason)
{
    static char storage[400];
    struct text text;
    text_init(&text, storage, sizeof storage);
    service_reason_words(&fake.manager, web, &reason, &text);
    return storage;
}

static void set_body(bool ready_met, struct reason cause)
{
    struct service_body body;
    manager_edit(&fake.manager, web, &body);
    body.ready_met = ready_met;
    body.cause = cause;
    manager_commit(&fake.manager, web, &body);
}

#define DB     0x1000 /* stands for the slot of db */
#define BEYOND 0x2000 /* for one beyond all slots */
#define FREE   0x3000 /* for one that is free */

TEST(each_reason_has_its_words)
{
    static const struct {
        struct reason reason;
        const char *words;
    } rows[] = {
        {{REASON_NONE}, ""},
        {{REASON_NEED_FAILED, 0, DB, 0}, "needs db, which failed"},
        {{REASON_NEED_FAILED, 0, BEYOND, 0}, "needs a service that is gone, which failed"},
        {{REASON_NEED_STOPPED, 0, FREE, 0}, "needs a service that is gone, which was stopped"},
        {{REASON_NEED_STOPPED, 0, DB, 0}, "needs db, which was stopped"},
        {{REASON_NEED_DONE, 0, DB, 0}, "needs db, which has ended"},
        {{REASON_NEED_BROKEN, 0, DB, 0}, "needs db, whose file does not load"},
        {{REASON_NEED_RESTARTED, 0, DB, 0}, "needs db, which is being restarted"},
        {{REASON_NEED_BLOCKED, 0, DB, 0}, "needs db, which is going down"},
        {{REASON_CONFLICT, 0, DB, 0}, "conflicts with db"},
        {{REASON_WAITS_FOR, 0, DB, 0}, "waits for db"},
        {{REASON_WAITS_TO_END, 0, DB, 0}, "waits for db to stop first"},
        {{REASON_STOPPED}, "was asked to stop"},
        {{REASON_RESTARTING}, "is being restarted"},
        {{REASON_SHUT_DOWN}, "the system is going down"},
        {{REASON_EXITED, 0, 0, 3}, "exited with 3"},
        {{REASON_EXIT_UNKNOWN}, "ended, and nobody can say how"},
        {{REASON_SIGNALED, 0, 0, SIGKILL}, "ended by SIGKILL"},
        {{REASON_START_TIME_OUT, 0, 0, 1500}, "was not ready after 1500 ms"},
        {{REASON_STOP_TIME_OUT, 0, 0, 10000}, "did not stop within 10 s and was killed"},
        {{REASON_HOOK_FAILED, 0, 0, 2}, "before-start number 2 failed"},
        {{REASON_HOOK_STEP, STEP_CLONE, 0, EAGAIN},
         "before-start: cannot make a process: Resource temporarily unavailable"},
        {{REASON_RELOAD_EXITED, 0, 0, 1}, "its reload command exited with 1"},
        {{REASON_RELOAD_SIGNALED, 0, 0, SIGHUP}, "its reload command was ended by SIGHUP"},
        {{REASON_RELOAD_STEP, STEP_EXECUTE, 0, EACCES},
         "its reload command could not be run: cannot execute its program: Permission denied"},
        {{REASON_RELOAD_TIME_OUT, 0, 0, 90000},
         "its reload command was not done after 90 s and was killed"},
        {{REASON_RELOAD_NOT_READY, 0, 0, 90000},
         "was asked to reload, and did not say READY=1 within 90 s"},
        {{REASON_NOTHING_LEFT}, "its first process ended and left nothing running"},
        {{REASON_TRIGGER}, "has set off its watchdog itself (WATCHDOG=trigger)"},
        {{REASON_RELOAD_UNKNOWN},
         "whether it was sent the signal of its reload is not known: the "
         "launcher was killed in the middle of that"},
        {{REASON_WATCHDOG, 0, 0, 500}, "did not report to its watchdog for 500 ms"},
        {{REASON_CODES}, ""},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reason reason = rows[i].reason;
        reason.service = reason.service == DB       ? db->slot
                         : reason.service == BEYOND ? FAKE_SLOTS
                                                    : FAKE_SLOTS - 1;
        CHECK_TEXT(words_of(reason), rows[i].words);
    }
    fake_finish(&fake);
}

TEST(a_need_that_is_missing_is_named)
{
    begin();
    CHECK_TEXT(words_of((struct reason){REASON_NEED_MISSING}),
               "needs a service, and no service has that name");
    web->missing_need = "nobody";
    CHECK_TEXT(words_of((struct reason){REASON_NEED_MISSING}),
               "needs nobody, and no service has that name");
    fake_finish(&fake);
}

TEST(what_does_not_load_or_is_in_a_cycle_says_so)
{
    begin();
    CHECK_TEXT(words_of((struct reason){REASON_BROKEN}), "its file does not load");
    web->cycle = "in a cycle: web, web";
    CHECK_TEXT(words_of((struct reason){REASON_CYCLE}), "in a cycle: web, web");
    web->errors = "web.yml:1:1: bad";
    CHECK_TEXT(words_of((struct reason){REASON_BROKEN}), "web.yml:1:1: bad");
    fake_finish(&fake);
}

TEST(a_limit_says_how_the_last_run_ended)
{
    begin();
    CHECK_TEXT(words_of((struct reason){REASON_LIMIT, 0, 0, 1}),
               "ended again after 1 restart in a row");
    set_body(false, (struct reason){REASON_SIGNALED, 0, 0, SIGSEGV});
    CHECK_TEXT(words_of((struct reason){REASON_LIMIT, 0, 0, 2}),
               "ended again after 2 restarts in a row: ended by SIGSEGV");
    set_body(false, (struct reason){REASON_LIMIT, 0, 0, 2}); /* of a record that is no good */
    CHECK_TEXT(words_of((struct reason){REASON_LIMIT, 0, 0, 2}),
               "ended again after 2 restarts in a row");
    fake_finish(&fake);
}

static void set_end(enum service_state state, enum exit_kind kind, struct reason reason)
{
    struct service_body body;
    manager_edit(&fake.manager, web, &body);
    body.state = (uint8_t)state;
    body.exit_kind = (uint8_t)kind;
    body.exit_value = 0;
    body.reason = reason;
    manager_commit(&fake.manager, web, &body);
}

static const char *shown(void)
{
    static char storage[400];
    struct text text;
    text_init(&text, storage, sizeof storage);
    service_reason(&fake.manager, web, &text);
    return storage;
}

TEST(what_it_said_last_of_itself_stands_behind_how_it_ended)
{
    const struct reason none = {REASON_NONE};
    begin();
    set_end(STATE_DONE, EXIT_CODE, none);
    CHECK_TEXT(shown(), "");
    text_format(fake.manager.records[web->slot].status, STATUS_BYTES, "powered off");
    CHECK_TEXT(shown(), "exited with 0: powered off");
    set_end(STATE_BACKING_OFF, EXIT_CODE, none);
    CHECK_TEXT(shown(), "exited with 0: powered off");
    set_end(STATE_DONE, EXIT_NONE, none);
    CHECK_TEXT(shown(), "");
    set_end(STATE_RUNNING, EXIT_CODE, none);
    CHECK_TEXT(shown(), "");
    set_end(STATE_FAILED, EXIT_CODE, (struct reason){REASON_EXITED, 0, 0, 3});
    CHECK_TEXT(shown(), "exited with 3: powered off");
    CHECK_TEXT(words_of((struct reason){REASON_SIGNALED, 0, 0, SIGKILL}),
               "ended by SIGKILL: powered off");
    CHECK_TEXT(words_of((struct reason){REASON_EXIT_UNKNOWN}),
               "ended, and nobody can say how: powered off");
    CHECK_TEXT(words_of((struct reason){REASON_STOPPED}), "was asked to stop");
    set_body(false, (struct reason){REASON_EXITED, 0, 0, 3});
    CHECK_TEXT(words_of((struct reason){REASON_LIMIT, 0, 0, 1}),
               "ended again after 1 restart in a row: exited with 3: powered off");
    fake_finish(&fake);
}

/* ---- steps of a start ----------------------------------------------------------------------- */

#define NOT_THERE ": it, or the interpreter that its first line names, is not there"

TEST(a_step_that_failed_names_what_it_was_about)
{
    static char *const here[] = {(char *)"/bin/x", NULL}, *const in_path[] = {(char *)"x", NULL};
    static const struct {
        struct definition definition;
        enum start_step step;
        int error;
        const char *words;
    } rows[] = {
        {{.argv = (argv_t)here},
         STEP_EXECUTE,
         EACCES,
         "cannot execute its program: Permission denied (/bin/x)"},
        {{.argv = (argv_t)here},
         STEP_EXECUTE,
         ENOENT,
         "cannot execute its program: No such file or directory (/bin/x)" NOT_THERE},
        {{.argv = (argv_t)here, .root = "/srv"},
         STEP_EXECUTE,
         ENOENT,
         "cannot execute its program: No such file or directory (/bin/x)" NOT_THERE
         ", looked for in its root /srv"},
        {{.argv = (argv_t)in_path},
         STEP_EXECUTE,
         ENOENT,
         "cannot execute its program: No such file or directory (x): it is in no folder of PATH"},
        {{.type = TYPE_TARGET},
         STEP_EXECUTE,
         ENOENT,
         "cannot execute its program: No such file or directory"},
        {{.env_file = "/etc/x"},
         STEP_ENV_FILE,
         ENOENT,
         "cannot read its env-file: No such file or directory (/etc/x)"},
        {{.env_file = "/etc/x"},
         STEP_ENV_FILE,
         EINVAL,
         "cannot read its env-file: Invalid argument (/etc/x): it is no regular file"},
        {{.env_file = "/etc/x"},
         STEP_ENV_FILE,
         EFBIG,
         "cannot read its env-file: File too large (/etc/x): it has more than 256 KiB"},
        {{.stdin_path = "/dev/x"},
         STEP_STDIN,
         ENXIO,
         "cannot open its stdin: No such device or address (/dev/x)"},
        {{.tty = "/dev/tty1"},
         STEP_TTY,
         EIO,
         "cannot open its tty: Input/output error (/dev/tty1)"},
        {{.tty = "/dev/tty1"},
         STEP_CONTROL_TTY,
         EPERM,
         "cannot make its tty the controlling one: Operation not permitted (/dev/tty1): another "
         "session has it"},
        {{.root = "/srv"},
         STEP_ROOT,
         ENOENT,
         "cannot change its root: No such file or directory (/srv)"},
        {{.dir = "/srv"},
         STEP_DIR,
         ENOENT,
         "cannot enter its dir: No such file or directory (/srv)"},
        {{0},
         STEP_CPUS,
         EINVAL,
         "cannot set its cpus: Invalid argument: this machine has none of them, or it may not use "
         "them"},
        {{0}, STEP_CPUS, EPERM, "cannot set its cpus: Operation not permitted"},
        {{0}, STEP_NONE, ENOMEM, "start failed: Cannot allocate memory"},
        {{0}, STEPS, ENOMEM, "start failed: Cannot allocate memory"},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        definition = rows[i].definition;
        CHECK_TEXT(
            words_of((struct reason){REASON_STEP_FAILED, (uint16_t)rows[i].step, 0, rows[i].error}),
            rows[i].words);
    }
    definition = (struct definition){.argv = (argv_t)here}; /* a hook is another program */
    CHECK_TEXT(words_of((struct reason){REASON_HOOK_STEP, STEP_EXECUTE, 0, ENOENT}),
               "before-start: cannot execute its program: No such file or directory");
    web->definition = NULL;
    CHECK_TEXT(words_of((struct reason){REASON_STEP_FAILED, STEP_EXECUTE, 0, ENOENT}),
               "cannot execute its program: No such file or directory");
    fake_finish(&fake);
}

TEST(a_bad_line_of_an_env_file_is_named)
{
    const struct reason reason = {REASON_ENV_FILE, ENV_FILE_NUL, 0, 7};
    begin();
    definition.env_file = "/etc/x";
    CHECK_TEXT(words_of(reason), "/etc/x:7: holds a NUL byte: write text");
    definition.env_file = NULL; /* another file by now */
    CHECK_TEXT(words_of(reason), "env-file:7: holds a NUL byte: write text");
    web->definition = NULL;
    CHECK_TEXT(words_of(reason), "env-file:7: holds a NUL byte: write text");
    CHECK_TEXT(words_of((struct reason){REASON_ENV_FILE, ENV_FILE_PROBLEMS, 0, 7}),
               "env-file:7: cannot be read");
    fake_finish(&fake);
}

/* ---- ready ---------------------------------------------------------------------------------- */

TEST(what_is_waited_for_is_told_and_what_was_missed)
{
    static char *const probe[] = {(char *)"probe", (char *)"-q", NULL};
    static const struct {
        struct ready ready;
        const char *awaited, *missed;
    } rows[] = {
        {{.kind = READY_EXEC}, "it has started", NULL},
        {{.kind = READY_NOTIFY}, "it sends READY=1", "it did not send READY=1"},
        {{.kind = READY_FD, .fd = 5},
         "it writes a newline to descriptor 5",
         "it wrote no newline to descriptor 5"},
        {{.kind = READY_PID_FILE, .word = "/run/x"},
         "its pid is in /run/x",
         "its pid was not in /run/x"},
        {{.kind = READY_FILE, .word = "/run/x"},
         "/run/x is made or changed",
         "/run/x was not made or changed"},
        {{.kind = READY_TCP, .word = "[::1]:80"},
         "somebody accepts at [::1]:80",
         "nobody accepts at [::1]:80"},
        {{.kind = READY_LOG, .word = "up"},
         "a line of its output matches 'up'",
         "no line of its output matched 'up'"},
        {{.kind = READY_COMMAND, .command = (argv_t)probe},
         "'probe' ends with 0",
         "'probe' did not end with 0"},
    };
    char words[200];
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        definition.ready = rows[i].ready;
        text_format(words, sizeof words, "waits until %s", rows[i].awaited);
        CHECK_TEXT(words_of((struct reason){REASON_NOT_READY}), words);
        text_format(words, sizeof words, "was not ready after 90 s%s%s", rows[i].missed ? ": " : "",
                    rows[i].missed ? rows[i].missed : "");
        CHECK_TEXT(words_of((struct reason){REASON_READY_TIME_OUT, 0, 0, 90000}), words);
    }
    web->definition = NULL;
    CHECK_TEXT(words_of((struct reason){REASON_NOT_READY}), "waits until ");
    CHECK_TEXT(words_of((struct reason){REASON_READY_TIME_OUT, 0, 0, 90000}),
               "was not ready after 90 s");
    fake_finish(&fake);
}

TEST(of_one_that_goes_to_the_background_the_main_process_is_waited_for)
{
    static const struct {
        struct forks forks;
        const char *awaited, *missed;
    } rows[] = {
        {{NULL, NULL}, "", ": one that stays in the foreground is a daemon"},
        {{"/run/x", NULL}, " and its pid is in /run/x", ", or no process of it was in /run/x"},
        {{NULL, "x"}, " and one is called x", ", or none of it was called x"},
    };
    char words[200];
    begin();
    definition.type = TYPE_FORKING;
    CHECK_TEXT(words_of((struct reason){REASON_NOT_READY}), "waits until it has started");
    set_body(true, (struct reason){0});
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        definition.forks = rows[i].forks;
        text_format(words, sizeof words, "waits until its first process has ended with 0%s",
                    rows[i].awaited);
        CHECK_TEXT(words_of((struct reason){REASON_NOT_READY}), words);
        text_format(words, sizeof words,
                    "was not ready after 2 s: its first process did not end with 0%s",
                    rows[i].missed);
        CHECK_TEXT(words_of((struct reason){REASON_READY_TIME_OUT, 0, 0, 2000}), words);
    }
    definition.type = TYPE_DAEMON;
    CHECK_TEXT(words_of((struct reason){REASON_NOT_READY}), "waits until it has started");
    fake_finish(&fake);
}

/* ---- conditions ----------------------------------------------------------------------------- */

TEST(a_condition_is_told_as_the_file_has_it)
{
    static struct condition when[] = {{.kind = WHEN_EXISTS, .word = "/x"},
                                      {.kind = WHEN_KERNEL_ARG, .negated = true, .word = "single"}};
    begin();
    definition.when = when;
    definition.when_count = 2;
    CHECK_TEXT(words_of((struct reason){REASON_WHEN, 0, 0, 0}), "not met: exists: /x");
    CHECK_TEXT(words_of((struct reason){REASON_WHEN_ASKED, 0, 0, 1}),
               "waits for an answer from the disk: not kernel-arg: single");
    CHECK_TEXT(words_of((struct reason){REASON_WHEN_TIME_OUT, 0, 0, 0}),
               "no answer came from the disk in time: exists: /x");
    CHECK_TEXT(words_of((struct reason){REASON_WHEN, 0, 0, 2}), ""); /* the file has changed */
    CHECK_TEXT(words_of((struct reason){REASON_WHEN, 0, 0, -1}), "");
    web->definition = NULL;
    CHECK_TEXT(words_of((struct reason){REASON_WHEN, 0, 0, 0}), "");
    fake_finish(&fake);
}
