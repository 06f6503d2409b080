/* Fuzz target: any bytes as a record of definitions. What is read from it is sane, and written
 * again it gives the same.
 *
 * tests/unit/test-fuzz-corpus.c runs the corpus without libFuzzer. */
#include "config/sources.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good)
        abort();
}

static void check_again(const struct sources *sources)
{
    struct sources again = {0};
    int fd = memfd_create("again", MFD_CLOEXEC);
    require(fd >= 0 && sources_write(fd, sources->list, sources->count) == 0);
    require(sources_read(fd, &again) == 0 && again.count == sources->count);
    for (size_t i = 0; i < again.count; i++)
        require(source_equal(&again.list[i], &sources->list[i]));
    sources_finish(&again);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sources sources = {0};
    int fd = memfd_create("record", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    int failed = sources_read(fd, &sources);
    require(failed == 0 || failed == -EBADMSG);
    if (!failed)
        check_again(&sources);
    sources_finish(&sources);
    close(fd);
    return 0;
}
