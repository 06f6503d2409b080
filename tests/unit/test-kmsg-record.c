/* Records of /dev/kmsg as kernels write them. */
#include "journal/kmsg-record.h"
#include "test.h"

#include <string.h>

static struct kmsg_record record;

static bool parse(const char *text)
{
    return kmsg_record_parse(text, strlen(text), &record);
}

static bool text_is(const char *text)
{
    return record.bytes == strlen(text) && memcmp(record.text, text, record.bytes) == 0;
}

TEST(a_record_has_its_level_number_and_time)
{
    CHECK(parse("4,339,5140900,-;NET: Registered protocol family 10\n"));
    CHECK_NUMBER(record.level, JOURNAL_WARNING);
    CHECK_NUMBER(record.facility, 0);
    CHECK_NUMBER(record.sequence, 339);
    CHECK_NUMBER(record.since_boot_us, 5140900);
    CHECK(!record.continued && text_is("NET: Registered protocol family 10"));
    CHECK(parse("30,340,5690716,-,caller=T1;udevd[80]: starting version 181\n"));
    CHECK_NUMBER(record.level, JOURNAL_INFO);
    CHECK_NUMBER(record.facility, 3);
    CHECK(text_is("udevd[80]: starting version 181"));
}

TEST(what_says_of_which_device_it_is_is_left_out)
{
    CHECK(parse("6,1,2,-;usb 1-1: new device\n SUBSYSTEM=usb\n DEVICE=c189:1\n"));
    CHECK(text_is("usb 1-1: new device"));
}

TEST(escapes_are_undone)
{
    CHECK(parse("6,1,2,-;a\\x5cx41\\x09\\xc3\\xa4\\x0ab\n"));
    CHECK(text_is("a\\x41\t\xc3\xa4\nb"));
    CHECK(parse("6,1,2,-;a\\x5\\xZZ\\\n"));
    CHECK(text_is("a\\x5\\xZZ\\"));
    CHECK(parse("6,1,2,-;\\x00;\n"));
    CHECK_NUMBER(record.bytes, 2);
}

TEST(a_fragment_goes_on_with_the_record_before_it)
{
    CHECK(parse("6,1,2,c;more\n") && record.continued);
    CHECK(parse("6,1,2,+;more\n") && record.continued);
    CHECK(parse("6,1,2,-;\n") && !record.continued && text_is(""));
    CHECK(parse("6,1,2,-;no line end") && text_is("no line end"));
}

TEST(what_is_no_record_is_refused)
{
    static const char *const bad[] = {
        "",           "\n",
        "6,1,2",      "6,1,2;",
        "6;text",     ",1,2,-;x",
        "6,,2,-;x",   "6,1,,-;x",
        "6,1,2,;",    "x,1,2,-;x",
        "-6,1,2,-;x", "99999999999,1,2,-;x",
        "6,1\n2,-;x", "6,11111111111111111111,2,-;x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!parse(bad[i]));
}

TEST(a_long_text_is_cut_where_there_is_no_more_room)
{
    static char text[KMSG_RECORD_BYTES + 100];
    memset(text, 'x', sizeof text);
    memcpy(text, "6,1,2,-;", 8);
    CHECK(kmsg_record_parse(text, sizeof text, &record));
    CHECK_NUMBER(record.bytes, KMSG_RECORD_BYTES);
}

TEST(numbers_that_are_none_and_escapes_that_are_none)
{
    CHECK(!parse("6,12345678901234567890,3,-;too long a number"));
    CHECK(!parse("6;7,8,-;the text begins too early") && !parse("6,7x,8,-;x") &&
          !parse("6,7,8-;x"));
    CHECK(!parse("4294967296,1,2,-;x") && parse("4294967295,1,2,-;x"));
    CHECK(parse("6,1,2,-;\\x4g \\xG0 \\y41 \\x4A \\x4"));
    CHECK(text_is("\\x4g \\xG0 \\y41 \\x4A \\x4"));
    CHECK(parse("6,1,2,-;\\x/0\\x:0\\x`0\\xf0") && text_is("\\x/0\\x:0\\x`0\xf0"));
}
