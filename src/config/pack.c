/* A definition is parsed into an arena with room to spare; here it becomes one block of exactly
 * the size it needs. Two passes over the same functions: one counts, one copies. */
#include "config/parse.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

/* `bytes` of the block for an array, aligned for pointers; NULL while counting. */
static void *take_array(struct packer *packer, size_t bytes)
{
    char *taken = NULL;
    size_t gap = (size_t)-packer->bytes % alignof(uint64_t);
    packer->bytes += gap + bytes;
    if (packer->next) {
        taken = packer->next + gap;
        packer->next = taken + bytes;
    }
    return taken;
}

void pack_text(struct packer *packer, void *field)
{
    char **text = field;
    if (!*text)
        return;
    size_t bytes = strlen(*text) + 1;
    packer->bytes += bytes;
    if (packer->next) {
        char *copy = packer->next;
        packer->next += bytes;
        memcpy(copy, *text, bytes);
        *text = copy;
    }
}

void pack_array(struct packer *packer, void *field, size_t bytes)
{
    void **array = field;
    if (!*array)
        return;
    if (!bytes) {
        if (packer->next)
            *array = NULL; /* it must not point to what goes away */
        return;
    }
    void *copy = take_array(packer, bytes);
    if (copy) {
        memcpy(copy, *array, bytes);
        *array = copy;
    }
}

void pack_texts(struct packer *packer, void *field)
{
    char ***list = field;
    size_t count = 0;
    if (!*list)
        return;
    while ((*list)[count])
        count++;
    pack_array(packer, field, (count + 1) * sizeof **list);
    for (size_t i = 0; i < count; i++)
        pack_text(packer, &(*list)[i]);
}

void pack_commands(struct packer *packer, void *field)
{
    commands_t *list = field;
    size_t count = 0;
    if (!*list)
        return;
    while ((*list)[count])
        count++;
    pack_array(packer, field, (count + 1) * sizeof **list);
    for (size_t i = 0; i < count; i++)
        pack_texts(packer, &(*list)[i]);
}
