"""How the end of an essential service, a signal or slc ends the machine, and with which status."""
import signal

from harness import Machine, until
from services import booted, booting, define, kill, printed, shell, wait


def gated(machine, text):
    """A program that waits until the test has seen init run."""
    return shell(f'while ! test -e {machine.folder}/gate; do sleep 0.02; done; {text}')


def open_gate(machine):
    (machine.folder / 'gate').write_text('')


def test_its_exit_status_is_that_of_the_machine():
    for code in (0, 3, 42):
        with Machine() as machine:
            define(machine, 'main', exec=gated(machine, f'exit {code}'),
                   restart='never', essential=True)
            define(machine, 'other', exec='sleep 100000')
            machine.boot()
            open_gate(machine)
            assert machine.wait_end() == code
            assert 'cannot be killed' not in machine.console()


def test_a_signal_gives_128_and_its_number():
    with Machine() as machine:
        define(machine, 'main', exec='sleep 100000', restart='never', essential=True)
        booted(machine)
        wait(machine, 'main', 'running')
        kill(machine, 'main', signal.SIGUSR1)
        assert machine.wait_end() == 128 + signal.SIGUSR1


def test_a_restart_is_no_end_for_good():
    with Machine() as machine:
        define(machine, 'main', exec=gated(machine, 'exit 5'), essential=True,
               restart={'policy': 'on-failure', 'delay': '1ms', 'limit': 2})
        machine.boot()
        open_gate(machine)
        assert machine.wait_end() == 5
        assert machine.log_of('main').count('started pid') == 3, machine.log_of('main')


def test_others_are_stopped_in_order_before():
    with Machine() as machine:
        log = machine.folder / 'order'
        gate = machine.folder / 'gate'
        define(machine, 'base', exec='sleep 100000', after_stop=[shell(f'echo base >>{log}')])
        define(machine, 'top', exec='sleep 100000', needs=['base'],
               after_stop=[shell(f'echo top >>{log}')])
        define(machine, 'main', type='task', essential=True, needs=['top'], exec=shell(
            f'while ! test -e {gate}; do sleep 0.02; done; exit 9'))
        booting(machine)
        wait(machine, 'main', 'starting')
        gate.write_text('')
        assert machine.wait_end() == 9
        assert log.read_text().split() == ['top', 'base']


def test_one_that_cannot_start_ends_the_machine_with_1():
    with Machine() as machine:
        define(machine, 'first', type='task', exec=gated(machine, 'exit 0'))
        define(machine, 'main', exec='/no/such/program', essential=True, needs=['first'])
        machine.boot()
        open_gate(machine)
        assert machine.wait_end() == 1


def test_each_way_to_end_stops_services_in_order_and_gives_its_status():
    ways = [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGPWR, 0), (signal.SIGRTMIN + 3, 0),
            (signal.SIGRTMIN + 5, -signal.SIGHUP), ('poweroff', 0), ('halt', 0),
            ('reboot', -signal.SIGHUP)]
    for way, status in ways:
        with Machine() as machine:
            define(machine, 'd', exec=shell('trap "echo bye; exit 0" TERM; echo ready; '
                                            'while :; do sleep 1000 & wait $!; done'))
            booted(machine)
            until(lambda: 'ready' in printed(machine, 'd'), 'it is set up')
            if isinstance(way, str):
                assert machine.slc(way).returncode == 0
            else:
                machine.signal(way)
            assert machine.wait_end() == status, (way, machine.process.returncode)
            assert 'bye' in machine.log_of('d'), (way, machine.log_of('d'))
