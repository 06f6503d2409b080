"""slc by itself, with servers that are made up, and with machines that a test needs for itself."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import BUILD, DEADLINE, ROOT, Client, Machine, Process, until
from test_slc import populate, slc


def test_help_lists_the_verbs_that_the_page_describes():
    page = (ROOT / 'docs/control.md').read_text(encoding='utf-8')
    table = page.split('| verb | does |\n')[1].split('\n\n')[0]
    described = list(dict.fromkeys(re.findall(r'^\| `(\w+)', table, re.M)))
    helped = re.findall(r'^  (\w+) ', slc('help').stdout.split('\n\n')[1], re.M)
    assert helped == described, (helped, described)
    assert [verb['verb'] for verb in json.loads(slc('--json', 'help').stdout)] == described
    for foreign, verb in {'stauts': 'status', 'daemon-reload': 'reload', 'kill': 'signal'}.items():
        for result in slc(foreign, 'x'), slc('help', foreign):
            assert (result.returncode, result.stderr) == (
                2, f'slc: {foreign}: there is no such verb; did you mean "{verb}"?\n'), result
    for verb in described:
        text = slc('help', verb).stdout
        assert text.startswith(f'slc {verb}'), text
        assert slc(verb, '--help').stdout == text
        for option in re.findall(r'--([a-z-]+)', text):
            assert f'--{option}' in page or option in ('help', 'version', 'lines', 'output'), option


def test_wrong_usage_gets_2_and_says_what_to_write():
    for arguments, words in ((['lst'], 'did you mean "list"?'), ([], 'slc help'), (['start'], 'NAME'),
                             (['list', '--faild'], 'did you mean --failed?'),
                             (['--failed'], 'slc list --failed'), (['poweroff', 'now'], '"now"'),
                             (['journal', '-g', 'a(b'], '"a(b": column 2: this \'(\' has no \')\''),
                             (['journal', '-p', 'bad'], 'write emerg, alert'),
                             (['journal', '--since', '25:00'], 'there is no hour 25'),
                             (['journal', '--until', 'noon'], 'write -2h'),
                             (['journal', '-f', '--until', 'now'], 'leave one of the two out'),
                             (['journal', '--since', 'now', '--until', '-1h'], 'is before "now"'),
                             (['journal', '--boot=last'], 'write -1'), (['journal', '-b3'], 'write -1'),
                             (['journal', '-n', 'x'], 'no number'),
                             (['journal', '-o', 'xml'], 'short, cat and json'),
                             (['start', 'a', '--timeout', '5x'], 'no time'),
                             (['reload', 'web', '--dry-run'], 'without names'), (['--runtime'], 'needs DIR'),
                             (['list', '--json=1'], 'no value'),
                             (['wait', 'a', '--state', 'up'], 'write stopped, waiting'), (['help', 'nix'], 'slc help')):
        result = slc(*arguments, environment={'CONIT_RUNTIME': '/nowhere'})
        assert result.returncode == 2 and words in result.stderr, (arguments, result)
        assert result.stderr.startswith('slc: ') and not result.stdout, result


def test_without_a_launcher_it_ends_with_5_at_once():
    began = time.monotonic()
    result = slc('list', environment={'CONIT_RUNTIME': '/nowhere'})
    assert result.returncode == 5 and '/nowhere/control' in result.stderr, result
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f'{folder}/control')
        result = slc('--runtime', folder, 'list')
        assert result.returncode == 5 and 'nobody listens' in result.stderr, result
    assert time.monotonic() - began < 9


def test_a_launcher_that_does_not_answer_is_waited_for_10_seconds():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(f'{folder}/control')
        deaf.listen(1)
        began = time.monotonic()
        result = slc('--runtime', folder, 'list')
        assert result.returncode == 5 and 'waited 10 s' in result.stderr, result
        assert 9 < time.monotonic() - began


def test_a_folder_with_a_long_path_is_reached():
    with tempfile.TemporaryDirectory() as folder:
        deep = pathlib.Path(folder) / ('d' * 120)
        deep.mkdir()
        os.chdir(deep)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind('control')
            server.listen(1)
            thread = threading.Thread(target=answer_once, args=(server, b'{"parameters":{"services":'
                                                                 b'[]}}\0'))
            thread.start()
            result = slc('--runtime', str(deep), '--json', 'list')
            thread.join()
        assert (result.returncode, result.stdout) == (0, '[]\n'), result
        os.chdir('/')


def answer_once(server, data):
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(data)


def test_a_lost_connection_is_made_again_with_the_same_request():
    requests = []
    def serve(server):
        for answer in (b'', b'{"parameters":{"results":[]}}\0'):
            connection, _ = server.accept()
            with connection:
                requests.append(connection.recv(65536))
                connection.sendall(answer)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f'{folder}/control')
        server.listen(5)
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        result = slc('--runtime', folder, 'start', 'web')
        thread.join()
    assert result.returncode == 0, result
    assert len(requests) == 2 and requests[0] == requests[1]
    assert json.loads(requests[0].rstrip(b'\0'))['parameters']['id']


def test_version_is_said():
    assert re.fullmatch(r'slc \(conit\) \d+\.\d+\.\d+\n', slc('version').stdout)
    assert slc('--version').stdout == slc('version').stdout
    assert json.loads(slc('version', '--json').stdout)['version'] in slc('version').stdout


# check, without a launcher.

def check(files, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (pathlib.Path(folder) / name).write_text(text, encoding='utf-8')
        return slc('check', '--services', '.', *arguments, cwd=folder)


def test_check_prints_every_error_with_its_place():
    result = check({'a.yml': 'exec: true\nneeds: [b]\n',
                    'b.yml': 'exec: true\nafter:\n  - c\n  - zork\n',
                    'c.yml': 'exec: true\nwants: [a]\n',
                    'd.yml': 'exec: true\nfoo: 1\n'})
    assert result.returncode == 1, result
    lines = result.stdout.splitlines()
    assert './a.yml:2:9: in a cycle, each after the next: a, b, c, a' in lines, lines
    assert any(line.startswith("./b.yml:4:5: 'after' names 'zork'") for line in lines), lines
    assert any(line.startswith('./d.yml:2:1: ') and "'foo'" in line for line in lines), lines
    assert lines[-1] == '3 services loaded, 3 errors, 0 warnings', lines


def test_check_is_content_with_what_is_right():
    files = {'a.yml': 'exec: true\nneeds: [db]\n', 'b.yml': 'exec: true\nprovides: [db]\n',
             'c.yml': 'exec: true\nbefore: [a]\nconflicts: [nobody]\n'}
    result = check(files)
    assert (result.returncode, result.stdout) == (0, '3 services loaded, 0 errors, 0 warnings\n')
    assert json.loads(check(files, '--json').stdout) == []
    assert check(files, '-q').stdout == ''


def no_more_than_programs(result):
    """They are written for machines that have what they start."""
    assert result.returncode == 0 and ' 0 errors, ' in result.stdout, result
    for line in result.stdout.splitlines()[:-1]:
        assert re.match("warning: [^ ]+: the program '[^ ]+' is (not there|in no folder)", line), line


def test_check_is_content_with_every_file_shipped():
    folders = [ROOT / 'services', ROOT / 'services/examples']
    files = [file for folder in folders for ending in ('yml', 'yml.disabled')
             for file in sorted(folder.glob(f'*.{ending}'))]
    assert len(files) > 12, files
    for file in files:
        result = slc('check', *(word for folder in folders for word in ('--services', str(folder))),
                     str(file))
        no_more_than_programs(result)
    config = ROOT / 'vm/root/etc/conit.yml'
    result = slc('check', '--services', str(ROOT / 'services'), '--config', str(config))
    no_more_than_programs(result)


def test_check_warns_of_a_program_that_is_not_there_or_none():
    files = {'a.yml': 'exec: /nowhere/a\n', 'b.yml': 'exec: nothing-of-that-name -x\n',
             'c.yml': 'exec: ./c.yml\ndir: HERE\n', 'd.yml': 'exec:\n  - /etc\n',
             'e.yml': 'exec: x.yml\nenv: {PATH: "/nowhere:HERE"}\n',
             'f.yml': 'exec: /nowhere/f\nwhen: [{exists: /nowhere/f}]\n',
             'g.yml': 'exec: /nowhere/g\nroot: /\n', 'h@.yml': 'exec: /nowhere/%i\n',
             'i@.yml': 'exec: /nowhere/i %i\n', 'j.yml': 'exec: nowhere\nenv-file: /e\n',
             'k.yml': 'script: true\n', 'l.yml': 'exec: sh\n', 'x.yml': 'exec: sh\n'}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            file = pathlib.Path(folder) / name
            file.write_text(text.replace('HERE', folder), encoding='utf-8')
            file.chmod(0o755 if name == 'x.yml' else 0o644)
        result = slc('check', '--services', '.', cwd=folder)
        assert result.returncode == 0, result
        assert result.stdout.splitlines() == [
            "warning: ./a.yml:1:7: the program '/nowhere/a' is not there",
            "warning: ./b.yml:1:7: the program 'nothing-of-that-name' is in no folder of PATH "
            '(/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)',
            "warning: ./c.yml:1:7: the program './c.yml' is not executable: chmod +x",
            "warning: ./d.yml:2:5: the program '/etc' is no file",
            "warning: ./i@.yml:1:7: the program '/nowhere/i' is not there",
            '13 services loaded, 0 errors, 5 warnings'], result


def test_check_of_one_file_knows_the_others_by_name():
    files = {'a.yml': 'exec: true\nneeds: [b, nix]\n', 'b.yml': 'exec: true\nfoo: 1\n'}
    result = check(files, 'a.yml')
    assert result.returncode == 1, result
    assert "a.yml:2:12: 'needs' names 'nix'" in result.stdout and 'foo' not in result.stdout, result
    assert check(files, 'missing.yml').returncode == 1
    [error] = json.loads(check(files, 'a.yml', '--json').stdout)
    assert (error['file'], error['line'], error['column']) == ('a.yml', 2, 12), error


def test_check_makes_the_instances_that_are_named_and_looks_at_templates_without_one():
    files = {'t@.yml': 'exec: true\nneeds: ["low@%i", missing, "%i-own"]\n',
             'low@.yml': 'exec: true\nwants: ["t@%i"]\n',
             'one-own.yml': 'exec: true\n',
             'a.yml': 'exec: true\nneeds: ["t@one", "t@two"]\nafter: ["t@three", "u@x"]\n',
             'alone@.yml': 'exec: true\nenv: {A: "%q"}\nneeds: ["missing@%i"]\n',
             'system': 'start: ["low@three", "u@y"]\n'}
    result = check(files, '--config', 'system')
    assert result.returncode == 1, result
    for line in ("t@.yml:2:19: 'needs' names 'missing'", "t@.yml:2:28: 'needs' names 'two-own'",
                 "a.yml:3:20: 'after' names 'u@x'", "alone@.yml:2:11: '%q' stands for nothing",
                 'in a cycle, each after the next: t@one, low@one, t@one',
                 'in a cycle, each after the next: low@INSTANCE, t@INSTANCE, low@INSTANCE',
                 "system:1:22: 'start' names 'u@y'"):
        assert line in result.stdout, (line, result.stdout)
    assert 'one-own' not in result.stdout and "'t@three'" not in result.stdout, result.stdout
    assert result.stdout.count("names 'missing'") == 1, result.stdout
    files = {'t@.yml': 'exec: true %i\nready: exec\n', 'a.yml': 'exec: true\nneeds: ["t@x"]\n'}
    result = check(files)
    assert result.returncode == 0 and '2 services loaded, 0 errors' in result.stdout, result
    assert check(files, 't@.yml').returncode == 0
    result = check({'a@.yml': 'exec: true\nwants: ["b@%ix"]\n',
                    'b@.yml': 'exec: true\nwants: ["a@%ix"]\n'})
    assert result.returncode == 1 and 'longer and longer names' in result.stdout, result


def test_check_of_a_folder_reads_the_service_that_it_is():
    with tempfile.TemporaryDirectory() as top:
        folder = pathlib.Path(top).resolve() / 'web'
        folder.mkdir()
        (folder / 'config.yml').write_text('description: x\n', encoding='utf-8')
        for word, place in (('web/', top), ('.', folder), ('config.yml', folder)):
            result = slc('check', '--services', '.', word, cwd=place)
            wanted = f"{folder}/config.yml:1:1: the program is missing: write 'exec: /path/of/"
            assert result.returncode == 1 and result.stdout.startswith(wanted), (word, result)
            assert "a folder 'bin' with an executable 'web'" in result.stdout, result
        (folder / 'bin').write_text('#!/bin/sh\n', encoding='utf-8')
        (folder / 'bin').chmod(0o755)
        assert slc('check', '--services', '.', 'web', cwd=top).returncode == 0
        result = slc('check', '--services', '.', '.', cwd=top)
        assert result.returncode == 1 and '.: is a folder without a config.yaml' in result.stdout


def test_every_program_explains_itself_and_refuses_what_it_does_not_know():
    for program in ('init', 'service-launcher', 'service-journal', 'slc', 'run-on-pid-ns',
                    'follow-forks'):
        def run(*words):
            return subprocess.run([str(BUILD / program), *words], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=60, check=False)
        long, short, version = run('--help'), run('-h'), run('--version')  # pylint: disable=cell-var-from-loop
        assert (long.returncode, long.stderr) == (0, '') and program in long.stdout, long
        assert (short.returncode, short.stdout) == (0, long.stdout), short
        assert re.fullmatch(rf'{program} \(conit\) [0-9.]+\n', version.stdout), version
        wrong, nothing = run('--nonsense'), run()
        usage = 125 if program == 'run-on-pid-ns' else 2  # what the command ends with is the others'
        assert wrong.returncode == usage and not wrong.stdout, wrong
        assert wrong.stderr.startswith(f'{program}: ') and '--nonsense' in wrong.stderr
        assert wrong.stderr.count('\n') == 1, wrong
        assert nothing.returncode == usage and nothing.stderr.startswith(f'{program}: '), nothing


def test_check_looks_at_the_system_file():
    files = {'a.yml': 'exec: true\n', 'system': 'services:\n  - name: a\n  - name: b\n'}
    result = check(files, '--config', 'system')
    assert result.returncode == 1, result
    assert "system:3:11: 'services' names 'b', and no service has" in result.stdout, result
    files['system'] = 'start: [a, c]\n'
    result = check(files, '--config', 'system')
    assert result.returncode == 1, result
    assert "system:1:12: 'start' names 'c', and no service has" in result.stdout, result
    files['system'] = 'title: [\n'
    assert check(files, '--config', 'system').returncode == 1


# What ends the machine, or needs one to itself.

def test_each_way_to_end_the_machine_is_answered_first():
    for how in ('poweroff', 'halt'):
        with Machine() as machine:
            machine.service('web', 'exec: sleep 100000')
            machine.boot()
            machine.wait_booted()
            result = machine.slc(how)
            assert result.stdout == f'{how}: begun\n', result
            assert machine.wait_end() == 0


def test_stop_takes_along_and_restart_brings_back():
    with Machine() as machine:
        populate(machine)
        machine.boot()
        machine.wait_booted()
        assert machine.slc('stop', 'db').stdout == (
            'db: stopped\nweb: stopped, because it needs db, which was stopped\n')
        assert machine.slc('start', 'web').stdout == 'web: started\n'
        before = {name: machine.json('status', name)['pid'] for name in ('db', 'web')}
        result = machine.slc('restart', 'db')
        assert result.stdout == ('db: restarted\n'
                                 'web: restarted, because it needs one that was named\n'), result
        for name, pid in before.items():
            status = machine.json('status', name)
            assert status['state'] == 'running' and status['pid'] != pid, status


def test_events_tell_each_change_as_it_happens():
    with Machine() as machine:
        populate(machine)
        machine.boot()
        machine.wait_booted()
        command = [str(BUILD / 'slc'), '--runtime', str(machine.runtime), '--json', 'events', 'off']
        with Process(command, stdout=subprocess.PIPE, text=True) as events:
            machine.idle(events.pid)  # the launcher knows of it
            machine.slc('start', 'off')
            machine.slc('stop', 'off')
            seen = [json.loads(events.stdout.readline()) for _ in range(4)]
            events.send_signal(signal.SIGINT)
            events.wait(DEADLINE)
        assert {event['name'] for event in seen} == {'off'}
        states = ['stopped', 'starting', 'running', 'stopping', 'stopped']
        assert [(event['before'], event['state']) for event in seen] == list(zip(states, states[1:]))


def slc_beside(machine, *arguments):
    return Process([str(BUILD / 'slc'), '--runtime', str(machine.runtime), *arguments],
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_slow_stop_is_shown_and_a_time_limit_ends_the_waiting():
    with Machine() as machine:
        machine.service('stubborn', 'script: |\n  trap "" TERM\n  echo deaf\n  while :; do sleep 100; done\n'
                                    'stop: {timeout: 10min}')
        machine.boot()
        machine.wait_booted()
        until(lambda: 'deaf' in machine.slc('journal', 'stubborn').stdout, 'it ignores TERM')
        result = machine.slc('stop', 'stubborn', '--timeout', '50ms', check=False)
        assert result.returncode == 1, result
        assert 'stubborn: not done in 50ms: it is still stopping' in result.stderr, result
        with slc_beside(machine, 'stop', 'stubborn') as stop:
            assert 'slc: stop: waiting: stubborn is stopping' in stop.stderr.readline()
            machine.slc('signal', 'KILL', 'stubborn')
            assert stop.wait(DEADLINE) == 0
        assert machine.state_of('stubborn') == 'stopped'


def test_a_start_whose_program_is_missing_fails_with_the_reason():
    with Machine() as machine:
        machine.service('lost', 'exec: /nowhere/program\nenabled: no\nrestart: never')
        machine.boot()
        machine.wait_booted()
        result = machine.slc('start', 'lost', check=False)
        assert result.returncode == 1 and not result.stdout, result
        assert re.fullmatch('slc: lost: failed: .*No such file or directory.*\n', result.stderr), result
        [told] = json.loads(machine.slc('--json', 'start', 'lost', check=False).stdout)
        assert told['outcome'] == 'failed' and told['state'] == 'failed', told


def test_reload_says_what_has_changed():
    with Machine() as machine:
        populate(machine)
        machine.boot()
        machine.wait_booted()
        pid = machine.json('status', 'db')['pid']
        machine.service('new', 'exec: sleep 100000')
        machine.service('web', 'exec: sleep 100001\nneeds: [db]\ndescription: Another')
        (machine.services / 'off.yml').unlink()
        machine.service('bad', 'exec: sleep 100000')
        machine.service('db', 'exec: [')
        dry = machine.slc('reload', '--dry-run', check=False)
        assert dry.returncode == 1 and machine.state_of('new') is None, dry
        result = machine.slc('reload', check=False)
        assert result.stdout == dry.stdout, (dry, result)
        assert result.returncode == 1 and 'db.yml:' in result.stderr, result
        assert re.search(r'^new +new$', result.stdout, re.M), result
        assert re.search(r'^gone +off$', result.stdout, re.M), result
        assert re.search(r'^broken +db$', result.stdout, re.M), result
        assert re.search(r'^changed +web: .*description.* \(in force after: slc restart web\)$',
                         result.stdout, re.M), result
        assert machine.json('status', 'db')['pid'] == pid
        machine.wait_state('new', 'running')


def test_reload_takes_the_system_file_along_and_keeps_the_one_that_loads():
    def title(machine):
        with Client(machine) as client:
            return client.ask('Describe')['parameters']['title']
    with Machine() as machine:
        machine.config.write_text('title: One\n', encoding='utf-8')
        machine.service('s', 'exec: sleep 100000')
        machine.boot()
        machine.wait_booted()
        machine.config.write_text('title: Two\n', encoding='utf-8')
        machine.slc('reload', '--dry-run')
        assert title(machine) == 'One'
        machine.slc('reload')
        assert title(machine) == 'Two'
        machine.config.write_text('title: [\n', encoding='utf-8')
        result = machine.slc('reload', check=False)
        assert result.returncode == 1 and 'conit.yml:' in result.stderr, result
        assert title(machine) == 'Two'
        machine.kill_launcher()
        machine.wait_state('s', 'running')
        assert title(machine) == 'Two'


def test_a_request_survives_the_launcher_being_killed():
    with Machine() as machine:
        machine.service('slow', 'script: |\n  trap "" TERM\n  while :; do sleep 100; done\n'
                                'stop: {timeout: 10min}')
        machine.boot()
        machine.wait_booted()
        with slc_beside(machine, 'stop', 'slow') as stop:
            machine.wait_state('slow', 'stopping')
            machine.kill_launcher()
            machine.slc('signal', 'KILL', 'slow')
            output, errors = stop.communicate(timeout=60)
        assert stop.returncode == 0, (output, errors)
        assert machine.state_of('slow') == 'stopped'
