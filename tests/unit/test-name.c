/* The rules for a service's name. */
#include "service/name.h"
#include "test.h"

static bool is_good(const char *name)
{
    return !service_name_problem(name, strlen(name), NULL);
}

TEST(letters_digits_and_a_few_marks_make_a_name)
{
    CHECK(is_good("a"));
    CHECK(is_good("agetty@tty1"));
    CHECK(is_good("A-b_c.d:9"));
    CHECK(is_good("..."));
    CHECK(is_good(".a"));
    CHECK(is_good("conit2"));
}

TEST(a_name_that_leaves_its_folder_is_refused)
{
    size_t at = 99;
    CHECK(!is_good("."));
    CHECK(!is_good(".."));
    CHECK(!is_good("/"));
    CHECK(strstr(service_name_problem("ab/c", 4, &at), "path") != NULL);
    CHECK_NUMBER(at, 2);
}

TEST(a_name_has_1_to_200_bytes)
{
    char name[201];
    memset(name, 'n', sizeof name);
    CHECK(service_name_problem("", 0, NULL) != NULL);
    CHECK(service_name_problem(name, 200, NULL) == NULL);
    CHECK(service_name_problem(name, 201, NULL) != NULL);
}

TEST(every_other_byte_is_refused)
{
    for (int byte = 0; byte < 256; byte++) {
        char name[3] = {'x', (char)byte, 'y'};
        bool allowed = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || (byte && strchr("-_.@:", byte));
        CHECK_NUMBER(service_name_problem(name, 3, NULL) == NULL, allowed);
    }
}

TEST(the_name_of_our_own_journal_is_reserved)
{
    CHECK(!is_good("conit"));
}

TEST(no_file_has_the_name_of_a_journal_that_is_no_services)
{
    static const char *const names[] = {"conit", "syslog", "kernel"};
    for (size_t i = 0; i < 3; i++) {
        CHECK(service_name_is_journal(names[i]));
        CHECK(strstr(service_name_file_problem(names[i], 6 - (i == 0)), "is reserved") != NULL);
    }
    CHECK(!service_name_is_journal("syslogd") && !service_name_file_problem("syslogd", 7));
    CHECK(!service_name_is_journal("kerne") && !service_name_file_problem("kerne", 5));
    CHECK(!service_name_file_problem("kernel@", 7));
    CHECK(is_good("syslog")); /* to be provided, and needed */
}

TEST(a_template_is_no_service_and_has_an_instance_behind_its_first_at)
{
    char template[SERVICE_NAME_MAX_BYTES + 1];
    size_t at = 99;
    CHECK(is_good("a@b@c"));
    CHECK(is_good("a@@"));
    CHECK(strstr(service_name_problem("agetty@", 7, &at), "is a template") != NULL);
    CHECK_NUMBER(at, 6);
    CHECK(strstr(service_name_problem("@tty1", 5, &at), "begins with '@'") != NULL);
    CHECK_NUMBER(at, 0);
    CHECK(!is_good("@"));
    CHECK(!is_good("agetty@a/b"));
    CHECK_TEXT(service_name_instance("agetty@tty1"), "tty1");
    CHECK_TEXT(service_name_instance("a@b@c"), "b@c");
    CHECK(!service_name_instance("agetty"));
    CHECK(!service_name_instance("agetty@"));
    CHECK(!service_name_instance("@tty1"));
    CHECK(service_name_template("a@b@c", template));
    CHECK_TEXT(template, "a@");
    CHECK(!service_name_template("plain", template));
    CHECK(!service_name_template("agetty@", template));
    char long_name[SERVICE_NAME_MAX_BYTES + 3];
    memset(long_name, 'n', sizeof long_name);
    memcpy(long_name + SERVICE_NAME_MAX_BYTES, "@i", 3);
    CHECK(!service_name_template(long_name, template)); /* not even the template has room */
    CHECK(service_name_template(long_name + 1, template));
    CHECK_NUMBER(strlen(template), SERVICE_NAME_MAX_BYTES);
}

TEST(a_files_name_may_be_a_templates)
{
    char name[201];
    memset(name, 'n', sizeof name);
    CHECK(service_name_is_template("agetty@", 7));
    CHECK(!service_name_is_template("agetty@tty1", 11));
    CHECK(!service_name_is_template("a@b@", 4));
    CHECK(!service_name_is_template("@", 1));
    CHECK(!service_name_file_problem("agetty@", 7));
    CHECK(!service_name_file_problem("agetty@tty1", 11));
    CHECK(!service_name_file_problem("agetty", 6));
    CHECK(service_name_file_problem("a/b@", 4) != NULL);
    CHECK(service_name_file_problem("@", 1) != NULL);
    /* One byte is left for an instance. */
    name[198] = '@';
    CHECK(!service_name_file_problem(name, 199));
    name[198] = 'n';
    name[199] = '@';
    CHECK(service_name_file_problem(name, 200) != NULL);
    name[199] = 'n';
    name[200] = '@';
    CHECK(strstr(service_name_file_problem(name, 201), "is too long") != NULL);
}
