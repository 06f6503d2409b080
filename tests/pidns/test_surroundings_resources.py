"""Limits by cgroup v2 where the machine has no controllers: the service runs, with a warning. What
limits do is tested in tests/boot/test_resources.py."""
import pathlib
import re

from harness import Machine, Skip
from services import WITHOUT_CGROUP, booted, define, events, look, need_cgroup, wait


def told(machine, name):
    return [event for event in events(machine, name) if event.startswith('not limited: ')]


def test_without_cgroup_v2_each_start_has_one_warning_and_runs():
    with Machine(before=WITHOUT_CGROUP) as machine:
        define(machine, 'd', exec='sleep 1000', resources={'memory': '1G', 'tasks': 100},
               before_start=['true', 'true'])
        define(machine, 'free', exec='sleep 1000')
        booted(machine)
        pid = wait(machine, 'd', 'running')['pid']
        why = 'not limited: there is no writable cgroup v2'
        assert told(machine, 'd') == [why], events(machine, 'd')
        machine.wait_console(r'WARN.*Resources are not limited +service=d why="there is no writable')
        machine.kill_launcher()
        assert look(machine, 'd')['pid'] == pid and told(machine, 'd') == [why]
        machine.slc('restart', 'd')
        assert told(machine, 'd') == [why, why], events(machine, 'd')
        assert told(machine, 'free') == []


def test_without_controllers_the_warning_names_each_limit_and_the_reason():
    with Machine() as machine:
        need_cgroup(machine)
        controllers = pathlib.Path(machine.cgroup.folder, 'cgroup.controllers')
        if controllers.read_text(encoding='ascii').split():
            raise Skip('this machine has controllers: what they do is tested in tests/boot')
        limits = {'memory': '1G', 'memory-high': '1M', 'cpu': '50%', 'tasks': 9, 'io-weight': 50}
        define(machine, 'd', exec='sleep 1000', resources=limits)
        define(machine, 'changed', exec='sleep 1000')
        booted(machine)
        wait(machine, 'd', 'running')
        (warning,) = told(machine, 'd')
        found = re.findall(r'([\w-]+(?:, [\w-]+)*): (?=the |cgroup )', warning[len('not limited: '):])
        assert found == ['memory, memory-high', 'cpu', 'tasks', 'io-weight'], warning
        pid = wait(machine, 'changed', 'running')['pid']
        define(machine, 'changed', exec='sleep 1000', resources={'tasks': 9})
        machine.slc('reload')
        status = look(machine, 'changed')
        assert (status['pid'], status['restarts']) == (pid, 0), status
        (warning,) = told(machine, 'changed')
        assert warning.startswith('not limited: tasks: '), warning
        assert look(machine, 'd')['state'] == 'running'
