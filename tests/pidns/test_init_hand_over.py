"""What init keeps for its children, and how it starts them again. Both are fakes."""
import os
import resource
import signal

from harness import DEADLINE, FAKE, Machine, open_fds, stat_of, until


def fakes(**options):
    return Machine(launcher=FAKE, journal=FAKE, **options)


def test_a_child_finds_only_its_five_descriptors_a_session_of_its_own_and_no_blocked_signal():
    with fakes(arguments=['--log-format', 'text']) as machine:
        machine.boot()
        started = machine.launcher.accept().started
        assert sorted(int(fd) for fd in started['fds']) == [0, 1, 2, 3, 4], started['fds']
        assert started['fds']['0'] == '/dev/null'
        for fd in '34':
            assert started['fds'][fd].startswith('socket:'), started['fds']
        assert started['session'] == started['inner'] and started['blocked'] == 0, started
        arguments = started['arguments']
        assert arguments[arguments.index('--runtime') + 1] == str(machine.runtime)
        assert arguments[arguments.index('--log-format') + 1] == 'text'
        assert arguments.count('--services') == 1


def test_the_runtime_folder_comes_from_the_environment_too():
    with fakes(environment={'CONIT_RUNTIME': '/nowhere'}) as machine:
        machine.boot()
        arguments = machine.launcher.accept().started['arguments']
        assert '/nowhere' not in arguments, 'the option outranks the environment'
        assert str(machine.runtime) in arguments


def test_twenty_kills_of_the_launcher_lose_no_descriptor():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        assert launcher.held() == {}
        keys = [0, 1, 2] + list(range(16, 16 + 600)) + [131071]
        launcher.store(keys)
        expected = {key: f'{key} {launcher.started["inner"]}' for key in keys}
        for _ in range(20):
            launcher.kill()
            launcher = machine.launcher.start_ready()
            assert launcher.held() == expected


def test_what_was_sent_just_before_a_kill_is_kept():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        for i in range(30):
            os.kill(machine.pid, signal.SIGSTOP)  # init reads nothing of it while the sender lives
            launcher.store([100 + i])
            launcher.kill()
            os.kill(machine.pid, signal.SIGCONT)
            launcher = machine.launcher.start_ready()
            assert set(launcher.held()) == set(range(100, 101 + i))


def test_each_child_gets_what_it_owns_and_a_drop_takes_off_one_owner():
    with fakes() as machine:
        machine.boot()
        launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
        launcher.store([20], owner=1)
        launcher.store([21], owner=2)
        launcher.store([22, 23], owner=3)
        launcher.send('DROP', owner=1, keys=[23])
        launcher.sync()
        journal.kill()
        journal = machine.journal.start_ready()
        assert set(journal.held()) == {21, 22, 23}
        launcher.kill()
        launcher = machine.launcher.start_ready()
        assert set(launcher.held()) == {20, 22}


def test_a_store_replaces_and_a_drop_closes():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.sync()
        before = len(open_fds(machine.pid))
        launcher.store([50, 51, 52])
        launcher.store([50])
        launcher.sync()
        assert len(open_fds(machine.pid)) == before + 3
        launcher.send('DROP', owner=3, keys=[50, 51, 52, 53, 131071, 1 << 31])
        launcher.sync()
        assert len(open_fds(machine.pid)) == before


def test_keys_that_cannot_be_are_refused_and_leak_nothing():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.sync()
        before = len(open_fds(machine.pid))
        launcher.store([30, 393185, 31])
        assert launcher.wait('REFUSED')['keys'] == [393185]
        launcher.store([32], owner=0)
        assert launcher.wait('REFUSED')['keys'] == [32]
        assert len(open_fds(machine.pid)) == before + 2


def test_a_full_table_refuses_and_the_children_can_still_be_started_again():
    """RLIMIT_NOFILE is the table's size here: init keeps a reserve of it for itself."""
    with fakes(before='ulimit -n 300') as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        stored = 0
        while not launcher.has('REFUSED') and stored < 400:
            launcher.store(list(range(16 + stored, 16 + stored + 20)))
            launcher.send('STORE', owner=0, keys=[7], fds=True)  # is answered: all before is read
            launcher.wait('REFUSED', keys=[7])
            stored += 20
        assert 100 < stored < 300, stored
        refused = launcher.wait('REFUSED')['keys']
        launcher.kill()
        launcher = machine.launcher.start_ready()
        held = set(launcher.held())
        assert held | set(refused) == set(range(16, 16 + stored)) and not held & set(refused)


def test_malformed_messages_hurt_nobody():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.sync()
        before = len(open_fds(machine.pid))
        launcher.send('READY', bytes=10)
        launcher.send('READY', version=9)
        launcher.send('STORE', owner=1, keys=[20, 21], count=1, fds=True)
        launcher.send('STORE', owner=1, keys=[20], count=9, fds=True)
        launcher.send('READY', keys=[20], fds=True)
        launcher.send('DROP', count=4000000000)
        launcher.send('HELD', owner=1, keys=[20], fds=True)
        launcher.send('SHUT_DOWN', argument=77)
        launcher.do('send', type=999)
        launcher.wait('SENT')
        launcher.sync()
        assert len(open_fds(machine.pid)) == before
        assert machine.is_alive() and machine.pid_of('service-launcher') == launcher.pid


def test_a_child_that_closes_its_side_is_ended_and_started_again():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.do('close')
        assert machine.launcher.accept().pid != launcher.pid
        until(lambda: not stat_of(launcher.pid), 'the deaf one is gone')


def test_restarts_come_at_once_then_later_and_start_over_at_ready():
    with Machine(launcher='#!/bin/sh\nexit 3\n', journal=FAKE) as machine:
        machine.boot()
        machine.wait_console(r'code=3 failures=6')
        text = machine.console()
        times = [float(line.split('[')[1].split(']')[0]) for line in text.splitlines()
                 if 'code=3' in line]
        gaps = [round(b - a, 3) for a, b in zip(times, times[1:])]
        for gap, least in zip(gaps, (0, 0.1, 0.2, 0.4, 0.8)):
            assert gap >= least - 0.002, gaps
        assert gaps[0] < 0.1 < gaps[1] < gaps[3], gaps
    with fakes() as machine:
        machine.boot()
        for _ in range(6):
            launcher = machine.launcher.start_ready()
            launcher.kill()
        machine.launcher.accept()
        assert 'failures=2' not in machine.console()


def test_a_missing_or_broken_program_is_said_with_its_path_and_reason():
    with Machine(launcher=False, journal='#!/does/not/exist\n') as machine:
        machine.boot()
        found = machine.wait_console(r'Could not execute.*path=(\S+) program=service-launcher')
        assert found.group(1).endswith('/conit/service-launcher'), found.group(0)
        assert 'error="No such file or directory"' in found.group(0)
        machine.wait_console(r'Could not execute.*program=service-journal')
        assert machine.is_alive()
    with Machine(launcher='not a program', journal=FAKE) as machine:
        machine.boot()
        machine.wait_console(rf'error="Exec format error" path={machine.folder}/bin/')


def test_the_first_lines_of_the_boot_reach_a_journal_that_comes_late():
    with fakes() as machine:
        machine.boot()
        machine.launcher.start_ready().kill()
        machine.wait_console('was killed')
        journal = machine.journal.start_ready()
        assert 'conit starts' in journal.wait('LINE')['text']
        assert 'was killed' in journal.wait('LINE')['text']


def test_a_journal_that_does_not_read_stops_nothing():
    with fakes() as machine:
        machine.boot()
        journal = machine.journal.start_ready()
        os.kill(journal.pid, signal.SIGSTOP)
        launcher = machine.launcher.start_ready()
        for i in range(2000):  # each is a line of init's
            launcher.do('send', type='SHUT_DOWN', argument=77)
            launcher.wait('SENT')
        launcher.sync()
        os.kill(journal.pid, signal.SIGCONT)
        journal.wait('LINE')


def test_limits_are_raised_inside_and_not_for_children():
    with fakes(before='ulimit -S -n 200') as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        soft, hard = resource.prlimit(machine.pid, resource.RLIMIT_NOFILE)
        assert soft == hard, (soft, hard)
        assert resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE) == (200, hard)


def test_idle_it_does_not_wake_up():
    with fakes() as machine:
        machine.boot()
        launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
        launcher.sync()
        journal.wait('LINE')

        def switches():
            with open(f'/proc/{machine.pid}/status', encoding='ascii') as status:
                return sum(int(line.split()[1]) for line in status if 'ctxt_switches' in line)

        settled = until(lambda: (lambda a: a if a == switches() else None)(switches()), 'idle')
        assert not launcher.has('GONE')
        # There is no event for nothing happening: two seconds of it have to do.
        deadline_passed = [0]

        def two_seconds():
            deadline_passed[0] += 1
            return deadline_passed[0] > 20

        until(two_seconds, 'two seconds', DEADLINE, 0.1)
        assert switches() - settled <= 1
