"""The whole machine: the journal is killed while services print, again and again."""
import os
import pathlib
import signal

import harness
from harness import Machine, children_of, until

KILLS = 20


def journal_of(machine):
    """The pid of the service-journal, once there is one that runs."""
    def find():
        for pid, (name, state, _) in children_of(machine.pid).items():
            if name == 'service-journal'[:15] and state != 'Z':
                return pid
        return None
    return until(find, 'the journal runs')


def reads(machine, pid, name):
    """Whether this journal has written a new line of the service."""
    path = pathlib.Path(machine.logs / name / 'current')
    size = path.stat().st_size if path.exists() else 0
    return lambda: path.exists() and path.stat().st_size > size


def test_kills_of_the_journal_touch_no_service_and_keep_lines_in_order():
    with Machine() as machine:
        machine.service('printer', "script: |\n  i=0\n"
                        "  while read -r _; do echo $i; i=$((i+1)); done </dev/zero || "
                        "  while :; do echo $i; i=$((i+1)); done")
        machine.service('quiet', 'exec: sleep 1000')
        machine.boot()
        first = journal_of(machine)
        until(reads(machine, first, 'printer'), 'something is printed')
        printer = children = None
        def services():
            found = {}
            for launcher, (name, state, _) in children_of(machine.pid).items():
                if name == 'service-launcher'[:15]:
                    found = {pid: stat[0] for pid, stat in children_of(launcher).items()}
            return found
        before = services()
        assert len(before) == 2, before
        for _ in range(KILLS):
            pid = journal_of(machine)
            os.kill(pid, signal.SIGKILL)
            until(lambda: journal_of(machine) != pid, 'a new journal')
            until(reads(machine, pid, 'printer'), 'the new journal writes')
        assert services() == before, 'a service was touched'
        numbers = []
        for leaf in ('previous', 'current'):
            path = machine.logs / 'printer' / leaf
            if path.exists():
                lines = path.read_bytes().split(b'\n')[:-1]
                numbers += [int(line.split()[2]) for line in lines if b' +' not in line]
        assert numbers == sorted(set(numbers)), 'lines out of order, or twice'
        gaps = sum(1 for a, b in zip(numbers, numbers[1:]) if b != a + 1)
        # One block a kill may be lost, when it falls between reading and writing.
        assert gaps <= KILLS, f'{gaps} gaps'
