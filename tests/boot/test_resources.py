"""Limits by cgroup v2: a kernel that has the controllers, and what they do to services."""
import contextlib
import json

import booting

TIMEOUT = 90  # each; the first waits for the boot

SERVICES = '/etc/yml-services'
GROUP = '$(echo /sys/fs/cgroup/conit-*)/service-'
FILES = {
    f'{SERVICES}/eater.yml': 'script: x=0123456789abcdef; while :; do x=$x$x; done\n'
                             'restart: never\nenabled: no\nresources: {memory: 8M}\n',
    f'{SERVICES}/forker.yml': 'script: |\n  for n in 1 2 3 4 5 6 7 8; do sleep 1000 & done\n  wait\n'
                              'restart: never\nenabled: no\nresources: {tasks: 5}\n',
    f'{SERVICES}/limited.yml': 'exec: sleep 1000\n'
                               'resources: {memory: 64M, memory-high: 32M, cpu: 150%, tasks: 20,\n'
                               '  io-weight: 50}\n',
    f'{SERVICES}/stubborn.yml': 'script: trap "" TERM; while :; do sleep 1000; done\n'
                                'resources: {tasks: 7}\nstop: {timeout: 200ms}\n',
    f'{SERVICES}/free.yml': 'exec: sleep 1000\n',
    f'{SERVICES}/busy.yml': 'script: while :; do :; done\nenabled: no\nresources: {cpu: 10%}\n'
                            'stop: {timeout: 1s}\n',
    f'{SERVICES}/outer.yml': 'exec: [sh, -c, "echo $$ >/sys/fs/cgroup/box/cgroup.procs; exec unshare '
                             '-f -p -m --mount-proc /usr/lib/conit/init --services /box --runtime /run/box --logs '
                             '/run/box-logs --config /box/none.yml"]\nenabled: no\n'
                             'before-start: mkdir -p /sys/fs/cgroup/box /run/box /run/box-logs\n',
    f'{SERVICES}/dividing.yml': 'script: |\n  cd /sys/fs/cgroup$(sed s/0::// /proc/self/cgroup)\n'
                                '  mkdir -p part\n  echo $$ >part/cgroup.procs\n'
                                '  echo +memory >cgroup.subtree_control\n  exec sleep 1000\n'
                                'enabled: no\nresources: {tasks: 9}\n',
    '/box/inner.yml': 'exec: sleep 1000\nenabled: no\nresources: {tasks: 6}\n',
    '/box/none.yml': 'version: 1\n',
}


@contextlib.contextmanager
def shared():
    with booting.boot(FILES) as machine:
        machine.login()
        booting.wait_booted(machine)
        yield machine


def status(machine, name, arguments=''):
    text = machine.run(f'slc {arguments} --json status {name} | cat')[1]
    return json.loads(text[text.index('{'):text.rindex('}') + 1])


def limit(machine, name, file):
    return machine.check(f'cat {GROUP}{name}/{file}').strip()


def wait(machine, name, state):
    machine.check(f'slc wait {name} --state {state} --timeout 60s')


def check_limited(machine):
    for file, value in (('memory.max', 64 << 20), ('memory.high', 32 << 20),
                        ('cpu.max', '150000 100000'), ('pids.max', 20)):
        assert limit(machine, 'limited', file) == str(value), (file, limit(machine, 'limited', file))


def test_each_limit_stands_in_the_cgroup_of_its_service_and_in_no_other(machine):
    wait(machine, 'limited', 'running')
    check_limited(machine)
    for file in ('memory.max', 'memory.high', 'pids.max'):
        assert limit(machine, 'free', file) == 'max', file
    assert limit(machine, 'free', 'cpu.max') == 'max 100000'


def test_a_weight_of_io_is_set_where_the_kernel_has_it_and_is_a_warning_where_not(machine):
    said = machine.check('slc journal limited')
    if machine.run(f'test -e {GROUP}limited/io.weight')[0] == 0:
        assert 'default 50' in limit(machine, 'limited', 'io.weight')
        assert 'not limited' not in said, said
    elif machine.run(f'test -e {GROUP}limited/io.bfq.weight')[0] == 0:
        assert '50' in limit(machine, 'limited', 'io.bfq.weight')
    else:
        assert 'not limited: io-weight: ' in said, said


def test_memory_above_the_limit_is_the_end_of_the_service(machine):
    machine.run('slc start eater')
    wait(machine, 'eater', 'failed')
    found = status(machine, 'eater')
    assert found['exit'] == {'signal': 'SIGKILL'}, found
    events = dict(line.split() for line in limit(machine, 'eater', 'memory.events').splitlines())
    assert int(events['oom_kill']) >= 1, events


def test_one_task_too_many_is_refused(machine):
    machine.run('slc start forker')
    wait(machine, 'forker', 'failed')
    assert "can't fork" in machine.check('slc journal forker')
    assert status(machine, 'forker')['processes'] == [], 'what it had started is left'


def test_the_cpu_is_withheld(machine):
    machine.check('slc start busy')
    machine.check(f'until grep -q "nr_throttled [1-9]" {GROUP}busy/cpu.stat; do :; done')
    machine.check('slc stop busy')


def test_the_memory_that_is_shown_is_that_of_the_cgroup(machine):
    wait(machine, 'limited', 'running')
    before = int(limit(machine, 'limited', 'memory.current'))
    shown = status(machine, 'limited')['memory']
    after = int(limit(machine, 'limited', 'memory.current'))
    assert min(before, after) <= shown <= max(before, after), (before, shown, after)


def test_a_reload_changes_the_limits_of_what_runs_at_once(machine):
    pid = status(machine, 'free')['pid']
    machine.check(f'echo "resources: {{tasks: 11, memory: 16M}}" >>{SERVICES}/free.yml; slc reload; :')
    assert limit(machine, 'free', 'pids.max') == '11'
    assert limit(machine, 'free', 'memory.max') == str(16 << 20)
    machine.check(f'echo "exec: sleep 1000" >{SERVICES}/free.yml; slc reload; :')
    assert limit(machine, 'free', 'pids.max') == limit(machine, 'free', 'memory.max') == 'max'
    assert status(machine, 'free')['pid'] == pid


def test_a_service_that_was_killed_has_its_limits_again_and_so_has_one_of_a_new_launcher(machine):
    for _ in range(2):
        wait(machine, 'stubborn', 'running')
        assert limit(machine, 'stubborn', 'pids.max') == '7'
        machine.check('slc restart stubborn')  # it is killed, and its cgroup made anew
        assert limit(machine, 'stubborn', 'pids.max') == '7'
        machine.check('kill -9 $(pidof service-launcher)')
    wait(machine, 'limited', 'running')
    check_limited(machine)
    machine.check('slc restart limited')
    check_limited(machine)


def test_in_a_container_our_programs_move_aside_if_they_are_alone(machine):
    machine.check('slc start outer')
    machine.check('until slc --runtime /run/box list >/dev/null 2>&1; do :; done')
    machine.check('slc --runtime /run/box start inner')
    said = machine.check('slc --runtime /run/box journal inner')
    assert "tasks: other processes than ours are in our own cgroup" in said, said
    # What stays outside of its PID namespace leaves, and it is alone.
    machine.check('for p in $(pidof unshare); do echo $p >/sys/fs/cgroup/cgroup.procs; done')
    machine.check('slc --runtime /run/box restart inner')
    said = machine.check('slc --runtime /run/box journal inner').splitlines()
    assert not any('not limited' in line for line in said[-2:]), said
    folder = '$(echo /sys/fs/cgroup/box/conit-*)'
    assert machine.check(f'cat {folder}/service-inner/pids.max').strip() == '6'
    assert machine.check('cat /sys/fs/cgroup/box/cgroup.procs').strip() == ''
    assert len(machine.check(f'cat {folder}/programs/cgroup.procs').split()) == 3
    machine.check('slc --runtime /run/box poweroff')
    machine.check('while pidof unshare; do :; done')
    machine.check('! ls -d /sys/fs/cgroup/box/conit-*')  # and its folder is not left


def test_a_service_that_divides_its_own_cgroup_starts_again(machine):
    wait(machine, 'limited', 'running')
    for _ in range(2):
        machine.check('slc restart dividing')
        machine.check(f'until grep -q memory {GROUP}dividing/cgroup.subtree_control; do :; done')
        assert status(machine, 'dividing')['state'] == 'running'
    machine.check('slc stop dividing')
    assert status(machine, 'dividing')['processes'] == []
