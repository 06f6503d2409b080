"""The power goes while services print: what is in their journals afterwards.

QEMU is killed, so the machine loses what its kernel had not written yet, as a machine without power
does; what it had given to its disk is in the disk's file."""
import os
import random
import re
import subprocess
import tempfile
import time

import booting
import machine as machines

TIMEOUT = 900  # where this machine is busy; no cut is begun after
ENOUGH = 150  # seconds
CUTS = 4
LOGS = '/var/log/conit'
# Each run of a service has numbers of its own, that begin at 1 and have no gap.
PRINT = ('  run=$(cat /proc/sys/kernel/random/uuid) n=0\n'
         '  while :; do n=$((n + 1)); echo "{before}run=$run n=$n"; {after} done\n')
FILES = {
    # A new file every 2,000 lines or so, all of them kept.
    '/etc/yml-services/flood.yml':
        'log: {max-size: 128K, keep: 1000}\nscript: |\n' +
        PRINT.format(before='', after='[ $((n %% 200)) != 0 ] || usleep 20000;'),
    '/etc/yml-services/slow.yml':
        'script: |\n' + PRINT.format(before='', after='usleep 50000;'),
    '/etc/yml-services/errors.yml':
        'script: |\n' + PRINT.format(before='<3>', after='usleep 50000;'),
    # Says on the console what has to be on the disk by then.
    '/etc/yml-services/marks.yml':
        'console: yes\nscript: |\n'
        '  run=$(cat /proc/sys/kernel/random/uuid) n=0\n'
        '  while :; do\n'
        '    n=$((n + 1)); echo "<3>run=$run n=$n"; sleep 4\n'
        '    echo "<3>settled run=$run n=$n"; usleep 10000\n'
        '  done\n',
}
ENTRY = re.compile(rb'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([+-]?)([a-z]+) (.*)')
NUMBERED = re.compile(r'run=(\S+) n=(\d+)$')


def journals(disk):
    """{service: folder on this machine} of a disk whose machine lost its power."""
    folder = tempfile.mkdtemp(prefix='cut.')
    copy = os.path.join(folder, 'disk')
    environment = {**os.environ, 'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
    subprocess.run(['cp', '--sparse=always', disk, copy], check=True)
    # What the file system's own journal has: the next boot would do the same.
    result = subprocess.run(['e2fsck', '-f', '-y', copy], capture_output=True, text=True,
                            check=False, env=environment)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    subprocess.run(['debugfs', '-R', f'rdump {LOGS} {folder}', copy], capture_output=True,
                   check=True, env=environment)
    os.unlink(copy)
    top = os.path.join(folder, os.path.basename(LOGS))
    names = os.listdir(top) if os.path.exists(top) else []
    return {name: os.path.join(top, name) for name in names}


def lines_of(data, what, may_be_torn):
    """The entries of one file. Only the last may be torn, and only in `current`."""
    lines = data.split(b'\n')
    last = lines.pop()  # in `current` zeros may follow: the next journal takes them away
    assert not last or may_be_torn, f'{what} ends in the middle of a line: {last!r}'
    for line in lines:
        # Where the power went in the middle of a line there is one that stops there.
        match = ENTRY.fullmatch(line)
        if match:
            yield match.group(2).decode(), match.group(4).decode()
        else:
            assert len(line) < 200 and b'\0' not in line, f'{what}: {line!r}'
            yield '', None


def read_journal(folder):
    """All entries, oldest first; asserts that each sealed file is whole."""
    sealed = {}
    for leaf in sorted(os.listdir(folder)):
        if leaf == 'current' or leaf.endswith('.tmp'):
            continue
        path = os.path.join(folder, leaf)
        with open(path, 'rb') as file:
            data = file.read()
        if leaf.endswith('.zst'):
            data = subprocess.run(['zstd', '-q', '-d', '-c', path], capture_output=True,
                                  check=True).stdout
        sealed.setdefault(leaf.split('.log')[0], []).append((leaf, data))
    entries = []
    for versions in sealed.values():
        assert len({data for _, data in versions}) == 1, \
            f'compressed and plain differ: {[leaf for leaf, _ in versions]}'
        leaf, data = versions[0]
        assert data, f'{leaf} is empty'
        entries += lines_of(data, leaf, False)
    current = os.path.join(folder, 'current')
    if os.path.exists(current):
        with open(current, 'rb') as file:
            entries += lines_of(file.read(), 'current', True)
    return entries


def runs_of(entries, what):
    """{run: its last number}; asserts that each run's lines are there from the first, in order,
    once."""
    runs = {}
    for mark, text in entries:
        match = NUMBERED.search(text or '')
        if mark or not match or 'settled' in text:
            continue
        run, number = match.group(1), int(match.group(2))
        assert number == runs.get(run, 0) + 1, \
            f'{what}: {number} after {runs.get(run, 0)} of run {run}'
        runs[run] = number
    return runs


def check(disk, settled):
    folders = journals(disk)
    seen = {}
    for name in ('flood', 'slow', 'errors', 'marks'):
        # A machine may have lost its power before a service was there.
        entries = read_journal(folders[name]) if name in folders else []
        seen[name] = runs_of(entries, name)
    for run, number in settled:
        assert seen['marks'].get(run, 0) >= number, f'{number} of {run} was 4 s old: {seen["marks"]}'
    return seen


def cuts():
    """So many as there are to be, or as there is time for on a busy machine; one at least."""
    begin = time.monotonic()
    for number in range(1, CUTS + 1):
        yield number
        if time.monotonic() - begin > ENOUGH:
            print(f'{number} cuts only: {ENOUGH} s are over')
            return


def test_after_power_cuts_sealed_files_are_whole_and_lines_are_there_without_a_gap():
    seed = random.randrange(1 << 32)
    print(f'seed {seed}')
    chance = random.Random(seed)
    disk = booting.make_disk(FILES)
    settled, lines = [], 0
    for number in cuts():
        with booting.boot(disk=disk) as machine:
            machine.login()
            # At any moment between two of the things that happen in it.
            for _ in range(chance.randrange(1, 4)):
                match = machine.expect(r'settled run=(\S+) n=(\d+)')
                settled.append((match.group(1), int(match.group(2))))
            machine.run(f'usleep {chance.randrange(400000)}')
            machine.qemu.kill()
        seen = check(disk, settled)
        lines = sum(seen['flood'].values())
    assert len(seen['flood']) == number, seen
    print(f'{lines} lines of the flood after {number} cuts')


def test_a_power_cut_during_the_boot_leaves_a_machine_that_boots():
    seed = random.randrange(1 << 32)
    print(f'seed {seed}')
    chance = random.Random(seed)
    disk = booting.make_disk(FILES)
    for _ in cuts():
        with booting.boot(disk=disk) as machine:
            machine.expect(chance.choice((r'conit starts', r'Starting services', r'login: ')),
                           machines.BOOT_TIMEOUT)
            machine.qemu.kill()
        check(disk, [])
    with booting.boot(disk=disk) as machine:
        machine.login()
        booting.wait_booted(machine)
        booting.power_off(machine)
    booting.check_file_system(disk)
