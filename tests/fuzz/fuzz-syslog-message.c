/* Any bytes as a message to /dev/log: what is taken from it lies inside it, and its end is its
 * text, whatever was taken off its beginning. */
#include "demand.h"
#include "journal/syslog-message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const char *text = (const char *)bytes;
    struct syslog_message message;
    bool has = syslog_message_parse(text, count, "box", &message);
    while (count && (text[count - 1] == '\n' || text[count - 1] == 0))
        count--;
    demand(message.level < JOURNAL_LEVELS, "it has a level");
    demand(message.tag_bytes <= sizeof message.tag, "the tag has room");
    demand(message.text >= text && message.text + message.bytes == text + count,
           "the text is the end of the message");
    demand(has == (message.tag_bytes || message.bytes), "there is something, or not");
    demand(!memchr(message.tag, '\n', message.tag_bytes), "a tag has no line end");
    return 0;
}
