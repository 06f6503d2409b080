"""Services that go to the background by themselves: followed wherever they fork. Each test runs
twice: followed by a cgroup, and where none can be had, by follow-forks."""
import contextlib
import os
import random
import re
import signal
import subprocess
import types

from harness import BUILD, Machine, children_of, hold, stat_of, until
from steps import CLONE3, Stepper
from services import (PYTHON, WITHOUT_CGROUP, booted, booting, both_ways, define, events, held_back,
                      look, outer_pid, printed, shell, wait, words)

# What a daemon does, step by step. `stay` is the daemon itself; it says its number and waits.
DAEMON = '''
import os, signal, sys, time
def fork(wait=False):
    """True in the child; the parent ends with 0, once its child says so when it is to wait."""
    sys.stdout.flush()
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        return write
    os.close(write)
    if wait:
        os.read(read, 1)
    os._exit(0)
def pid_file(path, pid=None):
    with open(path + '.new', 'w') as file:
        file.write('%d\\n' % (pid or os.getpid()))
    os.rename(path + '.new', path)
def stay(name='daemon'):
    # A signal that comes before it waits wakes it, too: with signal.pause() it would not.
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    print(name, os.getpid(), flush=True)
    while True:
        os.read(read, 1)
def meet(path):
    """Waits until somebody opens the other end of a FIFO."""
    open(path).read()
'''


def daemon(machine, name, text, **keys):
    keys.setdefault('type', 'forking')
    define(machine, name, exec=words(PYTHON, '-IS', '-c', DAEMON + text), **keys)


def said(machine, name, what='daemon', count=1):
    """The numbers that a service's processes of that kind have said, when there are so many."""
    def find():
        found = re.findall(rf'^{what} (\d+)$', printed(machine, name), re.M)
        return [int(pid) for pid in found] if len(found) >= count else None
    return until(find, f'{name} says {what} {count} times')


def kill_inner(machine, pid, number=signal.SIGKILL):
    os.kill(outer_pid(machine, pid), number)


def everybody(machine):
    """All processes of the machine below init but for conit's own."""
    found, todo = {}, [machine.pid]
    while todo:
        for child, (name, state, _) in children_of(todo.pop()).items():
            todo.append(child)
            if state != 'Z' and name not in ('service-launch', 'service-launche', 'service-journal'):
                found[child] = name
    return found


def nobody_is_left(machine):
    until(lambda: not everybody(machine), 'nobody is left')


@both_ways
def test_a_daemon_like_dhclient_is_listed_with_its_own_pid_and_comes_back(machine):
    daemon(machine, 'd', 'fork(); stay()', restart={'delay': '1ms'})
    booted(machine)
    [pid] = said(machine, 'd')
    status = wait(machine, 'd', 'running')
    assert status['pid'] == pid and status['type'] == 'forking', status
    assert status['processes'] == [pid], status
    kill_inner(machine, pid)
    pid = said(machine, 'd', count=2)[1]
    until(lambda: look(machine, 'd')['pid'] == pid, 'the new one is listed')
    status = look(machine, 'd')
    assert status['exit'] == {'signal': 'SIGKILL'} and status['restarts'] == 1, status
    kill_inner(machine, pid, signal.SIGTERM)
    said(machine, 'd', count=3)
    until(lambda: look(machine, 'd')['restarts'] == 2, 'it is back')
    assert look(machine, 'd')['exit'] == {'signal': 'SIGTERM'}
    machine.slc('stop', 'd')
    assert look(machine, 'd')['pid'] is None
    nobody_is_left(machine)


@both_ways
def test_a_double_fork_with_sessions_of_its_own_is_followed_to_the_last(machine):
    daemon(machine, 'd', 'fork(); os.setsid(); fork(); os.setsid(); stay()', restart='never')
    booted(machine)
    [pid] = said(machine, 'd')
    until(lambda: look(machine, 'd')['pid'] == pid, 'the last one is the main one')
    assert look(machine, 'd')['state'] == 'running'
    kill_inner(machine, pid)
    assert wait(machine, 'd', 'failed')['exit'] == {'signal': 'SIGKILL'}


@both_ways
def test_a_daemons_own_exit_status_is_known(machine):
    daemon(machine, 'd', 'fork(); print("daemon", os.getpid(), flush=True); '
           f'meet({str(machine.folder / "go")!r}); os._exit(7)', restart='never')
    os.mkfifo(machine.folder / 'go')
    booted(machine)
    wait(machine, 'd', 'running')
    (machine.folder / 'go').write_text('')
    status = wait(machine, 'd', 'failed')
    assert status['exit'] == {'code': 7} and status['reason'] == 'exited with 7', status


@both_ways
def test_a_first_process_that_fails_fails_the_start(machine):
    daemon(machine, 'd', 'os._exit(3)', restart='never')
    daemon(machine, 'killed', 'os.kill(os.getpid(), 9)', restart='never')
    booted(machine)
    assert wait(machine, 'd', 'failed')['reason'] == 'exited with 3'
    assert wait(machine, 'killed', 'failed')['exit'] == {'signal': 'SIGKILL'}
    nobody_is_left(machine)


@both_ways
def test_one_that_leaves_nothing_running_has_failed_and_says_so(machine):
    daemon(machine, 'd', 'os._exit(0)', restart='never')
    daemon(machine, 'p', 'os._exit(0)', restart='never',
           forks={'pid-file': str(machine.folder / 'p.pid')})
    daemon(machine, 'again', 'print("daemon", os.getpid(), flush=True)',
           restart={'delay': '1ms', 'limit': 2})
    booted(machine)
    for name in ('d', 'p'):
        reason = wait(machine, name, 'failed')['reason']
        assert reason == 'its first process ended and left nothing running', reason
    wait(machine, 'again', 'failed')
    assert len(said(machine, 'again', count=3)) == 3


@both_ways
def test_a_first_process_that_never_ends_runs_into_the_time_out(machine):
    daemon(machine, 'd', 'stay()', restart='never', start_timeout='300ms')
    booted(machine)
    assert wait(machine, 'd', 'failed')['reason'] == (
        'was not ready after 300 ms: its first process did not end with 0: one that stays in the '
        'foreground is a daemon')
    nobody_is_left(machine)


@both_ways
def test_dependants_wait_for_the_daemon_and_not_for_its_program(machine):
    os.mkfifo(machine.folder / 'go')
    daemon(machine, 'd', f'meet({str(machine.folder / "go")!r}); fork(); stay()')
    define(machine, 'after', exec='sleep 100000', needs=['d'])
    booting(machine)
    wait(machine, 'd', 'starting')
    until(lambda: look(machine, 'd')['reason'] == 'waits until its first process has ended with 0',
          'd says what it waits for')
    assert look(machine, 'after')['state'] == 'waiting'
    (machine.folder / 'go').write_text('')
    wait(machine, 'after', 'running')


@both_ways
def test_all_processes_are_listed_and_stop_leaves_nothing_behind(machine):
    daemon(machine, 'd', '''fork()
for i in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            stay('grandchild')
        stay('child')
stay()''', stop={'timeout': '500ms'})
    booted(machine)
    pids = (said(machine, 'd') + said(machine, 'd', 'child', 3) +
            said(machine, 'd', 'grandchild', 3))
    status = look(machine, 'd')
    assert status['pid'] == pids[0], (status, pids)
    assert sorted(status['processes']) == sorted(pids), (status, pids)
    machine.slc('stop', 'd')
    nobody_is_left(machine)


@both_ways
def test_what_a_dead_daemon_left_is_swept(machine):
    daemon(machine, 'd', '''fork()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stay('worker')
stay()''', restart='never')
    booted(machine)
    [pid] = said(machine, 'd')
    said(machine, 'd', 'worker')
    assert look(machine, 'd')['pid'] == pid
    kill_inner(machine, pid)
    wait(machine, 'd', 'failed')
    nobody_is_left(machine)


@both_ways
def test_of_several_equals_the_next_one_takes_over(machine):
    daemon(machine, 'd', '''
for name in ('one', 'two'):
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(write, b'x')
        stay(name)
    os.read(read, 1)
os._exit(0)''', restart='never')
    booted(machine)
    pids = said(machine, 'd', 'one') + said(machine, 'd', 'two')
    first = wait(machine, 'd', 'running')['pid']
    assert first == pids[0], (first, pids)
    kill_inner(machine, pids[0])
    until(lambda: look(machine, 'd')['pid'] == pids[1], 'the other one is the main one')
    assert look(machine, 'd')['state'] == 'running'
    kill_inner(machine, pids[1])
    wait(machine, 'd', 'failed')
    nobody_is_left(machine)


@both_ways
def test_the_main_process_is_found_by_its_programs_name(machine):
    os.symlink(PYTHON, machine.folder / 'thedaemon')
    daemon(machine, 'd', f'''
if os.fork() == 0:
    os.setsid()
    stay('helper')
fork()
meet({str(machine.folder / 'go')!r})
os.execl('/bin/sh', 'sh', '-c', 'echo daemon $$; exec sleep 100000')''',
           forks={'main': 'sleep'}, restart='never')
    os.mkfifo(machine.folder / 'go')
    booting(machine)
    said(machine, 'd', 'helper')
    assert look(machine, 'd')['state'] == 'starting'
    (machine.folder / 'go').write_text('')
    [pid] = said(machine, 'd')
    assert wait(machine, 'd', 'running')['pid'] == pid
    machine.slc('stop', 'd')
    nobody_is_left(machine)


# Pid files.

def pid_file_daemon(machine, text, name='d', **keys):
    path = machine.folder / 'd.pid'
    keys.setdefault('restart', 'never')
    daemon(machine, name, f'path = {str(path)!r}\n{text}', forks={'pid-file': str(path)}, **keys)
    return path


def is_not_believed(machine, why, name='d'):
    until(lambda: any(f'd.pid is not believed: {why}' in event for event in events(machine, name)),
          f'it says {why}')


@both_ways
def test_the_pid_file_says_who_is_the_main_one(machine):
    pid_file_daemon(machine, '''
if os.fork() == 0:
    os.setsid()
    stay('older')
end = fork(True)
pid_file(path)
os.write(end, b'x')
stay()''')
    booted(machine)
    [pid] = said(machine, 'd')
    assert wait(machine, 'd', 'running')['pid'] == pid
    kill_inner(machine, pid)
    wait(machine, 'd', 'failed')
    nobody_is_left(machine)


@both_ways
def test_a_pid_file_that_appears_late_is_waited_for(machine):
    os.mkfifo(machine.folder / 'go')
    path = pid_file_daemon(machine, f'''fork()
print('forked', os.getpid(), flush=True)
meet({str(machine.folder / 'go')!r})
os.mkdir({str(machine.folder / 'deep')!r})
pid_file(path)
stay()''')
    booting(machine)
    said(machine, 'd', 'forked')
    assert look(machine, 'd')['state'] == 'starting' and look(machine, 'd')['pid'] is None
    (machine.folder / 'go').write_text('')
    assert wait(machine, 'd', 'running')['pid'] == int(path.read_text())


@both_ways
def test_a_pid_file_that_never_appears_runs_into_the_time_out(machine):
    pid_file_daemon(machine, 'fork(); stay()', start_timeout='500ms')
    booted(machine)
    said(machine, 'd')
    assert wait(machine, 'd', 'failed')['reason'] == (
        'was not ready after 500 ms: its first process did not end with 0, or no process of it was '
        f'in {machine.folder / "d.pid"}')
    nobody_is_left(machine)


@both_ways
def test_a_pid_file_from_before_the_start_is_not_believed(machine):
    path = pid_file_daemon(machine, f'''fork()
print('forked', os.getpid(), flush=True)
meet({str(machine.folder / 'go')!r})
pid_file(path)
stay()''')
    path.write_text('1\n', encoding='utf-8')
    os.mkfifo(machine.folder / 'go')
    booting(machine)
    is_not_believed(machine, 'it is older than this start')
    assert look(machine, 'd')['state'] == 'starting'
    (machine.folder / 'go').write_text('')
    assert wait(machine, 'd', 'running')['pid'] == said(machine, 'd')[0]
    assert sum('is not believed' in event for event in events(machine, 'd')) == 1


@both_ways
def test_a_pid_file_that_names_a_foreign_process_is_not_believed(machine):
    define(machine, 'other', exec='sleep 100000')
    path = machine.folder / 'd.pid'
    os.mkfifo(machine.folder / 'go')
    pid_file_daemon(machine, f'''
other = int(open({str(machine.folder / 'other')!r}).read())
end = fork(True)
pid_file(path, other)
os.write(end, b'x')
print('forked', os.getpid(), flush=True)
meet({str(machine.folder / 'go')!r})
pid_file(path)
stay()''', enabled=False)
    booted(machine)
    other = wait(machine, 'other', 'running')['pid']
    (machine.folder / 'other').write_text(str(other))
    machine.slc('start', 'd', '--no-wait')
    is_not_believed(machine, 'the process it names is not one of this service')
    assert look(machine, 'd')['state'] == 'starting'
    (machine.folder / 'go').write_text('')
    assert wait(machine, 'd', 'running')['pid'] == int(path.read_text())
    machine.slc('stop', 'd')
    assert look(machine, 'other')['pid'] == other


@both_ways
def test_two_daemons_with_the_same_pid_file_each_get_their_own(machine):
    text = '''end = fork(True)
pid_file(path)
os.write(end, b'x')
stay()'''
    pid_file_daemon(machine, text, 'a', enabled=False)
    pid_file_daemon(machine, text, 'b', enabled=False)
    booted(machine)
    machine.slc('start', 'a')
    machine.slc('start', 'b')
    pids = {name: wait(machine, name, 'running')['pid'] for name in 'ab'}
    assert pids == {name: said(machine, name)[0] for name in 'ab'}, pids
    kill_inner(machine, pids['a'])
    wait(machine, 'a', 'failed')  # the file names b's
    assert look(machine, 'b')['state'] == 'running'


@both_ways
def test_nothing_in_the_place_of_a_pid_file_holds_the_launcher_up(machine):
    kinds = {
        'garbage': 'open(path, "w").write("hello\\n")',
        'nul': 'open(path, "w").write("\\0" * 100)',
        'huge': 'file = open(path, "w"); file.truncate(1 << 40)',
        'digits': 'open(path, "w").write("9" * 100000)',
        'negative': 'open(path, "w").write("-1\\n")',
        'one': 'open(path, "w").write("1\\n")',
        'empty': 'open(path, "w")',
        'fifo': 'os.mkfifo(path)',
        'folder': 'os.mkdir(path)',
        'device': 'os.symlink("/dev/zero", path)',
        'loop': 'os.symlink(path, path)',
        'foreign': 'open(path, "w").write(str(os.getppid()) + "\\n")',
    }
    for name, text in kinds.items():
        path = machine.folder / f'{name}.pid'
        daemon(machine, name, f'path = {str(path)!r}\nend = fork(True)\n{text}\n'
               'os.write(end, b"x")\nstay()', forks={'pid-file': str(path)}, restart='never',
               start_timeout='2s')
    daemon(machine, 'link', f'''
end = fork(True)
pid_file({str(machine.folder / 'real.pid')!r})
os.symlink({str(machine.folder / 'real.pid')!r}, {str(machine.folder / 'link.pid')!r})
os.write(end, b'x')
stay()''', forks={'pid-file': str(machine.folder / 'link.pid')})
    booted(machine)
    wait(machine, 'link', 'running')
    for name in kinds:
        assert wait(machine, name, 'failed')['reason'].startswith('was not ready after 2 s'), name
        assert any('is not believed' in event for event in events(machine, name)), name


@both_ways
def test_a_program_that_replaces_itself_by_its_pid_file_stays_up(machine):
    path = pid_file_daemon(machine, '''end = fork(True)
pid_file(path)
os.write(end, b'x')
def replace(*_):
    if os.fork():
        os._exit(1)
    pid_file(path)
    stay('next')
read, write = os.pipe()
def replace(*_):
    if os.fork() == 0:
        pid_file(path)
        os.write(write, b'x')
        stay('next')
    os.read(read, 1)
    os._exit(1)
signal.signal(signal.SIGHUP, replace)
stay()''')
    booted(machine)
    wait(machine, 'd', 'running')
    kill_inner(machine, said(machine, 'd')[0], signal.SIGHUP)
    [pid] = said(machine, 'd', 'next')
    until(lambda: look(machine, 'd')['pid'] == pid == int(path.read_text()), 'it took over')
    assert look(machine, 'd')['state'] == 'running' and look(machine, 'd')['restarts'] == 0


# The launcher's death, at each stage.

@both_ways
def test_a_launcher_killed_before_the_first_process_ends_misses_nothing(machine):
    os.mkfifo(machine.folder / 'go')
    daemon(machine, 'd', f'print("first", os.getpid(), flush=True); '
           f'meet({str(machine.folder / "go")!r}); fork(); stay()')
    booting(machine)
    [first] = said(machine, 'd', 'first')
    machine.kill_launcher()
    assert look(machine, 'd')['state'] == 'starting' and look(machine, 'd')['pid'] == first
    (machine.folder / 'go').write_text('')
    assert wait(machine, 'd', 'running')['pid'] == said(machine, 'd')[0]
    assert len(said(machine, 'd', 'first')) == 1


@both_ways
def test_a_first_process_that_ends_without_a_launcher_is_known_to_have(machine):
    os.mkfifo(machine.folder / 'go')
    daemon(machine, 'd', f'print("first", os.getpid(), flush=True); '
           f'meet({str(machine.folder / "go")!r}); fork(); stay()')
    daemon(machine, 'bad', f'print("first", os.getpid(), flush=True); '
           f'meet({str(machine.folder / "go2")!r}); os._exit(9)', restart='never')
    os.mkfifo(machine.folder / 'go2')
    booting(machine)
    firsts = {name: outer_pid(machine, said(machine, name, 'first')[0]) for name in ('d', 'bad')}
    with held_back(machine):
        (machine.folder / 'go').write_text('')
        (machine.folder / 'go2').write_text('')
        for pid in firsts.values():
            until(lambda p=pid: not (stat := stat_of(p)) or stat[1] == 'Z', 'it has ended')
    assert wait(machine, 'd', 'running')['pid'] == said(machine, 'd')[0]
    assert wait(machine, 'bad', 'failed')['exit'] == {'code': 9}
    assert len(said(machine, 'd', 'first')) == 1


def test_a_launcher_killed_while_it_starts_one_knows_its_daemon_when_the_first_process_is_gone():
    with Machine(before=WITHOUT_CGROUP) as machine:
        # Quick: it is gone when the next launcher looks.
        define(machine, 'd', type='forking', enabled=False,
               exec=shell('echo "first $$"; sleep 1000 & echo "daemon $!"'))
        booted(machine)
        launcher = machine.wait_pid_of('service-launcher')
        with subprocess.Popen([BUILD / 'slc', '--runtime', machine.runtime, 'start', 'd'],
                              stdout=subprocess.DEVNULL) as client:
            stepper = Stepper(types.SimpleNamespace(pid=launcher))
            assert stepper.until(CLONE3) is not None, 'nothing was started'
            hold(machine.pid)
            stepper.step(1)  # its exit: the program was executed, and the launcher knows nothing yet
            stepper.kill()
            [follower] = until(lambda: [p for p, name in everybody(machine).items()
                                        if name == 'follow-forks'], 'there is a follower')
            until(lambda: [stat[0] for stat in children_of(follower).values()] == ['sleep'],
                  'the first process is gone')
            os.kill(machine.pid, signal.SIGCONT)
            assert client.wait() == 0
        assert wait(machine, 'd', 'running')['pid'] == said(machine, 'd')[0]
        assert len(said(machine, 'd', 'first')) == 1


@both_ways
def test_a_launcher_killed_while_it_waits_for_a_pid_file_goes_on_waiting(machine):
    os.mkfifo(machine.folder / 'go')
    path = pid_file_daemon(machine, f'''fork()
print('forked', os.getpid(), flush=True)
meet({str(machine.folder / 'go')!r})
pid_file(path)
stay()''')
    path.write_text('1\n', encoding='utf-8')  # and it does not take this for new
    booting(machine)
    said(machine, 'd', 'forked')
    is_not_believed(machine, 'it is older than this start')
    machine.kill_launcher()
    assert look(machine, 'd')['state'] == 'starting'
    (machine.folder / 'go').write_text('')
    assert wait(machine, 'd', 'running')['pid'] == int(path.read_text())


@both_ways
def test_a_launcher_killed_while_it_runs_knows_its_daemon_again(machine):
    daemon(machine, 'd', 'fork(); stay()', restart='never')
    booted(machine)
    pid = wait(machine, 'd', 'running')['pid']
    for _ in range(3):
        machine.kill_launcher()
    status = look(machine, 'd')
    assert status['pid'] == pid and status['state'] == 'running', status
    assert status['processes'] == [pid], status
    kill_inner(machine, pid)
    assert wait(machine, 'd', 'failed')['exit'] == {'signal': 'SIGKILL'}
    nobody_is_left(machine)


@both_ways
def test_a_daemon_that_dies_without_a_launcher_has_its_status_told(machine):
    os.mkfifo(machine.folder / 'go')
    daemon(machine, 'd', f'fork(); print("daemon", os.getpid(), flush=True); '
           f'meet({str(machine.folder / "go")!r}); os._exit(5)', restart='never')
    booted(machine)
    pid = outer_pid(machine, wait(machine, 'd', 'running')['pid'])
    with held_back(machine):
        (machine.folder / 'go').write_text('')
        until(lambda: not (stat := stat_of(pid)) or stat[1] == 'Z', 'it has ended')
    assert wait(machine, 'd', 'failed')['exit'] == {'code': 5}
    nobody_is_left(machine)


@both_ways
def test_kills_while_thirty_start_start_each_once_and_forget_none(machine):
    for number in range(30):
        daemon(machine, f's{number}', 'print("first", os.getpid(), flush=True); '
               'fork(); os.setsid(); fork(); stay()', stop={'timeout': '500ms'})
    machine.boot()
    dice = random.Random(os.getpid())
    for _ in range(8):
        pid = until(lambda: machine.pid_of('service-launcher'), 'a launcher runs')
        # Somewhere in the middle of what it does.
        with contextlib.suppress(AssertionError):
            until(lambda: False, 'some time has passed', deadline=dice.random() * 0.4)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    machine.wait_answer()
    for number in range(30):
        name = f's{number}'
        status = wait(machine, name, 'running')
        assert status['restarts'] == 0, status
        [pid] = said(machine, name)
        assert len(said(machine, name, 'first')) == 1, printed(machine, name)
        until(lambda n=name, p=pid: look(machine, n)['pid'] == p, 'its daemon is the main one')
        assert look(machine, name)['processes'] == [pid]
    machine.slc('stop', *(f's{number}' for number in range(30)))
    nobody_is_left(machine)
    machine.quiet()  # so no zombie is left either


# Stopping, at each stage.

@both_ways
def test_stop_in_each_stage_leaves_nothing_behind(machine):
    os.mkfifo(machine.folder / 'never')
    meet = f'meet({str(machine.folder / "never")!r})'
    daemon(machine, 'first', f'print("daemon", os.getpid(), flush=True); {meet}')
    daemon(machine, 'waiting', 'fork(); os.setsid(); stay()',
           forks={'pid-file': str(machine.folder / 'no.pid')})
    daemon(machine, 'running', 'fork(); os.setsid(); stay()')
    booting(machine)
    for name in ('first', 'waiting', 'running'):
        said(machine, name)
    wait(machine, 'running', 'running')
    until(lambda: look(machine, 'waiting')['pid'] is None, 'its first process has ended')
    for name in ('first', 'waiting', 'running'):
        machine.slc('stop', name)
        assert look(machine, name)['state'] == 'stopped', look(machine, name)
    nobody_is_left(machine)


@both_ways
def test_a_waiting_one_gets_the_stop_signal_and_only_then_is_killed(machine):
    daemon(machine, 'd', '''fork()
def end(*_):
    print('term', os.getpid(), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
stay()''', forks={'pid-file': str(machine.folder / 'no.pid')})
    daemon(machine, 'deaf', '''fork()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stay()''', forks={'pid-file': str(machine.folder / 'no.pid')}, stop={'timeout': '300ms'})
    booting(machine)
    for name in ('d', 'deaf'):
        said(machine, name)
        until(lambda n=name: look(machine, n)['pid'] is None, 'its first process has ended')
        machine.slc('stop', name)
    said(machine, 'd', 'term')
    assert look(machine, 'deaf')['reason'] == 'did not stop within 300 ms and was killed'
    nobody_is_left(machine)


@both_ways
def test_a_launcher_killed_while_a_waiting_one_stops_goes_on_with_it(machine):
    daemon(machine, 'd', '''fork()
signal.signal(signal.SIGTERM, lambda *_: print('term', os.getpid(), flush=True))
while True:
    stay()''', forks={'pid-file': str(machine.folder / 'no.pid')}, stop={'timeout': '2s'})
    booting(machine)
    said(machine, 'd')
    until(lambda: look(machine, 'd')['pid'] is None, 'its first process has ended')
    machine.slc('stop', 'd', '--no-wait')
    said(machine, 'd', 'term')
    machine.kill_launcher()
    wait(machine, 'd', 'stopped')
    nobody_is_left(machine)


@both_ways
def test_a_fork_bomb_that_leaves_its_sessions_is_stopped(machine):
    """Bounded: a user of its own, at most 60 processes."""
    uid = 61000 + os.getpid() % 100000
    daemon(machine, 'd', '''fork()
print('daemon', os.getpid(), flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        time.sleep(0.001)
''', user=uid, group=uid, limits={'nproc': 60}, stop={'timeout': '300ms'},
           restart='never')
    booted(machine)
    said(machine, 'd')
    until(lambda: len(everybody(machine)) > 30, 'it has grown')
    machine.slc('stop', 'd')
    assert look(machine, 'd')['state'] == 'stopped'
    nobody_is_left(machine)


# What is only so with follow-forks.

def test_where_proc_counts_others_nobody_is_taken_for_a_descendant():
    with Machine(before=WITHOUT_CGROUP, mount_proc=False) as machine:
        daemon(machine, 'd', 'fork(); stay()', restart='never')
        define(machine, 'plain', exec='sleep 100000')
        booted(machine)
        machine.wait_console('Services that fork can be followed by their process group only')
        wait(machine, 'd', 'failed')
        assert wait(machine, 'plain', 'running')


def test_a_follower_that_is_killed_loses_nobody_that_can_be_known():
    with Machine(before=WITHOUT_CGROUP) as machine:
        daemon(machine, 'd', '''fork()
if os.fork() == 0:
    os.setsid()
    stay('worker')
stay()''', restart='never')
        booted(machine)
        [pid] = said(machine, 'd')
        [worker] = said(machine, 'd', 'worker')
        wait(machine, 'd', 'running')
        [follower] = [p for p, name in everybody(machine).items() if name == 'follow-forks']
        os.kill(follower, signal.SIGKILL)
        machine.wait_console('The follower of a service was killed')
        until(lambda: sorted(look(machine, 'd')['processes']) == sorted([pid, worker]), 'both')
        assert look(machine, 'd')['state'] == 'running' and look(machine, 'd')['pid'] == pid
        machine.kill_launcher()
        assert sorted(look(machine, 'd')['processes']) == sorted([pid, worker])
        kill_inner(machine, pid, signal.SIGUSR1)
        assert wait(machine, 'd', 'failed')['exit'] == {'signal': 'SIGUSR1'}
        nobody_is_left(machine)
        machine.quiet()  # so no zombie is left either


def test_a_follower_and_its_launcher_killed_together_lose_nobody_either():
    with Machine(before=WITHOUT_CGROUP) as machine:
        daemon(machine, 'd', 'fork(); os.setsid(); stay()')
        booted(machine)
        [pid] = said(machine, 'd')
        until(lambda: look(machine, 'd')['pid'] == pid, 'it runs')
        [follower] = [p for p, name in everybody(machine).items() if name == 'follow-forks']
        with held_back(machine):
            os.kill(follower, signal.SIGKILL)
        assert look(machine, 'd')['pid'] == pid and look(machine, 'd')['state'] == 'running'
        machine.slc('stop', 'd')
        nobody_is_left(machine)


def test_the_program_has_its_own_user_and_the_follower_is_out_of_its_reach():
    with Machine(before=WITHOUT_CGROUP) as machine:
        daemon(machine, 'd', '''first = os.getpid()
fork()
print('daemon', os.getpid(), flush=True)
assert os.getuid() == 61112
while os.getppid() == first:  # it is to end by itself, or the start has failed
    pass
os.kill(-1, 9)  # everybody that it may
stay('killer')
''', user=61112, group=61112, restart='never')
        booted(machine)
        said(machine, 'd', 'killer')
        kill_inner(machine, wait(machine, 'd', 'running')['pid'], signal.SIGUSR2)
        assert wait(machine, 'd', 'failed')['exit'] == {'signal': 'SIGUSR2'}
        assert 'was killed' not in machine.console(), machine.console()


def test_a_program_that_cannot_be_executed_is_told_as_ever():
    with Machine(before=WITHOUT_CGROUP) as machine:
        define(machine, 'd', type='forking', exec='/does/not/exist')
        define(machine, 'user', type='forking', exec='true', dir='/does/not/exist')
        booted(machine)
        assert wait(machine, 'd', 'failed')['reason'].startswith(
            'cannot execute its program: No such file or directory (/does/not/exist)')
        assert 'cannot enter its dir' in wait(machine, 'user', 'failed')['reason']
        nobody_is_left(machine)


@both_ways
def test_a_reload_names_the_pid_file_that_a_start_waits_for(machine):
    """First it only says something else, and what is waited for stays; then it is another file."""
    paths = [machine.folder / name for name in ('wrong', 'right')]
    text = f'fork(); meet({str(machine.folder / "go")!r}); pid_file({str(paths[1])!r}); stay()'
    os.mkfifo(machine.folder / 'go')
    daemon(machine, 'd', text, forks={'pid-file': str(paths[0])})
    booting(machine)
    wait(machine, 'd', 'starting')
    until(lambda: look(machine, 'd')['pid'] is None, 'its first process has ended')
    launcher = machine.wait_pid_of('service-launcher')
    daemon(machine, 'd', text, description='other', forks={'pid-file': str(paths[0])})
    machine.slc('reload')
    paths[0].write_text('1\n')
    until(lambda: any('wrong is not believed' in line for line in events(machine, 'd')), 'said')
    daemon(machine, 'd', text, forks={'pid-file': str(paths[1])})
    machine.slc('reload')
    (machine.folder / 'go').write_text('go')
    [pid] = said(machine, 'd')
    assert wait(machine, 'd', 'running')['pid'] == pid
    assert machine.wait_pid_of('service-launcher') == launcher
