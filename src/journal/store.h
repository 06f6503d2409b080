/* The files of all journals: appends whole or unfinished lines to FOLDER/current, makes folders,
 * rotates. What cannot be written is the caller's to keep. Logs nothing; one thread. */
#pragma once

#include "base/list.h"
#include "journal/folder.h"
#include "journal/format.h"
#include "service/quota.h"

#include <sys/types.h>
#include <sys/uio.h>

#define JOURNAL_PIECES_MOST 64 /* written at once */
#define JOURNAL_WORK_MOST   16 /* files compressed by one process */

struct journal_store {
    const char *logs;     /* not owned, no slash at the end */
    const char *fallback; /* used where `logs` cannot be; NULL: nothing */
    gid_t group;          /* of what is made; (gid_t)-1: leave it */
    bool makes_in_group;  /* the kernel gives it that group by itself */
    struct list open;     /* journal_file.open_node, least recently used first */
    int reserve_fd;       /* given up for a file when there is no other descriptor */
};

/* How long a file was before what was written to it and has to be taken back. */
struct journal_cut {
    uint64_t device, inode, bytes;
};

struct journal_file {
    struct list open_node;
    const char *name;   /* not owned */
    const char *folder; /* not owned; NULL: below the store's */
    int fd;             /* -1: not open */
    bool on_fallback;
    bool mid_line;      /* while it is open: the last byte is no line end */
    bool is_new;        /* made here, and its folder was not synced since */
    bool sealed;        /* since journal_store_tidy(): that is due, once the batch is done */
    bool to_cut;        /* to `cut`, before anything is written or tidied; that failed so far */
    struct quota quota; /* the owner's to change; the rate is not looked at here */
    uint64_t size_bytes, checked_at_ns;
    uint64_t synced_bytes; /* of it were to be synced, at least */
    struct journal_cut cut;
    dev_t device;
    ino_t inode;
    int error; /* of what was tried last; 0 or -errno */
};

/* Sealed files that are to be compressed. */
struct journal_work {
    int folder; /* -1: none; the receiver's */
    char names[JOURNAL_WORK_MOST][JOURNAL_SEALED_BYTES];
    size_t count;
    uint64_t
        later_ns; /* in so long there is one more, which was sealed just now; 0: there is none */
};

/* `logs` and `fallback` outlive the store. Opening looks up the group, which is then the calling
 * thread's for new files: of the one that uses the store. */
void journal_store_init(struct journal_store *store, const char *logs, const char *fallback);
void journal_store_open(struct journal_store *store);
void journal_store_finish(struct journal_store *store);

/* Makes LOGS where it is missing, and finds out whether journals can be made in it. 0 or -errno. */
int journal_store_probe(const struct journal_store *store);

/* `name` and `folder` (NULL: none) outlive the file. */
void journal_file_init(struct journal_file *file, const char *name, const char *folder);

/* Closes the file. */
void journal_file_finish(struct journal_file *file);

/* Opens the file where it is not, so that its size and inode are known, and makes its end fit what
 * comes next: `continues`, which goes on with an unfinished line, or not. `now_ns`: CLOCK_REALTIME.
 * 0 or -errno, also in file->error. */
int journal_store_prepare(struct journal_store *store, struct journal_file *file, bool continues,
                          uint64_t now_ns);

/* Appends to a file that is prepared; the pieces, up to JOURNAL_PIECES_MOST, are changed. Returns
 * how many bytes were written; when not all, file->error says why, they are whole lines (or
 * nothing), and the file is closed, for an error may stick to a description. */
size_t journal_store_write(struct journal_store *store, struct journal_file *file,
                           struct iovec *pieces, int count, uint64_t now_ns);

struct journal_dropped {
    uint64_t lines;
    const char *reason;
    uint64_t time_ns; /* what is written has: no newer than that of the line behind it */
};

/* Says in the file how many lines are missing here. False: it could not be written, see
 * file->error. */
bool journal_store_write_dropped(struct journal_store *store, struct journal_file *file,
                                 const struct journal_dropped *dropped, uint64_t now_ns);

/* Makes the file as long as it was when it was this one. If it was sealed since it gets its name
 * back, and what was begun since is removed: all that was in the block it was written for. -ENOENT:
 * it is gone, and nothing is to be done. With any other error it is `to_cut`:
 * journal_store_prepare() fails until that works. 0 or -errno. */
int journal_store_rewind(struct journal_store *store, struct journal_file *file,
                         const struct journal_cut *cut);

/* Whether something of it is on the fallback. Opening it where it belongs brings that along. */
bool journal_store_is_elsewhere(const struct journal_store *store, const struct journal_file *file);

/* Whether anything may be on the fallback at all. */
bool journal_store_has_fallback(const struct journal_store *store);

/* Descriptors by which what is written so far is synced; *ret_folder is -1 where that needs no
 * sync. Both are the receiver's. 0 or -errno. */
int journal_store_sync_fds(struct journal_store *store, struct journal_file *file, int *ret_file,
                           int *ret_folder);

/* Gives `current` the name of a sealed file, when all of it is on the disk. Not in the middle of a
 * line, and not while nothing is in it (-ENOENT). 0 or -errno. */
int journal_store_seal(struct journal_store *store, struct journal_file *file);

/* What a journal has on the disk, of both places. */
struct journal_measure {
    uint64_t sealed_bytes, current_bytes;
    uint64_t oldest_ns; /* the name of the oldest sealed file; 0: there is none */
};
void journal_store_measure(struct journal_store *store, const struct journal_file *file,
                           struct journal_measure *ret);

/* Removes the sealed file of that name. Returns whether it could. */
bool journal_store_remove_sealed(struct journal_store *store, const struct journal_file *file,
                                 uint64_t time_ns);

/* Whether the first entry of `current` is older than the quota allows. */
bool journal_store_is_old(struct journal_store *store, struct journal_file *file, uint64_t now_ns);

/* Removes what is more or older than the quota allows, and says what is to be compressed. Never
 * while a batch is being written: what was sealed in it may have to come back. */
void journal_store_tidy(struct journal_store *store, struct journal_file *file, uint64_t now_ns,
                        struct journal_work *work);

/* Closes the files that were not used for longest, to get descriptors. Returns false when none
 * was open. */
bool journal_store_give_up_descriptor(struct journal_store *store);

/* Brings what was written to the disk; with `whole` by device, which is quicker and takes others'
 * data along. */
void journal_store_sync(struct journal_store *store, bool whole);
