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
    static char storage[4000];
    struct text text;
    char line[600];
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
