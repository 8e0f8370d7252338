/*
 * See command.h. hiredis formats commands and parses replies; the socket is a bufferevent.
 * hiredis's own asynchronous context is not used: an assertion in it ends the process when a server
 * sends an unsolicited reply, while this code reconnects.
 *
 * A firewall may have forgotten the connection, or Redis may hang while its kernel still
 * acknowledges. So a link on which Redis owes an answer and says nothing for ANSWER_TICKS seconds
 * has failed, and one that is silent for IDLE_TICKS is sent a PING. Seconds are counted by the
 * worker's own ticks, so time during which the process was frozen does not count.
 */
#include "worker/command.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/answers.h"
#include "worker/backoff.h"
#include "worker/descriptors.h"
#include "worker/node.h"
#include "worker/redis_connect.h"
#include "worker/redis_login.h"
#include "worker/redis_trouble.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    RETRY_FIRST_MS = 100,
    RETRY_LAST_MS = 5000,
    ANSWER_TICKS = 10,   /* s of silence while an answer is owed; then the link has failed */
    IDLE_TICKS = 5,      /* s of silence while none is owed; then PING is sent, and ROLE */
    OWED_WEIGHT = 128,   /* bytes added to each command, for its struct owed */
    TRIM_ABOVE = 1 << 20 /* bytes of commands; above this, memory is returned to the system */
};

/* Most bytes of commands that await answers, not counting clients' requests: sessions, admin
 * publishes, reports, probes. Requests have a limit of their own (answers.h), so they never take
 * this room. */
static const uint64_t OWED_MAX = 8 << 20;

struct owed {
    STAILQ_ENTRY(owed) next;
    command_done *done;
    void *arg;
    size_t weight;
    uint64_t end; /* command.appended after this command */
};

struct command {
    struct bufferevent *socket; /* NULL: no connection */
    redisReader *reader;
    struct redis_connect *connect;
    struct redis_login *login;
    char peer[160];  /* the address of the connected Redis */
    char wrong[192]; /* why the connection is to be ended; "": it is not */
    struct event *retry;
    uint32_t retry_ms;
    bool opening;                       /* the process's first attempt is in progress */
    bool ready;                         /* connected and logged in */
    struct evbuffer *early;             /* commands that wait for the first attempt */
    STAILQ_HEAD(owed_queue, owed) owed; /* answers that Redis owes, oldest first */
    uint32_t count;                     /* of them */
    uint64_t bytes, most;               /* their weight, and its maximum since it was last 0 */
    uint64_t appended;                  /* bytes of commands on this link */
    uint64_t taken;                     /* those of them that Redis's kernel had at the last tick */
    uint32_t quiet;                     /* ticks since Redis last sent bytes, or was last asked */
};

/* Returns the memory of many commands to the system, once no answer is owed. The allocator would
 * keep it. */
static void trim_command_memory(struct command *command)
{
    if (command->most > TRIM_ABOVE)
        malloc_trim(0);
    command->most = 0;
}

static void finish_oldest_command(struct worker *worker, const redisReply *reply)
{
    struct command *command = worker->command;
    struct owed *owed = STAILQ_FIRST(&command->owed);
    STAILQ_REMOVE_HEAD(&command->owed, next);
    command->count--;
    command->bytes -= owed->weight;
    if (owed->done)
        owed->done(worker, reply, owed->arg);
    free(owed);
    if (command->count == 0)
        trim_command_memory(command);
}

static void set_commands_up(struct worker *worker, bool up)
{
    atomic_store_explicit(&worker->slot->commands_up, up, memory_order_relaxed);
}

/* Ends the connection, fails all waiting commands, and schedules the next attempt. */
static void fail_command_link(struct worker *worker, const char *reason)
{
    struct command *command = worker->command;
    char why[TROUBLE_TEXT_MAX];
    snprintf(why, sizeof(why), "%s%s%s", command->socket ? command->peer : "",
             command->socket ? ": " : "", reason);
    command->opening = command->ready = false;
    set_commands_up(worker, false);
    command->appended = command->taken = 0;
    evbuffer_drain(command->early, evbuffer_get_length(command->early));
    if (command->socket) {
        descriptors_forget(worker, bufferevent_getfd(command->socket));
        bufferevent_free(command->socket);
        command->socket = NULL;
    }
    redisReaderFree(command->reader);
    command->reader = NULL;
    while (command->count > 0)
        finish_oldest_command(worker, NULL);
    const uint32_t delay = backoff_next(&command->retry_ms, RETRY_LAST_MS);
    const struct timeval wait = backoff_timeval(delay);
    redis_trouble_tell(worker, REDIS_COMMANDS, why, delay);
    event_add(command->retry, &wait);
}

/* ---- Commands ---- */

/* Appends a command. Returns its bytes, or -1 if there is no memory. */
static int append_command(struct evbuffer *out, int argc, const char **argv, const size_t *lens)
{
    char *bytes = NULL;
    const int len = redisFormatCommandArgv(&bytes, argc, argv, lens);
    if (len < 0)
        return -1;
    const int added = evbuffer_add(out, bytes, (size_t)len);
    redisFreeCommand(bytes);
    return added == -1 ? -1 : len;
}

static void add_owed_answer(struct command *command, size_t weight, command_done *done, void *arg)
{
    struct owed *owed = malloc(sizeof(*owed));
    if (!owed)
        abort();
    *owed = (struct owed){.done = done, .arg = arg, .weight = weight, .end = command->appended};
    STAILQ_INSERT_TAIL(&command->owed, owed, next);
    if (command->count == 0)
        command->quiet = 0;
    command->count++;
    command->bytes += weight;
    command->most = command->bytes > command->most ? command->bytes : command->most;
}

bool command_ready(const struct worker *worker)
{
    return worker->command->ready;
}

bool command_tells_role(const struct worker *worker)
{
    return worker->command->ready && redis_login_tells_role(worker->command->login);
}

void command_restart(struct worker *worker, const char *why)
{
    snprintf(worker->command->wrong, sizeof(worker->command->wrong), "%s", why);
}

uint32_t command_owed(const struct worker *worker)
{
    return worker->command->count;
}

/* Keeps commands in `early` during the first attempt: a successor gets requests of its
 * predecessor's clients before it is connected. If the first attempt fails Redis is down, and
 * commands are refused until it is back. */
int command_send(struct worker *worker, int argc, const char **argv, const size_t *lens,
                 command_done *done, void *arg)
{
    struct command *command = worker->command;
    if (!(command->ready || command->opening) || command->bytes >= OWED_MAX + answers_owed(worker))
        return -1;
    struct evbuffer *out =
        command->ready ? bufferevent_get_output(command->socket) : command->early;
    const int len = append_command(out, argc, argv, lens);
    if (len == -1)
        return -1;
    command->appended += (uint64_t)len;
    add_owed_answer(command, (size_t)len + OWED_WEIGHT, done, arg);
    return 0;
}

/* ---- Silence ---- */

/* Returns the bytes of commands that Redis's kernel has acknowledged. */
static uint64_t count_taken_bytes(const struct command *command)
{
    int queued = 0;
    ioctl(bufferevent_getfd(command->socket), SIOCOUTQ, &queued);
    const size_t unsent = evbuffer_get_length(bufferevent_get_output(command->socket));
    return command->appended - unsent - (uint64_t)queued;
}

/* True if the command whose answer is due next is still being transmitted, and progresses: then the
 * network is slow, not Redis. */
static bool is_command_in_transit(struct command *command)
{
    const uint64_t before = command->taken;
    command->taken = count_taken_bytes(command);
    return before < STAILQ_FIRST(&command->owed)->end && command->taken > before;
}

void command_tick(struct worker *worker)
{
    const char *argv[] = {"PING"};
    struct command *command = worker->command;
    if (!command->ready)
        return;
    command->quiet++;
    if (command->count == 0 && command->quiet >= IDLE_TICKS)
        command_send(worker, 1, argv, (const size_t[]){4}, NULL, NULL);
    else if (command->count > 0 && is_command_in_transit(command))
        command->quiet = 0;
    else if (command->count > 0 && command->quiet > ANSWER_TICKS)
        fail_command_link(worker, "Redis has not answered for 10 s");
}

/* ---- The connection ---- */

/* Handles one reply. Returns NULL, or what is wrong. */
static const char *take_command_reply(struct worker *worker, const redisReply *reply)
{
    const struct command *command = worker->command;
    if (!command->ready || command->count == 0)
        return "Redis sent an unsolicited reply";
    finish_oldest_command(worker, reply);
    return command->wrong[0] ? command->wrong : NULL;
}

/* Handles all complete replies. Returns NULL, or what is wrong. */
static const char *take_whole_replies(struct worker *worker)
{
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(worker->command->reader, &reply) != REDIS_OK)
            return "malformed reply from Redis";
        if (!reply)
            return NULL;
        const char *wrong = take_command_reply(worker, reply);
        freeReplyObject(reply);
        if (wrong)
            return wrong;
    }
}

static void command_on_read(struct bufferevent *socket, void *arg)
{
    struct worker *worker = arg;
    struct evbuffer *input = bufferevent_get_input(socket);
    const size_t len = evbuffer_get_length(input);
    worker->command->quiet = 0;
    redisReaderFeed(worker->command->reader, (const char *)evbuffer_pullup(input, -1), len);
    evbuffer_drain(input, len);
    const char *wrong = take_whole_replies(worker);
    if (wrong)
        fail_command_link(worker, wrong);
}

static void command_on_event(struct bufferevent *socket, short what, void *arg)
{
    struct worker *worker = arg;
    (void)socket;
    if (what & BEV_EVENT_EOF)
        fail_command_link(worker, "Redis closed the connection");
    else
        fail_command_link(worker, evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
}

static void command_on_logged_in(struct worker *worker, int fd, const char *text)
{
    struct command *command = worker->command;
    if (fd == -1) {
        fail_command_link(worker, text);
        return;
    }
    KILLPOINT(COMMANDS_SOCKET);
    command->reader = redisReaderCreate();
    command->socket =
        bufferevent_socket_new(worker->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!command->socket) {
        descriptors_forget(worker, fd);
        close(fd);
    }
    if (!command->reader || !command->socket) {
        fail_command_link(worker, "out of memory");
        return;
    }
    bufferevent_setcb(command->socket, command_on_read, NULL, command_on_event, worker);
    bufferevent_enable(command->socket, EV_READ | EV_WRITE);
    snprintf(command->peer, sizeof(command->peer), "%s", text);
    command->wrong[0] = '\0';
    command->opening = false;
    command->ready = true;
    command->quiet = 0;
    set_commands_up(worker, true);
    command->retry_ms = RETRY_FIRST_MS;
    redis_trouble_over(worker, REDIS_COMMANDS);
    bufferevent_write_buffer(command->socket, command->early);
    node_probe(worker);
}

static void command_on_connected(struct worker *worker, int fd, const char *text)
{
    if (fd == -1)
        fail_command_link(worker, text);
    else
        redis_login_begin(worker->command->login, fd, text);
}

static void command_on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    redis_connect_begin(worker->command->connect, &worker->config->redis_at);
}

int command_open(struct worker *worker)
{
    struct command *command = calloc(1, sizeof(*command));
    if (!command)
        return -1;
    worker->command = command;
    STAILQ_INIT(&command->owed);
    command->early = evbuffer_new();
    command->connect = redis_connect_new(worker, command_on_connected);
    command->login = redis_login_new(worker, true, command_on_logged_in);
    command->retry = event_new(worker->base, -1, 0, command_on_retry, worker);
    command->retry_ms = RETRY_FIRST_MS;
    command->opening = true;
    if (!command->early || !command->connect || !command->login || !command->retry)
        return -1;
    return event_add(command->retry, &(struct timeval){0, 0});
}
