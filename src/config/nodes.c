/* YAML text as a tree of nodes.
 *
 * The text is looked through once before libyaml sees it, so that what is no text at all is told
 * from what is bad YAML, and with its place. Then events become nodes. What is wrong but leaves
 * the rest readable (an anchor, a tag, a key that stands twice) is noted and reading goes on. */
#include "config/nodes.h"
#include "base/text.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX   16     /* a service file needs 5 */
#define NODES_MAX   131072 /* a target that needs 50,000 services stays below */
#define MAPPING_MAX 4096   /* entries; duplicates are found by comparing all */

struct reader {
    const struct nodes_text *source;
    struct arena *arena;
    struct error_list *errors;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    unsigned errors_left;
    unsigned node_count, depth;
    bool failed; /* an error was noted */
};

/* Notes an error. Returns -EINVAL when reading may go on to find more, -E2BIG when enough were
 * found, -ENOMEM. */
__attribute__((format(printf, 4, 5))) static int note(struct reader *r, unsigned line,
                                                      unsigned column, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int failed = error_list_add_v(r->errors, r->source->path, line, column, format, arguments);
    va_end(arguments);
    r->failed = true;
    if (failed)
        return failed;
    return --r->errors_left ? -EINVAL : -E2BIG;
}

/* The error to be noted next is one behind which reading cannot go on. */
static void make_last(struct reader *r)
{
    r->errors_left = 1;
}

static unsigned line_of(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static unsigned column_of(yaml_mark_t mark)
{
    return (unsigned)mark.column + 1;
}

/* --- Before libyaml: is it text? --- */

/* Characters that YAML does not take outside escapes (YAML 1.1, production c-printable). */
static bool is_control(const unsigned char *at, size_t length)
{
    if (length == 1)
        return (*at < 0x20 && *at != '\t' && *at != '\n' && *at != '\r') || *at == 0x7f;
    if (length == 2)
        return at[0] == 0xc2 && at[1] < 0xa0 && at[1] != 0x85;
    if (length == 3)
        return (at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf) ||
               (at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe);
    return false;
}

static int note_bad_byte(struct reader *r, unsigned char byte, bool utf8, bool binary,
                         unsigned line, unsigned column)
{
    if (byte == 0)
        return note(r, line, column,
                    "there is a NUL byte here: a service file is text; is this a program or "
                    "another kind of file?");
    if (binary)
        return note(r, line, column,
                    "the byte 0x%02x here is no text, nor is the file: is it a program or another "
                    "kind of file?",
                    byte);
    if (!utf8)
        return note(r, line, column, "the byte 0x%02x here is not UTF-8: save the file as UTF-8",
                    byte);
    return note(r, line, column,
                "there is a control character here (byte 0x%02x): remove it, or write it with a "
                "backslash in double quotes",
                byte);
}

static int check_text(struct reader *r, const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned line = 1, column = 1;

    if (size >= 2 &&
        ((bytes[0] == 0xff && bytes[1] == 0xfe) || (bytes[0] == 0xfe && bytes[1] == 0xff)))
        return note(r, 1, 1, "the file is UTF-16: save it as UTF-8");
    for (size_t at = 0; at < size;) {
        if (bytes[at] >= 0x20 && bytes[at] < 0x7f) {
            column++;
            at++;
            continue;
        }
        size_t length = utf8_length(bytes + at, size - at);
        if (length == 0 || is_control(bytes + at, length))
            return note_bad_byte(r, bytes[at], length != 0, memchr(text, 0, size) != NULL, line,
                                 column);
        column++;
        if (bytes[at] == '\n') {
            line++;
            column = 1;
        }
        at += length;
    }
    return 0;
}

/* --- What libyaml says, in words that help --- */

struct hint {
    const char *problem; /* how libyaml's message begins */
    bool at_context;     /* the place to mend is where the thing began */
    const char *message;
};

static const struct hint hints[] = {
    {"mapping values are not allowed", false,
     "a ':' cannot stand here: put a text that holds ': ' in quotes, and check the indentation"},
    {"block sequence entries are not allowed", false,
     "a list's '-' cannot stand here: begin the list on a line of its own, below its key"},
    {"block mapping", false, "a key cannot stand here: check the indentation"},
    {"could not find expected ':'", true,
     "there is no ':' behind this key: write 'key: value', with a blank behind the colon"},
    {"found character that cannot start any token", false,
     "a text cannot begin with this character: put it in quotes; indent with blanks, not tabs"},
    {"found a tab character", false, "there is a tab here: indent with blanks"},
    {"found unexpected end of stream", true, "a quote is opened here and never closed: close it"},
    {"found unexpected document indicator", true,
     "a quote is opened here and never closed: close it"},
    {"found unknown escape character", false,
     "there is no such escape in double quotes: write '\\\\' for a backslash, or use single "
     "quotes"},
    {"did not find expected ',' or ']'", true,
     "this list is not closed: write ',' between its values and ']' at its end"},
    {"did not find expected ',' or '}'", true,
     "this mapping is not closed: write ',' between its entries and '}' at its end"},
    {"did not find expected key", false,
     "a key is expected here, as in 'key: value': check the indentation and the quotes"},
    {"did not find expected '-' indicator", false,
     "an entry of a list is expected here, as in '- value': check the indentation"},
    {"did not find expected <document start>", false,
     "the file is one mapping, 'key: value' on each line: check the indentation"},
    {"did not find expected node content", false,
     "a value is missing here: write one, or close the list or mapping before it by ']' or '}'"},
    {"found undefined tag handle", false,
     "tags (a word with '!' in front) are not allowed: "
     "remove it, or put the text in quotes"},
    {"did not find expected whitespace or line break", false,
     "a blank or the end of the line is expected here"},
    {"found incompatible YAML document", false, "the file is YAML 1.1: remove the %YAML line"},
};

static int note_syntax(struct reader *r)
{
    const yaml_parser_t *parser = &r->parser;
    const char *problem = parser->problem;

    /* When memory is lacking libyaml names no problem, and in a tag's handle not that error either.
     */
    if (!problem)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strncmp(problem, hints[i].problem, strlen(hints[i].problem)) != 0)
            continue;
        yaml_mark_t mark = parser->problem_mark;
        if (hints[i].at_context)
            mark = parser->context_mark;
        return note(r, line_of(mark), column_of(mark), "%s", hints[i].message);
    }
    return note(r, line_of(parser->problem_mark), column_of(parser->problem_mark),
                "this is not YAML: %s", problem);
}

static void drop_event(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
}

/* The next event in r->event. */
static int read_event(struct reader *r)
{
    drop_event(r);
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        make_last(r);
        return note_syntax(r);
    }
    r->has_event = true;
    return 0;
}

/* --- From events to nodes --- */

static int check_extras(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    unsigned line = line_of(r->event.start_mark), column = column_of(r->event.start_mark);
    int failed = 0;
    if (anchor)
        failed =
            note(r, line, column,
                 "anchors are not allowed: remove '&%.60s' and write the value where it is needed",
                 (const char *)anchor);
    const char *name = (const char *)tag, *rest = NULL;
    if (tag && text_starts_with(name, "tag:yaml.org,2002:", &rest))
        name = rest;
    if (tag && failed != -ENOMEM && failed != -E2BIG)
        failed =
            note(r, line, column,
                 "tags are not allowed: remove '%s%.60s', or put a text that begins with '!' in "
                 "quotes",
                 rest ? "!!" : "", name);
    return failed == -EINVAL ? 0 : failed;
}

static uint32_t hash_text(const char *text, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static int fill_text(struct reader *r, struct node *node)
{
    static const enum node_style styles[] = {
        [YAML_ANY_SCALAR_STYLE] = STYLE_PLAIN,
        [YAML_PLAIN_SCALAR_STYLE] = STYLE_PLAIN,
        [YAML_SINGLE_QUOTED_SCALAR_STYLE] = STYLE_QUOTED,
        [YAML_DOUBLE_QUOTED_SCALAR_STYLE] = STYLE_QUOTED,
        [YAML_LITERAL_SCALAR_STYLE] = STYLE_LITERAL,
        [YAML_FOLDED_SCALAR_STYLE] = STYLE_FOLDED,
    };
    const char *value = (const char *)r->event.data.scalar.value;
    size_t length = r->event.data.scalar.length;
    int failed = check_extras(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
    if (failed)
        return failed;
    if (memchr(value, 0, length)) {
        failed = note(r, node->line, node->column,
                      "this text holds a NUL byte, which no argument, path or name can hold: "
                      "remove the '\\0'");
        if (failed != -EINVAL)
            return failed;
        length = strlen(value);
        node->bad = true;
    }
    node->kind = NODE_TEXT;
    node->style = styles[r->event.data.scalar.style];
    node->length = length;
    node->hash = hash_text(value, length);
    node->text = arena_copy(r->arena, value, length);
    return node->text ? 0 : -ENOMEM;
}

static int read_node(struct reader *r, struct node **ret);

/* The entry of a mapping that has the key, or NULL. */
static const struct node *find_entry(const struct node *mapping, const struct node *key)
{
    for (const struct node *entry = mapping->first; entry; entry = entry->next)
        if (entry->key->hash == key->hash && strcmp(entry->key->text, key->text) == 0)
            return entry;
    return NULL;
}

/* Whether an entry with this key may be put into the mapping: 0; 1: it is to be left out, which
 * was noted; or a reason to stop. */
static int check_key(struct reader *r, const struct node *mapping, const struct node *key)
{
    const struct node *other;
    int failed;
    if (key->kind != NODE_TEXT) {
        failed = note(r, key->line, key->column, "a key has to be a text: write 'key: value'");
    } else if (mapping->count >= MAPPING_MAX) {
        make_last(r);
        return note(r, key->line, key->column,
                    "this mapping has more than %d entries, which is too many", MAPPING_MAX);
    } else if ((other = find_entry(mapping, key))) {
        failed = note(r, key->line, key->column,
                      "'%.60s' stands here for the second time, first in line %u: keep one",
                      key->text, other->key->line);
    } else {
        return key->bad;
    }
    return failed == -EINVAL ? 1 : failed;
}

/* The entries up to the event that ends the list or the mapping. */
static int read_entries(struct reader *r, struct node *node, yaml_event_type_t end)
{
    const struct node **link = &node->first;
    struct node *key = NULL, *entry;
    bool left_out = false;
    for (;;) {
        int failed = read_event(r);
        if (failed)
            return failed;
        if (r->event.type == end)
            break;
        failed = read_node(r, &entry);
        if (failed)
            return failed;
        if (node->kind == NODE_MAPPING && !key) {
            key = entry;
            failed = check_key(r, node, key);
            if (failed < 0)
                return failed;
            left_out = failed;
            continue;
        }
        if (left_out) {
            left_out = false;
            key = NULL;
            continue;
        }
        entry->key = key;
        key = NULL;
        *link = entry;
        link = &entry->next;
        node->count++;
    }
    node->end_line = line_of(r->event.end_mark);
    node->end_column = column_of(r->event.end_mark);
    return 0;
}

static int read_list_or_mapping(struct reader *r, struct node *node)
{
    bool list = r->event.type == YAML_SEQUENCE_START_EVENT;
    int failed =
        list
            ? check_extras(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag)
            : check_extras(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag);
    if (failed)
        return failed;
    node->kind = list ? NODE_LIST : NODE_MAPPING;
    if (r->depth == DEPTH_MAX) {
        make_last(r);
        return note(r, node->line, node->column,
                    "lists and mappings are nested more than %d deep here, which no key needs",
                    DEPTH_MAX);
    }
    r->depth++;
    failed = read_entries(r, node, list ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT);
    r->depth--;
    return failed;
}

/* An alias stands for a value; an empty text takes its place so that the rest can be read. */
static int refuse_alias(struct reader *r, struct node *node)
{
    int failed =
        note(r, node->line, node->column,
             "aliases are not allowed: write the value in place of '*%.60s', or put a text "
             "that begins with '*' in quotes",
             (const char *)r->event.data.alias.anchor);
    node->kind = NODE_TEXT;
    node->style = STYLE_QUOTED;
    node->text = "";
    node->bad = true;
    return failed == -EINVAL ? 0 : failed;
}

/* The node that begins with the event at hand. */
static int read_node(struct reader *r, struct node **ret)
{
    if (++r->node_count > NODES_MAX) {
        make_last(r);
        return note(r, line_of(r->event.start_mark), column_of(r->event.start_mark),
                    "the file holds more than %d values, which is too many", NODES_MAX);
    }
    struct node *node = arena_take(r->arena, sizeof *node);
    if (!node)
        return -ENOMEM;
    *node = (struct node){.line = line_of(r->event.start_mark),
                          .column = column_of(r->event.start_mark),
                          .end_line = line_of(r->event.end_mark),
                          .end_column = column_of(r->event.end_mark)};
    *ret = node;
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        return fill_text(r, node);
    case YAML_ALIAS_EVENT:
        return refuse_alias(r, node);
    default:
        return read_list_or_mapping(r, node);
    }
}

static int read_document(struct reader *r, struct node **ret)
{
    int failed;
    do {
        failed = read_event(r);
        if (failed)
            return failed;
        if (r->event.type == YAML_STREAM_END_EVENT) {
            *ret = NULL;
            return 0;
        }
    } while (r->event.type == YAML_STREAM_START_EVENT);
    if (r->event.data.document_start.tag_directives.start !=
        r->event.data.document_start.tag_directives.end) {
        failed = note(r, line_of(r->event.start_mark), column_of(r->event.start_mark),
                      "tags are not allowed: remove the %%TAG line");
        if (failed != -EINVAL)
            return failed;
    }
    failed = read_event(r);
    if (!failed)
        failed = read_node(r, ret);
    if (!failed)
        failed = read_event(r); /* the document's end */
    if (!failed)
        failed = read_event(r);
    if (!failed && r->event.type != YAML_STREAM_END_EVENT) {
        failed = note(r, line_of(r->event.start_mark), column_of(r->event.start_mark),
                      "a second document begins here: a file holds one; remove the '---'");
        if (failed == -EINVAL)
            failed = 0;
    }
    return failed;
}

int nodes_parse(const struct nodes_text *source, struct arena *arena, unsigned max_errors,
                const struct node **ret, struct error_list *errors)
{
    struct reader r = {
        .source = source, .arena = arena, .errors = errors, .errors_left = max_errors};
    const char *text = source->text;
    size_t size = source->size;
    struct node *root = NULL;

    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    int failed = check_text(&r, text, size);
    if (!failed) {
        if (!yaml_parser_initialize(&r.parser))
            return -ENOMEM;
        yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
        failed = read_document(&r, &root);
        drop_event(&r);
        yaml_parser_delete(&r.parser);
    }
    if (failed == -ENOMEM)
        return failed;
    *ret = failed ? NULL : root;
    return r.failed ? -EINVAL : 0;
}

/* --- Places inside a text --- */

static size_t count_characters(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* Line `line` (from 1) of the file; its length in *ret_length. */
static const char *find_line(const struct nodes_text *source, unsigned line, size_t *ret_length)
{
    const char *at = source->text, *end = source->text + source->size;
    const char *newline;
    while (--line && (newline = memchr(at, '\n', (size_t)(end - at))))
        at = newline + 1;
    newline = memchr(at, '\n', (size_t)(end - at));
    *ret_length = (size_t)((newline ? newline : end) - at);
    if (*ret_length && at[*ret_length - 1] == '\r')
        --*ret_length;
    return at;
}

/* In a literal block each line of the text is a line of the file with the indentation in front. */
static void place_in_block(const struct nodes_text *source, const struct node *node, size_t at,
                           unsigned *ret_line, unsigned *ret_column)
{
    size_t begin = 0, length, column = 0;
    unsigned line = node->line + 1;
    for (size_t i = 0; i < at; i++) {
        if (node->text[i] == '\n') {
            begin = i + 1;
            line++;
        }
    }
    const char *in_file = find_line(source, line, &length);
    size_t in_text = strcspn(node->text + begin, "\n");
    if (length >= in_text && memcmp(in_file + length - in_text, node->text + begin, in_text) == 0)
        column = length - in_text;
    *ret_line = line;
    *ret_column = (unsigned)(column + count_characters(node->text + begin, at - begin)) + 1;
}

void nodes_place(const struct nodes_text *source, const struct node *node, size_t at,
                 unsigned *ret_line, unsigned *ret_column)
{
    *ret_line = node->line;
    *ret_column = node->column;
    if (node->kind != NODE_TEXT)
        return;
    if (node->style == STYLE_LITERAL) {
        place_in_block(source, node, at, ret_line, ret_column);
        return;
    }
    unsigned quotes = node->style == STYLE_QUOTED ? 2 : 0;
    if (node->style == STYLE_FOLDED || node->line != node->end_line ||
        node->end_column - node->column - quotes != count_characters(node->text, node->length))
        return;
    *ret_column += quotes / 2 + (unsigned)count_characters(node->text, at);
}

bool node_is_nothing(const struct node *node)
{
    return node->kind == NODE_TEXT && node->style == STYLE_PLAIN &&
           (node->length == 0 || (node->length == 1 && node->text[0] == '~'));
}

const char *node_kind_name(const struct node *node)
{
    static const char *const names[] = {"a text", "a list", "a mapping"};
    return names[node->kind];
}
