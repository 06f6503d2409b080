"""What tests of services share: definitions from Python values, waiting by slc, looking inside."""
import contextlib
import json
import os
import signal
import sys

from harness import Machine, Skip, children_of, hold, inner_pid, until

PYTHON = '/usr/bin/python3'
# Unmounts nothing: the machine's own mount namespace shows no cgroup v2 any more.
WITHOUT_CGROUP = 'mount -t tmpfs none /sys/fs/cgroup'


def both_ways(test):
    """Two tests out of one of a machine that is not booted yet, named after what follows its
    services: NAME_by_cgroup, and NAME_by_follower where cgroup v2 is hidden."""
    def by_cgroup():
        with Machine() as machine:
            need_cgroup(machine)
            test(machine)

    def by_follower():
        with Machine(before=WITHOUT_CGROUP) as machine:
            test(machine)
    for one in (by_cgroup, by_follower):
        one.__name__ = f'{test.__name__}_{one.__name__}'
        setattr(sys.modules[test.__module__], one.__name__, one)
    return test


def define(machine, name, **keys):
    """Writes a service file. Underscores in keys stand for dashes; JSON is YAML too."""
    keys = {key.replace('_', '-'): value for key, value in keys.items()}
    machine.service(name, json.dumps(keys))


def words(*texts):
    """An `exec` that means these words: a percent sign is itself."""
    return [text.replace('%', '%%') for text in texts]


def shell(text):
    return words('/bin/sh', '-c', text)


def shell_list(text):
    return [shell(text)]


def booted(machine):
    machine.boot()
    machine.wait_booted()
    return machine


def booting(machine):
    """Only until a launcher answers: what is to start may be on its way."""
    machine.boot()
    machine.wait_answer()


@contextlib.contextmanager
def held_back(machine):
    """While the body runs the launcher stands still; then it is killed, and the next one answers."""
    launcher = machine.wait_pid_of('service-launcher')
    hold(launcher)
    try:
        yield launcher
    finally:
        os.kill(launcher, signal.SIGKILL)
        machine.wait_pid_of('service-launcher', launcher)
        machine.wait_answer()


def wait(machine, name, state, timeout='60s'):
    """Until the service is in that state, which slc is told by the launcher."""
    result = machine.slc('wait', name, '--state', state, '--timeout', timeout, check=False)
    if result.returncode:
        raise AssertionError(f'{name} is not {state}: {result.stderr}{machine.slc("list").stdout}')
    return look(machine, name)


def look(machine, name):
    return json.loads(machine.slc('--json', 'status', name, check=False).stdout)


def printed(machine, name):
    """What the service has printed, in all its runs."""
    return machine.slc('journal', name, '-o', 'cat').stdout


def has_printed(machine, name, text, count=1):
    """Waits until it has printed that, so often: who is running may still be about to print."""
    until(lambda: printed(machine, name).count(text) >= count, f'{name} has printed {text!r}')


def events(machine, name):
    """What the launcher has said about it in its journal."""
    lines = machine.slc('journal', name, '-o', 'json').stdout.splitlines()
    return [line['message'] for line in map(json.loads, lines) if line['stream'] == 'event']


def need_cgroup(machine):
    if not machine.cgroup.folder:
        raise Skip('no writable cgroup v2 here')


def outer_pid(machine, pid):
    """The pid outside of a process of the machine."""
    todo = [machine.pid]
    while todo:
        for child in children_of(todo.pop()):
            try:
                if inner_pid(child) == pid:
                    return child
            except (FileNotFoundError, AttributeError):
                continue
            todo.append(child)
    return None


def kill(machine, name, number=signal.SIGKILL):
    """A signal to its main process, not by way of the launcher; returns its pid."""
    pid = look(machine, name)['pid']
    os.kill(outer_pid(machine, pid), number)
    return pid


def sleeps(machine, argument):
    """How many `sleep ARGUMENT` there are in the machine."""
    found, todo = 0, [machine.pid]
    while todo:
        for child in children_of(todo.pop()):
            todo.append(child)
            try:
                with open(f'/proc/{child}/cmdline', 'rb') as file:
                    found += file.read() == b'sleep\0' + argument.encode() + b'\0'
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found
