"""slc upgrade: new programs under running services, and what becomes of programs that are no good."""
import contextlib
import os
import signal
import subprocess
import threading

from harness import BUILD, DEADLINE, until
from services import booted, define, look, outer_pid, printed, shell, wait
from test_survive import picture, populate
from upgrading import PARTS, Upgrading

UPGRADED = dict.fromkeys(PARTS)


def pids_of(machine):
    return machine.pid_of('service-launcher'), machine.pid_of('service-journal')


def test_nothing_of_the_services_changes_and_both_children_are_others():
    with Upgrading() as machine:
        populate(machine)
        booted(machine)
        wait(machine, 'back', 'backing-off')
        before, children = picture(machine), pids_of(machine)
        for _ in range(3):
            assert machine.upgrade() == UPGRADED
            after = picture(machine)
            assert after == before, [(a, after.get(a), before.get(a)) for a in before | after
                                     if after.get(a) != before.get(a)]
            now = pids_of(machine)
            assert not set(now) & set(children), (now, children)
            children = now
        for service in before.values():
            if service['pid']:
                assert outer_pid(machine, service['pid'])
        machine.quiet()


def test_all_three_are_upgraded_while_the_disk_of_the_journals_is_full_and_no_line_is_lost():
    with Upgrading() as machine:
        machine.logs.mkdir(exist_ok=True)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=128k', 'none', machine.logs], check=True)
        try:
            define(machine, 'printer', exec=shell(
                f'i=0; while [ $i -lt 9000 ]; do echo $i; i=$((i+1)); done; read x <{machine.folder}/gate; '
                'echo 9000; sleep 100000'))
            os.mkfifo(machine.folder / 'gate')
            booted(machine)
            until(lambda: look(machine, 'printer')['journal_counts']['lines'] == 9000, 'all is taken')
            for _ in range(2):
                until(lambda: not os.statvfs(machine.logs).f_bavail, 'nothing can be written any more')
                assert machine.upgrade() == UPGRADED, machine.console()
            (machine.folder / 'gate').write_text('\n', encoding='ascii')
            until(lambda: look(machine, 'printer')['journal_counts']['lines'] == 9001, 'it goes on')
            subprocess.run(['nsenter', '-m', '-t', str(machine.pid), 'mount', '-o', 'remount,size=16m',
                            machine.logs], check=True)
            expected = [str(i) for i in range(9001)]
            until(lambda: printed(machine, 'printer').split() == expected, 'all is written, once')
            assert look(machine, 'printer')['journal_counts']['dropped'] == 0
            machine.quiet()
        finally:
            subprocess.run(['umount', '-l', machine.logs], check=True)


@contextlib.contextmanager
def running(machine, *arguments):
    """slc beside the test."""
    process = subprocess.Popen([str(BUILD / 'slc'), '--runtime', str(machine.runtime), *arguments],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def in_the_middle(machine):
    """Services in the middle of whatever they can be in the middle of; each waits for its gate."""
    gate = lambda name: f'read x <{machine.folder}/gate-{name}'
    for name in ('pre', 'ready', 'post', 'stop', 'task', 'fork'):
        os.mkfifo(f'{machine.folder}/gate-{name}')
    define(machine, 'pre', exec='sleep 100000', before_start=[shell(gate('pre'))],
           start_timeout='1h')
    define(machine, 'ready', exec='sleep 100000', start_timeout='1h',
           ready={'file': f'{machine.folder}/is-ready'})
    define(machine, 'post', exec='sleep 100000', after_start=[shell(gate('post'))],
           start_timeout='1h')
    define(machine, 'behind', exec='sleep 100000', needs=['pre'])
    define(machine, 'stops', enabled=False, stop={'timeout': '1h'},
           exec=shell(f'trap "{gate("stop")}; exit 0" TERM; echo ready; while :; do sleep 1000 & '
                      'wait $!; done'))
    define(machine, 'task', type='task', exec=shell(gate('task') + '; exit 3'), restart='never',
           start_timeout='1h')
    define(machine, 'forks', type='forking', exec=shell('sleep 100000 & sleep 100000 & exit 0'))
    define(machine, 'back', exec=shell('exit 6'), restart={'delay': '1h'})


def open_gate(machine, name):
    with open(f'{machine.folder}/gate-{name}', 'w', encoding='ascii') as gate:
        gate.write('go\n')


def test_what_is_under_way_goes_on_and_who_waits_gets_the_answer():
    with Upgrading() as machine:
        in_the_middle(machine)
        machine.boot()
        machine.wait_answer()
        machine.slc('start', 'stops')
        until(lambda: 'ready' in printed(machine, 'stops'), 'it is set up')
        wait(machine, 'back', 'backing-off')
        wait(machine, 'forks', 'running')
        for name in ('pre', 'ready', 'post', 'task'):
            wait(machine, name, 'starting')
        with running(machine, 'stop', 'stops') as stop, running(machine, 'events') as events, \
                running(machine, 'start', 'behind') as start, \
                running(machine, 'wait', 'task', '--state', 'failed') as waits:
            wait(machine, 'stops', 'stopping')
            before = picture(machine)
            for _ in range(3):
                assert machine.upgrade() == UPGRADED
            after = picture(machine)
            assert after == before, [(a, after.get(a), before.get(a)) for a in before | after
                                     if after.get(a) != before.get(a)]
            open_gate(machine, 'stop')
            assert stop.wait(DEADLINE) == 0, stop.stderr.read()
            open_gate(machine, 'pre')
            assert start.wait(DEADLINE) == 0, start.stderr.read()
            open_gate(machine, 'task')
            assert waits.wait(DEADLINE) == 0, waits.stderr.read()
            assert look(machine, 'task')['exit'] == {'code': 3}
            open_gate(machine, 'post')
            (machine.folder / 'is-ready').touch()
            for name in ('pre', 'ready', 'post', 'behind', 'forks'):
                wait(machine, name, 'running')
            # What came after the upgrades is in the stream of who has followed since before.
            seen = ''
            while 'behind' not in seen:
                seen = events.stdout.readline()
                assert seen, events.stderr.read()
        machine.slc('stop', 'forks')
        assert look(machine, 'forks')['state'] == 'stopped'
        machine.quiet()


def test_a_hundred_services_that_print_lose_no_line_and_keep_their_pids():
    count = 100
    with Upgrading() as machine:
        for number in range(count):
            define(machine, f's{number:02}', exec=shell(
                'i=0; while :; do echo $i; i=$((i+1)); [ $((i % 50)) != 0 ] || sleep 0.1; done'))
        booted(machine)
        pids = {service['name']: service['pid'] for service in machine.json('list')}
        for _ in range(5):
            assert machine.upgrade() == UPGRADED
        assert {service['name']: service['pid'] for service in machine.json('list')} == pids
        machine.slc('stop', *pids)
        for name in pids:
            lines = printed(machine, name).split()
            assert lines == [str(i) for i in range(len(lines))] and lines, name
            counts = look(machine, name)['journal_counts']
            assert (counts['lines'], counts['dropped']) == (len(lines), 0), (name, counts)
        machine.quiet()


# ---- new programs that are no good ------------------------------------------------------------

def other_machine(program):
    """An executable for a machine that this is not."""
    data = bytearray((BUILD / program).read_bytes())
    data[18:20] = b'\xf3\x00' if data[18:20] != b'\xf3\x00' else b'\x3e\x00'  # RISC-V
    return bytes(data)


BAD = {
    'empty': (lambda program: b'', 'it cannot be executed: Exec format error'),
    'other machine': (other_machine, 'it cannot be executed: Exec format error'),
    'script': (lambda program: '#!/bin/sh\nexit 3\n', 'it ended with 3'),
    'crash': (lambda program: '#!/bin/sh\nkill -SEGV $$\n', 'it was ended by signal 11'),
    'not executable': (lambda program: b'\x7fELF', 'it cannot be executed: Permission denied'),
}


def check_kept(machine, part, reason):
    """That part is kept for that reason, the others are new, and everything works."""
    old = machine.pid_of(f'service-{part}')
    kept = machine.upgrade()
    other = {'journal': 'launcher', 'launcher': 'journal'}[part]
    assert kept == dict(UPGRADED, **{part: reason}), kept
    assert machine.pid_of(f'service-{part}') == old
    result = machine.slc('upgrade', check=False)
    assert result.returncode == 1, result
    assert f'slc: {part}: not upgraded, the former one goes on: {reason}\n' in result.stderr, result
    assert f'{other}: upgraded\n' in result.stdout, result
    machine.slc('restart', 'web')
    assert printed(machine, 'web').splitlines()[-1] == 'hello'


def try_bad(part):
    program = f'service-{part}'
    with Upgrading() as machine:
        define(machine, 'web', exec=shell('echo hello; exec sleep 100000'))
        define(machine, 'db', exec='sleep 100000')
        booted(machine)
        pid = look(machine, 'db')['pid']
        for name, (make, reason) in BAD.items():
            machine.put_text(program, make(program), 0o644 if name == 'not executable' else 0o755)
            check_kept(machine, part, reason)
        os.unlink(machine.programs / program)
        check_kept(machine, part, 'it cannot be executed: No such file or directory')
        machine.put_back(program)
        assert machine.upgrade() == UPGRADED
        assert look(machine, 'db')['pid'] == pid
        assert machine.log_of('conit').count('going on') >= 2 * (len(BAD) + 1)
        machine.quiet()


def test_a_new_launcher_that_is_no_good_leaves_the_former_one():
    try_bad('launcher')


def test_a_new_journal_that_is_no_good_leaves_the_former_one():
    try_bad('journal')


def test_new_programs_that_hang_are_given_up_and_what_came_meanwhile_is_acted_on():
    with Upgrading() as machine:
        define(machine, 'web', exec=shell('echo hello; exec sleep 100000'))
        define(machine, 'ends', exec=shell('exec sleep 100000'), restart='never')
        define(machine, 'fed', exec='sleep 100000', watchdog='1h')
        booted(machine)
        pid = outer_pid(machine, look(machine, 'ends')['pid'])
        for program in ('service-journal', 'service-launcher'):
            machine.put_text(program, '#!/bin/sh\nexec sleep 1000\n')
        old = pids_of(machine)
        with running(machine, '--json', 'upgrade') as upgrade:
            until(lambda: machine.pid_of('sleep'), 'a new one is tried')
            os.kill(pid, signal.SIGTERM)
            stdout, stderr = upgrade.communicate(timeout=DEADLINE)
            assert upgrade.returncode == 1, stderr
            assert stdout.count('it did not get ready within 10 s') == 2, stdout
        assert pids_of(machine) == old
        assert wait(machine, 'ends', 'failed')['exit'] == {'signal': 'SIGTERM'}
        assert 'waiting for the new programs' in stderr, stderr
        machine.quiet()


def test_a_state_that_the_new_launcher_cannot_read_is_named_and_the_former_one_goes_on():
    with Upgrading() as machine:
        define(machine, 'web', exec=shell('echo hello; exec sleep 100000'))
        booted(machine)
        # The text in force of a service that runs, in words that no launcher reads.
        launcher = machine.pid_of('service-launcher')
        for fd, name in ((fd, os.readlink(f'/proc/{launcher}/fd/{fd}'))
                         for fd in os.listdir(f'/proc/{launcher}/fd')):
            if 'conit-definitions' in name:
                with open(f'/proc/{launcher}/fd/{fd}', 'r+b') as memory:
                    text = memory.read()
                    memory.seek(text.index(b'"exec"'))
                    memory.write(b'"exes"')
        kept = machine.upgrade()
        assert kept['journal'] is None and kept['init'] is None, kept
        assert kept['launcher'].startswith(
            'A service that runs has a definition this launcher cannot read: '), kept
        assert 'web.yml' in kept['launcher'] and 'exes' in kept['launcher'], kept
        assert machine.pid_of('service-launcher') == launcher
        machine.slc('restart', 'web')
        machine.quiet()


# ---- at odd moments ---------------------------------------------------------------------------

def test_an_upgrade_at_the_end_of_the_machine_is_refused():
    with Upgrading() as machine:
        define(machine, 'stays', stop={'timeout': '1h'}, exec=shell(
            'trap "" TERM; echo ready; while :; do sleep 1000 & wait $!; done'))
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'stays'), 'it is set up')
        machine.slc('poweroff')
        result = machine.slc('upgrade', check=False)
        assert (result.returncode, result.stdout) == (1, ''), result
        assert 'slc: upgrade: ' in result.stderr and 'poweroff' in result.stderr, result


def test_a_reload_and_an_upgrade_at_once_are_both_done():
    with Upgrading() as machine:
        define(machine, 'web', exec='sleep 100000')
        booted(machine)
        pid = look(machine, 'web')['pid']
        for number in range(10):
            define(machine, f'new{number}', exec='sleep 100000')
            with running(machine, 'reload') as reload, running(machine, 'upgrade') as upgrade:
                assert reload.wait(DEADLINE) == 0, reload.stderr.read()
                assert upgrade.wait(DEADLINE) == 0, upgrade.stderr.read()
            wait(machine, f'new{number}', 'running')
        assert look(machine, 'web')['pid'] == pid
        machine.quiet()


def test_two_upgrades_at_once_are_one_and_a_refusal_or_two():
    with Upgrading() as machine:
        define(machine, 'web', exec='sleep 100000')
        booted(machine)
        with contextlib.ExitStack() as stack:
            upgrades = [stack.enter_context(running(machine, 'upgrade')) for _ in range(4)]
            done = 0
            for upgrade in upgrades:
                if upgrade.wait(DEADLINE) == 0:
                    done += 1
                else:
                    assert 'another upgrade is under way' in upgrade.stderr.read()
            assert done >= 1
        assert machine.upgrade() == UPGRADED


def test_kills_of_old_and_new_while_upgrades_are_under_way_lose_no_service_and_no_line():
    with Upgrading() as machine:
        populate(machine)
        define(machine, 'prints', exec=shell(
            'i=0; while :; do echo $i; i=$((i+1)); [ $((i % 50)) != 0 ] || sleep 0.02; done'))
        booted(machine)
        wait(machine, 'back', 'backing-off')
        before, stop = picture(machine), threading.Event()

        def strike():
            number = 0
            while not stop.wait(0.013 * (number % 17)):
                number += 1
                for pid, (name, state, _) in machine.children().items():
                    if name in ('service-launche', 'service-journal') and state != 'Z' and \
                            number % 3 != (name == 'service-journal'):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                        break
        killer = threading.Thread(target=strike)
        killer.start()
        try:
            for _ in range(15):
                result = machine.slc('upgrade', check=False, timeout=120)
                assert result.returncode in (0, 1), result
        finally:
            stop.set()
            killer.join()
        machine.wait_answer()
        after = picture(machine)
        assert after == before, [(a, after.get(a), before.get(a)) for a in before | after
                                 if after.get(a) != before.get(a)]
        assert machine.upgrade() == UPGRADED
        machine.slc('stop', 'prints')
        lines = printed(machine, 'prints').split()
        assert lines == [str(i) for i in range(len(lines))] and lines
        machine.quiet()


def test_many_upgrades_leak_nothing():
    with Upgrading() as machine:
        for number in range(10):
            define(machine, f's{number}', exec='sleep 100000')
        booted(machine)

        def held():
            machine.quiet()
            pids = [machine.pid, *pids_of(machine)]
            return [len(os.listdir(f'/proc/{pid}/fd')) for pid in pids], len(machine.children())
        for _ in range(3):
            assert machine.upgrade() == UPGRADED
        before = held()
        for _ in range(30 if os.environ['CONIT_BUILD_KIND'] == 'asan' else 200):
            assert machine.upgrade() == UPGRADED
        assert held() == before, (held(), before)
