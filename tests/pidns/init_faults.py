"""Faults of init on demand: bad instructions where it sleeps, and looks into its record."""
import contextlib
import os
import pathlib
import platform
import re
import shutil
import signal
import struct
import subprocess

from harness import BUILD, FAKE, ROOT, Machine, Skip, children_of, open_fds, stat_of, until

BUILD_INIT = BUILD / 'init'
NO_FILES = '(Too many open files|No file descriptors available)'  # EMFILE, as each C library says it

# x86-64 code, each a real fault of its kind.
CODE = {
    'SIGSEGV': bytes.fromhex('31c08b00'),                          # reads address 0
    'SIGILL': bytes.fromhex('0f0b'),                               # no instruction
    'SIGFPE': bytes.fromhex('31c9f7f1'),                           # divides by zero
    'SIGBUS': bytes.fromhex('9c810c24000004009d8b442401'),         # aligned access only, then not
    'SIGABRT': bytes.fromhex('b8270000000f0589c789c6ba06000000b8ea0000000f05'),  # as abort(3) does
    'STACK': bytes.fromhex('e8fbffffff'),                          # calls itself for ever
}


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


def address_of(symbol, maps):
    """Where a function of init is, by the file that out/ and the flat folder have copies of (which are
    stripped in out/), in a process with these /proc/PID/maps."""
    kind = os.environ.get('CONIT_BUILD_KIND', 'asan')
    file = ROOT / {'asan': 'build/test', 'release': 'build/small'}.get(kind, 'none') / 'src/init/init'
    if platform.machine() != 'x86_64' or not file.exists() or not shutil.which('nm'):
        raise Skip(f'nobody can tell where {symbol} is in init: {file}, nm, x86-64')
    listed = subprocess.run(['nm', '--defined-only', file], capture_output=True, text=True, check=True)
    found = [line.split() for line in listed.stdout.splitlines() if line.endswith(f' {symbol}')]
    assert len(found) == 1, f'{symbol} is {len(found)} times in {file}'
    base = next(line for line in maps.splitlines() if '/init' in line).split('-')[0]
    relative = file.read_bytes()[16:18] == b'\3\0'  # ET_DYN
    return int(found[0][0], 16) + (int(base, 16) if relative else 0)


def poison_function(machine, symbol, kind):
    """The next call of that function is a fault."""
    at = address_of(symbol, pathlib.Path(f'/proc/{machine.pid}/maps').read_text(encoding='utf-8'))
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
