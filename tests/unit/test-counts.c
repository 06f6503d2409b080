/* What the launcher reads of how much services have printed. */
#include "service-journal/counts.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct journal_counts read_back(int fd, uint32_t id)
{
    struct journal_counts found = {0};
    CHECK_NUMBER(pread(fd, &found, sizeof found, (off_t)(id * sizeof found)), sizeof found);
    return found;
}

TEST(what_is_set_is_read_through_a_descriptor_that_cannot_write)
{
    const struct journal_counts some = {1, 2, 1ull << 40, 3};
    struct counts counts;
    CHECK_NUMBER(counts_create(&counts), 0);
    counts_set(&counts, 0, &some);
    counts_set(&counts, 131055, &some);
    counts_set(&counts, 131056, &some); /* no id */
    counts_set(&counts, UINT32_MAX, &some);
    int fd = counts_open_reading(&counts);
    CHECK(fd >= 0);
    CHECK_NUMBER(read_back(fd, 0).over_rate, 1ull << 40);
    CHECK_NUMBER(read_back(fd, 131055).bytes, 2);
    CHECK_NUMBER(read_back(fd, 131054).bytes, 0);
    CHECK(write(fd, "x", 1) < 0);
    CHECK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    close(fd);
    fd = dup(counts.fd);
    struct counts again;
    CHECK_NUMBER(counts_open(&again, fd), 0);
    CHECK_NUMBER(again.array[0].lines, 1);
    CHECK_NUMBER(again.array[0].no_room, 0);
    CHECK(!counts_no_room(&again, 131056));
    *counts_no_room(&again, 0) += 5;
    counts_set(&again, 0, &some);
    CHECK_NUMBER(counts.array[0].no_room, 5);
    counts_begin(&again, 0);
    CHECK(!counts.array[0].no_room && !counts.array[0].lines);
}

TEST(a_file_of_another_size_or_that_may_shrink_is_none)
{
    struct counts counts;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_NUMBER(counts_open(&counts, dup(fd)), -EPROTO);
    CHECK_NUMBER(ftruncate(fd, 131056 * 32), 0);
    CHECK_NUMBER(counts_open(&counts, dup(fd)), -EPROTO);
    CHECK_NUMBER(counts.fd, -1);
    CHECK_NUMBER(counts_open_reading(&counts), -ENOENT);
    counts_set(&counts, 0, &(struct journal_counts){1, 1, 1, 1});
    CHECK_NUMBER(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    CHECK_NUMBER(counts_open(&counts, fd), 0);
    CHECK(ftruncate(fd, 0) < 0);
}
