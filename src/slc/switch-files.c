/* enable, disable where no launcher answers, as in an image that is being built: the same
 * questions, put to the files of a system. */
#include "slc/switch-files.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "config/sources.h"
#include "config/switches.h"
#include "config/system-file.h"
#include "service/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDERS_MAX 8 /* the usual ones, and the one that comes with a system file */

static int complain_errors(struct error_list *errors)
{
    char line[ERROR_MESSAGE_BYTES + PATH_MAX];
    for (size_t i = 0; i < errors->count; i++) {
        error_format(&errors->list[i], line, sizeof line);
        slc_complain("files", "%s", line);
    }
    return SLC_FAILED;
}

static int complain_memory(void)
{
    slc_complain("files", "%s", strerror(ENOMEM));
    return SLC_FAILED;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* The file that describes it: its own, or else its template's. NULL: there is none. */
static const struct source *find_source(const struct sources *sources, const char *name)
{
    char template[SERVICE_NAME_MAX_BYTES + 1];
    const struct source *own = sources_find(sources, name);
    if (own || !service_name_template(name, template))
        return own;
    return sources_find(sources, template);
}

static int complain_no_service(const struct sources *sources, const char *root, const char *name)
{
    AUTO_FREE const char **candidates = calloc(sources->count + 1, sizeof *candidates);
    size_t count = 0;
    for (size_t i = 0; candidates && i < sources->count; i++)
        if (!sources->list[i].masked)
            candidates[count++] = sources->list[i].name;
    const char *near = candidates ? text_nearest(name, candidates, count) : NULL;
    if (near)
        slc_complain(name, "there is no such service; did you mean \"%s\"?", near);
    else
        slc_complain(name,
                     "there is no such service: no file below %s/ has its name; write the name of "
                     "a file, for those that services provide are known to a launcher only",
                     root);
    return SLC_NO_SERVICE;
}

static int check_name(const struct sources *sources, const char *root, const char *name)
{
    const char *problem = service_name_problem(name, strlen(name), NULL);
    const struct source *source = problem ? NULL : find_source(sources, name);
    if (problem)
        slc_complain(name, "there is no such service: it %s", problem);
    else if (!source)
        complain_no_service(sources, root, name);
    else if (source->masked)
        slc_complain(name, "there is no such service: it is masked by the empty file %s",
                     source->path);
    return source && !source->masked ? SLC_DONE : SLC_NO_SERVICE;
}

static int check_names(const struct slc *slc, const struct sources *sources, const char *root,
                       json_t **ret_names)
{
    json_t *names = json_array();
    int status = names ? SLC_DONE : complain_memory();
    for (size_t i = 0; i < slc->word_count && status == SLC_DONE; i++) {
        status = check_name(sources, root, slc->words[i]);
        if (status == SLC_DONE && json_array_append_new(names, json_string(slc->words[i])) < 0)
            status = complain_memory();
    }
    if (status == SLC_DONE)
        *ret_names = names;
    else
        json_decref(names);
    return status;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* The usual folders below the root; with gonit's layout its own first, for it ranks lowest. */
static int scan(const char *root, const char *beside, struct sources *sources,
                struct error_list *errors)
{
    AUTO_FREE char *storage = malloc((size_t)FOLDERS_MAX * PATH_MAX);
    const char *folders[FOLDERS_MAX];
    struct error_list ignored = {0};
    size_t count = 0;
    if (!storage)
        return -ENOMEM;
    for (size_t i = 0; i == 0 || sources_default_folders[i - 1]; i++) {
        const char *folder = i ? sources_default_folders[i - 1] : beside;
        char *path = storage + count * PATH_MAX;
        if (!folder)
            continue;
        if (count == FOLDERS_MAX || !text_format(path, PATH_MAX, "%s%s", root, folder))
            return -ENAMETOOLONG;
        folders[count++] = path;
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): AUTO_FREE, not known to it, frees it */
    int failed = sources_scan(folders, count, sources, errors, &ignored);
    error_list_finish(&ignored);
    return failed;
}

/* Reads the system file, if there is one. One that does not load lists nothing: `slc check` and the
 * boot say what is wrong with it. *ret_beside: the folder of services that comes with it, or NULL.
 */
static int read_system_file(const char *root, bool *ret_listed, const char **ret_beside)
{
    struct error_list ignored = {0};
    struct system_file order = {0};
    char path[PATH_MAX];
    int failed = system_file_find(root, path, sizeof path, &ignored);

    *ret_beside = NULL;
    *ret_listed = false;
    if (!failed) {
        *ret_beside = system_file_services(path + strlen(root));
        failed = system_file_read(path, &order, &ignored);
        *ret_listed = !failed && (order.services_given || order.start_given);
        system_file_finish(&order);
    }
    error_list_finish(&ignored);
    return failed == -ENOENT || failed == -EINVAL ? 0 : failed;
}

static int look(const struct slc *slc, const char *root, struct switch_place *place,
                json_t **ret_names)
{
    struct error_list errors = {0};
    struct sources sources = {0};
    const char *beside;
    int failed = read_system_file(root, &place->listed, &beside), status;

    if (!failed && !text_format(place->etc, sizeof place->etc, "%s%s", root, SWITCHES_FOLDER))
        failed = -ENAMETOOLONG;
    if (!failed)
        failed = scan(root, beside, &sources, &errors);
    if (failed) {
        slc_complain("files", "%s/: %s", root, strerror(-failed));
        status = SLC_FAILED;
    } else if (errors.count) {
        status = complain_errors(&errors);
    } else {
        status = check_names(slc, &sources, root, ret_names);
    }
    sources_finish(&sources);
    error_list_finish(&errors);
    return status;
}

int switch_files_find(const struct slc *slc, const char *root, struct switch_place *ret,
                      json_t **ret_names)
{
    char plain[PATH_MAX];
    struct stat stat_of_root;
    size_t length = strlen(root);

    if (stat(root, &stat_of_root) < 0 || !S_ISDIR(stat_of_root.st_mode)) {
        slc_complain("--root", "%s is no folder: write the one that is to be / of the system",
                     *root ? root : "''");
        return SLC_FAILED;
    }
    while (length && root[length - 1] == '/')
        length--;
    if (!text_format(plain, sizeof plain, "%.*s", (int)length, root)) {
        slc_complain("--root", "%s", strerror(ENAMETOOLONG));
        return SLC_FAILED;
    }
    return look(slc, plain, ret, ret_names);
}
