/* Bad values in service files, key by key: each is told with its place and what to write instead.
 */
#include "bad-file.h"
#include "base/text.h"
#include "test.h"

TEST(an_expression_that_is_none_or_costs_too_much_is_refused)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nready: {log: '(a'}\n"),
         "2:14: 'ready.log' is no POSIX extended regular expression: a '(' has no ')': write "
         "'\\(' for a parenthesis"},
        {FILE_OF("exec: a\nready: {log: 'port \\d'}\n"),
         "2:14: 'ready.log' is no POSIX extended regular expression: '\\d' is none of POSIX: write "
         "'[0-9]'"},
        {FILE_OF("exec: a\nready: {log: '(a)\\1'}\n"),
         "2:14: 'ready.log' is no POSIX extended regular expression: there are no "
         "back-references, as '\\1' is one"},
        {FILE_OF("exec: a\nready: {log: [a]}\n"),
         "2:14: 'ready.log' is one value, not a list: write 'ready.log: listening on port'"},
        {FILE_OF("exec: a\nready: log\n"),
         "2:8: 'ready: log' needs a value: write 'ready: {log: \342\200\246}'"},
    };
    CHECK_ALL(list);
}

TEST(which_process_is_the_main_one_is_said_well_or_refused)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nforks: {pid-file: /run/a}\n"),
         "2:1: 'forks' has a meaning only for a program that goes to the background by itself: "
         "write 'type: forking' too, or remove it"},
        {FILE_OF("exec: a\ntype: forking\nforks: /run/a\n"),
         "3:8: 'forks' is a mapping, not one value: write 'forks: {pid-file: /run/NAME.pid}'"},
        {FILE_OF("exec: a\ntype: forking\nforks: {pidfile: /run/a}\n"),
         "3:9: 'forks' has no key 'pidfile': did you mean 'pid-file'?"},
        {FILE_OF("exec: a\ntype: forking\nforks: {pid-file: a.pid}\n"),
         "3:19: 'forks.pid-file' is a whole path, from '/', not 'a.pid'"},
        {FILE_OF("exec: a\ntype: forking\nforks: {main: /sbin/a}\n"),
         "3:15: 'forks.main' is the name of a program without its folder, as dhclient, not "
         "'/sbin/a'"},
    };
    CHECK_ALL(list);
}

TEST(a_quota_that_cannot_be_kept_is_refused)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nlog: 16M\n"),
         "2:6: 'log' is a mapping, not one value: write 'log: {max-size: 16M, keep: 4}'"},
        {FILE_OF("exec: a\nlog: {size: 16M}\n"),
         "2:7: 'log' has no key 'size': write max-size, keep, max-age or rate, or remove it"},
        {FILE_OF("exec: a\nlog: {max-size: 16X}\n"),
         "2:17: 'log.max-size' is a size, not '16X': write 16M, 1G, or a number of bytes"},
        {FILE_OF("exec: a\nlog: {max-size: 65535}\n"),
         "2:17: 'log.max-size: 65535' is too little: at least 64K"},
        {FILE_OF("exec: a\nlog: {max-size: 1048577G}\n"),
         "2:17: 'log.max-size: 1048577G' is too much: at most 1048576G"},
        {FILE_OF("exec: a\nlog: {keep: -1}\n"),
         "2:13: 'log.keep' is how many sealed files are kept beside the current one, 0 to 10000, "
         "not '-1'"},
        {FILE_OF("exec: a\nlog: {max-age: 500ms}\n"),
         "2:16: 'log.max-age' is a time in whole seconds, not '500ms': write 12h, 30d, 730d, or "
         "never"},
        {FILE_OF("exec: a\nlog: {max-age: 0}\n"),
         "2:16: 'log.max-age: 0' keeps nothing: write 'never' for no limit"},
        {FILE_OF("exec: a\nlog: {max-age: 50000d}\n"),
         "2:16: 'log.max-age: 50000d' is too long: at most 49710d, or never"},
        {FILE_OF("exec: a\nlog: {rate: 1000}\n"),
         "2:13: 'log.rate' is lines in a time, not '1000': write 1000/s, 5000/10s or 100/min, or "
         "none"},
        {FILE_OF("exec: a\nlog: {rate: 5/10}\n"),
         "2:13: 'log.rate' is lines in a time, not '5/10': write 1000/s, 5000/10s or 100/min, or "
         "none"},
        {FILE_OF("exec: a\nlog: {rate: 0/s}\n"),
         "2:13: 'log.rate: 0/s' would drop every line: write at least 1/d, or none"},
        {FILE_OF("exec: a\nlog: {rate: 1/2d}\n"),
         "2:13: 'log.rate: 1/2d' is too much: at most 1000000000 lines, in a day"},
        {FILE_OF("type: target\nlog: {keep: 1}\n"), "2:1: 'log' has no meaning for a target, which "
                                                    "runs nothing: remove it, or 'type: target'"},
        {FILE_OF("exec: a\nlog: {max-size: [1M], keep: {a: b}, max-age: [1d], rate: [1/s]}\n"),
         "2:17: 'log.max-size' is one value, not a list: write 'log.max-size: 16M'\n"
         "2:29: 'log.keep' is one value, not a mapping: write 'log.keep: 4'\n"
         "2:46: 'log.max-age' is one value, not a list: write 'log.max-age: 30d'\n"
         "2:58: 'log.rate' is one value, not a list: write 'log.rate: 1000/s'"},
        {FILE_OF("exec: a\nlog: {max-size: 99999999999999999999, keep: 10001, rate: "
                 "99999999999999999999/s}\n"),
         "2:17: 'log.max-size: 99999999999999999999' is too much: at most 1048576G\n"
         "2:45: 'log.keep' is how many sealed files are kept beside the current one, 0 to 10000, "
         "not '10001'\n"
         "2:58: 'log.rate: 99999999999999999999/s' is too much: at most 1000000000 lines, in a "
         "day"},
        {FILE_OF("exec: a\nlog: {rate: 1000000001/s}\n"),
         "2:13: 'log.rate: 1000000001/s' is too much: at most 1000000000 lines, in a day"},
        {FILE_OF("exec: a\nlog: {rate: 4294967296/s}\n"),
         "2:13: 'log.rate: 4294967296/s' is too much: at most 1000000000 lines, in a day"},
        {FILE_OF("exec: a\nlog: {rate: 1/50d}\n"),
         "2:13: 'log.rate: 1/50d' is too much: at most 1000000000 lines, in a day"},
        {FILE_OF("exec: a\nlog: {rate: 1/0s}\n"),
         "2:13: 'log.rate: 1/0s' would drop every line: write at least 1/d, or none"},
    };
    CHECK_ALL(list);
}

static const struct bad wrong_values[] = {
    {FILE_OF("exec:\n"),
     "1:6: 'exec' has no value: write one, as in 'exec: /bin/program -v', or remove it"},
    {FILE_OF("exec: ''\n"), "1:7: 'exec' names no program: write 'exec: /bin/program'"},
    {FILE_OF("exec: []\n"), "1:7: 'exec' names no program: write 'exec: /bin/program'"},
    {FILE_OF("exec: {a: b}\n"),
     "1:7: 'exec' is a command line, or a list of words: write 'exec: /bin/program -v'"},
    {FILE_OF("exec: [a, [b]]\n"),
     "1:11: a value of 'exec' is one word: write '\"\"' for an empty one"},
    {FILE_OF("exec: [a, ~]\n"),
     "1:11: a value of 'exec' is one word: write '\"\"' for an empty one"},
    {FILE_OF("args: text\nexec: a\n"),
     "1:7: 'args' is a list, not one value: write 'args: [\"-v\", \"a word\"]'"},
    {FILE_OF("script: ''\n"), "1:9: 'script' is empty: write the commands, or remove it"},
    {FILE_OF("script: [a]\n"),
     "1:9: 'script' is one value, not a list: write 'script: echo hello'"},
    {FILE_OF("exec: a\nneeds: b\n"),
     "2:8: 'needs' is a list, not one value: write 'needs: [networking]'"},
    {FILE_OF("exec: a\nneeds: [{a: b}]\n"),
     "2:9: 'needs' is a list of names: write 'needs: [networking]'"},
    {FILE_OF("exec: a\nneeds: {a: b}\n"),
     "2:8: 'needs' is a list, not a mapping: write 'needs: [networking]'"},
    {FILE_OF("exec: a\nneeds:\n"),
     "2:7: 'needs' has no value: write one, as in 'needs: [networking]', or remove it"},
    {FILE_OF("exec: a\nenabled: maybe\n"),
     "2:10: 'enabled' is yes or no, not 'maybe': write 'enabled: yes' without quotes"},
    {FILE_OF("exec: a\nenabled: 'yes'\n"),
     "2:10: 'enabled' is yes or no, not 'yes': write 'enabled: yes' without quotes"},
    {FILE_OF("exec: a\nenabled: [yes]\n"),
     "2:10: 'enabled' is one value, not a list: write 'enabled: yes'"},
    {FILE_OF("exec: a\nenabled: 1\n"),
     "2:10: 'enabled' is yes or no, not '1': write 'enabled: yes' without quotes"},
    {FILE_OF("exec: a\nstart-timeout: 5 parsecs\n"),
     "2:16: 'start-timeout' is a time, not '5 parsecs': write 200ms, 5s, 2min, 1h, 1d, a "
     "number of seconds, or never"},
    {FILE_OF("exec: a\nstart-timeout: 100d\n"),
     "2:16: 'start-timeout: 100d' is too long: at most 49d, or never"},
    {FILE_OF("exec: a\nstart-timeout: 0\n"),
     "2:16: 'start-timeout: 0' leaves no time to start: write 'never' for no limit"},
    {FILE_OF("exec: a\nstart-timeout: -1\n"),
     "2:16: 'start-timeout' is a time, not '-1': write 200ms, 5s, 2min, 1h, 1d, a number of "
     "seconds, or never"},
    {FILE_OF("exec: a\nstop: HUP\n"),
     "2:7: 'stop' is a mapping, not one value: write 'stop: {signal: TERM, timeout: 10s}'"},
    {FILE_OF("exec: a\nstop: {signal: FOO}\n"),
     "2:16: 'stop.signal' is a signal, and 'FOO' is none: write its name, as TERM, HUP or "
     "RTMIN+1, or its number"},
    {FILE_OF("exec: a\nstop: {kill: some}\n"),
     "2:14: 'stop.kill' is all, group or main, not 'some'"},
    {FILE_OF("exec: a\nstop: {timeout: x}\n"),
     "2:17: 'stop.timeout' is a time, not 'x': write 200ms, 5s, 2min, 1h, 1d, a number of "
     "seconds, or never"},
    {FILE_OF("exec: a\nrestart: sometimes\n"),
     "2:10: 'restart' is always, on-failure or never, not 'sometimes'"},
    {FILE_OF("exec: a\nrestart: [a]\n"),
     "2:10: 'restart' is a word or a mapping, not a list: write 'restart: on-failure' or "
     "'restart: {policy: on-failure, delay: 1s}'"},
    {FILE_OF("exec: a\nrestart: {delay: never}\n"),
     "2:18: 'restart.delay' cannot be never: write a time, or 'restart: never' for no restart"},
    {FILE_OF("exec: a\nrestart: {factor: 0.5}\n"),
     "2:19: 'restart.factor' is a number from 1 to 1000, as 2 or 1.5, not '0.5'"},
    {FILE_OF("exec: a\nrestart: {jitter: 101}\n"),
     "2:19: 'restart.jitter' is a part in percent, 0 to 100, as '10%', not '101'"},
    {FILE_OF("exec: a\nrestart: {limit: -1}\n"),
     "2:18: 'restart.limit' is how many restarts in a row there may be, not '-1': write a "
     "number, or remove it for no limit"},
    {FILE_OF("exec: a\nrestart: {delay: 1min, max: 1s}\n"),
     "2:29: 'restart.max' is less than 'restart.delay': write a longer one"},
    {FILE_OF("exec: a\nready: soon\n"),
     "2:8: 'ready' knows no 'soon': write 'exec', 'notify', or one of 'fd', 'pid-file', 'file', "
     "'tcp', 'unix', 'log', 'exec' with its value"},
    {FILE_OF("exec: a\nready: [tcp]\n"),
     "2:8: 'ready' is one word or one 'KIND: VALUE': write 'ready: notify' or 'ready: {tcp: "
     "\"127.0.0.1:80\"}'"},
    {FILE_OF("exec: a\nready: {fd: 3, notify: yes}\n"),
     "2:8: 'ready' is one word or one 'KIND: VALUE': write 'ready: notify' or 'ready: {tcp: "
     "\"127.0.0.1:80\"}'"},
    {FILE_OF("exec: a\nready: tcp\n"),
     "2:8: 'ready: tcp' needs a value: write 'ready: {tcp: \342\200\246}'"},
    {FILE_OF("exec: a\nready: {notify: yes}\n"),
     "2:9: 'notify' takes no value: write 'ready: notify'"},
    {FILE_OF("exec: a\nready: {fd: 2}\n"),
     "2:13: 'ready.fd' is the number of a descriptor, 3 to 1023, not '2' (0 to 2 are its standard "
     "ones): write 'ready: {fd: 3}'"},
    {FILE_OF("exec: a\nready: {fd: 1024}\n"),
     "2:13: 'ready.fd' is the number of a descriptor, 3 to 1023, not '1024' (0 to 2 are its "
     "standard ones): write 'ready: {fd: 3}'"},
    {FILE_OF("exec: a\nready: {file: x}\n"),
     "2:15: 'ready.file' is a whole path, from '/', not 'x'"},
    {FILE_OF("exec: a\nready: {tcp: '80'}\n"),
     "2:14: 'ready.tcp' is HOST:PORT, not '80': write '127.0.0.1:80', '[::1]:80' or "
     "'localhost:80'"},
    {FILE_OF("exec: a\nready: {tcp: 'example.org:80'}\n"),
     "2:14: 'ready.tcp: example.org:80': the host is a number or localhost, for names are not "
     "looked up: write '127.0.0.1:80' or '[::1]:80'"},
    {FILE_OF("exec: a\nready: {tcp: 'localhost:0'}\n"),
     "2:14: 'ready.tcp: localhost:0': a port is 1 to 65535"},
    {FILE_OF("exec: a\ntype: task\nready: notify\n"),
     "3:1: a task is ready when it has ended with 0: remove 'ready', or 'type: task'"},
    {FILE_OF("exec: a\nwatchdog: 0\n"),
     "2:11: 'watchdog: 0' leaves no time to report: write 'never' for none"},
    {FILE_OF("exec: a\nready: {fd: 3}\nwatchdog: 5s\n"),
     "3:1: 'watchdog' is for a program that speaks sd_notify: write 'ready: notify' too, instead "
     "of 'fd'"},
    {FILE_OF("exec: a\ntype: task\nwatchdog: 5s\n"),
     "3:1: 'watchdog' has no meaning for a task, which is not to stay up: remove it, and write "
     "'start-timeout' for how long it may take"},
    {FILE_OF("exec: a\nwhen: x\n"),
     "2:7: 'when' is a list, not one value: write 'when: [{exists: /path}]'"},
    {FILE_OF("exec: a\nwhen: [{exist: /x}]\n"),
     "2:9: a condition is 'exists: /path', 'executable: /path', 'kernel-arg: word', or 'not: "
     "{exists: /path}'"},
    {FILE_OF("exec: a\nwhen: [{exists: x}]\n"),
     "2:17: 'exists' is a whole path, from '/', not 'x'"},
    {FILE_OF("exec: a\ngroups: root\n"),
     "2:9: 'groups' is a list, not one value: write 'groups: [audio, video]'"},
    {FILE_OF("exec: a\nuser: [root]\n"),
     "2:7: 'user' is one value, not a list: write 'user: www-data'"},
    {FILE_OF("exec: a\ndir: relative\n"), "2:6: 'dir' is a whole path, from '/', not 'relative'"},
    {FILE_OF("exec: a\numask: 8\n"), "2:8: 'umask' is octal, 0 to 777, as 022, not '8'"},
    {FILE_OF("exec: a\numask: 7777\n"), "2:8: 'umask' is octal, 0 to 777, as 022, not '7777'"},
    {FILE_OF("exec: a\nenv: [A=b]\n"),
     "2:6: 'env' is a mapping, not a list: write 'env: {LANG: C}'"},
    {FILE_OF("exec: a\nenv: {'A=': b}\n"),
     "2:7: 'A=' is no name for a variable: use letters, digits and '_', and no '='"},
    {FILE_OF("exec: a\nenv: {A: [b]}\n"),
     "2:10: the variable 'A' is a text, not a list: write 'A: text'"},
    {FILE_OF("exec: a\nenv:\n"),
     "2:5: 'env' has no value: write one, as in 'env: {LANG: C}', or remove it"},
    {FILE_OF("exec: a\nlimits: 5\n"),
     "2:9: 'limits' is a mapping, not one value: write 'limits: {nofile: 1024}'"},
    {FILE_OF("exec: a\nlimits: {nofile: many}\n"),
     "2:18: 'limits.nofile' is a number, as 1024, or unlimited, or two of them as [soft, "
     "hard]"},
    {FILE_OF("exec: a\nlimits: {nofile: [5, 4]}\n"),
     "2:18: 'limits.nofile': the soft limit is above the hard one: write the smaller first"},
    {FILE_OF("exec: a\nlimits: {nofile: [5]}\n"),
     "2:18: 'limits.nofile' is a number, as 1024, or unlimited, or two of them as [soft, "
     "hard]"},
    {FILE_OF("exec: a\nstdin: tty\n"),
     "2:8: 'stdin: tty' needs a terminal: write 'tty: /dev/tty1' too"},
    {FILE_OF("exec: a\nstdin: null\ntty: tty1\n"),
     "2:8: 'tty' is the standard input already: remove 'stdin'"},
    {FILE_OF("exec: a\nstdin: x\n"),
     "2:8: 'stdin' is null, tty or a whole path, from '/': write 'stdin: null'"},
    {FILE_OF("exec: a\ntty: ../x\n"), "2:6: 'tty' is a device, as /dev/tty1 or tty1, not '../x'"},
    {FILE_OF("exec: a\nconsole: perhaps\n"),
     "2:10: 'console' is yes or no, not 'perhaps': write 'console: yes' without quotes"},
    {FILE_OF("exec: a\nreload: SIGHUP\n"),
     "2:9: 'reload: SIGHUP' is a command: write 'signal SIGHUP', or the program's path for a "
     "command"},
    {FILE_OF("exec: a\nreload: signal\n"),
     "2:9: 'reload: signal' names no signal: write 'signal HUP', or the program's path for "
     "a command"},
    {FILE_OF("exec: a\nreload: signal FOO\n"),
     "2:9: 'reload: signal FOO' names no signal: write 'signal HUP', or the program's path for "
     "a command"},
    {FILE_OF("exec: a\nbefore-start: {a: b}\n"),
     "2:15: 'before-start' is a command line, or a list of words: write 'before-start: "
     "/bin/program -v'"},
    {FILE_OF("exec: a\nbefore-start: [a, {b: c}]\n"),
     "2:19: 'before-start' is a command line, or a list of words: write 'before-start: "
     "/bin/program -v'"},
    {FILE_OF("exec: a\nlimits: {memlock: 1T}\n"),
     "2:19: 'limits.memlock' is a size in bytes, as 16M, or unlimited, or two of them as "
     "[soft, hard]"},
    {FILE_OF("exec: a\nlimits: {nofile: 18446744073709551616}\n"),
     "2:18: 'limits.nofile' is a number, as 1024, or unlimited, or two of them as [soft, "
     "hard]"},
    {FILE_OF("exec: a\nneeds: ~\n"),
     "2:8: 'needs' has no value: write one, as in 'needs: [networking]', or remove it"},
    {FILE_OF("exec: a\nwhen: [{not: {not: x}}]\n"),
     "2:20: a condition is 'exists: /path', 'executable: /path', 'kernel-arg: word', or 'not: "
     "{exists: /path}'"},
    {FILE_OF("exec: a\nwhen: [{exists: /x, executable: /y}]\n"),
     "2:8: a condition is 'exists: /path', 'executable: /path', 'kernel-arg: word', or 'not: "
     "{exists: /path}'"},
    {FILE_OF("exec: a\nstop: {signal: 33}\n"),
     "2:16: 'stop.signal' is a signal, and '33' is none: write its name, as TERM, HUP or "
     "RTMIN+1, or its number"},
    {FILE_OF(
         "exec: a\ndescription: [a]\ntype: [a]\ndir: [a]\nwatchdog: [a]\nstart-timeout: {a: b}\n"),
     "2:14: 'description' is one value, not a list: write 'description: some words'\n"
     "3:7: 'type' is one value, not a list: write 'type: daemon'\n"
     "4:6: 'dir' is one value, not a list: write 'dir: /a/path'\n"
     "5:11: 'watchdog' is one value, not a list: write 'watchdog: 10s'\n"
     "6:16: 'start-timeout' is one value, not a mapping: write 'start-timeout: 10s'"},
    {FILE_OF(
         "exec: a\numask: [1]\nstdin: [a]\ntty: [a]\nio: [a]\nsched: [a]\noom-score-adj: [a]\n"),
     "2:8: 'umask' is one value, not a list: write 'umask: 022'\n"
     "3:8: 'stdin' is null, tty or a whole path, from '/': write 'stdin: null'\n"
     "4:6: 'tty' is one value, not a list: write 'tty: /dev/tty1'\n"
     "5:5: 'io' is one value, not a list: write 'io: best-effort 6'\n"
     "6:8: 'sched' is one value, not a list: write 'sched: batch'\n"
     "7:16: 'oom-score-adj' is one value, not a list: write 'oom-score-adj: -500'"},
    {FILE_OF("exec: a\nstop: {signal: [a], timeout: [a], exec: {}, kill: [a]}\n"),
     "2:16: 'stop.signal' is one value, not a list: write 'stop.signal: TERM'\n"
     "2:30: 'stop.timeout' is one value, not a list: write 'stop.timeout: 10s'\n"
     "2:41: 'stop.exec' is a command line, or a list of words: write 'stop.exec: /bin/program -v'\n"
     "2:51: 'stop.kill' is one value, not a list: write 'stop.kill: all'"},
    {FILE_OF("exec: a\nrestart: {policy: [a], delay: [a], factor: [a], jitter: [a], limit: [a]}\n"),
     "2:19: 'restart.policy' is one value, not a list: write 'restart.policy: always'\n"
     "2:31: 'restart.delay' is one value, not a list: write 'restart.delay: 10s'\n"
     "2:44: 'restart.factor' is one value, not a list: write 'restart.factor: 2'\n"
     "2:57: 'restart.jitter' is one value, not a list: write 'restart.jitter: 10%'\n"
     "2:69: 'restart.limit' is one value, not a list: write 'restart.limit: 5'"},
    {FILE_OF("exec: a\nrestart: {factor: x, limit: 4294967295}\n"),
     "2:19: 'restart.factor' is a number from 1 to 1000, as 2 or 1.5, not 'x'\n"
     "2:29: 'restart.limit' is how many restarts in a row there may be, not '4294967295': write a "
     "number, or remove it for no limit"},
    {FILE_OF("exec: a\nrestart: {factor: 1001}\n"),
     "2:19: 'restart.factor' is a number from 1 to 1000, as 2 or 1.5, not '1001'"},
    {FILE_OF("exec: a\nready: {fd: [3]}\n"),
     "2:13: 'ready.fd' is one value, not a list: write 'ready.fd: 3'"},
    {FILE_OF("exec: a\nready: {fd: three}\n"),
     "2:13: 'ready.fd' is the number of a descriptor, 3 to 1023, not 'three' (0 to 2 are its "
     "standard ones): write 'ready: {fd: 3}'"},
    {FILE_OF("exec: a\nready: {tcp: [a]}\n"),
     "2:14: 'ready.tcp' is one value, not a list: write 'ready.tcp: '127.0.0.1:80''"},
    {FILE_OF("exec: a\nready: {tcp: '%q'}\n"),
     "2:15: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    {FILE_OF("exec: a\nready: {unix: a}\n"),
     "2:15: 'ready.unix' is a whole path, from '/', not 'a'"},
    {FILE_OF("exec: a\nready: {unix: "
             "/123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
             "56789012345678901234567}\n"),
     "2:15: 'ready.unix' has 108 bytes, and a socket's path at most 107"},
    {FILE_OF("exec: a\ntype: task\nready: soon\nwatchdog: x\n"),
     "3:8: 'ready' knows no 'soon': write 'exec', 'notify', or one of 'fd', 'pid-file', 'file', "
     "'tcp', 'unix', 'log', 'exec' with its value\n"
     "4:11: 'watchdog' is a time, not 'x': write 200ms, 5s, 2min, 1h, 1d, a number of seconds, or "
     "never"},
    {FILE_OF("exec: a\ntype: forking\nforks: {main: [a]}\n"),
     "3:15: 'forks.main' is one value, not a list: write 'forks.main: some words'"},
    {FILE_OF("exec: a\ntype: forking\nforks: {main: ''}\n"),
     "3:15: 'forks.main' is the name of a program without its folder, as dhclient, not ''"},
    {FILE_OF("exec: a\ntty: ''\n"), "2:6: 'tty' is a device, as /dev/tty1 or tty1, not ''"},
    {FILE_OF("exec: a\ntty: tty%q\n"),
     "2:9: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    {FILE_OF("exec: a\ndir: /%q\n"),
     "2:7: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    {FILE_OF("exec: a\nneeds: ['%q', b]\n"),
     "2:10: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    {FILE_OF("exec: a\nneeds: [~, b]\n"),
     "2:9: 'needs' is a list of names: write 'needs: [networking]'"},
    {FILE_OF("exec: a\nlimits: {zzzzzz: 5, nofile: [x, 5], core: [5, {}]}\n"),
     "2:10: there is no limit 'zzzzzz': write one of ulimit's, as nofile\n"
     "2:30: 'limits.nofile' is a number, as 1024, or unlimited, or two of them as [soft, hard]\n"
     "2:47: 'limits.core' is a size in bytes, as 16M, or unlimited, or two of them as [soft, "
     "hard]"},
    {FILE_OF("exec: a\nlimits: {nofile: 18446744073709551615}\n"),
     "2:18: 'limits.nofile' is a number, as 1024, or unlimited, or two of them as [soft, hard]"},
    {FILE_OF("exec: a\nenv: {'': b, C: '%q', D: e}\n"),
     "2:7: '' is no name for a variable: use letters, digits and '_', and no '='\n"
     "2:18: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    {FILE_OF("exec: [a, '%q', b]\n"),
     "1:12: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    {FILE_OF("exec: ['', a]\n"), "1:7: 'exec' names no program: write 'exec: /bin/program'"},
    {FILE_OF("exec: '\"\"'\n"), "1:7: 'exec' names no program: write 'exec: /bin/program'"},
    {FILE_OF("exec: a\nreload: {a: b}\n"),
     "2:9: 'reload' is a command line, or a list of words: write 'reload: /bin/program -v'"},
    {FILE_OF("exec: a\nreload: [signal, '']\nafter-stop: [[]]\n"),
     "3:14: 'after-stop' names no program: write 'after-stop: /bin/program'"},
};

TEST(a_wrong_value_is_told_what_to_write)
{
    CHECK_ALL(wrong_values);
}

TEST(cpus_are_numbers_and_ranges)
{
    static const char cpus[] = "'cpus' are numbers of CPUs from 0 to 1023 and ranges of them, the "
                               "smaller first: write 'cpus: 0-3,5' or 'cpus: [0, 1]'";
    static const char *const bad_cpus[] = {
        "",    "a",  "-1", "3-1", "1024", "0-1024", "1,",    "1-",   "1;2",
        "0x1", "{}", "[]", "[a]", "~",    "1 2",    "[[1]]", "1--2", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad_cpus / sizeof bad_cpus[0]; i++) {
        char text[80], message[200];
        const char *value = bad_cpus[i];
        text_format(text, sizeof text, "exec: a\ncpus: %s\n", value);
        unsigned column = !value[0] ? 6 : value[0] == '[' && value[1] != ']' ? 8 : 7;
        text_format(message, sizeof message, "2:%u: %s", column, cpus);
        struct bad bad = {text, strlen(text), message};
        bad_check(&bad, 1);
    }
}

TEST(a_path_that_no_call_would_take_is_refused)
{
    static const char *const keys_of_paths[] = {"dir", "root", "env-file", "stdin"};
    char path[4097], text[4200], message[200];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[4096] = 0;
    for (size_t i = 0; i < sizeof keys_of_paths / sizeof keys_of_paths[0]; i++) {
        const char *key = keys_of_paths[i];
        text_format(text, sizeof text, "exec: a\n%s: %s\n", key, path);
        text_format(message, sizeof message, "2:%zu: '%s' has 4096 bytes, and a path at most 4095",
                    strlen(key) + 3, key);
        struct bad bad = {text, strlen(text), message};
        bad_check(&bad, 1);
    }
}

TEST(what_the_kernel_is_to_do_has_its_bounds)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nnice: 20\n"),
         "2:7: 'nice' is a number from -20 (first) to 19 (last), not '20'"},
        {FILE_OF("exec: a\nnice: -21\n"),
         "2:7: 'nice' is a number from -20 (first) to 19 (last), not '-21'"},
        {FILE_OF("exec: a\nnice: --5\n"),
         "2:7: 'nice' is a number from -20 (first) to 19 (last), not '--5'"},
        {FILE_OF("exec: a\nnice: low\n"),
         "2:7: 'nice' is a number from -20 (first) to 19 (last), not 'low'"},
        {FILE_OF("exec: a\nnice: 4294967296\n"),
         "2:7: 'nice' is a number from -20 (first) to 19 (last), not '4294967296'"},
        {FILE_OF("exec: a\nnice: [5]\n"), "2:7: 'nice' is one value, not a list: write 'nice: 10'"},
        {FILE_OF("exec: a\noom-score-adj: 1001\n"),
         "2:16: 'oom-score-adj' is a number from -1000 (never ended) to 1000 (ended first), not "
         "'1001'"},
        {FILE_OF("exec: a\noom-score-adj:\n"), "2:15: 'oom-score-adj' has no value: write one, as "
                                               "in 'oom-score-adj: -500', or remove it"},
        {FILE_OF("exec: a\nio: best-effort 8\n"),
         "2:5: 'io' is idle, best-effort N or realtime N, with N from 0 (first) to 7 (last), not "
         "'best-effort 8'"},
        {FILE_OF("exec: a\nio: idle 3\n"),
         "2:5: 'io' is idle, best-effort N or realtime N, with N from 0 (first) to 7 (last), not "
         "'idle 3'"},
        {FILE_OF("exec: a\nio: best\n"), "2:5: 'io' is idle, best-effort N or realtime N, with N "
                                         "from 0 (first) to 7 (last), not 'best'"},
        {FILE_OF("exec: a\nsched: fifo\n"),
         "2:8: 'sched' is other, batch, idle, fifo N or rr N, with N from 1 (last) to 99 (first), "
         "not 'fifo'"},
        {FILE_OF("exec: a\nsched: rr 0\n"),
         "2:8: 'sched' is other, batch, idle, fifo N or rr N, with N from 1 (last) to 99 (first), "
         "not 'rr 0'"},
        {FILE_OF("exec: a\nsched: rr 100\n"),
         "2:8: 'sched' is other, batch, idle, fifo N or rr N, with N from 1 (last) to 99 (first), "
         "not 'rr 100'"},
        {FILE_OF("exec: a\nsched: batch 1\n"),
         "2:8: 'sched' is other, batch, idle, fifo N or rr N, with N from 1 (last) to 99 (first), "
         "not 'batch 1'"},
        {FILE_OF("exec: a\nroot: srv\n"), "2:7: 'root' is a whole path, from '/', not 'srv'"},
        {FILE_OF("exec: a\nenv-file: -etc/x\n"),
         "2:11: 'env-file' is a whole path, from '/', or one with '-' in front when it may be "
         "missing, not '-etc/x'"},
        {FILE_OF("exec: a\nenv-file: /etc/%q\n"),
         "2:16: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("exec: a\nenv-file: [/a, /b]\n"),
         "2:11: 'env-file' is one value, not a list: write 'env-file: /etc/default/web'"},
    };
    CHECK_ALL(list);
}

TEST(resources_are_refused_with_what_to_write)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nresources: 1G\n"),
         "2:12: 'resources' is a mapping, not one value: write "
         "'resources: {memory: 256M, tasks: 100}'"},
        {FILE_OF("exec: a\nresources: {memroy: 1G}\n"),
         "2:13: 'resources' has no key 'memroy': did you mean 'memory'?"},
        {FILE_OF("exec: a\nresources: {memory: much}\n"),
         "2:21: 'resources.memory' is a size, as 64K, 256M or 1G, not 'much'; remove it for no "
         "limit"},
        {FILE_OF("exec: a\nresources: {memory-high: 0}\n"),
         "2:26: 'resources.memory-high' is a size, as 64K, 256M or 1G, not '0'; remove it for no "
         "limit"},
        {FILE_OF("exec: a\nresources: {memory: 17179869184G}\n"),
         "2:21: 'resources.memory' is a size, as 64K, 256M or 1G, not '17179869184G'; remove it "
         "for no limit"},
        {FILE_OF("exec: a\nresources: {cpu: 0%, tasks: 0, io-weight: 10001}\n"),
         "2:18: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not '0%'\n"
         "2:29: 'resources.tasks' is how many processes and threads there may be, 1 or more, not "
         "'0'; remove it for no limit\n"
         "2:43: 'resources.io-weight' is a number from 1 to 10000, where others have 100, not "
         "'10001'"},
        {FILE_OF("exec: a\nresources: {cpu: 1.5}\n"),
         "2:18: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not '1.5'"},
        {FILE_OF("exec: a\nresources: {cpu: '%'}\n"),
         "2:18: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not '%'"},
        {FILE_OF("type: target\nresources: {tasks: 5}\nnice: 5\n"),
         "2:1: 'resources' has no meaning for a target, which runs nothing: remove it, or 'type: "
         "target'\n"
         "3:1: 'nice' has no meaning for a target, which runs nothing: remove it, or 'type: "
         "target'"},
        {FILE_OF("exec: a\nresources: {memory: [1], tasks: [1], cpu: [1], io-weight: [1]}\n"),
         "2:21: 'resources.memory' is one value, not a list: write 'resources.memory: 256M'\n"
         "2:33: 'resources.tasks' is one value, not a list: write 'resources.tasks: 100'\n"
         "2:43: 'resources.cpu' is one value, not a list: write 'resources.cpu: 150%'\n"
         "2:59: 'resources.io-weight' is one value, not a list: write 'resources.io-weight: 100'"},
        {FILE_OF("exec: a\nresources: {memory: 9223372036854775808, tasks: 2147483648, cpu: "
                 "102401%, io-weight: many}\n"),
         "2:21: 'resources.memory' is a size, as 64K, 256M or 1G, not '9223372036854775808'; "
         "remove it for no limit\n"
         "2:49: 'resources.tasks' is how many processes and threads there may be, 1 or more, not "
         "'2147483648'; remove it for no limit\n"
         "2:66: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not '102401%'\n"
         "2:86: 'resources.io-weight' is a number from 1 to 10000, where others have 100, not "
         "'many'"},
        {FILE_OF("exec: a\nresources: {tasks: many, cpu: 12345678, io-weight: 0}\n"),
         "2:20: 'resources.tasks' is how many processes and threads there may be, 1 or more, not "
         "'many'; remove it for no limit\n"
         "2:31: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not '12345678'\n"
         "2:52: 'resources.io-weight' is a number from 1 to 10000, where others have 100, not '0'"},
        {FILE_OF("exec: a\nresources: {cpu: '5 x'}\n"),
         "2:18: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not '5 x'"},
        {FILE_OF("exec: a\nresources: {cpu: ''}\n"),
         "2:18: 'resources.cpu' is a part of one CPU in percent, 1 or more, as 50%, or 250% for "
         "two and a half, not ''"},
        {FILE_OF("exec: a\nio: idlest\n"), "2:5: 'io' is idle, best-effort N or realtime N, with N "
                                           "from 0 (first) to 7 (last), not 'idlest'"},
        {FILE_OF("exec: a\nio: realtime x\n"),
         "2:5: 'io' is idle, best-effort N or realtime N, with N from 0 (first) to 7 (last), not "
         "'realtime x'"},
    };
    CHECK_ALL(list);
}
