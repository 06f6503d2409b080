/* A file of environment variables: what comes of it, and what is wrong with it. */
#include "service/env-file.h"
#include "test.h"

#include <errno.h>

static char *entries[ENV_FILE_MAX_ENTRIES + 1];

/* The entries one a line; or "LINE:PROBLEM". */
static void check(const char *text, size_t bytes, const char *expected)
{
    char storage[2000] = "", *copy = malloc(bytes + 1);
    struct env_file_error error;
    size_t used = 0;
    if (!copy)
        abort();
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    int failed = env_file_parse(copy, bytes, entries, &error);
    if (failed) {
        CHECK_NUMBER(failed, -EINVAL);
        snprintf(storage, sizeof storage, "%u:%d", error.line, (int)error.problem);
    }
    for (size_t i = 0; !failed && entries[i]; i++)
        used += (size_t)snprintf(storage + used, sizeof storage - used, "%s|", entries[i]);
    CHECK_TEXT(storage, expected);
    free(copy);
}

#define CHECK_FILE(text, expected) check(text, sizeof(text) - 1, expected)

static void check_problem(const char *text, size_t bytes, unsigned line, int problem)
{
    char expected[20];
    snprintf(expected, sizeof expected, "%u:%d", line, problem);
    check(text, bytes, expected);
}

#define CHECK_PROBLEM(text, line, problem) check_problem(text, sizeof(text) - 1, line, problem)

TEST(a_line_is_a_variable)
{
    CHECK_FILE("", "");
    CHECK_FILE("A=b", "A=b|");
    CHECK_FILE("A=b\n", "A=b|");
    CHECK_FILE("A=b\r\nC=d\r\n", "A=b|C=d|");
    CHECK_FILE("A=\nB=", "A=|B=|");
    CHECK_FILE("\n\n  A = b c  \n\t_x1=\t=#;\n", "A=b c|_x1==#;|");
    CHECK_FILE("# a\n; b\n  # c=d\nA=b # no comment\n#", "A=b # no comment|");
    CHECK_FILE("\xef\xbb\xbf"
               "A=b\n",
               "A=b|");
    CHECK_FILE("A=$HOME `id` ${X}\n", "A=$HOME `id` ${X}|");
    CHECK_FILE("A=it's \"so\"\n", "A=it's \"so\"|");
}

TEST(quotes_and_backslashes_are_those_of_a_shell)
{
    CHECK_FILE("A='b  c'  \nB=\"d\\\"e\\\\f\\$g\\`h\\i\"\n", "A=b  c|B=d\"e\\f$g`h\\i|");
    CHECK_FILE("A='x\\'\nB=\" y \"", "A=x\\|B= y |");
    CHECK_FILE("A='one\ntwo'\nB=\"three\nfour\\\nfive\"\n", "A=one\ntwo|B=three\nfourfive|");
    CHECK_FILE("A=b\\\nc\\ \nD=e\\\\\\n\n", "A=bc |D=e\\n|");
    CHECK_FILE("A=''\nB=\"\"\n", "A=|B=|");
    CHECK_FILE("A=end\\", "A=end\\|");
}

TEST(the_last_of_one_name_is_left)
{
    CHECK_FILE("A=1\nB=2\nA=3\n", "B=2|A=3|");
    CHECK_FILE("AB=1\nA=2\nABC=3\nAB=4\n", "A=2|ABC=3|AB=4|");
}

TEST(what_is_no_variable_is_told_with_its_line)
{
    CHECK_PROBLEM("A=b\nnonsense\n", 2, ENV_FILE_NO_EQUALS);
    CHECK_PROBLEM("A='x\ny'\n\n1=b", 4, ENV_FILE_BAD_NAME);
    CHECK_PROBLEM("=b", 1, ENV_FILE_BAD_NAME);
    CHECK_PROBLEM("A-B=c\n", 1, ENV_FILE_BAD_NAME);
    CHECK_PROBLEM("A B=c\n", 1, ENV_FILE_BAD_NAME);
    CHECK_PROBLEM("\nexport A=b\n", 2, ENV_FILE_EXPORT);
    CHECK_PROBLEM("A=\\\n\\\nb\nx", 4, ENV_FILE_NO_EQUALS);
    CHECK_PROBLEM("#\nA='b\nC=d\n", 2, ENV_FILE_OPEN_QUOTE);
    CHECK_PROBLEM("A=\"b\\\"\n", 1, ENV_FILE_OPEN_QUOTE);
    CHECK_PROBLEM("A=\"b\\", 1, ENV_FILE_OPEN_QUOTE);
    CHECK_PROBLEM("A='b'c\n", 1, ENV_FILE_BEHIND_QUOTE);
    CHECK_PROBLEM("A=\"b\" # c\n", 1, ENV_FILE_BEHIND_QUOTE);
    CHECK_PROBLEM("A=b\nC=\0d\n", 2, ENV_FILE_NUL);
    for (unsigned i = 0; i < ENV_FILE_PROBLEMS; i++)
        CHECK(env_file_words(i) && env_file_words(i)[0]);
    CHECK(env_file_words(ENV_FILE_PROBLEMS) != NULL);
}

TEST(there_may_be_just_so_many)
{
    static char text[(ENV_FILE_MAX_ENTRIES + 1) * 8 + 1];
    size_t used = 0;
    struct env_file_error error;
    for (unsigned i = 0; i < ENV_FILE_MAX_ENTRIES; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "V%u=x\n", i);
    char *copy = strdup(text);
    CHECK_NUMBER(env_file_parse(copy, used, entries, &error), 0);
    CHECK_TEXT(entries[ENV_FILE_MAX_ENTRIES - 1], "V999=x");
    CHECK(entries[ENV_FILE_MAX_ENTRIES] == NULL);
    free(copy);
    used += (size_t)snprintf(text + used, sizeof text - used, "V=x\n");
    CHECK_NUMBER(env_file_parse(text, used, entries, &error), -EINVAL);
    CHECK_NUMBER(error.problem, ENV_FILE_TOO_MANY);
    CHECK_NUMBER(error.line, ENV_FILE_MAX_ENTRIES + 1);
}
