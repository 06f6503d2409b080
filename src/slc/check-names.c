/* Names and cycles of a set of definitions. Places are found by reading the file's nodes again:
 * definitions do not carry them, because only a check wants them. */
#include "slc/check-names.h"

#include "base/buffer.h"
#include "base/text.h"
#include "config/definition-parse.h"
#include "config/nodes.h"
#include "service/graph.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int names_add(struct names *names, const struct source *source, struct definition *definition,
              bool told)
{
    if (names->count == names->room) {
        size_t room = names->room ? names->room * 2 : 64;
        struct checked *grown = reallocarray(names->list, room, sizeof *grown);
        if (!grown) {
            definition_destroy(definition);
            return -ENOMEM;
        }
        names->list = grown;
        names->room = room;
    }
    names->list[names->count++] = (struct checked){source, definition, UINT32_MAX, told};
    return 0;
}

void names_finish(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        definition_destroy(names->list[i].definition);
    free(names->list);
    free(names->sorted);
    *names = (struct names){0};
}

/* ---- which names there are ------------------------------------------------------------------ */

static bool is_template(const struct checked *service)
{
    const char *name = service->source->name;
    return service->template == UINT32_MAX && service_name_is_template(name, strlen(name));
}

/* Of a template that is its example's; one that does not load answers to no name. */
static const char *name_of(const struct checked *service)
{
    return service->definition ? service->definition->name : service->source->name;
}

static int compare_names(const void *a, const void *b)
{
    const struct checked_name *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    /* A service's own name comes before the same name provided by another. */
    return order ? order : left->index < right->index ? -1 : left->index > right->index;
}

static int sort_names(struct names *names)
{
    size_t room = names->count * 2;

    free(names->sorted);
    names->sorted_count = 0;
    for (size_t i = 0; i < names->count; i++)
        for (names_t name = names->list[i].definition ? names->list[i].definition->provides : NULL;
             name && *name; name++)
            room++;
    names->sorted = calloc(room + 1, sizeof *names->sorted);
    if (!names->sorted)
        return -ENOMEM;
    for (size_t i = 0; i < names->count; i++) {
        const struct definition *definition = names->list[i].definition;
        names->sorted[names->sorted_count++] =
            (struct checked_name){name_of(&names->list[i]), (uint32_t)i};
        if (is_template(&names->list[i]) && definition) /* the template itself is found too */
            names->sorted[names->sorted_count++] =
                (struct checked_name){names->list[i].source->name, (uint32_t)i};
        for (names_t name = definition ? definition->provides : NULL; name && *name; name++)
            names->sorted[names->sorted_count++] = (struct checked_name){*name, (uint32_t)i};
    }
    qsort(names->sorted, names->sorted_count, sizeof *names->sorted, compare_names);
    return 0;
}

/* Whose name that is, or UINT32_MAX. Own names outrank provided ones. */
static uint32_t find(const struct names *names, const char *name)
{
    size_t low = 0, high = names->sorted_count;
    uint32_t found = UINT32_MAX;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(names->sorted[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < names->sorted_count && !strcmp(names->sorted[low].name, name); low++) {
        uint32_t index = names->sorted[low].index;
        if (!strcmp(name_of(&names->list[index]), name))
            return index;
        if (found == UINT32_MAX)
            found = index;
    }
    return found;
}

static const char *nearest(const struct names *names, const char *name)
{
    const char **candidates = calloc(names->sorted_count + 1, sizeof(*candidates)), *near = NULL;

    for (size_t i = 0; candidates && i < names->sorted_count; i++)
        candidates[i] = names->sorted[i].name;
    if (candidates)
        near = text_nearest(name, candidates, names->sorted_count);
    free(candidates);
    return near;
}

/* The template that the name would be an instance of, or UINT32_MAX. */
static uint32_t find_template(const struct names *names, const char *name)
{
    char template[SERVICE_NAME_MAX_BYTES + 1];
    return service_name_template(name, template) ? find(names, template) : UINT32_MAX;
}

/* ---- keys that hold names ------------------------------------------------------------------- */

static const struct name_key {
    const char *key;
    size_t offset; /* in struct definition */
    enum edge_kind kind;
    bool reversed; /* the other one comes after this one */
} name_keys[] = {
    {"needs", offsetof(struct definition, needs), EDGE_NEED, false},
    {"wants", offsetof(struct definition, wants), EDGE_WANT, false},
    {"after", offsetof(struct definition, after), EDGE_ORDER, false},
    {"before", offsetof(struct definition, before), EDGE_ORDER, true},
};

#define NAME_KEYS (sizeof name_keys / sizeof *name_keys)

static names_t names_of(const struct definition *definition, const struct name_key *key)
{
    return *(const names_t *)(const void *)((const char *)definition + key->offset);
}

/* Where the `index`th name of a key stands in the file: 0, 0 when that cannot be told. */
static void find_place(const struct source *source, const char *key, size_t index,
                       unsigned *ret_line, unsigned *ret_column)
{
    struct nodes_text text = {.path = source->path, .text = source->text, .size = source->size};
    struct error_list errors = {0};
    struct arena arena = {0};
    const struct node *root = NULL, *node;

    *ret_line = *ret_column = 0;
    if (nodes_parse(&text, &arena, 1, &root, &errors) == 0 && root && root->kind == NODE_MAPPING)
        for (node = root->first; node; node = node->next) {
            if (!node->key || strcmp(node->key->text, key) != 0)
                continue;
            const struct node *item = node->kind == NODE_LIST ? node->first : node;
            while (index-- && item && item->next && node->kind == NODE_LIST)
                item = item->next;
            *ret_line = item ? item->line : node->line;
            *ret_column = item ? item->column : node->column;
            break;
        }
    arena_finish(&arena);
    error_list_finish(&errors);
}

/* Whether the name is one that only this instance uses: what all instances of a template use is
 * said of the template. */
static bool is_own(const struct names *names, const struct checked *service,
                   const struct name_key *key, const char *name, size_t index)
{
    if (is_template(service))
        return !strstr(name, service_name_instance(service->definition->name));
    if (service->template == UINT32_MAX)
        return true;
    names_t common = names_of(names->list[service->template].definition, key);
    return !common || strcmp(common[index], name) != 0;
}

static int say_missing(const struct names *names, const struct checked *service, const char *key,
                       const char *name, size_t index, struct error_list *errors)
{
    const char *near = nearest(names, name);
    unsigned line, column;

    find_place(service->source, key, index, &line, &column);
    if (near)
        return error_list_add(errors, service->source->path, line, column,
                              "'%s' names '%s', and no service has that name; the nearest is '%s'",
                              key, name, near);
    return error_list_add(errors, service->source->path, line, column,
                          "'%s' names '%s', and no service has that name", key, name);
}

/* Adds a service's edges, and an error for each name that is none. */
static int add_edges(const struct names *names, uint32_t index, struct graph *graph,
                     struct error_list *errors)
{
    const struct checked *service = &names->list[index];
    int r = 0;

    for (size_t i = 0; service->definition && i < NAME_KEYS; i++) {
        const struct name_key *key = &name_keys[i];
        names_t list = names_of(service->definition, key);
        for (size_t at = 0; r == 0 && list && list[at]; at++) {
            uint32_t other = find(names, list[at]);
            if (other == UINT32_MAX)
                r = service->told && find_template(names, list[at]) == UINT32_MAX &&
                            is_own(names, service, key, list[at], at)
                        ? say_missing(names, service, key->key, list[at], at, errors)
                        : 0;
            else
                r = graph_add(graph, key->reversed ? other : index, key->reversed ? index : other,
                              key->kind);
        }
    }
    return r;
}

/* Of a system file's services each comes after the one before it. */
static int add_order(const struct names *names, const struct system_file *order,
                     struct graph *graph)
{
    uint32_t last = UINT32_MAX;
    int r = 0;

    for (size_t i = 0; r == 0 && i < order->service_count; i++) {
        uint32_t next = find(names, order->services[i].name);
        if (next == UINT32_MAX)
            continue;
        if (last != UINT32_MAX && last != next)
            r = graph_add(graph, next, last, EDGE_ORDER);
        last = next;
    }
    return r;
}

/* ---- cycles --------------------------------------------------------------------------------- */

/* Where a service names the one that it comes after, by its own name or by one that one provides;
 * 0, 0 when it is the other that says `before`. */
static void find_link(const struct names *names, uint32_t from, uint32_t to, unsigned *ret_line,
                      unsigned *ret_column)
{
    *ret_line = *ret_column = 0;
    for (size_t i = 0; i < NAME_KEYS; i++) {
        names_t list = names_of(names->list[from].definition, &name_keys[i]);
        for (size_t at = 0; !name_keys[i].reversed && list && list[at]; at++)
            if (find(names, list[at]) == to) {
                find_place(names->list[from].source, name_keys[i].key, at, ret_line, ret_column);
                return;
            }
    }
}

static const char *name_of_node(const void *context, uint32_t node)
{
    return name_of(&((const struct names *)context)->list[node]);
}

/* One error with the path. A message has a bound, so a long path goes over several errors of the
 * same file. */
static int say_cycle(const struct names *names, const uint32_t *path, int length,
                     struct error_list *errors)
{
    const struct source *first = names->list[path[0]].source;
    const char *along[CYCLE_NAMES_MAX + 2];
    char words[ERROR_MESSAGE_BYTES];
    size_t at = 0, gap, left_out;
    unsigned line, column;
    struct text text;
    int r = 0;

    find_link(names, path[0], path[length > 1 ? 1 : 0], &line, &column);
    graph_cycle_names(path, length, along, name_of_node, names, &gap, &left_out);
    while (r == 0 && along[at]) {
        text_init(&text, words, sizeof words);
        text_add(&text, at ? "… and these: " : "in a cycle, each after the next: ");
        for (size_t begun = at; along[at]; at++) {
            if (at > begun && text.used_bytes + strlen(along[at]) + 40 >= sizeof words)
                break;
            if (at == gap && left_out)
                text_printf(&text, "… %zu more …, ", left_out);
            text_printf(&text, "%s%s", along[at], along[at + 1] ? ", " : "");
        }
        r = error_list_add(errors, first->path, line, column, "%s", words);
    }
    return r;
}

/* Of each set of services that come after each other: its first member, and whether it is told. */
struct cycle_set {
    uint32_t member;
    bool told, seen;
};

/* One error for each set. */
static int find_cycles(const struct names *names, const struct graph *graph,
                       struct error_list *errors)
{
    uint32_t *in_cycle = calloc(graph->nodes + 1, sizeof *in_cycle);
    uint32_t *path = calloc(graph->nodes + 1, sizeof *path);
    struct cycle_set *sets = calloc(graph->nodes + 1, sizeof *sets);
    int count = in_cycle && path && sets ? graph_find_cycles(graph, in_cycle) : -ENOMEM;
    int r = count < 0 ? count : 0;

    for (uint32_t node = 0; r == 0 && node < graph->nodes; node++) {
        struct cycle_set *set = &sets[in_cycle[node]];
        if (!set->seen)
            set->member = node;
        set->seen = true;
        set->told |= names->list[node].told;
    }
    for (int set = 1; r == 0 && set <= count; set++) {
        int length = sets[set].told ? graph_cycle_path(graph, in_cycle, sets[set].member, path) : 0;
        r = length > 0 ? say_cycle(names, path, length, errors) : length;
    }
    free(in_cycle);
    free(path);
    free(sets);
    return r;
}

/* ---- the system file ------------------------------------------------------------------------ */

static int check_ordered(const struct names *names, const struct system_file *order,
                         const char *key, const char *name, const struct system_place *place,
                         struct error_list *errors)
{
    if (find(names, name) != UINT32_MAX || find_template(names, name) != UINT32_MAX)
        return 0;
    return error_list_add(errors, order->path, place->line, place->column,
                          "'%s' names '%s', and no service has that name", key, name);
}

static int check_order(const struct names *names, const struct system_file *order,
                       struct error_list *errors)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < order->service_count; i++)
        r = check_ordered(names, order, "services", order->services[i].name,
                          &order->services[i].place, errors);
    for (size_t i = 0; r == 0 && order->start && order->start[i]; i++)
        r = check_ordered(names, order, "start", order->start[i], &order->start_places[i], errors);
    return r;
}

/* ---- instances ------------------------------------------------------------------------------ */

/* Names of instances that are to be made, in the end each once. */
struct wanted {
    const char **list;
    size_t count, room;
};

static int want(const struct names *names, struct wanted *wanted, const char *name)
{
    uint32_t template;
    if (find(names, name) != UINT32_MAX || (template = find_template(names, name)) == UINT32_MAX ||
        !names->list[template].definition)
        return 0;
    if (wanted->count == wanted->room) {
        size_t room = wanted->room ? wanted->room * 2 : 64;
        const char **grown = reallocarray(wanted->list, room, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        wanted->list = grown;
        wanted->room = room;
    }
    wanted->list[wanted->count++] = name;
    return 0;
}

static int want_all(const struct names *names, struct wanted *wanted, names_t list)
{
    int r = 0;
    for (; r == 0 && list && *list; list++)
        r = want(names, wanted, *list);
    return r;
}

static int want_ordered(const struct names *names, struct wanted *wanted,
                        const struct system_file *order)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < order->service_count; i++)
        r = want(names, wanted, order->services[i].name);
    for (size_t i = 0; r == 0 && order->start && order->start[i]; i++)
        r = want(names, wanted, order->start[i]);
    return r;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* An instance that does not load, though its template does for others, is told. */
static int make_instance(struct names *names, const char *name, struct error_list *errors)
{
    uint32_t template = find_template(names, name);
    const struct checked *of = &names->list[template];
    const struct source *source = of->source;
    struct definition *definition = NULL;
    bool told = of->told;
    struct error_list ignored = {0};
    int r = definition_parse_instance(source, name, &definition, told ? errors : &ignored);
    error_list_finish(&ignored);
    if (r == 0 && (r = names_add(names, source, definition, told)) == 0)
        names->list[names->count - 1].template = template;
    return r == -EINVAL ? 0 : r;
}

static int make_instances(struct names *names, struct wanted *wanted, struct error_list *errors)
{
    int r = 0;
    if (wanted->count)
        qsort(wanted->list, wanted->count, sizeof(*wanted->list), compare_texts);
    for (size_t i = 0; r == 0 && i < wanted->count; i++)
        if (i == 0 || strcmp(wanted->list[i - 1], wanted->list[i]) != 0)
            r = make_instance(names, wanted->list[i], errors);
    return r == 0 ? sort_names(names) : r;
}

/* Makes what is named, then what that names, as far as the launcher would. */
static int make_named(struct names *names, const struct system_file *order,
                      struct error_list *errors)
{
    struct wanted wanted = {0};
    size_t from = 0;
    int r = 0;

    for (unsigned level = 0; r == 0; level++) {
        size_t to = names->count;
        wanted.count = 0;
        for (size_t i = from; r == 0 && i < to; i++) {
            const struct definition *definition = names->list[i].definition;
            r = definition ? want_all(names, &wanted, definition->needs) : 0;
            if (r == 0 && definition)
                r = want_all(names, &wanted, definition->wants);
        }
        if (r == 0 && level == 0)
            r = want_ordered(names, &wanted, order);
        if (r < 0 || !wanted.count)
            break;
        if (level > SERVICE_INSTANCE_CHAIN_MAX) {
            const struct checked *of = &names->list[find_template(names, wanted.list[0])];
            if (of->told)
                r = error_list_add(
                    errors, of->source->path, 0, 0,
                    "'%s' is named by an instance that is named by an instance, and so "
                    "on: do templates name each other with longer and longer names?",
                    wanted.list[0]);
            break;
        }
        from = to;
        r = make_instances(names, &wanted, errors);
    }
    free(wanted.list);
    return r;
}

int names_check(struct names *names, const struct system_file *order, struct error_list *errors)
{
    struct graph graph;
    int r = sort_names(names);

    if (r == 0)
        r = make_named(names, order, errors);
    if (r == 0)
        r = graph_init(&graph, (uint32_t)names->count);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < names->count; i++)
        r = add_edges(names, (uint32_t)i, &graph, errors);
    if (r == 0)
        r = add_order(names, order, &graph);
    if (r == 0)
        r = graph_build(&graph);
    if (r == 0)
        r = find_cycles(names, &graph, errors);
    if (r == 0)
        r = check_order(names, order, errors);
    graph_finish(&graph);
    return r;
}
