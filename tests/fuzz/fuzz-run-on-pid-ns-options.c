/* Any words as run-on-pid-ns' command line, a line each. What is refused is refused in a sentence;
 * what is taken consists of what was given, is a plan that fits, and can be shown. */
#include "demand.h"
#include "run-on-pid-ns/options.h"
#include "run-on-pid-ns/plan.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define WORDS_MAX 300 /* more than can be taken */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static const char *given, *given_end;

static void demand_given(const char *word)
{
    demand(word >= given && word + strlen(word) <= given_end, "it was given");
}

static void check_options(const struct options *options)
{
    demand(options->bind_count <= OPTIONS_BINDS_MAX, "no more binds than there is room for");
    for (size_t i = 0; i < options->bind_count; i++) {
        demand_given(options->binds[i].source);
        demand_given(options->binds[i].target);
        demand(options->binds[i].source[0], "a source has a name");
        demand(options->binds[i].target[0] == '/', "a target is an absolute path");
    }
    demand(options->read_only_count <= OPTIONS_READ_ONLY_MAX, "no more than there is room for");
    for (size_t i = 0; i < options->read_only_count; i++)
        demand(options->read_only[i][0] == '/', "what is read-only is an absolute path");
    demand(options->environment_count <= OPTIONS_ENVIRONMENT_MAX, "no more variables than that");
    for (size_t i = 0; i < options->environment_count; i++) {
        demand_given(options->environment[i]);
        demand(strcspn(options->environment[i], "=") > 0, "a variable has a name");
    }
    demand(!options->stop_command[OPTIONS_STOP_WORDS], "the stop command has an end");
    for (char *const *word = options->stop_command; *word; word++) {
        demand_given(*word);
        demand(**word && !strpbrk(*word, " \t\n"), "its words are words");
    }
    if (options->hostname)
        demand(options->uts && strlen(options->hostname) <= OPTIONS_HOSTNAME_MAX, "a host name");
    demand(options->time <= TIME_SHARED, "the time is one of three");
    demand(options->help || options->version || options->command[0], "there is a command");
}

static void check_plan(const struct options *options)
{
    static struct plan plan;
    char storage[200];
    struct text text;

    plan_make(&plan, options);
    demand(plan.count <= PLAN_STEPS_MAX, "the plan fits");
    demand(plan.steps[plan.count - 1].kind == STEP_EXECUTE, "the command comes last");
    for (size_t i = 0; i < plan.count; i++) {
        demand(i == 0 || step_who(plan.steps[i].kind) >= step_who(plan.steps[i - 1].kind),
               "each of the three has its turn once");
        text_init(&text, storage, sizeof storage);
        step_format(&plan.steps[i], &text);
        demand(text.used_bytes > 11, "a step has words");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count);
    char *argv[WORDS_MAX + 2] = {(char *)"run-on-pid-ns"};
    char why[OPTIONS_WHY_BYTES] = "";
    struct options options;
    int argc = 1;

    demand(text != NULL, "there is memory");
    given = text;
    given_end = text + strlen(text);
    for (char *at = text; at && argc <= WORDS_MAX; argc++) {
        argv[argc] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = 0;
    }
    int failed = options_parse(&options, argc, argv, why);
    demand(failed == 0 || failed == -EINVAL, "it is taken or refused");
    demand(!failed == !why[0], "what is refused has a sentence");
    if (!failed) {
        check_options(&options);
        if (!options.help && !options.version)
            check_plan(&options);
    }
    free(text);
    return 0;
}
