/* Any bytes as a record of /dev/kmsg: refused, or with a text that is no longer than it was. */
#include "demand.h"
#include "journal/kmsg-record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct kmsg_record record;
    if (!kmsg_record_parse((const char *)bytes, count, &record))
        return 0;
    demand(record.level < JOURNAL_LEVELS, "it has a level");
    demand(record.bytes <= sizeof record.text && record.bytes < count, "the text has room");
    return 0;
}
