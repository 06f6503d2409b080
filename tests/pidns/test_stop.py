"""How services are stopped: signals, time-outs, hooks, and what they leave behind."""
import os
import re
import resource
import signal
import time

from harness import Machine, until
from services import (PYTHON, WITHOUT_CGROUP, booted, booting, define, events, kill, look,
                      need_cgroup, outer_pid, printed, shell, sleeps, wait, words)

# Says which signal it got, and goes on.
STUBBORN = ('for s in HUP INT QUIT USR1 USR2 TERM; do trap "echo got-$s" $s; done; echo ready; '
            'while :; do sleep 1000 & wait $!; done')
POLITE = words(PYTHON, '-IS', '-c', r'''
import signal
signals = [getattr(signal, "SIG" + name) for name in ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM")]
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
print("got-" + signal.Signals(signal.sigwait(signals)).name[3:], flush=True)
''')


def ready(machine, *names):
    for name in names:
        until(lambda: 'ready' in printed(machine, name), f'{name} is set up')


def test_term_is_sent_or_the_signal_that_the_file_names():
    with Machine() as machine:
        define(machine, 'plain', exec=POLITE)
        for signal in ('INT', 'USR1', 'HUP', 'QUIT'):
            define(machine, signal.lower(), exec=POLITE, stop={'signal': signal})
        booted(machine)
        ready(machine, 'plain', 'int', 'usr1', 'hup', 'quit')
        machine.slc('stop', 'plain', 'int', 'usr1', 'hup', 'quit')
        for name, signal in (('plain', 'TERM'), ('int', 'INT'), ('usr1', 'USR1'), ('hup', 'HUP'),
                             ('quit', 'QUIT')):
            assert printed(machine, name) == f'ready\ngot-{signal}\n', printed(machine, name)
            assert look(machine, name)['state'] == 'stopped'
            assert look(machine, name)['exit'] == {'code': 0}


def test_what_ignores_the_signal_is_killed_after_its_time_and_stop_returns_only_then():
    with Machine() as machine:
        define(machine, 'stubborn', exec=shell(STUBBORN), stop={'timeout': '300ms'})
        booted(machine)
        ready(machine, 'stubborn')
        begin = time.monotonic()
        result = machine.slc('stop', 'stubborn')
        assert time.monotonic() - begin >= 0.3, result
        status = look(machine, 'stubborn')
        assert status['state'] == 'stopped' and status['exit'] == {'signal': 'SIGKILL'}, status
        assert status['reason'] == 'did not stop within 300 ms and was killed', status
        assert status['pid'] is None and status['processes'] == [], status
        assert 'got-TERM' in printed(machine, 'stubborn')
        assert sleeps(machine, '1000') == 0


def test_a_stop_without_a_time_out_is_waited_for_by_every_launcher():
    with Machine() as machine:
        for name, timeout in (('patient', 'never'), ('other', '1h')):
            define(machine, name, exec=shell(STUBBORN), stop={'timeout': timeout})
        booted(machine)
        ready(machine, 'patient', 'other')
        machine.slc('stop', '--no-wait', 'patient', 'other')
        for name in ('patient', 'other'):
            until(lambda: 'got-TERM' in printed(machine, name), f'{name} was told')
        for _ in range(2):
            found = look(machine, 'patient')
            assert (found['state'], found['next']) == ('stopping', None), found
            assert look(machine, 'other')['next'], look(machine, 'other')
            machine.kill_launcher()
        machine.slc('signal', 'KILL', 'patient', 'other')
        assert wait(machine, 'patient', 'stopped')['reason'] == 'was asked to stop'


def test_what_was_killed_with_all_its_processes_starts_again():
    with Machine() as machine:
        log = machine.folder / 'log'
        define(machine, 'd', exec=shell('trap "" TERM; (trap "" TERM; sleep 111) & echo ready; '
                                        'while :; do sleep 1000; done'),
               stop={'timeout': '50ms'}, after_stop=[shell(f'echo after >>{log}')])
        booted(machine)
        for count in range(1, 4):
            until(lambda: printed(machine, 'd').count('ready') == count, 'it is set up')
            machine.slc('stop', 'd')
            assert log.read_text() == 'after\n' * count, count
            assert sleeps(machine, '111') == 0
            machine.slc('start', 'd')
            assert look(machine, 'd')['state'] == 'running', look(machine, 'd')
        machine.kill_launcher()
        machine.slc('restart', 'd')
        assert look(machine, 'd')['state'] == 'running', look(machine, 'd')
        assert look(machine, 'd')['restarts'] == 0


def test_a_stopped_process_can_be_stopped():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000', stop={'timeout': '20s'})
        booted(machine)
        kill(machine, 'd', 19)
        machine.slc('stop', '--timeout', '10s', 'd')
        assert look(machine, 'd')['exit'] == {'signal': 'SIGTERM'}


def test_nothing_of_it_is_left_even_in_sessions_of_its_own():
    with Machine() as machine:
        need_cgroup(machine)
        for mode in ('all', 'group', 'main'):
            define(machine, mode, stop={'kill': mode}, exec=shell(
                'setsid sh -c "trap \'\' TERM; setsid sleep 111 & exec sleep 111" & sleep 111 & '
                'while [ $(pgrep -fc "^sleep 111") -lt $N ]; do :; done; '
                'echo ready; exec sleep 222'), env={'N': '3'})
        machine.boot()
        machine.wait_booted()
        ready(machine, 'all', 'group', 'main')
        for mode in ('all', 'group', 'main'):
            machine.slc('stop', mode)
            status = look(machine, mode)
            assert status['state'] == 'stopped' and status['processes'] == [], status
            assert status['exit'] == {'signal': 'SIGTERM'}, status
        assert sleeps(machine, '111') == sleeps(machine, '222') == 0


def test_kill_main_and_group_decide_who_gets_the_signal():
    child = 'trap "echo child-got-TERM" TERM; echo child; while :; do sleep 1000 & wait $!; done'
    own_session = 'trap "echo far-got-TERM" TERM; echo far; while :; do sleep 1000 & wait $!; done'
    body = (f"sh -c '{child}' & setsid sh -c '{own_session}' & "
            'trap "while ! test -e $GO; do sleep 0.02; done; exit 0" TERM; wait; wait; wait; wait')
    reached = {'all': {'child-got-TERM', 'far-got-TERM'}, 'group': {'child-got-TERM'}, 'main': set()}
    with Machine() as machine:
        need_cgroup(machine)
        for mode in reached:
            define(machine, mode, stop={'kill': mode, 'timeout': '60s'}, exec=shell(body),
                   env={'GO': f'{machine.folder}/{mode}'})
        booted(machine)
        got = lambda mode: {word for word in printed(machine, mode).split() if 'got' in word}
        for mode, who in reached.items():
            until(lambda: {'child', 'far'} <= set(printed(machine, mode).split()), mode)
            machine.slc('stop', '--no-wait', mode)
            until(lambda: who <= got(mode), f'{mode}: {who}')
            (machine.folder / mode).touch()
            wait(machine, mode, 'stopped')
            assert got(mode) == who, printed(machine, mode)


def test_without_a_cgroup_its_group_goes_with_it():
    with Machine(before=WITHOUT_CGROUP) as machine:
        define(machine, 'd', exec=shell('sleep 111 & sleep 111 & echo ready; exec sleep 222'))
        define(machine, 'crashing', restart='never',
               exec=shell('sleep 333 & sleep 333 & echo ready; exec sleep 444'))
        define(machine, 'stubborn', exec=shell(STUBBORN), stop={'timeout': '100ms'})
        booted(machine)
        ready(machine, 'd', 'crashing', 'stubborn')
        machine.slc('stop', 'd', 'stubborn')
        kill(machine, 'crashing')
        wait(machine, 'crashing', 'failed')
        for argument in ('111', '222', '333', '444', '1000'):
            assert until(lambda: sleeps(machine, argument) == 0, f'no sleep {argument} is left')


def test_hooks_run_in_order_with_the_surroundings_of_the_service():
    with Machine() as machine:
        log = machine.folder / 'order'
        say = lambda word: shell(f'echo {word} $WHO $SERVICE_NAME >>{log}')
        define(machine, 'd', env={'WHO': 'me'}, exec=shell(f'echo main >>{log}; '
               f'trap "echo got-TERM >>{log}; exit 0" TERM; while :; do sleep 1000 & wait $!; done'),
               before_start=[say('before-start-1'), say('before-start-2')],
               after_start=[shell(f'while ! grep -q main {log}; do :; done'), say('after-start')],
               before_stop=[say('before-stop-1'), say('before-stop-2')],
               stop={'exec': say('stop-exec')}, after_stop=[say('after-stop')])
        booted(machine)
        wait(machine, 'd', 'running')
        machine.slc('stop', 'd')
        lines = log.read_text().splitlines()
        assert lines == ['before-start-1 me d', 'before-start-2 me d', 'main', 'after-start me d',
                         'before-stop-1 me d', 'before-stop-2 me d', 'stop-exec me d', 'got-TERM',
                         'after-stop me d'], lines


def test_only_a_failing_before_start_changes_the_outcome():
    with Machine() as machine:
        log = machine.folder / 'order'
        say = lambda word: shell(f'echo {word} >>{log}')
        define(machine, 'bad', exec=say('bad-main'), before_start=['false', say('never')],
               after_stop=[say('bad-after-stop')], restart='never')
        define(machine, 'good', exec='sleep 100000', after_start=['false', say('good-after-start')],
               before_stop=['/no/such/hook', say('good-before-stop')], stop={'exec': 'false'},
               after_stop=['false', say('good-after-stop')])
        define(machine, 'crashes', exec='false', restart='never', before_stop=[say('no-before-stop')],
               after_stop=[say('crash-after-stop')])
        booted(machine)
        assert wait(machine, 'bad', 'failed')['reason'] == 'before-start number 1 failed'
        wait(machine, 'good', 'running')
        wait(machine, 'crashes', 'failed')
        machine.slc('stop', 'good')
        assert look(machine, 'good')['state'] == 'stopped'
        assert sorted(log.read_text().split()) == sorted([
            'bad-after-stop', 'crash-after-stop', 'good-after-start', 'good-before-stop',
            'good-after-stop']), log.read_text()
        said = ' '.join(events(machine, 'good'))
        assert 'hook' in said and 'No such file' in said, said


def test_hooks_count_into_the_time_outs():
    with Machine() as machine:
        define(machine, 'slow-start', exec='sleep 100000', before_start='sleep 777',
               start_timeout='200ms', restart='never')
        define(machine, 'slow-after', exec='sleep 100000', after_start='sleep 777',
               start_timeout='200ms', restart='never')
        define(machine, 'slow-stop', exec='sleep 100000', before_stop='sleep 777',
               stop={'timeout': '200ms'})
        define(machine, 'slow-end', exec='sleep 100000', after_stop='sleep 777',
               stop={'timeout': '200ms'})
        booted(machine)
        for name in ('slow-start', 'slow-after'):
            assert wait(machine, name, 'failed')['reason'] == 'was not ready after 200 ms', name
        machine.slc('stop', 'slow-stop', 'slow-end')
        assert look(machine, 'slow-stop')['state'] == look(machine, 'slow-end')['state'] == 'stopped'
        assert until(lambda: sleeps(machine, '777') == 0, 'no hook is left')


def test_stop_while_it_starts_ends_the_start():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000', before_start='sleep 777')
        define(machine, 'task', type='task', exec='sleep 777')
        booting(machine)
        wait(machine, 'd', 'starting')
        wait(machine, 'task', 'starting')
        machine.slc('stop', 'd', 'task')
        assert look(machine, 'd')['state'] == look(machine, 'task')['state'] == 'stopped'
        assert sleeps(machine, '777') == 0
        said = events(machine, 'd')  # that its hook was ended is what was asked for
        assert said and not any('hook' in line for line in said), said
        assert 'A hook failed' not in machine.console()


def test_after_the_time_out_all_of_it_is_killed_in_every_mode():
    for before in (None, WITHOUT_CGROUP):
        with Machine(before=before) as machine:
            for mode in ('all', 'group', 'main'):
                define(machine, mode, stop={'kill': mode, 'timeout': '200ms'}, exec=shell(
                    'trap "" TERM; sleep 111 & sleep 111 & echo ready; while :; do sleep 1; done'))
            booted(machine)
            ready(machine, 'all', 'group', 'main')
            machine.slc('stop', 'all', 'group', 'main')
            for mode in ('all', 'group', 'main'):
                status = look(machine, mode)
                assert status['state'] == 'stopped' and status['processes'] == [], status
                assert status['exit'] == {'signal': 'SIGKILL'}, status
            assert until(lambda: sleeps(machine, '111') == 0, 'no sleep is left')


def test_a_task_with_stop_exec_runs_it_when_stopped_and_at_the_end_of_the_machine():
    for verb in ('stop', 'poweroff'):
        with Machine() as machine:
            log = machine.folder / 'log'
            define(machine, 't', type='task', exec=shell(f'echo up >>{log}'),
                   stop={'exec': shell(f'echo down >>{log}')})
            booted(machine)
            wait(machine, 't', 'done')
            if verb == 'stop':
                machine.slc('stop', 't')
                assert look(machine, 't')['state'] == 'stopped'
            else:
                machine.slc('poweroff')
                assert machine.wait_end() == 0
            assert log.read_text() == 'up\ndown\n', verb


def test_stopping_one_that_takes_its_time_says_what_is_waited_for():
    with Machine() as machine:
        define(machine, 'd', exec=shell(STUBBORN), stop={'timeout': '30s'})
        booted(machine)
        ready(machine, 'd')
        result = machine.slc('--timeout', '100ms', 'stop', 'd', check=False)
        if result.returncode == 2:
            result = machine.slc('stop', '--timeout', '100ms', 'd', check=False)
        assert result.returncode == 1 and re.search('d: .*stopping|still', result.stderr), result
        assert look(machine, 'd')['state'] == 'stopping'
        kill(machine, 'd')
        assert wait(machine, 'd', 'stopped')['exit'] == {'signal': 'SIGKILL'}


def test_what_is_left_is_not_taken_for_nothing_while_the_launcher_has_no_descriptor():
    """Nor is it watched or killed without one: that is done as soon as there are some."""
    with Machine() as machine:
        need_cgroup(machine)
        define(machine, 'd', exec=shell('sleep 31337 & exec sleep 100000'), restart='never')
        booted(machine)
        until(lambda: sleeps(machine, '31337') == 1, 'its child runs')
        main = outer_pid(machine, look(machine, 'd')['pid'])
        launcher = machine.wait_pid_of('service-launcher')
        _, hard = resource.prlimit(launcher, resource.RLIMIT_NOFILE)
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, (3, hard))
        os.kill(main, signal.SIGKILL)
        machine.wait_console('cannot be seen what is left of a service.*service=d')
        assert sleeps(machine, '31337') == 1
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, (hard, hard))
        assert wait(machine, 'd', 'failed')['exit'] == {'signal': 'SIGKILL'}
        assert sleeps(machine, '31337') == 0
