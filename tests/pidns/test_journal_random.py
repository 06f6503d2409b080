"""Whatever is written, however it is rotated, compressed and read, and whenever the journal is
killed: what comes back is the lines that were written and the events that were said, each once and in its
place, and nothing else.

CONIT_SEED=… repeats what was done, CONIT_ROUNDS=… does more of it: the moment of a kill is the kernel's."""
import base64
import json
import os
import random
import re
import subprocess

from harness import DEADLINE, Skip
from test_journal import EVENT, RUN_ENDED, machine, write_all

SLC = os.path.join(os.environ['CONIT_BUILD'], 'slc')
LEVELS = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
HELD = re.compile(rb'<[0-7]?')  # may become a level: it is in no file until more is known
HUNG = re.compile(rb'dropped lines=(\d+) reason="the disk did not answer"')
SMALL, FOR_EVER = 65536, 10000
ROUNDS, STEPS = 2, 30


class Model:
    """What the entries are: (stream, level, text), the last line perhaps unfinished."""

    def __init__(self):
        self.entries = []
        self.open = b''
        self.place = None  # of the line that is open, once it has begun: events that cut it are behind it

    def write(self, data):
        for text in re.findall(rb'[^\n]*\n|[^\n]+', data):
            self.open += text.removesuffix(b'\n')
            self._begin(text.endswith(b'\n'))

    def _begin(self, ends):
        """Puts what is open into its place, unless it is held back."""
        if self.place is None and (ends or self.open and not HELD.fullmatch(self.open)):
            self.place = len(self.entries)
            self.entries.append(None)
        if self.place is not None:
            self.entries[self.place] = self.entry(self.open)
        if ends:
            self.open, self.place = b'', None

    def end(self):
        if self.open or self.place is not None:
            self._begin(True)

    def say(self, level, text):
        self.entries.append(('event', LEVELS[level], text))

    @staticmethod
    def entry(text):
        if len(text) > 2 and text[:1] == b'<' and text[1:2] in b'01234567' and text[2:3] == b'>':
            return 'output', LEVELS[text[1] - ord('0')], text[3:]
        return 'output', 'info', text

    def lines(self):
        return [text for stream, _, text in self.entries if stream == 'output']


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


def shown(entry):
    text = entry[-1] if isinstance(entry, tuple) else entry
    return (*(entry[:-1] if isinstance(entry, tuple) else ()), len(text), text[:60])


def same(found, wanted):
    for number, (one, other) in enumerate(zip(found, wanted)):
        assert one == other, (number, shown(one), shown(other))
    assert len(found) == len(wanted), (len(found), len(wanted), shown(max(found, wanted, key=len)[-1]))


def entries(m):
    found = [json.loads(line) for line in read(m, '-o', 'json').splitlines()]
    return [(line['stream'], line['level'], base64.b64decode(line['raw']) if 'raw' in line else
             line['message'].encode()) for line in found]


def check(m, model):
    wanted = model.lines()
    same(read(m, '-o', 'cat').split(b'\n')[:-1], wanted)
    same(entries(m), model.entries)
    for count in (1, 3, len(wanted) // 2):
        newest = wanted[len(wanted) - count:] if count < len(wanted) else wanted
        assert read(m, '-o', 'cat', '-n', str(count)) == b''.join(text + b'\n' for text in newest)


class Launcher:
    """Says again what the journal that was killed has not acknowledged, as the launcher does."""

    def __init__(self, m):
        self.machine, self.said = m, []

    def say(self, kind, **options):
        self.said.append((self.machine.say_link(kind, 0, **options), kind, options))

    def restart_journal(self):
        self.machine.kill()
        self.machine.start()
        self.said = [said for said in self.said if said[0] > self.machine.acknowledged]
        for sequence, kind, options in self.said:
            self.machine.say_link(kind, 0, sequence=sequence, **options)


class DiskHung(Exception):
    """It did not answer for a second, as on a machine that has no time for us: lines were dropped, and
    counted."""


def only_missing(found, wanted):
    """That what was found is what was wanted but for lines that were dropped, which were counted; of one
    that was under way a part may be there."""
    notes = [HUNG.fullmatch(text) if stream == 'event' else None for stream, _, text in found]
    dropped = sum(int(note[1]) for note in notes if note)
    left, at = [entry for entry, note in zip(found, notes) if not note], 0
    for number, entry in enumerate(left):
        while at < len(wanted) and not (entry == wanted[at] or entry[0] == wanted[at][0] == 'output' and
                                        entry[2] and entry[2] in wanted[at][2]):
            at += 1
        assert at < len(wanted), ('twice, or not in its place', number, shown(entry))
        at += 1
    assert 0 <= len(wanted) - len(left) <= dropped, (len(wanted), len(left), dropped)


def judge(m, model):
    try:
        check(m, model)
    except AssertionError as error:
        found = entries(m)
        if b"The journals' disk does not answer" in m.text('conit') and \
                any(stream == 'event' and HUNG.fullmatch(text) for stream, _, text in found):
            only_missing(found, model.entries)
            raise DiskHung from error
        raise


def test_a_disk_that_did_not_answer_excuses_missing_lines_and_nothing_else():
    note = ('event', 'warning', b'dropped lines=2 reason="the disk did not answer"')
    wanted = [('output', 'info', b'line %d' % number) for number in range(6)]
    only_missing(wanted[:1] + [note] + wanted[3:], wanted)
    only_missing([wanted[0], note, ('output', 'info', b'ne 2'), *wanted[3:]], wanted)
    for wrong in (wanted[:1] + [note] + wanted[4:],  # more than was said
                  wanted[:1] + [note] + wanted[3:] + wanted[5:],
                  [wanted[1], wanted[0], note, *wanted[4:]],
                  [wanted[0], note, ('output', 'info', b'another'), *wanted[3:]],
                  [wanted[0], note, ('output', 'err', b''), *wanted[3:]]):
        try:
            only_missing(wrong, wanted)
        except AssertionError:
            continue
        raise AssertionError(f'{wrong} is excused')


def run_round(dice):
    model, events = Model(), 0
    with machine() as m:
        launcher = Launcher(m)
        out = m.service(0, 'web', quota=(SMALL, FOR_EVER, 0, 0, 0))
        m.wait_done()
        for step in range(STEPS):
            what = dice.randrange(12)
            if dice.randrange(2):
                m.age('web')  # it is being compressed at the next seal
            if what < 7:
                data = b'\n'.join(random_line(dice) for _ in range(dice.randrange(1, 40)))
                data += dice.choice((b'', b'\n', b'\n', b'\n<', b'\n<4'))
                while data:  # cut anywhere
                    size = dice.randrange(1, 60000)
                    part, data = data[:size], data[size:]
                    model.write(part)
                    write_all(out, part)
            elif what < 10:
                m.drain()  # so that it is known which line it cuts, or ends
                if what < 9:
                    level, text, events = dice.randrange(8), b'event %d' % events, events + 1
                    model.say(level, text)
                    launcher.say(EVENT, level=level, text=text)
                else:
                    model.end()
                    launcher.say(RUN_ENDED)
                if dice.randrange(2):
                    launcher.restart_journal()
                m.drain()  # what is printed from here on comes behind it
            else:
                if dice.randrange(2):
                    m.drain()
                launcher.restart_journal()
            if step % 10 == 9:
                m.drain()
                judge(m, model)
        m.drain()
        model.end()
        launcher.say(RUN_ENDED)
        m.drain()
        judge(m, model)
        os.close(out)


def test_random_writes_events_rotations_and_kills_give_back_each_line_and_each_event_once():
    given, judged = os.environ.get('CONIT_SEED'), 0
    for number in range(int(os.environ.get('CONIT_ROUNDS', ROUNDS))):
        seed = int(given) + number if given else random.SystemRandom().randrange(1 << 32)
        try:
            run_round(random.Random(seed))
            judged += 1
        except DiskHung:
            print(f'CONIT_SEED={seed}: the disk did not answer')
        except Exception as error:
            raise AssertionError(f'CONIT_SEED={seed}: {error}') from error
    if not judged:
        raise Skip('the disk did not answer in any round')
