"""Many services, and deep ones: nothing recurses, and what is wrong among them is named."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

from harness import BUILD, Machine, until

# Files in memory: it is not the disk that is tested.
MEMORY = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
CHAIN = 10000


def check(folder):
    return subprocess.run([str(BUILD / 'slc'), 'check', '--services', str(folder), '--config',
                           str(folder / 'none')], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300, check=False)


@contextlib.contextmanager
def folder_of(texts):
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix='depth.') as folder:
        folder = pathlib.Path(folder)
        (folder / 'none').write_text('{}\n')
        for name, text in texts:
            (folder / f'{name}.yml').write_text(text)
        yield folder


def test_a_cycle_among_50000_files_is_named_with_its_path():
    def texts():
        for number in range(50000):
            needs = {777: 'needs: [s31000]\n', 31000: 'wants: [s49999]\n',
                     49999: 'after: [s777]\n'}.get(number, '')
            yield f's{number}', f'exec: /bin/true\n{needs}'
    with folder_of(texts()) as folder:
        result = check(folder)
        assert result.returncode == 1, result
        # By the order of their names the first member is the one in the middle.
        assert result.stdout.count('in a cycle') == 1, result.stdout
        assert 's31000.yml:2:' in result.stdout, result.stdout
        assert 'each after the next: s31000, s49999, s777, s31000' in result.stdout, result.stdout
        assert '50000 services loaded' in result.stdout, result.stdout


def test_a_cycle_of_10000_is_told_in_few_words():
    texts = ((f's{number:05}', f'type: target\nneeds: [s{(number + 1) % CHAIN:05}]\n')
             for number in range(CHAIN))
    with folder_of(texts) as folder:
        result = check(folder)
        assert result.returncode == 1, result
        assert len(result.stdout) < 10000, len(result.stdout)
        assert 'each after the next: s00000, s00001, s00002, ' in result.stdout, result.stdout
        assert '… 9900 more …' in result.stdout and 's09999, s00000' in result.stdout, result.stdout


def test_10000_pairs_are_each_told():
    texts = ((f's{number:05}', f'type: target\nneeds: [s{number ^ 1:05}]\n')
             for number in range(CHAIN))
    with folder_of(texts) as folder:
        result = check(folder)
        assert result.stdout.count('in a cycle') == CHAIN // 2, result.stdout[:1000]


def test_a_chain_of_10000_starts_and_stops_from_end_to_end():
    with Machine() as machine:
        with folder_of((f't{number:05}', 'type: target\nenabled: no\n' + (
                f'needs: [t{number - 1:05}]\n' if number else '')) for number in range(CHAIN)) as folder:
            machine.arguments += ['--services', str(folder), '--log-level', 'warn']
            machine.boot()
            until(lambda: machine.slc('status', 't00000', check=False).returncode == 3,
                  'the launcher answers')
        machine.slc('-q', 'start', f't{CHAIN - 1:05}', timeout=120)
        states = [service['state'] for service in machine.json('list')]
        assert states == ['running'] * CHAIN, set(states)
        machine.slc('-q', 'stop', 't00000', timeout=120)
        states = [service['state'] for service in machine.json('list')]
        assert states == ['stopped'] * CHAIN, set(states)
