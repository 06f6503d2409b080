"""Many reloads at once while files change, many clients, and more instances than there is room for."""
import collections
import random
import threading

from harness import Machine, until
from services import booted, define, look, printed
from storm import ANSWER_WITHIN, Connection

TIMEOUT = 300
FILES = 5000
TOO_MANY = 'org.conit.Launcher.TooManyConnections'
AT_REST = 1000
SLOTS = 131056  # room for services, as docs/service-file.md has it
STEP = 5000


def reload(machine, answers):
    connection = Connection(machine.runtime / 'control')
    try:
        reply = connection.call('Reload')
        answers[reply.get('error', 'done')] += 1
    except ConnectionError:  # documented: it may simply connect again
        answers['closed'] += 1
    finally:
        connection.close()


def reload_at_once(machine, clients):
    """The answers of so many, and that somebody else was answered meanwhile."""
    answers = collections.Counter()
    threads = [threading.Thread(target=reload, args=(machine, answers)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        machine.slc('status', 'up', timeout=ANSWER_WITHIN)
    for thread in threads:
        thread.join()
    assert sum(answers.values()) == clients, answers
    return answers


class Writer(threading.Thread):
    """Writes, breaks and removes files until it is told to stop."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.over, self.texts = folder, threading.Event(), {}

    def run(self):
        chooser = random.Random(1)
        while not self.over.is_set():
            number = chooser.randrange(FILES)
            text = chooser.choice((None, 'exec: [', *[f'exec: sleep 1\nenabled: no\ndescription: '
                                                      f'again {len(self.texts)}'] * 8))
            self.texts[f's{number}'] = text
            path = self.folder / f's{number}.yml'
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.with_suffix('.new').write_text(text, encoding='ascii')
                path.with_suffix('.new').rename(path)


def test_reloads_of_many_clients_at_once_while_files_change_all_have_an_answer():
    with Machine() as machine:
        for number in range(FILES):
            machine.service(f's{number}', 'exec: sleep 1\nenabled: no')
        define(machine, 'up', exec='sleep 100000')
        booted(machine)
        launcher, pid = machine.wait_pid_of('service-launcher'), look(machine, 'up')['pid']
        writer = Writer(machine.services)
        writer.start()
        try:
            assert reload_at_once(machine, 20) == {'done': 20}
            answers = reload_at_once(machine, 60)
            assert answers["done"] == 60, answers
        finally:
            writer.over.set()
            writer.join()
        machine.slc('reload', check=False)
        services = {service['name']: service for service in machine.json('list')}
        for name, text in writer.texts.items():
            if text is None:
                assert name not in services, services[name]
            elif text == 'exec: [':
                # One that has loaded before keeps what was in force.
                assert look(machine, name)['errors'], services[name]
            else:
                assert services[name]['description'] == text.rsplit(': ', 1)[1], services[name]
        assert (machine.wait_pid_of('service-launcher'), look(machine, 'up')['pid']) == (launcher, pid)


def test_more_instances_than_there_is_room_for_are_refused_with_the_reason():
    with Machine() as machine:
        define(machine, 't@', type='target')
        define(machine, 'up', exec='sleep 100000')
        booted(machine)
        connection = Connection(machine.runtime / 'control')

        def ask(verb, begin, count):
            return connection.call(verb, {'names': [f't@{number}' for number in
                                                    range(begin, begin + count)], 'wait': False})
        room = SLOTS - 1  # but for `up`
        for begin in range(0, room - STEP, STEP):
            assert 'error' not in ask('Start', begin, STEP), begin
        begin = room - room % STEP
        assert 'error' not in ask('Start', begin, room % STEP)
        refused = ask('Start', room, 1)
        assert 'there is no room for another service' in refused['parameters']['why'], refused
        assert look(machine, 'up')['state'] == 'running'
        assert 'error' not in ask('Stop', 0, 1)
        until(lambda: 'error' not in ask('Start', room, 1), 'there is room for another one')
        machine.slc('restart', 'up')
        connection.close()


def test_of_instances_that_have_ended_the_oldest_is_forgotten_when_there_are_too_many():
    with Machine() as machine:
        define(machine, 't@', type='task', exec='true')
        define(machine, 'up', exec='sleep 100000')
        booted(machine)
        connection = Connection(machine.runtime / 'control')

        def listed():
            services = connection.call('List', {})['parameters']['services']
            return {service['name'] for service in services} - {'up'}
        names = [f't@{number}' for number in range(AT_REST + 3)]
        for begin in range(0, len(names), 100):
            asked = connection.call('Start', {'names': names[begin:begin + 100], 'wait': True})
            assert 'error' not in asked, asked
        until(lambda: len(listed()) == AT_REST, 'as many are left as are kept')
        assert names[-1] in listed()
        connection.close()


def test_names_of_instances_that_are_no_names_are_refused_and_odd_ones_harm_nobody():
    with Machine() as machine:
        define(machine, 't@', exec=['/bin/sh', '-c', 'echo "$0"; exec sleep 100000', '%i'])
        booted(machine)
        connection = Connection(machine.runtime / 'control')
        good = ['x' * 198, '-dash', '.', '..', '...', '@', 'a@b', ':', '_', '0']
        bad = ['x' * 199, 'x' * 100000, 'a\nb', '\u202eevil', '%n', '%', 'a/../b', '/', 'a b', '',
               '\u00e9', '$(x)', '"', "'", '\t', 'a\x7fb', '\u200b', '*', '[a]']
        for instance in bad:
            reply = connection.call('Start', {'names': [f't@{instance}']})
            assert reply['error'] == 'org.conit.Launcher.NoSuchService', (instance[:20], reply)
            assert reply['parameters']['why'], (instance[:20], reply)
        for instance in good:
            reply = connection.call('Start', {'names': [f't@{instance}']})
            assert reply['parameters']['results'][0]['outcome'] == 'done', (instance, reply)
        connection.close()
        for instance in good:
            until(lambda: printed(machine, f't@{instance}') == f'{instance}\n', 'it has printed')  # pylint: disable=cell-var-from-loop
        assert sorted(path.name for path in machine.logs.iterdir() if path.name[0] == 't') == sorted(
            f't@{instance}' for instance in good)
        machine.kill_launcher()
        listed = [service['name'] for service in machine.json('list')]
        assert sorted(listed) == sorted(f't@{instance}' for instance in good), listed
        machine.slc('stop', *listed)
        assert machine.json('list') == []
