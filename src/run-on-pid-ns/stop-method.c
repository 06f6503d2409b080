/* How an init is told to stop. */
#include "run-on-pid-ns/stop-method.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/signals.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of a program that is searched for a name; sysvinit has 50 KB. */
#define SEARCHED_MOST_BYTES (4L * 1024 * 1024)
#define CHUNK_BYTES         16384

/* ---- what it is ---------------------------------------------------------------------------- */

static char *const init_0[] = {(char *)"init", (char *)"0", NULL};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_init_word(const char *word)
{
    return word && (!strcmp(base_name(word), "init") || !strcmp(base_name(word), "linuxrc"));
}

/* One program of many uses: `init`, `/linuxrc`, `busybox init`. */
static bool is_busybox_init(const struct stop_facts *facts)
{
    return is_init_word(facts->words[0]) ||
           (facts->words[0] && !strcmp(base_name(facts->words[0]), "busybox") &&
            is_init_word(facts->words[1]));
}

static bool is_sysvinit(const struct stop_facts *facts)
{
    return facts->has_initctl;
}

/* signal 0: by `init 0`. */
static const struct {
    const char *name;
    bool (*is)(const struct stop_facts *facts); /* NULL: the name is enough */
    int signal;
} rows[] = {
    {.name = "systemd", .signal = SIGNALS_REALTIME_FIRST + 3},
    {.name = "busybox", .is = is_busybox_init, .signal = SIGUSR2},
    {.name = "finit", .signal = SIGUSR2},
    {.name = "runit"},
    {.name = "runit-init"},
    {.name = "init", .is = is_sysvinit},
};

struct stop_method stop_method_of(const struct stop_facts *facts)
{
    const char *name = base_name(facts->program);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) != 0 || (rows[i].is && !rows[i].is(facts)))
            continue;
        return (struct stop_method){.signal = rows[i].signal,
                                    .command = rows[i].signal ? NULL : init_0};
    }
    return (struct stop_method){.signal = SIGTERM};
}

/* ---- looking ------------------------------------------------------------------------------- */

bool stop_method_has_initctl(int fd)
{
    static const char *const names[] = {"/run/initctl", "/dev/initctl"};
    const size_t overlap = strlen(names[0]) - 1; /* both are as long */
    char bytes[CHUNK_BYTES];
    size_t kept = 0;

    for (long searched = 0; searched < SEARCHED_MOST_BYTES;) {
        ssize_t got = read(fd, bytes + kept, sizeof bytes - kept);
        if (got <= 0)
            return false;
        for (size_t i = 0; i < COUNT(names); i++)
            if (memmem(bytes, kept + (size_t)got, names[i], strlen(names[i])))
                return true;
        searched += got;
        size_t used = kept + (size_t)got;
        kept = used < overlap ? used : overlap;
        memmove(bytes, bytes + used - kept, kept);
    }
    return false;
}

/* "/sbin/init (deleted)", when the file was replaced while it runs. */
static void cut_deleted(char *program)
{
    static const char end[] = " (deleted)";
    size_t bytes = strlen(program);
    if (bytes > strlen(end) && !strcmp(program + bytes - strlen(end), end))
        program[bytes - strlen(end)] = 0;
}

struct stop_method stop_method_find(pid_t pid, const char *command)
{
    char path[40], program[PATH_MAX], line[4096];
    struct stop_facts facts = {.program = command};

    text_format(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t bytes = readlink(path, program, sizeof program - 1);
    if (bytes > 0) {
        program[bytes] = 0;
        cut_deleted(program);
        facts.program = program;
    }
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    facts.has_initctl = fd >= 0 && stop_method_has_initctl(fd);

    text_format(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    ssize_t used = file_read(AT_FDCWD, path, line, sizeof line);
    if (used > 0) {
        size_t first = strlen(line) + 1;
        facts.words[0] = line;
        facts.words[1] = first < (size_t)used ? line + first : NULL;
    }
    return stop_method_of(&facts);
}
