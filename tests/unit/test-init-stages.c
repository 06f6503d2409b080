/* The first and the third stage on a machine where things are there already, are missing, or fail.
 */
#include "fake-machine.h"
#include "init/last-steps.h"
#include "init/stage1-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <unistd.h>

#define TABLE_BYTES (320 * 1024) /* more than init reads of one */

static const char *const plain[] = {"init", NULL};

static void run_init(void *words)
{
    int count = 0;
    while (((char **)words)[count])
        count++;
    init_main(count, words);
}

static bool stop(void)
{
    machine_stop();
}

/* The first stage, until it waits for the first time. */
static void boot_with(const char *const *words)
{
    machine_on_wait = stop;
    CHECK_NUMBER(machine_run(run_init, (void *)words), MACHINE_STOPPED);
}

static void boot(void)
{
    boot_with(plain);
}

static void be_container(void)
{
    machine_link("/proc/1/ns/pid", "pid:[4026532000]");
}

/* ---- mounting ------------------------------------------------------------------------------- */

MACHINE_TEST(what_is_mounted_already_is_left_as_it_is)
{
    machine_mount("/proc");
    machine_mount("/run");
    boot();
    CHECK_NUMBER(machine_times("mount /proc"), 0);
    CHECK_NUMBER(machine_times("mount /run"), 0);
    CHECK_NUMBER(machine_times("mount /sys sysfs"), 1);
    CHECK(!machine_said("Could not mount"));
}

MACHINE_TEST(options_that_a_kernel_does_not_know_are_left_out)
{
    machine_answer("mount", "/sys/fs/cgroup", -EINVAL, 1);
    boot();
    CHECK_NUMBER(machine_times("mount /sys/fs/cgroup cgroup2 -"), 1);
    CHECK(!machine_said("Could not mount"));
}

MACHINE_TEST(what_cannot_be_mounted_is_said_and_gone_on_from)
{
    machine_answer("mount", "/sys/fs/cgroup", -EINVAL, 2);
    machine_answer("mount", "/dev/pts", -EPERM, 1);
    machine_answer("access", "/dev/shm", -EIO, 1);
    boot();
    CHECK(machine_said("error=\"Invalid argument\" path=/sys/fs/cgroup type=cgroup2"));
    CHECK(machine_said("error=\"Operation not permitted\" path=/dev/pts type=devpts"));
    CHECK(machine_said("error=\"Input/output error\" path=/dev/shm type=tmpfs"));
    CHECK_NUMBER(machine_times("mount /run tmpfs"), 1);
    CHECK(machine_child(CHILD_LAUNCHER) > 0);
}

MACHINE_TEST(a_mount_that_hangs_is_given_up_after_ten_seconds_and_the_rest_is_done)
{
    machine_answer("mount", "/sys", MACHINE_HANGS, 1);
    machine_answer("symlink", "/dev/fd", MACHINE_HANGS, 1);
    boot();
    CHECK(machine_said("Waiting for=mount object=/sys "));
    CHECK(machine_said("Gave up waiting for=mount object=/sys seconds=10"));
    CHECK(machine_said("for=\"make links in\" object=/dev seconds=10"));
    CHECK(!machine_said("Could not m"));
    CHECK_NUMBER(machine_times("mount /run tmpfs"), 1);
}

MACHINE_TEST(a_kernel_that_does_not_tell_the_id_of_a_mount_is_believed_that_it_is_one)
{
    machine_answer("statx", "/dev/shm", -ENOSYS, FOR_GOOD);
    boot();
    CHECK_NUMBER(machine_times("mount /dev/shm"), 1);
}

MACHINE_TEST(links_in_dev_that_cannot_be_made_are_said)
{
    machine_answer("symlink", "/dev/stdout", -EROFS, 1);
    machine_answer("symlink", "/dev/stdin", -EEXIST, 1);
    boot();
    CHECK(machine_said("Could not make /dev/stdout and the like"));
    CHECK(machine_said("error=\"Read-only file system\""));
}

MACHINE_TEST(a_container_mounts_nothing_over_what_it_was_given)
{
    be_container();
    machine_file("/sys/fs/cgroup/cgroup.procs", "");
    boot();
    CHECK(machine_said("in=container"));
    CHECK_NUMBER(machine_times("mount /dev "), 0);
    CHECK_NUMBER(machine_times("mount /sys/fs/cgroup"), 0);
    CHECK_NUMBER(machine_times("mount /proc"), 1);
    CHECK_NUMBER(machine_times("sethostname"), 0);
    CHECK_NUMBER(machine_times("mknod"), 0);
    CHECK_NUMBER(machine_times("dup2 0"), 0); /* its console is the outside's */
}

MACHINE_TEST(what_a_container_may_not_mount_is_said_only_of_what_is_needed)
{
    be_container();
    machine_answer("mount", "/sys", -EPERM, 1);
    machine_answer("mount", "/proc", -EPERM, 1);
    boot();
    CHECK(machine_said("path=/proc type=proc"));
    CHECK(!machine_said("path=/sys type=sysfs"));
}

MACHINE_TEST(a_container_with_an_empty_dev_gets_one_of_its_own)
{
    be_container();
    machine_file("/dev/null", NULL);
    boot();
    CHECK_NUMBER(machine_times("mount /dev tmpfs mode=0755"), 1);
    CHECK_NUMBER(machine_times("mknod /dev/null 1,3"), 1);
    CHECK_NUMBER(machine_times("mknod /dev/tty 5,0"), 1);
    CHECK_NUMBER(machine_times("mknod"), 6);
    CHECK_NUMBER(machine_times("mount /dev/pts"), 1); /* below what is ours */
    CHECK(!machine_said("Could not mount: path=/dev "));
}

MACHINE_TEST(device_nodes_that_cannot_be_made_are_said)
{
    static const char *const calls[][2] = {{"mknod", "/dev/zero"},
                                           {"mknod", "/dev/tty"},
                                           {"symlink", "/dev/ptmx"},
                                           {"symlink", "/dev/fd"}};
    be_container();
    machine_file("/dev/null", NULL);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        machine_answer(calls[i][0], calls[i][1], -EPERM, 1);
    }
    boot();
    CHECK(machine_said("error=\"Operation not permitted\" path=/dev type=tmpfs"));
}

MACHINE_TEST(only_a_container_with_cgroups_of_its_own_mounts_them)
{
    be_container();
    machine_link("/proc/1/ns/cgroup", "cgroup:[4026532001]");
    machine_mount("/sys");
    boot();
    CHECK_NUMBER(machine_times("mount /sys/fs/cgroup"), 0); /* its folder is not there */
    machine_forget();
}

MACHINE_TEST(a_container_that_cannot_tell_whose_cgroups_it_has_leaves_them)
{
    be_container();
    machine_file("/proc/1/ns/cgroup", NULL);
    machine_file("/sys/fs/cgroup/x", "");
    boot();
    CHECK_NUMBER(machine_times("mount /sys/fs/cgroup"), 0);
}

MACHINE_TEST(a_container_with_cgroups_of_its_own)
{
    be_container();
    machine_link("/proc/1/ns/cgroup", "cgroup:[4026532001]");
    machine_file("/sys/fs/cgroup/x", "");
    boot();
    CHECK_NUMBER(machine_times("mount /sys/fs/cgroup cgroup2"), 1);
}

/* ---- console, name, limits ------------------------------------------------------------------ */

MACHINE_TEST(standard_descriptors_that_are_closed_are_opened)
{
    machine_answer("fcntl64", "", -EBADF, 3);
    machine_answer("open64", "/dev/null", -ENOENT, 1);
    boot();
    CHECK_NUMBER(machine_times("dup2 0"), 2); /* once more when the console is there */
    CHECK_NUMBER(machine_times("dup2 1"), 2);
    CHECK_NUMBER(machine_times("dup2 2"), 2);
}

MACHINE_TEST(without_anything_to_open_init_begins_all_the_same)
{
    machine_answer("fcntl64", "", -EBADF, 3);
    machine_answer("open64", "", -EMFILE, 6);
    boot();
    CHECK(machine_child(CHILD_LAUNCHER) > 0);
}

MACHINE_TEST(a_machine_without_a_console_boots)
{
    machine_file("/dev/console", NULL);
    boot();
    CHECK_NUMBER(machine_times("dup2"), 0);
    CHECK(machine_child(CHILD_LAUNCHER) > 0);
    CHECK(!machine_said("conit starts")); /* nowhere, but in the ring */
}

MACHINE_TEST(the_word_quiet_of_the_kernel_makes_init_say_only_what_is_wrong)
{
    static const char *const lines[] = {"quiet", "root=/dev/vda quiet\n", "quiet splash"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        machine_file("/proc/cmdline", lines[i]);
        boot();
        CHECK(!machine_said("conit starts"));
        CHECK_NUMBER(machine_kept()->own.quiet, 1);
    }
}

MACHINE_TEST(a_level_that_is_given_is_stronger_than_the_word_quiet)
{
    static const char *const words[] = {"init", "--log-level", "info", NULL};
    machine_file("/proc/cmdline", "quiet\n");
    boot_with(words);
    CHECK(machine_said("conit starts"));
}

MACHINE_TEST(what_only_looks_like_the_word_quiet_is_none)
{
    machine_file("/proc/cmdline", "quietly loglevel=quiet\n");
    boot();
    CHECK(machine_said("conit starts"));
}

MACHINE_TEST(an_empty_command_line_of_the_kernel_is_not_quiet)
{
    machine_file("/proc/cmdline", "");
    boot();
    CHECK(machine_said("conit starts"));
}

static void name_of(const char *file, const char *said)
{
    machine_forget();
    machine_file("/etc/hostname", file);
    boot();
    CHECK(machine_said(said));
    CHECK_NUMBER(machine_times("sethostname"), 0);
}

MACHINE_TEST(a_host_name_that_is_not_there_is_nothing_to_warn_of)
{
    static const char *const words[] = {"init", "--log-level", "debug", NULL};
    machine_file("/etc/hostname", NULL);
    boot_with(words);
    CHECK(machine_said("DEBG[1000.000] No host name in /etc/hostname"));
}

MACHINE_TEST(a_host_name_of_two_words_is_said)
{
    name_of("two words\n", "The first line of /etc/hostname is no host name");
}

MACHINE_TEST(a_host_name_that_cannot_be_read_or_set_is_said)
{
    machine_answer("read", "/proc/cmdline", -EIO, 1);
    machine_answer("sethostname", "", -EPERM, 1);
    name_of("box\n", "Could not set the host name error=\"Operation not permitted\"");
}

MACHINE_TEST(a_host_name_whose_file_cannot_be_opened_is_said)
{
    machine_answer("open64", "/etc/hostname", -EACCES, 1);
    name_of("box\n", "Could not set the host name error=\"Permission denied\"");
}

MACHINE_TEST(a_host_name_whose_disk_fails_is_said)
{
    machine_answer("read", "/etc/hostname", -EIO, 1);
    name_of("box\n", "Could not set the host name error=\"Input/output error\"");
}

MACHINE_TEST(a_host_name_whose_disk_hangs_is_given_up)
{
    machine_answer("open64", "/etc/hostname", MACHINE_HANGS, 1);
    name_of("box\n", "for=\"host name\" object=/etc/hostname seconds=10");
    CHECK(!machine_said("Could not set the host name"));
}

MACHINE_TEST(limits_that_cannot_be_seen_are_taken_for_the_least)
{
    machine_answer("getrlimit64", "", -EPERM, 1);
    boot();
    CHECK(machine_said("Could not see how many descriptors there may be"));
    CHECK_NUMBER(machine_kept()->own.child_files_soft, 1024);
}

MACHINE_TEST(limits_that_cannot_be_raised_are_gone_on_with)
{
    machine_answer("setrlimit64", "", -EPERM, FOR_GOOD);
    boot();
    CHECK_NUMBER(machine_times("setrlimit"), 0);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    CHECK_NUMBER(machine_kept()->own.child_files_hard, files.rlim_max);
    CHECK_NUMBER(machine_kept()->own.held_limit, files.rlim_cur - 64);
}

/* ---- the last steps ---------------------------------------------------------------------------
 */

static bool ask(void)
{
    if (machine_kept()->ending.how)
        return false;
    machine_signal(SIGUSR1, 0);
    return true;
}

/* From the boot to the end: nobody is there to stop anything, so it takes its time. */
static int end_by(int signal, const char *const *words)
{
    machine_on_wait = ask;
    if (signal == SIGUSR1)
        return machine_run(run_init, (void *)words);
    return -1;
}

static int end(void)
{
    return end_by(SIGUSR1, plain);
}

MACHINE_TEST(swap_is_switched_off_and_what_cannot_be_is_said)
{
    machine_file("/proc/swaps",
                 "Filename Type Size\n/swap\\040file file 1\n/dev/sda2\tpartition 2");
    machine_answer("swapoff", "/dev/sda2", -ENOMEM, 1);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("swapoff /swap file"), 1);
    CHECK(machine_said("error=\"Cannot allocate memory\" object=/dev/sda2 step=\"swap off\""));
    CHECK_NUMBER(machine_times("reboot 0x4321fedc"), 1);
}

MACHINE_TEST(file_systems_are_unmounted_the_latest_first_and_kept_ones_only_made_read_only)
{
    machine_file("/proc/1/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw\n"
                                      "21 20 0:1 / /proc rw - proc proc rw\n"
                                      "22 20 0:2 / /run rw - tmpfs tmpfs rw\n"
                                      "23 20 0:3 / /home rw - ext4 /dev/vdb rw\n"
                                      "24 23 0:4 / /home/a\\040b rw shared:1 - xfs /dev/vdc rw\n"
                                      "25 20 0:5 / /dev/bus rw - ext4 /dev/vdd rw\n"
                                      "26 20 0:6 / /sys/own rw - ext4 /dev/vde rw\n"
                                      "27 20 0:7 / /proc/own rw - ext4 /dev/vdf rw\n"
                                      "28 20 0:8 / /ram rw - tmpfs tmpfs rw\n"
                                      "malformed\n");
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    const char *last = strstr(machine_did(), "umount /home/a b");
    CHECK(last && strstr(last, "umount /home\n"));
    CHECK_NUMBER(machine_times("umount /ram"), 1);
    CHECK_NUMBER(machine_times("umount"), 3);
    CHECK_NUMBER(machine_times("mount / read-only"), 1);
    CHECK_NUMBER(machine_times("mount /ram read-only"), 0);
    CHECK_NUMBER(machine_times("/proc/own"), 0);
}

MACHINE_TEST(a_table_that_cannot_be_read_is_read_again_and_said_where_that_is_in_vain)
{
    machine_file("/proc/swaps", "Filename Type Size\n/dev/sda2\tpartition 2");
    machine_file("/proc/1/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw\n"
                                      "23 20 0:3 / /home rw - ext4 /dev/vdb rw\n");
    machine_answer("read", "mountinfo", -ENOMEM, 2);
    machine_answer("read", "swaps", -EIO, FOR_GOOD);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK(machine_times("umount /home") >= 1);
    CHECK_NUMBER(machine_times("mount / read-only"), 1);
    CHECK(!machine_said("file=self/mountinfo"));
    CHECK_NUMBER(machine_times("swapoff"), 0);
    CHECK(machine_said("Cannot read what is still in use error=\"Input/output error\" file=swaps"));
    CHECK_NUMBER(machine_times("reboot 0x4321fedc"), 1);
}

MACHINE_TEST(what_stays_busy_is_tried_again_while_others_go_and_is_said)
{
    machine_file("/proc/1/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw\n"
                                      "23 20 0:3 / /home rw - ext4 /dev/vdb rw\n"
                                      "24 20 0:4 / /srv rw - ext4 /dev/vdc rw\n");
    machine_answer("umount2", "/home", -EBUSY, FOR_GOOD);
    machine_answer("mount", "/", -EBUSY, FOR_GOOD);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("umount /srv"), 8); /* that file says it is there still */
    CHECK(machine_said("object=/home step=unmount"));
    CHECK(machine_said("object=/ step=\"remount read-only\""));
    CHECK_NUMBER(machine_times("sync"), 1);
}

MACHINE_TEST(nothing_that_goes_is_not_tried_again)
{
    machine_file("/proc/1/mountinfo", "23 20 0:3 / /home rw - ext4 /dev/vdb rw\n"
                                      "24 20 0:4 / / rw - rootfs rootfs rw");
    machine_answer("umount2", "", -EBUSY, 2);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("umount"), 0);
    CHECK_NUMBER(machine_times("mount / read-only"), 0); /* that is the first one of all */
    CHECK_NUMBER(machine_times("mount /home read-only"), 1);
}

MACHINE_TEST(a_file_system_that_hangs_is_given_up_and_the_machine_ends)
{
    machine_file("/proc/1/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw\n"
                                      "23 20 0:3 / /net rw - nfs server:/ rw\n");
    machine_answer("umount2", "/net", MACHINE_HANGS, FOR_GOOD);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK(machine_said("Gave up waiting for=unmount object=/net"));
    CHECK(!machine_said("A last step failed"));
}

/* A table of so many mounts, with so many optional fields in each line. */
static void make_mounts(int count, int fields)
{
    static char text[TABLE_BYTES + 1000];
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%d 20 0:3 / /m%d rw", i, i);
        for (int k = 0; k < fields; k++)
            used += (size_t)snprintf(text + used, sizeof text - used, " shared:1");
        used += (size_t)snprintf(text + used, sizeof text - used, " - ext4 /dev/vdb rw\n");
    }
    CHECK(used < sizeof text);
    machine_file("/proc/1/mountinfo", text);
}

/* Its end is what comes first: the latest mounts. */
MACHINE_TEST(of_a_table_that_is_too_long_the_end_is_read)
{
    make_mounts(307, 105);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("umount /m306\n"), 1);
    CHECK_NUMBER(machine_times("umount /m0\n"), 0);
    CHECK(machine_times("umount /m") > 100);
    CHECK_NUMBER(machine_times("umount "), machine_times("umount /m")); /* nothing of half a line */
}

MACHINE_TEST(of_too_many_mounts_the_latest_are_unmounted)
{
    make_mounts(1100, 1);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("umount /m1099\n"), 1);
    CHECK_NUMBER(machine_times("umount /m76\n"), 1);
    CHECK_NUMBER(machine_times("umount /m75\n"), 0);
    CHECK_NUMBER(machine_times("umount"), 1024);
}

MACHINE_TEST(tables_that_cannot_be_read_are_taken_for_empty)
{
    machine_file("/proc/1/mountinfo", NULL);
    machine_file("/proc/swaps", NULL);
    CHECK_NUMBER(end(), MACHINE_REBOOTED);
    CHECK_NUMBER(machine_times("umount"), 0);
    CHECK_NUMBER(machine_times("sync"), 1);
}

/* ---- how it ends ------------------------------------------------------------------------------
 */

static int wanted;

static bool ask_by_signal(void)
{
    if (machine_kept()->ending.signal == wanted)
        return false;
    machine_signal(wanted, 0);
    return true;
}

static int end_with(int signal)
{
    wanted = signal;
    machine_on_wait = ask_by_signal;
    return machine_run(run_init, (void *)plain);
}

MACHINE_TEST(without_a_kernel_for_kexec_the_machine_reboots)
{
    machine_answer("reboot", "", 0, 1); /* Ctrl-Alt-Del */
    machine_answer("reboot", "", -EINVAL, 1);
    CHECK_NUMBER(end_with(SIGUSR2), MACHINE_REBOOTED);
    CHECK(machine_said("No kernel is loaded for kexec: rebooting instead"));
    CHECK_NUMBER(machine_times("reboot 0x1234567"), 1);
}

MACHINE_TEST(a_machine_that_the_kernel_does_not_end_is_said_and_still_reaps)
{
    machine_answer("reboot", "", 0, 1);
    machine_answer("reboot", "", -EPERM, FOR_GOOD);
    CHECK_NUMBER(end_with(SIGUSR2), MACHINE_STUCK);
    CHECK(machine_said("The kernel refuses to end the machine: it can be switched off"));
    CHECK_NUMBER(machine_times("reboot"), 0);
}

static bool end_one_more(void)
{
    static int count;
    if (!machine_said("The kernel refuses"))
        return ask_by_signal();
    pid_t pid = count ? 0 : machine_process("late", TEMPER_MILD);
    if (count++)
        machine_stop();
    machine_ends(pid, 0);
    machine_signal(SIGCHLD, pid);
    return true;
}

MACHINE_TEST(what_ends_after_that_is_reaped)
{
    machine_answer("reboot", "", 0, 1);
    machine_answer("reboot", "", -EPERM, FOR_GOOD);
    wanted = SIGUSR1;
    machine_on_wait = end_one_more;
    CHECK_NUMBER(machine_run(run_init, (void *)plain), MACHINE_STOPPED);
}

MACHINE_TEST(a_container_unmounts_what_it_mounted_and_nothing_else)
{
    be_container();
    machine_mount("/sys");
    machine_file("/proc/1/mountinfo", "23 20 0:3 / /home rw - ext4 /dev/vdb rw\n");
    machine_answer("umount2", "/run", -EBUSY, 1);
    CHECK_NUMBER(end_with(SIGTERM), 0);
    CHECK_NUMBER(machine_times("umount /proc"), 1);
    CHECK_NUMBER(machine_times("umount /sys"), 0);
    CHECK_NUMBER(machine_times("umount /home"), 0);
    CHECK(machine_said("Could not unmount error=\"Device or resource busy\" path=/run"));
    CHECK_NUMBER(machine_times("sync"), 0);
}

static bool mount_over_and_ask(void)
{
    if (!machine_kept()->ending.signal)
        machine_mount("/run");
    return ask_by_signal();
}

MACHINE_TEST(what_somebody_else_mounted_over_it_is_not_ours_to_unmount)
{
    be_container();
    wanted = SIGTERM;
    machine_on_wait = mount_over_and_ask;
    CHECK_NUMBER(machine_run(run_init, (void *)plain), 0);
    CHECK_NUMBER(machine_times("umount /proc"), 1);
    CHECK_NUMBER(machine_times("umount /run"), 0);
    CHECK(!machine_said("Could not unmount"));
}

MACHINE_TEST(a_container_ends_by_reboot_where_that_is_asked_for_and_permitted)
{
    be_container();
    CHECK_NUMBER(end_with(34 + 5), MACHINE_REBOOTED);
}

MACHINE_TEST(a_container_ends_all_the_same_where_it_is_not)
{
    be_container();
    machine_answer("reboot", "", -EPERM, FOR_GOOD);
    CHECK_NUMBER(end_with(SIGUSR2), 0);
    CHECK_NUMBER(machine_times("reboot"), 0);
}
