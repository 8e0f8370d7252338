/*
 * Kill points: the places between two writes to shared memory, or between such a write and a system
 * call, where a death leaves something half done. `make killpoints` builds a server in which a
 * worker can be made to die, by SIGKILL, at the n-th pass of any of them;
 * tests/integration/test_killpoints.py goes through all. In every other build KILLPOINT() is
 * nothing at all.
 *
 * A point is named after what has just been done.
 */
#ifndef WSPUSHD_COMMON_KILLPOINT_H
#define WSPUSHD_COMMON_KILLPOINT_H

/* X(NAME, "what is done, and what is not yet") */
#define KILLPOINTS(X)                                                                      \
    /* shm/conn.c, users.c */                                                              \
    X(CONN_WIPED, "the record of a new descriptor is wiped, not claimed")                  \
    X(KICK_WRITTEN, "a kick stands in the table and is not counted")                       \
    X(KICK_ADDED, "a kick is counted, and no worker is woken for it")                      \
    X(KICK_CLOSED, "one of the connections that a kick ends is closed")                    \
    X(KICK_DONE, "a kick is done")                                                         \
    X(USERS_NEXT, "a record leads to its bucket's chain, not the bucket to it")            \
    X(USERS_FOLLOWED, "a user's first connection follows one that is in no chain")         \
    X(USERS_HEAD, "a record hangs in its bucket, CONN_INDEXED does not say so")            \
    X(USERS_FLAGGED, "CONN_INDEXED says so, the count does not")                           \
    X(USERS_GROWING, "a bucket is being divided")                                          \
    X(USERS_LED, "a follower is to lead, and its bucket leads to the one before it")       \
    X(USERS_UNFOLLOWED, "one neighbour of a follower leaves it out")                       \
    X(USERS_UNLINKED, "a record is out of its chain, CONN_INDEXED is set")                 \
    X(USERS_UNFLAGGED, "CONN_INDEXED is clear, the count is too high")                     \
    X(USERS_REBUILDING, "an index is being rebuilt")                                       \
    /* shm/topics.c */                                                                     \
    X(TOPIC_TAKEN, "a free topic record is taken, not filled in")                          \
    X(TOPIC_PUBLISHED, "a topic exists, in no bucket")                                     \
    X(TOPIC_UNPUBLISHED, "a topic is gone, and still in its bucket")                       \
    X(TOPIC_UNLINKED, "a topic is out of its bucket, not among the released")              \
    X(MEMBER_TAKEN, "a free membership is taken, not filled in")                           \
    X(MEMBER_PUBLISHED, "a membership exists, in no chain")                                \
    X(MEMBER_HALF_LINKED, "a membership is in its connection's chain, not in its topic's") \
    X(MEMBER_UNLINKED, "a membership is out of both chains, and exists")                   \
    X(MEMBER_UNPUBLISHED, "a membership is gone, not among the released")                  \
    X(MEMBER_COUNTED, "a topic counts that SUBBED is due, the membership does not say so") \
    X(TOPICS_REBUILDING, "a table of topics is being rebuilt")                             \
    /* shm/ring.c, stream.c, slot.c */                                                     \
    X(RING_ORIGIN, "the origin of new entries is stored, the tail is not")                 \
    X(RING_PUBLISHED, "entries are visible, nobody is woken")                              \
    X(RING_WISHED, "room is asked for, and not looked for once more")                      \
    X(RING_HANDLED, "entries are handled and sent, not committed")                         \
    X(RING_COMMITTED, "entries are committed, who waits for room is not woken")            \
    X(STREAM_BEGUN, "a stream starts at its end, its base is the old socket's")            \
    X(REWIND_PLANNED, "the base after a rewind is noted")                                  \
    X(REWIND_STARTED, "start is beyond end")                                               \
    X(REWIND_BASED, "start and base are moved, end is not")                                \
    X(STREAM_RECOVERING, "a dead worker's rewind is half finished")                        \
    X(AUX_INODE, "the inode of a noted descriptor is stored, its number is not")           \
    /* worker/accept.c, upgrade.c */                                                       \
    X(ACCEPTED, "accept4(2) has returned, nothing is noted")                               \
    X(ACCEPT_NOTED, "`handing` names the descriptor, its record is free")                  \
    X(ACCEPT_CLAIMED, "the record is claimed, not counted")                                \
    X(ACCEPT_READ, "the request was read, the connection is not watched")                  \
    X(HEAD_READ, "a request is out of the kernel, nothing is decided")                     \
    X(LOGIN_RECORDED, "the record has its user, and is not given away")                    \
    /* worker/home.c */                                                                    \
    X(GIVE_NOTED, "`handing` names what is to be given away")                              \
    X(GIVE_UNWATCHED, "it is in no epoll set")                                             \
    X(GIVE_CLEAN, "CONN_DIRTY is clear, the owner is the old one")                         \
    X(GIVEN, "the record names the new owner, the ring does not have it")                  \
    X(GIVE_PUBLISHED, "the ring has it, `handing` still names it")                         \
    X(KEPT, "the new owner is the old one: MOVING, nothing else")                          \
    X(ADOPT_COUNTED, "an arrival is counted, it is still MOVING")                          \
    X(ADOPT_MARKED, "it is dirty, and still MOVING")                                       \
    X(ADOPT_SETTLED, "it is SUBSCRIBING, in no epoll set")                                 \
    X(ADOPT_WATCHED, "it is watched, in no index")                                         \
    X(ADOPT_INDEXED, "it is in the index, nothing is subscribed")                          \
    X(ADOPT_ASKED, "the subscription is gathered, not in the stream")                      \
    X(GREETING_SET, "CONN_GREETING is set, HELLO has not left")                            \
    X(HELLO_LEFT, "HELLO has left, the state is SUBSCRIBING")                              \
    X(LEAVE_TOPICS, "its topics are given up, it is in the index")                         \
    X(LEAVE_GONE, "the user counts as gone, and is in the index")                          \
    X(LEFT, "it is out of the index, UNSUBSCRIBE is not in the stream")                    \
    X(ORPHAN_TOLD, "the new owner of a lost connection is told, `handing` names it")       \
    /* worker/client.c, hold.c */                                                          \
    X(WATCH_ADDED, "the epoll set has it, CONN_WATCHED does not say so")                   \
    X(WATCH_DELETED, "the epoll set has it no more, CONN_WATCHED is set")                  \
    X(WATCH_CHANGED, "EPOLLOUT is armed or not, CONN_WRITING says the opposite")           \
    X(END_COUNTED, "an end is counted, everything still stands")                           \
    X(END_LEFT, "a connection that ends is in no index, its record is its own")            \
    X(END_RELEASED, "the record is free, the descriptor is open")                          \
    X(CLOSE_COUNTED, "a close is counted, everything still stands")                        \
    X(CLOSE_STATE, "a connection that we close is CLOSING, and still in the index")        \
    X(CLOSE_LEFT, "it is in no index, its close frame has not left")                       \
    X(HOLD_OWNED, "the record names the process, not yet dirty")                           \
    X(READ_MARKED, "the record is dirty, nothing is read")                                 \
    X(READ_DONE, "bytes are out of the kernel, and nowhere else")                          \
    /* worker/outbox.c */                                                                  \
    X(SEND_BEFORE, "frames are about to be sent")                                          \
    X(SEND_AFTER, "frames were sent, nothing says so")                                     \
    X(SEND_MARKED, "the mark is set, the connection is not settled")                       \
    X(SEND_PARTLY, "a part of the frames was sent, the rest has no backlog")               \
    X(SEND_WAITS, "the rest is in the backlog, EPOLLOUT is not armed")                     \
    X(BACKLOG_SENT, "a part of the backlog was sent, and is still in it")                  \
    /* worker/redis_resolve.c, redis_connect.c */                                          \
    X(LOOKUP_STARTED, "a process looks a name up, its pidfd is not noted")                 \
    X(REDIS_SOCKET, "a socket for Redis is open, nobody knows it")                         \
    /* worker/link.c, link_streams.c, subscribe.c, route.c */                              \
    X(LINK_SOCKET, "a connected socket is no longer noted, the slot does not name it")     \
    X(LINK_NOTED, "the slot names it, nothing is sent")                                    \
    X(LINK_CONNECTED, "the login is in the stream, nothing is asked for")                  \
    X(LINK_ASKING, "everything is being asked for")                                        \
    X(LINK_RECEIVED, "recv(2) has bytes, the stream does not count them")                  \
    X(LINK_COUNTED, "the stream counts them, `receiving` is set")                          \
    X(LINK_SENDING, "`sending` is set, nothing is sent")                                   \
    X(LINK_SENT, "send(2) has taken commands, the stream does not count that")             \
    X(LINK_ROUTED, "replies are routed, nothing is sent")                                  \
    X(LINK_FLUSHED, "pushes are sent, the rings not published")                            \
    X(LINK_SHARED, "the rings are published, the bytes not committed")                     \
    X(ADOPTIONS_SENT, "the 101s of adoptions have left, the ring still has these")         \
    X(BATCH_LEFT, "a slice of a batch is sent, the rest is for the next turn")             \
    X(LINK_COMMITTED, "the bytes are committed")                                           \
    X(LINK_FAILED, "a failure is noted, the link is UP")                                   \
    X(LINK_DOWN, "the link is DOWN, its socket noted")                                     \
    X(LINK_FORGOTTEN, "its socket is open, and not noted")                                 \
    X(LINK_CLOSED, "its socket is closed, its streams are not begun anew")                 \
    X(COMMAND_WRITTEN, "a command is in the stream, what it was gathered from stands")     \
    X(BATCH_COUNTED, "a batch is counted, its fence is not in the stream")                 \
    X(BATCH_CONFIRMED, "a batch is confirmed, who waited is not greeted")                  \
    X(COMMANDS_AGAIN, "refused commands are in the stream again, nothing says so")         \
    X(LINK_UP, "the link is UP, nobody is told")                                           \
    X(COMMANDS_SOCKET, "the socket for requests is connected, nothing is sent")            \
    /* worker/node.c, topic.c, join.c */                                                   \
    X(NODE_PRESENT, "`present` has changed, the node's home does not know")                \
    X(NODE_DOUBTFUL, "the node's channels are in doubt")                                   \
    X(NODE_GIVEN_UP, "they count as given up, UNSUBSCRIBE is not in the stream")           \
    X(GAP_MADE, "GAP has left, the words still say that it is due")                        \
    X(GAP_NOTED, "GAP is noted as told to all, and not as told to members")                \
    X(INTEREST_TOLD, "another worker is told of a topic, the record does not say so")      \
    X(INTEREST_ASKED, "a topic's state says that its home is asked, and it is not")        \
    X(JOIN_MEMBER, "a membership stands, SUBBED is not due")                               \
    X(SUBBED_MADE, "SUBBED is in the outbox")                                              \
    X(SUBBED_LEFT, "SUBBED has left, it still counts as due")                              \
    /* worker/takeover.c, parcel.c, descriptors.c */                                       \
    X(AUX_FORGOTTEN, "a dead worker's descriptor is forgotten, and open")                  \
    X(TAKEOVER_BEGUN, "indexes are whole, the counts are the dead worker's")               \
    X(TAKEOVER_COUNTED, "the counts are made anew")                                        \
    X(TAKEOVER_TOPICS, "what was under way with topics is taken up")                       \
    X(TAKEOVER_HALF, "a part of the records is looked at")                                 \
    X(TAKEOVER_WALKED, "all are looked at, the rings are not read")                        \
    X(TAKEOVER_DONE, "all but the subscriptions is taken over")                            \
    /* worker/move.c, rehome.c */                                                          \
    X(MOVE_WALKED, "what is to be a worker's own is asked for, not confirmed")             \
    X(MOVE_STAGED, "a stage of a move is reached, and the slot says so")                   \
    X(FENCE_MET, "a link is routed up to the fence, the slot does not say so")             \
    X(GIVE_BEGUN, "the parcel is there, no connection is given")                           \
    X(GIVE_TORN, "a connection is out of the epoll set, and the old owner's")              \
    X(GIVE_HALF, "a connection is on the way, others are not")                             \
    X(GIVE_ENDED, "all are on the way, the slot stands")                                   \
    X(RETIRE_HALF, "a slot's link is closed, the slot is not empty")                       \
    X(TAKE_OWNED, "what was on the way is its new owner's, and in no index")               \
    X(TAKE_INDEXED, "the index is anew, topics are the old number's")                      \
    X(TAKE_BEGUN, "what derives from the number is anew, no parcel is taken")              \
    X(PARCEL_WRITTEN, "a parcel is written, the slot does not name it")                    \
    X(PARCEL_NAMED, "the slot names it, the worker has not ended")                         \
    X(PARCEL_HALF, "a part of a parcel is taken")                                          \
    X(PARCEL_FORGOTTEN, "a parcel is taken and forgotten, its descriptor is open")

#ifdef KILLPOINTS_BUILD

enum killpoint {
#define KILLPOINT_ENUM(name, text) KILL_##name,
    KILLPOINTS(KILLPOINT_ENUM)
#undef KILLPOINT_ENUM
        KILLPOINT_COUNT
};

/* Counts the pass, and dies if it is the one. tests/chaos/killpoint.c */
void killpoint_pass(enum killpoint point);

#define KILLPOINT(name) killpoint_pass(KILL_##name)
#else
#define KILLPOINT(name) ((void)0)
#endif

#endif
