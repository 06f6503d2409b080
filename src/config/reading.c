/* Reads the system file and the service files, and hands over what was read through memfds. The
 * shape of the notes is in reading.h. */
#include "config/reading.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "config/switches.h"
#include "config/system-file.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTES_MAX_BYTES (64 << 20) /* more was never written by us */

_Static_assert(sizeof(struct scan_place) <= READING_NOTES_AT, "the place comes before the notes");

enum { NOTE_ERROR = 1, NOTE_WARNING = 2, NOTE_END = 3 };

struct note {
    uint32_t kind, line, column, file_bytes, message_bytes;
};

char *reading_errors_text(const struct error_list *errors)
{
    char line[ERROR_MESSAGE_BYTES + PATH_MAX + 32];
    size_t size = 1;
    for (size_t i = 0; i < errors->count; i++) {
        error_format(&errors->list[i], line, sizeof line);
        size += strlen(line) + 1;
    }
    char *storage = malloc(size);
    if (!storage)
        return NULL;
    struct text text;
    text_init(&text, storage, size);
    for (size_t i = 0; i < errors->count; i++) {
        error_format(&errors->list[i], line, sizeof line);
        text_add(&text, line);
        if (i + 1 < errors->count)
            text_add_char(&text, '\n');
    }
    return storage;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Its path, or NULL when there is none. */
static const char *find_system_file(const struct reading_options *options,
                                    char storage[static PATH_MAX], struct error_list *warnings)
{
    if (options->config)
        return options->config;
    return system_file_find("", storage, PATH_MAX, warnings) == 0 ? storage : NULL;
}

/* The folders of the options; with gonit's layout its own folder too, below the others. */
static int scan(const struct reading_options *options, const char *system_path,
                struct scan_place *place, struct reading *reading)
{
    const char *beside = system_path ? system_file_services(system_path) : NULL;
    size_t count = 0;
    AUTO_FREE const char **folders = calloc(options->service_count + 1, sizeof *folders);
    int failed = 0;
    if (!folders)
        return -ENOMEM;
    if (beside)
        folders[count++] = beside;
    for (size_t i = 0; i < options->service_count; i++)
        folders[count++] = options->services[i];
    failed = sources_scan_at(folders, count, &reading->sources, &reading->errors,
                             &reading->warnings, place);
    for (size_t i = beside ? 1 : 0; i < count && options->services_given && !failed; i++) {
        scan_note(place, folders[i], NULL);
        if (access(folders[i], F_OK) < 0 && errno == ENOENT)
            failed = error_list_add(&reading->warnings, folders[i], 0, 0,
                                    "there is no such folder, so no service comes from it");
    }
    return failed;
}

/* What the journal cannot make its socket out of: it is the one to say so, later, in the log.
 * Returns 0 or -ENOMEM. */
static int check_dev_log(const struct log_settings *log, const char *path,
                         struct error_list *warnings)
{
    char folder[LOG_SETTINGS_PATH_BYTES];
    struct stat found;

    if (!*log->dev_log_path)
        return 0;
    size_t bytes = (size_t)(strrchr(log->dev_log_path, '/') - log->dev_log_path);
    memcpy(folder, log->dev_log_path, bytes);
    folder[bytes] = 0;
    if (lstat(log->dev_log_path, &found) == 0) {
        if (!S_ISSOCK(found.st_mode))
            return error_list_add(warnings, path, 0, 0,
                                  "'dev-log' of 'log': %s is there, and no socket: remove it, or "
                                  "name another path",
                                  log->dev_log_path);
    } else if (errno == ENOTDIR || (errno == ENOENT && *folder && access(folder, F_OK) < 0)) {
        return error_list_add(warnings, path, 0, 0,
                              "'dev-log' of 'log': no socket can be made, for there is no folder "
                              "%s",
                              folder);
    }
    return 0;
}

/* One that does not parse is said, and counts as none. */
static int read_system_file(const char *path, struct sources *set, struct reading *reading)
{
    struct system_file parsed = {0};
    int failed = sources_read_file(path, SYSTEM_SOURCE_NAME, set);
    if (failed)
        return failed;
    const struct source *source = &set->list[0];
    if (source->problem) {
        failed = error_list_add(&reading->errors, path, 0, 0, "%s", source->problem);
        failed = failed ? failed : -EINVAL;
    } else {
        failed = system_file_parse(path, source->text, source->size, &parsed, &reading->errors);
        if (!failed)
            failed = check_dev_log(&parsed.log, path, &reading->warnings);
        system_file_finish(&parsed);
    }
    reading->system_broken = failed == -EINVAL;
    return failed == -ENOMEM ? failed : 0;
}

/* Puts a source of our own, whose text and path are copied, at its place in the order of names. */
static int add_own_source(struct sources *sources, const struct source *own)
{
    struct source *list = reallocarray(sources->list, sources->count + 2, sizeof *list);
    size_t at = 0;
    if (!list)
        return -ENOMEM;
    sources->list = list;
    while (at < sources->count && strcmp(list[at].name, own->name) < 0)
        at++;
    memmove(list + at + 1, list + at, (sources->count - at) * sizeof *list);
    list[at] = *own;
    list[at].path = arena_copy(&sources->arena, own->path, strlen(own->path));
    char *text = arena_copy(&sources->arena, own->text, own->size);
    list[at].text = text;
    sources->count++;
    return list[at].path && text ? 0 : -ENOMEM;
}

static int read_switches(const char *folder, struct scan_place *place, struct reading *reading)
{
    struct switches switches;
    struct source own = {.name = SWITCHES_SOURCE_NAME, .path = folder};
    int failed = switches_read(folder, place, &switches, &reading->errors, &reading->warnings);
    if (!failed && switches.count) {
        own.text = switches_text(&switches, &switches.arena, &own.size);
        failed = own.text ? add_own_source(&reading->sources, &own) : -ENOMEM;
    }
    switches_finish(&switches);
    return failed;
}

int reading_read(const struct reading_options *options, struct scan_place *place,
                 struct reading *ret)
{
    char storage[PATH_MAX];
    struct sources of_system = {0};
    int failed = 0;
    *ret = (struct reading){0};
    const char *path = find_system_file(options, storage, &ret->warnings);
    if (path) {
        scan_note(place, path, NULL);
        failed = read_system_file(path, &of_system, ret);
    }
    if (!failed)
        failed = scan(options, path, place, ret);
    if (!failed && path && !ret->system_broken)
        failed = add_own_source(&ret->sources, &of_system.list[0]);
    if (!failed && options->switches)
        failed = read_switches(options->switches, place, ret);
    sources_finish(&of_system);
    return failed;
}

void reading_finish(struct reading *reading)
{
    sources_finish(&reading->sources);
    error_list_finish(&reading->errors);
    error_list_finish(&reading->warnings);
}

/* ---- handing over --------------------------------------------------------------------------- */

static int put_note(struct buffer *buffer, uint32_t kind, const struct error *error)
{
    const char *file = error->file ? error->file : "";
    struct note note = {.kind = kind,
                        .line = error->line,
                        .column = error->column,
                        .file_bytes = (uint32_t)strlen(file),
                        .message_bytes = (uint32_t)strlen(error->message)};
    if (buffer_append(buffer, &note, sizeof note) < 0 ||
        buffer_append(buffer, file, note.file_bytes + 1u) < 0)
        return -ENOMEM;
    return buffer_append(buffer, error->message, note.message_bytes + 1u);
}

static int put_notes(struct buffer *buffer, uint32_t kind, const struct error_list *errors)
{
    int failed = 0;
    for (size_t i = 0; i < errors->count && !failed; i++)
        failed = put_note(buffer, kind, &errors->list[i]);
    return failed;
}

int reading_write(const struct reading *reading, int sources_fd, int notes_fd)
{
    struct buffer buffer = {0};
    struct note end = {.kind = NOTE_END, .line = reading->system_broken};
    int failed = sources_write(sources_fd, reading->sources.list, reading->sources.count);
    if (!failed)
        failed = put_notes(&buffer, NOTE_ERROR, &reading->errors);
    if (!failed)
        failed = put_notes(&buffer, NOTE_WARNING, &reading->warnings);
    if (!failed)
        failed = buffer_append(&buffer, &end, sizeof end);
    const char *bytes = buffer_bytes(&buffer);
    for (size_t at = 0, count = buffer_used(&buffer); !failed && at < count;) {
        ssize_t written = pwrite(notes_fd, bytes + at, count - at, READING_NOTES_AT + (off_t)at);
        if (written < 0 && errno != EINTR)
            failed = -errno;
        at += written > 0 ? (size_t)written : 0;
    }
    buffer_finish(&buffer);
    return failed;
}

/* A text of `count` bytes at *at with its NUL; NULL: it is cut. */
static const char *take_text(const char **at, const char *end, uint32_t count)
{
    const char *text = *at;
    if ((size_t)(end - text) <= count || text[count])
        return NULL;
    *at = text + count + 1;
    return text;
}

static int take_notes(const char *at, const char *end, struct reading *reading)
{
    struct note note;
    while ((size_t)(end - at) >= sizeof note) {
        memcpy(&note, at, sizeof note);
        at += sizeof note;
        if (note.kind == NOTE_END) {
            reading->system_broken = note.line;
            return 0;
        }
        const char *file = take_text(&at, end, note.file_bytes);
        const char *message = file ? take_text(&at, end, note.message_bytes) : NULL;
        if (!message || (note.kind != NOTE_ERROR && note.kind != NOTE_WARNING))
            return -EBADMSG;
        struct error_list *list = note.kind == NOTE_ERROR ? &reading->errors : &reading->warnings;
        if (error_list_add(list, *file ? file : NULL, note.line, note.column, "%s", message) < 0)
            return -ENOMEM;
    }
    return -EBADMSG;
}

int reading_take(int sources_fd, int notes_fd, struct reading *ret)
{
    struct stat status;
    *ret = (struct reading){0};
    if (fstat(notes_fd, &status) < 0)
        return -errno;
    if (status.st_size <= READING_NOTES_AT || status.st_size > NOTES_MAX_BYTES)
        return -EBADMSG;
    size_t size = (size_t)status.st_size - READING_NOTES_AT;
    AUTO_FREE char *notes = malloc(size);
    if (!notes)
        return -ENOMEM;
    for (size_t at = 0; at < size;) {
        ssize_t got = pread(notes_fd, notes + at, size - at, READING_NOTES_AT + (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EBADMSG;
        at += (size_t)got;
    }
    int failed = take_notes(notes, notes + size, ret);
    return failed ? failed : sources_read(sources_fd, &ret->sources);
}
