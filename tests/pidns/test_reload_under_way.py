"""slc reload while something is under way: deadlines, types, cycles, and what a dry run leaves."""
import json
import os
import signal

from harness import Machine, until
from services import booted, booting, define, kill, look, printed, shell, wait

SLEEPS = 'sleep 100000'


def keys_of(machine, name):
    """What a reload says of it."""
    changes = json.loads(machine.slc('--json', 'reload').stdout)
    [found] = [change for change in changes if change['name'] == name]
    return found['keys']


def test_one_that_is_essential_now_ends_the_machine():
    with Machine() as machine:
        define(machine, 'd', exec=shell('trap "exit 7" HUP; echo ready; '
                                        'while :; do sleep 100000 & wait $!; done'),
               restart='never')
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'd'), 'it is set up')
        text = json.loads((machine.services / 'd.yml').read_text())
        (machine.services / 'd.yml').write_text(json.dumps({**text, 'essential': True}))
        assert keys_of(machine, 'd') == ['essential']
        kill(machine, 'd', signal.SIGHUP)
        assert machine.wait_end() == 7


def test_a_back_off_that_runs_keeps_its_end_and_the_next_is_by_the_new_delay():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        keys = {'exec': shell(f'test -e {flag} && exec sleep 100000; exit 1')}
        define(machine, 'd', restart={'delay': '1h', 'jitter': 0}, **keys)
        booted(machine)
        wait(machine, 'd', 'backing-off')
        machine.quiet()  # what it has said is in its journal
        before = look(machine, 'd')
        define(machine, 'd', restart={'delay': '1ms', 'jitter': 0}, **keys)
        assert keys_of(machine, 'd') == ['restart']
        after = look(machine, 'd')
        assert after == before and after['next'], (before, after)
        machine.kill_launcher()
        assert look(machine, 'd')['next'] == before['next']
        flag.write_text('')
        machine.slc('start', 'd')
        kill(machine, 'd')
        until(lambda: (s := look(machine, 'd'))['state'] == 'running' and s['restarts'] == 1,
              'it is tried again at once')


def test_a_time_out_that_runs_keeps_its_end():
    with Machine() as machine:
        hangs = shell('sleep 100000')
        define(machine, 'd', exec=SLEEPS, before_start=[hangs], start_timeout='1h')
        define(machine, 'deaf', exec=shell('trap "" TERM; echo ready; sleep 100000; sleep 100000'),
               stop={'timeout': '1h', 'kill': 'main'})
        booting(machine)
        until(lambda: 'ready' in printed(machine, 'deaf'), 'it is deaf')
        machine.slc('stop', '--no-wait', 'deaf')
        before = {name: look(machine, name) for name in ('d', 'deaf')}
        assert [before[name]['state'] for name in before] == ['starting', 'stopping'], before
        define(machine, 'd', exec=SLEEPS, before_start=[hangs], start_timeout='1ms')
        define(machine, 'deaf', exec=shell('trap "" TERM; echo ready; sleep 100000; sleep 100000'),
               stop={'timeout': '1ms'})
        assert keys_of(machine, 'deaf') == ['stop']
        for name in before:
            after = look(machine, name)
            assert [after[key] for key in ('state', 'next')] == \
                [before[name][key] for key in ('state', 'next')] and after['next'], (before, after)
        # What begins now goes by the new one.
        machine.slc('stop', 'd')
        assert '1 ms' in machine.slc('start', 'd', check=False).stderr


def test_a_type_that_changes_counts_from_the_next_start():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        waits = shell(f'while ! test -e {flag}; do sleep 0.02; done')
        define(machine, 'was-task', type='task', exec=waits, after_start=[shell('echo done')])
        define(machine, 'was-daemon', type='daemon', exec=SLEEPS)
        define(machine, 'was-target', type='target')
        define(machine, 'late', exec=SLEEPS, before_start=[waits])
        booting(machine)
        for name, state in (('was-task', 'starting'), ('was-daemon', 'running'),
                            ('was-target', 'running'), ('late', 'starting')):
            wait(machine, name, state)
        pids = {name: look(machine, name)['pid'] for name in ('was-task', 'was-daemon')}
        define(machine, 'was-task', type='daemon', exec=waits, restart='never',
               after_start=[shell('echo done')])
        define(machine, 'was-daemon', type='target')
        define(machine, 'was-target', type='daemon', exec=SLEEPS)
        define(machine, 'late', type='target')
        machine.slc('reload')
        for name, pid in pids.items():
            assert look(machine, name)['pid'] == pid
        assert look(machine, 'was-task')['state'] == 'starting'
        assert look(machine, 'was-target')['state'] == 'running'
        machine.kill_launcher()
        assert look(machine, 'was-task')['state'] == 'starting'
        flag.write_text('')
        # It was begun as a task: that it ended well is its start.
        wait(machine, 'was-task', 'done')
        assert printed(machine, 'was-task') == 'done\n'
        # Its program was not executed yet.
        assert wait(machine, 'late', 'running')['pid'] is None
        machine.slc('restart', 'was-daemon', 'was-target', 'was-task', check=False)
        assert look(machine, 'was-daemon')['state'] == 'running'
        assert look(machine, 'was-daemon')['pid'] is None
        assert look(machine, 'was-target')['pid']
        machine.slc('stop', 'was-daemon', 'was-target', 'late')


def test_hooks_that_are_taken_away_while_they_run_are_not_gone_on_with():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        waits = shell(f'while ! test -e {flag}; do sleep 0.02; done')
        define(machine, 'd', exec=SLEEPS, before_start=[waits, shell('echo never')])
        booting(machine)
        wait(machine, 'd', 'starting')
        until(lambda: look(machine, 'd')['processes'] or not machine.cgroup.folder, 'it is begun')
        define(machine, 'd', exec=SLEEPS)
        machine.slc('reload')
        flag.write_text('')
        wait(machine, 'd', 'running')
        assert printed(machine, 'd') == ''


def test_how_it_gets_ready_can_change_while_that_is_waited_for():
    with Machine() as machine:
        folder = machine.folder / 'ready'
        folder.mkdir()
        ways = {'file': {'file': str(folder / 'file')}, 'pid': {'pid-file': str(folder / 'pid')},
                'tcp': {'tcp': 'localhost:9'}, 'unix': {'unix': str(folder / 'unix')},
                'exec': {'exec': '/bin/false'}, 'fd': {'fd': 5}, 'notify': 'notify'}
        for name, ready in ways.items():
            define(machine, name, exec=SLEEPS, ready=ready)
            define(machine, f'{name}-2', exec=SLEEPS, ready=ready)
        booting(machine)
        for name in ways:
            wait(machine, name, 'starting')
            define(machine, name, exec=SLEEPS, ready=ways[name], description='other')
        machine.slc('reload')
        (folder / 'file').write_text('')
        wait(machine, 'file', 'running')
        for name in ways:
            define(machine, f'{name}-2', exec=SLEEPS, ready={'file': str(folder / 'other')})
        machine.slc('reload')
        for name in ('tcp', 'unix', 'exec', 'fd', 'notify'):
            assert look(machine, name)['state'] == 'starting'
            define(machine, name, exec=SLEEPS, ready='exec')
        machine.slc('reload')
        (folder / 'other').write_text('')
        for name in ways:
            wait(machine, f'{name}-2', 'running')
            if name != 'pid':
                wait(machine, name, 'running')


def test_a_cycle_that_a_reload_makes_leaves_its_members_running():
    with Machine() as machine:
        define(machine, 'a', exec=SLEEPS)
        define(machine, 'b', exec=SLEEPS, restart={'delay': '1ms'})
        booted(machine)
        pids = {name: look(machine, name)['pid'] for name in 'ab'}
        define(machine, 'a', exec=SLEEPS, needs=['b'])
        define(machine, 'b', exec=SLEEPS, restart={'delay': '1ms'}, needs=['a'])
        assert machine.slc('reload', check=False).returncode == 1
        for _ in range(2):
            for name in 'ab':
                status = look(machine, name)
                assert status['pid'] == pids[name] and 'cycle' in status['reason'], status
            machine.kill_launcher()
        # One that ends is not started again, and the other runs on.
        kill(machine, 'b')
        wait(machine, 'b', 'broken')
        assert look(machine, 'a')['pid'] == pids['a']
        assert 'cycle' in machine.slc('start', 'b', check=False).stderr
        # Broken open again, it can be started.
        define(machine, 'a', exec=SLEEPS)
        machine.slc('reload')
        assert look(machine, 'a')['pid'] == pids['a'] and look(machine, 'a')['reason'] is None
        machine.slc('start', 'b')


def test_a_dry_run_changes_nothing():
    with Machine() as machine:
        for name in ('same', 'changed', 'gone', 'breaks', 'idle'):
            define(machine, name, exec=SLEEPS, enabled=name != 'idle')
        booted(machine)
        texts = [(machine.services / f'{name}.yml').read_text()
                 for name in ('same', 'changed', 'gone', 'breaks', 'idle')]

        def all_of_it():
            names = ('same', 'changed', 'gone', 'breaks', 'idle')
            # How much memory a program has by now, and what the journal has written, is their doing.
            return ([{**look(machine, name), 'memory': None, 'log': None} for name in names], machine.json('list'),
                    machine.slc('show', *names).stdout, held(machine))
        before = all_of_it()
        define(machine, 'changed', exec='sleep 200000', needs=['new'], description='other')
        define(machine, 'breaks', exec='sleep 100000', umsk='077')
        (machine.services / 'gone.yml').unlink()
        (machine.services / 'idle.yml').unlink()
        define(machine, 'new', exec=SLEEPS)
        assert machine.slc('reload', '--dry-run', check=False).returncode == 1
        now = all_of_it()
        for left, right in zip(now, before):
            assert left == right, (left, right)
        machine.kill_launcher()
        after = all_of_it()
        assert after == before
        for name, text in zip(('same', 'changed', 'gone', 'breaks', 'idle'), texts):
            (machine.services / f'{name}.yml').write_text(text)
        (machine.services / 'new.yml').unlink()
        assert machine.slc('reload').stdout == '5 unchanged\n'


def held(machine):
    """The texts in force, as init holds them for the next launcher."""
    folder = f'/proc/{machine.pid}/fd'
    [found] = [fd for fd in os.listdir(folder)
               if 'memfd:conit-definitions' in os.readlink(f'{folder}/{fd}')]
    with open(f'{folder}/{found}', 'rb') as file:
        return file.read()


def test_what_is_gone_is_listed_so_and_not_started_again():
    with Machine() as machine:
        define(machine, 'd', exec=SLEEPS)
        define(machine, 'other', exec=SLEEPS)
        booted(machine)
        pid = look(machine, 'd')['pid']
        (machine.services / 'd.yml').unlink()
        machine.slc('reload')
        assert {s['name']: s['gone'] for s in machine.json('list')} == {'d': True, 'other': False}
        assert look(machine, 'd')['gone'] and not look(machine, 'other')['gone']
        result = machine.slc('restart', 'd', check=False)
        assert result.returncode == 1 and 'refused: its file is gone: ' in result.stderr, result
        assert 'slc stop' in result.stderr and look(machine, 'd')['pid'] == pid
        assert 'it is running' in machine.slc('start', 'd').stdout
        define(machine, 'd', exec=SLEEPS)
        machine.slc('reload')
        assert not look(machine, 'd')['gone']
        machine.slc('restart', 'd')
        assert look(machine, 'd')['pid'] not in (None, pid)


def test_what_is_gone_and_stops_is_not_started():
    with Machine() as machine:
        define(machine, 'd', exec=shell('trap "" TERM; echo ready; sleep 100000; sleep 100000'),
               stop={'timeout': '1h', 'kill': 'main'})
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'd'), 'it is deaf')
        (machine.services / 'd.yml').unlink()
        machine.slc('reload')
        machine.slc('stop', '--no-wait', 'd')
        result = machine.slc('start', 'd', check=False)
        assert result.returncode == 1 and 'its file is gone: ' in result.stderr, result
        machine.slc('signal', 'KILL', 'd')
        until(lambda: machine.slc('status', 'd', check=False).returncode == 4, 'it is forgotten')
