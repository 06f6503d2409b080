"""When a service counts as started: each kind of `ready`, with time-outs and kills in the middle."""
import os
import re
import socket

from harness import Machine, open_fds, until
from services import (PYTHON, booted, booting, define, events, held_back, look, printed, shell,
                      sleeps, wait, words)

LONG = 100000
AFTER = f'exec sleep {LONG}'


def gated(machine, before, after=AFTER):
    """A program that does something, waits for the file `go`, does what makes it ready, stays."""
    gate = machine.folder / 'go'
    return shell(f'{before}\nwhile ! test -e {gate}; do sleep 0.02; done\n{after}')


def waits(machine, name='d'):
    """Until it is not ready, and says so; what needs it waits."""
    found = until(lambda: (now := look(machine, name))['reason'] and
                  now['reason'].startswith('waits until') and now, f'{name} waits')
    assert found['state'] == 'starting', found
    return found['reason']


def check(machine, ready, exec_, reason, **keys):
    """It is ready when the gate opens, and not before; so it is under the next launcher."""
    define(machine, 'd', exec=exec_, ready=ready, **keys)
    define(machine, 'after', exec=f'sleep {LONG}', needs=['d'])
    booting(machine)
    wait(machine, 'd', 'starting')
    assert waits(machine) == reason
    pid = look(machine, 'd')['pid']
    assert look(machine, 'after')['state'] == 'waiting'
    machine.kill_launcher()
    assert waits(machine) == reason
    assert look(machine, 'after')['state'] == 'waiting'
    (machine.folder / 'go').touch()
    wait(machine, 'd', 'running')
    wait(machine, 'after', 'running')
    assert look(machine, 'd')['pid'] == pid
    assert look(machine, 'd')['reason'] is None


def becomes_ready_unseen(machine, ready, act, done):
    """What makes it ready happens while the launcher is down, and counts; `done`: it has."""
    define(machine, 'd', exec=gated(machine, 'echo begun', f'{act}; {AFTER}'), ready=ready)
    booting(machine)
    waits(machine)
    with held_back(machine):
        (machine.folder / 'go').touch()
        until(done, 'it has made itself ready')
    wait(machine, 'd', 'running')


def fails(machine, ready, exec_, why, **keys):
    """It fails at its time-out, with this reason."""
    define(machine, 'd', exec=exec_, ready=ready, start_timeout='3s', restart='never', **keys)
    define(machine, 'after', exec=f'sleep {LONG}', needs=['d'])
    booting(machine)
    found = wait(machine, 'd', 'failed')
    assert found['reason'] == f'was not ready after 3 s: {why}', found
    assert wait(machine, 'after', 'failed')['reason'] == 'needs d, which failed'


# ---- file

def test_a_file_that_is_made_is_ready_also_in_folders_that_are_not_there_yet():
    with Machine() as machine:
        path = machine.folder / 'a' / 'b' / 'file'
        check(machine, {'file': str(path)},
              gated(machine, ':', f'mkdir -p {path.parent}; echo >{path}; {AFTER}'),
              f'waits until {path} is made or changed')


def test_a_file_from_before_the_start_counts_once_it_is_changed():
    with Machine() as machine:
        path = machine.folder / 'file'
        path.write_text('old')
        check(machine, {'file': str(path)}, gated(machine, ':', f'echo new >{path}; {AFTER}'),
              f'waits until {path} is made or changed')


def test_an_old_file_is_a_time_out():
    with Machine() as machine:
        path = machine.folder / 'file'
        path.write_text('old')
        fails(machine, {'file': str(path)}, shell(AFTER), f'{path} was not made or changed')


def test_a_file_made_while_the_launcher_was_down_is_seen():
    with Machine() as machine:
        path = machine.folder / 'file'
        becomes_ready_unseen(machine, {'file': str(path)}, f'echo >{path}', path.exists)


# ---- pid-file

def test_a_pid_file_is_believed_when_it_names_a_process_of_the_service():
    with Machine() as machine:
        path = machine.folder / 'pid'
        check(machine, {'pid-file': str(path)}, gated(machine, ':', f'echo $$ >{path}; {AFTER}'),
              f'waits until its pid is in {path}')


def test_a_pid_file_that_is_wrong_is_a_warning_with_the_reason_and_waited_on():
    with Machine() as machine:
        path = machine.folder / 'pid'
        path.write_text('1234567\n')
        define(machine, 'd', ready={'pid-file': str(path)}, exec=gated(
            machine, f'echo 1 >{path}.new; mv {path}.new {path}', f'echo $$ >{path}; {AFTER}'))
        booting(machine)
        wait(machine, 'd', 'starting')
        until(lambda: f'{path}: there is no process number in it' in events(machine, 'd'), 'said')
        other = machine.folder / 'other'
        other.write_text(str(2 ** 22 - 1))
        other.rename(path)
        until(lambda: f'{path}: the process it names has ended' in events(machine, 'd'), 'said')
        # Our launcher is no process of the service; it is the second process of its namespace.
        own = look(machine, 'd')['pid']
        for pid in set(range(2, own)) - {own}:
            other.write_text(str(pid))
            other.rename(path)
        until(lambda: f'{path}: the process it names is not one of this service' in
              events(machine, 'd'), 'said')
        assert look(machine, 'd')['state'] == 'starting'
        (machine.folder / 'go').touch()
        wait(machine, 'd', 'running')


def test_a_stale_pid_file_is_a_time_out():
    with Machine() as machine:
        path = machine.folder / 'pid'
        path.write_text('2\n')
        fails(machine, {'pid-file': str(path)}, shell(AFTER), f'its pid was not in {path}')
        assert f'{path}: it is older than this start' in events(machine, 'd')


# ---- tcp, unix

SERVER = '''
import os, socket, sys, time
while not os.path.exists(sys.argv[1]): time.sleep(0.02)
kind, where = sys.argv[2], sys.argv[3]
if kind == 'unix':
    s = socket.socket(socket.AF_UNIX)
    s.bind(where)
else:
    s = socket.socket(socket.AF_INET6 if kind == 'tcp6' else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((where, int(sys.argv[4])))
time.sleep(0.3)
s.listen(1)
time.sleep(100000)
'''


def server(machine, *arguments):
    return words(PYTHON, '-ISc', SERVER, str(machine.folder / 'go'), *arguments)


def free_port(family=socket.AF_INET, host='127.0.0.1'):
    with socket.socket(family) as found:
        found.bind((host, 0))
        return found.getsockname()[1]


def test_a_port_that_somebody_accepts_at_is_ready():
    with Machine() as machine:
        port = free_port()
        check(machine, {'tcp': f'127.0.0.1:{port}'}, server(machine, 'tcp', '127.0.0.1', str(port)),
              f'waits until somebody accepts at 127.0.0.1:{port}')


def test_localhost_is_either_family():
    with Machine() as machine:
        port = free_port(socket.AF_INET6, '::1')
        check(machine, {'tcp': f'localhost:{port}'}, server(machine, 'tcp6', '::1', str(port)),
              f'waits until somebody accepts at localhost:{port}')


def test_a_port_that_nobody_accepts_at_is_a_time_out():
    with Machine() as machine:
        port = free_port()
        fails(machine, {'tcp': f'127.0.0.1:{port}'}, shell(AFTER),
              f'nobody accepts at 127.0.0.1:{port}')


def test_a_unix_socket_that_somebody_accepts_at_is_ready_one_that_is_only_bound_is_not():
    with Machine() as machine:
        path = machine.folder / 'socket'
        check(machine, {'unix': str(path)}, server(machine, 'unix', str(path)),
              f'waits until somebody accepts at {path}')


def test_a_leftover_socket_is_a_time_out():
    with Machine() as machine:
        path = machine.folder / 'socket'
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        fails(machine, {'unix': str(path)}, shell(AFTER), f'nobody accepts at {path}')


# ---- fd

def test_a_newline_on_the_descriptor_is_ready():
    for number in (3, 6, 9):
        with Machine() as machine:
            check(machine, {'fd': number},
                  gated(machine, f'printf x >&{number}', f'echo >&{number}; {AFTER}'),
                  f'waits until it writes a newline to descriptor {number}')


def test_the_program_finds_no_other_descriptor_than_the_one_it_asked_for():
    for number in (3, 5, 7, 8, 500):
        with Machine() as machine:
            define(machine, 'd', ready={'fd': number}, exec=words(PYTHON, '-ISc', (
                'import os, time\n'
                'fds = os.listdir("/proc/self/fd")\n'
                'print([int(f) for f in fds if os.path.exists("/proc/self/fd/" + f)], flush=True)\n'
                f'os.write({number}, b"\\n")\n'
                'time.sleep(100000)')))
            booted(machine)
            wait(machine, 'd', 'running')
            until(lambda: printed(machine, 'd') == f'[0, 1, 2, {number}]\n', 'it prints')


def test_a_newline_written_while_the_launcher_was_down_is_read():
    with Machine() as machine:
        done = machine.folder / 'done'
        becomes_ready_unseen(machine, {'fd': 4}, f'echo >&4; exec 4>&-; touch {done}', done.exists)


def test_a_descriptor_closed_without_a_newline_is_said_and_is_a_time_out():
    with Machine() as machine:
        fails(machine, {'fd': 3}, shell(f'exec 3>&-; {AFTER}'),
              'it wrote no newline to descriptor 3')
        assert ('its descriptor for readiness: it was closed before a newline was written to it'
                in events(machine, 'd'))


# ---- exec

def test_a_command_is_tried_until_it_ends_with_0():
    with Machine() as machine:
        log = machine.folder / 'tries'
        check(machine, {'exec': shell(f'echo $$ >>{log}; echo try; '
                                      f'test -e {machine.folder}/go')},
              shell(AFTER), "waits until '/bin/sh' ends with 0")
        assert 'try' in printed(machine, 'd')


def test_only_one_command_runs_at_a_time_and_it_is_ended_with_the_start():
    with Machine() as machine:
        log = machine.folder / 'tries'
        fails(machine, {'exec': shell(f'echo $$ >>{log}; exec sleep {LONG}')}, shell(AFTER),
              "'/bin/sh' did not end with 0")
        assert log.read_text().count('\n') == 1
        until(lambda: not sleeps(machine, str(LONG)), 'the command is gone')


def test_a_command_that_cannot_be_run_is_said_once():
    with Machine() as machine:
        fails(machine, {'exec': '/no/such/program'}, shell(AFTER),
              "'/no/such/program' did not end with 0")
        said = [line for line in events(machine, 'd') if 'cannot be run' in line]
        assert len(said) == 1, said


# ---- all

def test_a_service_that_ends_before_it_is_ready_says_how():
    with Machine() as machine:
        define(machine, 'd', exec=shell('exit 5'), ready={'file': f'{machine.folder}/never'},
               restart='never')
        define(machine, 'again', exec=shell('exit 6'), ready='notify',
               restart={'delay': '1ms', 'limit': 2})
        define(machine, 'after', exec=f'sleep {LONG}', needs=['d'])
        booting(machine)
        assert wait(machine, 'd', 'failed')['reason'] == 'exited with 5'
        assert wait(machine, 'again', 'failed')['restarts'] == 2
        assert look(machine, 'after')['state'] == 'failed'


def test_a_stop_while_it_is_waited_for_stops_it():
    with Machine() as machine:
        define(machine, 'file', exec=shell(AFTER), ready={'file': f'{machine.folder}/never'})
        define(machine, 'exec', exec=shell(AFTER), ready={'exec': f'sleep {LONG}'})
        define(machine, 'tcp', exec=shell(AFTER), ready={'tcp': f'127.0.0.1:{free_port()}'})
        booting(machine)
        for name in ('file', 'exec', 'tcp'):
            wait(machine, name, 'starting')
            waits(machine, name)
        machine.slc('stop', 'file', 'exec', 'tcp')
        for name in ('file', 'exec', 'tcp'):
            assert look(machine, name)['state'] == 'stopped'
            assert look(machine, name)['pid'] is None


def test_nothing_is_left_watched_or_open_when_all_is_over():
    with Machine() as machine:
        for number in range(20):
            define(machine, f'file{number}', exec=shell(f'echo >{machine.folder}/f{number}; {AFTER}'),
                   ready={'file': f'{machine.folder}/f{number}'}, enabled=False)
            define(machine, f'fd{number}', exec=shell(f'echo >&3; {AFTER}'), ready={'fd': 3},
                   enabled=False)
            define(machine, f'notify{number}', exec=shell(AFTER), ready='notify', enabled=False)
        booted(machine)
        names = [f'{kind}{number}' for kind in ('file', 'fd', 'notify') for number in range(20)]
        def counts():
            """Of the launcher and of init."""
            pids = (machine.wait_pid_of('service-launcher'), machine.pid)
            return [len(open_fds(pid)) for pid in pids]
        def cycle():
            machine.slc('start', '--no-wait', *names)
            for number in range(20):
                wait(machine, f'file{number}', 'running')
                wait(machine, f'fd{number}', 'running')
                wait(machine, f'notify{number}', 'starting')
            machine.slc('stop', *names)
        cycle()
        machine.quiet()
        launcher, before = machine.wait_pid_of('service-launcher'), counts()
        def watched():  # by device and inode; the control socket's place is, all the time
            return sorted(re.search(r'ino:\S+ sdev:\S+', line)[0]
                          for fd in os.listdir(f'/proc/{launcher}/fdinfo')
                          for line in open(f'/proc/{launcher}/fdinfo/{fd}', encoding='ascii')
                          if line.startswith('inotify'))
        watched_before = watched()
        cycle()
        machine.quiet()
        assert counts() == before, (counts(), before)
        assert watched() == watched_before and len(watched_before) <= 2, watched()
        assert not list((machine.runtime / 'notify').iterdir())


# ---- a reload in the middle

def reload(machine):
    """The launcher that read the files is the one that goes on."""
    launcher = machine.wait_pid_of('service-launcher')
    machine.slc('reload')
    return launcher


def is_still_there(machine, launcher):
    assert machine.wait_pid_of('service-launcher') == launcher


def reloaded(machine, ready, **keys):
    """Says so to the launcher; the program that is waited for is still the same one."""
    pid = look(machine, 'd')['pid']
    define(machine, 'd', ready=ready, **keys)
    launcher = reload(machine)
    assert look(machine, 'd')['pid'] == pid
    return launcher


def test_a_reload_that_changes_something_else_leaves_what_is_waited_for():
    kinds = [('file', 'echo >{path}', str), ('pid-file', 'echo $$ >{path}', str),
             ('fd', 'echo >&3', lambda path: 3),
             ('exec', 'echo >{path}', lambda path: f'test -e {path}')]
    with Machine() as machine:
        paths = {kind: machine.folder / f'path-{kind}' for kind, _, _ in kinds}

        def define_all(description):
            for kind, command, value in kinds:
                path = paths[kind]
                define(machine, kind, description=description, ready={kind: value(path)},
                       exec=gated(machine, ':', f'{command.format(path=path)}; {AFTER}'))
        define_all('one')
        booting(machine)
        pids = {kind: (waits(machine, kind), look(machine, kind)['pid'])[1] for kind in paths}
        define_all('other')
        launcher = reload(machine)
        for kind in paths:
            waits(machine, kind)
            assert look(machine, kind)['description'] == 'other'
        (machine.folder / 'go').touch()
        for kind, pid in pids.items():
            assert wait(machine, kind, 'running')['pid'] == pid
        is_still_there(machine, launcher)


def test_a_reload_that_changes_what_is_waited_for_is_waited_for():
    """From each kind to the next, with the same program, which does the last one's thing."""
    with Machine() as machine:
        path, port = machine.folder / 'file', free_port()
        nobody = machine.folder / 'nobody'
        kinds = [{'tcp': f'127.0.0.1:{port}'}, 'notify', {'unix': str(nobody)},
                 {'pid-file': str(nobody)}, {'exec': f'test -e {nobody}'},
                 {'exec': 'false'}, {'fd': 3}, {'file': str(nobody)},
                 {'file': str(path)}]
        keys = {'exec': gated(machine, ':', f'echo >{path}; {AFTER}')}
        define(machine, 'd', ready=kinds[0], **keys)
        booting(machine)
        last = waits(machine)
        for ready in kinds[1:]:
            launcher = reloaded(machine, ready, **keys)
            assert waits(machine) != last
            last = waits(machine)
            is_still_there(machine, launcher)
        machine.kill_launcher()
        assert waits(machine) == last == f'waits until {path} is made or changed'
        (machine.folder / 'go').touch()
        wait(machine, 'd', 'running')


def test_a_service_that_waits_for_nothing_more_after_a_reload_runs():
    with Machine() as machine:
        define(machine, 'd', exec=shell(AFTER), ready={'exec': 'false'})
        booting(machine)
        waits(machine)
        reloaded(machine, 'exec', exec=shell(AFTER))
        wait(machine, 'd', 'running')
