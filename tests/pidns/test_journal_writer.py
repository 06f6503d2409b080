"""The journal's two threads: kills at every system call, disks that hang, are full or read-only."""
import contextlib
import datetime
import fcntl
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import time
import types

from hang import HungFolder
from harness import LIBC, ROOT, Machine as WholeMachine, until
from services import booted, define, look
from steps import ACCESS, FDATASYNC, RENAMEAT, WRITEV, Stopped, Stepper, syscall_of
from test_journal import EVENT, RUN_ENDED, FORGET, machine, write_all

KEY_COUNTS = 15
TIMEOUT = 300  # each system call is stopped at twice
F_GETPIPE_SZ = 1032  # fcntl has it since Python 3.10
DROPPED = re.compile(rb'dropped lines=(\d+) reason="(.*)"')


def numbers(lines, end=b''):
    """Those of the lines that are whole, if it is said how they end."""
    return [int(text.split()[0]) for mark, _, text in lines if not mark and text.endswith(end)]


def shown(m, *arguments):
    """What `slc journal` prints."""
    slc = os.path.join(os.environ['CONIT_BUILD'], 'slc')
    return subprocess.run([slc, '--runtime', m.runtime, 'journal', '--logs', m.logs, *arguments],
                          capture_output=True, check=True).stdout


def printed(m, name):
    """The numbers that lines begin with, of all files of a journal."""
    return [int(line.split()[0]) for line in shown(m, '-o', 'cat', name).splitlines()]


def check_newest(lines, count):
    """The newest of so many lines are there, and the others were counted, where they are missing."""
    found = numbers(lines)
    assert found[-1] == count - 1 and found == sorted(set(found)), (found[:3], found[-3:])
    dropped = [DROPPED.fullmatch(text) for mark, _, text in lines if mark == '+']
    assert all(dropped) and len(dropped) == 1, [text for mark, _, text in lines if mark]
    assert len(found) + int(dropped[0][1]) == count, (len(found), dropped[0])
    at = [mark for mark, _, _ in lines].index('+')
    assert found[at] - (found[at - 1] if at else -1) == int(dropped[0][1]) + 1, (at, found[at])
    return dropped[0][2]


# ---- kills ------------------------------------------------------------------------------------

def kill_at_steps(first, stride):
    """Prints to two services, says an event and the end of a run, and kills at each n-th stop,
    until there are no more."""
    with machine() as m:
        outs = [m.service(i, f'web-{i}') for i in range(2)]
        m.drain()
        said, events = [[], []], []
        steps, more = first, True
        while more:
            stepper = Stepper(m.process)
            for i, out in enumerate(outs):
                lines = [b'%d.%d %s' % (steps, n, b'x' * (n * 7)) for n in range(20)]
                os.write(out, b'<3>' + b'\n'.join(lines) + b'\nhalf')
                said[i] += lines + [b'half']
            m.say_link(EVENT, 0, text=b'event %d' % steps)
            m.say_link(RUN_ENDED, 1)
            m.say_link(EVENT, 1, text=b'event %d' % steps)
            events.append(b'event %d' % steps)
            more = stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            for out in outs:
                os.write(out, b'-rest\n')
            m.drain()
            steps += stride
        assert len(events) > 10
        for i, out in enumerate(outs):
            lines = m.lines(f'web-{i}')
            assert [text for mark, _, text in lines if mark == '+'] == events
            printed = [text for mark, _, text in lines if mark != '+']
            printed = [text.removesuffix(b'-rest') for text in printed if text != b'-rest']
            assert printed == said[i], [pair for pair in zip(printed, said[i])
                                        if pair[0] != pair[1]][:5]
            os.close(out)


def test_a_kill_at_any_even_system_call_loses_and_doubles_no_line_and_no_event():
    kill_at_steps(0, 2)


def test_a_kill_at_any_odd_system_call_loses_and_doubles_no_line_and_no_event():
    kill_at_steps(1, 2)


def test_a_kill_while_a_writer_that_slept_is_woken_for_an_event_does_not_double_it():
    """Nothing is printed before it, so that it is the event that wakes the writer."""
    with machine() as m:
        out = m.service(0, 'web')
        steps, more, said = 0, True, []
        while more:
            os.write(out, b'half')
            m.drain()
            m.wait_done()
            stepper = Stepper(m.process)
            m.say_link(EVENT, 0, text=b'event %d' % steps)
            m.say_link(RUN_ENDED, 0, text=b'ended %d' % steps)
            stepper.step(steps)
            more = not select.select([m.link], [], [], 0)[0]  # until it has answered
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            os.write(out, b'unfin')  # of the next run, or of this one if it has not ended yet
            m.start()
            m.drain()
            os.write(out, b'ished\n')
            m.drain()
            said += [b'event %d' % steps, b'ended %d' % steps]
            steps += 1
        assert steps > 10
        lines = m.lines('web')
        assert [text for mark, _, text in lines if mark == '+'] == said
        printed = []
        for mark, _, text in lines:
            if mark == '-':
                printed[-1] += text
            elif not mark:
                printed.append(text)
        assert set(printed) <= {b'half', b'unfinished', b'halfunfin', b'ished'}, printed
        os.close(out)


def kill_between_parts(first, stride):
    """Prints line ends only, which get so much longer in the queue that there is not room for all of
    a block; kills at each n-th stop."""
    with machine() as m:
        out = m.service(0, 'web', quota=(1 << 30, 4, 0, 0, 0))
        steps, more, said, text = first, True, [], b'x' * 20000
        while more:
            os.write(out, text + b'\n')  # what is to be expected of it
            m.drain()
            stepper = Stepper(m.process)
            os.write(out, b'%d\n' % steps + b'\n' * 60000)
            said += [text, b'%d' % steps, b'60000']
            more = stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            m.drain()
            steps += stride
        assert len(said) > 3 * 10
        printed, empty = [], 0
        for line in m.text('web').split(b'\n')[:-1]:
            line = line[len('2026-11-22T13:54:00.123456Z info '):]
            if line and empty:
                printed.append(b'%d' % empty)
                empty = 0
            empty += not line
            printed += [line] if line else []
        printed.append(b'%d' % empty)
        assert printed == said, [pair for pair in zip(printed, said) if pair[0] != pair[1]][:5]
        os.close(out)


def test_a_kill_between_the_parts_of_a_block_loses_and_doubles_no_line():
    kill_between_parts(1, 6)


def test_what_is_in_the_queue_of_a_journal_that_is_killed_is_written_by_the_next():
    with machine() as m:
        outs = [m.service(i, f'web-{i}') for i in range(3)]
        m.drain()
        with Stopped(m.process) as stopped:
            for i, out in enumerate(outs):
                os.write(out, b''.join(b'%d\n' % n for n in range(5000)) + b'half')
            m.say_link(RUN_ENDED, 1)
            m.say_link(FORGET, 2)  # and its number is somebody else's at once
            os.close(outs[2])
            outs[2] = m.service(2, 'other')
            os.write(outs[2], b'hello\n')
            m.wait_done()
            assert not (m.logs / 'web-0').exists(), 'the writer is stopped'
            stopped.kill(m.process.pid)
            m.kill()
        m.start()
        os.write(outs[0], b' line\n')
        m.drain()
        for name, end in (('web-0', b'half line'), ('web-1', b'half'), ('web-2', b'half')):
            lines = m.lines(name)
            assert numbers(lines[:-1]) == list(range(5000)) and lines[-1][2] == end, name
        assert m.lines('other') == [('', 'info', b'hello')]
        for out in outs:
            os.close(out)


# ---- a disk that hangs ------------------------------------------------------------------------

def test_a_writer_that_hangs_holds_up_neither_services_nor_the_launcher():
    with machine() as m:
        outs = [m.service(i, f'web-{i}') for i in range(3)]
        m.drain()
        count = 30000
        text = b''.join(b'%d %s\n' % (n, b'x' * 80) for n in range(count))
        with Stopped(m.process):
            for out in outs[:2]:
                write_all(out, text)  # as fast as they are read, for nothing else takes them
            os.write(outs[2], b'0 a few\n')
            m.drain()  # it is answered, though nothing can be written
            m.say_link(RUN_ENDED, 2)
            m.wait_done()
            private = sum(int(line.split()[1]) for line in
                          open(f'/proc/{m.process.pid}/smaps_rollup', encoding='ascii')
                          if line.startswith('Private_'))
            if os.environ['CONIT_BUILD_KIND'] == 'release':
                assert private < 1024 + 3 * 64 + 1024 + 512, f'{private} KiB'
        m.drain()
        for i in range(2):
            assert check_newest(m.lines(f'web-{i}'), count) == b'the disk did not answer'
        assert m.lines('web-2') == [('', 'info', b'0 a few')]
        for out in outs:
            os.write(out, b'and on\n')
        m.drain()
        for i, out in enumerate(outs):
            assert m.lines(f'web-{i}')[-1] == ('', 'info', b'and on')
            os.close(out)
        assert b'does not answer' in m.text('conit') and b'answers again' in m.text('conit')


def test_a_writer_that_hangs_again_and_again_keeps_lines_in_order():
    with machine() as m:
        out = m.service(0, 'web')
        m.drain()
        number = 0
        for _ in range(3):
            with Stopped(m.process):
                write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 200)
                                        for n in range(number, number + 15000)))
                number += 15000
            m.drain()
        lines = m.lines('web')
        found = numbers(lines, b'x' * 200)  # one whose end was dropped counts as dropped
        dropped = sum(int(DROPPED.fullmatch(text)[1]) for mark, _, text in lines if mark)
        assert found == sorted(set(found)) and found[-1] == number - 1
        assert len(found) + dropped == number, (len(found), dropped)
        os.close(out)


def test_a_hung_folder_stops_no_service_and_no_request_and_the_newest_lines_are_there_later():
    with WholeMachine() as m:
        counted = pathlib.Path(m.runtime) / 'counted'
        script = f'i=0; while [ $i -lt 60000 ]; do echo $i {"x" * 60}; i=$((i+1)); done; ' \
                 f'echo done >{counted}; sleep 1000'
        define(m, 'printer', exec=['/bin/sh', '-c', script], enabled=False)
        booted(m)
        with HungFolder(m, m.logs):
            m.slc('start', 'printer')
            until(counted.exists, 'all is printed', deadline=60)
            assert m.json('list')[0]['name'] == 'printer'
        def newest():
            path = m.logs / 'printer/current'
            return path.exists() and b'59999 ' in path.read_bytes()
        until(newest, 'the newest line is in the file', deadline=30)
        text = (m.logs / 'printer/current').read_bytes()
        found = [int(line.split()[2]) for line in text.splitlines() if b' +' not in line]
        dropped = sum(int(match[1]) for match in DROPPED.finditer(text))
        started = text.count(b'+info started')  # which may be among those that were dropped
        assert found == sorted(set(found))
        assert len(found) + started + dropped == 60001, (len(found), started, dropped)


# ---- what is on the disk ------------------------------------------------------------------------

def next_synced(stepper):
    """The file that is synced next."""
    fd = until(lambda: stepper.until(FDATASYNC), 'something is synced', deadline=60)
    return os.path.basename(os.path.dirname(os.readlink(f'/proc/{stepper.pid}/fd/{fd}')))


def has_syncing_thread(pid):
    return len(os.listdir(f'/proc/{pid}/task')) == 3


def drained_to_quiet(stepper):
    """Until there is no system call for a second, three times in a row: nothing is done again and
    again."""
    quiet, end = 0, time.monotonic() + 60
    while quiet < 3:
        assert time.monotonic() < end, 'it wakes up though there is nothing to do'
        quiet = 0 if stepper.next_stop() else quiet + 1


def test_errors_are_synced_before_what_was_printed_earlier_and_then_nothing_wakes_up():
    with machine(start=False) as m:
        m.begin_alone()
        outs = {name: m.service(i, name) for i, name in enumerate(('quiet', 'urgent'))}
        os.write(outs['quiet'], b'<3>so that there is a thread that syncs\n')
        m.drain()
        until(lambda: has_syncing_thread(m.process.pid), 'the thread is there', deadline=60)
        with contextlib.closing(Stepper(m.process)) as stepper:
            while stepper.next_stop():
                pass  # what is left of that
            os.write(outs['quiet'], b'an ordinary line\n')
            os.write(outs['urgent'], b'<3>an error\n')
            order = []
            while not set(outs) <= set(order):
                order.append(next_synced(stepper))
            assert order.index('urgent') < order.index('quiet'), order
            drained_to_quiet(stepper)
        for out in outs.values():
            os.close(out)


def test_a_pipe_that_is_printed_into_without_a_pause_is_large_until_it_is_idle():
    with machine(start=False) as m:
        m.begin_alone()
        out = m.service(0, 'web', quota=(1 << 40, 4, 0, 0, 0))
        other = m.service(1, 'other')
        former = fcntl.fcntl(out, F_GETPIPE_SZ)
        printer = subprocess.Popen(['seq', 'inf'], stdout=out)
        until(lambda: fcntl.fcntl(out, F_GETPIPE_SZ) > former, 'the pipe is larger')
        os.write(other, b'<3>nor is another one forgotten meanwhile\n')
        until(lambda: (m.logs / 'other').exists() and m.lines('other'), 'it is there')
        printer.kill()
        printer.wait()
        until(lambda: fcntl.fcntl(out, F_GETPIPE_SZ) == former, 'the pipe is as it was')
        os.write(out, b'\n')
        m.drain()
        printed = numbers(m.lines('web')[:-1])
        assert printed == list(range(1, len(printed) + 1))
        os.write(out, b'and it is read again\n')
        until(lambda: m.lines('web')[-1][2] == b'and it is read again', 'it is there')
        until(lambda: has_syncing_thread(m.process.pid), 'the last one is synced', deadline=60)
        with contextlib.closing(Stepper(m.process)) as stepper:
            drained_to_quiet(stepper)
        for fd in (out, other):
            os.close(fd)


def test_a_pipe_that_was_made_larger_is_as_it_was_though_the_journal_was_killed():
    with machine() as m:
        out = m.service(0, 'web', quota=(1 << 40, 4, 0, 0, 0))
        former = fcntl.fcntl(out, F_GETPIPE_SZ)
        printer = subprocess.Popen(['seq', 'inf'], stdout=out)

        def is_stopped_while_it_is_large():
            m.process.send_signal(signal.SIGSTOP)
            os.waitpid(m.process.pid, os.WUNTRACED)
            is_large = fcntl.fcntl(out, F_GETPIPE_SZ) > former
            if not is_large:
                m.process.send_signal(signal.SIGCONT)
            return is_large
        until(is_stopped_while_it_is_large, 'the pipe is larger')
        m.kill()
        printer.kill()
        printer.wait()
        assert fcntl.fcntl(out, F_GETPIPE_SZ) > former
        m.start()
        until(lambda: fcntl.fcntl(out, F_GETPIPE_SZ) == former, 'the pipe is as it was')
        os.write(out, b'\n')
        m.drain()
        printed = numbers(m.lines('web')[:-1])
        assert printed == list(range(1, len(printed) + 1))
        os.close(out)


def test_the_time_that_the_system_file_gives_counts_from_the_next_reload():
    """What was printed under an hour comes later than what is printed under less."""
    with WholeMachine() as m:
        for name, line in (('urgent', '<3>an error'), ('late', 'a line'), ('soon', 'a line')):
            define(m, name, type='task', exec=['/bin/echo', line], enabled=False)
        m.config.write_text('log: {sync: 1h}\n', encoding='ascii')
        booted(m)
        journal = types.SimpleNamespace(pid=m.pid_of('service-journal'))
        m.slc('start', 'urgent')
        until(lambda: has_syncing_thread(journal.pid), 'there is a thread that syncs', deadline=60)
        m.slc('start', 'late')
        until(lambda: '+info done' in m.log_of('late'), 'all of it is written')
        m.config.write_text('log: {sync: 100ms}\n', encoding='ascii')
        m.slc('reload')
        with contextlib.closing(Stepper(journal)) as stepper:
            m.slc('start', 'soon')
            first = None
            while first not in ('late', 'soon'):
                first = next_synced(stepper)
        assert first == 'soon'


def test_a_file_is_synced_before_it_is_sealed():
    with machine() as m:
        out = m.service(0, 'web', quota=(65536, 4, 0, 0, 0))
        os.write(out, b''.join(b'%d %s\n' % (n, b'x' * 100) for n in range(400)))
        m.drain()
        stepper = Stepper(m.process)
        write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 100) for n in range(300)))
        with contextlib.closing(stepper):
            assert stepper.until(RENAMEAT) is not None
        writer = stepper.seen[-1][0]
        own = [number for thread, number in stepper.seen if thread == writer and number is not None]
        assert own[-2:] == [FDATASYNC, RENAMEAT] or FDATASYNC in own[-4:], own[-6:]
        os.close(out)


# ---- a disk that cannot be written --------------------------------------------------------------

@contextlib.contextmanager
def mounted(m, options):
    m.logs.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'none', m.logs], check=True)
    try:
        yield
    finally:
        m.finish()
        subprocess.run(['umount', '-l', m.logs], check=True)


def test_a_disk_that_is_full_for_one_service_is_written_by_others_in_order():
    with machine(start=False) as m, mounted(m, 'size=128k'):
        m.start()
        outs = [m.service(i, f'web-{i}') for i in range(4)]
        count = 3000
        for n in range(count):
            for out in outs:
                os.write(out, b'%d %s\n' % (n, b'x' * 50))
        m.drain()
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        for i, out in enumerate(outs):
            lines = m.lines(f'web-{i}')
            if any(mark for mark, _, _ in lines):
                assert check_newest(lines, count) == b'No space left on device'
            else:
                assert numbers(lines) == list(range(count))
            os.close(out)


def test_a_disk_that_takes_some_and_is_full_again_leaves_no_torn_line():
    with machine(start=False) as m, mounted(m, 'size=256k'):
        filler = m.logs / 'filler'
        filler.write_bytes(bytes(256 << 10))
        m.start()
        out = m.service(0, 'web')
        write_all(out, b''.join(b'%06d %s\n' % (n, b'x' * 100) for n in range(2000)))
        m.drain()
        assert not (m.logs / 'web/current').stat().st_size
        os.truncate(filler, 188 << 10)  # as much as is taken from a backlog at once, and a page
        until(lambda: (m.logs / 'web/current').stat().st_size > 60000, 'some are written')
        write_all(out, b''.join(b'%06d %s\n' % (n, b'x' * 100) for n in range(2000, 30000)))
        m.drain()
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        lines = m.lines('web')
        assert all(text.endswith(b' ' + b'x' * 100) for mark, _, text in lines if not mark)
        # A line that says how many were dropped may find room where none of them does.
        next_one = 0
        for mark, _, text in lines:
            assert mark or int(text[:6]) == next_one, (text[:20], next_one)
            next_one += int(DROPPED.fullmatch(text)[1]) if mark else 1
        assert next_one == 30000
        os.close(out)


# ---- kills while nothing can be written --------------------------------------------------------

def fill(m):
    """Until nothing can be written any more."""
    with open(m.logs / 'filler', 'ab', buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)) == 4096:
            pass


def test_what_is_said_of_dropped_lines_is_no_newer_than_the_line_behind_it():
    with machine(start=False) as m, mounted(m, 'size=256k'):
        m.start()
        out = m.service(0, 'web')
        m.drain()
        fill(m)
        write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 1000) for n in range(3000)))
        m.drain()
        full_until = datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%fZ')
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        assert check_newest(m.lines('web'), 3000) == b'No space left on device'
        times = [line[:27] for line in m.text('web').splitlines()]
        assert times == sorted(times), [pair for pair in zip(times, times[1:]) if pair[0] > pair[1]]
        # All of them were printed by then: a reader passes over none.
        assert shown(m, '-o', 'cat', '--until', full_until, 'web') == shown(m, '-o', 'cat', 'web')
        os.write(out, b'3000 later\n')
        m.drain()
        assert b'3000 later' not in shown(m, '-o', 'cat', '--until', full_until, 'web')
        os.close(out)


def again(m):
    m.kill()
    m.start()


def test_lines_of_a_forgotten_service_that_cannot_be_written_are_counted():
    with machine(start=False) as m, mounted(m, 'size=256k'):
        m.start()
        out = m.service(0, 'web')
        m.drain()
        fill(m)
        write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 1000) for n in range(3000)) + b'half')
        m.drain()
        m.say_link(FORGET, 0)
        os.close(out)
        m.drain()
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        page = (ROOT / 'docs/journal-format.md').read_bytes()
        said = re.search(rb'`(The last lines of a service .* lines=)\d+ service=web`', page)
        lost = said and re.search(re.escape(said[1]) + rb'(\d+) service=web\n', m.text('conit'))
        there = m.lines('web')
        assert lost and int(lost[1]) + len(numbers(there)) + dropped_in(there) == 3001, (lost, len(there))


IN_CLOSE_WRITE, IN_OPEN, IN_EVENT = 0x8, 0x20, struct.Struct('=iIII')


@contextlib.contextmanager
def opens_of(folder):
    """Gives what tells how often something in a folder was opened since. Of events that are the same only
    one is told, but for where another is between them: a close."""
    fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0 and LIBC.inotify_add_watch(fd, os.fsencode(folder), IN_OPEN | IN_CLOSE_WRITE) >= 0
    def count():
        found = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(fd, 65536)
                while data:
                    _, mask, _, size = IN_EVENT.unpack_from(data)
                    found += bool(mask & IN_OPEN)
                    data = data[IN_EVENT.size + size:]
        return found
    yield count
    os.close(fd)


def test_services_that_are_forgotten_on_a_full_disk_have_only_their_own_lines_tried():
    with machine(start=False) as m, mounted(m, 'size=1m'):
        m.start()
        count = 100
        outs = [m.service(i, f'web-{i}') for i in range(count + 1)]
        os.write(outs[count], b'it is there\n')
        m.drain()
        fill(m)
        for out in outs:
            os.write(out, b'%s\n' % (b'x' * 5000))
        m.drain()
        began = time.monotonic()
        with opens_of(m.logs / f'web-{count}') as opens:
            for i in range(count):
                m.say_link(FORGET, i)
            m.drain()
            m.drain()  # by now the last one's end is carried out, too
            tries = opens()
            most = (time.monotonic() - began) / 0.25 * 4 + 20  # as often as all are tried anyway
        for out in outs:
            os.close(out)
        (m.logs / 'filler').unlink()
        m.drain()
        assert m.text('conit').count(b'The last lines of a service cannot be written') == count
        assert tries <= most, (tries, most)


def no_room(m, id):
    """How many lines of a service there was no room for, as is counted."""
    return struct.unpack('=4Q', os.pread(m.held[KEY_COUNTS], 32, id * 32))[3]


def lines_counted(m):
    m.drain()
    return struct.unpack('=4Q', os.pread(m.held[KEY_COUNTS], 32, 0))[0]


def test_a_line_that_another_one_ends_is_counted():
    with machine() as m:
        first = m.service(0, 'web')
        os.write(first, b'one\nunfinished')
        assert lines_counted(m) == 1
        second = m.service(0, 'web')
        os.write(second, b'two\n')
        assert lines_counted(m) == len(m.lines('web')) == 3
        os.write(first, b'rest\n')
        assert lines_counted(m) == len(m.lines('web')) == 4
        os.close(first)
        os.close(second)


def test_a_line_that_the_rate_leaves_out_counts_once_whatever_another_run_prints_meanwhile():
    with machine() as m:
        quota = (0x1000000, 4, 0, 1, 200)
        first = m.service(0, 'web', quota=quota)
        os.write(first, b'one\nleft')
        assert lines_counted(m) == 1
        until(lambda: m.lines('web')[-1][2] == b'dropped lines=1 reason="rate 1/200ms"', 'the interval is over')
        second = m.service(0, 'web', quota=quota)
        os.write(second, b'two\n')
        assert lines_counted(m) == 2
        os.write(first, b' out\n')
        assert lines_counted(m) == 3
        assert [text for mark, _, text in m.lines('web') if not mark] == [b'one', b'two']
        os.close(first)
        os.close(second)


def dropped_in(lines):
    return sum(int(match[1]) for mark, _, text in lines if mark == '+'
               for match in [DROPPED.fullmatch(text)] if match)


def test_a_kill_while_the_disk_is_full_loses_nothing_and_doubles_nothing():
    with machine(start=False) as m, mounted(m, 'size=256k'):
        m.start()
        outs = [m.service(i, f'web-{i}') for i in range(3)]
        for out in outs:
            os.write(out, b'0 it is there\n')
        m.drain()
        fill(m)
        number = 1
        for _ in range(4):
            text = b'\n'.join(b'%d %s' % (n, b'x' * 50) for n in range(number, number + 200))
            for i, out in enumerate(outs):
                os.write(out, text)
                m.say_link(EVENT, i, text=b'event')  # in the middle of a line
            m.drain()
            again(m)
            for out in outs:
                os.write(out, b'y\n')
            number += 200
        m.drain()
        (m.logs / 'filler').unlink()
        m.drain()
        for i, out in enumerate(outs):
            lines = m.lines(f'web-{i}')
            assert [text for mark, _, text in lines if mark == '+'] == [b'event'] * 4
            assert [text for mark, _, text in lines if mark == '-'] == [b'y'] * 4
            assert numbers(lines) == list(range(number)), (i, len(lines), lines[:4], lines[-4:])
            assert all(mark or len(text) > 12 for mark, _, text in lines), 'a line is torn'
            os.close(out)


def test_what_is_dropped_while_the_disk_is_full_is_counted_through_kills():
    with machine(start=False) as m, mounted(m, 'size=256k'):
        m.start()
        out = m.service(0, 'web')
        m.drain()
        fill(m)
        count = 0
        for _ in range(4):
            write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 200) for n in range(count, count + 4000)))
            count += 4000
            m.drain()
            again(m)
        m.kill()  # the next one has not seen yet why nothing could be written
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.start()
        m.drain()
        assert check_newest(m.lines('web'), count) == b'No space left on device'
        assert no_room(m, 0) == dropped_in(m.lines('web')) > 0
        os.close(out)


def test_kills_at_system_calls_while_lines_are_dropped_count_each_of_them_once():
    with machine(start=False) as m, mounted(m, 'size=256k'):
        m.start()
        out = m.service(0, 'web')
        m.drain()
        fill(m)
        count = 0

        def say(lines):
            nonlocal count
            write_all(out, b''.join(b'%d %s\n' % (n, b'x' * (n * 37 % 900))
                                    for n in range(count, count + lines)))
            count += lines

        say(3000)
        m.drain()
        for steps in range(0, 60, 2):
            before = no_room(m, 0)
            stepper = Stepper(m.process)
            say(50)
            m.say_link(5, id=0)  # DRAIN: it tries
            stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            m.drain()
            assert no_room(m, 0) > before, 'none of so many was dropped'
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        lines = m.lines('web')
        check_newest(lines, count)
        assert no_room(m, 0) == dropped_in(lines)
        assert all(len(text.split(b' ')[1]) == int(text.split()[0]) * 37 % 900
                   for mark, _, text in lines if not mark), 'a line is torn'
        os.close(out)


def test_a_kill_while_the_disk_does_not_answer_loses_nothing_but_what_is_counted():
    with WholeMachine() as m:
        printed, more = m.folder / 'printed', m.folder / 'more'
        os.mkfifo(more)
        script = 'for n in 0 1 2; do i=0; while [ $i -lt 8000 ]; do ' \
                 'echo "$((n * 8000 + i)) ................................................................"; ' \
                 f'i=$((i+1)); done; echo $n >>{printed}; [ $n = 2 ] || read x <{more}; done; sleep 1000'
        define(m, 'printer', exec=['/bin/sh', '-c', script], enabled=False)
        define(m, 'few', exec=['/bin/sh', '-c', 'echo only; sleep 1000'], enabled=False)
        booted(m)
        with HungFolder(m, m.logs) as hung:
            m.slc('start', 'printer')
            m.slc('start', 'few')
            for number in range(3):
                until(lambda: printed.exists() and len(printed.read_text().split()) > number,
                      'all is printed', deadline=60)
                hung.wait_asked()
                m.kill_journal()
                if number < 2:
                    more.write_bytes(b'\n')
        path = m.logs / 'printer/current'
        until(lambda: path.exists() and b' 23999 ' in path.read_bytes(),
              'the newest line is in the file', deadline=30)
        text = path.read_bytes()
        found = [int(line.split()[2]) for line in text.splitlines() if b' +' not in line]
        dropped = sum(int(match[1]) for match in DROPPED.finditer(text))
        started = text.count(b'+info started')
        assert found == sorted(set(found))
        assert dropped and len(found) + started + dropped == 24001, (len(found), started, dropped)
        until(lambda: look(m, 'printer')['journal_counts']['dropped'] == dropped,
              'each was counted once')
        few = (m.logs / 'few/current').read_bytes()
        assert few.count(b' info only\n') == 1 and few.count(b'+info started') == 1, few


def test_what_was_kept_of_a_disk_that_hangs_is_there_after_a_kill():
    with machine() as m:
        outs = [m.service(i, f'web-{i}') for i in range(2)]
        m.drain()
        count = 30000
        with Stopped(m.process) as stopped:
            write_all(outs[0], b''.join(b'%d %s\n' % (n, b'x' * 80) for n in range(count)))
            os.write(outs[1], b'0 a few\n')
            m.drain()
            stopped.kill(m.process.pid)
            m.kill()
        m.start()
        os.write(outs[1], b'1 more\n')
        m.drain()
        check_newest(m.lines('web-0'), count)
        assert m.lines('web-1') == [('', 'info', b'0 a few'), ('', 'info', b'1 more')]
        for out in outs:
            os.close(out)


def kill_when_full(first, stride, most):
    """Kills at each n-th stop of a journal that cannot write, and of one that can again."""
    with machine(start=False) as m, mounted(m, 'size=2m'):
        m.start()
        outs = [m.service(i, f'web-{i}') for i in range(2)]
        number = 0

        def say(count):
            nonlocal number
            for out in outs:
                os.write(out, b''.join(b'%d %s\n' % (n, b'x' * (n * 37 % 900))
                                       for n in range(number, number + count)))
            number += count

        def step(steps):
            stepper = Stepper(m.process)
            m.say_link(5, id=0)  # DRAIN: it tries
            stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()

        for steps in range(first, most, stride):
            fill(m)
            say(7)
            step(steps)
            say(7)
            m.drain()
            (m.logs / 'filler').unlink()
            step(steps)
        subprocess.run(['mount', '-o', 'remount,size=16m', m.logs], check=True)
        m.drain()
        for i, out in enumerate(outs):
            lines = m.lines(f'web-{i}')
            found = numbers(lines)
            wrong = [pair for pair in zip(found, range(number)) if pair[0] != pair[1]]
            assert found == list(range(number)), (i, wrong[:3], found[-3:], number)
            assert all(len(text) == len(b'%d ' % n) + n * 37 % 900
                       for n, (_, _, text) in enumerate(lines)), 'a line is torn'
            os.close(out)


def test_a_kill_at_any_even_system_call_around_a_full_disk_loses_and_doubles_no_line():
    kill_when_full(0, 2, 120)


def test_a_kill_at_any_odd_system_call_around_a_full_disk_loses_and_doubles_no_line():
    kill_when_full(1, 2, 120)


def test_what_a_killed_journal_had_begun_is_taken_back_when_that_can_be_done_and_never_there_twice():
    for kills in (0, 1):
        with machine(start=False) as m, mounted(m, 'size=16m'):
            m.start()
            outs = [m.service(i, f'web-{i}', quota=(65536, 1000, 0, 0, 0)) for i in range(2)]
            count = 0

            def say(more):
                nonlocal count
                for out in outs:
                    write_all(out, b''.join(b'%d %s\n' % (n, b'x' * 90) for n in range(count, count + more)))
                count += more

            say(2)
            m.drain()
            stepper = Stepper(m.process)
            say(2)
            assert stepper.until(WRITEV) is not None
            stepper.step(1)
            assert sum(b' 3 x' in m.text(f'web-{i}') for i in range(2)) == 1, 'one is written'
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            subprocess.run(['mount', '-o', 'remount,ro', m.logs], check=True)
            m.start()
            say(1000)  # more than one file, which would be moved as a whole if it were begun elsewhere
            m.drain()
            for _ in range(kills):  # what the first one has noted is the second one's to do
                again(m)
            subprocess.run(['mount', '-o', 'remount,rw', m.logs], check=True)
            say(1)
            m.drain()
            again(m)  # and nothing is left to be taken back
            say(1)
            m.drain()
            for i, out in enumerate(outs):
                os.close(out)
                found = printed(m, f'web-{i}')
                assert found == list(range(count)), (i, kills, len(found), found[:9])
            assert b'cannot be taken back yet' in m.text('conit')


# ---- before the disk is there -------------------------------------------------------------------

def moved(m, name):
    return lambda: not (m.runtime / 'log' / name).exists()


def test_what_was_printed_before_logs_could_be_written_moves_there_when_that_is_mounted():
    with machine(start=False) as m, mounted(m, 'size=16m,ro'):
        m.start()
        outs = [m.service(i, f'web-{i}') for i in range(3)]
        for out in outs:
            os.write(out, b'0\n1\nhalf')
        m.drain()
        assert (m.runtime / 'log/web-0/current').exists()
        subprocess.run(['mount', '-o', 'remount,rw', m.logs], check=True)
        for i in range(3):  # nobody prints
            until(moved(m, f'web-{i}'), 'it is moved')
        os.write(outs[0], b' line\n')
        m.drain()
        assert [text for _, _, text in m.lines('web-0')] == [b'0', b'1', b'half line']
        for i, out in enumerate(outs[1:], 1):
            assert [text for _, _, text in m.lines(f'web-{i}')] == [b'0', b'1']
            assert m.text(f'web-{i}').endswith(b' info half')
            os.close(out)
        until(lambda: not (m.runtime / 'log').exists(), 'nothing is left there')


def test_a_mount_has_the_journal_look_for_what_is_elsewhere_once_and_not_for_each_service():
    with machine(start=False) as m, machine(start=False) as other:
        with mounted(other, 'size=16k'):
            m.begin_alone()
        outs = [m.service(i, f'web-{i}') for i in range(30)]
        for out in outs:
            os.write(out, b'hello\n')
        m.drain()
        looks = []
        with contextlib.closing(Stepper(m.process)) as stepper:
            drained_to_quiet(stepper)
            other.logs.rmdir()  # which would take away a mount here, were there a copy
            subprocess.run(['nsenter', '-m', '-t', str(m.process.pid), 'mount', '-t', 'tmpfs', 'none',
                            m.folder], check=True)
            until(lambda: looks.extend(calls_of(stepper, ACCESS)) or looks, 'it looks', deadline=60)
            assert len(looks) == 1, looks
        for out in outs:
            os.close(out)


def calls_of(stepper, numbers):
    """The entries of these system calls until nothing happens for a second."""
    found = []
    while (thread := stepper.next_stop()):
        found += [number for number in syscall_of(thread)[:1] if number in numbers]
    return found


def move_with_kills(first, stride):
    with machine(start=False) as m, mounted(m, 'size=16m'):
        number, steps, rounds, more = 0, first, 0, True
        m.start()
        out = m.service(0, 'web', quota=(65536, 1000, 0, 0, 0))
        while more:
            os.write(out, b'%d in place\n' % number)
            number += 1
            m.drain()
            m.kill()  # which has files open there, and what compresses for it
            until(lambda: subprocess.run(['mount', '-o', 'remount,ro', m.logs], check=False,
                                         stderr=subprocess.DEVNULL).returncode == 0, 'no writer')
            m.start()
            for _ in range(3 if rounds % 4 else 120):  # in turns one file, and some sealed ones
                os.write(out, b''.join(b'%d %s\n' % (number + n, b'x' * 200) for n in range(10)))
                number += 10
                m.drain()
            until((m.runtime / 'log/web').exists, 'it is elsewhere', deadline=30)
            stepper = Stepper(m.process)
            subprocess.run(['mount', '-o', 'remount,rw', m.logs], check=True)
            more = stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            m.drain()
            until(moved(m, 'web'), 'it is moved', deadline=30)
            steps, rounds = steps + stride, rounds + 1
        m.drain()
        stems = {leaf.split('.log')[0] for leaf in os.listdir(m.logs / 'web')}
        assert rounds > 5 and len(stems) > 1
        until(lambda: all(leaf == 'current' or leaf.endswith('.zst')
                          for leaf in os.listdir(m.logs / 'web')), 'all is compressed', deadline=60)
        found = printed(m, 'web')
        assert found == list(range(number)), \
            [pair for pair in zip(found, found[1:]) if pair[1] != pair[0] + 1][:5]
        os.close(out)


def test_kills_while_a_journal_is_moved_lose_nothing_and_double_nothing():
    move_with_kills(0, 5)
