"""200 services that number their lines while our programs, the services and the files are killed, broken
and replaced: afterwards no line and no end is missing, and what is listed is what runs.

The seed is printed; `make chaos SEED=… KILLS=…` repeats what is chosen by it.
"""
import os
import random

from chaos import Chaos
from harness import Machine

TIMEOUT = 7200  # for the long form
SEED = int(os.environ.get('CONIT_CHAOS_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 32)
RELEASE = os.environ.get('CONIT_BUILD_KIND') == 'release'
KILLS = int(os.environ.get('CONIT_CHAOS_KILLS', 0)) or (300 if RELEASE else 100)
SERVICES = int(os.environ.get('CONIT_CHAOS_SERVICES', 200))
ROUND = 150  # kills between two looks at what is at rest


def test_no_line_and_no_end_is_lost_whoever_is_killed():
    print(f'CONIT_CHAOS_SEED={SEED}')
    with Machine() as machine:
        chaos = Chaos(machine, SEED, SERVICES)
        machine.boot()
        machine.wait_booted(120)
        services = chaos.judge_rest()
        for begin in range(0, KILLS, ROUND):
            answers = chaos.rage(min(ROUND, KILLS - begin))
            services = chaos.judge_rest()
            print(f'kills {begin} and on: {dict(chaos.counts)}, answers {dict(answers)}', flush=True)
        print(f'journals: {dict(chaos.judge_journals(services))}')
        machine.slc('poweroff')
        assert machine.wait_end(120) == 0
