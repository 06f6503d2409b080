"""What the two seeds promised: gonit's config.yml and its layout, folders that are services."""
from harness import Machine
from services import booted, define, has_printed, look, shell, wait

GONIT = '''version: 0.1
title: Gonit based OS
services:
- name: networking
  description: Configures the networking
- name: terminals
  description: Arranges terminals
'''
PROGRAM = '#!/bin/sh\necho "$SERVICE_NAME here"\nexec sleep 100000\n'


def folder_service(folder, config, program=True, name='config.yaml'):
    folder.mkdir(parents=True)
    (folder / name).write_text(config)
    if program:
        (folder / 'bin').write_text(PROGRAM)
        (folder / 'bin').chmod(0o755)


def test_gonit_s_file_loads_as_it_is_and_its_list_is_the_order():
    with Machine() as machine:
        machine.config.write_text(GONIT)
        log = machine.folder / 'order'
        define(machine, 'terminals', exec='sleep 100000',
               before_start=[shell(f'echo terminals >>{log}')])
        define(machine, 'networking', type='task', exec=shell(f'sleep 0.2; echo networking >>{log}'))
        define(machine, 'unlisted', exec='sleep 100000')
        booted(machine)
        machine.wait_console(r'Starting services .*title="Gonit based OS" version=0\.1\b')
        assert log.read_text().split() == ['networking', 'terminals']
        assert look(machine, 'networking')['state'] == 'done'
        assert look(machine, 'terminals')['state'] == 'running'
        assert look(machine, 'unlisted')['state'] == 'stopped'


def test_a_listed_service_that_fails_does_not_keep_the_next_from_starting():
    with Machine() as machine:
        machine.config.write_text(GONIT + '- name: nowhere\n')
        define(machine, 'networking', type='task', exec='false')
        define(machine, 'terminals', exec='sleep 100000')
        booted(machine)
        wait(machine, 'terminals', 'running')
        assert look(machine, 'networking')['state'] == 'failed'
        machine.wait_console(r'ERRO\S+ .*service=nowhere')


def test_a_folder_is_a_service_with_its_program_and_its_logs():
    with Machine() as machine:
        folder_service(machine.services / 'web', 'description: Own folder\n')
        folder_service(machine.services / 'yml', 'description: other name\n', name='config.yml')
        folder_service(machine.services / 'both', 'description: yaml\n')
        (machine.services / 'both' / 'config.yml').write_text('description: yml\n')
        (machine.services / 'web' / 'logs').mkdir()
        (machine.services / 'empty').mkdir()
        booted(machine)
        assert {s['name'] for s in machine.json('list')} == {'web', 'yml', 'both'}
        for name in ('web', 'yml', 'both'):
            wait(machine, name, 'running')
        has_printed(machine, 'web', 'web here\n')
        found = list((machine.services / 'web' / 'logs').rglob('current'))
        assert len(found) == 1 and 'web here' in found[0].read_text(), found
        machine.wait_console(r'WARN\S+ .*both/config')
