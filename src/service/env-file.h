/* A file of environment variables, `KEY=value` a line, as systemd.exec(5) has it for
 * EnvironmentFile, but that a line which is none of these is an error and not left out:
 *
 *   # comment   ; comment   an empty line
 *   KEY=value with blanks inside; \ takes the next character as it is, or joins the next line
 *   KEY="value" the same, over several lines; \ only before " \ ` $ and the end of a line
 *   KEY='value' just as it stands, over several lines
 *
 * Blanks around KEY and the value do not count. Nothing is replaced: $HOME stays $HOME. */
#pragma once

#include <stddef.h>

#define ENV_FILE_MAX_BYTES   (256u << 10)
#define ENV_FILE_MAX_ENTRIES 1000

enum env_file_problem {
    ENV_FILE_NO_EQUALS,
    ENV_FILE_BAD_NAME,
    ENV_FILE_EXPORT,
    ENV_FILE_OPEN_QUOTE,
    ENV_FILE_BEHIND_QUOTE,
    ENV_FILE_NUL,
    ENV_FILE_TOO_MANY,
    ENV_FILE_PROBLEMS
};

/* What is wrong, and what to write instead. */
const char *env_file_words(unsigned problem);

struct env_file_error {
    enum env_file_problem problem;
    unsigned line; /* where it begins, from 1 */
};

/* Turns the text, which has a NUL behind its `bytes`, into entries "KEY=value" that lie in it:
 * `entries` has room for ENV_FILE_MAX_ENTRIES and a NULL behind. Of several of one name the last is
 * left. Returns 0, or -EINVAL with the first error in *ret_error; the text is spoilt either way. */
int env_file_parse(char *text, size_t bytes, char **entries, struct env_file_error *ret_error);
