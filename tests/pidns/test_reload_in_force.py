"""slc reload of a service that runs: what counts at once and without a new process, what counts at
the next start, and that nothing is stopped by it."""
import contextlib
import itertools
import json
import os

from harness import Machine, until
from services import booted, define, has_printed, kill, look, printed, shell, wait

SLEEPS = 'sleep 100000'
TALKS = shell('trap "echo HUP" HUP; trap "echo USR1; exit 0" USR1; trap "echo TERM; exit 0" TERM; '
              'echo ready; while :; do sleep 100000 & wait $!; kill $!; done')
names = (f'd{number}' for number in itertools.count())


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        booted(machine)
        yield machine


def reload(machine):
    """What has changed, by name. Some that are there are broken."""
    changes = json.loads(machine.slc('--json', 'reload', check=False).stdout)
    return {change['name']: change for change in changes if change['change'] != 'unchanged'}


def begin(machine, name=None, **keys):
    """A service of a name of its own, which runs."""
    name = name or next(names)
    define(machine, name, **{'exec': SLEEPS, **keys})
    reload(machine)
    wait(machine, name, 'running')
    if keys.get('exec') == TALKS:
        until(lambda: 'ready\n' in printed(machine, name), 'it is set up')
    return name


def change(machine, name, *changed, needs_restart=False, **keys):
    """Its file says this now; it runs on as it was."""
    before = look(machine, name)
    define(machine, name, **{'exec': SLEEPS, **keys})
    found = reload(machine)[name]
    assert found['change'] == 'changed' and found['keys'] == list(changed), found
    assert found['needs_restart'] == needs_restart, found
    after = look(machine, name)
    for key in ('pid', 'since', 'restarts', 'state', 'invocation'):
        assert after[key] == before[key], (key, before, after)


def test_what_runs_as_its_file_was_says_so_until_it_is_restarted_or_the_file_is_as_it_was(machine):
    name = begin(machine, env={'A': '1'})
    words = f'runs  as its file was before a reload: slc restart {name}\n'
    def outdated():
        told = look(machine, name)['needs_restart']
        assert told == (words in machine.slc('status', name).stdout)
        return told
    assert not outdated()
    change(machine, name, 'description', description='x', env={'A': '1'})
    assert not outdated()
    change(machine, name, 'env', needs_restart=True, description='x', env={'A': '2'})
    assert outdated()
    machine.kill_launcher()
    change(machine, name, 'description', env={'A': '2'})
    assert outdated()
    change(machine, name, 'env', needs_restart=True, env={'A': '1'})
    assert not outdated()
    change(machine, name, 'env', needs_restart=True, env={'A': '3'})
    assert outdated()
    machine.slc('restart', name)
    assert not outdated()


def started_again(machine, name, old):
    return until(lambda: (s := look(machine, name))['pid'] not in (None, old) and
                 s['state'] == 'running' and s, 'it is started again')


# ---- at once ----------------------------------------------------------------------------------

def test_a_description_counts_at_once(machine):
    name = begin(machine, description='one')
    change(machine, name, 'description', description='two')
    assert look(machine, name)['description'] == 'two'
    assert 'two' in machine.slc('list').stdout


def test_a_restart_policy_counts_at_once(machine):
    name = begin(machine, restart='never')
    change(machine, name, 'restart', restart={'policy': 'always', 'delay': '1ms'})
    assert started_again(machine, name, kill(machine, name))['restarts'] == 1
    change(machine, name, 'restart', restart='never')
    kill(machine, name)
    wait(machine, name, 'failed')


def test_a_restart_limit_counts_what_was_restarted_before_it(machine):
    name = begin(machine, restart={'delay': '1ms', 'reset-after': '1h'})
    for _ in range(2):
        started_again(machine, name, kill(machine, name))
    change(machine, name, 'restart', restart={'delay': '1ms', 'reset-after': '1h', 'limit': 2})
    kill(machine, name)
    assert 'after 2 restarts' in wait(machine, name, 'failed')['reason']


def test_a_stop_signal_counts_at_once(machine):
    name = begin(machine, exec=TALKS)
    change(machine, name, 'stop', exec=TALKS, stop={'signal': 'USR1'})
    machine.slc('stop', name)
    assert 'USR1' in printed(machine, name) and 'TERM' not in printed(machine, name)


def test_a_stop_time_out_counts_at_once(machine):
    deaf = shell('trap "" TERM; echo ready; while :; do sleep 100000; done')
    name = begin(machine, exec=deaf, stop={'timeout': '1h'})
    until(lambda: 'ready' in printed(machine, name), 'it is deaf')
    change(machine, name, 'stop', exec=deaf, stop={'timeout': '100ms'})
    machine.slc('stop', name)
    assert '100 ms' in look(machine, name)['reason'], look(machine, name)


def test_a_stop_command_counts_at_once(machine):
    name = begin(machine)
    change(machine, name, 'stop', stop={'exec': shell('echo good bye')})
    machine.slc('stop', name)
    assert printed(machine, name) == 'good bye\n'


def test_hooks_count_at_once(machine):
    name = begin(machine, before_stop=[shell('echo never')])
    change(machine, name, 'after-start', 'before-stop', 'after-stop',
           after_start=[shell('echo after-start')], before_stop=[shell('echo before-stop')],
           after_stop=[shell('echo after-stop')])
    machine.slc('restart', name)
    assert printed(machine, name) == 'before-stop\nafter-stop\nafter-start\n'


def test_a_need_that_is_added_takes_it_along_and_one_that_is_removed_does_not(machine):
    need, other = begin(machine), begin(machine)
    name = begin(machine, needs=[other])
    change(machine, name, 'needs', needs=[need])
    machine.slc('stop', other)
    assert look(machine, name)['state'] == 'running'
    machine.slc('stop', need)
    assert need in wait(machine, name, 'stopped')['reason']
    machine.slc('start', need)
    wait(machine, name, 'running')


def test_what_it_needs_and_wants_now_is_started(machine):
    for key in ('needs', 'wants'):
        other, name = next(names), begin(machine)
        define(machine, other, exec=SLEEPS, enabled=False)
        change(machine, name, key, **{key: [other]})
        wait(machine, other, 'running')


def test_a_need_that_does_not_run_stops_nothing_by_being_added(machine):
    """And goes on not to, with the next launcher; once it has been up, its stop counts."""
    need, broken, failed = begin(machine), next(names), begin(machine, restart='never')
    define(machine, broken, exec=SLEEPS, enabled=False)
    name = begin(machine)
    machine.slc('stop', need)
    kill(machine, failed)
    wait(machine, failed, 'failed')
    define(machine, broken, exec=SLEEPS, needs=[begin(machine, needs=[broken])])
    change(machine, name, 'needs', needs=[need, broken, failed, 'not-there'])
    pid = look(machine, name)['pid']
    machine.kill_launcher()
    reload(machine)
    assert look(machine, name)['pid'] == pid and look(machine, name)['state'] == 'running'
    machine.slc('start', need)
    machine.slc('stop', need)
    assert look(machine, name)['pid'] is None


def test_a_need_that_is_just_stopping_stops_nothing_by_being_added(machine):
    """Neither while it stops, or is restarted, nor when it has stopped, nor with the next launcher."""
    for verb in ('stop', 'restart'):
        need, name, flag = next(names), begin(machine), machine.folder / next(names)
        hooked = {'stop': {'exec': shell(f'until test -e {flag}; do sleep 0.02; done')}}
        begin(machine, need, **hooked)
        before = look(machine, need)['pid']
        machine.slc(verb, '--no-wait', need)
        wait(machine, need, 'stopping')
        change(machine, name, 'needs', needs=[need])
        pid = look(machine, name)['pid']
        machine.kill_launcher()
        assert look(machine, need)['state'] == 'stopping'
        flag.write_text('')
        if verb == 'stop':
            wait(machine, need, 'stopped')
        else:
            started_again(machine, need, before)
        reload(machine)
        after = look(machine, name)
        assert (after['pid'], after['state']) == (pid, 'running'), after
        # From the next change on it counts.
        machine.slc('start', need)
        machine.slc('stop', need)
        assert look(machine, name)['pid'] is None


def test_what_is_after_another_now_stops_before_it(machine):
    for key in ('after', 'before'):
        file = machine.folder / next(names)
        def hook(word, file=file):
            return {'stop': {'exec': shell(f'sleep 0.1; echo {word} >> {file}')}}
        one, two = begin(machine, **hook('one')), next(names)
        begin(machine, two, **hook('two'))
        change(machine, two, key, **{key: [one]}, **hook('two'))
        machine.slc('stop', one, two)
        assert file.read_text() == ('two\none\n' if key == 'after' else 'one\ntwo\n'), key


def test_a_conflict_stops_nothing_by_being_added_and_counts_at_the_next_start(machine):
    one, two = begin(machine), begin(machine)
    pid = look(machine, one)['pid']
    change(machine, two, 'conflicts', conflicts=[one])
    reload(machine)
    assert look(machine, one)['pid'] == pid
    machine.slc('restart', two)
    assert look(machine, one)['state'] == 'stopped' and two in look(machine, one)['reason']


def test_a_new_service_stops_nothing_that_it_conflicts_with(machine):
    one, two = begin(machine), next(names)
    pid = look(machine, one)['pid']
    define(machine, two, exec=SLEEPS, conflicts=[one])
    reload(machine)
    assert look(machine, one)['pid'] == pid
    assert one in look(machine, two)['reason'] and look(machine, two)['state'] == 'failed'
    reload(machine)
    assert look(machine, one)['pid'] == pid
    machine.slc('start', two)
    wait(machine, one, 'stopped')


def test_enabled_counts_at_once_and_starts_nothing_that_was_there(machine):
    name = begin(machine)
    change(machine, name, 'enabled', enabled=False)
    assert not look(machine, name)['enabled']
    machine.slc('stop', name)
    define(machine, name, exec=SLEEPS, enabled=True)
    reload(machine)
    status = look(machine, name)
    assert status['enabled'] and status['state'] == 'stopped', status


def test_a_condition_counts_at_the_next_start(machine):
    name = begin(machine)
    change(machine, name, 'when', when=[{'exists': '/not/there'}])
    machine.slc('stop', name)
    machine.slc('start', name, check=False)
    assert wait(machine, name, 'skipped')['pid'] is None


def test_a_provided_name_moves_to_another(machine):
    mail = next(names)
    one, two = begin(machine, provides=[mail]), begin(machine)
    user = begin(machine, needs=[mail])
    define(machine, one, exec=SLEEPS)
    change(machine, two, 'provides', provides=[mail])
    assert look(machine, mail)['name'] == two
    machine.slc('stop', one)
    assert look(machine, user)['state'] == 'running'
    machine.slc('stop', mail)
    assert [look(machine, name)['state'] for name in (two, user)] == ['stopped', 'stopped']


def test_how_it_reloads_counts_at_once(machine):
    name = begin(machine, exec=TALKS)
    assert machine.slc('reload', name, check=False).returncode == 1
    change(machine, name, 'reload', exec=TALKS, reload='signal HUP')
    machine.slc('reload', name)
    until(lambda: 'HUP' in printed(machine, name), 'it got it')
    hangs = shell('sleep 100000')
    change(machine, name, 'reload', 'start-timeout', exec=TALKS, reload=hangs,
           start_timeout='200ms')
    result = machine.slc('reload', name, check=False)
    assert '200 ms' in result.stderr, result


def test_the_console_gets_what_it_prints_from_now_on(machine):
    exec = shell('trap "echo for the console" HUP; echo ready; '
                 'while :; do sleep 100000 & wait $!; kill $!; done')
    name = begin(machine, exec=exec)
    until(lambda: 'ready' in printed(machine, name), 'it is set up')
    change(machine, name, 'console', exec=exec, console=True)
    machine.slc('signal', 'HUP', name)
    machine.wait_console('for the console')


def test_a_quota_of_the_journal_counts_at_once(machine):
    exec = shell('trap "seq 1 200000; echo end" HUP; echo ready; '
                 'while :; do sleep 100000 & wait $!; kill $!; done')
    name = begin(machine, exec=exec)
    until(lambda: 'ready' in printed(machine, name), 'it is set up')
    change(machine, name, 'log', exec=exec, log={'max-size': '64K', 'keep': 1})
    machine.slc('signal', 'HUP', name)
    until(lambda: machine.slc('journal', name, '-o', 'cat', '-n', '1').stdout == 'end\n',
          'all is printed')
    sealed = {leaf.split('.log')[0] for leaf in os.listdir(machine.logs / name)} - {'current'}
    assert len(sealed) == 1, sealed
    assert 'ready' not in printed(machine, name)


# ---- at the next start ------------------------------------------------------------------------

def test_what_makes_its_process_counts_at_the_next_start(machine):
    tells = shell('echo "$A $(umask) $PWD $(id -u) $(nice)"; exec sleep 100000')
    name = begin(machine, exec=tells, env={'A': 'old'})
    has_printed(machine, name, f'old 0022 / 0 {os.getpriority(os.PRIO_PROCESS, 0)}\n')
    change(machine, name, 'user', 'dir', 'umask', 'env', 'nice', needs_restart=True, exec=tells,
           env={'A': 'new'}, umask='077', dir='/tmp', user='65534', nice=7)
    # A restart by itself is a start, too.
    started_again(machine, name, kill(machine, name))
    has_printed(machine, name, 'new 0077 /tmp 65534 7\n')


def test_what_does_not_run_needs_no_restart(machine):
    name = begin(machine)
    machine.slc('stop', name)
    change(machine, name, 'exec', exec='sleep 200000')
