"""Other roots than the usual: an empty /dev, a system file that is none, gonit's layout, a host
folder by 9p; and the commands that people start machines with."""
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import tempfile
import time

import booting
import image as images
import machine as machines

TIMEOUT = 240
ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_an_empty_dev_still_leads_to_the_login():
    with booting.boot(device_nodes=False) as machine:
        machine.login()
        assert booting.lines_of_ours(machine.text), machine.text
        booting.power_off(machine)


def test_a_system_file_that_cannot_be_read_hurts_only_itself():
    with booting.boot({'/etc/conit.yml': 'version: [\ntitle: "no end\n'}) as machine:
        machine.login()
        assert 'conit.yml' in machine.text, machine.text
        booting.wait_booted(machine)
        assert booting.services(machine)['httpd']['state'] == 'running'
        booting.power_off(machine)


def test_missing_launcher_keeps_the_machine_alive_and_sends_help_to_the_console():
    with booting.boot({'/usr/lib/conit/service-launcher': None}) as machine:
        machine.expect(r'(ERRO|WARN|FATL)\[.*service-launcher', machines.BOOT_TIMEOUT)
        machine.expect(r'# ', machines.BOOT_TIMEOUT)  # the rescue shell
        machine.send("echo rescue'-'shell $$")
        machine.expect(r'^rescue-shell \d+')
        machine.send('kill -USR1 1')
        machine.wait_end()
        assert 'Power down' in machine.text, machine.tail()


def test_services_of_gonits_layout_start_in_the_order_of_its_list():
    files = {
        '/system/config.yaml': 'version: 0.1\ntitle: Gonit based OS\nservices:\n'
                               '  - name: zebra\n    description: Comes first\n'
                               '  - name: antelope\n  - name: getty@ttyS0\n',
        '/system/services/zebra/config.yaml': 'console: yes\n',
        '/system/services/zebra/bin': '#!/bin/sh\necho zebra is up\nexec sleep 1000\n',
        '/system/services/antelope/config.yaml': 'type: task\n',
        '/system/services/antelope/logs/README': 'A folder of this name takes the journal.\n',
        '/system/services/antelope/bin': '#!/bin/sh\necho antelope was here\n',
    }
    with booting.boot(files) as machine:
        machine.login()
        booting.wait_booted(machine)
        listed = booting.services(machine)
        assert listed['zebra']['state'] == 'running', listed['zebra']
        assert listed['antelope']['state'] == 'done', listed['antelope']
        assert listed['zebra']['since'] <= listed['antelope']['since'], listed
        assert listed['httpd']['state'] == 'stopped', 'it is not in the list'
        assert 'antelope was here' in machine.check('cat /system/services/antelope/logs/current')
        assert 'no service has that name' not in machine.run('slc check')[1]
        booting.power_off(machine)


def test_a_host_folder_is_the_root_and_a_change_is_seen_at_the_next_boot():
    kernel = booting.kernel('9p')
    folder = tempfile.mkdtemp(prefix='root.')
    tree, initramfs = os.path.join(folder, 'tree'), os.path.join(folder, 'initramfs')
    images.make_tree(tree, kernel)
    images.make_initramfs(initramfs, kernel)
    service = pathlib.Path(tree) / 'etc/yml-services/from-the-host.yml'
    for text in ('first', 'second'):
        service.write_text(f'type: task\nexec: echo the {text} text\n')
        with machines.Machine(kernel, folder=tree, initramfs=initramfs) as machine:
            machine.login()
            booting.wait_booted(machine)
            assert f'the {text} text' in machine.check('slc journal from-the-host')
            booting.power_off(machine)
    journal = pathlib.Path(tree) / 'var/log/conit/from-the-host/current'
    assert journal.read_bytes().count(b' text') == 2


def vm_run(*arguments, folder, **options):
    return subprocess.run([str(ROOT / 'vm/run'), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False,
                          env={**os.environ, 'CONIT_VM': folder}, **options)


def test_make_run_without_a_terminal_lists_the_services_powers_off_and_ends_with_0():
    booting.kernel()
    result = vm_run(folder=tempfile.mkdtemp(prefix='run.'))
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r'running +httpd ', result.stdout, re.M), result.stdout
    assert 'powered off in order' in result.stdout, result.stdout


def read_until(terminal, pattern, timeout):
    """What the terminal says, up to the pattern."""
    text, deadline = '', time.monotonic() + timeout
    while not re.search(pattern, text):
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f'no {pattern!r} within {timeout} s:\n{text}'
        text += os.read(terminal, 65536).decode(errors='replace')
    return text


def test_kill_vm_ends_its_own_machine_and_no_other():
    kernel = booting.kernel()
    folder = tempfile.mkdtemp(prefix='run.')
    with machines.Machine(kernel, image=booting.make_disk()) as other:
        other.login()
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ['CONIT_VM'] = folder
            os.execv(ROOT / 'vm/run', ['vm/run'])
        try:
            text = read_until(terminal, r'\w login: ', machines.BOOT_TIMEOUT)
            assert 'Ctrl-A X' in text and 'no password' in text, text
            assert vm_run(folder=folder).returncode == 1, 'a second one started beside it'
            result = vm_run('--kill', folder=folder)
            assert result.returncode == 0 and f'ended {pid}' in result.stdout, result.stdout
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            _, status = os.waitpid(pid, 0)
            os.close(terminal)
        assert os.waitstatus_to_exitcode(status) in (0, -15), status
        assert 'no machine' in vm_run('--kill', folder=folder).stdout
        assert other.check('echo alive').strip() == 'alive'
        assert other.qemu.poll() is None
