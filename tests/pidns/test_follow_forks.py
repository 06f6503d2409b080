"""follow-forks by itself, by hand: how long it lives, what it passes on, and what it ends with."""
import os
import signal
import subprocess

import harness
from harness import BUILD, DEADLINE, Process, children_of, need_root, stat_of, until

PROGRAM = str(BUILD / 'follow-forks')


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=60)


def begin(*arguments):
    return Process([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                   text=True)


def below(pid):
    """Those that live."""
    return {pid: stat for pid, stat in harness.below(pid).items() if stat[1] != 'Z'}


def test_it_has_help_and_a_version_and_refuses_what_it_does_not_know():
    assert 'PROGRAM' in run('--help').stdout and run('--help').returncode == 0
    assert run('--version').stdout.startswith('follow-forks (conit)')
    for wrong in ([], ['--bogus', 'true'], ['--grace'], ['--grace', 'soon', 'true'], ['--']):
        result = run(*wrong)
        assert result.returncode == 2 and result.stderr.startswith('follow-forks: '), result


def test_it_ends_as_the_program_does():
    assert run('sh', '-c', 'exit 7').returncode == 7
    assert run('--', 'true').returncode == 0
    assert run('sh', '-c', 'kill -TERM $$').returncode == 128 + signal.SIGTERM
    assert run('/does/not/exist').returncode == 127
    assert run('/etc/passwd').returncode == 126
    # The first one's, not the last one's.
    assert run('sh', '-c', '(setsid sh -c "exec sleep 0.1; exit 9" &); exit 3').returncode == 3


def test_it_lives_as_long_as_any_descendant_and_is_the_parent_of_orphans():
    process = begin('sh', '-c', 'setsid sh -c "setsid sleep 12321 & exit 0" & exit 5')
    with process:
        [sleeper] = until(lambda: [pid for pid, stat in below(process.pid).items()
                                   if stat[0] == 'sleep'], 'the last one runs')
        until(lambda: stat_of(sleeper)[2] == process.pid, 'it is the child of follow-forks')
        assert process.poll() is None
        os.kill(sleeper, signal.SIGKILL)
        assert process.wait(DEADLINE) == 5


def test_a_signal_reaches_all_of_them():
    process = begin('sh', '-c', 'setsid sleep 12321 & setsid sleep 12321 & exec sleep 12321')
    with process:
        until(lambda: sum(stat[0] == 'sleep' for stat in below(process.pid).values()) == 3, 'all')
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM


def test_after_the_grace_who_is_deaf_is_killed_and_who_is_born_meanwhile_too():
    process = begin('--grace', '0', 'sh', '-c', 'trap "" TERM; setsid sh -c '
                    '"while :; do setsid sleep 12321 & sleep 0.01; done" & echo up; wait')
    with process:
        assert process.stdout.readline() == 'up\n'
        until(lambda: len(below(process.pid)) > 10, 'it has grown')
        living = below(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGKILL
        until(lambda: not any(stat_of(pid) and stat_of(pid)[1] != 'Z' for pid in living), 'none')


def test_stopped_ones_are_woken_to_obey():
    process = begin('sh', '-c', 'echo up; kill -STOP $$; exit 0')
    with process:
        assert process.stdout.readline() == 'up\n'
        until(lambda: any(stat[1] == 'T' for stat in below(process.pid).values()), 'it stands')
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM


def test_nested_ones_each_follow_their_own():
    process = begin(PROGRAM, 'sh', '-c', '(setsid sleep 12321 &) ; exit 4')
    with process:
        [inner] = until(lambda: [pid for pid, stat in below(process.pid).items()
                                 if stat[0] == 'follow-forks' and stat[2] == process.pid],
                        'the inner one runs')  # below that, one may be about to execute
        [sleeper] = until(lambda: [pid for pid, stat in below(inner).items()
                                   if stat[0] == 'sleep'], 'the sleeper runs')
        until(lambda: stat_of(sleeper)[2] == inner, 'it is the inner one\'s child')
        os.kill(inner, signal.SIGKILL)
        until(lambda: stat_of(sleeper)[2] == process.pid, 'then it is the outer one\'s')
        assert process.poll() is None
        os.kill(sleeper, signal.SIGKILL)
        assert process.wait(DEADLINE) == 128 + signal.SIGKILL


def test_many_orphans_that_end_at_once_are_all_reaped():
    need_root()
    process = begin('sh', '-c', 'for i in $(seq 300); do (true &); done; echo done; exec sleep 12321')
    with process:
        assert process.stdout.readline() == 'done\n'
        until(lambda: len(children_of(process.pid)) == 1, 'no zombie is left')
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM
