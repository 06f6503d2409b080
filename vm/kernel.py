"""The kernel the virtual machine boots: the distribution's package, unpacked and never installed.

Two kinds, below build/vm/kernel/: `disk` boots an ext4 image without an initramfs (Debian's cloud
kernel has NVMe and ext4 built in), `9p` has the modules to boot a host folder.
"""
import fcntl
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'build/vm/kernel'
# Debian's packages first, then Ubuntu's, whose names lead to the kernel by their dependencies.
PACKAGES = {
    'disk': ['linux-image-cloud-amd64', 'linux-image-virtual'],
    '9p': ['linux-image-amd64', 'linux-image-virtual'],
}
# What is unpacked of it: a whole package is 400 MB.
WANTED = re.compile(
    r'\./boot/(vmlinuz|config)|\./(usr/)?lib/modules/[^/]+/(modules\.(builtin|order)|kernel/('
    r'drivers/(virtio/|net/(virtio_net|net_failover)|block/virtio_blk|acpi/button|input/evdev'
    r'|watchdog/(watchdog|softdog))|net/(core/failover|9p/)|fs/(9p/|netfs/|fscache/|overlayfs/)))')


class Unavailable(Exception):
    """The kernel cannot be had; the text says why."""


class Kernel:
    def __init__(self, folder):
        self.folder = folder
        self.version = (folder / 'version').read_text().strip()
        self.image = folder / 'vmlinux'
        if not self.image.exists():
            self.image = folder / 'vmlinuz'
        self.modules = folder / 'lib/modules' / self.version
        self.config = set((folder / 'config').read_text().splitlines())

    def builtin(self, name):
        return f'CONFIG_{name}=y' in self.config

    def module_files(self, names):
        """The files, below lib/modules/VERSION, of these modules, each after what it needs."""
        depends = {}
        for line in (self.modules / 'modules.dep').read_text().splitlines():
            path, needs = line.split(':')
            depends[path] = needs.split()
        by_name = {re.sub(r'\.ko.*', '', path.rsplit('/', 1)[-1]).replace('-', '_'): path
                   for path in depends}
        found = []

        def add(path):
            for need in depends[path]:
                add(need)
            if path not in found:
                found.append(path)

        for name in names:
            if name in by_name:
                add(by_name[name])
        return found


def output_of(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout if result.returncode == 0 else ''


def package_of(names):
    """The package that holds the kernel these names lead to."""
    for name in names:
        depends = output_of('apt-cache', 'depends', '--important', name)
        found = re.findall(r'Depends: (linux-image-\d\S+)', depends)
        if found:
            return found[0]
    return None


def download(package, folder):
    for name in (package, re.sub('^linux-image-(unsigned-)?', 'linux-modules-', package)):
        subprocess.run(['apt-get', 'download', '-q', '-o', 'Acquire::Retries=3', name], cwd=folder,
                       stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return sorted(folder.glob('*.deb'))


def unpack(deb, folder):
    """Takes what is WANTED; programs of a package are never run."""
    with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', str(deb)],
                          stdout=subprocess.PIPE) as source:
        with tarfile.open(fileobj=source.stdout, mode='r|') as tar:
            for member in tar:
                if member.isfile() and WANTED.match(member.name):
                    to = folder / re.sub(r'^\./(usr/(?=lib/))?', '', member.name)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    with to.open('wb') as file:
                        shutil.copyfileobj(tar.extractfile(member), file)


def uncompress(payload):
    """The ELF file inside a bzImage, or None where its compression is none we know."""
    if payload.startswith(b'\xfd7zXZ'):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(b'\x1f\x8b'):
        return zlib.decompressobj(31).decompress(payload)
    for magic, program in ((b'\x02!L\x18', 'lz4'), (b'(\xb5/\xfd', 'zstd')):
        if payload.startswith(magic) and shutil.which(program):
            # The size that the kernel's build appends is no part of the stream.
            result = subprocess.run([program, '-dc'], input=payload[:-4], capture_output=True,
                                    check=False)
            return result.stdout
    return None


def extract_elf(bzimage, to):
    """Takes the ELF kernel out of a bzImage (Linux's Documentation/arch/x86/boot.rst): QEMU enters
    it by PVH, without the time that the kernel's own decompression takes."""
    data = bzimage.read_bytes()
    setup_sectors = data[0x1f1] or 4
    offset, length = struct.unpack_from('<II', data, 0x248)
    begin = (setup_sectors + 1) * 512 + offset
    elf = uncompress(data[begin:begin + length])
    if elf and elf.startswith(b'\x7fELF'):
        to.write_bytes(elf)


def fetch(kind, folder):
    if not shutil.which('apt-get') or not shutil.which('dpkg-deb'):
        raise Unavailable('kernels are fetched with apt-get, and there is none here')
    package = package_of(PACKAGES[kind])
    if not package and os.getuid() == 0:
        subprocess.run(['apt-get', '-q', 'update'], stdin=subprocess.DEVNULL, capture_output=True,
                       check=False)
        package = package_of(PACKAGES[kind])
    if not package:
        raise Unavailable(f'apt knows none of {", ".join(PACKAGES[kind])} (apt-get update?)')
    debs = download(package, folder)
    if not debs and os.getuid() == 0:  # lists that are older than what the mirror has
        subprocess.run(['apt-get', '-q', 'update'], stdin=subprocess.DEVNULL, capture_output=True,
                       check=False)
        package = package_of(PACKAGES[kind])
        debs = download(package, folder)
    if not debs:
        raise Unavailable(f'apt-get download {package} failed')
    for deb in debs:
        unpack(deb, folder)
        deb.unlink()
    version = package.removeprefix('linux-image-').removeprefix('unsigned-')
    images = list(folder.glob(f'boot/vmlinuz-{version}'))
    if not images:
        raise Unavailable(f'{package} holds no kernel')
    images[0].rename(folder / 'vmlinuz')
    (folder / f'boot/config-{version}').rename(folder / 'config')
    subprocess.run(['busybox', 'depmod', '-b', str(folder), version], check=True)
    (folder / 'version').write_text(version + '\n')
    if Kernel(folder).builtin('PVH'):
        extract_elf(folder / 'vmlinuz', folder / 'vmlinux')


def ensure(kind):
    """The kernel, fetched when it is not there yet. Several may ask at once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f'.{kind}.lock', 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = FOLDER / kind
        if not (place / 'version').exists():
            with tempfile.TemporaryDirectory(dir=FOLDER, prefix=f'.{kind}.') as new:
                os.chmod(new, 0o755)  # apt's own user looks into it
                fetch(kind, pathlib.Path(new))
                shutil.rmtree(place, ignore_errors=True)
                os.rename(new, place)
                os.mkdir(new)  # for TemporaryDirectory to remove
        return Kernel(place)
