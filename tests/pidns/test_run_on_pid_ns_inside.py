"""run-on-pid-ns: what each option makes of the inside, and what becomes of it when it cannot be."""
import contextlib
import ctypes
import os
import pathlib
import platform
import re
import shutil
import signal
import struct
import subprocess
import tempfile

from hang import HungFolder
from harness import BUILD, Outside, OwnCgroup, Skip, need_root, open_fds, until
from steps import Stepper

PROGRAM = str(BUILD / 'run-on-pid-ns')
NOBODY = 65534
NAMESPACES = ('pid', 'mnt', 'time', 'uts', 'ipc', 'net', 'cgroup', 'user')
UNSHARE = {'x86_64': 272, 'aarch64': 97, 'riscv64': 97}
CLONE = {'x86_64': 56, 'aarch64': 220, 'riscv64': 220}
SENDTO = {'x86_64': 44, 'aarch64': 206}
SOCKETPAIR = {'x86_64': 53, 'aarch64': 199, 'riscv64': 199}
PIDFD_OPEN = 434
CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWUSER = 0x80, 0x20000, 0x10000000


def run(*command, **options):
    need_root()
    return subprocess.run([PROGRAM, *command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=60, **options)


def run_as_nobody(*command):
    """As a user without any privilege, in a folder it may enter."""
    need_root()
    return subprocess.run([PROGRAM, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=60, cwd='/', user=NOBODY, group=NOBODY, extra_groups=[])


def said(*command, **options):
    result = run(*command, **options)
    assert result.returncode == 0, result
    return result.stdout


def refuse(command, *words, status=125):
    """It ends with that status, and what it says has these words."""
    result = command if isinstance(command, subprocess.CompletedProcess) else run(*command)
    assert result.returncode == status and not result.stdout, result
    for word in words:
        assert word in result.stderr, (word, result)


@contextlib.contextmanager
def root_folder():
    """A small root, in which only busybox is, which anybody may read."""
    need_root()
    busybox = shutil.which('busybox')
    if not busybox or 'statically' not in subprocess.run(
            ['file', '-L', busybox], capture_output=True, text=True, check=False).stdout:
        raise Skip('needs a static busybox')
    folder = pathlib.Path(f'/tmp/run-on-pid-ns.{os.getpid()}')
    try:
        for name in ('bin', 'proc', 'sys', 'dev', 'run', 'etc'):
            (folder / name).mkdir(parents=True)
        shutil.copy2(busybox, folder / 'bin/busybox')
        for name in ('sh', 'ls', 'cat', 'mount', 'readlink', 'touch', 'stat', 'id', 'echo', 'hostname',
                     'mkdir'):
            (folder / 'bin' / name).symlink_to('busybox')
        yield folder
    finally:
        shutil.rmtree(folder)


class OwnOutside(Outside):
    """Without what other tests mount meanwhile, which they do in their own folders only."""

    def __init__(self):
        super().__init__()
        ours = (os.environ['TMPDIR'], f'/tmp/run-on-pid-ns.{os.getpid()}')
        self.mounts = [line for line in self.mounts.splitlines()
                       if not line.split()[4].startswith('/tmp/') or line.split()[4].startswith(ours)]

    def check(self):
        now = OwnOutside()
        assert vars(now) == vars(self), (vars(self), vars(now))


# Namespaces.

def namespaces_of(*options):
    links = said(*options, 'readlink', *(f'/proc/self/ns/{name}' for name in NAMESPACES)).split()
    return {name for name, link in zip(NAMESPACES, links)
            if link != os.readlink(f'/proc/self/ns/{name}')}


def test_each_option_has_its_own_namespace_and_no_other():
    usual = {'pid', 'mnt', 'time'}
    assert namespaces_of() == usual
    for option, name in (('--uts', 'uts'), ('--hostname=x', 'uts'), ('--ipc', 'ipc'), ('--net', 'net'),
                         ('--user', 'user')):
        assert namespaces_of(option) == usual | {name}, option
    assert namespaces_of('--time', 'shared') == {'pid', 'mnt'}


def test_the_host_name_is_set_inside_only():
    before = OwnOutside()
    assert said('--hostname', 'nested', 'uname', '-n') == 'nested\n'
    before.check()


def test_its_own_network_has_lo_up_and_nothing_else():
    words = said('--net', 'sh', '-c', 'ls /sys/class/net; cat /sys/class/net/lo/flags').split()
    assert int(words[-1], 16) & 1, words
    # Some kernels make devices for tunnels in each.
    assert 'lo' in words and set(words[:-1]) <= {'lo', 'sit0', 'tunl0', 'ip6tnl0', 'gre0'}, words
    assert said('--net', 'python3', '-c', 'import socket; s = socket.create_server(("127.0.0.1", 0)); '
                'socket.create_connection(s.getsockname()); print("talked")') == 'talked\n'


# Time.

def test_the_uptime_begins_with_what_is_asked_for():
    for word, seconds in (('90', 90), ('5min', 300), ('3d', 3 * 86400)):
        uptime = float(said('--uptime', word, 'cat', '/proc/uptime').split()[0])
        assert seconds <= uptime < seconds + 30, (word, uptime)


def test_a_shared_time_is_that_of_the_outside():
    outside = float(pathlib.Path('/proc/uptime').read_text(encoding='ascii').split()[0])
    assert float(said('--time=shared', 'cat', '/proc/uptime').split()[0]) >= outside


def test_an_uptime_that_no_clock_can_show_is_an_error_that_says_so():
    refuse(['--uptime', '200000d', 'true'], 'Could not make a time namespace', 'out of range')


def without_calls(numbers, flag, error):
    """In a child before it executes: the call fails with that flag, as in a kernel without it."""
    number = numbers.get(platform.machine())
    if not number:
        raise Skip('the numbers of system calls are not known on this machine')
    rows = [(0x20, 0, 0, 0), (0x15, 0, 3, number),      # this call?
            (0x20, 0, 0, 16), (0x45, 0, 1, flag),       # with the flag?
            (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7fff0000)]
    program = b''.join(struct.pack('HBBI', *row) for row in rows)

    def install():
        libc = ctypes.CDLL(None)
        storage = ctypes.create_string_buffer(program)
        filter_ = struct.pack('HxxxxxxP', len(rows), ctypes.addressof(storage))
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter_, 0, 0):
            raise OSError('no seccomp filter')
    return install


def test_a_kernel_without_time_namespaces_costs_the_uptime_only_and_a_warning():
    old_kernel = without_calls(UNSHARE, CLONE_NEWTIME, 22)
    result = run('sh', '-c', 'readlink /proc/self/ns/time; cat /proc/uptime', preexec_fn=old_kernel)
    link, uptime = result.stdout.split('\n')[:2]
    assert result.returncode == 0 and link == os.readlink('/proc/self/ns/time'), result
    assert float(uptime.split()[0]) > 0
    assert "WARN" in result.stderr and "The uptime inside is the outside's" in result.stderr, result


def test_where_time_is_required_such_a_kernel_is_an_error():
    result = run('--time', 'required', 'true', preexec_fn=without_calls(UNSHARE, CLONE_NEWTIME, 22))
    refuse(result, 'Could not make a time namespace', 'the kernel has none')


# The root.

def test_what_is_outside_the_root_cannot_be_seen():
    with root_folder() as root:
        before = OwnOutside()
        script = 'ls /; echo; ls -d /.. /../tmp; cat /proc/self/mountinfo; pwd'
        top, rest = run('--root', str(root), 'sh', '-c', script).stdout.split('\n\n')
        assert top.split() == ['bin', 'dev', 'etc', 'proc', 'run', 'sys'], top
        lines = rest.splitlines()
        assert lines[0] == '/..' and lines[-1] == '/', rest
        points = [line.split()[4] for line in lines if ' - ' in line]
        for point in points:
            assert point == '/' or re.match('/(proc|sys|dev|run)(/|$)', point), point
        before.check()


def test_the_root_has_proc_sys_dev_and_run():
    with root_folder() as root:
        script = ('ls /proc | grep -c "^[0-9]"; readlink /proc/1/exe; ls /sys/class >/dev/null && echo sys; '
                  'mount | grep -c "on /sys type sysfs (ro"; echo >/dev/null && echo null; ls -di /run')
        words = said('--root', str(root), 'busybox', 'sh', '-c', script.replace('grep', 'busybox grep')).split()
        assert int(words[0]) <= 5 and words[1:5] == ['/bin/busybox', 'sys', '1', 'null'], words
        assert int(words[5]) == os.stat('/run').st_ino, words


def test_a_link_in_the_root_leads_nowhere_outside():
    with root_folder() as root:
        (root / 'run').rmdir()
        (root / 'run').symlink_to('/etc/there')
        (root / 'etc/there').mkdir()
        before = OwnOutside()
        said('--root', str(root), '--private-run', 'sh', '-c', 'touch /run/mine; ls /etc/there/mine')
        assert not (root / 'etc/there/mine').exists() and not pathlib.Path('/etc/there').exists()
        before.check()


def test_a_link_with_dots_leads_nowhere_outside_either():
    with root_folder() as root, tempfile.TemporaryDirectory() as outside:
        for name in ('run', 'dev', 'proc', 'sys', 'leak'):
            if (root / name).exists():
                shutil.rmtree(root / name)
            (root / name).symlink_to(f'../../..{outside}/{name}')
            (root / outside[1:] / name).mkdir(parents=True)
            (pathlib.Path(outside) / name).mkdir()
        before = OwnOutside()
        result = run('--root', str(root), '--dev', '--private-run', '--bind', '/etc/passwd:/leak/file', 'sh', '-c',
                     f'ls -d {outside}/leak/file {outside}/proc/self {outside}/dev/null {outside}/sys/kernel')
        assert result.returncode == 0, result
        assert not any(files for _, _, files in os.walk(outside)), (list(os.walk(outside)), result)
        before.check()


def test_a_root_that_is_none_is_refused_with_a_sentence():
    with root_folder() as root:
        refuse(['--root', f'{root}/missing', 'sh'], 'Could not move the root', 'there is no such folder')
        refuse(['--root', f'{root}/bin/busybox', 'sh'], 'Could not move the root', 'it is no folder')
        refuse(['--root', '/', 'sh'], 'Could not move the root', 'it is the root already')
        refuse(['--root', str(root), '/no/such/command'], 'Could not execute the command', 'there is no such program',
               status=127)


def test_three_in_each_other_have_each_their_own():
    with root_folder() as root:
        script = root / 'nested.sh'
        # The build for tests is not static.
        libraries = [word for path in ('/lib', '/lib64', '/usr/lib') if os.path.exists(path) for word in ('--bind', path)]
        options = f'{" ".join(libraries)} --dev --private-run --uts --ipc --net --bind /bin/run-on-pid-ns --bind /mnt'
        script.write_text(
            'echo "$1 $$ $(hostname) $(ls /proc | busybox grep -c "^[0-9]") $(cat /proc/uptime)"\n'
            f'[ $1 = 3 ] || exec run-on-pid-ns {options} --hostname nested-$1 --root /mnt sh /nested.sh $(($1 + 1))\n',
            encoding='ascii')
        lines = said('--root', str(root), *libraries, '--hostname', 'nested-0', '--bind', f'{PROGRAM}:/bin/run-on-pid-ns',
                     '--bind', f'{root}:/mnt', 'sh', '/nested.sh', '1').splitlines()
        for depth, line in enumerate(lines):
            words = line.split()
            assert words[:3] == [str(depth + 1), '1', f'nested-{depth}'] and int(words[3]) <= 4, lines
            assert float(words[4]) < 30, lines
        assert len(lines) == 3, lines


def test_a_folder_that_the_root_lacks_is_made_where_it_can_be_and_else_named():
    with root_folder() as root:
        (root / 'proc').rmdir()
        result = run('--root', str(root), '--bind', f'{root}:/bin:ro', 'sh')
        assert (root / 'proc').is_dir(), result
        (root / 'proc').rmdir()
        os.chown(root, 0, 0)
        refuse(run_as_nobody('--user', '--root', str(root), 'sh'), 'Could not mount a new proc',
               'target=/proc', 'make it')


# Mounts.

def test_a_bind_is_there_and_follows_what_is_below_it():
    before = OwnOutside()
    folder = pathlib.Path(os.environ['TMPDIR'])
    (folder / 'from').mkdir()
    (folder / 'to').mkdir()
    (folder / 'from/file').write_text('outside', encoding='ascii')
    target = folder / 'to'
    assert said('--bind', f'{folder}/from:{target}', 'cat', f'{target}/file') == 'outside'
    said('--bind', f'{folder}/from:{target}', 'sh', '-c', f'echo -n inside >{target}/file')
    assert (folder / 'from/file').read_text(encoding='ascii') == 'inside'
    assert not os.listdir(target)
    before.check()


def test_where_mounts_are_shared_those_inside_stay_inside_and_those_outside_go_inside():
    folder = pathlib.Path(os.environ['TMPDIR'])
    for name in ('inner', 'outer'):
        (folder / name).mkdir()
    inside = (f'mount -t tmpfs x {folder}/inner; echo mounted; read line; grep -c {folder}/outer /proc/self/mountinfo; '
              f'read line; grep -c {folder}/outer /proc/self/mountinfo')
    outside = subprocess.Popen(
        ['unshare', '-m', '--propagation', 'shared', PROGRAM, 'sh', '-c', inside],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        assert outside.stdout.readline() == 'mounted\n'
        enter = ['nsenter', '-t', str(outside.pid), '-m']
        assert f'{folder}/inner' not in pathlib.Path(f'/proc/{outside.pid}/mountinfo').read_text(encoding='utf-8')
        for command, seen in ((['mount', '-t', 'tmpfs', 'x', folder / 'outer'], '1\n'),
                              (['umount', folder / 'outer'], '0\n')):
            subprocess.run([*enter, *command], check=True)
            outside.stdin.write('look\n')
            assert outside.stdout.readline() == seen, command
        outside.wait(30)
    finally:
        outside.kill()
        outside.communicate()


def test_a_read_only_bind_cannot_be_written_to_but_its_source_can():
    folder = pathlib.Path(os.environ['TMPDIR'])
    (folder / 'source').mkdir()
    result = run('--bind', f'{folder}/source:{folder}:ro', 'sh', '-c',
                 f'touch {folder}/x || touch {folder}/source/x')
    assert result.returncode and 'Read-only' in result.stderr, result
    result = run('--bind', f'{folder}/source:/mnt:ro', 'sh', '-c', f'touch {folder}/source/y; ls /mnt')
    assert result.stdout == 'y\n', result


def test_a_bind_makes_the_place_it_needs_in_the_root():
    with root_folder() as root:
        assert said('--root', str(root), '--bind', '/etc/passwd:/etc/deep/down/passwd', '--bind', '/etc:/new',
                    'sh', '-c', 'cat /etc/deep/down/passwd; ls /new').startswith('root:')


def test_a_colon_in_a_path_is_written_with_a_backslash():
    folder = pathlib.Path(os.environ['TMPDIR'])
    (folder / 'a:b').write_text('colon', encoding='ascii')
    (folder / 'to').touch()
    assert said('--bind', f'{folder}/a\\:b:{folder}/to', 'cat', f'{folder}/to') == 'colon'


def test_what_cannot_be_bound_is_named():
    refuse(['--bind', '/no/such:/mnt', 'true'], 'Could not bind', 'source=/no/such', 'no such path outside')
    refuse(['--bind', '/etc/passwd:/tmp', 'true'], 'Could not bind', 'one of the two is a folder')
    refuse(['--bind', '/etc:/proc/nothing', 'true'], 'Could not bind', 'none can be made')


def test_what_is_read_only_cannot_be_written_to_with_what_is_below_it():
    folder = pathlib.Path(os.environ['TMPDIR'])
    (folder / 'in').mkdir()
    before = OwnOutside()
    script = (f'mount -t tmpfs x {folder}/in && exec {PROGRAM} --read-only {folder} '
              f'sh -c "touch {folder}/x; touch {folder}/in/x; touch /tmp/x.$$ && rm /tmp/x.$$ && echo tmp"')
    result = run('sh', '-c', script)
    assert result.stderr.count('Read-only file system') == 2 and result.stdout == 'tmp\n', result
    before.check()
    refuse(['--read-only', '/no/such', 'true'], 'Could not make it read-only', 'no such path inside')


def test_a_read_only_root_leaves_what_is_mounted_in_it():
    with root_folder() as root:
        result = run('--root', str(root), '--private-run', '--read-only', '/', 'sh', '-c',
                     'touch /x; touch /run/x && echo run')
        assert 'Read-only' in result.stderr and result.stdout == 'run\n', result


def test_its_own_dev_has_the_nodes_and_no_other():
    names = set(said('--dev', 'ls', '/dev').split())
    assert names == {'fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout',
                     'tty', 'urandom', 'zero'}, names
    script = ('import os, stat; all(stat.S_ISCHR(os.stat("/dev/" + n).st_mode) or 1 / 0 for n in '
              '("null", "zero", "full", "random", "urandom", "tty")); open("/dev/null", "w").write("x"); '
              'print(os.openpty() and sorted(os.listdir("/dev/pts")), oct(os.stat("/dev/shm").st_mode), '
              'os.readlink("/dev/fd"))')
    assert said('--dev', 'python3', '-c', script) == "['0', 'ptmx'] 0o41777 /proc/self/fd\n"


def test_its_own_run_is_empty_but_for_what_describes_the_container():
    before = sorted(os.listdir('/run'))
    assert said('--private-run', 'ls', '/run', '/run/host') == '/run:\nhost\n\n/run/host:\ncontainer-manager\nos-release\n'
    assert said('--private-run', 'cat', '/run/host/container-manager') == 'conit\n'
    assert said('--private-run', 'cat', '/run/host/os-release') == pathlib.Path(
        '/etc/os-release').read_text(encoding='utf-8')
    assert sorted(os.listdir('/run')) == before


# The console and the notify socket.

def test_the_console_is_the_controlling_terminal_of_process_1():
    folder = pathlib.Path(os.environ['TMPDIR'])
    for options in (['--dev'], []):
        run('--console', *options, 'sh', '-c', f'exec >{folder}/said; cut -d" " -f6,7 /proc/1/stat; tty; stat -c %t /dev/console; '
            'tty </dev/console; echo typed >/dev/tty')
        lines = (folder / 'said').read_text(encoding='ascii').split()
        # Session 1, a terminal of major number 136 (0x88).
        assert lines[0] == '1' and int(lines[1]) >> 8 & 0xff == 136 and lines[3] == '88', lines
        assert lines[2].startswith('/dev/') and lines[4] == '/dev/console', lines


def test_what_fails_behind_the_console_is_said_outside():
    for command, status in (('/no/such/command', 127), ('/etc/passwd', 126)):
        refuse(['--dev', '--console', command], 'Could not execute the command', status=status)
        path = pathlib.Path(os.environ['TMPDIR']) / 'errors'  # which nobody can open once more for us
        with open(path, 'wb') as errors:
            subprocess.run([PROGRAM, '--dev', '--console', command], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=errors, check=False, timeout=60)
        assert 'Could not execute the command' in path.read_text(encoding='utf-8')


def test_the_notify_socket_is_there_and_takes_messages():
    script = ('import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); '
              's.connect(os.environ["NOTIFY_SOCKET"]); s.send(b"STATUS=x"); '
              'print(os.environ["NOTIFY_SOCKET"], oct(os.stat("/run/host/notify").st_mode))')
    assert said('--private-run', '--notify', 'python3', '-c', script) == '/run/host/notify 0o140666\n'


# The environment and descriptors.

def test_the_environment_says_what_it_is_in_and_hands_nothing_of_ours_on():
    ours = {'NOTIFY_SOCKET': '/x', 'WATCHDOG_USEC': '1', 'WATCHDOG_PID': '1', 'LISTEN_FDS': '1',
            'LISTEN_PID': '1', 'LISTEN_FDNAMES': 'x'}
    lines = said('env', env={**os.environ, **ours, 'KEPT': 'yes'}).splitlines()
    assert 'container=conit' in lines and 'KEPT=yes' in lines
    assert not [line for line in lines if line.split('=')[0] in ours], lines


def test_variables_are_set_and_removed():
    lines = said('--env', 'A=b=c', '--env=GONE', '--env', 'EMPTY=', '--env', 'container=lxc', 'env',
                 env={**os.environ, 'GONE': '1'}).splitlines()
    assert {'A=b=c', 'EMPTY=', 'container=lxc'} <= set(lines)
    assert not [line for line in lines if line.startswith('GONE')]


def test_no_descriptor_of_ours_is_open_inside():
    with root_folder() as root:
        names = said('--root', str(root), '--dev', '--private-run', '--net', '--notify', '--bind', '/etc:/mnt',
                     'ls', '/proc/self/fd', close_fds=True).split()
    assert names == ['0', '1', '2', '3'], names  # the last one is of ls


def test_a_descriptor_that_listen_fds_names_goes_no_further_and_another_is_handed_on():
    script = 'exec 3</dev/null 4</dev/null 5</dev/null; export LISTEN_FDS=2 LISTEN_PID=%s; exec "$0" ls /proc/self/fd'
    for pid, expected in (('$$', ['0', '1', '2', '3', '5']), ('1', ['0', '1', '2', '3', '4', '5', '6'])):
        result = subprocess.run(['sh', '-c', script % pid, PROGRAM], capture_output=True, text=True, check=True)
        assert result.stdout.split() == expected, result  # the first that is free is of ls


def test_the_umask_and_the_folder_are_as_outside():
    umask = os.umask(0o027)
    try:
        assert said('--dev', '--private-run', 'sh', '-c', 'umask; pwd', cwd='/usr').split() == ['0027', '/usr']
        assert '0o40755' in said('--private-run', 'python3', '-c', 'import os; print(oct(os.stat("/run/host").st_mode))')
    finally:
        os.umask(umask)


# The user namespace.

def test_an_ordinary_user_is_root_inside_without_privileges():
    words = run_as_nobody('--user', 'sh', '-c', 'id -u; id -g; echo $$; cat /proc/self/setgroups; ls /proc | '
                          'grep -c "^[0-9]"')
    assert words.stdout.split()[:4] == ['0', '0', '1', 'deny'], words
    assert int(words.stdout.split()[4]) <= 4, words


def test_an_ordinary_user_has_every_namespace_and_mount():
    with root_folder() as root:
        result = run_as_nobody('--user', '--root', str(root), '--dev', '--private-run', '--hostname', 'mine',
                               '--ipc', '--net', '--bind', '/etc:/etc:ro', '--read-only', '/proc/sys',
                               '--uptime', '1h', 'sh', '-c', 'hostname; ls /dev /run/host /sys >/dev/null && '
                               'cat /proc/uptime; echo x >/dev/null && ls /etc/passwd; touch /etc/x')
    lines = result.stdout.splitlines()
    assert lines[0] == 'mine' and 3600 <= float(lines[1].split()[0]) < 3700, result
    assert lines[2] == '/etc/passwd' and 'Read-only file system' in result.stderr, result


def test_with_the_outside_s_network_a_user_s_root_has_the_outside_s_sys_read_only():
    with root_folder() as root:
        result = run_as_nobody('--user', '--root', str(root), 'sh', '-c', 'ls /sys/class/net; mount')
        assert set(result.stdout.split('\n')) >= set(os.listdir('/sys/class/net')), result
        assert re.search(r'on /sys type sysfs \(ro', result.stdout), result


def test_without_privileges_and_user_it_says_what_to_do():
    refuse(run_as_nobody('true'), 'Operation not permitted', 'run it as root, or with --user')


def test_where_users_may_make_no_user_namespace_it_says_so():
    result = run('--user', 'true', preexec_fn=without_calls(UNSHARE, CLONE_NEWUSER, 1))
    refuse(result, 'Could not make a user namespace', 'users may not make one here')


def test_a_hidden_part_of_proc_is_told_from_other_failures():
    # As in a container: then a user namespace may not mount a new one.
    result = run('sh', '-c', f'mount -t tmpfs x /proc/sys && exec setpriv --reuid {NOBODY} --regid {NOBODY} '
                 f'--clear-groups {PROGRAM} --user true', cwd='/')
    refuse(result, 'Could not mount a new proc', 'a part of /proc is hidden', '--keep-proc')
    result = run('sh', '-c', f'mount -t tmpfs x /proc/sys && exec setpriv --reuid {NOBODY} --regid {NOBODY} '
                 f'--clear-groups {PROGRAM} --user --keep-proc echo goes', cwd='/')
    assert result.stdout == 'goes\n', result


def test_where_a_user_namespace_is_worth_nothing_it_says_so():
    result = run('--user', '--time=shared', 'true', preexec_fn=without_calls(CLONE, CLONE_NEWNS, 1))
    refuse(result, 'Could not make process 1 in namespaces', 'but nothing in it')


# The cgroup.

@contextlib.contextmanager
def own_cgroup():
    need_root()
    cgroup = OwnCgroup()
    if not cgroup.folder:
        raise Skip('needs a cgroup v2')
    try:
        yield cgroup
    finally:
        cgroup.remove()


def folders_below(path):
    return sorted(os.path.relpath(folder, path) for folder, _, _ in os.walk(path) if folder != path)


def test_what_is_inside_sees_its_cgroup_as_the_root_and_can_divide_it():
    with own_cgroup() as cgroup:
        script = ('cat /proc/self/cgroup | grep ^0::; cat /sys/fs/cgroup/cgroup.procs | head -1; '
                  'mkdir -p /sys/fs/cgroup/a/b; ls /sys/fs/cgroup/cgroup.controllers; '
                  'grep -c " /sys ro," /proc/self/mountinfo; grep " - cgroup" /proc/self/mountinfo | tail -1 | cut -d" " -f4,5')
        words = said('--cgroup', 'sh', '-c', script, preexec_fn=cgroup.enter).split()
        assert words == ['0::/', '1', '/sys/fs/cgroup/cgroup.controllers', '1', '/', '/sys/fs/cgroup'], words
        until(lambda: not folders_below(cgroup.folder), 'nothing of it is left')


def controllers_of(cgroup, name):
    return (pathlib.Path(cgroup.folder) / name).read_text(encoding='ascii').split()


@contextlib.contextmanager
def cgroup_with_controllers():
    """One at the top, which is given some there as a rule."""
    with own_cgroup() as cgroup:
        points = [line.split()[4] for line in open('/proc/self/mountinfo', encoding='utf-8') if ' - cgroup2 ' in line]
        os.rmdir(cgroup.folder)
        cgroup.folder = tempfile.mkdtemp(prefix='machine.', dir=points[0])
        if not controllers_of(cgroup, 'cgroup.controllers'):
            raise Skip('no controller is handed on to cgroups here')
        yield cgroup


def test_controllers_are_handed_on_while_it_runs_and_taken_back():
    with cgroup_with_controllers() as cgroup:
        seen = said('--cgroup', 'cat', '/sys/fs/cgroup/cgroup.controllers', preexec_fn=cgroup.enter).split()
        assert seen == controllers_of(cgroup, 'cgroup.controllers'), seen
        assert not controllers_of(cgroup, 'cgroup.subtree_control')
        # It can be entered again.
        assert said('--cgroup', 'echo', 'again', preexec_fn=cgroup.enter) == 'again\n'


def test_who_shares_its_cgroup_gets_a_name_of_its_own_and_stays_where_it_is():
    with own_cgroup() as cgroup:
        process = subprocess.Popen(
            ['sh', '-c', f'{PROGRAM} --cgroup sh -c "echo ready; exec sleep 1000"; exit 7'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=cgroup.enter)
        try:
            assert process.stdout.readline() == b'ready\n'
            names = folders_below(cgroup.folder)
            assert len(names) == 1 and re.fullmatch(r'inside-\d+', names[0]), names
        finally:
            with open(os.path.join(cgroup.folder, 'cgroup.kill'), 'w', encoding='ascii') as kill:
                kill.write('1')
            process.wait()
            process.stdin.close()
            process.stdout.close()


def kill_one(cgroup, *before):
    """Starts one that makes cgroups inside, and kills it with all that is in the cgroup."""
    script = 'mkdir -p /sys/fs/cgroup/a/b/c; echo ready; exec sleep 1000'
    process = subprocess.Popen([*before, PROGRAM, '--cgroup', 'sh', '-c', script], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, preexec_fn=cgroup.enter)
    assert process.stdout.readline() == b'ready\n'
    (pathlib.Path(cgroup.folder) / 'cgroup.kill').write_text('1', encoding='ascii')
    process.wait()
    process.stdout.close()
    until(lambda: 'populated 0' in (pathlib.Path(cgroup.folder) / 'cgroup.events').read_text(encoding='ascii'),
          'all are gone')


def test_what_a_killed_one_has_left_is_removed_by_the_next():
    with own_cgroup() as cgroup:
        kill_one(cgroup)
        assert folders_below(cgroup.folder) == ['inside', 'inside/a', 'inside/a/b', 'inside/a/b/c', 'outside']
        kill_one(cgroup, 'sh', '-c', '"$0" "$@"; exit 1')  # whose cgroup is shared with a shell
        left = folders_below(cgroup.folder)
        assert len(left) == 5 and re.fullmatch(r'inside-\d+', left[0]), left
        said('--cgroup', 'true', preexec_fn=cgroup.enter)
        until(lambda: not folders_below(cgroup.folder), 'nothing of it is left')


def test_an_ordinary_user_divides_a_cgroup_that_is_handed_to_it():
    with own_cgroup() as cgroup:
        for name in ('.', 'cgroup.procs', 'cgroup.subtree_control'):
            os.chown(os.path.join(cgroup.folder, name), NOBODY, NOBODY)
        script = 'grep ^0:: /proc/self/cgroup; mkdir /sys/fs/cgroup/mine; echo 0 >/sys/fs/cgroup/mine/cgroup.procs && echo in'
        result = subprocess.run(
            ['setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY), '--clear-groups', PROGRAM, '--user',
             '--cgroup', 'sh', '-c', script], stdin=subprocess.DEVNULL, cwd='/', capture_output=True, text=True,
            check=False, timeout=60, preexec_fn=cgroup.enter)
        assert result.stdout == '0::/\nin\n', result
        until(lambda: not folders_below(cgroup.folder), 'nothing of it is left')


def test_a_cgroup_of_another_user_is_no_place_and_it_says_so():
    with own_cgroup() as cgroup:
        result = subprocess.run(['setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY), '--clear-groups',
                                 PROGRAM, '--user', '--cgroup', 'true'], stdin=subprocess.DEVNULL, cwd='/',
                                capture_output=True, text=True, check=False, timeout=60, preexec_fn=cgroup.enter)
        refuse(result, 'Could not make a cgroup below ours', "another user's")


def test_a_cgroup_that_cannot_be_left_is_left_as_it_was():
    with own_cgroup() as cgroup:
        os.chown(cgroup.folder, NOBODY, NOBODY)  # it may have others below, and not be moved into them
        result = subprocess.run(['setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY), '--clear-groups',
                                 PROGRAM, '--user', '--cgroup', 'true'], stdin=subprocess.DEVNULL, cwd='/',
                                capture_output=True, text=True, check=False, timeout=60, preexec_fn=cgroup.enter)
        refuse(result, 'Could not make a cgroup below ours', "another user's")
        assert not folders_below(cgroup.folder)


def test_a_start_that_fails_outside_leaves_neither_process_nor_cgroup():
    with own_cgroup() as cgroup:
        fail = without_calls(dict.fromkeys(UNSHARE, PIDFD_OPEN), 0xffffffff, 12)
        result = run('--cgroup', 'true', preexec_fn=lambda: (cgroup.enter(), fail()))
        refuse(result, 'Could not open process 1', 'memory')
        assert 'is left' not in result.stderr and not folders_below(cgroup.folder), result


def test_where_process_1_cannot_be_told_of_nobody_waits_for_it():
    refuse(run('true', preexec_fn=without_calls(SENDTO, 0xffffffff, 1)), 'Could not tell which process 1 was made')


def test_no_deeper_cgroups_are_made_inside_than_can_be_removed():
    with own_cgroup() as cgroup:
        script = 'cd /sys/fs/cgroup; n=0; while mkdir d 2>/dev/null && cd d; do n=$((n + 1)); done; echo $n'
        deep = int(said('--cgroup', '--private-run', 'sh', '-c', script, preexec_fn=cgroup.enter))
        assert 30 < deep < 64, deep
        assert not folders_below(cgroup.folder)


# The steps.

def test_the_steps_are_printed_and_not_taken():
    before = OwnOutside()
    result = run_as_nobody('--steps', '--system', '--root', '/srv/x', '--env', 'A=b', '/sbin/init')
    lines = result.stdout.splitlines()
    assert result.returncode == 0 and 'process 1  move the root: /srv/x' in lines, result
    assert lines[-2:] == ['process 1  set or remove a variable: A=b', 'process 1  execute the command: /sbin/init']
    before.check()


def test_killed_at_any_call_of_its_start_it_leaves_no_process():
    need_root()
    number = SOCKETPAIR.get(platform.machine())
    if not number:
        raise Skip('the numbers of system calls are not known on this machine')
    marker = f'3{os.getpid():07d}'
    with own_cgroup() as cgroup:
        for count in range(0, 400, 2):  # stops at entries: one before each call
            process = subprocess.Popen(
                ['sh', '-c', f'read line; exec {PROGRAM} --cgroup --dev --private-run sleep {marker}'],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                preexec_fn=cgroup.enter)
            stepper = Stepper(process)
            process.stdin.write(b'\n')
            process.stdin.close()
            assert stepper.until(number) is not None
            more = stepper.step(count)
            stepper.kill()
            process.returncode = -9
            until(lambda: 'populated 0' in (pathlib.Path(cgroup.folder) / 'cgroup.events').read_text(
                encoding='ascii'), f'nobody is left of one that was killed {count} steps on')
            if not more:
                break
        assert count > 40, count


def test_it_can_be_stopped_while_a_step_hangs():
    folder = pathlib.Path(os.environ['TMPDIR']) / 'hung'
    folder.mkdir()
    process = subprocess.Popen(
        ['unshare', '-m', 'sh', '-c', 'echo ready; read line; exec '
         f'{PROGRAM} --bind {folder}/x:/mnt true'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout.readline() == b'ready\n'
        with HungFolder(process, folder) as hung:
            process.stdin.write(b'\n')
            process.stdin.close()
            hung.wait_asked()
            assert process.poll() is None
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_fifty_starts_leave_nothing():
    with root_folder() as root, own_cgroup() as cgroup:
        before, descriptors = OwnOutside(), open_fds(os.getpid())

        def begin():
            return subprocess.Popen(
                [PROGRAM, '--system', '--net', '--root', str(root), '--bind', '/etc:/mnt', 'sh', '-c',
                 'mkdir -p /sys/fs/cgroup/a/b; exit 9'], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=cgroup.enter)

        def end(process):
            error = process.communicate(timeout=60)[1]
            assert process.returncode == 9, error

        for _ in range(10):  # each alone in its cgroup
            end(begin())
        with subprocess.Popen(['cat'], stdin=subprocess.PIPE, preexec_fn=cgroup.enter) as holder:
            processes = [begin() for _ in range(5)]  # and five at a time in one that is shared
            for _ in range(35):
                end(processes.pop(0))
                processes.append(begin())
            for process in processes:
                end(process)
            holder.stdin.close()
        until(lambda: not folders_below(cgroup.folder), 'no cgroup is left')
        assert (pathlib.Path(cgroup.folder) / 'cgroup.procs').read_text(encoding='ascii') == ''
        assert open_fds(os.getpid()).keys() == descriptors.keys()
        before.check()
