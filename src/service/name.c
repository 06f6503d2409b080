/* The rules for a service's name, in one place. */
#include "service/name.h"
#include "service/definition.h"

#include <string.h>

static bool is_allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '@' || c == ':';
}

static const char *problem_with_at(const char *name, size_t length, size_t *at)
{
    const char *mark = memchr(name, '@', length);
    if (!mark)
        return NULL;
    *at = (size_t)(mark - name);
    if (mark == name)
        return "begins with '@'; the name of a template comes before it, as in agetty@tty1";
    if (mark == name + length - 1)
        return "is a template, and no service by itself; write an instance behind the '@', as in "
               "agetty@tty1";
    return NULL;
}

const char *service_name_problem(const char *name, size_t length, size_t *ret_at)
{
    size_t at = 0;
    const char *problem = NULL;

    if (length == 0)
        problem = "is empty; a name has 1 to 200 bytes";
    else if (length > SERVICE_NAME_MAX_BYTES)
        problem = "is too long; a name has at most 200 bytes";
    else if ((length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.'))
        problem = "stands for a folder; choose another name";
    else if (length == strlen(SERVICE_NAME_RESERVED) &&
             memcmp(name, SERVICE_NAME_RESERVED, length) == 0)
        problem = "is reserved for the system's own journal; choose another name";
    for (; !problem && at < length; at++) {
        if (!is_allowed(name[at])) {
            problem = name[at] == '/'
                          ? "has a '/'; a name is no path: use letters, digits and - _ . @ :"
                          : "has a character that a name cannot have; "
                            "use letters, digits and - _ . @ :";
            break;
        }
    }
    if (!problem)
        problem = problem_with_at(name, length, &at);
    if (problem && ret_at)
        *ret_at = at;
    return problem;
}

static const struct {
    const char *name, *problem;
} journals[] = {
    {SERVICE_NAME_RESERVED, NULL}, /* refused wherever it stands, by service_name_problem() */
    {"syslog", "is reserved for the journal of what programs write to /dev/log; choose another "
               "name, as syslogd, with 'provides: [syslog]' where others need it"},
    {"kernel", "is reserved for the journal of what the kernel writes; choose another name"},
};

bool service_name_is_journal(const char *name)
{
    for (size_t i = 0; i < sizeof journals / sizeof journals[0]; i++)
        if (strcmp(journals[i].name, name) == 0)
            return true;
    return false;
}

/* ---- templates ----------------------------------------------------------------------------- */

bool service_name_is_template(const char *name, size_t length)
{
    return length > 1 && memchr(name, '@', length) == name + length - 1;
}

const char *service_name_file_problem(const char *name, size_t length)
{
    char instance[SERVICE_NAME_MAX_BYTES + 1];
    for (size_t i = 0; i < sizeof journals / sizeof journals[0]; i++)
        if (journals[i].problem && strlen(journals[i].name) == length &&
            memcmp(journals[i].name, name, length) == 0)
            return journals[i].problem;
    if (!service_name_is_template(name, length) || length >= sizeof instance)
        return service_name_problem(name, length, NULL);
    /* Any instance will do: it is the rest that is looked at. */
    memcpy(instance, name, length);
    instance[length] = 'i';
    return service_name_problem(instance, length + 1, NULL);
}

const char *service_name_instance(const char *name)
{
    const char *mark = strchr(name, '@');
    return mark && mark > name && mark[1] ? mark + 1 : NULL;
}

bool service_name_template(const char *name, char storage[static SERVICE_NAME_MAX_BYTES + 1])
{
    const char *instance = service_name_instance(name);
    if (!instance || instance - name > SERVICE_NAME_MAX_BYTES)
        return false;
    memcpy(storage, name, (size_t)(instance - name));
    storage[instance - name] = 0;
    return true;
}
