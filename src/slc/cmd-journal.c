/* slc journal [NAME…]: what services printed, and what happened to them, from the journals' files;
 * of several services in the order of time. A launcher is asked first to have everything written,
 * and where the files are; without one slc looks below --logs. */
#include "base/clock.h"
#include "slc/client.h"
#include "slc/log-boot.h"
#include "slc/log-drain.h"
#include "slc/log-follow.h"
#include "slc/log-loss.h"
#include "slc/log-show.h"
#include "slc/pager.h"
#include "slc/render.h"
#include "slc/time-point.h"

#include "service/name.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define FOLLOW_LINES    10  /* that -f begins with */
#define LOOK_EVERY      256 /* entries printed until it is looked whether other services have some */
#define NAMES_LOOKED_AT 2000
#define SPARE_SOURCES   8 /* not read when descriptors are short, two each at most */

static const struct option_row options[] = {
    {"lines", 'n', OPTION_TEXT, offsetof(struct options, lines), "N",
     "only the newest N lines (-f: 10)"},
    {"follow", 'f', OPTION_FLAG, offsetof(struct options, follow), NULL,
     "go on with what is printed from now on, until interrupted"},
    {"since", 0, OPTION_TEXT, offsetof(struct options, since), "TIME",
     "not what is older: -2h, 13:54, yesterday, \"2026-11-22 13:54\""},
    {"until", 0, OPTION_TEXT, offsetof(struct options, until), "TIME", "not what is newer"},
    {"grep", 'g', OPTION_TEXT, offsetof(struct options, grep), "REGEX",
     "only lines whose text matches, an extended regular expression"},
    {"priority", 'p', OPTION_TEXT, offsetof(struct options, priority), "LEVEL",
     "only this level and worse: emerg to debug, or 0 to 7"},
    {"boot", 'b', OPTION_BACK, offsetof(struct options, boot), "[-N]",
     "only since the last boot; -1: of the boot before that"},
    {"output", 'o', OPTION_TEXT, offsetof(struct options, output), "FORM",
     "short: with time and level; cat: the output alone; json"},
    {"no-pager", 0, OPTION_FLAG, offsetof(struct options, no_pager), NULL,
     "no pager on a terminal (else CONIT_PAGER, PAGER, less)"},
    {NULL},
};

struct journal {
    const struct slc *slc;
    bool limited;
    uint64_t lines;
    uint64_t boots_back;
    char *logs;          /* the launcher's, or NULL */
    const char *runtime; /* NULL: --logs is another machine's, and RUNTIME has nothing of that */
    json_t *services;    /* from the launcher: name → folder of its journal */
    bool answered;       /* by a launcher */
    struct log_merge merge;
    struct log_show show;
};

/* ---- what is asked for ---------------------------------------------------------------------- */

static int read_form(struct journal *journal)
{
    static const char *const forms[] = {"short", "cat", "json"};
    const struct options *given = &journal->slc->options;
    const char *form = given->output ? given->output : given->json ? "json" : "short";
    size_t i = 0;

    if (given->json && strcmp(form, "json") != 0)
        return slc_usage("-o", "\"%s\" and --json are two forms: leave one of them out", form);
    while (i < sizeof forms / sizeof *forms && strcmp(forms[i], form) != 0)
        i++;
    if (i == sizeof forms / sizeof *forms)
        return slc_usage("-o", "\"%s\" is none of short, cat and json", form);
    journal->show.form = (enum log_form)i;
    journal->merge.filter.only_output = journal->show.form == LOG_CAT;
    return SLC_DONE;
}

static int read_numbers(struct journal *journal)
{
    const struct options *given = &journal->slc->options;
    const char *boot = given->boot ? given->boot : "0";

    journal->merge.follow = given->follow;
    journal->limited = given->lines || given->follow;
    journal->lines = FOLLOW_LINES;
    if (given->lines && text_parse_unsigned(given->lines, &journal->lines) < 0)
        return slc_usage("-n", "\"%s\" is no number of lines", given->lines);
    if (text_parse_unsigned(boot + (*boot == '-'), &journal->boots_back) < 0 ||
        (*boot != '-' && journal->boots_back) || journal->boots_back > INT_MAX)
        return slc_usage("--boot", "\"%s\" is no boot: write -1 for the one before the last", boot);
    if (given->priority && !log_filter_parse_level(given->priority, &journal->merge.filter.least))
        return slc_usage("-p",
                         "\"%s\" is no level: write emerg, alert, crit, err, warning, notice, "
                         "info or debug, or 0 to 7",
                         given->priority);
    return SLC_DONE;
}

static int read_time(const char *option, const char *text, bool later, uint64_t *ret_ns)
{
    char why[TIME_POINT_WHY_BYTES];

    if (text && time_point_parse(text, clock_read_ns(CLOCK_REALTIME), later, ret_ns, why) < 0)
        return slc_usage(option, "\"%s\" is no time: %s", text, why);
    return SLC_DONE;
}

static int read_times(struct journal *journal)
{
    const struct options *given = &journal->slc->options;
    struct log_filter *filter = &journal->merge.filter;
    int status = read_time("--since", given->since, false, &filter->since_ns);

    if (status == SLC_DONE)
        status = read_time("--until", given->until, true, &filter->until_ns);
    if (status == SLC_DONE && given->until && given->follow)
        return slc_usage("--until", "-f waits for what is to come: leave one of the two out");
    if (status == SLC_DONE && filter->until_ns < filter->since_ns)
        return slc_usage("--until", "\"%s\" is before \"%s\"", given->until, given->since);
    return status;
}

static int read_expression(struct journal *journal)
{
    const char *expression = journal->slc->options.grep;
    struct matcher_error error;
    int failed =
        expression ? matcher_create(&journal->merge.filter.matcher, expression, &error) : 0;

    if (failed == -EINVAL)
        return slc_usage("-g", "\"%s\": column %zu: %s", expression, error.column, error.why);
    if (failed)
        slc_complain("-g", "%s", strerror(-failed));
    return failed ? SLC_FAILED : SLC_DONE;
}

static int check_names(const struct journal *journal)
{
    for (size_t word = 0; word < journal->slc->word_count; word++) {
        const char *name = journal->slc->words[word], *problem;
        if (service_name_is_journal(name))
            continue;
        problem = service_name_problem(name, strlen(name), NULL);
        if (problem) {
            slc_complain(name, "there is no such service: the name %s", problem);
            return SLC_NO_SERVICE;
        }
    }
    return SLC_DONE;
}

static int read_options(struct journal *journal)
{
    static int (*const readers[])(struct journal *) = {read_form, read_numbers, read_times,
                                                       read_expression};
    int status = SLC_DONE;

    for (size_t i = 0; i < sizeof readers / sizeof *readers && status == SLC_DONE; i++)
        status = readers[i](journal);
    return status == SLC_DONE ? check_names(journal) : status;
}

/* ---- what the launcher knows ---------------------------------------------------------------- */

/* --logs is not where this launcher's journals are: it knows nothing of what is there. */
static bool is_elsewhere(const struct slc *slc, const char *logs)
{
    struct stat given, own;

    if (!slc->logs_given || !logs || !strcmp(slc->options.logs, logs))
        return false;
    return stat(slc->options.logs, &given) < 0 || stat(logs, &own) < 0 ||
           given.st_dev != own.st_dev || given.st_ino != own.st_ino;
}

/* Has everything written, and learns where. Without a launcher there is nothing to learn. */
static bool drain(struct journal *journal)
{
    char *logs;
    bool drained;

    if (!log_drain(journal->slc, &logs, &drained))
        return false;
    if (is_elsewhere(journal->slc, logs)) {
        free(logs);
        journal->runtime = NULL;
        return false;
    }
    journal->logs = logs;
    if (!drained)
        log_drain_complain("journal");
    return true;
}

/* Learns the folder of the journal of this service, NULL: of all. One that the launcher does not
 * know may have left a journal all the same. */
static void learn_folder(struct journal *journal, const char *name)
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters = client_begin(&client, journal->slc, "Status", false);

    if (name)
        json_add_strings(parameters, "names", (const char *const[]){name, NULL});
    if (client_ask_quietly(&client, &reply) == SLC_DONE) {
        const json_t *services = json_object_get(reply->parameters, "services");
        for (size_t i = 0; i < json_array_size(services); i++) {
            json_t *service = json_array_get(services, i);
            json_object_set(journal->services, name ? name : render_member(service, "name"),
                            service);
        }
    }
    client_finish(&client);
}

/* ---- which files ---------------------------------------------------------------------------- */

static const char *logs_of(const struct journal *journal)
{
    return journal->logs ? journal->logs : journal->slc->options.logs;
}

static bool is_named_before(const struct slc *slc, size_t word)
{
    for (size_t i = 0; i < word; i++)
        if (!strcmp(slc->words[i], slc->words[word]))
            return true;
    return false;
}

/* Adds where the journal of that name may be: LOGS/NAME or a folder of its own, and RUNTIME/log.
 * 0 or -errno. */
static int add_one(struct journal *journal, const char *name)
{
    const json_t *service = json_object_get(journal->services, name);
    const char *folder = render_member(service, "journal"), *real = render_member(service, "name");
    char path[PATH_MAX];
    int r = 0;

    real = *real ? real : name;
    if (journal->runtime) {
        if (!text_format(path, sizeof path, "%s/log/%s", journal->runtime, real))
            return -ENAMETOOLONG;
        r = log_merge_add(&journal->merge, real, path, true);
    }
    if ((r == 0 || r == -EEXIST) && !*folder) {
        if (!text_format(path, sizeof path, "%s/%s", logs_of(journal), real))
            return -ENAMETOOLONG;
        folder = path;
    }
    if (r == 0 || r == -EEXIST)
        r = log_merge_add(&journal->merge, real, folder, false);
    return r == -EEXIST ? 0 : r;
}

/* Adds all that is named, or all there is. */
static int add_sources(struct journal *journal)
{
    const struct slc *slc = journal->slc;
    char stopgap[PATH_MAX];
    const char *name;
    json_t *service;
    int r = 0;

    for (size_t i = 0; i < slc->word_count && r == 0; i++)
        r = is_named_before(slc, i) ? 0 : add_one(journal, slc->words[i]);
    if (slc->word_count)
        return r;
    if (journal->runtime) {
        if (!text_format(stopgap, sizeof stopgap, "%s/log", journal->runtime))
            return -ENAMETOOLONG;
        r = log_merge_add_all(&journal->merge, stopgap, true);
    }
    if (r == 0)
        r = log_merge_add_all(&journal->merge, logs_of(journal), false);
    json_object_foreach(journal->services, name, service)
    {
        const char *folder = render_member(service, "journal");
        if (r == 0 && *folder)
            r = log_merge_add(&journal->merge, name, folder, false);
        r = r == -EEXIST ? 0 : r;
    }
    return r;
}

/* ---- opening them --------------------------------------------------------------------------- */

/* Says that nobody knows the name, and which one may be meant. */
static int refuse_name(struct journal *journal, const char *name)
{
    const char *names[NAMES_LOOKED_AT], *near, *known;
    struct log_merge all = {0};
    json_t *service;
    size_t count = 0;

    if (journal->answered)
        learn_folder(journal, NULL);
    log_merge_add_all(&all, logs_of(journal), false);
    json_object_foreach(journal->services, known, service)
    {
        if (count < NAMES_LOOKED_AT)
            names[count++] = known;
    }
    for (size_t i = 0; i < all.all_count && count < NAMES_LOOKED_AT; i++)
        names[count++] = all.all[i]->name;
    near = text_nearest(name, names, count);
    if (journal->slc->options.boot && strspn(name, "0123456789") == strlen(name))
        slc_complain(name, "there is no such service; for an earlier boot write -b -%s", name);
    else if (near)
        slc_complain(name, "there is no such service; did you mean \"%s\"?", near);
    else
        slc_complain(name, "%s, and there is no journal of it in %s",
                     journal->answered ? "there is no such service"
                                       : "no launcher answers that knows it",
                     logs_of(journal));
    log_merge_finish(&all);
    return SLC_NO_SERVICE;
}

static int complain_of(const char *name, const struct log_source *source, int failed)
{
    if (failed == -EACCES || failed == -EPERM) {
        slc_complain(name, "not permitted: its journal is for root and the group adm");
        return SLC_NOT_PERMITTED;
    }
    slc_complain(name, "its journal in %s cannot be read: %s", source->folder, strerror(-failed));
    return SLC_FAILED;
}

/* There are no more descriptors than for the journals before this one: some are closed again, so
 * that sealed files can be opened. */
static int complain_of_descriptors(struct log_merge *merge, size_t first, int failed)
{
    size_t left_out = merge->all_count - first;

    for (size_t i = first, spare = SPARE_SOURCES; i-- > 0 && spare;)
        if (merge->all[i]->is_open) {
            log_merge_close(merge->all[i]);
            left_out++;
            spare--;
        }
    slc_complain("journal",
                 "there are descriptors for %zu of %zu journals only: raise the limit (%s), "
                 "or name fewer services",
                 merge->all_count - left_out, merge->all_count,
                 failed == -EMFILE ? "ulimit -n"
                                   : "sysctl fs.file-max: too many open files in system");
    return SLC_FAILED;
}

/* Opens what is there. Returns what to exit with after it has said why. */
static int open_sources(struct journal *journal)
{
    int status = SLC_DONE;

    for (size_t i = 0; i < journal->merge.all_count; i++) {
        struct log_source *source = journal->merge.all[i];
        int r = log_merge_open(&journal->merge, source);
        if (r == -EMFILE || r == -ENFILE)
            return complain_of_descriptors(&journal->merge, i, r);
        log_loss_tell_odd(source, journal->runtime);
        if (r < 0 && r != -ENOENT) {
            int one = complain_of(source->name, source, r);
            status = status == SLC_DONE ? one : status;
        }
    }
    return status;
}

static bool has_journal(const struct journal *journal, const char *name)
{
    for (size_t i = 0; i < journal->merge.all_count; i++) {
        const struct log_source *source = journal->merge.all[i];
        /* One that is there, and empty, or closed to this user, is one, too. */
        if (!strcmp(source->name, name) &&
            (source->is_open || access(source->folder, F_OK) == 0 || errno != ENOENT))
            return true;
    }
    return false;
}

/* What was named and is nowhere, and what is not there at all. */
static int check_sources(struct journal *journal)
{
    const struct slc *slc = journal->slc;
    int status = SLC_DONE;

    for (size_t i = 0; i < slc->word_count; i++) {
        const char *name = slc->words[i];
        /* Not every machine's kernel, or programs without a service, have said anything; and what
         * conit said may have been removed. */
        bool may_be_empty = service_name_is_journal(name) &&
                            (journal->answered || strcmp(name, SERVICE_NAME_RESERVED) != 0);
        if (is_named_before(slc, i) || json_object_get(journal->services, name) || may_be_empty ||
            has_journal(journal, name))
            continue;
        if (journal->merge.follow && !journal->answered)
            slc_complain(name, "has no journal in %s yet: waiting for it", logs_of(journal));
        else
            status = refuse_name(journal, name);
    }
    if (!slc->word_count && !journal->merge.all_count) {
        slc_complain("journal", "there are no journals in %s%s%s", logs_of(journal),
                     access(logs_of(journal), F_OK) < 0 ? ", which is not there" : "",
                     journal->merge.follow ? ": waiting for one" : "");
        if (!journal->merge.follow)
            status = SLC_FAILED;
    }
    return status;
}

static int find_boot(struct journal *journal)
{
    struct log_filter *filter = &journal->merge.filter;
    uint64_t since_ns, until_ns, count = 0;
    int r = log_boot_find(logs_of(journal), journal->runtime, journal->boots_back, &since_ns,
                          &until_ns, &count);

    if (r == -EACCES || r == -EPERM) {
        slc_complain("--boot",
                     "not permitted: the journal %s, which has the boots, is for root and "
                     "the group adm",
                     SERVICE_NAME_RESERVED);
        return SLC_NOT_PERMITTED;
    }
    if (r == -ENOENT && count)
        slc_complain("--boot", "there is no boot -%llu: %llu %s marked in the journal %s",
                     (unsigned long long)journal->boots_back, (unsigned long long)count,
                     count == 1 ? "is" : "are", SERVICE_NAME_RESERVED);
    else if (r == -ENOENT)
        slc_complain("--boot", "no boot is marked in the journal %s in %s", SERVICE_NAME_RESERVED,
                     logs_of(journal));
    else if (r < 0)
        slc_complain("--boot", "%s", strerror(-r));
    if (r < 0)
        return SLC_FAILED;
    filter->since_ns = since_ns > filter->since_ns ? since_ns : filter->since_ns;
    filter->until_ns = until_ns < filter->until_ns ? until_ns : filter->until_ns;
    return SLC_DONE;
}

/* ---- printing ------------------------------------------------------------------------------- */

/* Prints what is there; following, it looks at the others now and then, so that one that prints
 * without end does not keep them from being seen. */
static int print(struct journal *journal, struct log_follow *follow)
{
    const struct journal_entry *entry;
    const char *name;
    unsigned printed = 0;
    int r = 0;

    while (r >= 0 && (r = log_merge_next(&journal->merge, &name, &entry)) > 0) {
        r = log_show_entry(&journal->show, name, entry);
        if (r == 0 && follow && ++printed % LOOK_EVERY == 0)
            r = log_follow_look(follow);
    }
    return r < 0 ? r : log_show_flush(&journal->show);
}

static int print_for_ever(struct journal *journal, struct log_follow *follow)
{
    int r;

    do {
        r = print(journal, follow);
        log_loss_tell(&journal->merge);
        if (r == 0)
            r = log_follow_wait(follow);
        if (r > 0)
            r = log_follow_look(follow);
        else if (r == 0)
            r = -EPIPE;
    } while (r >= 0);
    return r;
}

/* Many journals are two descriptors each, and more. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void prepare_show(struct journal *journal)
{
    const struct slc *slc = journal->slc;
    struct render render = render_begin();

    journal->show.named = slc->word_count != 1;
    journal->show.terminal = render.terminal;
    journal->show.colour = render.colour;
    if (!slc->options.follow && !slc->options.no_pager && !slc->options.quiet)
        pager_begin();
}

/* Reads and prints, all being known. Returns what to exit with. */
static int read_all(struct journal *journal)
{
    struct log_follow follow = LOG_FOLLOW_NONE;
    char stopgap[PATH_MAX];
    bool all = !journal->slc->word_count, follows = journal->merge.follow;
    int status, checked, r = 0;

    follow.roots[0] = all ? logs_of(journal) : NULL;
    if (all && journal->runtime && text_format(stopgap, sizeof stopgap, "%s/log", journal->runtime))
        follow.roots[1] = stopgap;
    if (follows)
        r = log_follow_begin(&follow, &journal->merge);
    status = open_sources(journal);
    checked = check_sources(journal);
    if (status == SLC_DONE)
        status = checked;
    if (r == 0 && (status == SLC_DONE || !follows))
        r = log_merge_begin(&journal->merge, journal->limited ? journal->lines : UINT64_MAX);
    if (r == 0 && !journal->slc->options.quiet && (status == SLC_DONE || !follows)) {
        prepare_show(journal);
        r = follows ? print_for_ever(journal, &follow) : print(journal, NULL);
        pager_finish();
        if (r >= 0 && log_loss_tell(&journal->merge) && status == SLC_DONE)
            status = SLC_FAILED;
    }
    log_follow_finish(&follow);
    if (r < 0 && r != -EPIPE)
        slc_complain("journal", "%s", strerror(-r));
    return r < 0 && r != -EPIPE && status == SLC_DONE ? SLC_FAILED : status;
}

static int run(struct slc *slc)
{
    struct journal journal = {.slc = slc,
                              .runtime = slc->options.runtime,
                              .services = json_object(),
                              .merge = {.filter = LOG_FILTER_NONE}};
    int status = read_options(&journal), r;

    if (status == SLC_DONE) {
        journal.answered = drain(&journal);
        if (!journal.answered && !slc->logs_given && !slc->options.quiet)
            slc_complain("journal", "no launcher answers in %s: reading %s", slc->options.runtime,
                         slc->options.logs);
        if (journal.answered && !slc->word_count)
            learn_folder(&journal, NULL);
        for (size_t i = 0; i < slc->word_count && journal.answered; i++)
            if (!service_name_is_journal(slc->words[i]))
                learn_folder(&journal, slc->words[i]);
        if (slc->word_count != 1)
            raise_descriptor_limit();
        if (slc->options.boot)
            status = find_boot(&journal);
    }
    if (status == SLC_DONE) {
        r = add_sources(&journal);
        if (r == -EACCES || r == -EPERM) {
            slc_complain("journal", "not permitted: %s is for root and the group adm",
                         logs_of(&journal));
            status = SLC_NOT_PERMITTED;
        } else if (r < 0) {
            slc_complain("journal", "%s", strerror(-r));
            status = SLC_FAILED;
        } else {
            status = read_all(&journal);
        }
    }
    matcher_destroy(journal.merge.filter.matcher);
    log_merge_finish(&journal.merge);
    log_show_finish(&journal.show);
    json_decref(journal.services);
    free(journal.logs);
    return status;
}

const struct verb verb_journal = {
    .name = "journal",
    .arguments = "[NAME…]",
    .most = ANY_NUMBER,
    .options = options,
    .help = "what services printed, of all without a name",
    .details = "Without -n everything, but -f begins with the newest 10 lines. The name conit\n"
               "stands for conit's own messages, kernel for the kernel's, and syslog for what\n"
               "programs say that are no service's. A + before the level marks what happened to\n"
               "a service, as opposed to what it printed. With --json or -o json one object a\n"
               "line. A TIME is now, today, yesterday, tomorrow, -90s, -15m, -2h, -3d, 13:54,\n"
               "13:54:10, 2026-11-22, \"2026-11-22 13:54\", or RFC 3339 with a zone.\n"
               "Times are read and shown in local time (TZ), in JSON in UTC.\n"
               "What is damaged is said on stderr, with its file and the time that is missing;\n"
               "all else is shown, and slc exits with 1.",
    .run = run,
};
