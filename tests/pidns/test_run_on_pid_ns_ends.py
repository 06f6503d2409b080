"""run-on-pid-ns: how what runs inside is told to stop, and what its end means."""
import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import time

from harness import BUILD, DEADLINE, children_of, need_root, stat_of, until

PROGRAM = str(BUILD / 'run-on-pid-ns')
PYTHON = '/usr/bin/python3'
LONG = 100000
SIGTIMEDWAIT = {'x86_64': '128', 'aarch64': '137'}  # rt_sigtimedwait(2) in /proc/PID/syscall
# What the fake inits are made of. `on(NUMBER, function)` says so once the handler is there.
PRELUDE = '''
import ctypes, os, signal, sys
def say(*words): os.write(1, (' '.join(map(str, words)) + chr(10)).encode())
def reboot(): ctypes.CDLL(None).reboot(ctypes.c_int(0x01234567))
def power_off(): ctypes.CDLL(None).reboot(ctypes.c_int(0x4321fedc))
def on(number, act): signal.signal(number, lambda n, f: (say('got', n), act()))
def wait():
    reading, writing = os.pipe()  # signal.pause() would miss one that comes just before
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    say('up')
    while True: os.read(reading, 1)
'''


def init(text):
    return [PYTHON, '-ISc', PRELUDE + text]


class Running:
    """A run-on-pid-ns whose output is waited for."""

    def __init__(self, *command, **popen):
        need_root()
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [PROGRAM, *map(str, command)],
            **{'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT} | popen)
        self.pid = self.process.pid
        self.output = b''

    def read(self, deadline=DEADLINE):
        """What comes next; b'' at the end."""
        if not select.select([self.process.stdout], [], [], deadline)[0]:
            raise AssertionError(f'nothing comes after {self.output}')
        more = os.read(self.process.stdout.fileno(), 65536)
        self.output += more
        return more

    def until(self, text, count=1):
        while self.output.count(text.encode()) < count:
            if not self.read():
                raise AssertionError(f'{text!r} does not come: {self.output}')
        return self

    def signal(self, number):
        self.process.send_signal(number)
        return self

    def end(self):
        """Its status and all it has printed, once both have ended."""
        while self.read():
            pass
        return self.process.wait(DEADLINE), self.output.decode()

    def first(self):
        """The pid, outside, of process 1."""
        until(lambda: children_of(self.pid), 'there is a process 1')
        return next(iter(children_of(self.pid)))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if self.process.stdin:
            self.process.stdin.close()


@contextlib.contextmanager
def running(*command, **popen):
    one = Running(*command, **popen)
    try:
        yield one
    finally:
        one.close()


def ended(*command):
    with running(*command) as one:
        return one.end()


# ---- ends

def test_a_power_off_inside_is_an_end_with_0_and_told():
    for options in ([], ['--on-reboot', 'exit']):
        status, output = ended(*options, '--', *init('say("runs"); power_off()'))
        assert status == 0 and 'powered off' in output and output.count('runs') == 1, output


def test_a_reboot_inside_starts_the_command_again_in_namespaces_of_its_own():
    folder = pathlib.Path(os.environ['TMPDIR'])
    text = f'''
import pathlib
count = pathlib.Path({str(folder)!r}) / 'count'
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
os.system(f'mount -t tmpfs mark{{number}} {folder}')
say('run', number, os.getpid(), *(line.split()[0] for line in open('/proc/mounts') if line[:4] == 'mark'))
reboot() if number < 3 else sys.exit(7)
'''
    began = time.monotonic()
    status, output = ended('--', *init(text))
    took = time.monotonic() - began
    runs = [line.split() for line in output.splitlines() if line.startswith('run ')]
    assert status == 7, output
    assert [run[1:] for run in runs] == [[str(n), '1', f'mark{n}'] for n in (1, 2, 3)], output
    assert 'reboots=2' in output, output
    assert took >= 2, took  # no sooner than a second after the last start


def test_a_reboot_inside_is_an_end_with_129_where_that_is_asked_for():
    status, output = ended('--on-reboot', 'exit', '--', *init('say("runs"); reboot()'))
    assert status == 129 and 'rebooted' in output and output.count('runs') == 1, output


def test_it_is_told_to_stop_while_it_waits_to_start_again():
    for _ in range(20):  # where its first run takes more than a second it does not wait
        with running('--', *init('reboot()')) as one:
            one.until('rebooted').signal(signal.SIGTERM)
            status, output = one.end()
        if status == 0:
            break
        assert status == 128 + signal.SIGTERM, output
    assert status == 0 and output.count('starting it again') == 1, output


def test_statuses_and_signals_of_the_command_come_out():
    assert ended('sh', '-c', 'exit 41')[0] == 41
    with running('--', *init('wait()')) as one:
        os.kill(one.until('up').first(), signal.SIGKILL)
        assert one.end()[0] == 128 + signal.SIGKILL
    # Of its own making: a fault is a signal that the kernel does not drop.
    assert ended('--', *init('ctypes.string_at(0)'))[0] == 128 + signal.SIGSEGV


# ---- signals

def test_signals_are_passed_on_each_to_its_handler():
    numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
               signal.SIGALRM, signal.SIGPIPE, signal.SIGPWR, signal.SIGWINCH, signal.SIGURG,
               signal.SIGCONT, signal.SIGTSTP, 34, 35, 37, 64]
    with running('--', *init(f'for n in {list(map(int, numbers))}: on(n, lambda: None)\nwait()')) as one:
        one.until('up')
        for number in numbers:
            one.signal(number).until(f'got {int(number)}\n')
        assert one.process.poll() is None


def test_a_signal_that_it_ignores_or_that_ends_nobody_does_not_end_it():
    with running('--', *init('signal.signal(1, signal.SIG_IGN); on(15, lambda: sys.exit(3)); wait()')) as one:
        one.until('up')
        for number in (signal.SIGHUP, signal.SIGWINCH, signal.SIGURG, signal.SIGCHLD, signal.SIGCONT):
            one.signal(number)
        one.signal(signal.SIGTERM)
        assert one.end()[0] == 3


def test_one_that_waits_for_a_signal_without_a_handler_gets_it():
    # As busybox's init does. /proc shows what is waited for as neither blocked nor handled.
    wait = 'signal.pthread_sigmask(0, {10, 12})\nsay("up")\nwhile True: say("got", int(signal.sigwait({10, 12})))'
    with running('--', *init(wait)) as one:
        one.until('up')
        call, number = pathlib.Path(f'/proc/{one.first()}/syscall'), SIGTIMEDWAIT[os.uname().machine]
        for count in range(1, 4):
            until(lambda: call.read_text(encoding='ascii').split()[0] == number, 'it waits')
            one.signal(signal.SIGUSR2).until('got 12\n', count)
        assert one.process.poll() is None


def test_a_signal_that_ends_a_common_process_kills_one_without_a_handler():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, 40):
        with running('sh', '-c', f'echo up; exec sleep {LONG}') as one:
            one.until('up').signal(number)
            status, output = one.end()
            assert status == 128 + number and 'no handler' in output, (number, status, output)


def test_one_that_is_to_stand_still_does_and_so_does_what_started_it():
    with running('sh', '-c', f'echo up; exec sleep {LONG}') as one:
        first = one.until('up').first()
        one.signal(signal.SIGTSTP)
        until(lambda: stat_of(one.pid)[1] == stat_of(first)[1] == 'T', 'both stand still')
        one.signal(signal.SIGCONT)
        until(lambda: stat_of(one.pid)[1] == stat_of(first)[1] == 'S', 'both go on')


# ---- stopping

def shell_called(name):
    """A shell whose program has that name: it goes by what is executed."""
    folder = pathlib.Path(os.environ['TMPDIR']) / 'bin'
    folder.mkdir(exist_ok=True)
    path = folder / name
    shutil.copy('/bin/dash', path)
    return path


TRAPS = ('for n in 12 15 30 37 38; do trap "echo got $n; exit $n" $n; done; echo up; '
         'while :; do read x; done')


def test_each_init_is_told_to_stop_as_it_understands_it():
    folder = pathlib.Path(os.environ['TMPDIR'])
    link = folder / 'sbin-init'
    for name, number in (('systemd', 37), ('finit', 12), ('init', 15), ('anything', 15)):
        program = shell_called(name)
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        for command in ([program, '-c', TRAPS], [link, '-c', TRAPS],
                        ['sh', '-c', 'exec "$@"', 'sh', program, '-c', TRAPS]):
            with running(*command, stdin=subprocess.PIPE) as one:
                one.until('up').signal(signal.SIGTERM)
                ended_as = one.end()
            assert ended_as == (number, f'up\ngot {number}\n'), (name, ended_as)


def test_busybox_is_told_so_only_as_init():
    folder = pathlib.Path(os.environ['TMPDIR'])
    busybox = shell_called('busybox')
    for name, number in (('init', 12), ('linuxrc', 12), ('sh', 15)):
        (folder / name).symlink_to(busybox)
        with running(folder / name, '-c', TRAPS, stdin=subprocess.PIPE) as one:
            one.until('up').signal(signal.SIGTERM)
            ended_as = one.end()
            assert ended_as == (number, f'up\ngot {number}\n'), (name, ended_as)


# In front of what is to find another folder's programs inside.
MOUNT = 'mount --bind {0}/sbin /usr/local/sbin || exit 99; '


def commands(**texts):
    """Programs in a folder, which MOUNT puts in front of all others."""
    folder = pathlib.Path(os.environ['TMPDIR'])
    (folder / 'sbin').mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / 'sbin' / name).write_text(f'#!/bin/sh\n{text}\n', encoding='ascii')
        (folder / 'sbin' / name).chmod(0o755)
    return MOUNT.format(folder)


def test_sysvinit_and_runit_are_told_by_init_0_inside():
    # It is in all the namespaces of process 1, found though our own PATH does not lead there.
    mount = commands(init='for n in user mnt pid uts ipc net time cgroup; do '
                          '[ "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" ] || echo other $n; done; '
                          'echo told $# $1 $(cat /proc/1/comm); kill -USR1 1')
    sysvinit = shell_called('init')
    with open(sysvinit, 'ab') as file:
        file.write(b'/run/initctl')
    for program in (sysvinit, shell_called('runit'), shell_called('runit-init')):
        text = f'{mount}trap "echo got USR1; exit 4" USR1; {TRAPS}'
        for options in ([], ['--uts', '--ipc', '--net', '--user']):
            with running(*options, '--', program, '-c', text, stdin=subprocess.PIPE,
                         env=os.environ | {'PATH': '/usr/bin:/bin'}) as one:
                one.until('up').signal(signal.SIGTERM)
                ended_as = one.end()
            assert ended_as == (4, f'up\ntold 1 0 {program.name}\ngot USR1\n'), (program, options, ended_as)


def test_a_stop_command_does_not_get_what_is_meant_for_the_outer_process():
    script = pathlib.Path(os.environ['TMPDIR']) / 'stop'
    script.write_text('env; kill -USR1 1', encoding='ascii')
    with running('--stop-command', f'sh {script}', '--', *init('on(10, lambda: sys.exit(4)); wait()'),
                 env=os.environ | {'NOTIFY_SOCKET': '/does/not/exist', 'LISTEN_FDS': '1', 'KEPT': 'yes'}) as one:
        status, output = one.until('up').signal(signal.SIGTERM).end()
        assert status == 4 and 'KEPT=yes' in output, output
        assert 'NOTIFY_SOCKET' not in output and 'LISTEN_FDS' not in output, output


def test_an_option_says_how_it_is_told_to_stop():
    for option in ('RTMIN+3', 'SIGRTMIN+3', '37'):
        with running('--stop-signal', option, '--', *init('on(37, lambda: sys.exit(5)); wait()')) as one:
            one.until('up').signal(signal.SIGTERM)
            assert one.end()[0] == 5
    text = commands(halt='echo told "$@"; kill -USR1 1') + 'trap "exit 6" USR1; echo up; while :; do sleep 0.05; done'
    with running('--stop-command', ' halt  -f now ', '--', 'sh', '-c', text) as one:
        one.until('up').signal(signal.SIGTERM)
        status, output = one.end()
        assert status == 6 and 'told -f now\n' in output, output


def test_an_ordinary_user_stops_what_runs_in_a_user_namespace_in_each_way():
    text = 'trap "echo $(id -u) USR1; exit 4" USR1; trap "echo TERM; exit 5" TERM; echo up; while :; do read x; done'
    for options, status, told in ((['--stop-command', '/bin/kill -USR1 1'], 4, '0 USR1'), ([], 5, 'TERM')):
        with running('--user', *options, '--', 'sh', '-c', text, stdin=subprocess.PIPE, user=65534, group=65534,
                     extra_groups=[], cwd='/') as one:
            one.until('up').signal(signal.SIGTERM)
            assert one.end() == (status, f'up\n{told}\n'), one.output
    with running('--user', '--', 'sleep', str(LONG), user=65534, group=65534, extra_groups=[], cwd='/') as one:
        until(lambda: stat_of(one.first())[0] == 'sleep', 'it is executed')
        assert one.signal(signal.SIGTERM).end()[0] == 128 + signal.SIGTERM


def test_a_stop_command_that_fails_is_told_and_sigterm_is_sent():
    for command, words in (('does-not-exist', 'status=127'), ('/etc/passwd', 'status=126'),
                           ('false', 'status=1')):
        with running('--stop-command', command, '--', *init('on(15, lambda: sys.exit(8)); wait()')) as one:
            one.until('up').signal(signal.SIGTERM)
            status, output = one.end()
            assert status == 8 and words in output and 'sending SIGTERM' in output, output
    with running('--stop-command', 'does-not-exist', '--', 'sleep', str(LONG)) as one:
        os.stat(f'/proc/{one.first()}')
        until(lambda: stat_of(one.first())[0] == 'sleep', 'it is executed')
        one.signal(signal.SIGTERM)
        assert one.end()[0] == 128 + signal.SIGTERM


def test_what_does_not_stop_is_killed_after_the_time_out():
    with running('--stop-timeout', '300ms', '--', *init('on(15, lambda: None); wait()')) as one:
        one.until('up')
        began = time.monotonic()
        one.signal(signal.SIGTERM)
        status, output = one.end()
        assert status == 128 + signal.SIGKILL and 'did not stop in time' in output, output
        assert 'timeout_ms=300' in output and time.monotonic() - began >= 0.3


def test_asking_again_tells_it_again_and_kills_nobody():
    text = 'left = [1, 2, 3]\non(15, lambda: (left.pop(), left or sys.exit(2))); wait()'
    with running('--stop-timeout', 'never', '--', *init(text)) as one:
        one.until('up')
        for count in (1, 2, 3):
            one.signal(signal.SIGTERM).until('got 15', count)
        assert one.end()[0] == 2


def test_a_reboot_while_it_is_being_stopped_is_an_end_with_0():
    for act, words in (('reboot', 'rebooted'), ('power_off', 'powered off')):
        for options in ([], ['--on-reboot', 'exit']):
            with running(*options, '--', *init(f'on(15, {act}); wait()')) as one:
                one.until('up').signal(signal.SIGTERM)
                status, output = one.end()
                assert status == 0 and words in output and output.count('up') == 1, output


def test_its_death_takes_everything_inside_along_also_after_a_reboot_and_while_it_stops():
    folder = pathlib.Path(os.environ['TMPDIR'])
    text = (f'again = os.path.exists({str(folder)!r} + "/again")\n'
            f'again or (open({str(folder)!r} + "/again", "w").close(), reboot())\n'
            f'os.posix_spawn("/usr/bin/setsid", ["setsid", "sleep", "{LONG}"], os.environ)\n'
            'on(15, lambda: None); wait()')
    with running('--', *init(text)) as one:
        first = one.until('up').first()
        until(lambda: any(name == 'sleep' for name, _, _ in children_of(first).values()), 'it has a child')
        inside = [first, *children_of(first)]
        one.signal(signal.SIGTERM).until('got 15')
        one.process.kill()
        one.process.wait()
        until(lambda: all(not stat_of(pid) or stat_of(pid)[1] == 'Z' for pid in inside), 'all are gone')


def test_its_death_takes_along_who_has_changed_its_user():
    text = 'os.setgroups([]); os.setresuid(65534, 65534, 65534); say("changed"); wait()'
    with running('--', *init(text)) as one:
        first = one.until('changed').first()
        one.process.kill()
        one.process.wait()
        until(lambda: not stat_of(first) or stat_of(first)[1] == 'Z', 'it is gone')


def test_the_guard_holds_nothing_open_and_ends_with_it():
    with running('--', *init('wait()')) as one:
        one.until('up').first()
        guard = next(pid for pid, (name, _, _) in children_of(one.pid).items() if name == 'pid-ns-guard')
        until(lambda: sorted(os.listdir(f'/proc/{guard}/fd')) == ['0', '1'], 'it has two descriptors')
        assert os.getsid(guard) == guard
        one.process.kill()
        one.process.wait()
        until(lambda: not stat_of(guard) or stat_of(guard)[1] == 'Z', 'it is gone')
