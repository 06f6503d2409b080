/* What run-on-pid-ns was called with. Pure: words in, a struct or a sentence out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of each option that may be given several times. */
#define OPTIONS_BINDS_MAX       64
#define OPTIONS_READ_ONLY_MAX   64
#define OPTIONS_ENVIRONMENT_MAX 64

#define OPTIONS_WHY_BYTES     300
#define OPTIONS_TIME_NEVER    UINT64_MAX
#define OPTIONS_HOSTNAME_MAX  64 /* bytes; the kernel's __NEW_UTS_LEN */
#define OPTIONS_STOP_WORDS    32 /* of --stop-command */
#define OPTIONS_STOP_DEFAULT  8000
#define OPTIONS_WRONG_USAGE   125 /* exit status, as any failure of our own */
#define OPTIONS_REBOOT_STATUS 129

/* One --bind: a path outside, and the one inside at which it is to be. */
struct options_bind {
    const char *source, *target;
    bool read_only;
};

enum options_time { TIME_NEW, TIME_REQUIRED, TIME_SHARED };

/* All texts are parts of argv, which is to outlive this. */
struct options {
    bool help, version, steps;

    /* what is inside */
    const char *root; /* NULL: the outside's */
    struct options_bind binds[OPTIONS_BINDS_MAX];
    size_t bind_count;
    const char *read_only[OPTIONS_READ_ONLY_MAX];
    size_t read_only_count;
    const char *environment[OPTIONS_ENVIRONMENT_MAX]; /* NAME=VALUE, or NAME: removed */
    size_t environment_count;
    bool keep_proc, dev, private_run, console;
    bool uts, ipc, net, cgroup, user;
    const char *hostname; /* NULL: as outside */
    enum options_time time;
    uint64_t uptime_ms;
    bool uptime_given;

    /* what goes on outside */
    bool reboot_exits;
    int stop_signal;                            /* 0: by the command's name */
    char *stop_command[OPTIONS_STOP_WORDS + 1]; /* [0] NULL: none; ends in NULL */
    uint64_t stop_timeout_ms;                   /* or OPTIONS_TIME_NEVER */
    bool notify;

    char **command; /* the rest of argv, with its NULL; not empty unless help or version */
};

/* Reads the command line. Some words of argv are taken apart in place. Returns 0, or -EINVAL with a
 * sentence about the first that is wrong. */
int options_parse(struct options *options, int argc, char **argv,
                  char why[static OPTIONS_WHY_BYTES]);

void options_print_help(void);
