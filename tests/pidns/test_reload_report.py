"""What slc reload says beyond the files: cycles, names that are none, instances; and that a dry run
says the same and does nothing."""
import json

from harness import Machine, until
from services import booted, define, look, wait

SLEEPS = 'sleep 100000'


def told(machine, *arguments):
    """What a reload says, after a dry run has said the same and changed nothing."""
    before = machine.json('list')
    dry = machine.slc('reload', '--dry-run', check=False)
    assert machine.json('list') == before, before
    dry_json = machine.slc('--json', 'reload', '--dry-run', check=False).stdout
    assert machine.json('list') == before, before
    result = machine.slc(*arguments, 'reload', check=False)
    assert (dry.returncode, dry.stderr) == (result.returncode, result.stderr), (dry, result)
    assert result.stdout == (dry_json if arguments else dry.stdout), (dry, dry_json, result)
    return result


def place(machine, name, line, column):
    return f'{machine.services / name}.yml:{line}:{column}'


def test_a_reload_names_the_cycle_that_it_makes_and_later_that_it_is_gone():
    with Machine() as machine:
        for name in 'abc':
            machine.service(name, f'exec: {SLEEPS}\n')
        booted(machine)
        machine.service('a', f'exec: {SLEEPS}\nneeds: [b]\n')
        machine.service('b', f'exec: {SLEEPS}\nafter:\n  - c\n  - a\n')
        result = told(machine)
        words = f'{place(machine, "a", 2, 9)}: in a cycle, each after the next: a, b, a'
        assert (result.returncode, result.stderr) == (1, f'slc: a: {words}\n'), result
        assert result.stdout == 'changed  a: needs\nchanged  b: after\n1 unchanged\n', result
        # As long as it is there it is said, and nothing of it stops.
        again = told(machine, '--json')
        changes = {change['name']: change for change in json.loads(again.stdout)}
        assert again.returncode == 1 and changes['a']['cycle'] == [words], changes
        assert changes['b']['cycle'] == changes['c']['cycle'] == [], changes
        assert {one['state'] for one in machine.json('list')} == {'running'}
        assert 'cycle' in look(machine, 'b')['reason'] and not look(machine, 'c')['reason']
        machine.service('a', f'exec: {SLEEPS}\n')
        result = told(machine)
        assert (result.returncode, result.stderr) == (0, ''), result
        assert result.stdout == ('changed  a: needs: it is in no cycle any more\n'
                                 'unchanged b: it is in no cycle any more\n2 unchanged\n'), result
        assert told(machine).stdout == '3 unchanged\n'


def test_a_reload_says_that_a_wrong_system_file_leaves_the_former_settings_and_ends_with_1():
    with Machine() as machine:
        machine.config.write_text('log: {sync: 2s}\n', encoding='utf-8')
        machine.service('web', f'exec: {SLEEPS}\n')
        booted(machine)
        assert told(machine).stdout == '1 unchanged\n'
        machine.config.write_text('log: {sync: soon}\n', encoding='utf-8')
        for _ in range(2):  # as long as it is so, and a service's news are told beside
            result = told(machine)
            assert result.returncode == 1 and result.stdout == '1 unchanged\n', result
            assert result.stderr == (
                f"slc: error: {machine.config}:1:13: 'sync' of 'log' is a time: write 500ms, 5s or 1min\n"
                "slc: error: the system file does not load: the former settings stay in force\n"), result
        assert told(machine, '--json').returncode == 1
        machine.config.write_text('log: {sync: 2s}\n', encoding='utf-8')
        assert told(machine).stdout == '1 unchanged\n'
        machine.config.write_text(f'log: {{sync: 3s, dev-log: {machine.folder}/log}}\n', encoding='utf-8')
        result = told(machine)
        assert (result.returncode, result.stderr) == (0, ''), result
        assert result.stdout == 'changed  the system file: sync of log, dev-log of log\n1 unchanged\n'
        for path, why in ((machine.config, f'{machine.config} is there, and no socket: remove it, or '
                           'name another path'),
                          ('/nowhere/log', 'no socket can be made, for there is no folder /nowhere')):
            machine.config.write_text(f'log: {{sync: 3s, dev-log: {path}}}\n', encoding='utf-8')
            result = told(machine)
            assert result.stdout == 'changed  the system file: dev-log of log\n1 unchanged\n', result
            assert result.stderr == f"slc: warning: {machine.config}: 'dev-log' of 'log': {why}\n", result


def test_a_reload_says_that_what_the_system_file_has_started_is_another():
    with Machine() as machine:
        for name in ('web', 'db'):
            machine.service(name, f'exec: {SLEEPS}\n')
        machine.config.write_text('start: [db]\n', encoding='utf-8')
        booted(machine)

        def said(text):
            machine.config.write_text(text, encoding='utf-8')
            lines = told(machine).stdout.splitlines()
            assert lines[-1] == '2 unchanged' and len(lines) <= 2, lines
            return ''.join(lines[:-1]).removeprefix('changed  the system file: ')
        assert said('start: [web]\n') == 'start'
        assert said('start: [web] # the same\n') == ''
        assert said('start: [web, db]\n') == said('start: [db, web]\n') == said('start: []\n') == 'start'
        assert said('services: [{name: db}, {name: web}]\n') == 'services, start'
        assert said('services: [{name: db}, {name: web} ]\n') == ''
        assert said('services: [{name: web}, {name: db}]\n') == said('services: [{name: web}]\n') == 'services'
        assert said('services: [{name: web, description: it}]\n') == said('services: []\n') == 'services'
        assert said('title: one\n') == 'title, services'
        assert said('title: one\nstart: []\n') == 'start'


def test_a_reload_tells_a_name_that_it_makes_wrong_once_and_with_the_nearest():
    with Machine() as machine:
        machine.service('web', f'exec: {SLEEPS}\nafter: [database]\n')
        machine.service('old', f'exec: {SLEEPS}\nafter: [nowhere]\n')
        machine.service('database', f'exec: {SLEEPS}\n')
        booted(machine)
        assert told(machine).stderr == ''  # what was so before is no news
        machine.service('app', f'exec: {SLEEPS}\nneeds: [databsae]\nwants:\n  - web\n  - zork\n')
        result = told(machine)
        nobody = 'and no service has that name'
        assert result.stderr == (
            f"slc: warning: {place(machine, 'app', 2, 9)}: 'needs' names 'databsae', {nobody}; "
            "the nearest is 'database'\n"
            f"slc: warning: {place(machine, 'app', 5, 5)}: 'wants' names 'zork', {nobody}\n"), result
        assert result.returncode == 0 and 'new      app\n' in result.stdout, result
        wait(machine, 'app', 'failed')
        assert told(machine).stderr == ''
        # It is the one that goes by which a name becomes wrong.
        (machine.services / 'database.yml').unlink()
        result = told(machine)
        assert f"{place(machine, 'web', 2, 9)}: 'after' names 'database', {nobody}" in result.stderr
        assert result.stdout == 'gone     database\n3 unchanged\n', result
        [web] = [one for one in machine.json('reload') if one['name'] == 'web']
        assert web['warnings'] == [], web


def test_a_reload_tells_the_instances_that_it_makes_and_drops():
    with Machine() as machine:
        machine.service('tty@', f'exec: {SLEEPS}\nneeds: ["low@%i"]\nafter: ["top-%i"]\n')
        machine.service('low@', f'exec: {SLEEPS}\n')
        machine.service('bad@', 'exec: sleep 1\nstart-timeout: "%i"\n')
        machine.service('web', f'exec: {SLEEPS}\n')
        booted(machine)
        machine.service('web', f'exec: {SLEEPS}\nneeds: ["tty@1"]\nafter: ["tty@2"]\n'
                               'wants: ["bad@x"]\n')
        result = told(machine)
        lines = result.stdout.splitlines()
        assert lines == ['broken   bad@', 'broken   bad@x: web names it', 'new      low@1: tty@1 names it',
                         'new      tty@1: web names it', 'changed  web: needs, wants, after',
                         '0 unchanged'], result
        assert result.returncode == 1 and "slc: bad@x: " in result.stderr, result
        assert f"{place(machine, 'tty@', 3, 9)}: 'after' names 'top-1'" in result.stderr, result
        wait(machine, 'tty@1', 'running')
        wait(machine, 'low@1', 'running')
        assert look(machine, 'bad@x')['state'] == 'broken'
        changes = json.loads(machine.slc('--json', 'reload', check=False).stdout)
        assert [one['name'] for one in changes if one['change'] != 'unchanged'] == [
            'bad@', 'bad@x'], changes
        machine.service('web', f'exec: {SLEEPS}\n')
        result = told(machine)
        assert result.stdout.splitlines() == [
            'broken   bad@', 'gone     bad@x: nothing names it any more',
            'gone     low@1: nothing names it any more', 'gone     tty@1: nothing names it any more',
            'changed  web: needs, wants, after', '0 unchanged'], result
        # They run on, and are gone once they do not.
        assert look(machine, 'tty@1')['state'] == look(machine, 'low@1')['state'] == 'running'
        machine.slc('stop', 'tty@1', 'low@1')
        until(lambda: {one['name'] for one in machine.json('list')} == {'web', 'bad@x'},
              'those that were stopped are forgotten')
        assert 'gone' not in machine.slc('reload', check=False).stdout
