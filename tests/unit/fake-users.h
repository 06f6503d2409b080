/* Files of the test's own in place of the machine's passwd and group. */
#pragma once

extern char fake_passwd[], fake_group[]; /* their paths */

void fake_users_begin(const char *passwd, const char *group);
void fake_users_put(const char *path, const char *text);
void fake_users_end(void);
