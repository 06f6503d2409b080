/* Who a service runs as: user, group and groups of the file, looked up in passwd and group. */
#include "config/parse.h"
#include "config/users.h"

#include <errno.h>
#include <string.h>

#define SHOWN(node) 60, (node)->text

/* A user's or group's number; false when the text is no number. -1 means "none" to the kernel. */
static bool parse_number(const char *text, uint32_t *ret)
{
    uint64_t number;
    if (text_parse_unsigned(text, &number) < 0 || number >= UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool resolve_group(struct parse *p, const struct node *node, gid_t *ret)
{
    if (parse_number(node->text, ret) || users_find_group(node->text, ret) == 0)
        return true;
    return parse_error(p, node,
                       "there is no group '%.*s' in /etc/group: write one that is there; "
                       "a number works too",
                       SHOWN(node));
}

static bool keep(struct parse *p, const char *text, size_t length, const char **field)
{
    if (length == 0)
        return true;
    *field = arena_copy(p->arena, text, length);
    if (!*field)
        return parse_no_memory(p);
    return true;
}

/* The user's entry in *ret; one with only a uid when a number has none. */
static bool resolve_user(struct parse *p, const struct node *node, struct user *ret)
{
    uint32_t uid;
    *ret = (struct user){0};
    if (!parse_number(node->text, &uid)) {
        if (users_find(node->text, ret) == 0)
            return true;
        return parse_error(p, node,
                           "there is no user '%.*s' in /etc/passwd: write one that is "
                           "there; a number works too",
                           SHOWN(node));
    }
    if (users_find_number(uid, ret) < 0) {
        ret->uid = uid;
        if (!p->values[KEY_GROUP])
            return parse_error(p, node,
                               "user %u is not in /etc/passwd and so has no group: write "
                               "'group' too",
                               uid);
    }
    return true;
}

static bool resolve_groups(struct parse *p, const struct node *value, struct identity *identity)
{
    bool good = true;
    size_t used = 0;
    gid_t *list = arena_take(p->arena, (value->count + 1) * sizeof *list);
    if (!list)
        return parse_no_memory(p);
    for (const struct node *entry = value->first; entry; entry = entry->next)
        if (!resolve_group(p, entry, &list[used++]))
            good = false;
    identity->groups = list;
    identity->group_count = used;
    return good;
}

bool parse_identity(struct parse *p)
{
    const struct node *user_node = p->values[KEY_USER], *group_node = p->values[KEY_GROUP],
                      *groups_node = p->values[KEY_GROUPS];
    struct identity *identity = &p->draft.identity;
    struct user user = {.name = "root", .name_length = 4};
    const char *path;
    bool good = true;

    if (!user_node && !group_node && !groups_node)
        return true;
    int failed = users_refresh(&path);
    if (failed == -ENOMEM)
        return parse_no_memory(p);
    if (failed)
        return parse_error(p,
                           user_node    ? user_node
                           : group_node ? group_node
                                        : groups_node,
                           "'%s' cannot be read, so no user can be looked up: %s", path,
                           strerror(-failed));
    if (user_node)
        good = resolve_user(p, user_node, &user) &&
               keep(p, user.name, user.name_length, &identity->user_name) &&
               keep(p, user.home, user.home_length, &identity->home) &&
               keep(p, user.shell, user.shell_length, &identity->shell);
    identity->set = true;
    identity->uid = user.uid;
    identity->gid = user.gid;
    if (group_node && !resolve_group(p, group_node, &identity->gid))
        good = false;
    if (groups_node)
        return resolve_groups(p, groups_node, identity) && good;
    if (good && users_groups_of(&user, identity->gid, p->arena, &identity->groups,
                                &identity->group_count) < 0)
        return parse_no_memory(p);
    return good;
}
