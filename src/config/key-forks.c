/* The key `forks`: which process of a service that forks is the main one. Its own file: value,
 * comparison, display and packing of one key beside each other. */
#include "config/parse.h"
#include "config/show.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The name of a program as it is looked for: without a folder, for that is how processes have it.
 */
static bool value_main(struct parse *p, const char *key, const struct node *value, void *field)
{
    const char *name;
    if (!value_text(p, key, value, &name))
        return false;
    if (!*name || strchr(name, '/'))
        return parse_error(p, value,
                           "'%s' is the name of a program without its folder, as dhclient, not "
                           "'%.60s'",
                           key, value->text);
    *(const char **)field = name;
    return true;
}

bool value_forks(struct parse *p, const char *key, const struct node *value, void *field)
{
    static const struct sub_key rows[] = {
        {"forks.pid-file", value_path, offsetof(struct forks, pid_file)},
        {"forks.main", value_main, offsetof(struct forks, main)},
    };
    return value_need(p, key, value, NODE_MAPPING, "{pid-file: /run/NAME.pid}") &&
           value_mapping(p, key, value, rows, COUNT(rows), &p->draft.forks);
}

static bool equal_forks(const struct definition *a, const struct definition *b, size_t offset)
{
    return text_same(a->forks.pid_file, b->forks.pid_file) &&
           text_same(a->forks.main, b->forks.main);
}

static void show_forks(const struct definition *definition, const void *field, struct text *text)
{
    text_add_char(text, '{');
    show_key(text, "pid-file");
    show_string(text, definition->forks.pid_file);
    show_key(text, "main");
    show_string(text, definition->forks.main);
    text_add_char(text, '}');
}

static void pack_forks(struct packer *packer, void *field)
{
    struct forks *forks = field;
    pack_text(packer, &forks->pid_file);
    pack_text(packer, &forks->main);
}

const struct key_kind kind_forks = {value_forks, equal_forks, show_forks, pack_forks};
