"""Systems inside a system: the services of services/examples/nested… on the roots that scripts/make-root makes, and
looks into them.

    with system('runit') as machine:        booted; /srv/roots/runit is there, and a service nested-runit
        machine.slc('start', 'nested-runit')
        ask(machine, 'nested-runit', 'sv status hello')
"""
import contextlib
import os
import pathlib
import re
import subprocess

from harness import BUILD, OWN, ROOT, Machine, Skip, below, need_root, stat_of, until

PROGRAM = str(BUILD / 'run-on-pid-ns')
EXAMPLES = ROOT / 'services/examples'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


class Init:
    """What is to be seen of one of them: what its own tools say (a command, and what its output has to match), which
    process is number 1, and what it says last."""

    def __init__(self, process, asks, last):
        self.process, self.asks, self.last = process, asks, last


INITS = {
    'systemd': Init('systemd', [('systemctl is-system-running --wait', r'^running$'),
                                ('systemctl --failed --no-legend; echo none', r'^none$'),
                                ('systemctl is-active hello', r'^active$')],
                    r'systemd-(poweroff|halt)\.service'),
    'runit': Init('runit', [('sv status hello', r'^run: hello: \(pid \d+\)')], r'runit: power off'),
    's6': Init('s6-svscan', [('s6-svstat /run/service/hello', r'^up \(pid \d+\)')],
               r'all services of s6 are down'),
    'busybox': Init('init', [('ps', r'^ +1 root +init\b'), ('ps', r'hello busybox$')],
                    r'Requesting system poweroff'),
    'conit': Init('init', [('slc list', r'\brunning +hello '), ('slc journal hello', r'started')],
                  r'Ending everything'),
    'finit': Init('finit', [('/lib/finit/initctl -b', r'hello +running')], r'Stopping Says that it runs'),
    'openrc': Init('init', [('rc-status default', r'hello +\[ +started +\]')], r'Will now halt'),
}


def root_of(name):
    """The root folder of that name. It is made where it is not, or is not what its recipe says."""
    need_root()
    make = str(ROOT / 'scripts/make-root')
    if subprocess.run([make, '--check', name], capture_output=True, check=False).returncode:
        made = subprocess.run([make, name], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if made.returncode == 3:
            raise Skip(made.stderr.strip().rsplit('\n', 1)[-1])
        assert made.returncode == 0, made.stderr
    return ROOT / 'build/roots' / name


def need_cgroup(machine):
    if not machine.cgroup.folder:
        raise Skip('no cgroup v2 here that can be written to')


@contextlib.contextmanager
def system(*names, copies=None, services=()):
    """A machine whose mount namespace has these roots in /srv/roots, written to and thrown away, and a /run of its own with
    the machine's run-time folder in its usual place. `copies`: {name there: which root}."""
    roots = {name: root_of(name) for name in names}
    roots.update({name: root_of(of) for name, of in (copies or {}).items()})
    with Machine() as machine:
        need_cgroup(machine)
        machine.before = ('set -e\nmount -t tmpfs -o mode=755 run /run\nmkdir /run/conit\n'
                          f'mount --bind {machine.runtime} /run/conit\nmount -t tmpfs -o mode=755 srv /srv\n')
        for name, root in roots.items():
            machine.before += (
                f'mkdir -p /srv/roots/{name} /srv/upper/{name} /srv/work/{name}\n'
                f'mount -t overlay -o lowerdir={root},upperdir=/srv/upper/{name},workdir=/srv/work/{name} '
                f'overlay /srv/roots/{name}\n')
        for service in services or [f'nested-{name}' for name in names]:
            machine.service(service, example(service))
        machine.boot()
        machine.wait_booted()
        yield machine


def example(name):
    """The text of an example, with the program that is tested."""
    text = (EXAMPLES / f'{name}.yml').read_text(encoding='utf-8')
    assert '/usr/bin/run-on-pid-ns ' in text, text
    return text.replace('/usr/bin/run-on-pid-ns ', f'{PROGRAM} ')


# Processes by their pids in each of their namespaces, the outermost first.

def pids_of(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        status = pathlib.Path(f'/proc/{pid}/status').read_text(encoding='latin-1')
        return [int(word) for word in re.search(r'^NSpid:(.*)$', status, re.M)[1].split()]
    return []


def process_1_of(machine, service):
    """The pid, outside, of process 1 inside a service, as soon as it has executed what is to be process 1."""
    level = len(pids_of(machine.pid))

    def find():
        listed = [one for one in machine.json('list') if one['name'] == service]
        main = listed and listed[0].get('pid')
        for pid, (name, _, parent) in below(machine.pid).items():
            pids = pids_of(pid)
            if len(pids) == level + 1 and pids[level] == 1 and pids_of(parent)[level - 1:] == [main] \
                    and name != 'run-on-pid-ns':
                return pid
        return None
    return until(find, f'there is a process 1 in {service}: {machine.json("list")}')


def enter(pid, command, timeout=60):
    """A shell command in all namespaces and the root of a process: (exit status, what it printed)."""
    result = subprocess.run(
        ['nsenter', '-t', str(pid), '-m', '-p', '-i', '-u', '-n', '-C', '-T', '-r', '-w', '/bin/sh', '-c', command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout,
        env={'PATH': PATH, 'HOME': '/root', 'TERM': 'dumb'})
    return result.returncode, result.stdout + result.stderr


def ask(machine, service, command):
    return enter(process_1_of(machine, service), command)


def wait_said(machine, service, pattern, times=1):
    """Until the journal of a service has it, so often."""
    return until(lambda: len(re.findall(pattern, machine.log_of(service))) >= times,
                 f'{service} says {pattern!r}', interval=0.05)


def check_inside(machine, service, name):
    """That the init inside is up, by what its own tools say of it."""
    init = INITS[name]
    wait_said(machine, service, f'hello from {name}')
    pid = process_1_of(machine, service)
    assert stat_of(pid)[0] == init.process, stat_of(pid)
    for command, pattern in init.asks:
        def answers(command=command, pattern=pattern):
            return re.search(pattern, enter(pid, command)[1], re.M)
        until(answers, f'{name}: {command!r} says {pattern!r}', 30, 0.2)
    return pid


# What a stopped one may not leave behind.

class Left:
    """Mounts, cgroups and processes of a machine, at one moment."""

    def __init__(self, machine):
        # Which there are, and where: others' tests, whose mounts it has a copy of, change and remove theirs meanwhile.
        table = pathlib.Path(f'/proc/{machine.pid}/mountinfo').read_text(encoding='utf-8').splitlines()
        self.mounts = {(line.split()[0], line.split()[4]) for line in table}
        self.cgroups = {folder for folder, _, _ in os.walk(machine.cgroup.folder)}
        self.processes = {pid: name for pid, (name, state, _) in below(machine.pid).items()
                          if name not in OWN and state != 'Z'}

    def check(self, machine):
        """Nothing is there that was not, but one cgroup a service, which is kept for its next start."""
        now = Left(machine)
        assert now.mounts <= self.mounts, now.mounts - self.mounts
        assert now.processes == self.processes, now.processes
        deep = [folder for folder in now.cgroups - self.cgroups if not os.path.basename(folder).startswith('service-nested')]
        assert not deep, deep


def check_boot_and_stop(name):
    """The whole life of one of them, by its example."""
    service = f'nested-{name}'
    with system(name) as machine:
        before = Left(machine)
        machine.slc('start', service)
        check_inside(machine, service, name)
        listed = machine.json('list')
        assert listed[0]['state'] == 'running' and listed[0]['restarts'] == 0, listed
        assert f'hello from {name}' in machine.slc('journal', service).stdout
        machine.slc('stop', service)
        listed = machine.json('list')
        assert (listed[0]['state'], listed[0]['exit']) == ('stopped', {'code': 0}), listed
        said = machine.slc('journal', service).stdout
        assert f'goodbye from {name}' in said, said
        assert re.search(INITS[name].last, said), said
        before.check(machine)
