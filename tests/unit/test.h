/* Unit tests: a file is a program, a test is a function named after the behaviour it proves.
 *
 *   TEST(an_empty_list_has_no_first) { CHECK(list_take(&list) == NULL); }
 *
 * test.c has the main() that runs all of a program's tests in the order they stand in, one line
 * each: "ok NAME" or "FAILED NAME". A failed CHECK prints its place and goes on; the program ends
 * with 1 when any failed, and with 2 when there was none to run. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);

extern int test_failures;

#define TEST(name)                                                                                 \
    static void name##_body(void);                                                                 \
    static struct test name##_test = {#name, name##_body, NULL};                                   \
    __attribute__((constructor)) static void name##_register(void)                                 \
    {                                                                                              \
        test_register(&name##_test);                                                               \
    }                                                                                              \
    static void name##_body(void)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_failures++;                                                                       \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
        }                                                                                          \
    } while (0)

#define CHECK_NUMBER(actual, expected)                                                             \
    do {                                                                                           \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                \
        if (actual_ != expected_) {                                                                \
            test_failures++;                                                                       \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #actual, actual_, \
                    expected_);                                                                    \
        }                                                                                          \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                               \
    do {                                                                                           \
        const char *actual_ = (actual), *expected_ = (expected);                                   \
        if (!actual_ || strcmp(actual_, expected_) != 0) {                                         \
            test_failures++;                                                                       \
            fprintf(stderr, "%s:%d: %s is\n  «%s», not\n  «%s»\n", __FILE__, __LINE__, #actual,    \
                    actual_ ? actual_ : "(null)", expected_);                                      \
        }                                                                                          \
    } while (0)
