# An init that does what the real one does for its two children, and upgrades them: so that both can be
# tested by themselves. The harness puts a first line in front of this text. It holds descriptors,
# starts the children again when they die, reaps orphans and reports them, and carries out UPGRADE
# (src/protocol/hand-over.h). Of itself it says that it was upgraded, always.
import array
import os
import select
import signal
import socket
import struct
import sys
import time

VERSION, KEYS_MAX, ENDED_MAX = 1, 240, 120
(STORE, DROP, READY, PROGRESS, SHUT_DOWN, UPGRADE, DRAINED, REFUSED, ENDED_SEEN, YIELDED, FAILED,
 UPGRADED_SEEN) = range(1, 13)
HELD, HELD_DONE, ENDED, SIGNAL, DRAIN, LINE, YIELD, RESUME, UPGRADED = range(16, 25)
HEAD = struct.Struct('=HHIIii')
PAGE = 960
PARTS = {'journal': 2, 'launcher': 4}
WAIT = 10.0
FOLDER = os.path.dirname(os.path.realpath(sys.argv[0]))
ARGUMENTS = [*sys.argv[1:], '--container']

held = {}  # key: (fd, owners)
middle = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ended = []  # (pid, status), not acknowledged
result = None  # of an upgrade, until the launcher has seen it
end_how = None


class Child:
    def __init__(self, part, beside=False):
        self.part, self.ready, self.sent_ended, self.told_upgraded = part, False, 0, False
        self.owner, side = {'launcher': (1, 0), 'journal': (2, 1)}[part]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)  # SO_SNDBUFFORCE
        errors, said = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.setsid()
                os.dup2(theirs.fileno(), 103)
                os.dup2(middle[side].fileno(), 104)
                os.dup2(said, 105, inheritable=False)
                os.dup2(103, 3)
                os.dup2(104, 4)
                os.dup2(105, 5, inheritable=False)
                os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
                os.closerange(6, 4096)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                program = f'{FOLDER}/service-{part}'
                os.execv(program, [f'service-{part}', *ARGUMENTS])
            except OSError as error:
                os.write(5, os.strerror(error.errno).encode())
            os._exit(127)
        theirs.close()
        os.close(said)
        self.errors, self.link = errors, ours
        keys = [key for key, (_, owners) in sorted(held.items()) if owners & self.owner]
        for at in range(0, len(keys), KEYS_MAX):
            some = keys[at:at + KEYS_MAX]
            self.send(HELD, keys=some, fds=[held[key][0] for key in some])
        self.send(HELD_DONE, argument=int(beside))

    def send(self, kind, keys=(), fds=(), ended_pairs=(), text=b'', argument=0, status=0):
        payload = text
        if keys:
            payload = struct.pack(f'={len(keys)}I', *keys)
        for pair in ended_pairs:
            payload += struct.pack('=ii', *pair)
        message = HEAD.pack(VERSION, kind, 0, len(keys) or len(ended_pairs) or len(text), argument,
                            status) + payload.ljust(PAGE, b'\0')
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        try:
            self.link.sendmsg([message], rights)
        except OSError:
            pass  # it has died, which is seen

    def receive(self):
        """One message: (kind, owner, keys, fds, argument, status, text); None: none more."""
        try:
            data, rights, _, _ = self.link.recvmsg(HEAD.size + PAGE, socket.CMSG_SPACE(253 * 4),
                                                   socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            data, rights = b'', []
        if not data:
            return None
        fds = array.array('i')
        for _, _, bytes_ in rights:
            fds.frombytes(bytes_[:len(bytes_) // 4 * 4])
        _, kind, owner, count, argument, status = HEAD.unpack_from(data)
        page = data[HEAD.size:]
        keys = struct.unpack_from(f'={count}I', page) if kind in (STORE, DROP) else ()
        return kind, owner, keys, list(fds), argument, status, page[:count].decode(errors='replace')

    def why_ended(self, status):
        said = os.read(self.errors, 200).decode()
        if said:
            return said
        code = os.waitstatus_to_exitcode(status)
        return f'it ended with {code}' if code >= 0 else f'it was ended by signal {-code}'

    def close(self):
        self.link.close()
        os.close(self.errors)


def say(text):
    sys.stderr.write(f'fake init: {text}\n')
    sys.stderr.flush()


def forget(key, owners):
    if key not in held:
        return
    fd, has = held[key]
    if has & ~owners:
        held[key] = fd, has & ~owners
    else:
        os.close(fd)
        del held[key]


def act(child, message):
    """What is the same whoever sends it when."""
    global result, end_how
    kind, owner, keys, fds, argument, _, _ = message
    if kind == STORE:
        for key, fd in zip(keys, fds):
            forget(key, 3)
            held[key] = fd, owner
    elif kind == DROP:
        for key in keys:
            forget(key, owner)
    elif kind == READY:
        child.ready, child.sent_ended, child.told_upgraded = True, 0, False
    elif kind == ENDED_SEEN:
        del ended[:argument]
        child.sent_ended -= argument
    elif kind == UPGRADED_SEEN:
        result = None
    elif kind == SHUT_DOWN:
        end_how = argument


def reap(beside=False):
    """{pid: status} of what has ended. Only our own while no launcher works."""
    found = {}
    own = [child.pid for child in children.values()]
    while True:
        working = children['launcher'].ready and not beside
        for pid in [-1] if working else own:
            try:
                pid, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
            if pid:
                found[pid] = status
                if pid not in own:
                    ended.append((pid, status))
                break
        else:
            return found
        own = [pid for pid in own if pid not in found]


def tell(child):
    if child.part != 'launcher' or not child.ready:
        return
    while child.sent_ended < len(ended):
        some = ended[child.sent_ended:child.sent_ended + ENDED_MAX]
        child.send(ENDED, ended_pairs=some)
        child.sent_ended += len(some)
    if result and not child.told_upgraded:
        done, failed, text = result
        child.send(UPGRADED, argument=done, status=failed, text=text.encode())
        child.told_upgraded = True


def await_answer(child, kinds, beside):
    """The first message of these kinds, or (None, why): it has died, or said nothing in time."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        select.select([child.link], [], [], 0.05)
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        while (message := child.receive()) is not None:
            if message[0] in kinds:
                if pid:
                    child.dead = status
                return message, None
            if beside:
                return None, 'it stored something before it was ready'
            act(child, message)
        if pid:
            child.dead = status
            return None, child.why_ended(status)
    return None, f'it did not get ready within {WAIT:.0f} s' if beside else 'it did not make room'


def end(child):
    if not hasattr(child, 'dead'):
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
    child.close()


def try_part(part):
    """Returns why it failed, or None."""
    old = children[part]
    old.send(YIELD)
    message, why = await_answer(old, (YIELDED, FAILED), False)
    if hasattr(old, 'dead'):
        old.close()
        children[part] = Child(part)
        return why or 'it died'
    if not message or message[0] == FAILED:
        if not message:
            old.send(RESUME)
        return why or message[6]
    new = Child(part, beside=True)
    message, why = await_answer(new, (READY, FAILED, STORE, DROP), True)
    if message and message[0] == READY:
        children[part] = new
        end(old)
        act(new, message)
        if hasattr(new, 'dead'):
            new.close()
            children[part] = Child(part)
        return None
    if message:
        why = message[6] if message[0] == FAILED else 'it stored something before it was ready'
    end(new)
    old.send(RESUME)
    return why


def upgrade():
    global result
    done, failed, text = 1, 0, ''
    for part, bit in PARTS.items():
        why = try_part(part)
        say(f'{part}: {why or "upgraded"}')
        if why is None:
            done |= bit
        else:
            failed |= bit
            text += f'{part}: {why}\n'
    result, children['launcher'].told_upgraded = (done, failed, text), False


def turn():
    bell, _, _ = select.select([woken, *(child.link for child in children.values())], [], [], 1)
    if woken in bell:
        os.read(woken, 1000)
    dead = reap()
    wanted = False
    for part, child in list(children.items()):
        while (message := child.receive()) is not None:
            if message[0] == UPGRADE:
                wanted = True
            act(child, message)
        if child.pid in dead:
            say(f'{part}: {child.why_ended(dead[child.pid])}, started again')
            child.close()
            children[part] = Child(part)
        else:
            tell(child)
    if wanted:
        upgrade()
        tell(children['launcher'])


if len(sys.argv) > 1 and sys.argv[1] == '--try-state':
    sys.exit(0)
woken, bell_end = os.pipe()
os.set_blocking(bell_end, False)
os.set_blocking(woken, False)
signal.set_wakeup_fd(bell_end, warn_on_full_buffer=False)
signal.signal(signal.SIGCHLD, lambda *_: None)
children = {}
children['journal'] = Child('journal')
children['launcher'] = Child('launcher')
while end_how is None:
    turn()
