"""The launcher killed at its system calls (ptrace), one after the other, while it carries out what a
client has asked, or what a crash asks of it: everything is done, once, the client gets its answer,
and nobody else notices.

Each round kills it at another of the entries and exits of its system calls. How many there are is
counted first; CI takes some of them by chance. The seed is printed; CONIT_STEPS_SEED repeats it,
CONIT_STEPS=N takes N of each, CONIT_STEPS=all takes all: `CONIT_STEPS=all tests/run -k launcher_steps`.
"""
import json
import os
import random
import signal
import subprocess
import time

from harness import BUILD, DEADLINE, Machine, children_of, until
from services import (booted, define, events, look, outer_pid, printed, shell,
                      shell_list, wait)
from steps import WALL, Stepper, ptrace, PTRACE_SYSCALL, IDLE_SECONDS
from test_watch import wait_watching
from upgrading import Upgrading

TIMEOUT = 40000  # for the long form
SEED = int(os.environ.get('CONIT_STEPS_SEED', 0)) or random.SystemRandom().randrange(1, 1 << 32)
SAMPLE = os.environ.get('CONIT_STEPS', '6')


class One(Stepper):
    """Of one thread; other children of this process are left alone."""

    def _next_stop(self, wait):
        ptrace(PTRACE_SYSCALL, self.pid)
        idle = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < idle:
            pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
            if not pid:
                wait(idle - time.monotonic())
                continue
            assert os.WIFSTOPPED(status), f'the launcher ended by itself: {status}'
            if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                return pid
            event = status >> 16
            ptrace(PTRACE_SYSCALL, self.pid, 0, 0 if event else os.WSTOPSIG(status))
        return None

    def count(self):
        """Until nothing is done any more."""
        found = 0
        while self.next_stop():
            found += 1
        return found

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while True:
            _, status = os.waitpid(self.pid, WALL)
            if not os.WIFSTOPPED(status):
                return


class Target:
    pid = None

    def __init__(self, pid):
        self.pid = pid


class Scene:
    """A service that notes what happens to it, one that must not notice anything, and one that a
    reload brings."""

    def __init__(self, machine):
        self.machine = machine
        self.log = machine.folder / 'noted'
        self.log.touch()
        self.number = 0
        self.write()
        define(machine, 'other', exec=shell('echo one; exec sleep 100000'), restart={'delay': '1ms'})
        booted(machine)
        wait(machine, 't', 'running')
        self.other = self.of('other')
        self.settle()

    def write(self, reload=None):
        note = lambda word: shell_list(f'echo {word} >>{self.log}')
        define(self.machine, 't', description=f'As of {self.number}', before_start=note('before'),
               exec=shell(f'trap "echo got >>{self.log}" USR1; echo run >>{self.log}; echo out; '
                          f'echo set >>{self.log}.set; while :; do sleep 100000 & wait $!; done'),
               after_stop=note('after'), reload=reload or shell(f'echo reloaded >>{self.log}'),
               restart={'delay': '1ms', 'limit': 100000, 'reset-after': '1ms'})

    def of(self, name):
        service = look(self.machine, name)
        return {key: service[key] for key in ('state', 'pid', 'since', 'restarts', 'invocation')}

    def counts(self):
        noted = self.log.read_text(encoding='ascii').split()
        return {word: noted.count(word) for word in
                ('before', 'run', 'after', 'reloaded', 'got')}

    def lines(self):
        """How often its journal says that it has started, and that it has stopped or failed."""
        said = events(self.machine, 't')
        return {'started': sum(line.startswith('started pid=') for line in said),
                'ended': sum(line.startswith(('stopped: ', 'failed: ', 'ended: ')) for line in said)}

    def settle(self):
        """Until its program has come to its loop, where it hears signals."""
        set_up = self.machine.folder / 'noted.set'
        until(lambda: set_up.exists() and
              set_up.read_text(encoding='ascii').count('set') == self.counts()['run'],
              't is set up')

    def client(self, *arguments):
        return subprocess.Popen([str(BUILD / 'slc'), '--runtime', str(self.machine.runtime),
                                 '--json', *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answer(self, client):
        """(exit status, value); the client itself has come back after the kill."""
        with client:
            output, errors = client.communicate(timeout=DEADLINE)
        return client.returncode, json.loads(output) if output else None, errors

    # What is done in a round: begin() returns the client, or None; judge() gets its answer and what
    # was noted more than before. Both leave `t` as they found it, but for the next in the row.

    def round(self, action, steps):
        """Kills it after so many steps; None: only counts them."""
        machine = self.machine
        prepare, begin, judge = action
        prepare(self)
        machine.quiet()
        before, was, lines = self.counts(), look(machine, 't'), self.lines()
        launcher = machine.wait_pid_of('service-launcher')
        stepper = One(Target(launcher))
        client = begin(self)
        total = stepper.count() if steps is None else stepper.step(steps)
        stepper.kill()
        machine.wait_pid_of('service-launcher', launcher)
        answer = self.answer(client) if client else None
        machine.wait_answer()
        try:
            judge(self, answer, lambda: {word: count - before[word] for word, count in
                                         self.counts().items() if count != before[word]}, was)
            machine.quiet()
            self.settle()
            told = {kind: count - lines[kind] for kind, count in self.lines().items()}
            runs = self.counts()['run'] - before['run']
            ends = self.counts()['after'] - before['after']
            assert told == {'started': runs, 'ended': ends}, (told, runs, ends)
            now = self.of('other')
            assert now == self.other, (now, self.other)
            assert printed(machine, 'other') == 'one\n'
            until(lambda: printed(machine, 't') == 'out\n' * self.counts()['run'],
                  'all its lines are there, once')
        except AssertionError as error:
            raise AssertionError(f'killed after {steps} steps: {error}; answer {answer}; '
                                 f'{look(machine, "t")}') from error
        return total


def running(scene):
    scene.machine.slc('start', 't')
    scene.settle()


def stopped(scene):
    scene.machine.slc('stop', 't')


def ask(*arguments):
    return lambda scene: scene.client(*arguments)


def same(found, expected, what):
    until(lambda: found() == expected, f'{what}: {found()} is {expected}', 20)


def answered(answer, outcome='done'):
    status, results, errors = answer
    assert status == 0 and [(r['name'], r['outcome']) for r in results] == [('t', outcome)], \
        (answer, errors)


def judge_start(scene, answer, noted, was):
    answered(answer)
    assert look(scene.machine, 't')['state'] == 'running'
    same(noted, {'before': 1, 'run': 1}, 'started once')


def judge_stop(scene, answer, noted, was):
    answered(answer)
    service = look(scene.machine, 't')
    assert service['state'] == 'stopped' and service['exit'] == {'signal': 'SIGTERM'}, service
    assert noted() == {'after': 1}, noted()
    assert not outer_pid(scene.machine, was['pid'])


def judge_restart(scene, answer, noted, was):
    answered(answer)
    service = look(scene.machine, 't')
    assert service['state'] == 'running' and service['pid'] != was['pid'], service
    assert service['exit'] == {'signal': 'SIGTERM'} and service['restarts'] == 0, service
    same(noted, {'before': 1, 'run': 1, 'after': 1}, 'restarted once')


def judge_service_reload(scene, answer, noted, was):
    answered(answer)
    assert look(scene.machine, 't')['pid'] == was['pid']
    same(noted, {'reloaded': 1}, 'reloaded once')


def judge_told(scene, answer, noted, was, how):
    """Where it cannot be known whether it was sent, it is said, and it is not sent again."""
    status, results, _ = answer
    assert look(scene.machine, 't')['pid'] == was['pid']
    if status == 0:
        answered(answer)
        same(noted, {'got': 1}, how)
    else:
        assert 'is not known' in results[0]['reason'], answer
        scene.machine.idle(outer_pid(scene.machine, was['pid']))
        assert noted() in ({}, {'got': 1}), noted()


def judge_signal(scene, answer, noted, was):
    judge_told(scene, answer, noted, was, 'signalled once')


def reloaded_by_signal(scene):
    scene.write(reload='signal USR1')
    scene.machine.slc('reload')
    running(scene)


def judge_signal_reload(scene, answer, noted, was):
    judge_told(scene, answer, noted, was, 'reloaded once')


def crash(scene):
    os.kill(scene.pid, signal.SIGKILL)


def kills_said(scene):
    return sum('ended by SIGKILL' in line for line in events(scene.machine, 't'))


def crashing(scene):
    running(scene)
    scene.said = kills_said(scene)
    scene.machine.slc('reset', 't')
    scene.pid = outer_pid(scene.machine, look(scene.machine, 't')['pid'])


def judge_crash(scene, answer, noted, was):
    until(lambda: look(scene.machine, 't')['state'] == 'running' and
          look(scene.machine, 't')['pid'] != was['pid'], 'it is back')
    service = look(scene.machine, 't')
    assert service['exit'] == {'signal': 'SIGKILL'} and service['restarts'] == 1, service
    same(noted, {'before': 1, 'run': 1, 'after': 1}, 'restarted once')
    said = kills_said(scene) - scene.said
    assert said == 1, said


def change_files(scene):
    running(scene)
    scene.number += 1
    scene.write()
    scene.machine.slc('reload')
    scene.number += 1
    scene.write()
    define(scene.machine, f'n{scene.number}', exec=shell(f'echo new{scene.number} >>{scene.log}; '
                                                         'exec sleep 100000'))


def judge_reload(scene, answer, noted, was):
    machine, new = scene.machine, f'n{scene.number}'
    status, changes, errors = answer
    found = {change['name']: change['change'] for change in changes
             if change['change'] != 'unchanged'}
    assert status == 0 and found == {'t': 'changed', new: 'new'}, (found, errors)
    service = look(machine, 't')
    assert service['description'] == f'As of {scene.number}' and service['pid'] == was['pid']
    wait(machine, new, 'running')
    until(lambda: scene.log.read_text(encoding='ascii').split().count(f'new{scene.number}') == 1,
          'the new one runs')
    assert noted() == {}, noted()
    (machine.services / f'{new}.yml').unlink()
    machine.slc('stop', new)
    machine.slc('reload')
    assert scene.log.read_text(encoding='ascii').split().count(f'new{scene.number}') == 1


def watched(scene):
    running(scene)
    wait_watching(scene.machine)


def change_watched_files(scene):
    scene.number += 1
    define(scene.machine, f'n{scene.number}', exec=shell(f'echo new{scene.number} >>{scene.log}; '
                                                         'exec sleep 100000'))
    scene.write()


def judge_watch(scene, answer, noted, was):
    machine, new = scene.machine, f'n{scene.number}'
    until(lambda: look(machine, 't')['description'] == f'As of {scene.number}', 'what has changed is in force')
    wait(machine, new, 'running')
    until(lambda: scene.log.read_text(encoding='ascii').split().count(f'new{scene.number}') == 1,
          'the new one runs')
    assert look(machine, 't')['pid'] == was['pid'] and noted() == {}, noted()
    (machine.services / f'{new}.yml').unlink()
    machine.slc('stop', new)
    until(lambda: new not in machine.slc('list').stdout, 'it is gone')
    assert scene.log.read_text(encoding='ascii').split().count(f'new{scene.number}') == 1


ACTIONS = {
    'start': (stopped, ask('start', 't'), judge_start),
    'stop': (running, ask('stop', 't'), judge_stop),
    'restart': (running, ask('restart', 't'), judge_restart),
    'service_reload': (running, ask('reload', 't'), judge_service_reload),
    'signal_reload': (reloaded_by_signal, ask('reload', 't'), judge_signal_reload),
    'signal': (running, ask('signal', 'USR1', 't'), judge_signal),
    'crash': (crashing, crash, judge_crash),
    'reload': (change_files, ask('reload'), judge_reload),
    'watch': (watched, change_watched_files, judge_watch),
}


def check(name, config='title: steps\n'):
    print(f'CONIT_STEPS_SEED={SEED}')
    chooser = random.Random(f'{SEED} {name}')
    with Machine() as machine:
        machine.config.write_text(config)
        scene = Scene(machine)
        total = scene.round(ACTIONS[name], None)
        assert total > 20, total
        steps = range(1, total + 1)
        if SAMPLE != 'all':
            steps = sorted(chooser.sample(steps, min(int(SAMPLE), total)))
        print(f'{name}: {total} steps, killed at {list(steps)}')
        for count in steps:
            scene.round(ACTIONS[name], count)


def test_killed_anywhere_in_a_start_it_starts_once():
    check('start')


def test_killed_anywhere_in_a_stop_it_stops_once():
    check('stop')


def test_killed_anywhere_in_a_restart_it_restarts_once():
    check('restart')


def test_killed_anywhere_in_a_service_s_reload_it_reloads_once():
    check('service_reload')


def test_killed_anywhere_in_a_signal_it_is_never_sent_twice():
    check('signal')


def test_killed_anywhere_in_a_reload_by_signal_it_is_never_sent_twice():
    check('signal_reload')


def test_killed_anywhere_after_a_crash_it_is_restarted_once():
    check('crash')


def test_killed_anywhere_in_a_reload_it_says_what_has_changed_and_starts_what_is_new():
    check('reload')


def test_killed_anywhere_in_a_reload_that_nobody_asked_for_it_starts_what_is_new():
    check('watch', 'watch: yes\n')


def ends(steps):
    """A machine that is asked to end, and whose launcher is killed after so many steps of that.
    Returns how many there were, where they are only counted."""
    with Machine() as machine:
        log = machine.folder / 'order'
        define(machine, 'bottom', exec='sleep 100000', after_stop=shell_list(f'echo bottom >>{log}'))
        define(machine, 'top', exec='sleep 100000', needs=['bottom'],
               after_stop=shell_list(f'echo top >>{log}'))
        booted(machine)
        machine.quiet()
        stepper = One(Target(machine.wait_pid_of('service-launcher')))
        client = subprocess.Popen([str(BUILD / 'slc'), '--runtime', str(machine.runtime), 'poweroff'],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        total = 0
        try:
            # What comes behind the end of the last service is init's to end.
            while (steps is None or total < steps) and stepper.next_stop():
                total += 1
                if steps is None and log.exists() and 'bottom' in log.read_text(encoding='ascii'):
                    break
        finally:
            stepper.kill()
            with client:
                output, errors = client.communicate(timeout=DEADLINE)
        assert client.returncode == 0 and output == 'poweroff: begun\n', (steps, output, errors)
        assert machine.wait_end() == 0, steps
        assert log.read_text(encoding='ascii').split() == ['top', 'bottom'], steps
        return total


def test_killed_anywhere_in_the_end_of_the_machine_it_ends_in_order_and_the_client_is_told():
    print(f'CONIT_STEPS_SEED={SEED}')
    total = ends(None)
    steps = range(1, total + 1)
    if SAMPLE != 'all':
        steps = sorted(random.Random(f'{SEED} end').sample(steps, min(int(SAMPLE), total)))
    print(f'{total} steps, killed at {list(steps)}')
    for count in steps:
        ends(count)


def take_the_place(machine, number, steps):
    """A reload brings a service where one is gone whose last words no journal has heard, and the launcher
    is killed after so many steps of it. Returns how many there were, where they are only counted."""
    old, new = f'old{number}', f'new{number}'
    program = lambda name: ['/bin/sh', '-c', 'exec 2>/dev/null; trap "echo last of $0; exit 0" TERM; '
                            f'echo first of $0; : >{machine.folder}/$0; while :; do sleep 0.02; done', name]
    define(machine, old, exec=program(old))
    machine.slc('reload')
    until(lambda: 'first' in printed(machine, old), 'it is read')
    machine.put_text('service-journal', '#!/bin/sh\nkill -STOP $$\nexit 3\n')
    os.kill(machine.wait_pid_of('service-journal'), signal.SIGKILL)
    script = until(lambda: [child for child, stat in children_of(machine.pid).items() if stat[1] == 'T'],
                   'what is no journal is started')[0]
    machine.slc('stop', old)
    (machine.services / f'{old}.yml').unlink()
    machine.slc('reload')
    define(machine, new, exec=program(new))
    machine.quiet()
    launcher = machine.wait_pid_of('service-launcher')
    stepper = One(Target(launcher))
    with subprocess.Popen([str(BUILD / 'slc'), '--runtime', str(machine.runtime), 'reload'],
                          stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        total = stepper.count() if steps is None else stepper.step(steps)
        stepper.kill()
        machine.wait_pid_of('service-launcher', launcher)
        assert client.wait(DEADLINE) == 0, steps
    until((machine.folder / new).exists, 'it has printed')
    machine.put_back('service-journal')
    os.kill(script, signal.SIGCONT)
    machine.slc('stop', new)
    for name in (old, new):
        until(lambda: printed(machine, name) == f'first of {name}\nlast of {name}\n',
              f'what {name} has printed is in its journal, killed after {steps} steps', 20)
    (machine.services / f'{new}.yml').unlink()
    machine.slc('reload')
    return total


def test_killed_anywhere_in_a_reload_while_no_journal_runs_nobody_gets_the_output_of_who_was_there_before():
    print(f'CONIT_STEPS_SEED={SEED}')
    with Upgrading() as machine:
        define(machine, 'other', exec='sleep 100000')
        booted(machine)
        total = take_the_place(machine, 0, None)
        steps = range(1, total + 1)
        if SAMPLE != 'all':
            steps = sorted(random.Random(f'{SEED} place').sample(steps, min(int(SAMPLE), total)))
        print(f'{total} steps, killed at {list(steps)}')
        for number, count in enumerate(steps, 1):
            take_the_place(machine, number, count)
