/*
 * Names every struct and enum that one version of the server leaves in memory for the next.
 * scripts/layout reads only the debugging information of this file: each variable here is a root,
 * and what a root contains belongs to the layout, too. The program is never linked.
 */
#include "shm/layout.h"
#include "shm/regions.h"
#include "worker/home.h"
#include "worker/parcel_format.h"
#include "worker/rings.h"
#include "worker/topic.h"

#define STRUCT(name) struct name struct_##name
#define ENUM(name)   enum name enum_##name

/* The segment. Byte rings and link buffers have no struct; the messages in rings follow below. */
#define REGION_ROOT(name, count, bytes) char region_##name;
REGIONS(REGION_ROOT)
#undef REGION_ROOT
STRUCT(segment_header);
STRUCT(board);
STRUCT(history);
STRUCT(history_sample);
STRUCT(slot);
STRUCT(stats);
STRUCT(ring_control);
STRUCT(conn);
STRUCT(address_entry);
STRUCT(topic);
STRUCT(topic_member);

/* Words that pack several values into integers, and the enums of fields. */
ENUM(conn_state);
ENUM(conn_flag);
STRUCT(plan);
ENUM(plan_phase);
ENUM(slot_command);
ENUM(node_state);
ENUM(link_state);
ENUM(doing);
ENUM(topic_state);
ENUM(change_kind);
ENUM(change_outcome);
ENUM(ending);

/* The messages in rings. */
STRUCT(ring_entry);
ENUM(ring_message);
ENUM(interest_word);
STRUCT(adoption);
STRUCT(conn_ref);
STRUCT(interest);

/* A parcel. */
STRUCT(parcel_head);
STRUCT(parcel_entry);
STRUCT(parcel_frame);
STRUCT(parcel_topic);

/* Sizes that no struct shows, as arrays, because the length of an array is in the debugging
 * information. */
char layout_meaning[LAYOUT_MEANING];
