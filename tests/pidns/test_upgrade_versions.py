"""Upgrades between two builds whose states have other layouts, there and back: fields in other places, some
longer, some more, and another version."""
import os

from harness import BUILD, DEADLINE, ROOT, Skip, until
from services import booted, define, look, outer_pid, printed, shell, wait
from test_journal import EVENT, machine
from test_survive import picture, populate
from test_upgrade import UPGRADED, in_the_middle, open_gate, running
from test_upgrade_journal import Printer, numbers, upgrade
from upgrading import Upgrading

VARIANT = ROOT / 'build/variant/src'


def variant(program):
    file = VARIANT / program / program
    if not file.exists():
        raise Skip(f'{file} is not there: make variant')
    return file


def runs_the_file(m):
    """Whether the one launcher there is was made of the file on the disk; the old one may still be ending."""
    try:
        size = os.stat(f"/proc/{m.pid_of('service-launcher')}/exe").st_size
    except FileNotFoundError:
        return False
    return size == os.stat(m.programs / 'service-launcher').st_size


def test_services_in_every_state_are_the_same_under_a_launcher_and_a_journal_of_another_version_and_back():
    files = {program: variant(program) for program in ('service-launcher', 'service-journal')}
    with Upgrading() as m:
        populate(m)
        in_the_middle(m)
        define(m, 'prints', exec=shell(
            'i=0; while :; do echo $i; i=$((i+1)); [ $((i % 50)) != 0 ] || sleep 0.02; done'))
        m.boot()
        m.wait_answer()
        for name, state in (('back', 'backing-off'), ('forks', 'running'), ('pre', 'starting'),
                            ('ready', 'starting'), ('post', 'starting'), ('task', 'starting'),
                            ('prints', 'running'), ('s19', 'running'), ('failed', 'failed'),
                            ('once', 'done')):
            wait(m, name, state)
        m.slc('start', 'stops')
        until(lambda: 'ready' in printed(m, 'stops'), 'it is set up')
        m.slc('stop', '--no-wait', 'stops')
        with running(m, 'start', 'behind') as start:
            before = picture(m)
            lines = look(m, 'once')['journal_counts']
            for number in range(4):
                for program, file in files.items():
                    if number % 2:
                        m.put_back(program)
                    else:
                        m.put(program, file)
                assert m.upgrade() == UPGRADED, m.console()
                until(lambda: runs_the_file(m), 'the old one is gone, the one on the disk runs')
                after = picture(m)
                assert after == before, [(a, after.get(a), before.get(a)) for a in before | after
                                         if after.get(a) != before.get(a)]
                assert look(m, 'once')['journal_counts'] == lines
                m.kill_launcher()  # one that has taken over is taken over from as any other
                m.kill_journal()
            for name in ('pre', 'task', 'stop', 'post'):
                open_gate(m, name)
            (m.folder / 'is-ready').touch()
            assert start.wait(DEADLINE) == 0, start.stderr.read()
        wait(m, 'task', 'failed')
        wait(m, 'stops', 'stopped')
        for name in ('pre', 'ready', 'post', 'behind'):
            wait(m, name, 'running')
        for service in before.values():
            if service['pid'] and service['state'] == 'running':
                assert outer_pid(m, service['pid'])
        m.slc('stop', 'prints')
        found = printed(m, 'prints').split()
        assert found == [str(i) for i in range(len(found))] and found
        assert look(m, 'prints')['journal_counts']['lines'] == len(found)
        m.quiet()


def test_a_journal_of_another_version_goes_on_in_the_middle_of_lines_and_back():
    other = variant('service-journal')
    with machine() as m:
        out = m.service(0, 'web', text=str(m.folder / 'own').encode())
        printer = Printer(m.service(1, 'printer'))
        m.wait_done()
        expected = []
        try:
            for number in range(10):
                os.write(out, b'%d be' % number)
                upgrade(m, other if number % 2 == 0 else os.fspath(BUILD / 'service-journal'))
                os.write(out, b'gun\n')
                expected.append(b'%d begun' % number)
                m.say_link(EVENT, 1, text=b'event')
        finally:
            count = printer.finish()
        m.drain()
        text = (m.folder / 'own/current').read_bytes()
        assert [line.split(b' info ')[1] for line in text.splitlines()] == expected, text
        assert count and numbers(m, 'printer') == list(range(count))
        os.close(out)
