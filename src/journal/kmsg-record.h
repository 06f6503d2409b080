/* One record of /dev/kmsg: "LEVEL,SEQUENCE,TIME,FLAGS[,…];TEXT" and lines of KEY=value. Pure.
 * Source: Documentation/ABI/testing/dev-kmsg. */
#pragma once

#include "journal/format.h"

#define KMSG_RECORD_BYTES                                                                          \
    8192 /* what one read may give: the kernel's PRINTKRB_RECORD_MAX and more */

struct kmsg_record {
    enum journal_level level;
    unsigned facility; /* 0: the kernel's own; what programs write there has another */
    uint64_t sequence;
    uint64_t since_boot_us;
    bool continued; /* more of the record before it */
    size_t bytes;
    char text[KMSG_RECORD_BYTES]; /* as it was printed; may have line ends in it; no NUL behind */
};

/* Returns false for what is no record. */
bool kmsg_record_parse(const char *bytes, size_t count, struct kmsg_record *ret);
