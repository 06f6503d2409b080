"""A new journal beside the old one: nothing is lost, doubled or held up, whichever of them goes on."""
import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import threading

from harness import until
from steps import Stopped
from test_journal import (DRAIN_ALL, DRAINED, EVENT, FAILED, KEY_JOURNAL_STATE, LINE_OF_INIT,
                          PROGRAM, READY, RESUME, STORE, YIELD, YIELDED, Machine, machine,
                          write_all)
from test_journal_writer import mounted

KEY_SPOOL, KEY_QUEUE, KEY_INTAKE, KEY_COUNTS = 9, 10, 11, 15
KEY_BACKLOGS = 393184


def stand_still(m):
    m.say_init(YIELD)
    kind, keys, fds = m.hear_init()
    while kind == STORE:
        m.keep(keys, fds)
        kind, keys, fds = m.hear_init()
    assert kind == YIELDED, kind


@contextlib.contextmanager
def beside(m, program=PROGRAM):
    """A journal that is started beside that of `m`, which stands still, with the same things held."""
    new = Machine(m.folder, *m.options)
    for sock in (new.link, new.link_child):
        sock.close()
    new.link, new.link_child, new.held, new.sequence = m.link, m.link_child, m.held, m.sequence
    try:
        new.launch(beside=True, program=program)
        yield new
    finally:
        if new is not m.taken_by:
            if not new.process.stderr.closed:
                new.kill()
            for sock in (new.init, new.init_child):
                sock.close()


def take_over(m, new):
    """What init does when the new one is ready: it is the journal from here on."""
    kind, what, _ = new.hear_init()
    assert kind == READY, (kind, what)  # and nothing was stored before
    m.kill()
    new.hear_hello()
    while select.select([new.init], [], [], 0)[0]:
        kind, keys, fds = new.hear_init()
        assert kind == STORE
        m.keep(keys, fds)
    for old in (m.init, m.init_child):
        old.close()
    m.init, m.init_child, m.process, m.taken_by = new.init, new.init_child, new.process, new
    m.acknowledged = new.acknowledged


def upgrade(m, program=PROGRAM):
    stand_still(m)
    with beside(m, program) as new:
        take_over(m, new)


Machine.taken_by = None


class Printer(threading.Thread):
    """Prints numbered lines, in pieces that are no lines, until it is told to stop."""

    def __init__(self, out):
        super().__init__()
        self.out, self.stop, self.count = out, threading.Event(), 0
        self.start()

    def run(self):
        while not self.stop.is_set():
            text = b''.join(b'%d %s\n' % (n, b'y' * (n % 60))
                            for n in range(self.count, self.count + 50))
            for at in range(0, len(text), 7):
                os.write(self.out, text[at:at + 7])
            self.count += 50

    def finish(self):
        self.stop.set()
        self.join()
        os.close(self.out)
        return self.count


def printed(m, name):
    """The lines that a service has printed, those that an event has cut joined again."""
    found = []
    for mark, _, text in m.lines(name):
        if mark == '':
            found.append(text)
        elif mark == '-':
            found[-1] += text
    return found


def numbers(m, name):
    return [int(text.split()[0]) for text in printed(m, name)]


def test_lines_are_whole_and_in_order_through_fifty_upgrades_while_services_print():
    with machine() as m:
        printers = [Printer(m.service(i, f'web-{i}')) for i in range(3)]
        m.wait_done()
        try:
            for _ in range(50):
                m.say_link(EVENT, 0, text=b'event')
                upgrade(m)
        finally:
            counts = [printer.finish() for printer in printers]
        m.drain()
        for i, count in enumerate(counts):
            assert count and numbers(m, f'web-{i}') == list(range(count)), i
        assert [text for mark, _, text in m.lines('web-0') if mark == '+'] == [b'event'] * 50


def test_one_that_stands_still_does_nothing_and_goes_on_as_if_nothing_had_been():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'before\nin the mid')
        m.drain()
        stand_still(m)
        os.write(out, b'dle\n')
        m.say_link(EVENT, 0, text=b'event')
        m.say_init(LINE_OF_INIT, text=b'INFO[0001.000] Of init', argument=1)
        m.say_init(DRAIN_ALL)
        # What it does not do cannot be waited for: but one that is tried in vain has had the time.
        real, m.held = m.held, {}
        with beside(m) as new:
            assert new.hear_init()[0] == FAILED
            new.kill()
        m.held = real
        assert not select.select([m.init], [], [], 0)[0], 'it answered'
        m.say_init(RESUME)
        kind, _, _ = m.hear_init()
        assert kind == DRAINED
        m.wait_done()
        m.drain()
        assert printed(m, 'web') == [b'before', b'in the middle']
        assert m.lines('web')[-1] == ('+', 'info', b'event')
        assert b'Of init' in m.text('conit') and b'going on' in m.text('conit')
        os.close(out)


def test_what_is_printed_stays_in_the_pipe_of_one_that_stands_still():
    with machine() as m:
        out = m.service(0, 'web')
        m.wait_done()
        stand_still(m)
        os.write(out, b'waits\n')
        until(lambda: open(f'/proc/{m.process.pid}/stat', encoding='ascii').read().split()[2] == 'S',
              'it sleeps')
        waiting = fcntl.ioctl(out, termios.FIONREAD, b'\0' * 4)
        assert struct.unpack('=i', waiting)[0] == 6
        m.say_init(RESUME)
        m.drain()
        assert m.lines('web') == [('', 'info', b'waits')]
        os.close(out)


def test_a_new_journal_that_is_killed_before_it_is_ready_leaves_all_to_the_old_one():
    with machine() as m:
        out = m.service(0, 'web')
        for number in range(20):
            os.write(out, b'%d\n' % number)
            stand_still(m)
            if number % 2:  # with nothing it fails, in words
                real, m.held = m.held, {}
            with beside(m) as new:
                if number % 2:
                    kind, why, _ = new.hear_init()
                    assert (kind, why) == (FAILED, 'its state cannot be taken up: init holds none')
                    assert new.process.wait() == 1
                else:
                    new.kill()
            if number % 2:
                m.held = real
            m.say_init(RESUME)
        m.drain()
        assert numbers(m, 'web') == list(range(20))
        os.close(out)


def test_a_state_that_is_none_of_ours_is_refused_and_the_old_one_goes_on():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'one\n')
        m.drain()
        stand_still(m)
        held = dict(m.held)
        held[KEY_JOURNAL_STATE] = os.memfd_create('something')
        real, m.held = m.held, held
        with beside(m) as new:
            kind, why, _ = new.hear_init()
            assert kind == FAILED and why.startswith('its state cannot be taken up: '), why
            assert new.process.wait() == 1
        m.held = real
        os.close(held[KEY_JOURNAL_STATE])
        m.say_init(RESUME)
        os.write(out, b'two\n')
        m.drain()
        assert printed(m, 'web') == [b'one', b'two']
        os.close(out)


def test_a_queue_and_a_spool_of_another_make_are_replaced_for_they_are_empty():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'one\nha')
        m.drain()
        stand_still(m)
        real = {key: m.held[key] for key in (KEY_SPOOL, KEY_QUEUE)}
        m.held |= {key: os.memfd_create('something') for key in real}
        with beside(m) as new:
            take_over(m, new)
        for fd in real.values():
            os.close(fd)
        os.write(out, b'lf\n')
        m.drain()
        m.kill()
        os.write(out, b'three\n')
        m.start()  # and what it made instead is what the next one finds
        m.drain()
        assert printed(m, 'web') == [b'one', b'half', b'three']
        os.close(out)


def test_kills_of_the_new_one_right_after_it_is_ready_lose_nothing():
    with machine() as m:
        out = m.service(0, 'web')
        printer = Printer(out)
        m.wait_done()
        try:
            for _ in range(20):
                stand_still(m)
                with beside(m) as new:
                    kind, _, _ = new.hear_init()
                    assert kind == READY
                    m.kill()
                    new.kill()  # wherever it is by now
                    while select.select([new.init], [], [], 0)[0]:
                        kind, keys, fds = new.hear_init()
                        m.keep(keys, fds)
                m.start()
        finally:
            count = printer.finish()
        m.drain()
        assert count and numbers(m, 'web') == list(range(count))


# ---- what cannot stand still ------------------------------------------------------------------

def test_a_disk_that_hangs_is_the_reason_why_it_cannot_stand_still_and_it_goes_on():
    with machine() as m:
        out = m.service(0, 'web')
        m.drain()
        with Stopped(m.process):
            write_all(out, b'one\n')
            m.say_init(YIELD)
            kind, why, _ = m.hear_init()
            assert kind == FAILED, kind
            assert why == 'the disk does not answer, and lines that are not written would be lost'
        os.write(out, b'two\n')
        m.drain()
        assert printed(m, 'web') == [b'one', b'two']
        upgrade(m)
        os.write(out, b'three\n')
        m.drain()
        assert printed(m, 'web') == [b'one', b'two', b'three']
        os.close(out)


def least_reader(m):
    """What version a journal has to know that goes on from the state."""
    return struct.unpack('=QII', os.pread(m.held[KEY_JOURNAL_STATE], 16, 32768))[2]


def test_lines_that_cannot_be_written_are_passed_on_and_written_by_the_new_one():
    with machine(start=False) as m, mounted(m, 'size=64k'):
        m.start()
        out = m.service(0, 'web')
        m.wait_done()
        usual = least_reader(m)
        for number in range(3):
            for n in range(number * 1000, number * 1000 + 1000):
                os.write(out, b'%d %s\n' % (n, b'x' * 50))
            os.write(out, b'3000 in the mid' if number == 2 else b'')
            m.drain()
            stand_still(m)
            assert least_reader(m) > usual, 'one that does not know backlogs would take over'
            if number == 1:
                m.say_init(RESUME)
                m.drain()
                assert least_reader(m) == usual
                continue
            with beside(m) as new:
                take_over(m, new)
            m.drain()
            assert least_reader(m) == usual
        os.write(out, b'dle\n')
        m.drain()
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        upgrade(m)
        m.drain()
        assert numbers(m, 'web') == list(range(3001))
        assert printed(m, 'web')[-1] == b'3000 in the middle'
        stand_still(m)
        assert least_reader(m) == usual, 'nothing is kept any more'
        m.say_init(RESUME)
        os.close(out)


def test_a_new_one_that_does_not_get_the_lines_that_cannot_be_written_refuses():
    with machine(start=False) as m, mounted(m, 'size=64k'):
        m.start()
        out = m.service(0, 'web')
        write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 50) for n in range(2000)))
        m.drain()
        stand_still(m)
        real, m.held = m.held, {key: fd for key, fd in m.held.items() if key != KEY_BACKLOGS}
        with beside(m) as new:
            kind, why, _ = new.hear_init()
            assert kind == FAILED, kind
            assert why == 'init does not hold the lines that cannot be written, and they would be lost'
        m.held = real
        m.say_init(RESUME)
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        assert numbers(m, 'web') == list(range(2000))
        os.close(out)
