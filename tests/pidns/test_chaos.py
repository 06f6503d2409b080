"""200 services that number their lines while our programs, the services and the files are killed, broken,
replaced and upgraded: afterwards no line and no end is missing, and what is listed is what runs.

The seed is printed; `make chaos SEED=… KILLS=…` repeats what is chosen by it.
"""
import os
import random

from chaos import VARIANT, Chaos
from harness import Skip
from upgrading import Upgrading

TIMEOUT = 7200  # for the long form
SEED = int(os.environ.get('CONIT_CHAOS_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 32)
RELEASE = os.environ.get('CONIT_BUILD_KIND') == 'release'
KILLS = int(os.environ.get('CONIT_CHAOS_KILLS', 0)) or (200 if RELEASE else 50)
SERVICES = int(os.environ.get('CONIT_CHAOS_SERVICES', 200))
ROUND = 150  # kills between two looks at what is at rest


def report(text):
    """Shown when it fails; of the long form it is kept, too, for `make chaos` to show."""
    print(text, flush=True)
    if 'CONIT_CHAOS_REPORT' in os.environ:
        with open(os.environ['CONIT_CHAOS_REPORT'], 'a', encoding='utf-8') as file:
            file.write(f'{os.environ["CONIT_BUILD_KIND"]}: {text}\n')


def test_no_line_and_no_end_is_lost_whoever_is_killed():
    report(f'SEED={SEED}')
    if not (VARIANT / 'init/init').exists():
        raise Skip(f'{VARIANT} has not been built: make variant')
    with Upgrading() as machine:
        chaos = Chaos(machine, SEED, SERVICES, kills_init=True, upgrades=True)
        machine.boot()
        machine.wait_booted(120)
        services = chaos.judge_rest()
        for begin in range(0, KILLS, ROUND):
            answers = chaos.rage(min(ROUND, KILLS - begin))
            services = chaos.judge_rest()
            report(f'kills {begin} and on: {dict(chaos.counts)}; answers: {dict(answers)}')
        report(f'journals: {dict(chaos.judge_journals(services))}')
        machine.slc('poweroff')
        assert machine.wait_end(120) == 0
