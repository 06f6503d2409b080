"""`ready: notify` and `watchdog`: what a service says of itself, who may say it, and what harms."""
import os
import shutil
import socket
import subprocess

from harness import Machine, Skip, stat_of, until
from services import (PYTHON, booted, booting, define, events, held_back, kill, look, outer_pid,
                      printed, shell, wait, words)
from upgrading import Upgrading

LONG = 100000
# Sends what comes on its standard input as lines of Python literals, then stays.
SENDER = '''
import ast, os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)
print(sorted(k for k in os.environ if 'NOTIFY' in k or 'WATCHDOG' in k), flush=True)
commands = open(sys.argv[1])
for line in commands:
    value = ast.literal_eval(line)
    try:
        s.sendto(value, address)
        print('sent', flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
time.sleep(100000)
'''


def open_to_all(machine):
    """Any user may reach what is in the machine's folder."""
    for folder in (machine.folder, *machine.folder.parents):
        if folder.stat().st_mode & 0o011 != 0o011:
            folder.chmod(folder.stat().st_mode | 0o011)


class Sender:
    """A service that sends what it is told to."""

    def __init__(self, machine, name='d', **keys):
        self.machine, self.name, self.sent = machine, name, 0
        self.path = machine.folder / f'{name[:20]}.fifo'
        os.mkfifo(self.path, 0o666)
        self.path.chmod(0o666)
        open_to_all(machine)
        define(machine, name, **({'exec': words(PYTHON, '-ISuc', SENDER, str(self.path)),
                                  'ready': 'notify'} | keys))

    def open(self):
        self.pipe = open(self.path, 'w', encoding='ascii')  # pylint: disable=consider-using-with
        return self

    def send(self, *messages, answer='sent'):
        for message in messages:
            print(repr(message), file=self.pipe, flush=True)
            self.sent += 1
            until(lambda: len(self.lines()) > self.sent, 'it has sent')
            assert self.lines()[self.sent] == answer, self.lines()

    def lines(self):
        return printed(self.machine, self.name).splitlines()


def address(machine, name='d'):
    return str(machine.runtime / 'notify' / name)


def send(machine, text, name='d'):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, address(machine, name))


def test_ready_1_is_ready_and_the_status_is_shown():
    with Machine() as machine:
        sender = Sender(machine)
        define(machine, 'after', exec=f'sleep {LONG}', needs=['d'])
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open().send(b'STATUS=Loading\x1b[31m caf\xc3\xa9 \xff', b'READY=0', b'XREADY=1')
        until(lambda: look(machine, 'd')['status_text'] == 'Loading?[31m caf\u00e9 ?', 'status')
        found = look(machine, 'd')
        assert (found['state'], found['reason']) == ('starting', 'waits until it sends READY=1')
        assert look(machine, 'after')['state'] == 'waiting'
        sender.send(b'READY=1\nSTATUS=Up\nERRNO=5\nUNKNOWN')
        wait(machine, 'after', 'running')
        assert look(machine, 'd')['status_text'] == 'Up'
        assert 'Up' in machine.slc('status', 'd').stdout
        sender.send('STATUS=\u202ekcab'.encode())
        until(lambda: look(machine, 'd')['status_text'] == '\u202ekcab', 'the next status')
        assert [one['status_text'] for one in machine.json('list')] == [None, '\u202ekcab']
        assert r'says  \xe2\x80\xaekcab' in machine.slc('status', 'd').stdout
        sender.send(b'STATUS=Up')
        until(lambda: look(machine, 'd')['status_text'] == 'Up', 'the status before')
        assert sender.lines()[0] == "['NOTIFY_SOCKET']"


def test_systemd_notify_is_known_though_it_has_ended():
    if not shutil.which('systemd-notify'):
        raise Skip('no systemd-notify here')
    with Machine() as machine:
        define(machine, 'd', ready='notify',
               exec=shell(f'systemd-notify --ready --status=Up; exec sleep {LONG}'))
        booted(machine)
        assert wait(machine, 'd', 'running')['status_text'] == 'Up'


def test_what_is_sent_while_the_launcher_is_down_is_not_lost():
    with Machine() as machine:
        sender = Sender(machine)
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open()
        for _ in range(2):
            machine.kill_launcher()
            assert look(machine, 'd')['state'] == 'starting'
        with held_back(machine):
            print(repr(b'STATUS=Up\nREADY=1'), file=sender.pipe, flush=True)
            until(lambda: 'sent' in machine.log_of('d'), 'it has sent')
        assert wait(machine, 'd', 'running')['status_text'] == 'Up'
        machine.kill_launcher()
        assert look(machine, 'd')['status_text'] == 'Up'


def test_one_that_waits_with_its_socket_when_the_launcher_dies_is_heard_at_its_next_start():
    if not shutil.which('systemd-notify'):
        raise Skip('no systemd-notify here')
    with Machine() as machine:
        define(machine, 'need', exec=f'sleep {LONG}', restart={'delay': '1h'})
        define(machine, 'd', ready='notify', needs=['need'], restart={'delay': '1ms'},
               exec=shell(f'systemd-notify --ready; exec sleep {LONG}'))
        booting(machine)
        wait(machine, 'd', 'running')
        for name, state in (('need', 'backing-off'), ('d', 'waiting')):
            kill(machine, name)
            wait(machine, name, state)
        machine.kill_launcher()
        assert look(machine, 'd')['state'] == 'waiting'
        machine.slc('start', 'need')
        wait(machine, 'd', 'running')


def test_a_name_that_is_too_long_for_a_path_and_a_root_of_its_own_get_another_address():
    with Machine() as machine:
        name = 'n' * 190
        sender = Sender(machine, name)
        define(machine, 'rooted', exec=words(PYTHON, '-ISuc', SENDER, str(sender.path)),
               ready='notify', root='/', enabled=False)
        booting(machine)
        wait(machine, name, 'starting')
        sender.open().send(b'READY=1')
        wait(machine, name, 'running')
        assert not (machine.runtime / 'notify').exists()


def test_it_is_not_ready_in_time_and_says_so():
    with Machine() as machine:
        define(machine, 'd', exec=f'sleep {LONG}', ready='notify', start_timeout='500ms',
               restart='never')
        booting(machine)
        assert wait(machine, 'd', 'failed')['reason'] == (
            'was not ready after 500 ms: it did not send READY=1')


def test_the_time_out_is_put_off_and_stays_so_under_the_next_launcher():
    with Machine() as machine:
        sender = Sender(machine, start_timeout='5s', restart='never')
        booting(machine)
        wait(machine, 'd', 'starting')
        before = look(machine, 'd')['next']
        sender.open().send(b'EXTEND_TIMEOUT_USEC=600000000', b'EXTEND_TIMEOUT_USEC=1',
                           b'EXTEND_TIMEOUT_USEC=x')
        after = look(machine, 'd')['next']
        assert after > before
        machine.kill_launcher()
        assert look(machine, 'd')['next'][:21] == after[:21]
        sender.send(b'READY=1')
        wait(machine, 'd', 'running')


def test_bad_messages_and_a_flood_of_them_change_nothing():
    with Machine() as machine:
        sender = Sender(machine)
        define(machine, 'other', exec=f'sleep {LONG}')
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open()
        for message in (b'', b'\0', b'\n\n\n', b'=', b'READY', b'READY=', b'READY=11', b'ready=1',
                        b'\xff' * 4096, b'STATUS=' + b'x' * 4000, b'MAINPID=-1', b'MAINPID=',
                        b'WATCHDOG_USEC=99999999999999999999', b'READY=1' + b' ' * 4090,
                        b'x' * 100000):
            sender.send(message)
        sender.send(b'x' * (1 << 20), answer='Message too long')
        until(lambda: look(machine, 'd')['status_text'] == 'x' * 127, 'the status is cut')
        assert any('longer than 4096 bytes' in line for line in events(machine, 'd'))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
            flood.setblocking(False)
            for number in range(200000):
                try:
                    flood.sendto(b'STATUS=%d' % number, address(machine))
                except BlockingIOError:
                    pass
        machine.slc('stop', 'other')
        assert look(machine, 'd')['state'] == 'starting'
        sender.send(b'READY=1')
        wait(machine, 'd', 'running')


def test_descriptors_that_come_with_a_message_are_closed_after_it_was_carried_out():
    with Machine() as machine:
        define(machine, 'd', exec=f'sleep {LONG}', ready='notify')
        booting(machine)
        wait(machine, 'd', 'starting')
        launcher = machine.wait_pid_of('service-launcher')
        machine.quiet(())
        before = len(os.listdir(f'/proc/{launcher}/fd'))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(address(machine))
            for _ in range(20):
                reading, writing = os.pipe()
                socket.send_fds(sender, [b'FDSTORE=1'], [writing] * 250)
                socket.send_fds(sender, [b'BARRIER=1\nREADY=1'], [writing])
                os.close(writing)
                assert os.read(reading, 1) == b''  # until the last copy of it is closed
                os.close(reading)
        assert look(machine, 'd')['state'] == 'running'
        machine.quiet()
        assert len(os.listdir(f'/proc/{launcher}/fd')) <= before


def test_a_foreign_user_is_not_heard():
    with Machine() as machine:
        open_to_all(machine)
        define(machine, 'root', exec=f'sleep {LONG}', ready='notify')
        define(machine, 'user', exec=f'sleep {LONG}', ready='notify', user='1234', group='1234')
        booting(machine)
        for name in ('root', 'user'):
            wait(machine, name, 'starting')
        child = os.fork()
        if not child:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(4321, 4321, 4321)
                os.setresuid(4321, 4321, 4321)
                send(machine, b'READY=1', 'root')
                try:
                    send(machine, b'READY=1', 'user')
                except PermissionError:
                    status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        until(lambda: any('its sender is neither' in line for line in events(machine, 'root')),
              'it is said')
        assert look(machine, 'root')['state'] == look(machine, 'user')['state'] == 'starting'
        send(machine, b'READY=1', 'user')
        wait(machine, 'user', 'running')


def test_a_process_of_the_service_is_heard_whoever_it_has_become():
    with Machine() as machine:
        open_to_all(machine)
        drop = 'import os, sys; os.setgroups([]); os.setgid(1234); os.setuid(1234)\n'
        sender = Sender(machine)
        define(machine, 'd', ready='notify', exec=words(PYTHON, '-ISuc', drop + SENDER,
                                                        str(sender.path)))
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open().send(b'READY=1')
        wait(machine, 'd', 'running')


def test_a_user_s_service_may_send():
    with Machine() as machine:
        sender = Sender(machine, user='1234', group='1234')
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open().send(b'READY=1')
        wait(machine, 'd', 'running')


# ---- what it said last, after its end

# The same, and ends when no more comes.
SENDER_THAT_ENDS = SENDER.replace('time.sleep(100000)', 'os._exit(int(sys.argv[2]))')


def ending(machine, name, status, **keys):
    sender = Sender(machine, name)
    define(machine, name, exec=words(PYTHON, '-ISuc', SENDER_THAT_ENDS, str(sender.path), str(status)),
           ready='notify', **keys)
    return sender


def test_what_it_said_last_is_the_reason_of_its_end_until_its_next_start():
    with Upgrading() as machine:
        well = ending(machine, 'well', 0, restart='never')
        bad = ending(machine, 'bad', 3, restart='never')
        again = ending(machine, 'again', 0, restart={'delay': '1h'})
        killed = Sender(machine, 'killed', restart='never')
        silent = ending(machine, 'silent', 0, restart='never')
        stopped = Sender(machine, 'stopped', restart='never')
        booting(machine)
        for sender in (well, bad, again, killed, silent, stopped):
            sender.open().send(b'READY=1')
            if sender is not silent:
                sender.send(b'STATUS=up', b'STATUS=powered\x1b off')
        wait(machine, 'killed', 'running')
        kill(machine, 'killed')
        machine.slc('stop', 'stopped')
        for sender in (well, bad, again, silent):
            sender.pipe.close()
        said = 'powered? off'
        expected = {'well': ('done', f'exited with 0: {said}'), 'bad': ('failed', f'exited with 3: {said}'),
                    'again': ('backing-off', f'exited with 0: {said}'),
                    'killed': ('failed', f'ended by SIGKILL: {said}'), 'silent': ('done', None),
                    'stopped': ('stopped', 'was asked to stop')}
        for name, (state, _) in expected.items():
            wait(machine, name, state)

        def shown():
            return {service['name']: (service['state'], service['reason'])
                    for service in machine.json('list')}
        assert shown() == expected
        assert f'exited with 0: {said}' in machine.slc('list', 'well').stdout
        assert f'done: exited with 0: {said}' in events(machine, 'well')
        assert events(machine, 'silent')[-1] == 'done'
        machine.kill_launcher()
        assert shown() == expected
        assert not any(machine.upgrade().values())
        assert shown() == expected
        machine.slc('restart', 'well', '--no-wait')
        wait(machine, 'well', 'starting')
        assert look(machine, 'well')['status_text'] is None
        well.open().pipe.close()
        assert wait(machine, 'well', 'done')['reason'] is None


def test_what_it_said_before_it_ended_is_heard_though_no_launcher_was_there():
    with Machine() as machine:
        sender = ending(machine, 'd', 0, restart='never')
        booting(machine)
        sender.open().send(b'READY=1')
        wait(machine, 'd', 'running')
        pid = outer_pid(machine, look(machine, 'd')['pid'])
        with held_back(machine):
            print(repr(b'STATUS=powered off'), file=sender.pipe, flush=True)
            sender.pipe.close()
            until(lambda: stat_of(pid)[1] == 'Z', 'it has ended')
        assert wait(machine, 'd', 'done')['reason'] == 'exited with 0: powered off'


# ---- watchdog

def test_a_watchdog_that_is_not_fed_ends_the_service_as_a_failure():
    with Machine() as machine:
        log = machine.folder / 'log'
        define(machine, 'd', watchdog='500ms', restart='never',
               exec=shell(f'trap "echo ABRT >>{log}; exit 0" ABRT; echo $WATCHDOG_USEC $$ '
                          f'$WATCHDOG_PID >>{log}; while :; do sleep 0.05; done'))
        booting(machine)
        found = wait(machine, 'd', 'failed')
        assert found['reason'] == 'did not report to its watchdog for 500 ms', found
        first, last = log.read_text().splitlines()
        usec, pid, told = first.split()
        assert (usec, last) == ('500000', 'ABRT') and pid == told


def test_a_watchdog_that_is_fed_lets_the_service_run_also_under_the_next_launcher():
    with Machine() as machine:
        define(machine, 'd', watchdog='4s', ready='notify', restart='never', exec=words(
            PYTHON, '-ISuc', '''
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
s.send(b'READY=1')
while not os.path.exists('STOP'):
    s.send(b'WATCHDOG=1')
    time.sleep(0.2)
time.sleep(100000)
'''.replace('STOP', str(machine.folder / 'stop'))))
        booted(machine)
        first = wait(machine, 'd', 'running')['next']
        until(lambda: look(machine, 'd')['next'] > first, 'it is fed')
        for _ in range(3):
            machine.kill_launcher()
            first = look(machine, 'd')['next']
            until(lambda: look(machine, 'd')['next'] > first, 'it is fed')
        (machine.folder / 'stop').touch()
        machine.kill_launcher()
        found = wait(machine, 'd', 'failed', '30s')
        assert found['reason'] == 'did not report to its watchdog for 4 s', found
        assert found['exit'] == {'signal': 'SIGABRT'}


def test_watchdog_usec_and_trigger():
    with Machine() as machine:
        sender = Sender(machine, restart='never')
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open().send(b'WATCHDOG=trigger', b'READY=1')
        wait(machine, 'd', 'running')
        assert look(machine, 'd')['next'] is None
        sender.send(b'WATCHDOG_USEC=600000000')
        until(lambda: look(machine, 'd')['next'], 'it has a watchdog')
        # It may be ended before it could say that it has sent.
        print(repr(b'WATCHDOG=trigger'), file=sender.pipe, flush=True)
        found = wait(machine, 'd', 'failed')
        assert found['exit'] == {'signal': 'SIGABRT'}
        assert found['reason'] == 'has set off its watchdog itself (WATCHDOG=trigger)', found


# ---- what it says that it is doing

def test_that_it_reloads_is_shown_until_it_is_ready_again():
    with Machine() as machine:
        sender = Sender(machine)
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open().send(b'READY=1')
        assert wait(machine, 'd', 'running')['reason'] is None
        sender.send(b'RELOADING=1\nMONOTONIC_USEC=5')
        until(lambda: look(machine, 'd')['reason'] == 'reloads its configuration', 'it is shown')
        machine.kill_launcher()
        assert 'reloads its configuration' in machine.slc('status', 'd').stdout
        sender.send(b'READY=1')
        until(lambda: look(machine, 'd')['reason'] is None, 'it is not any more')


def test_one_that_stops_by_itself_has_the_time_for_it_and_no_watchdog():
    with Machine() as machine:
        sender = Sender(machine, watchdog='5min', stop={'timeout': '20h'}, restart='never')
        slow = Sender(machine, 'slow', start_timeout='5min', stop={'timeout': '20h'})
        booting(machine)
        wait(machine, 'd', 'starting')
        wait(machine, 'slow', 'starting')
        sender.open().send(b'READY=1')
        before = wait(machine, 'd', 'running')['next']
        slow.open().send(b'STOPPING=1')
        sender.send(b'STOPPING=1')
        until(lambda: look(machine, 'd')['reason'] == 'is stopping by itself', 'it is shown')
        after = look(machine, 'd')['next']
        assert after[:13] > before[:13], (before, after)  # to the hour
        until(lambda: look(machine, 'slow')['next'][:13] > before[:13], 'so has one that starts')
        sender.send(b'WATCHDOG=1', b'WATCHDOG_USEC=1', b'READY=1', b'RELOADING=1')
        machine.kill_launcher()
        found = look(machine, 'd')
        assert found['next'][:16] == after[:16] and found['state'] == 'running', (after, found)
        assert found['reason'] == 'is stopping by itself', found
        sender.send(b'EXTEND_TIMEOUT_USEC=180000000000')
        until(lambda: look(machine, 'd')['next'] > after, 'it is put off')


def test_one_that_does_not_stop_as_it_said_is_stopped():
    with Machine() as machine:
        sender = Sender(machine, stop={'timeout': '300ms'}, restart='never')
        booting(machine)
        wait(machine, 'd', 'starting')
        sender.open().send(b'READY=1')
        wait(machine, 'd', 'running')
        print(repr(b'STOPPING=1'), file=sender.pipe, flush=True)
        found = wait(machine, 'd', 'failed', '30s')
        assert found['reason'] == 'did not stop within 300 ms and was killed', found
        assert found['exit'] == {'signal': 'SIGTERM'}, found


# ---- from a root of its own

STATIC_SENDER = r'''
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (!name || name[0] != '@' || access("/usr", F_OK) == 0)
        return 2;
    strncpy(address.sun_path + 1, name + 1, sizeof address.sun_path - 2);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (sendto(fd, "READY=1\nSTATUS=from inside", 26, 0, (void *)&address, bytes) < 0)
        return 3;
    for (;;)
        pause();
}
'''


def test_a_service_in_a_root_of_its_own_reaches_its_notify_socket():
    with Machine() as machine:
        root = machine.folder / 'root'
        root.mkdir()
        source = machine.folder / 'sender.c'
        source.write_text(STATIC_SENDER, encoding='ascii')
        made = subprocess.run(['cc', '-static', '-o', root / 'sender', source], check=False,
                              capture_output=True, text=True) if shutil.which('cc') else None
        if not made or made.returncode:
            raise Skip('no static program can be made here')
        define(machine, 'd', exec='/sender', root=str(root), ready='notify', restart='never',
               watchdog='5min')
        booted(machine)
        assert wait(machine, 'd', 'running')['status_text'] == 'from inside'
        machine.kill_launcher()
        assert look(machine, 'd')['status_text'] == 'from inside'
