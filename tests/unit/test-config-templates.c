/* Templates: instances made out of one text, each with its name, and what is wrong with them. */
#include "base/text.h"
#include "config/definition-parse.h"
#include "test.h"

#include <errno.h>

static struct source template_of(const char *name, const char *text)
{
    return (struct source){.name = name, .path = "t.yml", .text = text, .size = strlen(text)};
}

static void show_errors(const struct error_list *errors, char *storage, size_t size)
{
    struct text all;
    char line[600];
    text_init(&all, storage, size);
    for (size_t i = 0; i < errors->count; i++) {
        error_format(&errors->list[i], line, sizeof line);
        text_printf(&all, "%s%s", i ? "\n" : "", line);
    }
}

static struct definition *load(const char *template, const char *name, const char *text)
{
    struct source source = template_of(template, text);
    struct error_list errors = {0};
    struct definition *definition = NULL;
    char words[1000];
    CHECK_NUMBER(definition_parse_instance(&source, name, &definition, &errors), 0);
    show_errors(&errors, words, sizeof words);
    CHECK_TEXT(words, "");
    error_list_finish(&errors);
    if (!definition)
        exit(1);
    return definition;
}

static void check_bad(const char *template, const char *name, const char *text, const char *wanted)
{
    struct source source = template_of(template, text);
    struct error_list errors = {0};
    struct definition *definition = NULL;
    char words[2000];
    int failed = name ? definition_parse_instance(&source, name, &definition, &errors)
                      : definition_parse_template(&source, &definition, &errors);
    CHECK_NUMBER(failed, -EINVAL);
    CHECK(definition == NULL);
    show_errors(&errors, words, sizeof words);
    CHECK_TEXT(words, wanted);
    error_list_finish(&errors);
}

TEST(an_instance_has_its_own_name_wherever_a_percent_may_stand)
{
    struct definition *d = load("web@", "web@8080",
                                "description: On %i, 100%%\n"
                                "exec: prog --port %i --name=%n --of %p 100%%\n"
                                "args: ['%i']\n"
                                "before-start: [[check, '%n']]\n"
                                "dir: /srv/%i\n"
                                "env: {PORT: '%i'}\n"
                                "needs: ['store@%i', '%p-setup']\n"
                                "wants: ['%p@main']\n"
                                "after: ['x@%i.y']\n"
                                "before: ['late@%n']\n"
                                "conflicts: ['other@%i']\n"
                                "provides: ['port-%i']\n"
                                "when: [{exists: /run/%i}]\n");
    CHECK_TEXT(d->name, "web@8080");
    CHECK_TEXT(d->path, "t.yml");
    CHECK_TEXT(d->description, "On 8080, 100%");
    CHECK_TEXT(d->argv[2], "8080");
    CHECK_TEXT(d->argv[3], "--name=web@8080");
    CHECK_TEXT(d->argv[5], "web");
    CHECK_TEXT(d->argv[6], "100%");
    CHECK_TEXT(d->argv[7], "8080");
    CHECK_TEXT(d->before_start[0][1], "web@8080");
    CHECK_TEXT(d->dir, "/srv/8080");
    CHECK_TEXT(d->env[0], "PORT=8080");
    CHECK_TEXT(d->needs[0], "store@8080");
    CHECK_TEXT(d->needs[1], "web-setup");
    CHECK_TEXT(d->wants[0], "web@main");
    CHECK_TEXT(d->after[0], "x@8080.y");
    CHECK_TEXT(d->before[0], "late@web@8080");
    CHECK_TEXT(d->conflicts[0], "other@8080");
    CHECK_TEXT(d->provides[0], "port-8080");
    definition_destroy(d);
}

TEST(what_is_behind_the_first_at_is_the_instance)
{
    struct definition *d = load("a@", "a@b@c", "exec: prog %p %i\n");
    CHECK_TEXT(d->argv[1], "a");
    CHECK_TEXT(d->argv[2], "b@c");
    definition_destroy(d);
}

TEST(an_own_file_of_an_instance_has_an_instance_too)
{
    struct source source = template_of("a@b", "exec: prog %i\n");
    struct error_list errors = {0};
    struct definition *d = NULL;
    CHECK_NUMBER(definition_parse(&source, &d, &errors), 0);
    CHECK_TEXT(d->argv[1], "b");
    definition_destroy(d);
    error_list_finish(&errors);
}

TEST(each_instance_of_a_folder_has_a_journal_of_its_own)
{
    struct source source = template_of("a@", "exec: prog\n");
    struct error_list errors = {0};
    struct definition *d = NULL;
    source.folder = true;
    source.logs = "/srv/a@/logs";
    CHECK_NUMBER(definition_parse_instance(&source, "a@b", &d, &errors), 0);
    CHECK_TEXT(d->logs, "/srv/a@/logs/a@b");
    definition_destroy(d);
    error_list_finish(&errors);
}

TEST(an_error_is_at_its_place_in_the_template)
{
    check_bad("a@", "a@b", "exec: prog\nneeds: ['%q@x']\n",
              "t.yml:2:10: '%q' stands for nothing: write '%%' for a percent sign; %n is the "
              "service's name");
    check_bad("a@", "a@b", "exec: prog\nneeds: [x, a@b]\n",
              "t.yml:2:12: 'needs' names the service itself: remove 'a@b'");
    check_bad("a@", "a@b", "exec: prog\nneeds: ['%p@%i']\n",
              "t.yml:2:9: 'needs' names the service itself: remove '%p@%i'");
    check_bad("a@", "a@b", "exec: prog\nneeds: ['%i@']\n",
              "t.yml:2:9: the name 'b@', out of '%i@', is a template, and no service by itself; "
              "write an instance behind the '@', as in agetty@tty1");
    check_bad("a@", "a@b", "exec: prog\nwants: ['b@']\n",
              "t.yml:2:11: the name 'b@' is a template, and no service by itself; write an "
              "instance behind the '@', as in agetty@tty1");
    check_bad("a@", "a@b", "exec: prog\nafter: ['@%i']\n",
              "t.yml:2:9: the name '@b', out of '@%i', begins with '@'; the name of a template "
              "comes before it, as in agetty@tty1");
}

TEST(a_description_of_a_template_has_percents_that_mean_something)
{
    check_bad("a@", "a@b", "exec: prog\ndescription: 5% of %i\n",
              "t.yml:2:15: write '%%' for a percent sign");
    check_bad("a@", "a@b", "exec: prog\nready: {log: '%z'}\n",
              "t.yml:2:15: '%z' stands for nothing: write '%%' for a percent sign; %n is the "
              "service's name");
}

TEST(a_name_that_gets_too_long_by_its_instance_is_refused)
{
    char name[201] = "a@", wanted[600];
    memset(name + 2, 'x', 198);
    text_format(wanted, sizeof wanted,
                "t.yml:2:9: the name 'longer@%.53s', out of 'longer@%%i', is too long; a name has "
                "at most 200 bytes",
                name + 2);
    check_bad("a@", name, "exec: prog\nneeds: ['longer@%i']\n", wanted);
}

TEST(a_template_that_names_longer_and_longer_instances_of_itself_is_refused)
{
    check_bad("a@", "a@b", "exec: prog\nneeds: ['a@%ix']\n",
              "t.yml:2:9: 'a@%ix' names an instance of this same template with a longer name, "
              "which would name a next one, without end: name one that is fixed");
    check_bad("a@", NULL, "exec: prog\nwants: ['a@%n']\n",
              "t.yml:2:9: 'a@%n' names an instance of this same template with a longer name, "
              "which would name a next one, without end: name one that is fixed");
    /* A fixed one is an end, and order alone makes none. */
    definition_destroy(load("a@", "a@b", "exec: prog\nneeds: ['a@mainstay']\nafter: ['a@%ix']\n"));
}

TEST(a_template_is_checked_without_an_instance)
{
    struct source good = template_of("a@", "exec: prog %i\nneeds: ['b@%i']\n");
    struct error_list errors = {0};
    struct definition *d = NULL;
    CHECK_NUMBER(definition_parse_template(&good, &d, &errors), 0);
    CHECK_TEXT(d->name, "a@" DEFINITION_EXAMPLE_INSTANCE);
    CHECK_NUMBER(errors.count, 0);
    definition_destroy(d);
    error_list_finish(&errors);
    check_bad("a@", NULL, "exec: prog\numsk: '077'\ndir: there\n",
              "t.yml:2:1: there is no key 'umsk': did you mean 'umask'?\n"
              "t.yml:3:6: 'dir' is a whole path, from '/', not 'there'");
    check_bad("a@", NULL, "exec: [a\n",
              "t.yml:1:7: this list is not closed: write ',' between its "
              "values and ']' at its end");
}

TEST(a_template_by_itself_is_no_service)
{
    struct source source = template_of("a@", "exec: prog\n");
    struct error_list errors = {0};
    struct definition *d = NULL;
    char words[300];
    CHECK_NUMBER(definition_parse(&source, &d, &errors), -EINVAL);
    show_errors(&errors, words, sizeof words);
    CHECK_TEXT(words, "t.yml: the name 'a@' is a template, and no service by itself; write an "
                      "instance behind the '@', as in agetty@tty1");
    error_list_finish(&errors);
}
