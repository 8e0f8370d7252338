/*
 * Refusals of SUB and UNSUB: one ERROR for each reason, which names the topics.
 */
#ifndef WSPUSHD_WORKER_JOIN_REFUSAL_H
#define WSPUSHD_WORKER_JOIN_REFUSAL_H

#include "proto/explain.h"
#include "proto/json.h"
#include "proto/message.h"
#include "worker/worker.h"

#include <stddef.h>

/* The verdict on a topic name: X(NAME, code of the ERROR). The first two are not refusals. */
#define VERDICTS(X)                     \
    X(DONE, ERROR_BAD_PAYLOAD)          \
    X(ALREADY, ERROR_BAD_PAYLOAD)       \
    X(BAD_TOPIC, ERROR_BAD_TOPIC)       \
    X(FORBIDDEN, ERROR_FORBIDDEN)       \
    X(TOO_MANY, ERROR_TOO_MANY_TOPICS)  \
    X(RATE_LIMITED, ERROR_RATE_LIMITED) \
    X(FULL, ERROR_UNAVAILABLE)

enum verdict {
#define VERDICT_ENUM(name, code) name,
    VERDICTS(VERDICT_ENUM)
#undef VERDICT_ENUM
        VERDICT_COUNT
};

/* Returns the code of a refusal. */
enum error_code verdict_error(enum verdict verdict);

/* Start the list of a request's verdicts; add one for each of its names, in their order. Names
 * without a verdict share the last one. */
void verdicts_begin(void);
void verdicts_add(enum verdict verdict);

/* Sends an ERROR for each kind of refusal among the verdicts. `topics`: the request's array, whose
 * elements are all strings. May end the connection. */
void verdicts_refuse(struct worker *worker, struct conn *conn, uint32_t op,
                     const struct json_value *topics);

/* Explains why the payload of a SUB or UNSUB is not an object with an array of strings. */
void explain_topics(char why[EXPLAIN_MAX], const struct message *request);

#endif
