"""A service's root and its env-file, and what the launcher itself may not do."""
import os
import re
import shutil

from harness import Machine, Skip
from services import booted, define, events, look, printed, shell, wait, words


def static_busybox():
    path = shutil.which('busybox')
    if not path:
        raise Skip('no busybox here')
    with open(path, 'rb') as file:
        if b'ld-linux' in file.read(4096):
            raise Skip('busybox is not static here')
    return path


def make_root(folder):
    """A root with nothing in it but busybox, in a folder that is not on PATH."""
    (folder / 'own').mkdir(parents=True)
    (folder / 'work').mkdir()
    shutil.copy2(static_busybox(), folder / 'own/busybox')
    (folder / 'work/here').write_text('inside\n', encoding='ascii')
    return folder


def test_what_is_not_permitted_is_a_failed_start_with_the_reason():
    if not shutil.which('setpriv'):
        raise Skip('needs setpriv of util-linux')
    less = '-sys_nice,-sys_resource'
    with Machine(before=f'exec setpriv --bounding-set {less} "$0" "$@"') as machine:
        nice = 'cannot set its nice: Permission denied: the launcher lacks CAP_SYS_NICE'
        reasons = {
            'nice': ({'nice': -1}, nice),
            'sched': ({'sched': 'fifo 1'},
                      'cannot set its sched: Operation not permitted: the launcher lacks '
                      'CAP_SYS_NICE'),
            'oom': ({'oom_score_adj': -1000},
                    'cannot set its oom-score-adj: Permission denied: below what the launcher has '
                    'it needs CAP_SYS_RESOURCE'),
            'limits': ({'limits': {'nofile': 1 << 40}},
                       'cannot set its limits: Operation not permitted: above what the launcher '
                       'has it needs CAP_SYS_RESOURCE, and nofile is at most what '
                       '/proc/sys/fs/nr_open says'),
            'hook': ({'nice': -2, 'before_start': 'true'}, f'before-start: {nice}'),
        }
        for name, (keys, _) in reasons.items():
            define(machine, name, exec='sleep 1000', restart='never', **keys)
        lower = min(os.getpriority(os.PRIO_PROCESS, 0) + 3, 19)
        define(machine, 'lower', type='task', nice=lower, oom_score_adj=999, sched='batch',
               exec=words('cat', '/proc/self/stat', '/proc/self/oom_score_adj'))
        booted(machine)
        for name, (_, reason) in reasons.items():
            assert wait(machine, name, 'failed')['reason'] == reason, look(machine, name)
        wait(machine, 'lower', 'done')
        stat, oom = printed(machine, 'lower').splitlines()
        fields = stat.rpartition(')')[2].split()
        assert (fields[16], fields[38], oom) == (str(lower), '3', '999'), (stat, oom)  # 3: SCHED_BATCH


def test_a_service_lives_in_its_root_and_is_looked_up_there():
    with Machine() as machine:
        make_root(machine.folder / 'root')
        keys = {'root': str(machine.folder / 'root'), 'env': {'PATH': '/own'}, 'user': 'nobody'}
        define(machine, 'inside', dir='/work', oom_score_adj=10, nice=1, limits={'nofile': 50},
               before_start='busybox true', after_stop='busybox cat /work/here',
               exec='busybox sh -c "busybox pwd; busybox cat here; exec busybox sleep 100000"', **keys)
        define(machine, 'whole-path', type='task', exec='/own/busybox ls /', **keys)
        define(machine, 'outside', exec='/bin/sh -c true', restart='never', **keys)
        define(machine, 'no-dir', exec='busybox true', dir='/usr/share', restart='never', **keys)
        define(machine, 'no-root', exec='true', root='/no/such/root', restart='never')
        booted(machine)
        inside = wait(machine, 'inside', 'running')
        wait(machine, 'whole-path', 'done')
        assert printed(machine, 'whole-path').split() == ['own', 'work']
        assert wait(machine, 'outside', 'failed')['reason'] == \
            'cannot execute its program: No such file or directory (/bin/sh): it, or the ' \
            f'interpreter that its first line names, is not there, looked for in its root {keys["root"]}'
        assert wait(machine, 'no-dir', 'failed')['reason'] == \
            'cannot enter its dir: No such file or directory (/usr/share)'
        assert wait(machine, 'no-root', 'failed')['reason'] == \
            'cannot change its root: No such file or directory (/no/such/root)'
        machine.kill_launcher()
        assert look(machine, 'inside')['pid'] == inside['pid']
        machine.slc('stop', 'inside')
        assert printed(machine, 'inside').split() == ['/work', 'inside', 'inside']


# env-file.

SHOW = shell('echo "$A|$B|$C|$PATH|$SERVICE_NAME|$HOME"')


def restarted(machine, name):
    machine.slc('restart', name, check=False)
    return look(machine, name)


def test_the_env_file_is_read_at_each_start_and_env_outranks_it():
    with Machine() as machine:
        path = machine.folder / 'settings'
        path.write_text('# settings\nA=one\nB="two words"\nC=3\nPATH=/usr/bin:/bin\nHOME=/x\n'
                        'SERVICE_NAME=liar\n', encoding='ascii')
        define(machine, 'd', type='task', env_file=str(path), env={'C': 'env'}, user='daemon',
               exec=SHOW)
        define(machine, 'absent', type='task', env_file='-/no/such/settings', exec=SHOW)
        define(machine, 'optional', type='task', env_file=f'-{path}', exec=SHOW)
        (machine.folder / 'bin').mkdir()
        shutil.copy2('/bin/echo', machine.folder / 'bin/only-here')
        (machine.folder / 'path').write_text(f'PATH={machine.folder}/bin\n', encoding='ascii')
        define(machine, 'lookup', type='task', env_file=f'{machine.folder}/path',
               exec='only-here found')
        booted(machine)
        for name in ('d', 'absent', 'optional', 'lookup'):
            wait(machine, name, 'done')
        assert printed(machine, 'd') == 'one|two words|env|/usr/bin:/bin|d|/x\n'
        assert printed(machine, 'absent').startswith('|||/usr/local/sbin:')
        assert printed(machine, 'optional') == 'one|two words|3|/usr/bin:/bin|optional|/x\n'
        assert printed(machine, 'lookup') == 'found\n'
        path.write_text("A='later'\n", encoding='ascii')
        machine.kill_launcher()
        restarted(machine, 'd')
        assert printed(machine, 'd').splitlines()[1].startswith('later||env|/usr/local/sbin:')


def test_an_env_file_that_is_wrong_fails_the_start_with_line_and_what_to_write():
    with Machine() as machine:
        path = machine.folder / 'settings'
        path.write_text('A=b\n\nexport B=c\n', encoding='ascii')
        define(machine, 'd', env_file=str(path), exec='sleep 1000', restart='never')
        define(machine, 'hook', env_file=str(path), exec='sleep 1000', restart='never',
               before_start='true')
        define(machine, 'after', env_file=f'-{path}', exec='sleep 1000', restart='never')
        booted(machine)
        reason = f"{path}:3: begins with 'export', and no shell reads it: write KEY=value alone"
        for name in ('d', 'hook', 'after'):
            assert wait(machine, name, 'failed')['reason'] == reason, look(machine, name)
        machine.kill_launcher()
        assert look(machine, 'd')['reason'] == reason, look(machine, 'd')
        path.write_text('A=b\n', encoding='ascii')
        assert restarted(machine, 'd')['state'] == 'running'
        path.write_text('A="b\n', encoding='ascii')
        assert re.search(':1: opens a quote that is never closed', restarted(machine, 'd')['reason'])
        path.unlink()
        assert restarted(machine, 'd')['reason'] == \
            f'cannot read its env-file: No such file or directory ({path})'
        os.mkfifo(path)
        assert restarted(machine, 'd')['reason'] == \
            f'cannot read its env-file: Invalid argument ({path}): it is no regular file'
        path.unlink()
        path.write_text('A=b\n' * 70000, encoding='ascii')
        assert restarted(machine, 'd')['reason'] == \
            f'cannot read its env-file: File too large ({path}): it has more than 256 KiB'
        path.unlink()
        path.symlink_to('settings')
        status = restarted(machine, 'd')
        assert status['state'] == 'failed' and 'symbolic links' in status['reason'], status
        assert any('env-file' in event for event in events(machine, 'd')), events(machine, 'd')
