"""Faults of init at each point where something is half done; only a build with sanitizers has them."""
import os
import re
import signal

from harness import FAKE, Machine, Skip, children_of, until

POWEROFF = 1


def crashing(*plan, **options):
    if os.environ.get('CONIT_BUILD_KIND') == 'release':
        raise Skip('a release build has no points to crash at')
    return Machine(launcher=FAKE, journal=FAKE, environment={'CONIT_CRASH': ','.join(plan)},
                   **options)


def ended(launcher, count):
    pairs = []
    while len(pairs) < count:
        pairs += launcher.wait('ENDED')['ended']
    return pairs


def faults(machine):
    return len(re.findall('A fault of init itself', machine.console()))


def drain(machine):
    journal = machine.journal.peers[-1]
    journal.wait('DRAIN')
    journal.do('send', type='DRAINED')


def latest(role, count):
    """The last of `count` starts, each of which says READY."""
    for _ in range(count):
        peer = role.start_ready()
    return peer


def test_a_fault_while_it_boots_costs_nothing():
    for point in ('mounted', 'started', 'spawned'):
        for kind in ('SEGV', 'ABRT'):
            with crashing(f'{point}:{kind}') as machine:
                machine.boot()
                launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
                launcher.store([16])
                launcher.sync()
                journal.wait('LINE')
                assert faults(machine) == 1 and machine.is_alive()
                assert machine.pid_of('service-launcher') == launcher.pid
                assert machine.pid_of('service-journal') == journal.pid


def test_a_message_that_is_being_taken_is_taken_once():
    for point in ('received', 'taken'):
        for kind in ('SEGV', 'STACK'):
            with crashing(f'{point}:{kind}') as machine:
                machine.boot()
                launcher = machine.launcher.accept()
                launcher.store([16, 17, 18])  # the first message that init receives
                launcher.send('READY')
                machine.wait_console('A fault of init itself')
                launcher.sync()
                launcher.kill()
                assert set(machine.launcher.start_ready().held()) == {16, 17, 18}
                assert sum('memfd:held' in os.readlink(f'/proc/{machine.pid}/fd/{fd}')
                           for fd in os.listdir(f'/proc/{machine.pid}/fd')) == 3


def test_a_message_that_brings_init_down_twice_is_left_out_and_refused():
    with crashing('received:SEGV', 'received:ILL') as machine:
        machine.boot()
        launcher = machine.launcher.accept()
        launcher.store([16, 17])
        # The second fault comes while init is being executed anew, so it takes its time.
        machine.wait_console('Init has had too many faults')
        assert machine.is_alive()


def test_an_end_that_is_being_noted_is_reported_once():
    for point in ('reaped', 'noted'):
        with crashing(f'{point}:BUS') as machine:
            machine.boot()
            launcher = machine.launcher.start_ready()
            launcher.do('orphans', count=30)
            launcher.wait('SPAWNED')
            pairs = ended(launcher, 30)
            assert len({pid for pid, _ in pairs}) == len(pairs) == 30
            assert {status for _, status in pairs} == {3 << 8}
            assert faults(machine) == 1
            until(lambda: not [1 for _, state, _ in children_of(machine.pid).values()
                               if state == 'Z'], 'no zombie is left')
            assert not launcher.has('ENDED')


def test_reports_that_may_have_been_sent_are_told_to_a_new_launcher():
    with crashing('reported:FPE') as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.do('silent')
        launcher.do('orphans', count=5)
        machine.wait_console('A fault of init itself')
        launcher = machine.launcher.start_ready()
        pairs = ended(launcher, 5)
        assert len({pid for pid, _ in pairs}) == 5


def test_a_replay_that_may_have_been_half_is_begun_anew_with_a_new_child():
    with crashing('replay:ILL') as machine:
        machine.boot()
        journal = latest(machine.journal, 1)
        launcher = machine.launcher.start_ready()
        machine.wait_console('A fault of init itself')
        launcher = machine.launcher.peers[-1]
        until(lambda: machine.is_alive(), 'init goes on')
        assert journal or launcher


def test_a_fault_in_each_phase_of_the_end_only_delays_it():
    for point in ('asked', 'term', 'drain', 'close', 'last', 'last-steps'):
        with crashing(f'{point}:SEGV') as machine:
            machine.boot()
            journal = machine.journal.start_ready()
            launcher = machine.launcher.start_ready()
            machine.signal(signal.SIGTERM)
            launcher.wait('SIGNAL')
            launcher.shut_down(POWEROFF, status=7)
            journal.wait('DRAIN')
            journal.do('send', type='DRAINED')
            assert machine.wait_end() == 7, point
            assert faults(machine) == 1, point


def test_a_fault_while_it_kills_what_is_left_ends_all_the_same():
    with crashing('kill:SEGV') as machine:
        machine.boot()
        machine.journal.start_ready()
        launcher = machine.launcher.start_ready()
        launcher.do('orphans', count=3, wait=True, ignore_term=True)
        launcher.wait('SPAWNED')
        launcher.shut_down(POWEROFF)
        drain(machine)
        assert machine.wait_end() == 0
        assert faults(machine) == 1


def test_one_fault_while_it_is_executed_anew_is_enough_for_the_minimal_loop():
    for second in ('again', 'resume'):
        with crashing('turn:SEGV', f'{second}:ILL') as machine:
            machine.boot()
            machine.wait_console('Init has had too many faults')
            machine.signal(signal.SIGTERM)
            assert machine.wait_end() == 0


def test_faults_in_the_minimal_loop_are_survived_and_the_end_still_comes():
    with crashing('turn:SEGV', 'resume:ILL', 'minimal:ILL', 'minimal:ILL') as machine:
        machine.boot()
        machine.wait_console('faults=4')
        machine.signal(signal.SIGTERM)
        machine.wait_end()
    with crashing('turn:SEGV', 'resume:ILL', 'minimal-end:ILL', 'last-steps:ILL') as machine:
        machine.boot()
        machine.wait_console('Init has had too many faults')
        machine.signal(signal.SIGTERM)
        machine.wait_end()
