"""Each init of Debian as a service of a whole machine, by the examples as they are shipped: looked at from inside by its
own tools, from outside by slc. One machine for all; the last test ends it."""
import contextlib
import re

import booting
from harness import until
from nested import EXAMPLES, INITS, root_of

TIMEOUT = 900
NAMES = ('systemd', 'runit', 's6', 'busybox', 'conit')
START = 300  # seconds; systemd has a lot to start where the processor is a made-up one
# What a nested system may not leave behind: mounts, cgroups below that of its service, processes in other namespaces.
LOOK = ("cat /proc/self/mountinfo; find /sys/fs/cgroup -type d -path '*/nested-*/*'; "
        "for p in /proc/[0-9]*; do readlink $p/ns/pid; done | grep -v -F \"$(readlink /proc/1/ns/pid)\" | sort -u")


@contextlib.contextmanager
def shared():
    roots = {name: root_of(name) for name in NAMES}
    files = {f'/etc/yml-services/nested-{name}.yml': (EXAMPLES / f'nested-{name}.yml').read_text() for name in NAMES}
    with booting.boot(files, roots=roots) as machine:
        machine.login()
        machine.wait_started()
        yield machine


def start(machine, name):
    """Until it runs and the service inside it has said so."""
    machine.check(f'slc start nested-{name}', START)
    machine.check(f"until slc journal nested-{name} | grep 'hello from {name}'; do usleep 100000; done", START)


def process_1_of(machine, name):
    """The pid of process 1 inside, as the machine counts: the child of run-on-pid-ns."""
    main = booting.services(machine)[f'nested-{name}']['pid']
    found = machine.check(f"grep -l -E '^PPid:[[:space:]]+{main}$' /proc/[0-9]*/status")
    return int(re.search(r'/proc/(\d+)/', found)[1])


def check(machine, name):
    before = machine.run(LOOK)[1]
    start(machine, name)
    pid = process_1_of(machine, name)
    assert machine.check(f'cat /proc/{pid}/comm').strip() == INITS[name].process
    for command, pattern in INITS[name].asks:
        def answers(command=command, pattern=pattern):
            said = machine.run(f"nsenter -t {pid} -m -p -i -u -n -r -w /bin/sh -c '{command}'", START)[1]
            return re.search(pattern, said, re.M)
        until(answers, f'{name}: {command!r} says {pattern!r}', START, 0.5)
    service = booting.services(machine)[f'nested-{name}']
    assert (service['state'], service['restarts']) == ('running', 0), service
    machine.check(f'slc stop nested-{name}', START)
    service = booting.services(machine)[f'nested-{name}']
    assert (service['state'], service['exit']) == ('stopped', {'code': 0}), service
    said = machine.check(f'slc journal nested-{name}')
    assert f'goodbye from {name}' in said and re.search(INITS[name].last, said), said
    assert machine.run(LOOK)[1] == before


def test_systemd_boots_and_is_powered_off_by_a_stop(machine):
    check(machine, 'systemd')


def test_runit_boots_and_is_powered_off_by_a_stop(machine):
    check(machine, 'runit')


def test_s6_boots_and_ends_by_a_stop(machine):
    check(machine, 's6')


def test_busybox_init_boots_and_is_powered_off_by_a_stop(machine):
    check(machine, 'busybox')


def test_conit_boots_in_conit_and_ends_by_a_stop(machine):
    check(machine, 'conit')


def test_the_machine_ends_in_order_with_several_of_them_running(machine):
    names = [name for name in NAMES if name != 'systemd']  # half a minute without the processor's help
    for name in names:
        start(machine, name)
    disk = machine.image
    machine.send('slc poweroff')
    machine.wait_end(START)
    assert 'Power down' in machine.text, machine.tail()
    booting.check_file_system(disk)
    for name in names:
        said = booting.read_disk(disk, f'/var/log/conit/nested-{name}/current')
        assert said.count('goodbye from') >= 1 and re.search(INITS[name].last, said.rsplit('hello from', 1)[1]), said
