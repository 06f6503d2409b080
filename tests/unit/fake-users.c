/* A passwd and a group in /tmp. */
#include "fake-users.h"
#include "base/text.h"
#include "config/users.h"
#include "test.h"

#include <unistd.h>

#define PATH "/tmp/conit-test-XXXXXX"

char fake_passwd[] = PATH, fake_group[] = PATH;

void fake_users_put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file || fputs(text, file) < 0)
        abort();
    fclose(file);
}

static void make(char *path, const char *text)
{
    memcpy(path, PATH, sizeof PATH);
    int fd = mkstemp(path);
    if (fd < 0)
        abort();
    close(fd);
    fake_users_put(path, text);
}

void fake_users_begin(const char *passwd, const char *group)
{
    make(fake_passwd, passwd);
    make(fake_group, group);
    users_set_paths(fake_passwd, fake_group);
}

void fake_users_end(void)
{
    users_set_paths(NULL, NULL);
    remove(fake_passwd);
    remove(fake_group);
}
