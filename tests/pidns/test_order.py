"""In which order services start and stop, and who starts or stops with whom."""
import re
import subprocess

from harness import BUILD, Machine, until
from services import booted, define, kill, look, printed, shell, sleeps, wait


def logging(machine, name, **keys):
    """A daemon that notes its start and its end in one file that all share. It counts as started
    once it has: what an earlier run has left is removed before."""
    log = machine.folder / 'order'
    define(machine, name, before_start=[shell(f'rm -f {log}.{name}')], exec=shell(
        f'echo up {name} >>{log}; trap "echo down {name} >>{log}; exit 0" TERM; : >{log}.{name}; '
        'while :; do sleep 100000 & wait $!; done'),
        after_start=[shell(f'while ! test -e {log}.{name}; do :; done')], **keys)


def order(machine, word):
    return [line.split()[1] for line in (machine.folder / 'order').read_text().splitlines()
            if line.startswith(word + ' ')]


def slc_in_background(machine, *arguments):
    return subprocess.Popen([str(BUILD / 'slc'), '--runtime', str(machine.runtime), *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_a_diamond_starts_from_its_bottom_and_stops_from_its_top():
    with Machine() as machine:
        logging(machine, 'a', needs=['b', 'c'])
        logging(machine, 'b', needs=['d'])
        logging(machine, 'c', needs=['d'])
        logging(machine, 'd')
        booted(machine)
        up = order(machine, 'up')
        assert up[0] == 'd' and up[-1] == 'a' and sorted(up) == ['a', 'b', 'c', 'd'], up
        machine.slc('poweroff')
        assert machine.wait_end() == 0
        down = order(machine, 'down')
        assert down[0] == 'a' and down[-1] == 'd' and sorted(down) == ['a', 'b', 'c', 'd'], down


def test_wants_after_and_before_make_order_too_and_stop_reverses_it():
    with Machine() as machine:
        logging(machine, 'a', after=['z'])
        logging(machine, 'b', wants=['a'])
        logging(machine, 'y', before=['z'])
        logging(machine, 'z')
        booted(machine)
        assert order(machine, 'up') == ['y', 'z', 'a', 'b'], order(machine, 'up')
        machine.slc('poweroff')
        assert machine.wait_end() == 0
        assert order(machine, 'down') == ['b', 'a', 'z', 'y'], order(machine, 'down')


def test_after_alone_starts_nothing_and_wants_forgives():
    with Machine() as machine:
        logging(machine, 'a', after=['off'], wants=['bad', 'wanted-off', 'no-such-service'])
        logging(machine, 'off', enabled=False)
        logging(machine, 'wanted-off', enabled=False)
        define(machine, 'bad', exec='/no/such/program')
        booted(machine)
        wait(machine, 'a', 'running')
        assert order(machine, 'up') == ['wanted-off', 'a']
        assert look(machine, 'off')['state'] == 'stopped'
        machine.wait_console(r"WARN\S+ .*no-such-service")


def test_a_need_on_request_only_is_started_with_who_needs_it():
    with Machine() as machine:
        logging(machine, 'top', needs=['middle'], enabled=False)
        logging(machine, 'middle', needs=['bottom'], enabled=False)
        logging(machine, 'bottom', enabled=False)
        booted(machine)
        assert {s['state'] for s in machine.json('list')} == {'stopped'}
        machine.slc('start', 'top')
        assert order(machine, 'up') == ['bottom', 'middle', 'top']


def test_twenty_tasks_in_a_row_wait_for_each_other_and_not_for_time():
    with Machine() as machine:
        log = machine.folder / 'order'
        for number in range(20):
            define(machine, f't{number:02}', type='task', exec=shell(
                f'test $(wc -l <{log}) = {number} && echo {number} >>{log}'),
                **({'needs': [f't{number - 1:02}']} if number else {}))
        define(machine, 'last', exec=shell(f'tail -1 {log}; exec sleep 100000'), needs=['t19'])
        log.write_text('')
        booted(machine)
        services = machine.json('list')
        assert [s['state'] for s in services if s['type'] == 'task'] == ['done'] * 20, services
        assert log.read_text().split() == [str(number) for number in range(20)]
        wait(machine, 'last', 'running')
        until(lambda: printed(machine, 'last') == '19\n', 'the last came after them')
        first, end = (re.search(rf'\[(\d+\.\d+)\] {words}', machine.console()).group(1)
                      for words in ('Starting services', 'Started  '))
        assert float(end) - float(first) < 5, machine.console()


def test_a_cycle_is_named_with_its_whole_path_and_others_run():
    with Machine() as machine:
        logging(machine, 'a', needs=['b'])
        logging(machine, 'b', after=['c'])
        logging(machine, 'c', wants=['a'])
        logging(machine, 'self', needs=['self'])
        logging(machine, 'victim', needs=['a'])
        logging(machine, 'fine')
        booted(machine)
        for name in 'abc':
            status = wait(machine, name, 'broken')
            assert re.search(r'in a cycle.*: (a, b, c, a|b, c, a, b|c, a, b, c)$',
                             status['reason']), status
        assert re.search(r"self.yml:1:\d+: 'needs' names the service itself",
                         wait(machine, 'self', 'broken')['reason'])
        assert wait(machine, 'victim', 'failed')['reason'] == 'needs a, whose file does not load'
        wait(machine, 'fine', 'running')
        result = machine.slc('start', 'a', check=False)
        assert result.returncode == 1 and 'cycle' in result.stderr, result
        # Mended, all of it starts.
        logging(machine, 'c')
        logging(machine, 'self')
        machine.slc('reload')
        machine.slc('start', 'a', 'self', 'victim')
        assert order(machine, 'up').index('c') < order(machine, 'up').index('a')


def test_a_failed_need_blocks_until_it_is_back():
    with Machine() as machine:
        define(machine, 'base', type='task', exec=f'test -e {machine.folder}/flag')
        logging(machine, 'top', needs=['middle'])
        logging(machine, 'middle', needs=['base'])
        booted(machine)
        assert wait(machine, 'middle', 'failed')['reason'] == 'needs base, which failed'
        assert wait(machine, 'top', 'failed')['reason'] == 'needs middle, which failed'
        (machine.folder / 'flag').write_text('')
        machine.slc('start', 'base')
        wait(machine, 'top', 'running')
        assert order(machine, 'up') == ['middle', 'top']


def test_a_need_that_is_not_there_is_named_and_may_come_later():
    with Machine() as machine:
        logging(machine, 'top', needs=['nowhere'])
        booted(machine)
        assert wait(machine, 'top', 'failed')['reason'] == \
            'needs nowhere, and no service has that name'
        logging(machine, 'nowhere')
        machine.slc('reload')
        wait(machine, 'top', 'running')
        assert order(machine, 'up') == ['nowhere', 'top']


def test_conflicts_start_one_and_stop_the_other():
    with Machine() as machine:
        logging(machine, 'a', conflicts=['b'])
        logging(machine, 'b', enabled=False)
        logging(machine, 'x')
        logging(machine, 'y', conflicts=['x'])
        booted(machine)
        wait(machine, 'x', 'running')
        status = look(machine, 'y')
        assert status['state'] in ('failed', 'stopped') and status['reason'] == 'conflicts with x'
        machine.slc('start', 'b')
        assert wait(machine, 'a', 'stopped')['reason'] == 'conflicts with b'
        assert 'conflicts with b' in machine.slc('list', 'a').stdout
        machine.slc('start', 'a')
        wait(machine, 'b', 'stopped')
        text = (machine.folder / 'order').read_text().splitlines()
        assert [line for line in text if line[-1] in 'ab'] == \
            ['up a', 'down a', 'up b', 'down b', 'up a'], text


def test_provides_answers_for_a_name():
    with Machine() as machine:
        logging(machine, 'mta-b', provides=['mail'])
        logging(machine, 'mta-a', provides=['mail'], enabled=False)
        logging(machine, 'client', needs=['mail'])
        booted(machine)
        assert order(machine, 'up') == ['mta-b', 'client']
        machine.slc('stop', 'mail')
        wait(machine, 'mta-b', 'stopped')
        wait(machine, 'client', 'stopped')


def test_another_answers_for_a_name_when_the_first_is_disabled_or_gone():
    with Machine() as machine:
        for name in ('mta-a', 'mta-b', 'mta-c'):
            logging(machine, name, provides=['mail'])
        logging(machine, 'client', needs=['mail'], enabled=False)
        booted(machine)
        pids = {name: look(machine, name)['pid'] for name in ('mta-a', 'mta-b', 'mta-c')}
        assert machine.slc('stop', 'mail').stdout == 'mta-a: stopped\n'
        logging(machine, 'mta-a', provides=['mail'], enabled=False)
        machine.slc('reload')
        assert look(machine, 'mail')['name'] == 'mta-b'
        machine.slc('start', 'client')  # and it is that one's running that it needs
        assert look(machine, 'mta-a')['state'] == 'stopped'
        (machine.services / 'mta-b.yml').unlink()
        machine.slc('reload')
        assert look(machine, 'mta-b')['pid'] == pids['mta-b'], 'it runs on without its file'
        machine.slc('stop', 'mta-b')
        assert look(machine, 'mail')['name'] == 'mta-c'
        machine.slc('start', 'client')
        assert look(machine, 'client')['state'] == 'running'
        assert look(machine, 'mta-c')['pid'] == pids['mta-c']
        # A service that is really called so outranks them all.
        logging(machine, 'mail')
        machine.slc('reload')
        assert wait(machine, 'mail', 'running')['name'] == 'mail'


def test_when_skips_without_failing():
    with Machine() as machine:
        logging(machine, 'skipped', when=[{'exists': '/no/such/file'}])
        logging(machine, 'not-skipped', when=[{'not': {'exists': '/no/such/file'}},
                                              {'executable': '/bin/sh'}, {'exists': '/'}])
        logging(machine, 'on-it', needs=['skipped'])
        booted(machine)
        assert machine.slc('status', 'skipped').returncode == 0
        assert look(machine, 'skipped')['reason'] == 'not met: exists: /no/such/file'
        assert sorted(order(machine, 'up')) == ['not-skipped', 'on-it']


def test_a_target_runs_when_all_it_needs_does():
    with Machine() as machine:
        define(machine, 'all', type='target', needs=['a', 't'], description='Everything')
        logging(machine, 'a')
        define(machine, 't', type='task', exec=f'test -e {machine.folder}/flag')
        booted(machine)
        assert look(machine, 'all')['state'] == 'failed'
        (machine.folder / 'flag').write_text('')
        machine.slc('start', 'all')
        status = wait(machine, 'all', 'running')
        assert status['pid'] is None, status
        machine.slc('stop', 'a')
        assert wait(machine, 'all', 'stopped')['reason'] == 'needs a, which was stopped'


def test_stop_takes_along_and_start_brings_back():
    with Machine() as machine:
        logging(machine, 'base')
        logging(machine, 'top', needs=['base'])
        logging(machine, 'beside', wants=['base'])
        booted(machine)
        beside = look(machine, 'beside')['pid']
        result = machine.slc('stop', 'base')
        assert 'top' in result.stdout, result
        assert look(machine, 'top')['state'] == 'stopped'
        assert order(machine, 'down') == ['top', 'base']
        machine.slc('start', 'base')
        wait(machine, 'top', 'running')
        assert look(machine, 'beside')['pid'] == beside
        # What a person stopped stays stopped.
        machine.slc('stop', 'top')
        machine.slc('restart', 'base')
        assert look(machine, 'top')['state'] == 'stopped'


def test_restart_takes_along_and_brings_back_in_order():
    with Machine() as machine:
        logging(machine, 'base')
        logging(machine, 'top', needs=['base'])
        booted(machine)
        pids = [look(machine, name)['pid'] for name in ('base', 'top')]
        machine.slc('restart', 'base')
        wait(machine, 'top', 'running')
        assert not set(pids) & {look(machine, name)['pid'] for name in ('base', 'top')}
        assert (machine.folder / 'order').read_text().splitlines() == [
            'up base', 'up top', 'down top', 'down base', 'up base', 'up top']


def test_a_crash_of_a_need_that_comes_back_disturbs_nobody_and_one_for_good_does():
    with Machine() as machine:
        flag = machine.folder / 'flag'
        define(machine, 'base', exec=shell(f'test -e {flag} && exit 4; echo ready; exec sleep 77777'),
               restart={'delay': '1ms', 'limit': 1})
        logging(machine, 'top', needs=['base'])
        booted(machine)
        top = look(machine, 'top')['pid']
        first = look(machine, 'base')['pid']
        until(lambda: 'ready' in printed(machine, 'base'), 'base is set up')
        kill(machine, 'base')
        until(lambda: look(machine, 'base')['pid'] not in (None, first), 'base is back')
        assert look(machine, 'top')['pid'] == top
        flag.write_text('')
        kill(machine, 'base')
        wait(machine, 'base', 'failed')
        assert wait(machine, 'top', 'stopped')['reason'] == 'needs base, which failed'
        flag.unlink()
        machine.slc('start', 'base')
        wait(machine, 'top', 'running')


def test_a_request_that_is_overtaken_ends_with_1_and_says_by_what():
    with Machine() as machine:
        define(machine, 'slow', type='task', exec='sleep 88888', enabled=False)
        booted(machine)
        start = slc_in_background(machine, 'start', 'slow')
        wait(machine, 'slow', 'starting')
        machine.slc('stop', 'slow')
        out, err = start.communicate(timeout=20)
        assert start.returncode == 1 and 'slow' in err and 'stop' in err, (out, err)


def test_many_requests_at_once_end_and_leave_what_list_says():
    with Machine() as machine:
        for number in range(6):
            logging(machine, f's{number}', **({'needs': [f's{number - 1}']} if number else {}))
        booted(machine)
        verbs = ['stop', 'start', 'restart', 'start'] * 6
        runs = [slc_in_background(machine, verb, f's{i % 6}') for i, verb in enumerate(verbs)]
        for run in runs:
            out, err = run.communicate(timeout=30)
            assert run.returncode in (0, 1), (out, err)
        machine.slc('start', *[f's{number}' for number in range(6)])
        pids = [look(machine, f's{number}')['pid'] for number in range(6)]
        assert None not in pids and len(set(pids)) == 6, pids
        machine.slc('stop', 's0')
        assert {s['state'] for s in machine.json('list')} == {'stopped'}
        ups, downs = order(machine, 'up'), order(machine, 'down')
        # One that is stopped before its trap is set says nothing more; none is started twice.
        assert all(ups.count(name) >= downs.count(name) for name in ups), (ups, downs)
        assert sleeps(machine, '100000') == 0
