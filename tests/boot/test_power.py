"""The ways a machine ends and comes back, each with boots of its own."""
import booting

TIMEOUT = 240

# Says in its journal that it was asked to stop and ended by itself. Not looked for on the console,
# which gets what it has room for and is never waited for.
FAREWELL = {
    '/etc/yml-services/farewell.yml':
        'script: |\n'
        '  trap \'echo "last words"; exit 0\' TERM\n'
        '  echo "here I am"\n'
        '  while :; do sleep 1000 & wait $! || :; done\n',
}


def end_in_order(end, kernel_line):
    """Boots, calls end(machine), and asserts that services were stopped before the kernel's line."""
    disk = booting.make_disk(FAREWELL)
    with booting.boot(disk=disk) as machine:
        machine.login()
        booting.wait_booted(machine)
        end(machine)
        machine.expect(kernel_line)
        if 'halted' not in kernel_line:
            machine.wait_end()
    text = booting.read_disk(disk, '/var/log/conit/farewell/current')
    assert 'here I am' in text and 'last words' in text, text + machine.tail()
    booting.check_file_system(disk)


def test_sigusr1_powers_off():
    end_in_order(lambda machine: machine.send('kill -USR1 1'), 'Power down')


def test_sigterm_reboots():
    end_in_order(lambda machine: machine.send('kill -TERM 1'), 'Restarting system')


def test_ctrl_alt_del_reboots_in_order():
    end_in_order(lambda machine: machine.monitor('sendkey ctrl-alt-delete'), 'Restarting system')


def test_slc_reboot_reboots_in_order():
    end_in_order(lambda machine: machine.send('slc reboot'), 'Restarting system')


def test_slc_halt_stops_the_machine_and_leaves_it_on():
    end_in_order(lambda machine: machine.send('slc halt'), 'System halted')


def test_last_words_are_in_the_journal_at_the_next_boot():
    disk = booting.make_disk(FAREWELL)
    with booting.boot(disk=disk) as machine:
        machine.login()
        booting.wait_booted(machine)
        booting.power_off(machine)
    booting.check_file_system(disk)
    with booting.boot(disk=disk) as machine:
        machine.login()
        text = machine.check('slc journal farewell')
        assert text.index('here I am') < text.index('last words'), text
        booting.power_off(machine)


def test_five_boots_with_changes_leave_a_whole_file_system_each_time():
    disk = booting.make_disk()
    for number in range(1, 6):
        with booting.boot(disk=disk) as machine:
            machine.login()
            machine.check(f'echo boot {number} >>/root/boots; cp /bin/busybox /root/copy-{number}')
            assert machine.check('cat /root/boots').splitlines() == \
                [f'boot {seen}' for seen in range(1, number + 1)]
            booting.power_off(machine)
        booting.check_file_system(disk)


def test_a_service_that_ignores_sigterm_is_killed_after_its_time_out():
    files = {'/etc/yml-services/stubborn.yml':
             'script: |\n  trap "" TERM\n  while :; do sleep 1000; done\n'}
    with booting.boot(files) as machine:
        machine.login()
        machine.send('slc poweroff')
        # 10 s is the default time-out; the console says before that what is waited for.
        machine.expect('stubborn', 30)
        machine.wait_end()
        assert 'Power down' in machine.text, machine.tail()
