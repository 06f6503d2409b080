"""What tests of services share: definitions from Python values, waiting by slc, looking inside."""
import json
import subprocess

from harness import Skip

PYTHON = '/usr/bin/python3'
# Unmounts nothing: the machine's own mount namespace shows no cgroup v2 any more.
WITHOUT_CGROUP = 'mount -t tmpfs none /sys/fs/cgroup'


def define(machine, name, **keys):
    """Writes a service file. Underscores in keys stand for dashes; JSON is YAML too."""
    keys = {key.replace('_', '-'): value for key, value in keys.items()}
    machine.service(name, json.dumps(keys))


def words(*texts):
    """An `exec` that means these words: a percent sign is itself."""
    return [text.replace('%', '%%') for text in texts]


def shell(text):
    return words('/bin/sh', '-c', text)


def booted(machine):
    machine.boot()
    machine.wait_booted()
    return machine


def wait(machine, name, state, timeout='15s'):
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


def events(machine, name):
    """What the launcher has said about it in its journal."""
    lines = machine.slc('journal', name, '-o', 'json').stdout.splitlines()
    return [line['message'] for line in map(json.loads, lines) if line['stream'] == 'event']


def need_cgroup(machine):
    if not machine.cgroup.folder:
        raise Skip('no writable cgroup v2 here')


def is_user(name):
    return subprocess.run(['getent', 'passwd', name], stdout=subprocess.DEVNULL,
                          check=False).returncode == 0
