"""The file of the launcher or the journal is gone, or is no good, when it has to be started again: the
program that ran before goes on, and it is said."""
import os
import shutil
import signal

from harness import BUILD, Machine, children_of
from services import booted, define, look, printed, until
from upgrading import Upgrading

NO_GOOD = {'deleted': (None, 'No such file or directory'), 'truncated': (b'', 'Exec format error'),
           'of another kind': (b'\x7fELF' + bytes(100), 'Exec format error'),
           'not executable': (0o644, 'Permission denied')}


def spoil(machine, program, what):
    file = machine.programs / program
    if what is None:
        file.unlink()
    elif isinstance(what, int):
        file.chmod(what)
    else:
        machine.put_text(program, what)


def killed(machine, program):
    """kill -9 of it; returns when the next one is there and the machine does its work."""
    kill = machine.kill_launcher if program == 'service-launcher' else machine.kill_journal
    kill()
    machine.wait_answer()
    machine.slc('restart', 'd')
    machine.quiet()


def goes_on(program):
    with Upgrading() as machine:
        define(machine, 'other', exec='sleep 100000')
        define(machine, 'd', exec=['/bin/sh', '-c', 'echo line; exec sleep 100000'])
        booted(machine)
        pid, said = look(machine, 'other')['pid'], 0
        for what, words in NO_GOOD.values():
            spoil(machine, program, what)
            for _ in range(2):
                killed(machine, program)
                said += 1
                until(lambda: machine.console().count(
                    'The file of a part of conit is no good') == said, 'it is said each time')
                last = [line for line in machine.console().splitlines() if 'no good' in line][-1]
                assert f'error="{words}"' in last and f'program={program}' in last, last
            machine.put_back(program)
        machine.put_back(program)
        killed(machine, program)
        assert machine.console().count('The file of a part of conit is no good') == said
        assert look(machine, 'other')['pid'] == pid
        assert printed(machine, 'd') == 'line\n' * (2 * len(NO_GOOD) + 2)


def test_a_launcher_whose_file_is_no_good_is_started_from_what_ran_before():
    goes_on('service-launcher')


def test_a_journal_whose_file_is_no_good_is_started_from_what_ran_before():
    goes_on('service-journal')


def test_a_file_that_does_not_get_ready_is_given_up_for_what_ran_before():
    with Upgrading() as machine:
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        pid = look(machine, 'd')['pid']
        machine.put_text('service-launcher', '#!/bin/sh\nexit 3\n')
        os.kill(machine.wait_pid_of('service-launcher'), signal.SIGKILL)
        machine.wait_console('no good.*error="what it starts does not get ready"')
        machine.wait_answer()
        assert look(machine, 'd')['pid'] == pid and look(machine, 'd')['state'] == 'running'


HANGS = '#!/bin/sh\nkill -STOP $$\nexit 3\n'


def hangs(program, meanwhile):
    """One that hangs is killed, and what ran before goes on: nothing is restarted or lost."""
    with Upgrading() as machine:
        machine.arguments += ['--start-timeout', '4']
        go = machine.folder / 'go'
        os.mkfifo(go)
        define(machine, 'd', exec=['/bin/sh', '-c', f'echo before; read word <{go}; echo meanwhile; exec sleep 100000'])
        define(machine, 'other', exec='sleep 100000')
        booted(machine)
        before = {name: look(machine, name)['pid'] for name in ('d', 'other')}
        machine.put_text(program, HANGS)
        good = machine.wait_pid_of(program)
        os.kill(good, signal.SIGKILL)
        hung = machine.wait_pid_of(program, good)
        meanwhile(machine)
        with open(go, 'w', encoding='ascii') as line:
            line.write('go\n')
        machine.wait_console(rf'does not get ready: it is killed.* program={program} seconds=4')
        machine.wait_console(rf'was killed and is started again.* failures=3 .*program={program} signal=9')
        machine.wait_console(rf'no good.*error="what it starts does not get ready" program={program}')
        assert hung not in children_of(machine.pid)
        machine.wait_answer()
        assert {name: look(machine, name)['pid'] for name in before} == before
        machine.quiet()
        assert printed(machine, 'd') == 'before\nmeanwhile\n'
        assert machine.console().count('does not get ready: it is killed') == 1
        machine.put_back(program)
        assert set(machine.upgrade().values()) == {None}


def fault_of_init(machine):
    os.kill(machine.pid, signal.SIGSEGV)
    machine.wait_console('SIGSEGV')


def test_a_launcher_that_hangs_at_its_start_is_killed_and_what_ran_before_goes_on():
    hangs('service-launcher', lambda machine: None)


def test_a_journal_that_hangs_at_its_start_is_killed_and_what_ran_before_goes_on():
    hangs('service-journal', lambda machine: None)


def test_one_that_hangs_at_its_start_is_killed_though_init_has_a_fault_meanwhile():
    hangs('service-launcher', fault_of_init)


def test_one_that_hangs_at_the_first_start_of_all_is_ended_by_an_upgrade():
    with Upgrading() as machine:
        machine.arguments += ['--start-timeout', '1']
        machine.put_text('service-journal', HANGS)
        define(machine, 'd', exec=['/bin/sh', '-c', 'echo line; exec sleep 100000'])
        booted(machine)
        machine.wait_console('nothing ran before it: it is waited for.* program=service-journal')
        machine.put_back('service-journal')
        assert machine.upgrade() == {'init': None, 'launcher': None, 'journal':
                                     'the former one does not get ready: it is killed, and started from the new file'}
        machine.quiet()
        assert printed(machine, 'd') == 'line\n'


def test_one_that_hangs_at_the_first_start_of_all_is_waited_for_and_that_is_said():
    with Machine(launcher=HANGS, arguments=['--start-timeout', '1']) as machine:
        define(machine, 'd', exec='sleep 100000')
        machine.boot()
        machine.wait_console('nothing ran before it: it is waited for.* program=service-launcher')
        hung = machine.wait_pid_of('service-launcher')
        shutil.copy2(BUILD / 'service-launcher', machine.programs / 'new')
        os.rename(machine.programs / 'new', machine.programs / 'service-launcher')
        os.kill(hung, signal.SIGKILL)  # as it says
        machine.wait_booted()
        assert look(machine, 'd')['state'] == 'running'


def test_what_ran_before_is_known_after_a_fault_of_init_too():
    with Upgrading() as machine:
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        os.kill(machine.pid, signal.SIGSEGV)
        machine.wait_console('SIGSEGV')
        machine.slc('restart', 'd')
        (machine.programs / 'service-launcher').unlink()
        machine.kill_launcher()
        machine.wait_console('no good.*error="No such file or directory"')
        assert look(machine, 'd')['state'] == 'running'


def test_what_ran_before_is_known_after_a_fault_of_init_while_it_does_not_run():
    with Upgrading() as machine:
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        pid = look(machine, 'd')['pid']
        machine.put_text('service-launcher', '#!/bin/sh\nkill -STOP $$\nexit 3\n')
        os.kill(machine.wait_pid_of('service-launcher'), signal.SIGKILL)
        script = until(lambda: [child for child, stat in children_of(machine.pid).items() if stat[1] == 'T'],
                       'what is no launcher is started')[0]
        os.kill(machine.pid, signal.SIGSEGV)
        machine.wait_console('SIGSEGV')
        machine.put_text('service-launcher', '#!/bin/sh\nexit 3\n')
        os.kill(script, signal.SIGCONT)
        machine.wait_console('no good.*error="what it starts does not get ready"')
        machine.wait_answer()
        assert look(machine, 'd')['pid'] == pid and look(machine, 'd')['state'] == 'running'


def test_output_of_a_new_service_in_the_place_of_a_former_one_is_its_own_though_no_journal_ran():
    with Upgrading() as machine:
        program = 'exec 2>/dev/null; trap "echo last of $0; exit 0" TERM; echo first of $0; : >FOLDER/$0; while :; do sleep 0.02; done'
        for name in ('stays', 'old'):
            define(machine, name, exec=['/bin/sh', '-c', program.replace('FOLDER', str(machine.folder)), name])
        booted(machine)
        until(lambda: 'first of old' in printed(machine, 'old'), 'it is read')
        machine.put_text('service-journal', '#!/bin/sh\nkill -STOP $$\nexit 3\n')
        os.kill(machine.wait_pid_of('service-journal'), signal.SIGKILL)
        script = until(lambda: [child for child, stat in children_of(machine.pid).items() if stat[1] == 'T'],
                       'what is no journal is started')[0]
        machine.slc('stop', 'old')
        (machine.services / 'old.yml').unlink()
        machine.slc('reload')
        for name in ('new', 'newer'):
            define(machine, name, exec=['/bin/sh', '-c', program.replace('FOLDER', str(machine.folder)), name])
            machine.slc('reload')
            machine.slc('start', name)
            until((machine.folder / name).exists, 'it has printed')
        machine.put_back('service-journal')
        os.kill(script, signal.SIGCONT)
        machine.wait_console('Journal goes on')
        for name in ('stays', 'new', 'newer'):
            machine.slc('stop', name)
        found = {name: printed(machine, name) for name in ('old', 'stays', 'new', 'newer')}
        assert found == {name: f'first of {name}\nlast of {name}\n' for name in found}, found
