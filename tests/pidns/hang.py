"""A folder that hangs: a FUSE file system whose server never answers, in a machine's namespace.

    with HungFolder(machine, folder) as hung:
        ...                        whoever looks into `folder` inside the machine waits
        hung.release()             ... and is told from here on that the server is gone
"""
import ctypes
import os
import signal

from harness import LIBC, Skip

CLONE_NEWNS = 0x00020000
MNT_DETACH = 2


class HungFolder:
    def __init__(self, machine, folder):
        if not os.access('/dev/fuse', os.R_OK | os.W_OK):
            raise Skip('no /dev/fuse here, which makes a folder that hangs')
        self.machine, self.folder, self.pid = machine, os.fspath(folder), None

    def _serve(self, ready):
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
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        os.write(ready, b'x')
        signal.sigwait([signal.SIGUSR1])
        LIBC.umount2(self.folder.encode(), MNT_DETACH)
        os._exit(0)

    def __enter__(self):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(reading)
                self._serve(writing)
            finally:
                os._exit(2)
        os.close(writing)
        ready = os.read(reading, 1)
        os.close(reading)
        if not ready:
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.pid = None
            raise Skip(f'no FUSE file system can be mounted here ({status}, '
                       f'errno {ctypes.get_errno()})')
        return self

    def release(self):
        """The server ends: everything that waits for it goes on."""
        if self.pid:
            os.kill(self.pid, signal.SIGUSR1)
            os.waitpid(self.pid, 0)
        self.pid = None

    def __exit__(self, *error):
        self.release()
