/* What the next journal has to know, in a memfd that init holds (KEY_JOURNAL_STATE).
 *
 *   0        header, one page, mapped
 *   4096     one record for each id, RECORD_BYTES apart
 *   behind   one folder for each id, FOLDER_BYTES apart; used only where a record says so
 *   behind   one match for each id, MATCH_BYTES apart; used only where it says so itself
 *
 * Pages of ids that were never used do not exist. A record is valid by its first word, which is
 * written last and cleared first. */
#pragma once

#include "journal/splitter.h"
#include "protocol/journal-link.h"
#include "service-journal/rate.h"

#include <stdbool.h>
#include <stdint.h>

struct journal_state_header;

struct journal_state {
    int fd;
    struct journal_state_header *header;
};

struct journal_state_record {
    uint32_t flags; /* enum journal_flag */
    struct quota quota;
    uint32_t dropped; /* lines, by the rate, not reported yet */
    bool dropping;    /* in the middle of one */
    char name[JOURNAL_LINK_NAME_BYTES];
    char folder[JOURNAL_LINK_TEXT_BYTES]; /* "" for LOGS/NAME */
};

/* What of a service's output is waited for, of a pipe with this inode. */
struct journal_state_match {
    uint32_t valid, matched; /* matched: and the line was there */
    uint64_t run[2];
    uint64_t pipe_inode;
    char expression[JOURNAL_LINK_TEXT_BYTES];
};

#define MATCH_LINE_BYTES 4096 /* of a line, from its beginning, that are looked at */

/* The line that a pipe is in the middle of. There are two of each match, written in turns: what a
 * block leaves counts once the block is done, for else it is written again from where it began. */
struct journal_state_line {
    uint64_t block; /* 0: empty */
    uint32_t used;  /* of `text`; the rest is not written */
    uint32_t cut;   /* there was more */
    char text[MATCH_LINE_BYTES];
};

/* What is being written: made before a block is taken out of a pipe. */
struct journal_note {
    uint32_t active; /* the rest is valid; set last, cleared when the block is written */
    uint32_t id;
    uint64_t pipe_inode, file_device, file_inode;
    uint64_t file_bytes; /* how long the file was before; file_inode 0: it was not open */
    struct journal_splitter splitter;
    struct rate rate;
    uint32_t dropping; /* service_pipe.dropping */
    uint64_t block;    /* how many were noted */
};

/* In shared memory: every store is at once where the next journal finds it. */
struct journal_note *journal_state_note(const struct journal_state *state);

/* Makes an empty state. Returns 0 or -errno. */
int journal_state_create(struct journal_state *state);

/* Takes over one that another journal made; `fd` is taken. -EPROTO: another version or no state at
 * all; then `fd` is closed. Returns 0 or -errno. */
int journal_state_open(struct journal_state *state, int fd);

/* The sequence of the last message that was carried out. */
uint64_t journal_state_sequence(const struct journal_state *state);
void journal_state_set_sequence(struct journal_state *state, uint64_t sequence);

/* One more than the highest id that ever had a record. */
uint32_t journal_state_ids(const struct journal_state *state);

/* Returns false where there is none (or it cannot be read). */
bool journal_state_read(const struct journal_state *state, uint32_t id,
                        struct journal_state_record *ret);

/* 0 or -errno. */
int journal_state_write(struct journal_state *state, uint32_t id,
                        const struct journal_state_record *record);

/* Only what changes with what a service prints. */
int journal_state_write_dropped(struct journal_state *state, uint32_t id, uint32_t dropped,
                                bool dropping);
int journal_state_clear(struct journal_state *state, uint32_t id);

/* The match of an id, of which nothing was read yet; 0 or -errno. Reading returns false when there
 * is none. */
int journal_state_write_match(struct journal_state *state, uint32_t id,
                              const struct journal_state_match *match);
bool journal_state_read_match(const struct journal_state *state, uint32_t id,
                              struct journal_state_match *ret);
int journal_state_set_matched(struct journal_state *state, uint32_t id);
int journal_state_clear_match(struct journal_state *state, uint32_t id);

/* The line as the block that is being written leaves it; as the last one that was done left it. */
int journal_state_write_line(struct journal_state *state, uint32_t id,
                             const struct journal_state_line *line);
bool journal_state_read_line(const struct journal_state *state, uint32_t id,
                             struct journal_state_line *ret);
