"""run-on-pid-ns by hand on a terminal, and with a console of its own inside."""
import contextlib
import fcntl
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import termios

from harness import DEADLINE, children_of, hold, need_root, stat_of, until
from test_run_on_pid_ns_ends import LONG, PROGRAM, Running, init, running

ESCAPE = b'\x1d'


class Terminal:
    """A terminal with a command on it, which is the leader of its session."""

    def __init__(self, *command, size=(33, 111)):
        need_root()
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.before = self.modes()
        self.output = b''
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            list(map(str, command)), stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # pylint: disable=W1509
        self.pid = self.process.pid

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('4H', rows, columns, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def type(self, keys):
        os.write(self.master, keys)
        return self

    def until(self, text, count=1):
        while self.output.count(text.encode()) < count:
            if not select.select([self.master], [], [], DEADLINE)[0]:
                raise AssertionError(f'{text!r} does not come: {self.output}')
            self.output += os.read(self.master, 65536)
        return self

    def end(self):
        """Its status; what it prints is taken meanwhile."""
        def is_over():
            if select.select([self.master], [], [], 0)[0]:
                self.output += os.read(self.master, 65536)
            return self.process.poll() is not None
        until(is_over, 'it has ended')
        while select.select([self.master], [], [], 0)[0]:
            self.output += os.read(self.master, 65536)
        return self.process.returncode

    def signal(self, number):
        self.process.send_signal(number)
        return self

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def terminal(*command, **keys):
    one = Terminal(*command, **keys)
    try:
        yield one
    finally:
        one.close()


# ---- a console inside, nobody at a terminal

def test_what_is_printed_on_the_console_goes_to_stdout_whole_before_it_ends():
    text = ('tty; echo to-stdout; echo to-stderr >&2; echo to-console >/dev/console; '
            'i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; exit 9')
    with running('--console', '--', 'sh', '-c', text) as one:
        status, output = one.end()
        lines = output.split('\n')[:-1]
        assert status == 9 and lines[1:4] == ['to-stdout', 'to-stderr', 'to-console'], lines[:5]
        assert lines[4:] == [f'line {i}' for i in range(5000)] and lines[0].startswith('/dev/'), lines[-5:]


def test_line_ends_are_those_of_a_file_and_other_returns_stay():
    with running('--console', '--', 'printf', r'one\n1%%\r2%%\rdone\r\n\rnext\n\r\nend\r') as one:
        # What is printed last and waits for what is behind it has nothing behind it.
        assert one.end() == (0, 'one\n1%\r2%\rdone\nnext\n\nend')


def test_a_command_with_a_console_that_ends_at_once_ends_as_any_other():
    for options in (['--console'], ['--console', '--dev']):
        for _ in range(15):
            with running(*options, '--', 'sh', '-c', 'echo short; exit 3') as one:
                assert one.end() == (3, 'short\n')


def test_output_that_cannot_be_written_is_said_to_be_lost():
    need_root()
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([PROGRAM, '--console', '--', 'sh', '-c', 'echo lost; exit 3'], stdin=subprocess.DEVNULL,
                              stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 3 and done.stderr.count('cannot be written, and is lost') == 1, done


def test_whatever_few_descriptors_there_are_it_runs_whole_or_says_why_not():
    need_root()
    ends = set()
    for count in range(4, 20):
        done = subprocess.run(['sh', '-c', f'ulimit -n {count}; exec "$0" "$@"', PROGRAM, '--console', '--',
                               'sh', '-c', 'echo whole; exit 3'], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=60,
                              env=os.environ | {'ASAN_OPTIONS': 'detect_leaks=0'})  # for which it would be too few
        ends.add(done.returncode)
        whole = done.returncode == 3 and done.stdout == 'whole\n'
        assert whole or (done.returncode == 125 and 'Could not' in done.stderr), (count, done)
    assert ends == {3, 125}, ends


def test_what_is_printed_goes_behind_what_is_in_a_file_already():
    need_root()
    path = pathlib.Path(os.environ['TMPDIR']) / 'output'
    with open(path, 'wb') as output:
        for word in ('first', 'second'):
            subprocess.run([PROGRAM, '--dev', '--console', 'echo', word], stdin=subprocess.DEVNULL, stdout=output,
                           check=True, timeout=60)
    assert path.read_bytes() == b'first\nsecond\n'


def test_a_descriptor_that_is_closed_is_not_taken_by_one_of_ours():
    need_root()
    for closed, heard in (('<&-', 'heard\n'), ('>&-', ''), ('2>&-', 'heard\n'), ('<&- >&- 2>&-', '')):
        script = f'exec "$0" --dev --console sh -c "echo heard; exit 7" {closed}'
        result = subprocess.run(['sh', '-c', script, PROGRAM], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, check=False, timeout=60)
        assert (result.returncode, result.stdout, result.stderr) == (7, heard, ''), (closed, result)


def test_a_console_that_nobody_has_open_inside_or_that_is_hung_up_is_no_end():
    text = '''
import ctypes, time
def console(text):
    fd = os.open('/dev/console', os.O_RDWR | os.O_NOCTTY)
    os.write(fd, text + b'\\n')
    return fd
signal.signal(1, signal.SIG_IGN)
os.close(console(b'first'))
for fd in (0, 1, 2): os.close(fd)
os.close(console(b'second'))
ctypes.CDLL(None).vhangup()
os.close(console(b'third'))
signal.signal(10, lambda n, f: os.close(console(b'fourth')))
os.close(console(b'up'))
while True: signal.pause()
'''
    with running('--console', '--', *init(text)) as one:
        one.until('third').until('up')
        # It stands still in its loop while nobody inside has the console open.
        until(lambda: stat_of(one.pid)[1] == 'S', 'it waits')
        one.signal(signal.SIGUSR1).until('fourth')
        one.signal(signal.SIGUSR1).until('fourth', 2)


class Stuck(Running):
    """One whose stdout nobody takes, and what it says of itself in a file."""

    def __init__(self, text):
        folder = pathlib.Path(os.environ['TMPDIR'])
        self.begun, self.log = folder / 'begun', folder / 'log'
        with open(self.log, 'wb') as log:
            super().__init__('--console', '--', *init(f'open({str(self.begun)!r}, "w").close()\n{text}'),
                             stderr=log)

    def holds(self):
        """How many bytes are in the pipe."""
        return struct.unpack('i', fcntl.ioctl(self.process.stdout, termios.FIONREAD, bytes(4)))[0]

    def wait_stuck(self):
        """Until who prints waits for somebody who reads."""
        until(lambda: self.begun.exists() and self.holds(), 'it prints')
        first, held = self.first(), [0, 0, 0]

        def is_stuck():
            held.append(self.holds())
            return len(set(held[-3:])) == 1 and stat_of(first)[1] == 'S'
        until(is_stuck, 'it waits to be taken', interval=0.05)
        return self

    def wait_end_inside(self):
        until(lambda: self.begun.exists() and not children_of(self.pid), 'the inside has ended')
        assert self.process.poll() is None
        return self


def test_what_nobody_takes_is_kept_until_somebody_does():
    # More than a pipe, we and the terminal hold.
    with contextlib.closing(Stuck('for i in range(40000): say(i)\nsys.exit(3)')) as one:
        status, output = one.wait_stuck().end()
        assert status == 3 and output.split() == list(map(str, range(40000))), output[-100:]


def test_what_is_still_in_the_terminal_at_the_end_is_printed():
    gate = pathlib.Path(os.environ['TMPDIR']) / 'gate'
    os.mkfifo(gate)
    # More than one read of a terminal gives.
    text = f'say("up"); open({str(gate)!r}).read()\nfor i in range(10): os.write(1, b"x" * 900)\nos._exit(3)'
    with running('--console', '--', *init(text)) as one:
        first = one.until('up').first()
        hold(one.pid)
        gate.write_text('', encoding='ascii')
        until(lambda: stat_of(first)[1] == 'Z', 'the inside has ended')
        one.signal(signal.SIGCONT)
        status, output = one.end()
        assert status == 3 and output.count('x') == 9000, len(output)


def test_who_prints_and_is_not_heard_is_stopped_all_the_same():
    text = 'signal.signal(15, lambda n, f: os._exit(4))\nwhile True: os.write(1, b"x" * 1000)'
    with contextlib.closing(Stuck(text)) as one:
        one.wait_stuck()
        one.signal(signal.SIGTERM)
        # Nothing is read before it has ended: what is left is given up then.
        assert one.process.wait(DEADLINE) == 4
        assert 'Nobody takes what it has printed last' in one.log.read_text(encoding='utf-8')


def test_asking_it_to_end_while_its_last_output_waits_gives_that_up():
    with contextlib.closing(Stuck('for i in range(12000): say(i)\nsys.exit(3)')) as one:
        one.wait_end_inside().signal(signal.SIGTERM)
        assert one.process.wait(DEADLINE) == 3
        assert 'Nobody takes what it has printed last' in one.log.read_text(encoding='utf-8')


def test_a_reader_that_goes_away_ends_nothing():
    marker = pathlib.Path(os.environ['TMPDIR']) / 'done'
    text = f"say('up')\nfor i in range(50000): say(i)\nopen({str(marker)!r}, 'w').close()\nsys.exit(6)"
    with running('--console', '--', *init(text), stderr=subprocess.DEVNULL) as one:
        one.until('up')
        one.process.stdout.close()
        assert one.process.wait(DEADLINE) == 6 and marker.exists()


# ---- a console inside, typed at

INSIDE = ('trap "stty size; echo resized" WINCH; trap "echo interrupted" INT; trap "echo told; exit 7" TERM; '
          'stty size; echo up; while :; do read x && echo "got $x"; done')


def test_keys_and_sizes_go_inside_and_the_terminal_is_given_back():
    with terminal(PROGRAM, '--console', '--', 'sh', '-c', INSIDE) as one:
        one.until('33 111\r\n').until('up')
        assert one.is_raw() and one.modes() != one.before
        one.type(b'hello\r').until('got hello')
        one.type(b'\x03').until('interrupted')
        one.resize(44, 99)
        one.until('44 99\r\n').until('resized')
        one.signal(signal.SIGTERM)
        assert one.end() == 7
        assert 'told' in one.output.decode() and one.modes() == one.before


def test_the_escape_is_told_and_stops_it():
    with terminal(PROGRAM, '--console', '--', 'sh', '-c', INSIDE) as one:
        one.until('up').until('three times')
        one.type(ESCAPE + b'x' + ESCAPE * 2 + b'\r').until('got ')
        assert 'told' not in one.output.decode()
        one.type(ESCAPE * 3).until('told')
        assert one.end() == 7 and one.modes() == one.before


def test_the_terminal_is_given_back_at_every_end():
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGHUP, signal.SIGKILL):
        with terminal(PROGRAM, '--console', '--', 'sh', '-c', INSIDE) as one:
            one.until('up')
            assert one.is_raw()
            inside = children_of(one.pid)
            if number == signal.SIGKILL:  # of what is inside
                os.kill(next(iter(inside)), number)
            else:
                one.signal(number)
            # The sanitizers make an exit of a fault.
            assert one.end() != 0
            assert one.modes() == one.before, number
            until(lambda pids=inside: all(not stat_of(pid) or stat_of(pid)[1] == 'Z' for pid in pids),
                  'nobody is left inside')


def test_standing_still_gives_the_terminal_back_and_going_on_takes_it():
    text = 'echo up; exec cat'
    with terminal(PROGRAM, '--console', '--', 'sh', '-c', text) as one:
        one.until('up')
        until(lambda: next(iter(children_of(one.pid).values()))[0] == 'cat', 'it is executed')
        one.signal(signal.SIGTSTP)
        until(lambda: stat_of(one.pid)[1] == 'T', 'it stands still')
        assert one.modes() == one.before
        one.signal(signal.SIGCONT)
        until(one.is_raw, 'the terminal is taken again')
        one.type(b'hello\r').until('hello\r\nhello\r\n')


def test_in_the_background_the_terminal_is_left_alone():
    # The shell is the leader, and its job is not in the foreground.
    script = f'set -m; {PROGRAM} --console -- sh -c "echo up; exec cat" & read x; echo shell $x; fg; read x; echo then $x'
    with terminal('bash', '-c', script) as one:
        one.until('up')
        assert not one.is_raw()
        one.type(b'hello\n').until('shell hello')
        until(one.is_raw, 'it is in the foreground and takes the terminal')
        one.type(b'inside\r').until('inside\r\ninside')
        one.type(ESCAPE * 3).until('no handler')
        until(lambda: not one.is_raw(), 'the terminal is given back')
        one.type(b'again\n').until('then again')
        assert one.end() == 0


# ---- no console inside: the terminal is shared

def test_ctrl_c_on_our_terminal_ends_a_command_without_a_handler_as_it_does_any():
    with terminal(PROGRAM, 'sh', '-c', f'echo up; exec sleep {LONG}') as one:
        one.until('up')
        until(lambda: next(iter(children_of(one.pid).values()))[0] == 'sleep', 'it is executed')
        one.type(b'\x03')
        assert one.end() == 128 + signal.SIGINT
    with terminal(PROGRAM, '--', *init('on(2, lambda: None); on(3, lambda: sys.exit(5)); wait()')) as one:
        one.until('up').type(b'\x03').until('got 2')
        one.type(b'\x1c').until('got 3')
        assert one.end() == 5 and one.output.count(b'got 2') == 1, one.output


def test_ctrl_z_stops_it_for_the_shell_and_fg_goes_on():
    script = (f'set -m; {PROGRAM} sh -c "echo up; while read x; do echo got \\$x; [ \\$x = end ] && exit 3; done"; '
              'echo stopped; fg; echo status $?; read x; echo shell $x')
    with terminal('bash', '-c', script) as one:
        one.until('up').type(b'first\n').until('got first')
        one.type(b'\x1a').until('stopped')
        one.type(b'second\n').until('got second')
        one.type(b'end\n').until('status 3')
        one.type(b'last\n').until('shell last')
        assert one.end() == 0


def test_one_that_ends_in_the_background_leaves_the_terminal_to_the_shell():
    gate = pathlib.Path(os.environ['TMPDIR']) / 'gate'
    os.mkfifo(gate)
    # An interactive one ends, when it reads from a terminal that it does not have.
    with terminal('bash', '--norc', '--noprofile', '-i') as one:
        one.type(f"{PROGRAM} sh -c 'echo u''p; read x <{gate}'\n".encode()).until('up\r\n')
        one.type(b'\x1a').until('Stopped').type(b"bg; echo in-back''ground\n").until('in-background')
        gate.write_text('end\n', encoding='utf-8')
        until(lambda: all(stat[1] == 'Z' for stat in children_of(one.pid).values()), 'it has ended')
        assert os.tcgetpgrp(one.master) == one.pid
        one.type(b"echo al''ive; exit 3\n").until('alive')
        assert one.end() == 3


def test_a_shell_inside_that_has_taken_the_terminal_leaves_it_to_who_is_outside():
    take = ('import os, signal; signal.signal(signal.SIGTTOU, signal.SIG_IGN); os.setpgid(0, 0); '
            'os.tcsetpgrp(0, os.getpgrp()); print("taken", flush=True)')
    script = f"{PROGRAM} -- /usr/bin/python3 -ISc '{take}'; read x; echo outside $x"
    with terminal('dash', '-c', script) as one:
        one.until('taken').type(b'hello\n').until('outside hello')
        assert one.end() == 0
