"""Every kind of bad file: said with its place, hurting only itself; all others run."""
import contextlib
import os
import re

from harness import Machine
from services import booted, define, look, wait

HUGE_BYTES = 100 << 20


def populate(machine):
    folder = machine.services
    write = lambda name, data: (folder / name).write_bytes(data)
    write('unparsable.yml', b'exec: sleep 1\n  indented: wrongly\n')
    write('unclosed.yml', b'exec: "sleep 1\n')
    write('unknown-key.yml', b'exec: sleep 1\nrestrat: always\n')
    write('wrong-type.yml', b'exec: sleep 1\nneeds: {a: b}\n')
    write('wrong-value.yml', b'exec: sleep 1\ntype: deamon\n')
    write('wrong-time.yml', b'exec: sleep 1\nstart-timeout: soon\n')
    write('no-exec.yml', b'description: nothing to run\n')
    write('a-list.yml', b'- exec\n')
    write('two-documents.yml', b'exec: sleep 1\n---\nexec: sleep 2\n')
    write('anchor.yml', b'exec: &a sleep 1\nargs: [*a]\n')
    write('duplicate.yml', b'exec: sleep 1\nexec: sleep 2\n')
    write('nul.yml', b'exec: sleep\0 1\n')
    write('nul-escape.yml', b'exec: "sleep\\0 1"\n')
    write('not-utf8.yml', b'exec: sleep \xff\xfe\n')
    write('empty.yml', b'')
    write('only-a-comment.yml', b'# nothing\n')
    write('no-user.yml', b'exec: sleep 1\nuser: no-such-user\n')
    write('no-group.yml', b'exec: sleep 1\ngroup: no-such-group\n')
    write('bad-regex.yml', b'exec: sleep 1\nready: {log: "(x"}\n')
    write('percent.yml', b'exec: echo %z\n')
    write('deep.yml', b'exec: ' + b'[' * 5000 + b'\n')
    write('needs-itself.yml', b'exec: sleep 1\nneeds: [needs-itself]\n')
    write('bad name.yml', b'exec: sleep 1\n')
    with open(folder / 'huge.yml', 'wb') as huge:
        huge.write(b'exec: sleep 1\n')
        huge.truncate(HUGE_BYTES)
    (folder / 'a-folder.yml').mkdir()
    os.mkfifo(folder / 'fifo.yml')
    (folder / 'loop.yml').symlink_to('loop.yml')
    (folder / 'dangling.yml').symlink_to('/no/such/file')
    (folder / 'device.yml').symlink_to('/dev/zero')
    (folder / 'socket-like.yml').symlink_to('/dev/full')
    for number in range(3):
        define(machine, f'good{number}', exec='sleep 100000')
    for name in ('off.yml.disabled', 'backup.yml~', '.hidden.yml', 'text.txt', 'yml'):
        write(name, b'exec: /no/such\n')


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        populate(machine)
        booted(machine)
        yield machine


def reason(machine, name):
    status = look(machine, name)
    assert status['state'] == 'broken', status
    return status['reason']


PLACES = {
    'unparsable': r':2:\d+: ', 'unclosed': r':\d+:\d+: ',
    'unknown-key': r":2:1: .*'restrat'.*'restart'", 'wrong-type': r':2:8: ',
    'wrong-value': r":2:7: .*daemon", 'wrong-time': r':2:16: ',
    'no-exec': r':1:1: .*exec', 'a-list': r':1:1: ', 'two-documents': r':2:1: ',
    'anchor': r':1:7: .*anchor', 'duplicate': r":2:1: .*exec", 'nul': r':1:\d+: ',
    'nul-escape': r':1:\d+: .*NUL', 'not-utf8': r':1:\d+: ', 'only-a-comment': r':1:1: .*exec',
    'empty': r': .*empty', 'no-user': r":2:7: .*no-such-user.*number",
    'no-group': r":2:8: .*no-such-group.*number", 'bad-regex': r":2:14: .*log.*expression",
    'percent': r":1:\d+: .*%%", 'deep': r':1:\d+: ', 'needs-itself': r':2:\d+: .*itself',
    'huge': r': ', 'a-folder': r': .*(folder|directory)', 'fifo': r': ', 'loop': r': ',
    'dangling': r': ', 'device': r': ', 'socket-like': r': ',
}


def test_each_is_said_with_file_line_and_column(machine):
    problems = {}
    listed = {service['name'] for service in machine.json('list')}
    for name, pattern in PLACES.items():
        if name not in listed:
            problems[name] = 'not listed'
            continue
        if not re.search(rf'/services/{name}\.yml{pattern}', reason(machine, name)):
            problems[name] = reason(machine, name)
    assert not problems, problems


def test_all_others_run_and_what_is_no_service_file_is_not_listed(machine):
    for number in range(3):
        wait(machine, f'good{number}', 'running')
    names = {service['name'] for service in machine.json('list')}
    assert names - set(PLACES) - {'bad name'} == {'good0', 'good1', 'good2'}, names - set(PLACES)


def test_a_name_that_breaks_the_rules_is_said(machine):
    machine.wait_console(r"bad name")


def test_what_is_broken_can_neither_start_nor_crash_anybody(machine):
    for name in ('unparsable', 'huge', 'fifo', 'device'):
        result = machine.slc('start', name, check=False)
        assert result.returncode == 1 and name in result.stderr, result
    assert machine.slc('reload', check=False).returncode == 1
    assert look(machine, 'good0')['state'] == 'running'


def test_the_launcher_stays_small(machine):
    text = open(f'/proc/{machine.pid_of("service-launcher")}/status', encoding='ascii').read()
    resident_kb = int(re.search(r'VmHWM:\s+(\d+)', text).group(1))
    assert resident_kb * 1024 < HUGE_BYTES, text


# Folders and the system file: a machine each.

def test_an_empty_file_in_a_later_folder_is_a_mask(_machine):
    with Machine() as machine:
        later = machine.folder / 'later'
        later.mkdir()
        machine.arguments += ['--services', str(later)]
        define(machine, 'masked', exec='sleep 100000')
        define(machine, 'replaced', exec='sleep 100000', description='first')
        define(machine, 'needy', exec='sleep 100000', needs=['masked'])
        (later / 'masked.yml').write_text('')
        (later / 'replaced.yaml').write_text('exec: sleep 100000\ndescription: second\n')
        booted(machine)
        assert {s['name'] for s in machine.json('list')} == {'replaced', 'needy'}
        assert look(machine, 'replaced')['description'] == 'second'
        assert look(machine, 'needy')['reason'] == 'needs masked, and no service has that name'


def test_of_yml_and_yaml_in_one_folder_yml_wins_with_a_warning(_machine):
    with Machine() as machine:
        (machine.services / 'd.yml').write_text('exec: sleep 100000\ndescription: yml\n')
        (machine.services / 'd.yaml').write_text('exec: sleep 100000\ndescription: yaml\n')
        (machine.services / 'e.yaml').write_text('exec: sleep 100000\n')
        booted(machine)
        assert look(machine, 'd')['description'] == 'yml'
        assert look(machine, 'e')['state'] == 'running'
        machine.wait_console(r'WARN\S+ .*d\.ya?ml')


def test_a_system_file_that_cannot_be_read_stops_no_boot(_machine):
    for text in (None, b'services: [unclosed', b'\0\0', b'', b'titel: x\n', b'services: 5\n',
                 b'services:\n- name: ../../bin/sh\n'):
        with Machine() as machine:
            define(machine, 'd', exec='sleep 100000')
            if text is None:
                machine.config.mkdir()
            else:
                machine.config.write_bytes(text)
            booted(machine)
            assert look(machine, 'd')['state'] == 'running', text
            machine.wait_console(r'(ERRO|WARN)\S+ .*conit\.yml')


def test_a_file_named_as_what_the_launcher_keeps_for_itself_has_a_bad_name_and_no_more(_machine):
    names = (' system-file', ' switched')
    with Machine() as machine:
        for name in names:
            (machine.services / f'{name}.yml').write_bytes(b'exec: sleep 1\n')
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        for name in names:
            assert re.search('a character that a name cannot have', reason(machine, name))
        assert machine.slc('reload', check=False).returncode == 1
        machine.kill_launcher()
        assert look(machine, 'd')['state'] == 'running'
        for name in names:
            reason(machine, name)


def test_a_name_that_is_too_long_to_be_listed_is_said_and_costs_nobody_anything(_machine):
    long = 'n' * 230
    with Machine() as machine:
        (machine.services / f'{long}.yml').write_bytes(b'exec: sleep 1\n')
        for name in ('a', 'z'):
            define(machine, name, exec='sleep 100000')
        booted(machine)
        for name in ('a', 'z'):
            assert look(machine, name)['state'] == 'running'
        machine.wait_console(rf'{long}\.yml.* is too long; a name has at most 200 bytes')
        define(machine, 'later', exec='sleep 100000')
        result = machine.slc('reload', check=False)
        assert 'is too long' in result.stdout + result.stderr, result
        wait(machine, 'later', 'running')


def test_a_missing_system_file_and_services_folder_leave_a_machine_that_answers(_machine):
    with Machine(arguments=['--config', '/no/such/file', '--services', '/no/such/folder']) \
            as machine:
        machine.services.rmdir()
        machine.services.write_text('a file')
        machine.boot()
        machine.wait_answer()
        assert machine.json('list') == []
        machine.wait_console(r'WARN\S+ .*/no/such/folder: there is no such folder')
        machine.services.unlink()
        machine.services.mkdir()
        define(machine, 'd', exec='sleep 100000')
        machine.slc('reload', check=False)
        wait(machine, 'd', 'running')
