/* What the next journal has to know, in a memfd that init holds (KEY_JOURNAL_STATE).
 *
 *   0        header, one page, mapped
 *   65536    what changes with each block, one struct journal_live for each slot, mapped
 *   behind   what is known of each slot's file, one struct journal_written for each, mapped
 *   behind   one record for each slot, RECORD_BYTES apart
 *   behind   one folder for each slot, FOLDER_BYTES apart; used only where a record says so
 *   behind   one match for each id, MATCH_BYTES apart; used only where it says so itself
 *
 * A slot is one journal, from its registration until its last line is written; the launcher may
 * give its id to another one before that. Pages of slots that were never used do not exist. */
#pragma once

#include "journal/splitter.h"
#include "protocol/hand-over.h"
#include "protocol/journal-link.h"
#include "service-journal/rate.h"

#include <stdbool.h>
#include <stdint.h>

struct journal_state_header;

#define JOURNAL_SLOT_OWN  0 /* our own lines; has no record */
#define JOURNAL_SLOTS_MAX (KEY_READY_FIRST - KEY_SERVICE_FIRST)

struct journal_state {
    int fd;
    struct journal_state_header *header;
    struct journal_live *lives;      /* by slot; the thread's that reads pipes, … */
    struct journal_written *written; /* … and the writer's */
    bool needs_backlogs;             /* as the former journal has left it, or was told here */
};

struct journal_state_record {
    uint32_t id;
    bool ending;    /* forgotten by the launcher: nothing more comes */
    uint32_t flags; /* enum journal_flag */
    struct quota quota;
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

#define JOURNAL_LIVE_PIPES     2 /* enum pipe_place */
#define JOURNAL_LIVE_NO_OUTPUT UINT64_MAX

/* Where the lines of a slot stand. */
struct journal_live {
#ifdef CONIT_STATE_VARIANT /* the Meson option: a state of another layout */
    uint64_t news[3];
#endif
    struct {
        uint64_t inode; /* 0: none */
        struct journal_splitter splitter;
        uint32_t dropping; /* in the middle of a line that the rate has dropped */
    } pipes[JOURNAL_LIVE_PIPES];
    uint64_t in_inode; /* of the pipe whose unfinished line was put last; 0: of none */
    uint32_t in_state; /* enum journal_line_state of it */
    struct rate rate;
    struct journal_counts counts;
    uint64_t output_inode; /* of the pipe that it was registered with; JOURNAL_LIVE_NO_OUTPUT: of
                              none yet; 0: a former version has not noted it */
};

/* What the writer's thread alone knows of a slot's file. */
struct journal_written {
    uint64_t device, inode, bytes; /* valid where … */
    uint32_t to_cut;   /* … it is to be made so long, which could not be done so far */
    uint32_t unsynced; /* it is not on the disk */
};

/* How far a block is, and where its pipe is by then. */
struct journal_place {
    struct journal_splitter splitter;
    uint32_t dropping;
    uint32_t done_bytes; /* of the spool, that are in the queue */
};

/* The step under way: a part of a block on its way from a pipe into the queue, mostly all of it, or
 * what a message puts there. It is carried out by the store of the queue's head; where that is
 * still what it was, the next journal does it again, and goes on behind it. */
struct journal_note {
    uint32_t active; /* the rest is valid; set last, cleared when the step is done */
    uint32_t slot;
    uint64_t head;               /* of the queue, before */
    uint64_t sequence;           /* the message that is carried out by it; 0: none */
    struct journal_live live;    /* before */
    uint64_t pipe_inode;         /* whose block is in the spool; 0: nobody's */
    struct journal_place before; /* that pipe's; … */
    struct journal_place after;  /* … valid once the step is carried out */
    uint64_t block;              /* how many were noted */
};

/* In shared memory: every store is at once where the next journal finds it. */
struct journal_note *journal_state_note(const struct journal_state *state);
struct journal_live *journal_state_live(const struct journal_state *state, uint32_t slot);

/* Makes an empty state. Returns 0 or -errno. */
int journal_state_create(struct journal_state *state);

/* Takes over one that another journal made; `fd` is taken. One of another layout is moved into a
 * new one: *ret_moved, then init is to be given state->fd, and nothing of the former one was
 * changed; a step that was under way is left out. -EPROTO: no state at all, or one that we cannot
 * read. Returns 0 or -errno. */
int journal_state_open(struct journal_state *state, int fd, bool *ret_moved);

/* Whether what the next journal needs is in the backlogs, too (KEY_JOURNAL_BACKLOGS). Then one that
 * does not know of them refuses the state, in place of forgetting them. */
void journal_state_need_backlogs(struct journal_state *state, bool needed);

/* The sequence of the last message that was carried out. */
uint64_t journal_state_sequence(const struct journal_state *state);
void journal_state_set_sequence(struct journal_state *state, uint64_t sequence);

/* One more than the highest slot that ever had a record. */
uint32_t journal_state_slots(const struct journal_state *state);

/* Returns 0; -ENOENT: there is none; or -errno. */
int journal_state_read(const struct journal_state *state, uint32_t slot,
                       struct journal_state_record *ret);

/* 0 or -errno. */
int journal_state_write(struct journal_state *state, uint32_t slot,
                        const struct journal_state_record *record);

/* From now on `ending`. */
int journal_state_end(struct journal_state *state, uint32_t slot);
int journal_state_clear(struct journal_state *state, uint32_t slot);

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
