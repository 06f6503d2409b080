"""What a service finds when it starts: nothing leaks in, and what its file says is there."""
import contextlib
import grp
import json
import os
import pwd
import pty
import re
import resource

from harness import Machine, Skip
from services import PYTHON, WITHOUT_CGROUP, booted, define, need_cgroup, printed, shell, wait, words

# Prints what the process finds, as one line of JSON. -I and -S: it reads nothing of its own.
PROBE = r'''
import json, os, resource, sys
def fds():
    found = {}
    for fd in range(1024):
        try:
            found[fd] = os.readlink("/proc/self/fd/%d" % fd)
        except OSError:
            pass
    return found
def words(name):
    return open("/proc/self/" + name, "rb").read().decode().split("\0")[:-1]
mask = os.umask(0)
print(json.dumps({
    "argv": words("cmdline"), "environ": words("environ"), "cwd": os.getcwd(), "umask": mask,
    "fds": fds(), "pid": os.getpid(), "sid": os.getsid(0), "pgid": os.getpgid(0),
    "ppid": os.getppid(), "uids": os.getresuid(), "gids": os.getresgid(),
    "groups": sorted(os.getgroups()), "stdin": os.read(0, 100).decode(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "stack": resource.getrlimit(resource.RLIMIT_STACK),
    "cgroup": open("/proc/self/cgroup").read(),
}))
'''
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def probe(machine, name, **keys):
    define(machine, name, type='task', exec=words(PYTHON, '-IS', '-c', PROBE), **keys)


def other_user():
    """A user with a home, a shell and, where there is one, supplementary groups."""
    users = [user for user in pwd.getpwall() if user.pw_uid not in (0, 65534)]
    if not users:
        raise Skip('no user but root in /etc/passwd')
    count = lambda user: sum(user.pw_name in group.gr_mem for group in grp.getgrall())
    return max(users, key=count)


def groups_of(user):
    return sorted({user.pw_gid} | {group.gr_gid for group in grp.getgrall()
                                   if user.pw_name in group.gr_mem})


def populate(machine):
    probe(machine, 'plain')
    define(machine, 'signals', type='task', exec='cat /proc/self/status')
    define(machine, 'one-word', type='task', exec='cat', args=['/proc/self/cmdline'])
    probe(machine, 'env', env={'PATH': '/nowhere:/bin:/usr/bin', 'LANG': 'C.UTF-8', 'EMPTY': '',
                               'SERVICE_NAME': 'liar', 'INVOCATION_ID': '0'})
    probe(machine, 'dir', dir='/usr/share', umask='077')
    user = other_user()
    probe(machine, 'user', user=user.pw_name)
    probe(machine, 'user-env', user=user.pw_name, env={'HOME': '/elsewhere', 'SHELL': '/bin/x'})
    probe(machine, 'uid', user=pwd.getpwnam('daemon').pw_uid)
    probe(machine, 'no-group', user=12345)
    probe(machine, 'uid-gid', user=12345, group=23456, groups=[34567, 45678, 'daemon'])
    probe(machine, 'names', user='daemon', group='bin', groups=['sys', 4])
    probe(machine, 'limits', limits={'nofile': [100, 200], 'core': 0, 'stack': [65536, 1048576]})
    define(machine, 'own-path', type='task', exec='hello-from-here',
           env={'PATH': f'{machine.folder}/bin-of-the-test'})
    folder = machine.folder / 'bin-of-the-test'
    folder.mkdir()
    (folder / 'hello-from-here').write_text('#!/bin/sh\necho found "$0"\n', encoding='ascii')
    (folder / 'hello-from-here').chmod(0o755)
    (machine.folder / 'input').write_text('from a file', encoding='ascii')
    probe(machine, 'input', stdin=str(machine.folder / 'input'))
    define(machine, 'dev-stdout', type='task', user='nobody',
           exec=shell('echo out >/dev/stdout; echo err >/dev/stderr; '
                      'echo fd >/proc/self/fd/1; echo own'))
    define(machine, 'shouting', type='task', console=True, exec=shell('echo LOUD; echo TWICE >&2'))
    define(machine, 'discreet', type='task', exec='echo NOT-TO-BE-HEARD')


@contextlib.contextmanager
def shared():
    with Machine(environment={'LEAK': 'from outside', 'LD_LIBRARY_PATH': '/leak'}) as machine:
        populate(machine)
        booted(machine)
        yield machine


def found(machine, name):
    wait(machine, name, 'done')
    return json.loads(printed(machine, name))


def environment(of):
    return dict(entry.split('=', 1) for entry in of['environ'])


def test_the_program_finds_its_words_and_a_program_without_a_slash_is_found(machine):
    assert found(machine, 'plain')['argv'] == [PYTHON, '-IS', '-c', PROBE]
    wait(machine, 'one-word', 'done')
    assert printed(machine, 'one-word').strip('\0\n') == 'cat\0/proc/self/cmdline'


def test_the_environment_is_what_is_described_and_nothing_else(machine):
    variables = environment(found(machine, 'plain'))
    assert re.fullmatch('[0-9a-f]{32}', variables.pop('INVOCATION_ID')), variables
    assert variables == {'PATH': PATH, 'SERVICE_NAME': 'plain'}


def test_env_outranks_the_defaults_but_not_what_the_launcher_says(machine):
    variables = environment(found(machine, 'env'))
    assert re.fullmatch('[0-9a-f]{32}', variables.pop('INVOCATION_ID')), variables
    assert variables == {'PATH': '/nowhere:/bin:/usr/bin', 'LANG': 'C.UTF-8', 'EMPTY': '',
                         'SERVICE_NAME': 'env'}


def test_the_program_is_looked_up_on_the_path_of_its_own_file(machine):
    wait(machine, 'own-path', 'done')
    assert printed(machine, 'own-path') == \
        f'found {machine.folder}/bin-of-the-test/hello-from-here\n'


def test_a_user_gets_the_variables_of_a_login(machine):
    user = other_user()
    variables = environment(found(machine, 'user'))
    assert {key: variables[key] for key in ('HOME', 'USER', 'LOGNAME', 'SHELL')} == {
        'HOME': user.pw_dir, 'USER': user.pw_name, 'LOGNAME': user.pw_name,
        'SHELL': user.pw_shell or '/bin/sh'}
    variables = environment(found(machine, 'user-env'))
    assert (variables['HOME'], variables['SHELL']) == ('/elsewhere', '/bin/x')


def test_it_stands_in_the_root_folder_with_a_plain_umask_or_as_told(machine):
    plain, other = found(machine, 'plain'), found(machine, 'dir')
    assert (plain['cwd'], plain['umask']) == ('/', 0o022)
    assert (other['cwd'], other['umask']) == ('/usr/share', 0o077)


def test_it_has_three_descriptors_and_no_other(machine):
    fds = found(machine, 'plain')['fds']
    assert sorted(fds) == ['0', '1', '2'], fds
    assert fds['0'] == '/dev/null' and fds['1'] == fds['2'], fds
    assert fds['1'].startswith('pipe:'), fds


def test_stdin_is_empty_or_the_file_it_names(machine):
    assert found(machine, 'plain')['stdin'] == ''
    assert found(machine, 'input')['stdin'] == 'from a file'


def test_no_signal_is_blocked_ignored_or_caught(machine):
    wait(machine, 'signals', 'done')
    text = printed(machine, 'signals')
    for name in ('SigBlk', 'ShdPnd', 'SigPnd', 'SigIgn', 'SigCgt'):
        assert re.search(rf'^{name}:\s+0+$', text, re.M), (name, text)


def test_it_leads_a_session_of_its_own_below_the_launcher(machine):
    plain = found(machine, 'plain')
    assert plain['pid'] == plain['sid'] == plain['pgid'], plain
    assert plain['ppid'] > 1, plain


def test_users_and_groups_by_name_and_by_number(machine):
    user = other_user()
    by_name = found(machine, 'user')
    assert by_name['uids'] == [user.pw_uid] * 3 and by_name['gids'] == [user.pw_gid] * 3, by_name
    assert by_name['groups'] == groups_of(user), by_name
    number, daemon = found(machine, 'uid'), pwd.getpwnam('daemon')
    assert number['uids'] == [daemon.pw_uid] * 3 and number['gids'] == [daemon.pw_gid] * 3, number
    assert number['groups'] == groups_of(daemon), number
    both = found(machine, 'uid-gid')
    assert both['uids'] == [12345] * 3 and both['gids'] == [23456] * 3, both
    assert set(both['groups']) - {23456} == {34567, 45678, grp.getgrnam('daemon').gr_gid}, both
    names = found(machine, 'names')
    assert names['gids'] == [grp.getgrnam('bin').gr_gid] * 3, names
    assert {grp.getgrnam('sys').gr_gid, 4} <= set(names['groups']), names
    assert 0 not in names['groups'] + number['groups'] + both['groups']


def test_a_number_that_has_no_group_is_refused_with_what_to_write(machine):
    status = machine.slc('status', 'no-group', check=False)
    assert status.returncode == 3 and re.search(
        r"no-group\.yml:1:\d+: user 12345 is not in /etc/passwd and so has no group: write 'group'",
        status.stdout), status


def test_root_stays_root_where_no_user_is_named(machine):
    plain = found(machine, 'plain')
    assert plain['uids'] == [0, 0, 0] and plain['gids'] == [0, 0, 0], plain


def test_limits_are_those_before_the_launcher_raised_its_own_or_as_told(machine):
    outside = list(resource.getrlimit(resource.RLIMIT_NOFILE))
    assert found(machine, 'plain')['nofile'] == outside
    launcher = machine.pid_of('service-launcher')
    soft, hard = resource.prlimit(launcher, resource.RLIMIT_NOFILE)
    assert soft == hard >= outside[1], (soft, hard, outside)
    limits = found(machine, 'limits')
    assert limits['nofile'] == [100, 200] and limits['core'] == [0, 0], limits
    assert limits['stack'] == [65536, 1048576], limits


def test_dev_stdout_can_be_opened_by_the_user_of_the_service(machine):
    wait(machine, 'dev-stdout', 'done')
    assert sorted(printed(machine, 'dev-stdout').split()) == ['err', 'fd', 'out', 'own']


def test_console_shows_each_line_behind_the_name(machine):
    wait(machine, 'shouting', 'done')
    wait(machine, 'discreet', 'done')
    assert printed(machine, 'discreet') == 'NOT-TO-BE-HEARD\n'
    machine.wait_console(r'(?m)^shouting: +LOUD\r?$')
    machine.wait_console(r'(?m)^shouting: +TWICE\r?$')
    assert printed(machine, 'shouting') == 'LOUD\nTWICE\n'
    assert 'NOT-TO-BE-HEARD' not in machine.console()


def test_each_service_has_a_cgroup_of_its_own(machine):
    need_cgroup(machine)
    paths = {name: re.search(r'^0::(.*)$', found(machine, name)['cgroup'], re.M).group(1)
             for name in ('plain', 'env')}
    assert paths['plain'] != paths['env'], paths
    for name, path in paths.items():
        assert path.endswith(f'/service-{name}'), paths


# With a terminal.

def on_terminal(machine, name, text, **keys):
    """Runs a shell on a pty; returns (the pty's master, its path)."""
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    define(machine, name, tty=path, exec=shell(text), enabled=False,
           restart='never', **keys)
    machine.slc('reload', check=False)  # no-group stays broken
    return master, slave


def read_until(master, pattern):
    text = ''
    while not re.search(pattern, text):
        text += os.read(master, 4096).decode()
    return text


def test_a_tty_is_the_controlling_terminal_and_job_control_works(machine):
    master, slave = on_terminal(machine, 'terminal',
                                'tty; cat /proc/self/stat; echo TERM=$TERM; set -m; sleep 1000 & '
                                'jobs; kill %1; wait %1; echo "job: $?"; ls -l /proc/$$/fd; '
                                'echo READY; exec cat')
    machine.slc('start', 'terminal')
    text = read_until(master, 'READY')
    path = os.ttyname(slave)
    wait(machine, 'terminal', 'running')
    assert path in text and 'TERM=linux' in text and "can't access tty" not in text, text
    assert 'job: 143' in text, text
    assert set(re.findall(r'(\d+) -> ', text)) <= {'0', '1', '2', '255', '10'}, text
    os.write(master, b'\x03')  # Ctrl-C goes to the foreground group of the terminal
    status = wait(machine, 'terminal', 'failed')
    assert status['exit'] == {'signal': 'SIGINT'} and status['pid'] is None, status
    machine.slc('stop', 'terminal')
    os.close(master)
    os.close(slave)


def test_a_tty_for_another_user_is_its_own(machine):
    master, slave = on_terminal(machine, 'user-terminal', 'echo in:$USER; id -u; exec sleep 1000',
                                user='daemon')
    machine.slc('start', 'user-terminal')
    text = read_until(master, r'in:daemon\r\n\d+')
    assert re.search(rf'\b{pwd.getpwnam("daemon").pw_uid}\b', text), text
    machine.slc('stop', 'user-terminal')
    os.close(master)
    os.close(slave)


# The same where cgroup v2 cannot be had.

def test_all_is_the_same_without_cgroup_v2(_machine):
    with Machine(before=WITHOUT_CGROUP) as machine:
        probe(machine, 'plain')
        define(machine, 'daemon', exec=shell('sleep 1000 & sleep 1000 & echo up; wait'))
        booted(machine)
        plain = found(machine, 'plain')
        assert sorted(plain['fds']) == ['0', '1', '2'] and plain['cwd'] == '/', plain
        assert plain['pid'] == plain['sid'] == plain['pgid'], plain
        assert '/service-' not in plain['cgroup'], plain
        assert re.search(r'No writable cgroup v2.*process group', machine.console())
        wait(machine, 'daemon', 'running')
        assert machine.slc('stop', 'daemon').stdout == 'daemon: stopped\n'
