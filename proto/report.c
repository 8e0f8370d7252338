/*
 * See report.h. A report is parsed as strictly as a push: everyone who can publish on a report's
 * channel can send anything, and whatever is malformed is not a report.
 */
#include "proto/report.h"

#include <stdio.h>
#include <string.h>

#include "common/hexid.h"
#include "proto/json.h"

static const char *const outcome_names[] = {
#define OUTCOME_NAME(name, text) [REPORT_##name] = #name,
    REPORT_OUTCOMES(OUTCOME_NAME)
#undef OUTCOME_NAME
};

const char *report_outcome_name(enum report_outcome outcome)
{
    return outcome_names[outcome];
}

size_t report_ticket_text(char out[REPORT_TICKET_MAX], const struct report_ticket *ticket)
{
    char text[REPORT_TICKET_MAX + 1];
    const int len = snprintf(text, sizeof(text), "%x-%x-%x-%x", ticket->boot, ticket->worker,
                             ticket->request, ticket->part);
    memcpy(out, text, (size_t)len);
    return (size_t)len;
}

bool report_ticket_parse(struct report_ticket *ticket, const char *text, size_t len)
{
    uint32_t number[4];
    if (!hexid_parse(text, len, number, 4))
        return false;
    *ticket = (struct report_ticket){number[0], number[1], number[2], number[3]};
    return true;
}

size_t report_text(char out[REPORT_TEXT_MAX], const struct report *report)
{
    char ticket[REPORT_TICKET_MAX];
    const int ticket_len = (int)report_ticket_text(ticket, &report->ticket);
    int len = snprintf(out, REPORT_TEXT_MAX, "{\"report\":\"%.*s\",\"from\":\"%x-%x\"", ticket_len,
                       ticket, report->boot, report->worker);
    if (report->copies != REPORT_COPY)
        len += snprintf(out + len, REPORT_TEXT_MAX - (size_t)len, ",\"copies\":%lld",
                        (long long)report->copies);
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++)
        len += snprintf(out + len, REPORT_TEXT_MAX - (size_t)len, ",\"%s\":%llu", outcome_names[i],
                        (unsigned long long)report->outcome[i]);
    out[len++] = '}';
    return (size_t)len;
}

/* True if the string is an identifier of `count` numbers (common/hexid.h), which is written without
 * escapes. */
static bool read_hexid_member(const struct json_value *value, uint32_t *numbers, size_t count)
{
    return value->type == JSON_TYPE_STRING &&
           hexid_parse(value->at + 1, value->len - 2, numbers, count);
}

/* Takes a numeric member. Returns false if the member is known but not a number. */
static bool read_report_number(struct report *report, const struct json_value *name,
                               const struct json_value *value)
{
    uint64_t number;
    const bool valid = json_uint(value, INT64_MAX, &number);
    if (json_string_is(name, "copies")) {
        report->copies = valid ? (int64_t)number : REPORT_COPY;
        return valid;
    }
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++) {
        if (!json_string_is(name, outcome_names[i]))
            continue;
        report->outcome[i] = valid ? number : 0;
        return valid;
    }
    return true;
}

bool report_parse(struct report *report, const char *text, size_t len)
{
    struct json_walk walk = json_walk_object(text, len);
    struct json_value name, value;
    uint32_t ticket[4], from[2];
    bool has_ticket = false, has_from = false, valid = true;
    *report = (struct report){.copies = REPORT_COPY};
    while (json_next(&walk, &name, &value)) {
        if (json_string_is(&name, "report"))
            has_ticket = read_hexid_member(&value, ticket, 4);
        else if (json_string_is(&name, "from"))
            has_from = read_hexid_member(&value, from, 2);
        else
            valid = read_report_number(report, &name, &value) && valid;
    }
    if (walk.failed || !has_ticket || !has_from || !valid)
        return false;
    report->ticket = (struct report_ticket){ticket[0], ticket[1], ticket[2], ticket[3]};
    report->boot = from[0];
    report->worker = from[1];
    return true;
}
