"""The whole machine: the journal is killed while services print, again and again."""
import os
import pathlib
import re
import signal
import subprocess

from harness import BUILD, Machine, below, children_of, until
from services import booted, define, shell

KILLS = 20


def journal_of(machine):
    """The pid of the service-journal, once there is one that runs."""
    def find():
        for pid, (name, state, _) in children_of(machine.pid).items():
            if name == 'service-journal' and state != 'Z':
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
        machine.service('printer', 'script: |\n  i=0\n'
                        '  while :; do echo $i; i=$((i+1)); done')
        machine.service('quiet', 'exec: sleep 1000')
        machine.boot()
        machine.wait_booted()
        first = journal_of(machine)
        until(reads(machine, first, 'printer'), 'something is printed')
        def services():
            for launcher, (name, _, _) in children_of(machine.pid).items():
                if name == 'service-launche':  # the kernel keeps 15 bytes
                    return set(children_of(launcher))
            return set()
        before = services()
        assert len(before) == 2, before
        for _ in range(KILLS):
            pid = journal_of(machine)
            os.kill(pid, signal.SIGKILL)
            until(lambda: journal_of(machine) != pid, 'a new journal')
            until(reads(machine, pid, 'printer'), 'the new journal writes')
        assert services() == before, 'a service was touched'
        printed = subprocess.run([BUILD / 'slc', '--runtime', machine.runtime, 'journal', '--logs',
                                  machine.logs, '-o', 'cat', 'printer'], capture_output=True,
                                 check=True, timeout=60).stdout
        numbers = [int(line) for line in printed.split(b'\n')[:-1]]
        wrong = [(a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1]
        assert not wrong, f'lost, twice or torn: {wrong[:5]}'


SERVICES, MANY_KILLS = 200, 50
# A flag instead of a signal, and no process but a sleep a second: 200 of them print side by side.
PRINTS = '''i=0
while ! test -e %(flag)s; do
  n=0
  while test $n -lt 50; do echo $i; i=$((i+1)); n=$((n+1)); done
  sleep 1
done
echo end $i
exec sleep 100000'''


def test_two_hundred_services_that_a_broken_pipe_would_end_notice_none_of_fifty_kills():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        for number in range(SERVICES):
            define(machine, f's{number:03}', exec=shell(PRINTS % {'flag': flag}), restart='never')
        booted(machine)
        before = {service['name']: service['pid'] for service in machine.json('list')}
        ignored = {int(re.search(r'^SigIgn:\s+(\w+)', (pathlib.Path('/proc') / str(pid) / 'status')
                                 .read_text(encoding='ascii'), re.M).group(1), 16)
                   for pid, (name, _, _) in below(machine.pid).items() if name == 'sh'}
        assert not any(mask >> (signal.SIGPIPE - 1) & 1 for mask in ignored), ignored
        for _ in range(MANY_KILLS):
            pid = journal_of(machine)
            os.kill(pid, signal.SIGKILL)
            until(lambda: journal_of(machine) != pid, 'a new journal')
        flag.touch()
        texts = {}
        for name in before:
            def ended():
                texts[name] = machine.slc('journal', name, '-o', 'cat').stdout
                return '\nend ' in texts[name]
            until(ended, f'{name} has printed its last line', interval=0.2)
        for name, text in texts.items():
            *lines, last = text.splitlines()
            assert last == f'end {len(lines)}' and lines == [str(i) for i in range(len(lines))], \
                (name, last, len(lines))
        for service in machine.json('list'):
            assert (service['pid'], service['restarts'], service['state']) == \
                (before[service['name']], 0, 'running'), service
