/*
 * Promela model of the protocol between the worker of a topic's members, the topic's home and Redis
 * (topic.h). `make model` has spin try every order of their steps, with a death at any of them.
 *
 *     member's worker ── WANT, LEAVE ──▶ home ── SUBSCRIBE, UNSUBSCRIBE, PING ──▶ Redis
 *                     ◀── JOINED, LEFT ──     ◀──────────── PONG ────────────────
 *
 * Must hold:
 *   - If the member's worker records the topic as JOINED, Redis has it subscribed and the home sends its
 *     pushes to that worker.
 *   - Nothing is left undone: once no process can take a step any more, a topic with members is JOINED
 *     everywhere, and one without is released everywhere and not subscribed. Nothing waits for the time-out
 *     of an answer: only a successor asks again.
 *   - An old answer is never taken for a new one, even if an answer is late and the request is sent again
 *     (LATE).
 *
 * The records of shm/topics.h outlive their worker. The private data of its process, including the
 * commands gathered for Redis, is lost in a death. A message is read again if its worker died
 * before the message was committed.
 *
 * Left out: the ring and its wake-ups, which shm/ring.pml models; a failure of the link, after
 * which everything is requested again; the change of the number of workers; SUBBED.
 *
 * Comments at the ends of lines, and mutants, have the same form as in shm/ring.pml.
 */
#ifndef CHANGES
#define CHANGES 4           /* members that come or go, at both workers together */
#define DEATHS  1
#define LATE    0           /* late answers, whose requests are sent again */
#define ROOM    1           /* messages that a ring holds */
#endif

mtype = { IDLE, ASKED, JOINED, LEAVING };
mtype = { SAY_WANT, SAY_LEAVE, SAY_JOINED, SAY_LEFT };
mtype = { SUBSCRIBE, UNSUBSCRIBE, PING };

/* The record at the member's worker. */
bit m_exists;
mtype m_state = IDLE;
bit m_count;                /* of its members */

/* The record at the home; of the masks, the bit of the member's worker. */
bit h_exists;
mtype h_state = IDLE;
bit h_count;                /* of its own members */
bit h_worker, h_told, h_left;
byte h_batch;

/* The home's slot, and the messages on their way. */
byte batch_sent;
chan up = [ROOM] of { mtype };
chan down = [ROOM] of { mtype };
chan to_redis = [6] of { mtype, byte };
chan from_redis = [6] of { byte };
bit subscribed;

byte changes = CHANGES;     /* still to come */
byte deaths = DEATHS;
byte late = LATE;

#define MAY_DIE if :: atomic { deaths > 0 -> deaths--; goto dead } :: true fi
#define AWAITS(state) (state == ASKED || state == LEAVING)  /* worker/topic.c topic_awaits_answer: return topic_len(topic) > 0 && (topic->state == TOPIC_ASKED || topic->state == TOPIC_LEAVING); */

/* ---- The member's worker ---- */

inline m_ask_home()
{
    up!(m_state == ASKED -> SAY_WANT : SAY_LEAVE)       /* worker/topic.c topic_ask_home: topic_tell_worker(worker, topic->home, topic->state == TOPIC_ASKED ? INTEREST_WANT : INTEREST_LEAVE, topic); */
}

inline m_ask()
{
    if
    :: full(up) -> m_listed = true                      /* worker/topic.c topic_request_change: if (!rings_room(worker, topic->home, interest_entry_size(topic))) */
    :: nfull(up) ->
        /* mutant told_before_noted: skip; */
        m_state = (m_count -> ASKED : LEAVING);         /* worker/topic.c topic_request_change: topic->state = (uint8_t)next; */
        MAY_DIE;
        /* mutant told_before_noted: up!(m_count -> SAY_WANT : SAY_LEAVE); MAY_DIE; m_state = (m_count -> ASKED : LEAVING); */
        m_ask_home();                                   /* worker/topic.c topic_request_change: topic_ask_home(worker, number); */
        MAY_DIE
    fi
}

inline m_settle()
{
    m_listed = false;
    if
    :: m_state == (m_count -> IDLE : JOINED) -> m_ask() /* worker/topic.c settle_topic_state: if (topic->state == (want ? TOPIC_IDLE : TOPIC_JOINED) && !topic_request_change(worker, number, want)) */
    :: else
    fi;
    if
    /* mutant released_while_leaving: :: !m_count && m_state != JOINED -> m_exists = false; m_state = IDLE; */
    :: !m_count && m_state == IDLE -> m_exists = false  /* worker/topic.c settle_topic_state: if (!want && topic->state == TOPIC_IDLE) */
    :: else
    fi
}

inline m_told()
{
    down?<word>;
    if
    :: !m_exists                                        /* worker/topic.c topic_told: : topics_find(&worker->topics, interest->name, interest->len); */
    :: m_exists ->
        if
        :: word == SAY_JOINED && m_state == ASKED -> m_state = JOINED
        :: word == SAY_LEFT && m_state == LEAVING -> m_state = IDLE
        :: else
        fi;
        m_listed = true                                 /* worker/topic.c topic_told: topic_changed(worker, number); */
    fi;
    MAY_DIE;
    down?word;
    word = 0
}

proctype member()
{
    bit m_listed, m_again;
    mtype word;

    goto first;
dead:
    atomic {
        word = 0;
        /* mutant asks_nobody_again: m_again = false; */
        m_again = m_exists && AWAITS(m_state);          /* worker/topic.c topic_recover: if (topic_awaits_answer(topic)) */
        m_listed = m_exists                             /* worker/topic.c topic_recover: topic_changed(worker, i); */
    };
first:
end:
    do
    :: atomic { changes > 0 && !m_count -> changes--; m_exists = true };
        MAY_DIE;
        m_count = true;
        MAY_DIE;
        m_listed = true
    :: atomic { changes > 0 && m_count -> changes--; m_count = false };
        MAY_DIE;
        m_listed = true
    :: nempty(down) -> m_told()
    :: atomic { m_again && !AWAITS(m_state) -> m_again = false }
    :: m_again && AWAITS(m_state) && nfull(up) ->       /* worker/topic.c topic_ask_late_again: if (topic->asked_s == since_s && topic_awaits_answer(topic) && !topic_ask_again(worker, number)) */
        m_ask_home();
        MAY_DIE;
        m_again = false                                 /* worker/topic.c topic_ask_late_again: queue_pop(asked); */
    :: atomic { late > 0 && AWAITS(m_state) -> late--; m_again = true }
    :: m_listed -> m_settle()
    od
}

/* ---- The home ---- */

inline h_told_by_member()
{
    up?<word>;
    h_exists = true;                                    /* worker/topic.c topic_told: asks ? topics_add(&worker->topics, interest->name, interest->len, worker->id) */
    if
    :: word == SAY_WANT ->
        h_worker = true;                                /* worker/topic.c topic_on_want: topic->workers |= topic_worker_bit(from); */
        MAY_DIE;
        /* mutant has_been_told: skip; */
        h_told = false;                                 /* worker/topic.c topic_on_want: topic->told &= ~topic_worker_bit(from); */
        MAY_DIE;
        h_left = false                                  /* worker/topic.c topic_on_want: topic->left &= ~topic_worker_bit(from); */
    :: word == SAY_LEAVE ->
        h_worker = false;                               /* worker/topic.c topic_on_leave: topic->workers &= ~topic_worker_bit(from); */
        MAY_DIE;
        /* mutant has_been_told: skip; */
        h_told = false;                                 /* worker/topic.c topic_on_leave: topic->told &= ~topic_worker_bit(from); */
        MAY_DIE;
        /* mutant leaves_in_silence: skip; */
        h_left = true                                   /* worker/topic.c topic_on_leave: topic->left |= topic_worker_bit(from); */
    fi;
    h_listed = true;                                    /* worker/topic.c topic_told: topic_changed(worker, number); */
    MAY_DIE;
    up?word;
    word = 0
}

/* The PING follows at the end of the turn. */
inline h_subscriptions_topic(join)
{
    /* mutant any_batch: h_batch = 1; */
    h_batch = batch_sent + 1;                           /* worker/subscribe.c subscriptions_topic: topic->batch = worker->slot->link.batch_sent + 1; */
    atomic {
        awaited = h_batch;                              /* worker/subscribe.c subscriptions_topic: wait_for_batch(worker->subs, (struct waiter){.topic = number, .batch = topic->batch}); */
        if
        :: gathered && gathered != (join -> SUBSCRIBE : UNSUBSCRIBE) -> to_redis!gathered, 0
        :: else
        fi;
        gathered = (join -> SUBSCRIBE : UNSUBSCRIBE);   /* worker/subscribe.c subscriptions_topic: gather_channel(worker, subscribe, "topic:", topic->name, topic_len(topic)); */
        fence = true                                    /* worker/subscribe.c subscriptions_topic: worker->subs->fence = true; */
    }
}

inline h_answer_workers()
{
    if
    :: h_left ->
        if
        :: full(down) -> h_listed = true                /* worker/topic.c topic_answer_workers: if (!topic_tell_workers(worker, &topic->left, INTEREST_LEFT, topic)) */
        :: nfull(down) ->
            /* mutant told_off_first: h_left = false; MAY_DIE; */
            skip;
            down!SAY_LEFT;                              /* worker/topic.c topic_tell_workers: topic_tell_worker(worker, to, word, topic); */
            MAY_DIE;
            h_left = false                              /* worker/topic.c topic_tell_workers: *due &= ~topic_worker_bit(to); */
        fi
    :: else
    fi;
    if
    /* mutant joined_too_early: :: h_state != IDLE && h_worker && !h_told -> */
    :: h_state == JOINED && h_worker && !h_told ->      /* worker/topic.c topic_answer_workers: const uint64_t due = topic->workers & ~topic->told & ~topic_worker_bit(worker->id); */
        if
        :: full(down) -> h_listed = true
        :: nfull(down) ->
            down!SAY_JOINED;                            /* worker/topic.c topic_answer_workers: const bool done = topic_tell_workers(worker, &rest, INTEREST_JOINED, topic); */
            MAY_DIE;
            h_told = true                               /* worker/topic.c topic_answer_workers: topic->told |= due & ~rest; */
        fi
    :: else
    fi
}

#define WANTED (h_count || h_worker)                    /* worker/topic.c topic_is_wanted: return topic->workers != 0; */

inline h_settle()
{
    h_listed = false;
    if
    :: h_state == (WANTED -> IDLE : JOINED) ->          /* worker/topic.c settle_topic_state: if (topic->state == (want ? TOPIC_IDLE : TOPIC_JOINED) && !topic_request_change(worker, number, want)) */
        wanted = WANTED;
        h_subscriptions_topic(wanted);
        MAY_DIE;
        h_state = (wanted -> ASKED : LEAVING);
        wanted = false
    :: else
    fi;
    MAY_DIE;
    h_answer_workers();                                 /* worker/topic.c settle_topic_state: if (topic_home_is_here(worker, topic) && !topic_answer_workers(worker, topic)) */
    if
    /* mutant released_while_subscribed: :: !WANTED && h_state != JOINED && !h_left -> */
    :: !WANTED && h_state == IDLE && !h_left ->         /* worker/topic.c settle_topic_state: if (!want && topic->state == TOPIC_IDLE) */
        atomic { h_exists = false; h_state = IDLE; h_told = false; h_batch = 0 }
    :: else
    fi
}

inline h_turn_ends()
{
    if
    :: gathered -> to_redis!gathered, 0; MAY_DIE; gathered = 0      /* worker/subscribe.c subscriptions_turn: send_gathered_command(worker); */
    :: else
    fi;
    batch_sent++;                                       /* worker/subscribe.c send_batch_fence: link->batch_sent++; */
    MAY_DIE;
    atomic {
        to_redis!PING, batch_sent;                      /* worker/subscribe.c send_batch_fence: link_write(worker, command, resp_command(command, 2, args, lens)); */
        fence = false
    }
}

inline h_confirmed()
{
    from_redis?<batch>;
    if
    :: awaited && awaited <= batch ->                   /* worker/subscribe.c subscriptions_release: if (waiter.batch > confirmed || (!waiter.topic && !subscriptions_live(worker))) */
        if
        :: h_exists && h_batch == awaited ->            /* worker/topic.c topic_confirmed: if (topic_len(topic) == 0 || !topic_home_is_here(worker, topic) || topic->batch != batch) */
            if
            :: h_state == ASKED -> h_state = JOINED     /* worker/topic.c topic_confirmed: topic->state = TOPIC_JOINED; */
            :: h_state == LEAVING -> h_state = IDLE     /* worker/topic.c topic_confirmed: topic->state = TOPIC_IDLE; */
            :: else
            fi;
            h_listed = true                             /* worker/topic.c topic_confirmed: topic_changed(worker, number); */
        :: else
        fi;
        awaited = 0
    :: else
    fi;
    MAY_DIE;
    from_redis?batch;
    batch = 0
}

proctype home()
{
    bit h_listed, h_again, fence, wanted;
    byte awaited, batch;
    mtype word, gathered;

    goto first;
dead:
    atomic {
        word = 0; gathered = 0; fence = false; awaited = 0; batch = 0; wanted = false;
        /* mutant asks_redis_once: h_again = false; */
        h_again = h_exists && AWAITS(h_state);          /* worker/topic.c topic_recover: if (topic_awaits_answer(topic)) */
        h_listed = h_exists                             /* worker/topic.c topic_recover: topic_changed(worker, i); */
    };
first:
end:
    do
    :: atomic { changes > 0 && !h_count -> changes--; h_exists = true };
        MAY_DIE;
        h_count = true;
        MAY_DIE;
        h_listed = true
    :: atomic { changes > 0 && h_count -> changes--; h_count = false };
        MAY_DIE;
        h_listed = true
    :: nempty(up) -> h_told_by_member()
    :: nempty(from_redis) -> h_confirmed()
    :: h_again ->
        if
        :: h_exists && AWAITS(h_state) ->               /* worker/topic.c topic_ask_late_again: if (topic->asked_s == since_s && topic_awaits_answer(topic) && !topic_ask_again(worker, number)) */
            wanted = (h_state == ASKED);
            h_subscriptions_topic(wanted);              /* worker/topic.c topic_ask_again: subscriptions_topic(worker, number, topic->state == TOPIC_ASKED); */
            wanted = false
        :: else
        fi;
        h_again = false
    :: h_listed -> h_settle()
    :: fence -> h_turn_ends()
    od
}

/* ---- Redis, and the checks ---- */

proctype redis()
{
    byte batch;
end:
    do
    :: atomic { to_redis?SUBSCRIBE, _ -> subscribed = true }
    :: atomic { to_redis?UNSUBSCRIBE, _ -> subscribed = false }
    :: atomic { to_redis?PING, batch -> from_redis!batch; batch = 0 }
    od
}

/* Checks the conditions that must hold at any time, and those that must hold in the end. */
proctype judge()
{
end:
    do
    :: atomic { m_state == JOINED && !(subscribed && h_exists && h_worker) -> assert(false) }
    :: atomic {
        timeout ->
            assert(m_exists == m_count && h_exists == (m_count || h_count));
            assert(m_state == (m_count -> JOINED : IDLE) && h_worker == m_count);
            assert(h_state == (h_exists -> JOINED : IDLE) && subscribed == h_exists);
            break
        }
    od
}

init
{
    atomic { run member(); run home(); run redis(); run judge() }
}
