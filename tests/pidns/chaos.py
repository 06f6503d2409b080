"""The parts of the chaos, beside those of a storm (storm.py): services that number what they print and say
how they end, clients that ask for everything, a hand that kills our own programs, services and
children of ours, and rewrites, removes and breaks files, and an operator who upgrades to programs of this
version, of another one, and broken ones.

Afterwards every line that a service has printed is in its journal once and in its place, each run that
has ended has one event with the right status, and the list is what /proc says.
"""
import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import threading
import time

from harness import BUILD, ROOT, children_of, below, open_fds, until
from storm import ANSWER_WITHIN, CLIENTS, Client, Connection, Storm, service_name_of

HERE = pathlib.Path(__file__).resolve().parent
VERBS = ('Start',) * 5 + ('Stop',) * 3 + ('Restart',) * 4 + ('ReloadServices', 'Signal', 'Reset', 'Reload')
LOOKS = ('status', 'journal', 'events')
OURS = ('service-launche', 'service-journal')
HELPERS = ('read-services', 'compress-journa', 'follow-forks', 'slc')
FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
SMALL_LOG = 'log: {max-size: 64K, keep: 10000}\n'
RESTART = 'restart: {delay: 20ms, max: 300ms}\n'
BROKEN = 'nonsense: 1\n'
VARIANT = ROOT / 'build/variant/src'  # programs whose states have another layout
NO_PROGRAMS = (b'', b'#!/bin/sh\nexit 3\n', b'\x7fELF' + bytes(60))
CONTEXT = 12  # entries of a journal that are shown around what is wrong
PICTURE = 'what its journal has there'


def compile_speaker(folder):
    """The program of the services: static and small, for there are hundreds of it."""
    compiler = next(c for c in ('musl-gcc', 'cc') if shutil.which(c))
    subprocess.run([compiler, '-O2', '-static', '-D_GNU_SOURCE', '-o', str(folder / 'speaker'),
                    str(HERE / 'programs/speaker.c')], check=True)


# What a journal must look like.

LINE = re.compile(r'#(\d+) (\d+) (?:(end (?:code|signal) \d+)|([a-z]*))\Z')
STARTED = re.compile(r'started pid=(\d+)\Z')
ENDED = re.compile(r'ended pid=(\d+) (?:exit=(\d+)|signal=(SIG\w+))\Z')
OTHERS = ('failed: ', 'ended: ', 'stopped: ', 'done', 'is being told', 'reloaded', 'not reloaded',
          'did not stop in time', 'hook ')


class Run:
    """One run of a service, by what is in its journal."""

    def __init__(self, pid):
        self.pid, self.lines, self.announced = pid, 0, None
        self.ends, self.starts = [], 0

    def is_end(self, code, name):
        """Whether it may have ended so: as it has said, or by a kill that nobody can foretell."""
        if name == 'SIGKILL':
            return True
        if not self.announced:
            return not self.lines and name is not None  # before it has blocked signals
        kind, value = self.announced.split()[1:]
        return code == value if kind == 'code' else name == signal.Signals(int(value)).name


class Judge:
    """Reads one journal from first to last, and finds fault. While no journal runs, several runs may
    print and end: then all their lines come before the events of their ends."""

    def __init__(self, name):
        self.name = name
        self.runs, self.faults, self.entries = {}, [], []
        self.current, self.torn, self.counts = None, '', collections.Counter()

    def fault(self, what):
        self.faults.append((what, len(self.entries)))

    def picture(self):
        """The first faults, each with what stands around it."""
        texts = []
        for what, place in self.faults[:3]:
            around = self.entries[max(0, place - CONTEXT):place + CONTEXT // 2]
            texts.append(f'{self.name}: {what}; {PICTURE}:\n' + '\n'.join(
                f'    {time} {"+" if stream == "event" else " "}{text[:150]}'
                for time, stream, text in around))
        return '\n'.join(texts)

    def run_of(self, pid):
        return self.runs.setdefault(pid, Run(pid))

    def take_line(self, text):
        if text[:1] != '#' and self.torn:
            # The end of the run before, heard late, has cut a line in two.
            self.counts['torn'] -= 1
            self.counts['cut in two'] += 1
            text, self.torn = self.torn + text, ''
        torn, _, text = text.rpartition('#')
        found = LINE.match('#' + text)
        if not found:
            torn, found = torn + '#' + text, None
        if torn:
            self.take_torn(torn)
        if not found:
            return
        self.counts['lines'] += 1
        run = self.run_of(int(found[1]))
        if run is not self.current and run.lines:
            self.fault(f'{run.pid} goes on after {self.current.pid}')
        if run.announced or run.ends:
            self.fault(f'{run.pid} has printed after its end, "{run.announced}", {run.ends}')
        if int(found[2]) != run.lines + 1:
            self.fault(f'{run.pid} has line {found[2]} after {run.lines}')
        if found[4] and set(found[4]) != {chr(ord('a') + int(found[2]) % 26)}:
            self.fault(f'{run.pid} has not what it printed in its line {found[2]}')
        self.current, run.lines, run.announced = run, int(found[2]), found[3]
        self.torn = ''

    def take_torn(self, text):
        """A run was killed in the middle of a line; while no journal ran the next one goes on in it."""
        self.counts['torn'] += 1
        self.torn = text
        run = self.current
        begins = ([f'#{run.pid} {run.lines + 1} '] if run else []) + ['#']
        if not [b for b in begins if b.startswith(text) or text.startswith(b)] or text.count('#') > 1:
            self.fault(f'a line that is none: {text[:80]!r}')

    def take_event(self, text):
        started, ended = STARTED.match(text), ENDED.match(text)
        if started:
            run = self.run_of(int(started[1]))
            run.starts += 1
            if run.starts > 1:
                self.fault(f'the start of {run.pid} is told {run.starts} times')
        elif ended:
            run = self.run_of(int(ended[1]))
            run.ends.append(text)
            self.counts['ends'] += 1
            if len(run.ends) > 1:
                self.fault(f'the end of {run.pid} is told twice: {run.ends}')
            if not run.is_end(ended[2], ended[3]):
                self.fault(f'{run.pid} has said "{run.announced}", and this is told: {text}')
        elif not text.startswith(OTHERS):
            self.fault(f'a strange event: {text}')

    def take(self, entry):
        self.entries.append(entry)
        if entry[1] == 'event':
            self.take_event(entry[2])
        else:
            self.take_line(entry[2])

    def finish(self, pid_now):
        """`pid_now`: of the run that goes on, or None."""
        self.counts['runs'] += len(self.runs)
        for pid, run in self.runs.items():
            if pid != pid_now and not run.ends:
                self.fault(f'nothing tells how {pid} ended, which had {run.lines} lines')
            if pid == pid_now and run.ends:
                self.fault(f'{pid} runs, and this is told: {run.ends}')


# Who asks.

def make_plan(seed, client, names):
    """Requests without end, as those of a storm have them."""
    chooser = random.Random(f'{seed} client {client}')
    while True:
        if chooser.random() < 0.3:
            yield {'verb': 'look', 'how': chooser.choice(LOOKS), 'parameters': {
                'names': chooser.sample(names, chooser.choice((1, 1, 3)))}}
            continue
        verb = chooser.choice(VERBS)
        parameters = {} if verb == 'Reload' else {'names': chooser.sample(
            names, chooser.choice((1, 1, 2, 6)))}
        how = chooser.choices(('socket', 'more', 'slc', 'leave'), (60, 25, 5, 10))[0]
        if verb == 'Signal':
            parameters |= {'signal': chooser.choice(('HUP', 'USR1', 'TERM', 'ABRT', 'KILL')),
                           'all': chooser.random() < 0.3}
        elif verb not in ('Reload', 'Reset'):
            # What waits for a need that is killed again and again would wait for ever.
            parameters['timeout_ms'] = chooser.choice((0, 20, 300, 2000))
        yield {'verb': verb, 'parameters': parameters,
               'how': 'socket' if how == 'more' and verb in ('Reset', 'Signal') else how}


class Asker(Client):
    """A client of a storm that also looks: at details, at journals, at events."""

    def judge(self, request, reply):
        # Who reads the files is killed too.
        if 'was ended by signal' not in str(reply.get('parameters', {}).get('why')):
            super().judge(request, reply)

    def by_status(self, request):
        reply = self.connect().call('Status', {'names': request['parameters']['names']})
        self.answers['looked'] += 1
        if 'error' not in reply and len(reply['parameters']['services']) != len(
                request['parameters']['names']):
            self.fault(request, f'answered {reply}')

    def by_journal(self, request):
        done = subprocess.run(
            [str(BUILD / 'slc'), '--runtime', str(self.storm.machine.runtime), 'journal', '-n', '20',
             *request['parameters']['names']], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=ANSWER_WITHIN, check=False)
        self.answers['read'] += 1
        if done.returncode not in (0, 1, 4):
            self.fault(request, f'slc: {done}')

    def by_events(self, request):
        """Follows events until there was one for each name, or the launcher was killed."""
        connection = Connection(self.storm.machine.runtime / 'control')
        try:
            connection.send('Monitor', {'initial': True}, more=True)
            for _ in range(20):
                event = connection.receive()
                if 'event' not in event.get('parameters', {}):
                    self.fault(request, f'a strange event: {event}')
        finally:
            connection.close()
        self.answers['followed'] += 1


# The hand, and the look at what it left.

class Chaos(Storm):
    """`machine`: one whose programs can be exchanged (upgrading.py) if it is to be upgraded."""

    def __init__(self, machine, seed, count, kills_init=False, upgrades=False):
        compile_speaker(machine.folder)
        (machine.folder / 'calm').write_bytes(b'\0')
        super().__init__(machine, seed, count, kills_launcher=True)
        self.kills_init, self.upgrades, self.fds, self.own = kills_init, upgrades, None, []
        self.plans = [make_plan(seed, i, self.names) for i in range(CLIENTS)]
        self.hand = random.Random(f'{seed} hand')

    def make(self, chooser, count):
        """Who is later by number may need, want and follow those before it."""
        services = {}
        for i in range(count):
            name, before = f's{i:03}', list(services)
            text = (f'exec: FOLDER/speaker {chooser.randrange(1 << 40)} FOLDER/calm\n'
                    f'stop: {{timeout: 10s}}\nreload: signal HUP\n{RESTART}')
            for key, chance in (('needs', 0.25), ('wants', 0.4), ('after', 0.4)):
                if before and chooser.random() < chance:
                    text += f'{key}: {json.dumps(chooser.sample(before, min(2, len(before))))}\n'
            if chooser.random() < 0.3:
                text += SMALL_LOG
            text += chooser.choice(('', '', '', 'ready: {log: "^#[0-9]+ 1 "}\n', 'before-start: "true"\n',
                                    'after-stop: "true"\n', 'before-stop: "true"\n'))
            services[name] = text
        return services

    # The hand.

    def strike(self, pid, number, what):
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(pid, number)
            self.counts[what] += 1
            return True
        return False

    def kill_one(self):
        """Returns whether there was somebody to kill."""
        dice, processes = self.hand.random(), None
        if dice < 0.15:
            return self.strike(self.machine.pid_of(OURS[0]), signal.SIGKILL, 'launcher')
        if dice < 0.35:
            return self.strike(self.machine.pid_of(OURS[1]), signal.SIGKILL, 'journal')
        if dice < 0.40:
            return all([self.strike(self.machine.pid_of(name), self.hand.choice(
                (signal.SIGKILL, signal.SIGABRT)), 'both') for name in OURS])
        if self.kills_init and dice < 0.45:
            return self.strike(self.machine.pid, self.hand.choice(FAULTS), 'init')
        processes = below(self.machine.pid)
        if dice < 0.55:
            pids = sorted(pid for pid, stat in processes.items() if stat[0] in HELPERS)
            return bool(pids) and self.strike(self.hand.choice(pids), signal.SIGKILL, 'helpers')
        pids = sorted(pid for pid, stat in processes.items() if stat[0] == 'speaker')
        number = self.hand.choice((signal.SIGKILL,) * 5 + (
            signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV, signal.SIGUSR2))
        if not pids or not service_name_of(pid := self.hand.choice(pids)):
            return False
        return self.strike(pid, number, 'services')

    def kill_some(self, kills):
        end = time.monotonic() + 10 * kills
        while kills > 0 and not self.broken.is_set() and time.monotonic() < end:
            kills -= self.kill_one()
            self.over.wait(self.hand.expovariate(15))

    def rewrite_on(self, chooser):
        while not self.over.wait(chooser.expovariate(10)):
            name = chooser.choice(self.files)
            text = self.services[name]
            self.write(name, chooser.choice((
                text, text, f'{text}description: written anew\n', f'{text}{BROKEN}', None,
                re.sub('^(needs|wants).*\n', '', text, flags=re.M),
                text.replace(RESTART, 'restart: {delay: 10ms, max: 100ms}\n'))))

    def put_programs(self, chooser):
        """Some of them by others, as a package does that may be good or not."""
        for program in ('init', 'service-journal', 'service-launcher'):
            kind = chooser.choice(('same', 'same', 'ours', 'ours', 'other', 'other', 'none'))
            if kind == 'ours':
                self.machine.put(program, BUILD / program)
            elif kind == 'other':
                self.machine.put(program, VARIANT / program / program)
            elif kind == 'none':
                self.machine.put_text(program, chooser.choice(NO_PROGRAMS))

    def upgrade(self):
        """What slc says."""
        return subprocess.run(
            [str(BUILD / 'slc'), '--runtime', str(self.machine.runtime), '--json', 'upgrade'],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False)

    def upgrade_on(self, chooser):
        while not self.over.wait(chooser.expovariate(1)):
            self.put_programs(chooser)
            done = self.upgrade()
            if done.returncode not in (0, 1):
                self.odd.append(f'slc upgrade: {done}')
                return
            for part in json.loads(done.stdout)['parts']:
                self.counts[f'{part["name"]} {part["outcome"]}'] += 1

    def upgrade_to_ours(self):
        """With nobody who kills: then nothing may keep a part from it."""
        for program in ('init', 'service-journal', 'service-launcher'):
            self.machine.put_back(program)
        done = self.upgrade()
        assert done.returncode == 0, done

    def rage(self, kills):
        """Until so many are killed, and everybody has an answer to what was asked last."""
        goes_on = lambda _: not self.over.is_set()
        askers = [Asker(self, i, itertools.takewhile(goes_on, plan))
                  for i, plan in enumerate(self.plans)]
        self.over.clear()
        self.odd = []
        self.set_calm(False)
        threads = [threading.Thread(target=asker.run) for asker in askers]
        threads.append(threading.Thread(target=self.rewrite_on, args=(self.hand,)))
        if self.upgrades:
            threads.append(threading.Thread(target=self.upgrade_on, args=(random.Random(f'{self.seed} upgrades'),)))
        for thread in threads:
            thread.start()
        self.kill_some(kills)
        self.over.set()
        for thread in threads:
            thread.join()
        faults = sum((asker.faults for asker in askers), self.odd)
        assert not faults, '\n'.join(faults[:20])
        return sum((asker.answers for asker in askers), collections.Counter())

    # At rest.

    def set_calm(self, calm):
        with open(self.machine.folder / 'calm', 'r+b') as file:
            file.write(b'\1' if calm else b'\0')

    def settle(self):
        """All files as they were at first, all services up: as after the boot."""
        self.set_calm(True)
        for name, text in self.services.items():
            self.write(name, text)
        connection = Connection(self.machine.runtime / 'control')
        try:
            changes = connection.call('Reload')
            connection.call('Reset', {'names': self.names})
            reply = connection.call('Start', {'names': self.names, 'timeout_ms': 60000})
        finally:
            connection.close()
        services = self.rest()
        wrong = {name: services.get(name) for name in self.names
                 if services.get(name, {}).get('state') != 'running'}
        told = [result for result in reply['parameters']['results'] if result['name'] in wrong]
        assert not wrong, f'not up again: {wrong}; {told}; {changes}'
        return services

    def judge_descriptors(self):
        """As many as after the boot: the same services run."""
        def found():
            count = {}
            for name in ('init', *OURS):
                pid = self.machine.pid if name == 'init' else self.machine.pid_of(name)
                # Files of journals are open for a while only.
                count[name] = collections.Counter(
                    re.sub(r'\d+|\(.*', '', target) for target in open_fds(pid).values()
                    if not target.startswith(str(self.machine.logs)))
            # So is that of a compressor, which only runs while nobody else wants to.
            compressors = [stat for stat in children_of(self.machine.pid_of(OURS[1])).values()
                           if stat[0] == 'compress-journa']
            count[OURS[1]] -= collections.Counter({'anon_inode:[pidfd]': len(compressors)})
            return count
        self.fds = self.fds or found()
        if found() != self.fds:
            with contextlib.suppress(AssertionError):
                until(lambda: found() == self.fds, 'descriptors are as they were', 30)
        now = found()
        for name, before in self.fds.items():
            more, less = now[name] - before, before - now[name]
            assert not more and not less, f'{name} has descriptors more: {more}, and less: {less}'

    def judge_cgroups(self):
        folders = []
        if self.machine.cgroup.folder:
            for folder, _, files in os.walk(self.machine.cgroup.folder):
                with open(os.path.join(folder, 'cgroup.procs'), encoding='ascii') as procs:
                    if folder.rsplit('/', 1)[1].startswith('s') and not procs.read():
                        folders.append(folder)
        assert not folders, f'cgroups of what runs are empty: {folders}'

    def judge_zombies(self):
        until(lambda: not [pid for root in (self.machine.pid, self.machine.pid_of(OURS[0]))
                           for pid, stat in children_of(root).items() if stat[1] == 'Z'],
              'no zombie is left')

    def read_journals(self):
        """{name: its entries}, as slc prints them: across files that are sealed and compressed."""
        command = [str(BUILD / 'slc'), '--runtime', str(self.machine.runtime), 'journal', '-o', 'json']
        found = collections.defaultdict(list)
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as reader:
            for line in reader.stdout:
                entry = json.loads(line)
                found[entry['service']].append((entry['time'], entry['stream'], entry['message']))
        assert reader.returncode == 0, f'slc journal ended with {reader.returncode}'
        return found

    def judge_journals(self, services):
        """Returns what there was."""
        journals, counts, faults = self.read_journals(), collections.Counter(), []
        for name in self.names:
            judge = Judge(name)
            for entry in journals[name]:
                judge.take(entry)
            judge.finish(services[name]['pid'])
            counts += judge.counts
            if judge.faults:
                faults.append(judge.picture())
                counts['faults'] += len(judge.faults)
        assert not faults, f'{len(faults)} journals are wrong, {counts}:\n' + '\n'.join(faults[:8])
        return counts

    def judge_rest(self):
        if self.upgrades:
            self.upgrade_to_ours()
        services = self.settle()
        self.judge_zombies()
        self.judge_cgroups()
        self.judge_descriptors()
        return services
