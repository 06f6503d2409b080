/* The row of services that tests of the manager begin with. */
#include "fake-chain.h"

#include "test.h"

struct fake fake;
int answers;
struct request_item asked;

static void on_done(struct request *request)
{
    (void)request;
    answers++;
}

struct request request_of(enum request_verb verb, const char *name)
{
    struct request request = {.verb = verb, .count = 1, .on_done = on_done};
    request.items = calloc(1, sizeof *request.items);
    request.items[0].slot = fake_find(&fake, name)->slot;
    return request;
}

enum outcome ask(enum request_verb verb, const char *name)
{
    struct request request = request_of(verb, name);
    manager_request(&fake.manager, &request);
    fake_run(&fake);
    manager_cancel(&fake.manager, &request);
    enum outcome outcome = request.items[0].outcome;
    asked = request.items[0];
    free(request.items);
    return outcome;
}

void chain(void)
{
    fake_init(&fake);
    fake_add(&fake, "a", TYPE_DAEMON);
    fake_add(&fake, "b", TYPE_DAEMON);
    fake_add(&fake, "c", TYPE_DAEMON);
    fake_tie(&fake, "a", NEEDS, "b");
    fake_tie(&fake, "b", NEEDS, "c");
    fake_load(&fake);
}

void chain_running(void)
{
    chain();
    fake_boot(&fake);
    fake_run(&fake);
    fake.order[0] = 0;
}

void end(void)
{
    CHECK_NUMBER(fake.impossible, 0);
    CHECK(list_empty(&fake.manager.requests));
    fake_finish(&fake);
}
