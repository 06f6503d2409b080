"""kill -9 of several of conit's own processes at the same moment, again and again: the launcher, the
journal, what follows forks, reads files, watches them, and compresses. Then the list is what /proc
says, nothing is a zombie, and nobody has lost a process.

The seed is printed; CONIT_STORM_SEED repeats who is killed.
"""
import contextlib
import os
import random
import signal

from harness import Machine, below, until
from services import WITHOUT_CGROUP, need_cgroup
from storm import FORKS, OWN, Connection, Storm

TIMEOUT = 400
SEED = int(os.environ.get('CONIT_STORM_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 32)
ROUNDS = 30
SERVICES = 19  # one of each kind, and the instances of templates


def parts(machine):
    """{what it is: pids} of conit's own processes."""
    found = {}
    for pid, (name, state, _) in below(machine.pid).items():
        if state != 'Z' and name in (*OWN, 'follow-forks'):
            found.setdefault(name, []).append(pid)
    return found


def ask_for_a_reload(machine):
    """Without waiting for its answer: then somebody reads."""
    with contextlib.suppress(OSError):
        connection = Connection(machine.runtime / 'control')
        connection.send('Reload', {})
        return connection
    return None


def strike(machine, chooser, counts):
    """A random half of them, all at one stroke."""
    pids = [(what, pid) for what, all_ in parts(machine).items() for pid in all_
            if chooser.random() < 0.5]
    chooser.shuffle(pids)
    for what, pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            counts[what] = counts.get(what, 0) + 1


def all_die_and_nothing_is_lost(machine, follows):
    print(f'CONIT_STORM_SEED={SEED}')
    chooser, counts = random.Random(SEED), {}
    machine.config.write_text('watch: yes\n', encoding='ascii')
    storm = Storm(machine, SEED, SERVICES, kills_launcher=True)
    # The smallest journals there are: the compressor has work all the time.
    machine.service('talks', 'script: |\n  while :; do echo "a line that is neither long nor short"; '
                    'sleep 0.001; done\nlog: {max-size: 64K, keep: 2}')
    forking = ('forks-a', 'forks-b')  # which need nobody
    for name in forking:
        machine.service(name, FORKS)
    machine.boot()
    machine.wait_booted(90)
    storm.rest()
    for number in range(ROUNDS):
        if number % 2:  # else in the middle of taking up, too
            until(lambda: machine.slc('list', check=False).returncode == 0, 'the launcher answers')
            machine.slc('restart', *forking)  # one whose follower was killed gets another so
        waiting = ask_for_a_reload(machine)
        strike(machine, chooser, counts)
        if waiting:
            waiting.close()
        if number % 10 == 9:
            until(lambda: machine.slc('list', check=False).returncode == 0, 'the launcher answers')
            before = storm.rest()
            print(f'{number + 1} rounds: {counts}')
    followers = counts.get('follow-forks', 0)
    assert min(counts[name] for name in OWN[:2]) > 5 and (followers > 5) == follows, counts
    storm.judge_all()
    assert storm.rest().keys() == before.keys()
    machine.slc('poweroff')
    assert machine.wait_end(90) == 0


def test_with_cgroups_any_of_its_own_processes_may_die_at_once():
    with Machine() as machine:
        need_cgroup(machine)
        all_die_and_nothing_is_lost(machine, follows=False)


def test_with_followers_any_of_its_own_processes_may_die_at_once():
    with Machine(before=WITHOUT_CGROUP) as machine:
        all_die_and_nothing_is_lost(machine, follows=True)
