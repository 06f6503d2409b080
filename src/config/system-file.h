/* The system file: title, version, what is to be started, and what holds for all journals. All keys
 * are optional. */
#pragma once

#include "config/error-list.h"
#include "service/log-settings.h"

#include <stdbool.h>
#include <stddef.h>

struct system_place {
    unsigned line, column;
};

struct system_service {
    const char *name, *description; /* description: NULL when not given */
    struct system_place place;      /* of the name */
};

/* All texts belong to the struct. Zeroed: a system file that says nothing. */
struct system_file {
    const char *path;
    const char *version, *title; /* as written; NULL: not given */
    bool services_given;         /* these are started, each after the one before it */
    struct system_service *services;
    size_t service_count;
    bool start_given;
    const char **start; /* NULL-terminated when given */
    struct system_place *start_places;
    struct log_settings log;
    bool watch; /* whether service files are to be watched; not given: no */
    struct arena arena;
};

/* The default places, the first one there counts; NULL-terminated. */
extern const char *const system_file_places[];

/* Finds the system file among the default places and says in `warnings` which one counts when
 * there are several. `root` is put before each ("" for the real ones).
 * Returns 0 with the path in *ret_path, -ENOENT when there is none, -ENAMETOOLONG, -ENOMEM. */
int system_file_find(const char *root, char *ret_path, size_t size_bytes,
                     struct error_list *warnings);

/* The folder of services that comes with a system file at this path, and is outranked by all
 * others: gonit's /system/services for one in /system; NULL for any other. */
const char *system_file_services(const char *path);

/* Reads and parses one. Returns 0; -EINVAL with errors added (also for a file that cannot be
 * read); -ENOMEM. *ret untouched on failure. */
int system_file_read(const char *path, struct system_file *ret, struct error_list *errors);

/* The same from memory. */
int system_file_parse(const char *path, const char *text, size_t size, struct system_file *ret,
                      struct error_list *errors);

void system_file_finish(struct system_file *file);
