"""A machine whose programs can be exchanged while it runs.

    with Upgrading() as machine:               copies of the programs, which put() and put_text() replace
        …
        machine.slc('upgrade')
"""
import json
import os
import pathlib
import shutil

from harness import BUILD, Machine

PROGRAMS = ('service-launcher', 'service-journal', 'compress-journal', 'follow-forks', 'slc', 'init')
PARTS = ('init', 'journal', 'launcher')


class Upgrading(Machine):
    def __init__(self):
        super().__init__()
        self.programs = self.folder / 'bin'
        self.programs.mkdir()
        for program in PROGRAMS:
            if (BUILD / program).exists():
                self.put(program, BUILD / program)

    def put(self, program, file):
        """As a package does: the running one keeps its file."""
        new = self.programs / f'{program}.new'
        shutil.copy2(file, new)
        os.rename(new, self.programs / program)

    def put_text(self, program, text, mode=0o755):
        new = self.programs / f'{program}.new'
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.chmod(mode)
        os.rename(new, self.programs / program)

    def put_back(self, program, build=BUILD):
        self.put(program, pathlib.Path(build) / program)

    def upgrade(self):
        """{part: reason} of what slc upgrade says; None: upgraded."""
        result = self.slc('--json', 'upgrade', check=False, timeout=120)
        parts = json.loads(result.stdout)['parts']
        kept = {part['name']: part['reason'] for part in parts}
        assert result.returncode == int(any(kept.values())), result
        assert [part['outcome'] for part in parts] == ['kept' if kept[part['name']] else 'upgraded'
                                                       for part in parts]
        return kept
