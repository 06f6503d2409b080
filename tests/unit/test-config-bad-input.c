/* Service files that are no good as files: each gets its messages, each with its place, and nothing
 * else. */
#include "bad-file.h"
#include "base/text.h"
#include "config/error-list.h"
#include "test.h"

TEST(a_service_has_exactly_one_program)
{
    static const struct bad list[] = {
        {FILE_OF("# only a comment\n"),
         "1:1: the file says nothing: write at least 'exec: /path/of/program'"},
        {FILE_OF("---\n"), "1:1: the file says nothing: write at least 'exec: /path/of/program'"},
        {FILE_OF("exec\n"),
         "1:1: a service file is a mapping, not a text: write 'exec: /path/of/program'"},
        {FILE_OF("- exec\n"),
         "1:1: a service file is a mapping, not a list: write 'exec: /path/of/program'"},
        {FILE_OF("42\n"),
         "1:1: a service file is a mapping, not a text: write 'exec: /path/of/program'"},
        {FILE_OF("type: target\nexec: a\nuser: root\n"),
         "2:1: 'exec' has no meaning for a target, which runs nothing: remove it, or 'type: "
         "target'\n"
         "3:1: 'user' has no meaning for a target, which runs nothing: remove it, or 'type: "
         "target'"},
        {FILE_OF("description: x\n"),
         "1:1: the program is missing: write 'exec: /path/of/program', or 'type: target' for a "
         "service that only groups others"},
        {FILE_OF("exec: a\nscript: b\n"),
         "2:1: 'exec' stands here too, in line 1: keep one of 'exec' and 'script'"},
    };
    CHECK_ALL(list);
}

TEST(bad_yaml_gets_a_hint_at_its_place)
{
    static const struct bad list[] = {
        {FILE_OF("exec: [a\n"),
         "1:7: this list is not closed: write ',' between its values and ']' at its end"},
        {FILE_OF("exec: 'a\n"), "1:7: a quote is opened here and never closed: close it"},
        {FILE_OF("exec: \"a\n"), "1:7: a quote is opened here and never closed: close it"},
        {FILE_OF("exec: a\n  b: c\n"), "2:4: a ':' cannot stand here: put a text that holds ': ' "
                                       "in quotes, and check the indentation"},
        {FILE_OF("exec: a: b\n"), "1:8: a ':' cannot stand here: put a text that holds ': ' in "
                                  "quotes, and check the indentation"},
        {FILE_OF("\texec: a\n"), "1:1: a text cannot begin with this character: put it in quotes; "
                                 "indent with blanks, not tabs"},
        {FILE_OF("exec: a\nenv:\n\tA: b\n"), "3:1: a text cannot begin with this character: put it "
                                             "in quotes; indent with blanks, not tabs"},
        {FILE_OF("exec: a\nexec\n"),
         "2:1: there is no ':' behind this key: write 'key: value', with a blank behind the colon"},
        {FILE_OF("exec: @a\n"), "1:7: a text cannot begin with this character: put it in quotes; "
                                "indent with blanks, not tabs"},
        {FILE_OF("exec: %a\n"), "1:7: a text cannot begin with this character: put it in quotes; "
                                "indent with blanks, not tabs"},
        {FILE_OF("exec: `a`\n"), "1:7: a text cannot begin with this character: put it in quotes; "
                                 "indent with blanks, not tabs"},
        {FILE_OF("exec: {a\n"),
         "1:7: this mapping is not closed: write ',' between its entries and '}' at its end"},
        {FILE_OF("exec: a\n- b\n"),
         "2:1: a key is expected here, as in 'key: value': check the indentation and the quotes"},
        {FILE_OF("exec: \"a\\q\"\n"), "1:9: there is no such escape in double quotes: write '\\\\' "
                                      "for a backslash, or use single quotes"},
        {FILE_OF("%YAML 3.0\n---\nexec: a\n"), "1:1: the file is YAML 1.1: remove the %YAML line"},
        {FILE_OF("exec: a\n...\nx\n"),
         "3:1: the file is one mapping, 'key: value' on each line: check the indentation"},
        {FILE_OF("? [a]\n: b\nexec: a\n"), "1:3: a key has to be a text: write 'key: value'"},
        {FILE_OF("? {a: b}\n: c\nexec: a\n"), "1:3: a key has to be a text: write 'key: value'"},
        {FILE_OF("exec: a\nneeds: [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]\n"),
         "2:23: lists and mappings are nested more than 16 deep here, which no key needs"},
        {FILE_OF("exec: a\nsecret: [1,2\nfoo: b\n"),
         "2:9: this list is not closed: write ',' between its values and ']' at its end"},
        {FILE_OF("exec: a\nenv: {A: b}}\n"),
         "2:12: a key is expected here, as in 'key: value': check the indentation and the quotes"},
    };
    CHECK_ALL(list);
}

TEST(of_more_mistakes_than_are_told_the_last_one_told_may_be_any)
{
    static const struct {
        const char *last, *told;
    } rows[] = {
        {"&x b", "anchors are not allowed: remove '&x' and write the value where it is needed"},
        {"&x !!str b",
         "anchors are not allowed: remove '&x' and write the value where it is needed"},
        {"!y [b]",
         "tags are not allowed: remove '!y', or put a text that begins with '!' in quotes"},
        {"{? [c] : d}", "a key has to be a text: write 'key: value'"},
        {"{c: d, c: e}", "'c' stands here for the second time, first in line 2: keep one"},
        {"\"\\0\"", "this text holds a NUL byte, which no argument, path or name can hold: remove "
                    "the '\\0'"},
        {"*x", "aliases are not allowed: write the value in place of '*x', or put a text that "
               "begins with '*' in quotes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[400], messages[4000];
        struct text all, told;
        text_init(&all, text, sizeof text);
        text_init(&told, messages, sizeof messages);
        text_add(&all, "exec: a\nneeds: [");
        for (unsigned k = 1; k < ERRORS_PER_FILE; k++) {
            text_printf(&told,
                        "2:%u: aliases are not allowed: write the value in place of '*x', or put a "
                        "text that begins with '*' in quotes\n",
                        5 + 4 * k);
            text_add(&all, "*x, ");
        }
        unsigned inside = strspn(rows[i].last, "{? ");
        inside = strstr(rows[i].last, "c: e") ? 7 : inside;
        text_printf(&told, "2:%u: %s", 5 + 4 * ERRORS_PER_FILE + inside, rows[i].told);
        text_printf(&all, "%s]\nfoo: *x\n", rows[i].last);
        struct bad bad = {text, all.used_bytes, messages};
        bad_check(&bad, 1);
    }
}

TEST(anchors_aliases_tags_and_documents_are_refused_by_name)
{
    static const struct bad list[] = {
        {FILE_OF("exec: &x a\n"),
         "1:7: anchors are not allowed: remove '&x' and write the value where it is needed"},
        {FILE_OF("exec: *x\n"), "1:7: aliases are not allowed: write the value in place of '*x', "
                                "or put a text that begins with '*' in quotes"},
        {FILE_OF("exec: !!str a\n"),
         "1:7: tags are not allowed: remove '!!str', or put a text that begins with '!' in quotes"},
        {FILE_OF("exec: !x a\n"),
         "1:7: tags are not allowed: remove '!x', or put a text that begins with '!' in quotes"},
        {FILE_OF("exec: !e!x a\n"), "1:7: tags (a word with '!' in front) are not allowed: remove "
                                    "it, or put the text in quotes"},
        {FILE_OF("%TAG ! tag:x,2000:\n---\nexec: a\n"),
         "1:1: tags are not allowed: remove the %TAG line"},
        {FILE_OF("exec: a\n---\nexec: b\n"),
         "2:1: a second document begins here: a file holds one; remove the '---'"},
        {FILE_OF("exec: [a, *x]\nenabled: maybe\n&a needs: [b]\n"),
         "1:11: aliases are not allowed: write the value in place of '*x', or put a text that "
         "begins with '*' in quotes\n"
         "2:10: 'enabled' is yes or no, not 'maybe': write 'enabled: yes' without quotes\n"
         "3:1: anchors are not allowed: remove '&a' and write the value where it is needed"},
        {FILE_OF("a: &x [*y]\n"),
         "1:1: there is no key 'a': remove it\n"
         "1:4: anchors are not allowed: remove '&x' and write the value where it is needed\n"
         "1:8: aliases are not allowed: write the value in place of '*y', or put a text that "
         "begins with '*' in quotes"},
        {FILE_OF("%YAML 1.1\n%YAML 1.1\n---\nexec: a\n"),
         "2:1: this is not YAML: found duplicate %YAML directive"},
        {FILE_OF("---\n@\n"), "2:1: a text cannot begin with this character: put it in quotes; "
                              "indent with blanks, not tabs"},
        {FILE_OF("exec: &x !!str a\nneeds: &y [b]\nwants: !z [c]\n"),
         "1:7: anchors are not allowed: remove '&x' and write the value where it is needed\n"
         "1:7: tags are not allowed: remove '!!str', or put a text that begins with '!' in quotes\n"
         "2:8: anchors are not allowed: remove '&y' and write the value where it is needed\n"
         "3:8: tags are not allowed: remove '!z', or put a text that begins with '!' in quotes"},
        {FILE_OF("exec: a\nneeds: &x !y [b]\n"),
         "2:8: anchors are not allowed: remove '&x' and write the value where it is needed\n"
         "2:8: tags are not allowed: remove '!y', or put a text that begins with '!' in quotes"},
        {FILE_OF("exec: &x {a: b}\n"),
         "1:7: anchors are not allowed: remove '&x' and write the value where it is needed\n"
         "1:7: 'exec' is a command line, or a list of words: write 'exec: /bin/program -v'"},
        {FILE_OF("%TAG ! tag:x,2000:\n---\nexec: &a b\n---\nc\n"),
         "1:1: tags are not allowed: remove the %TAG line\n"
         "3:7: anchors are not allowed: remove '&a' and write the value where it is needed\n"
         "4:1: a second document begins here: a file holds one; remove the '---'"},
    };
    CHECK_ALL(list);
}

TEST(what_is_no_text_is_told_with_its_place)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\000b\n"), "1:8: there is a NUL byte here: a service file is text; is "
                                    "this a program or another kind of file?"},
        {FILE_OF("\177ELF\002\001\001\000\000"), "1:1: the byte 0x7f here is no text, nor is the "
                                                 "file: is it a program or another kind of file?"},
        {FILE_OF("exec: \"a\\0b\"\n"), "1:7: this text holds a NUL byte, which no argument, path "
                                       "or name can hold: remove the '\\0'"},
        {FILE_OF("exec: a\ndescription: caf\351\n"),
         "2:17: the byte 0xe9 here is not UTF-8: save the file as UTF-8"},
        {FILE_OF("exec: a\n# \033[31m\n"),
         "2:3: there is a control character here (byte 0x1b): remove it, or write it with a "
         "backslash in double quotes"},
        {FILE_OF("\377\376e\000x\000"), "1:1: the file is UTF-16: save it as UTF-8"},
        {FILE_OF("exec: a\000"), "1:8: there is a NUL byte here: a service file is text; is this a "
                                 "program or another kind of file?"},
        {FILE_OF("exec: a\nenv: {A: \"x\\0y\"}\nfoo: 1\n"),
         "2:10: this text holds a NUL byte, which no argument, path or name can hold: remove the "
         "'\\0'\n"
         "3:1: there is no key 'foo': did you mean 'root'?"},
        {FILE_OF("exec: a # \302\200\n"),
         "1:11: there is a control character here (byte 0xc2): remove it, or write it with a "
         "backslash in double quotes"},
        {FILE_OF("exec: a # \302\251 \342\202\254 \357\273\276 \357\277\275 "
                 "\360\237\220\247\302\205foo: b\n"),
         "2:1: there is no key 'foo': did you mean 'root'?"},
        {FILE_OF("exec: a\n# \357\273\277\n"),
         "2:3: there is a control character here (byte 0xef): remove it, or write it with a "
         "backslash in double quotes"},
        {FILE_OF("exec: a\n# \357\277\276\n"),
         "2:3: there is a control character here (byte 0xef): remove it, or write it with a "
         "backslash in double quotes"},
        {FILE_OF("\376\377\000e"), "1:1: the file is UTF-16: save it as UTF-8"},
        {FILE_OF("\376e"), "1:1: the byte 0xfe here is not UTF-8: save the file as UTF-8"},
        {FILE_OF("\377e"), "1:1: the byte 0xff here is not UTF-8: save the file as UTF-8"},
    };
    CHECK_ALL(list);
}

TEST(unknown_words_name_the_nearest_known_one)
{
    static const struct bad list[] = {
        {FILE_OF("exce: a\n"), "1:1: there is no key 'exce': did you mean 'exec'?"},
        {FILE_OF("ExecStart: a\nDepends-On: [b]\nEnvironmentFile: /a\n"),
         "1:1: there is no key 'ExecStart': did you mean 'exec'?\n"
         "2:1: there is no key 'Depends-On': did you mean 'needs'?\n"
         "3:1: there is no key 'EnvironmentFile': did you mean 'env-file'?"},
        {FILE_OF("zzzzzzz: a\nexec: b\n"), "1:1: there is no key 'zzzzzzz': remove it"},
        {FILE_OF("exec: a\n'<<': {}\n"), "2:1: there is no key '<<': remove it"},
        {FILE_OF("exec: a\ntype: deamon\n"),
         "2:7: 'type' is daemon, task, forking or target, not 'deamon': did you mean 'daemon'?"},
        {FILE_OF("exec: a\nstop: {sginal: HUP}\n"),
         "2:8: 'stop' has no key 'sginal': did you mean 'signal'?"},
        {FILE_OF("exec: a\nready: {tpc: 'x:80'}\n"),
         "2:9: 'ready' knows no 'tpc': did you mean 'tcp'?"},
        {FILE_OF("exec: a\nlimits: {nofiles: 5}\n"),
         "2:10: there is no limit 'nofiles': did you mean 'nofile'?"},
        {FILE_OF("exec: a\r\nfoo: b\r\n"), "2:1: there is no key 'foo': did you mean 'root'?"},
        {FILE_OF("\357\273\277exec: a\nfoo: b\n"),
         "2:1: there is no key 'foo': did you mean 'root'?"},
        {FILE_OF("exec: a\ndescription: \"caf\303\251\"\nfoo: b\n"),
         "3:1: there is no key 'foo': did you mean 'root'?"},
        {FILE_OF("{exec: a, \303\251: b}\n"), "1:11: there is no key '\303\251': remove it"},
    };
    CHECK_ALL(list);
}

TEST(words_are_split_or_the_open_quote_is_shown)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a 'b c\n"), "1:9: in 'exec' a ' is opened here and never closed: close it, "
                                    "or write \\' for the character"},
        {FILE_OF("exec: a \"b\n"), "1:9: in 'exec' a \" is opened here and never closed: close it, "
                                   "or write \\\" for the character"},
        {FILE_OF("exec: a b\\\n"),
         "1:10: 'exec' ends in a backslash with nothing behind it: remove it, or write two"},
        {FILE_OF("exec: a %x\n"),
         "1:9: '%x' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("exec: a 100%\n"), "1:12: write '%%' for a percent sign"},
        {FILE_OF("exec: a %i\n"), "1:9: '%i' is the instance of a template, and 'web' is none: "
                                  "remove it, or write '%%i' for the two characters"},
        {FILE_OF("script: |\n  echo a\n  date +%s\n"),
         "3:9: '%s' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("exec: a\nenv: {A: 5%}\n"), "2:11: write '%%' for a percent sign"},
        {FILE_OF("exec: \"a \303\251 'b\"\n"), "1:12: in 'exec' a ' is opened here and never "
                                               "closed: close it, or write \\' for the character"},
        {FILE_OF("script: |\n  a\n\n    b %q\n"),
         "4:7: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("exec: >\n  a\n  'b\n"), "1:7: in 'exec' a ' is opened here and never closed: "
                                          "close it, or write \\' for the character"},
        {FILE_OF("exec: a\nstop: {exec: \"x 'y\"}\n"),
         "2:17: in 'stop.exec' a ' is opened here and never closed: close it, or write \\' for the "
         "character"},
        {FILE_OF("exec: a %n '%%' %q\n"),
         "1:17: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("exec: \"a %\\x7f\"\n"), "1:7: write '%%' for a percent sign"},
        {FILE_OF("exec: a %\n"), "1:9: write '%%' for a percent sign"},
        {FILE_OF("exec: '\"a\\'\n"), "1:8: in 'exec' a \" is opened here and never closed: close "
                                     "it, or write \\\" for the character"},
        {FILE_OF("exec: \"a\n  'b\"\n"), "1:7: in 'exec' a ' is opened here and never closed: "
                                         "close it, or write \\' for the character"},
        {FILE_OF("exec: \"a\\x20'b\"\n"), "1:7: in 'exec' a ' is opened here and never closed: "
                                          "close it, or write \\' for the character"},
        {FILE_OF("script: |\n  a %q"),
         "2:5: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("script: |\r\n  a\r\n  b %q\r\n"),
         "3:5: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("script: |\n  a\302\205  b %q\302\205  c\n"),
         "3:3: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("script: |\n  a\302\205  b %q\n  longer than that\n"),
         "3:3: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
        {FILE_OF("script: |\n  a\302\205  b\302\205  %q\n"),
         "4:1: '%q' stands for nothing: write '%%' for a percent sign; %n is the service's name"},
    };
    CHECK_ALL(list);
}

TEST(a_name_keeps_the_rules)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nneeds: [../b]\n"),
         "2:11: the name '../b' has a '/'; a name is no path: use letters, digits and - _ . @ :"},
        {FILE_OF("exec: a\nneeds: [b c]\n"), "2:10: the name 'b c' has a character that a name "
                                             "cannot have; use letters, digits and - _ . @ :"},
        {FILE_OF("exec: a\nneeds: [agetty@]\n"),
         "2:15: the name 'agetty@' is a template, and no service by itself; write an instance "
         "behind the '@', as in agetty@tty1"},
        {FILE_OF("exec: a\nneeds: [agetty@a/b]\n"),
         "2:17: the name 'agetty@a/b' has a '/'; a name is no path: use letters, digits and - _ . "
         "@ :"},
        {FILE_OF("exec: a\nneeds: ['agetty@%i']\n"),
         "2:17: '%i' is the instance of a template, and 'web' is none: remove it, or write '%%i' "
         "for the two characters"},
        {FILE_OF("exec: a\nneeds: [web]\n"), "2:9: 'needs' names the service itself: remove 'web'"},
        {FILE_OF("exec: a\nneeds: ['']\n"),
         "2:10: the name '' is empty; a name has 1 to 200 bytes"},
        {FILE_OF("exec: a\nneeds: [conit]\n"),
         "2:9: the name 'conit' is reserved for the system's own journal; choose another name"},
        {FILE_OF("exec: /bin/x\nneeds: [a, b, 'c d']\nwants: [e/f]\nafter: [web]\n"),
         "2:17: the name 'c d' has a character that a name cannot have; use letters, digits and - "
         "_ . @ :\n"
         "3:10: the name 'e/f' has a '/'; a name is no path: use letters, digits and - _ . @ :\n"
         "4:9: 'after' names the service itself: remove 'web'"},
        {FILE_OF("exec: a\nneeds: "
                 "[nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn]\n"),
         "2:9: the name 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' is too "
         "long; a name has at most 200 bytes"},
    };
    CHECK_ALL(list);
}

TEST(users_and_groups_are_those_of_the_files)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nuser: no-such-user\n"),
         "2:7: there is no user 'no-such-user' in /etc/passwd: write one that is there; a number "
         "works too"},
        {FILE_OF("exec: a\nuser: 12345\n"),
         "2:7: user 12345 is not in /etc/passwd and so has no group: write 'group' too"},
        {FILE_OF("exec: a\ngroup: no-such-group\n"),
         "2:8: there is no group 'no-such-group' in /etc/group: write one that is there; a number "
         "works too"},
        {FILE_OF("exec: a\ngroups: [no-such-group]\n"),
         "2:10: there is no group 'no-such-group' in /etc/group: write one that is there; a number "
         "works too"},
        {FILE_OF("exec: a\nuser: 4294967295\n"),
         "2:7: there is no user '4294967295' in /etc/passwd: write one that is there; a number "
         "works too"},
    };
    CHECK_ALL(list);
}

TEST(a_key_stands_once)
{
    static const struct bad list[] = {
        {FILE_OF("exec: a\nexec: b\n"),
         "2:1: 'exec' stands here for the second time, first in line 1: keep one"},
        {FILE_OF("exec: a\nenv: {A: b, A: c}\n"),
         "2:13: 'A' stands here for the second time, first in line 2: keep one"},
        {FILE_OF("exec: a\nstop:\n  signal: HUP\n  signal: HUP\n"),
         "4:3: 'signal' stands here for the second time, first in line 3: keep one"},
    };
    CHECK_ALL(list);
}
