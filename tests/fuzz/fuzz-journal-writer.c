/* Any bytes as what a service prints, cut anywhere, with events, ends of runs and time that passes
 * in between: what of it is taken (the rate), what lines become of it (the splitter, the format),
 * and in which files they are (the rotation). Each is compared with what it is to be, found in the
 * simplest way: line by line, with all of it in memory. */
#include "base/clock.h"
#include "demand.h"
#include "journal/rotation.h"
#include "journal/splitter.h"
#include "service-journal/rate.h"

#include <string.h>

#define MOST_BYTES (1u << 20) /* that are printed */
#define ROOM_BYTES 310        /* of a splitter's output at once, at most */
#define FILES_MOST 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

struct bytes {
    char *at;
    size_t used, room;
};

struct file {
    size_t begin, end; /* in `written` */
    uint64_t written_s;
};

struct writer {
    struct quota quota;
    struct rate rate;
    struct journal_splitter splitter;
    bool dropping;
    uint64_t now_ns;
    uint64_t reported; /* lines that were said to be dropped */
    struct bytes written;
    struct file files[FILES_MOST]; /* the last one is `current` */
    size_t first, last;            /* of those that are still there */
    bool mid_line;
};

/* What is to come of it: one line after the other, each as LEVEL, text, line end. */
struct model {
    struct bytes lines, open;
    bool in_line, is_taken;
    uint64_t since_ns, dropped;
    uint32_t taken;
};

static void add(struct bytes *to, const void *from, size_t count)
{
    if (to->used + count > to->room) {
        to->room = (to->used + count) * 2;
        to->at = realloc(to->at, to->room);
        demand(to->at != NULL, "there is memory");
    }
    if (count)
        memcpy(to->at + to->used, from, count);
    to->used += count;
}

/* ---- the model ----------------------------------------------------------------------------- */

static void model_finish_line(struct model *model)
{
    const char *text = model->open.at;
    size_t count = model->open.used;
    char level = JOURNAL_INFO;

    if (count >= 3 && text[0] == '<' && text[1] >= '0' && text[1] <= '7' && text[2] == '>') {
        level = (char)(text[1] - '0');
        text += 3;
        count -= 3;
    }
    if (model->is_taken) {
        add(&model->lines, &level, 1);
        add(&model->lines, text, count);
        add(&model->lines, "\n", 1);
    }
    model->open.used = 0;
    model->in_line = false;
}

static void model_print(struct model *model, const struct quota *quota, uint64_t now_ns,
                        const char *bytes, size_t count)
{
    if (quota->rate_lines && count &&
        (!model->since_ns || now_ns - model->since_ns >= quota->rate_interval_ms * NS_PER_MS)) {
        model->since_ns = now_ns;
        model->taken = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!model->in_line) {
            model->is_taken = !quota->rate_lines || model->taken < quota->rate_lines;
            model->taken += model->is_taken;
            model->dropped += !model->is_taken;
            model->in_line = true;
        }
        if (bytes[i] == '\n')
            model_finish_line(model);
        else
            add(&model->open, &bytes[i], 1);
    }
}

/* ---- files --------------------------------------------------------------------------------- */

static void seal(struct writer *writer)
{
    struct file *current = &writer->files[writer->last];
    demand(current->end > current->begin, "no empty file is sealed");
    demand(writer->written.at[current->end - 1] == '\n', "a file is sealed between two lines");
    if (writer->last + 1 == FILES_MOST)
        return;
    writer->files[++writer->last] = (struct file){current->end, current->end, 0};
}

static void tidy(struct writer *writer)
{
    while (writer->first < writer->last) {
        size_t whole = writer->last - writer->first;
        const struct file *oldest = &writer->files[writer->first];
        bool removes =
            rotation_removes(&writer->quota, whole, oldest->written_s, writer->now_ns / NS_PER_SEC);
        bool old = writer->quota.max_age_s &&
                   writer->now_ns / NS_PER_SEC >= oldest->written_s + writer->quota.max_age_s;
        demand(removes == (whole > writer->quota.keep || old), "too many or too old go, no others");
        if (!removes)
            return;
        writer->first++;
    }
}

/* The bytes in two pieces, as a batch brings them. */
static void write_bytes(struct writer *writer, const char *bytes, size_t count)
{
    while (count) {
        struct file *current = &writer->files[writer->last];
        size_t size = current->end - current->begin, half = count / 2;
        struct iovec pieces[] = {{(char *)bytes, half}, {(char *)bytes + half, count - half}};
        size_t fit =
            rotation_fitting(size, writer->mid_line, writer->quota.max_size_bytes, pieces, 2);
        demand(fit <= count, "no more than there is");
        if (!fit) {
            demand(size > 0, "into an empty file something always goes");
            seal(writer);
            tidy(writer);
            if (writer->last + 1 == FILES_MOST)
                return;
            continue;
        }
        add(&writer->written, bytes, fit);
        current->end += fit;
        current->written_s = writer->now_ns / NS_PER_SEC;
        demand(current->end - current->begin <=
                   writer->quota.max_size_bytes + JOURNAL_LINE_BYTES + JOURNAL_PREFIX_BYTES,
               "a file is longer than it may be by one line at most");
        writer->mid_line = bytes[fit - 1] != '\n';
        bytes += fit;
        count -= fit;
    }
}

/* ---- the writer ---------------------------------------------------------------------------- */

static void format_time(const struct writer *writer, char time[static CLOCK_RFC3339_BYTES])
{
    clock_format_rfc3339(time, writer->now_ns);
}

static void split(struct writer *writer, const char *bytes, size_t count, size_t room)
{
    char time[CLOCK_RFC3339_BYTES], out[JOURNAL_SPLITTER_ROOM + 1 + ROOM_BYTES];
    format_time(writer, time);
    while (count) {
        size_t before = count;
        writer->splitter.worst = JOURNAL_DEBUG;
        size_t used = journal_splitter_feed(&writer->splitter, time, &bytes, &count, out,
                                            JOURNAL_SPLITTER_ROOM + 1 + room);
        demand(used <= JOURNAL_SPLITTER_ROOM + 1 + room, "it fits");
        demand(used || count < before, "it gets on");
        write_bytes(writer, out, used);
    }
}

static void event(struct writer *writer, const char *text)
{
    char time[CLOCK_RFC3339_BYTES], line[JOURNAL_PREFIX_BYTES + 100];
    format_time(writer, time);
    size_t used = journal_splitter_cut(&writer->splitter, line);
    used += journal_format_prefix(line + used, time, JOURNAL_EVENT_MARK, JOURNAL_NOTICE);
    memcpy(line + used, text, strlen(text));
    used += strlen(text);
    line[used++] = '\n';
    write_bytes(writer, line, used);
}

static void report(struct writer *writer, uint32_t dropped)
{
    writer->reported += dropped;
    if (dropped)
        event(writer, "dropped");
}

static void print(struct writer *writer, struct model *model, const char *bytes, size_t count,
                  size_t room)
{
    model_print(model, &writer->quota, writer->now_ns, bytes, count);
    if (writer->quota.rate_lines)
        report(writer, rate_begin(&writer->rate, &writer->quota, writer->now_ns));
    while (count) {
        bool in_line = writer->splitter.state != LINE_NONE || writer->splitter.held_bytes, drop;
        size_t run = rate_run(&writer->rate, &writer->quota, in_line, &writer->dropping, bytes,
                              count, &drop);
        demand(run > 0 && run <= count, "it gets on");
        if (!drop)
            split(writer, bytes, run, room);
        bytes += run;
        count -= run;
    }
}

static void end_run(struct writer *writer, struct model *model)
{
    char time[CLOCK_RFC3339_BYTES], out[JOURNAL_SPLITTER_ROOM];
    if (model->in_line)
        model_finish_line(model);
    format_time(writer, time);
    write_bytes(writer, out, journal_splitter_end(&writer->splitter, time, out));
    writer->dropping = false;
    report(writer, writer->rate.dropped);
    writer->rate.dropped = 0;
}

/* ---- what comes of it ---------------------------------------------------------------------- */

/* All that was ever written, read back as lines. */
static void read_back(const struct writer *writer, struct bytes *lines)
{
    const char *at = writer->written.at, *end = at + writer->written.used;
    bool open = false;
    uint64_t last_ns = 0;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct journal_entry entry;
        demand(stop != NULL, "the last line has an end");
        demand(journal_parse_line(at, (size_t)(stop - at), &entry), "each line is a valid one");
        demand(entry.bytes <= JOURNAL_LINE_BYTES, "no line is longer than it may be");
        demand(entry.time_ns >= last_ns, "times go up");
        last_ns = entry.time_ns;
        at = stop + 1;
        if (entry.mark == JOURNAL_EVENT_MARK)
            continue;
        char level = (char)entry.level;
        demand(entry.mark == JOURNAL_OUTPUT || open, "what goes on has something before it");
        if (entry.mark == JOURNAL_CONTINUED)
            lines->used--; /* the line end */
        else
            add(lines, &level, 1);
        add(lines, entry.text, entry.bytes);
        add(lines, "\n", 1);
        open = true;
    }
}

static void check_files(const struct writer *writer)
{
    demand(writer->last - writer->first <= writer->quota.keep, "no more files than are kept");
    for (size_t i = 0; i <= writer->last; i++) {
        const struct file *file = &writer->files[i];
        size_t before = i ? writer->files[i - 1].end : 0;
        demand(file->begin == before, "files follow each other");
        demand(i == writer->last || writer->written.at[file->end - 1] == '\n', "and are whole");
    }
}

/* ---- the input ----------------------------------------------------------------------------- */

/* One step; returns the bytes of the input that it took. */
static size_t step(struct writer *writer, struct model *model, const char *in, size_t count,
                   size_t *printed)
{
    static char many[1 << 16];
    uint8_t what = (uint8_t)in[0], size = count > 1 ? (uint8_t)in[1] : 0;
    size_t room = what / 8 * 10, left = MOST_BYTES - *printed, take;

    switch (what % 8) {
    case 0: /* a byte many times: lines may be longer than an entry */
        take = (size_t)size * 257 < left ? (size_t)size * 257 : left;
        memset(many, count > 2 ? in[2] : 'x', take);
        print(writer, model, many, take, room);
        *printed += take;
        return count > 2 ? 3 : count;
    case 1:
        event(writer, "something happened");
        return 1;
    case 2:
        end_run(writer, model);
        return 1;
    case 3:
        writer->now_ns += size * (NS_PER_SEC / 16);
        tidy(writer);
        return count > 1 ? 2 : 1;
    default:
        take = size < count - (count > 1 ? 2 : 1) ? size : count - (count > 1 ? 2 : 1);
        take = take < left ? take : left;
        print(writer, model, in + 2, take, room);
        *printed += take;
        return (count > 1 ? 2 : 1) + take;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct writer writer;
    struct model model = {0};
    struct bytes found = {0};
    size_t printed = 0;

    if (count < 4)
        return 0;
    writer = (struct writer){.now_ns = 1600000000 * NS_PER_SEC,
                             .splitter = {.default_level = JOURNAL_INFO},
                             .quota = {.max_size_bytes = 64 + (uint64_t)bytes[0] * 64,
                                       .keep = bytes[1] % 8,
                                       .max_age_s = bytes[1] / 16,
                                       .rate_lines = bytes[2] % 16,
                                       .rate_interval_ms = 1 + bytes[3] * 10u}};
    for (size_t at = 4; at < count && writer.last + 1 < FILES_MOST;)
        at += step(&writer, &model, (const char *)bytes + at, count - at, &printed);
    end_run(&writer, &model);
    tidy(&writer);
    if (writer.last + 1 < FILES_MOST) {
        read_back(&writer, &found);
        check_files(&writer);
        demand(found.used == model.lines.used &&
                   (!found.used || memcmp(found.at, model.lines.at, found.used) == 0),
               "what is read back is what was printed and taken");
        demand(writer.reported == model.dropped, "each line that was dropped is said to be");
    }
    free(writer.written.at);
    free(model.lines.at);
    free(model.open.at);
    free(found.at);
    return 0;
}
