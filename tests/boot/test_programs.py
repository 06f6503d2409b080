"""What make leaves in out/ and what make install makes of it: no machine is booted for these."""
import os
import pathlib
import struct
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / 'out'
PROGRAMS = ['compress-journal', 'follow-forks', 'init', 'run-on-pid-ns', 'service-journal',
            'service-launcher', 'slc']
PT_DYNAMIC, PT_INTERP = 2, 3


def program_headers(path):
    """The types of an ELF file's program headers."""
    data = path.read_bytes()
    assert data[:5] == b'\x7fELF\x02', f'{path} is no 64-bit ELF file'
    offset, = struct.unpack_from('<Q', data, 32)
    size, count = struct.unpack_from('<HH', data, 54)
    return [struct.unpack_from('<I', data, offset + number * size)[0] for number in range(count)]


def test_every_program_is_static():
    for name in PROGRAMS:
        types = program_headers(OUT / name)
        assert types and PT_INTERP not in types and PT_DYNAMIC not in types, name


def test_init_is_smaller_than_100_kb():
    assert (OUT / 'init').stat().st_size < 100_000


def test_init_has_no_allocator_to_take_memory_from():
    """Its symbols are in the build folder; out/ is stripped. It maps its record, once, by mmap."""
    listed = subprocess.run(['nm', '--defined-only', ROOT / 'build/small/src/init/init'],
                            capture_output=True, text=True, check=True).stdout
    names = {line.split()[2] for line in listed.splitlines()}
    assert 'main' in names and 'reap_turn' in names
    assert not names & {'malloc', 'calloc', 'realloc', 'free', 'brk', 'sbrk'}, names


def test_every_program_says_its_version_and_how_it_is_used():
    for name in PROGRAMS:
        for option in ('--version', '--help'):
            result = subprocess.run([OUT / name, option], capture_output=True, text=True,
                                    stdin=subprocess.DEVNULL, timeout=60, check=False)
            assert result.returncode == 0, (name, option, result)
            assert result.stdout.strip(), (name, option)


def test_wrong_usage_ends_with_2_or_where_that_may_be_the_commands_with_125():
    for name in PROGRAMS:
        result = subprocess.run([OUT / name, '--no-such-option'], capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=60, check=False)
        assert result.returncode == (125 if name == 'run-on-pid-ns' else 2), (name, result)
        assert result.stderr.strip(), name


def install(*arguments):
    subprocess.run([ROOT / 'scripts/install-tree', *arguments], check=True, capture_output=True)


def tree_of(folder):
    return sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob('*')
                  if not path.is_dir())


def test_install_puts_each_program_in_its_place_and_remove_takes_it_away():
    folder = tempfile.mkdtemp()
    install(folder, '/usr', '--link-init')
    for path in ('usr/lib/conit/init', 'usr/lib/conit/service-launcher',
                 'usr/lib/conit/service-journal', 'usr/lib/conit/compress-journal',
                 'usr/lib/conit/follow-forks', 'usr/bin/slc', 'usr/bin/run-on-pid-ns'):
        assert os.access(os.path.join(folder, path), os.X_OK), path
    for path in ('man/man1/slc.1', 'man/man1/run-on-pid-ns.1', 'man/man5/conit-service.5',
                 'man/man8/init.8', 'man/man8/service-launcher.8', 'man/man8/service-journal.8',
                 'man/man8/follow-forks.8', 'bash-completion/completions/slc',
                 'zsh/site-functions/_slc', 'zsh/vendor-completions/_slc',
                 'fish/vendor_completions.d/slc.fish'):
        assert os.path.getsize(os.path.join(folder, 'usr/share', path)) > 200, path
    assert os.readlink(os.path.join(folder, 'sbin/init')) == '/usr/lib/conit/init'
    assert os.path.isdir(os.path.join(folder, 'etc/yml-services'))
    os.unlink(os.path.join(folder, 'sbin/init'))
    install('--remove', folder, '/usr')
    assert tree_of(folder) == []


def test_install_without_asking_leaves_sbin_init_alone():
    folder = tempfile.mkdtemp()
    install(folder, '/usr/local')
    assert not os.path.lexists(os.path.join(folder, 'sbin/init'))
    assert os.path.exists(os.path.join(folder, 'usr/local/lib/conit/init'))


def test_remove_refuses_while_sbin_init_is_ours():
    folder = tempfile.mkdtemp()
    install(folder, '/usr', '--link-init')
    result = subprocess.run([ROOT / 'scripts/install-tree', '--remove', folder, '/usr'],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 1 and 'sbin/init' in result.stderr, result
    assert os.path.exists(os.path.join(folder, 'usr/lib/conit/init'))
