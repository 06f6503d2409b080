"""Rotation: sealed files, their compression, the quota and the rate; kills at every step of it."""
import os
import pathlib
import re
import shutil
import subprocess

from harness import DEADLINE, Machine as WholeMachine, Skip, until
from services import booted, define, outer_pid
from steps import RENAMEAT, Stepper
from test_journal import (EVENT, FORGET, LINE, RUN_ENDED, SETTINGS, machine, print_through_kills,
                          write_all)

SLC = os.path.join(os.environ['CONIT_BUILD'], 'slc')
SMALL = 65536
SEALED = re.compile(r'\d{8}T\d{6}\.\d{6}Z\.log(\.zst)?')
FOR_EVER = 10000  # sealed files


def names(m, name='web'):
    return sorted(os.listdir(m.logs / name))


def sealed(m, name='web'):
    return [leaf for leaf in names(m, name) if SEALED.fullmatch(leaf)]


def read(m, *options, name='web'):
    """What slc reads, without a launcher."""
    done = subprocess.run([SLC, '--runtime', m.runtime, 'journal', '--logs', m.logs, *options, name],
                          capture_output=True, check=False, timeout=DEADLINE * 4)
    assert done.returncode == 0, done
    return done.stdout


def numbers(text):
    return [int(line.split()[0]) for line in text.splitlines()]


def lines(first, count, width=100):
    return b''.join(b'%d %s\n' % (number, b'x' * (number * 7 % width))
                    for number in range(first, first + count))


def wait_packed(m, name='web'):
    """Until all that is sealed is compressed, and nothing else lies there."""
    until(lambda: all(leaf == 'current' or leaf.endswith('.log.zst') for leaf in names(m, name)),
          'all is compressed', deadline=DEADLINE * 4)


def test_what_prints_for_ever_never_exceeds_its_quota_by_more_than_one_file():
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, 2, 0, 0, 0))
        most = 0
        for number in range(0, 40000, 1000):
            write_all(out, lines(number, 1000))
            if number % 5000 == 0:
                m.drain()
            found = [(m.logs / 'web' / leaf) for leaf in names(m)]
            sizes = {}
            for path in found:
                try:
                    sizes[path.name] = path.stat().st_size
                except FileNotFoundError:
                    pass  # removed, or compressed
            assert all(size <= SMALL + 200 for size in sizes.values()), sizes  # a line more
            most = max(most, len({leaf.split('.log')[0] for leaf in sizes}))
        m.drain()
        assert len({leaf.split('.log')[0] for leaf in sealed(m)}) == 2 and most <= 4, (names(m), most)
        wait_packed(m)
        found = numbers(read(m, '-o', 'cat'))
        assert found == list(range(found[0], 40000)) and len(found) > 1500, (found[:3], found[-3:])
        os.close(out)


def test_compressed_and_plain_files_are_read_as_one_and_from_the_end():
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, FOR_EVER, 0, 0, 0))
        write_all(out, lines(0, 20000))
        m.drain()
        wait_packed(m)
        assert len(sealed(m)) > 10
        write_all(out, lines(20000, 3))
        m.say_link(EVENT, 0, text=b'odd')
        m.drain()
        assert numbers(read(m, '-o', 'cat')) == list(range(20003))
        assert numbers(read(m, '-o', 'cat', '-n', '3')) == [20000, 20001, 20002]
        assert numbers(read(m, '-o', 'cat', '-n', '15000')) == list(range(5003, 20003))
        assert len(read(m, '-o', 'json').splitlines()) == 20004
        packed = b''.join(subprocess.run(['zstdcat', m.logs / 'web' / leaf], check=True,
                                         capture_output=True).stdout for leaf in sealed(m)) \
            if shutil.which('zstdcat') else None
        if packed is not None:  # by everybody else's program, too
            assert all(LINE.fullmatch(line) for line in packed.split(b'\n')[:-1])
        first = m.text('web', sealed(m)[0])
        assert first[:4] == b'\x28\xb5\x2f\xfd', 'a zstd frame'
        stat = (m.logs / 'web' / sealed(m)[0]).stat()
        assert stat.st_mode & 0o7777 == 0o640
        os.close(out)


def test_services_are_merged_across_their_sealed_files():
    with machine() as m:
        outs = [m.service(i, name, quota=(SMALL, FOR_EVER, 0, 0, 0))
                for i, name in enumerate(('one', 'two'))]
        for number in range(0, 6000, 100):
            for out in outs:
                write_all(out, lines(number, 100))
            m.drain()
        for name in ('one', 'two'):
            wait_packed(m, name)
        done = subprocess.run([SLC, '--runtime', m.runtime, 'journal', '--logs', m.logs, 'one',
                               'two'], capture_output=True, check=True, timeout=DEADLINE * 4)
        found = [line.split() for line in done.stdout.splitlines()]
        assert [line[0] for line in found] == sorted(line[0] for line in found)
        for name in (b'one', b'two'):
            assert [int(line[3]) for line in found if line[1] == name] == list(range(6000))
        for out in outs:
            os.close(out)


def test_a_quota_that_changes_holds_at_once():
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, 8, 0, 0, 0))
        write_all(out, lines(0, 20000))
        m.drain()
        assert len({leaf.split('.log')[0] for leaf in sealed(m)}) == 8
        m.say_link(SETTINGS, 0, quota=(1 << 20, 1, 0, 0, 0))
        m.drain()
        until(lambda: len({leaf.split('.log')[0] for leaf in sealed(m)}) == 1, 'the rest is removed')
        m.kill()
        m.start()  # which has to know it, too
        before = os.stat(m.logs / 'web/current').st_size
        write_all(out, b'x' * 100000 + b'\n')
        m.drain()
        assert os.stat(m.logs / 'web/current').st_size > before + 100000 > SMALL
        m.say_link(SETTINGS, 77, quota=(SMALL, 0, 0, 0, 0))  # nobody
        m.say_link(FORGET, 0)
        m.drain()
        os.close(out)


def test_what_is_old_is_sealed_and_removed():
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, 8, 2, 0, 0))
        os.write(out, b'one\nunfin')
        m.drain()
        until(lambda: sealed(m), 'it is sealed by its age')
        os.write(out, b'ished\n')
        m.drain()
        assert m.lines('web') == [('-', 'info', b'ished')]
        until(lambda: not sealed(m) and names(m) != ['current'] or not sealed(m),
              'it is removed by its age', deadline=DEADLINE * 4)
        os.close(out)


# ---- the rate ---------------------------------------------------------------------------------

def test_lines_above_the_rate_are_counted_in_a_note_and_the_service_never_waits():
    with machine() as m:
        out = m.service(0, 'web', quota=(0x1000000, 4, 0, 100, 3600000))
        write_all(out, lines(0, 50000))
        m.drain()
        assert [int(text.split()[0]) for _, _, text in m.lines('web')] == list(range(100))
        os.write(out, b'half a li')
        m.say_link(RUN_ENDED, 0)
        m.say_link(EVENT, 0, text=b'done')
        m.drain()
        assert m.lines('web')[100:] == [
            ('+', 'warning', b'dropped lines=49901 reason="rate 100/h"'), ('+', 'info', b'done')]
        os.close(out)


def test_a_note_comes_with_the_end_of_each_interval():
    with machine() as m:
        out = m.service(0, 'web', quota=(0x1000000, 4, 0, 10, 200))
        seen = 0
        for _ in range(3):
            write_all(out, lines(0, 1000))
            m.drain()
            def noted():
                found = [text for mark, _, text in m.lines('web') if mark == '+']
                return found if len(found) > seen else None
            seen = len(until(noted, 'a note, without another line'))
        m.drain()
        dropped = sum(int(re.search(rb'lines=(\d+) reason="rate 10/200ms"', text)[1])
                      for mark, _, text in m.lines('web') if mark == '+')
        taken = sum(not mark for mark, _, _ in m.lines('web'))
        m.say_link(RUN_ENDED, 0)
        m.drain()
        dropped = sum(int(re.search(rb'lines=(\d+)', text)[1])
                      for mark, _, text in m.lines('web') if mark == '+')
        assert dropped + taken == 3000 and taken >= 30, (dropped, taken)
        os.close(out)


def test_kills_do_not_make_the_count_of_dropped_lines_wrong():
    with machine() as m:
        out = m.service(0, 'web', quota=(0x1000000, 4, 0, 5, 3600000))
        write_all(out, lines(0, 1000) + b'a long li')
        m.drain()
        m.kill()
        write_all(out, b'ne\n')
        m.start()
        m.drain()
        found = m.lines('web')
        assert len([mark for mark, _, _ in found if not mark]) == 5, found[:8]
        notes = [text for mark, _, text in found if mark]
        m.say_link(RUN_ENDED, 0)
        m.drain()
        notes = [text for mark, _, text in m.lines('web') if mark]
        assert notes == [b'dropped lines=996 reason="rate 5/h"'], notes
        os.close(out)


# ---- kills ------------------------------------------------------------------------------------

def kill_while_sealing(first_step, last_step):
    """Kills a journal so many stops after the beginning of a rename; each line is there once."""
    if RENAMEAT is None:
        raise Skip('the number of renameat is not known here')
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, FOR_EVER, 0, 0, 0))
        m.drain()
        number = 0
        for steps in range(first_step, last_step):
            # Almost full, so that the next block is the one.
            while not (m.logs / 'web/current').exists() or \
                    os.stat(m.logs / 'web/current').st_size < SMALL - 3000:
                write_all(out, lines(number, 10))
                number += 10
                m.drain()
            stepper = Stepper(m.process)
            write_all(out, lines(number, 100))
            number += 100
            assert stepper.until(RENAMEAT) is not None, 'nothing was sealed'
            stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            m.drain()
        found = numbers(read(m, '-o', 'cat'))
        assert found == list(range(number)), [(a, b) for a, b in zip(found, found[1:]) if b != a + 1][:5]
        assert len(sealed(m)) >= last_step - first_step
        m.drain()
        until(lambda: not [leaf for leaf in names(m) if leaf.endswith('.tmp')], 'no litter',
              deadline=DEADLINE * 4)
        os.close(out)


def test_a_kill_at_any_of_the_first_system_calls_of_sealing_loses_and_doubles_nothing():
    kill_while_sealing(0, 20)


def test_a_kill_at_any_of_the_next_system_calls_of_sealing_loses_and_doubles_nothing():
    kill_while_sealing(20, 40)


def test_a_kill_at_any_of_the_last_system_calls_of_sealing_loses_and_doubles_nothing():
    kill_while_sealing(40, 60)


def test_kills_of_the_journal_at_work_lose_nothing_and_all_is_compressed_in_the_end():
    with machine() as m:
        outs = [m.service(i, f'web-{i}', quota=(SMALL, FOR_EVER, 0, 0, 0)) for i in range(2)]
        m.wait_done()
        number = 0
        def texts():
            nonlocal number
            number += 10
            return [lines(number - 10, 10)] * 2
        def length(round):
            for i in range(2):
                m.age(f'web-{i}')  # so that something is being compressed at the next seal
            return 20 * (round % 13)
        print_through_kills(m, outs, 40, length, texts)
        for i, out in enumerate(outs):
            assert numbers(read(m, '-o', 'cat', name=f'web-{i}')) == list(range(number))
            wait_packed(m, f'web-{i}')
            assert numbers(read(m, '-o', 'cat', name=f'web-{i}')) == list(range(number))
            os.close(out)


# ---- trouble ----------------------------------------------------------------------------------

def test_without_room_to_compress_sealed_files_stay_as_they_are():
    quota = (SMALL, FOR_EVER, 0, 0, 0)
    with machine(start=False) as m:
        m.logs.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', m.logs], check=True)
        try:
            m.start()
            out = m.service(0, 'web', quota=quota)
            texts = [os.urandom(50).hex().encode() for _ in range(1000)]
            write_all(out, b'\n'.join(texts) + b'\n')
            m.drain()
            filler, free = m.logs / 'filler', os.statvfs(m.logs)
            with open(filler, 'wb') as file:  # room for less than one compressed file
                file.write(bytes(free.f_bavail * free.f_bsize - 16384))
            before = names(m)
            assert before[-1] == 'current' and all(leaf.endswith('.log') for leaf in before[:-1])
            m.look('web', 0, quota)
            until(lambda: b'Could not compress' in m.text('conit'), 'there is no room')
            assert names(m) == before
            filler.unlink()
            m.drain()
            write_all(out, b'\n'.join(texts) + b'\n')
            m.drain()
            wait_packed(m)
            assert read(m, '-o', 'cat').split(b'\n')[:-1] == texts * 2
            os.close(out)
        finally:
            m.finish()
            subprocess.run(['umount', '-l', m.logs], check=True)


def test_a_folder_that_is_removed_again_and_again_stops_nothing():
    with machine() as m:
        out = m.service(0, 'web', quota=(SMALL, 3, 0, 0, 0))
        for _ in range(20):
            write_all(out, lines(0, 2000))
            shutil.rmtree(m.logs / 'web', ignore_errors=True)
        shutil.rmtree(m.logs, ignore_errors=True)
        write_all(out, b'last\n')
        m.drain()
        assert m.process.poll() is None
        assert m.lines('web')[-1][2] == b'last'
        write_all(out, lines(0, 5000))
        m.drain()
        assert len({leaf.split('.log')[0] for leaf in sealed(m)}) == 3
        os.close(out)


def test_the_compressor_ends_with_its_journal():
    with machine() as m:
        out = m.service(0, 'web', quota=(64 << 20, FOR_EVER, 0, 0, 0))
        def child():
            threads = pathlib.Path(f'/proc/{m.process.pid}/task').glob('*/children')
            return ' '.join(thread.read_text() for thread in threads).split()
        line = os.urandom(500).hex().encode() + b'\n'
        for _ in range(66):
            write_all(out, line * 1048)
        pid = until(child, 'something is compressed')[0]
        m.kill()
        until(lambda: not os.path.exists(f'/proc/{pid}') or
              pathlib.Path(f'/proc/{pid}/stat').read_text().split()[2] == 'Z', 'it is gone')
        m.start()
        m.drain()
        wait_packed(m)
        found = read(m, '-o', 'cat').splitlines()
        assert len(found) == 66 * 1048 and set(found) == {line[:-1]}
        os.close(out)


# ---- the whole machine ------------------------------------------------------------------------

def test_the_key_log_reaches_the_journal_and_a_reload_changes_it():
    with WholeMachine() as whole:
        script = 'i=0; while :; do i=$((i+1)); echo $i; done'
        define(whole, 'web', exec=['/bin/sh', '-c', script], log={'max-size': '64K', 'keep': 2})
        booted(whole)
        folder = whole.logs / 'web'
        stems = lambda: {leaf.split('.log')[0] for leaf in os.listdir(folder) if '.log' in leaf}
        until(lambda: folder.exists() and len(stems()) == 2, 'two sealed files', deadline=DEADLINE * 4)
        pid = whole.json('list')[0]['pid']
        define(whole, 'web', exec=['/bin/sh', '-c', script],
               log={'max-size': '64K', 'keep': 6, 'rate': 'none'})
        assert re.search(r'^changed +web: log$', whole.slc('reload').stdout, re.M)
        until(lambda: len(stems()) == 6, 'six sealed files', deadline=DEADLINE * 4)
        define(whole, 'web', exec=['/bin/sh', '-c', script], log={'max-size': '64K', 'rate': '5/d'})
        whole.slc('reload')
        until(lambda: len(stems()) <= 4, 'four sealed files', deadline=DEADLINE * 4)
        assert whole.json('list')[0]['pid'] == pid
        io = pathlib.Path(f'/proc/{outer_pid(whole, pid)}/io')
        written = lambda: int(re.search(r'^wchar: (\d+)$', io.read_text(), re.M).group(1))
        before = written()
        until(lambda: written() > before + 1000, 'it has printed more than it may')
        whole.slc('stop', 'web')
        last = whole.slc('journal', '-n', '3', 'web').stdout
        assert re.search(r'\+warning dropped lines=\d+ reason="rate 5/d"\n'
                         r'.* \+info ended .*\n.* \+info stopped', last), last
