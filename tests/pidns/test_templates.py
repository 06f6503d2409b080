"""Templates: NAME@.yml is no service, and NAME@INSTANCE is one as soon as somebody names it."""
import json
import time

from harness import Machine, until
from services import booted, define, has_printed, kill, look, need_cgroup, printed, shell, wait

NO_SERVICE = 4


def names(machine):
    return sorted(service['name'] for service in machine.json('list'))


def instance(machine, text='exec sleep 100000', name='t@', **keys):
    """A template that runs this text of a shell, in which a percent sign is what it is in a file."""
    define(machine, name, **{'exec': ['/bin/sh', '-c', text], **keys})


def refusal(machine, *arguments, code=NO_SERVICE):
    result = machine.slc(*arguments, check=False)
    assert result.returncode == code, result
    return result.stderr


def test_an_instance_starts_when_a_person_names_it():
    with Machine() as machine:
        instance(machine, 'echo %i %n %p 100%%; env | grep ^SERVICE_; exec sleep 100000')
        booted(machine)
        assert names(machine) == []
        machine.slc('start', 't@one', 't@two')
        assert names(machine) == ['t@one', 't@two']
        assert look(machine, 't@one')['state'] == 'running'
        assert look(machine, 't@one')['pid'] != look(machine, 't@two')['pid']
        assert look(machine, 't@one')['file'].endswith('/t@.yml')
        for name in ('one', 'two'):
            said = [f'SERVICE_INSTANCE={name}', f'SERVICE_NAME=t@{name}', f'{name} t@{name} t 100%']
            until(lambda: sorted(printed(machine, f't@{name}').splitlines()) == said, said)
            machine.slc('stop', f't@{name}')
            assert (machine.logs / f't@{name}' / 'current').exists()
        assert not (machine.logs / 't@').exists()


def test_only_an_instance_has_an_instance_in_its_environment():
    with Machine() as machine:
        define(machine, 'plain', type='task', exec=shell('env'), env={'SERVICE_INSTANCE': 'liar'})
        booted(machine)
        assert 'SERVICE_NAME=plain' in printed(machine, 'plain')
        assert 'SERVICE_INSTANCE' not in printed(machine, 'plain')


def test_needs_and_wants_make_an_instance_and_order_alone_does_not():
    with Machine() as machine:
        instance(machine, needs=['below@%i'])
        instance(machine, name='below@')
        define(machine, 'a', exec='sleep 100000', needs=['t@x'], wants=['t@y'],
               after=['t@after'], before=['t@before'], conflicts=['t@against'])
        define(machine, 'off', exec='sleep 100000', enabled=False, needs=['t@off'])
        booted(machine)
        assert names(machine) == ['a', 'below@off', 'below@x', 'below@y', 'off', 't@off', 't@x',
                                  't@y']
        for name in ('a', 't@x', 't@y', 'below@x', 'below@y'):
            assert look(machine, name)['state'] == 'running', name
        # It is there because it is named, and started by nobody.
        for name in ('off', 't@off', 'below@off'):
            assert look(machine, name)['state'] == 'stopped', name
        machine.slc('start', 't@against')
        assert look(machine, 'a')['state'] == 'stopped'
        assert look(machine, 't@against')['state'] == 'running'


def test_the_system_file_names_instances():
    for text in ('start: ["t@one", "t@two"]\n', 'services:\n- name: t@two\n- name: t@one\n'):
        with Machine() as machine:
            instance(machine)
            machine.config.write_text(text, encoding='utf-8')
            booted(machine)
            assert names(machine) == ['t@one', 't@two']
            machine.slc('stop', 't@one')
            assert look(machine, 't@one')['state'] == 'stopped'  # named, so it stays
            machine.slc('start', 't@one')


def test_a_bad_name_is_refused_with_words():
    with Machine() as machine:
        instance(machine)
        booted(machine)
        for verb in ('start', 'restart', 'stop', 'status'):
            assert 'is a template, and no service by itself' in refusal(machine, verb, 't@'), verb
            assert "has a '/'" in refusal(machine, verb, 't@a/b'), verb
            assert 'too long' in refusal(machine, verb, 't@' + 'x' * 199), verb
            assert "begins with '@'" in refusal(machine, verb, '@x'), verb
            assert 'there is no such service' in refusal(machine, verb, 'u@x'), verb
        for verb in ('stop', 'status'):
            assert '`slc start` makes it' in refusal(machine, verb, 't@x'), verb
        assert names(machine) == []
        machine.slc('start', 't@' + 'x' * 198)
        assert names(machine) == ['t@' + 'x' * 198]


def test_bad_names_in_files_break_only_those_who_use_them():
    with Machine() as machine:
        instance(machine)
        define(machine, 'bare', exec='sleep 100000', needs=['t@'])
        define(machine, 'slash', exec='sleep 100000', needs=['t@a/b'])
        define(machine, 'good', exec='sleep 100000', needs=['t@x'])
        booted(machine)
        for name, why in (('bare', 'is a template'), ('slash', "has a '/'")):
            status = look(machine, name)
            assert status['state'] == 'broken' and why in status['errors'][0], status
        assert look(machine, 'good')['state'] == 'running'


def test_an_own_file_outranks_the_template_and_an_empty_one_masks_the_instance():
    with Machine() as machine:
        instance(machine, 'echo template; exec sleep 100000', enabled=False)
        define(machine, 't@own', exec=shell('echo own; exec sleep 100000'))
        (machine.services / 't@masked.yml').write_text('', encoding='utf-8')
        define(machine, 'a', exec='sleep 100000', wants=['t@own', 't@masked', 't@x'])
        booted(machine)
        assert names(machine) == ['a', 't@own', 't@x']
        assert 'no such service' in refusal(machine, 'start', 't@masked')
        has_printed(machine, 't@own', 'own\n')
        has_printed(machine, 't@x', 'template\n')


def test_a_template_that_is_a_folder_brings_its_program_and_journals():
    with Machine() as machine:
        folder = machine.services / 't@'
        (folder / 'bin').mkdir(parents=True)
        (folder / 'logs').mkdir()
        (folder / 'config.yaml').write_text('args: ["%i"]\n', encoding='utf-8')
        (folder / 'bin' / 't').write_text('#!/bin/sh\necho $1 is here\nexec sleep 100000\n',
                                          encoding='utf-8')
        (folder / 'bin' / 't').chmod(0o755)
        booted(machine)
        machine.slc('start', 't@one', 't@two')
        for name in ('one', 'two'):
            journal = folder / 'logs' / f't@{name}'
            assert look(machine, f't@{name}')['journal'] == str(journal)
            until(lambda: (journal / 'current').exists() and f'{name} is here' in
                  (journal / 'current').read_text(encoding='utf-8'),
                  f'{name} has printed into {journal}')
            machine.slc('stop', f't@{name}')


def test_names_and_conditions_and_the_rest_say_which_instance_it_is():
    with Machine() as machine:
        there = machine.folder / 'there'
        there.write_text('', encoding='utf-8')
        define(machine, 't@', exec='sleep 100000', description='%i stays', provides=['also-%i'],
               when=[{'exists': f'{machine.folder}/%i'}], dir='/proc', env={'WHO': '%i'},
               conflicts=['against@%i'], enabled=False,
               before_start=f'touch {machine.folder}/hook-%i')
        define(machine, 'against@', exec='sleep 100000')
        define(machine, 'a', exec='sleep 100000', needs=['also-there'], enabled=False)
        booted(machine)
        machine.slc('start', 't@there', 't@missing')
        assert look(machine, 't@there')['state'] == 'running'
        assert look(machine, 't@there')['description'] == 'there stays'
        assert look(machine, 't@missing')['state'] == 'skipped'
        assert f'{machine.folder}/missing' in look(machine, 't@missing')['reason']
        assert (machine.folder / 'hook-there').exists()
        assert look(machine, 'also-there')['name'] == 't@there'
        machine.slc('start', 'a')
        machine.slc('start', 'against@missing')
        assert look(machine, 't@there')['state'] == 'running'
        machine.slc('start', 'against@there')
        assert 't@there' not in names(machine)  # stopped, and nobody names it


def test_a_template_that_does_not_load_is_told_and_breaks_its_instances_at_its_place():
    with Machine() as machine:
        machine.service('t@', 'exec: sleep 100000\numsk: "077"')
        define(machine, 'a', exec='sleep 100000', needs=['t@x'])
        booted(machine)
        machine.wait_console(r"A template does not load.*t@\.yml:2:1: there is no key 'umsk'")
        for name in ('t@x', 't@y'):
            text = refusal(machine, 'start', name, code=1)
            assert 't@.yml:2:1' in text and 'umask' in text, text
            assert 't@.yml:2:1' in look(machine, name)['errors'][0]
        assert look(machine, 'a')['state'] == 'failed'
        assert 't@x' in look(machine, 'a')['reason']


def test_instances_live_through_the_death_of_the_launcher_without_a_file():
    with Machine() as machine:
        need_cgroup(machine)
        instance(machine, 'echo %i $$; exec sleep 100000', needs=['low@%i'])
        instance(machine, name='low@')
        define(machine, 'a', exec='sleep 100000', wants=['t@wanted'])
        booted(machine)
        machine.slc('start', 't@one')
        before = machine.json('list')
        assert len(before) == 5 and all(s['pid'] for s in before), before
        for file in machine.services.iterdir():
            file.unlink()
        for _ in range(2):
            machine.kill_launcher()
            assert machine.json('list') == before
        # It is what it was: it starts again out of the text in force, and others can be named.
        pid = kill(machine, 't@one')
        until(lambda: look(machine, 't@one')['pid'] not in (None, pid), 't@one was restarted')
        machine.slc('start', 't@two')
        machine.slc('stop', 't@one', 't@two')
        assert {line.split()[0] for line in printed(machine, 't@one').splitlines()} <= {'one'}
        assert names(machine) == ['a', 'low@one', 'low@two', 'low@wanted', 't@wanted']


def test_an_instance_that_nobody_names_is_forgotten_once_it_has_stopped():
    with Machine() as machine:
        instance(machine, needs=['low@%i'])
        instance(machine, name='low@')
        booted(machine)
        for number in range(20):
            machine.slc('start', f't@{number}')
            machine.slc('stop', f't@{number}', f'low@{number}')
            assert names(machine) == []
        assert 'makes it' in refusal(machine, 'status', 't@5')
        # What it has printed stays.
        assert (machine.logs / 't@5' / 'current').exists()
        # One whose need was stopped comes back with it, so it is not forgotten.
        machine.slc('start', 't@x')
        machine.slc('stop', 'low@x')
        assert look(machine, 't@x')['state'] == 'stopped'
        machine.slc('start', 'low@x')
        wait(machine, 't@x', 'running')


def test_of_tasks_and_failures_of_instances_only_the_newest_are_kept():
    with Machine() as machine:
        instance(machine, 'exit 0', type='task')
        instance(machine, 'exit 3', name='bad@', restart='never')
        booted(machine)
        for begin in range(0, 1200, 100):
            machine.slc('start', *(f't@{number}' for number in range(begin, begin + 100)))
        machine.slc('start', 'bad@x', check=False)
        assert look(machine, 'bad@x')['exit'] == {'code': 3}
        until(lambda: len(names(machine)) == 1000, 'a thousand are left')
        assert 'bad@x' in names(machine)
        assert 't@1199' in names(machine) and 't@1' not in names(machine)


def test_instances_that_name_longer_ones_come_to_an_end():
    with Machine() as machine:
        instance(machine, name='a@', wants=['b@%ix'])
        instance(machine, name='b@', wants=['a@%iy'])
        define(machine, 'c@', type='target', wants=['d@%i1', 'd@%i2'])
        define(machine, 'd@', type='target', wants=['c@%i'])
        define(machine, 'other', exec='sleep 100000')
        booted(machine)
        machine.slc('start', 'a@1')
        machine.wait_console(r'An instance is not made.*16 deep')
        found = names(machine)
        assert 10 <= len(found) <= 20, found
        machine.kill_launcher()
        assert names(machine) == found
        machine.slc('start', 'c@x')
        assert len(names(machine)) - len(found) < 2000
        assert look(machine, 'other')['state'] == 'running'


def test_five_thousand_instances_load_fast():
    with Machine() as machine:
        count = 5000
        instance(machine, enabled=False)
        define(machine, 'all', type='target', enabled=False,
               wants=[f't@{number}' for number in range(count)])
        begun = time.monotonic()
        booted(machine)
        took = time.monotonic() - begun
        assert len(names(machine)) == count + 1
        # A quiet machine needs 0.2 s; nothing here may be quadratic.
        assert took < 20, took


def reload(machine, *arguments, code=0):
    """The changes by name, without those that are unchanged."""
    result = machine.slc('--json', 'reload', *arguments, check=False)
    assert result.returncode == code, result
    changes = json.loads(result.stdout)
    return {change['name']: change for change in changes if change['change'] != 'unchanged'}


def test_a_changed_template_changes_all_its_instances_and_each_says_so():
    with Machine() as machine:
        instance(machine, 'echo old %i; exec sleep 100000')
        define(machine, 't@own', exec='sleep 100000', enabled=False)
        define(machine, 'a', exec='sleep 100000', wants=['t@x', 't@own'])
        booted(machine)
        machine.slc('start', 't@y')
        before = {service['name']: service['pid'] for service in machine.json('list')}
        instance(machine, 'echo new %i; exec sleep 100000', description='New words')
        dry = reload(machine, '--dry-run')
        assert look(machine, 't@x')['description'] is None
        changes = reload(machine)
        assert changes == dry and set(changes) == {'t@', 't@x', 't@y'}, changes
        for name, change in changes.items():
            assert change['change'] == 'changed', change
            assert change['keys'] == ['description', 'exec'], change
            assert change['needs_restart'] == (name != 't@'), change
        assert reload(machine) == {}
        assert before == {service['name']: service['pid'] for service in machine.json('list')}
        for name in ('t@x', 't@y'):
            assert look(machine, name)['description'] == 'New words'
        machine.kill_launcher()
        assert look(machine, 't@y')['description'] == 'New words'
        has_printed(machine, 't@x', 'old x\n')
        machine.slc('restart', 't@x')
        has_printed(machine, 't@x', 'old x\nnew x\n')


def test_a_template_that_no_longer_loads_leaves_what_was_in_force():
    with Machine() as machine:
        instance(machine, 'echo good; exec sleep 100000')
        booted(machine)
        machine.slc('start', 't@x')
        machine.service('t@', 'exec: [unclosed')
        for name, change in reload(machine, code=1).items():
            assert name in ('t@', 't@x') and change['change'] == 'broken', change
            assert 't@.yml:1:' in change['errors'][0], change
        status = look(machine, 't@x')
        assert status['state'] == 'running' and 't@.yml:' in status['errors'][0], status
        machine.slc('start', 't@later')
        machine.kill_launcher()
        has_printed(machine, 't@x', 'good\n')
        machine.slc('restart', 't@x')
        has_printed(machine, 't@x', 'good\ngood\n')
        has_printed(machine, 't@later', 'good\n')
        machine.slc('stop', 't@x', 't@later')
        instance(machine, 'echo better; exec sleep 100000')
        assert reload(machine)['t@']['change'] == 'changed'
        machine.slc('start', 't@x')
        assert look(machine, 't@x')['errors'] == []


def test_a_broken_template_is_told_by_each_reload_until_it_is_mended():
    with Machine() as machine:
        machine.service('t@', 'exec: sleep 100000\numsk: "077"')
        define(machine, 'a', exec='sleep 100000', needs=['t@x'])
        booted(machine)
        for _ in range(2):
            changes = reload(machine, code=1)
            assert {c['change'] for c in changes.values()} == {'broken'}, changes
            assert set(changes) == {'t@', 't@x'}, changes
        machine.service('t@', 'exec: sleep 100000')
        assert reload(machine)['t@x']['change'] == 'changed'
        wait(machine, 'a', 'running')
        assert look(machine, 't@x')['state'] == 'running'


def test_instances_of_a_template_that_is_gone_run_on_until_they_stop():
    with Machine() as machine:
        instance(machine, 'echo %i; exec sleep 100000')
        define(machine, 'a', exec='sleep 100000', wants=['t@idle', 't@x'])
        booted(machine)
        machine.slc('start', 't@y')
        machine.slc('stop', 't@idle')
        (machine.services / 't@.yml').unlink()
        changes = reload(machine)
        assert {n: c['change'] for n, c in changes.items()} == {
            name: 'gone' for name in ('t@', 't@idle', 't@x', 't@y')}
        assert names(machine) == ['a', 't@x', 't@y']
        machine.kill_launcher()
        assert names(machine) == ['a', 't@x', 't@y']
        assert look(machine, 't@x')['state'] == 'running'
        refusal(machine, 'start', 't@new')
        machine.slc('stop', 't@x')
        assert names(machine) == ['a', 't@y']
        # It is back: what still runs is its instance again, and what is named is made.
        instance(machine, 'echo %i; exec sleep 100000')
        changes = reload(machine)
        assert changes['t@']['change'] == 'new' and changes['t@y']['change'] == 'changed', changes
        assert names(machine) == ['a', 't@idle', 't@x', 't@y']
        machine.slc('stop', 't@y')
        assert names(machine) == ['a', 't@idle', 't@x']


def test_an_own_file_comes_goes_and_masks_at_a_reload():
    with Machine() as machine:
        instance(machine, 'echo template; exec sleep 100000')
        define(machine, 'a', exec='sleep 100000', wants=['t@x'])
        booted(machine)
        define(machine, 't@x', exec=shell('echo own; exec sleep 100000'), nothing_like_it=1)
        assert reload(machine, code=1)['t@x']['change'] == 'broken'
        define(machine, 't@x', exec=shell('echo own; exec sleep 100000'))
        assert reload(machine)['t@x']['keys'] == ['exec']
        has_printed(machine, 't@x', 'template\n')
        machine.slc('restart', 't@x')
        has_printed(machine, 't@x', 'template\nown\n')
        assert look(machine, 't@x')['file'].endswith('/t@x.yml')
        (machine.services / 't@x.yml').unlink()
        change = reload(machine)['t@x']
        assert change['change'] == 'changed' and change['keys'] == ['exec'], change
        machine.kill_launcher()
        assert look(machine, 't@x')['file'].endswith('/t@.yml')
        machine.slc('restart', 't@x')
        has_printed(machine, 't@x', 'template\nown\ntemplate\n')
        (machine.services / 't@x.yml').write_text('', encoding='utf-8')
        assert reload(machine)['t@x']['change'] == 'gone'
        assert look(machine, 't@x')['state'] == 'running'
        machine.slc('stop', 't@x')
        assert names(machine) == ['a']
        refusal(machine, 'start', 't@x')


def test_a_new_file_brings_the_instances_that_it_names():
    with Machine() as machine:
        instance(machine)
        booted(machine)
        define(machine, 'a', exec='sleep 100000', needs=['t@x'])
        assert reload(machine)['a']['change'] == 'new'
        wait(machine, 'a', 'running')
        assert look(machine, 't@x')['state'] == 'running'
        # Named no more it runs on, and is forgotten when it has stopped.
        define(machine, 'a', exec='sleep 100000')
        reload(machine)
        assert look(machine, 't@x')['state'] == 'running'
        machine.slc('stop', 't@x')
        assert names(machine) == ['a']
