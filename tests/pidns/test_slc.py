"""slc against the real thing: every verb, its exit status, its JSON, and what it says."""
import contextlib
import json
import os
import pty
import re
import subprocess

from harness import BUILD, Machine, until

TIME = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z'
NOBODY = 65534
SERVICE_KEYS = ['name', 'state', 'type', 'pid', 'since', 'restarts', 'exit', 'reason',
                'description', 'enabled', 'enabled_by', 'gone', 'needs_restart',
                'status_text']


def slc(*arguments, environment=None, **options):
    """slc without a machine."""
    clean = {k: v for k, v in os.environ.items() if k != 'CONIT_RUNTIME'}
    return subprocess.run([str(BUILD / 'slc'), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**clean, **(environment or {})}, **options)


def populate(machine):
    machine.service('db', 'exec: sleep 100000\ndescription: Data base')
    machine.service('web', 'exec: sleep 100000\nneeds: [db]\ndescription: Web server')
    machine.service('once', 'type: task\nexec: echo once was here')
    machine.service('crash', 'exec: /bin/sh -c "echo going; exit 3"\nrestart: never')
    machine.service('killed', 'exec: /bin/sh -c "kill -9 $$"\nrestart: never')
    machine.service('off', 'exec: sleep 100000\nenabled: no')
    machine.service('bad', 'exec: sleep 1\nneed: [db]')


@contextlib.contextmanager
def shared():
    """One machine for the tests that leave it as it was."""
    with Machine() as machine:
        populate(machine)
        machine.boot()
        machine.wait_booted()
        until(lambda: machine.state_of('killed') == 'failed', 'killed has failed')
        yield machine


# Looking.

def test_list_shows_every_service_with_its_reason(machine):
    lines = machine.slc('list').stdout.splitlines()
    assert lines[0].split() == ['STATE', 'NAME', 'PID', 'SINCE', 'RESTARTS', 'DESCRIPTION'], lines
    rows = {line.split()[1]: line for line in lines[1:]}
    assert list(rows) == ['bad', 'crash', 'db', 'killed', 'off', 'once', 'web']
    assert re.match(r'running +web +\d+ +\S+.* 0 +Web server$', rows['web']), rows['web']
    assert 'exited with 3' in rows['crash'] and 'SIGKILL' in rows['killed'], rows
    assert 'bad.yml:2:1' in rows['bad'] and "'need'" in rows['bad'], rows['bad']
    assert '\033' not in ''.join(lines)


def test_list_as_json_has_the_documented_shape(machine):
    services = {service['name']: service for service in machine.json('list')}
    for service in services.values():
        assert list(service) == SERVICE_KEYS, service
        assert re.fullmatch(TIME, service['since']), service
    assert services['web']['state'] == 'running' and services['web']['pid'] > 1
    assert services['web']['exit'] is None and services['web']['type'] == 'daemon'
    assert services['crash']['exit'] == {'code': 3} and services['crash']['pid'] is None
    assert services['killed']['exit'] == {'signal': 'SIGKILL'}
    assert services['once']['state'] == 'done' and services['once']['exit'] == {'code': 0}
    assert services['off']['state'] == 'stopped' and services['off']['reason'] is None
    assert services['bad']['state'] == 'broken' and services['bad']['type'] is None


def test_list_takes_patterns_and_failed(machine):
    names = lambda *a: [service['name'] for service in machine.json('list', *a)]
    assert names('w*', 'db') == ['db', 'web']
    assert names('--failed') == ['bad', 'crash', 'killed']
    assert names('--failed', 'c*') == ['crash']
    assert names('x*') == []


def test_status_gives_details_and_the_last_lines(machine):
    text = machine.slc('status', 'web').stdout
    assert text.startswith('web: Web server\n'), text
    assert re.search(rf'state  running for .*, since {TIME}, pid \d+\n', text), text
    assert re.search(r'needs  db \(running\)\n', text) and re.search(r'processes  \d+\n', text), text
    result = machine.slc('status', 'crash', check=False)
    assert result.returncode == 3 and re.search(rf'\n{TIME} info going\n', result.stdout), result
    assert 'last run  exited with 3' in result.stdout


def test_status_as_json_is_one_object_or_an_array(machine):
    one = machine.json('status', 'web')
    assert list(one)[:len(SERVICE_KEYS)] == SERVICE_KEYS
    assert one['processes'] == [one['pid']] and one['memory'] > 0
    assert {'kind': 'needs', 'name': 'db', 'state': 'running'} in one['dependencies']
    assert [service['name'] for service in machine.json('status', 'web', 'db')] == ['web', 'db']
    db = machine.json('status', 'db')
    assert {'kind': 'needed-by', 'name': 'web', 'state': 'running'} in db['dependencies']
    log = json.loads(machine.slc('--json', 'status', 'once').stdout)['log']
    assert any(line['message'] == 'once was here' and line['stream'] == 'output' for line in log)


def test_status_says_by_its_exit_whether_all_run(machine):
    for names, status in ((['web'], 0), (['once'], 0), (['off'], 3), (['crash'], 3),
                          (['web', 'once'], 0), (['web', 'off'], 3), (['bad'], 3)):
        assert machine.slc('-q', 'status', *names, check=False).returncode == status, names


def test_a_name_that_is_none_gets_4_and_the_nearest_one(machine):
    for verb in ('status', 'start', 'stop', 'restart', 'wait', 'list'):
        result = machine.slc(verb, 'wev', check=False)
        assert result.returncode == 4, (verb, result)
        assert result.stderr == 'slc: wev: there is no such service; did you mean "web"?\n', result
        assert not result.stdout
    result = machine.slc('status', 'completely-different', check=False)
    assert result.returncode == 4 and 'slc list' in result.stderr, result


def test_journal_shows_what_services_printed(machine):
    assert machine.slc('journal', 'once', '-o', 'cat').stdout == 'once was here\n'
    text = machine.slc('journal', 'once').stdout
    assert re.search(rf'^{TIME} info once was here$', text, re.M), text
    lines = [json.loads(line) for line in
             machine.slc('journal', 'crash', '-o', 'json').stdout.splitlines()]
    assert [line['message'] for line in lines if line['stream'] == 'output'] == ['going'], lines
    assert set(lines[0]) == {'time', 'service', 'stream', 'level', 'message'}, lines
    merged = machine.slc('journal', 'once', 'crash').stdout.splitlines()
    assert merged == sorted(merged, key=lambda line: line[:27]) and len(merged) > 3, merged
    assert {line.split()[1] for line in merged} == {'once', 'crash'}
    newest = machine.slc('journal', 'once', 'crash', '-n', '2').stdout.splitlines()
    assert newest == merged[-2:], (newest, merged)
    assert len(machine.slc('journal', '-n1').stdout.splitlines()) == 1
    assert 'Started' in machine.slc('journal', 'conit').stdout


def test_journal_of_a_service_that_never_ran_is_empty_and_of_none_is_4(machine):
    result = machine.slc('journal', 'off')
    assert result.stdout == '' and result.stderr == ''
    result = machine.slc('journal', 'nobody', check=False)
    assert result.returncode == 4 and 'nobody' in result.stderr, result
    assert machine.slc('journal', '../logs', check=False).returncode == 4


def test_journals_are_read_without_a_launcher_too(machine):
    result = slc('--runtime', '/nowhere', '--logs', str(machine.logs), 'journal', 'once', '-o', 'cat')
    assert (result.returncode, result.stdout) == (0, 'once was here\n'), result


def test_wait_waits_for_a_state_and_for_no_longer_than_told(machine):
    assert machine.slc('wait', 'web', 'once').stdout == 'once: done\nweb: running\n'
    assert machine.slc('wait', 'off', '--state', 'stopped').stdout == 'off: stopped\n'
    result = machine.slc('wait', 'off', '--timeout', '100ms', check=False)
    assert result.returncode == 1 and 'off: waited in vain: it is stopped' in result.stderr, result
    result = machine.slc('wait', 'crash', check=False)
    assert result.returncode == 1 and 'exited with 3' in result.stderr, result
    assert machine.slc('wait', 'web', '--state', 'up', check=False).returncode == 2


def test_a_reader_that_has_gone_is_no_error(machine):
    command = f'{BUILD}/slc --runtime {machine.runtime} journal conit; echo $? >&2'
    result = subprocess.run(['/bin/sh', '-c', f'{{ {command}; }} | true'], capture_output=True,
                            text=True, timeout=60, check=True)
    assert result.stderr.strip() in ('0',), result
    with open('/dev/full', 'w', encoding='ascii') as full:
        result = subprocess.run([str(BUILD / 'slc'), '--runtime', str(machine.runtime), 'list'],
                                stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                                check=False)
    assert result.returncode == 1 and 'output: cannot be written' in result.stderr, result


def on_terminal(command, environment):
    """What a command writes to a terminal of its own, standard error included."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(command[0], command, {**os.environ, **environment})
    text = b''
    with contextlib.suppress(OSError):  # EIO: it has ended
        while data := os.read(master, 65536):
            text += data
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()


def test_colours_and_symbols_stand_on_a_terminal_only(machine):
    command = [str(BUILD / 'slc'), '--runtime', str(machine.runtime), 'list']
    status, text = on_terminal(command, {'TERM': 'xterm', 'LANG': 'C.UTF-8', 'LC_ALL': 'C.UTF-8',
                                         'NO_COLOR': ''})
    assert status == 0 and '\033[32m● running' in text and '\033[31m✗ failed' in text, text
    status, text = on_terminal(command, {'TERM': 'linux', 'LANG': 'C', 'LC_ALL': 'C',
                                         'NO_COLOR': '1'})
    assert '\033' not in text and '* running' in text and 'x failed' in text, text


def test_another_user_may_look_but_not_change(machine):
    # The test's folder is closed to others: what is entered before the user changes is not.
    run = lambda *a: slc('--runtime', '.', *a, user=NOBODY, group=NOBODY, extra_groups=[],
                         cwd=machine.runtime)
    result = run('list')
    assert result.returncode == 0, result
    assert run('status', 'web').returncode == 0
    for arguments in (['stop', 'web'], ['start', 'web'], ['restart', 'web'], ['reload'],
                      ['poweroff'], ['reload', 'web'], ['signal', 'HUP', 'web'], ['reset', 'web'],
                      ['enable', 'web'], ['disable', 'web']):
        result = run(*arguments)
        assert result.returncode == 6, (arguments, result)
        assert re.match(rf'slc: {arguments[0]}: not permitted: (user nobody is not root and not in '
                        r'the group conit|.* cannot be changed by this user)', result.stderr), result
    result = run('journal', 'once')
    assert result.returncode == 6 and 'group adm' in result.stderr, result
    assert machine.state_of('web') == 'running'


# Changing. Each test has services of its own, or puts things back.

def test_start_and_stop_say_what_they_did_and_change_nothing_twice(machine):
    assert machine.slc('start', 'off').stdout == 'off: started\n'
    pid = machine.json('status', 'off')['pid']
    assert machine.slc('start', 'off').stdout == 'off: had nothing to start: it is running\n'
    assert machine.json('status', 'off')['pid'] == pid
    assert machine.slc('stop', 'off').stdout == 'off: stopped\n'
    assert machine.slc('stop', 'off').stdout == 'off: had nothing to stop: it is stopped\n'
    assert machine.slc('-q', 'start', 'off').stdout == ''
    [result] = machine.json('stop', 'off')
    assert result == {'name': 'off', 'outcome': 'done', 'state': 'stopped',
                      'reason': result['reason'], 'by': None, 'taken_along': False}, result


def test_a_start_that_fails_says_why(machine):
    # It counts as started once it executes, and ends at once: either may be seen first.
    result = machine.slc('start', 'crash', check=False)
    assert (result.returncode, result.stderr) in (
        (1, 'slc: crash: failed: exited with 3\n'), (0, '')), result
    result = machine.slc('start', 'bad', check=False)
    assert result.returncode == 1 and 'bad.yml:2:1' in result.stderr, result


def test_the_name_of_a_journal_is_told_from_that_of_a_service(machine):
    for name in 'conit', 'syslog', 'kernel':
        hint = f'slc: {name}: is no service, but a journal: slc journal {name}\n'
        for verb in 'status', 'list', 'start':
            result = machine.slc(verb, name, check=False)
            assert (result.returncode, result.stderr) == (4, hint), result
    assert machine.slc('list', '*').stderr == ''
    result = subprocess.run([BUILD / 'slc', '--foo'], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and '--json, ' in result.stderr and '--logs' in result.stderr, result
