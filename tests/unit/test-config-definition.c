/* Service files that load, and what becomes of each key. */
#include "config/definition-parse.h"
#include "config/keys.h"
#include "config/users.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

static struct definition *load(const char *text)
{
    struct source source = {.name = "web", .path = "web.yml", .text = text, .size = strlen(text)};
    struct error_list errors = {0};
    struct definition *definition = NULL;
    int failed = definition_parse(&source, &definition, &errors);
    CHECK_NUMBER(failed, 0);
    for (size_t i = 0; i < errors.count; i++) {
        char line[500];
        error_format(&errors.list[i], line, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
    CHECK_NUMBER(errors.count, 0);
    error_list_finish(&errors);
    if (!definition)
        exit(1);
    return definition;
}

TEST(the_smallest_file_loads_with_every_default)
{
    struct definition *d = load("exec: /usr/sbin/sshd -D -e\n");
    CHECK_TEXT(d->name, "web");
    CHECK_TEXT(d->path, "web.yml");
    CHECK_TEXT(d->argv[0], "/usr/sbin/sshd");
    CHECK_TEXT(d->argv[1], "-D");
    CHECK_TEXT(d->argv[2], "-e");
    CHECK(d->argv[3] == NULL);
    CHECK(d->keys_given == KEY_BIT(KEY_EXEC));
    CHECK_NUMBER(d->type, TYPE_DAEMON);
    CHECK_NUMBER(d->start_timeout_ms, 90000);
    CHECK_NUMBER(d->stop.signal, SIGTERM);
    CHECK_NUMBER(d->restart.policy, RESTART_ALWAYS);
    CHECK(d->enabled && !d->essential && !d->console);
    CHECK_NUMBER(d->umask, 022);
    CHECK(!d->identity.set);
    CHECK(definition_size(d) < 600);
    definition_destroy(d);
}
