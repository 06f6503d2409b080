/* Journals whose system calls and allocations fail, one after the other: no line is lost or there
 * twice, none is torn, and a reader says the error or reads all. */
#include "base/cleanup.h"
#include "base/text.h"
#include "faults.h"
#include "journal/compress.h"
#include "journal/reader.h"
#include "journal/store.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIME   "2026-11-22T13:54:00.123456Z"
#define STEM   "20261122T135400.123456Z"
#define PREFIX TIME " info "
#define LINES  40
#define TRIES  4 /* a batch is tried again, as the journal does it */

static char top[] = "/tmp/test-faults-XXXXXX", logs[64], fallback[64];
static struct journal_store store;
static struct journal_file file;
static uint64_t now_ns;

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

static void begin(void)
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

static void finish(void)
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

static void write_file(const char *folder, const char *leaf, int from, int until)
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

static bool is_there(const char *folder, const char *leaf)
{
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/web/%s", folder, leaf);
    return access(path, F_OK) == 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int read_until; /* the number after the last that was read */
static bool any_order; /* what is read is there once, in whatever order */

/* Reads on; every entry has to be the next number. Returns the number after the last, or -errno. */
static int read_numbers(struct journal_reader *reader, int from)
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

/* All of the journal: the numbers from 0 on. Returns how many there are, or -errno. */
static int read_all(const char *folder, bool ahead)
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

/* Writes one line; what is not written is tried again. Returns whether it is written whole. */
static bool write_line(int number)
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

static void write_and_rotate(void)
{
    begin();
    file.quota.max_size_bytes = 300;
    file.quota.keep = 100;
    faults_begin();
    for (int i = 0; i < LINES; i++)
        CHECK(write_line(i));
    faults_end();
    /* In the fallback are lines of a time when the right place was not to be had, and before that
     * is known again: the next open brings them along. */
    journal_file_finish(&file);
    CHECK(write_line(LINES));
    CHECK(!is_there(fallback, ""));
    CHECK_NUMBER(read_all(logs, false), LINES + 1);
    finish();
}

TEST(no_line_is_lost_or_written_twice_whichever_call_fails)
{
    static const int errors[] = {EIO, EMFILE, EROFS};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        CHECK(fault_each(FAULT_CALLS, errors[i], write_and_rotate) > LINES);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, write_and_rotate) >= 3);
}

/* As long as nothing works no line may be half there. */
static void write_until_it_fails(void)
{
    begin();
    file.quota.max_size_bytes = 300;
    file.quota.keep = 100;
    faults_begin();
    int written = 0;
    while (written < LINES && write_line(written))
        written++;
    faults_end();
    CHECK(written == LINES || fault_happened());
    journal_file_finish(&file);
    CHECK(write_line(written));
    CHECK_NUMBER(read_all(logs, false), written + 1);
    finish();
}

TEST(a_place_that_refuses_is_no_place_for_whatever_reason)
{
    static const int errors[] = {EACCES, EPERM, ENOTDIR, ELOOP, EISDIR, EINVAL, ENXIO};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        CHECK(fault_each_of("open64", FAULT_CALLS, errors[i], write_and_rotate) > 2);
}

static size_t write_piece(const char *text, bool continues)
{
    struct iovec piece = {(char *)text, strlen(text)};
    if (journal_store_prepare(&store, &file, continues, now_ns) < 0)
        return 0;
    return journal_store_write(&store, &file, &piece, 1, now_ns);
}

TEST(a_line_goes_on_in_a_file_that_was_closed_and_is_marked_where_its_beginning_is_gone)
{
    char path[PATH_MAX];
    begin();
    CHECK(write_piece(PREFIX "0", false) > 0);
    journal_file_finish(&file);
    CHECK(write_piece(" whole\n", true) > 0);
    CHECK(write_piece(PREFIX "1", false) > 0);
    journal_file_finish(&file);
    CHECK(write_piece(PREFIX "2\n", false) > 0); /* another one: the first is ended */
    CHECK_NUMBER(read_all(logs, false), 3);
    CHECK(write_piece(PREFIX "3", false) > 0);
    journal_file_finish(&file);
    text_format(path, sizeof path, "%s/web/current", logs);
    CHECK_NUMBER(unlink(path), 0);
    CHECK(write_piece(" its end\n", true) > 0);
    char text[200] = "";
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    CHECK_TEXT(text, TIME " -info  its end\n");
    finish();
}

TEST(without_a_fallback_a_place_that_is_none_is_said)
{
    begin();
    CHECK_NUMBER(rmdir(logs), 0);
    close(open(logs, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    journal_store_finish(&store);
    journal_store_init(&store, logs, NULL);
    journal_store_open(&store);
    CHECK_NUMBER(journal_store_prepare(&store, &file, false, now_ns), -ENOTDIR);
    CHECK(journal_store_probe(&store) < 0);
    CHECK(!journal_store_has_fallback(&store) && !journal_store_is_elsewhere(&store, &file));
    unlink(logs);
    CHECK(write_line(0));
    CHECK_NUMBER(read_all(logs, false), 1);
    finish();
}

/* What a power cut has left at the end of a file: zeros in place of lines. */
static bool in_line;

static void cut_zeros(void)
{
    static const char zeros[3000];
    char path[PATH_MAX];
    begin();
    CHECK(write_line(0));
    text_format(path, sizeof path, "%s/web/current", logs);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (in_line)
        CHECK_NUMBER(write(fd, PREFIX "1", sizeof PREFIX), sizeof PREFIX);
    CHECK_NUMBER(write(fd, zeros, sizeof zeros), sizeof zeros);
    journal_file_finish(&file);
    faults_begin();
    bool written = write_line(2);
    faults_end();
    journal_file_finish(&file);
    CHECK(written);
    /* Where the zeros could not be cut off they are a line, of no time. */
    if (!fault_happened())
        CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(zeros_at_the_end_are_cut_off_or_stand_in_a_line_of_their_own)
{
    in_line = true;
    CHECK(fault_each(FAULT_CALLS, EIO, cut_zeros) >= 5);
    CHECK(fault_each_of("pread64", FAULT_CALLS | FAULT_FOR_GOOD, EIO, cut_zeros) >= 1);
    CHECK(fault_each_of("ftruncate64", FAULT_CALLS | FAULT_FOR_GOOD, EIO, cut_zeros) >= 1);
}

TEST(what_never_works_again_leaves_whole_lines)
{
    CHECK(fault_each(FAULT_CALLS | FAULT_FOR_GOOD, EIO, write_until_it_fails) > LINES);
    CHECK(fault_each_of("writev", FAULT_CALLS | FAULT_FOR_GOOD, ENOSPC, write_until_it_fails) > 5);
}

/* ---- paths and groups ---------------------------------------------------------------------- */

/* A folder with a path as long as none may be: each of the things that are done says so, or does
 * nothing. */
TEST(folders_with_too_long_a_path_are_said_and_nothing_is_done_in_them)
{
    static char too_long[2 * PATH_MAX];
    struct journal_measure found = {0};
    struct journal_work work;
    int fd = -1, folder = -1;
    memset(too_long, 'x', sizeof too_long - 1);
    for (size_t cut = 0; cut < 2; cut++) {
        too_long[0] = '/';
        too_long[cut ? sizeof too_long - 1 : PATH_MAX - 4] = 0;
        begin();
        journal_store_finish(&store);
        journal_store_init(&store, too_long, too_long);
        journal_store_open(&store);
        CHECK(journal_store_probe(&store) < 0);
        CHECK_NUMBER(journal_store_prepare(&store, &file, false, now_ns), -ENAMETOOLONG);
        file.quota.max_age_s = 1;
        CHECK(!journal_store_is_old(&store, &file, now_ns));
        journal_store_tidy(&store, &file, now_ns, &work);
        CHECK(work.count == 0 && work.folder < 0);
        journal_store_measure(&store, &file, &found);
        CHECK(!found.sealed_bytes && !found.current_bytes);
        CHECK(!journal_store_is_elsewhere(&store, &file));
        CHECK(journal_store_rewind(&store, &file, &(const struct journal_cut){0}) <= 0);
        CHECK(journal_store_sync_fds(&store, &file, &fd, &folder) <= 0 && fd < 0 && folder < 0);
        finish();
    }
}

/* Where the group of what is made is not ours it is given to it; where it cannot be, it is root's.
 */
static void write_for_group(void)
{
    begin();
    store.group = getegid() + 1;
    store.makes_in_group = false;
    faults_begin();
    for (int i = 0; i < 3; i++)
        CHECK(write_line(i));
    faults_end();
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(what_cannot_be_given_to_the_group_is_written_all_the_same)
{
    CHECK(fault_each_of("chown", FAULT_CALLS, EPERM, write_for_group) >= 1);
    CHECK(fault_each_of("fchown", FAULT_CALLS, EPERM, write_for_group) >= 1);
}

static void open_store(void)
{
    begin();
    journal_store_finish(&store);
    journal_store_init(&store, logs, fallback);
    faults_begin();
    journal_store_open(&store);
    faults_end();
    CHECK(write_line(0));
    CHECK_NUMBER(read_all(logs, false), 1);
    finish();
}

TEST(a_store_without_a_group_or_a_descriptor_to_spare_writes)
{
    CHECK(fault_each(FAULT_CALLS, EMFILE, open_store) >= 2);
}

/* ---- from the fallback --------------------------------------------------------------------- */

static void come_back(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 2);
    write_file(logs, "current", 2, 4);
    write_file(fallback, "20261122T135500.000000Z.log", 4, 8);
    write_file(fallback, "20261122T135000.000000Z.log.zst.tmp", 90, 91); /* litter */
    write_file(fallback, "current", 8, 20);
    faults_begin();
    for (int i = 20; i < 23; i++)
        CHECK(write_line(i));
    faults_end();
    journal_file_finish(&file);
    CHECK(write_line(23));
    CHECK(!is_there(fallback, ""));
    /* Not knowing that there is something older, it has begun in the right place. */
    any_order = fault_happened() && strcmp(fault_call(), "access") == 0;
    CHECK_NUMBER(read_all(logs, false), 24);
    any_order = false;
    finish();
}

/* The fallback's `current` begins with what has come back before, all of it or a part, or with
 * something else. */
TEST(what_has_come_back_before_is_not_there_twice)
{
    static const struct {
        int from, until; /* lines in the right place */
        const char *more;
    } rows[] = {{0, 0, ""}, {0, 2, ""}, {0, 4, ""}, {0, 4, PREFIX "4"}, {0, 2, PREFIX "2"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[PATH_MAX];
        begin();
        write_file(logs, "current", rows[i].from, rows[i].until);
        write_file(fallback, "current", 2, 6);
        text_format(path, sizeof path, "%s/web/current", logs);
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        CHECK_NUMBER(write(fd, rows[i].more, strlen(rows[i].more)), strlen(rows[i].more));
        CHECK(write_line(6));
        journal_file_finish(&file);
        any_order = rows[i].until == 0; /* then the first two are nowhere */
        CHECK_NUMBER(read_all(logs, false), rows[i].until ? 7 : 5);
        any_order = false;
        finish();
    }
}

TEST(what_was_written_elsewhere_comes_back_in_order_whichever_call_fails)
{
    static const int errors[] = {EIO, EMFILE};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        CHECK(fault_each(FAULT_CALLS, errors[i], come_back) > 20);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, come_back) >= 1);
}

/* ---- the quota, and the way back ----------------------------------------------------------- */

static void keep_quota(void)
{
    struct journal_work work;
    begin();
    write_file(logs, STEM ".log", 90, 91);
    write_file(logs, "20261122T135401.000000Z.log", 0, 3);
    write_file(logs, "20261122T135402.000000Z.log", 3, 5);
    write_file(logs, "20261122T135403.000000Z.log.zst.tmp", 90, 91);
    write_file(logs, "current", 5, 6);
    file.quota.keep = 2;
    file.quota.max_age_s = 1000000000;
    faults_begin();
    journal_store_tidy(&store, &file, now_ns, &work);
    if (work.folder >= 0)
        close(work.folder);
    faults_end();
    CHECK(fault_happened() || work.count == 2);
    journal_store_tidy(&store, &file, now_ns, &work);
    CHECK_NUMBER(work.count, 2);
    if (work.folder >= 0)
        close(work.folder);
    CHECK(!is_there(logs, STEM ".log"));
    CHECK(!is_there(logs, "20261122T135403.000000Z.log.zst.tmp"));
    CHECK_NUMBER(read_all(logs, false), 6);
    finish();
}

TEST(what_the_quota_could_not_remove_is_removed_the_next_time)
{
    CHECK(fault_each(FAULT_CALLS, EIO, keep_quota) > 4);
    CHECK(fault_each(FAULT_CALLS, EMFILE, keep_quota) > 4);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, keep_quota) >= 1);
}

/* Writes a line that stays and a file and a half that are to be taken back. */
static struct journal_cut write_block(void)
{
    begin();
    CHECK(write_line(0));
    const struct journal_cut cut = {file.device, file.inode, file.size_bytes};
    CHECK(write_line(90));
    CHECK_NUMBER(journal_store_seal(&store, &file), 0);
    CHECK(write_line(91));
    return cut;
}

static void rewind_block(void)
{
    const struct journal_cut cut = write_block();
    faults_begin();
    int failed = journal_store_rewind(&store, &file, &cut);
    faults_end();
    CHECK(failed == 0 || fault_happened());
    CHECK(file.to_cut == (failed != 0));
    CHECK(write_line(1)); /* not before it is done */
    CHECK(!file.to_cut);
    CHECK_NUMBER(read_all(logs, false), 2);
    finish();
}

static void rewind_later(void)
{
    const struct journal_cut cut = write_block();
    file.cut = cut;
    file.to_cut = true;
    faults_begin();
    bool written = write_line(1);
    faults_end();
    CHECK(written || fault_happened());
    CHECK(written || write_line(1));
    journal_file_finish(&file); /* what is in the fallback is brought along by the next open */
    CHECK(write_line(2));
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

TEST(a_block_is_taken_back_whole_or_before_the_next_line)
{
    static const int errors[] = {EIO, EMFILE, EROFS};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        CHECK(fault_each(FAULT_CALLS, errors[i], rewind_block) > 4);
        CHECK(fault_each(FAULT_CALLS, errors[i], rewind_later) > 4);
    }
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, rewind_block) >= 1);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, rewind_later) >= 1);
}

static void sync_descriptors(void)
{
    int fd = -1, folder = -1;
    begin();
    CHECK(write_line(0));
    CHECK(file.is_new);
    faults_begin();
    int failed = journal_store_sync_fds(&store, &file, &fd, &folder);
    if (failed) { /* nothing of it, and the next one gets both */
        CHECK(fault_happened() && fd < 0 && folder < 0 && file.is_new);
        failed = journal_store_sync_fds(&store, &file, &fd, &folder);
    }
    journal_store_sync(&store, true);
    faults_end();
    CHECK_NUMBER(failed, 0);
    CHECK(fd >= 0 && !file.is_new && file.synced_bytes == file.size_bytes);
    close(fd);
    if (folder >= 0)
        close(folder);
    finish();
}

TEST(descriptors_to_sync_by_are_given_both_or_none)
{
    CHECK(fault_each(FAULT_CALLS, EMFILE, sync_descriptors) >= 3);
    CHECK(fault_each(FAULT_CALLS, EIO, sync_descriptors) >= 3);
}

static void measure(void)
{
    struct journal_measure found = {0};
    begin();
    write_file(logs, STEM ".log", 0, 5);
    write_file(fallback, "20261122T135402.000000Z.log", 5, 6);
    write_file(logs, "current", 6, 7);
    faults_begin();
    journal_store_measure(&store, &file, &found);
    faults_end();
    const uint64_t line = sizeof PREFIX + 1;
    CHECK(found.sealed_bytes <= 6 * line && found.current_bytes <= line);
    CHECK(fault_happened() || (found.sealed_bytes == 6 * line && found.current_bytes == line));
    finish();
}

TEST(what_cannot_be_measured_counts_for_nothing)
{
    CHECK(fault_each(FAULT_CALLS, EIO, measure) > 4);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, measure) >= 1);
}

/* ---- compressing --------------------------------------------------------------------------- */

static int compress(bool with_faults)
{
    char path[PATH_MAX];
    text_format(path, sizeof path, "%s/web", logs);
    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (with_faults)
        faults_begin();
    int failed = journal_compress(folder, STEM ".log");
    faults_end();
    return failed;
}

static void compress_once(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3000); /* some frames */
    int failed = compress(true);
    CHECK(failed == 0 || fault_happened());
    if (!failed)
        CHECK(is_there(logs, STEM ".log.zst"));
    else
        CHECK(is_there(logs, STEM ".log"));
    CHECK_NUMBER(read_all(logs, true), 3000);
    CHECK_NUMBER(compress(false), 0);
    CHECK(!is_there(logs, STEM ".log") && !is_there(logs, STEM ".log.zst.tmp"));
    CHECK_NUMBER(read_all(logs, true), 3000);
    finish();
}

/* Whose it is cannot be kept: it is for fewer then, and whole. */
static void compress_for_fewer(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3);
    CHECK_NUMBER(compress(true), 0);
    CHECK_NUMBER(read_all(logs, true), 3);
    finish();
}

TEST(a_file_that_is_compressed_is_whole_in_one_form_whichever_call_fails)
{
    CHECK(fault_each(FAULT_CALLS, EIO, compress_once) > 10);
    CHECK(fault_each(FAULT_CALLS, EWOULDBLOCK, compress_once) > 10);
    fault_each_of("fchown", FAULT_CALLS | FAULT_FOR_GOOD, EPERM, compress_for_fewer);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, compress_once) > 2);
}

TEST(what_is_no_sealed_file_is_not_compressed_and_stays)
{
    char path[PATH_MAX], other[PATH_MAX];
    begin();
    write_file(logs, STEM ".log", 0, 3);
    text_format(path, sizeof path, "%s/web", logs);
    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const char *const names[] = {"current", STEM ".log.zst", STEM ".log.zst.tmp", "../x",
                                        ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_NUMBER(journal_compress(folder, names[i]), -EINVAL);
    /* In its place, or in that of what it is to become: something else. */
    text_format(path, sizeof path, "%s/web/" STEM ".log", logs);
    text_format(other, sizeof other, "%s/web/other", logs);
    CHECK_NUMBER(rename(path, other), 0);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), 0); /* gone */
    CHECK_NUMBER(mkdir(path, 0755), 0);
    CHECK(journal_compress(folder, STEM ".log") < 0 && access(path, F_OK) == 0);
    CHECK_NUMBER(rmdir(path), 0);
    CHECK_NUMBER(rename(other, path), 0);
    text_format(other, sizeof other, "%s/web/" STEM ".log.zst.tmp", logs);
    CHECK_NUMBER(mkfifo(other, 0600), 0);
    AUTO_CLOSE int reader = open(other, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), -EINVAL);
    CHECK_NUMBER(unlink(other), 0);
    CHECK_NUMBER(journal_compress(folder, STEM ".log"), 0);
    CHECK_NUMBER(read_all(logs, false), 3);
    finish();
}

static void compress_interrupted(void)
{
    begin();
    write_file(logs, STEM ".log", 0, 3000);
    CHECK_NUMBER(compress(true), 0);
    CHECK(is_there(logs, STEM ".log.zst") && !is_there(logs, STEM ".log"));
    CHECK_NUMBER(read_all(logs, true), 3000);
    finish();
}

TEST(a_signal_while_it_reads_or_writes_does_no_harm_to_compressing)
{
    CHECK(fault_each_of("read", FAULT_CALLS, EINTR, compress_interrupted) >= 2);
    CHECK(fault_each_of("write", FAULT_CALLS, EINTR, compress_interrupted) >= 4);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Opens the compressed file; *ret_table is where its seek table begins. */
static int open_packed(off_t *ret_table)
{
    char path[PATH_MAX];
    unsigned char end[9]; /* how many frames, a descriptor, a magic number */
    text_format(path, sizeof path, "%s/web/" STEM ".log.zst", logs);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    CHECK_NUMBER(pread(fd, end, sizeof end, size - (off_t)sizeof end), sizeof end);
    *ret_table = size - (off_t)sizeof end - 8 - 8 * (end[0] | end[1] << 8);
    return fd;
}

static bool without_table; /* as other programs compress */

enum { packed = 4000 }; /* lines in the compressed file */

static void make_journal(void)
{
    begin();
    write_file(logs, STEM ".log", 0, packed);
    CHECK_NUMBER(compress(false), 0);
    if (without_table) {
        off_t table;
        AUTO_CLOSE int fd = open_packed(&table);
        CHECK_NUMBER(ftruncate(fd, table), 0);
    }
    write_file(logs, "20261122T135402.000000Z.log", packed, packed + 10);
    write_file(logs, "current", packed + 10, packed + 20);
}

static void read_forwards(void)
{
    make_journal();
    faults_begin();
    int result = read_all(logs, true);
    faults_end();
    CHECK(result == packed + 20 || (fault_happened() && result < 0));
    CHECK_NUMBER(read_all(logs, true), packed + 20);
    finish();
}

/* Each half made of what the calls give that are in the header. */
static void read_about(void)
{
    char path[PATH_MAX];
    struct journal_reader reader;
    struct journal_place place;
    make_journal();
    text_format(path, sizeof path, "%s/web", logs);
    faults_begin();
    int failed = journal_reader_open(&reader, path);
    if (!failed)
        failed = journal_reader_find_time(&reader, now_ns, &place);
    if (!failed)
        failed = journal_reader_find_end(&reader, now_ns, &place);
    if (!failed)
        failed = journal_reader_end(&reader, &place);
    if (!failed)
        failed = journal_reader_seek_last(&reader, 15);
    int read_to = failed ? failed : read_numbers(&reader, packed + 5);
    faults_end();
    CHECK(read_to == packed + 20 || (fault_happened() && read_to < 0));
    journal_reader_close(&reader);
    finish();
}

/* A rotation in the middle of following. */
static void follow(void)
{
    char path[PATH_MAX], to[PATH_MAX];
    struct journal_reader reader;
    begin();
    write_file(logs, "current", 0, 10);
    text_format(path, sizeof path, "%s/web", logs);
    CHECK_NUMBER(journal_reader_open(&reader, path), 0);
    CHECK_NUMBER(read_numbers(&reader, 0), 10);
    text_format(path, sizeof path, "%s/web/current", logs);
    text_format(to, sizeof to, "%s/web/%s", logs, STEM ".log");
    CHECK_NUMBER(rename(path, to), 0);
    write_file(logs, "current", 10, 20);
    text_format(path, sizeof path, "%s/web", logs);
    faults_begin();
    int failed = journal_reader_refresh(&reader, path);
    faults_end();
    CHECK(failed == 0 || (failed < 0 && fault_happened()));
    if (failed)
        CHECK_NUMBER(journal_reader_refresh(&reader, path), 0);
    CHECK_NUMBER(read_numbers(&reader, 10), 20);
    journal_reader_close(&reader);
    finish();
}

TEST(a_reader_reads_all_or_says_why_not)
{
    for (int i = 0; i < 2; i++) {
        without_table = i;
        CHECK(fault_each(FAULT_CALLS, EIO, read_forwards) > 10);
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_forwards) > 5);
        CHECK(fault_each(FAULT_CALLS, EIO, read_about) > 10);
        CHECK(fault_each(FAULT_MEMORY, ENOMEM, read_about) > 5);
    }
    without_table = false;
}

static void read_interrupted(void)
{
    make_journal();
    faults_begin();
    CHECK_NUMBER(read_all(logs, true), packed + 20);
    faults_end();
    finish();
}

TEST(a_signal_while_it_reads_does_no_harm_to_a_reader)
{
    without_table = true;
    CHECK(fault_each_of("read", FAULT_CALLS, EINTR, read_interrupted) >= 1);
    without_table = false;
}

/* Each byte of the table as it is not: what does not fit is read as a file without a table. */
TEST(a_seek_table_that_is_damaged_costs_no_line)
{
    static const unsigned char changes[] = {0x01, 0x80, 0xff, 0x03};
    make_journal();
    off_t table;
    AUTO_CLOSE int fd = open_packed(&table);
    const off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = table; at < size; at++)
        for (size_t i = 0; i < sizeof changes; i++) {
            unsigned char byte, changed;
            CHECK_NUMBER(pread(fd, &byte, 1, at), 1);
            changed = byte ^ changes[i];
            CHECK_NUMBER(pwrite(fd, &changed, 1, at), 1);
            read_until = 0;
            int result = read_all(logs, true); /* of a damaged end it says so, behind all lines */
            if ((result != packed + 20 && result != -EIO) || read_until != packed + 20)
                fprintf(stderr, "byte %d of the table: %02x\n", (int)(at - table), changed);
            CHECK(result == packed + 20 || result == -EIO);
            CHECK_NUMBER(read_until, packed + 20);
            CHECK_NUMBER(pwrite(fd, &byte, 1, at), 1);
        }
    finish();
}

TEST(following_goes_on_where_it_was_whichever_call_fails)
{
    CHECK(fault_each(FAULT_CALLS, EIO, follow) > 5);
    CHECK(fault_each(FAULT_MEMORY, ENOMEM, follow) > 0);
}
