/* The control socket's file. */
#pragma once

/* Makes RUNTIME (0755) and in it `control`, a stream socket that everybody may connect to: who may
 * do what is decided by who asks. A stale socket file is replaced. Returns the listening,
 * non-blocking descriptor, the caller's, or -errno. */
int listen_control(const char *runtime);
