/* Any words as init's command line, a line each. Whatever they are, what is handed on to the
 * children is pairs of an option and its value, and given to init again it is all known, and handed
 * on as it is. */
#include "demand.h"
#include "init/options.h"

#include <stdint.h>
#include <string.h>

#define WORDS_MAX 100 /* more than can be handed on */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check(const struct options *options, const char *text, size_t count)
{
    demand(options->argument_count <= OPTIONS_ARGUMENTS_MAX, "no more than there is room for");
    demand(!options->arguments[options->argument_count], "they have an end");
    demand(options->level <= LOG_DEBUG, "the level is one");
    for (size_t i = 0; i < options->argument_count; i++) {
        const char *argument = options->arguments[i];
        if (i % 2 == 0)
            demand(strncmp(argument, "--", 2) == 0 && !strchr(argument, '='), "an option's name");
        else
            demand(argument >= text && argument <= text + count, "a value that was given");
    }
}

static void check_again(const struct options *options)
{
    const char *argv[OPTIONS_ARGUMENTS_MAX + 2] = {"init"};
    struct options again;

    memcpy(argv + 1, options->arguments, sizeof options->arguments);
    options_parse(&again, (int)options->argument_count + 1, argv);
    demand(!again.wrong && !again.help && !again.version, "what is handed on is known");
    demand(again.argument_count == options->argument_count, "all of it is handed on again");
    for (size_t i = 0; i < again.argument_count; i++)
        demand(strcmp(again.arguments[i], options->arguments[i]) == 0, "as it is");
    if (options->argument_count < OPTIONS_ARGUMENTS_MAX)
        demand(again.json == options->json && again.level == options->level, "it means the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count);
    const char *argv[WORDS_MAX + 2] = {"init"};
    struct options options;
    int argc = 1;

    demand(text != NULL, "there is memory");
    unsetenv("CONIT_RUNTIME");
    for (char *at = text; at && argc <= WORDS_MAX; argc++) {
        argv[argc] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = 0;
    }
    options_parse(&options, argc, argv);
    check(&options, text, count);
    check_again(&options);
    free(text);
    return 0;
}
