/* The block that is being written, where a kill cannot reach it: bytes go from a pipe by splice(2)
 * into a memfd that init holds (KEY_JOURNAL_SPOOL). Its file position lives in the kernel, so the
 * next journal knows how much was taken; whose it is says the note in the state, made before. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define SPOOL_BYTES 65536 /* taken at once: what a pipe holds */

struct spool {
    int fd;      /* -1: none; blocks are read into memory then */
    char *bytes; /* mapped */
};

/* 0 or -errno; then there is none. */
int spool_create(struct spool *spool);

/* Takes over one that another journal made; `fd` is taken. 0 or -errno; then there is none. */
int spool_open(struct spool *spool, int fd);

/* Moves what is in the pipe, up to `most` bytes, to the beginning of the spool. Returns how many,
 * 0 at the end of the pipe, or -errno. */
ssize_t spool_take(struct spool *spool, int pipe_fd, size_t most);

/* How many bytes were taken and are not done. */
size_t spool_taken(const struct spool *spool);

/* They are written. */
void spool_done(struct spool *spool);
