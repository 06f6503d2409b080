"""Upgrades of init between builds whose records have another layout and version, there and back; and to one
that cannot go on, from which the former init takes over again."""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess

from harness import ROOT, Skip, open_fds, until
from init_faults import BUILD_INIT, HEAD, NO_FILES, anew, ended, fakes, record_path, rows_of
from test_init_upgrade import result

INIT = 1
VARIANT = ROOT / 'build/variant/src/init'
TIMEOUT = 240


def variant(name):
    """init: its fields are elsewhere, some longer, and it has a version of its own. init-later: an init of the
    usual version does not know its record."""
    file = VARIANT / name
    if not file.exists():
        raise Skip(f'{file} is not there: make variant')
    return file


def replace(machine, file):
    new = machine.programs / 'init.new'
    shutil.copy2(file, new)
    new.rename(machine.programs / 'init')


def head(machine):
    """(version, the oldest that can go on from it, fields)"""
    with open(record_path(machine), 'rb', buffering=0) as record:
        text = record.read(4096)
    return HEAD.unpack_from(text)[1:3] + (rows_of(text),)


def is_the_file(machine):
    return os.stat(f'/proc/{machine.pid}/exe').st_ino == os.stat(machine.programs / 'init').st_ino


def boot(machine):
    """With something in every part of the record that outlives an upgrade."""
    machine.boot()
    launcher, journal = machine.launcher.start_ready(), machine.journal.start_ready()
    launcher.store([0, 17, 131072, 393183])
    journal.store([8, 17], owner=3)
    journal.sync()
    launcher.sync()
    return launcher, journal


def kinds(fds):
    return sorted(re.sub(r'\d+', '', name.rsplit('/', 1)[-1].replace(' (deleted)', '')) for name in fds.values())


def check_goes_on(machine, launcher, journal, fds, keys):
    now = open_fds(machine.pid)
    assert kinds(now) == kinds(fds), (fds, now)
    assert machine.pid_of('service-journal') == journal.pid
    launcher.do('orphans', count=3)
    launcher.wait('SPAWNED')
    assert {status for _, status in ended(launcher, 3)} == {3 << 8}
    launcher.kill()
    launcher = machine.launcher.start_ready()
    assert set(launcher.held()) == keys
    launcher.sync()
    return launcher


def test_all_that_init_keeps_is_the_same_under_an_init_of_another_version_and_back():
    other = variant('init')
    keys = {0, 8, 17, 131072, 393183}
    with fakes() as machine:
        launcher, journal = boot(machine)
        fds, base = open_fds(machine.pid), head(machine)
        command = pathlib.Path(f'/proc/{machine.pid}/cmdline').read_bytes().rstrip(b'\0')
        for number in range(1, 5):
            launcher.do('silent')  # so that these are still to be told by the next one
            launcher.wait('SILENT')
            launcher.do('orphans', count=7)
            told = ended(launcher, 7)
            replace(machine, other if number % 2 else BUILD_INIT)
            launcher.send('UPGRADE', argument=INIT)
            assert result(launcher) == (INIT, 0, '')
            assert is_the_file(machine)
            version, reader, rows = head(machine)
            assert (version, reader) == ((2, 1) if number % 2 else (1, 1))
            assert (rows == base[2]) == (number % 2 == 0)
            assert pathlib.Path(f'/proc/{machine.pid}/cmdline').read_bytes().rstrip(b'\0') == command
            launcher.kill()
            launcher = machine.launcher.start_ready()
            assert sorted(ended(launcher, 7)) == sorted(told)
            assert set(launcher.held()) == keys
            launcher.sync()
            launcher = check_goes_on(machine, launcher, journal, fds, keys)
            machine.signal(signal.SIGSEGV)  # it goes on from its own record as ever
            until(lambda: anew(machine) == number, 'it is executed anew')  # pylint: disable=cell-var-from-loop
            launcher.sync()
            assert is_the_file(machine)
        assert 'left out' not in machine.console()


def test_a_record_of_a_later_version_is_refused_by_an_init_that_does_not_know_it_with_the_reason():
    with fakes() as machine:
        launcher, journal = boot(machine)
        fds = open_fds(machine.pid)
        replace(machine, variant('init-later'))
        launcher.send('UPGRADE', argument=INIT)
        assert result(launcher) == (INIT, 0, '')
        assert head(machine)[:2] == (3, 2)
        running = os.stat(f'/proc/{machine.pid}/exe').st_ino
        replace(machine, BUILD_INIT)
        launcher.send('UPGRADE', argument=INIT)
        assert result(launcher) == (0, INIT, "init: it cannot go on from init's record: its version 3 needs an "
                                             'init that knows version 2, and this one knows 1\n')
        assert os.stat(f'/proc/{machine.pid}/exe').st_ino == running
        check_goes_on(machine, launcher, journal, fds, {0, 8, 17, 131072, 393183})


def falls_back(machine, file, why, faults):
    launcher, journal = boot(machine)
    fds, former = open_fds(machine.pid), os.stat(f'/proc/{machine.pid}/exe').st_ino
    limit = resource.prlimit(machine.pid, resource.RLIMIT_NOFILE)
    replace(machine, file)
    launcher.send('UPGRADE', argument=INIT)
    done, failed, text = result(launcher)
    resource.prlimit(machine.pid, resource.RLIMIT_NOFILE, limit)
    assert (done, failed) == (0, INIT) and re.fullmatch(f'init: {why}\n', text), text
    assert os.stat(f'/proc/{machine.pid}/exe').st_ino == former
    assert head(machine)[0] == 1
    until(lambda: anew(machine) == faults, 'the console has said how often it was executed anew')
    assert 'only reaps' not in machine.console()
    if not faults:  # now that it may have more descriptors its console has one of its own again
        machine.signal(signal.SIGSEGV)
        until(lambda: anew(machine) == 1, 'it is executed anew')
        launcher.sync()
    launcher = check_goes_on(machine, launcher, journal, fds, {0, 8, 17, 131072, 393183})
    replace(machine, variant('init'))
    launcher.send('UPGRADE', argument=INIT)
    assert result(launcher) == (INIT, 0, '')


def test_a_new_init_that_has_a_fault_before_its_loop_is_replaced_by_one_that_cannot_read_what_it_has_written():
    for name in ('init', 'init-later'):
        for point in ('again', 'resumed'):
            with fakes(environment={'CONIT_CRASH': f'{point}:SEGV'}) as machine:
                falls_back(machine, variant(name), 'it had a fault while it took over', 1)


# Passes a trial; executed, it has no descriptor left for a record of its own.
POOR = r"""
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc > 3 && strcmp(argv[1], "--try-state") == 0)
        return puts(argv[3]) < 0;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = 17;
    setrlimit(RLIMIT_NOFILE, &files);
    execv("VARIANT", argv);
    return 1;
}
"""


def test_a_new_init_that_cannot_go_on_from_the_record_after_all_gives_way_to_the_former_one():
    with fakes() as machine:
        (machine.folder / 'poor.c').write_text(POOR.replace('VARIANT', str(variant('init'))))
        subprocess.run(['cc', '-o', 'poor', '-static', 'poor.c'], cwd=machine.folder, check=True)
        falls_back(machine, machine.folder / 'poor', f'no memory for a record: {NO_FILES}', 0)
