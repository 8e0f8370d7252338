/*
 * Reports what became of a push to the worker that asked for it.
 *
 *   asking worker              Redis               workers that deliver it, of any node
 *     PUBLISH push:user:42 ────▶ │ ──── the push ────▶ │
 *       {..., "report": ticket}  │                     │ send
 *                                │ ◀─── PUBLISH ────── │
 *     ◀─── push:report:B-W ───── │      the report
 *
 * The asking worker adds the ticket to the envelope: its boot and number, the request, and which
 * part of the request it is. The ticket also gives the last part of the channel of the answer, so a
 * ticket cannot direct a report to any other kind of channel.
 *
 *   ticket   "d84ab655-1-2a-0"       boot, worker, request, part: a name of common/hexid.h
 *   report   {"report":"d84ab655-1-2a-0","from":"c11d4f2-3","copies":1,
 *             "delivered":2,"queued":0,"slow":0,"closed":0,"no_connection":0}
 *
 * A push to a topic or to all goes through several workers of a node, and each of them reports. The
 * one that received it from Redis reports how many `copies` it made for others; the others report
 * none.
 */
#ifndef WSPUSHD_PROTO_REPORT_H
#define WSPUSHD_PROTO_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can have become of a delivery when the report is made: X(name, description). The last three
 * are the reasons why one is dropped. */
#define REPORT_OUTCOMES(X)                                             \
    X(delivered, "the kernel has taken its last byte")                 \
    X(queued, "it waits for a client that is slow, or not ready yet")  \
    X(slow, "dropped: the client was too slow")                        \
    X(closed, "dropped: the connection broke while it was being sent") \
    X(no_connection, "dropped: there was no connection to give it to")

enum report_outcome {
#define REPORT_OUTCOME_ENUM(name, text) REPORT_##name,
    REPORT_OUTCOMES(REPORT_OUTCOME_ENUM)
#undef REPORT_OUTCOME_ENUM
        REPORT_OUTCOME_COUNT
};
const char *report_outcome_name(enum report_outcome outcome);

enum {
    REPORT_TICKET_MAX = 4 * 8 + 3, /* length of a ticket's text in bytes */
    REPORT_TEXT_MAX = 320,         /* maximum length of a report's text in bytes */
    REPORT_COPY = -1               /* `copies` of a worker that itself received a copy */
};

struct report_ticket {
    uint32_t boot, worker, request, part;
};

struct report {
    struct report_ticket ticket;
    uint32_t boot, worker; /* of the reporting worker */
    int64_t copies;
    uint64_t outcome[REPORT_OUTCOME_COUNT];
};

/* report_ticket_text() writes the ticket, without a NUL, and returns its length.
 * report_ticket_parse() returns false if the text is not a ticket. */
size_t report_ticket_text(char out[REPORT_TICKET_MAX], const struct report_ticket *ticket);
bool report_ticket_parse(struct report_ticket *ticket, const char *text, size_t len);

/* The same for a report. Unknown members are ignored; missing ones are 0. */
size_t report_text(char out[REPORT_TEXT_MAX], const struct report *report);
bool report_parse(struct report *report, const char *text, size_t len);

#endif
