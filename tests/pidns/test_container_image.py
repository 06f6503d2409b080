"""init as PID 1 of a container image: no root, a read-only root, no privileges, no new ones."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from harness import BUILD, DEADLINE, Outside, Process, Skip, below, inner_pid, need_root, until

USER = 4321
PROGRAMS = ('init', 'service-launcher', 'service-journal', 'follow-forks', 'compress-journal')
INIT = ['/usr/lib/conit/init', '--runtime', '/run/conit', '--logs', '/var/log/conit']
# What the README has an image's owner do, step by step.
TMPFS = {'/run': 'mode=1777', '/var/log': 'mode=1777'}


class Image:
    """The root folder of an image, with one service file in it."""

    def __init__(self, script):
        need_root()
        if os.environ.get('CONIT_BUILD_KIND') != 'release':
            raise Skip('the programs of other builds need libraries that the image does not have')
        busybox = shutil.which('busybox')
        if not busybox:
            raise Skip('needs busybox-static for a shell in the image')
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='image.'))
        self.folder.chmod(0o755)
        self.root = self.folder / 'rootfs'
        for name in ('bin', 'usr/lib/conit', 'usr/bin', 'etc/yml-services', 'proc', 'sys', 'dev',
                     'run', 'var/log'):
            (self.root / name).mkdir(parents=True)
        for name in TMPFS:  # runc gives a tmpfs the mode of what it hides
            (self.root / name[1:]).chmod(0o1777)
        shutil.copy2(busybox, self.root / 'bin/busybox')
        for name in ('sh', 'id', 'sleep', 'touch', 'grep'):
            (self.root / 'bin' / name).symlink_to('busybox')
        for name in PROGRAMS:
            shutil.copy2(BUILD / name, self.root / 'usr/lib/conit' / name)
        shutil.copy2(BUILD / 'slc', self.root / 'usr/bin/slc')
        (self.root / 'etc/yml-services/app.yml').write_text(json.dumps(
            {'script': script, 'essential': True, 'restart': 'never', 'console': True,
             'env': {'PATH': '/bin:/usr/bin'}}), encoding='utf-8')

    def write_bundle(self):
        """config.json of the OCI runtime specification, as an engine makes it of those options."""
        none = {kind: [] for kind in ('bounding', 'effective', 'inheritable', 'permitted', 'ambient')}
        mounts = [{'destination': '/proc', 'type': 'proc', 'source': 'proc'},
                  {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs',
                   'options': ['nosuid', 'mode=755']}]
        mounts += [{'destination': place, 'type': 'tmpfs', 'source': 'tmpfs',
                    'options': ['nosuid', 'nodev', mode]} for place, mode in TMPFS.items()]
        kinds = ('pid', 'mount', 'ipc', 'uts', 'network')
        (self.folder / 'config.json').write_text(json.dumps({
            'ociVersion': '1.0.2',
            'process': {'terminal': False, 'user': {'uid': USER, 'gid': USER}, 'args': INIT,
                        'env': ['PATH=/usr/bin:/bin'], 'cwd': '/', 'capabilities': none,
                        'noNewPrivileges': True},
            'root': {'path': 'rootfs', 'readonly': True}, 'mounts': mounts,
            'linux': {'namespaces': [{'type': kind} for kind in kinds]}}), encoding='utf-8')

    def engine(self):
        """The command that runs the bundle, in a mount namespace where crun finds cgroup v2 alone:
        it refuses a machine that has v1 beside it."""
        runtime = shutil.which('crun') or shutil.which('runc')
        if not runtime:
            raise Skip('needs crun or runc')
        self.write_bundle()
        options = ['--cgroup-manager=disabled'] if runtime.endswith('crun') else []
        return ['unshare', '--mount', 'sh', '-c',
                'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', 'sh', runtime,
                f'--root={self.folder}/state', *options, 'run', '-b', str(self.folder),
                self.folder.name]

    def by_hand(self):
        """The same by unshare(1), as an ordinary user in a user namespace without any id of the
        outside: init is neither root nor anybody else's."""
        if subprocess.run(['unshare', '--user', 'true'], check=False, capture_output=True).returncode:
            raise Skip('a user namespace cannot be made here: in a chroot none can, user_namespaces(7)')
        places = ''.join(f'mount -t tmpfs -o {mode} none /mnt{place}\n'
                         for place, mode in TMPFS.items())
        inside = (f'set -e\nmount --bind {self.root} /mnt\n{places}'
                  'mount -t tmpfs none /mnt/dev\ntouch /mnt/dev/null\n'
                  'mount --bind /dev/null /mnt/dev/null\nmount -o remount,bind,ro /mnt\n'
                  'mount -t proc proc /mnt/proc\n'
                  f'exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs '
                  '--bounding-set=-all unshare --user --root=/mnt "$@"')
        return ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', inside, 'sh', *INIT]


class Container(Process):
    """One that runs; its first process is `init`, as the outside counts it."""

    def __init__(self, command):
        super().__init__(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)

    def init(self):
        """Its pid."""
        return until(lambda: next((pid for pid, (name, _, _) in below(self.pid).items()
                                   if name == 'init' and inner_pid(pid) == 1), None), 'init runs')

    def result(self):
        output, _ = self.communicate(timeout=DEADLINE)
        return self.returncode, output


FACTS = ('echo "user $(id -u)"; grep -E "^(NoNewPrivs|CapEff)" /proc/self/status; '
         'touch /etc/yml-services/new 2>&1 || :; slc list; exit 7')
WAITING = 'trap "echo stopped in order; exit 0" TERM; echo up; while :; do sleep 0.1; done'


def check_facts(command, user):
    before = Outside()
    with Container(command) as container:
        status, output = container.result()
    assert status == 7, (status, output)
    assert f'user {user}\n' in output and re.search(r'NoNewPrivs:\s+1\n', output), output
    assert re.search(r'CapEff:\s+0000000000000000\n', output), output
    assert 'Read-only file system' in output and re.search(r'running +app', output), output
    complaints = re.findall(r'^(?:WARN|ERRO).*', output, re.M)
    assert len(complaints) == 2, output  # that the service failed, and that the system goes down
    assert 'exited with 7' in complaints[0] and 'status=7' in complaints[1], output
    before.check()


def check_stop(command):
    with Container(command) as container:
        lines = iter(container.stdout.readline, '')
        assert any('up' in line.split() for line in lines)
        os.kill(container.init(), signal.SIGTERM)
        rest = container.stdout.read()
        assert container.wait(DEADLINE) == 0, rest
        assert 'stopped in order' in rest, rest


def test_an_oci_bundle_ends_with_the_status_of_its_essential_service():
    check_facts(Image(FACTS).engine(), USER)


def test_an_oci_bundle_is_stopped_in_order_by_sigterm():
    check_stop(Image(WAITING).engine())


def test_in_a_user_namespace_it_ends_with_the_status_of_its_essential_service():
    check_facts(Image(FACTS).by_hand(), 65534)


def test_in_a_user_namespace_it_is_stopped_in_order_by_sigterm():
    check_stop(Image(WAITING).by_hand())
