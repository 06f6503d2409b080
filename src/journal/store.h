/* The files of all journals: appends blocks of whole or unfinished lines to FOLDER/current, makes
 * folders, rotates, and keeps in bounded memory what cannot be written now (journal/backlog.h).
 * No error of a disk reaches the caller. Logs nothing. */
#pragma once

#include "base/list.h"
#include "journal/backlog.h"
#include "journal/folder.h"
#include "journal/format.h"
#include "service/quota.h"

#include <sys/types.h>

#define JOURNAL_WORK_MOST 16 /* files compressed by one process */

struct journal_store {
    const char *logs;     /* not owned, no slash at the end */
    const char *fallback; /* used where `logs` cannot be; NULL: nothing */
    gid_t group;          /* of what is made; (gid_t)-1: leave it */
    bool makes_in_group;  /* the kernel gives it that group by itself */
    struct backlog_pool pool;
    struct list open;    /* journal_file.open_node, least recently used first */
    struct list waiting; /* journal_file.waiting_node: has a backlog */
    int reserve_fd;      /* given up for a file when there is no other descriptor */
};

struct journal_file {
    struct list open_node, waiting_node;
    const char *name;   /* not owned */
    const char *folder; /* not owned; NULL: below the store's */
    int fd;             /* -1: not open */
    bool on_fallback;
    bool mid_line;      /* the last byte written was no line end */
    bool sealed;        /* since journal_store_tidy(): that is due, once the block is done */
    struct quota quota; /* the owner's to change; the rate is not looked at here */
    uint64_t size_bytes, checked_at_ns;
    dev_t device;
    ino_t inode;
    int error; /* why there is a backlog; -errno */
    struct backlog backlog;
};

/* Sealed files that are to be compressed. */
struct journal_work {
    int folder; /* -1: none; the receiver's */
    char names[JOURNAL_WORK_MOST][JOURNAL_SEALED_BYTES];
    size_t count;
};

/* `logs` and `fallback` outlive the store. */
void journal_store_init(struct journal_store *store, const char *logs, const char *fallback);
void journal_store_finish(struct journal_store *store);

/* Makes LOGS where it is missing, and finds out whether journals can be made in it. 0 or -errno. */
int journal_store_probe(const struct journal_store *store);

/* `name` and `folder` (NULL: none) outlive the file. */
void journal_file_init(struct journal_file *file, const char *name, const char *folder);

/* Closes the file and frees its backlog. */
void journal_file_finish(struct journal_store *store, struct journal_file *file);

/* Appends. `now_ns`: CLOCK_REALTIME. What cannot be written goes to the backlog. */
void journal_store_append(struct journal_store *store, struct journal_file *file, const char *bytes,
                          size_t count, uint64_t now_ns);

/* Opens the file for the next append, so that its size and inode are known. Returns 0; -EAGAIN when
 * it has a backlog, so that nothing is written to it now; or another -errno. */
int journal_store_prepare(struct journal_store *store, struct journal_file *file, uint64_t now_ns);

/* Makes the file as long as it was when it was this one. If it was sealed since it gets its name
 * back, and what was begun since is removed: all that was in the block it was written for. 0 or
 * -errno. */
int journal_store_rewind(struct journal_store *store, struct journal_file *file, dev_t device,
                         ino_t inode, uint64_t bytes);

/* Gives `current` the name of a sealed file. Not in the middle of a line, and not while nothing is
 * in it (-ENOENT). 0 or -errno. */
int journal_store_seal(struct journal_store *store, struct journal_file *file);

/* Whether the first entry of `current` is older than the quota allows. */
bool journal_store_is_old(struct journal_store *store, struct journal_file *file, uint64_t now_ns);

/* Removes what is more or older than the quota allows, and says what is to be compressed. Never
 * while a block is being written: what was sealed in it may have to come back. */
void journal_store_tidy(struct journal_store *store, struct journal_file *file, uint64_t now_ns,
                        struct journal_work *work);

/* Tries again to write all backlogs. Returns true when one is left. */
bool journal_store_retry(struct journal_store *store, uint64_t now_ns);

/* For a journal that goes on where another process was: reads the unfinished last line of the
 * file into *ret_tail (malloc'ed; up to a little over JOURNAL_LINE_BYTES from its beginning; NULL
 * for none), and expects the next append to go on with it. Returns its length, or -errno. */
ssize_t journal_store_adopt(struct journal_store *store, struct journal_file *file,
                            char **ret_tail);

/* Takes back the last `count` bytes of the unfinished line that was adopted. 0 or -errno. */
int journal_store_cut(struct journal_store *store, struct journal_file *file, size_t count);

/* Closes the files that were not used for longest, to get descriptors. Returns false when none
 * was open. */
bool journal_store_give_up_descriptor(struct journal_store *store);

/* Brings what was written to the disk; with `whole` by device, which is quicker and takes others'
 * data along. */
void journal_store_sync(struct journal_store *store, bool whole);
