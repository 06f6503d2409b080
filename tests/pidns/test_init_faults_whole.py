"""The real programs below an init that has faults and is sent them again and again: no service can tell, and
the end of each is known, how it ended too, and those that were just being taken from the kernel."""
import collections
import platform
import random
import signal
import sys

from chaos import FAULTS, Chaos, Judge
from harness import Machine, below, hold, stat_of, until
from init_faults import anew, poison_function

SERVICES = 200
ROUNDS = 30
SIGNALS = 10  # that mean a fault, in a round
ENDS = 3  # services that are asked to end meanwhile
REAL = {ROUNDS // 3: 'SIGSEGV', 2 * ROUNDS // 3: 'SIGFPE'}  # a third in the same minute is the minimal loop
TIMEOUT = 600


# Goes before init: pidfds tell nobody how their process ended, as before Linux 6.15. So that is known from
# what init reports alone.
OLDER_KERNEL = """
import ctypes, os, struct, sys
request = 3 << 30 | 64 << 16 | 0xff << 8 | 11  # PIDFD_GET_INFO
code = b''.join(struct.pack('=HBBI', *row) for row in (
    (0x20, 0, 0, 0), (0x15, 0, 3, 16),          # ioctl(2)
    (0x20, 0, 0, 24), (0x15, 0, 1, request), (0x06, 0, 0, 0x50000 | 25), (0x06, 0, 0, 0x7fff0000)))
code = ctypes.create_string_buffer(code)
program = struct.pack('=HxxxxxxQ', 6, ctypes.addressof(code))
if ctypes.CDLL(None, use_errno=True).syscall(317, 1, 0, program) < 0:
    sys.exit(f'no seccomp: {os.strerror(ctypes.get_errno())}')
os.execv(sys.argv[1], sys.argv[1:])
"""


class Speakers(Chaos):
    def make(self, chooser, count):
        """Nobody needs another one: so a process is new only where its own service has ended."""
        return {f's{i:03}': f'exec: FOLDER/speaker {chooser.randrange(1 << 40)} FOLDER/calm\n'
                            f'restart: {{delay: 20ms, max: 300ms}}\n' for i in range(count)}

    def alive(self):
        return {pid: stat for pid, stat in below(self.machine.pid).items() if stat[0] == 'speaker'}

    def end_in_a_fault(self, kind):
        """A service that is init's child ends, and init has a fault between taking that from the kernel
        and noting it. The launcher stands still meanwhile: it cannot see how that one ended by itself."""
        machine, launcher = self.machine, self.machine.pid_of('service-launcher')
        pid = next(pid for pid, stat in self.alive().items() if stat[2] == machine.pid and stat[1] != 'Z')
        poison_function(machine, 'ended_push', kind)
        hold(launcher)
        self.strike(pid, signal.SIGTERM, 'asked to end')
        machine.wait_console(f'A fault of init itself: .*signal={kind}')
        until(lambda: not stat_of(pid), 'it is reaped')
        self.strike(launcher, signal.SIGCONT, 'held')


def judge_ends(speakers, before, after, seen):
    """Each process that was ever seen has either one end, as it has said, or runs. Returns counts."""
    counts, journals, runs = collections.Counter(), speakers.read_journals(), set()
    for name in speakers.names:
        judge = Judge(name)
        for entry in journals[name]:
            judge.take(entry)
        judge.finish(after[name]['pid'])
        assert not judge.faults, judge.picture()
        assert not judge.counts['torn'], (name, judge.counts)
        for run in judge.runs.values():
            assert run.pid == after[name]['pid'] or (run.announced and len(run.ends) == 1), \
                (name, run.pid, run.announced, run.ends)
        assert before[name]['pid'] in judge.runs, name
        runs |= set(judge.runs)
        counts += judge.counts
    assert seen <= runs, f'of no run: {seen - runs}'
    assert counts['ends'] == len(runs) - SERVICES, (counts, len(runs))
    return counts


def test_200_services_keep_their_pids_their_ends_and_their_lines_in_a_storm_of_faults():
    with Machine() as machine:
        if platform.machine() == 'x86_64':
            (machine.folder / 'older-kernel.py').write_text(OLDER_KERNEL)
            machine.before = f'exec {sys.executable} -IS {machine.folder}/older-kernel.py "$0" "$@"'
        speakers = Speakers(machine, seed=random.randrange(1 << 32), count=SERVICES)
        machine.boot()
        machine.wait_booted(120)
        machine.kill_launcher()  # so that the services are init's own children, whose ends it tells
        before = speakers.judge_rest()
        ours = {name: machine.pid_of(name) for name in ('service-launcher', 'service-journal')}
        seen = {service['pid'] for name, service in before.items() if name in speakers.names}
        speakers.set_calm(False)
        for number in range(ROUNDS):
            count = anew(machine)
            ended = random.sample(sorted(speakers.alive()), ENDS)
            for _ in range(SIGNALS):
                if ended and speakers.strike(ended.pop(), signal.SIGTERM, 'asked to end'):
                    machine.signal(random.choice(FAULTS))  # while that one is about to be reaped
                machine.signal(random.choice(FAULTS))
            until(lambda: anew(machine) > count, 'it was executed anew')  # pylint: disable=cell-var-from-loop
            if number in REAL:
                speakers.end_in_a_fault(REAL[number])
        after = speakers.judge_rest()
        assert {name: machine.pid_of(name) for name in ours} == ours
        assert 'only reaps' not in machine.console()
        counts = judge_ends(speakers, before, after, seen)
        assert counts['ends'] >= ROUNDS * ENDS // 2 and counts['lines'] > SERVICES * 10, counts
        machine.slc('poweroff')
        assert machine.wait_end(120) == 0
