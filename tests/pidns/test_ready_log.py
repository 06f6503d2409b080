"""`ready: log`: a line of its output makes a service ready, whatever is killed meanwhile."""
import os
import signal
import time

from harness import Machine, hold, until
from services import PYTHON, booting, define, look, printed, shell, sleeps, wait, words
from test_ready import AFTER, LONG, becomes_ready_unseen, check, fails, gated, waits

WAITS = "waits until a line of its output matches '{}'"


def test_a_line_makes_it_ready_and_what_needs_it_waits():
    with Machine() as machine:
        check(machine, {'log': '^listening on [0-9]+$'},
              gated(machine, 'echo not yet', f'echo listening on 80; {AFTER}'),
              WAITS.format('^listening on [0-9]+$'))


def test_a_line_of_stderr_with_a_level_counts():
    with Machine() as machine:
        check(machine, {'log': '^up$'}, gated(machine, ':', f"echo '<4>up' >&2; {AFTER}"),
              WAITS.format('^up$'))


def test_a_line_that_is_there_at_once_is_not_missed():
    with Machine() as machine:
        for i in range(40):
            define(machine, f'd{i}', exec=shell(f'echo ready; {AFTER}'), ready={'log': 'ready'},
                   start_timeout='never')
        booting(machine)
        for i in range(40):
            wait(machine, f'd{i}', 'running', timeout='60s')


def test_a_line_written_in_pieces_counts_when_it_is_whole():
    with Machine() as machine:
        check(machine, {'log': '^one two$'},
              gated(machine, "printf 'one t'", f"printf 'wo'; printf '\\n'; {AFTER}"),
              WAITS.format('^one two$'))


def test_a_line_without_its_end_does_not_count():
    with Machine() as machine:
        fails(machine, {'log': 'ready'}, shell(f'printf ready; {AFTER}'),
              "no line of its output matched 'ready'")


def test_what_its_hooks_and_earlier_runs_have_printed_does_not_count():
    with Machine() as machine:
        gate, first = machine.folder / 'go', machine.folder / 'first'
        define(machine, 'd', before_start=[shell('echo ready')], ready={'log': '^ready'},
               restart={'policy': 'always', 'delay': '10ms'}, exec=shell(
                   f'test -e {first} || {{ >{first}; echo ready; exit 1; }}\n'
                   f'echo second; while ! test -e {gate}; do sleep 0.02; done; echo ready; {AFTER}'))
        booting(machine)
        until(lambda: 'second' in printed(machine, 'd'), 'the second run')
        assert waits(machine) == WAITS.format('^ready')
        for _ in range(3):
            machine.kill_launcher()
            assert waits(machine) == WAITS.format('^ready')
        assert printed(machine, 'd').count('ready') == 3
        gate.touch()
        wait(machine, 'd', 'running')


def test_what_the_rate_drops_counts():
    with Machine() as machine:
        define(machine, 'd', log={'rate': '1/h'}, ready={'log': '^up$'},
               exec=shell(f'echo one; echo two; echo up; {AFTER}'))
        booting(machine)
        wait(machine, 'd', 'running')
        assert printed(machine, 'd') == 'one\n'


def test_a_journal_that_is_killed_goes_on_in_the_middle_of_the_line():
    with Machine() as machine:
        define(machine, 'd', log={'rate': '1/h'}, ready={'log': '^one two three$'}, exec=gated(
            machine, "echo first; printf 'one two '", f'echo three; {AFTER}'))
        booting(machine)
        until(lambda: 'first' in printed(machine, 'd'), 'it prints')
        waits(machine)
        for _ in range(5):
            machine.kill_journal()
        assert waits(machine)
        (machine.folder / 'go').touch()
        wait(machine, 'd', 'running')


COUNT = 10

# Prints till its gate opens, then the line in two pieces, and at once what comes after it.
BUSY = f"""
import os, sys, time
while not os.path.exists(sys.argv[1]):
    os.write(1, b'noise\\n' * 20)
    time.sleep(0.002)
os.write(1, b'noise\\nre')
os.write(1, b'ady\\n')
os.write(1, b'y' * 5000)
time.sleep({LONG})
"""


def kill_at_each_line(machine, kill):
    """Opens the gates one by one, each with a kill a little later: before, while or after the line
    is taken. No line is lost, and none is there before its gate is open."""
    def gate(i):
        return machine.folder / f'go{i}'
    for i in range(COUNT):
        define(machine, f'd{i}', exec=words(PYTHON, '-c', BUSY, str(gate(i))),
               ready={'log': '^ready$'}, start_timeout='never')
    booting(machine)
    for i in range(COUNT):
        until(lambda: 'noise' in printed(machine, f'd{i}'), 'it prints')
    for i in range(COUNT):
        assert look(machine, f'd{i}')['state'] == 'starting'
        gate(i).touch()
        time.sleep(0.002 * (i % 5))
        kill()
        assert wait(machine, f'd{i}', 'running', timeout='60s')['restarts'] == 0


def test_no_kill_of_the_journal_loses_the_line():
    with Machine() as machine:
        kill_at_each_line(machine, machine.kill_journal)


def test_no_kill_of_the_launcher_loses_the_line():
    with Machine() as machine:
        kill_at_each_line(machine, machine.kill_launcher)


def test_no_kill_of_both_loses_the_line():
    with Machine() as machine:
        def both():
            machine.kill_journal()
            machine.kill_launcher()
        kill_at_each_line(machine, both)


def test_a_line_printed_while_the_launcher_is_down_counts():
    with Machine() as machine:
        becomes_ready_unseen(machine, {'log': '^up$'}, 'echo up',
                             lambda: 'info up\n' in machine.log_of('d'))


def test_a_journal_that_hangs_is_a_time_out_with_the_reason():
    with Machine() as machine:
        define(machine, 'd', exec=shell(f'echo up; {AFTER}'), ready={'log': '^up$'},
               start_timeout='1s', restart='never', enabled=False)
        booting(machine)
        journal = machine.wait_pid_of('service-journal')
        hold(journal)
        try:
            machine.slc('start', 'd', '--no-wait', check=False)
            found = wait(machine, 'd', 'failed')
            assert found['reason'] == ("was not ready after 1 s: "
                                       "no line of its output matched '^up$'"), found
        finally:
            os.kill(journal, signal.SIGCONT)
        machine.slc('start', 'd')
        wait(machine, 'd', 'running')
        assert sleeps(machine, str(LONG)) == 1


def test_a_time_out_says_what_was_waited_for():
    with Machine() as machine:
        fails(machine, {'log': 'ready'}, shell(f'echo other; {AFTER}'),
              "no line of its output matched 'ready'")
