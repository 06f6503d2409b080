"""Bad instructions for a running init, and where to write them."""
import pathlib
import platform
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The files that out/ and the flat folder have copies of, but with their symbols.
FILES = {'asan': ROOT / 'build/test/src/init/init', 'release': ROOT / 'build/small/src/init/init',
         'coverage': ROOT / 'build/coverage/src/init/init'}
DYNAMIC = b'\3\0'  # the type of an ELF file that can be anywhere

# x86-64 code, each a real fault of its kind.
CODE = {
    'SIGSEGV': bytes.fromhex('31c08b00'),                          # reads address 0
    'SIGILL': bytes.fromhex('0f0b'),                               # no instruction
    'SIGFPE': bytes.fromhex('31c9f7f1'),                           # divides by zero
    'SIGBUS': bytes.fromhex('9c810c24000004009d8b442401'),         # aligned access only, then not
    'SIGABRT': bytes.fromhex('b8270000000f0589c789c6ba06000000b8ea0000000f05'),  # as abort(3) does
    'STACK': bytes.fromhex('e8fbffffff'),                          # calls itself for ever
}


def address_of(symbol, maps, build):
    """Where a function is in an init of that build which has these /proc/PID/maps; None where nobody can
    tell, or the instructions are no use."""
    file = FILES.get(build)
    if not file or not file.exists() or platform.machine() != 'x86_64' or not shutil.which('nm'):
        return None
    listed = subprocess.run(['nm', '--defined-only', file], capture_output=True, text=True, check=True)
    found = [line.split()[0] for line in listed.stdout.splitlines() if line.endswith(f' {symbol}')]
    assert len(found) == 1, f'{symbol} is {len(found)} times in {file}'
    base = next(line for line in maps.splitlines() if line.rstrip().endswith('/init')).split('-')[0]
    return int(found[0], 16) + (int(base, 16) if file.read_bytes()[16:18] == DYNAMIC else 0)
