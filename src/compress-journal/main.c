/* compress-journal: compresses sealed files of one journal, with what CPU and disk have to spare.
 *
 * Started by service-journal with the journal's folder as working directory and the files' names.
 * Killed at any moment, and with its parent, it loses nothing (journal/compress.h). Ends with 0
 * when all are done, else with the errno of the last file that is left as it was. */
#include "journal/compress.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* linux/ioprio.h, which older headers do not have. */
#define IO_WHO_PROCESS 1
#define IO_IDLE        (3 << 13)

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

static const char help[] =
    "Usage: compress-journal NAME.log…\n"
    "Compresses sealed files of a journal in the working directory to NAME.log.zst, with the\n"
    "lowest priority. Started by service-journal.\n"
    "\n"
    "  --help, --version\n";

/* What cannot be had is gone without: it is slower for others then, and no more. */
static void step_back(void)
{
    const struct sched_param parameters = {0};
    setpriority(PRIO_PROCESS, 0, 19);
    sched_setscheduler(0, SCHED_IDLE, &parameters);
    syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_IDLE);
}

/* A journal does not know of the one before it, nor of its children. */
static void end_with_parent(void)
{
    const char *parent = getenv("COMPRESS_JOURNAL_PARENT");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (parent && strtol(parent, NULL, 10) != (long)getppid())
        exit(ESRCH);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
}

int main(int argc, char **argv)
{
    int option, status = 0;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h')
            fputs(help, stdout);
        else if (option == 'V')
            puts("compress-journal (conit) " CONIT_VERSION);
        return option == 'h' || option == 'V' ? 0 : 2;
    }
    if (optind == argc) {
        fputs("compress-journal: no file is named; see compress-journal --help\n", stderr);
        return 2;
    }
    end_with_parent();
    step_back();
    int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        fprintf(stderr, "compress-journal: .: %s\n", strerror(errno));
        return errno;
    }
    for (int i = optind; i < argc; i++) {
        int failed = journal_compress(folder, argv[i]);
        if (failed)
            fprintf(stderr, "compress-journal: %s: %s\n", argv[i], strerror(-failed));
        status = failed ? -failed : status;
    }
    close(folder);
    return status;
}
