"""The minimal loop of init when nothing works any more: its file cannot be executed, a disk hangs."""
import os
import pathlib
import platform
import re
import select
import signal
import socket
import sys
import threading

from harness import DEADLINE, Skip, stat_of, until
from init_faults import crashing, ended, fakes, minimal

SYNC = 162  # the system call

# Goes before init: from here on sync(2) waits for an answer that nobody gives; who could is outside.
HANGING_SYNC = """
import ctypes, os, socket, struct, sys
code = b''.join(struct.pack('=HBBI', *row) for row in (
    (0x20, 0, 0, 0), (0x15, 0, 1, %d), (0x06, 0, 0, 0x7fc00000), (0x06, 0, 0, 0x7fff0000)))
code = ctypes.create_string_buffer(code)
program = struct.pack('=HxxxxxxQ', 4, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
listener = libc.syscall(317, 1, 8, program)
with socket.socket(socket.AF_UNIX) as test:
    test.connect(sys.argv[1])
    if listener < 0:
        test.send(os.strerror(ctypes.get_errno()).encode())
    else:
        socket.send_fds(test, [b'is there'], [listener])
        os.close(listener)
os.execv(sys.argv[2], sys.argv[2:])
""" % SYNC


def test_an_init_that_cannot_be_executed_anew_tries_and_says_so_less_and_less_often():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        machine.journal.start_ready()
        minimal(machine)
        (machine.programs / 'init').chmod(0o644)
        launcher.send('UPGRADE', argument=1)
        pattern = r'ERRO\[(\d+\.\d+)\] Init cannot be executed anew.* again_in_seconds=(\d+)'
        until(lambda: len(re.findall(pattern, machine.console())) >= 3, 'it has tried three times')
        said = [(float(time), int(again)) for time, again in re.findall(pattern, machine.console())]
        assert [again for _, again in said] == [1, 2, 4], said
        for (time, again), (next_time, _) in zip(said, said[1:]):
            assert next_time - time >= again - 0.01, said
        launcher.do('orphans', count=5)
        launcher.wait('SPAWNED')
        (machine.programs / 'init').chmod(0o755)
        assert launcher.wait('UPGRADED')['argument'] == 1
        assert len(ended(launcher, 5)) == 5


def is_in_its_last_resort(machine):
    """It waits for every signal there is only then, and they are not blocked meanwhile."""
    status = pathlib.Path(f'/proc/{machine.pid}/status').read_text(encoding='ascii')
    blocked = int(re.search(r'^SigBlk:\s+(\w+)$', status, re.M).group(1), 16)
    return not blocked >> (signal.SIGHUP - 1) & 1 and stat_of(machine.pid)[1] == 'S'


def test_a_disk_that_hangs_does_not_keep_the_last_resort_from_ending_the_machine():
    if platform.machine() != 'x86_64':
        raise Skip('numbers of system calls are written for x86-64')
    plan = ('turn:SEGV', 'resume:ILL', 'minimal:ILL', 'minimal:ILL', 'minimal:ILL')
    with crashing(*plan) as machine, socket.socket(socket.AF_UNIX) as server:
        script, path = machine.folder / 'hanging-sync.py', machine.folder / 'hanging-sync.socket'
        script.write_text(HANGING_SYNC)
        server.bind(str(path))
        server.listen()
        server.settimeout(DEADLINE)
        machine.before = f'exec {sys.executable} -IS {script} {path} "$0" "$@"'
        starting = threading.Thread(target=machine.boot)
        starting.start()
        with server.accept()[0] as wrapper:
            said, listeners, _, _ = socket.recv_fds(wrapper, 100, 1)
        starting.join()
        if not listeners:
            raise Skip(f'no listener of seccomp: {said.decode()}')
        try:
            until(lambda: is_in_its_last_resort(machine), 'it is in its last resort')
            machine.signal(signal.SIGUSR1)
            assert select.select(listeners, [], [], DEADLINE)[0], 'it has not asked for a sync'
            assert machine.is_alive()
            machine.wait_end()
        finally:
            os.close(listeners[0])
