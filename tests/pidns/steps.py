"""A process stopped at each system call of each of its threads (ptrace), and killed there.

    stepper = Stepper(process)     attached to all threads, which are stopped
    stepper.until(number)          runs to the entry of this system call of any of them
    stepper.step(count)            so many entries and exits further, of whichever comes to one
    stepper.kill()                 or release(), which lets it go on by itself
"""
import contextlib
import ctypes
import os
import platform
import signal
import time

from harness import DEADLINE, Skip

PTRACE_SYSCALL, PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO = 24, 0x4206, 0x4207, 0x420e
PTRACE_DETACH = 17
TRACESYSGOOD, WALL = 1, 0x40000000
LOOK_SECONDS = 0.02
IDLE_SECONDS = 1  # no system call for so long: nothing more is done
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
WRITEV = {'x86_64': 20, 'aarch64': 66}.get(platform.machine())
RENAMEAT = {'x86_64': 264, 'aarch64': 38}.get(platform.machine())
CLONE3 = 435
ACCESS = {'x86_64': (21, 269, 439), 'aarch64': (48, 439)}.get(platform.machine())
FDATASYNC = {'x86_64': 75, 'aarch64': 83}.get(platform.machine())
GETDENTS64 = {'x86_64': 217, 'aarch64': 61}.get(platform.machine())
FLOCK = {'x86_64': 73, 'aarch64': 32}.get(platform.machine())
IOPRIO_GET = {'x86_64': 252, 'aarch64': 31}.get(platform.machine())
IOPRIO_SET = {'x86_64': 251, 'aarch64': 30}.get(platform.machine())
EXIT_GROUP = {'x86_64': 231, 'aarch64': 94}.get(platform.machine())


def ptrace(request, pid, address=0, data=0):
    done = libc.ptrace(request, pid, address, data)
    if done < 0:
        error = ctypes.get_errno()
        raise Skip(f'no ptrace here: {os.strerror(error)}') if error in (1, 38) else \
            OSError(error, os.strerror(error))
    return done


def syscall_of(thread):
    """Its number and first argument at the entry, else None twice."""
    info = (ctypes.c_uint64 * 16)()  # op, arch; instruction, stack; number, arguments
    ptrace(PTRACE_GET_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info))
    return (info[3], info[4]) if info[0] & 0xff == 1 else (None, None)


@contextlib.contextmanager
def child_events():
    """Yields a function that waits until something has happened to a child since it was looked last,
    so many seconds at most: SIGCHLD stays pending until then, unless another thread has got it;
    so it comes back now and then without."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        yield lambda seconds: signal.sigtimedwait([signal.SIGCHLD], min(max(seconds, 0), LOOK_SECONDS))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Stepper:
    def __init__(self, process):
        if os.environ['CONIT_BUILD_KIND'] == 'tsan' and 'journal' in os.readlink(f'/proc/{process.pid}/exe'):
            raise Skip('the sanitizer has a thread of its own, which makes calls')
        self.pid = process.pid
        self.stopped = set()
        self.seen = []  # (thread, number) of what until() came across
        self.threads = [int(name) for name in os.listdir(f'/proc/{self.pid}/task')]
        for thread in self.threads:
            ptrace(PTRACE_SEIZE, thread, 0, TRACESYSGOOD)
            ptrace(PTRACE_INTERRUPT, thread)
            os.waitpid(thread, WALL)
            self.stopped.add(thread)

    def next_stop(self):
        """The thread that comes to an entry or exit next. None: all of them only wait."""
        with child_events() as wait:
            return self._next_stop(wait)

    def _next_stop(self, wait):
        for thread in self.stopped:
            ptrace(PTRACE_SYSCALL, thread)
        self.stopped.clear()
        idle = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < idle:
            thread, status = os.waitpid(-1, WALL | os.WNOHANG)
            if not thread:
                wait(idle - time.monotonic())
                continue
            assert os.WIFSTOPPED(status), status
            if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                self.stopped.add(thread)
                return thread
            event = status >> 16
            ptrace(PTRACE_SYSCALL, thread, 0, 0 if event else os.WSTOPSIG(status))
        return None

    def step(self, count):
        """Returns whether there were so many, before the end of the process."""
        return all(self._step() for _ in range(count))

    def _step(self):
        thread = self.next_stop()
        return bool(thread) and syscall_of(thread)[0] != EXIT_GROUP

    def until(self, number):
        """Returns its first argument, or None when there was none of it."""
        end = time.monotonic() + DEADLINE * 4
        while time.monotonic() < end:
            thread = self.next_stop()
            if not thread:
                return None
            found, argument = syscall_of(thread)
            self.seen.append((thread, found))
            if found == number:
                return argument
        return None

    def release(self):
        for thread in self.threads:
            number = 0
            if thread not in self.stopped:
                ptrace(PTRACE_INTERRUPT, thread)
                status = os.waitpid(thread, WALL)[1]
                if not status >> 16 and os.WSTOPSIG(status) != signal.SIGTRAP | 0x80:
                    number = os.WSTOPSIG(status)  # one that came to it just then
            ptrace(PTRACE_DETACH, thread, 0, number)

    def close(self):
        self.kill()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while True:
            thread, status = os.waitpid(-1, WALL)
            if thread == self.pid and not os.WIFSTOPPED(status):
                return


class Stopped:
    """All threads of a process but the first one are stopped, as on a disk that hangs."""

    def __init__(self, process):
        self.threads = [int(name) for name in os.listdir(f'/proc/{process.pid}/task')
                        if int(name) != process.pid]

    def __enter__(self):
        for thread in self.threads:
            ptrace(PTRACE_SEIZE, thread)
            ptrace(PTRACE_INTERRUPT, thread)
            os.waitpid(thread, WALL)
        return self

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        for thread in self.threads:
            os.waitpid(thread, WALL)

    def __exit__(self, *error):
        for thread in self.threads:
            libc.ptrace(PTRACE_DETACH, thread, None, None)  # unless it was killed
