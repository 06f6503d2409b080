/* slc help [VERB]: what there is, made from the rows. */
#include "slc/render.h"
#include "slc/slc.h"

#include <string.h>

static void print_options(const struct option_row *row)
{
    for (; row && row->name; row++) {
        char words[80];
        struct text text;
        text_init(&text, words, sizeof words);
        if (row->letter)
            text_printf(&text, "-%c, ", row->letter);
        else
            text_add(&text, "    ");
        text_printf(&text, "--%s%s%s", row->name, row->argument ? " " : "",
                    row->argument ? row->argument : "");
        printf("  %-24s %s\n", words, row->help);
    }
}

static void print_verb(const struct verb *verb)
{
    printf("slc %s%s%s%s\n\n%s.\n", verb->name, verb->options ? " [OPTION…]" : "",
           *verb->arguments ? " " : "", verb->arguments, verb->help);
    if (verb->details)
        printf("%s\n", verb->details);
    if (verb->options) {
        printf("\nOptions:\n");
        print_options(verb->options);
    }
    printf("\nOptions of every verb:\n");
    print_options(slc_options);
}

static void print_all(void)
{
    printf("slc [OPTION…] VERB …\n\nVerbs:\n");
    for (const struct verb *const *verb = slc_verbs; *verb; verb++) {
        char words[80];
        text_format(words, sizeof words, "%s %s", (*verb)->name, (*verb)->arguments);
        /* … takes three bytes and one column */
        printf("  %s%*s %s\n", words, 20 - (int)render_columns(words), "", (*verb)->help);
    }
    printf("\nOptions:\n");
    print_options(slc_options);
    printf("\nExit: 0 done, 1 failed, 2 wrong usage, 3 not running (status), 4 no such service,\n"
           "5 no launcher answers, 6 not permitted. `slc help VERB` tells more.\n");
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *options_as_json(const struct option_row *row)
{
    json_t *list = json_array();

    for (; row && row->name; row++) {
        char letter[2] = {row->letter};
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:s}", "name", row->name, "letter",
                                              row->letter ? letter : NULL, "argument",
                                              row->argument, "help", row->help));
    }
    return list;
}

static json_t *verb_as_json(const struct verb *verb)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:o}", "verb", verb->name, "arguments", verb->arguments,
                     "help", verb->help, "details", verb->details, "options",
                     options_as_json(verb->options));
}

static void print_json(const struct verb *only)
{
    json_t *value = only ? verb_as_json(only) : json_array();

    for (const struct verb *const *verb = slc_verbs; !only && *verb; verb++)
        json_array_append_new(value, verb_as_json(*verb));
    render_json(value);
    json_decref(value);
}

static int run(struct slc *slc)
{
    const struct verb *verb = slc->word_count ? slc_find_verb(slc->words[0]) : NULL;

    if (slc->word_count && !verb)
        return slc_no_such_verb(slc->words[0]);
    if (slc->options.json)
        print_json(verb);
    else if (verb)
        print_verb(verb);
    else
        print_all();
    return SLC_DONE;
}

const struct verb verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .most = 1,
    .help = "what slc can do, or one verb in detail",
    .run = run,
};
