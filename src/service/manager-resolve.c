/* Names and edges: what definitions say in words becomes the graph, cycles are broken. */
#include "base/text.h"
#include "service/manager-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef void warn_function(void *context, const char *service, const char *text);

/* ---- names --------------------------------------------------------------------------------- */

/* FNV-1a, 32 bits. */
static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* The place where the name is, or would be. */
static struct manager_name *place_of(const struct manager *manager, const char *name)
{
    uint32_t at = hash_of(name) & (manager->name_places - 1);
    while (manager->names[at].name && strcmp(manager->names[at].name, name) != 0)
        at = (at + 1) & (manager->name_places - 1);
    return &manager->names[at];
}

struct service *manager_find(const struct manager *manager, const char *name)
{
    if (!manager->name_places)
        return NULL;
    const struct manager_name *place = place_of(manager, name);
    struct service *service = place->name ? &manager->services[place->slot] : NULL;
    return service && service->in_use ? service : NULL;
}

/* A provided name is answered by the first enabled one by name order; a real name outranks it. */
static void provide(struct manager *manager, const struct service *service, const char *name)
{
    struct manager_name *place = place_of(manager, name);
    if (!place->name) {
        *place = (struct manager_name){name, service->slot};
        manager->names_used++;
        return;
    }
    const struct service *holder = &manager->services[place->slot];
    if (strcmp(service_name(manager, holder), name) == 0 || holder == service)
        return;
    bool better_enabled = service_is_enabled(service) && !service_is_enabled(holder);
    bool same_enabled = service_is_enabled(service) == service_is_enabled(holder);
    if (better_enabled ||
        (same_enabled && strcmp(service_name(manager, service), service_name(manager, holder)) < 0))
        *place = (struct manager_name){name, service->slot};
}

/* How many names there are, and the bytes of those that are provided. */
static size_t count_names(const struct manager *manager, size_t *ret_bytes)
{
    size_t count = 0;
    *ret_bytes = 0;
    for (uint32_t i = 0; i < manager->slots; i++) {
        const struct definition *definition = manager->services[i].definition;
        count += manager->services[i].in_use;
        for (size_t j = 0; definition && definition->provides && definition->provides[j]; j++) {
            *ret_bytes += strlen(definition->provides[j]) + 1;
            count++;
        }
    }
    return count;
}

static void put_own_name(struct manager *manager, const struct service *service)
{
    struct manager_name *place = place_of(manager, service_name(manager, service));
    manager->names_used += place->name == NULL;
    *place = (struct manager_name){service_name(manager, service), service->slot};
}

int manager_index_names(struct manager *manager)
{
    size_t bytes, count = count_names(manager, &bytes);
    uint32_t places = 16;
    while (places < count * 3) /* with room for some that are added */
        places *= 2;
    struct manager_name *names = calloc(places, sizeof *names);
    char *texts = malloc(bytes + 1), *text = texts;
    if (!names || !texts) {
        free(names);
        free(texts);
        return -ENOMEM;
    }
    free(manager->names);
    free(manager->provided_names);
    manager->names = names;
    manager->provided_names = texts;
    manager->name_places = places;
    manager->names_used = 0;
    for (uint32_t i = 0; i < manager->slots; i++)
        if (manager->services[i].in_use)
            put_own_name(manager, &manager->services[i]);
    for (uint32_t i = 0; i < manager->slots; i++) {
        struct service *service = &manager->services[i];
        names_t provides = service->definition ? service->definition->provides : NULL;
        for (size_t j = 0; provides && provides[j]; j++) {
            size_t size = strlen(provides[j]) + 1;
            memcpy(text, provides[j], size);
            provide(manager, service, text);
            text += size;
        }
    }
    return 0;
}

int manager_add_name(struct manager *manager, const struct service *service)
{
    if ((manager->names_used + 1) * 2 > manager->name_places)
        return manager_index_names(manager);
    put_own_name(manager, service);
    return 0;
}

/* ---- edges --------------------------------------------------------------------------------- */

struct building {
    struct manager *manager;
    struct graph *graph;
    const uint32_t *in_cycle; /* edges inside one are left out; NULL: none are */
    warn_function *warn;
    int failed;
};

static void add_edge(struct building *b, uint32_t from, uint32_t to, enum edge_kind kind)
{
    if (b->in_cycle && kind != EDGE_CONFLICT && b->in_cycle[from] &&
        b->in_cycle[from] == b->in_cycle[to])
        return;
    if (!b->failed)
        b->failed = graph_add(b->graph, from, to, kind);
}

static void add_names(struct building *b, struct service *service, names_t names,
                      enum edge_kind kind, const char *key)
{
    for (size_t i = 0; names && names[i]; i++) {
        const struct service *other = manager_find(b->manager, names[i]);
        if (other) {
            bool reversed = strcmp(key, "before") == 0;
            add_edge(b, reversed ? other->slot : service->slot,
                     reversed ? service->slot : other->slot, kind);
        } else if (kind == EDGE_NEED && !service->missing_need) {
            service->missing_need = names[i];
        } else if (kind != EDGE_NEED && kind != EDGE_CONFLICT && b->warn) {
            char text[SERVICE_NAME_MAX_BYTES + 64];
            text_format(text, sizeof text, "'%s' names '%s', and no service has that name", key,
                        names[i]);
            b->warn(b->manager->context, service_name(b->manager, service), text);
        }
    }
}

static int add_edges(struct building *b, char *const *order)
{
    const struct service *last = NULL;
    for (uint32_t i = 0; i < b->manager->slots; i++) {
        struct service *service = &b->manager->services[i];
        const struct definition *definition = service->definition;
        service->missing_need = NULL;
        if (!service->in_use || !definition)
            continue;
        add_names(b, service, definition->needs, EDGE_NEED, "needs");
        add_names(b, service, definition->wants, EDGE_WANT, "wants");
        add_names(b, service, definition->after, EDGE_ORDER, "after");
        add_names(b, service, definition->before, EDGE_ORDER, "before");
        add_names(b, service, definition->conflicts, EDGE_CONFLICT, "conflicts");
    }
    for (size_t i = 0; order && order[i]; i++) {
        const struct service *next = manager_find(b->manager, order[i]);
        if (next && last && next != last)
            add_edge(b, next->slot, last->slot, EDGE_ORDER);
        last = next ? next : last;
    }
    return b->failed ? b->failed : graph_build(b->graph);
}

/* ---- cycles -------------------------------------------------------------------------------- */

static const char *name_of_slot(const void *context, uint32_t slot)
{
    return ((const struct manager *)context)->records[slot].name;
}

/* "in a cycle, each after the next: a, b, a". */
static char *cycle_text(const struct manager *manager, const uint32_t *path, int length)
{
    const char *names[CYCLE_NAMES_MAX + 2];
    size_t size = 128, at, left_out;
    graph_cycle_names(path, length, names, name_of_slot, manager, &at, &left_out);
    for (size_t i = 0; names[i]; i++)
        size += strlen(names[i]) + 2;
    char *storage = malloc(size);
    if (!storage)
        return NULL;
    struct text text;
    text_init(&text, storage, size);
    text_add(&text, "in a cycle, each after the next: ");
    for (size_t i = 0; names[i]; i++) {
        if (i == at && left_out)
            text_printf(&text, "… %zu more …, ", left_out);
        text_printf(&text, "%s%s", names[i], names[i + 1] ? ", " : "");
    }
    return storage;
}

/* Where thousands are tied into each other, a cycle for each would take for ever to find. The rest
 * says the last one that was found: breaking it is where to begin all the same. */
#define CYCLES_OF_A_SET 100

struct cycle_naming {
    struct manager *manager;
    const struct graph *graph;
    const uint32_t *in_cycle;
    uint32_t *path;     /* [nodes] */
    const char **texts; /* [nodes]: the text of the cycle a node is on */
    char **owned;
    size_t count, room;
    uint32_t set, in_set; /* how many cycles of this set have been named */
};

/* A shortest cycle through the node, in words, for all that are on it: a ring of ten thousand has
 * one text and not ten thousand. */
static int name_cycle(struct cycle_naming *naming, uint32_t node)
{
    uint32_t set = naming->in_cycle[node];
    naming->in_set = naming->set == set ? naming->in_set + 1 : 1;
    naming->set = set;
    if (naming->in_set > CYCLES_OF_A_SET) {
        naming->texts[node] = naming->owned[naming->count - 1];
        return 0;
    }
    int length = graph_cycle_path(naming->graph, naming->in_cycle, node, naming->path);
    if (length < 0)
        return length;
    if (naming->count == naming->room) {
        size_t room = naming->room ? naming->room * 2 : 8;
        char **grown = reallocarray(naming->owned, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        naming->owned = grown;
        naming->room = room;
    }
    char *text = cycle_text(naming->manager, naming->path, length);
    if (!text)
        return -ENOMEM;
    naming->owned[naming->count++] = text;
    for (int i = 0; i < length; i++)
        if (!naming->texts[naming->path[i]])
            naming->texts[naming->path[i]] = text;
    return 0;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

/* Names the cycles in their members; those that run go on and are refused when they have ended. */
static int mark_cycles(struct manager *manager, const struct graph *graph, const uint32_t *in_cycle)
{
    struct cycle_naming naming = {.manager = manager, .graph = graph, .in_cycle = in_cycle};
    size_t nodes = graph->nodes;
    int failed = 0;
    naming.path = calloc(nodes + 1, sizeof *naming.path);
    naming.texts = calloc(nodes + 1, sizeof *naming.texts);
    if (!naming.path || !naming.texts)
        failed = -ENOMEM;
    for (uint32_t i = 0; i < nodes && !failed; i++)
        if (in_cycle[i] && !naming.texts[i])
            failed = name_cycle(&naming, i);
    if (failed) {
        free_texts(naming.owned, naming.count);
    } else {
        for (uint32_t i = 0; i < nodes; i++) {
            struct service *service = &manager->services[i];
            bool was = service->cycle != NULL;
            service->cycle = naming.texts[i];
            if (was && !service->cycle && service->definition)
                manager_event(manager, service, EVENT_LOADED);
        }
        free_texts(manager->cycle_texts, manager->cycle_count);
        manager->cycle_texts = naming.owned;
        manager->cycle_count = naming.count;
    }
    free(naming.path);
    free(naming.texts);
    return failed;
}

/* The whole of it, on a graph beside the one in force. */
static int resolve(struct manager *manager, char *const *order, warn_function *warn,
                   uint32_t *in_cycle, struct graph *ret_graph)
{
    struct graph graph = {0};
    struct building building = {.manager = manager, .graph = &graph, .warn = warn};
    int failed = manager_index_names(manager);
    if (!failed)
        failed = graph_init(&graph, manager->slots);
    if (!failed)
        failed = add_edges(&building, order);
    int sets = failed ? failed : graph_find_cycles(&graph, in_cycle);
    if (sets >= 0)
        failed = mark_cycles(manager, &graph, in_cycle);
    else
        failed = sets;
    if (!failed && sets > 0) {
        graph_finish(&graph);
        building.in_cycle = in_cycle;
        building.warn = NULL;
        failed = graph_init(&graph, manager->slots);
        if (!failed)
            failed = add_edges(&building, order);
    }
    if (failed)
        graph_finish(&graph);
    else
        *ret_graph = graph;
    return failed;
}

int manager_resolve(struct manager *manager, char *const *order, warn_function *warn)
{
    struct graph graph;
    uint32_t *in_cycle = calloc(manager->slots + 1, sizeof *in_cycle);
    if (!in_cycle)
        return -ENOMEM;
    int failed = resolve(manager, order, warn, in_cycle, &graph);
    free(in_cycle);
    if (failed)
        return failed;
    graph_finish(&manager->graph);
    manager->graph = graph;
    manager->active = manager->coming = 0;
    for (uint32_t i = 0; i < manager->slots; i++) {
        if (!manager->services[i].in_use)
            continue;
        const struct service_body *body = service_body(manager, &manager->services[i]);
        manager->active += !is_idle(body);
        manager->coming += is_coming((enum service_state)body->state);
    }
    manager_mark_all(manager);
    return 0;
}
