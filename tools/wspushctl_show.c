/*
 * status, top and who: the server's state as tables. top repeats the display of status, on a
 * terminal over the previous one, with rates. It continues while the server cannot answer, as may
 * happen for a moment when its workers are replaced.
 */
#include "tools/wspushctl_ask.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/wspushctl_text.h"

enum {
    UNAVAILABLE = 503,
    PICTURE_BYTES = 64 * 1024 /* written in one piece, to avoid flicker */
};

/* The rows of the table of counters, and the counter of each in /api/stats. */
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

/* The counters at one moment. */
struct picture {
    uint64_t at_ms; /* 0: none yet */
    long long count[BOOKS];
};

/* Returns the value of a counter; for a counter with labels, an object, the sum. */
static long long sum_counter_values(const json_t *stats, const char *name)
{
    json_t *value = json_object_get(json_object_get(stats, "counters"), name), *part;
    const char *label;
    long long sum = json_integer_value(value);
    json_object_foreach(value, label, part) sum += json_integer_value(part);
    return sum;
}

static struct picture take_counter_picture(const json_t *stats)
{
    struct picture picture = {.at_ms = clock_mono_ms()};
    for (size_t i = 0; i < BOOKS; i++)
        picture.count[i] = sum_counter_values(stats, books[i].counter);
    return picture;
}

/* ---- The parts of the display ---- */

static void print_status_heading(const json_t *stats, const json_t *ready)
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

static const char *describe_last_change(const json_t *change)
{
    static char text[2][128];
    static size_t next;
    char *out = text[next++ % 2];
    if (truth_of(change, "under_way"))
        return "in progress";
    if (number_of(change, "number") == 0)
        return "none since start";
    snprintf(out, sizeof(text[0]), "%s at %s", text_of(change, "outcome"),
             local_time(number_of(change, "at")));
    return out;
}

static void print_node_state(const json_t *stats)
{
    const size_t workers = json_array_size(json_object_get(stats, "workers"));
    printf("  connections   %s, %s with a user\n", grouped(number_of(stats, "connections")),
           grouped(number_of(stats, "users_connected")));
    printf("  topics        %s members\n", grouped(number_of(stats, "topic_members")));
    printf("  Redis links   %s of %zu up\n", grouped(number_of(stats, "redis_links_up")), workers);
    if (json_object_get(stats, "redis"))
        printf("  Redis         %s\n", text_of(stats, "redis"));
    printf("  last reload   %s\n", describe_last_change(json_object_get(stats, "reload")));
    printf("  last upgrade  %s\n\n", describe_last_change(json_object_get(stats, "upgrade")));
}

/* Prints the counters, with rates if there is an earlier picture. */
static void print_counter_table(const struct picture *now, const struct picture *before)
{
    const bool rates = before->at_ms > 0 && now->at_ms > before->at_ms;
    const double seconds = (double)(now->at_ms - before->at_ms) / 1000;
    struct table table = table_begin(rates ? "lrr" : "lr");
    table_row(&table, "\tsince start%s", rates ? "\tper second" : "");
    for (size_t i = 0; i < BOOKS; i++) {
        const double more = (double)(now->count[i] - before->count[i]);
        table_row(&table, "%s\t%s%s%s", books[i].label, grouped(now->count[i]), rates ? "\t" : "",
                  rates ? grouped((long long)(more / seconds + 0.5)) : "");
    }
    table_print(&table);
    putchar('\n');
}

static void print_worker_table(const json_t *stats)
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

static void print_whole_picture(const json_t *stats, const json_t *ready, struct picture *before)
{
    const struct picture now = take_counter_picture(stats);
    print_status_heading(stats, ready);
    print_node_state(stats);
    print_counter_table(&now, before);
    print_worker_table(stats);
    *before = now;
}

/* ---- Commands ---- */

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
            print_whole_picture(stats.json, ready.json, &none);
        if (ready.status == UNAVAILABLE)
            status = CTL_REFUSED;
    }
    document_free(&stats);
    document_free(&ready);
    return status;
}

/* Prints one display of top. Returns false if the server cannot answer now. */
static bool show_top_once(const struct ctl *ctl, struct picture *before)
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
        print_whole_picture(stats.json, ready.json, before);
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
        if (!show_top_once(ctl, &before))
            complain("no answer at %s", local_time((long long)time(NULL)));
        if (ferror(stdout)) /* closed by the reader, as by head(1) */
            break;
    }
    return CTL_DONE;
}

/* Appends a path segment, percent-encoded except for the unreserved characters of RFC 3986 §2.3. */
static void append_path_segment(struct buffer *out, const char *text)
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

static void print_connection_table(const json_t *list)
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
    append_path_segment(&path, ctl->argument[0]);
    enum ctl_exit status = ask(ctl, buffer_string(&path), 0, &answer);
    buffer_free(&path);
    if (status != CTL_DONE)
        return status;
    const json_t *list = json_object_get(answer.json, "connections");
    if (ctl->options->json)
        document_print(&answer);
    else if (json_array_size(list) > 0)
        print_connection_table(list);
    else
        printf("user %s has %sno connection%s on this node\n", text_of(answer.json, "user"),
               paint(stdout, YELLOW), paint(stdout, PLAIN));
    if (json_array_size(list) == 0)
        status = CTL_OFFLINE;
    document_free(&answer);
    return status;
}
