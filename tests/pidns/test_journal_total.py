"""The quota of the whole system: what all journals have on the disk together."""
import os
import subprocess

from harness import until
from test_dev_log import SYSTEM
from test_journal import FORGET, machine, write_all
from test_journal_rotation import FOR_EVER, SMALL, names, sealed

LIMIT = 1 << 20


def say_quota(m, max_size):
    m.say_link(SYSTEM, name=b'/dev/log', quota=(max_size, 0, 0, 0, 0))


def tell(m, max_size):
    say_quota(m, max_size)
    m.wait_done()


def text(megabytes):
    """Lines that become half as long when they are compressed, and no less."""
    return b''.join(os.urandom(50).hex().encode() + b'\n' for _ in range(megabytes * 10400))


def used(m):
    total = 0
    for folder in m.logs.iterdir():
        for path in folder.iterdir():
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # removed or compressed meanwhile
                pass
    return total


def printing(m, id, name):
    return m.service(id, name, quota=(SMALL, FOR_EVER, 0, 0, 0))


def wait_kept(m, limit=LIMIT):
    m.drain()
    until(lambda: used(m) <= limit + 2 * SMALL, 'the quota is kept')


def test_the_oldest_files_of_all_journals_go_first_and_current_stays():
    with machine() as m:
        tell(m, LIMIT)
        a, b = printing(m, 0, 'a'), printing(m, 1, 'b')
        write_all(a, text(2))
        wait_kept(m)
        kept = sealed(m, 'a')
        assert kept and 'current' in names(m, 'a')
        write_all(b, text(3))
        wait_kept(m)
        assert names(m, 'a') == ['current']
        assert len(sealed(m, 'b')) > 5
        os.close(a)
        os.close(b)


def test_it_is_said_once_when_current_files_alone_are_above_it():
    with machine() as m:
        tell(m, 1 << 30)
        a, b = printing(m, 0, 'a'), printing(m, 1, 'b')
        def count():
            m.drain()
            return m.text('conit').count(b'current files alone are above the quota')
        for out in (a, b):
            write_all(out, b'%s\n' % (b'x' * 100) * 300)
        m.drain()
        for limit, said in ((1 << 16, 1), (1 << 15, 1), (1 << 30, 1), (1 << 15, 2)):
            tell(m, limit)
            until(lambda: count() == said, f'it was said {said} times: {count()}')
        assert names(m, 'a') == names(m, 'b') == ['current']
        for out in (a, b):
            os.close(out)


def test_it_is_said_when_files_cannot_be_removed():
    with machine(start=False) as m:
        stray = m.logs / 'stray'
        stray.mkdir(parents=True)
        subprocess.run(['mount', '-t', 'tmpfs', 'none', stray], check=True)
        try:
            for number in range(10):
                (stray / f'20200101T00000{number}.000000Z.log.zst').write_bytes(b'x' * 200000)
            subprocess.run(['mount', '-o', 'remount,ro', stray], check=True)
            m.start()
            tell(m, LIMIT)
            a = printing(m, 0, 'a')
            os.write(a, b'a line\n')
            m.drain()
            until(lambda: b'above the quota' in m.text('conit'), 'it is said')
            said = m.text('conit')
            assert b'above the quota of all journals, and files cannot be removed' in said, said
            assert b'current files alone' not in said, said
            os.close(a)
        finally:
            m.finish()
            subprocess.run(['umount', '-l', stray], check=True)


def begun(m, name):
    """When each sealed file was begun: while it is compressed there may be two of one."""
    return sorted({file.split('.log')[0] for file in sealed(m, name)})


def test_another_quota_holds_at_once():
    with machine() as m:
        tell(m, 1 << 30)
        a = printing(m, 0, 'a')
        write_all(a, text(3))
        m.drain()
        before = begun(m, 'a')
        assert len(before) > 40
        tell(m, LIMIT)
        wait_kept(m)
        left = begun(m, 'a')
        assert left and left == before[-len(left):]
        os.close(a)


def test_a_journal_that_is_killed_keeps_to_what_it_was_told():
    with machine() as m:
        tell(m, LIMIT)
        m.kill()
        m.start()
        a = printing(m, 0, 'a')
        write_all(a, text(3))
        wait_kept(m)
        os.close(a)


def test_what_no_service_writes_to_any_more_counts_and_goes():
    with machine(start=False) as m:
        stray = m.logs / 'stray'
        stray.mkdir(parents=True)
        for number in range(10):
            (stray / f'20200101T00000{number}.000000Z.log.zst').write_bytes(b'x' * 100000)
        (stray / 'current').write_bytes(b'last')
        (stray / 'notes.txt').write_bytes(b'mine')
        m.start()
        tell(m, LIMIT)
        gone = printing(m, 0, 'gone')
        write_all(gone, text(1))
        m.drain()
        os.close(gone)
        m.say_link(FORGET, 0)
        m.wait_done()
        a = printing(m, 0, 'a')
        write_all(a, text(2))
        until(lambda: len(os.listdir(stray)) < 12, 'it was found')
        write_all(a, text(3))
        wait_kept(m)
        assert sorted(os.listdir(stray)) == ['current', 'notes.txt']
        assert sealed(m, 'gone') == [] and 'current' in names(m, 'gone')
        os.close(a)
