"""Folders that are full, cannot be written to, or are removed while init runs."""
import os
import shutil
import signal
import socket
import subprocess

from harness import BUILD, Machine, until
from services import PYTHON, booted, define, look, outer_pid, sleeps, wait, words
from storm import Connection

# Says READY=1, and again whenever it gets SIGUSR1, with a status of its own.
SPEAKS = '''
import os, signal, socket
def say(text):
    address = os.environ['NOTIFY_SOCKET']
    address = chr(0) + address[1:] if address[0] == '@' else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text, address)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
say(b'READY=1')
while True:
    signal.sigwait([signal.SIGUSR1])
    say(b'STATUS=again')
'''


def define_speaker(machine, name, **keys):
    define(machine, name, exec=words(PYTHON, '-ISc', SPEAKS), ready='notify', **keys)


def inside(machine, *arguments):
    """slc in the machine's own mount namespace."""
    return subprocess.run(
        ['nsenter', '-m', '-p', '-t', str(machine.pid), str(BUILD / 'slc'), '--runtime',
         str(machine.runtime), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False)


def lists(machine, *names):
    result = inside(machine, 'list', *names)
    return result.returncode == 0 and result.stdout


def switched(machine):
    """What is in enabled and disabled, as a set of paths."""
    etc = f'/proc/{machine.pid}/root{machine.etc}'
    return {os.path.relpath(os.path.join(folder, file), etc) for folder, _, files in os.walk(etc)
            for file in files if file != 'filler'}


def fill(path, step=65536):
    """Until not one byte more fits."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    while step:
        try:
            os.write(descriptor, b'x' * step)
        except OSError:
            step //= 2
    os.close(descriptor)


def test_the_control_socket_is_made_again_when_its_folder_was_removed():
    with Machine() as machine:
        define_speaker(machine, 'speaker')
        booted(machine)
        pid = wait(machine, 'speaker', 'running')['pid']
        for with_launcher in (False, True):
            before = os.stat(machine.runtime / 'control').st_ino
            launcher = machine.wait_pid_of('service-launcher')
            if with_launcher:  # what the next one is given by init leads nowhere
                os.kill(launcher, signal.SIGSTOP)
            shutil.rmtree(machine.runtime)
            if with_launcher:
                os.kill(launcher, signal.SIGKILL)
            until((machine.runtime / 'control').exists, 'it is made again')
            assert os.stat(machine.runtime / 'control').st_ino != before
            found = look(machine, 'speaker')
            assert (found['state'], found['pid']) == ('running', pid), found
            # So is the socket that the service writes to, without a restart of it.
            until((machine.runtime / 'notify' / 'speaker').exists, 'its socket is made again')
            os.kill(outer_pid(machine, pid), signal.SIGUSR1)
            until(lambda: look(machine, 'speaker')['status_text'] == 'again', 'it is heard')
            machine.slc('restart', 'speaker')
            pid = look(machine, 'speaker')['pid']


def test_a_control_socket_that_somebody_else_has_put_there_is_left_alone():
    """Two launchers of one folder do not take it from each other for ever."""
    removed = 'The control socket was removed'
    with Machine() as machine, socket.socket(socket.AF_UNIX) as other:
        define(machine, 'd', exec='sleep 100000', restart='always')
        booted(machine)
        pid = outer_pid(machine, look(machine, 'd')['pid'])
        connection = Connection(machine.runtime / 'control')
        other.bind(str(machine.runtime / 'other'))
        other.listen()
        os.rename(machine.runtime / 'other', machine.runtime / 'control')
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(machine.runtime / 'control'))
            other.accept()[0].close()
        for _ in range(2):  # with the second answer the launcher has seen the change
            connection.call('List')
        connection.close()
        launcher = machine.wait_pid_of('service-launcher')
        os.kill(launcher, signal.SIGKILL)
        machine.wait_pid_of('service-launcher', launcher)
        machine.wait_console('Took up where')
        os.kill(pid, signal.SIGKILL)  # what starts it again has looked for its socket before
        until(lambda: not os.path.exists(f'/proc/{pid}') and sleeps(machine, '100000') == 1,
              'the next launcher works')
        assert removed not in machine.console()
        (machine.runtime / 'control').unlink()
        machine.wait_console(removed)
        until(lambda: machine.slc('list', check=False).returncode == 0, 'it is made again')


def test_a_notify_socket_that_was_removed_is_made_again_at_the_next_start():
    with Machine() as machine:
        define_speaker(machine, 'speaker')
        booted(machine)
        shutil.rmtree(machine.runtime / 'notify')
        machine.slc('restart', 'speaker')
        assert look(machine, 'speaker')['state'] == 'running'


def test_without_room_for_a_file_in_the_runtime_folder_services_speak_all_the_same():
    with Machine() as machine:
        machine.before = f'mount -t tmpfs -o nr_inodes=4,size=64k none {machine.runtime}'
        define_speaker(machine, 'speaker', enabled=False)
        define(machine, 'talker', type='task', script='echo printed')
        machine.boot()
        until(lambda: lists(machine), 'the launcher answers')
        root = f'/proc/{machine.pid}/root{machine.runtime}'
        fill(f'{root}/filler')
        result = inside(machine, 'start', 'speaker', 'talker')
        assert result.returncode == 0, result
        assert 'running' in lists(machine, 'speaker')
        launcher = machine.wait_pid_of('service-launcher')
        os.kill(launcher, signal.SIGKILL)
        machine.wait_pid_of('service-launcher', launcher)
        until(lambda: lists(machine, 'speaker'), 'the next one answers')
        assert inside(machine, 'restart', 'speaker').returncode == 0
        assert inside(machine, 'journal', 'talker', '-o', 'cat').stdout == 'printed\n'


def with_small_etc(options, spoil):
    """Switches d off while it can be done; then nothing can be, and each refusal says why."""
    with Machine() as machine:
        machine.etc.mkdir()
        machine.before = f'mount -t tmpfs -o {options} none {machine.etc}'
        for name in ('d', 'e'):
            define(machine, name, exec='sleep 100000')
        booted(machine)
        assert inside(machine, 'disable', 'd').returncode == 0
        spoil(machine)
        for verb, name in (('disable', 'e'), ('enable', 'd'), ('disable', 'd')):
            before = switched(machine)
            result = inside(machine, verb, name)
            if result.returncode == 0:  # what takes no room may be done
                continue
            assert switched(machine) == before == {'disabled/d'}, (before, switched(machine))
            assert not result.stdout and str(machine.etc) in result.stderr, result
            yield result


def test_in_a_read_only_etc_nothing_is_switched_and_nothing_lost():
    def spoil(machine):
        subprocess.run(['nsenter', '-m', '-t', str(machine.pid), 'mount', '-o', 'remount,ro',
                        str(machine.etc)], check=True)
    refused = list(with_small_etc('size=64k', spoil))
    assert len(refused) >= 2 and all('read-only' in r.stderr for r in refused), refused


def test_without_inodes_in_etc_nothing_is_switched_and_nothing_lost():
    def spoil(machine):
        etc = f'/proc/{machine.pid}/root{machine.etc}'
        number = 0
        while True:
            try:
                os.mkdir(f'{etc}/.filler{number}')
            except OSError:
                return
            number += 1
    refused = list(with_small_etc('nr_inodes=8', spoil))
    assert refused and all('No space left' in r.stderr or 'room' in r.stderr
                           for r in refused), refused
