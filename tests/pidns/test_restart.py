"""Ends by themselves: how each is told, and what comes after it."""
import datetime
import fcntl
import os
import pathlib
import re

from harness import Machine, until
from services import (booted, define, events, kill, look, has_printed, need_cgroup, outer_pid, printed,
                      shell, sleeps, wait)


def test_exits_and_signals_are_told_apart_exactly():
    with Machine() as machine:
        for code in (0, 1, 3, 127, 255):
            define(machine, f'exit{code}', type='task', exec=shell(f'exit {code}'))
        for name in ('SEGV', 'KILL', 'TERM', 'ABRT', 'HUP'):
            define(machine, f'sig{name}', restart='never',
                   exec=shell(f'ulimit -c 0; kill -{name} $$'))
        define(machine, 'rt', restart='never', exec=shell('kill -36 $$'))
        booted(machine)
        for code in (0, 1, 3, 127, 255):
            status = wait(machine, f'exit{code}', 'failed' if code else 'done')
            assert status['exit'] == {'code': code}, status
            assert status['reason'] == (f'exited with {code}' if code else None), status
        for name in ('SEGV', 'KILL', 'TERM', 'ABRT', 'HUP'):
            status = wait(machine, f'sig{name}', 'failed')
            assert status['exit'] == {'signal': f'SIG{name}'}, status
            assert status['reason'] == f'ended by SIG{name}', status
        assert wait(machine, 'rt', 'failed')['exit'] == {'signal': 'SIGRTMIN+2'}


def test_a_killed_daemon_comes_back_with_a_new_pid_and_its_count():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000', restart={'delay': '1ms', 'jitter': 0})
        booted(machine)
        for count in range(1, 6):
            old = kill(machine, 'd')
            new = until(lambda: (lambda s: s if s['restarts'] == count and s['state'] == 'running'
                                 else None)(look(machine, 'd')), 'it runs again')
            assert new['pid'] != old and new['exit'] == {'signal': 'SIGKILL'}, new
        assert outer_pid(machine, new['pid'])
        machine.slc('restart', 'd')  # by a person: counted anew
        assert look(machine, 'd')['restarts'] == 0


def test_policies():
    with Machine() as machine:
        quick = {'delay': '1ms', 'limit': 2}
        define(machine, 'never0', exec='true', restart='never')
        define(machine, 'never1', exec='false', restart='never')
        define(machine, 'on-failure0', exec='true', restart={'policy': 'on-failure', **quick})
        define(machine, 'on-failure1', exec='false', restart={'policy': 'on-failure', **quick})
        define(machine, 'always0', exec='true', restart={'policy': 'always', **quick})
        define(machine, 'task-default', type='task', exec='false')
        define(machine, 'task-again', type='task', exec='false',
               restart={'policy': 'on-failure', **quick})
        booted(machine)
        for name, state, restarts in (('never0', 'done', 0), ('never1', 'failed', 0),
                                      ('on-failure0', 'done', 0), ('on-failure1', 'failed', 2),
                                      ('always0', 'failed', 2), ('task-default', 'failed', 0),
                                      ('task-again', 'failed', 2)):
            status = wait(machine, name, state)
            assert status['restarts'] == restarts, status
        for _ in range(2):  # also with the next launcher
            for name, end in (('always0', 'exited with 0'), ('on-failure1', 'exited with 1')):
                assert look(machine, name)['reason'] == \
                    f'ended again after 2 restarts in a row: {end}', look(machine, name)
            machine.kill_launcher()


def test_the_delay_grows_up_to_its_maximum():
    with Machine() as machine:
        define(machine, 'd', exec='false', restart={
            'delay': '50ms', 'factor': 2, 'max': '200ms', 'jitter': 0, 'limit': 5})
        booted(machine)
        wait(machine, 'd', 'failed')
        # What is left of each delay when it is told, and when the next run has begun.
        ends = re.findall(r'\[(\d+\.\d+)\] Service ended, .* delay_ms=(\d+)', machine.console())
        starts = re.findall(r'\[(\d+\.\d+)\] Started service ', machine.console())
        assert (len(ends), len(starts)) == (5, 6), machine.console()
        for (end, left), most, start in zip(ends, (50, 100, 200, 200, 200), starts[1:]):
            assert int(left) <= most, ends
            assert float(start) - float(end) >= int(left) / 1000 - 0.002, (ends, starts)
        assert max(int(left) for _, left in ends[2:]) > 100, ends


def test_the_jitter_spreads_restarts_within_its_bounds_and_without_it_the_delay_is_exact():
    """By what is planned, which the status tells; the next launcher keeps to it."""
    with Machine() as machine:
        for number in range(30):
            define(machine, f'spread{number}', exec='false', restart={'delay': '1h', 'jitter': '50%'})
            define(machine, f'exact{number}', exec='false', restart={'delay': '1h', 'jitter': 0})
        booted(machine)
        def delays(kind):
            found = [wait(machine, f'{kind}{number}', 'backing-off') for number in range(30)]
            at = lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))
            return [(at(one['next']) - at(one['since'])).total_seconds() for one in found]
        spread, exact = delays('spread'), delays('exact')
        assert all(abs(delay - 3600) < 0.01 for delay in exact), exact
        assert all(1800 <= delay <= 5400 for delay in spread), spread
        assert min(spread) < 3500 and max(spread) > 3700 and len(set(spread)) > 20, spread
        machine.kill_launcher()
        assert (delays('spread'), delays('exact')) == (spread, exact)


def test_after_a_good_while_the_delay_starts_over():
    with Machine() as machine:
        # Longer than reset-after in its first runs, at once from the third on.
        define(machine, 'd', exec=shell(f'n=$(cat {machine.folder}/n 2>/dev/null || echo 0); '
                                        f'echo $((n + 1)) >{machine.folder}/n; '
                                        'test $n -ge 3 || sleep 0.3; exit 1'),
               restart={'delay': '1ms', 'reset-after': '200ms', 'limit': 2})
        booted(machine)
        # Three long runs each forgive what was before; then three short ones reach the limit.
        assert wait(machine, 'd', 'failed')['restarts'] >= 4
        assert int((machine.folder / 'n').read_text()) == look(machine, 'd')['restarts'] + 1


def test_start_and_restart_end_a_back_off_and_stop_and_reset_too():
    with Machine() as machine:
        define(machine, 'd', exec='false', restart={'delay': '1h'})
        booted(machine)
        first = wait(machine, 'd', 'backing-off')
        assert first['exit'] == {'code': 1} and first['pid'] is None, first
        machine.slc('--timeout', '10s', 'start', 'd', check=False)
        machine.slc('start', 'd', check=False)
        assert look(machine, 'd')['invocation'] != first['invocation']
        wait(machine, 'd', 'backing-off')
        machine.slc('restart', 'd', check=False)
        wait(machine, 'd', 'backing-off')
        assert machine.slc('stop', 'd').stdout == 'd: stopped\n'
        assert look(machine, 'd')['state'] == 'stopped'


def test_a_crash_takes_the_children_along_where_a_cgroup_follows_them():
    with Machine() as machine:
        need_cgroup(machine)
        # Two generations away, in sessions of their own.
        define(machine, 'd', restart='never', exec=shell(
            'setsid sh -c "setsid sleep 12345 & sleep 12345" & '
            f'while ! pgrep -f "^sleep 12345" | wc -l | grep -q 2; do :; done; '
            f'echo ready; exec sleep 54321'))
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'd'), 'its children run')
        until(lambda: len(look(machine, 'd')['processes']) == 4, 'four processes')
        kill(machine, 'd')
        wait(machine, 'd', 'failed')
        assert sleeps(machine, '12345') == 0


def test_a_crash_is_told_in_the_journal_with_its_status():
    with Machine() as machine:
        define(machine, 'd', exec=shell('echo last words; exit 9'), restart='never')
        booted(machine)
        wait(machine, 'd', 'failed')
        text = machine.slc('journal', 'd').stdout
        assert re.search(r'(?s)last words\n.*exited with 9', text), text
        assert any(event == 'failed: exited with 9' for event in events(machine, 'd')), text


def test_a_task_is_done_and_runs_again_only_when_restarted():
    with Machine() as machine:
        define(machine, 't', type='task', exec='echo ran')
        booted(machine)
        wait(machine, 't', 'done')
        result = machine.slc('start', 't')
        assert result.stdout == 't: had nothing to start: it is done (slc restart t runs it again)\n', result
        assert printed(machine, 't') == 'ran\n'
        machine.slc('restart', 't')
        assert printed(machine, 't') == 'ran\nran\n'
        machine.slc('stop', 't')
        assert look(machine, 't')['state'] == 'stopped'


def test_zombies_of_a_service_are_reaped():
    with Machine() as machine:
        define(machine, 'd', exec=shell('for i in 1 2 3 4 5 6 7 8 9 10; do (true &) ; done; '
                                        'echo ready; exec sleep 100000'))
        booted(machine)
        has_printed(machine, 'd', 'ready')
        machine.quiet()  # so no zombie is left


def test_a_cgroup_that_somebody_removed_is_made_again():
    with Machine() as machine:
        need_cgroup(machine)
        flag = machine.folder / 'flag'
        define(machine, 'd', exec=shell(f'test -e {flag} || exit 1; exec sleep 100000'),
               restart={'delay': '1h'})
        booted(machine)
        wait(machine, 'd', 'backing-off')
        [folder] = pathlib.Path(machine.cgroup.folder).glob('conit-*/service-d')
        folder.rmdir()
        flag.write_text('')
        machine.slc('start', 'd')
        assert wait(machine, 'd', 'running')['processes'], look(machine, 'd')
        assert folder.exists()


def test_only_what_a_dead_launcher_left_is_removed():
    with Machine() as machine:
        need_cgroup(machine)
        own = pathlib.Path(machine.cgroup.folder)
        stale, other = own / 'conit-00000000000000aa', own / 'conit-of-somebody-else'
        nested = own / 'conit-00000000000000bb' / 'deep' / 'conit-00000000000000cc'
        for folder in (stale / 'service-x', other / 'x', nested / 'service-y'):
            folder.mkdir(parents=True)
        lock = os.open(nested, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        wait(machine, 'd', 'running')
        os.close(lock)
        assert not stale.exists()
        assert (other / 'x').exists() and (nested / 'service-y').exists()
