/* Any bytes as a pid file: what is taken from it is a process's number, which stands in it as its
 * first line, and what is written of it is read as the same. */
#include "base/text.h"
#include "demand.h"
#include "proc/pid-file.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    pid_t pid = -7, again;
    char shown[24];
    size_t at = 0;

    while (at < count && is_blank(bytes[at]))
        at++;
    int failed = pid_file_parse((const char *)bytes, count, &pid);
    demand(failed == 0 || failed == -ENODATA || failed == -EINVAL, "it is one, or not");
    demand((failed == -ENODATA) == (at == count), "a file is empty where there are only blanks");
    demand(failed ? pid == -7 : pid > 1, "a number that may be signalled, or none");
    if (failed)
        return 0;
    while (at < count && bytes[at] == '0')
        at++;
    text_format(shown, sizeof shown, "%d", pid);
    demand(count - at >= strlen(shown) && memcmp(bytes + at, shown, strlen(shown)) == 0,
           "it is what stands there");
    demand(pid_file_parse(shown, strlen(shown), &again) == 0 && again == pid,
           "what is written is read as the same");
    return 0;
}
