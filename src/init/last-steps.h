/* What is done when nothing runs any more. */
#pragma once

struct init;

/* Swap, file systems, sync, reboot(2); in a container: its own mounts, and the exit. Does not
 * return. */
void __attribute__((noreturn)) last_steps(struct init *init);

/* One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), without its newline, taken apart in
 * place: *ret_target with its escapes undone, *ret_type. Pure. Returns 0 or -EINVAL. */
int last_steps_parse_mount(char *line, char **ret_target, char **ret_type);
