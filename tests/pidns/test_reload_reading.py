"""The files are read beside the launcher: a folder that hangs keeps nobody waiting but the reload."""
import contextlib
import os
import signal
import subprocess

from hang import HungFolder
from harness import BUILD, Machine, children_of, open_fds, until
from services import booted, define, look, wait


class Reloading:
    """slc reload, under way."""

    def __init__(self, machine, *arguments):
        self.process = subprocess.Popen(
            [str(BUILD / 'slc'), '--runtime', str(machine.runtime), 'reload', *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def end(self):
        """(exit status, stdout, stderr)"""
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output, errors


@contextlib.contextmanager
def machine_with_second_folder():
    with Machine() as machine:
        folder = machine.folder / 'second'
        folder.mkdir()
        machine.arguments += ['--services', str(folder)]
        define(machine, 'd', exec='sleep 100000')
        booted(machine)
        yield machine, folder


def readers(machine):
    launcher = machine.wait_pid_of('service-launcher')
    return [pid for pid, (name, _, _) in children_of(launcher).items() if name == 'read-services']


def wait_reading(machine):
    return until(lambda: readers(machine), 'the files are being read')[0]


def test_a_folder_that_hangs_is_named_and_stops_nobody():
    with machine_with_second_folder() as (machine, folder):
        with HungFolder(machine, folder), Reloading(machine) as reloading:
            reader = wait_reading(machine)
            machine.slc('restart', 'd')
            machine.slc('list')
            assert readers(machine) == [reader]
            status, output, errors = reloading.end()
            assert status == 1 and not output, output
            assert f'reading {folder} hangs: nothing came for 10 s' in errors, errors
            machine.wait_console(f'reading {folder} hangs')
            until(lambda: not readers(machine), 'what hung was ended')
        assert machine.slc('reload').stdout == '1 unchanged\n'


def test_a_reload_that_comes_while_files_are_read_gets_a_reading_of_its_own():
    with machine_with_second_folder() as (machine, folder):
        with HungFolder(machine, folder) as hung:
            define(machine, 'first', exec='sleep 100000')
            others = clients(machine)
            with Reloading(machine) as one:
                hung.wait_asked()
                # The first folder has been listed already: the reading does not see this any more.
                define(machine, 'second', exec='sleep 100000')
                with Reloading(machine) as two, Reloading(machine, '--dry-run') as three:
                    until(lambda: clients(machine) == others + 3, 'all have asked')
                    hung.release()
                    results = [reloading.end() for reloading in (one, two, three)]
        assert 'new      first\n' in results[0][1] and 'second' not in results[0][1], results
        assert 'first' not in results[1][1] + results[2][1], results
        # Of the two that share a reading one came first, and put the file in force.
        assert 'new      second\n' in results[1][1], results
        wait(machine, 'second', 'running')


def clients(machine):
    """How many sockets the launcher has open: those of clients, and some more of its own."""
    targets = open_fds(machine.wait_pid_of('service-launcher')).values()
    return sum(target.startswith('socket:') for target in targets)


def test_a_reload_goes_on_without_its_client_but_not_a_dry_one():
    with machine_with_second_folder() as (machine, folder):
        with HungFolder(machine, folder) as hung:
            define(machine, 'new', exec='sleep 100000')
            with Reloading(machine):
                wait_reading(machine)
            hung.release()
            wait_listed(machine, 'new')
        with HungFolder(machine, folder) as hung:
            define(machine, 'never', exec='sleep 100000')
            with Reloading(machine, '--dry-run'):
                wait_reading(machine)
            hung.release()
            until(lambda: not readers(machine), 'the reading is over')
        assert machine.state_of('never') is None
        machine.slc('reload')
        assert look(machine, 'never')['state'] in ('running', 'starting')


def wait_listed(machine, name):
    return until(lambda: machine.state_of(name) == 'running', f'{name} runs')


def test_a_client_asks_again_when_the_launcher_is_killed_while_it_reads():
    with machine_with_second_folder() as (machine, folder):
        pid = look(machine, 'd')['pid']
        define(machine, 'new', exec='sleep 100000')
        with HungFolder(machine, folder) as hung, Reloading(machine) as reloading:
            first = wait_reading(machine)
            machine.kill_launcher()
            until(lambda: first not in children_of(machine.pid), 'the reader went with it')
            assert wait_reading(machine) != first
            hung.release()
            status, output, errors = reloading.end()
            assert 'new      new\n' in output, (output, errors)
        assert look(machine, 'd')['pid'] == pid


def test_a_reader_that_is_killed_is_told_and_changes_nothing():
    with machine_with_second_folder() as (machine, folder):
        define(machine, 'new', exec='sleep 100000')
        with HungFolder(machine, folder), Reloading(machine) as reloading:
            os.kill(wait_reading(machine), signal.SIGKILL)
            status, _, errors = reloading.end()
            assert status == 1 and 'was ended by signal 9' in errors, errors
        assert machine.state_of('new') is None
        assert machine.slc('reload').returncode == 0
        wait(machine, 'new', 'running')
