/* service-journal: takes the read end of every service's output pipe and writes the journals.
 *
 * A child of init. It begins with what init holds for it (its state, and every pipe), so that one
 * that was killed goes on at once, whether the launcher runs or not. It ends only when init says
 * so, or is gone. */
#include "base/cleanup.h"
#include "base/shortage.h"
#include "base/text.h"
#include "log/console.h"
#include "log/log.h"
#include "protocol/hand-over.h"
#include "service-journal/hold.h"
#include "service-journal/intake.h"
#include "service-journal/journal.h"
#include "service-journal/launcher-link.h"
#include "service-journal/stand-still.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define DEFAULT_RUNTIME "/run/conit"
#define DEFAULT_LOGS    "/var/log/conit"
#define START_TRIES     20 /* when something is lacking at the start */
#define START_PAUSE_MS  50

struct program {
    struct journal journal;
    struct intake intake;
    struct launcher_link link;
    struct loop_fd init;
    char *runtime, *logs, *fallback;
    enum log_level level;
    bool container;
    bool held_done;
    bool beside; /* another journal stands still, and goes on unless we get ready */
    bool has_state, has_queue;
    bool state_is_new;         /* of another layout: moved, and init has not got it */
    const char *state_problem; /* why the state is none of ours; NULL: it is, or there is none */
    struct waiting_message *waiting; /* what init has sent while we stood still */
    struct {
        uint32_t id;
        int fd;
    } * held; /* the services' pipes that init held for us, until HELD_DONE */
    size_t held_count;
    int32_t last_line; /* of init's, by its number; 0: none yet */
};

struct waiting_message {
    struct waiting_message *next;
    struct hand_over_message message;
};

static struct program program;

/* ---- options ------------------------------------------------------------------------------- */

enum option_id {
    OPTION_RUNTIME = 1,
    OPTION_LOGS,
    OPTION_FORMAT,
    OPTION_LEVEL,
    OPTION_CONTAINER,
    OPTION_LAUNCHERS, /* init gives both of its children the same line */
};

static const struct option options[] = {
    {"runtime", required_argument, NULL, OPTION_RUNTIME},
    {"logs", required_argument, NULL, OPTION_LOGS},
    {"log-format", required_argument, NULL, OPTION_FORMAT},
    {"log-level", required_argument, NULL, OPTION_LEVEL},
    {"container", no_argument, NULL, OPTION_CONTAINER},
    {"services", required_argument, NULL, OPTION_LAUNCHERS},
    {"config", required_argument, NULL, OPTION_LAUNCHERS},
    {"etc", required_argument, NULL, OPTION_LAUNCHERS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "Usage: service-journal [OPTION...]\n"
    "Writes what services print into their journals. Started by init, not by hand.\n"
    "\n"
    "  --runtime DIR       run-time folder (" DEFAULT_RUNTIME ")\n"
    "  --logs DIR          where the journals are (" DEFAULT_LOGS ")\n"
    "  --log-format WORD   text or json\n"
    "  --log-level WORD    debug, info, warn or error: what of our own goes to the console\n"
    "  --container         the machine is not ours: sync our own files only\n"
    "  --services DIR, --config FILE, --etc DIR\n"
    "                      the launcher's: taken, and not used\n"
    "  --help, --version\n";

static void refuse(const char *what, const char *why)
{
    fprintf(stderr, "service-journal: %s: %s\n", what, why);
    exit(2);
}

static void set_format(const char *word)
{
    if (strcmp(word, "json") == 0)
        log_set_json(true);
    else if (strcmp(word, "text") != 0)
        refuse(word, "not a log format: write text or json");
}

static char *copy_path(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *copy = strndup(path, length);
    if (!copy)
        refuse(path, "out of memory");
    return copy;
}

static void read_options(int argc, char **argv)
{
    const char *runtime = getenv("CONIT_RUNTIME"), *logs = DEFAULT_LOGS;
    int option;

    program.level = LOG_INFO;
    if (!runtime || !*runtime)
        runtime = DEFAULT_RUNTIME;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_RUNTIME:
            runtime = optarg;
            break;
        case OPTION_LOGS:
            logs = optarg;
            break;
        case OPTION_FORMAT:
            set_format(optarg);
            break;
        case OPTION_LEVEL:
            if (log_parse_level(optarg, &program.level) < 0)
                refuse(optarg, "not a level: write debug, info, warn or error");
            break;
        case OPTION_LAUNCHERS:
            break;
        case OPTION_CONTAINER:
            program.container = true;
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        case 'V':
            puts("service-journal (conit) " CONIT_VERSION);
            exit(0);
        default:
            refuse(argv[optind - 1],
                   "no such option, or its value is missing; see service-journal --help");
        }
    }
    if (optind < argc)
        refuse(argv[optind], "no argument is expected");
    program.runtime = copy_path(runtime);
    program.logs = copy_path(logs);
    if (asprintf(&program.fallback, "%s/log", program.runtime) < 0)
        refuse("--runtime", "out of memory");
}

/* ---- our own lines ------------------------------------------------------------------------- */

static void journal_sink(void *context, enum log_level level, const char *line, size_t bytes)
{
    struct journal *journal = context;
    if (writer_is_self() || !journal->recovered || journal->in_block)
        writer_say(&journal->writer, level, line, bytes);
    else
        journal_say(journal, JOURNAL_OWN_ID, (enum journal_level)log_syslog_level(level), line,
                    bytes ? bytes - 1 : 0, 0);
}

/* ---- init ---------------------------------------------------------------------------------- */

static void send_init(enum hand_over_type type)
{
    struct hand_over_message message = {.type = (uint16_t)type};
    int failed = tell_init(&message, NULL, 0);
    if (failed)
        LOG(ERROR, "Could not tell init", TEXT("error", strerror(-failed)));
}

static void tell_failed(const char *why)
{
    struct hand_over_message message = {.type = HAND_OVER_FAILED};
    message.count = (uint32_t)strnlen(why, sizeof message.text);
    memcpy(message.text, why, message.count);
    if (hand_over_send(CHILD_FD_INIT, &message, NULL, 0) < 0)
        LOG(ERROR, "Could not tell init", TEXT("why", why));
}

/* What the former journal left must not be begun anew because it cannot be read now: the next one
 * tries again. */
static void end_if_short(const char *what, int failed)
{
    if (!is_shortage(failed) && failed != -EAGAIN && failed != -EIO)
        return;
    LOG(FATAL, "The journal cannot take up what it was in the middle of", TEXT("what", what),
        TEXT("error", strerror(-failed)));
    exit(1);
}

static void take_state(int fd)
{
    int failed = journal_state_open(&program.journal.state, fd, &program.state_is_new);
    end_if_short("state", failed);
    program.has_state = !failed;
    program.state_problem = failed ? strerror(-failed) : NULL;
    if (failed)
        LOG(WARNING, "The journal's state is not ours", TEXT("error", strerror(-failed)));
}

static void take_queue(int fd)
{
    int failed = queue_open(&program.journal.queue, fd);
    end_if_short("queue", failed);
    program.has_queue = !failed;
    if (failed)
        LOG(WARNING, "The journal's queue is not ours", TEXT("error", strerror(-failed)));
}

static void take_backlogs(int fd)
{
    int failed = backlogs_open(&program.journal.backlogs, fd);
    end_if_short("backlogs", failed);
    if (failed)
        LOG(WARNING, "The journal's backlogs are not ours", TEXT("error", strerror(-failed)));
}

/* Without it a line that the former journal was in the middle of is lost. */
static void take_spool(int fd)
{
    int failed = spool_open(&program.journal.spool, fd);
    end_if_short("spool", failed);
    if (failed)
        LOG(WARNING, "The journal's spool is not ours", TEXT("error", strerror(-failed)));
}

static void take_counts(int fd)
{
    int failed = counts_open(&program.journal.counts, fd);
    end_if_short("counts", failed);
    if (failed)
        LOG(WARNING, "What was counted of services is not ours", TEXT("error", strerror(-failed)));
}

/* Returns whether it was the intake's. */
static bool take_intake(uint32_t key, int fd)
{
    int taken = intake_take_held(&program.intake, key, fd);
    end_if_short("intake", taken);
    if (taken < 0)
        LOG(WARNING, "What was known of /dev/log is not ours", TEXT("error", strerror(-taken)));
    return taken != 0;
}

static void take_pipe(uint32_t id, int fd)
{
    void *grown = NULL;
    for (int i = 0; i < START_TRIES && !grown; i++) {
        poll(NULL, 0, i ? START_PAUSE_MS : 0);
        grown = realloc(program.held, (program.held_count + 1) * sizeof *program.held);
    }
    if (!grown) { /* init starts the next one, and has it still */
        LOG(FATAL, "The journal cannot take up its pipes", TEXT("error", strerror(ENOMEM)));
        exit(1);
    }
    program.held = grown;
    program.held[program.held_count].id = id;
    program.held[program.held_count++].fd = fd;
}

static void take_held(const struct hand_over_message *message, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t key = message->keys[i];
        if (program.held_done)
            close(fds[i]);
        else if (key == KEY_JOURNAL_STATE && !program.has_state)
            take_state(fds[i]);
        else if (key == KEY_JOURNAL_SPOOL && program.journal.spool.fd < 0)
            take_spool(fds[i]);
        else if (key == KEY_JOURNAL_COUNTS && program.journal.counts.fd < 0)
            take_counts(fds[i]);
        else if (key == KEY_JOURNAL_QUEUE && !program.has_queue)
            take_queue(fds[i]);
        else if (key == KEY_JOURNAL_BACKLOGS && program.journal.backlogs.fd < 0)
            take_backlogs(fds[i]);
        else if (take_intake(key, fds[i]))
            continue;
        else if (key >= KEY_SERVICE_FIRST && key < KEY_READY_FIRST)
            take_pipe(key - KEY_SERVICE_FIRST, fds[i]);
        else
            close(fds[i]);
    }
}

static void on_all_drained(void *context)
{
    (void)context;
    send_init(HAND_OVER_DRAINED);
}

/* While the disk hangs init is not answered: it has a time-out, and the disk has until then. */
static void write_all_and_say_so(void)
{
    struct journal *journal = &program.journal;
    launcher_link_drain(&program.link);
    journal_end_rates(journal);
    journal->on_all_drained = on_all_drained;
    journal->all_drained =
        journal_drain(journal, program.container ? WRITER_SYNC_FILES : WRITER_SYNC_ALL);
}

/* ---- beside a new journal ------------------------------------------------------------------ */

/* It is to be acted on when we go on. Without memory it is lost, as it is by a kill. */
static void wait_with(const struct hand_over_message *message, const int *fds, size_t count)
{
    struct waiting_message **end = &program.waiting;
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    while (*end)
        end = &(*end)->next;
    *end = calloc(1, sizeof **end);
    if (*end)
        (*end)->message = *message;
}

static void wait_for_resume(void)
{
    struct hand_over_message message = {0};
    struct pollfd init = {.fd = CHILD_FD_INIT, .events = POLLIN};
    int fds[HAND_OVER_KEYS_MAX];
    size_t count;
    for (;;) {
        if (poll(&init, 1, -1) < 0 && errno != EINTR)
            return;
        int got = hand_over_receive(CHILD_FD_INIT, &message, fds, &count);
        if (got == 1 && message.type == HAND_OVER_RESUME)
            return;
        if (got == 1)
            wait_with(&message, fds, count);
        else if (got != -EAGAIN && got != -EINTR && got != -EPROTO && got != -EMFILE)
            exit(0); /* the machine is over */
    }
}

static void on_init_message(const struct hand_over_message *message, const int *fds, size_t count);

/* A new journal is to be tried: it finds everything written. It ends us, or we go on. */
static void stand_still(void)
{
    char why[STAND_STILL_WHY_BYTES];
    if (journal_stand_still(&program.journal, why) < 0) {
        LOG(ERROR, "Cannot make room for a new journal", TEXT("why", why));
        tell_failed(why);
        return;
    }
    send_init(HAND_OVER_YIELDED);
    wait_for_resume();
    journal_stand_no_more(&program.journal);
    LOG(INFO, "No new journal takes over: going on");
    while (program.waiting) {
        struct waiting_message *first = program.waiting;
        program.waiting = first->next;
        on_init_message(&first->message, NULL, 0);
        free(first);
    }
}

/* An init that had a fault while it sent a line sends it again. */
static void take_line(const struct hand_over_message *message)
{
    if (message->status && message->status == program.last_line)
        return;
    program.last_line = message->status;
    journal_say(&program.journal, JOURNAL_OWN_ID,
                (enum journal_level)log_syslog_level((enum log_level)message->argument),
                message->text, message->count, 0);
}

static void on_init_message(const struct hand_over_message *message, const int *fds, size_t count)
{
    switch (message->type) {
    case HAND_OVER_HELD:
        take_held(message, fds, count);
        break;
    case HAND_OVER_HELD_DONE:
        program.held_done = true;
        program.beside = message->argument != 0;
        break;
    case HAND_OVER_YIELD:
        stand_still();
        break;
    case HAND_OVER_DRAIN:
        write_all_and_say_so();
        break;
    case HAND_OVER_LINE:
        take_line(message);
        break;
    case HAND_OVER_REFUSED:
        LOG(WARNING, "Init refused a descriptor", NUMBER("key", message->keys[0]));
        break;
    default: /* SIGNAL and what later versions have: not ours */
        break;
    }
}

/* Takes what init has sent. Returns false when there is nothing now. */
static bool take_init_message(void)
{
    struct hand_over_message message;
    int fds[HAND_OVER_KEYS_MAX];
    size_t count = 0;

    int got = hand_over_receive(CHILD_FD_INIT, &message, fds, &count);
    if (got == 1)
        on_init_message(&message, fds, count);
    else if (got == 0 || got == -ECONNRESET)
        exit(0); /* the machine is over */
    else if (got == -EPROTO || got == -EMFILE)
        LOG(ERROR, "Could not take a message of init", TEXT("error", strerror(-got)));
    else if (got != -EAGAIN && got != -EINTR) {
        LOG(FATAL, "Lost init", TEXT("error", strerror(-got)));
        exit(1);
    }
    return got != -EAGAIN && got != -EINTR;
}

static void on_init(struct loop_fd *source, uint32_t events)
{
    (void)source;
    (void)events;
    take_init_message();
}

static void wait_for_held(void)
{
    struct pollfd init = {.fd = CHILD_FD_INIT, .events = POLLIN};
    while (!program.held_done) {
        if (poll(&init, 1, -1) < 0 && errno != EINTR)
            return;
        while (!program.held_done && take_init_message()) {
        }
    }
}

/* ---- the start ----------------------------------------------------------------------------- */

static void check_descriptor(int fd)
{
    struct stat stat;
    int failed = fstat(fd, &stat) < 0 ? errno : 0;
    if (failed == EBADF || (!failed && !S_ISSOCK(stat.st_mode)))
        refuse("started by hand", "it is a child of init, which gives it its descriptors 3 and 4");
    if (failed)
        refuse("a descriptor of init's", strerror(failed));
}

static void prepare_process(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2};
    struct rlimit limit;

    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    umask(0);
    if (chdir("/") < 0) { /* then the folder we are in stays busy, no more */
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    console_init(STDERR_FILENO, true);
    if (!program.container)
        console_allow_kmsg();
    log_add_sink(console_sink, NULL, program.level);
}

/* What init does not hold yet. The queue's records say slots of the state: one is of no use without
 * the other. */
static int make_memory(void)
{
    struct journal *journal = &program.journal;
    bool has_both = program.has_state && program.has_queue;
    int failed = 0;

    if (!program.has_state) {
        failed = journal_state_create(&journal->state);
        if (failed)
            return failed;
        program.state_is_new = true;
    }
    if (program.state_is_new)
        hold_store(KEY_JOURNAL_STATE, journal->state.fd);
    if (!has_both) {
        failed = queue_create(&journal->queue);
        if (failed)
            return failed;
        hold_store(KEY_JOURNAL_QUEUE, journal->queue.fd);
    }
    queue_close_fd(&journal->queue);
    if (!program.has_state || journal->backlogs.fd < 0) { /* these are by slots, too */
        failed = backlogs_create(&journal->backlogs);
        if (failed)
            return failed;
        hold_store(KEY_JOURNAL_BACKLOGS, journal->backlogs.fd);
    }
    if (journal->spool.fd < 0) {
        failed = spool_create(&journal->spool);
        if (failed)
            return failed;
        hold_store(KEY_JOURNAL_SPOOL, journal->spool.fd);
    }
    if (journal->counts.fd < 0) {
        failed = counts_create(&journal->counts);
        if (failed)
            LOG(WARNING, "What services print is not counted", TEXT("error", strerror(-failed)));
        else
            hold_store(KEY_JOURNAL_COUNTS, journal->counts.fd);
    }
    return 0;
}

/* A shortage is waited for, and what cannot be read now is tried again: output that nobody reads
 * stands still. */
static int restore_pipe(uint32_t id, int fd)
{
    int failed = 0;
    for (int i = 0; i < START_TRIES; i++) {
        failed = journal_go_on_with_pipe(&program.journal, id, fd);
        if (!is_shortage(failed) && failed != -EIO)
            break;
        poll(NULL, 0, START_PAUSE_MS);
    }
    close(fd);
    return failed;
}

static void restore_pipes(void)
{
    for (size_t i = 0; i < program.held_count; i++) {
        int failed = restore_pipe(program.held[i].id, program.held[i].fd);
        if (failed)
            LOG(ERROR, "Could not go on reading a service", NUMBER("id", program.held[i].id),
                TEXT("error", strerror(-failed)));
    }
    free(program.held);
    program.held = NULL;
}

/* Readers find by it where this boot begins. Where init held a state for us it has begun before. */
static void mark_boot(void)
{
    char line[80] = "boot id=";
    size_t used = strlen(line);
    AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, line + used, sizeof line - used);

    if (got > 0 && line[used + (size_t)got - 1] == '\n')
        got--;
    journal_say(&program.journal, JOURNAL_OWN_ID, JOURNAL_INFO, line,
                used + (got > 0 ? (size_t)got : 0), 0);
}

/* Returns whether it goes on. */
static bool restore_service(struct journal *journal, uint32_t slot)
{
    struct journal_state_record record;
    int failed = journal_state_read(&journal->state, slot, &record);
    if (!failed)
        failed = journal_restore(journal, slot, &record);
    end_if_short("service", failed); /* without its journal its output would stand still */
    return !failed;
}

static int restore(void)
{
    struct journal *journal = &program.journal;
    uint32_t slots = journal_state_slots(&journal->state), restored = 0;

    if (!program.has_state || !program.has_queue) /* what it says is nowhere any more */
        journal_state_note(&journal->state)->active = 0;
    journal_begin(journal);
    for (uint32_t slot = 0; slot < slots; slot++)
        restored += restore_service(journal, slot);
    restore_pipes();
    intake_restore(&program.intake);
    for (uint32_t place = 0; place < journal->service_count; place++) {
        const struct service *service = journal->services[place];
        int missed = service ? journal_match(journal, service->id, NULL) : 0;
        if (missed && missed != -ENOENT)
            LOG(ERROR, "Could not go on waiting for a line of a service", NUMBER("id", service->id),
                TEXT("error", strerror(-missed)));
    }
    int failed = journal_go_on(journal);
    journal_state_need_backlogs(&journal->state, false);
    if (!program.has_state)
        mark_boot();
    if (slots)
        LOG(INFO, "Journal goes on", NUMBER("services", restored),
            NUMBER("pipes", program.held_count));
    intake_begin(&program.intake);
    return failed;
}

/* The other journal has left queue and spool empty, so of these we may make others; what it knows
 * of the services is in the state only, and what it could not write in the backlogs. Nothing of
 * what init holds is touched before READY. */
static int begin_beside(void)
{
    if (!program.has_state) {
        char why[200];
        text_format(why, sizeof why, "its state cannot be taken up: %s",
                    program.state_problem ? program.state_problem : "init holds none");
        tell_failed(why);
        exit(1);
    }
    if (program.journal.state.needs_backlogs && program.journal.backlogs.fd < 0) {
        tell_failed("init does not hold the lines that cannot be written, and they would be lost");
        exit(1);
    }
    hold_wait();
    int failed = make_memory();
    if (failed) {
        tell_failed(strerror(-failed));
        return failed;
    }
    send_init(HAND_OVER_READY);
    hold_go_on();
    return 0;
}

static int start(void)
{
    struct journal *journal = &program.journal;
    int failed = journal_init(journal, program.logs, program.fallback);
    if (failed)
        return failed;
    intake_init(&program.intake, journal, program.container);
    log_add_sink(journal_sink, journal, LOG_DEBUG);
    wait_for_held();
    failed = program.beside ? begin_beside() : make_memory();
    if (!failed)
        failed = restore();
    if (!failed)
        failed = launcher_link_init(&program.link, journal, CHILD_FD_LINK);
    if (!failed)
        failed = loop_add(&journal->loop, &program.init, CHILD_FD_INIT, EPOLLIN, on_init);
    if (!failed && !program.beside)
        send_init(HAND_OVER_READY);
    return failed;
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    check_descriptor(CHILD_FD_INIT);
    check_descriptor(CHILD_FD_LINK);
    prctl(PR_SET_NAME, "service-journal"); /* by a descriptor it is executed under a number */
    prepare_process();
    int failed = start();
    if (!failed)
        failed = loop_run(&program.journal.loop);
    LOG(FATAL, "The journal cannot go on", TEXT("error", strerror(-failed)));
    return 1;
}
