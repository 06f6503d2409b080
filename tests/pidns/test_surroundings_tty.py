"""A shell on the terminal of a service: it controls its jobs, and a restart takes the terminal over."""
import os
import pty
import re
import select
import shutil
import time

from harness import DEADLINE, Machine, Skip
from services import booted, define, look, wait


class Terminal:
    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.path = os.ttyname(self.slave)
        self.text = ''

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Waits for it, and forgets all up to its end."""
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f'the terminal never said {pattern!r}: {self.text!r}')
            self.text += os.read(self.master, 4096).decode(errors='replace')
        found = re.search(pattern, self.text)
        seen, self.text = self.text[:found.end()], self.text[found.end():]
        return seen

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def test_a_shell_on_a_tty_controls_its_jobs_and_a_restart_takes_the_terminal_over():
    if not shutil.which('bash'):
        raise Skip('no bash here')
    terminal = Terminal()
    with Machine() as machine:
        define(machine, 'shell', tty=terminal.path, exec='bash --norc --noprofile -i',
               stop={'signal': 'HUP'},
               env={'PS1': 'ready> ', 'HOME': '/tmp', 'HISTFILE': ''})
        booted(machine)
        for _ in range(2):
            said = terminal.expect(r'ready> ')
            assert 'job control' not in said and 'ioctl' not in said, said
            terminal.type('sleep 100000 &\n')
            terminal.expect(r'\[1\] \d+\r\n')
            terminal.type('jobs\n')
            terminal.expect(r'\[1\]\+ +Running +sleep 100000')
            terminal.type("sh -c 'echo in-\"\"front; exec sleep 100001'\n")
            terminal.expect(r'in-front\r\n')
            terminal.type('\x03')  # Ctrl-C ends what is in front, and only that
            terminal.type('echo status-$?\n')
            terminal.expect(r'status-130\r\n')
            terminal.type("sh -c 'echo in-\"\"front; exec sleep 100002'\n")
            terminal.expect(r'in-front\r\n')
            terminal.type('\x1a')  # Ctrl-Z stops it
            terminal.expect(r'\[2\]\+ +Stopped')
            terminal.type('kill -KILL %2; fg %2; jobs; echo still-$((1+1))\n')
            said = terminal.expect(r'still-2\r\n')
            assert re.search(r'\[1\]. +Running', said), said
            pid = wait(machine, 'shell', 'running')['pid']
            machine.slc('restart', 'shell')
            status = look(machine, 'shell')
            assert status['pid'] != pid and len(status['processes']) <= 1, status
        terminal.expect(r'ready> ')
    terminal.close()
