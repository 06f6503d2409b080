/* Any words as slc's command line, a line each. Either there is a verb, with as many words as it
 * takes, and all that was read is one of the words given; or it is said what is wrong, in a line.
 */
#include "demand.h"
#include "slc/slc.h"

#include <stdint.h>
#include <string.h>

#define WORDS_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static char said[8192];

/* What is written to stderr meanwhile goes into `said`. */
static int parse_quietly(struct slc *slc, int argc, char **argv)
{
    FILE *real = stderr, *kept = fmemopen(said, sizeof said, "w");
    demand(kept != NULL, "there is memory");
    said[0] = 0;
    stderr = kept;
    int status = slc_parse(slc, argc, argv);
    stderr = real;
    fclose(kept);
    said[sizeof said - 1] = 0;
    return status;
}

static bool is_of(const char *part, const char *text, size_t count)
{
    return !part || strcmp(part, "0") == 0 || (part >= text && part <= text + count);
}

static void check_good(const struct slc *slc, const char *text, size_t count)
{
    const struct options *options = &slc->options;
    const char *const parts[] = {
        options->runtime, options->logs,     options->config, options->root,  options->timeout,
        options->lines,   options->output,   options->state,  options->since, options->until,
        options->grep,    options->priority, options->boot,   options->signal};

    demand(slc->verb != NULL, "there is a verb");
    demand(slc->word_count >= slc->verb->least && slc->word_count <= slc->verb->most,
           "it has as many words as it takes");
    for (size_t i = 0; i < slc->word_count; i++)
        demand(slc->words[i] && *slc->words[i], "a word is not empty");
    demand(!slc->words[slc->word_count], "the words have an end");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        demand(is_of(parts[i], text, count), "a value is one that was given");
    for (size_t i = 0; options->services[i]; i++) {
        demand(i < SLC_SERVICES_MAX, "there are not too many folders");
        demand(is_of(options->services[i], text, count), "a folder is one that was given");
    }
}

static void check_refused(void)
{
    size_t used = strlen(said);
    demand(strncmp(said, "slc: ", 5) == 0, "it says who speaks");
    demand(said[used - 1] == '\n' || used > sizeof said / 2, "and says it in a line");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = strndup((const char *)bytes, count), program[] = "slc",
         *argv[WORDS_MAX + 2] = {program};
    struct slc slc = {0};
    int argc = 1;

    demand(text != NULL, "there is memory");
    for (char *at = text; at && argc <= WORDS_MAX; argc++) {
        argv[argc] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = 0;
    }
    int status = parse_quietly(&slc, argc, argv);
    demand(status == SLC_DONE || status == SLC_USAGE, "it is right or wrong");
    if (status == SLC_DONE)
        check_good(&slc, text, count);
    else
        check_refused();
    demand(status != SLC_DONE || !said[0], "what is right is not complained of");
    free(text);
    return 0;
}
