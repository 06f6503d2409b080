"""kill -9 of the launcher and of the journal: no service notices, nothing is forgotten."""
import collections
import contextlib
import json
import os
import random
import signal

from harness import Machine, below, hold, inner_pid, open_fds, stat_of, until
from services import (booted, booting, define, events, has_printed, held_back, kill, look,
                      outer_pid, printed, shell, shell_list, sleeps, wait)

KEPT = ('name', 'state', 'type', 'pid', 'since', 'restarts', 'exit', 'reason', 'description')


def picture(machine):
    """What must be the same afterwards, and the definition in force."""
    kept = {}
    for service in machine.json('list'):
        detail = look(machine, service['name'])
        kept[service['name']] = {key: service[key] for key in KEPT} | {
            'invocation': detail['invocation'], 'file': detail['file'],
            'dependencies': [(d['kind'], d['name']) for d in detail['dependencies']]}
    return kept


def strike(machine, *names):
    """kill -9, without waiting for what comes."""
    for name in names:
        pid = machine.wait_pid_of(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def populate(machine):
    for number in range(20):
        define(machine, f's{number:02}', description=f'Number {number}',
               exec=shell('trap "" USR1; echo $$; while :; do sleep 100000; done'),
               **({'needs': [f's{number - 1:02}']} if number % 3 == 1 else {}))
    define(machine, 'once', type='task', exec='true')
    define(machine, 'failed', exec=shell('exit 5'), restart='never')
    define(machine, 'back', exec=shell('exit 6'), restart={'delay': '1h'})
    define(machine, 'off', exec='sleep 100000', enabled=False)
    define(machine, 'bad', exec='sleep 100000', neds=['x'])


def test_twenty_kills_of_both_at_any_moment_change_nothing_of_twenty_services():
    with Machine() as machine:
        populate(machine)
        booted(machine)
        wait(machine, 'back', 'backing-off')
        kill(machine, 's05')
        until(lambda: look(machine, 's05')['restarts'] == 1 and
              look(machine, 's05')['state'] == 'running', 's05 is back')
        before = picture(machine)
        # A crash reads no file: these would change everything.
        for file in list(machine.services.iterdir()):
            file.unlink()
        define(machine, 's01', exec='false', description='Somebody else')
        define(machine, 'new', exec='sleep 5')
        (machine.services / 's02.yml').mkdir()
        for number in range(20):
            names = [('service-launcher',), ('service-journal',),
                     ('service-launcher', 'service-journal')][number % 3]
            strike(machine, *names)
            if number % 4 == 3:
                machine.wait_answer()
        machine.wait_answer()
        after = picture(machine)
        assert after == before, [(a, after.get(a), before.get(a)) for a in before | after
                                 if after.get(a) != before.get(a)]
        for service in before.values():
            if service['pid']:
                assert outer_pid(machine, service['pid'])
        machine.quiet()  # and no zombie is left
        # They still can be stopped, with what was in force.
        machine.slc('stop', 's00')
        assert look(machine, 's01')['state'] == 'stopped'
        assert look(machine, 's01')['reason'] == 'needs s00, which was stopped'


def test_an_exit_while_the_launcher_is_down_is_known_exactly_and_acted_on():
    with Machine() as machine:
        gate = machine.folder / 'gate'
        os.mkfifo(gate)
        define(machine, 'task7', type='task', exec=shell(f'read x <{gate}; exit 7'))
        define(machine, 'task0', type='task', exec=shell(f'read x <{gate}.0; exit 0'))
        os.mkfifo(f'{gate}.0')
        define(machine, 'after-task', exec='sleep 100000', needs=['task0'])
        define(machine, 'killed', exec='sleep 100000', restart='never')
        define(machine, 'again', exec='sleep 100000', restart={'delay': '1ms'})
        booting(machine)
        for name, state in (('task7', 'starting'), ('task0', 'starting'), ('killed', 'running'),
                            ('again', 'running'), ('after-task', 'waiting')):
            wait(machine, name, state)
        until(lambda: look(machine, 'task7')['pid'] and look(machine, 'task0')['pid'], 'they run')
        pids = {name: outer_pid(machine, look(machine, name)['pid'])
                for name in ('task7', 'task0', 'killed', 'again')}
        with held_back(machine):
            for name in (gate, f'{gate}.0'):
                with open(name, 'w', encoding='ascii') as opened:
                    opened.write('go\n')
            os.kill(pids['killed'], signal.SIGUSR1)
            os.kill(pids['again'], signal.SIGKILL)
            for pid in pids.values():
                until(lambda p=pid: stat_of(p)[1] == 'Z', 'it is a zombie')
        assert wait(machine, 'task7', 'failed')['exit'] == {'code': 7}
        assert wait(machine, 'task0', 'done')['exit'] == {'code': 0}
        assert wait(machine, 'killed', 'failed')['exit'] == {'signal': 'SIGUSR1'}
        wait(machine, 'after-task', 'running')
        again = wait(machine, 'again', 'running')
        assert again['restarts'] == 1 and again['exit'] == {'signal': 'SIGKILL'}, again
        machine.quiet()


def test_adopted_services_are_watched_as_before():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000', restart={'delay': '1ms'})
        define(machine, 'code', restart='never', exec=shell('trap "exit 9" USR1; echo ready; '
                                                            'while :; do sleep 1000 & wait $!; done'))
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'code'), 'it is set up')
        machine.kill_launcher()
        old = kill(machine, 'd')
        until(lambda: look(machine, 'd')['pid'] not in (None, old), 'it is back')
        assert look(machine, 'd')['exit'] == {'signal': 'SIGKILL'}
        kill(machine, 'code', signal.SIGUSR1)
        assert wait(machine, 'code', 'failed')['exit'] == {'code': 9}
        machine.slc('stop', 'd')
        machine.quiet()


def test_a_start_a_stop_and_a_back_off_go_on_under_the_next_launcher():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        until_flag = f'while ! test -e {flag}; do sleep 0.02; done'
        define(machine, 'preparing', exec='sleep 100000', before_start=shell_list(until_flag))
        define(machine, 'settling', exec='sleep 100000', after_start=shell_list(until_flag))
        define(machine, 'task', type='task', exec=shell(f'{until_flag}; exit 0'))
        define(machine, 'leaving', exec='sleep 100000', before_stop=shell_list(until_flag),
               stop={'timeout': '60s'},
               after_stop=shell_list(f'echo after >>{flag}.after'))
        define(machine, 'stubborn', exec=shell('trap "" TERM; echo ready; while :; do sleep 1; done'),
               stop={'timeout': '4s'})
        define(machine, 'back', exec=shell('exit 6'), restart={'delay': '1h', 'jitter': 0})
        define(machine, 'soon', exec=shell(f'{until_flag}; exit 6'), restart={
            'delay': '300ms', 'factor': 1, 'jitter': 0, 'limit': 2})
        define(machine, 'waiting', exec='sleep 100000', needs=['task'])
        booting(machine)
        wait(machine, 'leaving', 'running')
        wait(machine, 'stubborn', 'running')
        until(lambda: 'ready' in printed(machine, 'stubborn'), 'it is set up')
        wait(machine, 'back', 'backing-off')
        due = look(machine, 'back')['next']
        assert due, look(machine, 'back')
        machine.slc('stop', '--no-wait', 'leaving', 'stubborn')
        for name, state in (('stubborn', 'stopping'), ('leaving', 'stopping'),
                            ('preparing', 'starting'), ('settling', 'starting'),
                            ('task', 'starting'), ('waiting', 'waiting')):
            wait(machine, name, state)
        for _ in range(3):
            machine.kill_launcher()
        assert look(machine, 'back')['next'] == due
        flag.write_text('')
        wait(machine, 'leaving', 'stopped')
        machine.kill_launcher()
        for name, state in (('preparing', 'running'), ('settling', 'running'), ('task', 'done'),
                            ('leaving', 'stopped'), ('waiting', 'running'),
                            ('stubborn', 'stopped'), ('back', 'backing-off'), ('soon', 'failed')):
            wait(machine, name, state)
        assert look(machine, 'stubborn')['exit'] == {'signal': 'SIGKILL'}
        assert look(machine, 'soon')['restarts'] == 2
        assert (machine.folder / 'flag.after').read_text() == 'after\n'


def test_kills_while_a_hundred_start_start_each_once_and_forget_none():
    with Machine() as machine:
        log = machine.folder / 'starts'
        for number in range(100):
            define(machine, f's{number}', exec=shell(f'echo s{number} $$ >>{log}; '
                                                     'exec sleep 100000'),
                   **({'needs': [f's{number - 10}']} if number >= 10 else {}))
        machine.boot()
        dice = random.Random(os.getpid())
        for _ in range(8):
            until(lambda: machine.pid_of('service-launcher'), 'a launcher runs')
            strike(machine, *dice.choice([('service-launcher',), ('service-journal',),
                                          ('service-launcher', 'service-journal')]))
        machine.wait_answer()
        for number in range(90, 100):
            wait(machine, f's{number}', 'running')
        services = machine.json('list')
        assert len(services) == 100
        assert {service['state'] for service in services} == {'running'}, services
        # One that a dead launcher was about to execute has its name still, and may have been struck
        # in the place of the next, before it has spoken or just after that.
        assert sum(service['restarts'] for service in services) <= 8, services
        until(lambda: all(f'{service["name"]} {service["pid"]}\n' in log.read_text() for service in services),
              'all have spoken')
        lines = dict(line.split() for line in log.read_text().splitlines())
        spoken = collections.Counter(line.split()[0] for line in log.read_text().splitlines())
        twice = {service['name'] for service in services if spoken[service['name']] > 1 + service['restarts']}
        assert not twice, sorted(log.read_text().splitlines())
        assert lines == {service['name']: str(service['pid']) for service in services}
        assert sleeps(machine, '100000') == 100
        machine.quiet()


def test_a_kill_during_the_end_of_the_machine_does_not_stop_the_end():
    with Machine() as machine:
        log = machine.folder / 'order'
        gate = machine.folder / 'gate'
        define(machine, 'bottom', exec='sleep 100000', after_stop=shell_list(f'echo bottom >>{log}'))
        define(machine, 'top', exec='sleep 100000', needs=['bottom'], before_stop=shell_list(
            f'echo begun >>{log}; while ! test -e {gate}; do sleep 0.02; done'),
            after_stop=shell_list(f'echo top >>{log}'))
        booted(machine)
        machine.slc('poweroff')
        until(lambda: log.exists() and 'begun' in log.read_text(), 'the stop has begun')
        strike(machine, 'service-launcher', 'service-journal')
        machine.wait_pid_of('service-launcher')
        strike(machine, 'service-launcher')
        machine.wait_answer()
        gate.write_text('')
        assert machine.wait_end() == 0
        assert log.read_text().split() == ['begun', 'top', 'bottom']


def test_a_killed_journal_loses_no_line_and_no_service():
    with Machine() as machine:
        define(machine, 'd', exec=shell('i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); echo $i; done; '
                                        'echo end; exec sleep 100000'))
        booted(machine)
        pid = look(machine, 'd')['pid']
        for _ in range(5):
            machine.kill_journal()
        until(lambda: printed(machine, 'd').endswith('end\n'), 'all is in the journal')
        assert printed(machine, 'd').split() == [str(i) for i in range(1, 2001)] + ['end']
        assert look(machine, 'd')['pid'] == pid


def test_the_next_launcher_says_that_it_took_up_and_boots_nothing_again():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000')
        define(machine, 't', type='task', exec='echo ran')
        booted(machine)
        wait(machine, 't', 'done')
        machine.slc('stop', 'd')
        machine.kill_launcher()
        assert look(machine, 'd')['state'] == 'stopped'
        machine.wait_console('Took up where the former launcher was')
        assert printed(machine, 't') == 'ran\n'
        assert machine.slc('start', 'd').returncode == 0


def test_a_launcher_killed_during_a_reload_goes_on_with_it():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        define(machine, 'gated', exec='sleep 100000',
               reload=shell(f'echo begins; while ! test -e {flag}; do sleep 0.02; done; exit 4'))
        booted(machine)
        pid = look(machine, 'gated')['pid']
        machine.slc('reload', '--no-wait', 'gated')
        until(lambda: printed(machine, 'gated') == 'begins\n', 'it has begun')
        machine.slc('reload', '--no-wait', 'gated')
        for _ in range(3):
            machine.kill_launcher()
        assert look(machine, 'gated')['state'] == 'running'
        assert printed(machine, 'gated') == 'begins\n'
        flag.write_text('')
        # The second was asked for, and is done too.
        until(lambda: printed(machine, 'gated').count('begins') == 2, 'the second has begun')
        until(lambda: look(machine, 'gated')['reason'] == 'its reload command exited with 4' and
              len(look(machine, 'gated')['processes']) == 1, 'both have ended')
        assert events(machine, 'gated').count('not reloaded: its reload command exited with 4') == 2
        assert look(machine, 'gated')['pid'] == pid
        flag.unlink()
        # A stop under the next launcher ends the command that the former one began.
        machine.slc('reload', '--no-wait', 'gated')
        until(lambda: printed(machine, 'gated').count('begins') == 3, 'the third has begun')
        machine.kill_launcher()
        machine.slc('stop', 'gated')
        assert look(machine, 'gated')['state'] == 'stopped'
        until(lambda: not [c for c in machine.children().values() if c[0] == 'sh'], 'it is gone')


def test_an_adopted_service_gets_its_signals_and_reloads():
    with Machine() as machine:
        define(machine, 'counts', exec=shell('trap "echo HUP" HUP; trap "echo USR1" USR1; echo ready; '
                                         'while :; do sleep 100000 & wait $!; kill $!; done'),
               reload='signal HUP')
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'counts'), 'it is set up')
        machine.kill_launcher()
        machine.slc('signal', 'USR1', 'counts')
        machine.slc('reload', 'counts')
        until(lambda: 'USR1' in printed(machine, 'counts') and 'HUP' in printed(machine, 'counts'),
              'it got both')


SAYS_LAST = shell('trap "echo last; exit 0" TERM; echo ready; while :; do sleep 100000 & wait $!; done')


def test_what_is_printed_last_is_kept_though_the_journal_is_killed_before_it_reads_it():
    with Machine() as machine:
        define(machine, 'stopped', exec=SAYS_LAST)
        define(machine, 'gone', exec=SAYS_LAST)
        booted(machine)
        for name in ('stopped', 'gone'):
            until(lambda n=name: printed(machine, n) == 'ready\n', 'it is set up')
        machine.quiet()
        before = len(open_fds(machine.pid))
        (machine.services / 'gone.yml').unlink()
        machine.slc('reload')
        journal = machine.wait_pid_of('service-journal')
        hold(journal)
        machine.slc('stop', 'stopped', 'gone')
        assert machine.state_of('stopped') == 'stopped' and machine.state_of('gone') is None
        machine.kill_launcher()  # what it waits for is not lost either
        os.kill(journal, signal.SIGKILL)
        machine.wait_pid_of('service-journal', journal)
        for name in ('stopped', 'gone'):
            has_printed(machine, name, 'last\n')
            assert printed(machine, name).count('last') == 1, printed(machine, name)
        machine.quiet()
        until(lambda: len(open_fds(machine.pid)) == before - 2, 'init holds their pipes no more')
        machine.slc('start', 'stopped')
        has_printed(machine, 'stopped', 'ready\n', 2)


def test_every_end_is_told_once_though_the_launcher_is_killed_before_the_journal_hears_it():
    with Machine() as machine:
        # More than what is on the way between the two: the rest is in the launcher only.
        names = [f's{number:03}' for number in range(80)]
        for name in names:
            define(machine, name, exec='sleep 100000', restart='never')
        booted(machine)
        pids = {service['name']: service['pid'] for service in machine.json('list')}
        machine.quiet()
        outside = {inner_pid(pid): pid for pid, stat in below(machine.pid).items()
                   if stat[0] == 'sleep'}
        journal = machine.wait_pid_of('service-journal')
        hold(journal)
        for pid in pids.values():
            os.kill(outside[pid], signal.SIGUSR1)
        until(lambda: {service['state'] for service in machine.json('list')} == {'failed'},
              'all have ended', interval=0.1)
        machine.kill_launcher()
        os.kill(journal, signal.SIGCONT)
        machine.quiet()
        told = collections.defaultdict(list)
        for line in machine.slc('journal', '-o', 'json').stdout.splitlines():
            line = json.loads(line)
            told[line['service']].append(line['message'])
        for name in names:
            assert told[name] == [f'started pid={pids[name]}', f'ended pid={pids[name]} signal=SIGUSR1',
                                  'failed: ended by SIGUSR1'], (name, told[name])


def test_a_launcher_that_is_started_again_calls_nobody_failed_who_waits_for_the_next_try():
    with Machine() as machine:
        define(machine, 'back', exec=shell('exit 6'), restart={'delay': '1h', 'jitter': 0})
        define(machine, 'failed', exec=shell('exit 6'), restart='never')
        define(machine, 'runs', exec='sleep 100000')
        booted(machine)
        wait(machine, 'back', 'backing-off')
        wait(machine, 'failed', 'failed')
        machine.kill_launcher()
        said = r'Started +failed=1 names=failed restarting=1 restarting_names=back running=1\n'
        machine.wait_console(rf'(?s)\] Started  .*\] {said}')  # the second one
