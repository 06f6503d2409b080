/* What a set of definitions says as a whole: names that are none, cycles, instances. */
#include "base/text.h"
#include "config/check-names.h"
#include "config/definition-parse.h"
#include "test.h"

#define SERVICES_MOST 1100

static struct source sources[SERVICES_MOST];
static size_t source_count;
static struct names names;
static struct error_list errors;

static void begin(void)
{
    names = (struct names){.in_force = true};
    errors = (struct error_list){0};
    source_count = 0;
}

static void end(void)
{
    names_finish(&names);
    error_list_finish(&errors);
}

/* One that is there in force, its file called after it. */
static struct checked *add(const char *name, enum checked_kind kind, const char *text)
{
    struct source *source = &sources[source_count++];
    struct error_list ignored = {0};
    *source = (struct source){.name = name, .path = name, .text = text, .size = strlen(text)};
    struct checked checked = {.name = name, .source = source, .kind = kind, .told = true};
    if (kind == CHECKED_SERVICE)
        CHECK_NUMBER(definition_parse(source, &checked.owned, &ignored), 0);
    if (kind == CHECKED_INSTANCE)
        CHECK_NUMBER(definition_parse_instance(source, name, &checked.owned, &ignored), 0);
    error_list_finish(&ignored);
    checked.definition = checked.owned;
    CHECK_NUMBER(names_add(&names, &checked), 0);
    return &names.list[names.count - 1];
}

static const char *found(void)
{
    static char storage[8000];
    struct text text;
    char line[ERROR_MESSAGE_BYTES + 100];
    CHECK_NUMBER(names_check(&names, &errors), 0);
    text_init(&text, storage, sizeof storage);
    for (size_t i = 0; i < errors.count; i++) {
        error_format(&errors.list[i], line, sizeof line);
        text_printf(&text, "%s%s", i ? "\n" : "", line);
    }
    return storage;
}

static const struct checked *named(const char *name)
{
    for (size_t i = 0; i < names.count; i++)
        if (!strcmp(names.list[i].name, name))
            return &names.list[i];
    return NULL;
}

TEST(a_cycle_has_its_path_and_its_members_are_known)
{
    begin();
    add("a", CHECKED_SERVICE, "exec: true\nneeds: [b]\n");
    add("b", CHECKED_SERVICE, "exec: true\nafter: [a]\n");
    add("c", CHECKED_SERVICE, "exec: true\nneeds: [a]\n");
    CHECK_TEXT(found(), "a:2:9: in a cycle, each after the next: a, b, a");
    CHECK(named("a")->in_cycle && named("b")->in_cycle && !named("c")->in_cycle);
    CHECK_NUMBER(names.finding_count, 1);
    CHECK_NUMBER(names.findings[0].kind, FINDING_CYCLE);
    CHECK_NUMBER(names.findings[0].index, 0);
    end();
}

static bool is_of_a(const void *context, const struct checked *checked, const char *name)
{
    return !strcmp(checked->name, context);
}

TEST(a_name_that_is_none_is_told_where_it_is_news_and_not_more_often_than_asked)
{
    begin();
    names.is_news = is_of_a;
    names.context = "a";
    names.most = 2;
    add("a", CHECKED_SERVICE, "exec: true\nneeds: [x, y]\nbefore:\n  - z\n");
    add("b", CHECKED_SERVICE, "exec: true\nneeds: [x, y]\n");
    CHECK_TEXT(found(), "a:2:9: 'needs' names 'x', and no service has that name"
                        "\na:2:12: 'needs' names 'y', and no service has that name");
    CHECK_NUMBER(names.missing, 3);
    end();
}

TEST(the_nearest_is_not_looked_for_once_that_would_take_long)
{
    static char called[SERVICES_MOST][16];
    const char *nearest = "; the nearest is ";
    begin();
    for (int i = 0; i < SERVICES_MOST; i++) {
        text_format(called[i], sizeof called[i], "service%d", i);
        add(called[i], CHECKED_SERVICE, "exec: true\nneeds: [servic7]\n");
    }
    found();
    CHECK_NUMBER(errors.count, SERVICES_MOST);
    CHECK(strstr(errors.list[0].message, nearest) != NULL);
    CHECK(strstr(errors.list[SERVICES_MOST - 1].message, nearest) == NULL);
    CHECK(strstr(errors.list[SERVICES_MOST - 1].message, "no service has that name") != NULL);
    end();
}

TEST(of_two_that_provide_a_name_an_enabled_one_is_meant)
{
    begin();
    add("a", CHECKED_SERVICE, "exec: true\nprovides: [db]\nenabled: no\nneeds: [web]\n");
    add("b", CHECKED_SERVICE, "exec: true\nprovides: [db]\n");
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [db]\n");
    CHECK_TEXT(found(), "");
    end();
}

TEST(instances_are_made_by_who_names_them_and_masked_ones_are_not)
{
    begin();
    add("t@", CHECKED_TEMPLATE, "exec: true\nneeds: [\"u@%i\"]\n");
    add("u@", CHECKED_TEMPLATE, "exec: true\n");
    add("u@2", CHECKED_MASKED, "");
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\", \"t@2\"]\n");
    CHECK_TEXT(found(), "t@:2:9: 'needs' names 'u@2', and no service has that name; the nearest is "
                        "'t@2'");
    CHECK_TEXT(names.list[named("t@1")->named_by].name, "web");
    CHECK_TEXT(names.list[named("u@1")->named_by].name, "t@1");
    CHECK(named("u@2")->kind == CHECKED_MASKED);
    end();
}

TEST(an_instance_that_only_those_name_that_nobody_names_is_not_named)
{
    begin();
    add("u@", CHECKED_TEMPLATE, "exec: true\n");
    add("u@1", CHECKED_INSTANCE, "exec: true\n");
    add("t@1", CHECKED_INSTANCE, "exec: true\nneeds: [\"u@1\"]\n");
    add("u@2", CHECKED_INSTANCE, "exec: true\n");
    add("t@2", CHECKED_INSTANCE, "exec: true\nneeds: [\"u@2\"]\n")->stands = true;
    CHECK_TEXT(found(), "");
    CHECK(named("u@1")->named_by == NAMED_BY_NOBODY && named("t@1")->named_by == NAMED_BY_NOBODY);
    CHECK_TEXT(names.list[named("u@2")->named_by].name, "t@2");
    end();
}

TEST(instances_that_name_longer_and_longer_ones_come_to_an_end)
{
    begin();
    add("t@", CHECKED_TEMPLATE, "exec: true\nneeds: [\"u@%ix\"]\n");
    add("u@", CHECKED_TEMPLATE, "exec: true\nneeds: [\"t@%ix\"]\n");
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\"]\n");
    CHECK(strstr(found(), "with longer and longer names?") != NULL);
    CHECK_NUMBER(names.count, 3 + 16);
    end();
}

TEST(one_that_needs_what_it_provides_is_a_cycle_of_its_own)
{
    begin();
    add("a", CHECKED_SERVICE, "exec: true\nprovides: [x, x]\nneeds: [x]\n");
    CHECK_TEXT(found(), "a:3:9: in a cycle, each after the next: a, a");
    CHECK(named("a")->in_cycle);
    end();
}

TEST(a_long_cycle_goes_over_several_errors_and_its_middle_is_left_out)
{
    enum { LENGTH = 130 };
    static char called[LENGTH][16], texts[LENGTH][80];
    const char *place = "s0:2:10: ", *begin_words = "in a cycle, each after the next: s0, s1, ";
    begin();
    for (int i = 0; i < LENGTH; i++) {
        text_format(called[i], sizeof called[i], "s%d", i);
        text_format(texts[i], sizeof texts[i], "exec: true\nafter: [%s's%d']\n", i ? "" : " ",
                    (i + 1) % LENGTH);
        add(called[i], CHECKED_SERVICE, texts[i]);
    }
    const char *words = found(), *rest = NULL;
    CHECK(text_starts_with(words, place, &rest) && text_starts_with(rest, begin_words, NULL));
    CHECK(errors.count > 1 && strstr(words, "\ns0:2:10: … and these: s") != NULL);
    CHECK(strstr(words, ", … 30 more …, s") != NULL);
    CHECK(strstr(words, ", s129, s0") != NULL);
    CHECK_NUMBER(names.finding_count, 1);
    CHECK_NUMBER(names.findings[0].count, errors.count);
    end();
}

TEST(a_cycle_of_which_nothing_is_to_be_said_is_known_all_the_same)
{
    begin();
    add("a", CHECKED_SERVICE, "exec: true\nneeds: [b]\n")->told = false;
    add("b", CHECKED_SERVICE, "exec: true\nafter: [a]\n")->told = false;
    CHECK_TEXT(found(), "");
    CHECK(named("a")->in_cycle && named("b")->in_cycle);
    CHECK_NUMBER(names.finding_count, 0);
    end();
}

TEST(the_other_one_says_before_and_so_the_place_cannot_be_told)
{
    begin();
    add("a", CHECKED_SERVICE, "exec: true\nbefore: [b]\nneeds: [c]\n");
    add("b", CHECKED_SERVICE, "exec: true\nbefore: [a]\n");
    add("c", CHECKED_SERVICE, "exec: true\n");
    CHECK_TEXT(found(), "a: in a cycle, each after the next: a, b, a");
    end();
}

/* ---- the system file ------------------------------------------------------------------------ */

static struct system_service in_order[] = {
    {"b", NULL, {3, 9}},      {"t@1", NULL, {4, 9}}, {"nobody", NULL, {5, 9}},
    {"c", NULL, {6, 9}},      {"x", NULL, {7, 9}}, /* which c provides */
    {"gone@1", NULL, {8, 9}},
};
static const char *to_start[] = {"t@2", "none", "b", NULL};
static struct system_place start_places[] = {{9, 9}, {9, 14}, {9, 20}};
static const struct system_file order = {.path = "conit.yml",
                                         .services = in_order,
                                         .service_count = sizeof in_order / sizeof *in_order,
                                         .start = to_start,
                                         .start_places = start_places};

static void add_ordered(void)
{
    add("b", CHECKED_SERVICE, "exec: true\nafter: [\"t@1\"]\n");
    add("c", CHECKED_SERVICE, "exec: true\nprovides: [x]\n");
    add("t@", CHECKED_TEMPLATE, "exec: true\n");
}

TEST(what_the_system_file_names_is_made_checked_and_in_its_order)
{
    begin();
    names.order = &order;
    add_ordered();
    CHECK_TEXT(found(), "b:2:9: in a cycle, each after the next: b, t@1, b\n"
                        "conit.yml:5:9: 'services' names 'nobody', and no service has that name\n"
                        "conit.yml:8:9: 'services' names 'gone@1', and no service has that name\n"
                        "conit.yml:9:14: 'start' names 'none', and no service has that name");
    CHECK(named("t@1")->named_by == NAMED_BY_ORDER && named("t@2")->named_by == NAMED_BY_ORDER);
    CHECK(!named("c")->in_cycle);
    CHECK_NUMBER(names.findings[names.finding_count - 1].kind, FINDING_ORDER);
    CHECK_NUMBER(names.findings[names.finding_count - 1].count, 3);
    end();
}

static bool is_none_of_the_order(const void *context, const struct checked *checked,
                                 const char *name)
{
    return checked || !strcmp(name, context);
}

TEST(of_the_system_files_names_those_are_told_that_are_news)
{
    begin();
    names.order = &order;
    names.is_news = is_none_of_the_order;
    names.context = "none";
    add_ordered();
    CHECK(strstr(found(), "nobody") == NULL && strstr(found(), "'start' names 'none'") != NULL);
    end();
}

TEST(a_system_file_that_names_nothing_orders_nothing)
{
    static const struct system_file says_nothing = {.path = "conit.yml"};
    begin();
    names.order = &says_nothing;
    add_ordered();
    CHECK_TEXT(found(), "");
    CHECK(!named("t@1"));
    end();
}

/* ---- switched by hand ----------------------------------------------------------------------- */

TEST(what_is_switched_on_by_hand_is_made_and_outranks_what_files_say)
{
    static struct switch_entry list[] = {
        {"a", SWITCHED_OFF}, {"b", SWITCHED_ON}, {"t@1", SWITCHED_ON}, {"t@2", SWITCHED_OFF}};
    static const struct switches switches = {list, sizeof list / sizeof *list, {0}};
    for (int by_hand = 0; by_hand < 2; by_hand++) {
        begin();
        names.switches = by_hand ? &switches : NULL;
        add("a", CHECKED_SERVICE, "exec: true\nprovides: [db]\nneeds: [web]\n");
        add("b", CHECKED_SERVICE, "exec: true\nprovides: [db]\nenabled: no\n");
        add("t@", CHECKED_TEMPLATE, "exec: true\n");
        add("web", CHECKED_SERVICE, "exec: true\nneeds: [db]\n");
        CHECK_TEXT(found(), by_hand ? "" : "a:3:9: in a cycle, each after the next: a, web, a");
        CHECK(by_hand == (named("t@1") && named("t@1")->named_by == NAMED_BY_SWITCH));
        CHECK(!named("t@2"));
        end();
    }
}

TEST(of_two_that_are_enabled_and_provide_a_name_the_first_by_name_is_meant)
{
    static const char *const texts[] = {"exec: true\nprovides: [db]\n",
                                        "exec: true\nprovides: [db]\nneeds: [web]\n"};
    for (int second_in_cycle = 0; second_in_cycle < 2; second_in_cycle++) {
        begin();
        add("b", CHECKED_SERVICE, texts[second_in_cycle]);
        add("a", CHECKED_SERVICE, texts[!second_in_cycle]);
        add("web", CHECKED_SERVICE, "exec: true\nneeds: [db]\n");
        CHECK_NUMBER(strstr(found(), "in a cycle") != NULL, !second_in_cycle);
        end();
    }
}

/* ---- templates of files, as `slc check` has them -------------------------------------------- */

/* The template as it is checked: its definition is that of an example. */
static struct checked *add_template(const char *name, const char *text)
{
    struct checked *added = add(name, CHECKED_TEMPLATE, text);
    struct error_list ignored = {0};
    CHECK_NUMBER(definition_parse_template(added->source, &added->owned, &ignored), 0);
    error_list_finish(&ignored);
    added->definition = added->owned;
    added->name = added->owned->name;
    return added;
}

TEST(what_all_instances_use_is_said_of_the_template_and_what_one_uses_of_that_one)
{
    begin();
    names.in_force = false;
    add_template("t@", "exec: true\nneeds: [nobody]\nwants: ['only-%i']\n");
    add_template("u@", "exec: true\n");
    add("web", CHECKED_SERVICE, "exec: true\nwants: [\"t@1\", \"u@1\", \"v@1\"]\n");
    CHECK_TEXT(found(), "t@:2:9: 'needs' names 'nobody', and no service has that name\n"
                        "web:2:23: 'wants' names 'v@1', and no service has that name; the nearest "
                        "is 't@1'\n"
                        "t@:3:9: 'wants' names 'only-1', and no service has that name");
    CHECK_TEXT(names.list[named("t@1")->template].source->name, "t@");
    end();
}

static const char *starts_one[] = {"t@1", NULL};
static const struct system_file says_one = {
    .path = "conit.yml", .start = starts_one, .start_places = start_places};

TEST(an_instance_of_a_template_that_does_not_load_is_not_made_and_its_name_is_not_missed)
{
    begin();
    names.in_force = false;
    add("t@", CHECKED_TEMPLATE, "exec: 'true\n");
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\"]\n");
    names.order = &says_one;
    CHECK_TEXT(found(), "");
    CHECK_NUMBER(names.count, 2);
    end();
}

TEST(of_two_that_name_an_instance_the_first_has_made_it)
{
    begin();
    add("b", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\"]\n");
    add("a", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\"]\n");
    add("t@", CHECKED_TEMPLATE, "exec: true\n");
    CHECK_TEXT(found(), "");
    CHECK_NUMBER(named("t@1")->named_by, 0);
    CHECK_NUMBER(names.count, 4);
    end();
}

TEST(who_uses_a_name_that_an_instance_provides_does_not_name_the_instance)
{
    begin();
    add("t@1", CHECKED_INSTANCE, "exec: true\nprovides: [x]\n");
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [x]\n");
    CHECK_TEXT(found(), "");
    CHECK(named("t@1")->named_by == NAMED_BY_NOBODY);
    end();
}

TEST(an_instance_that_does_not_load_is_told_where_its_template_is)
{
    for (int told = 0; told < 2; told++) {
        begin();
        names.in_force = false;
        add_template("t@", "exec: true\nready: {tcp: '127.0.0.1:%i'}\n")->told = told;
        add("web", CHECKED_SERVICE, "exec: true\nneeds: [\"t@80\", \"t@x\"]\n");
        CHECK_TEXT(found(), told ? "t@:2:14: 'ready.tcp' is HOST:PORT, not '127.0.0.1:%i': write "
                                   "'127.0.0.1:80', '[::1]:80' or 'localhost:80'"
                                 : "");
        CHECK(named("t@80")->definition && !named("t@x")->definition);
        end();
    }
}

TEST(an_instance_whose_template_is_gone_is_no_template)
{
    begin();
    add("t@1", CHECKED_INSTANCE, "exec: true\n")->stands = true;
    sources[0].name = "t@";
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\", \"t@2\"]\n");
    CHECK_TEXT(found(), "web:2:16: 'needs' names 't@2', and no service has that name; the nearest "
                        "is 't@1'");
    end();
}

TEST(names_that_grow_without_end_are_not_told_where_nothing_is_to_be_told)
{
    begin();
    add("t@", CHECKED_TEMPLATE, "exec: true\nneeds: [\"u@%ix\"]\n")->told = false;
    add("u@", CHECKED_TEMPLATE, "exec: true\nneeds: [\"t@%ix\"]\n")->told = false;
    add("web", CHECKED_SERVICE, "exec: true\nneeds: [\"t@1\"]\n");
    CHECK(strstr(found(), "longer and longer") == NULL);
    CHECK_NUMBER(names.count, 3 + 16);
    end();
}

TEST(more_instances_than_are_thought_of_at_first_are_all_made)
{
    enum { COUNT = 300 };
    static char text[COUNT * 16];
    struct text all;
    begin();
    text_init(&all, text, sizeof text);
    text_add(&all, "exec: true\nwants: [");
    for (int i = 0; i < COUNT; i++)
        text_printf(&all, "t@%d, t@%d, ", i, i / 2);
    text_add(&all, "]\n");
    add("t@", CHECKED_TEMPLATE, "exec: true\n");
    add("web", CHECKED_SERVICE, text);
    CHECK_TEXT(found(), "");
    CHECK_NUMBER(names.count, 2 + COUNT);
    end();
}

TEST(the_place_of_a_word_is_told_as_near_as_it_can_be)
{
    static const struct {
        const char *text, *key;
        size_t index;
        unsigned line, column;
    } rows[] = {
        {"exec: a\nneeds: [b, c]\n", "needs", 1, 2, 12},
        {"exec: a\nneeds: [b, c]\n", "needs", 7, 2, 12}, /* the last there is */
        {"exec: a\nneeds: [b, c]\n", "exec", 0, 1, 7},
        {"exec: a\nneeds: [b, c]\n", "exec", 1, 1, 7},
        {"exec: a\nneeds: []\n", "needs", 0, 2, 8},
        {"exec: a\n", "needs", 0, 0, 0},
        {"- exec\n", "needs", 0, 0, 0},
        {"", "needs", 0, 0, 0},
        {"exec: 'a\n", "exec", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct source source = {
            .name = "a", .path = "a", .text = rows[i].text, .size = strlen(rows[i].text)};
        unsigned line = 99, column = 99;
        names_place(&source, rows[i].key, rows[i].index, &line, &column);
        CHECK_NUMBER(line, rows[i].line);
        CHECK_NUMBER(column, rows[i].column);
    }
}
