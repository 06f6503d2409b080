/* The command line: a table of options, from which the help is made too. Each row has the function
 * that takes the option, and what that one needs to know of it. */
#include "run-on-pid-ns/options.h"
#include "base/signals.h"
#include "base/text.h"
#include "base/unit.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct parse;

struct row {
    const char *name, *value; /* value: its name in the help; NULL: takes none */
    const char *help;
    /* Takes the value. Returns 0, or -EINVAL with the sentence written. */
    int (*take)(struct parse *parse, char *value);
    size_t field; /* of struct options, for take_flag and take_path */
};

struct parse {
    struct options *options;
    const struct row *row;
    char *why;
};

#define REFUSE(parse, format, ...)                                                                 \
    text_refuse((parse)->why, OPTIONS_WHY_BYTES, "%s: " format, (parse)->row->name, ##__VA_ARGS__)

/* ---- what takes a value -------------------------------------------------------------------- */

static void *field_of(struct parse *parse)
{
    return (char *)parse->options + parse->row->field;
}

static int take_flag(struct parse *parse, char *value)
{
    *(bool *)field_of(parse) = true;
    return 0;
}

static int take_path(struct parse *parse, char *value)
{
    if (!*value)
        return REFUSE(parse, "a path is missing");
    *(const char **)field_of(parse) = value;
    return 0;
}

/* Cuts the text at the first colon that has no backslash in front, and takes away those
 * backslashes. Returns what is behind the colon, or NULL. */
static char *cut_at_colon(char *text)
{
    char *to = text;
    for (; *text && *text != ':'; text++) {
        if (text[0] == '\\' && (text[1] == ':' || text[1] == '\\'))
            text++;
        *to++ = *text;
    }
    char *rest = *text ? text + 1 : NULL;
    *to = 0;
    return rest;
}

static int take_bind(struct parse *parse, char *value)
{
    struct options *options = parse->options;
    char *target = cut_at_colon(value);
    char *mode = target ? cut_at_colon(target) : NULL;
    if (options->bind_count == OPTIONS_BINDS_MAX)
        return REFUSE(parse, "more than %d of them", OPTIONS_BINDS_MAX);
    if (!*value)
        return REFUSE(parse, "the path outside is missing: SOURCE[:TARGET[:ro]]");
    if (mode && strcmp(mode, "ro") != 0)
        return REFUSE(parse, "'%s' is no mode, only 'ro' is (a colon in a path is written '\\:')",
                      mode);
    if (!target || !*target)
        target = value;
    if (*target != '/')
        return REFUSE(parse, "'%s' is to begin with a slash, for it is a path inside", target);
    options->binds[options->bind_count++] =
        (struct options_bind){.source = value, .target = target, .read_only = mode != NULL};
    return 0;
}

static int take_read_only(struct parse *parse, char *value)
{
    struct options *options = parse->options;
    if (options->read_only_count == OPTIONS_READ_ONLY_MAX)
        return REFUSE(parse, "more than %d of them", OPTIONS_READ_ONLY_MAX);
    if (*value != '/')
        return REFUSE(parse, "'%s' is to begin with a slash, for it is a path inside", value);
    options->read_only[options->read_only_count++] = value;
    return 0;
}

static int take_environment(struct parse *parse, char *value)
{
    struct options *options = parse->options;
    if (options->environment_count == OPTIONS_ENVIRONMENT_MAX)
        return REFUSE(parse, "more than %d of them", OPTIONS_ENVIRONMENT_MAX);
    if (!*value || *value == '=')
        return REFUSE(parse, "the name is missing: NAME=VALUE, or NAME to remove it");
    options->environment[options->environment_count++] = value;
    return 0;
}

static int take_hostname(struct parse *parse, char *value)
{
    if (!*value || strlen(value) > OPTIONS_HOSTNAME_MAX)
        return REFUSE(parse, "a name has 1 to %d bytes", OPTIONS_HOSTNAME_MAX);
    parse->options->hostname = value;
    parse->options->uts = true;
    return 0;
}

/* The number of the word in the list. */
static int take_choice(struct parse *parse, const char *value, const char *const *words,
                       size_t count, size_t *ret)
{
    char storage[80];
    struct text choice;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value, words[i]) == 0) {
            *ret = i;
            return 0;
        }
    }
    text_init(&choice, storage, sizeof storage);
    text_add_choice(&choice, words, count);
    return REFUSE(parse, "'%s' is none of %s", value, storage);
}

static int take_time(struct parse *parse, char *value)
{
    static const char *const words[] = {
        [TIME_NEW] = "new", [TIME_REQUIRED] = "required", [TIME_SHARED] = "shared"};
    size_t choice = TIME_NEW;
    int failed = take_choice(parse, value, words, COUNT(words), &choice);
    parse->options->time = (enum options_time)choice;
    return failed;
}

static int take_on_reboot(struct parse *parse, char *value)
{
    static const char *const words[] = {"restart", "exit"};
    size_t choice = 0;
    int failed = take_choice(parse, value, words, COUNT(words), &choice);
    parse->options->reboot_exits = choice;
    return failed;
}

static int parse_span(struct parse *parse, const char *value, uint64_t *ret_ms)
{
    int failed = unit_parse(value, unit_times, UNIT_TIMES, 1000, ret_ms);
    if (failed == -ERANGE)
        return REFUSE(parse, "'%s' is too long", value);
    if (failed)
        return REFUSE(parse, "'%s' is no time, as 500ms, 5s, 2min, 1h and 1d are", value);
    return 0;
}

static int take_uptime(struct parse *parse, char *value)
{
    parse->options->uptime_given = true;
    return parse_span(parse, value, &parse->options->uptime_ms);
}

static int take_stop_timeout(struct parse *parse, char *value)
{
    if (strcmp(value, "never") == 0) {
        parse->options->stop_timeout_ms = OPTIONS_TIME_NEVER;
        return 0;
    }
    return parse_span(parse, value, &parse->options->stop_timeout_ms);
}

static int take_stop_signal(struct parse *parse, char *value)
{
    int failed = signals_parse(value, &parse->options->stop_signal);
    return failed ? REFUSE(parse, "'%s' is no signal, as TERM, RTMIN+3 and 15 are", value) : 0;
}

/* Splits the words in place. */
static int take_stop_command(struct parse *parse, char *value)
{
    char **words = parse->options->stop_command;
    size_t count = 0;
    for (;;) {
        value += strspn(value, " \t\n");
        if (!*value)
            break;
        if (count == OPTIONS_STOP_WORDS)
            return REFUSE(parse, "more than %d words", OPTIONS_STOP_WORDS);
        words[count++] = value;
        value += strcspn(value, " \t\n");
        if (*value)
            *value++ = 0;
    }
    words[count] = NULL;
    return count ? 0 : REFUSE(parse, "a command is missing");
}

/* What an init wants that is to be a whole system. */
static int take_system(struct parse *parse, char *value)
{
    struct options *options = parse->options;
    static char sys[] = "/proc/sys";
    options->uts = options->ipc = options->net = options->cgroup = true;
    options->dev = options->private_run = options->console = options->notify = true;
    return take_read_only(parse, sys);
}

/* ---- the table ----------------------------------------------------------------------------- */

#define FLAG(field_) .take = take_flag, .field = offsetof(struct options, field_)

static const struct row rows[] = {
    {"--root", "DIR", "the root folder inside, with /proc, /sys, /dev and /run", .take = take_path,
     .field = offsetof(struct options, root)},
    {"--bind", "SOURCE[:TARGET[:ro]]",
     "a file or folder of the outside, at TARGET inside; may be given several times",
     .take = take_bind},
    {"--read-only", "PATH",
     "what is at PATH inside cannot be written to; may be given several times",
     .take = take_read_only},
    {"--keep-proc", NULL, "leave /proc as it is: it shows the processes outside", FLAG(keep_proc)},
    {"--dev", NULL, "a /dev of its own, with the nodes everybody needs", FLAG(dev)},
    {"--private-run", NULL, "an empty /run; else it is the outside's", FLAG(private_run)},
    {"--console", NULL, "a pseudo terminal as /dev/console and controlling terminal",
     FLAG(console)},
    {"--uts", NULL, "a host name of its own", FLAG(uts)},
    {"--hostname", "NAME", "which one; implies --uts", .take = take_hostname},
    {"--ipc", NULL, "its own System V IPC and message queues", FLAG(ipc)},
    {"--net", NULL, "its own network, in which lo is up", FLAG(net)},
    {"--cgroup", NULL, "a cgroup of its own as the root of what it sees", FLAG(cgroup)},
    {"--user", NULL, "a user namespace in which the caller is root: needs no privileges",
     FLAG(user)},
    {"--system", NULL,
     "what a whole system wants: --uts --ipc --net --cgroup --dev --private-run --console "
     "--read-only /proc/sys --notify",
     .take = take_system},
    {"--time", "new|required|shared",
     "an uptime of its own, where the kernel can; or else it fails; or the outside's",
     .take = take_time},
    {"--uptime", "TIME", "what its uptime begins with: 0, 90, 5min, 3d", .take = take_uptime},
    {"--env", "NAME=VALUE",
     "sets a variable inside, or with NAME alone removes it; may be given several times",
     .take = take_environment},
    {"--on-reboot", "restart|exit",
     "what its reboot does: start the command again in new namespaces, or end with 129",
     .take = take_on_reboot},
    {"--stop-signal", "SIGNAL", "what it is sent when we get SIGTERM", .take = take_stop_signal},
    {"--stop-command", "WORDS", "instead: what is run inside then; blanks separate words",
     .take = take_stop_command},
    {"--stop-timeout", "TIME", "how long it may take to stop before it is killed: 8s, or never",
     .take = take_stop_timeout},
    {"--notify", NULL,
     "it finds a NOTIFY_SOCKET in /run/host/notify, and is ready when it says so; needs "
     "--private-run",
     FLAG(notify)},
    {"--steps", NULL, "print what would be done, one step a line, and end", FLAG(steps)},
    {"--help", NULL, "this text; -h too", FLAG(help)},
    {"--version", NULL, "the version", FLAG(version)},
};

/* ---- the command line ---------------------------------------------------------------------- */

static const struct row *find_row(const char *word, char **ret_value)
{
    size_t bytes = strcspn(word, "=");
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strlen(rows[i].name) != bytes || memcmp(word, rows[i].name, bytes) != 0)
            continue;
        *ret_value = word[bytes] ? (char *)word + bytes + 1 : NULL;
        return &rows[i];
    }
    return NULL;
}

static int refuse_unknown(const char *word, char *why)
{
    const char *names[COUNT(rows)];
    char name[64];
    for (size_t i = 0; i < COUNT(rows); i++)
        names[i] = rows[i].name;
    text_format(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char *nearest = text_nearest(name, names, COUNT(rows));
    if (nearest)
        return text_refuse(why, OPTIONS_WHY_BYTES, "there is no option '%s', did you mean '%s'?",
                           name, nearest);
    return text_refuse(why, OPTIONS_WHY_BYTES, "there is no option '%s' (--help lists them)", name);
}

/* One option; *at is its place and, when its value is the next word, goes on to that. */
static int take_option(struct options *options, int argc, char **argv, int *at, char *why)
{
    char *value = NULL;
    const struct row *row =
        strcmp(argv[*at], "-h") ? find_row(argv[*at], &value) : find_row("--help", &value);
    if (!row)
        return refuse_unknown(argv[*at], why);
    struct parse parse = {.options = options, .row = row, .why = why};
    if (!row->value && value)
        return REFUSE(&parse, "takes no value");
    if (row->value && !value) {
        if (*at + 1 >= argc)
            return REFUSE(&parse, "%s is missing", row->value);
        value = argv[++*at];
    }
    return row->take(&parse, value);
}

/* What does not go together. */
static int check(const struct options *options, char *why)
{
    if (options->help || options->version)
        return 0;
    if (!options->command[0])
        return text_refuse(why, OPTIONS_WHY_BYTES, "no command given (--help says how)");
    if (options->uptime_given && options->time == TIME_SHARED)
        return text_refuse(why, OPTIONS_WHY_BYTES,
                           "--uptime needs a time of its own: leave out --time shared");
    if (options->stop_signal && options->stop_command[0])
        return text_refuse(why, OPTIONS_WHY_BYTES, "--stop-signal and --stop-command: one of them");
    if (options->notify && !options->private_run)
        return text_refuse(why, OPTIONS_WHY_BYTES,
                           "--notify needs --private-run, for its socket is in /run");
    return 0;
}

int options_parse(struct options *options, int argc, char **argv,
                  char why[static OPTIONS_WHY_BYTES])
{
    int at = 1;
    *options = (struct options){.stop_timeout_ms = OPTIONS_STOP_DEFAULT};
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int failed = take_option(options, argc, argv, &at, why);
        if (failed)
            return failed;
    }
    options->command = argv + (at < argc ? at : argc);
    return check(options, why);
}

void options_print_help(void)
{
    printf("run-on-pid-ns [OPTION…] [--] COMMAND [ARGUMENT…]\n\n"
           "Runs a command, such as another init, as process 1 of new PID, time and mount "
           "namespaces.\n\n");
    for (size_t i = 0; i < COUNT(rows); i++) {
        char name[48];
        text_format(name, sizeof name, "%s%s%s", rows[i].name, rows[i].value ? " " : "",
                    rows[i].value ? rows[i].value : "");
        if (strlen(name) > 24)
            printf("  %s\n  %-24s  %s\n", name, "", rows[i].help);
        else
            printf("  %-24s  %s\n", name, rows[i].help);
    }
    printf("\nTimes are as in service files: 500ms, 5s, 2min, 1h, 1d, or a number of seconds.\n\n"
           "Ends as the command does: its status, or 128 + the signal that ended it; 0 when it has "
           "powered\noff, 129 when it wants to reboot and --on-reboot is exit; 125 for wrong usage "
           "and when a step fails,\n126 when the command cannot be executed, 127 when there is no "
           "such command.\n");
}
