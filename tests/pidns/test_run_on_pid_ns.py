"""run-on-pid-ns: what is new inside, what comes out again, and what becomes of it."""
import contextlib
import os
import pathlib
import signal
import subprocess

from harness import BUILD, Outside, children_of, need_root, stat_of, until

PROGRAM = str(BUILD / 'run-on-pid-ns')
REBOOT = ('import ctypes; ctypes.CDLL(None).reboot(ctypes.c_int(%s))')


def run(*command):
    need_root()
    return subprocess.run([PROGRAM, *command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=60)


def test_the_exit_status_comes_out():
    assert run('sh', '-c', 'exit 7').returncode == 7
    assert run('true').returncode == 0


def test_what_cannot_be_run_has_the_customary_statuses():
    assert run('/does/not/exist').returncode == 127
    assert run('/etc/passwd').returncode == 126
    assert run().returncode == 125
    assert run('--bogus', 'true').returncode == 125
    assert run('--help').returncode == 0 and 'COMMAND' in run('--help').stdout
    assert run('--version').stdout.startswith('run-on-pid-ns (conit)')


def test_inside_it_is_process_1_of_namespaces_of_its_own():
    lines = run('sh', '-c', 'echo $$; readlink /proc/self/ns/pid /proc/self/ns/time '
                            '/proc/self/ns/mnt; ls /proc | grep -c "^[0-9]"').stdout.split()
    assert lines[0] == '1', lines
    for line, name in zip(lines[1:4], ('pid', 'time', 'mnt')):
        assert line.startswith(name) and line != os.readlink(f'/proc/self/ns/{name}'), line
    assert int(lines[4]) <= 3, lines


def test_keep_proc_shows_the_processes_outside():
    result = run('--keep-proc', 'sh', '-c', 'ls /proc | grep -c "^[0-9]"; echo $$')
    count, pid = result.stdout.split()
    assert int(count) > 3 and pid == '1', result


def test_the_uptime_begins_at_zero_also_when_nested():
    uptime = float(run('cat', '/proc/uptime').stdout.split()[0])
    assert uptime < 30, uptime
    outer, inner = run('sh', '-c', f'cat /proc/uptime; sleep 0.3; {PROGRAM} cat /proc/uptime'
                       ).stdout.splitlines()
    assert float(inner.split()[0]) < 0.3 + float(outer.split()[0]), (outer, inner)


def test_mounts_inside_stay_inside():
    need_root()
    before = Outside()
    folder = os.environ['TMPDIR']
    result = run('sh', '-c', f'mount -t tmpfs inside {folder} && touch {folder}/there && ls {folder}')
    assert result.stdout.strip() == 'there', result
    assert not (pathlib.Path(folder) / 'there').exists()
    before.check()


@contextlib.contextmanager
def start(*command):
    need_root()
    process = subprocess.Popen([PROGRAM, *command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_signals_are_passed_to_a_handler():
    with start('sh', '-c', 'trap "exit 33" TERM; echo set; while :; do sleep 0.05; done') as process:
        assert process.stdout.readline() == b'set\n'
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 33


def test_a_command_without_a_handler_ends_by_the_signal_too():
    with start('sh', '-c', 'echo set; exec sleep 1000') as process:
        assert process.stdout.readline() == b'set\n'
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


def pids_with(marker):
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                line = pathlib.Path(f'/proc/{entry}/cmdline').read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if line.endswith(b'\0' + marker + b'\0') and line.startswith(b'sleep'):
                found.append(int(entry))
    return found


def test_its_death_takes_everything_inside_along():
    marker = f'1{os.getpid():07d}'
    script = f'setsid sleep {marker} & echo set; exec sleep {marker}'
    with start('sh', '-c', script) as process:
        assert process.stdout.readline() == b'set\n'
        until(lambda: len(pids_with(marker.encode())) == 2, 'both run')
        process.kill()
        process.wait()
        until(lambda: not pids_with(marker.encode()), 'both are gone')


def test_a_signal_that_ends_the_command_is_128_and_its_number():
    # A PID 1 is killed only from outside: its namespace's parent does.
    with start('sh', '-c', 'echo set; exec sleep 1000') as process:
        assert process.stdout.readline() == b'set\n'
        os.kill(next(iter(children_of(process.pid))), signal.SIGKILL)
        assert process.wait(30) == 128 + signal.SIGKILL
