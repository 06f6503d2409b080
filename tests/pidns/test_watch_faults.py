"""The child that watches the service files, by itself, while calls and allocations of it fail: it says what is not
seen, sees it later, or ends and is started again; and however a way to a folder is written, it is followed."""
import contextlib
import errno
import os
import pathlib
import socket
import subprocess
import tempfile

from harness import BUILD, DEADLINE, Skip
from test_faults import faults, need_allocations

PROGRAM = BUILD / 'service-launcher'
MOST = 500


class Child:
    """`calls` of it can fail ('': allocations; None: nothing)."""

    def __init__(self, top, calls=None):
        if calls and not faults.INJECT.exists():
            raise Skip(f'there is no {faults.INJECT}: make test-build')
        self.rules = faults.Rules(top / 'faults') if calls is not None else None
        self.top, self.calls, self.process, self.ours = top, calls, None, None
        self.words = [str(PROGRAM), '--watch']

    def start(self):
        self.end()
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(DEADLINE)
        words, environment = self.words, dict(os.environ)
        if self.calls:
            words = [str(faults.INJECT), self.rules.file.name, self.calls, *words]
            if faults.KIND == 'release':
                environment['CONIT_FRAMES'] = faults.Names(faults.KIND).frames()
        elif self.rules:
            environment['CONIT_FAULTS'] = self.rules.file.name
        self.process = subprocess.Popen(words, stdin=theirs, env=environment, cwd=self.top)
        theirs.close()
        return self

    def until_change(self):
        """What it warns of until it says that something has changed; None: it ended before that."""
        warnings = []
        while True:
            message = self.ours.recv(2000)
            if not message:
                return None
            if message.startswith(b'c'):
                self.ours.send(b'k')  # the launcher has read it
                return warnings
            warnings.append(message[1:].decode())

    def end(self):
        if self.process:
            self.ours.close()
            self.process.kill()
            self.process.wait(DEADLINE)
            self.process = None


@contextlib.contextmanager
def child_of(**more):
    with tempfile.TemporaryDirectory() as top:
        child = Child(pathlib.Path(top), **more)
        try:
            yield child
        finally:
            child.end()
            if child.rules:
                child.rules.close()


def make_folders(top):
    """A folder that is reached over links, with folders and links in it."""
    (top / 'real/one').mkdir(parents=True)
    (top / 'elsewhere').mkdir()
    (top / 'real/a.yml').write_text('exec: sleep 1\n')
    (top / 'elsewhere/b.yml').write_text('exec: sleep 1\n')
    os.symlink('../elsewhere/b.yml', top / 'real/b.yml')
    os.symlink('../elsewhere', top / 'real/folder')
    os.symlink(f'{top}/./real/../real', top / 'link')
    os.symlink('loop', top / 'loop')
    os.symlink('nowhere', top / 'dangling')
    return [top / 'link', top / 'loop', top / 'dangling', top / ('n' * 300), '/' + 'x/' * 3000]


def check_seen(child):
    """What changes is told, wherever it is."""
    for file in ('real/a.yml', 'elsewhere/b.yml', 'real/one/config.yml'):
        (child.top / file).write_text('exec: sleep 2\n')
        assert child.until_change() == [], file


def test_each_way_to_a_folder_is_followed():
    with child_of() as child:
        folders = make_folders(child.top)
        for first in (child.top / 'link', child.top / 'real/../link/.', 'link', '../' + child.top.name + '/link'):
            child.words = [str(PROGRAM), '--watch']
            for folder in (first, *folders[1:]):
                child.words += ['--services', str(folder)]
            child.start()
            assert child.until_change() == []
            check_seen(child)


def each_fails(call, error, words):
    """Each call of that name that it makes until it watches all fails in turn."""
    with child_of(calls=call if call != 'allocation' else '') as child:
        for folder in make_folders(child.top):
            child.words += ['--services', str(folder)]
        warned, ended = 0, 0
        for skip in range(MOST):
            before = child.rules.hits()
            child.rules.fail('service-launcher', call, error, skip=skip)
            child.start()
            warnings = child.until_change()
            if child.rules.hits() == before:
                break
            if warnings is None:
                ended += 1
                assert child.process.wait(DEADLINE) == 1
            else:
                assert all(words in warning for warning in warnings), warnings
                warned += bool(warnings)
        child.rules.lift()
        assert skip > 0
        child.start()
        assert child.until_change() == []
        check_seen(child)
        return warned, ended


def test_a_watch_that_cannot_be_made_is_told():
    for error, words in ((errno.ENOSPC, 'raise fs.inotify.max_user_watches'), (errno.ENOMEM, 'are not seen: ')):
        warned, ended = each_fails('inotify_add_watch', error, words)
        assert warned > 5 and ended == 0, (warned, ended)


def test_a_folder_whose_content_cannot_be_read_is_told():
    warned, _ = each_fails('openat', errno.ENFILE, 'are not seen: Too many open files in system')
    assert warned > 0


def test_without_memory_it_ends_and_is_started_again():
    need_allocations()
    warned, ended = each_fails('allocation', errno.ENOMEM, 'are not seen: ')
    assert warned + ended > 0


def test_without_inotify_it_says_what_to_raise_and_ends_with_the_launcher():
    for error, words in ((errno.EMFILE, 'raise fs.inotify.max_user_instances'),
                         (errno.ENOMEM, 'are not seen: ')):
        with child_of(calls='inotify_init1') as child:
            child.rules.fail('service-launcher', 'inotify_init1', error)
            child.start()
            message = child.ours.recv(2000)
            assert message.startswith(b'w') and words in message.decode(), message
            child.ours.shutdown(socket.SHUT_RDWR)
            assert child.process.wait(DEADLINE) in (0, 1)
