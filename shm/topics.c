/*
 * The table of topics, drawn in topics.h. Every change is enclosed in two stores of `changes`, as
 * in users.c, so that a successor knows whether it can trust the chains. If not, it rebuilds all of
 * them from the records, whose own first or last store says whether they are in use.
 *
 * Knows nothing of what a topic's states mean: worker/topic.c does.
 */
#include "shm/topics.h"

#include <assert.h>
#include <string.h>

#include "common/killpoint.h"
#include "shm/chains.h"
#include "shm/users.h"

static void add_to_counter(_Atomic uint32_t *counter, int by)
{
    atomic_store_explicit(counter,
                          atomic_load_explicit(counter, memory_order_relaxed) + (uint32_t)by,
                          memory_order_relaxed);
}

static void store_counter(_Atomic uint32_t *counter, uint32_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static uint32_t load_counter(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Release: pairs with topic_len and topic_of. The record's other fields were written before. */
static void publish_topic_name(struct topic *topic, size_t len)
{
    atomic_store_explicit(&topic->len, (uint8_t)len, memory_order_release);
}
static void publish_member_topic(struct topic_member *member, uint32_t topic)
{
    atomic_store_explicit(&member->topic, topic, memory_order_release);
}

bool topics_intact(const struct topics *topics)
{
    return chains_intact(&topics->control->changes);
}

/* ---- Names ---- */

/* Begins with empty buckets. The rest of the array is written as it comes into use. */
static void clear_topic_table(struct topics *topics)
{
    struct topics_control *const control = topics->control;

    control->buckets = TOPICS_BUCKETS_MIN;
    store_counter(&control->topics, 0);
    store_counter(&control->members, 0);
    if (control->topic_end == 0)
        control->topic_end = control->member_end = 1;
    control->topic_free = control->member_free = 0;
    memset(topics->heads, 0, TOPICS_BUCKETS_MIN * sizeof(*topics->heads));
}

/* Adds a bucket and moves to it the topics that belong there. */
static void add_topic_bucket(struct topics *topics)
{
    const uint32_t added = topics->control->buckets++;
    uint32_t *stays = &topics->heads[chains_parent(added)], *moves = &topics->heads[added];

    for (uint32_t i = *stays; i != 0; i = topics->topic[i].next) {
        struct topic *const topic = &topics->topic[i];
        uint32_t **const end = chains_bucket(topic->hash, added + 1) == added ? &moves : &stays;
        **end = i;
        *end = &topic->next;
    }
    *stays = 0;
    *moves = 0;
}

static void link_topic_record(struct topics *topics, uint32_t number)
{
    struct topics_control *const control = topics->control;
    struct topic *const topic = &topics->topic[number];
    uint32_t *const head = &topics->heads[chains_bucket(topic->hash, control->buckets)];

    topic->next = *head;
    *head = number;
    add_to_counter(&control->topics, 1);
    if (load_counter(&control->topics) > control->buckets && control->buckets < topics->capacity)
        add_topic_bucket(topics);
}

static uint32_t search_topic_name(const struct topics *topics, uint32_t hash, const char *name,
                                  size_t len)
{
    uint32_t number;

    if (topics->control->buckets == 0)
        return 0;
    number = topics->heads[chains_bucket(hash, topics->control->buckets)];
    while (number != 0) {
        const struct topic *const topic = &topics->topic[number];
        if (topic->hash == hash && topic_len(topic) == len && memcmp(topic->name, name, len) == 0)
            break;
        number = topic->next;
    }
    return number;
}

uint32_t topics_find(const struct topics *topics, const char *name, size_t len)
{
    return search_topic_name(topics, users_hash(topics->seed, name, len), name, len);
}

/* Returns a free record, released or never used; 0 if there is none. */
static uint32_t take_free_topic(struct topics *topics)
{
    struct topics_control *const control = topics->control;
    const uint32_t released = control->topic_free;

    if (released != 0) {
        control->topic_free = topics->topic[released].next;
        return released;
    }
    return control->topic_end < topics->capacity ? control->topic_end++ : 0;
}

uint32_t topics_add(struct topics *topics, const char *name, size_t len, uint32_t home)
{
    const uint32_t hash = users_hash(topics->seed, name, len);
    const uint32_t found = search_topic_name(topics, hash, name, len);
    struct topic *topic;
    uint32_t number;

    assert(len > 0 && len <= TOPIC_NAME_MAX);
    if (found != 0)
        return found;
    chains_begin(&topics->control->changes);
    if (topics->control->buckets == 0)
        clear_topic_table(topics);
    number = take_free_topic(topics);
    if (number != 0) {
        KILLPOINT(TOPIC_TAKEN);
        topic = &topics->topic[number];
        *topic = (struct topic){.hash = hash, .home = (uint8_t)home};
        memcpy(topic->name, name, len);
        publish_topic_name(topic, len);
        KILLPOINT(TOPIC_PUBLISHED);
        link_topic_record(topics, number);
    }
    chains_end(&topics->control->changes);
    return number;
}

void topics_remove(struct topics *topics, uint32_t number)
{
    struct topics_control *const control = topics->control;
    struct topic *const topic = &topics->topic[number];
    uint32_t *link = &topics->heads[chains_bucket(topic->hash, control->buckets)];

    assert(topic->count == 0);
    while (*link != number) {
        assert(*link != 0);
        link = &topics->topic[*link].next;
    }
    chains_begin(&control->changes);
    publish_topic_name(topic, 0);
    KILLPOINT(TOPIC_UNPUBLISHED);
    *link = topic->next;
    KILLPOINT(TOPIC_UNLINKED);
    topic->next = control->topic_free;
    control->topic_free = number;
    add_to_counter(&control->topics, -1);
    chains_end(&control->changes);
}

/* ---- Members ---- */

uint32_t topics_membership(const struct topics *topics, uint32_t fd, uint32_t topic)
{
    uint32_t number = topics->table[fd].topics;

    while (number != 0 && topic_of(&topics->member[number]) != topic)
        number = topics->member[number].of_conn;
    return number;
}

/* Links a member into the chains of its topic and, as the last, of its connection. */
static void link_member_record(struct topics *topics, uint32_t number)
{
    struct topic_member *const member = &topics->member[number];
    struct topic *const topic = &topics->topic[topic_of(member)];
    uint32_t *link = &topics->table[member->fd].topics;

    while (*link != 0)
        link = &topics->member[*link].of_conn;
    member->of_conn = 0;
    *link = number;
    KILLPOINT(MEMBER_HALF_LINKED);
    member->prev = 0;
    member->next = topic->first;
    if (topic->first != 0)
        topics->member[topic->first].prev = number;
    topic->first = number;
    topic->count++;
    topic->waiting += member->request != 0;
    add_to_counter(&topics->control->members, 1);
}

static void unlink_member_record(struct topics *topics, uint32_t number)
{
    const struct topic_member *const member = &topics->member[number];
    struct topic *const topic = &topics->topic[topic_of(member)];
    uint32_t *link = &topics->table[member->fd].topics;

    while (*link != number) {
        assert(*link != 0);
        link = &topics->member[*link].of_conn;
    }
    *link = member->of_conn;
    *(member->prev != 0 ? &topics->member[member->prev].next : &topic->first) = member->next;
    if (member->next != 0)
        topics->member[member->next].prev = member->prev;
    topic->count--;
    topic->waiting -= member->request != 0;
    add_to_counter(&topics->control->members, -1);
}

static uint32_t take_free_member(struct topics *topics)
{
    struct topics_control *const control = topics->control;
    const uint32_t released = control->member_free;

    if (released != 0) {
        control->member_free = topics->member[released].of_conn;
        return released;
    }
    return control->member_end < topics->capacity ? control->member_end++ : 0;
}

uint32_t topics_join(struct topics *topics, uint32_t topic, uint32_t fd)
{
    const struct conn_ref ref = conn_ref(topics->table, &topics->table[fd]);
    struct topic_member *member;
    uint32_t number;

    chains_begin(&topics->control->changes);
    number = take_free_member(topics);
    if (number != 0) {
        KILLPOINT(MEMBER_TAKEN);
        member = &topics->member[number];
        member->fd = fd;
        member->generation = ref.generation;
        member->request = 0;
        member->sent = 0;
        publish_member_topic(member, topic);
        KILLPOINT(MEMBER_PUBLISHED);
        link_member_record(topics, number);
    }
    chains_end(&topics->control->changes);
    return number;
}

void topics_leave(struct topics *topics, uint32_t number)
{
    struct topics_control *const control = topics->control;
    struct topic_member *const member = &topics->member[number];

    chains_begin(&control->changes);
    unlink_member_record(topics, number);
    KILLPOINT(MEMBER_UNLINKED);
    publish_member_topic(member, 0);
    KILLPOINT(MEMBER_UNPUBLISHED);
    member->of_conn = control->member_free;
    control->member_free = number;
    chains_end(&control->changes);
}

struct conn *topics_conn(const struct topics *topics, uint32_t number, uint32_t owner)
{
    const struct topic_member *const member = &topics->member[number];
    const struct conn_ref ref = {member->fd, member->generation};

    return conn_deref(topics->table, topics->conns, ref, owner);
}

void topics_request(struct topics *topics, uint32_t number, uint32_t request)
{
    struct topic_member *const member = &topics->member[number];
    struct topic *const topic = &topics->topic[topic_of(member)];

    chains_begin(&topics->control->changes);
    topic->waiting -= member->request != 0;
    topic->waiting += request != 0;
    KILLPOINT(MEMBER_COUNTED);
    member->request = request;
    member->sent = 0;
    chains_end(&topics->control->changes);
}

/* ---- After a death ---- */

static void rebuild_topic_chains(struct topics *topics)
{
    struct topics_control *const control = topics->control;

    for (uint32_t i = control->topic_end; i-- > 1;) {
        struct topic *const topic = &topics->topic[i];
        topic->first = topic->count = topic->waiting = 0;
        if (topic_len(topic) != 0) {
            link_topic_record(topics, i);
        } else {
            topic->next = control->topic_free;
            control->topic_free = i;
        }
    }
}

/* True if the membership's topic exists and its connection is still there and not closing. */
static bool membership_still_holds(const struct topics *topics, uint32_t number, uint32_t owner)
{
    const uint32_t topic = topic_of(&topics->member[number]);
    const struct conn *conn;

    if (topic == 0 || topic_len(&topics->topic[topic]) == 0)
        return false;
    conn = topics_conn(topics, number, owner);
    return conn && (word_state(conn_word(conn)) == CONN_SUBSCRIBING ||
                    word_state(conn_word(conn)) == CONN_OPEN);
}

static void rebuild_member_chains(struct topics *topics, uint32_t owner)
{
    struct topics_control *const control = topics->control;

    for (uint32_t i = 1; i < control->member_end; i++) {
        struct topic_member *const member = &topics->member[i];
        if (membership_still_holds(topics, i, owner)) {
            link_member_record(topics, i);
        } else {
            publish_member_topic(member, 0);
            member->of_conn = control->member_free;
            control->member_free = i;
        }
    }
}

void topics_rebuild(struct topics *topics, uint32_t owner, uint32_t high)
{
    const uint32_t end = high < topics->conns ? high : topics->conns;

    chains_begin(&topics->control->changes);
    for (uint32_t fd = 0; fd < end; fd++) {
        const uint64_t word = conn_word(&topics->table[fd]);
        if (word_owner(word) == owner && word_state(word) != CONN_FREE)
            topics->table[fd].topics = 0;
    }
    clear_topic_table(topics);
    rebuild_topic_chains(topics);
    KILLPOINT(TOPICS_REBUILDING);
    rebuild_member_chains(topics, owner);
    chains_end(&topics->control->changes);
}

/* ---- Validity ---- */

static bool conn_chain_has_member(const struct topics *topics, uint32_t fd, uint32_t number)
{
    uint32_t left = load_counter(&topics->control->members);

    for (uint32_t i = topics->table[fd].topics; i != 0; i = topics->member[i].of_conn) {
        if (i == number)
            return true;
        if (i >= topics->control->member_end || left-- == 0)
            return false;
    }
    return false;
}

static bool topic_member_valid(const struct topics *topics, uint32_t owner, uint32_t number)
{
    const struct topic_member *const member = &topics->member[number];

    return membership_still_holds(topics, number, owner) &&
           conn_chain_has_member(topics, member->fd, number);
}

/* Checks a topic and its members, and subtracts these from *left. */
static bool topic_record_valid(const struct topics *topics, uint32_t owner, uint32_t number,
                               uint32_t *left)
{
    const struct topic *const topic = &topics->topic[number];
    uint32_t members = 0, waiting = 0, before = 0;

    if (topic_len(topic) == 0 || topic_len(topic) > TOPIC_NAME_MAX ||
        topic->state > TOPIC_LEAVING ||
        topic->hash != users_hash(topics->seed, topic->name, topic_len(topic)))
        return false;
    for (uint32_t i = topic->first; i != 0; before = i, i = topics->member[i].next) {
        if (i >= topics->control->member_end || (*left)-- == 0 ||
            topic_of(&topics->member[i]) != number || topics->member[i].prev != before ||
            !topic_member_valid(topics, owner, i))
            return false;
        members++;
        waiting += topics->member[i].request != 0;
    }
    return topic->count == members && topic->waiting == waiting;
}

static bool free_records_valid(const struct topics *topics)
{
    const struct topics_control *const control = topics->control;
    uint32_t topics_left = control->topic_end - 1 - load_counter(&control->topics);
    uint32_t members_left = control->member_end - 1 - load_counter(&control->members);

    for (uint32_t i = control->topic_free; i != 0; i = topics->topic[i].next)
        if (i >= control->topic_end || topics_left-- == 0 || topic_len(&topics->topic[i]) != 0)
            return false;
    for (uint32_t i = control->member_free; i != 0; i = topics->member[i].of_conn)
        if (i >= control->member_end || members_left-- == 0 || topic_of(&topics->member[i]) != 0)
            return false;
    return topics_left == 0 && members_left == 0;
}

bool topics_valid(const struct topics *topics, uint32_t owner)
{
    const struct topics_control *const control = topics->control;
    uint32_t topics_left = load_counter(&control->topics),
             members_left = load_counter(&control->members);

    if (!topics_intact(topics))
        return false;
    if (control->buckets == 0)
        return topics_left == 0 && members_left == 0;
    if (control->buckets < TOPICS_BUCKETS_MIN || control->buckets > topics->capacity ||
        control->topic_end > topics->capacity || control->member_end > topics->capacity)
        return false;
    for (uint32_t bucket = 0; bucket < control->buckets; bucket++) {
        /* A circular chain would count more topics than there are. */
        for (uint32_t i = topics->heads[bucket]; i != 0; i = topics->topic[i].next) {
            if (i >= control->topic_end || topics_left-- == 0 ||
                chains_bucket(topics->topic[i].hash, control->buckets) != bucket ||
                !topic_record_valid(topics, owner, i, &members_left))
                return false;
        }
    }
    return topics_left == 0 && members_left == 0 && free_records_valid(topics);
}
