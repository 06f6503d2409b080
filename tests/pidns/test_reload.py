"""slc reload: what is new, changed, gone or broken, and that what runs is left alone."""
import json
import re

from harness import Machine, until
from services import booted, define, has_printed, look, need_cgroup, printed, shell, wait


def pids(machine):
    return {service['name']: service['pid'] for service in machine.json('list')}


def test_new_changed_gone_broken_and_unchanged_are_told_apart():
    with Machine() as machine:
        for name in ('same', 'changed', 'words', 'gone', 'breaks', 'idle'):
            define(machine, name, exec='sleep 100000', **({'enabled': False} if name == 'idle'
                                                          else {}))
        booted(machine)
        before = pids(machine)
        define(machine, 'changed', exec='sleep 200000', umask='077')
        define(machine, 'words', exec='sleep 100000', description='New words')
        define(machine, 'breaks', exec='sleep 100000', umsk='077')
        (machine.services / 'gone.yml').unlink()
        define(machine, 'new', exec='sleep 100000')
        define(machine, 'new-off', exec='sleep 100000', enabled=False)
        text = machine.slc('reload', '--dry-run', check=False)
        assert text.returncode == 1, text
        assert pids(machine) == before and 'new' not in pids(machine)
        result = machine.slc('reload', check=False)
        assert result.returncode == 1, result
        lines = {line.split()[1].rstrip(':'): line for line in result.stdout.splitlines()
                 if len(line.split()) > 1 and line.split()[0] in
                 ('new', 'changed', 'gone', 'broken')}
        assert result.stdout == text.stdout, (result.stdout, text.stdout)
        assert set(lines) == {'changed', 'words', 'gone', 'breaks', 'new', 'new-off'}, result
        assert lines['new'].startswith('new') and lines['gone'].startswith('gone'), lines
        assert re.search(r'^changed +changed: exec, umask .*slc restart changed', lines['changed']), lines
        assert re.search(r'^changed +words: description$', lines['words']), lines
        assert 'restart' not in lines['words'], lines
        assert lines['breaks'].startswith('broken'), lines
        assert re.search(r"breaks\.yml:1:\d+: .*'umsk'.*'umask'", result.stderr), result.stderr
        assert re.search(r'\b2 unchanged', result.stdout), result.stdout
        after = pids(machine)
        for name in ('same', 'changed', 'words', 'breaks', 'gone'):
            assert after[name] == before[name] is not None, (name, before, after)
        assert wait(machine, 'new', 'running')['pid']
        assert look(machine, 'new-off')['state'] == 'stopped'
        assert look(machine, 'words')['description'] == 'New words'


def test_what_changed_is_in_force_at_the_next_start():
    with Machine() as machine:
        define(machine, 'd', exec=shell('echo old; exec sleep 100000'))
        booted(machine)
        define(machine, 'd', exec=shell('echo new; exec sleep 100000'))
        machine.slc('reload')
        has_printed(machine, 'd', 'old\n')
        machine.slc('restart', 'd')
        has_printed(machine, 'd', 'new\n')
        assert printed(machine, 'd') == 'old\nnew\n'


def test_a_broken_file_leaves_what_was_in_force():
    with Machine() as machine:
        define(machine, 'd', exec=shell('echo good; exec sleep 100000'))
        booted(machine)
        has_printed(machine, 'd', 'good\n')
        machine.service('d', 'exec: [unclosed')
        result = machine.slc('reload', check=False)
        assert result.returncode == 1 and 'd.yml:' in result.stderr, result
        status = look(machine, 'd')
        assert status['state'] == 'running' and 'd.yml:' in json.dumps(status), status
        assert 'd.yml:' in machine.slc('list').stdout
        machine.slc('restart', 'd')
        has_printed(machine, 'd', 'good\n', 2)
        machine.slc('stop', 'd')
        # Mended, it is as if nothing had been.
        define(machine, 'd', exec=shell('echo better; exec sleep 100000'))
        machine.slc('reload')
        machine.slc('start', 'd')
        assert 'd.yml:' not in json.dumps(look(machine, 'd')['errors'])
        has_printed(machine, 'd', 'better\n')
        assert printed(machine, 'd') == 'good\ngood\nbetter\n'


def test_what_is_gone_runs_on_and_is_forgotten_once_it_stops():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000')
        define(machine, 'idle', exec='sleep 100000', enabled=False)
        booted(machine)
        pid = look(machine, 'd')['pid']
        for name in ('d', 'idle'):
            (machine.services / f'{name}.yml').unlink()
        machine.slc('reload')
        assert 'idle' not in pids(machine)
        assert look(machine, 'd')['pid'] == pid
        machine.kill_launcher()
        assert look(machine, 'd')['pid'] == pid
        words = 'its file is gone: it disappears when it stops'
        (machine.services / 'd.yml').write_text('exce: sleep 1\n')
        machine.slc('reload', check=False)
        assert "did you mean 'exec'?" in look(machine, 'd')['reason']
        (machine.services / 'd.yml').unlink()
        machine.slc('reload')
        assert [service['reason'] for service in machine.json('list')] == [words]
        assert words in machine.slc('status', 'd').stdout
        assert words in machine.slc('list').stdout
        machine.slc('stop', 'd')
        assert pids(machine) == {}
        assert machine.slc('status', 'd', check=False).returncode == 4
        # Its name is free again.
        define(machine, 'd', exec='sleep 100000')
        machine.slc('reload')
        assert wait(machine, 'd', 'running')['pid'] not in (None, pid)


def test_a_reload_of_nothing_new_says_so_and_changes_nothing():
    with Machine() as machine:
        for number in range(10):
            define(machine, f's{number}', exec='sleep 100000')
        booted(machine)
        before = machine.json('list')
        for _ in range(3):
            assert machine.slc('reload').stdout.strip() == '10 unchanged'
        assert machine.json('list') == before


def test_no_start_only_lists_what_is_new():
    with Machine() as machine:
        booted(machine)
        define(machine, 'd', exec='sleep 100000')
        machine.slc('reload', '--no-start')
        assert look(machine, 'd')['state'] == 'stopped'


def test_what_was_broken_starts_once_it_loads():
    with Machine() as machine:
        machine.service('d', 'exec: sleep 100000\nwhat: is this')
        booted(machine)
        assert look(machine, 'd')['state'] == 'broken'
        machine.service('d', 'exec: sleep 100000')
        machine.slc('reload')
        machine.slc('start', 'd')
        wait(machine, 'd', 'running')


def test_what_reload_put_in_force_outlives_the_launcher():
    with Machine() as machine:
        need_cgroup(machine)
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        define(machine, 'd', exec='sleep 200000', description='second')
        define(machine, 'new', exec='sleep 100000')
        machine.slc('reload')
        wait(machine, 'new', 'running')
        before = pids(machine)
        for file in machine.services.iterdir():
            file.unlink()
        machine.kill_launcher()
        assert pids(machine) == before
        assert look(machine, 'd')['description'] == 'second'


def test_what_is_masked_while_it_runs_runs_on_and_is_known_to_the_next_launcher():
    with Machine() as machine:
        folder = machine.folder / 'later'
        folder.mkdir()
        machine.arguments += ['--services', str(folder)]
        define(machine, 'd', exec='sleep 100000')
        define(machine, 'other', exec='sleep 100000')
        booted(machine)
        before = pids(machine)
        (folder / 'd.yml').write_text('')
        assert 'gone     d\n' in machine.slc('reload').stdout
        machine.kill_launcher()
        assert pids(machine) == before
        assert 'cannot be read' not in machine.console()
        machine.slc('stop', 'd')
        assert 'd' not in pids(machine)
        assert machine.slc('reload').stdout == '1 unchanged\n'
        (folder / 'd.yml').unlink()
        assert 'new      d\n' in machine.slc('reload').stdout
        wait(machine, 'd', 'running')


def test_a_file_that_comes_back_is_in_force_again():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        pid = look(machine, 'd')['pid']
        text = (machine.services / 'd.yml').read_text()
        (machine.services / 'd.yml').unlink()
        machine.slc('reload')
        (machine.services / 'd.yml').write_text(text)
        assert machine.slc('reload').stdout == 'changed  d\n0 unchanged\n'
        assert machine.slc('reload').stdout == '1 unchanged\n'
        assert look(machine, 'd')['pid'] == pid
        machine.slc('stop', 'd')
        assert look(machine, 'd')['state'] == 'stopped'


def test_a_restart_that_takes_one_along_whose_file_is_gone_is_answered():
    with Machine() as machine:
        define(machine, 'need', exec='sleep 100000')
        define(machine, 'd', exec='sleep 100000', needs=['need'])
        booted(machine)
        (machine.services / 'd.yml').unlink()
        machine.slc('reload')
        machine.slc('restart', 'need', check=False, timeout=30)
        assert 'd' not in pids(machine) and look(machine, 'need')['state'] == 'running'


def test_a_task_that_is_done_stays_so_whatever_conflicts_with_it_and_is_needed():
    with Machine() as machine:
        define(machine, 'asks', exec='sleep 100000', needs=['late'])
        define(machine, 'late', exec='sleep 100000', conflicts=['first'])
        define(machine, 'first', type='task', exec='true')
        booted(machine)
        wait(machine, 'first', 'done')
        assert look(machine, 'late')['reason'] == 'conflicts with first'
        machine.slc('reload')
        states = {name: service['state'] for name, service in machine.quiet().items()}
        assert states == {'asks': 'failed', 'first': 'done', 'late': 'failed'}, states
        # A person may end it by starting the other.
        machine.slc('start', 'late')
        assert look(machine, 'first')['reason'] == 'conflicts with late'


def test_what_no_service_file_says_is_in_force_after_a_service_was_forgotten_and_the_launcher_killed():
    for watch in ('no', 'yes'):  # one that watches reads all once more when it begins
        with Machine() as machine:
            machine.config.write_text(f'watch: {watch}\n')
            define(machine, 'stays', exec='sleep 100000')
            define(machine, 'goes', exec='sleep 100000', enabled=False)
            booted(machine)
            machine.slc('disable', 'stays')
            (machine.services / 'goes.yml').unlink()
            machine.slc('reload')
            until(lambda: 'goes' not in machine.slc('list').stdout, 'it is forgotten')
            machine.kill_launcher()
            machine.wait_answer()
            assert look(machine, 'stays')['enabled_by'] == 'hand', watch
            until(lambda: machine.console().count('Watching the service files') == 2 * (watch == 'yes'), 'it watches')
