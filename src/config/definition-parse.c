/* From the text of a service file to its definition: each key by its row, then what keys say
 * about each other, then the defaults, then one block of memory. */
#include "config/definition-parse.h"
#include "base/text.h"
#include "config/parse.h"
#include "service/name.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct definition defaults = {
    .type = TYPE_DAEMON,
    .ready = {.kind = READY_EXEC},
    .start_timeout_ms = 90000,
    .stop = {.signal = SIGTERM, .timeout_ms = 10000, .kill = KILL_ALL},
    .restart = {.policy = RESTART_ALWAYS,
                .delay_ms = 100,
                .max_ms = 30000,
                .reset_after_ms = 10000,
                .factor_percent = 200,
                .jitter_percent = 10,
                .limit = RESTART_NO_LIMIT},
    .enabled = true,
    .umask = 022,
    .priorities = {.io = IO_NOT_GIVEN, .sched_policy = SCHED_NOT_GIVEN},
    .quota = {.max_size_bytes = 16 << 20, .keep = 4}, /* QUOTA_DEFAULT */
};

static bool given(const struct parse *p, enum key_row row)
{
    return p->values[row] != NULL;
}

/* --- Each key --- */

static void unknown_key(struct parse *p, const struct node *key)
{
    const char *nearest = key_nearest(key->text);
    p->unknown_key = true;
    if (nearest)
        parse_error(p, key, "there is no key '%.60s': did you mean '%s'?", key->text, nearest);
    else
        parse_error(p, key, "there is no key '%.60s': remove it", key->text);
}

/* Bit N of the result: row N was parsed without an error. */
static uint64_t parse_keys(struct parse *p, const struct node *root)
{
    uint64_t good = 0;
    for (const struct node *value = root->first; value; value = value->next) {
        int row = key_find(value->key->text);
        if (row < 0) {
            unknown_key(p, value->key);
            continue;
        }
        p->values[row] = value;
        if (keys[row].kind->parse(p, keys[row].name, value, (char *)&p->draft + keys[row].offset))
            good |= KEY_BIT(row);
    }
    return good;
}

/* --- What keys say about each other --- */

static void check_target(struct parse *p)
{
    for (size_t row = 0; row < KEY_COUNT; row++)
        if (given(p, row) && !keys[row].for_target)
            parse_error(p, p->values[row]->key,
                        "'%s' has no meaning for a target, which runs nothing: remove it, or "
                        "'type: target'",
                        keys[row].name);
}

static void check_program(struct parse *p, const struct node *root)
{
    if (given(p, KEY_EXEC) && given(p, KEY_SCRIPT))
        parse_error(p, p->values[KEY_SCRIPT]->key,
                    "'exec' stands here too, in line %u: keep one of 'exec' and 'script'",
                    p->values[KEY_EXEC]->key->line);
    /* A key that is not known may well be 'exec', written wrong. */
    if (given(p, KEY_EXEC) || given(p, KEY_SCRIPT) || p->source->exec || p->unknown_key)
        return;
    if (p->source->folder) {
        parse_error(p, root,
                    "the program is missing: write 'exec: /path/of/program', or put an executable "
                    "'bin' beside this file, or a folder 'bin' with an executable '%.*s' in it",
                    (int)strcspn(p->source->name, "@"), p->source->name);
        return;
    }
    parse_error(p, root,
                "the program is missing: write 'exec: /path/of/program', or 'type: target' for a "
                "service that only groups others");
}

static void check_forks(struct parse *p)
{
    if (given(p, KEY_FORKS) && p->draft.type != TYPE_FORKING)
        parse_error(p, p->values[KEY_FORKS]->key,
                    "'forks' has a meaning only for a program that goes to the background by "
                    "itself: write 'type: forking' too, or remove it");
}

static void check_terminal(struct parse *p)
{
    const struct node *input = p->values[KEY_STDIN];
    if (!input || input->kind != NODE_TEXT)
        return;
    bool is_tty = strcmp(input->text, "tty") == 0;
    if (is_tty && !given(p, KEY_TTY))
        parse_error(p, input, "'stdin: tty' needs a terminal: write 'tty: /dev/tty1' too");
    else if (!is_tty && given(p, KEY_TTY))
        parse_error(p, input, "'tty' is the standard input already: remove 'stdin'");
}

static void fill_defaults(struct parse *p)
{
    struct definition *draft = &p->draft;
    const struct node *restart = p->values[KEY_RESTART];
    bool policy_given = restart && restart->kind == NODE_TEXT;

    if (restart && restart->kind == NODE_MAPPING)
        for (const struct node *entry = restart->first; entry; entry = entry->next)
            if (strcmp(entry->key->text, "policy") == 0)
                policy_given = true;
    if (draft->type == TYPE_TASK && !policy_given)
        draft->restart.policy = RESTART_NEVER;
    if (draft->type == TYPE_TASK && !given(p, KEY_START_TIMEOUT))
        draft->start_timeout_ms = TIME_NEVER_MS;
}

/* --- The command --- */

static size_t count_words(argv_t argv)
{
    size_t count = 0;
    while (argv && argv[count])
        count++;
    return count;
}

/* exec, or the shell for a script, or a folder's own program; and args behind it. */
static bool join_command(struct parse *p)
{
    struct definition *draft = &p->draft;
    char *shell[] = {(char *)"/bin/sh",       (char *)"-e", (char *)"-c", (char *)draft->script,
                     (char *)p->source->name, NULL};
    char *own[] = {(char *)p->source->exec, NULL};
    argv_t program = draft->script ? shell : p->exec ? p->exec : own;
    size_t program_count = count_words(program), args_count = count_words(p->args);

    if (draft->type == TYPE_TARGET)
        return true;
    argv_t argv = arena_take(p->arena, (program_count + args_count + 1) * sizeof *argv);
    if (!argv)
        return parse_no_memory(p);
    memcpy(argv, program, program_count * sizeof *argv);
    if (args_count)
        memcpy(argv + program_count, p->args, args_count * sizeof *argv);
    argv[program_count + args_count] = NULL;
    draft->argv = argv;
    draft->args_count = args_count;
    return true;
}

/* --- One block --- */

static void pack_definition(struct packer *packer, struct definition *definition)
{
    struct identity *identity = &definition->identity;
    for (size_t row = 0; row < KEY_COUNT; row++)
        if (keys[row].kind->pack)
            keys[row].kind->pack(packer, (char *)definition + keys[row].offset);
    pack_array(packer, &identity->groups, identity->group_count * sizeof *identity->groups);
    pack_text(packer, &identity->user_name);
    pack_text(packer, &identity->home);
    pack_text(packer, &identity->shell);
    pack_text(packer, &definition->name);
    pack_text(packer, &definition->path);
    pack_text(packer, &definition->logs);
}

static int make_block(struct definition *draft, struct definition **ret)
{
    struct definition *block = malloc(definition_size(draft));
    if (!block)
        return -ENOMEM;
    *block = *draft;
    struct packer packer = {.next = (char *)(block + 1), .bytes = sizeof *block};
    pack_definition(&packer, block);
    *ret = block;
    return 0;
}

size_t definition_size(const struct definition *definition)
{
    struct packer counter = {.bytes = sizeof *definition};
    pack_definition(&counter, (struct definition *)definition); /* counting changes nothing */
    return counter.bytes;
}

void definition_destroy(struct definition *definition)
{
    free(definition);
}

/* --- The whole --- */

static void parse_root(struct parse *p, const struct node *root)
{
    const uint64_t who = KEY_BIT(KEY_USER) | KEY_BIT(KEY_GROUP) | KEY_BIT(KEY_GROUPS);
    uint64_t good = parse_keys(p, root), there = 0;

    for (size_t row = 0; row < KEY_COUNT; row++)
        if (given(p, row))
            there |= KEY_BIT(row);
    p->draft.keys_given = there;
    if (p->draft.type == TYPE_TARGET) {
        check_target(p);
    } else {
        if (!(there & ~good & who))
            parse_identity(p);
        if (!(there & ~good & KEY_BIT(KEY_TYPE))) {
            check_program(p, root);
            check_forks(p);
        }
        parse_check_ready(p);
    }
    check_terminal(p);
    fill_defaults(p);
    if (!p->failed)
        join_command(p);
}

/* What is wrong before a byte is parsed. Returns false when an error was noted. */
static bool check_source(const struct source *source, struct error_list *errors)
{
    const char *problem = service_name_problem(source->name, strlen(source->name), NULL);
    if (source->problem)
        error_list_add(errors, source->path, 0, 0, "%s", source->problem);
    else if (source->masked)
        error_list_add(errors, source->path, 0, 0, "is empty, so that the service is masked");
    else if (problem)
        error_list_add(errors, source->path, 0, 0, "the name '%.60s' %s", source->name, problem);
    else if (source->size > SOURCE_MAX_BYTES)
        error_list_add(errors, source->path, 0, 0, "has %zu bytes; at most %u are read",
                       source->size, SOURCE_MAX_BYTES);
    else
        return true;
    return false;
}

/* Errors of YAML come before those of keys; a person reads a file from its top. */
static void sort_errors(struct error *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct error error = list[i];
        size_t at = i;
        for (; at && (list[at - 1].line > error.line ||
                      (list[at - 1].line == error.line && list[at - 1].column > error.column));
             at--)
            list[at] = list[at - 1];
        list[at] = error;
    }
}

static int parse_text(struct parse *p)
{
    const struct node *root;
    size_t before = p->errors->count;
    int failed = nodes_parse(&p->text, p->arena, ERRORS_PER_FILE, &root, p->errors);
    if (failed == -ENOMEM || (failed && !root))
        return failed;
    p->failed = failed;
    p->errors_left = ERRORS_PER_FILE - (unsigned)(p->errors->count - before);
    if (!root || node_is_nothing(root)) {
        error_list_add(p->errors, p->text.path, 1, 1,
                       "the file says nothing: write at least 'exec: /path/of/program'");
        return -EINVAL;
    }
    if (root->kind != NODE_MAPPING)
        parse_error(p, root, "a service file is a mapping, not %s: write 'exec: /path/of/program'",
                    node_kind_name(root));
    else
        parse_root(p, root);
    if (p->errors->count > before)
        sort_errors(p->errors->list + before, p->errors->count - before);
    return p->no_memory ? -ENOMEM : p->failed ? -EINVAL : 0;
}

/* A journal of its own for each instance of a template that is a folder with `logs` in it. */
static bool own_logs(struct parse *p)
{
    size_t size = strlen(p->source->logs) + strlen(p->source->name) + 2;
    char *logs = arena_take_bytes(p->arena, size);
    if (!logs)
        return parse_no_memory(p);
    text_format(logs, size, "%s/%s", p->source->logs, p->source->name);
    p->draft.logs = logs;
    return true;
}

static int parse_source(const struct source *source, bool of_template, struct definition **ret,
                        struct error_list *errors)
{
    struct arena arena = {0};
    struct parse p = {.source = source,
                      .text = {source->path, source->text, source->size},
                      .arena = &arena,
                      .errors = errors,
                      .draft = defaults};
    p.draft.name = source->name;
    p.draft.path = source->path;
    p.draft.logs = source->logs;
    int failed = check_source(source, errors) ? parse_text(&p) : -EINVAL;
    if (!failed && of_template && source->logs && !own_logs(&p))
        failed = -ENOMEM;
    if (!failed)
        failed = make_block(&p.draft, ret);
    arena_finish(&arena);
    return failed && errors->no_memory ? -ENOMEM : failed;
}

int definition_parse(const struct source *source, struct definition **ret,
                     struct error_list *errors)
{
    return parse_source(source, false, ret, errors);
}

/* --- Templates --- */

int definition_parse_instance(const struct source *template, const char *name,
                              struct definition **ret, struct error_list *errors)
{
    struct source source = *template;
    source.name = name;
    return parse_source(&source, true, ret, errors);
}

static int add_all(struct error_list *to, const struct error_list *from)
{
    int failed = 0;
    for (size_t i = 0; i < from->count && !failed; i++)
        failed = error_list_add(to, from->list[i].file, from->list[i].line, from->list[i].column,
                                "%s", from->list[i].message);
    return failed;
}

/* What an instance is called decides whether "127.0.0.1:%i" is an address: a template is good when
 * it is for any of these, and bad for what is wrong with it in the best case. */
int definition_parse_template(const struct source *template, struct definition **ret,
                              struct error_list *errors)
{
    static const char *const examples[] = {DEFINITION_EXAMPLE_INSTANCE, "61999", "127.0.0.1"};
    char name[SERVICE_NAME_MAX_BYTES + 1];
    struct error_list best = {0};
    int failed = -EINVAL;

    for (size_t i = 0; i < sizeof examples / sizeof *examples && failed == -EINVAL; i++) {
        struct error_list list = {0};
        text_format(name, sizeof name, "%s%s", template->name, examples[i]);
        failed = definition_parse_instance(template, name, ret, &list);
        if (failed == -EINVAL && (i == 0 || list.count < best.count)) {
            struct error_list swap = best;
            best = list;
            list = swap;
        }
        error_list_finish(&list);
    }
    if (failed == -EINVAL && add_all(errors, &best) < 0)
        failed = -ENOMEM;
    error_list_finish(&best);
    return failed;
}
