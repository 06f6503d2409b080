"""watch: yes: service files are loaded by themselves once they have changed, however that was done."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import BUILD, DEADLINE, Machine, Process, Skip, children_of, stat_of, until
from services import booted, define, look, wait

LOADED = 'A service file has changed'


@contextlib.contextmanager
def watching(services=None, **keys):
    """A machine that watches and has one service, d. `services`: what its folder is instead."""
    with Machine() as machine:
        machine.config.write_text('watch: yes\n')
        if services:
            machine.services.rmdir()
            services(machine)
        define(machine, 'd', exec='sleep 100000', description='one', **keys)
        booted(machine)
        wait_watching(machine)
        yield machine


def watchers(machine):
    launcher = machine.wait_pid_of('service-launcher')
    return [pid for pid, (name, state, _) in children_of(launcher).items()
            if name == 'watch-services' and state != 'Z']


def wait_watching(machine):
    """Until it watches, and what it reads at its beginning is read: it waits then."""
    until(lambda: [pid for pid in watchers(machine) if has_watches(pid)], 'a child watches')
    machine.idle()
    return watchers(machine)[0]


def has_watches(pid):
    """Whether a process has something to wait for in an inotify descriptor."""
    for entry in pathlib.Path(f'/proc/{pid}/fdinfo').iterdir():
        with contextlib.suppress(OSError):
            if 'inotify wd:' in entry.read_text():
                return True
    return False


def wait_description(machine, words, name='d'):
    until(lambda: look(machine, name).get('description') == words, f'{name} is {words!r}')


def write(path, description, **keys):
    keys = ''.join(f'{key}: {value}\n' for key, value in keys.items())
    whole = path.with_suffix('.whole')  # at one stroke, for a reading may be under way
    whole.write_text(f'exec: sleep 100000\ndescription: {description}\n{keys}')
    whole.rename(path)


def test_a_file_that_is_written_is_in_force_and_the_service_runs_on():
    with watching() as machine:
        pid = look(machine, 'd')['pid']
        write(machine.services / 'd.yml', 'two')
        wait_description(machine, 'two')
        machine.wait_console(f'{LOADED}, and is in force +keys=description service=d')
        write(machine.services / 'd.yml', 'two', umask='"077"')
        machine.wait_console('partly in force once it is restarted +keys=umask service=d')
        assert look(machine, 'd')['pid'] == pid


def test_new_files_start_and_removed_ones_go():
    with watching() as machine:
        write(machine.services / 'new.yml', 'new')
        until(lambda: machine.state_of('new') == 'running', 'new runs')
        machine.wait_console('A new service file is in force +service=new')
        (machine.services / 'new.yml').unlink()
        machine.wait_console('A service file is gone: .* service=new')
        machine.slc('stop', 'new')
        assert machine.state_of('new') is None


def test_the_ways_editors_write_a_file():
    with watching() as machine:
        file, other = machine.services / 'd.yml', machine.services / '.d.yml.swp'
        write(other, 'renamed over')
        os.rename(other, file)
        wait_description(machine, 'renamed over')
        # A backup first, then a new file (vim); the backup's name is none of a service.
        os.rename(file, machine.services / 'd.yml~')
        write(file, 'moved away before')
        wait_description(machine, 'moved away before')
        (machine.services / 'd.yml~').unlink()
        # A hard link put in place is never closed after writing.
        write(machine.folder / 'elsewhere', 'linked')
        file.unlink()
        os.link(machine.folder / 'elsewhere', file)
        wait_description(machine, 'linked')
        # Changed in place.
        with open(file, 'r+', encoding='ascii') as stream:
            text = stream.read().replace('linked', 'placed')
            stream.seek(0)
            stream.write(text)
        wait_description(machine, 'placed')
        assert not machine.state_of('d.yml~') and len(machine.json('list')) == 1


def test_a_half_written_file_waits_until_it_is_closed():
    with watching() as machine:
        file = machine.services / 'new.yml'
        with open(file, 'w', encoding='ascii') as stream:
            stream.write('exec: sleep 100000\ndescri')
            stream.flush()
            # The first reading after watching began may still be to come: it finds what is there.
            assert machine.state_of('new') in (None, 'broken')
            stream.write('ption: whole\n')
        until(lambda: machine.state_of('new') == 'running', 'new runs')
        assert look(machine, 'new')['description'] == 'whole'


def test_what_is_odd_in_a_folder_is_told_beside_what_is_wrong_with_the_system_file_and_each_once():
    with watching() as machine:
        machine.config.write_text('watch: yes\nlog: {sync: soon}\n')
        write(machine.services / 'two.yaml', 'yaml')
        write(machine.services / 'two.yml', 'yml')
        machine.wait_console("Watching the service files.*'sync' of 'log' is a time")
        machine.wait_console('Watching the service files.*two.yml')
        for number in range(3):
            write(machine.services / f'other{number}.yml', 'another')
            until(lambda: machine.state_of(f'other{number}') == 'running', 'it runs')
        assert machine.console().count('the former settings stay') == 1, machine.console()
        assert machine.console().count("'two.yml' counts") == 1, machine.console()

def test_a_file_that_does_not_load_is_told_once_and_leaves_what_was_in_force():
    with watching() as machine:
        pid = look(machine, 'd')['pid']
        (machine.services / 'd.yml').write_text('exec: [unclosed\n')
        machine.wait_console('does not load: what was in force stays.*d.yml:.*service=d')
        for number in range(3):
            write(machine.services / f'other{number}.yml', 'another')
            until(lambda: machine.state_of(f'other{number}') == 'running', 'it runs')
        assert machine.console().count('does not load') == 1, machine.console()
        assert look(machine, 'd')['pid'] == pid and look(machine, 'd')['description'] == 'one'
        # Broken in another way is worth a word; then it is mended.
        (machine.services / 'd.yml').write_text('exec: sleep 100000\nexce: x\n')
        machine.wait_console("'exce'")
        write(machine.services / 'd.yml', 'mended')
        wait_description(machine, 'mended')


def replace_by_rename(machine, folder):
    new = machine.folder / 'new'
    new.mkdir()
    write(new / 'd.yml', 'renamed')
    os.rename(folder, machine.folder / 'old')
    os.rename(new, folder)
    wait_description(machine, 'renamed')


def test_a_folder_that_is_replaced_as_a_whole():
    with watching() as machine:
        replace_by_rename(machine, machine.services)
        # It is the new one that counts from here on.
        write(machine.services / 'd.yml', 'after it')
        wait_description(machine, 'after it')
        shutil.rmtree(machine.services)
        machine.wait_console('A service file is gone: .* service=d')
        machine.services.mkdir()
        write(machine.services / 'd.yml', 'made again')
        wait_description(machine, 'made again')
        write(machine.services / 'd.yml', 'and again')
        wait_description(machine, 'and again')


def test_a_link_to_the_folder_that_is_switched():
    def link(machine):
        for name in ('a', 'b'):
            (machine.folder / name).mkdir()
        machine.services.symlink_to('a')

    with watching(link) as machine:
        write(machine.services / 'd.yml', 'through it')
        wait_description(machine, 'through it')
        write(machine.folder / 'b' / 'd.yml', 'switched')
        (machine.folder / 'link').symlink_to('b')
        os.rename(machine.folder / 'link', machine.services)
        wait_description(machine, 'switched')
        write(machine.folder / 'b' / 'd.yml', 'behind it')
        wait_description(machine, 'behind it')


def test_a_folder_that_is_not_there_yet():
    with Machine() as machine:
        machine.config.write_text('watch: yes\n')
        later = machine.folder / 'not' / 'yet' / 'there'
        machine.arguments += ['--services', str(later)]
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        wait_watching(machine)
        later.mkdir(parents=True)
        write(later / 'new.yml', 'new')
        until(lambda: machine.state_of('new') == 'running', 'new runs')
        write(later / 'd.yml', 'outranks')
        wait_description(machine, 'outranks')


def test_a_file_that_is_a_link_is_watched_where_it_leads():
    with watching() as machine:
        target = machine.folder / 'elsewhere' / 'target.yml'
        target.parent.mkdir()
        write(target, 'one')
        (machine.services / 'linked.yml').symlink_to(target)
        until(lambda: machine.state_of('linked') == 'running', 'linked runs')
        write(target, 'two')
        wait_description(machine, 'two', 'linked')


def test_services_that_are_folders():
    with watching() as machine:
        folder = machine.services / 'whole'
        folder.mkdir()
        write(folder / 'config.yaml', 'one')
        until(lambda: machine.state_of('whole') == 'running', 'whole runs')
        write(folder / 'config.yaml', 'two')
        wait_description(machine, 'two', 'whole')
        shutil.rmtree(folder)
        machine.wait_console('A service file is gone: .* service=whole')


def test_the_system_file_switches_it_on_and_off():
    with Machine() as machine:
        machine.config.write_text('watch: no\n')
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        assert not watchers(machine)
        machine.config.write_text('watch: yes\n')
        machine.slc('reload')
        wait_watching(machine)
        write(machine.services / 'd.yml', 'two')
        wait_description(machine, 'two')
        # The system file is watched, too.
        machine.config.write_text('watch: no\ntitle: Off\n')
        machine.wait_console('not watched any more')
        until(lambda: not watchers(machine), 'nobody watches')
        write(machine.services / 'd.yml', 'three')
        machine.config.write_text('watch: yes\n')
        machine.slc('reload')
        wait_description(machine, 'three')
        wait_watching(machine)


def test_what_changed_while_the_launcher_was_down_is_found():
    with watching() as machine:
        watcher, pid = wait_watching(machine), look(machine, 'd')['pid']
        launcher = machine.wait_pid_of('service-launcher')
        os.kill(machine.pid, signal.SIGSTOP)  # it starts no other one meanwhile
        os.kill(launcher, signal.SIGKILL)
        until(lambda: stat_of(launcher)[1] == 'Z', 'the launcher is gone')
        write(machine.services / 'd.yml', 'while it was down')
        os.kill(machine.pid, signal.SIGCONT)
        wait_description(machine, 'while it was down')
        until(lambda: not stat_of(watcher), 'the former watcher is gone')
        assert look(machine, 'd')['pid'] == pid
        wait_watching(machine)
        write(machine.services / 'd.yml', 'and after it')
        wait_description(machine, 'and after it')


def test_a_watcher_that_is_killed_is_started_again_and_misses_nothing():
    with watching() as machine:
        os.kill(wait_watching(machine), signal.SIGKILL)
        write(machine.services / 'd.yml', 'meanwhile')
        wait_description(machine, 'meanwhile')
        machine.wait_console('What watches the service files has ended')


def test_a_flood_of_writes_is_bounded_work_and_its_end_is_loaded():
    with watching() as machine:
        noise = machine.services / 'noise.yml'
        number = 0
        # It goes on until something is loaded in the middle of it: nobody starves.
        while number < 3000 or LOADED not in machine.console():
            with open(noise, 'w', encoding='ascii') as stream:
                stream.write(f'exec: sleep 100000\nenabled: no\ndescription: n{number}\n')
            number += 1
        wait_description(machine, f'n{number - 1}', 'noise')
        loads = machine.console().count(f'{LOADED}, and is in force')
        assert loads < number / 10, (loads, number)
        write(machine.services / 'd.yml', 'still there')
        wait_description(machine, 'still there')


def test_a_queue_that_overflows_loses_nothing():
    with watching() as machine:
        watcher = wait_watching(machine)
        limit = int(pathlib.Path('/proc/sys/fs/inotify/max_queued_events').read_text())
        if limit > 100000:
            raise Skip(f'{limit} events fit into the queue here')
        os.kill(watcher, signal.SIGSTOP)
        names = [str(machine.services / '.a'), str(machine.services / '.b')]
        pathlib.Path(names[0]).write_text('')
        for _ in range(limit // 2 + 100):  # each is two events
            os.rename(*names)
            names.reverse()
        write(machine.services / 'd.yml', 'beyond the queue')
        os.kill(watcher, signal.SIGCONT)
        wait_description(machine, 'beyond the queue')


def test_files_that_are_none_of_ours_are_not_read_for():
    with watching() as machine:
        write(machine.services / 'd.yml', 'two')
        wait_description(machine, 'two')
        before = machine.wait_pid_of('service-launcher')
        watcher = wait_watching(machine)
        (machine.services / '.hidden.yml').write_text('exec: sleep 1\n')
        (machine.services / 'd.yml~').write_text('exec: sleep 1\n')
        (machine.folder / 'unrelated').write_text('x')
        write(machine.services / 'd.yml', 'three')
        wait_description(machine, 'three')
        assert watchers(machine) == [watcher] and machine.wait_pid_of('service-launcher') == before
        assert len(machine.json('list')) == 1


def test_watches_that_are_used_up_are_told_with_what_to_raise():
    """The child by itself, in a user namespace with few watches."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE)
    with tempfile.TemporaryDirectory() as folder, ours:
        for name in ('x', 'y', 'z'):
            os.mkdir(os.path.join(folder, name))
        few = 'echo 4 >/proc/sys/user/max_inotify_watches || exit 77; exec "$0" "$@"'
        with Process(['unshare', '--user', '--map-root-user', 'sh', '-c', few,
                      str(BUILD / 'service-launcher'), '--watch', '--services', folder],
                     stdin=theirs, stderr=subprocess.PIPE) as child:
            theirs.close()
            messages = [ours.recv(2000)]
            if not messages[0]:
                raise Skip(f'no user namespace with limits here: {child.stderr.read().decode()}')
            while not messages[-1].startswith(b'c'):
                messages.append(ours.recv(2000))
            ours.close()
        assert len(messages) == 2, messages
        assert b'raise fs.inotify.max_user_watches' in messages[0], messages
        assert b'changes in /' in messages[0], messages
