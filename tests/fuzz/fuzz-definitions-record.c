/* Any bytes as a record of definitions: what is read from it is sane, and written again it gives
 * the same. */
#include "config/sources.h"
#include "demand.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct sources *sources)
{
    struct sources again = {0};
    int fd = memfd_create("again", MFD_CLOEXEC);
    demand(fd >= 0, "there is memory");
    demand(sources_write(fd, sources->list, sources->count) == 0, "what was read can be written");
    demand(sources_read(fd, &again) == 0, "what was written can be read");
    demand(again.count == sources->count, "as many come out");
    for (size_t i = 0; i < again.count; i++)
        demand(source_equal(&again.list[i], &sources->list[i]), "they are the same");
    sources_finish(&again);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sources sources = {0};
    int fd = memfd_create("record", MFD_CLOEXEC);
    demand(fd >= 0 && write(fd, data, size) == (ssize_t)size, "there is memory");
    int failed = sources_read(fd, &sources);
    demand(failed == 0 || failed == -EBADMSG, "it is one, or is damaged");
    if (!failed)
        check_again(&sources);
    sources_finish(&sources);
    close(fd);
    return 0;
}
