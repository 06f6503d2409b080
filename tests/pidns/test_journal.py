"""service-journal itself, with an init and a launcher made up by the test: the three sockets, what
init would hold, and the services' pipes."""
import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

PROGRAM = os.path.join(os.environ['CONIT_BUILD'], 'service-journal')
TIME = rb'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z'
LINE = re.compile(TIME + rb' ([-+]?)([a-z]+) (.*)', re.S)
WAIT = 20  # seconds; only an error takes that long

# protocol/hand-over.h
HAND_OVER = struct.Struct('=HHIIii960s')
STORE, READY, DRAINED, HELD, HELD_DONE, DRAIN_ALL, LINE_OF_INIT = 1, 3, 7, 16, 17, 20, 21
YIELDED, FAILED, YIELD, RESUME = 10, 11, 22, 23
KEY_JOURNAL_STATE, KEY_SERVICE_FIRST = 8, 16
OWNER_LAUNCHER, OWNER_JOURNAL = 1, 2

# protocol/journal-link.h
LINK = struct.Struct('=HHIQIIQIIIIIIQQ208s')
LINK_BYTES = LINK.size + 1200
REGISTER, EVENT, RUN_ENDED, FORGET, DRAIN, SETTINGS = 1, 2, 3, 4, 5, 6
HELLO, ACK, LINK_DRAINED, NOTE = 16, 17, 18, 19
LINK_VERSION = 4
OWN_ID = 0xffffffff
INFO = 6


# A new mount namespace has copies of the mounts of tests that run beside. One whose folder they remove is
# taken away here, too, which is a change of mounts of ours: so it has none of them.
ALONE = '''awk '{print $5}' /proc/self/mountinfo | tac | while read -r point; do
    case $point/ in /proc/*|/sys/*|/dev/*|/usr/*|/lib*) continue;; esac
    case $1/ in "${point%/}"/*) continue;; esac
    case $2 in "${point%/}"/*) continue;; esac
    umount -l "$point" 2>/dev/null
done
shift
exec "$@"'''


def wait_readable(sock):
    assert select.select([sock], [], [], WAIT)[0], 'nothing came'


class Machine:
    """What init holds and says, and the launcher's end of the link."""

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder)
        self.logs = self.folder / 'logs'
        self.runtime = self.folder / 'run'
        self.options = options
        self.init, self.init_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link, self.link_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.held = {}
        self.sequence = 0
        self.acknowledged = 0
        self.process = None
        self.program = PROGRAM
        self.prefix = []

    def begin_alone(self):
        """Starts it in a mount namespace of its own, where nobody mounts or unmounts anything else: it is
        woken for that."""
        self.prefix = ['unshare', '--mount', 'sh', '-c', ALONE, 'sh', self.folder]
        self.start()

    def launch(self, beside=False, program=None):
        """Starts a journal as init does, and gives it what is held. `beside`: another one stands still."""
        def take_descriptors():
            os.dup2(self.init_child.fileno(), 103)
            os.dup2(self.link_child.fileno(), 104)
            os.dup2(103, 3)
            os.dup2(104, 4)
            os.closerange(5, 200)
        self.process = subprocess.Popen(
            [*self.prefix, program or self.program, '--container', '--logs', self.logs, '--runtime', self.runtime,
             *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            close_fds=False, preexec_fn=take_descriptors)
        for key, fd in self.held.items():
            self.say_init(HELD, [fd], count=1, keys=[key])
        self.say_init(HELD_DONE, argument=int(beside))

    def keep(self, keys, fds):
        for key, fd in zip(keys, fds):
            if key in self.held:
                os.close(self.held[key])
            self.held[key] = fd

    def start(self):
        """Starts a journal; returns when it is ready."""
        self.launch()
        while True:
            kind, keys, fds = self.hear_init()
            if kind == READY:
                break
            if kind == STORE:
                self.keep(keys, fds)
        self.hear_hello()

    def hear_hello(self):
        kind, _, sequence, _ = self.hear_link()
        while kind != HELLO:  # an answer to the journal before this one
            kind, _, sequence, _ = self.hear_link()
        self.acknowledged = sequence

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def finish(self):
        if self.process and self.process.poll() is None:
            self.kill()
        for sock in (self.init, self.init_child, self.link, self.link_child):
            sock.close()
        for fd in self.held.values():
            os.close(fd)
        self.held = {}

    def say_init(self, kind, fds=(), count=0, keys=(), text=b'', argument=0):
        payload = struct.pack(f'={len(keys)}I', *keys) if keys else text
        message = HAND_OVER.pack(1, kind, OWNER_JOURNAL, count or len(text), argument, 0, payload)
        socket.send_fds(self.init, [message], list(fds))

    def hear_init(self):
        wait_readable(self.init)
        data, fds, _, _ = socket.recv_fds(self.init, HAND_OVER.size, 253)
        _, kind, _, count, _, _, payload = HAND_OVER.unpack(data)
        if kind == FAILED:
            return kind, payload[:count].decode(), fds
        return kind, struct.unpack(f'={count}I', payload[:4 * count]) if fds else (), fds

    def say_link(self, kind, id=0, name=b'', text=b'', flags=0, level=INFO, quota=(0,) * 5, fd=None,
                 sequence=None, run=(0, 0), sync_ms=0):
        """`quota`: max_size, keep, max_age, rate lines, rate milliseconds; zeros: the default."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        message = LINK.pack(LINK_VERSION, kind, id, sequence, flags, level, *quota, sync_ms, 0, *run, name) + text + b'\0'
        socket.send_fds(self.link, [message], [] if fd is None else [fd])
        return sequence

    def hear_link(self):
        wait_readable(self.link)
        data = self.link.recv(LINK_BYTES)
        _, kind, id, sequence, *_ = LINK.unpack(data[:LINK.size])
        return kind, id, sequence, data[LINK.size:].rstrip(b'\0')

    def wait_done(self, sequence=None):
        """Until everything said to the journal has been carried out."""
        sequence = sequence or self.sequence
        while self.acknowledged < sequence:
            kind, _, number, _ = self.hear_link()
            if kind == ACK:
                self.acknowledged = number

    def drain(self):
        self.say_link(DRAIN, id=self.sequence)
        token = self.sequence - 1
        while True:
            kind, id, number, _ = self.hear_link()
            if kind == ACK:
                self.acknowledged = number
            if kind == LINK_DRAINED and id == token:
                return

    def service(self, id, name, hold=True, **options):
        """Makes a pipe as the launcher does, and gives its write end."""
        read_end, write_end = os.pipe()
        both = os.open(f'/proc/self/fd/{read_end}', os.O_RDWR | os.O_CLOEXEC)
        os.close(read_end)
        if hold:
            old = self.held.pop(KEY_SERVICE_FIRST + id, None)
            if old is not None:
                os.close(old)
            self.held[KEY_SERVICE_FIRST + id] = both
        self.say_link(REGISTER, id, name.encode(), fd=both, **options)
        if not hold:
            os.close(both)
        return write_end

    def text(self, name, file='current'):
        return (self.logs / name / file).read_bytes()

    def age(self, name):
        """What is sealed is as if it had rested for long: it is compressed when it is looked at next."""
        for path in (self.logs / name).glob('*.log'):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (0, 0))

    def look(self, name, id, quota):
        """Has its sealed files looked at now, and compressed whatever their age, by another quota."""
        self.age(name)
        for keep in (quota[1] + 1, quota[1]):
            self.say_link(SETTINGS, id, quota=(quota[0], keep, *quota[2:]))
        self.drain()

    def lines(self, name, file='current'):
        """[(mark, level, text)] of a journal, each line checked."""
        found = []
        for line in self.text(name, file).split(b'\n')[:-1]:
            match = LINE.fullmatch(line)
            assert match, line[:200]
            found.append((match[1].decode(), match[2].decode(), match[3]))
        return found


@contextlib.contextmanager
def machine(*options, start=True):
    with tempfile.TemporaryDirectory() as folder:
        made = Machine(folder, *options)
        try:
            if start:
                made.start()
            yield made
        finally:
            made.finish()


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def test_lines_have_time_level_and_text():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'hello\n<3>bad\n\nunfin')
        m.drain()
        assert m.lines('web') == [('', 'info', b'hello'), ('', 'err', b'bad'), ('', 'info', b'')]
        assert m.text('web').endswith(b' info unfin')
        os.close(out)


def test_events_come_after_what_was_printed_before_and_cut_a_line():
    with machine() as m:
        out = m.service(0, 'web')
        m.say_link(EVENT, 0, text=b'started pid=812')
        m.wait_done()
        os.write(out, b'one\ntw')
        m.say_link(EVENT, 0, level=4, text=b'odd')
        m.wait_done()
        os.write(out, b'o\nthree')
        m.say_link(RUN_ENDED, 0)
        m.say_link(EVENT, 0, text=b'ended code=0')
        m.drain()
        assert m.lines('web') == [
            ('+', 'info', b'started pid=812'), ('', 'info', b'one'), ('', 'info', b'tw'),
            ('+', 'warning', b'odd'), ('-', 'info', b'o'), ('', 'info', b'three'),
            ('+', 'info', b'ended code=0')]
        os.close(out)


def test_ten_megabytes_of_binary_output_arrive_whole():
    with machine() as m:
        out = m.service(0, 'blob')
        data = os.urandom(10 << 20)
        write_all(out, data)
        m.say_link(RUN_ENDED, 0)
        m.drain()
        # Levels are taken off the text: put them back, as far as random bytes made some.
        numbers = dict(emerg=0, alert=1, crit=2, err=3, warning=4, notice=5, debug=7)
        joined = []
        for mark, level, text in m.lines('blob'):
            if mark == '-':
                joined[-1] += text
            else:
                joined.append((b'<%d>' % numbers[level] if level in numbers else b'') + text)
        whole = b'\n'.join(joined) + b'\n' * data.endswith(b'\n')
        if b'\n<6>' not in data:
            at = next((i for i, (a, b) in enumerate(zip(whole, data)) if a != b), min(len(whole), len(data)))
            assert whole == data, (at, len(whole), len(data), whole[at - 20:at + 20], data[at - 20:at + 20])
        os.close(out)


def test_files_and_folders_are_made_for_their_group_only():
    with machine() as m:
        own = m.folder / 'services' / 'x' / 'logs'
        out = m.service(0, 'x', text=str(own).encode())
        out2 = m.service(1, 'y')
        os.write(out, b'1\n')
        os.write(out2, b'2\n')
        m.drain()
        assert (own / 'current').stat().st_mode & 0o7777 == 0o640
        assert own.stat().st_mode & 0o7777 == 0o750
        assert m.logs.stat().st_mode & 0o7777 == 0o750
        assert (m.logs / 'y').stat().st_mode & 0o7777 == 0o750
        assert (m.logs / 'y/current').read_bytes().endswith(b' info 2\n')
        os.close(out)
        os.close(out2)


def test_a_killed_journal_is_not_noticed_and_the_next_goes_on_without_the_launcher():
    with machine() as m:
        out = m.service(3, 'web')
        os.write(out, b'before\nin the mid')
        m.drain()
        m.kill()
        os.write(out, b'dle\nmeanwhile\n')  # SIGPIPE or EPIPE would be the end of this test
        m.start()
        m.drain()
        assert m.lines('web') == [('', 'info', b'before'), ('', 'info', b'in the middle'),
                                  ('', 'info', b'meanwhile')]
        os.close(out)


def test_messages_in_the_socket_of_a_killed_journal_are_carried_out_once_each():
    with machine() as m:
        out = m.service(0, 'web')
        m.wait_done()
        m.kill()
        first = m.say_link(EVENT, 0, text=b'one')
        m.say_link(EVENT, 0, text=b'two')
        late = m.service(1, 'late')
        os.write(late, b'hello\n')
        m.start()
        m.say_link(EVENT, 0, text=b'one', sequence=first)  # as the launcher does after a HELLO
        m.say_link(EVENT, 0, text=b'three')
        m.drain()
        assert [text for _, _, text in m.lines('web')] == [b'one', b'two', b'three']
        assert m.lines('late') == [('', 'info', b'hello')]
        os.close(out)
        os.close(late)


def print_through_kills(m, outs, rounds, length, texts):
    """Each of `outs` prints what texts() gives it, length(round) times a round; the journal is killed
    after each round: at different places of its work. Returns once all is written."""
    waiting = [b''] * len(outs)
    for out in outs:
        os.set_blocking(out, False)
    for round in range(rounds):
        for _ in range(length(round)):
            for i, (out, text) in enumerate(zip(outs, texts())):
                waiting[i] += text
                with contextlib.suppress(BlockingIOError):
                    waiting[i] = waiting[i][os.write(out, waiting[i]):]
        m.kill()
        m.start()
    for out, rest in zip(outs, waiting):
        os.set_blocking(out, True)
        write_all(out, rest)
    m.drain()


def test_kills_while_services_print_lose_nothing_and_double_nothing():
    with machine() as m:
        outs = [m.service(i, f'web-{i}') for i in range(3)]
        m.wait_done()
        number = 0
        def texts():
            nonlocal number
            number += 1
            return [b'<4>%d\n' % number, *[b'%d\n' % number] * 2]
        print_through_kills(m, outs, 60, lambda round: round, texts)
        for i, out in enumerate(outs):
            assert [int(text) for _, _, text in m.lines(f'web-{i}')] == list(range(1, number + 1))
            os.close(out)


def test_init_s_drain_writes_everything_and_is_answered():
    with machine() as m:
        out = m.service(0, 'web')
        m.say_init(LINE_OF_INIT, text=b'INFO[0001.000] Going down', argument=3)
        os.write(out, b'last words\n')
        m.say_link(EVENT, 0, text=b'ended code=0')
        m.say_init(DRAIN_ALL)
        kind, _, _ = m.hear_init()
        assert kind == DRAINED
        assert m.lines('web') == [('', 'info', b'last words'), ('+', 'info', b'ended code=0')]
        assert m.lines('conit')[-1] == ('', 'info', b'INFO[0001.000] Going down')
        os.close(out)


def test_signals_do_not_end_it():
    with machine() as m:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            m.process.send_signal(number)
        m.drain()
        assert m.process.poll() is None


def test_a_removed_folder_is_made_again():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'one\n')
        m.drain()
        shutil.rmtree(m.logs)
        os.write(out, b'two\n')
        m.drain()
        assert m.lines('web') == [('', 'info', b'two')]
        os.close(out)


def test_logs_that_cannot_be_made_are_in_the_runtime_folder():
    with machine(start=False) as m:
        m.logs.write_text('a file where the folder should be')
        m.start()
        out = m.service(0, 'web')
        os.write(out, b'one\n')
        m.drain()
        assert (m.runtime / 'log/web/current').read_bytes().endswith(b' info one\n')
        os.close(out)


def test_what_was_begun_in_the_runtime_folder_goes_on_where_it_should():
    with machine(start=False) as m:
        m.logs.write_text('a file where the folder should be')
        m.start()
        out = m.service(0, 'web')
        os.write(out, b'one\n')
        m.drain()
        m.logs.unlink()
        until = time.monotonic() + WAIT
        number = 0
        while not (m.logs / 'web/current').exists():  # looked for once a second while it prints
            assert time.monotonic() < until
            os.write(out, b'%d\n' % number)
            number += 1
            m.drain()
        m.drain()  # it is there before all is copied into it
        found = [text for _, _, text in m.lines('web')]
        assert found == [b'one', *(b'%d' % n for n in range(number))], (number, found[:2], found[-2:])
        assert not (m.runtime / 'log/web').exists()
        os.close(out)


def test_zeros_that_a_power_cut_left_are_taken_away_and_the_torn_line_ends():
    for torn in (b'', b'2026-11-22T13:54:00.123456Z info to'):
        with machine() as m:
            whole = b'2026-11-22T13:54:00.123456Z info whole\n'
            (m.logs / 'web').mkdir(parents=True)
            (m.logs / 'web/current').write_bytes(whole + torn + bytes(5000))
            out = m.service(0, 'web')
            write_all(out, b'next\n')
            m.drain()
            text = (m.logs / 'web/current').read_bytes()
            end = torn + b'\n' if torn else b''
            assert text.startswith(whole + end + b'20') and text.endswith(b' info next\n'), text
            assert len(text) < 200
            os.close(out)


def test_a_full_disk_drops_the_oldest_lines_and_says_how_many():
    with machine(start=False) as m:
        m.logs.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', m.logs], check=True)
        try:
            m.start()
            out = m.service(0, 'web')
            count = 40000
            write_all(out, b''.join(b'line %07d %s\n' % (i, b'x' * 80) for i in range(count)))
            m.drain()
            assert m.process.poll() is None
            subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
            m.drain()
            lines = m.lines('web')
            numbers = [int(text[5:12]) for mark, _, text in lines if not mark]
            notes = [(level, text) for mark, level, text in lines if mark == '+']
            # More than one where it was tried again meanwhile: there was room for the note itself.
            dropped = [re.fullmatch(rb'dropped lines=(\d+) reason="No space left on device"', text)
                       for _, text in notes]
            assert all(dropped) and {level for level, _ in notes} == {'warning'}, notes
            assert numbers == sorted(numbers) and numbers[-1] == count - 1
            assert count - len(numbers) == sum(int(match[1]) for match in dropped) > 0
            os.write(out, b'and on\n')
            m.drain()
            assert m.lines('web')[-1] == ('', 'info', b'and on')
            os.close(out)
        finally:
            m.finish()
            subprocess.run(['umount', '-l', m.logs], check=True)


def test_two_runs_at_once_keep_their_lines_apart():
    with machine() as m:
        first = m.service(0, 'web')
        os.write(first, b'old half')
        m.drain()
        second = m.service(0, 'web')
        os.write(second, b'new\nnew half')
        m.drain()
        os.write(first, b' rest\n')
        m.drain()
        assert [text for _, _, text in m.lines('web')] == [b'old half', b'new', b'new half', b' rest']
        os.close(first)
        os.close(second)


def test_a_forgotten_service_leaves_its_journal_and_its_id():
    with machine() as m:
        out = m.service(0, 'one')
        os.write(out, b'last')
        m.say_link(FORGET, 0)
        other = m.service(0, 'two')
        os.write(other, b'first\n')
        m.drain()
        assert m.lines('one') == [('', 'info', b'last')]
        assert m.lines('two') == [('', 'info', b'first')]
        os.close(out)
        os.close(other)


def test_rubbish_on_the_link_hurts_nobody():
    with machine() as m:
        out = m.service(0, 'web')
        for rubbish in (b'', b'x', b'\xff' * LINK_BYTES, b'\xff' * 5000,
                        LINK.pack(9, EVENT, 0, 99, 0, INFO, *[0] * 9, b''),
                        LINK.pack(LINK_VERSION, EVENT, 0, 99, 0, 99, *[0] * 9, b'') + b'x\0',
                        LINK.pack(LINK_VERSION, EVENT, 0, 99, 0, INFO, *[0] * 9, b'') + b'no end'):
            if rubbish:
                m.link.send(rubbish)
        m.say_link(200, 0)
        for name in ('', '..', 'a/b', 'conit'):
            os.close(m.service(7, name, hold=False))
        os.write(out, b'fine\n')
        m.drain()
        assert m.lines('web') == [('', 'info', b'fine')]
        assert sorted(os.listdir(m.logs)) == ['conit', 'web']
        os.close(out)


def test_a_launcher_that_lost_its_count_is_told_ours():
    with machine() as m:
        m.service(0, 'web')
        m.drain()
        seen = m.sequence
        m.say_link(EVENT, 0, text=b'again from one', sequence=1)
        while True:
            kind, _, number, _ = m.hear_link()
            if kind == ACK and number == seen:
                break


def test_a_thousand_silent_services_cost_less_than_a_megabyte():
    with machine() as m:
        ends = [m.service(i, f'service-{i}') for i in range(1000) if not (i % 50 == 49 and m.wait_done())]
        m.drain()
        private = 0
        for line in open(f'/proc/{m.process.pid}/smaps'):
            words = line.split()
            if not words[0].endswith(':'):  # a new mapping
                # Unchanged pages of a file are private only as long as nobody else runs the same program.
                is_program = len(words) > 5 and words[5].endswith('/service-journal')
            elif words[0] == 'Private_Dirty:' or words[0] == 'Private_Clean:' and not is_program:
                private += int(words[1])
        if os.environ['CONIT_BUILD_KIND'] == 'release':
            assert private < 992, f'{private} KiB'
        for i, end in enumerate(ends):
            os.write(end, b'%d\n' % i)
        m.drain()
        for i, end in enumerate(ends):
            assert m.lines(f'service-{i}') == [('', 'info', b'%d' % i)]
            os.close(end)


def test_more_files_than_descriptors_are_written_all_the_same():
    with machine(start=False) as m:
        m.prefix = ['prlimit', '--nofile=70:70']
        m.start()
        ends = [m.service(i, f'service-{i}') for i in range(50)]
        m.wait_done()
        for round in range(2):
            for i, end in enumerate(ends):
                os.write(end, b'%d %d\n' % (i, round))
            m.drain()
        for i, end in enumerate(ends):
            assert [text for _, _, text in m.lines(f'service-{i}')] == [b'%d 0' % i, b'%d 1' % i]
            os.close(end)


def test_lines_for_the_console_stand_behind_their_name():
    with machine() as m:
        out = m.service(0, 'web', flags=1)
        os.write(out, b'\x1b[2Jhello\nwor')
        m.drain()
        os.write(out, b'ld\n')
        m.drain()
        m.process.kill()
        shown = m.process.stderr.read()
        assert b'web: \\x1b[2Jhello\nweb: world\n' in shown, shown


def test_started_by_hand_it_says_who_starts_it():
    done = subprocess.run([PROGRAM], capture_output=True, close_fds=True)
    assert done.returncode == 2 and b'child of init' in done.stderr
    for option in ('--help', '--version'):
        assert subprocess.run([PROGRAM, option], capture_output=True).returncode == 0
    assert subprocess.run([PROGRAM, '--nonsense'], capture_output=True).returncode == 2
