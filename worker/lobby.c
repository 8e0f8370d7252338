/*
 * See lobby.h. First come, first served, but who waits for one worker does not wait for another's.
 * The ring was asked for room by home_give, so that its reader wakes this worker. Whoever has ended
 * meanwhile is recognised by his reference; a client that waits for too long is ended by the sweep,
 * as any whose handshake takes too long. With a worker its lobby dies: those in it are dirty and
 * are closed, and ask again.
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
    struct login login;   /* user_len 0: it begins anew */
    uint32_t home, size;  /* what it waits for, where there is a login */
    uint64_t deadline_ms; /* and where there is none */
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

static void let_in(struct worker *worker, struct guest guest)
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
    let_in(worker,
           (struct guest){
               .ref = conn_ref(worker->table, conn), .home = home, .size = size, .login = *login});
}

void lobby_again(struct worker *worker, const struct conn *conn)
{
    const uint64_t patience_ms = (uint64_t)worker->config->auth_timeout * 1000;
    let_in(worker, (struct guest){.ref = conn_ref(worker->table, conn),
                                  .login.kicks = kicks_now(worker),
                                  .deadline_ms = worker->now_ms + patience_ms});
}

/* May put the guest back, at the end. */
static void let_go(struct worker *worker, struct guest *guest)
{
    struct auth auth = {.login = guest->login};
    struct conn *conn = conn_deref(worker->table, worker->capacity, guest->ref, worker->id);
    if (conn && conn_has(conn, CONN_ASKED))
        upgrade_resume(worker, conn, &auth, auth.login.user_len > 0);
    free(guest);
}

/* Asks for room anew where there is none: a wish lasts for a turn. */
static bool may_go(struct worker *worker, const struct guest *guest)
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
        if (may_go(worker, guest))
            let_go(worker, guest);
        else
            STAILQ_INSERT_TAIL(&worker->lobby->guests, guest, next);
    }
}
