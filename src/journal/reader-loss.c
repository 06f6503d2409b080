/* What of a journal's files could not be read: each place once, however often it is met. */
#include "journal/reader-internal.h"

#include <stdlib.h>

void journal_reader_note_loss(struct journal_reader *reader, off_t from, size_t count)
{
    const off_t until = from + (off_t)count;

    for (size_t i = 0; i < reader->loss_count; i++) {
        struct journal_loss *loss = &reader->losses[i];
        if (loss->file != reader->source_file || loss->kind != reader->source.loss ||
            loss->until < from || loss->from > until)
            continue;
        loss->from = from < loss->from ? from : loss->from;
        loss->until = until > loss->until ? until : loss->until;
        return;
    }
    void *grown = reallocarray(reader->losses, reader->loss_count + 1, sizeof *reader->losses);
    if (!grown)
        return; /* then it is not told */
    reader->losses = grown;
    reader->losses[reader->loss_count++] =
        (struct journal_loss){reader->source.loss, reader->source_file, from, until};
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
    const struct journal_place place = journal_reader_place(reader), stop = reader->stop;
    const uint64_t name_ns = reader->files[described.file].time_ns;
    const uint64_t since_ns = reader->since_ns, until_ns = reader->until_ns;
    uint64_t next_ns;

    reader->since_ns = 0;
    reader->until_ns = UINT64_MAX;
    journal_sealed_name(name, name_ns, JOURNAL_PACKED);
    /* The name is the time of the first entry. */
    *ret_from_ns = described.from
                       ? time_before(reader, (struct journal_place){described.file, described.from})
                       : name_ns;
    next_ns = described.until > described.from
                  ? time_from(reader, (struct journal_place){described.file, described.until})
                  : 0;
    *ret_until_ns = next_ns ? next_ns : journal_reader_written_ns(reader, described.file);
    reader->since_ns = since_ns;
    reader->until_ns = until_ns;
    journal_reader_stand(reader, place, stop);
}
