/* The services, their pipes, and the way of their lines into the queue. One thread, which never
 * touches a disk: what it does is memory, pipes and sockets.
 *
 *   journal.c   lines: blocks out of pipes, events, the rate
 *   pace.c      when pipes are read
 *   room.c      waiting for room in the queue, and what is done while the disk hangs
 *   services.c  services and pipes: made, changed, gone on with, forgotten
 *   look.c      what somebody waits for in a service's output */
#pragma once

#include "base/buffer.h"
#include "journal/splitter.h"
#include "loop/loop.h"
#include "service-journal/counts.h"
#include "service-journal/match.h"
#include "service-journal/queue.h"
#include "service-journal/rate.h"
#include "service-journal/spool.h"
#include "service-journal/state.h"
#include "service-journal/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct intake;
struct service;
struct journal;

/* Where what a pipe is in the middle of is kept for the next journal. */
enum pipe_place {
    PIPE_OUTPUT, /* what the service prints: the newest one's */
    PIPE_FEED,   /* what comes by other ways (feed.h) */
    PIPE_OLD,    /* nowhere: nobody holds it */
};

/* One service's output pipe. It has two for a while when something of an earlier run still prints
 * into that run's pipe. */
struct service_pipe {
    struct loop_fd source;
    struct list node;
    struct service *service;
    struct journal_splitter splitter;
    bool dropping;  /* in the middle of a line that `rate` has dropped */
    uint8_t place;  /* enum pipe_place */
    uint8_t growth; /* a quarter of it is how many bytes each byte becomes; 0: not known yet */
    uint8_t looks;  /* so many in a row were quick; of a busy one: found nothing */
    ino_t inode;    /* pipefs numbers them */
    struct list busy_node;
    uint32_t read_at_us;   /* not busy: when; cut off */
    uint32_t former_bytes; /* how large it was before it was made larger; 0: it was not */
};

struct service {
    struct journal *journal;
    struct book *book; /* with the name, the slot and the quota */
    struct journal_live *live;
    uint32_t id, flags;
    struct list pipes;       /* the newest last */
    struct service_pipe *in; /* whose unfinished line was put last; NULL: none's */
    struct rate rate;
    uint64_t latest_ns;     /* the latest time (CLOCK_REALTIME) of its lines; 0: not known */
    struct match *match;    /* NULL: nothing of its output is waited for */
    bool restored;          /* another journal had it: `live` says where that was */
    struct buffer *console; /* the beginning of a line, where its lines go to the console, too */
};

struct journal {
    struct loop loop, pipes; /* the pipes have one of their own, which can be left alone */
    struct loop_fd pipes_source, writer_source;
    struct loop_timer rates, patience, drain_patience, pace;
    struct list busy; /* pipes that are looked at at a pace, of … */
    uint64_t pace_delay_ns;
    unsigned large_pipes; /* that were made larger */
    struct writer writer;
    struct queue queue;
    struct journal_state state;
    struct backlogs backlogs;
    struct spool spool;
    struct counts counts;
    struct service **services; /* at journal_place(id); NULL where there is none */
    uint32_t service_count;
    struct service own;
    struct intake *intake;
    bool recovered;         /* what another journal left is in the queue */
    bool in_block;          /* a part of one is in the queue, the rest follows: nothing else may */
    bool stalled;           /* no room: pipes are left alone */
    bool hung;              /* the writer has finished nothing for long, … */
    uint64_t hung_progress; /* … since this */
    uint64_t patience_progress, drain_progress;
    uint64_t drain_asked, drained_in_vain; /* the newest drain; the newest that the disk hangs in */
    struct list matched;                   /* struct match: MATCHED is to be said */
    void (*on_matched)(void *context);     /* there is one more; NULL: nobody to tell yet */
    void (*on_drained)(void *context);     /* a drain may be done, or in vain */
    int (*hear)(void *context);            /* launcher-link.c's; NULL: there is no link yet */
    void *context;
    void (*on_all_drained)(void *context); /* the one with a sync is; NULL: none is asked for */
    uint64_t all_drained;                  /* its number */
};

/* `logs` and `fallback` outlive it. Returns 0 or -errno. */
int journal_init(struct journal *journal, const char *logs, const char *fallback);

/* State, queue and spool are there: finds out what another journal was in the middle of. */
void journal_begin(struct journal *journal);

/* Begins to write, and puts what another journal had taken out of a pipe into the queue, if it had
 * not, so that it is there once. Called when the services and their pipes are known. Returns 0 or
 * -errno. */
int journal_go_on(struct journal *journal);

/* The few ids that are no slots come first, so that all are in one small table. */
static inline uint32_t journal_place(uint32_t id)
{
    return id + (UINT32_MAX - JOURNAL_SYSLOG_ID + 1);
}

struct service *journal_find(const struct journal *journal, uint32_t id);

/* Makes the service, or changes it where it is known under this name; another one with the id is
 * forgotten first. Returns 0 or -errno (nothing changed). */
int journal_register(struct journal *journal, const struct journal_state_record *record);

/* Takes over what is in a slot. */
int journal_restore(struct journal *journal, uint32_t slot,
                    const struct journal_state_record *record);

/* Begins to read a pipe, or goes on where another journal was; one that is read already is left.
 * `fd` (any description of it) is taken. Returns 0 or -errno. */
int journal_add_pipe(struct journal *journal, uint32_t id, int fd, enum pipe_place place);

/* The same of a pipe that init holds for this id, where it is the one that its service was
 * registered with. Of another, newer one the launcher has not said yet whose it is, as the id may
 * be another service's, and gives it then. `fd` stays the caller's. */
int journal_go_on_with_pipe(struct journal *journal, uint32_t id, int fd);

/* Writes a line that the service did not print. For JOURNAL_OWN_ID it is an ordinary line, for
 * others an event. What the service printed before it comes first. `sequence`: of the message that
 * is carried out by this; 0: none. */
void journal_say(struct journal *journal, uint32_t id, enum journal_level level, const char *text,
                 size_t bytes, uint64_t sequence);

/* What is printed by now is read, and an unfinished line ended; behind it comes an event, unless
 * that is "". All of it is there at once, for what is printed next is another run's. */
void journal_end_run(struct journal *journal, uint32_t id, enum journal_level level,
                     const char *text, uint64_t sequence);

void journal_forget(struct journal *journal, uint32_t id);

/* Other flags and another quota; for an id that is not known nothing. 0 or -errno. */
int journal_change(struct journal *journal, uint32_t id, uint32_t flags, const struct quota *quota);

/* The machine goes down: what `rate` has dropped is said now, and nothing more is compressed. */
void journal_end_rates(struct journal *journal);

/* Begins to look for a line of what the service prints from now on; NULL: what a journal before
 * this one was looking for, which goes on where that was. -ENOENT: it has no pipe. 0 or -errno. */
int journal_match(struct journal *journal, uint32_t id, const struct journal_state_match *from);

/* Nobody waits for it any more; one of another run stays. `run` NULL: whatever it is. */
void journal_unmatch(struct journal *journal, uint32_t id, const uint64_t *run);

/* Looks at what a pipe had next. */
void journal_look(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                  size_t count);

/* Reads what is in a service's pipes now. */
void journal_drain_service(struct journal *journal, struct service *service);

/* Reads every pipe dry as of now, and asks for all of it to be written, and brought to the disk.
 * Returns its number. on_drained is called when it is done, or when the disk hangs. */
uint64_t journal_drain(struct journal *journal, enum writer_sync sync);

/* Whether it is done, or in vain. */
bool journal_is_drained(const struct journal *journal, uint64_t number);

/* ---- between the files ---- */

/* What is put into the queue from one to the other is there at once, or not at all. `pipe`: whose
 * block is taken in it, or NULL. There has to be room. */
void journal_begin_step(struct journal *journal, struct service *service,
                        const struct service_pipe *pipe, uint64_t sequence);
void journal_end_step(struct journal *journal, struct service *service);

/* In a step: puts what is in the spool behind what the note says is done, and ends the step. Where
 * there is no room for all of it that is several steps, and it waits between them; not for a disk
 * that hangs. `is_last`: nothing more comes out of the pipe. */
void journal_put_block(struct journal *journal, struct service_pipe *pipe, size_t count,
                       bool is_last);

/* A part of a block was put: begins a step for the rest. */
void journal_begin_rest(struct journal *journal, const struct journal_live *live);

/* In a step. */
void journal_end_line(struct journal *journal, struct service_pipe *pipe);
void journal_put_line_end(struct journal *journal, struct service *service);
void journal_say_dropped(struct journal *journal, struct service *service);
/* A line that the service did not print. */
void journal_put_event(struct journal *journal, struct service *service, enum journal_level level,
                       const char *text, size_t bytes);
void journal_cut(struct journal *journal, struct service *service, bool seal);

/* Closes it; its unfinished line is ended. */
void journal_close_pipe(struct journal *journal, struct service_pipe *pipe);

/* Looks again when the interval of a service's rate is over. */
void journal_wait_for_rate(struct journal *journal, const struct service *service);

/* How much may be taken out of a pipe at once. 0: there is no room, and the pipes are left alone
 * until there is some. */
size_t journal_block_room(struct journal *journal, const struct service_pipe *pipe);

/* The same, but waits until there is room; not for a disk that hangs. */
size_t journal_wait_for_block_room(struct journal *journal, const struct service_pipe *pipe);

/* In a step: how many more bytes can be put, … */
size_t journal_room_left(const struct journal *journal);

/* … and how much of `count` bytes of a pipe, whatever they are. */
size_t journal_part_room(const struct journal *journal, size_t count);

/* Waits until there is room for a part of a block that is worth it. */
void journal_make_part_room(struct journal *journal);

/* So many bytes of a block became so many in the queue. */
void journal_learn_growth(struct service_pipe *pipe, size_t count, size_t put_bytes);

/* Waits until there is room; not for a disk that hangs. */
void journal_make_room(struct journal *journal, size_t bytes);

/* Room for lines that are not from a block. */
size_t journal_step_need(const struct service *service);

/* on_drained is called when the drain is done, and when the disk hangs. */
void journal_wait_for_drain(struct journal *journal, uint64_t number);

/* Does what the writer asks for, and puts what it says into the journal. */
void journal_hear_writer(struct journal *journal);

/* The writer has moved: goes on with the pipes if there is room. */
void journal_look_for_room(struct journal *journal);

void journal_on_readable(struct loop_fd *source, uint32_t events);

/* Takes a block out of a pipe. Returns how many bytes, 0 when there are none now or there is no
 * room, or -1 when the pipe was over and is gone. */
ssize_t journal_read_pipe(struct journal *journal, struct service_pipe *pipe);

/* So many bytes were read because epoll told of them. */
void pace_see(struct journal *journal, struct service_pipe *pipe, size_t count);

/* Another journal had the pipe. It may have made it larger, of which the pipe itself tells: then it
 * is made smaller again when it is idle, and counts as large until then. */
void pace_take_up(struct journal *journal, struct service_pipe *pipe);

/* There is room again. */
void pace_go_on(struct journal *journal);

/* The pipe goes. */
void pace_forget(struct journal *journal, struct service_pipe *pipe);
