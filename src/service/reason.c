/* Reasons in words. One row a code: `%s` is the other service, `%d` the number. */
#include "base/signals.h"
#include "service/env-file.h"
#include "service/manager.h"

#include <errno.h>
#include <string.h>

enum reason_kind {
    WORDS,
    OTHER,
    NUMBER_ONLY,
    TIMES,
    MS,
    SIGNAL,
    STEP,
    NAME_OF_NEED,
    CONDITION,
    ERRORS,
    ENV_FILE,
    NOT_READY,
    LATE
};

static const struct {
    enum reason_kind kind;
    const char *words;
} reasons[REASON_CODES] = {
    [REASON_NONE] = {WORDS, ""},
    [REASON_NEED_FAILED] = {OTHER, "needs %s, which failed"},
    [REASON_NEED_STOPPED] = {OTHER, "needs %s, which was stopped"},
    [REASON_NEED_DONE] = {OTHER, "needs %s, which has ended"},
    [REASON_NEED_BROKEN] = {OTHER, "needs %s, whose file does not load"},
    [REASON_NEED_RESTARTED] = {OTHER, "needs %s, which is being restarted"},
    [REASON_NEED_BLOCKED] = {OTHER, "needs %s, which is going down"},
    [REASON_NEED_MISSING] = {NAME_OF_NEED, "needs %s, and no service has that name"},
    [REASON_CONFLICT] = {OTHER, "conflicts with %s"},
    [REASON_WAITS_FOR] = {OTHER, "waits for %s"},
    [REASON_WAITS_TO_END] = {OTHER, "waits for %s to stop first"},
    [REASON_STOPPED] = {WORDS, "was asked to stop"},
    [REASON_RESTARTING] = {WORDS, "is being restarted"},
    [REASON_SHUT_DOWN] = {WORDS, "the system is going down"},
    [REASON_EXITED] = {NUMBER_ONLY, "exited with %d"},
    [REASON_EXIT_UNKNOWN] = {WORDS, "ended, and nobody can say how"},
    [REASON_SIGNALED] = {SIGNAL, "ended by %s"},
    [REASON_START_TIME_OUT] = {MS, "was not ready after %s"},
    [REASON_STOP_TIME_OUT] = {MS, "did not stop within %s and was killed"},
    [REASON_STEP_FAILED] = {STEP, "%s: %s"},
    [REASON_HOOK_FAILED] = {NUMBER_ONLY, "before-start number %d failed"},
    [REASON_LIMIT] = {TIMES, "ended again after %s in a row"},
    [REASON_WHEN] = {CONDITION, "%s"},
    [REASON_BROKEN] = {ERRORS, ""},
    [REASON_CYCLE] = {ERRORS, ""},
    [REASON_HOOK_STEP] = {STEP, "before-start: %s: %s"},
    [REASON_ENV_FILE] = {ENV_FILE, "%s:%d: %s"},
    [REASON_RELOAD_EXITED] = {NUMBER_ONLY, "its reload command exited with %d"},
    [REASON_RELOAD_SIGNALED] = {SIGNAL, "its reload command was ended by %s"},
    [REASON_RELOAD_STEP] = {STEP, "its reload command could not be run: %s: %s"},
    [REASON_RELOAD_TIME_OUT] = {MS, "its reload command was not done after %s and was killed"},
    [REASON_NOTHING_LEFT] = {WORDS, "its first process ended and left nothing running"},
    [REASON_NOT_READY] = {NOT_READY, "waits until "},
    [REASON_READY_TIME_OUT] = {LATE, "was not ready after %s"},
    [REASON_WATCHDOG] = {MS, "did not report to its watchdog for %s"},
};

static void add_ms(struct text *text, uint32_t ms)
{
    if (ms % 1000)
        text_printf(text, "%u ms", ms);
    else
        text_printf(text, "%u s", ms / 1000);
}

static void add_condition(struct text *text, const struct service *service, int32_t index)
{
    const struct definition *definition = service->definition;
    if (!definition || index < 0 || (size_t)index >= definition->when_count)
        return;
    const struct condition *condition = &definition->when[index];
    text_printf(text, "not met: %s%s: %s", condition->negated ? "not " : "",
                condition_names[condition->kind], condition->word);
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
    {STEP_LIMITS, EPERM, "above what the launcher has it needs CAP_SYS_RESOURCE"},
    {STEP_ROOT, EPERM, "the launcher lacks CAP_SYS_CHROOT"},
    {STEP_CONTROL_TTY, ENOTTY, "it is no terminal"},
    {STEP_CONTROL_TTY, EPERM, "another session has it"},
};

static void add_step_detail(struct text *text, const struct reason *reason,
                            const struct definition *definition)
{
    const char *subject = definition ? step_subject(reason, definition) : NULL;
    if (subject)
        text_printf(text, " (%s)", subject);
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

void service_reason(const struct manager *manager, const struct service *service, struct text *text)
{
    service_reason_words(manager, service, &service_body(manager, service)->reason, text);
}

void service_reason_words(const struct manager *manager, const struct service *service,
                          const struct reason *reason, struct text *text)
{
    size_t rows = sizeof reasons / sizeof *reasons;
    const char *other = "a service that is gone", *words;
    char storage[32];
    struct text value;

    if (reason->code >= rows)
        return;
    if (reason->service < manager->slots && manager->records[reason->service].name[0])
        other = manager->records[reason->service].name;
    words = reasons[reason->code].words;
    text_init(&value, storage, sizeof storage);
/* The formats are this file's own rows. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    switch (reasons[reason->code].kind) {
    case WORDS:
        text_add(text, words);
        break;
    case OTHER:
        text_printf(text, words, other);
        break;
    case NUMBER_ONLY:
        text_printf(text, words, (int)reason->number);
        break;
    case TIMES:
        text_printf(&value, "%d restart%s", (int)reason->number, reason->number == 1 ? "" : "s");
        text_printf(text, words, value.data);
        break;
    case MS:
        add_ms(&value, (uint32_t)reason->number);
        text_printf(text, words, value.data);
        break;
    case NOT_READY:
        text_add(text, words);
        if (is_unknown_fork(manager, service))
            add_fork(text, service->definition, false);
        else
            add_ready(text, service, false);
        break;
    case LATE:
        add_ms(&value, (uint32_t)reason->number);
        text_printf(text, words, value.data);
        if (service->definition && service->definition->ready.kind != READY_EXEC) {
            text_add(text, ": ");
            add_ready(text, service, true);
        } else if (service->definition && service->definition->type == TYPE_FORKING) {
            text_add(text, ": ");
            add_fork(text, service->definition, true);
        }
        break;
    case SIGNAL:
        signals_format(reason->number, &value);
        text_printf(text, words, value.data);
        break;
    case STEP:
        text_printf(text, words, service_step_words(reason->step), strerror(reason->number));
        add_step_detail(text, reason, service->definition);
        break;
    case ENV_FILE:
        text_printf(text, words, env_file_of(service), (int)reason->number,
                    env_file_words(reason->step));
        break;
    case NAME_OF_NEED:
        text_printf(text, words, service->missing_need ? service->missing_need : "a service");
        break;
    case CONDITION:
        add_condition(text, service, reason->number);
        break;
    case ERRORS:
        text_add(text, service->errors  ? service->errors
                       : service->cycle ? service->cycle
                                        : "its file does not load");
        break;
    }
#pragma GCC diagnostic pop
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
