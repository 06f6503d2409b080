/* Names and cycles of a set of definitions. Places are found by reading the file's nodes again:
 * definitions do not carry them, because only what is wrong needs them. */
#include "config/check-names.h"

#include "base/buffer.h"
#include "base/text.h"
#include "config/definition-parse.h"
#include "config/nodes.h"
#include "service/graph.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX
/* For the nearest of a name that is none it is compared with all there are: with so many
 * comparisons, of a quarter of a second, the rest is said without. */
#define COMPARISONS_MOST 1000000

int names_add(struct names *names, const struct checked *service)
{
    if (names->count == names->room) {
        size_t room = names->room ? names->room * 2 : 64;
        struct checked *grown = reallocarray(names->list, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        names->list = grown;
        names->room = room;
    }
    names->list[names->count] = *service;
    names->list[names->count].template = NOBODY;
    names->list[names->count++].named_by = NAMED_BY_NOBODY;
    return 0;
}

void names_finish(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        definition_destroy(names->list[i].owned);
    free(names->list);
    free(names->sorted);
    free(names->findings);
    *names = (struct names){0};
}

/* Notes that the errors from `first` on are of this service. */
static int note(struct names *names, enum finding_kind kind, uint32_t index, size_t first,
                const struct error_list *errors)
{
    if (errors->count == first)
        return 0;
    if (names->finding_count == names->finding_room) {
        size_t room = names->finding_room ? names->finding_room * 2 : 16;
        struct finding *grown = reallocarray(names->findings, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        names->findings = grown;
        names->finding_room = room;
    }
    names->findings[names->finding_count++] =
        (struct finding){kind, index, first, errors->count - first};
    return 0;
}

/* ---- which names there are ------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    const struct checked_name *left = a, *right = b;
    int order = strcmp(left->name, right->name);
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
        const struct checked *service = &names->list[i];
        const struct definition *definition = service->definition;
        names->sorted[names->sorted_count++] = (struct checked_name){service->name, (uint32_t)i};
        if (service->kind == CHECKED_TEMPLATE && strcmp(service->name, service->source->name) != 0)
            names->sorted[names->sorted_count++] = /* its own, beside its example's */
                (struct checked_name){service->source->name, (uint32_t)i};
        for (names_t name = definition ? definition->provides : NULL; name && *name; name++)
            names->sorted[names->sorted_count++] = (struct checked_name){*name, (uint32_t)i};
    }
    qsort(names->sorted, names->sorted_count, sizeof *names->sorted, compare_names);
    return 0;
}

/* Of one that provides a name, and so has a definition. */
static bool is_enabled(const struct names *names, const struct checked *service)
{
    enum switched switched =
        names->switches ? switches_find(names->switches, service->name) : SWITCHED_NOT;
    return switched == SWITCHED_NOT ? service->definition->enabled : switched == SWITCHED_ON;
}

/* Of two that provide a name: an enabled one, then the first one by name. */
static bool outranks(const struct names *names, const struct checked *one,
                     const struct checked *other)
{
    bool enabled = is_enabled(names, one);
    if (enabled != is_enabled(names, other))
        return enabled;
    return strcmp(one->name, other->name) < 0;
}

/* The first place of the name in the sorted list, or where it would be. */
static size_t first_place(const struct names *names, const char *name)
{
    size_t low = 0, high = names->sorted_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(names->sorted[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whose name that is, or NOBODY. Own names outrank provided ones. With `masked` what is masked is
 * found too. */
static uint32_t find_any(const struct names *names, const char *name, bool masked)
{
    uint32_t found = NOBODY;
    for (size_t at = first_place(names, name);
         at < names->sorted_count && !strcmp(names->sorted[at].name, name); at++) {
        uint32_t index = names->sorted[at].index;
        const struct checked *service = &names->list[index];
        if (service->kind == CHECKED_MASKED && !masked)
            continue;
        if (!strcmp(service->name, name))
            return index;
        if (found == NOBODY || outranks(names, service, &names->list[found]))
            found = index;
    }
    return found;
}

static uint32_t find(const struct names *names, const char *name)
{
    return find_any(names, name, false);
}

static const char *nearest(const struct names *names, const char *name)
{
    const char **candidates = calloc(names->sorted_count + 1, sizeof(*candidates)), *near = NULL;
    size_t count = 0;

    for (size_t i = 0; candidates && i < names->sorted_count; i++)
        if (names->list[names->sorted[i].index].kind != CHECKED_MASKED)
            candidates[count++] = names->sorted[i].name;
    if (candidates)
        near = text_nearest(name, candidates, count);
    free(candidates);
    return near;
}

/* The template that the name would be an instance of, or NOBODY. */
static uint32_t find_template(const struct names *names, const char *name)
{
    char template[SERVICE_NAME_MAX_BYTES + 1];
    return service_name_template(name, template) && find_any(names, name, true) == NOBODY
               ? find(names, template)
               : NOBODY;
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

void names_place(const struct source *source, const char *key, size_t index, unsigned *ret_line,
                 unsigned *ret_column)
{
    struct nodes_text text = {.path = source->path, .text = source->text, .size = source->size};
    struct error_list errors = {0};
    struct arena arena = {0};
    const struct node *root = NULL, *node;

    *ret_line = *ret_column = 0;
    if (nodes_parse(&text, &arena, 1, &root, &errors) == 0 && root && root->kind == NODE_MAPPING)
        for (node = root->first; node; node = node->next) {
            if (strcmp(node->key->text, key) != 0)
                continue;
            const struct node *item = node;
            if (node->kind == NODE_LIST && node->first)
                for (item = node->first; index && item->next; index--)
                    item = item->next;
            *ret_line = item->line;
            *ret_column = item->column;
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
    if (names->in_force)
        return true;
    if (service->kind == CHECKED_TEMPLATE)
        return !strstr(name, service_name_instance(service->name));
    if (service->template == NOBODY)
        return true;
    /* Made of the same text, it has a name at each place. */
    names_t common = names_of(names->list[service->template].definition, key);
    return strcmp(common[index], name) != 0;
}

static int say_missing(const struct names *names, const struct checked *service, const char *key,
                       const char *name, size_t index, struct error_list *errors)
{
    bool compare = names->missing * names->sorted_count <= COMPARISONS_MOST;
    const char *near = compare ? nearest(names, name) : NULL;
    unsigned line, column;

    names_place(service->source, key, index, &line, &column);
    if (near)
        return error_list_add(errors, service->source->path, line, column,
                              "'%s' names '%s', and no service has that name; the nearest is '%s'",
                              key, name, near);
    return error_list_add(errors, service->source->path, line, column,
                          "'%s' names '%s', and no service has that name", key, name);
}

/* Says a name that is none where that is to be said. */
static int meet_missing(struct names *names, uint32_t index, const struct name_key *key, size_t at,
                        struct error_list *errors)
{
    const struct checked *service = &names->list[index];
    const char *name = names_of(service->definition, key)[at];
    bool is_news = names->is_news ? names->is_news(names->context, service, name) : service->told;
    if (!is_news || find_template(names, name) != NOBODY || !is_own(names, service, key, name, at))
        return 0;
    if (++names->missing > names->most && names->most)
        return 0;
    return say_missing(names, service, key->key, name, at, errors);
}

/* Adds a service's edges, and an error for each name that is none. */
static int add_edges(struct names *names, uint32_t index, struct graph *graph,
                     struct error_list *errors)
{
    const struct checked *service = &names->list[index];
    size_t first = errors->count;
    int r = 0;

    for (size_t i = 0; service->definition && i < NAME_KEYS; i++) {
        const struct name_key *key = &name_keys[i];
        names_t list = names_of(service->definition, key);
        for (size_t at = 0; r == 0 && list && list[at]; at++) {
            uint32_t other = find(names, list[at]);
            r = other == NOBODY ? meet_missing(names, index, key, at, errors)
                                : graph_add(graph, key->reversed ? other : index,
                                            key->reversed ? index : other, key->kind);
        }
    }
    return r == 0 ? note(names, FINDING_NAME, index, first, errors) : r;
}

/* Of a system file's services each comes after the one before it. */
static int add_order(const struct names *names, struct graph *graph)
{
    const struct system_file *order = names->order;
    uint32_t last = NOBODY;
    int r = 0;

    for (size_t i = 0; r == 0 && order && i < order->service_count; i++) {
        uint32_t next = find(names, order->services[i].name);
        if (next == NOBODY)
            continue;
        if (last != NOBODY && last != next)
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
                names_place(names->list[from].source, name_keys[i].key, at, ret_line, ret_column);
                return;
            }
    }
}

static const char *name_of_node(const void *context, uint32_t node)
{
    return ((const struct names *)context)->list[node].name;
}

/* One error with the path. A message has a bound, so a long path goes over several errors of the
 * same file. */
static int say_cycle(struct names *names, const uint32_t *path, int length,
                     struct error_list *errors)
{
    size_t before = errors->count;
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
    return r == 0 ? note(names, FINDING_CYCLE, path[0], before, errors) : r;
}

/* Of each set of services that come after each other: its first member, and whether it is told. */
struct cycle_set {
    uint32_t member;
    bool told, seen;
};

/* One error for each set. */
static int find_cycles(struct names *names, const struct graph *graph, struct error_list *errors)
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
        names->list[node].in_cycle = in_cycle[node] != 0;
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

static int check_ordered(const struct names *names, const char *key, const char *name,
                         const struct system_place *place, struct error_list *errors)
{
    if (find(names, name) != NOBODY || find_template(names, name) != NOBODY)
        return 0;
    if (names->is_news && !names->is_news(names->context, NULL, name))
        return 0;
    return error_list_add(errors, names->order->path, place->line, place->column,
                          "'%s' names '%s', and no service has that name", key, name);
}

static int check_order(struct names *names, struct error_list *errors)
{
    const struct system_file *order = names->order;
    size_t first = errors->count;
    int r = 0;

    if (!order)
        return 0;
    for (size_t i = 0; r == 0 && i < order->service_count; i++)
        r = check_ordered(names, "services", order->services[i].name, &order->services[i].place,
                          errors);
    for (size_t i = 0; r == 0 && order->start && order->start[i]; i++)
        r = check_ordered(names, "start", order->start[i], &order->start_places[i], errors);
    return r == 0 ? note(names, FINDING_ORDER, 0, first, errors) : r;
}

/* ---- instances ------------------------------------------------------------------------------ */

/* A name that an instance is to be called, and who names it. */
struct wanted {
    const char *name;
    uint32_t by;
};

/* The walk over all that is there, level by level, to what is named by that. */
struct naming {
    struct names *names;
    struct error_list *errors;
    uint32_t *queue; /* indices; each stands in it once */
    size_t count, room;
    struct wanted *wanted; /* by those of this level; in the end each once */
    size_t wanted_count, wanted_room;
    bool late; /* only those are left that nobody names */
};

static int reach(struct naming *naming, uint32_t index)
{
    if (naming->names->list[index].reached)
        return 0;
    if (naming->count == naming->room) {
        size_t room = naming->room ? naming->room * 2 : naming->names->count + 64;
        uint32_t *grown = reallocarray(naming->queue, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        naming->queue = grown;
        naming->room = room;
    }
    naming->names->list[index].reached = true;
    naming->queue[naming->count++] = index;
    return 0;
}

/* An instance that is there is only noted. */
static int want(struct naming *naming, const char *name, uint32_t by)
{
    struct names *names = naming->names;
    uint32_t index = find(names, name);
    if (index != NOBODY) {
        struct checked *service = &names->list[index];
        if (service->kind != CHECKED_INSTANCE || strcmp(service->name, name) != 0)
            return 0;
        if (service->named_by == NAMED_BY_NOBODY && !naming->late)
            service->named_by = by;
        return reach(naming, index);
    }
    uint32_t template = find_template(names, name);
    if (template == NOBODY || (!names->in_force && !names->list[template].definition))
        return 0;
    if (naming->wanted_count == naming->wanted_room) {
        size_t room = naming->wanted_room ? naming->wanted_room * 2 : 64;
        struct wanted *grown = reallocarray(naming->wanted, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        naming->wanted = grown;
        naming->wanted_room = room;
    }
    naming->wanted[naming->wanted_count++] = (struct wanted){name, by};
    return 0;
}

static int want_all(struct naming *naming, names_t list, uint32_t by)
{
    int r = 0;
    for (; r == 0 && list && *list; list++)
        r = want(naming, *list, by);
    return r;
}

/* What the system file names, and what was switched on by hand. */
static int want_from_outside(struct naming *naming)
{
    const struct system_file *order = naming->names->order;
    const struct switches *switches = naming->names->switches;
    int r = 0;
    for (size_t i = 0; r == 0 && order && i < order->service_count; i++)
        r = want(naming, order->services[i].name, NAMED_BY_ORDER);
    for (size_t i = 0; r == 0 && order && order->start && order->start[i]; i++)
        r = want(naming, order->start[i], NAMED_BY_ORDER);
    for (size_t i = 0; r == 0 && switches && i < switches->count; i++)
        if (switches->list[i].which == SWITCHED_ON)
            r = want(naming, switches->list[i].name, NAMED_BY_SWITCH);
    return r;
}

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : left->by < right->by ? -1 : left->by > right->by;
}

/* An instance that does not load, though its template does for others, is told. */
static int make_instance(struct naming *naming, const struct wanted *wanted)
{
    struct names *names = naming->names;
    uint32_t template = find_template(names, wanted->name), index = (uint32_t)names->count;
    struct checked instance = {.name = wanted->name,
                               .source = names->list[template].source,
                               .kind = CHECKED_INSTANCE,
                               .told = names->list[template].told};
    struct error_list ignored = {0};
    size_t first = naming->errors->count;
    int r = definition_parse_instance(instance.source, wanted->name, &instance.owned,
                                      instance.told ? naming->errors : &ignored);
    error_list_finish(&ignored);
    if (r == -ENOMEM)
        return r;
    instance.definition = instance.owned;
    if ((r = names_add(names, &instance)) < 0) {
        definition_destroy(instance.owned);
        return r;
    }
    names->list[index].template = template;
    names->list[index].named_by = wanted->by;
    r = note(names, FINDING_INSTANCE, index, first, naming->errors);
    return r == 0 ? reach(naming, index) : r;
}

static int make_wanted(struct naming *naming)
{
    const struct wanted *wanted = naming->wanted;
    int r = 0;
    if (naming->wanted_count)
        qsort(naming->wanted, naming->wanted_count, sizeof *naming->wanted, compare_wanted);
    for (size_t i = 0; r == 0 && i < naming->wanted_count; i++)
        if (i == 0 || strcmp(wanted[i - 1].name, wanted[i].name) != 0)
            r = make_instance(naming, &wanted[i]);
    return r == 0 && naming->wanted_count ? sort_names(naming->names) : r;
}

static int say_too_deep(struct naming *naming)
{
    struct names *names = naming->names;
    const struct wanted *wanted = naming->wanted;
    const struct checked *of = &names->list[find_template(names, wanted->name)];
    size_t first = naming->errors->count;
    if (!of->told)
        return 0;
    int r = error_list_add(naming->errors, of->source->path, 0, 0,
                           "'%s' is named by an instance that is named by an instance, and so on: "
                           "do templates name each other with longer and longer names?",
                           wanted->name);
    return r == 0 ? note(names, FINDING_NAME, wanted->by, first, naming->errors) : r;
}

/* From the queue's entry `from`, which is `level` instances deep, to what is named by those. */
static int follow(struct naming *naming, size_t from, unsigned level)
{
    int r = 0;
    for (;; level++) {
        size_t to = naming->count;
        naming->wanted_count = 0;
        for (; r == 0 && from < to; from++) {
            uint32_t index = naming->queue[from];
            const struct definition *definition = naming->names->list[index].definition;
            r = definition ? want_all(naming, definition->needs, index) : 0;
            if (r == 0 && definition)
                r = want_all(naming, definition->wants, index);
        }
        if (r == 0 && level == 0)
            r = want_from_outside(naming);
        if (r == 0 && naming->wanted_count && level >= SERVICE_INSTANCE_CHAIN_MAX) {
            r = say_too_deep(naming);
            naming->wanted_count = 0;
        }
        if (r == 0)
            r = make_wanted(naming);
        if (r < 0 || from == naming->count)
            return r;
    }
}

/* Makes what is named, then what that names, as far as the launcher would; at last those instances
 * come that are there and that nobody else names. */
static int make_named(struct names *names, struct error_list *errors)
{
    struct naming naming = {.names = names, .errors = errors};
    int r = 0;

    for (size_t i = 0; r == 0 && i < names->count; i++)
        if (names->list[i].kind != CHECKED_INSTANCE || names->list[i].stands)
            r = reach(&naming, (uint32_t)i);
    if (r == 0)
        r = follow(&naming, 0, 0);
    size_t from = naming.count;
    naming.late = true;
    for (size_t i = 0; r == 0 && i < names->count; i++)
        r = reach(&naming, (uint32_t)i);
    if (r == 0)
        r = follow(&naming, from, 1);
    free(naming.queue);
    free(naming.wanted);
    return r;
}

int names_check(struct names *names, struct error_list *errors)
{
    struct graph graph;
    int r = sort_names(names);

    if (r == 0)
        r = make_named(names, errors);
    if (r == 0)
        r = graph_init(&graph, (uint32_t)names->count);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < names->count; i++)
        r = add_edges(names, (uint32_t)i, &graph, errors);
    if (r == 0)
        r = add_order(names, &graph);
    if (r == 0)
        r = graph_build(&graph);
    if (r == 0)
        r = find_cycles(names, &graph, errors);
    if (r == 0)
        r = check_order(names, errors);
    graph_finish(&graph);
    return r;
}
