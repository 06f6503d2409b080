/* Init's record, damaged in any way: it is refused with a reason, or taken, and what cannot be is
 * emptied part by part, until every ring, table and text in it can be used. The first byte says
 * whether it is of our layout or is read as another version's; the rest is patch.h's. */
#include "base/text.h"
#include "init/ended.h"
#include "init/held.h"
#include "init/lines.h"
#include "init/record.h"
#include "patch.h"

#include <errno.h>
#include <sys/mman.h>

#define PARTS_MOST 16
#define KEYS       3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static bool is_never_open(int fd)
{
    return fd < 0;
}

/* ---- making one ------------------------------------------------------------------------------ */

static int make(bool of_other_version)
{
    static const char line[] = "a line that is still to be said";
    struct record record;
    record_create(&record);
    demand(record.fd >= 0, "there is memory");
    lines_use(record.kept);
    lines_sink(NULL, LOG_INFO, line, sizeof line - 1);
    ended_use(record.kept);
    for (int32_t i = 1; i <= 3; i++)
        ended_push((struct hand_over_ended){i, i});
    for (uint32_t key = 0; key < KEYS; key++)
        record.kept->held_table[key * HELD_PAGE] = 77;
    record.kept->held.end = KEYS * HELD_PAGE;
    record.kept->words = (struct kept_words){2, 4, "a\0b"};
    if (of_other_version)
        record.kept->head.version = RECORD_VERSION + 1;
    int fd = dup(record.fd);
    record_close(&record);
    /* A sealed one cannot be cut; one that somebody else made can. */
    int copy = memfd_create("damaged", MFD_CLOEXEC);
    demand(copy >= 0 && ftruncate(copy, sizeof(struct kept)) == 0, "there is memory");
    static char page[4096];
    for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0; at += (off_t)sizeof page) {
        ssize_t got = pread(fd, page, sizeof page, at);
        demand(got > 0 && pwrite(copy, page, (size_t)got, at) == got, "there is memory");
    }
    close(fd);
    return copy;
}

/* ---- using it -------------------------------------------------------------------------------- */

static void use_rings(struct kept *kept)
{
    char text[HAND_OVER_KEYS_MAX * 4];
    struct hand_over_ended pairs[HAND_OVER_ENDED_MAX];
    enum log_level level;
    size_t got;

    lines_use(kept);
    for (int i = 0; i <= LINES_RING_BYTES && lines_peek(text, sizeof text, &got, &level); i++) {
        demand(i < LINES_RING_BYTES, "lines come to an end");
        demand(got <= sizeof text, "a line has its place");
        lines_take();
    }
    ended_use(kept);
    ended_rewind();
    for (size_t all = 0; (got = ended_peek(pairs, HAND_OVER_ENDED_MAX)) > 0; all += got) {
        demand(all <= ENDED_RING && got <= HAND_OVER_ENDED_MAX, "ends come to an end");
        ended_sent(got);
        ended_seen(got);
    }
    ended_push((struct hand_over_ended){9, 9});
    demand(ended_peek(pairs, 1) == 1 && pairs[0].pid == 9, "a new one is what comes next");
}

static void use_texts(const struct kept *kept)
{
    demand(memchr(kept->own.path, 0, sizeof kept->own.path), "the path ends");
    demand(memchr(kept->upgrade.why, 0, sizeof kept->upgrade.why), "a reason ends");
    demand(kept->words.bytes <= WORDS_KEPT_BYTES && kept->words.count <= WORDS_KEPT_MAX,
           "words have their place");
    demand(kept->ending.phase < PHASES && kept->ending.how < SHUT_DOWN_HOWS, "a phase is one");
    demand(kept->upgrade.step < UPGRADE_STEPS, "a step is one");
    demand(kept->inbox.from >= 0 && kept->inbox.from <= CHILDREN_ALL, "a sender is a child");
    for (int i = 0; i < CHILDREN_ALL; i++)
        demand(kept->children[i].refused_count <= HAND_OVER_KEYS_MAX, "refused keys have room");
}

static void use(struct record *record)
{
    int rounds = 0;
    while (record_mend(record->kept))
        demand(++rounds < PARTS_MOST, "mending comes to an end");
    use_texts(record->kept);
    use_rings(record->kept);
    held_use(record->kept);
    held_check(is_never_open);
    uint32_t cursor = 0, keys[HAND_OVER_KEYS_MAX];
    int fds[HAND_OVER_KEYS_MAX];
    demand(held_next(&cursor, 1, keys, fds, HAND_OVER_KEYS_MAX) == 0, "what is closed is not held");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct record record = {-1, NULL};
    char storage[200];
    struct text why;

    if (!count)
        return 0;
    text_init(&why, storage, sizeof storage);
    int fd = make(bytes[0] & 1);
    patch_file(fd, bytes + 1, count - 1);
    int failed = record_open(&record, fd, &why);
    demand(!failed || why.used_bytes, "what is refused is told why");
    if (failed) {
        close(fd);
        return 0;
    }
    demand(record.fd == fd || record.kept->upgrade.former_record_fd == fd, "no record is lost");
    if (record.fd != fd)
        close(fd); /* of another layout: taken over */
    use(&record);
    record_close(&record);
    return 0;
}
