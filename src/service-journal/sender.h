/* Whose journal belongs to a process. */
#pragma once

#include "protocol/journal-link.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct journal;

/* Where services' cgroups are. */
struct sender_cgroups {
    const char *path; /* as the SYSTEM message has it; "": there are none, and a process belongs to
                         the service into whose pipe it, or one of its parents, prints */
    int folder;       /* -1: it could not be opened */
};

#define SENDER_PIPES 8

/* By what a process may be known later, when it has ended: of a service that the launcher has told
 * us of, and that we have not heard of yet. */
struct sender {
    char service[JOURNAL_LINK_NAME_BYTES]; /* the one whose cgroup it is in; "": none */
    uint64_t pipes[SENDER_PIPES]; /* that it and its parents print to, the nearest first; 0: none */
};

/* The id of the service that a process belongs to; else JOURNAL_SYSLOG_ID, and what is known of
 * it. `pidfd`: -1 for none. */
uint32_t sender_find(const struct journal *journal, const struct sender_cgroups *cgroups, pid_t pid,
                     int pidfd, struct sender *ret);

/* Whether it may be a service's. */
bool sender_may_be_known(const struct sender *sender);

/* Looks again. */
uint32_t sender_find_again(const struct journal *journal, const struct sender *sender);
