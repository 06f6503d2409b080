/* Memory that is given back as a whole, and lists of errors in what persons have written. */
#include "config/arena.h"
#include "config/error-list.h"
#include "test.h"

#include <stdint.h>

TEST(an_arena_gives_what_is_asked_for_and_aligned)
{
    struct arena arena = {.chunk_bytes = 32};
    CHECK(arena_take_bytes(&arena, 0) != NULL); /* also of an empty one */
    for (size_t i = 0; i < 1000; i++) {
        size_t size = i * 7 % 50;
        char *bytes = arena_take_bytes(&arena, size);
        memset(bytes, 'x', size);
        char *aligned = arena_take(&arena, size);
        CHECK((uintptr_t)aligned % _Alignof(max_align_t) == 0);
        memset(aligned, 'y', size);
        CHECK(size == 0 || bytes[size - 1] == 'x');
    }
    arena_finish(&arena);
    CHECK(arena.chunks == NULL);
}

TEST(an_arena_refuses_what_no_machine_has_and_goes_on)
{
    struct arena arena = {0};
    CHECK(arena_take_bytes(&arena, SIZE_MAX / 2 + 1) == NULL);
    CHECK(arena_take(&arena, SIZE_MAX) == NULL);
    CHECK(arena_copy(&arena, "abc", 3) != NULL);
    arena_finish(&arena);
}

TEST(an_aligned_piece_that_no_longer_fits_behind_its_gap_gets_a_new_chunk)
{
    for (size_t left = 1; left < 40; left++) {
        struct arena arena = {.chunk_bytes = 64};
        arena_take_bytes(&arena, 64 - left);
        char *piece = arena_take(&arena, 1);
        CHECK((uintptr_t)piece % _Alignof(max_align_t) == 0);
        *piece = 1;
        arena_finish(&arena);
    }
}

TEST(errors_know_their_file_where_there_is_one)
{
    struct error_list errors = {0};
    char file[] = "a.yml", line[200];
    CHECK_NUMBER(error_list_add(&errors, NULL, 0, 0, "%d of them", 3), 0);
    CHECK_NUMBER(error_list_add(&errors, file, 1, 2, "first"), 0);
    CHECK_NUMBER(error_list_add(&errors, file, 3, 4, "second"), 0);
    CHECK_NUMBER(error_list_add(&errors, "b.yml", 5, 6, "third"), 0);
    memset(file, 'x', sizeof file - 1); /* the list has its own */
    static const char *const lines[] = {"3 of them", "a.yml:1:2: first", "a.yml:3:4: second",
                                        "b.yml:5:6: third"};
    CHECK_NUMBER(errors.count, 4);
    for (size_t i = 0; i < errors.count; i++) {
        error_format(&errors.list[i], line, sizeof line);
        CHECK_TEXT(line, lines[i]);
    }
    CHECK(errors.list[1].file == errors.list[2].file);
    error_list_finish(&errors);
}

TEST(what_a_message_quotes_cannot_harm_a_terminal_or_a_log_line)
{
    static const struct {
        const char *message, *kept;
    } rows[] = {
        {"caf\303\251 \342\202\254 \360\237\220\247", "caf\303\251 \342\202\254 \360\237\220\247"},
        {"a\nb\033[31m\177c\t", "a b [31m c "},
        {"\251alone", "?alone"},
        {"\251\251two", "??two"},
        {"cut \303", "cut ?"},
        {"cut \342\202", "cut ??"},
        {"cut \360\237\220", "cut ???"},
        {"cut \360\237x", "cut ??x"},
    };
    struct error_list errors = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_NUMBER(error_list_add(&errors, "f", 1, 1, "%s", rows[i].message), 0);
        CHECK_TEXT(errors.list[i].message, rows[i].kept);
    }
    error_list_finish(&errors);
}
