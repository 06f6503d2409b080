"""Faults of init on demand: bad instructions where it sleeps, and looks into its record."""
import contextlib
import os
import pathlib
import platform
import re
import signal
import struct

from bad_code import CODE, address_of
from harness import BUILD, FAKE, Machine, Skip, children_of, open_fds, stat_of, until

BUILD_INIT = BUILD / 'init'
NO_FILES = '(Too many open files|No file descriptors available)'  # EMFILE, as each C library says it

SLEEPS = ('128', '232', '281')  # rt_sigtimedwait, epoll_wait, epoll_pwait


def poison(machine, kind):
    """Writes the instructions to where init will go on from its sleep, and wakes it."""
    if platform.machine() != 'x86_64':
        raise Skip('the bad instructions are written for x86-64')

    def where():
        text = pathlib.Path(f'/proc/{machine.pid}/syscall').read_text(encoding='ascii').split()
        return int(text[-1], 16) if text[0] in SLEEPS and stat_of(machine.pid)[1] == 'S' else None

    at = until(where, 'init sleeps')
    with open(f'/proc/{machine.pid}/mem', 'r+b', buffering=0) as memory:
        memory.seek(at)
        memory.write(CODE[kind])
    machine.signal(signal.SIGCHLD)


def poison_function(machine, symbol, kind):
    """The next call of that function is a fault."""
    maps = pathlib.Path(f'/proc/{machine.pid}/maps').read_text(encoding='utf-8')
    at = address_of(symbol, maps, os.environ.get('CONIT_BUILD_KIND', 'asan'))
    if at is None:
        raise Skip(f'nobody can tell where {symbol} is in this init')
    with open(f'/proc/{machine.pid}/mem', 'r+b', buffering=0) as memory:
        memory.seek(at)
        memory.write(CODE[kind])


def anew(machine):
    """How often init has been executed anew so far, as the console has it."""
    return len(re.findall('executed anew', machine.console()))


def wait_anew(machine, count):
    until(lambda: anew(machine) >= count, f'init was executed anew {count} times')


# Machines with fakes for launcher and journal.

def fakes(**options):
    return Machine(launcher=FAKE, journal=FAKE, **options)


def crashing(*plan, launcher=FAKE, journal=FAKE):
    if os.environ.get('CONIT_BUILD_KIND') == 'release':
        raise Skip('a release build has no points to crash at')
    return Machine(launcher=launcher, journal=journal, environment={'CONIT_CRASH': ','.join(plan)})


def zombies(machine):
    return [pid for pid, (_, state, _) in children_of(machine.pid).items() if state == 'Z']


def ended(launcher, count):
    pairs = []
    while len(pairs) < count:
        pairs += launcher.wait('ENDED')['ended']
    return pairs


def faults(machine):
    """How many init has said it had; what is written is read a little later."""
    with contextlib.suppress(AssertionError):
        machine.wait_console('A fault of init itself', 1)
    return len(re.findall('A fault of init itself', machine.console()))


def minimal(machine):
    """Three faults within a minute."""
    for number in (1, 2, 3):
        poison(machine, 'SIGILL')
        machine.wait_console(rf'number={number} signal=SIGILL')
    machine.wait_console('Init has had too many faults')


# The record, by its own table: docs/init-record.md.
HEAD, ROW = struct.Struct('=8sIIIIQ'), struct.Struct('=IIIIQ')
OWN, WORDS, CHILDREN, ENDING, FAULTS, UPGRADE = 1, 2, 3, 5, 15, 16
FAULTS_QUIET_AT = 40  # quiet_at_ns in its element
UPGRADE_KILLED = 52  # killed in its element, four numbers


def record_path(machine):
    found = [fd for fd, name in open_fds(machine.pid).items() if 'memfd:init-record' in name]
    assert len(found) == 1, f'init has {len(found)} records'
    return f'/proc/{machine.pid}/fd/{found[0]}'


def rows_of(record):
    """{id: (count, element_bytes, at)}"""
    magic, _, _, count, row_bytes, _ = HEAD.unpack_from(record)
    assert magic == b'conit 1\0', magic
    rows = [ROW.unpack_from(record, HEAD.size + i * row_bytes) for i in range(count)]
    return {row[0]: (row[1], row[2], row[4]) for row in rows}


def write_field(machine, field, offset, data):
    with open(record_path(machine), 'r+b', buffering=0) as record:
        record.seek(rows_of(record.read(4096))[field][2] + offset)
        record.write(data)


def read_field(machine, field, offset, count):
    with open(record_path(machine), 'rb', buffering=0) as record:
        record.seek(rows_of(record.read(4096))[field][2] + offset)
        return record.read(count)


def killed(machine):
    """The pids that init has noted as killed, still to be reaped."""
    return [pid for pid in struct.unpack('=4i', read_field(machine, UPGRADE, UPGRADE_KILLED, 16)) if pid]


def leave_minimal(machine):
    """Its ten quiet minutes are over."""
    write_field(machine, FAULTS, FAULTS_QUIET_AT, struct.pack('=Q', 1))
    machine.wait_console('No fault for ten minutes')
