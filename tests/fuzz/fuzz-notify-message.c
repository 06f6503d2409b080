/* Any bytes as a message of a service: what is taken from it lies inside it and has values that may
 * be used, and the status for people moves no cursor. */
#include "base/notify-message.h"
#include "base/utf8.h"
#include "demand.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_clean(const char *status, size_t count, size_t size_bytes)
{
    char *storage = malloc(size_bytes); /* of its own, so that one byte too far is seen */
    demand(storage != NULL, "there is memory");
    notify_status_clean(status, count, storage, size_bytes);
    size_t used = strnlen(storage, size_bytes);
    demand(used < size_bytes && used <= count, "it ends within its storage");
    for (size_t at = 0; at < used;) {
        const unsigned char *here = (const unsigned char *)storage + at;
        size_t length = utf8_length(here, used - at);
        demand(length > 0, "it is UTF-8");
        demand(*here >= ' ' && *here != 0x7f, "no control character is in it");
        demand(!(here[0] == 0xc2 && here[1] < 0xa0), "nor one of the second set");
        at += length;
    }
    free(storage);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const char *text = (const char *)bytes;
    struct notify_message message;
    notify_message_parse(text, count, &message);
    demand(message.main_pid == 0 || message.main_pid > 1, "no pid that means others");
    if (!message.status)
        return 0;
    demand(message.status > text && message.status + message.status_bytes <= text + count,
           "the status lies inside the message");
    demand(!memchr(message.status, '\n', message.status_bytes), "and is one line");
    for (size_t size_bytes = 1; size_bytes <= 128; size_bytes += size_bytes < 8 ? 1 : 40)
        check_clean(message.status, message.status_bytes, size_bytes);
    return 0;
}
