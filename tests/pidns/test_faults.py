"""Faults from below: a system call of ours, or an allocation, fails once. Each test but the last ones
is a fault that once lost a service, a line or a request; tests/faults says how it is done."""
import contextlib
import errno
import os
import random
import re
import sys

from harness import ROOT, Client, Skip, open_fds, until
from services import booted, define, has_printed, look, need_cgroup, printed, shell, wait

sys.path[:0] = [str(ROOT / 'tests/faults')]
import faults  # pylint: disable=wrong-import-position
import sweep  # pylint: disable=wrong-import-position

TIMEOUT = 400
SLEEP = 'sleep 100000'
SAMPLE = int(os.environ.get('CONIT_FAULTS_SAMPLE', '6'))
SEED = os.environ.get('CONIT_FAULTS_SEED', '1')


def machine_of(calls, of_slc=False):
    if not faults.INJECT.exists():
        raise Skip(f'there is no {faults.INJECT}: make test-build')
    return faults.FaultMachine(calls=calls, of_slc=of_slc)


def pids(machine):
    return {service['name']: service['pid'] for service in machine.json('list')}


def define_echo(machine):
    """A service that prints `once`, and then what it is told by the function that this returns."""
    fifo = machine.folder / 'words'
    os.mkfifo(fifo)
    define(machine, 'talks', exec=shell(f'echo once; while :; do read -r word <{fifo} && echo "$word"; done'))
    return lambda word: fifo.write_text(word + '\n')


def was_hit(machine, times=1):
    until(lambda: machine.rules.hits() >= times, 'the fault has happened')


def test_a_reload_that_cannot_read_a_folder_takes_nothing_for_gone():
    with machine_of('openat') as machine:
        define(machine, 'runs', exec=SLEEP)
        define(machine, 'idle', exec=SLEEP, enabled=False)
        booted(machine)
        before = pids(machine)
        machine.rules.fail('service-launcher', 'openat', errno.EMFILE, path=str(machine.services))
        result = machine.slc('reload', check=False)
        was_hit(machine)
        assert result.returncode == 1 and 'nothing was changed' in result.stderr, result
        assert 'Too many open files' in result.stderr, result
        assert pids(machine) == before
        assert '2 unchanged' in machine.slc('reload').stdout
        machine.slc('restart', 'runs')
        machine.slc('start', 'idle')


def test_a_folder_that_cannot_be_read_at_the_boot_is_tried_again():
    with machine_of('openat') as machine:
        define(machine, 'runs', exec=SLEEP)
        machine.rules.fail('service-launcher', 'openat', errno.ENFILE, path=str(machine.services))
        booted(machine)
        was_hit(machine)
        assert machine.state_of('runs') == 'running', machine.console()
        machine.wait_console('Cannot load services yet .*Too many open files in system')


def test_what_kept_a_file_from_loading_is_over_at_the_next_reload():
    with machine_of('openat') as machine:
        define(machine, 'web', exec=SLEEP, user='nobody')
        machine.rules.fail('service-launcher', 'openat', errno.EIO, path='/etc/passwd')
        booted(machine)
        was_hit(machine)
        assert look(machine, 'web')['state'] == 'broken'
        assert 'Input/output error' in machine.slc('status', 'web', check=False).stdout
        machine.slc('reload')
        machine.slc('start', 'web')
        assert look(machine, 'web')['state'] == 'running'


def test_the_texts_in_force_are_kept_again_when_there_is_a_descriptor():
    with machine_of('memfd_create') as machine:
        define(machine, 'runs', exec=SLEEP)
        machine.rules.fail('service-launcher', 'memfd_create', errno.EMFILE,
                           function='load_store_sources', times=3)
        booted(machine)
        was_hit(machine, 3)
        assert machine.state_of('runs') == 'running', machine.console()
        machine.wait_console('Cannot load services yet .*Too many open files')
        before = pids(machine)
        machine.kill_launcher()
        assert pids(machine) == before


def test_a_pipe_that_the_journal_cannot_take_at_once_is_read_later():
    with machine_of('epoll_ctl') as machine:
        define(machine, 'talks', exec=shell('echo one; echo two; exec sleep 100000'))
        machine.rules.fail('service-journal', 'epoll_ctl', errno.ENOMEM,
                           function='journal_add_pipe', times=3)
        booted(machine)
        was_hit(machine, 3)
        has_printed(machine, 'talks', 'two\n')
        assert printed(machine, 'talks') == 'one\ntwo\n'
        machine.wait_console('has to wait: something is lacking .*memory')


def test_what_a_journal_that_died_had_is_read_on_when_its_pipe_cannot_be_taken_at_once():
    with machine_of('epoll_ctl') as machine:
        tell = define_echo(machine)
        booted(machine)
        has_printed(machine, 'talks', 'once\n')
        machine.rules.fail('service-journal', 'epoll_ctl', errno.ENOMEM,
                           function='journal_go_on_with_pipe', times=2)
        machine.kill_journal()
        was_hit(machine, 2)
        tell('again')
        has_printed(machine, 'talks', 'again\n')
        assert printed(machine, 'talks') == 'once\nagain\n'


def test_a_line_is_waited_for_although_the_journal_could_not_write_down_which():
    with machine_of('pwrite64') as machine:
        define(machine, 'says', exec=shell('echo it is ready; exec sleep 100000'), ready={'log': 'ready'})
        machine.rules.fail('service-journal', 'pwrite64', errno.ENOSPC,
                           function='journal_match', times=2)
        booted(machine)
        was_hit(machine, 2)
        assert machine.state_of('says') == 'running', machine.console()


def test_a_file_that_tells_readiness_is_looked_at_again():
    with machine_of('newfstatat,stat,statx') as machine:
        mark = machine.folder / 'is-ready'
        define(machine, 'file', exec=shell(f'read word <{machine.folder}/go; touch {mark}; exec sleep 100000'),
               ready={'file': str(mark)})
        os.mkfifo(machine.folder / 'go')
        machine.boot()
        machine.wait_answer()
        machine.wait_state('file', 'starting')
        machine.rules.fail('service-launcher', 'newfstatat', errno.ENOMEM, function='file_mark_look',
                           path='is-ready', times=3)
        (machine.folder / 'go').write_text('go\n')
        was_hit(machine, 3)
        wait(machine, 'file', 'running')


def test_a_notify_socket_that_cannot_be_watched_is_tried_again():
    with machine_of('epoll_ctl') as machine:
        define(machine, 'web', exec=[faults.PYTHON, '-IS', '-c', faults.NOTIFY], ready='notify',
               restart=faults.SOON)
        machine.rules.fail('service-launcher', 'epoll_ctl', errno.ENOSPC,
                           function='executor_notify_watch')
        machine.boot()
        machine.wait_answer()
        wait(machine, 'web', 'running')
        was_hit(machine)
        machine.wait_console('cannot make what tells that it is ready: No space left on device')


def test_a_cgroup_that_cannot_be_looked_into_is_not_taken_for_empty():
    with machine_of('read') as machine:
        need_cgroup(machine)
        define(machine, 'forks', type='forking', script='setsid sleep 100000 &', restart='never',
               enabled=False)
        booted(machine)
        machine.rules.fail('service-launcher', 'read', errno.EIO, function='cgroup_is_populated')
        machine.slc('start', 'forks')
        was_hit(machine)
        assert machine.state_of('forks') == 'running'
        machine.wait_console('cannot be seen what is left .*Input/output error')


def test_a_new_launcher_makes_no_cgroup_that_is_there():
    with machine_of('mkdirat') as machine:
        need_cgroup(machine)
        define(machine, 'one', exec=SLEEP)
        define(machine, 'later', exec=SLEEP, enabled=False)
        booted(machine)
        before = pids(machine)
        machine.rules.fail('service-launcher', 'mkdirat', errno.EROFS, function='cgroup_open')
        machine.kill_launcher()
        machine.wait_answer()
        assert machine.rules.hits() == 0 and pids(machine) == before, machine.console()
        machine.slc('start', 'later', check=False)
        was_hit(machine)


def test_what_init_is_to_let_go_is_told_when_the_kernel_has_memory_again():
    if faults.KIND == 'asan':
        raise Skip('in the frames of the sanitizers the function is not found on the stack')
    with machine_of('sendmsg') as machine:
        define(machine, 'one', exec=SLEEP, enabled=False)
        booted(machine)
        machine.quiet()
        before = len(open_fds(machine.pid))
        machine.slc('start', 'one')
        machine.rules.fail('service-launcher', 'sendmsg', errno.ENOBUFS, function='init_link_drop')
        machine.slc('stop', 'one')
        was_hit(machine)
        until(lambda: len(open_fds(machine.pid)) == before, 'init has let go of its pipe')


def test_the_end_of_the_machine_is_asked_for_until_it_can_be():
    with machine_of('sendmsg') as machine:
        define(machine, 'one', exec=SLEEP)
        booted(machine)
        # Whatever init is told first: only what is told after the last of them ends the machine.
        machine.rules.fail('service-launcher', 'sendmsg', errno.ENOMEM, function='hand_over_send', times=3)
        machine.slc('poweroff')
        assert machine.wait_end() == 0
        assert machine.rules.hits() == 3, machine.console()


def test_a_launcher_that_cannot_open_the_state_does_not_begin_anew():
    for call, error, words in (('mmap', errno.ENOMEM, 'Cannot allocate memory'),
                               ('newfstatat', errno.EIO, 'Input/output error')):
        with machine_of(call) as machine:
            define(machine, 'one', exec=SLEEP)
            booted(machine)
            before = pids(machine)
            machine.rules.fail('service-launcher', call, error, function='state_open', times=2)
            machine.kill_launcher()
            was_hit(machine, 2)
            machine.wait_answer()
            assert pids(machine) == before, machine.console()
            machine.wait_console(f'Cannot take up the state .*{words}')


def test_a_journal_without_memory_for_its_state_does_not_begin_anew():
    if faults.KIND == 'asan':
        raise Skip('the sanitizers map memory of their own when a program ends')
    with machine_of('mmap') as machine:
        tell = define_echo(machine)
        booted(machine)
        has_printed(machine, 'talks', 'once\n')
        machine.rules.fail('service-journal', 'mmap', errno.ENOMEM, function='journal_state_open', times=2)
        machine.kill_journal()
        was_hit(machine, 2)
        tell('again')
        has_printed(machine, 'talks', 'again\n')
        assert printed(machine, 'talks') == 'once\nagain\n'
        machine.wait_console('cannot take up what it was in the middle of .*memory')


def test_why_a_client_cannot_be_served_is_said():
    with machine_of('getsockopt') as machine:
        booted(machine)
        machine.rules.fail('service-launcher', 'getsockopt', errno.ENOBUFS, function='control_read_peer')
        with Client(machine) as client:
            with contextlib.suppress(BrokenPipeError):  # it may hang up before
                client.send('List')
            assert client.receive()['error'].endswith('TooManyConnections')
        machine.wait_console('A client cannot be served .*No buffer space available')
        machine.slc('list')


def test_what_init_tells_a_part_of_conit_at_its_start_is_told_again():
    for error in (errno.ENOBUFS, errno.ENOMEM):
        with machine_of('sendmsg') as machine:
            define(machine, 'one', exec=SLEEP)
            machine.rules.fail('init', 'sendmsg', error, function='hand_over_send', times=3)
            booted(machine)
            was_hit(machine, 3)
            assert machine.state_of('one') == 'running', machine.console()
            machine.wait_console('is told has to wait .*(No buffer space|memory)')


def test_a_message_that_init_has_no_memory_to_take_costs_nobody_his_life():
    with machine_of('recvmsg') as machine:
        define(machine, 'one', exec=SLEEP, enabled=False)
        booted(machine)
        launcher = machine.wait_pid_of('service-launcher')
        machine.rules.fail('init', 'recvmsg', errno.ENOMEM, times=3)
        machine.slc('start', 'one')
        was_hit(machine, 3)
        machine.slc('restart', 'one')
        assert machine.pid_of('service-launcher') == launcher, machine.console()


def test_a_part_of_conit_that_init_cannot_watch_at_once_is_heard_later():
    with machine_of('epoll_ctl') as machine:
        define(machine, 'one', exec=SLEEP)
        booted(machine)
        machine.rules.fail('init', 'epoll_ctl', errno.ENOSPC, function='hand_over_watch', times=2)
        machine.kill_launcher()
        was_hit(machine, 2)
        machine.kill_journal()
        machine.slc('restart', 'one')
        machine.slc('poweroff')
        assert machine.wait_end() == 0, machine.console()


def test_init_finds_its_programs_although_it_cannot_see_where_its_own_file_is():
    with machine_of('readlinkat,readlink,prlimit64') as machine:
        define(machine, 'one', exec=SLEEP)
        machine.rules.fail('init', 'readlinkat', errno.EIO, path='self/exe')
        booted(machine)
        was_hit(machine)
        assert machine.state_of('one') == 'running', machine.console()


def test_children_may_open_descriptors_although_init_cannot_see_how_many():
    with machine_of('prlimit64') as machine:
        define(machine, 'one', exec=SLEEP)
        machine.rules.fail('init', 'prlimit64', errno.EPERM, function='stage1_limits')
        booted(machine)
        was_hit(machine)
        assert machine.state_of('one') == 'running', machine.console()
        machine.wait_console('Could not see how many descriptors there may be .*not permitted')


def test_a_part_of_conit_that_lacks_a_descriptor_to_begin_with_says_so():
    for skip in range(3):
        with machine_of('fcntl') as machine:
            machine.rules.fail('init', 'fcntl', errno.EMFILE, function='become', skip=skip)
            booted(machine)
            was_hit(machine)
            machine.wait_console('Could not execute a part of conit .*(Too many open files|No file descriptors)')


def test_a_state_that_a_journal_cannot_read_is_read_by_the_next_one():
    for function, skip in (('journal_state_read', 0), ('journal_state_read', 1), ('journal_state_open', 0)):
        with machine_of('pread64') as machine:
            tell = define_echo(machine)
            booted(machine)
            has_printed(machine, 'talks', 'once\n')
            machine.rules.fail('service-journal', 'pread64', errno.EIO, function=function, skip=skip)
            machine.kill_journal()
            was_hit(machine)
            tell('again')
            has_printed(machine, 'talks', 'again\n')
            assert printed(machine, 'talks') == 'once\nagain\n'
            machine.wait_console('cannot take up what it was in the middle of .*(I/O|Input/output) error')


def test_a_line_is_waited_for_although_which_can_never_be_written_down():
    with machine_of('pwrite64') as machine:
        define(machine, 'says', exec=shell('echo it is ready; exec sleep 100000'), ready={'log': 'ready'})
        machine.rules.fail('service-journal', 'pwrite64', errno.EIO, function='journal_state_write_match')
        booted(machine)
        was_hit(machine)
        assert machine.state_of('says') == 'running', machine.console()
        machine.wait_console('The next journal would not wait for a line .*(I/O|Input/output) error')


def test_a_new_launcher_with_cgroups_takes_over_what_one_without_had_followed():
    with machine_of('openat') as machine:
        need_cgroup(machine)
        define(machine, 'forks', type='forking', script='setsid sleep 100000 &', restart='never')
        machine.rules.fail('service-launcher', 'openat', errno.EIO, path='/proc/self/mountinfo',
                           function='cgroup_create_folder')
        booted(machine)
        was_hit(machine)
        wait(machine, 'forks', 'running')
        before = pids(machine)
        launcher = machine.kill_launcher()
        assert pids(machine) == before, machine.console()
        machine.slc('stop', 'forks')
        machine.slc('start', 'forks')
        assert machine.pid_of('service-launcher') == launcher, machine.console()


def test_cgroups_are_made_as_soon_as_there_is_a_descriptor():
    with machine_of('openat') as machine:
        need_cgroup(machine)
        define(machine, 'one', exec=SLEEP)
        machine.rules.fail('service-launcher', 'openat', errno.EMFILE, path='/proc/self/mountinfo',
                           function='cgroup_create_folder', times=3)
        booted(machine)
        was_hit(machine, 3)
        assert machine.cgroups(), machine.console()
        machine.wait_console('Cannot make cgroups yet .*Too many open files')


def test_cgroups_are_made_although_the_table_of_mounts_could_not_be_read_at_once():
    for skip in (0, 1):  # that, and which cgroup is our own
        with machine_of('read') as machine:
            need_cgroup(machine)
            define(machine, 'one', exec=SLEEP)
            machine.rules.fail('service-launcher', 'read', errno.ENOMEM, function='cgroup_create_folder', skip=skip)
            booted(machine)
            was_hit(machine)
            assert machine.cgroups(), machine.console()
            machine.wait_console('Cannot make cgroups yet .*Cannot allocate memory')


def test_a_table_of_mounts_that_cannot_be_read_is_said_once_and_read_again():
    with machine_of('pread64') as machine:
        define(machine, 'one', exec=SLEEP)
        machine.rules.fail('service-launcher', 'pread64', errno.EIO, function='mounts_may_hang', times=2)
        booted(machine)
        was_hit(machine, 2)
        machine.wait_answer()  # its folder may hang, too
        machine.slc('restart', 'one')
        said = re.findall('Cannot see what is mounted.*Input/output error', machine.console())
        assert len(said) == 1, machine.console()


def test_services_get_descriptors_although_the_launcher_cannot_see_how_many():
    with machine_of('prlimit64') as machine:
        define(machine, 'one', exec=SLEEP)
        booted(machine)
        before = pids(machine)
        machine.rules.fail('service-launcher', 'prlimit64', errno.EPERM, function='main')
        machine.kill_launcher()
        was_hit(machine)
        assert pids(machine) == before, machine.console()
        machine.slc('restart', 'one')
        machine.wait_console('Cannot see how many descriptors there may be .*not permitted')


def test_a_service_that_there_is_no_memory_for_at_the_boot_is_loaded_all_the_same():
    with machine_of('ftruncate') as machine:
        define(machine, 'one', exec=SLEEP)
        machine.rules.fail('service-launcher', 'ftruncate', errno.ENOMEM, function='state_grow', times=3)
        booted(machine)
        was_hit(machine, 3)
        assert machine.state_of('one') == 'running', machine.console()
        machine.wait_console('Cannot load a service yet .*Cannot allocate memory')


def test_what_tells_that_a_service_is_ready_is_watched_later():
    if faults.KIND == 'release':
        raise Skip('the function leaves no frame there')
    with machine_of('epoll_ctl') as machine:
        define(machine, 'one', exec=shell('echo >&3; exec sleep 100000'), ready={'fd': 3})
        machine.rules.fail('service-launcher', 'epoll_ctl', errno.ENOSPC, function='executor_ready_begin')
        booted(machine)
        was_hit(machine)
        assert machine.state_of('one') == 'running', machine.console()
        machine.wait_console('cannot be watched yet.*No space left on device')


def test_a_system_without_descriptors_is_not_told_to_raise_the_limit_of_a_process():
    with machine_of('openat', of_slc=True) as machine:
        define(machine, 'one', exec=shell('echo once; exec sleep 100000'))
        booted(machine)
        has_printed(machine, 'one', 'once\n')
        for error, limit in ((errno.EMFILE, 'ulimit -n'), (errno.ENFILE, 'fs.file-max: too many open files in system')):
            machine.rules.fail('slc', 'openat', error, function='find_files')
            result = machine.slc('journal', 'one', check=False)
            assert result.returncode == 1 and limit in result.stderr, result
        assert machine.slc('journal', 'one', '-o', 'cat').stdout == 'once\n'


def need_allocations():
    if faults.KIND == 'release':
        raise Skip('allocations fail in the test build only')


def test_a_service_without_memory_for_it_says_so_and_is_started_later():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'one', exec=SLEEP, enabled=False, restart={'delay': '10ms'})
        booted(machine)
        machine.rules.fail('service-launcher', 'allocation', errno.ENOMEM, function='executor_need_process')
        machine.slc('start', 'one', check=False)
        was_hit(machine)
        wait(machine, 'one', 'running')
        machine.wait_console('cannot make a process: Cannot allocate memory')


def test_a_file_that_there_was_no_memory_to_read_loads_at_the_next_reload():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'one', exec=SLEEP)
        machine.rules.fail('service-launcher', 'allocation', errno.ENOMEM, function='nodes_parse')
        booted(machine)
        was_hit(machine)
        text = machine.slc('status', 'one', check=False).stdout
        assert 'no memory' in text, text
        machine.slc('reload')
        machine.slc('start', 'one')


def test_a_request_that_there_is_no_memory_to_read_is_made_again():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'one', exec=SLEEP, enabled=False)
        booted(machine)
        machine.rules.fail('service-launcher', 'allocation', errno.ENOMEM, function='varlink_call_parse')
        machine.slc('start', 'one')
        was_hit(machine)
        assert machine.state_of('one') == 'running'
        machine.wait_console('A client cannot be served .*Cannot allocate memory')


def test_a_service_that_there_is_no_memory_to_wait_for_is_waited_for_later():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'forks', type='forking', script='setsid sleep 100000 &', enabled=False)
        define(machine, 'file', exec=shell(f'touch {machine.folder}/is-ready; exec sleep 100000'),
               ready={'file': str(machine.folder / 'is-ready')}, enabled=False)
        booted(machine)
        for name, function in (('forks', 'begin_looking'), ('file', 'executor_ready_begin')):
            hits = machine.rules.hits()
            machine.rules.fail('service-launcher', 'allocation', errno.ENOMEM, function=function)
            machine.slc('start', name)
            was_hit(machine, hits + 1)
            assert machine.state_of(name) == 'running', machine.console()


def test_a_request_that_there_is_no_memory_to_begin_is_carried_out_when_it_is_made_again():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'one', exec=SLEEP, enabled=False)
        booted(machine)
        for words, function, skips in ((('start', 'one'), 'control_start_request', 3),
                                       (('reload',), 'control_start_reload', 1), (('restart', 'one'), 'json_loadb', 12)):
            for skip in range(skips):
                hits = machine.rules.hits()
                machine.rules.fail('service-launcher', 'allocation', errno.ENOMEM, function=function, skip=skip)
                machine.slc(*words)
                was_hit(machine, hits + 1)
        machine.wait_console('A client cannot be served .*Cannot allocate memory')


def test_what_there_was_no_memory_to_start_is_started_by_no_reload_that_is_to_start_nothing():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'old', exec=SLEEP)
        booted(machine)
        for name in ('new', 'unwanted'):
            define(machine, name, exec=SLEEP)
        machine.rules.fail('service-launcher', 'allocation', errno.ENOMEM, function='plan_want')
        machine.slc('reload')
        was_hit(machine)
        machine.wait_console('No memory to start what is new: reload again')
        machine.slc('reload', '--no-start')
        machine.slc('disable', 'old')  # has what was switched put in force, and nothing else
        machine.slc('stop', 'unwanted')
        assert machine.state_of('new') == machine.state_of('unwanted') == 'stopped', machine.console()
        machine.slc('reload')
        wait(machine, 'new', 'running')
        assert machine.state_of('unwanted') == 'stopped', machine.console()


def test_a_list_that_there_was_no_memory_for_says_that_it_is_not_whole():
    need_allocations()
    with machine_of('') as machine:
        define(machine, 'one', exec=SLEEP)
        booted(machine)
        machine.rules.fail('slc', 'allocation', errno.ENOMEM, function='table_add')
        result = machine.slc('list', check=False)
        was_hit(machine)
        assert result.returncode == 1 and result.stderr == 'slc: list: it is not whole: Cannot allocate memory\n', result
        assert 'one' in machine.slc('list').stdout


def judge_sample(calls):
    """Some of all faults of a whole life of a machine, by a seed."""
    if not faults.INJECT.exists():
        raise Skip(f'there is no {faults.INJECT}: make test-build')
    faults.PATIENCE = 60  # other tests run beside it
    sites, baseline = sweep.survey(not calls)
    found = sorted(sweep.find_faults(sites, faults.KIND).items())
    bad = []
    for (_, key), fault in random.Random(SEED).sample(found, SAMPLE if calls else SAMPLE // 2):
        result = sweep.one((key, fault, baseline))
        print(result['outcome'], key)
        if result['outcome'] == 'bad':
            bad.append((key, result['wrong'], re.sub(r'(?m)^INFO.*\n', '', result['console'])))
    assert not bad, f'seed {SEED}: {bad}'


def test_no_call_of_a_sample_that_fails_loses_anything():
    if faults.KIND == 'asan':
        raise Skip('the sanitizers make calls of their own')
    judge_sample('all')


def test_no_allocation_of_a_sample_that_fails_loses_anything():
    need_allocations()
    judge_sample('')


def test_a_service_whose_pipe_init_cannot_be_given_is_started_later_and_says_why():
    if faults.KIND == 'asan':
        raise Skip('in the frames of the sanitizers the function is not found on the stack')
    with machine_of('sendmsg') as machine:
        define(machine, 'one', exec=SLEEP, enabled=False, restart={'delay': '10ms'})
        define(machine, 'two', exec=SLEEP, enabled=False, restart={'delay': '10ms'})
        booted(machine)
        fds = len(open_fds(machine.wait_pid_of('service-launcher')))
        machine.rules.fail('service-launcher', 'sendmsg', errno.EIO, function='init_link_store')
        machine.slc('start', 'one', 'two', check=False)
        was_hit(machine)
        for name in ('one', 'two'):
            wait(machine, name, 'running')
        machine.wait_console('(?i)(I/O|Input/output) error')
        machine.slc('stop', 'one', 'two')
        machine.quiet()
        until(lambda: len(open_fds(machine.wait_pid_of('service-launcher'))) <= fds + 4, 'nothing is left open')
