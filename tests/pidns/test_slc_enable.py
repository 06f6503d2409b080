"""slc enable and disable: files by which services are switched on and off for the boot."""
import os
import pathlib
import stat
import subprocess
import tempfile

from harness import BUILD, Machine, Skip, until
from services import booted, define, look, wait
from test_slc import slc


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


# Where no launcher is asked: an image that is being built, a chroot.

ALONE = 'slc: note: no launcher was asked: the files in {}/etc/conit count at the next boot\n'


def image(folder, **files):
    """A system's files; `__` in a name stands for a slash, a file without an ending is a .yml."""
    root = pathlib.Path(folder)
    for name, text in {'etc__yml-services__web': 'exec: true', **files}.items():
        path = root / name.replace('__', '/')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name if '.' in path.name else f'{path.name}.yml').write_text(text)
    return root


def folders_of(root):
    return sorted(str(path.relative_to(root / 'etc/conit'))
                  for path in (root / 'etc/conit').rglob('*') if path.is_file())


def test_of_another_root_the_files_are_switched_and_its_boot_heeds_them():
    with tempfile.TemporaryDirectory() as folder, Machine() as machine:
        root = image(folder, **{'usr__lib__yml-services__db': 'exec: sleep 100000\nenabled: no',
                                'run__yml-services__tty@': 'exec: sleep 100000',
                                'etc__yml-services__web': 'exec: sleep 100000'})
        result = slc('enable', '--root', f'{root}/', 'db', 'tty@1')
        assert (result.returncode, result.stdout) == (0, 'db: enabled\ntty@1: enabled\n'), result
        assert result.stderr == ALONE.format(root), result
        result = slc('--json', '-q', 'disable', '--root', str(root), 'web', 'db')
        assert (result.returncode, result.stderr) == (0, ''), result
        assert result.stdout.count('"enabled":false') == 2, result
        assert folders_of(root) == ['disabled/db', 'disabled/web', 'enabled/tty@1']
        slc('enable', '--root', str(root), 'db')
        machine.etc = root / 'etc/conit'
        for one in root.rglob('*.yml'):
            one.rename(machine.services / one.name)
        booted(machine)
        assert {s['name']: s['state'] for s in machine.json('list')} == {
            'db': 'running', 'web': 'stopped', 'tty@1': 'running'}


def test_without_a_launcher_names_are_looked_for_in_the_files():
    with tempfile.TemporaryDirectory() as folder:
        root = image(folder, **{'usr__lib__yml-services__off': 'exec: true',
                                'etc__yml-services__off': '',
                                'etc__yml-services__bad': 'exec: [',
                                'etc__yml-services__t@': 'exec: true',
                                'system__services__own': 'exec: true'})
        for name, words in (('wed', 'did you mean "web"?'), ('../web', "has a '/'"),
                            ('off', f'masked by the empty file {root}/etc/yml-services/off.yml'),
                            ('t@', 'there is no such service'), ('u@1', 'there is no such service'),
                            ('own', 'no such service: no file below')):
            result = slc('enable', 'web', name, '--root', str(root))
            assert result.returncode == 4 and words in result.stderr, (name, result)
        assert not (root / 'etc/conit').exists()
        # One that is broken today may be mended until the boot.
        assert slc('disable', 'bad', '--root', str(root)).returncode == 0
        # The system file brings a folder with it, and lists what is started.
        image(folder, **{'system__config.yaml': 'start: [web]'})
        result = slc('enable', 'own', '--root', str(root))
        assert result.returncode == 0 and 'the system file lists' in result.stderr, result
        assert folders_of(root) == ['disabled/bad', 'enabled/own']


def test_what_only_a_launcher_can_do_is_refused_without_one():
    with tempfile.TemporaryDirectory() as folder:
        root = image(folder)
        result = slc('enable', '--now', 'web', '--root', str(root))
        assert result.returncode == 2 and '--now' in result.stderr, result
        result = slc('enable', 'web', '--root', f'{root}/nowhere')
        assert result.returncode == 1 and 'is no folder' in result.stderr, result
        # A folder that was named for its launcher's sake is not passed over.
        result = slc('--runtime', f'{root}/run', 'enable', 'web')
        assert result.returncode == 5 and '--root /' in result.stderr, result
        assert not (root / 'etc/conit').exists()


def test_in_a_system_that_no_launcher_has_run_in_the_files_are_switched():
    """As in a chroot: /etc and /run are the image's, for slc alone."""
    with tempfile.TemporaryDirectory() as folder:
        root = image(folder)
        (root / 'run').mkdir()
        def inside(words):
            script = (f'mount --bind {root}/run /run && mount --bind {root}/etc /etc && '
                      f'exec {BUILD}/slc {words}')
            result = subprocess.run(['unshare', '--mount', '/bin/sh', '-c', script], timeout=60,
                                    capture_output=True, text=True, check=False,
                                    env={**os.environ, 'CONIT_RUNTIME': ''})
            if 'mount:' in result.stderr:
                raise Skip('cannot mount here')
            return result
        result = inside('enable web')
        assert (result.returncode, result.stdout) == (0, 'web: enabled\n'), result
        assert result.stderr == ALONE.format(''), result
        assert inside('disable --now web').returncode == 5
        assert folders_of(root) == ['enabled/web']
