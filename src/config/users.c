/* Users and groups, out of passwd(5) and group(5). */
#include "config/users.h"
#include "config/read-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX_BYTES (16u << 20)
#define FIELDS_MAX     7

struct database {
    const char *path, *default_path;
    struct arena arena;
    char *text;
    size_t size;
    struct stat seen; /* of the file the text is from; st_ino 0: there was none */
};

static struct database passwd = {.default_path = "/etc/passwd"};
static struct database group = {.default_path = "/etc/group"};

struct field {
    const char *text;
    size_t length;
};

static const char *path_of(const struct database *database)
{
    return database->path ? database->path : database->default_path;
}

static void forget(struct database *database)
{
    arena_finish(&database->arena);
    database->text = NULL;
    database->size = 0;
    database->seen = (struct stat){0};
}

void users_forget(void)
{
    forget(&passwd);
    forget(&group);
}

void users_set_paths(const char *passwd_path, const char *group_path)
{
    users_forget();
    passwd.path = passwd_path;
    group.path = group_path;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           is_same_time(a->st_mtim, b->st_mtim) && is_same_time(a->st_ctim, b->st_ctim);
}

static int refresh(struct database *database)
{
    struct stat now;
    const char *problem;
    if (stat(path_of(database), &now) < 0) {
        int error = errno;
        forget(database);
        return error == ENOENT || error == ENOTDIR ? 0 : -error;
    }
    if (is_same_file(&now, &database->seen))
        return 0;
    forget(database);
    int failed = read_file_at(AT_FDCWD, path_of(database), false, FILE_MAX_BYTES, &database->arena,
                              &database->text, &database->size, &problem);
    if (failed)
        forget(database);
    else
        database->seen = now;
    return failed;
}

static bool holding, looked;

void users_hold(void)
{
    holding = true;
    looked = false;
}

void users_release(void)
{
    holding = false;
}

int users_refresh(const char **ret_path)
{
    if (holding && looked)
        return 0;
    int failed = refresh(&passwd);
    if (failed) {
        *ret_path = path_of(&passwd);
        return failed;
    }
    failed = refresh(&group);
    if (failed)
        *ret_path = path_of(&group);
    looked = !failed;
    return failed;
}

/* Splits the line at *at into its fields and goes to the next. Returns how many there are. */
static size_t read_line(const struct database *database, size_t *at, struct field *fields)
{
    const char *begin = database->text + *at, *end = database->text + database->size;
    const char *newline = memchr(begin, '\n', (size_t)(end - begin));
    size_t count = 0;

    *at = newline ? (size_t)(newline + 1 - database->text) : database->size;
    if (newline)
        end = newline;
    for (;;) {
        const char *colon = memchr(begin, ':', (size_t)(end - begin));
        if (count < FIELDS_MAX)
            fields[count++] = (struct field){begin, (size_t)((colon ? colon : end) - begin)};
        if (!colon)
            return count;
        begin = colon + 1;
    }
}

static bool field_is(const struct field *field, const char *text, size_t length)
{
    return field->length == length && memcmp(field->text, text, length) == 0;
}

static bool field_number(const struct field *field, uint32_t *ret)
{
    uint64_t number = 0;
    if (field->length == 0 || field->length > 10)
        return false;
    for (size_t i = 0; i < field->length; i++) {
        if (field->text[i] < '0' || field->text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(field->text[i] - '0');
    }
    if (number >= UINT32_MAX) /* -1 means "none" to the kernel */
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool read_user(const struct field *fields, size_t count, struct user *ret)
{
    uint32_t uid, gid;
    if (count < FIELDS_MAX || !field_number(&fields[2], &uid) || !field_number(&fields[3], &gid))
        return false;
    *ret = (struct user){.name = fields[0].text,
                         .name_length = fields[0].length,
                         .home = fields[5].text,
                         .home_length = fields[5].length,
                         .shell = fields[6].text,
                         .shell_length = fields[6].length,
                         .uid = uid,
                         .gid = gid};
    return true;
}

int users_find(const char *name, struct user *ret)
{
    struct field fields[FIELDS_MAX] = {0};
    for (size_t at = 0; at < passwd.size;) {
        size_t count = read_line(&passwd, &at, fields);
        if (field_is(&fields[0], name, strlen(name)) && read_user(fields, count, ret))
            return 0;
    }
    return -ENOENT;
}

int users_find_number(uid_t uid, struct user *ret)
{
    struct field fields[FIELDS_MAX] = {0};
    struct user user;
    for (size_t at = 0; at < passwd.size;) {
        size_t count = read_line(&passwd, &at, fields);
        if (read_user(fields, count, &user) && user.uid == uid) {
            *ret = user;
            return 0;
        }
    }
    return -ENOENT;
}

int users_find_group(const char *name, gid_t *ret)
{
    struct field fields[FIELDS_MAX] = {0};
    for (size_t at = 0; at < group.size;) {
        size_t count = read_line(&group, &at, fields);
        if (count >= 3 && field_is(&fields[0], name, strlen(name)) && field_number(&fields[2], ret))
            return 0;
    }
    return -ENOENT;
}

/* Whether a list "a,b,c" holds the name. */
static bool is_member(const struct field *members, const struct user *user)
{
    const char *at = members->text, *end = members->text + members->length;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct field member = {at, (size_t)((comma ? comma : end) - at)};
        if (field_is(&member, user->name, user->name_length))
            return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}

static bool has(const gid_t *list, size_t count, gid_t gid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == gid)
            return true;
    return false;
}

int users_groups_of(const struct user *user, gid_t first, struct arena *arena, gid_t **ret,
                    size_t *ret_count)
{
    struct field fields[FIELDS_MAX] = {0};
    size_t room = 16, used = 0;
    gid_t *list = arena_take(arena, room * sizeof *list), gid;
    if (!list)
        return -ENOMEM;
    list[used++] = first;
    /* A number without an entry is no member of anything. */
    for (size_t at = user->name_length ? 0 : group.size; at < group.size;) {
        size_t count = read_line(&group, &at, fields);
        if (count < 4 || !field_number(&fields[2], &gid) || !is_member(&fields[3], user) ||
            has(list, used, gid))
            continue;
        if (used == room) {
            gid_t *more = arena_take(arena, 2 * room * sizeof *list);
            if (!more)
                return -ENOMEM;
            memcpy(more, list, room * sizeof *list);
            list = more;
            room *= 2;
        }
        list[used++] = gid;
    }
    *ret = list;
    *ret_count = used;
    return 0;
}
