/* Makes a folder in /tmp, and removes it. */
#include "scratch.h"
#include "test.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "/tmp/conit-test-XXXXXX"

char scratch[] = PATH;

void scratch_begin(void)
{
    memcpy(scratch, PATH, sizeof PATH);
    if (!mkdtemp(scratch) || chdir(scratch) < 0)
        abort();
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void scratch_end(void)
{
    CHECK_NUMBER(chdir("/"), 0);
    CHECK_NUMBER(nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void scratch_folder(const char *path)
{
    if (mkdir(path, 0755) < 0)
        abort();
}

void scratch_put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

void scratch_program(const char *path)
{
    scratch_put(path, "#!/bin/sh\n");
    if (chmod(path, 0755) < 0)
        abort();
}
