"""What may be done to the cgroup of a service, by itself or by somebody else, while it runs."""
import os

from harness import Machine, until
from services import booted, define, look, need_cgroup, printed, shell, sleeps, wait

LONG = 100000
OBEYS = f'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep {LONG} & wait $!; done'


def cgroup_of(machine, name):
    for folder, _, _ in os.walk(machine.cgroup.folder):
        if os.path.basename(folder) == f'service-{name}':
            return folder
    raise AssertionError(f'{name} has no cgroup')


def freeze(folder, value='1'):
    with open(os.path.join(folder, 'cgroup.freeze'), 'w', encoding='ascii') as file:
        file.write(value)


def test_a_frozen_service_is_stopped_as_any_other_and_starts_again():
    with Machine() as machine:
        need_cgroup(machine)
        define(machine, 'obeys', exec=shell(OBEYS), stop={'timeout': '1h'})
        define(machine, 'forks', type='forking', script=f'setsid sleep {LONG} &')
        booted(machine)
        until(lambda: printed(machine, 'obeys') == 'ready\n', 'it is set up')
        for name in ('obeys', 'forks'):
            freeze(cgroup_of(machine, name))
            machine.slc('stop', name)
            assert look(machine, name)['state'] == 'stopped'
        assert look(machine, 'obeys')['exit'] == {'code': 0}
        assert sleeps(machine, str(LONG)) == 0


def test_a_start_in_a_frozen_cgroup_holds_nobody_up():
    """What is born into a frozen cgroup executes nothing, and the launcher waits for that."""
    with Machine() as machine:
        need_cgroup(machine)
        define(machine, 'd', exec=f'sleep {LONG}', before_stop=['true'])
        define(machine, 'other', exec=f'sleep {LONG}')
        booted(machine)
        machine.slc('stop', 'd')
        freeze(cgroup_of(machine, 'd'))
        machine.slc('start', 'd')
        freeze(cgroup_of(machine, 'd'))  # its hook comes before the signal
        machine.slc('restart', 'd')
        folder = os.path.dirname(cgroup_of(machine, 'd'))
        freeze(folder)
        result = machine.slc('restart', 'd', check=False)
        assert result.returncode == 1 and 'a cgroup above its own is frozen' in result.stderr, result
        freeze(folder, '0')
        machine.slc('start', 'd')
        assert look(machine, 'other')['state'] == 'running'


def test_cgroups_that_a_service_makes_are_looked_through_killed_and_removed():
    with Machine() as machine:
        need_cgroup(machine)
        define(machine, 'd', exec=f'sleep {LONG}', restart='never')
        booted(machine)
        for _ in range(2):
            folder = cgroup_of(machine, 'd')
            pid = look(machine, 'd')['pid']
            for depth in range(1000):
                try:
                    os.mkdir(os.path.join(folder, 'sub'))
                except BlockingIOError:  # as deep as the kernel was told to let it be
                    break
                folder = os.path.join(folder, 'sub')
            assert 20 < depth < 999, depth
            # The service itself goes to the bottom, which frees its own cgroup for rmdir(2).
            with open(os.path.join(cgroup_of(machine, 'd'), 'cgroup.procs'), encoding='ascii') as all_:
                moved = all_.read().split()
            for outer in moved:
                with open(os.path.join(folder, 'cgroup.procs'), 'w', encoding='ascii') as file:
                    file.write(outer)
            assert look(machine, 'd')['processes'] == [pid]
            machine.slc('restart', 'd')
            assert wait(machine, 'd', 'running')['pid'] != pid
            assert os.listdir(cgroup_of(machine, 'd')).count('sub') == 0
        assert sleeps(machine, str(LONG)) == 1
