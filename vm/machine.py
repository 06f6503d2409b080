"""A virtual machine and its serial console: boots, waits for text, types, and sees the end.

    with Machine(image=path) as machine:
        machine.expect(r'login: ')
        machine.login()
        status, text = machine.run('slc list')
        machine.send('slc poweroff')
        machine.wait_end()

Nothing here sleeps: every wait is for an event (text on the console, the end of QEMU) with a
deadline, after which Timeout is raised with the console's last lines. Time in which QEMU would have
run and this machine's processors were others' does not count: a boot is some three seconds of
processor time, which is a minute where twenty others want to run.
"""
import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

QEMU = 'qemu-system-x86_64'
MEMORY = '256M'
# `norandmaps` makes a boot without KVM two to four times faster, `cryptomgr.notests=1` halves the
# kernel's own part; `loglevel=3` keeps the kernel's lines from drowning those of init.
APPEND = ('console=ttyS0 loglevel=3 norandmaps cryptomgr.notests=1 random.trust_cpu=on '
          'no_timer_check panic=-1')
BOOT_TIMEOUT = 90  # seconds; a boot takes 2 to 4 on an idle machine without KVM
COMMAND_TIMEOUT = 60
END_TIMEOUT = 60
STRETCH = 4  # a deadline gets no longer than so many times itself
TAIL_LINES = 40
# Of programs that count what they execute (make coverage): the counts are on the disk soon, for most machines
# are killed in the end.
COUNT_SOON = 'sysctl.vm.dirty_expire_centisecs=20 sysctl.vm.dirty_writeback_centisecs=20'
PR_SET_PDEATHSIG = 1
LOG_LINE = re.compile(r'(?:DEBG|INFO|WARN|ERRO|FATL)\[\d{4,}\.\d{3}\] [^\n]*\n')
ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r')


class MachineError(Exception):
    """What was waited for did not come; the text has the console's tail."""


class Timeout(MachineError):
    pass


@functools.lru_cache
def kvm_works():
    """Whether QEMU can use KVM. That /dev/kvm opens says little: it may lack the right, or be a KVM
    without the processor's help, in which a usual kernel does not even start."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        with open('/proc/cpuinfo', encoding='utf-8') as info:
            if not re.search(r'^flags\s*:.*\b(vmx|svm)\b', info.read(), re.M):
                return False
        if not os.access('/dev/kvm', os.R_OK | os.W_OK):
            return False
        probe = subprocess.run(
            [QEMU, '-accel', 'kvm', '-cpu', 'host', '-S', '-nodefaults', '-display', 'none',
             '-monitor', 'stdio'], input=b'quit\n', capture_output=True, timeout=10, check=False)
        return probe.returncode == 0
    return False


def qemu_command(kernel, image=None, folder=None, initramfs=None, append='', forwards=()):
    """QEMU's command line but for its console. `image` is an ext4 disk, `folder` a host folder that
    becomes the root by 9p. `forwards`: (port on the host's loopback, port in the machine)."""
    command = [QEMU, '-M', 'q35', '-smp', '1', '-m', MEMORY, '-no-user-config', '-nodefaults']
    command += ['-accel', 'kvm', '-cpu', 'host'] if kvm_works() else \
        ['-accel', 'tcg', '-cpu', 'qemu64,+rdrand']
    root = ''
    if image:
        drive = f'file={image},format=raw,if=none,id=disk'
        if kernel.builtin('BLK_DEV_NVME'):
            command += ['-drive', drive, '-device', 'nvme,drive=disk,serial=conit']
            root = 'root=/dev/nvme0n1 rw rootfstype=ext4 '
        else:
            command += ['-drive', drive, '-device', 'virtio-blk-pci,drive=disk']
            root = 'root=/dev/vda rw rootfstype=ext4 '
    if folder:
        model = 'none' if os.getuid() == 0 else 'mapped-xattr'
        command += ['-fsdev', f'local,id=root,path={folder},security_model={model}',
                    '-device', 'virtio-9p-pci,fsdev=root,mount_tag=root',
                    '-initrd', str(initramfs)]
    if 'CONIT_COUNTERS' in os.environ:
        append = f'{append} {COUNT_SOON}'
    ports = ''.join(f',hostfwd=tcp:127.0.0.1:{host}-:{guest}' for host, guest in forwards)
    # Without a boot ROM: its file is in a package that is not always there.
    command += ['-netdev', f'user,id=net{ports}', '-device', 'virtio-net-pci,netdev=net,romfile=']
    command += ['-kernel', str(kernel.image), '-append', f'{root}{APPEND} {append}'.strip()]
    return command


def take_counters(image, root):
    """What was counted goes out of the disk, or out of the folder that was the root, into the host's
    folder of counters."""
    counters = os.environ.get('CONIT_COUNTERS')
    if not counters:
        return
    target = tempfile.mkdtemp(prefix='machine.', dir=counters)
    if root:
        shutil.copytree(f'{root}{counters}', target, dirs_exist_ok=True)
    if not image:
        return
    # The file system of a machine that was killed is made whole in a copy first.
    environment = {**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
    copy = os.path.join(target, 'disk')
    shutil.copyfile(image, copy)
    for command in (['e2fsck', '-f', '-y', copy], ['debugfs', '-R', f'rdump {counters} {target}', copy]):
        subprocess.run(command, check=False, capture_output=True, env=environment)
    os.unlink(copy)


class Machine:
    """One run of QEMU. `append` is added to the kernel's command line."""

    def __init__(self, kernel, **options):
        self.image, self.root = options.get('image'), options.get('folder')
        self.folder = tempfile.mkdtemp(prefix='vm.')
        self.text = ''  # everything the console has said, without escapes
        self.seen = 0  # how much of it expect() has gone past
        self.commands = 0
        self.changed = threading.Condition()
        self.ended = False
        socket_path = os.path.join(self.folder, 'monitor')
        command = qemu_command(kernel, **options)
        command += ['-display', 'none', '-no-reboot', '-serial', 'stdio',
                    '-monitor', f'unix:{socket_path},server=on,wait=off']
        libc = ctypes.CDLL(None)
        self.monitor_path = socket_path
        self.qemu = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.qemu.poll() is None:
            self.qemu.kill()
        self.qemu.wait()
        self.reader.join()
        self.qemu.stdin.close()
        self.qemu.stdout.close()
        take_counters(self.image, self.root)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self):
        pending = b''
        while True:
            data = os.read(self.qemu.stdout.fileno(), 65536)
            with self.changed:
                if not data:
                    self.ended = True
                    self.changed.notify_all()
                    return
                # An escape sequence may be cut in two by the pipe.
                pending += data
                cut = pending.rfind(b'\x1b')
                whole, pending = (pending[:cut], pending[cut:]) if cut >= 0 and \
                    len(pending) - cut < 8 and not re.search(rb'[A-Za-z]', pending[cut:]) \
                    else (pending, b'')
                self.text += ESCAPES.sub('', whole.decode(errors='replace'))
                self.changed.notify_all()

    def tail(self):
        return '\n'.join('    ' + line for line in self.text.splitlines()[-TAIL_LINES:])

    def waited(self):
        """{thread: seconds in which it was ready to run, and others ran}, of QEMU's threads."""
        found = {}
        with contextlib.suppress(OSError):
            folder = f'/proc/{self.qemu.pid}/task'
            for thread in os.listdir(folder):
                with contextlib.suppress(OSError), \
                        open(f'{folder}/{thread}/schedstat', encoding='ascii') as file:
                    found[thread] = int(file.read().split()[1]) / 1e9
        return found

    def deadline(self, timeout):
        """A function that gives the seconds that are left of so many."""
        begin, before = time.monotonic(), self.waited()

        def left():
            waited = max((seconds - before.get(thread, 0)
                          for thread, seconds in self.waited().items()), default=0)
            return begin + min(timeout + waited, timeout * STRETCH) - time.monotonic()
        return left

    def silence(self):
        """Where nothing was said at all: what QEMU's processor does, for it may not have got to the
        kernel, whose addresses are ffffffff8…; our programs' are below 7fff…."""
        if self.text or self.ended:
            return ''
        try:
            found = self.monitor('info status') + self.monitor('info registers')
        except OSError as error:
            return f'\n    QEMU does not answer: {error}'
        words = re.findall(r'VM status: [^\r\n]*|\b[RE]IP=\w+|\bCR[03]=\w+|\bHLT=\d', found)
        return f'\n    it has said nothing at all; {"; ".join(words)}'

    def expect(self, pattern, timeout=COMMAND_TIMEOUT, flags=re.M, anywhere=False):
        """Waits until the pattern stands in what has come since the last match; the match.
        `anywhere`: in all that has come; later matches go on from where they were."""
        compiled = re.compile(pattern, flags)
        time_left = self.deadline(timeout)
        with self.changed:
            while True:
                match = compiled.search(self.text, 0 if anywhere else self.seen)
                if match:
                    self.seen = self.seen if anywhere else match.end()
                    return match
                left = time_left()
                if self.ended or left <= 0:
                    what = 'the machine ended' if self.ended else f'not within {timeout} s'
                    kind = MachineError if self.ended else Timeout
                    raise kind(f'waiting for {pattern!r}: {what}; the console:\n{self.tail()}'
                               f'{self.silence()}')
                self.changed.wait(left)

    def send(self, text, end='\n'):
        try:
            self.qemu.stdin.write((text + end).encode())
            self.qemu.stdin.flush()
        except BrokenPipeError as error:
            raise MachineError(f'the machine ended; the console:\n{self.tail()}') from error

    def login(self, timeout=BOOT_TIMEOUT):
        """From the boot to a shell whose prompt and echo are out of the way."""
        self.expect(r'\w login: ', timeout)
        self.send('root')
        self.expect(r'# ')
        self.send("stty -echo; PS1=; PS2=; export PAGER=cat; echo logged'-in'")
        self.expect(r'^logged-in\n')

    def wait_started(self, timeout=BOOT_TIMEOUT):
        """After login(): until the boot is over; the line that says so, from its message on, out of
        the journal. The console gets what it has room for while others write to it."""
        text = self.check(r"until slc journal conit | sed -n 's/.*\] Started  /Started  /p' | grep .; "
                          'do usleep 50000; done', timeout)
        return re.search(r'^Started  +failed=.*$', text, re.M).group()

    def run(self, command, timeout=COMMAND_TIMEOUT):
        """(exit status, output) of a command in the shell on the console. Log lines that came in
        between, or in the middle of a line, are taken out."""
        self.commands += 1
        mark = f'{self.commands}={os.getpid()}'
        self.send(f"echo begin'-'{mark}; {{ {command}\n}} 2>&1; echo end'-'{mark}=$?")
        self.expect(rf'begin-{mark}\n', timeout)
        match = self.expect(rf'(?s:(.*?))end-{mark}=(\d+)\n', timeout, 0)
        return int(match.group(2)), LOG_LINE.sub('', match.group(1))

    def check(self, command, timeout=COMMAND_TIMEOUT):
        """The output of a command that has to end with 0."""
        status, text = self.run(command, timeout)
        if status != 0:
            raise MachineError(f'{command!r} ended with {status}: {text}')
        return text

    def monitor(self, command):
        """One command to QEMU's monitor."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(COMMAND_TIMEOUT)
            time_left = self.deadline(COMMAND_TIMEOUT)
            while True:  # QEMU makes it soon after it has started
                try:
                    channel.connect(self.monitor_path)
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    if self.ended or time_left() <= 0:
                        raise
                    time.sleep(0.02)
            self._until_prompt(channel)
            channel.sendall(command.encode() + b'\n')
            return self._until_prompt(channel)

    @staticmethod
    def _until_prompt(channel):
        text = b''
        while not text.endswith(b'(qemu) '):
            data = channel.recv(4096)
            if not data:
                break
            text += data
        return text.decode(errors='replace')

    def wait_end(self, timeout=END_TIMEOUT):
        """Waits until QEMU ends by itself: a power-off, or a reboot, which is an end here."""
        time_left = self.deadline(timeout)
        with self.changed:
            while not self.ended:
                left = time_left()
                if left <= 0:
                    raise Timeout(f'the machine runs on after {timeout} s; the console:\n'
                                  f'{self.tail()}')
                self.changed.wait(left)
        status = self.qemu.wait()
        if status != 0:
            raise MachineError(f'QEMU ended with {status}; the console:\n{self.tail()}')
        if 'Kernel panic' in self.text:
            raise MachineError(f'the kernel panicked; the console:\n{self.tail()}')
