/* What somebody waits for in a service's output: begun, gone on with by the next journal, told. */
#include "service-journal/journal.h"

#include "base/shortage.h"
#include "log/log.h"

#include <errno.h>
#include <string.h>

static void tell(struct journal *journal, struct match *match)
{
    if (list_empty(&match->node))
        list_append(&journal->matched, &match->node);
    if (journal->on_matched)
        journal->on_matched(journal->context);
}

static int go_on(struct journal *journal, struct service *service)
{
    struct journal_state_match from;
    int failed = 0;

    if (!journal_state_read_match(&journal->state, service->id, &from))
        return 0;
    service->match = match_create(service->id, &from, &failed);
    if (!service->match)
        return failed;
    if (!journal_state_read_line(&journal->state, service->id, &service->match->line))
        service->match->line.used = 0;
    if (service->match->matched)
        tell(journal, service->match);
    return 0;
}

static bool is_of(const struct match *match, const uint64_t *run)
{
    return match->run[0] == run[0] && match->run[1] == run[1];
}

int journal_match(struct journal *journal, uint32_t id, const struct journal_state_match *from)
{
    struct service *service = journal_find(journal, id);
    struct journal_state_match wanted;
    int failed = 0;

    if (!service || list_empty(&service->pipes))
        return -ENOENT;
    if (!from)
        return go_on(journal, service);
    if (service->match && is_of(service->match, from->run)) {
        if (service->match->matched)
            tell(journal, service->match);
        return 0;
    }
    journal_drain_service(journal, service);
    journal_unmatch(journal, id, NULL);
    if (list_empty(&service->pipes))
        return -ENOENT;
    wanted = *from;
    wanted.pipe_inode = container_of(service->pipes.previous, struct service_pipe, node)->inode;
    struct match *match = match_create(id, &wanted, &failed);
    if (match)
        failed = journal_state_write_match(&journal->state, id, &wanted);
    if (match && failed && !is_shortage(failed)) { /* to try again is of no use: this one looks */
        LOG(ERROR, "The next journal would not wait for a line of a service", NUMBER("id", id),
            TEXT("error", strerror(-failed)));
        failed = 0;
    }
    if (failed)
        match_destroy(match);
    else
        service->match = match;
    return failed;
}

void journal_unmatch(struct journal *journal, uint32_t id, const uint64_t *run)
{
    struct service *service = journal_find(journal, id);
    if (!service || !service->match || (run && !is_of(service->match, run)))
        return;
    journal_state_clear_match(&journal->state, id);
    match_destroy(service->match);
    service->match = NULL;
}

void journal_look(struct journal *journal, struct service_pipe *pipe, const char *bytes,
                  size_t count)
{
    struct match *match = pipe->service->match;
    if (!match || match->matched || match->pipe_inode != pipe->inode)
        return;
    match->matched = match_feed(match, bytes, count);
    if (match->matched) {
        journal_state_set_matched(&journal->state, match->id);
        tell(journal, match);
    } else if (match->changed) {
        match->changed = false;
        journal_state_write_line(&journal->state, match->id, &match->line);
    }
}
