/*
 * The ring from one worker to another, and the latch with which its two ends sleep, as a Promela model:
 * `make model` has spin try every order of their steps, with a death at any of them.
 *
 *     Redis ──▶ worker 0 ──▶ ring of ROOM entries ──▶ worker 1
 *               copies                                takes
 *
 * What must hold:
 *   - Nothing is lost, invented, doubled or damaged: the entry at position p is push p + 1, complete,
 *     whenever it is read.
 *   - No wake-up is lost: the model ends only when all entries have been taken. Both ends asleep with work
 *     left is an end state that spin reports. The loop's timer, which looks at everything once a second,
 *     is left out: nothing may have to wait for it.
 *   - No end spins: every run ends, so spin is asked for a cycle and must find none.
 *
 * Memory is weak. A store goes into a buffer, where only its own worker sees it, and from there to all
 * workers in any order, with two exceptions: a release store comes after those that were in the buffer
 * before it, and a fence waits for all. The law of one writer makes that easy: each word has its own
 * buffer. When a worker is killed, the stores in its buffer are made or lost, in any combination that the
 * order allows. So the model covers a processor's store buffer and a compiler that moves stores. Loads
 * are made in their order: `make tsan` checks that the acquires are where they must be.
 *
 * Left out: a turn may leave a batch unfinished (worker/batch.h), because the worker never sleeps then and
 * commits later in the same order; entries of several sizes, bytes that wrap, and the padding of a quiet
 * ring, because tests/unit/test_ring.c covers them; the Redis link, whose bytes the kernel's counts tell
 * after a death (shm/stream.h).
 *
 * A comment that ends a line with a file, a function and a statement names the statement that the line
 * models. scripts/model checks them against the code: each statement must be in that function, in this
 * order. "mutant NAME: text" is a mistake that replaces the next line, or comes between it and the line
 * before, and scripts/model demands that the model then fails: a mistake that shows nowhere proves nothing.
 */
#ifndef PUSHES
#define PUSHES 3
#define DEATHS 1
#define ROOM   2
#endif

/* The words, by their writer. */
#define TAIL      0         /* ring_control.tail: position * 2 + which origin */
#define ORIGIN    1         /* ring_control.origin[2] */
#define WANTS     3         /* ring_control.wants_room */
#define CELL      4         /* the bytes of the entries: ROOM of them */
#define NEWS0     6         /* slot[0].news */
#define SLEEPING0 7         /* slot[0].sleeping */
#define START     8         /* slot[0].link.in.start */
#define HEAD      9         /* ring_control.head */
#define NEWS1     10        /* slot[1].news */
#define SLEEPING1 11        /* slot[1].sleeping */
#define WORDS     12
#define MINE0     511       /* worker 0's words as bits, and worker 1's */
#define MINE1     3584

byte memory[WORDS];         /* what all workers see */
byte buffer[WORDS];         /* stored and not yet seen, if `pending` has the word's bit */
short pending;
short behind[WORDS];        /* stores that must be seen before this one */

#define BIT(word)        (1 << (word))
#define OWN(word)        ((pending & BIT(word)) -> buffer[word] : memory[word])
#define POSITION(tail)   ((tail) >> 1)

inline store(word, value)   /* memory_order_relaxed */
{
    !(pending & BIT(word));
    buffer[word] = value;
    pending = pending | BIT(word)
}

inline release(word, value, mine)
{
    !(pending & BIT(word));
    behind[word] = pending & mine;
    buffer[word] = value;
    pending = pending | BIT(word)
}

#define FENCE(mine) ((pending & mine) == 0)     /* as a statement: waits until it is so */

inline make_seen(word)
{
    memory[word] = buffer[word];
    pending = pending & ~BIT(word);
    forget(word);
    do
    :: i < WORDS -> behind[i] = behind[i] & ~BIT(word); i++
    :: else -> break
    od;
    i = 0
}

inline forget(word)
{
    buffer[word] = 0;
    behind[word] = 0
}

#define SEEN(word) (pending & BIT(word)) && !(behind[word] & pending)

/* Moves stores from the buffer to memory, in any order that is allowed. */
active proctype the_memory()
{
    byte i;
end:
    do
    :: d_step { SEEN(TAIL) -> make_seen(TAIL) }
    :: d_step { SEEN(ORIGIN) -> make_seen(ORIGIN) }
    :: d_step { SEEN(ORIGIN + 1) -> make_seen(ORIGIN + 1) }
    :: d_step { SEEN(WANTS) -> make_seen(WANTS) }
    :: d_step { SEEN(CELL) -> make_seen(CELL) }
    :: d_step { SEEN(CELL + 1) -> make_seen(CELL + 1) }
    :: d_step { SEEN(NEWS0) -> make_seen(NEWS0) }
    :: d_step { SEEN(SLEEPING0) -> make_seen(SLEEPING0) }
    :: d_step { SEEN(START) -> make_seen(START) }
    :: d_step { SEEN(HEAD) -> make_seen(HEAD) }
    :: d_step { SEEN(NEWS1) -> make_seen(NEWS1) }
    :: d_step { SEEN(SLEEPING1) -> make_seen(SLEEPING1) }
    od
}

/* The rest: the kernel's state, and the slot's state of the Redis link. */
bit event[2];               /* the eventfds: readable */
bit killed[2];
byte at_redis = PUSHES;     /* pushes in the socket, unread */
byte link_end;              /* of the link's stream: pushes from START to it are read and not committed */

#define ALL_DONE (memory[START] == PUSHES && memory[HEAD] == PUSHES)

active proctype death()
{
    byte left = DEATHS;
end:
    do
    :: atomic { left > 0 && !killed[0] -> killed[0] = true; left-- }
    :: atomic { left > 0 && !killed[1] -> killed[1] = true; left-- }
    od
}

/* Loses private memory, and perhaps the stores in the buffer. */
inline lose_stores(mine)
{
    i = 0;
    do
    :: i < WORDS ->
        if
        :: pending & mine & BIT(i) -> forget(i)
        :: else
        fi;
        i++
    :: else -> break
    od;
    pending = pending & ~mine;
    i = 0
}

inline latch_wake(w, sleeping, mine)
{
    atomic {
        /* mutant wake_without_fence: skip; */
        FENCE(mine);                                    /* shm/slot.c latch_wake: atomic_thread_fence(memory_order_seq_cst); */
        sleeps = memory[sleeping]                       /* shm/slot.c latch_wake: if (atomic_load_explicit(&slot->sleeping, memory_order_relaxed) == 0) */
    };
    d_step {
        event[w] = event[w] || sleeps;                  /* shm/slot.c latch_wake: write(slot->event_fd, &one, sizeof(one)) */
        sleeps = false
    }
}

inline latch_rest(sleeping, mine)
{
    release(sleeping, 1, mine);                         /* shm/slot.h latch_rest: atomic_store_explicit(&slot->sleeping, 1, memory_order_seq_cst); */
    /* mutant rest_without_fence: skip; */
    FENCE(mine)                                         /* shm/slot.h latch_rest: atomic_thread_fence(memory_order_seq_cst); */
}

/* ---- Worker 0: from Redis into the ring ---- */

#define FITS(head) (next_tail - (head) < ROOM)

inline ring_publish()
{
    tail = OWN(TAIL);                                   /* shm/ring.c ring_publish: const uint64_t tail = tail_as_stored(ring); */
    if
    :: POSITION(tail) == next_tail                      /* shm/ring.c ring_publish: if (tail_word_position(tail) == ring->next_tail) */
    :: else ->
        /* mutant wake_before_publish: latch_wake(1, SLEEPING1, MINE0); */
        skip;
        /* mutant origin_in_use: store(ORIGIN + (tail & 1), next_origin); */
        store(ORIGIN + 1 - (tail & 1), next_origin);    /* shm/ring.c ring_publish: atomic_store_explicit(&ring->control->origin[other], ring->next_origin, memory_order_relaxed); */
        /* mutant relaxed_tail: store(TAIL, next_tail * 2 + 1 - (tail & 1)); */
        release(TAIL, next_tail * 2 + 1 - (tail & 1), MINE0);   /* shm/ring.c ring_publish: atomic_store_explicit(&ring->control->tail, ring->next_tail | other, memory_order_release); */
        /* mutant wake_before_publish: skip; */
        wake = true;                                    /* worker/rings.c rings_publish: rings_poke(worker, to); */
    fi;
    tail = 0
}

inline ring_want_room()
{
    /* mutant look_at_another_head: skip; */
    seen_head = memory[HEAD];                           /* shm/ring.c ring_want_room: ring->seen_head = committed_head(ring); */
    if
    :: OWN(WANTS) == 1
    :: else ->                                          /* shm/ring.c ring_want_room: if (!producer_wants_room(ring)) { */
        /* mutant look_at_another_head: full_head = memory[HEAD]; */
        full_head = seen_head;                          /* shm/ring.c ring_want_room: ring->full_head = ring->seen_head; */
        /* mutant no_wish: skip; */
        store(WANTS, 1);                                /* shm/ring.c ring_want_room: atomic_store_explicit(&ring->control->wants_room, 1, memory_order_relaxed); */
    fi
}

/* Finds room for one push, or asks for it. */
inline room_in_all()
{
    if
    :: FITS(seen_head)                                  /* shm/ring.c ring_fits: return entry_fits_behind(ring, ring->seen_head, size) || */
    :: else ->
        atomic { seen_head = memory[HEAD] };            /* shm/ring.c ring_fits: entry_fits_behind(ring, committed_head(ring), size); */
        if
        :: FITS(seen_head)
        :: else ->
            atomic {
                ring_publish()                          /* worker/rings.c rings_room: rings_publish(worker, to); */
            };
            atomic { ring_want_room() }                 /* worker/rings.c rings_room: return ring_want_room(&worker->out[to], size); */
        fi
    fi
}

/* Copies one push into the ring, if there is room. */
inline rings_copy(number)
{
    if
    :: !FITS(seen_head) -> blocked = true               /* worker/link_streams.c route_one_reply: worker->link->blocked = true; */
    /* mutant publish_twice: :: false -> skip */
    :: FITS(seen_head) && number <= past_origin         /* worker/rings.c rings_copy: if (!worker_is_addressed(to, worker, i) || ring_published_before(&worker->out[i], origin)) */
    /* mutant publish_twice: :: FITS(seen_head) -> */
    :: FITS(seen_head) && number > past_origin ->
        /* mutant tail_before_entry: next_tail++; next_origin = number; ring_publish(); next_tail--; */
        assert(next_tail - memory[HEAD] < ROOM);
        store(CELL + next_tail % ROOM, number);         /* worker/rings.c rings_copy: memcpy(at, piece[k].at, piece[k].len); */
        next_tail++;                                    /* shm/ring.c ring_reserve: ring->next_tail += entry_bytes_in_ring(size); */
        next_origin = number                            /* shm/ring.c ring_reserve: ring->next_origin = origin; */
    fi
}

inline link_route()
{
    do
    :: done < link_end && !blocked ->
        room_in_all();                                  /* worker/rings.c rings_copy: if (!room_in_all_rings(worker, to, len)) */
        atomic {
            rings_copy(done + 1);                       /* worker/link_streams.c route_link_batch: n = route_one_reply(worker, at, stream_level(in) - done, start + done); */
            done = (blocked -> done : done + 1)         /* worker/link_streams.c route_link_batch: done += n; */
        }
    :: else -> break
    od;
    atomic {
        /* mutant done_before_publish: release(START, done, MINE0); */
        skip;
        ring_publish();                                 /* worker/link_streams.c commit_link_batch: rings_commit_out(worker); */
        /* mutant done_before_publish: skip; */
        release(START, done, MINE0);                    /* worker/link_streams.c commit_link_batch: stream_done(in, end - stream_start(in)); */
        done = 0
    }
}

inline turn0()
{
    atomic {
        news = OWN(NEWS0) + memory[NEWS1];              /* worker/worker.c worker_turn: worker->news = rings_news(worker); */
        store(WANTS, 0);                                /* worker/rings.c rings_end_wishes: ring_end_wish(&worker->out[i]); */
        blocked = false;                                /* worker/link_streams.c link_route: link->blocked = false; */
        done = OWN(START)                               /* worker/link_streams.c route_link_batch: const uint64_t start = stream_start(in); */
    };
    link_route();                                       /* worker/worker.c read_push_sources: link_route(worker); */
    if
    :: wake ->
        wake = false;
        latch_wake(1, SLEEPING1, MINE0)                 /* worker/worker.c worker_turn: rings_turn(worker); */
    :: else
    fi
}

#define READABLE (at_redis > 0 && !blocked)
#define AWAKE0   (event[0] || READABLE || ALL_DONE)
#define NEWS     (OWN(NEWS0) + memory[NEWS1] != news)   /* worker/worker.c worker_has_work: return rings_ready(worker) || rings_news(worker) != worker->news || */
#define MADE     (OWN(WANTS) && memory[HEAD] != full_head)  /* shm/ring.c ring_room_made: return producer_wants_room(ring) && committed_head(ring) != ring->full_head; */

active proctype worker0()
{
    byte next_tail, next_origin, past_origin, seen_head, full_head, tail, done, news, i;
    bit blocked, wake, sleeps, successor;

    do
    ::  {
            atomic {
                next_tail = POSITION(memory[TAIL]);     /* shm/ring.c ring_attach: ring->next_tail = tail_word_position(tail); */
                past_origin = memory[ORIGIN + (memory[TAIL] & 1)];  /* shm/ring.c ring_attach: ring->past_origin = */
                next_origin = past_origin;              /* shm/ring.c ring_attach: ring->next_origin = ring->past_origin; */
                seen_head = memory[HEAD];               /* shm/ring.c ring_attach: ring->seen_head = ring->next_head; */
                if
                :: successor ->
                    news = OWN(NEWS0) + 1;
                    /* mutant successor_tells_nobody_0: skip; */
                    release(NEWS0, news, MINE0);        /* worker/rings.c rings_tell_all: atomic_fetch_add_explicit(&worker->slot->news, 1, memory_order_release); */
                    /* mutant successor_tells_nobody_0: skip */
                    wake = true                         /* worker/rings.c rings_tell_all: rings_poke(worker, i); */
                :: else
                fi
            };
            turn0();                                    /* worker/worker.c worker_run: worker_turn(&worker); */
            do
            :: ALL_DONE -> goto over
            :: else ->
                /* mutant look_before_rest_0: if :: NEWS || MADE || AWAKE0 :: else -> latch_rest(SLEEPING0, MINE0); AWAKE0 fi; */
                latch_rest(SLEEPING0, MINE0);           /* worker/worker.c worker_loop: latch_rest(worker->slot); */
                /* One check, and then only an event wakes the worker from epoll_wait(2). */
                /* mutant look_before_rest_0: skip; */
                /* mutant sleep_without_look_for_room: if :: NEWS || AWAKE0 :: else -> AWAKE0 fi; */
                if :: NEWS || MADE || AWAKE0 :: else -> AWAKE0 fi;  /* worker/worker.c worker_loop: worker_has_work(worker) ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE); */
                atomic {
                    store(SLEEPING0, 0);                /* worker/worker.c worker_loop: latch_rise(worker->slot); */
                    event[0] = false;                   /* worker/worker.c worker_on_latch: latch_drain(worker->slot); */
                    if
                    :: READABLE -> at_redis--; link_end++   /* worker/link_streams.c link_on_readable: stream_put(&slot_link->in, (uint64_t)n); */
                    :: else
                    fi
                };
                turn0()                                 /* worker/worker.c worker_loop: worker_turn(worker); */
            od
        } unless {
            killed[0] ->
            d_step {
                lose_stores(MINE0);
                next_tail = 0; next_origin = 0; past_origin = 0; seen_head = 0; full_head = 0; tail = 0;
                done = 0; news = 0; blocked = 0; wake = 0; sleeps = 0; successor = 1; killed[0] = 0
            }
        }
    od;
over:
    assert(POSITION(memory[TAIL]) == PUSHES)
}

/* ---- Worker 1: out of the ring ---- */

inline ring_commit()
{
    release(HEAD, next_head, MINE1);                    /* shm/ring.c ring_commit: atomic_store_explicit(&control->head, ring->next_head, memory_order_release); */
    atomic {
        /* mutant commit_without_fence: skip; */
        FENCE(MINE1);                                   /* shm/ring.c ring_commit: atomic_thread_fence(memory_order_seq_cst); */
        wake = wake || memory[WANTS]                    /* shm/ring.c ring_commit: return atomic_load_explicit(&control->wants_room, memory_order_relaxed) != 0; */
    }
}

inline read_some()
{
    do
    :: next_head == seen_tail ->                        /* shm/ring.c ring_take: if (ring->next_head == ring->seen_tail) { */
        seen_tail = POSITION(memory[TAIL]);             /* shm/ring.c ring_take: ring->seen_tail = published_tail(ring); */
        if
        :: next_head == seen_tail -> break              /* shm/ring.c ring_take: return NULL; */
        :: else
        fi
    :: else ->
        /* mutant commit_before_done: next_head++; ring_commit(); next_head--; */
        skip;
        d_step {
            assert(memory[CELL + next_head % ROOM] == next_head + 1);   /* worker/rings.c read_ring_batch: handle_ring_entry(worker, from, entry, end); */
            next_head++                                 /* shm/ring.c ring_take: ring->next_head += room; */
        }
    od;
    if
    :: next_head != OWN(HEAD) -> ring_commit()          /* worker/rings.c commit_ring_batch: if (ring_commit(&worker->in[from])) */
    :: else
    fi
}

inline turn1()
{
    news = memory[NEWS0] + OWN(NEWS1);                  /* worker/worker.c worker_turn: worker->news = rings_news(worker); */
    read_some();                                        /* worker/worker.c read_push_sources: rings_read(worker, source); */
    if
    :: wake ->
        wake = false;
        latch_wake(0, SLEEPING0, MINE1)                 /* worker/worker.c worker_turn: rings_turn(worker); */
    :: else
    fi
}

#define WORK1                                           /* worker/worker.c worker_has_work: return rings_ready(worker) || rings_news(worker) != worker->news || */ \
    (POSITION(memory[TAIL]) != OWN(HEAD) || memory[NEWS0] + OWN(NEWS1) != news)
#define AWAKE1 (event[1] || ALL_DONE)

active proctype worker1()
{
    byte next_head, seen_tail, news, i;
    bit wake, sleeps, successor;

    do
    ::  {
            atomic {
                next_head = memory[HEAD];               /* shm/ring.c ring_attach: ring->next_head = committed_head(ring); */
                seen_tail = next_head;                  /* shm/ring.c ring_attach: ring->seen_tail = ring->next_head; */
                if
                :: successor ->
                    news = OWN(NEWS1) + 1;
                    /* mutant successor_tells_nobody_1: skip; */
                    release(NEWS1, news, MINE1);        /* worker/rings.c rings_tell_all: atomic_fetch_add_explicit(&worker->slot->news, 1, memory_order_release); */
                    /* mutant successor_tells_nobody_1: skip */
                    wake = true                         /* worker/rings.c rings_tell_all: rings_poke(worker, i); */
                :: else
                fi
            };
            turn1();                                    /* worker/worker.c worker_run: worker_turn(&worker); */
            do
            :: ALL_DONE -> goto over
            :: else ->
                /* mutant look_before_rest_1: if :: WORK1 || AWAKE1 :: else -> latch_rest(SLEEPING1, MINE1); AWAKE1 fi; */
                latch_rest(SLEEPING1, MINE1);           /* worker/worker.c worker_loop: latch_rest(worker->slot); */
                /* mutant look_before_rest_1: skip; */
                if :: WORK1 || AWAKE1 :: else -> AWAKE1 fi;     /* worker/worker.c worker_loop: worker_has_work(worker) ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE); */
                atomic {
                    store(SLEEPING1, 0);                /* worker/worker.c worker_loop: latch_rise(worker->slot); */
                    event[1] = false                    /* worker/worker.c worker_on_latch: latch_drain(worker->slot); */
                };
                turn1()                                 /* worker/worker.c worker_loop: worker_turn(worker); */
            od
        } unless {
            killed[1] ->
            d_step {
                lose_stores(MINE1);
                next_head = 0; seen_tail = 0; news = 0; wake = 0; sleeps = 0; successor = 1;
                killed[1] = 0
            }
        }
    od;
over:
    skip
}
