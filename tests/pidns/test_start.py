"""Starts that fail say which step and why, and hurt nobody else; many start at once."""
import contextlib
import os
import pwd

from harness import Machine, until
from services import booted, define, events, look, need_cgroup, shell, wait


def populate(machine):
    folder = machine.folder
    folder.chmod(0o755)
    (folder / 'not-executable').write_text('#!/bin/sh\n', encoding='ascii')
    (folder / 'rubbish').write_bytes(b'\x00\x01\x02 no program\n')
    (folder / 'rubbish').chmod(0o755)
    (folder / 'no-interpreter').write_text('#!/no/such/shell\n', encoding='ascii')
    (folder / 'no-interpreter').chmod(0o755)
    (folder / 'closed').mkdir(0o700)
    (folder / 'file').write_text('', encoding='ascii')
    os.mkfifo(folder / 'fifo')
    (folder / 'loop').symlink_to('loop')
    for name, exec_ in (('missing', '/no/such/program'), ('missing-on-path', 'no-such-program'),
                        ('not-executable', f'{folder}/not-executable'),
                        ('a-folder', str(folder)), ('rubbish', f'{folder}/rubbish'),
                        ('no-interpreter', f'{folder}/no-interpreter'),
                        ('loop', f'{folder}/loop'), ('through-a-file', f'{folder}/file/x')):
        define(machine, name, exec=exec_)
    define(machine, 'no-dir', exec='sleep 1000', dir='/no/such/folder')
    define(machine, 'dir-a-file', exec='sleep 1000', dir=f'{folder}/file')
    define(machine, 'dir-closed', exec='sleep 1000', dir=f'{folder}/closed', user='daemon')
    define(machine, 'no-tty', exec='sleep 1000', tty='/dev/no-such-tty')
    define(machine, 'tty-a-file', exec='sleep 1000', tty=f'{folder}/file')
    define(machine, 'no-stdin', exec='sleep 1000', stdin='/no/such/file')
    define(machine, 'limit-too-high', exec='sleep 1000', limits={'nofile': 1 << 40})
    define(machine, 'no-hook', exec='sleep 1000', before_start='/no/such/hook')
    define(machine, 'bad-hook', exec='sleep 1000', before_start=['true', 'false', 'true'])
    define(machine, 'task-missing', type='task', exec='/no/such/task')
    for number in range(5):
        define(machine, f'good{number}', exec='sleep 1000')
    define(machine, 'needy', exec='sleep 1000', needs=['missing'])
    define(machine, 'easy', exec='sleep 1000', wants=['missing'])
    define(machine, 'slow-stdin', exec='cat', stdin=str(folder / 'fifo'))


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        populate(machine)
        booted(machine)
        yield machine


EXPECTED = {
    'missing': 'cannot execute its program: No such file or directory (/no/such/program)',
    'missing-on-path': 'cannot execute its program: No such file or directory (no-such-program): '
                       'it is in no folder of PATH',
    'not-executable': 'cannot execute its program: Permission denied',
    'a-folder': 'cannot execute its program: Permission denied',
    'rubbish': 'cannot execute its program: Exec format error',
    'no-interpreter': 'cannot execute its program: No such file or directory',
    'loop': 'cannot execute its program: Too many levels of symbolic links',
    'through-a-file': 'cannot execute its program: Not a directory',
    'no-dir': 'cannot enter its dir: No such file or directory (/no/such/folder)',
    'dir-a-file': 'cannot enter its dir: Not a directory',
    'dir-closed': 'cannot enter its dir: Permission denied',
    'no-tty': 'cannot open its tty: No such file or directory',
    'tty-a-file': 'cannot make its tty the controlling one: Inappropriate ioctl for device (',
    'no-stdin': 'cannot open its stdin: No such file or directory',
    'limit-too-high': 'cannot set its limits: Operation not permitted',
    'no-hook': 'before-start: cannot execute its program: No such file or directory',
    'bad-hook': 'before-start number 2 failed',
    'task-missing': 'cannot execute its program: No such file or directory (/no/such/task)',
}


def test_each_failing_step_is_named_with_its_reason(machine):
    for name, reason in EXPECTED.items():
        status = wait(machine, name, 'failed')
        assert status['reason'].startswith(reason), (name, status)
        assert status['pid'] is None, status
        assert any(reason in event for event in events(machine, name)), (name, events(machine, name))


def test_a_script_that_is_there_is_not_said_to_be_missing(machine):
    reason = wait(machine, 'no-interpreter', 'failed')['reason']
    assert reason.endswith(
        '/no-interpreter): it, or the interpreter that its first line names, is not there'), reason


def test_what_cannot_get_better_is_not_tried_again(machine):
    for name in EXPECTED:
        if name != 'bad-hook':
            assert wait(machine, name, 'failed')['restarts'] == 0, look(machine, name)


def test_list_shows_the_reason_and_slc_start_says_it_again(machine):
    line = [line for line in machine.slc('list').stdout.splitlines() if ' rubbish ' in line][0]
    assert line.startswith('failed') and 'Exec format error' in line, line
    result = machine.slc('start', 'no-dir', check=False)
    assert (result.returncode, result.stderr) == (
        1, 'slc: no-dir: failed: cannot enter its dir: No such file or directory '
        '(/no/such/folder)\n'), result


def test_others_run_all_the_same(machine):
    pids = {wait(machine, f'good{number}', 'running')['pid'] for number in range(5)}
    assert len(pids) == 5 and None not in pids
    wait(machine, 'easy', 'running')


def test_who_needs_what_failed_does_not_start_and_says_whom(machine):
    status = wait(machine, 'needy', 'failed')
    assert status['reason'] == 'needs missing, which failed' and status['pid'] is None, status


def test_a_stdin_that_would_block_does_not_hold_up_the_launcher(machine):
    wait(machine, 'slow-stdin', 'running')
    assert machine.slc('restart', 'slow-stdin').returncode == 0


def test_a_start_that_fails_leaves_no_process_and_no_descriptor(machine):
    launcher = machine.pid_of('service-launcher')
    machine.slc('start', 'missing', 'no-dir', 'rubbish', 'no-tty', check=False)
    machine.quiet()
    fds = len(os.listdir(f'/proc/{launcher}/fd'))
    for _ in range(20):
        machine.slc('start', 'missing', 'no-dir', 'rubbish', 'no-tty', check=False)
    machine.quiet()  # so no zombie is left either
    # Some of them are tried again every now and then.
    until(lambda: len(os.listdir(f'/proc/{launcher}/fd')) <= fds, 'no descriptor is left over')


def test_what_failed_starts_once_it_is_mended(machine):
    program = machine.folder / 'not-executable'
    program.write_text('#!/bin/sh\nexec sleep 1000\n', encoding='ascii')
    program.chmod(0o755)
    machine.slc('start', 'not-executable')
    wait(machine, 'not-executable', 'running')
    machine.slc('stop', 'not-executable')
    program.chmod(0o644)
    assert machine.slc('start', 'not-executable', check=False).returncode == 1


def test_a_hundred_and_fifty_start_in_one_go(_machine):
    with Machine() as machine:
        for number in range(150):
            define(machine, f's{number}', exec='sleep 100000')
        booted(machine)
        running = [service for service in machine.json('list') if service['state'] == 'running']
        assert len(running) == 150
        pids = [service['pid'] for service in running]
        assert len(set(pids)) == 150
        machine.slc('restart', *[f's{number}' for number in range(150)])
        again = [service['pid'] for service in machine.json('list')]
        assert not set(pids) & set(again) and len(set(again)) == 150


def test_a_user_may_not_write_into_the_folder_of_its_cgroup(_machine):
    with Machine() as machine:
        need_cgroup(machine)
        uid = pwd.getpwnam('daemon').pw_uid
        define(machine, 'u', type='task', user='daemon', exec=shell(
            f'id -u; path=$(sed -n s/^0:://p /proc/self/cgroup); test $(id -u) = {uid}; '
            'for d in /sys/fs/cgroup /sys/fs/cgroup/unified; do mkdir $d$path/x && exit 3; done; '
            'exit 0'))
        booted(machine)
        assert wait(machine, 'u', 'done')['exit'] == {'code': 0}
