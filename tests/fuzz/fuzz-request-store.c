/* The memfd of requests that a launcher has left, damaged in any way: it is refused, or every
 * request in it can be read, gone on with and forgotten. The first byte says whether it is read as
 * that of another version; the rest is patch.h's. */
#include "base/buffer.h"
#include "patch.h"
#include "service-launcher/request-store.h"

#include <errno.h>

#define READ_MOST (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static struct request_record *add(struct request_store *store, uid_t uid, const char *id)
{
    struct request_record *record = NULL;
    int failed = request_store_add(store, uid, id, "{\"method\":1}", 12, 7, &record);
    demand(failed == 0 || failed == -ENOBUFS || failed == -ENOSPC || failed == -EFBIG,
           "there is room, or it says why not");
    return failed ? NULL : record;
}

static int make(bool of_other_version)
{
    static const struct request_item_record items[2] = {{.name = "a", .slot = 3}, {.name = "b"}};
    struct request_store store;
    demand(request_store_create(&store) == 0, "there is memory");
    add(&store, 1, "asked");
    demand(request_store_begin(&store, add(&store, 2, "begun"), items, 2) == 0, "there is memory");
    demand(request_store_answer(&store, add(&store, 0, "answered"), "{}", 2) == 0, "it is kept");
    demand(request_store_prepare(&store, add(&store, 0, "prepared"), "{}", 2, 5) == 0, "it is");
    int fd = dup(store.fd);
    request_store_finish(&store);
    if (of_other_version) /* docs/state.md: the layout's version, and the least one of a reader */
        demand(pwrite(fd, (const uint32_t[2]){99, 1}, 8, 1032) == 8, "there is memory");
    return fd;
}

/* ---- using it -------------------------------------------------------------------------------- */

static void read_all(struct request_store *store, struct request_record *record)
{
    struct request_item_record *items = NULL;
    struct buffer buffer = {0};

    demand(memchr(record->id, 0, sizeof record->id), "an id ends");
    if (record->call_bytes < READ_MOST)
        request_store_read_call(store, record, &buffer);
    buffer_consume(&buffer, buffer_used(&buffer));
    if (record->phase >= REQUEST_ANSWERED && record->answer_bytes < READ_MOST)
        request_store_read_answer(store, record, &buffer);
    buffer_finish(&buffer);
    if (record->phase == REQUEST_BEGUN && record->items < READ_MOST / 256) {
        ssize_t got = request_store_read_items(store, record, &items);
        demand(got < 0 || got == (ssize_t)record->items, "all items, or none");
        for (ssize_t i = 0; i < got; i++)
            demand(memchr(items[i].name, 0, sizeof items[i].name), "a name ends");
        if (got > 0)
            request_store_set_standing(store, record, 0, 9);
        free(items);
    }
}

static void use(struct request_store *store)
{
    static const enum request_phase phases[] = {REQUEST_ASKED, REQUEST_BEGUN, REQUEST_ANSWERED,
                                                REQUEST_SPENT};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        struct request_record *record;
        uint64_t after = 0;
        for (int seen = 0; (record = request_store_next(store, phases[i], after)); seen++) {
            demand(seen <= REQUESTS_MAX && record->order > after, "they come to an end");
            after = record->order;
            read_all(store, record);
        }
    }
    struct request_record *made = add(store, 3, "new");
    if (made) {
        demand(request_store_find(store, 3, "new") == made, "what is new is found");
        request_store_answer(store, made, "{}", 2);
        request_store_forget(store, made);
    }
    demand(store->header && store->records, "it is still there");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct request_store store;
    bool moved = false;

    if (!count)
        return 0;
    int fd = make(bytes[0] & 1);
    patch_file(fd, bytes + 1, count - 1);
    int failed = request_store_open(&store, fd, &moved);
    demand(failed <= 0, "it is taken, or refused");
    if (failed)
        return 0;
    use(&store);
    request_store_finish(&store);
    return 0;
}
