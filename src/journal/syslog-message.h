/* A datagram that somebody wrote to /dev/log. Pure.
 *
 * Read as it is really sent: by syslog(3) of glibc and musl, by logger(1), by Python, and by who
 * keeps to RFC 3164 or RFC 5424. Anything at all is a message; what is not understood is text. */
#pragma once

#include "journal/format.h"

#define SYSLOG_TAG_BYTES 256

struct syslog_message {
    enum journal_level level;
    uint64_t pid; /* that the tag gives; 0: none */
    size_t tag_bytes;
    const char *text; /* inside the message; its line ends, but the last ones, are still there */
    size_t bytes;
    char tag[SYSLOG_TAG_BYTES]; /* "cron[812]: ": belongs in front of every line; no NUL behind */
};

/* What it says, without its priority, time and host. A host is left out of the older format where
 * it is `host`, our own name: there it cannot be told from a tag. Returns false when there is
 * nothing in it. */
bool syslog_message_parse(const char *bytes, size_t count, const char *host,
                          struct syslog_message *ret);
