/* Functions that have no place here do not compile. Included in front of every file by the build.
 * Each has a bounded counterpart in base/text.h, or is unsafe by design. */
#pragma once

/* The C library's own headers name some of these, so they come first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#undef alloca
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll atof
#pragma GCC poison system popen tmpnam mktemp tempnam alloca localtime gmtime ctime asctime
