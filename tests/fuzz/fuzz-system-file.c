/* Any bytes as a system file: it loads, with names that are good ones and no more than it has
 * bytes; or there are errors with their places. Read again it says the same. */
#include "base/text.h"
#include "config/system-file.h"
#include "demand.h"
#include "file-errors.h"
#include "service/name.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct system_file *file, size_t size)
{
    demand(!file->service_count || file->services_given, "no services but those given");
    demand(file->service_count <= size, "no more services than bytes");
    for (size_t i = 0; i < file->service_count; i++) {
        const struct system_service *service = &file->services[i];
        demand(!service_name_problem(service->name, strlen(service->name), NULL),
               "a service has a good name");
        demand(service->place.line >= 1 && service->place.column >= 1, "and a place");
    }
    for (size_t i = 0; file->start && file->start[i]; i++) {
        demand(file->start_given, "nothing is started but what is given");
        demand(!service_name_problem(file->start[i], strlen(file->start[i]), NULL),
               "what is started has a good name");
        demand(file->start_places[i].line >= 1, "and a place");
    }
}

static bool same(const struct system_file *a, const struct system_file *b)
{
    if (!text_same(a->title, b->title) || !text_same(a->version, b->version) ||
        a->watch != b->watch || a->service_count != b->service_count ||
        memcmp(&a->log, &b->log, sizeof a->log) != 0)
        return false;
    for (size_t i = 0; i < a->service_count; i++)
        if (!text_same(a->services[i].name, b->services[i].name))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct system_file file = {0}, again = {0};
    struct error_list errors = {0};

    int failed = system_file_parse("system.yml", (const char *)data, size, &file, &errors);
    demand(failed == 0 || failed == -EINVAL, "it loads or is refused");
    if (failed) {
        demand_errors(&errors, data, size);
    } else {
        check(&file, size);
        error_list_finish(&errors);
        demand(system_file_parse("system.yml", (const char *)data, size, &again, &errors) == 0 &&
                   same(&file, &again),
               "read again it says the same");
    }
    system_file_finish(&file);
    system_file_finish(&again);
    error_list_finish(&errors);
    return 0;
}
