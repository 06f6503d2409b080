"""The parts of a storm: a plan of requests made from a seed alone, clients that carry it out and count
answers, somebody who kills processes, somebody who rewrites files, and a look at /proc at rest.

What a seed repeats is exactly which requests each client makes in which order, and the sequence of
kills and rewrites; what it cannot repeat is their timing against each other.
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import threading
import time

from harness import BUILD, inner_pid, stat_of
from services import PYTHON

INTERFACE = 'org.conit.Launcher'
WRONG_FOR = 20.0  # seconds that a list and /proc may differ
ANSWER_WITHIN = 90.0  # seconds for an answer to any request, on a loaded machine
MOVING = ('starting', 'stopping', 'waiting', 'backing-off')
UP = ('running', 'done', 'skipped')
OUTCOMES = ('done', 'already', 'failed', 'overtaken', 'refused', 'timed-out', 'begun')

# What waits for a need that is killed again and again waits for ever: so many a round, and no more.
KILLS, WRITES = 150, 80
SOON = 'restart: {delay: 20ms, max: 500ms}\n'
DAEMON = f'exec: sleep 100000\nstop: {{timeout: 2s}}\n{SOON}'
# Says READY=1 and becomes the daemon; or leaves it to a child, which takes the first one's place.
SPEAKS = ("import os, socket\n"
          "def say(text):\n"
          "  address = os.environ['NOTIFY_SOCKET']\n"
          "  address = chr(0) + address[1:] if address[0] == '@' else address\n"
          "  socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), address)\n")
STAYS = "os.execv('/bin/sleep', ['sleep', '100000'])\n"
NOTIFIES = SPEAKS + "say('READY=1')\n" + STAYS
HANDS_OVER = (SPEAKS + "ours, theirs = os.pipe()\n"
              "if os.fork():\n"
              "  os.close(theirs)\n"
              "  os._exit(len(os.read(ours, 1)))\n"
              "say(f'MAINPID={os.getpid()}\\nREADY=1')\n" + STAYS)
LOUD = 'script: |\n  trap "exit 0" TERM\n  trap "" HUP USR1\n  while :; do sleep 1000 & wait $!; done\n' \
    + SOON


def python(code):
    return f'exec: {json.dumps([PYTHON, "-IS", "-c", code.replace("%", "%%")])}\nready: notify\n' \
        f'stop: {{timeout: 2s}}\n{SOON}'


# Each but 'target' ends in what `pid` names, and no other process stays beside it.
FORKS = f'type: forking\nscript: setsid sleep 100000 &\nstop: {{timeout: 2s}}\n{SOON}'
FORKS_FILE = ('type: forking\nscript: |\n  setsid sleep 100000 &\n  echo $! >FOLDER/%n.pid\n'
              f'forks: {{pid-file: FOLDER/%n.pid}}\nstop: {{timeout: 2s}}\n{SOON}')
KINDS = {
    'plain': DAEMON,
    'hup': LOUD + 'reload: signal HUP\n',
    'again': DAEMON + 'reload: sleep 0.05\n',
    'deaf': 'script: |\n  trap "" TERM\n  while :; do sleep 1000; done\n'
            f'stop: {{timeout: 200ms}}\n{SOON}',
    'hooks': DAEMON + 'before-start: "true"\nafter-start: "false"\nbefore-stop: "false"\n'
                      'after-stop: "true"\n',
    'slow': DAEMON + 'before-start: sleep 0.1\nafter-start: sleep 0.05\nbefore-stop: sleep 0.05\n'
                     'after-stop: sleep 0.05\n',
    'crash': 'script: |\n  sleep 0.05\n  exit 3\nrestart: {delay: 20ms, max: 100ms, limit: 3}\n',
    'backs-off': 'script: exit 4\nrestart: {delay: 300ms, limit: 2}\n',
    'late': 'exec: sleep 100000\nbefore-start: sleep 100000\nstart-timeout: 300ms\n'
            'restart: {delay: 20ms, limit: 1}\n',
    'forks': FORKS,
    'forks-file': FORKS_FILE,
    'notifies': python(NOTIFIES),
    'hands-over': python(HANDS_OVER),
    'target': 'type: target\n',
    'task': 'type: task\nscript: sleep 0.02\n',
    'bad-task': 'type: task\nscript: exit 7\n',
    'absent': 'exec: /no/such/program\n',
    'skipped': DAEMON + 'when: [{exists: /no/such/file}]\n',
}
TEMPLATES = {
    's-plain@': DAEMON + 'before-start: "true"\nafter-stop: "true"\n',
    's-notifies@': python(NOTIFIES),
    's-forks@': FORKS_FILE,
    's-task@': 'type: task\nscript: sleep 0.02\n',
}
INSTANCES = ('1', '2', 'x')
OWN = ('service-launche', 'service-journal', 'read-services', 'watch-services', 'compress-journa')
CLIENTS = 8
VERBS = (['Start'] * 6 + ['Stop'] * 5 + ['Restart'] * 5 + ['ReloadServices'] * 2 + ['Signal'] * 2 +
         ['Reset', 'Reload'])




def moves(name, state):
    """Whether it will be something else soon, with nobody doing anything."""
    return state in MOVING or state == 'running' and ('crash' in name or 'backs-off' in name)


# What there is, and what is asked.

def make_services(chooser, count):
    """{name of a file: text}. Who is later by number may need and want those before it, and any
    instance."""
    services, kinds = {}, list(KINDS)
    instances = instances_of(TEMPLATES)
    for i in range(count):
        name = f's{i:02}-{kinds[i % len(kinds)]}'
        text, before = KINDS[kinds[i % len(kinds)]], list(services)
        if before and chooser.random() < 0.2:
            before = instances
        for key, chance in (('needs', 0.35), ('wants', 0.3), ('after', 0.3)):
            if before and chooser.random() < chance:
                text += f'{key}: {json.dumps(chooser.sample(before, min(2, len(before))))}\n'
        if before and chooser.random() < 0.08:
            text += f'conflicts: [{chooser.choice(before)}]\n'
        if chooser.random() < 0.15:
            text += 'enabled: no\n'
        services[name] = text
    for i in range(CLIENTS):  # each touched by one client only
        services[f'own-{i}'] = DAEMON
    return services | TEMPLATES


def instances_of(files):
    """The names that are asked for of the templates among these."""
    return [name + instance for name in files if name.endswith('@') for instance in INSTANCES]


def make_plan(seed, names, requests):
    """For each client its requests: {verb, parameters, how}. `how`: socket, more, slc, leave."""
    plans = []
    for client in range(CLIENTS):
        chooser = random.Random(f'{seed} client {client}')
        plan = []
        for _ in range(requests // CLIENTS):
            verb = chooser.choice(VERBS)
            few = chooser.sample(names, chooser.choice((1, 1, 1, 2, 5)))
            if chooser.random() < 0.15 and verb in ('Start', 'Stop', 'Restart'):
                few = [f'own-{client}']
            parameters = {} if verb == 'Reload' else {'names': few}
            if verb == 'Signal':
                parameters['signal'] = chooser.choice(('HUP', 'USR1', 'TERM', 'CONT', 'KILL'))
                parameters['all'] = chooser.random() < 0.3
            elif verb not in ('Reload', 'Reset') and not few[0].startswith('own'):
                waits = chooser.random()
                if waits < 0.2:
                    parameters['wait'] = False
                elif waits < 0.4:
                    parameters['timeout_ms'] = chooser.choice((0, 20, 300))
            how = chooser.choices(('socket', 'more', 'slc', 'leave'), (70, 22, 4, 4))[0]
            if how == 'leave' and few[0].startswith('own') or how == 'more' and verb in (
                    'Reset', 'Signal'):
                how = 'socket'
            plan.append({'verb': verb, 'parameters': parameters, 'how': how})
        plans.append(plan)
    return plans


# Clients.

class Connection:
    """Calls over the control socket, one after the other."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(ANSWER_WITHIN)
        self.socket.connect(str(path))
        self.data = b''

    def close(self):
        self.socket.close()

    def send(self, verb, parameters, more=False):
        call = {'method': f'{INTERFACE}.{verb}', 'parameters': parameters}
        if more:
            call['more'] = True
        self.socket.sendall(json.dumps(call).encode() + b'\0')

    def receive(self):
        while b'\0' not in self.data:
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionResetError('the launcher hung up')
            self.data += more
        reply, self.data = self.data.split(b'\0', 1)
        return json.loads(reply)

    def call(self, verb, parameters=None):
        self.send(verb, parameters or {})
        return self.receive()


class Client:
    """Carries out its plan, and finds fault with the answers."""

    def __init__(self, storm, number, plan):
        self.storm, self.number, self.plan = storm, number, plan
        self.connection, self.own_wanted = None, None
        self.answers, self.faults = collections.Counter(), []

    def fault(self, request, what):
        self.faults.append(f'client {self.number}: {request}: {what}')

    def connect(self):
        """After a kill the launcher may not answer yet: the socket is there all the time."""
        if not self.connection:
            self.connection = Connection(self.storm.machine.runtime / 'control')
        return self.connection

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def run(self):
        for request in self.plan:
            if self.storm.broken.is_set():
                return
            try:
                self.carry_out(request)
            except socket.timeout:
                self.fault(request, f'no answer in {ANSWER_WITHIN} s')
                self.storm.broken.set()
            except Exception as error:  # pylint: disable=broad-except
                self.fault(request, repr(error))
                self.storm.broken.set()
        self.expect_silence()
        self.hang_up()

    def carry_out(self, request):
        while True:
            try:
                getattr(self, 'by_' + request['how'])(request)
                return
            except ConnectionError:
                self.hang_up()
                self.answers['hung up'] += 1
                if not self.storm.kills_launcher:
                    raise

    def by_socket(self, request):
        self.judge(request, self.connect().call(request['verb'], request['parameters']))

    def by_more(self, request):
        connection = self.connect()
        connection.send(request['verb'], request['parameters'], more=True)
        reply = connection.receive()
        while reply.get('continues'):
            self.answers['progress'] += 1
            if 'progress' not in reply['parameters'] and 'reading' not in reply['parameters']:
                self.fault(request, f'strange progress: {reply}')
            reply = connection.receive()
        self.judge(request, reply)

    def by_leave(self, request):
        """Asks, and is gone before the answer."""
        connection = Connection(self.storm.machine.runtime / 'control')
        connection.send(request['verb'], request['parameters'])
        connection.close()
        self.answers['left'] += 1

    def by_slc(self, request):
        verb, parameters = request['verb'], request['parameters']
        command = [str(BUILD / 'slc'), '--runtime', str(self.storm.machine.runtime)]
        command.append('reload' if verb == 'ReloadServices' else verb.lower())
        if 'timeout_ms' in parameters:
            command += ['--timeout', f'{parameters["timeout_ms"]}ms']
        if verb == 'Signal':
            command.append(parameters['signal'])
            command += ['--all'] if parameters['all'] else []
        if parameters.get('wait') is False:
            command.append('--no-wait')
        done = subprocess.run(command + parameters.get('names', []), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False)
        self.answers[f'slc {done.returncode}'] += 1
        if done.returncode not in (0, 1, 4) or (done.returncode == 0) != (not done.stderr):
            if not any(word in done.stderr for word in ('waiting:', 'reconnect', 'warning:')):
                self.fault(request, f'slc: {done}')
        if parameters.get('names', [''])[0].startswith('own') and done.returncode == 0:
            self.own_wanted = verb

    def judge(self, request, reply):
        verb, names = request['verb'], request['parameters'].get('names')
        self.answers[verb] += 1
        if 'error' in reply:
            if reply['error'] != f'{INTERFACE}.NoSuchService':
                self.fault(request, f'refused: {reply}')
            return
        if verb == 'Reload':
            if not isinstance(reply['parameters'].get('changes'), list):
                self.fault(request, f'no changes: {reply}')
            return
        results = reply['parameters']['results']
        told = [result['name'] for result in results if not result['taken_along']]
        if sorted(told) != sorted(names) or any(r['outcome'] not in OUTCOMES for r in results):
            self.fault(request, f'answered {results}')
        if names[0].startswith('own'):
            self.judge_own(request, results[0])

    def judge_own(self, request, result):
        """Nobody else touches this one, and nothing kills it: the answer is known."""
        verb, before = request['verb'], self.own_wanted
        self.own_wanted = verb
        up = verb != 'Stop'
        expected = {'done'} if verb == 'Restart' else {'already'} if before is not None and (
            before != 'Stop') == up else {'done'}
        if self.storm.kills_launcher or before is None:
            expected |= {'already', 'done'}
        if result['outcome'] not in expected or result['state'] != ('running' if up else 'stopped'):
            self.fault(request, f'{expected} expected after {before}: {result}')

    def expect_silence(self):
        """Whatever else was sent would come before the answer to this."""
        with contextlib.suppress(ConnectionError):
            if self.connection and 'version' not in self.connection.call('Describe')['parameters']:
                self.fault('Describe', 'an answer too many')
            if self.connection and self.connection.data:
                self.fault('Describe', f'more than one answer: {self.connection.data!r}')


# The weather.

def children_now(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as file:
                found += [int(child) for child in file.read().split()]
    return found


def below(pid):
    """{pid: parent} of all that is below a process."""
    found, todo = {}, [pid]
    while todo:
        parent = todo.pop()
        for child in children_now(parent):
            if child not in found:
                found[child] = parent
                todo.append(child)
    return found


def service_name_of(pid):
    """What its environment says; None when it is no service's, or gone."""
    with contextlib.suppress(OSError):
        for entry in pathlib.Path(f'/proc/{pid}/environ').read_bytes().split(b'\0'):
            if entry.startswith(b'SERVICE_NAME='):
                return entry[13:].decode()
    return None


class Storm:
    def __init__(self, machine, seed, count, kills_launcher=False):
        self.machine, self.seed, self.kills_launcher = machine, seed, kills_launcher
        self.services = {name: text.replace('FOLDER', str(machine.folder)) for name, text in
                         self.make(random.Random(f'{seed} services'), count).items()}
        self.written = dict(self.services)
        self.changed = set()  # whose file was written again since it was started by judge_changed()
        self.files = [name for name in self.services if name.startswith('s')]
        self.names = ([name for name in self.files if not name.endswith('@')] +
                      instances_of(self.files))
        self.over, self.broken = threading.Event(), threading.Event()
        self.counts = collections.Counter()
        self.own = [None] * CLIENTS
        for name, text in self.services.items():
            machine.service(name, text)

    def make(self, chooser, count):
        """{name of a file: text}"""
        return make_services(chooser, count)

    def kill_on(self, chooser):
        for _ in range(KILLS):
            if self.over.wait(chooser.expovariate(30)):
                return
            if self.kills_launcher and chooser.random() < 0.1:
                pid = self.machine.pid_of('service-launcher')
            else:
                pids = sorted(pid for pid in below(self.machine.pid)
                              if (service_name_of(pid) or 'own').startswith('s'))
                pid = chooser.choice(pids) if pids else None
            number = chooser.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGABRT))
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    self.counts['killed'] += 1

    def write(self, name, text):
        path = self.machine.services / f'{name}.yml'
        self.counts['written'] += 1
        self.written[name] = text
        self.changed |= {name, *instances_of([name])}
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        elif len(text) % 2:
            path.write_text(text, encoding='utf-8')
        else:  # as editors do
            path.with_suffix('.new').write_text(text, encoding='utf-8')
            path.with_suffix('.new').rename(path)

    def rewrite_on(self, chooser):
        for _ in range(WRITES):
            if self.over.wait(chooser.expovariate(15)):
                return
            name = chooser.choice(self.files)
            text = self.services[name]
            self.write(name, chooser.choice((
                text, text, f'{text}description: written anew\n', f'{text}nonsense: 1\n', None,
                '\n'.join(line for line in text.split('\n') if not line.startswith('needs')),
                text.replace(SOON, 'restart: {delay: 10ms, limit: 1}\n'))))

    def rage(self, plans):
        """Until every request has its answer."""
        clients = [Client(self, i, plan) for i, plan in enumerate(plans)]
        for client in clients:
            client.own_wanted = self.own[client.number]
        self.over.clear()
        weather = [threading.Thread(target=self.kill_on, args=(random.Random(f'{self.seed} kills'),)),
                   threading.Thread(target=self.rewrite_on,
                                    args=(random.Random(f'{self.seed} files'),))]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in weather + threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.over.set()
        for thread in weather:
            thread.join()
        self.own = [client.own_wanted for client in clients]
        answers = sum((client.answers for client in clients), collections.Counter())
        faults = sum((client.faults for client in clients), [])
        assert not faults, '\n'.join(faults[:20])
        return answers

    # At rest.

    def quiet(self):
        """Follows events until nothing moves; then the list, which nothing changes any more."""
        path = self.machine.runtime / 'control'
        monitor, other, states = Connection(path), Connection(path), {}
        try:
            monitor.send('Monitor', {'initial': True}, more=True)
            end = time.monotonic() + ANSWER_WITHIN
            while True:
                moving = [name for name, state in states.items() if moves(name, state)]
                waits = bool(moving) or not states
                if select.select([monitor.socket], [], [], 1.0 if waits else 0)[0] or monitor.data:
                    event = monitor.receive()['parameters']['event']
                    states[event['name']] = event['state']
                    continue
                if time.monotonic() > end:
                    services = other.call('List')['parameters']['services']
                    raise AssertionError(f'{moving} move; {services}')
                if waits:
                    continue
                # What follows from the last event is told before the second answer.
                other.call('Describe')
                services = other.call('List')['parameters']['services']
                other.call('Describe')
                if not select.select([monitor.socket], [], [], 0)[0] and not [
                        s for s in services if moves(s['name'], s['state'])]:
                    return {service['name']: service for service in services}
        finally:
            monitor.close()
            other.close()

    def look(self):
        """({service: {inner pid: (pid, parent)}}, how many follow-forks, what is nobody's) below
        init."""
        found, strange, followers = collections.defaultdict(dict), [], 0
        for pid, parent in below(self.machine.pid).items():
            stat = stat_of(pid)
            if not stat or (stat[0] in OWN and stat[1] != 'Z'):
                continue
            name = service_name_of(pid) if stat[1] != 'Z' else None
            if stat[0] == 'follow-forks' and stat[1] != 'Z':
                followers += 1
                continue
            if name:
                with contextlib.suppress(OSError, AttributeError):
                    found[name][inner_pid(pid)] = (pid, parent)
            else:
                strange.append((pid, *stat))
        return found, followers, strange

    def rest(self):
        """The list at rest, once it is what /proc says: a signal that was sent may still be on its way
        to a process, and an end to the launcher. What is wrong stays wrong."""
        end = time.monotonic() + WRONG_FOR
        while True:
            services = self.quiet()
            try:
                self.judge(services)
                return services
            except AssertionError:
                if time.monotonic() > end:
                    raise

    def judge(self, services):
        processes, followers, strange = self.look()
        followed = [s for s in services.values() if s['type'] == 'forking' and s['pid']]
        assert followers <= len(followed), f'{followers} follow-forks for {followed}'
        assert not strange, f'of no service: {strange}'
        for name, service in services.items():
            own = processes.pop(name, {})
            if service['state'] != 'running':
                assert not own and service['pid'] is None, f'{service}, and there is {own}'
                continue
            if service['type'] == 'target':
                continue
            assert service['pid'] in own, f'{service}, and there is {own}'
            outer = {pid for pid, _ in own.values()}
            mains = [inner for inner, (_, parent) in own.items() if parent not in outer]
            assert mains == [service['pid']], f'{name} runs more than once: {own}'
        assert not processes, f'processes of no service: {dict(processes)}'
        for i, verb in enumerate(self.own):
            state = services[f'own-{i}']['state']
            assert verb is None or state == ('stopped' if verb == 'Stop' else 'running'), (
                f'own-{i} is {state} after {verb}')
        bugs = [line for line in self.machine.console().splitlines() if 'A bug' in line or
                'ERROR: AddressSanitizer' in line or 'runtime error:' in line]
        assert not bugs, bugs

    def judge_needs(self, details):
        """Who runs has its needs up, and no enemy beside it; but a reload stops nothing: one whose
        file was written may run without what that brought."""
        states = {service['name']: service['state'] for service in details}
        for service in details:
            judged = service['state'] == 'running' and service['name'] not in self.changed
            for other in service['dependencies'] if judged else ():
                state = states.get(other['name'])
                if other['kind'] == 'needs' and state is not None:
                    assert state in UP, f'{service["name"]} runs, and its need {other} is {state}'
                if other['kind'] == 'conflicts' and other['name'] not in self.changed:
                    assert state != 'running', f'{service["name"]} runs beside {other}'

    def judge_files(self, services, changes):
        """After a reload: whose file is there is listed, whose file is not only while it runs."""
        for name, text in self.written.items():
            if not name.endswith('@'):
                assert (name in services) >= (text is not None), f'{name} has a file, is not listed'
            for listed in instances_of([name]) or [name]:
                state = services.get(listed, {}).get('state', 'running')
                assert text is not None or state == 'running', f'{listed} is listed without a file'
        said = {change['name']: change['change'] for change in changes}
        for name, text in self.written.items():
            broken = text is not None and 'nonsense' in text
            assert (said.get(name) == 'broken') == broken, (name, said.get(name), text)

    def judge_changed(self):
        """With nothing else going on, what was written since and runs is started by its new file:
        then nobody is excused."""
        services = self.rest()
        names = [name for name in sorted(self.changed)
                 if services.get(name, {}).get('state') == 'running']
        connection = Connection(self.machine.runtime / 'control')
        try:
            if names:
                reply = connection.call('Restart', {'names': names})
                told = {result['name'] for result in reply['parameters']['results']}
                assert told >= set(names), f'{set(names) - told} not told of: {reply}'
            self.changed.clear()
            self.rest()
            self.judge_needs(connection.call('Status')['parameters']['services'])
        finally:
            connection.close()

    def judge_all(self):
        services = self.rest()
        connection = Connection(self.machine.runtime / 'control')
        try:
            changes = connection.call('Reload')['parameters']['changes']
            services = self.rest()
            self.judge_files(services, changes)
            self.judge_needs(connection.call('Status')['parameters']['services'])
        finally:
            connection.close()
        return services

    def judge_calm_requests(self, chooser):
        """With nothing else going on, what is answered is what is."""
        connection = Connection(self.machine.runtime / 'control')
        try:
            for verb in ('Stop', 'Start', 'Restart', 'Stop', 'Start'):
                name = chooser.choice(self.names)
                reply = connection.call(verb, {'names': [name]})
                services = self.rest()
                if 'error' in reply:
                    assert name not in services, reply
                    continue
                result = [r for r in reply['parameters']['results'] if r['name'] == name][0]
                state = services[name]['state'] if name in services else 'stopped'
                assert result['outcome'] in ('done', 'already', 'failed', 'refused'), result
                if verb == 'Stop':
                    assert state in ('stopped', 'broken'), (verb, result, services.get(name))
                elif result['outcome'] in ('done', 'already') and not moves(name, 'running'):
                    # Unless a need, one of those that crash, has taken it down since. Of one whose
                    # file was broken meanwhile that is said instead.
                    reason = services[name]['reason'] or ''
                    assert state in UP or reason.startswith('needs ') or f'{name}.yml:' in reason, (
                        verb, result, services.get(name))
        finally:
            connection.close()
