"""What the launcher does that takes no service or one: its options, words of the kernel's, an end by force."""
import pathlib
import subprocess

from harness import BUILD, Machine
from services import booted, define, look, shell

PROGRAM = BUILD / 'service-launcher'


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL)


def test_wrong_options_are_refused_with_what_is_wrong():
    for words, why in ((['--log-format', 'xml'], 'no such log format'), (['--log-level', 'loud'], 'no such log level'),
                       (['--nonsense'], 'no such option'), (['--services'], 'its value is missing'),
                       (['more'], 'unexpected argument'), (['--services', '/x'] * 1000, 'too many folders of services')):
        result = run(*words)
        assert result.returncode == 2 and why in result.stderr and not result.stdout, (words[:2], result)


def test_help_and_version_are_told():
    assert '--log-format' in run('--help').stdout
    assert run('--version').stdout.startswith('service-launcher (conit) ')


def test_its_lines_are_json_where_that_is_asked_for():
    with Machine(arguments=['--log-format', 'json']) as machine:
        define(machine, 'one', exec='sleep 100000')
        machine.boot()
        machine.wait_console(r'(?m)^\{.*"Started service".*"service":"one".*\}$')


def test_a_word_that_the_kernel_was_given_is_a_condition():
    line = pathlib.Path('/proc/cmdline').read_text(encoding='utf-8').split()
    with Machine() as machine:
        machine.before = f'printf "first second=2 quiet\\n" >{machine.folder}/cmdline'
        for name, word in (('given', 'second=2'), ('first', 'first'), ('part', 'second'), ('none', 'third')):
            define(machine, name, type='task', exec='true', when=[{'kernel-arg': word}])
        # The kernel's own file cannot be written: another one is put in its place.
        machine.before += f'\nmount --bind {machine.folder}/cmdline /proc/cmdline'
        machine.mount_proc = False
        booted(machine)
        states = {service['name']: service['state'] for service in machine.json('list')}
        assert states == {'given': 'done', 'first': 'done', 'part': 'skipped', 'none': 'skipped'}, (line, states)
        assert 'third' in look(machine, 'none')['reason']


def test_an_end_by_force_stops_no_service():
    with Machine() as machine:
        define(machine, 'slow', exec=shell(f'trap "echo told >{machine.folder}/told" TERM; while :; do sleep 1; done'),
               stop={'timeout': '100s'})
        booted(machine)
        machine.slc('poweroff', '--force')
        assert machine.wait_end() == 0
        assert 'Ending at once, services are not stopped' in machine.console()
