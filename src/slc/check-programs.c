/* Looks for the program of a service as the launcher would: a path from the service's `dir`, a name
 * on its PATH. A warning at most: a file may be written before what it starts is installed, or for
 * another machine. */
#include "slc/check-programs.h"

#include "base/text.h"
#include "service/name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Whether the kernel would execute it, for a user who may: 0, or why not. What we may not look at
 * is taken to be right. */
static int look_at(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return errno == ENOENT || errno == ENOTDIR ? -ENOENT : 0;
    if (!S_ISREG(status.st_mode))
        return -EISDIR;
    return status.st_mode & 0111 ? 0 : -EACCES;
}

static int look_on_path(const char *path, const char *name)
{
    char file[PATH_MAX];
    int found = -ENOENT;
    for (const char *at = path; found && *at;) {
        int bytes = (int)strcspn(at, ":");
        if (bytes && text_format(file, sizeof file, "%.*s/%s", bytes, at, name)) {
            int one = look_at(file);
            if (one == 0 || one == -EACCES)
                found = one;
        }
        at += bytes + (at[bytes] == ':');
    }
    return found;
}

/* The PATH that the service has; NULL: that is not known here. */
static const char *path_of(const struct definition *definition)
{
    const char *rest;
    for (names_t entry = definition->env; entry && *entry; entry++)
        if (text_starts_with(*entry, "PATH=", &rest))
            return rest;
    return definition->env_file ? NULL : SERVICE_DEFAULT_PATH;
}

/* A service that is skipped where its program is not there says so itself. */
static bool is_condition(const struct definition *definition, const char *program)
{
    for (size_t i = 0; i < definition->when_count; i++) {
        const struct condition *when = &definition->when[i];
        if ((when->kind == WHEN_EXISTS || when->kind == WHEN_EXECUTABLE) && !when->negated &&
            !strcmp(when->word, program))
            return true;
    }
    return false;
}

int programs_check(const struct checked *service, struct error_list *warnings)
{
    const struct definition *definition = service->definition;
    const char *program = definition && definition->argv ? definition->argv[0] : NULL;
    char file[PATH_MAX];
    unsigned line, column;
    int found;

    if (!program || definition->root || is_condition(definition, program) ||
        (service->kind == CHECKED_TEMPLATE &&
         strstr(program, service_name_instance(definition->name))))
        return 0;
    const char *path = path_of(definition);
    if (program[0] == '/')
        found = look_at(program);
    else if (strchr(program, '/'))
        found =
            text_format(file, sizeof file, "%s/%s", definition->dir ? definition->dir : "", program)
                ? look_at(file)
                : 0;
    else
        found = path ? look_on_path(path, program) : 0;
    if (!found)
        return 0;
    names_place(service->source, definition->script ? "script" : "exec", 0, &line, &column);
    if (found == -ENOENT && !strchr(program, '/'))
        return error_list_add(warnings, service->source->path, line, column,
                              "the program '%s' is in no folder of PATH (%s)", program, path);
    return error_list_add(warnings, service->source->path, line, column, "the program '%s' %s",
                          program,
                          found == -ENOENT   ? "is not there"
                          : found == -EACCES ? "is not executable: chmod +x"
                                             : "is no file");
}
