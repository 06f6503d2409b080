/* Inside the store: what writing and rotation share. Not for use outside journal/store*.c. */
#pragma once

#include "journal/store.h"

/* The path of a file of the journal. Returns false when it is too long. */
bool store_path(const struct journal_store *store, const struct journal_file *file,
                bool on_fallback, const char *leaf, char *path);

/* open(2) with O_CLOEXEC, at any price in descriptors. */
int store_open_hard(struct journal_store *store, const char *path, int flags);

/* Brings what was begun on the fallback to where it belongs, which can be written; the file is
 * closed. What fails goes on the next time. 0 or -errno. */
int store_move(struct journal_store *store, struct journal_file *file);

void store_close_file(struct journal_file *file);

/* Opens a folder and lists it. Returns its descriptor or -errno; then the list is empty. */
int store_open_folder(struct journal_store *store, const struct journal_file *file,
                      bool on_fallback, struct journal_list *list);

/* Removes a sealed file in all its forms, those too that came after the list. Returns whether there
 * was one that could be. */
bool store_remove_sealed(int folder, const struct journal_sealed *sealed);
