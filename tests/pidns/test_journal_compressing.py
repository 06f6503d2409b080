"""compress-journal beside its journal: what is removed while it is at work, and its priority."""
import contextlib
import os
import pathlib
import select
import shutil
import time
import types

from harness import LIBC, Skip, until
from steps import EXIT_GROUP, FLOCK, GETDENTS64, IOPRIO_GET, IOPRIO_SET, RENAMEAT, Stepper
from test_journal import PROGRAM, SETTINGS, WAIT, machine, write_all
from test_journal_rotation import (FOR_EVER, SMALL, lines, names, numbers, read, sealed,
                                   wait_packed)
from test_journal_total import say_quota, tell

TIMEOUT = 300  # each system call is stopped at twice
# Nothing that is sealed has room: it may have been looked at again when it was compressed.
TIGHT = 1
WIDE = 1 << 30
RESTS = 2  # seconds, after it is sealed
ROUNDS = 5  # until one is fast enough


class Gate:
    """In the place of compress-journal: says that it is there, waits, and becomes it."""

    def __init__(self, m):
        folder = m.folder / 'bin'
        folder.mkdir()
        shutil.copy2(PROGRAM, folder)
        m.program = str(folder / os.path.basename(PROGRAM))
        self.paths = [folder / 'asked', folder / 'go']
        for path in self.paths:
            os.mkfifo(path)
        self.asked, self.go = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in self.paths]
        real = os.path.join(os.path.dirname(PROGRAM), 'compress-journal')
        script = folder / 'compress-journal'
        script.write_text(f'#!/bin/sh\necho $$ >{self.paths[0]}\nread -r line <{self.paths[1]}\n'
                          f'exec {real} "$@"\n', encoding='ascii')
        script.chmod(0o755)

    def wait(self):
        """The process that waits, which is the journal's child."""
        assert select.select([self.asked], [], [], WAIT)[0], 'nothing is compressed'
        return types.SimpleNamespace(pid=int(os.read(self.asked, 100)))

    def open(self):
        os.write(self.go, b'\n')

    def close(self):
        os.close(self.asked)
        os.close(self.go)


@contextlib.contextmanager
def gated(keep=FOR_EVER):
    if None in (GETDENTS64, IOPRIO_SET, RENAMEAT, EXIT_GROUP):
        raise Skip('the numbers of system calls are not known here')
    with machine(start=False) as m, contextlib.closing(Gate(m)) as gate:
        m.start()
        out = m.service(0, 'web', quota=(SMALL, keep, 0, 0, 0))
        m.drain()
        yield m, gate, Printer(m, out)
        os.close(out)


class Printer:
    def __init__(self, m, out):
        self.m, self.out, self.number = m, out, 0

    def print(self):
        write_all(self.out, lines(self.number, 200))
        self.number += 200
        self.m.drain()


def seal(m, gate, printer):
    """Prints until a file is to be compressed; returns who is to do it."""
    printer.print()
    while not sealed(m):
        printer.print()
    printer.print()  # so that `current` has something, too
    assert len(sealed(m)) == 1
    m.look('web', 0, (SMALL, FOR_EVER, 0, 0, 0))
    return gate.wait()


def has_ended(process):
    try:
        stat = pathlib.Path(f'/proc/{process.pid}/stat').read_text(encoding='latin-1')
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(')')[2].split()[0] == 'Z'


def check_gone(m, printer, where):
    """Of what was removed nothing is there, and of what was not all."""
    until(lambda: not [name for name in names(m) if name.endswith('.tmp')], 'no litter')
    assert names(m) == ['current'], (names(m), where)
    found = numbers(read(m, '-o', 'cat'))
    assert found and found == list(range(found[0], printer.number)), (where, found[:2], found[-2:])


def test_what_the_quota_removes_does_not_come_back_wherever_its_compressor_is():
    with gated() as (m, gate, printer):
        steps, more = 0, True
        while more:
            tell(m, WIDE)
            process = seal(m, gate, printer)
            compressor = Stepper(process)
            gate.open()
            assert compressor.until(IOPRIO_SET) is not None, 'it has begun'
            more = compressor.step(steps)
            tell(m, TIGHT)
            until(lambda: not sealed(m), 'it is removed')
            compressor.release()
            until(lambda: has_ended(process), 'the compressor has ended')
            m.drain()
            check_gone(m, printer, steps)
            steps += 1
        assert steps > 20, steps


def remove_at_steps(held_at):
    """Holds the compressor at a system call and the journal at each one of a removal, and lets the
    compressor end before the journal goes on."""
    with gated() as (m, gate, printer):
        steps, more = 0, True
        while more:
            tell(m, WIDE)
            process = seal(m, gate, printer)
            compressor = Stepper(process)
            gate.open()
            assert compressor.until(held_at) is not None, 'it has begun'
            journal = Stepper(m.process)
            say_quota(m, TIGHT)
            assert journal.until(GETDENTS64) is not None, 'it looks into the folder'
            more = journal.step(steps)
            compressor.release()
            until(lambda: has_ended(process), 'the compressor has ended')
            journal.release()
            m.wait_done()
            until(lambda: not os.path.exists(f'/proc/{process.pid}'), 'the journal knows')
            m.drain()
            check_gone(m, printer, steps)
            steps += 1
        assert steps > 10, steps


def test_what_is_removed_does_not_come_back_when_it_is_compressed_meanwhile():
    remove_at_steps(IOPRIO_SET)


def test_what_is_removed_does_not_come_back_when_it_gets_its_name_meanwhile():
    remove_at_steps(RENAMEAT)


def names_of(process):
    """The files that it is to compress."""
    arguments = pathlib.Path(f'/proc/{process.pid}/cmdline').read_bytes().split(b'\0')
    return [argument.decode() for argument in arguments if argument.endswith(b'.log')]


def flood():
    """False: it took longer than a file rests before it is compressed, which may then begin."""
    with gated(keep=2) as (m, gate, printer):
        began = time.monotonic()
        write_all(printer.out, lines(0, 40000))
        m.drain()
        asked = bool(select.select([gate.asked], [], [], 0)[0])
        if time.monotonic() - began >= RESTS:
            return False
        assert not asked, 'one is compressed that does not stay'
        left = sealed(m)
        assert len(left) == 2
        asked = []
        while len(asked) < len(left):
            asked += names_of(gate.wait())
            gate.open()
        assert asked == left, 'each once, and nothing else'
        until(lambda: sealed(m) == [name + '.zst' for name in left], 'they are compressed')
        return True


def test_what_a_flood_has_removed_is_never_compressed_and_what_it_leaves_is():
    if not any(flood() for _ in range(ROUNDS)):
        raise Skip(f'the machine is too slow: no flood of {ROUNDS} was over within {RESTS} s')


def test_a_kill_while_compressing_begins_leaves_all_files_compressed_in_the_end():
    quota = (SMALL, FOR_EVER, 0, 0, 0)
    with machine() as m:
        out = m.service(0, 'web', quota=quota)
        m.drain()
        number = 0
        for steps in range(0, 70, 3):  # by then another program runs, and is watched
            write_all(out, lines(number, 1500))
            number += 1500
            m.drain()
            m.age('web')
            stepper = Stepper(m.process)
            m.say_link(SETTINGS, 0, quota=(SMALL, FOR_EVER + 1, 0, 0, 0))
            assert stepper.until(GETDENTS64) is not None, 'it looks into the folder'
            stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            m.look('web', 0, quota)
            wait_packed(m)
        assert numbers(read(m, '-o', 'cat')) == list(range(number))
        os.close(out)


# ---- its priority -----------------------------------------------------------------------------

IO_WHO_PROCESS, IO_CLASS_SHIFT, IO_CLASS_IDLE = 1, 13, 3  # linux/ioprio.h


def priorities_of(pid):
    return (os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid),
            LIBC.syscall(IOPRIO_GET, IO_WHO_PROCESS, pid) >> IO_CLASS_SHIFT)


def test_before_it_opens_a_file_the_compressor_has_the_lowest_priority_for_cpu_and_disk():
    if None in (FLOCK, IOPRIO_GET):
        raise Skip('the numbers of system calls are not known here')
    with gated() as (m, gate, printer):
        process = seal(m, gate, printer)
        assert priorities_of(process.pid) == priorities_of(os.getpid())
        compressor = Stepper(process)
        gate.open()
        assert compressor.until(FLOCK) is not None, 'it has opened its first file'
        assert sealed(m)[0] + '.zst' not in names(m)
        assert priorities_of(process.pid) == (os.SCHED_IDLE, 19, IO_CLASS_IDLE)
        # The journal itself steps back from nothing: services wait for it.
        assert priorities_of(m.process.pid) == priorities_of(os.getpid())
        compressor.release()
        until(lambda: names(m)[0].endswith('.zst'), 'it goes on')
