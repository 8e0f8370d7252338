/*
 * reload, upgrade, drain: sends the request, then waits for the outcome. The worker that took the
 * request may leave meanwhile, and so may each worker that is asked for the progress: a request
 * without an answer is repeated.
 */
#include "tools/wspushctl_ask.h"

#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/wspushctl_text.h"

enum {
    DRAIN_MARGIN_S =
        20, /* added to drain_timeout: the master kills the remaining workers earlier */
    UNAUTHORIZED = 401
};

/* ---- Reload, upgrade ---- */

/* The state of the server before the change. */
struct former {
    char build[96], boot[32];
};

/* Returns the name of the server's build; versions before 0.1.0 have none. */
static const char *find_build_name(const json_t *stats)
{
    const char *build = text_of(stats, "build");
    return *build ? build : text_of(stats, "version");
}

/* Prints the lines of a report. */
static void print_report_lines(FILE *out, const json_t *change)
{
    const char *at = json_string_value(json_object_get(change, "text"));
    while (at && *at) {
        const size_t len = strcspn(at, "\n");
        fprintf(out, "  %s\n", safe_text(at, len));
        at += len + (at[len] == '\n');
    }
}

static void print_change_success(const char *kind, const struct former *former, const json_t *stats)
{
    const json_t *change = json_object_get(stats, kind);
    printf("%s%s %lld done%s: ", paint(stdout, GREEN), kind, number_of(change, "number"),
           paint(stdout, PLAIN));
    if (strcmp(kind, "upgrade") == 0)
        printf("wspushd %s has replaced %s\n", find_build_name(stats), former->build);
    else
        printf("%zu workers run with the new push.conf\n",
               json_array_size(json_object_get(stats, "workers")));
    print_report_lines(stdout, change);
}

static enum ctl_exit report_change_outcome(const struct ctl *ctl, const char *kind,
                                           const struct former *former, const json_t *stats)
{
    const json_t *change = json_object_get(stats, kind);
    const char *outcome = text_of(change, "outcome");
    if (ctl->options->json) {
        json_dumpf(change, stdout, JSON_COMPACT);
        putchar('\n');
    }
    if (strcmp(outcome, "done") != 0) {
        complain(strcmp(outcome, "refused") == 0 ? "the %s was refused, and nothing has changed:"
                                                 : "the %s took place, but failed:",
                 kind);
        print_report_lines(stderr, change);
        return CTL_REFUSED;
    }
    if (!ctl->options->json)
        print_change_success(kind, former, stats);
    return CTL_DONE;
}

/* True if change `number` has ended. Numbers may wrap. */
static bool change_has_ended(const json_t *stats, const char *kind, long long number)
{
    const json_t *change = json_object_get(stats, kind);
    return (int32_t)((uint32_t)number_of(change, "number") - (uint32_t)number) >= 0;
}

/* Reports the outcome if it is known by now. A server that was restarted in the meantime knows
 * about the change only if the restart was part of it. */
static bool report_ended_change(const struct ctl *ctl, const char *kind,
                                const struct former *former, long long number, const json_t *stats,
                                enum ctl_exit *status)
{
    if (change_has_ended(stats, kind, number)) {
        *status = report_change_outcome(ctl, kind, former, stats);
    } else if (strcmp(text_of(stats, "boot"), former->boot) != 0 &&
               !truth_of(json_object_get(stats, kind), "under_way")) {
        complain("the server was restarted before the %s ended", kind);
        *status = CTL_REFUSED;
    } else {
        return false;
    }
    return true;
}

static enum ctl_exit await_change_outcome(const struct ctl *ctl, const char *kind,
                                          const struct former *former, long long number)
{
    const uint64_t deadline = clock_mono_ms() + (uint64_t)ctl->options->timeout * 1000;
    enum ctl_exit status;
    struct document now;
    bool over = false, gone;
    while (clock_mono_ms() < deadline) {
        if (ask_quietly(ctl, "/api/stats", &now, &gone)) {
            over = report_ended_change(ctl, kind, former, number, now.json, &status);
            document_free(&now);
        }
        if (over)
            return status;
        if (now.status == UNAUTHORIZED) {
            complain("the admin token has changed: run wspushctl status with the new token");
            return CTL_REFUSED;
        }
        pause_a_moment();
    }
    complain("no outcome within %u s; the change may still complete: check wspushctl status",
             ctl->options->timeout);
    return CTL_UNREACHABLE;
}

static enum ctl_exit request_change(const struct ctl *ctl, const char *kind)
{
    char path[32];
    struct former former;
    struct document document;
    enum ctl_exit status = ask(ctl, "/api/stats", 0, &document);
    if (status != CTL_DONE)
        return status;
    snprintf(former.build, sizeof(former.build), "%s", find_build_name(document.json));
    snprintf(former.boot, sizeof(former.boot), "%s", text_of(document.json, "boot"));
    document_free(&document);
    snprintf(path, sizeof(path), "/api/%s", kind);
    status = ask_to(ctl, path, NULL, 0, &document);
    if (status != CTL_DONE)
        return status;
    const long long number = number_of(document.json, "number");
    document_free(&document);
    return await_change_outcome(ctl, kind, &former, number);
}

enum ctl_exit ctl_reload(const struct ctl *ctl)
{
    return request_change(ctl, "reload");
}

enum ctl_exit ctl_upgrade(const struct ctl *ctl)
{
    return request_change(ctl, "upgrade");
}

/* ---- Drain ---- */

/* Shows the remaining connections, on a terminal, in one line that is overwritten. */
static void show_drain_progress(const struct ctl *ctl, const json_t *stats)
{
    if (isatty(STDERR_FILENO) && !ctl->options->json)
        fprintf(stderr, "\rdraining: %s connections left \033[K",
                grouped(number_of(stats, "connections")));
}

static void end_drain_progress(const struct ctl *ctl)
{
    if (isatty(STDERR_FILENO) && !ctl->options->json)
        fputs("\r\033[K", stderr);
}

/* Waits until nothing listens at the address, or another server does. */
static bool await_server_end(const struct ctl *ctl, const char *boot, uint64_t limit_s)
{
    const uint64_t deadline = clock_mono_ms() + limit_s * 1000;
    struct document now;
    bool gone = false;
    while (!gone && clock_mono_ms() < deadline) {
        if (ask_quietly(ctl, "/api/stats", &now, &gone)) {
            gone = strcmp(text_of(now.json, "boot"), boot) != 0;
            show_drain_progress(ctl, now.json);
            document_free(&now);
        }
        if (!gone)
            pause_a_moment();
    }
    end_drain_progress(ctl);
    return gone;
}

enum ctl_exit ctl_drain(const struct ctl *ctl)
{
    static const char restart[] = "{\"restart\":true}", stop[] = "{\"restart\":false}";
    const char *body = ctl->options->restart ? restart : stop;
    char boot[32];
    struct document document;
    enum ctl_exit status = ask(ctl, "/api/stats", 0, &document);
    if (status != CTL_DONE)
        return status;
    snprintf(boot, sizeof(boot), "%s", text_of(document.json, "boot"));
    document_free(&document);
    status = ask_to(ctl, "/api/drain", body, strlen(body), &document);
    if (status != CTL_DONE)
        return status;
    if (ctl->options->json)
        document_print(&document);
    const uint64_t least = (uint64_t)number_of(document.json, "drain_timeout") + DRAIN_MARGIN_S;
    const uint64_t limit = ctl->options->timeout > least ? ctl->options->timeout : least;
    document_free(&document);
    if (!await_server_end(ctl, boot, limit)) {
        complain("the server has not stopped within %llu s", (unsigned long long)limit);
        return CTL_UNREACHABLE;
    }
    if (!ctl->options->json)
        printf("the server has stopped%s\n",
               ctl->options->restart ? ", and expects to be restarted" : "");
    return CTL_DONE;
}
