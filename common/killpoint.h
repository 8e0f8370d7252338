/*
 * Kill points: places between two writes to shared memory, or between such a write and a system
 * call, where a death leaves an operation half done. In a server built by `make killpoints`, a
 * worker can be made to kill itself with SIGKILL at the n-th pass of any kill point;
 * tests/integration/test_killpoints.py tests all of them. In every other build KILLPOINT() is
 * empty.
 *
 * A kill point is named after the step that has just been done.
 */
#ifndef WSPUSHD_COMMON_KILLPOINT_H
#define WSPUSHD_COMMON_KILLPOINT_H

/* X(NAME, "the step that is done, and the next one, which is not") */
#define KILLPOINTS(X)                                                                           \
    /* shm/conn.c, users.c */                                                                   \
    X(CONN_WIPED, "the record of a new descriptor is wiped, not claimed")                       \
    X(KICK_WRITTEN, "a kick is in the table and is not counted")                                \
    X(KICK_ADDED, "a kick is counted, no worker is woken")                                      \
    X(KICK_CLOSED, "one of the connections that a kick ends is closed")                         \
    X(KICK_DONE, "a kick is done")                                                              \
    X(USERS_NEXT, "a record leads to its bucket's chain, not the bucket to it")                 \
    X(USERS_FOLLOWED, "a user's first connection follows one that is in no chain")              \
    X(USERS_HEAD, "a record is in its bucket, CONN_INDEXED is not set")                         \
    X(USERS_FLAGGED, "CONN_INDEXED is set, the record is not counted")                          \
    X(USERS_GROWING, "a bucket is being divided")                                               \
    X(USERS_LED, "a follower becomes a leader, its bucket still has the old leader")            \
    X(USERS_UNFOLLOWED, "one neighbour of a follower no longer links to it")                    \
    X(USERS_UNLINKED, "a record is out of its chain, CONN_INDEXED is set")                      \
    X(USERS_UNFLAGGED, "CONN_INDEXED is clear, the count is too high")                          \
    X(USERS_REBUILDING, "an index is being rebuilt")                                            \
    /* shm/topics.c */                                                                          \
    X(TOPIC_TAKEN, "a free topic record is taken, not filled in")                               \
    X(TOPIC_PUBLISHED, "a topic exists, in no bucket")                                          \
    X(TOPIC_UNPUBLISHED, "a topic is gone, and still in its bucket")                            \
    X(TOPIC_UNLINKED, "a topic is out of its bucket, not among the released")                   \
    X(MEMBER_TAKEN, "a free membership is taken, not filled in")                                \
    X(MEMBER_PUBLISHED, "a membership exists, in no chain")                                     \
    X(MEMBER_HALF_LINKED, "a membership is in its connection's chain, not in its topic's")      \
    X(MEMBER_UNLINKED, "a membership is out of both chains, and exists")                        \
    X(MEMBER_UNPUBLISHED, "a membership is gone, not among the released")                       \
    X(MEMBER_COUNTED, "a topic counts a SUBBED that is due, the membership is not marked")      \
    X(TOPICS_REBUILDING, "a table of topics is being rebuilt")                                  \
    /* shm/ring.c, stream.c, slot.c */                                                          \
    X(RING_ORIGIN, "the origin of new entries is stored, the tail is not")                      \
    X(RING_PUBLISHED, "entries are visible, the consumer is not woken")                         \
    X(RING_WISHED, "room is requested, and not checked for again")                              \
    X(RING_HANDLED, "entries are handled and sent, not committed")                              \
    X(RING_COMMITTED, "entries are committed, a waiting producer is not woken")                 \
    X(STREAM_BEGUN, "a stream starts at its end, its base is still the old socket's")           \
    X(REWIND_PLANNED, "the base after a rewind is noted")                                       \
    X(REWIND_STARTED, "start is beyond end")                                                    \
    X(REWIND_BASED, "start and base are moved, end is not")                                     \
    X(STREAM_RECOVERING, "a dead worker's rewind is half finished")                             \
    X(AUX_INODE, "the inode of a noted descriptor is stored, its number is not")                \
    /* worker/accept.c, upgrade.c */                                                            \
    X(ACCEPTED, "accept4(2) has returned, nothing is noted")                                    \
    X(ACCEPT_NOTED, "`handing` names the descriptor, its record is free")                       \
    X(ACCEPT_CLAIMED, "the record is claimed, not counted")                                     \
    X(ACCEPT_READ, "the request was read, the connection is not watched")                       \
    X(HEAD_READ, "a request is out of the kernel, nothing is decided")                          \
    X(LOGIN_RECORDED, "the record has its user, and is not given away")                         \
    /* worker/home.c */                                                                         \
    X(GIVE_NOTED, "`handing` names what is to be given away")                                   \
    X(GIVE_UNWATCHED, "the connection is in no epoll set")                                      \
    X(GIVE_CLEAN, "CONN_DIRTY is clear, the owner is the old one")                              \
    X(GIVEN, "the record names the new owner, the ring does not have it")                       \
    X(GIVE_PUBLISHED, "the ring has the connection, `handing` still names it")                  \
    X(KEPT, "the new owner is the old one: only MOVING is set")                                 \
    X(ADOPT_COUNTED, "an arrival is counted, it is still MOVING")                               \
    X(ADOPT_MARKED, "an arrival is dirty, and still MOVING")                                    \
    X(ADOPT_SETTLED, "an arrival is SUBSCRIBING, in no epoll set")                              \
    X(ADOPT_WATCHED, "an arrival is watched, in no index")                                      \
    X(ADOPT_INDEXED, "an arrival is in the index, nothing is subscribed")                       \
    X(ADOPT_ASKED, "the subscription is gathered, not in the stream")                           \
    X(GREETING_SET, "CONN_GREETING is set, HELLO has not left")                                 \
    X(HELLO_LEFT, "HELLO was sent, the state is SUBSCRIBING")                                   \
    X(LEAVE_TOPICS, "a connection has left its topics, it is in the index")                     \
    X(LEAVE_GONE, "a user counts as gone, and is in the index")                                 \
    X(LEFT, "a connection is out of the index, UNSUBSCRIBE is not in the stream")               \
    X(ORPHAN_TOLD, "the new owner of a lost connection is notified, `handing` names it")        \
    /* worker/client.c, hold.c */                                                               \
    X(WATCH_ADDED, "the epoll set has a connection, CONN_WATCHED is not set")                   \
    X(WATCH_DELETED, "the epoll set no longer has a connection, CONN_WATCHED is set")           \
    X(WATCH_CHANGED, "EPOLLOUT is armed or not, CONN_WRITING says the opposite")                \
    X(END_COUNTED, "an end is counted, nothing is released")                                    \
    X(END_LEFT, "a connection that ends is in no index, its record is not free")                \
    X(END_RELEASED, "the record is free, the descriptor is open")                               \
    X(CLOSE_COUNTED, "a close is counted, nothing is released")                                 \
    X(CLOSE_STATE, "a connection that the server closes is CLOSING, and still in the index")    \
    X(CLOSE_LEFT, "a closing connection is in no index, its close frame is not sent")           \
    X(HOLD_OWNED, "the record names the process, and is not yet dirty")                         \
    X(READ_MARKED, "the record is dirty, nothing is read")                                      \
    X(READ_DONE, "bytes are out of the kernel, and nowhere else")                               \
    /* worker/outbox.c */                                                                       \
    X(SEND_BEFORE, "frames are about to be sent")                                               \
    X(SEND_AFTER, "frames were sent, nothing is recorded")                                      \
    X(SEND_MARKED, "the mark is set, the connection is not settled")                            \
    X(SEND_PARTLY, "a part of the frames was sent, the rest has no backlog")                    \
    X(SEND_WAITS, "the rest is in the backlog, EPOLLOUT is not armed")                          \
    X(BACKLOG_SENT, "a part of the backlog was sent, and is still in it")                       \
    /* worker/redis_resolve.c, redis_connect.c */                                               \
    X(LOOKUP_STARTED, "a process looks a name up, its pidfd is not recorded")                   \
    X(REDIS_SOCKET, "a socket for Redis is open, and not recorded")                             \
    /* worker/link.c, link_streams.c, subscribe.c, route.c */                                   \
    X(LINK_SOCKET, "a connected socket is no longer noted, the slot does not name it")          \
    X(LINK_NOTED, "the slot names a new socket, nothing is sent")                               \
    X(LINK_CONNECTED, "the login is in the stream, no subscription is")                         \
    X(LINK_ASKING, "users and topics are subscribed, the node's channels are not")              \
    X(LINK_RECEIVED, "recv(2) has bytes, the stream does not count them")                       \
    X(LINK_COUNTED, "the stream counts the received bytes, `receiving` is set")                 \
    X(LINK_SENDING, "`sending` is set, nothing is sent")                                        \
    X(LINK_SENT, "send(2) has sent commands, the stream does not count them")                   \
    X(LINK_ROUTED, "replies are routed, nothing is sent")                                       \
    X(LINK_FLUSHED, "pushes are sent, the rings not published")                                 \
    X(LINK_SHARED, "the rings are published, the bytes not committed")                          \
    X(ADOPTIONS_SENT, "the 101s of adoptions are sent, the ring still has the adoptions")       \
    X(BATCH_LEFT, "a slice of a batch is sent, the rest is for the next turn")                  \
    X(LINK_COMMITTED, "the received bytes are committed")                                       \
    X(LINK_FAILED, "a failure is noted, the link is UP")                                        \
    X(LINK_DOWN, "the link is DOWN, its socket noted")                                          \
    X(LINK_FORGOTTEN, "the link's socket is open, and not recorded")                            \
    X(LINK_CLOSED, "the link's socket is closed, its streams are not restarted")                \
    X(COMMAND_WRITTEN, "a command is in the stream, its channels are still gathered")           \
    X(BATCH_COUNTED, "a batch is counted, its fence is not in the stream")                      \
    X(BATCH_CONFIRMED, "a batch is confirmed, its connections have no HELLO yet")               \
    X(COMMANDS_AGAIN, "refused commands are in the stream again, nothing is recorded")          \
    X(LINK_UP, "the link is UP, no other worker is notified")                                   \
    X(COMMANDS_SOCKET, "the socket for requests is connected, nothing is sent")                 \
    /* worker/node.c, topic.c, join.c */                                                        \
    X(NODE_PRESENT, "`present` has changed, the node's home does not know")                     \
    X(NODE_DOUBTFUL, "the node's channels are in doubt")                                        \
    X(NODE_GIVEN_UP, "the node's channels count as given up, UNSUBSCRIBE is not in the stream") \
    X(GAP_MADE, "GAP is sent, the words still say that it is due")                              \
    X(GAP_NOTED, "GAP is recorded as sent to all, and not as sent to members")                  \
    X(INTEREST_TOLD, "another worker is notified of a topic, the record does not say so")       \
    X(INTEREST_ASKED, "a topic's state says that its home was asked, the request is not sent")  \
    X(JOIN_MEMBER, "a membership exists, SUBBED is not due")                                    \
    X(SUBBED_MADE, "SUBBED is in the outbox")                                                   \
    X(SUBBED_LEFT, "SUBBED is sent, it still counts as due")                                    \
    /* worker/takeover.c, parcel.c, descriptors.c */                                            \
    X(AUX_FORGOTTEN, "a dead worker's descriptor is no longer recorded, and open")              \
    X(TAKEOVER_BEGUN, "indexes are repaired, the counts are the dead worker's")                 \
    X(TAKEOVER_COUNTED, "the counts are rebuilt")                                               \
    X(TAKEOVER_TOPICS, "the topics' pending operations are resumed")                            \
    X(TAKEOVER_HALF, "a part of the records is checked")                                        \
    X(TAKEOVER_WALKED, "all records are checked, the rings are not read")                       \
    X(TAKEOVER_DONE, "everything except the subscriptions is taken over")                       \
    /* worker/move.c, rehome.c */                                                               \
    X(MOVE_WALKED, "a worker's future channels are requested, not confirmed")                   \
    X(MOVE_STAGED, "a stage of a move is reached, and recorded in the slot")                    \
    X(FENCE_MET, "a link is routed up to the fence, the slot does not say so")                  \
    X(GIVE_BEGUN, "the parcel exists, no connection is given away")                             \
    X(GIVE_TORN, "a connection is out of the epoll set, its owner is the old one")              \
    X(GIVE_HALF, "one connection is in transit, others are not")                                \
    X(GIVE_ENDED, "all connections are in transit, the slot is not cleared")                    \
    X(RETIRE_HALF, "a slot's link is closed, the slot is not empty")                            \
    X(TAKE_OWNED, "connections in transit have their new owner, and are in no index")           \
    X(TAKE_INDEXED, "the index is rebuilt, the topics are of the old number")                   \
    X(TAKE_BEGUN, "all state that depends on the number is rebuilt, no parcel is taken")        \
    X(PARCEL_WRITTEN, "a parcel is written, the slot does not name it")                         \
    X(PARCEL_NAMED, "the slot names it, the worker has not ended")                              \
    X(PARCEL_HALF, "a part of a parcel is taken")                                               \
    X(PARCEL_FORGOTTEN, "a parcel is taken and no longer recorded, its descriptor is open")

#ifdef KILLPOINTS_BUILD

enum killpoint {
#define KILLPOINT_ENUM(name, text) KILL_##name,
    KILLPOINTS(KILLPOINT_ENUM)
#undef KILLPOINT_ENUM
        KILLPOINT_COUNT
};

/* Counts the pass, and kills the process if it is the requested one. tests/chaos/killpoint.c */
void killpoint_pass(enum killpoint point);

#define KILLPOINT(name) killpoint_pass(KILL_##name)
#else
#define KILLPOINT(name) ((void)0)
#endif

#endif
