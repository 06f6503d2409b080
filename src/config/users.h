/* Users and groups, out of /etc/passwd and /etc/group: the programs are static and have no NSS.
 *
 * Both files are kept in memory and read again when they have changed (users_refresh). Texts that
 * are handed out live until then. Not for several threads. */
#pragma once

#include "config/arena.h"

#include <stddef.h>
#include <sys/types.h>

struct user {
    const char *name, *home, *shell; /* not ended by NUL: see the lengths */
    size_t name_length, home_length, shell_length;
    uid_t uid;
    gid_t gid;
};

/* Reads from other files than /etc/passwd and /etc/group (for tests); NULL: those. */
void users_set_paths(const char *passwd, const char *group);

/* Looks whether the files have changed and reads them again then. A missing one counts as empty.
 * Returns 0, -ENOMEM, or another -errno with the path of the file in *ret_path. */
int users_refresh(const char **ret_path);

/* Until users_release(), or the same again, users_refresh() looks at the files once and no more:
 * for a batch of definitions that are parsed without a pause. */
void users_hold(void);
void users_release(void);

/* Both return 0 or -ENOENT. */
int users_find(const char *name, struct user *ret);
int users_find_number(uid_t uid, struct user *ret);

/* Returns 0 or -ENOENT. */
int users_find_group(const char *name, gid_t *ret);

/* The groups that name this user as a member, `first` before them, each once; in the arena.
 * Returns 0 or -ENOMEM. */
int users_groups_of(const struct user *user, gid_t first, struct arena *arena, gid_t **ret,
                    size_t *ret_count);

/* Gives the memory back. */
void users_forget(void);
