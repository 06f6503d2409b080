"""File systems that hang: whatever of a service lies on one keeps that service waiting, and nobody
else, least of all the launcher."""

from hang import HungFolder
from harness import Machine
from services import (booted, define, events, look, printed, shell, shell_list, wait)

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
