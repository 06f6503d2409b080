"""A folder that hangs: a FUSE file system whose server never answers, in a machine's namespace.

    with HungFolder(machine, folder) as hung:
        ...                        whoever looks into `folder` inside the machine waits
        hung.wait_asked()          ... until somebody does
        hung.release()             ... and is told from here on that the server is gone
"""
import ctypes
import os
import select
import signal
import socket
import struct

from harness import DEADLINE, LIBC, Skip

CLONE_NEWNS = 0x00020000
MNT_DETACH = 2
# linux/fuse.h: fuse_in_header and the first fields of fuse_init_in; fuse_out_header and fuse_init_out.
INIT_ASKED = struct.Struct('=IIQQIIII II')
INIT_ANSWER = struct.Struct('=IiQ IIII HHII HH 8I')
FUSE_MAJOR, FUSE_MINOR = 7, 31
REQUEST_BYTES = 1 << 18


class HungFolder:
    def __init__(self, machine, folder):
        if not os.access('/dev/fuse', os.R_OK | os.W_OK):
            raise Skip('no /dev/fuse here, which makes a folder that hangs')
        self.machine, self.folder, self.pid = machine, os.fspath(folder), None
        self.control = None

    def _serve(self, control):
        """In a child: mounts it, holds its server, which says nothing, and unmounts it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        with open(f'/proc/{self.machine.pid}/ns/mnt', encoding='ascii') as namespace:
            server = os.open('/dev/fuse', os.O_RDWR)
            if LIBC.setns(namespace.fileno(), CLONE_NEWNS) < 0:
                os._exit(1)
        options = f'fd={server},rootmode=40000,user_id=0,group_id=0'
        if LIBC.mount(b'hung', self.folder.encode(), b'fuse', 0, options.encode()) < 0:
            os._exit(10)
        # Once it is told of the server, the kernel asks what it is asked: before, it only waits.
        unique = INIT_ASKED.unpack_from(os.read(server, REQUEST_BYTES))[2]
        os.write(server, INIT_ANSWER.pack(INIT_ANSWER.size, 0, unique, FUSE_MAJOR, FUSE_MINOR,
                                          0, 0, 1, 1, 4096, 1, 0, 0, *[0] * 8))
        control.send(b'r')
        while control.recv(1) == b'?':
            # What is not read yet can still be interrupted, so that who waits can be killed.
            if server in select.select([server, control], [], [])[0]:
                control.send(b'!')
        LIBC.umount2(self.folder.encode(), MNT_DETACH)
        os._exit(0)

    def __enter__(self):
        self.control, child_end = socket.socketpair()
        self.control.settimeout(DEADLINE)
        self.pid = os.fork()
        if not self.pid:
            try:
                self.control.close()
                self._serve(child_end)
            finally:
                os._exit(2)
        child_end.close()
        if not self.control.recv(1):
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.pid = None
            raise Skip(f'no FUSE file system can be mounted here ({status}, '
                       f'errno {ctypes.get_errno()})')
        return self

    def wait_asked(self):
        """Until somebody waits for an answer from it."""
        self.control.send(b'?')
        assert self.control.recv(1) == b'!', 'the server of the folder has ended'

    def release(self):
        """The server ends: everything that waits for it goes on."""
        self.control.close()
        if self.pid:
            os.waitpid(self.pid, 0)
        self.pid = None

    def __exit__(self, *error):
        self.release()
