/* The command line: a table of options, most of which are only handed on to the children. */
#include "init/options.h"
#include "base/text.h"

#include <string.h>

#define START_TIMEOUT_S      60
#define START_TIMEOUT_MOST_S 86400

static const char *const services_help = "folder of service files; may be given several times";

static const struct row {
    const char *name, *value; /* value: its name in the help, NULL: takes none */
    const char *help;
} rows[] = {
    {"--services", "DIR", services_help},
    {"--runtime", "DIR", "run-time folder (CONIT_RUNTIME, else /run/conit)"},
    {"--logs", "DIR", "folder of the journals (/var/log/conit)"},
    {"--config", "FILE", "the system file"},
    {"--etc", "DIR", "what was switched on and off by hand (/etc/conit)"},
    {"--log-format", "FORMAT", "text or json"},
    {"--log-level", "LEVEL", "least severe level on the console: debug info warn error"},
    {"--start-timeout", "SECONDS", "launcher or journal not ready: start what ran before (60)"},
    {"--help", NULL, "this text; -h too"},
    {"--version", NULL, "the version"},
};

static const struct row *find_row(const char *word, const char **ret_value)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *rest;
        if (!text_starts_with(word, rows[i].name, &rest) || (*rest && *rest != '='))
            continue;
        *ret_value = *rest ? rest + 1 : NULL;
        return &rows[i];
    }
    return NULL;
}

void options_hand_on(struct options *options, const char *argument)
{
    if (options->argument_count < OPTIONS_ARGUMENTS_MAX)
        options->arguments[options->argument_count++] = argument;
}

static bool take_start_timeout(struct options *options, const char *value)
{
    uint64_t seconds;
    if (text_parse_unsigned(value, &seconds) < 0 || seconds < 1 || seconds > START_TIMEOUT_MOST_S)
        return false;
    options->start_timeout_s = (unsigned)seconds;
    return true;
}

static bool take_value(struct options *options, const struct row *row, const char *value)
{
    if (strcmp(row->name, "--start-timeout") == 0)
        return take_start_timeout(options, value); /* nothing that a child knows */
    if (strcmp(row->name, "--log-format") == 0) {
        if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
            return false;
        options->json = strcmp(value, "json") == 0;
    } else if (strcmp(row->name, "--log-level") == 0) {
        if (log_parse_level(value, &options->level) < 0)
            return false;
        options->level_given = true;
    }
    options_hand_on(options, row->name);
    options_hand_on(options, value);
    return true;
}

static void note_wrong(struct options *options, const char *word)
{
    if (!options->wrong)
        options->wrong = word;
}

static bool has_argument(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->argument_count; i += 2)
        if (strcmp(options->arguments[i], name) == 0)
            return true;
    return false;
}

void options_parse(struct options *options, int argc, const char *const *argv)
{
    *options = (struct options){.level = LOG_INFO, .start_timeout_s = START_TIMEOUT_S};
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct row *row = find_row(argv[i], &value);
        if (strcmp(argv[i], "-h") == 0) {
            options->help = true;
        } else if (!row || (!row->value && value)) {
            note_wrong(options, argv[i]);
        } else if (!row->value) {
            *(strcmp(row->name, "--help") == 0 ? &options->help : &options->version) = true;
        } else {
            const char *word = argv[i];
            if (!value && i + 1 < argc)
                value = argv[++i];
            if (!value || !take_value(options, row, value))
                note_wrong(options, word);
        }
    }
    const char *runtime = getenv("CONIT_RUNTIME");
    if (runtime && *runtime && !has_argument(options, "--runtime")) {
        options_hand_on(options, "--runtime");
        options_hand_on(options, runtime);
    }
}

bool options_keep(struct kept_words *words, int argc, const char *const *argv)
{
    words->count = words->bytes = 0;
    for (int i = 0; i < argc; i++) {
        size_t bytes = strlen(argv[i]) + 1;
        if (i == WORDS_KEPT_MAX || bytes > sizeof words->text - words->bytes)
            return false;
        memcpy(words->text + words->bytes, argv[i], bytes);
        words->bytes += (uint32_t)bytes;
        words->count++;
    }
    return true;
}

int options_kept(const struct kept_words *words, const char *argv[static WORDS_KEPT_MAX + 1])
{
    int count = 0;
    uint32_t at = 0;
    while (count < (int)words->count && count < WORDS_KEPT_MAX && at < words->bytes) {
        argv[count++] = words->text + at;
        at += (uint32_t)strlen(words->text + at) + 1;
    }
    argv[count] = NULL;
    return count;
}

void options_print_help(void)
{
    printf("init: PID 1 of a machine or of a container that runs conit\n\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[32];
        text_format(name, sizeof name, "%s%s%s", rows[i].name, rows[i].value ? " " : "",
                    rows[i].value ? rows[i].value : "");
        printf("  %-22s %s\n", name, rows[i].help);
    }
    printf("\nSignals: USR1, PWR power off; INT, TERM reboot; USR2 kexec. In a container TERM, INT "
           "and PWR\nstop everything in order and end it.\n");
}
