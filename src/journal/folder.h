/* A journal's folder: which files are in it, and how they are called (docs/journal-format.md). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_FILE_CURRENT "current"
#define JOURNAL_SEALED_BYTES 40 /* room for the longest name of a file, with its NUL */

/* The forms in which a sealed file may be there, several at once after a kill. */
enum journal_form {
    JOURNAL_PLAIN = 1,  /* TIME.log */
    JOURNAL_PACKED = 2, /* TIME.log.zst */
    JOURNAL_TORN = 4,   /* TIME.log.zst.tmp */
};

/* A sealed file is named by a time, which is its place in the order. */
struct journal_sealed {
    uint64_t time_ns; /* CLOCK_REALTIME, whole microseconds */
    unsigned forms;   /* enum journal_form, or'ed */
};

struct journal_list {
    struct journal_sealed *files; /* oldest first; malloc'ed */
    size_t count;
};

/* Lists the sealed files of an open folder. Returns 0, -ENOMEM or another -errno. */
int journal_list_read(struct journal_list *list, int folder);
void journal_list_finish(struct journal_list *list);

/* The name of a sealed file in one form. */
void journal_sealed_name(char name[static JOURNAL_SEALED_BYTES], uint64_t time_ns,
                         enum journal_form form);

/* Takes a name apart. Returns false for one that is no sealed file's. */
bool journal_sealed_parse(const char *name, uint64_t *ret_time_ns, enum journal_form *ret_form);

/* Whether there is no more of it than a compressed file that was not finished. */
static inline bool journal_sealed_is_litter(const struct journal_sealed *sealed)
{
    return !(sealed->forms & (JOURNAL_PLAIN | JOURNAL_PACKED));
}
