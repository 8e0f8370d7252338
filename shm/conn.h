/*
 * The connection table: one record for each connection, indexed by its file descriptor. All
 * processes share one descriptor table, so the kernel's allocator hands out the records: the worker
 * whose accept4(2) returned descriptor N owns record N.
 *
 * A connection is its record and its kernel socket, and nothing else. It has private memory in its
 * worker only while bytes of it are in flight, and then CONN_DIRTY or `held` says so.
 *
 *  0        8        16     20     24     28      32        36       40     44            46     48
 *  +--------+--------+------+------+------+-------+---------+--------+------+-------------+------+
 *  | word   | mark   | hash | next | seen | since | expires | topics | held | incarnation | port |
 *  +--------+--------+------+------+------+-------+---------+--------+------+-------------+------+
 *  48                                              64         65                                128
 *  +-----------------------------------------------+----------+-----------------------------------+
 *  | address                                       | user_len | user: 1 to 63 bytes of UTF-8      |
 *  +-----------------------------------------------+----------+-----------------------------------+
 *
 * The word holds in one piece what other processes need to know:
 *
 *    63              32 31      24 23      16 15             0
 *    +-----------------+----------+----------+---------------+
 *    | generation      | owner    | state    | flags         |
 *    +-----------------+----------+----------+---------------+
 *
 * The life of a connection goes along the first line; the others leave states out. conn_set_state()
 * allows only the transitions of the table in conn.c, so CLOSING never becomes OPEN again, whatever
 * happens to a connection within one turn:
 *
 *     FREE ----> HANDSHAKE ----> MOVING ----> SUBSCRIBING ----> OPEN ----> CLOSING ----> FREE
 *                                                                            ^
 *                HANDSHAKE, SUBSCRIBING -------------------------------------+
 *                HANDSHAKE --------------------------------> OPEN
 *                HANDSHAKE, MOVING -------------------------------------------------> FREE
 *
 *   HANDSHAKE     accept4(2) has returned the descriptor
 *   MOVING        the user is known: given to the home worker; a ring brings it the 101 to send
 *   SUBSCRIBING   adopted by the home, which sends the 101; again after a death
 *   OPEN          Redis has confirmed the subscription and HELLO is sent; an echo connection, which
 *                 has no user, becomes OPEN at its 101
 *   CLOSING       refused, or our close frame is to be sent, or the connection is being ended
 *   FREE          conn_release(), then close(2)
 *
 * Only the owner writes a record. Ownership changes with MOVING, and in any state when the number
 * of workers changes (plan.h): the old owner's last store is the word that names the new owner. A
 * reference to a connection is its descriptor and its generation. The generation grows whenever the
 * record is released, so a stale reference is recognised and never followed.
 *
 * shm/conn.pml is the model of a record's life and of what a death leaves. To change the order of
 * steps, change the model first.
 */
#ifndef WSPUSHD_SHM_CONN_H
#define WSPUSHD_SHM_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { USER_MAX = 63, CONN_NAME_MAX = 32 };

/* Owner CONN_ON_THE_WAY + n: given to worker n by conn_hand_on, and not yet taken. */
enum { CONN_ON_THE_WAY = 64 };

enum conn_state {
    CONN_FREE,        /* no connection: only the generation of the record means anything */
    CONN_HANDSHAKE,   /* accepted; the request head is incomplete, or the login is not decided */
    CONN_MOVING,      /* logged in, on its way to its home worker, which is already the owner */
    CONN_SUBSCRIBING, /* at home, waiting for Redis to confirm the subscription */
    CONN_OPEN,        /* HELLO is sent */
    CONN_CLOSING,     /* refused or closed by us: further bytes of the peer are thrown away */
};

/* Bits of the word's flags, written by the owner. */
enum conn_flag {
    CONN_JSON = 1 << 0,      /* speaks push.json.v1 */
    CONN_ECHO = 1 << 1,      /* on the echo path: no user, no opcodes */
    CONN_PINGED = 1 << 2,    /* a ping is sent, and no byte has come since */
    CONN_WRITING = 1 << 3,   /* EPOLLOUT is armed: a backlog waits for the socket */
    CONN_DIRTY = 1 << 4,     /* some of its bytes are only in the memory of process `incarnation` */
    CONN_UNIX = 1 << 5,      /* came over a unix socket: no address */
    CONN_INDEXED = 1 << 6,   /* is in its owner's user index */
    CONN_REFUSED = 1 << 7,   /* accepted above the limit: its request is answered with 503 */
    CONN_CLOSE_IN = 1 << 8,  /* the peer's close frame has come */
    CONN_WATCHED = 1 << 9,   /* registered in its owner's epoll set */
    CONN_GREETING = 1 << 10, /* SUBSCRIBING: its HELLO is in this turn's outbox; OPEN once it is
                                sent */
    CONN_PROXY = 1 << 11,    /* a PROXY header comes before its request */
    CONN_TRUSTED = 1 << 12,  /* what its peer says of the client counts: trusted_proxies */
    CONN_COUNTED = 1 << 13,  /* its address is the client's own, and counted by its owner */
    CONN_ASKED = 1 << 14, /* waits for its login, or for room in the ring to its home; not read or
                             watched meanwhile */
    CONN_GIVEN = 1 << 15, /* the previous owner's parcel has private memory of it: parcel.h */
};

struct conn {
    _Atomic uint64_t word; /* generation, owner, state, flags */
    uint64_t mark;         /* SUBSCRIBING: the subscription batch awaited. OPEN: source and
                              position of the last push that the kernel took, so that a
                              successor that reads the same bytes does not send it again:
                              conn_mark() */
    uint32_t hash;         /* of the user, for the index */
    uint32_t next;         /* in the user index: a descriptor and two bits; users.h */
    uint32_t seen;         /* second (monotonic) of the last byte from the peer; CLOSING: when the
                              close frame was sent */
    uint32_t since;        /* second (monotonic) of the accept */
    uint32_t expires;      /* Unix second at which the login ends; 0: never */
    uint32_t topics;       /* first of its topic memberships; 0: none */
    uint32_t held; /* private memory: index in a table of the process `incarnation`; 0: none */
    uint16_t incarnation; /* process that `held` and CONN_DIRTY refer to; conn_incarnation() */
    uint16_t port;        /* the client's, host byte order; 0: unknown */
    uint8_t address[16];  /* the client's, or the proxy's if that does not name the client; IPv4 as
                             ::ffff:a.b.c.d */
    uint8_t user_len;     /* bytes; 0: none yet */
    char user[USER_MAX];  /* not terminated */
};
_Static_assert(sizeof(struct conn) == 128, "two cache lines");
_Static_assert(offsetof(struct conn, user_len) == 64, "the name has a cache line of its own");

/* A reference that can be kept and sent; also what epoll returns for a socket. */
struct conn_ref {
    uint32_t fd;
    uint32_t generation;
};

/* The parts of a word. */
static inline uint32_t word_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline uint32_t word_owner(uint64_t word)
{
    return (uint32_t)(word >> 24) & 0xff;
}
static inline enum conn_state word_state(uint64_t word)
{
    return (enum conn_state)((word >> 16) & 0xff);
}
static inline uint32_t word_flags(uint64_t word)
{
    return (uint32_t)word & 0xffff;
}
/* True if the record is a connection of this owner. */
static inline bool word_is_of(uint64_t word, uint32_t owner)
{
    return word_owner(word) == owner && word_state(word) != CONN_FREE;
}
/* Returns the word with these parts. */
static inline uint64_t word_make(uint32_t generation, uint32_t owner, enum conn_state state,
                                 uint32_t flags)
{
    return (uint64_t)generation << 32 | (uint64_t)(owner & 0xff) << 24 |
           (uint64_t)(state & 0xff) << 16 | (flags & 0xffff);
}

/* Acquire: pairs with the release in conn_publish, so that a reader that sees a state sees all that
 * was written before it. */
static inline uint64_t conn_word(const struct conn *conn)
{
    return atomic_load_explicit(&conn->word, memory_order_acquire);
}

/* Release: pairs with the acquire in conn_word. */
static inline void conn_publish(struct conn *conn, uint64_t word)
{
    atomic_store_explicit(&conn->word, word, memory_order_release);
}

static inline bool conn_has(const struct conn *conn, uint32_t flag)
{
    return (conn_word(conn) & flag) != 0;
}
/* Set or clear flags. For the owner. */
static inline void conn_set(struct conn *conn, uint32_t flag)
{
    conn_publish(conn, conn_word(conn) | flag);
}
static inline void conn_clear(struct conn *conn, uint32_t flag)
{
    conn_publish(conn, conn_word(conn) & ~(uint64_t)flag);
}

/* True if a record may go from one state to the other. */
bool conn_may_become(enum conn_state from, enum conn_state to);

/* Moves the record to another state and clears the flags that mean nothing there, in one store.
 * Returns false, and changes nothing, if the transition is not allowed: a connection that is
 * CLOSING since its HELLO was made does not become OPEN. */
bool conn_set_state(struct conn *conn, enum conn_state state);

/* Returns a process as records name it, by its worker's slot and incarnation. No two processes that
 * live at one time have the same number, so no process takes another's `held` for its own. Never 0,
 * so that 0 in a record names no process. */
static inline uint16_t conn_incarnation(uint32_t worker, uint32_t incarnation)
{
    return (uint16_t)((incarnation * CONN_ON_THE_WAY + worker) % UINT16_MAX + 1);
}

/* Claims the free record of a descriptor that accept4(2) has just returned: state HANDSHAKE, this
 * owner, the record's generation. `now_s`: monotonic. Returns the reference. */
struct conn_ref conn_claim(struct conn *table, uint32_t fd, uint32_t owner, uint32_t now_s);

/* Sets the record free and raises its generation. The caller has removed it from its user index and
 * its topics, and closes the descriptor afterwards, never before: once it is closed, another worker
 * may get its number. */
void conn_release(struct conn *conn);

/* Raises the generation of a free record whose word is `word`, for a worker that found the
 * descriptor open although no process owns it. Returns false if the record is not free or has
 * changed. Of all workers that find it, one gets true, and may close the descriptor. */
bool conn_reclaim(struct conn *conn, uint64_t word);

/* Gives the record, which is in no index, to worker `owner`, which is to adopt it: state MOVING,
 * with the flags that this state allows. The old owner's last store. */
void conn_give(struct conn *conn, uint32_t owner);

/* Gives the record to `owner` in its present state, when the number of workers changes: it belongs
 * to no worker until the new owner takes it. Clears what meant something only to the old owner:
 * index, epoll set, memberships, private memory and mark. The old owner's last store. */
void conn_hand_on(struct conn *conn, uint32_t owner);

/* Takes the record if it was on the way to `owner`. */
void conn_take(struct conn *conn, uint32_t owner);

/* Copies an indexed record of another worker. Returns false if it is in no index, or has changed
 * hands meanwhile. Of the copy only the fields that do not change while a record is in an index are
 * consistent: user, hash, address, port, since. */
bool conn_copy(struct conn *copy, const struct conn *conn);

/* Returns the record that a reference names if it is still that connection and `owner` owns it, or
 * NULL. */
struct conn *conn_deref(struct conn *table, uint32_t capacity, struct conn_ref ref, uint32_t owner);

/* Returns the reference of a record in use. */
static inline struct conn_ref conn_ref(const struct conn *table, const struct conn *conn)
{
    return (struct conn_ref){(uint32_t)(conn - table), word_generation(conn_word(conn))};
}

/* Convert a reference to the form in which epoll and the slot keep it, and back. */
static inline uint64_t conn_ref_pack(struct conn_ref ref)
{
    return (uint64_t)ref.generation << 32 | ref.fd;
}
static inline struct conn_ref conn_ref_unpack(uint64_t packed)
{
    return (struct conn_ref){(uint32_t)packed, (uint32_t)(packed >> 32)};
}

/* Returns the mark of a push: `source`, 0 to 254 (0: the worker's own link, else a ring), and its
 * position in the bytes of that source. Never 0. */
static inline uint64_t conn_mark(uint32_t source, uint64_t position)
{
    return (uint64_t)(source + 1) << 56 | (position & 0x00ffffffffffffffull);
}
/* True if the push at `mark` was already sent on a connection whose last mark is `last`. Marks of
 * different sources say nothing about each other: then the push is sent. */
static inline bool conn_mark_seen(uint64_t last, uint64_t mark)
{
    return last >> 56 == mark >> 56 && mark <= last;
}

/* Writes the connection's public name, "<boot>-<fd>-<generation>" in lower-case hex without leading
 * zeros, NUL-terminated. Returns its length. conn_name_parse reads one, and returns false if it is
 * malformed: each connection has one name. Whether it still exists is conn_deref's answer. */
size_t conn_name(char out[CONN_NAME_MAX], uint32_t boot_id, struct conn_ref ref);
bool conn_name_parse(const char *text, size_t len, uint32_t *boot_id, struct conn_ref *ref);

/* True if the record is in a state that this code can leave at any instruction. */
bool conn_valid(const struct conn *conn, uint32_t workers);

#endif
