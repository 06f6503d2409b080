/* The launcher's command line: rows, from which parsing and help come. */
#include "service-launcher/options.h"
#include "service-launcher/log-setup.h"

#include "config/sources.h"
#include "config/switches.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_FOLDERS_MAX 32

static const char *folders[SERVICE_FOLDERS_MAX + 1];

static const struct {
    struct option option;
    const char *value, *help;
} rows[] = {
    {{"services", required_argument, NULL, 's'},
     "DIR",
     "a folder of service files; may be given several times, later ones outrank"},
    {{"runtime", required_argument, NULL, 'r'}, "DIR", "the run-time folder (/run/conit)"},
    {{"logs", required_argument, NULL, 'l'}, "DIR", "the journals' folder (/var/log/conit)"},
    {{"config", required_argument, NULL, 'c'}, "FILE", "the system file"},
    {{"etc", required_argument, NULL, 'e'},
     "DIR",
     "the folder of what was switched on and off by hand (/etc/conit)"},
    {{"container", no_argument, NULL, 'C'}, NULL, "init is in a container"},
    {{"log-level", required_argument, NULL, 'L'}, "LEVEL", "error, warn, info or debug"},
    {{"log-format", required_argument, NULL, 'F'}, "FORMAT", "text or json"},
    {{"read", no_argument, NULL, 'R'}, NULL, NULL}, /* for the launcher's own children */
    {{"watch", no_argument, NULL, 'W'}, NULL, NULL},
    {{"help", no_argument, NULL, 'h'}, NULL, "print this"},
    {{"version", no_argument, NULL, 'V'}, NULL, "print the version"},
};
#define ROWS (sizeof rows / sizeof *rows)

static void print_help(void)
{
    printf("Usage: service-launcher [OPTION…]\n"
           "Loads service files and runs services. It is started by init, and not by hand.\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        char left[40];
        if (!rows[i].help)
            continue;
        snprintf(left, sizeof left, "--%s%s%s", rows[i].option.name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %-20s  %s\n", left, rows[i].help);
    }
}

static void wrong_usage(const char *what, const char *word)
{
    fprintf(stderr, "service-launcher: %s: %s; see service-launcher --help\n", what, word);
    exit(2);
}

struct parsed {
    struct launcher_options *options;
    enum log_level level;
};

static void take(struct parsed *parsed, int key)
{
    struct launcher_options *options = parsed->options;
    switch (key) {
    case 's':
        if (options->service_count == SERVICE_FOLDERS_MAX)
            wrong_usage("too many folders of services", optarg);
        folders[options->service_count++] = optarg;
        options->services_given = true;
        break;
    case 'r':
        options->runtime = optarg;
        break;
    case 'l':
        options->logs = optarg;
        break;
    case 'c':
        options->config = optarg;
        break;
    case 'e':
        options->etc = optarg;
        break;
    case 'C':
        options->container = true;
        break;
    case 'L':
        if (log_parse_level(optarg, &parsed->level) < 0)
            wrong_usage("no such log level", optarg);
        break;
    case 'F':
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
            wrong_usage("no such log format", optarg);
        log_set_json(strcmp(optarg, "json") == 0);
        break;
    case 'R':
        options->read = true;
        break;
    case 'W':
        options->watch = true;
        break;
    case 'h':
        print_help();
        exit(0);
    case 'V':
        printf("service-launcher (conit) %s\n", CONIT_VERSION);
        exit(0);
    }
}

void options_parse(struct launcher_options *options, int argc, char **argv)
{
    struct option options_of_getopt[ROWS + 1] = {0};
    struct parsed parsed = {.options = options, .level = LOG_INFO};
    const char *runtime = getenv("CONIT_RUNTIME");
    int key;

    *options = (struct launcher_options){.services = folders,
                                         .runtime = runtime ? runtime : "/run/conit",
                                         .logs = "/var/log/conit",
                                         .etc = SWITCHES_FOLDER};
    for (size_t i = 0; i < ROWS; i++)
        options_of_getopt[i] = rows[i].option;
    opterr = 0;
    while ((key = getopt_long(argc, argv, "h", options_of_getopt, NULL)) != -1)
        if (key == '?')
            wrong_usage(argv[optind - 1], "no such option, or its value is missing");
        else
            take(&parsed, key);
    if (optind < argc)
        wrong_usage("unexpected argument", argv[optind]);
    if (!options->service_count)
        for (; sources_default_folders[options->service_count]; options->service_count++)
            folders[options->service_count] = sources_default_folders[options->service_count];
    log_to_console(parsed.level, options->container);
}
