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
        char name[2] = {'x', (char)byte};
        bool allowed = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || (byte && strchr("-_.@:", byte));
        CHECK_NUMBER(service_name_problem(name, 2, NULL) == NULL, allowed);
    }
}

TEST(the_name_of_our_own_journal_is_reserved)
{
    CHECK(!is_good("conit"));
}
