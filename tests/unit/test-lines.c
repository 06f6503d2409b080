/* Line ends in blocks: what is copied and counted is what a loop over the bytes finds. */
#include "journal/lines.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000
#define GUARD  '#'

/* Bytes that differ from a line end by little, next to some: a carry would be seen. */
static void fill(char *bytes, size_t count, int one_in)
{
    static const char near[] = {'\v', 9, 11, (char)0x8a, 0, (char)0xff, 'x', '\r'};
    for (size_t i = 0; i < count; i++)
        bytes[i] = rand() % one_in ? near[(size_t)rand() % sizeof near] : '\n';
}

TEST(line_ends_are_counted_exactly)
{
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = (size_t)rand() % 400, expected = 0;
        char *bytes = malloc(count + 1); /* of just that size: a look too far is seen */
        char *exact = realloc(bytes, count ? count : 1);
        fill(exact, count, 1 + rand() % 40);
        for (size_t i = 0; i < count; i++)
            expected += exact[i] == '\n';
        CHECK_NUMBER(lines_count(exact, count), expected);
        free(exact);
    }
    CHECK_NUMBER(lines_count(NULL, 0), 0);
}

TEST(more_line_ends_than_a_byte_can_count_are_counted)
{
    static char bytes[70000];
    memset(bytes, '\n', sizeof bytes);
    CHECK_NUMBER(lines_count(bytes, sizeof bytes), sizeof bytes);
    CHECK_NUMBER(lines_count(bytes + 1, 16 * 255 + 3), 16 * 255 + 3);
}

TEST(one_line_is_copied_up_to_its_end_and_no_further_than_allowed)
{
    srand(2);
    for (int round = 0; round < ROUNDS; round++) {
        size_t most = (size_t)rand() % 300, expected = 0, room = most ? most : 1;
        char *from = malloc(room), *to = malloc(room + 1);
        fill(from, most, 1 + rand() % 400);
        memset(to, GUARD, room + 1);
        while (expected < most && from[expected++] != '\n') {
        }
        CHECK_NUMBER(lines_copy_one(to, from, most), expected);
        CHECK(memcmp(to, from, expected) == 0);
        CHECK(to[most] == GUARD);
        free(from);
        free(to);
    }
}
