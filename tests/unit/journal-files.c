/* Journals for the tests of their faults. */
#include "journal-files.h"
#include "base/text.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 4 /* a batch is tried again, as the journal does it */

char top[] = "/tmp/test-faults-XXXXXX", logs[64], fallback[64];
struct journal_store store;
struct journal_file file;
uint64_t now_ns;

/* ---- the folder ---------------------------------------------------------------------------- */

static void empty_folder(const char *path)
{
    char inside[PATH_MAX];
    struct dirent *entry;
    DIR *stream = opendir(path);
    while (stream && (entry = readdir(stream))) {
        text_format(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(inside) < 0) {
            empty_folder(inside);
            rmdir(inside);
        }
    }
    if (stream)
        closedir(stream);
}

void begin(void)
{
    if (strstr(top, "XXXXXX")) {
        if (!mkdtemp(top))
            abort();
        text_format(logs, sizeof logs, "%s/logs", top);
        text_format(fallback, sizeof fallback, "%s/fallback", top);
    }
    empty_folder(top);
    journal_parse_time(TIME, &now_ns);
    mkdir(logs, 0755);
    journal_store_init(&store, logs, fallback);
    journal_store_open(&store);
    journal_file_init(&file, "web", NULL);
}

void finish(void)
{
    journal_file_finish(&file);
    journal_store_finish(&store);
    empty_folder(top);
}

__attribute__((destructor)) static void remove_top(void)
{
    if (*logs)
        rmdir(top);
}

void write_file(const char *folder, const char *leaf, int from, int until)
{
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/web", folder);
    mkdir(folder, 0755);
    mkdir(path, 0755);
    text_format(path, sizeof path, "%s/web/%s", folder, leaf);
    FILE *stream = fopen(path, "ae");
    for (int i = from; i < until; i++)
        fprintf(stream, PREFIX "%d\n", i);
    fclose(stream);
}

bool is_there(const char *folder, const char *leaf)
{
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/web/%s", folder, leaf);
    return access(path, F_OK) == 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

int read_until;
bool any_order;

int read_numbers(struct journal_reader *reader, int from)
{
    struct journal_entry entry;
    bool seen[LINES + 1] = {false};
    long last = -1;
    int got;
    while ((got = journal_reader_next(reader, &entry)) == 1) {
        if (entry.mark == JOURNAL_EVENT_MARK || !entry.bytes)
            continue;
        long number = strtol(entry.text, NULL, 10);
        if (any_order && number >= 0 && number <= LINES) {
            CHECK(!seen[number]);
            seen[number] = true;
        } else if (reader->loss_count) { /* what is missing is told */
            CHECK(number > last);
            from = (int)number;
        } else {
            CHECK_NUMBER(number, from);
        }
        from++;
        last = number;
    }
    read_until = from;
    return got < 0 ? got : reader->loss_count ? -EIO : from;
}

int read_all(const char *folder, bool ahead)
{
    char path[PATH_MAX];
    struct journal_reader reader;
    text_format(path, sizeof path, "%s/web", folder);
    int result = journal_reader_open(&reader, path);
    if (result == 0) {
        reader.reads_ahead = ahead;
        result = read_numbers(&reader, 0);
    }
    journal_reader_close(&reader);
    return result;
}

/* ---- writing ------------------------------------------------------------------------------- */

bool write_line(int number)
{
    char line[100];
    text_format(line, sizeof line, PREFIX "%d\n", number);
    size_t length = strlen(line), done = 0;
    for (int i = 0; done < length && i < TRIES; i++) {
        struct iovec piece = {line + done, length - done};
        if (journal_store_prepare(&store, &file, done > 0, now_ns) == 0)
            done += journal_store_write(&store, &file, &piece, 1, now_ns);
        CHECK(done == 0 || done == length);
        CHECK(done == length || file.error < 0);
        now_ns += NS_PER_SEC; /* it is looked at again whether the file is still the same one */
    }
    return done == length;
}
