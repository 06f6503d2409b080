/* Sockets that others write to, and descriptors that come with what they write.
 *
 * The kernel closes a descriptor that nobody takes out of a message in the name of who reads the
 * message, or closes the socket. A close can wait: for the peer of a TCP socket with SO_LINGER, as
 * long as its maker has said. So whatever comes is taken, and closed where it holds nobody up.
 * Source: unix(7), socket(7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define FOREIGN_FDS_MAX 253 /* in one message: SCM_MAX_FD */

/* The descriptors in a message's control data. Returns how many; ret has FOREIGN_FDS_MAX places. */
size_t foreign_take_fds(struct msghdr *header, int *ret);

/* Closes them without waiting; a pipe (the end of a barrier) before it returns. */
void foreign_close(const int *fds, size_t count);

/* recv(2) with MSG_DONTWAIT, which closes what comes along. Returns bytes or -errno. */
ssize_t foreign_receive(int socket, void *bytes, size_t size);

/* Lets nothing more in and takes all that is still there, so that no close finds anything. The
 * descriptor stays open. */
void foreign_drain(int socket);
