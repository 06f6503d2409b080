"""run-on-pid-ns as a service: when it is ready, what it says of itself, and what the inside may say."""
import contextlib
import os
import pathlib
import signal
import socket
import time

from harness import Machine, until
from services import booting, define, kill, look, sleeps, wait
from test_run_on_pid_ns_ends import LONG, PRELUDE, PROGRAM, PYTHON, Running, init

# What says something to the socket that it finds.
SAY = '''
import socket
def tell(*messages):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        for message in messages: s.sendto(message, os.environ['NOTIFY_SOCKET'])
'''


def nested(machine, name, text, *options, **keys):
    """A service that is a run-on-pid-ns with a fake init inside."""
    command = [PROGRAM, *options, '--', PYTHON, '-ISc', PRELUDE + SAY + text]
    define(machine, name, exec=[word.replace('%', '%%') for word in command],
           **{'ready': 'notify', 'restart': 'never'} | keys)


def gate(machine, name):
    """A file that the inside waits for: open_gate() lets it go on."""
    os.mkfifo(machine.folder / name)
    return f'open({str(machine.folder / name)!r}).read()'


def open_gate(machine, name):
    (machine.folder / name).write_text('', encoding='ascii')


def shown(machine, name):
    service = look(machine, name)
    return service['state'], service['reason'], service['status_text']


# ---- under the launcher

def test_it_is_ready_when_the_command_is_executed_and_its_end_has_a_reason():
    with Machine() as machine:
        off, again, once = (gate(machine, name) for name in ('off', 'again', 'once'))
        nested(machine, 'off', f'{off}; power_off()')
        nested(machine, 'exit', f'{again}; reboot()', '--on-reboot', 'exit')
        nested(machine, 'again', f'{once}; reboot()')
        nested(machine, 'stopped', 'on(15, power_off); wait()')
        define(machine, 'missing', exec=[PROGRAM, '/does/not/exist'], ready='notify', restart='never')
        booting(machine)
        for name in ('off', 'exit', 'again', 'stopped'):
            wait(machine, name, 'running')
        found = wait(machine, 'missing', 'failed')
        assert found['reason'] == 'exited with 127', found
        for name in ('off', 'again', 'once'):
            open_gate(machine, name)
        wait(machine, 'off', 'done')
        wait(machine, 'exit', 'failed')
        assert shown(machine, 'off') == ('done', 'exited with 0: powered off', 'powered off')
        assert shown(machine, 'exit') == ('failed', 'exited with 129: rebooted', 'rebooted')
        assert 'exited with 0: powered off' in machine.slc('list', 'off').stdout
        until(lambda: look(machine, 'again')['status_text'] == 'rebooted once', 'it is told')
        pid = look(machine, 'again')['pid']
        open_gate(machine, 'once')
        until(lambda: look(machine, 'again')['status_text'] == 'rebooted 2 times', 'it is told')
        assert look(machine, 'again')['state'] == 'running' and look(machine, 'again')['pid'] == pid
        machine.slc('stop', 'again', 'stopped')
        assert shown(machine, 'stopped') == ('stopped', 'was asked to stop', 'powered off')
        machine.kill_launcher()
        assert shown(machine, 'off')[1] == 'exited with 0: powered off'


def test_kill_9_of_the_outer_one_leaves_no_process_of_its_service():
    with Machine() as machine:
        nested(machine, 'd', f'os.posix_spawn("/usr/bin/setsid", ["setsid", "sleep", "{LONG}"], os.environ); wait()')
        booting(machine)
        wait(machine, 'd', 'running')
        until(lambda: sleeps(machine, str(LONG)) == 1, 'all of it runs')
        kill(machine, 'd')
        assert wait(machine, 'd', 'failed')['reason'] == 'ended by SIGKILL'
        until(lambda: sleeps(machine, str(LONG)) == 0, 'nothing of it is left')


def test_the_inside_says_when_it_is_ready_and_what_it_does():
    with Machine() as machine:
        go, more = gate(machine, 'go'), gate(machine, 'more')
        nested(machine, 'd', f'tell(b"STATUS=Loading\\nMAINPID=1"); {go}; '
               f'tell(b"READY=1\\nSTATUS=Up\\nSTOPPING=1\\nX_SYSTEMD_UNIT_ACTIVE=x"); {more}; reboot()',
               '--private-run', '--notify')
        booting(machine)
        until(lambda: look(machine, 'd')['status_text'] == 'Loading', 'its status')
        assert look(machine, 'd')['state'] == 'starting'
        pid = look(machine, 'd')['pid']
        open_gate(machine, 'go')
        found = wait(machine, 'd', 'running')
        # Neither its main process nor that it is going away was taken from the inside.
        assert (found['pid'], found['status_text'], found['reason']) == (pid, 'Up', None), found
        open_gate(machine, 'more')
        until(lambda: look(machine, 'd')['status_text'] == 'rebooted once: Loading', 'the next run')


# ---- by hand

class Listener:
    """A notify socket of ours."""

    def __init__(self):
        self.path = pathlib.Path(os.environ['TMPDIR']) / 'notify'
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.heard = b''

    def until(self, text):
        self.socket.settimeout(60)
        while text.encode() not in self.heard:
            self.heard += self.socket.recv(65536)

    def close(self):
        self.socket.close()


@contextlib.contextmanager
def heard(*command, address=None):
    listener = Listener()
    environment = os.environ | {'NOTIFY_SOCKET': address or str(listener.path)}
    one = Running(*command, env=environment)
    try:
        yield one, listener
    finally:
        one.close()
        listener.close()


INSIDE = ('--private-run', '--notify', '--')


def test_what_the_inside_may_not_say_or_says_wrong_harms_nobody():
    text = SAY + '''
def as_user(*messages):
    if not os.fork():
        os.setgid(1234); os.setuid(1234)
        tell(*messages)
        os._exit(0)
    os.wait()
os.chmod('/run', 0o755)
as_user(b'READY=1\\nSTATUS=foreign')
tell(b'', b'\\0', b'READY', b'=', b'\\xff' * 4096, b'STATUS=' + b'x' * 4000, b'x' * 100000, b'MAINPID=77',
     b'READY=11', b'STOPPING=1', b'WATCHDOG=trigger', b'ERRNO=5', b'BUSERROR=x', b'STATUS=a\\x1b[31m')
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.connect(os.environ['NOTIFY_SOCKET'])
    reading, writing = os.pipe()
    for _ in range(20): socket.send_fds(s, [b'FDSTORE=1'], [writing] * 250)
    os.close(writing)
    say('read', os.read(reading, 1))
    s.setblocking(False)
    for number in range(100000):
        try: s.send(b'STATUS=%d' % number)
        except BlockingIOError: pass
tell(b'READY=1\\nSTATUS=last')
on(15, lambda: sys.exit(9)); wait()
'''
    with heard(*INSIDE, *init(text)) as (one, listener):
        listener.until('READY=1')
        listener.until('STATUS=last')
        assert one.until('up').signal(signal.SIGTERM).end()[0] == 9
        for word in (b'foreign', b'MAINPID', b'STOPPING', b'trigger', b'ERRNO', b'\x1b', b'FDSTORE', b'READY=11'):
            assert word not in listener.heard, word
        assert listener.heard.count(b'READY=1') == 1
        assert b"read b''" in one.output and one.output.count(b'was refused') == 1, one.output


def test_more_time_is_passed_on_and_given():
    text = SAY + ("on(15, lambda: (tell(b'EXTEND_TIMEOUT_USEC=600000000\\nWATCHDOG=1'), None)); "
                  "on(10, lambda: sys.exit(3)); wait()")
    with heard('--stop-timeout', '1s', *INSIDE, *init(text)) as (one, listener):
        one.until('up').signal(signal.SIGTERM)
        began = time.monotonic()
        listener.until('EXTEND_TIMEOUT_USEC=600000000\n')
        listener.until('WATCHDOG=1\n')
        until(lambda: time.monotonic() - began > 1.2, 'its time-out would be over')
        assert one.signal(signal.SIGUSR1).end()[0] == 3


def test_its_stopping_counts_where_its_reboot_is_our_end():
    text = SAY + "tell(b'STOPPING=1\\nSTATUS=Going'); reboot()"
    with heard('--on-reboot', 'exit', *INSIDE, *init(text)) as (one, listener):
        assert one.end()[0] == 129
        listener.until('STATUS=rebooted\n')
        assert b'STOPPING=1\n' in listener.heard and b'READY' not in listener.heard, listener.heard


def test_what_its_own_socket_says_is_not_for_the_inside_and_a_bad_one_is_told():
    with heard('sh', '-c', 'echo "<$NOTIFY_SOCKET>"') as (one, listener):
        assert '<>' in one.end()[1]
        listener.until('READY=1\n')
    for address in ('relative', '/' + 'x' * 200, '@'):
        with heard('true', address=address) as (one, _):
            status, output = one.end()
            assert status == 0 and 'NOTIFY_SOCKET is no address' in output, output
    with heard('true', address='/does/not/exist') as (one, _):
        assert one.end()[0] == 0


def test_a_command_that_is_not_executed_is_not_ready():
    for command in ('/does/not/exist', '/etc/passwd'):
        with heard(command) as (one, listener):
            assert one.end()[0] in (126, 127)
            listener.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                raise AssertionError(listener.socket.recv(65536))


def test_a_listener_that_does_not_listen_holds_nothing_up_and_hears_the_rest_later():
    text = SAY + "for i in range(3000): tell(b'STATUS=%d' % i)\ntell(b'READY=1'); on(15, lambda: sys.exit(2)); wait()"
    with heard(*INSIDE, *init(text)) as (one, listener):
        one.until('up')  # though nobody has taken anything
        listener.until('READY=1\n')
        listener.until('STATUS=2999\n')
        assert one.signal(signal.SIGTERM).end()[0] == 2


def fill(sender, path):
    """How many messages it has got rid of."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.sendto(b'other', str(path))
            count += 1
    return count


def test_last_words_are_not_waited_for_for_ever():
    gate_path = pathlib.Path(os.environ['TMPDIR']) / 'gate'
    os.mkfifo(gate_path)
    with heard(*init(f'open({str(gate_path)!r}).read(); power_off()')) as (one, listener):
        listener.until('READY=1\n')
        with contextlib.ExitStack() as others:
            filled = 0
            while filled < 2:  # one may be refused for its own sake
                other = others.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                other.setblocking(False)
                filled = 0 if fill(other, listener.path) else filled + 1
            began = time.monotonic()
            gate_path.write_text('', encoding='ascii')
            assert one.end()[0] == 0
        assert time.monotonic() - began >= 1
