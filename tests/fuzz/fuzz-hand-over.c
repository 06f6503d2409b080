/* Any messages, with any number of descriptors, on the pair between init and its children: what is
 * taken is as the contract has it, the launcher's side deals with all of them, and no descriptor is
 * left open. A message is: its size (u16), its descriptors (u8), and its bytes; of those that are
 * missing most are those of a good one. */
#include "demand.h"
#include "service-launcher/init-link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES_MAX 8
#define FDS_MAX      253

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static size_t handed; /* descriptors that a handler has got */

static int lowest_free(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

/* ---- what is sent ---------------------------------------------------------------------------- */

static void send_raw(int socket, const void *message, size_t size, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        memset(&control, 0, header.msg_controllen);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (size_t i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &(int){STDERR_FILENO},
                   sizeof(int));
    }
    sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The next message of the input, or nothing more. */
static bool send_next(int socket, const uint8_t **bytes, size_t *count)
{
    static char storage[2 * sizeof(struct hand_over_message)];
    uint16_t size, version = HAND_OVER_VERSION;

    if (*count < 3)
        return false;
    memcpy(&size, *bytes, sizeof size);
    size_t fd_count = (*bytes)[2] % (FDS_MAX + 1);
    *bytes += 3;
    *count -= 3;
    /* Most sizes are that of a message: else hardly any would be looked at. */
    size_t whole = size < sizeof storage && size % 8 == 1 ? size : sizeof(struct hand_over_message);
    size_t there = size % 64 < *count ? size % 64 : *count;
    memset(storage, 0, sizeof storage);
    memcpy(storage, &version, sizeof version);
    if (there > 1 && (*bytes)[0] == 0xff)
        memcpy(storage, *bytes, there);
    else if (there)
        memcpy(storage + sizeof version, *bytes, there);
    *bytes += there;
    *count -= there;
    send_raw(socket, storage, whole, fd_count);
    return true;
}

static int send_all(int socket, const uint8_t *bytes, size_t count)
{
    int sent = 0;
    while (sent < MESSAGES_MAX && send_next(socket, &bytes, &count))
        sent++;
    return sent;
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void check_message(const struct hand_over_message *message, size_t fd_count)
{
    static const struct {
        uint16_t type;
        size_t most;
    } bounds[] = {
        {HAND_OVER_DROP, HAND_OVER_KEYS_MAX},   {HAND_OVER_REFUSED, HAND_OVER_KEYS_MAX},
        {HAND_OVER_ENDED, HAND_OVER_ENDED_MAX}, {HAND_OVER_PROGRESS, sizeof message->text},
        {HAND_OVER_LINE, sizeof message->text},
    };
    bool carries = message->type == HAND_OVER_STORE || message->type == HAND_OVER_HELD;

    demand(message->version == HAND_OVER_VERSION, "it is of our version");
    demand(fd_count == (carries ? message->count : 0), "as many descriptors as it says");
    demand(fd_count <= HAND_OVER_KEYS_MAX, "each has a key");
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        demand(message->type != bounds[i].type || message->count <= bounds[i].most,
               "it has no more than there is room for");
}

static void receive_all(int socket, int sent)
{
    static struct hand_over_message message;
    int fds[HAND_OVER_KEYS_MAX], result;
    size_t fd_count;

    for (int i = 0; i <= sent; i++) {
        result = hand_over_receive(socket, &message, fds, &fd_count);
        if (result == -EPROTO)
            continue;
        if (result == -EAGAIN || result == 0)
            return;
        demand(result == 1, "a message is taken, or is none");
        check_message(&message, fd_count);
        for (size_t fd = 0; fd < fd_count; fd++)
            demand(close(fds[fd]) == 0, "a descriptor is there");
    }
    demand(false, "no more comes out than was put in");
}

static void on_held(void *context, uint32_t key, int fd)
{
    demand(close(fd) == 0, "a descriptor is there");
    handed++;
}

static void on_ended(void *context, pid_t pid, int status)
{
    handed += pid == status;
}

/* The same messages for the launcher. */
static void let_launcher_take(const uint8_t *bytes, size_t count)
{
    static const struct init_link_handlers handlers = {.on_held = on_held, .on_ended = on_ended};
    static struct loop loop;
    struct init_link link;
    int pair[2];

    demand(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "there is a socket");
    demand(loop_init(&loop) == 0, "there is a loop");
    demand(init_link_init(&link, &loop, pair[0], &handlers, NULL) == 0, "it begins");
    int sent = send_all(pair[1], bytes, count);
    close(pair[1]);
    for (int i = 0; i < sent + 2 && link.source.fd >= 0; i++)
        demand(loop_turn(&loop, false) == 0, "the loop turns");
    init_link_finish(&link);
    loop_finish(&loop);
    close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    int pair[2], before = lowest_free();

    demand(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "there is a socket");
    receive_all(pair[0], send_all(pair[1], bytes, count));
    close(pair[0]);
    close(pair[1]);
    let_launcher_take(bytes, count);
    demand(lowest_free() == before, "no descriptor is left open");
    return 0;
}
