"""A request that overtakes another: the table of docs/ordering.md, a test a row, with the exact answers
of both. The first request is under way for certain when the second comes: its service waits for a
file that only the test makes."""
import json
import subprocess

from harness import BUILD, Machine, until
from services import booted, define, look, shell, wait


class Request:
    """slc in the background, once the launcher has its request; `answer()` is (exit status, stdout,
    stderr)."""

    def __init__(self, machine, *arguments):
        self.process = subprocess.Popen(
            [str(BUILD / 'slc'), '--runtime', str(machine.runtime), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        machine.idle(self.process.pid)

    def answer(self):
        out, err = self.process.communicate(timeout=60)
        told = [line for line in err.splitlines(True) if ': waiting: ' not in line]
        return self.process.returncode, out, ''.join(told)


def answer(machine, *arguments):
    return Request(machine, *arguments).answer()


OVERTAKEN = 'slc: {}: another request overtook this one: {}\n'.format


def open_gate(machine, name):
    (machine.folder / f'gate-{name}').write_text('')


def close_gate(machine, name):
    (machine.folder / f'gate-{name}').unlink()


def gate(machine, name):
    return shell(f'while ! test -e {machine.folder}/gate-{name}; do sleep 0.02; done')


def slow_to_start(machine, name, **keys):
    """Starts only once its gate is open."""
    define(machine, name, exec='sleep 100000', before_start=[gate(machine, name)], enabled=False,
           stop={'timeout': '60s'}, **keys)


def slow_to_stop(machine, name, **keys):
    define(machine, name, exec='sleep 100000', before_stop=[gate(machine, name)],
           stop={'timeout': '60s'}, **keys)


def runs(machine, name):
    """How many runs of it have begun."""
    return machine.slc('journal', name).stdout.count('started pid')


def test_stop_while_it_starts():
    with Machine() as machine:
        slow_to_start(machine, 'd')
        booted(machine)
        start = Request(machine, 'start', 'd')
        wait(machine, 'd', 'starting')
        assert answer(machine, 'stop', 'd') == (0, 'd: stopped\n', '')
        assert start.answer() == (1, '', OVERTAKEN('d', 'stop'))
        assert look(machine, 'd')['state'] == 'stopped'


def while_it_stops(first, second, first_answer, second_answer, count):
    """Two requests for a service that the first one stops; afterwards it has begun `count` runs."""
    with Machine() as machine:
        slow_to_stop(machine, 'd')
        booted(machine)
        one = Request(machine, first, 'd')
        wait(machine, 'd', 'stopping')
        two = Request(machine, second, 'd')
        if first_answer[0]:  # it is overtaken at once
            assert one.answer() == first_answer
        open_gate(machine, 'd')
        assert two.answer() == second_answer
        assert first_answer[0] or one.answer() == first_answer
        assert runs(machine, 'd') == count
        assert look(machine, 'd')['state'] == ('stopped' if second == 'stop' else 'running')


def test_start_while_it_stops():
    while_it_stops('stop', 'start', (1, '', OVERTAKEN('d', 'start')), (0, 'd: started\n', ''), 2)


def test_restart_and_start_while_it_backs_off():
    with Machine() as machine:
        define(machine, 'd', exec=shell(f'test -e {machine.folder}/flag && exec sleep 100000; exit 3'),
               restart={'delay': '1h'})
        booted(machine)
        for verb, done in (('restart', 'd: restarted\n'), ('start', 'd: started\n')):
            wait(machine, 'd', 'backing-off')
            (machine.folder / 'flag').write_text('')
            assert answer(machine, verb, 'd') == (0, done, '')
            assert look(machine, 'd')['restarts'] == 0
            (machine.folder / 'flag').unlink()
            machine.slc('signal', 'KILL', 'd')


def test_stop_while_it_backs_off():
    with Machine() as machine:
        define(machine, 'd', exec='false', restart={'delay': '1h'})
        booted(machine)
        wait(machine, 'd', 'backing-off')
        assert answer(machine, 'stop', 'd') == (0, 'd: stopped\n', '')
        assert look(machine, 'd')['reason'] == 'was asked to stop'


def test_stop_of_a_need_while_what_needs_it_starts():
    with Machine() as machine:
        define(machine, 'base', exec='sleep 100000')
        slow_to_start(machine, 'top', needs=['base'])
        booted(machine)
        start = Request(machine, 'start', 'top')
        wait(machine, 'top', 'starting')
        assert answer(machine, 'stop', 'base') == (
            0, 'base: stopped\ntop: stopped, because it needs base, which was stopped\n', '')
        assert start.answer() == (1, '', OVERTAKEN('top', 'stop'))
        assert look(machine, 'top')['reason'] == 'needs base, which was stopped'
        assert look(machine, 'base')['reason'] == 'was asked to stop'


def test_stop_of_a_need_while_what_needs_it_waits_for_it():
    with Machine() as machine:
        slow_to_start(machine, 'base')
        define(machine, 'top', exec='sleep 100000', needs=['base'], enabled=False)
        booted(machine)
        start = Request(machine, 'start', 'top')
        wait(machine, 'top', 'waiting')
        wait(machine, 'base', 'starting')
        assert answer(machine, 'stop', 'base') == (0, 'base: stopped\n', '')
        assert start.answer() == (1, '', 'slc: top: failed: needs base, which was stopped\n')
        assert look(machine, 'base')['state'] == 'stopped'


def test_reload_of_files_while_one_starts_and_one_stops():
    with Machine() as machine:
        slow_to_start(machine, 'up')
        slow_to_stop(machine, 'down')
        booted(machine)
        stop, start = Request(machine, 'stop', 'down'), Request(machine, 'start', 'up')
        wait(machine, 'up', 'starting')
        wait(machine, 'down', 'stopping')
        slow_to_start(machine, 'up', description='New words')
        slow_to_stop(machine, 'down', description='New words')
        assert machine.slc('reload').returncode == 0
        assert [look(machine, name)['state'] for name in ('up', 'down')] == ['starting', 'stopping']
        assert {look(machine, name)['description'] for name in ('up', 'down')} == {'New words'}
        open_gate(machine, 'up')
        open_gate(machine, 'down')
        assert start.answer() == (0, 'up: started\n', '')
        assert stop.answer() == (0, 'down: stopped\n', '')


def test_a_file_that_goes_while_its_start_waits_ends_the_request():
    with Machine() as machine:
        slow_to_start(machine, 'base')
        define(machine, 'top', exec='sleep 100000', needs=['base'], enabled=False)
        booted(machine)
        start = Request(machine, 'start', 'top')
        wait(machine, 'top', 'waiting')
        (machine.services / 'top.yml').unlink()
        machine.slc('reload')
        assert start.answer() == (1, '', 'slc: top: stopped: its file was removed\n')
        assert [service['name'] for service in machine.json('list')] == ['base']
        # Its place is another's now, and nothing of the old one comes to it.
        define(machine, 'next', exec='sleep 100000')
        machine.slc('reload')
        open_gate(machine, 'base')
        wait(machine, 'base', 'running')
        assert wait(machine, 'next', 'running')['restarts'] == 0


def test_a_file_that_goes_in_a_back_off_takes_its_next_try_along():
    with Machine() as machine:
        define(machine, 'd', exec='false', restart={'delay': '1s', 'jitter': 0})
        booted(machine)
        wait(machine, 'd', 'backing-off')
        (machine.services / 'd.yml').unlink()
        machine.slc('reload')
        define(machine, 'next', exec='sleep 100000')
        define(machine, 'later', type='task', exec='sleep 1.5')
        machine.slc('reload')
        wait(machine, 'later', 'done')
        assert {s['name']: s['state'] for s in machine.json('list')} == {
            'next': 'running', 'later': 'done'}
        assert 'A bug' not in machine.console(), machine.console()


def test_restart_while_it_starts():
    with Machine() as machine:
        slow_to_start(machine, 'd')
        booted(machine)
        start = Request(machine, 'start', 'd')
        first = wait(machine, 'd', 'starting')['invocation']
        restart = Request(machine, 'restart', 'd')
        # It begins anew: the run that was on its way is ended.
        until(lambda: look(machine, 'd')['invocation'] != first, 'it begins anew')
        open_gate(machine, 'd')
        assert start.answer() == (0, 'd: started\n', '')
        assert restart.answer() == (0, 'd: restarted\n', '')
        assert runs(machine, 'd') == 1


def test_restart_while_it_stops():
    while_it_stops('stop', 'restart', (1, '', OVERTAKEN('d', 'restart')), (0, 'd: restarted\n', ''), 2)


def test_stop_while_it_restarts():
    while_it_stops('restart', 'stop', (1, '', OVERTAKEN('d', 'stop')), (0, 'd: stopped\n', ''), 1)


def test_start_while_it_restarts():
    while_it_stops('restart', 'start', (0, 'd: restarted\n', ''), (0, 'd: started\n', ''), 2)


def test_two_that_want_the_same_get_the_same_answer_and_it_happens_once():
    with Machine() as machine:
        slow_to_start(machine, 'up')
        slow_to_stop(machine, 'down')
        booted(machine)
        starts = [Request(machine, 'start', 'up') for _ in range(2)]
        stops = [Request(machine, 'stop', 'down') for _ in range(2)]
        wait(machine, 'up', 'starting')
        wait(machine, 'down', 'stopping')
        starts.append(Request(machine, 'start', 'up'))
        stops.append(Request(machine, 'stop', 'down'))
        machine.slc('start', '--no-wait', 'up')
        open_gate(machine, 'up')
        open_gate(machine, 'down')
        for start in starts:
            assert start.answer() == (0, 'up: started\n', '')
        for stop in stops:
            assert stop.answer() == (0, 'down: stopped\n', '')
        assert runs(machine, 'up') == 1 and runs(machine, 'down') == 1


def test_of_three_in_a_row_the_last_counts():
    with Machine() as machine:
        slow_to_stop(machine, 'd')
        booted(machine)
        before = look(machine, 'd')['pid']
        first = Request(machine, 'stop', 'd')
        wait(machine, 'd', 'stopping')
        second = Request(machine, 'start', 'd')
        assert first.answer() == (1, '', OVERTAKEN('d', 'start'))
        third = Request(machine, 'stop', 'd')
        assert second.answer() == (1, '', OVERTAKEN('d', 'stop'))
        assert look(machine, 'd')['pid'] == before
        open_gate(machine, 'd')
        assert third.answer() == (0, 'd: stopped\n', '')
        assert runs(machine, 'd') == 1


def test_start_of_one_while_what_it_conflicts_with_starts():
    with Machine() as machine:
        slow_to_start(machine, 'a', conflicts=['b'])
        define(machine, 'b', exec='sleep 100000', enabled=False)
        booted(machine)
        start = Request(machine, 'start', 'a')
        wait(machine, 'a', 'starting')
        assert answer(machine, 'start', 'b') == (0, 'b: started\n', '')
        assert start.answer() == (1, '', OVERTAKEN('a', 'stop'))
        assert look(machine, 'a')['reason'] == 'conflicts with b'


def test_start_of_one_while_what_it_conflicts_with_stops():
    with Machine() as machine:
        slow_to_stop(machine, 'a', conflicts=['b'])
        define(machine, 'b', exec='sleep 100000', enabled=False)
        booted(machine)
        stop = Request(machine, 'stop', 'a')
        wait(machine, 'a', 'stopping')
        start = Request(machine, 'start', 'b')
        status = wait(machine, 'b', 'waiting')
        assert status['reason'] == 'waits for a' and status['pid'] is None, status
        open_gate(machine, 'a')
        assert stop.answer() == (0, 'a: stopped\n', '')
        assert start.answer() == (0, 'b: started\n', '')


def test_reload_of_a_service_that_a_stop_overtakes():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000', reload=gate(machine, 'd'))
        booted(machine)
        reload = Request(machine, 'reload', 'd')
        wait_for_reload(machine, 'd')
        assert answer(machine, 'stop', 'd') == (0, 'd: stopped\n', '')
        assert reload.answer() == (1, '', OVERTAKEN('d', 'stop'))


def wait_for_reload(machine, name):
    """Its command runs: that is a second process of it."""
    until(lambda: len(look(machine, name)['processes']) == 2, 'its command runs')


def test_an_instance_of_a_template_is_overtaken_as_any_other():
    with Machine() as machine:
        (machine.services / 'd@.yml').write_text(json.dumps(
            {'exec': 'sleep 100000', 'stop': {'timeout': '60s'},
             'before-start': [gate(machine, 'd')]}))
        define(machine, 'other', exec='sleep 100000')
        booted(machine)
        first, second = Request(machine, 'start', 'd@1'), Request(machine, 'start', 'd@2')
        for name in ('d@1', 'd@2'):
            wait(machine, name, 'starting')
        assert answer(machine, 'stop', 'd@1') == (0, 'd@1: stopped\n', '')
        assert first.answer() == (1, '', OVERTAKEN('d@1', 'stop'))
        open_gate(machine, 'd')
        assert second.answer() == (0, 'd@2: started\n', '')


def test_a_client_that_leaves_leaves_what_it_began_going_on():
    with Machine() as machine:
        slow_to_start(machine, 'd')
        booted(machine)
        start = Request(machine, 'start', 'd')
        wait(machine, 'd', 'starting')
        start.process.kill()
        start.process.communicate(timeout=60)
        open_gate(machine, 'd')
        assert wait(machine, 'd', 'running')['pid']
        assert runs(machine, 'd') == 1
