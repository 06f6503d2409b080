"""The end: who is asked, who is waited for, and that nothing holds it up for ever."""
import os
import pty
import signal
import termios
import tty

from harness import FAKE, Machine, stat_of, until

POWEROFF, REBOOT, HALT, KEXEC, FORCE = 1, 2, 3, 4, 0x100


def fakes(**options):
    return Machine(launcher=FAKE, journal=FAKE, **options)


def drain(machine):
    journal = machine.journal.peers[-1]
    journal.wait('DRAIN')
    journal.do('send', type='DRAINED')


def boot(machine):
    machine.boot()
    machine.journal.start_ready()
    return machine.launcher.start_ready()


def test_the_status_that_the_launcher_gives_is_the_exit_status():
    for status in (0, 5, 143):
        with fakes() as machine:
            launcher = boot(machine)
            launcher.shut_down(POWEROFF, status=status)
            drain(machine)
            assert machine.wait_end() == status


def test_reboot_and_kexec_end_the_namespace_as_a_reboot_does():
    for how in (REBOOT, KEXEC):
        with fakes() as machine:
            boot(machine).shut_down(how)
            drain(machine)
            assert machine.wait_end() == -signal.SIGHUP


def test_the_launcher_is_told_the_signal_and_is_waited_for_while_it_reports_progress():
    with fakes() as machine:
        launcher = boot(machine)
        machine.signal(signal.SIGTERM)
        assert launcher.wait('SIGNAL')['argument'] == signal.SIGTERM
        machine.wait_console(r'Asked to end .*signal=15')
        ticks = [0]

        def progress():  # for 12 s, which is more than the 10 s without one
            launcher.send('PROGRESS', text='database to stop')
            ticks[0] += 1
            return ticks[0] >= 12

        until(progress, '12 reports', interval=1.0)
        assert machine.is_alive()
        machine.wait_console(r'Waiting +for="database to stop" seconds=\d')
        launcher.shut_down(POWEROFF)
        drain(machine)
        assert machine.wait_end() == 0


def test_a_launcher_that_says_nothing_for_10_s_is_not_waited_for():
    with fakes() as machine:
        launcher = boot(machine)
        machine.signal(signal.SIGTERM)
        launcher.wait('SIGNAL')
        machine.wait_console('does not stop the services')
        drain(machine)
        assert machine.wait_end() == 0


def test_a_signal_while_the_launcher_is_down_is_told_to_the_next():
    with fakes() as machine:
        machine.boot()
        machine.journal.start_ready()
        launcher = machine.launcher.accept()
        machine.signal(signal.SIGUSR1)
        machine.wait_console('Asked to end')
        launcher.kill()
        launcher = machine.launcher.start_ready()
        assert launcher.wait('SIGNAL')['argument'] == signal.SIGUSR1
        launcher.kill()
        launcher = machine.launcher.start_ready()
        assert launcher.wait('SIGNAL')['argument'] == signal.SIGUSR1
        launcher.shut_down(POWEROFF)
        drain(machine)
        assert machine.wait_end() == 0


def test_force_ends_at_once():
    with fakes() as machine:
        boot(machine).shut_down(POWEROFF | FORCE)
        drain(machine)
        assert machine.wait_end() == 0


def test_what_is_left_gets_term_then_kill_and_the_journal_goes_last():
    with fakes() as machine:
        launcher = boot(machine)
        launcher.do('orphans', count=5, wait=True)
        launcher.wait('SPAWNED')
        launcher.do('orphans', count=5, wait=True, ignore_term=True)
        launcher.wait('SPAWNED')
        journal = machine.journal.peers[-1]
        launcher.shut_down(POWEROFF)
        machine.wait_console('Killing what does not end by itself +processes=5')
        assert not journal.has('DRAIN') and not journal.has('TERM')
        journal.wait('DRAIN')
        assert len(machine.children()) == 1, machine.children()
        machine.wait_console(r'Waiting for a process to end .*name=\S+.* where=\S+')
        journal.do('send', type='DRAINED')
        assert machine.wait_end() == 0


def test_a_fork_bomb_that_ignores_term_is_ended():
    script = ('trap "" TERM; echo storm >&2\nwhile :; do /bin/true & wait $!; done & '
              'while :; do (trap "" TERM; sleep 100 & wait $!) & sleep 0.02; done')
    with fakes() as machine:
        launcher = boot(machine)
        launcher.do('shell', command=f"setsid sh -c '{script}' &")
        launcher.wait('SHELL')
        machine.wait_console('storm')
        launcher.shut_down(POWEROFF)
        drain(machine)
        assert machine.wait_end() == 0


def test_stopped_processes_end_too():
    with fakes() as machine:
        launcher = boot(machine)
        before = set(machine.children())
        launcher.do('orphans', count=1, wait=True)
        launcher.wait('SPAWNED')
        orphan, = until(lambda: set(machine.children()) - before, 'it is here')
        os.kill(orphan, signal.SIGSTOP)
        launcher.shut_down(POWEROFF)
        drain(machine)
        assert machine.wait_end() == 0
        assert 'Killing' not in machine.console()
        assert not stat_of(orphan)


def test_a_journal_that_hangs_holds_up_the_end_only_for_a_while():
    with fakes() as machine:
        launcher = boot(machine)
        os.kill(machine.journal.peers[-1].pid, signal.SIGSTOP)
        launcher.shut_down(POWEROFF, status=4)
        machine.wait_console('Waiting for the journal')
        assert machine.wait_end(60) == 4


def test_a_journal_that_crashes_while_it_drains_is_started_again_to_finish():
    with fakes() as machine:
        launcher = boot(machine)
        launcher.shut_down(POWEROFF)
        journal = machine.journal.peers[-1]
        journal.wait('DRAIN')
        journal.kill()
        machine.journal.start_ready()
        drain(machine)
        assert machine.wait_end() == 0


def test_without_any_journal_it_ends_soon():
    with Machine(launcher=FAKE, journal='#!/bin/sh\nexit 1\n') as machine:
        machine.boot()
        launcher = machine.launcher.start_ready()
        machine.wait_console('program=service-journal')
        launcher.shut_down(POWEROFF)
        assert machine.wait_end() == 0


def test_a_console_stopped_with_ctrl_s_stops_nothing():
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        with fakes(console=slave) as machine:
            machine.boot()
            launcher = machine.launcher.start_ready()
            termios.tcflow(slave, termios.TCOOFF)
            for _ in range(300):  # far more lines than a terminal takes
                launcher.do('send', type='SHUT_DOWN', argument=77)
                launcher.wait('SENT')
            launcher.sync()
            launcher.kill()
            launcher = machine.launcher.start_ready()
            machine.journal.start_ready()
            launcher.shut_down(POWEROFF)
            drain(machine)
            assert machine.wait_end() == 0
    finally:
        os.close(master)
        os.close(slave)
