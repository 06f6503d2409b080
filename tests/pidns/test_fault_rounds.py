"""One machine, on which each allocation, or each call of a name, that a thing takes fails in turn: the thing comes
about or says why not, nothing that runs is touched, and done again without a fault it is whole."""
import errno
import os

from harness import Skip, until
from services import booted, define, has_printed, printed, shell
from test_faults import SEED, SLEEP, faults, machine_of, need_allocations, pids

TIMEOUT = 300
MOST = 2000  # rounds: it is wrong that a thing takes more
# A fifth of them, which one by the seed; all where it is counted what tests reach.
STEP = 1 if faults.KIND == 'coverage' else 5
FIRST = int(SEED) % STEP


def each(machine, act, judge, call='allocation', error=errno.ENOMEM, program='service-launcher'):
    """Lets the first, the second … one that `act` makes fail, until it makes no more. Returns how many did: the first
    always does, whichever the seed chooses of the others, for what never fails shows nothing."""
    for count, skip in enumerate([0] * (FIRST > 0) + list(range(FIRST, MOST, STEP))):
        before = machine.rules.hits()
        machine.rules.fail(program, call, error, skip=skip)
        act()
        machine.rules.lift()
        if machine.rules.hits() == before:
            assert count, f'{program} makes no such call: {call}'
            return count
        judge(skip)
    raise AssertionError(f'still something to fail after {MOST}')


def need_own_calls():
    if faults.KIND == 'asan':
        raise Skip('the sanitizers make calls of their own')


# ---- reloads

def make_files(machine):
    define(machine, 'runs', exec=SLEEP, provides=['also'])
    define(machine, 'idle', exec=SLEEP, enabled=False)
    define(machine, 'needs', exec=SLEEP, needs=['tty@one'], when=[{'exists': '/'}])
    machine.service('tty@', 'exec: sleep 100000')
    define(machine, 'user', exec=SLEEP, user='nobody', log={'rate': '100/1s'})


class Changes:
    """What a round writes: a service more, one less, and one other than it was."""

    def __init__(self, machine):
        self.machine, self.number = machine, 0

    def write(self):
        self.number += 1
        former = self.machine.services / f'new{self.number - 1}.yml'
        if former.exists():
            former.unlink()
        define(self.machine, f'new{self.number}', type='task', exec=['true'], after=['runs'],
               wants=[f'tty@{self.number % 3}'])
        define(self.machine, 'idle', exec=['sleep', str(100000 + self.number)], enabled=False)
        self.machine.service('broken', f'exec: [\nnumber {self.number}')

    def check(self):
        m, new = self.machine, f'new{self.number}'
        listed = {service['name']: service for service in m.json('list')}
        # A task that there was no memory to start has failed, and says why.
        assert listed[new]['state'] in ('starting', 'waiting', 'done') or 'memory' in listed[new]['reason'], listed[new]
        assert listed['broken']['state'] == 'broken'
        assert {'runs', 'idle', 'needs', 'user', f'tty@{self.number % 3}'} <= set(listed), listed
        assert f'new{self.number - 2}' not in listed, listed.keys()


def reload_with(call, error):
    with machine_of('' if call == 'allocation' else call) as machine:
        make_files(machine)
        booted(machine)
        changes, before, launcher = Changes(machine), pids(machine), machine.wait_pid_of('service-launcher')

        def act():
            changes.write()
            machine.slc('reload', check=False)

        def judge(skip):
            machine.slc('reload', check=False)
            until(lambda: 'new%d' % changes.number in pids(machine), f'it is there after {call} {skip}')
            changes.check()
            now = pids(machine)
            assert all(now[name] == pid for name, pid in before.items() if pid), (skip, before, now)
        assert each(machine, act, judge, call, error) > 3
        assert machine.pid_of('service-launcher') == launcher, machine.console()


def test_each_allocation_of_a_reload_fails_once():
    need_allocations()
    reload_with('allocation', errno.ENOMEM)


# ---- a new launcher

def take_up_with(call, error):
    """The new launcher, whose first, second … call fails."""
    with machine_of('' if call == 'allocation' else call) as machine:
        make_files(machine)
        define(machine, 'says', exec=shell('echo now ready; exec sleep 100000'), ready={'log': 'ready'})
        booted(machine)
        up = ('runs', 'needs', 'user', 'says', 'tty@one')
        until(lambda: all(machine.state_of(name) == 'running' for name in up), 'all run')
        before = pids(machine)

        def act():
            machine.kill_launcher()
            machine.wait_answer()

        def judge(skip):
            now = pids(machine)
            assert all(now[name] == before[name] for name in up), (call, skip, before, now)
            if skip % 8 == 0:  # and it does what it is for; what there was no memory to read is read again
                machine.slc('reload', check=False)
                machine.slc('restart', 'idle')
        each(machine, act, judge, call, error)
        machine.slc('reload')
        machine.slc('restart', 'says', 'user')


def test_each_allocation_of_a_new_launcher_fails_once():
    need_allocations()
    take_up_with('allocation', errno.ENOMEM)


def test_each_call_of_a_new_launcher_that_opens_or_maps_something_fails_once():
    need_own_calls()
    for call, error in (('openat', errno.EMFILE), ('mmap', errno.ENOMEM), ('epoll_ctl', errno.ENOMEM)):
        take_up_with(call, error)


def test_each_call_of_a_new_launcher_that_sends_or_receives_fails_once():
    need_own_calls()
    for call, error in (('sendmsg', errno.ENOBUFS), ('recvmsg', errno.ENOMEM), ('pidfd_open', errno.EMFILE)):
        take_up_with(call, error)


# ---- starts and stops

SERVICES = ('base', 'web', 'set', 'hooks', 'forks', 'says', 'file', 'checks')


def restart_with(call, error, names=SERVICES):
    with machine_of('' if call == 'allocation' else call) as machine:
        faults.write_services(machine)
        booted(machine)
        until(lambda: all(machine.state_of(name) == 'running' for name in names), 'all run')
        untouched = {name: pids(machine)[name] for name in faults.UNTOUCHED}

        def act():
            machine.slc('restart', *names, check=False)

        def judge(skip):
            machine.slc('start', *names, check=False)
            until(lambda: all(machine.state_of(name) == 'running' for name in names), f'all run after {call} {skip}')
            now = pids(machine)
            assert all(now[name] == pid for name, pid in untouched.items()), (skip, untouched, now)
        each(machine, act, judge, call, error)
        machine.quiet()


def test_each_allocation_of_a_restart_fails_once():
    need_allocations()
    restart_with('allocation', errno.ENOMEM, ('web', 'hooks'))
    restart_with('allocation', errno.ENOMEM, ('forks', 'says', 'file', 'checks'))


def test_each_call_of_a_restart_that_opens_something_fails_once():
    need_own_calls()
    for call, error in (('openat', errno.EMFILE), ('pipe2', errno.EMFILE), ('epoll_ctl', errno.ENOSPC)):
        restart_with(call, error)


def test_each_call_of_a_restart_that_sends_or_reads_fails_once():
    need_own_calls()
    for call, error in (('sendmsg', errno.ENOBUFS), ('read', errno.EIO)):
        restart_with(call, error)


# ---- a new journal

def new_journal_with(call, error):
    """The new journal, whose first, second … call fails: each line of services is there, once and in order."""
    with machine_of('' if call == 'allocation' else call) as machine:
        fifo = machine.folder / 'words'
        os.mkfifo(fifo)
        define(machine, 'talks', exec=shell(f'while :; do read -r word <{fifo} && echo "$word"; done'),
               log={'rate': '1000/1s'})
        define(machine, 'shown', exec=shell('echo shown; exec sleep 100000'), console=True)
        define(machine, 'later', exec=shell('echo it is ready; exec sleep 100000'), ready={'log': 'ready'}, enabled=False)
        booted(machine)
        said = []

        def act():
            machine.kill_journal()
            said.append(f'word {len(said)}')
            fifo.write_text(said[-1] + '\n')
            has_printed(machine, 'talks', said[-1] + '\n')

        def judge(skip):
            if skip % 8 == 0:
                machine.slc('restart', 'later')
        each(machine, act, judge, call, error, 'service-journal')
        machine.slc('restart', 'talks', 'later')
        assert printed(machine, 'talks').split('\n')[:-1] == said, (said, printed(machine, 'talks'))


def test_each_allocation_of_a_new_journal_fails_once():
    need_allocations()
    new_journal_with('allocation', errno.ENOMEM)


def test_each_call_of_a_new_journal_fails_once():
    need_own_calls()
    for call, error in (('mmap', errno.ENOMEM), ('epoll_ctl', errno.ENOMEM), ('fcntl', errno.EMFILE),
                        ('sendmsg', errno.ENOBUFS), ('recvmsg', errno.ENOMEM),
                        ('pread64', errno.EIO)):
        new_journal_with(call, error)
