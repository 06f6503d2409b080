"""The console itself (vm/machine.py): when a machine is given up, and what is said of it then."""
import re
import time

import booting
import machine as machines


def gives_up(machine, timeout):
    """(the words, seconds) of an expect() whose text never comes."""
    begin = time.monotonic()
    try:
        machine.expect('this is never said', timeout)
    except machines.Timeout as error:
        return str(error), time.monotonic() - begin
    raise AssertionError('it was said')


def test_of_a_machine_that_says_nothing_it_is_told_what_its_processor_does():
    with machines.Machine(booting.kernel(), append='console=ttyS1 init=/nowhere') as machine:
        machine.monitor('stop')
        words, _ = gives_up(machine, 0.2)
        assert re.search(r'said nothing at all; VM status: paused.*[RE]IP=[0-9a-f]{8}', words), words


def test_time_in_which_others_had_the_processors_does_not_count_within_bounds():
    with machines.Machine(booting.kernel()) as machine:
        machine.monitor('stop')
        begin = time.monotonic()
        # Others had it half of the time; and all of it, which is no reason to wait for ever.
        for share, least in (0, 0.5), (0.5, 1), (2, 0.5 * machines.STRETCH):
            machine.waited = lambda share=share: {'1': (time.monotonic() - begin) * share}
            _, seconds = gives_up(machine, 0.5)
            assert seconds >= least, (share, seconds)
