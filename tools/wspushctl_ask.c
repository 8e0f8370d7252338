/*
 * Requests and answers. Every text from the server is printed through safe_text().
 */
#include "tools/wspushctl_ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/wspushctl_text.h"

void complain(const char *fmt, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "%swspushctl: ", paint(stderr, RED));
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "%s\n", paint(stderr, PLAIN));
}

void document_free(struct document *document)
{
    json_decref(document->json);
    buffer_free(&document->text);
    *document = (struct document){0};
}

void document_print(struct document *document)
{
    const char *text = buffer_string(&document->text);
    printf("%s%s", text,
           document->text.len > 0 && text[document->text.len - 1] == '\n' ? "" : "\n");
}

long long number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

const char *text_of(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    return json_is_string(text) ? safe_text(json_string_value(text), json_string_length(text)) : "";
}

bool truth_of(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* ---- Requests ---- */

enum { TRIES = 5 };

void pause_a_moment(void)
{
    nanosleep(&(struct timespec){0, EVERY_MS * 1000000L}, NULL);
}

/* Takes the answer's body and parses it. */
static void read_answer_document(struct document *document, struct answer *answer)
{
    document->status = answer->status;
    document->text = answer->body;
    document->json =
        json_loadb(buffer_string(&document->text), document->text.len, JSON_ALLOW_NUL, NULL);
}

static const char *show_server_address(const struct server *server)
{
    static char text[sizeof(server->host) + sizeof(server->port) + 8];
    if (server->is_unix)
        snprintf(text, sizeof(text), "unix:%s", server->host);
    else
        snprintf(text, sizeof(text), strchr(server->host, ':') ? "[%s]:%s" : "%s:%s", server->host,
                 server->port);
    return safe_text(text, strlen(text));
}

/* Prints why the server's answer is not the one requested. Returns the exit status. */
static enum ctl_exit explain_refused_answer(const struct ctl *ctl, struct document *document)
{
    if (!json_is_object(document->json)) {
        complain("%s: not the admin interface of wspushd", show_server_address(&ctl->server));
        return CTL_UNREACHABLE;
    }
    if (ctl->options->json)
        document_print(document);
    complain("refused: %s", text_of(document->json, "error"));
    return CTL_REFUSED;
}

/* Repeats a GET whose answer was cut off: a worker that leaves for a reload closes the connections
 * of that moment, and its successor answers. A POST is never repeated. */
static bool ask_with_retries(const struct ctl *ctl, const struct question *question,
                             struct answer *answer)
{
    bool done = false;
    for (int tries = 0; tries < TRIES && !done; tries++) {
        if (tries > 0)
            pause_a_moment();
        *answer = (struct answer){0};
        done = http_ask(&ctl->server, question, answer);
        if (!answer->cut || strcmp(question->method, "GET") != 0)
            break;
    }
    return done;
}

static enum ctl_exit send_question(const struct ctl *ctl, const struct question *question, int also,
                                   struct document *document)
{
    struct answer answer = {0};
    *document = (struct document){0};
    if (!ask_with_retries(ctl, question, &answer)) {
        complain("%s: %s", show_server_address(&ctl->server), answer.error);
        return CTL_UNREACHABLE;
    }
    read_answer_document(document, &answer);
    if (json_is_object(document->json) && (document->status / 100 == 2 || document->status == also))
        return CTL_DONE;
    const enum ctl_exit status = explain_refused_answer(ctl, document);
    document_free(document);
    return status;
}

enum ctl_exit ask(const struct ctl *ctl, const char *path, int also, struct document *document)
{
    return send_question(ctl, &(struct question){.method = "GET", .path = path, .limit_ms = ASK_MS},
                         also, document);
}

enum ctl_exit ask_to(const struct ctl *ctl, const char *path, const char *body, size_t len,
                     struct document *document)
{
    const struct question question = {"POST", path, body, len, ASK_MS};
    return send_question(ctl, &question, 0, document);
}

bool ask_quietly(const struct ctl *ctl, const char *path, struct document *document, bool *gone)
{
    const struct question question = {.method = "GET", .path = path, .limit_ms = AGAIN_MS};
    struct answer answer = {0};
    *document = (struct document){0};
    http_ask(&ctl->server, &question, &answer);
    *gone = answer.gone;
    read_answer_document(document, &answer);
    if (document->status == 200 && json_is_object(document->json))
        return true;
    document_free(document);
    document->status = answer.status;
    return false;
}
