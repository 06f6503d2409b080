"""Eight clients ask for everything at once while processes are killed and files rewritten; at each
quiet point the list is compared with /proc, and every request has had exactly one answer.

The seed is printed; CONIT_STORM_SEED repeats its requests. CONIT_STORM_REQUESTS makes it longer:
`make storm SEED=… REQUESTS=10000` runs the whole of it.
"""
import os
import random

from harness import Machine
from services import WITHOUT_CGROUP
from storm import CLIENTS, Storm, make_plan

TIMEOUT = 3000  # for the long form
SEED = int(os.environ.get('CONIT_STORM_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 32)
REQUESTS = int(os.environ.get('CONIT_STORM_REQUESTS', 480))
ROUND = 40 * CLIENTS  # requests between two quiet points
SERVICES = 50


def storm(machine, requests, kills_launcher=False):
    print(f'CONIT_STORM_SEED={SEED}')
    storm_ = Storm(machine, SEED, SERVICES, kills_launcher)
    plans = make_plan(SEED, storm_.names, requests)
    machine.boot()
    machine.wait_booted(90)
    storm_.judge_all()
    for begin in range(0, len(plans[0]), ROUND // CLIENTS):
        answers = storm_.rage([plan[begin:begin + ROUND // CLIENTS] for plan in plans])
        print(f'requests {begin * CLIENTS} and on: {dict(answers)}, {dict(storm_.counts)}')
        storm_.judge_all()
        storm_.judge_changed()
        storm_.judge_calm_requests(random.Random(f'{SEED} calm {begin}'))
    machine.slc('poweroff')
    assert machine.wait_end(90) == 0


def test_every_request_has_one_answer_and_the_list_says_what_is():
    with Machine() as machine:
        storm(machine, REQUESTS)


def test_the_same_where_no_cgroup_follows_services():
    with Machine(before=WITHOUT_CGROUP) as machine:
        storm(machine, REQUESTS // 2)


def test_the_same_while_the_launcher_is_killed():
    with Machine() as machine:
        storm(machine, REQUESTS // 2, kills_launcher=True)
