"""How much services have printed, as slc status says it: exact, whoever is killed meanwhile."""
import os
import signal

from harness import Machine, until
from services import booted, define, look, shell, wait


def counts_of(machine, name):
    """What is counted once all that was printed is taken: slc journal has the journal drained."""
    machine.slc('journal', name, '-n', '1')
    counts = look(machine, name)['journal_counts']
    return counts['lines'], counts['bytes'], counts['dropped']


def test_lines_and_bytes_are_those_that_were_printed():
    with Machine() as machine:
        define(machine, 'web', type='task', exec=shell('echo one; echo two >&2; printf three'))
        define(machine, 'silent', exec='sleep 100000')
        booted(machine)
        wait(machine, 'web', 'done')
        assert counts_of(machine, 'web') == (3, 13, 0)
        assert counts_of(machine, 'silent') == (0, 0, 0)
        text = machine.slc('status', 'web').stdout
        assert 'printed  3 lines, 13 B\n' in text, text
        machine.slc('restart', 'web')
        wait(machine, 'web', 'done')
        assert counts_of(machine, 'web') == (6, 26, 0)


def test_lines_that_the_rate_leaves_out_are_counted_as_dropped():
    with Machine() as machine:
        define(machine, 'web', type='task', log={'rate': '10/d'},
               exec=shell('i=0; while [ $i -lt 25 ]; do echo line; i=$((i+1)); done'))
        booted(machine)
        wait(machine, 'web', 'done')
        assert counts_of(machine, 'web') == (25, 125, 15)
        assert '25 lines, 125 B, 15 dropped' in machine.slc('status', 'web').stdout


def test_an_id_that_is_used_again_begins_with_nothing():
    with Machine() as machine:
        define(machine, 'old', type='task', exec='echo hello')
        booted(machine)
        wait(machine, 'old', 'done')
        assert counts_of(machine, 'old') == (1, 6, 0)
        (machine.services / 'old.yml').unlink()
        machine.slc('reload')
        define(machine, 'new', exec='sleep 100000')
        machine.slc('reload')
        wait(machine, 'new', 'running')
        assert counts_of(machine, 'new') == (0, 0, 0)


def test_counts_are_exact_after_kills_of_journal_and_launcher():
    lines, block = 30000, 1000
    with Machine() as machine:
        define(machine, 'web', type='task', exec=[
            '/usr/bin/python3', '-uc',
            f'for block in range({lines // block}):\n'
            f'    print("x" * 9 + ("\\n" + "x" * 9) * {block - 1})\n'])
        machine.boot()
        for number in range(12):
            name = ('service-journal', 'service-launcher')[number % 4 == 3]
            pid = machine.wait_pid_of(name)
            os.kill(pid, signal.SIGKILL)
            machine.wait_pid_of(name, pid)
        until(lambda: machine.slc('list', check=False).returncode == 0, 'the launcher answers')
        wait(machine, 'web', 'done')
        assert counts_of(machine, 'web') == (lines, 10 * lines, 0)
