/* The requests' memfd: a header that describes the records, the records, and an area for each. */
#include "service-launcher/request-store.h"

#include "base/clock.h"
#include "base/layout.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC             0x74736575716572ull /* "request" */
#define VERSION           1
#define HEADER_BYTES      4096
#define ANSWERED_MAX      256           /* answers that are kept, */
#define ANSWERS_MAX_BYTES (4u << 20)    /* and of how many bytes together; the newest always */
#define CALL_AT           0             /* in a record's area */
#define ITEMS_AT          (2ull << 20)  /* a call has 1 MiB at most */
#define ANSWER_AT         (64ull << 20) /* items of 131,056 services take 27 MiB */
#define AREA_BYTES        (1ull << 30)

#define LAYOUT_AT 1024 /* in the header's page */

enum part { PART_RECORD, PART_ITEM, PARTS };

#define RECORD(number, kind, member)                                                               \
    LAYOUT_FIELD(number, PART_RECORD, FIELD_##kind, struct request_record, member)
#define ITEM(number, kind, member)                                                                 \
    LAYOUT_FIELD(number, PART_ITEM, FIELD_##kind, struct request_item_record, member)

static const struct layout_part parts[PARTS] = {
    [PART_RECORD] = {HEADER_BYTES, sizeof(struct request_record), REQUESTS_MAX},
    [PART_ITEM] = {ITEMS_AT, sizeof(struct request_item_record), 0},
};

static const struct layout_field fields[] = {
    RECORD(1, UNSIGNED, phase),
    RECORD(2, UNSIGNED, uid),
    RECORD(3, TEXT, id),
    RECORD(4, UNSIGNED, order),
    RECORD(5, UNSIGNED, asked_ns),
    RECORD(6, UNSIGNED, call_hash),
    RECORD(7, UNSIGNED, call_bytes),
    RECORD(8, UNSIGNED, items),
    RECORD(9, UNSIGNED, answer_bytes),
    RECORD(10, UNSIGNED, commit),
    ITEM(1, TEXT, name),
    ITEM(2, UNSIGNED, slot),
    ITEM(3, UNSIGNED, serial),
    ITEM(4, UNSIGNED, reload),
    ITEM(5, UNSIGNED, standing),
};

static const struct layout layout = {
    .version = VERSION,
    .least_reader = VERSION,
    .parts = parts,
    .part_count = PARTS,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
};

struct request_store_header {
    uint64_t magic;
    uint64_t area_bytes, items_at, answer_at;
    uint64_t newest; /* `order` of the newest request */
    uint32_t used;   /* records that were ever in use: looking at others would take memory */
    uint32_t reserved;
};

_Static_assert(sizeof(struct request_store_header) <= LAYOUT_AT, "the layout is behind it");
_Static_assert(sizeof(struct request_record) == 128, "docs/state.md");
_Static_assert(sizeof(struct request_item_record) == 224, "docs/state.md");

#define MAPPED_BYTES (HEADER_BYTES + REQUESTS_MAX * sizeof(struct request_record))

/* ---- life ----------------------------------------------------------------------------------- */

static int map(struct request_store *store)
{
    char *memory = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, store->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    store->header = (struct request_store_header *)memory;
    store->records = (struct request_record *)(memory + HEADER_BYTES);
    return 0;
}

int request_store_create(struct request_store *store)
{
    *store = (struct request_store){.fd = memfd_create("conit-requests", MFD_CLOEXEC)};
    if (store->fd < 0)
        return -errno;
    int failed = ftruncate(store->fd, MAPPED_BYTES) < 0 ? -errno : map(store);
    if (failed) {
        request_store_finish(store);
        return failed;
    }
    failed = layout_put(&layout, (char *)store->header + LAYOUT_AT, HEADER_BYTES - LAYOUT_AT);
    if (failed) {
        request_store_finish(store);
        return failed;
    }
    store->header->area_bytes = AREA_BYTES;
    store->header->items_at = ITEMS_AT;
    store->header->answer_at = ANSWER_AT;
    __atomic_store_n(&store->header->magic, MAGIC, __ATOMIC_RELEASE);
    return 0;
}

/* Whether all of it is where the file has bytes, and we may read it. */
static int check(const char *page, size_t bytes, struct layout_told *told)
{
    const struct request_store_header *header = (const struct request_store_header *)page;
    int failed = layout_get(page + LAYOUT_AT, HEADER_BYTES - LAYOUT_AT, told);
    if (failed)
        return failed;
    const struct layout_part *records = &told->parts[PART_RECORD];
    if (header->magic != MAGIC || told->least_reader > VERSION || told->part_count < PARTS ||
        records->at > bytes || !records->bytes || header->used > REQUESTS_MAX ||
        header->used > (bytes - records->at) / records->bytes || !header->area_bytes)
        return -EPROTO;
    return 0;
}

static bool is_ours(const struct request_store_header *header, const struct layout_told *told)
{
    return header->area_bytes == AREA_BYTES && header->items_at == ITEMS_AT &&
           header->answer_at == ANSWER_AT && layout_is_same(&layout, told);
}

/* One that is not was written by nobody of ours, and is forgotten. */
static bool is_possible(const struct request_record *record)
{
    return record->phase <= REQUEST_SPENT && memchr(record->id, 0, sizeof record->id) &&
           record->call_bytes <= ITEMS_AT - CALL_AT &&
           record->items <= (ANSWER_AT - ITEMS_AT) / sizeof(struct request_item_record) &&
           record->answer_bytes <= AREA_BYTES - ANSWER_AT;
}

static void look_over(struct request_store *store)
{
    for (size_t i = 0; i < store->header->used; i++)
        if (!is_possible(&store->records[i]))
            store->records[i].phase = REQUEST_FREE;
}

static void count_answers(struct request_store *store)
{
    for (size_t i = 0; i < store->header->used; i++) {
        const struct request_record *record = &store->records[i];
        store->answered += record->phase >= REQUEST_ANSWERED;
        store->answer_bytes += record->phase == REQUEST_ANSWERED ? record->answer_bytes : 0;
    }
}

void request_store_finish(struct request_store *store)
{
    if (store->header)
        munmap(store->header, MAPPED_BYTES);
    if (store->fd >= 0)
        close(store->fd);
    *store = (struct request_store){.fd = -1};
}

/* ---- areas ---------------------------------------------------------------------------------- */

static off_t place_of(const struct request_store *store, const struct request_record *record,
                      uint64_t at)
{
    return (off_t)((uint64_t)(record - store->records + 1) * AREA_BYTES + at);
}

static int write_at(const struct request_store *store, off_t at, const void *bytes, size_t count)
{
    const char *from = bytes;
    while (count) {
        ssize_t written = pwrite(store->fd, from, count, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        from += written;
        count -= (size_t)written;
        at += written;
    }
    return 0;
}

static int read_at(const struct request_store *store, off_t at, void *bytes, size_t count)
{
    char *to = bytes;
    while (count) {
        ssize_t got = pread(store->fd, to, count, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPROTO;
        to += got;
        count -= (size_t)got;
        at += got;
    }
    return 0;
}

static int read_into(const struct request_store *store, off_t at, size_t count, struct buffer *to)
{
    int failed = buffer_reserve(to, count + 1);
    if (!failed)
        failed = read_at(store, at, to->data + to->end, count);
    if (failed)
        return failed;
    to->end += count;
    to->data[to->end] = 0;
    return 0;
}

/* Gives the memory of a part of the area back. Nothing depends on it. */
/* ---- of another layout --------------------------------------------------------------------- */

/* Another launcher's store, which is read and not changed. */
struct former {
    struct request_store store; /* only its fd */
    struct request_store_header header;
    struct layout_told told;
};

/* From one area to another. */
static int copy(const struct former *former, off_t from, const struct request_store *store,
                off_t to, size_t count)
{
    char block[16384];
    int failed = 0;
    while (count && !failed) {
        size_t here = count < sizeof block ? count : sizeof block;
        failed = read_at(&former->store, from, block, here);
        if (!failed)
            failed = write_at(store, to, block, here);
        from += (off_t)here;
        to += (off_t)here;
        count -= here;
    }
    return failed;
}

static int move_items(const struct former *former, const struct layout_plan *plan, off_t from,
                      const struct request_store *store, const struct request_record *record)
{
    const struct layout_part *theirs = &former->told.parts[PART_ITEM];
    const struct layout_field *bad;
    char entry[4096];
    int failed = theirs->bytes > sizeof entry ? -EPROTO : 0;
    for (uint32_t i = 0; i < record->items && !failed; i++) {
        struct request_item_record item = {0};
        failed = read_at(&former->store, from + (off_t)i * theirs->bytes, entry, theirs->bytes);
        if (!failed)
            failed = layout_move(plan, PART_ITEM, entry, &item, &bad);
        if (!failed)
            failed = write_at(store, place_of(store, record, ITEMS_AT + i * sizeof item), &item,
                              sizeof item);
    }
    return failed;
}

static int move_record(const struct former *former, const struct layout_plan *plan, uint32_t number,
                       struct request_store *store)
{
    const struct layout_part *theirs = &former->told.parts[PART_RECORD];
    const struct layout_field *bad;
    struct request_record moved = {0}, *record = &store->records[number];
    char entry[4096];
    int failed = theirs->bytes > sizeof entry ? -EPROTO : 0;
    if (!failed)
        failed = read_at(&former->store, (off_t)(theirs->at + (uint64_t)number * theirs->bytes),
                         entry, theirs->bytes);
    if (!failed)
        failed = layout_move(plan, PART_RECORD, entry, &moved, &bad);
    if (failed || moved.phase == REQUEST_FREE || !is_possible(&moved))
        return failed;
    *record = moved;
    off_t area = (off_t)((number + 1) * former->header.area_bytes);
    bool has_answer = moved.phase == REQUEST_ANSWERED || moved.commit;
    failed = copy(former, area, store, place_of(store, record, CALL_AT), moved.call_bytes);
    if (!failed && moved.phase == REQUEST_BEGUN)
        failed = move_items(former, plan, area + (off_t)former->header.items_at, store, record);
    if (!failed && has_answer)
        failed = copy(former, area + (off_t)former->header.answer_at, store,
                      place_of(store, record, ANSWER_AT), moved.answer_bytes);
    return failed;
}

static int move_store(const struct former *former, struct request_store *store)
{
    struct layout_plan plan;
    const struct layout_field *bad;
    int failed = layout_plan(&plan, &layout, &former->told, &bad);
    if (!failed)
        failed = request_store_create(store);
    for (uint32_t i = 0; i < former->header.used && !failed; i++)
        failed = move_record(former, &plan, i, store);
    if (failed) {
        request_store_finish(store);
        return failed;
    }
    store->header->newest = former->header.newest;
    store->header->used = former->header.used;
    return 0;
}

static int read_former(struct former *former, size_t *ret_bytes)
{
    _Alignas(struct request_store_header) char page[HEADER_BYTES];
    struct stat stat;
    if (fstat(former->store.fd, &stat) < 0)
        return -errno;
    if (stat.st_size < HEADER_BYTES)
        return -EPROTO;
    int failed = read_at(&former->store, 0, page, sizeof page);
    if (failed)
        return failed;
    memcpy(&former->header, page, sizeof former->header);
    *ret_bytes = (size_t)stat.st_size;
    return check(page, *ret_bytes, &former->told);
}

int request_store_open(struct request_store *store, int fd, bool *ret_moved)
{
    struct former former = {.store.fd = fd};
    size_t bytes = 0;
    *store = (struct request_store){.fd = -1};
    *ret_moved = false;
    int failed = read_former(&former, &bytes);
    if (!failed && is_ours(&former.header, &former.told) && bytes >= MAPPED_BYTES) {
        store->fd = fd;
        failed = map(store);
        if (failed)
            request_store_finish(store);
    } else {
        if (!failed)
            failed = move_store(&former, store);
        *ret_moved = !failed;
        close(fd);
    }
    if (failed)
        return failed;
    look_over(store);
    count_answers(store);
    return 0;
}

/* ---- records -------------------------------------------------------------------------------- */

static void punch(const struct request_store *store, const struct request_record *record,
                  uint64_t from, uint64_t to)
{
    (void)fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    place_of(store, record, from), (off_t)(to - from));
}

/* ---- records -------------------------------------------------------------------------------- */

static void set_phase(struct request_store *store, struct request_record *record,
                      enum request_phase phase)
{
    bool had = record->phase >= REQUEST_ANSWERED, has = phase >= REQUEST_ANSWERED;
    if (record->phase == REQUEST_ANSWERED)
        store->answer_bytes -= record->answer_bytes;
    if (phase == REQUEST_ANSWERED)
        store->answer_bytes += record->answer_bytes;
    store->answered += (size_t)has - (size_t)had;
    __atomic_store_n(&record->phase, phase, __ATOMIC_RELEASE);
}

struct request_record *request_store_find(struct request_store *store, uid_t uid, const char *id)
{
    for (size_t i = 0; i < store->header->used; i++) {
        struct request_record *record = &store->records[i];
        if (record->phase != REQUEST_FREE && record->uid == uid && !strcmp(record->id, id))
            return record;
    }
    return NULL;
}

struct request_record *request_store_next(struct request_store *store, enum request_phase phase,
                                          uint64_t after)
{
    struct request_record *found = NULL;
    for (size_t i = 0; i < store->header->used; i++) {
        struct request_record *record = &store->records[i];
        if (record->phase == phase && record->order > after &&
            (!found || record->order < found->order))
            found = record;
    }
    return found;
}

static struct request_record *oldest_answered(struct request_store *store)
{
    struct request_record *answered = request_store_next(store, REQUEST_ANSWERED, 0);
    struct request_record *spent = request_store_next(store, REQUEST_SPENT, 0);
    if (!answered || !spent)
        return answered ? answered : spent;
    return answered->order < spent->order ? answered : spent;
}

/* A free record, the first there is: so few pages are in use. */
static struct request_record *take(struct request_store *store)
{
    while (store->answered >= ANSWERED_MAX)
        request_store_forget(store, oldest_answered(store));
    for (size_t i = 0; i < store->header->used; i++)
        if (store->records[i].phase == REQUEST_FREE)
            return &store->records[i];
    if (store->header->used < REQUESTS_MAX)
        return &store->records[store->header->used++];
    struct request_record *oldest = oldest_answered(store);
    if (oldest)
        request_store_forget(store, oldest);
    return oldest;
}

int request_store_add(struct request_store *store, uid_t uid, const char *id, const char *call,
                      size_t count, uint64_t call_hash, struct request_record **ret)
{
    struct request_record *record = take(store);
    if (!record)
        return -ENOBUFS;
    int failed = count > ITEMS_AT ? -EMSGSIZE
                                  : write_at(store, place_of(store, record, CALL_AT), call, count);
    if (failed)
        return failed;
    struct request_record filled = {.uid = uid,
                                    .order = ++store->header->newest,
                                    .asked_ns = clock_now_ns(),
                                    .call_hash = call_hash,
                                    .call_bytes = (uint32_t)count};
    if (!text_format(filled.id, sizeof filled.id, "%s", id))
        return -EMSGSIZE;
    *record = filled;
    set_phase(store, record, REQUEST_ASKED);
    *ret = record;
    return 0;
}

int request_store_read_call(const struct request_store *store, const struct request_record *record,
                            struct buffer *to)
{
    return read_into(store, place_of(store, record, CALL_AT), record->call_bytes, to);
}

int request_store_begin(struct request_store *store, struct request_record *record,
                        const struct request_item_record *items, size_t count)
{
    if (count > (ANSWER_AT - ITEMS_AT) / sizeof *items)
        return -EMSGSIZE;
    int failed = write_at(store, place_of(store, record, ITEMS_AT), items, count * sizeof *items);
    if (failed)
        return failed;
    record->items = (uint32_t)count;
    set_phase(store, record, REQUEST_BEGUN);
    return 0;
}

int request_store_set_standing(struct request_store *store, struct request_record *record,
                               size_t index, uint32_t standing)
{
    uint64_t at = ITEMS_AT + index * sizeof(struct request_item_record) +
                  offsetof(struct request_item_record, standing);
    return write_at(store, place_of(store, record, at), &standing, sizeof standing);
}

ssize_t request_store_read_items(const struct request_store *store,
                                 const struct request_record *record,
                                 struct request_item_record **ret)
{
    if (record->items > (ANSWER_AT - ITEMS_AT) / sizeof(struct request_item_record))
        return -EPROTO;
    struct request_item_record *items = calloc(record->items + 1, sizeof *items);
    if (!items)
        return -ENOMEM;
    int failed =
        read_at(store, place_of(store, record, ITEMS_AT), items, record->items * sizeof *items);
    for (size_t i = 0; i < record->items; i++)
        items[i].name[sizeof items[i].name - 1] = 0;
    if (failed) {
        free(items);
        return failed;
    }
    *ret = items;
    return record->items;
}

/* ---- answers -------------------------------------------------------------------------------- */

static int write_answer(struct request_store *store, struct request_record *record,
                        const char *answer, size_t count)
{
    if (count > AREA_BYTES - ANSWER_AT)
        return -EMSGSIZE;
    int failed = write_at(store, place_of(store, record, ANSWER_AT), answer, count);
    if (!failed)
        record->answer_bytes = count;
    return failed;
}

int request_store_prepare(struct request_store *store, struct request_record *record,
                          const char *answer, size_t count, uint64_t commit)
{
    int failed = write_answer(store, record, answer, count);
    if (!failed)
        __atomic_store_n(&record->commit, commit, __ATOMIC_RELEASE);
    return failed;
}

void request_store_settle(struct request_store *store, struct request_record *record)
{
    set_phase(store, record, REQUEST_ANSWERED);
    punch(store, record, CALL_AT, ANSWER_AT);
    while (store->answer_bytes > ANSWERS_MAX_BYTES) {
        struct request_record *oldest = request_store_next(store, REQUEST_ANSWERED, 0);
        if (oldest == record)
            break;
        request_store_spend(store, oldest);
    }
}

int request_store_answer(struct request_store *store, struct request_record *record,
                         const char *answer, size_t count)
{
    int failed = write_answer(store, record, answer, count);
    if (failed)
        request_store_spend(store, record);
    else
        request_store_settle(store, record);
    return failed;
}

int request_store_read_answer(const struct request_store *store,
                              const struct request_record *record, struct buffer *to)
{
    if (record->answer_bytes > AREA_BYTES - ANSWER_AT)
        return -EPROTO;
    return read_into(store, place_of(store, record, ANSWER_AT), record->answer_bytes, to);
}

void request_store_spend(struct request_store *store, struct request_record *record)
{
    set_phase(store, record, REQUEST_SPENT);
    punch(store, record, 0, AREA_BYTES);
}

void request_store_forget(struct request_store *store, struct request_record *record)
{
    set_phase(store, record, REQUEST_FREE);
    punch(store, record, 0, AREA_BYTES);
}
