"""Where a program's functions have their return address, for each of their instructions: what inject.c
reads stacks by. Compilers write it down for debuggers (.eh_frame, .debug_frame). musl's functions come
without; for those it is told from what their instructions do to the stack pointer."""
import bisect
import re
import struct
import subprocess

ROW = struct.Struct('<Qq')
UNKNOWN = -1
FUNCTION = re.compile(r'^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)')
LINE = re.compile(r'^([0-9a-f]{16}) +(\S+) ')
SYMBOL = re.compile(r'^([0-9a-f]{16}) <')
INSTRUCTION = re.compile(r'^ +([0-9a-f]+):\t(\S+) *(\S*)')


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def offset_of(frame):
    """The words `rsp+16`: the caller's frame begins 16 above the stack pointer, behind the return address."""
    register, _, distance = frame.partition('+')
    return int(distance) - 8 if register == 'rsp' else UNKNOWN


def written_rows(program):
    """({address: offset}, [(a function's begin, its end)]) of what the compiler wrote down."""
    rows, functions, inside = {}, [], False
    for line in output_of('readelf', '--debug-dump=frames-interp', program):
        if ' CIE ' in line:
            inside = False
        elif found := FUNCTION.match(line):
            functions.append((int(found[1], 16), int(found[2], 16)))
            rows[functions[-1][0]], inside = 0, True
        elif inside and (found := LINE.match(line)):
            rows[int(found[1], 16)] = offset_of(found[2])
    return rows, sorted(functions)


def moved(name, operand):
    """How much further from the return address the stack pointer is after an instruction; None: who knows."""
    if name.startswith(('push', 'pop')):
        return 8 if name.startswith('push') else -8
    if not operand.endswith(',%rsp'):
        return 0
    found = re.match(r'^\$(-?0x[0-9a-f]+),%rsp$', operand)
    if not found or name not in ('sub', 'add'):
        return None
    size = int(found[1], 16)
    if size >= 1 << 63:
        size -= 1 << 64
    return size if name == 'sub' else -size


def guessed_rows(program, functions):
    """{address: offset} of all other functions. Behind a jump or a return the depth is the deepest one so
    far: what is put back before a return is there again in what follows it."""
    begins, rows = [begin for begin, _ in functions], {}
    depth, deepest = 0, 0
    for line in output_of('objdump', '-d', '--no-show-raw-insn', program):
        if SYMBOL.match(line):
            depth, deepest = 0, 0
        elif found := INSTRUCTION.match(line):
            address = int(found[1], 16)
            at = bisect.bisect_right(begins, address) - 1
            if at >= 0 and address < functions[at][1]:
                continue
            rows[address] = depth if depth is not None else UNKNOWN
            change = moved(found[2], found[3])
            depth = None if depth is None or change is None else depth + change
            deepest = max(deepest, depth or 0)
            if found[2] in ('ret', 'jmp'):
                depth = deepest
    return rows


def write(program, path, guess):
    """`guess`: it holds functions without a table."""
    rows, functions = written_rows(str(program))
    ends = dict.fromkeys((end for _, end in functions), UNKNOWN)
    rows = {**ends, **(guessed_rows(str(program), functions) if guess else {}), **rows}
    path.write_bytes(b''.join(ROW.pack(*row) for row in sorted(rows.items())))
