"""slc reload NAME, signal and reset: what reaches a service, and what is said about it."""
import contextlib
import json
import os
import signal
import subprocess

from harness import BUILD, Machine, until
from services import (PYTHON, booted, define, events, kill, look, printed, shell, sleeps, wait,
                      words)

COUNTS = shell('trap "echo HUP" HUP; trap "echo USR1" USR1; echo ready; '
               'while :; do sleep 100000 & wait $!; kill $!; done')


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        define(machine, 'counts', exec=COUNTS, reload='signal HUP')
        define(machine, 'command', exec='sleep 100000', env={'A': 'b'}, stop={'timeout': '1s'},
               reload=shell('echo "reload of $SERVICE_NAME $MAINPID $A"'))
        define(machine, 'fails', exec='sleep 100000', reload=shell('echo hm; exit 3'))
        define(machine, 'nothing', exec='sleep 100000', reload='/nowhere/program')
        define(machine, 'late', exec='sleep 100000', start_timeout='500ms',
               reload=shell('sleep 31337; echo never'))
        define(machine, 'gated', exec='sleep 100000', restart={'delay': '1ms'},
               reload=shell(f'echo begins; while ! test -e {flag}; do sleep 0.02; done; echo ends'))
        define(machine, 'plain', exec='sleep 100000')
        define(machine, 'off', exec='sleep 100000', enabled=False, reload='signal HUP')
        define(machine, 'bad', exec='sleep 1', need=['x'])
        define(machine, 'failed', exec=shell('exit 5'), restart='never')
        define(machine, 'back', exec=shell('exit 6'), restart={'delay': '1h', 'jitter': 0})
        booted(machine)
        until(lambda: 'ready' in printed(machine, 'counts'), 'it is set up')
        wait(machine, 'failed', 'failed')
        wait(machine, 'back', 'backing-off')
        yield machine


def begun(machine, *arguments):
    """slc, running."""
    return subprocess.Popen([str(BUILD / 'slc'), '--runtime', str(machine.runtime), *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_reload_by_signal_reaches_the_main_process(machine):
    pid = look(machine, 'counts')['pid']
    assert machine.slc('reload', 'counts').stdout == 'counts: reloaded\n'
    until(lambda: printed(machine, 'counts').count('HUP\n') == 1, 'it got one HUP')
    assert look(machine, 'counts')['pid'] == pid


def test_a_reload_command_runs_in_the_services_surroundings(machine):
    pid = look(machine, 'command')['pid']
    [result] = machine.json('reload', 'command')
    assert result == {'name': 'command', 'outcome': 'done', 'state': 'running', 'reason': None,
                      'by': None, 'taken_along': False}, result
    assert f'reload of command {pid} b\n' in printed(machine, 'command')
    assert 'reloaded' in events(machine, 'command'), events(machine, 'command')


def test_a_reload_command_that_fails_is_told_and_the_service_runs_on(machine):
    before = look(machine, 'fails')
    result = machine.slc('reload', 'fails', check=False)
    assert (result.returncode, result.stderr) == (
        1, 'slc: fails: not reloaded: its reload command exited with 3\n'), result
    after = look(machine, 'fails')
    assert after['reason'] == 'its reload command exited with 3'
    for key in ('state', 'pid', 'since', 'restarts'):
        assert after[key] == before[key], (key, before, after)
    result = machine.slc('reload', 'nothing', check=False)
    assert result.returncode == 1 and 'No such file or directory' in result.stderr, result
    assert look(machine, 'nothing')['state'] == 'running'


def test_a_reload_that_takes_longer_than_a_start_may_is_killed_with_all_of_it(machine):
    result = machine.slc('reload', 'late', check=False)
    assert result.returncode == 1 and 'not done after 500 ms' in result.stderr, result
    assert look(machine, 'late')['state'] == 'running'
    until(lambda: sleeps(machine, '31337') == 0, 'the command is gone')


def test_what_cannot_be_reloaded_is_refused_with_what_to_write(machine):
    for name, words in (('plain', 'reload: signal HUP'), ('off', 'does not run'),
                        ('bad', 'does not load')):
        result = machine.slc('reload', name, check=False)
        assert result.returncode == 1 and 'refused' in result.stderr and words in result.stderr, \
            result
    assert machine.slc('reload', 'nix', check=False).returncode == 4
    result = machine.slc('reload', '--dry-run', 'plain', check=False)
    assert result.returncode == 2 and '--dry-run' in result.stderr, result
    assert machine.slc('reload', '--timeout', '5s', check=False).returncode == 2


def test_requests_during_a_reload_have_a_defined_meaning(machine):
    flag = machine.folder / 'flag'
    first = begun(machine, 'reload', 'gated')
    until(lambda: printed(machine, 'gated').count('begins') == 1, 'it has begun')
    second = begun(machine, 'reload', 'gated')
    assert machine.slc('start', 'gated').stdout == 'gated: had nothing to start: it is running\n'
    [result] = json.loads(machine.slc('--json', 'reload', '--timeout', '100ms', 'gated',
                                      check=False).stdout)
    assert result['outcome'] == 'timed-out', result
    flag.write_text('')
    assert ended(first) == (0, 'gated: reloaded\n', '')
    assert ended(second)[0] == 0
    assert printed(machine, 'gated').count('ends') == 2
    flag.unlink()
    third = begun(machine, 'reload', 'gated')
    until(lambda: printed(machine, 'gated').count('begins') == 3, 'it has begun again')
    machine.slc('stop', 'gated')
    status, _, errors = ended(third)
    assert status == 1 and 'overtook this one: stop' in errors, errors
    machine.slc('start', 'gated')
    fourth = begun(machine, 'reload', 'gated')
    until(lambda: printed(machine, 'gated').count('begins') == 4, 'it has begun once more')
    old = kill(machine, 'gated')
    status, _, errors = ended(fourth)
    assert status == 1 and 'not reloaded' in errors, errors
    until(lambda: look(machine, 'gated')['pid'] not in (None, old), 'it is back')
    assert printed(machine, 'gated').count('ends') == 2


def test_a_signal_goes_to_the_main_process_or_to_all(machine):
    count = lambda word: printed(machine, 'counts').count(word + '\n')
    assert machine.slc('signal', 'USR1', 'counts').stdout == 'counts: signal sent\n'
    until(lambda: count('USR1') == 1, 'it got it')
    machine.slc('signal', 'SIGUSR1', 'counts')
    until(lambda: count('USR1') == 2, 'it got it')
    # All: its child, which has no handler, ends too, and it starts another one.
    children = set(look(machine, 'counts')['processes'])
    machine.slc('signal', str(int(signal.SIGUSR1)), '--all', 'counts')
    until(lambda: count('USR1') == 3, 'it got it')
    pid = look(machine, 'counts')['pid']
    until(lambda: len(set(look(machine, 'counts')['processes']) - children) == 1 or
          not machine.cgroup.folder, 'the child is another one')
    assert look(machine, 'counts')['pid'] == pid


def test_a_signal_without_anybody_to_get_it_is_an_error(machine):
    result = machine.slc('signal', 'HUP', 'off', 'counts', check=False)
    assert result.returncode == 1, result
    assert result.stderr == 'slc: off: refused: its main process does not run\n', result
    assert result.stdout == 'counts: signal sent\n', result
    assert machine.slc('signal', 'HUP', '--all', 'off', check=False).returncode == 1
    result = machine.slc('signal', 'HUPP', 'counts', check=False)
    assert result.returncode == 2 and 'RTMIN+3' in result.stderr, result
    assert machine.slc('signal', 'HUP', check=False).returncode == 2
    assert machine.slc('signal', 'HUP', 'nix', check=False).returncode == 4


def test_a_service_killed_by_a_signal_is_restarted_as_its_file_says(machine):
    old = look(machine, 'plain')['pid']
    machine.slc('signal', 'KILL', 'plain')
    until(lambda: look(machine, 'plain')['pid'] not in (None, old), 'it is back')
    assert look(machine, 'plain')['exit'] == {'signal': 'SIGKILL'}
    assert look(machine, 'plain')['restarts'] == 1
    assert machine.slc('reset', 'plain').stdout == 'plain: reset\n'
    assert look(machine, 'plain')['restarts'] == 0


def test_a_reset_forgets_a_failure_and_ends_a_back_off(machine):
    assert 'failed' in [s['name'] for s in machine.json('list', '--failed')]
    assert machine.slc('reset', 'failed').stdout == 'failed: reset\n'
    now = look(machine, 'failed')
    assert (now['state'], now['reason'], now['restarts']) == ('stopped', None, 0), now
    assert now['exit'] == {'code': 5}, now
    assert machine.slc('reset', 'failed').stdout == 'failed: had nothing to forget: it is stopped\n'
    before = look(machine, 'back')
    machine.slc('reset', 'back')
    # It was tried again at once, and failed again: a first time.
    now = until(lambda: (s := look(machine, 'back'))['since'] != before['since'] and
                s['state'] == 'backing-off' and s, 'it was tried again')
    assert now['restarts'] == 1, now
    assert machine.slc('reset', 'nix', check=False).returncode == 4
    machine.slc('stop', 'back')


def test_others_may_not_change_by_these_either(machine):
    for arguments in (['reload', 'plain'], ['signal', 'HUP', 'plain'], ['reset', 'plain']):
        result = subprocess.run(
            [str(BUILD / 'slc'), '--runtime', '.', *arguments], user=65534, group=65534,
            extra_groups=[], cwd=machine.runtime, capture_output=True, text=True, timeout=60,
            check=False, env={k: v for k, v in os.environ.items() if k != 'CONIT_RUNTIME'})
        assert result.returncode == 6 and 'not permitted' in result.stderr, result


# ---- a signal to one that says what it does -----------------------------------------------------

# On HUP: RELOADING=1, then READY=1 once the file is there; without an argument nothing is said.
TELLS = '''
import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
s.send(b'READY=1')
while True:
    signal.sigwait([signal.SIGHUP])
    if len(sys.argv) == 1:
        print('got it', flush=True)
        continue
    s.send(b'RELOADING=1')
    print('begins', flush=True)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.02)
    print('ends', flush=True)
    s.send(b'READY=1')
'''


def tells(machine, name, *arguments, **keys):
    define(machine, name, **({'exec': words(PYTHON, '-ISuc', TELLS, *arguments),
                              'ready': 'notify', 'reload': 'signal HUP'} | keys))
    machine.slc('reload', check=False)  # some of the others are broken
    wait(machine, name, 'running')


def test_a_reload_by_signal_is_answered_when_the_service_has_said_that_it_is_ready_again(machine):
    flag = machine.folder / 'tells'
    tells(machine, 'tells', str(flag))
    pid = look(machine, 'tells')['pid']
    first = begun(machine, 'reload', 'tells')
    until(lambda: look(machine, 'tells')['reason'] == 'reloads its configuration', 'it has begun')
    machine.kill_launcher()
    assert look(machine, 'tells')['reason'] == 'reloads its configuration'
    assert first.poll() is None and 'ends' not in printed(machine, 'tells')
    flag.write_text('')
    assert ended(first)[:2] == (0, 'tells: reloaded\n')
    # Asked again by the next launcher, it may have reloaded a second time.
    said = printed(machine, 'tells').split()
    assert said.count('begins') == said.count('ends') > 0, said
    until(lambda: look(machine, 'tells')['reason'] is None, 'it is ready again')
    assert look(machine, 'tells')['pid'] == pid


def test_a_reload_by_signal_that_comes_to_no_end_fails_or_is_overtaken(machine):
    tells(machine, 'ever', str(machine.folder / 'never'), start_timeout='1s')
    result = machine.slc('reload', 'ever', check=False)
    assert (result.returncode, result.stderr) == (
        1, 'slc: ever: not reloaded: was asked to reload, and did not say READY=1 within 1 s\n')
    assert look(machine, 'ever')['state'] == 'running'
    tells(machine, 'ever2', str(machine.folder / 'never'), start_timeout='1h', stop={'timeout': '1s'})
    first = begun(machine, 'reload', 'ever2')
    until(lambda: 'begins' in printed(machine, 'ever2'), 'it has begun')
    machine.slc('stop', 'ever2')
    status, _, errors = ended(first)
    assert status == 1 and 'overtook this one: stop' in errors, errors


def test_a_reload_by_signal_of_one_that_says_nothing_of_it_is_done_when_it_is_sent(machine):
    tells(machine, 'silent', start_timeout='1h')
    assert machine.slc('reload', 'silent').stdout == 'silent: reloaded\n'
    until(lambda: 'got it' in printed(machine, 'silent'), 'it got it')
