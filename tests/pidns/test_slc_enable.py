"""slc enable and disable: files by which services are switched on and off for the boot."""
import os
import pathlib
import stat
import subprocess

from harness import BUILD, Machine, Skip, until
from services import booted, define, look, wait


def switched(machine):
    """{name: folder} of the files there are."""
    found = {}
    for folder in ('enabled', 'disabled'):
        path = machine.etc / folder
        for name in os.listdir(path) if path.exists() else []:
            assert name not in found, f'{name} is in both'
            found[name] = folder
    return found


def populate(machine):
    define(machine, 'on', exec='sleep 100000')
    define(machine, 'off', exec='sleep 100000', enabled=False)
    define(machine, 'plain', exec='sleep 100000', enabled=True)
    return machine


def test_what_was_switched_counts_at_the_next_boot_and_not_before():
    with Machine() as machine:
        booted(populate(machine))
        assert machine.slc('enable', 'off').stdout == 'off: enabled\n'
        assert machine.slc('disable', 'on').stdout == 'on: disabled\n'
        assert switched(machine) == {'off': 'enabled', 'on': 'disabled'}
        for path in (machine.etc, machine.etc / 'enabled', machine.etc / 'disabled'):
            assert stat.S_IMODE(path.stat().st_mode) == 0o755, path
        assert (machine.etc / 'enabled/off').stat().st_size == 0
        before = {name: look(machine, name) for name in ('on', 'off', 'plain')}
        assert (before['on']['state'], before['off']['state']) == ('running', 'stopped')
        said = {name: (s['enabled'], s['enabled_by']) for name, s in before.items()}
        assert said == {'on': (False, 'hand'), 'off': (True, 'hand'), 'plain': (True, 'file')}, said
        assert 'enabled  no, by hand' in machine.slc('status', 'on').stdout
        # A reload, and a crash of the launcher, which reads no file, change nothing of it.
        machine.slc('reload')
        (machine.etc / 'enabled/off').rename(machine.etc / 'gone')
        machine.kill_launcher()
        assert {name: (s['enabled'], s['enabled_by']) for name in said
                for s in [look(machine, name)]} == said
        (machine.etc / 'gone').rename(machine.etc / 'enabled/off')
        machine.slc('poweroff')
        assert machine.wait_end() == 0
        folders = machine.etc, machine.services
        with Machine() as again:
            again.etc, again.services = folders
            booted(again)
            assert {s['name']: s['state'] for s in again.json('list')} == {
                'on': 'stopped', 'off': 'running', 'plain': 'running'}


def test_switching_twice_says_so_and_back_moves_the_file():
    with Machine() as machine:
        booted(populate(machine))
        machine.slc('enable', 'off')
        result = machine.slc('enable', 'off')
        assert (result.returncode, result.stdout) == (0, 'off: is enabled by hand already\n')
        machine.slc('disable', 'off', 'on')
        assert switched(machine) == {'off': 'disabled', 'on': 'disabled'}
        assert machine.json('enable', 'off', 'plain') == [
            {'name': 'off', 'enabled': True, 'changed': True},
            {'name': 'plain', 'enabled': True, 'changed': True}]
        assert switched(machine) == {'off': 'enabled', 'on': 'disabled', 'plain': 'enabled'}


def test_now_starts_and_stops_too():
    with Machine() as machine:
        booted(populate(machine))
        assert machine.slc('enable', '--now', 'off').stdout == 'off: enabled\noff: started\n'
        wait(machine, 'off', 'running')
        [done] = machine.json('disable', '--now', 'off')
        assert done['changed'] and done['result']['state'] == 'stopped', done
        wait(machine, 'off', 'stopped')
        define(machine, 'crash', exec='/nowhere', enabled=False)
        machine.slc('reload')
        result = machine.slc('enable', '--now', 'crash', check=False)
        assert result.returncode == 1 and 'cannot execute' in result.stderr, result
        assert switched(machine)['crash'] == 'enabled'


def test_an_instance_of_a_template_can_be_switched_on_before_anybody_has_named_it():
    with Machine() as machine:
        define(machine, 'tty@', exec='sleep 100000')
        booted(machine)
        assert machine.slc('enable', 'tty@1', 'tty@2').returncode == 0
        assert look(machine, 'tty@1')['state'] == 'stopped'
        machine.slc('enable', '--now', 'tty@3')
        assert look(machine, 'tty@3')['state'] == 'running'
        machine.slc('disable', 'tty@2')
        assert machine.slc('status', 'tty@2', check=False).returncode == 4
        assert machine.slc('enable', 'nix@2', check=False).returncode == 4
        machine.kill_launcher()
        assert look(machine, 'tty@1')['enabled_by'] == 'hand'
        machine.slc('poweroff')
        assert machine.wait_end() == 0
        with Machine() as again:
            again.etc, again.services = machine.etc, machine.services
            booted(again)
            assert {s['name']: s['state'] for s in again.json('list')} == {
                'tty@1': 'running', 'tty@3': 'running'}
            assert 'no service has that name' not in again.console()


def test_what_is_no_service_is_refused_with_4_and_nothing_is_made():
    with Machine() as machine:
        booted(populate(machine))
        result = machine.slc('enable', 'of', check=False)
        assert result.returncode == 4 and 'did you mean "off"' in result.stderr, result
        assert machine.slc('disable', '../x', check=False).returncode == 4
        assert not machine.etc.exists()


def test_files_made_by_others_count_after_a_reload_and_leftovers_are_told_at_the_boot():
    with Machine() as machine:
        populate(machine)
        define(machine, 'one', exec='sleep 100000', provides=['it'])
        define(machine, 'two', exec='sleep 100000', provides=['it'])
        (machine.etc / 'disabled').mkdir(parents=True)
        (machine.etc / 'disabled/nobody').touch()
        (machine.etc / 'disabled/one').touch()
        booted(machine)
        machine.wait_console('no service has that name.*service=nobody')
        assert look(machine, 'one')['state'] == 'stopped'
        # The first enabled one answers.
        assert look(machine, 'it')['name'] == 'two'
        (machine.etc / 'disabled/one').unlink()
        (machine.etc / 'enabled').mkdir()
        (machine.etc / 'enabled/new').touch()
        define(machine, 'new', exec='sleep 100000', enabled=False)
        machine.slc('reload')
        assert look(machine, 'it')['name'] == 'one'
        wait(machine, 'new', 'running')
        assert look(machine, 'one')['state'] == 'stopped'


def test_where_the_files_cannot_be_made_it_says_why():
    with Machine() as machine:
        booted(populate(machine))
        machine.etc.write_text('')
        result = machine.slc('enable', 'off', check=False)
        assert result.returncode == 1 and 'Not a directory' in result.stderr, result
        machine.etc.unlink()
        machine.etc.mkdir()
        # A file system of its own, seen by slc alone.
        for options, status, words in (('ro', 1, 'read-only'),):
            script = (f'mount -t tmpfs -o {options} none {machine.etc} && '
                      f'exec {BUILD}/slc --runtime {machine.runtime} enable off')
            result = subprocess.run(['unshare', '--mount', '/bin/sh', '-c', script], timeout=60,
                                    capture_output=True, text=True, check=False,
                                    env={**os.environ, 'CONIT_RUNTIME': ''})
            if 'mount:' in result.stderr:
                raise Skip('cannot mount here')
            assert result.returncode == status and words in result.stderr, result
        for folder in (machine.folder, machine.runtime):
            folder.chmod(0o755)
        pathlib.Path(machine.etc).chmod(0o755)
        result = subprocess.run([str(BUILD / 'slc'), '--runtime', '.', 'enable', 'off'], user=65534,
                                group=65534, extra_groups=[], cwd=machine.runtime, check=False,
                                capture_output=True, text=True, timeout=60)
        assert result.returncode == 6 and 'not permitted' in result.stderr, result
        assert switched(machine) == {}


def test_a_system_file_that_lists_what_starts_outranks_what_is_switched():
    with Machine() as machine:
        populate(machine)
        machine.config.write_text('start: [on]\n')
        booted(machine)
        result = machine.slc('enable', 'off')
        assert 'the system file lists' in result.stderr, result
        assert until(lambda: look(machine, 'off')['enabled_by'] == 'hand', 'it is known')
