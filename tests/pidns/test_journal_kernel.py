"""The kernel's lines, which the system file turns off and on. /dev/kmsg is a FIFO of the test's here, of
packets as the kernel's are; tests/boot/test_machine.py has the real one."""
import contextlib
import fcntl
import os

from harness import Machine, Skip, until
from services import booted

DEVICE = '/dev/kmsg'


class Kernel:
    """Writes records as Documentation/ABI/testing/dev-kmsg has them."""

    def __init__(self, path):
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_DIRECT)  # each read gets what one write gave, pipe(2)
        self.sequence = 0

    def print(self, text):
        os.write(self.fd, b'6,%d,%d,-;%s\n' % (self.sequence, self.sequence * 1000000, text.encode()))
        self.sequence += 1

    def close(self):
        os.close(self.fd)


@contextlib.contextmanager
def machine(log):
    if not os.path.exists(DEVICE):
        raise Skip(f'there is no {DEVICE} here to mount another over')
    with Machine() as m, contextlib.closing(Kernel(m.folder / 'kmsg')) as kernel:
        m.before = f'mount --bind {m.folder}/kmsg {DEVICE}'
        if log:
            m.config.write_text(f'log: {log}\n', encoding='ascii')
        yield booted(m), kernel


def reload(m, log):
    m.config.write_text(f'log: {log}\n', encoding='ascii')
    m.slc('reload')
    m.quiet()


def texts(m):
    return [line.split('] ')[1] for line in m.log_of('kernel').splitlines()]


def has_device(m):
    folder = f'/proc/{m.wait_pid_of("service-journal")}/fd'
    return any(os.readlink(f'{folder}/{fd}').endswith('/kmsg') for fd in os.listdir(folder))


def check_nothing_is_taken(m, kernel):
    before = texts(m)
    kernel.print('not to be taken')
    m.quiet()
    assert texts(m) == before and not has_device(m), (texts(m), has_device(m))


def test_turned_off_in_the_system_file_there_is_no_journal_of_the_kernel_until_a_reload_turns_it_on():
    with machine('{kernel: no}') as (m, kernel):
        check_nothing_is_taken(m, kernel)
        assert not (m.logs / 'kernel').exists()
        assert m.slc('journal', 'kernel').stdout == ''
        reload(m, '{kernel: yes}')
        assert has_device(m)
        kernel.print('one')
        until(lambda: texts(m)[-1:] == ['one'], 'it is taken')
        m.kill_journal()
        kernel.print('two')
        until(lambda: texts(m)[-1:] == ['two'], 'by the next journal too')


def test_a_reload_that_turns_it_off_holds_for_the_next_journal_too_and_what_came_meanwhile_is_not_lost():
    with machine('{kernel: yes}') as (m, kernel):
        kernel.print('one')
        until(lambda: texts(m) == ['one'], 'it is taken')
        reload(m, '{kernel: no}')
        check_nothing_is_taken(m, kernel)
        m.kill_journal()
        m.quiet()
        check_nothing_is_taken(m, kernel)
        reload(m, '{kernel: yes}')
        kernel.print('two')
        until(lambda: texts(m)[-1:] == ['two'], 'it is taken again')
        # The kernel keeps records, and each is taken once.
        assert texts(m) == ['one', 'not to be taken', 'not to be taken', 'two'], texts(m)


def test_in_a_container_it_is_off_unless_it_is_asked_for():
    with machine(None) as (m, kernel):
        check_nothing_is_taken(m, kernel)
        assert not (m.logs / 'kernel').exists()


def test_records_that_were_overwritten_are_counted_and_none_is_taken_twice():
    with machine('{kernel: yes}') as (m, kernel):
        kernel.print('one')
        kernel.sequence += 5  # the kernel had no room for these
        kernel.print('seven')
        until(lambda: m.log_of('kernel').endswith(' seven\n'), 'it is taken')
        kernel.sequence -= 2
        for text in ('six again', 'seven again', 'eight'):
            kernel.print(text)
        os.write(kernel.fd, b'no record\n')
        os.write(kernel.fd, b'30,8,8000000,-;of a program\n')
        kernel.sequence = 9
        kernel.print('ten\\x0ain two lines')
        until(lambda: 'in two lines' in m.log_of('kernel'), 'all is taken')
        lines = [line.split(' ', 1)[1] for line in m.log_of('kernel').splitlines()]
        # The time is the record's own: the first is number 0.
        assert lines == ['info [    0.000000] one', '+warning dropped lines=5 reason="overwritten by the kernel"',
                         'info [    6.000000] seven', 'info [    7.000000] eight', 'info [    9.000000] ten',
                         'info [    9.000000] in two lines'], lines
        m.kill_journal()
        kernel.print('ten')
        until(lambda: m.log_of('kernel').endswith(' ten\n'), 'the next journal goes on behind it')
        assert m.log_of('kernel').count('seven') == 1


def test_records_that_fill_the_pipe_are_read_on_where_it_was_full():
    with machine('{kernel: yes}') as (m, kernel):
        journal = m.wait_pid_of('service-journal')
        # Far more than a pipe holds, one record after the other.
        for number in range(2000):
            kernel.print(f'{number} ' + 'x' * 900)
        until(lambda: texts(m)[-1:] and texts(m)[-1].startswith('1999 '), 'all are taken')
        assert [int(text.split()[0]) for text in texts(m)] == list(range(2000))
        assert m.pid_of('service-journal') == journal
