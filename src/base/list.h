/* An intrusive doubly linked ring: the node lives in the object it links.
 *
 * A head is a node that links to itself when the list is empty. A node that is in no list
 * links to itself too, so list_remove() on it does nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *previous, *next;
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->previous = list->next = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->previous = head->previous;
    node->next = head;
    head->previous->next = node;
    head->previous = node;
}

static inline void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* The first node of a list that is not empty. Clang's analyzer does not follow a ring: to it the
 * first node is the one that was just removed and freed. It is told nothing of which one it is. */
#ifdef __clang_analyzer__
struct list *list_first(const struct list *head);
#else
static inline struct list *list_first(const struct list *head)
{
    return head->next;
}
#endif

/* The first node, taken out of the list; NULL when it is empty. */
static inline struct list *list_take(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *node = list_first(head);
    list_remove(node);
    return node;
}

/* `node` may be removed in the body; no other may. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared takes none */
#define list_for_each(node, head)                                                                  \
    for (struct list *node = (head)->next, *next_##node = node->next; node != (head);              \
         node = next_##node, next_##node = node->next)
/* NOLINTEND(bugprone-macro-parentheses) */
