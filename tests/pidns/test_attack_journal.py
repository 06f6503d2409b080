"""Attacks on service-journal: what stands in a folder that a service's user may write to, what
happens to folders while it runs, and kills in the middle of lines."""
import os
import shutil
import subprocess

from harness import Skip, until
from steps import WRITEV, Stepper
from test_journal import EVENT, RUN_ENDED, machine, write_all
from test_journal_rotation import FOR_EVER, SMALL, read, sealed
from test_journal_total import tell, text

VICTIM = b'root:x:0:0\n'


def shared_folder(m, name):
    """A folder beside a service's file that others than root may write to."""
    folder = m.folder / 'services' / name / 'logs'
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    victim = m.folder / 'services' / 'victim'
    victim.write_bytes(VICTIM)
    return folder, victim


def own_service(m, id, name, folder, **options):
    return m.service(id, name, text=os.fsencode(folder), **options)


def elsewhere(m, name):
    return (m.runtime / 'log' / name / 'current').read_bytes()


def place(kind, path, victim):
    if kind == 'symlink':
        path.symlink_to(victim)
    elif kind == 'dangling':
        path.symlink_to(victim.parent / 'made')
    elif kind == 'link':
        os.link(victim, path)
    elif kind == 'fifo':
        os.mkfifo(path)
    else:
        path.mkdir()


KINDS = ('symlink', 'dangling', 'link', 'fifo', 'folder')


def test_what_a_user_has_put_in_place_of_current_is_not_written_and_no_line_is_lost():
    for kind in KINDS:
        with machine() as m:
            folder, victim = shared_folder(m, 'x')
            before = victim.stat()
            place(kind, folder / 'current', victim)
            out = own_service(m, 0, 'x', folder)
            write_all(out, b'one\n')
            m.drain()
            assert elsewhere(m, 'x').endswith(b' info one\n'), kind
            after = victim.stat()
            assert victim.read_bytes() == VICTIM, kind
            assert (after.st_mode, after.st_gid) == (before.st_mode, before.st_gid), kind
            assert not (victim.parent / 'made').exists()
            if kind == 'folder':
                (folder / 'current').rmdir()
            else:
                (folder / 'current').unlink()
            count = 0
            while (m.runtime / 'log/x').exists():  # looked for once a second while it prints
                write_all(out, b'more\n')
                count += 1
                m.drain()
            texts = [line.split(b' ', 2)[2] for line in
                     (folder / 'current').read_bytes().splitlines()]
            assert texts == [b'one'] + [b'more'] * count, kind
            os.close(out)


def test_current_that_is_exchanged_for_a_link_while_it_is_written_leads_nowhere():
    with machine() as m:
        folder, victim = shared_folder(m, 'x')
        out = own_service(m, 0, 'x', folder)
        write_all(out, b'one\n')
        m.drain()
        (folder / 'current').rename(folder / 'aside')
        (folder / 'current').symlink_to(victim)
        (folder / 'aside').unlink()
        write_all(out, b'two\n')
        m.drain()
        assert elsewhere(m, 'x').endswith(b' info two\n')
        assert victim.read_bytes() == VICTIM
        os.close(out)


def test_compressing_writes_to_no_file_that_a_user_has_linked():
    with machine() as m:
        folder, victim = shared_folder(m, 'x')
        stem = '20250101T000000.000000Z.log'
        (folder / stem).write_bytes(b'2025-01-01T00:00:00.000000Z info old\n')
        linked = folder / f'{stem}.zst.tmp'
        os.link(victim, linked)
        out = own_service(m, 0, 'x', folder)
        m.drain()
        until(lambda: not linked.exists(), 'it was looked at')
        assert victim.read_bytes() == VICTIM
        os.close(out)


def test_a_file_with_holes_in_a_user_s_folder_costs_others_no_line():
    with machine() as m:
        tell(m, 2 << 20)
        folder, _ = shared_folder(m, 'x')
        with open(folder / '20990101T000000.000000Z.log', 'wb') as hollow:
            hollow.truncate(1 << 40)
        quota = (SMALL, FOR_EVER, 0, 0, 0)
        a, x = m.service(0, 'a', quota=quota), own_service(m, 1, 'x', folder, quota=quota)
        write_all(a, text(1)[:8 * SMALL])
        m.drain()
        before = {name[:23] for name in sealed(m, 'a')}
        assert len(before) > 3
        write_all(x, text(1)[:2 * SMALL])  # is sealed, and so looked at
        m.drain()
        write_all(a, text(1)[:2 * SMALL])
        m.drain()
        until(lambda: before <= {name[:23] for name in sealed(m, 'a')}, 'no file is gone')
        os.close(a)
        os.close(x)


def replaced(kind, path, aside):
    path.rename(aside)
    if kind == 'file':
        path.write_bytes(b'a file')
    elif kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'dangling':
        path.symlink_to(aside.parent / 'nowhere' / 'at' / 'all')


def test_a_folder_that_is_replaced_while_it_is_written_loses_no_line():
    for which in ('logs', 'logs/web'):
        for kind in ('file', 'fifo', 'dangling', 'gone'):
            with machine() as m:
                out = m.service(0, 'web')
                write_all(out, b'0\nhal')
                m.drain()
                aside = m.folder / 'aside'
                replaced(kind, m.folder / which, aside)
                old = aside / 'current' if which == 'logs/web' else aside / 'web/current'
                count = 1
                while True:  # whether it is there is looked at once a second
                    write_all(out, b'f %d\n' % count if count == 1 else b'%d\n' % count)
                    count += 1
                    m.drain()
                    if (m.runtime / 'log/web/current').exists() or (m.logs / 'web/current').exists():
                        break
                    if count % 3 == 0:
                        m.kill()
                        m.start()
                new = m.runtime / 'log/web/current'
                new = new if new.exists() else m.logs / 'web/current'
                got = b''.join(line.split(b' ', 2)[2] + b'\n' for path in (old, new)
                               for line in path.read_bytes().splitlines())
                assert b'hal' in got, (which, kind, got)
                found = [word for word in got.split() if word.isdigit()]
                assert found == [b'%d' % n for n in range(count)], (which, kind, got)
                os.close(out)


def test_a_line_whose_beginning_is_emptied_away_goes_on_behind_a_time():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'ha')
        m.drain()
        os.truncate(m.logs / 'web/current', 0)
        os.write(out, b'lf\nwhole\n')
        m.drain()
        assert m.lines('web') == [('-', 'info', b'lf'), ('', 'info', b'whole')]
        os.close(out)


def test_a_kill_behind_a_write_to_a_file_that_was_emptied_doubles_no_line():
    with machine() as m:
        out = m.service(0, 'web')
        write_all(out, b'many\n' * 500)
        m.drain()
        for steps in range(1, 5):  # behind the write, and before the next batch
            os.truncate(m.logs / 'web/current', 0)
            stepper = Stepper(m.process)
            os.write(out, b'one %d\n' % steps)
            assert stepper.until(WRITEV) is not None
            stepper.step(steps)
            stepper.kill()
            m.process.wait()
            m.process.stderr.close()
            m.start()
            m.drain()
            assert m.lines('web') == [('', 'info', b'one %d' % steps)], steps
        os.close(out)


def test_a_kill_behind_an_event_that_cut_a_line_goes_on_with_the_line():
    with machine() as m:
        out, other = m.service(0, 'web'), m.service(1, 'other')
        os.write(out, b'one\ntw')
        m.drain()
        m.say_link(EVENT, 0, level=4, text=b'odd')
        m.wait_done()
        for _ in range(2):
            m.kill()
            m.start()
            os.write(other, b'goes on\n')
            m.drain()
        os.write(out, b'o\nthree\n')
        m.drain()
        assert m.lines('web') == [('', 'info', b'one'), ('', 'info', b'tw'), ('+', 'warning', b'odd'),
                                  ('-', 'info', b'o'), ('', 'info', b'three')]
        os.close(out)
        os.close(other)


def test_a_level_that_is_held_back_is_kept_through_kills():
    with machine() as m:
        out = m.service(0, 'web')
        for piece in (b'<', b'3', b'>bad\n<', b'no\n<4', b'2\n<5'):
            os.write(out, piece)
            m.drain()
            m.kill()
            m.start()
        m.say_link(EVENT, 0, level=4, text=b'odd')  # it cuts nothing: the line has not begun
        m.wait_done()
        m.kill()
        m.start()
        os.write(out, b'>five\n<')
        m.say_link(RUN_ENDED, 0)
        m.drain()
        assert m.lines('web') == [
            ('', 'err', b'bad'), ('', 'info', b'<no'), ('', 'info', b'<42'), ('+', 'warning', b'odd'),
            ('', 'notice', b'five'), ('', 'info', b'<')]
        os.close(out)


def test_a_file_compressed_by_hand_that_fills_whole_blocks_is_not_called_damaged():
    if not shutil.which('zstd'):
        raise Skip('no zstd here')
    with machine() as m:
        folder = m.logs / 'web'
        folder.mkdir(parents=True)
        line = b'2025-01-01T00:00:00.000000Z info '
        line += b'x' * (1023 - len(line)) + b'\n'
        name = folder / '20250101T000000.000000Z.log.zst'
        name.write_bytes(subprocess.run(['zstd', '-qc'], input=line * 1024, capture_output=True,
                                        check=True).stdout)
        assert read(m, '-o', 'cat').count(b'\n') == 1024  # and read() allows nothing on stderr
