/* How the journal's state is laid out: for state.c and state-move.c only. */
#pragma once

#include "base/layout.h"
#include "service-journal/state.h"

#include <stdatomic.h>
#include <sys/types.h>

#define MAGIC 0x6c6e6a74696e6f63ull /* "conitjnl" */
#ifdef CONIT_STATE_VARIANT
#define VERSION      8
#define RECORD_BYTES 320
#define MATCH_BYTES  16384
#else
#define VERSION      7 /* what values mean: docs/state.md */
#define RECORD_BYTES 256
#define MATCH_BYTES  12288
#endif
#define FIRST_TOLD               5 /* the first that tells its layout */
#define LEAST_READER             5
#define LEAST_READER_OF_BACKLOGS 7     /* where backlogs belong to it, see state.h */
#define HEADER_BYTES             65536 /* the largest page there is */
#define LIVE_BYTES               (JOURNAL_SLOTS_MAX * sizeof(struct journal_live))
#define FOLDER_BYTES             1216
#define WRITTEN_AT               (HEADER_BYTES + (((off_t)LIVE_BYTES + HEADER_BYTES - 1) & -HEADER_BYTES))
#define WRITTEN_BYTES            (JOURNAL_SLOTS_MAX * sizeof(struct journal_written))
#define RECORDS_AT               (WRITTEN_AT + (((off_t)WRITTEN_BYTES + HEADER_BYTES - 1) & -HEADER_BYTES))
#define FOLDERS_AT               (RECORDS_AT + (off_t)JOURNAL_SLOTS_MAX * RECORD_BYTES)
#define MATCHES_AT               (FOLDERS_AT + (off_t)JOURNAL_SLOTS_MAX * FOLDER_BYTES)
#define IDS_MAX                  JOURNAL_SLOTS_MAX
#define STATE_BYTES              (MATCHES_AT + (off_t)IDS_MAX * MATCH_BYTES)

struct journal_state_header {
    uint64_t magic;
    uint32_t version, record_bytes, folder_bytes, live_bytes;
    _Atomic uint32_t slots;
    _Atomic uint64_t sequence;
    struct journal_note note;
};

enum valid { RECORD_NONE, RECORD_ACTIVE, RECORD_ENDING };

struct record {
#ifdef CONIT_STATE_VARIANT
    uint64_t news;
#endif
    uint32_t valid, id, flags, folder_bytes;
    char name[JOURNAL_LINK_NAME_BYTES];
    struct quota quota; /* zeros: the default */
};

struct match {
    struct journal_state_match match;
    struct journal_state_line lines[2];
};

_Static_assert(sizeof(struct match) <= MATCH_BYTES, "a match has its place");
_Static_assert(sizeof(struct record) <= RECORD_BYTES, "a record has its place");
_Static_assert(JOURNAL_LINK_TEXT_BYTES <= FOLDER_BYTES, "a folder has its place");

/* What it tells of itself (base/layout.h), in the header's place. */
#define LAYOUT_AT   32768
#define LAYOUT_ROOM (HEADER_BYTES - LAYOUT_AT)

extern const struct layout journal_state_layout;

/* Reads or writes all of it. 0; -EPROTO, -ENOSPC: there is less; or -errno. */
int journal_state_get(int fd, void *into, size_t count, off_t at);
int journal_state_put(int fd, const void *bytes, size_t count, off_t at);

/* Fills an empty state with what another journal has left in one of another layout. Returns 0, or
 * -EPROTO: this one cannot read it; or -errno. */
int journal_state_move(struct journal_state *state, int from_fd, const struct layout_told *told);
