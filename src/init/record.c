/* Init's record. What another version has written is read by the table in front of it: of each
 * field both know, as much of each element, and as many elements, as both have. */
#include "init/record.h"
#include "base/cleanup.h"
#include "base/syscall.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define COPIED_BYTES 4096
#define FIELDS_MOST  1024 /* in a table that is believed */
#define ELEMENT_MOST 65536
#define RECORD_MOST  (64u << 20)
#define SEALS        (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define FD_LEAST     16 /* children get theirs at the low numbers */

/* A ring's elements stand where the counter behind the last one says, so that they move when the
 * ring has another size. */
enum kind { PLAIN, RING };

#define FIELD(id, member, kind)                                                                    \
    {                                                                                              \
        {id, sizeof((struct kept *)0)->member / sizeof(((struct kept *)0)->member[0]),             \
         sizeof(((struct kept *)0)->member[0]), 0, offsetof(struct kept, member)},                 \
            kind                                                                                   \
    }
#define ONE(id, member)                                                                            \
    {                                                                                              \
        {id, 1, sizeof(((struct kept *)0)->member), 0, offsetof(struct kept, member)}, PLAIN       \
    }

/* Counters come before the rings that they belong to. */
static const struct row {
    struct record_field field;
    enum kind kind;
} rows[RECORD_FIELDS] = {
    ONE(FIELD_OWN, own),
    ONE(FIELD_WORDS, words),
    FIELD(FIELD_CHILDREN, children, PLAIN),
    ONE(FIELD_REAPING, reaping),
    ONE(FIELD_ENDING, ending),
    FIELD(FIELD_MOUNTS, mounts, PLAIN),
    ONE(FIELD_INBOX, inbox),
    ONE(FIELD_LINES, lines),
    FIELD(FIELD_LINES_RING, lines_ring, RING),
    ONE(FIELD_ENDED, ended),
    FIELD(FIELD_ENDED_RING, ended_ring, RING),
    ONE(FIELD_FAULTS, faults),
    ONE(FIELD_UPGRADE, upgrade),
    ONE(FIELD_HELD, held),
    FIELD(FIELD_HELD_PAGES, held_pages, PLAIN),
    FIELD(FIELD_HELD_TABLE, held_table, PLAIN),
};

/* Where there is no memfd to be had. Only the pages that are used exist. */
static struct kept spare;

/* ---- making one ---------------------------------------------------------------------------- */

static void write_head(struct kept *kept)
{
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        kept->fields[i] = rows[i].field;
    kept->head = (struct record_head){.version = RECORD_VERSION,
                                      .readable_from = RECORD_READER,
                                      .field_count = RECORD_FIELDS,
                                      .field_bytes = sizeof(struct record_field),
                                      .bytes = sizeof *kept};
    memcpy(kept->head.magic, RECORD_MAGIC, sizeof kept->head.magic);
}

/* A memfd of that size that stays open when its process executes; it can be made neither smaller
 * nor larger by whoever else gets hold of it. */
static int make_memfd(size_t bytes)
{
    AUTO_CLOSE int made = memfd_create("init-record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0 || ftruncate(made, (off_t)bytes) < 0)
        return -errno;
    fcntl(made, F_ADD_SEALS, SEALS);
    int fd = fcntl(made, F_DUPFD, FD_LEAST);
    return fd < 0 ? -errno : fd;
}

static int map(int fd, struct kept **ret)
{
    void *at = mmap(NULL, sizeof(struct kept), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    *ret = at;
    return 0;
}

static int create(struct record *record)
{
    int fd = make_memfd(sizeof(struct kept));
    int failed = fd < 0 ? fd : map(fd, &record->kept);
    if (failed < 0) {
        if (fd >= 0)
            close(fd);
        return failed;
    }
    record->fd = fd;
    write_head(record->kept);
    record->kept->own.record_fd = fd;
    return 0;
}

void record_create(struct record *record)
{
    if (create(record) < 0) {
        *record = (struct record){-1, &spare};
        write_head(&spare);
        spare.own.record_fd = -1;
    }
}

void record_close(struct record *record)
{
    if (record->kept && record->kept != &spare)
        munmap(record->kept, sizeof *record->kept);
    if (record->fd >= 0)
        close(record->fd);
    *record = (struct record){-1, NULL};
}

void record_keep_apart(const struct record *record)
{
    if (record->fd >= 0)
        (void)mmap(record->kept, sizeof *record->kept, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_FIXED, record->fd, 0);
}

int record_copy(const struct record *record)
{
    static char bytes[COPIED_BYTES];
    AUTO_CLOSE int copy = memfd_create("init-record-copy", MFD_CLOEXEC);
    if (copy < 0 || record->fd < 0)
        return copy < 0 ? -errno : -ENOENT;
    if (ftruncate(copy, sizeof(struct kept)) < 0)
        return -errno;
    for (off_t at = 0; (at = lseek(record->fd, at, SEEK_DATA)) >= 0;) {
        ssize_t got = pread(record->fd, bytes, sizeof bytes, at);
        if (got <= 0 || pwrite(copy, bytes, (size_t)got, at) != got)
            return errno ? -errno : -EIO;
        at += got;
    }
    return errno == ENXIO ? take_fd(&copy) : -errno; /* lseek(2): no data behind that */
}

/* ---- reading another's --------------------------------------------------------------------- */

static bool is_zero(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

static uint64_t ring_end(const struct kept *kept, uint32_t id)
{
    return id == FIELD_LINES_RING ? kept->lines.end : kept->ended.last;
}

/* The place of element `i` of `from` in a field of `count` elements; `count` for one that is not
 * taken over. */
static uint64_t place_of(const struct kept *kept, const struct row *row,
                         const struct record_field *from, uint64_t i)
{
    if (row->kind == PLAIN)
        return i;
    /* The element's position p is the latest with p % from->count == i. */
    uint64_t end = ring_end(kept, row->field.id), newest = (end - 1) % from->count;
    uint64_t age = (newest + from->count - i) % from->count;
    return age < end && age < row->field.count ? (end - 1 - age) % row->field.count
                                               : row->field.count;
}

static int take_field(struct kept *kept, const struct row *row, const struct record_field *from,
                      int fd)
{
    static unsigned char bytes[ELEMENT_MOST];
    unsigned char *to = (unsigned char *)kept + row->field.at;
    size_t common = from->element_bytes < row->field.element_bytes ? from->element_bytes
                                                                   : row->field.element_bytes;
    uint32_t a_piece = sizeof bytes / from->element_bytes;
    for (uint64_t begin = 0; begin < from->count; begin += a_piece) {
        uint64_t count = from->count - begin < a_piece ? from->count - begin : a_piece;
        size_t wanted = count * from->element_bytes;
        if (pread(fd, bytes, wanted, (off_t)(from->at + begin * from->element_bytes)) !=
            (ssize_t)wanted)
            return -EIO;
        for (uint64_t i = 0; i < count; i++) {
            const unsigned char *element = bytes + i * from->element_bytes;
            uint64_t place = place_of(kept, row, from, begin + i);
            if (place < row->field.count && !is_zero(element, common))
                memcpy(to + place * row->field.element_bytes, element, common);
        }
    }
    return 0;
}

/* What a smaller ring has no room for is lost: the oldest. */
static void fit_rings(struct kept *kept)
{
    struct kept_ended_half *half = &kept->ended.halves[kept->ended.live & 1];
    if (kept->lines.end - kept->lines.begin > LINES_RING_BYTES)
        kept->lines.begin = kept->lines.end;
    if (kept->ended.last - half->seen > ENDED_RING)
        half->seen = kept->ended.last - ENDED_RING;
    if (half->sent < half->seen)
        half->sent = half->seen;
}

static bool is_possible(const struct record_field *field, uint64_t bytes)
{
    return field->element_bytes > 0 && field->element_bytes <= ELEMENT_MOST && field->at <= bytes &&
           (uint64_t)field->count * field->element_bytes <= bytes - field->at;
}

/* The row for that field in the table behind that head, which has been checked. 1, 0 when it has
 * none, or -EIO. */
static int find_field(int fd, const struct record_head *head, uint32_t id, struct record_field *ret)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct record_field field;
        off_t at = (off_t)(sizeof *head + (uint64_t)i * head->field_bytes);
        if (pread(fd, &field, sizeof field, at) != sizeof field)
            return -EIO;
        if (field.id != id)
            continue;
        *ret = field;
        return 1;
    }
    return 0;
}

static int translate(struct record *record, int fd, const struct record_head *head,
                     struct text *why)
{
    int failed = create(record);
    if (failed) {
        text_printf(why, "no memory for a record: %s", strerror(-failed));
        return failed;
    }
    for (size_t i = 0; i < RECORD_FIELDS && !failed; i++) {
        struct record_field from;
        int found = find_field(fd, head, rows[i].field.id, &from);
        if (found == 0 || (found > 0 && from.count == 0))
            continue; /* an older version had none: it stays empty */
        if (found < 0)
            failed = found;
        else if (!is_possible(&from, head->bytes))
            failed = -EPROTO;
        else
            failed = take_field(record->kept, &rows[i], &from, fd);
        if (failed)
            text_printf(why, "field %u of the record is broken", rows[i].field.id);
    }
    if (failed) {
        record_close(record);
        return failed;
    }
    fit_rings(record->kept);
    record->kept->own.record_fd = record->fd;
    return 0;
}

static int check_head(const struct record_head *head, ssize_t got, off_t bytes, struct text *why)
{
    if (got != sizeof *head || memcmp(head->magic, RECORD_MAGIC, sizeof head->magic) != 0)
        text_add(why, "it is no record of an init");
    else if (head->readable_from > RECORD_VERSION)
        text_printf(why,
                    "its version %u needs an init that knows version %u, and this one knows %d",
                    head->version, head->readable_from, RECORD_VERSION);
    else if (head->version < RECORD_OLDEST)
        text_printf(why, "its version %u is older than %d, the oldest one that is still known",
                    head->version, RECORD_OLDEST);
    else if (head->bytes > (uint64_t)bytes || head->bytes > RECORD_MOST ||
             head->field_count > FIELDS_MOST || head->field_bytes < sizeof(struct record_field) ||
             head->field_bytes > ELEMENT_MOST ||
             sizeof *head + (uint64_t)head->field_count * head->field_bytes > head->bytes)
        text_add(why, "the head of the record is broken");
    else
        return 0;
    return -EPROTO;
}

/* Whether it can be gone on with where it is. */
static bool is_alike(int fd, const struct record_head *head)
{
    struct record_field field;
    if (head->version != RECORD_VERSION || head->bytes != sizeof(struct kept) ||
        head->field_count != RECORD_FIELDS || head->field_bytes != sizeof field)
        return false;
    for (size_t i = 0; i < RECORD_FIELDS; i++)
        if (pread(fd, &field, sizeof field, (off_t)(sizeof *head + i * sizeof field)) !=
                sizeof field ||
            memcmp(&field, &rows[i].field, sizeof field) != 0)
            return false;
    return true;
}

int record_open(struct record *record, int fd, struct text *why)
{
    struct record_head head;
    struct stat stat;
    if (fstat(fd, &stat) < 0) {
        text_printf(why, "descriptor %d is no record: %s", fd, strerror(errno));
        return -errno;
    }
    int failed = check_head(&head, pread(fd, &head, sizeof head, 0), stat.st_size, why);
    if (failed)
        return failed;
    if (!is_alike(fd, &head)) {
        failed = translate(record, fd, &head, why);
        if (!failed)
            record->kept->upgrade.former_record_fd = fd;
        return failed;
    }
    failed = map(fd, &record->kept);
    if (failed) {
        text_printf(why, "the record cannot be mapped: %s", strerror(-failed));
        return failed;
    }
    record->fd = record->kept->own.record_fd = fd;
    return 0;
}

/* ---- going back to another's ------------------------------------------------------------------
 */

bool record_writer_knows(int fd)
{
    struct record_head head;
    return pread(fd, &head, sizeof head, 0) == sizeof head && head.version >= RECORD_READER;
}

int record_find(int fd, uint32_t id, size_t bytes, off_t *ret)
{
    struct record_head head;
    struct record_field field;
    if (pread(fd, &head, sizeof head, 0) != sizeof head ||
        memcmp(head.magic, RECORD_MAGIC, sizeof head.magic) != 0 ||
        head.field_count > FIELDS_MOST || head.field_bytes < sizeof field ||
        head.field_bytes > ELEMENT_MOST || find_field(fd, &head, id, &field) <= 0 ||
        !is_possible(&field, head.bytes) || field.element_bytes < bytes)
        return -EPROTO;
    *ret = (off_t)field.at;
    return 0;
}

/* ---- looking it over ------------------------------------------------------------------------ */

static bool ended_is_good(const struct kept_ended *ended)
{
    const struct kept_ended_half *half = &ended->halves[ended->live & 1];
    return ended->live <= 1 && half->seen <= half->sent && half->sent <= ended->last &&
           ended->last - half->seen <= ENDED_RING;
}

static bool words_are_good(const struct kept_words *words)
{
    return words->bytes <= WORDS_KEPT_BYTES && words->count <= WORDS_KEPT_MAX &&
           (!words->bytes || !words->text[words->bytes - 1]);
}

static bool children_are_good(const struct kept_child *children)
{
    for (int i = 0; i < CHILDREN_ALL; i++)
        if (children[i].refused_count > HAND_OVER_KEYS_MAX || children[i].pid < 0)
            return false;
    return true;
}

const char *record_mend(struct kept *kept)
{
    const struct {
        bool good;
        void *part;
        size_t bytes;
        const char *name;
    } parts[] = {
        {kept->ending.how < SHUT_DOWN_HOWS && kept->ending.phase < PHASES, &kept->ending,
         sizeof kept->ending, "ending"},
        {ended_is_good(&kept->ended), &kept->ended, sizeof kept->ended, "ended"},
        {kept->lines.end - kept->lines.begin <= LINES_RING_BYTES, &kept->lines, sizeof kept->lines,
         "lines"},
        {kept->held.end <= KEY_MAX, &kept->held, sizeof kept->held, "held"},
        {words_are_good(&kept->words), &kept->words, sizeof kept->words, "words"},
        {kept->inbox.from >= 0 && kept->inbox.from <= CHILDREN_ALL, &kept->inbox,
         sizeof kept->inbox, "inbox"},
        {children_are_good(kept->children), kept->children, sizeof kept->children, "children"},
        {kept->upgrade.step < UPGRADE_STEPS && memchr(kept->upgrade.text, 0, 960) &&
             memchr(kept->upgrade.why, 0, sizeof kept->upgrade.why),
         &kept->upgrade, sizeof kept->upgrade, "upgrade"},
        {memchr(kept->own.path, 0, sizeof kept->own.path) != NULL, kept->own.path,
         sizeof kept->own.path, "path"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].good)
            continue;
        memset(parts[i].part, 0, parts[i].bytes);
        if (parts[i].part == &kept->held)
            kept->held.end = KEY_MAX; /* what is held is found by looking at all of it */
        return parts[i].name;
    }
    return NULL;
}
