/* slc check [FILE…] [--services DIR] [--config FILE]: loads service files as the launcher would,
 * without one, and prints every error, every cycle and every name that no service has. */
#include "slc/check-programs.h"
#include "slc/render.h"
#include "slc/slc.h"

#include "base/text.h"
#include "config/check-names.h"
#include "config/definition-parse.h"
#include "config/sources.h"
#include "config/system-file.h"
#include "config/users.h"
#include "journal/show.h"
#include "service/name.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct option_row options[] = {
    {"services", 0, OPTION_LIST, offsetof(struct options, services), "DIR",
     "a folder of service files instead of the usual ones; may be repeated"},
    {"config", 0, OPTION_TEXT, offsetof(struct options, config), "FILE",
     "the system file instead of the usual one"},
    {NULL},
};

struct check {
    const struct slc *slc;
    struct sources *sets; /* the folders' one first, then one for each file named */
    size_t set_count;
    struct system_file order;
    const char *order_path; /* the system file's; NULL: none */
    struct names names;
    struct error_list errors, warnings;
    size_t loaded;
    bool all; /* no file was named: everything is looked at */
};

/* ---- reading -------------------------------------------------------------------------------- */

/* What a file of the sets is: parsed, and added to the names. `told`: its errors are printed. */
static int load_source(struct check *check, const struct source *source, bool told)
{
    bool template = service_name_is_template(source->name, strlen(source->name));
    struct checked service = {.name = source->name,
                              .source = source,
                              .kind = source->masked ? CHECKED_MASKED
                                      : template     ? CHECKED_TEMPLATE
                                                     : CHECKED_SERVICE,
                              .told = told};
    struct error_list ignored = {0};
    int r = source->masked ? 0
                           : (template ? definition_parse_template : definition_parse)(
                                 source, &service.owned, told ? &check->errors : &ignored);

    error_list_finish(&ignored);
    if (r == -ENOMEM)
        return r;
    service.definition = service.owned;
    if (service.owned) /* of a template that is its example's */
        service.name = service.owned->name;
    check->loaded += service.owned && told;
    r = told ? programs_check(&service, &check->warnings) : 0;
    if (r == 0)
        r = names_add(&check->names, &service);
    if (r < 0)
        definition_destroy(service.owned);
    return r;
}

/* Whether one of the files named describes the same service. */
static bool is_replaced(const struct check *check, const char *name)
{
    for (size_t i = 1; i < check->set_count; i++)
        if (check->sets[i].count && !strcmp(check->sets[i].list[0].name, name))
            return true;
    return false;
}

static int load_all(struct check *check)
{
    int r = 0;

    users_hold();
    for (size_t set = 0; set < check->set_count; set++)
        for (size_t i = 0; r == 0 && i < check->sets[set].count; i++) {
            const struct source *source = &check->sets[set].list[i];
            if (set == 0 && is_replaced(check, source->name))
                continue;
            r = load_source(check, source, set > 0 || check->all);
        }
    users_release();
    return r;
}

/* The folders given, or the usual ones; and below them the one that comes with the system file. */
static int scan_folders(struct check *check)
{
    const char *const *given = check->slc->options.services;
    const char *const *usual = given[0] ? given : sources_default_folders;
    const char *beside = check->order_path ? system_file_services(check->order_path) : NULL;
    struct error_list ignored = {0};
    struct stat status;
    size_t count = 0;
    int r;

    for (size_t i = 0; usual[i]; i++)
        count++;
    const char **folders = calloc(count + 1, sizeof *folders);
    if (!folders)
        return -ENOMEM;
    count = 0;
    if (beside)
        folders[count++] = beside;
    for (size_t i = 0; usual[i]; i++) {
        folders[count++] = usual[i];
        if (given[0] && stat(usual[i], &status) < 0)
            error_list_add(&check->errors, usual[i], 0, 0, "%s", strerror(errno));
    }
    r = sources_scan(folders, count, &check->sets[0], check->all ? &check->errors : &ignored,
                     check->all ? &check->warnings : &ignored);
    free(folders);
    error_list_finish(&ignored);
    return r;
}

/* The system file given, or else the one that belongs to the usual folders, if any. */
static int find_system_file(struct check *check, char *storage, size_t size_bytes)
{
    struct error_list ignored = {0};
    int r = -ENOENT;

    check->order_path = check->slc->options.config;
    if (!check->order_path && !check->slc->options.services[0])
        r = system_file_find("", storage, size_bytes, check->all ? &check->warnings : &ignored);
    if (r == 0)
        check->order_path = storage;
    error_list_finish(&ignored);
    return r == -ENOMEM ? r : 0;
}

static int read_system_file(struct check *check)
{
    if (!check->order_path || (!check->all && !check->slc->options.config))
        return 0;
    return system_file_read(check->order_path, &check->order, &check->errors) == -ENOMEM ? -ENOMEM
                                                                                         : 0;
}

/* What is to be read where `word` is named: of a folder that is a service its config.yaml or
 * config.yml, with a whole path, because the folder's name is the service's. NULL: has none. */
static const char *file_of_word(const char *word, char path[static PATH_MAX])
{
    static const char *const files[] = {"config.yaml", "config.yml"};
    char folder[PATH_MAX];
    struct stat status;
    bool is_folder = stat(word, &status) == 0 && S_ISDIR(status.st_mode);

    if (!realpath(is_folder ? word : ".", folder))
        return word;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if ((is_folder || !strcmp(word, files[i])) &&
            text_format(path, PATH_MAX, "%s/%s", folder, files[i]) && stat(path, &status) == 0)
            return path;
    return is_folder ? NULL : word;
}

static int read_word(struct check *check, const char *word)
{
    char path[PATH_MAX];
    const char *file = file_of_word(word, path);
    int r;

    if (!file)
        return error_list_add(&check->errors, word, 0, 0,
                              "is a folder without a config.yaml: name a file, or write --services "
                              "DIR for all that are in a folder");
    r = sources_read_file(file, NULL, &check->sets[check->set_count]);
    check->set_count += r == 0;
    return r;
}

static int read_all(struct check *check)
{
    const struct slc *slc = check->slc;
    char order_path[PATH_MAX];
    int r;

    check->all = slc->word_count == 0;
    check->sets = calloc(slc->word_count + 1, sizeof *check->sets);
    if (!check->sets)
        return -ENOMEM;
    check->set_count = 1;
    r = find_system_file(check, order_path, sizeof order_path);
    if (r == 0)
        r = scan_folders(check);
    for (size_t i = 0; r == 0 && i < slc->word_count; i++)
        r = read_word(check, slc->words[i]);
    if (r == 0)
        r = read_system_file(check);
    check->order_path = NULL; /* it is in our frame */
    return r == 0 ? load_all(check) : r;
}

/* ---- printing ------------------------------------------------------------------------------- */

static int compare_errors(const void *a, const void *b)
{
    const struct error *left = a, *right = b;
    int order = strcmp(left->file ? left->file : "", right->file ? right->file : "");

    if (order)
        return order;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return left->column < right->column ? -1 : left->column > right->column;
}

static json_t *as_json(const struct error *error, const char *kind)
{
    return json_pack("{s:s, s:s?, s:o, s:o, s:s}", "kind", kind, "file", error->file, "line",
                     error->line ? json_integer(error->line) : json_null(), "column",
                     error->column ? json_integer(error->column) : json_null(), "message",
                     error->message);
}

static void print_line(const char *before, const char *line)
{
    struct buffer out = {0};
    if (journal_show_escaped(&out, line, strlen(line)) == 0)
        printf("%s%.*s\n", before, (int)buffer_used(&out), buffer_bytes(&out));
    buffer_finish(&out);
}

static void print_list(const struct check *check, struct error_list *list, const char *kind,
                       json_t *json)
{
    char line[ERROR_MESSAGE_BYTES + 4200];

    if (list->count)
        qsort(list->list, list->count, sizeof *list->list, compare_errors);
    for (size_t i = 0; i < list->count; i++) {
        error_format(&list->list[i], line, sizeof line);
        if (json)
            json_array_append_new(json, as_json(&list->list[i], kind));
        else if (!check->slc->options.quiet)
            print_line(*kind == 'w' ? "warning: " : "", line);
    }
}

static int print(struct check *check)
{
    json_t *json = check->slc->options.json ? json_array() : NULL;

    print_list(check, &check->errors, "error", json);
    print_list(check, &check->warnings, "warning", json);
    if (json)
        render_json(json);
    else if (!check->slc->options.quiet)
        printf("%zu service%s loaded, %zu error%s, %zu warning%s\n", check->loaded,
               check->loaded == 1 ? "" : "s", check->errors.count,
               check->errors.count == 1 ? "" : "s", check->warnings.count,
               check->warnings.count == 1 ? "" : "s");
    json_decref(json);
    return check->errors.count ? SLC_FAILED : SLC_DONE;
}

static int run(struct slc *slc)
{
    struct check check = {.slc = slc};
    check.names.order = &check.order;
    int r = read_all(&check), status = SLC_FAILED;

    if (r == 0)
        r = names_check(&check.names, &check.errors);
    if (r == 0 && !check.errors.no_memory && !check.warnings.no_memory)
        status = print(&check);
    else
        slc_complain("check", "%s", strerror(r ? -r : ENOMEM));
    names_finish(&check.names);
    for (size_t i = 0; i < check.set_count; i++)
        sources_finish(&check.sets[i]);
    free(check.sets);
    system_file_finish(&check.order);
    error_list_finish(&check.errors);
    error_list_finish(&check.warnings);
    return status;
}

const struct verb verb_check = {
    .name = "check",
    .arguments = "[FILE…]",
    .most = ANY_NUMBER,
    .options = options,
    .help = "load service files without a launcher and print every error",
    .details = "Without a file all folders and the system file are looked at. With files those "
               "are;\nnames in them may also be of services in the folders. Exits with 1 where "
               "there is an\nerror, a cycle, or a name in needs, wants, after or before that no "
               "service has.",
    .run = run,
};
