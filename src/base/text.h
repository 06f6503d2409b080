/* Bounded text on the caller's storage, and strict number parsing. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text being written. Invariants: `size` > 0, `used` < `size`, data[used] == 0.
 * What does not fit is left out and `cut` is set: nothing is ever written past the storage. */
struct text {
    char *data;
    size_t size_bytes, used_bytes;
    bool cut;
};

/* Begins an empty text on `storage`, which the caller owns and which outlives it. */
void text_init(struct text *text, char *storage, size_t size_bytes);
void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const void *bytes, size_t count);
void text_add_char(struct text *text, char c);
void text_add_unsigned(struct text *text, uint64_t number);
void text_add_signed(struct text *text, int64_t number);

/* "a, b or c". */
void text_add_choice(struct text *text, const char *const *words, size_t count);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* snprintf for a result that always ends in NUL; returns false when it was cut. */
bool text_format(char *storage, size_t size_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "1000/s", "3/min", "5/90s": so many in so much time (more than 0), in the largest unit that
 * divides it: d, h, min, s or ms. */
void text_add_rate(struct text *text, uint32_t count, uint32_t interval_ms);

/* For who refuses a text: writes why, as text_format() does, and returns -EINVAL. */
int text_refuse(char *why, size_t size_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A decimal number, the whole string and nothing else: no blanks, no sign. Returns 0, -EINVAL when
 * it is none, -ERANGE when it does not fit; *ret untouched on failure. */
int text_parse_unsigned(const char *string, uint64_t *ret);

/* Whether `string` begins with `prefix`; the rest of it in *ret_rest (may be NULL). */
bool text_starts_with(const char *string, const char *prefix, const char **ret_rest);

/* Whether both are the same text, or both NULL. */
bool text_same(const char *a, const char *b);

/* The same for lists that end with NULL; one that is NULL is an empty one. */
bool text_same_lists(char *const *a, char *const *b);

/* Undoes the octal escapes of the kernel's tables ("\040" for a blank; proc_pid_mountinfo(5)), in
 * place. */
void text_unescape(char *string);

/* How many single-character edits (Damerau: swaps count one) lead from `a` to `b`; both are
 * looked at up to 64 bytes. For "did you mean". */
unsigned text_distance(const char *a, const char *b);

/* The nearest of `count` candidates within a third of the word's length (at least 2 edits),
 * or NULL. `candidates` is an array of strings. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);
