/*
 * reload, upgrade, drain: the server is asked, and its outcome awaited. The worker that was asked
 * leaves meanwhile, and so may every one that is asked how far it is: a question without an answer
 * is asked again.
 */
#include "tools/wspushctl_ask.h"

#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/wspushctl_text.h"

enum {
    DRAIN_MARGIN_S = 20, /* beyond drain_timeout: the master kills what is left before that */
    UNAUTHORIZED = 401
};

/* ---- Reload, upgrade ---- */

/* The server before the change. */
struct former {
    char build[96], boot[32];
};

/* The name of the server's build; versions before 0.1.0's release had none. */
static const char *build_of(const json_t *stats)
{
    const char *build = text_of(stats, "build");
    return *build ? build : text_of(stats, "version");
}

/* The text of a report, one line each. */
static void print_lines(FILE *out, const json_t *change)
{
    const char *at = json_string_value(json_object_get(change, "text"));
    while (at && *at) {
        const size_t len = strcspn(at, "\n");
        fprintf(out, "  %s\n", safe_text(at, len));
        at += len + (at[len] == '\n');
    }
}

static void print_success(const char *kind, const struct former *former, const json_t *stats)
{
    const json_t *change = json_object_get(stats, kind);
    printf("%s%s %lld is done%s: ", paint(stdout, GREEN), kind, number_of(change, "number"),
           paint(stdout, PLAIN));
    if (strcmp(kind, "upgrade") == 0)
        printf("wspushd %s serves, in place of %s\n", build_of(stats), former->build);
    else
        printf("%zu workers have the new push.conf\n",
               json_array_size(json_object_get(stats, "workers")));
    print_lines(stdout, change);
}

static enum ctl_exit tell(const struct ctl *ctl, const char *kind, const struct former *former,
                          const json_t *stats)
{
    const json_t *change = json_object_get(stats, kind);
    const char *outcome = text_of(change, "outcome");
    if (ctl->options->json) {
        json_dumpf(change, stdout, JSON_COMPACT);
        putchar('\n');
    }
    if (strcmp(outcome, "done") != 0) {
        complain(strcmp(outcome, "refused") == 0 ? "the %s is refused, and nothing has changed:"
                                                 : "the %s has happened, but:",
                 kind);
        print_lines(stderr, change);
        return CTL_REFUSED;
    }
    if (!ctl->options->json)
        print_success(kind, former, stats);
    return CTL_DONE;
}

/* Whether change `number` has ended: numbers may wrap. */
static bool has_ended(const json_t *stats, const char *kind, long long number)
{
    const json_t *change = json_object_get(stats, kind);
    return (int32_t)((uint32_t)number_of(change, "number") - (uint32_t)number) >= 0;
}

/* Tells what came of it, if that is known now. A server that was started again meanwhile knows of
 * it only where the start was part of it. */
static bool is_over(const struct ctl *ctl, const char *kind, const struct former *former,
                    long long number, const json_t *stats, enum ctl_exit *status)
{
    if (has_ended(stats, kind, number)) {
        *status = tell(ctl, kind, former, stats);
    } else if (strcmp(text_of(stats, "boot"), former->boot) != 0 &&
               !truth_of(json_object_get(stats, kind), "under_way")) {
        complain("the server was started again before the %s was over", kind);
        *status = CTL_REFUSED;
    } else {
        return false;
    }
    return true;
}

static enum ctl_exit await_change(const struct ctl *ctl, const char *kind,
                                  const struct former *former, long long number)
{
    const uint64_t deadline = clock_mono_ms() + (uint64_t)ctl->options->timeout * 1000;
    enum ctl_exit status;
    struct document now;
    bool over = false, gone;
    while (clock_mono_ms() < deadline) {
        if (ask_quietly(ctl, "/api/stats", &now, &gone)) {
            over = is_over(ctl, kind, former, number, now.json, &status);
            document_free(&now);
        }
        if (over)
            return status;
        if (now.status == UNAUTHORIZED) {
            complain(
                "the server now wants another admin token: see wspushctl status with that one");
            return CTL_REFUSED;
        }
        pause_a_moment();
    }
    complain("no outcome within %u s; it may still come: see wspushctl status",
             ctl->options->timeout);
    return CTL_UNREACHABLE;
}

static enum ctl_exit change(const struct ctl *ctl, const char *kind)
{
    char path[32];
    struct former former;
    struct document document;
    enum ctl_exit status = ask(ctl, "/api/stats", 0, &document);
    if (status != CTL_DONE)
        return status;
    snprintf(former.build, sizeof(former.build), "%s", build_of(document.json));
    snprintf(former.boot, sizeof(former.boot), "%s", text_of(document.json, "boot"));
    document_free(&document);
    snprintf(path, sizeof(path), "/api/%s", kind);
    status = ask_to(ctl, path, NULL, 0, &document);
    if (status != CTL_DONE)
        return status;
    const long long number = number_of(document.json, "number");
    document_free(&document);
    return await_change(ctl, kind, &former, number);
}

enum ctl_exit ctl_reload(const struct ctl *ctl)
{
    return change(ctl, "reload");
}

enum ctl_exit ctl_upgrade(const struct ctl *ctl)
{
    return change(ctl, "upgrade");
}

/* ---- Drain ---- */

/* How many are left, on a terminal, in one line that is overwritten. */
static void show_progress(const struct ctl *ctl, const json_t *stats)
{
    if (isatty(STDERR_FILENO) && !ctl->options->json)
        fprintf(stderr, "\rdraining: %s connections left \033[K",
                grouped(number_of(stats, "connections")));
}

static void end_progress(const struct ctl *ctl)
{
    if (isatty(STDERR_FILENO) && !ctl->options->json)
        fputs("\r\033[K", stderr);
}

/* Until nobody listens there, or another server does. */
static bool await_end(const struct ctl *ctl, const char *boot, uint64_t limit_s)
{
    const uint64_t deadline = clock_mono_ms() + limit_s * 1000;
    struct document now;
    bool gone = false;
    while (!gone && clock_mono_ms() < deadline) {
        if (ask_quietly(ctl, "/api/stats", &now, &gone)) {
            gone = strcmp(text_of(now.json, "boot"), boot) != 0;
            show_progress(ctl, now.json);
            document_free(&now);
        }
        if (!gone)
            pause_a_moment();
    }
    end_progress(ctl);
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
    if (!await_end(ctl, boot, limit)) {
        complain("it has not ended within %llu s", (unsigned long long)limit);
        return CTL_UNREACHABLE;
    }
    if (!ctl->options->json)
        printf("the server has stopped%s\n", ctl->options->restart ? ", to be started again" : "");
    return CTL_DONE;
}
