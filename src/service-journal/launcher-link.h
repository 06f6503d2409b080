/* The journal's side of its link with the launcher (protocol/journal-link.h). */
#pragma once

#include "service-journal/journal.h"

#define LAUNCHER_LINK_TOKENS_MAX 64

struct launcher_link {
    struct journal *journal;
    struct loop_fd source;
    uint64_t acknowledged; /* the last ACK that was sent */
    struct {
        uint64_t number; /* writer_drained()'s */
        uint32_t token;
    } tokens[LAUNCHER_LINK_TOKENS_MAX]; /* DRAINED not sent yet, oldest first */
    size_t token_count;
    size_t carrying_bytes;   /* of the message that is being carried out; 0: none is */
    struct loop_timer again; /* set: the first message waits for what it lacks, … */
    uint64_t short_since_ns; /* … since then; 0: nothing is lacking */
    bool greeted;            /* HELLO was sent */
    bool counts_due;         /* COUNTS is to be sent */
};

/* Says HELLO and begins to take messages. `fd` stays the caller's. Returns 0 or -errno. */
int launcher_link_init(struct launcher_link *link, struct journal *journal, int fd);

/* Carries out all messages that are in the socket now. */
void launcher_link_drain(struct launcher_link *link);
