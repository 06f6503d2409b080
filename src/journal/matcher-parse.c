/* POSIX extended regular expressions as trees, by recursive descent. The grammar is that of POSIX
 * (Base Definitions, chapter 9); what it calls undefined is refused, with what to write instead. */
#include "journal/matcher-parse.h"
#include "base/text.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define REPEAT_MAX 255 /* RE_DUP_MAX */

struct parse {
    const char *begin, *at;
    struct matcher_trees *trees;
    struct matcher_error *error;
    unsigned depth;
    int failed; /* 0, or why it is over */
};

static uint32_t refuse_at(struct parse *parse, const char *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static uint32_t refuse_at(struct parse *parse, const char *place, const char *format, ...)
{
    struct text text;
    va_list arguments;

    if (parse->failed)
        return 0;
    parse->failed = -EINVAL;
    parse->error->column = 1;
    for (const char *c = parse->begin; c < place; c++)
        parse->error->column += ((unsigned char)*c & 0xc0) != 0x80;
    text_init(&text, parse->error->why, sizeof parse->error->why);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    return 0;
}

/* ---- the tree ------------------------------------------------------------------------------- */

/* Every function that makes a node returns its number; after a failure numbers mean nothing. */
static uint32_t add(struct parse *parse, struct matcher_tree node)
{
    struct matcher_trees *trees = parse->trees;

    if (trees->count == trees->room) {
        size_t room = trees->room ? trees->room * 2 : 64;
        void *grown = reallocarray(trees->nodes, room, sizeof *trees->nodes);
        if (!grown) {
            parse->failed = -ENOMEM;
            return 0;
        }
        trees->nodes = grown;
        trees->room = room;
    }
    trees->nodes[trees->count] = node;
    return (uint32_t)trees->count++;
}

static uint32_t add_set(struct parse *parse, const struct matcher_set *set)
{
    struct matcher_trees *trees = parse->trees;

    if (trees->set_count == trees->set_room) {
        size_t room = trees->set_room ? trees->set_room * 2 : 64;
        void *grown = reallocarray(trees->sets, room, sizeof *trees->sets);
        if (!grown) {
            parse->failed = -ENOMEM;
            return 0;
        }
        trees->sets = grown;
        trees->set_room = room;
    }
    trees->sets[trees->set_count] = *set;
    return add(parse,
               (struct matcher_tree){.kind = MATCHER_SET, .set = (uint32_t)trees->set_count++});
}

static uint32_t add_pair(struct parse *parse, enum matcher_kind kind, uint32_t left, uint32_t right)
{
    return add(parse, (struct matcher_tree){.kind = kind, .left = left, .right = right});
}

static uint32_t add_range(struct parse *parse, unsigned first, unsigned last)
{
    struct matcher_set set = {0};
    for (unsigned byte = first; byte <= last; byte++)
        matcher_set_add(&set, (unsigned char)byte);
    return add_set(parse, &set);
}

/* The bytes as they are, one behind the other. */
static uint32_t add_bytes(struct parse *parse, const char *bytes, size_t count)
{
    uint32_t tree = add_range(parse, (unsigned char)bytes[0], (unsigned char)bytes[0]);
    for (size_t i = 1; i < count; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        tree = add_pair(parse, MATCHER_BOTH, tree, add_range(parse, byte, byte));
    }
    return tree;
}

/* A character that is in the set, or any that is not ASCII: of two to four bytes, or a byte that is
 * part of none. */
static uint32_t add_ascii_and_others(struct parse *parse, const struct matcher_set *ascii)
{
    static const unsigned char leads[][2] = {{0xc2, 0xdf}, {0xe0, 0xef}, {0xf0, 0xf4}};
    struct matcher_set set = *ascii;
    uint32_t tree;

    for (unsigned byte = 0x80; byte <= 0xff; byte++)
        matcher_set_add(&set, (unsigned char)byte);
    tree = add_set(parse, &set);
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
        uint32_t one = add_range(parse, leads[i][0], leads[i][1]);
        for (size_t rest = 0; rest <= i; rest++)
            one = add_pair(parse, MATCHER_BOTH, one, add_range(parse, 0x80, 0xbf));
        tree = add_pair(parse, MATCHER_EITHER, tree, one);
    }
    return tree;
}

/* ---- lists in brackets ---------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*has)(int);
} classes[] = {
    {"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
    {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
    {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit},
};

/* At the "[:" of a class; goes on behind its ":]". */
static void take_class(struct parse *parse, struct matcher_set *set)
{
    const char *name = parse->at + 2, *end = strstr(name, ":]");
    size_t length = end ? (size_t)(end - name) : 0;

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strlen(classes[i].name) != length || strncmp(classes[i].name, name, length) != 0)
            continue;
        for (int byte = 0; byte < 0x80; byte++)
            if (classes[i].has(byte))
                matcher_set_add(set, (unsigned char)byte);
        parse->at = end + 2;
        return;
    }
    refuse_at(parse, parse->at,
              "there is no such class: write [:digit:], [:alpha:], [:alnum:], "
              "[:space:], [:upper:], [:lower:], [:punct:] or [:xdigit:]");
}

/* One character of a list, or a range. What is not ASCII becomes a tree in *others. */
static void take_member(struct parse *parse, struct matcher_set *set, uint32_t *others)
{
    const char *place = parse->at;
    size_t length = utf8_length((const unsigned char *)place, strlen(place));
    unsigned char first = (unsigned char)*place, last = first;

    length = length ? length : 1;
    parse->at += length;
    if (parse->at[0] == '-' && parse->at[1] && parse->at[1] != ']') {
        last = (unsigned char)parse->at[1];
        if (first >= 0x80 || last >= 0x80)
            refuse_at(parse, place, "a range has ASCII characters at both ends");
        else if (last == '[' && parse->at[2] && strchr(":.=", parse->at[2]))
            refuse_at(parse, parse->at + 1, "a range ends with a character: write a '[' first");
        else if (last < first)
            refuse_at(parse, place, "the range %c-%c is the wrong way round: write %c-%c", first,
                      last, last, first);
        parse->at += 2;
    } else if (length > 1) {
        uint32_t one = add_bytes(parse, place, length);
        *others = *others == UINT32_MAX ? one : add_pair(parse, MATCHER_EITHER, *others, one);
        return;
    }
    for (unsigned byte = first; byte <= last; byte++)
        matcher_set_add(set, (unsigned char)byte);
}

/* At a '['; goes on behind its ']'. */
static uint32_t take_list(struct parse *parse)
{
    const char *open = parse->at++;
    bool negated = *parse->at == '^', is_first = true;
    struct matcher_set set = {0};
    uint32_t others = UINT32_MAX, tree;

    parse->at += negated;
    for (; !parse->failed && *parse->at && (*parse->at != ']' || is_first); is_first = false) {
        if (parse->at[0] == '-' && parse->at[1] && parse->at[1] != ']' && !is_first)
            return refuse_at(parse, parse->at, "in a list a '-' is the first or the last");
        if (parse->at[0] == '[' && parse->at[1] == ':')
            take_class(parse, &set);
        else if (parse->at[0] == '[' && parse->at[1] && strchr(".=", parse->at[1]))
            return refuse_at(parse, parse->at, "'[%c' is not known here: write the characters",
                             parse->at[1]);
        else
            take_member(parse, &set, &others);
    }
    if (!*parse->at)
        return refuse_at(parse, open, "this '[' has no ']': write '\\[' for a bracket");
    parse->at++;
    if (!negated) {
        tree = add_set(parse, &set);
        return others == UINT32_MAX ? tree : add_pair(parse, MATCHER_EITHER, tree, others);
    }
    if (others != UINT32_MAX)
        return refuse_at(parse, open, "a list of what is not wanted has ASCII characters only");
    for (size_t i = 0; i < 4; i++)
        set.bits[i] = i < 2 ? ~set.bits[i] : 0;
    return add_ascii_and_others(parse, &set);
}

/* ---- the grammar ---------------------------------------------------------------------------- */

static uint32_t take_branches(struct parse *parse);

/* At a backslash; goes on behind what it is for. */
static uint32_t take_escape(struct parse *parse)
{
    static const struct {
        char letter;
        const char *instead;
    } known[] = {{'d', "[0-9]"}, {'w', "[[:alnum:]_]"}, {'s', "[[:space:]]"}, {'t', "[[:blank:]]"}};
    const char *place = parse->at;
    char c = parse->at[1];

    if (!c)
        return refuse_at(parse, place, "it ends in a backslash: write '\\\\' for one");
    if (isdigit((unsigned char)c))
        return refuse_at(parse, place, "there are no back-references, as '\\%c' is one", c);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].letter == c)
            return refuse_at(parse, place, "'\\%c' is none of POSIX: write '%s'", c,
                             known[i].instead);
    if (isalpha((unsigned char)c) || strchr("<>`'", c))
        return refuse_at(parse, place, "'\\%c' has no meaning in POSIX: leave out the backslash",
                         c);
    parse->at += 2;
    return add_bytes(parse, &c, 1);
}

static uint32_t take_group(struct parse *parse)
{
    const char *open = parse->at++;
    uint32_t tree;

    if (parse->depth++ == MATCHER_DEPTH_MAX)
        return refuse_at(parse, open, "at most %d parentheses may be in each other",
                         MATCHER_DEPTH_MAX);
    tree = take_branches(parse);
    parse->depth--;
    if (*parse->at != ')')
        return refuse_at(parse, open, "this '(' has no ')': write '\\(' for a parenthesis");
    parse->at++;
    return tree;
}

/* What a repeat may follow. */
static uint32_t take_atom(struct parse *parse)
{
    static const struct matcher_set ascii = {{UINT64_MAX, UINT64_MAX, 0, 0}};
    const char *place = parse->at;
    size_t length;

    switch (*place) {
    case '(':
        return take_group(parse);
    case '[':
        return take_list(parse);
    case '\\':
        return take_escape(parse);
    case '.':
        parse->at++;
        return add_ascii_and_others(parse, &ascii);
    case '^':
    case '$':
        parse->at++;
        return add(parse,
                   (struct matcher_tree){.kind = *place == '^' ? MATCHER_BEGIN : MATCHER_END});
    case '*':
    case '+':
    case '?':
        return refuse_at(parse, place, "there is nothing to repeat: write '\\%c' for the character",
                         *place);
    case '{':
        return refuse_at(parse, place, "there is nothing to repeat: write '\\{' for a brace");
    case '\n':
    case '\r':
        return refuse_at(parse, place,
                         "a line end is no part of a line: write '$' for where one "
                         "ends");
    default:
        length = utf8_length((const unsigned char *)place, strlen(place));
        length = length ? length : 1;
        parse->at += length;
        return add_bytes(parse, place, length);
    }
}

static uint32_t take_number(struct parse *parse)
{
    uint32_t number = 0;
    for (; isdigit((unsigned char)*parse->at); parse->at++)
        if (number <= REPEAT_MAX)
            number = number * 10 + (uint32_t)(*parse->at - '0');
    return number;
}

/* At a '{'; goes on behind its '}'. */
static void take_bounds(struct parse *parse, struct matcher_tree *repeat)
{
    const char *open = parse->at++;

    if (!isdigit((unsigned char)*parse->at)) {
        refuse_at(parse, open, "a '{' begins a repeat, as {2} or {1,3}: write '\\{' for a brace");
        return;
    }
    repeat->least = repeat->most = take_number(parse);
    if (*parse->at == ',') {
        parse->at++;
        repeat->most = isdigit((unsigned char)*parse->at) ? take_number(parse) : MATCHER_FOR_EVER;
    }
    if (*parse->at != '}')
        refuse_at(parse, open, "a repeat is written {2}, {2,} or {1,3}");
    else if (repeat->least > REPEAT_MAX ||
             (repeat->most > REPEAT_MAX && repeat->most != MATCHER_FOR_EVER))
        refuse_at(parse, open, "nothing may be repeated more than %d times", REPEAT_MAX);
    else if (repeat->most < repeat->least)
        refuse_at(parse, open, "the repeat {%u,%u} is the wrong way round", repeat->least,
                  repeat->most);
    else
        parse->at++;
}

static uint32_t take_piece(struct parse *parse)
{
    uint32_t tree = take_atom(parse);

    while (!parse->failed && *parse->at && strchr("*+?{", *parse->at)) {
        struct matcher_tree repeat = {.kind = MATCHER_REPEAT, .left = tree};
        enum matcher_kind kind = parse->trees->nodes[tree].kind;
        if (kind == MATCHER_BEGIN || kind == MATCHER_END)
            return refuse_at(parse, parse->at,
                             "there is nothing to repeat: write '\\%c' for the "
                             "character",
                             *parse->at);
        if (*parse->at == '{') {
            take_bounds(parse, &repeat);
        } else {
            repeat.least = *parse->at == '+';
            repeat.most = *parse->at == '?' ? 1 : MATCHER_FOR_EVER;
            parse->at++;
        }
        tree = add(parse, repeat);
    }
    return tree;
}

static uint32_t take_branch(struct parse *parse)
{
    uint32_t tree = UINT32_MAX;

    while (!parse->failed && *parse->at && *parse->at != '|' && *parse->at != ')') {
        uint32_t piece = take_piece(parse);
        tree = tree == UINT32_MAX ? piece : add_pair(parse, MATCHER_BOTH, tree, piece);
    }
    return tree != UINT32_MAX ? tree : add(parse, (struct matcher_tree){.kind = MATCHER_NOTHING});
}

static uint32_t take_branches(struct parse *parse)
{
    uint32_t tree = take_branch(parse);

    while (!parse->failed && *parse->at == '|') {
        parse->at++;
        tree = add_pair(parse, MATCHER_EITHER, tree, take_branch(parse));
    }
    return tree;
}

int matcher_parse(struct matcher_trees *trees, const char *expression,
                  struct matcher_error *ret_error)
{
    struct parse parse = {expression, expression, trees, ret_error, 0, 0};

    *trees = (struct matcher_trees){0};
    if (!*expression)
        refuse_at(&parse, expression, "it is empty, and would match every line");
    else if (strlen(expression) > MATCHER_BYTES_MAX)
        refuse_at(&parse, expression + MATCHER_BYTES_MAX, "it has %zu bytes, and may have %d",
                  strlen(expression), MATCHER_BYTES_MAX);
    else
        trees->root = take_branches(&parse);
    if (!parse.failed && *parse.at == ')')
        refuse_at(&parse, parse.at, "this ')' has no '(': write '\\)' for a parenthesis");
    return parse.failed;
}

void matcher_trees_finish(struct matcher_trees *trees)
{
    free(trees->nodes);
    free(trees->sets);
    *trees = (struct matcher_trees){0};
}
