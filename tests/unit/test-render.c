/* What slc prints for people, and its command line. */
#include "test.h"

#include "base/clock.h"
#include "slc/render.h"
#include "slc/slc.h"

/* main.c has these; the parser needs them. */
static int run_nothing(struct slc *slc)
{
    return SLC_DONE;
}

static const struct option_row some_options[] = {
    {"lines", 'n', OPTION_TEXT, offsetof(struct options, lines), "N", "how many"},
    {"force", 0, OPTION_FLAG, offsetof(struct options, force), NULL, "hard"},
    {"services", 0, OPTION_LIST, offsetof(struct options, services), "DIR", "where"},
    {NULL},
};
static const struct verb some_verb = {.name = "some",
                                      .arguments = "NAME…",
                                      .least = 1,
                                      .most = 3,
                                      .options = some_options,
                                      .run = run_nothing};
const struct verb *const slc_verbs[] = {&some_verb, &verb_help, &verb_version, NULL};
const char *const slc_later_verbs[] = {"later", NULL};
const struct option_row slc_options[] = {
    {"json", 0, OPTION_FLAG, offsetof(struct options, json), NULL, "JSON"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct options, quiet), NULL, "quiet"},
    {"runtime", 0, OPTION_TEXT, offsetof(struct options, runtime), "DIR", "where"},
    {"help", 'h', OPTION_FLAG, offsetof(struct options, help), NULL, "help"},
    {"version", 0, OPTION_FLAG, offsetof(struct options, version), NULL, "version"},
    {NULL},
};

static const char *span(uint64_t span_ns)
{
    static char storage[40];
    struct text text;
    text_init(&text, storage, sizeof storage);
    render_span(span_ns, &text);
    return storage;
}

TEST(spans_are_told_in_their_two_largest_units)
{
    CHECK_TEXT(span(0), "0ms");
    CHECK_TEXT(span(850 * NS_PER_MS), "850ms");
    CHECK_TEXT(span(5 * NS_PER_SEC), "5s");
    CHECK_TEXT(span(60 * NS_PER_SEC), "1min");
    CHECK_TEXT(span(123 * NS_PER_SEC), "2min 3s");
    CHECK_TEXT(span(3600 * NS_PER_SEC), "1h");
    CHECK_TEXT(span(3840 * NS_PER_SEC), "1h 4min");
    CHECK_TEXT(span((12 * 24 + 3) * 3600 * NS_PER_SEC), "12d 3h");
}

static const char *bytes(uint64_t count)
{
    static char storage[40];
    struct text text;
    text_init(&text, storage, sizeof storage);
    render_bytes(count, &text);
    return storage;
}

TEST(sizes_are_told_in_powers_of_1024)
{
    CHECK_TEXT(bytes(0), "0 B");
    CHECK_TEXT(bytes(1023), "1023 B");
    CHECK_TEXT(bytes(1024), "1.0 KiB");
    CHECK_TEXT(bytes(1536 * 1024), "1.5 MiB");
    CHECK_TEXT(bytes(3ull << 30), "3.0 GiB");
}

TEST(an_age_is_from_then_until_now)
{
    struct render render = {.now_ns = 86400ull * NS_PER_SEC};
    char storage[40];
    struct text text;
    text_init(&text, storage, sizeof storage);
    render_age(&render, "1970-01-01T23:58:00.000000Z", &text);
    CHECK_TEXT(storage, "2min");
    text_init(&text, storage, sizeof storage);
    render_age(&render, "1970-01-03T00:00:00.000000Z", &text);
    CHECK_TEXT(storage, "0ms");
    text_init(&text, storage, sizeof storage);
    render_age(&render, "yesterday", &text);
    CHECK_TEXT(storage, "?");
}

/* What a table prints. */
static const char *printed(struct table *table, const struct render *render)
{
    static char storage[2000];
    FILE *stream = fmemopen(storage, sizeof storage, "w");
    CHECK_NUMBER(table_print(table, render, stream), 0);
    fclose(stream);
    return storage;
}

static struct table sample(void)
{
    struct table table = {
        .columns = 3, .titles = {"STATE", "N", "WORDS"}, .right = {[1] = true}, .state_column = 0};
    static const char *const cells[] = {"running", "1", "é ü ö", "done", "100", "a\tb\033[31m"};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        table_add(&table, cells[i]);
    return table;
}

TEST(a_table_has_columns_as_wide_as_their_widest_cell_and_no_control_characters)
{
    struct table table = sample();
    CHECK_TEXT(printed(&table, &(struct render){0}), "STATE      N  WORDS\n"
                                                     "running    1  é ü ö\n"
                                                     "done     100  a?b?[31m\n");
}

TEST(on_a_terminal_a_table_has_symbols_and_colours_and_is_cut_at_the_edge)
{
    struct render render = {.terminal = true, .colour = true, .unicode = true, .width = 19};
    struct table table = sample();
    CHECK_TEXT(printed(&table, &render), "  STATE      N  WOR\n"
                                         "\033[32m● running\033[0m    1  é ü\n"
                                         "\033[32m✓ done\033[0m     100  a?b\n");
}

TEST(without_utf8_and_colours_a_terminal_gets_plain_symbols)
{
    struct render render = {.terminal = true};
    struct table table = sample();
    CHECK_TEXT(printed(&table, &render), "  STATE      N  WORDS\n"
                                         "* running    1  é ü ö\n"
                                         "+ done     100  a?b?[31m\n");
}

/* ---- the command line ----------------------------------------------------------------------- */

static struct slc parsed;

static int parse(const char *a, const char *b, const char *c, const char *d)
{
    static char *words[6];
    char *argv[] = {(char[]){"slc"}, (char *)a, (char *)b, (char *)c, (char *)d, NULL};
    int argc = 1;
    memcpy(words, argv, sizeof words);
    while (words[argc])
        argc++;
    parsed = (struct slc){0};
    return slc_parse(&parsed, argc, words);
}

TEST(options_stand_anywhere_and_take_their_value_in_every_form)
{
    CHECK_NUMBER(parse("--json", "some", "-n5", "web"), SLC_DONE);
    CHECK(parsed.options.json && parsed.verb == &some_verb);
    CHECK_TEXT(parsed.options.lines, "5");
    CHECK_NUMBER(parsed.word_count, 1);
    CHECK_TEXT(parsed.words[0], "web");
    CHECK_NUMBER(parse("some", "web", "-n", "7"), SLC_DONE);
    CHECK_TEXT(parsed.options.lines, "7");
    CHECK_NUMBER(parse("some", "web", "--lines=8", "-q"), SLC_DONE);
    CHECK_TEXT(parsed.options.lines, "8");
    CHECK(parsed.options.quiet);
    CHECK_NUMBER(parse("some", "--services=a", "--services=b", "x"), SLC_DONE);
    CHECK_TEXT(parsed.options.services[1], "b");
    CHECK(!parsed.options.services[2]);
    CHECK_NUMBER(parse("some", "--", "--json", "-x"), SLC_DONE);
    CHECK_NUMBER(parsed.word_count, 2);
    CHECK(!parsed.options.json);
}

TEST(help_and_version_are_verbs_written_another_way)
{
    CHECK_NUMBER(parse("some", "--help", NULL, NULL), SLC_DONE);
    CHECK(parsed.verb == &verb_help);
    CHECK_TEXT(parsed.words[0], "some");
    CHECK_NUMBER(parse("-h", NULL, NULL, NULL), SLC_DONE);
    CHECK_NUMBER(parsed.word_count, 0);
    CHECK_NUMBER(parse("--version", NULL, NULL, NULL), SLC_DONE);
    CHECK(parsed.verb == &verb_version);
}

TEST(wrong_usage_is_refused)
{
    static const char *const rows[][4] = {
        {NULL},
        {"nix"},
        {"later"},
        {"some"},
        {"some", "-x"},
        {"some", "a", "--forse"},
        {"--force"},
        {"some", "--json=1", "a"},
        {"some", "a", ""},
        {"some", "a", "-n"},
        {"some", "-f", "a"},
        {"version", "x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_NUMBER(parse(rows[i][0], rows[i][1], rows[i][2], rows[i][3]), SLC_USAGE);
}

TEST(what_a_terminal_would_obey_is_escaped_and_paths_that_are_opened_are_not)
{
    json_t *value =
        json_pack("{s:[s, s, s], s:{s:s}, s:s, s:i}", "texts", "caf\xc3\xa9\t\xe2\x82\xac",
                  "a\033[2Jb\nc\x7f\xc2\x9b"
                  "31m",
                  "\xe2\x80\xae"
                  "evil \xe2\x81\xa6 \xd8\x9c \xe2\x80\xa8 \xe2\x80\x8f",
                  "inner", "status_text", "\r", "journal", "/a\nb", "number", 1);
    CHECK_NUMBER(render_escape_all(value), 0);
    char *all = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK_TEXT(all, "{\"inner\":{\"status_text\":\"\\\\x0d\"},\"journal\":\"/a\\nb\",\"number\":1,"
                    "\"texts\":[\"caf\xc3\xa9\\t\xe2\x82\xac\","
                    "\"a\\\\x1b[2Jb\\\\x0ac\\\\x7f\\\\xc2\\\\x9b"
                    "31m\","
                    "\"\\\\xe2\\\\x80\\\\xaeevil \\\\xe2\\\\x81\\\\xa6 \\\\xd8\\\\x9c "
                    "\\\\xe2\\\\x80\\\\xa8 \\\\xe2\\\\x80\\\\x8f\"]}");
    free(all);
    json_decref(value);
}
