"""The control socket of the real launcher, spoken to by hand: the documented protocol, and clients
that do harm while others are served."""
import contextlib
import json
import pathlib
import resource
import shutil
import socket
import subprocess
import time

from harness import INTERFACE, ROOT, Client, Machine, Skip

MEMORY_KIB = 40 * 1024  # what all of the attacks together may cost the launcher, in the ASan build


@contextlib.contextmanager
def shared():
    with Machine() as machine:
        for i in range(20):
            machine.service(f's{i:02}', 'exec: sleep 100000')
        machine.service('off', 'exec: sleep 100000\nenabled: no')
        machine.boot()
        machine.wait_booted()
        yield machine


def memory_kib(machine):
    pid = machine.pid_of('service-launcher')
    for line in pathlib.Path(f'/proc/{pid}/status').read_text(encoding='ascii').splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1])
    raise AssertionError('no VmRSS')


@contextlib.contextmanager
def unharmed(machine):
    """Afterwards the same launcher serves others, and has not grown beyond reason."""
    launcher, before = machine.pid_of('service-launcher'), memory_kib(machine)
    yield
    assert machine.pid_of('service-launcher') == launcher, 'the launcher is another one'
    with Client(machine) as client:
        assert len(client.ask('List')['parameters']['services']) == 21
    grown = memory_kib(machine) - before
    assert grown < MEMORY_KIB, f'the launcher has grown by {grown} KiB'


def test_the_documented_commands_of_netcat_work(machine):
    if not shutil.which('nc'):
        raise Skip('there is no nc here')
    page = (ROOT / 'docs/control.md').read_text(encoding='utf-8')
    block = page.split('```sh\n')[1].split('```')[0].splitlines()
    outputs = []
    for line in block:
        command = line.replace('/run/conit', str(machine.runtime)).replace('"web"', '"s01"')
        result = subprocess.run(['/bin/sh', '-c', command], capture_output=True, timeout=60,
                                check=False)
        if b'invalid option' in result.stderr or b'usage' in result.stderr.lower():
            raise Skip('this nc has no -N or -U')
        outputs.append(json.loads(result.stdout.rstrip(b'\0\n')))
    assert len(outputs[0]['parameters']['services']) == 21, outputs[0]
    assert outputs[1]['parameters']['results'][0]['outcome'] == 'already', outputs[1]


def test_the_launcher_describes_itself(machine):
    with Client(machine) as client:
        info = client.ask('org.varlink.service.GetInfo')['parameters']
        assert info['interfaces'] == ['org.varlink.service', 'org.conit.Launcher'], info
        text = client.ask('org.varlink.service.GetInterfaceDescription',
                          interface='org.conit.Launcher')['parameters']['description']
        source = ROOT / 'src/protocol/org.conit.Launcher.varlink'
        assert text == source.read_text(encoding='utf-8')
        facts = client.ask('Describe')['parameters']
        assert facts['runtime'] == str(machine.runtime) and facts['logs'] == str(machine.logs)
        assert facts['services'] == 21 and facts['shutting_down'] is None, facts
        assert facts['version'] == info['version'] and facts['pid'] > 1


def test_a_start_with_more_streams_what_it_waits_for(machine):
    with Client(machine) as client:
        client.send('Start', {'more': True}, names=['off'])
        replies = [client.receive()]
        while replies[-1].get('continues'):
            replies.append(client.receive())
        [result] = replies[-1]['parameters']['results']
        assert (result['name'], result['state']) == ('off', 'running'), replies
        assert client.ask('Stop', names=['off'])['parameters']['results'][0]['outcome'] == 'done'


def test_a_monitor_sees_a_service_start_and_stop(machine):
    with Client(machine) as monitor, Client(machine) as client:
        monitor.send('Monitor', {'more': True}, patterns=['off'], initial=True)
        assert monitor.receive()['parameters']['event']['state'] == 'stopped'
        client.ask('Start', names=['off'])
        client.ask('Stop', names=['off'])
        states = []
        while 'stopped' not in states:
            states.append(monitor.receive()['parameters']['event']['state'])
        assert states == ['starting', 'running', 'stopping', 'stopped'], states


def test_wrong_calls_get_the_standard_errors_and_the_connection_lives_on(machine):
    with Client(machine) as client:
        for method, parameters, error in (
                ('Nix', {}, 'org.varlink.service.MethodNotFound'),
                ('a.b.C', {}, 'org.varlink.service.InterfaceNotFound'),
                ('Start', {}, 'org.varlink.service.InvalidParameter'),
                ('List', {'pattern': []}, 'org.varlink.service.InvalidParameter'),
                ('Monitor', {}, 'org.varlink.service.ExpectedMore'),
                ('Status', {'names': ['s0']}, INTERFACE + 'NoSuchService')):
            reply = client.ask(method, **parameters)
            assert reply['error'] == error, (method, reply)
        assert client.ask('List', patterns=['s00'])['parameters']['services'][0]['name'] == 's00'


def test_half_a_message_and_a_client_that_does_not_read_hold_up_nobody(machine):
    with unharmed(machine), Client(machine) as half, Client(machine) as deaf:
        half.socket.sendall(b'{"method":"org.conit.')
        deaf.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 200 << 20:
                sent += deaf.socket.send(b'{"method":"org.conit.Launcher.List"}\0' * 1000)
        assert sent < 200 << 20, 'it was read from for ever'
        half.socket.sendall(b'Launcher.List"}\0')
        assert len(half.receive()['parameters']['services']) == 21


def test_rubbish_is_answered_and_hung_up_on(machine):
    with unharmed(machine):
        for rubbish in (b'\x7fELF\x02\x01\x01\0', b'GET / HTTP/1.0\r\n\r\n\0', b'[]\0', b'\0',
                        bytes(range(255, 0, -1)) + b'\0', b'{"method":"x","parameters":3}\0',
                        b'[' * 100000 + b'\0', b'{"a":' * 15000 + b'\0'):
            with Client(machine) as client:
                client.socket.sendall(rubbish)
                reply = client.receive()
                assert reply and reply['error'] == INTERFACE + 'BadMessage', (rubbish[:20], reply)
                assert client.receive() is None


def test_a_hundred_megabytes_without_an_end_are_refused(machine):
    with unharmed(machine), Client(machine) as client:
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100 << 20:
                client.socket.sendall(b'x' * (1 << 20))
                sent += 1 << 20
        assert sent < 10 << 20, sent
        assert client.receive()['error'] == INTERFACE + 'BadMessage'


def test_a_thousand_connections_at_once_leave_others_served(machine):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with unharmed(machine), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(machine)) for _ in range(1000)]
            for client in clients[:300]:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.socket.sendall(b'{"half')
            for _ in range(20):
                assert machine.slc('list').returncode == 0
            assert len(clients[-1].ask('List')['parameters']['services']) == 21
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_sent_along_are_closed(machine):
    launcher = machine.pid_of('service-launcher')
    count = lambda: len(list(pathlib.Path(f'/proc/{launcher}/fd').iterdir()))
    with unharmed(machine):
        machine.quiet()
        before = count()
        for _ in range(20):
            with Client(machine) as client, open('/dev/null', 'rb') as null:
                socket.send_fds(client.socket, [b'{"method":"org.conit.Launcher.Describe"}\0'],
                                [null.fileno()] * 100)
                assert client.receive()['parameters']['pid']
        machine.quiet()
        assert count() <= before, (count(), before)


def test_a_client_that_is_served_while_others_do_harm_waits_no_second(machine):
    """All attacks at once, and every request in between is answered soon."""
    with unharmed(machine), contextlib.ExitStack() as stack:
        for i in range(60):
            client = stack.enter_context(Client(machine))
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                if i % 3 == 0:
                    client.socket.send(b'x' * 500000)
                elif i % 3 == 1:
                    client.socket.send(b'{"method":"org.conit.Launcher.List"}\0' * 5000)
                else:
                    client.socket.send(b'{"method":"org.conit.Launcher.Monitor","more":true}\0')
        for _ in range(10):
            began = time.monotonic()
            with Client(machine) as client:
                assert client.ask('Start', names=['s05'])['parameters']['results']
            assert time.monotonic() - began < 5
