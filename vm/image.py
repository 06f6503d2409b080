"""The root of the virtual machine: a folder tree, made into an ext4 image or an initramfs without
root, loop devices or mounts."""
import os
import pathlib
import shutil
import stat
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGE_BYTES = 96 << 20
FOLDERS = ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'dev', 'proc', 'sys', 'run', 'tmp', 'etc', 'root',
           'var/log', 'var/spool/cron/crontabs', 'mnt']
# Not links to busybox: its init's own way to end a machine uses signals that mean something else
# to conit; the scripts in vm/root do it by slc.
NOT_BUSYBOX = {'init', 'linuxrc', 'poweroff', 'halt', 'reboot', 'busybox', 'dpkg', 'dpkg-deb', 'rpm'}
MODULES = ['virtio_pci', 'virtio_net', 'virtio_blk', 'softdog', 'button', 'evdev']
MODULES_9P = ['virtio_pci', '9pnet_virtio', '9p']


class ImageError(Exception):
    """The image cannot be made; the text says why."""


def run(*command, **options):
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False,
                                env={**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'},
                                **options)
    except OSError as error:
        raise ImageError(f'{command[0]}: {error.strerror}') from error
    if result.returncode != 0:
        raise ImageError(f'{" ".join(command)}: {result.stderr.strip() or result.returncode}')
    return result.stdout


def install_busybox(tree):
    busybox = shutil.which('busybox')
    if not busybox:
        raise ImageError('busybox is not installed')
    shutil.copy(busybox, tree / 'bin/busybox')
    for name in run(busybox, '--list').split():
        if name not in NOT_BUSYBOX:
            os.symlink('/bin/busybox', tree / 'bin' / name)


def install_modules(tree, kernel, names):
    """The modules and what they need, with the tables that modprobe reads."""
    to = tree / 'lib/modules' / kernel.version
    for name in kernel.module_files(names):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel.modules / name, to / name)
    to.mkdir(parents=True, exist_ok=True)
    for table in ('modules.builtin', 'modules.order'):
        if (kernel.modules / table).exists():
            shutil.copy(kernel.modules / table, to / table)
    run('busybox', 'depmod', '-b', str(tree), kernel.version)


def install(tree):
    """conit's programs as make install leaves them."""
    run(str(ROOT / 'scripts/install-tree'), str(tree), '/usr', '--link-init')


def make_tree(tree, kernel, files=None):
    """The whole root below the new folder `tree`: busybox, conit as make install leaves it, modules,
    vm/root, services/. `files` (path → text, or None to leave one out) comes last."""
    tree = pathlib.Path(tree)
    for folder in FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / 'tmp').chmod(0o1777)
    install_busybox(tree)
    install(tree)
    shutil.rmtree(tree / 'usr/share/doc')
    install_modules(tree, kernel, MODULES)
    (tree / 'etc/yml-services').mkdir(exist_ok=True)
    for path in sorted((ROOT / 'services').glob('*.y*ml')):
        shutil.copy(path, tree / 'etc/yml-services')
    shutil.copytree(ROOT / 'vm/root', tree, symlinks=True, dirs_exist_ok=True)
    for name, text in (files or {}).items():
        path = tree / name.lstrip('/')
        if text is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith('#!'):
            path.chmod(0o755)


def make_image(image, tree, device_nodes=True, size=IMAGE_BYTES):
    """An ext4 image of the tree. Written whole beside its place, then renamed there."""
    new = f'{image}.new'
    with open(new, 'wb') as file:
        file.truncate(size)
    # In a user namespace one's own files are root's, so that they are in the image too.
    as_root = [] if os.getuid() == 0 else ['unshare', '--map-root-user']
    run(*as_root, 'mke2fs', '-q', '-F', '-t', 'ext4', '-E', 'root_owner=0:0', '-d', str(tree), new)
    if device_nodes:
        # What every distribution's /dev has below the mounted one; the kernel opens it for PID 1.
        run('debugfs', '-w', '-f', '-', new,
            input='cd /dev\nmknod console c 5 1\nmknod null c 1 3\n')
    os.replace(new, image)


def cpio_entry(number, name, mode, data=b'', device=(0, 0)):
    """One member of a cpio archive in the `newc` form (Documentation/driver-api/early-userspace/
    buffer-format.rst of Linux)."""
    name = name.encode() + b'\0'
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0]
    head = b'070701' + b''.join(b'%08X' % field for field in fields) + name
    return head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4)


def make_initramfs(path, kernel):
    """The initramfs that mounts a host folder by 9p and hands over to its /sbin/init."""
    busybox = pathlib.Path(shutil.which('busybox') or '/bin/busybox').read_bytes()
    files = [('bin', stat.S_IFDIR | 0o755, b''), ('dev', stat.S_IFDIR | 0o755, b''),
             ('proc', stat.S_IFDIR | 0o755, b''), ('root', stat.S_IFDIR | 0o755, b''),
             ('modules', stat.S_IFDIR | 0o755, b''),
             ('bin/busybox', stat.S_IFREG | 0o755, busybox),
             ('init', stat.S_IFREG | 0o755, (ROOT / 'vm/initramfs-init').read_bytes())]
    # Loaded in this order, which is the order of what they need: no tables are wanted here.
    for number, name in enumerate(kernel.module_files(MODULES_9P)):
        files.append((f'modules/{number:02}-{name.rsplit("/", 1)[-1]}', stat.S_IFREG | 0o644,
                      (kernel.modules / name).read_bytes()))
    archive = cpio_entry(1, 'dev', stat.S_IFDIR | 0o755)
    archive += cpio_entry(2, 'dev/console', stat.S_IFCHR | 0o600, device=(5, 1))
    for number, (name, mode, data) in enumerate(files, 3):
        archive += cpio_entry(number, name, mode, data)
    archive += cpio_entry(0, 'TRAILER!!!', 0)
    with open(path, 'wb') as file:
        file.write(archive)
