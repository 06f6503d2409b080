/* The service that is measured: says that it has reached main(), then waits to be ended. Given a
 * number of bytes it first prints so many, in lines of 100 bytes and writes of WRITE bytes.
 *
 *     service COUNTER [BYTES WRITE]                                                              */
#include "counter.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BYTES  100
#define WRITE_BYTES 65536

static char block[WRITE_BYTES];

static int print(volatile struct counter *counter, uint64_t bytes, uint64_t write_bytes)
{
    if (!write_bytes || write_bytes > sizeof block)
        return 2;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = i % LINE_BYTES == LINE_BYTES - 1 ? '\n' : (char)('a' + i % 26);
    uint64_t none = 0;
    __atomic_compare_exchange_n(&counter->first_ns, &none, counter_now_ns(), 0, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    for (uint64_t written = 0; written < bytes;) {
        ssize_t count = write(1, block, write_bytes);
        if (count < 0)
            return 1;
        written += (uint64_t)count;
    }
    counter->last_ns = counter_now_ns();
    __atomic_add_fetch(&counter->ended, 1, __ATOMIC_SEQ_CST);
    return 0;
}

int main(int argc, char **argv)
{
    volatile struct counter *counter = argc > 1 ? counter_map(argv[1]) : NULL;
    if (!counter)
        return 2;
    counter->arrived_ns = counter_now_ns();
    __atomic_add_fetch(&counter->arrived, 1, __ATOMIC_SEQ_CST);
    if (argc == 4)
        return print(counter, strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    for (;;)
        pause();
}
