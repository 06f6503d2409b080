/* Rendering for people. */
#include "slc/render.h"

#include "base/clock.h"
#include "journal/format.h"
#include "journal/show.h"
#include "slc/slc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the terminal --------------------------------------------------------------------------- */

static bool says_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strstr(value, "UTF-8") || strstr(value, "utf8") || strstr(value, "utf-8");
    }
    return false;
}

struct render render_begin(void)
{
    struct render render = {.now_ns = clock_read_ns(CLOCK_REALTIME)};
    struct winsize size;
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

    if (!isatty(STDOUT_FILENO))
        return render;
    render.terminal = true;
    render.colour = !(none && *none) && term && strcmp(term, "dumb") != 0;
    render.unicode = says_utf8();
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        render.width = size.ws_col;
    return render;
}

static const struct state_look {
    const char *state, *colour, *symbol, *ascii;
} looks[] = {
    {"running", "\033[32m", "● ", "* "},  {"done", "\033[32m", "✓ ", "+ "},
    {"stopped", "\033[2m", "○ ", "- "},   {"skipped", "\033[2m", "○ ", "- "},
    {"waiting", "\033[33m", "… ", ". "},  {"starting", "\033[33m", "… ", ". "},
    {"stopping", "\033[33m", "… ", ". "}, {"backing-off", "\033[33m", "↻ ", "~ "},
    {"failed", "\033[31m", "✗ ", "x "},   {"broken", "\033[31m", "✗ ", "x "},
};

static const struct state_look *find_look(const char *state)
{
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (!strcmp(looks[i].state, state))
            return &looks[i];
    return NULL;
}

const char *render_symbol(const struct render *render, const char *state)
{
    const struct state_look *look = find_look(state);

    if (!render->terminal)
        return "";
    if (!look)
        return "  ";
    return render->unicode ? look->symbol : look->ascii;
}

const char *render_state_colour(const struct render *render, const char *state)
{
    const struct state_look *look = find_look(state);
    return render->colour && look ? look->colour : "";
}

const char *render_bold(const struct render *render)
{
    return render->colour ? "\033[1m" : "";
}

const char *render_plain(const struct render *render)
{
    return render->colour ? "\033[0m" : "";
}

/* ---- times and sizes ------------------------------------------------------------------------ */

void render_span(uint64_t span_ns, struct text *text)
{
    static const struct {
        const char *unit, *smaller;
        uint64_t seconds, smaller_seconds;
    } rows[] = {
        {"d", "h", 86400, 3600},
        {"h", "min", 3600, 60},
        {"min", "s", 60, 1},
        {"s", NULL, 1, 0},
    };
    uint64_t seconds = span_ns / NS_PER_SEC;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (seconds < rows[i].seconds)
            continue;
        text_printf(text, "%llu%s", (unsigned long long)(seconds / rows[i].seconds), rows[i].unit);
        uint64_t rest = rows[i].smaller ? seconds % rows[i].seconds / rows[i].smaller_seconds : 0;
        if (rest)
            text_printf(text, " %llu%s", (unsigned long long)rest, rows[i].smaller);
        return;
    }
    text_printf(text, "%llums", (unsigned long long)(span_ns / NS_PER_MS));
}

const char *render_time(const char *time, char storage[static CLOCK_LOCAL_BYTES])
{
    uint64_t ns;

    if (strlen(time) != JOURNAL_TIME_BYTES || !journal_parse_time(time, &ns))
        return time;
    clock_format_local(storage, ns);
    return storage;
}

void render_age(const struct render *render, const char *since, struct text *text)
{
    uint64_t then;

    if (strlen(since) != JOURNAL_TIME_BYTES || !journal_parse_time(since, &then))
        text_add(text, "?");
    else
        render_span(then < render->now_ns ? render->now_ns - then : 0, text);
}

void render_bytes(uint64_t bytes, struct text *text)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    uint64_t tenths = bytes * 10;
    size_t unit = 0;

    if (bytes > UINT64_MAX / 10)
        tenths = UINT64_MAX / 10 * 10;
    for (; tenths >= 10240 && unit + 1 < sizeof units / sizeof *units; unit++)
        tenths /= 1024;
    if (unit)
        text_printf(text, "%llu.%llu %s", (unsigned long long)(tenths / 10),
                    (unsigned long long)(tenths % 10), units[unit]);
    else
        text_printf(text, "%llu B", (unsigned long long)bytes);
}

bool render_exit(const json_t *exit, struct text *text)
{
    const json_t *code = json_object_get(exit, "code"), *signal = json_object_get(exit, "signal");

    if (json_is_string(signal))
        text_printf(text, "ended by %s", json_string_value(signal));
    else if (json_is_integer(code))
        text_printf(text, "exited with %lld", (long long)json_integer_value(code));
    else
        return false;
    return true;
}

/* Half of it must not be taken for all; what cannot be written is said at the end. */
static void dump(const json_t *value, size_t flags)
{
    if (json_dumpf(value, stdout, flags | JSON_ENCODE_ANY) < 0 && !ferror(stdout)) {
        slc_complain("output", "there is no memory to write it");
        exit(SLC_FAILED);
    }
    putchar('\n');
}

void render_json(const json_t *value)
{
    dump(value, isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);
}

void render_json_line(const json_t *value)
{
    dump(value, JSON_COMPACT);
}

static int escape_one(json_t *string)
{
    struct buffer out = {0};
    size_t count = json_string_length(string);
    int failed = journal_show_escaped(&out, json_string_value(string), count);
    if (!failed && buffer_used(&out) != count &&
        json_string_setn(string, buffer_bytes(&out), buffer_used(&out)) < 0)
        failed = -ENOMEM;
    buffer_finish(&out);
    return failed;
}

static bool is_opened(const char *key)
{
    static const char *const keys[] = {"etc", "journal", "logs", "runtime"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i]))
            return true;
    return false;
}

int render_escape_all(json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    int failed = json_is_string(value) ? escape_one(value) : 0;

    json_array_foreach(value, i, member)
    {
        if (!failed)
            failed = render_escape_all(member);
    }
    json_object_foreach(value, key, member)
    {
        if (!failed && !is_opened(key))
            failed = render_escape_all(member);
    }
    return failed;
}

const char *render_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ---- tables --------------------------------------------------------------------------------- */

unsigned render_columns(const char *text)
{
    unsigned columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

void table_add(struct table *table, const char *cell)
{
    unsigned columns = render_columns(cell), column = table->next;
    size_t bytes = strlen(cell) + 1;
    char *copy;

    table->next = (column + 1) % table->columns;
    if (columns > table->widths[column])
        table->widths[column] = columns;
    if (table->failed || buffer_append(&table->cells, cell, bytes) < 0) {
        table->failed = true;
        return;
    }
    copy = table->cells.data + table->cells.end - bytes;
    for (; *copy; copy++)
        if ((unsigned char)*copy < 0x20 || *copy == 0x7f)
            *copy = '?';
}

/* The cell, at most `room` columns of it; 0: all. */
static void print_cut(const char *cell, unsigned room, FILE *stream)
{
    const char *end = cell;

    if (!room || render_columns(cell) <= room) {
        fputs(cell, stream);
        return;
    }
    for (unsigned columns = 0; *end; end++) {
        columns += ((unsigned char)*end & 0xc0) != 0x80;
        if (columns > room)
            break;
    }
    fwrite(cell, 1, (size_t)(end - cell), stream);
}

static void print_blanks(unsigned count, FILE *stream)
{
    while (count--)
        fputc(' ', stream);
}

static void print_row(const struct table *table, const struct render *render, const char **cells,
                      const char *symbol, const char *colour, FILE *stream)
{
    unsigned used = render_columns(symbol);

    fputs(colour, stream);
    fputs(symbol, stream);
    for (unsigned column = 0; column < table->columns; column++) {
        unsigned blanks = table->widths[column] - render_columns(cells[column]);
        bool last = column + 1 == table->columns;
        if (table->right[column])
            print_blanks(blanks, stream);
        print_cut(cells[column], last && render->width > used ? render->width - used : 0, stream);
        if ((int)column == table->state_column)
            fputs(*colour ? render_plain(render) : "", stream);
        if (last)
            break;
        print_blanks((table->right[column] ? 0 : blanks) + 2, stream);
        used += table->widths[column] + 2;
    }
    fputc('\n', stream);
}

int table_print(struct table *table, const struct render *render, FILE *stream)
{
    const char *cells[TABLE_COLUMNS_MAX], *at = table->cells.data + table->cells.begin;
    const char *end = table->cells.data + table->cells.end;
    int r = table->failed ? -ENOMEM : 0;

    for (unsigned column = 0; column < table->columns; column++) {
        cells[column] = table->titles[column];
        if (render_columns(cells[column]) > table->widths[column])
            table->widths[column] = render_columns(cells[column]);
    }
    print_row(table, render, cells, render->terminal && table->state_column >= 0 ? "  " : "", "",
              stream);
    while (at < end) {
        for (unsigned column = 0; column < table->columns; column++) {
            cells[column] = at < end ? at : "";
            at += at < end ? strlen(at) + 1 : 0;
        }
        const char *state = table->state_column >= 0 ? cells[table->state_column] : "";
        print_row(table, render, cells, *state ? render_symbol(render, state) : "",
                  render_state_colour(render, state), stream);
    }
    buffer_finish(&table->cells);
    memset(table->widths, 0, sizeof table->widths);
    table->next = 0;
    return r;
}
