/* Inside the parser of service files: what its parts share. Not for use outside config/. */
#pragma once

#include "config/keys.h"
#include "config/nodes.h"
#include "config/sources.h"

#include <stdbool.h>

/* A service file on its way to a definition. All that `draft` points to lies in the arena. */
struct parse {
    const struct source *source;
    struct nodes_text text;
    struct arena *arena;
    struct error_list *errors;
    unsigned errors_left;
    bool failed; /* an error was noted */
    bool no_memory;
    bool unknown_key;      /* one was noted */
    size_t expanded_bytes; /* what %n and %p were replaced by, so far */

    struct definition draft;
    argv_t exec, args;                    /* joined into draft.argv at the end */
    const struct node *values[KEY_COUNT]; /* of the keys that stand in the file */
    const struct node *restart_max;       /* of restart.max, when given */
};

/* Both note an error and return false, for `return parse_error(…)`. The second one is about byte
 * `at` inside the text of a node. */
bool parse_error(struct parse *p, const struct node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool parse_error_inside(struct parse *p, const struct node *node, size_t at, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
bool parse_no_memory(struct parse *p);

/* Parses the value of `key` into `field`. Returns false when it noted an error, and may leave
 * `field` as it was then. */
typedef bool value_parser(struct parse *p, const char *key, const struct node *value, void *field);

/* Values that are common to several keys: config/values.c, with the type of their field. */

/* Whether the value is of that kind; else it notes an error that ends in "KEY: EXAMPLE". */
bool value_need(struct parse *p, const char *key, const struct node *value, enum node_kind kind,
                const char *example);
value_parser value_text;     /* const char * */
value_parser value_user;     /* const char *: a name or a number */
value_parser value_groups;   /* names_t */
value_parser value_path;     /* const char *, absolute, with % replaced */
value_parser value_bool;     /* bool */
value_parser value_time;     /* uint32_t */
value_parser value_signal;   /* int */
value_parser value_names;    /* names_t */
value_parser value_words;    /* argv_t: a list of texts, taken as they are */
value_parser value_command;  /* argv_t: a command line, or a list */
value_parser value_commands; /* commands_t */
value_parser value_env;      /* names_t, "KEY=value" */

/* The word of a list that the value is: its index in *ret. */
bool value_word(struct parse *p, const char *key, const struct node *value,
                const char *const *words, size_t word_count, unsigned *ret);

/* A row of a mapping inside a key. */
struct sub_key {
    const char *name; /* with the key in front: "stop.signal" */
    value_parser *parse;
    size_t offset; /* in the struct of the mapping */
};
bool value_mapping(struct parse *p, const char *key, const struct node *value,
                   const struct sub_key *rows, size_t row_count, void *base);

/* Replaces %n, %p, %i and %% in `text`, which came from `node`; *percent counts the '%' of that
 * node that were seen before, to know the place of an error. NULL when it noted an error. */
char *value_expand(struct parse *p, const struct node *node, const char *text, size_t *percent);

/* Whether system calls take a path of that length; else notes an error. */
bool parse_check_path(struct parse *p, const char *key, const struct node *node, const char *path);

/* Values of one key each: config/key-values.c. */
value_parser value_type, value_exec, value_args, value_script, value_reload, value_when,
    value_start_timeout, value_stop, value_restart, value_umask, value_stdin, value_tty,
    value_limits;

/* What `ready` and `watchdog` mean for this type of service: config/key-ready.c. */
void parse_check_ready(struct parse *p);

/* Values with a file of their own: config/key-VALUE.c. */
value_parser value_forks;

/* Looks up user, group and groups of the draft: config/identity.c. */
bool parse_identity(struct parse *p);

/* What belongs to a kind of value, one row of functions for several keys: config/key-kinds.c. */
struct packer;
struct key_kind {
    value_parser *parse;
    bool (*equal)(const struct definition *a, const struct definition *b, size_t offset);
    void (*show)(const struct definition *definition, const void *field, struct text *text);
    void (*pack)(struct packer *packer, void *field); /* NULL: points to nothing */
};

extern const struct key_kind kind_text, kind_type, kind_exec, kind_args, kind_script, kind_commands,
    kind_reload, kind_bool, kind_names, kind_when, kind_ready, kind_time, kind_stop, kind_restart,
    kind_user, kind_group, kind_groups, kind_path, kind_umask, kind_env, kind_stdin, kind_tty,
    kind_limits, kind_forks, kind_log, kind_watchdog;

/* config/key-surroundings.c */
extern const struct key_kind kind_nice, kind_oom_score_adj, kind_cpus, kind_io, kind_sched,
    kind_resources, kind_root, kind_env_file;

/* Copies what fields point to into one block: config/pack.c. The first pass only counts. */
struct packer {
    char *next; /* NULL: counting */
    size_t bytes;
};
void pack_text(struct packer *packer, void *field);
void pack_texts(struct packer *packer, void *field);    /* NULL-terminated array of texts */
void pack_commands(struct packer *packer, void *field); /* NULL-terminated array of those */
void pack_array(struct packer *packer, void *field, size_t bytes);
