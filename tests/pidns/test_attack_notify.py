"""What a service may send to its notify socket that is no message, or one that it should not send."""
import os

from harness import Machine, open_fds, until
from services import PYTHON, define, events, look, printed, wait, words

# Tries everything but READY=1, then says so; READY=1 comes when somebody opens the FIFO.
SENDS = r'''
import os, socket, sys
other, gate = int(sys.argv[1]), sys.argv[2]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
def send(*messages):
    for message in messages:
        try:
            s.send(message)
        except OSError as error:
            print(message[:20], error.strerror, flush=True)
send(*[b'MAINPID=' + value for value in (
    b'1', b'0', b'-1', b'', b' 5', b'5x', b'2147483648', b'99999999999999999999',
    b'%d' % os.getppid(), b'%d' % other, b'%d\nMAINPID=1' % os.getpid())])
for key in (b'EXTEND_TIMEOUT_USEC=', b'WATCHDOG_USEC='):
    send(*[key + value for value in (b'', b'-1', b'x', b'1e9', b'18446744073709551615',
                                     b'18446744073709551616', b'9' * 100)])
send(b'', b'\n\n\n', b'=', b'=x', b'READY=11', b'ready=1', b' READY=1', b'READY', b'x' * 100000,
     b'\xff' * 4000, b'FDSTORE=1\nFDNAME=x', b'FDSTOREREMOVE=1', b'ERRNO=' + b'9' * 30,
     b'\n'.join(b'STATUS=%d' % i for i in range(400)))
for message in (b'BARRIER=1', b'FDSTORE=1\nBARRIER=1'):
    ours, theirs = os.pipe()
    many = [os.dup(theirs) for _ in range(250)]
    socket.send_fds(s, [message], many)
    for fd in (*many, theirs):
        os.close(fd)
    assert os.read(ours, 1) == b''
for number in range(20000):
    s.send(b'STATUS=%d' % number)
print('all sent', flush=True)
open(gate).read()
send(b'READY=1')
os.execv('/bin/sleep', ['sleep', '100000'])
'''


def test_nothing_that_a_service_sends_makes_it_ready_or_harms_another():
    with Machine() as machine:
        gate = machine.folder / 'gate'
        os.mkfifo(gate)
        define(machine, 'other', exec='sleep 100000', restart='never')
        machine.boot().wait_booted()
        other = look(machine, 'other')['pid']
        launcher = machine.wait_pid_of('service-launcher')
        define(machine, 'd', exec=words(PYTHON, '-ISc', SENDS, str(other), str(gate)),
               ready='notify', restart='never')
        machine.slc('reload', '--no-start')
        before = len(open_fds(launcher))
        machine.slc('start', '--no-wait', 'd')
        until(lambda: printed(machine, 'd').endswith('all sent\n'), 'it has sent everything')
        found = look(machine, 'd')
        assert found['state'] == 'starting', found
        assert found['processes'][0] == found['pid'], found
        assert len([line for line in events(machine, 'd') if 'MAINPID' in line]) <= 3
        gate.write_text('')
        wait(machine, 'd', 'running')
        machine.slc('stop', 'd')
        until(lambda: len(open_fds(launcher)) <= before, 'nothing stays open')
        assert look(machine, 'other')['pid'] == other
        assert machine.wait_pid_of('service-launcher') == launcher
