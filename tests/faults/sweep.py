#!/usr/bin/env python3
"""All faults, one run each; goes on where it was ended: what is done is in build/faults/KIND.jsonl.

    absorbed   all went as without a fault
    named      something went another way, and somebody said why
    missed     the call was not made in this run: they come as events do
    accepted   what must not be, for a reason that is written below
    flaky      what must not be, and the fault had not even happened: the judge is wrong
    bad        what must not be: mend it
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import signal
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
os.environ.setdefault('CONIT_BUILD', str(TOP / 'out'))
os.environ.setdefault('CONIT_BUILD_KIND', 'release')
# pylint: disable=wrong-import-position
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]
import faults

PR_SET_PDEATHSIG = 1  # linux/prctl.h
playing = False
# What cannot be met better, or is none of ours: a regular expression of the key, and the reason.
ACCEPTED = {
    r'^\S+ \S+ (?!.*\bmain\b).*\b_start\b':
        'before main() there is nobody to say anything; init starts it again',
    r'^\S+ (fcntl|fstat|open|openat|newfstatat|ioctl) .*\bconsole_init\b':
        'the console is written by the descriptor as it came: nobody sees a difference',
    r'^service-journal allocation .*\bregexec\b':
        'glibc takes what it has no memory to look at for no match; the journal is built against musl, which says so',
}


def find_places(sites, kind):
    """{place: Site}. A place is named by functions, so that it outlives a build."""
    programs, calls = faults.tables()
    names = faults.Names(kind)
    places, same = {}, collections.Counter()
    for site in sorted(sites, key=lambda site: (site.program, site.number, site.chain)):
        program = programs[site.program]
        way = ' < '.join(names.of(program, address).split('.')[0] for address in site.chain if address)
        place = f'{program} {calls[site.number][0]} {way}'
        same[place] += 1
        places[place if same[place] == 1 else f'{place} #{same[place]}'] = site
    return places


def find_faults(sites, kind):
    """{(which of the call's errors, key): Fault}. Of the calls that a place makes the first fails, or the
    one in the middle."""
    calls = faults.tables()[1]
    found = {}
    for index, (place, site) in enumerate(sorted(find_places(sites, kind).items())):
        errors = calls[site.number][1]
        for i in range(len(errors)):
            error = errors[(index + i) % len(errors)]
            skip = 0 if i % 2 else site.count // 2
            found[(i, f'{place} {faults.errno.errorcode[error]}')] = faults.Fault(site, error, skip)
    return found


def is_accepted(key):
    return any(re.search(pattern, key) for pattern in ACCEPTED)


def one(job):
    """What came of one: a line of the results."""
    global playing  # pylint: disable=global-statement
    key, fault, baseline = job
    start, playing = time.monotonic(), True
    try:
        run = faults.play(fault, baseline=baseline)
    except SystemExit:  # the pool would go on waiting
        os._exit(1)
    except Exception as error:  # pylint: disable=broad-except
        return {'key': key, 'outcome': 'bad', 'wrong': [repr(error)], 'odd': [], 'console': ''}
    finally:
        playing = False
    if run.wrong:
        outcome = 'flaky' if not run.hits else 'accepted' if is_accepted(key) else 'bad'
    else:
        outcome = 'missed' if not run.hits else 'named' if run.odd else 'absorbed'
    return {'key': key, 'outcome': outcome, 'wrong': run.wrong, 'odd': run.odd, 'text': fault.site.text,
            'skip': fault.skip, 'count': fault.site.count, 'seconds': round(time.monotonic() - start, 1),
            'console': run.console if run.wrong else ''}


def end_with_parent():
    """When the sweep is ended a run takes down what it has made, and its process ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1) if playing else os._exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faults.harness.LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def sweep(todo, jobs, end, file):
    """Plays them, writes the results into the file; returns how many came to what."""
    counts = collections.Counter()
    with concurrent.futures.ProcessPoolExecutor(jobs, initializer=end_with_parent) as pool:
        waiting, running = iter(todo), set()
        while True:
            while len(running) < jobs * 2 and time.monotonic() < end and (job := next(waiting, None)):
                running.add(pool.submit(one, job))
            if not running:
                return counts
            finished, running = concurrent.futures.wait(running, return_when='FIRST_COMPLETED')
            for future in finished:
                result = future.result()
                counts[result['outcome']] += 1
                file.write(json.dumps(result) + '\n')
                file.flush()
                if result['outcome'] in ('bad', 'flaky'):
                    print(result['outcome'], result['key'], result.get('text', ''),
                          *[line[:300] for line in result['wrong'][:4]], sep='\n   ', flush=True)


def survey(allocations):
    """(the places of a life without a fault, the descriptors that are open at its end)"""
    runs = [faults.play(survey=True, calls='')] if allocations else \
        [faults.play(survey=True, calls='all'), faults.play(survey=True, calls='all', of_slc=True)]
    again = faults.play(calls='sethostname')
    for run in (*runs, again):
        if run.wrong or run.odd:
            raise SystemExit(f'without any fault: {run.wrong} {run.odd} {run.console}')
    return [site for run in runs for site in run.sites], again.shapes


def main():
    parser = argparse.ArgumentParser(description='Lets every call and allocation of ours fail once.')
    parser.add_argument('--only', default='', metavar='PATTERN',
                        help='only calls whose key, as --list says it, matches this regular expression')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1,
                        help='how many at once (one for each processor)')
    parser.add_argument('--rounds', type=int, default=9, help='how many of the errors of a call')
    parser.add_argument('--seed', default='1', help='of the order')
    parser.add_argument('--list', action='store_true', help='only say what there is')
    parser.add_argument('--allocations', action='store_true', help='not calls: the test build')
    parser.add_argument('--again', action='store_true', help='also what is done already')
    parser.add_argument('--results', default='', metavar='FILE',
                        help='where it is noted what is done (in build/faults)')
    parser.add_argument('--seconds', type=float, default=1e9, metavar='N',
                        help='begin nothing new after so many; the next run goes on from there')
    options = parser.parse_args()
    kind = os.environ['CONIT_BUILD_KIND']
    results = pathlib.Path(options.results or TOP / f'build/faults/{kind}{"-memory" if options.allocations else ""}.jsonl')
    results.parent.mkdir(exist_ok=True)
    done = set()
    if results.exists() and not options.again:
        last = {result['key']: result['outcome'] for result in map(json.loads, results.read_text().splitlines())}
        done = {key for key, outcome in last.items() if outcome not in ('bad', 'flaky')}
    sites, baseline = survey(options.allocations)
    found = find_faults(sites, kind)
    todo = [(key, fault, baseline) for (i, key), fault in sorted(found.items())
            if i < options.rounds and key not in done and re.search(options.only, key)]
    random.Random(options.seed).shuffle(todo)
    print(f'{len(found)} faults, {len(todo)} to do', flush=True)
    if options.list:
        for key, fault, _ in todo:
            print(key, fault.site.text, fault.skip, fault.site.count)
        return 0
    with open(results, 'a', encoding='utf-8') as file:
        counts = sweep(todo, options.jobs, time.monotonic() + options.seconds, file)
    print(f'{sum(counts.values())} faults:', *[f'{count} {what}' for what, count in sorted(counts.items())])
    return 1 if counts['bad'] else 0


if __name__ == '__main__':
    sys.exit(main())
