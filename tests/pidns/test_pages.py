"""Manual pages and completions: made from the programs, rendered, and asked for in real shells."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness import BUILD, ROOT, Machine, Skip
from services import booted, define

PAGES = ['conit-service.5', 'follow-forks.8', 'init.8', 'run-on-pid-ns.1', 'service-journal.8',
         'service-launcher.8', 'slc.1']


class Pages:
    def __init__(self, machine, folder):
        self.machine, self.folder = machine, folder
        self.environment = {**os.environ, 'PATH': f'{BUILD}:{os.environ["PATH"]}',
                            'CONIT_RUNTIME': str(machine.runtime), 'HOME': str(folder),
                            'XDG_CONFIG_HOME': str(folder), 'XDG_DATA_HOME': str(folder)}

    def run(self, *command, **options):
        """A shell, in a session of its own: one without a terminal."""
        if not shutil.which(command[0]):
            raise Skip(f'there is no {command[0]} here')
        return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=60, check=False, env=self.environment,
                              stdin=subprocess.DEVNULL, start_new_session=True, **options)


@contextlib.contextmanager
def shared():
    with Machine() as machine, tempfile.TemporaryDirectory() as folder:
        define(machine, 'web', exec='sleep 100000')
        define(machine, 'worker', exec='sleep 100000')
        booted(machine)
        subprocess.run([ROOT / 'scripts/make-pages', BUILD, folder], check=True, timeout=120)
        yield Pages(machine, pathlib.Path(folder))


# Manual pages.

def test_every_page_renders_without_a_warning(pages):
    assert sorted(os.listdir(pages.folder / 'man')) == PAGES
    for name in PAGES:
        path = pages.folder / 'man' / name
        result = pages.run('groff', '-ww', '-man', '-Tutf8', '-rHY=0', path)
        assert result.returncode == 0 and result.stderr == '', (name, result.stderr)
        result = pages.run('man', '-l', path)
        assert result.returncode == 0 and result.stderr == '', (name, result.stderr)
        assert 'NAME' in result.stdout and len(result.stdout.splitlines()) > 15, name


def test_what_is_installed_and_removed_again_is_every_page(_):
    script = (ROOT / 'scripts/install-tree').read_text(encoding='utf-8')
    assert sorted(re.search(r'^pages="(.+)"$', script, re.M).group(1).split()) == PAGES


def test_mandoc_finds_no_error_in_a_page(pages):
    for name in PAGES:
        result = pages.run('mandoc', '-Tlint', '-Wwarning', pages.folder / 'man' / name)
        # The date is left out, for it would be that of the build.
        left = [line for line in (result.stdout + result.stderr).splitlines() if 'date' not in line]
        assert not left, left[:5]


def test_the_pages_name_every_verb_option_and_key(pages):
    read = lambda name: pages.run('man', '-l', pages.folder / 'man' / name).stdout
    text = read('slc.1')
    for line in pages.machine.slc('help').stdout.split('\n\n')[1].splitlines()[1:]:
        assert f'\n       {line.split()[0]}' in text, line
    assert '--no-wait' in text and 'EXIT STATUS' in text
    text = read('conit-service.5')
    for key in ('exec', 'before-start', 'start-timeout', 'oom-score-adj', 'restart'):
        assert f'\n       {key}' in text, key
    assert '--etc DIR' in read('init.8') and '--keep-proc' in read('run-on-pid-ns.1')


# Completions.

def bash(pages, line):
    """What bash offers for the last word of the line."""
    script = (f'source {pages.folder}/completions/slc.bash; COMP_WORDS=({line}); '
              'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _slc; printf "%s\\n" "${COMPREPLY[@]}"')
    result = pages.run('bash', '-c', script)
    assert result.returncode == 0 and result.stderr == '', result
    return result.stdout.split()


def fish(pages, line):
    script = f"source {pages.folder}/completions/slc.fish; complete -C '{line}'"
    result = pages.run('fish', '--no-config', '-c', script)
    assert result.returncode == 0, result
    return [word.split('\t')[0] for word in result.stdout.splitlines()]


def test_bash_completes_verbs_names_signals_states_and_options(pages):
    assert pages.run('bash', '-n', pages.folder / 'completions/slc.bash').returncode == 0
    assert bash(pages, 'slc st') == ['status', 'start', 'stop']
    assert bash(pages, 'slc stop w') == ['web', 'worker']
    assert bash(pages, 'slc journal ke') == ['kernel']
    assert bash(pages, 'slc journal we') == ['web']
    assert bash(pages, 'slc signal HU') == ['HUP']
    assert bash(pages, 'slc signal HUP we') == ['web']
    assert bash(pages, 'slc wait web --state run') == ['running']
    assert bash(pages, 'slc journal -p e') == ['emerg', 'err']
    assert bash(pages, 'slc journal -o ""') == ['short', 'cat', 'json']
    assert bash(pages, 'slc journal -b wo') == ['worker']
    assert bash(pages, 'slc stop --no') == ['--no-wait']
    assert bash(pages, 'slc stop --timeout 5s wo') == ['worker']
    assert '--json' in bash(pages, 'slc stop --')
    assert bash(pages, 'slc help rel') == ['reload']
    assert '/etc/passwd' in bash(pages, 'slc check /etc/passw')


def test_fish_completes_verbs_names_signals_states_and_options(pages):
    assert pages.run('fish', '-n', pages.folder / 'completions/slc.fish').returncode == 0
    assert sorted(fish(pages, 'slc st')) == ['start', 'status', 'stop']
    assert fish(pages, 'slc stop w') == ['web', 'worker']
    assert fish(pages, 'slc journal ke') == ['kernel']
    assert 'HUP' in fish(pages, 'slc signal HU')
    assert fish(pages, 'slc signal HUP we') == ['web']
    assert fish(pages, 'slc wait web --state run') == ['running']
    assert fish(pages, 'slc journal -p e') == ['emerg', 'err']
    assert fish(pages, 'slc stop --no') == ['--no-wait']
    assert fish(pages, 'slc help rel') == ['reload']


ZSH = '''
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execvp('zsh', ['zsh', '-f', '-i'])
def until(word):
    text = b''
    while word not in text:
        if not select.select([fd], [], [], 30)[0]:
            sys.exit(f'no {word!r} in {text!r}')
        text += os.read(fd, 65536)
    return text
os.write(fd, ("PS1=; fpath=(" + sys.argv[1] + " $fpath); autoload -Uz compinit; compinit -u -D; "
              "unsetopt zle_bracketed_paste; bindkey '^I' complete-word; "
              "setopt no_beep; echo RE''ADY\\n").encode())
until(b'READY')
os.write(fd, sys.argv[2].encode() + b'\\t')
print(until(sys.argv[3].encode()).decode(errors='replace'))
os.write(fd, b'\\x15exit\\n')
os.waitpid(pid, 0)
'''


def test_zsh_completes_verbs_names_and_signals(pages):
    if not shutil.which('zsh'):
        raise Skip('there is no zsh here')
    assert pages.run('zsh', '-n', pages.folder / 'completions/_slc').returncode == 0
    for line, expected in (('slc res', 'restart'), ('slc stop wo', 'worker'), ('slc disa', 'disable'),
                           ('slc journal ke', 'kernel'), ('slc journal wo', 'worker'),
                           ('slc journal -p not', 'notice'),
                           ('slc signal STK', 'STKFLT'), ('slc stop --no-', '--no-wait')):
        result = pages.run('/usr/bin/python3', '-c', ZSH, pages.folder / 'completions', line, expected)
        assert result.returncode == 0, (line, result)
