/* Any bytes as the name of a service. What is a good one is safe as the name of a file; an instance
 * and its template belong together. */
#include "demand.h"
#include "service/name.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_good(const char *name, size_t count)
{
    char template[SERVICE_NAME_MAX_BYTES + 1];
    const char *instance = service_name_instance(name);

    demand(count >= 1 && count <= SERVICE_NAME_MAX_BYTES && strlen(name) == count, "its length");
    demand(!strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0,
           "it is the name of a file in its folder");
    for (size_t i = 0; i < count; i++)
        demand(name[i] > ' ' && name[i] < 0x7f, "it is printable ASCII");
    demand(strcmp(name, SERVICE_NAME_RESERVED) != 0, "it is not our own journal's");
    demand(!service_name_is_template(name, count), "it is no template's");
    demand(service_name_template(name, template) == (instance != NULL),
           "an instance has a template");
    if (!instance)
        return;
    demand(*instance, "an instance is not empty");
    size_t length = strlen(template);
    demand(service_name_is_template(template, length), "the template is one");
    demand(!service_name_file_problem(template, length), "and may be a file's name");
    demand(strncmp(name, template, length) == 0 && name + length == instance,
           "the name is both, one behind the other");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *name = malloc(count + 1); /* its own, so that one byte too far is seen */
    size_t at = SIZE_MAX;

    demand(name != NULL, "there is memory");
    memcpy(name, bytes, count);
    name[count] = 0;
    const char *problem = service_name_problem(name, count, &at);
    if (problem)
        demand(*problem && at <= count, "what is wrong has words, and a place in it");
    else
        check_good(name, count);
    if (problem && !service_name_file_problem(name, count))
        demand(service_name_is_template(name, count), "only a template's file has another name");
    free(name);
    return 0;
}
