/* Values of the keys that say how the kernel is to treat a service: its priorities, its CPUs, the
 * limits of its cgroup, its root, and the file with its environment. For each key how it is parsed,
 * compared and shown. */
#include "config/parse.h"
#include "config/show.h"
#include "config/units.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SHOWN(node)  60, (node)->text

#define CPU_WORDS       (CPUS_MAX / 64)
#define IO_SHIFT        13 /* ioprio_set(2): the class stands above the priority inside it */
#define IO_REALTIME     1
#define IO_BEST         2
#define IO_IDLE         3
#define IO_LEVELS       8
#define IO_DEFAULT      4 /* of a class without a number, as ionice(1) has it */
#define RT_MAX          99
#define CPU_MAX_PERCENT (UINT64_C(100) * CPUS_MAX)
#define IO_WEIGHT_MAX   10000

/* --- nice, oom-score-adj --- */

static bool parse_signed(const char *string, int least, int most, int *ret)
{
    uint64_t number;
    const char *digits = string + (*string == '-' || *string == '+');
    if (text_parse_unsigned(digits, &number) < 0 || number > 100000)
        return false;
    int value = *string == '-' ? -(int)number : (int)number;
    if (value < least || value > most)
        return false;
    *ret = value;
    return true;
}

static bool value_nice(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (!value_need(p, key, value, NODE_TEXT, "10"))
        return false;
    if (!parse_signed(value->text, -20, 19, &p->draft.priorities.nice))
        return parse_error(p, value, "'%s' is a number from -20 (first) to 19 (last), not '%.*s'",
                           key, SHOWN(value));
    p->draft.priorities.nice_set = true;
    return true;
}

static bool value_oom(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (!value_need(p, key, value, NODE_TEXT, "-500"))
        return false;
    if (!parse_signed(value->text, -1000, 1000, &p->draft.priorities.oom_score_adj))
        return parse_error(p, value,
                           "'%s' is a number from -1000 (never ended) to 1000 (ended first), not "
                           "'%.*s'",
                           key, SHOWN(value));
    p->draft.priorities.oom_score_adj_set = true;
    return true;
}

static bool equal_nice(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->priorities.nice_set == b->priorities.nice_set &&
           a->priorities.nice == b->priorities.nice;
}

static bool equal_oom(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->priorities.oom_score_adj_set == b->priorities.oom_score_adj_set &&
           a->priorities.oom_score_adj == b->priorities.oom_score_adj;
}

static void show_nice(const struct definition *definition, const void *field, struct text *text)
{
    if (definition->priorities.nice_set)
        text_add_signed(text, definition->priorities.nice);
    else
        text_add(text, "null");
}

static void show_oom(const struct definition *definition, const void *field, struct text *text)
{
    if (definition->priorities.oom_score_adj_set)
        text_add_signed(text, definition->priorities.oom_score_adj);
    else
        text_add(text, "null");
}

/* --- cpus --- */

/* A number at *at, which moves behind it. */
static bool take_number(const char **at, uint64_t *ret)
{
    const char *begin = *at;
    uint64_t number = 0;
    while (**at >= '0' && **at <= '9' && number < CPUS_MAX)
        number = number * 10 + (uint64_t)(*(*at)++ - '0');
    if (*at == begin || number >= CPUS_MAX)
        return false;
    *ret = number;
    return true;
}

/* "0-3,5" into the bits; blanks may stand at the commas. */
static bool parse_cpus(const char *at, uint64_t bits[static CPU_WORDS])
{
    for (;;) {
        uint64_t first, last;
        at += strspn(at, " ");
        if (!take_number(&at, &first))
            return false;
        last = first;
        if (*at == '-') {
            at++;
            if (!take_number(&at, &last) || last < first)
                return false;
        }
        for (uint64_t cpu = first; cpu <= last; cpu++)
            bits[cpu / 64] |= UINT64_C(1) << cpu % 64;
        at += strspn(at, " ");
        if (!*at)
            return true;
        if (*at++ != ',')
            return false;
    }
}

static bool bad_cpus(struct parse *p, const struct node *at)
{
    return parse_error(p, at,
                       "'cpus' are numbers of CPUs from 0 to %d and ranges of them, the smaller "
                       "first: write 'cpus: 0-3,5' or 'cpus: [0, 1]'",
                       CPUS_MAX - 1);
}

static bool value_cpus(struct parse *p, const char *key, const struct node *value, void *field)
{
    if (node_is_nothing(value) || value->kind == NODE_MAPPING)
        return bad_cpus(p, value);
    uint64_t *bits = arena_take(p->arena, CPU_WORDS * sizeof *bits);
    if (!bits)
        return parse_no_memory(p);
    memset(bits, 0, CPU_WORDS * sizeof *bits);
    if (value->kind == NODE_TEXT && !parse_cpus(value->text, bits))
        return bad_cpus(p, value);
    if (value->kind == NODE_LIST) {
        if (!value->count)
            return bad_cpus(p, value);
        for (const struct node *entry = value->first; entry; entry = entry->next)
            if (entry->kind != NODE_TEXT || !parse_cpus(entry->text, bits))
                return bad_cpus(p, entry);
    }
    p->draft.priorities.cpus = bits;
    return true;
}

static bool equal_cpus(const struct definition *a, const struct definition *b, size_t offset)
{
    const uint64_t *first = a->priorities.cpus, *second = b->priorities.cpus;
    if (!first || !second)
        return first == second;
    return memcmp(first, second, CPU_WORDS * sizeof *first) == 0;
}

static bool has_cpu(const uint64_t *bits, unsigned cpu)
{
    return cpu < CPUS_MAX && bits[cpu / 64] >> cpu % 64 & 1;
}

static void show_cpus(const struct definition *definition, const void *field, struct text *text)
{
    const uint64_t *bits = definition->priorities.cpus;
    const char *comma = "";
    if (!bits) {
        text_add(text, "null");
        return;
    }
    text_add_char(text, '"');
    for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
        unsigned last = cpu;
        if (!has_cpu(bits, cpu))
            continue;
        while (has_cpu(bits, last + 1))
            last++;
        text_printf(text, "%s%u", comma, cpu);
        if (last > cpu)
            text_printf(text, "-%u", last);
        comma = ",";
        cpu = last;
    }
    text_add_char(text, '"');
}

static void pack_cpus(struct packer *packer, void *field)
{
    pack_array(packer, field, CPU_WORDS * sizeof(uint64_t));
}

/* --- io, sched: a word, and for some of them a number behind it --- */

struct class_row {
    const char *name;
    int number;        /* the kernel's for the class */
    int least, most;   /* of the number behind it; both 0: there is none */
    int default_level; /* -1: the number has to be there */
};

static const struct class_row io_classes[] = {
    {"idle", IO_IDLE, 0, 0, 0},
    {"best-effort", IO_BEST, 0, IO_LEVELS - 1, IO_DEFAULT},
    {"realtime", IO_REALTIME, 0, IO_LEVELS - 1, IO_DEFAULT},
};

static const struct class_row sched_classes[] = {
    {"other", SCHED_OTHER, 0, 0, 0}, {"batch", SCHED_BATCH, 0, 0, 0},
    {"idle", SCHED_IDLE, 0, 0, 0},   {"fifo", SCHED_FIFO, 1, RT_MAX, -1},
    {"rr", SCHED_RR, 1, RT_MAX, -1},
};

/* Returns the row and its number; NULL when the text is none of them. */
static const struct class_row *parse_class(const char *string, const struct class_row *rows,
                                           size_t count, int *ret_level)
{
    for (size_t i = 0; i < count; i++) {
        const char *rest;
        uint64_t level;
        if (!text_starts_with(string, rows[i].name, &rest) || (*rest && *rest != ' '))
            continue;
        rest += strspn(rest, " ");
        *ret_level = rows[i].default_level;
        if (!*rest)
            return rows[i].default_level < 0 ? NULL : &rows[i];
        if (!rows[i].most || text_parse_unsigned(rest, &level) < 0 ||
            level < (uint64_t)rows[i].least || level > (uint64_t)rows[i].most)
            return NULL;
        *ret_level = (int)level;
        return &rows[i];
    }
    return NULL;
}

static bool value_io(struct parse *p, const char *key, const struct node *value, void *field)
{
    int level;
    if (!value_need(p, key, value, NODE_TEXT, "best-effort 6"))
        return false;
    const struct class_row *row = parse_class(value->text, io_classes, COUNT(io_classes), &level);
    if (!row)
        return parse_error(p, value,
                           "'%s' is idle, best-effort N or realtime N, with N from 0 (first) to 7 "
                           "(last), not '%.*s'",
                           key, SHOWN(value));
    p->draft.priorities.io = row->number << IO_SHIFT | level;
    return true;
}

static bool value_sched(struct parse *p, const char *key, const struct node *value, void *field)
{
    int level;
    if (!value_need(p, key, value, NODE_TEXT, "batch"))
        return false;
    const struct class_row *row =
        parse_class(value->text, sched_classes, COUNT(sched_classes), &level);
    if (!row)
        return parse_error(p, value,
                           "'%s' is other, batch, idle, fifo N or rr N, with N from 1 (last) to "
                           "99 (first), not '%.*s'",
                           key, SHOWN(value));
    p->draft.priorities.sched_policy = row->number;
    p->draft.priorities.sched_priority = level;
    return true;
}

static bool equal_io(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->priorities.io == b->priorities.io;
}

static bool equal_sched(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->priorities.sched_policy == b->priorities.sched_policy &&
           a->priorities.sched_priority == b->priorities.sched_priority;
}

static void show_class(struct text *text, const struct class_row *rows, size_t count, int number,
                       int level)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].number != number)
            continue;
        text_printf(text, "\"%s", rows[i].name);
        if (rows[i].most)
            text_printf(text, " %d", level);
        text_add_char(text, '"');
        return;
    }
    text_add(text, "null"); /* not given */
}

static void show_io(const struct definition *definition, const void *field, struct text *text)
{
    int io = definition->priorities.io;
    int class = io == IO_NOT_GIVEN ? -1 : io >> IO_SHIFT;
    show_class(text, io_classes, COUNT(io_classes), class, io & ((1 << IO_SHIFT) - 1));
}

static void show_sched(const struct definition *definition, const void *field, struct text *text)
{
    show_class(text, sched_classes, COUNT(sched_classes), definition->priorities.sched_policy,
               definition->priorities.sched_priority);
}

/* --- resources --- */

static bool value_memory(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint64_t bytes;
    if (!value_need(p, key, value, NODE_TEXT, "256M"))
        return false;
    if (units_parse_size(value->text, &bytes) < 0 || bytes == 0 || bytes > INT64_MAX)
        return parse_error(p, value,
                           "'%s' is a size, as 64K, 256M or 1G, not '%.*s'; remove it for no limit",
                           key, SHOWN(value));
    *(uint64_t *)field = bytes;
    return true;
}

static bool value_tasks(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint64_t count;
    if (!value_need(p, key, value, NODE_TEXT, "100"))
        return false;
    if (text_parse_unsigned(value->text, &count) < 0 || count == 0 || count > INT32_MAX)
        return parse_error(p, value,
                           "'%s' is how many processes and threads there may be, 1 or more, not "
                           "'%.*s'; remove it for no limit",
                           key, SHOWN(value));
    *(uint64_t *)field = count;
    return true;
}

/* "150", "150%" or "150 %" */
static bool value_cpu(struct parse *p, const char *key, const struct node *value, void *field)
{
    char digits[8];
    uint64_t percent;
    if (!value_need(p, key, value, NODE_TEXT, "150%"))
        return false;
    size_t length = strspn(value->text, "0123456789");
    const char *rest = value->text + length;
    rest += *rest == ' ' && rest[1] == '%';
    rest += *rest == '%';
    if (*rest || !text_format(digits, sizeof digits, "%.*s", (int)length, value->text) ||
        text_parse_unsigned(digits, &percent) < 0 || percent == 0 || percent > CPU_MAX_PERCENT)
        return parse_error(p, value,
                           "'%s' is a part of one CPU in percent, 1 or more, as 50%%, or 250%% for "
                           "two and a half, not '%.*s'",
                           key, SHOWN(value));
    *(uint32_t *)field = (uint32_t)percent;
    return true;
}

static bool value_io_weight(struct parse *p, const char *key, const struct node *value, void *field)
{
    uint64_t weight;
    if (!value_need(p, key, value, NODE_TEXT, "100"))
        return false;
    if (text_parse_unsigned(value->text, &weight) < 0 || weight == 0 || weight > IO_WEIGHT_MAX)
        return parse_error(p, value,
                           "'%s' is a number from 1 to %d, where others have 100, not '%.*s'", key,
                           IO_WEIGHT_MAX, SHOWN(value));
    *(uint32_t *)field = (uint32_t)weight;
    return true;
}

static bool value_resources(struct parse *p, const char *key, const struct node *value, void *field)
{
    static const struct sub_key rows[] = {
        {"resources.memory", value_memory, offsetof(struct resources, memory_bytes)},
        {"resources.memory-high", value_memory, offsetof(struct resources, memory_high_bytes)},
        {"resources.cpu", value_cpu, offsetof(struct resources, cpu_percent)},
        {"resources.tasks", value_tasks, offsetof(struct resources, tasks)},
        {"resources.io-weight", value_io_weight, offsetof(struct resources, io_weight)},
    };
    return value_need(p, key, value, NODE_MAPPING, "{memory: 256M, tasks: 100}") &&
           value_mapping(p, key, value, rows, COUNT(rows), &p->draft.resources);
}

static bool equal_resources(const struct definition *a, const struct definition *b, size_t offset)
{
    const struct resources *first = &a->resources, *second = &b->resources;
    return first->memory_bytes == second->memory_bytes &&
           first->memory_high_bytes == second->memory_high_bytes && first->tasks == second->tasks &&
           first->cpu_percent == second->cpu_percent && first->io_weight == second->io_weight;
}

static void show_resource(struct text *text, const char *key, uint64_t value)
{
    show_key(text, key);
    if (value)
        text_add_unsigned(text, value);
    else
        text_add(text, "null");
}

static void show_resources(const struct definition *definition, const void *field,
                           struct text *text)
{
    const struct resources *resources = &definition->resources;
    text_add_char(text, '{');
    show_resource(text, "memory", resources->memory_bytes);
    show_resource(text, "memory-high", resources->memory_high_bytes);
    show_key(text, "cpu");
    if (resources->cpu_percent)
        text_printf(text, "\"%u%%\"", resources->cpu_percent);
    else
        text_add(text, "null");
    show_resource(text, "tasks", resources->tasks);
    show_resource(text, "io-weight", resources->io_weight);
    text_add_char(text, '}');
}

/* --- root, env-file --- */

static bool equal_root(const struct definition *a, const struct definition *b, size_t offset)
{
    return text_same(a->root, b->root);
}

static void show_root(const struct definition *definition, const void *field, struct text *text)
{
    show_string(text, definition->root ? definition->root : "/");
}

/* `PATH`, or `-PATH` for one that may be missing. */
static bool value_env_file(struct parse *p, const char *key, const struct node *value, void *field)
{
    size_t percent = 0;
    if (!value_need(p, key, value, NODE_TEXT, "/etc/default/web"))
        return false;
    bool optional = value->text[0] == '-';
    if (value->text[optional] != '/')
        return parse_error(p, value,
                           "'%s' is a whole path, from '/', or one with '-' in front when it may "
                           "be missing, not '%.*s'",
                           key, SHOWN(value));
    char *path = value_expand(p, value, value->text, &percent);
    if (!path || !parse_check_path(p, key, value, path + optional))
        return false;
    p->draft.env_file = path + optional;
    p->draft.env_file_optional = optional;
    return true;
}

static bool equal_env_file(const struct definition *a, const struct definition *b, size_t offset)
{
    return a->env_file_optional == b->env_file_optional && text_same(a->env_file, b->env_file);
}

static void show_env_file(const struct definition *definition, const void *field, struct text *text)
{
    char path[PATH_MAX + 1];
    if (!definition->env_file_optional) {
        show_string(text, definition->env_file);
        return;
    }
    text_format(path, sizeof path, "-%s", definition->env_file);
    show_string(text, path);
}

/* --- The kinds --- */

const struct key_kind kind_nice = {value_nice, equal_nice, show_nice, NULL};
const struct key_kind kind_oom_score_adj = {value_oom, equal_oom, show_oom, NULL};
const struct key_kind kind_cpus = {value_cpus, equal_cpus, show_cpus, pack_cpus};
const struct key_kind kind_io = {value_io, equal_io, show_io, NULL};
const struct key_kind kind_sched = {value_sched, equal_sched, show_sched, NULL};
const struct key_kind kind_resources = {value_resources, equal_resources, show_resources, NULL};
const struct key_kind kind_root = {value_path, equal_root, show_root, pack_text};
const struct key_kind kind_env_file = {value_env_file, equal_env_file, show_env_file, pack_text};
