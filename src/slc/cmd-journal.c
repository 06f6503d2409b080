/* slc journal [NAME…]: what services printed, and what happened to them, from the journals' files;
 * of several services in the order of time. A launcher is asked first to have everything written,
 * and where the files are; without one slc looks below --logs. */
#include "slc/client.h"
#include "slc/log-merge.h"
#include "slc/render.h"

#include "journal/show.h"
#include "service/name.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

static const struct option_row options[] = {
    {"lines", 'n', false, OPTION_TEXT, offsetof(struct options, lines), "N",
     "only the newest N lines"},
    {"output", 'o', false, OPTION_TEXT, offsetof(struct options, output), "FORM",
     "short: with time and level; cat: the output alone; json"},
    {"follow", 'f', true, OPTION_FLAG, 0, NULL, ""},
    {"since", 0, true, OPTION_TEXT, 0, "TIME", ""},
    {"until", 0, true, OPTION_TEXT, 0, "TIME", ""},
    {"grep", 'g', true, OPTION_TEXT, 0, "REGEX", ""},
    {"priority", 'p', true, OPTION_TEXT, 0, "LEVEL", ""},
    {"boot", 'b', true, OPTION_FLAG, 0, NULL, ""},
    {NULL},
};

enum form { FORM_SHORT, FORM_CAT, FORM_JSON };

struct journal {
    const struct slc *slc;
    enum form form;
    bool limited;
    uint64_t lines;
    char *logs;       /* the launcher's, or NULL */
    json_t *services; /* from the launcher: name → folder of its journal */
    struct log_merge merge;
    bool terminal;
};

/* ---- what is asked for ---------------------------------------------------------------------- */

static int read_options(struct journal *journal)
{
    static const char *const forms[] = {"short", "cat", "json"};
    const struct options *given = &journal->slc->options;
    const char *form = given->output ? given->output : given->json ? "json" : "short";
    size_t i = 0;

    while (i < sizeof forms / sizeof *forms && strcmp(forms[i], form) != 0)
        i++;
    if (i == sizeof forms / sizeof *forms)
        return slc_usage("-o", "\"%s\" is none of short, cat and json", form);
    journal->form = (enum form)i;
    journal->limited = given->lines != NULL;
    if (given->lines && text_parse_unsigned(given->lines, &journal->lines) < 0)
        return slc_usage("-n", "\"%s\" is no number of lines", given->lines);
    for (size_t word = 0; word < journal->slc->word_count; word++) {
        const char *name = journal->slc->words[word], *problem;
        if (service_name_is_journal(name))
            continue;
        problem = service_name_problem(name, strlen(name), NULL);
        if (problem) {
            slc_complain(name, "there is no such service: the name %s", problem);
            return SLC_NO_SERVICE;
        }
    }
    return SLC_DONE;
}

/* ---- what the launcher knows ---------------------------------------------------------------- */

/* Has everything written, and learns where. Without a launcher there is nothing to learn. */
static bool drain(struct journal *journal)
{
    const struct varlink_reply *reply;
    struct client client;
    bool answered;

    client_begin(&client, journal->slc, "DrainJournal", false);
    answered = client_ask_quietly(&client, &reply) == SLC_DONE;
    if (answered) {
        const char *logs = json_string_value(json_object_get(reply->parameters, "logs"));
        journal->logs = logs ? strdup(logs) : NULL;
        if (!json_is_true(json_object_get(reply->parameters, "drained")))
            slc_complain("journal",
                         "the journal is slow to write: the newest lines may be missing");
    }
    client_finish(&client);
    return answered;
}

/* Learns the folder of the journal of this service, NULL: of all. One that the launcher does not
 * know may have left a journal all the same. */
static void learn_folder(struct journal *journal, const char *name)
{
    const struct varlink_reply *reply;
    struct client client;
    struct json_writer *parameters = client_begin(&client, journal->slc, "Status", false);

    if (name)
        json_add_strings(parameters, "names", (const char *const[]){name, NULL});
    if (client_ask_quietly(&client, &reply) == SLC_DONE) {
        const json_t *services = json_object_get(reply->parameters, "services");
        for (size_t i = 0; i < json_array_size(services); i++) {
            json_t *service = json_array_get(services, i);
            json_object_set(journal->services, name ? name : render_member(service, "name"),
                            service);
        }
    }
    client_finish(&client);
}

/* ---- which files ---------------------------------------------------------------------------- */

static const char *logs_of(const struct journal *journal)
{
    return journal->logs ? journal->logs : journal->slc->options.logs;
}

/* Opens the journal of that name. Returns what to exit with after it has said why. */
static int open_one(struct journal *journal, const char *name)
{
    const json_t *service = json_object_get(journal->services, name);
    const char *folder = render_member(service, "journal");
    const char *real = render_member(service, "name");
    int r = log_merge_open(&journal->merge, logs_of(journal), journal->slc->options.runtime,
                           *real ? real : name, *folder ? folder : NULL);

    /* Not every machine's kernel, or programs without a service, have said anything. */
    bool may_be_empty =
        service || (service_name_is_journal(name) && strcmp(name, SERVICE_NAME_RESERVED) != 0);
    if (r == 0 || (r == -ENOENT && may_be_empty))
        return SLC_DONE;
    if (r == -ENOENT) {
        slc_complain(name, "there is no such service, and no journal of it in %s",
                     logs_of(journal));
        return SLC_NO_SERVICE;
    }
    if (r == -EACCES || r == -EPERM) {
        slc_complain(name, "not permitted: its journal is for root and the group adm");
        return SLC_NOT_PERMITTED;
    }
    slc_complain(name, "its journal cannot be read: %s", strerror(-r));
    return SLC_FAILED;
}

/* Adds every name that has a folder of its own. */
static void find_folders(struct journal *journal)
{
    DIR *folder = opendir(logs_of(journal));
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.' && !json_object_get(journal->services, entry->d_name))
            json_object_set_new(journal->services, entry->d_name, json_object());
    if (folder)
        closedir(folder);
}

static int open_all(struct journal *journal)
{
    int status = SLC_DONE;
    const char *name;
    json_t *service;

    find_folders(journal);
    json_object_foreach(journal->services, name, service)
    {
        int one = open_one(journal, name);
        if (status == SLC_DONE)
            status = one;
    }
    if (!journal->merge.count && status == SLC_DONE && !json_object_size(journal->services)) {
        slc_complain("journal", "there are no journals in %s", logs_of(journal));
        status = SLC_FAILED;
    }
    return status;
}

static int open_named(struct journal *journal)
{
    const struct slc *slc = journal->slc;
    int status = SLC_DONE;

    for (size_t i = 0; i < slc->word_count; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again |= !strcmp(slc->words[i], slc->words[j]);
        int one = again ? SLC_DONE : open_one(journal, slc->words[i]);
        if (status == SLC_DONE)
            status = one;
    }
    return status;
}

/* ---- printing ------------------------------------------------------------------------------- */

static int show_cat(struct buffer *out, const struct journal *journal,
                    const struct journal_entry *entry)
{
    int r = journal->terminal ? journal_show_escaped(out, entry->text, entry->bytes)
                              : buffer_append(out, entry->text, entry->bytes);
    return r < 0 ? r : buffer_append(out, "\n", 1);
}

static int show(struct buffer *out, const struct journal *journal, const char *name,
                const struct journal_entry *entry)
{
    switch (journal->form) {
    case FORM_CAT:
        return show_cat(out, journal, entry);
    case FORM_JSON:
        return journal_show_json(out, name, entry);
    case FORM_SHORT:
        return journal_show_short(out, journal->slc->word_count == 1 ? NULL : name, entry);
    }
    return -EINVAL;
}

static int print(struct journal *journal)
{
    const struct journal_entry *entry;
    struct buffer out = {0};
    const char *name;
    int r;

    while ((r = log_merge_next(&journal->merge, &name, &entry)) > 0 && !ferror(stdout)) {
        r = show(&out, journal, name, entry);
        if (r < 0)
            break;
        fwrite(buffer_bytes(&out), 1, buffer_used(&out), stdout);
        buffer_consume(&out, buffer_used(&out));
    }
    buffer_finish(&out);
    if (r < 0)
        slc_complain("journal", "%s", strerror(-r));
    return r < 0 ? SLC_FAILED : SLC_DONE;
}

/* Many journals are two files each. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(struct slc *slc)
{
    struct journal journal = {
        .slc = slc, .services = json_object(), .terminal = isatty(STDOUT_FILENO)};
    int status = read_options(&journal), printed;

    if (status == SLC_DONE) {
        if (drain(&journal) && !slc->word_count)
            learn_folder(&journal, NULL);
        else if (journal.logs)
            for (size_t i = 0; i < slc->word_count; i++)
                if (!service_name_is_journal(slc->words[i]))
                    learn_folder(&journal, slc->words[i]);
        if (slc->word_count != 1)
            raise_descriptor_limit();
        journal.merge.only_output = journal.form == FORM_CAT;
        status = slc->word_count ? open_named(&journal) : open_all(&journal);
        printed = log_merge_begin(&journal.merge, journal.limited ? journal.lines : UINT64_MAX);
        if (printed < 0)
            slc_complain("journal", "%s", strerror(-printed));
        printed = printed < 0 ? SLC_FAILED : slc->options.quiet ? SLC_DONE : print(&journal);
        status = status == SLC_DONE ? printed : status;
    }
    log_merge_finish(&journal.merge);
    json_decref(journal.services);
    free(journal.logs);
    return status;
}

const struct verb verb_journal = {
    .name = "journal",
    .arguments = "[NAME…]",
    .most = ANY_NUMBER,
    .options = options,
    .help = "what services printed, of all without a name",
    .details =
        "Without -n everything. The name conit stands for conit's own messages, kernel\n"
        "for the kernel's, and syslog for what programs say that are no service's. A + before\n"
        "the level marks what happened to a service, as opposed to what it printed. With\n"
        "--json or -o json one object a line.",
    .run = run,
};
