/* Init's record and its looks at the kernel, each call of which fails in turn: it goes on with what
 * there is, says what it cannot do, and keeps no descriptor. */
#include "base/file.h"
#include "faults.h"
#include "init/container.h"
#include "init/execute.h"
#include "init/held.h"
#include "init/lines.h"
#include "init/processes.h"
#include "init/record.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct record record;
static char said[200];
static struct text why;

static void create(void)
{
    faults_begin();
    record_create(&record);
    faults_end();
    CHECK(record.kept != NULL);
    CHECK(record.fd >= 0 || fault_happened());
    CHECK_NUMBER(record.kept->own.record_fd, record.fd);
    CHECK_NUMBER(record.kept->head.version, RECORD_VERSION);
    record.kept->held_table[KEY_MAX - 1] = 7; /* also where it is memory of our own */
    CHECK_NUMBER(record.kept->held_table[KEY_MAX - 1], 7);
    record.kept->held_table[KEY_MAX - 1] = 0;
    struct record closed = record;
    record_close(&closed);
}

static void copy(void)
{
    struct record copied;
    record_create(&record);
    record.kept->held_table[300000] = 4;
    faults_begin();
    int fd = record_copy(&record);
    faults_end();
    CHECK(fd >= 0 ? !fault_happened() : fd == -EIO);
    if (fd >= 0) {
        text_init(&why, said, sizeof said);
        CHECK_NUMBER(record_open(&copied, fd, &why), 0);
        CHECK_NUMBER(copied.kept->held_table[300000], 4);
        record_close(&copied);
    }
    record_close(&record);
}

/* What it opens is its own layout, or one that says it is of another version, which is read piece
 * by piece. */
static bool of_another_version;

static void open_again(void)
{
    struct record again;
    record_create(&record);
    record.kept->own.container = 1;
    if (of_another_version)
        record.kept->head.version++;
    int fd = dup(record.fd);
    text_init(&why, said, sizeof said);
    faults_begin();
    int failed = record_open(&again, fd, &why);
    faults_end();
    if (failed) { /* why is said, and the descriptor is as it was */
        CHECK(fault_happened() && said[0]);
        CHECK_NUMBER(fcntl(fd, F_GETFD), 0);
        close(fd);
    } else {
        CHECK_NUMBER(again.kept->own.container, 1);
        if (again.fd != fd) { /* a new one: the former stays open, to go back with */
            CHECK_NUMBER(again.kept->upgrade.former_record_fd, fd);
            close(fd);
        }
        record_close(&again);
    }
    record_close(&record);
}

TEST(a_record_is_made_whatever_fails)
{
    CHECK(fault_each(FAULT_CALLS, ENOMEM, create) >= 4);
    CHECK(fault_each(FAULT_CALLS, EMFILE, create) >= 4);
}

TEST(a_copy_is_whole_or_there_is_none)
{
    CHECK(fault_each(FAULT_CALLS, EIO, copy) >= 4);
}

TEST(a_record_that_cannot_be_opened_is_left_as_it_was)
{
    CHECK(fault_each(FAULT_CALLS, EIO, open_again) >= 3);
    of_another_version = true;
    CHECK(fault_each(FAULT_CALLS, EIO, open_again) >= 5);
    of_another_version = false;
}

/* ---- looks at the kernel ------------------------------------------------------------------- */

static size_t visited;

static void visit(const struct process *process, void *context)
{
    (void)context;
    CHECK(process->name[0]);
    visited++;
}

static void walk(void)
{
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    processes_use(proc);
    visited = 0;
    faults_begin();
    int count = processes_walk(visit, NULL);
    faults_end();
    CHECK(count < 0 ? count == -EIO && fault_happened() : (size_t)count == visited);
    processes_use(-1);
    close(proc);
}

TEST(processes_that_cannot_be_looked_at_are_passed_over)
{
    CHECK(fault_each_of("openat64", FAULT_CALLS, EIO, walk) > 1);
    CHECK(fault_each_of("read", FAULT_CALLS, EIO, walk) > 1);
}

/* Never taken for the machine because something could not be read. */
static void detect(void)
{
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    faults_begin();
    bool by_folder = container_detect(proc), by_path = container_detect(-1);
    faults_end();
    CHECK(by_folder && by_path);
    close(proc);
}

TEST(where_the_namespace_cannot_be_told_it_is_a_container)
{
    char link[64] = "";
    if (readlink("/proc/self/ns/pid", link, sizeof link - 1) > 0 &&
        container_is_initial_namespace(link))
        return; /* the second question would change something here */
    CHECK_NUMBER(fault_each(FAULT_CALLS, EIO, detect), 2);
}

static void note_self(void)
{
    static struct kept kept;
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        kept.own.path[0] = '?';
        faults_begin();
        execute_note_self(&kept, i ? proc : -1);
        faults_end();
        CHECK(kept.own.path[0] == '/' || (fault_happened() && !kept.own.path[0]));
        CHECK(kept.own.exe_fd >= 16 || (fault_happened() && kept.own.exe_fd == -1));
        if (kept.own.exe_fd >= 0)
            close(kept.own.exe_fd);
    }
    close(proc);
}

TEST(what_init_was_executed_from_is_known_or_noted_as_not)
{
    CHECK(fault_each(FAULT_CALLS, EIO, note_self) >= 6);
}

TEST(nothing_is_executed_before_there_is_a_record)
{
    CHECK_NUMBER(execute_self(), -ENOENT);
    CHECK_NUMBER(execute_anew(-1), -ENOENT);
}

TEST(a_number_of_a_record_that_is_none_is_not_taken)
{
    static const struct {
        int count;
        const char *words[4];
        int fd;
    } rows[] = {
        {3, {"init", "--resume", "7"}, 7},
        {2, {"init", "--resume"}, -1},
        {3, {"init", "--resume", "x"}, -1},
        {3, {"init", "--container", "7"}, -1},
        {3, {"init", "--resume", "2147483648"}, -1},
        {3, {"init", "--resume", "2147483647"}, 2147483647},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_NUMBER(execute_find_record(rows[i].count, (char **)rows[i].words), rows[i].fd);
}
