/* run-on-pid-ns: the keys by which one gets out of a console. */
#include "base/clock.h"
#include "run-on-pid-ns/terminal.h"
#include "test.h"

#include <string.h>

/* Each letter is typed by itself, so many ms after the one before; ']' is Ctrl-]. */
static bool typed(const char *keys, uint64_t apart_ms)
{
    struct terminal_escape escape = {0};
    uint64_t now_ns = 5 * NS_PER_SEC;
    bool out = false;
    for (const char *key = keys; *key; key++, now_ns += apart_ms * NS_PER_MS) {
        char byte = *key == ']' ? TERMINAL_ESCAPE : *key;
        out |= terminal_escape_feed(&escape, &byte, 1, now_ns);
    }
    return out;
}

TEST(three_times_within_a_second_gets_out)
{
    struct terminal_escape escape = {0};
    CHECK(typed("]]]", 0));
    CHECK(typed("]]]", 500));
    CHECK(typed("x]]x]]]x", 100));
    CHECK(!typed("]]]", 501));
    CHECK(typed("]]]]]", 300));
    CHECK(!typed("]]", 0));
    CHECK(!typed("]]x]", 0));
    CHECK(!typed("]x]x]x", 0));
    CHECK(terminal_escape_feed(&escape, "a\x1d\x1d\x1dz", 5, 1));
    CHECK(!terminal_escape_feed(&escape, "\x1d\x1d", 2, 1)); /* begun anew behind it */
    CHECK(terminal_escape_feed(&escape, "\x1d", 1, 2));
}
