"""Ends of processes while init has faults, in its minimal loop, and in an upgrade: each is told once, with its
status, and a number that the kernel gives out anew is not taken for the process that had it before."""
import os
import signal
import struct

from harness import Skip, inner_pid, stat_of, until
from init_faults import (UPGRADE, UPGRADE_KILLED, anew, crashing, ended, fakes, faults, killed, leave_minimal,
                         minimal, write_field, zombies)

JOURNAL = 2
DUMPED = 0x80  # in a status
SPAWN_DUMPING = 'cd {}; ulimit -c unlimited; (sh -c "kill -ABRT \\$\\$" &)'


def orphans(machine, launcher, count):
    """Living children of init: by their numbers outside."""
    before = set(machine.children())
    launcher.do('orphans', count=count, wait=True)
    launcher.wait('SPAWNED')
    return sorted(set(machine.children()) - before)


def kill(pid):
    signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)


def test_a_number_noted_as_killed_that_is_no_child_is_taken_back():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        write_field(machine, UPGRADE, UPGRADE_KILLED, struct.pack('=4i', 0, 30000, 0, 0))
        machine.signal(signal.SIGSEGV)
        machine.wait_console('left out +number=30000 of="one that was killed" why="no child any more"')
        assert not killed(machine)
        launcher.sync()


def test_the_minimal_loop_forgets_the_number_of_each_process_that_it_reaps():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        orphan, other = orphans(machine, launcher, 2)
        number, others = inner_pid(orphan), inner_pid(other)
        write_field(machine, UPGRADE, UPGRADE_KILLED, struct.pack('=4i', 0, number, 0, number))
        minimal(machine)
        assert killed(machine) == [number, number]
        kill(orphan)
        kill(other)
        until(lambda: not stat_of(orphan) and not stat_of(other), 'both are reaped')
        until(lambda: not killed(machine), 'the number is free for another one')
        leave_minimal(machine)
        assert ended(launcher, 1) == [[others, signal.SIGKILL]]
        launcher.sync()
        assert not launcher.has('ENDED')


def test_the_minimal_loop_tells_of_a_core_as_ever():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        command = SPAWN_DUMPING.format(machine.folder)
        launcher.do('shell', command=command)
        launcher.wait('SHELL')
        if ended(launcher, 1)[0][1] != signal.SIGABRT | DUMPED:
            raise Skip('the kernel writes no core here')
        minimal(machine)
        launcher.do('shell', command=command)
        launcher.wait('SHELL')
        until(lambda: not zombies(machine), 'it is reaped')
        leave_minimal(machine)
        assert ended(launcher, 1)[0][1] == signal.SIGABRT | DUMPED


def test_an_end_that_was_taken_from_the_kernel_before_the_minimal_loop_or_in_it_is_told_once():
    for plan in (('reaped:SEGV',) * 3, ('turn:SEGV', 'resume:ILL', 'reaped:BUS'),
                 ('turn:SEGV', 'resume:ILL', 'minimal:ILL')):
        with crashing(*plan) as machine:
            machine.boot()
            launcher = machine.launcher.accept() if 'turn:SEGV' in plan else machine.launcher.start_ready()
            launcher.do('orphans', count=30)
            launcher.wait('SPAWNED')
            machine.wait_console('Init has had too many faults.*faults=3')
            until(lambda: not zombies(machine), 'it reaps')  # pylint: disable=cell-var-from-loop
            leave_minimal(machine)
            if 'turn:SEGV' in plan:
                launcher.send('READY')
            pairs = ended(launcher, 30)
            assert len({pid for pid, _ in pairs}) == len(pairs) == 30
            assert {status for _, status in pairs} == {3 << 8}
            launcher.sync()
            assert not launcher.has('ENDED') and anew(machine) >= 1


def test_a_process_of_an_upgrade_that_is_killed_twice_is_noted_once():
    with crashing('killed:SEGV') as machine:
        machine.boot()
        launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
        launcher.send('UPGRADE', argument=JOURNAL)
        journal.wait('YIELD')
        journal.send('YIELDED')
        machine.journal.accept().do('send', type='FAILED', text='a state of version 7')
        event = launcher.wait('UPGRADED')
        assert event['status'] == JOURNAL and 'a state of version 7' in event['text'], event
        journal.wait('RESUME')
        until(lambda: not zombies(machine) and not killed(machine), 'it is reaped and forgotten')
        assert faults(machine) == 1 and not launcher.has('ENDED')
