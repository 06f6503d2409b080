"""Single faults, each provoked on purpose: hooks that hang or overlap, a service that leaves its
cgroup, too few descriptors for a new launcher, a file removed before a kill."""
import contextlib
import json
import os
import signal
import socket
import struct

from harness import Machine, Skip, children_of, hold, open_fds, until
from services import PYTHON, define, events, kill, look, wait, words


def lines_of(path):
    return path.read_text(encoding='ascii').split() if path.exists() else []


def test_a_hook_after_the_stop_that_hangs_does_not_keep_the_next_stop_from_ending():
    with Machine() as machine:
        machine.service('hung', 'exec: sleep 100000\nafter-stop: sleep 100000\n'
                        'stop: {timeout: 200ms}')
        machine.boot().wait_booted()
        for _ in range(3):
            machine.slc('stop', 'hung')
            machine.slc('start', 'hung')
        machine.kill_launcher()
        machine.slc('stop', 'hung')
        until(lambda: len(machine.children()) == 2, 'no hook is left')


def test_a_hook_of_the_start_that_is_cut_off_does_not_meet_one_of_the_stop():
    with Machine() as machine:
        notes = machine.folder / 'notes'
        machine.service('both', f"""
exec: sleep 100000
after-start: [[/bin/sh, -c, 'echo up >>{notes}; exec sleep 100000']]
before-stop: [[/bin/sh, -c, 'echo leave >>{notes}']]
after-stop: [[/bin/sh, -c, 'echo down >>{notes}']]""")
        machine.boot()
        for i in range(1, 6):
            until(lambda: len(lines_of(notes)) == 3 * i - 2, 'the hook of the start runs')  # pylint: disable=cell-var-from-loop
            machine.slc('restart', '--no-wait', 'both')
        until(lambda: lines_of(notes).count('up') == 6, 'it is up again')
        assert lines_of(notes) == ['up', 'leave', 'down'] * 5 + ['up'], lines_of(notes)
        launcher = machine.wait_pid_of('service-launcher')
        assert len(children_of(launcher)) == 2, children_of(launcher)  # the main process, the hook
        assert 'A bug' not in machine.console()


def test_a_service_that_left_its_cgroup_and_is_deaf_is_killed():
    with Machine() as machine:
        if not machine.cgroup.folder:
            raise Skip('needs a writable cgroup v2')
        marker = machine.folder / 'left'
        machine.service('fugitive', f"""
script: |
  trap '' TERM
  echo 0 >{machine.cgroup.folder}/cgroup.procs
  : >{marker}
  while :; do read never <{machine.folder}/fifo; done
stop: {{timeout: 200ms}}""")
        os.mkfifo(machine.folder / 'fifo')
        machine.boot()
        until(marker.exists, 'it has left')
        machine.slc('stop', 'fugitive')
        until(lambda: len(machine.children()) == 2 and
              not children_of(machine.wait_pid_of('service-launcher')), 'it is gone')


def listed(machine):
    """The list; a launcher that is short of descriptors may have none for a client at first."""
    found = []

    def ask():
        answer = machine.slc('--json', 'list', check=False)
        found[:] = json.loads(answer.stdout) if answer.returncode == 0 else []
        return found
    return until(ask, 'the launcher answers')


def test_a_new_launcher_without_descriptors_keeps_what_runs_and_sees_it_end():
    """It needs more of them while it takes up what runs than the old one had."""
    with Machine(before='ulimit -n 64') as machine:
        for i in range(14):
            machine.service(f's{i:02}', 'exec: sleep 100000')
        machine.boot().wait_booted()
        before = {s['name']: s['pid'] for s in listed(machine) if s['state'] == 'running'}
        assert before
        for _ in range(3):
            old = machine.wait_pid_of('service-launcher')
            os.kill(old, signal.SIGKILL)
            machine.wait_pid_of('service-launcher', old)
            now = {s['name']: s['pid'] for s in listed(machine) if s['name'] in before}
            assert now == before, (before, now)
        for pid, (name, _, _) in machine.children().items():
            if name == 'sleep':
                os.kill(pid, signal.SIGKILL)
        until(lambda: all(s['pid'] != before.get(s['name'], 0) for s in listed(machine)),
              'each end is seen')


def test_a_service_whose_file_went_before_a_kill_is_forgotten_after_it():
    with Machine() as machine:
        machine.service('gone', 'exec: sleep 100000')
        machine.boot().wait_booted()
        (machine.services / 'gone.yml').unlink()
        machine.slc('reload')
        machine.kill_launcher()
        assert machine.state_of('gone') == 'running'
        machine.slc('stop', 'gone')
        until(lambda: machine.state_of('gone') is None, 'it is forgotten')


def test_without_dev_null_services_start_and_read_nothing():
    with Machine(before='mount -t tmpfs none /dev') as machine:
        machine.service('reader', f'type: task\nscript: wc -c >{machine.folder}/count')
        machine.boot()
        until(lambda: lines_of(machine.folder / 'count') == ['0'], 'it has read to the end')


def test_the_control_socket_is_made_once_its_place_is_free():
    with Machine() as machine:
        machine.service('plain', 'exec: sleep 100000')
        (machine.runtime / 'control').mkdir()
        machine.boot().wait_console('Cannot make the control socket')
        (machine.runtime / 'control').rmdir()
        machine.wait_console('The control socket is there now')
        machine.wait_state('plain', 'running')


def test_a_mended_service_that_was_stopped_says_that_and_not_that_it_is_broken():
    with Machine() as machine:
        machine.service('mended', 'exce: sleep 100000')
        machine.boot().wait_booted()
        machine.slc('stop', 'mended')
        machine.service('mended', 'exec: sleep 100000')
        machine.slc('reload')
        service, = machine.json('list')
        assert (service['state'], service['reason']) == ('stopped', 'was asked to stop'), service


# ---- what others send along

def lingering():
    """A TCP connection whose last close waits ten minutes for a peer that reads nothing; and what
    keeps the peer."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(1)
        sender = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 600))
    sender.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.send(b'x' * 65536)
    return sender, peer


def within(inner):
    """One end of a socket pair, in which that descriptor waits to be read."""
    ours, theirs = socket.socketpair()
    socket.send_fds(theirs, [b'x'], [inner.fileno()])
    theirs.close()
    inner.close()
    return ours


@contextlib.contextmanager
def stopped(pid):
    """What is closed meanwhile is only held by what waits for that process."""
    hold(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def start(machine):
    machine.boot()
    machine.wait_answer()
    return machine.wait_pid_of('service-launcher')


def test_a_descriptor_whose_close_waits_holds_nobody_up_when_it_comes_with_a_message():
    with Machine() as machine, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        define(machine, 'd', exec='sleep 100000', ready='notify')
        define(machine, 'other', exec='sleep 100000')
        launcher = start(machine)
        wait(machine, 'd', 'starting')
        sender.connect(str(machine.runtime / 'notify' / 'd'))
        peers = []
        with stopped(launcher):
            for wrap in (lambda one: one, within, lambda one: within(within(one))):
                sending, peer = lingering()
                peers.append(peer)
                wrapped = wrap(sending)
                socket.send_fds(sender, [b'STATUS=x'], [wrapped.fileno()])
                wrapped.close()
        reading, writing = os.pipe()  # a barrier behind those that are held up
        socket.send_fds(sender, [b'BARRIER=1\nREADY=1'], [writing])
        os.close(writing)
        assert os.read(reading, 1) == b''
        os.close(reading)
        wait(machine, 'd', 'running')
        assert machine.wait_pid_of('service-launcher') == launcher
        machine.slc('stop', 'd', 'other')
        assert {look(machine, name)['state'] for name in ('d', 'other')} == {'stopped'}
        for peer in peers:
            peer.close()


def test_a_descriptor_whose_close_waits_holds_nobody_up_when_a_client_sends_it():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000')
        launcher = start(machine)
        wait(machine, 'd', 'running')
        call = b'{"method":"org.varlink.service.GetInfo"}\0'
        peers = []
        with stopped(launcher):
            for text in (call, call * 1000, b'{'):  # answered; read in parts; never whole
                sending, peer = lingering()
                peers.append(peer)
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(machine.runtime / 'control'))
                    socket.send_fds(client, [text], [sending.fileno()])
                    sending.close()
        machine.slc('stop', 'd')
        assert look(machine, 'd')['state'] == 'stopped'
        for peer in peers:
            peer.close()


# ---- what a service says of itself, again and again

SWINGS = '''
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
children = [os.getpid()]
for _ in range(3):
    child = os.fork()
    if child == 0:
        time.sleep(100000)
    children.append(child)
for turn in range(2000):
    for pid in children + [1, 2, 2 ** 22 - 1]:
        s.send(b'MAINPID=%d' % pid)
s.send(b'MAINPID=%d' % children[1])
s.send(b'READY=1')
time.sleep(100000)
'''


def test_a_main_process_that_swings_costs_no_descriptors_and_fills_no_journal():
    with Machine() as machine:
        define(machine, 'd', exec=words(PYTHON, '-IS', '-c', SWINGS), ready='notify',
               restart='never')
        start(machine)
        wait(machine, 'd', 'running', '60s')
        launcher = machine.wait_pid_of('service-launcher')
        assert len(open_fds(launcher)) < 200
        said = [line for line in events(machine, 'd') if 'MAINPID' in line]
        assert 0 < len(said) <= 3, said
        kill(machine, 'd', signal.SIGTERM)  # it was the main one before, too: its end is told
        assert 'TERM' in wait(machine, 'd', 'failed')['reason']


def test_a_pid_file_that_swings_fills_no_journal():
    with Machine() as machine:
        path = machine.folder / 'pid'
        code = (f'import os\nfor i in range(100):\n'
                f'  for text in ("x", "{2 ** 22 - 1}", "-1", "1", ""):\n'
                f'    open("{path}.new", "w").write(text)\n'
                f'    os.rename("{path}.new", "{path}")\n'
                f'open("{path}", "w").write(str(os.getpid()))\n'
                f'import time\ntime.sleep(100000)\n')
        define(machine, 'd', exec=words(PYTHON, '-IS', '-c', code), ready={'pid-file': str(path)})
        start(machine)
        wait(machine, 'd', 'running', '60s')
        said = [line for line in events(machine, 'd') if str(path) in line]
        assert 0 < len(said) <= 5, said
