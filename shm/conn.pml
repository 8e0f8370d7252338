/*
 * The life of a connection's record, from accept4(2) to close(2), including its hand-over from one
 * worker to another, as a Promela model: `make model` has spin try every order of the workers' steps,
 * with a death at any of them.
 *
 * What must hold:
 *   - No worker closes a descriptor of another connection: what close(2) gets is still the connection
 *     that the record was claimed for.
 *   - No record and no descriptor leaks: the model ends only when each client has come and gone, and
 *     nothing is left. A connection that no worker could ever end is an end state that spin reports.
 *   - Whenever a worker is about to sleep, each of its connections is registered in its epoll set, each
 *     with a user that is not about to end is in its index, and the count is right. A CLOSING connection
 *     stays CLOSING: if it is closed after its HELLO in the same turn (by its own close frame, a kick, a
 *     newer device), the flush does not make it OPEN.
 *   - Each member of a topic is a connection that this worker has and that is not about to end: no
 *     membership passes with a descriptor to the next connection.
 *   - The answer that a ring brings goes to the connection that it was written for, and only the worker
 *     that gave a connection away may say that it is lost.
 *   - No connection that was given away waits for the sweep to end it: its new owner is told by a ring, or
 *     `handing` names it, for the worker that gave it or for that worker's successor.
 *   - An event of an epoll set finds its own record, or what a worker left that died between a record's
 *     release and close(2), and then it does not come for ever.
 *
 * A step is one store, one system call, or one change of the index; after each a worker may die
 * (MAY_DIE). Steps that other workers cannot distinguish from one step are `atomic`, so that there are
 * fewer orders to try. Stores are seen in their order: each store of a record is a release, and a record
 * changes hands by a ring, which ring.pml models. Here a ring is a queue; an entry taken from it stays
 * until it is committed.
 *
 * A read of a socket may find the end of the client's bytes at any time, and a timer may expire at any
 * time. Between accept4(2) and its note of it, and between a record's release and close(2), a worker
 * ends no turn, unless it dies: worker/audit.c, which waits for every worker's turn to end, relies on
 * that to tell which descriptors no worker owns, and the model takes it for granted (`in_hand`).
 *
 * Left out: the purpose of topics (worker/topic.pml); the change of the number of workers (shm/plan.h);
 * the bytes sent to the client. So the model does not see that a worker that dies between send(2) and
 * hold_settle leaves an answer that its successor sends again.
 *
 * Comments at the ends of lines, and mutants, have the form described in ring.pml.
 */
#ifndef WORKERS
#define WORKERS 2
#define FDS     2
#define CLIENTS 2
#define DEATHS  1
#define MORTALS 2           /* workers that may die: those below it */
#endif

mtype = { FREE, HANDSHAKE, MOVING, SUBSCRIBING, OPEN, CLOSING };
mtype = { ADOPT, ORPHAN };

/* The records. */
mtype state[FDS] = FREE;
byte generation[FDS];
byte owner[FDS];
bit watched[FDS];
bit indexed[FDS];
bit greeting[FDS];
byte dirty[FDS];            /* 1: bytes are in its owner's memory; 2: they died with the owner (hold_lost) */

/* The slots, and the rings between them. */
byte handing[WORKERS];      /* descriptor + 1 */
byte handing_generation[WORKERS];
byte connections[WORKERS];
byte members[WORKERS * FDS];    /* by descriptor: the generation + 1 of a topic's member */
#define MEMBER(w, fd) members[(w) * FDS + (fd)]
chan ring[WORKERS * WORKERS] = [CLIENTS + DEATHS] of { mtype, byte, byte };   /* never full */
#define RING(from, to) ring[(from) * WORKERS + (to)]

/* The kernel: the client of each descriptor, and each epoll set's registrations, as generation + 1. */
byte client[FDS];
byte registered[WORKERS * FDS];
#define REGISTERED(w, fd) registered[(w) * FDS + (fd)]
byte arrived, left;         /* clients that have come, and gone */

/* For the checks alone: the client that a record is of, and the worker that has the descriptor in hand. */
byte whose[FDS];
byte in_hand[FDS];          /* worker + 1 */
byte giver[FDS];            /* worker + 1 that has handed it over; 0: none */
byte suspect[FDS];          /* the audit's: a connection that no worker owned, and its record's generation */
byte suspect_generation[FDS];
byte deaths = DEATHS;       /* still to come */

#define ALL_GONE (left == CLIENTS)
#define IN_USE(w, fd) (state[fd] != FREE && owner[fd] == w)
#define LOST(fd) (dirty[fd] == 2)                        /* worker/hold.h hold_lost: return conn_has(conn, CONN_DIRTY) && conn->incarnation != worker->incarnation; */
#define MAY_DIE if :: atomic { deaths > 0 && w < MORTALS -> deaths--; goto dead } :: true fi

/* ---- System calls ---- */

#define CALLER_WAITS (arrived < CLIENTS && (client[0] == 0 || client[FDS - 1] == 0))

/* Takes the lowest free number, as POSIX requires. */
inline sys_accept()
{
    d_step {
        fd = 0;
        do
        :: fd < FDS && client[fd] -> fd++
        :: else -> break
        od;
        arrived++;
        client[fd] = arrived;
        whose[fd] = arrived;
        giver[fd] = 0;
        in_hand[fd] = w + 1
    }
}

inline sys_close()
{
    d_step {
        client[fd] = 0;
        left++;
        i = 0;
        do
        :: i < WORKERS -> REGISTERED(i, fd) = 0; i++
        :: else -> break
        od;
        i = 0;
        in_hand[fd] = 0
    }
}

/* ---- Watching and ending ---- */

inline client_watch()
{
    if
    :: watched[fd]                                      /* worker/client.c client_watch: if (conn_has(conn, CONN_WATCHED)) */
    :: else ->
        atomic {
            REGISTERED(w, fd) = generation[fd] + 1;     /* worker/client.c client_watch: const int done = epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_ADD, client_fd(worker, conn), &event); */
            MAY_DIE;
            watched[fd] = true;                         /* worker/client.c client_watch: conn_set(conn, CONN_WATCHED); */
            MAY_DIE
        }
    fi
}

inline client_unwatch()
{
    if
    :: !watched[fd]                                     /* worker/client.c client_unwatch: if (!conn_has(conn, CONN_WATCHED)) */
    :: else ->
        REGISTERED(w, fd) = 0;                          /* worker/client.c client_unwatch: epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_DEL, client_fd(worker, conn), NULL); */
        MAY_DIE;
        watched[fd] = false;                            /* worker/client.c client_unwatch: conn_clear(conn, CONN_WATCHED); */
        MAY_DIE
    fi
}

inline conn_release()
{
    d_step {
        assert(state[fd] != FREE && owner[fd] == w && !indexed[fd]);    /* shm/conn.c conn_release: assert((word & CONN_INDEXED) == 0 && conn->topics == 0); */
        generation[fd]++;
        state[fd] = FREE;                               /* shm/conn.c conn_release: conn_publish(conn, word_make(word_generation(word) + 1, 0, CONN_FREE, 0)); */
        owner[fd] = 0;
        watched[fd] = 0;
        greeting[fd] = 0;
        dirty[fd] = 0;
        in_hand[fd] = w + 1
    }
}

inline close_own()
{
    assert(client[fd] && client[fd] == mine);
    sys_close()
}

/* The move to CLOSING. Clears the flags that the state does not allow. */
inline close_record()
{
    d_step {
        assert(state[fd] == SUBSCRIBING || state[fd] == OPEN);
        state[fd] = CLOSING;
        /* mutant open_again: skip */
        greeting[fd] = false                            /* shm/conn.c conn_set_state: word_flags(word) & rules[state].flags)); */
    }
}

inline home_leave()
{
    /* mutant member_left_behind: skip; */
    MEMBER(w, fd) = 0;                                  /* worker/home.c home_leave: join_end(worker, conn); */
    MAY_DIE;
    indexed[fd] = false;                                /* worker/home.c home_leave: users_remove(&worker->users, (uint32_t)(conn - worker->table)); */
    MAY_DIE
}

inline client_end()
{
    atomic {
        mine = whose[fd];
        if
        :: state[fd] == OPEN || state[fd] == SUBSCRIBING ->
            /* mutant end_without_word: skip; */
            close_record();                             /* worker/client.c client_end: conn_set_state(conn, CONN_CLOSING); */
            MAY_DIE
        :: else
        fi;
        /* mutant release_indexed: skip; */
        home_leave();                                   /* worker/client.c client_end: home_leave(worker, conn); */
        outbox = outbox & ~(1 << fd);                   /* worker/client.c client_end: outbox_forget(worker, conn); */
        connections[w]--;                               /* worker/client.c client_end: worker_count(worker, -1, 0); */
        MAY_DIE
    };
    /* mutant close_before_release: close_own(); */
    conn_release();                                     /* worker/client.c client_end: conn_release(conn); */
    MAY_DIE;
    /* mutant close_before_release: conn_release(); */
    close_own();                                        /* worker/client.c client_end: close(fd); */
    mine = 0
}

inline client_close()
{
    atomic {
        /* mutant leave_before_word: home_leave(); */
        close_record();                                 /* worker/client.c client_close: conn_set_state(conn, CONN_CLOSING); */
        MAY_DIE;
        /* mutant leave_before_word: close_record(); */
        home_leave();                                   /* worker/client.c client_close: home_leave(worker, conn); */
    }
}

/* ---- Coming home ---- */

#define DEREF   (state[fd] != FREE && owner[fd] == w && generation[fd] == gen)  /* shm/conn.c conn_deref: if (word_generation(word) != ref.generation || word_owner(word) != owner || word_state(word) == CONN_FREE || word_state(word) > CONN_CLOSING) */
#define ARRIVES (DEREF && state[fd] == MOVING)          /* worker/home.c home_adopt: const bool arrives = conn && word_state(conn_word(conn)) == CONN_MOVING; */
#define AGAIN   (DEREF && state[fd] == SUBSCRIBING && LOST(fd))   /* worker/home.c home_adopt: const bool again = conn && word_state(conn_word(conn)) == CONN_SUBSCRIBING && hold_lost(worker, conn); */

inline home_adopt()
{
    if
    /* mutant adopt_without_generation: :: atomic { owner[fd] == w && state[fd] == MOVING || AGAIN -> */
    :: atomic { ARRIVES || AGAIN ->
            assert(generation[fd] == gen);
            connections[w] = connections[w] + (state[fd] == MOVING -> 1 : 0);   /* worker/home.c take_connection_in: home_count(worker, conn); */
            MAY_DIE;
            /* mutant home_before_mark: state[fd] = SUBSCRIBING; MAY_DIE; */
            dirty[fd] = 1;                              /* worker/home.c take_connection_in: hold_mark(worker, conn); */
            MAY_DIE;
            state[fd] = SUBSCRIBING;                    /* worker/home.c take_connection_in: conn_set_state(conn, CONN_SUBSCRIBING); */
            MAY_DIE;
            client_watch();                             /* worker/home.c take_connection_in: if (client_watch(worker, conn) == 0) */
            if
            :: !indexed[fd] -> state[fd] = CLOSING      /* worker/home.c home_adopt: refuse(worker, conn, refused_devices, &worker->stats->refused_devices); */
            :: !indexed[fd] -> indexed[fd] = true       /* worker/home.c home_adopt: enter_user_index(worker, conn, ref.fd); */
            :: indexed[fd]
            fi;
            MAY_DIE;
#if FDS > 1
            if                                          /* worker/home.c home_adopt: replace_oldest_devices(worker, conn); */
            :: state[1 - fd] == SUBSCRIBING || state[1 - fd] == OPEN ->
                if
                :: indexed[fd] && indexed[1 - fd] && owner[1 - fd] == w ->
                    fd = 1 - fd;
                    client_close();
                    fd = 1 - fd
                :: true
                fi
            :: else
            fi;
#endif
            dirty[fd] = 0;                              /* worker/outbox_send.c settle_sent_target: hold_settle(worker, conn); */
            MAY_DIE
        }
    :: else
    fi
}

inline home_orphan()
{
    if
    /* mutant orphan_whatever: :: DEREF -> */
    :: DEREF && state[fd] == MOVING ->                  /* worker/home.c home_orphan: if (!conn || word_state(conn_word(conn)) != CONN_MOVING) */
        assert(giver[fd] == from + 1);
        connections[w]++;                               /* worker/home.c home_orphan: home_count(worker, conn); */
        MAY_DIE;
        client_end()                                    /* worker/home.c home_orphan: client_end(worker, conn, CLOSED_DIRTY); */
    :: else
    fi
}

inline adopt_here()
{
    atomic {
        gen = generation[fd];
        state[fd] = MOVING;                             /* worker/home.c adopt_in_this_worker: conn_set_state(conn, CONN_MOVING); */
        MAY_DIE;
        connections[w]--;                               /* worker/home.c adopt_in_this_worker: worker_count(worker, -1, 0); */
        MAY_DIE
    };
    home_adopt()                                        /* worker/home.c adopt_in_this_worker: home_adopt(worker, adoption); */
}

inline hand_over()
{
    atomic {
        gen = generation[fd];                           /* worker/home.c home_give: const struct conn_ref ref = conn_ref(worker->table, conn); */
        /* mutant hand_over_in_silence: handing[w] = 0; */
        handing[w] = fd + 1; handing_generation[w] = gen;   /* worker/home.c home_give: atomic_store_explicit(&slot->handing, conn_ref_pack(ref), memory_order_release); */
        MAY_DIE;
        /* mutant clean_before_unwatched: dirty[fd] = 0; MAY_DIE; client_unwatch(); */
        client_unwatch();                               /* worker/home.c home_give: client_unwatch(worker, conn); */
        dirty[fd] = 0;                                  /* worker/home.c home_give: conn_clear(conn, CONN_DIRTY); */
        MAY_DIE;
        connections[w]--;                               /* worker/home.c home_give: worker_count(worker, -1, 0); */
        MAY_DIE
    };
    /* mutant publish_before_give: RING(w, home)!ADOPT, fd, gen; MAY_DIE; */
    atomic { owner[fd] = home; state[fd] = MOVING; giver[fd] = w + 1; MAY_DIE };    /* worker/home.c home_give: conn_give(conn, home); */
    /* mutant publish_before_give: atomic { owner[fd] = home; state[fd] = MOVING; giver[fd] = w + 1; MAY_DIE }; */
    atomic { RING(w, home)!ADOPT, fd, gen; MAY_DIE };   /* worker/home.c home_give: rings_publish(worker, home); */
    handing[w] = 0                                      /* worker/home.c home_give: atomic_store_explicit(&slot->handing, 0, memory_order_release); */
}

inline home_give()
{
    if
    :: home == w -> adopt_here()                         /* worker/home.c home_give: if (home == worker->id) { */
    :: else -> hand_over()
    fi;
    home = 0;
    gen = 0
}

/* ---- Events ---- */

/* A request has come, or a part of one, or the end of the client's bytes. */
inline upgrade_read()
{
    atomic { dirty[fd] = 1; MAY_DIE };                  /* worker/upgrade.c read_opening_bytes: hold_mark(worker, conn); */
    if
    :: client_end()                                     /* worker/upgrade.c read_head_bytes: client_end(worker, conn, CLOSED_RESET); */
    :: dirty[fd] = 0                                    /* worker/upgrade.c read_opening_bytes: hold_settle(worker, conn); */
    :: atomic { state[fd] = CLOSING; MAY_DIE; dirty[fd] = 0 }   /* worker/refuse.c refuse_with: conn_set_state(conn, CONN_CLOSING); */
    :: home = 0; home_give()                            /* worker/upgrade.c send_to_user_home: home_give(worker, conn, home, &entry)) */
    :: home = 1; home_give()
#if WORKERS > 2
    :: home = 2; home_give()
#endif
    fi
}

inline welcome()
{
    atomic {
        CALLER_WAITS -> sys_accept();                   /* worker/accept.c accept_on_readable: const int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK); */
        MAY_DIE;
        accepted = generation[fd];
        handing[w] = fd + 1; handing_generation[w] = accepted;  /* worker/accept.c claim_accepted_socket: atomic_store_explicit(&slot->handing, conn_ref_pack(conn_ref(worker->table, conn)), memory_order_release); */
        MAY_DIE;
        assert(state[fd] == FREE);                      /* shm/conn.c conn_claim: assert(conn_may_become(word_state(conn_word(conn)), CONN_HANDSHAKE)); */
        state[fd] = HANDSHAKE; owner[fd] = w;           /* shm/conn.c conn_claim: conn_publish(conn, word_make(generation, owner, CONN_HANDSHAKE, 0)); */
        in_hand[fd] = 0;
        MAY_DIE;
        connections[w]++;                               /* worker/accept.c claim_accepted_socket: worker_count(worker, 1, 0); */
        MAY_DIE
    };
    upgrade_read();                                     /* worker/accept.c claim_accepted_socket: upgrade_accepted(worker, conn); */
    atomic {
        if
        :: IN_USE(w, fd) && generation[fd] == accepted -> client_watch()    /* worker/accept.c claim_accepted_socket: !conn_has(conn, CONN_ASKED) && client_watch(worker, conn) == -1) */
        :: else
        fi;
        accepted = 0;
        handing[w] = 0                                  /* worker/accept.c claim_accepted_socket: atomic_store_explicit(&slot->handing, 0, memory_order_release); */
    }
}

inline read_open()
{
    atomic { dirty[fd] = 1; MAY_DIE };                  /* worker/client.c read_open_conn: hold_mark(worker, conn); */
    if
    :: client_end()                                     /* worker/client.c receive_bytes: client_end(worker, conn, n == 0 ? CLOSED_PEER : CLOSED_RESET); */
    :: client_close(); dirty[fd] = 0                    /* worker/client.c answer_close_frame: client_close(worker, conn, event->close_code, "", CLOSED_PEER); */
    :: MEMBER(w, fd) = generation[fd] + 1;              /* worker/join.c join_one_topic: member = topics_join(topics, topic, fd); */
        MAY_DIE;
        dirty[fd] = 0
    :: dirty[fd] = 0                                    /* worker/client.c client_feed: hold_settle(worker, conn); */
    fi
}

/* Closes a descriptor left by a worker that died between release and close(2). The worker that finds it
 * has read the record some time before: `gen` is the generation that it saw. */
inline close_nobodys()
{
    atomic {
        if
        /* mutant two_may_close: :: true -> */
        :: state[fd] == FREE && generation[fd] == gen ->    /* shm/conn.c conn_reclaim: atomic_compare_exchange_strong_explicit(&conn->word, &word, next, memory_order_acq_rel, memory_order_relaxed); */
            generation[fd]++;
            in_hand[fd] = w + 1;
            mine = whose[fd];
            MAY_DIE
        :: else
        fi
    };
    if
    :: mine -> close_own(); mine = 0
    :: else
    fi
}

inline close_leftover()
{
    atomic {
        found = state[fd] == FREE && REGISTERED(w, fd); /* worker/client.c close_leftover_socket: if (word_state(conn_word(conn)) == CONN_FREE && epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_DEL, (int)ref.fd, NULL) == 0 && */
        if
        :: found -> REGISTERED(w, fd) = 0; MAY_DIE
        :: else
        fi
    };
    if
    :: found ->
        found = false;
        /* mutant leftover_of_any_generation: gen = generation[fd]; */
        gen = gen + 1;
        close_nobodys()                                 /* worker/client.c close_leftover_socket: conn_reclaim(conn, word_make(ref.generation + 1, 0, CONN_FREE, 0))) */
    :: else
    fi
}

inline client_event()
{
    if
    :: DEREF && state[fd] == HANDSHAKE -> upgrade_read()
    :: DEREF && (state[fd] == SUBSCRIBING || state[fd] == OPEN) -> read_open()
    :: DEREF && state[fd] == CLOSING -> client_end()    /* worker/client.c receive_bytes: client_end(worker, conn, n == 0 ? CLOSED_PEER : CLOSED_RESET); */
    /* mutant event_for_ever: :: !DEREF -> skip */
    :: !DEREF -> close_leftover()                       /* worker/client.c handle_client_event: close_leftover_socket(worker, ref); */
    fi;
    assert(!REGISTERED(w, fd) || REGISTERED(w, fd) == generation[fd] + 1)
}

/* HELLO is made, and later sent. Other events of the same turn may come in between. */
#define MAY_GREET(fd) (IN_USE(w, fd) && state[fd] == SUBSCRIBING && indexed[fd] && !greeting[fd])

inline home_greet()
{
    atomic {
        greeting[fd] = true;                            /* worker/home.c home_greet: conn_set(conn, CONN_GREETING); */
        MAY_DIE;
        outbox = outbox | (1 << fd)                     /* worker/home.c home_greet: outbox_greet(worker, conn, frame); */
    }
}

inline hello_left()
{
    atomic {
        outbox = outbox & ~(1 << fd);
        if
        :: greeting[fd] ->                              /* worker/sending.c sending_note: if (conn_has(conn, CONN_GREETING)) */
            if
            /* mutant open_again: :: true -> state[fd] = OPEN; */
            :: state[fd] == SUBSCRIBING ->              /* worker/home.c home_greeted: if (word_state(conn_word(conn)) != CONN_SUBSCRIBING) */
                MAY_DIE;
                d_step { state[fd] = OPEN; greeting[fd] = false }   /* worker/home.c home_greeted: conn_set_state(conn, CONN_OPEN); */
            :: else
            fi
        :: else
        fi;
        MAY_DIE
    }
}

/* True if the worker that gave a connection, or its successor, will tell the new owner of it. */
#define GIVER          (giver[fd] - 1)
#define IS_HANDED(fd)  (handing[GIVER] == fd + 1 && handing_generation[GIVER] == generation[fd])
#define IS_TOLD(fd)    (RING(GIVER, w)??[ADOPT, eval(fd), eval(generation[fd])] || RING(GIVER, w)??[ORPHAN, eval(fd), eval(generation[fd])])

inline time_is_up()
{
    if
    :: state[fd] == HANDSHAKE || state[fd] == CLOSING -> client_end()   /* worker/sweep.c sweep_end_connection: client_end(worker, conn, CLOSED_RESET); */
    :: state[fd] == MOVING ->
        assert(giver[fd] && (IS_HANDED(fd) || IS_TOLD(fd)));
        connections[w]++;                               /* worker/sweep.c sweep_check_moving: home_count(worker, conn); */
        MAY_DIE;
        client_end()                                    /* worker/sweep.c sweep_check_moving: sweep_end_connection(worker, conn); */
    :: state[fd] == SUBSCRIBING || state[fd] == OPEN -> client_close()  /* worker/sweep.c sweep_check_open: client_close(worker, conn, */
                                                        /* worker/kicks.c close_kicked_conn: client_close(worker, conn, */
    :: state[fd] == SUBSCRIBING || state[fd] == OPEN -> client_end()    /* worker/outbox_send.c settle_sent_target: client_end(worker, conn, CLOSED_RESET); */
    fi
}

/* Handles one entry, then commits it. */
inline read_ring()
{
    RING(from, w)?<what, fd, gen>;                      /* shm/ring.c ring_take: return entry; */
    if
    :: what == ADOPT -> home_adopt()                    /* worker/rings.c ring_on_adopt: home_adopt(worker, (const struct adoption *)entry->bytes); */
    :: what == ORPHAN -> home_orphan()                  /* worker/rings.c ring_on_orphan: home_orphan(worker, (const struct conn_ref *)entry->bytes); */
    fi;
    MAY_DIE;
    RING(from, w)?what, fd, gen                         /* worker/rings.c commit_ring_batch: if (ring_commit(&worker->in[from])) */
}

/* The audit's two scans. Before the second, every worker has ended the turn in which the first was made,
 * so no worker still has the descriptor in hand. */
#define UNKNOWN(fd) (client[fd] && state[fd] == FREE)   /* worker/audit.c is_connection_fd: word_state(conn_word(&worker->table[fd])) != CONN_FREE; */
#define IS_STILL(fd) (suspect[fd] && UNKNOWN(fd) && suspect[fd] == client[fd] && suspect_generation[fd] == generation[fd]) /* worker/audit.c is_still_unknown: return !is_connection_fd(worker, suspect->fd) && audit_inode(suspect->fd) == suspect->inode && record_word_of_fd(worker, suspect->fd) == suspect->word && */
#define GRACE_OVER(fd) (in_hand[fd] == 0)               /* worker/audit.c first_worker_in_turn: worker_turn_count(worker, i) >= audit.turns[i] + TURNS)) */

inline look()
{
    if
    /* mutant closes_what_is_in_hand: :: atomic { IS_STILL(fd) -> */
    :: atomic { IS_STILL(fd) && GRACE_OVER(fd) ->
            gen = suspect_generation[fd];
            suspect[fd] = 0
        };
        close_nobodys()                                 /* worker/audit.c reclaim_suspect: !conn_reclaim(&worker->table[suspect->fd], suspect->word)) */
    :: else ->
        d_step {
            suspect[fd] = client[fd];                   /* worker/audit.c look_at_fd: audit.suspect[audit.suspects++] = suspect; */
            suspect_generation[fd] = generation[fd]
        }
    fi
}

/* ---- After a death ---- */

/* A record that a takeover leaves alone. */
#define AT_REST (state[fd] == OPEN && watched[fd] && !dirty[fd])
#define UNREST (IN_USE(w, fd) && (unrest >> fd & 1))    /* worker/takeover.c for_each_unrest: for (uint32_t fd = unrest_next(unrest, 0); fd < unrest->high; fd = unrest_next(unrest, fd + 1)) */

inline recount()
{
    d_step {
        connections[w] = 0;
        fd = 0;
        do
        :: fd < FDS ->
            /* mutant trusts_the_open: unrest = unrest | ((IN_USE(w, fd) && state[fd] != OPEN -> 1 : 0) << fd); */
            unrest = unrest | ((IN_USE(w, fd) && !AT_REST -> 1 : 0) << fd);     /* worker/takeover.c takeover_recount: if (!connection_is_at_rest(worker, conn, word) || poison_is_connection(worker, conn)) */
            connections[w] = connections[w] + (IN_USE(w, fd) && state[fd] != MOVING -> 1 : 0);  /* worker/takeover.c takeover_recount: if (word_state(word) == CONN_MOVING) */
            fd++
        :: else -> break
        od
    }
}

inline home_resume_handing()
{
    if
    :: handing[w] ->                                    /* worker/home.c home_resume_handing: const uint64_t handing = atomic_load_explicit(&worker->slot->handing, memory_order_acquire); */
        fd = handing[w] - 1;
        gen = handing_generation[w];
        if
        /* mutant orphan_by_number: :: state[fd] == MOVING && owner[fd] != w -> gen = generation[fd]; RING(w, owner[fd])!ORPHAN, fd, gen */
        :: state[fd] == MOVING && owner[fd] != w && generation[fd] == gen -> RING(w, owner[fd])!ORPHAN, fd, gen     /* worker/home.c home_resume_handing: if (word_state(word) == CONN_MOVING && word_owner(word) != worker->id && */
        :: else
        fi;
        MAY_DIE;
        handing[w] = 0                                  /* worker/home.c home_resume_handing: atomic_store_explicit(&worker->slot->handing, 0, memory_order_release); */
    :: else
    fi
}

inline end_lost()
{
    atomic { dirty[fd] = 1; MAY_DIE };                  /* worker/takeover.c takeover_end_connection: conn->incarnation = worker->incarnation; */
    client_end()                                        /* worker/takeover.c takeover_end_connection: client_end(worker, conn, reason); */
}

#define MAY_COME (state[fd] == SUBSCRIBING || state[fd] == MOVING)

inline take_over()
{
    fd = 0;
    do
    :: fd < FDS ->
        if
        /* mutant greeted_for_ever: :: false -> skip */
        :: UNREST -> greeting[fd] = false               /* worker/takeover.c take_over_connection: conn_clear(conn, CONN_GREETING); */
        :: else
        fi;
        if
        :: !UNREST
        :: UNREST && LOST(fd) && MAY_COME ->            /* worker/takeover.c take_over_connection: if (state != CONN_SUBSCRIBING && state != CONN_MOVING) */
            /* mutant claimed_by_a_push: dirty[fd] = 1 */
            skip                                        /* worker/outbox.c outbox_ends_with: const uint32_t place = find_connection_target(worker, conn); */
        :: UNREST && LOST(fd) && !MAY_COME -> end_lost()  /* worker/takeover.c take_over_connection: takeover_end_lost(worker, conn); */
        :: UNREST && !LOST(fd) ->
            if
            :: state[fd] == CLOSING ->
                /* mutant left_in_the_index: skip */
                home_leave()                            /* worker/takeover.c take_over_connection: home_leave(worker, conn); */
            :: else
            fi;
            if
            :: state[fd] != MOVING -> client_watch()    /* worker/takeover.c take_over_connection: client_watch(worker, conn); */
            :: else
            fi
        fi;
        fd++
    :: else -> break
    od
}

inline end_if_lost()
{
    fd = 0;
    do
    :: fd < FDS ->
        if
        :: UNREST && LOST(fd) ->
            /* mutant uncounted: skip; */
            connections[w] = connections[w] + (state[fd] == MOVING -> 1 : 0);   /* worker/takeover.c takeover_end_if_lost: home_count(worker, conn); */
            end_lost()                                  /* worker/takeover.c takeover_end_if_lost: takeover_end_lost(worker, conn); */
        :: else
        fi;
        fd++
    :: else -> break
    od;
    fd = 0
}

/* Adoptions are taken out of their rings ahead of all other entries. */
#define ADOPTION RING(from, w)??[ADOPT, _, _]

inline adopt_again()
{
    from = 0;
    do
    :: from < WORKERS && ADOPTION ->
        RING(from, w)??<ADOPT, fd, gen>;                /* worker/rings.c adopt_from_ring: if (entry_must_adopt(worker, from, entry, end)) */
        home_adopt();                                   /* worker/rings.c adopt_from_ring: handle_ring_entry(worker, from, entry, end); */
        MAY_DIE;
        RING(from, w)??ADOPT, eval(fd), eval(gen)       /* worker/rings.c finish_ring_adoptions: ring_cancel(&ring, entry); */
    :: from < WORKERS && !ADOPTION -> from++
    :: from == WORKERS -> break
    od;
    from = 0
}

inline takeover()
{
    recount();                                          /* worker/takeover.c takeover_finish: const struct unrest unrest = takeover_recount(worker); */
    MAY_DIE;
    home_resume_handing();                              /* worker/takeover.c takeover_finish: home_resume_handing(worker); */
    take_over();                                        /* worker/takeover.c takeover_finish: for_each_unrest(worker, &unrest, take_over_connection); */
    adopt_again();                                      /* worker/takeover.c takeover_finish: rings_adopt_again(worker); */
    end_if_lost();                                      /* worker/takeover.c takeover_finish: for_each_unrest(worker, &unrest, takeover_end_if_lost); */
    unrest = 0
}

/* ---- A worker ---- */

/* Checks the worker's connections whenever it is about to sleep. */
inline all_is_well()
{
    d_step {
        fd = 0;
        i = connections[w];
        do
        :: fd < FDS ->
            if
            :: IN_USE(w, fd) && state[fd] != MOVING ->
                assert(REGISTERED(w, fd) == generation[fd] + 1 && watched[fd]);
                assert(dirty[fd] == 0 && i > 0 && client[fd] == whose[fd]);
                assert(!(greeting[fd] && state[fd] == SUBSCRIBING) || (outbox >> fd & 1));
                assert((indexed[fd] || state[fd] == HANDSHAKE || state[fd] == CLOSING) && (state[fd] != CLOSING || !indexed[fd]));
                i--
            :: else
            fi;
            assert(!MEMBER(w, fd) || (IN_USE(w, fd) && MEMBER(w, fd) == generation[fd] + 1 && (state[fd] == SUBSCRIBING || state[fd] == OPEN)));
            fd++
        :: else -> break
        od;
        assert(i == 0);
        fd = 0
    }
}

#define EVENTS(n)                                                                       \
    :: atomic { REGISTERED(w, n) -> fd = n; gen = REGISTERED(w, n) - 1 }; client_event()  \
    :: atomic { IN_USE(w, n) -> fd = n }; time_is_up()                                  \
    :: atomic { MAY_GREET(n) -> fd = n }; home_greet()                                  \
    :: atomic { outbox >> n & 1 -> fd = n }; hello_left()                               \
    :: atomic { w == 0 && UNKNOWN(n) -> fd = n }; look()

proctype worker(byte w)
{
    byte fd, gen, accepted, home, from, mine, i, unrest;
    byte outbox;                /* the connections whose HELLO is in it, one bit each */
    bit found;
    mtype what;

    goto first;
dead:
    skip;
    d_step {
        fd = 0;
        do
        :: fd < FDS ->
            dirty[fd] = (owner[fd] == w && dirty[fd] -> 2 : dirty[fd]);
            in_hand[fd] = (in_hand[fd] == w + 1 -> 0 : in_hand[fd]);
            suspect[fd] = (w == 0 -> 0 : suspect[fd]);
            fd++
        :: else -> break
        od;
        fd = 0; gen = 0; accepted = 0; home = 0; from = 0; mine = 0; i = 0; found = 0; what = 0;
        unrest = 0;
        outbox = 0
    };
    takeover();                                         /* worker/worker.c worker_run: takeover_finish(&worker); */
first:
    do
    :: ALL_GONE -> break
    :: else ->
        all_is_well();
        if
        :: ALL_GONE
        :: welcome()
        EVENTS(0)
#if FDS > 1
        EVENTS(1)
#endif
        :: atomic { nempty(RING(0, w)) -> from = 0 }; read_ring()
        :: atomic { nempty(RING(1, w)) -> from = 1 }; read_ring()
#if WORKERS > 2
        :: atomic { nempty(RING(2, w)) -> from = 2 }; read_ring()
#endif
        fi;
        d_step { fd = 0; gen = 0; home = 0; from = 0; what = 0 }
    od
}

init {
    atomic {
        run worker(0);
        run worker(1);
#if WORKERS > 2
        run worker(2)
#endif
    }
}
