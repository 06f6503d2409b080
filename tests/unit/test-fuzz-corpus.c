/* The corpus of a fuzz target as a plain test: each file through the target, once. */
#include "base/cleanup.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

TEST(every_file_of_the_corpus_is_read_or_refused)
{
    DIR *folder = opendir(CORPUS);
    size_t count = 0;
    CHECK(folder != NULL);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        AUTO_CLOSE int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 && fstat(fd, &status) == 0);
        /* Exactly as large as the file, so that one byte too far is seen. */
        AUTO_FREE uint8_t *data = malloc((size_t)status.st_size + !status.st_size);
        CHECK_NUMBER(read(fd, data, (size_t)status.st_size), status.st_size);
        CHECK_NUMBER(LLVMFuzzerTestOneInput(data, (size_t)status.st_size), 0);
        count++;
    }
    CHECK(count >= 4);
    if (folder)
        closedir(folder);
}
