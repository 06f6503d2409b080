/* The key table, and what is done by walking it. */
#include "config/keys.h"
#include "config/parse.h"

#include <string.h>
#include <strings.h>

#define AT(field) offsetof(struct definition, field)

/* What is left out of a row: false. A target runs nothing, so most keys have no meaning for it. */
const struct key keys[KEY_COUNT] = {
    [KEY_DESCRIPTION] = {"description", &kind_text, AT(description), "text", NULL,
                         "what it is, for people", .for_target = true},
    [KEY_TYPE] = {"type", &kind_type, AT(type), "`daemon`, `task`, `forking` or `target`", "daemon",
                  "stays up; runs to its end, once; goes to the background by itself; runs nothing "
                  "and groups others",
                  .needs_restart = true, .for_target = true},
    [KEY_EXEC] = {"exec", &kind_exec, AT(argv), "command line, or list", NULL,
                  "the program and its arguments", .needs_restart = true},
    [KEY_ARGS] = {"args", &kind_args, AT(argv), "list", "[]", "more arguments, taken as they are",
                  .needs_restart = true},
    [KEY_SCRIPT] = {"script", &kind_script, AT(script), "text", NULL,
                    "commands for /bin/sh -e, instead of exec", .needs_restart = true},
    [KEY_BEFORE_START] = {"before-start", &kind_commands, AT(before_start),
                          "command, or list of commands", "[]",
                          "run before the program; one that fails fails the start"},
    [KEY_AFTER_START] = {"after-start", &kind_commands, AT(after_start),
                         "command, or list of commands", "[]", "run once the service has started"},
    [KEY_BEFORE_STOP] = {"before-stop", &kind_commands, AT(before_stop),
                         "command, or list of commands", "[]", "run before the service is stopped"},
    [KEY_AFTER_STOP] = {"after-stop", &kind_commands, AT(after_stop),
                        "command, or list of commands", "[]",
                        "run when the service has ended, however it did"},
    [KEY_RELOAD] = {"reload", &kind_reload, AT(reload_command), "command, or `signal NAME`", NULL,
                    "what 'slc reload NAME' does"},
    [KEY_ENABLED] = {"enabled", &kind_bool, AT(enabled), "yes or no", "yes",
                     "started at boot; no: only on request or when needed", .for_target = true},
    [KEY_NEEDS] = {"needs", &kind_names, AT(needs), "list of names", "[]",
                   "started first; without them this cannot run", .for_target = true},
    [KEY_WANTS] = {"wants", &kind_names, AT(wants), "list of names", "[]",
                   "started first; their failure is ignored", .for_target = true},
    [KEY_AFTER] = {"after", &kind_names, AT(after), "list of names", "[]",
                   "where both are to run, this starts after them", .for_target = true},
    [KEY_BEFORE] = {"before", &kind_names, AT(before), "list of names", "[]",
                    "where both are to run, this starts before them", .for_target = true},
    [KEY_CONFLICTS] = {"conflicts", &kind_names, AT(conflicts), "list of names", "[]",
                       "starting one stops the other", .for_target = true},
    [KEY_PROVIDES] = {"provides", &kind_names, AT(provides), "list of names", "[]",
                      "other names it answers to", .for_target = true},
    [KEY_WHEN] = {"when", &kind_when, AT(when), "list of conditions", "[]",
                  "conditions; one that is not met: the service is skipped, which is no failure",
                  .for_target = true},
    [KEY_READY] = {"ready", &kind_ready, AT(ready), "`exec`, `notify`, or one `KIND: VALUE`",
                   "exec", "when it counts as started"},
    [KEY_START_TIMEOUT] = {"start-timeout", &kind_time, AT(start_timeout_ms), "time",
                           "90s; never for tasks", "how long a start may take", .for_target = true},
    [KEY_WATCHDOG] = {"watchdog", &kind_watchdog, AT(watchdog_ms), "time", "never",
                      "how often it has to send WATCHDOG=1; one that does not is ended"},
    [KEY_STOP] = {"stop", &kind_stop, AT(stop),
                  "mapping: `signal`, `timeout`, `exec`, `kill` (`all`, `group` or `main`)",
                  "TERM, 10s, none, all", "how it is stopped; after the time-out comes SIGKILL"},
    [KEY_RESTART] = {"restart", &kind_restart, AT(restart),
                     "`always`, `on-failure`, `never`, or mapping: `policy`, `delay`, `factor`, "
                     "`max`, `jitter`, `reset-after`, `limit`",
                     "always, never for tasks; 100ms, 2, 30s, 10%, 10s, no limit",
                     "whether it is started again when it ends by itself, and how soon"},
    [KEY_ESSENTIAL] = {"essential", &kind_bool, AT(essential), "yes or no", "no",
                       "when it ends for good the whole system goes down, with its exit status"},
    [KEY_USER] = {"user", &kind_user, AT(user), "name or number", "root", "whom it runs as",
                  .needs_restart = true},
    [KEY_GROUP] = {"group", &kind_group, AT(group), "name or number", "the user's",
                   "its primary group", .needs_restart = true},
    [KEY_GROUPS] = {"groups", &kind_groups, AT(groups), "list of names or numbers", "the user's",
                    "its supplementary groups", .needs_restart = true},
    [KEY_DIR] = {"dir", &kind_path, AT(dir), "path", "/", "its working directory",
                 .needs_restart = true},
    [KEY_ROOT] = {"root", &kind_root, AT(root), "path", "/", "its root directory (chroot)",
                  .needs_restart = true},
    [KEY_UMASK] = {"umask", &kind_umask, AT(umask), "octal number", "022",
                   "permissions that its new files do not get", .needs_restart = true},
    [KEY_ENV] = {"env", &kind_env, AT(env), "mapping", "{}", "environment variables",
                 .needs_restart = true},
    [KEY_ENV_FILE] = {"env-file", &kind_env_file, AT(env_file), "path, or `-path`", NULL,
                      "a file with more environment variables; with '-' it may be missing",
                      .needs_restart = true},
    [KEY_STDIN] = {"stdin", &kind_stdin, AT(stdin_path), "`null`, `tty` or path", "null",
                   "what it reads from", .needs_restart = true},
    [KEY_TTY] = {"tty", &kind_tty, AT(tty), "device", NULL,
                 "its terminal: standard input, output and error are there", .needs_restart = true},
    [KEY_CONSOLE] = {"console", &kind_bool, AT(console), "yes or no", "no",
                     "what it prints also goes to the console"},
    [KEY_NICE] = {"nice", &kind_nice, AT(priorities.nice), "-20 to 19", NULL, "its CPU priority",
                  .needs_restart = true},
    [KEY_OOM_SCORE_ADJ] = {"oom-score-adj", &kind_oom_score_adj, AT(priorities.oom_score_adj),
                           "-1000 to 1000", NULL,
                           "how willingly the kernel ends it when memory is short",
                           .needs_restart = true},
    [KEY_CPUS] = {"cpus", &kind_cpus, AT(priorities.cpus), "`0-3,5`, or list", NULL,
                  "the CPUs it may run on", .needs_restart = true},
    [KEY_IO] = {"io", &kind_io, AT(priorities.io), "`idle`, `best-effort N` or `realtime N`", NULL,
                "its I/O priority, 0 to 7", .needs_restart = true},
    [KEY_SCHED] = {"sched", &kind_sched, AT(priorities.sched_policy),
                   "`other`, `batch`, `idle`, `fifo N` or `rr N`", NULL,
                   "its scheduling policy; with N, 1 to 99, its real-time priority",
                   .needs_restart = true},
    [KEY_LIMITS] = {"limits", &kind_limits, AT(limits), "mapping: name to number or [soft, hard]",
                    "{}", "resource limits, by ulimit's names", .needs_restart = true},
    [KEY_RESOURCES] = {"resources", &kind_resources, AT(resources),
                       "mapping: `memory`, `memory-high`, `cpu`, `tasks`, `io-weight`", "{}",
                       "limits of its cgroup"},
    [KEY_FORKS] = {"forks", &kind_forks, AT(forks), "mapping: `pid-file`, `main`", NULL,
                   "which process of a forking service is the main one; without it, the oldest "
                   "left when the first has ended"},
    [KEY_LOG] = {"log", &kind_log, AT(quota), "mapping: `max-size`, `keep`, `max-age`, `rate`",
                 "16M, 4, never, none", "its journal's quota"},
};
_Static_assert(KEY_COUNT <= 64, "keys_given has a bit for each row");

int key_find(const char *name)
{
    for (int row = 0; row < KEY_COUNT; row++)
        if (strcmp(keys[row].name, name) == 0)
            return row;
    return -1;
}

/* What other managers call it, systemd and dinit. */
static const struct {
    const char *foreign;
    enum key_row row;
} foreign_keys[] = {
    {"ExecStart", KEY_EXEC},
    {"command", KEY_EXEC},
    {"ExecStartPre", KEY_BEFORE_START},
    {"ExecStartPost", KEY_AFTER_START},
    {"ExecStop", KEY_STOP},
    {"stop-command", KEY_STOP},
    {"KillSignal", KEY_STOP},
    {"ExecStopPost", KEY_AFTER_STOP},
    {"ExecReload", KEY_RELOAD},
    {"Requires", KEY_NEEDS},
    {"BindsTo", KEY_NEEDS},
    {"depends-on", KEY_NEEDS},
    {"waits-for", KEY_WANTS},
    {"Alias", KEY_PROVIDES},
    {"ConditionPathExists", KEY_WHEN},
    {"TimeoutStartSec", KEY_START_TIMEOUT},
    {"WatchdogSec", KEY_WATCHDOG},
    {"RestartSec", KEY_RESTART},
    {"run-as", KEY_USER},
    {"SupplementaryGroups", KEY_GROUPS},
    {"WorkingDirectory", KEY_DIR},
    {"working-dir", KEY_DIR},
    {"RootDirectory", KEY_ROOT},
    {"Environment", KEY_ENV},
    {"EnvironmentFile", KEY_ENV_FILE},
    {"CPUAffinity", KEY_CPUS},
    {"LimitNOFILE", KEY_LIMITS},
    {"MemoryMax", KEY_RESOURCES},
    {"TTYPath", KEY_TTY},
    {"PIDFile", KEY_FORKS},
    {"pid-file", KEY_FORKS},
};

const char *key_nearest(const char *name)
{
    const char *names[KEY_COUNT];
    for (size_t i = 0; i < sizeof foreign_keys / sizeof *foreign_keys; i++)
        if (strcasecmp(foreign_keys[i].foreign, name) == 0)
            return keys[foreign_keys[i].row].name;
    for (size_t row = 0; row < KEY_COUNT; row++)
        names[row] = keys[row].name;
    return text_nearest(name, names, KEY_COUNT);
}

uint64_t definition_diff(const struct definition *a, const struct definition *b)
{
    uint64_t different = 0;
    for (size_t row = 0; row < KEY_COUNT; row++)
        if (!keys[row].kind->equal(a, b, keys[row].offset))
            different |= KEY_BIT(row);
    return different;
}

bool keys_need_restart(uint64_t bits)
{
    for (unsigned row = 0; row < KEY_COUNT; row++)
        if ((bits & KEY_BIT(row)) && key_needs_restart(row))
            return true;
    return false;
}

/* FNV-1a, 64 bits, over the values as they are shown; of a very long one its beginning. */
uint64_t definition_start_hash(const struct definition *definition)
{
    uint64_t hash = 14695981039346656037u;
    char storage[16384];
    for (unsigned row = 0; row < KEY_COUNT; row++) {
        struct text text;
        if (!key_needs_restart(row))
            continue;
        text_init(&text, storage, sizeof storage);
        definition_show(row, definition, &text);
        for (size_t i = 0; i <= text.used_bytes; i++)
            hash = (hash ^ (unsigned char)storage[i]) * 1099511628211u;
    }
    return hash ? hash : 1;
}

void definition_show(unsigned row, const struct definition *definition, struct text *text)
{
    keys[row].kind->show(definition, (const char *)definition + keys[row].offset, text);
}
