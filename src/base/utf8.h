/* UTF-8 as RFC 3629 has it: shortest forms, no surrogates, up to U+10FFFF. */
#pragma once

#include <stddef.h>

/* How many bytes the character at `at` has, of `count` > 0 that are there; 0 when it is none. */
size_t utf8_length(const unsigned char *at, size_t count);
