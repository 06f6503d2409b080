/* Finds service files in folders.
 *
 * First the folders are listed, then of several files for one service the one that counts is
 * chosen, and only that is read: a file that is replaced costs no system call. */
#include "config/sources.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "config/read-file.h"
#include "service/name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SCAN_CHUNK_BYTES (256u << 10)
#define FIRST_ROOM       64

const char *const sources_default_folders[] = {"/usr/lib/yml-services", "/etc/yml-services",
                                               "/run/yml-services", NULL};

/* How a file is named decides which of several in one folder counts: the first of these. */
enum form { FORM_YML, FORM_YAML, FORM_FOLDER_YAML, FORM_FOLDER_YML };

/* What was found in a folder and may be the file of a service. */
struct found {
    const char *name;  /* of the service */
    const char *entry; /* in its folder: "NAME.yml" or "NAME/config.yaml" */
    unsigned folder;   /* its number */
    enum form form;
    unsigned char type; /* DT_… */
    bool hides;      /* a file of the same name is in an earlier folder, or its template is there */
    bool no_service; /* it is read for something else: any name will do */
};

struct scan {
    const char *const *folders;
    size_t folder_count;
    int *fds; /* of each folder; -1: not there */
    struct found *found;
    size_t count, room;
    struct sources *sources;
    struct error_list *errors, *warnings;
    struct scan_place *place; /* NULL: nobody looks */
};

void scan_note(struct scan_place *place, const char *folder, const char *entry)
{
    if (!place)
        return;
    text_format(place->path, sizeof place->path, "%s%s%s", folder, entry ? "/" : "",
                entry ? entry : "");
    __atomic_store_n(&place->steps, place->steps + 1, __ATOMIC_RELEASE);
}

/* --- What is there --- */

/* The form of a file by its name; -1: it is none of ours. The service's name is the first
 * *ret_length bytes. */
static int form_of_name(const char *entry, size_t *ret_length)
{
    size_t length = strlen(entry);
    if (entry[0] == '.')
        return -1;
    if (length > 4 && strcmp(entry + length - 4, ".yml") == 0) {
        *ret_length = length - 4;
        return FORM_YML;
    }
    if (length > 5 && strcmp(entry + length - 5, ".yaml") == 0) {
        *ret_length = length - 5;
        return FORM_YAML;
    }
    return -1;
}

static char *join(struct arena *arena, const char *a, const char *b, const char *c)
{
    size_t a_length = strlen(a), b_length = strlen(b), c_length = strlen(c);
    char *joined = arena_take_bytes(arena, a_length + b_length + c_length + 1);
    if (!joined)
        return NULL;
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): it is written behind both */
    memcpy(joined, a, a_length);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(joined + a_length, b, b_length);
    memcpy(joined + a_length + b_length, c, c_length + 1);
    return joined;
}

/* No record has room for such a name, so it is no service, not even a broken one. */
static int say_too_long(struct scan *scan, const struct found *found)
{
    char *path = join(&scan->sources->arena, scan->folders[found->folder], "/", found->entry);
    if (!path)
        return -ENOMEM;
    return error_list_add(scan->errors, path, 0, 0, "the name '%.60s' %s", found->name,
                          service_name_problem(found->name, strlen(found->name), NULL));
}

static int add_found(struct scan *scan, struct found found)
{
    if (strlen(found.name) > SERVICE_NAME_MAX_BYTES)
        return say_too_long(scan, &found);
    if (scan->count == scan->room) {
        size_t room = scan->room ? scan->room * 2 : FIRST_ROOM;
        struct found *list = reallocarray(scan->found, room, sizeof *list);
        if (!list)
            return -ENOMEM;
        scan->found = list;
        scan->room = room;
    }
    scan->found[scan->count++] = found;
    return 0;
}

/* A folder NAME is a service when NAME/config.yaml or config.yml is there. */
static int add_folder_service(struct scan *scan, unsigned folder, const char *name, size_t length)
{
    static const struct {
        const char *file;
        enum form form;
    } forms[] = {{"/config.yaml", FORM_FOLDER_YAML}, {"/config.yml", FORM_FOLDER_YML}};

    /* A name with another ending, as x.disabled or x~, is left alone like a file with it. */
    if (name[length - 1] == '~' || (length > 9 && strcmp(name + length - 9, ".disabled") == 0))
        return 0;
    for (size_t i = 0; i < 2; i++) {
        struct stat status;
        char *entry = join(&scan->sources->arena, name, forms[i].file, "");
        if (!entry)
            return -ENOMEM;
        if (fstatat(scan->fds[folder], entry, &status, 0) < 0 &&
            (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            continue;
        struct found found = {arena_copy(&scan->sources->arena, name, length),
                              entry,
                              folder,
                              forms[i].form,
                              DT_UNKNOWN,
                              false};
        if (!found.name || add_found(scan, found) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_entry(struct scan *scan, unsigned folder, const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t length;
    int form = form_of_name(name, &length);

    if (form < 0) {
        bool folder_like =
            entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
        return folder_like && name[0] != '.' ? add_folder_service(scan, folder, name, strlen(name))
                                             : 0;
    }
    struct found found = {arena_copy(&scan->sources->arena, name, length),
                          arena_copy(&scan->sources->arena, name, strlen(name)),
                          folder,
                          (enum form)form,
                          entry->d_type,
                          false};
    if (!found.name || !found.entry)
        return -ENOMEM;
    return add_found(scan, found);
}

static int say_unread(struct scan *scan, const char *path, int error)
{
    scan->sources->unread = -error;
    return error_list_add(scan->errors, path, 0, 0, "the folder cannot be read: %s",
                          strerror(error));
}

static int list_folder(struct scan *scan, unsigned folder)
{
    const char *path = scan->folders[folder];
    struct dirent *entry;
    int failed = 0;
    scan_note(scan->place, path, NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0
               : errno == ENOTDIR
                   ? error_list_add(scan->errors, path, 0, 0,
                                    "is no folder: put a folder with service files in its place")
                   : say_unread(scan, path, errno);
    scan->fds[folder] = fd;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        failed = errno;
        if (copy >= 0)
            close(copy);
        return say_unread(scan, path, failed);
    }
    while (!failed && (errno = 0, entry = readdir(list)))
        failed = add_entry(scan, folder, entry);
    if (!failed && errno)
        failed = say_unread(scan, path, errno);
    closedir(list);
    return failed;
}

/* --- What counts --- */

/* By name; the one that counts first: the latest folder, then the form. */
static int compare_found(const void *a, const void *b)
{
    const struct found *first = a, *second = b;
    int order = strcmp(first->name, second->name);
    if (order)
        return order;
    if (first->folder != second->folder)
        return (int)second->folder - (int)first->folder;
    return (int)first->form - (int)second->form;
}

static int compare_name_of(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* Keeps of each name the one that counts. */
static int choose(struct scan *scan)
{
    size_t kept = 0;
    if (scan->count)
        qsort(scan->found, scan->count, sizeof *scan->found, compare_found);
    for (size_t i = 0; i < scan->count; i++) {
        const struct found *found = &scan->found[i];
        struct found *winner = kept ? &scan->found[kept - 1] : NULL;
        if (!winner || strcmp(winner->name, found->name) != 0) {
            scan->found[kept++] = *found;
        } else if (winner->folder != found->folder) {
            winner->hides = true;
        } else if (error_list_add(scan->warnings, scan->folders[winner->folder], 0, 0,
                                  "'%s' and '%s' are both there: '%s' counts; remove one",
                                  winner->entry, found->entry, winner->entry) < 0) {
            return -ENOMEM;
        }
    }
    scan->count = kept;
    return 0;
}

/* An empty file for an instance masks it where there is its template. */
static void find_templates(struct scan *scan)
{
    char name[SERVICE_NAME_MAX_BYTES + 1];
    for (size_t i = 0; i < scan->count; i++) {
        struct found template = {.name = name}, *found = &scan->found[i];
        if (!found->hides && service_name_template(found->name, name))
            found->hides =
                bsearch(&template, scan->found, scan->count, sizeof template, compare_name_of);
    }
}

/* --- Reading --- */

/* The path as it can be used from anywhere: relative folders are against the current one. */
static char *absolute(struct arena *arena, const char *path)
{
    char current[PATH_MAX];
    if (path[0] == '/' || !getcwd(current, sizeof current))
        return arena_copy(arena, path, strlen(path));
    return join(arena, current, "/", path);
}

static bool is_executable_file(int folder, const char *name)
{
    struct stat status;
    return fstatat(folder, name, &status, 0) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & 0111);
}

/* A folder service's own program and journal: `path` is that of its config.yaml. */
static int find_own_files(int folder, const struct found *found, const char *path,
                          struct arena *arena, struct source *source)
{
    struct stat status;
    char *whole = absolute(arena, path), *base, *slash;
    if (!whole)
        return -ENOMEM;
    slash = strrchr(whole, '/');
    base = arena_copy(arena, whole, (size_t)(slash - whole));
    char *entry =
        arena_copy(arena, found->entry, (size_t)(strrchr(found->entry, '/') - found->entry));
    char *bin = entry ? join(arena, entry, "/bin", "") : NULL;
    /* Of a template the program is called what comes before the '@'. */
    char *program = arena_copy(arena, found->name, strcspn(found->name, "@"));
    char *inner = bin && program ? join(arena, bin, "/", program) : NULL;
    char *logs = entry ? join(arena, entry, "/logs", "") : NULL;
    if (!base || !inner || !logs)
        return -ENOMEM;
    if (is_executable_file(folder, bin))
        source->exec = join(arena, base, "/bin", "");
    else if (is_executable_file(folder, inner))
        source->exec = join(arena, base, "/bin/", program);
    else
        bin = NULL;
    if (bin && !source->exec)
        return -ENOMEM;
    if (fstatat(folder, logs, &status, 0) == 0 && S_ISDIR(status.st_mode)) {
        source->logs = join(arena, base, "/logs", "");
        if (!source->logs)
            return -ENOMEM;
    }
    return 0;
}

static const char *name_problem(struct arena *arena, const char *name, int *failed)
{
    const char *problem = service_name_file_problem(name, strlen(name));
    char storage[300];
    if (!problem)
        return NULL;
    text_format(storage, sizeof storage, "the name '%.60s' %s", name, problem);
    const char *copy = arena_copy(arena, storage, strlen(storage));
    if (!copy)
        *failed = -ENOMEM;
    return copy;
}

/* Fills the source with what `found` holds, looked up in `folder`. */
static int read_found(int folder, const struct found *found, const char *path, struct arena *arena,
                      struct source *source)
{
    int failed = 0;
    char *text;
    *source = (struct source){
        .name = found->name, .path = path, .folder = found->form >= FORM_FOLDER_YAML};
    if (!found->no_service)
        source->problem = name_problem(arena, found->name, &failed);
    if (failed || source->problem)
        return failed;
    failed = read_file_at(folder, found->entry, found->type == DT_REG, SOURCE_MAX_BYTES, arena,
                          &text, &source->size, &source->problem);
    if (failed)
        return failed == -ENOMEM ? failed : 0;
    if (source->size > 0)
        source->text = text;
    else if (found->no_service)
        source->problem = "is empty: write at least 'title: some words', or remove it";
    else if (found->hides)
        source->masked = true;
    else
        source->problem = "is empty and there is nothing that it could mask: write at least "
                          "'exec: /path/of/program'";
    return source->folder && source->text ? find_own_files(folder, found, path, arena, source) : 0;
}

static int read_all(struct scan *scan)
{
    struct sources *sources = scan->sources;
    sources->list = malloc((scan->count + 1) * sizeof *sources->list);
    if (!sources->list)
        return -ENOMEM;
    for (size_t i = 0; i < scan->count; i++) {
        const struct found *found = &scan->found[i];
        const char *folder = scan->folders[found->folder];
        size_t length = strlen(folder);
        const char *slash = folder[length - 1] == '/' ? "" : "/"; /* what was opened has a name */
        char *path = join(&sources->arena, folder, slash, found->entry);
        scan_note(scan->place, folder, found->entry);
        if (!path || read_found(scan->fds[found->folder], found, path, &sources->arena,
                                &sources->list[sources->count]) < 0)
            return -ENOMEM;
        sources->count++;
    }
    return 0;
}

int sources_scan(const char *const *folders, size_t folder_count, struct sources *ret,
                 struct error_list *errors, struct error_list *warnings)
{
    return sources_scan_at(folders, folder_count, ret, errors, warnings, NULL);
}

int sources_scan_at(const char *const *folders, size_t folder_count, struct sources *ret,
                    struct error_list *errors, struct error_list *warnings,
                    struct scan_place *place)
{
    struct sources sources = {.arena = {.chunk_bytes = SCAN_CHUNK_BYTES}};
    struct scan scan = {.folders = folders,
                        .folder_count = folder_count,
                        .sources = &sources,
                        .errors = errors,
                        .warnings = warnings,
                        .place = place};
    int failed = 0;

    scan.fds = malloc((folder_count + 1) * sizeof *scan.fds);
    if (!scan.fds)
        return -ENOMEM;
    for (size_t i = 0; i < folder_count; i++)
        scan.fds[i] = -1;
    for (size_t i = 0; i < folder_count && !failed; i++)
        failed = list_folder(&scan, (unsigned)i);
    if (!failed)
        failed = choose(&scan);
    if (!failed)
        find_templates(&scan);
    if (!failed)
        failed = read_all(&scan);
    for (size_t i = 0; i < folder_count; i++)
        if (scan.fds[i] >= 0)
            close(scan.fds[i]);
    free(scan.fds);
    free(scan.found);
    if (failed)
        sources_finish(&sources);
    else
        *ret = sources;
    return failed;
}

/* --- One file --- */

/* The service's name out of a path: that of the file without its ending, or for config.yaml that
 * of its folder. */
static int find_name(const char *path, struct arena *arena, struct found *ret)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    size_t length = strlen(file), folder_length = slash ? (size_t)(slash - path) : 0;
    int form = form_of_name(file, &length);

    *ret = (struct found){
        .entry = path, .form = form < 0 ? FORM_YML : (enum form)form, .type = DT_UNKNOWN};
    if (folder_length && (strcmp(file, "config.yaml") == 0 || strcmp(file, "config.yml") == 0)) {
        const char *begin = memrchr(path, '/', folder_length);
        begin = begin ? begin + 1 : path;
        ret->form = FORM_FOLDER_YAML;
        ret->name = arena_copy(arena, begin, (size_t)(slash - begin));
    } else {
        ret->name = arena_copy(arena, file, length);
    }
    return ret->name ? 0 : -ENOMEM;
}

int sources_read_file(const char *path, const char *as, struct sources *ret)
{
    struct sources sources = {.count = 1};
    struct found found;
    char *kept;
    sources.list = malloc(sizeof *sources.list);
    if (!sources.list || !(kept = arena_copy(&sources.arena, path, strlen(path))) ||
        find_name(kept, &sources.arena, &found) < 0) {
        sources_finish(&sources);
        return -ENOMEM;
    }
    if (as) {
        found.name = as;
        found.form = FORM_YML;
        found.no_service = true;
    }
    if (read_found(AT_FDCWD, &found, kept, &sources.arena, sources.list) < 0) {
        sources_finish(&sources);
        return -ENOMEM;
    }
    *ret = sources;
    return 0;
}

/* --- Using a set --- */

static int compare_name(const void *name, const void *source)
{
    return strcmp(name, ((const struct source *)source)->name);
}

const struct source *sources_find(const struct sources *sources, const char *name)
{
    return sources->count
               ? bsearch(name, sources->list, sources->count, sizeof *sources->list, compare_name)
               : NULL;
}

bool source_equal(const struct source *a, const struct source *b)
{
    return text_same(a->name, b->name) && text_same(a->path, b->path) &&
           text_same(a->problem, b->problem) && text_same(a->exec, b->exec) &&
           text_same(a->logs, b->logs) && a->folder == b->folder && a->masked == b->masked &&
           a->gone == b->gone && a->size == b->size && !a->text == !b->text &&
           (!a->text || memcmp(a->text, b->text, a->size) == 0);
}

void sources_finish(struct sources *sources)
{
    free(sources->list);
    arena_finish(&sources->arena);
    *sources = (struct sources){0};
}
