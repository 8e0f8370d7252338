/*
 * Pipelined publishing: see the header. Bytes are read into one buffer, from which complete replies
 * are taken; a reply larger than the buffer ends the run, because it cannot be a reply to a push.
 * The fate of requests in flight on a failed connection is unknown, so they count as failed.
 */
#include "tools/bench_pipe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUT_MOST = 1 << 20,       /* pending output in bytes; beyond it the peer is the limit */
    UNANSWERED_MOST = 100000, /* unanswered requests: their replies wait in the peer's memory */
    CONNECT_MS = 10000,
};

const char *pipe_open(struct pipe *pipe, const struct bench *bench, const struct target *target)
{
    int error = 0;

    pipe->bench = bench;
    pipe->target = target;
    pipe->fd = target_connect(target, 0);
    if (pipe->fd == -1)
        return strerror(errno);
    struct pollfd wait = {.fd = pipe->fd, .events = POLLOUT};
    if (poll(&wait, 1, CONNECT_MS) != 1)
        return "no answer";
    getsockopt(pipe->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)});
    return error == 0 ? NULL : strerror(error);
}

void pipe_close(struct pipe *pipe)
{
    if (pipe->fd != -1)
        close(pipe->fd);
    buffer_free(&pipe->out);
}

const char *pipe_reopen(struct pipe *pipe)
{
    struct publisher_board *board = &pipe->bench->board->publisher;

    board_add(&board->failed, pipe->unanswered);
    board_add(&board->answered, pipe->unanswered);
    pipe_close(pipe);
    pipe->out = (struct buffer){0};
    pipe->unanswered = 0;
    pipe->in_len = 0;
    return pipe_open(pipe, pipe->bench, pipe->target);
}

bool pipe_has_room(const struct pipe *pipe)
{
    return pipe->out.len < OUT_MOST && pipe->unanswered < UNANSWERED_MOST;
}

void pipe_publish(struct pipe *pipe, const char *channel, const char *message, size_t len)
{
    const struct options *options = pipe->bench->options;
    const size_t most = strlen(options->publish_at) + strlen(channel) + len + MEDIUM_OVERHEAD;
    char *out = buffer_space(&pipe->out, most);

    buffer_grew(&pipe->out, options->medium->put(out, options->publish_at, channel, message, len));
    pipe->unanswered++;
}

const char *pipe_flush(struct pipe *pipe)
{
    while (pipe->out.len > 0) {
        const ssize_t sent = send(pipe->fd, pipe->out.at, pipe->out.len, MSG_NOSIGNAL);
        if (sent == -1)
            return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
        buffer_drop(&pipe->out, (size_t)sent);
    }
    return NULL;
}

/* Stores the error text of a reply in printable form. */
static void store_reply_error(char *error, size_t size, const struct medium_reply *reply)
{
    const size_t len = reply->len < size - 1 ? reply->len : size - 1;

    for (size_t i = 0; i < len; i++)
        error[i] = reply->text[i] >= ' ' && reply->text[i] <= '~' ? reply->text[i] : '?';
    error[len] = '\0';
}

static void count_publish_reply(struct pipe *pipe, const struct medium_reply *reply)
{
    struct publisher_board *board = &pipe->bench->board->publisher;

    pipe->unanswered--;
    board_add(&board->answered, 1);
    if (!reply->ok) {
        board_add(&board->failed, 1);
        store_reply_error(board->error, sizeof(board->error), reply);
    } else if (reply->receivers > 0) {
        board_add(&board->receivers, (uint64_t)reply->receivers);
    } else if (reply->receivers == 0) {
        board_add(&board->nobody, 1);
    }
}

/* Takes all complete replies. Returns NULL, or a description of the error. */
static const char *take_whole_replies(struct pipe *pipe)
{
    size_t at = 0;

    while (at < pipe->in_len) {
        struct medium_reply reply;
        const ssize_t used =
            pipe->bench->options->medium->get(&reply, pipe->in + at, pipe->in_len - at);
        if (used < 0)
            return "malformed reply";
        if (used == 0)
            break;
        if (pipe->unanswered == 0)
            return "a reply without a request";
        count_publish_reply(pipe, &reply);
        at += (size_t)used;
    }
    memmove(pipe->in, pipe->in + at, pipe->in_len - at);
    pipe->in_len -= at;
    return pipe->in_len < sizeof(pipe->in) ? NULL : "the reply is too long";
}

const char *pipe_read(struct pipe *pipe)
{
    const ssize_t got = recv(pipe->fd, pipe->in + pipe->in_len, sizeof(pipe->in) - pipe->in_len, 0);
    if (got == 0)
        return "the other side closed the connection";
    if (got == -1)
        return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
    pipe->in_len += (size_t)got;
    return take_whole_replies(pipe);
}
