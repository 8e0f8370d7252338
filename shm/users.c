/*
 * The user index by linear hashing (shm/chains.h): a bucket array that grows by one bucket with
 * each connection above the number of buckets. So every change touches one or two chains, and no
 * insertion ever moves all of them.
 *
 * One process uses the index, and after its death its successor. So every change is enclosed in
 * two stores of `changes`, which make it odd before and even after: wherever a process is killed,
 * either no change was in progress or the number is odd.
 *
 * Buckets are never removed: the array keeps the size that the most connections needed.
 */
#include "shm/users.h"

#include <assert.h>
#include <string.h>

#include "common/killpoint.h"
#include "shm/chains.h"

/*
 * One round of the hash. 16 bytes of the name at a time are mixed into the state by a
 * multiplication to 128 bits whose halves are folded together (as in wyhash). Each factor has a
 * secret of its own: if one were known, an attacker could make it 0 and so erase the other.
 */
static uint64_t fold_product(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Derives a second secret from the first: the finalizer of splitmix64, a bijection. */
static uint64_t derive_second_secret(uint64_t seed)
{
    seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9ull;
    seed = (seed ^ seed >> 27) * 0x94d049bb133111ebull;
    return seed ^ seed >> 31;
}

uint32_t users_hash(uint64_t seed, const char *user, size_t len)
{
    const uint64_t other = derive_second_secret(seed);
    uint64_t state = 0;

    for (size_t i = 0; i < len; i += 16) {
        uint64_t half[2] = {0, 0}; /* padded with zeros; the length is hashed, too */
        memcpy(half, user + i, len - i < 16 ? len - i : 16);
        state = fold_product(half[0] ^ seed ^ state, half[1] ^ other);
    }
    state = fold_product(state ^ other, seed ^ len);
    return (uint32_t)(state ^ state >> 32);
}

bool users_intact(const struct users *users)
{
    return chains_intact(&users->control->changes);
}

/* Begins with empty buckets. The rest of the array is written as it comes into use. */
static void clear_user_index(struct users *users)
{
    users->control->buckets = USERS_BUCKETS_MIN;
    users->control->count = 0;
    memset(users->heads, 0, USERS_BUCKETS_MIN * sizeof(*users->heads));
}

/* Stores a descriptor in the head of a bucket or in a record's `next`, whose two bits it keeps. */
static void store_link_fd(uint32_t *link, uint32_t fd)
{
    *link = (*link & ~USERS_FD) | fd;
}

/* Adds a bucket and moves to it the leaders that belong there. */
static void add_user_bucket(struct users *users)
{
    const uint32_t added = users->control->buckets++;
    uint32_t *stays = &users->heads[chains_parent(added)], *moves = &users->heads[added];
    uint32_t next = *stays;

    *stays = *moves = 0;
    for (uint32_t fd; (fd = next) != 0;) {
        struct conn *const conn = &users->table[fd];
        uint32_t **const end = chains_bucket(conn->hash, added + 1) == added ? &moves : &stays;
        next = conn->next & USERS_FD;
        store_link_fd(*end, fd);
        *end = &conn->next;
        KILLPOINT(USERS_GROWING);
    }
    store_link_fd(stays, 0);
    store_link_fd(moves, 0);
}

/* Returns the leader of this user, searching a bucket's chain from `fd` on, or 0. */
static uint32_t search_user_chain(const struct users *users, uint32_t fd, uint32_t hash,
                                  const char *user, size_t len)
{
    while (fd != 0) {
        const struct conn *const conn = &users->table[fd];
        if (conn->hash == hash && conn->user_len == len && memcmp(conn->user, user, len) == 0)
            break;
        fd = conn->next & USERS_FD;
    }
    return fd;
}

static uint32_t *bucket_head_of_hash(const struct users *users, uint32_t hash)
{
    return &users->heads[chains_bucket(hash, users->control->buckets)];
}

/* Returns the word that points to a leader: its bucket's head or the `next` of another leader. */
static uint32_t *find_link_to_leader(const struct users *users, uint32_t fd)
{
    uint32_t *link = bucket_head_of_hash(users, users->table[fd].hash);

    while ((*link & USERS_FD) != fd) {
        assert((*link & USERS_FD) != 0);
        link = &users->table[*link & USERS_FD].next;
    }
    return link;
}

/* Makes the connection its user's leader; the previous leader becomes the first follower. */
static void link_before_leader(const struct users *users, uint32_t leader, uint32_t fd)
{
    uint32_t *const link = find_link_to_leader(users, leader);
    const uint32_t second = users_next(users, leader);

    users->table[fd].next = USERS_LEADS | (users->table[leader].next & USERS_FD);
    users->siblings[fd] = leader;
    KILLPOINT(USERS_NEXT);
    users->table[leader].next = USERS_FOLLOWS | second;
    users->siblings[leader] = fd;
    KILLPOINT(USERS_FOLLOWED);
    store_link_fd(link, fd);
}

/* Makes the user's only connection its leader. */
static void link_only_connection(const struct users *users, uint32_t *head, uint32_t fd)
{
    users->table[fd].next = *head;
    KILLPOINT(USERS_NEXT);
    *head = fd;
}

static void link_connection(struct users *users, uint32_t fd)
{
    struct users_control *const control = users->control;
    struct conn *const conn = &users->table[fd];
    uint32_t *const head = bucket_head_of_hash(users, conn->hash);
    const uint32_t leader = search_user_chain(users, *head, conn->hash, conn->user, conn->user_len);

    if (leader != 0)
        link_before_leader(users, leader, fd);
    else
        link_only_connection(users, head, fd);
    KILLPOINT(USERS_HEAD);
    conn_set(conn, CONN_INDEXED);
    KILLPOINT(USERS_FLAGGED);
    control->count++;
    if (control->count > control->buckets && control->buckets < users->capacity)
        add_user_bucket(users);
}

void users_add(struct users *users, uint32_t fd)
{
    assert(fd > 0 && fd < users->capacity && !conn_has(&users->table[fd], CONN_INDEXED));
    chains_begin(&users->control->changes);
    if (users->control->buckets == 0)
        clear_user_index(users);
    link_connection(users, fd);
    chains_end(&users->control->changes);
}

/* Removes a follower from the list of its user. */
static void unlink_follower(const struct users *users, uint32_t fd)
{
    const uint32_t before = users->siblings[fd], behind = users->table[fd].next & USERS_FD;

    if (!users_leads(users, before))
        store_link_fd(&users->table[before].next, behind);
    else if (behind != 0)
        users->siblings[before] = behind;
    else
        users->table[before].next &= ~USERS_LEADS;
    KILLPOINT(USERS_UNFOLLOWED);
    if (behind != 0)
        users->siblings[behind] = before;
}

/* Removes a leader from its bucket. Its first follower, if there is one, becomes the leader. */
static void unlink_leader(const struct users *users, uint32_t fd)
{
    uint32_t *const link = find_link_to_leader(users, fd);
    const uint32_t second = users_next(users, fd), chain = users->table[fd].next & USERS_FD;

    if (second == 0) {
        store_link_fd(link, chain);
        return;
    }
    const uint32_t third = users->table[second].next & USERS_FD;
    users->siblings[second] = third;
    users->table[second].next = chain | (third != 0 ? USERS_LEADS : 0);
    KILLPOINT(USERS_LED);
    store_link_fd(link, second);
}

void users_remove(struct users *users, uint32_t fd)
{
    struct conn *const conn = &users->table[fd];

    if (!conn_has(conn, CONN_INDEXED))
        return;
    chains_begin(&users->control->changes);
    if (users_leads(users, fd))
        unlink_leader(users, fd);
    else
        unlink_follower(users, fd);
    conn->next = 0;
    KILLPOINT(USERS_UNLINKED);
    conn_clear(conn, CONN_INDEXED);
    KILLPOINT(USERS_UNFLAGGED);
    users->control->count--;
    chains_end(&users->control->changes);
}

uint32_t users_first(const struct users *users, const char *user, size_t len)
{
    const uint32_t hash = users_hash(users->seed, user, len);

    if (users->control->buckets == 0)
        return 0;
    return search_user_chain(users, *bucket_head_of_hash(users, hash), hash, user, len);
}

/* True if the index must have this connection. One that is CLOSING and indexed has not left yet:
 * its owner may still have to handle that its user's last connection is gone. */
static bool record_belongs_in_index(const struct conn *conn)
{
    const uint64_t word = conn_word(conn);
    const enum conn_state state = word_state(word);

    return (state == CONN_SUBSCRIBING || state == CONN_OPEN ||
            (state == CONN_CLOSING && word & CONN_INDEXED)) &&
           conn->user_len > 0;
}

void users_rebuild(struct users *users, uint32_t owner, uint32_t high)
{
    const uint32_t end = high < users->capacity ? high : users->capacity;

    chains_begin(&users->control->changes);
    clear_user_index(users);
    for (uint32_t fd = 1; fd < end; fd++) {
        struct conn *const conn = &users->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_state(word) == CONN_FREE || word_owner(word) != owner)
            continue;
        KILLPOINT(USERS_REBUILDING);
        if (record_belongs_in_index(conn))
            link_connection(users, fd); /* which overwrites `next` */
        else if (word & CONN_INDEXED)
            conn_clear(conn, CONN_INDEXED);
    }
    chains_end(&users->control->changes);
}

static bool indexed_record_valid(const struct users *users, uint32_t owner, uint32_t fd,
                                 uint32_t bucket)
{
    const struct conn *conn;

    if (fd >= users->capacity)
        return false;
    conn = &users->table[fd];
    return word_owner(conn_word(conn)) == owner && word_state(conn_word(conn)) != CONN_FREE &&
           conn_has(conn, CONN_INDEXED) && conn->user_len > 0 && conn->user_len <= USER_MAX &&
           conn->hash == users_hash(users->seed, conn->user, conn->user_len) &&
           chains_bucket(conn->hash, users->control->buckets) == bucket;
}

static bool records_have_same_user(const struct conn *a, const struct conn *b)
{
    return a->hash == b->hash && a->user_len == b->user_len &&
           memcmp(a->user, b->user, a->user_len) == 0;
}

/* Checks the followers of a leader, and subtracts them from *left. */
static bool followers_of_leader_valid(const struct users *users, uint32_t owner, uint32_t leader,
                                      uint32_t bucket, uint32_t *left)
{
    uint32_t before = leader;

    for (uint32_t fd = users_next(users, leader); fd != 0; fd = users_next(users, fd)) {
        if ((*left)-- == 0 || !indexed_record_valid(users, owner, fd, bucket) ||
            users_leads(users, fd) || (users->table[fd].next & USERS_LEADS) != 0 ||
            users->siblings[fd] != before ||
            !records_have_same_user(&users->table[fd], &users->table[leader]))
            return false;
        before = fd;
    }
    return before != leader || users_alone(users, leader);
}

/* Checks a bucket's chain. A circular one would count more members than there are. */
static bool user_bucket_valid(const struct users *users, uint32_t owner, uint32_t bucket,
                              uint32_t *left)
{
    for (uint32_t fd = users->heads[bucket]; fd != 0; fd = users->table[fd].next & USERS_FD) {
        if ((*left)-- == 0 || !indexed_record_valid(users, owner, fd, bucket) ||
            !users_leads(users, fd) || !followers_of_leader_valid(users, owner, fd, bucket, left))
            return false;
    }
    return true;
}

/* True if each user has one leader in the bucket, whose records are valid. */
static bool leaders_are_distinct(const struct users *users, uint32_t bucket)
{
    for (uint32_t fd = users->heads[bucket]; fd != 0; fd = users->table[fd].next & USERS_FD) {
        const struct conn *conn = &users->table[fd];
        if (search_user_chain(users, conn->next & USERS_FD, conn->hash, conn->user,
                              conn->user_len) != 0)
            return false;
    }
    return true;
}

bool users_valid(const struct users *users, uint32_t owner)
{
    const struct users_control *const control = users->control;
    uint32_t left = control->count;

    if (!users_intact(users))
        return false;
    if (control->buckets == 0)
        return control->count == 0;
    if (control->buckets < USERS_BUCKETS_MIN || control->buckets > users->capacity ||
        (control->count > control->buckets && control->buckets < users->capacity))
        return false;
    for (uint32_t bucket = 0; bucket < control->buckets; bucket++)
        if (!user_bucket_valid(users, owner, bucket, &left) || !leaders_are_distinct(users, bucket))
            return false;
    return left == 0;
}
