/* run-on-pid-ns: runs a command as process 1 of new PID, time and mount namespaces.
 *
 * Nothing is confined but what the options name (docs/run-on-pid-ns.md). The command line is read
 * (options.c), becomes a list of steps (plan.c) that is carried out (start.c) by a process that is
 * made for it; this one stays outside and outlives what is inside (outside.c). */
#include "log/console.h"
#include "log/log.h"
#include "run-on-pid-ns/options.h"
#include "run-on-pid-ns/outside.h"
#include "run-on-pid-ns/plan.h"
#include "run-on-pid-ns/steps.h"
#include "run-on-pid-ns/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_steps(const struct options *options)
{
    char storage[PATH_MAX * 2];
    struct plan plan;
    struct text text;

    plan_make(&plan, options);
    for (size_t i = 0; i < plan.count; i++) {
        text_init(&text, storage, sizeof storage);
        step_format(&plan.steps[i], &text);
        puts(storage);
    }
}

/* What was closed when we were started is /dev/null for us and inside: a descriptor of ours would
 * be taken for it. */
static int open_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) /* open() takes the least one */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return -errno;
    return 0;
}

int main(int argc, char **argv)
{
    char why[OPTIONS_WHY_BYTES];
    struct options options;

    if (options_parse(&options, argc, argv, why) < 0) {
        fprintf(stderr, "run-on-pid-ns: %s\n", why);
        return OPTIONS_WRONG_USAGE;
    }
    if (options.help) {
        options_print_help();
        return 0;
    }
    if (options.version) {
        printf("run-on-pid-ns (conit) %s\n", CONIT_VERSION);
        return 0;
    }
    if (options.steps) {
        print_steps(&options);
        return 0;
    }
    int failed = open_standard();
    keep_own_descriptors();
    console_init(2, true);
    log_add_sink(terminal_sink, NULL, LOG_INFO);
    if (failed < 0) {
        LOG(ERROR, "Could not open /dev/null for what is closed", TEXT("error", strerror(-failed)));
        return OPTIONS_WRONG_USAGE;
    }
    return outside_run(&options);
}
