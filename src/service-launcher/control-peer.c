/* Who is on the other side of a connection. The kernel vouches for uid and groups as they were at
 * connect(2). The pid is never looked at: it is 0 for a client of another PID namespace, and may
 * be another process by now. */
#include "service-launcher/control.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Whether the peer has `group` among its supplementary groups. When that cannot be known it has
 * not. */
static bool has_group(int socket, gid_t group)
{
    gid_t some[64];
    AUTO_FREE gid_t *many = NULL;
    gid_t *groups = some;
    socklen_t bytes = sizeof some;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0) {
        if (errno != ERANGE)
            return false;
        groups = many = malloc(bytes); /* bytes is how many it takes */
        if (!many || getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
            return false;
    }
    for (size_t i = 0; i < bytes / sizeof *groups; i++)
        if (groups[i] == group)
            return true;
    return false;
}

int control_read_peer(int socket, gid_t group, struct peer *ret)
{
    struct ucred credentials;
    socklen_t bytes = sizeof credentials;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) < 0)
        return -errno;
    *ret = (struct peer){
        .uid = credentials.uid,
        .may_change =
            credentials.uid == 0 || credentials.uid == geteuid() ||
            (group != (gid_t)-1 && (credentials.gid == group || has_group(socket, group))),
    };
    return 0;
}
