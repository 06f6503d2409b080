/* Runs a fuzz target over its corpus, each file as it is and in some hundred damaged forms, which
 * are the same in every run. */
#include "../unit/test.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>

#define FILE_BYTES 262144
#define ROUNDS     300

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static uint8_t original[FILE_BYTES], damaged[FILE_BYTES];
static unsigned seed = 1;

static size_t random_below(size_t limit)
{
    seed = seed * 1103515245 + 12345;
    return limit ? (seed >> 7) % limit : 0;
}

/* A few bytes changed, a part taken out, or a part doubled. */
static size_t damage(size_t count)
{
    memcpy(damaged, original, count);
    for (size_t i = random_below(4); i > 0 && count; i--)
        damaged[random_below(count)] = (uint8_t)random_below(256);
    size_t from = random_below(count), length = random_below(count - from);
    if (random_below(3) == 0) {
        memmove(damaged + from, damaged + from + length, count - from - length);
        count -= length;
    } else if (random_below(3) == 0 && count + length <= sizeof damaged) {
        memmove(damaged + from + length, damaged + from, count - from);
        count += length;
    }
    return count;
}

static void run_file(int folder, const char *name)
{
    AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t count = read(fd, original, sizeof original);
    CHECK(count >= 0);
    if (count < 0)
        return;
    LLVMFuzzerTestOneInput(original, (size_t)count);
    for (int round = 0; round < ROUNDS; round++)
        LLVMFuzzerTestOneInput(damaged, damage((size_t)count));
}

TEST(every_file_of_the_corpus_is_survived_whole_and_damaged)
{
    DIR *folder = opendir(CORPUS);
    int files = 0;
    CHECK(folder != NULL);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        run_file(dirfd(folder), entry->d_name);
        files++;
    }
    CHECK(files > 0);
    if (folder)
        closedir(folder);
}
