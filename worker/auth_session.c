/*
 * Login by session: GET <prefix><value of the cookie or header> in Redis names the user. The
 * command goes over the worker's command link, and the loop is not blocked.
 *
 *              command_send            reply, or the link has failed
 *     request ─────────────▶ waiting ─────────────────────────────────▶ upgrade_resume
 *                               │ auth_timeout                                ▲
 *                               ├─────────────────────────────────────────────┘ unavailable
 *                               ▼
 *                             late ──────────────── the reply, or none ───────▶ freed
 *
 * While it waits a connection is in HANDSHAKE with CONN_ASKED. Its request is in its hold, and it
 * is not watched, so nothing more is read. All connections wait for the same time, so the queue is
 * in the order of the deadlines, and one timer suffices. A connection that has ended meanwhile is
 * recognised by its reference. A dying worker loses its questions: such a connection is dirty and
 * is closed; the client retries.
 */
#include "worker/auth_methods.h"

#include "common/log.h"
#include "proto/session.h"
#include "worker/command.h"
#include "worker/upgrade.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { VALUE_MAX = 1024 }; /* most bytes of a session's name */

struct question {
    struct conn_ref ref;
    uint64_t deadline_ms;
    bool late;        /* out of the queue; the reply is still due */
    struct auth auth; /* the login so far */
    TAILQ_ENTRY(question) waiting;
};

struct questions {
    TAILQ_HEAD(question_queue, question) waiting; /* ordered by deadline */
    struct event *timer;                          /* pending while the queue is not empty */
};

/* ---- The answer ---- */

/* Resumes the connection's login, if it still exists. */
static void resume_login(struct worker *worker, struct question *question, bool found)
{
    struct conn *conn = conn_deref(worker->table, worker->capacity, question->ref, worker->id);
    if (conn && conn_has(conn, CONN_ASKED))
        upgrade_resume(worker, conn, &question->auth, found);
}

static const char *read_session_user(struct login *login, const redisReply *reply)
{
    char user[USER_MAX];
    if (reply->type == REDIS_REPLY_NIL)
        return "there is no such session";
    if (reply->type != REDIS_REPLY_STRING)
        return "the session is of the wrong type";
    const ssize_t len = session_user(user, sizeof(user), reply->str, reply->len);
    return len < 0 ? "the session names no user" : auth_take_user(login, user, (size_t)len);
}

/* Returns the reason for an error reply. Only WRONGTYPE is about the session. */
static const char *read_session_error(struct auth *auth, const redisReply *reply)
{
    static const char wrong_type[] = "WRONGTYPE";
    static struct log_limit limit;
    if (strncmp(reply->str, wrong_type, sizeof(wrong_type) - 1) == 0)
        return "the session is of the wrong type";
    if (log_allow(&limit, 10, NULL))
        log_warn("session_refused_by_redis", "why=%s", log_quote(reply->str, reply->len));
    auth->unavailable = true;
    return "Redis refuses to answer";
}

static void on_session_reply(struct worker *worker, const redisReply *reply, void *arg)
{
    struct question *question = arg;
    struct auth *auth = &question->auth;
    const char *why = "the link to Redis has failed";
    if (!question->late) {
        TAILQ_REMOVE(&worker->questions->waiting, question, waiting);
        if (!reply)
            auth->unavailable = true;
        else if (reply->type == REDIS_REPLY_ERROR)
            why = read_session_error(auth, reply);
        else
            why = read_session_user(&auth->login, reply);
        if (why)
            auth_note(worker, auth, why);
        resume_login(worker, question, why == NULL);
    }
    free(question);
}

/* ---- The deadline ---- */

static void set_deadline_timer(struct worker *worker)
{
    const struct question *first = TAILQ_FIRST(&worker->questions->waiting);
    if (!first || event_pending(worker->questions->timer, EV_TIMEOUT, NULL))
        return;
    const uint64_t left =
        first->deadline_ms > worker->now_ms ? first->deadline_ms - worker->now_ms : 0;
    event_add(worker->questions->timer,
              &(struct timeval){(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)});
}

static void on_session_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    struct question *question;
    (void)fd, (void)what;
    worker_note_time(worker);
    while ((question = TAILQ_FIRST(&worker->questions->waiting)) &&
           question->deadline_ms <= worker->now_ms) {
        TAILQ_REMOVE(&worker->questions->waiting, question, waiting);
        question->late = true;
        question->auth.unavailable = true;
        auth_note(worker, &question->auth, "Redis does not answer");
        resume_login(worker, question, false);
    }
    set_deadline_timer(worker);
}

int auth_session_open(struct worker *worker)
{
    struct questions *questions = calloc(1, sizeof(*questions));
    if (!questions)
        return -1;
    worker->questions = questions;
    TAILQ_INIT(&questions->waiting);
    questions->timer = event_new(worker->base, -1, 0, on_session_deadline, worker);
    return questions->timer ? 0 : -1;
}

/* ---- The question ---- */

static bool find_session_value(const struct config *config, const struct http_request *request,
                               struct slice *value)
{
    const struct slice *header =
        *config->session.header ? http_header_find(request, config->session.header, NULL) : NULL;
    if (header && header->len > 0)
        *value = *header;
    else if (!*config->session.cookie || !auth_cookie(request, config->session.cookie, value))
        return false;
    return value->len > 0;
}

/* Sends GET <prefix><value>. Returns 0, or -1 if Redis cannot be asked. */
static int ask_for_session(struct worker *worker, struct question *question, struct slice value)
{
    char key[VALUE_MAX + 128];
    const size_t prefix_len = strlen(worker->config->session.prefix);
    memcpy(key, worker->config->session.prefix, prefix_len);
    memcpy(key + prefix_len, value.at, value.len);
    return command_send(worker, 2, (const char *[]){"GET", key},
                        (const size_t[]){3, prefix_len + value.len}, on_session_reply, question);
}

enum auth_step auth_by_session(struct worker *worker, struct conn *conn,
                               const struct http_request *request, struct auth *auth,
                               const char **why)
{
    struct slice value;
    *why = "there is no session";
    if (!find_session_value(worker->config, request, &value))
        return STEP_NOTHING;
    *why = "the session is too long";
    if (value.len > VALUE_MAX)
        return STEP_NOTHING;
    struct question *question = malloc(sizeof(*question));
    if (!question)
        abort();
    *question = (struct question){
        .ref = conn_ref(worker->table, conn),
        .deadline_ms = worker->now_ms + (uint64_t)worker->config->auth_timeout * 1000,
        .auth = *auth,
    };
    *why = "Redis cannot be asked";
    if (ask_for_session(worker, question, value) == -1) {
        free(question);
        return STEP_UNAVAILABLE;
    }
    TAILQ_INSERT_TAIL(&worker->questions->waiting, question, waiting);
    set_deadline_timer(worker);
    return STEP_ASKED;
}
