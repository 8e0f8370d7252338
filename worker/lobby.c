/*
 * See lobby.h. First come, first served, but connections that wait for one worker do not delay
 * those for another. home_give requested the room in the ring, so its reader wakes this worker. A
 * connection that has ended meanwhile is recognised by its reference; a client that waits too long
 * is ended by the sweep, like any whose handshake takes too long. The lobby dies with its worker:
 * its connections are dirty and are closed, and the clients retry.
 */
#include "worker/lobby.h"

#include "worker/command.h"
#include "worker/kicks.h"
#include "worker/move.h"
#include "worker/rings.h"
#include "worker/upgrade.h"

#include <stdlib.h>
#include <sys/queue.h>

struct guest {
    struct conn_ref ref;
    struct login login;   /* user_len 0: the login is repeated */
    uint32_t home, size;  /* the ring it waits for, if there is a login */
    uint64_t deadline_ms; /* how long it waits, if there is none */
    STAILQ_ENTRY(guest) next;
};
STAILQ_HEAD(guests, guest);

struct lobby {
    struct guests guests;
};

struct lobby *lobby_new(void)
{
    struct lobby *lobby = malloc(sizeof(*lobby));
    if (lobby)
        STAILQ_INIT(&lobby->guests);
    return lobby;
}

static void add_lobby_guest(struct worker *worker, struct guest guest)
{
    struct guest *kept = malloc(sizeof(*kept));
    if (!kept)
        abort();
    *kept = guest;
    STAILQ_INSERT_TAIL(&worker->lobby->guests, kept, next);
}

void lobby_wait(struct worker *worker, const struct conn *conn, const struct login *login,
                uint32_t home, uint32_t size)
{
    add_lobby_guest(worker, (struct guest){.ref = conn_ref(worker->table, conn),
                                           .home = home,
                                           .size = size,
                                           .login = *login});
}

void lobby_again(struct worker *worker, const struct conn *conn)
{
    const uint64_t patience_ms = (uint64_t)worker->config->auth_timeout * 1000;
    add_lobby_guest(worker, (struct guest){.ref = conn_ref(worker->table, conn),
                                           .login.kicks = kicks_now(worker),
                                           .deadline_ms = worker->now_ms + patience_ms});
}

/* Resumes the guest's login, which may put it back at the end of the lobby. Frees the guest. */
static void release_lobby_guest(struct worker *worker, struct guest *guest)
{
    struct auth auth = {.login = guest->login};
    struct conn *conn = conn_deref(worker->table, worker->capacity, guest->ref, worker->id);
    if (conn && conn_has(conn, CONN_ASKED))
        upgrade_resume(worker, conn, &auth, auth.login.user_len > 0);
    free(guest);
}

/* True if the guest can proceed. Requests room in its ring again if there is none: a request lasts
 * for one turn. */
static bool guest_may_proceed(struct worker *worker, const struct guest *guest)
{
    if (guest->login.user_len > 0)
        return guest->home == worker->id || rings_room(worker, guest->home, guest->size);
    return command_ready(worker) || worker->now_ms >= guest->deadline_ms;
}

void lobby_turn(struct worker *worker)
{
    struct guests guests = STAILQ_HEAD_INITIALIZER(guests);
    struct guest *guest;
    if (!move_admits(worker))
        return;
    STAILQ_CONCAT(&guests, &worker->lobby->guests);
    while ((guest = STAILQ_FIRST(&guests))) {
        STAILQ_REMOVE_HEAD(&guests, next);
        if (guest_may_proceed(worker, guest))
            release_lobby_guest(worker, guest);
        else
            STAILQ_INSERT_TAIL(&worker->lobby->guests, guest, next);
    }
}
