"""A storm: clients start, stop, restart and reload services with needs while the launcher and the
journal are killed at random moments. Then, at rest, what the launcher says is compared with /proc.

The seed is printed; CONIT_STORM_SEED repeats a storm (as far as the kernel's scheduling lets it), and
CONIT_STORM_SECONDS makes it longer.
"""
import collections
import json
import os
import pathlib
import random
import signal
import socket
import threading
import time

from harness import DEADLINE, Machine, below, inner_pid, open_fds, stat_of, until

SECONDS = float(os.environ.get('CONIT_STORM_SECONDS', 8))
SEED = int(os.environ.get('CONIT_STORM_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 32)
SETTLE = 60.0  # seconds until everything is at rest after a storm
MOVING = ('starting', 'stopping', 'waiting', 'backing-off')

DAEMON = 'exec: sleep 100000\nstop: {timeout: 1s}'
KINDS = {
    'plain': DAEMON,
    'deaf': 'script: |\n  trap "" TERM\n  while :; do sleep 1000; done\nstop: {timeout: 200ms}',
    'hooks': f'{DAEMON}\nbefore-start: "true"\nafter-start: "true"\n'
             'before-stop: "true"\nafter-stop: "true"',
    'slow-hooks': f'{DAEMON}\nbefore-start: sleep 0.05\nafter-start: sleep 0.05\n'
                  'before-stop: sleep 0.05\nafter-stop: sleep 0.05',
    'crash': 'script: |\n  sleep 0.1\n  exit 3\nrestart: {delay: 20ms, max: 100ms}\n'
             'stop: {timeout: 1s}',
    'family': 'script: |\n  setsid sleep 100000 &\n  (sleep 100000 &)\n  exec sleep 100000\n'
              'stop: {timeout: 1s}',
    'talker': 'script: |\n  trap "" PIPE\n  while echo line; do sleep 0.01; done\n'
              'stop: {timeout: 1s}',
    'task': 'type: task\nscript: exit 0',
    'bad-task': 'type: task\nscript: exit 7',
}


class Storm:
    def __init__(self, machine, seed):
        self.machine, self.random = machine, random.Random(seed)
        self.over = threading.Event()
        self.kills = collections.Counter()
        self.answers = collections.Counter()
        self.errors = []
        self.names = []

    def write_services(self, count):
        kinds = list(KINDS)
        for i in range(count):
            kind = kinds[i % len(kinds)]
            name = f'{kind}-{i:02}'
            needs = [other for other in self.random.sample(self.names, min(2, len(self.names)))
                     if not other.startswith('bad')] if self.random.random() < 0.6 else []
            self.machine.service(name, f'{KINDS[kind]}\nneeds: {json.dumps(needs)}')
            self.names.append(name)
        for i in range(8):  # nobody is asked about these
            self.machine.service(f'rock-{i}', 'exec: sleep 100000')
        self.machine.service('once', f'type: task\nscript: echo run >>{self.machine.folder}/once')

    # The storm's threads: each with a generator of its own.

    def kill(self, chooser):
        while not self.over.wait(chooser.expovariate(40)):
            which = chooser.choice((('service-launcher',), ('service-journal',),
                                    ('service-launcher', 'service-journal')))
            for program in which:
                pid = self.machine.pid_of(program)
                if pid:
                    try:
                        os.kill(pid, signal.SIGKILL)
                        self.kills[program] += 1
                    except ProcessLookupError:
                        pass

    def ask(self, chooser):
        """One connection: calls one after the other; each gets one reply, unless the launcher is
        killed meanwhile."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SETTLE)
        data = b''
        try:
            connection.connect(str(self.machine.runtime / 'control'))
            for _ in range(chooser.randrange(1, 5)):
                verb = chooser.choice(('Start', 'Stop', 'Restart', 'Reload', 'Start', 'Restart'))
                names = chooser.sample(self.names, chooser.choice((1, 1, 2, 5)))
                parameters = {} if verb == 'Reload' else {
                    'names': names, 'timeout_ms': chooser.choice((0, 50, 1000))}
                connection.sendall(json.dumps({'method': f'org.conit.Launcher.{verb}',
                                               'parameters': parameters}).encode() + b'\0')
                while b'\0' not in data:
                    more = connection.recv(1 << 16)
                    if not more:
                        self.answers['gone'] += 1
                        return
                    data += more
                reply, data = data.split(b'\0', 1)
                reply = json.loads(reply)
                self.answers[reply.get('error', verb)] += 1
                if data:
                    self.errors.append(f'more than one answer: {data!r}')
        except (ConnectionError, FileNotFoundError):
            self.answers['gone'] += 1
        except socket.timeout:
            self.errors.append('no answer')
        finally:
            connection.close()

    def ask_on(self, chooser):
        while not self.over.is_set():
            self.ask(chooser)

    def run(self, seconds, kill=True, clients=4):
        self.over.clear()
        threads = [threading.Thread(target=self.ask_on, args=(random.Random(self.random.random()),))
                   for _ in range(clients)]
        if kill:
            threads.append(threading.Thread(target=self.kill,
                                            args=(random.Random(self.random.random()),)))
        for thread in threads:
            thread.start()
        time.sleep(seconds)  # how long it rages is all that this says
        self.over.set()
        for thread in threads:
            thread.join()

    # At rest.

    def rest(self, down=()):
        """The list, once nothing moves. What crashes by itself is stopped first."""
        stop = [name for name in self.names if name.startswith('crash')]
        until(lambda: self.machine.slc('stop', *stop, check=False).returncode == 0, 'crashers stop',
              SETTLE)
        found = []

        def calm():
            found[:] = self.machine.json('list')
            return not [s for s in found if s['state'] in MOVING]
        try:
            until(calm, 'nothing moves', SETTLE, 0.1)
        except AssertionError:
            moving = [s for s in found if s['state'] in MOVING]
            raise AssertionError(f'still on their way: {moving}') from None
        return {service['name']: service for service in found}

    def processes(self):
        """{service: {inner pid: (pid, state, ppid)}} of everything below init, and what is nobody's."""
        found, strange = collections.defaultdict(dict), []
        for pid, (name, state, parent) in below(self.machine.pid).items():
            if name in ('service-launche', 'service-journal'):
                continue
            try:
                environment = pathlib.Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
                inner = inner_pid(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
            own = [e[13:].decode() for e in environment if e.startswith(b'SERVICE_NAME=')]
            if own and state != 'Z':
                found[own[0]][inner] = (pid, state, parent)
            else:
                strange.append((pid, name, state, parent))
        return found, strange

    def check(self):
        services = self.rest()
        until(lambda: not self.processes()[1], f'nothing strange: {self.processes()[1]}')
        processes, _ = self.processes()
        for name, service in services.items():
            own = processes.pop(name, {})
            tops = [pid for pid, (outer, _, _) in own.items() if is_leader(outer)]
            if service['state'] == 'running':
                assert service['pid'] in own, (service, own)
                expected = 2 if name.startswith('family') else 1
                assert len(tops) == expected, f'{name} runs {len(tops)} times: {own}'
            else:
                assert not own and service['pid'] is None, f'{name} is left: {service} {own}'
            if service['state'] == 'stopped':
                assert service['reason'] and ('stop' in service['reason'] or
                                              'needs' in service['reason']), service
            if name.startswith('bad-task') and service['exit']:
                assert service['exit'] in ({'code': 7}, {'signal': 'SIGTERM'},
                                           {'signal': 'SIGKILL'}), service
        assert not processes, f'processes of no service: {dict(processes)}'
        assert 'A bug' not in self.machine.console(), [
            line for line in self.machine.console().splitlines() if 'A bug' in line]
        assert not self.errors, self.errors
        return services

    def descriptors(self):
        """Descriptors of the three, when all daemons run."""
        until(lambda: self.machine.slc('start', *self.names, check=False) and all(
            s['state'] in ('running', 'done', 'failed', 'backing-off')
            for s in self.machine.json('list')), 'all is up', SETTLE, 0.1)
        self.rest()
        return {program: len(open_fds(self.machine.pid_of(program) or self.machine.pid))
                for program in ('init', 'service-launcher', 'service-journal')}


def is_leader(pid):
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def rocks(services):
    return {name: service['pid'] for name, service in services.items() if name.startswith('rock')}


def storm(machine, kill, seconds=SECONDS, count=54, clients=4):
    print(f'seed {SEED}')
    storm_ = Storm(machine, SEED)
    storm_.write_services(count)
    machine.boot()
    if kill:
        storm_.run(0.5, kill=True, clients=0)  # in the middle of the boot
    machine.wait_booted(SETTLE)
    before = rocks(storm_.check())
    descriptors = storm_.descriptors()
    storm_.run(seconds, kill, clients)
    print(f'kills {dict(storm_.kills)}, answers {dict(storm_.answers)}')
    assert rocks(storm_.check()) == before
    after = storm_.descriptors()
    descriptors['service-journal'] += 2 * count  # it opens a file when there is something to write
    assert all(after[p] <= descriptors[p] + 3 for p in after), f'{descriptors} became {after}'
    storm_.check()
    assert (machine.folder / 'once').read_text(encoding='ascii') == 'run\n'
    return storm_


def test_requests_from_many_clients_leave_what_the_list_says():
    with Machine() as machine:
        storm(machine, kill=False, clients=8)
        machine.slc('poweroff')
        assert machine.wait_end() == 0


def test_kills_during_requests_lose_and_double_nothing():
    with Machine() as machine:
        storm_ = storm(machine, kill=True)
        machine.slc('poweroff', check=False)
        killer = threading.Thread(target=storm_.kill, args=(random.Random(SEED),))
        storm_.over.clear()
        killer.start()
        try:
            assert machine.wait_end(SETTLE) == 0
        finally:
            storm_.over.set()
            killer.join()
