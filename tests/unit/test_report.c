/* Tickets and reports: a written one is read back unchanged, and any other text is refused. */
#include "tests/unit/guard.h"

#include <stdlib.h>

#include "proto/report.h"

static const struct report_ticket largest_ticket = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

static bool parse(struct report *report, const char *text)
{
    struct guard in = guard_open(strlen(text));
    const bool valid =
        report_parse(report, (char *)guard_put(&in, text, strlen(text)), strlen(text));
    guard_close(&in);
    return valid;
}

static void a_ticket_comes_back(void **state)
{
    static const struct report_ticket tickets[] = {
        {0, 0, 0, 0}, {0xd84ab655, 1, 0x2a, 0}, {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof(tickets) / sizeof(tickets[0]); i++) {
        struct guard out = guard_open(REPORT_TICKET_MAX);
        char *const text = (char *)guard_room(&out, REPORT_TICKET_MAX);
        struct report_ticket ticket;
        const size_t len = report_ticket_text(text, &tickets[i]);
        assert_true(report_ticket_parse(&ticket, text, len));
        assert_memory_equal(&ticket, &tickets[i], sizeof(ticket));
        assert_false(report_ticket_parse(&ticket, text, len - 1) && ticket.part == tickets[i].part);
        guard_close(&out);
    }
}

static void assert_comes_back(const struct report *report)
{
    struct guard out = guard_open(REPORT_TEXT_MAX);
    char *const text = (char *)guard_room(&out, REPORT_TEXT_MAX);
    struct report back;
    assert_true(report_parse(&back, text, report_text(text, report)));
    assert_memory_equal(&back.ticket, &report->ticket, sizeof(back.ticket));
    assert_true(back.boot == report->boot && back.worker == report->worker);
    assert_true(back.copies == report->copies);
    assert_memory_equal(back.outcome, report->outcome, sizeof(back.outcome));
    guard_close(&out);
}

static void a_report_comes_back(void **state)
{
    (void)state;
    struct report report = {.ticket = {1, 2, 3, 4}, .boot = 5, .worker = 63, .copies = REPORT_COPY};
    assert_comes_back(&report);
    report.copies = 0;
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++)
        report.outcome[i] = 10 + i;
    assert_comes_back(&report);
    report = (struct report){
        .ticket = largest_ticket, .boot = UINT32_MAX, .worker = UINT32_MAX, .copies = 63};
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++)
        report.outcome[i] = INT64_MAX;
    assert_comes_back(&report);
}

static void it_reads_as_documented(void **state)
{
    (void)state;
    static const char expected[] =
        "{\"report\":\"d84ab655-1-2a-0\",\"from\":\"c11d4f2-3\",\"copies\":1,\"delivered\":2,"
        "\"queued\":0,\"slow\":0,\"closed\":0,\"no_connection\":0}";
    const struct report report = {.ticket = {0xd84ab655, 1, 0x2a, 0},
                                  .boot = 0xc11d4f2,
                                  .worker = 3,
                                  .copies = 1,
                                  .outcome = {[REPORT_delivered] = 2}};
    char text[REPORT_TEXT_MAX];
    assert_int_equal(report_text(text, &report), sizeof(expected) - 1);
    assert_memory_equal(text, expected, sizeof(expected) - 1);
}

static void what_a_later_version_adds_is_passed_over(void **state)
{
    (void)state;
    struct report report;
    assert_true(
        parse(&report, " {\"new\":[1],\"from\":\"1-2\",\"report\":\"3-4-5-6\",\"closed\":7}"));
    assert_int_equal(report.ticket.part, 6);
    assert_int_equal(report.copies, REPORT_COPY);
    assert_int_equal(report.outcome[REPORT_closed], 7);
    assert_int_equal(report.outcome[REPORT_delivered], 0);
}

#define GOOD "\"report\":\"1-2-3-4\",\"from\":\"1-2\""

static void what_is_no_report(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{" GOOD,
        "{" GOOD "}}",
        "{\"report\":\"1-2-3-4\"}",
        "{\"from\":\"1-2\"}",
        "{\"report\":\"1-2-3\",\"from\":\"1-2\"}",
        "{\"report\":\"1-2-3-4\",\"from\":\"1-2-3\"}",
        "{\"report\":1,\"from\":\"1-2\"}",
        "{\"report\":\"\",\"from\":\"\"}",
        "{\"report\":\"1-2-3-\\u0034\",\"from\":\"1-2\"}",
        "{" GOOD ",\"delivered\":-1}",
        "{" GOOD ",\"delivered\":\"1\"}",
        "{" GOOD ",\"delivered\":1.5}",
        "{" GOOD ",\"slow\":9223372036854775808}",
        "{" GOOD ",\"copies\":-1}",
        "{" GOOD ",\"copies\":null}",
        "{" GOOD ",\"delivered\":\"1\",\"queued\":1}",
        "{" GOOD ",\"report\":0}",
    };
    (void)state;
    struct report report;
    assert_true(parse(&report, "{" GOOD "}"));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (parse(&report, texts[i]))
            fail_msg("%s was taken for a report", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_comes_back),
        cmocka_unit_test(a_report_comes_back),
        cmocka_unit_test(it_reads_as_documented),
        cmocka_unit_test(what_a_later_version_adds_is_passed_over),
        cmocka_unit_test(what_is_no_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
