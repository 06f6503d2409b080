/* UTF-8: which bytes may follow the first one is the Unicode standard's table 3-7. */
#include "base/utf8.h"

size_t utf8_length(const unsigned char *at, size_t count)
{
    static const struct {
        unsigned char least, most, bytes, second_least, second_most;
    } rows[] = {
        {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
        {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
        {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };
    if (at[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (at[0] < rows[i].least || at[0] > rows[i].most)
            continue;
        if (count < rows[i].bytes || at[1] < rows[i].second_least || at[1] > rows[i].second_most)
            return 0;
        for (size_t j = 2; j < rows[i].bytes; j++)
            if ((at[j] & 0xc0) != 0x80)
                return 0;
        return rows[i].bytes;
    }
    return 0;
}
