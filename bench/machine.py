"""conit as PID 1 of namespaces of its own, in a cgroup that says what CPU time it took."""
import contextlib
import mmap
import os
import pathlib
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / 'out'
BUILD = ROOT / 'build' / 'bench'
OURS = ('init', 'service-launcher', 'service-journal')
DEADLINE = 60      # seconds for anything that takes a fraction of one
QUIET_SECONDS = 6  # no longer waits any line for the disk that the start has brought
SETTLED_READINGS, SETTLED_PAUSE = 3, 0.03  # so often the same CPU time: nothing runs any more
# Where a machine's files are: in memory, for an ext4 that has just removed the former run's files
# looks for a free inode a hundred times as long, and that would be all one measured.
FOLDERS = pathlib.Path('/dev/shm')


# ---- the machine ------------------------------------------------------------------------------

def find_cgroup():
    """Our own cgroup's folder on the v2 hierarchy."""
    own = re.search(r'^0::(.*)$', pathlib.Path('/proc/self/cgroup').read_text(), re.M)
    for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
        if own and ' - cgroup2 ' in line:
            point = line.split()[4]
            return pathlib.Path(point), pathlib.Path(os.path.normpath(point + own.group(1)))
    sys.exit('bench/run: no cgroup v2 is mounted, so CPU time cannot be measured')


def until(condition, what, pause=0.001):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f'not within {DEADLINE} s: {what}')
        time.sleep(pause)


class Counter:
    """The page that all measured programs share (bench/counter.h)."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(4096))
        with open(path, 'r+b') as file:
            self.page = mmap.mmap(file.fileno(), 4096)

    def __getattr__(self, name):
        fields = ('arrived', 'arrived_ns', 'first_ns', 'last_ns', 'ended')
        return struct.unpack_from('=5Q', self.page)[fields.index(name)]

    def reset(self):
        self.page[:40] = bytes(40)

    def wait(self, count):
        until(lambda: self.arrived >= count, f'{count} programs reach main()')


class Cgroup:
    """Holds what is measured, and says how much CPU time it took."""

    def __init__(self):
        _, own = find_cgroup()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='bench.', dir=own))

    def cpu_us(self):
        text = (self.folder / 'cpu.stat').read_text()
        return int(re.search(r'^usage_usec (\d+)', text, re.M).group(1))

    def settled_us(self):
        """The CPU time once it has stopped growing."""
        readings = []
        end = time.monotonic() + DEADLINE
        while len(readings) < SETTLED_READINGS or len(set(readings[-SETTLED_READINGS:])) > 1:
            readings.append(self.cpu_us())
            time.sleep(SETTLED_PAUSE)
            if time.monotonic() > end:
                raise RuntimeError('what is measured never gets idle')
        return readings[-1]

    def remove(self):
        (self.folder / 'cgroup.kill').write_text('1')
        def gone():
            for folder, _, _ in os.walk(self.folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            return not self.folder.exists()
        until(gone, f'{self.folder} is empty', 0.01)


# ---- conit ------------------------------------------------------------------------------------

def read_children(pid):
    try:
        return [int(child) for task in os.listdir(f'/proc/{pid}/task')
                for child in pathlib.Path(f'/proc/{pid}/task/{task}/children').read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def name_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(os.readlink(f'/proc/{pid}/exe')).name
    return ''


class Machine:
    """conit as PID 1 of its own namespaces, in a folder and a cgroup of its own."""

    def __init__(self, cgroups=True):
        self.cgroups = cgroups
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='conit-bench.', dir=FOLDERS))
        self.runtime = self.folder / 'run'
        (self.folder / 'services').mkdir()
        (self.folder / 'config.yml').write_text('title: measured\n')
        self.counter = Counter(self.folder / 'counter')
        self.cgroup = Cgroup()
        self.names, self.process, self.pids = [], None, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.cgroup.remove()
            self.process.wait(DEADLINE)
        else:
            self.cgroup.folder.rmdir()
        shutil.rmtree(self.folder)

    def service(self, name, *lines, arguments=''):
        exec_line = f'exec: {BUILD}/service {self.counter.path} {arguments}'
        text = '\n'.join((exec_line, *lines))
        (self.folder / 'services' / f'{name}.yml').write_text(text + '\n')
        self.names.append(name)

    def add_services(self, number, *lines):
        for i in range(number):
            self.service(f'bench-{i:04}', *lines)

    def boot(self):
        """Returns when the CPU time has settled; the CPU and wall time since init's exec."""
        hide = '' if self.cgroups else f'umount -l {find_cgroup()[0]}; '
        script = (f'mount -t proc proc /proc; {hide}'
                  f'echo 0 >"$0/cgroup.procs" && exec {OUT}/init --log-level warn '
                  f'--services {self.folder}/services --runtime {self.runtime} '
                  f'--logs {self.folder}/logs --config {self.folder}/config.yml')
        if not self.cgroups:  # the folder is out of sight once its mount is: enter it before
            script = script.replace(hide, '').replace('&& exec', f'&& {hide}exec')
        log = open(self.folder / 'console', 'wb')
        self.process = subprocess.Popen(
            ['unshare', '-p', '-f', '-m', 'sh', '-c', script, self.cgroup.folder],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        until(self._find_pids, 'init, service-launcher and service-journal run')
        until((self.runtime / 'control').exists, 'the control socket is there')

    def _find_pids(self):
        if self.process.poll() is not None:
            raise RuntimeError('init ended: ' + (self.folder / 'console').read_text())
        for init in read_children(self.process.pid):
            pids = {name_of(pid): pid for pid in [init, *read_children(init)]}
            self.pids = {name: pids[name] for name in OURS if name in pids}
        return len(self.pids) == len(OURS)

    def slc(self, *words):
        subprocess.run([OUT / 'slc', '--runtime', self.runtime, *words], check=True,
                       stdout=subprocess.DEVNULL, timeout=DEADLINE)

    def repeat(self, times, *words):
        """(median wall ns, median CPU µs) of slc as a whole process."""
        return repeat(times, [OUT / 'slc', '--runtime', self.runtime, *words])

    def memory_kib(self):
        """{program: {rss, pss, private}} from smaps_rollup."""
        result = {}
        for name, pid in self.pids.items():
            text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
            read = lambda key: int(re.search(rf'^{key}:\s+(\d+) kB', text, re.M).group(1))
            result[name] = {'rss': read('Rss'), 'pss': read('Pss'),
                            'private': read('Private_Clean') + read('Private_Dirty')}
        return result

    def switches(self):
        """Context switches of our three processes, all their threads."""
        count = 0
        for pid in self.pids.values():
            for task in os.listdir(f'/proc/{pid}/task'):
                text = pathlib.Path(f'/proc/{pid}/task/{task}/status').read_text()
                count += sum(map(int, re.findall(r'ctxt_switches:\s+(\d+)', text)))
        return count


    def wait_quiet(self):
        """Until nothing has run for a second: the journal looks into its folders after the boot."""
        before, end = -1, time.monotonic() + DEADLINE
        while before != (before := self.switches()):
            if time.monotonic() > end:
                raise RuntimeError('what is measured never gets idle')
            time.sleep(QUIET_SECONDS)


def cpu_of_process_us(pid):
    return sum(int(pathlib.Path(f'/proc/{pid}/task/{task}/schedstat').read_text().split()[0])
               for task in os.listdir(f'/proc/{pid}/task')) / 1000


def repeat(times, command):
    """(median wall ns, median CPU µs) of a command as a whole process."""
    output = subprocess.run([BUILD / 'repeat', str(times), *command], check=True, text=True,
                            stdout=subprocess.PIPE, timeout=DEADLINE).stdout
    runs = [tuple(map(int, line.split())) for line in output.splitlines()]
    return [statistics.median(column) for column in zip(*runs)]
