"""Reaping: no zombie stays, no exit is missed, and a dead launcher loses no status."""
import os
import signal

from harness import until
from init_faults import ended, fakes, zombies


def orphans(peer, count, **options):
    peer.do('orphans', count=count, **options)
    peer.wait('SPAWNED')


def test_500_orphans_that_end_at_once_are_reaped_and_reported_during_a_storm_of_signals():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        launcher.do('orphans', count=500)
        for _ in range(2000):
            machine.signal(signal.SIGCHLD)
            machine.signal(signal.SIGHUP)
            machine.signal(signal.SIGWINCH)
        launcher.wait('SPAWNED')
        pairs = ended(launcher, 500)
        assert len({pid for pid, _ in pairs}) == len(pairs) == 500
        assert {status for _, status in pairs} == {3 << 8}
        until(lambda: not zombies(machine), 'no zombie is left')
        assert machine.is_alive()


def test_while_the_launcher_is_down_zombies_keep_their_status_for_the_next():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        journal = machine.journal.start_ready()
        launcher.kill()
        launcher = machine.launcher.accept()  # not ready
        orphans(journal, 50)
        until(lambda: len(zombies(machine)) == 50, 'the kernel keeps all 50')
        assert not launcher.has('ENDED')
        launcher.send('READY')
        assert {status for _, status in ended(launcher, 50)} == {3 << 8}
        until(lambda: not zombies(machine), 'no zombie is left')


def test_own_children_are_reaped_while_the_launcher_is_down():
    with fakes() as machine:
        machine.boot()
        machine.launcher.accept()
        journal = machine.journal.accept()
        orphans(journal, 5)
        until(lambda: len(zombies(machine)) == 5, 'orphans wait')
        journal.kill()
        machine.journal.accept()
        assert len(zombies(machine)) == 5


def test_without_a_ready_launcher_for_10_s_all_is_reaped_and_the_last_are_remembered():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.accept()
        journal = machine.journal.start_ready()
        orphans(journal, 100)
        until(lambda: len(zombies(machine)) == 100, 'orphans wait')
        machine.wait_console('takes no reports')
        until(lambda: not zombies(machine), 'no zombie is left')
        orphans(journal, 20)
        until(lambda: not zombies(machine), 'nor a later one')
        launcher.send('READY')
        assert len(ended(launcher, 120)) == 120


def test_what_a_killed_launcher_had_not_carried_out_is_reported_again():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        journal = machine.journal.start_ready()
        orphans(journal, 3)
        seen = ended(launcher, 3)  # acknowledged by the fake
        launcher.do('silent')  # from here on it takes reports and dies with them
        launcher.wait('SILENT')
        orphans(journal, 4)
        unseen = ended(launcher, 4)
        launcher.kill()
        launcher = machine.launcher.start_ready()
        again = ended(launcher, 4)
        assert sorted(again) == sorted(unseen), (again, unseen)
        assert not {pid for pid, _ in again} & {pid for pid, _ in seen}


def test_a_launcher_that_hangs_gets_every_report_once_it_goes_on():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        journal = machine.journal.start_ready()
        os.kill(launcher.pid, signal.SIGSTOP)
        for _ in range(10):
            orphans(journal, 150)
        until(lambda: not zombies(machine), 'all are reaped meanwhile')
        os.kill(launcher.pid, signal.SIGCONT)
        assert len(ended(launcher, 1500)) == 1500


def test_an_orphan_ended_by_a_signal_is_reported_with_it():
    with fakes() as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        before = set(machine.children())
        orphans(launcher, 1, wait=True)
        orphan, = until(lambda: set(machine.children()) - before -
                        {machine.pid_of('service-journal'), launcher.pid}, 'the orphan is here')
        os.kill(orphan, signal.SIGKILL)
        assert ended(launcher, 1)[0][1] == signal.SIGKILL
