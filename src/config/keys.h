/* The key table: one row a key of the service file. Parser, default, help, comparison and
 * display come from the row; so do the docs. Rows are in the order of docs/service-file.md;
 * bit N of definition.keys_given is row N. */
#pragma once

#include "base/text.h"
#include "service/definition.h"

#include <stdbool.h>

/* clang-format off */
enum key_row {
    KEY_DESCRIPTION, KEY_TYPE, KEY_EXEC, KEY_ARGS, KEY_SCRIPT,
    KEY_BEFORE_START, KEY_AFTER_START, KEY_BEFORE_STOP, KEY_AFTER_STOP, KEY_RELOAD,
    KEY_ENABLED, KEY_NEEDS, KEY_WANTS, KEY_AFTER, KEY_BEFORE, KEY_CONFLICTS, KEY_PROVIDES,
    KEY_WHEN, KEY_READY, KEY_START_TIMEOUT, KEY_WATCHDOG, KEY_STOP, KEY_RESTART, KEY_ESSENTIAL,
    KEY_USER, KEY_GROUP, KEY_GROUPS, KEY_DIR, KEY_ROOT, KEY_UMASK, KEY_ENV, KEY_ENV_FILE,
    KEY_STDIN, KEY_TTY, KEY_CONSOLE, KEY_NICE, KEY_OOM_SCORE_ADJ, KEY_CPUS, KEY_IO, KEY_SCHED,
    KEY_LIMITS, KEY_RESOURCES, KEY_FORKS, KEY_LOG,
    KEY_COUNT
};
/* clang-format on */

#define KEY_BIT(row) (UINT64_C(1) << (row))

struct key_kind; /* how values of a kind are parsed, compared, shown: config/parse.h */

struct key {
    const char *name;
    const struct key_kind *kind;
    size_t offset;            /* of the field in struct definition */
    const char *value;        /* what may be written, in words */
    const char *default_text; /* in words; NULL: none */
    const char *help;         /* one line */
    bool needs_restart;       /* a change of it reaches a running service by a restart only */
    bool for_target;          /* has a meaning for a target, which runs nothing */
};

extern const struct key keys[KEY_COUNT];

/* The row of that name, or -1. */
int key_find(const char *name);

/* The name of the key that is written most like this, or NULL when none is near. */
const char *key_nearest(const char *name);

static inline bool key_needs_restart(unsigned row)
{
    return keys[row].needs_restart;
}

/* Bit N: the value of key row N is not the same in both. Users are compared as looked up. */
uint64_t definition_diff(const struct definition *a, const struct definition *b);

/* Whether one of these keys reaches what runs only by a restart. */
bool keys_need_restart(uint64_t bits);

/* A hash of the values of all such keys, never 0. */
uint64_t definition_start_hash(const struct definition *definition);

/* Adds the value of a key as JSON, as it would stand in the file with every default filled in;
 * `null` where there is none. */
void definition_show(unsigned row, const struct definition *definition, struct text *text);
