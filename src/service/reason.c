/* Reasons in words. One row a code: `%s` is the other service, `%d` the number. */
#include "base/signals.h"
#include "service/env-file.h"
#include "service/manager.h"

#include <errno.h>
#include <string.h>

/* One reason that is put into words: the row's words and what fills them. */
struct telling {
    const struct manager *manager;
    const struct service *service;
    const struct reason *reason;
    const char *words;
    struct text *text;
};

typedef void add_words(const struct telling *telling);

static add_words add_plain, add_other, add_number, add_limit, add_time, add_signal, add_step,
    add_missing_need, add_condition, add_errors, add_env_file, add_awaited, add_late, add_exited,
    add_ended_by, add_unknown_end;

static const struct {
    add_words *add;
    const char *words;
} reasons[REASON_CODES] = {
    [REASON_NONE] = {add_plain, ""},
    [REASON_NEED_FAILED] = {add_other, "needs %s, which failed"},
    [REASON_NEED_STOPPED] = {add_other, "needs %s, which was stopped"},
    [REASON_NEED_DONE] = {add_other, "needs %s, which has ended"},
    [REASON_NEED_BROKEN] = {add_other, "needs %s, whose file does not load"},
    [REASON_NEED_RESTARTED] = {add_other, "needs %s, which is being restarted"},
    [REASON_NEED_BLOCKED] = {add_other, "needs %s, which is going down"},
    [REASON_NEED_MISSING] = {add_missing_need, "needs %s, and no service has that name"},
    [REASON_CONFLICT] = {add_other, "conflicts with %s"},
    [REASON_WAITS_FOR] = {add_other, "waits for %s"},
    [REASON_WAITS_TO_END] = {add_other, "waits for %s to stop first"},
    [REASON_STOPPED] = {add_plain, "was asked to stop"},
    [REASON_RESTARTING] = {add_plain, "is being restarted"},
    [REASON_SHUT_DOWN] = {add_plain, "the system is going down"},
    [REASON_EXITED] = {add_exited, "exited with %d"},
    [REASON_EXIT_UNKNOWN] = {add_unknown_end, "ended, and nobody can say how"},
    [REASON_SIGNALED] = {add_ended_by, "ended by %s"},
    [REASON_START_TIME_OUT] = {add_time, "was not ready after %s"},
    [REASON_STOP_TIME_OUT] = {add_time, "did not stop within %s and was killed"},
    [REASON_STEP_FAILED] = {add_step, "%s: %s"},
    [REASON_HOOK_FAILED] = {add_number, "before-start number %d failed"},
    [REASON_LIMIT] = {add_limit, "ended again after %s in a row"},
    [REASON_WHEN] = {add_condition, "not met: "},
    [REASON_BROKEN] = {add_errors, ""},
    [REASON_CYCLE] = {add_errors, ""},
    [REASON_HOOK_STEP] = {add_step, "before-start: %s: %s"},
    [REASON_ENV_FILE] = {add_env_file, "%s:%d: %s"},
    [REASON_RELOAD_EXITED] = {add_number, "its reload command exited with %d"},
    [REASON_RELOAD_SIGNALED] = {add_signal, "its reload command was ended by %s"},
    [REASON_RELOAD_STEP] = {add_step, "its reload command could not be run: %s: %s"},
    [REASON_RELOAD_TIME_OUT] = {add_time,
                                "its reload command was not done after %s and was killed"},
    [REASON_RELOAD_NOT_READY] = {add_time,
                                 "was asked to reload, and did not say READY=1 within %s"},
    [REASON_NOTHING_LEFT] = {add_plain, "its first process ended and left nothing running"},
    [REASON_NOT_READY] = {add_awaited, "waits until "},
    [REASON_READY_TIME_OUT] = {add_late, "was not ready after %s"},
    [REASON_TRIGGER] = {add_plain, "has set off its watchdog itself (WATCHDOG=trigger)"},
    [REASON_WHEN_ASKED] = {add_condition, "waits for an answer from the disk: "},
    [REASON_WHEN_TIME_OUT] = {add_condition, "no answer came from the disk in time: "},
    [REASON_RELOAD_UNKNOWN] = {add_plain,
                               "whether it was sent the signal of its reload is not known: "
                               "the launcher was killed in the middle of that"},
    [REASON_WATCHDOG] = {add_time, "did not report to its watchdog for %s"},
};

static void add_ms(struct text *text, uint32_t ms)
{
    if (ms % 1000)
        text_printf(text, "%u ms", ms);
    else
        text_printf(text, "%u s", ms / 1000);
}

/* What a step was about, as the file has it. */
static const char *step_subject(const struct reason *reason, const struct definition *definition)
{
    switch (reason->step) {
    case STEP_EXECUTE: /* a hook's program is another */
        return reason->code == REASON_STEP_FAILED && definition->argv ? definition->argv[0] : NULL;
    case STEP_ENV_FILE:
        return definition->env_file;
    case STEP_STDIN:
        return definition->stdin_path;
    case STEP_TTY:
    case STEP_CONTROL_TTY:
        return definition->tty;
    case STEP_ROOT:
        return definition->root;
    case STEP_DIR:
        return definition->dir;
    default:
        return NULL;
    }
}

/* What an error of a step means where its own words do not tell. */
static const struct {
    enum start_step step;
    int error;
    const char *words;
} step_hints[] = {
    {STEP_ENV_FILE, EINVAL, "it is no regular file"},
    {STEP_ENV_FILE, EFBIG, "it has more than 256 KiB"},
    {STEP_CPUS, EINVAL, "this machine has none of them, or it may not use them"},
    {STEP_SCHED, EPERM, "the launcher lacks CAP_SYS_NICE"},
    {STEP_NICE, EACCES, "the launcher lacks CAP_SYS_NICE"},
    {STEP_IO, EPERM, "the launcher lacks CAP_SYS_NICE"},
    {STEP_OOM_SCORE_ADJ, EACCES, "below what the launcher has it needs CAP_SYS_RESOURCE"},
    {STEP_LIMITS, EPERM,
     "above what the launcher has it needs CAP_SYS_RESOURCE, and nofile is at most what "
     "/proc/sys/fs/nr_open says"},
    {STEP_ROOT, EPERM, "the launcher lacks CAP_SYS_CHROOT"},
    {STEP_CONTROL_TTY, ENOTTY, "it is no terminal"},
    {STEP_CONTROL_TTY, EPERM, "another session has it"},
};

/* "No such file" is said of a script too whose interpreter is not there, and of a program that is
 * there outside of the service's root. */
static void add_where_it_was_looked_for(struct text *text, const char *program,
                                        const struct definition *definition)
{
    text_add(text, strchr(program, '/')
                       ? ": it, or the interpreter that its first line names, is not there"
                       : ": it is in no folder of PATH");
    if (definition->root)
        text_printf(text, ", looked for in its root %s", definition->root);
}

static void add_step_detail(struct text *text, const struct reason *reason,
                            const struct definition *definition)
{
    const char *subject = definition ? step_subject(reason, definition) : NULL;
    if (subject)
        text_printf(text, " (%s)", subject);
    if (subject && reason->step == STEP_EXECUTE && reason->number == ENOENT)
        add_where_it_was_looked_for(text, subject, definition);
    for (size_t i = 0; i < sizeof step_hints / sizeof *step_hints; i++)
        if (step_hints[i].step == reason->step && step_hints[i].error == reason->number)
            text_printf(text, ": %s", step_hints[i].words);
}

static const char *env_file_of(const struct service *service)
{
    const struct definition *definition = service->definition;
    return definition && definition->env_file ? definition->env_file : "env-file";
}

/* What a service that is not ready is waited for, and what is said when it was in vain. %s is the
 * value of `ready`. */
static const struct {
    const char *awaited, *missed;
} ready_words[READY_KINDS] = {
    [READY_EXEC] = {"it has started", "its main process is not known"},
    [READY_NOTIFY] = {"it sends READY=1", "it did not send READY=1"},
    [READY_FD] = {"it writes a newline to descriptor %s", "it wrote no newline to descriptor %s"},
    [READY_PID_FILE] = {"its pid is in %s", "its pid was not in %s"},
    [READY_FILE] = {"%s is made or changed", "%s was not made or changed"},
    [READY_TCP] = {"somebody accepts at %s", "nobody accepts at %s"},
    [READY_UNIX] = {"somebody accepts at %s", "nobody accepts at %s"},
    [READY_LOG] = {"a line of its output matches '%s'", "no line of its output matched '%s'"},
    [READY_COMMAND] = {"'%s' ends with 0", "'%s' did not end with 0"},
};

static void add_ready(struct text *text, const struct service *service, bool missed)
{
    const struct definition *definition = service->definition;
    if (!definition)
        return;
    const struct ready *ready = &definition->ready;
    const char *words = missed ? ready_words[ready->kind].missed : ready_words[ready->kind].awaited;
    const char *place = strstr(words, "%s");
    text_add_bytes(text, words, place ? (size_t)(place - words) : strlen(words));
    if (!place)
        return;
    if (ready->kind == READY_FD)
        text_add_signed(text, ready->fd);
    else
        text_add(text, ready->kind == READY_COMMAND ? ready->command[0] : ready->word);
    text_add(text, place + 2);
}

/* Whether it is ready but for its main process, which is not known. */
static bool is_unknown_fork(const struct manager *manager, const struct service *service)
{
    return service->definition && service->definition->type == TYPE_FORKING &&
           service_body(manager, service)->ready_met;
}

/* What is awaited of one that goes to the background, or was missed. */
static void add_fork(struct text *text, const struct definition *definition, bool missed)
{
    const struct forks *forks = &definition->forks;

    text_add(text, missed ? "its first process did not end with 0"
                          : "its first process has ended with 0");
    if (forks->pid_file)
        text_printf(text, missed ? ", or no process of it was in %s" : " and its pid is in %s",
                    forks->pid_file);
    else if (forks->main)
        text_printf(text, missed ? ", or none of it was called %s" : " and one is called %s",
                    forks->main);
    else if (missed)
        text_add(text, ": one that stays in the foreground is a daemon");
}

/* What it said last of itself (STATUS= of sd_notify(3)); "": nothing in this run. */
static const char *last_words(const struct manager *manager, const struct service *service)
{
    return manager->records[service->slot].status;
}

/* An end with 0 by itself needs no reason, unless it has said something that may be one. */
static bool is_end_with_words(const struct manager *manager, const struct service *service)
{
    const struct service_body *body = service_body(manager, service);
    return (body->state == STATE_DONE || body->state == STATE_BACKING_OFF) &&
           body->exit_kind == EXIT_CODE && *last_words(manager, service);
}

void service_reason(const struct manager *manager, const struct service *service, struct text *text)
{
    const struct service_body *body = service_body(manager, service);
    struct reason reason = body->reason;
    if (reason.code == REASON_NONE && is_end_with_words(manager, service))
        reason = (struct reason){
            .code = REASON_EXITED, .service = SLOT_NONE, .number = body->exit_value};
    service_reason_words(manager, service, &reason, text);
}

/* The formats are this file's own rows. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void add_plain(const struct telling *telling)
{
    text_add(telling->text, telling->words);
}

static void add_other(const struct telling *telling)
{
    const struct manager *manager = telling->manager;
    uint32_t slot = telling->reason->service;
    bool there = slot < manager->slots && manager->records[slot].name[0];
    text_printf(telling->text, telling->words,
                there ? manager->records[slot].name : "a service that is gone");
}

static void add_number(const struct telling *telling)
{
    text_printf(telling->text, telling->words, (int)telling->reason->number);
}

static void add_times(const struct telling *telling)
{
    int times = (int)telling->reason->number;
    char storage[32];
    text_format(storage, sizeof storage, "%d restart%s", times, times == 1 ? "" : "s");
    text_printf(telling->text, telling->words, storage);
}

/* With how the last of its runs ended. */
static void add_limit(const struct telling *telling)
{
    const struct reason *cause = &service_body(telling->manager, telling->service)->cause;
    add_times(telling);
    if (cause->code == REASON_NONE || cause->code == REASON_LIMIT)
        return;
    text_add(telling->text, ": ");
    service_reason_words(telling->manager, telling->service, cause, telling->text);
}

static void add_time(const struct telling *telling)
{
    char storage[32];
    struct text value;
    text_init(&value, storage, sizeof storage);
    add_ms(&value, (uint32_t)telling->reason->number);
    text_printf(telling->text, telling->words, storage);
}

static void add_awaited(const struct telling *telling)
{
    text_add(telling->text, telling->words);
    if (is_unknown_fork(telling->manager, telling->service))
        add_fork(telling->text, telling->service->definition, false);
    else
        add_ready(telling->text, telling->service, false);
}

static void add_late(const struct telling *telling)
{
    const struct definition *definition = telling->service->definition;
    add_time(telling);
    if (definition && definition->ready.kind != READY_EXEC) {
        text_add(telling->text, ": ");
        add_ready(telling->text, telling->service, true);
    } else if (definition && definition->type == TYPE_FORKING) {
        text_add(telling->text, ": ");
        add_fork(telling->text, definition, true);
    }
}

static void add_signal(const struct telling *telling)
{
    char storage[32];
    struct text value;
    text_init(&value, storage, sizeof storage);
    signals_format(telling->reason->number, &value);
    text_printf(telling->text, telling->words, storage);
}

/* Behind how a run ended. */
static void add_last_words(const struct telling *telling)
{
    const char *words = last_words(telling->manager, telling->service);
    if (*words)
        text_printf(telling->text, ": %s", words);
}

static void add_exited(const struct telling *telling)
{
    add_number(telling);
    add_last_words(telling);
}

static void add_ended_by(const struct telling *telling)
{
    add_signal(telling);
    add_last_words(telling);
}

static void add_unknown_end(const struct telling *telling)
{
    add_plain(telling);
    add_last_words(telling);
}

static void add_step(const struct telling *telling)
{
    const struct reason *reason = telling->reason;
    text_printf(telling->text, telling->words, service_step_words(reason->step),
                strerror(reason->number));
    add_step_detail(telling->text, reason, telling->service->definition);
}

static void add_env_file(const struct telling *telling)
{
    text_printf(telling->text, telling->words, env_file_of(telling->service),
                (int)telling->reason->number, env_file_words(telling->reason->step));
}

static void add_missing_need(const struct telling *telling)
{
    const char *need = telling->service->missing_need;
    text_printf(telling->text, telling->words, need ? need : "a service");
}

#pragma GCC diagnostic pop

static void add_condition(const struct telling *telling)
{
    const struct definition *definition = telling->service->definition;
    int32_t index = telling->reason->number;
    if (!definition || index < 0 || (size_t)index >= definition->when_count)
        return;
    const struct condition *condition = &definition->when[index];
    text_add(telling->text, telling->words);
    text_printf(telling->text, "%s%s: %s", condition->negated ? "not " : "",
                condition_names[condition->kind], condition->word);
}

static void add_errors(const struct telling *telling)
{
    const struct service *service = telling->service;
    text_add(telling->text, service->errors  ? service->errors
                            : service->cycle ? service->cycle
                                             : "its file does not load");
}

void service_reason_words(const struct manager *manager, const struct service *service,
                          const struct reason *reason, struct text *text)
{
    if (reason->code >= sizeof reasons / sizeof *reasons)
        return;
    struct telling telling = {manager, service, reason, reasons[reason->code].words, text};
    reasons[reason->code].add(&telling);
}

const char *service_state_shown(const struct manager *manager, const struct service *service)
{
    return machine_states[service_state(manager, service)].shown;
}

static const char *const steps[STEPS] = {
    [STEP_NONE] = "start failed",
    [STEP_PIPE] = "cannot make its output pipe",
    [STEP_HAND_OVER] = "cannot hand its pipe to init and the journal",
    [STEP_CGROUP] = "cannot make its cgroup",
    [STEP_FROZEN] = "a cgroup above its own is frozen (write 0 to its cgroup.freeze)",
    [STEP_ENV_FILE] = "cannot read its env-file",
    [STEP_STDIN] = "cannot open its stdin",
    [STEP_TTY] = "cannot open its tty",
    [STEP_READY] = "cannot make what tells that it is ready",
    [STEP_CLONE] = "cannot make a process",
    [STEP_FOLLOW] = "cannot execute follow-forks",
    [STEP_DESCRIPTORS] = "cannot set up its descriptors",
    [STEP_SESSION] = "cannot make its session",
    [STEP_CONTROL_TTY] = "cannot make its tty the controlling one",
    [STEP_SCHED] = "cannot set its sched",
    [STEP_NICE] = "cannot set its nice",
    [STEP_IO] = "cannot set its io",
    [STEP_CPUS] = "cannot set its cpus",
    [STEP_OOM_SCORE_ADJ] = "cannot set its oom-score-adj",
    [STEP_LIMITS] = "cannot set its limits",
    [STEP_ROOT] = "cannot change its root",
    [STEP_GROUPS] = "cannot set its groups",
    [STEP_GROUP] = "cannot set its group",
    [STEP_USER] = "cannot set its user",
    [STEP_DIR] = "cannot enter its dir",
    [STEP_EXECUTE] = "cannot execute its program",
};

const char *service_step_words(unsigned step)
{
    return step < STEPS ? steps[step] : steps[STEP_NONE];
}
