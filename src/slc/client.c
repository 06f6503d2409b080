/* The connection to the launcher: connects, sends, waits with a time limit, and begins again when
 * the launcher went away in the middle. */
#include "slc/client.h"

#include "service/name.h"
#include "slc/render.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/group.h"
#include "base/text.h"
#include "config/users.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FIRST_ANSWER_NS (10 * NS_PER_SEC)
#define NEXT_ANSWER_NS  (5 * NS_PER_SEC)
#define RETRY_MS        20 /* between two tries to connect */
#define RECONNECTS_MAX  100
#define REPLY_MAX_BYTES (64u << 20)
#define RECEIVE_BYTES   (256u << 10)
#define GROUP           "conit"

/* ---- errors --------------------------------------------------------------------------------- */

static int say_not_permitted(const struct client *client)
{
    const char *path;
    struct user entry;
    char user[64];
    gid_t group;

    if (users_refresh(&path) == 0 && users_find_number(geteuid(), &entry) == 0)
        text_format(user, sizeof user, "%.*s", (int)entry.name_length, entry.name);
    else
        text_format(user, sizeof user, "%u", geteuid());
    slc_complain(client->slc->verb->name,
                 "not permitted: user %s is not root and not in the group " GROUP "%s", user,
                 group_find(GROUP_FILE, GROUP, &group) == -ENOENT
                     ? " (which does not exist on this machine)"
                     : "");
    users_forget();
    return SLC_NOT_PERMITTED;
}

static const char *parameter(const struct varlink_reply *reply, const char *key)
{
    return json_string_value(json_object_get(reply->parameters, key));
}

static int say_no_service(const struct client *client, const struct varlink_reply *reply)
{
    const char *name = parameter(reply, "name"), *near = parameter(reply, "nearest");
    const char *why = parameter(reply, "why");

    if (name && service_name_is_journal(name))
        slc_complain_of_journal(name);
    else if (why)
        slc_complain(name ? name : "?", "there is no such service: it %s", why);
    else if (near)
        slc_complain(name ? name : "?", "there is no such service; did you mean \"%s\"?", near);
    else
        slc_complain(name ? name : "?", "there is no such service; `slc list` shows all");
    return SLC_NO_SERVICE;
}

static int say_shutting_down(const struct client *client, const struct varlink_reply *reply)
{
    const char *how = parameter(reply, "how");
    slc_complain(client->slc->verb->name, "the machine is on its way down (%s)", how ? how : "?");
    return SLC_FAILED;
}

static int say_reload_failed(const struct client *client, const struct varlink_reply *reply)
{
    const char *why = parameter(reply, "why");
    slc_complain(client->slc->verb->name, "nothing was changed: %s", why ? why : "?");
    return SLC_FAILED;
}

static int say_not_kept(const struct client *client, const struct varlink_reply *reply)
{
    slc_complain(client->slc->verb->name,
                 "the launcher was restarted, and what came of this is not known: see `slc list`");
    return SLC_FAILED;
}

static int say_denied(const struct client *client, const struct varlink_reply *reply)
{
    return say_not_permitted(client);
}

static int say_busy(const struct client *client, const struct varlink_reply *reply)
{
    slc_complain(client->slc->verb->name, "the launcher serves too many clients at the moment");
    return SLC_FAILED;
}

static int say_upgrading(const struct client *client, const struct varlink_reply *reply)
{
    slc_complain(client->slc->verb->name,
                 "another upgrade is under way: try again when it is over");
    return SLC_FAILED;
}

static int say_unknown(const struct client *client, const struct varlink_reply *reply)
{
    const char *word = parameter(reply, "parameter");
    if (!word)
        word = parameter(reply, "method");
    slc_complain(client->slc->verb->name,
                 "the launcher does not know %s: it is of another version than slc",
                 word ? word : "the request");
    return SLC_FAILED;
}

/* Says what the error means and returns what to exit with. */
static int say_error(const struct client *client, const struct varlink_reply *reply)
{
    static const struct {
        const char *error;
        int (*say)(const struct client *client, const struct varlink_reply *reply);
    } rows[] = {
        {CLIENT_INTERFACE "NoSuchService", say_no_service},
        {CLIENT_INTERFACE "ShuttingDown", say_shutting_down},
        {CLIENT_INTERFACE "ReloadFailed", say_reload_failed},
        {CLIENT_INTERFACE "UpgradeUnderWay", say_upgrading},
        {CLIENT_INTERFACE "TooManyConnections", say_busy},
        {CLIENT_INTERFACE "AnswerNotKept", say_not_kept},
        {"org.varlink.service.PermissionDenied", say_denied},
        {"org.varlink.service.InvalidParameter", say_unknown},
        {"org.varlink.service.MethodNotFound", say_unknown},
        {"org.varlink.service.InterfaceNotFound", say_unknown},
    };
    const char *why = parameter(reply, "why");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].error, reply->error))
            return rows[i].say(client, reply);
    slc_complain(client->slc->verb->name, "%s%s%s", reply->error, why ? ": " : "", why ? why : "");
    return SLC_FAILED;
}

/* ---- connecting ----------------------------------------------------------------------------- */

/* Fills in the address of RUNTIME/control. A folder whose path is too long for it is reached
 * through a descriptor, which goes to *ret_folder. */
static int make_address(const char *runtime, struct sockaddr_un *address, int *ret_folder)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (text_format(address->sun_path, sizeof address->sun_path, "%s/control", runtime))
        return 0;
    *ret_folder = open(runtime, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_folder < 0)
        return -errno;
    text_format(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/control",
                *ret_folder);
    return 0;
}

/* One try. Returns 0 or -errno. */
static int try_to_connect(struct client *client)
{
    struct sockaddr_un address;
    AUTO_CLOSE int folder = -1;
    AUTO_CLOSE int fd = -1;
    int r = make_address(client->slc->options.runtime, &address, &folder);

    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    client->socket = take_fd(&fd);
    return 0;
}

static void nap(void)
{
    poll(NULL, 0, RETRY_MS);
}

/* Connects. Nobody listening is final at the first try, but not once a launcher has been there: it
 * is being restarted. A full queue (EAGAIN) is waited for. */
static int client_connect(struct client *client)
{
    for (;;) {
        int r = try_to_connect(client);
        bool nobody = r == -ENOENT || r == -ECONNREFUSED;
        if (r == 0)
            return 0;
        if (r != -EAGAIN && r != -EINTR && !(nobody && client->reconnects))
            return r;
        if (clock_now_ns() >= client->give_up_at_ns)
            return r == -EAGAIN ? -ETIMEDOUT : r;
        nap();
    }
}

/* Waits until the socket is ready for `events`. Returns 0, or -ETIMEDOUT. */
static int wait_for(const struct client *client, short events)
{
    struct pollfd poll_fd = {.fd = client->socket, .events = events};

    for (;;) {
        uint64_t now = clock_now_ns();
        int timeout_ms = -1, r;
        if (client->give_up_at_ns)
            timeout_ms = now >= client->give_up_at_ns
                             ? 0
                             : (int)((client->give_up_at_ns - now + NS_PER_MS - 1) / NS_PER_MS);
        r = poll(&poll_fd, 1, timeout_ms);
        if (r > 0)
            return 0;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int send_request(struct client *client)
{
    size_t sent = 0, count = buffer_used(&client->request);

    while (sent < count) {
        ssize_t r = send(client->socket, buffer_bytes(&client->request) + sent, count - sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r >= 0)
            sent += (size_t)r;
        else if (errno == EAGAIN && (r = wait_for(client, POLLOUT)) < 0)
            return (int)r;
        else if (r < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return 0;
}

static void disconnect(struct client *client)
{
    if (client->socket >= 0)
        close(client->socket);
    client->socket = -1;
    varlink_input_finish(&client->input);
}

static bool is_lost(int r)
{
    return r == -EPIPE || r == -ECONNRESET;
}

/* Connects and sends, again when the connection is lost in between. */
static int connect_and_send(struct client *client)
{
    int r;

    do {
        disconnect(client);
        r = client_connect(client);
        if (r == 0)
            r = send_request(client);
        if (is_lost(r)) {
            /* The launcher may have refused the request unread and said why. */
            if (wait_for(client, POLLIN) == 0)
                return 0;
            client->reconnects++;
        }
    } while (is_lost(r) && clock_now_ns() < client->give_up_at_ns);
    return r;
}

static int say_no_answer(const struct client *client, int r)
{
    const char *runtime = client->slc->options.runtime, *verb = client->slc->verb->name;

    if (r == -EACCES || r == -EPERM) {
        slc_complain(verb, "not permitted: %s/control cannot be reached: %s", runtime,
                     strerror(-r));
        return SLC_NOT_PERMITTED;
    }
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE) {
        slc_complain(verb, "%s", strerror(-r));
        return SLC_FAILED;
    }
    if (r == -ENOENT)
        slc_complain(verb, "no launcher answers: there is no socket %s/control", runtime);
    else if (r == -ECONNREFUSED)
        slc_complain(verb, "no launcher answers: nobody listens at %s/control", runtime);
    else if (r == -ETIMEDOUT)
        slc_complain(verb, "no launcher answers at %s/control: waited %d s", runtime,
                     client->answered || client->reconnects ? 5 : 10);
    else
        slc_complain(verb, "no launcher answers at %s/control: %s", runtime, strerror(-r));
    return SLC_NO_LAUNCHER;
}

/* ---- asking --------------------------------------------------------------------------------- */

struct json_writer *client_begin(struct client *client, const struct slc *slc, const char *method,
                                 bool more)
{
    char name[64];

    *client = (struct client){.slc = slc, .socket = -1};
    json_writer_init(&client->writer, &client->request);
    text_format(name, sizeof name, CLIENT_INTERFACE "%s", method);
    varlink_begin_call(&client->writer, name, more);
    return &client->writer;
}

void client_add_words(struct client *client, const char *key)
{
    if (client->slc->word_count)
        json_add_strings(&client->writer, key, (const char *const *)client->slc->words);
}

void client_add_id(struct client *client)
{
    uint64_t number[2] = {0};
    char id[CLIENT_ID_BYTES];

    if (getrandom(number, sizeof number, 0) < 0)
        number[0] = clock_now_ns();
    text_format(id, sizeof id, "%016llx%016llx", (unsigned long long)number[0],
                (unsigned long long)number[1]);
    json_add_string(&client->writer, "id", id);
}

static int client_start(struct client *client)
{
    varlink_end(&client->writer);
    client->give_up_at_ns = clock_now_ns() + FIRST_ANSWER_NS;
    return client->writer.failed ? -ENOMEM : connect_and_send(client);
}

int client_send(struct client *client)
{
    int r = client_start(client);
    return r < 0 ? say_no_answer(client, r) : SLC_DONE;
}

static void drop_reply(struct client *client)
{
    if (client->has_reply)
        varlink_reply_finish(&client->reply);
    client->has_reply = false;
}

/* Reads the next reply into client->reply. Returns 0; -EPIPE when the connection is gone. */
static int read_reply(struct client *client)
{
    char *bytes;
    size_t count;
    int r;

    while ((r = varlink_input_next(&client->input, REPLY_MAX_BYTES, &bytes, &count)) == 0) {
        ssize_t got = varlink_input_receive(&client->input, client->socket, RECEIVE_BYTES);
        if (got == -EAGAIN)
            got = (r = wait_for(client, POLLIN)) < 0 ? r : 1;
        if (got <= 0)
            return got == 0 ? -EPIPE : (int)got;
    }
    if (r > 0)
        r = varlink_reply_parse(&client->reply, bytes, count);
    client->has_reply = r == 0;
    /* What is printed as text is to be shown by a terminal, and not obeyed. */
    return r < 0 || client->slc->options.json ? r : render_escape_all(client->reply.parameters);
}

/* The next reply, over as many connections as it takes, until `at_ns` (0: for ever). Returns 0 or
 * -errno. */
static int receive(struct client *client, uint64_t at_ns)
{
    int r;

    drop_reply(client);
    client->give_up_at_ns = at_ns;
    while (is_lost(r = read_reply(client))) {
        if (++client->reconnects > RECONNECTS_MAX)
            return -EPROTO; /* it answers with nothing but hanging up */
        client->give_up_at_ns = clock_now_ns() + NEXT_ANSWER_NS;
        r = connect_and_send(client);
        if (r < 0)
            break;
        if (!at_ns || at_ns > client->give_up_at_ns)
            client->give_up_at_ns = at_ns;
    }
    if (r == 0)
        client->answered = true;
    return r;
}

static uint64_t answer_due(const struct client *client)
{
    return clock_now_ns() + (client->answered ? NEXT_ANSWER_NS : FIRST_ANSWER_NS);
}

/* What a receive() came to. */
static int hand_out(struct client *client, int r, const struct varlink_reply **ret)
{
    if (r < 0)
        return say_no_answer(client, r);
    if (client->reply.error)
        return say_error(client, &client->reply);
    *ret = &client->reply;
    return SLC_DONE;
}

int client_receive(struct client *client, bool patient, const struct varlink_reply **ret)
{
    return hand_out(client, receive(client, patient ? 0 : answer_due(client)), ret);
}

int client_receive_until(struct client *client, uint64_t at_ns, const struct varlink_reply **ret)
{
    int r = receive(client, at_ns == UINT64_MAX ? 0 : at_ns);

    if (r == -ETIMEDOUT && at_ns != UINT64_MAX && clock_now_ns() >= at_ns)
        return CLIENT_TIME_OVER;
    return hand_out(client, r, ret);
}

int client_ask(struct client *client, const struct varlink_reply **ret)
{
    int status = client_send(client);
    return status == SLC_DONE ? client_receive(client, false, ret) : status;
}

int client_ask_if_any(struct client *client, const struct varlink_reply **ret)
{
    int r = client_start(client);
    if (r == -ENOENT)
        return CLIENT_NO_SOCKET;
    return r < 0 ? say_no_answer(client, r) : client_receive(client, false, ret);
}

int client_ask_quietly(struct client *client, const struct varlink_reply **ret)
{
    int r = client_start(client);

    if (r == 0)
        r = receive(client, answer_due(client));
    if (r < 0 && r != -ENOENT && r != -ECONNREFUSED)
        slc_complain(client->slc->verb->name, "the launcher cannot be asked: %s", strerror(-r));
    if (r < 0 || client->reply.error)
        return SLC_NO_LAUNCHER;
    *ret = &client->reply;
    return SLC_DONE;
}

void client_finish(struct client *client)
{
    drop_reply(client);
    disconnect(client);
    buffer_finish(&client->request);
}
