"""Reading journals: what slc journal costs beside zstdcat and grep on the same files, and how long
the newest lines of a large journal take."""
import os
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

LINES = 4_000_000
FILE_BYTES = 64 << 20  # of so many lines; of fewer less, so that there are as many files
LARGE_BYTES = 10 << 30
BEGIN = 1795305600  # 2026-11-22T00:00:00Z
STEP_US = 37_123    # from line to line

# What is searched for: title and expression, for both the same.
SEARCHES = (('a word, in 800 lines', 'status=503'),
            ('a word and a list', 'status=50[1-9]'),
            ('lists alone, in 57,000 lines', 'q{2}[aeiou]'),
            ('everything', '.'))


def stamp(us, form='%Y-%m-%dT%H:%M:%S'):
    return f'{time.strftime(form, time.gmtime(us // 1_000_000))}.{us % 1_000_000:06}Z'


def texts(number):
    """Texts of 100 bytes, each of them seldom."""
    dice = random.Random(1)
    word = lambda: ''.join(dice.choices('abcdefghijklmnopqrstuvwxyz', k=dice.randint(3, 9)))
    words = [word() for _ in range(3000)]
    pool = [' '.join(dice.choices(words, k=14)) for _ in range(50_000)]
    for i in range(number):
        yield f'req={i} status={503 if i % 5003 == 0 else 200} {pool[i * 7919 % 50_000]}'[:100].ljust(100, 'x')


def file_bytes(number):
    return FILE_BYTES * number // LINES


def make_journal(folder, compressor, number):
    """Files as service-journal makes them, all but the last one compressed. Returns their names."""
    folder.mkdir(parents=True)
    block, size, us, names = [], 0, BEGIN * 1_000_000, []
    first = us
    for i, text in enumerate(texts(number)):
        us += STEP_US
        block.append(f'{stamp(us)} {"err" if i % 1000 == 0 else "info"} {text}\n')
        size += len(block[-1])
        if size >= file_bytes(number) or i == number - 1:
            name = stamp(first, '%Y%m%dT%H%M%S') + '.log' if i < number - 1 else 'current'
            (folder / name).write_text(''.join(block))
            os.utime(folder / name, (us // 1_000_000 + 1,) * 2)
            names.append(name)
            block, size, first = [], 0, us + STEP_US
    subprocess.run([compressor, *names[:-1]], cwd=folder, check=True)
    return [f'{name}.zst' for name in names[:-1]] + names[-1:]


def make_large(folder, of, number):
    """A journal of LARGE_BYTES: a compressed file again and again, under other names."""
    folder.mkdir(parents=True)
    packed = next(of.glob('*.zst'))
    for i in range(LARGE_BYTES // file_bytes(number)):
        (folder / f'{stamp(BEGIN * 1_000_000 + i, "%Y%m%dT%H%M%S")}.log.zst').hardlink_to(packed)
    (folder / 'current').hardlink_to(of / 'current')


def measure(command):
    """(wall ms, CPU ms) of a shell's command line and all it runs; the output is counted by size."""
    with tempfile.TemporaryFile(dir='/dev/shm') as out:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(['sh', '-c', command], stdout=out, check=True)
        wall = time.monotonic() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {'wall_ms': wall * 1000, 'cpu_ms': cpu * 1000, 'bytes': os.fstat(out.fileno()).st_size}


def medians(taken):
    return {key: statistics.median(run[key] for run in taken) for key in taken[0]}


def measure_reading(programs, runs, number=LINES):
    folder = pathlib.Path(tempfile.mkdtemp(prefix='conit-bench-reading.', dir='/dev/shm'))
    slc = f'{programs}/slc --runtime {folder}/none --logs {folder}/logs journal --no-pager'
    try:
        names = make_journal(folder / 'logs/big', programs / 'compress-journal', number)
        make_large(folder / 'logs/large', folder / 'logs/big', number)
        packed = ' '.join(str(folder / 'logs/big' / name) for name in names[:-1])
        plain = f'{{ zstdcat {packed}; cat {folder}/logs/big/current; }}'
        result = {'lines': number, 'search': {}, 'tail': {}}
        for title, expression in SEARCHES:
            pairs = [(measure(f"{slc} big -g '{expression}'"),
                      measure(f"{plain} | grep -a -E '{expression}'")) for _ in range(runs)]
            assert pairs[0][0]['bytes'] == pairs[0][1]['bytes'], title
            result['search'][title] = [medians(taken) for taken in zip(*pairs)]
        for title, options in (('-n 10', '-n 10'), ('-n 10 -p err', '-n 10 -p err'),
                               ('-n 10 -g status=503', '-n 10 -g status=503')):
            result['tail'][title] = medians([measure(f'{slc} large {options}') for _ in range(runs * 3)])
        return result
    finally:
        shutil.rmtree(folder)


def show_reading(table, result):
    table.part(f'Searching {result["lines"]:,} lines of 100 bytes, against zstdcat | grep -E')
    for title, (ours, theirs) in result['search'].items():
        table.row(f'{title}: CPU ({ours["cpu_ms"]:.0f} ms, {theirs["cpu_ms"]:.0f} ms)',
                  ours['cpu_ms'] / theirs['cpu_ms'], '×', 1, 2)
        table.row(f'{title}: wall ({ours["wall_ms"]:.0f} ms, {theirs["wall_ms"]:.0f} ms)',
                  ours['wall_ms'] / theirs['wall_ms'], '×', 1, 2)
    table.part('The newest lines of a journal of 10 GiB, whole process')
    for title, taken in result['tail'].items():
        table.row(f'{title}: wall (CPU {taken["cpu_ms"]:.1f} ms)', taken['wall_ms'], 'ms',
                  20 if title == '-n 10' else None, 1)
