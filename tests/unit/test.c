/* Runs the tests of one program. */
#include "test.h"

int test_failures;

static struct test *first, **last = &first;

void test_register(struct test *test)
{
    *last = test;
    last = &test->next;
}

int main(void)
{
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (const struct test *test = first; test; test = test->next) {
        int before = test_failures;
        test->run();
        bool good = test_failures == before;
        failed += !good;
        printf("%s %s\n", good ? "ok" : "FAILED", test->name);
    }
    if (!first)
        return 2;
    return failed ? 1 : 0;
}
