"""Faults of init at each point where something is half done; only a build with sanitizers has them."""
import os
import shutil
import signal
import struct
import subprocess

from harness import BUILD, children_of, hold, open_fds, stat_of, until
from init_faults import FAULTS, FAULTS_QUIET_AT, crashing, ended, faults, write_field

POWEROFF = 1
INIT, JOURNAL, LAUNCHER = 1, 2, 4
TIMEOUT = 240


def drain(machine):
    journal = machine.journal.peers[-1]
    journal.wait('DRAIN')
    journal.do('send', type='DRAINED')


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
                assert sum('memfd:held' in name for name in open_fds(machine.pid).values()) == 3


def test_a_message_that_brings_init_down_twice_is_left_out_and_refused():
    """Not before the minimal loop is left: the second fault comes while init is executed anew."""
    with crashing('received:SEGV', 'received:ILL') as machine:
        machine.boot()
        launcher = machine.launcher.accept()
        launcher.store([16, 17])
        machine.wait_console('Init has had too many faults')
        write_field(machine, FAULTS, FAULTS_QUIET_AT, struct.pack('=Q', 1))
        machine.wait_console('A message brought init down twice and is left out')
        assert launcher.wait('REFUSED')['keys'] == [16, 17]
        launcher.send('READY')
        launcher.store([18])
        launcher.sync()
        assert not [1 for name in open_fds(machine.pid).values() if 'memfd:held' in name][1:]
        launcher.kill()
        assert set(machine.launcher.start_ready().held()) == {18}


def test_a_refusal_is_told_once_and_what_came_beside_it_is_kept():
    for point in ('storing', 'stored', 'refusing', 'refused'):
        with crashing(f'{point}:SEGV') as machine:
            machine.boot()
            launcher = machine.launcher.start_ready()
            launcher.send('STORE', owner=1, keys=[16, 1 << 20, 17], fds=True)
            assert launcher.wait('REFUSED')['keys'] == [1 << 20], point
            launcher.sync()
            assert faults(machine) == 1 and not launcher.has('REFUSED'), point
            assert sum('memfd:held' in name for name in open_fds(machine.pid).values()) == 2, point
            launcher.kill()
            assert set(machine.launcher.start_ready().held()) == {16, 17}


def test_a_line_of_init_that_may_have_been_sent_is_in_the_journal_once():
    with crashing('line-sent:SEGV', launcher=None, journal=None) as machine:
        machine.boot()
        machine.wait_booted()
        assert faults(machine) == 1
        machine.slc('list')
        lines = [line for line in machine.slc('journal', 'conit', '-o', 'cat').stdout.splitlines()]
        said = [line for line in machine.console().splitlines() if 'conit starts' in line]
        assert len(said) == 1 and sum('conit starts' in line for line in lines) == 1, lines
        assert sum('A fault of init itself' in line for line in lines) == 1, lines


def test_signals_that_came_together_with_one_that_brings_init_down_are_heeded():
    with crashing('asked:SEGV') as machine:
        machine.boot()
        journal, launcher = machine.journal.start_ready(), machine.launcher.start_ready()
        launcher.sync()
        hold(machine.pid)
        machine.signal(signal.SIGUSR1)
        machine.signal(signal.SIGTERM)
        machine.signal(signal.SIGCONT)
        machine.wait_console(r'Asked to end .* signal=10\b')
        machine.wait_console(r'Asked to end .* signal=15\b')
        launcher.wait('SIGNAL', argument=signal.SIGTERM)
        assert faults(machine) == 1
        launcher.shut_down(POWEROFF)
        journal.wait('DRAIN')
        journal.do('send', type='DRAINED')
        assert machine.wait_end() == 0


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
        # Which is the journal's, of nothing; it may be killed before it has connected.
        line = machine.wait_console(r'killed and is started again.* pid=(\d+) program=(\S+) signal=9')
        assert line[2] == 'service-journal', line
        anew = machine.journal.accept()
        if anew.started['inner'] == int(line[1]):
            anew = machine.journal.accept()
        anew.send('READY')
        assert anew.held() == {}
        launcher = machine.launcher.start_ready()
        launcher.store([16])
        launcher.sync()
        launcher.kill()
        assert set(machine.launcher.start_ready().held()) == {16}
        assert machine.pid_of('service-journal') == anew.pid and faults(machine) == 1


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
    for plan in (('minimal:ILL', 'minimal:ILL'), ('minimal-end:ILL', 'last-steps:ILL')):
        with crashing('turn:SEGV', 'resume:ILL', *plan) as machine:
            machine.boot()
            machine.wait_console('faults=4' if plan[0] == 'minimal:ILL' else 'too many faults')
            machine.signal(signal.SIGTERM)
            assert machine.wait_end() == 0, plan


def replace_init(machine):
    """As a package does. Returns the inode of the former one."""
    new = machine.programs / 'init.new'
    shutil.copy2(BUILD / 'init', new)
    new.rename(machine.programs / 'init')
    return os.stat(f'/proc/{machine.pid}/exe').st_ino


def upgraded(launcher):
    event = launcher.wait('UPGRADED')
    launcher.send('UPGRADED_SEEN')
    return event['argument'], event['status'], event['text']


def fault_in_upgrade_of_init(point, kind, wanted):
    with crashing(f'{point}:{kind}') as machine:
        machine.boot()
        launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
        launcher.store([16, 17])
        journal.sync()
        launcher.sync()
        fds, former = len(open_fds(machine.pid)), replace_init(machine)
        for wanted_now in (wanted, (INIT, 0, '')):
            launcher.send('UPGRADE', argument=INIT)
            assert upgraded(launcher) == wanted_now, point
            is_new = os.stat(f'/proc/{machine.pid}/exe').st_ino != former
            assert is_new == (wanted_now[0] == INIT), point
            assert len(open_fds(machine.pid)) == fds, (point, open_fds(machine.pid))
            assert faults(machine) == 1 and 'only reaps' not in machine.console()
        assert machine.pid_of('service-journal') == journal.pid
        launcher.kill()
        assert set(machine.launcher.start_ready().held()) == {16, 17}


def test_a_new_init_that_has_a_fault_before_its_loop_is_replaced_by_the_former_one():
    """`executing`: just before it is executed, where nobody can know which of them had it."""
    for point in ('executing', 'again', 'resume', 'resumed'):
        for kind in ('SEGV', 'STACK'):
            fault_in_upgrade_of_init(point, kind, (0, INIT, 'init: it had a fault while it took over\n'))


def test_a_fault_before_the_new_init_is_executed_leaves_the_former_one_and_says_so():
    for point, why in (('kept-former', 'init had a fault while it was tried'),
                       ('not-exchanged', 'init had a fault before it was executed')):
        fault_in_upgrade_of_init(point, 'SEGV', (0, INIT, f'init: {why}\n'))


def test_a_fault_after_the_files_are_exchanged_executes_the_new_init_which_goes_on():
    for point in ('exchanged', 'named-once', 'concluded'):
        fault_in_upgrade_of_init(point, 'SEGV', (INIT, 0, ''))


ONCE = r"""
#include <stdio.h>
#include <sys/stat.h>
int main(int argc, char **argv) { chmod("/proc/self/exe", 0644); puts(argv[argc - 1]); return 0; }
"""


def test_a_new_init_that_cannot_be_executed_after_all_leaves_the_former_one():
    for plan in ([], ['not-executed:SEGV'], ['concluded:SEGV']):
        with crashing(*plan) as machine:
            machine.boot()
            launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
            journal.sync()
            launcher.sync()
            fds, former = len(open_fds(machine.pid)), os.stat(f'/proc/{machine.pid}/exe').st_ino
            (machine.folder / 'once.c').write_text(ONCE)
            subprocess.run(['cc', '-o', 'init.new', '-static', 'once.c'], cwd=machine.folder, check=True)
            os.rename(machine.folder / 'init.new', machine.programs / 'init')
            launcher.send('UPGRADE', argument=INIT)
            why = 'init had a fault before it was executed' if plan == ['not-executed:SEGV'] else \
                'Permission denied'
            assert upgraded(launcher) == (0, INIT, f'init: {why}\n'), plan
            assert os.stat(f'/proc/{machine.pid}/exe').st_ino == former
            assert len(open_fds(machine.pid)) == fds, open_fds(machine.pid)
            assert faults(machine) == len(plan) and 'only reaps' not in machine.console()
            machine.signal(signal.SIGSEGV)  # it is executed anew from the former file
            machine.wait_console('was sent to init')
            launcher.sync()
            assert os.stat(f'/proc/{machine.pid}/exe').st_ino == former


def test_a_child_that_has_just_taken_the_place_of_the_old_one_keeps_it():
    for part in (JOURNAL, LAUNCHER):
        with crashing('promoted:SEGV') as machine:
            machine.boot()
            launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
            launcher.store([16], owner=3)
            launcher.sync()
            old, role = (journal, machine.journal) if part == JOURNAL else \
                (launcher, machine.launcher)
            launcher.send('UPGRADE', argument=part)
            old.wait('YIELD')
            old.send('YIELDED')
            new = role.accept()
            assert set(new.held()) == {16}
            new.do('send', type='READY')
            now = new if part == LAUNCHER else launcher
            assert upgraded(now) == (part, 0, '')
            until(lambda: not stat_of(old.pid), 'the old one is gone')  # pylint: disable=cell-var-from-loop
            assert faults(machine) == 1 and not new.has('RESUME')
            machine.journal.peers[-1].wait('LINE')  # only one that is ready is told
            now.do('orphans', count=3)
            now.wait('SPAWNED')
            assert {status for _, status in ended(now, 3)} == {3 << 8}
            new.kill()
            assert set(role.start_ready().held()) == {16}
