/* PID 1. main() is the boot, told in order; then the loop, which lasts as long as the machine.
 *
 * Below the marked line nothing may end this process: on a machine that is a kernel panic, in a
 * container the end of everything in it. Whatever fails there is said, and gone on from. Storage
 * is static: nothing here or below takes memory from the heap. */
#include "base/clock.h"
#include "base/list.h"
#include "init/children.h"
#include "init/container.h"
#include "init/crash.h"
#include "init/ended.h"
#include "init/execute.h"
#include "init/fault.h"
#include "init/former.h"
#include "init/held.h"
#include "init/init.h"
#include "init/lines.h"
#include "init/minimal-loop.h"
#include "init/process.h"
#include "init/processes.h"
#include "init/resume.h"
#include "init/stage1-mount.h"
#include "init/stage2-hand-over.h"
#include "init/stage2-reap.h"
#include "init/stage3-shut-down.h"
#include "init/try-init.h"
#include "init/upgrade.h"
#include "log/console.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SIGNALS_A_TURN 64
#define RETRY_MS       1000 /* between attempts to have a loop again */
#define WRONG_USAGE    2

static struct init pid1;

/* ---- before the line ----------------------------------------------------------------------- */

/* Whether the call was only a question, which has been answered. */
static bool answered(const struct options *options)
{
    if (options->help)
        options_print_help();
    else if (options->version)
        printf("init (conit) %s\n", CONIT_VERSION);
    return options->help || options->version;
}

static int refuse_to_run(const struct options *options)
{
    if (answered(options))
        return 0;
    if (options->wrong)
        fprintf(stderr, "init: %s: no such option, or no good value for it (--help lists them)\n",
                options->wrong);
    else
        fprintf(stderr,
                "init: this is no process 1, so there is nothing to be done: it is started by the "
                "kernel\n(init=… on its command line) or as the first process of a container. To "
                "try it:\n  unshare --fork --pid --mount --mount-proc --kill-child init "
                "[OPTION…]\n");
    return WRONG_USAGE;
}

/* ---- signals ------------------------------------------------------------------------------- */

static void choose_signals(struct init *init)
{
    sigemptyset(&init->signals);
    sigaddset(&init->signals, SIGCHLD);
    for (int signal = 1; signal <= 64; signal++)
        if (shut_down_of_signal(signal) != SHUT_DOWN_NONE)
            sigaddset(&init->signals, signal);
}

static void take_signal(struct init *init, int signal, pid_t sender)
{
    if (signal == SIGCHLD)
        init->reap_wanted = true;
    else
        shut_down_ask(init, signal, sender);
}

static void on_signals(struct loop_fd *source, uint32_t events)
{
    struct init *init = container_of(source, struct init, signal_source);
    struct signalfd_siginfo info;
    (void)events;
    /* One by one: those that are not read survive a fault of ours. */
    for (int i = 0; i < SIGNALS_A_TURN && read(source->fd, &info, sizeof info) == sizeof info; i++)
        take_signal(init, (int)info.ssi_signo,
                    info.ssi_code == SI_KERNEL ? 0 : (pid_t)info.ssi_pid);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static bool on_turn(void *context)
{
    struct init *init = context;
    bool more = reap_turn(init);
    upgrade_turn(init);
    CRASH_POINT("turn");
    if (fault_is_asked_for())
        fault_do_what_was_asked();
    /* What was logged in this turn goes to the journal. */
    if (init->children[CHILD_JOURNAL].kept->ready)
        hand_over_send_pending(&init->children[CHILD_JOURNAL]);
    return more;
}

/* Makes the loop, or makes it anew. The timers are in our own storage, so they go on. */
static int make_loop(struct init *init)
{
    struct loop_timer *timers = init->loop.timers;
    int failed = loop_init(&init->loop);
    if (failed)
        return failed;
    if (timers) {
        init->loop.timers = timers;
        timers->link = &init->loop.timers;
    }
    init->loop.on_turn = on_turn;
    init->loop.turn_context = init;
    if (init->signal_fd < 0)
        init->signal_fd = signalfd(-1, &init->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    failed = init->signal_fd < 0 ? -errno
                                 : loop_add(&init->loop, &init->signal_source, init->signal_fd,
                                            EPOLLIN, on_signals);
    if (failed) {
        timers = init->loop.timers;
        loop_finish(&init->loop);
        init->loop.timers = timers;
        return failed;
    }
    for (int i = 0; i < CHILDREN_ALL; i++)
        hand_over_watch(&init->children[i]);
    return 0;
}

/* One turn without a loop: signals are waited for directly, the rest is looked at each time. */
static void turn_without_loop(struct init *init)
{
    siginfo_t info;
    struct timespec limit = {RETRY_MS / 1000, RETRY_MS % 1000 * NS_PER_MS};
    int signal = sigtimedwait(&init->signals, &info, &limit);
    if (signal > 0)
        take_signal(init, signal, info.si_code == SI_KERNEL ? 0 : info.si_pid);
    init->reap_wanted = true;
    for (int i = 0; i < CHILDREN; i++)
        hand_over_poll(&init->children[i]);
    on_turn(init);
    struct loop_timer *first = init->loop.timers;
    if (first && first->at_ns <= clock_now_ns()) {
        void (*on_time)(struct loop_timer *) = first->on_time;
        loop_clear_timer(&init->loop, first);
        on_time(first);
    }
}

static void __attribute__((noreturn)) run(struct init *init, int failed)
{
    for (;;) {
        if (!failed)
            failed = loop_run(&init->loop);
        LOG(FATAL, "The event loop failed: going on without it", TEXT("error", strerror(-failed)));
        struct loop_timer *timers = init->loop.timers;
        loop_finish(&init->loop);
        init->loop.timers = timers;
        turn_without_loop(init);
        failed = make_loop(init);
    }
}

/* ---- the boot ------------------------------------------------------------------------------ */

static void find_folder(struct init *init)
{
    text_format(init->folder, sizeof init->folder, "%s", init->own->path);
    char *slash = strrchr(init->folder, '/');
    if (slash == init->folder) /* the root: "" would mean that it is not known */
        memcpy(init->folder, "/.", sizeof "/.");
    else
        *(slash ? slash : init->folder) = 0;
}

static void say_hello(const struct init *init, bool whole)
{
    LOG(INFO, "conit starts", TEXT("version", CONIT_VERSION),
        TEXT("in", init->own->container ? "container" : "machine"));
    if (init->options.wrong)
        LOG(WARNING, "A word of the command line is not known, or has no good value",
            TEXT("word", init->options.wrong));
    if (!whole)
        LOG(WARNING, "The command line is too long: its end is left out",
            NUMBER("most_bytes", WORDS_KEPT_BYTES), NUMBER("most_words", WORDS_KEPT_MAX));
}

/* What survives init is in the record from here on. */
static void use_record(struct init *init)
{
    init->kept = init->record.kept;
    init->own = &init->kept->own;
    init->ending = &init->kept->ending;
    CRASH_USE(init->kept);
    process_use(&init->record);
    held_use(init->kept);
    ended_use(init->kept);
    lines_use(init->kept);
}

/* The words of the command line as they are kept: the children's arguments point into them. */
static void read_options(struct init *init)
{
    static const char *words[WORDS_KEPT_MAX + 1];
    options_parse(&init->options, options_kept(&init->kept->words, words), words);
}

/* All that an init needs, whether it is a new one or was executed anew. */
static void begin(struct init *init)
{
    read_options(init);
    choose_signals(init);
    processes_use(init->proc_fd);
    stage1_use(init);
    log_set_json(init->options.json);
    log_add_sink(console_sink, NULL, init->options.level);
    log_add_sink(lines_sink, NULL, init->options.level > LOG_INFO ? LOG_DEBUG : LOG_INFO);
    console_init(2, true);
    find_folder(init);
    children_init(init);
}

/* The first stage. */
static void boot(struct init *init, bool whole)
{
    stage1_mount();
    CRASH_POINT("mounted");
    stage1_console(init);
    say_hello(init, whole);
    stage1_hostname(init);
    stage1_limits(init);
}

static void __attribute__((noreturn)) begin_new(struct init *init, int argc, char **argv)
{
    stage1_open_standard();
    init->proc_fd = container_open_proc();
    bool container = container_detect(init->proc_fd);
    if (container && answered(&init->options))
        exit(0);

    /* ==== FROM THIS LINE ON PID 1 MUST NOT EXIT, but at the end of last-steps.c ================
     */

    fault_catch();
    record_create(&init->record);
    use_record(init);
    children_forget(init->kept);
    upgrade_forget(&init->kept->upgrade);
    init->own->container = container;
    bool whole = options_keep(&init->kept->words, argc, (const char *const *)argv);
    execute_note_self(init->kept, init->proc_fd);
    execute_prepare(init->kept);
    fault_use(init);
    begin(init);
    boot(init, whole);
    int failed = make_loop(init);
    for (int i = CHILDREN - 1; i >= 0; i--) { /* the journal first: the launcher will want it */
        child_start(&init->children[i]);
        CRASH_POINT("started");
    }
    init->own->booted = true;
    init->reap_wanted = true; /* what ended before signals were looked at */
    run(init, failed);
}

/* The same process, executed anew with the record of its former life. */
static void __attribute__((noreturn))
begin_again(struct init *init, int record_fd, int argc, char **argv)
{
    char why_text[160];
    struct text why;
    execute_use_words(argc, argv);
    fault_go_back_from(record_fd);
    fault_catch();
    text_init(&why, why_text, sizeof why_text);
    if (record_open(&init->record, record_fd, &why) < 0) {
        former_execute(record_fd, why_text, NULL);
        console_init(2, true);
        log_add_sink(console_sink, NULL, LOG_DEBUG);
        LOG(FATAL,
            "Init cannot go on from its record: it only reaps, and obeys the signals that end "
            "the machine",
            TEXT("error", why_text));
        minimal_last_resort();
    }
    use_record(init);
    execute_prepare(init->kept);
    fault_use(init);
    execute_take_name_back(init->kept, argc, argv);
    CRASH_POINT("again");
    resume_check(init);
    init->proc_fd = container_open_proc();
    begin(init);
    if (!init->own->container)
        console_allow_kmsg();
    if (init->kept->faults.minimal)
        minimal_loop(init);
    resume_say(init);
    if (!init->own->booted)
        boot(init, true);
    else
        stage1_quiet(init);
    int failed = make_loop(init);
    resume(init);
    init->own->booted = true;
    init->kept->faults.under_way = 0;
    upgrade_arrived(init);
    run(init, failed);
}

int main(int argc, char **argv)
{
    struct init *init = &pid1;
    init->signal_fd = init->signal_source.fd = -1;

    int record_fd = getpid() == 1 ? execute_find_record(argc, argv) : -1;
    if (record_fd >= 0)
        begin_again(init, record_fd, argc, argv);
    options_parse(&init->options, argc, (const char *const *)argv);
    if (argc > 1 && strcmp(argv[1], TRY_INIT_WORD) == 0 && getpid() != 1)
        return try_init_main(argc, argv);
    if (getpid() != 1)
        return refuse_to_run(&init->options);
    begin_new(init, argc, argv);
}
