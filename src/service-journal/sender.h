/* Whose journal belongs to a process. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct journal;

/* Where services' cgroups are. */
struct sender_cgroups {
    const char *path; /* as the SYSTEM message has it; "": there are none, and a process belongs to
                         the service into whose pipe it, or one of its parents, prints */
    int folder;       /* -1: it could not be opened */
};

/* The id of the service that a process belongs to, or JOURNAL_SYSLOG_ID. `pidfd`: -1 for none. */
uint32_t sender_find(const struct journal *journal, const struct sender_cgroups *cgroups, pid_t pid,
                     int pidfd);
