/* The first stage: file systems, console, host name, limits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct init;

/* Opens what is closed of descriptors 0 to 2, so that no other file gets their numbers. */
void stage1_open_standard(void);

/* Where we are, and the record of what is mounted. Before all below. */
void stage1_use(const struct init *init);

/* Mounts what is not there yet; says what fails and goes on. */
void stage1_mount(void);

/* Where our messages go: /dev/console on a machine (and /dev/kmsg), descriptors 0 to 2 as they
 * came in a container. */
void stage1_console(struct init *init);

/* The level of the console, and of the children's messages, as the kernel's command line wants. */
void stage1_quiet(struct init *init);

/* From /etc/hostname; on a machine only. */
void stage1_hostname(struct init *init);

/* Raises RLIMIT_NOFILE as far as it may be. */
void stage1_limits(struct init *init);

/* Unmounts what stage1_mount mounted, in reverse, and nothing else. */
void stage1_unmount_own(void);

/* The first line of `text` that is neither blank nor a comment, trimmed, in `name`. Returns 0,
 * -ENOENT when there is none, -EINVAL when it is no host name. Pure; `text` is changed. */
int stage1_parse_hostname(char *text, char *name, size_t size_bytes);
