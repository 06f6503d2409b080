"""MAINPID=: a service hands over to another of its processes. Each test runs twice: followed by a
cgroup, and where none can be had."""
import os
import signal

from harness import hold, stat_of, until
from services import (PYTHON, booted, both_ways, define, events, kill, look, outer_pid, printed,
                      shell, sleeps, wait, words)

LONG = 100000
# The main process is a child's parent that goes once somebody opens the FIFO `go`; the child ends
# with 7 once somebody opens `end`. Both are named in the arguments.
HANDS_OVER = '''
import os, socket, sys
go, end, before_it_goes = sys.argv[1:4]
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])
child = os.fork()
if not child:
    open(end).read()
    os._exit(7)
print('child', child, flush=True)
notify('READY=1')
open(go).read()
notify(before_it_goes.format(child=child))
os._exit(3)
'''


class Handing:
    """Such a service, and what the test holds of it."""

    def __init__(self, machine, name='d', message='MAINPID={child}', **keys):
        self.machine, self.name = machine, name
        self.paths = [machine.folder / f'{name}.{what}' for what in ('go', 'end')]
        for path in self.paths:
            os.mkfifo(path)
        define(machine, name, exec=words(PYTHON, '-ISc', HANDS_OVER, *map(str, self.paths), message),
               **({'ready': 'notify', 'restart': 'never'} | keys))

    def is_running(self):
        self.first = wait(self.machine, self.name, 'running')['pid']
        self.child = int(printed(self.machine, self.name).split()[-1])
        return self

    def go(self):
        self.paths[0].write_text('')

    def end(self):
        self.paths[1].write_text('')

    def has_gone_over(self):
        until(lambda: look(self.machine, self.name)['pid'] == self.child, 'the child is the main one')
        until(lambda: outer_pid(self.machine, self.first) is None, 'the former one has gone')
        found = look(self.machine, self.name)
        assert (found['state'], found['pid'], found['restarts']) == ('running', self.child, 0), found


@both_ways
def test_a_child_that_is_named_is_the_main_process_and_its_end_is_the_service_s(machine):
    service = Handing(machine)
    booted(machine)
    service.is_running().go()
    service.has_gone_over()
    assert any(f'the main process is {service.child} now' in line for line in events(machine, 'd'))
    machine.kill_launcher()
    service.has_gone_over()
    service.end()
    found = wait(machine, 'd', 'failed', '30s')
    assert (found['exit'], found['reason']) == ({'code': 7}, 'exited with 7'), found


@both_ways
def test_what_replaced_the_main_process_is_restarted_by_the_policy(machine):
    service = Handing(machine, restart={'policy': 'always', 'delay': '1ms'})
    booted(machine)
    service.is_running().go()
    service.has_gone_over()
    kill(machine, 'd')
    until(lambda: look(machine, 'd')['restarts'] == 1, 'it is started again')
    found = wait(machine, 'd', 'running')
    assert found['exit'] == {'signal': 'SIGKILL'}, found
    assert found['pid'] not in (service.first, service.child), found


@both_ways
def test_what_replaced_the_main_process_is_stopped_as_the_first_would_be(machine):
    service = Handing(machine)
    booted(machine)
    service.is_running().go()
    service.has_gone_over()
    machine.slc('stop', 'd')
    assert look(machine, 'd')['state'] == 'stopped'
    machine.quiet()  # what has ended is reaped
    assert outer_pid(machine, service.child) is None


def has_gone_unseen(machine):
    """A service whose former main process has named the next and ended while the launcher stood
    still, and that launcher."""
    service = Handing(machine)
    booted(machine)
    service.is_running()
    launcher = machine.wait_pid_of('service-launcher')
    hold(launcher)
    former = outer_pid(machine, service.first)
    service.go()
    until(lambda: stat_of(former)[1] == 'Z', 'it has ended')
    return service, launcher


@both_ways
def test_a_former_main_process_that_ends_at_once_has_handed_over_whatever_is_seen_first(machine):
    """The launcher finds the message and the end at the same time."""
    service, launcher = has_gone_unseen(machine)
    os.kill(launcher, signal.SIGCONT)
    service.has_gone_over()


@both_ways
def test_a_launcher_that_is_killed_over_it_leaves_it_to_the_next(machine):
    service, launcher = has_gone_unseen(machine)
    os.kill(launcher, signal.SIGKILL)
    machine.wait_pid_of('service-launcher', launcher)
    service.has_gone_over()
    service.end()
    assert wait(machine, 'd', 'failed', '30s')['exit'] == {'code': 7}


@both_ways
def test_what_is_not_the_service_s_is_refused_with_a_warning_and_harmed_by_nobody(machine):
    notify = ('import os, socket, sys, time\n'
              's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n'
              's.connect(os.environ["NOTIFY_SOCKET"])\n'
              's.send(b"READY=1")\n'
              'for line in open(sys.argv[1]):\n'
              '    s.send(line.strip().encode())\n'
              's.send(b"STATUS=all is sent")\n'
              f'time.sleep({LONG})\n')
    lines = machine.folder / 'lines'
    os.mkfifo(lines)
    define(machine, 'other', exec=shell('sleep 31338 & exec sleep 31337'))
    define(machine, 'd', ready='notify', exec=words(PYTHON, '-ISc', notify, str(lines)))
    booted(machine)
    wait(machine, 'd', 'running')
    other = look(machine, 'other')['pid']
    launcher = look_inside(machine, 'service-launcher')
    before = look(machine, 'd')
    bad = ['1', '0', '-1', '', 'x', str(2 ** 31), str(2 ** 22 + 1), str(launcher), str(other)]
    lines.write_text(''.join(f'MAINPID={one}\n' for one in bad))
    until(lambda: look(machine, 'd')['status_text'] == 'all is sent', 'all is sent')
    said = [line for line in events(machine, 'd') if 'MAINPID was not believed' in line]
    for why in ('it is not the number of a process', 'the process it names has ended',
                'it names no process of this service'):
        assert any(why in line for line in said), (why, said)
    assert len(said) == 3, said
    assert look(machine, 'd')['pid'] == before['pid']
    machine.slc('restart', 'd')
    machine.slc('stop', 'd')
    found = look(machine, 'other')
    assert (found['state'], found['pid'], found['restarts']) == ('running', other, 0), found
    assert sleeps(machine, '31337') == sleeps(machine, '31338') == 1
    assert look_inside(machine, 'service-launcher') == launcher


def look_inside(machine, program):
    """Its pid as the machine's own processes see it."""
    with open(f'/proc/{machine.wait_pid_of(program)}/status', encoding='ascii') as file:
        return int(next(line for line in file if line.startswith('NSpid')).split()[-1])
