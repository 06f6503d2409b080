/* Files that hold the number of a process, as daemons write them. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* The number in `count` bytes of text: blanks and line ends around it are left out, and what comes
 * on further lines is, too. Returns 0; -ENODATA when there is nothing but blanks (the file is being
 * written); -EINVAL for anything else that is no process's number: 1 is init's, and never right. */
int pid_file_parse(const char *text, size_t count, pid_t *ret);

/* Reads it from a regular file (through links), without ever waiting. Returns 0, -ENOENT,
 * -EISDIR for what is no regular file, what pid_file_parse() returns, or another -errno. */
int pid_file_read(const char *path, pid_t *ret);
