/* Standing still. What is in the queue could stay there, and what is in the pipes does: but a new
 * journal may know another queue, so that this one leaves it empty. Lines that cannot be written
 * stay in the backlogs, and the state says so, so that none takes over that does not know them.
 * Where the disk hangs nobody knows what of them is written: then it does not stand still at all.
 */
#include "service-journal/stand-still.h"

#include "base/clock.h"
#include "base/text.h"
#include "service-journal/hold.h"
#include "service-journal/intake.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Without any progress of the writer, and in all: init waits 10 s. */
#define PATIENCE_NS (3 * NS_PER_SEC)
#define IN_ALL_NS   (7 * NS_PER_SEC)
/* The writer may have something to say of what it wrote, which is to be written, too. */
#define ROUNDS 5

struct patience {
    struct journal *journal;
    uint64_t end_ns, until_ns, progress;
};

static struct patience patience_begin(struct journal *journal)
{
    uint64_t now_ns = clock_now_ns();
    return (struct patience){journal, now_ns + IN_ALL_NS, now_ns + PATIENCE_NS,
                             writer_progress(&journal->writer)};
}

/* Waits for the writer to say anything. False: that took too long. */
static bool patience_wait(struct patience *patience)
{
    struct pollfd bell = {.fd = patience->journal->writer.reader_fd, .events = POLLIN};
    uint64_t now_ns = clock_now_ns(), progress = writer_progress(&patience->journal->writer), rung;
    if (progress != patience->progress)
        patience->until_ns = now_ns + PATIENCE_NS;
    patience->progress = progress;
    uint64_t until_ns =
        patience->until_ns < patience->end_ns ? patience->until_ns : patience->end_ns;
    if (now_ns >= until_ns)
        return false;
    if (poll(&bell, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1) == 1 &&
        read(bell.fd, &rung, sizeof rung) < 0) { /* somebody else was told: looked at again */
    }
    return true;
}

static bool is_empty(const struct journal *journal)
{
    return queue_head(&journal->queue) == queue_tail(&journal->queue);
}

static int say_hung(char *why)
{
    text_format(why, STAND_STILL_WHY_BYTES,
                "the disk does not answer, and lines that are not written would be lost");
    return -EBUSY;
}

static int write_all(struct patience *patience, char *why)
{
    struct journal *journal = patience->journal;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t number = writer_drain(&journal->writer, WRITER_SYNC_FILES);
        while (writer_drained(&journal->writer) < number)
            if (!patience_wait(patience))
                return say_hung(why);
        journal_hear_writer(journal);
        if (is_empty(journal))
            return 0;
    }
    text_format(why, STAND_STILL_WHY_BYTES, "there is always more to be written");
    return -EBUSY;
}

static int stop_writer(struct patience *patience, char *why)
{
    struct writer *writer = &patience->journal->writer;
    writer_stop(writer, true);
    while (!writer_is_stopped(writer)) {
        if (patience_wait(patience))
            continue;
        writer_stop(writer, false);
        return say_hung(why);
    }
    return 0;
}

int journal_stand_still(struct journal *journal, char why[static STAND_STILL_WHY_BYTES])
{
    struct patience patience = patience_begin(journal);
    intake_drain(journal->intake);
    int failed = write_all(&patience, why);
    if (!failed)
        failed = stop_writer(&patience, why);
    if (!failed && !is_empty(journal)) {
        text_format(why, STAND_STILL_WHY_BYTES, "there is always more to be written");
        writer_stop(&journal->writer, false);
        failed = -EBUSY;
    }
    if (!failed && writer_keeps_lines(&journal->writer)) {
        journal_state_need_backlogs(&journal->state, true);
        hold_store(KEY_JOURNAL_BACKLOGS, journal->backlogs.fd); /* it may be another init by now */
    }
    writer_ring(&journal->writer); /* what it had to say besides is still to be heard */
    return failed;
}

void journal_stand_no_more(struct journal *journal)
{
    journal_state_need_backlogs(&journal->state, false);
    writer_stop(&journal->writer, false);
    writer_ring(&journal->writer);
}
