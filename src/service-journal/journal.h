/* The services, their pipes, and the way of their lines into the store. */
#pragma once

#include "base/buffer.h"
#include "journal/splitter.h"
#include "journal/store.h"
#include "loop/loop.h"
#include "service-journal/keeper.h"
#include "service-journal/match.h"
#include "service-journal/rate.h"
#include "service-journal/spool.h"
#include "service-journal/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct intake;
struct service;
struct journal;

/* One service's output pipe. It has two for a while when something of an earlier run still prints
 * into that run's pipe. */
struct service_pipe {
    struct loop_fd source;
    struct list node;
    struct service *service;
    struct journal_splitter splitter;
    bool dropping; /* in the middle of a line that `rate` has dropped */
    ino_t inode;   /* pipefs numbers them */
};

struct service {
    struct journal *journal;
    uint32_t id, flags;
    char *name, *folder;      /* folder NULL: below LOGS */
    struct list pipes;        /* the newest last */
    struct service_pipe *in;  /* whose unfinished line the file ends with; NULL: none's */
    struct journal_file file; /* with the quota */
    struct rate rate;
    struct list due_node, unpacked_node; /* the keeper's */
    bool was_dropping;                   /* for the pipe that is adopted: service_pipe.dropping */
    bool stays_unpacked;                 /* compressing failed; tried again at the next seal */
    struct match *match;                 /* NULL: nothing of its output is waited for */
    struct buffer *console; /* the beginning of a line, where its lines go to the console, too */
};

struct journal {
    struct loop loop;
    struct loop_timer retry, rates;
    struct keeper keeper;
    struct journal_store store;
    struct journal_state state;
    struct spool spool;
    struct service **services; /* at journal_place(id); NULL where there is none */
    uint32_t service_count;
    struct service own;
    struct intake *intake;
    bool in_block;                     /* what is sealed now may have to come back */
    struct list matched;               /* struct match: MATCHED is to be said */
    void (*on_matched)(void *context); /* there is one more; NULL: nobody to tell yet */
    void *context;
};

/* `logs` and `fallback` outlive it. Returns 0 or -errno. */
int journal_init(struct journal *journal, const char *logs, const char *fallback);

/* The few ids that are no slots come first, so that all are in one small table. */
static inline uint32_t journal_place(uint32_t id)
{
    return id + (UINT32_MAX - JOURNAL_SYSLOG_ID + 1);
}

struct service *journal_find(const struct journal *journal, uint32_t id);

/* Makes the service, or changes it where it is known under this name; another one with the id is
 * forgotten first. Returns 0 or -errno (nothing changed). */
int journal_register(struct journal *journal, uint32_t id,
                     const struct journal_state_record *record);

/* Begins to read a pipe; one that is read already is left. `fd` (any description of it) is taken.
 * `adopted`: the file may end with an unfinished line of this pipe. Returns 0 or -errno. */
int journal_add_pipe(struct journal *journal, uint32_t id, int fd, bool adopted);

/* Writes again what another journal was writing when it was killed, so that it is there once.
 * Called when the services and their pipes are known. */
void journal_finish_block(struct journal *journal);

/* Writes a line that the service did not print. For JOURNAL_OWN_ID it is an ordinary line, for
 * others an event. What the service printed before it comes first. */
void journal_say(struct journal *journal, uint32_t id, enum journal_level level, const char *text,
                 size_t bytes);

/* What is printed by now is read, and an unfinished line ended. */
void journal_end_run(struct journal *journal, uint32_t id);

void journal_forget(struct journal *journal, uint32_t id);

/* Other flags and another quota; for an id that is not known nothing. 0 or -errno. */
int journal_change(struct journal *journal, uint32_t id, uint32_t flags, const struct quota *quota);

/* The machine goes down: what `rate` has dropped is said now, and nothing more is compressed. */
void journal_end_rates(struct journal *journal);

/* Ends the entry of an unfinished line: its rest goes on behind a `-`. */
void journal_cut_line(struct service *service);

/* Begins to look for a line of what the service prints from now on; NULL: what a journal before
 * this one was looking for, which goes on where that was. -ENOENT: it has no pipe. 0 or -errno. */
int journal_match(struct journal *journal, uint32_t id, const struct journal_state_match *from);

/* Nobody waits for it any more; one of another run stays. `run` NULL: whatever it is. */
void journal_unmatch(struct journal *journal, uint32_t id, const uint64_t *run);

/* Looks at what a pipe had next. */
void journal_look(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                  size_t count);

/* Reads and writes what is in a service's pipes now. */
void journal_drain_service(struct journal *journal, struct service *service);

/* Reads every pipe dry as of now and writes all of it. */
void journal_drain(struct journal *journal);
