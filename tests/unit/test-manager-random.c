/* Lifecycles at random, judged by an oracle: what may start and stop when is computed here from
 * what the definitions say, with nothing of the graph's or the manager's code. Requests overtake
 * each other, definitions change, services come and go, and the launcher is killed in the middle.
 * CONIT_SEED runs one round, CONIT_ROUNDS so many. */
#include "base/clock.h"
#include "fake-kernel.h"
#include "test.h"

#include <stdlib.h>

#define NAMES       12
#define PROVIDED    2
#define ROUNDS      3000
#define EVENTS      160
#define PENDING_MAX 6
#define ITEMS_MAX   3

static struct fake fake;
static const char *const names[NAMES + PROVIDED] = {"a", "b", "c", "d", "e", "f", "g",
                                                    "h", "i", "j", "k", "l", "p", "q"};
static uint32_t seed;

static uint32_t random_below(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

/* ---- the oracle ---------------------------------------------------------------------------- */

/* Bit n of a set is names[n]. */
struct oracle {
    uint32_t there;
    uint32_t needs[NAMES], order[NAMES], conflicts[NAMES];
    bool missing[NAMES]; /* it needs a name that nobody has */
} oracle;

/* Who ran beside whom when a reload brought their conflict: until one of the two is started anew.
 */
static uint32_t beside[NAMES];

static struct service *service_of(int name)
{
    return fake_find(&fake, names[name]);
}

static char *const *list_of(int name, int list)
{
    return fake.services[service_of(name)->slot].lists[list];
}

static int rank_of(const char *name)
{
    int rank = 0;
    while (strcmp(names[rank], name) != 0)
        rank++;
    return rank;
}

static bool provides(int name, const char *word)
{
    for (char *const *p = list_of(name, PROVIDES); *p; p++)
        if (strcmp(*p, word) == 0)
            return true;
    return false;
}

/* Who answers to a name: its owner; else the first enabled one that provides it, by name; else the
 * first that provides it. -1: nobody. */
static int answers_to(const char *word)
{
    int rank = rank_of(word), first = -1;
    if (rank < NAMES)
        return oracle.there & 1u << rank ? rank : -1;
    for (int i = NAMES - 1; i >= 0; i--)
        if (oracle.there & 1u << i && provides(i, word))
            first = i;
    for (int i = NAMES - 1, enabled = 0; i >= 0; i--)
        if (oracle.there & 1u << i && provides(i, word) &&
            fake.services[service_of(i)->slot].definition.enabled) {
            first = !enabled || i < first ? i : first;
            enabled = 1;
        }
    return first;
}

static void read_list(int name, int list, uint32_t sets[NAMES], bool reversed)
{
    for (char *const *p = list_of(name, list); *p; p++) {
        int other = answers_to(*p);
        if (other < 0)
            oracle.missing[name] |= list == NEEDS;
        else if (reversed)
            sets[other] |= 1u << name;
        else
            sets[name] |= 1u << other;
    }
}

/* Those that come after each other in a ring have no order among themselves. */
static void forget_rings(void)
{
    uint32_t reach[NAMES];
    for (int i = 0; i < NAMES; i++)
        reach[i] = oracle.needs[i] | oracle.order[i];
    for (int k = 0; k < NAMES; k++)
        for (int i = 0; i < NAMES; i++)
            if (reach[i] & 1u << k)
                reach[i] |= reach[k];
    for (int i = 0; i < NAMES; i++)
        for (int j = 0; j < NAMES; j++)
            if (reach[i] & 1u << j && reach[j] & 1u << i) {
                oracle.needs[i] &= ~(1u << j);
                oracle.order[i] &= ~(1u << j);
            }
}

/* Reads the definitions that are in force from now on. */
static void oracle_read(void)
{
    memset(&oracle, 0, sizeof oracle);
    for (int i = 0; i < NAMES; i++)
        if (service_of(i))
            oracle.there |= 1u << i;
    for (int i = 0; i < NAMES; i++) {
        if (!(oracle.there & 1u << i))
            continue;
        read_list(i, NEEDS, oracle.needs, false);
        read_list(i, WANTS, oracle.order, false);
        read_list(i, AFTER, oracle.order, false);
        read_list(i, BEFORE, oracle.order, true);
        read_list(i, CONFLICTS, oracle.conflicts, false);
        read_list(i, CONFLICTS, oracle.conflicts, true);
    }
    forget_rings();
}

static const struct service_body *body_of(int name)
{
    return service_body(&fake.manager, service_of(name));
}

static bool is_up(int name)
{
    unsigned state = body_of(name)->state;
    return state == STATE_RUNNING || state == STATE_RELOADING || state == STATE_DONE ||
           state == STATE_SKIPPED;
}

static bool is_down(int name)
{
    unsigned state = body_of(name)->state;
    return state == STATE_BROKEN || state == STATE_STOPPED || state == STATE_WAITING ||
           state == STATE_BACKING_OFF || state == STATE_DONE || state == STATE_FAILED ||
           state == STATE_SKIPPED;
}

static bool is_ending(int name)
{
    unsigned state = body_of(name)->state;
    return state >= STATE_LEAVING && state <= STATE_FINISHING;
}

static bool is_kept(int name);

/* A need that will not be there for who needs it unless something happens. */
static bool is_gone(int need)
{
    const struct service_body *body = body_of(need);
    return body->state == STATE_BROKEN || body->state == STATE_FAILED || !body->wanted ||
           (body->state != STATE_DONE && body->state != STATE_SKIPPED && is_kept(need));
}

/* A daemon that ended well takes down what ran on it, for good; what is started later may run. */
static bool has_ended_under(int need, int name)
{
    const struct service_body *body = body_of(name);
    return body_of(need)->state == STATE_DONE && body->blocked &&
           body->cause.code == REASON_NEED_DONE && body->cause.service == service_of(need)->slot;
}

/* It was down, or to be, when a reload brought the need to one that ran, and has not moved since.
 */
static bool is_excused(int name, int need)
{
    const struct service_body *body = body_of(need);
    if (!is_down(name) && (!body->wanted || body->blocked || body->restarting))
        return body->down_from_ns <= body_of(name)->needs_from_ns;
    return !is_down(name) && is_down(need) && !is_up(need) &&
           body->since_ns <= body_of(name)->needs_from_ns;
}

static bool is_kept(int name)
{
    for (int i = 0; i < NAMES; i++)
        if (oracle.needs[name] & 1u << i && !is_excused(name, i) &&
            (is_gone(i) || has_ended_under(i, name)))
            return true;
    return oracle.missing[name] && is_down(name);
}

/* It is to start, and has not got as far as it will. */
static bool is_coming(int name)
{
    const struct service_body *body = body_of(name);
    if (!body->wanted || is_kept(name))
        return false;
    return body->state == STATE_STOPPED || body->state == STATE_WAITING || body->restarting ||
           (body->state >= STATE_PREPARING && body->state <= STATE_SETTLING) ||
           (is_ending(name) && body->asked);
}

/* All there is to know, for whoever looks for the cause. */
static void dump(void)
{
    static const char *const lists[] = {"needs",     "wants",  "after",
                                        "conflicts", "before", "provides"};
    for (int i = 0; i < NAMES; i++) {
        if (!service_of(i))
            continue;
        const struct service_body *body = body_of(i);
        fprintf(stderr, "  %s %s%s%s%s%s%s", names[i], machine_states[body->state].name,
                body->wanted ? " wanted" : "", body->by_hand ? " by-hand" : "",
                body->blocked ? " blocked" : "", body->restarting ? " restarting" : "",
                body->asked ? " asked" : "");
        for (int list = 0; list < FAKE_LISTS; list++)
            for (char *const *p = list_of(i, list); *p; p++)
                fprintf(stderr, " %s:%s", lists[list], *p);
        fprintf(stderr, "\n");
    }
}

static void complain(int name, const char *what, int other)
{
    dump();
    fprintf(stderr, "%s (%s) %s %s (%s)\n", names[name], machine_states[body_of(name)->state].name,
            what, names[other], machine_states[body_of(other)->state].name);
    CHECK(false);
}

static void judge_start(int name)
{
    CHECK(body_of(name)->wanted);
    CHECK(!oracle.missing[name]);
    beside[name] = 0;
    for (int i = 0; i < NAMES; i++) {
        uint32_t bit = 1u << i;
        beside[i] &= ~(1u << name);
        if (oracle.needs[name] & bit &&
            (!is_up(i) || !body_of(i)->wanted || body_of(i)->restarting))
            complain(name, "starts without its need", i);
        if (oracle.order[name] & bit && is_coming(i))
            complain(name, "starts before", i);
        if (oracle.conflicts[name] & bit && !is_down(i))
            complain(name, "starts beside", i);
    }
}

/* It goes down with a need, and comes up again with it. */
static bool is_taken_down(int name)
{
    for (int i = 0; i < NAMES; i++)
        if (oracle.needs[name] & 1u << i && !is_excused(name, i) &&
            (body_of(i)->restarting || (body_of(i)->state != STATE_DONE &&
                                        body_of(i)->state != STATE_SKIPPED && is_taken_down(i))))
            return true;
    return false;
}

static void judge_stop(int name)
{
    for (int i = 0; i < NAMES; i++) {
        const struct service_body *body = oracle.there & 1u << i ? body_of(i) : NULL;
        if (!body || is_down(i))
            continue;
        bool goes = is_ending(i) || !body->wanted || body->restarting || is_kept(i) ||
                    is_taken_down(i) || fake.manager.shutting_down;
        if (oracle.needs[i] & 1u << name && !is_excused(i, name))
            complain(name, "is stopped under", i);
        else if (oracle.order[i] & 1u << name && goes)
            complain(name, "is stopped before", i);
    }
}

static void judge(struct fake *f, struct service *service, bool start)
{
    int name = rank_of(service_name(&f->manager, service));
    if (start)
        judge_start(name);
    else if (body_of(name)->asked) /* else a start took too long: it ends whoever is up */
        judge_stop(name);
}

/* Nothing moves any more: what is must be what is wanted, or say why not. */
static void judge_rest(int name)
{
    const struct service_body *body = body_of(name);
    const struct fake_service *s = &fake.services[service_of(name)->slot];
    bool up = is_up(name), kept = is_kept(name);

    CHECK(is_down(name) || body->state == STATE_RUNNING);
    CHECK(body->state != STATE_WAITING && body->state != STATE_BACKING_OFF);
    if (body->restarting || s->queued || s->timer_ns)
        complain(name, "has something to come;", name);
    CHECK_NUMBER(s->runs, body->state == STATE_RUNNING && s->definition.type != TYPE_TARGET);
    if (!body->wanted && body->state != STATE_SKIPPED)
        CHECK(!up);
    if (kept)
        CHECK(is_down(name));
    if (body->wanted && !kept && body->state != STATE_BROKEN &&
        (body->state == STATE_STOPPED || body->blocked))
        complain(name, "could start, and is forgotten;", name);
    for (int i = 0; i < NAMES; i++) {
        if (body->state == STATE_RUNNING && oracle.needs[name] & 1u << i && !is_up(i) &&
            !is_excused(name, i))
            complain(name, "runs without its need", i);
        if (body->state == STATE_RUNNING && oracle.conflicts[name] & 1u << i && !is_down(i) &&
            i != name && !(beside[name] & 1u << i))
            complain(name, "runs beside", i);
    }
}

/* ---- definitions --------------------------------------------------------------------------- */

static void tie(int from, int list, int to)
{
    char **words = fake.services[service_of(from)->slot].lists[list];
    size_t count = 0;
    while (words[count])
        count++;
    words[count] = (char *)names[to];
}

/* Who is later by name comes later, so there are no rings, unless one is wanted. */
static void tie_at_random(int from)
{
    static const int lists[] = {NEEDS, NEEDS, WANTS, WANTS, AFTER, BEFORE};
    int list = lists[random_below(6)], to = (int)random_below(NAMES);
    if (to == from)
        return;
    if (random_below(12) == 0)
        list = CONFLICTS;
    if (list == CONFLICTS || random_below(150) == 0 || (list == BEFORE) == (to > from))
        tie(from, list, to);
    else if (from > 3 && random_below(3) == 0) /* the providers are all before those */
        tie(from, list == BEFORE ? AFTER : list, NAMES + (int)random_below(PROVIDED));
}

static void define_at_random(int name)
{
    static const enum service_type types[] = {TYPE_DAEMON, TYPE_DAEMON, TYPE_TASK, TYPE_TARGET};
    struct fake_service *s = &fake.services[service_of(name)->slot];
    const struct service_body *body = body_of(name);
    memset(s->lists, 0, sizeof s->lists);
    if (is_down(name) && body->state != STATE_DONE)
        s->definition.type = types[random_below(4)];
    /* A task that is to run always never comes to rest. */
    bool task = s->definition.type == TYPE_TASK;
    s->definition.start_timeout_ms = task ? TIME_NEVER_MS : 90000;
    s->definition.restart.policy =
        (enum restart_policy)(task ? 1 + random_below(2) : random_below(3));
    s->definition.restart.limit = random_below(3) ? RESTART_NO_LIMIT : random_below(4);
    s->definition.enabled = random_below(4) != 0;
    s->definition.reload_signal = random_below(2) ? 1 : 0;
    s->slow_reload = random_below(2) == 0;
    for (uint32_t ties = random_below(3); ties; ties--)
        tie_at_random(name);
    if (name < 4 && random_below(2))
        tie(name, PROVIDES, NAMES + (int)random_below(PROVIDED));
}

static void put_in_force(void)
{
    oracle_read();
    manager_resolve(&fake.manager, NULL, NULL);
}

static void add(int name)
{
    struct service *service = fake_add(&fake, names[name], TYPE_DAEMON);
    fake.services[service->slot].runs = fake.services[service->slot].queued = false;
    define_at_random(name);
}

/* As launcher_forget_gone() does, after every turn. */
static void forget_gone(void)
{
    bool forgot = false;
    for (int i = 0; i < NAMES; i++) {
        struct service *service = service_of(i);
        if (!service || !body_of(i)->gone || !is_down(i))
            continue;
        if (body_of(i)->state == STATE_WAITING || body_of(i)->state == STATE_BACKING_OFF)
            manager_event(&fake.manager, service, EVENT_STOP);
        service->definition = NULL;
        manager_forget(&fake.manager, service);
        forgot = true;
    }
    if (!forgot)
        return;
    put_in_force();
    manager_settle(&fake.manager);
}

static void set_gone(int name, bool gone)
{
    struct service_body body;
    manager_edit(&fake.manager, service_of(name), &body);
    body.gone = gone;
    manager_commit(&fake.manager, service_of(name), &body);
}

static void note_conflicts(void)
{
    for (int i = 0; i < NAMES; i++)
        for (int j = 0; j < NAMES; j++)
            if (service_of(i) && service_of(j) && oracle.conflicts[i] & 1u << j && !is_down(i) &&
                !is_down(j))
                beside[i] |= 1u << j;
}

/* Some files are removed, some are written, then all is read again. */
static void reload_at_random(void)
{
    uint32_t fresh[NAMES];
    size_t count = 0;
    manager_settle(&fake.manager);
    for (int i = 0; i < NAMES; i++) {
        uint32_t what = random_below(8);
        if (what == 0 && service_of(i))
            set_gone(i, true);
        else if (what == 1 && service_of(i))
            define_at_random(i);
        else if (what < 4 && service_of(i))
            set_gone(i, false);
        else if (what < 4) {
            add(i);
            if (fake.services[service_of(i)->slot].definition.enabled)
                fresh[count++] = service_of(i)->slot;
        }
    }
    put_in_force();
    note_conflicts();
    manager_want_gently(&fake.manager, fresh, count);
    manager_want_again(&fake.manager);
    manager_keep_running(&fake.manager);
    forget_gone();
    manager_settle(&fake.manager);
}

/* ---- requests ------------------------------------------------------------------------------ */

static struct asked {
    struct request request;
    int answers;
    bool begun;
} asked[PENDING_MAX];

/* What is answered is true at that moment. Of several, one may have moved on before the last. */
static void judge_answer(const struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        const struct request_item *item = &request->items[i];
        const struct service *service = &fake.manager.services[item->slot];
        CHECK(item->outcome != OUTCOME_PENDING);
        if (!service->in_use || item->outcome != OUTCOME_DONE)
            continue;
        int name = rank_of(service_name(&fake.manager, service));
        if (request->count == 1 && request->verb != REQUEST_RESET)
            CHECK(request->verb == REQUEST_STOP ? is_down(name) : is_up(name));
    }
}

static void on_done(struct request *request)
{
    struct asked *one = container_of(request, struct asked, request);
    one->answers++;
    judge_answer(request);
}

static void forget_request(struct asked *one)
{
    manager_cancel(&fake.manager, &one->request);
    free(one->request.items);
    *one = (struct asked){.answers = 0};
    list_init(&one->request.link);
}

static void request_at_random(void)
{
    struct asked *one = &asked[random_below(PENDING_MAX)];
    uint32_t taken = 0;
    forget_request(one); /* its client may have gone before its answer */
    one->request.verb = (enum request_verb)random_below(REQUEST_VERBS);
    one->request.on_done = on_done;
    one->request.items = calloc(ITEMS_MAX, sizeof *one->request.items);
    for (uint32_t i = 1 + random_below(ITEMS_MAX); i; i--) {
        int name = (int)random_below(NAMES);
        if (!service_of(name) || taken & 1u << name)
            continue;
        taken |= 1u << name;
        one->request.items[one->request.count++].slot = service_of(name)->slot;
    }
    one->begun = true;
    if (!manager_request(&fake.manager, &one->request))
        one->answers++;
    manager_settle(&fake.manager);
}

/* Requests that are forgotten have no client any more. */
static void crash(void)
{
    for (int i = 0; i < PENDING_MAX; i++) {
        list_init(&asked[i].request.link);
        forget_request(&asked[i]);
    }
    fake_recover(&fake);
}

/* ---- a round ------------------------------------------------------------------------------- */

static void event_at_random(void)
{
    uint32_t slot = random_below(NAMES);
    switch (random_below(9)) {
    case 0:
        if (fake.services[slot].runs && fake.manager.services[slot].in_use)
            fake_exit(&fake, fake.services[slot].name, EXIT_CODE, (int)random_below(3));
        break;
    case 1:
        fake_next_timer(&fake);
        break;
    default:
        fake_step(&fake, slot);
    }
}

static void step_at_random(void)
{
    uint32_t what = random_below(120);
    if (what < 12)
        request_at_random();
    else if (what < 14)
        reload_at_random();
    else if (what < 16) {
        fake.crash_in = 1 + random_below(6);
        if (setjmp(fake.crash))
            crash();
        else
            event_at_random();
        fake.crash_in = 0;
    } else if (what == 16)
        crash();
    else
        event_at_random();
    forget_gone();
    fake.order[0] = 0;
}

static void come_to_rest(void)
{
    /* A service that fails for ever goes from timer to timer: bounded by its limit or by this. */
    for (int i = 0; i < 200; i++) {
        fake_run(&fake);
        forget_gone();
        fake.order[0] = 0;
        if (!fake_next_timer(&fake))
            break;
    }
    fake_run(&fake);
    forget_gone();
}

static void judge_all(void)
{
    for (int i = 0; i < NAMES; i++)
        if (service_of(i))
            judge_rest(i);
    for (int i = 0; i < PENDING_MAX; i++) {
        CHECK_NUMBER(asked[i].request.pending, 0);
        CHECK_NUMBER(asked[i].answers, asked[i].begun ? 1 : 0);
        forget_request(&asked[i]);
    }
}

static void play_round(uint32_t round)
{
    uint32_t all[NAMES];
    size_t count = 0;
    seed = round;
    fake_init(&fake);
    fake.check = judge;
    fake.ends_reloads = true;
    for (int i = 0; i < NAMES; i++)
        add(i);
    for (int i = 0; i < PENDING_MAX; i++)
        list_init(&asked[i].request.link);
    put_in_force();
    for (int i = 0; i < NAMES; i++)
        if (fake.services[service_of(i)->slot].definition.enabled)
            all[count++] = service_of(i)->slot;
    manager_want(&fake.manager, all, count);
    manager_settle(&fake.manager);
    for (int i = 0; i < EVENTS; i++)
        step_at_random();
    come_to_rest();
    judge_all();
    manager_shut_down(&fake.manager);
    come_to_rest();
    CHECK_NUMBER(fake.manager.active, 0);
    CHECK_NUMBER(fake.manager.coming, 0);
    CHECK_NUMBER(fake.impossible, 0);
    CHECK(list_empty(&fake.manager.requests));
    fake_finish(&fake);
}

TEST(any_order_of_requests_reloads_crashes_and_ends_keeps_what_the_definitions_say)
{
    const char *one = getenv("CONIT_SEED"), *many = getenv("CONIT_ROUNDS");
    uint32_t first = one ? (uint32_t)strtoul(one, NULL, 0) : 0;
    uint32_t rounds = one ? 1 : many ? (uint32_t)strtoul(many, NULL, 0) : ROUNDS;
    for (uint32_t round = first; round < first + rounds; round++) {
        int before = test_failures;
        play_round(round);
        if (test_failures != before) {
            fprintf(stderr, "in the round with CONIT_SEED=%u\n", round);
            break;
        }
    }
}
