"""slc journal by itself, on journals that are made up: what is picked, and what is followed."""
import base64
import contextlib
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios

from harness import BUILD, DEADLINE, Machine, asleep, hold, until
from services import booted, define, shell
from test_journal_kills import journal_of

SLC = str(BUILD / 'slc')
DAY = datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.timezone.utc)


def stamp(seconds):
    return (DAY + datetime.timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def line(seconds, text, level='info'):
    return f'{stamp(seconds)} {level} {text}\n'.encode()


class Logs:
    """A folder of journals, and slc on it."""

    def __init__(self, folder):
        self.top = pathlib.Path(folder)
        self.logs = self.top / 'logs'
        self.runtime = self.top / 'run'
        self.logs.mkdir()
        self.begun = []

    def write(self, name, data, leaf='current', top=None):
        folder = (top or self.logs) / name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / leaf, 'ab') as file:
            file.write(data)

    def write_sealed(self, name, seconds, data, written=None):
        leaf = stamp(seconds).replace('-', '').replace(':', '') + '.log'
        self.write(name, data, leaf)
        if written is not None:
            when = (DAY + datetime.timedelta(seconds=written)).timestamp()
            os.utime(self.logs / name / leaf, (when, when))
        return leaf

    def seal(self, name, seconds):
        leaf = stamp(seconds).replace('-', '').replace(':', '') + '.log'
        (self.logs / name / 'current').rename(self.logs / name / leaf)
        return leaf

    def compress(self, name, *leaves):
        subprocess.run([BUILD / 'compress-journal', *leaves], cwd=self.logs / name, check=True,
                       timeout=DEADLINE)

    def command(self, *arguments):
        return [SLC, '--runtime', str(self.runtime), '--logs', str(self.logs), 'journal', *arguments]

    def run(self, *arguments, **options):
        environment = {**os.environ, 'TZ': 'UTC'}
        return subprocess.run(self.command(*arguments), capture_output=True, check=False,
                              timeout=DEADLINE * 4, env=environment, **options)

    def read(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0 and not done.stderr, done
        return done.stdout

    def cat(self, *arguments, **options):
        return self.read('-o', 'cat', *arguments, **options).decode().split('\n')[:-1]

    def follow(self, *arguments):
        process = subprocess.Popen(self.command('-f', *arguments), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0)
        self.begun.append(process)
        return Followed(process)

    def finish(self):
        for process in self.begun:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()


class Followed:
    def __init__(self, process):
        self.process = process
        self.text = b''

    def line(self):
        """The next line, which has to come."""
        while b'\n' not in self.text:
            assert select.select([self.process.stdout], [], [], DEADLINE)[0], f'only {self.text!r}'
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, (self.text, self.process.wait(), self.process.stderr.read())
            self.text += more
        found, self.text = self.text.split(b'\n', 1)
        return found.decode()

    def lines(self, count):
        return [self.line() for _ in range(count)]


@contextlib.contextmanager
def logs():
    with tempfile.TemporaryDirectory() as folder:
        made = Logs(folder)
        try:
            yield made
        finally:
            made.finish()


# ---- picking ----------------------------------------------------------------------------------

def test_levels_are_picked_by_name_and_number_with_all_that_is_worse():
    with logs() as l:
        levels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
        l.write('web', b''.join(line(i, level, level) for i, level in enumerate(levels)))
        for number, level in enumerate(levels):
            assert l.cat('web', '-p', level) == levels[:number + 1]
            assert l.cat('web', '-p', str(number)) == levels[:number + 1]
        assert l.cat('web', '-p', 'error', '-n', '2') == ['crit', 'err']


def test_expressions_pick_by_the_text_alone():
    with logs() as l:
        l.write('web', line(0, 'status=200 info') + line(1, 'status=503 x', 'err') +
                f'{stamp(2)} +info started pid=12\n'.encode() + line(3, 'gr\u00fcn') +
                f'{stamp(4)} info abc\n{stamp(4)} +info event\n{stamp(4)} -info def\n'.encode() +
                b'torn 2020\n')
        assert l.cat('web', '-g', 'status=50[0-9]') == ['status=503 x']
        assert l.cat('web', '-g', 'info') == ['status=200 info'], 'not the level'
        assert l.cat('web', '-g', '2020') == ['torn 2020'], 'not the time'
        assert l.cat('web', '-g', '^gr.n$') == ['gr\u00fcn']
        assert l.cat('web', '-g', 'bcd') == l.cat('web', '-g', '^abcdef$') == ['abcdef'], \
            'a line that was cut is one'
        assert b'+info started' in l.read('web', '-g', 'pid=')
        assert l.cat('web', '-g', 'nothing such') == []
        assert l.run('web', '-g', '[z-a]').returncode == 2


def test_the_newest_lines_are_those_that_are_wanted():
    with logs() as l:
        text = b''.join(line(i, f'{i} {"x" * (i * 7 % 200)}', 'err' if i % 1000 == 0 else 'info')
                        for i in range(20000))
        half = text.index(stamp(12000).encode())
        l.write_sealed('web', 0, text[:half])
        l.compress('web', *os.listdir(l.logs / 'web'))
        l.write('web', text[half:])
        numbers = lambda *a: [int(found.split()[0]) for found in l.cat('web', *a)]
        assert numbers('-n', '3', '-p', 'err') == [17000, 18000, 19000]
        assert numbers('-n', '12', '-p', 'err') == list(range(8000, 20000, 1000))
        assert numbers('-n', '99', '-p', 'err') == list(range(0, 20000, 1000))
        assert numbers('-n', '2', '-g', '^1?234 ') == [234, 1234]
        assert numbers('-n', '2', '--until', stamp(14999.5)) == [14998, 14999]
        assert numbers('-n', '2', '--until', stamp(5)) == [4, 5]
        assert numbers('-n', '5', '--since', stamp(19998)) == [19998, 19999]
        assert numbers('-n', '0') == []


def test_times_are_found_wherever_they_are():
    with logs() as l:
        for first in range(0, 40000, 10000):
            l.write_sealed('web', first, b''.join(line(i, f'{i} {"y" * 100}')
                                                  for i in range(first, first + 10000)), first + 9999)
        leaves = sorted(os.listdir(l.logs / 'web'))
        l.compress('web', *leaves[:2])
        l.write('web', b''.join(line(i, f'{i} {"y" * 100}') for i in range(40000, 60000)))
        numbers = lambda *a: [int(found.split()[0]) for found in l.cat('web', *a)]
        for since, last in ((0, 3), (9998, 10003), (25000, 25004), (39999, 40001), (51234, 51240),
                            (59998, 70000), (70000, 80000)):
            wanted = list(range(since, min(last + 1, 60000)))
            assert numbers('--since', stamp(since), '--until', stamp(last)) == wanted
            assert numbers('--since', stamp(since), '-n', '2', '--until', stamp(last)) == wanted[-2:]
        assert numbers('--since', stamp(59990)) == list(range(59990, 60000))
        assert numbers('--until', stamp(4)) == [0, 1, 2, 3, 4]
        for leaf in os.listdir(l.logs / 'web'):
            os.utime(l.logs / 'web' / leaf)  # a copy has other times, and the same lines
        assert numbers('--since', stamp(25000), '--until', stamp(25003)) == list(range(25000, 25004))


FRAME_TEXT = 256 << 10  # docs/journal-format.md
TABLE_HEAD, TABLE_ENTRY, TABLE_END = 8, 8, 9  # bytes


def read_and_count(l, *arguments):
    """What slc prints, and how many bytes it has read for that, from all files together."""
    with tempfile.TemporaryFile() as output, subprocess.Popen(l.command(*arguments), stdout=output,
                                                              stdin=subprocess.DEVNULL) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        io = pathlib.Path(f'/proc/{process.pid}/io').read_text(encoding='ascii')
        assert process.wait() == 0, arguments
        output.seek(0)
        return output.read(), int(re.search(r'^rchar: (\d+)$', io, re.M)[1])


def test_a_place_in_a_large_compressed_file_is_found_by_few_of_its_frames():
    """By halves to half a megabyte of text, which is read through; without the table: by reading all."""
    count = 300000
    with logs() as l:
        # As no two lines share much, a frame is nearly half as long as its text.
        noise = os.urandom(50 * count).hex()
        texts = [f'{n} {noise[n * 100:n * 100 + 100]}' for n in range(count)]
        leaf = l.write_sealed('web', 0, b''.join(line(n / 10, text) for n, text in enumerate(texts)),
                              written=count / 10)
        l.compress('web', leaf)
        path = l.logs / 'web' / f'{leaf}.zst'
        size = path.stat().st_size
        frames, = struct.unpack_from('<I', path.read_bytes(), size - TABLE_END)
        frame = size // frames
        assert frames > 100 and frame > FRAME_TEXT // 3, (frames, frame)
        wanted = ''.join(text + '\n' for text in texts[-3:]).encode()
        base = read_and_count(l, '-o', 'cat', '-n', '0', 'web')[1]  # what is not the file
        cases = ((('--since', stamp((count - 3) / 10)), wanted, 8 + 3),  # log2 of the frames, and 3
                 (('-n', '3'), wanted, 2), (('-n', '3', '--until', stamp(0.2)),
                  ''.join(text + '\n' for text in texts[:3]).encode(), 8 + 3))
        for options, lines, most in cases:
            found, read = read_and_count(l, '-o', 'cat', *options, 'web')
            assert found == lines, (options, found[:200])
            assert read - base < (most + 1) * frame, (options, (read - base) / frame)
        os.truncate(path, size - TABLE_HEAD - frames * TABLE_ENTRY - TABLE_END)
        os.utime(path, (DAY.timestamp() + count / 10,) * 2)
        found, read = read_and_count(l, '-o', 'cat', *cases[0][0], 'web')
        assert found == wanted and read > size, (read, size)


def test_where_it_is_read_from_is_said_when_nobody_was_asked_and_nothing_given():
    with logs() as l:
        l.write('web', line(0, 'text'))
        read = lambda *words: subprocess.run([SLC, '--runtime', str(l.runtime), *words], check=False,
                                             capture_output=True, text=True, timeout=DEADLINE)
        said = f'slc: journal: no launcher answers in {l.runtime}: reading /var/log/conit\n'
        assert read('journal', 'web').stderr.startswith(said)
        assert not read('-q', 'journal').stderr.startswith(said)
        assert read('--logs', str(l.logs), 'journal', 'web').stderr == ''


def test_what_is_no_file_in_the_place_of_current_is_told_and_not_read():
    with logs() as l:
        secret = l.top / 'secret'
        secret.write_bytes(line(0, 'secret'))
        current = l.logs / 'web/current'
        l.write_sealed('web', 0, line(0, 'sealed'))
        l.write('web', line(1, 'meanwhile'), top=l.runtime / 'log')
        for make, what in ((lambda: current.symlink_to(secret), 'a symbolic link'),
                           (lambda: current.symlink_to('current'), 'a symbolic link'),
                           (current.mkdir, 'a folder'), (lambda: os.mkfifo(current), 'no plain file')):
            make()
            done = l.run('-o', 'cat', 'web')
            assert (done.returncode, done.stdout) == (0, b'sealed\nmeanwhile\n'), done
            assert done.stderr.decode() == (
                f'slc: web: {current} is {what}, and neither written nor read: what is printed is in '
                f'{l.runtime}/log/web meanwhile; remove it\n'), done
            if what == 'a folder':
                current.rmdir()
            else:
                current.unlink()
        current.symlink_to(secret)
        followed = l.follow('-o', 'cat', 'web')
        assert followed.lines(2) == ['sealed', 'meanwhile']


def with_descriptors(l, count, *arguments):
    limited = ['sh', '-c', f'ulimit -n {count}; exec "$@"', 'sh', *l.command('-o', 'cat', *arguments)]
    return subprocess.run(limited, capture_output=True, text=True, check=False, timeout=DEADLINE)


def test_a_journal_takes_one_descriptor_and_one_message_says_that_there_are_too_few():
    with logs() as l:
        for number in range(200):
            l.write(f's{number}', line(number, f'{number}'))
        enough = with_descriptors(l, 220)
        assert (enough.returncode, enough.stderr) == (0, ''), enough
        assert enough.stdout == ''.join(f'{number}\n' for number in range(200))
        few = with_descriptors(l, 100)
        said = re.fullmatch(r'slc: journal: there are descriptors for (\d+) of 200 journals only: raise the '
                            r'limit \(ulimit -n\), or name fewer services\n', few.stderr)
        assert few.returncode == 1 and said and 80 <= int(said[1]) < 100, few
        assert len(few.stdout.splitlines()) == int(said[1])
        assert with_descriptors(l, 100, '-f').returncode == 1


def test_what_lies_among_sealed_files_and_cannot_be_read_costs_the_others_nothing():
    with logs() as l:
        folder = l.logs / 'web'
        at = lambda number, ending='.log': folder / f'20200229T120000.00000{number}Z{ending}'
        l.write_sealed('web', 0, line(0, 'first'))
        at(2).mkdir()
        os.mkfifo(at(3, '.log.zst'))
        at(4).symlink_to(at(4).name)
        at(5).symlink_to('/nowhere')
        at(6).write_bytes(b'')
        (folder / '99991231T235959.999999Z.log').write_bytes(line(1, 'of no time'))
        (folder / os.fsdecode(b'\xff\x1b[2J')).write_bytes(line(1, 'of no name'))
        l.write('web', line(2, 'last'))
        assert l.cat('web') == l.cat('web', '-n', '3') == l.cat('web', '--since', stamp(0)) == ['first', 'last']
        bad = at(7, '.log.zst')
        bad.touch()
        command = l.command
        l.command = lambda *arguments: [  # in its place a file of which reading fails with EIO
            'unshare', '-m', 'sh', '-c', 'mount --bind /proc/$$/mem "$0" && exec "$@"', str(bad),
            *command(*arguments)]
        for arguments in [], ['-n', '2'], ['--since', stamp(0)]:
            done = l.run('-o', 'cat', 'web', *arguments)
            assert (done.returncode, done.stdout) == (1, b'first\nlast\n'), done
            assert f'slc: web: {bad} cannot be read: Input/output error: '.encode() in done.stderr, done
        followed = l.follow('-o', 'cat', 'web')
        assert followed.lines(2) == ['first', 'last']


def test_a_link_with_the_name_of_a_sealed_file_shows_nobody_what_it_leads_to():
    with logs() as l:
        folder, secret = l.logs / 'web', l.logs / 'secret'
        plain = l.write_sealed('secret', 0, line(1, 'secret'))
        packed = l.write_sealed('secret', 1, line(1, 'secret, too')) + '.zst'
        l.compress('secret', packed.removesuffix('.zst'))
        assert l.cat('secret') == ['secret', 'secret, too']
        l.write_sealed('web', 0.5, line(0, 'first'))
        (folder / plain).symlink_to(secret / plain)
        (folder / packed).symlink_to(secret / packed)
        l.write('web', line(2, 'last'))
        for arguments in ([], ['-n', '2'], ['--since', stamp(0)], ['--since', stamp(1)],
                          ['--until', stamp(3)]):
            assert l.cat('web', *arguments) == ['first', 'last'][arguments[1:] == [stamp(1)]:], arguments
        followed = l.follow('-o', 'cat', 'web')
        assert followed.lines(2) == ['first', 'last']


def test_two_forms_at_once_are_refused():
    with logs() as l:
        l.write('web', line(0, 'text'))
        done = l.run('--json', '-o', 'cat', 'web')
        assert (done.returncode, done.stdout) == (2, b'') and b'two forms' in done.stderr, done
        assert l.read('--json', '-o', 'json', 'web') == l.read('--json', 'web') == l.read('-o', 'json', 'web')


def test_times_are_shown_in_the_zone_that_they_are_read_in_and_json_has_utc():
    with logs() as l:
        l.write('web', line(0, 'winter') + line(86400 * 150, 'summer') + b'torn\n')
        zone = {**os.environ, 'TZ': 'CET-1CEST,M3.5.0,M10.5.0/3'}
        read = lambda *a: subprocess.run(l.command('web', *a), env=zone, check=True, text=True,
                                         capture_output=True, timeout=DEADLINE).stdout
        assert read().splitlines() == [
            '2020-02-29T13:00:00.000000+01:00 info winter',
            '2020-07-28T14:00:00.000000+02:00 info summer', '- info torn']
        assert read('--since', '2020-07-28 14:00', '-n', '2') == read('-n', '2')
        assert read('--until', '2020-02-29T13:00:00.000000+01:00') == read('--until', '2020-02-29 13:00')
        assert json.loads(read('-o', 'json').splitlines()[0])['time'] == stamp(0)


def test_what_is_damaged_is_told_with_its_file_and_time_and_all_else_is_shown():
    count = 30000
    with logs() as l:
        noise = os.urandom(50 * count).hex()
        leaf = l.write_sealed('web', 0, b''.join(
            line(n, f'{n} {noise[n * 100:n * 100 + 100]}') for n in range(count)), written=count)
        l.compress('web', leaf)
        path = l.logs / 'web' / f'{leaf}.zst'
        l.write('web', line(count, f'{count}'))
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 0xff
        path.write_bytes(damaged)
        os.utime(path, (DAY.timestamp() + count,) * 2)
        numbers = lambda done: [int(found) for found in re.findall(rb'^(\d+)(?: |$)', done.stdout, re.M)]
        done = l.run('-o', 'cat', 'web')
        said = re.fullmatch(rf'slc: web: {path} is damaged: what was printed from (\S+) up to (\S+) '
                            rf'is missing\n', done.stderr.decode())
        assert done.returncode == 1 and said, done.stderr
        begin, end = (round((datetime.datetime.fromisoformat(text.replace('Z', '+00:00')) - DAY).total_seconds())
                      for text in said.groups())
        assert FRAME_TEXT / 2 < (end - begin) * 135 < 2 * FRAME_TEXT, (begin, end)
        found = numbers(done)
        # Of the two lines that are cut off at its edges some is left.
        assert set(range(begin)) | set(range(end, count + 1)) <= set(found), (begin, end)
        assert not set(range(begin + 2, end - 1)) & set(found)
        middle = (begin + end) / 2
        for arguments in ['--since', stamp(middle), '--until', stamp(middle + 1)], ['-n', f'{count - end + 9}']:
            inside = l.run('-o', 'cat', *arguments, 'web')
            assert (inside.returncode, inside.stderr) == (1, done.stderr), (arguments, inside.stderr)
        assert numbers(l.run('-o', 'cat', '--since', stamp(middle), '--until', stamp(middle + 1), 'web')) == []
        for arguments in ['-n', '3'], ['--since', stamp(end + 10)], ['--until', stamp(begin - 10)]:
            outside = l.run('-o', 'cat', *arguments, 'web')
            assert (outside.returncode, outside.stderr) == (0, b''), (arguments, outside.stderr)
        assert all(json.loads(text)['time'] for text in l.run('-o', 'json', '-g', '^[0-9]* ', 'web').stdout.splitlines())
        for rest in b'', whole[:len(whole) // 3], b'no such thing':
            path.write_bytes(rest)
            done = l.run('-o', 'cat', 'web')
            assert done.returncode == 1 and f'{path} is damaged: '.encode() in done.stderr, done.stderr
            assert numbers(done)[-1] == count
            followed = l.follow('-o', 'cat', '-n', '5', 'web')
            assert b' is damaged: ' in followed.process.stderr.readline()


def test_following_tells_what_is_damaged_though_there_are_other_files_before_it_is_read_to_its_end():
    count = 20000
    with logs() as l:
        leaf = '20200229T115900.000000Z.log.zst'
        l.write('web', b'no such thing', leaf)
        l.write('web', b''.join(line(n, f'{n:0100}') for n in range(count)))
        followed = l.follow('-o', 'cat', '-n', f'{count}', 'web')
        # Nobody reads what it shows.
        until(lambda: calls(followed.process.pid, 'write', 'writev'), 'it shows some')
        l.seal('web', 1)
        l.write('web', line(count, 'next'))
        assert followed.lines(count + 1) == [*(f'{n:0100}' for n in range(count)), 'next']
        assert select.select([followed.process.stderr], [], [], DEADLINE)[0], 'nothing is said'
        said = followed.process.stderr.readline()
        assert f'{leaf} is damaged: '.encode() in said, said


def test_lines_from_before_the_clock_was_set_back_are_not_lost():
    with logs() as l:
        l.write_sealed('web', 0, line(0, 'a') + line(7200, 'ahead') + line(100, 'back'), 100)
        l.write_sealed('web', 200, line(200, 'c') + line(7300, 'ahead again'), 7300)
        l.write_sealed('web', 200.000001, line(150, 'd'), 150)
        l.write('web', line(300, 'e'))
        os.utime(l.logs / 'web/current', ((DAY + datetime.timedelta(seconds=300)).timestamp(),) * 2)
        assert l.cat('web', '--since', stamp(7250)) == ['ahead again']
        assert l.cat('web', '--until', stamp(160)) == ['a', 'back', 'd']
        # Within a file: what is met by halves is not in order.
        text = b''.join(line(i + (8000 if 8000 <= i < 16000 else 0), f'{i} {"z" * 100}')
                        for i in range(24000))
        l.write('set', text)
        os.utime(l.logs / 'set/current', ((DAY + datetime.timedelta(seconds=24000)).timestamp(),) * 2)
        assert len(l.cat('set', '--since', stamp(23000))) == 2000


def test_boots_are_found_by_their_marks():
    with logs() as l:
        for number in range(3):
            begin = number * 1000
            l.write('conit', f'{stamp(begin)} +info boot id=id-{number}\n'.encode() +
                    f'{stamp(begin + 1)} +info other text\n'.encode())
            l.write('web', line(begin + 2, f'boot {number}'))
        assert l.cat('web', '-b') == l.cat('web', '--boot') == ['boot 2']
        assert l.cat('web', '-b', '-1') == l.cat('web', '--boot=-1') == ['boot 1']
        assert l.cat('-b-2', 'web') == ['boot 0']
        done = l.run('web', '-b', '3')
        assert done.returncode == 4 and b'for an earlier boot write -b -3' in done.stderr, done
        assert l.cat('web', '-b', '-1', '--since', stamp(1900)) == []
        done = l.run('web', '-b', '-3')
        assert done.returncode == 1 and b'no boot -3: 3 are marked' in done.stderr, done
        (l.logs / 'conit/current').unlink()
        done = l.run('web', '-b')
        assert done.returncode == 1 and b'no boot is marked' in done.stderr, done


def test_names_that_are_none_get_4_and_the_nearest_and_all_others_are_read():
    with logs() as l:
        l.write('web', line(0, 'one'))
        done = l.run('wbe', 'web')
        assert done.returncode == 4 and b'wbe: there is no such service; did you mean "web"?' in done.stderr
        assert b'one' in done.stdout
        done = subprocess.run([SLC, '--logs', l.top / 'none', '--runtime', l.runtime, 'journal'],
                              capture_output=True, check=False, timeout=DEADLINE)
        assert done.returncode == 1 and b'which is not there' in done.stderr, done


def test_journals_begun_in_the_runtime_folder_are_merged_by_time():
    with logs() as l:
        l.write('web', line(0, 'old') + line(100, 'new'))
        l.write('web', line(50, 'between'), top=l.runtime / 'log')
        l.write('early', line(60, 'early'), top=l.runtime / 'log')
        assert l.cat('web') == ['old', 'between', 'new']
        assert l.cat() == ['old', 'between', 'early', 'new']
        assert l.cat('-n', '2') == ['early', 'new']
        # What is read of a pipe at once has one time, and goes on there.
        l.write('web', line(200, 'first'))
        l.write('web', line(200, 'then'), top=l.runtime / 'log')
        assert l.cat('web')[-2:] == ['first', 'then']


def test_folders_of_any_name_are_read():
    with logs() as l:
        for name in 'web', os.fsdecode(b'\xff\xfe'), 'a b', '\x1b[2J':
            l.write(name, line(0, 'text'))
        assert l.cat() == ['text'] * 4
        assert b'\x1b' not in l.read()


def test_a_pipe_gets_bytes_with_cat_and_escapes_otherwise_and_json_both():
    raw = b'\x1b[31mred\x00\xff\tend'
    with logs() as l:
        l.write('web', stamp(0).encode() + b' info ' + raw + b'\n')
        assert l.read('web', '-o', 'cat') == raw + b'\n'
        assert l.read('web') == f'{stamp(0)} info '.encode() + rb'\x1b[31mred\x00\xff' + b'\tend\n'
        found = json.loads(l.read('web', '-o', 'json'))
        assert base64.b64decode(found['raw']) == raw and found['message'].endswith('\ufffd\tend')


# ---- following --------------------------------------------------------------------------------

def test_following_begins_with_the_newest_and_goes_on_across_rotation_and_compression():
    with logs() as l:
        l.write('web', b''.join(line(i, str(i)) for i in range(15)) + line(15, 'unfin')[:-1])
        followed = l.follow('web', '-o', 'cat')
        assert followed.lines(10) == [str(i) for i in range(5, 15)]
        l.write('web', b'ished\n' + line(16, 'sixteen'))
        assert followed.lines(2) == ['unfinished', 'sixteen']
        # Stopped, so that what happens is seen all at once.
        followed.process.send_signal(signal.SIGSTOP)
        l.write('web', line(17, 'last of the first'))
        first = l.seal('web', 0)
        l.write('web', line(18, 'second'))
        second = l.seal('web', 18)
        l.write('web', line(19, 'third'))
        l.compress('web', first, second)
        followed.process.send_signal(signal.SIGCONT)
        assert followed.lines(3) == ['last of the first', 'second', 'third']
        for number in range(20, 40):
            l.compress('web', l.seal('web', number))
            l.write('web', line(number, str(number)))
            assert followed.line() == str(number)


def test_following_passes_over_what_the_quota_removed_and_goes_on():
    with logs() as l:
        l.write('web', line(0, 'one'))
        followed = l.follow('web', '-o', 'cat')
        assert followed.line() == 'one'
        followed.process.send_signal(signal.SIGSTOP)
        leaf = l.seal('web', 0)
        (l.logs / 'web' / leaf).unlink()
        l.write('web', line(1, 'gone'))
        leaf = l.seal('web', 1)
        (l.logs / 'web' / leaf).unlink()
        l.write('web', line(2, 'two'))
        followed.process.send_signal(signal.SIGCONT)
        assert followed.line() == 'two'
        (l.logs / 'web/current').unlink()
        (l.logs / 'web').rmdir()
        l.write('web', line(3, 'three'))
        assert followed.line() == 'three'


def holds_a_removed_file(pid):
    folder = pathlib.Path(f'/proc/{pid}/fd')
    return any(os.readlink(folder / fd).endswith(' (deleted)') for fd in os.listdir(folder))


def test_following_shows_nothing_sealed_again_when_current_goes_before_another_is_there():
    with logs() as l:
        l.write_sealed('web', 0, b''.join(line(i, f'sealed {i}') for i in range(100)))
        l.write('web', line(100, 'gone'))
        followed = l.follow('web', '-o', 'cat', '-n', '1')
        assert followed.line() == 'gone'
        until(lambda: is_waiting(followed.process.pid), 'it waits for more')
        (l.logs / 'web/current').unlink()
        until(lambda: not holds_a_removed_file(followed.process.pid), 'it has seen that')
        l.write('web', line(101, 'next'))
        assert followed.line() == 'next'


def test_following_shows_what_comes_after_current_was_emptied():
    with logs() as l:
        current = l.logs / 'web/current'
        l.write('web', b''.join(line(i, f'before {i}') for i in range(100)) + line(100, 'unfin')[:-1])
        followed = l.follow('web', '-o', 'cat', '-n', '1')
        assert followed.line() == 'before 99'
        os.truncate(current, 0)
        l.write('web', f'{stamp(101)} -info ished\n'.encode() + line(102, 'after'))
        assert followed.lines(2) == ['unfinished', 'after']
        os.truncate(current, 0)
        l.write('web', line(103, 'other'))  # as long as what was there
        assert followed.line() == 'other'
        followed.process.send_signal(signal.SIGSTOP)
        os.truncate(current, 0)
        l.write('web', b''.join(line(i, f'more {i}') for i in range(104, 300)))
        leaf = l.seal('web', 104)
        l.write('web', line(300, 'last'))
        l.compress('web', leaf)
        followed.process.send_signal(signal.SIGCONT)
        assert followed.lines(197) == [f'more {i}' for i in range(104, 300)] + ['last']


def test_following_shows_nothing_twice_that_a_killed_journal_takes_back_and_writes_again():
    with logs() as l:
        text = b''.join(line(i, f'line {i}') for i in range(100))
        l.write('web', text)
        followed = l.follow('web', '-o', 'cat', '-n', '1')
        assert followed.line() == 'line 99'
        for kept in len(text) - 200, len(text) - 10, 0:
            os.truncate(l.logs / 'web/current', kept)
            until(lambda: is_waiting(followed.process.pid), 'it has seen that')
            l.write('web', text[kept:])
            until(lambda: is_waiting(followed.process.pid), 'it has seen that, too')
        l.write('web', line(100, 'next'))
        assert followed.line() == 'next'


BATCH = line(1, 'two') + line(2, 'L' * 65536)
REST = f'{stamp(3)} -info rest\n'.encode()


@contextlib.contextmanager
def waiting_in_new_one():
    """A journal of which `current` was just sealed, under this name, and a follower that waits in the
    new one, of which it has read nothing: it was sealed with the beginning of a line."""
    with logs() as l:
        l.write('web', line(0, 'one'))
        followed = l.follow('web', '-o', 'cat')
        assert followed.line() == 'one'
        followed.process.send_signal(signal.SIGSTOP)  # it reads the rest when that is sealed
        l.write('web', BATCH)
        sealed = l.seal('web', 0)
        l.write('web', b'')
        followed.process.send_signal(signal.SIGCONT)
        assert followed.line() == 'two'
        until(lambda: is_waiting(followed.process.pid), 'it waits in the new one')
        yield l, followed, sealed


def test_following_goes_on_in_a_file_that_a_killed_journal_had_sealed_and_does_not_seal_after_all():
    for cut, seen_between in itertools.product((False, True), repeat=2):
        with waiting_in_new_one() as (l, followed, sealed):
            if not seen_between:
                followed.process.send_signal(signal.SIGSTOP)
            (l.logs / 'web/current').unlink()
            if seen_between:
                until(lambda: is_waiting(followed.process.pid), 'it has seen that there is no `current`')
            (l.logs / 'web' / sealed).rename(l.logs / 'web/current')
            if cut:  # the last batch is written again
                os.truncate(l.logs / 'web/current', len(line(0, 'one')))
            followed.process.send_signal(signal.SIGCONT)
            until(lambda: is_waiting(followed.process.pid), 'it has seen that')
            l.write('web', BATCH if cut else b'')
            l.seal('web', 0)
            l.write('web', REST + line(4, 'next'))
            assert followed.line() == 'L' * 65536 + 'rest'
            assert followed.line() == 'next'


def test_following_shows_what_a_journal_that_was_killed_writes_into_a_file_that_it_had_sealed_without():
    for compressed in False, True:
        with waiting_in_new_one() as (l, followed, sealed):
            followed.process.send_signal(signal.SIGSTOP)
            (l.logs / 'web' / sealed).rename(l.logs / 'web/current')
            l.write('web', REST + line(4, 'more'))
            l.seal('web', 0)
            if compressed:
                l.compress('web', sealed)
            l.write('web', line(5, 'next'))
            followed.process.send_signal(signal.SIGCONT)
            assert followed.line() == 'L' * 65536 + 'rest'
            assert followed.lines(2) == ['more', 'next']


def moved_below_logs(l, name):
    """As service-journal does it: what is in RUNTIME/log is appended, and then removed there."""
    there = l.runtime / 'log' / name / 'current'
    data = there.read_bytes()
    for at in range(0, len(data), 64):  # which need not be at once
        l.write(name, data[at:at + 64])
        yield
    there.unlink()
    there.parent.rmdir()
    yield


def is_at_rest(followed):
    until(lambda: is_waiting(followed.process.pid), 'it waits')


def test_following_shows_what_is_begun_in_the_runtime_folder_once_and_in_its_order_when_it_is_moved():
    stopgap = lambda l: l.runtime / 'log'
    for stopped in True, False:
        with logs() as l:
            n = iter(range(1000000))
            # What is read of a pipe at once has one time.
            some = lambda count: b''.join(line(i // 4, f'{i}') for _, i in zip(range(count), n))
            l.write('web', some(8))
            followed = l.follow('web', '-o', 'cat')
            assert followed.lines(8) == [str(i) for i in range(8)]
            shown = 8
            for _ in range(3):
                l.write('web', some(20), top=stopgap(l))
                assert followed.lines(20) == [str(i) for i in range(shown, shown + 20)]
                if stopped:
                    followed.process.send_signal(signal.SIGSTOP)
                    l.write('web', some(20), top=stopgap(l))
                for _ in moved_below_logs(l, 'web'):
                    if not stopped:
                        is_at_rest(followed)
                l.write('web', some(8))
                if stopped:  # and away again, before it has seen any of that
                    l.write('web', some(4), top=stopgap(l))
                    followed.process.send_signal(signal.SIGCONT)
                l.write('web', some(4), top=stopgap(l) if stopped else None)
                end = shown + (56 if stopped else 32)
                wanted = [str(i) for i in range(shown + 20, end)]
                found = followed.lines(len(wanted))
                assert found == wanted, (found, wanted)
                shown = end


def test_following_that_begins_with_the_newest_of_the_runtime_folder_shows_the_others_not_later():
    with logs() as l:
        l.write('web', b''.join(line(0, f'old {i}') for i in range(100)))
        l.write('web', b''.join(line(1, f'{i}') for i in range(100)), top=l.runtime / 'log')
        followed = l.follow('web', '-o', 'cat', '-n', '2')
        assert followed.lines(2) == ['98', '99']
        for _ in moved_below_logs(l, 'web'):
            is_at_rest(followed)
        l.write('web', line(1, 'next'))
        assert followed.line() == 'next'


def test_following_goes_on_where_it_was_when_the_logs_are_away_for_a_while():
    with logs() as l:
        l.write('web', b''.join(line(i, f'{i}') for i in range(20)))
        for names in ['web'], []:
            followed = l.follow('-o', 'cat', '-n', '1', *names)
            last = int(followed.line())
            l.logs.rename(l.top / 'away')
            l.write('web', line(last + 1, f'{last + 1}'), top=l.runtime / 'log')
            assert followed.line() == f'{last + 1}'
            (l.top / 'away').rename(l.logs)
            for _ in moved_below_logs(l, 'web'):
                is_at_rest(followed)
            l.write('web', line(last + 2, f'{last + 2}'))
            assert followed.line() == f'{last + 2}'


def test_following_sees_that_the_logs_were_mounted_and_unmounted():
    """A mount tells inotify nothing: what is in its place is another folder from then on."""
    with logs() as l:
        l.write('web', b''.join(line(i, f'{i}') for i in range(20)))
        inner = l.top / 'inner'
        inner.mkdir()
        with contextlib.ExitStack() as stack:
            holder = stack.enter_context(subprocess.Popen(
                ['unshare', '-m', 'sh', '-c', 'echo; exec cat'], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE))
            stack.callback(holder.kill)
            assert holder.stdout.readline() == b'\n'
            inside = ['nsenter', '-m', '-t', str(holder.pid), '--']
            run = lambda *words: subprocess.run([*inside, *words], check=True, timeout=DEADLINE)
            write = lambda text: subprocess.run(
                [*inside, 'sh', '-c', f'mkdir -p {l.logs}/web; exec cat >>{l.logs}/web/current'],
                input=text, check=True, timeout=DEADLINE)
            for names in ['web'], []:
                command = l.command
                l.command = lambda *arguments, command=command: [*inside, *command(*arguments)]
                followed = l.follow('-o', 'cat', '-n', '1', *names)
                l.command = command
                last = int(followed.line())
                is_at_rest(followed)
                run('mount', '-t', 'tmpfs', 'none', str(l.logs))
                write(line(last + 1, f'{last + 1}'))
                assert followed.line() == f'{last + 1}'
                run('umount', '-l', str(l.logs))
                write(line(last + 2, f'{last + 2}'))
                assert followed.line() == f'{last + 2}'


def test_following_all_finds_services_that_appear_and_merges_what_is_there():
    with logs() as l:
        l.write('one', line(0, 'a'))
        followed = l.follow('-o', 'cat')
        assert followed.line() == 'a'
        l.write('two', line(1, 'b'))
        assert followed.line() == 'b'
        l.write('three', line(2, 'c'), top=l.runtime / 'log')
        assert followed.line() == 'c'
        followed.process.send_signal(signal.SIGSTOP)
        for number in range(10, 20):
            for name in ('two', 'one', 'three'):
                l.write(name, line(number, f'{name} {number}'),
                        top=l.runtime / 'log' if name == 'three' else None)
        followed.process.send_signal(signal.SIGCONT)
        found = [found.split()[1] for found in followed.lines(30)]
        assert found == sorted(found), found


def test_following_waits_for_folders_that_are_not_there_yet():
    with logs() as l:
        l.logs.rmdir()
        followed = l.follow('web', '-o', 'cat')
        assert b'waiting for it' in followed.process.stderr.readline()
        l.write('web', line(0, 'here'))
        assert followed.line() == 'here'
    with logs() as l:
        l.logs.rmdir()
        followed = l.follow('-o', 'cat')
        assert b'which is not there: waiting for one' in followed.process.stderr.readline()
        l.write('web', line(0, 'one'))
        assert followed.line() == 'one'


def test_following_picks_as_reading_does():
    with logs() as l:
        l.write('web', b''.join(line(i, f'x{i}', 'err' if i % 2 else 'info') for i in range(40)))
        followed = l.follow('web', '-o', 'cat', '-p', 'err', '-g', '[0-9]', '-n', '2')
        assert followed.lines(2) == ['x37', 'x39']
        l.write('web', line(50, 'x50') + line(51, 'none', 'err') + line(52, 'x52', 'err'))
        assert followed.line() == 'x52'


def test_following_without_old_lines_begins_behind_one_that_is_unfinished():
    with logs() as l:
        l.write('web', line(0, 'old') + line(1, 'unfin')[:-1])
        followed = l.follow('web', '-o', 'cat', '-n', '0')
        # It has looked once its watch is there.
        until(lambda: 'inotify' in pathlib.Path(
            f'/proc/{followed.process.pid}/wchan').read_text() or is_waiting(followed.process.pid),
              'it waits')
        l.write('web', b'ished\n')
        assert followed.line() == 'unfinished'


def is_waiting(pid):
    """Whether it is in poll(2), after all that comes before."""
    return calls(pid, 'poll', 'ppoll')


def calls(pid, *names):
    numbers = {'write': ('1', '64'), 'writev': ('20', '66'), 'poll': ('7',), 'ppoll': ('271', '73')}
    number = pathlib.Path(f'/proc/{pid}/syscall').read_text().split()[0]
    return any(number in numbers[name] for name in names)


def test_long_lines_are_whole_when_they_are_followed():
    with logs() as l:
        l.write('web', line(0, 'begin'))
        followed = l.follow('web', '-o', 'cat')
        assert followed.line() == 'begin'
        l.write('web', line(1, 'a' * 65536))
        l.write('web', f'{stamp(2)} -info bbb\n'.encode())
        assert followed.line() == 'a' * 65536 + 'bbb'
        l.write('web', line(3, 'next'))
        assert followed.line() == 'next'


def test_following_ends_when_nobody_reads_any_more_and_by_an_interrupt_quietly():
    with logs() as l:
        l.write('web', line(0, 'one'))
        followed = l.follow('web', '-o', 'cat')
        assert followed.line() == 'one'
        followed.process.stdout.close()
        assert followed.process.wait(DEADLINE) == 0
        assert followed.process.stderr.read() == b''
        followed = l.follow('web', '-o', 'cat')
        assert followed.line() == 'one'
        followed.process.send_signal(signal.SIGINT)
        assert followed.process.wait(DEADLINE) == -signal.SIGINT
        assert followed.process.stderr.read() == b''


# ---- a terminal -------------------------------------------------------------------------------

def on_terminal(l, *arguments, **environment):
    """What gets to a terminal, and the exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update({'TERM': 'xterm', 'TZ': 'UTC', **environment})
        if 'NO_COLOR' not in environment:
            os.environ.pop('NO_COLOR', None)
        command = l.command(*arguments)
        os.execv(command[0], command)
    text = b''
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while True:
            assert select.select([fd], [], [], DEADLINE)[0], text
            text += os.read(fd, 65536)
    os.close(fd)
    return text.replace(b'\r\n', b'\n'), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_terminal_gets_colours_by_level_and_no_control_characters():
    with logs() as l:
        l.write('web', line(0, 'fine') + line(1, 'bad\x1b[2J', 'err'))
        text, status = on_terminal(l, 'web', '--no-pager')
        assert status == 0
        assert text == (f'{stamp(0)} info fine\n\x1b[31m{stamp(1)} err bad\\x1b[2J\x1b[0m\n').encode()
        text, _ = on_terminal(l, 'web', '--no-pager', NO_COLOR='1')
        assert text == f'{stamp(0)} info fine\n{stamp(1)} err bad\\x1b[2J\n'.encode()
        assert on_terminal(l, 'web', '--no-pager', '-o', 'cat')[0] == b'fine\nbad\\x1b[2J\n'


def test_a_terminal_gets_a_pager_where_there_is_one():
    with logs() as l:
        l.write('web', line(0, 'fine'))
        shown = f'{stamp(0)} info fine\n'.encode()
        assert on_terminal(l, 'web', CONIT_PAGER='sed s/^/paged:/')[0] == b'paged:' + shown
        assert on_terminal(l, 'web', PAGER='sed s/^/paged:/')[0] == b'paged:' + shown
        assert on_terminal(l, 'web', PAGER='sed s/^/no:/', CONIT_PAGER='cat')[0] == shown
        assert on_terminal(l, 'web', CONIT_PAGER='')[0] == shown
        assert on_terminal(l, 'web', CONIT_PAGER='/nowhere/pager')[0] == shown
        assert on_terminal(l, 'web', '--no-pager', CONIT_PAGER='sed s/^/paged:/')[0] == shown
        # One that ends early is no error, and ends slc.
        l.write('web', b''.join(line(i, 'x' * 1000) for i in range(5000)))
        text, status = on_terminal(l, 'web', CONIT_PAGER='head -n 1')
        assert (text, status) == (shown, 0)
        assert not re.search(rb'paged', l.read('web', '-n', '1'))


def test_status_shows_the_last_lines_each_cut_at_the_edge_of_a_terminal():
    with Machine() as machine:
        define(machine, 'web', type='task', exec=shell('printf "<3>%5000s\\n" long; echo short'))
        booted(machine)
        machine.wait_state('web', 'done')
        machine.quiet()  # so all of it is written
        plain = machine.slc('status', 'web').stdout.splitlines()
        assert [len(text) for text in plain if 'long' in text or '…' in text] == [1000], plain
        [long] = [text for text in machine.json('status', 'web')['log'] if text['level'] == 'err']
        assert len(long['message']) == 5000
        assert any('+info' in text for text in plain) and any(text.endswith(' short') for text in plain)
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update({'TERM': 'xterm', 'LC_ALL': 'C.UTF-8'})
            os.environ.pop('NO_COLOR', None)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
            os.execv(SLC, [SLC, '--runtime', str(machine.runtime), 'status', 'web'])
        text = b''
        with contextlib.suppress(OSError):
            while True:
                assert select.select([fd], [], [], DEADLINE)[0], text
                text += os.read(fd, 65536)
        os.close(fd)
        os.waitpid(pid, 0)
        [red] = [found for found in text.decode().splitlines() if '\x1b[31m' in found and ' err ' in found]
        shown = red.replace('\x1b[31m', '').replace('\x1b[0m', '').rstrip('\r')
        assert len(shown) == 80 and shown.endswith('…'), red


@contextlib.contextmanager
def printed_while_the_journal_stands_still():
    """A machine, and its journal's pid: what `web` has printed is in its pipe."""
    with Machine() as machine:
        go, done = machine.folder / 'go', machine.folder / 'done'
        os.mkfifo(go)
        define(machine, 'web', exec=shell(f'read x <{go}; echo new; : >{done}; exec sleep 100000'))
        booted(machine)
        journal = journal_of(machine)
        hold(journal)
        go.write_text('\n')
        until(done.exists, 'it is printed')
        yield machine, journal


def test_status_shows_what_was_printed_by_now_also_where_the_journal_is_behind():
    with printed_while_the_journal_stands_still() as (machine, journal):
        with subprocess.Popen([SLC, '--runtime', machine.runtime, 'status', 'web'],
                              stdout=subprocess.PIPE, text=True) as status:
            until(lambda: status.poll() is not None or asleep([status.pid]), 'it waits for the journal')
            os.kill(journal, signal.SIGCONT)
            text = status.communicate(timeout=DEADLINE)[0]
        assert re.search(r' info new$', text, re.M), text


def test_status_does_not_wait_for_ever_for_a_journal_that_does_not_answer():
    with printed_while_the_journal_stands_still() as (machine, journal):
        done = machine.slc('status', 'web')
        os.kill(journal, signal.SIGCONT)
        assert 'state  running' in done.stdout and ' info new' not in done.stdout, done
        assert 'the newest lines may be missing' in done.stderr, done
        assert machine.slc('-q', 'status', 'web').stdout == ''


def test_a_boot_is_marked_once_and_is_found_when_the_machine_is_down():
    with Machine() as machine:
        (machine.logs / 'conit').mkdir(parents=True)
        (machine.logs / 'conit/current').write_bytes(f'{stamp(0)} +info boot id=before\n'.encode())
        (machine.logs / 'old').mkdir()
        (machine.logs / 'old/current').write_bytes(line(1, 'of the boot before'))
        define(machine, 'web', type='task', exec=shell('echo of this boot'))
        booted(machine)
        machine.wait_state('web', 'done')
        machine.kill_journal()
        assert 'of this boot' in machine.slc('journal', '-b').stdout
        assert 'before' not in machine.slc('journal', '-b').stdout
        marks = machine.slc('journal', 'conit', '-g', '^boot id=').stdout.splitlines()
        kernel = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text(encoding='utf-8').strip()
        assert [mark.split('id=')[1] for mark in marks] == ['before', kernel], marks
        assert 'of the boot before' in machine.slc('journal', '-b', '-1').stdout
        machine.slc('poweroff')
        machine.wait_end()
        down = [SLC, '--runtime', '/nowhere', '--logs', str(machine.logs), 'journal', '-b', 'web']
        done = subprocess.run(down, capture_output=True, text=True, check=False, timeout=DEADLINE)
        assert done.returncode == 0 and 'of this boot' in done.stdout, done


def test_journals_of_another_machine_are_read_on_one_that_runs():
    with Machine() as machine:
        define(machine, 'web', type='task', exec=shell('echo of this machine'))
        booted(machine)
        machine.wait_state('web', 'done')
        with logs() as l:
            l.write('web', line(0, 'of the other'))
            l.write('conit', line(0, 'boot id=other'))
            read = [SLC, '--runtime', str(machine.runtime), 'journal', '-o', 'cat', '--logs']
            for names in ['web'], [], ['web', '-b']:
                done = subprocess.run([*read, str(l.logs), *names], capture_output=True, text=True,
                                      check=False, timeout=DEADLINE)
                assert done.returncode == 0 and 'of the other\n' in done.stdout, (names, done)
                assert 'of this machine' not in done.stdout, (names, done)
            # By another path to the launcher's own folder it is asked all the same.
            (l.top / 'link').symlink_to(machine.logs)
            done = subprocess.run([*read, str(l.top / 'link'), 'web'], capture_output=True, text=True,
                                  check=False, timeout=DEADLINE)
            assert (done.returncode, done.stdout) == (0, 'of this machine\n'), done
