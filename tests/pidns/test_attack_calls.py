"""Every method of the interface with every parameter of another kind, missing, too big or twice: made
from the interface's own description, so that what is added to it is tried, too."""
import json
import re

from harness import Machine
from services import booted, define, look
from storm import Connection

INTERFACE = 'org.conit.Launcher'
WRONG = 'org.varlink.service.InvalidParameter'
# These act whatever they are called with, if it is of the right kind: only what is refused is tried.
ALWAYS_ACT = ('Upgrade',)
# What keeps a method from doing anything where all else of the call is right.
HARMLESS = {'names': ['no-such-service'], 'how': 'no such way', 'signal': 'no such signal'}
OF_KIND = {'string': 'x', 'int': 1, 'bool': False, '[]string': ['x']}
STRANGE = {
    'string': ('', 'x' * 900000, '\u202e\n\x1b[2J', '%n', '../../etc', '-9'),
    'int': (-1, -2, 0, 1 << 31, 1 << 53, (1 << 63) - 1, -(1 << 63)),
    '[]string': ([], [''], ['x'] * 15000, ['no-such-service', '*'], ['\u202e'], ['x' * 900000]),
    'bool': (),
}
ANSWERS = {WRONG, f'{INTERFACE}.NoSuchService', 'org.varlink.service.ExpectedMore',
           f'{INTERFACE}.BadMessage'}


def methods_of(connection):
    """{method: {parameter: (kind, whether it may be missing)}}."""
    connection.socket.sendall(json.dumps({
        'method': 'org.varlink.service.GetInterfaceDescription',
        'parameters': {'interface': INTERFACE}}).encode() + b'\0')
    text = re.sub(r'#.*', '', connection.receive()['parameters']['description'])
    found = {}
    for name, inside in re.findall(r'^method (\w+)\((.*?)\)', text, re.M | re.S):
        found[name] = {key: (kind.lstrip('?'), kind.startswith('?')) for key, kind in
                       re.findall(r'(\w+): (\S+?)(?:,|$)', ' '.join(inside.split()))}
    return found


def others(kind):
    """A value of every kind but this one."""
    values = [value for other, value in OF_KIND.items() if other != kind]
    values += [1.5, {}, {'x': 'y'}, [1], [['x']], [None], [{}]]
    if kind == '[]string':
        values.append(['x', 1])
    return values


class Caller:
    """Calls over one connection, and over a new one where the launcher had to hang up."""

    def __init__(self, machine):
        self.machine, self.connection = machine, Connection(machine.runtime / 'control')

    def raw(self, method, parameters):
        """The error of the answer, of which there is one; None: there was none."""
        text = f'{{"method": "{INTERFACE}.{method}", "parameters": {parameters}}}\0'
        self.connection.socket.sendall(text.encode())
        reply = self.connection.receive()
        assert not reply.get('continues'), (method, parameters[:200], reply)
        error = reply.get('error')
        assert error is None or error in ANSWERS, (method, parameters[:200], reply)
        if error == f'{INTERFACE}.BadMessage':
            self.connection.close()
            self.connection = Connection(self.machine.runtime / 'control')
        return error

    def call(self, method, **parameters):
        return self.raw(method, json.dumps(parameters))


def base_of(parameters):
    """What a call needs, so that only one thing about it is wrong, and nothing comes of it."""
    return {key: HARMLESS.get(key, OF_KIND[kind]) for key, (kind, optional) in parameters.items()
            if not optional}


def leave_out(caller, method, key, without, optional):
    for error in (caller.call(method, **without), caller.call(method, **without | {key: None})):
        assert (error == WRONG) == (not optional) or method in ('ShutDown', 'Signal'), (
            method, key, error)


def attack(caller, method, parameters):
    base = base_of(parameters)
    assert caller.call(method, **base, no_such_parameter=None) == WRONG, method
    for key, (kind, optional) in parameters.items():
        for value in others(kind):
            assert caller.call(method, **base | {key: value}) == WRONG, (method, key, value)
        without = {name: value for name, value in base.items() if name != key}
        if method not in ALWAYS_ACT:
            leave_out(caller, method, key, without, optional)
        for value in STRANGE[kind]:
            if method not in ALWAYS_ACT and not (method == 'ShutDown' and key == 'how'):
                caller.call(method, **base | {key: value})
        twice = f'"{key}": {json.dumps(base.get(key, OF_KIND[kind]))}'
        rest = ''.join(f', {json.dumps(name)}: {json.dumps(value)}' for name, value in
                       without.items())
        assert caller.raw(method, f'{{{twice}, {twice}{rest}}}') == f'{INTERFACE}.BadMessage'
        for deep in ('[' * 1000 + ']' * 1000, '{"x":' * 5000 + '1' + '}' * 5000,
                     '[' * 100000 + ']' * 100000):
            error = caller.raw(method, f'{{"{key}": {deep}{rest}}}')
            assert error in (WRONG, f'{INTERFACE}.BadMessage'), (method, key, error)
    for wrong in ('[]', '"x"', '1', 'true'):
        assert caller.raw(method, wrong) == f'{INTERFACE}.BadMessage', (method, wrong)


def test_each_parameter_of_each_method_in_any_other_way_is_refused_and_harms_nothing():
    with Machine() as machine:
        define(machine, 'd', exec='sleep 100000', reload='signal HUP')
        booted(machine)
        before, launcher = look(machine, 'd'), machine.wait_pid_of('service-launcher')
        caller = Caller(machine)
        methods = methods_of(caller.connection)
        assert len(methods) >= 15 and methods['Signal']['names'] == ('[]string', False), methods
        for method, parameters in methods.items():
            attack(caller, method, parameters)
        caller.connection.close()
        assert machine.wait_pid_of('service-launcher') == launcher
        after = look(machine, 'd')
        assert {key: after[key] for key in ('state', 'pid', 'since', 'restarts')} == {
            key: before[key] for key in ('state', 'pid', 'since', 'restarts')}
        assert [service['name'] for service in machine.json('list')] == ['d']
