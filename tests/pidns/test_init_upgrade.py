"""Init's side of an upgrade: itself, and new children tried beside the old ones, which are fakes."""
import os
import pathlib
import re
import resource
import shutil
import signal
import struct
import time

from harness import open_fds, stat_of, until
from init_faults import (BUILD_INIT, HEAD, NO_FILES, UPGRADE, anew, fakes, poison, record_path, write_field)

INIT, JOURNAL, LAUNCHER, ALL = 1, 2, 4, 7
TIMEOUT = 240


def boot(machine):
    machine.boot()
    return machine.launcher.start_ready(), machine.journal.start_ready()


def replace(machine, content, mode=0o755):
    """As a package does: by renaming."""
    new = machine.programs / 'init.new'
    if isinstance(content, bytes):
        new.write_bytes(content)
    else:
        shutil.copy2(content, new)
    new.chmod(mode)
    new.rename(machine.programs / 'init')


def result(launcher):
    event = launcher.wait('UPGRADED')
    launcher.send('UPGRADED_SEEN')
    return event['argument'], event['status'], event['text']


def check_goes_on(machine, launcher):
    launcher.do('orphans', count=3)
    launcher.wait('SPAWNED')
    pairs = []
    while len(pairs) < 3:
        pairs += launcher.wait('ENDED')['ended']
    assert {status for _, status in pairs} == {3 << 8}
    launcher.store([40])
    launcher.sync()
    assert machine.is_alive()


def test_init_executes_the_file_that_is_on_disk_now_and_keeps_all():
    with fakes() as machine:
        launcher, journal = boot(machine)
        launcher.store([16, 17])
        launcher.sync()
        fds = len(open_fds(machine.pid))
        old = os.stat(f'/proc/{machine.pid}/exe').st_ino
        replace(machine, BUILD_INIT)
        launcher.send('UPGRADE', argument=INIT)
        assert result(launcher) == (INIT, 0, '')
        assert os.stat(f'/proc/{machine.pid}/exe').st_ino != old
        assert stat_of(machine.pid)[0] == 'init'
        assert journal.pid == machine.pid_of('service-journal')
        check_goes_on(machine, launcher)
        launcher.send('DROP', owner=3, keys=[40])
        launcher.sync()
        assert len(open_fds(machine.pid)) == fds
        launcher.kill()
        assert set(machine.launcher.start_ready().held()) == {16, 17}
        # A fault afterwards executes the new file, and it counts as no upgrade.
        machine.signal(signal.SIGSEGV)
        until(lambda: anew(machine) == 1, 'it is executed anew')


def test_an_init_that_cannot_take_over_is_not_executed_and_says_why():
    broken = {
        'a script': (b'#!/bin/sh\nexit 0\n', 0o755, 'is a script'),
        'not executable': (BUILD_INIT, 0o644, 'it cannot be executed: Permission denied'),
        'empty': (b'', 0o755, 'it cannot be executed: Exec format error'),
        'for another machine': (elf(0xf3), 0o755, 'it cannot be executed: Exec format error'),
        'another program': ('/bin/true', 0o755, 'it did not answer as an init does'),
        'one that fails': ('/bin/false', 0o755, 'it ended with 1'),
        'one that crashes': (crashing(), 0o755, 'it was ended by signal 4'),
    }
    with fakes() as machine:
        launcher, _ = boot(machine)
        old = os.stat(f'/proc/{machine.pid}/exe').st_ino
        for what, (content, mode, why) in broken.items():
            replace(machine, content, mode)
            launcher.send('UPGRADE', argument=INIT)
            done, failed, text = result(launcher)
            assert (done, failed) == (0, INIT) and why in text, (what, text)
            assert text.startswith('init: ') and text.endswith('\n'), text
        os.unlink(machine.programs / 'init')
        launcher.send('UPGRADE', argument=INIT)
        assert 'No such file or directory' in result(launcher)[2]
        os.mkdir(machine.programs / 'init')
        launcher.send('UPGRADE', argument=INIT)
        assert 'is no regular file' in result(launcher)[2]
        assert os.stat(f'/proc/{machine.pid}/exe').st_ino == old
        check_goes_on(machine, launcher)


def elf(machine_number, code=b''):
    """A smallest static program of 64 bits."""
    size = 64 + 56 + len(code)
    head = struct.pack('<16sHHIQQQIHHHHHH', b'\x7fELF\2\1\1', 2, machine_number, 1, 0x400078, 64, 0,
                       0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack('<IIQQQQQQ', 1, 5, 0, 0x400000, 0x400000, size, size, 4096) + code


def crashing():
    return elf(62, bytes.fromhex('0f0b'))


def hanging():
    return elf(62, bytes.fromhex('b822000000' '0f05' 'ebf7'))  # pause(2) for ever


def test_an_init_that_hangs_is_given_up_after_10_s_and_the_rest_goes_on_meanwhile():
    with fakes() as machine:
        launcher, _ = boot(machine)
        replace(machine, hanging())
        launcher.send('UPGRADE', argument=INIT)
        check_goes_on(machine, launcher)
        launcher.send('UPGRADE', argument=JOURNAL)
        assert result(launcher) == (0, JOURNAL, 'journal: an upgrade is under way\n')
        assert result(launcher) == (0, INIT, 'init: it did not answer within 10 s\n')


def test_a_record_that_the_new_one_does_not_know_is_said_and_left_alone():
    with fakes() as machine:
        launcher, _ = boot(machine)
        with open(record_path(machine), 'r+b', buffering=0) as record:
            head = list(HEAD.unpack(record.read(HEAD.size)))
            head[2] = 99  # readable_from
            record.seek(0)
            record.write(HEAD.pack(*head))
        launcher.send('UPGRADE', argument=INIT)
        done, failed, text = result(launcher)
        assert (done, failed) == (0, INIT) and 'needs an init that knows version 99' in text, text
        check_goes_on(machine, launcher)


def limit_files(machine, most):
    """Returns a function that gives back what init had."""
    former = resource.prlimit(machine.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(machine.pid, resource.RLIMIT_NOFILE, (most, former[1]))
    return lambda: resource.prlimit(machine.pid, resource.RLIMIT_NOFILE, former)


def test_an_upgrade_for_which_init_has_too_few_descriptors_says_so():
    with fakes() as machine:
        launcher, _ = boot(machine)
        launcher.sync()
        # One that is free is low; the next one has to be high.
        fds = open_fds(machine.pid)
        give_back = limit_files(machine, next(fd for fd in range(16, 1000) if fd not in fds))
        launcher.send('UPGRADE', argument=INIT)
        why = result(launcher)[2]
        assert re.search(f'bin/init: {NO_FILES}\n$', why), why
        give_back()
        launcher.send('UPGRADE', argument=INIT)
        assert result(launcher) == (INIT, 0, '')


def test_a_new_child_that_cannot_be_started_is_given_up_at_once():
    for part in (JOURNAL, LAUNCHER):
        with fakes() as machine:
            launcher, journal = boot(machine)
            old = journal if part == JOURNAL else launcher
            launcher.send('UPGRADE', argument=part)
            old.wait('YIELD')
            give_back = limit_files(machine, 3)
            began = time.monotonic()
            old.send('YIELDED')
            old.wait('RESUME')
            done, failed, why = result(launcher)
            assert (done, failed) == (0, part) and re.search(f': it cannot be started: {NO_FILES}\n$', why), why
            assert time.monotonic() - began < 8, 'it was waited for'
            give_back()
            check_goes_on(machine, launcher)


def test_a_broken_upgrade_in_the_record_closes_nothing_of_others():
    with fakes() as machine:
        launcher, _ = boot(machine)
        fds = open_fds(machine.pid)
        write_field(machine, UPGRADE, 8, struct.pack('=I', 99))  # its step
        machine.signal(signal.SIGSEGV)
        machine.wait_console('left out +number=0 of=upgrade why="a broken part of the record"')
        os.unlink(machine.programs / 'init')
        launcher.send('UPGRADE', argument=INIT)
        assert 'No such file or directory' in result(launcher)[2]
        launcher.sync()
        assert {fd: name for fd, name in fds.items() if fd < 3} == \
            {fd: name for fd, name in open_fds(machine.pid).items() if fd < 3}
        check_goes_on(machine, launcher)


def trial(machine, part):
    """Asks for an upgrade of one child, which makes room. Returns (launcher, old, new)."""
    launcher, journal = boot(machine)
    launcher.store([16], owner=3)
    launcher.sync()
    old, role = (journal, machine.journal) if part == JOURNAL else (launcher, machine.launcher)
    launcher.send('UPGRADE', argument=part)
    old.wait('YIELD')
    old.send('YIELDED')
    new = role.accept()
    assert set(new.held()) == {16}
    return launcher, old, new


def test_a_new_child_that_gets_ready_takes_the_place_of_the_old_one():
    for part in (JOURNAL, LAUNCHER):
        with fakes() as machine:
            launcher, old, new = trial(machine, part)
            new.do('send', type='READY')
            new.store([17], owner=3)
            until(lambda: not stat_of(old.pid), 'the old one is gone')  # pylint: disable=cell-var-from-loop
            now = new if part == LAUNCHER else launcher
            assert result(now) == (part, 0, '')
            check_goes_on(machine, now)
            new.kill()
            role = machine.journal if part == JOURNAL else machine.launcher
            assert set(role.start_ready().held()) >= {16, 17}


def fails(machine, part, act, why):
    launcher, old, new = trial(machine, part)
    act(new)
    old.wait('RESUME')
    done, failed, text = result(launcher)
    assert (done, failed) == (0, part) and why in text, text
    until(lambda: not stat_of(new.pid), 'the new one is gone')
    assert machine.pid_of('service-journal' if part == JOURNAL else 'service-launcher') == old.pid
    check_goes_on(machine, launcher)


def test_a_new_child_that_is_no_good_is_ended_and_the_old_one_goes_on():
    for part in (JOURNAL, LAUNCHER):
        for act, why in (
                (lambda new: new.kill(), 'it was ended by signal 9'),
                (lambda new: new.do('exit', code=3), 'it ended with 3'),
                (lambda new: new.do('send', type='FAILED', text='state of version 7'),
                 'state of version 7'),
                (lambda new: new.do('send', type='STORE', owner=1, keys=[30], fds=True),
                 'it stored something before it was ready'),
                (lambda new: new.do('send', type='DROP', owner=3, keys=[16]),
                 'it stored something before it was ready'),
                (lambda new: None, 'it did not get ready within 10 s')):
            with fakes() as machine:
                fails(machine, part, act, why)


def test_what_ends_and_is_logged_during_a_trial_is_told_afterwards():
    with fakes() as machine:
        launcher, old, new = trial(machine, LAUNCHER)
        machine.journal.peers[-1].do('orphans', count=5)
        machine.journal.peers[-1].wait('SPAWNED')
        assert not old.has('ENDED') and not new.has('ENDED')
        new.send('READY')
        pairs = []
        while len(pairs) < 5:
            pairs += new.wait('ENDED')['ended']
        assert result(new) == (LAUNCHER, 0, '')
        assert launcher is old


def test_an_old_one_that_cannot_make_room_says_so_or_is_given_up():
    with fakes() as machine:
        launcher, journal = boot(machine)
        launcher.send('UPGRADE', argument=JOURNAL)
        journal.wait('YIELD')
        journal.send('FAILED', text='the disk hangs')
        assert result(launcher) == (0, JOURNAL, 'journal: the disk hangs\n')
        launcher.send('UPGRADE', argument=JOURNAL)
        journal.wait('YIELD')
        assert 'did not make room within 10 s' in result(launcher)[2]
        journal.wait('RESUME')
        journal.send('YIELDED')  # too late: it is of no account
        check_goes_on(machine, launcher)
        assert len(machine.journal.peers) == 1


def test_an_old_one_that_dies_is_started_anew_whenever_it_dies():
    with fakes() as machine:
        launcher, journal = boot(machine)
        launcher.send('UPGRADE', argument=JOURNAL)
        journal.wait('YIELD')
        journal.kill()
        assert 'ended before it had made room' in result(launcher)[2]
        machine.journal.start_ready()
        check_goes_on(machine, launcher)
    with fakes() as machine:  # the new one gets ready all the same
        launcher, old, new = trial(machine, JOURNAL)
        old.kill()
        until(lambda: not stat_of(old.pid), 'it is reaped')
        new.send('READY')
        assert result(launcher) == (JOURNAL, 0, '')
    with fakes() as machine:  # and neither is there
        launcher, old, new = trial(machine, JOURNAL)
        old.kill()
        until(lambda: not stat_of(old.pid), 'it is reaped')
        new.kill()
        assert 'it was ended by signal 9' in result(launcher)[2]
        machine.journal.start_ready()
        check_goes_on(machine, launcher)


def test_a_result_is_told_again_until_a_launcher_has_seen_it():
    with fakes() as machine:
        launcher, _ = boot(machine)
        os.unlink(machine.programs / 'init')
        launcher.send('UPGRADE', argument=INIT)
        launcher.wait('UPGRADED')
        launcher.kill()
        launcher = machine.launcher.start_ready()
        assert result(launcher)[1] == INIT
        launcher.kill()
        launcher = machine.launcher.start_ready()
        launcher.sync()
        assert not launcher.has('UPGRADED')


def test_all_three_one_after_the_other():
    with fakes() as machine:
        launcher, journal = boot(machine)
        launcher.send('UPGRADE')
        journal.wait('YIELD')
        journal.send('YIELDED')
        machine.journal.start_ready()
        launcher.wait('YIELD')
        launcher.send('YIELDED')
        new = machine.launcher.start_ready()
        assert result(new) == (ALL, 0, '')
        check_goes_on(machine, new)


def test_init_has_a_fault_in_each_part_of_an_upgrade_and_it_goes_on():
    with fakes() as machine:
        launcher, old, new = trial(machine, JOURNAL)
        poison(machine, 'SIGSEGV')
        machine.wait_console('A fault of init itself')
        new.send('READY')
        assert result(launcher) == (JOURNAL, 0, '')
        until(lambda: not stat_of(old.pid), 'the old one is gone')
        check_goes_on(machine, launcher)
    with fakes() as machine:
        launcher, journal = boot(machine)
        launcher.send('UPGRADE', argument=JOURNAL)
        journal.wait('YIELD')
        poison(machine, 'SIGSEGV')
        machine.wait_console('A fault of init itself')
        journal.send('YIELDED')
        machine.journal.start_ready()
        assert result(launcher) == (JOURNAL, 0, '')
        check_goes_on(machine, launcher)


def test_the_machine_can_go_down_in_the_middle_of_it():
    for part in (JOURNAL, LAUNCHER):
        with fakes() as machine:
            _, old, _ = trial(machine, part)
            machine.signal(signal.SIGTERM)
            old.wait('RESUME')
            if part == LAUNCHER:
                old.wait('SIGNAL')
            machine.launcher.peers[0].shut_down(1)
            machine.journal.peers[0].wait('DRAIN')
            machine.journal.peers[0].do('send', type='DRAINED')
            assert machine.wait_end() == 0
    with fakes() as machine:
        launcher, _ = boot(machine)
        machine.signal(signal.SIGTERM)
        launcher.wait('SIGNAL')
        launcher.send('UPGRADE')
        assert 'the machine is going down' in result(launcher)[2]


def test_trying_by_hand_says_what_is_wrong_with_the_use():
    import subprocess  # only here
    for words in ([], ['x', '1'], ['99999999999', '1']):
        done = subprocess.run([BUILD_INIT, '--try-state', *words], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 2 and 'RECORD NUMBER' in done.stdout, done
    done = subprocess.run([BUILD_INIT, '--try-state', '0', '1'], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and 'it is no record of an init' in done.stdout, done
    assert pathlib.Path(BUILD_INIT).exists()
