"""A fault inside init: it is executed anew with its record, and nobody notices but the log."""
import os
import pathlib
import random
import re
import signal
import struct

from harness import open_fds, stat_of, until
from init_faults import (CODE, FAULTS, FAULTS_QUIET_AT, anew, ended, fakes, minimal, poison, wait_anew,
                         write_field, zombies)

ROUNDS = 40  # of the storm


def read(machine, name):
    return pathlib.Path(f'/proc/{machine.pid}/{name}').read_bytes()


def check_goes_on(machine, launcher, keys):
    """Held descriptors, reports and restarts are as ever."""
    held = {key: f'{key} {launcher.started["inner"]}' for key in keys}
    launcher.do('orphans', count=3)
    launcher.wait('SPAWNED')
    assert {status for _, status in ended(launcher, 3)} == {3 << 8}
    launcher.kill()
    launcher = machine.launcher.start_ready()
    found = launcher.held()
    assert found == held, (found, held)
    launcher.store(keys)
    launcher.sync()
    return launcher


def test_each_kind_of_fault_is_a_line_in_the_log_and_nothing_else():
    keys = [0, 17, 131072, 393183]
    for kinds in (('SIGSEGV', 'SIGILL'), ('SIGFPE', 'SIGBUS'), ('SIGABRT', 'STACK')):
        with fakes() as machine:
            machine.boot()
            launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
            launcher.store(keys)
            launcher.sync()
            command, fds = read(machine, 'cmdline'), len(open_fds(machine.pid))
            for number, kind in enumerate(kinds, 1):
                poison(machine, kind)
                wait_anew(machine, number)
                name = 'SIGSEGV' if kind == 'STACK' else kind
                machine.wait_console(rf'A fault of init itself: .*number={number} signal={name}')
                assert launcher.pid == machine.pid_of('service-launcher')
                assert journal.pid == machine.pid_of('service-journal')
                launcher = check_goes_on(machine, launcher, keys)
            assert read(machine, 'comm') == b'init\n'
            assert read(machine, 'cmdline').rstrip(b'\0') == command.rstrip(b'\0')
            assert len(open_fds(machine.pid)) == fds
            journal.wait('LINE')
            assert 'only reaps' not in machine.console()


def test_a_signal_that_somebody_sends_is_said_with_its_sender_and_does_not_count():
    with fakes() as machine:
        machine.boot()
        launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
        launcher.store([16, 17])
        count = 0
        for name in ('SEGV', 'BUS', 'ABRT', 'ILL', 'FPE'):
            for _ in range(2):
                launcher.do('shell', command=f'echo from $$ >&2; kill -{name} 1')
                launcher.wait('SHELL')
                count += 1
                wait_anew(machine, count)
            sender = re.findall(r'^from (\d+)', machine.console(), re.M)[-1]
            machine.wait_console(rf'was sent to init.*sender={sender} signal=SIG{name} user=0')
        assert launcher.pid == machine.pid_of('service-launcher')
        assert journal.pid == machine.pid_of('service-journal')
        check_goes_on(machine, launcher, [16, 17])
        assert 'only reaps' not in machine.console() and 'A fault of init' not in machine.console()


def test_the_sender_may_be_outside_of_the_container():
    with fakes() as machine:
        machine.boot()
        machine.launcher.start_ready()
        machine.signal(signal.SIGSEGV)
        machine.wait_console(r'was sent to init.*sender=0 signal=SIGSEGV')


def test_no_end_is_missed_and_none_is_told_twice_in_a_storm():
    with fakes() as machine:
        machine.boot()
        launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
        keys = list(range(16, 616))
        launcher.store(keys)
        before = set(machine.children())
        launcher.do('orphans', count=50, wait=True)
        launcher.wait('SPAWNED')
        stay = set(machine.children()) - before
        for round_ in range(ROUNDS):
            launcher.do('orphans', count=20)
            for _ in range(50):
                machine.signal(random.choice([signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT,
                                              signal.SIGILL, signal.SIGFPE, signal.SIGHUP]))
            launcher.wait('SPAWNED')
            launcher.store([1000 + round_])
        pairs = ended(launcher, ROUNDS * 20)
        assert len({pid for pid, _ in pairs}) == len(pairs) == ROUNDS * 20
        assert {status for _, status in pairs} == {3 << 8}
        until(lambda: not zombies(machine), 'no zombie is left')
        assert stay <= set(machine.children())
        assert anew(machine) > 10
        assert launcher.pid == machine.pid_of('service-launcher')
        assert journal.pid == machine.pid_of('service-journal')
        check_goes_on(machine, launcher, keys + list(range(1000, 1000 + ROUNDS)))


def test_what_nothing_names_is_closed_and_what_is_not_there_is_left_out():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.store([16, 17])
        launcher.sync()
        count = len(open_fds(machine.pid))
        # Descriptor 16's number in the table becomes one that is not open.
        write_field(machine, 14, 16 * 4, struct.pack('=I', 3000 << 2 | 1))
        machine.signal(signal.SIGSEGV)
        machine.wait_console('left out +number=1 of=.*why="held descriptors that are not open"')
        until(lambda: len(open_fds(machine.pid)) == count - 1, 'the one without a name is closed')
        launcher.kill()
        assert set(machine.launcher.start_ready().held()) == {17}


def test_a_broken_part_of_the_record_begins_anew_and_the_rest_goes_on():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.store([16])
        launcher.sync()
        write_field(machine, 8, 0, struct.pack('=II', 5, 1 << 30))
        machine.signal(signal.SIGSEGV)
        machine.wait_console('left out.*of=lines why="a broken part of the record"')
        check_goes_on(machine, launcher, [16])


def test_after_three_faults_it_only_reaps_and_holds_and_still_ends_in_order():
    for number, status in ((signal.SIGTERM, 0), (signal.SIGUSR1, 0)):
        with fakes() as machine:
            machine.boot()
            launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
            launcher.store([16, 17, 18])
            before = set(machine.children())
            launcher.do('orphans', count=2, wait=True)
            launcher.wait('SPAWNED')
            minimal(machine)
            launcher.do('orphans', count=20)
            launcher.wait('SPAWNED')
            until(lambda: not zombies(machine), 'it reaps')
            assert set(machine.children()) > before
            assert sum('memfd:held' in name for name in open_fds(machine.pid).values()) == 3
            machine.signal(number)
            journal.wait('TERM')
            assert machine.wait_end() == status


def test_the_minimal_loop_is_left_after_ten_quiet_minutes_and_all_is_told_then():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        machine.journal.start_ready()
        launcher.store([16])
        minimal(machine)
        launcher.do('orphans', count=20)
        launcher.wait('SPAWNED')
        until(lambda: not zombies(machine), 'it reaps')
        machine.signal(signal.SIGSEGV)  # sent: changes nothing here
        assert not launcher.has('ENDED')
        # The ten minutes are over.
        write_field(machine, FAULTS, FAULTS_QUIET_AT, struct.pack('=Q', 1))
        machine.wait_console('No fault for ten minutes')
        assert len(ended(launcher, 20)) == 20
        check_goes_on(machine, launcher, [16])


def test_the_minimal_loop_is_left_by_an_upgrade():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        machine.journal.start_ready()
        launcher.store([16])
        launcher.sync()
        minimal(machine)
        launcher.do('orphans', count=5)
        launcher.wait('SPAWNED')
        launcher.store([17])  # stays in the socket, in front of it
        launcher.send('UPGRADE', argument=1)
        machine.wait_console('An upgrade is asked for')
        assert launcher.wait('UPGRADED')['argument'] == 1
        assert len(ended(launcher, 5)) == 5
        launcher.kill()
        assert set(machine.launcher.start_ready().held()) == {16, 17}


def test_a_child_that_died_meanwhile_is_started_when_the_minimal_loop_is_left():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.store([16])
        minimal(machine)
        launcher.kill()
        until(lambda: not stat_of(launcher.pid), 'it is reaped')
        write_field(machine, FAULTS, FAULTS_QUIET_AT, struct.pack('=Q', 1))
        assert set(machine.launcher.start_ready().held()) == {16}


def test_a_hanging_init_is_brought_back_by_the_second_signal():
    """The first is heeded at the end of the turn, which does not come."""
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.store([16])
        launcher.sync()
        CODE['LOOP'] = bytes.fromhex('ebfe')
        poison(machine, 'LOOP')
        until(lambda: stat_of(machine.pid)[1] == 'R', 'it turns in a circle')

        def brought_back():
            machine.signal(signal.SIGSEGV)
            return anew(machine)

        until(brought_back, 'it is executed anew', interval=0.3)
        check_goes_on(machine, launcher, [16])


def test_without_its_file_and_its_folder_it_still_executes_anew():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.store([16])
        launcher.sync()
        os.unlink(machine.programs / 'init')
        poison(machine, 'SIGSEGV')
        machine.wait_console('A fault of init itself')
        check_goes_on(machine, launcher, [16])
