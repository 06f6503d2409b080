/* The system file: title, version, what is to be started, and what holds for all journals. */
#include "config/system-file.h"
#include "config/nodes.h"
#include "config/read-file.h"
#include "config/units.h"
#include "service/name.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FILE_MAX_BYTES (1u << 20)

#define LOG_SIZE_LEAST (1ull << 20)
#define LOG_SIZE_MOST  (1ull << 50)
#define LOG_SYNC_LEAST 100u
#define LOG_SYNC_MOST  3600000u
#define ROWS_MOST      8 /* keys of one mapping */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SHOWN(node)  60, (node)->text

#define SYSTEM_FOLDER "/system/"

const char *const system_file_places[] = {
    SYSTEM_FOLDER "config.yaml", SYSTEM_FOLDER "config.yml", "/etc/conit.yml", "/config.yml", NULL,
};

int system_file_find(const char *root, char *ret_path, size_t size_bytes,
                     struct error_list *warnings)
{
    const char *chosen = NULL;
    char path[PATH_MAX];
    for (size_t i = 0; system_file_places[i]; i++) {
        if (!text_format(path, sizeof path, "%s%s", root, system_file_places[i]))
            return -ENAMETOOLONG;
        if (access(path, F_OK) < 0)
            continue;
        if (chosen) {
            if (error_list_add(warnings, path, 0, 0, "is not read: '%s%s' counts; remove one", root,
                               chosen) < 0)
                return -ENOMEM;
            continue;
        }
        if (strlen(path) >= size_bytes)
            return -ENAMETOOLONG;
        text_format(ret_path, size_bytes, "%s", path);
        chosen = system_file_places[i];
    }
    return chosen ? 0 : -ENOENT;
}

const char *system_file_services(const char *path)
{
    return text_starts_with(path, SYSTEM_FOLDER, NULL) ? SYSTEM_FOLDER "services" : NULL;
}

/* --- Parsing --- */

struct reading {
    struct nodes_text text;
    struct system_file file;
    struct error_list *errors;
    unsigned errors_left;
    bool failed;
};

__attribute__((format(printf, 3, 4))) static int note(struct reading *r, const struct node *at,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    r->failed = true;
    if (r->errors_left) {
        r->errors_left--;
        error_list_add_v(r->errors, r->text.path, at->line, at->column, format, arguments);
    }
    va_end(arguments);
    return -EINVAL;
}

static int keep_text(struct reading *r, const char *key, const struct node *value,
                     const char **field)
{
    if (value->kind != NODE_TEXT || node_is_nothing(value))
        return note(r, value, "'%s' is a text: write '%s: some words'", key, key);
    *field = arena_copy(&r->file.arena, value->text, value->length);
    return *field ? 0 : -ENOMEM;
}

static int keep_name(struct reading *r, const struct node *value, const char **field)
{
    const char *problem;
    if (value->kind != NODE_TEXT)
        return note(r, value, "the name of a service is a text, not %s", node_kind_name(value));
    problem = service_name_problem(value->text, value->length, NULL);
    if (problem)
        return note(r, value, "the name '%.*s' %s", SHOWN(value), problem);
    return keep_text(r, "name", value, field);
}

static int unknown_key(struct reading *r, const struct node *key, const char *const *names,
                       size_t count)
{
    const char *nearest = text_nearest(key->text, names, count);
    char storage[200];
    struct text list;
    if (nearest)
        return note(r, key, "there is no key '%.*s': did you mean '%s'?", SHOWN(key), nearest);
    text_init(&list, storage, sizeof storage);
    text_add_choice(&list, names, count);
    return note(r, key, "there is no key '%.*s': write %s, or remove it", SHOWN(key), list.data);
}

/* One `{name, description}`. */
static int read_service(struct reading *r, const struct node *value, struct system_service *ret)
{
    static const char *const names[] = {"name", "description"};
    int failed = 0;
    *ret = (struct system_service){0};
    if (value->kind != NODE_MAPPING)
        return note(r, value, "an entry of 'services' is a mapping: write '- name: networking'");
    for (const struct node *entry = value->first; entry && failed != -ENOMEM; entry = entry->next) {
        if (strcmp(entry->key->text, "name") == 0) {
            ret->place = (struct system_place){entry->line, entry->column};
            failed = keep_name(r, entry, &ret->name);
        } else if (strcmp(entry->key->text, "description") == 0) {
            failed = keep_text(r, "description", entry, &ret->description);
        } else {
            failed = unknown_key(r, entry->key, names, COUNT(names));
        }
    }
    if (!failed && !ret->name && !r->failed)
        return note(r, value, "this service has no name: write '- name: networking'");
    return failed;
}

static int read_services(struct reading *r, const char *key, const struct node *value)
{
    int failed = 0;
    if (value->kind != NODE_LIST)
        return note(r, value, "'services' is a list: write '- name: networking' below it");
    r->file.services = arena_take(&r->file.arena, (value->count + 1) * sizeof *r->file.services);
    if (!r->file.services)
        return -ENOMEM;
    r->file.services_given = true;
    for (const struct node *entry = value->first; entry && failed != -ENOMEM; entry = entry->next) {
        struct system_service *service = &r->file.services[r->file.service_count++];
        failed = read_service(r, entry, service);
        for (struct system_service *other = r->file.services; !failed && other < service; other++)
            if (other->name && service->name && strcmp(other->name, service->name) == 0)
                failed =
                    note(r, entry, "'%s' stands here for the second time: keep one", service->name);
    }
    return failed;
}

static int read_start(struct reading *r, const char *key, const struct node *value)
{
    int failed = 0;
    size_t used = 0;
    if (value->kind != NODE_LIST)
        return note(r, value, "'start' is a list of names: write 'start: [networking]'");
    r->file.start = arena_take(&r->file.arena, (value->count + 1) * sizeof *r->file.start);
    r->file.start_places =
        arena_take(&r->file.arena, (value->count + 1) * sizeof(struct system_place));
    if (!r->file.start || !r->file.start_places)
        return -ENOMEM;
    r->file.start_given = true;
    for (const struct node *entry = value->first; entry && failed != -ENOMEM; entry = entry->next) {
        r->file.start_places[used] = (struct system_place){entry->line, entry->column};
        failed = keep_name(r, entry, &r->file.start[used++]);
    }
    r->file.start[used] = NULL;
    return failed;
}

static int read_version(struct reading *r, const char *key, const struct node *value)
{
    return keep_text(r, key, value, &r->file.version);
}

static int read_title(struct reading *r, const char *key, const struct node *value)
{
    return keep_text(r, key, value, &r->file.title);
}

static int read_watch(struct reading *r, const char *key, const struct node *value)
{
    if (value->kind != NODE_TEXT || value->style != STYLE_PLAIN ||
        units_parse_bool(value->text, &r->file.watch) < 0)
        return note(r, value, "'watch' is yes or no: write 'watch: yes'");
    return 0;
}

/* --- log --- */

static int read_log_size(struct reading *r, const char *key, const struct node *value)
{
    uint64_t bytes;
    int failed = value->kind == NODE_TEXT ? units_parse_size(value->text, &bytes) : -EINVAL;
    if (failed == -EINVAL)
        return note(r, value, "'%s' of 'log' is a size: write 1G, 500M, or a number of bytes", key);
    if (failed || bytes > LOG_SIZE_MOST)
        return note(r, value, "'%s: %.*s' is too much: at most 1048576G", key, SHOWN(value));
    if (bytes < LOG_SIZE_LEAST)
        return note(r, value, "'%s: %.*s' is too little: at least 1M", key, SHOWN(value));
    r->file.log.max_size_bytes = bytes;
    return 0;
}

static bool read_wish(const struct node *value, enum log_wish *ret)
{
    bool on;
    if (value->kind != NODE_TEXT || value->style != STYLE_PLAIN ||
        units_parse_bool(value->text, &on) < 0)
        return false;
    *ret = on ? LOG_ON : LOG_OFF;
    return true;
}

static int read_log_dev(struct reading *r, const char *key, const struct node *value)
{
    struct log_settings *log = &r->file.log;
    if (read_wish(value, &log->dev_log))
        return 0;
    if (value->kind != NODE_TEXT || value->text[0] != '/')
        return note(r, value,
                    "'%s' is yes, no or a path: write 'dev-log: yes', or 'dev-log: /run/log'", key);
    if (value->length >= sizeof log->dev_log_path)
        return note(r, value, "the path of a socket has at most %zu bytes: choose a shorter one",
                    sizeof log->dev_log_path - 1);
    memcpy(log->dev_log_path, value->text, value->length + 1);
    log->dev_log = LOG_ON;
    return 0;
}

static int read_log_kernel(struct reading *r, const char *key, const struct node *value)
{
    if (!read_wish(value, &r->file.log.kernel))
        return note(r, value, "'%s' is yes or no: write 'kernel: yes'", key);
    return 0;
}

static int read_log_sync(struct reading *r, const char *key, const struct node *value)
{
    uint32_t ms;
    int failed = value->kind == NODE_TEXT ? units_parse_time(value->text, &ms) : -EINVAL;
    if (failed == -EINVAL)
        return note(r, value, "'%s' of 'log' is a time: write 500ms, 5s or 1min", key);
    if (failed || ms > LOG_SYNC_MOST)
        return note(r, value, "'%s: %.*s' is too long: at most 1h", key, SHOWN(value));
    if (ms < LOG_SYNC_LEAST)
        return note(r, value, "'%s: %.*s' is too short: at least 100ms", key, SHOWN(value));
    r->file.log.sync_ms = ms;
    return 0;
}

/* --- Keys --- */

struct row {
    const char *name;
    int (*read)(struct reading *r, const char *key, const struct node *value);
};

static int read_mapping(struct reading *r, const struct node *mapping, const struct row *rows,
                        size_t count)
{
    const char *names[ROWS_MOST];
    int failed = 0;
    for (size_t i = 0; i < count; i++)
        names[i] = rows[i].name;
    for (const struct node *value = mapping->first; value && failed != -ENOMEM;
         value = value->next) {
        size_t row = 0;
        while (row < count && strcmp(rows[row].name, value->key->text) != 0)
            row++;
        failed = row < count ? rows[row].read(r, rows[row].name, value)
                             : unknown_key(r, value->key, names, count);
    }
    return failed;
}

static int read_log(struct reading *r, const char *key, const struct node *value)
{
    static const struct row rows[] = {
        {"max-size", read_log_size},
        {"dev-log", read_log_dev},
        {"kernel", read_log_kernel},
        {"sync", read_log_sync},
    };
    _Static_assert(COUNT(rows) <= ROWS_MOST, "all names have room");
    if (value->kind != NODE_MAPPING)
        return note(r, value, "'%s' is a mapping: write 'log: {max-size: 1G}'", key);
    return read_mapping(r, value, rows, COUNT(rows));
}

static const struct row keys[] = {
    {"version", read_version}, {"title", read_title}, {"services", read_services},
    {"start", read_start},     {"watch", read_watch}, {"log", read_log},
};
_Static_assert(COUNT(keys) <= ROWS_MOST, "all names have room");

static int read_keys(struct reading *r, const struct node *root)
{
    if (root->kind != NODE_MAPPING)
        return note(r, root, "the system file is a mapping, not %s: write 'title: some words'",
                    node_kind_name(root));
    return read_mapping(r, root, keys, COUNT(keys));
}

int system_file_parse(const char *path, const char *text, size_t size, struct system_file *ret,
                      struct error_list *errors)
{
    struct reading r = {
        .text = {path, text, size}, .errors = errors, .errors_left = ERRORS_PER_FILE};
    struct arena nodes = {0};
    const struct node *root;

    r.file.path = arena_copy(&r.file.arena, path, strlen(path));
    int failed =
        r.file.path ? nodes_parse(&r.text, &nodes, ERRORS_PER_FILE, &root, errors) : -ENOMEM;
    if (!failed && root)
        failed = read_keys(&r, root);
    arena_finish(&nodes);
    if (errors->no_memory)
        failed = -ENOMEM;
    else if (!failed && r.failed)
        failed = -EINVAL;
    if (failed)
        system_file_finish(&r.file);
    else
        *ret = r.file;
    return failed;
}

int system_file_read(const char *path, struct system_file *ret, struct error_list *errors)
{
    struct arena arena = {0};
    const char *problem;
    char *text;
    size_t size;
    int failed =
        read_file_at(AT_FDCWD, path, false, SYSTEM_FILE_MAX_BYTES, &arena, &text, &size, &problem);
    if (!failed)
        failed = system_file_parse(path, text, size, ret, errors);
    else if (failed != -ENOMEM)
        failed = error_list_add(errors, path, 0, 0, "%s", problem) < 0 ? -ENOMEM : -EINVAL;
    arena_finish(&arena);
    return failed;
}

void system_file_finish(struct system_file *file)
{
    arena_finish(&file->arena);
    *file = (struct system_file){0};
}
