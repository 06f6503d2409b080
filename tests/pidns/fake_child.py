# A launcher or journal that does only what the test says. The harness puts a first line and
# SOCKET = … in front of this text. It speaks hand-over (src/protocol/hand-over.h) with init on
# descriptor 3, and lines of JSON with the test on SOCKET.
import array
import json
import os
import select
import signal
import socket
import struct
import sys

VERSION = 1
TYPES = {'STORE': 1, 'DROP': 2, 'READY': 3, 'PROGRESS': 4, 'SHUT_DOWN': 5, 'UPGRADE': 6,
         'DRAINED': 7, 'REFUSED': 8, 'ENDED_SEEN': 9, 'YIELDED': 10, 'FAILED': 11,
         'UPGRADED_SEEN': 12, 'HELD': 16, 'HELD_DONE': 17, 'ENDED': 18,
         'SIGNAL': 19, 'DRAIN': 20, 'LINE': 21, 'YIELD': 22, 'RESUME': 23, 'UPGRADED': 24}
NAMES = {number: name for name, number in TYPES.items()}
HEAD = struct.Struct('=HHIIii')
PAGE = 960

init = socket.socket(fileno=3)
test = socket.socket(socket.AF_UNIX)
auto_seen = True


def tell(kind, **fields):
    test.sendall(json.dumps(dict(fields, type=kind)).encode() + b'\n')


def page_of(order):
    if 'keys' in order:
        return struct.pack(f'={len(order["keys"])}I', *order['keys']), len(order['keys'])
    text = order.get('text', '').encode()
    return text, len(text)


def send(order):
    page, count = page_of(order)
    count = order.get('count', count)
    message = HEAD.pack(order.get('version', VERSION), TYPES.get(order['type'], order['type']),
                        order.get('owner', 0), count, order.get('argument', 0),
                        order.get('status', 0)) + page.ljust(PAGE, b'\0')
    fds = []
    if order.get('fds'):
        for key in order['keys']:
            fds.append(os.memfd_create('held'))
            os.write(fds[-1], f'{key} {os.getpid()}'.encode())
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
    init.sendmsg([message[:order.get('bytes', len(message))]], rights)
    for fd in fds:
        os.close(fd)
    tell('SENT')


def receive():
    message, rights, _, _ = init.recvmsg(HEAD.size + PAGE, socket.CMSG_SPACE(253 * 4))
    if not message:
        sys.exit('init has gone')
    fds = array.array('i')
    for _, _, data in rights:
        fds.frombytes(data[:len(data) // 4 * 4])
    _, kind, owner, count, argument, status = HEAD.unpack_from(message)
    event = {'owner': owner, 'argument': argument, 'status': status, 'count': count}
    name = NAMES.get(kind, str(kind))
    page = message[HEAD.size:]
    if name in ('HELD', 'REFUSED', 'DROP'):
        event['keys'] = list(struct.unpack_from(f'={count}I', page))
        event['contents'] = [os.pread(fd, 100, 0).decode(errors='replace') for fd in fds]
    elif name == 'ENDED':
        event['ended'] = [list(struct.unpack_from('=ii', page, i * 8)) for i in range(count)]
        if auto_seen:
            init.send(HEAD.pack(VERSION, TYPES['ENDED_SEEN'], 0, 0, count, 0).ljust(
                HEAD.size + PAGE, b'\0'))
    elif name in ('LINE', 'UPGRADED'):
        event['text'] = page[:count].decode(errors='replace')
    for fd in fds:
        os.close(fd)
    tell(name, **event)


def spawn_orphans(order):
    """Forks twice, so that init inherits: each grandchild ends with 3 (or waits, `wait`)."""
    middle = os.fork()
    if middle == 0:
        ignore = order.get('ignore_term')
        signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore else signal.SIG_DFL)
        reading, writing = os.pipe()
        for _ in range(order['count']):
            if os.fork() == 0:
                os.close(writing)
                os.read(reading, 1)  # until all are there and the parent is gone
                if order.get('wait'):
                    for fd in range(3, 30):
                        if fd not in (reading,):
                            try:
                                os.close(fd)
                            except OSError:
                                pass
                    while True:
                        signal.pause()
                os._exit(3)
        os._exit(0)
    os.waitpid(middle, 0)
    tell('SPAWNED')


def obey(order):
    global auto_seen
    if order['do'] == 'send':
        send(order)
    elif order['do'] == 'orphans':
        spawn_orphans(order)
    elif order['do'] == 'exit':
        os._exit(order['code'])
    elif order['do'] == 'silent':
        auto_seen = False
        tell('SILENT')
    elif order['do'] == 'close':
        init.close()
        tell('CLOSED')
    elif order['do'] == 'shell':
        tell('SHELL', code=os.system(order['command']))


def main():
    try:
        test.connect(SOCKET)
    except OSError:
        os._exit(9)  # the test is over
    signal.signal(signal.SIGTERM, lambda *_: (tell('TERM'), os._exit(0)))
    links = {str(fd): os.readlink(f'/proc/self/fd/{fd}') for fd in range(0, 20)
             if os.path.lexists(f'/proc/self/fd/{fd}') and fd != test.fileno()}
    tell('STARTED', inner=os.getpid(), arguments=sys.argv[1:], fds=links,
         session=os.getsid(0), blocked=len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    pending = b''
    while True:
        watched = [test] + ([init] if init.fileno() >= 0 else [])
        readable = select.select(watched, [], [])[0]
        if init in readable:
            receive()
        if test in readable:
            data = test.recv(1 << 16)
            if not data:
                os._exit(0)
            *lines, pending = (pending + data).split(b'\n')
            for line in lines:
                obey(json.loads(line))


main()
