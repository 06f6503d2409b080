"""One scenario of a machine, in which the calls that conit's programs make of the kernel, or an allocation
of theirs, fail where a rule says so, and a judgement of what came of it.

    sites = survey(build)                     where a run without a fault makes which calls
    play(build, Fault(site, errno, skip=0))   one run with it: raises Bad with all that is wrong

faults.h says how the rule and the sites are shared with inject.c.
"""
import collections
import contextlib
import errno
import json
import mmap
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / 'tests/pidns'), str(TOP / 'tests/faults')]
# pylint: disable=wrong-import-position
import frames
import harness
from harness import Machine, Skip, below, open_fds, until
from services import PYTHON, define

KIND = os.environ.get('CONIT_BUILD_KIND', 'release')
INJECT = pathlib.Path(os.environ.get(
    'CONIT_INJECT', TOP / f'build/{"coverage" if KIND == "coverage" else "test"}/tests/faults/inject'))
HEAD, SITE = struct.Struct('QQQ56sIIiIIIII'), struct.Struct('QIIQ8Q72s')
RULE = struct.Struct('QQQ56sIIiI')
DEPTH, ALLOCATION = 8, 0xffff
TIMES_AT = RULE.size
PATIENCE = 20  # seconds for anything in a run; what waits for a time-out of its own is quicker

Site = collections.namedtuple('Site', 'hash program number count chain text')
Fault = collections.namedtuple('Fault', 'site error skip times', defaults=(0, 1))


class Bad(Exception):
    """What a run with a fault has left that it should not."""


# The programs' words for numbers and places.

def tables():
    """({number: program}, {number: (call, [errno])})."""
    programs, calls = {}, {ALLOCATION: ('allocation', [errno.ENOMEM])}
    output = subprocess.run([str(INJECT), '--list'], capture_output=True, text=True, check=True)
    for line in output.stdout.splitlines():
        what, number, name, *errors = line.split()
        if what == 'program':
            programs[int(number)] = name
        else:
            calls[int(number)] = (name, [int(error) for error in errors])
    return programs, calls


class Names:
    """Function names of the addresses in a build's programs."""

    # A release's programs are stripped; what they were made from is not.
    FOLDERS = {'release': ('build/small/src', 'build/large/src'), 'asan': ('build/test/src',),
               'memory': ('build/memory/src',), 'coverage': ('build/coverage/src',)}

    def __init__(self, kind):
        self.kind, self.symbols = kind, {}

    def file(self, program):
        paths = [TOP / folder / program / program for folder in self.FOLDERS[self.kind]]
        return next((path for path in paths if path.exists()), None)

    def load(self, program):
        path = self.file(program)
        if not path:
            return []
        output = subprocess.run(['nm', '--defined-only', str(path)], capture_output=True, text=True,
                                check=True).stdout
        rows = [line.split() for line in output.splitlines()]
        return sorted((int(row[0], 16), row[2]) for row in rows if row[1] in 'tTwW')

    def frames(self):
        """A folder with the tables of the programs' frames; made when one is older than its program."""
        folder = TOP / 'build/faults' / f'frames-{self.kind}'
        folder.mkdir(parents=True, exist_ok=True)
        for program in tables()[0].values():
            path, table = self.file(program), folder / program
            if path and not (table.exists() and table.stat().st_mtime > path.stat().st_mtime):
                new = folder / f'{program}.{os.getpid()}'
                frames.write(path, new, 'small' in path.parts)  # that is musl
                new.rename(table)
        return str(folder)

    def of(self, program, address):
        if program not in self.symbols:
            self.symbols[program] = self.load(program)
        best = '?'
        for start, name in self.symbols[program]:
            if start >= address:  # a return address lies behind the call
                break
            best = name
        return best

    def range(self, program, function):
        """(its first byte, the one behind its last); release builds inline what is static."""
        symbols = self.load(program)
        for (start, name), (end, _) in zip(symbols, symbols[1:]):
            if name == function:
                return start, end
        raise AssertionError(f'{program} has no function {function}')

    def chain(self, program, site):
        names = [self.of(program, address) for address in site.chain if address]
        return ' < '.join(name.split('.')[0] for name in names)


class Rules:
    """The shared file."""

    def __init__(self, path):
        path.write_bytes(b'')
        self.file = open(path, 'r+b')  # pylint: disable=consider-using-with
        self.file.truncate(HEAD.size + SITE.size * 8192)
        self.map = mmap.mmap(self.file.fileno(), 0)

    def set(self, fault):
        site = fault.site
        self.map[:RULE.size] = RULE.pack(site.hash, 0, 0, b'', site.program, site.number, fault.error,
                                         fault.skip)
        self.map[TIMES_AT:TIMES_AT + 4] = struct.pack('I', fault.times)

    def fail(self, program, call, error, function=None, path='', times=1, skip=0):
        """Lets this call of a program fail, so often, after so many that do not: where it is made by way of a
        function, where its path has this in it."""
        programs, calls = tables()
        number = {name: number for number, (name, _) in calls.items()}[call]
        which = {name: number for number, name in programs.items()}[program]
        low, high = Names(KIND).range(program, function) if function else (0, 0)
        self.map[:RULE.size] = RULE.pack(0, low, high, path.encode(), which, number, error, skip)
        self.lift(times)

    def lift(self, times=0):
        """Nothing fails any more (or so many again). Returns how many were still to come."""
        left = struct.unpack('I', self.map[TIMES_AT:TIMES_AT + 4])[0]
        self.map[TIMES_AT:TIMES_AT + 4] = struct.pack('I', times)
        return left

    def hits(self):
        return HEAD.unpack_from(self.map)[9]

    def sites(self):
        count = HEAD.unpack_from(self.map)[10]
        for i in range(count):
            fields = SITE.unpack_from(self.map, HEAD.size + i * SITE.size)
            yield Site(*fields[:4], fields[4:12], fields[12].split(b'\0')[0].decode(errors='replace'))

    def close(self):
        self.map.close()
        self.file.close()


class FaultMachine(Machine):
    """A machine below inject. `calls`: names of system calls, or `all`; none for allocations. `of_slc`: it is
    slc's calls, which is run from outside, that fail."""

    def __init__(self, calls='all', of_slc=False, **more):
        super().__init__(**more)
        self.rules, self.calls = Rules(self.folder / 'faults'), '' if of_slc else calls
        if of_slc and calls:
            self.client = [str(INJECT), str(self.folder / 'faults'), calls, *self.client]
        if KIND == 'release':  # with sanitizers frames are told by a register, which nobody shows
            os.environ['CONIT_FRAMES'] = Names(KIND).frames()
        if not calls:  # slc is given it, too
            self.environment['CONIT_FAULTS'] = os.environ['CONIT_FAULTS'] = str(self.folder / 'faults')

    def command(self):
        if not self.calls:
            return super().command()
        return [str(INJECT), str(self.folder / 'faults'), self.calls, *super().command()]

    def cgroups(self):
        """Whether services have cgroups of their own."""
        return not self.cgroup.folder or 'CGROUP' in count_descriptors(self).get('init', {})

    def end(self):
        super().end()
        for name in ('CONIT_FAULTS', 'CONIT_FRAMES'):
            os.environ.pop(name, None)
        self.rules.close()


# The scenario.

NOTIFY = ("import os, socket\n"
          "address = os.environ['NOTIFY_SOCKET']\n"
          "address = chr(0) + address[1:] if address[0] == '@' else address\n"
          "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1\\nSTATUS=serving', address)\n"
          "os.execv('/bin/sleep', ['sleep', '100000'])\n")
SOON = {'delay': '20ms', 'max': '200ms'}
SLEEP = ['/bin/sleep', '100000']
LINES = 20
TASK = f'for i in $(seq {LINES}); do echo "$i of {LINES}"; done'


def write_services(machine):
    folder = machine.folder
    (folder / 'env').write_text('FROM_FILE=yes\n')
    (folder / 'input').write_text('input\n')
    machine.config.write_text('title: faults\nlog: {max-size: 8M}\n')
    # Nobody ever touches these two.
    define(machine, 'steady', exec=SLEEP)
    define(machine, 'talks', exec=['/bin/sh', '-c', 'echo hello; exec sleep 100000'])
    machine.service('base', "script: 'echo up; echo >&3; exec sleep 100000'\nready: {fd: 3}\n"
                            'restart: {delay: 20ms, max: 200ms}\n')
    define(machine, 'web', exec=[PYTHON, '-IS', '-c', NOTIFY], ready='notify', needs=['base'],
           restart=SOON)
    define(machine, 'set', exec=SLEEP, user='nobody', group='nogroup', groups=[], dir='/tmp',
           umask='077', env={'A': 'b'}, env_file=str(folder / 'env'), stdin=str(folder / 'input'),
           nice=5, oom_score_adj=100, cpus='0', io='best-effort 5', sched='batch',
           limits={'nofile': 512, 'core': 0}, resources={'tasks': 100}, restart=SOON,
           log={'max-size': '64K', 'rate': '1000/s'})
    define(machine, 'hooks', exec=SLEEP, before_start=['/bin/echo before'], after_start='/bin/echo after',
           before_stop='/bin/true', after_stop='/bin/true', restart=SOON, wants=['t@1'])
    define(machine, 't@', exec=SLEEP, description='instance %i')
    define(machine, 'forks', type='forking', restart=SOON, forks={'pid-file': str(folder / 'forks.pid')},
           script=f'setsid sleep 100000 & echo $! >{folder}/forks.pid')
    define(machine, 'says', exec=['/bin/sh', '-c', 'echo now ready; exec sleep 100000'], ready={'log': 'ready'},
           restart=SOON)
    define(machine, 'file', exec=['/bin/sh', '-c', f'touch {folder}/is-ready; exec sleep 100000'],
           ready={'file': str(folder / 'is-ready')}, restart=SOON, when=[{'exists': str(folder / 'input')}])
    define(machine, 'checks', exec=SLEEP, ready={'exec': '/bin/true'}, restart=SOON, reload='/bin/true')
    define(machine, 'task', type='task', script=TASK, enabled=False)
    define(machine, 'fails', exec='/bin/false', restart={'delay': '10ms', 'limit': 1}, enabled=False)
    define(machine, 'goes', exec=SLEEP)


UP = ('steady', 'talks', 'base', 'web', 'set', 'hooks', 't@1', 'forks', 'says', 'file', 'checks', 'comes')
UNTOUCHED = ('steady', 'talks')
EXPECTED = {**dict.fromkeys(UP, 'running'), 'task': 'done', 'fails': 'failed'}
ALIVE = dict(EXPECTED, goes='stopped')


class Run:
    def __init__(self, machine, fault=None):
        self.machine, self.fault = machine, fault
        self.said, self.odd, self.wrong = [], [], []
        self.pids, self.end = {}, time.monotonic() + PATIENCE * 3
        self.lines_expected = 0

    def slc(self, *words, fine=(0,), timeout=PATIENCE):
        try:
            result = self.machine.slc(*words, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.wrong.append(f'slc {" ".join(words)}: no answer in {timeout} s')
            raise Bad from None
        self.said.append(result.stderr)
        if result.returncode not in fine:
            self.odd.append(f'slc {" ".join(words)} ended with {result.returncode}: '
                            f'{result.stderr.strip()[:500]}')
        return result

    def services(self):
        return {one['name']: one for one in self.machine.json('status', *[
            service['name'] for service in self.machine.json('list')])}

    # What happens.

    def boot(self):
        write_services(self.machine)
        self.machine.boot()
        self.machine.wait_booted(PATIENCE)
        self.wait_answer()

    def wait_answer(self):
        result = self.machine.slc('list', check=False)
        if result.returncode:
            self.said.append(result.stderr)
            self.odd.append('the launcher does not answer at once')
            until(lambda: self.machine.slc('list', check=False).returncode == 0, 'it answers', PATIENCE)

    def kill(self, program):
        """kill -9; until the next one runs, and the launcher answers."""
        old = self.machine.wait_pid_of(program)
        os.kill(old, signal.SIGKILL)
        self.machine.wait_pid_of(program, old)
        until(lambda: self.machine.slc('list', check=False).returncode == 0, 'it answers', PATIENCE)

    def crash(self, name):
        """Its main process is killed; until it is up again."""
        before = self.pid_of(name)
        outer = before and next((pid for pid in below(self.machine.pid) if inner(pid) == before), None)
        if not outer:
            self.odd.append(f'{name} had no process to kill')
            self.said.append(self.slc('status', name, fine=(0, 1, 2, 3, 4)).stdout)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(outer, signal.SIGKILL)
        self.slc('wait', name, '--state', 'running', '--timeout', '5s')
        with contextlib.suppress(AssertionError):
            until(lambda: self.pid_of(name) not in (before, None), 'again', 5)

    def pid_of(self, name):
        result = self.machine.slc('--json', 'status', name, check=False)
        self.said.append(result.stderr)
        with contextlib.suppress(ValueError, KeyError):  # it had no memory
            return json.loads(result.stdout)['pid']
        return None

    def act(self):
        machine = self.machine
        self.slc('start', 'task')
        self.crash('web')
        self.slc('restart', 'set')
        self.kill('service-launcher')
        self.slc('start', 'fails', fine=(0, 1))
        self.slc('restart', 'checks', 'says')
        self.slc('reload', 'checks')
        self.kill('service-journal')
        define(machine, 'comes', exec=SLEEP, restart=SOON)
        define(machine, 'hooks', exec=SLEEP, before_start=['/bin/echo again'], restart=SOON, wants=['t@1'],
               description='changed')
        (machine.services / 'goes.yml').unlink()
        self.slc('reload')
        self.slc('start', 'comes')
        self.slc('restart', 'hooks')
        self.slc('stop', 'forks', 'file')
        self.slc('start', 'forks', 'file')
        self.slc('stop', 'goes', fine=(0, 1, 3, 4))
        self.slc('journal', 'task', 'talks')

    def end_machine(self):
        """Poweroff: in order, with 0, in time."""
        if self.slc('poweroff').returncode:  # it has said why: who asked asks again
            self.slc('poweroff', fine=(0, 5))
        before = time.monotonic()
        try:
            status = self.machine.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.wrong.append('the machine did not end')
            return
        if status:
            self.wrong.append(f'the machine ended with {status}')
        took = time.monotonic() - before
        if took > PATIENCE * 0.4:
            self.odd.append(f'the end took {took:.1f} s')


def inner(pid):
    with contextlib.suppress(OSError, AttributeError):
        return harness.inner_pid(pid)
    return None


# What is looked at.

SHAPES = ((r'\[\d+\]', ''), (r'.*/conit-[0-9a-f]{16}', 'CGROUP'), (r'/tmp/[^/]*/?m\.[^/]*', '/M'), (r'/proc/\d+', '/proc/N'),
          (r'^/.*/m\.[a-z0-9_]{8}(?=/)', '/M'))


def shape_of(target):
    """What a descriptor is, without the number that differs from run to run."""
    for pattern, word in SHAPES:
        target = re.sub(pattern, word, target)
    return target


def descriptors(machine):
    """{program: {what: how many}}, at rest: twice the same."""
    seen = []

    def same():
        with contextlib.suppress(OSError):  # one was just closed
            seen.append(count_descriptors(machine))
        return len(seen) > 1 and seen[-1] == seen[-2]
    until(same, 'nobody opens or closes anything', PATIENCE, 0.02)
    return seen[-1]


def count_descriptors(machine):
    found = {}
    for pid in machine.own():
        stat = harness.stat_of(pid)
        if stat and stat[0] in ('init', 'service-launche', 'service-journal'):
            found[stat[0]] = collections.Counter(shape_of(to) for to in open_fds(pid).values())
    return found


def processes(machine):
    return collections.Counter(name for name, _, _ in below(machine.pid).values())


def differences(before, now):
    return {key: now[key] - before[key] for key in sorted({*before, *now}) if now[key] != before[key]}


# How the kernel's errors are worded: glibc's texts, musl's, and ours.
WORDS = {
    errno.EACCES: 'Permission denied|no permission|not permitted',
    errno.EMFILE: 'Too many open files|No file descriptors available|descriptor',
    errno.ENFILE: 'Too many open files in system',
    errno.ENOMEM: 'Cannot allocate memory|Out of memory|no memory',
    errno.EIO: 'Input/output error|I/O error',
    errno.EBUSY: 'Device or resource busy|Resource busy',
    errno.ECHILD: 'No child process',
    errno.ENOTTY: 'Inappropriate ioctl|Not a tty',
    errno.ENOTCONN: 'not connected',
    errno.ECONNREFUSED: 'Connection refused|nobody listens|no launcher answers',
    errno.EADDRINUSE: 'Address (already )?in use',
}


def is_named(fault, text):
    """Whether that text says what went wrong."""
    words = WORDS.get(fault.error, re.escape(os.strerror(fault.error)))
    call = tables()[1][fault.site.number][0]
    if fault.error == errno.ENOMEM:  # pthread_create(3) knows no other
        words += '|' + os.strerror(errno.EAGAIN)
    elif call in ('mmap', 'mremap', 'brk'):  # malloc(3) knows no other
        words += '|' + WORDS[errno.ENOMEM]
    return re.search(words, text, re.I) is not None


def judge_states(run, services, where):
    odd = []
    for name, expected in EXPECTED.items():
        state = services.get(name, {}).get('state', 'not there')
        if state != expected:
            odd.append(f'{where}: {name} is {state} ({services.get(name, {}).get("reason")})')
    for name in services:
        if name not in EXPECTED:
            odd.append(f'{where}: {name} is there')
    return odd


def judge_proc(run, services, where):
    """What is said to run runs, and nothing else does."""
    wrong, expected = [], collections.Counter()
    inside = {inner(pid): stat for pid, stat in below(run.machine.pid).items()}
    for name, service in services.items():
        pid = service['pid']
        if service['state'] == 'running':
            expected['sleep'] += 1
            if inside.get(pid, ('', 'Z'))[:1] != ('sleep',):
                wrong.append(f'{where}: {name} is to be process {pid}, which is {inside.get(pid)}')
        elif pid is not None:
            wrong.append(f'{where}: {name} is {service["state"]}, and has process {pid}')
    for name in ('service-launche', 'service-journal'):
        expected[name] += 1
    diff = differences(expected, processes(run.machine))
    if not run.machine.cgroups():
        diff.pop('follow-forks', None)
    if diff:
        wrong.append(f'{where}: processes that should not be there, or are not: {diff}')
    return wrong


def rest(run, where):
    """The services when nothing is under way any more. Who looks may be hung up on, once."""
    for last in (False, True):
        hits = run.machine.rules.hits()
        try:
            return run.machine.quiet()
        except (AssertionError, OSError, TypeError, KeyError) as error:
            if last or run.machine.rules.hits() == hits:
                run.wrong.append(f'{where}: does not come to rest: {error}')
                raise Bad from None


def heal(run, services):
    """The fault is over: what it hurt is set right by what a person would do."""
    run.slc('reload', fine=(0, 1))
    down = [name for name in EXPECTED if services.get(name, {}).get('state') != EXPECTED[name]]
    if down:
        run.slc('start', *down, fine=(0, 1))


def work(run):
    """Normal work: nothing of this may be odd any more."""
    before = len(run.odd)
    run.slc('restart', 'web', 'set', 'hooks', 'forks', 'says', 'file', 'checks', 't@1')
    run.slc('reload')
    run.slc('restart', 'task')
    run.wrong += [f'later: {odd}' for odd in run.odd[before:]]
    del run.odd[before:]


def printed(run, name):
    return run.slc('journal', name, '-o', 'cat').stdout.splitlines()


def judge_descriptors(run, program, expected):
    """None more than without a fault; one for another (/dev/null for a pipe) is as good. A file is
    opened again when it is written to."""
    diff = {what: count for what, count in differences(expected, run.shapes.get(program, {})).items()
            if not what.startswith('/M/logs')}
    if 'CGROUP' in diff or any('conit-follow' in what for what in diff):
        return  # services are, or were, followed by other means
    if sum(diff.values()) > 0:
        run.wrong.append(f'descriptors left open in {program}: {diff}')
    elif diff.get('pipe:', 0) < 0 and sum(diff.values()) < 0:
        run.odd.append(f'pipes missing in {program}: {diff}')


def judge_untouched(run, services):
    """What nobody was to touch is what it was after the boot."""
    for name, pid in run.untouched.items():
        if pid and services[name]['pid'] != pid:
            run.wrong.append(f'{name} was process {pid}, and is {services[name]["pid"]}')


def judge_journals(run):
    task = printed(run, 'task')
    whole = [f'{i} of {LINES}' for i in range(1, LINES + 1)]
    if len(task) % LINES or any(task[i:i + LINES] != whole for i in range(0, len(task), LINES)) or not task:
        run.wrong.append(f'the journal of task is not whole: {task}')
    talks = printed(run, 'talks')
    if talks.count('hello') != 1:
        run.wrong.append(f'the journal of talks: {talks}')


def everything_said(run):
    texts = [run.machine.console(), *run.said]
    for folder in (run.machine.logs, run.machine.runtime / 'log'):
        for path in folder.glob('*/*'):
            with contextlib.suppress(OSError):
                texts.append(path.read_bytes().decode(errors='replace'))
    for one in run.last.values():
        texts.append(str(one.get('reason')))
    return '\n'.join(texts)


def is_of_slc(fault):
    return fault is not None and tables()[0][fault.site.program] == 'slc'


def play(fault=None, calls=None, baseline=None, survey=None, of_slc=False):
    """One run. Returns the Run; its `wrong` is what must not be, its `odd` what must have been named."""
    names = calls if calls is not None else 'all' if fault is None else \
        '' if fault.site.number == ALLOCATION else tables()[1][fault.site.number][0]
    with FaultMachine(calls=names, of_slc=of_slc or is_of_slc(fault)) as machine:
        run = Run(machine, fault)
        run.last, run.hits, run.shapes = {}, 0, None
        if fault:
            machine.rules.set(fault)
        try:
            run.boot()
            run.untouched = {name: run.pid_of(name) for name in UNTOUCHED}
            run.act()
            services = run.last = rest(run, 'after it all')
            run.odd += judge_states(run, services, 'after it all')
            run.wrong += judge_proc(run, services, 'after it all')
            if not survey:
                left = machine.rules.lift()
                heal(run, services)
                work(run)
                services = rest(run, 'in the end')
                run.wrong += judge_states(run, services, 'in the end')
                run.wrong += judge_proc(run, services, 'in the end')
            judge_untouched(run, services)
            judge_journals(run)
            run.shapes = descriptors(machine)
            if baseline:
                for program, expected in baseline.items():
                    judge_descriptors(run, program, expected)
            if fault and not machine.rules.hits():
                machine.rules.lift(left)  # of the end itself
            run.end_machine()
        except Bad:
            pass
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError, TypeError, KeyError) as error:
            run.wrong.append(f'{type(error).__name__}: {str(error)[:1500]}')
        run.hits = machine.rules.hits()
        run.sites = list(machine.rules.sites())
        console = machine.console()
        for line in console.splitlines():
            if 'A part of conit was killed' in line and 'signal=9' not in line or 'ERROR: AddressSanitizer' in line \
                    or 'runtime error:' in line or 'ERROR: LeakSanitizer' in line or 'A bug' in line:
                run.wrong.append(line)
            elif 'A part of conit' in line and 'signal=9' not in line:
                run.odd.append(line)
        if fault and run.odd and not is_named(fault, everything_said(run)):
            run.wrong.append('nobody said what went wrong: ' + '; '.join(run.odd))
        run.console = console
    return run
