"""slc show: the definition in force, and where each value comes from."""
import contextlib
import json
import subprocess

from harness import BUILD, Machine
from services import booted, define, shell

FAR = '"' * 100000  # each is two in JSON


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        define(machine, 'web', exec=shell('sleep 100000'), restart={'delay': '1s'},
               env={'SECRET': 'pss"t'}, stop={'signal': 'INT'}, enabled=False)
        define(machine, 'long', script=f'# {FAR}\nsleep 100000')
        define(machine, 'all', type='target', needs=['web'])
        define(machine, 'bad', exec='sleep 1', need=['x'])
        booted(machine)
        yield machine


def shown(machine, name):
    return {key['key']: key for key in machine.json('show', name)['keys']}


def test_each_key_says_whether_the_file_or_a_default_is_in_force(machine):
    file = str(machine.services / 'web.yml')
    assert machine.json('show', 'web')['file'] == file
    keys = shown(machine, 'web')
    assert keys['exec']['value'] == ['/bin/sh', '-c', 'sleep 100000'], keys['exec']
    assert keys['exec']['from'] == file
    assert keys['restart']['value']['delay'] == '1s' and keys['restart']['from'] == file, keys
    assert keys['restart']['value']['policy'] == 'always', keys['restart']
    assert keys['umask']['from'] is None and keys['umask']['value'] in ('022', 18), keys['umask']
    assert keys['enabled'] == {'key': 'enabled', 'value': False, 'from': file, 'hidden': False}
    machine.slc('enable', 'web')
    assert shown(machine, 'web')['enabled'] == {
        'key': 'enabled', 'value': True, 'from': f'{machine.etc}/enabled/web', 'hidden': False}
    assert shown(machine, 'long')['script']['value'] == f'# {FAR}\nsleep 100000'
    assert 'exec' not in shown(machine, 'all')


def test_for_people_it_is_a_line_a_key(machine):
    text = machine.slc('show', 'web').stdout
    file = machine.services / 'web.yml'
    assert f'\nexec:           ["/bin/sh","-c","sleep 100000"]  # {file}\n' in text, text
    assert '\nneeds:          []  # default\n' in text, text
    assert len(text.splitlines()) == len(shown(machine, 'web'))
    both = machine.slc('show', 'web', 'all').stdout
    assert both.startswith('# web\n') and '\n\n# all\n' in both, both


def test_the_environment_is_shown_to_those_only_who_may_change_services(machine):
    assert shown(machine, 'web')['env']['value'] == {'SECRET': 'pss"t'}
    result = subprocess.run([str(BUILD / 'slc'), '--runtime', '.', '--json', 'show', 'web'],
                            user=65534, group=65534, extra_groups=[], cwd=machine.runtime,
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0 and 'pss' not in result.stdout, result
    [env] = [key for key in json.loads(result.stdout)['keys'] if key['key'] == 'env']
    assert env['hidden'] and env['value'] is None, env


def test_a_service_without_a_definition_says_why_and_an_unknown_one_is_4(machine):
    result = machine.slc('show', 'bad', check=False)
    assert result.returncode == 1 and "'need'" in result.stderr, result
    assert machine.slc('show', 'nix', check=False).returncode == 4
    assert [s['name'] for s in machine.json('show', 'web', 'all')] == ['web', 'all']
