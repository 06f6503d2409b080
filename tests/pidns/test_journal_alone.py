"""What the real init and the real launcher never say to the journal, and what a former journal never left."""
import contextlib
import fcntl
import os
import re
import select
import subprocess

from harness import until
from test_journal import (FAILED, HAND_OVER, HELD, LINE_OF_INIT, PROGRAM, READY, REGISTER, RESUME, STORE, WAIT,
                          YIELD, YIELDED, machine)
from test_upgrade_journal import beside, stand_still

KEYS = {'state': 8, 'spool': 9, 'queue': 10, 'intake': 11, 'counts': 15, 'backlogs': 393184}
NO_KEY = 500000
REFUSED, SIGNAL, OF_LATER = 8, 19, 999
SEALS = 7  # shrink, grow, seal


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL)


def wait_console(m, pattern):
    """Until it has said that. What it says meanwhile is kept in m.console."""
    m.console = getattr(m, 'console', '')
    while not (found := re.search(pattern, m.console)):
        ready = select.select([m.process.stderr], [], [], WAIT)[0]
        more = os.read(m.process.stderr.fileno(), 65536).decode() if ready else ''
        assert more, f'it did not say {pattern}: {m.console}'
        m.console += more
    return found


def give(m, pairs):
    """A journal that begins with these (key, descriptor), and is ready."""
    m.held = {}
    with hold_back_done(m):
        m.launch()
    for key, fd in pairs:
        m.say_init(HELD, [fd], count=1, keys=[key])
    m.say_init(17)
    stored = {}
    kind, keys, fds = m.hear_init()
    while kind != READY:
        assert kind == STORE, kind
        m.keep(keys, fds)
        stored.update(dict.fromkeys(keys))
        kind, keys, fds = m.hear_init()
    m.hear_hello()
    return stored


@contextlib.contextmanager
def hold_back_done(m):
    """launch() says nothing of what is held."""
    say, m.say_init = m.say_init, lambda *words, **more: None
    try:
        yield
    finally:
        m.say_init = say


def works(m, id=9, name='works'):
    """It does what it is for."""
    out = m.service(id, name)
    os.write(out, b'it works\n')
    m.drain()
    assert m.lines(name)[-1] == ('', 'info', b'it works')
    os.close(out)


def said_by_init(m):
    """Its lines, as far as they are in the journal."""
    m.drain()
    return [text.decode() for _, _, text in m.lines('conit') if text.startswith(b'word')]


# ---- options

def test_wrong_options_are_refused_with_what_to_write():
    for words, why in ((['--log-format', 'xml'], 'xml: not a log format: write text or json'),
                       (['--log-level', 'loud'], 'loud: not a level: write debug, info, warn or error'),
                       (['--nonsense'], 'no such option'), (['--logs'], 'its value is missing'),
                       (['more'], 'more: no argument is expected')):
        result = run(*words)
        assert result.returncode == 2 and why in result.stderr and not result.stdout, (words, result)


def test_help_and_version_are_told():
    assert '--log-format WORD' in run('--help').stdout
    assert run('--version').stdout.startswith('service-journal (conit) ')
    assert 'it is a child of init' in run('--log-format', 'text', '--runtime', '/run/conit//', '--logs', '/').stderr


def test_its_lines_are_json_where_that_is_asked_for():
    with machine('--log-format', 'json', '--services', '/a', '--config', '/b', '--etc', '/c') as m:
        m.say_init(REFUSED, count=1, keys=[77])
        wait_console(m, r'(?m)^\{.*"Init refused a descriptor".*\}$')


def test_folders_are_taken_without_their_slashes():
    with machine(start=False) as m:
        (m.folder / 'file').write_text('')
        m.options = ['--logs', f'{m.folder}/file//', '--runtime', f'{m.runtime}///']
        m.start()
        out = m.service(0, 'web')
        os.write(out, b'in the fallback\n')
        m.drain()
        assert 'in the fallback' in (m.runtime / 'log/web/current').read_text()
        os.close(out)


# ---- init

def test_what_a_later_init_may_say_is_left_out():
    with machine() as m:
        m.say_init(SIGNAL, argument=10)
        m.say_init(OF_LATER, text=b'of a later version')
        m.say_init(REFUSED, count=1, keys=[77])
        wait_console(m, 'Init refused a descriptor .*key=77')
        m.init.send(HAND_OVER.pack(77, LINE_OF_INIT, 2, 4, 1, 0, b'word of another version'))
        wait_console(m, 'Could not take a message of init .*rotocol error')
        m.init.send(HAND_OVER.pack(1, LINE_OF_INIT, 2, 4, 1, 0, b'word')[:100])
        works(m)
        assert said_by_init(m) == []


def test_a_line_of_init_that_is_sent_again_is_there_once():
    with machine() as m:
        for status in (1, 1, 2, 0, 0):
            m.init.send(HAND_OVER.pack(1, LINE_OF_INIT, 2, 6, 1, status, b'word %d' % status))
        until(lambda: said_by_init(m) == ['word 1', 'word 2', 'word 0', 'word 0'], 'each is there once')


def test_it_ends_with_init():
    for started in (True, False):
        with machine(start=started) as m:
            if not started:
                with hold_back_done(m):
                    m.launch()
            m.init_child.close()
            m.init.close()
            assert m.process.wait(WAIT) == 0


def test_descriptors_that_nobody_knows_are_closed():
    with machine(start=False) as m:
        reading, writing = os.pipe()
        give(m, [(NO_KEY, writing)])
        m.say_init(HELD, [writing], count=1, keys=[KEYS['spool']])  # it has all that it is to have
        works(m)
        os.close(writing)
        assert os.read(reading, 1) == b''  # nobody else has it
        os.close(reading)


# ---- what is held

def garbage(size, seals):
    fd = os.memfd_create('garbage', os.MFD_ALLOW_SEALING)
    os.write(fd, b'\xa5' * min(size, 1 << 20))
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


WORDS = {'state': "The journal's state is not ours", 'queue': "The journal's queue is not ours",
         'backlogs': "The journal's backlogs are not ours", 'spool': "The journal's spool is not ours",
         'intake': 'What was known of /dev/log is not ours', 'counts': 'What was counted of services is not ours'}


def test_what_is_held_and_is_none_of_ours_is_made_anew():
    with machine() as m:
        sizes = {name: os.fstat(m.held[key]).st_size for name, key in KEYS.items()}
    for name, whole in sizes.items():
        for much, seals in ((0, 0), (100, 0), (whole, 0), (whole, SEALS)):
            with machine(start=False) as m:
                fd = garbage(much, seals)
                stored = give(m, [(KEYS[name], fd)])
                os.close(fd)
                # Of these any content is good.
                if not (whole == much and (name == 'spool' or (name == 'counts' and seals))):
                    wait_console(m, WORDS[name])
                    assert KEYS[name] in stored, (name, much, seals)
                works(m)


def test_what_is_held_twice_is_taken_once():
    with machine() as m:
        out = m.service(0, 'web')
        os.write(out, b'one\n')
        m.drain()
        m.kill()
        held, m.held = m.held, {}
        give(m, list(held.items()) * 2)
        os.write(out, b'two\n')
        m.drain()
        assert [text for _, _, text in m.lines('web')] == [b'one', b'two']
        folder, links = f'/proc/{m.process.pid}/fd', []
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # it is at work
                links.append(os.readlink(f'{folder}/{fd}'))
        assert not [link for link in links if 'memfd' in link and links.count(link) > 1], links
        for fd in held.values():
            os.close(fd)
        os.close(out)


# ---- standing still beside a new one

def test_standing_still_it_acts_on_what_init_said_meanwhile_once_it_goes_on():
    with machine() as m:
        out = m.service(0, 'web')
        m.wait_done()
        stand_still(m)
        os.write(out, b'meanwhile\n')
        reading, writing = os.pipe()
        m.say_init(HELD, [writing], count=1, keys=[NO_KEY])
        os.close(writing)
        m.init.send(HAND_OVER.pack(77, LINE_OF_INIT, 2, 4, 1, 0, b'word of another version'))
        for i in range(3):
            m.say_init(LINE_OF_INIT, text=b'word %d' % i, argument=1)
        m.say_init(RESUME)
        wait_console(m, 'No new journal takes over: going on')
        until(lambda: said_by_init(m) == ['word 0', 'word 1', 'word 2'], 'all is carried out in order')
        assert m.lines('web') == [('', 'info', b'meanwhile')]
        assert os.read(reading, 1) == b''
        os.close(reading)
        os.close(out)


def test_standing_still_it_ends_with_init():
    with machine() as m:
        m.say_init(YIELD)
        while (kind := m.hear_init()[0]) != YIELDED:
            assert kind == STORE
        m.init_child.close()
        m.init.close()
        assert m.process.wait(WAIT) == 0


def test_beside_another_it_fails_without_a_state_and_says_why():
    with machine() as m:
        stand_still(m)
        held, m.held = m.held, {}
        with beside(m) as new:
            kind, why, _ = new.hear_init()
            assert kind == FAILED and 'init holds none' in why, why
            assert new.process.wait(WAIT) == 1
            assert not select.select([new.init], [], [], 0)[0] or new.hear_init()[0] != STORE
        m.held = held
        m.say_init(RESUME)
        works(m)


# ---- the launcher

def test_a_name_that_is_no_file_s_is_refused_and_said():
    with machine() as m:
        for name in (b'', b'.', b'..', b'a/b'):
            m.say_link(REGISTER, 3, name)
            m.wait_done()
        m.say_link(REGISTER, 3, b'web', text=b'not/absolute')
        m.wait_done()
        wait_console(m, "(?s)(Could not keep a service's journal.*){5}")
        works(m)
