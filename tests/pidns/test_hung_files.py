"""File systems that hang: whatever of a service lies on one keeps that service waiting, and nobody
else, least of all the launcher."""

import contextlib
import signal
import socket

from hang import HungFolder
from harness import Machine, until
from services import (PYTHON, booted, define, events, has_printed, kill, look, printed, shell,
                      shell_list, wait, words)

# Nobody looks into it: that it is there is what makes the launcher execute programs apart.
HUNG = 'hung'


def hung(machine):
    folder = machine.folder / HUNG
    folder.mkdir()
    return folder


def answers(machine):
    """Within a second or so, that is, without waiting for anything that hangs."""
    result = machine.slc('start', 'good', timeout=8)
    assert result.returncode == 0
    machine.slc('stop', 'good', timeout=8)
    assert machine.json('list')


def hangs_and_times_out(name, **keys):
    """A service of which something hangs: it is starting until its time is over, and then fails;
    others start and stop meanwhile."""
    with Machine() as machine:
        folder = hung(machine)
        define(machine, 'good', exec='sleep 100000', enabled=False)
        define(machine, 'bad', **{'exec': 'sleep 100000', 'enabled': False, 'restart': 'never',
                                  'start_timeout': '4s', 'stop': {'timeout': '1s'},
                                  **{key: value.replace('HUNG', str(folder)) for key, value in
                                     keys.items()}})
        booted(machine)
        with HungFolder(machine, folder) as mount:
            machine.slc('start', '--no-wait', 'bad', timeout=8)
            mount.wait_asked()
            assert look(machine, 'bad')['state'] == 'starting'
            answers(machine)
            assert look(machine, 'bad')['state'] == 'starting', look(machine, 'bad')
            failed = wait(machine, 'bad', 'failed')
            assert 'was not ready after' in failed['reason'], failed
            answers(machine)
        machine.quiet()


def test_an_exec_that_hangs_is_a_time_out():
    hangs_and_times_out('exec', exec='HUNG/program')


def test_a_dir_that_hangs_is_a_time_out():
    hangs_and_times_out('dir', dir='HUNG/below')


def test_a_root_that_hangs_is_a_time_out():
    hangs_and_times_out('root', root='HUNG/below')


def test_an_env_file_that_hangs_is_a_time_out():
    hangs_and_times_out('env_file', env_file='HUNG/env')


def test_a_stdin_that_hangs_is_a_time_out():
    hangs_and_times_out('stdin', stdin='HUNG/input')


def test_a_stop_ends_what_hangs():
    with Machine() as machine:
        folder = hung(machine)
        define(machine, 'bad', exec=f'{folder}/program', enabled=False, restart='never')
        booted(machine)
        with HungFolder(machine, folder) as mount:
            machine.slc('start', '--no-wait', 'bad')
            mount.wait_asked()
            machine.slc('stop', 'bad', timeout=20)
            assert look(machine, 'bad')['state'] == 'stopped'
        machine.quiet()


def test_a_launcher_that_is_killed_meanwhile_leaves_the_wait_to_the_next():
    with Machine() as machine:
        folder = hung(machine)
        define(machine, 'good', exec='sleep 100000', enabled=False)
        define(machine, 'bad', exec=f'{folder}/program', enabled=False, restart='never',
               type='task')
        booted(machine)
        with HungFolder(machine, folder) as mount:
            machine.slc('start', '--no-wait', 'bad')
            mount.wait_asked()
            pid = look(machine, 'bad')['pid']
            machine.kill_launcher()
            assert look(machine, 'bad')['state'] == 'starting' and look(machine, 'bad')['pid'] == pid
            answers(machine)
            mount.release()
            assert wait(machine, 'bad', 'failed')['exit'] == {'code': 127}
        machine.quiet()


def test_programs_are_executed_as_ever_while_something_that_hangs_is_mounted():
    with Machine() as machine:
        folder = hung(machine)
        env, text = machine.folder / 'env', machine.folder / 'input'
        env.write_text('WORD=from-the-file\n', encoding='ascii')
        text.write_text('a line\n', encoding='ascii')
        (machine.folder / 'bad-env').write_text('no equals sign\n', encoding='ascii')
        for name, keys in {
                'plain': {'exec': shell('echo $WORD $SERVICE_NAME; exec cat'), 'type': 'task',
                          'env_file': str(env), 'stdin': str(text)},
                'hooked': {'exec': 'sleep 100000', 'before_start': shell_list('echo before'),
                           'after_start': shell_list('echo after'),
                           'reload': shell('echo reloads')},
                'notifies': {'exec': shell(r'printf "\n" >&9; exec sleep 100000'), 'ready': {'fd': 9}},
                'missing': {'exec': '/no/such/program', 'restart': 'never'},
                'no_dir': {'exec': 'sleep 1', 'dir': '/no/such/folder', 'restart': 'never'},
                'bad_env': {'exec': 'sleep 1', 'env_file': str(machine.folder / 'bad-env'),
                            'restart': 'never'},
                'bad_hook': {'exec': 'sleep 1', 'before_start': [['/no/such/hook']],
                             'restart': 'never'}}.items():
            define(machine, name.replace('_', '-'), enabled=False, **keys)
        booted(machine)
        names = ('plain', 'hooked', 'notifies', 'missing', 'no-dir', 'bad-env', 'bad-hook')
        def run():
            """What each comes to, and what it prints."""
            machine.slc('start', *names, check=False)
            machine.slc('reload', 'hooked')
            machine.quiet()
            found = {name: (look(machine, name)['state'], look(machine, name)['reason'])
                     for name in names}
            lines = {name: printed(machine, name) for name in ('plain', 'hooked')}
            machine.slc('stop', *names)
            machine.slc('reset', *names)
            return found, lines
        without, lines = run()
        assert lines['plain'] == 'from-the-file plain\na line\n', lines
        assert lines['hooked'] == 'before\nafter\nreloads\n', lines
        assert without['missing'][0] == 'failed' and without['hooked'][0] == 'running', without
        with HungFolder(machine, folder):
            apart, twice = run()
        assert apart == without, (apart, without)
        assert twice == {name: text * 2 for name, text in lines.items()}, twice
        assert len([line for line in events(machine, 'hooked') if line == 'reloaded']) == 2


def test_a_program_apart_finds_no_descriptor_of_ours():
    with Machine() as machine:
        folder = hung(machine)
        define(machine, 'look', exec=shell('ls -l /proc/self/fd | grep -c pipe; ls /proc/self/fd'),
               type='task', enabled=False)
        booted(machine)
        machine.slc('start', 'look')
        before = printed(machine, 'look')
        with HungFolder(machine, folder):
            machine.slc('restart', 'look')
            assert printed(machine, 'look') == before * 2


# ---- what the launcher itself looks at --------------------------------------------------------


@contextlib.contextmanager
def waiting_for(name, state='starting', after=None, touched=None, **keys):
    """A service that is held up by what is below HUNG, as (machine, folder, mount): it is in that
    state, and others start and stop. `after` is called before the folder hangs, the service then
    started; without it the folder hangs before. `touched` is then made there, for whoever is told."""
    with Machine() as machine:
        folder = hung(machine)
        define(machine, 'good', exec='sleep 100000', enabled=False)
        define(machine, 'bad', **put({'exec': 'sleep 100000', 'enabled': False, 'restart': 'never',
                                      'start_timeout': '5s', **keys}, folder))
        booted(machine)
        if after:
            machine.slc('start', '--no-wait', 'bad')
            after(machine)
        with HungFolder(machine, folder) as mount:
            if after:
                (folder / touched).touch()
            else:
                machine.slc('start', '--no-wait', 'bad', timeout=8)
            mount.wait_asked()
            assert look(machine, 'bad')['state'] == state, (name, look(machine, 'bad'))
            answers(machine)
            yield machine, folder, mount
        machine.quiet()


def put(value, folder):
    if isinstance(value, dict):
        return {key: put(one, folder) for key, one in value.items()}
    if isinstance(value, list):
        return [put(one, folder) for one in value]
    return value.replace('HUNG', str(folder)) if isinstance(value, str) else value


def fails_in_time(path, **keys):
    with waiting_for('fails', **keys) as (machine, folder, _):
        failed = wait(machine, 'bad', 'failed')
        assert f'{folder}/{path}' in failed['reason'], failed
        machine.wait_console(rf'A path does not answer: .*path={folder}/{path} ')
        answers(machine)


def has_begun(machine):
    has_printed(machine, 'bad', 'begun')


def begins(text):
    return words(PYTHON, '-IS', '-uc', f'print("begun")\n{text}\nimport time\ntime.sleep(100000)')


CONDITION = {'state': 'waiting', 'when': [{'exists': 'HUNG/there'}, {'executable': 'HUNG/there'}]}


def test_a_condition_that_hangs_is_a_time_out():
    fails_in_time('there', **CONDITION)


def test_a_condition_that_hangs_is_met_when_its_disk_answers():
    with waiting_for('when', **CONDITION) as (machine, folder, mount):
        assert f'{folder}/there' in look(machine, 'bad')['reason'], look(machine, 'bad')
        (folder / 'there').write_text('', encoding='ascii')
        (folder / 'there').chmod(0o755)
        mount.release()
        wait(machine, 'bad', 'running')


def test_a_condition_that_hangs_is_not_met_when_its_disk_says_so():
    with waiting_for('when', **CONDITION) as (machine, folder, mount):
        mount.release()
        skipped = wait(machine, 'bad', 'skipped')
        # Both are asked at once, and the first answer is enough.
        assert skipped['reason'] in (f'not met: exists: {folder}/there',
                                     f'not met: executable: {folder}/there'), skipped


def test_a_stop_ends_a_condition_that_hangs():
    with waiting_for('when', **CONDITION) as (machine, _, _):
        machine.slc('stop', 'bad', timeout=8)
        assert look(machine, 'bad')['state'] == 'stopped'


def test_a_launcher_that_is_killed_meanwhile_asks_again_for_a_condition():
    with waiting_for('when', **CONDITION) as (machine, folder, mount):
        machine.kill_launcher()
        answers(machine)
        assert look(machine, 'bad')['state'] == 'waiting'
        (folder / 'there').touch(0o755)
        mount.release()
        wait(machine, 'bad', 'running')


def test_a_ready_file_that_hangs_is_a_time_out():
    fails_in_time('ready', ready={'file': 'HUNG/ready'})


def test_a_ready_file_that_begins_to_hang_is_a_time_out():
    fails_in_time('ready', ready={'file': 'HUNG/ready'}, exec=begins(''), after=has_begun,
                  touched='ready')


def test_a_ready_file_that_hangs_counts_when_its_disk_answers():
    with waiting_for('file', ready={'file': 'HUNG/ready'}, exec=begins(''), after=has_begun,
                     touched='ready', start_timeout='30s') as (machine, _, mount):
        mount.release()
        wait(machine, 'bad', 'running')


def test_a_ready_pid_file_that_hangs_is_a_time_out():
    fails_in_time('pid', ready={'pid-file': 'HUNG/pid'})


def test_a_ready_pid_file_that_hangs_counts_when_its_disk_answers():
    with waiting_for('pid-file', ready={'pid-file': 'HUNG/pid'}, exec=begins(''), after=has_begun,
                     touched='pid', start_timeout='30s') as (machine, folder, mount):
        (folder / 'pid').write_text(f"{look(machine, 'bad')['pid']}\n", encoding='ascii')
        mount.release()
        wait(machine, 'bad', 'running')


def test_a_ready_socket_that_hangs_is_a_time_out():
    fails_in_time('socket', ready={'unix': 'HUNG/socket'})


def test_a_ready_socket_that_hangs_counts_when_its_disk_answers():
    with waiting_for('unix', ready={'unix': 'HUNG/socket'},
                     start_timeout='30s') as (machine, folder, mount):
        with socket.socket(socket.AF_UNIX) as accepts:
            accepts.bind(str(folder / 'socket'))
            accepts.listen()
            mount.release()
            wait(machine, 'bad', 'running')


# A daemon whose first process waits for a signal before it ends; both numbers are said.
FORKS = begins('''
import os, signal
read, write = os.pipe()
child = os.fork()
if not child:
    if os.fork():
        signal.sigwait([signal.SIGTERM])
    while True:
        signal.pause()
print('child', child)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('waits')
signal.sigwait([signal.SIGUSR1])
os._exit(0)
''')


def child_of(machine):
    has_printed(machine, 'bad', 'waits')
    lines = printed(machine, 'bad').splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('child '))


def first_ends(machine):
    has_printed(machine, 'bad', 'waits')
    kill(machine, 'bad', signal.SIGUSR1)


def forks(**keys):
    return {'type': 'forking', 'forks': {'pid-file': 'HUNG/pid'}, 'exec': FORKS, **keys}


def test_a_pid_file_that_hangs_before_the_start_is_a_time_out():
    fails_in_time('pid', **forks())


def test_a_pid_file_that_begins_to_hang_is_a_time_out():
    with Machine() as machine:
        folder = hung(machine)
        define(machine, 'good', exec='sleep 100000', enabled=False)
        define(machine, 'bad', enabled=False, restart='never', start_timeout='6s',
               **put(forks(), folder))
        booted(machine)
        machine.slc('start', '--no-wait', 'bad')
        child_of(machine)
        with HungFolder(machine, folder) as mount:
            first_ends(machine)
            mount.wait_asked()
            answers(machine)
            failed = wait(machine, 'bad', 'failed')
            assert f'{folder}/pid' in failed['reason'], failed
        machine.quiet()


def running_fork(machine, folder):
    """It runs, its pid file is as it should be; returns the number of its main process."""
    define(machine, 'good', exec='sleep 100000', enabled=False)
    define(machine, 'bad', enabled=False, restart='never', **put(forks(), folder))
    booted(machine)
    machine.slc('start', '--no-wait', 'bad')
    child = child_of(machine)
    (folder / 'pid').write_text(f'{child}\n', encoding='ascii')
    return child


def test_a_pid_file_that_hangs_says_who_is_the_main_one_when_its_disk_answers():
    with Machine() as machine:
        folder = hung(machine)
        child = running_fork(machine, folder)
        with HungFolder(machine, folder) as mount:
            first_ends(machine)
            mount.wait_asked()
            answers(machine)
            assert look(machine, 'bad')['state'] == 'starting'
            mount.release()
            assert wait(machine, 'bad', 'running')['pid'] == child
        machine.quiet()


def test_who_takes_over_is_known_when_the_disk_answers_and_nobody_in_time_is_the_end():
    for goes_on in (True, False):
        with Machine() as machine:
            folder = hung(machine)
            child = running_fork(machine, folder)
            first_ends(machine)
            assert wait(machine, 'bad', 'running')['pid'] == child
            other = next(pid for pid in look(machine, 'bad')['processes'] if pid != child)
            with HungFolder(machine, folder) as mount:
                (folder / 'pid').write_text(f'{other}\n', encoding='ascii')
                kill(machine, 'bad', signal.SIGKILL)
                mount.wait_asked()
                answers(machine)
                if goes_on:
                    assert look(machine, 'bad')['state'] == 'running'
                    mount.release()
                    until(lambda: look(machine, 'bad')['pid'] == other, 'the other one is the main')
                else:
                    assert 'SIGKILL' in wait(machine, 'bad', 'failed')['reason']
            machine.quiet()


def test_a_notify_folder_that_hangs_keeps_nobody():
    with Machine() as machine:
        notifies = {'exec': shell('exec sleep 100000'), 'ready': 'notify', 'enabled': False}
        define(machine, 'good', exec='sleep 100000', enabled=False)
        says = ('import os, socket, time\n'
                's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n'
                'a = os.environ["NOTIFY_SOCKET"]\n'
                's.connect("\\0" + a[1:] if a[0] == "@" else a)\n'
                's.send(b"READY=1")\nprint(a)\ntime.sleep(100000)\n')
        define(machine, 'bad', **{**notifies, 'exec': words(PYTHON, '-IS', '-uc', says)})
        booted(machine)
        machine.slc('start', 'bad')
        with HungFolder(machine, machine.runtime / 'notify'):
            machine.slc('restart', 'bad', timeout=20)
            assert look(machine, 'bad')['state'] == 'running'
            machine.slc('stop', 'bad', timeout=20)
            machine.slc('start', 'bad', timeout=20)
            answers(machine)
            first, *rest = printed(machine, 'bad').splitlines()
            assert first[0] == '/' and rest[-1][0] == '@', (first, rest)
        machine.quiet()


def test_a_runtime_folder_that_hangs_keeps_the_next_launcher_from_nothing():
    with Machine() as machine:
        define(machine, 'good', exec='sleep 100000', enabled=False)
        define(machine, 'bad', exec='sleep 100000', enabled=False, watchdog='1h')
        booted(machine)
        machine.slc('start', 'bad')
        with HungFolder(machine, machine.runtime):
            machine.kill_launcher()
            answers(machine)
            machine.slc('restart', 'bad', timeout=20)
        machine.quiet()
