/* The command line: options from their rows, anywhere among the words, until `--`. */
#include "slc/slc.h"

#include "base/text.h"
#include "config/units.h"
#include "service/definition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void slc_complain(const char *what, const char *format, ...)
{
    va_list arguments;

    fflush(stdout); /* so that both stand in order where both go to one place */
    fprintf(stderr, "slc: %s: ", what);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void slc_complain_of_journal(const char *name)
{
    slc_complain(name, "is no service, but a journal: slc journal %s", name);
}

int slc_usage(const char *what, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "slc: %s: ", what);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return SLC_USAGE;
}

int slc_read_time(const char *option, const char *text, int64_t *ret_ms)
{
    uint32_t time_ms;

    if (!text)
        return SLC_DONE;
    if (units_parse_time(text, &time_ms) < 0)
        return slc_usage(option, "\"%s\" is no time: write 500ms, 5s, 2min or never", text);
    *ret_ms = time_ms == TIME_NEVER_MS ? -1 : (int64_t)time_ms;
    return SLC_DONE;
}

const struct verb *slc_find_verb(const char *name)
{
    for (const struct verb *const *verb = slc_verbs; *verb; verb++)
        if (!strcmp((*verb)->name, name))
            return *verb;
    return NULL;
}

/* ---- options -------------------------------------------------------------------------------- */

static const struct option_row *find_in(const struct option_row *row, const char *name,
                                        size_t length, char letter)
{
    for (; row && row->name; row++)
        if (letter ? row->letter == letter
                   : strlen(row->name) == length && !strncmp(row->name, name, length))
            return row;
    return NULL;
}

/* The row of an option of the verb (which may be NULL yet) or of all verbs. */
static const struct option_row *find_option(const struct slc *slc, const char *name, size_t length,
                                            char letter)
{
    const struct option_row *row = find_in(slc_options, name, length, letter);
    if (!row && slc->verb)
        row = find_in(slc->verb->options, name, length, letter);
    return row;
}

/* Whether any verb has it: then it stands before its verb, or with a wrong one. */
static const struct verb *find_owner(const char *name, size_t length, char letter)
{
    for (const struct verb *const *verb = slc_verbs; *verb; verb++)
        if (find_in((*verb)->options, name, length, letter))
            return *verb;
    return NULL;
}

/* Names of options one behind the other. */
static const char *name_all(const char *const names[], size_t count, char *storage, size_t bytes)
{
    struct text text;

    text_init(&text, storage, bytes);
    for (size_t i = 0; i < count; i++)
        text_printf(&text, "%s%s", i ? ", --" : "", names[i]);
    return storage;
}

static int refuse_option(const struct slc *slc, const char *word, const char *name, size_t length,
                         char letter)
{
    const char *names[64], *near = NULL;
    const struct verb *owner = find_owner(name, length, letter);
    char wanted[64], all[256];
    size_t count = 0;

    if (owner && !slc->verb)
        return slc_usage(word, "write it behind the verb: slc %s %s", owner->name, word);
    for (const struct option_row *row = slc_options; row->name; row++)
        names[count++] = row->name;
    if (slc->verb)
        for (const struct option_row *row = slc->verb->options; row && row->name; row++)
            names[count++] = row->name;
    text_format(wanted, sizeof wanted, "%.*s", (int)length, name);
    if (!letter)
        near = text_nearest(wanted, names, count);
    if (near)
        return slc_usage(word, "there is no such option; did you mean --%s?", near);
    if (slc->verb)
        return slc_usage(word, "%s has no such option; see `slc help %s`", slc->verb->name,
                         slc->verb->name);
    return slc_usage(word,
                     "there is no such option; before a verb there may be --%s; see `slc help`",
                     name_all(names, count, all, sizeof all));
}

/* Puts the value where it belongs. */
static int store(struct slc *slc, const struct option_row *row, const char *value)
{
    void *field = (char *)&slc->options + row->offset;

    if (row->kind == OPTION_FLAG) {
        *(bool *)field = true;
    } else if (row->kind != OPTION_LIST) {
        *(const char **)field = value;
    } else {
        const char **list = field;
        size_t count = 0;
        while (list[count])
            count++;
        if (count == SLC_SERVICES_MAX)
            return slc_usage(row->name, "at most %d may be given", SLC_SERVICES_MAX);
        list[count] = value;
    }
    return SLC_DONE;
}

/* Whether the next word is how far back: "-1", and no option. */
static bool is_back(const char *word)
{
    return word && word[0] == '-' && word[1] && !word[1 + strspn(word + 1, "0123456789")];
}

/* One option at *at in argv; may take the next word as its value. */
static int parse_option(struct slc *slc, char **argv, int argc, int *at)
{
    const char *word = argv[*at], *name, *value = NULL;
    const struct option_row *row;
    size_t length;
    char letter = 0;

    if (word[1] == '-') {
        name = word + 2;
        length = strcspn(name, "=");
        value = name[length] ? name + length + 1 : NULL;
    } else {
        name = word + 1;
        length = 1;
        letter = *name;
        value = name[1] ? name + 1 : NULL; /* -n5 */
    }
    row = find_option(slc, name, length, letter);
    if (!row)
        return refuse_option(slc, word, name, length, letter);
    if (row->kind == OPTION_FLAG && value && letter)
        return slc_usage(word, "write letters one by one: -%c -%s", letter, value);
    if (row->kind == OPTION_FLAG && value)
        return slc_usage(word, "--%s takes no value", row->name);
    if (row->kind == OPTION_BACK && !value)
        value = is_back(argv[*at + 1]) ? argv[++*at] : "0";
    if (row->kind != OPTION_FLAG && !value) {
        if (*at + 1 >= argc)
            return slc_usage(word, "needs %s", row->argument);
        value = argv[++*at];
    }
    return store(slc, row, value);
}

/* ---- verbs ---------------------------------------------------------------------------------- */

/* What other managers call a verb. */
static const struct {
    const char *foreign, *verb;
} foreign_verbs[] = {
    {"daemon-reload", "reload"},
    {"is-active", "status"},
    {"is-failed", "status"},
    {"reset-failed", "reset"},
    {"kill", "signal"},
    {"cat", "show"},
    {"log", "journal"},
    {"logs", "journal"},
    {"up", "start"},
    {"down", "stop"},
    {"once", "start"},
    {"list-units", "list"},
    {"monitor", "events"},
    {"shutdown", "poweroff"},
    {"verify", "check"},
};

int slc_no_such_verb(const char *name)
{
    const char *names[64], *near = NULL;
    size_t count = 0;

    for (const struct verb *const *verb = slc_verbs; *verb; verb++)
        names[count++] = (*verb)->name;
    for (size_t i = 0; i < sizeof foreign_verbs / sizeof *foreign_verbs; i++)
        if (!strcmp(foreign_verbs[i].foreign, name))
            near = foreign_verbs[i].verb;
    if (!near)
        near = text_nearest(name, names, count);
    if (near)
        return slc_usage(name, "there is no such verb; did you mean \"%s\"?", near);
    return slc_usage(name, "there is no such verb; `slc help` lists them");
}

static int take_verb(struct slc *slc, const char *name)
{
    slc->verb = slc_find_verb(name);
    return slc->verb ? SLC_DONE : slc_no_such_verb(name);
}

/* Whether the number of words is right. */
static int check_words(const struct slc *slc)
{
    const struct verb *verb = slc->verb;

    if (slc->word_count < verb->least)
        return slc_usage(verb->name, "write: slc %s %s", verb->name, verb->arguments);
    if (slc->word_count > verb->most && !verb->most)
        return slc_usage(verb->name, "takes no names: \"%s\" is too much", slc->words[0]);
    if (slc->word_count > verb->most)
        return slc_usage(verb->name, "\"%s\" is too much", slc->words[verb->most]);
    for (size_t i = 0; i < slc->word_count; i++)
        if (!*slc->words[i])
            return slc_usage(verb->name, "a name is empty");
    return SLC_DONE;
}

/* --help and --version are verbs written another way: of `slc stop --help` stop is the word. */
static void turn_into_verb(struct slc *slc)
{
    if (slc->options.help) {
        slc->words[0] = (char *)(slc->verb ? slc->verb->name : NULL);
        slc->word_count = slc->verb ? 1 : 0;
        slc->words[slc->word_count] = NULL;
        slc->verb = &verb_help;
    } else if (slc->options.version) {
        slc->word_count = 0;
        slc->verb = &verb_version;
    }
}

int slc_parse(struct slc *slc, int argc, char **argv)
{
    bool only_words = false;
    int status = SLC_DONE;

    if (argc < 1)
        return slc_usage("usage", "slc VERB …; `slc help` lists the verbs");
    slc->words = argv; /* the words move to the front of it: there are never more than read */
    for (int at = 1; at < argc && status == SLC_DONE; at++) {
        char *word = argv[at];
        if (!only_words && !strcmp(word, "--"))
            only_words = true;
        else if (!only_words && word[0] == '-' && word[1])
            status = parse_option(slc, argv, argc, &at);
        else if (!slc->verb)
            status = take_verb(slc, word);
        else
            slc->words[slc->word_count++] = word;
    }
    if (status != SLC_DONE)
        return status;
    slc->words[slc->word_count] = NULL;
    if (slc->options.help || slc->options.version)
        turn_into_verb(slc);
    if (!slc->verb)
        return slc_usage("usage", "slc [OPTION…] VERB …; `slc help` lists the verbs");
    return check_words(slc);
}
