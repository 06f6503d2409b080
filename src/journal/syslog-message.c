/* A datagram that somebody wrote to /dev/log.
 *
 * `<PRI>` first, then RFC 5424's header where all of it is there, else RFC 3164's time, which
 * every C library writes, and its host, which they all leave out. The tag is taken apart only so
 * that it can stand in front of each line of a message of several. */
#include "journal/syslog-message.h"

#include <string.h>

#define PRIORITY_MOST 191 /* 23 facilities, 8 levels */
#define TIME_BYTES    16  /* "Nov 22 13:54:00 " */
#define APP_MOST      48  /* RFC 5424, 6: what is longer is none */
#define PROCESS_MOST  128
#define ID_MOST       32
#define PID_DIGITS    10

/* What is left to be read. */
struct rest {
    const char *at;
    size_t bytes;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip(struct rest *rest, size_t bytes)
{
    rest->at += bytes;
    rest->bytes -= bytes;
}

static void take_priority(struct rest *rest, struct syslog_message *ret)
{
    unsigned priority = 0;
    size_t i = 1;
    if (!rest->bytes || rest->at[0] != '<')
        return;
    for (; i < rest->bytes && i < 4 && is_digit(rest->at[i]); i++)
        priority = priority * 10 + (unsigned)(rest->at[i] - '0');
    if (i == 1 || i == rest->bytes || rest->at[i] != '>' || priority > PRIORITY_MOST)
        return;
    ret->level = (enum journal_level)(priority % JOURNAL_LEVELS);
    skip(rest, i + 1);
}

/* Whether it begins as `pattern` does, where 0 is any digit and _ a digit or a blank. */
static bool looks_like(const struct rest *rest, const char *pattern)
{
    const size_t bytes = strlen(pattern);
    if (rest->bytes < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        const char c = rest->at[i];
        bool fits = pattern[i] == '0'   ? is_digit(c)
                    : pattern[i] == '_' ? is_digit(c) || c == ' '
                                        : c == pattern[i];
        if (!fits)
            return false;
    }
    return true;
}

/* The printable bytes up to the next blank, which is there. */
static size_t word_bytes(const struct rest *rest, size_t most)
{
    size_t bytes = 0;
    while (bytes < rest->bytes && bytes <= most && (unsigned char)rest->at[bytes] > ' ')
        bytes++;
    return bytes < rest->bytes && bytes <= most && rest->at[bytes] == ' ' ? bytes : 0;
}

static void take_time(struct rest *rest)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const struct rest behind = {rest->at + 3, rest->bytes < 3 ? 0 : rest->bytes - 3};
    if (looks_like(rest, "0000-00-00T00:00:00")) { /* syslogd's of today write it this way */
        size_t bytes = word_bytes(rest, 40);
        skip(rest, bytes ? bytes + 1 : 0);
    } else if (looks_like(&behind, " _0 00:00:00 ")) {
        for (size_t i = 0; months[i]; i += 3)
            if (memcmp(months + i, rest->at, 3) == 0) {
                skip(rest, TIME_BYTES);
                return;
            }
    }
}

static void take_host(struct rest *rest, const char *host)
{
    const size_t bytes = strlen(host);
    if (bytes && rest->bytes > bytes && memcmp(rest->at, host, bytes) == 0 &&
        rest->at[bytes] == ' ')
        skip(rest, bytes + 1);
}

static void add(struct syslog_message *ret, const char *bytes, size_t count)
{
    if (count > sizeof ret->tag - ret->tag_bytes)
        count = sizeof ret->tag - ret->tag_bytes;
    memcpy(ret->tag + ret->tag_bytes, bytes, count);
    ret->tag_bytes += count;
}

/* "NAME[PID]:" and a blank, or the end. */
static void take_tag(struct rest *rest, struct syslog_message *ret)
{
    size_t bytes = 0, most = rest->bytes < sizeof ret->tag ? rest->bytes : sizeof ret->tag - 1;
    while (bytes < most && (unsigned char)rest->at[bytes] > ' ' && rest->at[bytes] != ':')
        bytes++;
    if (!bytes || bytes == most || rest->at[bytes] != ':')
        return;
    if (bytes + 1 < rest->bytes && rest->at[bytes + 1] != ' ')
        return;
    add(ret, rest->at, bytes);
    add(ret, ": ", 2);
    skip(rest, bytes + 1);
    skip(rest, rest->bytes != 0);
}

static void find_pid(struct syslog_message *ret)
{
    size_t end = ret->tag_bytes < 3 ? 0 : ret->tag_bytes - 3, at = end;
    uint64_t pid = 0;
    if (!end || ret->tag[end] != ']')
        return;
    while (at && is_digit(ret->tag[at - 1]))
        at--;
    if (at == end || end - at > PID_DIGITS || !at || ret->tag[at - 1] != '[')
        return;
    for (; at < end; at++)
        pid = pid * 10 + (uint64_t)(ret->tag[at] - '0');
    ret->pid = pid;
}

/* ---- RFC 5424 ------------------------------------------------------------------------------ */

static bool is_nothing(const char *word, size_t bytes)
{
    return bytes == 1 && word[0] == '-';
}

/* The length of "[ID NAME="VALUE" …]", or 0. */
static size_t element_bytes(const char *at, size_t bytes)
{
    bool quoted = false;
    for (size_t i = 1; i < bytes && at[0] == '['; i++) {
        if (quoted && at[i] == '\\')
            i++;
        else if (at[i] == '"')
            quoted = !quoted;
        else if (at[i] == ']' && !quoted)
            return i + 1;
    }
    return 0;
}

/* Structured data stays in the text, but for what only says how good the clock is. */
static void take_data(struct rest *rest)
{
    static const char quality[] = "[timeQuality ", mark[] = "\xef\xbb\xbf";
    size_t bytes = 0, one;
    bool useful = false;
    if (rest->bytes && rest->at[0] == '-' && (rest->bytes == 1 || rest->at[1] == ' ')) {
        bytes = 1;
    } else {
        for (; (one = element_bytes(rest->at + bytes, rest->bytes - bytes)); bytes += one)
            useful |=
                one < sizeof quality || memcmp(rest->at + bytes, quality, sizeof quality - 1) != 0;
        if (!bytes || useful || (bytes < rest->bytes && rest->at[bytes] != ' '))
            return;
    }
    skip(rest, bytes);
    skip(rest, rest->bytes != 0);
    if (rest->bytes >= sizeof mark - 1 && memcmp(rest->at, mark, sizeof mark - 1) == 0)
        skip(rest, sizeof mark - 1);
}

/* "1 TIME HOST APP PROCESS ID DATA TEXT". Returns false, and takes nothing, when it is not that. */
static bool take_header(struct rest *rest, struct syslog_message *ret)
{
    static const size_t most[] = {40, 255, APP_MOST, PROCESS_MOST, ID_MOST};
    enum { TIME, HOST, APP, PROCESS, ID, WORDS };
    const char *words[WORDS];
    size_t bytes[WORDS];
    struct rest at = *rest;

    if (!looks_like(&at, "1 "))
        return false;
    skip(&at, 2);
    if (!looks_like(&at, "- ") && !looks_like(&at, "0000-00-00T00:00:00"))
        return false;
    for (int i = 0; i < WORDS; i++) {
        words[i] = at.at;
        bytes[i] = word_bytes(&at, most[i]);
        if (!bytes[i])
            return false;
        skip(&at, bytes[i] + 1);
    }
    if (!is_nothing(words[APP], bytes[APP])) {
        add(ret, words[APP], bytes[APP]);
        if (!is_nothing(words[PROCESS], bytes[PROCESS])) {
            add(ret, "[", 1);
            add(ret, words[PROCESS], bytes[PROCESS]);
            add(ret, "]", 1);
        }
        add(ret, ": ", 2);
    }
    find_pid(ret);
    if (!is_nothing(words[ID], bytes[ID])) {
        add(ret, words[ID], bytes[ID]);
        add(ret, " ", 1);
    }
    take_data(&at);
    *rest = at;
    return true;
}

bool syslog_message_parse(const char *bytes, size_t count, const char *host,
                          struct syslog_message *ret)
{
    /* A NUL, or a line end, is how some end a message. */
    while (count && (bytes[count - 1] == '\n' || bytes[count - 1] == 0))
        count--;
    struct rest rest = {bytes, count};
    ret->level = JOURNAL_NOTICE;
    ret->pid = 0;
    ret->tag_bytes = 0;
    take_priority(&rest, ret);
    if (!take_header(&rest, ret)) {
        take_time(&rest);
        take_host(&rest, host);
        take_tag(&rest, ret);
        find_pid(ret);
    }
    ret->text = rest.at;
    ret->bytes = rest.bytes;
    return ret->tag_bytes || ret->bytes;
}
