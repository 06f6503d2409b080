/* What the machine allows: a bare loop of vfork and exec of the measured service.
 *
 *     limit COUNTER NUMBER PROGRAM     reads a byte, starts NUMBER of them, prints the nanoseconds
 * until the last was spawned; reads another byte, ends them all and prints how long that took.  */
#include "counter.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

static int say_ns(uint64_t since_ns)
{
    return printf("%llu\n", (unsigned long long)(counter_now_ns() - since_ns)) < 0 ||
           fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    int number = argc == 4 ? atoi(argv[2]) : 0;
    pid_t *pids = calloc((size_t)number + 1, sizeof *pids);
    char *command[] = {argv[argc - 1], argv[1], NULL};
    char byte;

    if (number <= 0 || !pids || read(0, &byte, 1) != 1)
        return 2;
    uint64_t start_ns = counter_now_ns();
    for (int i = 0; i < number; i++) {
        pids[i] = vfork();
        if (pids[i] == 0) {
            execve(command[0], command, environ);
            _exit(127);
        }
        if (pids[i] < 0)
            return 1;
    }
    if (say_ns(start_ns) || read(0, &byte, 1) != 1)
        return 1;
    uint64_t end_ns = counter_now_ns();
    for (int i = 0; i < number; i++)
        kill(pids[i], SIGTERM);
    while (wait(NULL) > 0)
        ;
    return say_ns(end_ns);
}
