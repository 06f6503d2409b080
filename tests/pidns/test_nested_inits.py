"""Each init of Debian as a service: it boots, its own tools and ours say so, and a stop ends it in order."""
import os
import pathlib
import re

from harness import until
from nested import INITS, PROGRAM, Left, ask, check_boot_and_stop, check_inside, process_1_of, system, wait_said

BUILDS = ['release']  # what takes its time here is theirs; test_run_on_pid_ns.py has both builds
TIMEOUT = 300
SLC = f"{os.environ.get('CONIT_OUT', '')}/slc"  # static, so that it runs in any root
MANY = 50


def test_systemd_runs_as_a_service_and_is_powered_off_by_a_stop():
    check_boot_and_stop('systemd')


def test_runit_runs_as_a_service_and_goes_through_its_stages():
    check_boot_and_stop('runit')


def test_s6_runs_as_a_service_and_brings_its_own_down():
    check_boot_and_stop('s6')


def test_busybox_init_runs_as_a_service_and_is_powered_off_by_a_stop():
    check_boot_and_stop('busybox')


def test_conit_runs_in_conit_and_stops_its_services_in_order():
    check_boot_and_stop('conit')


def test_a_reboot_inside_starts_it_again_in_the_same_service():
    with system('conit') as machine:
        before = Left(machine)
        machine.slc('start', 'nested-conit')
        first = check_inside(machine, 'nested-conit', 'conit')
        ask(machine, 'nested-conit', 'slc reboot')  # this very shell may end with it
        wait_said(machine, 'nested-conit', 'hello from conit', 2)
        assert check_inside(machine, 'nested-conit', 'conit') != first
        listed = machine.json('list')
        assert listed[0]['state'] == 'running' and listed[0]['restarts'] == 0, listed
        machine.slc('stop', 'nested-conit')
        before.check(machine)


def test_its_own_power_off_is_an_end_and_no_failure():
    with system('conit') as machine:
        before = Left(machine)
        machine.slc('start', 'nested-conit')
        check_inside(machine, 'nested-conit', 'conit')
        ask(machine, 'nested-conit', 'slc poweroff')
        until(lambda: machine.json('list')[0]['state'] not in ('running', 'stopping'), 'it has ended')
        listed = machine.json('list')
        assert (listed[0]['state'], listed[0]['exit'], listed[0]['restarts']) == ('done', {'code': 0}, 0), listed
        before.check(machine)


def test_two_instances_of_one_template_are_apart():
    with system(copies={'a': 's6', 'b': 's6'}, services=['nested@']) as machine:
        before = Left(machine)
        machine.slc('start', 'nested@a', 'nested@b')
        pids = {name: check_inside(machine, f'nested@{name}', 's6') for name in 'ab'}
        for name in 'ab':
            assert ask(machine, f'nested@{name}', 'hostname')[1] == f'{name}\n'
            ask(machine, f'nested@{name}', f'echo {name} >/run/mine; echo {name} >/mine')
        for name in 'ab':
            assert ask(machine, f'nested@{name}', 'cat /run/mine /mine')[1] == f'{name}\n{name}\n'
            # Each sees its own processes only, and its own cgroup as the root of all.
            assert ask(machine, f'nested@{name}', 'cat /proc/1/cgroup')[1].endswith('0::/\n')
            assert ask(machine, f'nested@{name}', "cat /proc/*/cmdline | tr '\\0' ' ' | grep -o '[h]ello s6' | wc -l"
                       )[1] == '1\n'
        machine.slc('stop', 'nested@a')
        assert process_1_of(machine, 'nested@b') == pids['b']
        assert ask(machine, 'nested@b', 'cat /proc/1/comm')[1] == 's6-svscan\n'
        assert 'goodbye' not in machine.log_of('nested@b')
        machine.slc('stop', 'nested@b')
        before.check(machine)


def test_50_side_by_side_and_one_50_times_leave_nothing_behind():
    names = [str(number) for number in range(MANY)]
    with system(copies={'one': 's6'}, services=['nested@']) as machine:
        # A first one makes what is kept for good: a cgroup of the launcher's, journals.
        machine.slc('start', 'nested@one')
        wait_said(machine, 'nested@one', 'hello from s6')
        machine.slc('stop', 'nested@one')
        before, descriptors = Left(machine), descriptors_of(machine)
        for turn in range(2, MANY + 2):
            machine.slc('start', 'nested@one')
            wait_said(machine, 'nested@one', 'hello from s6', turn)
            machine.slc('stop', 'nested@one')
        before.check(machine)
        until(lambda: machine.log_of('nested@one').count('goodbye from s6') == MANY + 1, 'each has said goodbye')
        # All on one folder: s6 writes to /run only, and each has one of its own.
        for name in names:
            os.symlink('one', f'/proc/{machine.pid}/root/srv/roots/{name}')
            machine.slc('start', f'nested@{name}')
        for name in names:
            wait_said(machine, f'nested@{name}', 'hello from s6')
        running = [one for one in machine.json('list') if one['state'] == 'running']
        assert len(running) == MANY, running
        machine.slc('stop', *(f'nested@{name}' for name in names))
        machine.quiet()
        before.check(machine)
        after = descriptors_of(machine)
        assert all(after[name] <= descriptors[name] + 2 for name in descriptors), (descriptors, after)


def descriptors_of(machine):
    return {name: len(os.listdir(f'/proc/{pid}/fd')) for name, pid in
            (('init', machine.pid), ('launcher', machine.pid_of('service-launcher')))}


def test_slc_poweroff_inside_ends_the_outer_machine_and_what_is_nested_first():
    with system('runit', services=['nested-runit']) as machine:
        text = (machine.services / 'nested-runit.yml').read_text()
        # What --system stands for, but for a /run of its own: this one is to be the machine's.
        shared = '--uts --ipc --net --cgroup --dev --console'
        assert text.count('--system') == 1
        machine.service('nested-runit', text.replace('--system', f'{shared} --bind {SLC}:/usr/local/bin/slc'))
        machine.service('base', 'exec: sleep 1000000\nbefore-stop: [echo base is asked to stop]')
        machine.service('nested-runit', (machine.services / 'nested-runit.yml').read_text() + 'needs: [base]')
        machine.slc('reload')
        machine.slc('start', 'nested-runit')
        check_inside(machine, 'nested-runit', 'runit')
        status, said = ask(machine, 'nested-runit', 'slc list')
        assert status == 0 and re.search(r'^running +nested-runit ', said, re.M), said
        ask(machine, 'nested-runit', 'slc poweroff')
        assert machine.wait_end() == 0
        console = machine.console()
        assert console.index('service=nested-runit', console.index('Stopping services')) < \
            console.index('service=base', console.index('Stopping services')), console
        said = machine.log_of('nested-runit')
        assert 'goodbye from runit' in said and re.search(INITS['runit'].last, said), said


def test_conit_in_conit_in_conit():
    with system(copies={'conit': 'conit', 'inner': 'conit'}, services=['nested-conit']) as machine:
        outer = f'/proc/{machine.pid}/root/srv/roots'
        text = (machine.services / 'nested-conit.yml').read_text()
        # The second has the same service, whose root is the third; and the program.
        pathlib.Path(f'{outer}/conit/etc/yml-services/nested-conit.yml').write_text(
            text.replace(PROGRAM, '/usr/bin/run-on-pid-ns'))
        machine.service('nested-conit', text.replace(
            '--system', '--system --bind /srv/roots/inner:/srv/roots/conit'))
        machine.slc('reload')
        before = Left(machine)
        machine.slc('start', 'nested-conit')
        check_inside(machine, 'nested-conit', 'conit')
        status, said = ask(machine, 'nested-conit', 'slc start nested-conit')
        assert status == 0, said
        # The third says hello on its console, which is in the journal of the second.
        until(lambda: 'hello from conit' in ask(machine, 'nested-conit', 'slc journal nested-conit')[1],
              'the third says hello')
        status, said = ask(machine, 'nested-conit', 'slc list; slc status nested-conit')
        assert re.search(r'^running +nested-conit ', said, re.M), said
        machine.slc('stop', 'nested-conit')
        journal = pathlib.Path(f'{outer}/conit/var/log/conit/nested-conit/current').read_text()
        assert 'goodbye from conit' in journal, journal
        assert 'goodbye from conit' in machine.slc('journal', 'nested-conit').stdout
        before.check(machine)
