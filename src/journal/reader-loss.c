/* What of a journal's files could not be read: each place once, however often it is met. */
#include "journal/reader-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void widen(struct journal_loss *loss, const struct journal_loss *met)
{
    loss->from = met->from < loss->from ? met->from : loss->from;
    loss->until = met->until > loss->until ? met->until : loss->until;
}

static void note(struct journal_reader *reader, const struct journal_loss *met)
{
    struct journal_loss *last = NULL; /* of the file */
    size_t count = 0;

    for (size_t i = 0; i < reader->loss_count; i++) {
        struct journal_loss *loss = &reader->losses[i];
        if (loss->file != met->file)
            continue;
        if (loss->kind == met->kind && loss->until >= met->from && loss->from <= met->until) {
            widen(loss, met);
            return;
        }
        last = loss;
        count++;
    }
    if (count >= JOURNAL_LOSSES_MOST) {
        widen(last, met);
        last->is_rest = true;
        return;
    }
    void *grown = reallocarray(reader->losses, reader->loss_count + 1, sizeof *reader->losses);
    if (!grown)
        return; /* then it is not told */
    reader->losses = grown;
    reader->losses[reader->loss_count++] = *met;
}

bool journal_reader_is_ours(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

int journal_reader_note_error(struct journal_reader *reader, size_t file, int error)
{
    if (journal_reader_is_ours(error))
        return error;
    note(reader, &(struct journal_loss){JOURNAL_LOSS_UNREADABLE, error, file, 0, 0, false});
    return 0;
}

ssize_t journal_reader_read(struct journal_reader *reader, void *bytes, size_t count, off_t at)
{
    ssize_t got = journal_source_read(&reader->source, bytes, count, at);

    if (got < 0 && journal_reader_is_ours((int)got))
        return got;
    if (got < 0)
        note(reader, &(struct journal_loss){JOURNAL_LOSS_UNREADABLE, (int)got, reader->source_file,
                                            at, at, false});
    else if (reader->source.loss)
        note(reader, &(struct journal_loss){reader->source.loss, 0, reader->source_file, at,
                                            at + (off_t)got, false});
    return got < 0 ? 0 : got;
}

/* The time of the next entry that has one, from a place on, or 0. */
static uint64_t time_from(struct journal_reader *reader, struct journal_place place)
{
    struct journal_entry entry = {0};

    journal_reader_stand(reader, place, JOURNAL_PLACE_NEVER);
    while (journal_reader_next(reader, &entry) > 0)
        if (entry.time_ns)
            return entry.time_ns;
    return 0;
}

static void put_name(const struct journal_reader *reader, size_t file,
                     char name[static JOURNAL_SEALED_BYTES])
{
    struct stat stat;

    if (reader->files[file].fd >= 0) {
        memcpy(name, JOURNAL_FILE_CURRENT, sizeof JOURNAL_FILE_CURRENT);
        return;
    }
    journal_sealed_name(name, reader->files[file].time_ns, JOURNAL_PLAIN);
    if (fstatat(reader->folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        journal_sealed_name(name, reader->files[file].time_ns, JOURNAL_PACKED);
}

/* The time of the last entry before a place, or 0. */
static uint64_t time_before(struct journal_reader *reader, struct journal_place place)
{
    if (journal_reader_back(reader, &place, 1) <= 0)
        return 0;
    return time_from(reader, place);
}

void journal_reader_describe_loss(struct journal_reader *reader, const struct journal_loss *loss,
                                  char name[static JOURNAL_SEALED_BYTES], uint64_t *ret_from_ns,
                                  uint64_t *ret_until_ns)
{
    const struct journal_loss described = *loss; /* more may be noted meanwhile */
    const struct journal_reader before = *reader;
    char head[JOURNAL_HEAD_BYTES];
    const struct journal_place place = journal_reader_place(reader);
    const uint64_t name_ns = reader->files[described.file].time_ns;
    uint64_t next_ns;

    memcpy(head, reader->head, sizeof head);
    reader->since_ns = 0;
    reader->until_ns = UINT64_MAX;
    put_name(reader, described.file, name);
    /* The name is the time of the first entry. */
    *ret_from_ns = described.from
                       ? time_before(reader, (struct journal_place){described.file, described.from})
                       : name_ns;
    next_ns = described.until > described.from
                  ? time_from(reader, (struct journal_place){described.file, described.until})
                  : 0;
    *ret_until_ns = next_ns ? next_ns : journal_reader_written_ns(reader, described.file);
    reader->since_ns = before.since_ns;
    reader->until_ns = before.until_ns;
    journal_reader_stand(reader, place, before.stop);
    reader->in_long = before.in_long;
    memcpy(reader->head, head, sizeof head);
    reader->head_bytes = before.head_bytes;
    reader->head_due = before.head_due;
}
