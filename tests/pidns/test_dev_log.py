"""/dev/log: what programs write to it, and whose journal it gets into. First the journal by itself,
with an init and a launcher made up by the test; then the whole machine."""
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys

from test_journal import EVENT, FORGET, RUN_ENDED, STORE, machine

from harness import Machine, Skip, hold, until
from services import booted, both_ways, define, need_cgroup, shell, wait

SYSTEM = 9  # protocol/journal-link.h
DEV_LOG = 1


def collect(m):
    """What the journal has given to init, or taken back, by now."""
    while select.select([m.init], [], [], 0)[0]:
        kind, keys, fds = m.hear_init()
        if kind == STORE:
            for key, fd in zip(keys, fds):
                if key in m.held:
                    os.close(m.held[key])
                m.held[key] = fd


class Log:
    """A journal that listens on a socket of its own."""

    def __init__(self, m, cgroup=b'/nowhere'):
        self.machine, self.path, self.cgroup = m, m.folder / 'devlog', cgroup
        self.tell()

    def tell(self, flags=DEV_LOG, path=None):
        self.machine.say_link(SYSTEM, flags=flags, name=str(path or self.path).encode(),
                              text=self.cgroup)
        self.machine.wait_done()
        collect(self.machine)

    def connected(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.connect(str(self.path))
        return sock

    def send(self, *messages):
        with self.connected() as sock:
            for message in messages:
                sock.send(message)

    def lines(self, name='syslog'):
        self.machine.drain()
        collect(self.machine)
        return self.machine.lines(name)

    def restart(self):
        collect(self.machine)
        self.machine.kill()
        collect(self.machine)
        self.machine.start()


@contextlib.contextmanager
def log(**options):
    with machine() as m:
        yield Log(m, **options)


def me():
    return f'pid={os.getpid()} uid={os.getuid()} '.encode()


def test_a_message_is_a_line_with_its_level_and_tag():
    with log() as l:
        l.send(b'<11>Nov 22 13:54:00 prog[%d]: bad' % os.getpid(), b'<14>prog: fine\n', b'bare\0')
        assert l.lines() == [('', 'err', b'prog[%d]: bad' % os.getpid()),
                             ('', 'info', me() + b'prog: fine'), ('', 'notice', me() + b'bare')]


def test_a_sender_that_lies_about_its_pid_is_named():
    with log() as l:
        l.send(b'<14>sshd[1]: Accepted password for root')
        assert l.lines() == [('', 'info', me() + b'sshd[1]: Accepted password for root')]


def test_line_ends_inside_make_lines_and_other_bytes_stay():
    with log() as l:
        l.send(b'<12>a: one\ntwo\n\nlast\n\n', b'<14>b: \0\x1b\xff<3>', b'', b'<13>', b'\n\n')
        head = me() + b'a: '
        assert l.lines() == [('', 'warning', head + b'one'), ('', 'warning', head + b'two'),
                             ('', 'warning', head), ('', 'warning', head + b'last'),
                             ('', 'info', me() + b'b: \0\x1b\xff<3>')]


def test_a_huge_message_is_cut_and_says_so():
    with log() as l:
        l.send(b'<14>a: ' + b'x' * 100000, b'<14>a: next')
        lines = l.lines()
        assert len(lines) == 2 and lines[1][2] == me() + b'a: next'
        text = lines[0][2]
        assert text.startswith(me() + b'a: xxxx') and text.endswith(b'x (cut: 100007 bytes)')
        assert 16384 < len(text) < 16600


def test_many_short_lines_in_one_message_arrive_all():
    with log() as l:
        l.send(b'<14>a: ' + b'\n'.join(b'%d' % i for i in range(3000)))
        assert [text for _, _, text in l.lines()] == [me() + b'a: %d' % i for i in range(3000)]


def test_garbage_is_text_and_hurts_nobody():
    with log() as l:
        l.send(*(os.urandom(size) for size in range(1, 1000, 7)), b'<14>the: end')
        assert l.lines()[-1] == ('', 'info', me() + b'the: end')


def test_anybody_may_write_to_the_socket():
    with log() as l:
        assert l.path.stat().st_mode & 0o7777 == 0o666


def test_descriptors_that_come_along_are_closed():
    with log() as l:
        def open_now():
            return len(os.listdir(f'/proc/{l.machine.process.pid}/fd'))
        l.send(b'<14>first')
        l.lines()
        before = open_now()
        read_end, write_end = os.pipe()
        with l.connected() as sock:
            socket.send_fds(sock, [b'<14>with some'], [write_end] * 200)
        os.close(write_end)
        assert l.lines()[-1][2] == me() + b'with some'
        assert select.select([read_end], [], [], 20)[0] and os.read(read_end, 1) == b''
        os.close(read_end)
        until(lambda: open_now() == before, 'as many descriptors as before')


def test_a_dead_socket_is_replaced_and_one_that_lives_is_left():
    with machine() as m:
        path = m.folder / 'devlog'
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(path))
            l = Log(m)
            l.send(b'to the other')
            assert other.recv(100) == b'to the other'
            m.drain()
            assert b'Another program listens' in m.text('conit')
        l.tell()
        l.send(b'<14>to us')
        assert l.lines() == [('', 'info', me() + b'to us')]


def test_a_file_that_is_no_socket_is_left():
    with machine() as m:
        (m.folder / 'devlog').write_text('mine')
        Log(m)
        m.drain()
        assert (m.folder / 'devlog').read_text() == 'mine'
        assert b'Syslog messages cannot be taken' in m.text('conit')


def test_it_is_turned_off_and_on_and_moved():
    with log() as l:
        l.send(b'<14>one')
        l.tell(flags=0)
        assert not l.path.exists()
        assert l.lines() == [('', 'info', me() + b'one')]
        l.tell()
        l.send(b'<14>two')
        old, l.path = l.path, l.machine.folder / 'elsewhere'
        l.tell()
        assert not old.exists()
        l.send(b'<14>three')
        assert [text for _, _, text in l.lines()] == [me() + b'one', me() + b'two', me() + b'three']


def test_a_journal_that_was_killed_goes_on_with_the_same_socket():
    with log() as l:
        with l.connected() as sock:
            sock.send(b'<14>before')
            l.lines()
            l.machine.kill()
            sock.send(b'<14>meanwhile')
            l.machine.start()
            sock.send(b'<14>after')
            assert [text for _, _, text in l.lines()] == \
                [me() + b'before', me() + b'meanwhile', me() + b'after']


def test_kills_lose_no_datagram_and_double_none():
    """A sender that gets EAGAIN has not sent."""
    with log() as l:
        sent, kills, wanted = 0, 0, 10000
        with l.connected() as sock:
            sock.setblocking(False)
            while sent < wanted:
                try:
                    sock.send(b'<14>n: %d' % sent)
                    sent += 1
                except BlockingIOError:
                    select.select([], [sock], [], 0.1)
                if sent >= (kills + 1) * wanted // 25:
                    kills += 1
                    l.restart()
        texts = [text for _, _, text in l.lines()]
        assert texts == [me() + b'n: %d' % i for i in range(wanted)], len(texts)
        assert kills >= 24


def saying(path, out):
    """A program that says something, and stays until it is left."""
    code = ('import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); '
            's.connect(sys.argv[1]); s.send(b"<12>web: said"); '
            'print("said", file=sys.stderr, flush=True); sys.stdin.read()')
    return subprocess.Popen([sys.executable, '-c', code, path], stdin=subprocess.PIPE, stdout=out,
                            stderr=subprocess.PIPE)


def test_the_sender_is_found_by_its_output_where_there_are_no_cgroups():
    with log(cgroup=b'') as l:
        out = l.machine.service(4, 'web')
        with saying(l.path, out):
            until((l.machine.logs / 'web/current').exists, 'it is there')
        assert l.lines('web') == [('', 'warning', b'web: said')]
        os.close(out)


def says_before_it_is_heard_of(before):
    """A service says something while the journal stands still, and has not heard of it yet: there is
    more on the link than it takes at once, and before that what `before` says."""
    with log(cgroup=b'') as l:
        other = l.machine.service(3, 'other')
        l.machine.wait_done()
        hold(l.machine.process.pid)
        before(l.machine)
        for _ in range(100):
            l.machine.say_link(EVENT, 3, text=b'happened')
        out = l.machine.service(4, 'web')
        with saying(l.path, out) as said:
            assert said.stderr.readline() == b'said\n'
            os.kill(l.machine.process.pid, signal.SIGCONT)
            assert l.lines('web') == [('', 'warning', b'web: said')]
            said.stdin.close()
        assert len(l.lines('other')) == 100
        assert not (l.machine.logs / 'syslog').exists()
        os.close(out)
        os.close(other)


def test_the_first_message_of_a_service_waits_until_it_is_heard_of():
    says_before_it_is_heard_of(lambda machine: None)


def test_it_waits_also_when_it_is_found_at_the_end_of_another_ones_run():
    says_before_it_is_heard_of(lambda machine: machine.say_link(RUN_ENDED, 3))


def pipes_of(pid):
    """How many ends it holds: files it opens and closes as it likes."""
    found = 0
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f'/proc/{pid}/fd/{fd}').startswith('pipe:')
    return found


def test_a_service_that_is_forgotten_takes_its_pipe_along():
    with log(cgroup=b'') as l:
        out = l.machine.service(4, 'web')
        l.machine.wait_done()
        before = pipes_of(l.machine.process.pid)
        with saying(l.path, out):
            until((l.machine.logs / 'web/current').exists, 'it is there')
            assert pipes_of(l.machine.process.pid) > before
            l.machine.say_link(FORGET, 4)
            l.machine.wait_done()
        os.close(out)
        until(lambda: pipes_of(l.machine.process.pid) < before, 'it is closed')


# The whole machine, with a /dev of its own. ------------------------------------------------------

OWN_DEV = '''mount -t tmpfs -o mode=755 none /dev || exit 1  # else what follows would be done to the machine's
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<END
$node
END
    mknod -m 666 "/dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd /dev/fd
mkdir /dev/pts /dev/shm
'''
SYSLOG = '''import syslog, logging, logging.handlers, time
syslog.openlog("prog", syslog.LOG_PID)
syslog.syslog(syslog.LOG_ERR, "by the C library")
handler = logging.handlers.SysLogHandler("/dev/log")
log = logging.getLogger()
log.addHandler(handler)
log.warning("by Python")
time.sleep(100000)
'''


def speaking(machine):
    machine.config.write_text('log: {dev-log: yes}\n')
    define(machine, 'speaker', exec=['/usr/bin/python3', '-c', SYSLOG.replace('%', '%%')])
    return booted(machine)


def lines_of(machine, name):
    result = machine.slc('journal', name, check=False)
    return [line.split(' ', 1)[1] for line in result.stdout.splitlines() if ' +' not in line]


def speaks_into_its_own_journal(machine):
    speaking(machine)
    until(lambda: len(lines_of(machine, 'speaker')) >= 2, 'both lines are there')
    first, second = lines_of(machine, 'speaker')
    assert re.fullmatch(r'err prog\[\d+\]: by the C library', first)
    assert second == 'warning by Python'
    assert lines_of(machine, 'syslog') == []


@both_ways
def test_what_a_service_says_by_syslog_is_in_its_own_journal(machine):
    machine.before = (machine.before or '') + '\n' + OWN_DEV
    speaks_into_its_own_journal(machine)


def test_a_program_that_has_ended_is_still_known_by_its_cgroup():
    """logger(1) is gone before its message is looked at, more often than not."""
    if tuple(int(part) for part in os.uname().release.split('.')[:2]) < (6, 16):
        raise Skip('this kernel does not tell of the dead')
    if not shutil.which('logger'):
        raise Skip('there is no logger here')
    with Machine(before=OWN_DEV) as machine:
        need_cgroup(machine)
        machine.config.write_text('log: {dev-log: yes}\n')
        # From the first moment of its first run.
        define(machine, 'job', type='task', exec=shell(
            'i=0; while [ $i -lt 50 ]; do logger -t job "line $i"; i=$((i+1)); done'))
        booted(machine)
        wait(machine, 'job', 'done')
        found = lines_of(machine, 'job'), lines_of(machine, 'syslog')
        assert found == ([f'notice job: line {i}' for i in range(50)], []), found
