/* The console: what it does when nothing can be written to it now. */
#include "log/console.h"
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static int reader;      /* of the pipe that is the console */
static bool makes_room; /* somebody reads while we wait */
static int waits;

static void read_all(void)
{
    char bytes[65536];
    while (read(reader, bytes, sizeof bytes) > 0) {
    }
}

/* In place of the C library's: nothing here may depend on time. */
int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    CHECK_NUMBER(count, 1);
    CHECK(timeout_ms >= 0 && timeout_ms < 100);
    waits++;
    if (makes_room)
        read_all();
    fds[0].revents = makes_room ? POLLOUT : 0;
    return makes_room;
}

static void begin(int fds[2])
{
    CHECK_NUMBER(pipe2(fds, O_CLOEXEC), 0);
    reader = fds[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
    console_init(fds[1], false);
    waits = 0;
    makes_room = false;
    while (console_write("0123456789abcdef", 16) == 16) {
    }
    CHECK_NUMBER(waits, 1);
}

static void end(const int fds[2])
{
    console_init(-1, false);
    close(fds[0]);
    close(fds[1]);
}

TEST(a_console_that_has_room_soon_gets_the_whole_line)
{
    int fds[2];
    begin(fds);
    read_all();
    CHECK_NUMBER(console_write("line\n", 5), 5);
    makes_room = true;
    char big[100000] = "";
    CHECK_NUMBER(console_write(big, sizeof big), sizeof big);
    CHECK_NUMBER(waits, 2);
    end(fds);
}

TEST(a_console_that_takes_nothing_is_waited_for_once)
{
    int fds[2];
    begin(fds);
    for (int i = 0; i < 1000; i++)
        CHECK_NUMBER(console_write("line\n", 5), 0);
    CHECK_NUMBER(waits, 1);
    read_all();
    CHECK_NUMBER(console_write("line\n", 5), 5);
    end(fds);
}
