/* A folder of the test's own in /tmp, which is the current one while the test runs. */
#pragma once

extern char scratch[]; /* its path, between the two calls */

void scratch_begin(void);
void scratch_end(void); /* removes it with all that is in it */

void scratch_folder(const char *path);
void scratch_put(const char *path, const char *text);
void scratch_program(const char *path); /* an executable file */
