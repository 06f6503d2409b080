"""Boots the real init as PID 1 of new PID and mount namespaces, and cleans up whatever happens.

    with Machine() as machine:                      the real programs, from CONIT_BUILD
        machine.service('web', 'exec: sleep 1000')  (before machine.boot())
        machine.boot()
        machine.slc('list')

        machine.quiet()                             until nothing is under way any more

    with Machine(launcher=FAKE, journal=FAKE) as machine:   to test init alone
        launcher = machine.boot().launcher.accept()
        launcher.send('READY')
        launcher.wait('HELD_DONE')

Everything waits for events, up to DEADLINE seconds; nothing sleeps for a fixed time.
"""
import collections
import contextlib
import ctypes
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get('CONIT_BUILD', ROOT / 'build/test/flat'))
DEADLINE = 60.0  # seconds for anything that should happen at once; a loaded machine is slow
# What AddressSanitizer and UndefinedBehaviorSanitizer begin with.
SANITIZER = re.compile(r".*(ERROR: AddressSanitizer|ERROR: LeakSanitizer|: runtime error: ).*")
# conit's own processes, as the kernel names them, and states that a service leaves by itself.
OWN = ('init', 'service-launche', 'service-journal', 'compress-journa', 'read-services',
       'watch-services', 'follow-forks')
MOVING = ('starting', 'stopping', 'waiting')
INTERFACE = 'org.conit.Launcher.'
FAKE = 'fake'  # as a program: fake_child.py, steered by the test
LIBC = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The test cannot run here; the text says why."""


def need_root():
    if os.geteuid() != 0:
        raise Skip('needs root for PID and mount namespaces')
    if not shutil.which('unshare'):
        raise Skip('needs unshare of util-linux')


def until(condition, what, deadline=DEADLINE, interval=0.01):
    """The first true value of condition(); for what the kernel has no event for (/proc)."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'not within {deadline} s: {what}')
        time.sleep(interval)


# Looking at processes, from outside.

def stat_of(pid):
    """(name, state, ppid) of a process, or None when it is gone."""
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='latin-1')
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = text[text.index('(') + 1:text.rindex(')')]
    fields = text[text.rindex(')') + 2:].split()
    return name, fields[0], int(fields[1])


def children_of(pid):
    """{pid: (name, state, ppid)} of the direct children."""
    found = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            stat = stat_of(int(entry))
            if stat and stat[2] == pid:
                found[int(entry)] = stat
    return found


def hold(pid):
    """Stops a process; returns once it stands still."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stat_of(pid)[1] == 'T', 'it stands still')


def below(root):
    """{pid: (name, state, ppid)} of all descendants, by one look at /proc: on a machine with many
    processes a look for each of them takes a minute."""
    stats = {int(entry): stat_of(int(entry)) for entry in os.listdir('/proc') if entry.isdigit()}
    children = collections.defaultdict(list)
    for pid, stat in stats.items():
        if stat:
            children[stat[2]].append(pid)
    found, todo = {}, [root]
    while todo:
        for child in children[todo.pop()]:
            found[child] = stats[child]
            todo.append(child)
    return found


def inner_pid(pid):
    """The pid that a process has in its innermost PID namespace."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text(encoding='ascii', errors='replace')
    return int(re.search(r'^NSpid:.*\s(\d+)$', status, re.M).group(1))


def asleep(pids):
    """{task: how often it has been on a CPU} where each task of these processes sleeps, stands still
    or has ended, else None. Twice the same: each has slept from the first look to the second."""
    found = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            for task in os.listdir(f'/proc/{pid}/task'):
                text = pathlib.Path(f'/proc/{pid}/task/{task}/status').read_text(encoding='latin-1')
                if not re.search(r'^State:\s+[STtZX]', text, re.M):
                    return None
                found[task] = re.findall(r'ctxt_switches:\s+(\d+)', text)
    return found


class Process(subprocess.Popen):
    """One whose `with` ends at once when what is inside fails: it is killed with all below it."""

    def __exit__(self, *error):
        while error[0] and self.poll() is None:
            for pid in [*below(self.pid), self.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(0.1)
        super().__exit__(*error)


def open_fds(pid):
    found = {}
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):  # closed since
            found[int(fd)] = os.readlink(f'/proc/{pid}/fd/{fd}')
    return found


class Outside:
    """What a container must never change: compared before and after."""

    def __init__(self):
        read = lambda path: pathlib.Path(path).read_text(encoding='utf-8', errors='replace')
        self.mounts = read('/proc/self/mountinfo')
        self.swaps = read('/proc/swaps')
        self.hostname = os.uname().nodename
        self.ctrl_alt_del = read('/proc/sys/kernel/ctrl-alt-del')
        self.nr_open = read('/proc/sys/fs/nr_open')
        self.dev = sorted(os.listdir('/dev'))

    def check(self):
        now = Outside()
        for name, value in vars(self).items():
            assert getattr(now, name) == value, f'{name} changed: {value!r}, now {vars(now)[name]!r}'


class OwnCgroup:
    """A cgroup v2 folder for one machine, where one can be had."""

    def __init__(self):
        self.folder = None
        with contextlib.suppress(OSError):
            own = [line[3:].strip() for line in open('/proc/self/cgroup', encoding='utf-8')
                   if line.startswith('0::')]
            for line in open('/proc/self/mountinfo', encoding='utf-8'):
                fields = line.split()
                if own and ' - cgroup2 ' in line:
                    home = os.path.normpath(
                        os.path.join(fields[4], os.path.relpath(own[0], fields[3])))
                    self.folder = tempfile.mkdtemp(prefix='machine.', dir=home)
                    return

    def enter(self):
        """In a child that is about to execute."""
        if self.folder:
            with open(os.path.join(self.folder, 'cgroup.procs'), 'w', encoding='ascii') as procs:
                procs.write('0')

    def remove(self):
        if not self.folder:
            return
        def gone():
            for folder, _, _ in os.walk(self.folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            return not os.path.exists(self.folder)
        with contextlib.suppress(OSError):
            with open(os.path.join(self.folder, 'cgroup.kill'), 'w', encoding='ascii') as kill:
                kill.write('1')
        until(gone, f'{self.folder} is empty')


class Peer:
    """One life of a fake launcher or journal: what it received, and what it shall do."""

    def __init__(self, connection, deadline):
        self.connection = connection
        self.deadline = deadline
        self.pending = b''
        self.events = []
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid = struct.unpack('3i', credentials)[0]  # as this namespace counts
        self.started = self.wait('STARTED')

    def _read(self, end):
        if not select.select([self.connection], [], [], max(0, end - time.monotonic()))[0]:
            return False
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionResetError:
            data = b''
        if not data:
            self.events.append({'type': 'GONE'})
            return False
        *lines, self.pending = (self.pending + data).split(b'\n')
        self.events += [json.loads(line) for line in lines]
        return True

    def wait(self, kind, deadline=None, **fields):
        """The first event of that type (with these fields) not yet taken."""
        end = time.monotonic() + (deadline or self.deadline)
        while True:
            for i, event in enumerate(self.events):
                if event['type'] == kind and all(event.get(k) == v for k, v in fields.items()):
                    return self.events.pop(i)
            if any(e['type'] == 'GONE' for e in self.events) or not self._read(end):
                raise AssertionError(f'no {kind} {fields or ""}; there were: '
                                     f'{[e["type"] for e in self.events][-20:]}')

    def has(self, kind):
        """Whether such an event is there already, without waiting."""
        self._read(time.monotonic())
        return any(event['type'] == kind for event in self.events)

    def do(self, action, **fields):
        self.connection.sendall(json.dumps(dict(fields, do=action)).encode() + b'\n')

    def send(self, kind, **fields):
        """Has it send a hand-over message, and waits until it is in the kernel."""
        self.do('send', type=kind, **fields)
        return self.wait('SENT')

    def shut_down(self, how, status=0):
        """SHUT_DOWN; init kills the launcher on receiving it, so nothing is waited for."""
        self.do('send', type='SHUT_DOWN', argument=how, status=status)

    def store(self, keys, owner=1):
        """Stores a memfd under each key; its content is 'KEY PID-OF-THE-SENDER'."""
        for i in range(0, len(keys), 240):
            self.send('STORE', owner=owner, keys=keys[i:i + 240], fds=True)

    def held(self, deadline=None):
        """{key: content} of the replay."""
        self.wait('HELD_DONE', deadline)
        found = {}
        for event in [event for event in self.events if event['type'] == 'HELD']:
            found.update(zip(event['keys'], event['contents']))
        self.events = [event for event in self.events if event['type'] != 'HELD']
        return found

    def sync(self):
        """Waits until init has read all that was sent so far: it answers a bad key."""
        self.send('STORE', owner=1, keys=[1 << 20], fds=True)
        self.wait('REFUSED', keys=[1 << 20])

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def close(self):
        self.connection.close()


class Role:
    """A program beside init that the test steers: each start of it connects here."""

    def __init__(self, machine, name):
        self.machine, self.name, self.peers = machine, name, []
        self.path = machine.folder / f'{name}.socket'
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)

    def accept(self, deadline=DEADLINE):
        """The next start of it."""
        self.listener.settimeout(deadline)
        try:
            connection, _ = self.listener.accept()
        except socket.timeout:
            raise AssertionError(f'{self.name} was not started; console:\n'
                                 f'{self.machine.console()}') from None
        connection.settimeout(DEADLINE)
        peer = Peer(connection, DEADLINE)
        self.peers.append(peer)
        return peer

    def start_ready(self, deadline=DEADLINE):
        peer = self.accept(deadline)
        peer.send('READY')
        return peer

    def close(self):
        for peer in self.peers:
            peer.close()
        self.listener.close()


class Client:
    """A connection to the control socket of a machine."""

    def __init__(self, machine):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(str(machine.runtime / 'control'))
        self.input = b''

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, method, flags=None, **parameters):
        call = {'method': method if '.' in method else INTERFACE + method,
                'parameters': parameters, **(flags or {})}
        self.socket.sendall(json.dumps(call).encode() + b'\0')

    def receive(self):
        """The next reply, or None when the launcher has hung up."""
        while b'\0' not in self.input:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.input += data
        message, self.input = self.input.split(b'\0', 1)
        return json.loads(message)

    def ask(self, method, flags=None, **parameters):
        self.send(method, flags, **parameters)
        return self.receive()


class Machine:
    """One init with its folders. `launcher`, `journal`: None (the real one), FAKE, the text of a
    script, or False (there is none)."""

    def __init__(self, launcher=None, journal=None, arguments=(), environment=None,
                 mount_proc=True, console=None, before=None):
        need_root()
        if launcher is None and not (BUILD / 'service-launcher').exists():
            raise Skip(f'there is no service-launcher in {BUILD}')
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='m.'))
        self.services = self.folder / 'services'
        self.runtime = self.folder / 'runtime'
        self.logs = self.folder / 'logs'
        self.etc = self.folder / 'etc'  # of what is switched by hand; made by slc
        self.config = self.folder / 'conit.yml'
        for folder in (self.services, self.runtime, self.logs):
            folder.mkdir()
        self.arguments, self.environment = list(arguments), dict(environment or {})
        self.mount_proc, self.console_fd, self.before = mount_proc, console, before
        self.process = self.pid = self.pidfd = self.launcher = self.journal = None
        self.output, self.changed, self.reader = b'', threading.Condition(), None
        self.cgroup = OwnCgroup()
        self.client = [str(BUILD / 'slc')]
        self.programs = BUILD if launcher is None and journal is None else self.folder / 'bin'
        if self.programs != BUILD:
            self._gather({'service-launcher': launcher, 'service-journal': journal})

    def _gather(self, chosen):
        self.programs.mkdir()
        shutil.copy2(BUILD / 'init', self.programs / 'init')
        for program, what in chosen.items():
            target = self.programs / program
            if what is None:
                shutil.copy2(BUILD / program, target)
            elif what == FAKE:
                role = Role(self, program)
                setattr(self, program.split('-')[1], role)
                body = (HERE / 'fake_child.py').read_text(encoding='utf-8')
                target.write_text(f'#!{sys.executable} -IS\nSOCKET = {str(role.path)!r}\n{body}',
                                  encoding='utf-8')
            elif what is not False:
                target.write_text(what, encoding='utf-8')
            if target.exists():
                target.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if error[0] is not None and not issubclass(error[0], Skip):
            print(f'---- console of init\n{self.console()}\n----', file=sys.stderr)
        self.end()
        # A launcher that crashes is started again, and the test would never know.
        if error[0] is None and (found := SANITIZER.search(self.console())):
            raise AssertionError(f'a program crashed: {found[0]}; console:\n{self.console()}')

    # Files of the machine.

    def service(self, name, text):
        (self.services / f'{name}.yml').write_text(text + '\n', encoding='utf-8')

    def log_of(self, name):
        """What the journal of a service holds."""
        current = self.logs / name / 'current'
        return current.read_text(encoding='utf-8', errors='replace') if current.exists() else ''

    # Its life.

    def command(self):
        unshare = ['unshare', '--fork', '--pid', '--mount', '--kill-child']
        if self.mount_proc:
            unshare.append('--mount-proc')
        command = [str(self.programs / 'init'), '--services', str(self.services), '--runtime',
                   str(self.runtime), '--logs', str(self.logs), '--etc', str(self.etc)]
        if self.config.exists():
            command += ['--config', str(self.config)]
        if self.before:
            command = ['/bin/sh', '-c', f'{self.before}\nexec "$0" "$@"'] + command
        return unshare + command + self.arguments

    def boot(self):
        """Starts it. Returns itself; the launcher need not be up yet."""
        environment = {k: v for k, v in os.environ.items() if k != 'CONIT_RUNTIME'}
        environment.update(self.environment)
        output = self.console_fd if self.console_fd is not None else subprocess.PIPE
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output if
            self.console_fd is not None else subprocess.STDOUT, env=environment,
            preexec_fn=self.cgroup.enter)  # pylint: disable=subprocess-popen-preexec-fn
        if self.console_fd is None:
            self.reader = threading.Thread(target=self._read, daemon=True)
            self.reader.start()
        self.pid = until(self._find_init, 'init runs')
        self.pidfd = os.pidfd_open(self.pid)
        return self

    def _find_init(self):
        if self.process.poll() is not None:
            raise AssertionError(f'init ended at once, with {self.process.returncode}: '
                                 f'{self.console()}')
        for pid, (name, state, _) in children_of(self.process.pid).items():
            if name == 'init' and state != 'Z':
                return pid
        return None

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            with self.changed:
                self.output += data
                self.changed.notify_all()
            if not data:
                return

    def console(self):
        return self.output.decode(errors='replace')

    def wait_console(self, pattern, deadline=DEADLINE):
        """The first match of a regular expression in what init has written so far, or will."""
        with self.changed:
            found = self.changed.wait_for(lambda: re.search(pattern, self.console()), deadline)
            if not found:
                raise AssertionError(f'the console never said {pattern!r}')
            return re.search(pattern, self.console())

    def signal(self, number):
        signal.pidfd_send_signal(self.pidfd, number)

    def wait_end(self, deadline=DEADLINE):
        """The exit status of init; negative: the signal that ended it (unshare passes it on)."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'init did not end; console:\n{self.console()}') from None
        if self.reader:
            self.reader.join(DEADLINE)
        return status

    def is_alive(self):
        stat = stat_of(self.pid)
        return bool(stat) and stat[1] != 'Z'

    def end(self):
        if self.process:
            if self.pidfd is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            elif self.process.poll() is None:
                self.process.kill()  # --kill-child ends what it started
            self.process.wait()
            if self.reader:
                self.reader.join(DEADLINE)
                self.process.stdout.close()
            if self.pidfd is not None:
                os.close(self.pidfd)
        for role in (self.launcher, self.journal):
            if role:
                role.close()
        self.cgroup.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Its processes, by their pids outside.

    def children(self):
        return children_of(self.pid)

    def pid_of(self, name):
        """The pid of a child of init by its name, or None."""
        for pid, (comm, state, _) in self.children().items():
            if comm == name[:15] and state != 'Z':
                return pid
        return None

    def wait_pid_of(self, name, other_than=None):
        def find():
            pid = self.pid_of(name)
            return pid if pid != other_than else None
        return until(find, f'{name} runs')

    def kill_launcher(self):
        """kill -9 of the launcher; returns when the next one answers."""
        old = self.wait_pid_of('service-launcher')
        os.kill(old, signal.SIGKILL)
        new = self.wait_pid_of('service-launcher', old)
        self.wait_answer()
        return new

    def kill_journal(self):
        old = self.wait_pid_of('service-journal')
        os.kill(old, signal.SIGKILL)
        return self.wait_pid_of('service-journal', old)

    # Its control socket.

    def slc(self, *arguments, check=True, timeout=60):
        """Runs slc from outside the namespace; a result with returncode, stdout, stderr."""
        result = subprocess.run(
            [*self.client, '--runtime', str(self.runtime), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
        if check and result.returncode != 0:
            raise AssertionError(f'slc {" ".join(arguments)} ended with {result.returncode}: '
                                 f'{result.stderr}{result.stdout}')
        return result

    def wait_answer(self):
        """Until a launcher answers, whether it has started all that it is to start or not."""
        until(lambda: self.slc('list', check=False).returncode == 0, 'the launcher answers')

    def json(self, *arguments):
        return json.loads(self.slc('--json', *arguments).stdout)

    def state_of(self, name):
        for service in self.json('list'):
            if service['name'] == name:
                return service['state']
        return None

    def wait_state(self, name, state, deadline=DEADLINE):
        return until(lambda: self.state_of(name) == state, f'{name} is {state}', deadline, 0.05)

    # At rest.

    def own(self):
        """The pids of conit's own processes."""
        return [self.pid] + [pid for pid, (name, _, _) in below(self.pid).items() if name in OWN]

    def idle(self, *pids):
        """Until all of conit, and these processes, wait for something: nothing that was sent to any
        of them is unread then, for reading it would have woken them."""
        def still():
            first = asleep([*self.own(), *pids])
            return first and first == asleep([*self.own(), *pids])
        until(still, 'nobody does anything')

    def quiet(self, moving=MOVING):
        """Until nothing is under way any more: no service is on its way (in one of the states
        `moving`), all that was printed and said is in the journals' files, all that has ended is
        reaped, and all that is to be closed is closed. Returns {name: service}."""
        end = time.monotonic() + DEADLINE
        with Client(self) as monitor, Client(self) as client:
            monitor.send('Monitor', {'more': True})
            while True:
                client.ask('DrainJournal')
                self.idle()
                services = client.ask('List')['parameters']['services']
                states = {service['name']: service['state'] for service in services}
                if not any(state in moving for state in states.values()):
                    break
                while any(state in moving for state in states.values()):
                    try:
                        monitor.socket.settimeout(max(0.01, end - time.monotonic()))
                        event = monitor.receive()['parameters']['event']
                    except socket.timeout:
                        raise AssertionError(f'still on their way: {states}') from None
                    states[event['name']] = event['state']
        until(lambda: not [pid for pid in self.own()
                           for _, state, _ in children_of(pid).values() if state == 'Z'],
              'no zombie is left')
        self.idle()  # it has seen that the two connections were closed
        return {service['name']: service for service in services}

    def wait_booted(self, deadline=DEADLINE):
        """The line that ends the boot."""
        return self.wait_console(r'\] Started  +\S', deadline)
