"""What the boot tests share: machines made of this tree's programs, and looks into them."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.request

import image as images
import kernel as kernels
import machine as machines

LINE = re.compile(r'(DEBG|INFO|WARN|ERRO|FATL)\[\d{4,}\.\d{3}\] \S.*')
FIELD = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)')


class Skip(Exception):
    """This cannot be tested here; the text says why."""


def kernel(kind='disk'):
    if not shutil.which(machines.QEMU):
        raise Skip(f'no {machines.QEMU} here')
    try:
        return kernels.ensure(kind)
    except kernels.Unavailable as error:
        raise Skip(str(error)) from error


def make_disk(files=None, device_nodes=True, roots=None):
    """The path of a new disk, in the test's own folder. `roots`: {name: folder} that go to /srv/roots."""
    folder = tempfile.mkdtemp(prefix='disk.')
    tree = os.path.join(folder, 'tree')
    images.make_tree(tree, kernel(), files)
    for name, root in (roots or {}).items():
        os.makedirs(os.path.join(tree, 'srv/roots'), exist_ok=True)
        images.run('cp', '-a', str(root), os.path.join(tree, 'srv/roots', name))
    path = os.path.join(folder, 'root.img')
    images.make_image(path, tree, device_nodes, images.IMAGE_BYTES * (5 if roots else 1))
    shutil.rmtree(tree)
    return path


def check_file_system(disk):
    """Asserts that e2fsck finds the file system whole and left in order."""
    environment = {**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
    result = subprocess.run(['e2fsck', '-f', '-n', disk], capture_output=True, text=True,
                            check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'recovering journal' not in result.stdout + result.stderr, result.stdout
    state = subprocess.run(['dumpe2fs', '-h', disk], capture_output=True, text=True, check=True,
                           env=environment).stdout
    assert re.search(r'^Filesystem state:\s+clean$', state, re.M), state
    if 'CONIT_COUNTERS' not in os.environ:  # else init itself has a file there open to write
        assert 'needs_recovery' not in state, 'it was not unmounted or remounted read-only'


def read_disk(disk, path):
    """A file of a disk whose machine has ended, or has stopped writing."""
    environment = {**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
    return subprocess.run(['debugfs', '-R', f'cat {path}', disk], capture_output=True, check=True,
                          env=environment).stdout.decode(errors='replace')


@contextlib.contextmanager
def boot(files=None, device_nodes=True, disk=None, roots=None, **options):
    """A machine on its way up, from a new disk unless one is given."""
    disk = disk or make_disk(files, device_nodes, roots)
    with machines.Machine(kernel(), image=disk, **options) as machine:
        yield machine


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def fetch(port, path='/'):
    with urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=60) as answer:
        return answer.read().decode()


def wait_booted(machine):
    return machine.wait_started()


def services(machine):
    """name → what slc says of it"""
    listed = re.search(r'^\[.*\]$', machine.check('slc --json list | cat'), re.M)
    return {service['name']: service for service in json.loads(listed.group())}


def lines_of_ours(text):
    return [line for line in text.splitlines() if re.match(r'[A-Z]{4}\[', line)]


def power_off(machine):
    machine.send('slc poweroff')
    machine.wait_end()
    assert 'Power down' in machine.text, machine.tail()
