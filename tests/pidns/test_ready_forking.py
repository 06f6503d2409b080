"""A service that goes to the background by itself and says when it is ready: both have to be there.
Each test runs twice: followed by a cgroup, and by follow-forks."""
import os

from harness import until
from services import booted, booting, both_ways, look, wait
from test_forks import daemon, said

NOTIFY = '''
import socket
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])
'''


def gate(machine):
    path = machine.folder / 'go'
    os.mkfifo(path)
    return path


def is_waited_for(machine, reason, act, **keys):
    """That the main process is known is not enough, under the next launcher either: only once it
    acts does the service run."""
    go = gate(machine)
    daemon(machine, 'd', NOTIFY + f'fork(); print("daemon", os.getpid(), flush=True)\n'
           f'meet({str(go)!r}); {act}; signal.pause()', **keys)
    booting(machine)
    [pid] = said(machine, 'd')
    until(lambda: look(machine, 'd')['pid'] == pid, 'it is the main one')
    machine.kill_launcher()
    found = look(machine, 'd')
    assert (found['state'], found['reason'], found['pid']) == ('starting', reason, pid), found
    go.write_text('')
    assert wait(machine, 'd', 'running')['pid'] == pid


@both_ways
def test_a_known_daemon_is_waited_for_until_it_sends_ready(machine):
    is_waited_for(machine, 'waits until it sends READY=1', 'notify("READY=1")', ready='notify')


@both_ways
def test_one_that_is_ready_is_waited_for_until_its_first_process_has_ended(machine):
    go = gate(machine)
    daemon(machine, 'd', NOTIFY + 'notify("READY=1\\nSTATUS=early")\n'
           f'meet({str(go)!r}); fork(); stay()', ready='notify')
    booting(machine)
    until(lambda: look(machine, 'd')['status_text'] == 'early', 'its word has come')
    machine.kill_launcher()
    assert look(machine, 'd')['state'] == 'starting'
    go.write_text('')
    [pid] = said(machine, 'd')
    assert wait(machine, 'd', 'running')['pid'] == pid


@both_ways
def test_a_first_process_that_names_the_daemon_and_is_ready_for_it(machine):
    daemon(machine, 'd', NOTIFY + '''
pid = os.fork()
if not pid:
    stay()
notify(f'MAINPID={pid}\\nREADY=1')
''', ready='notify')
    booted(machine)
    [pid] = said(machine, 'd')
    assert wait(machine, 'd', 'running')['pid'] == pid


@both_ways
def test_a_known_daemon_is_waited_for_until_its_file_is_there(machine):
    path = machine.folder / 'ready'
    is_waited_for(machine, f'waits until {path} is made or changed',
                  f'open({str(path)!r}, "w").close()', ready={'file': str(path)})


@both_ways
def test_a_known_daemon_is_waited_for_until_its_pid_file_names_it(machine):
    path = machine.folder / 'd.pid'
    is_waited_for(machine, f'waits until its pid is in {path}', f'pid_file({str(path)!r})',
                  ready={'pid-file': str(path)})
