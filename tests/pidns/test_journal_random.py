"""Whatever is written, however it is rotated, compressed and read, and whenever the journal is
killed: what comes back is the lines that were written, and nothing else."""
import base64
import json
import os
import random
import subprocess

from harness import DEADLINE
from test_journal import EVENT, RUN_ENDED, machine, write_all

SLC = os.path.join(os.environ['CONIT_BUILD'], 'slc')
LEVELS = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
SMALL, FOR_EVER = 65536, 10000
ROUNDS, STEPS = 2, 30


class Model:
    """What the lines are: (level, text), the last one perhaps unfinished."""

    def __init__(self):
        self.lines = []
        self.open = b''
        self.cut = False  # by an event, and not gone on with yet
        self.was_cut = False

    def write(self, data):
        self.cut = self.cut and not data
        *whole, self.open = (self.open + data).split(b'\n')
        self.lines += [self.entry(text) for text in whole]

    def end(self):
        if self.open:
            self.lines.append(self.entry(self.open))
        self.open = b''
        self.cut = False

    @staticmethod
    def entry(text):
        if len(text) > 2 and text[:1] == b'<' and text[1:2] in b'01234567' and text[2:3] == b'>':
            return LEVELS[text[1] - ord('0')], text[3:]
        return 'info', text

    def all(self):
        return self.lines + ([self.entry(self.open)] if self.open else [])


def random_line(dice):
    kind = dice.randrange(8)
    if kind == 0:
        return b''
    if kind == 1:  # longer than an entry can be
        return dice.choice((b'x', b'\xff', b'<3>y')) * dice.randrange(30000, 150000)
    if kind == 2:
        return dice.randbytes(dice.randrange(1, 3000)).replace(b'\n', b'\0')
    if kind == 3:
        return dice.choice((b'<', b'<3', b'<3>', b'<8>', b'<33>', b'<a>', b'<7>late')) + b'text'
    if kind == 4:  # as a line of a journal, or nearly so
        return dice.choice((b'2026-11-22T13:54:00.123456Z info x', b'+info x', b'-info x',
                            b'2026-11-22T13:54:00.123456Z -info x'))
    return b'%d %s' % (dice.randrange(1 << 30), b'word ' * dice.randrange(30))


def read(m, *options):
    done = subprocess.run([SLC, '--runtime', m.runtime, '--logs', m.logs, 'journal', 'web', *options],
                          capture_output=True, check=False, timeout=DEADLINE * 4)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout


def same(found, wanted):
    for number, (one, other) in enumerate(zip(found, wanted)):
        assert one == other, (number, len(one), len(other), one[:99], other[:99])
    assert len(found) == len(wanted), (len(found), len(wanted))


def check(m, model):
    wanted = model.all()
    same(read(m, '-o', 'cat').split(b'\n')[:-1], [text for _, text in wanted])
    found = [json.loads(line) for line in read(m, '-o', 'json').splitlines()]
    found = [(line['level'], base64.b64decode(line['raw']) if 'raw' in line else
              line['message'].encode()) for line in found if line['stream'] == 'output']
    same(found, wanted)
    for count in (1, 3, len(wanted) // 2):
        newest = wanted[len(wanted) - count:] if count < len(wanted) else wanted
        assert read(m, '-o', 'cat', '-n', str(count)) == b''.join(text + b'\n' for _, text in newest)


def run_round(dice):
    model = Model()
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, FOR_EVER, 0, 0, 0))
        for step in range(STEPS):
            what = dice.randrange(12)
            if what < 8:
                data = b'\n'.join(random_line(dice) for _ in range(dice.randrange(1, 40)))
                data += dice.choice((b'', b'\n', b'\n'))
                while data:  # cut anywhere
                    size = dice.randrange(1, 60000)
                    part, data = data[:size], data[size:]
                    model.write(part)
                    write_all(out, part)
            elif what == 8:
                m.drain()
                m.say_link(EVENT, 0, text=b'something happened')
                m.drain()  # so that it is known which line it cuts
                model.cut = model.was_cut = bool(model.open)
            elif what == 9:
                m.drain()
                model.end()
                m.say_link(RUN_ENDED, 0)
                m.drain()  # what is printed from here on is the next run's
            elif not model.cut and not (len(model.open) < 3 and model.open[:1] == b'<'):
                # Not while the beginning of a level is held back, which may be lost; nor where a line
                # was cut and its rest is to come, which the next journal takes for another line.
                if model.was_cut:
                    m.drain()
                model.was_cut = False
                m.kill()
                m.start()
            if step % 10 == 9:
                m.drain()
                check_held(m, model, dice, out)
        m.drain()
        model.end()
        m.say_link(RUN_ENDED, 0)
        m.drain()
        check(m, model)
        os.close(out)


def check_held(m, model, dice, out):
    """Looks in between. What may become a level is in no file yet: a byte decides."""
    if len(model.open) < 3 and model.open[:1] == b'<':
        more = dice.choice((b'x', b'\n'))
        model.write(more)
        write_all(out, more)
        m.drain()
    check(m, model)


def test_random_writes_rotations_and_kills_give_back_the_lines_that_were_written():
    given = os.environ.get('CONIT_SEED')
    for number in range(ROUNDS):
        seed = int(given) + number if given else random.SystemRandom().randrange(1 << 32)
        print(f'CONIT_SEED={seed}', flush=True)
        run_round(random.Random(seed))
