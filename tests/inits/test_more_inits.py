"""The init systems of Debian that `make test` leaves to `make test-inits`, as tests/pidns/test_nested_inits.py has the
others. Debian's packages of Finit and of OpenRC under sysvinit are rarely installed, and all that is special about them
to us is how they are told to stop."""
from nested import check_boot_and_stop

BUILDS = ['release']
TIMEOUT = 300


def test_finit_runs_as_a_service_and_is_powered_off_by_a_stop():
    check_boot_and_stop('finit')


def test_openrc_under_sysvinit_runs_as_a_service_and_goes_to_runlevel_0_by_a_stop():
    check_boot_and_stop('openrc')
