/* Service files as they are found, before anything is parsed.
 *
 * A set of sources is what a launcher holds in force: it is written into a memfd with
 * sources_write() and read back after a crash with sources_read(), so that the same texts are
 * parsed again and no service file is read. The format is in docs/definitions-record.md. */
#pragma once

#include "config/arena.h"
#include "config/error-list.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_MAX_BYTES (1u << 20) /* a larger service file is refused unread */

struct source {
    const char *name;    /* of the service, or "agetty@" of a template; breaks the rules for names
                            only when `problem` is set */
    const char *path;    /* of the file, as a person would write it */
    const char *text;    /* its content, `size` bytes; NULL when `masked` or `problem` is set */
    const char *problem; /* why the file cannot be used, in words; NULL: it was read */
    const char *exec;    /* a folder's own program, the default of `exec`; absolute; else NULL */
    const char *logs;    /* a folder's own place for the journal; absolute; else NULL */
    size_t size;
    bool folder; /* NAME/config.yaml, not NAME.yml */
    bool masked; /* an empty file in a later folder: there is no such service */
    bool gone;   /* a template whose file is gone: kept for its instances that still run */
};

/* Sorted by name, each name once. All texts belong to the set. A zeroed struct is an empty set. */
struct sources {
    struct source *list;
    size_t count;
    struct arena arena;
    int unread; /* a folder could not be read, with this -errno: what is in it is not among these */
};

/* Where service files usually are, later ones outrank; NULL-terminated. */
extern const char *const sources_default_folders[];

/* Looks into the folders, in order; of two files for one service the one in the later folder
 * counts. A folder that is missing is passed over; one that cannot be read adds to `errors`.
 * What cannot be read or has a bad name becomes a source with `problem`. Doubtful things (x.yml
 * beside x.yaml) add to `warnings`.
 * Returns 0 (also with errors) or -ENOMEM; *ret is to be finished by the caller. */
int sources_scan(const char *const *folders, size_t folder_count, struct sources *ret,
                 struct error_list *errors, struct error_list *warnings);

/* Where a scan is, in memory that another process looks at: what is being read, and a count that
 * grows with each step. So it can be said what hangs. */
struct scan_place {
    uint64_t steps;
    char path[PATH_MAX];
};

/* The same, keeping `place` (NULL: nobody looks) up to date. */
int sources_scan_at(const char *const *folders, size_t folder_count, struct sources *ret,
                    struct error_list *errors, struct error_list *warnings,
                    struct scan_place *place);

/* Notes that `folder`, or the entry in it (NULL: itself), comes next. */
void scan_note(struct scan_place *place, const char *folder, const char *entry);

/* A set of one: the file at `path`, whatever its ending, its service named after it (for
 * NAME/config.yaml: after the folder). With `as`, a literal, it is called that, and its own name
 * may be anything: for files that are no service's. A file that cannot be read is a source with
 * `problem`. Returns 0 or -ENOMEM. */
int sources_read_file(const char *path, const char *as, struct sources *ret);

/* The source of that name, or NULL. */
const struct source *sources_find(const struct sources *sources, const char *name);

/* Whether both say the same: a definition made of one is good for the other, as far as the file
 * goes. */
bool source_equal(const struct source *a, const struct source *b);

/* Writes `count` sources into fd, an empty memfd, so that it is valid only when this has
 * returned 0. Returns 0 or -errno. */
int sources_write(int fd, const struct source *sources, size_t count);

/* Reads what sources_write() wrote. Returns 0, -EBADMSG when it is anything else, cut or of
 * another version, or -errno; *ret untouched on failure. */
int sources_read(int fd, struct sources *ret);

void sources_finish(struct sources *sources);
