"""How the kernel is told to treat a service: its priorities and its CPUs."""
import contextlib
import json
import os
import re

from harness import Machine, Skip
from services import PYTHON, booted, define, look, printed, shell, wait, words

# What the kernel holds about the process; all of it is inherited, so a hook says the same.
PROBE = r'''
import ctypes, json, os, sys
def read(name):
    try:
        return open("/proc/self/" + name).read().strip()
    except OSError:
        return None
stat = read("stat").rpartition(")")[2].split()
io = ctypes.CDLL(None, use_errno=True).syscall(252, 1, 0)
print(json.dumps({
    "who": sys.argv[1], "nice": int(stat[16]), "rt": int(stat[37]), "policy": int(stat[38]),
    "io": (io >> 13, io & 8191), "oom": int(read("oom_score_adj")),
    "cpus": sorted(os.sched_getaffinity(0)), "autogroup": read("autogroup"), "uid": os.getuid(),
    "env": os.environ.get("WHO"), "cwd": os.getcwd(), "nofile": os.sysconf("SC_OPEN_MAX"),
}), flush=True)
'''
OTHER, FIFO, RR, BATCH, IDLE = 0, 1, 2, 3, 5


def probe(who):
    return words(PYTHON, '-IS', '-c', PROBE, who)


def said(machine, name):
    return [json.loads(line) for line in printed(machine, name).splitlines()]


def last_cpu():
    return max(os.sched_getaffinity(0))


CAP_SYS_RESOURCE = 24


def oom():
    """Below our own where that is permitted, as it is to root on a machine."""
    with open('/proc/self/status', encoding='ascii') as file:
        effective = int(re.search(r'^CapEff:\s+(\w+)$', file.read(), re.M).group(1), 16)
    return -300 if effective >> CAP_SYS_RESOURCE & 1 else 300


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        define(machine, 'plain', type='task', exec=probe('main'))
        define(machine, 'all', user='nobody', nice=-7, oom_score_adj=oom(), cpus=str(last_cpu()),
               io='realtime 3', env={'WHO': 'me'}, dir='/usr', limits={'nofile': 100},
               exec=shell(f"'{PYTHON}' -IS -c '{PROBE}' main; exec sleep 100000"),
               before_start=[probe('before-start')], after_start=[probe('after-start')],
               before_stop=[probe('before-stop')], stop={'exec': probe('stop-exec')},
               after_stop=[probe('after-stop')])
        define(machine, 'low', type='task', nice=19, oom_score_adj=1000, io='idle', sched='idle',
               cpus=[f'0-{last_cpu()}'], exec=probe('main'))
        for name, sched in (('fifo', 'fifo 7'), ('rr', 'rr 99'), ('batch', 'batch'),
                            ('other', 'other')):
            define(machine, name, type='task', sched=sched, user='nobody', exec=probe('main'))
        define(machine, 'no-such-cpu', cpus='1000-1023', exec='sleep 1000', restart='never')
        yield booted(machine)


def one(machine, name):
    wait(machine, name, 'done')
    return said(machine, name)[0]


def test_nothing_is_changed_where_the_file_says_nothing(machine):
    plain = one(machine, 'plain')
    assert plain['nice'] == os.getpriority(os.PRIO_PROCESS, 0), plain
    assert plain['policy'] == OTHER and plain['io'][0] == 0, plain
    with open('/proc/self/oom_score_adj', encoding='ascii') as file:
        assert plain['oom'] == int(file.read()), plain
    assert plain['cpus'] == sorted(os.sched_getaffinity(0)), plain


def check_all(found, who):
    assert found['who'] == who and found['uid'] == 65534, found
    assert (found['nice'], found['oom'], found['io']) == (-7, oom(), [1, 3]), found
    assert found['cpus'] == [last_cpu()], found
    assert (found['env'], found['cwd'], found['nofile']) == ('me', '/usr', 100), found
    if found['autogroup']:
        assert found['autogroup'].endswith(' nice -7'), found


def test_each_run_and_each_hook_has_the_same_also_of_a_new_launcher(machine):
    run = ['before-start', 'main', 'after-start']
    end = ['before-stop', 'stop-exec', 'after-stop']
    wait(machine, 'all', 'running')
    machine.kill_launcher()
    machine.slc('restart', 'all')
    machine.kill_launcher()
    machine.slc('stop', 'all')
    found = said(machine, 'all')
    assert sorted(one['who'] for one in found) == sorted((run + end) * 2), found
    for entry in found:
        check_all(entry, entry['who'])


def test_the_lowest_of_everything(machine):
    low = one(machine, 'low')
    assert (low['nice'], low['oom'], low['io']) == (19, 1000, [3, 0]), low
    assert low['policy'] == IDLE and low['cpus'] == sorted(os.sched_getaffinity(0)), low


def test_each_policy_is_set_for_any_user(machine):
    for name, policy, level in (('fifo', FIFO, 7), ('rr', RR, 99), ('batch', BATCH, 0),
                                ('other', OTHER, 0)):
        status = look(machine, name)
        if status['state'] == 'failed' and 'Operation not permitted' in status['reason']:
            raise Skip('no real-time policy may be set here')
        found = one(machine, name)
        assert (found['policy'], found['rt'], found['uid']) == (policy, level, 65534), found


def test_a_cpu_that_is_not_there_is_a_failed_start_with_the_reason(machine):
    status = wait(machine, 'no-such-cpu', 'failed')
    assert status['reason'] == 'cannot set its cpus: Invalid argument: this machine has none of ' \
        'them, or it may not use them', status
