"""What init must never do in a container, proved before any other test ends an init."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import BUILD, FAKE, Machine, Outside, Skip, need_root, open_fds, until

ENDINGS = {  # signal: what unshare ends with; it passes on a signal that ended init
    signal.SIGTERM: 0, signal.SIGINT: 0, signal.SIGPWR: 0, signal.SIGUSR1: 0,
    signal.SIGRTMIN + 3: 0, signal.SIGRTMIN + 4: 0,
    signal.SIGRTMIN + 5: -signal.SIGHUP,  # reboot(RB_AUTOBOOT) inside a PID namespace
}


def end_by(number, **options):
    """Boots with fakes, ends by a signal, and returns the status."""
    with Machine(launcher=FAKE, journal=FAKE, **options) as machine:
        machine.boot()
        machine.journal.start_ready()
        launcher = machine.launcher.start_ready()
        machine.signal(number)
        told = launcher.wait('SIGNAL')
        assert told['argument'] == number, told
        launcher.shut_down(1 if ENDINGS[number] == 0 else 2)
        machine.journal.peers[0].wait('DRAIN')
        machine.journal.peers[0].do('send', type='DRAINED')
        return machine.wait_end()


def test_an_end_changes_nothing_outside():
    need_root()
    before = Outside()
    assert end_by(signal.SIGTERM) == 0
    before.check()


def test_an_end_with_the_outer_proc_and_shared_file_systems_changes_nothing_outside():
    need_root()
    before = Outside()
    assert end_by(signal.SIGTERM, mount_proc=False) == 0
    before.check()


def test_a_restart_changes_nothing_outside():
    need_root()
    before = Outside()
    end_by(signal.SIGRTMIN + 5)
    before.check()


def test_each_signal_ends_a_container_as_documented():
    for number, status in ENDINGS.items():
        ended = end_by(number)
        assert ended == status, (number, ended)


def test_file_systems_that_were_there_are_left_and_missing_ones_are_mounted_once():
    need_root()
    before = Outside()
    setup = 'umount -l /run 2>/dev/null; mkdir -p /run; mount -t tmpfs there /run'
    with Machine(launcher=FAKE, journal=FAKE, before=setup) as machine:
        machine.boot()
        machine.launcher.start_ready()
        mounts = pathlib.Path(f'/proc/{machine.pid}/mountinfo').read_text(encoding='utf-8')
        on_run = [line for line in mounts.splitlines() if line.split()[4] == '/run']
        assert len(on_run) >= 1 and ' - tmpfs there ' in on_run[-1], on_run
    before.check()


def test_a_root_with_only_empty_folders_gets_its_file_systems():
    """Chrooted into a root that has nothing but init, its fakes' interpreter and empty folders."""
    need_root()
    before = Outside()
    root = pathlib.Path(tempfile.mkdtemp(prefix='root.'))
    for name in ('proc', 'sys', 'dev', 'run', 'tmp', 'bin'):
        (root / name).mkdir()
    interpreter = shutil.which('busybox')
    release = pathlib.Path(__file__).resolve().parents[2] / 'out/init'
    init = next((path for path in (BUILD / 'init', release) if is_static(path)), None)
    try:
        if init is None or interpreter is None or not is_static(interpreter):
            raise Skip('needs a static init and a static busybox')
        shutil.copy2(init, root / 'init')
        shutil.copy2(interpreter, root / 'bin/busybox')
        (root / 'service-launcher').write_text(
            '#!/bin/busybox sh\n/bin/busybox cat /proc/mounts >/tmp/mounts\n'
            '/bin/busybox echo hello >/dev/null\n/bin/busybox ls -l /dev >/tmp/dev\n'
            '/bin/busybox touch /tmp/done\nexec /bin/busybox sleep 1000\n', encoding='utf-8')
        (root / 'service-launcher').chmod(0o755)
        process = subprocess.Popen(
            ['unshare', '--fork', '--pid', '--mount', '--kill-child', 'chroot', str(root), '/init'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            until(lambda: (root / 'tmp/done').exists(), 'the launcher has run')
            mounts = [line.split()[1] for line in
                      (root / 'tmp/mounts').read_text(encoding='utf-8').splitlines()]
            for target in ('/proc', '/sys', '/dev', '/dev/pts', '/dev/shm', '/run'):
                assert mounts.count(target) == 1, (target, mounts)
            assert 'null' in (root / 'tmp/dev').read_text(encoding='utf-8')
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        before.check()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def is_static(path):
    path = pathlib.Path(path)
    return path.exists() and b'ld-linux' not in path.read_bytes()[:4096] and \
        b'/lib/ld-' not in path.read_bytes()[:4096]


def test_no_rescue_shell_and_no_exit_when_the_launcher_always_fails():
    with Machine(launcher='#!/bin/sh\nexit 3\n', journal=FAKE) as machine:
        machine.boot()
        machine.wait_console(r'code=3 failures=7')
        assert machine.is_alive()
        names = {name for name, _, _ in machine.children().values()}
        assert names <= {'service-launche', 'service-journal', 'init'}, names


def test_the_console_is_what_it_got_and_not_dev_console():
    with Machine(launcher=FAKE, journal=FAKE) as machine:
        machine.boot()
        machine.launcher.start_ready()
        for fd, target in open_fds(machine.pid).items():
            assert target not in ('/dev/console', '/dev/kmsg'), (fd, target)
        machine.wait_console(r'INFO\[\d{4,}\.\d{3}\] conit starts +in=container version=')


def test_the_children_are_told_that_they_are_in_a_container():
    with Machine(launcher=FAKE, journal=FAKE) as machine:
        machine.boot()
        for role in (machine.launcher, machine.journal):
            assert '--container' in role.accept().started['arguments']


def test_as_another_process_it_refuses_and_says_how_to_try_it():
    result = subprocess.run([str(BUILD / 'init')], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and 'unshare --fork --pid' in result.stderr, result
    result = subprocess.run([str(BUILD / 'init'), '--bogus'], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 2 and '--bogus' in result.stderr, result
    for option, text in (('--help', '--services'), ('--version', 'conit')):
        result = subprocess.run([str(BUILD / 'init'), option], capture_output=True, text=True,
                                check=False)
        assert result.returncode == 0 and text in result.stdout, result


def test_it_reboots_nothing_when_its_namespace_is_not_known():
    """With /proc hidden and no way to mount one, a container is assumed."""
    setup = 'mount -t tmpfs empty /proc'
    need_root()
    before = Outside()
    with Machine(launcher=FAKE, journal=FAKE, mount_proc=False, before=setup) as machine:
        machine.boot()
        machine.launcher.start_ready()
        machine.wait_console('in=container')
    before.check()
    assert os.uname().nodename == before.hostname
