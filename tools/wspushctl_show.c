/*
 * status, top and who: what the server shows, as tables. top draws the same picture as status, over
 * the last one on a terminal, with the rates since then. It goes on while the server cannot answer,
 * as it may not for a moment when its workers are replaced.
 */
#include "tools/wspushctl_ask.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/wspushctl_text.h"

enum {
    UNAVAILABLE = 503,
    PICTURE_BYTES = 64 * 1024 /* written at once, so that it does not flicker */
};

/* What is counted: rows of the table, and the counter of each in /api/stats. */
static const struct {
    const char *label, *counter;
} books[] = {
    {"pushes received", "pushes_received_total"},
    {"deliveries", "pushes_delivered_total"},
    {"deliveries queued", "pushes_queued_total"},
    {"deliveries dropped", "pushes_dropped_total"},
    {"pushes malformed", "push_malformed_total"},
    {"messages from clients", "messages_received_total"},
    {"bytes from clients", "bytes_received_total"},
    {"bytes to clients", "bytes_sent_total"},
    {"connections opened", "connections_opened_total"},
    {"connections closed", "connections_closed_total"},
    {"handshakes refused", "handshakes_refused_total"},
};
enum { BOOKS = sizeof(books) / sizeof(books[0]) };

/* The counters of one moment. */
struct picture {
    uint64_t at_ms; /* 0: none yet */
    long long count[BOOKS];
};

/* A counter with labels is an object: its sum. */
static long long counter(const json_t *stats, const char *name)
{
    json_t *value = json_object_get(json_object_get(stats, "counters"), name), *part;
    const char *label;
    long long sum = json_integer_value(value);
    json_object_foreach(value, label, part) sum += json_integer_value(part);
    return sum;
}

static struct picture take_picture(const json_t *stats)
{
    struct picture picture = {.at_ms = clock_mono_ms()};
    for (size_t i = 0; i < BOOKS; i++)
        picture.count[i] = counter(stats, books[i].counter);
    return picture;
}

/* ---- The parts of the picture ---- */

static void print_heading(const json_t *stats, const json_t *ready)
{
    const bool serves = strcmp(text_of(ready, "status"), "ready") == 0;
    printf("%swspushd %s on %s%s is ", paint(stdout, BOLD), text_of(stats, "version"),
           text_of(stats, "node"), paint(stdout, PLAIN));
    if (serves)
        printf("%sready%s", paint(stdout, GREEN), paint(stdout, PLAIN));
    else
        printf("%snot ready%s: %s", paint(stdout, RED), paint(stdout, PLAIN),
               text_of(ready, "why"));
    printf(", up %s\n\n", duration(number_of(stats, "uptime")));
}

static const char *change_text(const json_t *change)
{
    static char text[2][128];
    static size_t next;
    char *out = text[next++ % 2];
    if (truth_of(change, "under_way"))
        return "under way";
    if (number_of(change, "number") == 0)
        return "none since the start";
    snprintf(out, sizeof(text[0]), "%s at %s", text_of(change, "outcome"),
             local_time(number_of(change, "at")));
    return out;
}

static void print_state(const json_t *stats)
{
    const size_t workers = json_array_size(json_object_get(stats, "workers"));
    printf("  connections   %s, %s with a user\n", grouped(number_of(stats, "connections")),
           grouped(number_of(stats, "users_connected")));
    printf("  topics        %s members\n", grouped(number_of(stats, "topic_members")));
    printf("  Redis links   %s of %zu up\n", grouped(number_of(stats, "redis_links_up")), workers);
    if (json_object_get(stats, "redis"))
        printf("  Redis         %s\n", text_of(stats, "redis"));
    printf("  last reload   %s\n", change_text(json_object_get(stats, "reload")));
    printf("  last upgrade  %s\n\n", change_text(json_object_get(stats, "upgrade")));
}

/* With rates where there is an earlier picture. */
static void print_books(const struct picture *now, const struct picture *before)
{
    const bool rates = before->at_ms > 0 && now->at_ms > before->at_ms;
    const double seconds = (double)(now->at_ms - before->at_ms) / 1000;
    struct table table = table_begin(rates ? "lrr" : "lr");
    table_row(&table, "\tsince the start%s", rates ? "\ta second" : "");
    for (size_t i = 0; i < BOOKS; i++) {
        const double more = (double)(now->count[i] - before->count[i]);
        table_row(&table, "%s\t%s%s%s", books[i].label, grouped(now->count[i]), rates ? "\t" : "",
                  rates ? grouped((long long)(more / seconds + 0.5)) : "");
    }
    table_print(&table);
    putchar('\n');
}

static void print_workers(const json_t *stats)
{
    struct table table = table_begin("rrrrl");
    const json_t *worker;
    size_t i;
    table_row(&table, "worker\tpid\tconnections\tdeaths\tRedis link");
    json_array_foreach(json_object_get(stats, "workers"), i, worker)
    {
        table_row(&table, "%lld\t%lld\t%s\t%s\t%s", number_of(worker, "slot"),
                  number_of(worker, "pid"), grouped(number_of(worker, "connections")),
                  grouped(number_of(worker, "restarts")), text_of(worker, "link"));
    }
    table_print(&table);
}

static void print_picture(const json_t *stats, const json_t *ready, struct picture *before)
{
    const struct picture now = take_picture(stats);
    print_heading(stats, ready);
    print_state(stats);
    print_books(&now, before);
    print_workers(stats);
    *before = now;
}

/* ---- The commands ---- */

enum ctl_exit ctl_status(const struct ctl *ctl)
{
    struct document ready, stats;
    struct picture none = {0};
    enum ctl_exit status = ask(ctl, "/readyz", UNAVAILABLE, &ready);
    if (status != CTL_DONE)
        return status;
    status = ask(ctl, "/api/stats", 0, &stats);
    if (status == CTL_DONE) {
        if (ctl->options->json)
            document_print(&stats);
        else
            print_picture(stats.json, ready.json, &none);
        if (ready.status == UNAVAILABLE)
            status = CTL_REFUSED;
    }
    document_free(&stats);
    document_free(&ready);
    return status;
}

/* One picture of top; false where the server cannot answer now. */
static bool show_once(const struct ctl *ctl, struct picture *before)
{
    struct document stats, ready = {0};
    bool gone;
    if (!ask_quietly(ctl, "/api/stats", &stats, &gone))
        return false;
    if (ctl->options->json) {
        document_print(&stats);
    } else {
        if (isatty(STDOUT_FILENO))
            printf("\033[H\033[J");
        if (!ask_quietly(ctl, "/readyz", &ready, &gone))
            ready.json = json_pack("{s:s, s:s}", "status", "not ready", "why", "see /readyz");
        print_picture(stats.json, ready.json, before);
        if (!isatty(STDOUT_FILENO))
            putchar('\n');
    }
    fflush(stdout);
    document_free(&ready);
    document_free(&stats);
    return true;
}

enum ctl_exit ctl_top(const struct ctl *ctl)
{
    struct document stats;
    struct picture before = {0};
    const enum ctl_exit status = ask(ctl, "/api/stats", 0, &stats);
    if (status != CTL_DONE)
        return status;
    document_free(&stats);
    setvbuf(stdout, NULL, _IOFBF, PICTURE_BYTES);
    for (uint32_t shown = 0; ctl->options->count == 0 || shown < ctl->options->count; shown++) {
        if (shown > 0)
            nanosleep(&(struct timespec){ctl->options->every, 0}, NULL);
        if (!show_once(ctl, &before))
            complain("no answer at %s", local_time((long long)time(NULL)));
        if (ferror(stdout)) /* nobody reads: as with head(1) */
            break;
    }
    return CTL_DONE;
}

/* Appends a path segment, percent-encoded but for what RFC 3986 §2.3 leaves as it is. */
static void append_segment(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
            (byte >= 'A' && byte <= 'Z') || strchr("-._~", byte))
            buffer_append(out, text, 1);
        else
            buffer_format(out, "%%%02X", byte);
    }
}

static void print_connections(const json_t *list)
{
    struct table table = table_begin("llrlrr");
    const json_t *conn;
    size_t i;
    table_row(&table, "connection\taddress\tworker\tmode\tage\tbytes waiting");
    json_array_foreach(list, i, conn)
    {
        table_row(&table, "%s\t%s\t%lld\t%s\t%s\t%s", text_of(conn, "conn"),
                  text_of(conn, "address"), number_of(conn, "worker"), text_of(conn, "mode"),
                  duration(number_of(conn, "age")), grouped(number_of(conn, "queue")));
    }
    table_print(&table);
}

enum ctl_exit ctl_who(const struct ctl *ctl)
{
    struct buffer path = {0};
    struct document answer;
    buffer_text(&path, "/api/users/");
    append_segment(&path, ctl->argument[0]);
    enum ctl_exit status = ask(ctl, buffer_string(&path), 0, &answer);
    buffer_free(&path);
    if (status != CTL_DONE)
        return status;
    const json_t *list = json_object_get(answer.json, "connections");
    if (ctl->options->json)
        document_print(&answer);
    else if (json_array_size(list) > 0)
        print_connections(list);
    else
        printf("user %s has %sno connection%s on this node\n", text_of(answer.json, "user"),
               paint(stdout, YELLOW), paint(stdout, PLAIN));
    if (json_array_size(list) == 0)
        status = CTL_OFFLINE;
    document_free(&answer);
    return status;
}
