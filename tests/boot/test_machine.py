"""One boot of the machine that make run boots, and all that can be looked at while it runs."""
import contextlib
import json
import pathlib

import booting

TIMEOUT = 60  # each; the first waits for the boot

RUNNING = ['crond', 'getty@ttyS0', 'httpd', 'logins', 'networking', 'udhcpc@eth0']
DONE = ['hostname', 'loopback', 'modules']
# Instead of the one that is shipped: says on the console what it has got, so that a test can wait.
FILES = {
    '/etc/yml-services/udhcpc@.yml': 'exec: udhcpc -f -i %i -s /etc/udhcpc/default.script\n'
                                     'wants: [modules, hostname]\nconsole: yes\n',
    '/etc/yml-services/admin.yml': 'exec: httpd -f -p 81 -h /srv/admin\nneeds: [networking]\n',
    '/etc/yml-services/speaker.yml': 'type: task\nenabled: no\nscript: |\n  logger -t speaker I am a service\n  sleep 1\n',
    '/etc/yml-services/teller.yml': 'enabled: no\nscript: |\n  mkfifo /run/teller\n  exec 3<>/run/teller\n'
                                    '  while read line <&3; do echo $line; done\n',
    '/etc/yml-services/lower.yml': 'exec: sleep 100000\n',
    '/etc/yml-services/upper.yml': 'exec: sleep 100000\nneeds: [lower]\n',
    '/srv/admin/cgi-bin/restart': '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\n'
                                  'for n in $(seq 60); do slc restart crond >/dev/null || exit; done\n'
                                  'exec slc --json status crond\n',
}


@contextlib.contextmanager
def shared():
    ports = [booting.free_port(), booting.free_port()]
    with booting.boot(FILES, forwards=[(ports[0], 80), (ports[1], 81)]) as machine:
        machine.web_port, machine.admin_port = ports
        machine.login()
        booting.wait_booted(machine)
        machine.expect(r'eth0 has 10\.0\.2\.15/24', anywhere=True)
        yield machine


def test_boot_ends_with_one_line_that_counts_the_services(machine):
    line = machine.wait_started()
    fields = dict(booting.FIELD.findall(line))
    assert fields['failed'] == '1' and fields['names'] == 'broken', line
    assert int(fields['running']) >= len(RUNNING), line


def test_version_and_title_stand_on_the_console(machine):
    lines = [line for line in booting.lines_of_ours(machine.text) if 'Gonit based OS' in line]
    assert lines, machine.text
    fields = dict(booting.FIELD.findall(lines[0]))
    assert fields['title'] == '"Gonit based OS"' and fields['version'] == '0.1', lines[0]


def test_every_line_of_ours_has_the_one_format_with_its_fields_sorted(machine):
    lines = booting.lines_of_ours(machine.text)
    assert len(lines) > 3, machine.text
    for line in lines:
        assert booting.LINE.fullmatch(line), line
        message, gap, fields = line.partition('  ')
        if gap and '=' in fields:
            keys = [key for key, _ in booting.FIELD.findall(fields)]
            assert keys == sorted(keys), line


def test_list_shows_each_service_with_its_state(machine):
    listed = booting.services(machine)
    for name in RUNNING:
        assert listed[name]['state'] == 'running', listed[name]
    for name in DONE:
        assert listed[name]['state'] == 'done', listed[name]
        assert listed[name]['exit'] == {'code': 0}, listed[name]
    table = machine.check('slc list')
    for name in RUNNING + DONE:
        assert name in table, table


def test_a_broken_file_is_listed_with_its_place_and_what_to_write(machine):
    broken = booting.services(machine)['broken']
    assert broken['state'] == 'broken' and broken['pid'] is None, broken
    for part in ('broken.yml', 'exek', 'exec'):
        assert part in broken['reason'], broken['reason']
    assert ':2:' in broken['reason'], broken['reason']


def test_a_service_is_stopped_started_and_restarted(machine):
    first = booting.services(machine)['httpd']['pid']
    assert first, 'httpd has no pid'
    machine.check('slc stop httpd')
    assert booting.services(machine)['httpd']['state'] == 'stopped'
    assert machine.run('slc status httpd')[0] == 3
    assert machine.run(f'kill -0 {first}')[0] != 0, 'it still runs'
    machine.check('slc start httpd')
    second = booting.services(machine)['httpd']['pid']
    machine.check('slc restart httpd')
    third = booting.services(machine)['httpd']['pid']
    assert len({first, second, third}) == 3, (first, second, third)
    machine.check(f'kill -0 {third}')


def test_stopping_what_is_needed_stops_what_needs_it_and_a_start_brings_both_back(machine):
    machine.check('slc stop lower')
    listed = booting.services(machine)
    assert listed['upper']['state'] == 'stopped', listed['upper']
    assert 'lower' in listed['upper']['reason'], listed['upper']
    machine.check('slc start lower upper')
    assert booting.services(machine)['upper']['state'] == 'running'


def test_dhcp_gives_an_address_and_the_web_server_answers_the_host(machine):
    assert '10.0.2.15/24' in machine.check('ip -4 addr show dev eth0')
    assert 'default via 10.0.2.2 dev eth0' in machine.check('ip route')
    assert 'nameserver 10.0.2.3' in machine.check('cat /etc/resolv.conf')
    assert 'conit has booted' in booting.fetch(machine.web_port)


def test_the_journal_has_what_a_service_printed(machine):
    text = machine.check('slc journal udhcpc@eth0')
    assert 'eth0 has 10.0.2.15/24' in text, text
    assert len(machine.check('slc journal -n 1 udhcpc@eth0').splitlines()) == 1


def test_the_kernels_lines_are_in_a_journal_from_the_first_and_ours_are_not(machine):
    machine.check('echo "<4>from a program" > /dev/kmsg')
    text = machine.check('slc journal kernel -o cat')
    assert '[    0.000000] Linux version' in text, text[:300]
    assert 'Run /sbin/init as init process' in text, text[-600:]
    assert 'from a program' not in text and 'Starting services' not in text, text[-600:]
    counts = machine.check("dmesg | wc -l"), machine.check('slc journal kernel | wc -l')
    assert int(counts[1]) > 50, counts


def test_a_journal_that_was_killed_has_each_line_of_the_kernel_once(machine):
    before = machine.check('slc journal kernel -o cat')
    for _ in range(3):
        old = machine.check('until pidof service-journal; do :; done').strip()
        machine.check(f'kill -9 {old}')
        machine.check('echo m > /proc/sysrq-trigger')  # the kernel says how its memory is used
    lines = machine.check('slc journal kernel -o cat')
    assert lines.startswith(before.rstrip('\n').rsplit('\n', 1)[0])
    assert lines.count('sysrq: Show Memory') == 3, lines[-2000:]


def test_the_kernels_lines_are_taken_only_while_the_system_file_says_so(machine):
    def shown():
        return int(machine.check("slc journal kernel -o cat | grep -c 'sysrq: Show Memory'; true"))
    machine.check('cp /etc/conit.yml /run/conit.yml')
    before = shown()
    machine.check('echo "log: {kernel: no}" >> /etc/conit.yml && slc reload; true')  # a file is broken here
    machine.check('echo m > /proc/sysrq-trigger')
    assert shown() == before
    machine.check('cp /run/conit.yml /etc/conit.yml && slc reload; true')
    machine.check('echo m > /proc/sysrq-trigger')
    assert shown() == before + 2  # the kernel has kept what was not taken meanwhile


def test_when_the_clock_is_set_back_a_new_file_begins_and_times_are_found(machine):
    def tell(word):
        machine.check(f'until [ -p /run/teller ]; do :; done; echo {word} >/run/teller')
        machine.check(f'until slc journal teller -o cat | grep {word}; do :; done')
    machine.check('slc start teller')
    tell('earlier')
    machine.check('date -s @$(($(date +%s) - 7200))')
    tell('later')
    machine.check('date -s @$(($(date +%s) + 7200))')
    assert machine.check('slc journal teller -o cat').split() == ['earlier', 'later']
    assert machine.check('slc journal teller -o cat --since -1h').split() == ['earlier']
    assert machine.check('slc journal teller -o cat --until -1h').split() == ['later']
    current = machine.check('cat /var/log/conit/teller/current')
    assert ' later' in current and ' earlier' not in current, current
    machine.check('slc stop teller')


def test_what_is_written_to_dev_log_is_in_the_journal_of_its_service_or_in_syslog(machine):
    machine.check('logger -t someone "at the shell"')
    found = [name for name in ('syslog', 'getty@ttyS0')
             if 'someone: at the shell' in machine.check(f'slc journal {name} -o cat')]
    assert len(found) == 1, found
    machine.check('slc start speaker')
    assert 'speaker: I am a service' in machine.check('slc journal speaker -o cat')
    assert 'I am a service' not in machine.check('slc journal syslog -o cat')


def test_an_instance_of_a_template_is_listed_and_the_template_is_not(machine):
    listed = booting.services(machine)
    assert 'getty@' not in listed and 'udhcpc@' not in listed, sorted(listed)
    assert machine.run('slc start getty@')[0] == 4
    assert 'SERVICE_INSTANCE=eth0' in machine.check(
        "tr '\\0' '\\n' < /proc/$(pidof udhcpc)/environ")


def test_hostname_is_the_first_word_that_is_no_comment(machine):
    assert machine.check('hostname').strip() == 'conit'
    assert machine.check('cat /proc/sys/kernel/hostname').strip() == 'conit'


def test_programs_find_their_descriptors_in_dev(machine):
    machine.check('echo through > /dev/stdout; echo aside > /dev/stderr; test -e /dev/fd/0')


def test_every_mount_is_there_exactly_once(machine):
    mounts = [line.split() for line in machine.check('cat /proc/self/mountinfo').splitlines()]
    kinds = [(fields[4], fields[fields.index('-') + 1]) for fields in mounts if '-' in fields]
    for place, kind in {'/': 'ext4', '/proc': 'proc', '/sys': 'sysfs', '/dev': 'devtmpfs',
                        '/dev/pts': 'devpts', '/dev/shm': 'tmpfs', '/run': 'tmpfs',
                        '/sys/fs/cgroup': 'cgroup2'}.items():
        assert [found for where, found in kinds if where == place] == [kind], (place, kinds)


def test_programs_are_static_and_init_is_pid_1(machine):
    assert machine.check('readlink /proc/1/exe').strip() == '/usr/lib/conit/init'
    maps = machine.check('cat /proc/1/maps')
    assert '.so' not in maps, maps


def test_a_shell_at_the_login_has_a_controlling_terminal(machine):
    assert machine.check('tty').strip() == '/dev/ttyS0'
    machine.send("sh -c 'echo asleep; exec sleep 1000'")
    machine.expect(r'^asleep\n')
    machine.send('\x03', end='')  # Ctrl-C reaches what is in the foreground, and only that
    machine.send('echo still-here')
    machine.expect(r'^still-here\n')


def test_no_zombie_stays_when_orphans_end(machine):
    machine.check('for n in 1 2 3 4 5; do (sh -c "exit $n" & exec true) ; done')
    machine.check('slc restart crond')  # a round through the launcher, after all of them
    zombies = machine.check("for s in /proc/[0-9]*/stat; do read -r line < $s || continue; "
                            "case ${line##*) } in 'Z 1 '*) echo $line;; esac; done 2>/dev/null; :")
    assert not zombies.strip(), zombies


def test_killing_launcher_and_journal_restarts_no_service(machine):
    before = booting.services(machine)
    for program in ('service-launcher', 'service-journal') * 3:
        old = machine.check(f'pidof {program}').strip()
        machine.check(f'kill -9 {old}')
        after = booting.services(machine)
        for name in RUNNING:
            assert after[name]['pid'] == before[name]['pid'], (program, name)
            assert after[name]['state'] == 'running', (program, after[name])
    assert machine.check('cat /proc/1/comm').strip() == 'init'


def test_a_console_stopped_with_ctrl_s_stops_nothing(machine):
    machine.send('\x13', end='')
    try:
        status = json.loads(booting.fetch(machine.admin_port, '/cgi-bin/restart'))
    finally:
        machine.send('\x11', end='')
    assert status['state'] == 'running', status
    machine.check('true')


def test_help_and_version_answer(machine):
    assert 'poweroff' in machine.check('slc help')
    assert machine.check('slc version').strip()


def test_slc_check_accepts_every_file_that_is_shipped(machine):
    names = sorted(path.name for path in
                   (pathlib.Path(__file__).parents[2] / 'services').glob('*.yml'))
    assert len(names) > 5
    machine.check('slc check ' + ' '.join(f'/etc/yml-services/{name}' for name in names))
    status, text = machine.run('slc check /etc/yml-services/broken.yml')
    assert status == 1 and 'exek' in text, text


def test_poweroff_ends_everything_in_order(machine):
    machine.send('slc poweroff')
    machine.wait_end()
    assert 'Power down' in machine.text, machine.tail()
