/* The rules for a service's name, in one place. */
#include "service/name.h"
#include "service/definition.h"

#include <string.h>

static bool is_allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '@' || c == ':';
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
    if (problem && ret_at)
        *ret_at = at;
    return problem;
}
