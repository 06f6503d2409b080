"""init as the process 1 of a machine: it has real faults and is upgraded, and the machine goes on. One boot."""
import contextlib
import os

import booting
from bad_code import CODE, address_of

TIMEOUT = 120  # each; the first waits for the boot
KEPT = ['crond', 'getty@ttyS0', 'httpd', 'udhcpc@eth0', 'counts']
FILES = {
    '/etc/yml-services/other.yml': 'exec: sleep 100000\n',
    '/etc/yml-services/counts.yml':
        'script: |\n'
        '  i=0\n'
        '  while :; do echo $i; i=$((i+1)); usleep 20000; done\n',
}


@contextlib.contextmanager
def shared():
    disk = booting.make_disk(FILES)
    with booting.boot(disk=disk) as machine:
        machine.disk = disk
        machine.login()
        booting.wait_booted(machine)
        yield machine


def pids(machine):
    listed = booting.services(machine)
    assert all(listed[name]['state'] == 'running' for name in KEPT), listed
    return {name: listed[name]['pid'] for name in KEPT}


def poison(machine, symbol, kind):
    """The next call of that function of init's is a fault: written as root in the machine."""
    at = address_of(symbol, machine.check('cat /proc/1/maps'), os.environ['CONIT_BUILD_KIND'])
    if at is None:
        raise booting.Skip(f'nobody can tell where {symbol} is in init')
    text = ''.join(f'\\x{byte:02x}' for byte in CODE[kind])
    machine.check(f"printf '{text}' | dd of=/proc/1/mem bs=1 seek={at} conv=notrunc 2>/dev/null")


def said(machine, pattern):
    """How often init has said it, by its journal: the console gets what it has room for."""
    return int(machine.check(f"slc journal conit -o cat | grep -c '{pattern}' || :"))


def check_goes_on(machine, before):
    now = pids(machine)
    assert now == before, (before, now)
    assert machine.check('cat /proc/1/comm').strip() == 'init'
    machine.check('for n in 1 2 3; do (sh -c "exit $n" & exec true); done; slc restart other')
    zombies = machine.check("for s in /proc/[0-9]*/stat; do read -r line < $s || continue; "
                            "case ${line##*) } in 'Z 1 '*) echo $line;; esac; done 2>/dev/null; :")
    assert not zombies.strip(), zombies


def test_real_faults_of_process_1_cost_no_service_anything(machine):
    before = pids(machine)
    for number, kind in enumerate(('SIGSEGV', 'SIGILL'), 1):
        poison(machine, 'reap_turn', kind)
        machine.check('kill -CHLD 1')
        machine.check('until slc journal conit -o cat | grep -q '
                      f'"A fault of init itself.*number={number} signal={kind}"; do usleep 50000; done')
        check_goes_on(machine, before)
    assert said(machine, 'A fault of init itself') == 2
    lines = machine.check('slc journal counts -o cat').split()
    assert lines == [str(i) for i in range(len(lines))], lines[-20:]


def test_a_signal_that_means_a_fault_is_said_with_its_sender(machine):
    before = pids(machine)
    sender = machine.check('sh -c \'echo $$; kill -SEGV 1\'').strip()
    machine.check('until slc journal conit -o cat | grep -q '
                  f'"was sent to init.*sender={sender} signal=SIGSEGV user=0"; do usleep 50000; done')
    check_goes_on(machine, before)


def test_process_1_is_upgraded_with_all_of_conit(machine):
    before = pids(machine)
    for program in ('init', 'service-launcher', 'service-journal'):
        machine.check(f'cd /usr/lib/conit && cp {program} new && mv new {program}')
    machine.check('slc upgrade')
    assert machine.check('stat -Lc %i /proc/1/exe') == machine.check('stat -c %i /usr/lib/conit/init')
    assert said(machine, 'Upgraded  *part=init') == 1
    check_goes_on(machine, before)


def test_what_is_no_init_is_not_gone_over_to(machine):
    before, inode = pids(machine), machine.check('stat -Lc %i /proc/1/exe')
    machine.check('cd /usr/lib/conit && mv init init.good && cp /bin/busybox init')
    status, text = machine.run('slc upgrade')
    assert status == 1 and 'init' in text and machine.check('stat -Lc %i /proc/1/exe') == inode, text
    machine.check('cd /usr/lib/conit && mv init.good init')
    check_goes_on(machine, before)


def test_an_init_with_too_many_faults_still_ends_the_machine_with_its_file_system_whole(machine):
    """Last, for it powers off."""
    before = pids(machine)
    for _ in range(3):
        poison(machine, 'reap_turn', 'SIGILL')
        machine.check('kill -CHLD 1')
        # It sleeps again: in epoll_wait(2), or in rt_sigtimedwait(2) where only the minimal loop is left.
        machine.check('until grep -qE "^(232|281|128) " /proc/1/syscall; do usleep 50000; done')
        if machine.check('cat /proc/1/syscall').startswith('128 '):
            break
    machine.expect('Init has had too many faults', anywhere=True)
    assert pids(machine) == before  # the launcher answers, whatever init does
    machine.check('(sh -c "exit 3" & exec true)')
    machine.send('kill -USR1 1')
    machine.wait_end()
    assert 'Power down' in machine.text, machine.tail()
    booting.check_file_system(machine.disk)
