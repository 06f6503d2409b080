/* Service files into force: at the boot, and again after a crash.
 *
 * The texts in force are in a memfd that init holds. A crash parses the same texts again; only the
 * boot and a reload (reload.c) read files. */
#include "service-launcher/executor.h"
#include "service-launcher/init-link.h"
#include "service-launcher/journal-client.h"
#include "service-launcher/launcher.h"
#include "service-launcher/load-internal.h"
#include "service-launcher/reader.h"
#include "service-launcher/state.h"
#include "service-launcher/templates.h"

#include "base/clock.h"
#include "base/shortage.h"
#include "config/definition-parse.h"
#include "config/keys.h"
#include "config/sources.h"
#include "config/switches.h"
#include "config/system-file.h"
#include "config/users.h"
#include "log/log.h"
#include "protocol/journal-link.h"
#include "service/name.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS_STEP 64
#define ROOM_TRIES 20 /* when there is no memory for a service at the boot */

/* ---- words ---------------------------------------------------------------------------------- */

static void log_errors(enum log_level level, const char *message, const struct error_list *errors)
{
    char line[ERROR_MESSAGE_BYTES + PATH_MAX + 32];
    for (size_t i = 0; i < errors->count; i++) {
        error_format(&errors->list[i], line, sizeof line);
        log_write(level, message, (const struct log_field[]){TEXT("error", line)}, 1);
    }
}

static void warn(void *context, const char *service, const char *text)
{
    (void)context;
    LOG(WARNING, "Odd, but not wrong", TEXT("service", service), TEXT("what", text));
}

/* ---- the texts in force -------------------------------------------------------------------- */

static uint64_t number_of(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) < 0 ? 0 : stat.st_ino;
}

int load_write_sources(const struct source *list, size_t count, uint64_t *ret_number)
{
    int fd = memfd_create("conit-definitions", MFD_CLOEXEC);
    int failed = fd < 0 ? -errno : sources_write(fd, list, count);
    if (failed) {
        if (fd >= 0)
            close(fd);
        return failed;
    }
    *ret_number = number_of(fd);
    return fd;
}

int load_hold_sources(struct launcher *launcher, int fd)
{
    uint32_t key = KEY_DEFINITIONS;
    int failed = init_link_store_queued(launcher->init_link, OWNER_LAUNCHER, &key, &fd, 1);
    if (failed) {
        close(fd);
        return failed;
    }
    if (launcher->definitions_fd >= 0)
        close(launcher->definitions_fd);
    launcher->definitions_fd = fd;
    launcher->definitions_number = number_of(fd);
    return 0;
}

int load_store_sources(struct launcher *launcher, const struct source *list, size_t count)
{
    uint64_t number;
    int fd = load_write_sources(list, count, &number);
    return fd < 0 ? fd : load_hold_sources(launcher, fd);
}

/* ---- one service --------------------------------------------------------------------------- */

void load_set_errors(struct service *service, char *errors)
{
    free((char *)service->errors);
    service->errors = errors;
}

struct service *load_own_service(const struct launcher *launcher, const char *name)
{
    struct service *service = manager_find(&launcher->manager, name);
    bool own = service && strcmp(service_name(&launcher->manager, service), name) == 0;
    return own ? service : NULL;
}

/* A service for the name: the one there is, or a new one. NULL: no memory, or too many. */
struct service *load_service_for(struct launcher *launcher, const char *name)
{
    struct manager *manager = &launcher->manager;
    struct service *service = load_own_service(launcher, name);
    if (service)
        return service;
    service = manager_add(manager, name);
    if (service)
        return service;
    uint32_t slots =
        manager->slots + (manager->slots / 2 > SLOTS_STEP ? manager->slots / 2 : SLOTS_STEP);
    if (slots > STATE_SLOTS_MAX)
        slots = STATE_SLOTS_MAX;
    if (state_grow(launcher->state, slots) < 0 || manager_grow(manager, slots) < 0)
        return NULL;
    return manager_add(manager, name);
}

/* What `definition` changes for the service's journal holds at once. A service that the journal
 * does not know yet will be registered with it. */
static void tell_journal(const struct launcher *launcher, const struct service *service,
                         const struct definition *definition)
{
    const struct definition *before = service->definition;
    if (!before || !launcher->journal ||
        (quota_equal(&before->quota, &definition->quota) && before->console == definition->console))
        return;
    int failed =
        journal_client_settings(launcher->journal, service->slot,
                                definition->console ? JOURNAL_FLAG_CONSOLE : 0, &definition->quota);
    if (failed)
        LOG(ERROR, "The journal keeps its former quota until the next start",
            TEXT("service", definition->name), TEXT("error", strerror(-failed)));
}

/* What runs was made of `former`, or of what was in force before that: notes whether it would be
 * another now. */
static void note_outdated(struct manager *manager, struct service *service,
                          const struct definition *former, const struct definition *definition)
{
    struct service_body body;
    manager_edit(manager, service, &body);
    if (machine_states[body.state].idle)
        return;
    if (!body.begun_as)
        body.begun_as = definition_start_hash(former);
    if (body.begun_as == definition_start_hash(definition))
        body.begun_as = 0;
    manager_commit(manager, service, &body);
}

struct definition *load_put_in_force(struct launcher *launcher, struct service *service,
                                     struct definition *definition)
{
    struct definition *former = (struct definition *)service->definition;
    uint64_t changed = former ? definition_diff(former, definition) : 0;
    tell_journal(launcher, service, definition);
    if (keys_need_restart(changed))
        note_outdated(&launcher->manager, service, former, definition);
    executor_definition_ends(launcher->executor, service, changed);
    service->definition = definition;
    load_set_errors(service, NULL);
    executor_definition_begins(launcher->executor, service, changed);
    if (service_state(&launcher->manager, service) == STATE_BROKEN)
        manager_event(&launcher->manager, service, EVENT_LOADED);
    return former;
}

/* A file that no longer loads leaves what was in force. */
void load_put_broken(struct launcher *launcher, struct service *service, char *errors)
{
    struct service_body body;
    load_set_errors(service, errors);
    if (service->definition)
        return;
    manager_edit(&launcher->manager, service, &body);
    body.reason = (struct reason){.code = REASON_BROKEN, .service = SLOT_NONE};
    manager_commit(&launcher->manager, service, &body);
    manager_event(&launcher->manager, service, EVENT_BROKEN);
}

/* What is said of a file that did not load; NULL: there is not even memory for that. */
static char *words_of(int failed, const struct error_list *errors)
{
    return failed == -EINVAL ? reading_errors_text(errors)
           : failed          ? strdup("there is no memory to read it")
                             : NULL;
}

/* Parses one source into a definition, or into the words of its errors. Returns 0, -EINVAL or
 * -ENOMEM, both with *ret_errors (NULL where there is no memory for that). */
int load_parse(const struct source *source, struct definition **ret, char **ret_errors)
{
    struct error_list errors = {0};
    int failed = definition_parse(source, ret, &errors);
    *ret_errors = words_of(failed, &errors);
    error_list_finish(&errors);
    return failed;
}

int load_parse_instance(const struct source *template, const char *name, struct definition **ret,
                        char **ret_errors)
{
    struct error_list errors = {0};
    int failed = definition_parse_instance(template, name, ret, &errors);
    *ret_errors = words_of(failed, &errors);
    error_list_finish(&errors);
    return failed;
}

int load_parse_template(const struct source *template, struct definition **ret, char **ret_errors)
{
    struct error_list errors = {0};
    int failed = definition_parse_template(template, ret, &errors);
    *ret_errors = words_of(failed, &errors);
    error_list_finish(&errors);
    return failed;
}

void load_forget(struct launcher *launcher, struct service *service)
{
    executor_forget(launcher->executor, service);
    definition_destroy((struct definition *)service->definition);
    load_set_errors(service, NULL);
    service->definition = NULL;
    manager_forget(&launcher->manager, service);
}

/* ---- the first time, and after a crash ----------------------------------------------------- */

/* A source that cannot be put in force hurts only itself. */
static void load_source(struct launcher *launcher, const struct source *source)
{
    struct definition *definition = NULL;
    char *errors = NULL;
    if (source->masked || strcmp(source->name, SWITCHES_SOURCE_NAME) == 0)
        return;
    if (strcmp(source->name, SYSTEM_SOURCE_NAME) == 0) {
        struct error_list list = {0};
        int failed = system_file_parse(source->path, source->text, source->size,
                                       launcher->system_file, &list);
        error_list_finish(&list);
        if (failed)
            LOG(ERROR, "The system file cannot be put in force", TEXT("file", source->path),
                TEXT("error", strerror(-failed)));
        return;
    }
    if (service_name_is_template(source->name, strlen(source->name))) {
        templates_check(source);
        return;
    }
    struct service *service = load_service_for(launcher, source->name);
    for (int i = 0; !service && i < ROOM_TRIES && launcher->manager.slots < STATE_SLOTS_MAX; i++) {
        if (i == 0)
            LOG(WARNING, "Cannot load a service yet", TEXT("service", source->name),
                TEXT("error", strerror(ENOMEM)));
        poll(NULL, 0, SHORTAGE_RETRY_MS);
        service = load_service_for(launcher, source->name);
    }
    if (!service) {
        LOG(ERROR, "There is no room for another service", TEXT("service", source->name),
            NUMBER("most", STATE_SLOTS_MAX));
        return;
    }
    if (load_parse(source, &definition, &errors) == 0) {
        definition_destroy(load_put_in_force(launcher, service, definition));
        return;
    }
    LOG(ERROR, "A service file does not load", TEXT("service", source->name),
        TEXT("error", errors ? errors : source->path));
    load_put_broken(launcher, service, errors);
}

/* gonit's list of names, each after the one before it; NULL when it is not given. From malloc, and
 * the names are the system file's. */
static char **listed_names(const struct system_file *system_file)
{
    if (!system_file->services_given)
        return NULL;
    char **names = calloc(system_file->service_count + 1, sizeof *names);
    for (size_t i = 0; names && i < system_file->service_count; i++)
        names[i] = (char *)system_file->services[i].name;
    return names;
}

void load_set_switches(struct launcher *launcher, const struct source *list, size_t count)
{
    struct switches switches = {0};
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i].name, SWITCHES_SOURCE_NAME) &&
            switches_parse(list[i].text, list[i].size, &switches) < 0) {
            LOG(ERROR, "No memory for what was switched on and off by hand: reload again");
            return;
        }
    switches_finish(launcher->switches);
    *launcher->switches = switches;
}

/* `warn` as for manager_resolve(). */
static int resolve(struct launcher *launcher,
                   void (*warn_of)(void *context, const char *service, const char *text))
{
    int failed = templates_make_named(launcher);
    if (failed)
        return failed;
    for (uint32_t i = 0; i < launcher->manager.slots; i++) {
        struct service *service = &launcher->manager.services[i];
        service->switched =
            service->in_use
                ? switches_find(launcher->switches, service_name(&launcher->manager, service))
                : SWITCHED_NOT;
    }
    char **order = listed_names(launcher->system_file);
    failed = manager_resolve(&launcher->manager, order, warn_of);
    free(order);
    return failed;
}

int load_resolve(struct launcher *launcher)
{
    return resolve(launcher, NULL);
}

static int load_all(struct launcher *launcher, const struct source *list, size_t count)
{
    load_set_switches(launcher, list, count);
    int failed = templates_put_in_force(launcher, list, count);
    if (failed)
        return failed;
    users_hold();
    for (size_t i = 0; i < count; i++)
        load_source(launcher, &list[i]);
    templates_define_again(launcher);
    users_release();
    return resolve(launcher, warn);
}

/* Read here and not by a child, as a reload does: nothing runs yet that could be kept waiting, and
 * without the files there is nothing to be done. */
int launcher_load(struct launcher *launcher, bool anyway)
{
    struct reading reading;
    struct reading_options options = reader_options(&launcher->options);
    int failed = reading_read(&options, NULL, &reading);

    log_errors(LOG_ERROR, "Cannot read", &reading.errors);
    log_errors(LOG_WARNING, "Odd, but not wrong", &reading.warnings);
    if (!failed && !anyway && is_shortage(reading.sources.unread))
        failed = reading.sources.unread;
    if (!failed)
        failed = load_store_sources(launcher, reading.sources.list, reading.sources.count);
    if (!failed)
        failed = load_all(launcher, reading.sources.list, reading.sources.count);
    reading_finish(&reading);
    return failed;
}

int launcher_load_again(struct launcher *launcher, int definitions_fd)
{
    struct sources sources = {0};
    launcher->definitions_fd = definitions_fd;
    launcher->definitions_number = number_of(definitions_fd);
    /* The records have names already: they are to be found while the texts are gone through. */
    int failed = load_resolve(launcher);
    if (!failed)
        failed = sources_read(definitions_fd, &sources);
    if (!failed)
        failed = load_all(launcher, sources.list, sources.count);
    sources_finish(&sources);
    return failed;
}

/* What is known of a service whose text is lost: it is to be left alone, and can be stopped. */
static const char lost_text[] = "description: its definition was lost\n"
                                "exec: /bin/false\nrestart: never\nenabled: no\n";

void launcher_define_lost(struct launcher *launcher)
{
    for (uint32_t i = 0; i < launcher->manager.slots; i++) {
        struct service *service = &launcher->manager.services[i];
        struct definition *definition = NULL;
        char *errors = NULL;
        if (!service->in_use || service->definition ||
            machine_states[service_state(&launcher->manager, service)].idle)
            continue;
        const char *name = service_name(&launcher->manager, service);
        struct source source = {
            .name = name, .path = "(lost)", .text = lost_text, .size = sizeof lost_text - 1};
        LOG(ERROR, "The definition of a service that runs is lost: it runs on until it is stopped",
            TEXT("service", name));
        if (load_parse(&source, &definition, &errors) == 0) {
            definition_destroy(load_put_in_force(launcher, service, definition));
            /* The next reload reads its file again. */
            load_set_errors(service, strdup("its definition was lost: reload, to have it again"));
        }
        free(errors);
    }
}

/* ---- the boot ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b, void *context)
{
    const struct manager *manager = context;
    return strcmp(manager->records[*(const uint32_t *)a].name,
                  manager->records[*(const uint32_t *)b].name);
}

static void want_named(struct launcher *launcher, const char *name, uint32_t *slots, size_t *count)
{
    const struct service *service = manager_find(&launcher->manager, name);
    if (service)
        slots[(*count)++] = service->slot;
    else
        LOG(ERROR, "The system file names a service that is not there", TEXT("service", name),
            TEXT("file", launcher->system_file->path));
}
/* An instance is there because somebody names it, and started by whoever wants it up; unless it was
 * switched on itself. */
static bool is_for_boot(const struct service *service)
{
    return service->definition && service_is_enabled(service) &&
           (!service->from_template || service->switched == SWITCHED_ON);
}

static void warn_of_leftovers(const struct launcher *launcher)
{
    for (size_t i = 0; i < launcher->switches->count; i++) {
        const struct switch_entry *entry = &launcher->switches->list[i];
        if (!load_own_service(launcher, entry->name) &&
            !launcher_is_instance(launcher, entry->name))
            LOG(WARNING, "Switched by hand, and no service has that name: remove the file",
                TEXT("folder", launcher->options.etc),
                TEXT("file", entry->which == SWITCHED_ON ? "enabled" : "disabled"),
                TEXT("service", entry->name));
    }
}

void launcher_boot(struct launcher *launcher)
{
    struct manager *manager = &launcher->manager;
    const struct system_file *system_file = launcher->system_file;
    size_t count = 0, room = manager->slots + system_file->service_count;
    for (size_t i = 0; system_file->start_given && system_file->start[i]; i++)
        room++;
    uint32_t *slots = calloc(room + 1, sizeof *slots);
    if (!slots) {
        LOG(ERROR, "No memory to begin the boot");
        return;
    }
    for (size_t i = 0; system_file->services_given && i < system_file->service_count; i++)
        want_named(launcher, system_file->services[i].name, slots, &count);
    for (size_t i = 0; system_file->start_given && system_file->start[i]; i++)
        want_named(launcher, system_file->start[i], slots, &count);
    if (!system_file->services_given && !system_file->start_given) {
        for (uint32_t i = 0; i < manager->slots; i++)
            if (is_for_boot(&manager->services[i]))
                slots[count++] = i;
        qsort_r(slots, count, sizeof *slots, compare_names, manager);
    }
    warn_of_leftovers(launcher);
    LOG(INFO, "Starting services", NUMBER("count", count),
        TEXT("title", system_file->title ? system_file->title : "conit"),
        TEXT("version", system_file->version ? system_file->version : CONIT_VERSION));
    int failed = manager_want(manager, slots, count);
    free(slots);
    if (failed) {
        LOG(ERROR, "No memory to begin the boot");
        return;
    }
    manager->header->booted = 1;
}
